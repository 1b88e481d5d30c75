"""One line says which key of a study is wrong, what is allowed and what is near."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from analysis import study
from studies import everything, masked_only, model, refused, refused_saying, to_file, tree

WRONG = {
    "unknown key": (tree(sparsity=[0.5]), ["unknown key 'sparsity'", "Did you mean 'sparsities'?"]),
    "required key mistyped": (
        {("method" if k == "methods" else k): v for k, v in tree().items()},
        ["unknown key 'method'", "Did you mean 'methods'?"],
    ),
    "unknown key of runtime": (
        tree(runtime={"batchs": [1]}),
        ["runtime", "unknown key 'batchs'", "Did you mean 'batches'?"],
    ),
    "unknown key of bootstrap": (
        tree(bootstrap={"resample": 500}),
        ["bootstrap", "'resample'", "Did you mean 'resamples'?"],
    ),
    "unknown key of compute": (
        tree(compute={"gpu": 1}),
        ["compute", "'gpu'", "device, dtype, jobs"],
    ),
    "unknown key of a model": (
        tree(models=model(task=["sentiment"])),
        ["models.0", "'task'", "Did you mean 'tasks'?", "name"],
    ),
    "name given in the file": (tree(name="x"), ["name", "remove it"]),
    "text given in the file": (tree(text="x"), ["text", "remove it"]),
    "missing": ({k: v for k, v in tree().items() if k != "title"}, ["title", "is missing"]),
    "missing in a model": (tree(models=[{"name": "tiny-bert"}]), ["models.0.", "is missing"]),
    "percent": (tree(sparsities=[0.1, 50]), ["sparsities.1", "got 50", "write 0.5"]),
    "level 0": (tree(sparsities=[0]), ["sparsities.0", "got 0", "above 0"]),
    "level 1": (tree(sparsities=[1.0]), ["sparsities.0", "below 1"]),
    "negative level": (tree(sparsities=[-0.5]), ["sparsities.0", "got -0.5"]),
    "level is no number": (tree(sparsities=["half"]), ["sparsities.0", "'half'", "fraction"]),
    "level is NaN": (tree(sparsities=[float("nan")]), ["sparsities.0", "nan"]),
    "level is infinite": (tree(sparsities=[float("inf")]), ["sparsities.0", "inf"]),
    "no level": (tree(sparsities=[]), ["sparsities"]),
    "level twice": (tree(sparsities=[0.5, 0.9, 0.50]), ["sparsities", "0.5 stands twice"]),
    "unknown task": (
        tree(models=model(tasks=["sentimnt"])),
        ["models.0.tasks", "'sentimnt'", "Did you mean 'sentiment'?", "headline"],
    ),
    "task of another family": (
        tree(models=model(tasks=["headline"]), examples={"headline": 8}),
        ["models.0.tasks", "'headline'", "Allowed: sentiment, paraphrase."],
    ),
    "no task": (tree(models=model(tasks=[])), ["models.0.tasks"]),
    "task twice": (
        tree(models=model(tasks=["sentiment", "sentiment"])),
        ["models.0.tasks", "'sentiment' stands twice"],
    ),
    "examples of an unknown task": (
        tree(examples={"sentiment": 8, "paraphase": 8}),
        ["examples", "'paraphase'", "Did you mean 'paraphrase'?"],
    ),
    "task without examples": (tree(examples={}), ["examples", "'sentiment'", "add it"]),
    "no examples": (tree(examples={"sentiment": 0}), ["examples.sentiment", "got 0"]),
    "unknown method": (
        tree(methods=["magnitud"]),
        ["methods", "'magnitud'", "Did you mean 'magnitude'?", "magnitude-all"],
    ),
    "method by its file's name": (
        tree(methods=["magnitude_all"]),
        ["methods", "Did you mean 'magnitude-all'?"],
    ),
    "method twice": (tree(methods=["magnitude", "magnitude"]), ["methods", "stands twice"]),
    "timed method not among the methods": (
        tree(runtime={"method": "magnitude-all"}),
        ["runtime.method", "'magnitude-all'", "Allowed: magnitude."],
    ),
    "unknown model": (
        tree(models=model(name="tiny-brt")),
        ["models.0.name", "'tiny-brt'", "Did you mean 'tiny-bert'?", "tiny-gpt2"],
    ),
    "model twice": (tree(models=model() * 2), ["models", "'tiny-bert' stands twice"]),
    "model's name is a path": (tree(models=model(name="../x")), ["models.0.name", "'../x'"]),
    "no model": (tree(models=[]), ["models"]),
    "model is a string": (tree(models=["tiny-bert"]), ["models.0", "'tiny-bert'"]),
    "wrong family": (
        tree(models=model(family="decoder-only")),
        ["models.0.family", "tiny-bert is encoder-only, not decoder-only"],
    ),
    "unknown family": (
        tree(models=model(family="encoder")),
        ["models.0.family", "'encoder'", "encoder-only", "decoder-only", "encoder-decoder"],
    ),
    "unknown format": (tree(formats=["dense", "gzip"]), ["formats:", "'gzip'", "dense+zstd"]),
    "formats without dense": (tree(formats=["dense+zstd"]), ["formats", "'dense'"]),
    "protocol twice": (
        tree(protocols=["one-shot", "one-shot"]),
        ["protocols", "'one-shot' stands twice"],
    ),
    "batch twice": (tree(runtime={"batches": [1, 1]}), ["runtime.batches", "1 stands twice"]),
    "batch 0": (tree(runtime={"batches": [0]}), ["runtime.batches.0", "got 0"]),
    "too few runs": (tree(runtime={"min_runs": 2}), ["runtime.min_runs", "got 2", "3"]),
    "endless measuring": (
        tree(runtime={"max_seconds": float("inf")}),
        ["runtime.max_seconds", "inf"],
    ),
    "confidence in per cent": (
        tree(bootstrap={"confidence": 95}),
        ["bootstrap.confidence", "got 95", "less than 1"],
    ),
    "unknown device": (tree(compute={"device": "gpu"}), ["compute.device", "'gpu'", "'cuda'"]),
    "section is a list": (tree(compute=[1]), ["compute"]),
    # methods
    **{
        f"{method} leads": (
            everything(methods=[method, "magnitude", "magnitude-layer"]),
            ["methods:", f"{method} cannot lead", "magnitude first"],
        )
        for method in ("structured", "gradual", "nm-wanda", "nm-magnitude")
    },
    "structured is timed": (
        everything(runtime={"method": "structured"}),
        ["runtime.method:", "structured cannot lead"],
    ),
    **{
        f"{key} beside {method}": (
            masked_only(methods=["magnitude", method], **{key: ["head"]}, **more),
            ["include, exclude:", method],
        )
        for key in ("include", "exclude")
        for method, more in (
            ("structured", {}),
            ("gradual", {"recovery": {"tasks": ["sentiment"], "sparsities": [0.5]}}),
        )
    },
    "empty rule": (masked_only(exclude=[""]), ["exclude.0", "got ''"]),
    "endless rule": (masked_only(include=["x" * 301]), ["include.0", "300"]),
    "rule is a number": (masked_only(include=[3]), ["include.0", "got 3"]),
    "rules are a word": (masked_only(include="head"), ["include", "'head'"]),
    "seed twice": (tree(seeds=[1, 1]), ["seeds", "1 stands twice"]),
    "negative seed": (tree(seeds=[-1]), ["seeds.0", "got -1"]),
    "empty title": (tree(title=""), ["title"]),
    "title is a number": (tree(title=5), ["title", "got 5"]),
    "key is a number": (tree() | {1: "x"}, ["unknown key '1'"]),
    "key is yes": ("yes: 1\n" + yaml.safe_dump(tree()), ["unknown key 'True'"]),
}


@pytest.mark.parametrize(("content", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_key_is_named_in_one_line(tmp_path, content, says):
    refused_saying(to_file(tmp_path, content), says)


def test_a_key_that_stands_twice_in_the_file_is_refused(tmp_path):
    message = refused(to_file(tmp_path, yaml.safe_dump(tree()) + "methods: [magnitude-all]\n"))
    assert "methods" in message


def test_levels_that_would_share_a_variants_name_are_refused(tmp_path):
    message = refused(to_file(tmp_path, tree(sparsities=[0.12345678, 0.12345679])))
    assert "sparsities" in message


@given(level=st.one_of(st.floats(max_value=0), st.floats(min_value=1), st.just(float("nan"))))
def test_every_level_outside_the_open_unit_interval_is_refused(level):
    with pytest.raises(ValueError, match="sparsities"):
        study.Study(**tree(sparsities=[level]), name="x")


@given(level=st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_every_level_inside_the_open_unit_interval_is_allowed(level):
    assert study.Study(**tree(sparsities=[level]), name="x").sparsities == (level,)
