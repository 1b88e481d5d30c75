"""Metadata files that are made for the study, as the built-in renderer is handed them."""

from collections.abc import Mapping
from typing import Any

Made = Mapping[str, Mapping[str, Any]]  # name of a file of metadata → what it says
NOTHING_MADE: Made = {}
