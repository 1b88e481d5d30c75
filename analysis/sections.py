"""The sections of a study file, typed; what they mean together is checked in `grid`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.models.catalogue import MAX_TOKENS

Level = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Line = Annotated[str, Field(min_length=1, max_length=300)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Section):
    """One model and the benchmarks it is put to."""

    name: Name
    family: Literal["encoder-only", "decoder-only", "encoder-decoder"]
    source: Literal["builtin"] = "builtin"
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]


class Runtime(Section):
    """What is timed, and how.

    task        its variants are timed; of a model that is not put to it, those of its first task
    method      every level of it is timed with every kernel, other variants with the fastest
    operations  `forward`; `generate`, by models and variants of a task that writes; `train_step`
    tokens      of each text of a batch, `new_tokens` of them generated
    masked_at   the level at which a training step with masks is held against one without
    replica     a model of true size with random weights, pruned to the study's levels
    """

    operations: Annotated[
        tuple[Literal["forward", "generate", "train_step"], ...], Field(min_length=1)
    ] = ("forward",)
    task: str | None = None
    method: str = "magnitude"
    batches: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 8)
    tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = 16
    new_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = 16
    masked_at: Level | None = None
    replica: Literal["bert-base"] | None = None
    min_runs: Annotated[int, Field(ge=3)] = 10
    min_seconds: Annotated[float, Field(ge=0, le=60)] = 1.0
    warmup_runs: Count = 10
    warmup_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0
    max_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    threads: Count = 2


class Bootstrap(Section):
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class Compute(Section):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    jobs: Count = 1
    threads: Count = 1
    batch_size: Count = 64


class Calibration(Section):
    """Training examples of a model's own task that calibrated methods look at."""

    examples: Count = 128
    tokens: Annotated[int, Field(ge=2, le=MAX_TOKENS)] = MAX_TOKENS


class Training(Section):
    """So many training examples, taken so often."""

    examples: Count = 4000
    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    batch_size: Count = 32


class Recovery(Section):
    """Training with the masks kept.

    tasks         for each model, those of its tasks that are in this list
    method        what prunes before the training by the study's `protocols`
    sparsities    at these levels
    training      how each of them is trained
    gradual       how the method `gradual` trains at each level; it climbs through all of them
    unmasked_at   the level at which, once, the same training is shown without masks
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    method: str = "magnitude"
    sparsities: Annotated[tuple[Level, ...], Field(min_length=1)]
    training: Training = Training(examples=3000, epochs=2.0, learning_rate=1.5e-3)
    gradual: Training = Training()
    unmasked_at: Level | None = None


class Sensitivity(Section):
    """Each layer, or kind of matrix, pruned alone; from that, sparsities of their own.

    examples   of a validation sample, drawn as the test examples are, with another seed
    allocate   levels at which the sparsities derived are compared with the same for all
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    by: Literal["layer", "kind"] = "layer"
    sparsities: Annotated[tuple[Level, ...], Field(min_length=1)] = (0.5, 0.9)
    examples: Count = 256
    allocate: tuple[Level, ...] = ()


class Alternatives(Section):
    """Other ways to a smaller or faster model, beside pruning, for the dense models of some tasks.

    tasks     for each model, those of its tasks that are in this list
    student   how a model of half the depth is distilled
    experts   of each feed-forward layer, of which a token runs some: as many as stand in `run`
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    kinds: Annotated[tuple[Literal["int8", "student", "moe"], ...], Field(min_length=1)] = (
        "int8",
        "student",
        "moe",
    )
    student: Training = Training(examples=6000, learning_rate=5e-4)
    experts: Annotated[int, Field(ge=2, strict=True)] = 16
    run: Annotated[tuple[Count, ...], Field(min_length=1)] = (8, 4)
