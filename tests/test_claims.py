"""Claims are read from the document: what decides them stands in their chunk. See claims.yml."""

from pathlib import Path

import fake
import pytest
import yaml
from paper_changes import cells, checked, plain

from analysis import paper
from analysis.errors import RequestError, RunError
from analysis.paper import data as paper_data
from analysis.paper.claims import document
from analysis.paper.verdicts import Verdict

WRONG = yaml.safe_load(Path(__file__).with_name("claims.yml").read_text(encoding="utf-8"))
RIGHT = {"name": "'n'", "sentence": "'S.'", "otherwise": "'O.'", "undecided": "'U.'",
         "holds": "lambda results: (True, '1')"}  # fmt: skip


def claim(**changed):
    given = ", ".join(f"{key}={value}" for key, value in (RIGHT | changed).items())
    return f"paper.claim({given})"


def chunk(code):
    return f"```{{python}}\n{code}\n```\n\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a document of these parts, which is read from then on; the first from line 5 on."""
    monkeypatch.chdir(tmp_path)

    def written(*parts, breaks="\n"):
        text = "---\ntitle: T\n---\n\n" + "".join(parts)
        Path("report.qmd").write_bytes(text.replace("\n", breaks).encode())

    return written


def refused_saying(said, words):
    assert all(part in str(said.value) for part in words), str(said.value)
    assert "\n" not in str(said.value)


def test_a_wrong_claim_is_named_with_its_line_in_one_line(write):
    for given, *words in WRONG["read"]:
        code = claim(**given) if isinstance(given, dict) else given.replace("CLAIM", claim())
        write(chunk(code))
        with pytest.raises(RequestError) as said:
            document.claims()
        refused_saying(said, words)
    for holds, *words in WRONG["decided"]:
        write(chunk(claim(holds=holds)))
        with pytest.raises((RequestError, RunError)) as said:
            checked(fake.data("tiny"), "n")
        refused_saying(said, words)


def test_an_authors_function_comes_to_each_verdict_and_changes_no_results(write):
    answers = {
        "True": Verdict.SUPPORTED,
        "(results['quality']['examples'] > 0).all()": Verdict.SUPPORTED,
        "False": Verdict.CONTRADICTED,
        "None": Verdict.UNCHECKED,
        "paper.Interval(1, 0.5, 2)": Verdict.SUPPORTED,
        "paper.Interval(1, -0.5, 2)": Verdict.UNDECIDED,
        "paper.Interval(-1, -2, -0.5)": Verdict.CONTRADICTED,
        "paper.Interval(float('nan'), 0, 0)": Verdict.UNCHECKED,
    }
    own = "def own(results):\n    table = results['quality']\n    table['value'] = 0.0\n"
    own += "    results.environment['seeds'].clear()\n    return {}, 'a | b. '\n\n\n"
    data = fake.data("tiny")
    before, seeds = data["quality"].copy(), list(data.environment["seeds"])
    for answer, verdict in answers.items():
        write(chunk(f"# of all\n{own.format(answer)}{claim(holds='own')}"))
        found = checked(data, "n")
        assert (found.verdict, plain(found.evidence)) == (verdict, "a | b"), answer
    assert data["quality"].equals(before)
    assert data.environment["seeds"] == seeds


def test_the_overview_and_the_counts_follow_the_document(write, monkeypatch):
    monkeypatch.setattr(paper_data, "load", lambda: fake.data("tiny"))
    monkeypatch.setattr(paper, "load", lambda: fake.data("tiny"))
    first = chunk(f"#| echo: false\n\n# paper.claim(\n{claim(sentence=repr('It *is* $|x|$ | y.'))}")
    shown = f"```python\n{claim()}\n```\n\n" + chunk("# paper.claim() comes later\n1")
    write(first, shown)
    assert plain(paper.value("claim_count")) == "one"
    write(first, shown, chunk(claim(name="'m'", holds="lambda r: (False, '7')")), breaks="\r\n")
    counted = ("claim_count", "claims_supported", "claims_contradicted", "claims_unchecked")
    assert [plain(paper.value(name)) for name in counted] == ["two", "one", "one", "none"]
    overview = str(paper.table("claims"))
    assert "It *is* $|x|$ &#124; y." in overview
    assert cells(overview)[1] == ["S.", "**contradicted**", "7"]
    assert paper.claims_line() == "claims: 1 of 2 supported; contradicted: m"
