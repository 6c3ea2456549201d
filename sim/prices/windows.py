"""Recorded prices from random moments on: every world, and every episode, lives another stretch.

The record is that of the dates it was cut to, so that a policy trained on the windows of some years
can be tried on those of others. Prices are the record's times a factor that makes the first one the
initial price. Each window begins at a moment from which the record has no break before its end, all
such moments equally likely; all assets share it. Blocks of a world that are shorter than the bars
of the record are bridged between closes (`sim.prices.periods`); paths are not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sim import streams
from sim.errors import InputError
from sim.kernel import F64, I64, U64, kernel
from sim.prices.bars import Bars
from sim.prices.bootstrap import recorded_asset
from sim.prices.paths import PathFiller, addresses, check_length
from sim.prices.periods import approach, periods_in, rhythm_of
from sim.prices.process import PriceModel, check_numbers, loading_of
from sim.prices.recorded import MAX_GAP, Recorded, check_record

if TYPE_CHECKING:
    from sim.world import World

STREAM = "prices.windows"
PATHS = "prices.windows.paths"


@kernel
def fill_windows(
    out: F64,
    opening: float,
    log_price: F64,
    starts: I64,
    n_periods: int,
    key: U64,
    world_ids: I64,
    episodes: I64,
) -> None:
    """Write stretches of a record, `log_price (moment,)`, into `out (row, step + 1, 1)`."""
    for i in range(out.shape[0]):
        k = streams.integer(key, world_ids[i], episodes[i], 0, starts.shape[0])
        first = starts[k]
        for t in range(out.shape[1]):
            out[i, t, 0] = opening * math.exp(log_price[first + t * n_periods] - log_price[first])


@kernel
def draw_starts(out: I64, starts: I64, key: U64, world_ids: I64, episodes: I64) -> None:
    """Write the first moment of each window, `out (row,)`."""
    for i in range(out.shape[0]):
        out[i] = starts[streams.integer(key, world_ids[i], episodes[i], 0, starts.shape[0])]


@dataclass(kw_only=True)
class HistoricalWindows(PriceModel):
    """Stretches of a record (see the module).

    Parameters
    ----------
    bars : mapping of asset to Bars
        The record; bars of one length.
    initial : mapping of asset to float
        Price of step 0, USD; assets without bars keep it.
    max_gap : float
        Longest stretch of the record without bars that counts as standing still, seconds.
    """

    bars: Mapping[str, Bars]
    initial: Mapping[str, float]
    max_gap: float = MAX_GAP

    def __post_init__(self) -> None:
        """Check the terms and lay the record on its clock."""
        check_record(self.initial, self.bars)
        check_numbers("max_gap", self.max_gap, 0.0)
        self.record = Recorded.of_bars(self.bars, self.max_gap)

    def horizon(self, block_seconds: float) -> int:
        """Most steps that the longest unbroken run covers."""
        longest = int(np.bincount(self.record.run).max()) - 1
        return math.floor(longest * self.record.bar_seconds / block_seconds + 1e-6) + 1

    def bind(self, world: "World") -> None:
        """Draw each world's window and allocate."""
        if world.n_steps > self.horizon(world.block_seconds):
            raise InputError(
                f"the record covers {self.horizon(world.block_seconds)} blocks of "
                f"{world.block_seconds:g} s without a break, the run needs {world.n_steps}; "
                "shorten the run or widen the dates"
            )
        self.world_ids, names = world.world_ids, world.assets
        self.rhythm = rhythm_of(world.block_seconds, self.record.bar_seconds, "block_seconds")
        self.bridge_key = streams.stream_key(world.seed, f"{STREAM}.bridge")
        own = [asset for asset in world.assets if asset in self.bars]
        self.assets = np.array([names.index(asset) for asset in own], np.int64)
        chosen = [self.record.assets.index(asset) for asset in own]
        last = max(world.n_steps - 1, 1)
        needed = self.rhythm.period(last) + self.rhythm.periods
        self.first = np.zeros(world.n_worlds, np.int64)
        key = streams.stream_key(world.seed, STREAM)
        zeros = np.zeros(world.n_worlds, np.int64)
        draw_starts(self.first, self.record.starts(needed), key, self.world_ids, zeros)
        self.log_price = np.ascontiguousarray(self.record.log_price[:, chosen])
        self.loading = loading_of(self.record.correlation()[np.ix_(chosen, chosen)])
        spread = self.record.volatility()[chosen] / math.sqrt(self.rhythm.steps)
        self.spread = np.tile(spread, (world.n_worlds, 1))
        self.shocks = np.zeros((world.n_worlds, len(own)))
        self.target = np.zeros((world.n_worlds, len(names)))
        self.open(world)

    def move(self, step: int) -> None:
        """Move prices by a block, along the window; after it they stay."""
        moment = self.first + self.rhythm.period(step) + self.rhythm.periods
        end = self.log_price[np.minimum(moment, len(self.log_price) - 1)]
        grown = np.exp(end - self.log_price[self.first])
        self.target[:, self.assets] = self.at_start["price"][self.assets] * grown
        state = (self.price, self.target, self.spread, self.shocks, self.assets, self.loading)
        approach(*state, self.bridge_key, self.world_ids, step, self.rhythm.left(step))

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset, whose steps are whole bars of the record."""
        check_length(n_steps, dt_seconds)
        name = recorded_asset(self.record, asset)
        n_periods = periods_in(dt_seconds, self.record.bar_seconds)
        prices = np.ascontiguousarray(self.record.log_price[:, self.record.assets.index(name)])
        starts = self.record.starts(n_steps * n_periods)
        key = streams.stream_key(seed, PATHS)
        terms = (float(self.initial[name]), prices, starts, n_periods, key)
        return PathFiller(fill_windows, terms, key, n_steps, 1, 0, addressed=True)

    def starts(
        self,
        seed: int,
        world_ids: ArrayLike,
        episodes: ArrayLike,
        n_steps: int,
        dt_seconds: float,
    ) -> F64:
        """Unix time at which each of the same call's `paths` begins, shape (row,)."""
        check_length(n_steps, dt_seconds)
        ids, of = addresses(world_ids, episodes)
        starts = self.record.starts(n_steps * periods_in(dt_seconds, self.record.bar_seconds))
        first = np.zeros(len(ids), np.int64)
        draw_starts(first, starts, streams.stream_key(seed, PATHS), ids, of)
        return self.record.ts[first]
