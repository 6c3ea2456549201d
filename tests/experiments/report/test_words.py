"""Numbers and sentences as people read them."""

import math

import pytest

from experiments.report import words


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (0.0, "$0"), (0.004, "$0"), (12.345, "$12.3"), (999.94, "$1.00k"), (1234.0, "$1.23k"),
        (-45_600.0, "-$45.6k"), (999_600.0, "$1.00M"), (2.5e9, "$2.50B"), (3.2e12, "$3,200B"),
        (None, "n/a"), (math.nan, "n/a"),
    ],
)  # fmt: skip
def test_money(usd, shown):
    assert words.money(usd) == shown


def test_axis_money_has_no_trailing_zeros():
    assert [words.short_money(x) for x in (0, 1e4, 2.5e6, -1e6, 100.0, 5e8)] == [
        "$0", "$10k", "$2.5M", "-$1M", "$100", "$500M",
    ]  # fmt: skip


def test_percent_and_number():
    assert [words.percent(x) for x in (0.0, 0.00384, 0.042, 0.33, 1.0, -0.5, None)] == [
        "0%", "0.38%", "4.2%", "33.0%", "100%", "-50.0%", "n/a",
    ]  # fmt: skip
    assert [words.number(x) for x in (0, 1.4, 62.44, 123456.7, None)] == [
        "0", "1.4", "62.4", "123,457", "n/a",
    ]  # fmt: skip


def test_plural():
    assert words.plural(1, "world") == "1 world"
    assert words.plural(1000, "world") == "1,000 worlds"
