"""Each claim flips with the results, or says nothing where none can tell: see findings.yml."""

import re
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import paper_changes
import pytest
import yaml
from paper_changes import DIFFERENCE, KEPT, after, both, drop, kept, met, plain, put, tilt, void

from analysis.execution.names import AUTO, TILED_CSR, TORCH_CSR
from analysis.paper import claims
from analysis.paper.contests import contest
from analysis.paper.data import Data


def files(ratio, form, pattern=""):
    """Files of a format have that size, as a share of the dense one."""
    return put("size", {"ratio": ratio}, format=form, variant=pattern)


def speed(value, low=None, **conditions):
    """Forward passes of the timed method are that many times as fast as dense."""
    ends = {"speedup": value, "speedup_low": value if low is None else low, "speedup_high": value}
    where = {"operation": "forward", "variant": "/magnitude/one-shot/"} | conditions
    return put("runtime", ends, **where)


def large(values, kernel=TILED_CSR):
    """At true size one sparse kernel is that fast at these levels; all else is slow, or gone."""
    levels = [put("replicas", {"speedup": v}, sparsity=x, kernel=kernel) for x, v in values.items()]
    slow = put("replicas", {"speedup": 0.5}, kernel=[TORCH_CSR, TILED_CSR])
    return both(slow, drop("replicas", sparsity=f"not in {list(values)}"), *levels)


def small(values):
    """Small models on the kernels chosen for them, level by level; all other kernels are slow."""
    levels = {f"/magnitude/one-shot/{x:g}$": value for x, value in values.items()}
    slow = speed(0.1, kernel=[TORCH_CSR, TILED_CSR, AUTO])
    return both(slow, *(speed(v, kernel=AUTO, variant=where) for where, v in levels.items()))


def even():
    """Pruned models are all alike, alternatives better."""
    pruned = kept(0.8, 0.7, variant="/(?:one-shot|fine-tuned|distilled)/")
    return both(pruned, kept(0.95, 0.9, variant="/(?:int8|student)$"))


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


def tuned(value, level=0.9, where=""):
    """What fine-tuned models retain."""
    return kept(value, variant=f"{where}.*/magnitude/fine-tuned/{level}$")


def blocks(values, **conditions):
    """The statistics of blocks."""
    return put("profile_scopes", values, layer=">= 0", **conditions)


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
    "scope-matters": ("magnitude", "magnitude-all", True, ["magnitude-all/"]),
}  # fmt: skip


def _cases():
    read = Path(__file__).with_name("findings.yml").read_text(encoding="utf-8")
    found = yaml.safe_load(read)
    for name, kind in (("eight-bits-win", "int8"), ("student-wins", "student")):
        found[name] += yaml.safe_load(read.replace("KIND", kind))[kind]
    for name, (one, other, better, takes) in CONTESTED.items():
        cases = [
            [better, tilt(one, other, 0.1)],
            [not better, tilt(one, other, -0.1)],
            [False, tilt(one, other, 0.0)],
            [False, tilt(one, other, 0.01 if better else -0.01)],  # its end is 0
            # the mean decides, not how many are won
            [not better, tilt(one, other, 0.05), tilt(one, other, -50, variant="tiny-bert/sent")],
            [better, tilt(one, other, 0.1), void(variant="^tiny-gpt2/")],
            [None, void(variant="")],
            *([None, paper_changes.without(start)] for start in takes),
        ]
        found.setdefault(name, []).extend(cases)
    return found


CASES = _cases()


def change(told):
    """The change that a case names: by its function, its arguments, and conditions."""
    if callable(told):
        return told
    (name, given), *conditions = told.items()
    function = globals().get(name) or getattr(paper_changes, name)
    arguments = given if isinstance(given, list) else [] if given is None else [given]
    return function(*arguments, **dict(conditions))


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_a_claim_flips_with_the_results(name):
    assert {expected for expected, *_ in CASES[name]} == {True, False, None}
    for expected, *told in CASES[name]:
        study = next((one for one in told if isinstance(one, str)), "tiny")
        says = [one["says"] for one in told if isinstance(one, dict) and "says" in one]
        changes = [one for one in told if one != study and (callable(one) or "says" not in one)]
        found = claims.verdict(after(fake.data(study), *map(change, changes)), name)
        assert found.supported is expected, (told, found.evidence)
        told_instead = found.claim.otherwise if expected is False else found.claim.sentence
        assert found.consequence == told_instead
        assert all(part in plain(found.evidence) for part in says), found.evidence


@pytest.mark.parametrize("name", CONTESTED)
def test_a_contest_is_counted_the_same_whichever_stands_first(name):
    data = fake.data("tiny")
    straight, turned = met(data, *CONTESTED[name][:2])
    frame, rows = data["contests"].copy(), straight | turned
    old = frame.loc[rows, ["other", "variant", "difference", "high", "low"]].to_numpy()
    frame.loc[rows, ["variant", "other"]] = old[:, :2]
    frame.loc[rows, list(DIFFERENCE)] = -old[:, 2:].astype(float)
    changed = Data({**data.tables, "contests": frame}, data.environment)
    evidence = claims.verdict(data, name).evidence
    assert claims.verdict(changed, name).evidence == evidence
    fewer = claims.verdict(void(variant="^tiny-gpt2/")(data), name).evidence
    assert re.search("of [0-9]+ cells", fewer)[0] != re.search("of [0-9]+ cells", evidence)[0]


def test_a_contest_is_the_mean_with_the_means_of_the_ends():
    rows = [(0.4, 0.1, 0.6), (-0.2, -0.3, -0.1), (0.1, -0.1, 0.4), (0.1, 0.0, 0.0)]
    table = pd.DataFrame([*rows, [np.nan] * 3], columns=list(DIFFERENCE))
    found = contest(table)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, -0.075, 0.225))
    assert (found.better, found.worse, found.cells) == (1, 1, 4)
    assert "better in 1, worse in 1 of 4 cells" in found.shown
    assert contest(table[4:]) is contest(table[:0]) is None
