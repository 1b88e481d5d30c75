"""The paper of results that lack something: no figure, table, value or claim fails over it."""

import functools
import re

import fake
import matplotlib as mpl
import numpy as np
import pytest
from fake import changed
from paper_changes import without
from test_paper import STRAY, TABLES, VALUES, functions

from analysis.execution.names import AUTO, INT8, TILED_CSR, TORCH_CSR
from analysis.paper import (
    claims,
    method_figures,
    saving_figures,
    saving_findings,
    saving_tables,
    style,
)
from analysis.paper.data import Data

mpl.use("agg")


def void(data, model=""):
    """Dense models that are not above chance: nothing can be retained."""

    def change(frame, columns):
        frame.loc[frame["variant"].str.startswith(model), columns] = np.nan

    kept = ["retained", "retained_low", "retained_high"]
    data = changed(data, "quality", lambda frame: change(frame, kept))
    return changed(data, "contests", lambda frame: change(frame, ["difference", "low", "high"]))


def one_model(data):
    """The results of the first model alone."""
    model = data.models[0]
    names = set(data["variants"].query("model == @model")["variant"])
    found = {}
    for name, table in data.tables.items():
        for column in ("variant", "other"):
            table = table[table[column].isin(names)] if column in table else table
        found[name] = table[table["model"] == model] if "model" in table else table
    tasks = set(found["quality"]["task"])
    found["tasks"] = data["tasks"][data["tasks"]["task"].isin(tasks)]
    return Data(found, data.environment)


def unreachable(data):
    """A structured method that reaches no level of any model."""
    gone = without(data, "structured/")
    names = set(data["variants"]["variant"]) - set(gone["variants"]["variant"])
    found = dict(gone.tables)
    found["variants"] = data["variants"].copy()
    rows = found["variants"]["variant"].isin(names)
    found["variants"].loc[rows, ["status", "reason"]] = ["unreachable", "one head has to stay"]
    found["variants"].loc[rows, "settings"] = "{}"
    for table in ("size", "runtime"):
        found[table] = data[table][~data[table]["variant"].isin(names)]
    return Data(found, data.environment)


def own_names(data):
    """Methods of a user's own, named as no method of the project is; one as if it were another."""
    named = {"sparsegpt": "my-method", "nm-wanda": "near", "random": "nm-alike", "gradual": "slow"}
    hostile = "a|b $x_1$ **c**"

    def rename(frame):
        frame["method"] = frame["method"].replace(named | {"magnitude-row": hostile})

    return changed(data, "variants", rename)


def dropped(table, column, *gone):
    return lambda data: changed(data, table, lambda frame: frame[~frame[column].isin(gone)])


def emptied(*tables):
    def change(data):
        return Data({**data.tables, **{t: data[t].iloc[:0] for t in tables}}, data.environment)

    return change


# without some bytes or times: what is said of quality does not change
UNMEASURED = {
    "no-replicas": emptied("replicas"),
    "no-timings": emptied("runtime", "replicas"),
    "no-sparse-files": dropped("size", "format", "auto", "auto+zstd", "bitmask", "csr16"),
    "dense-files-alone": lambda data: changed(data, "size", lambda f: f[f["format"] == "dense"]),
    "no-other-operations": dropped("runtime", "operation", "generate", "train_step"),
    "no-forward-passes": dropped("runtime", "operation", "forward"),
    "no-sparse-kernels": dropped("runtime", "kernel", AUTO, TORCH_CSR, TILED_CSR),
    "a-gpu": lambda data: changed(
        dropped("runtime", "kernel", TORCH_CSR, TILED_CSR, INT8)(data),
        "runtime",
        lambda frame: frame.assign(peak_bytes=np.nan, device="cuda"),
    ),
}
# without some variants, models or scores
UNSCORED = {
    "no-alternatives": lambda data: without(data, "int8", "student", "moe/"),
    "no-students": lambda data: without(data, "student"),
    "no-oracles": lambda data: without(data, "moe/[0-9]+-of-16/oracle"),
    "one-model": one_model,
    "unreachable": unreachable,
    "void": void,
    "void-first": lambda data: void(data, "tiny-bert/"),
    "own-names": own_names,
}
LACKING = UNMEASURED | UNSCORED
SAVED = [name for name, claim in claims.CLAIMS.items() if claim.check in functions(saving_findings)]


@pytest.fixture(scope="module", params=LACKING)
def lacking(request):
    """Results, and whether quality is as before, so that only what is saved has to be looked at."""
    return LACKING[request.param](fake.data("tiny")), request.param in UNMEASURED


def shown(make, data):
    text = str(make(data))
    assert text
    assert not re.search(STRAY, text)
    return text


def test_every_figure_is_made(lacking):
    style.use()
    data, as_good = lacking
    made = functions(saving_figures) + ([] if as_good else functions(method_figures))
    for make in made:  # drawing them takes longest, and is tested with whole studies
        figure = make(data)
        assert figure.axes


def test_every_table_is_a_rectangle(lacking):
    data, as_good = lacking
    for make in functions(saving_tables) if as_good else TABLES:
        if make.__name__ == "method_costs" and "my-method" in set(data["variants"]["method"]):
            continue  # says what a method is: it has to be one of the project's
        lines = shown(make, data).strip().splitlines()
        assert len(lines) > 2
        assert len({line.count("|") for line in lines}) == 1


def test_every_value_is_said(lacking):
    counts = {"supported_count", "unsupported_list"}  # of all claims: looked at below
    for make in VALUES:
        if make.__name__ not in counts:
            shown(make, lacking[0])


def test_every_claim_comes_to_a_statement(lacking):
    data, as_good = lacking
    for name in SAVED if as_good else claims.CLAIMS:
        shown(functools.partial(claims.statement, name=name), data)


SAVING = {
    "dense-bytes": {"dense"},
    "compressor-finds-zeros": {"dense-files-alone"},
    "sparse-files-shrink": {"no-sparse-files", "dense-files-alone"},
    "no-speed": {"no-timings", "no-forward-passes"},
    "sparse-kernels-pay": {"no-replicas", "no-timings"},
    "small-models-gain-less": {
        "no-replicas",
        "no-timings",
        "no-forward-passes",
        "no-sparse-kernels",
    },
    "eight-bits-win": {"no-alternatives", "no-timings", "no-forward-passes", "void", "a-gpu"},
    "student-wins": {
        "no-alternatives",
        "no-students",
        "no-timings",
        "no-forward-passes",
        "void",
    },
    "routers-find-experts": {"no-alternatives", "no-oracles", "void"},
}


@pytest.mark.parametrize("name", SAVING)
def test_a_claim_is_not_tested_where_it_cannot_tell_and_only_there(name):
    untested = {
        what
        for what, change in LACKING.items()
        if claims.verdict(change(fake.data("tiny")), name).supported is None
    }
    assert untested == SAVING[name] & LACKING.keys()
