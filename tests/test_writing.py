"""What docs/writing.md tells authors is so: its examples, rendered as they stand there."""

import re
import shutil
from pathlib import Path

import fake
import pytest
import yaml
from lxml import html
from pypdf import PdfReader

from analysis import results
from analysis.paper.facts import FACTS, facts
from analysis.rendering import builtin

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/writing.md").read_text(encoding="utf-8")
FRONT = """---
title: Examples
metadata-files: [_facts.yml]
---

```{python}
from analysis import paper
paper.start()
```

"""


def examples():
    return re.findall(r"^````markdown\n(.*?)^````$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with these examples as its document, and made-up results of the built-in study."""
    for name in ("_quarto.yml", "references.bib"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("styles", "studies"):
        shutil.copytree(ROOT / name, tmp_path / name)
    data = fake.data("tiny")
    results.write(data.tables, data.environment, tmp_path / "_output/results")
    (tmp_path / "_facts.yml").write_text(yaml.safe_dump({"facts": facts(data)}))
    (tmp_path / "report.qmd").write_text(FRONT + "\n\n".join(examples()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("SPARSITY_STUDY", raising=False)
    return tmp_path


def test_the_examples_render_as_they_stand(project):
    builtin.render(project, project / "_output", progress=lambda line: None)
    page = html.parse(str(project / "_output/report.html")).getroot()
    pdf = " ".join(p.extract_text() for p in PdfReader(project / "_output/report.pdf").pages)
    for said in (page.text_content(), pdf):
        said = " ".join(said.replace("\xa0", " ").split())
        assert "Some of the pruned models were trained again." in said
        assert "No pruned model was trained again." not in said
        assert "The models were scored, stored and compared." in said
        assert "We prune three transformers at 10, 50, 90, 95 and 99 % sparsity." in said
        assert re.search(r"The smallest sparse file takes [\d.]+ % of the dense one", said), said
        assert "Figure 1 shows what is saved" in said
        verdicts = re.findall(r"Claim (\S+), (supported|contradicted|undecided): (.+?)\.", said)
        assert [name for name, _, _ in verdicts] == [
            "dense-stays",
            "half-the-bytes",
            "half-is-free",
        ]
        assert all(numbers for _, _, numbers in verdicts)
    assert len(page.xpath("//figure//svg | //figure//img")) == 1
    assert len(page.xpath("//table")) == 1


def test_all_facts_are_told_and_no_others():
    told = re.findall(r"^\| `(\w+)` \| (.+?) \|$", PAGE, re.MULTILINE)
    assert told == [(name, says) for name, (says, _) in FACTS.items()]
