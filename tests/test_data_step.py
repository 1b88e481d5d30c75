"""A task's examples from files: what is stored of them, and when they are read again."""

import csv
import json
import os
import shutil

import pytest

import studies
from analysis import results, study, tasks
from analysis.engine.memo import Memo
from analysis.errors import RequestError
from analysis.experiments import examples
from analysis.planning import stale, walk
from analysis.steps.examples.stored import read_examples

OFF = {"fine_tune": None}  # nothing is learnt
ROWS = [{"sentence": f"sentence number {n}", "label": int(n % 3 == 0)} for n in range(30)]


@pytest.fixture
def data(tmp_path):
    """A folder with examples of SST-2, for the test and for training."""
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "test.jsonl", ROWS)
    write(folder / "train.jsonl", ROWS[::-1])
    return folder


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def chosen(folder, task="sst2", count=None, model=None, **files):
    """A study of one model that is fine-tuned for the task, whose data lie in the folder."""
    named = {"test": "test.jsonl", "train": "train.jsonl"} | files
    own = {"name": "m", "family": "encoder-only", "source": "hub", "id": "o/m", "tasks": [task]}
    tree = studies.tree(
        models=[own | {"fine_tune": [task]} | (model or {})],
        examples={task: count} if count else {},
        data_folder=str(folder),
        data={task: {key: value for key, value in named.items() if value is not None}},
    )
    return study.load(studies.to_file(folder, tree))


def of_test(memo, loaded, task="sst2"):
    return memo.run(examples.test_examples(loaded, task)).record


def of_training(memo, loaded, task="sst2"):
    return memo.run(examples.training_examples(loaded, task)).record


def stored(memo, record, what="training"):
    return read_examples(memo.objects, record[what]["object"])


def test_all_examples_or_so_many_are_stored_with_their_chance(memo, data):
    record = of_test(memo, chosen(data))
    assert stored(memo, record, "data") == ROWS
    assert (record["examples"], record["sample"], len(record["revision"])) == (30, ROWS[:3], 12)
    assert record["chance"] == {"accuracy": pytest.approx(20 / 30)}  # the more frequent label
    assert record["best"] == {"accuracy": 1.0}
    few = examples.test_examples(chosen(data, count=7), "sst2")
    found = stored(memo, memo.run(few).record, "data")
    assert len(found) == 7
    assert [ROWS.index(row) for row in found] == sorted(ROWS.index(row) for row in found)
    with memo.objects.scratch() as scratch:  # the same each time
        again = Memo(scratch / "other")
        again.prepare()
        assert stored(again, again.run(few).record, "data") == found


OWN = {  # a row of a task's training file, what models have of it; how many labels there are
    "sst2-text": (ROWS[0], {"source": "sst2 sentence: sentence number 0", "target": "positive"},
                  None),
    "sst2": (ROWS[0], {"first": "sentence number 0", "label": 1, "label_word": "positive"}, 2),
    "mrpc": ({"sentence1": "a", "sentence2": "b", "label": 0},
             {"first": "a", "second": "b", "label": 0, "label_word": "not_equivalent"}, 2),
    "text-classification": ({"sentence": "t", "label": 4}, {"first": "t", "label": 4}, 5),
}  # fmt: skip


def test_training_examples_are_kept_as_the_task_and_as_models_have_them(memo, data):
    for task, (row, kept, labels) in OWN.items():
        rows = [row, {**row, "label": 1 - row["label"] % 2}]
        write(data / "train.jsonl", rows)
        family = {"family": "encoder-decoder" if task == "sst2-text" else "encoder-only"}
        record = of_training(memo, chosen(data, task, model=family), task)
        assert stored(memo, record, "data") == rows
        assert (stored(memo, record)[0], record["labels"], record["examples"]) == (kept, labels, 2)
    for asked, most in ((5, 4096), ("all", None)):  # no more are drawn than may be learnt from
        few = chosen(data, model={"fine_tuning": {"examples": asked}})
        assert examples.training_examples(few, "sst2").arguments["count"] == most


def test_a_study_names_the_columns_and_the_parts_of_one_file(memo, data):
    renamed = [{"review": row["sentence"], "stars": row["label"], "more": 1} for row in ROWS]
    write(data / "test.jsonl", renamed)
    own = {"train": "test.jsonl", "columns": {"sentence": "review", "label": "stars"}}
    loaded = chosen(data, **own, test_part=[0.8, 1.0], train_part=[0.0, 0.8])
    learnt = stored(memo, of_training(memo, loaded), "data")
    held = stored(memo, of_test(memo, loaded), "data")
    assert (learnt + held, len(held)) == (ROWS, 6)


def test_training_on_the_rows_of_the_test_in_whatever_order_and_file_is_refused(memo, data):
    with (data / "train.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("sentence", "label"), *map(dict.values, ROWS[::-1])])
    shutil.copy(data / "test.jsonl", data / "copy.jsonl")
    part = {"test_part": [0.4, 1.0]}
    for train, parts in (
        ("train.jsonl", {}), ("train.csv", {}), ("copy.jsonl", part),
        ("copy.jsonl", part | {"train_part": [0.0, 0.5]}),  # these overlap
    ):  # fmt: skip
        loaded = chosen(data, train=train, count=7, **parts)
        of_test(memo, loaded), of_training(memo, loaded)
        with pytest.raises(RequestError, match=f"have the same content, test.jsonl and {train}"):
            walk.steps(loaded, memo)
    loaded = chosen(data, train="copy.jsonl", count=7, **part, train_part=[0.0, 0.4])
    of_test(memo, loaded), of_training(memo, loaded)
    walk.steps(loaded, memo)


def test_how_many_of_the_test_are_trained_on_too_is_counted_whatever_the_white_space(memo, data):
    seen = [row | {"sentence": row["sentence"].replace(" ", "\r\n")} for row in ROWS[:4]]
    write(data / "train.jsonl", [{"sentence": f"x {n}", "label": n % 2} for n in range(5)] + seen)
    loaded = chosen(data)
    records = of_test(memo, loaded), of_training(memo, loaded)
    call = examples.shared_examples(loaded, "sst2", *records)
    assert memo.run(call).record == {"shared": 4}
    walk.steps(loaded, memo)  # not refused


def test_results_of_files_that_have_changed_are_called_so(memo, data, tmp_path):
    loaded = chosen(data)
    records = of_test(memo, loaded), of_training(memo, loaded)
    revisions = {"revision": records[0]["revision"], "training_revision": records[1]["revision"]}
    row = {"task": "sst2", "metric": "accuracy", **revisions}
    about = {"rehearsal": False, "study_text": loaded.text, "finished": "2026-01-01T00:00:00+00:00"}
    folder = tmp_path / "results"
    assert stale.lines(loaded, folder) == []  # there are none
    results.write(results.build({"tasks": [row]}), about, folder)
    assert stale.lines(loaded, folder) == []
    os.utime(data / "test.jsonl")
    assert stale.lines(loaded, folder) == []
    for path in (data / "train.jsonl", data / "test.jsonl"):
        write(path, ROWS[:7])
    for line, name in zip(stale.lines(loaded, folder), ("test.jsonl", "train.jsonl"), strict=True):
        assert line.startswith(f"{data / name} has changed since the results were computed")
    (data / "test.jsonl").unlink()
    results.write(results.build({"tasks": [row]}), about | {"study_text": "other"}, folder)
    assert stale.lines(loaded, folder)[0].startswith("the study mine has changed since")


def key(folder, **changes):
    return examples.test_examples(chosen(folder, **changes), "sst2").key


def test_the_key_goes_with_the_content_and_not_with_where_the_file_lies(memo, data, tmp_path):
    before, copy = key(data), shutil.copytree(data, tmp_path / "copy")
    assert key(copy) != before  # is read again, and is the same
    assert of_test(memo, chosen(copy)) == of_test(memo, chosen(data))
    moved = data.rename(tmp_path / "elsewhere")
    assert key(moved) == before
    state = (moved / "test.jsonl").stat()
    write(moved / "test.jsonl", [*ROWS[:-1], {"sentence": "sentence number 2!", "label": 0}])
    os.utime(moved / "test.jsonl", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert (moved / "test.jsonl").stat().st_size == state.st_size
    assert key(moved) != before


def test_what_is_asked_of_a_file_and_the_commit_of_a_data_set_are_in_the_key(data):
    keys = {key(data), key(data, count=5), key(data, test_part=[0.0, 0.5])}
    keys.add(key(data, test="train.jsonl", train=None, model=OFF))
    keys.add(key(data, columns={"sentence": "text"}))
    assert len(keys) == 5
    hub = tasks.task("sst2").hub
    found = examples.test_examples(study.load("glue", folder=studies.STUDIES), "sst2").key
    assert (hub.revision in found, hub.path in found) == (True, True)


def test_the_folder_of_data_can_be_moved_by_the_environment(data, tmp_path, monkeypatch):
    loaded = chosen(data)
    monkeypatch.setenv(examples.FOLDER_VARIABLE, str(tmp_path / "there"))
    found = examples.source(loaded, "sst2", "train")["path"]
    assert found == str(tmp_path / "there" / "train.jsonl")


def test_a_wrong_row_is_named_in_one_line(memo, data):
    write(data / "test.jsonl", [*ROWS, {"sentence": "", "label": 0}])
    with pytest.raises(RequestError, match=r"\A.*test.jsonl, line 31.*sentence is empty.*\Z"):
        of_test(memo, chosen(data))
