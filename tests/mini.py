"""A study small enough for tests, and a cache in which its models already lie, barely trained."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from analysis import calls, study, variants
from analysis.memo import Memo
from analysis.models.catalogue import BUILTIN

REPOSITORY = Path(__file__).parent.parent
STUDY = """\
title: A study for tests
models:
  - {name: tiny-bert, family: encoder-only, tasks: [paraphrase]}
  - {name: tiny-gpt2, family: decoder-only, tasks: [language-modelling]}
  - {name: tiny-bart, family: encoder-decoder, tasks: [headline]}
examples: {paraphrase: 12, language-modelling: 12, headline: 8}
methods: [magnitude, magnitude-all]
sparsities: [0.5, 0.99]
runtime: {batches: [1], tokens: 8, min_runs: 3, min_seconds: 0.0, warmup_runs: 1, threads: 1}
bootstrap: {resamples: 200}
compute: {jobs: 1, threads: 1}
"""


def make_project(folder: Path) -> Path:
    """A project folder with the mini study and its barely trained models in the cache."""
    (folder / "studies").mkdir(parents=True)
    (folder / "studies" / "mini.yml").write_text(STUDY, encoding="utf-8")
    remember_models(folder / "cache", study.load("mini", folder / "studies"))
    return folder


def remember_models(cache: Path, chosen: study.Study) -> None:
    """Store two-step trainings under the keys of the real ones."""
    from analysis.models import builtin, training
    from analysis.steps.checkpoints import fine_tune, pretrain_builtin

    def two_steps(*arguments, steps, _train=training.train, **options):
        return _train(*arguments, steps=min(steps, 2), **options)

    memo = Memo(cache)
    memo.prepare()
    with patch.object(builtin, "train", two_steps), patch.object(training, "train", two_steps):
        for model in chosen.models:
            call = calls.pretrain(model.name, 0, chosen.compute.threads)
            record = pretrain_builtin(memo.objects, **call.arguments)
            memo.store(call, record, 1.0)
            base = variants.base_variant(chosen, model, 0, record)
            for task in model.tasks:
                if task not in BUILTIN[model.name].pretrained:
                    call = calls.fine_tune(chosen, model, base, task)
                    memo.store(call, fine_tune(memo.objects, **call.arguments), 1.0)


def analysis(
    folder: Path, *arguments: str, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python -m analysis …` in a project folder, as a user would call it."""
    return subprocess.run(
        [sys.executable, "-m", "analysis", *arguments],
        cwd=folder,
        env=environment_for(**environment),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def environment_for(**more: str) -> dict[str, str]:
    """This environment, with the repository importable and the mini study chosen."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "SPARSITY_STUDY": "mini", **more}


def one_line(stderr: str) -> str:
    """The error line that a user sees; fails if there is a traceback or more than one line."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: "), stderr
    return lines[0]
