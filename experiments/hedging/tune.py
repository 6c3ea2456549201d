"""Set a classical hedger's numbers, one after the other, on paths of their own."""

import math
from collections.abc import Callable

import numpy as np

from agents.hedgers.hedger import Hedger, Scalar
from experiments.hedging.play import TUNING, Setting, play

POINTS = 9  # of the first look between the ends
SECTIONS = 8  # golden sections after it; each leaves 0.62 of the interval
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


def tuned(setting: Setting, hedger: Hedger, seed: int, paths: int) -> Hedger:
    """Return the hedger with the scalars that are best on training paths.

    Parameters
    ----------
    setting : Setting
    hedger : Hedger
        Bound; returned as it is where it has nothing to tune.
    seed, paths : int
        Of the tuning paths, which are no test paths.
    """
    while (scalar := hedger.scalar) is not None:
        hedger = hedger.with_scalar(lowest_of(_worth(setting, hedger, seed, paths), scalar))
    return hedger


def _worth(setting: Setting, hedger: Hedger, seed: int, paths: int) -> Callable[[float], float]:
    def worth(value: float) -> float:
        played = play(setting, hedger.with_scalar(value), seed, TUNING, paths)
        return setting.objective(played.cost)

    return worth


def lowest_of(worth: Callable[[float], float], scalar: Scalar) -> float:
    """Argument of the lowest value: a coarse look at the whole range, then golden sections.

    Parameters
    ----------
    worth : callable
        Of one number; the same paths each time, so that it is smooth.
    scalar : Scalar
    """
    grow = np.exp if scalar.geometric else lambda x: x
    ends = [math.log(end) if scalar.geometric else end for end in (scalar.lowest, scalar.highest)]
    grid = np.linspace(ends[0], ends[1], POINTS)
    values = [worth(float(grow(x))) for x in grid]
    best = int(np.argmin(values))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, POINTS - 1)])
    seen = {float(grid[best]): values[best]}
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    for x in (left, right):
        seen[x] = worth(float(grow(x)))
    for _ in range(SECTIONS):
        if seen[left] < seen[right]:
            high, right = right, left
            left = high - _GOLDEN * (high - low)
            seen[left] = worth(float(grow(left)))
        else:
            low, left = left, right
            right = low + _GOLDEN * (high - low)
            seen[right] = worth(float(grow(right)))
    return float(grow(min(seen, key=lambda x: seen[x])))
