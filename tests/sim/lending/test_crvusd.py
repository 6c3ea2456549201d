import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.lending.crvusd as module
import sim.lending.llamma as bands_module
from experiments.validation import curve_llamma
from experiments.validation.alone import Alone
from sim.actions import Reject, Verb, new_rows
from sim.errors import ConfigError
from sim.lending.crvusd import CrvUsdMarket
from sim.lending.llamma import amount_for_price, price_in_band

WETH, DAI = 0, 1
ALICE, BOB = 1, 2
BOOK = ((10.0, 12_000.0), (20.0, 31_000.0), (30.0, 20_000.0), (5.0, 0.0))


def bound(**terms):
    world = Alone(("WETH", "DAI"), (2_000.0, 1.0), ("venue", "alice", "bob"), n_worlds=2)
    market = CrvUsdMarket(**{"stable": "DAI", "rate": 0.0, **terms})
    collateral, debt = np.zeros((len(BOOK), 2)), np.zeros((len(BOOK), 2))
    collateral[:, WETH], debt[:, DAI] = np.array(BOOK).T
    market.add_positions(ALICE, collateral, debt)
    world.seat(market)
    for account in (ALICE, BOB):
        world.ledger.endow(account, WETH, 1_000.0)
        world.ledger.endow(account, DAI, 3e6)
    return world, market


def moved(world, price):
    """Let an hour pass and the oracle tell a price."""
    world.oracle_price[:, WETH] = price
    world.step += 300


def conserved(world, market):
    world.ledger.check()
    held = world.ledger.balances[:, market.account]
    gap = np.abs(market.claims() - held)
    assert (gap <= 1e-12 * np.maximum(market.claims_scale(), 1.0)).all()
    bands = market.bands
    for w in range(world.n_worlds):
        active = int(bands.active[w])
        assert not bands.x[w, active + 1 :].any()
        assert not bands.y[w, :active].any()
        total = np.zeros(bands.shares.shape[1])
        for p in range(market.n_positions):
            first, n = int(bands.first[w, p]), int(bands.n_bands[w, p])
            total[first : first + n] += bands.user_shares[w, p, :n]
        np.testing.assert_allclose(bands.shares[w], total, rtol=1e-9, atol=1e-9)


def arbitrage(world, market, price):
    """Bring the AMM to a price by one trade of Bob's; return the executed row."""
    market.look()
    amount, pump = amount_for_price(market.bands, 0, price)
    given, wanted = (DAI, WETH) if pump else (WETH, DAI)
    return world.act(market, Verb.SWAP, account=BOB, asset=given, asset_2=wanted, amount=amount)


def test_every_row_agrees_with_the_contract(shared):
    document = json.loads((shared / "vectors" / "curve_llamma.json").read_text())
    found = list(curve_llamma.checks(document))
    assert len({check.row for check in found}) == 100
    assert [str(check) for check in found if not check.passed] == []


def test_what_was_borrowed_at_most_is_healthy_and_more_is_refused():
    world, market = bound()
    done = world.act(market, Verb.BORROW, account=ALICE, target=3, asset=DAI)
    assert done["code"] == Reject.OK
    # all bands lie at or under the price: worth less the discount of the loan and half the bands
    assert done["r0"] == pytest.approx(5.0 * 2_000.0 * 0.91 * 0.95, rel=0.02)
    assert 0.0 < market.health()[0, 3] < 0.06
    more = world.act(market, Verb.BORROW, account=ALICE, target=3, asset=DAI, amount=200.0)
    assert more["code"] == Reject.UNHEALTHY
    conserved(world, market)


def test_arbitrage_sells_collateral_down_and_buys_it_back():
    world, market = bound()
    for price in (1_900.0, 1_800.0, 1_720.0, 1_650.0):
        moved(world, price)
        arbitrage(world, market, price)
        conserved(world, market)
    sold = market.bands.x[0].sum()
    assert sold > 5_000.0
    now = price_in_band(market.bands, 0, int(market.bands.active[0]))
    assert now == pytest.approx(1_650.0, rel=2e-2)
    for price in (1_720.0, 1_800.0, 1_900.0, 2_000.0, 2_100.0):
        moved(world, price)
        arbitrage(world, market, price)
        conserved(world, market)
    assert market.bands.x[0].sum() < 1e-6
    # the round trip costs borrowers collateral: what arbitrage earned beyond the fees they got
    assert 0.9 * 60.0 < market.bands.y[0].sum() < 60.0


def test_hard_liquidation_needs_bad_health_and_pays_the_liquidator():
    world, market = bound()
    assert world.act(market, Verb.LIQUIDATE, account=BOB, target=1)["code"] == Reject.HEALTHY
    moved(world, 1_600.0)
    assert market.health()[0, 1] < 0.0
    part = world.act(market, Verb.LIQUIDATE, account=BOB, target=1, amount=10_000.0)
    assert part["code"] == Reject.OK
    assert part["r2"] < 20.0 * 10_000.0 / 31_000.0  # a part gets less than its part
    assert market.debts()[0, 1] == pytest.approx(21_000.0)
    whole = world.act(market, Verb.LIQUIDATE, account=BOB, target=1)
    assert whole["r0"] == pytest.approx(21_000.0)
    assert part["r2"] + whole["r2"] == pytest.approx(20.0, rel=1e-9)
    assert world.act(market, Verb.LIQUIDATE, account=BOB, target=1)["code"] == Reject.NO_DEBT
    conserved(world, market)


def test_owners_may_close_their_own_loan_at_any_health():
    world, market = bound()
    done = world.act(market, Verb.LIQUIDATE, account=ALICE, target=2)
    assert (done["code"], done["r1"]) == (Reject.OK, 20_000.0)
    assert done["r2"] == pytest.approx(30.0, rel=1e-12)


def test_interest_moves_debts_and_bands_alike():
    _, market = bound(rate=0.1)
    tops = market.bands.base * market.bands.rate_mul
    for _ in range(100):
        market.accrue()
    growth = (1.0 + 0.1 * 12.0 / (365.0 * 86400.0)) ** 100
    np.testing.assert_allclose(market.debts()[0, 0], 12_000.0 * growth, rtol=1e-12)
    np.testing.assert_allclose(market.bands.base * market.bands.rate_mul, tops * growth, rtol=1e-12)


@pytest.mark.parametrize(
    ("verb", "fields", "code"),
    [
        (Verb.REPORT, {}, Reject.UNKNOWN_VERB),
        (Verb.SUPPLY, {"target": 9, "asset": WETH}, Reject.BAD_TARGET),
        (Verb.SUPPLY, {"target": 0, "asset": DAI}, Reject.BAD_ASSET),
        (Verb.SUPPLY, {"target": 0, "asset": WETH, "amount": np.nan}, Reject.BAD_AMOUNT),
        (Verb.SUPPLY, {"target": 0, "asset": WETH, "amount": 1e9}, Reject.INSUFFICIENT_BALANCE),
        (Verb.SUPPLY, {"target": 0, "asset": WETH, "account": BOB}, Reject.NOT_OWNER),
        (Verb.WITHDRAW, {"target": 0, "asset": WETH, "amount": 9.0}, Reject.UNHEALTHY),
        (Verb.WITHDRAW, {"target": 0, "asset": WETH, "amount": 99.0}, Reject.NO_COLLATERAL),
        (Verb.WITHDRAW, {"target": 3, "asset": WETH, "amount": 6.0}, Reject.INSUFFICIENT_BALANCE),
        (Verb.BORROW, {"target": 0, "asset": DAI, "amount": 1e9}, Reject.INSUFFICIENT_LIQUIDITY),
        (Verb.BORROW, {"target": 0, "asset": DAI, "amount": 9e3}, Reject.UNHEALTHY),
        (Verb.REPAY, {"target": 3, "asset": DAI}, Reject.NO_DEBT),
        (Verb.LIQUIDATE, {"target": 0, "account": BOB}, Reject.HEALTHY),
        (Verb.SWAP, {"asset": WETH, "asset_2": WETH}, Reject.BAD_ASSET),
        (Verb.SWAP, {"asset": DAI, "asset_2": WETH, "amount": 0.0}, Reject.BAD_AMOUNT),
        (Verb.SWAP, {"asset": DAI, "asset_2": WETH, "limit": 1e6}, Reject.LIMIT_NOT_MET),
        # nothing was sold yet: the bands hold no stable token to buy
        (Verb.SWAP, {"asset": WETH, "asset_2": DAI}, Reject.INSUFFICIENT_LIQUIDITY),
    ],
)
def test_rejects_leave_everything_as_it_was(verb, fields, code):
    world, market = bound()
    state, balances = market.snapshot(), world.ledger.arena.snapshot()
    done = world.act(market, verb, **{"account": ALICE, "amount": 100.0, **fields})
    assert done["code"] == code
    np.testing.assert_array_equal(market.snapshot(), state)
    np.testing.assert_array_equal(world.ledger.arena.snapshot(), balances)


verbs = [Verb.SUPPLY, Verb.WITHDRAW, Verb.BORROW, Verb.REPAY, Verb.LIQUIDATE, Verb.SWAP]
actions = st.lists(
    st.tuples(
        st.sampled_from(verbs),
        st.sampled_from([ALICE, ALICE, BOB]),
        st.integers(-1, 4),
        st.sampled_from([WETH, DAI]),
        st.one_of(st.floats(1e-6, 1e5), st.sampled_from([np.inf, np.nan])),
        st.floats(0.85, 1.15),
    ),
    max_size=20,
)


@settings(max_examples=80)
@given(actions)
def test_no_sequence_makes_value(sequence):
    world, market = bound(rate=0.5)
    for verb, account, target, asset, amount, move in sequence:
        market.accrue()
        moved(world, world.oracle_price[0, WETH] * move)
        done = world.act(
            market, verb, account=account, target=target, asset=asset, asset_2=1 - asset,
            amount=amount,
        )  # fmt: skip
        assert done["code"] != Reject.PENDING
        conserved(world, market)
    assert (world.ledger.balances >= 0.0).all()


@settings(max_examples=60)
@given(st.floats(0.7, 1.3), st.floats(1.0, 1e6))
def test_a_round_trip_through_the_bands_gains_nothing(move, amount):
    world, market = bound()
    for price in (1_800.0, 2_000.0 * move):
        moved(world, price)
        arbitrage(world, market, price)
    before = world.ledger.balances[0, BOB].copy()
    there = world.act(market, Verb.SWAP, account=BOB, asset=DAI, asset_2=WETH, amount=amount)
    if there["code"] == Reject.OK:
        world.act(market, Verb.SWAP, account=BOB, asset=WETH, asset_2=DAI, amount=there["r1"])
    after = world.ledger.balances[0, BOB]
    assert after[DAI] <= before[DAI] * (1.0 + 1e-12)
    assert after[WETH] <= before[WETH] * (1.0 + 1e-12)


def test_kernels_run_as_plain_python(plain):
    def play():
        world, market = bound()
        seen = []
        for price, verb, fields in (
            (2_000.0, Verb.BORROW, {"account": ALICE, "target": 3, "asset": DAI}),
            (2_000.0, Verb.SUPPLY, {"account": ALICE, "target": 0, "asset": WETH, "amount": 1.0}),
            (1_700.0, Verb.SWAP, {"account": BOB, "asset": DAI, "asset_2": WETH, "amount": 3e4}),
            (1_500.0, Verb.LIQUIDATE, {"account": BOB, "target": 1}),
            (1_500.0, Verb.REPAY, {"account": ALICE, "target": 2, "asset": DAI}),
            (1_900.0, Verb.SWAP, {"account": BOB, "asset": WETH, "asset_2": DAI, "amount": 5.0}),
        ):
            moved(world, price)
            row = world.act(market, verb, **fields)
            seen.append([float(row[name]) for name in ("code", "r0", "r1", "r2")])
        return np.array(seen), market.health().copy()

    compiled, compiled_health = play()
    with plain(bands_module, module):
        slow, slow_health = play()
    assert not compiled[:, 0].any()
    np.testing.assert_allclose(slow, compiled, rtol=1e-10)
    np.testing.assert_allclose(slow_health, compiled_health, rtol=1e-10)


def test_bad_terms_are_named():
    for terms, sentence in (
        ({"stable": "WETH"}, "collateral and stable must differ"),
        ({"n_bands": 3}, "n_bands must lie"),
        ({"loan_discount": 0.01}, "loan_discount must lie"),
        ({"debt_ceiling": 1e4}, "debts exceed debt_ceiling"),
        ({"loan_discount": 0.5}, "position 0 owes 12000 DAI, more than 10 WETH support"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            bound(**terms)


def test_rows_are_executed_per_world():
    world, market = bound()
    rows = new_rows(2)
    rows["world"], rows["verb"], rows["account"] = [0, 1], Verb.SUPPLY, ALICE
    rows["asset"], rows["target"], rows["amount"] = WETH, 3, [1.0, 2.0]
    world.execute(market, rows)
    np.testing.assert_array_equal(market.state.idle[:, 3], [6.0, 7.0])
