"""Binance: a snapshot of the levels, and batches of levels that have changed since.

The file of depth changes has `recv_ns, exch_ms, update_id, is_snapshot, side, price, qty`; rows of
one `update_id` belong together. Beside it may lie the trades (`..._trades`) and the stream of best
bids and asks (`..._bbo`), which is recorded apart from the changes and so is a test of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.recordings.tables import (
    choice,
    decimal,
    decimals_of,
    in_units,
    need,
    ordered,
    refuse,
    whole,
)
from experiments.tables import read_table
from sim.book.layout import Side
from sim.book.replay_levels import LevelFeed
from sim.errors import InputError
from sim.kernel import F64, I64, Bool

if TYPE_CHECKING:
    import pandas as pd

BUY, SELL = int(Side.BUY), int(Side.SELL)
_SIDES = {"b": BUY, "bid": BUY, "buy": BUY, "a": SELL, "ask": SELL, "sell": SELL}
_TRADES = ("recv_ns", "trade_id", "price", "qty", "buyer_is_maker")
_BBO = ("recv_ns", "update_id", "bid_px", "bid_qty", "ask_px", "ask_qty")


@dataclass(frozen=True)
class Depth:
    """A recording of level changes.

    Attributes
    ----------
    feed : LevelFeed
    update : I64 (batch,)
        Update id of each batch.
    time : I64 (batch,)
        Receipt, ns.
    decimals : tuple of int
        Of a tick and of a lot.
    before, off_tick, off_lot : int
        Rows that are not applied: no later than the snapshot, or off the units.
    """

    feed: LevelFeed
    update: I64
    time: I64
    decimals: tuple[int, int]
    before: int
    off_tick: int
    off_lot: int


@dataclass(frozen=True)
class Trades:
    """Trades: receipt (ns), price and size, and whether the buyer's order rested."""

    time: I64
    price: F64
    size: F64
    buyer_is_maker: Bool


@dataclass(frozen=True)
class BestQuotes:
    """Best bids and asks: receipt (ns), update id, and price and size of both sides."""

    time: I64
    update: I64
    quotes: F64  # (row, 4): bid, size, ask, size


def parse(table: "pd.DataFrame", file: str) -> Depth:
    """Turn a table of depth changes into batches, by the exchange's rule for local books.

    The book starts with the first snapshot; changes that are no later than it are dropped, wherever
    they stand in the file, and later ones follow by their update id. A later snapshot replaces the
    book.

    Raises
    ------
    InputError
        If a column holds what it must not, or there is no snapshot.
    """
    update, time = whole(table, "update_id", file), whole(table, "recv_ns", file)
    snapshot = whole(table, "is_snapshot", file)
    refuse((snapshot != 0) & (snapshot != 1), file, "is_snapshot", "0 or 1", table)
    side = choice(table, "side", _SIDES, file)
    refuse(decimal(table, "price", file) <= 0, file, "price", "prices above 0", table)
    refuse(decimal(table, "qty", file) < 0, file, "qty", "sizes of 0 or more", table)
    if not snapshot.any():
        raise InputError(
            f"{file}: column is_snapshot must mark a snapshot to start from, got none; add one"
        )
    ordered(update[snapshot == 0], file, "update_id")
    decimals = (
        decimals_of(decimal(table, "price", file), 0.995),
        decimals_of(decimal(table, "qty", file), 1.0),
    )
    price, off_tick = in_units(table, "price", file, decimals[0])
    lots, off_lot = in_units(table, "qty", file, decimals[1])
    early = (snapshot == 0) & (update <= update[snapshot == 1].min())
    kept = np.flatnonzero(~(early | off_tick | off_lot))
    kept = kept[np.lexsort((kept, snapshot[kept], update[kept]))]
    key = 2 * update[kept] + snapshot[kept]
    first = np.flatnonzero(np.concatenate([[True], np.diff(key) != 0]))
    feed = LevelFeed(
        np.append(first, len(kept)).astype(np.int64), snapshot[kept][first], side[kept],
        price[kept], lots[kept],
    )  # fmt: skip
    return Depth(
        feed, update[kept][first], time[kept][first], decimals, int(early.sum()),
        int(off_tick.sum()), int(off_lot.sum()),
    )  # fmt: skip


def beside(path: Path, kind: str) -> Path | None:
    """Find the sibling of a file of depth changes: its name with another ending."""
    if "_depth" not in path.name:
        return None
    other = path.with_name(path.name.replace("_depth", f"_{kind}"))
    return other if other.is_file() else None


def read_trades(path: Path) -> Trades:
    """Read a table of trades."""
    table, file = read_table(path), path.name
    need(table, _TRADES, file)
    maker = whole(table, "buyer_is_maker", file)
    refuse((maker != 0) & (maker != 1), file, "buyer_is_maker", "true or false", table)
    return Trades(
        whole(table, "recv_ns", file), decimal(table, "price", file), decimal(table, "qty", file),
        maker == 1,
    )  # fmt: skip


def read_bbo(path: Path) -> BestQuotes:
    """Read a table of best bids and asks."""
    table, file = read_table(path), path.name
    need(table, _BBO, file)
    update = whole(table, "update_id", file)
    ordered(update, file, "update_id")
    quotes = np.column_stack([decimal(table, name, file) for name in _BBO[2:]])
    return BestQuotes(whole(table, "recv_ns", file), update, quotes)
