"""Methods and tasks are found by their files; what is not found is an error of one line."""

from pathlib import Path

import pytest

from analysis import pruning, tasks
from analysis.engine import registry
from analysis.errors import AnalysisError, MachineError, RequestError, RunError, unknown

ROOT = Path(__file__).parents[1]
PACKAGES = {"method": pruning.PACKAGE, "task": tasks.PACKAGE}


def test_an_error_is_one_printable_line_and_has_an_exit_status_of_its_kind():
    assert str(AnalysisError("a\n  b\tc\r\nd \x1b[2J")) == r"a b c d \x1b[2J"
    assert RequestError("x").exit_status == 2
    assert RunError("x").exit_status == MachineError("x").exit_status == 1
    assert isinstance(MachineError("x"), RunError)


def test_an_unknown_name_lists_what_is_allowed_in_order_and_what_is_near():
    both = "unknown fruit 'aple'. Did you mean 'apple'? Allowed: apple, pear."
    assert unknown("fruit", "aple", ["pear", "apple"]) == both
    assert unknown("fruit", "zzz", ["pear"]) == "unknown fruit 'zzz'. Allowed: pear."
    assert unknown("fruit", "zzz", []) == "unknown fruit 'zzz'. Allowed: none."


@pytest.mark.parametrize("what", PACKAGES)
def test_there_is_a_name_with_hyphens_for_every_file_and_no_other(what):
    package = PACKAGES[what]
    stems = {path.stem for path in ROOT.joinpath(*package.split(".")).glob("*.py")} - {"__init__"}
    names = registry.names(package)
    assert names == sorted(stem.replace("_", "-") for stem in stems)
    for name in names:
        found = registry.module(package, what, name).__name__
        assert found == registry.module_name(package, name) == f"{package}.{name.replace('-', '_')}"
    odd = ("__init__", "--init--", "../errors", "errors", "os", ".", "", " ")
    for wrong in (f"{names[0]}.py", *odd):
        with pytest.raises(RequestError) as caught:
            registry.module(package, what, wrong)
        assert f"unknown {what} {wrong!r}" in str(caught.value)
        assert ", ".join(names) in str(caught.value)


def test_constants_are_the_modules_own_and_nobody_changes_them_for_others():
    for name in pruning.names():
        found, module = registry.constants(pruning.PACKAGE, name), pruning.method(name)
        assert found.items() <= vars(module).items()
        assert found["KIND"] == module.KIND
        found["KIND"] = "other"
        assert registry.constants(pruning.PACKAGE, name)["KIND"] == module.KIND != "other"
