"""LoanBook: what it refuses, and its quantities at given prices."""

import numpy as np
import pytest

from agents.populations.book import LoanBook
from sim.errors import InputError

ASSETS = ("WETH", "USDC")
PRICES = np.array([2000.0, 1.0])
THRESHOLDS = np.array([0.8, 0.9])


def book(
    collateral=((1.0, 0.0), (1.0, 1000.0), (3.0, 0.0)),
    debt=((0.0, 1600.0), (0.0, 1000.0), (0.0, 0.0)),
):
    return LoanBook(ASSETS, np.array(collateral), np.array(debt), np.array(["ann", "bob", "cy"]))


def test_quantities_equal_hand_arithmetic():
    b = book()
    assert b.collateral_usd(PRICES).tolist() == [2000.0, 3000.0, 6000.0]
    assert b.debt_usd(PRICES).tolist() == [1600.0, 1000.0, 0.0]
    assert b.health_factor(PRICES, THRESHOLDS).tolist() == [1.0, 2.5, np.inf]
    assert b.liquidatable_debt_usd(PRICES, THRESHOLDS) == 0.0
    assert b.liquidatable_debt_usd(PRICES * [0.99, 1.0], THRESHOLDS) == 1600.0


@pytest.mark.parametrize(
    ("collateral", "debt", "sentence"),
    [
        ([[np.nan, 0], [1, 0], [1, 0]], [[0, 0]] * 3, "collateral of position ann in WETH .* nan"),
        ([[1, 0], [1, 0], [1, 0]], [[0, 0], [0, -2], [0, 0]], "debt of position bob in USDC .* -2"),
        ([[1, 0], [np.inf, 0], [1, 0]], [[0, 0]] * 3, "collateral of position bob .* inf"),
        (
            [[1, 0], [1, 0], [0, 0]],
            [[0, 0], [0, 0], [0, 7]],
            "cy owes 7 USDC and has no collateral",
        ),
        ([[1, 0], [1, 0]], [[0, 0]] * 3, "one row per id"),
    ],
)
def test_bad_values_name_the_position(collateral, debt, sentence):
    with pytest.raises(InputError, match=sentence):
        book(np.array(collateral, float), np.array(debt, float))


def test_unknown_asset_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown asset LUNA; this book knows WETH, USDC"):
        book().asset_index("LUNA")
    with pytest.raises(InputError, match="USDC, an unknown asset; the market knows WETH, WBTC"):
        book().aligned(("WETH", "WBTC"))


def test_aligning_concatenating_and_taking_keep_every_position():
    b = book()
    wide = b.aligned(("USDC", "WBTC", "WETH"))
    assert wide.collateral[1].tolist() == [1000.0, 0.0, 1.0]
    both = LoanBook.concat([b, b.take(np.array([2, 0]))])
    assert both.ids.tolist() == ["ann", "bob", "cy", "cy", "ann"]
    assert both.debt[4, 1] == 1600.0
    with pytest.raises(InputError, match="same assets"):
        LoanBook.concat([b, wide])
