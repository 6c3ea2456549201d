"""Bitstamp: the life of every order, created, changed and deleted, without snapshots.

Columns `ts` (receipt), `exchange_ts` (when the order was made), `order_id, direction, action,
price, size_btc`; the size is what the order has left, and 0 in the deletion of a filled one. Prices
are whole cents, sizes whole 1e-8.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.recordings.tables import choice, decimal, in_units, ordered, refuse, whole
from experiments.tables import unix_seconds
from sim.book.layout import Side
from sim.book.replay_orders import (
    CHANGED,
    CREATED,
    DELETED,
    FILL,
    LATE,
    TWO_SIDED,
    UNSEEN,
    OrderFeed,
)
from sim.kernel import F64, I64

if TYPE_CHECKING:
    import pandas as pd

BUY, SELL = int(Side.BUY), int(Side.SELL)
CENTS, SATOSHIS = 2, 8  # decimals
_SIDES = {"bid": BUY, "buy": BUY, "ask": SELL, "sell": SELL}
_ACTIONS = {"created": int(CREATED), "changed": int(CHANGED), "deleted": int(DELETED)}
_NEAR = 20  # rows within which both rows of a trade are looked for


@dataclass(frozen=True)
class Bitstamp:
    """A recording of the lives of orders.

    Attributes
    ----------
    feed : OrderFeed
        Orders are numbered in the order of their ids, which is that of their arrival.
    time : F64 (row,)
        Receipt, unix seconds.
    seeded, untold : int
        Orders from before the first row whose lots a later row tells, or none does.
    off_tick, off_lot : int
        Rows that are not applied.
    """

    feed: OrderFeed
    time: F64
    seeded: int
    untold: int
    off_tick: int
    off_lot: int


def parse(table: "pd.DataFrame", file: str) -> Bitstamp:
    """Turn a table into a feed.

    An order whose first row is no creation, and that was made before the recording began, rested
    then with the lots that this row tells.

    Raises
    ------
    InputError
        If a column holds what it must not.
    """
    time, made = unix_seconds(table["ts"], file), unix_seconds(table["exchange_ts"], file)
    ordered((time * 1e6).astype(np.int64), file, "ts")
    ids = whole(table, "order_id", file)
    side = choice(table, "direction", _SIDES, file)
    kind = choice(table, "action", _ACTIONS, file)
    refuse(decimal(table, "price", file) <= 0, file, "price", "prices above 0", table)
    sizes = decimal(table, "size_btc", file)
    refuse(sizes < 0, file, "size_btc", "sizes of 0 or more", table)
    empty = (sizes == 0) & (kind == CREATED)
    refuse(empty, file, "size_btc", "a size above 0 in a creation", table)
    price, off_tick = in_units(table, "price", file, CENTS)
    lots, off_lot = in_units(table, "size_btc", file, SATOSHIS)
    kept = ~(off_tick | off_lot)
    time, made = time[kept], made[kept]
    ids, side, kind, price, lots = (c[kept] for c in (ids, side, kind, price, lots))
    _, first, order = np.unique(ids, return_index=True, return_inverse=True)
    rested = (kind[first] != CREATED) & (made[first] < np.floor(time[0]))
    told = rested & (lots[first] > 0)
    feed = OrderFeed(
        kind, order.astype(np.int64), side, price, lots,
        np.where(told, lots[first], -1), price[first], side[first],
    )  # fmt: skip
    return Bitstamp(
        feed, time, int(told.sum()), int((rested & ~told).sum()), int(off_tick.sum()),
        int(off_lot.sum()),
    )  # fmt: skip


def lots_lost(feed: OrderFeed, marks: I64) -> I64:
    """Lots that each row tells were traded; 0 in other rows."""
    left = dict(enumerate(feed.first.tolist()))
    lost = np.zeros(len(marks), np.int64)
    rows = zip(feed.order.tolist(), feed.lots.tolist(), marks.tolist(), strict=True)
    for row, (order, lots, mark) in enumerate(rows):
        if mark & FILL:
            lost[row] = left[order] - lots
        if not mark & (LATE | UNSEEN):
            left[order] = lots
    return lost


def trades(feed: OrderFeed, marks: I64) -> I64:
    """Put the two rows of each trade together.

    Returns
    -------
    I64 (trade, 4)
        Row, price of the older order, lots, and 1 if the younger order, the aggressor, buys, else
        -1. Rows without a partner nearby are left out: theirs is an order that the feed never
        shows.
    """
    lost = lots_lost(feed, marks)
    waiting: list[int] = []
    found = []
    for row in np.flatnonzero(lost > 0).tolist():
        waiting = [other for other in waiting if row - other <= _NEAR]
        for other in waiting:
            if feed.side[other] != feed.side[row] and abs(int(lost[other] - lost[row])) <= 1:
                old, new = sorted((row, other), key=lambda i: int(feed.order[i]))
                sign = 1 if feed.side[new] == BUY else -1
                found.append((row, int(feed.price[old]), int(lost[old]), sign))
                waiting.remove(other)
                break
        else:
            waiting.append(row)
    return np.array(found, np.int64).reshape(-1, 4)


def record(table: "pd.DataFrame", path: Path) -> dict[str, Any]:
    """Trades, quotes and new orders, as `experiments.recordings.read_record` returns them.

    Quotes are the book's where it stands uncrossed; orders that rested before the first row are in
    it only as far as a later row tells of them. Depth is left empty for that reason.
    """
    from experiments.recordings.drive import drive_orders

    life = parse(table, path.name)
    feed, cent, coin = life.feed, 0.01, 1e-8
    run = drive_orders(feed, matching=False)
    touches, marks = run.touches, run.findings.marks
    whole_touch = ((marks & TWO_SIDED) != 0) & (touches[:, 0] < touches[:, 2])
    traded = trades(feed, marks)
    entered = np.flatnonzero((feed.kind == CREATED) & ((marks & LATE) == 0))
    entered = entered[entered > 0]
    buys = feed.side[entered] == BUY
    before = touches[entered - 1]
    distance = np.where(
        buys, before[:, 0] - feed.price[entered], feed.price[entered] - before[:, 2]
    )
    nothing = np.zeros((0, 1))
    return {
        "name": path.stem,
        "tick": cent,
        "trade_time": life.time[traded[:, 0]],
        "trade_price": traded[:, 1] * cent,
        "trade_size": traded[:, 2] * coin,
        "trade_sign": traded[:, 3],
        "quote_time": life.time[whole_touch],
        "bid": touches[whole_touch, 0] * cent,
        "bid_size": touches[whole_touch, 1] * coin,
        "ask": touches[whole_touch, 2] * cent,
        "ask_size": touches[whole_touch, 3] * coin,
        "depth_time": np.zeros(0),
        "bid_depth": nothing,
        "ask_depth": nothing,
        "depth_distance": np.zeros(1),
        "order_time": life.time[entered],
        "order_size": feed.lots[entered] * coin,
        "order_distance": distance.astype(np.float64),
    }
