"""The series that facts are read from: returns in calendar time, orders, runs and their impact."""

from typing import NamedTuple

import numpy as np

from sim.kernel import F64, I64
from sim.metrics.market_record import MarketRecord

ONE_ORDER = 50e-6
"""s. Prints of one sign that follow each other this closely are the fills of one market order."""


class Orders(NamedTuple):
    """Market orders, put together from their prints, shape (n,)."""

    time: F64  # s, of the first print
    end: F64  # s, of the last print
    size: F64
    sign: I64
    price: F64  # currency, volume-weighted


def mid(record: MarketRecord) -> F64:
    """Mid price after each change of the touch, shape (m,), currency."""
    return 0.5 * (record.bid + record.ask)


def orders(record: MarketRecord) -> Orders:
    """Put the prints of one aggressor together (same sign, at most `ONE_ORDER` apart).

    Prints without size are left out.
    """
    real = record.trade_size > 0.0
    time, sign = record.trade_time[real], record.trade_sign[real]
    printed, price = record.trade_size[real], record.trade_price[real]
    if len(time) == 0:
        return Orders(time, time, printed, sign, price)
    fresh = (np.diff(time) > ONE_ORDER) | (sign[1:] != sign[:-1])
    first = np.concatenate([[0], np.flatnonzero(fresh) + 1])
    size = np.add.reduceat(printed, first)
    paid = np.add.reduceat(printed * price, first)
    end = time[np.concatenate([first[1:] - 1, [len(time) - 1]])]
    return Orders(time[first], end, size, sign[first], paid / size)


def runs(taken: Orders) -> Orders:
    """Put consecutive market orders of one sign together: a stand-in for metaorders."""
    if len(taken.time) == 0:
        return taken
    first = np.concatenate([[0], np.flatnonzero(np.diff(taken.sign) != 0) + 1])
    size = np.add.reduceat(taken.size, first)
    paid = np.add.reduceat(taken.size * taken.price, first)
    end = taken.end[np.concatenate([first[1:] - 1, [len(taken.end) - 1]])]
    return Orders(taken.time[first], end, size, taken.sign[first], paid / size)


def log_mid_before(record: MarketRecord, times: F64) -> F64:
    """Log mid of the last quote strictly before each time; NaN before the first quote."""
    at = np.searchsorted(record.quote_time, times, side="left") - 1
    values = np.log(mid(record))
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def log_mid_at(record: MarketRecord, times: F64) -> F64:
    """Log mid that stands at each time, changes at that very time included."""
    at = np.searchsorted(record.quote_time, times, side="right") - 1
    values = np.log(mid(record))
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def returns(record: MarketRecord, horizon: float) -> F64:
    """Log returns of the mid over consecutive intervals of `horizon` seconds, shape (n,)."""
    if len(record.quote_time) < 2:
        return np.empty(0)
    start, end = record.quote_time[0], record.quote_time[-1]
    grid = start + horizon * np.arange(int((end - start) / horizon) + 1)
    return np.diff(log_mid_at(record, grid))


def volumes(record: MarketRecord, horizon: float, n: int) -> F64:
    """Size traded in the intervals of `returns`, shape (n,)."""
    at = np.floor((record.trade_time - record.quote_time[0]) / horizon).astype(np.int64)
    inside = (at >= 0) & (at < n)
    return np.asarray(np.bincount(at[inside], record.trade_size[inside], n), np.float64)


def order_impact(record: MarketRecord, taken: Orders) -> F64:
    """Size and signed log move of each order, rows (n - 1, 2).

    The move is from the mid just before the order to the mid just before the next one (Lillo,
    Farmer & Mantegna 2003), so a feed of trades that lags its feed of quotes is late at both ends.
    """
    before = log_mid_before(record, taken.time)
    move = taken.sign[:-1] * np.diff(before)
    rows = np.column_stack([taken.size[:-1], move])
    return rows[np.isfinite(rows).all(axis=1)]


def metaorder_impact(record: MarketRecord) -> tuple[F64, bool]:
    """Size and signed log move of each metaorder, rows (n, 2), and whether they are a proxy.

    With parent orders the move is from the mid at the decision to the mid at the last fill. Without
    them, runs of market orders of one sign stand in, and their move is from the mid before the
    first to the mid before the next run.
    """
    parent = record.parent
    if parent is not None and len(parent.size):
        after = log_mid_at(record, parent.end)
        move = parent.side * (after - np.log(parent.price_before))
        rows = np.column_stack([parent.size, move])
        return rows[np.isfinite(rows).all(axis=1)], False
    return order_impact(record, runs(orders(record))), True


def imbalance_and_next_move(record: MarketRecord) -> F64:
    """Queue imbalance at the touch and the sign of the next change of the mid, rows (n, 2).

    One row per change of the mid: the imbalance that stood half way, in updates, through the
    interval before it, (bid size - ask size) / (bid size + ask size) (Gould & Bonart 2016).
    """
    price = mid(record)
    change = np.flatnonzero(np.diff(price) != 0.0) + 1
    if len(change) < 2:
        return np.empty((0, 2))
    halfway = (change[:-1] + change[1:] - 1) // 2
    total = record.bid_size[halfway] + record.ask_size[halfway]
    known = total > 0.0
    lean = (record.bid_size - record.ask_size)[halfway[known]] / total[known]
    move = np.sign(price[change[1:]] - price[change[1:] - 1])[known]
    return np.column_stack([lean, move])


_SEEN = 0.2
"""A distance that fewer rows see is left out: a file of few levels sees far only in thin books."""


def mean_depth(bid: F64, ask: F64) -> F64:
    """Mean size by bin of distance behind the touch, both sides together, shape (L,).

    NaN in a row means that it does not see as far; a bin that fewer than a fifth of the rows see
    is NaN in the mean.
    """
    both = np.concatenate([bid, ask])
    known = np.isfinite(both)
    seen = known.sum(axis=0)
    sums = np.where(known, both, 0.0).sum(axis=0)
    enough = seen > _SEEN * len(both)
    mean: F64 = np.divide(sums, seen, out=np.full(both.shape[1], np.nan), where=enough)
    return mean


def depth_distance(record: MarketRecord) -> F64:
    """Distances of the bins of depth; 0, 1, 2, ... ticks where the record does not say."""
    given = record.depth_distance
    return given if len(given) else np.arange(record.bid_depth.shape[1], dtype=np.float64)
