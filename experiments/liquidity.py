"""Liquidity by tick of a concentrated pool, from a history of its state.

A contract's history tells, at each moment, the tick and the liquidity that is active there. Over
many moments the price has stood in many places, and what was active when it stood at a tick is an
observation of the distribution at that tick. The profile that comes out is constant between ticks:

* at a tick that was visited, the median of what was active there in the window;
* between two visited ticks, that of the nearer one;
* beyond the outermost, `beyond`: nobody has seen it. Left out, it is the least that was ever active
  before the window's end, which may be far too much or too little.

What it cannot tell: liquidity that moved with the price during the window counts at every tick that
it followed it to, so that concentrated, actively managed liquidity makes the profile too wide.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.tables import locate, unix_time
from sim.amm.concentrated import ConcentratedPool
from sim.amm.ticks import MAX_TICK
from sim.errors import ConfigError, InputError
from sim.kernel import F64, I64

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Profile:
    """Liquidity constant between ticks.

    Attributes
    ----------
    ticks : array (n + 1,)
        Ends of the pieces, ascending.
    liquidity : array (n,)
        Active in each piece, units of the chain.
    """

    ticks: I64
    liquidity: F64

    def at(self, tick: F64) -> F64:
        """Liquidity active at ticks, same shape; 0 outside all pieces."""
        piece = np.searchsorted(self.ticks, tick, side="right") - 1
        inside = (piece >= 0) & (piece < len(self.liquidity))
        return np.where(inside, self.liquidity[np.clip(piece, 0, len(self.liquidity) - 1)], 0.0)

    def amounts(self, tick: F64) -> tuple[F64, F64]:
        """Amounts of asset 0 and 1 behind the profile at ticks, units of the chain.

        With r the root of the price, a piece from a to b with liquidity L holds L (1/r - 1/b) of
        asset 0 and L (r - a) of asset 1, r cut to the piece (Uniswap v3 whitepaper, 6.29, 6.30).
        """
        ends = 1.0001 ** (self.ticks / 2.0)
        low, high = ends[:-1], ends[1:]
        root = np.clip(1.0001 ** (np.asarray(tick, float)[..., None] / 2.0), low, high)
        zero = (self.liquidity * (1.0 / root - 1.0 / high)).sum(axis=-1)
        one = (self.liquidity * (root - low)).sum(axis=-1)
        return zero, one

    def share(self, tick: F64) -> F64:
        """Share of asset 0 in the worth of the pool at the pool's own price."""
        zero, one = self.amounts(tick)
        worth = zero * 1.0001 ** np.asarray(tick, float)
        return np.asarray(worth / (worth + one))


def observed_states(data: str | None, file: str, start: float, end: float) -> "pd.DataFrame":
    """Rows `ts`, `tick`, `liquidity` of a recorded pool in a span of unix seconds."""
    import pandas as pd

    table = pd.read_parquet(locate(data, file))
    missing = {"ts", "tick", "liquidity"} - set(table.columns)
    if missing:
        raise InputError(
            f"{file} must have the columns ts, tick and liquidity, got {', '.join(table.columns)}"
        )
    seconds = (table.ts - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return table[(seconds >= start) & (seconds < end)]


def profile_of(
    rows: "pd.DataFrame", lowest: int, highest: int, spacing: int, beyond: float
) -> Profile:
    """Make the profile of observed states; see the module.

    Parameters
    ----------
    rows : DataFrame
        `tick` and `liquidity`.
    lowest, highest : int
        Ends of the profile, ticks.
    spacing : int
        Ticks between two usable ones; states within one spacing count together.
    beyond : float
        Liquidity outside the ticks that were visited, units of the chain.
    """
    rows = rows[rows.liquidity > 0]
    if rows.empty:
        raise InputError("no state with liquidity in the window; choose another window")
    place = np.floor_divide(rows.tick.to_numpy(), spacing)
    seen = rows.liquidity.astype(float).groupby(place).median()
    first, last = int(seen.index[0]), int(seen.index[-1])
    if not (lowest <= first * spacing and (last + 1) * spacing <= highest):
        raise ConfigError(
            f"the profile must reach over all visited ticks, {first * spacing} to "
            f"{(last + 1) * spacing}, got {lowest} to {highest}; widen lowest and highest"
        )
    places = np.arange(first, last + 1)
    known = seen.index.to_numpy()
    nearest = known[np.abs(places[:, None] - known[None, :]).argmin(axis=1)]
    values = seen.loc[nearest].to_numpy()
    edge = np.flatnonzero(np.diff(values) != 0.0) + 1
    starts = np.concatenate([[0], edge])
    ticks = np.concatenate([[lowest], places[starts] * spacing, [(last + 1) * spacing, highest]])
    liquidity = np.concatenate([[beyond], values[starts], [beyond]])
    kept = np.diff(ticks) > 0
    return Profile(np.concatenate([ticks[:-1][kept], ticks[-1:]]).astype(np.int64), liquidity[kept])


def read_profile(
    data: str | None,
    file: str,
    until: str | float,
    days: float,
    spacing: int = 1,
    lowest: int | None = None,
    highest: int | None = None,
    beyond: float | None = None,
) -> Profile:
    """Read the profile of the days before a moment.

    Parameters
    ----------
    data, file : str
        Folder and table.
    until : str or float
        End of the window, UTC or unix seconds.
    days : float
        Length of the window.
    spacing : int
    lowest, highest : int, optional
        Ends, ticks; the whole usable range when left out.
    beyond : float, optional
        Liquidity at ticks that nobody visited, units of the chain; the least ever active before
        `until` when left out.
    """
    end = unix_time(until, "until")
    rows = observed_states(data, file, end - 86400.0 * days, end)
    if beyond is None:
        before = observed_states(data, file, -np.inf, end).liquidity
        beyond = float(before[before > 0].min())
    last = MAX_TICK // spacing * spacing
    return profile_of(
        rows, -last if lowest is None else lowest, last if highest is None else highest, spacing,
        beyond,
    )  # fmt: skip


def recorded_pool(
    *,
    data: str | None,
    file: str,
    until: str | float,
    days: float,
    beyond: float | None = None,
    scale: float = 1.0,
    tick_spacing: int = 1,
    **terms: Any,
) -> ConcentratedPool:
    """Make a pool whose liquidity is the profile of a recorded one.

    Parameters
    ----------
    data, file, until, days, beyond
        As for `read_profile`.
    scale : float
        Multiplies the profile.
    tick_spacing : int
    **terms
        Other fields of `ConcentratedParams`.
    """
    profile = read_profile(data, file, until, days, tick_spacing, beyond=beyond)
    ranges = {
        f"piece_{k}": {
            "lower_tick": float(low), "upper_tick": float(high), "liquidity": scale * float(held),
        }
        for k, (low, high, held) in enumerate(
            zip(profile.ticks[:-1], profile.ticks[1:], profile.liquidity, strict=True)
        )
    }  # fmt: skip
    room = {"max_ticks": 2 * len(ranges) + 8, "max_positions": len(ranges) + 4} | terms
    return ConcentratedPool(tick_spacing=tick_spacing, ranges=ranges, **room)
