import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.market.impact as impact_module
import sim.market.outside as module
from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.market.outside import (
    OutsideMarket,
    buy_until,
    outside_quote,
    purchase_cost,
    purchase_quantity,
    sale_proceeds,
    sell_until,
)

WETH, WBTC, USDC = 0, 1, 2
ALICE = 2
EXPONENTS = [0.5, 1.0, 0.6]


def bound(make_world, world=None, **terms):
    world = world or make_world()
    market = OutsideMarket(**terms)
    market.attach(world, "outside", 0, 0)
    for asset, amount in ((WETH, 1e5), (WBTC, 1e3), (USDC, 1e9)):
        world.ledger.endow(ALICE, asset, amount)
    return world, market


def swap(asset, asset_2, amount, **fields):
    return {"asset": asset, "asset_2": asset_2, "amount": amount, **fields}


def book(market, name, w=0, asset=WETH):
    return market.state.books[name][w, asset]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_proceeds_are_the_integral_of_the_price(make_world, exponent):
    world, market = bound(make_world, exponent=exponent, half_spread_bps=0.0)
    market.state.books["imbalance"][0, WETH] = -3e6
    q, n = 10_000.0, 20_000
    # The mid after each of n pieces, by the definitions: exp(-kappa q), f = Y sigma (x/V)^delta.
    kappa = 0.3 * 0.04 / 3e9 * 2_000.0
    sold = (np.arange(n) + 0.5) * q / n
    reference = 2_000.0 * np.exp(-kappa * sold)
    x = -3e6 + 2_000.0 * (1.0 - np.exp(-kappa * sold)) / kappa
    fall = np.sign(x) * 0.04 * (np.abs(x) / 3e9) ** exponent
    expected = (reference * (1.0 - fall)).sum() * q / n
    # The midpoint rule on n pieces, with a root singularity inside.
    proceeds = sale_proceeds(market.state, world.fundamental, 0, WETH, q)
    assert proceeds == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("pieces", [2, 7])
def test_splitting_an_order_changes_nothing(make_world, make_rows, exponent, pieces):
    world, market = bound(make_world, exponent=exponent)
    for route in ((WETH, USDC, 5_000.0), (USDC, WETH, 4e7), (WETH, WBTC, 300.0)):
        whole = world.run(market, make_rows([swap(*route, world=0)]))
        asset_in, asset_out, amount = route
        split = world.run(
            market, make_rows([swap(asset_in, asset_out, amount / pieces, world=1)] * pieces)
        )
        assert split["r1"].sum() == pytest.approx(whole["r1"].sum(), rel=1e-11)
        np.testing.assert_allclose(world.market_price[1], world.market_price[0], rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.floats(1.0, 5e4), st.floats(-1e9, 1e9), st.sampled_from(EXPONENTS))
def test_a_round_trip_costs_exactly_the_spread(make_world, make_rows, q, x, exponent):
    world, market = bound(make_world, exponent=exponent, half_spread_bps=10.0, daily_volume=1e9)
    market.state.books["imbalance"][:, WETH] = x
    market.publish()
    mid = world.market_price[0, WETH]
    proceeds = sale_proceeds(market.state, world.fundamental, 0, WETH, q)
    world.run(market, make_rows([swap(WETH, USDC, q)]))
    market.state.books["imbalance"][0, USDC] = 0.0
    cost = purchase_cost(market.state, world.fundamental, 0, WETH, q)
    assert cost == pytest.approx(proceeds / 0.999 * 1.001, rel=1e-9)
    cash = world.ledger.balances[0, ALICE, USDC]
    world.ledger.endow(ALICE, USDC, 2.0 * proceeds)
    back = purchase_quantity(market.state, world.fundamental, 0, WETH, cost)
    assert back == pytest.approx(q, rel=1e-8)
    assert cash > 1e9
    assert world.market_price[0, WETH] < mid


def test_buying_more_than_was_sold_never_gains(make_world, make_rows):
    """Sell, wait, buy back: the decay in between helps nobody, and permanent impact is linear."""
    world, market = bound(make_world, half_spread_bps=0.0, permanent=3.0, daily_volume=1e9)
    rng = np.random.default_rng(5)
    for _ in range(20):
        market.reset(np.ones(3, np.bool_))
        market.publish()
        trades = rng.normal(size=6) * 1e4
        trades[-1] -= trades.sum()
        cash = 0.0
        for q in trades:
            if q > 0.0:
                cash += sale_proceeds(market.state, world.fundamental, 0, WETH, q)
            else:
                cash -= purchase_cost(market.state, world.fundamental, 0, WETH, -q)
            record = market.state.books[0, WETH]
            price = 2_000.0 * np.exp(record["permanent"])
            record["imbalance"] += -price * np.expm1(-record["kappa"] * q) / record["kappa"]
            record["permanent"] -= record["kappa"] * q
            for _ in range(50):
                market.accrue()
        assert cash < 0.0
        assert book(market, "permanent") == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("x", [0.0, 2e7, -2e7])
@pytest.mark.parametrize("permanent", [0.0, 0.3, 20.0])
def test_sell_until_and_buy_until_maximise_profit(make_world, exponent, x, permanent):
    world, market = bound(make_world, exponent=exponent, permanent=permanent)
    market.state.books["imbalance"][:, WETH] = x
    market.publish()
    mid = world.market_price[0, WETH]
    state, fundamental = market.state, world.fundamental

    def gain_of_sale(q, floor):
        return sale_proceeds(state, fundamental, 0, WETH, q) - floor * q

    def gain_of_purchase(q, ceiling):
        return ceiling * q - purchase_cost(state, fundamental, 0, WETH, q)

    for gain, best_of, bound_ in (
        (gain_of_sale, sell_until, 0.99 * mid),
        (gain_of_purchase, buy_until, 1.01 * mid),
    ):
        best = best_of(state, fundamental, 0, WETH, bound_)
        grid = np.array([gain(q, bound_) for q in best * np.linspace(0.0, 3.0, 601)])
        assert best > 0.0
        # On a grid of spacing best / 200 the maximum is the point of the closed form itself.
        assert np.argmax(grid) == 200
        step = 1e-4 * best
        slope = (gain(best + step, bound_) - gain(best - step, bound_)) / (2.0 * step)
        assert abs(slope) < 1e-7 * mid


def test_until_is_zero_or_infinite_where_the_price_never_gets_there(make_world):
    world, market = bound(make_world, permanent=0.0)
    args = (market.state, world.fundamental, 0, WETH)
    assert sell_until(*args, 2_000.0) == 0.0
    assert buy_until(*args, 2_000.0) == 0.0
    assert sell_until(*args, 900.0) == np.inf
    assert buy_until(*args, 3_100.0) == np.inf


def test_until_is_finite_with_permanent_impact(make_world):
    world, market = bound(make_world, permanent=0.3)
    args = (market.state, world.fundamental, 0, WETH)
    for until, value, price in (
        (sell_until, sale_proceeds, 900.0),
        (buy_until, purchase_cost, 3_100.0),
    ):
        quantity = until(*args, price)
        step = 1e-5 * quantity
        marginal = (value(*args, quantity + step) - value(*args, quantity - step)) / (2.0 * step)
        assert marginal == pytest.approx(price, rel=1e-7)


def test_square_root_law_and_mid_after_a_sale(make_world, make_rows):
    world, market = bound(make_world, permanent=0.0)
    rows = world.run(market, make_rows([swap(WETH, USDC, 15_000.0)]))
    # 15,000 tokens at 2,000 are 1% of the daily volume: f = 4% * sqrt(0.01); a third is saved.
    assert world.market_price[0, WETH] == pytest.approx(2_000.0 * (1.0 - 0.004), rel=1e-12)
    usd = 3e7 * (1.0 - 0.004 * 2.0 / 3.0) * (1.0 - 2e-4)
    assert rows[0]["r1"] == pytest.approx(usd, rel=2e-4)
    assert world.market_price[0, USDC] > 1.0
    assert rows[0]["r2"] == pytest.approx(3e7 - rows[0]["r1"], rel=1e-9)


def test_impact_decays_by_half_in_a_half_life_and_the_permanent_part_stays(make_world, make_rows):
    world, market = bound(make_world, resilience_half_life=600.0)
    world.run(market, make_rows([swap(WETH, USDC, 15_000.0)]))
    x, shift = book(market, "imbalance"), book(market, "permanent")
    for _ in range(50):
        market.accrue()
    assert book(market, "imbalance") == pytest.approx(0.5 * x, rel=1e-12)
    assert shift == pytest.approx(-0.3 * 0.04 * 0.01, rel=1e-9)
    for _ in range(50 * 60):
        market.accrue()
    assert book(market, "imbalance") == 0.0
    assert world.market_price[0, WETH] == pytest.approx(2_000.0 * np.exp(shift), rel=1e-15)


def test_drained_depth_displaces_more(make_world, make_rows):
    world, market = bound(make_world)
    world.inputs["depth"][1] = 0.25
    market.accrue()
    for w in (0, 1):
        world.run(market, make_rows([swap(WETH, USDC, 1_000.0, world=w)]))
    fall = 1.0 - world.market_price[:, WETH] / 2_000.0 / np.exp(
        market.state.books["permanent"][:, WETH]
    )
    assert fall[1] == pytest.approx(2.0 * fall[0], rel=1e-6)


def test_without_feedback_traders_pay_but_nobody_else_sees_it(make_world, make_rows):
    world, market = bound(make_world, feedback=False, permanent=0.3)
    first, second = world.run(market, make_rows([swap(WETH, USDC, 5_000.0)] * 2))
    np.testing.assert_array_equal(world.market_price, world.fundamental)
    assert second["r1"] < first["r1"]
    assert book(market, "permanent") == 0.0


def test_displacement_stops_at_the_largest(make_world, make_rows):
    world, market = bound(make_world, daily_volume=1e4, permanent=0.0)
    world.run(market, make_rows([swap(WETH, USDC, 1e5)]))
    assert world.market_price[0, WETH] == pytest.approx(1_000.0)


def test_a_book_of_infinite_volume_has_no_impact(make_world, make_rows):
    world, market = bound(make_world, daily_volume=np.inf, half_spread_bps=0.0)
    row = world.run(market, make_rows([swap(WETH, USDC, 1e5)]))[0]
    assert row["r1"] == 2e8
    assert sell_until(market.state, world.fundamental, 0, WETH, 1_999.0) == np.inf


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verb": Verb.SUPPLY}, Reject.UNKNOWN_VERB),
        ({"asset": 4}, Reject.BAD_ASSET),
        ({"asset_2": -1}, Reject.BAD_ASSET),
        ({"asset": USDC}, Reject.BAD_ASSET),
        ({"amount": 0.0}, Reject.BAD_AMOUNT),
        ({"amount": np.nan}, Reject.BAD_AMOUNT),
        ({"amount": 1e6}, Reject.INSUFFICIENT_BALANCE),
        ({"asset": 3, "amount": np.inf}, Reject.INSUFFICIENT_BALANCE),
        ({"limit": 2_000.0}, Reject.LIMIT_NOT_MET),
        ({"limit": np.nan}, Reject.LIMIT_NOT_MET),
    ],
)
def test_rejects_leave_everything_as_it_was(make_world, make_rows, fields, code):
    world, market = bound(make_world)
    state, balances = market.snapshot(), world.ledger.arena.snapshot()
    prices = world.market_price.copy()
    rows = world.run(market, make_rows([{**swap(WETH, USDC, 1.0), **fields}]))
    assert rows[0]["code"] == code
    np.testing.assert_array_equal(market.snapshot(), state)
    np.testing.assert_array_equal(world.ledger.arena.snapshot(), balances)
    np.testing.assert_array_equal(world.market_price, prices)


trades = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 3]),
        st.sampled_from([0, 1, 2, 3]),
        st.one_of(st.floats(1e-9, 1e9), st.just(np.inf), st.just(-1.0)),
        st.integers(0, 2),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(trades)
def test_tokens_leave_by_burning_and_come_by_minting(make_world, make_rows, sequence):
    world, market = bound(make_world)
    rows = make_rows([swap(a, b, amount, world=w) for a, b, amount, w in sequence])
    world.run(market, rows)
    world.ledger.check()
    assert (world.ledger.balances >= 0.0).all()
    assert not world.ledger.balances[:, market.account].any()
    assert not market.claims().any()
    done = rows[rows["code"] == Reject.OK]
    for asset in range(4):
        assert world.ledger.burnt[:, asset].sum() == pytest.approx(
            done["r0"][done["asset"] == asset].sum(), rel=1e-9
        )
    assert (world.market_price > 0.0).all()


def busy(make_rows, worlds):
    rng = np.random.default_rng(11)
    amounts = rng.random((3, 8)) * 2_000.0
    return make_rows(
        [
            swap((WETH, USDC)[i % 2], (USDC, WBTC)[i % 2], amounts[w, i], world=worlds.index(w))
            for w in worlds
            for i in range(8)
        ]
    )


def test_a_world_alone_equals_the_world_in_a_batch(make_world, make_rows):
    world, market = bound(make_world)
    rows = world.run(market, busy(make_rows, [0, 1, 2]))
    market.accrue()
    lone, lone_market = bound(make_world, make_world(n_worlds=1))
    mine = lone.run(lone_market, busy(make_rows, [2]))
    lone_market.accrue()
    np.testing.assert_array_equal(mine["r1"], rows[rows["world"] == 2]["r1"])
    np.testing.assert_array_equal(lone.market_price[0], world.market_price[2])


def test_snapshot_continues_and_rollback_undoes(make_world, make_rows):
    world, market = bound(make_world)
    world.run(market, busy(make_rows, [0, 1, 2]))
    kept, balances = market.snapshot(), world.ledger.arena.snapshot()
    prices = world.market_price.copy()
    worlds = np.array([1])
    market.checkpoint(worlds, np.full((1, 8), -1))
    first = world.run(market, busy(make_rows, [0, 1, 2]))
    market.rollback(worlds)
    np.testing.assert_array_equal(world.market_price[1], prices[1])
    assert (world.market_price[0] != prices[0]).any()
    market.publish()
    np.testing.assert_array_equal(world.market_price[1], prices[1])
    market.restore(kept)
    market.publish()
    world.ledger.arena.restore(balances)
    np.testing.assert_array_equal(world.market_price, prices)
    again = world.run(market, busy(make_rows, [0, 1, 2]))
    np.testing.assert_array_equal(again, first)


def test_kernels_run_as_plain_python(make_world, make_rows, plain):
    for terms in ({}, {"exponent": 0.6, "daily_volume": 1e4}):
        world, market = bound(make_world, **terms)
        compiled = world.run(market, busy(make_rows, [0, 1, 2]))
        market.accrue()
        quotes = [
            kernel(market.state, world.fundamental, 0, WETH, price)
            for kernel, price in ((sell_until, 1_900.0), (buy_until, 2_100.0))
        ]
        quotes.append(outside_quote(market.state, world.fundamental, 0, WETH, WBTC, 3.0))
        with plain(module, impact_module):
            mirror, slow_market = bound(make_world, **terms)
            slow = mirror.run(slow_market, busy(make_rows, [0, 1, 2]))
            slow_market.accrue()
            args = (slow_market.state, mirror.fundamental, 0, WETH)
            slow_quotes = [
                module.sell_until(*args, 1_900.0),
                module.buy_until(*args, 2_100.0),
                module.outside_quote(*args, WBTC, 3.0),
            ]
        for name in ("code", "r0", "r1"):
            np.testing.assert_allclose(slow[name], compiled[name], rtol=1e-9)
        np.testing.assert_allclose(mirror.market_price, world.market_price, rtol=1e-12)
        np.testing.assert_allclose(slow_quotes, quotes, rtol=1e-9)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"daily_volume": {"WETH": 1e9}}, "outside.daily_volume must name every asset, but lacks"),
        ({"daily_volume": {"WETH": -1.0}}, r"daily_volume.WETH must lie in \(0, inf\], got -1"),
        ({"exponent": 1.5}, r"exponent must lie in \[0.1, 1\], got 1.5"),
        ({"largest_displacement": 1.0}, r"largest_displacement must lie in \(0, 1\), got 1"),
        ({"resilience_half_life": np.nan}, "resilience_half_life must lie"),
    ],
)
def test_bad_terms_are_named(make_world, terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        bound(make_world, **terms)
