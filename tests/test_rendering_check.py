"""What the check of finished files finds, and what it leaves alone."""

import subprocess
import sys
from pathlib import Path

import typst
import yaml

from analysis.rendering import check

HERE = Path(__file__).parent
FAULTS = yaml.safe_load((HERE / "rendering" / "faults.yml").read_text(encoding="utf-8"))
TEXT = "<p>A page with enough words on it to be one.</p>"


def html_findings(folder, body):
    path = folder / "report.html"
    path.write_text(f"<html><body><main>{TEXT}{body}</main></body></html>", encoding="utf-8")
    return check.findings(path)


def pdf_findings(folder, code):
    path = folder / "report.pdf"
    typst.compile(code.encode(), output=path, ignore_system_fonts=True)
    return check.findings(path)


def require_one(found, name, says):
    assert any(says in line for line in found), (says, found)
    assert all(line.startswith(f"{name}: ") and "\n" not in line for line in found), found


def test_faults_of_a_page_are_found_and_nothing_else(tmp_path):
    (tmp_path / "beside.png").write_bytes(b"x")
    for says, body in FAULTS["in a page"]:
        require_one(html_findings(tmp_path, body), "report.html", says)
    for body in FAULTS["not in a page"]:
        assert html_findings(tmp_path, body) == []
    page = tmp_path / "report.html"
    page.write_text("<html><body></body></html>")
    assert check.findings(page) == ["report.html: the page has no text: render again."]


def test_faults_of_a_pdf_are_found_and_nothing_else(tmp_path):
    for says, code in FAULTS["in a PDF"]:
        require_one(pdf_findings(tmp_path, code), "report.pdf", says)
    for code in FAULTS["not in a PDF"]:
        assert pdf_findings(tmp_path, code) == []
    # what is data is known from the page beside it
    html_findings(tmp_path, "<p><span class='data'>TODO \U0001f600 nan</span></p>")
    assert pdf_findings(tmp_path, r"Text: TODO \[U+1F600\] nan.") == []
    (tmp_path / "report.pdf").write_bytes(b"no pdf at all")
    assert "no readable PDF" in check.findings(tmp_path / "report.pdf")[0]


def test_as_a_command(tmp_path, capsys):
    bad, good = tmp_path / "report.html", tmp_path / "good.html"
    bad.write_text(f"<html><body>{TEXT}<p>TODO</p></body></html>")
    good.write_text(f"<html><body>{TEXT}</body></html>")
    command = [sys.executable, "-m", "analysis.rendering.check", str(good), str(bad)]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr[:19]) == (1, "report.html: 'TODO'"), done.stderr
    assert check.main([str(good)]) == 0
    assert capsys.readouterr() == ("", "")
