"""Tables, and the numbers in sentences, are those of the results; series follow from them."""

from pathlib import Path

import fake
import numpy as np
import pandas as pd
import pytest
import yaml
from paper_changes import MADE, after, drop, kept, plain, put, rows, tilt, value, without

from analysis.execution.names import DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import series, text
from analysis.paper.data import Data
from analysis.paper.tradeoff import measures as tradeoff
from analysis.paper.tradeoff import tables as tradeoff_tables
from analysis.results import KEYS

NONE = "*none in this study*"
LEVELS = [f"{level} %" for level in (10, 50, 90, 95, 99)]


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


def by_name(name, data):
    return {row[0]: row[1:] for row in rows(name, data)}


def test_a_series_is_named_by_what_its_method_does_not_say():
    moe, allocated = '{"run": 4, "experts": 16, "router": "%s"}', '{"allocation": {"encoder 0": 1}}'
    named = {
        ("wanda", "one-shot", "{}"): "wanda", ("gradual", "fine-tuned", "{}"): "gradual",
        ("nm-wanda", "one-shot", '{"pattern": "2:4"}'): "nm-wanda 2:4",
        ("nm-wanda", "distilled", '{"pattern": "2:4"}'): "nm-wanda 2:4, distilled",
        ("magnitude", "fine-tuned", "{}"): "magnitude, fine-tuned",
        ("my-method", "fine-tuned", "{}"): "my-method, fine-tuned",
        ("dense", float("nan"), "{}"): "dense", ("dense", "", None): "dense",
        ("structured", "one-shot", '{"kept": {}}'): "structured",
        ("student", "distilled", '{"layers": {"kept": 2, "of": 4}}'): "student",
        ("int8", "", '{"quantised_weights": 9}'): "int8",
        ("moe", "", moe % "learned"): "moe 4 of 16",
        ("moe", "", moe % "oracle"): "moe 4 of 16, oracle",
        ("magnitude-layer", "one-shot", allocated): "magnitude-layer, by sensitivity"}  # fmt: skip
    for told, name in named.items():
        assert series.name(*told) == name


def test_methods_that_lead_reach_every_level_and_entrants_are_all(data):
    methods = fake.load("tiny").methods
    assert data.methods == [m for m in methods if not m.startswith(("nm-", "struct", "grad"))]
    patterns = [f"{m} {p}" for m in methods if m.startswith("nm-") for p in ("2:4", "4:8")]
    assert set(data.entrants) - set(data.methods) == {"structured", *patterns}
    assert data.trained == ["gradual", "magnitude, fine-tuned", "magnitude, distilled"]
    slow = put("variants", {"method": "slow"}, method="gradual")(data)  # a method of one's own
    assert slow.trained[0] == "slow, fine-tuned"


def test_a_method_out_of_reach_in_one_model_only_does_not_lead_and_is_shown_where_it_is():
    found = fake.data("other")
    reached = found.one_shot.query("method == 'structured' and status == 'ok'")
    assert set(reached["sparsity"]) == set(found.levels)  # by one model or another
    assert set(reached.query("sparsity == 0.95")["model"]) == {"tiny-gpt2"}
    assert found.methods == ["wanda", "magnitude-layer"]
    *others, last = by_name("means", found)["structured"]
    assert last == "*out of reach*"
    assert all(cell.strip("*").endswith("%") for cell in others)
    structured = [row[1:] for row in rows("methods_by_level", found) if row[0] == "structured"]
    assert len(structured) == len(found.levels)
    shown = zip(found.cells(), structured[-1], strict=True)
    missing = [cell for cell, word in shown if word == "*out of reach*"]
    assert missing == [cell for cell in found.cells() if cell[0] == "tiny-bert"]
    assert by_name("means", fake.data("far"))["structured"] == ["*out of reach*"] * 2


def test_baselines_and_means_are_those_of_the_results(data):
    row = data.one(data.quality, model="tiny-bert", task="sentiment", sparsity=0.0)
    shown = {tuple(line[:2]): line[3] for line in rows("baseline", data)}
    assert shown["tiny-bert", "sentiment"] == f"{100 * row['value']:.1f}"
    scores = data.scores.query("series == 'magnitude' and sparsity == 0.5")
    mean = 100 * scores["retained"].clip(lower=0).mean()
    assert value("mean_retained", data, 0.5) == f"{mean:.0f} %"
    lower = kept(-5.0, variant="tiny-bert/.*/magnitude/one-shot/0.5$")(data)  # counts as nothing
    mean = 100 * scores["retained"].where(scores["model"] != "tiny-bert", 0).mean()
    assert value("mean_retained", lower, 0.5) == f"{mean:.0f} %"


def test_means_are_bold_where_they_are_the_best_of_their_level_and_nowhere_else(data):
    level = (kept(0.5, variant=f"/{name}/one-shot/") for name in data.methods)
    high = kept(0.6, variant="/(random|sparsegpt)/one-shot/0.9$")
    found = after(data, *level, kept(0.7, variant="/wanda/one-shot/0.5$"), high)
    body = by_name("means", found)
    for i, at in enumerate(found.levels):
        kept_by = {name: found.retained(name, at).values() for name in found.entrants}
        whole = {name: own for name, own in kept_by.items() if len(own) == len(found.cells())}
        means = {name: found.mean_retained(own) for name, own in whole.items()}
        best = {name for name, mean in means.items() if mean == max(means.values())}
        assert {name for name, row in body.items() if "**" in row[i]} == best
        for name, mean in means.items():
            assert body[name][i].strip("*") == plain(text.percent(mean))
        assert at != 0.9 or best >= {"random", "sparsegpt"}
    assert body["structured"][3:] == ["*out of reach*"] * 2
    assert body["nm-wanda 2:4"][0] == text.MISSING  # no level of its own
    assert body["nm-wanda 2:4"][1].endswith("%")
    gone = drop("quality", variant="^tiny-bert/sentiment/wanda/one-shot/0.5$")
    body = by_name("means", after(data, gone, kept(0.99, variant="/wanda/one-shot/0.5$")))
    assert body["wanda"][1] == "99.0 % ‡"  # over some benchmarks only: never the best


def test_a_winner_is_bold_only_if_it_is_surely_above_all_others(data):
    even = after(data, kept(0.5, variant="/one-shot/"), kept(0.9, variant="/wanda/one-shot/0.5$"))
    cell = even.cells()[0]
    rivals = [n for n in even.entrants if n != "wanda" and even.find(*cell, n, 0.5) is not None]
    sure = after(even, *(tilt("wanda", other, 0.4) for other in rivals))

    def winners(*changes):
        return {tuple(row[:2]): row[3] for row in rows("winners", after(sure, *changes))}

    assert set(winners().values()) == {"**wanda**"}
    assert set(winners(tilt("wanda", "random", 0.0)).values()) == {"wanda, 1 alike"}
    shown = winners(tilt("wanda", "random", 0.0, task="paraphrase"))
    assert shown["tiny-bert", "paraphrase"] == "wanda, 1 alike"
    assert shown["tiny-bert", "sentiment"] == "**wanda**"
    assert set(winners(kept(0.0, variant="/one-shot/")).values()) == {"none above chance"}
    assert set(winners(kept(np.nan, variant="/one-shot/")).values()) == {"*void*"}


def test_nine_tenths_are_safe_up_to_a_level_if_all_below_it_keep_them_too(data):
    for levels, expected in (
        ({0.1: 0.95, 0.5: 0.92, 0.9: 0.1}, "50 %"),
        ({0.1: 0.85, 0.5: 0.92}, "none of the levels"),
        ({0.1: 0.95, 0.5: 0.85, 0.9: 0.95}, "10 %"),
    ):
        where = {level: f"tiny-bert/sentiment/magnitude/one-shot/{level}$" for level in levels}
        whole = after(data, kept(1.0, variant="/magnitude/one-shot/0.(1|5|9)$"),
                      *(kept(v, variant=where[x]) for x, v in levels.items()))  # fmt: skip
        assert value("safe_level", whole) == expected
    perhaps = kept(0.95, 0.85, 1.0, variant="/magnitude/one-shot/0.1$")(data)
    assert value("safe_level", perhaps) == "none of the levels"


def test_seeds_are_shown_by_their_mean_and_ends():
    data = fake.data("seeded")
    changes = [kept(share, variant=f"^tiny-bert/.*magnitude/.*/0.5/seed-{seed}$")
               for seed, share in ((3, 0.8), (5, 0.9))]  # fmt: skip
    listed = rows("seeds", after(data, *changes))
    assert listed[0][:3] == ["tiny-bert", "sentiment", "2"]
    assert listed[0][3] == "0.85 (0.80 to 0.90)"


def test_every_method_that_ran_has_its_costs_and_a_row_at_its_levels(data):
    costs = by_name("method_costs", data)
    assert list(costs) == list(dict.fromkeys(data.one_shot["method"]))
    listed = rows("methods_by_level", data)
    starts = [i for i, row in enumerate(listed) if row[0].startswith("**")]
    assert [listed[i][0].strip("*") for i in starts] == LEVELS
    second, last = ({row[0]: row[1:] for row in listed[start + 1 :]} for start in starts[1::3])
    assert list(second)[: len(data.entrants) + 1] == [*data.entrants, "gradual"]
    assert set(last["structured"]) == {"*out of reach*"}
    assert "magnitude, fine-tuned" in last


def test_recovery_shows_before_and_after_of_its_own_method(data):
    shares = {"magnitude-layer/one-shot": 0.25, "wanda/one-shot": 0.75,
              "magnitude-layer/distilled": 0.6}  # fmt: skip
    changes = [kept(share, variant=f"/{name}/0.95$") for name, share in shares.items()]
    listed = rows("recovery", after(fake.data("other"), *changes))
    assert [row[0].split(":")[0] for row in listed] == ["tiny-gpt2", "tiny-bert"]
    assert [row[1:4] for row in listed] == [["95 %", "0.25", "0.60 (0.60 to 0.60)"]] * 2
    header = str(MADE["table"]["recovery"](data)).splitlines()[0]
    assert all(name in header for name in ("distilled", "gradual"))


def test_sizes_are_shares_of_the_dense_file_by_format_and_then_the_bound(data):
    where = {"variant": "tiny-gpt2/(language-modelling/)?magnitude/one-shot/0.9$"}
    ratio = put("size", {"ratio": 0.12345}, format="csr16", **where)
    listed = rows("sizes", after(data, ratio, put("size", {"bound_bytes": 1024}, **where)))
    formats = [*fake.load("tiny").formats, "*entropy bound*"]
    assert [row[:2] for row in listed] == [[m, name] for m in data.models for name in formats]
    shares = {(row[0], row[1]): row[2:] for row in listed}
    assert shares["tiny-bert", "dense"] == ["100.0 %"] * 6
    assert shares["tiny-gpt2", "csr16"][3] == "12.3 %"
    assert shares["tiny-gpt2", "*entropy bound*"][3] == "25.0 %"
    assert shares["tiny-bert", "csr16"][3] != "12.3 %"


def test_what_was_not_timed_is_said_in_tables_and_sentences(data):
    untimed = rows("latencies", drop("runtime", variant="^tiny-bart")(data))[-1]
    assert untimed[:3] == ["tiny-bart", text.MISSING, "*not timed*"]
    written, minimal = fake.data("written"), fake.data("minimal")
    assert value("runtime_settings", written) == "no forward pass was timed"
    assert value("stored_share", written) == text.MISSING  # no such format
    for name in ("generation_speedup", "masked_step"):
        assert value(name, minimal) == text.MISSING


def test_a_study_has_these_rows():
    tables = yaml.safe_load(Path(__file__).with_name("paper_rows.yml").read_text(encoding="utf-8"))
    for chosen, named in tables.items():
        for name, told in named.items():
            found = [" | ".join(row) for row in rows(name, fake.data(chosen))]
            if told == "none":
                assert found[0].startswith(NONE), (chosen, name)
            else:
                assert (len(found), len({*found})) == (told[0], told[0]), (chosen, name)
                assert {*told[1:]} <= {*found}, (chosen, name)


def test_weights_removed_are_the_leading_methods_where_no_training_was_timed(data):
    def removed(found):
        listed = rows("alternatives", found)
        return [row[0] for row in listed if row[1].startswith("weights removed")]

    other = {name.rsplit(" ", 2)[0] for name in removed(fake.data("other"))}
    # trained on one task, timed on another: one model is timed on the former
    assert other == {"wanda", "magnitude-layer, distilled"}
    untrained = without("gradual/", "magnitude/fine-tuned", "magnitude/distilled")(data)
    assert removed(untrained) == [f"magnitude {level}" for level in LEVELS]


def test_advice_has_a_row_for_each_model_and_loss(data):
    listed = rows("recommended", data)
    losses = {plain(text.percent(loss, 0)): loss for loss in tradeoff_tables.LOSSES}
    assert [row[:2] for row in listed] == [[m, loss] for m in data.models for loss in losses]
    variants = tradeoff.table(data)
    for row in listed:
        own = variants[variants["model"] == row[0]]
        chosen = tradeoff.recommended(own, losses[row[1]])
        at = f" {plain(text.level(chosen['sparsity']))}" if chosen["sparsity"] else ""
        size, speed = text.percent(chosen["bytes_share"]), text.times(1 / chosen["p50_ms_share"])
        expected = [chosen["series"] + at, text.number(chosen["retained"], 2), plain(size)]
        assert row[2:] == [*expected, chosen["format"], plain(speed), chosen["kernel"]]
    better = kept(0.96, 0.95, 1.0, variant="/sparsegpt/one-shot/0.99$")(data)
    advised = {(row[1], row[2] == "sparsegpt 99 %") for row in rows("recommended", better)}
    assert advised == {("1 %", False), ("5 %", True), ("10 %", True)}


def test_shares_of_files_at_the_highest_level_are_ranges_over_models(data):
    changes = [
        put("size", {"ratio": share + more}, format=form, variant=f"^{model}/.*magnitude/.*/0.99$")
        for model, share in (("tiny-bert", 0.02), ("tiny-bart", 0.04), ("tiny-gpt2", 0.03))
        for form, more in (("auto", 0), ("dense+zstd", 0.1))
    ]
    found = after(data, *changes)
    assert value("stored_share", found) == "2.0 % to 4.0 %"
    assert value("compressed_share", found) == "12.0 % to 14.0 %"


TRUE_SIZE = [  # speeds by level; the fastest, its bytes, and from which level it surely gains
    ({}, text.MISSING, text.MISSING, "surely gains at no level"),
    ({0.5: 0.9}, "0.90 ×", "120.0 %", "surely gains at no level"),  # dense ones are smaller
    ({0.5: 0.9, 0.9: 2.5}, "2.50 ×", "25.0 %", "gains from 90 % on"),
    ({0.5: 1.2, 0.8: 1.09, 0.9: 2.0}, "2.00 ×", "25.0 %", "gains from 90 % on"),  # on: not 50 %
    ({0.5: 1.2, 0.8: 1.5, 0.9: 2.0}, "2.00 ×", "25.0 %", "gains from 50 % on"),
    ({0.5: 1.2, 0.8: 1.5, 0.9: 0.9}, "0.90 ×", "25.0 %", "surely gains at no level"),
]


def test_sentences_on_true_size_are_of_the_fastest_sparse_kernel(data):
    columns = ["sparsity", "kernel", "speedup", "linear_bytes"]
    for speeds, *expected in TRUE_SIZE:
        listed = [(x, TILED_CSR, v, 1200 if x == 0.5 else 250) for x, v in speeds.items()]
        for x in speeds:
            listed += [(x, DENSE, 1.0, 1000), (x, TORCH_CSR, 0.5, 220)]
        frame = pd.DataFrame(listed, columns=columns)
        frame["speedup_low"] = frame["speedup_high"] = frame["speedup"]
        frame[list({*KEYS["replicas"]} - {*columns})] = "the same"
        found = data.tables | {"replicas": frame}
        names = ("replica_speedup", "replica_memory", "crossover")
        assert [value(name, Data(found, data.environment)) for name in names] == expected, speeds


def test_speed_of_writing_of_training_and_of_forward_passes_are_not_mixed(data):
    names = ("speedup_range", "generation_speedup", "masked_step")
    assert [value(name, data) for name in names] == ["1.00 ×", "3.15 ×", "1.08 ×"]
    writing = put("runtime", {"speedup": 7.0}, operation="generate")
    found = after(data, writing, put("runtime", {"speedup": 0.5}, operation="train_step"))
    assert [value(name, found) for name in names] == ["1.00 ×", "7.00 ×", "2.00 ×"]
