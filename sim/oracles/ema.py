"""Exponential moving average of another oracle, as crvUSD's price oracles keep it.

    average <- current (1 - alpha) + average alpha,    alpha = exp(-dt / ma_exp_time)

with `current` the source's price now and dt the time since the last update: the price that is seen
now counts for all of that time (curvefi/curve-stablecoin, `EmaPriceOracle.vy`, `ema_price`). Here
every block updates. A spike of one block of length dt moves the average by 1 - alpha of itself and
is forgotten at the rate 1 / ma_exp_time. Curve's pools average the price of the last trade instead,
that of the block before; for that, take a `twap` with window 0 as the source.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.kernel import F64, kernel
from sim.oracles.composite import CompositeOracle
from sim.oracles.oracle import Oracle
from sim.terms import Terms, check_range, per_asset

if TYPE_CHECKING:
    from sim.world import World


@kernel
def average_in(current: F64, exp_time: F64, now: float, average: F64, clock: F64) -> None:
    """Move every average on to the time `now`, seconds; `clock` (world,) holds the last time."""
    for w in range(average.shape[0]):
        for k in range(average.shape[1]):
            alpha = np.exp((clock[w] - now) / exp_time[k])
            average[w, k] = current[w, k] * (1.0 - alpha) + average[w, k] * alpha
        clock[w] = now


class EmaOracle(CompositeOracle):
    """A smoothed price.

    Parameters
    ----------
    base : Oracle
        The source.
    ma_exp_time : float or mapping of str to float
        Seconds in which the weight of the past falls to 1 / e.
    assets : sequence of str, optional
        Assets that are smoothed, the others are taken as they are; all of them when left out.
    """

    def __init__(
        self, *, base: Oracle, ma_exp_time: Terms = 866.0, assets: Sequence[str] | None = None
    ) -> None:
        check_range("ma_exp_time", ma_exp_time, 0.0, 1e9, open_low=True)
        super().__init__({"base": base})
        self.ma_exp_time, self.assets = ma_exp_time, assets

    def fields(self, n_assets: int) -> dict[str, tuple[int, ...]]:
        """Averages by asset, and the time of the last update."""
        return {"average": (n_assets,), "clock": ()}

    def begin(self, world: "World") -> None:
        """Start from the source's price."""
        self.base = self.parts["base"]
        names = world.assets if self.assets is None else self.assets
        self.smoothed = [world.asset_index(name) for name in names]
        time = self.ma_exp_time
        if not isinstance(time, float | int):  # others need none: they are taken as they are
            time = {**dict.fromkeys(set(world.assets) - set(names), 1.0), **time}
        self.exp_time = per_asset(f"{self.name}.ma_exp_time", world.assets, time)
        self.average, self.clock = self.arena["average"], self.arena["clock"]
        self.average[:] = self.base.price

    def advance(self) -> None:
        """Take the source's price in, once a block."""
        now = self.world.step * self.world.block_seconds
        average_in(self.base.price, self.exp_time, float(now), self.average, self.clock)

    def combine(self) -> None:
        """Publish the averages."""
        self.price[:] = self.base.price
        self.price[:, self.smoothed] = self.average[:, self.smoothed]
