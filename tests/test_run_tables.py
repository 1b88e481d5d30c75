"""What a whole run writes: every table, of every kind of variant, in every format, timed."""

import itertools
import json

from mini import tables

from analysis import results

# of each model; the others follow pruning, on the one task that is trained on and looked into
ONE_SHOT = """magnitude/one-shot/0.5 magnitude/one-shot/0.99 magnitude-all/one-shot/0.5
    magnitude-all/one-shot/0.99 magnitude-layer/one-shot/0.5 magnitude-layer/one-shot/0.99
    wanda/one-shot/0.5 wanda/one-shot/0.99 nm-sparsegpt/one-shot/2:4 structured/one-shot/0.5
    structured/one-shot/0.99"""
FURTHER = """gradual/fine-tuned/0.5 gradual/fine-tuned/0.99 wanda/fine-tuned/0.5
    wanda/distilled/0.5 magnitude-layer/one-shot/0.5/allocated"""
OTHER = "int8 student moe/2-of-4/learned moe/2-of-4/oracle"
STEMS = {
    "tiny-bert/paraphrase": f"{ONE_SHOT} {FURTHER} {OTHER}",
    "tiny-gpt2": ONE_SHOT,
    "tiny-bart/headline": ONE_SHOT,
}


def test_run_writes_every_table_with_unique_keys(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr
    found = tables(folder)
    assert len(found["failures"]) == len(found["published"]) == 0
    for name, table in found.items():
        assert len(table) or name in ("failures", "published"), name
        assert not table.duplicated(results.KEYS[name]).any(), name
    expected = {f"{stem}/{name}" for stem in STEMS for name in ["dense", *STEMS[stem].split()]}
    expected |= {"tiny-bert/dense", "tiny-bart/dense"}  # two models have a base of their own
    assert set(found["variants"]["variant"]) == expected


def variants_of(finished, **columns):
    found = tables(finished[0])["variants"]
    for column, value in columns.items():
        found = found[found[column] == value]
    return found.set_index("variant")


def test_a_level_that_cannot_be_reached_is_a_row_that_says_why(finished):
    found = tables(finished[0])
    missed = variants_of(finished, status="unreachable")
    assert list(missed.index) == [f"{stem}/structured/one-shot/0.99" for stem in STEMS]
    assert missed["reason"].str.contains("the most is 0.").all()
    assert missed["achieved"].isna().all()
    for table in ("quality", "size", "runtime"):
        assert not set(found[table]["variant"]) & set(missed.index)
    scored = set(found["variants"]["variant"]) - set(missed.index)
    assert set(found["quality"]["variant"]) == scored - {"tiny-bert/dense", "tiny-bart/dense"}
    assert set(found["size"]["variant"]) == scored


def test_trained_models_keep_their_masks_and_without_them_zeros_vanish(finished):
    recovery = tables(finished[0])["recovery"]
    kept = recovery[recovery["masks_kept"]]
    trained = [f"tiny-bert/paraphrase/wanda/{p}/0.5" for p in ("fine-tuned", "distilled")]
    epochs = sorted(itertools.product(trained, (1, 2)))
    assert sorted(zip(kept["variant"], kept["epoch"], strict=True)) == epochs
    assert (kept["zeros"] == kept["removed"]).all()
    lost = recovery[~recovery["masks_kept"]]
    assert list(lost["epoch"]) == [1, 2]
    assert set(lost["variant"]) == {"tiny-bert/paraphrase/wanda/one-shot/0.5"}
    assert (lost["zeros"] < lost["removed"] / 10).all()
    seconds = variants_of(finished, model="tiny-bert", kind="pruned")["train_seconds"]
    trained += [f"tiny-bert/paraphrase/gradual/fine-tuned/{level}" for level in (0.5, 0.99)]
    assert {name for name, spent in seconds.items() if spent > 0} == {*trained}


def test_alternatives_are_scored_and_say_what_they_are(finished):
    names = [f"tiny-bert/paraphrase/{name}" for name in ["dense", *OTHER.split()]]
    found = variants_of(finished, model="tiny-bert").loc[names]
    assert list(found["kind"]) == ["dense", "int8", "student", "moe", "moe"]
    dense, int8, student, routed, _ = found["parameters"]
    assert student < int8 == dense < routed
    settings = [{}, *map(json.loads, found["settings"][1:])]
    assert settings[2]["layers"] == {"kept": 2, "of": 4}
    assert [chosen["router"] for chosen in settings[3:]] == ["learned", "oracle"]


def test_parameters_are_those_of_the_profile(finished):
    found = tables(finished[0])
    models = found["models"].set_index("model")["parameters"].to_dict()
    assert found["profile"].groupby("model")["parameters"].sum().to_dict() == models
    whole = found["profile_scopes"].query("scope == 'model'").set_index("model")["parameters"]
    assert whole.to_dict() == models


def test_environment_records_versions_study_and_seeds(finished):
    path = finished[0] / "_output/mini/results/environment.json"
    environment = json.loads(path.read_text(encoding="utf-8"))
    assert environment["versions"]["torch"]
    assert "A study for tests" in environment["study_text"]
    assert environment["seeds"] == [0]
