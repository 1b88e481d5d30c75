"""Updates: what becomes of the weights that stay, one file each, for methods that see inputs.

An update has `PRODUCTS`, whether it needs the inputs' products XᵀX or their squares only, and

    prune(method, weight, inputs, quota)   what is kept of one matrix [out, in]

`quota` is what the method's allocation gives the groups of that matrix.
"""

from typing import NamedTuple

from torch import Tensor

from analysis.engine.arrays import Mask


class Kept(NamedTuple):
    """What a method keeps of one matrix [out, in].

    weight   the matrix as it is now, zero where removed; None if the kept weights did not change
    note     what a reader should know of how it went
    """

    mask: Mask
    weight: Tensor | None = None
    note: str = ""
