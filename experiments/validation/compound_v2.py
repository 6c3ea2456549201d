"""Compound v2: jump-rate and white-paper models per block, and what a liquidation seizes."""

import math
from collections.abc import Iterator
from typing import Any

from experiments.validation.check import Check, number, numbers
from sim.lending.compound_v2 import BLOCKS_PER_YEAR, seize, supply_rate, utilisation
from sim.lending.rates import kinked_rate

WAD = 10**18
PROTOCOL_SHARE = 0.028  # in the name of the field
WHITE_PAPER_FACTOR = 10**17  # reserve factor of the white-paper rows, which do not repeat it


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every row of every block that the document has."""
    for i, row in enumerate(document.get("jump", ())):
        yield from _rates(f"jump[{i}]", row, "PerBlock")
    for i, row in enumerate(document.get("whitepaper", ())):
        yield from _rates(f"whitepaper[{i}]", row, "")
    for i, row in enumerate(document.get("seize", ())):
        yield from _seize(f"seize[{i}]", row)


def _rates(name: str, row: dict[str, str], suffix: str) -> Iterator[Check]:
    """Utilisation and both rates per block of one state of a market."""
    cash, borrows, reserves = numbers(row, ("cash", "borrows", "reserves"), WAD)
    used = utilisation(cash, borrows, reserves)
    if "kink" in row:
        fields = ("baseRatePerYear", "multiplierPerYear", "jumpMultiplierPerYear", "kink")
        base, multiplier, jump, kink = numbers(row, fields, WAD)
        yearly = kinked_rate(used, base, multiplier / kink, jump, kink)
    else:
        base, multiplier = numbers(row, ("base", "mul"), WAD)
        yearly = kinked_rate(used, base, multiplier, 0.0, math.inf)
    rate = yearly / BLOCKS_PER_YEAR
    factor = number(row.get("reserveFactor", WHITE_PAPER_FACTOR), WAD)
    found = {
        "utilization": used,
        f"borrowRate{suffix}": rate,
        f"supplyRate{suffix}": supply_rate(rate, used, factor),
    }
    for quantity, got in found.items():
        if quantity in row:
            # base, multiplier and their products are each cut to 18 decimals: three roundings
            yield Check(
                row=name, quantity=quantity, got=got, expected=row[quantity], unit=WAD, units=3
            )


def _seize(name: str, row: dict[str, str]) -> Iterator[Check]:
    """Shares seized; amounts and prices are scaled so that their product is what the chain has."""
    amount, debt_price, price, exchange, incentive = numbers(
        row,
        ("actualRepayAmount", "priceBorrowedMantissa", "priceCollateralMantissa",
         "exchangeRateMantissa", "liquidationIncentiveMantissa"),
    )  # fmt: skip
    seized, kept = seize(
        amount, debt_price / WAD, price / WAD, exchange / WAD, incentive / WAD, PROTOCOL_SHARE
    )
    for quantity, got in (("seizeTokens", seized), ("protocolSeizeShare2_8pct", kept)):
        if quantity in row:
            yield Check(row=name, quantity=quantity, got=got, expected=row[quantity], kind="amount")
