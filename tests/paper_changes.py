"""Results with one thing changed, and what the paper says then: what tests of the paper share."""

import re

from fake import changed

from analysis.paper import claims
from analysis.paper.data import Data


def supported(data, name):
    found = claims.verdict(data, name)
    words = {
        True: ": supported by this run",
        False: ": not supported by this run",
        None: "cannot be checked in this study",
    }
    statement = str(claims.statement(data, name))
    assert words[found.supported] in statement
    assert (": supported by this run" in statement) is (found.supported is True)
    return found.supported


def without(data, *starts):
    """The same results without the variants whose `method/protocol` begins with one of these."""
    gone = data["variants"]["variant"].str.contains("|".join(f"/{start}" for start in starts))
    left = data["variants"][~gone]
    names = set(left["variant"])
    found = {**data.tables, "variants": left}
    found["quality"] = data["quality"][data["quality"]["variant"].isin(names)]
    contests = data["contests"]
    found["contests"] = contests[contests["variant"].isin(names) & contests["other"].isin(names)]
    return Data(found, data.environment)


def met(data, one, other):
    """Which rows of table `contests` are of these two series, and in which order they stand."""
    names = data.variants.set_index("variant")["series"].to_dict()
    pair = data["contests"][["variant", "other"]].map(names.get)
    first, second = pair["variant"], pair["other"]
    return ((first == one) & (second == other)), ((first == other) & (second == one))


def tilted(data, one, other, retained, only=None):
    """The results in which the first series retains that much more than the other, for sure."""
    straight, turned = met(data, one, other)
    assert (straight | turned).any()

    def change(frame):
        for rows, sign in ((straight, 1), (turned, -1)):
            chosen = rows if only is None else rows & only(frame)
            ends = sorted([sign * retained - 0.01, sign * retained + 0.01])
            frame.loc[chosen, ["difference", "low", "high"]] = [sign * retained, *ends]

    return changed(data, "contests", change)


def keeping(data, values, sparsity="[0-9.]+", variant="{}/one-shot"):
    """The results in which each of these methods retains so much, for sure."""

    def change(frame):
        for method, value in values.items():
            pattern = f"(?:^|/){variant.format(method)}/{sparsity}$"
            rows = frame["variant"].str.contains(pattern)
            assert rows.any()
            frame.loc[rows, ["retained", "retained_low", "retained_high"]] = value

    return changed(data, "quality", change)


def cells(table):
    """A table's body as lists of plain cells."""
    lines = str(table).strip().splitlines()[2:]
    return [
        [re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), c).strip() for c in line[1:-1].split("|")]
        for line in lines
    ]
