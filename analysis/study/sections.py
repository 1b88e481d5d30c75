"""The sections of a study file, typed; what they mean together is checked in `fits`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.calibration import EXAMPLES, TOKENS

Level = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
# a study's: its folder of tables is called so; what is printed of it is escaped
FileName = Annotated[str, Field(pattern=r"^\w[^/\\\x00-\x1f\x7f]*$", max_length=80)]
Line = Annotated[str, Field(min_length=1, max_length=300)]
Tokens = Annotated[int, Field(ge=1, le=65_536, strict=True)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z]{2,}([_-][A-Za-z]+)*$", max_length=20)]
Share = Annotated[float, Field(ge=0, le=1)]
Form = Literal["json", "csv", "parquet", "text"]
ALL = "all"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tuning(Section):
    """How a checkpoint is trained for a task.

    examples   so many of the training examples, or all of them
    tokens     at which their texts are cut; by default the task's own limit
    """

    examples: Count | Literal["all"] = "all"
    epochs: Annotated[float, Field(gt=0, le=100)] = 3.0
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-5
    batch_size: Count = 32
    tokens: Tokens | None = None


class Shape(Section):
    """The size of a model that the study itself trains from scratch, with a tokenizer of its own.

    layers       of each stack: an encoder-decoder model has so many twice
    vocabulary   tokens that the tokenizer learns from the training texts
    positions    the longest text, in tokens
    """

    layers: Annotated[int, Field(ge=1, le=100, strict=True)] = 4
    width: Annotated[int, Field(ge=8, le=16_384, strict=True)] = 128
    heads: Annotated[int, Field(ge=1, le=256, strict=True)] = 4
    vocabulary: Annotated[int, Field(ge=300, le=500_000, strict=True)] = 8000
    positions: Annotated[int, Field(ge=16, le=65_536, strict=True)] = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


class Pretraining(Section):
    """How a model learns from scratch, on the training texts of its tasks, by its family's
    objective: masked words, next words, or denoising."""

    epochs: Annotated[float, Field(gt=0, le=1000)] = 3.0
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    batch_size: Count = 32


class Model(Section):
    """One model and the benchmarks it is put to.

    source       "builtin"; "hub", a published checkpoint, named by `id` and `revision` (a commit,
                 tag or branch); "local", the folder of a saved one, at `path`; "scratch", of the
                 given `shape`, trained here on the training texts of its tasks
    tasks        its benchmarks
    fine_tune    those for which a copy is fine-tuned first; the checkpoint answers the others as
                 it is. By default none; of a scratch model all but those that its pretraining is
                 for (a built-in model knows by itself)
    fine_tuning  how, if not as the study's `fine_tuning` says
    remote_code  whether code from the checkpoint's repository may run; needs a commit as revision
    enabled      false leaves the model out of the study
    """

    name: Name
    family: Literal["encoder-only", "decoder-only", "encoder-decoder"]
    source: Literal["builtin", "hub", "local", "scratch"] = "builtin"
    id: Line | None = None
    revision: Line = "main"
    path: Line | None = None
    shape: Shape | None = None
    pretraining: Pretraining | None = None
    remote_code: bool = False
    enabled: bool = True
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    fine_tune: tuple[str, ...] | None = None
    fine_tuning: Tuning | None = None


class Files(Section):
    """Files of this disk with a task's examples, in place of the hub's.

    test, train  paths: JSON lines, CSV, parquet or text (told by their ending, or by `format`)
    columns      field of the task -> the file's column, where they have other names
    quotes       of CSV: whether cells may stand in quotes; by default in .csv, unless what is in
                 them may be several rows, and not in .tsv
    separator    of CSV: what stands between cells; by default a comma, in .tsv a tab
    test_part, train_part   which share of the lines, such as [0.8, 1.0]: for one file to serve both
    unit                    of a perplexity: what it is per
    languages               of a translation: from, to
    title, licence          of the data, for the paper
    """

    test: Line
    train: Line | None = None
    format: Form | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    quotes: Annotated[bool, Field(strict=True)] | None = None
    separator: Literal[",", ";", "\t", "|"] | None = None
    test_part: tuple[Share, Share] | None = None
    train_part: tuple[Share, Share] | None = None
    unit: Literal["word", "character", "byte"] | None = None
    languages: tuple[Code, Code] | None = None
    title: Line | None = None
    licence: Line = "not stated"

    @property
    def parts_are_apart(self) -> bool:
        """Whether the parts of test and training are both named, and have no line in common."""
        if self.test_part is None or self.train_part is None:
            return False
        (begin, end), (first, last) = self.test_part, self.train_part
        return end <= first or last <= begin


class Generation(Section):
    """How a model writes the texts of a task, where not as its own `generation_config.json` says.

    The names are those of transformers' `generate`. What is not given is the checkpoint's own.
    """

    num_beams: Annotated[int, Field(ge=1, le=256, strict=True)] | None = None
    max_new_tokens: Tokens | None = None
    min_new_tokens: Annotated[int, Field(ge=0, le=65_536, strict=True)] | None = None
    length_penalty: Annotated[float, Field(ge=-100, le=100)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=1000, strict=True)] | None = None
    early_stopping: bool | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What is set, as `generate` takes it."""
        return self.model_dump(exclude_none=True)


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
    tokens: Tokens = 16
    new_tokens: Tokens = 16
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
    """On what, and how much at once; `placement` says what "auto" comes to.

    dtype       in which models answer: "auto" is bfloat16 on a GPU that has it, float32 on a CPU
    batch_size  of an evaluation; "auto" is as many as fit `memory_gb`
    memory_gb   what a step may take; by default three quarters of the GPU's memory, or of a job's
                share of the machine's
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    jobs: Count = 1
    threads: Count = 1
    batch_size: Count | Literal["auto"] = 64
    memory_gb: Annotated[float, Field(gt=0)] | None = None


class Calibration(Section):
    """Training examples of a model's own task that calibrated methods look at.

    Causal models read them packed: `examples` windows of `tokens` tokens, or of the model's
    positions where these are fewer. All others read so many examples, cut at so many tokens. The
    references of SparseGPT and Wanda take 128 windows of 2,048; the default is a quarter of that,
    which a processor without a GPU bears.
    """

    examples: Count = EXAMPLES
    tokens: Annotated[int, Field(ge=2, le=65_536)] = TOKENS


class Training(Section):
    """So many training examples, or all, taken so often."""

    examples: Count | Literal["all"] = 4000
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

    examples   of a validation sample, none of them in the test data: generated with another seed,
               or, of a real task, drawn from its training examples
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


class Keys(Section):
    """A whole study, its sections typed each by itself; its YAML text is kept for the record.

    `models` are those that are enabled. With `rehearsal` they are random replicas of true shape.
    """

    name: FileName
    title: Line
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    data_folder: Line = "."
    data: dict[str, Files] = Field(default_factory=dict)
    generation: dict[str, Generation] = Field(default_factory=dict)
    examples: dict[str, Count] = Field(default_factory=dict)
    fine_tuning: Tuning = Tuning()
    methods: Annotated[tuple[str, ...], Field(min_length=1)]
    sparsities: Annotated[tuple[Level, ...], Field(min_length=1)]
    patterns: Annotated[tuple[str, ...], Field(min_length=1)] = ("2:4",)
    protocols: Annotated[
        tuple[Literal["one-shot", "fine-tuned", "distilled"], ...], Field(min_length=1)
    ] = ("one-shot",)
    include: tuple[Line, ...] = ()
    exclude: tuple[Line, ...] = ()
    calibration: Calibration = Calibration()
    recovery: Recovery | None = None
    sensitivity: Sensitivity | None = None
    alternatives: Alternatives | None = None
    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("dense", "dense+zstd", "auto")
    runtime: Runtime = Runtime()
    bootstrap: Bootstrap = Bootstrap()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    compute: Compute = Compute()
    text: str = ""
    rehearsal: Literal["", "true", "tiny"] = ""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that models are put to, each once, in the order of the models."""
        return tuple(dict.fromkeys(task for model in self.models for task in model.tasks))
