"""Paths inside a bar: from its open to its close, touching its high and low, never outside.

A bar with known extremes and at least 4 blocks is filled in three moves.

1. A Brownian bridge in the log price from open to close, with the bar's own variance by Parkinson
   (1980): (ln high/low)^2 / (4 ln 2). The places of its maximum and minimum are those of the bar's
   high and low: late lows in bars that close low, alike in assets whose shocks are alike.
2. At these places the path is set to the high and the low. The three pieces between open, first
   extreme, second extreme and close are Brownian bridges made of the same shocks.
3. What leaves [low, high] is folded back at the boundary, which keeps the size of the moves.

So realised variance is that of the bar's range, and the first block shows the open, the last one
the close. An extreme equal to open or close is visited there. A bar with 3 blocks shows open, its
farther extreme, close; with 2, open and close; with 1, close: the rest of its range is not visited
and shows in `PriceProcess.low` and `high` of that bar's second (or only) block.

A plain bar is a Brownian bridge in the log price with a given volatility.

Shocks of block k are addressed by (stream, world id, k, asset) and mixed by the loading of the
assets' correlation: assets move together whatever the length of their bars.
"""

import math

from sim import streams
from sim.kernel import F64, I64, U64, kernel

OFFSET = 1 << 20  # added to block numbers, so that those before the start have an address


@kernel
def walk(
    path: F64, w: int, loading: F64, asset: int, key: U64, world_id: int, first: int, n: int
) -> None:
    """Write a random walk of n points and unit variance a step, from 0, to `path[:n, w]`."""
    total = 0.0
    path[0, w] = 0.0
    for i in range(1, n):
        for j in range(asset + 1):
            if loading[asset, j] != 0.0:
                shock = streams.normal(key, world_id, first + i + OFFSET, j)
                total += loading[asset, j] * shock
        path[i, w] = total


@kernel
def pin(path: F64, w: int, i0: int, i1: int, y0: float, y1: float, scale: float) -> None:
    """Turn the walk on [i0, i1] into a bridge from y0 to y1; the walk at i1 is left to the next."""
    start = path[i0, w]
    n = i1 - i0
    if n <= 0:
        return
    slope = (y1 - y0 - scale * (path[i1, w] - start)) / n
    for i in range(i0, i1):
        path[i, w] = y0 + scale * (path[i, w] - start) + slope * (i - i0)


@kernel
def fold(y: float, low: float, high: float) -> float:
    """Reflect a value into [low, high]."""
    width = high - low
    if width <= 0.0:
        return low
    x = (y - low) % (2.0 * width)
    return low + min(x, 2.0 * width - x)


@kernel
def extremes(path: F64, w: int, n: int, slope: float, scale: float) -> tuple[int, int]:
    """Find the places of the bridge's highest and lowest inner point; they differ."""
    i_high = 1
    i_low = 1
    for i in range(1, n - 1):
        value = scale * path[i, w] + slope * i
        if value > scale * path[i_high, w] + slope * i_high:
            i_high = i
        if value < scale * path[i_low, w] + slope * i_low:
            i_low = i
    if i_high == i_low:
        i_low = i_high + 1 if i_high < n - 2 else i_high - 1
    return i_high, i_low


@kernel
def thread(path: F64, w: int, n: int, ohlc: F64, scale: float) -> None:
    """Turn the walk in `path[:n, w]` into prices through open, high, low and close."""
    opening, high, low, close = ohlc[0], ohlc[1], ohlc[2], ohlc[3]
    y_open, y_high = math.log(opening), math.log(high)
    y_low, y_close = math.log(low), math.log(close)
    slope = (y_close - y_open - scale * path[n - 1, w]) / (n - 1)
    i_high, i_low = extremes(path, w, n, slope, scale)
    # An extreme that open or close shows already needs no place of its own: 0 marks that.
    if high in (opening, close):
        i_high = 0
    if low in (opening, close):
        i_low = 0
    a = min(i_high, i_low)
    b = max(i_high, i_low)
    y_a = y_open if a == 0 else (y_high if a == i_high else y_low)
    y_b = y_open if b == 0 else (y_high if b == i_high else y_low)
    pin(path, w, 0, a, y_open, y_a, scale)
    pin(path, w, a, b, y_a, y_b, scale)
    pin(path, w, b, n - 1, y_b, y_close, scale)
    for i in range(1, n - 1):
        price = math.exp(fold(path[i, w], y_low, y_high))
        path[i, w] = min(max(price, low), high)
    if i_high > 0:
        path[i_high, w] = high
    if i_low > 0:
        path[i_low, w] = low


@kernel
def fill_plain(path: F64, w: int, n: int, ohlc: F64) -> None:
    """Write what needs no randomness: few blocks, or no volatility."""
    opening, high, low, close = ohlc[0], ohlc[1], ohlc[2], ohlc[3]
    y_open, y_close = math.log(opening), math.log(close)
    for i in range(1, n - 1):
        price = math.exp(y_open + (y_close - y_open) * i / (n - 1))
        if high == high:  # known, not NaN
            price = min(max(price, low), high)
            if n == 3:
                above = math.log(high) - max(y_open, y_close)
                price = high if above >= min(y_open, y_close) - math.log(low) else low
        path[i, w] = price


@kernel
def fill_bar(
    path: F64,
    loading: F64,
    ohlc: F64,
    asset: int,
    volatility: float,
    key: U64,
    world_ids: I64,
    first: int,
    n: int,
) -> None:
    """Write every world's path through one bar.

    Parameters
    ----------
    path : array (block, world)
        Rows 0, ..., n - 1 are written, USD.
    loading : array (asset, asset)
        Lower-triangular factor of the correlation.
    ohlc : array (4,)
        Open, high, low, close, USD; high and low NaN for a plain bar.
    asset : int
        Row of the loading.
    volatility : float
        Of a plain bar: standard deviation of a block's log return.
    first, n : int
        First block of the bar and how many begin in it.
    """
    opening, high, low, close = ohlc[0], ohlc[1], ohlc[2], ohlc[3]
    known = high == high  # not NaN
    random = n >= 4 if known else n >= 3
    scale = volatility
    if known and n > 1:
        scale = math.log(high / low) / math.sqrt(4.0 * math.log(2.0) * (n - 1))
    for w in range(path.shape[1]):
        if not (random and scale > 0.0):
            fill_plain(path, w, n, ohlc)
        else:
            walk(path, w, loading, asset, key, world_ids[w], first, n)
            if known:
                thread(path, w, n, ohlc, scale)
            else:
                pin(path, w, 0, n - 1, math.log(opening), math.log(close), scale)
                for i in range(1, n - 1):
                    path[i, w] = math.exp(path[i, w])
        path[0, w] = opening
        path[n - 1, w] = close
