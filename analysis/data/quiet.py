"""The library `datasets` without its bars, its warnings and its report to a third server."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Warnings of `datasets` are full of urls and paths; it counts each reading at a server that
    is not the hub, which no run has asked for and which takes seconds to fail offline."""
    from datasets import config, utils

    level, counts = utils.logging.get_verbosity(), config.HF_UPDATE_DOWNLOAD_COUNTS
    hide = not utils.are_progress_bars_disabled()
    config.HF_UPDATE_DOWNLOAD_COUNTS = False
    utils.logging.set_verbosity(logging.CRITICAL if level == logging.WARNING else level)
    if hide:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        config.HF_UPDATE_DOWNLOAD_COUNTS = counts
        utils.logging.set_verbosity(level)
        if hide:
            utils.enable_progress_bars()
