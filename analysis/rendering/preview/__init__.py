"""The page as it is written: served here alone, made anew when the document or its results change.

The kernel is kept, so that only what an edit changes is run again (reuse.py). What guards a
finished file (words that vanish, leftovers) is looked for after the page is shown, and said there.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from analysis.engine import files
from analysis.errors import AnalysisError
from analysis.rendering import builtin, markdown, vanishing, webpage
from analysis.rendering.document import Source
from analysis.rendering.execute import Session
from analysis.rendering.made import Made
from analysis.rendering.preview import server, watch
from analysis.rendering.settings import Settings
from analysis.rendering.traced import Markdown

Say = Callable[[str], None]


def preview(
    project: Path, made: Callable[[], Made], port: int | None, say: Say = builtin.say
) -> None:
    """Serve the page of `project` until this is interrupted, at `port` if that is free.

    `made` gives the content of the metadata files that are made for the study; what it raises is
    shown in the page, as is all that is wrong with the document.
    """
    project = project.resolve()
    with server.serving(port) as shown, files.passing_folder("preview") as folder:
        say(f"preview  {shown.address}  (Ctrl-C ends it)")

        def progress(line: str) -> None:
            shown.say(line.removeprefix("render  "), "working")

        with Session(progress) as session, ThreadPoolExecutor(1) as beside:
            _keep_shown(_Page(project, made, folder, session), shown, beside, say)


class _Page:
    """The page of a project, made with a kernel that is kept."""

    def __init__(self, project: Path, made: Callable[[], Made], folder: Path, session: Session):
        self.project = project
        self.session = session
        self._made = made
        self._path = folder / "report.html"

    def stamps(self) -> watch.Stamps:
        """What the page depends on, as it is now."""
        return watch.stamps(self.project, self.session.read)

    def render(self) -> tuple[str, Callable[[], None]]:
        """The page, and what raises AnalysisError if a finished file would be refused."""
        source, chosen = builtin.read(self.project, self._made())
        done = self.session.execute(source, builtin.inches(chosen))
        text = markdown.executed(source, done, chosen, self._path.parent)
        webpage.write(text, chosen, self._path.parent, self._path)
        page = self._path.read_text(encoding="utf-8")
        return page, lambda: _guard(source, chosen, text, self._path)


def _guard(source: Source, chosen: Settings, text: Markdown, page: Path) -> None:
    builtin.refuse_unread(source, chosen)
    vanishing.refuse_vanishing(text, "read")
    builtin.refuse_findings(text, [page])


def _keep_shown(page: _Page, shown: server.Shown, beside: ThreadPoolExecutor, say: Say) -> None:
    """Make the page whenever what it depends on has changed; until it is interrupted."""
    while True:
        before, start = page.stamps(), time.monotonic()
        try:
            made, guard = page.render()
        except AnalysisError as error:
            shown.say(str(error), "problem")
            say(f"preview  {error}")
        else:
            version = shown.show(made)
            say(f"preview  shown after {time.monotonic() - start:.1f} s")
            beside.submit(guard).add_done_callback(_told(shown, version, say))
        known = {path: before.get(path, now) for path, now in page.stamps().items()}
        if watch.wait(known, page.stamps):
            page.session.end()


def _told(shown: server.Shown, version: str, say: Say) -> Callable[[Future[None]], None]:
    """Says in the page of that version, if it is the one that is shown, what was found in it."""

    def told(done: Future[None]) -> None:
        error = done.exception()
        if isinstance(error, AnalysisError) and shown.say(str(error), "problem", version):
            say(f"preview  {error}")

    return told
