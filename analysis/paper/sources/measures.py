"""Which texts are of the generated language."""

from analysis.paper.data import Data


def generated(data: Data) -> list[str]:
    """The tasks whose texts are, in the study's order."""
    rows = data["tasks"].drop_duplicates("task")
    found = rows["source"].isna() | rows["source"].isin(["", "generated"])
    return list(rows.loc[found, "task"])


def real(data: Data) -> list[str]:
    """All others."""
    return [task for task in data.primary if task not in generated(data)]
