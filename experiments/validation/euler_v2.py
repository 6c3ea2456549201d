"""Euler v2: maximum liquidation."""

from collections.abc import Iterator
from typing import Any

from experiments.validation.check import Check, number, numbers
from sim.lending.euler import maximum_liquidation

WAD = 10**18


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Discount factor, repayment and yield of every row."""
    scale = int(document.get("CONFIG_SCALE", 10_000))
    for i, row in enumerate(document.get("rows", ())):
        fields = ("collateralAdjustedValue", "liabilityValue", "liability", "collateralBalance",
                  "collateralValue")  # fmt: skip
        discount = number(row["maxLiquidationDiscountBps"], scale)
        adjusted, value, liability, held, held_value = numbers(row, fields, WAD)
        factor, repay, seized = maximum_liquidation(
            adjusted, value, liability, held, held_value, discount
        )
        name = f"rows[{i}]"
        yield Check(row=name, quantity="discountFactor", got=factor, unit=WAD,
                    expected=row["discountFactor"])  # fmt: skip
        for quantity, got in (("maxRepay", repay), ("maxYield", seized)):
            yield Check(
                row=name, quantity=quantity, got=got, expected=row[quantity], kind="amount",
                unit=WAD,
            )  # fmt: skip
