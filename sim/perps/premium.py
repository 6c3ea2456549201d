"""The premium of a perpetual over its index, as a process that returns to its mean.

    mark = index exp(x),    dx = kappa (mean - x) dt + dispersion sqrt(2 kappa) dB

an Ornstein-Uhlenbeck process in stationary terms: `dispersion` is its standard deviation, the
half-life log 2 / kappa. It is stepped exactly and independent of the index. Each world and episode
begins with a draw of the stationary law.

Calibration, on Binance's hourly BTCUSDT mark prices and spot closes, 2020 to June 2024
(tests/sim/perps/test_premium.py does it again): log(mark / spot) has autocorrelations 0.79, 0.77,
0.73, 0.70, 0.64 at 1, 2, 8, 24, 72 hours, a slow process under noise, part of which is that two
closes of one hour are not of one instant. The half-life is that between 24 and 72 hours, the
dispersion that of the slow part, the noise is left out. Loose: the law is assumed normal, and the
years differ (a standard deviation of 2.5 bp in 2022, 7.5 bp in 2021).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim import streams
from sim.kernel import F64, kernel
from sim.prices.paths import addresses, check_length
from sim.terms import check_range

STREAM = "perps.premium"
PATHS = "perps.premium.paths"


@kernel
def fill_premium(out: F64, shocks: F64, mean: float, decay: float, spread: float) -> None:
    """Turn standard normals into premia.

    Parameters
    ----------
    out : array (row, step + 1)
        x.
    shocks : array (row, step + 1)
    mean, decay, spread : float
        Of x; exp(-kappa dt); standard deviation.
    """
    swing = spread * math.sqrt(1.0 - decay * decay)
    for i in range(out.shape[0]):
        x = mean + spread * shocks[i, 0]
        out[i, 0] = x
        for t in range(1, out.shape[1]):
            x = mean + decay * (x - mean) + swing * shocks[i, t]
            out[i, t] = x


@dataclass(frozen=True, slots=True, kw_only=True)
class Premium:
    """Log premium of the mark price over the index (see the module).

    Parameters
    ----------
    mean : float
        Long-run mean, a log return; 0.0001 is a basis point.
    dispersion : float
        Stationary standard deviation.
    half_life_hours : float
        Time in which a deviation halves.
    """

    mean: float = 0.0
    dispersion: float = 0.0
    half_life_hours: float = 24.0

    def __post_init__(self) -> None:
        """Check every number."""
        check_range("mean", self.mean, -1.0, 1.0)
        check_range("dispersion", self.dispersion, 0.0, 1.0)
        check_range("half_life_hours", self.half_life_hours, 0.0, 1e6, open_low=True)

    def decay(self, seconds: float) -> float:
        """Share of a deviation that is left after some time."""
        return math.pow(0.5, seconds / 3600.0 / self.half_life_hours)

    def paths(
        self,
        seed: int,
        world_ids: ArrayLike,
        episodes: ArrayLike,
        n_steps: int,
        dt_seconds: float,
    ) -> F64:
        """Make the log premium of each (world, episode), shape (row, n_steps + 1)."""
        check_length(n_steps, dt_seconds)
        ids, of = addresses(world_ids, episodes)
        out, shocks = np.empty((len(ids), n_steps + 1)), np.empty((len(ids), n_steps + 1))
        streams.normals_each(shocks, streams.stream_key(seed, PATHS), ids, of)
        fill_premium(out, shocks, self.mean, self.decay(dt_seconds), self.dispersion)
        return out

    def bind(self, seed: int, world_ids: ArrayLike, seconds: float) -> "PremiumWorlds":
        """Make the premia of worlds that step through blocks of `seconds`."""
        return PremiumWorlds(self, seed, world_ids, seconds)


class PremiumWorlds:
    """Premia of worlds that step through blocks.

    Attributes
    ----------
    log_premium : array (world,)
        x of the present block.
    """

    def __init__(self, premium: Premium, seed: int, world_ids: ArrayLike, seconds: float) -> None:
        self.premium = premium
        self.world_ids = addresses(world_ids, 0)[0]
        self.key = streams.stream_key(seed, STREAM)
        self.decay = premium.decay(seconds)
        self.shocks = np.zeros((len(self.world_ids), 1))
        self.log_premium = np.zeros(len(self.world_ids))

    def advance(self, step: int) -> None:
        """Write the premium of this step; step 0 draws it from the stationary law."""
        streams.normals(self.shocks, self.key, self.world_ids, step)
        mean, spread = self.premium.mean, self.premium.dispersion
        if step == 0:
            self.log_premium[:] = mean + spread * self.shocks[:, 0]
            return
        self.log_premium -= mean
        self.log_premium *= self.decay
        self.log_premium += mean + spread * math.sqrt(1.0 - self.decay**2) * self.shocks[:, 0]
