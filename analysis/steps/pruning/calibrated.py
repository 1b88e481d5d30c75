"""Pruned models: all levels of a method that looks at what goes into each matrix."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from analysis import pruning, tasks
from analysis.calibration.batches import calibration_batches, facts
from analysis.calibration.texts import Texts
from analysis.engine.machine import peak_here
from analysis.engine.objects import Objects
from analysis.models.loading import load_model
from analysis.models.tokenizing import open_tokenizer
from analysis.pruning.calibrated import Calibration, select
from analysis.pruning.patterns import parse
from analysis.pruning.prunable import scope_of
from analysis.pruning.selection import Selection
from analysis.steps.examples.training import training_examples
from analysis.steps.pruning.levels import write_levels
from analysis.tasks import Example


@dataclass(frozen=True)
class Look:
    """What a step that calibrates is told of it.

    task, training     of whose training examples, as `training_examples` takes them
    examples, tokens   how many, cut where; of causal models so many windows of so many tokens
    device             on which the model runs, "cpu" or "cuda"
    """

    task: str
    training: str | None
    examples: int
    tokens: int
    seed: int
    threads: int
    device: str

    def texts(self, objects: Objects) -> Texts:
        """The training examples, as models are calibrated on them."""

        def examples(wanted: int) -> list[Example]:
            return training_examples(objects, self.task, self.training, wanted, self.seed)[1]

        form = tasks.training_form(tasks.task(self.task))
        return Texts(form, examples, self.examples, self.tokens, self.seed)

    def at(self, objects: Objects, folder: Path) -> Calibration:
        """The model in that folder, and batches of the texts; on so many threads from here on."""
        torch.set_num_threads(self.threads)
        texts, tokenizer = self.texts(objects), open_tokenizer(folder)
        return Calibration(
            load=lambda: load_model(folder, texts.form, self.device)[0],
            batches=lambda model: calibration_batches(model, tokenizer, texts),
            facts=lambda batches: facts(texts, batches),
        )


def prune_calibrated(
    objects: Objects,
    *,
    checkpoint: str,
    weights_sha256: str,
    method: str,
    levels: list[Any],
    include: list[str],
    exclude: list[str],
    calibration: dict[str, Any],
) -> dict[str, Any]:
    """Record, as of `prune_checkpoint`: the levels of a calibrated method, each from the dense
    model on; `calibration` is as of `Look`."""
    module, folder = pruning.method(method), objects.open(checkpoint)
    asked = [parse(level) if isinstance(level, str) else level for level in levels]

    def prune() -> list[dict[str, Any]]:
        def selections() -> Iterable[Selection]:
            return select(module, model.names, asked, Look(**calibration).at(objects, folder))

        return write_levels(scratch, model, levels, selections, weights_sha256)

    with scope_of(folder, module.in_scope, include, exclude) as model, objects.scratch() as scratch:
        found, peak = peak_here(prune)
        for i, level in enumerate(found):
            level["masks"] = {"object": objects.adopt(scratch / str(i))}
    return {"levels": found, "peak_bytes": peak}
