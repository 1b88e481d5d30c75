"""The same for the sections on patterns, calibration, training and sensitivity."""

import pytest

from studies import LANGUAGE, everything, masked_only, refused_saying, to_file, tree

WRONG = {
    # patterns
    **{
        f"pattern {pattern!r}": (tree(patterns=[pattern]), ["patterns:", "is not N:M", "2:4"])
        for pattern in (
            *("", "2", "2:", ":4", "2:4:8", "4:4", "5:4", "0:4", "2:0", "-2:4", "2.0:4", " 2:4"),
            *("2:4 ", "2:33", "1:999", "2/4", "half", "2:4\n", "٢:٤", "²:4", "x" * 300),
        )
    },
    "pattern of no level": (
        masked_only(patterns=["1:8"]),
        ["patterns: 1:8 removes 0.875", "add it"],
    ),
    **{
        f"{key} at the most that a layer can lose": (
            everything(sensitivity={key: [0.98]}, sparsities=[0.5, 0.9, 0.98]),
            [f"sensitivity.{key}: below 0.98"],
        )
        for key in ("sparsities", "allocate")
    },
    "pattern is a number": (tree(patterns=[0.5]), ["patterns.0", "got 0.5"]),
    "pattern as YAML reads 2:4 in base 60": (tree(patterns=[124]), ["patterns.0", "got 124"]),
    "no pattern": (tree(patterns=[]), ["patterns"]),
    "pattern twice": (tree(patterns=["2:4", "2:4"]), ["patterns", "'2:4' stands twice"]),
    # calibration
    "unknown key of calibration": (
        tree(calibration={"example": 3}),
        ["calibration", "'example'", "Did you mean 'examples'?"],
    ),
    "calibration without examples": (
        tree(calibration={"examples": 0}),
        ["calibration.examples", "got 0"],
    ),
    "half an example": (tree(calibration={"examples": 1.5}), ["calibration.examples", "1.5"]),
    "calibration with one token": (tree(calibration={"tokens": 1}), ["calibration.tokens", "1"]),
    "more tokens than models have": (
        tree(calibration={"tokens": 10**6}),
        ["calibration.tokens", "got 1000000"],
    ),
    "calibration is nothing": (tree(calibration=None), ["calibration"]),
    # protocols and recovery
    "unknown protocol": (
        everything(protocols=["one-shot", "finetuned"]),
        ["protocols.1", "'finetuned'", "'fine-tuned'"],
    ),
    "no one-shot": (everything(protocols=["fine-tuned"]), ["protocols:", "'one-shot'"]),
    "no protocol": (everything(protocols=[]), ["protocols"]),
    "trained protocol without recovery": (
        tree(protocols=["one-shot", "fine-tuned"]),
        ["recovery:", "is missing", "fine-tuned trains"],
    ),
    "gradual without recovery": (
        tree(methods=["magnitude", "gradual"]),
        ["recovery:", "is missing", "gradual trains"],
    ),
    "recovery that trains nothing": (
        tree(recovery={"tasks": ["sentiment"], "sparsities": [0.5]}),
        ["recovery:", "trains nothing", "fine-tuned"],
    ),
    "unknown key of recovery": (
        everything(recovery={"task": ["sentiment"]}),
        ["recovery", "'task'", "Did you mean 'tasks'?"],
    ),
    "recovery without tasks": (everything(recovery={"tasks": None}), ["recovery.tasks", "missing"]),
    "recovery without levels": (
        everything(recovery={"sparsities": None}),
        ["recovery.sparsities", "missing"],
    ),
    "recovery of no task": (everything(recovery={"tasks": []}), ["recovery.tasks"]),
    "recovery of an unknown task": (
        everything(recovery={"tasks": ["sentimnt"]}),
        ["recovery.tasks", "'sentimnt'", "Did you mean 'sentiment'?"],
    ),
    "recovery of a task of no model": (
        everything(recovery={"tasks": ["paraphrase"]}),
        ["recovery.tasks", "'paraphrase'", "Allowed: sentiment."],
    ),
    "recovery of a task twice": (
        everything(recovery={"tasks": ["sentiment"] * 2}),
        ["recovery.tasks", "stands twice"],
    ),
    "recovery of what is not fine-tuned": (
        everything(**LANGUAGE, recovery={"tasks": ["language-modelling"]}),
        ["recovery.tasks", "tiny-gpt2 is not fine-tuned for language-modelling"],
    ),
    "recovery at another level": (
        everything(recovery={"sparsities": [0.8]}),
        ["recovery.sparsities", "0.8 is not among", "add it"],
    ),
    "recovery at a level in per cent": (
        everything(recovery={"sparsities": [90]}),
        ["recovery.sparsities.0", "got 90"],
    ),
    "recovery at a level twice": (
        everything(recovery={"sparsities": [0.9, 0.9]}),
        ["recovery.sparsities", "stands twice"],
    ),
    "unmasked at another level": (
        everything(recovery={"unmasked_at": 0.8}),
        ["recovery.unmasked_at", "0.8 is not among"],
    ),
    "unmasked at level 0": (
        everything(recovery={"unmasked_at": 0.0}),
        ["recovery.unmasked_at", "got 0.0"],
    ),
    "recovery by a method that is not run": (
        everything(recovery={"method": "random"}),
        ["recovery.method", "'random'", "Allowed"],
    ),
    **{
        f"recovery by {method}": (
            everything(recovery={"method": method}),
            ["recovery.method:", f"{method} leaves no mask"],
        )
        for method in ("structured", "gradual", "nm-wanda")
    },
    **{
        f"{section} of {key} {value}": (
            everything(recovery={section: {key: value}}),
            [f"recovery.{section}.{key}", f"got {value}"],
        )
        for section in ("training", "gradual")
        for key, value in (
            *(("examples", 0), ("epochs", 0), ("epochs", 101), ("epochs", float("inf"))),
            *(("learning_rate", 0), ("learning_rate", 2), ("learning_rate", float("nan"))),
            *(("batch_size", 0), ("batch_size", 1.5)),
        )
    },
    # sensitivity
    "unknown key of sensitivity": (
        everything(sensitivity={"alocate": [0.5]}),
        ["sensitivity", "'alocate'", "Did you mean 'allocate'?"],
    ),
    "sensitivity without tasks": (
        everything(sensitivity={"tasks": None}),
        ["sensitivity.tasks", "missing"],
    ),
    "sensitivity of an unknown task": (
        everything(sensitivity={"tasks": ["news"]}),
        ["sensitivity.tasks", "'news'", "Allowed: sentiment."],
    ),
    "sensitivity of a task twice": (
        everything(sensitivity={"tasks": ["sentiment"] * 2}),
        ["sensitivity.tasks", "stands twice"],
    ),
    "sensitivity by tensor": (
        everything(sensitivity={"by": "tensor"}),
        ["sensitivity.by", "'tensor'", "'layer'", "'kind'"],
    ),
    "sensitivity at level 1": (
        everything(sensitivity={"sparsities": [1.0]}),
        ["sensitivity.sparsities.0", "got 1.0"],
    ),
    "sensitivity at a level twice": (
        everything(sensitivity={"sparsities": [0.5, 0.5]}),
        ["sensitivity.sparsities", "stands twice"],
    ),
    "sensitivity on no examples": (
        everything(sensitivity={"examples": 0}),
        ["sensitivity.examples", "got 0"],
    ),
    "allocation at another level": (
        everything(sensitivity={"allocate": [0.7]}),
        ["sensitivity.allocate", "0.7 is not among"],
    ),
    "allocation twice": (
        everything(sensitivity={"allocate": [0.5, 0.5]}),
        ["sensitivity.allocate", "stands twice"],
    ),
    "allocation without what it is compared with": (
        everything(methods=["magnitude", "gradual"]),
        ["sensitivity.allocate", "'magnitude-layer'"],
    ),
    "sensitivity is a word": (everything(sensitivity="layer"), ["sensitivity", "'layer'"]),
}


@pytest.mark.parametrize(("content", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_key_is_named_in_one_line(tmp_path, content, says):
    refused_saying(to_file(tmp_path, content), says)
