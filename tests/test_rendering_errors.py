"""What the built-in renderer refuses: one line with the place and what to do; old files stay."""

import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from analysis import rendering
from analysis.errors import AnalysisError, RequestError, RunError
from analysis.rendering import builtin, quarto

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path):
    """A folder with the project's own settings and styles, and an empty bibliography."""
    shutil.copy(ROOT / "_quarto.yml", tmp_path)
    shutil.copytree(ROOT / "styles", tmp_path / "styles")
    (tmp_path / "references.bib").write_text(
        "@book{knuth84, title = {T}, author = {K}, year = 1984}"
    )
    return tmp_path


def write(project: Path, body: str, front: str = "title: T") -> Path:
    body = textwrap.dedent(body).strip("\n")
    (project / "report.qmd").write_text(f"---\n{front}\n---\n\n{body}\n")  # the body is on line 5
    return project


def refused(project: Path, kind: type[AnalysisError] = RequestError) -> str:
    """The one line with which the render is refused."""
    with pytest.raises(kind) as caught:
        builtin.render(project, project / "out", progress=lambda line: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def chunk(*lines: str) -> str:
    return "\n".join(["```{python}", *lines, "```"])


# ---------------------------------------------------------------- before anything runs


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("{{< include x.qmd >}}", 5, "shortcode {{< include"),
        ("text\n\nand {{< meta title >}} here", 7, "shortcode {{< meta"),
        (
            chunk("#| fig-capp: x", "1"),
            6,
            "unknown chunk option 'fig-capp'. Did you mean 'fig-cap'?",
        ),
        (chunk("#| echo: maybe", "1"), 6, "echo is 'maybe'; it takes bool"),
        (chunk("#| output: ais", "1"), 6, "output is 'ais'; it takes 'asis' or bool"),
        (chunk("#| layout-ncol: true", "1"), 6, "layout-ncol is True; it takes int"),
        (chunk("#| eval: true", "#| fig-width: 3", "1"), 7, "works for the whole document only"),
        (chunk("#| fig-cap: 'x", "1"), 6, "not YAML"),
        (chunk("#| label: fig-x", "#| fig-cap: c", "1"), 5, "no description: add `#| fig-alt"),
        (chunk("#| label: tbl-x", "1"), 5, "no caption: add `#| tbl-cap"),
        (chunk("#| label: x", "#| fig-cap: c", "1"), 5, "fig-cap needs a label"),
        (chunk("#| label: sec-x", "1"), 5, "only fig- and tbl-"),
        (chunk("#| label: a b", "1"), 5, "letters, digits and hyphens"),
        (chunk("#| echo: false"), 5, "the chunk is empty"),
        (
            "```{r}\n1\n```",
            5,
            "chunks are Python only; write ```{python} to run it, ```r to show it",
        ),
        ("```{python echo=FALSE}\n1\n```", 5, "options go on `#| key: value` lines"),
        ("- item\n\n  ```{python}\n  1\n  ```", 7, "at the start of its line"),
        ("```python\nnever closed", 5, "never ends"),
        ("::: {.column-margin}\nx\n:::", 5, ".column-margin is not offered here. Offered:"),
        ("::: column-page\nx\n:::", 5, ".column-page is not offered here"),
        ("::: {.callout-hint}\nx\n:::", 5, ".callout-hint is not offered"),
        ('::: {.callout-note colour="red"}\nx\n:::', 5, "not colour"),
        ('::: {.content-visible when-format="pdf"}\nx\n:::', 5, 'when-format="html" or "typst"'),
        ('::: {.content-visible when-profile="x"}\nx\n:::', 5, 'when-format="html" or "typst"'),
        ("::: {layout-nrow=2}\nx\n:::", 5, "use layout-ncol"),
        ("::: {#thm-x}\nx\n:::", 5, "only fig-, tbl-, sec- and eq- labels"),
        ("::: {.wide}\nx", 5, "never closed"),
        ("x\n\n:::", 7, "closes nothing"),
        (chunk("#| label: fig-x", "#| fig-cap: has `{python} x`", "1"), 7, "no inline values"),
        ("# Extra {.appendix}", 5, "# Appendix A"),
        ("![x](https://example.org/x.png)", 5, "on a network"),
        ("# A {#sec-a}\n\n# B {#sec-a}", 7, "'sec-a' stands on line 5 already"),
        (
            chunk("#| label: a", "1") + "\n\n" + chunk("#| label: a", "1"),
            10,
            "'a' stands on line 5",
        ),
        ("empty `{python}` here", 5, "empty inline expression"),
        ("empty `{python} ` here", 5, "empty inline expression"),
    ],
)
def test_outside_the_subset(project, body, line, says):
    message = refused(write(project, body))
    assert message.startswith(f"report.qmd:{line}: ")
    assert says in message


def test_code_blocks_comments_and_spans_may_show_what_is_refused(project):
    body = """
    ```markdown
    {{< include x.qmd >}}
    ::: {.column-margin}
    ```

    <!-- {{< meta x >}} -->

    In code `{{< env HOME >}}` and `{.column-page}`.
    """
    made = builtin.render(write(project, body), project / "out", ["html"], progress=lambda x: None)
    assert made[0].exists()


@pytest.mark.parametrize(
    ("front", "says"),
    [
        ("author: A", "report.qmd:1: no title"),
        ("title: [unclosed", "report.qmd:2: not YAML"),
        (
            "title: T\ntoc-titel: x",
            "report.qmd:3: unknown setting 'toc-titel'. Did you mean 'toc-title'?",
        ),
        ("title: T\nformat: {docx: default}", "report.qmd:3: unknown format 'docx'"),
        ("title: T\nexecute: {cache: true}", "keeps stale results"),
        ("title: T\nfig-width: wide", "report.qmd:3: fig-width is 'wide'; it takes a positive"),
        ("title: T\nlang: de", "lang is 'de'"),
        ("title: T\nbibliography: none.bib", "bibliography none.bib is missing"),
        ("title: T\ndate: 2026-01-02\ndate-format: 'D. MMMMM'", "report.qmd:4: date-format"),
        ("title: T\nabstract: '{{< meta x >}}'", "report.qmd:3: shortcode"),
    ],
)
def test_front_matter(project, front, says):
    write(project, "text", front)
    assert says in refused(project)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("embed-resources: true", "embed-resources: false", "offers True only"),
        ("html-math-method: mathml", "html-math-method: katex", "offers 'mathml' only"),
        ("mainfont: Libertinus Serif", "mainfont: Garamond", "'Garamond' is not on every machine"),
        ("papersize: a4", "columns: 2", "unknown typst option 'columns'"),
        ("[styles/light.scss, styles/common.scss]", "cosmo", "theme 'cosmo' is Quarto's own"),
        ("x: 2.4cm", "z: 2.4cm", "margin 'z' is unknown"),
        ("styles/paper.typ", "styles/none.typ", "styles/none.typ is missing"),
    ],
)
def test_settings(project, old, new, says):
    settings = project / "_quarto.yml"
    text = settings.read_text()
    assert old in text
    settings.write_text(text.replace(old, new))
    message = refused(write(project, "text"))
    assert says in message
    assert message.startswith("_quarto.yml")


def test_missing_files_are_named(project):
    assert "report.qmd is missing" in refused(project)
    (project / "_quarto.yml").unlink()
    assert "_quarto.yml is missing" in refused(project)


def test_styles_that_do_not_compile_are_named(project):
    (project / "styles" / "light.scss").write_text("/*-- scss:defaults --*/\n$body-bg: $nothing;\n")
    assert "light theme do not compile" in refused(write(project, "text"))


def test_a_profile_without_a_file_is_refused(project, monkeypatch):
    monkeypatch.setenv("QUARTO_PROFILE", "nope")
    assert "_quarto-nope.yml is missing" in refused(write(project, "text"))


def test_a_profile_changes_settings(project, monkeypatch):
    (project / "_quarto-big.yml").write_text("lang: en-US\nformat: {html: {toc: false}}\n")
    monkeypatch.setenv("QUARTO_PROFILE", "big")
    made = builtin.render(write(project, "# A"), project / "out", ["html"], progress=lambda x: None)
    text = made[0].read_text()
    assert '<html lang="en-US">' in text
    assert 'id="TOC"' not in text


def test_the_default_profile_is_taken(project):
    (project / "_quarto-big.yml").write_text("lang: en-US\n")
    settings = project / "_quarto.yml"
    settings.write_text(settings.read_text() + "\nprofile: {default: big}\n")
    made = builtin.render(write(project, "# A"), project / "out", ["html"], progress=lambda x: None)
    assert '<html lang="en-US">' in made[0].read_text()


# ---------------------------------------------------------------- references


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("text\n\nsee @fig-none", 7, "@fig-none refers to nothing"),
        ("see [@tbl-none]", 5, "@tbl-none refers to nothing"),
        ("see @sec-plain\n\n# A {#sec-plain .unnumbered}", 5, "@sec-plain refers to nothing"),
        ("as [@nobody99] says", 5, "@nobody99 is not in the bibliography"),
        ("see [A](#app-a)", 5, "the link to #app-a leads nowhere"),
        ("x\n\n![x](missing.svg)", 7, "the image missing.svg is missing"),
        ("| a |\n|---|\n| 1 |\n\n: Bare caption", 9, "a caption and no label"),
        ("::: {#tbl-x}\nno table\n\ncaption\n:::", 5, "tbl-x holds no table"),
        ("::: {.panel-tabset}\n## A\nx\n:::", 5, "a tabset shows in HTML only"),
        ("[see @fig-x; @knuth84]\n\n![c](styles/dot.svg){#fig-x}", 5, "separate them"),
    ],
)
def test_what_leads_nowhere(project, body, line, says):
    (project / "styles" / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    message = refused(write(project, body))
    assert says in message
    assert message.startswith(f"report.qmd:{line}: ")


# ---------------------------------------------------------------- execution

FIGURE = ("#| label: fig-x", "#| fig-cap: c", "#| fig-alt: a")


@pytest.mark.parametrize(
    ("body", "kind", "line", "says"),
    [
        (chunk("#| echo: false", "", "x = 1", "1 / 0"), RunError, 9, "ZeroDivisionError: division"),
        (chunk("def f(:"), RunError, 6, "SyntaxError"),
        ("a\n\nb `{python} nothing` c", RunError, 7, "NameError: name 'nothing' is not defined"),
        ("a `{python} ''` b", RequestError, 5, "is empty: Quarto would print the expression"),
        ("`{python} __import__('numpy').float64(0.5)`", RequestError, 5, "gives np.float64(0.5)"),
        (chunk(*FIGURE, "x = 1"), RequestError, 5, "shows nothing"),
        (chunk("#| label: tbl-x", "#| tbl-cap: c", "print('| a |')"), RequestError, 6, "no table"),
        (chunk("__import__('pandas').DataFrame({'a': [1]})"), RequestError, 5, "_repr_markdown_"),
        (chunk("import os", "os._exit(3)"), RunError, 5, "Python ended here"),
    ],
)  # fmt: skip
def test_chunks_and_expressions(project, body, kind, line, says):
    message = refused(write(project, body), kind)
    assert says in message
    assert message.startswith(f"report.qmd:{line}: ")


def test_the_kernel_is_this_interpreter_and_silent(project, monkeypatch, capfd):
    kernel = project / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        '{"argv": ["false"], "display_name": "x", "language": "python"}'
    )
    startup = project / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("raise SystemExit('a user file ran')")
    monkeypatch.setenv("JUPYTER_PATH", str(project / "share"))
    monkeypatch.setenv("IPYTHONDIR", str(project / "ipython"))
    write(project, chunk("#| echo: false", "import sys", "print(sys.executable, 'at work')"))
    made = builtin.render(project, project / "out", ["html"], progress=lambda line: None)
    assert f"{sys.executable} at work" in made[0].read_text()
    assert capfd.readouterr() == ("", "")


def test_figures_default_to_the_documents_size(project):
    settings = project / "_quarto.yml"
    settings.write_text(settings.read_text().replace("fig-width: 6.3", "fig-width: 4"))
    code = ["#| echo: false", "import os, matplotlib"]
    code += ["print(os.environ['QUARTO_FIG_WIDTH'], matplotlib.rcParams['figure.figsize'])"]
    made = builtin.render(
        write(project, chunk(*code)), project / "out", ["html"], progress=lambda line: None
    )
    assert "4 [4.0, 3.4]" in made[0].read_text()


def test_front_matter_runs_before_every_chunk(project):
    write(project, chunk("x = 1"), "title: T\nabstract: '`{python} x`'")
    assert refused(project, RunError).startswith("report.qmd:3: ")


def test_leftovers_in_the_finished_file_fail_the_render(project):
    message = refused(write(project, "This is TODO."), RunError)
    assert message.startswith("report.html: 'TODO' is a leftover note")


def test_typst_that_does_not_compile_is_a_failed_run(project):
    message = refused(write(project, "```{=typst}\n#nonsense()\n```"), RunError)
    assert "report.pdf: Typst: unknown variable: nonsense" in message


# ---------------------------------------------------------------- atomicity


def test_after_an_error_the_old_files_stay_and_nothing_else(project):
    out = project / "out"
    out.mkdir()
    (out / "report.html").write_text("old page")
    (out / "report.pdf").write_bytes(b"old pdf")
    refused(write(project, "```{=typst}\n#nonsense()\n```"), RunError)  # the page was fine
    assert (out / "report.html").read_text() == "old page"
    assert (out / "report.pdf").read_bytes() == b"old pdf"
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.pdf"]


def test_one_format_leaves_the_other_file_alone(project):
    out = project / "out"
    out.mkdir()
    (out / "report.pdf").write_bytes(b"old pdf")
    made = builtin.render(write(project, "text"), out, ["html"], progress=lambda line: None)
    assert made == [out / "report.html"]
    assert (out / "report.pdf").read_bytes() == b"old pdf"


# ---------------------------------------------------------------- engines


def test_unknown_names_are_refused(project):
    with pytest.raises(RequestError, match="unknown format 'docx'"):
        builtin.render(write(project, "x"), project / "out", ["docx"])
    with pytest.raises(RequestError, match=r"unknown engine 'quatro'\. Did you mean 'quarto'"):
        rendering.render(project, project / "out", engine="quatro")


def test_quarto_asked_for_and_missing(project, monkeypatch):
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(RequestError, match="quarto is not on PATH"):
        rendering.render(project, project / "out", engine="quarto")


def fake_quarto(project: Path, monkeypatch, script: str) -> None:
    """A stand-in for the program: what it prints and exits with is what is tested."""
    program = project / "bin" / "quarto"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


PAGE = "<html><main><p>A page that is long enough to be one.</p></main></html>"


def test_auto_takes_quarto_where_it_is(project, monkeypatch, capfd):
    fake_quarto(
        project,
        monkeypatch,
        f"echo args: $@; mkdir -p _output; echo '{PAGE}' > _output/report.html",
    )
    made = rendering.render(project, project / "_output", ["html"])
    assert made == [project / "_output" / "report.html"]
    assert "args: render --to html" in capfd.readouterr().out


def test_quarto_writes_elsewhere_when_asked(project, monkeypatch, capfd):
    fake_quarto(
        project,
        monkeypatch,
        f"echo args: $@; mkdir -p _output/x; echo '{PAGE}' > _output/x/report.html",
    )
    rendering.render(project, project / "_output" / "x", ["html"], engine="quarto")
    assert "args: render --to html --output-dir _output/x" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'ERROR: chunk failed'; exit 1", "exit status 1: ERROR: chunk failed"),
        ("exit 3", "exit status 3"),
        (
            "printf '\\033[33mWARN: Unable to resolve crossref @fig-x\\033[39m\\n'",
            "Unable to resolve",
        ),
        ("true", "wrote no report.html"),
        (
            "mkdir -p _output; echo '<p>see ?@fig-x in this page</p>' > _output/report.html",
            "?@fig-x",
        ),
    ],
)
def test_what_quarto_only_warns_of_fails(project, monkeypatch, script, says):
    fake_quarto(project, monkeypatch, script)
    with pytest.raises(RunError) as caught:
        quarto.render(project, project / "_output", ["html"])
    assert says in str(caught.value)


def test_ipykernels_warning_is_harmless(project, monkeypatch):
    warning = "WARNING | Kernel is running over TCP without encryption"
    fake_quarto(
        project,
        monkeypatch,
        f"echo '{warning}'; mkdir -p _output; echo '{PAGE}' > _output/report.html",
    )
    assert quarto.render(project, project / "_output", ["html"])
