"""Stationary block bootstrap of recorded returns.

Returns of random blocks of the record follow each other; a block ends after each return with
probability 1 / mean length, and the next one begins anywhere, so that the resampled series is
stationary. All assets take the same blocks, which keeps their dependence. The record is a circle,
as Politis and Romano have it: after its last return comes its first. Gaps of the record are joined.

The mean return of the record is kept, or replaced: `drift` shifts all log returns of an asset so
that exp(return) averages exp(drift dt). Blocks of a world that are shorter than the bars of the
record are bridged (`sim.prices.periods`).

Source: Politis and Romano (1994), The stationary bootstrap, JASA 89.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sim import streams
from sim.errors import ConfigError
from sim.kernel import F64, I64, U64, kernel
from sim.prices.bars import Bars
from sim.prices.paths import PathFiller, check_length
from sim.prices.periods import approach, periods_in, rhythm_of
from sim.prices.process import (
    SECONDS_PER_YEAR,
    PriceModel,
    check_numbers,
    initial_prices,
    loading_of,
)
from sim.prices.recorded import MAX_GAP, Recorded, check_record

if TYPE_CHECKING:
    from sim.world import World

STREAM = "prices.bootstrap"


@kernel
def next_index(
    last: int, n: int, chance: float, key: U64, world_id: int, step: int, index: int
) -> int:
    """Place of the next return in a record of n; `last` is -1 at the beginning."""
    if last < 0 or streams.uniform(key, world_id, step, index) < chance:
        return streams.integer(key, world_id, step, index, n)
    return last + 1 if last + 1 < n else 0


@kernel
def resample(
    target: F64,
    place: F64,
    assets: I64,
    moves: F64,
    chance: float,
    key: U64,
    world_ids: I64,
    period: int,
) -> None:
    """Draw one return of the record for every world.

    Parameters
    ----------
    target : array (world, asset)
        Price at the end of the period, USD; it comes in as that of the period before.
    place : array (world,)
        Place of the last return in the record, -1 before the first; changed in place.
    assets : array (recorded asset,)
        Which assets of the world the record has.
    moves : array (move, recorded asset)
        Log returns.
    chance : float
        That a block ends.
    """
    for w in range(target.shape[0]):
        k = next_index(int(place[w]), moves.shape[0], chance, key, world_ids[w], period, 0)
        place[w] = k
        for i in range(assets.shape[0]):
            target[w, assets[i]] *= math.exp(moves[k, i])


@kernel
def fill_bootstrap(
    out: F64,
    opening: float,
    moves: F64,
    chance: float,
    n_periods: int,
    key: U64,
    world_ids: I64,
    episodes: I64,
) -> None:
    """Write paths of resampled returns, `moves (move,)`, into `out (row, step + 1, 1)`."""
    for i in range(out.shape[0]):
        price, k = opening, -1
        out[i, 0, 0] = price
        for t in range(out.shape[1] - 1):
            move = 0.0
            for j in range(t * n_periods, (t + 1) * n_periods):
                k = next_index(k, moves.shape[0], chance, key, world_ids[i], episodes[i], j)
                move += moves[k]
            price *= math.exp(move)
            out[i, t + 1, 0] = price


@dataclass(kw_only=True)
class BlockBootstrap(PriceModel):
    """Resampled returns of a record (see the module).

    Parameters
    ----------
    bars : mapping of asset to Bars
        The record; bars of one length.
    initial : mapping of asset to float
        Price of step 0, USD; assets without bars keep it.
    mean_block : float
        Mean length of a block, seconds.
    drift : float, optional
        Annualised expected return of every recorded asset; that of the record when left out.
    max_gap : float
        Longest stretch of the record without bars that counts as standing still, seconds.
    """

    bars: Mapping[str, Bars]
    initial: Mapping[str, float]
    mean_block: float
    drift: float | None = None
    max_gap: float = MAX_GAP

    def __post_init__(self) -> None:
        """Check the terms and make the returns."""
        check_record(self.initial, self.bars)
        check_numbers("mean_block", self.mean_block, 1e-9)
        check_numbers("max_gap", self.max_gap, 0.0)
        self.record = Recorded.of_bars(self.bars, self.max_gap)
        self.moves = self.record.moves()
        seconds = self.record.bar_seconds
        if self.mean_block < seconds - 1e-6:
            raise ConfigError(
                f"mean_block must be at least one bar of the record, {seconds:g} s, got "
                f"{self.mean_block:g} s; lengthen it"
            )
        self.chance = seconds / self.mean_block
        if self.drift is not None:
            check_numbers("drift", self.drift, -1000.0, 1000.0)
            wanted = self.drift * seconds / SECONDS_PER_YEAR
            self.moves = self.moves + wanted - np.log(np.mean(np.exp(self.moves), axis=0))

    def bind(self, world: "World") -> None:
        """Allocate and lay the bars of the record over the blocks."""
        names = world.assets
        self.rhythm = rhythm_of(world.block_seconds, self.record.bar_seconds, "block_seconds")
        self.key = streams.stream_key(world.seed, STREAM)
        self.bridge_key = streams.stream_key(world.seed, f"{STREAM}.bridge")
        own = [asset for asset in world.assets if asset in self.bars]
        self.assets = np.array([names.index(asset) for asset in own], np.int64)
        chosen = [self.record.assets.index(asset) for asset in own]
        self.own_moves = np.ascontiguousarray(self.moves[:, chosen])
        self.loading = loading_of(self.record.correlation()[np.ix_(chosen, chosen)])
        spread = self.record.volatility()[chosen] / math.sqrt(self.rhythm.steps)
        self.spread = np.tile(spread, (world.n_worlds, 1))
        self.shocks = np.zeros((world.n_worlds, len(own)))
        target = initial_prices(self.initial, names)
        place = np.full(world.n_worlds, -1.0)
        self.open(world, target=target, of_worlds={"place": place})

    def move(self, step: int) -> None:
        """Move prices by a block, along the bar that was drawn."""
        left = self.rhythm.left(step)
        if left == self.rhythm.steps:
            first = self.rhythm.period(step)
            for period in range(first, first + self.rhythm.periods):
                record = (self.assets, self.own_moves, self.chance, self.key)
                resample(self.arena["target"], self.arena["place"], *record, self.world_ids, period)
        state = (
            self.price,
            self.arena["target"],
            self.spread,
            self.shocks,
            self.assets,
            self.loading,
        )
        approach(*state, self.bridge_key, self.world_ids, step, left)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset, whose steps are whole bars of the record."""
        check_length(n_steps, dt_seconds)
        name = recorded_asset(self.record, asset)
        n_periods = periods_in(dt_seconds, self.record.bar_seconds)
        moves = np.ascontiguousarray(self.moves[:, self.record.assets.index(name)])
        key = streams.stream_key(seed, f"{STREAM}.paths")
        terms = (float(self.initial[name]), moves, self.chance, n_periods, key)
        return PathFiller(fill_bootstrap, terms, key, n_steps, 1, 0, addressed=True)


def recorded_asset(record: Recorded, asset: str | None) -> str:
    """Name the asset of a path: the given one, or the first of the record."""
    if asset is None:
        return record.assets[0]
    if asset not in record.assets:
        raise ConfigError(
            f"asset must be one of the record, got {asset}; known assets are "
            f"{', '.join(record.assets)}; correct it"
        )
    return asset
