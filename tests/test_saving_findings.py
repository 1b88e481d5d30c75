"""What the paper says of bytes and milliseconds: each claim flips with the results."""

import fake
import numpy as np
import pytest
from fake import changed
from paper_changes import supported, tilted, without

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import claims


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


def evidence(data, name):
    return claims.verdict(data, name).evidence.replace("\u00a0", " ")


# ---------------------------------------------------------------- bytes


def with_ratio(data, ratio, name, pattern=""):
    """The results in which these variants' files of that format are that part of the dense one."""

    def change(frame):
        rows = (frame["format"] == name) & frame["variant"].str.contains(pattern)
        assert rows.any()
        frame.loc[rows, "ratio"] = ratio

    return changed(data, "size", change)


@pytest.mark.parametrize(
    ("ratio", "holds"), [(1.0, True), (1.0009, True), (0.9991, True), (0.99, False), (1.01, False)]
)
def test_dense_files_stay_as_large_or_not(data, ratio, holds):
    assert supported(with_ratio(data, ratio, "dense", "magnitude/"), "dense-bytes") is holds


def test_smaller_models_are_no_dense_files_with_zeros_in_them(data):
    for kind in ("/structured/", "/int8", "/student", "/moe/"):
        assert supported(with_ratio(data, 0.4, "dense", kind), "dense-bytes") is True
    for kind in ("/nm-wanda/", "/gradual/", "/distilled/", "/allocated"):
        assert supported(with_ratio(data, 0.4, "dense", kind), "dense-bytes") is False


@pytest.mark.parametrize(("ratio", "holds"), [(0.5, True), (0.51, False), (0.93, False)])
def test_a_compressor_finds_the_zeros_or_not(data, ratio, holds):
    assert supported(with_ratio(data, ratio, "dense+zstd"), "compressor-finds-zeros") is holds


def test_a_compressor_is_asked_from_ninety_per_cent_on(data):
    for level, holds in ((0.5, True), (0.9, False), (0.99, False)):
        poor = with_ratio(data, 0.8, "dense+zstd", f"/magnitude/one-shot/{level:g}$")
        assert supported(poor, "compressor-finds-zeros") is holds


@pytest.mark.parametrize(
    ("name", "table_format"),
    [("compressor-finds-zeros", "dense+zstd"), ("sparse-files-shrink", "auto")],
)
def test_without_its_format_a_claim_is_not_tested(data, name, table_format):
    fewer = changed(data, "size", lambda frame: frame[frame["format"] != table_format])
    assert supported(fewer, name) is None
    assert supported(data, name) is True


def test_zstd_is_not_tested_without_a_high_level():
    assert supported(fake.data("one"), "compressor-finds-zeros") is None


@pytest.mark.parametrize(
    ("level", "ratio", "holds"),
    [(0.1, 0.99, True), (0.1, 1.0, False), (0.5, 0.999, True), (0.9, 1.2, False)],
)
def test_sparse_files_shrink_from_the_lowest_level_on_or_not(data, level, ratio, holds):
    found = with_ratio(data, ratio, "auto", f"tiny-gpt2/.*/?magnitude/one-shot/{level:g}$")
    assert supported(found, "sparse-files-shrink") is holds


@pytest.mark.parametrize(
    ("level", "factor", "holds"),
    [(0.5, 1.12, True), (0.5, 1.13, False), (0.99, 1.13, False), (0.1, 1.5, True)],
)
def test_sparse_files_come_near_the_bound_from_half_on_or_not(data, level, factor, holds):
    def change(frame):
        rows = frame["variant"].str.endswith(f"sentiment/magnitude/one-shot/{level:g}")
        rows &= frame["format"] == "auto"
        frame["bytes"] = frame["bytes"].astype(float)
        frame.loc[rows, "bytes"] = factor * frame.loc[rows, "bound_bytes"]

    assert supported(changed(data, "size", change), "sparse-files-shrink") is holds


def test_the_dense_model_is_no_sparse_file(data):
    found = with_ratio(data, 1.5, "auto", "dense$")
    assert supported(found, "sparse-files-shrink") is True


# ---------------------------------------------------------------- speed


def with_speed(data, speed, kernel, level=None, batch=None):
    """The results in which the timed method is that many times as fast as dense."""
    names = data.latency.loc[data.latency["sparsity"] > 0, ["variant", "sparsity"]]
    chosen = set(
        names.loc[names["sparsity"].isin([level] if level else names["sparsity"])]["variant"]
    )

    def change(frame):
        rows = frame["variant"].isin(chosen) & (frame["kernel"] == kernel)
        rows &= frame["operation"] == "forward"
        rows &= True if batch is None else frame["batch"] == batch
        assert rows.any()
        frame.loc[rows, ["speedup", "speedup_low", "speedup_high"]] = speed

    return changed(data, "runtime", change)


@pytest.mark.parametrize(("speed", "holds"), [(1.0, True), (1.09, True), (1.1, False), (2, False)])
def test_zeros_alone_bring_no_speed_or_do(data, speed, holds):
    assert supported(with_speed(data, speed, DENSE, 0.99, batch=1), "no-speed") is holds


def test_a_median_that_is_faster_within_its_noise_is_not_faster(data):
    found = with_speed(data, 1.3, DENSE, 0.99, batch=1)

    def noisy(frame):
        frame.loc[frame["speedup"] == 1.3, "speedup_low"] = 0.9

    assert supported(changed(found, "runtime", noisy), "no-speed") is True


@pytest.mark.parametrize("kernel", [TORCH_CSR, TILED_CSR, AUTO])
def test_no_speed_is_asked_of_dense_kernels_alone(data, kernel):
    assert supported(with_speed(data, 50.0, kernel), "no-speed") is True


def test_no_speed_is_asked_of_forward_passes_of_masked_models(data):
    def others(frame):
        rows = frame["variant"].str.contains("/structured/|/student|/int8")
        rows |= frame["operation"] != "forward"
        frame.loc[rows, ["speedup", "speedup_low", "speedup_high"]] = 9.0

    assert supported(changed(data, "runtime", others), "no-speed") is True
    beside = fake.data("beside")  # here units could be removed at every level
    assert "structured" in beside.methods
    assert set(beside.latency["series"]) == {"dense", "magnitude"}
    assert supported(beside, "no-speed") is True


def test_no_speed_is_not_tested_where_nothing_was_timed():
    assert supported(fake.data("written"), "no-speed") is None


def replicas(data, speeds, kernel=TILED_CSR):
    """True size, with these speed-ups by level of one sparse kernel; others are slow."""

    def change(frame):
        sparse = frame["kernel"] != DENSE
        frame.loc[sparse, "speedup"] = 0.5
        for level, speed in speeds.items():
            rows = (frame["sparsity"] == level) & (frame["kernel"] == kernel)
            frame.loc[rows, "speedup"] = speed
        return frame[frame["sparsity"].isin(list(speeds))]

    return changed(data, "replicas", change)


@pytest.mark.parametrize("kernel", [TORCH_CSR, TILED_CSR])
@pytest.mark.parametrize(
    ("speeds", "holds"),
    [
        ({0.9: 1.1, 0.95: 3.0, 0.99: 3.0}, True),
        ({0.5: 0.2, 0.9: 2.0, 0.95: 4.0, 0.99: 9.0}, True),  # low levels do not count
        ({0.9: 1.09, 0.95: 3.0, 0.99: 5.0}, False),
        ({0.9: 1.2, 0.95: 2.9, 0.99: 5.0}, False),
        ({0.9: 1.2, 0.95: 3.0, 0.99: 2.9}, False),
        ({0.95: 3.5}, True),
        ({0.5: 9.0, 0.9: 9.0}, None),  # no level is high enough to tell
        ({}, None),
    ],
)
def test_sparse_kernels_pay_at_true_size_or_not(data, speeds, holds, kernel):
    assert supported(replicas(data, speeds, kernel), "sparse-kernels-pay") is holds


def test_the_fastest_kernel_of_each_level_decides(data):
    found = replicas(data, {0.9: 2.0, 0.95: 0.1, 0.99: 9.0})

    def other(frame):
        rows = (frame["sparsity"] == 0.95) & (frame["kernel"] == TORCH_CSR)
        frame.loc[rows, "speedup"] = 3.25

    found = changed(found, "replicas", other)
    assert supported(found, "sparse-kernels-pay") is True
    assert "2.00 × at 90 %, 3.25 × at 95 % and 9.00 × at 99 %" in evidence(
        found, "sparse-kernels-pay"
    )


@pytest.mark.parametrize("name", ["sparse-kernels-pay", "small-models-gain-less"])
def test_without_a_model_of_true_size_nothing_is_said_of_it(name):
    for chosen in ("minimal", "one", "other", "written"):
        assert supported(fake.data(chosen), name) is None


@pytest.mark.parametrize(
    ("small", "large", "holds"),
    [
        ({0.9: 1.9, 0.95: 2.9, 0.99: 3.9}, {0.9: 2.0, 0.95: 3.0, 0.99: 4.0}, True),
        ({0.9: 2.0, 0.95: 2.9, 0.99: 3.9}, {0.9: 2.0, 0.95: 3.0, 0.99: 4.0}, False),
        ({0.9: 1.9, 0.95: 2.9, 0.99: 4.5}, {0.9: 2.0, 0.95: 3.0, 0.99: 4.0}, False),
        ({0.9: 1.9, 0.95: 9.9, 0.99: 9.9}, {0.9: 2.0}, True),  # levels of both sizes
        ({0.5: 9.0, 0.9: 1.9}, {0.5: 1.0, 0.9: 2.0}, True),  # high ones
        ({0.5: 1.0}, {0.5: 2.0}, None),
    ],
)
def test_small_models_gain_less_or_not(data, small, large, holds):
    found = replicas(data, large)
    for kernel in (TORCH_CSR, TILED_CSR, AUTO):
        found = with_speed(found, 0.1, kernel)
    for level, speed in small.items():
        found = with_speed(found, speed, AUTO, level)
    assert supported(found, "small-models-gain-less") is holds


def test_small_models_are_judged_by_their_best_kernel_model_and_batch(data):
    found = replicas(data, {0.9: 2.0})
    for kernel in (TORCH_CSR, TILED_CSR, AUTO):
        found = with_speed(found, 0.1, kernel)
    one = with_speed(found, 2.5, TORCH_CSR, 0.9, batch=8)
    assert supported(one, "small-models-gain-less") is False
    assert "90 %: 2.50 × here, 2.00 × there" in evidence(one, "small-models-gain-less")

    def writing(frame):
        frame.loc[frame["operation"] == "generate", "speedup"] = 9.0

    assert supported(changed(found, "runtime", writing), "small-models-gain-less") is True


# ---------------------------------------------------------------- alternatives


def kept(data, values):
    """The results in which variants, by what their names contain, retain so much: (value, low)."""

    def change(frame):
        for pattern, (value, low) in values.items():
            rows = frame["variant"].str.contains(pattern)
            assert rows.any()
            columns = ["retained", "retained_low", "retained_high"]
            frame.loc[rows, columns] = [value, low, 2 * value - low]

    return changed(data, "quality", change)


EVEN = {
    "/one-shot/": (0.8, 0.7),
    "/(?:fine-tuned|distilled)/": (0.8, 0.7),
    "/int8$": (0.95, 0.9),
    "/student$": (0.95, 0.9),
}
WINNERS = {"eight-bits-win": "int8", "student-wins": "student"}


@pytest.mark.parametrize(("name", "kind"), WINNERS.items())
@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"/{}$": (0.95, 0.8)}, False),  # not beyond chance
        ({"/{}$": (0.95, 0.801)}, True),
        ({"tiny-bart/.*/{}$": (0.7, 0.6)}, False),  # one model is enough
        ({"tiny-gpt2/sentiment/sparsegpt/one-shot/0.99": (0.91, 0.8)}, False),
        ({"tiny-gpt2/sentiment/structured/one-shot/0.9$": (0.91, 0.8)}, False),
        ({"tiny-gpt2/sentiment/magnitude/one-shot/0.1$": (0.99, 0.9)}, True),  # not as small
        ({"/moe/": (1.0, 1.0)}, True),  # not pruned
    ],
)
def test_alternatives_win_or_not(data, name, kind, change, holds):
    values = {pattern.replace("{}", kind): value for pattern, value in change.items()}
    assert supported(kept(data, EVEN | values), name) is holds


@pytest.mark.parametrize("pattern", ["magnitude/fine-tuned", "magnitude/distilled", "gradual/"])
def test_what_was_trained_is_held_against_students_alone(data, pattern):
    found = kept(data, EVEN | {f"sentiment/{pattern}": (0.99, 0.98)})
    assert supported(found, "student-wins") is False
    assert supported(found, "eight-bits-win") is True


@pytest.mark.parametrize(("name", "kind"), WINNERS.items())
def test_alternatives_are_held_against_files_that_are_as_small(data, name, kind):
    found = kept(data, EVEN | {"sentiment/wanda/one-shot/0.5": (0.99, 0.98)})

    def with_bytes(size):
        def change(frame):
            rows = frame["variant"].str.endswith(f"/{kind}")
            frame["bytes"] = frame["bytes"].astype(float)
            frame.loc[rows, "bytes"] = size

        return changed(found, "size", change)

    sizes = found["size"][found["size"]["variant"].str.contains("sentiment/wanda/one-shot/0.5")]
    smallest = sizes["bytes"].min()
    assert supported(with_bytes(smallest - 1), name) is True
    assert supported(with_bytes(smallest), name) is False
    shown = evidence(with_bytes(smallest), name)
    assert "0.95 (at least 0.9) against 0.99 by wanda at 50 %" in shown
    assert supported(with_bytes(0), name) is None  # nothing is as small


@pytest.mark.parametrize(("name", "kind"), WINNERS.items())
def test_alternatives_are_not_tested_where_there_are_none(data, name, kind):
    assert supported(fake.data("minimal"), name) is None
    assert supported(fake.data("written"), name) is None
    assert supported(without(kept(data, EVEN), kind), name) is None

    def void(frame):
        frame[["retained", "retained_low", "retained_high"]] = np.nan

    assert supported(changed(data, "quality", void), name) is None


def routed(data, difference, where=""):
    """The results in which learned routers keep so much more than oracles: for sure, if 0.1."""
    names = [n for n in data.scores["series"].unique() if n.startswith("moe") and "," not in n]

    def only(frame):
        return frame["variant"].str.startswith(where)

    for name in names:
        data = tilted(data, name, f"{name}, oracle", difference, only)
    return data


@pytest.mark.parametrize(
    ("difference", "holds"), [(0.0, True), (-0.009, True), (-0.02, False), (0.1, True)]
)
def test_oracles_keep_more_than_routers_or_not(data, difference, holds):
    assert supported(routed(data, difference), "routers-find-experts") is holds


def test_one_router_that_misses_is_enough(data):
    even = routed(data, 0.0)
    assert "in 0 of 9 cases it does" in evidence(even, "routers-find-experts")
    found = routed(even, -0.1, "tiny-bart/sentiment/moe/2-of-16/")
    assert supported(found, "routers-find-experts") is False
    assert "in 1 of 9 cases it does" in evidence(found, "routers-find-experts")


def test_routers_are_compared_on_each_task_of_a_model():
    even = routed(fake.data("beside"), 0.0)
    assert supported(even, "routers-find-experts") is True
    assert "of 4 cases" in evidence(even, "routers-find-experts")
    found = routed(even, -0.1, "tiny-bert/paraphrase/moe/8-of-16/")
    assert supported(found, "routers-find-experts") is False


def test_routers_are_not_tested_without_experts_or_where_all_is_void(data):
    assert supported(fake.data("minimal"), "routers-find-experts") is None
    assert supported(without(data, "moe/"), "routers-find-experts") is None
    assert supported(without(data, "moe/[0-9]+-of-16/oracle"), "routers-find-experts") is None

    def void(frame, where=""):
        rows = frame["variant"].str.startswith(where)
        frame.loc[rows, ["difference", "low", "high"]] = np.nan

    assert supported(changed(data, "contests", void), "routers-find-experts") is None
    one = changed(data, "contests", lambda frame: void(frame, "tiny-gpt2/"))
    assert "of 6 cases" in evidence(one, "routers-find-experts")
    assert "nan" not in evidence(one, "routers-find-experts")
