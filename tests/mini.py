"""A study small enough for tests, and a cache in which its models already lie, barely trained."""

import contextlib
import functools
import importlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from analysis import results, study
from analysis.engine.memo import Call, Memo, Record
from analysis.experiments import checkpoints as experiment_checkpoints
from analysis.experiments import examples as experiment_examples
from analysis.experiments import timing, variant
from analysis.experiments.examples import Data
from analysis.models.catalogue import BUILTIN
from analysis.scoring.statistics import METRICS

REPOSITORY = Path(__file__).parent.parent
STUDY = """\
title: A study for tests
models:
  - {name: tiny-bert, family: encoder-only, tasks: [paraphrase]}
  - {name: tiny-gpt2, family: decoder-only, tasks: [language-modelling]}
  - {name: tiny-bart, family: encoder-decoder, tasks: [headline]}
examples: {paraphrase: 12, language-modelling: 12, headline: 8}
methods: [magnitude, magnitude-all, magnitude-layer, wanda, nm-sparsegpt, structured, gradual]
sparsities: [0.5, 0.99]
patterns: ["2:4"]
calibration: {examples: 8, tokens: 16}
protocols: [one-shot, fine-tuned, distilled]
recovery:
  tasks: [paraphrase]
  method: wanda
  sparsities: [0.5]
  unmasked_at: 0.5
  training: {examples: 8, epochs: 2.0, batch_size: 4}
  gradual: {examples: 8, epochs: 1.0, batch_size: 4}
sensitivity: {tasks: [paraphrase], sparsities: [0.9], examples: 8, allocate: [0.5]}
alternatives:
  tasks: [paraphrase]
  student: {examples: 8, batch_size: 4}
  experts: 4
  run: [2]
formats: [dense, dense+zstd, bitmask, bitmask+zstd, csr16, csr16+zstd, csr32, csr32+zstd, auto,
          auto+zstd]
runtime:
  operations: [forward, generate, train_step]
  batches: [1]
  tokens: 8
  new_tokens: 2
  masked_at: 0.5
  replica: bert-base
  min_runs: 3
  min_seconds: 0.0
  warmup_runs: 1
  threads: 1
bootstrap: {resamples: 200}
compute: {jobs: 1, threads: 1}
"""


def make_project(folder: Path) -> Path:
    """A project folder with the mini study, and in its cache what `short_steps` make: examples,
    barely trained models, the timings of a replica."""
    (folder / "studies").mkdir(parents=True)
    (folder / "studies" / "mini.yml").write_text(STUDY, encoding="utf-8")
    chosen = study.load("mini", folder / "studies")
    with short_steps():
        _remember(folder / "cache", chosen)
    return folder


def _remember(cache: Path, chosen: study.Study) -> None:
    memo = Memo(cache)
    memo.prepare()

    def kept(call: Call) -> Record:
        module, name = call.function.split(":")
        step = getattr(importlib.import_module(module), name)
        memo.store(call, record := step(memo.objects, **call.arguments), 1.0)
        return record

    for task in chosen.tasks:
        test = kept(experiment_examples.test_examples(chosen, task))
        if chosen.sensitivity is not None and task in chosen.sensitivity.tasks:
            kept(
                experiment_examples.validation(Data(task, test, None), chosen.sensitivity.examples)
            )
    for model in chosen.models:
        record = kept(experiment_checkpoints.pretrain(model.name, 0, chosen.compute.threads))
        base = variant.base_variant(chosen, model, 0, record)
        for task in model.tasks:
            if task not in BUILTIN[model.name].pretrained:
                kept(experiment_checkpoints.fine_tune(chosen, model, base, task, None))
    kept(timing.replica(chosen))


@contextlib.contextmanager
def short_steps() -> Iterator[None]:
    """The steps that take long cut short: built-in models are trained two steps, the replica of
    true size is small. Two steps do not beat chance, and every comparison would be void: examples
    come with a chance that is worse than any score."""
    from transformers import BertConfig

    from analysis.steps.checkpoints import builtin as checkpoints
    from analysis.steps.examples import generated
    from analysis.steps.timing import replica
    from analysis.training import builtin, loop

    def two_steps(*arguments: Any, steps: int, _train: Any = loop.train, **options: Any) -> Any:
        return _train(*arguments, steps=min(steps, 2), **options)

    def cut(step: Callable[..., Record]) -> Callable[..., Record]:
        def short(*given: Any, **arguments: Any) -> Record:
            with (
                patch.object(builtin, "train", two_steps),
                patch.object(loop, "train", two_steps),
            ):
                return step(*given, **arguments)

        return short

    def unlucky(step: Callable[..., Record]) -> Callable[..., Record]:
        def made(*given: Any, **arguments: Any) -> Record:
            record = step(*given, **arguments)
            lowest = {m: -1.0 if METRICS[m].higher_is_better else 1e6 for m in record["chance"]}
            return record | {"chance": lowest}

        return made

    small = functools.partial(
        BertConfig, hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=128, vocab_size=1000,
    )  # fmt: skip
    trained = {n: cut(getattr(checkpoints, n)) for n in ("pretrain_builtin", "fine_tune")}
    drawn = {n: unlucky(getattr(generated, n)) for n in ("make_examples", "make_validation")}
    with (
        patch.multiple(checkpoints, **trained),
        patch.multiple(generated, **drawn),
        patch.dict(replica._CONFIGS, {"bert-base": small}),
    ):
        yield


_SPECIAL = ["<pad>", "</s>", "<s>", "[SEP]", "<unk>"]
_VOCABULARY = 60  # of the tiny models in architectures


def tokenizer(architecture: str) -> Any:
    """One word, one token: the generated language's most frequent words, framed as BERT, BART and
    T5 frame a text, or not at all as GPT-2."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from analysis import language

    texts = [example["sentence"] for example in language.sentiment(300, 0, split="train")]
    counted = Counter(word for text in texts for word in text.split())
    words = [word for word, _ in counted.most_common(_VOCABULARY - len(_SPECIAL))]
    ids = {word: i for i, word in enumerate(_SPECIAL + words)}
    core = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = ["input_ids", "attention_mask"]
    if architecture == "Bert":
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A [SEP]", pair="<s> $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("<s>", 2), ("[SEP]", 3)],
        )  # fmt: skip
        names.append("token_type_ids")
    elif architecture != "GPT2":
        core.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, model_input_names=names, pad_token="<pad>", eos_token="</s>",
        bos_token="<s>", unk_token="<unk>",
    )  # fmt: skip


def analysis(
    folder: Path, *arguments: str, timeout: float = 900, **environment: str
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


def tables(folder: Path) -> results.Tables:
    """The tables that a run in the project wrote."""
    return results.read(folder / "_output" / "mini" / "results")[0]


def environment_for(**more: str) -> dict[str, str]:
    """This environment, with the repository importable and the mini study chosen; with temporary
    files of its own, as the machine's lock is one: a real run's timings are not waited for."""
    own = {"PYTHONPATH": str(REPOSITORY), "TMPDIR": _temporary().name}
    return {**os.environ, **own, "SPARSITY_STUDY": "mini", **more}


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="mini-")  # short: sockets lie in it
