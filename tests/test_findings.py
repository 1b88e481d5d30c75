"""Each claim flips with the results, or says nothing where none can tell: see findings.yml."""

import re
from itertools import pairwise
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import paper_changes
import pytest
import yaml
from paper_changes import DIFFERENCE, KEPT, after, both, drop, kept, plain, put, tilt, void

from analysis.execution.names import AUTO, TILED_CSR, TORCH_CSR
from analysis.paper.claims import document
from analysis.paper.data import Data
from analysis.paper.verdicts import Cell, Verdict, everywhere, mean, on_average, somewhere


def files(ratio, form, pattern=""):
    """Files of a format have that size, as a share of the dense one."""
    return put("size", {"ratio": ratio}, format=form, variant=pattern)


def speed(value, low=None, high=None, **conditions):
    """Forward passes of the timed method are that many times as fast as dense."""
    low, high = (value if end is None else end for end in (low, high))
    ends = {"speedup": value, "speedup_low": low, "speedup_high": high}
    where = {"operation": "forward", "variant": "/magnitude/one-shot/"} | conditions
    return put("runtime", ends, **where)


def large(values, kernel=TILED_CSR):
    """At true size one sparse kernel is that fast at these levels; all else is slow, or gone."""

    def fast(value, **conditions):
        return put("replicas", dict.fromkeys(FAST, value), **conditions)

    levels = [fast(v, sparsity=x, kernel=kernel) for x, v in values.items()]
    slow = fast(0.5, kernel=[TORCH_CSR, TILED_CSR])
    return both(slow, drop("replicas", sparsity=f"not in {list(values)}"), *levels)


def small(values):
    """Small models on the kernels chosen for them, level by level; all other kernels are slow."""
    levels = {f"/magnitude/one-shot/{x:g}$": value for x, value in values.items()}
    slow = speed(0.1, kernel=[TORCH_CSR, TILED_CSR, AUTO])
    return both(slow, *(speed(v, kernel=AUTO, variant=where) for where, v in levels.items()))


FAST = ("speedup", "speedup_low", "speedup_high")


def rivals(kind, difference, where=""):
    """How much more these alternatives keep than pruned models, within a hundredth."""

    def change(data):
        frame, pruned = data["contests"].copy(), re.compile("/(?:one-shot|fine-tuned|distilled)/")
        for column, rival, sign in (("variant", "other", 1), ("other", "variant", -1)):
            rows = frame[column].str.endswith(f"/{kind}")
            rows &= frame[rival].map(lambda v: bool(pruned.search(v) and re.search(where, v)))
            ends = sorted([sign * difference - 0.01, sign * difference + 0.01])
            frame.loc[rows, list(DIFFERENCE)] = [sign * difference, *ends]
        return Data({**data.tables, "contests": frame}, data.environment)

    return change


def routers(difference, **conditions):
    """How much more learned routers keep than oracles."""
    names = [f"moe {run} of 16" for run in (8, 4, 2)]
    return both(*(tilt(name, f"{name}, oracle", difference, **conditions) for name in names))


def curve(values, on="tiny-"):
    """What the leading method retains, level by level."""
    where = {f"^{on}.*/magnitude/one-shot/{x:g}$": value for x, value in values.items()}
    return both(*(kept(value, variant=pattern) for pattern, value in where.items()))


def order(values, level="[0-9.]+"):
    """What methods retain at a level."""
    return both(*(kept(v, variant=f"/{m}/one-shot/{level}$") for m, v in values.items()))


def ranked(*steps, **conditions):
    """How much more each of the four methods keeps than the next."""
    order = ("sparsegpt", "wanda", "magnitude", "random")
    return both(*(tilt(a, b, step, **conditions)
                  for (a, b), step in zip(pairwise(order), steps, strict=True)))  # fmt: skip


def tuned(value, level=0.9, where=""):
    """What fine-tuned models retain."""
    return kept(value, variant=f"{where}.*/magnitude/fine-tuned/{level}$")


def blocks(values, **conditions):
    """The statistics of blocks."""
    return put("profile_scopes", values, layer=">= 0", **conditions)


def quartiles(apart, **conditions):
    """How far apart the quartiles of each block's weights lie."""
    return both(blocks({"q25": 0.0}, **conditions), blocks({"q75": apart}, **conditions))


def scales(kinds, layers, **conditions):
    """Standard deviations that grow with the kind and with the depth."""

    def std(rows):
        stacks = rows.groupby(["model", "part"])["kind"]
        codes = stacks.transform(lambda kind: kind.astype("category").cat.codes)
        return np.exp(kinds * codes + layers * rows["layer"])

    return put("profile", {"std": std}, layer=">= 0", **conditions)


def unread(wanda, by_row, **conditions):
    """The share of inputs that no weight reads."""
    shares = {"wanda": wanda, "magnitude-row": by_row}
    return both(*(put("variants", {"unheard_inputs": share}, method=method, **conditions)
                  for method, share in shares.items()))  # fmt: skip


def patterns(value):
    """How much more every pattern keeps than its own method without one."""
    free = {"magnitude": "magnitude-row", "wanda": "wanda", "sparsegpt": "sparsegpt"}
    return both(*(tilt(f"nm-{method} {pattern}", other, value)
                  for method, other in free.items() for pattern in ("2:4", "4:8")))  # fmt: skip


def zeros_left(count):
    """Of 1000 that were removed; after the first epoch without masks it is still all of them."""
    first, last = ({"masks_kept": False, "epoch": epoch} for epoch in (1, 2))
    zeros = [put("recovery", {"zeros": 1000}, **first), put("recovery", {"zeros": count}, **last)]
    return both(put("recovery", {"removed": 1000}), *zeros)


def borne(first, others, **conditions):
    """What is retained with one group pruned alone: of the first group, and of all others."""
    where = {"model": "tiny-bert", "sparsity": 0.9} | conditions

    def values(i):
        return lambda rows: [first[i], *[others[i]] * (len(rows) - 1)]

    return put("sensitivity", {column: values(i) for i, column in enumerate(KEPT)}, **where)


def collapsed(variant, **conditions):
    """These give one answer to everything, no others."""
    one = put("quality", {"collapsed": True}, variant=variant, **conditions)
    return both(put("quality", {"collapsed": False}), one)


CONTESTED = {  # claim: the two series, whether the first is to be better, what it takes
    "inputs-help": ("wanda", "magnitude-row", True, ["wanda/one-shot", "magnitude-row/"]),
    "correction-helps": ("sparsegpt", "wanda", True, ["sparsegpt/one-shot", "wanda/one-shot"]),
    "structure-costs": ("structured", "magnitude", False, ["structured/"]),
    "distillation-helps": ("magnitude, distilled", "magnitude, fine-tuned", True,
                           ["magnitude/distilled", "magnitude/fine-tuned"]),
    "allocation-helps": ("magnitude-layer, by sensitivity", "magnitude-layer", True,
                         [r"magnitude-layer/one-shot/[0-9.]+/allocated"]),
}  # fmt: skip


SIDES = ("supported", "contradicted")


def _cases():
    read = Path(__file__).with_name("findings.yml").read_text(encoding="utf-8")
    found = yaml.safe_load(read)
    for name, kind in (("eight-bits-win", "int8"), ("student-wins", "student")):
        found[name] += yaml.safe_load(read.replace("KIND", kind))[kind]
    for name, (one, other, better, takes) in CONTESTED.items():
        more, less = SIDES if better else SIDES[::-1]
        cases = [
            [more, tilt(one, other, 0.1)],
            [less, tilt(one, other, -0.1)],
            ["undecided", tilt(one, other, 0.0)],
            ["undecided", tilt(one, other, 0.01)],  # its end is 0
            # a benchmark that surely disagrees with the mean
            ["undecided", tilt(one, other, 0.1), tilt(one, other, -0.1, variant="tiny-bert/sent")],
            [more, tilt(one, other, 0.1), tilt(one, other, 0, variant="tiny-bert/sent")],
            [more, tilt(one, other, 0.1), void(variant="^tiny-gpt2/")],
            # what is as wide as the whole scale says nothing, and drowns nothing
            [more, tilt(one, other, 0.1), tilt(one, other, 0, 20, variant="tiny-bert/sent")],
            ["unchecked", void(variant="")],
            *(["unchecked", paper_changes.without(start)] for start in takes),
        ]
        found.setdefault(name, []).extend(cases)
    return found


CASES = _cases()


# decided by counts, bytes and orders: nothing has an interval
EXACT = {"dense-bytes", "compressor-finds-zeros", "sparse-files-shrink", "layers-differ",
         "differs-with-depth", "kinds-differ-more", "inputs-cut-off", "masks-needed",
         "one-answer"}  # fmt: skip


@pytest.mark.parametrize("name", document.claims())
def test_a_claim_goes_by_the_results(name):
    expected = {verdict for verdict, *_ in CASES[name]}
    assert expected >= {*SIDES, "unchecked"}
    assert name in EXACT or "undecided" in expected
    for verdict, *told in CASES[name]:
        study = next((one for one in told if isinstance(one, str)), "tiny")
        says = [one["says"] for one in told if isinstance(one, dict) and "says" in one]
        changes = [one for one in told if one != study and (callable(one) or "says" not in one)]
        given = [paper_changes.change_of(one, globals()) for one in changes]
        found = paper_changes.checked(after(fake.data(study), *given), name)
        assert found.verdict.name.lower() == verdict, (told, found.evidence)
        assert all(part in plain(found.evidence) for part in says), found.evidence


def verdicts(data, names=None):
    names = document.claims() if names is None else names
    return {name: paper_changes.checked(data, name).verdict for name in names}


def test_intervals_that_reach_both_sides_decide_nothing():
    wide = after(
        fake.data("tiny"),
        put("quality", {"retained_low": -9, "retained_high": 9}, variant="^(?!.*/dense$)"),
        put("sensitivity", {"retained_low": -9, "retained_high": 9}),
        put("contests", {"low": -9, "high": 9}),
        *(
            put(table, {"speedup_low": 0.01, "speedup_high": 99})
            for table in ("runtime", "replicas")
        ),
    )
    found = verdicts(wide, [name for name in document.claims() if name not in EXACT])
    assert set(found.values()) <= {Verdict.UNDECIDED, Verdict.UNCHECKED}, found
    assert list(found.values()).count(Verdict.UNCHECKED) < 2, found


def twin(data, model):
    """The results with a model that answers, weighs and takes just as this one does."""
    found = dict(data.tables)
    for table, frame in found.items():
        names = [c for c in ("model", "variant", "other") if c in frame]
        of = frame[frame[names[0]].astype(str).str.startswith(model)] if names else frame[:0]
        copied = of.assign(**{c: of[c].str.replace(model, f"{model}-twin") for c in names})
        found[table] = pd.concat([frame, copied], ignore_index=True)
    return Data(found, data.environment)


def test_the_models_order_scale_and_number_change_no_verdict():
    data = fake.data("tiny")
    known = verdicts(data)
    backwards = Data({t: f[::-1].reset_index(drop=True) if t in ("models", "profile_scopes")
                      else f for t, f in data.tables.items()}, data.environment)  # fmt: skip
    scaled = {c: f"={c} * 1000" for c in ("std", "q25", "q50", "q75", "q99")}
    larger = after(data, put("profile", scaled), put("profile_scopes", scaled))
    changed = {"order": backwards, "twin": twin(data, "tiny-gpt2"), "scale": larger}
    for what, other in changed.items():
        assert verdicts(other) == known, what


def test_noise_alone_decides_no_more_often_than_the_confidence_allows():
    """1,000 sets of results in which nothing differs, with correct intervals."""
    chance, tries = np.random.default_rng(0), 1000
    rules = {on_average: SIDES, everywhere: ["contradicted"], somewhere: ["supported"]}
    for count in (1, 2, 12):
        for shared in (0.0, 0.8):  # benchmarks that share models and examples
            noise = np.sqrt(shared) * chance.normal(size=(tries, 1))
            noise = noise + np.sqrt(1 - shared) * chance.normal(size=(tries, count))
            drawn = [[Cell(v, v - 0.196, v + 0.196) for v in 0.1 * row] for row in noise]
            for rule, wrong in rules.items():
                found = [rule(cells, 0.05).value for cells in drawn]
                for word in wrong:
                    assert found.count(word) / tries < 0.05, (rule, count, shared, word)


def test_a_mean_has_the_means_of_the_ends():
    cells = [Cell(0.4, 0.1, 0.6), Cell(-0.2, -0.3, -0.1), Cell(0.1, -0.1, 0.4), Cell(0.1, 0.0, 0.0)]
    found = mean(cells)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, -0.075, 0.225))
    assert mean([*cells, Cell(9.0, -9.0, 30.0)]) == found
    wide = Cell(1.0, 0.0, 3.0).widened(0.05, 10)  # 2.807 in place of 1.960 standard deviations
    assert (wide.low, wide.high) == pytest.approx((1 - 1.4322, 1 + 2 * 1.4322), abs=1e-3)
