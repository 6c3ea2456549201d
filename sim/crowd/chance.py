"""The chance of one member: numbers addressed by world, member and the count of its wakes.

One call of Philox gives four uniforms of 32 bits; `lane` separates several calls of one wake. The
address holds nothing of the batch or of how time is cut, so neither can a path.
"""

from math import exp, log, sqrt

import numpy as np

from sim.crowd.layout import (
    GAP,
    ROUND,
    SECOND,
    SIZE_A,
    SIZE_B,
    SIZE_LAW,
    SIZE_MAX,
    CrowdState,
)
from sim.kernel import i64, inlined, kernel, word
from sim.streams import normal_quantile, philox

CONSTANT, LOGNORMAL, MIXTURE, PARETO = 0, 1, 2, 3
FIRST, MORE = word(0), word(1)  # lanes: the first four uniforms of a wake, and four more
_UNIT = 2.0**-32


@kernel
def four(crowd: CrowdState, i: int, lane: int) -> tuple[float, float, float, float]:
    """Draw four uniforms on (0, 1) of member `i` at its present wake."""
    a, b, c, d = philox(
        np.uint64(crowd.world_ids[0]), np.uint64(crowd.members[i]["draws"]), np.uint64(i),
        np.uint64(lane), crowd.key[0], crowd.key[1],
    )  # fmt: skip
    return (
        (np.float64(a) + 0.5) * _UNIT,
        (np.float64(b) + 0.5) * _UNIT,
        (np.float64(c) + 0.5) * _UNIT,
        (np.float64(d) + 0.5) * _UNIT,
    )


@inlined
def wait(seconds: float) -> int:
    """Nanoseconds, at least one and at most thirty years."""
    return i64(max(1.0, min(seconds, 1e9) * SECOND))


@inlined
def exponential_gap(crowd: CrowdState, group: int, u: float) -> int:
    """Nanoseconds to the next wake of a Poisson clock."""
    return wait(-log(u) * crowd.terms[group, GAP])


@kernel
def mixture(u: float, v: float) -> float:
    """Order size of ABIDES: lognormal or near a round hundred (Byrd et al. 2019, order size model).

    Weights 0.2 for the lognormal (2.9, 1.2) and 0.7, 0.06, 0.004, 0.0329, 0.001, 0.0006, 0.0004,
    0.0005, 0.0003, 0.0003 for 100, 200, ..., 1000 shares.
    """
    if u < 0.2:
        return exp(2.9 + 1.2 * normal_quantile(v))
    if u < 0.9:
        return 100.0
    if u < 0.96:
        return 200.0
    if u < 0.964:
        return 300.0
    if u < 0.9969:
        return 400.0
    if u < 0.9979:
        return 500.0
    if u < 0.9985:
        return 600.0
    if u < 0.9989:
        return 700.0
    if u < 0.9994:
        return 800.0
    return 900.0 if u < 0.9997 else 1000.0


@kernel
def lots_of(crowd: CrowdState, group: int, u: float, v: float) -> int:
    """Draw the lots of an order, from two uniforms."""
    law, a, b = crowd.terms[group, SIZE_LAW], crowd.terms[group, SIZE_A], crowd.terms[group, SIZE_B]
    size = a
    if law == LOGNORMAL:
        size = exp(log(a) + b * normal_quantile(v))
    elif law == MIXTURE:
        size = a * mixture(u, v)
    elif law == PARETO:
        size = a * v ** (-1.0 / b)
    size = min(size, crowd.terms[group, SIZE_MAX])
    share = crowd.terms[group, ROUND]
    if share > 0.0 and size >= 10.0 and (u * 1024.0) % 1.0 < share:
        unit = 10.0 ** np.floor(np.log10(size))
        size = unit * np.floor(size / unit + 0.5)
    return i64(max(1.0, size + 0.5))


@inlined
def lognormal_of(median: float, sigma: float, u: float) -> float:
    """Lognormal with a given median."""
    return median * exp(sigma * normal_quantile(u)) if sigma > 0.0 else median


@inlined
def root(x: float) -> float:
    """Square root; 0 of a negative number."""
    return sqrt(max(x, 0.0))
