"""The loop: order of events, latency, cutting time into pieces, conservation."""

import heapq

import numpy as np
import pytest

from sim.book.book import new_messages
from sim.book.layout import N_PRINTS, OrderVerb, Side, TimeInForce
from sim.book.matching import submit
from sim.crowd.adaptive_maker import AdaptiveMaker
from sim.crowd.avellaneda_stoikov import AvellanedaStoikov
from sim.crowd.crowd import Fundamental
from sim.crowd.executor import Executor
from sim.crowd.glft import GueantLehalleFernandezTapia
from sim.crowd.hawkes import Hawkes
from sim.crowd.heap import drop, push
from sim.crowd.informed import Informed
from sim.crowd.layout import (
    BY_KIND,
    DELIVERED,
    LATE_NOTICES,
    N_EVENTS,
    SECOND,
    EventKind,
)
from sim.crowd.loop import advance, notice
from sim.crowd.momentum import Momentum
from sim.crowd.noise import Noise
from sim.crowd.value import Value
from sim.crowd.zero_intelligence import ZeroIntelligence

FAR = {"latency": 0.05, "latency_sigma": 1.0}


def everybody():
    return {
        "flow": Hawkes(latency=0.001, target=200.0, slots=1024),
        "zero": ZeroIntelligence(limit_rate=0.01, market_rate=0.05, cancel_rate=0.02),
        "ladders": AdaptiveMaker(count=2, gap=10.0, **FAR),
        "value": Value(count=10, gap=10.0, **FAR),
        "momentum": Momentum(count=3, gap=2.0, **FAR),
        "noise": Noise(count=20, gap=5.0, passive=0.5, **FAR),
        "finite": AvellanedaStoikov(count=3, gap=3.0, size=20, **FAR),
        "endless": GueantLehalleFernandezTapia(count=3, gap=3.0, size=20, levels=2, **FAR),
        "informed": Informed(count=2, gap=2.0, size=50, **FAR),
        "executor": Executor(
            count=2, size=20, size_law="pareto", size_shape=1.5, gap=1.0, pause=20.0, **FAR
        ),
    }


MOVING = Fundamental(speed=1e-4, volatility=2e-4, jump_rate=0.01, jump_size=0.005)


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_path_depends_neither_on_the_batch_nor_on_how_time_is_cut(market, pieces):
    whole = market(everybody(), MOVING, ids=(7,), seed=3)
    whole.run(300.0)
    batch = market(everybody(), MOVING, ids=(4, 7, 1), seed=3)
    for k in range(pieces):
        for it in batch:
            it.run(300.0 * (k + 1) / pieces)
    assert batch[1].trace() == whole.trace()
    assert batch[0].trace() != whole.trace()


def test_nothing_is_lost(market, consistent):
    it = market(everybody(), MOVING, seed=1)
    before = it.wealth()
    for second in range(10, 400, 13):
        it.run(second)
        consistent(it)
    assert it.wealth() == before
    assert np.all(it.head[BY_KIND : BY_KIND + 6] > 50)
    assert it.head[DELIVERED] == it.head[BY_KIND : BY_KIND + 6].sum()
    assert it.head[LATE_NOTICES] == 0


def test_inventories_are_what_accounts_have_gained(market):
    it = market(everybody(), MOVING, seed=2)
    start = it.book.accounts["lots"].copy()
    it.run(200.0)
    members = it.crowd.state.members[0]
    events = it.crowd.state.heap[0, : it.head[N_EVENTS]]
    seen = members["inventory"].copy()
    for event in events[events["kind"] >= EventKind.ACCEPTED]:
        order = it.crowd.state.own[0, event["target"]]
        if event["kind"] != EventKind.CANCELLED:
            lots = event["data"] >> 1
            seen[order["member"]] += lots if order["side"] == Side.BUY else -lots
    held = it.book.accounts["lots"] + it.book.accounts["lots_reserved"] - start
    assert np.array_equal(held[: members.size], seen)
    assert np.abs(seen).sum() > 0


def test_the_heap_is_a_queue_by_time_then_by_plan(market):
    it = market({"noise": Noise(count=400)})
    state = it.crowd.state
    one = type(state)(*[a[0] for a in state[:11]], state.world_ids, state.terms, state.key)
    while one.head[N_EVENTS]:
        drop(one)
    rng, twin, popped = np.random.default_rng(0), [], []
    for k in range(3000):
        if rng.random() < 0.55 and len(twin) < 1000:
            time = int(rng.integers(0, 50))
            push(one, time, np.int64(1), np.int64(k), np.int64(k))
            heapq.heappush(twin, (time, k))
        elif twin:
            popped.append((int(one.heap[0]["time"]), int(one.heap[0]["target"])))
            assert popped[-1] == heapq.heappop(twin)
            drop(one)
    assert len(popped) > 500


def messages(*rows):
    out = new_messages(len(rows))
    for row, (verb, side, order_id, quantity, price, account) in zip(out, rows, strict=True):
        row["verb"], row["side"], row["id"] = verb, side, order_id
        row["quantity"], row["price"], row["account"] = quantity, price, account
    return out


def test_an_order_takes_its_latency_both_ways(market):
    """A noise trader wakes once; its order, and the notice of it, come one latency apart."""
    it = market({"noise": Noise(count=1, latency=0.25, session=1.0, size_law="constant")})
    book, stranger = it.book, 1
    book.accounts[stranger]["cash"] = book.accounts[stranger]["lots"] = 10**9
    for row in messages((1, 0, 1, 5, 9_999, stranger), (1, 1, 2, 5, 10_001, stranger)):
        submit(book, row[None])
    wake = int(it.crowd.state.heap[0, 0]["time"])
    state = it.crowd.state
    latency = SECOND // 4
    advance(book, state, 0, wake + latency - 1)
    assert it.head[BY_KIND + EventKind.ORDER] == 0
    advance(book, state, 0, wake + latency)
    assert it.head[BY_KIND + EventKind.ORDER] == 1
    assert book.head[N_PRINTS] == 1
    assert state.print_time[0, 0] == wake + latency
    assert state.members[0, 0]["inventory"] == 0
    advance(book, state, 0, wake + 2 * latency - 1)
    assert state.members[0, 0]["inventory"] == 0
    advance(book, state, 0, wake + 2 * latency)
    assert abs(state.members[0, 0]["inventory"]) == 1


def test_members_hear_of_what_strangers_do_to_their_orders(market, consistent):
    it = market({"makers": GueantLehalleFernandezTapia(count=1, size=10, latency=0.1)}, seed=5)
    it.run(60.0)
    stranger, first = 1, it.book.head[N_PRINTS]
    it.book.accounts[stranger]["cash"] = 10**12
    row = messages((2, 0, 9, 4, 0, stranger))
    row["tif"] = TimeInForce.IMMEDIATE_OR_CANCEL
    submit(it.book, row)
    assert row["filled"][0] == 4
    notice(it.book, it.crowd.state, 0, first, 60 * SECOND)
    consistent(it)
    it.run(60.099)
    assert it.crowd.state.members[0, 0]["inventory"] == 0
    it.run(60.1)
    assert it.crowd.state.members[0, 0]["inventory"] == -4
    it.run(61.0)
    consistent(it)


def test_a_full_tape_stops_only_who_wants_all_of_it(market):
    flow = {"flow": ZeroIntelligence(limit_rate=2.0, market_rate=20.0, cancel_rate=1.0)}
    free, kept = market(flow), market(flow, keeps=True)
    free.run(300.0)
    stops = 0
    while not advance(kept.book, kept.crowd.state, 0, 300 * SECOND):
        assert kept.book.head[N_PRINTS] > 2000
        kept.book.head[N_PRINTS] = 0
        stops += 1
    assert stops > 1
    assert kept.trace()[1:] == free.trace()[1:]


def test_notices_that_find_no_room_are_told_at_once(market, consistent):
    it = market({"flow": Hawkes(latency=30.0, slots=256, target=50.0)}, seed=1)
    it.crowd.state.head[0, 11] = 10**6  # as if that many were under way
    it.run(100.0)
    assert it.head[LATE_NOTICES] > 100
    it.run(120.0)
    consistent(it)


def test_a_halted_book_refuses_members_and_they_go_on(market, consistent):
    it = market(everybody(), MOVING)
    it.run(60.0)
    submit(it.book, messages((OrderVerb.CLOSE, 0, 1, 1, 0, -1)))
    prints = it.book.head[N_PRINTS]
    it.run(90.0)
    assert it.book.head[N_PRINTS] == prints
    assert it.head[13] > 100
    consistent(it)
    submit(it.book, messages((OrderVerb.RESUME, 0, 1, 1, 0, -1)))
    it.run(150.0)
    assert it.book.head[N_PRINTS] > prints
    consistent(it)
