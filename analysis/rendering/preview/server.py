"""A server of one page, to this machine alone, which tells the page when it has changed."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from analysis.errors import RequestError

PORT = 4848
_HOST = "127.0.0.1"
_SCRIPT = (Path(__file__).parent / "live.js").read_text(encoding="utf-8")
_EMPTY = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Preview</title></head>
<body><main></main></body></html>"""
_SECONDS = 5.0  # after which a page that is gone is noticed


class Shown:
    """The page as it is, and what is said above it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._changed = threading.Condition()
        self._page = _EMPTY
        self._state = {"page": "", "said": "starting", "kind": "working"}
        self._ended = False

    def show(self, page: str) -> str:
        """Show this page, with nothing said; its version."""
        version = str(time.time_ns())
        with self._changed:
            self._page = page
            self._state = {"page": version, "said": "", "kind": ""}
            self._changed.notify_all()
        return version

    def say(self, line: str, kind: str, version: str | None = None) -> bool:
        """Say a line above the page: a `problem`, or what is `working`. With a version, only if
        that is shown and nothing is said of it; whether it was said."""
        with self._changed:
            if version not in (None, self._state["page"]) or (version and self._state["said"]):
                return False
            self._state = {**self._state, "said": line, "kind": kind}
            self._changed.notify_all()
        return True

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def page(self) -> bytes:
        """The page with the script that follows it."""
        with self._changed:
            page, version = self._page, self._state["page"]
        before, end, after = page.rpartition("</body>")
        script = _SCRIPT.replace("@version@", version)
        return f"{before}<script>{script}</script>{end}{after}".encode()

    def states(self) -> Iterator[dict[str, str] | None]:
        """What is shown and said, now and at each change; None now and then without one."""
        last: dict[str, str] | None = None
        while True:
            with self._changed:
                if self._state is last:
                    self._changed.wait(_SECONDS)
                if self._ended:
                    return
                changed, last = self._state is not last, self._state
            yield last if changed else None


@contextlib.contextmanager
def serving(port: int | None) -> Iterator[Shown]:
    """The page's server while the block runs. Without a port at the usual one, or if that is taken
    at any other; RequestError if the one that was asked for is taken."""
    server = _bound(port)
    shown = Shown(f"http://{_HOST}:{server.server_port}/")
    server.RequestHandlerClass = _handler(shown)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield shown
    finally:
        shown.end()
        server.shutdown()
        thread.join()
        server.server_close()


def _bound(port: int | None) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer((_HOST, PORT if port is None else port), BaseHTTPRequestHandler)
    except OSError as error:
        if port is not None:
            raise RequestError(
                f"port {port} cannot be had ({error.strerror}): name another, or leave --port out"
            ) from error
    return ThreadingHTTPServer((_HOST, 0), BaseHTTPRequestHandler)


def _handler(shown: Shown) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the page is gone
                super().handle()

        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rpartition(":")[0]
            if host not in (_HOST, "localhost"):  # another name that leads here
                self.send_error(403)
            elif self.path == "/":
                self._send("text/html; charset=utf-8", shown.page())
            elif self.path == "/changes":
                self._send("text/event-stream", b"")
                self._follow()
            else:
                self.send_error(404)

        def _send(self, kind: str, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def _follow(self) -> None:
            for state in shown.states():
                line = ":" if state is None else f"data: {json.dumps(state)}"
                self.wfile.write(f"{line}\n\n".encode())

        def log_message(self, *_: Any) -> None:
            """Nothing: the terminal is for the document."""

    return Handler
