"""A study file is right, or one line says what is wrong with it."""

import functools
import itertools
import re
import subprocess
import sys
import time

import pytest
import yaml

import studies
from analysis import pruning, study
from studies import BASES, HUB, OWN, ROOT, STUDIES, changed, of, refused, refused_saying, tree


@pytest.fixture
def write(tmp_path):
    return functools.partial(studies.to_file, tmp_path)


def cases(kind):
    """Each change of a study in study_keys.yml, as a file's content, and what comes of it."""
    for base, rows in studies.KEYS[kind].items():
        for changes, *outcome in rows:
            for change in changes if isinstance(changes, list) else [changes]:
                text = isinstance(change, str)
                own = yaml.safe_dump(BASES[base]) + change if text else changed(BASES[base], change)
                yield own, outcome


def found(value, path):
    """What stands there in a study, as YAML has it."""
    for part in path.split("."):
        if isinstance(value, tuple):
            value = value[int(part)]
        else:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
    if isinstance(value, study.Section):
        return value.model_dump()
    return list(value) if isinstance(value, tuple) else value


def test_what_a_study_may_say_is_in_it_when_it_is_loaded(write):
    for content, (expected,) in cases("right"):
        loaded = study.load(write(content))
        assert {path: found(loaded, path) for path in expected} == expected, content


def test_a_wrong_key_is_named_in_one_line_with_what_is_allowed_and_near(write):
    for content, words in cases("wrong"):
        refused_saying(write(content), words)


def test_no_line_is_long_however_long_the_value(write):
    for change, word in (
        ({"sparsities": ["x" * 100_000]}, "sparsities.0"),
        ({"patterns": ["x" * 300]}, "is not N:M"),
        ({"include": ["x" * 301]}, "include.0"),
        ({"model": {"revision": "x" * 100_000}}, "models.0.revision"),
    ):
        message = refused(write(changed(BASES["hub"], change)))
        assert (word in message, len(message) < 800) == (True, True), message[:800]


def test_one_study_may_have_models_of_every_source_by_names_of_their_own(write, tmp_path):
    (saved := tmp_path / "saved model").mkdir()
    (saved / "config.json").write_text("{}", encoding="utf-8")
    gpt = HUB | {"name": "gpt", "family": "decoder-only", "tasks": ["wikitext2", "lambada"]}
    mine = {"name": "mine", "family": "encoder-only", "source": "local", "path": str(saved)}
    off = HUB | {"name": "later", "id": None, "tasks": ["tnews"], "enabled": False}  # half-written
    models = [HUB, gpt, mine | {"tasks": ["mrpc"]}, OWN, off, studies.BERT]
    loaded = study.load(write(of(*models, examples={"sentiment": 8, "lambada": 5})))
    assert [m.source for m in loaded.models] == ["hub", "hub", "local", "scratch", "builtin"]
    assert loaded.tasks == ("sst2", "wikitext2", "lambada", "mrpc", "sentiment")
    refused_saying(write(of(HUB, HUB | {"id": "org/other"})), ["models", "'bert' stands twice"])


def test_every_study_of_the_project_loads_by_name_and_by_path():
    for path in sorted(STUDIES.glob("*.yml")):
        loaded = study.load(str(path))
        assert loaded == study.load(path.stem, folder=STUDIES)
        assert (loaded.name, loaded.text) == (path.stem, path.read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="frozen"):
        loaded.title = "another"


def test_tiny_has_the_levels_and_families_of_the_assignment_and_a_part_of_every_kind():
    tiny = study.load("tiny", folder=STUDIES)
    assert tiny.sparsities == (0.10, 0.50, 0.90, 0.95, 0.99)
    families = [model.family for model in tiny.models]
    assert sorted(families) == ["decoder-only", "encoder-decoder", "encoder-only"]
    assert {*map(pruning.kind, tiny.methods)} == {"weights", "calibrated", "structured", "trained"}
    assert any(map(pruning.takes_patterns, tiny.methods))
    for listed, parts in (
        (tiny.methods, {"magnitude", "magnitude-all"}),
        (tiny.protocols, {"one-shot", "fine-tuned", "distilled"}),
        (tiny.alternatives.kinds, {"int8", "student", "moe"}),
        (tiny.runtime.operations, {"forward", "generate", "train_step"}),
        (tiny.formats, {"dense", "bitmask", "auto"}),
        (tiny.sparsities, {tiny.recovery.unmasked_at, *tiny.sensitivity.allocate}),
    ):
        assert parts <= set(listed)
    for model in tiny.models:
        for section in (tiny.recovery, tiny.sensitivity, tiny.alternatives):
            assert set(model.tasks) & set(section.tasks)
        assert tiny.runtime.task in model.tasks
    assert all((tiny.runtime.replica, tiny.sensitivity.allocate))


def test_the_study_is_chosen_by_one_variable(monkeypatch):
    monkeypatch.delenv(study.VARIABLE, raising=False)
    assert study.chosen() == "tiny"
    for value, chosen in (("", "tiny"), ("some/where.yml", "some/where.yml")):
        monkeypatch.setenv(study.VARIABLE, value)
        assert study.chosen() == chosen


def test_what_leads_to_no_study_file_is_named_with_the_nearest(write, tmp_path):
    message = refused("tinny", folder=STUDIES)
    assert "unknown study 'tinny'. Did you mean 'tiny'?" in message
    assert "no studies in" in refused("tiny", folder=tmp_path)
    for name in ("..", "a" * 5000, "a\0b", "ti\nny", "tiny.yml/"):
        refused(name, folder=STUDIES)
    (tmp_path / "dir.yml").mkdir()
    for path in ("nowhere/mine.yml", "mine.yaml", "no/such", str(tmp_path / "dir.yml")):
        assert path in refused(path)
    # what would be no name of a folder of tables
    assert "name" in refused(write(tree(), name=".hidden.yml"))
    assert study.load(str(write(tree(), name="my étude (2).yml"))).name == "my étude (2)"
    assert "may not be called 'results'" in refused(write(tree(), name="results.yml"))


def test_a_file_that_may_not_be_read_is_refused(public_folder, unprivileged):
    (closed := public_folder / "closed").mkdir(mode=0o700)
    paths = [studies.to_file(folder, tree()) for folder in (public_folder, closed)]
    (public_folder / "mine.yml").chmod(0)
    closed.chmod(0)
    with unprivileged():
        assert all(path in refused(path) for path in paths)


UNSAFE = [
    b"\x00\x01\x02", b"\xff\xfe\x00study", b"title: \xe9t\xe9", b"PK\x03\x04" + bytes(range(256)),
    "title: [unclosed", "title: 'x\nmodels: -\n", "a: b: c", "\ttitle: x", "? [a]\n: b",
    "--- {}\n--- {}", "title: *nowhere", "title: " + "[" * 2000 + "]" * 2000,
    "title: !!python/object/apply:os.system ['touch MARKER']", "title: !!python/name:os.system",
    "!!python/object/new:subprocess.Popen [['touch', 'MARKER']]",
]  # fmt: skip


def test_a_file_that_is_no_safe_yaml_is_refused_and_inert(write, tmp_path):
    marker = tmp_path / "marker"
    for content in UNSAFE:
        text = isinstance(content, str)
        path = write(content.replace("MARKER", str(marker)) if text else content)
        assert (path in refused(path), marker.exists()) == (True, False)
    for content in ("", "# nothing", "- a\n- b", "just words", "42", "null"):
        assert "mapping" in refused(write(content))


def test_a_study_may_begin_with_a_byte_order_mark_and_its_dates_are_text(write):
    text = yaml.safe_dump(tree(title=None)).replace("title: null", "title: 2024-02-30")
    assert study.load(write(b"\xef\xbb\xbf" + text.encode())).title == "2024-02-30"


def test_a_study_of_thousands_of_keys_is_refused_in_seconds(write):
    """Key by key it was looked for among all others: 30,000 took 44 s."""
    keys = "".join(f"key{n}: {n}\n" for n in range(8_000))
    started = time.process_time()
    assert "unknown key 'key0'" in refused(write(yaml.safe_dump(tree()) + keys))
    assert time.process_time() - started < 12
    assert "a megabyte" in refused(write("#" * 1_000_001))
    for text in ("1" * 5000, "&a [*a]", "{b: &b {c: *b}}"):
        refused(write(yaml.safe_dump(tree()) + f"seeds: {text}"))


def in_a_process(program, *arguments):
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout.strip()


BOMBED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from analysis import study
from analysis.errors import RequestError
try: study.load(sys.argv[1])
except RequestError as error: print(error)
"""


def test_a_yaml_bomb_is_refused_in_little_memory(write):
    """Its title is a list of 9⁹ words in a few hundred bytes."""
    pairs = itertools.pairwise("abcdefghi")
    nested = [f"&{outer} [{','.join([f'*{inner}'] * 9)}]" for inner, outer in pairs]
    rest = yaml.safe_dump(changed(tree(), {"title": None}))
    path = write(f"title: [&a [{','.join('x' * 9)}], {', '.join(nested)}]\n{rest}")
    assert re.fullmatch(r"[^\n]{,1000}: title: got [^\n]{,1000}", in_a_process(BOMBED, path))


PLANNED = """
import sys
from pathlib import Path
from analysis import study
from analysis.engine.memo import Memo
from analysis.planning import walk
steps = [step.call for step in walk.steps(study.load("tiny"), Memo(Path(sys.argv[1])))]
once = [call for call in steps if call.step != "prune_allocated"]  # whose levels share a label
assert len({(call.function, call.label) for call in once}) == len(once) > 100
heavy = {"torch", "transformers", "datasets", "evaluate", "numba", "sklearn"}
print(sorted(heavy & set(sys.modules)))
"""


def test_reading_a_study_and_planning_its_grid_imports_nothing_that_computes(tmp_path):
    assert in_a_process(PLANNED, str(tmp_path)) == "[]"
