"""What sets each mechanism apart, in numbers that its documentation states."""

from typing import Any

import numpy as np
import pytest

from sim.actions import Reject, Verb
from sim.lending.comet import CometCollateral, CometParams
from sim.lending.comet_market import CometMarket
from sim.lending.compound_v2 import CompoundReserve, CompoundV2Market, CompoundV2Params
from sim.lending.euler import EulerMarket, EulerParams, EulerVault
from sim.lending.market import LendingMarket
from sim.lending.morpho import MorphoMarket, MorphoParams, curve, distance, incentive_factor
from sim.lending.positions import restated

WETH, USDC = 0, 1
LIQUIDATOR = 3
BORROWER = 1


def seated(stand_in: Any, market: LendingMarket, debt: float = 15_000.0) -> Any:
    """A world with 10 ether of collateral against dollars, and a rich liquidator."""
    world = stand_in(1, assets=("WETH", "USDC"), prices=(2000.0, 1.0))
    market.add_positions("lenders", np.array([[0.0, 100_000.0]]), np.zeros((1, 2)))
    market.add_positions("borrowers", np.array([[10.0, 0.0]]), np.array([[0.0, debt]]))
    world.seat(market)
    world.ledger.endow(LIQUIDATOR, USDC, 1e6)
    return world


def call(world: Any, market: LendingMarket, amount: float = np.inf) -> Any:
    return world.act(
        market, Verb.LIQUIDATE, account=LIQUIDATOR, target=BORROWER, asset=WETH, asset_2=USDC,
        amount=amount,
    )  # fmt: skip


# -- Compound v2 ----------------------------------------------------------------------------------


def test_compound_repays_half_and_seizes_108_percent(stand_in: Any) -> None:
    reserves = dict.fromkeys(("WETH", "USDC"), CompoundReserve(collateral_factor=0.75))
    market = CompoundV2Market(CompoundV2Params(reserves=reserves))
    world = seated(stand_in, market)
    world.oracle_price[:, WETH] = 1900.0
    assert call(world, market, 7_501.0)["code"] == Reject.TOO_MUCH_REPAID
    row = call(world, market)
    seized = 7_500.0 * 1.08 / 1900.0
    assert row["r0"] == 7_500.0
    np.testing.assert_allclose([row["r1"], row["r2"]], [seized * 0.972, seized * 0.028])
    assert market.state.reserves["surplus"][0, WETH] == pytest.approx(seized * 0.028)
    assert world.act(market, Verb.FLASH_BORROW, asset=USDC)["code"] == Reject.UNKNOWN_VERB


def test_compound_keeps_the_exchange_rate_as_its_index(stand_in: Any) -> None:
    reserves = dict.fromkeys(("WETH", "USDC"), CompoundReserve())
    market = CompoundV2Market(CompoundV2Params(reserves=reserves))
    world = seated(stand_in, market)
    world.block_seconds = 86_400.0
    for _ in range(200):
        market.accrue()
    reserve = market.state.reserves[0, USDC]
    cash = float(world.ledger.balances[0, 0, USDC])
    borrows = float(market.borrowed()[0, USDC])
    rate = (cash + borrows - reserve["surplus"]) / reserve["total_collateral"]  # exchangeRate
    assert reserve["liquidity_index"] == pytest.approx(rate, rel=1e-12)
    assert rate > 1.0


# -- Compound III ---------------------------------------------------------------------------------


def comet(**terms: Any) -> CometMarket:
    collateral = CometCollateral(liquidation_factor=0.9)
    return CometMarket(CometParams(collaterals={"WETH": collateral}, **terms))


def test_reserves_pay_go_negative_and_recover(stand_in: Any) -> None:
    market = comet(target_reserves=500.0)
    world = seated(stand_in, market)
    absorb = {"verb": Verb.ABSORB, "account": LIQUIDATOR, "target": BORROWER}
    assert world.act(market, **absorb)["code"] == Reject.HEALTHY
    world.oracle_price[:, WETH] = 1675.0  # 16,750 × 0.895 < 15,000 < 16,750 × 0.9
    row = world.act(market, **absorb)
    credited = 16_750.0 * 0.9 - 15_000.0
    assert row["r0"] == pytest.approx(15_000.0 + credited)
    assert row["r1"] == pytest.approx(credited)
    assert row["r3"] == 0.0
    assert market.reserves()[0] == pytest.approx(-15_000.0 - credited)
    assert market.supplied()[0, USDC] == pytest.approx(100_000.0 + credited)
    buy = {"verb": Verb.BUY_COLLATERAL, "account": LIQUIDATOR, "asset": WETH}
    row = world.act(market, **buy, amount=1_000.0)
    assert row["r1"] == pytest.approx(1_000.0 / (1675.0 * 0.95))  # half of the penalty of 10%
    refused = world.act(market, **buy, amount=1_000.0, limit=1.0)
    assert refused["code"] == Reject.LIMIT_NOT_MET
    assert world.act(market, **buy, amount=1e5)["code"] == Reject.NOT_FOR_SALE
    world.act(market, **buy)
    assert market.reserves()[0] == pytest.approx(16_750.0 * 0.95 - 15_000.0 - credited)
    assert market.reserves()[0] > 500.0
    assert world.act(market, **buy)["code"] == Reject.NOT_FOR_SALE


def test_a_balance_is_supply_or_debt(stand_in: Any) -> None:
    market = comet()
    world = seated(stand_in, market, debt=5_000.0)
    world.ledger.endow(2, USDC, 6_000.0)
    mine = {"account": 2, "target": BORROWER, "asset": USDC}
    row = world.act(market, Verb.SUPPLY, amount=5_500.0, **mine)
    assert row["r0"] == pytest.approx(5_500.0)
    assert market.state.debt[0, BORROWER, USDC] == 0.0
    assert market.state.collateral[0, BORROWER, USDC] == pytest.approx(500.0)
    assert world.act(market, Verb.BORROW, amount=200.0, **mine)["code"] == Reject.OTHER_DEBT
    assert world.act(market, Verb.WITHDRAW, **mine)["code"] == Reject.OK
    assert world.act(market, Verb.BORROW, amount=99.0, **mine)["code"] == Reject.BELOW_MINIMUM
    assert world.act(market, Verb.BORROW, amount=100.0, **mine)["code"] == Reject.OK
    assert world.act(market, Verb.BORROW, amount=1.0, **mine)["code"] == Reject.OK


# -- Morpho Blue ----------------------------------------------------------------------------------


def test_morpho_liquidates_all_at_once(stand_in: Any) -> None:
    market = MorphoMarket(MorphoParams(lltv=0.86))
    world = seated(stand_in, market)
    world.oracle_price[:, WETH] = 1700.0
    row = call(world, market)
    assert row["r0"] == pytest.approx(15_000.0)
    assert row["r1"] == pytest.approx(15_000.0 * incentive_factor(0.86) / 1700.0)
    assert market.state.debt[0, BORROWER, USDC] == 0.0
    assert market.state.collateral[0, BORROWER, WETH] > 0.0


def test_morphos_rate_adapts_towards_its_target(stand_in: Any) -> None:
    """Four times the target at full utilisation, a quarter at none; e-fold in a fiftieth year."""
    assert curve(0.04, distance(1.0)) == pytest.approx(0.16)
    assert curve(0.04, distance(0.9)) == pytest.approx(0.04)
    assert curve(0.04, distance(0.0)) == pytest.approx(0.01)
    market = MorphoMarket(MorphoParams())
    world = seated(stand_in, market)
    world.act(market, Verb.WITHDRAW, account=1, target=0, asset=USDC)
    world.block_seconds = 86_400.0
    for _ in range(10):
        market.accrue()
    target = float(market.state.reserves["base_rate"][0, USDC])
    assert target == pytest.approx(0.04 * np.exp(50.0 * 10.0 / 365.0), rel=1e-9)


# -- Euler v2 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "discount"), [(1800.0, 1.0 - 15_300.0 / 15_500.0), (1400.0, 0.15)]
)
def test_eulers_discount_is_the_shortfall_up_to_its_cap(
    stand_in: Any, price: float, discount: float
) -> None:
    vaults = dict.fromkeys(("WETH", "USDC"), EulerVault())
    market = EulerMarket(EulerParams(vaults=vaults))
    world = seated(stand_in, market, debt=15_500.0)
    world.oracle_price[:, WETH] = price
    row = call(world, market, 1_000.0)
    assert row["r1"] == pytest.approx(1_000.0 / (1.0 - discount) / price, rel=1e-9)


# -- books ----------------------------------------------------------------------------------------


def test_a_restated_book_is_worth_the_same() -> None:
    prices = np.array([2000.0, 40_000.0, 1.0])
    amounts = np.array([[1.0, 0.5, 100.0], [0.0, 0.0, 0.0], [0.0, 0.0, 7.0]])
    made = restated(amounts, prices, [0, 1])
    np.testing.assert_allclose(made @ prices, amounts @ prices)
    np.testing.assert_array_equal(made[:, 2], 0.0)
    np.testing.assert_array_equal(made[:, 1], amounts[:, 1])
    assert amounts[0, 2] == 100.0
