"""Where numba keeps what it compiles: beside the code, in the user's folder, or in the cache.

A container run as another user may write to neither of the first two. Where no folder is to be had,
each process compiles anew; so it does what is kept damaged, or what a full disk does not take.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numba

from analysis.engine import project

_IN_CACHE = "numba"
_config: Any = numba.config  # its settings are made when it is imported

Function = Callable[..., Any]


def kept(make: Function, *given: Any, **options: Any) -> Callable[[Function], Any]:
    """numba's decorator `make(*given, **options)`, whose code is kept where it can be."""

    def compiled(function: Function) -> Any:
        try:
            return _bearing_damage(make(*given, cache=True, **options)(function))
        except RuntimeError:  # no folder of numba's own choice can be written to
            if not _config.CACHE_DIR and project.CACHE.is_dir():
                _config.CACHE_DIR = str((project.CACHE / _IN_CACHE).resolve())
                return compiled(function)
            return make(*given, **options)(function)
        except Exception:  # of what is compiled at once: what was kept is damaged, a disk full
            return make(*given, **options)(function)

    return compiled


def _bearing_damage(dispatcher: Any) -> Any:
    """numba's function, which takes what it cannot read as not kept, and goes on unkept."""
    cache = dispatcher._cache
    load, save = cache.load_overload, cache.save_overload

    def load_overload(*asked: Any) -> Any:
        try:
            return load(*asked)
        except Exception:  # a damaged pickle raises whatever it runs into
            with contextlib.suppress(OSError):
                cache.flush()
            return None

    def save_overload(*made: Any) -> None:
        with contextlib.suppress(Exception):
            save(*made)

    cache.load_overload, cache.save_overload = load_overload, save_overload
    return dispatcher
