"""The script for machines with a GPU, where there is none: skipped, or the CPU against itself."""

import pandas as pd
import pytest
import torch

from benchmarks import on_gpu


def statuses(capsys, *arguments):
    """The exit status, and how each check came out."""
    status = on_gpu.main(list(arguments))
    said = [line.split(": ", 2) for line in capsys.readouterr().err.splitlines()]
    return status, {line[0]: tuple(line[1:]) for line in said if line[0] in on_gpu.CHECKS}


def test_without_a_gpu_everything_is_skipped(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, found = statuses(capsys)
    assert (status, set(found)) == (0, set(on_gpu.CHECKS))
    assert set(found.values()) == {("skipped", "no GPU")}


def test_the_cpu_agrees_with_itself_and_a_failed_check_costs_no_other(monkeypatch, capsys):
    monkeypatch.setitem(on_gpu.CHECKS, "driver", lambda bench: 1 / 0)
    status, found = statuses(capsys, "--device", "cpu", "--quick")
    assert status == 1
    assert found["driver"] == ("failed", "ZeroDivisionError: division by zero")
    skipped = {name for name, (how, _) in found.items() if how == "skipped"}
    assert skipped == {"memory", "timings", "2:4 product", "study"}
    assert {how for name, (how, _) in found.items() if name not in {"driver", *skipped}} == {"ok"}
    assert found["calibrated pruning"][1] == "wanda 1.0000 alike, sparsegpt 1.0000 alike"
    assert found["scores by type"][1].startswith("float32 off by 0,")


def tables(value, device="cuda", dtype="bfloat16"):
    scored = {"variant": ["a", "a/wanda/0.5"], "metric": ["perplexity", "accuracy"]}
    return {
        "quality": pd.DataFrame(scored | {"value": value, "device": device, "dtype": dtype}),
        "runtime": pd.DataFrame({"device": [device]}),
        "variants": pd.DataFrame({"status": ["ok"]}),
    }


def test_a_studys_scores_are_held_against_the_cpus_as_closely_as_type_and_masks_allow():
    cpu = tables([10.0, 0.8], "cpu", "float32")
    said = on_gpu.compared(cpu, tables([10.0, 0.808]), "cuda", "bfloat16")
    assert said == "2 scores in bfloat16 off by 0.01 at most"
    for other in (tables([11.1, 0.8]), tables([10.0, 0.9]), tables([10.0, 0.8], "cpu"),
                  tables([10.0, 0.8], dtype="float32")):  # fmt: skip
        with pytest.raises(on_gpu.FailedError):
            on_gpu.compared(cpu, other, "cuda", "bfloat16")
