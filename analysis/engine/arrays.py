"""The types of arrays that rooms hand to each other; a room of its own, so keys stay narrow."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]  # True keeps
