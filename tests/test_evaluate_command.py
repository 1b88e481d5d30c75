"""`python -m analysis evaluate`: one JSON object on stdout, its scores those of scikit-learn."""

import json
import shutil

import families
import numpy as np
import pytest
import sklearn.metrics
import torch
from mini import analysis, one_line
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from analysis import language, tasks
from analysis.commands.evaluate import evaluate
from analysis.errors import AnalysisError, RequestError

BERT = "google-bert/bert-base-uncased"
COUNT = 40


def pairs():
    found = language.paraphrase(COUNT, 3)
    return [{key: e[key] for key in ("sentence1", "sentence2", "label")} for e in found]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a tiny classifier of random weights and a file of pairs."""
    folder = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(families.folder(BERT, "classification"), folder / "model")
    lines = "".join(json.dumps(example) + "\n" for example in pairs())
    (folder / "pairs.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def done(project):
    """The command as a user calls it, once."""
    return analysis(project, "evaluate", "model", "--task", "mrpc", "--data", "pairs.jsonl")


@pytest.fixture(scope="module")
def predictions(project):
    """What the model says, one pair at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(project / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(project / "model")
    said = []
    with torch.inference_mode():
        for pair in pairs():
            read = tokenizer(pair["sentence1"], pair["sentence2"], return_tensors="pt")
            said.append(int(model(**read).logits.argmax()))
    return said


def test_stdout_is_one_json_object_and_nothing_else(done):
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "model"
    assert found["revision"] is None
    assert found["task"] == "mrpc"
    assert found["examples"] == COUNT
    assert len(found["data_sha256"]) == len(found["weights_sha256"]) == 64
    assert set(found["metrics"]) == set(tasks.task("mrpc").metrics)
    assert "Traceback" not in done.stderr


def test_scores_are_those_of_scikit_learn_on_the_predictions(done, predictions):
    found = json.loads(done.stdout)["metrics"]
    labels = [pair["label"] for pair in pairs()]
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(labels, predictions),
        "f1": sklearn.metrics.f1_score(labels, predictions, zero_division=0.0),
    }
    for metric, value in expected.items():
        assert found[metric]["value"] == pytest.approx(value, abs=1e-12)
        assert found[metric]["low"] <= value <= found[metric]["high"]
    always = [max((0, 1), key=labels.count)] * COUNT
    assert found["accuracy"]["chance"] == sklearn.metrics.accuracy_score(labels, always)
    assert found["accuracy"]["best"] == 1.0


def test_whether_it_always_says_the_same(done, predictions):
    assert json.loads(done.stdout)["collapsed"] == (len(np.unique(predictions)) == 1)


def test_it_is_remembered_and_fewer_examples_are_another_question(
    project, done, capsys, monkeypatch
):
    monkeypatch.chdir(project)
    assert done.returncode == 0
    evaluate("model", None, "mrpc", project / "pairs.jsonl", 7)
    captured = capsys.readouterr()
    assert json.loads(captured.out)["examples"] == 7
    evaluate("model", None, "mrpc", project / "pairs.jsonl", 7)
    assert capsys.readouterr().out == captured.out


def test_progress_and_warnings_go_to_stderr(project, capsys, monkeypatch):
    """Steps say what they do; a script that reads the object is not disturbed by it."""
    from analysis import progress
    from analysis.commands import evaluate as command

    def with_reports(*arguments, _scores=command._scores):
        assert list(progress.track(range(3), "thinking")) == [0, 1, 2]
        return _scores(*arguments)

    monkeypatch.chdir(project)
    monkeypatch.setattr(command, "_scores", with_reports)
    monkeypatch.setattr("analysis.display._SECONDS_BEFORE_FIRST", 0.0)
    evaluate("model", None, "mrpc", project / "pairs.jsonl", 5)
    captured = capsys.readouterr()
    assert json.loads(captured.out)["examples"] == 5
    assert "model: thinking" in captured.err


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("model", "mrcp", "pairs.jsonl"), ["'mrcp'", "Did you mean 'mrpc'?"]),
        (("model", "xsum", "pairs.jsonl"), ["xsum", "text-to-text", "encoder-only"]),
        (("model", "mrpc", "none.jsonl"), ["none.jsonl", "sentence1"]),
        (("model", "sst2", "pairs.jsonl"), ["sentence", "Allowed"]),
        (("model", "text-classification", None), ["text-classification", "data"]),
        (("empty", "mrpc", "pairs.jsonl"), ["config.json"]),
        (("tiny-bert", "headline", None), ["tiny-bert", "headline"]),
    ],
)
def test_what_does_not_fit_is_one_line(project, monkeypatch, asked, says):
    monkeypatch.chdir(project)
    (project / "empty").mkdir(exist_ok=True)
    model, task, data = asked
    with pytest.raises(RequestError) as caught:
        evaluate(model, None, task, project / data if data else None)
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize("model", ["model", "tiny-bert"])
def test_only_models_of_the_hub_have_revisions(project, monkeypatch, model):
    monkeypatch.chdir(project)
    with pytest.raises(RequestError, match=f"--revision main was given for {model}"):
        evaluate(model, "main", "mrpc", project / "pairs.jsonl")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", ["empty"]),
        ("{not json\n", ["line 1"]),
        ('{"sentence1": "a", "sentence2": "b", "label": -1}\n', ["row 1", "label"]),
        ('{"sentence1": "a", "sentence2": "", "label": 1}\n', ["row 1", "sentence2"]),
    ],
)
def test_a_file_that_is_none_is_one_line(project, monkeypatch, content, says):
    monkeypatch.chdir(project)
    (project / "bad.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(AnalysisError) as caught:
        evaluate("model", None, "mrpc", project / "bad.jsonl")
    assert "\n" not in str(caught.value)
    for part in says:
        assert part in str(caught.value)


def test_errors_of_the_command_are_one_line_with_exit_status_2(project):
    done = analysis(project, "evaluate", "model", "--task", "mrcp")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Did you mean 'mrpc'?" in one_line(done.stderr)
    done = analysis(project, "evaluate", "model")
    assert done.returncode == 2
    assert "--task" in one_line(done.stderr)


def test_tasks_are_listed_one_a_line(tmp_path):
    done = analysis(tmp_path, "evaluate", "--list-tasks")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == tasks.names()
    assert "sst2: classification; " in done.stdout
    for line in lines:
        task = tasks.task(line.split(":")[0])
        assert line.endswith(f"fields of a file: {', '.join(task.row_fields)}")
