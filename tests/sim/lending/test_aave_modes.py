"""Aave's e-mode, isolation, silos, versions of interest, and frozen and paused reserves."""

from typing import Any

import numpy as np
import pytest

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.lending.params import CategoryParams
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


# -- e-mode ---------------------------------------------------------------------------------------

STETH = 1


def staked(stand_in: Any, n_worlds: int = 1, opening: bool = False) -> tuple[Any, PooledMarket]:
    """A lender, a position with staked ether that owes ether, and one that owes dollars."""
    world = stand_in(n_worlds, assets=("WETH", "STETH", "USDC"), prices=(2000.0, 2000.0, 1.0))
    market = PooledMarket(
        PooledParams(
            reserves=dict.fromkeys(world.assets, ReserveParams(**PLAIN)),
            categories={
                "ether": CategoryParams(collaterals=["STETH"], borrowable=["WETH"], opening=opening)
            },
        )
    )
    market.add_positions("lenders", np.array([[100.0, 0.0, 90_000.0]]), np.zeros((1, 3)))
    market.add_positions(
        "borrowers",
        np.array([[0.0, 10.0, 0.0], [0.0, 10.0, 0.0]]),
        np.array([[7.0, 0.0, 0.0], [0.0, 0.0, 14_000.0]]),
    )
    world.seat(market)
    for account in (BORROWERS, LIQUIDATOR):
        for asset in range(3):
            world.ledger.endow(account, asset, 1e4)
    return world, market


def enter(world: Any, market: PooledMarket, p: int, category: float, **more: Any) -> Reject:
    row = {"target": p, "amount": category, **more}
    return code(world, market, Verb.SET_MODE, **row)


def test_a_category_has_terms_of_its_own(stand_in: Any) -> None:
    world, market = staked(stand_in)
    borrow = {"verb": Verb.BORROW, "target": 1, "asset": WETH}
    assert code(world, market, amount=1.0, **borrow) == Reject.UNHEALTHY
    assert enter(world, market, 1, 1.0) == Reject.OK
    np.testing.assert_allclose(market.health_factors()[0, 1:], [9.5 / 7.0, 16_000.0 / 14_000.0])
    row = world.act(market, account=BORROWERS, **borrow)
    assert row["r0"] == pytest.approx(9.3 - 7.0)
    assert enter(world, market, 1, 0.0) == Reject.UNHEALTHY
    assert code(world, market, Verb.BORROW, target=1, asset=2, amount=1.0) == Reject.OTHER_MODE
    assert code(world, market, Verb.WITHDRAW, target=1, asset=STETH, amount=0.5) == Reject.UNHEALTHY
    assert code(world, market, Verb.WITHDRAW, target=1, asset=STETH, amount=0.2) == Reject.OK


def test_who_may_enter_a_category(stand_in: Any) -> None:
    world, market = staked(stand_in)
    assert enter(world, market, 2, 1.0) == Reject.OTHER_MODE
    assert enter(world, market, 1, 1.0, account=LIQUIDATOR) == Reject.NOT_OWNER
    for category in (2.0, -1.0, 0.5, np.nan, np.inf):
        assert enter(world, market, 1, category) == Reject.BAD_AMOUNT
    assert enter(world, market, 9, 1.0) == Reject.BAD_TARGET
    assert market.state.mode.sum() == 0


def test_the_index_and_the_call_know_the_category(stand_in: Any) -> None:
    """In the category the position holds 9.5 / 7 of what it needs, outside it 8 / 7."""
    world, market = staked(stand_in, 2)
    assert enter(world, market, 1, 1.0) == Reject.OK
    for fall, expected in ((0.80, [[2], [1, 2]]), (0.70, [[1, 2], [1, 2]])):
        world.oracle_price[:, STETH] = 2000.0 * fall
        ids, starts = market.liquidatable()
        got = [sorted(ids[starts[w] : starts[w + 1]].tolist()) for w in range(2)]
        assert got == expected
        below = market.health_factors() < 1.0
        assert [np.flatnonzero(below[w]).tolist() for w in range(2)] == expected
    found = market.opportunities()
    k = int(np.flatnonzero(found.position[: found.starts[1]] == 1)[0])
    row = world.act(
        market, Verb.LIQUIDATE, account=LIQUIDATOR, target=1, asset=STETH, asset_2=WETH,
        amount=found.debt_to_cover[k],
    )  # fmt: skip
    assert row["r1"] == pytest.approx(found.collateral_received[k], rel=1e-12)
    seized = row["r1"] + row["r2"]
    assert seized == pytest.approx(min(row["r0"] * 1.01 / 0.7, 10.0), rel=1e-9)


def test_a_category_is_copied_undone_and_reset(stand_in: Any) -> None:
    world, market = staked(stand_in, 2)
    worlds = np.arange(2)
    market.checkpoint(worlds, np.full((2, 8), 1))
    assert enter(world, market, 1, 1.0) == Reject.OK
    kept = market.snapshot()
    market.rollback(worlds)
    assert market.state.mode.sum() == 0
    market.restore(kept)
    assert market.state.mode[0, 1] == 1
    market.reset(np.array([True, False]))
    assert market.state.mode.sum() == 0


def test_loans_of_the_initial_book_may_start_in_a_category(stand_in: Any) -> None:
    """The loan of ether against staked ether does; the lender and the loan of dollars do not."""
    world, market = staked(stand_in, 2, opening=True)
    np.testing.assert_array_equal(market.state.mode, [[0, 1, 0]] * 2)
    np.testing.assert_allclose(market.health_factors()[0, 1:], [9.5 / 7.0, 16_000.0 / 14_000.0])
    assert enter(world, market, 1, 0.0) == Reject.OK
    market.reset(np.array([True, False]))
    np.testing.assert_array_equal(market.state.mode, [[0, 1, 0]] * 2)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"collaterals": [], "borrowable": ["WETH"]}, "must name collaterals"),
        ({"collaterals": ["DOGE"], "borrowable": ["WETH"]}, "names DOGE, which is no reserve"),
        ({"collaterals": ["WETH"], "borrowable": ["WETH"], "ltv": 0.97}, "ltv must not exceed"),
    ],
)
def test_categories_that_cannot_be(terms: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        PooledParams(
            reserves={"WETH": ReserveParams()}, categories={"ether": CategoryParams(**terms)}
        )
