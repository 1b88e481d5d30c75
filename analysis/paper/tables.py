"""The paper's tables, each a function from the results to a Markdown pipe table."""

import json

import pandas as pd

from analysis.models.naming import PARTS
from analysis.paper import text, weights
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


def models(data: Data) -> Md:
    """Name, family, parameters and bytes of each model."""
    body = [
        [
            escape(row["model"]),
            escape(row["family"]),
            escape(row["source"]),
            text.count(row["parameters"]),
            text.percent(row["prunable_parameters"] / row["parameters"]),
            text.megabytes(row["bytes"]),
        ]
        for _, row in data["models"].iterrows()
    ]
    header = ["Model", "Family", "Source", "Parameters", "Prunable", "File"]
    return text.table(header, body, "lllrrr")


def far_from_zero(data: Data) -> Md:
    """The share of each model's weights that is far from zero, by each definition in use."""
    body = [
        [definition]
        + [
            text.percent(share(data.one(data["profile_scopes"], model=model, scope="model")))
            for model in data.models
        ]
        for definition, share in weights.FAR_FROM_ZERO.items()
    ]
    header = ["Far from zero is what is", *map(escape, data.models)]
    return text.table(header, body, "l" + "r" * len(data.models))


def parts(data: Data) -> Md:
    """How weights are distributed in each model and its parts."""
    body = []
    for model in data.models:
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
    variants = data["variants"]
    for model in data.models:
        task = data.first_task(model)
        for method in data.methods:
            rows = [data.at(model, task, method, level)["variant"] for level in data.levels]
            found = variants.set_index("variant").loc[rows]
            if found["threshold"].isna().all():
                continue
            body.append(
                [
                    escape(model),
                    escape(method),
                    text.percent((found["scope_weights"] / found["parameters"]).iloc[0]),
                    *(
                        f"{text.number(t, 2)} ({text.percent(w, 0)})"
                        for t, w in zip(found["threshold"], found["whole_model"], strict=True)
                    ),
                ]
            )
    header = ["Model", "Method", "Scope", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "llr" + "r" * len(data.levels))


def tasks(data: Data) -> Md:
    """What each task measures, how many examples, chance and the best possible score."""
    body = []
    for _, rows in data["tasks"].groupby("task", sort=False):
        first = rows.iloc[0]
        of_task = [escape(first["title"]), escape(first["measures"]), text.count(first["examples"])]
        for i, (_, row) in enumerate(rows.iterrows()):
            title, measures, examples = of_task if i == 0 else ("", "", "")
            scores = [text.score(row[end], _unit(row)) for end in ("chance", "best")]
            body.append([title, measures, examples, escape(row["metric_title"]), *scores])
    header = ["Task", "Measures", "Examples", "Metric", "Chance", "Best"]
    return text.table(header, body, "llrlrr")


def samples(data: Data) -> Md:
    """One example of each task, as the models get it."""
    body = []
    for task, sample in data["tasks"].groupby("task", sort=False)["sample"].first().items():
        fields = json.loads(sample)
        shown = " · ".join(f"*{escape(name)}*: {escape(value)}" for name, value in fields.items())
        body.append([escape(data.task_title(str(task))), shown])
    return text.table(["Task", "Example"], body, "ll")


def baseline(data: Data) -> Md:
    """The dense models' scores with their intervals, between chance and the best possible."""
    body = []
    dense = data.quality[data.quality["kind"] == "dense"]
    for _, row in dense.iterrows():
        metric = data.metrics.loc[(row["task"], row["metric"])]
        unit = _unit(metric)
        body.append(
            [
                escape(row["model"]),
                escape(data.task_title(row["task"])),
                escape(metric["metric_title"]),
                text.score(row["value"], unit),
                _range(row["low"], row["high"], unit),
                text.score(metric["chance"], unit),
                text.score(metric["best"], unit),
            ]
        )
    header = ["Model", "Task", "Metric", "Score", "Interval", "Chance", "Best"]
    return text.table(header, body, "lllrrrr")


def quality(data: Data) -> Md:
    """The primary score at each level under the leading method, dense first."""
    body = []
    for model, task in data.cells():
        unit = _unit(data.metrics.loc[(task, data.primary[task])])
        rows = [data.at(model, task, "dense", 0.0)]
        rows += [data.at(model, task, data.methods[0], level) for level in data.levels]
        metric = str(data.metrics.loc[(task, data.primary[task]), "metric_title"])
        body.append(
            [
                escape(model),
                escape(data.task_title(task)),
                escape(metric),
                *(text.score(row["value"], unit) + _mark(row) for row in rows),
            ]
        )
    header = ["Model", "Task", "Metric", "Dense", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "lll" + "r" * (len(data.levels) + 1))


def _mark(row: pd.Series) -> str:
    """A dagger where the model gives one answer to everything."""
    return " †" if row["collapsed"] else ""


def differences(data: Data) -> Md:
    """Every score under the leading method, with its paired difference from the dense model."""
    body = []
    pruned = data.quality[data.quality["series"] == data.methods[0]]
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
                text.score(row["value"], unit) + _mark(row),
                text.signed(row["delta"], unit),
                _range(row["delta_low"], row["delta_high"], unit, signed=True),
                text.number(row["retained"], 2),
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
    commit = (env["commit"] or "no repository")[:12]
    changed = " with uncommitted changes" if env["uncommitted_changes"] else ""
    body = [
        ["Study", escape(env["study"])],
        ["Processor", escape(f"{hardware['processor']}, {hardware['cores']} cores")],
        ["Accelerator", escape(hardware["accelerator"])],
        ["Memory", f"{hardware['memory_bytes'] / 2**30:.0f} GiB"],
        ["System", escape(env["system"])],
        ["Python", escape(env["python"])],
        ["Commit", escape(commit + changed)],
        ["Seeds", escape(", ".join(map(str, env["seeds"])))],
        ["Bootstrap", escape(f"{env['bootstrap']['resamples']} resamples")],
        ["Finished", escape(env["finished"])],
    ]
    return text.table(["What", "Value"], body, "ll")


def versions(data: Data) -> Md:
    """The libraries that computed."""
    body = [[escape(name), escape(v)] for name, v in data.environment["versions"].items()]
    return text.table(["Library", "Version"], body, "ll")


def steps(data: Data) -> Md:
    """What the last run computed and remembered, and how long computing took."""
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


def _unit(metric: pd.Series) -> str:
    return "%" if metric["unit"] == "%" else ""


def _range(low: float, high: float, unit: str, signed: bool = False) -> str:
    shown = text.signed if signed else text.score
    return f"{shown(low, unit)} to {shown(high, unit)}"
