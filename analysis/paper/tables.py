"""The paper's tables, each a function from the results to a Markdown pipe table."""

import functools
import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from analysis.checkpoints.naming import PARTS
from analysis.engine.memory import gigabytes
from analysis.paper import cells, text, weights
from analysis.paper.data import Data
from analysis.paper.text import Md, escape

_SAMPLE = 300  # characters of an example that are shown


def models(data: Data) -> Md:
    """Name, family, parameters and bytes of each model."""
    known = data["models"].set_index("model")
    body = []
    for model in data.models:
        row = known.loc[model] if model in known.index else pd.Series(dtype=object)
        if text.is_missing(row.get("parameters")):
            told = [escape(row.get(c) or text.MISSING) for c in ("family", "source")]
            body.append([escape(model), *told, "*failed*", text.MISSING, text.MISSING])
            continue
        body.append(
            [
                escape(model),
                escape(row["family"]),
                escape(row["source"]),
                text.count(row["parameters"]),
                text.percent(row["prunable_parameters"] / row["parameters"]),
                text.megabytes(row["bytes"]),
            ]
        )
    header = ["Model", "Family", "Source", "Parameters", "Prunable", "File"]
    return text.table(header, body, "lllrrr")


def far_from_zero(data: Data) -> Md:
    """The share of each model's weights that is far from zero, by each definition in use."""
    body = [
        [definition]
        + [
            text.percent(share(data.one(data["profile_scopes"], model=model, scope="model")))
            for model in data.profiled
        ]
        for definition, share in weights.FAR_FROM_ZERO.items()
    ]
    header = ["Far from zero is what is", *map(escape, data.profiled)]
    return text.table(header, body, "l" + "r" * len(data.profiled))


def parts(data: Data) -> Md:
    """How weights are distributed in each model and its parts."""
    body = []
    for model in data.profiled:
        scopes = data["profile_scopes"]
        own = scopes[scopes["model"] == model]
        found = own[own["scope"].str.startswith("part:")]
        found = found.sort_values("part", key=lambda p: p.map(PARTS.index))
        for _, row in pd.concat([own[own["scope"] == "model"], found]).iterrows():
            body.append(
                [
                    escape(model) if row["scope"] == "model" else "",
                    "all" if row["scope"] == "model" else escape(row["part"]),
                    text.count(row["parameters"]),
                    *(text.number(row[name]) for name in ("std", "skew", "kurtosis", "q50", "q99")),
                    text.count(row["zeros"]),
                ]
            )
    header = ["Model", "Part", "Parameters", "Std. dev.", "Skew", "Kurtosis", "Median", "99 %"]
    return text.table([*header, "Zeros"], body, "llrrrrrrr")


def thresholds(data: Data) -> Md:
    """For each level, the magnitude below which weights were removed, and what that is of all.

    Methods without one threshold are left out.
    """
    body = []
    facts = data.variants.set_index("variant")
    for model in data.models:
        task = data.first_task(model)
        for method in data.methods if task is not None else ():
            cell = (model, str(task))
            rows = [data.find(*cell, method, level) for level in data.levels]
            known = facts.loc[[row["variant"] for row in rows if row is not None]]
            if known["threshold"].isna().all():
                continue
            first = known.iloc[0]
            body.append(
                [
                    escape(model),
                    escape(method),
                    text.percent(first["scope_weights"] / first["parameters"]),
                    *(cells.shown(data, cell, method, level, _removed(facts))
                      for level in data.levels),
                ]
            )  # fmt: skip
    header = ["Model", "Method", "Scope", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "llr" + "r" * len(data.levels))


def _removed(facts: pd.DataFrame) -> Callable[[pd.Series], str]:
    """The threshold of a variant that was scored, and what it removed of the whole model."""

    def show(row: pd.Series) -> str:
        own = facts.loc[row["variant"]]
        return f"{text.number(own['threshold'], 2)} ({text.percent(own['whole_model'], 0)})"

    return show


def tasks(data: Data) -> Md:
    """What each task measures, how many examples, chance and the best possible score."""
    body = []
    for _, rows in data["tasks"].groupby("task", sort=False):
        first = rows.iloc[0]
        of_task = [escape(first["title"]), escape(_measured(rows)), text.count(first["examples"])]
        for i, (_, row) in enumerate(rows.iterrows()):
            title, measures, examples = of_task if i == 0 else ("", "", "")
            scores = [text.score(row[end], _unit(row)) for end in ("chance", "best")]
            body.append([title, measures, examples, escape(row["metric_title"]), *scores])
    header = ["Task", "Measures", "Examples", "Metric", "Chance", "Best"]
    return text.table(header, body, "llrlrr")


def _measured(rows: pd.DataFrame) -> str:
    """What a task measures, how that is counted, and what chance is."""
    first = rows.iloc[0]
    counted = "; ".join(dict.fromkeys(rows["protocol"].dropna()))
    chance = f"chance is {first['chance_from']}" if isinstance(first["chance_from"], str) else ""
    return "; ".join(part for part in (first["measures"], counted, chance) if part)


def samples(data: Data) -> Md:
    """One example of each task, as the models get it; of a long text its beginning."""
    body = []
    for task, sample in data["tasks"].groupby("task", sort=False)["sample"].first().items():
        fields = json.loads(sample)
        shown = " · ".join(
            f"*{escape(name)}*: {escape(value, _SAMPLE)}" for name, value in fields.items()
        )
        body.append([escape(data.task_title(str(task))), shown])
    return text.table(["Task", "Example"], body, "ll")


def baseline(data: Data) -> Md:
    """The dense models' scores with their intervals, between chance and the best possible."""
    body = []
    dense = data.quality[data.quality["kind"] == "dense"]
    published = data["published"].set_index(["model", "task", "metric"])["value"].to_dict()
    for model, task in data.benchmarks:
        rows = dense[(dense["model"] == model) & (dense["task"] == task)]
        names = [escape(model), escape(data.task_title(task))]
        if rows.empty:
            body.append([*names, text.MISSING, "*failed*", *[text.MISSING] * 4])
        for _, row in rows.iterrows():
            metric = data.metrics.loc[(task, row["metric"])]
            unit = _unit(metric)
            void = " ‡" if (model, task) in data.void else ""
            body.append(
                [
                    *names,
                    escape(metric["metric_title"]),
                    text.computed(row["value"], unit) + void,
                    _range(row["low"], row["high"], unit),
                    text.score(metric["chance"], unit),
                    text.score(metric["best"], unit),
                    text.score(published.get((model, task, row["metric"])), unit),
                ]
            )
    header = ["Model", "Task", "Metric", "Score", "Interval", "Chance", "Best", "Published"]
    return text.table(header, body, "lllrrrrr")


def quality(data: Data) -> Md:
    """The primary score at each level under the leading method, dense first."""
    body = []
    for cell in data.benchmarks:
        metric = data.primary.get(cell[1])
        described = None if metric is None else data.metrics.loc[(cell[1], metric)]
        unit = "" if described is None else _unit(described)
        void = " ‡" if cell in data.void else ""
        columns = [("dense", 0.0), *((data.leading, level) for level in data.levels)]
        scores = [
            cells.shown(data, cell, *column, functools.partial(_marked_score, unit))
            for column in columns
        ]
        body.append(
            [
                escape(cell[0]),
                escape(data.task_title(cell[1])) + void,
                text.MISSING if described is None else escape(described["metric_title"]),
                *scores,
            ]
        )
    header = ["Model", "Task", "Metric", "Dense", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "lll" + "r" * (len(data.levels) + 1))


def _marked_score(unit: str, row: pd.Series) -> str:
    return text.computed(row["value"], unit) + _mark(row)


def differences(data: Data) -> Md:
    """Every score under the leading method, with its paired difference from the dense model."""
    body = []
    pruned = data.quality[data.quality["series"] == data.leading]
    in_order = pruned.groupby(["model", "task", "metric"], sort=False).ngroup()
    for _, row in pruned.assign(order=in_order).sort_values(["order", "sparsity"]).iterrows():
        metric = data.metrics.loc[(row["task"], row["metric"])]
        unit = _unit(metric)
        body.append(
            [
                escape(row["model"]),
                escape(data.task_title(row["task"])),
                escape(metric["metric_title"]),
                text.level(row["sparsity"]),
                text.computed(row["value"], unit) + _mark(row),
                text.signed(row["delta"], unit),
                _range(row["delta_low"], row["delta_high"], unit, signed=True),
                cells.word(cells.VOID)
                if (row["model"], row["task"]) in data.void
                else text.number(row["retained"], 2),
            ]
        )
    header = [
        "Model", "Task", "Metric", "Level", "Score", "Difference", "Interval", "Retained",
    ]  # fmt: skip
    return text.table(header, body, "lllrrrrr")


def environment(data: Data) -> Md:
    """The machine, the system, the commit, the seeds."""
    env = data.environment
    hardware = env["hardware"]
    commit = env["commit"][:12] if env["commit"] else "no repository"
    changed = " with uncommitted changes" if env["uncommitted_changes"] else ""
    body = [
        ["Study", escape(env["study"])],
        *([["Rehearsal", "random weights: no result means anything"]] if data.rehearsal else []),
        ["Processor", escape(f"{hardware['processor']}, {hardware['cores']} cores")],
        ["Accelerator", escape(hardware["accelerator"])],
        ["Memory", f"{hardware['memory_bytes'] / 2**30:.0f} GiB"],
        *_answered_on(data),
        *_needs(env.get("needs", {})),
        ["System", escape(env["system"])],
        ["Python", escape(env["python"])],
        ["Commit", escape(commit + changed)],
        ["Seeds", escape(", ".join(map(str, env["seeds"])))],
        ["Bootstrap", escape(f"{env['bootstrap']['resamples']} resamples")],
        ["Finished", escape(env["finished"])],
        *(["Note", escape(note)] for note in env.get("notes", ())),
    ]
    return text.table(["What", "Value"], body, "ll")


def _answered_on(data: Data) -> list[list[str]]:
    """The devices and types in which models were scored; nothing where none was."""
    pairs = data["quality"][["device", "dtype"]].dropna().drop_duplicates()
    said = [f"{dtype} on {device}" for device, dtype in pairs.itertuples(index=False)]
    return [["Answers", escape(", ".join(said))]] if said else []


def _needs(found: dict[str, Any]) -> list[list[str]]:
    """What the last run that computed anything took; nothing of memory where there was none."""
    held = {"memory": "Peak memory", "gpu": "Peak GPU memory"}
    peaks = [
        [title, f"{gigabytes(found[f'{kind}_bytes'])} in {escape(found[f'{kind}_step'])}"]
        for kind, title in held.items()
        if f"{kind}_step" in found
    ]
    disk = [["Added to the cache", gigabytes(found["disk_bytes"])]] if found else []
    return [*peaks, *disk]


def versions(data: Data) -> Md:
    """The libraries that computed."""
    body = [[escape(name), escape(v)] for name, v in data.environment["versions"].items()]
    return text.table(["Library", "Version"], body, "ll")


def steps(data: Data) -> Md:
    """What the last run that computed any computed and remembered, and how long that took."""
    body = [
        [
            escape(step),
            text.count(t["computed"]),
            text.count(t["remembered"]),
            f"{t['seconds'] + t['remembered_seconds']:.1f}",
        ]
        for step, t in data.environment["steps"].items()
    ]
    return text.table(["Step", "Computed", "Remembered", "Seconds"], body, "lrrr")


def _mark(row: pd.Series) -> str:
    """A dagger where the model gives one answer to everything."""
    return " †" if row["collapsed"] else ""


def _unit(metric: pd.Series) -> str:
    return "%" if metric["unit"] == "%" else ""


def _range(low: float, high: float, unit: str, signed: bool = False) -> str:
    if text.is_missing(low) and text.is_missing(high):
        return text.MISSING
    shown = text.signed if signed else text.score
    return f"{shown(low, unit)} to {shown(high, unit)}"
