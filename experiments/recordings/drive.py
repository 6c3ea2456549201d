"""Books driven with recordings: arrays in, findings out."""

from typing import NamedTuple

import numpy as np

from experiments.recordings.tables import window_of
from sim.book.book import new_book
from sim.book.layout import BASE, Book, Side
from sim.book.replay import NEW, Findings, Recording, new_findings, rebuild
from sim.book.replay_levels import LevelFeed, rebuild_levels
from sim.book.replay_orders import OrderFeed, Told, rebuild_orders
from sim.errors import InputError
from sim.kernel import I64, word

BUY, SELL = int(Side.BUY), int(Side.SELL)
_MOST_LEVELS = 2**22
_MOST_NEAR = 2**20  # for level changes, where orders far from the touch may lie outside the window


class LevelRun(NamedTuple):
    """What level changes made of a book.

    Attributes
    ----------
    became : I64 (row,)
        What became of each row: `sim.book.replay_levels`.
    touches : I64 (batch, 5)
        Bid, lots, ask, lots and last price after each batch.
    book : Book
    """

    became: I64
    touches: I64
    book: Book


class OrderRun(NamedTuple):
    """What the lives of orders made of a book.

    Attributes
    ----------
    findings : Findings
    touches : I64 (row, 4)
    told : Told
    """

    findings: Findings
    touches: I64
    told: Told


def _book(prices: I64, n_orders: int, most: int = _MOST_LEVELS) -> Book:
    """Make an empty book whose window holds these prices, or lies in their midst."""
    base, n_levels = window_of(prices, most)
    book = new_book(capacity=n_orders, n_levels=n_levels, n_prints=n_orders)
    book.head[BASE] = base
    return book


def _check_span(prices: I64) -> None:
    """Refuse prices that no window holds."""
    if prices.size and np.ptp(prices) >= _MOST_LEVELS:
        raise InputError(
            f"the prices of a recording must span fewer than {_MOST_LEVELS} ticks, got "
            f"{int(prices.min())} to {int(prices.max())}; drop the stray rows"
        )


def drive_messages(recorded: Recording, matching: bool) -> Findings:
    """Rebuild a book from messages and snapshots; see `sim.book.replay`."""
    shown = recorded.levels[..., 0]
    prices = np.unique(shown[shown > 0])
    entered = recorded.kind == NEW
    n_orders = int(entered.sum()) + 2 * len(prices) + 16
    every = np.concatenate([prices, recorded.price[entered]])
    _check_span(every)
    book = _book(every, n_orders)
    findings = new_findings(len(recorded.kind), n_orders)
    rebuild(book, recorded, findings, word(int(matching)))
    return findings


def drive_levels(feed: LevelFeed) -> LevelRun:
    """Rebuild a book from level changes; see `sim.book.replay_levels`."""
    book, findings, touches = _empty(feed)
    rebuild_levels(book, feed, findings, touches)
    return LevelRun(findings.marks, touches, book)


def _empty(feed: LevelFeed) -> tuple[Book, Findings, I64]:
    n_rows = len(feed.price)
    book = _book(feed.price, n_rows + 16, _MOST_NEAR)
    return book, new_findings(n_rows, n_rows + 16), np.zeros((len(feed.whole), 5), np.int64)


def drive_orders(feed: OrderFeed, matching: bool) -> OrderRun:
    """Rebuild a book from the lives of orders; see `sim.book.replay_orders`."""
    n_orders, n_rows = len(feed.first), len(feed.kind)
    _check_span(feed.price)
    book = _book(feed.price, n_orders + 16)
    findings = new_findings(n_rows, n_orders + 16)
    told = Told(np.full(n_orders, -1, np.int64), np.zeros(n_orders, np.int64))
    touches = np.zeros((n_rows, 4), np.int64)
    rebuild_orders(book, feed, told, findings, word(int(matching)), touches)
    return OrderRun(findings, touches, told)
