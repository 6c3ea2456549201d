"""Aave's isolation, silos, versions of interest, and frozen and paused reserves."""

from typing import Any

import numpy as np
import pytest

from sim.actions import Reject, Verb
from sim.lending.pooled import PooledMarket, PooledParams, ReserveParams
from sim.lending.rates import binomial_interest, compounded_interest

WETH, ALT, USDC, SILO = range(4)
LENDERS, BORROWERS, LIQUIDATOR = 1, 2, 3
LENDER, ALONE, BOTH, EMPTY = range(4)
PLAIN = {"ltv": 0.75, "liquidation_threshold": 0.8}


def build(stand_in: Any, **market: Any) -> tuple[Any, PooledMarket]:
    """A lender of all, a position with isolated collateral, one with ether, and an empty one."""
    world = stand_in(1, assets=("WETH", "ALT", "USDC", "SILO"), prices=(2000.0, 10.0, 1.0, 5.0))
    reserves = {
        "WETH": ReserveParams(**PLAIN),
        "ALT": ReserveParams(
            ltv=0.5, liquidation_threshold=0.6, isolated=True, debt_ceiling=3_000.0
        ),
        "USDC": ReserveParams(**PLAIN, borrowable_in_isolation=True),
        "SILO": ReserveParams(**PLAIN, siloed=True),
    }
    made = PooledMarket(PooledParams(reserves=reserves, **market))
    made.add_positions("lenders", np.array([[100.0, 0.0, 90_000.0, 900.0]]), np.zeros((1, 4)))
    made.add_positions(
        "borrowers",
        np.array([[0.0, 1000.0, 0.0, 0.0], [10.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
        np.array([[0.0, 0.0, 2_000.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
    )
    world.seat(made)
    for account in (BORROWERS, LIQUIDATOR):
        for asset in range(4):
            world.ledger.endow(account, asset, 1e4)
    return world, made


def code(world: Any, market: PooledMarket, verb: Verb, **fields: Any) -> Reject:
    return Reject(world.act(market, verb, **{"account": BORROWERS, **fields})["code"])


def backed(market: PooledMarket) -> float:
    return float(market.state.reserves["isolated_debt"][0, ALT])


def test_isolated_collateral_stands_alone(stand_in: Any) -> None:
    world, market = build(stand_in)
    supply = {"verb": Verb.SUPPLY, "amount": 1.0}
    assert code(world, market, target=ALONE, asset=WETH, **supply) == Reject.ISOLATED
    assert code(world, market, target=BOTH, asset=ALT, **supply) == Reject.ISOLATED
    assert code(world, market, target=ALONE, asset=ALT, **supply) == Reject.OK
    assert code(world, market, target=BOTH, asset=USDC, **supply) == Reject.OK


def test_isolated_collateral_backs_few_debts_under_a_ceiling(stand_in: Any) -> None:
    world, market = build(stand_in)
    assert backed(market) == 2_000.0  # of the initial book
    borrow = {"verb": Verb.BORROW, "target": ALONE}
    assert code(world, market, asset=WETH, amount=0.1, **borrow) == Reject.ISOLATED
    assert code(world, market, asset=USDC, amount=1_001.0, **borrow) == Reject.CAP_EXCEEDED
    assert code(world, market, asset=USDC, amount=600.0, **borrow) == Reject.OK
    row = world.act(market, Verb.BORROW, account=BORROWERS, target=ALONE, asset=USDC)
    assert row["code"] == Reject.OK
    assert row["r0"] == pytest.approx(400.0)
    assert backed(market) == pytest.approx(3_000.0)
    assert code(world, market, asset=USDC, **borrow) == Reject.CAP_EXCEEDED
    assert code(world, market, Verb.REPAY, target=ALONE, asset=USDC, amount=500.0) == Reject.OK
    assert backed(market) == pytest.approx(2_500.0)
    assert code(world, market, target=BOTH, verb=Verb.BORROW, asset=WETH, amount=1.0) == Reject.OK


def test_a_liquidation_frees_the_ceiling(stand_in: Any) -> None:
    world, market = build(stand_in)
    world.oracle_price[:, ALT] = 3.0
    row = world.act(
        market, Verb.LIQUIDATE, account=LIQUIDATOR, target=ALONE, asset=ALT, asset_2=USDC
    )
    assert row["code"] == Reject.OK
    assert backed(market) == pytest.approx(2_000.0 - row["r0"])


def test_siloed_debt_stands_alone(stand_in: Any) -> None:
    world, market = build(stand_in)
    borrow = {"verb": Verb.BORROW, "target": BOTH, "amount": 10.0}
    assert code(world, market, asset=SILO, **borrow) == Reject.OK
    assert code(world, market, asset=SILO, **borrow) == Reject.OK
    assert code(world, market, asset=USDC, **borrow) == Reject.OTHER_DEBT
    assert code(world, market, Verb.REPAY, target=BOTH, asset=SILO) == Reject.OK
    assert code(world, market, asset=USDC, **borrow) == Reject.OK
    assert code(world, market, asset=SILO, **borrow) == Reject.OTHER_DEBT


@pytest.mark.parametrize("binomial", [False, True])
def test_interest_of_both_versions(stand_in: Any, binomial: bool) -> None:
    world, market = build(stand_in, binomial=binomial)
    world.block_seconds = 30.0 * 86_400.0
    rate = float(market.state.reserves["borrow_rate"][0, USDC])
    market.accrue()
    formula = binomial_interest if binomial else compounded_interest
    index = float(market.state.reserves["borrow_index"][0, USDC])
    assert index == formula(rate, 30.0 * 86_400.0)


@pytest.mark.parametrize("books", [False, True])
def test_deficits_are_booked_since_v3_3(stand_in: Any, books: bool) -> None:
    world, market = build(stand_in, book_deficit=books)
    world.oracle_price[:, ALT] = 1.0
    row = world.act(
        market, Verb.LIQUIDATE, account=LIQUIDATOR, target=ALONE, asset=ALT, asset_2=USDC
    )
    assert row["code"] == Reject.OK
    left = market.state.debt[0, ALONE, USDC]
    assert (market.bad_debt_usd()[0] > 0.0) == books
    assert (left > 0.0) != books
    gap = np.abs(market.claims() - world.ledger.balances[:, 0])
    assert gap.max() < 1e-6


@pytest.mark.parametrize(
    ("term", "open_verbs"),
    [("frozen", {Verb.WITHDRAW, Verb.REPAY}), ("paused", set())],
)
def test_frozen_and_paused(stand_in: Any, term: str, open_verbs: set[Verb]) -> None:
    world, market = build(stand_in)
    market.set_term(term, "USDC", [1.0])
    found = {
        verb
        for verb, target, account in (
            (Verb.SUPPLY, LENDER, BORROWERS),
            (Verb.WITHDRAW, LENDER, LENDERS),
            (Verb.BORROW, BOTH, BORROWERS),
            (Verb.REPAY, ALONE, BORROWERS),
        )
        if world.act(market, verb, account=account, target=target, asset=USDC, amount=10.0)["code"]
        == Reject.OK
    }
    assert found == open_verbs
