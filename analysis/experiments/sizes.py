"""Sizes: the bytes of every variant in every format."""

from collections.abc import Mapping
from typing import Any

from analysis.engine.memo import Call, Record
from analysis.experiments import costs
from analysis.experiments.contract import NUMPY, Step
from analysis.experiments.costs import Estimate, Setting
from analysis.experiments.variant import Variant
from analysis.results import Row
from analysis.study import Study


def size(study: Study, variant: Variant) -> Call:
    """A variant's bytes in every format."""
    return Call(
        "analysis.steps.sizes:measure_sizes",
        {
            "checkpoint": variant.checkpoint,
            "weights_sha256": variant.weights_sha256,
            "masks": variant.masks,
            "formats": list(study.formats),
        },
        libraries=(*NUMPY, "numba", "zstandard"),
        label=f"{variant.name}: store",
    )


def size_rows(variant: Variant, sizes: Record, dense_sizes: Record) -> list[Row]:
    """The rows of table `size`: a format each, against the dense file of the dense model."""
    whole = (dense_sizes or sizes)["bytes"]["dense"]
    return [
        {
            "variant": variant.name,
            "format": name,
            "bytes": count,
            "ratio": count / whole,
            "bound_bytes": sizes["bound_bytes"],
        }
        for name, count in sizes["bytes"].items()
    ]


def _foreseen(call: Call) -> Record:
    return {"bytes": dict.fromkeys(call.arguments["formats"], 1), "bound_bytes": 0}


def _estimate(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    packed = sum(name != "dense" for name in arguments["formats"])
    return Estimate(packed * setting.bytes / costs.PACKED, 0.5e9, 0.0)


STEPS = {"measure_sizes": Step(_foreseen, leads_on=False, estimate=_estimate)}
