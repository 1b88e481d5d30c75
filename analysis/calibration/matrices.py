"""The linear layers of a loaded model, by the names that its checkpoint gives their matrices."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from analysis.checkpoints import naming
from analysis.checkpoints.choice import excluding
from analysis.errors import RequestError

_SEEN_BY_ENCODER = ("cross-attention key", "cross-attention value")


@dataclass(frozen=True)
class Matrix:
    """The weight matrix of a linear layer in a loaded model.

    name       as the checkpoint stores it
    modules    the linear layers that it is the weight of: one, but where a model ties several
    block      path of the transformer block that the first of them is in
    from_encoder   whether its inputs are the encoder's tokens: in the encoder, and for the keys and
                   values of cross-attention; else they are the decoder's
    """

    name: str
    modules: Sequence[nn.Module]
    block: str
    from_encoder: bool

    @property
    def module(self) -> nn.Module:
        """The linear layer, the first if there are several."""
        return self.modules[0]

    @property
    def outputs_first(self) -> Tensor:
        """The weights as [out, in], whichever way they are stored; writing to it changes them."""
        weight = self.module.get_parameter("weight").data
        return weight.T if isinstance(self.module, Conv1D) else weight

    def as_stored(self, outputs_first: Tensor) -> Tensor:
        """A tensor [out, in] as that matrix is stored."""
        return outputs_first.T if isinstance(self.module, Conv1D) else outputs_first


def matrices(model: PreTrainedModel, names: Iterable[str]) -> list[Matrix]:
    """The matrices of these stored names. Raises RequestError if some are no linear layer's."""
    modules = dict(model.named_modules())
    owners: dict[int, list[nn.Module]] = defaultdict(list)
    for module in modules.values():
        if isinstance(module, nn.Linear | Conv1D):
            owners[id(module.weight)].append(module)
    prefix = f"{model.base_model_prefix}."
    found, others = [], []
    for name in names:
        what = naming.weight(name)
        path = what.name.removesuffix(".weight")
        spellings = (path, prefix + path, path.removeprefix(prefix))
        where = next((spelling for spelling in spellings if spelling in modules), None)
        block = naming.block_of(where + ".weight") if where else None
        if where is None or block is None or not isinstance(modules[where], nn.Linear | Conv1D):
            others.append(name)
            continue
        from_encoder = what.part == "encoder" or what.kind in _SEEN_BY_ENCODER
        own = modules[where]
        tied = [module for module in owners[id(own.get_parameter("weight"))] if module is not own]
        found.append(Matrix(name, [own, *tied], block, from_encoder))
    if others:
        more = f" (nor are {len(others) - 1} others)" if len(others) > 1 else ""
        experts = " the experts of a mixture are run as one tensor," if _are_experts(others) else ""
        raise RequestError(
            f"{others[0]} is no linear layer of a block{more}:{experts} nothing is known of its"
            f" inputs; leave such out with {excluding(others)}, or take a method that looks at"
            " weights alone"
        )
    return found


def _are_experts(names: Iterable[str]) -> bool:
    return all(".experts." in name for name in names)
