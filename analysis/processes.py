"""Which process this is, and whether another still runs: for names of temporary files."""

import os
import re
import socket

OPENED_BYTES = 2_000_000_000  # of models that a worker keeps open: variants of several take turns
# what a worker may grow by: these, and the libraries that it has imported and compiled
GROWTH_BYTES = OPENED_BYTES + 1_000_000_000


def host() -> str:
    """This host's name, without what a file name could not hold."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())


def process_tag() -> str:
    """A name for this process that no other running one has, on any host that shares a disk."""
    return f"{host()}-{os.getpid()}"


def is_running(pid: int) -> bool:
    """Whether a process of that number runs on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def quiet_libraries() -> None:
    """Keep the libraries' advice off the screen; before they are imported."""
    os.environ.update({"TRANSFORMERS_VERBOSITY": "error", "DISABLE_SAFETENSORS_CONVERSION": "1"})
