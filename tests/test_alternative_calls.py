"""What goes into the steps that make alternatives, and what their records become."""

import json

import fake
import pytest

from analysis import alternative_calls, calls, results, study, variants
from analysis.data_calls import Data
from analysis.variants import variant_row
from studies import everything

KINDS = ("int8", "student", "moe")
MADE = {
    "checkpoint": {"object": "made"},
    "weights_sha256": "made-weights",
    "parameters": 77,
}
RECORDS = {
    "int8": {**MADE, "quantised_weights": 60, "bytes": 9, "seconds": 0.1},
    "student": {
        **MADE,
        "prunable_parameters": 44,
        "layers": {"kept": 2, "of": 4},
        "flush_denormal": True,
        "train_seconds": 3.5,
        "final_loss": 0.2,
        "bytes": 9,
    },
    "moe": {
        "peak_bytes": 5,
        "levels": [
            {
                **MADE,
                "checkpoint": {"object": f"{run}-{router}"},
                "weights_sha256": f"weights-{run}-{router}",
                "run": run,
                "experts": 8,
                "router": router,
                "run_share": run / 8,
                "router_share": 0.01,
                "hit": 0.75 if router == "learned" else 1.0,
                "train_seconds": 2.0,
            }
            for run in (4, 2)
            for router in ("learned", "oracle")
        ],
    },
}


GENERATED = Data("sentiment", {}, None)
READ = Data("sentiment", {}, {"training": {"object": "read"}})


def chosen(**changes):
    return study.Study(**everything(**changes), name="mine")


def dense_of(asked, seed=0):
    record = fake.checkpoint("encoder-only", "dense-weights")
    return variants.dense_variant(asked, asked.models[0], "sentiment", seed, record)


def call(kind, data=GENERATED, **changes):
    asked = chosen(**changes)
    return alternative_calls.make(asked, dense_of(asked), data, kind)


def made(kind, **changes):
    asked = chosen(**changes)
    return alternative_calls.found(asked, dense_of(asked), kind, RECORDS[kind])


# ---------------------------------------------------------------- what enters keys


@pytest.mark.parametrize("kind", KINDS)
def test_the_dense_weights_and_their_place_go_in_by_content(kind):
    made = call(kind)
    assert made.arguments["checkpoint"] == "dense-weights"
    assert made.arguments["weights_sha256"] == "dense-weights"
    assert not made.timing
    json.dumps(dict(made.arguments), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"alternatives": {"student": {"epochs": 3}}}, {"student"}),
        ({"alternatives": {"student": {"learning_rate": 0.01}}}, {"student"}),
        ({"alternatives": {"experts": 16}}, {"moe"}),
        ({"alternatives": {"run": [4]}}, {"moe"}),
        ({"calibration": {"examples": 7}}, {"moe"}),
        ({"calibration": {"tokens": 9}}, {"moe"}),
        ({"compute": {"threads": 2}}, {"student", "moe"}),
        ({"compute": {"device": "cuda"}}, {"student", "moe"}),
        ({"compute": {"jobs": 2}}, set()),
        ({"compute": {"memory_gb": 2.0}}, set()),
        ({"alternatives": {"kinds": ["moe", "student", "int8"]}}, set()),
        ({"sparsities": [0.5, 0.7, 0.9]}, set()),
        ({"runtime": {"tokens": 3}}, set()),
        ({"formats": ["dense"]}, set()),
    ],
)
def test_a_key_changes_with_what_the_step_uses_and_no_more(changes, changed):
    assert {kind for kind in KINDS if call(kind).key != call(kind, **changes).key} == changed


def test_what_is_learnt_from_goes_in_by_content():
    for kind in KINDS:
        made, read = call(kind), call(kind, READ)
        assert (made.key != read.key) == (kind != "int8")
        if kind != "int8":
            assert made.arguments["training"] is None
            assert read.arguments["training"] == "read"


def test_each_seed_trains_a_student_and_experts_of_its_own():
    asked = chosen(seeds=[0, 1])
    one, other = (
        {k: alternative_calls.make(asked, dense_of(asked, seed), GENERATED, k) for k in KINDS}
        for seed in (0, 1)
    )
    assert one["int8"].key == other["int8"].key  # of these very weights
    for kind in ("student", "moe"):
        assert one[kind].key != other[kind].key


def test_experts_are_made_from_other_examples_than_those_of_testing():
    assert call("moe").arguments["seed"] >= calls.OTHER_EXAMPLES


# ---------------------------------------------------------------- what comes of them


def test_variants_are_named_by_kind_and_what_tells_them_apart():
    names = [variant.name for kind in KINDS for variant in made(kind)]
    stem = "tiny-bert/sentiment"
    assert names == [
        f"{stem}/int8",
        f"{stem}/student",
        *(f"{stem}/moe/{run}-of-8/{router}" for run in (4, 2) for router in ("learned", "oracle")),
    ]


def test_seeds_are_in_names_where_there_are_several():
    asked = chosen(seeds=[3, 4])
    for kind in KINDS:
        for variant in alternative_calls.found(asked, dense_of(asked, 4), kind, RECORDS[kind]):
            assert variant.name.endswith("/seed-4")
            assert variant.seed == 4


@pytest.mark.parametrize("kind", KINDS)
def test_an_alternative_is_a_checkpoint_of_its_own_without_masks(kind):
    dense = dense_of(chosen())
    for variant in made(kind):
        assert variant.kind == variant.method == kind
        assert variant.masks is None
        assert variant.checkpoint != dense.checkpoint
        assert variant.weights_sha256 != dense.weights_sha256
        assert variant.parameters == 77
        assert (variant.sparsity, variant.task, variant.reached) == (0.0, "sentiment", True)


def test_settings_say_what_names_do_not():
    (int8,), (student,), experts = (made(kind) for kind in KINDS)
    assert int8.settings == {"quantised_weights": 60}
    assert student.settings == {"layers": {"kept": 2, "of": 4}, "flush_denormal": True}
    assert experts[0].settings == {
        "run": 4,
        "experts": 8,
        "router": "learned",
        "run_share": 0.5,
        "hit": 0.75,
    }
    assert [v.settings["router"] for v in experts] == ["learned", "oracle"] * 2


def test_only_what_was_trained_took_time_to_train():
    (int8,), (student,), experts = (made(kind) for kind in KINDS)
    assert (int8.train_seconds, student.train_seconds) == (0.0, 3.5)
    assert {v.train_seconds for v in experts} == {2.0}
    assert (int8.protocol, student.protocol, experts[0].protocol) == ("", "distilled", "")


def test_a_student_has_fewer_weights_to_prune_and_the_others_as_many():
    dense = dense_of(chosen())
    (int8,), (student,), experts = (made(kind) for kind in KINDS)
    assert student.prunable == 44
    assert {v.prunable for v in (int8, *experts)} == {dense.prunable}


def test_rows_of_alternatives_fit_the_table():
    listed = [variant_row(v) for v in [dense_of(chosen()), *(v for k in KINDS for v in made(k))]]
    table = results.build({"variants": listed})["variants"]
    assert list(table["kind"]) == ["dense", "int8", "student", *["moe"] * 4]
    assert set(table["status"]) == {"ok"}
    assert (table["achieved"] == 0).all()
    for settings in table["settings"]:
        assert isinstance(json.loads(settings), dict)


# ---------------------------------------------------------------- evaluated and sized


def test_int8_is_evaluated_on_the_cpu_wherever_the_others_are():
    asked = chosen(compute={"device": "cuda"})
    data = {"data": {"object": "x"}}
    devices = {
        variant.kind: calls.evaluate(asked, variant, "sentiment", data).arguments["device"]
        for variant in [dense_of(asked), *(v for kind in KINDS for v in made(kind))]
    }
    assert devices == {"dense": "cuda", "int8": "cpu", "student": "cuda", "moe": "cuda"}


def test_each_alternative_is_scored_and_sized_by_its_own_weights():
    asked, data = chosen(), {"data": {"object": "x"}}
    listed = [dense_of(asked), *(v for kind in KINDS for v in made(kind))]
    scored = [calls.evaluate(asked, v, "sentiment", data) for v in listed]
    sized = [calls.size(asked, v) for v in listed]
    for variant, score, size in zip(listed, scored, sized, strict=True):
        assert score.arguments["checkpoint"] == size.carried["checkpoint"] == variant.checkpoint
        assert score.arguments["masks"] is size.arguments["masks"] is None
        assert size.arguments["weights_sha256"] == variant.weights_sha256
