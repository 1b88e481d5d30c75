"""What the check of finished files finds, and what it leaves alone."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
import typst

from analysis.rendering import check

ROOT = Path(__file__).parents[1]
TEXT = "<p>A page with enough words on it to be one.</p>"


def html_findings(folder: Path, body: str, head: str = "") -> list[str]:
    path = folder / "report.html"
    path.write_text(f"<html><head>{head}</head><body><main>{TEXT}{body}</main></body></html>")
    return check.findings(path)


def pdf_findings(folder: Path, code: str) -> list[str]:
    path = folder / "report.pdf"
    typst.compile(code.encode(), output=path, ignore_system_fonts=True)
    return check.findings(path)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<p>see ?@fig-x</p>", "?@fig-x"),
        ("<p>see <span class='quarto-unresolved-ref'>fig-x</span></p>", "refers to nothing"),
        ("<p>as shown (knuth84?) and</p>", "(knuth84?)"),
        ("<p>TODO: write</p>", "TODO"),
        ("<p>TBD</p>", "TBD"),
        ("<p>FIXME</p>", "FIXME"),
        ("<p>XXX</p>", "XXX"),
        ("<p>Lorem ipsum dolor, lorem ipsum.</p>", "placeholder"),
        ("<p>is {python} x</p>", "{python}"),
        ("<p>is np.float64(0.5)</p>", "np.float64("),
        ("<p>{{&lt; meta x &gt;}}</p>", "{{<"),
        ("<p>a value of nan here</p>", "nan"),
        ("<table><tr><td>NaN</td></tr></table>", "nan"),
        ("<table><tr><td> None </td></tr></table>", "table cell"),
        ("<p>Traceback (most recent call last): …</p>", "traceback"),
        ("<script src='https://cdn.example/x.js'></script>", "<script> loads"),
        ("<img src='//example.org/x.png'>", "<img> loads"),
        ("<img src='missing.png'>", "missing.png is missing"),
        ("<img src=''>", "no source"),
        ("<img src='data:image/svg+xml;base64,'>", "empty"),
        ("<div style='background: url(http://example.org/x)'>x</div>", "a style loads"),
        (
            "<figure class='quarto-float-fig'><figcaption>Figure 1</figcaption></figure>",
            "shows nothing",
        ),
        (
            "<figure class='quarto-float-tbl'><figcaption>Table 1</figcaption></figure>",
            "shows nothing",
        ),
        ("<a href='#nowhere'>x</a>", "leads nowhere"),
    ],
)
def test_page_with_a_fault(tmp_path, body, says):
    found = html_findings(tmp_path, body)
    assert len(found) >= 1
    assert all(line.startswith("report.html: ") and "\n" not in line for line in found)
    assert any(says in line for line in found)


@pytest.mark.parametrize(
    "head",
    [
        "<link rel=stylesheet href='https://example.org/x.css'>",
        "<style>@import 'https://example.org/x.css';</style>",
        '<style>body { background: url("https://example.org/x.png") }</style>',
    ],
)
def test_page_that_loads_styles(tmp_path, head):
    assert any("from a network" in line for line in html_findings(tmp_path, "", head))


@pytest.mark.parametrize(
    "body",
    [
        "<pre><code>x = 1  # TODO, np.float64(nan), {python} {{&lt; x</code></pre>",
        "<p>In code <code>TODO</code> and <code>nan</code>.</p>",
        "<p>Data: <span class='data'>TODO {{&lt; env HOME &gt;}} ?@fig-x nan</span></p>",
        "<p>A link to <a href='https://example.org/x'>a page</a>, NaNo, todo, (why?), (2)</p>",
        "<script>const nan = 'TODO https://example.org'</script>",
        f"<img alt=x src='data:image/png;base64,{base64.b64encode(b'x').decode()}'>",
        "<figure class='quarto-float-fig'><img src='data:image/png;base64,AA=='></figure>",
    ],
)
def test_page_without_fault(tmp_path, body):
    assert html_findings(tmp_path, body) == []


def test_an_image_beside_the_page_is_there(tmp_path):
    (tmp_path / "x.png").write_bytes(b"x")
    assert html_findings(tmp_path, "<img src='x.png'>") == []


def test_an_empty_page_is_found(tmp_path):
    (tmp_path / "report.html").write_text("<html><body></body></html>")
    assert check.findings(tmp_path / "report.html") == [
        "report.html: the page has no text: render again."
    ]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("Text, see ?\\@fig-x.", "?@fig-x"),
        ("Text that is TODO.", "TODO"),
        ("Text with {python} x.", "{python}"),
        ("Text with np.float64(0.5).", "np.float64("),
        ("#table(columns: 2, [a], [nan])", "nan"),
        ("Text \\{\\{\\< meta x", "{{<"),
        ("#rect()", "no text"),
    ],
)
def test_pdf_with_a_fault(tmp_path, code, says):
    found = pdf_findings(tmp_path, code)
    assert [line for line in found if says in line]
    assert all(line.startswith("report.pdf: ") and "\n" not in line for line in found)


@pytest.mark.parametrize(
    "code", ["Fine prose.", "Prose.\n\n```\nx = nan  # TODO\n```\n", "In `TODO` code."]
)
def test_pdf_without_fault(tmp_path, code):
    assert pdf_findings(tmp_path, code) == []


def test_pdf_data_is_known_from_the_page_beside_it(tmp_path):
    html_findings(tmp_path, "<p><span class='data'>TODO and nan</span></p>")
    assert pdf_findings(tmp_path, "Text: TODO and nan.") == []


def test_a_damaged_pdf_is_found(tmp_path):
    (tmp_path / "report.pdf").write_bytes(b"no pdf at all")
    assert "no readable PDF" in check.findings(tmp_path / "report.pdf")[0]


def test_as_a_command(tmp_path):
    (tmp_path / "report.html").write_text(f"<html><body>{TEXT}<p>TODO</p></body></html>")
    command = [sys.executable, "-m", "analysis.rendering.check", str(tmp_path / "report.html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("report.html: 'TODO'")
    (tmp_path / "report.html").write_text(f"<html><body>{TEXT}</body></html>")
    assert subprocess.run(command, cwd=ROOT).returncode == 0
