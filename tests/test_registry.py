"""Methods and tasks are found by their files, by names as people write them."""

from pathlib import Path

import pytest

from analysis import pruning, registry, tasks
from analysis.errors import RequestError

ROOT = Path(__file__).parents[1]
PACKAGES = {"method": pruning.PACKAGE, "task": tasks.PACKAGE}
every_package = pytest.mark.parametrize(("what", "package"), PACKAGES.items())


@every_package
def test_there_is_a_name_for_every_file_and_no_other(what, package):
    folder = ROOT.joinpath(*package.split("."))
    stems = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in registry.names(package)} == stems
    assert registry.names(package) == sorted(registry.names(package))


@every_package
def test_names_have_hyphens_and_their_modules_underscores(what, package):
    for name in registry.names(package):
        assert "_" not in name
        module = registry.module(package, what, name)
        assert module.__name__ == registry.module_name(package, name)


@every_package
def test_a_file_beginning_with_an_underscore_is_no_entry(what, package):
    assert not any(name.startswith("-") for name in registry.names(package))


@every_package
@pytest.mark.parametrize(
    "wrong", ["", " ", "__init__", "--init--", "../errors", "errors", "os", ".", "magnitude.py"]
)
def test_what_is_no_entry_is_refused_with_what_there_is(what, package, wrong):
    with pytest.raises(RequestError) as caught:
        registry.module(package, what, wrong)
    assert f"unknown {what} {wrong!r}" in str(caught.value)
    assert ", ".join(registry.names(package)) in str(caught.value)


def test_a_near_miss_is_suggested():
    with pytest.raises(RequestError, match="Did you mean 'magnitude-all'"):
        pruning.method("magnitude_all")
    with pytest.raises(RequestError, match="Did you mean 'sentiment'"):
        tasks.task("sentimant")


def test_methods_and_tasks_are_found_through_it():
    assert pruning.method("magnitude").__name__ == "analysis.pruning.methods.magnitude"
    assert pruning.module_name("magnitude-all") == "analysis.pruning.methods.magnitude_all"
    assert tasks.module_name("language-modelling") == "analysis.tasks.benchmarks.language_modelling"
    assert isinstance(tasks.task("sentiment"), tasks.Task)


def test_constants_are_the_modules_own():
    for name in pruning.names():
        found = registry.constants(pruning.PACKAGE, name)
        module = pruning.method(name)
        assert found.items() <= vars(module).items()
        assert found["KIND"] == module.KIND


def test_who_changes_the_constants_changes_them_for_nobody_else():
    registry.constants(pruning.PACKAGE, "magnitude")["KIND"] = "other"
    assert registry.constants(pruning.PACKAGE, "magnitude")["KIND"] == "weights" != "other"


def test_a_module_that_is_missing_is_not_remembered_as_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "registry.py"))
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            registry.constants("analysis.late", "new-one")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "new_one.py").write_text('TITLE = "late"\nOTHER = [1]\n')
    assert registry.constants("analysis.late", "new-one") == {"TITLE": "late"}
