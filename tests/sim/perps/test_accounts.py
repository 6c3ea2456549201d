"""Accounts: conservation, trades, funding and liquidation by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.perps import accounts
from sim.perps.accounts import (
    PerpAccounts,
    accrue_funding,
    liquidate,
    lots_to_close,
    settle,
    trade,
)
from sim.perps.quantities import maintenance_margin
from sim.perps.terms import PerpParams

NAMES = ("deribit_btc", "binance_btc")


@pytest.fixture(scope="module")
def opened(perp):
    """Factory: accounts of one world at a mark price, with cash."""

    def make(name, mark=20_000.0, n_worlds=1, n_accounts=1, cash=1.0, insurance=0.0, **changes):
        made = PerpAccounts(
            perp(name, **changes), n_worlds, n_accounts, cash=cash, insurance=insurance
        )
        made.reset(np.ones(n_worlds, np.bool_), np.full(n_worlds, mark))
        return made

    return make


def deal(made, size, price, maker=False):
    done = np.zeros(made.state.position.shape, np.bool_)
    sizes = np.broadcast_to(np.asarray(size, np.float64), done.shape).copy()
    trade(made.state, sizes, np.full(len(done), price), maker, made.terms, done)
    return done


def test_a_linear_hedge_by_hand(opened):
    """Short 2 coins at 20,100 with the mark at 20,000; fee 0.04%; then up to 21,000."""
    made = opened("binance_btc", cash=5000.0)
    assert deal(made, -2.0, 20_100.0).all()
    assert made.state.cash[0, 0] == pytest.approx(5000.0 + 200.0 - 0.0004 * 40_200.0)
    settle(made.state, np.array([21_000.0]), made.terms)
    assert made.state.cash[0, 0] == pytest.approx(5000.0 - 1800.0 - 16.08)
    assert made.state.venue[0] == pytest.approx(16.08)
    assert made.state.market[0] == pytest.approx(1800.0)


def test_an_inverse_hedge_by_hand(opened):
    """Short 20,000 dollars at 20,000 against one coin: worth 20,000 dollars at any price."""
    made = opened("deribit_btc", cash=1.0)
    assert deal(made, -20_000.0, 20_000.0, maker=True).all()
    for mark in (25_000.0, 16_000.0, 32_000.0):
        settle(made.state, np.array([mark]), made.terms)
        assert made.state.cash[0, 0] * mark == pytest.approx(20_000.0)


def test_a_maker_is_paid_a_rebate_by_the_venue(opened):
    made = opened("deribit_btc", maker_fee=-0.0001)
    deal(made, 20_000.0, 20_000.0, maker=True)
    assert made.state.cash[0, 0] == pytest.approx(1.0001)
    assert made.state.venue[0] == pytest.approx(-0.0001)


def test_margin_limits_what_is_opened_not_what_is_closed(opened):
    """1,000 dollars carry 100,000 at 1%: 4.9 coins at 20,000, not 5.1 (98,000 + fee 39)."""
    made = opened("binance_btc", cash=1030.0)
    assert not deal(made, 5.1, 20_000.0).any()
    assert made.state.position[0, 0] == 0.0
    assert made.state.venue[0] == 0.0
    assert deal(made, 4.9, 20_000.0).all()
    settle(made.state, np.array([19_890.0]), made.terms)  # cash 451.8, under the initial margin
    assert not deal(made, 0.1, 19_890.0).any()
    assert not deal(made, -9.0, 19_890.0).any()  # turning round is opening
    assert deal(made, -0.5, 19_890.0).all()
    assert deal(made, -4.4, 19_890.0).all()
    assert deal(made, 0.0, 19_890.0).all()
    assert not deal(made, np.nan, 19_890.0).any()
    assert not deal(made, np.inf, 19_890.0).any()


def test_continuous_funding_by_hand(opened):
    """A premium of 0.1% pays 0.075% per 8 hours: of one coin in 2 hours 0.0001875."""
    made = opened("deribit_btc")
    deal(made, 20_000.0, 20_000.0, maker=True)
    accrue_funding(made.state, np.array([0.001]), 7200.0, made.terms)
    assert made.state.cash[0, 0] == pytest.approx(1.0 - 0.00075 / 4)
    assert made.state.funding[0, 0] == pytest.approx(-0.00075 / 4)
    assert made.state.market[0] == pytest.approx(0.00075 / 4)
    parts = opened("deribit_btc")
    deal(parts, 20_000.0, 20_000.0, maker=True)
    for _ in range(600):
        accrue_funding(parts.state, np.array([0.001]), 12.0, parts.terms)
    assert parts.state.cash[0, 0] == pytest.approx(made.state.cash[0, 0], rel=1e-12)


def test_funding_at_intervals_by_hand(opened):
    """Premia of 0.2% for 2 hours and 0.04% for 6 average 0.08%: rate 0.03%, short receives."""
    made = opened("binance_btc", cash=10_000.0)
    deal(made, -1.0, 20_000.0, maker=True)
    before = made.state.cash[0, 0]
    accrue_funding(made.state, np.array([0.002]), 7200.0, made.terms)
    accrue_funding(made.state, np.array([0.0004]), 5.9 * 3600.0, made.terms)
    assert made.state.cash[0, 0] == before
    accrue_funding(made.state, np.array([0.0004]), 0.2 * 3600.0, made.terms)
    assert made.state.cash[0, 0] - before == pytest.approx(0.0003 * 20_000.0, rel=1e-6)
    assert made.state.clock[0] == pytest.approx(360.0)
    # A day in one step is three payments.
    whole = opened("binance_btc", cash=10_000.0)
    deal(whole, -1.0, 20_000.0, maker=True)
    accrue_funding(whole.state, np.array([0.001]), 86_400.0, whole.terms)
    assert whole.state.funding[0, 0] == pytest.approx(3 * 0.0005 * 20_000.0)


def test_a_full_liquidation_by_hand(opened):
    """Long 2 coins with 400: at 19,850 equity 100 is under 0.4% of 39,700, closed at 19,840."""
    made = opened("binance_btc", cash=416.0)
    deal(made, 2.0, 20_000.0)  # fee 16
    closed, fill = np.zeros((1, 1)), np.array([19_900.0])
    settle(made.state, fill, made.terms)
    liquidate(made.state, fill, made.terms, closed)
    assert closed[0, 0] == 0.0  # equity 200 is above 159.2
    settle(made.state, np.array([19_850.0]), made.terms)
    liquidate(made.state, np.array([19_840.0]), made.terms, closed)
    assert closed[0, 0] == 2.0
    assert made.state.position[0, 0] == 0.0
    assert made.state.cash[0, 0] == 0.0  # 80 were left, the fee would be 496
    assert made.state.insurance[0] == pytest.approx(80.0)
    assert made.state.shortfall[0] == 0.0


def test_an_incremental_liquidation_closes_no_more_than_it_must(opened):
    made = opened("deribit_btc", cash=0.03)
    deal(made, 20_000.0, 20_000.0, maker=True)
    settle(made.state, np.array([19_600.0]), made.terms)
    closed, fill = np.zeros((1, 1)), np.array([19_600.0])
    liquidate(made.state, fill, made.terms, closed)
    size = closed[0, 0]
    assert 0.0 < size < 20_000.0
    assert size % 10.0 == 0.0
    left = made.state.position[0, 0]
    assert left == 20_000.0 - size
    need = maintenance_margin(left, 19_600.0, made.terms)
    assert need <= made.state.cash[0, 0] < need + 10.0 / 19_600.0 * 0.02  # one lot less: too few
    assert made.state.insurance[0] == pytest.approx(0.005 * size / 19_600.0)
    liquidate(made.state, fill, made.terms, closed)
    assert closed[0, 0] == 0.0


def test_bankruptcy_falls_on_the_fund_and_then_on_nobody_yet(opened):
    """Long 2 coins with 384 after the fee; at 19,500 equity is -616."""
    for insurance, shortfall in ((1000.0, 0.0), (100.0, 516.0)):
        made = opened("binance_btc", cash=400.0, insurance=insurance)
        before = made.total()[0]
        assert deal(made, 2.0, 20_000.0).all()
        settle(made.state, np.array([19_500.0]), made.terms)
        liquidate(made.state, np.array([19_500.0]), made.terms, np.zeros((1, 1)))
        assert made.state.cash[0, 0] == 0.0
        assert made.state.shortfall[0] == pytest.approx(shortfall)
        assert made.state.insurance[0] == pytest.approx(max(insurance - 616.0, 0.0))
        assert made.total()[0] == pytest.approx(before)


@pytest.mark.parametrize("name", NAMES)
@given(
    moves=st.lists(
        st.tuples(
            st.floats(-0.2, 0.2),
            st.floats(-3.0, 3.0),
            st.floats(-0.01, 0.01),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_nothing_is_lost(name, moves, opened):
    """Whatever happens: what all parties hold is what they began with, and debt is nobody's."""
    unit = 20_000.0 if name == "deribit_btc" else 1.0
    cash = 1.0 if name == "deribit_btc" else 20_000.0
    made = opened(name, n_worlds=2, n_accounts=3, cash=cash, insurance=0.01 * cash)
    before = made.total()
    mark, closed = 20_000.0, np.zeros((2, 3))
    for move, size, premium, maker in moves:
        mark *= np.exp(move)
        settle(made.state, np.full(2, mark), made.terms)
        accrue_funding(made.state, np.full(2, premium), 5.0 * 3600.0, made.terms)
        liquidate(made.state, np.full(2, mark * 0.999), made.terms, closed)
        deal(made, unit * size * np.array([1.0, -0.5, 20.0]), mark * 1.001, maker)
        np.testing.assert_allclose(made.total(), before, rtol=1e-9)
        assert (made.state.insurance >= 0.0).all()
        assert (made.state.shortfall >= 0.0).all()
        flat = made.state.position == 0.0
        assert (made.state.cash[flat] >= 0.0).all()
    np.testing.assert_array_equal(made.state.cash[0], made.state.cash[1])


def test_worlds_do_not_mix_and_reset_one_by_one(opened):
    made = opened("deribit_btc", n_worlds=3)
    deal(made, [[1e4], [2e4], [-1e4]], 20_000.0)
    settle(made.state, np.array([21_000.0, 19_000.0, 20_500.0]), made.terms)
    kept = made.state.cash.copy()
    made.reset(np.array([False, True, False]), np.array([0.0, 30_000.0, 0.0]))
    np.testing.assert_array_equal(made.state.cash[:, 0], [kept[0, 0], 1.0, kept[2, 0]])
    np.testing.assert_array_equal(made.state.mark, [21_000.0, 30_000.0, 20_500.0])
    np.testing.assert_array_equal(made.state.position[:, 0], [1e4, 0.0, -1e4])


def test_kernels_run_as_plain_python(opened):
    for name in NAMES:
        one, other = opened(name, cash=0.03), opened(name, cash=0.03)
        for made, plain in ((one, False), (other, True)):
            call = (lambda f: f.py_func) if plain else (lambda f: f)
            state, terms = made.state, made.terms
            done, closed = np.zeros((1, 1), np.bool_), np.zeros((1, 1))
            call(trade)(state, np.full((1, 1), 2e4 if terms.inverse else 4e-5),
                        np.array([2e4]), False, terms, done)  # fmt: skip
            assert done.all()
            call(settle)(state, np.array([19_600.0]), terms)
            call(accrue_funding)(state, np.array([0.002]), 3e4, terms)
            call(liquidate)(state, np.array([19_600.0]), terms, closed)
        np.testing.assert_allclose(one.arena.buffer, other.arena.buffer, rtol=1e-12)
    assert accounts.cash_after.py_func(2e4, 10.0, 1.0, 2e4, 2e4, PerpParams().terms()) < 1.0
    assert lots_to_close.py_func(2e4, -9.0, 2e4, 2e4, PerpParams().terms()) == 2e4


def test_no_accounts_are_refused(perp):
    with pytest.raises(ConfigError, match="n_worlds and n_accounts must be at least 1, got 0"):
        PerpAccounts(perp("deribit_btc"), 0)
