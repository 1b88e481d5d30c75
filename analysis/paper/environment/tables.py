"""Tables of the machine, the libraries, the steps, and what failed."""

from typing import Any

from analysis.engine.memory import gigabytes
from analysis.paper import cells, links, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape

_REASON = 300  # characters of a message


def failures(data: Data) -> Md:
    """Every step that failed, and every variant that is missing for another reason than a level
    out of reach."""
    body = [
        [
            cells.or_dash(row["step"]),
            cells.or_dash(row["model"]),
            cells.or_dash(row["task"]),
            escape(row["reason"], _REASON) if row["reason"] == row["reason"] else "not recorded",
        ]
        for _, row in data["failures"].iterrows()
    ]
    told = set(data["failures"]["reason"])
    lost = data.variants[data.variants["status"] == "failed"]
    for (model, task, reason), rows in lost.groupby(
        ["model", "task", "reason"], sort=False, dropna=False
    ):
        if reason not in told:
            names = ", ".join(dict.fromkeys(rows["series"]))
            shown = "not recorded" if text.is_missing(reason) else escape(reason, _REASON)
            body.append([escape(names), escape(model), cells.or_dash(task), shown])
    return text.table(["Step", "Model", "Task", "Reason"], body, "llll")


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
    body = [[links.library(name), escape(v)] for name, v in data.environment["versions"].items()]
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
