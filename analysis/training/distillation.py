"""Distillation: a model learns from what another answers, beside the labels (arXiv 1503.02531)."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from analysis.models.encoding import IGNORED

LABELS_SHARE = 0.5
TEMPERATURE = 2.0


class Distillation(nn.Module):
    """A student that is trained as any model is, on its teacher's answers beside the labels.

    The loss is a·CE + (1 − a)·T²·KL(teacher/T ‖ student/T), the divergence a mean over the answers
    that have a label. The teacher is in eval mode, without gradients and no part of this module:
    its weights are neither trained nor decayed.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        teacher: PreTrainedModel,
        form: str,
        labels_share: float = LABELS_SHARE,
        temperature: float = TEMPERATURE,
    ):
        super().__init__()
        self.student, self.config = student, student.config
        self._ask = teacher.eval().forward  # a bound method: not registered as a submodule
        self._labels_share, self._temperature = labels_share, temperature
        self._shift = 1 if form == "causal" else 0  # an answer is about the token after it

    def forward(self, **batch: Tensor) -> SimpleNamespace:
        """The `loss` of a batch with labels."""
        answers = self.student(**batch)
        with torch.no_grad():
            teachers = self._ask(**batch).logits
        apart = divergence(
            self._labelled(answers.logits, batch["labels"]),
            self._labelled(teachers, batch["labels"]),
            self._temperature,
        )
        share = self._labels_share
        return SimpleNamespace(loss=share * answers.loss + (1 - share) * apart)

    def _labelled(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The logits [answers, classes] of the answers that have a label."""
        if self._shift:
            logits, labels = logits[:, : -self._shift], labels[:, self._shift :]
        return logits[labels != IGNORED]


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T²·KL(softmax(teacher/T) ‖ softmax(student/T)), a mean over the rows of [answers, classes].

    T² keeps its gradients as large as those of the cross-entropy, whatever T is.
    """
    apart = functional.kl_div(
        functional.log_softmax(student / temperature, -1),
        functional.log_softmax(teacher / temperature, -1),
        reduction="batchmean",
        log_target=True,
    )
    return apart * temperature**2
