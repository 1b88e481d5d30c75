"""The script over architectures finds what there is to find, and its page is of this registry."""

from benchmarks import architectures

EXPECTED = {  # of an architecture that can do all, of a mixture, of one without known blocks
    "mpnet": {"magnitude": "yes", "2:4": "yes", "Wanda": "yes", "masked": "yes"},
    "mixtral": {
        "magnitude": "yes",
        "Wanda": "only with `--exclude '*.experts.*'`",
        "causal": "yes",
    },
    "xlm": {"magnitude": "refused: of the architecture 'xlm' no blocks are understood"},
}


def test_three_architectures_do_what_the_page_says(tmp_path):
    page = architectures.PAGE.read_text(encoding="utf-8").splitlines()
    for name, expected in EXPECTED.items():
        with architectures.quietly(tmp_path / name):
            found = architectures.look(name, tmp_path / name)
        for column, answer in expected.items():
            assert found.does[column].startswith(answer), (name, column)
        assert architectures.row(name, found) in page


def test_the_page_has_all_architectures_and_nothing_that_is_wrong():
    text = architectures.PAGE.read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert rows == architectures.names()
    assert len(rows) > 100
    assert not [word for word in ("WRONG", "FAILED", "not made") if word in text]
