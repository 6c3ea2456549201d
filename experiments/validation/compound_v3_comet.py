"""Compound III: rates per second, absorption, and the store front's quotes.

A liquidation is played through the venue: one account with the row's collateral and debt, lenders
who supply what the row's utilisation says, the reserves as they stood, and one row ABSORB.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from experiments.validation.alone import Alone
from experiments.validation.check import Check, integer, number
from sim.actions import Reject, Verb
from sim.lending.comet import (
    BORROW_CURVE,
    SUPPLY_CURVE,
    CometCollateral,
    CometParams,
    per_second,
    quote_collateral,
)
from sim.lending.comet_market import CometMarket
from sim.lending.health import position_values
from sim.lending.rates import kinked_rate

WAD, BASE_UNIT, PRICE_UNIT = 10**18, 10**6, 10**8
BASE = "BASE"
BASE_PRICE = 1.0  # USD; the rows give prices of collateral only
CURVES = {"supply": ("sb", "sl", "sh", "sk"), "borrow": ("bb", "bl", "bh", "bk")}


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every case: its rates, then its liquidations, each with its quotes."""
    for i, case in enumerate(document.get("cases", ())):
        config = case["config"]
        for k, row in enumerate(case.get("rates", ())):
            yield from _rates(f"cases[{i}].rates[{k}]", config, row)
        for k, row in enumerate(case.get("liquidations", ())):
            name = f"cases[{i}].liquidations[{k}]"
            yield from Liquidation(name, config, case["assets"], row).checks()


def _rates(name: str, config: dict[str, str], row: dict[str, str]) -> Iterator[Check]:
    """Both rates at one utilisation."""
    used = number(row["utilization"], WAD)
    for side, keys in CURVES.items():
        base, low, high, kink = (number(config[key], WAD) for key in keys)
        got = kinked_rate(used, per_second(base), per_second(low), per_second(high), kink)
        quantity = f"{side}RatePerSec"
        # each of two products is cut to 18 decimals
        yield Check(row=name, quantity=quantity, got=got, expected=row[quantity], unit=WAD, units=2)


class Liquidation:
    """One absorption, set up as a market of one world."""

    def __init__(
        self, name: str, config: dict[str, str], assets: list[dict[str, Any]], row: dict[str, Any]
    ) -> None:
        self.name, self.row, self.assets = name, row, assets
        self.store_front = number(config["sf"], WAD)
        self.factors = [number(asset["liquidationFactor"], WAD) for asset in assets]
        self.units = [10 ** int(asset["decimals"]) for asset in assets]
        symbols = [asset["symbol"] for asset in assets]
        self.prices = [number(row["prices8"][symbol], PRICE_UNIT) for symbol in symbols]
        curves = {
            field: number(config[key], WAD)
            for names, keys in ((SUPPLY_CURVE, "supply"), (BORROW_CURVE, "borrow"))
            for field, key in zip(names, CURVES[keys], strict=True)
        }
        params = CometParams(
            base=BASE,
            collaterals={
                asset["symbol"]: CometCollateral(
                    borrow_factor=number(asset["borrowCF"], WAD),
                    liquidation_collateral_factor=number(asset["liquidateCF"], WAD),
                    liquidation_factor=number(asset["liquidationFactor"], WAD),
                )
                for asset in assets
            },
            store_front_factor=self.store_front,
            target_reserves=number(config["tr"], BASE_UNIT),
            borrow_min=number(config["bm"], BASE_UNIT),
            **curves,
        )
        accounts = ("market", "lenders", "borrowers", "liquidator")
        self.world = Alone([*symbols, BASE], [*self.prices, BASE_PRICE], accounts)
        n = len(symbols)
        held = [number(row[symbol.lower()], unit)
                for symbol, unit in zip(symbols, self.units, strict=True)]  # fmt: skip
        owed = integer(row["borrowBalance"])
        used = Fraction(integer(row["utilization"]), WAD)
        supplied = Fraction(owed, BASE_UNIT) / used if used else Fraction(1)
        market = CometMarket(params)
        none = np.zeros((1, n + 1))
        lent, collateral, debt = none.copy(), none.copy(), none.copy()
        lent[0, n], collateral[0, :n], debt[0, n] = float(supplied), held, owed / BASE_UNIT
        market.add_positions("lenders", lent, none)
        market.add_positions("borrowers", collateral, debt)
        self.market = self.world.seat(market)
        reserves = number(row["reservesBefore"], BASE_UNIT)
        market.state.reserves["surplus"][:, n] = reserves
        self.world.ledger.endow(0, n, reserves)

    def checks(self) -> Iterator[Check]:
        """Account before, absorption, account and reserves after, quotes."""
        row, state, n = self.row, self.market.state, len(self.assets)
        reserve = state.reserves[0, n]
        supplied, borrowed = self.market.supplied()[0, n], self.market.borrowed()[0, n]
        yield Check(
            row=self.name, quantity="utilization", got=borrowed / supplied,
            expected=row["utilization"], unit=WAD,
        )  # fmt: skip
        _, _, power, debt = position_values(state, self.world.oracle_price, 0, 1)
        before = {
            "isLiquidatable": self.market.health_factors()[0, 1] < 1.0,
            "isBorrowCollateralized": power >= debt,
        }
        for quantity, held in before.items():
            yield Check(
                row=self.name, quantity=quantity, got=bool(held), expected=row[quantity],
                kind="exact",
            )  # fmt: skip
        outcome = self.world.act(self.market, Verb.ABSORB, account=3, target=1)
        wanted = Reject.OK if row["isLiquidatable"] else Reject.HEALTHY
        yield Check(
            row=self.name, quantity="absorb", got=Reject(outcome["code"]).name,
            expected=wanted.name, kind="exact",
        )  # fmt: skip
        after = {
            "afterBorrowBalance": state.debt[0, 1, n] * reserve["borrow_index"],
            "afterSupplyBalance": state.collateral[0, 1, n] * reserve["liquidity_index"],
            "reservesAfter": self.market.reserves()[0],
        }
        for quantity, got in after.items():
            if quantity in row:
                yield self._amount(quantity, got, row[quantity], BASE_UNIT)
        for a, asset in enumerate(self.assets):
            symbol = asset["symbol"]
            owned = state.reserves[0, a]["surplus"]
            expected = row.get("collateralReserves", {}).get(symbol)
            if expected is not None:
                yield self._amount(f"collateralReserves {symbol}", owned, expected, self.units[a])
        yield from self._quotes()

    def _quotes(self) -> Iterator[Check]:
        """Compare what base tokens buy of absorbed collateral."""
        places = {asset["symbol"]: a for a, asset in enumerate(self.assets)}
        for quote in self.row.get("quoteCollateral", ()):
            a = places[quote["asset"]]
            got = quote_collateral(
                number(quote["baseAmount"], BASE_UNIT), BASE_PRICE, self.prices[a],
                self.store_front, self.factors[a],
            )  # fmt: skip
            quantity = f"quoteCollateral {quote['asset']} {quote['baseAmount']}"
            yield self._amount(quantity, got, quote["collateral"], self.units[a])

    def _amount(self, quantity: str, got: float, expected: str, unit: int) -> Check:
        return Check(
            row=self.name, quantity=quantity, got=got, expected=expected, kind="amount", unit=unit
        )
