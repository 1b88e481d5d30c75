"""A task's examples from files: what is stored of them, and when they are read again."""

import csv
import json
import os
import shutil

import pytest

import studies
from analysis import data_calls, results, stale, study, tasks
from analysis.errors import RequestError
from analysis.memo import Memo
from analysis.planning import walk
from analysis.steps import data as step
from analysis.steps.stored_examples import read_examples

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
    return memo.run(data_calls.test_examples(loaded, task)).record


def of_training(memo, loaded, task="sst2"):
    return memo.run(data_calls.training_examples(loaded, task)).record


def stored(memo, record, what="training"):
    return read_examples(memo.objects, record[what]["object"])


def test_all_examples_of_a_file_are_stored_with_their_chance(memo, data):
    record = of_test(memo, chosen(data))
    assert stored(memo, record, "data") == ROWS
    assert (record["examples"], record["sample"], len(record["revision"])) == (30, ROWS[:3], 12)
    assert record["chance"] == {"accuracy": pytest.approx(20 / 30)}  # the more frequent label
    assert record["best"] == {"accuracy": 1.0}


def test_so_many_as_the_study_asks_for_the_same_each_time(memo, data):
    loaded = chosen(data, count=7)
    record = of_test(memo, loaded)
    found = stored(memo, record, "data")
    assert record["examples"] == len(found) == 7
    assert [ROWS.index(row) for row in found] == sorted(ROWS.index(row) for row in found)
    again = Memo(memo.folder.parent / "other")
    again.prepare()
    assert of_test(again, loaded)["data_sha256"] == record["data_sha256"]


def test_training_examples_are_kept_as_the_task_and_as_models_have_them(memo, data):
    record = of_training(memo, chosen(data))
    assert stored(memo, record, "data") == ROWS[::-1]
    words = ("negative", "positive")
    kept = [
        {"first": row["sentence"], "label": row["label"], "label_word": words[row["label"]]}
        for row in ROWS[::-1]
    ]
    assert stored(memo, record) == kept
    assert (record["labels"], record["examples"]) == (2, 30)
    few = chosen(data, model={"fine_tuning": {"examples": 5}})  # no more than are learnt from
    assert data_calls.training_examples(few, "sst2").arguments["count"] == 4096
    everything = chosen(data, model={"fine_tuning": {"examples": "all"}})
    assert data_calls.training_examples(everything, "sst2").arguments["count"] is None


def test_training_texts_pairs_and_labels_of_a_users_own_task(memo, data):
    loaded = chosen(data, "sst2-text", model={"family": "encoder-decoder"})
    record = of_training(memo, loaded, "sst2-text")
    asked = {"source": "sst2 sentence: sentence number 29", "target": "negative"}
    assert (stored(memo, record)[0], record["labels"]) == (asked, None)
    pairs = [{"sentence1": f"a {n}", "sentence2": f"b {n}", "label": n % 2} for n in range(4)]
    write(data / "train.jsonl", pairs)
    record = of_training(memo, chosen(data, "mrpc"), "mrpc")
    assert stored(memo, record)[1] == {
        "first": "a 1",
        "second": "b 1",
        "label": 1,
        "label_word": "equivalent",
    }
    write(data / "train.jsonl", [{"sentence": f"t {n}", "label": n % 5} for n in range(20)])
    loaded = chosen(data, "text-classification")
    assert of_training(memo, loaded, "text-classification")["labels"] == 5


def test_columns_have_the_names_that_the_study_gives(memo, data):
    renamed = [{"review": row["sentence"], "stars": row["label"], "more": 1} for row in ROWS]
    write(data / "test.jsonl", renamed)
    loaded = chosen(data, columns={"sentence": "review", "label": "stars"}, train=None, model=OFF)
    assert of_test(memo, loaded)["sample"] == ROWS[:3]


def test_parts_of_one_file_share_nothing_and_leave_nothing_out(memo, data):
    loaded = chosen(data, train="test.jsonl", test_part=[0.8, 1.0], train_part=[0.0, 0.8])
    test, training = of_test(memo, loaded), of_training(memo, loaded)
    learnt, held = (stored(memo, record, "data") for record in (training, test))
    assert (learnt + held, len(held)) == (ROWS, 6)


def test_training_on_the_rows_of_the_test_in_whatever_order_and_file_is_refused(memo, data):
    with (data / "train.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("sentence", "label"), *map(dict.values, ROWS[::-1])])
    for train in ("train.jsonl", "train.csv"):
        loaded = chosen(data, train=train, count=7)
        of_test(memo, loaded), of_training(memo, loaded)
        with pytest.raises(RequestError, match=f"have the same content, test.jsonl and {train}"):
            walk.steps(loaded, memo)


def test_how_many_of_the_test_are_trained_on_too_is_counted_whatever_the_white_space(memo, data):
    seen = [row | {"sentence": row["sentence"].replace(" ", "\r\n")} for row in ROWS[:4]]
    write(data / "train.jsonl", [{"sentence": f"x {n}", "label": n % 2} for n in range(5)] + seen)
    loaded = chosen(data)
    records = of_test(memo, loaded), of_training(memo, loaded)
    call = data_calls.shared_examples(loaded, "sst2", *records)
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


def test_stand_ins_are_stored_in_the_same_way(memo):
    asked = {"task_name": "mrpc", "settings": {}, "count": 6, "seed": 0}
    record = step.stand_in_training(memo.objects, **asked)
    test = step.stand_in_test(memo.objects, **asked)
    assert (record["revision"], record["labels"], test["examples"]) == ("stand-in", 2, 6)
    assert stored(memo, record, "data") != stored(memo, test, "data")


def key(folder, **changes):
    return data_calls.test_examples(chosen(folder, **changes), "sst2").key


def test_the_key_goes_with_the_content_and_not_with_where_the_file_lies(memo, data, tmp_path):
    before = key(data)
    moved = tmp_path / "elsewhere"
    data.rename(moved)
    assert key(moved) == before
    state = (moved / "test.jsonl").stat()
    write(moved / "test.jsonl", [*ROWS[:-1], {"sentence": "sentence number 2!", "label": 0}])
    os.utime(moved / "test.jsonl", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert (moved / "test.jsonl").stat().st_size == state.st_size
    assert key(moved) != before


def test_a_copy_is_read_again_and_is_the_same_data(memo, data, tmp_path):
    shutil.copytree(data, tmp_path / "copy")
    one, other = chosen(data), chosen(tmp_path / "copy")
    assert key(data) != key(tmp_path / "copy")
    assert of_test(memo, one) == of_test(memo, other)


def test_what_is_asked_of_the_file_is_in_the_key(data):
    keys = {key(data), key(data, count=5), key(data, test_part=[0.0, 0.5])}
    keys.add(key(data, test="train.jsonl", train=None, model=OFF))
    keys.add(key(data, columns={"sentence": "text"}))
    assert len(keys) == 5


def test_the_folder_of_data_can_be_moved_by_the_environment(data, tmp_path, monkeypatch):
    loaded = chosen(data)
    monkeypatch.setenv(data_calls.FOLDER_VARIABLE, str(tmp_path / "there"))
    found = data_calls.source(loaded, "sst2", "train")["path"]
    assert found == str(tmp_path / "there" / "train.jsonl")


def test_a_hub_data_sets_key_has_its_commit():
    hub = tasks.task("sst2").hub
    own = {"name": "m", "family": "encoder-only", "source": "hub", "id": "o/m", "tasks": ["sst2"]}
    loaded = study.Study(**studies.tree(models=[own], examples={}), name="x")
    call = data_calls.test_examples(loaded, "sst2")
    assert (hub.revision in call.key, hub.path in call.key) == (True, True)


WRONG = [
    ([{"sentence": "x", "label": -1}], ["test.jsonl, line 1", "label", "hidden"]),
    ([*ROWS, {"sentence": "", "label": 0}], ["test.jsonl, line 31", "sentence is empty"]),
    ([{"sentence": None, "label": 0}, *ROWS], ["test.jsonl, line 1", "sentence"]),
    ([{"text": "x", "label": 0}], ["sentence", "text"]),
    ([], ["test.jsonl", "empty"]),
]


@pytest.mark.parametrize(("rows", "says"), WRONG)
def test_a_wrong_row_is_named_in_one_line(memo, data, rows, says):
    write(data / "test.jsonl", rows)
    with pytest.raises(RequestError) as caught:
        of_test(memo, chosen(data))
    message = str(caught.value)
    assert [part for part in (*says, "\n") if part in message] == says, message


def test_a_file_that_is_gone(data):
    loaded = chosen(data)
    (data / "test.jsonl").unlink()
    with pytest.raises(RequestError, match=r"test\.jsonl cannot be read: No such file"):
        data_calls.test_examples(loaded, "sst2")
