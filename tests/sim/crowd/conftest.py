"""Crowds beside small books, and what must always hold between them."""

from types import SimpleNamespace

import numpy as np
import pytest

from sim.book.book import new_book
from sim.book.layout import N_ORDERS, N_PRINTS
from sim.book.views import queue
from sim.crowd.crowd import Crowd
from sim.crowd.desk import CROWD_ID
from sim.crowd.layout import SECOND, EventKind, OwnState
from sim.crowd.loop import advance


class Market(SimpleNamespace):
    """One world's book and its crowd."""

    def run(self, seconds):
        """Advance to a time; the tape is forgotten."""
        assert advance(self.book, self.crowd.state, self.w, round(seconds * SECOND))

    @property
    def head(self):
        return self.crowd.state.head[self.w]

    def wealth(self):
        """All cash and all lots, free and reserved."""
        a = self.book.accounts
        return (
            int((a["cash"] + a["cash_reserved"]).sum()),
            int((a["lots"] + a["lots_reserved"]).sum()),
        )

    def trace(self):
        """All that has a part in what comes next, byte by byte."""
        state = self.crowd.state
        book = [array.tobytes() for name, array in self.book._asdict().items() if name != "tape"]
        book[0] = np.delete(self.book.head, N_PRINTS).tobytes()
        crowd = [
            getattr(state, name)[self.w].tobytes()
            for name in ("values", "members", "own", "memory")
        ]
        n = self.head[0]
        return [*book, *crowd, self.head[:3].tobytes(), state.heap[self.w, :n].tobytes()]


@pytest.fixture
def market():
    """Factory of markets, one per world of a crowd."""

    def build(traders, fundamental=None, ids=(0,), seed=0, price=10_000, **terms):
        crowd = traders if isinstance(traders, Crowd) else Crowd(traders, fundamental)
        crowd.bind(len(ids), np.array(ids), seed, "crowd", price, n_prints=4096, **terms)
        made = []
        for w in range(len(ids)):
            book = new_book(
                capacity=8192, n_levels=65536, n_accounts=crowd.n_members + 1, n_prints=4096
            )
            crowd.endow(book)
            made.append(Market(book=book, crowd=crowd, w=w))
        return made if len(ids) > 1 else made[0]

    return build


@pytest.fixture
def consistent():
    """Check that members and book agree on who holds which orders, up to what is on its way."""

    def check(it):
        state, w = it.crowd.state, it.w
        own, members = state.own[w], state.members[w]
        events = state.heap[w, : it.head[0]]
        told = events[events["kind"] >= EventKind.ACCEPTED]["target"]
        sent = events[events["kind"] == EventKind.ORDER]["target"]
        live = {}
        for side in range(2):
            rows = np.zeros(it.book.orders.shape[0], it.book.orders.dtype)
            n = queue(it.book, np.int64(side), rows)
            live |= {int(row["id"]): row for row in rows[:n]}
        assert len(live) == it.book.head[N_ORDERS]
        held = own[own["state"] != OwnState.FREE]
        known = {int(order["id"]): slot for slot, order in enumerate(own) if order["state"]}
        assert len(known) == held.size == members["open"].sum()
        for order_id, row in live.items():
            if order_id < CROWD_ID:
                continue
            slot = known[order_id]
            assert own[slot]["member"] == row["account"]
            on_way = sum(
                int(e["data"]) >> 1 for e in events if e["target"] == slot and e["kind"] in (3, 4)
            )
            assert own[slot]["lots"] == row["quantity"] + row["hidden"] + on_way
        for order_id, slot in known.items():  # who is not in the book is under way
            assert order_id in live or slot in told or slot in sent
        for member in members:
            links = own["link"][member["first"] : member["first"] + member["slots"]]
            assert sorted(links) == list(range(member["first"], member["first"] + member["slots"]))
            states = own["state"][links]
            assert np.all(states[: member["open"]] != OwnState.FREE)
            assert np.all(states[member["open"] :] == OwnState.FREE)
        time = events["time"]
        child = np.arange(1, events.size)
        assert np.all(time[child] >= time[(child - 1) // 4])

    return check
