"""Quarto's hooks, run as Quarto runs them: bare scripts, from the project folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAIN = """\
import os, sys
print('ran', sys.argv[1:], os.environ.get('SPARSITY_STUDY'), flush=True)
sys.exit(int(os.environ.get('FAIL', 0)))
"""


@pytest.fixture
def project(tmp_path):
    """The hooks in a project whose `analysis run` tells how it was called."""
    package = tmp_path / "analysis"
    package.mkdir()
    (tmp_path / "report.qmd").write_text("---\ntitle: T\n---\n")
    for part in (ROOT / "analysis").iterdir():
        if part.name != "__main__.py":
            (package / part.name).symlink_to(part)
    (package / "__main__.py").write_text(MAIN)
    return tmp_path


def hook(project, name, python=sys.executable, **environment):
    environment = {**os.environ, "SPARSITY_STUDY": "tiny", "QUARTO_PROFILE": "", **environment}
    command = [python, str(Path("analysis", "rendering", f"{name}.py"))]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_pre_render_runs_the_study_and_hands_on_its_exit_status(project):
    for status in (0, 1, 2):
        said = "ran ['run'] tiny\n" + ("ran ['facts'] tiny\n" if status == 0 else "")
        said = (status, said, "")
        assert hook(project, "pre_render", FAIL=str(status)) == said


def test_a_mistyped_profile_is_refused_with_the_nearest(project):
    (project / "_quarto-classic.yml").write_text("")
    assert hook(project, "pre_render", QUARTO_PROFILE="classic")[0] == 0
    says = "unknown Quarto profile 'clasic'. Did you mean 'classic'? Allowed: classic.\n"
    for given in ("clasic", "classic,clasic", "classic clasic"):
        assert hook(project, "pre_render", QUARTO_PROFILE=given) == (2, "", says)


def test_a_python_that_cannot_run_the_chunks_is_named_before_anything_is_computed(project):
    bare = project / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    files, python = {"QUARTO_PROJECT_OUTPUT_FILES": "report.html"}, str(bare / "bin" / "python")
    for name in ("pre_render", "post_render"):
        status, _, said = hook(project, name, python, **files)
        assert (status, said.count("\n"), "run `make setup`" in said) == (2, 1, True), said
    link = project / ".venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    status, out, said = hook(project, "pre_render", python)
    assert (status, out, said.count("\n")) == (2, "", 1)
    assert f"{python}, which lacks numpy: activate the environment" in said


def test_a_study_and_a_folder_that_do_not_belong_together_are_refused(project):
    for study, folder, status in (
        ("tiny", project / "_output", 0),
        ("studies/my own.yml", project / "_output" / "my own", 0),
        ("glue", "_output", 2),  # glue's page would take the place of tiny's
        ("tiny", project / "_output" / "glue", 2),
    ):
        named = {"SPARSITY_STUDY": study, "QUARTO_PROJECT_OUTPUT_DIR": str(folder)}
        done, out, said = hook(project, "pre_render", **named)
        assert (done, bool(out), said.count("\n")) == (status, not status, int(status > 0)), said


def test_words_that_would_vanish_are_refused_before_anything_is_computed(project):
    """By the pandoc of the wheel, or of the Quarto that runs the hook."""
    program = project / "bin" / "quarto"
    program.parent.mkdir()
    own = f"{sys.executable} -c 'import pypandoc; print(pypandoc.get_pandoc_path())'"
    program.write_text(f'#!/bin/sh\n[ "$1" = pandoc ] && shift && exec "$({own})" "$@"\n')
    program.chmod(0o755)
    hidden = project / "hidden" / "sitecustomize.py"  # as where the wheel is not installed
    hidden.parent.mkdir()
    hidden.write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'pypandoc' else find(name, *more)\n"
    )
    within = {"QUARTO_BIN_PATH": str(program.parent), "PYTHONPATH": str(hidden.parent)}
    nowhere = {"PYTHONPATH": str(hidden.parent), "PATH": ""}
    table, unread = "| a |\n|---|\n| b | lost |", "words that would vanish are not looked for: "
    for text, environment, status, says in (
        (table, {}, 2, "report.qmd:7: 'lost' would vanish"),
        (table, within, 2, "report.qmd:7: 'lost' would vanish"),
        (table, nowhere, 0, f"{unread}pandoc is missing"),
        ("```{r}\n1\n```", {}, 0, f"{unread}report.qmd:5: "),
    ):
        (project / "report.qmd").write_text(f"---\ntitle: T\n---\n\n{text}\n")
        done, out, said = hook(project, "pre_render", **environment)
        assert (done, bool(out), said.count("\n")) == (status, not status, 1), said
        assert said.startswith(says), said


def test_a_study_that_was_run_already_is_not_run_again(project):
    assert hook(project, "pre_render", SPARSITY_COMPUTED="1") == (0, "ran ['facts'] tiny\n", "")


def test_a_faulty_page_does_not_take_the_place_of_a_good_one(project):
    output = project / "_output"
    output.mkdir()
    page, good = output / "report.html", "<p>A page with enough words to be one.</p>"
    environment = {"QUARTO_PROJECT_OUTPUT_DIR": str(output)}
    listed = {**environment, "QUARTO_PROJECT_OUTPUT_FILES": str(page)}
    for written, status, left in ((good, 0, good), (good + "?@fig-x", 1, good)):
        assert hook(project, "pre_render", **environment)[0] == 0
        page.write_text(written)
        assert hook(project, "post_render", **listed)[0] == status
        assert (page.read_text(), list(output.iterdir())) == (left, [page])


def test_post_render_searches_the_files_quarto_names(project):
    (project / "good.html").write_text("<p>A page with enough words to be one.</p>")
    (project / "bad.html").write_text("<p>A page with enough words, and see ?@fig-x.</p>")
    (project / "bad.txt").write_text("TODO")
    for listed in ("", "good.html\nbad.txt"):
        assert hook(project, "post_render", QUARTO_PROJECT_OUTPUT_FILES=listed) == (0, "", "")
    files = {"QUARTO_PROJECT_OUTPUT_FILES": "good.html\nbad.html"}
    status, _, said = hook(project, "post_render", **files)
    assert status == 1
    assert said.startswith("bad.html: '?@fig-x' is a reference that nothing answers")
