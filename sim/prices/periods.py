"""Models that know one return a period (a day, an hour), laid over blocks of another length.

Blocks that last several periods add their returns up. Shorter blocks fill the period by a Brownian
bridge to the price at its end: with m blocks left, this one included,

    log S(t + dt) = log S(t) + (log S_end - log S(t)) / m + spread sqrt((m - 1) / m) z

where `spread` is the deviation of a block's log return and z has the assets' correlation.
"""

import math
from dataclasses import dataclass

from sim import streams
from sim.errors import ConfigError
from sim.kernel import F64, I64, U64, kernel


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How steps lie over periods; one of the two numbers is 1.

    Attributes
    ----------
    steps : int
        Steps in a period.
    periods : int
        Periods in a step.
    """

    steps: int
    periods: int

    def left(self, step: int) -> int:
        """Count the steps left in the period of this step, itself included; steps begin at 1."""
        return self.steps - (step - 1) % self.steps

    def period(self, step: int) -> int:
        """Find the first period that ends in this step or after it, counted from 0."""
        return (step - 1) * self.periods if self.steps == 1 else (step - 1) // self.steps


def rhythm_of(step_seconds: float, period_seconds: float, what: str) -> Rhythm:
    """Lay steps over periods.

    Raises
    ------
    ConfigError
        Unless one is a whole multiple of the other.
    """
    steps = max(1, round(period_seconds / step_seconds))
    periods = max(1, round(step_seconds / period_seconds))
    if abs(steps * step_seconds - periods * period_seconds) > 1e-6 * step_seconds:
        raise ConfigError(
            f"{what} must be a whole multiple or a whole part of {period_seconds:g} s, the period "
            f"of this model, got {step_seconds:g} s; change it"
        )
    return Rhythm(steps, periods)


def periods_in(dt_seconds: float, period_seconds: float) -> int:
    """Periods in a step of a path, which has no bridge and needs whole ones."""
    rhythm = rhythm_of(dt_seconds, period_seconds, "dt_seconds")
    if rhythm.steps > 1:
        raise ConfigError(
            f"dt_seconds must be a whole multiple of {period_seconds:g} s, the period of this "
            f"model, whose paths have no bridge, got {dt_seconds:g} s; lengthen it"
        )
    return rhythm.periods


@kernel
def approach(
    price: F64,
    target: F64,
    spread: F64,
    shocks: F64,
    assets: I64,
    loading: F64,
    key: U64,
    world_ids: I64,
    step: int,
    left: int,
) -> None:
    """Move prices by one block towards those at the end of the period.

    Parameters
    ----------
    price, target : array (world, asset)
        USD; `price` is changed in place.
    spread : array (world, moving asset)
        Standard deviation of a block's log return.
    shocks : array (world, moving asset)
        Scratch.
    loading : array (moving asset, moving asset)
        Lower-triangular factor of the correlation.
    left : int
        Blocks left in the period, this one included.
    """
    n = assets.shape[0]
    if left > 1:
        streams.normals(shocks, key, world_ids, step)
    free = math.sqrt((left - 1.0) / left)
    for w in range(price.shape[0]):
        for i in range(n):
            a = assets[i]
            if left == 1:
                price[w, a] = target[w, a]
                continue
            z = 0.0
            for j in range(i + 1):
                z += loading[i, j] * shocks[w, j]
            pull = math.log(target[w, a] / price[w, a]) / left
            price[w, a] *= math.exp(pull + spread[w, i] * free * z)
