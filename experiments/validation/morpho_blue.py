"""Morpho Blue: incentive factor, compounding, and the two ways to state a liquidation."""

from collections.abc import Iterator
from typing import Any

from experiments.validation.check import Check, number
from sim.lending.morpho import incentive_factor, repaid_for, seized_for, to_assets, to_shares
from sim.lending.rates import taylor_growth

WAD, PRICE_SCALE = 10**18, 10**36
UNIT = 1.0  # amounts of the rows are in smallest units


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every row of every block that the document has."""
    for i, row in enumerate(document.get("lif", ())):
        got = incentive_factor(number(row["lltv"], WAD))
        yield Check(row=f"lif[{i}]", quantity="LIF", got=got, expected=row["LIF"], unit=WAD)
    for i, row in enumerate(document.get("taylor", ())):
        growth = taylor_growth(number(row["ratePerSec"], WAD) * number(row["dt"]))
        # the contract cuts each of three terms to 18 decimals
        yield Check(
            row=f"taylor[{i}]", quantity="out", got=growth, expected=row["out"], unit=WAD, units=3
        )
    for i, row in enumerate(document.get("liq", ())):
        yield from _liquidation(f"liq[{i}]", row)


def _liquidation(name: str, row: dict[str, str]) -> Iterator[Check]:
    """Amounts of a liquidation in smallest units.

    The contract rounds to whole units of the loan token on the way: three of them are this many
    shares, and as much collateral as the price and the incentive make of them.
    """
    lltv, price = number(row["lltv"], WAD), number(row["price1e36"], PRICE_SCALE)
    assets, shares = number(row["totalBorrowAssets"]), number(row["totalBorrowShares"])
    quantity = number(row["q"])
    factor = incentive_factor(lltv)
    yield Check(row=name, quantity="LIF", got=factor, expected=row["LIF"], unit=WAD)
    repaid = repaid_for(quantity, price, factor)
    repaid_shares = to_shares(repaid, assets, shares, UNIT)
    of_shares = to_assets(quantity, assets, shares, UNIT)
    found = (
        ("seized_q__repaidShares", repaid_shares, 3.0 * to_shares(1.0, assets, shares, UNIT)),
        ("seized_q__repaidAssets", repaid, 3.0),
        ("repaidShares_q__seized", seized_for(of_shares, price, factor), max(3.0, 3.0 / price)),
        ("repaidShares_q__repaidAssets", of_shares, 3.0),
        ("maxBorrow_q", quantity * price * lltv, 3.0),
    )
    for field, got, units in found:
        yield Check(
            row=name, quantity=field, got=got, expected=row[field], kind="amount", units=units
        )
