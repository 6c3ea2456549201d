"""Bitstamp: the life of every order, created, changed and deleted, without snapshots.

Columns `ts` (receipt), `exchange_ts` (when the order was made), `order_id, direction, action,
price, size_btc`; the size is what the order has left, and 0 in the deletion of a filled one. Prices
are whole cents, sizes whole 1e-8.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from experiments.recordings.tables import choice, decimal, in_units, ordered, refuse, whole
from experiments.tables import unix_seconds
from sim.book.layout import Side
from sim.book.replay_orders import (
    CHANGED,
    CREATED,
    DELETED,
    OrderFeed,
)
from sim.kernel import F64

if TYPE_CHECKING:
    import pandas as pd

BUY, SELL = int(Side.BUY), int(Side.SELL)
CENTS, SATOSHIS = 2, 8  # decimals
_SIDES = {"bid": BUY, "buy": BUY, "ask": SELL, "sell": SELL}
_ACTIONS = {"created": int(CREATED), "changed": int(CHANGED), "deleted": int(DELETED)}


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
