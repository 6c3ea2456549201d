"""What can be seen of a book, near and far."""

import pytest

from sim.book.book import OrderBook
from sim.book.layout import BASE, OrderVerb
from sim.book.views import n_far

BUY, SELL = 0, 1
LIMIT, MARKET, CANCEL = OrderVerb.LIMIT, OrderVerb.MARKET, OrderVerb.CANCEL


@pytest.fixture
def book():
    """Bids at 100 (two, one an iceberg), 98 and far below; asks at 103 and far above."""
    book = OrderBook(n_levels=4096, capacity=64, checked=True)
    book.order(LIMIT, BUY, 1, 7, 10_000)
    book.order(LIMIT, BUY, 2, 30, 10_000, display=5)
    book.order(LIMIT, BUY, 3, 4, 9_998)
    book.order(LIMIT, BUY, 4, 2, 50)
    book.order(LIMIT, BUY, 5, 3, 60)
    book.order(LIMIT, SELL, 6, 9, 10_003)
    book.order(LIMIT, SELL, 7, 1, 90_000)
    book.order(LIMIT, SELL, 8, 2, 80_000)
    book.order(LIMIT, SELL, 9, 3, 80_000)
    return book


def test_an_empty_book_shows_nothing():
    book = OrderBook(n_levels=4096, capacity=4)
    assert book.touch() == (0, 0, 0, 0, 0)
    assert book.depth(BUY).shape == (0, 3)
    assert book.queue(SELL).shape == (0,)
    assert book.prints().shape == (0,)


def test_touch_shows_visible_lots(book):
    assert book.touch() == (10_000, 12, 10_003, 9, 0)
    book.order(MARKET, SELL, 20, 3)
    assert book.touch() == (10_000, 9, 10_003, 9, 10_000)


def test_touch_falls_back_on_far_orders(book):
    for order_id in (1, 2, 3, 6):
        book.order(CANCEL, BUY, order_id, 0)
    assert book.touch() == (60, 3, 80_000, 5, 0)


def test_depth_lists_levels_best_first(book):
    assert book.depth(BUY).tolist() == [[10_000, 12, 2], [9_998, 4, 1]]
    assert book.depth(SELL).tolist() == [[10_003, 9, 1]]
    assert book.depth(BUY, 1).tolist() == [[10_000, 12, 2]]


def test_queue_lists_orders_as_they_would_trade(book):
    bids = book.queue(BUY)
    assert bids["id"].tolist() == [1, 2, 3, 4, 5]
    assert bids["hidden"].tolist() == [0, 25, 0, 0, 0]
    assert book.queue(SELL)["id"].tolist() == [6, 7, 8, 9]


def test_far_orders_are_counted(book):
    assert (n_far(book.state, BUY), n_far(book.state, SELL)) == (2, 3)


def test_far_orders_keep_their_places_when_the_window_comes(book):
    assert book.order(MARKET, BUY, 20, 13) == (0, 2, 13)
    tape = book.prints()
    assert list(zip(tape["maker"].tolist(), tape["quantity"].tolist(), strict=True)) == [
        (6, 9), (8, 2), (9, 2),
    ]  # fmt: skip
    assert tape["last"].tolist() == [1, 1, 0]
    base = int(book.state.head[BASE])
    assert base <= 80_000 < base + 4096
    assert book.queue(SELL)["id"].tolist() == [9, 7]
    bids = book.queue(BUY)["id"].tolist()
    assert sorted(bids) == [1, 2, 3, 4, 5]
    assert bids.index(1) < bids.index(2)
    assert book.order(MARKET, SELL, 21, 45) == (0, 2, 45)
    assert book.prints()["maker"].tolist() == [1, 2, 2, 2, 2, 2, 2, 3, 5, 4]
    assert book.touch()[:2] == (50, 1)


def test_an_order_better_than_the_window_takes_it_along(book):
    book.order(CANCEL, BUY, 6, 0)
    assert book.order(LIMIT, BUY, 30, 5, 70_000) == (0, 1, 0)
    assert book.touch()[:3] == (70_000, 5, 80_000)
    assert book.depth(BUY).tolist() == [[70_000, 5, 1]]
    book.order(CANCEL, BUY, 30, 0)
    assert book.touch()[:2] == (10_000, 12)


def test_prints_are_taken_once(book):
    book.order(MARKET, BUY, 20, 3)
    assert book.prints().shape == (1,)
    assert book.prints().shape == (0,)
