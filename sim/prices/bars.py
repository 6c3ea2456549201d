"""A price history as bars, and its division into the blocks of a simulation.

Two kinds of bar: OHLC, whose extremes are known, and plain, of which only the first and last price
are known (a series of prices, or the bridge over missing bars); a plain bar's high and low are NaN.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from sim.errors import InputError
from sim.kernel import F64, I64, Bool


def utc(seconds: float) -> str:
    """Write unix seconds as a readable UTC time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: float) -> str:
    """Write a length of time in a readable unit."""
    for unit, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} seconds"


@dataclass(frozen=True, slots=True)
class Bars:
    """One symbol's history; bars may differ in length, and some may be missing between them.

    Attributes
    ----------
    symbol : str
        What errors call it.
    ts : array (bar,)
        Unix time at which a bar opens, seconds, increasing.
    seconds : array (bar,)
        How long a bar lasts.
    open, high, low, close : array (bar,)
        USD; high and low are NaN where they are not known.
    """

    symbol: str
    ts: F64
    seconds: F64
    open: F64
    high: F64
    low: F64
    close: F64

    def __post_init__(self) -> None:
        """Check order and prices; the message names the first offender and its time."""
        n = len(self.ts)
        if n == 0:
            raise InputError(f"{self.symbol}: expected at least one bar, got none; check the span")
        for name in ("seconds", "open", "high", "low", "close"):
            got = len(getattr(self, name))
            if got != n:
                raise InputError(
                    f"{self.symbol}: {name} must have one number per bar, {n}, got {got}"
                )
        self._refuse(~np.isfinite(self.ts), "a bar must have a time, got NaN")
        self._refuse(~(self.seconds > 0.0), "a bar must last longer than 0 seconds")
        for name in ("open", "close"):
            price = getattr(self, name)
            self._refuse(~(price > 0.0) | ~np.isfinite(price), f"{name} must be positive", price)
        for name in ("high", "low"):
            price = getattr(self, name)
            self._refuse((price <= 0.0) | np.isinf(price), f"{name} must be positive", price)
        self._refuse(np.isnan(self.high) != np.isnan(self.low), "high and low must come together")
        self._refuse(self.high < self.low, "high must not lie under low", self.high)
        top, bottom = np.maximum(self.open, self.close), np.minimum(self.open, self.close)
        self._refuse(self.high < top, "high must not lie under open or close", self.high)
        self._refuse(self.low > bottom, "low must not lie above open or close", self.low)
        late = np.concatenate([[False], np.diff(self.ts) <= 0.0])
        self._refuse(late, "timestamps must increase; sort the bars and drop duplicates")
        overlap = np.concatenate([[False], self.ts[:-1] + self.seconds[:-1] > self.ts[1:] + 1e-3])
        self._refuse(overlap, "a bar must not open before the one before it has closed")

    def _refuse(self, bad: Bool, rule: str, got: F64 | None = None) -> None:
        if bad.any():
            i = int(np.argmax(bad))
            value = "" if got is None else f", got {got[i]:g}"
            when = utc(self.ts[i]) if np.isfinite(self.ts[i]) else f"row {i}"
            raise InputError(f"{self.symbol}: {rule}{value} in the bar of {when}; correct the data")

    @classmethod
    def of_prices(cls, symbol: str, ts: F64, price: F64) -> "Bars":
        """Plain bars between successive prices: each opens at one price and closes at the next."""
        if len(ts) < 2:
            raise InputError(
                f"{symbol}: a series of prices needs at least two, got {len(ts)}; widen the span"
            )
        unknown = np.full(len(ts) - 1, np.nan)
        return cls(symbol, ts[:-1], np.diff(ts), price[:-1], unknown, unknown, price[1:])

    @property
    def end(self) -> float:
        """Unix time at which the last bar closes, seconds."""
        return float(self.ts[-1] + self.seconds[-1])

    def part(self, keep: Bool) -> "Bars":
        """Take only the bars in the mask."""
        names = ("ts", "seconds", "open", "high", "low", "close")
        return Bars(self.symbol, *(getattr(self, name)[keep] for name in names))

    def filled_by(self, other: "Bars") -> "Bars":
        """Add the other series' bars that overlap none of these.

        So a day of fine bars can stand in years of coarse ones.
        """
        ends = other.ts + other.seconds
        i = np.searchsorted(self.ts, ends - 1e-3, side="left") - 1
        free = (i < 0) | (self.ts[i] + self.seconds[i] <= other.ts + 1e-3)
        order = np.argsort(np.concatenate([self.ts, other.ts[free]]), kind="stable")
        names = ("ts", "seconds", "open", "high", "low", "close")
        columns = [np.concatenate([getattr(self, n), getattr(other, n)[free]]) for n in names]
        return Bars(self.symbol, *(column[order] for column in columns))

    def without_gaps(self, max_gap: float) -> "Bars":
        """Fill the time between bars with plain bars from close to next open.

        Raises
        ------
        InputError
            Where a gap is longer than `max_gap` seconds.
        """
        ends = self.ts[:-1] + self.seconds[:-1]
        gap = self.ts[1:] - ends
        if gap.size and gap.max() > max_gap + 1e-3:
            i = int(np.argmax(gap > max_gap + 1e-3))
            raise InputError(
                f"{self.symbol}: bars are missing for {span(float(gap[i]))} from {utc(ends[i])}, "
                f"longer than max_gap, {span(max_gap)}; choose another span or raise max_gap"
            )
        holes = np.flatnonzero(gap > 1e-3)
        if holes.size == 0:
            return self
        unknown = np.full(holes.size, np.nan)
        columns = {
            "ts": ends[holes],
            "seconds": gap[holes],
            "open": self.close[holes],
            "high": unknown,
            "low": unknown,
            "close": self.open[holes + 1],
        }
        merged = [np.insert(getattr(self, name), holes + 1, new) for name, new in columns.items()]
        return Bars(self.symbol, *merged)


@dataclass(frozen=True, slots=True)
class Segments:
    """Runs of blocks, each with one bar's prices (or several bars', where the block is longer).

    Attributes
    ----------
    first : array (segment + 1,)
        First block of each segment, and one after the last; may be negative at the beginning.
    open, high, low, close : array (segment,)
        USD; high and low are NaN where they are not known.
    """

    first: I64
    open: F64
    high: F64
    low: F64
    close: F64


def segments_of(bars: Bars, start: float, block_seconds: float, n_steps: int) -> Segments:
    """Divide a history without gaps into runs of blocks.

    Block k lasts from `start + k block_seconds` for `block_seconds`. A bar in which several blocks
    begin is a segment. Bars in which no block begins are aggregated into the block under way: its
    first open, highest high, lowest low, last close.

    Raises
    ------
    InputError
        Where the bars do not cover the blocks 0, ..., n_steps - 1.
    """
    last = start + (n_steps - 1) * block_seconds
    if bars.ts[0] > start + 1e-3 or bars.end < last - 1e-3:
        raise InputError(
            f"{bars.symbol}: {n_steps} blocks of {block_seconds:g} s from {utc(start)} need bars "
            f"until {utc(last + block_seconds)}, got bars from {utc(bars.ts[0])} to "
            f"{utc(bars.end)}; shorten the run or move its start"
        )
    edges = np.append(bars.ts, bars.end)
    blocks = np.ceil((edges - start) / block_seconds - 1e-6).astype(np.int64)
    begins = np.flatnonzero(np.diff(blocks) > 0)
    first_needed = int(np.searchsorted(blocks[begins + 1], 0, side="right"))
    begins = begins[first_needed:]
    begins = begins[blocks[begins] < n_steps]
    tail = begins[-1] + 1
    while tail < len(bars.ts) and blocks[tail + 1] == blocks[tail]:
        tail += 1
    cut = slice(int(begins[0]), int(tail))
    groups = begins - begins[0]
    return Segments(
        first=np.append(blocks[begins], blocks[tail]),
        open=bars.open[begins],
        high=np.maximum.reduceat(_known(bars.high, groups, cut, bars.open, bars.close, 1), groups),
        low=-np.maximum.reduceat(_known(bars.low, groups, cut, bars.open, bars.close, -1), groups),
        close=bars.close[np.append(begins[1:], tail) - 1],
    )


def _known(extreme: F64, groups: I64, cut: slice, first: F64, last: F64, sign: int) -> F64:
    """Extremes times sign; a plain bar among others counts by its ends, alone it stays NaN."""
    values, ends = sign * extreme[cut], np.maximum(sign * first[cut], sign * last[cut])
    sizes = np.diff(np.append(groups, len(values)))
    alone = np.repeat(sizes, sizes) == 1
    return np.where(np.isnan(values) & ~alone, ends, values)
