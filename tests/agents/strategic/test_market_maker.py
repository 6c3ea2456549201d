"""The market maker in plain Python: its formula, its rows, and what it does on a book."""

import numpy as np
import pytest

from agents.strategic.market_maker import MarketMaker
from sim.actions import Reject, Verb
from sim.crowd.avellaneda_stoikov import optimal_spread, reservation_shift
from sim.errors import ConfigError


@pytest.fixture(scope="module")
def made(compose, make_model):
    """A model of two worlds with a maker on a book of a crowd, forty blocks played."""
    config = compose("market=order_book", "book.n_positions=200", "hours=1", "check_every=1")
    maker = MarketMaker(order_usd=5e4, sigma_bps=0.3, inventory_limit=1e9)
    model = make_model(config, 0, 2, extra={"maker": maker})
    for _ in range(40):
        model.step()
    yield model, maker
    model.close()


def test_quotes_are_those_of_the_paper():
    maker = MarketMaker(risk_aversion=0.02, decay=0.4, sigma_bps=1.5, session_seconds=600.0)
    mid, inventory = np.array([2_000.0, 1_500.0]), np.array([3.0, -2.0])
    bid, ask = maker.quotes(mid, inventory, 250.0)
    for w in range(2):
        spread = optimal_spread.py_func(0.02, 0.4, 1.5, 250.0)
        shift = reservation_shift.py_func(inventory[w], 0.02, 1.5, 250.0)
        assert ask[w] - bid[w] == pytest.approx(1e-4 * mid[w] * spread)
        assert 0.5 * (ask[w] + bid[w]) == pytest.approx(mid[w] * (1.0 + 1e-4 * shift))


def test_it_renews_both_quotes_in_every_world_and_trades(made):
    model, maker = made
    rows = model.world.events.rows()
    mine = rows[rows["account"] == maker.account]
    orders = mine[mine["verb"] == Verb.LIMIT_ORDER]
    assert len(orders) == 2 * 2 * 40
    assert (orders["code"] == Reject.OK).mean() > 0.9  # some would have traded: post-only
    gone = (mine["verb"] == Verb.CANCEL_ORDER) & (mine["code"] == Reject.UNKNOWN_ORDER)
    assert gone.sum() > 4  # quotes that were taken before they were cancelled
    live = model.world.market.open_orders("WETH", maker.account)
    assert 0 < len(live["target"]) <= 4
    assert set(live["target"].tolist()) <= {0, 1}


def test_its_bids_lie_below_its_asks(made):
    model, maker = made
    rows = maker.decide(model.view)
    table = rows[rows["verb"] == Verb.LIMIT_ORDER]
    buys = table["asset"] == maker.quote
    assert (table["limit"][buys] < table["limit"][~buys]).all()
    ticks = table["limit"] / maker.tick
    np.testing.assert_allclose(ticks, np.round(ticks), atol=1e-6)


def test_beyond_its_limit_it_quotes_one_side(made):
    model, maker = made
    maker.limit, kept = 0.5, maker.start
    maker.start = kept - 10.0 * maker.amount  # as if it had bought ten orders
    rows = maker.decide(model.view)
    maker.limit, maker.start = 1e9, kept
    orders = rows[rows["verb"] == Verb.LIMIT_ORDER]
    assert set(orders["asset"].tolist()) == {maker.asset}
    assert len(orders) == 2
    assert (rows["verb"] == Verb.CANCEL_ORDER).sum() == 4


def test_it_needs_a_book(compose, make_model):
    with pytest.raises(ConfigError, match=r"maker.market must name a market of order books"):
        make_model(compose("book.n_positions=50"), extra={"maker": MarketMaker()})
