"""Quarto's hooks, run as Quarto runs them: bare scripts, from the project folder."""

import os
import shutil
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
    (package / "rendering").mkdir(parents=True)
    shutil.copy(ROOT / "analysis" / "errors.py", package)
    for path in (ROOT / "analysis" / "rendering").glob("*.py"):
        shutil.copy(path, package / "rendering")
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(MAIN)
    return tmp_path


def hook(project, name, python=sys.executable, **environment):
    environment = {**os.environ, "SPARSITY_STUDY": "tiny", "QUARTO_PROFILE": "", **environment}
    command = [python, str(Path("analysis", "rendering", f"{name}.py"))]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_pre_render_runs_the_study_and_hands_on_its_exit_status(project):
    for status in (0, 1, 2):
        said = (status, "ran ['run'] tiny\n", "")
        assert hook(project, "pre_render", FAIL=str(status)) == said


def test_a_mistyped_profile_is_refused_with_the_nearest(project):
    (project / "_quarto-classic.yml").write_text("")
    assert hook(project, "pre_render", QUARTO_PROFILE="classic")[0] == 0
    says = "unknown Quarto profile 'clasic'. Did you mean 'classic'? Allowed: classic.\n"
    for given in ("clasic", "classic,clasic", "classic clasic"):
        assert hook(project, "pre_render", QUARTO_PROFILE=given) == (2, "", says)


def test_the_projects_venv_is_found_and_without_it_the_hook_says_what_to_do(project):
    bare = project / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    files, python = {"QUARTO_PROJECT_OUTPUT_FILES": "report.html"}, str(bare / "bin" / "python")
    for name in ("pre_render", "post_render"):
        status, _, said = hook(project, name, python, **files)
        assert (status, said.count("\n"), "run `make setup`" in said) == (2, 1, True), said
    link = project / ".venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.write_text(f'#!/bin/sh\necho venv\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    assert hook(project, "pre_render", python)[:2] == (0, "venv\nran ['run'] tiny\n")


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
