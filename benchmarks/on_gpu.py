"""What only a GPU can show: the project's steps on one, beside the same steps on the CPU.

    python -m benchmarks.on_gpu [--device cuda|cpu] [--quick]

A row a check: its name, ok, failed or skipped, what was measured, seconds; exit status 1 if one
failed. On one H200 at most eight minutes; without a GPU all are skipped. `--device cpu` holds the
CPU against itself, to try this file where there is no GPU; `--quick` leaves the study out, whose
models are trained here first. Models are random, but for the study's: what is compared is where
they compute.
"""

import argparse
import functools
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table

from analysis import results
from analysis.engine import gpus, machine, processes
from analysis.engine.objects import Objects
from analysis.execution import semi_structured
from analysis.execution.csr import Csr
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.experiments import placement
from analysis.models.family import shape_sha256
from analysis.pruning.masks import read_pruned
from analysis.scoring import batches
from analysis.steps.checkpoints.sources import make_replica
from analysis.steps.examples.generated import make_examples
from analysis.steps.pruning.calibrated import prune_calibrated
from analysis.steps.pruning.pruned import prune_checkpoint
from analysis.steps.quality import evaluate_variant
from analysis.steps.recovery.recovered import recover
from analysis.steps.timing.variants import finished
from analysis.study.sections import Compute

ROOT = Path(__file__).parents[1]
SECONDS = 470.0  # for all of it; what has not begun by then is skipped
TASK, MODEL = "language-modelling", "openai-community/gpt2-xl"
LEVEL = 0.5
# a score may be off the CPU's by this share, by the type it is computed in; ten times that where
# models have learnt something, and are sure of it
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.01, "float16": 0.002}
ALIKE = {"wanda": 0.999, "sparsegpt": 0.99}  # share of a mask's places that agree, at least
_OTHER_MASKS = 0.02  # a score after pruning with masks that nearly agree
_STUDY: dict[str, Any] = {
    "models": [
        {"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]},
        {"name": "tiny-gpt2", "family": "decoder-only", "tasks": [TASK]},
    ],
    "examples": {"sentiment": 500, TASK: 200},
    "methods": ["magnitude", "wanda"],
    "sparsities": [LEVEL],
    "formats": ["dense"],
    "runtime": {"operations": ["forward"], "batches": [1], "tokens": 64, "min_runs": 5},
}


class SkippedError(Exception):
    """Why a check cannot be made here."""


class FailedError(Exception):
    """What a check found to be wrong."""


class Bench:
    """The device that is looked at, and what checks share: a model, its masks, examples."""

    def __init__(self, folder: Path, device: str):
        self.folder, self.device = folder, device
        self.until = time.monotonic() + SECONDS
        self.objects = Objects(folder / "objects")

    @functools.cached_property
    def model(self) -> dict[str, Any]:
        """The record of a random decoder."""
        digest = shape_sha256(MODEL)
        return make_replica(
            self.objects, identifier=MODEL, shape_sha256=digest, form="causal", seed=0, tiny=True
        )

    @functools.cached_property
    def about(self) -> dict[str, str]:
        """The model, as steps are told of it."""
        digest = self.model["weights_sha256"]
        return {"checkpoint": self.model["checkpoint"]["object"], "weights_sha256": digest}

    @functools.cached_property
    def masks(self) -> str:
        """The object of the masks that magnitude gives it."""
        asked = {"method": "magnitude", "levels": [LEVEL], "include": [], "exclude": [], "seed": 0}
        found = prune_checkpoint(self.objects, **self.about, **asked)
        return str(found["levels"][0]["masks"]["object"])

    @functools.cache  # noqa: B019
    def perplexity(self, device: str, dtype: str, batch_size: int = 8) -> float:
        """Of the pruned model."""
        data = make_examples(self.objects, task_name=TASK, count=12, seed=1)["data"]["object"]
        found = evaluate_variant(
            self.objects, checkpoint=self.about["checkpoint"], masks=self.masks, task_name=TASK,
            data=data, batch_size=batch_size,
            place={"threads": _threads(), "device": device, "dtype": dtype},
        )  # fmt: skip
        if (found["device"], found["dtype"]) != (device, dtype):
            raise FailedError(f"the record says {found['device']}, {found['dtype']}")
        return float(found["metrics"]["perplexity"]["value"])

    def require_gpu(self) -> None:
        """Raise SkippedError where the device is none."""
        if self.device != "cuda":
            raise SkippedError("only a GPU has it")


def driver(bench: Bench) -> str:
    """The driver, asked without torch, names the GPUs that torch finds."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = [torch.cuda.get_device_properties(i) for i in range(count)]
    expected = [(p.name, (p.major, p.minor)) for p in there]
    found = [(gpu.name, gpu.capability) for gpu in gpus.usable()]
    _require(found == expected, f"{found} and not {expected}")
    sizes = [(g.memory_bytes, p.total_memory) for g, p in zip(gpus.usable(), there, strict=True)]
    _require(all(abs(a - b) < 0.05 * b for a, b in sizes), f"bytes of memory: {sizes}")
    start = time.perf_counter()
    gpus.usable.__wrapped__()
    return f"{len(found)} GPUs, asked in {1e3 * (time.perf_counter() - start):.0f} ms"


def automatic(bench: Bench) -> str:
    """What `auto` comes to, here and with CUDA_VISIBLE_DEVICES hiding the GPUs."""
    place = placement.answering(Compute(dtype="auto"), "dense")
    has = torch.cuda.is_available()
    half = "bfloat16" if has and torch.cuda.is_bf16_supported(False) else "float16"
    expected = {"device": "cuda", "dtype": half} if has else {"device": "cpu", "dtype": "float32"}
    _require(place == expected, f"{place} and not {expected}")
    code = "from analysis.experiments.placement import *\n"
    code += "print(*answering(Compute(), 'dense').values())"
    for hidden in ("", "-1"):
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": hidden, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        _require(
            done.stdout.split() == ["cpu", "float32"], f"{hidden!r}: {done.stdout}{done.stderr}"
        )
    return " ".join(place.values())


def scores(bench: Bench) -> str:
    """Scores in every type, against the CPU's in float32, with the same masks."""
    whole, off = bench.perplexity("cpu", "float32"), {}
    for dtype, tolerance in TOLERANCES.items():
        off[dtype] = abs(bench.perplexity(bench.device, dtype) / whole - 1)
        _require(off[dtype] <= tolerance, f"{dtype} is off by {off[dtype]:.2g}, over {tolerance:g}")
    return ", ".join(f"{dtype} off by {share:.1g}" for dtype, share in off.items())


def calibrated(bench: Bench) -> str:
    """Masks of calibrated methods, against the CPU's."""
    shares = {}
    for method, least in ALIKE.items():
        masks = [_calibrated(bench, method, device) for device in ("cpu", bench.device)]
        one, other = (np.concatenate([m.ravel() for m in found.values()]) for found in masks)
        shares[method] = float((one == other).mean())
        _require(shares[method] >= least, f"{method}: {shares[method]:.4f} alike, under {least}")
    return ", ".join(f"{method} {share:.4f} alike" for method, share in shares.items())


def _calibrated(bench: Bench, method: str, device: str) -> Any:
    look = {"task": TASK, "training": None, "examples": 32, "tokens": 32, "seed": 7}
    look |= {"threads": _threads(), "device": device}
    found = prune_calibrated(
        bench.objects, **bench.about, method=method, levels=[LEVEL], include=[], exclude=[],
        calibration=look,
    )  # fmt: skip
    return read_pruned(bench.objects.open(found["levels"][0]["masks"]["object"])).masks


def trained(bench: Bench) -> str:
    """Training keeps the masks."""
    course = {"task": TASK, "training": None, "examples": 16, "epochs": 1.0, "learning_rate": 1e-3}
    course |= {"batch_size": 16, "seed": 3, "threads": _threads(), "device": bench.device}
    found = recover(
        bench.objects, **bench.about, masks=bench.masks, protocol="fine-tuned",
        course=course | {"max_tokens": 256},
    )  # fmt: skip
    before, after = (
        read_pruned(bench.objects.open(d)) for d in (bench.masks, found["masks"]["object"])
    )
    same = all(np.array_equal(mask, after.masks[name]) for name, mask in before.masks.items())
    _require(same, "other masks than before")
    left = sum(int((values != 0)[~after.masks[n]].sum())
               for n, values in after.values.items() if n in after.masks)  # fmt: skip
    _require(left == 0, f"{left} removed weights are not zero")
    _require(math.isfinite(found["final_loss"]), f"loss {found['final_loss']}")
    return f"{found['removed']:,} zeros kept, loss {found['final_loss']:.3f}"


def halved(bench: Bench) -> str:
    """A batch that does not fit into memory is taken in halves, with the same answers."""
    bench.require_gpu()
    element = 1 << 20  # floats of a row
    free = torch.cuda.mem_get_info()[0]
    rows, sizes = max(4, int(2 * free / (4 * element))), []  # twice what fits

    def answers(chosen: list[int]) -> list[float]:
        held = torch.ones(len(chosen), element, device=bench.device)
        sizes.append(len(held))
        return [float(i) for i in chosen]

    found = batches.Halving(answers)(list(range(rows)))
    _require(found == [float(i) for i in range(rows)], "other answers, or another order")
    torch.cuda.empty_cache()
    return f"{rows:,} rows of 4 MB with {free / 1e9:.0f} GB free, at most {max(sizes):,} at once"


def timings(bench: Bench) -> str:
    """Timings wait for the device: they agree with its own clock."""
    bench.require_gpu()
    matrix = torch.randn(8192, 8192, device=bench.device)

    def run() -> None:
        matrix @ matrix
        finished(bench.device)

    ours = statistics.median(interleaved_samples({"": run}, Schedule(max_seconds=5.0))[""])
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    matrix @ matrix
    end.record()
    torch.cuda.synchronize()
    theirs = start.elapsed_time(end) / 1e3
    _require(0.7 < ours / theirs < 1.5, f"{1e3 * ours:.2f} ms for the device's {1e3 * theirs:.2f}")
    return f"{1e3 * ours:.2f} ms, by the device's clock {1e3 * theirs:.2f} ms"


def two_of_four(bench: Bench) -> str:
    """The 2:4 product of torch, and how fast it is beside the dense one."""
    bench.require_gpu()
    if torch.cuda.get_device_capability() < (8, 0):
        raise SkippedError("the GPU has no 2:4 tensor cores")
    size, tokens = 4096, 2048
    weight = torch.randn(size, size, device=bench.device, dtype=torch.float16)
    weight *= torch.tensor([1, 0, 0, 1], device=bench.device).repeat(size // 4)
    x = torch.randn(tokens, size, device=bench.device, dtype=torch.float16) / 64
    matrix = Csr.of(weight)
    _require(semi_structured.possible(matrix), "is not possible, says the project")
    sparse, dense = semi_structured.product(matrix, None), functools.partial(x.matmul, weight.T)
    worst = float((sparse(x) - dense()).abs().max() / dense().abs().max())
    _require(worst < 0.01, f"off by {worst:.2g} of the largest output")

    def timed(product: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            product()
            finished(bench.device)

        return run

    cells = {"dense": timed(dense), "2:4": timed(functools.partial(sparse, x))}
    found = interleaved_samples(cells, Schedule(max_seconds=5.0))
    ms = {name: 1e3 * statistics.median(samples) for name, samples in found.items()}
    return f"off by {worst:.1g}; {ms['2:4']:.2f} ms, dense {ms['dense']:.2f} ms"


def study(bench: Bench) -> str:
    """A trimmed built-in study in every type, against the CPU's in float32, over one cache."""
    cpu, said = _run(bench, "cpu", "float32"), []
    for dtype in TOLERANCES:
        said.append(compared(cpu, _run(bench, bench.device, dtype), bench.device, dtype))
    return "; ".join(said)


def _run(bench: Bench, device: str, dtype: str) -> results.Tables:
    name = f"{device}-{dtype}"
    (bench.folder / "studies").mkdir(exist_ok=True)
    compute = {"device": device, "dtype": dtype, "jobs": 2}
    text = yaml.safe_dump(_STUDY | {"title": f"On {name}", "compute": compute}, sort_keys=False)
    (bench.folder / "studies" / f"{name}.yml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "run", "--study", name],
        cwd=bench.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=max(1.0, bench.until - time.monotonic()),
    )
    _require(done.returncode == 0, f"{name}: {done.stderr}")
    return results.read(bench.folder / "_output" / name / "results")[0]


def compared(cpu: results.Tables, other: results.Tables, device: str, dtype: str) -> str:
    """How far the scores on the device are off those of the CPU. Raises FailedError if too far, or
    the tables do not say where they come from."""
    for tables, expected in ((cpu, ("cpu", "float32")), (other, (device, dtype))):
        said = {*zip(tables["quality"]["device"], tables["quality"]["dtype"], strict=True)}
        _require(said == {expected}, f"scores say that they are of {said}, not of {expected}")
        said = set(tables["runtime"]["device"])
        _require(said == {expected[0]}, f"timings say that they are of {said}")
        failed = set(tables["variants"]["status"]) - {"ok"}
        _require(not failed, f"there are variants that {failed}")
    keys = ["variant", "metric"]
    both = cpu["quality"].merge(other["quality"], on=keys, suffixes=("", "_there"))
    _require(len(both) == len(cpu["quality"]) == len(other["quality"]), "other variants")
    off = (both["value_there"] / both["value"] - 1).abs()
    calibrated = both["variant"].str.contains("/wanda/")
    # of a classification no less than four answers of 500
    least = np.where(calibrated, _OTHER_MASKS, np.where(both["metric"] == "perplexity", 0, 0.01))
    wrong = both[off > np.maximum(least, 10 * TOLERANCES[dtype])]
    _require(wrong.empty, f"{len(wrong)} scores are off, first {wrong.head(1).to_dict('records')}")
    return f"{len(both)} scores in {dtype} off by {off.max():.1g} at most"


CHECKS = {
    "driver": driver,
    "auto": automatic,
    "scores by type": scores,
    "calibrated pruning": calibrated,
    "training with masks": trained,
    "memory": halved,
    "timings": timings,
    "2:4 product": two_of_four,
    "study": study,
}


def main(arguments: list[str] | None = None) -> int:
    """Make the checks; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="without the study")
    asked = parser.parse_args(arguments)
    processes.quiet_libraries()
    table = Table("check", "", "measured", "seconds", title=f"{asked.device}: {_what_it_is()}")
    found = []
    with tempfile.TemporaryDirectory(prefix="on-gpu-") as name:
        bench = Bench(Path(name), asked.device)
        for check in CHECKS:
            start = time.monotonic()
            status, measured = _made(check, bench, asked.quick)
            found.append(status)
            table.add_row(check, status, measured, f"{time.monotonic() - start:.1f}")
            print(f"{check}: {status}: {measured}", file=sys.stderr, flush=True)
    Console().print(table)
    return 1 if "failed" in found else 0


def _made(check: str, bench: Bench, quick: bool) -> tuple[str, str]:
    """How a check came out, and what was measured or is wrong."""
    if bench.device == "cuda" and not torch.cuda.is_available():
        return "skipped", "no GPU"
    if check == "study" and quick:
        return "skipped", "--quick"
    if time.monotonic() > bench.until:
        return "skipped", "no time is left"
    try:
        return "ok", CHECKS[check](bench)
    except subprocess.TimeoutExpired:
        return "skipped", "no time is left"
    except SkippedError as reason:
        return "skipped", str(reason)
    except Exception as error:  # one check costs no other
        return "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _what_it_is() -> str:
    return str(machine.identity()["accelerator"])


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FailedError(otherwise)


if __name__ == "__main__":
    sys.exit(main())
