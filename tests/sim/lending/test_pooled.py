"""Verbs, conservation and construction of the pooled market."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.actions import Reject, Verb, new_rows
from sim.errors import ConfigError, InputError
from sim.lending.liquidation import HEALTHY
from sim.lending.pooled import PooledMarket, PooledParams, ReserveParams
from sim.lending.verbs import accrue, execute

WETH, WBTC, USDC = 0, 1, 2
LENDERS, BORROWERS, LIQUIDATOR, WHALE = 1, 2, 3, 4
LENDER, SAFE, RISKY, SMALL = 0, 1, 2, 3
STABLE = ReserveParams(
    ltv=0.75, liquidation_threshold=0.8, slope_1=0.04, slope_2=0.6, optimal_utilisation=0.9
)


def build(stand_in: Callable[..., Any], n_worlds: int = 1, **usdc: Any) -> tuple[Any, PooledMarket]:
    """A lender, a safe borrower, one at health 1.03 and a small one with two debts."""
    world = stand_in(n_worlds)
    stable = ReserveParams(
        **{
            "ltv": 0.75,
            "liquidation_threshold": 0.8,
            "slope_1": 0.04,
            "slope_2": 0.6,
            "optimal_utilisation": 0.9,
            **usdc,
        }
    )
    market = PooledMarket(
        PooledParams(reserves={"WETH": ReserveParams(), "WBTC": ReserveParams(), "USDC": stable})
    )
    market.add_positions("lenders", np.array([[50.0, 5.0, 60_000.0]]), np.zeros((1, 3)))
    market.add_positions(
        "borrowers",
        np.array([[10.0, 0.0, 0.0], [10.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        np.array([[0.0, 0.0, 5_000.0], [0.0, 0.0, 16_000.0], [0.0, 0.005, 1_380.0]]),
    )
    world.seat(market)
    for account in (LENDERS, BORROWERS, LIQUIDATOR, WHALE):
        for asset, amount in ((WETH, 100.0), (WBTC, 5.0), (USDC, 100_000.0)):
            world.ledger.endow(account, asset, amount)
    return world, market


def check_books(world: Any, market: PooledMarket) -> None:
    """Custody equals claims, totals equal the sums over positions, the ledger conserves."""
    world.ledger.check(1e-12)
    gap = np.abs(market.claims() - world.ledger.balances[:, 0])
    assert (gap <= 1e-9 * np.maximum(market.supplied(), 1e-6)).all()
    reserves = market.state.reserves
    for total, parts in (
        ("total_collateral", market.state.collateral),
        ("total_debt", market.state.debt),
    ):
        np.testing.assert_allclose(reserves[total], parts.sum(axis=1), rtol=1e-9, atol=1e-9)
    assert (world.ledger.balances >= 0.0).all()
    assert (market.state.collateral >= 0.0).all()
    assert (market.state.debt >= 0.0).all()


# -- verbs ----------------------------------------------------------------------------------------


def test_supply_and_withdraw_all(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in)
    row = world.act(market, Verb.SUPPLY, account=WHALE, target=LENDER, asset=USDC, amount=1000.0)
    assert (row["code"], row["r0"]) == (Reject.OK, 1000.0)
    assert world.ledger.balances[0, WHALE, USDC] == 99_000.0
    row = world.act(market, Verb.WITHDRAW, account=LENDERS, target=LENDER, asset=WETH)
    assert (row["code"], row["r0"]) == (Reject.OK, 50.0)
    assert market.state.collateral[0, LENDER, WETH] == 0.0
    row = world.act(market, Verb.WITHDRAW, account=LENDERS, target=LENDER, asset=WETH)
    assert row["code"] == Reject.NO_COLLATERAL
    check_books(world, market)


def test_withdraw_is_bounded_by_cash(stand_in: Callable[..., Any]) -> None:
    """Cash is 60,000 − 22,380 USDC: more is not there, the most is, then nothing is."""
    world, market = build(stand_in)
    ask = {"account": LENDERS, "target": LENDER, "asset": USDC}
    assert world.act(market, Verb.WITHDRAW, amount=50_000.0, **ask)["code"] == (
        Reject.INSUFFICIENT_LIQUIDITY
    )
    row = world.act(market, Verb.WITHDRAW, **ask)
    assert row["r0"] == pytest.approx(37_620.0)
    assert market.utilisation()[0, USDC] == pytest.approx(1.0)
    assert market.state.reserves[0, USDC]["borrow_rate"] == pytest.approx(0.64)
    assert world.act(market, Verb.WITHDRAW, **ask)["code"] == Reject.INSUFFICIENT_LIQUIDITY


def test_withdraw_stops_at_health_one(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in)
    ask = {"account": BORROWERS, "target": SAFE, "asset": WETH}
    assert world.act(market, Verb.WITHDRAW, amount=9.0, **ask)["code"] == Reject.UNHEALTHY
    row = world.act(market, Verb.WITHDRAW, **ask)
    assert row["r0"] == pytest.approx(10.0 - 5000.0 / (2000.0 * 0.825))
    assert market.health_factors()[0, SAFE] == pytest.approx(1.0, rel=1e-12)
    assert market.liquidatable()[0].size == 0
    assert (
        world.act(market, Verb.BORROW, asset=USDC, amount=1.0, account=BORROWERS, target=SAFE)[
            "code"
        ]
        == Reject.UNHEALTHY
    )


def test_zero_ltv_collateral_leaves_first(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in, ltv=0.0)
    whale = {"account": BORROWERS, "target": SAFE}
    world.act(market, Verb.SUPPLY, asset=USDC, amount=100.0, **whale)
    assert world.act(market, Verb.WITHDRAW, asset=WETH, amount=1.0, **whale)["code"] == (
        Reject.UNHEALTHY
    )
    assert world.act(market, Verb.WITHDRAW, asset=USDC, **whale)["code"] == Reject.OK
    assert world.act(market, Verb.WITHDRAW, asset=WETH, amount=1.0, **whale)["code"] == Reject.OK


def test_borrow_up_to_loan_to_value(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in)
    ask = {"account": BORROWERS, "target": SAFE, "asset": USDC}
    assert world.act(market, Verb.BORROW, amount=11_001.0, **ask)["code"] == Reject.UNHEALTHY
    assert world.act(market, Verb.BORROW, limit=11_001.0, **ask)["code"] == Reject.LIMIT_NOT_MET
    row = world.act(market, Verb.BORROW, **ask)
    assert row["r0"] == pytest.approx(11_000.0)
    assert world.ledger.balances[0, BORROWERS, USDC] == pytest.approx(111_000.0)
    check_books(world, market)


def test_repay_by_anyone_at_most_what_is_owed(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in)
    market.accrue()
    row = world.act(market, Verb.REPAY, account=WHALE, target=SAFE, asset=USDC, amount=9e4)
    assert row["r0"] == pytest.approx(5000.0, rel=1e-6)
    assert row["r0"] > 5000.0
    assert market.state.debt[0, SAFE, USDC] == 0.0
    assert np.isinf(market.health_factors()[0, SAFE])
    again = world.act(market, Verb.REPAY, account=WHALE, target=SAFE, asset=USDC, amount=1.0)
    assert again["code"] == Reject.NO_DEBT
    check_books(world, market)


@pytest.mark.parametrize(
    ("code", "verb", "fields"),
    [
        (Reject.UNKNOWN_VERB, Verb.SWAP, {}),
        (Reject.BAD_AMOUNT, Verb.SUPPLY, {"amount": 0.0}),
        (Reject.BAD_AMOUNT, Verb.SUPPLY, {"amount": -1.0}),
        (Reject.BAD_AMOUNT, Verb.BORROW, {"amount": np.nan}),
        (Reject.BAD_ASSET, Verb.SUPPLY, {"asset": 3}),
        (Reject.BAD_ASSET, Verb.SUPPLY, {"asset": -1}),
        (Reject.BAD_ASSET, Verb.LIQUIDATE, {"asset_2": 7}),
        (Reject.BAD_TARGET, Verb.SUPPLY, {"target": 4}),
        (Reject.BAD_TARGET, Verb.REPAY, {"target": -1}),
        (Reject.NOT_OWNER, Verb.BORROW, {"account": WHALE, "amount": 1.0}),
        (Reject.NOT_OWNER, Verb.WITHDRAW, {"account": WHALE, "asset": WETH, "amount": 1.0}),
        (Reject.INSUFFICIENT_BALANCE, Verb.SUPPLY, {"amount": 1e6}),
        (Reject.INSUFFICIENT_BALANCE, Verb.WITHDRAW, {"asset": WETH, "amount": 11.0}),
        (Reject.CAP_EXCEEDED, Verb.SUPPLY, {"asset": WBTC, "amount": 4.0}),
        (Reject.CAP_EXCEEDED, Verb.BORROW, {"asset": WBTC, "amount": 0.02}),
        (Reject.HEALTHY, Verb.LIQUIDATE, {}),
        (Reject.FLASH_NOT_REPAID, Verb.FLASH_BORROW, {"amount": 1.0}),
        (Reject.NO_DEBT, Verb.FLASH_REPAY, {"amount": 1.0, "bundle": 1}),
        (Reject.INSUFFICIENT_LIQUIDITY, Verb.FLASH_BORROW, {"amount": 1e9, "bundle": 1}),
    ],
)
def test_rejected_rows_leave_no_trace(
    stand_in: Callable[..., Any], code: Reject, verb: Verb, fields: dict[str, Any]
) -> None:
    world, market = build(stand_in)
    market.vary("supply_cap", "WBTC", np.array([8.0]))
    market.vary("borrow_cap", "WBTC", np.array([0.02]))
    before = (market.snapshot(), world.ledger.arena.snapshot())
    row = {"account": BORROWERS, "target": SAFE, "asset": USDC, "asset_2": USDC, **fields}
    if verb == Verb.LIQUIDATE:
        row["asset"] = WETH
    outcome = world.act(market, verb, **row)
    assert Reject(outcome["code"]) == code
    assert [outcome[r] for r in ("r0", "r1", "r2", "r3")] == [0.0] * 4
    for old, new in zip(before[0], market.snapshot(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(before[1], world.ledger.arena.snapshot())


def test_frozen_and_paused(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in, frozen=True)
    ask = {"account": BORROWERS, "target": SAFE, "asset": USDC, "amount": 1.0}
    codes = {v: world.act(market, v, **ask)["code"] for v in (Verb.SUPPLY, Verb.BORROW, Verb.REPAY)}
    assert codes == {Verb.SUPPLY: Reject.PAUSED, Verb.BORROW: Reject.PAUSED, Verb.REPAY: Reject.OK}
    market.vary("paused", "USDC", np.ones(1))
    assert world.act(market, Verb.REPAY, **ask)["code"] == Reject.PAUSED
    world.oracle_price[:, WETH] = 1000.0
    call = {"account": LIQUIDATOR, "target": RISKY, "asset": WETH, "asset_2": USDC}
    assert world.act(market, Verb.LIQUIDATE, **call)["code"] == Reject.PAUSED


# -- liquidation ----------------------------------------------------------------------------------


def test_deficit_burns_all_debts(stand_in: Callable[..., Any]) -> None:
    """The last collateral goes, both debts are written off at the oracle's prices."""
    world, market = build(stand_in)
    world.oracle_price[:, WETH] = 1000.0
    call = {"account": LIQUIDATOR, "target": SMALL, "asset": WETH, "asset_2": USDC}
    row = world.act(market, Verb.LIQUIDATE, **call)
    assert row["code"] == Reject.OK
    assert row["r0"] == pytest.approx(1000.0 / 1.05)
    assert row["r2"] == pytest.approx((1.0 - 1.0 / 1.05) * 0.1)
    assert row["r1"] + row["r2"] == pytest.approx(1.0)
    deficit = market.state.reserves[0]["deficit"]
    assert deficit[USDC] == pytest.approx(1380.0 - 1000.0 / 1.05)
    assert deficit[WBTC] == pytest.approx(0.005)
    assert row["r3"] == pytest.approx(1380.0 - 1000.0 / 1.05 + 0.005 * 40_000.0)
    assert (market.state.debt[0, SMALL] == 0.0).all()
    assert world.act(market, Verb.LIQUIDATE, **call)["code"] == Reject.HEALTHY
    check_books(world, market)


def test_tie_at_health_one_is_healthy(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in)
    # 10 WETH × price × 0.825 = 16,000 USDC
    world.oracle_price[:, WETH] = 16_000.0 / 8.25
    call = {"account": LIQUIDATOR, "target": RISKY, "asset": WETH, "asset_2": USDC}
    assert world.act(market, Verb.LIQUIDATE, **call)["code"] == Reject.HEALTHY
    world.oracle_price[:, WETH] *= 1.0 - 1e-11
    assert market.liquidatable()[0].tolist() == [RISKY]
    assert world.act(market, Verb.LIQUIDATE, **call)["code"] == Reject.OK


def test_liquidation_respects_purse_cash_and_limit(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in)
    world.oracle_price[:, WETH] = 1900.0
    call = {"account": LIQUIDATOR, "target": RISKY, "asset": WETH, "asset_2": USDC}
    assert world.act(market, Verb.LIQUIDATE, limit=9.0, **call)["code"] == Reject.LIMIT_NOT_MET
    empty = {**call, "asset": WBTC}
    assert world.act(market, Verb.LIQUIDATE, **empty)["code"] == Reject.NO_COLLATERAL
    assert world.act(market, Verb.LIQUIDATE, **{**call, "asset_2": WBTC})["code"] == Reject.NO_DEBT
    world.ledger.balances[0, LIQUIDATOR, USDC] = 1000.0
    partly = world.act(market, Verb.LIQUIDATE, **call)
    assert (partly["code"], partly["r0"]) == (Reject.OK, 1000.0)
    assert world.act(market, Verb.LIQUIDATE, amount=10.0, **call)["code"] == (
        Reject.INSUFFICIENT_BALANCE
    )
    world.ledger.balances[0, LIQUIDATOR, USDC] = 1000.0
    world.ledger.balances[0, 0, WETH] = 0.1
    assert world.act(market, Verb.LIQUIDATE, **call)["code"] == Reject.INSUFFICIENT_LIQUIDITY


# -- bundles --------------------------------------------------------------------------------------


def test_flash_loan_must_return(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in)
    here = np.array([0])
    market.checkpoint(here, np.full((1, 8), -1))
    ask = {"account": LIQUIDATOR, "asset": USDC, "bundle": 1}
    assert world.act(market, Verb.FLASH_BORROW, amount=10_000.0, **ask)["code"] == Reject.OK
    assert not market.bundle_holds(here).any()
    check_books(world, market)
    back = world.act(market, Verb.FLASH_REPAY, **ask)
    assert (back["r0"], back["r1"]) == (10_000.0, 5.0)
    assert market.bundle_holds(here).all()
    assert market.state.reserves[0, USDC]["fee_income"] == 5.0
    check_books(world, market)


def test_rollback_and_restore_undo_everything(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in, n_worlds=2)
    world.oracle_price[:, WETH] = 1500.0
    whole = (market.snapshot(), world.ledger.arena.snapshot())
    targets = np.full((2, 8), -1)
    targets[:, 0], targets[:, 1] = RISKY, 99
    market.checkpoint(np.arange(2), targets)
    rows = new_rows(2)
    rows["world"], rows["verb"], rows["account"] = [0, 1], Verb.LIQUIDATE, LIQUIDATOR
    rows["target"], rows["asset"], rows["asset_2"] = RISKY, WETH, USDC
    rows["amount"] = np.inf
    before = market.liquidatable()[0].tolist()
    world.execute(market, rows)
    assert (rows["code"] == Reject.OK).all()
    changed = market.snapshot()
    market.rollback(np.array([1]))
    np.testing.assert_array_equal(market.state.debt[1], whole[0][2][1])
    np.testing.assert_array_equal(market.state.debt[0], changed[2][0])
    market.rollback(np.array([0]))
    for old, new in zip(whole[0], market.snapshot(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert market.liquidatable()[0].tolist() == before
    market.restore(changed)
    np.testing.assert_array_equal(market.state.debt, changed[2])
    assert market.liquidatable()[0].tolist() != before


def test_reset_returns_to_the_book_and_varied_terms(stand_in: Callable[..., Any]) -> None:
    world, market = build(stand_in, n_worlds=2)
    market.vary("liquidation_bonus", "WETH", np.array([0.05, 0.08]))
    market.vary("close_factor", None, np.array([0.5, 1.0]))
    first = market.snapshot()
    market.set_term("close_factor", None, np.array([0.9, 0.9]))
    for _ in range(5):
        market.accrue()
    world.act(market, Verb.WITHDRAW, account=LENDERS, target=LENDER, asset=WETH)
    market.reset(np.array([True, False]))
    np.testing.assert_array_equal(market.state.collateral[0], first[1][0])
    assert market.state.reserves[0, USDC]["borrow_index"] == 1.0
    assert market.state.reserves[1, USDC]["borrow_index"] > 1.0
    assert market.state.reserves["liquidation_bonus"][:, WETH].tolist() == [0.05, 0.08]
    assert market.state.market["close_factor"].tolist() == [0.5, 0.9]


# -- interest -------------------------------------------------------------------------------------


def test_a_year_of_blocks_pays_suppliers_and_treasury(stand_in: Callable[..., Any]) -> None:
    """Interest paid by borrowers = suppliers + treasury + the second-order surplus."""
    world, market = build(stand_in)
    world.block_seconds = 31_536_000.0 / 1000
    before = market.borrowed()[0, USDC]
    supplied = market.supplied()[0, USDC]
    for _ in range(1000):
        market.accrue()
    reserve = market.state.reserves[0, USDC]
    paid = market.borrowed()[0, USDC] - before
    assert paid / before == pytest.approx(np.expm1(0.04 * 22380 / 60000 / 0.9), rel=2e-2)
    income = reserve["supplier_interest"] + reserve["reserve_income"] + reserve["surplus"]
    assert income == pytest.approx(paid, rel=1e-9)
    assert market.supplied()[0, USDC] - supplied == pytest.approx(income - reserve["surplus"])
    assert 0.0 < reserve["surplus"] < 1e-4 * paid
    assert reserve["reserve_income"] == pytest.approx(0.1 * paid, rel=1e-2)
    check_books(world, market)


def test_kernels_as_plain_python(stand_in: Callable[..., Any]) -> None:
    """`accrue` and `execute` give the same numbers uncompiled."""
    outcomes = []
    for plain in (False, True):
        world, market = build(stand_in, n_worlds=2)
        world.oracle_price[:, WETH] = 1700.0
        balances = world.ledger.balances
        grow = accrue.py_func if plain else accrue  # type: ignore[attr-defined]
        run = execute.py_func if plain else execute  # type: ignore[attr-defined]
        grow(market.state, balances, 0, 12.0)
        rows = new_rows(3)
        rows["world"], rows["verb"] = [0, 0, 1], [Verb.LIQUIDATE, Verb.BORROW, Verb.LIQUIDATE]
        rows["account"], rows["target"] = [LIQUIDATOR, BORROWERS, WHALE], [RISKY, SAFE, SMALL]
        rows["asset"], rows["asset_2"], rows["amount"] = [WETH, USDC, WETH], USDC, np.inf
        starts, ends = np.array([0, 2]), np.array([2, 3])
        done = run(
            market.state,
            market.index_state,
            balances,
            world.oracle_price,
            rows,
            np.arange(3),
            starts,
            ends,
            0,
        )
        assert done == 3
        outcomes.append([rows.tobytes(), *(a.tobytes() for a in market.snapshot())])
    assert outcomes[0] == outcomes[1]


# -- properties -----------------------------------------------------------------------------------

rows_strategy = st.lists(
    st.tuples(
        st.integers(0, 1),  # world
        st.sampled_from([1, 2, 3, 4, 5, 5, 6, 7]),  # verb
        st.integers(1, 4),  # account
        st.integers(0, 3),  # position
        st.integers(0, 2),  # asset
        st.integers(0, 2),  # asset 2
        st.one_of(st.just(np.inf), st.floats(1e-6, 1e5)),  # amount
        st.floats(0.5, 1.5),  # WETH price move before the row
        st.integers(0, 1),  # bundle
    ),
    max_size=40,
)
once = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def as_rows(entry: tuple[Any, ...]) -> Any:
    rows = new_rows(1)
    names = ("world", "verb", "account", "target", "asset", "asset_2", "amount")
    for name, value in zip(names, entry[:7], strict=True):
        rows[name] = value
    rows["bundle"] = entry[8]
    return rows


def wealth(world: Any, market: PooledMarket, w: int, account: int) -> float:
    """Wallet plus equity of the account's positions, USD, at the oracle's prices."""
    reserves = market.state.reserves[w]
    mine = market.state.owner == account
    held = (market.state.collateral[w, mine] * reserves["liquidity_index"]).sum(axis=0)
    owed = (market.state.debt[w, mine] * reserves["borrow_index"]).sum(axis=0)
    tokens = world.ledger.balances[w, account] + held - owed
    return float(tokens @ world.oracle_price[w])


@once
@given(entries=rows_strategy)
def test_random_actions_conserve_value(
    stand_in: Callable[..., Any], entries: list[tuple[Any, ...]]
) -> None:
    """Custody equals claims throughout, rejected rows do nothing, nobody gains by own verbs."""
    world, market = build(stand_in, n_worlds=2)
    world.block_seconds = 3600.0
    minted = world.ledger.minted.copy()
    for entry in entries:
        w, verb, account = entry[:3]
        world.oracle_price[w, WETH] = np.clip(world.oracle_price[w, WETH] * entry[7], 100.0, 1e4)
        before = [a.tobytes() for a in (*market.snapshot(), world.ledger.arena.snapshot())]
        worth = wealth(world, market, w, account)
        row = world.execute(market, as_rows(entry))[0]
        gain = wealth(world, market, w, account) - worth
        if row["code"] != Reject.OK:
            after = [a.tobytes() for a in (*market.snapshot(), world.ledger.arena.snapshot())]
            assert before == after
        elif verb == Verb.LIQUIDATE:
            repaid = row["r0"] * world.oracle_price[w, row["asset_2"]]
            assert row["r3"] >= 0.0
            assert gain <= 0.05 * repaid + row["r3"] + 1e-6
        elif verb == Verb.FLASH_BORROW:
            assert gain == pytest.approx(row["r0"] * world.oracle_price[w, row["asset"]], rel=1e-9)
        else:
            assert gain <= 1e-6
        market.accrue()
        check_books(world, market)
    np.testing.assert_array_equal(world.ledger.minted, minted)


@once
@given(entries=rows_strategy)
def test_nobody_leaves_with_more_than_the_equity(
    stand_in: Callable[..., Any], entries: list[tuple[Any, ...]]
) -> None:
    """After anything, liquidations included, emptying a position yields at most its equity."""
    world, market = build(stand_in, n_worlds=2)
    for entry in entries:
        world.oracle_price[entry[0], WETH] *= entry[7]
        world.execute(market, as_rows(entry))
    state = market.state
    for w in range(2):
        prices = world.oracle_price[w]
        for p in range(market.n_positions):
            owner = int(state.owner[p])
            reserves = state.reserves[w]
            held = state.collateral[w, p] * reserves["liquidity_index"] @ prices
            owed = state.debt[w, p] * reserves["borrow_index"] @ prices
            purse = world.ledger.balances[w, owner] @ prices
            moved = False
            for verb in (Verb.BORROW, Verb.WITHDRAW, Verb.BORROW, Verb.WITHDRAW):
                for asset in range(3):
                    row = world.act(market, verb, world=w, account=owner, target=p, asset=asset)
                    moved = moved or row["code"] == Reject.OK
            taken = world.ledger.balances[w, owner] @ prices - purse
            assert taken <= max(held - owed, 0.0) + 1e-6
            if moved and market.state.debt[w, p].any():
                assert market.health_factors()[w, p] >= HEALTHY


# -- construction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ReserveParams(ltv=0.9), "ltv must not exceed liquidation_threshold"),
        (lambda: ReserveParams(liquidation_bonus=0.3), r"threshold \* \(1 \+ liquidation_bonus\)"),
        (lambda: ReserveParams(liquidation_threshold=1.2), r"must lie in \[0, 1\], got 1.2"),
        (lambda: ReserveParams(slope_1=float("nan")), "slope_1 must lie in"),
        (lambda: ReserveParams(optimal_utilisation=1.0), "optimal_utilisation must lie in"),
        (lambda: ReserveParams(supply_cap=-1.0), "supply_cap must lie in"),
        (lambda: PooledParams(), "reserves must name at least one asset"),
        (lambda: PooledParams(reserves={"WETH": 1}), "reserves.WETH must be ReserveParams"),
        (
            lambda: PooledParams(reserves={"WETH": ReserveParams()}, close_factor=0.0),
            "close_factor must lie in",
        ),
    ],
)
def test_impossible_terms(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_efficiency_mode_terms_are_possible() -> None:
    assert ReserveParams(ltv=0.95, liquidation_threshold=0.96, liquidation_bonus=0.01).ltv == 0.95


def test_bad_positions(stand_in: Callable[..., Any]) -> None:
    market = PooledMarket(PooledParams(reserves={"WETH": ReserveParams(), "USDC": STABLE}))
    one = np.array([[1.0, 0.0, 0.0]])
    with pytest.raises(InputError, match="position 0 has debt and no collateral"):
        market.add_positions("borrowers", 0.0 * one, one)
    with pytest.raises(InputError, match="must be a finite amount >= 0, got nan"):
        market.add_positions("borrowers", np.nan * one, 0.0 * one)
    with pytest.raises(InputError, match="must both have shape"):
        market.add_positions("borrowers", one, one[:, :2])
    market.add_positions("borrowers", one, 500.0 * one[:, ::-1])
    with pytest.raises(
        ConfigError, match=r"debt in reserve USDC exceeds its supply \(500 > 0 tokens\)"
    ):
        stand_in(1).seat(market)


@pytest.mark.parametrize(
    ("owner", "columns", "sentence"),
    [
        ("nobody", 3, "account 'nobody', which the ledger does not have"),
        ("borrowers", 2, "one column for each of the world's 3 assets"),
    ],
)
def test_positions_must_fit_the_world(
    stand_in: Callable[..., Any], owner: str, columns: int, sentence: str
) -> None:
    market = PooledMarket(PooledParams(reserves={"WETH": ReserveParams()}))
    market.add_positions(owner, np.eye(1, columns), np.zeros((1, columns)))
    with pytest.raises(ConfigError, match=sentence):
        stand_in(1).seat(market)


def test_market_without_positions(stand_in: Callable[..., Any]) -> None:
    market = stand_in(2).seat(PooledMarket(PooledParams(reserves={"WETH": ReserveParams()})))
    market.accrue()
    assert market.liquidatable()[1].tolist() == [0, 0, 0]
    assert len(market.opportunities().position) == 0
    assert (market.claims() == 0.0).all()


def test_unknown_assets_and_fields(stand_in: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="unknown asset 'DOGE'"):
        stand_in(1).seat(PooledMarket(PooledParams(reserves={"DOGE": ReserveParams()})))
    market = PooledMarket(PooledParams(reserves={"WETH": ReserveParams()}))
    market.add_positions("borrowers", np.array([[0.0, 1.0, 0.0]]), np.zeros((1, 3)))
    with pytest.raises(ConfigError, match="has a balance in WBTC, which is no reserve"):
        stand_in(1).seat(market)
    _, market = build(stand_in, n_worlds=2)
    with pytest.raises(ConfigError, match="cannot vary spice; known fields: "):
        market.vary("spice", "WETH", np.zeros(2))
    with pytest.raises(ConfigError, match="one value per world, shape"):
        market.vary("ltv", "WETH", np.zeros(3))
    with pytest.raises(ConfigError, match="'DOGE' is no reserve; reserves: WETH"):
        market.vary("ltv", "DOGE", np.zeros(2))
    with pytest.raises(ConfigError, match="asset must be the name of a reserve"):
        market.vary("ltv", None, np.zeros(2))
    with pytest.raises(ConfigError, match="ltv must not exceed"):
        market.vary("ltv", "WETH", np.array([0.5, 0.9]))
    assert market.state.reserves["ltv"][:, WETH].tolist() == [0.8, 0.8]
    with pytest.raises(ConfigError, match="before the market takes its seat"):
        market.add_positions("borrowers", np.ones((1, 3)), np.zeros((1, 3)))
