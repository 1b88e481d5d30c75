"""A place of its own for a script beside the tests: import it before anything else.

What is imported later looks there for the machine's lock and for the libraries' caches, and finds
the package.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="torture-"))  # short: sockets lie in it
atexit.register(shutil.rmtree, FOLDER, True)
os.environ |= {"TMPDIR": str(FOLDER), "HOME": str(FOLDER), "OMP_NUM_THREADS": "1"}
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
tempfile.tempdir = str(FOLDER)
sys.path.insert(0, str(Path(__file__).parents[1]))
