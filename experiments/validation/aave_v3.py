"""Aave v3: rates, interest of both versions, fixed-point arithmetic and whole liquidation calls.

A liquidation scenario is played through the venue: one position with the row's balances, its
average threshold and its bonus, and one row LIQUIDATE. What a position holds and owes beyond the
two assets of the row stands in a third one.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from experiments.validation.alone import Alone
from experiments.validation.check import Check, integer, number, numbers
from sim.actions import Reject, Verb
from sim.lending.liquidation import available_collateral
from sim.lending.pooled import PooledMarket, PooledParams, ReserveParams
from sim.lending.rates import (
    binomial_interest,
    borrow_rate,
    compounded_interest,
    linear_interest,
    liquidity_rate,
    utilisation,
)

RAY, WAD, BPS, BASE = 10**27, 10**18, 10**4, 10**8
LENT = 1e9  # whole tokens that others supply in each debt asset
LIQUIDATOR = 3
REVERTS = {"ok": Reject.OK, "revert:0x930bb771": Reject.HEALTHY,
           "revert:0xb629b0e4": Reject.LEAVES_DUST}  # fmt: skip
EVERYTHING = 2**255  # an amount beyond it asks for all


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every row of every block that the document has."""
    for i, row in enumerate(document.get("rates", ())):
        yield from _rates(f"rates[{i}]", row)
    for i, row in enumerate(document.get("interest", ())):
        yield from _interest(f"interest[{i}]", row)
    for i, row in enumerate(document.get("interest_legacy_v3_0", {}).get("rows", ())):
        rate, seconds = number(row["rateRay"], RAY), number(row["dt"])
        yield Check(
            row=f"interest_legacy_v3_0[{i}]",
            quantity="compoundedRay",
            got=binomial_interest(rate, seconds),
            expected=row["compoundedRay"],
            unit=RAY,
        )
    for i, row in enumerate(document.get("math", ())):
        yield from _math(f"math[{i}]", row)
    block = "calculateAvailableCollateralToLiquidate"
    for i, row in enumerate(document.get(block, ())):
        yield from _available(f"{block}[{i}]", row)
    third = re.search(r"WBTC (\d+)dec \$(\d+)", str(document.get("version", "")))
    decimals, price = (int(third[1]), int(third[2])) if third else (0, 1)
    for i, row in enumerate(document.get("liquidation_scenarios", ())):
        name = f"liquidation_scenarios[{i}] {row['name']}"
        yield from Scenario(name, row, price, 10**decimals).checks()


def _rates(name: str, row: dict[str, str]) -> Iterator[Check]:
    """Borrow and supply rate of one state of a reserve."""
    used = utilisation(number(row["totalDebt"]), number(row["virtualBalance"]))
    fields = ("baseBps", "slope1Bps", "slope2Bps", "optimalUsageBps", "reserveFactorBps")
    base, slope_1, slope_2, optimal, factor = numbers(row, fields, BPS)
    rate = borrow_rate(used, base, slope_1, slope_2, optimal)
    supply = liquidity_rate(rate, used, factor)
    # utilisation itself is an integer of 27 digits, whose last the slopes multiply
    units = 10.0 + 2.0 * (slope_1 / optimal + slope_2 / (1.0 - optimal))
    for quantity, got in (("variableBorrowRateRay", rate), ("liquidityRateRay", supply)):
        yield Check(
            row=name, quantity=quantity, got=got, expected=row[quantity], unit=RAY, units=units
        )


def _interest(name: str, row: dict[str, str]) -> Iterator[Check]:
    """Growth of debt and of supply."""
    rate, seconds = number(row["rateRay"], RAY), number(row["dt"])
    growths = (
        ("compoundedRay", compounded_interest(rate, seconds)),
        ("linearRay", linear_interest(rate, seconds)),
    )
    for quantity, got in growths:
        yield Check(row=name, quantity=quantity, got=got, expected=row[quantity], unit=RAY)


def _math(name: str, row: dict[str, str]) -> Iterator[Check]:
    """Fixed-point products and quotients are what float64 does, to the last integer.

    A field says its operation: `rayMul`, `wadDiv`, `percentMulCeil`, ...
    """
    a = number(row["a"])
    for field, expected in row.items():
        kind = re.fullmatch(r"(ray|wad|percent)(Mul|Div)(Floor|Ceil)?", field)
        if kind is None:
            continue
        unit = {"ray": RAY, "wad": WAD, "percent": BPS}[kind[1]]
        factor = number(row["bps" if kind[1] == "percent" else "b"], unit)
        got = a * factor if kind[2] == "Mul" else a / factor
        yield Check(row=name, quantity=field, got=got, expected=expected)


def _available(name: str, row: dict[str, str]) -> Iterator[Check]:
    """Collateral that a repayment buys."""
    unit, debt_unit = integer(row["collateralUnit"]), integer(row["debtUnit"])
    received, needed, fee = available_collateral(
        number(row["collateralPrice8"], BASE),
        number(row["debtPrice8"], BASE),
        number(row["debtToCover"], debt_unit),
        number(row["borrowerCollateralBalance"], unit),
        number(integer(row["liquidationBonusBps"]) - BPS, BPS),
        number(row["liqProtocolFeeBps"], BPS),
    )
    found = (
        ("collateralToLiquidator", received, unit),
        ("debtNeeded", needed, debt_unit),
        ("protocolFeeCollateral", fee, unit),
    )
    for quantity, got, per_token in found:
        yield Check(
            row=name, quantity=quantity, got=got, expected=row[quantity], kind="amount",
            unit=per_token,
        )  # fmt: skip


class Scenario:
    """One liquidation call, set up as a market of one world.

    Parameters
    ----------
    name : str
    row : dict
    price, unit : int
        USD per whole token of the third asset, and its smallest units per token.
    """

    def __init__(self, name: str, row: dict[str, str], price: int, unit: int) -> None:
        self.name, self.row, self.third_unit = name, row, unit
        self.unit = 10 ** int(row["collDecimals"])
        self.debt_unit = 10 ** int(row["debtDecimals"])
        prices = [number(row["collPrice8"], BASE), number(row["debtPrice8"], BASE), float(price)]
        accounts = ("market", "lenders", "borrowers", "liquidator")
        self.world = Alone(("COLL", "DEBT", "OTHER"), prices, accounts)
        held = Fraction(integer(row["before_collBalance"]), self.unit)
        owed = Fraction(integer(row["before_debtBalance"]), self.debt_unit)
        index = number(row["before_debtVariableIndex"], RAY)
        collateral_index = number(row["before_collLiquidityIndex"], RAY)
        reserve = ReserveParams(
            ltv=number(row["before_avgLTV"], BPS),
            liquidation_threshold=number(row["before_avgLT"], BPS),
            liquidation_bonus=number(integer(row["liquidationBonusBps"]) - BPS, BPS),
            protocol_fee=number(row["liqProtocolFeeBps"], BPS),
        )
        market = PooledMarket(PooledParams(reserves=dict.fromkeys(self.world.assets, reserve)))
        market.add_positions("lenders", np.array([[0.0, LENT, LENT]]), np.zeros((1, 3)))
        # a difference under one dollar is the contract's rounding of values to 1e-8 USD
        others = [
            float(rest / price) if rest > 1 else 0.0
            for rest in (
                Fraction(integer(row["before_totalCollateralBase"]), BASE)
                - held * Fraction(prices[0]),
                Fraction(integer(row["before_totalDebtBase"]), BASE) - owed * Fraction(prices[1]),
            )
        ]
        market.add_positions(
            "borrowers",
            np.array([[float(held / Fraction(collateral_index)), 0.0, others[0]]]),
            np.array([[0.0, float(owed / Fraction(index)), others[1]]]),
        )
        self.market = self.world.seat(market)
        market.state.reserves["borrow_index"][:, 1] = index
        market.state.reserves["liquidity_index"][:, 0] = collateral_index
        self.world.ledger.endow(0, 0, float(held) * (1.0 - 1.0 / collateral_index))
        self.world.ledger.endow(LIQUIDATOR, 1, LENT)

    def checks(self) -> Iterator[Check]:
        """Position before, outcome of the call, position after."""
        yield from self._position("before")
        asked = integer(self.row["debtToCoverInput"])
        amount = number(asked, self.debt_unit) if asked < EVERYTHING else np.inf
        outcome = self.world.act(
            self.market, Verb.LIQUIDATE, account=LIQUIDATOR, target=1, asset=0, asset_2=1,
            amount=amount,
        )  # fmt: skip
        yield from self._outcome(outcome)
        yield from self._position("after")

    def _check(self, quantity: str, got: float, unit: int, units: float = 3.0) -> Check:
        """One amount."""
        return Check(
            row=self.name, quantity=quantity, got=got, expected=self.row[quantity],
            kind="amount", unit=unit, units=units,
        )  # fmt: skip

    def _position(self, when: str) -> Iterator[Check]:
        """Balances, totals and health of the position."""
        state, row = self.market.state, self.row
        reserves = state.reserves[0]
        held = state.collateral[0, 1] * reserves["liquidity_index"]
        owed = state.debt[0, 1] * reserves["borrow_index"]
        prices = self.world.oracle_price[0]
        yield self._check(f"{when}_collBalance", held[0], self.unit)
        yield self._check(f"{when}_debtBalance", owed[1], self.debt_unit)
        # the contract rounds each asset's value up to two units of 1e-8 USD, and a balance that is
        # off by three of its smallest units is off by their value
        base = 4 + 3 * BASE * max(prices[0] / self.unit, prices[1] / self.debt_unit)
        yield self._check(f"{when}_totalCollateralBase", float(held @ prices), BASE, base)
        yield self._check(f"{when}_totalDebtBase", float(owed @ prices), BASE, base)
        health = self.market.health_factors()[0, 1]
        field = f"{when}_healthFactor"
        if integer(row[f"{when}_totalDebtBase"]) == 0:
            yield Check(row=self.name, quantity=field, got=health, expected=np.inf, kind="exact")
            return
        # three smallest units of either balance, a WBTC's being 1e-8, move health by this much
        balances = [integer(row[f"{when}_{side}Balance"]) for side in ("coll", "debt")]
        tolerance = max(1e-9, sum(3 / balance for balance in balances if balance))
        yield Check(
            row=self.name, quantity=field, got=health, expected=row[field], unit=WAD,
            tolerance=tolerance,
        )  # fmt: skip

    def _outcome(self, outcome: Any) -> Iterator[Check]:
        """Branch, amounts paid and the deficit that is booked."""
        row = self.row
        result = REVERTS.get(row["result"], row["result"])
        yield Check(
            row=self.name, quantity="result", got=Reject(outcome["code"]).name,
            expected=result.name if isinstance(result, Reject) else result, kind="exact",
        )  # fmt: skip
        if outcome["code"] != Reject.OK:
            return
        yield self._check("liquidatorCollateralReceived", outcome["r1"], self.unit)
        yield self._check("liquidatorDebtPaid", outcome["r0"], self.debt_unit)
        yield self._check("treasuryATokenFee", outcome["r2"], self.unit)
        deficits = self.market.state.reserves[0]["deficit"]
        yield self._check("debtReserveDeficit", deficits[1], self.debt_unit)
        if (
            self.third_unit > 1
            and "wbtcDeficit" in row
            and "WBTC" not in (row["coll"], row["debt"])
        ):
            yield self._check("wbtcDeficit", deficits[2], self.third_unit)
