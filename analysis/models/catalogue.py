"""The built-in models by name, without what builds them: reading a study imports no torch."""

from dataclasses import dataclass

MAX_TOKENS = 96  # positions of every built-in model


@dataclass(frozen=True)
class Builtin:
    """A built-in model: its family, and the tasks it can be put to.

    Of these, those in `pretrained` are answered by the pretrained model as it is; the others
    by a copy fine-tuned for the task.
    """

    family: str
    tasks: tuple[str, ...]
    pretrained: tuple[str, ...] = ()


BUILTIN = {
    "tiny-bert": Builtin("encoder-only", ("sentiment", "paraphrase")),
    "tiny-gpt2": Builtin(
        "decoder-only",
        ("language-modelling", "sentiment"),
        pretrained=("language-modelling",),
    ),
    "tiny-bart": Builtin("encoder-decoder", ("headline", "sentiment")),
}
