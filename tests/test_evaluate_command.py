"""`python -m analysis evaluate`: one JSON object on stdout, its scores those of scikit-learn."""

import json
import math
import shutil
from unittest.mock import Mock

import families
import pytest
import sklearn.metrics
import torch
from accelerators import put_in
from commandline import one_line, request
from mini import analysis
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from analysis import language, tasks
from analysis.engine import display
from analysis.engine.objects import Objects
from analysis.experiments import quality
from analysis.scoring.intervals import Interval
from analysis.steps.alternatives.int8 import quantise_checkpoint

COUNT = 40
FIELDS = ("sentence1", "sentence2", "label")
PAIRS = [{key: pair[key] for key in FIELDS} for pair in language.paraphrase(COUNT, 3)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a tiny classifier and a causal model, files of pairs and of texts."""
    folder = tmp_path_factory.mktemp("evaluated")
    model = families.folder("google-bert/bert-base-uncased", "classification")
    shutil.copytree(model, folder / "model")
    (folder / "empty").mkdir()
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    for name in ("quoted.jsonl", "quoted.odd"):
        (folder / name).write_text('sentence1,sentence2,label\n"a\nb, c",d,1\n')
    (folder / "halved.jsonl").write_text('{"sentence1": "a", "sentence2": "", "label": 1}')
    shutil.copytree(families.folder("openai-community/gpt2-xl"), folder / "causal")
    (folder / "chinese.jsonl").write_text('{"text": "猫在街上跑。今天又下雨了。"}\n')
    (folder / "texts.jsonl").write_text('{"text": "a b c"}\n')
    (folder / "one.jsonl").write_text(json.dumps({"text": "acgt" * 30}))
    return folder


def asked(project, model, task, data=None, *more):
    name = data if data and "." in data else f"{data}.jsonl"
    of_file = ("--data", name) if data else ()
    return request("evaluate", model, "--task", task, *of_file, *more, folder=project)


def test_scores_are_those_of_scikit_learn_on_what_the_model_says_of_each_pair(project):
    done = analysis(project, "evaluate", "model", "--task", "mrpc", "--data", "pairs.jsonl")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)  # an object and nothing else
    stated = {key: found[key] for key in ("model", "revision", "task", "examples")}
    assert stated == {"model": "model", "revision": None, "task": "mrpc", "examples": COUNT}
    assert len(found["data_sha256"]) == len(found["weights_sha256"]) == 64
    assert set(found["metrics"]) == set(tasks.task("mrpc").metrics)
    model = AutoModelForSequenceClassification.from_pretrained(project / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(project / "model")
    labels, said = [pair["label"] for pair in PAIRS], []
    with torch.inference_mode():
        for pair in PAIRS:
            read = tokenizer(pair["sentence1"], pair["sentence2"], return_tensors="pt")
            said.append(int(model(**read).logits.argmax()))
    expected = {"accuracy": sklearn.metrics.accuracy_score(labels, said)}
    expected["f1"] = sklearn.metrics.f1_score(labels, said, zero_division=0.0)
    metrics = found["metrics"]
    for metric, value in expected.items():
        assert metrics[metric]["value"] == pytest.approx(value, abs=1e-12)
        assert metrics[metric]["low"] <= value <= metrics[metric]["high"]
    assert metrics["accuracy"]["chance"] == max(map(labels.count, (0, 1))) / COUNT
    assert metrics["accuracy"]["best"] == 1.0
    assert found["collapsed"] == (len(set(said)) == 1)


def test_it_is_remembered_and_fewer_examples_are_another_question(project, monkeypatch):
    """And progress goes to stderr: a script that reads the object is not disturbed by it."""
    monkeypatch.setattr(display, "_SECONDS_BEFORE_FIRST", 0.0)
    once, again = (asked(project, "model", "mrpc", "pairs", "--examples", "7") for _ in range(2))
    assert (json.loads(once.stdout)["examples"], again.stdout) == (7, once.stdout)
    assert "model: evaluating 0 of" in once.stderr
    assert "evaluating" not in again.stderr


WRONG = [  # model, task, data, what else; what the line says
    ("model", "mrcp", "pairs", "", "'mrcp'|Did you mean 'mrpc'?"),
    ("model", "xsum", "pairs", "", "xsum|text-to-text|encoder-only"),
    ("model", "mrpc", "none", "", "none.jsonl|sentence1"),
    ("model", "sst2", "pairs", "", "sentence|Allowed"),
    ("model", "text-classification", None, "", "text-classification|data"),
    ("empty", "mrpc", "pairs", "", "config.json"),
    ("tiny-bert", "headline", None, "", "tiny-bert|headline"),
    ("model", "mrpc", "pairs", "--revision main", "--revision main was given for model"),
    ("tiny-bert", "mrpc", "pairs", "--revision main", "--revision main was given for tiny-bert"),
    ("model", "mrpc", "halved", "", "halved.jsonl, line 1|sentence2"),
    ("model", "mrpc", "pairs", "--device gpu", "unknown device 'gpu'|Allowed: auto, cpu, cuda"),
    ("model", "mrpc", "pairs", "--device cuda", "--device cuda, but torch can use no GPU here"),
    ("model", "mrpc", "quoted", "--format csv", "line 2: |say `--quotes` if it|`--no-quotes` if"),
    ("model", "mrpc", "quoted.odd", "", "'.odd'; give `--format`, one of json, csv"),
    ("causal", "perplexity", "chinese", "", "no space between words|`--unit`"),
    ("causal", "perplexity", "one", "", "one word of 120 characters"),
    ("causal", "perplexity", "chinese", "--unit line", "--unit"),
    ("causal", "perplexity", "chinese", "--languages en,fr", "translation"),
]


def test_what_does_not_fit_is_one_line_with_exit_status_2(project):
    for model, task, data, more, says in WRONG:
        done = asked(project, model, task, data, *more.split())
        assert (done.returncode, done.stdout) == (2, ""), says
        line = one_line(done.stderr)
        assert all(part in line for part in says.split("|")), line
    done = request("evaluate", "model", folder=project)
    assert (done.returncode, "--task" in one_line(done.stderr)) == (2, True), done.stderr


def test_a_file_of_the_command_lies_where_it_is_given_whatever_folder_studies_have(project):
    (project / "elsewhere").mkdir(exist_ok=True)
    (project / "elsewhere" / "pairs.jsonl").write_text("no examples\n")
    for folder in (project / "elsewhere", project / "nowhere"):
        command = ("evaluate", "model", "--task", "mrpc", "--data", "pairs.jsonl")
        done = request(*command, folder=project, SPARSITY_DATA=str(folder))
        assert json.loads(done.stdout)["examples"] == COUNT


BROKEN = [  # a file of a model, what becomes of it, what the line says of it
    ("config.json", lambda text: text[:-9], "config.json is no JSON, line "),
    ("config.json", lambda text: "[" * 100_000, "config.json is nested too deeply"),
    ("config.json", lambda text: text.replace('den_size": 32', 'den_size": "x"'), "config.json"),
    ("config.json", lambda text: '{"architectures": 5}', "config.json: 'architectures' is 5"),
    ("config.json", lambda text: text.replace("n_heads\": 2", "n_heads\": 3"), "(config.json, gen"),
    ("tokenizer.json", lambda text: text.replace("model", "modem"), "/tokenizer.json cannot be"),
    ("tokenizer_config.json", lambda text: '{"tokenizer_class": 5}', "tokenizer_config.json): "),
    ("tokenizer.json", lambda text: "5", "tokenizer.json is no JSON object"),
    ("tokenizer_config.json", lambda text: "[]", "tokenizer_config.json is no JSON object"),
    ("tokenizer_config.json", lambda text: '{"model_max_length": {}}', "length is {}, and counts"),
    ("generation_config.json", lambda text: "{", "generation_config.json is no JSON, line 1"),
]  # fmt: skip


def test_a_broken_file_of_a_model_is_named_in_the_users_own_folder(project):
    for name, change, says in BROKEN:
        causal, folder = name.startswith("generation"), project / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(project / ("causal" if causal else "model"), folder)
        (folder / name).write_text(change((folder / name).read_text()))
        done = asked(project, "broken", *(("perplexity", "texts") if causal else ("mrpc", "pairs")))
        line = done.stderr.splitlines()[-1]  # behind the bars of what was opened before
        assert (done.returncode, line.startswith("error: "), says in line) == (2, True, True), line
        assert str(folder) in line or "broken/" in line, line


def test_a_link_to_what_is_not_there_and_a_disk_that_takes_nothing_are_one_line(
    project, monkeypatch
):
    folder = project / "linked"
    shutil.copytree(project / "model", folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/nowhere/tokenizer.json")
    done = asked(project, "linked", "mrpc", "pairs")
    says = "tokenizer.json is a link to /nowhere/tokenizer.json, which is not there"
    assert (done.returncode, says in one_line(done.stderr)) == (2, True), done.stderr
    full = Mock(side_effect=OSError(27, "File too large"))
    monkeypatch.setattr(Objects, "put_bytes", full)
    done = asked(project, "model", "mrpc", "pairs", "--examples", "3")
    says = "error: [Errno 27] File too large; run again when that is mended"
    assert (done.returncode, one_line(done.stderr)) == (1, says)


def test_a_model_in_eight_bits_answers_on_the_cpu_where_there_is_a_gpu(project, monkeypatch):
    objects = Objects(project / "objects")
    with objects.scratch() as scratch:
        shutil.copytree(project / "model", scratch / "model")
        digest = objects.adopt(scratch / "model")
    record = quantise_checkpoint(objects, checkpoint=digest, weights_sha256="")
    folder = str(objects.open(record["checkpoint"]["object"]))
    put_in(monkeypatch, "hopper")
    done = asked(project, folder, "mrpc", "pairs", "--examples", "4")
    assert done.returncode == 0, done.stderr
    assert [json.loads(done.stdout)[key] for key in ("device", "dtype")] == ["cpu", "float32"]


def test_tasks_are_listed_one_a_line(tmp_path):
    done = request("evaluate", "--list-tasks", folder=tmp_path)
    assert done.returncode == 0
    assert "sst2: classification; " in done.stdout
    for name, line in zip(tasks.names(), done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{name}: ")
        assert line.endswith(f"fields of a file: {', '.join(tasks.task(name).row_fields)}")


def test_texts_without_spaces_take_a_unit_and_numbers_that_are_none_are_null(project, monkeypatch):
    def perplexity(unit):
        done = asked(project, "causal", "perplexity", "chinese", "--unit", unit)
        found = json.loads(done.stdout, parse_constant=pytest.fail)["metrics"]["perplexity"]
        assert f"per {unit}" in found["protocol"]
        assert f"each {unit}" in found["chance_from"]
        return found, done.stderr

    by_character, by_byte = (perplexity(unit)[0]["value"] for unit in ("character", "byte"))
    assert by_character == pytest.approx(by_byte**3)  # of three bytes each
    monkeypatch.setattr(quality, "scored_interval", lambda *_: Interval(math.inf, 1.0, math.nan))
    found, said = perplexity("byte")
    assert [found[key] for key in ("value", "low", "high")] == [None, 1.0, None]
    assert "perplexity is inf, in JSON null: the model gives" in said
