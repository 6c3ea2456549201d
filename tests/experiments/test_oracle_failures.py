"""Two failures of oracles in 2026: healthy loans are lost because the feed is wrong, no others."""

import numpy as np
import pytest

from experiments.build import without_unused
from sim.actions import Verb
from sim.events import EventLog

SMALL = ("book.n_positions=400", "check_every=1")


@pytest.fixture
def play(compose, make_model):
    """Factory: play a scenario for some hours; the model and its liquidations."""

    def run(scenario, hours, *overrides):
        config = without_unused(compose(f"scenario={scenario}", *SMALL, *overrides))
        model = make_model(config, 0, 2, events=EventLog([Verb.LIQUIDATE], rejected=False))
        for _ in range(round(hours * 3_600.0 / model.world.block_seconds)):
            model.step()
        return model, model.world.events.rows()

    return run


def loans(market, collateral, debt):
    """Collateral and debt of the initial loans, whole tokens, shape (position,)."""
    held, owed = market._collateral_book[:, collateral], market._debt_book[:, debt]
    return held, owed


def test_capo_liquidates_the_loans_that_closed_form_names(play):
    model, calls = play("capo_2026", 1.0)
    world, market = model.world, model.world.venues["lending"]
    weth, wsteth = world.asset_index("WETH"), world.asset_index("WSTETH")
    cap, rate = 1.1919 * (1.0 + 0.0872 * 7.0 / 365.0), 1.2289
    assert 1.0 - cap / rate == pytest.approx(0.0285, abs=5e-5)
    found = world.oracle_price[:, wsteth] / world.oracle_price[:, weth]
    np.testing.assert_allclose(found, cap, rtol=1e-5)  # half an hour of growth
    held, owed = loans(market, wsteth, weth)
    health = np.full(held.shape, np.inf)
    np.divide(0.95 * held * rate, owed, out=health, where=(owed > 0.0) & (held > 0.0))
    assert (health > 1.0).all()  # everybody is healthy at the right rate
    assert market.state.mode[:, health < np.inf].all()
    worth = owed * world.market_price[0, weth] > 2e4  # smaller ones may not pay for the gas
    sure = np.abs(health * cap / rate - 1.0) > 1e-4  # interest and growth of half an hour
    called = np.isin(np.arange(held.shape[0]), calls["target"])
    expected = health * cap / rate < 1.0
    np.testing.assert_array_equal(called[worth & sure], expected[worth & sure])
    assert not called[sure & ~expected].any()
    assert 10 < (worth & expected).sum() < 300
    # A call of bonus 1% at a price 2.85% too low: 1.01 / 0.9715 of the debt's worth.
    ratio = (calls["r1"] + calls["r2"]) / calls["r0"] * rate
    np.testing.assert_allclose(ratio, 1.01 / (cap / rate), rtol=2e-5)
    assert (calls["r3"] == 0.0).all()
    _, shortfall = market.backlog()
    assert (shortfall == 0.0).all()  # no bad debt
    model.close()


def test_moonwell_sells_collateral_at_the_ratio(play):
    model, calls = play("moonwell_2026", 1.5)
    world, market = model.world, model.world.venues["lending"]
    weth, cbeth, usdc = (world.asset_index(name) for name in ("WETH", "CBETH", "USDC"))
    ratio = world.market_price[:, cbeth] / world.market_price[:, weth]
    np.testing.assert_allclose(world.oracle_price[:, cbeth], ratio, rtol=1e-12)
    first = 2_200.0 / 1_964.0
    assert first == pytest.approx(1.12, abs=5e-4)
    np.testing.assert_allclose(ratio, first, rtol=0.03)  # sales press on it
    in_usdc = calls[calls["asset_2"] == usdc]
    paid = in_usdc["r0"] / (in_usdc["r1"] + in_usdc["r2"])  # USDC per cbETH
    assert (paid < first / 1.1 * (1.0 + 1e-9)).all()
    np.testing.assert_allclose(paid, first / 1.1, rtol=0.03)
    held, owed = market._collateral_book, market._debt_book
    prices = world.fundamental[0]
    loan = owed.any(axis=1)
    healthy = 0.78 * held[loan, cbeth] * prices[cbeth] / (owed[loan] @ prices)
    assert (healthy > 1.0).all()
    for w in range(2):
        mine = calls[calls["world"] == w]
        seized = mine["r1"].sum() + mine["r2"].sum()
        assert seized == pytest.approx(held[loan, cbeth].sum(), rel=0.01)
        repaid = (mine["r0"] * prices[mine["asset_2"]]).sum()
        shortfall = market.backlog()[1][w]
        assert shortfall == pytest.approx((owed[loan] @ prices).sum() - repaid, rel=0.01)
    model.close()


@pytest.mark.parametrize(
    ("scenario", "hours", "right"),
    [
        ("capo_2026", 1.9, ["oracle.ratios.WSTETH.snapshots.wrong=null"]),
        ("moonwell_2026", 1.5, ["oracle.ratio_to=null", "oracle.factor=1"]),
    ],
)
def test_the_right_feed_liquidates_nobody(play, scenario, hours, right):
    model, calls = play(scenario, hours, *right)
    assert len(calls) == 0
    np.testing.assert_allclose(model.world.oracle_price, model.world.market_price, rtol=2e-5)
    model.close()
