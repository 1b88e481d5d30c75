"""What the paper makes of results, and results with something changed: what its tests share.

A change is a function of results that gives others. Rows are chosen by their columns: a value, a
list of values, a comparison such as ">= 0.5", and for variants a pattern.
"""

import functools
import html
import re

import numpy as np
import pandas as pd

from analysis.paper import claims, sections
from analysis.paper.claims import document
from analysis.paper.data import Data
from analysis.paper.text import escape
from analysis.paper.verdicts import Verdict

MADE = {
    **{kind: sections.known(kind) for kind in ("figure", "table", "value")},
}
KEPT, DIFFERENCE = ("retained", "retained_low", "retained_high"), ("difference", "low", "high")
COMPARISON = re.compile("[<>!=]|not in ")


def after(data, *changes):
    """The results after these changes, one by one."""
    return functools.reduce(lambda found, change: change(found), changes, data)


def both(*changes):
    """Several changes as one."""
    return lambda data: after(data, *changes)


def _chosen(frame, conditions):
    rows = pd.Series(True, frame.index)
    for column, wanted in conditions.items():
        if column in ("variant", "other"):
            rows &= frame[column].map(re.compile(wanted).search).map(bool)
        elif isinstance(wanted, str) and COMPARISON.match(wanted):
            rows &= frame.eval(f"{column} {wanted}")
        else:
            rows &= frame[column].isin(wanted if isinstance(wanted, list) else [wanted])
    return rows


def put(table, values, **conditions):
    """Other values in some rows of a table: given, a formula of columns ("=…"), or made of rows."""

    def change(data):
        frame = data[table].copy()
        rows = _chosen(frame, conditions)
        assert rows.any(), conditions
        for column, value in values.items():
            if isinstance(value, str) and value.startswith("="):
                value = frame[rows].eval(value[1:])
            elif callable(value):
                value = value(frame[rows])
            if frame[column].dtype.kind in "iu":
                frame[column] = frame[column].astype(float)
            frame.loc[rows, column] = value
        return Data({**data.tables, table: frame}, data.environment)

    return change


def drop(table, **conditions):
    """Without some rows of a table; without conditions it is empty."""

    def change(data):
        kept = data[table][~_chosen(data[table], conditions)]
        return Data({**data.tables, table: kept}, data.environment)

    return change


def kept(value, low=None, high=None, **conditions):
    """Some variants retain so much; without ends, for sure."""
    ends = (value if low is None else low, value if high is None else high)
    return put("quality", dict(zip(KEPT, (value, *ends), strict=True)), **conditions)


def void(**conditions):
    """Nothing can be said of what these variants retain."""
    nothing = put("contests", dict.fromkeys(DIFFERENCE, np.nan), **conditions)
    return both(kept(np.nan, **conditions), nothing)


def without(*starts):
    """Without the variants whose `method/protocol` begins with one of these."""
    pattern = "|".join(f"/{start}" for start in starts)

    def change(data):
        found = dict(data.tables)
        for table, column in (("variants", "variant"), ("quality", "variant"),
                              ("contests", "variant"), ("contests", "other")):  # fmt: skip
            found[table] = found[table][~_chosen(found[table], {column: pattern})]
        return Data(found, data.environment)

    return change


def change_of(told, functions=()):
    """The change that a table tells of: a function, of here or one of these, and its arguments."""
    if callable(told):
        return told
    (name, given), *conditions = told.items()
    arguments = given if isinstance(given, list) else [] if given is None else [given]
    return {**globals(), **dict(functions)}[name](*arguments, **dict(conditions))


def tilt(one, other, retained, within=0.01, **conditions):
    """The first series retains that much more than the other, within a hundredth."""

    def change(data):
        frame, names = data["contests"].copy(), data.variants.set_index("variant")["series"]
        first, second = (frame[column].map(names) for column in ("variant", "other"))
        straight, turned = (first == one) & (second == other), (first == other) & (second == one)
        assert (straight | turned).any(), (one, other)
        for rows, more in ((straight, retained), (turned, -retained)):
            chosen = rows & _chosen(frame, conditions)
            frame.loc[chosen, list(DIFFERENCE)] = [more, more - within, more + within]
        return Data({**data.tables, "contests": frame}, data.environment)

    return change


def checked(data, name):
    """The claim of that name, held against results."""
    return claims.check(data, document.named(name))


def verdict(data, name):
    """The claim's verdict; its statement says so in words, and what is true."""
    found = checked(data, name)
    statement, claim = str(claims.statement(found)), found.claim
    written = (claim.sentence, claim.otherwise, claim.undecided)
    claimed, otherwise, undecided = map(claims.one_line, written)
    label, numbers = f"Claim *{escape(name)}*", found.evidence
    assert statement == {
        Verdict.SUPPORTED: f"> **{claimed}** {label}, supported: {numbers}.",
        Verdict.CONTRADICTED:
            f"> **{otherwise}** {label}, contradicted: {numbers}. Claimed: “{claimed}”",
        Verdict.UNDECIDED: f"> {undecided} {label}, undecided: {numbers}. Claimed: “{claimed}”",
        Verdict.UNCHECKED: f"> “{claimed}” {label} cannot be checked in this study: {numbers}.",
    }[found.verdict]  # fmt: skip
    return found.verdict


def plain(shown):
    """As a reader sees it, with ordinary blanks."""
    unmarked = re.sub(r"\[([^\[\]]*)\]\{\.data\}", r"\1", str(shown))  # as data, no leftovers
    unmarked = re.sub(r'\[([^\[\]]*)\]\{title="[^{}]*\}', r"\1", unmarked)  # its source
    unmarked = re.sub(r"\[([^\[\]]*)\]\(https://[^()]*\)", r"\1", unmarked)  # a link
    seen = html.unescape(unmarked).replace("\u00a0", " ").replace("\u202f", " ")
    return seen.replace("\u2060", "").replace("\u200b", "")


def cells(table):
    """The body of the pipe table in a text, as lists of plain cells."""
    lines = [line for line in str(table).splitlines() if line.startswith("|")][2:]
    return [[plain(cell).strip() for cell in line.strip("|").split("|")] for line in lines]


def rows(name, data):
    """The body of the table of that name, of these results."""
    return cells(MADE["table"][name](data))


def value(name, data, *arguments):
    """The value of that name, of these results."""
    return plain(MADE["value"][name](data, *arguments))
