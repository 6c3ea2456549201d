"""Agreement with numbers that Aave's official contracts produced (`aave_v3.json`)."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.actions import Reject, Verb
from sim.lending.liquidation import available_collateral
from sim.lending.pooled import PooledMarket, PooledParams, ReserveParams
from sim.lending.rates import (
    borrow_rate,
    compounded_interest,
    linear_interest,
    liquidity_rate,
    utilisation,
)

RAY = 10**27
REVERTS = {"revert:0x930bb771": Reject.HEALTHY, "revert:0xb629b0e4": Reject.LEAVES_DUST}
WBTC_PRICE = 27000  # of the third asset, where a scenario has one


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Any]:
    path = shared / "vectors" / "aave_v3.json"
    if not path.is_file():
        pytest.skip("no reference vectors: shared/vectors/aave_v3.json is absent")
    return json.loads(path.read_text())


def number(digits: str, unit: int = 1) -> float:
    """Quotient of two integers, rounded once."""
    return float(Fraction(int(digits), unit))


def close(
    got: float, digits: str, unit: int = 1, smallest: int = 3, relative: float = 1e-9
) -> None:
    """Equal to `relative`, or to a few of the integer's smallest units."""
    error = abs(Fraction(got) * unit - int(digits))
    assert error <= max(smallest, relative * int(digits)), (got, digits, unit, float(error))


def test_rates(vectors: dict[str, Any]) -> None:
    for row in vectors["rates"]:
        used = utilisation(float(int(row["totalDebt"])), float(int(row["virtualBalance"])))
        base, slope_1, slope_2, optimal, factor = (
            number(row[k], 10_000)
            for k in ("baseBps", "slope1Bps", "slope2Bps", "optimalUsageBps", "reserveFactorBps")
        )
        rate = borrow_rate(used, base, slope_1, slope_2, optimal)
        # the contract divides utilisation in ray: 1e-27 absolute, whatever the slope makes of it
        close(rate, row["variableBorrowRateRay"], RAY, smallest=1000)
        close(liquidity_rate(rate, used, factor), row["liquidityRateRay"], RAY, smallest=1000)
    assert len(vectors["rates"]) == 54


def test_interest(vectors: dict[str, Any]) -> None:
    for row in vectors["interest"]:
        rate, seconds = number(row["rateRay"], RAY), float(int(row["dt"]))
        close(compounded_interest(rate, seconds), row["compoundedRay"], RAY, relative=1e-15 * 4)
        close(linear_interest(rate, seconds), row["linearRay"], RAY, relative=1e-15 * 4)
    assert len(vectors["interest"]) == 53


def test_fixed_point_is_float_arithmetic(vectors: dict[str, Any]) -> None:
    """The contract's wad, ray and percent operations are what float64 does, to their rounding."""
    for row in vectors["math"]:
        a = float(int(row["a"]))
        if row["op"] == "percent":
            factor = number(row["bps"], 10_000)
            close(a * factor, row["percentMul"], smallest=1)
            if factor > 0.0:
                close(a / factor, row["percentDiv"], smallest=1)
        else:
            b = float(int(row["b"]))
            for unit, name in ((1e27, "ray"), (1e18, "wad")):
                close(a * b / unit, row[f"{name}Mul"], smallest=1)
                if b > 0.0:
                    close(a * unit / b, row[f"{name}Div"], smallest=1)


def test_available_collateral(vectors: dict[str, Any]) -> None:
    for row in vectors["calculateAvailableCollateralToLiquidate"]:
        unit, debt_unit = int(row["collateralUnit"]), int(row["debtUnit"])
        received, needed, fee = available_collateral(
            number(row["collateralPrice8"], 10**8),
            number(row["debtPrice8"], 10**8),
            number(row["debtToCover"], debt_unit),
            number(row["borrowerCollateralBalance"], unit),
            float(Fraction(int(row["liquidationBonusBps"]) - 10_000, 10_000)),
            number(row["liqProtocolFeeBps"], 10_000),
        )
        close(received, row["collateralToLiquidator"], unit)
        close(needed, row["debtNeeded"], debt_unit)
        close(fee, row["protocolFeeCollateral"], unit)
    assert len(vectors["calculateAvailableCollateralToLiquidate"]) == 108


class Scenario:
    """One liquidation call of the reference, set up as a market of one world."""

    def __init__(self, row: dict[str, str], stand_in: Callable[..., Any]) -> None:
        self.row = row
        self.unit = 10 ** int(row["collDecimals"])
        self.debt_unit = 10 ** int(row["debtDecimals"])
        price, debt_price = number(row["collPrice8"], 10**8), number(row["debtPrice8"], 10**8)
        self.world = stand_in(
            1, assets=("COLL", "DEBT", "OTHER"), prices=(price, debt_price, WBTC_PRICE)
        )
        held = Fraction(int(row["before_collBalance"]), self.unit)
        owed = Fraction(int(row["before_debtBalance"]), self.debt_unit)
        total_debt = Fraction(int(row["before_totalDebtBase"]), 10**8)
        total_collateral = Fraction(int(row["before_totalCollateralBase"]), 10**8)
        other_debt = (total_debt - owed * Fraction(debt_price)) / WBTC_PRICE
        other = (total_collateral - held * Fraction(price)) / WBTC_PRICE
        # a difference under one dollar is the contract's rounding of values to 1e-8 USD
        self.other_debt = float(other_debt) if other_debt * WBTC_PRICE > 1 else 0.0
        self.other = float(other) if other * WBTC_PRICE > 1 else 0.0
        threshold, ltv = number(row["before_avgLT"], 10**4), number(row["before_avgLTV"], 10**4)
        reserve = ReserveParams(
            ltv=ltv,
            liquidation_threshold=threshold,
            liquidation_bonus=float(Fraction(int(row["liquidationBonusBps"]) - 10**4, 10**4)),
            protocol_fee=number(row["liqProtocolFeeBps"], 10**4),
        )
        market = PooledMarket(
            PooledParams(reserves={"COLL": reserve, "DEBT": reserve, "OTHER": reserve})
        )
        index = number(row["before_debtVariableIndex"], RAY)
        lent = np.array([[0.0, 1e9, 1e9]])
        market.add_positions("lenders", lent, np.zeros((1, 3)))
        market.add_positions(
            "borrowers",
            np.array([[float(held), 0.0, self.other]]),
            np.array([[0.0, float(owed / Fraction(index)), self.other_debt]]),
        )
        self.market = self.world.seat(market)
        market.state.reserves["borrow_index"][:, 1] = index
        self.world.ledger.endow(3, 1, 1e9)

    def run(self) -> Any:
        asked = int(self.row["debtToCoverInput"])
        amount = float(Fraction(asked, self.debt_unit)) if asked < 2**255 else np.inf
        return self.world.act(
            self.market, Verb.LIQUIDATE, account=3, target=1, asset=0, asset_2=1, amount=amount
        )

    def check_position(self, when: str) -> None:
        """Compare balances, totals and health of the position."""
        state, row = self.market.state, self.row
        reserves = state.reserves[0]
        held = state.collateral[0, 1] * reserves["liquidity_index"]
        owed = state.debt[0, 1] * reserves["borrow_index"]
        prices = self.world.oracle_price[0]
        close(held[0], row[f"{when}_collBalance"], self.unit)
        close(owed[1], row[f"{when}_debtBalance"], self.debt_unit)
        # the contract rounds each asset's value up to two units of 1e-8 USD, and a balance
        # that is off by three of its smallest units is off by their value
        base = 4 + 3 * 10**8 * max(prices[0] / self.unit, prices[1] / self.debt_unit)
        close(float(held @ prices), row[f"{when}_totalCollateralBase"], 10**8, smallest=base)
        close(float(owed @ prices), row[f"{when}_totalDebtBase"], 10**8, smallest=base)
        health = self.market.health_factors()[0, 1]
        if int(row[f"{when}_totalDebtBase"]) == 0:
            assert np.isinf(health)
        else:
            # three smallest units of either balance, WBTC's being 1e-8, move health by this much
            balances = [int(row[f"{when}_{side}Balance"]) for side in ("coll", "debt")]
            units = sum(3 / balance for balance in balances if balance)
            close(health, row[f"{when}_healthFactor"], 10**18, relative=max(1e-9, units))

    def check_outcome(self, outcome: Any) -> None:
        row = self.row
        if row["result"] != "ok":
            assert outcome["code"] == REVERTS[row["result"]], row["name"]
            return
        assert outcome["code"] == Reject.OK, (row["name"], outcome["code"])
        close(outcome["r1"], row["liquidatorCollateralReceived"], self.unit)
        close(outcome["r0"], row["liquidatorDebtPaid"], self.debt_unit)
        close(outcome["r2"], row["treasuryATokenFee"], self.unit)
        deficits = self.market.state.reserves[0]["deficit"]
        close(deficits[1], row["debtReserveDeficit"], self.debt_unit)
        bad = deficits @ self.world.oracle_price[0]
        assert outcome["r3"] == pytest.approx(bad, rel=1e-12, abs=1e-12)
        assert self.market.state.market[0]["bad_debt_usd"] == outcome["r3"]


def test_liquidation_scenarios(vectors: dict[str, Any], stand_in: Callable[..., Any]) -> None:
    """Every full liquidation call, through `execute`."""
    for row in vectors["liquidation_scenarios"]:
        scenario = Scenario(row, stand_in)
        scenario.check_position("before")
        outcome = scenario.run()
        scenario.check_outcome(outcome)
        scenario.check_position("after")
        gap = scenario.market.claims() - scenario.world.ledger.balances[:, 0]
        assert np.abs(gap).max() < 1e-9 * 1e9
    assert len(vectors["liquidation_scenarios"]) == 41


def test_largest_call_is_what_the_reference_took(
    vectors: dict[str, Any], stand_in: Callable[..., Any]
) -> None:
    """Where the reference asked for all, `opportunities` announces what it got."""
    asked = [r for r in vectors["liquidation_scenarios"] if int(r["debtToCoverInput"]) > 2**255]
    assert len(asked) > 20
    for row in asked:
        scenario = Scenario(row, stand_in)
        found = scenario.market.opportunities()
        if row["result"] != "ok":
            assert len(found.position) == 0
        elif scenario.other == 0.0 and scenario.other_debt == 0.0:
            close(found.debt_to_cover[0], row["liquidatorDebtPaid"], scenario.debt_unit)
            close(found.collateral_received[0], row["liquidatorCollateralReceived"], scenario.unit)


def test_decimal_strings_keep_their_digits() -> None:
    assert number("1000000000000000000000000001", RAY) == 1.0
    assert number("3", 10) == 0.3
