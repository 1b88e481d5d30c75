"""Errors are one line, and say what is near."""

from hypothesis import given
from hypothesis import strategies as st

from analysis import pruning
from analysis.errors import AnalysisError, MachineError, RequestError, RunError, unknown


def test_an_error_is_one_line_whatever_its_words():
    assert str(AnalysisError("a\n  b\tc\r\nd")) == "a b c d"


def test_a_wrong_request_and_a_failed_run_have_their_own_exit_status():
    assert RequestError("x").exit_status == 2
    assert RunError("x").exit_status == MachineError("x").exit_status == 1
    assert isinstance(MachineError("x"), RunError)


def test_an_unknown_name_lists_what_is_allowed_in_order():
    assert unknown("fruit", "aple", ["pear", "apple"]) == (
        "unknown fruit 'aple'. Did you mean 'apple'? Allowed: apple, pear."
    )


def test_an_unknown_name_far_from_all_gets_no_suggestion():
    assert unknown("fruit", "zzz", ["pear"]) == "unknown fruit 'zzz'. Allowed: pear."
    assert unknown("fruit", "zzz", []) == "unknown fruit 'zzz'. Allowed: none."


@given(st.sampled_from(sorted(pruning.names())), st.integers(0, 100))
def test_one_letter_missing_suggests_the_method(name, position):
    cut = position % len(name)
    typo = name[:cut] + name[cut + 1 :]
    if typo not in pruning.names():
        assert "Did you mean" in unknown("method", typo, pruning.names())
