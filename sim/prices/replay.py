"""Replay of real price series, several assets on one clock.

Bars finer than the block are aggregated; coarser ones are filled by a random bridge that honours
each bar's open, high, low and close (`sim.prices.bridge`): an ensemble over one historical day is a
distribution, not one path. Each asset may have bars of its own length, and of several lengths.

The price of a block is the last one seen in it, except that the first block of a bar shows the
bar's open. Missing bars are bridged from close to next open if the gap is at most `max_gap`. The
prices of a series without extremes are joined by Brownian bridges with `fill_volatility`. The paths
need no place in a snapshot: they are functions of their addresses.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sim import streams
from sim.errors import ConfigError, InputError
from sim.kernel import F64
from sim.prices.bars import Bars, Segments, segments_of, span, utc
from sim.prices.bridge import fill_bar
from sim.prices.process import (
    SECONDS_PER_YEAR,
    PerAsset,
    PriceProcess,
    check_numbers,
    correlation_matrix,
    loading_of,
)
from sim.state import Arena

if TYPE_CHECKING:
    from sim.world import World

STREAM = "prices.replay"
_FEWEST_RETURNS = 20  # a correlation of fewer common returns is noise


@dataclass(kw_only=True)
class Replay(PriceProcess):
    """Real prices (see the module).

    Parameters
    ----------
    bars : mapping of asset to Bars
        History of each asset that has one.
    constants : mapping of asset to float
        Price of the assets that have none, USD.
    start : float
        Unix time of step 0, seconds.
    duration : float, optional
        Longest run, seconds; all the bars after `start` when left out.
    correlation : float or mapping of pair to float, optional
        Of the assets' moves inside bars: one number, or by pair (`WETH/WBTC: 0.8`), others 0.
        Measured on the bars of the replay when left out, and 0.8 where they share fewer than 20
        returns.
    max_gap : float
        Longest stretch without bars that is bridged, seconds.
    fill_volatility : float, optional
        Annualised volatility between prices without known extremes; that of the series itself when
        left out.

    Attributes
    ----------
    low, high : array (world, asset)
        Range of the present block, USD.
    """

    bars: Mapping[str, Bars]
    constants: Mapping[str, float] = field(default_factory=dict)
    start: float
    duration: float | None = None
    correlation: PerAsset | None = None
    max_gap: float = 3600.0
    fill_volatility: float | None = None

    def __post_init__(self) -> None:
        """Check the terms, cut the series to the replay and close their gaps."""
        for asset in self.constants:
            if asset in self.bars:
                raise ConfigError(
                    f"constants.{asset} must not name an asset with bars; remove one of the two"
                )
        check_numbers("constants", self.constants, 1e-300)
        check_numbers("max_gap", self.max_gap, 0.0)
        if self.duration is not None:
            check_numbers("duration", self.duration, 1e-9)
        if self.correlation is not None:
            check_numbers("correlation", self.correlation, -1.0, 1.0)
        if self.fill_volatility is not None:
            check_numbers("fill_volatility", self.fill_volatility, 0.0, 1000.0)
        if not self.bars:
            raise ConfigError("bars must hold the history of at least one asset, got none; add one")
        self.series = {asset: self._cut(bars) for asset, bars in self.bars.items()}

    def _cut(self, bars: Bars) -> Bars:
        end = math.inf if self.duration is None else self.start + self.duration
        if bars.ts[0] > self.start + 1e-3:
            raise InputError(
                f"{bars.symbol}: bars begin at {utc(bars.ts[0])}, after the start of the replay, "
                f"{utc(self.start)}; move start"
            )
        keep = (bars.ts + bars.seconds > self.start) & (bars.ts < end)
        # A gap may lie on the start or on the end: take the bars on its other side as well.
        keep[:-1] |= (bars.ts[:-1] < self.start) & (bars.ts[1:] > self.start)
        keep[1:] |= (bars.ts[:-1] + bars.seconds[:-1] < end) & (bars.ts[1:] >= end)
        if self.duration is not None and bars.end < end - 1e-3:
            raise InputError(
                f"{bars.symbol}: bars end at {utc(bars.end)}, before the end of the replay, "
                f"{utc(end)} ({span(self.duration)} from start); shorten duration"
            )
        if not keep.any():
            raise InputError(
                f"{bars.symbol}: no bar lies after {utc(self.start)}; bars end at {utc(bars.end)}; "
                "move start"
            )
        return bars.part(keep).without_gaps(self.max_gap)

    def horizon(self, block_seconds: float) -> int:
        """Most steps that the series cover."""
        end = min(bars.end for bars in self.series.values())
        if self.duration is not None:
            end = min(end, self.start + self.duration)
        return math.floor((end - self.start) / block_seconds + 1e-6)

    def bind(self, world: "World") -> None:
        """Lay the series over the world's blocks and allocate."""
        n_steps, seconds = world.n_steps, world.block_seconds
        for asset in world.assets:
            if asset not in self.bars and asset not in self.constants:
                known = ", ".join([*self.bars, *self.constants])
                raise ConfigError(
                    f"the replay has no price for {asset}, an asset of this world; it prices "
                    f"{known}; add a series or constants.{asset}"
                )
        if n_steps > self.horizon(seconds):
            raise InputError(
                f"the replay covers {self.horizon(seconds)} blocks of {seconds:g} s from "
                f"{utc(self.start)}, the run needs {n_steps}; shorten the run or take longer series"
            )
        self.world_ids = world.world_ids
        self.key = streams.stream_key(world.seed, STREAM)
        self.replayed = [asset for asset in world.assets if asset in self.series]
        self.columns = [world.assets.index(asset) for asset in self.replayed]
        self.loading = loading_of(self._correlation())
        self.segments: list[Segments] = []
        self.volatility: list[float] = []
        for asset in self.replayed:
            bars = self.series[asset]
            self.segments.append(segments_of(bars, self.start, seconds, n_steps))
            annual = self.fill_volatility
            annual = realised_volatility(bars) if annual is None else annual
            self.volatility.append(annual * math.sqrt(seconds / SECONDS_PER_YEAR))
        self.filled_paths: list[F64] = [
            np.zeros((int(np.diff(s.first).max()), world.n_worlds)) for s in self.segments
        ]
        self.filled = [-1] * len(self.replayed)
        n_assets = len(world.assets)
        self.arena = Arena(
            world.n_worlds, {"price": (n_assets,), "low": (n_assets,), "high": (n_assets,)}
        )
        self.price = self.arena["price"]
        self.low, self.high = self.arena["low"], self.arena["high"]
        for asset, price in self.constants.items():
            if asset in world.assets:
                self.arena_fill(world.assets.index(asset), float(price))
        self.advance(0)
        self.arena.keep_as_initial()

    def arena_fill(self, column: int, price: float) -> None:
        """Give one asset a constant price."""
        for view in (self.price, self.low, self.high):
            view[:, column] = price

    def advance(self, step: int) -> None:
        """Write the prices and ranges of this step; after the last one, prices stay."""
        for k, column in enumerate(self.columns):
            segments, path = self.segments[k], self.filled_paths[k]
            step_k = min(step, int(segments.first[-1]) - 1)
            s = self.filled[k]
            if s < 0 or not segments.first[s] <= step_k < segments.first[s + 1]:
                s = int(np.searchsorted(segments.first, step_k, side="right")) - 1
                self._fill(k, s)
            i = step_k - int(segments.first[s])
            n = int(segments.first[s + 1] - segments.first[s])
            before = path[max(i - 1, 0)]
            self.price[:, column] = path[i]
            self.low[:, column] = np.minimum(before, path[i])
            self.high[:, column] = np.maximum(before, path[i])
            if n <= 3 and i == min(1, n - 1) and not math.isnan(segments.high[s]):
                self.low[:, column] = segments.low[s]
                self.high[:, column] = segments.high[s]

    def _fill(self, k: int, s: int) -> None:
        """Make every world's path through segment s of series k: a pure function of addresses."""
        segments = self.segments[k]
        first, after = int(segments.first[s]), int(segments.first[s + 1])
        ohlc = np.array(
            [segments.open[s], segments.high[s], segments.low[s], segments.close[s]], np.float64
        )
        fill_bar(
            self.filled_paths[k],
            self.loading,
            ohlc,
            k,
            self.volatility[k],
            self.key,
            self.world_ids,
            first,
            after - first,
        )
        self.filled[k] = s

    def _correlation(self) -> F64:
        if self.correlation is not None:
            return correlation_matrix(self.correlation, self.replayed)
        return sample_correlation([self.series[asset] for asset in self.replayed])


def realised_volatility(bars: Bars) -> float:
    """Annualised volatility of a series' own moves, open to close; 0 where it does not move."""
    moves = np.log(bars.close / bars.open)
    return float(np.sqrt(np.sum(moves**2) / np.sum(bars.seconds) * SECONDS_PER_YEAR))


def price_at(bars: Bars, times: F64) -> F64:
    """Last known price at given times: a bar's open when it opens, its close once it has closed."""
    i = np.clip(np.searchsorted(bars.ts, times + 1e-3, side="right") - 1, 0, len(bars.ts) - 1)
    closed = times + 1e-3 >= bars.ts[i] + bars.seconds[i]
    return np.where(closed, bars.close[i], bars.open[i])


def sample_correlation(series: list[Bars]) -> F64:
    """Correlation of log returns on the coarsest grid that the series share.

    0.8 between all where they share fewer than 20 returns; a series that never moves has 0.
    """
    step = max(float(np.median(bars.seconds)) for bars in series)
    begin = max(float(bars.ts[0]) for bars in series)
    n = math.floor((min(bars.end for bars in series) - begin) / step + 1e-6)
    if n < _FEWEST_RETURNS:
        return correlation_matrix(0.8, [bars.symbol for bars in series])
    times = (begin + step * np.arange(n + 1)).astype(np.float64)
    returns = np.stack([np.diff(np.log(price_at(bars, times))) for bars in series])
    spread = np.sqrt(np.sum(returns**2, axis=1))
    moves = spread > 0.0
    scaled = returns / np.where(moves, spread, 1.0)[:, None]
    matrix: F64 = scaled @ scaled.T
    np.fill_diagonal(matrix, 1.0)
    return matrix
