"""Claims about numbers in sentences: two that differ never read alike, and counts agree with their nouns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_port.mistakes.numbers import apart, counted, ratio, rounding_words

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@given(FINITE, FINITE)
def test_numbers_that_differ_are_printed_apart(a: float, b: float) -> None:
    """However close two numbers are, and alike only where they are."""
    told = apart(a, b)
    assert (told[0] == told[1]) == (a == b)


@pytest.mark.parametrize(
    ("values", "told"),
    [((0.373, 0.37275), ("0.373", "0.37275")), ((25.0, 0.0), ("25", "0")), ((1.0, 1.0000001), ("1", "1.0000001"))],
)
def test_numbers_have_the_digits_they_need(values: tuple[float, ...], told: tuple[str, ...]) -> None:
    """As few as a person would write, as many as it takes."""
    assert apart(*values) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (4.0, "4.00"),
        (0.74, "0.74"),
        (0.373 / 0.37275, "1.00067"),
        (1.0, "1.00"),
        (0.0025, "0.0025"),
        (57.29577951, "57.30"),
        (-1.0, "-1.00"),
        (123456.0, "1.23e+05"),
        (float("inf"), "inf"),
    ],
)
def test_a_factor_never_reads_one_or_zero_unless_it_is(value: float, told: str) -> None:
    """Two decimals where they say enough."""
    assert ratio(value) == told


@given(st.floats(0.5, 2.0).filter(lambda value: value != 1.0))
def test_a_factor_that_is_not_one_does_not_read_so(value: float) -> None:
    """A scale of 0.373 against 0.37275 is not scaled 1.00."""
    assert float(ratio(value)) != 1.0


@pytest.mark.parametrize(
    ("stated", "true", "words"),
    [
        ([0.373, 0.249], [0.3727530387, 0.2485020258], ": the contract has them rounded to 3 decimals"),
        ([0.373], [0.3727530387], ": the contract has it rounded to 3 decimals"),
        ([0.25], [0.5], ""),
        ([0.25, 0.373], [0.5, 0.3727530387], ""),
        ([0.373], [0.373], ""),
        ([], [], ""),
    ],
)
def test_a_rounding_is_said_where_it_is_one(stated: list[float], true: list[float], words: str) -> None:
    """Every number that differs has to be the rounding of what it should be."""
    assert rounding_words(stated, true) == words


def test_counts_agree_with_their_nouns() -> None:
    """One walk, no walks, two entries."""
    assert (counted(1, "walk"), counted(0, "walk"), counted(2, "entry", "entries")) == (
        "1 walk",
        "0 walks",
        "2 entries",
    )
