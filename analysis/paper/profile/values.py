"""How many weights are zero, nearly zero, and where they differ most."""

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.profile import measures
from analysis.paper.sourced import Sourced, sourced
from analysis.paper.text import escape


def far_range(data: Data) -> Sourced:
    """The widest range over definitions of the share of one model's weights far from zero."""
    ranges = []
    for model in data.profiled:
        row = data.one(data["profile_scopes"], model=model, scope="model")
        shares = [share(row) for share in measures.FAR_FROM_ZERO.values()]
        ranges.append((max(shares) - min(shares), shares, row))
    if not ranges:
        return sourced(text.MISSING, "profile_scopes", [])
    _, shares, row = max(ranges, key=lambda found: found[0])
    shown = f"{text.percent(min(shares), 0)} or {text.percent(max(shares), 0)}"
    return sourced(shown, "profile_scopes", [row])


def most_different(data: Data) -> Sourced:
    """For each model the block that differs most from the whole, with its distance."""
    said, rows = [], []
    for model in data.models:
        row = measures.most_different(data, model)
        if row is not None:
            where = f"{row['part']} block {row['layer']:g}"
            said.append(f"{escape(model)}'s {where} ({text.number(row['ks_distance'])})")
            rows.append(row)
    return sourced(text.listing(said), "profile_scopes", rows)


def exact_zeros(data: Data) -> Sourced:
    """How many weights of all models are exactly zero: "no weight is", "1,234 weights are"."""
    scopes = data["profile_scopes"]
    whole = scopes[scopes["scope"] == "model"]
    zeros = int(whole["zeros"].sum())
    shown = {0: "no weight is", 1: "one weight is"}.get(zeros, f"{text.count(zeros)} weights are")
    return sourced(shown, "profile_scopes", whole)
