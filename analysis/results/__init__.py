"""Result tables: their columns and keys, written whole or not at all, and read back.

`environment` is what stands beside them: versions, hardware, seeds, timings. What computes rows
imports this, and the paper, which reads nothing else.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.engine import files
from analysis.errors import RequestError, RunError

Row = dict[str, Any]
Rows = dict[str, list[Row]]  # by table
_STATISTICS = (
    "parameters zeros not_finite mean_abs std skew kurtosis q01 q05 q25 q50 q75 q95 q99"
    " below_1e-3 below_1e-2 below_1e-1 below_1 above_std norm_50 norm_90 norm_99"
)
# table: (key columns, further columns)
_SCHEMA = {
    "models": (
        "model",
        "family source revision weights_sha256 parameters prunable_parameters dtype bytes"
        " train_seconds identifier training outside_share",
    ),
    "tasks": (
        "task metric",
        "higher_is_better chance best split examples data_sha256 revision licence published"
        " published_source title metric_title unit log_scale measures sample source protocol"
        " chance_from training_revision also_trained_on",
    ),
    "published": ("model task metric", "value source"),
    "failures": ("step", "model task reason"),
    "variants": (
        "variant",
        "model task kind method protocol sparsity achieved scope_weights whole_model threshold"
        " settings seed status reason prune_seconds train_seconds peak_bytes"
        " parameters unheard_inputs outside_share",
    ),
    "quality": (
        "variant task metric",
        "value low high delta delta_low delta_high retained examples collapsed"
        " retained_low retained_high tokens_per_word sample void protocol device dtype",
    ),
    "contests": ("variant other task metric", "sparsity difference low high"),
    "recovery": ("variant masks_kept epoch", "removed zeros sparsity train_seconds"),
    "sensitivity": (
        "model task by group sparsity",
        "part layer kind weights metric value low high delta delta_low delta_high retained"
        " retained_low retained_high examples",
    ),
    "size": ("variant format", "bytes ratio bound_bytes"),
    "runtime": (
        "variant operation kernel device threads dtype batch tokens",
        "iterations p50_ms p95_ms tokens_per_second speedup peak_bytes samples_ms chosen"
        " speedup_low speedup_high",
    ),
    "replicas": (
        "architecture sparsity kernel device threads dtype batch tokens",
        "iterations p50_ms p95_ms tokens_per_second speedup linear_bytes samples_ms"
        " speedup_low speedup_high",
    ),
    "profile": ("model part layer kind", _STATISTICS),
    "profile_scopes": ("model scope", f"part layer kind {_STATISTICS} ks_distance"),
    "histogram": ("variant scope scale left", "right count"),
    "cdf": ("variant scope scale left", "fraction"),
}
KEYS = {table: key.split() for table, (key, _) in _SCHEMA.items()}
COLUMNS = {table: [*key.split(), *rest.split()] for table, (key, rest) in _SCHEMA.items()}
ENVIRONMENT = "environment.json"

# columns that stay text, whatever they look like: a model may be called "1" or "None"
_TEXT = {
    *("architecture", "model", "family", "source", "revision", "weights_sha256", "dtype"),
    *("task", "metric", "split", "data_sha256", "licence", "published", "published_source"),
    *("title", "metric_title", "unit", "measures", "sample", "variant", "other", "by", "group"),
    *("kind", "method", "protocol", "settings", "status", "reason", "format", "operation"),
    *("identifier", "training", "step", "protocol", "chance_from", "training_revision"),
    *("kernel", "device", "samples_ms", "chosen", "part", "scope", "scale"),
}

Tables = dict[str, pd.DataFrame]


def build(rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> Tables:
    """Data frames of these rows, every table present, columns in order.

    Raises ValueError if a row has an unknown column or two rows share a key.
    """
    tables = {}
    for name, columns in COLUMNS.items():
        listed = list(rows.get(name, ()))
        strangers = sorted({column for row in listed for column in row} - set(columns))
        if strangers:
            raise ValueError(f"table {name} has no columns {', '.join(strangers)}")
        # object, not inferred: an int beside a missing value must not become a float
        table = pd.DataFrame(listed, columns=columns, dtype=object)
        doubled = table[table.duplicated(KEYS[name], keep=False)]
        if len(doubled):
            raise ValueError(f"table {name} has two rows with the key {doubled.iloc[0].to_dict()}")
        tables[name] = table
    return tables


def require_writable(folder: Path) -> None:
    """Raise RunError if results could not be written to the folder: known before hours of work."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        files.sweep(folder.parent)
        with files.passing_folder(folder.name, folder.parent):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> RunError:
    return RunError(f"cannot write the results to {folder}: {files.why_unwritable(folder, error)}")


def write(tables: Tables, environment: Mapping[str, Any], folder: Path) -> None:
    """Write every table as CSV and the environment as JSON.

    They are written beside `folder` and then take its place together, so that a reader never sees
    tables of two runs. Raises RunError if the disk refuses; the old ones then stay.
    """
    try:
        with files.replaced_folder(folder) as new:
            for name, table in tables.items():
                write_csv(table, new / f"{name}.csv")
            text = files.json_text(environment)
            (new / ENVIRONMENT).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write one table."""
    table.to_csv(
        path,
        index=False,
        lineterminator="\n",
        quoting=csv.QUOTE_NONNUMERIC,  # a lone carriage return would split the row
    )


def exist(folder: Path) -> bool:
    """Whether a whole set of results lies in the folder."""
    return (folder / ENVIRONMENT).is_file() and all(
        (folder / f"{name}.csv").is_file() for name in COLUMNS
    )


def read(folder: Path) -> tuple[Tables, dict[str, Any]]:
    """The tables and the environment. Raises RequestError if there are none."""
    if not exist(folder):
        raise RequestError(f"no results in {folder}; compute them with `python -m analysis run`")
    try:
        tables = {name: _read_csv(folder / f"{name}.csv") for name in COLUMNS}
        environment = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
        if not isinstance(environment, dict):
            raise ValueError(f"{ENVIRONMENT} is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(
            f"the results in {folder} cannot be read ({error}); compute them again with"
            " `python -m analysis run`"
        ) from error
    for name, columns in COLUMNS.items():
        missing = [column for column in columns if column not in tables[name]]
        if missing:
            raise RequestError(
                f"{folder / name}.csv lacks {', '.join(missing)}: it is of another version;"
                " compute it again with `python -m analysis run`"
            )
    return tables, environment


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    """The table as it would be read back: with the types that its values have as text."""
    return _read_csv(io.StringIO(table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)))


def _read_csv(path: Path | io.StringIO) -> pd.DataFrame:
    """Empty cells are missing values; a model called "None" or "NA" is not."""
    return pd.read_csv(
        path,
        keep_default_na=False,
        na_values=[""],
        dtype=dict.fromkeys(_TEXT, str),  # a name of digits stays a name
    )


def number(value: float | None) -> float | None:
    """The value for a table: what is not finite becomes an empty cell."""
    return None if value is None or not math.isfinite(value) else value


def merge(parts: Iterable[Rows]) -> Rows:
    """All rows of all parts, by table."""
    merged: Rows = {table: [] for table in COLUMNS}
    for part in parts:
        for table, listed in part.items():
            merged[table] += listed
    return merged


def failure_rows(failures: Mapping[str, str], models: Sequence[str], tasks: Sequence[str]) -> Rows:
    """The rows of table `failures`: steps by their label, which begins with what they are on."""
    listed = []
    for label, reason in failures.items():
        about = label.split(": ")[0].split("/")
        model = about[0] if about[0] in models else None
        task = next((p for p in (*about, label.rpartition(" for ")[2]) if p in tasks), None)
        listed.append({"step": label, "model": model, "task": task, "reason": reason})
    return {"failures": listed}
