"""Tables of what is saved, and the numbers in sentences, are those of the results."""

import fake
import pandas as pd
import pytest
from fake import changed
from paper_changes import cells, without

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import saving_tables, saving_values, text, tradeoff
from analysis.paper.data import Data


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


def plain(shown):
    return shown.replace("\u00a0", " ")


def rows_of(table):
    return [[plain(cell) for cell in row] for row in cells(table)]


NONE = "*none in this study*"

# ---------------------------------------------------------------- files


def test_every_format_has_a_row_a_model_and_then_the_bound(data):
    rows = rows_of(saving_tables.sizes(data))
    formats = [*fake.load("tiny").formats, "*entropy bound*"]
    assert [row[:2] for row in rows] == [[m, name] for m in data.models for name in formats]
    dense = next(row for row in rows if row[1] == "dense")
    assert dense[2:] == ["100.0 %"] * (1 + len(data.levels))


def test_sizes_are_shares_of_the_dense_file(data):
    def change(frame):
        row = frame["variant"] == "tiny-gpt2/magnitude/one-shot/0.9"
        row = row | (frame["variant"] == "tiny-gpt2/language-modelling/magnitude/one-shot/0.9")
        frame.loc[row & (frame["format"] == "csr16"), "ratio"] = 0.12345
        frame.loc[row, "bound_bytes"] = 1024

    rows = rows_of(saving_tables.sizes(changed(data, "size", change)))
    found = {(row[0], row[1]): row[2:] for row in rows}
    place = 1 + data.levels.index(0.9)
    assert found[("tiny-gpt2", "csr16")][place] == "12.3 %"
    assert found[("tiny-gpt2", "*entropy bound*")][place] == "25.0 %"
    assert found[("tiny-bert", "csr16")][place] != "12.3 %"


# ---------------------------------------------------------------- times


def test_latencies_show_the_default_kernel_and_the_chosen_ones(data):
    rows = rows_of(saving_tables.latencies(data))
    kernels = 1 + 2 * len(data.levels)  # the dense model has but one
    assert len(rows) == len(data.models) * 2 * kernels
    assert {row[3] for row in rows} == {DENSE, AUTO}
    assert {row[2] for row in rows} == {"dense", *(plain(text.level(lv)) for lv in data.levels)}
    assert [row[0] for row in rows] == sorted((r[0] for r in rows), key=data.models.index)
    peaks = {row[1]: row[8] for row in rows}
    assert peaks == {"1": "4.19 MB", "8": text.MISSING}  # measured for one batch


def test_no_forward_pass_leaves_tables_that_say_so():
    written = fake.data("written")
    for make in (saving_tables.latencies, saving_tables.alternatives, saving_tables.recommended):
        assert rows_of(make(written))[0][0] == NONE
    assert saving_values.runtime_settings(written) == "no forward pass was timed"


def test_operations_are_writing_and_training_with_tokens_per_second(data):
    rows = rows_of(saving_tables.operations(data))
    writing = [row for row in rows if row[1] == "generate"]
    training = [row for row in rows if row[1] == "training step"]
    assert len(rows) == len(writing) + len(training)
    assert {row[0] for row in writing} == {"tiny-gpt2", "tiny-bart"}  # BERT writes nothing
    assert [row[0] for row in training] == [m for m in data.models for _ in range(2)]
    assert [row[2] for row in training] == ["dense", "90 %"] * 3
    levels = [plain(text.level(level)) for level in data.levels]
    assert [row[2] for row in writing] == 2 * ["dense", *levels, *levels]
    assert [row[3] for row in writing] == 2 * (6 * [DENSE] + 5 * [AUTO])
    dense = next(row for row in writing if row[2] == "dense")
    assert dense[4:] == ["40", "800", "1.00 ×"]  # 32 tokens in 40 ms
    assert training[0][4:] == ["12", "21,300", "1.00 ×"]  # 8 texts of 32 tokens in 12 ms
    assert training[1][6] == "0.93 ×"


def test_a_study_of_forward_passes_has_no_other_operations():
    assert rows_of(saving_tables.operations(fake.data("minimal")))[0][0] == NONE


def test_true_size_has_a_row_a_level_and_kernel(data):
    rows = rows_of(saving_tables.replicas(data))
    assert len(rows) == 3 * len(data.levels)
    assert {row[0] for row in rows} == {"bert-base"}
    row = next(row for row in rows if row[1:3] == ["90 %", TILED_CSR])
    assert row[6:] == ["3.51 ×", "51.00 MB"]
    assert rows_of(saving_tables.replicas(fake.data("minimal")))[0][0] == NONE


# ---------------------------------------------------------------- alternatives and advice


def test_alternatives_stand_beside_training_and_removed_units(data):
    rows = rows_of(saving_tables.alternatives(data))
    named = {row[0]: row for row in rows}
    assert len(named) == len(rows)
    assert {name.rsplit(" ", 2)[0]: row[1] for name, row in named.items() if row[0][-1] == "%"} == {
        "structured": "units removed",
        "magnitude": "weights removed",
        "magnitude, fine-tuned": "weights removed, then trained",
    }
    assert named["int8"][1] == "quantised to eight bits"
    assert named["moe 8 of 16"][1] == "cut into experts"
    assert named["int8"][2:] == ["1", "30.0 %", "1.43 ×", "3"]
    assert named["student"][4] == "1.82 ×"
    assert "moe 8 of 16" in named
    assert "moe 8 of 16, oracle" not in named
    assert named["structured 95 %"][5] == "1"  # in reach of one model alone


def test_alternatives_show_the_range_over_models(data):
    def change(frame):
        row = frame["variant"].str.contains("tiny-bart/sentiment/int8")
        frame.loc[row, "retained"] = 0.5

    rows = rows_of(saving_tables.alternatives(changed(data, "quality", change)))
    assert next(row for row in rows if row[0] == "int8")[2] == "0.5 to 1"


def test_weights_removed_are_the_leading_methods_where_no_training_was_timed(data):
    other = fake.data("other")  # trained on one task, timed on another
    rows = rows_of(saving_tables.alternatives(other))
    removed = {row[0].rsplit(" ", 2)[0] for row in rows if row[1].startswith("weights removed")}
    assert removed == {"wanda", "magnitude-layer, distilled"}  # one model is timed on the other
    untrained = without(data, "gradual/", "magnitude/fine-tuned", "magnitude/distilled")
    rows = rows_of(saving_tables.alternatives(untrained))
    removed = [row[0] for row in rows if row[1].startswith("weights removed")]
    assert removed == [f"magnitude {plain(text.level(level))}" for level in data.levels]


def test_every_alternative_of_each_model_and_task_has_a_row(data):
    rows = rows_of(saving_tables.alternatives_by_model(data))
    assert len(rows) == 3 * (1 + 1 + 3 * 2)
    oracle = [row for row in rows if row[2].endswith(", oracle")]
    assert len(oracle) == 9
    assert {tuple(row[5:]) for row in oracle} == {(text.MISSING, text.MISSING)}
    assert not any(text.MISSING in row for row in rows if row not in oracle)
    beside = rows_of(saving_tables.alternatives_by_model(fake.data("beside")))
    assert len({tuple(row[:3]) for row in beside}) == len(beside) == 2 * 5  # tasks told apart
    assert rows_of(saving_tables.alternatives_by_model(fake.data("minimal")))[0][0] == NONE


def test_advice_has_a_row_for_each_model_and_loss(data):
    rows = rows_of(saving_tables.recommended(data))
    losses = [plain(text.percent(loss, 0)) for loss in saving_tables.LOSSES]
    assert [row[:2] for row in rows] == [[m, loss] for m in data.models for loss in losses]
    variants = tradeoff.table(data)
    for row in rows:
        loss = float(row[1].split(" ")[0]) / 100
        chosen = tradeoff.recommended(variants[variants["model"] == row[0]], loss)
        level = f" {plain(text.level(chosen['sparsity']))}" if chosen["sparsity"] else ""
        assert row[2] == chosen["series"] + level
        assert row[5] == chosen["format"]
        assert row[7] == chosen["kernel"]


def test_a_better_variant_is_advised_by_all_models_that_have_it(data):
    def keep(frame):
        rows = frame["variant"].str.contains("/sparsegpt/one-shot/0.99")
        frame.loc[rows, ["retained", "retained_low", "retained_high"]] = [0.96, 0.95, 1.0]

    rows = rows_of(saving_tables.recommended(changed(data, "quality", keep)))
    assert {row[2] for row in rows if row[1] != "1 %"} == {"sparsegpt 99 %"}
    assert {row[2] for row in rows if row[1] == "1 %"} != {"sparsegpt 99 %"}


# ---------------------------------------------------------------- numbers in sentences


def test_shares_of_files_at_the_highest_level_are_ranges_over_models(data):
    def change(frame):
        for model, share in (("tiny-bert", 0.02), ("tiny-bart", 0.04), ("tiny-gpt2", 0.03)):
            rows = frame["variant"].str.match(f"{model}/.*magnitude/one-shot/0.99$")
            rows &= frame["format"].isin(["auto", "dense+zstd"])
            frame.loc[rows, "ratio"] = share + 0.1 * (frame["format"] == "dense+zstd")

    found = changed(data, "size", change)
    assert plain(saving_values.stored_share(found)) == "2.0 % to 4.0 %"
    assert plain(saving_values.compressed_share(found)) == "12.0 % to 14.0 %"
    assert saving_values.stored_share(fake.data("written")) == text.MISSING  # no such format


def replicas(levels, cells):
    """Table `replicas` with (level, kernel, speed-up, bytes)."""
    found = fake.data("tiny")
    columns = ["sparsity", "kernel", "speedup", "linear_bytes"]
    table = pd.DataFrame(cells, columns=columns)[lambda f: f["sparsity"].isin(levels)]
    return Data({**found.tables, "replicas": table}, found.environment)


CELLS = [
    (0.5, DENSE, 1.0, 1000),
    (0.5, TORCH_CSR, 0.5, 1500),
    (0.5, TILED_CSR, 0.9, 1200),
    (0.9, DENSE, 1.0, 1000),
    (0.9, TORCH_CSR, 1.5, 220),
    (0.9, TILED_CSR, 2.5, 250),
]


@pytest.mark.parametrize(
    ("levels", "speed", "memory", "crossover"),
    [
        (
            [0.5, 0.9],
            "2.50 ×",
            "25.0 %",
            "gains from 90 % on",
        ),  # the fastest kernel's, not the smallest's
        ([0.5], "0.90 ×", "120.0 %", "gains at no level"),  # of dense ones, which are smaller
        ([0.9], "2.50 ×", "25.0 %", "gains from 90 % on"),
        ([], text.MISSING, text.MISSING, "gains at no level"),
    ],
)
def test_sentences_on_true_size_are_of_the_fastest_sparse_kernel(levels, speed, memory, crossover):
    found = replicas(levels, CELLS)
    assert plain(saving_values.replica_speedup(found)) == speed
    assert plain(saving_values.replica_memory(found)) == memory
    assert plain(saving_values.crossover(found)) == crossover


def test_sentences_on_speed(data):
    assert plain(saving_values.speedup_range(data)) == "1.00 ×"
    assert plain(saving_values.generation_speedup(data)) == "3.15 ×"
    assert plain(saving_values.masked_step(data)) == "1.08 ×"
    for name in ("generation_speedup", "masked_step"):
        assert getattr(saving_values, name)(fake.data("minimal")) == text.MISSING


def test_speed_of_writing_and_of_forward_passes_are_not_mixed(data):
    def change(frame):
        frame.loc[frame["operation"] == "generate", "speedup"] = 7.0
        frame.loc[frame["operation"] == "train_step", "speedup"] = 0.5

    found = changed(data, "runtime", change)
    assert plain(saving_values.generation_speedup(found)) == "7.00 ×"
    assert plain(saving_values.masked_step(found)) == "2.00 ×"
    assert plain(saving_values.speedup_range(found)) == "1.00 ×"


@pytest.mark.parametrize(
    ("speeds", "said"),
    [
        ({0.5: 0.9, 0.8: 1.2, 0.9: 2.0}, "gains from 80 % on"),
        ({0.5: 1.2, 0.8: 1.05, 0.9: 2.0}, "gains from 90 % on"),  # from there on, not first
        ({0.5: 1.2, 0.8: 1.5, 0.9: 2.0}, "gains from 50 % on"),
        ({0.5: 1.2, 0.8: 1.5, 0.9: 0.9}, "gains at no level"),  # not on to the highest
    ],
)
def test_kernels_gain_from_where_all_higher_levels_gain(speeds, said):
    found = [(level, TILED_CSR, speed, 10) for level, speed in speeds.items()]
    found += [(level, kernel, 0.5, 10) for level in speeds for kernel in (DENSE, TORCH_CSR)]
    assert plain(saving_values.crossover(replicas(list(speeds), found))) == said
