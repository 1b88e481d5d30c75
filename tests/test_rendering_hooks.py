"""Quarto's hooks, run as Quarto runs them: bare scripts, from the project folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path):
    """The hooks in a project whose `analysis run` tells how it was called."""
    package = tmp_path / "analysis"
    (package / "rendering").mkdir(parents=True)
    shutil.copy(ROOT / "analysis" / "errors.py", package)
    for path in (ROOT / "analysis" / "rendering").glob("*.py"):
        shutil.copy(path, package / "rendering")
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import os, sys\n"
        "print('ran', sys.argv[1:], os.environ.get('SPARSITY_STUDY'), flush=True)\n"
        "sys.exit(int(os.environ.get('FAIL', 0)))\n"
    )
    return tmp_path


def hook(project: Path, name: str, python: str = sys.executable, **environment: str):
    script = Path("analysis") / "rendering" / f"{name}.py"
    return subprocess.run(
        [python, str(script)],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def bare_python(folder: Path) -> str:
    """A Python of this version without the project's dependencies."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def test_pre_render_runs_the_study(project):
    done = hook(project, "pre_render", QUARTO_PROFILE="", SPARSITY_STUDY="tiny")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ran ['run'] tiny\n"


def test_pre_render_hands_on_the_runs_exit_status(project):
    assert hook(project, "pre_render", FAIL="1").returncode == 1
    assert hook(project, "pre_render", FAIL="2").returncode == 2


@pytest.mark.parametrize("given", ["clasic", "classic,clasic", "classic clasic"])
def test_a_mistyped_profile_is_refused_with_the_nearest(project, given):
    (project / "_quarto-classic.yml").write_text("")
    done = hook(project, "pre_render", QUARTO_PROFILE=given)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "unknown Quarto profile 'clasic'. Did you mean 'classic'? Allowed: classic."
    ]


def test_a_profile_with_its_file_is_taken(project):
    (project / "_quarto-classic.yml").write_text("")
    assert hook(project, "pre_render", QUARTO_PROFILE="classic").returncode == 0


def test_the_projects_venv_is_found(project):
    python = bare_python(project / "bare")
    (project / ".venv" / "bin").mkdir(parents=True)
    link = project / ".venv" / "bin" / "python"
    link.write_text(f'#!/bin/sh\necho venv\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    done = hook(project, "pre_render", python=python)
    assert done.stdout.splitlines() == ["venv", f"ran ['run'] {os.environ.get('SPARSITY_STUDY')}"]


@pytest.mark.parametrize("name", ["pre_render", "post_render"])
def test_without_any_python_the_hook_says_what_to_do(project, name):
    (project / "report.html").write_text("x")
    python = bare_python(project / "bare")
    done = hook(project, name, python=python, QUARTO_PROJECT_OUTPUT_FILES="report.html")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "run `make setup`" in done.stderr


def test_post_render_searches_the_files_quarto_names(project):
    (project / "good.html").write_text("<p>A page with enough words to be one.</p>")
    (project / "bad.html").write_text("<p>A page with enough words, and see ?@fig-x.</p>")
    (project / "bad.txt").write_text("TODO")
    good = hook(project, "post_render", QUARTO_PROJECT_OUTPUT_FILES="good.html\nbad.txt")
    assert (good.returncode, good.stderr) == (0, "")
    bad = hook(project, "post_render", QUARTO_PROJECT_OUTPUT_FILES="good.html\nbad.html")
    assert bad.returncode == 1
    assert bad.stderr.startswith("bad.html: '?@fig-x' is a reference that nothing answers")


def test_post_render_without_files_passes(project):
    assert hook(project, "post_render", QUARTO_PROJECT_OUTPUT_FILES="").returncode == 0
