"""What every lending mechanism promises: hostile rows refused, books balanced, nothing made."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.actions import Reject, Verb, new_rows
from sim.errors import ConfigError
from sim.lending.comet import CometCollateral, CometParams
from sim.lending.comet_market import CometMarket
from sim.lending.compound_v2 import CompoundReserve, CompoundV2Market, CompoundV2Params
from sim.lending.euler import EulerMarket, EulerParams, EulerVault
from sim.lending.liquidation import HEALTHY
from sim.lending.market import LendingMarket
from sim.lending.morpho import MorphoMarket, MorphoParams
from sim.lending.pooled import PooledMarket, PooledParams, ReserveParams

WETH, WBTC, USDC = range(3)
LENDERS, BORROWERS, LIQUIDATOR, WHALE = 1, 2, 3, 4
LENDER, SAFE, EDGE, MINE = range(4)  # positions
ASSETS = ("WETH", "WBTC", "USDC")

MARKETS: dict[str, Callable[[], LendingMarket]] = {
    "aave_v3": lambda: PooledMarket(PooledParams(reserves=dict.fromkeys(ASSETS, ReserveParams()))),
    "compound_v2": lambda: CompoundV2Market(
        CompoundV2Params(
            reserves=dict.fromkeys(ASSETS, CompoundReserve(collateral_factor=0.825, borrow_cap=9e5))
        )
    ),
    "comet": lambda: CometMarket(
        CometParams(
            collaterals={
                "WETH": CometCollateral(borrow_factor=0.8, liquidation_collateral_factor=0.825),
                "WBTC": CometCollateral(borrow_factor=0.7, liquidation_collateral_factor=0.77),
            },
        )
    ),
    "morpho": lambda: MorphoMarket(MorphoParams(lltv=0.825)),
    "euler": lambda: EulerMarket(
        EulerParams(vaults=dict.fromkeys(ASSETS, EulerVault(borrow_ltv=0.8, liquidation_ltv=0.825)))
    ),
}
LENT = {"aave_v3": (0, 1, 2), "compound_v2": (0, 1, 2), "comet": (2,), "morpho": (2,),
        "euler": (0, 1, 2)}  # fmt: skip


def build(stand_in: Callable[..., Any], name: str, n_worlds: int = 1) -> tuple[Any, LendingMarket]:
    """A lender, a safe borrower, one at health 1.03, and the whale's empty position."""
    world = stand_in(n_worlds)
    market = MARKETS[name]()
    lent = np.zeros((1, 3))
    lent[0, LENT[name]] = np.array([50.0, 5.0, 60_000.0])[list(LENT[name])]
    market.add_positions("lenders", lent, np.zeros((1, 3)))
    market.add_positions(
        "borrowers",
        np.array([[10.0, 0.0, 0.0], [10.0, 0.0, 0.0]]),
        np.array([[0.0, 0.0, 5_000.0], [0.0, 0.0, 16_000.0]]),
    )
    market.add_positions("whale", np.zeros((1, 3)), np.zeros((1, 3)))
    world.seat(market)
    for account in (LENDERS, BORROWERS, LIQUIDATOR, WHALE):
        for asset, amount in ((WETH, 100.0), (WBTC, 5.0), (USDC, 100_000.0)):
            world.ledger.endow(account, asset, amount)
    return world, market


@pytest.fixture(params=list(MARKETS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def copies(world: Any, market: LendingMarket) -> list[bytes]:
    """Everything that a row may change."""
    return [part.tobytes() for part in (*market.snapshot(), world.ledger.arena.snapshot())]


def check_books(world: Any, market: LendingMarket) -> None:
    """Custody equals claims, totals equal the sums over positions, nothing is negative."""
    world.ledger.check(1e-12)
    reserves = market.state.reserves
    gap = np.abs(market.claims() - world.ledger.balances[:, 0])
    assert (gap <= 1e-9 * np.maximum(market.supplied() + np.abs(reserves["surplus"]), 1e-6)).all()
    for total, parts in (
        ("total_collateral", market.state.collateral),
        ("total_debt", market.state.debt),
    ):
        np.testing.assert_allclose(reserves[total], parts.sum(axis=1), rtol=1e-9, atol=1e-9)
    assert (world.ledger.balances >= 0.0).all()
    assert (market.state.collateral >= 0.0).all()
    assert (market.state.debt >= 0.0).all()


def refused(world: Any, market: LendingMarket, code: Reject, verb: Verb, **fields: Any) -> None:
    """A row is rejected with this code and changes nothing."""
    before = copies(world, market)
    row = world.act(market, verb, **fields)
    assert Reject(row["code"]) == code, (verb, fields)
    assert before == copies(world, market)


# -- hostile rows ---------------------------------------------------------------------------------


def test_a_borrower_cannot_take_more_than_the_limit(stand_in: Any, name: str) -> None:
    world, market = build(stand_in, name)
    mine = {"account": BORROWERS, "target": SAFE}
    refused(world, market, Reject.UNHEALTHY, Verb.BORROW, asset=USDC, amount=12_000.0, **mine)
    refused(world, market, Reject.UNHEALTHY, Verb.WITHDRAW, asset=WETH, amount=8.0, **mine)
    row = world.act(market, Verb.WITHDRAW, asset=WETH, **mine)
    assert row["code"] == Reject.OK
    again = {"asset": USDC, "amount": 10.0}
    refused(world, market, Reject.UNHEALTHY, Verb.BORROW, **again, **mine)
    assert market.health_factors()[0, SAFE] >= HEALTHY


def test_a_healthy_position_is_left_alone(stand_in: Any, name: str) -> None:
    world, market = build(stand_in, name)
    call = {"account": LIQUIDATOR, "target": EDGE, "asset": WETH, "asset_2": USDC}
    refused(world, market, Reject.HEALTHY, Verb.LIQUIDATE, **call)
    refused(world, market, Reject.HEALTHY, Verb.LIQUIDATE, **{**call, "target": LENDER})
    found, _ = market.liquidatable()
    assert len(found) == 0


def test_what_is_lent_out_cannot_be_withdrawn(stand_in: Any, name: str) -> None:
    world, market = build(stand_in, name)
    lender = {"account": LENDERS, "target": LENDER, "asset": USDC}
    refused(world, market, Reject.INSUFFICIENT_LIQUIDITY, Verb.WITHDRAW, amount=50_000.0, **lender)
    row = world.act(market, Verb.WITHDRAW, **lender)
    assert row["code"] == Reject.OK
    assert row["r0"] == pytest.approx(39_000.0)
    check_books(world, market)


@pytest.mark.parametrize("amount", [0.0, -1.0, np.nan])
def test_amounts_that_are_none(stand_in: Any, name: str, amount: float) -> None:
    world, market = build(stand_in, name)
    for verb in (Verb.SUPPLY, Verb.WITHDRAW, Verb.BORROW, Verb.REPAY, Verb.LIQUIDATE):
        fields = {"account": BORROWERS, "target": SAFE, "asset": WETH, "asset_2": USDC}
        refused(world, market, Reject.BAD_AMOUNT, verb, amount=amount, **fields)


def test_dust_moves_dust(stand_in: Any, name: str) -> None:
    world, market = build(stand_in, name)
    before = world.ledger.balances[0, WHALE].copy()
    for amount in (1e-30, 1e-15, 1e-9):
        for verb in (Verb.SUPPLY, Verb.WITHDRAW):
            world.act(market, verb, account=WHALE, target=MINE, asset=WETH, amount=amount)
            check_books(world, market)
    assert (world.ledger.balances[0, WHALE] <= before + 1e-15).all()


def test_wrong_names(stand_in: Any, name: str) -> None:
    world, market = build(stand_in, name)
    ours = {"account": BORROWERS, "target": SAFE, "asset": WETH, "amount": 1.0}
    for asset in (-1, 3):
        refused(world, market, Reject.BAD_ASSET, Verb.SUPPLY, **{**ours, "asset": asset})
    for target in (-1, 4):
        refused(world, market, Reject.BAD_TARGET, Verb.SUPPLY, **{**ours, "target": target})
    refused(world, market, Reject.NOT_OWNER, Verb.WITHDRAW, **{**ours, "account": WHALE})
    refused(world, market, Reject.UNKNOWN_VERB, Verb.SWAP, **ours)
    refused(world, market, Reject.INSUFFICIENT_BALANCE, Verb.SUPPLY, **{**ours, "amount": 1e6})
    refused(world, market, Reject.LIMIT_NOT_MET, Verb.SUPPLY, limit=2.0, **ours)
    market.state.reserves["paused"][:, WETH] = 1.0
    refused(world, market, Reject.PAUSED, Verb.SUPPLY, **ours)


def test_nobody_liquidates_oneself(stand_in: Any, name: str) -> None:
    if name == "aave_v3":
        pytest.skip("the version that it models allows it")
    world, market = build(stand_in, name)
    world.oracle_price[:, WETH] = 1800.0
    call = {"account": BORROWERS, "target": EDGE, "asset": WETH, "asset_2": USDC}
    refused(world, market, Reject.SELF_LIQUIDATION, Verb.LIQUIDATE, **call)


def test_only_what_is_lent_can_be_borrowed(stand_in: Any, name: str) -> None:
    world, market = build(stand_in, name)
    world.act(market, Verb.SUPPLY, account=WHALE, target=MINE, asset=WETH, amount=20.0)
    row = {"account": WHALE, "target": MINE, "amount": 0.1}
    if name in ("comet", "morpho"):
        refused(world, market, Reject.CAP_EXCEEDED, Verb.BORROW, asset=WETH, **row)
    else:
        assert world.act(market, Verb.BORROW, asset=WBTC, **row)["code"] == Reject.OK
    if name == "euler":
        refused(world, market, Reject.OTHER_DEBT, Verb.BORROW, asset=WETH, **row)


# -- liquidations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [1900.0, 1700.0, 1400.0])
def test_the_announced_call_is_what_happens(stand_in: Any, name: str, price: float) -> None:
    """`opportunities` promises what the row then does, here and in every world."""
    world, market = build(stand_in, name)
    world.oracle_price[:, WETH] = price
    found = market.opportunities()
    assert found.position.tolist() == [EDGE]
    purse = world.ledger.balances[0, LIQUIDATOR].copy()
    row = world.act(
        market, Verb.LIQUIDATE, account=LIQUIDATOR, target=EDGE, asset=WETH, asset_2=USDC,
        amount=found.debt_to_cover[0],
    )  # fmt: skip
    assert row["code"] == Reject.OK
    assert row["r0"] == pytest.approx(found.debt_to_cover[0], rel=1e-12)
    assert row["r1"] == pytest.approx(found.collateral_received[0], rel=1e-12)
    moved = world.ledger.balances[0, LIQUIDATOR] - purse
    np.testing.assert_allclose(moved, [row["r1"], 0.0, -row["r0"]], rtol=1e-9, atol=1e-9)
    profit = row["r1"] * price - row["r0"]
    assert 0.0 < profit <= row["r0"] * market.largest_bonus() * (1.0 + 1e-9)
    check_books(world, market)


def test_bad_debt_is_booked_where_the_rules_book_it(stand_in: Any, name: str) -> None:
    world, market = build(stand_in, name)
    world.oracle_price[:, WETH] = 900.0
    owed = 16_000.0
    for _ in range(40):  # Compound's close factor halves what is left
        row = world.act(
            market, Verb.LIQUIDATE, account=LIQUIDATOR, target=EDGE, asset=WETH, asset_2=USDC
        )
        if row["code"] != Reject.OK:
            break
    check_books(world, market)
    lost = float(market.bad_debt_usd()[0])
    if name == "compound_v2":
        assert lost == 0.0
        assert market.state.debt[0, EDGE, USDC] > 0.0
        assert market.backlog()[1][0] > 0.0
        return
    assert market.state.debt[0, EDGE].sum() == 0.0
    assert lost > 1000.0
    suppliers = market.supplied()[0, USDC]
    if name in ("morpho", "euler"):  # the suppliers have lost it, at once and together
        assert suppliers == pytest.approx(60_000.0 - lost, rel=1e-9)
    elif name == "comet":  # the reserves have: they paid the debt and hold what was not bought
        paid = row["r0"] if row["code"] == Reject.OK else 10 * 900 * 0.975
        assert suppliers == pytest.approx(60_000.0)
        assert lost == pytest.approx(owed - 9_000.0)
        assert market.reserves()[0] == pytest.approx(paid - owed)  # type: ignore[attr-defined]


# -- random rows ----------------------------------------------------------------------------------

ONCE = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
VERBS = [*range(1, 8), int(Verb.ABSORB), int(Verb.BUY_COLLATERAL), 40]
entries = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(VERBS),
        st.sampled_from([LENDERS, BORROWERS, LIQUIDATOR, WHALE]),
        st.integers(-1, 4),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from([np.inf, 1e-12, 0.1, 1.0, 7.0, 100.0, 5_000.0, 1e5, 1e9]),
        st.sampled_from([1.0, 1.0, 0.7, 0.9, 1.1, 1.4]),
    ),
    min_size=1,
    max_size=25,
)
FIELDS = ("world", "verb", "account", "target", "asset", "asset_2", "amount")


def as_row(entry: tuple[Any, ...]) -> Any:
    rows = new_rows(1)
    for field, value in zip(FIELDS, entry[:7], strict=True):
        rows[field] = value
    return rows


def wealth(world: Any, market: LendingMarket, w: int, account: int) -> float:
    """Wallet plus equity of the account's positions, USD, at the oracle's prices."""
    reserves = market.state.reserves[w]
    mine = market.state.owner == account
    held = (market.state.collateral[w, mine] * reserves["liquidity_index"]).sum(axis=0)
    owed = (market.state.debt[w, mine] * reserves["borrow_index"]).sum(axis=0)
    tokens = world.ledger.balances[w, account] + held - owed
    return float(tokens @ world.oracle_price[w])


@ONCE
@given(rows=entries)
def test_random_rows_conserve_value(stand_in: Any, name: str, rows: list[tuple[Any, ...]]) -> None:
    """Books balance throughout, rejected rows do nothing, nobody gains by own verbs."""
    world, market = build(stand_in, name, n_worlds=2)
    world.block_seconds = 3600.0
    minted = world.ledger.minted.copy()
    for entry in rows:
        w, verb, account = entry[:3]
        world.oracle_price[w, WETH] = np.clip(world.oracle_price[w, WETH] * entry[7], 100.0, 1e4)
        before, worth = copies(world, market), wealth(world, market, w, account)
        row = world.execute(market, as_row(entry))[0]
        gain = wealth(world, market, w, account) - worth
        if row["code"] != Reject.OK:
            assert before == copies(world, market)
        elif verb in (Verb.LIQUIDATE, Verb.BUY_COLLATERAL):
            bound = row["r0"] * market.largest_bonus() * world.oracle_price[w, USDC]
            debt_price = world.oracle_price[w, row["asset_2"]] if verb == Verb.LIQUIDATE else 1.0
            assert gain <= bound * debt_price + row["r3"] + 1e-6
        elif verb != Verb.ABSORB:
            assert gain <= 1e-6
        market.accrue()
        check_books(world, market)
    np.testing.assert_array_equal(world.ledger.minted, minted)


@ONCE
@given(rows=entries)
def test_nobody_leaves_with_more_than_the_equity(
    stand_in: Any, name: str, rows: list[tuple[Any, ...]]
) -> None:
    """After anything, emptying a position yields at most its equity and leaves it healthy."""
    world, market = build(stand_in, name, n_worlds=2)
    for entry in rows:
        world.oracle_price[entry[0], WETH] *= entry[7]
        world.execute(market, as_row(entry))
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
            if moved and state.debt[w, p].any():
                assert market.health_factors()[w, p] >= HEALTHY


def test_worlds_do_not_see_each_other(stand_in: Any, name: str) -> None:
    world, market = build(stand_in, name, n_worlds=2)
    other = market.state.debt[1].copy(), market.state.collateral[1].copy()
    world.oracle_price[0, WETH] = 1500.0
    world.act(market, Verb.LIQUIDATE, account=LIQUIDATOR, target=EDGE, asset=WETH, asset_2=USDC)
    np.testing.assert_array_equal(market.state.debt[1], other[0])
    np.testing.assert_array_equal(market.state.collateral[1], other[1])
    assert market.liquidatable()[1].tolist()[1:] == [market.liquidatable()[1][1]] * 2


def test_interest_is_paid_by_those_who_owe(stand_in: Any, name: str) -> None:
    """What borrowers owe more is what suppliers and protocol have more, to rounding."""
    world, market = build(stand_in, name)
    world.block_seconds = 86_400.0
    supplied, borrowed = market.supplied()[0, USDC], market.borrowed()[0, USDC]
    for _ in range(30):
        market.accrue()
        check_books(world, market)
    surplus = market.state.reserves["surplus"][0, USDC]
    paid = market.borrowed()[0, USDC] - borrowed
    assert paid > 10.0
    assert market.supplied()[0, USDC] - supplied + surplus == pytest.approx(paid, rel=1e-9)
    earned = market.supplier_interest()[0, USDC]
    income = market.protocol_income()[0, USDC]
    if name != "aave_v3":  # whose linear supply leaves a surplus that is nobody's income
        assert earned + income == pytest.approx(paid, rel=1e-9)


# -- construction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: CompoundV2Params(), "reserves must name at least one asset"),
        (lambda: CompoundReserve(collateral_factor=1.2), r"collateral_factor must lie in \[0, 1\]"),
        (
            lambda: CompoundV2Params(reserves={"WETH": CompoundReserve(collateral_factor=0.95)}),
            "bad debt",
        ),
        (lambda: CometParams(), "collaterals must name at least one asset"),
        (lambda: CometParams(base="WETH", collaterals={"WETH": CometCollateral()}), "base must be"),
        (lambda: CometCollateral(borrow_factor=0.9), "ltv must not exceed"),
        (lambda: MorphoParams(loan="WETH"), "collateral and loan must differ"),
        (lambda: MorphoParams(lltv=0.99), "lltv must lie in"),
        (lambda: EulerParams(), "vaults must name at least one asset"),
        (lambda: EulerVault(borrow_ltv=0.9), "ltv must not exceed"),
    ],
)
def test_terms_that_cannot_be(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_terms_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MorphoParams().lltv = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("market", "field", "asset", "values"),
    [
        ("compound_v2", "collateral_factor", "WETH", [0.5, 0.6]),
        ("compound_v2", "close_factor", None, [0.5, 1.0]),
        ("euler", "liquidation_ltv", "WETH", [0.81, 0.82]),
        ("euler", "max_discount", None, [0.05, 0.15]),
        ("comet", "liquidation_factor", "WETH", [0.9, 0.95]),
        ("morpho", "fee", "USDC", [0.0, 0.1]),
    ],
)
def test_worlds_may_have_terms_of_their_own(
    stand_in: Any, market: str, field: str, asset: str | None, values: list[float]
) -> None:
    _, venue = build(stand_in, market, n_worlds=2)
    venue.vary(field, asset, values)
    changed = venue.snapshot()[0]
    venue.set_term(field, asset, values[::-1])
    assert not np.array_equal(changed, venue.snapshot()[0])
    venue.reset(np.array([True, True]))
    np.testing.assert_array_equal(changed, venue.snapshot()[0])
    with pytest.raises(ConfigError, match="cannot vary colour"):
        venue.vary("colour", asset, values)
