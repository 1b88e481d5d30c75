"""`make setup` where no environment can be made says so in one line."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_MAKE = ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")  # of the one that may run these tests
WITHOUT_VENV = '#!/bin/sh\ncase "$*" in *venv*) exit 1;; *) exit 0;; esac\n'


def test_a_half_made_environment_that_cannot_be_mended_is_named_in_one_line(tmp_path):
    half = tmp_path / ".venv" / "bin" / "python"
    half.parent.mkdir(parents=True)
    half.symlink_to(tmp_path / "gone")
    for name, content in (("old", "#!/bin/sh\nexit 1\n"), ("bare", WITHOUT_VENV)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    for lock in ROOT.glob("requirements*.lock"):
        (tmp_path / lock.name).write_text("")
    for python, says in (("./old", "no Python 3.11 or later"), ("./bare", "python3-venv")):
        command = ["make", "-f", str(ROOT / "Makefile"), "setup", f"PYTHON={python}"]
        own = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
        done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)
        said, made = done.stderr.strip().split("\n")
        assert (done.returncode, says in said, made[:9]) == (2, True, "make: ***"), done.stderr
