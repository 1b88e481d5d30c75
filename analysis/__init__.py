"""The experiments behind the executable paper on sparsification. `python -m analysis --help`."""

import os

# joblib keeps records here, and starts no processes: else it would try, and warn, at its import,
# whether there can be semaphores, which a container may refuse
os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")
