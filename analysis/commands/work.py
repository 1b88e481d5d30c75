"""What the commands on one model share: the cache, and progress on the screen."""

import contextlib
from collections.abc import Iterator

from analysis.engine import processes, progress, project
from analysis.engine.display import Display, display
from analysis.engine.memo import Memo


@contextlib.contextmanager
def at_work(model: str) -> Iterator[tuple[Memo, Display]]:
    """The cache, and a display that shows this process's progress under the model's name."""
    processes.quiet_libraries()
    memo = Memo(project.CACHE)
    with shown_progress(model) as shown:
        yield memo, shown


@contextlib.contextmanager
def shown_progress(model: str) -> Iterator[Display]:
    """A display that shows this process's progress under the model's name."""
    with display() as shown:
        progress.send_to(lambda what, done, total: shown.advanced(model, what, done, total))
        try:
            yield shown
        finally:
            progress.send_to(None)
            shown.cleared(model)
