"""Fonts for the scripts that Typst's own have not, as far as they are installed."""

import importlib.util
from pathlib import Path

# package → its folder of fonts: Noto for living scripts, symbols and emoji; WenQuanYi for CJK
_PACKAGES = {"manimgx_fonts": ".", "paperang_p2_fonts_cjk": "fonts"}


def folders() -> list[Path]:
    """The folders in which they lie."""
    found = [(importlib.util.find_spec(name), inside) for name, inside in _PACKAGES.items()]
    return [
        Path(place) / inside
        for spec, inside in found
        if spec
        for place in spec.submodule_search_locations or ()
    ]
