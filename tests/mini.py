"""A study small enough for tests, and a cache in which its models already lie, barely trained."""

import functools
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

from analysis import data_calls, model_calls, results, study, timing_calls, variants
from analysis.data_calls import Data
from analysis.memo import Memo, Record
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
    """A project folder with the mini study, its barely trained models and a small replica in the
    cache."""
    (folder / "studies").mkdir(parents=True)
    (folder / "studies" / "mini.yml").write_text(STUDY, encoding="utf-8")
    chosen = study.load("mini", folder / "studies")
    remember_examples(folder / "cache", chosen)
    remember_models(folder / "cache", chosen)
    remember_replica(folder / "cache", chosen)
    return folder


def remember_examples(cache: Path, chosen: study.Study) -> None:
    """Store the examples under the keys of the real ones, with a chance that is worse than any
    score: two steps of training do not beat the real one, and every comparison would be void."""
    from analysis.steps.examples import make_examples, make_validation

    def without_luck(record: Record) -> Record:
        lowest = {m: -1.0 if METRICS[m].higher_is_better else 1e6 for m in record["chance"]}
        return record | {"chance": lowest}

    memo = Memo(cache)
    memo.prepare()
    for task in chosen.tasks:
        call = data_calls.test_examples(chosen, task)
        test = without_luck(make_examples(memo.objects, **call.arguments))
        memo.store(call, test, 1.0)
        if chosen.sensitivity is not None and task in chosen.sensitivity.tasks:
            call = data_calls.validation(Data(task, test, None), chosen.sensitivity.examples)
            record = make_validation(memo.objects, **call.arguments)
            memo.store(call, without_luck(record), 1.0)


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
            call = model_calls.pretrain(model.name, 0, chosen.compute.threads)
            record = pretrain_builtin(memo.objects, **call.arguments)
            memo.store(call, record, 1.0)
            base = variants.base_variant(chosen, model, 0, record)
            for task in model.tasks:
                if task not in BUILTIN[model.name].pretrained:
                    call = model_calls.fine_tune(chosen, model, base, task, None)
                    memo.store(call, fine_tune(memo.objects, **call.arguments), 1.0)


def remember_replica(cache: Path, chosen: study.Study) -> None:
    """Store the timings of a small model under the key of the one of true size."""
    from transformers import BertConfig

    from analysis.steps import replica

    small = functools.partial(
        BertConfig, hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=128, vocab_size=1000,
    )  # fmt: skip
    memo, call = Memo(cache), timing_calls.replica(chosen)
    memo.prepare()
    with patch.dict(replica._CONFIGS, {"bert-base": small}):
        memo.store(call, replica.measure_replica(memo.objects, **call.arguments), 1.0)


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
