"""Cash, assets and lots through a storm of random messages; no order lost, none duplicated.

FAULTLINE_STORM=1e8 sets the size; `python -m experiments.bench --only conservation` runs 10^8 of
them.
"""

import os

import numpy as np
import pytest

from sim.book import storm
from sim.book.book import OrderBook
from sim.book.layout import FAR_COUNT, LAST_PRICE, N_ORDERS
from sim.book.storm import Weather, weather_the_storm
from sim.errors import InvariantError

SIZE = int(float(os.environ.get("FAULTLINE_STORM", "1e6")))
STORMS = {
    "accounts and fees": (
        {"n_accounts": 16, "capacity": 4096, "taker_fee_bps": 5.0, "maker_fee_bps": -2.0},
        Weather(),
    ),
    "jumps that slide the window": (
        {"n_accounts": 5, "capacity": 100, "taker_fee_bps": 3.0, "maker_fee_bps": 1.0},
        Weather(ids=300, spread=2_000, jump=20_000),
    ),
    "anonymous and full": ({"capacity": 64}, Weather(ids=2_000)),
}  # fmt: skip


def stormed(name, n, seed=1, every=100_000):
    terms, weather = STORMS[name]
    book = OrderBook(n_levels=4096, **terms)
    for account in range(terms.get("n_accounts", 0)):
        book.fund(account, 10**14, 3_000)
    return weather_the_storm(book.state, n, seed, weather, every), book


@pytest.mark.slow
@pytest.mark.parametrize("name", STORMS)
def test_nothing_is_lost(name):
    counts, _ = stormed(name, SIZE, every=max(SIZE // 10, 1))
    assert counts["messages"] == SIZE
    assert counts["accepted"] > SIZE // 5
    assert counts["trades"] > SIZE // 10
    assert counts["checks"] >= 10
    assert counts["came"] > counts["went"] > 0


def test_a_small_storm_is_checked_often():
    counts, _ = stormed("jumps that slide the window", 20_000, every=10)
    assert counts["checks"] == 2_000


def test_storms_repeat_by_seed():
    first, book = stormed("accounts and fees", 5_000, seed=4)
    again, other = stormed("accounts and fees", 5_000, seed=4)
    assert first == again
    assert all(np.array_equal(a, b) for a, b in zip(book.state, other.state, strict=True))
    assert stormed("accounts and fees", 5_000, seed=5)[0] != first


def test_a_storm_moves_the_window():
    """Or the second storm would not test it."""
    _, book = stormed("jumps that slide the window", 50_000)
    head = book.state.head
    assert abs(int(head[LAST_PRICE]) - 100_000) > 4_096
    assert head[N_ORDERS] > 0
    assert head[FAR_COUNT] + head[FAR_COUNT + 1] > 0


def test_what_is_lost_is_found(monkeypatch):
    """A kernel that pays wrongly, forgets an order's lots or breaks a queue is caught."""

    def leaking(spoil):
        def once(book, *rest):
            done = kernel(book, *rest)
            spoil(book)
            return done

        return once

    def lose_cash(book):
        book.accounts["cash"][0] -= 1

    def lose_lots(book):
        book.accounts["lots"][1] += 1

    def lose_links(book):
        book.levels["tail"] = -1

    kernel = storm.storm
    for spoil, expected in (
        (lose_cash, "cash with fees must be 1,600,000,000,000,000, got 1,599,999,999,999,999"),
        (lose_lots, "lots of accounts must be 48,000, got 48,001"),
        (lose_links, "the links before and behind slot .* do not make one queue"),
    ):
        monkeypatch.setattr(storm, "storm", leaking(spoil))
        with pytest.raises(InvariantError, match=expected):
            stormed("accounts and fees", 3_000)
    monkeypatch.setattr(storm, "storm", kernel)
    _, book = stormed("accounts and fees", 3_000)
    with pytest.raises(InvariantError, match="lots in orders must be"):
        weather_the_storm(book.state, 10, 2)  # this storm did not bring what rests already


def test_a_tape_that_is_too_short_is_told():
    book = OrderBook(n_levels=4096, n_prints=2)
    with pytest.raises(InvariantError, match="a tape too short after"):
        weather_the_storm(book.state, 100_000, 1, Weather(ids=50))
