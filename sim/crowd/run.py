"""A crowd and a book by themselves: what happens in a market without the rest of the world.

`simulate` runs many worlds one after another and returns what a recorder at the exchange would have
written: every trade, every change of the touch, the depth at regular times, limit orders as they
arrive, and large orders that were executed in parts. Prices are in ticks and sizes in lots; `tick`
and `lot` turn them into currency and units.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.book.book import new_book
from sim.book.layout import BEST, LOST_PRINTS, N_PRINTS, PRINT, Book, PrintKind, Side
from sim.crowd.crowd import Crowd
from sim.crowd.layout import (
    ARRIVAL,
    DELIVERED,
    LOST_LINES,
    N_ARRIVALS,
    N_PARENTS,
    N_QUOTES,
    QUOTE,
    SECOND,
    CrowdState,
)
from sim.crowd.loop import advance
from sim.errors import InputError
from sim.kernel import F64, I64, Rows, kernel, word
from sim.terms import check_range

BUY, SELL = word(Side.BUY), word(Side.SELL)
TAPE, LINES = 1 << 16, 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What one world's exchange has recorded; times in seconds, prices in currency.

    Attributes
    ----------
    trade_time, trade_price, trade_size, trade_sign : arrays (n,)
        Sign +1: the buyer was the aggressor.
    trade_member : array (n,) of int64
        Member that was the aggressor.
    quote_time, bid, ask, bid_size, ask_size : arrays (m,)
        The touch after each change; 0 where a side was empty.
    depth_time : array (k,)
    bid_depth, ask_depth : arrays (k, L)
        Size at 0, ..., L - 1 ticks behind the touch of the side.
    order_time, order_size, order_distance : arrays (j,)
        Limit orders as they arrived; distance in ticks behind the touch of the side.
    parent_size, parent_start, parent_end, parent_side, parent_price, parent_before : arrays (p,)
        Large orders that were executed in parts: what was traded, side +1 bought, average price,
        mid price before the first part.
    messages : int
        Delivered to members and to the exchange.
    """

    name: str
    tick: float
    messages: int
    trade_time: F64
    trade_price: F64
    trade_size: F64
    trade_sign: I64
    trade_member: I64
    quote_time: F64
    bid: F64
    ask: F64
    bid_size: F64
    ask_size: F64
    depth_time: F64
    bid_depth: F64
    ask_depth: F64
    order_time: F64
    order_size: F64
    order_distance: F64
    parent_size: F64
    parent_start: F64
    parent_end: F64
    parent_side: I64
    parent_price: F64
    parent_before: F64


@kernel
def sample_depth(book: Book, side: int, out: F64) -> None:
    """Write the lots at 0, 1, ... ticks behind the touch of a side into `out (L,)`."""
    n_levels = book.levels.shape[0] >> 1
    best = book.head[BEST + side]
    for k in range(out.shape[0]):
        known = best + k < n_levels
        out[k] = book.levels[side * n_levels + best + k]["quantity"] if known else 0.0


@kernel
def advance_sampling(
    book: Book, crowds: CrowdState, w: int, first: int, step_ns: int, bids: F64, asks: F64
) -> int:
    """Run on, looking at the depth every `step_ns`, until a log is half full or `bids` is full.

    Returns
    -------
    int
        Number of the next sample. Sample k is taken at (k + 1) step_ns.
    """
    k = first
    while k < bids.shape[0]:
        head = crowds.head[w]
        if (
            2 * book.head[N_PRINTS] > book.tape.shape[0]
            or 2 * head[N_QUOTES] > crowds.quotes.shape[1]
            or 2 * head[N_ARRIVALS] > crowds.arrivals.shape[1]
            or not advance(book, crowds, w, (k + 1) * step_ns)
        ):
            return k
        sample_depth(book, BUY, bids[k])
        sample_depth(book, SELL, asks[k])
        k += 1
    return k


def _drain(book: Book, state: CrowdState, w: int) -> tuple[Rows, I64, Rows, Rows]:
    """Take trades, their times, touches and arrivals off the logs of one world."""
    head = state.head[w]
    n = book.head[N_PRINTS]
    prints, times = book.tape[:n].copy(), state.print_time[w, :n].copy()
    book.head[N_PRINTS] = 0
    quotes = state.quotes[w, 1 : head[N_QUOTES] + 1].copy()
    state.quotes[w, 0] = state.quotes[w, head[N_QUOTES]]
    head[N_QUOTES] = 0
    arrivals = state.arrivals[w, : head[N_ARRIVALS]].copy()
    head[N_ARRIVALS] = 0
    if head[LOST_LINES] > 0 or book.head[LOST_PRINTS] > 0:
        raise InputError(
            f"a log was too short for what happened between two samples: {head[LOST_LINES]} lines "
            f"and {book.head[LOST_PRINTS]} prints are lost; sample more often"
        )
    return prints, times, quotes, arrivals


def _parents(state: CrowdState, w: int, trades: dict[str, Any], tick: float) -> dict[str, Any]:
    """Columns of large orders that are done, with the average price of their trades."""
    rows = state.parents[w, : state.head[w, N_PARENTS]]
    rows = rows[(rows["end"] > 0) & (rows["done"] > 0)]
    price = np.zeros(rows.size)
    paid = trades["trade_price"] * trades["trade_size"]
    for k, row in enumerate(rows):
        mine = trades["trade_member"] == row["member"]
        mine &= (trades["trade_time"] >= row["start"] / SECOND) & (
            trades["trade_time"] <= row["end"] / SECOND
        )
        total = trades["trade_size"][mine].sum()
        price[k] = paid[mine].sum() / total if total > 0.0 else np.nan
    return {
        "parent_size": rows["done"].astype(float), "parent_start": rows["start"] / SECOND,
        "parent_end": rows["end"] / SECOND, "parent_side": 1 - 2 * rows["side"],
        "parent_price": price, "parent_before": rows["price"] * tick,
    }  # fmt: skip


def _columns(
    parts: Sequence[tuple[Rows, I64, Rows, Rows]], tick: float, lot: float
) -> dict[str, Any]:
    """Columns of trades, touches and arrivals from the drained parts."""
    prints = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, PRINT)
    times = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, np.int64)
    quotes = np.concatenate([part[2] for part in parts]) if parts else np.empty(0, QUOTE)
    arrivals = np.concatenate([part[3] for part in parts]) if parts else np.empty(0, ARRIVAL)
    is_trade = prints["kind"] == PrintKind.TRADE
    prints, times = prints[is_trade], times[is_trade]
    return {
        "trade_time": times / SECOND, "trade_price": prints["price"] * tick,
        "trade_size": prints["quantity"] * lot, "trade_sign": 1 - 2 * prints["side"].astype(int),
        "trade_member": prints["taker_account"].astype(np.int64),
        "quote_time": quotes["time"] / SECOND, "bid": quotes["bid"] * tick,
        "ask": quotes["ask"] * tick, "bid_size": quotes["bid_lots"] * lot,
        "ask_size": quotes["ask_lots"] * lot, "order_time": arrivals["time"] / SECOND,
        "order_size": arrivals["lots"] * lot, "order_distance": arrivals["distance"].astype(float),
    }  # fmt: skip


def simulate(
    make: Callable[[], Crowd] | Crowd, *, seed: int = 0, world_ids: Sequence[int] = (0,),
    seconds: float = 23_400.0, start_price: int = 100_000, tick: float = 0.01, lot: float = 1.0,
    sample_every: float = 1.0, n_depth: int = 101, capacity: int = 16_384, n_levels: int = 65_536,
    warm_up: float = 0.0, name: str = "simulated",
) -> list[Recording]:  # fmt: skip
    """Run a crowd alone with a book, world by world.

    Parameters
    ----------
    make : Crowd
    seed : int
    world_ids : sequence of int
        One recording each; a world's recording depends on no other world.
    seconds : float
    start_price : int
        Ticks, at the start; also the mean of the fundamental.
    tick, lot : float
        Currency of one tick, units of one lot.
    sample_every : float
        Seconds between samples of the depth.
    n_depth : int
        Ticks from the touch that a sample covers.
    capacity, n_levels : int
        Of the book.
    warm_up : float
        Seconds from the start that are left out of the recording.

    Returns
    -------
    list of Recording
    """
    check_range("seconds", seconds, sample_every)
    check_range("sample_every", sample_every, 1e-6)
    crowd = make if isinstance(make, Crowd) else make()
    crowd.keep_logs(LINES, LINES, LINES)
    out = []
    for world in world_ids:
        crowd.bind(
            1, np.array([world], np.int64), seed, "crowd", start_price, n_prints=TAPE, keeps=True
        )
        book = new_book(
            capacity=capacity, n_levels=n_levels, n_accounts=crowd.n_members, n_prints=TAPE
        )
        crowd.endow(book)
        step = round(sample_every * SECOND)
        bids = np.zeros((int(seconds / sample_every), n_depth))
        asks = np.zeros_like(bids)
        parts, k = [], 0
        while k < bids.shape[0]:
            k = advance_sampling(book, crowd.state, 0, k, step, bids, asks)
            parts.append(_drain(book, crowd.state, 0))
        columns = _columns(parts, tick, lot)
        columns |= _parents(crowd.state, 0, columns, tick)
        columns["parent_size"] = columns["parent_size"] * lot
        columns["depth_time"] = (np.arange(bids.shape[0]) + 1.0) * sample_every
        columns["bid_depth"], columns["ask_depth"] = bids * lot, asks * lot
        out.append(
            Recording(
                name=name, tick=tick, messages=int(crowd.state.head[0, DELIVERED]),
                **_after(columns, warm_up),
            )
        )  # fmt: skip
    return out


def _after(columns: dict[str, Any], start: float) -> dict[str, Any]:
    """Leave out what happened before `start` seconds."""
    clocks = {"trade": "trade_time", "quote": "quote_time", "depth": "depth_time",
              "order": "order_time", "parent": "parent_start"}  # fmt: skip
    touch = ("bid", "ask", "bid_size", "ask_size")
    keep = {group: columns[clock] >= start for group, clock in clocks.items()}
    out = {}
    for name, column in columns.items():
        group = "quote" if name in touch else "depth" if "depth" in name else name.split("_")[0]
        out[name] = column[keep[group]]
    return out
