"""The linear layers of a loaded model, by the names that its checkpoint gives their matrices."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from analysis.errors import RequestError
from analysis.models import naming

_SEEN_BY_ENCODER = ("cross-attention key", "cross-attention value")


@dataclass(frozen=True)
class Matrix:
    """The weight matrix of a linear layer in a loaded model.

    name       as the checkpoint stores it
    block      path of the transformer block that it is in
    from_encoder   whether its inputs are the encoder's tokens: in the encoder, and for the keys and
                   values of cross-attention; else they are the decoder's
    """

    name: str
    module: nn.Module
    block: str
    from_encoder: bool

    @property
    def outputs_first(self) -> Tensor:
        """The weights as [out, in], whichever way they are stored; writing to it changes them."""
        weight = self.module.get_parameter("weight").data
        return weight.T if isinstance(self.module, Conv1D) else weight

    def as_stored(self, outputs_first: Tensor) -> Tensor:
        """A tensor [out, in] as that matrix is stored."""
        return outputs_first.T if isinstance(self.module, Conv1D) else outputs_first


def matrices(model: PreTrainedModel, names: Iterable[str]) -> list[Matrix]:
    """The matrices of these stored names. Raises RequestError if one is no linear layer's."""
    modules = dict(model.named_modules())
    prefix = f"{model.base_model_prefix}."
    found = []
    for name in names:
        what = naming.weight(name)
        path = what.name.removesuffix(".weight")
        spellings = (path, prefix + path, path.removeprefix(prefix))
        where = next((spelling for spelling in spellings if spelling in modules), None)
        block = naming.block_of(where + ".weight") if where else None
        if where is None or block is None or not isinstance(modules[where], nn.Linear | Conv1D):
            raise RequestError(
                f"{name} is no linear layer of a block, so nothing is known of its inputs; leave it"
                f" out with --exclude '{name}', or take a method that looks at weights alone"
            )
        from_encoder = what.part == "encoder" or what.kind in _SEEN_BY_ENCODER
        found.append(Matrix(name, modules[where], block, from_encoder))
    return found
