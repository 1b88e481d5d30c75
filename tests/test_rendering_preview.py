"""The page that follows the document: what an edit runs again, what it shows, and the end of it."""

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import psutil
import pytest
import yaml

from analysis.errors import RequestError
from analysis.rendering import reuse
from analysis.rendering.document import Chunk, Prose
from analysis.rendering.preview import server
from analysis.rendering.subset import Place

ROOT = Path(__file__).parents[1]
HERE = ROOT / "tests" / "rendering"
EDITS = yaml.safe_load((HERE / "edits.yml").read_text(encoding="utf-8"))
BODY = """
```{python}
base = 2
```

A first sentence, and `{python} base * 10`.

```{python}
import os
print("apart", os.urandom(8).hex())
```

```{python}
print("double", base * 2, os.urandom(8).hex())
```
"""


def parts(written):
    """Parts as a table gives them: code of chunks, and prose after a bar."""
    place = Place("report.qmd", 1)
    return [
        Prose(place, one.removeprefix("| ")) if one.startswith("| ") else Chunk(place, {}, one, 1)
        for one in written
    ]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit["says"])
def test_what_an_edit_runs_again(edit):
    before = [
        reuse.Done(part, finished=True, reads_document="read_claims" in str(part))
        for part in parts(edit["before"])
    ]
    after = parts(edit["after"])
    plan = reuse.plan(before, after)
    again = "all" if plan is None else [n for n in range(len(after)) if n not in plan.kept]
    assert again == edit["again"]


class Preview:
    """A preview of the document in `folder`, in a process of its own, and who follows it."""

    def __init__(self, folder):
        self.folder = folder
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)\n"  # also in background
            "from pathlib import Path; from analysis.engine import stopping; stopping.heed()\n"
            "from analysis.rendering.preview import preview; preview(Path('.'), dict, None)"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        address = urllib.parse.urlsplit(self.process.stdout.readline().split()[1])
        self.host = address.netloc
        self.following = self.asked("/changes")

    def asked(self, path, **headers):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    def page(self):
        return self.asked("/").read().decode()

    def settled(self):
        """The next state that is no work in progress."""
        while line := self.following.readline():
            if line.startswith(b"data: "):
                state = json.loads(line.removeprefix(b"data: "))
                if state["kind"] != "working":
                    return state
        raise AssertionError(self.process.communicate()[0])

    def edited(self, old, new):
        """The state after an edit of the document."""
        path = self.folder / "report.qmd"
        text = path.read_text()
        assert old in text
        made = path.with_suffix(".new")
        made.write_text(text.replace(old, new))
        made.replace(path)  # at once, as editors do
        return self.settled()


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preview")
    shutil.copy(ROOT / "_quarto.yml", folder)
    shutil.copytree(ROOT / "styles", folder / "styles")
    (folder / "references.bib").write_text("")
    (folder / "report.qmd").write_text(f"---\ntitle: T\n---\n{BODY}")
    preview = Preview(folder)
    assert preview.settled()["said"] == ""
    yield preview
    preview.process.kill()
    preview.process.wait()


def printed(page, word):
    return re.search(rf"{word} [\w ]+", page)[0]


def test_an_edit_runs_what_it_changes_and_nothing_else(live):
    before = live.page()
    assert "A first sentence, and 20." in before
    assert live.edited("A first sentence", "Another one")["said"] == ""
    sentence = live.page()
    assert "Another one, and 20." in sentence
    for word in ("apart", "double"):
        assert printed(sentence, word) == printed(before, word)
    assert live.edited("base = 2", "base = 3")["said"] == ""
    after = live.page()
    assert "Another one, and 30." in after
    assert printed(after, "apart") == printed(before, "apart")
    assert printed(after, "double").startswith("double 6 ")


def test_what_is_wrong_is_said_above_the_last_good_page_until_it_is_mended(live):
    good = live.page()
    wrong = live.edited("base = 3", "base = 1 / 0")
    assert (wrong["kind"], wrong["said"]) == (
        "problem",
        "report.qmd:6: ZeroDivisionError: division by zero",
    )
    assert live.page() == good
    mended = live.edited("base = 1 / 0", "base = 4")
    assert (mended["said"], mended["page"] != wrong["page"]) == ("", True)
    assert printed(live.page(), "double").startswith("double 8 ")
    assert live.edited("Another one", "\n\n| a |\n|--|\n| b | lost |\n\nA")["said"] == ""
    assert "'lost' would vanish" in live.settled()["said"]
    live.edited(" lost |", "")


def test_nothing_else_is_served_and_to_nobody_else(live):
    assert live.asked("/report.qmd").status == live.asked("/../report.qmd").status == 404
    assert live.asked("/", Host="elsewhere.example").status == 403
    port = int(live.host.rpartition(":")[2])
    with pytest.raises(RequestError, match=f"port {port} cannot be had"), server.serving(port):
        pass
    assert "EventSource" in live.page()


def test_ctrl_c_ends_it_with_its_kernel(live):
    kernels = psutil.Process(live.process.pid).children()
    assert any("ipykernel_launcher" in " ".join(kernel.cmdline()) for kernel in kernels)
    live.process.send_signal(signal.SIGINT)
    live.process.wait(60)
    _, alive = psutil.wait_procs(kernels, timeout=60)
    assert alive == []
