"""What a study's data cannot be had of, found before its first step: nothing is downloaded."""

from pathlib import Path

from analysis.data.files import file_form
from analysis.data.hub import missing_split
from analysis.data.reading import Source
from analysis.errors import RequestError


def missing_data(source: Source) -> str | None:
    """Why the data cannot be read, in one line with the command that fetches it; None if it can.

    `source` is as `analysis.data.reading` takes it. What a file holds is not looked at.
    """
    if source["kind"] == "hub":
        return missing_split(source)
    try:
        file_form(Path(source["path"]), source.get("format"))
    except RequestError as error:
        return str(error)
    return None
