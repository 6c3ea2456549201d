"""Recorded prices of several assets on one regular clock, for resampling.

Of each bar only the close counts. Assets are recorded at the same moments; a moment without a bar
has the last known price, and a gap longer than `max_gap` ends a run: no move leads across it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim.errors import ConfigError, InputError
from sim.kernel import F64, I64, Bool
from sim.prices.bars import Bars, utc
from sim.prices.process import check_initial

MAX_GAP = 6.0 * 3600.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A history on a regular clock.

    Attributes
    ----------
    assets : tuple of str
    bar_seconds : float
        Time between two moments of a run.
    ts : array (moment,)
        Unix time, seconds.
    log_price : array (moment, asset)
    run : array (moment,)
        Number of the unbroken run that a moment belongs to.
    """

    assets: tuple[str, ...]
    bar_seconds: float
    ts: F64
    log_price: F64
    run: I64

    @classmethod
    def of_bars(cls, bars: Mapping[str, Bars], max_gap: float = MAX_GAP) -> "Recorded":
        """Lay the closes of all assets on the clock of their bars, which all have one length.

        Raises
        ------
        InputError
            Unless the assets have bars of one length and a common span of at least two moments.
        """
        if not bars:
            raise ConfigError("bars must hold the history of at least one asset, got none; add one")
        lengths = {symbol: float(np.median(series.seconds)) for symbol, series in bars.items()}
        step = next(iter(lengths.values()))
        if any(abs(length - step) > 1e-6 * step for length in lengths.values()):
            raise InputError(
                f"all assets must have bars of one length, got {lengths} seconds; take one table"
            )
        ends = {name: series.ts + series.seconds for name, series in bars.items()}
        begin = max(float(times[0]) for times in ends.values())
        n = round((min(float(times[-1]) for times in ends.values()) - begin) / step) + 1
        if n < 2:
            raise InputError(
                f"{', '.join(bars)} must have a common span, but the last begins at {utc(begin)}; "
                "take other series or dates"
            )
        log_price, hole = np.zeros((n, len(bars))), np.zeros(n, np.bool_)
        for k, (name, series) in enumerate(bars.items()):
            place = np.round((ends[name] - begin) / step).astype(np.int64)
            last = np.searchsorted(place, np.arange(n), side="right") - 1
            log_price[:, k] = np.log(series.close)[last]
            following = place[np.minimum(last + 1, len(place) - 1)]
            gap = (following - place[last] - 1) * step
            hole |= (place[last] != np.arange(n)) & (gap > max_gap + 1e-3)
        kept = np.flatnonzero(~hole)
        run = np.cumsum(np.append(0, np.diff(kept) > 1)).astype(np.int64)
        ts: F64 = begin + step * kept.astype(np.float64)
        return cls(tuple(bars), step, ts, log_price[kept], run)

    @property
    def inside(self) -> Bool:
        """Whether the move from a moment to the next stays in one run, shape (moment - 1,)."""
        inside: Bool = np.diff(self.run) == 0
        return inside

    def moves(self) -> F64:
        """Log returns of all runs, joined, shape (move, asset)."""
        return np.ascontiguousarray(np.diff(self.log_price, axis=0)[self.inside])

    def starts(self, n_moves: int) -> I64:
        """Moments from which `n_moves` moves follow without a break.

        Raises
        ------
        InputError
            Where there is none.
        """
        n = len(self.ts)
        first = np.arange(max(n - n_moves, 0), dtype=np.int64)
        found: I64 = first[self.run[first] == self.run[first + n_moves]]
        if not found.size:
            longest = int(np.bincount(self.run).max()) - 1
            raise InputError(
                f"the record has at most {longest} moves of {self.bar_seconds:g} s without a break "
                f"and the path needs {n_moves}; shorten it, widen the dates or raise max_gap"
            )
        return found

    def volatility(self) -> F64:
        """Root mean square of a move, shape (asset,)."""
        return np.asarray(np.sqrt(np.mean(self.moves() ** 2, axis=0)))

    def correlation(self) -> F64:
        """Correlation of the moves, shape (asset, asset); 0 for an asset that never moves."""
        moves, spread = self.moves(), self.volatility()
        scaled = moves / np.where(spread > 0.0, spread, 1.0)
        matrix: F64 = scaled.T @ scaled / len(moves)
        np.fill_diagonal(matrix, 1.0)
        return matrix


def check_record(initial: Mapping[str, float], bars: Mapping[str, Bars]) -> None:
    """Check initial prices, and that every series has one."""
    check_initial(initial)
    for asset in bars:
        if asset not in initial:
            raise ConfigError(
                f"initial has no price for {asset}, which has a series; known assets are "
                f"{', '.join(initial)}; add initial.{asset}"
            )
