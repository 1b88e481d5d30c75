"""Profiles: the distributions of a model's weights, and of what pruning leaves of them."""

from collections.abc import Mapping
from typing import Any

from analysis.engine.memo import Call, Record
from analysis.engine.runner import Runs
from analysis.experiments import costs
from analysis.experiments.contract import NUMPY, Step
from analysis.experiments.costs import Estimate, Setting
from analysis.experiments.variant import Variant, in_one_shot
from analysis.results import Row, Rows
from analysis.study import Study
from analysis.study.sections import Model


def profile(
    name: str, weights_sha256: str, config: str, checkpoint: str, files: list[Any] | None = None
) -> Call:
    """The distribution of the weights of a checkpoint: an object, or a folder with its stamp.

    config   what tells its config.json, which says what weights are, from others
    """
    return Call(
        "analysis.steps.profile.weights:profile_weights",
        {"weights_sha256": weights_sha256, "config": config},
        carried={"checkpoint": checkpoint, "files": files},
        libraries=(*NUMPY, "numba"),
        label=f"{name}: profile",
    )


def histograms(name: str, variants: list[Variant]) -> Call:
    """The histograms of variants of one checkpoint, of which the masks are known."""
    return Call(
        "analysis.steps.profile.histograms:histograms_of_masked",
        {
            "checkpoint": variants[0].checkpoint,
            "weights_sha256": variants[0].weights_sha256,
            "masks": [variant.masks for variant in variants],
        },
        libraries=(*NUMPY, "numba"),
        label=f"{name}: histograms after pruning",
    )


async def weight_rows(
    study: Study, runner: Runs, model: Model, base: Variant, leading: list[Variant]
) -> list[Rows]:
    """The rows of a model's weights, dense and pruned by the study's first method."""
    call = profile(model.name, base.weights_sha256, base.checkpoint, base.checkpoint)
    record: Record | None = (await runner.attempt(call))[0]
    listed = [] if record is None else [profile_rows(model.name, base.name, record)]
    shown = [v for v in leading if in_one_shot(v, study.methods[0])]
    shown = [v for v in shown if v.name != base.name]  # the base has its own from the profile
    if shown:
        found, _ = await runner.attempt(histograms(model.name, shown))
        listed += [] if found is None else [histogram_rows(shown, found)]
    return listed


def profile_rows(model: str, variant: str, record: Record) -> Rows:
    """The rows of the profile, histogram and cdf tables for a model's dense variant."""
    parts: Rows = {"profile": [{"model": model, **leaf} for leaf in record["leaves"]]}
    parts |= {"profile_scopes": [], "histogram": [], "cdf": []}
    for scope, content in record["scopes"].items():
        where = {"model": model, "scope": scope, **_scope_columns(scope)}
        parts["profile_scopes"].append(where | content["statistics"])
        for table in ("histogram", "cdf"):
            parts[table] += [{"variant": variant, "scope": scope, **row} for row in content[table]]
    return parts


def histogram_rows(variants: list[Variant], record: Record) -> Rows:
    """The rows of table `histogram` for variants of one checkpoint, over the whole model."""
    return {
        "histogram": [
            {"variant": variant.name, "scope": "model", **row}
            for variant, rows in zip(variants, record["histograms"], strict=True)
            for row in rows
        ]
    }


def _scope_columns(scope: str) -> Row:
    what, _, which = scope.partition(":")
    if what == "layer":
        part, layer = which.split(":")
        return {"part": part, "layer": int(layer)}
    return {what: which} if which else {}


def _estimate(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    return Estimate(setting.bytes / costs.STATISTICS, 0.5e9, 0.0)


STEPS = {
    "profile_weights": Step(
        lambda call: {"leaves": [], "scopes": {}}, leads_on=False, estimate=_estimate
    ),
    "histograms_of_masked": Step(
        lambda call: {"histograms": [[] for _ in call.arguments["masks"]]},
        leads_on=False,
        estimate=_estimate,
    ),
}
