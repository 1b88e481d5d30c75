"""What a repository of the hub is called, and what somebody meant who wrote it otherwise."""

import re

from analysis.errors import short

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?!.*(?:--|\.\.))(?!.*\.git$)(?:{_PART}/)?{_PART}")
_LONGEST = 96
_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com")
_KINDS = ("models", "datasets")  # which addresses may name first


def why_no_name(name: str, what: str) -> str | None:
    """Why this is no name of a `what`, with the one that is meant; None if it may be one."""
    if len(name) <= _LONGEST and _NAME.fullmatch(name):
        return None
    meant = _meant(name)
    return (
        f"{short(name)!r} is no name of a {what}; write organisation/name in letters, digits, '-',"
        f" '_' and '.', and a revision apart{f': probably {meant!r}' if meant else ''}"
    )


def _meant(name: str) -> str:
    """The name within an address, or with what stands around it taken off; empty if none is."""
    scheme, _, rest = re.sub(r"^\w+@([^:/]+):", r"https://\1/", name.strip()).rpartition("://")
    parts = [part.strip() for part in re.split(r"[?#@:]", rest)[0].split("/")]
    parts = [re.sub(r"\s+", "-", part) for part in parts if part]
    if parts and (scheme.lower() in ("http", "https") or parts[0].lower() in _HOSTS):
        parts = parts[1:]
    if parts and parts[0] in _KINDS:
        parts = parts[1:]
    found = "/".join(parts[:2]).removesuffix(".git")
    return found if len(found) <= _LONGEST and _NAME.fullmatch(found) else ""
