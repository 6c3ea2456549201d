"""Raw SVI: the smile of one expiry in five parameters, fitted under the conditions of no arbitrage.

    w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)),    k = ln(K / F),  w = volatility^2 T

(Gatheral 2004; Gatheral and Jacquier 2014, Quantitative Finance 14.) For given m and sigma the
smile is linear in three coefficients,

    w = a + d y + c sqrt(y^2 + 1),    y = (k - m) / sigma,  c = b sigma,  d = rho b sigma,

so the fit is a search in two dimensions over linear least squares (the quasi-explicit method of De
Marco and Martini 2009, Zeliade white paper). So are the conditions that tie the smile to its
neighbour: below the next expiry's total variance at every point of a grid and in both wings
(calendar), with wings no steeper than 2 (Lee 2004). Violated ones enter as heavily weighted rows
until the set of violated rows stands still. The condition within the expiry, a density that is
nowhere negative,

    g(k) = (1 - k w' / (2 w))^2 - w'^2 / 4 (1 / w + 1 / 4) + w'' / 2 >= 0,

is not linear and weighs on the search. All are checked afterwards on the grid, by the caller.

Errors are measured in volatility: a difference of w counts 1 / (2 sqrt(w T)) times its weight.
"""

import math
from enum import IntEnum

import numpy as np

from sim.kernel import F64, inlined, kernel

RIGID = 1e4  # weight of a violated condition against a quote
STEEPEST = 2.0  # of a wing
_ROUNDS = 8


class Svi(IntEnum):
    """Columns of a table of raw SVI parameters."""

    A = 0  # level of total variance
    B = 1  # angle between the wings
    RHO = 2  # tilt
    M = 3  # place of the bend, log-moneyness
    SIGMA = 4  # width of the bend


N_PARAMETERS = len(Svi)


@inlined
def svi_variance(p: F64, k: float) -> float:
    """Total variance at log-moneyness k of parameters `p (5,)`."""
    x = k - p[3]
    return float(p[0] + p[1] * (p[2] * x + math.sqrt(x * x + p[4] * p[4])))


@kernel
def svi_slope(p: F64, k: float) -> float:
    """First derivative of total variance by k."""
    x = k - p[3]
    return float(p[1] * (p[2] + x / math.sqrt(x * x + p[4] * p[4])))


@kernel
def butterfly(p: F64, k: float) -> float:
    """Density condition g(k), at least 0 without arbitrage; -inf where the variance is not above 0.

    Source: Gatheral and Jacquier 2014, equation 2.1.
    """
    x = k - p[3]
    root = math.sqrt(x * x + p[4] * p[4])
    w = p[0] + p[1] * (p[2] * x + root)
    if not w > 0.0:
        return -math.inf
    first = p[1] * (p[2] + x / root)
    second = p[1] * p[4] * p[4] / (root * root * root)
    left = 1.0 - 0.5 * k * first / w
    return float(left * left - 0.25 * first * first * (1.0 / w + 0.25) + 0.5 * second)


@kernel
def _solve(normal: F64, x: F64) -> None:
    """Solve the symmetric 3 x 3 system `normal (3, 4)` into `x (3,)`, with a touch of ridge."""
    ridge = 1e-13 * (normal[0, 0] + normal[1, 1] + normal[2, 2]) + 1e-300
    a, b, c = normal[0, 0] + ridge, normal[0, 1], normal[0, 2]
    d, e, f = normal[1, 1] + ridge, normal[1, 2], normal[2, 2] + ridge
    l10, l20 = b / a, c / a
    d1 = d - l10 * b
    l21 = (e - l20 * b) / d1
    d2 = f - l20 * c - l21 * l21 * d1
    y0 = normal[0, 3]
    y1 = normal[1, 3] - l10 * y0
    y2 = normal[2, 3] - l20 * y0 - l21 * y1
    x[2] = y2 / d2
    x[1] = y1 / d1 - l21 * x[2]
    x[0] = y0 / a - l10 * x[1] - l20 * x[2]


@inlined
def _copy(target: F64, source: F64) -> None:
    """Copy one table of normal equations; a slice would allocate."""
    for i in range(3):
        for j in range(4):
            target[i, j] = source[i, j]


@inlined
def _add(normal: F64, weight: float, one: float, y: float, z: float, target: float) -> None:
    """Add a row (one, y, z) . x = target with a squared weight to the normal equations."""
    normal[0, 0] += weight * one * one
    normal[0, 1] += weight * one * y
    normal[0, 2] += weight * one * z
    normal[1, 1] += weight * y * y
    normal[1, 2] += weight * y * z
    normal[2, 2] += weight * z * z
    normal[0, 3] += weight * one * target
    normal[1, 3] += weight * y * target
    normal[2, 3] += weight * z * target


@kernel
def _conditions(
    normal: F64, x: F64, grid: F64, ceiling: F64, m: float, sigma: float, caps: F64, years: float
) -> float:
    """Add every violated linear condition to the normal equations; return what they cost.

    `caps (2,)` are the steepest left and right wing; `ceiling (grid,)` is the next expiry's w.
    """
    cost = 0.0
    for j in range(grid.shape[0]):
        y = (grid[j] - m) / sigma
        z = math.sqrt(y * y + 1.0)
        w = x[0] + x[1] * y + x[2] * z
        floor = 1e-4 * ceiling[j] if ceiling[j] < math.inf else 1e-8
        if w > ceiling[j] or w < floor:
            bound = ceiling[j] if w > ceiling[j] else floor
            weight = RIGID / (4.0 * max(bound, 1e-8) * years)
            cost += weight * (w - bound) ** 2
            _add(normal, weight, 1.0, y, z, bound)
    weight = RIGID * 100.0
    for side in range(2):
        tilt = 2.0 * side - 1.0  # -1 the left wing, whose slope is (c - d) / sigma
        slope = (x[2] + tilt * x[1]) / sigma
        if slope > caps[side] or slope < 0.0:
            bound = caps[side] if slope > 0.0 else 0.0
            cost += weight * (slope - bound) ** 2
            _add(normal, weight, 0.0, tilt / sigma, 1.0 / sigma, bound)
    return cost


@kernel
def _inner(
    x: F64, work: F64, k: F64, w: F64, weight: F64, grid: F64, ceiling: F64, caps: F64,
    years: float, m: float, sigma: float,
) -> float:  # fmt: skip
    """Write the best (a, d, c) at a given m and sigma into `x`; return the weighted squared error.

    `work (2, 3, 4)` is scratch: normal equations of the quotes, and with conditions.
    """
    plain, normal = work[0], work[1]
    plain[:] = 0.0
    for i in range(k.shape[0]):
        y = (k[i] - m) / sigma
        _add(plain, weight[i], 1.0, y, math.sqrt(y * y + 1.0), w[i])
    _copy(normal, plain)
    _solve(normal, x)
    before, cost = -1.0, 0.0
    for _ in range(_ROUNDS):
        _copy(normal, plain)
        cost = _conditions(normal, x, grid, ceiling, m, sigma, caps, years)
        if cost == 0.0 or abs(cost - before) <= 1e-6 * cost:
            break
        before = cost
        _solve(normal, x)
    error = cost
    for i in range(k.shape[0]):
        y = (k[i] - m) / sigma
        error += weight[i] * (x[0] + x[1] * y + x[2] * math.sqrt(y * y + 1.0) - w[i]) ** 2
    return error


@kernel
def _to_raw(p: F64, x: F64, m: float, sigma: float) -> None:
    """Write raw parameters of (a, d, c) at m and sigma, with |rho| < 1."""
    c = max(x[2], 1e-12)
    p[0] = x[0]
    p[1] = c / sigma
    p[2] = min(max(x[1] / c, -0.9999), 0.9999)
    p[3] = m
    p[4] = sigma


@kernel
def _objective(
    p: F64, x: F64, work: F64, k: F64, w: F64, weight: F64, grid: F64, ceiling: F64, caps: F64,
    years: float, m: float, log_sigma: float,
) -> float:  # fmt: skip
    """Squared error at m and sigma, with what a negative density weighs; `p` is written."""
    sigma = math.exp(log_sigma)
    error = _inner(x, work, k, w, weight, grid, ceiling, caps, years, m, sigma)
    _to_raw(p, x, m, sigma)
    for j in range(grid.shape[0]):
        short = 1e-4 - butterfly(p, grid[j])
        if short > 0.0:
            error += 10.0 * min(short, 1e3) ** 2 + 0.1 * min(short, 1e3)
    return error


@kernel
def fit_svi(
    p: F64, x: F64, work: F64, simplex: F64, k: F64, w: F64, weight: F64, grid: F64, ceiling: F64,
    caps: F64, years: float, n_steps: int,
) -> float:  # fmt: skip
    """Fit one smile: the best of a lattice in (m, ln sigma), then Nelder and Mead's simplex.

    Parameters
    ----------
    p : array (5,)
        Written, raw parameters.
    x, work, simplex : array (3,), (2, 3, 4), (3, 3)
        Scratch.
    k, w, weight : array (quote,)
        Log-moneyness, total variance, squared weight of a difference in total variance.
    grid, ceiling : array (grid,)
        Where conditions hold; upper bound of total variance there, inf where there is none.
    caps : array (2,)
        Steepest left and right wing.
    years : float
        To expiry.
    n_steps : int
        Most steps of the simplex.

    Returns
    -------
    float
        Weighted squared error, conditions included.
    """
    low, high = k[0], k[0]
    for i in range(k.shape[0]):
        low, high = min(low, k[i]), max(high, k[i])
    width = max(high - low, 1e-3)
    best = math.inf
    for i in range(7):
        m = low + width * (0.2 + 0.1 * i)
        for j in range(6):
            s = math.log(width * 0.6) - 0.6 * j
            error = _objective(p, x, work, k, w, weight, grid, ceiling, caps, years, m, s)
            if error < best:
                best = error
                simplex[0, 0], simplex[0, 1], simplex[0, 2] = m, s, error
    for v in range(1, 3):
        m = simplex[0, 0] + (0.07 * width if v == 1 else 0.0)
        s = simplex[0, 1] + (0.3 if v == 2 else 0.0)
        simplex[v, 0], simplex[v, 1] = m, s
        simplex[v, 2] = _objective(p, x, work, k, w, weight, grid, ceiling, caps, years, m, s)
    _descend(p, x, work, simplex, k, w, weight, grid, ceiling, caps, years, n_steps)
    return _objective(
        p, x, work, k, w, weight, grid, ceiling, caps, years, simplex[0, 0], simplex[0, 1]
    )


@kernel
def _sort(simplex: F64) -> None:
    """Order three vertices by their error."""
    for i in range(2):
        for j in range(2 - i):
            if simplex[j + 1, 2] < simplex[j, 2]:
                for c in range(3):
                    kept = simplex[j, c]
                    simplex[j, c] = simplex[j + 1, c]
                    simplex[j + 1, c] = kept


@kernel
def _descend(
    p: F64, x: F64, work: F64, simplex: F64, k: F64, w: F64, weight: F64, grid: F64, ceiling: F64,
    caps: F64, years: float, n_steps: int,
) -> None:  # fmt: skip
    """Nelder and Mead's simplex in two dimensions; ends with the best vertex first."""
    for _ in range(n_steps):
        _sort(simplex)
        if simplex[2, 2] - simplex[0, 2] <= 1e-10 * simplex[0, 2] + 1e-18:
            break
        mid0 = 0.5 * (simplex[0, 0] + simplex[1, 0])
        mid1 = 0.5 * (simplex[0, 1] + simplex[1, 1])
        d0, d1 = mid0 - simplex[2, 0], mid1 - simplex[2, 1]
        reach = 1.0
        f = _objective(p, x, work, k, w, weight, grid, ceiling, caps, years, mid0 + d0, mid1 + d1)
        if f < simplex[0, 2] or f >= simplex[1, 2]:
            second = 2.0 if f < simplex[0, 2] else 0.5 if f < simplex[2, 2] else -0.5
            g = _objective(
                p, x, work, k, w, weight, grid, ceiling, caps, years,
                mid0 + second * d0, mid1 + second * d1,
            )  # fmt: skip
            if g < f:
                f, reach = g, second
        if f < simplex[2, 2]:
            simplex[2, 0], simplex[2, 1], simplex[2, 2] = mid0 + reach * d0, mid1 + reach * d1, f
            continue
        for v in range(1, 3):
            simplex[v, 0] = 0.5 * (simplex[0, 0] + simplex[v, 0])
            simplex[v, 1] = 0.5 * (simplex[0, 1] + simplex[v, 1])
            simplex[v, 2] = _objective(
                p, x, work, k, w, weight, grid, ceiling, caps, years, simplex[v, 0], simplex[v, 1]
            )
    _sort(simplex)


@kernel
def fill_variance(out: F64, p: F64, k: F64) -> None:
    """Write total variance `out (quote,)` of parameters `p (5,)` at `k (quote,)`."""
    for i in range(k.shape[0]):
        out[i] = svi_variance(p, k[i])


@kernel
def fill_butterfly(out: F64, p: F64, k: F64) -> None:
    """Write g(k), `out (quote,)`, of parameters `p (5,)`."""
    for i in range(k.shape[0]):
        out[i] = butterfly(p, k[i])


def moneyness_grid(reach: float, n: int = 121, core: float = 0.01) -> F64:
    """Make a grid on [-reach, reach], dense about 0 as short expiries need it."""
    top = math.asinh(reach / core)
    return np.asarray(core * np.sinh(np.linspace(-top, top, n)))
