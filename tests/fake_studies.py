"""Results of studies on real models and data, made up: void, failed and rehearsed ones too.

The tables are written by hand, as a run would write them; `fake` makes others from records.
"""

import functools
import itertools
import json
import math
import tempfile
from pathlib import Path
from types import SimpleNamespace

import fake_records

from analysis import results, rows
from analysis.execution.names import AUTO, DENSE, TILED_CSR
from analysis.paper.data import Data

LEVELS = (0.1, 0.5, 0.9, 0.95, 0.99)
# task: title, metrics with their chance and the dense score, unit of all but perplexity: per cent
TASKS = {
    "sst2": ("SST-2", {"accuracy": (0.509, 0.93)}),
    "mrpc": ("MRPC", {"combined": (0.75, 0.89), "accuracy": (0.68, 0.87), "f1": (0.81, 0.91)}),
    "wikitext2": ("WikiText-2", {"perplexity": (1100.0, 24.0)}),
    "lambada": ("LAMBADA", {"accuracy": (0.002, 0.46), "perplexity": (900.0, 31.0)}),
    "xsum": ("XSum", {"rouge1": (0.12, 0.47), "rouge2": (0.01, 0.24), "rougeL": (0.09, 0.39)}),
    "cnn_dailymail": ("CNN/DailyMail", {"rouge1": (0.2, 0.44), "rougeLsum": (0.15, 0.41)}),
    "en_fr": ("Translation, English to French", {"bleu": (0.01, 0.42), "chrf": (0.15, 0.66)}),
    "en_de": ("Translation, English to German", {"bleu": (0.01, 0.33), "chrf": (0.14, 0.62)}),
    "words": ("Masked words", {"pseudo_perplexity": (800.0, 12.0)}),
    "sentiment": ("Sentiment", {"accuracy": (0.5, 0.95)}),
}
TUNED = ("sst2", "mrpc", "sentiment")
_TITLES = {"accuracy": "accuracy", "f1": "F1", "combined": "mean of accuracy and F1",
           "perplexity": "perplexity per word", "bleu": "BLEU", "chrf": "chrF",
           "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L",
           "rougeLsum": "ROUGE-Lsum", "pseudo_perplexity": "pseudo-perplexity"}  # fmt: skip
GLUE, ZERO_SHOT = ("sst2", "mrpc"), ("wikitext2", "lambada")


def model(identifier, family, parameters, tasks, source="hub"):
    """One model of a study."""
    name = identifier.split("/")[-1]
    return SimpleNamespace(
        name=name, identifier=identifier, family=family, parameters=parameters,
        tasks=tasks, source=source,
    )  # fmt: skip


ENCODER, DECODER, BOTH = "encoder-only", "decoder-only", "encoder-decoder"
GPT2_XL = model("openai-community/gpt2-xl", DECODER, 1_557_611_200, ZERO_SHOT)
BERT_LARGE = model("google-bert/bert-large-uncased", ENCODER, 335_141_888, GLUE)
STUDIES = {
    "classic": {
        "models": [
            model("google-bert/bert-base-uncased", ENCODER, 109_482_240, GLUE),
            model("openai-community/gpt2", DECODER, 124_439_808, ZERO_SHOT),
            model("google/pegasus-xsum", BOTH, 569_748_480, ("xsum",)),
            model("google/pegasus-cnn_dailymail", BOTH, 570_797_056, ("cnn_dailymail",)),
        ],
        "void": [("pegasus-cnn_dailymail", "cnn_dailymail")],
        "published": [("gpt2", "wikitext2", "perplexity", 29.41), ("gpt2", "lambada", "accuracy",
                      0.4599), ("pegasus-xsum", "xsum", "rouge1", 0.4721)],
    },
    "xl": {
        "models": [BERT_LARGE, GPT2_XL, model("google/t5-v1_1-xl", BOTH, 2_849_757_184, GLUE)],
        "methods": ("magnitude-layer",),
        "failed": [("t5-v1_1-xl", "sst2"), ("t5-v1_1-xl", "mrpc")],
        "timed": False,
    },
    "medium": {
        "models": [
            model("openai-community/gpt2-medium", DECODER, 354_823_168, ZERO_SHOT),
            model("facebook/bart-large", BOTH, 406_291_456, GLUE),
            model("facebook/bart-large-cnn", BOTH, 406_290_432, ("cnn_dailymail",)),
            BERT_LARGE,
            model("IDEA-CCNL/Erlangshen-MegatronBert-1.3B", ENCODER, 1_300_000_000, GLUE),
            model("models/pangu", DECODER, 2_600_000_000, ("wikitext2", "words"), source="local"),
        ],
        "methods": ("magnitude", "wanda", "sparsegpt"),
        "lost": ["Erlangshen-MegatronBert-1.3B"],
    },
    "glue": {
        "models": [
            model("FacebookAI/roberta-base", ENCODER, 124_645_632, GLUE),
            model("openai-community/gpt2", DECODER, 124_439_808, GLUE),
            model("facebook/bart-base", BOTH, 139_420_416, GLUE),
        ],
        "trained": True,
        "failed_at": [("roberta-base", "mrpc", "magnitude", 0.9)],
    },
    "billion": {
        "models": [
            model("microsoft/deberta-v2-xxlarge", ENCODER, 1_567_000_000, GLUE),
            GPT2_XL,
            model("facebook/m2m100_1.2B", BOTH, 1_239_000_000, ("en_fr", "en_de")),
        ],
    },
    "single": {
        "models": [model("local-bert", ENCODER, 4_000_000, ("sst2",), source="scratch")],
        "levels": (0.9,),
    },
    "lost": {  # everything failed but one cell
        "models": [
            BERT_LARGE,
            GPT2_XL,
            model("google/t5-v1_1-xl", BOTH, 2_849_757_184, GLUE),
        ],
        "lost": ["t5-v1_1-xl"],
        "failed": [("bert-large-uncased", "mrpc"), ("gpt2-xl", "wikitext2"),
                   ("gpt2-xl", "lambada")],
        "failed_at": [("bert-large-uncased", "sst2", m, x)
                      for m in ("magnitude", "magnitude-layer") for x in LEVELS if x != 0.5
                      or m != "magnitude"],
        "timed": False,
    },
    "nothing": {  # not even one
        "models": [BERT_LARGE],
        "failed": [("bert-large-uncased", "mrpc"), ("bert-large-uncased", "sst2")],
        "timed": False,
    },
    "rehearsed": {
        "models": [
            model("openai-community/gpt2-xl", DECODER, 1_557_611_200, ZERO_SHOT, source="replica"),
            model("google-bert/bert-large-uncased", ENCODER, 335_141_888, GLUE, source="replica"),
        ],
        "void": [("gpt2-xl", t) for t in ZERO_SHOT] + [("bert-large-uncased", t) for t in GLUE],
        "rehearsal": True,
    },
    "mixed": {  # the generated language beside real text, a long name
        "models": [
            model("tiny-bert", ENCODER, 1_100_000, ("sentiment",), source="builtin"),
            model("a" * 40 + "-b_c." + "d" * 30, ENCODER, 30_000_000, ("sst2", "words")),
        ],
        "trained": True,
        "void": [("tiny-bert", "sentiment")],
    },
}  # fmt: skip


@functools.cache
def data(name: str) -> Data:
    """Its results, written and read back, as the paper gets them."""
    made = _Study(name, **STUDIES[name])
    with tempfile.TemporaryDirectory() as folder:
        results.write(made.tables(), made.environment(), Path(folder) / "results")
        return Data(*results.read(Path(folder) / "results"))


class _Study:
    def __init__(
        self, name, models, methods=("magnitude", "magnitude-layer"), levels=LEVELS, void=(),
        failed=(), failed_at=(), lost=(), published=(), trained=False, timed=True, rehearsal=False,
    ):  # fmt: skip
        self.name, self.models, self.methods, self.levels = name, models, methods, levels
        self.void, self.failed, self.failed_at, self.lost = void, failed, failed_at, lost
        self.published, self.trained, self.timed = published, trained, timed
        self.rehearsal = rehearsal
        self.rows = {table: [] for table in results.COLUMNS}

    def environment(self):
        return {
            "study": self.name, "title": f"A study called {self.name}", "study_text": "models: []",
            "finished": "2026-01-01T00:00:00+00:00", "commit": "c" * 40,
            "uncommitted_changes": False, "seeds": [0],
            "bootstrap": {"resamples": 1000, "confidence": 0.95},
            "hardware": {"processor": "a processor", "cores": 2, "accelerator": "no GPU",
                         "memory_bytes": 2**34},
            "system": "a system", "python": "3.11", "versions": {"torch": "2"}, "seconds": 9.0,
            "steps": {}, "rehearsal": self.rehearsal, "notes": ["a note on the run"],
        }  # fmt: skip

    def tables(self):
        asked = list(dict.fromkeys(task for m in self.models for task in m.tasks))
        for task in asked:
            self._task(task)
        for made in self.models:
            if made.name in self.lost:
                self._fail(f"fetch {made.identifier}", made.name, None, "the hub said 401")
                self._add("models", model=made.name, family=made.family, source=made.source,
                          identifier=made.identifier)  # fmt: skip
                for task in made.tasks:
                    self._failed_dense(made, task, "the hub said 401")
            else:
                self._model(made)
        for name, task, metric, value in self.published:
            self._add("published", model=name, task=task, metric=metric, value=value,
                      source="its paper, table 3")  # fmt: skip
        return results.build(self.rows)

    def _add(self, table, **row):
        self.rows[table].append(row)

    def _fail(self, step, name, task, why):
        self._add("failures", step=step, model=name, task=task, reason=why)

    def _failed_dense(self, made, task, why):
        self._variant(made, task, "dense", "dense", 0.0, status="failed", reason=why)

    def _task(self, task):
        title, metrics = TASKS[task]
        built = task == "sentiment"
        for metric, (chance, _) in metrics.items():
            is_perplexity = "perplexity" in metric
            self._add(
                "tasks", task=task, metric=metric, higher_is_better=not is_perplexity,
                chance=chance, best=1.0 if built else None, split="validation", examples=872,
                data_sha256="d" * 64, revision="1" if built else "e" * 40, licence="unknown",
                title=title, metric_title=_TITLES[metric], unit="" if is_perplexity else "%",
                log_scale=is_perplexity, measures="whether it is right",
                sample=json.dumps({"sentence": "some words"}),
                source="generated" if built else "hub: nyu-mll/glue",
            )  # fmt: skip

    def _model(self, made):
        hub = made.source == "hub"
        self._add(
            "models", model=made.name, family=made.family, source=made.source,
            revision=("f" if hub else "9") * (40 if hub else 12), weights_sha256="9" * 64,
            parameters=made.parameters, prunable_parameters=made.parameters * 3 // 4,
            dtype="float32", bytes=4 * made.parameters, train_seconds=0.0,
            identifier="" if made.source in ("builtin", "scratch") else made.identifier,
            training=json.dumps({"text": "some", "steps": 10}) if made.source == "scratch" else "",
        )  # fmt: skip
        base = f"{made.name}/dense"
        self._profile(made, base)
        for task in made.tasks:
            if (made.name, task) in self.failed:
                self._fail(f"evaluate {base} on {task}", made.name, task, "out of memory")
                self._failed_dense(made, task, "out of memory")
                continue
            self._benchmark(made, task)

    def _profile(self, made, base):
        if all((made.name, task) in self.failed for task in made.tasks):
            return
        found = rows.profile_rows(made.name, base, fake_records.profile(made.family))
        for table, listed in found.items():
            self.rows[table] += listed
        self._variant(made, "", "dense", "dense", 0.0)

    def _benchmark(self, made, task):
        own = task if task in TUNED else ""
        if own:
            self._variant(made, own, "dense", "dense", 0.0, train_seconds=60.0)
        self._score(made, task, "dense", 0.0, 1.0)
        self._size(made, own, "dense", 0.0)
        self._time(made, own, "dense", 0.0)
        shown = []
        for level in self.levels:
            scored = []
            for i, method in enumerate(self.methods):
                if (made.name, task, method, level) in self.failed_at:
                    self._variant(made, own, "pruned", method, level, status="failed",
                                  reason="the disk is full")  # fmt: skip
                    continue
                self._variant(made, own, "pruned", method, level)
                self._score(made, task, method, level, self._kept(made, task, level, i))
                self._size(made, own, method, level)
                self._time(made, own, method, level)
                scored.append(self._name(made, own, method, level))
                if i == 0 and task == made.tasks[0]:
                    shown.append(SimpleNamespace(name=scored[-1], sparsity=level))
                if self.trained and i == 0:
                    self._variant(made, own, "pruned", method, level, protocol="fine-tuned",
                                  train_seconds=90.0)  # fmt: skip
                    kept = self._kept(made, task, level, 0)
                    better = None if kept is None else kept**0.3
                    self._score(made, task, method, level, better, protocol="fine-tuned")
            for one, other in itertools.combinations(scored, 2):
                self._contest(one, other, task, level, (made.name, task) in self.void)
        if shown:
            dense = SimpleNamespace(name=self._name(made, own, "dense", 0.0), sparsity=0.0)
            both = [dense, *shown] if own else shown
            found = rows.histogram_rows(both, fake_records.histograms(made.family, both))
            known = {(r["variant"], r["scope"], r["scale"], r["left"])
                     for r in self.rows["histogram"]}  # fmt: skip
            self.rows["histogram"] += [
                r for r in found["histogram"]
                if (r["variant"], r["scope"], r["scale"], r["left"]) not in known
            ]  # fmt: skip

    def _kept(self, made, task, level, i):
        if (made.name, task) in self.void:
            return None
        return max(0.0, fake_records.quality(level) - 0.05 * i - 0.1 * (task == made.tasks[-1]))

    @staticmethod
    def _name(made, own, method, level, protocol="one-shot"):
        stem = f"{made.name}/{own}" if own else made.name
        return f"{stem}/dense" if method == "dense" else f"{stem}/{method}/{protocol}/{level:g}"

    def _variant(self, made, task, kind, method, level, protocol="one-shot", **more):
        name = self._name(made, task, method, level, protocol)
        if any(row["variant"] == name for row in self.rows["variants"]):
            return  # a model that is tuned for no task has one variant for all
        scope = made.parameters * 3 // 4
        known = {} if more.get("status") == "failed" else {
            "achieved": level, "scope_weights": scope, "whole_model": 0.75 * level,
            "threshold": 0.01 + 0.1 * level if method == "magnitude" else None,
            "prune_seconds": 2.0, "peak_bytes": 1 << 30, "parameters": made.parameters,
            "unheard_inputs": level**8,
        }  # fmt: skip
        self._add(
            "variants", variant=name, model=made.name, task=task, kind=kind, method=method,
            protocol="" if kind == "dense" else protocol, sparsity=level, settings="{}", seed=0,
            **{"status": "ok", "train_seconds": 0.0} | known | more,
        )  # fmt: skip

    def _score(self, made, task, method, level, kept, protocol="one-shot"):
        own = task if task in TUNED else ""
        void = (made.name, task) in self.void
        for metric, (chance, dense) in TASKS[task][1].items():
            share = 0.0 if void else (kept or 0.0)
            if "perplexity" in metric:
                value = math.exp(math.log(chance) + share * math.log(dense / chance))
            else:
                value = chance + share * (dense - chance)
            told = dict.fromkeys(("retained", "retained_low", "retained_high"))
            if not void:
                told = {"retained": share, "retained_low": share - 0.03,
                        "retained_high": share + 0.03}  # fmt: skip
            if method == "dense" and not void:
                told = dict.fromkeys(told, 1.0)
            infinite = "perplexity" in metric and level == 0.99 and made.name == "gpt2"
            if infinite:
                value, told = None, dict.fromkeys(told)
            self._add(
                "quality", variant=self._name(made, own, method, level, protocol), task=task,
                metric=metric, value=value, low=value and 0.97 * value, high=value and 1.03 * value,
                delta=None if infinite else -0.1 * level,
                delta_low=None if infinite else -0.1 * level - 0.02,
                delta_high=None if infinite else -0.1 * level + 0.02,
                examples=872, collapsed=metric != "perplexity" and level == 0.99,
                tokens_per_word=1.2, sample='["yes"]', void=void, **told,
            )  # fmt: skip

    def _contest(self, one, other, task, level, void):
        metric = next(iter(TASKS[task][1]))
        ends = dict.fromkeys(("difference", "low", "high"))
        if not void:
            ends = {"difference": 0.05, "low": 0.01, "high": 0.09}
        key = {"variant": one, "other": other, "metric": metric}
        if not any(key.items() <= row.items() for row in self.rows["contests"]):
            self._add("contests", task=task, sparsity=level, **key, **ends)

    def _size(self, made, own, method, level):
        name, whole = self._name(made, own, method, level), 4 * made.parameters
        if any(row["variant"] == name for row in self.rows["size"]):
            return
        bound = int(whole * (1 - 0.75 * level * 0.97))
        sizes = {"dense": whole, "dense+zstd": int(whole * (0.93 - 0.5 * level)),
                 "auto": min(whole, int(1.02 * bound))}  # fmt: skip
        for form, count in sizes.items():
            self._add("size", variant=name, format=form, bytes=count, ratio=count / whole,
                      bound_bytes=bound)  # fmt: skip

    def _time(self, made, own, method, level):
        name = self._name(made, own, method, level)
        known = any(row["variant"] == name for row in self.rows["runtime"])
        first = own in ("", made.tasks[0])
        if not self.timed or known or not first or method not in ("dense", self.methods[0]):
            return
        for batch, kernel in itertools.product((1, 16), (DENSE, TILED_CSR, AUTO)):
            if method == "dense" and kernel != DENSE:
                continue
            share = 1.0 if kernel == DENSE else 0.3 + 1.7 * (1 - level)
            self._add(
                "runtime", variant=name, operation="forward", kernel=kernel, device="cpu",
                threads=2, dtype="float32", batch=batch, tokens=16, iterations=10,
                p50_ms=80.0 * batch * share, p95_ms=90.0 * batch * share,
                tokens_per_second=200 / share, speedup=1 / share, speedup_low=0.97 / share,
                speedup_high=1.03 / share, peak_bytes=None, samples_ms="[80.0]", chosen="",
            )  # fmt: skip
