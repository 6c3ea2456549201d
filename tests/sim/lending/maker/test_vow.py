"""The debt queue by hand, against the contract's per-second queue, and what auctions could sell."""

import numpy as np
import pytest

from sim.actions import Reject, Verb, new_rows
from sim.errors import ConfigError
from sim.lending.maker.market import YEAR, MakerMarket
from sim.lending.maker.params import MakerParams
from sim.lending.maker.state import HOUR
from sim.lending.maker.vow import fess, flog

ALICE, BOB = 2, 3
GEM, DAI = 0, 1
LUMPS = {"lump": 50.0, "ttl": 600.0, "penalty": 0.13, "wait": 7_200.0}  # 5,000 of debt per lump


def book(world, w=0):
    """Debt, the queued part, surplus, and what of the debt nothing will cover."""
    market = world.market
    system = market.state.system[w]
    assert world.ledger.balances[w, 0, DAI] == pytest.approx(system["surplus"], abs=1e-9)
    return (
        float(system["sin"]), float(market.queued()[w]), float(system["surplus"]),
        float(market.unbacked()[w]),
    )  # fmt: skip


def settle_at(world, seconds):
    world.step = round(seconds / world.block_seconds)
    world.market.settle()
    world.check()


def test_debt_waits_whatever_becomes_of_its_auction(maker):
    world = maker(surplus=3_000.0, sump=1_350.0, **LUMPS)
    world.price(140.0)
    world.do(Verb.LIQUIDATE, target=0)
    settle_at(world, 0.0)
    assert book(world) == (5_000.0, 5_000.0, 3_000.0, 0.0)
    settle_at(world, 600.0)
    world.do(Verb.LIQUIDATE, target=0)
    world.do(Verb.BID, ALICE, target=0, amount=0.0)
    settle_at(world, 1_260.0)
    world.do(Verb.DEAL, target=0)  # nothing came in; its debt is due at 7,200
    world.do(Verb.BID, BOB, target=1, amount=5_650.0)
    settle_at(world, 1_920.0)
    world.do(Verb.DEAL, target=1)
    for seconds in (1_920.0, 7_200.0, 7_740.0):  # both lie in one hour: due with the later one
        settle_at(world, seconds)
        assert book(world) == (10_000.0, 10_000.0, 8_650.0, 1_350.0)
        assert world.market.auctionable_debt()[0] == 0.0
    settle_at(world, 7_800.0)
    assert book(world) == (1_350.0, 0.0, 0.0, 1_350.0)
    assert world.market.auctionable_debt()[0] == 1_350.0
    assert world.market.bad_debt_usd()[0] == 5_000.0


def test_each_hour_leaves_the_queue_on_its_own(maker):
    world = maker(ink=(200.0,), debt=(20_000.0,), surplus=30_000.0, **LUMPS)
    world.price(140.0)
    for seconds in (0.0, 3_540.0, 3_600.0):
        settle_at(world, seconds)
        world.do(Verb.LIQUIDATE, target=0)
    for seconds, queued in ((10_680.0, 15_000.0), (10_740.0, 5_000.0), (10_800.0, 0.0)):
        settle_at(world, seconds)
        assert book(world) == (queued, queued, 15_000.0 + queued, 0.0)
    settle_at(world, 90_000.0)  # the ring of three bins begins anew
    world.do(Verb.LIQUIDATE, target=0)
    settle_at(world, 97_140.0)
    assert book(world) == (5_000.0, 5_000.0, 15_000.0, 0.0)
    settle_at(world, 97_200.0)
    assert book(world) == (0.0, 0.0, 10_000.0, 0.0)


def test_debt_that_is_due_may_be_cancelled_under_a_running_auction(maker):
    world = maker(surplus=3_000.0, **{**LUMPS, "wait": 0.0})
    world.price(140.0)
    world.do(Verb.LIQUIDATE, target=0)
    settle_at(world, 0.0)
    assert book(world) == (2_000.0, 0.0, 0.0, 0.0)  # the auction may still bring 5,000
    world.do(Verb.BID, ALICE, target=0, amount=1_000.0)
    settle_at(world, 660.0)
    assert book(world) == (1_000.0, 0.0, 0.0, 0.0)
    world.do(Verb.DEAL, target=0)
    assert book(world)[3] == 1_000.0  # 5,000 less the bid and the surplus


def test_incentives_do_not_wait(maker):
    world = maker(auction="clip", tip=5.0, chip=0.01, surplus=200.0, penalty=0.1)
    world.price(140.0)
    world.do(Verb.LIQUIDATE, target=0)
    settle_at(world, 0.0)
    assert book(world) == pytest.approx((10_000.0, 10_000.0, 85.0, 0.0))  # 5 + 1% of 11,000


@pytest.mark.parametrize("wait", [0.0, 1.0, 3_600.0, 10_000.0, 561_600.0])
def test_no_debt_leaves_before_the_contracts_and_none_an_hour_after(maker, wait):
    state = maker(wait=wait).market.state
    rng = np.random.default_rng(3)
    now, entries = YEAR + 17.0, []
    for _ in range(600):
        now += float(rng.integers(0, 2 * wait // 5 + 2)) * (rng.random() < 0.7)
        if rng.random() < 0.6:
            debt = float(rng.integers(1, 1_000))
            entries.append((now, debt))
            fess(state, 0, now, debt)
        flog(state, 0, now)
        queued = state.system["queued"][0]
        exact = sum(debt for era, debt in entries if era + wait > now)
        late = sum(debt for era, debt in entries if era + wait + HOUR > now)
        assert exact <= queued <= late  # whole numbers: no rounding
        assert queued == state.queue["debt"][0].sum()
    assert len(entries) > 300


def set_system(world, **fields):
    for name, value in fields.items():
        world.market.state.system[name] = value


def test_debt_auctions_start_at_a_whole_sump_without_surplus(maker):
    world = maker(sump=50_000.0)
    for sin, queued, surplus, expected in (
        (50_000.0, 0.0, 0.0, 50_000.0),
        (49_999.99, 0.0, 0.0, 0.0),
        (149_999.99, 0.0, 0.0, 100_000.0),
        (150_000.0, 100_000.0, 0.0, 50_000.0),
        (150_000.0, 100_000.01, 0.0, 0.0),
        (150_000.0, 0.0, 0.01, 0.0),
        (0.1 * 3.0 * 1e6, 0.0, 0.0, 300_000.0),
    ):
        set_system(world, sin=sin, queued=queued, surplus=surplus)
        assert world.market.auctionable_debt()[0] == expected, (sin, queued, surplus)


def test_surplus_auctions_start_a_whole_bump_above_debt_and_buffer(maker):
    world = maker(bump=10_000.0, hump=500_000.0)
    for surplus, sin, queued, expected in (
        (510_000.0, 0.0, 0.0, 10_000.0),
        (509_999.99, 0.0, 0.0, 0.0),
        (539_999.0, 0.0, 0.0, 30_000.0),
        (540_000.0, 0.0, 0.0, 40_000.0),
        (513_000.0, 3_000.0, 3_000.0, 10_000.0),
        (512_999.99, 3_000.0, 3_000.0, 0.0),
        (600_000.0, 3_000.0, 2_999.0, 0.0),
        (100.0, 0.0, 0.0, 0.0),
    ):
        set_system(world, surplus=surplus, sin=sin, queued=queued)
        assert world.market.auctionable_surplus()[0] == expected, (surplus, sin, queued)


@pytest.mark.parametrize("k", range(1, 9))
def test_no_rounding_blocks_a_surplus_auction(maker, k):
    """Large old debt rounds what small new debt adds to it; once healed, none of it is left."""
    world = maker(debt=(10_000.0 + 0.1 * k / 3.0,), **LUMPS)
    old = 7e9 / 3.0
    set_system(world, sin=old)
    world.price(140.0)
    world.act(world.market, Verb.LIQUIDATE, account=ALICE, target=0)
    world.ledger.endow(0, DAI, old + 1e6)
    set_system(world, surplus=old + 1e6)
    assert world.market.auctionable_surplus()[0] == 0.0  # the old debt is not queued
    world.market.settle()
    system = world.market.state.system[0]
    assert system["sin"] == system["queued"] == pytest.approx(5_000.0, rel=1e-4)
    assert world.market.auctionable_surplus()[0] == 490_000.0  # 5,000 are owed


def test_the_queue_goes_back_with_all_else(maker):
    world = maker(n_worlds=2, surplus=9_000.0, **LUMPS)
    market, state = world.market, world.market.state
    first = market.arena.buffer.tobytes()
    worlds = np.array([0])
    market.arena.checkpoint(worlds)
    world.price(140.0)
    world.act(market, Verb.LIQUIDATE, account=ALICE, target=0)
    assert state.queue["debt"].sum(axis=1).tolist() == [5_000.0, 0.0]
    taken = market.arena.snapshot()
    market.arena.rollback(worlds)
    assert market.arena.buffer.tobytes() == first
    market.arena.restore(taken)
    assert market.queued().tolist() == [5_000.0, 0.0]
    market.arena.reset(np.array([True, False]))
    assert market.arena.buffer.tobytes() == first


def test_a_worlds_queue_does_not_depend_on_the_others(maker):
    hours = {0: (0, 1, 5), 1: (2, 3, 4), 2: (0, 4, 6)}  # when each world's vault is seized from

    def run(chosen):
        world = maker((200.0,), (20_000.0,), len(chosen), surplus=7_000.0, **LUMPS)
        world.block_seconds = 1_800.0
        world.price(140.0)
        for step in range(20):
            world.step = step
            rows = new_rows(len(chosen))
            rows["verb"], rows["account"], rows["world"] = Verb.LIQUIDATE, ALICE, range(len(chosen))
            rows["target"] = 0
            due = [step in [2 * hour for hour in hours[w]] for w in chosen]
            done = world.execute(world.market, rows[np.array(due)])
            assert (done["code"] == Reject.OK).all()
            world.market.settle()
        world.check()
        assert (world.market.state.system["surplus"] == 0.0).all()
        state = world.market.state
        return [(state.queue[w].tobytes(), state.system[w].tobytes()) for w in range(len(chosen))]

    assert run([0, 1, 2]) == [run([w])[0] for w in range(3)]


def test_terms_of_the_queue_are_checked(maker):
    for field, value in (("wait", -1.0), ("wait", np.inf), ("sump", 0.0), ("bump", 0.0),
                         ("hump", -1.0)):  # fmt: skip
        with pytest.raises(ConfigError, match=field):
            MakerParams(**{field: value})
    assert MakerMarket().params.wait == 156 * HOUR
