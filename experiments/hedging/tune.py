"""Set a classical hedger's numbers, one after the other, on paths of their own."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from agents.hedgers.delta import Delta
from agents.hedgers.hedger import Desk, Hedger, Scalar, Sight
from experiments.hedging.play import TUNING, Setting, play, sight_of

POINTS = 9  # of the first look between the ends
SECTIONS = 8  # golden sections after it; each leaves 0.62 of the interval
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


def tuned(setting: Setting, hedger: Hedger, seed: int, paths: int) -> Hedger:
    """Return the hedger with what it estimates from, and what is best on, training paths.

    Parameters
    ----------
    setting : Setting
    hedger : Hedger
        Bound; returned as it is where it has nothing to tune.
    seed, paths : int
        Of the tuning paths, which are no test paths.
    """
    if hedger.fits:
        hedger = hedger.fitted(moves(setting, hedger.desk, seed, paths))
    while (scalar := hedger.scalar) is not None:
        hedger = hedger.with_scalar(lowest_of(_worth(setting, hedger, seed, paths), scalar))
    return hedger


def _worth(setting: Setting, hedger: Hedger, seed: int, paths: int) -> Callable[[float], float]:
    def worth(value: float) -> float:
        played = play(setting, hedger.with_scalar(value), seed, TUNING, paths)
        return setting.objective(played.cost)

    return worth


def moves(setting: Setting, desk: Desk, seed: int, paths: int) -> Iterator[tuple[Sight, Sight]]:
    """Give what a desk sees before and after each period of the tuning paths, batch by batch.

    The book is hedged by its delta meanwhile, so that an account with margin lives.

    Parameters
    ----------
    setting : Setting
    desk : Desk
    seed, paths : int
    """
    hedger = Delta()
    hedger.bind(desk)
    most = setting.market.most_worlds
    for first in range(0, paths, most):
        env = setting.worlds(min(most, paths - first), TUNING + first)
        observation, _ = env.reset(seed=seed)
        for _ in range(setting.terms.contract.n_steps):
            before = Sight._make(array.copy() for array in sight_of(env, observation))
            observation, *_ = env.step(hedger.actions(before))
            yield before, sight_of(env, observation)


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
