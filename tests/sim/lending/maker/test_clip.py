"""Dutch auctions beyond the vectors: holes, restarts, rewards, what a caller may lose."""

import numpy as np
import pytest

from sim.actions import Reject, Verb
from sim.lending.maker.clip import curve_price, take_size
from sim.lending.maker.params import EXPONENTIAL, LINEAR, STAIRSTEP

OWNER, ALICE, BOB = 1, 2, 3
GEM, DAI = 0, 1


@pytest.fixture
def clip(maker):
    """Factory of Dutch markets whose prices fall by a tenth every minute."""

    def build(**terms):
        return maker(**{
            "auction": "clip", "cut": 0.9, "step": 60.0, "buf": 1.2, "tail": 1_200.0, "cusp": 0.3,
            "penalty": 0.1, "dust": 1_000.0, "tip": 5.0, "chip": 0.01, **terms,
        })  # fmt: skip

    return build


def test_curves_start_at_the_top_and_never_rise():
    for curve in (LINEAR, STAIRSTEP, EXPONENTIAL):
        prices = [
            curve_price(float(curve), 100.0, t, 600.0, 0.99, 7.0) for t in np.arange(0.0, 900.0)
        ]
        assert prices[0] == 100.0
        assert (np.diff(prices) <= 0.0).all()
    assert curve_price(float(LINEAR), 100.0, 600.0, 600.0, 0.99, 7.0) == 0.0


def test_bark_pays_the_keeper_from_the_systems_debt(clip):
    world = clip()
    world.price(140.0)
    done = world.do(Verb.LIQUIDATE, target=0)
    assert done["r2"] == pytest.approx(11_000.0)
    assert world.ledger.balances[0, ALICE, DAI] == pytest.approx(1e6 + 5.0 + 110.0)
    assert world.market.state.system["sin"][0] == pytest.approx(10_115.0)


def test_the_hole_cuts_an_auction_and_the_next_waits(clip):
    world = clip(hole=5_500.0)
    world.price(140.0)
    done = world.do(Verb.LIQUIDATE, target=0)
    assert done["r2"] == pytest.approx(5_500.0)
    assert done["r1"] == pytest.approx(50.0)
    world.refuse(Reject.CAP_EXCEEDED, Verb.LIQUIDATE, target=0)
    world.do(Verb.TAKE, BOB, target=0, amount=10.0)
    # 1,680 of room allow a debt of 1,527, above dust
    assert world.do(Verb.LIQUIDATE, target=0)["r2"] == pytest.approx(1_680.0)


def test_a_stale_auction_is_restarted_at_the_present_price(clip):
    world = clip()
    world.price(140.0)
    world.do(Verb.LIQUIDATE, target=0)
    world.refuse(Reject.AUCTION_RUNS, Verb.REDO, target=0)
    world.wait(12 * 60.0)  # 0.9^12 = 0.28 < cusp
    assert np.isnan(world.market.auctions()[1]).all()
    world.refuse(Reject.AUCTION_OVER, Verb.TAKE, BOB, target=0)
    world.price(100.0)
    done = world.do(Verb.REDO, BOB, target=0)
    assert done["r0"] == pytest.approx(120.0)
    assert done["r1"] == pytest.approx(115.0)
    world.wait(21 * 60.0)
    world.price(1.0)  # the lot is worth less than chost: nobody is paid for restarting it
    assert world.do(Verb.REDO, BOB, target=0)["r1"] == 0.0


def test_a_price_above_the_limit_is_refused(clip):
    world = clip()
    world.price(140.0)
    world.do(Verb.LIQUIDATE, target=0)
    world.refuse(Reject.LIMIT_NOT_MET, Verb.TAKE, BOB, target=0, limit=167.9)
    world.refuse(Reject.LIMIT_NOT_MET, Verb.TAKE, BOB, target=0, limit=np.nan)
    world.refuse(Reject.BAD_AMOUNT, Verb.TAKE, BOB, target=0, amount=0.0)
    done = world.do(Verb.TAKE, BOB, target=0, limit=168.1)
    assert done["r0"] == pytest.approx(11_000.0 / 168.0)
    assert done["r1"] == pytest.approx(11_000.0)
    assert done["r2"] == pytest.approx(100.0 - 11_000.0 / 168.0)  # back to the owner
    assert done["r3"] == 0.0


def test_a_lot_that_raises_too_little_leaves_bad_debt(clip):
    world = clip(cusp=0.0, tail=1e5)
    world.price(140.0)
    world.do(Verb.LIQUIDATE, target=0)
    world.wait(10 * 60.0)
    price = 168.0 * 0.9**10
    done = world.do(Verb.TAKE, BOB, target=0)
    assert done["r1"] == pytest.approx(100.0 * price)
    assert done["r3"] == pytest.approx(10_000.0 - 100.0 * price)
    assert world.market.bad_debt_usd()[0] == done["r3"]
    assert world.market.state.system["dirt"][0] == 0.0


def test_a_bid_is_cut_to_leave_chost_but_never_against_the_auction():
    rng = np.random.default_rng(1)
    for _ in range(3_000):
        tab, lot, price = rng.lognormal(9.0, 1.0), rng.lognormal(3.0, 1.0), rng.lognormal(5.0, 1.0)
        chost = tab * rng.uniform(0.0, 1.5)
        amount = lot * rng.choice([rng.uniform(), 1.0, 2.0])
        code, sold, owe = take_size(tab, lot, price, chost, amount)
        if code == Reject.LEAVES_DUST:
            assert tab <= chost * (1 + 2e-12)
            continue
        assert 0.0 <= sold <= min(lot, amount)
        assert owe >= sold * price * (1 - 1e-12)
        assert owe <= tab
        left = tab - owe
        assert left == 0.0 or sold == lot or left >= chost * (1 - 1e-11)
