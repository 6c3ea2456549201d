"""A surface of implied volatility: raw SVI slices joined without calendar arbitrage.

Slices are fitted from the longest expiry to the shortest, each below its longer neighbour in total
variance at equal log-moneyness (Gatheral and Jacquier 2014, lemma 2.1): the long end has quotes
over the widest range, while the wings of a week are mostly extrapolated. What is left of a crossing
is removed by shrinking the shorter smile as a whole, and any condition that still fails is named.

Between two expiries total variance is interpolated linearly in time at equal log-moneyness, which
keeps the calendar condition; before the first and after the last expiry volatility is constant in
time. Forwards are interpolated in their logs.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.kernel import F64
from sim.options.svi import (
    N_PARAMETERS,
    STEEPEST,
    Svi,
    fill_butterfly,
    fill_variance,
    fit_svi,
    moneyness_grid,
    svi_slope,
)

TOLERANCE = 1e-4  # of g(k), and of the share of w by which slices may cross
MIN_QUOTES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Smile:
    """Quotes of one expiry.

    Attributes
    ----------
    years : float
        To expiry.
    forward : float
        USD.
    strike, volatility : array (quote,)
        USD; implied volatility, annualised.
    weight : array (quote,) or None
        What an error of volatility counts; the vega's shape when left out.
    name : str
        For messages, such as the expiry's date.
    """

    years: float
    forward: float
    strike: F64
    volatility: F64
    weight: F64 | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A condition of no arbitrage that a surface breaks."""

    kind: str  # butterfly or calendar
    expiry: str  # of the (shorter) slice
    at: float  # log-moneyness
    size: float  # -g(k), or the share by which the total variance falls

    def __str__(self) -> str:
        what = "g(k) falls below 0 by" if self.kind == "butterfly" else "total variance falls by"
        unit = "" if self.kind == "butterfly" else " (share)"
        return f"{self.kind} at {self.expiry}, k = {self.at:.3g}: {what} {self.size:.2g}{unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """SVI slices by expiry, shortest first.

    Attributes
    ----------
    years, forwards : array (expiry,)
        To expiry, increasing; USD.
    parameters : array (expiry, 5)
        Columns of `Svi`.
    names : tuple of str
        Of the expiries.
    reach : float
        Log-moneyness within which the conditions are checked.
    shrunk : array (expiry,)
        Factor by which a slice had to be shrunk to stay below the next one; 1 where it fitted.
    """

    years: F64
    forwards: F64
    parameters: F64
    names: tuple[str, ...]
    reach: float
    shrunk: F64 = field(default_factory=lambda: np.ones(0))

    def forward(self, years: ArrayLike) -> F64:
        """Forward at a time, USD; constant outside the expiries."""
        at = np.asarray(years, np.float64)
        return np.asarray(np.exp(np.interp(at, self.years, np.log(self.forwards))))

    def total_variance(self, k: ArrayLike, years: ArrayLike) -> F64:
        """Total variance at log-moneyness and time; the arguments broadcast."""
        at_k, at = np.broadcast_arrays(np.asarray(k, np.float64), np.asarray(years, np.float64))
        points = np.ascontiguousarray(at_k.ravel())
        slices = np.empty((len(self.years), points.size))
        for row, p in zip(slices, self.parameters, strict=True):
            fill_variance(row, p, points)
        flat = at.ravel()
        j = np.clip(np.searchsorted(self.years, flat), 1, max(len(self.years) - 1, 1))
        last = len(self.years) - 1
        left, right = np.minimum(j - 1, last), np.minimum(j, last)
        i = np.arange(points.size)
        t0, t1 = self.years[left], self.years[right]
        w0, w1 = slices[left, i], slices[right, i]
        share = np.where(t1 > t0, (flat - t0) / np.where(t1 > t0, t1 - t0, 1.0), 0.0)
        between = w0 + share * (w1 - w0)
        early = slices[0] * flat / self.years[0]
        late = slices[-1] * flat / self.years[-1]
        w = np.where(flat < self.years[0], early, np.where(flat > self.years[-1], late, between))
        return np.asarray(w.reshape(at_k.shape))

    def volatility(self, k: ArrayLike, years: ArrayLike) -> F64:
        """Implied volatility at log-moneyness k and time above 0, annualised."""
        return np.asarray(np.sqrt(self.total_variance(k, years) / np.asarray(years, np.float64)))

    def at_strike(self, strike: ArrayLike, years: ArrayLike) -> F64:
        """Implied volatility at a strike: what a sticky-strike book remembers."""
        return self.volatility(np.log(np.asarray(strike) / self.forward(years)), years)

    def atm(self, years: ArrayLike) -> F64:
        """Volatility at the forward: the term structure."""
        return self.volatility(0.0, years)

    def skew(self, years: ArrayLike, k: ArrayLike = 0.0) -> F64:
        """Slope of volatility in log-moneyness, by central difference of 1e-5."""
        at = np.asarray(k, np.float64)
        return (self.volatility(at + 1e-5, years) - self.volatility(at - 1e-5, years)) / 2e-5

    def delta_moneyness(self, delta: float, years: ArrayLike, sign: float) -> F64:
        """Log-moneyness at which a call (+1) or put (-1) has an absolute forward delta N(+-d1)."""
        at = np.atleast_1d(np.asarray(years, np.float64))
        target = _quantile(delta)  # sign d1 there
        atm = self.atm(at) * np.sqrt(at)
        low, high = np.full(at.shape, -12.0) * atm, np.full(at.shape, 12.0) * atm
        for _ in range(60):
            k = 0.5 * (low + high)
            s = np.sqrt(self.total_variance(k, at))
            d1 = -k / s + 0.5 * s
            above = d1 > sign * target
            low, high = np.where(above, k, low), np.where(above, high, k)
        return np.asarray((0.5 * (low + high)).reshape(np.shape(years)))

    def risk_reversal(self, years: ArrayLike, delta: float = 0.25) -> F64:
        """Volatility of the call less that of the put at a delta."""
        call = self.volatility(self.delta_moneyness(delta, years, 1.0), years)
        return np.asarray(call - self.volatility(self.delta_moneyness(delta, years, -1.0), years))

    def fly(self, years: ArrayLike, delta: float = 0.25) -> F64:
        """Mean volatility of call and put at a delta less that at the forward."""
        call = self.volatility(self.delta_moneyness(delta, years, 1.0), years)
        put = self.volatility(self.delta_moneyness(delta, years, -1.0), years)
        return np.asarray(0.5 * (call + put) - self.atm(years))

    def sticky_volatility(
        self, strike: ArrayLike, years: ArrayLike, forward: ArrayLike, stickiness: float
    ) -> F64:
        """Implied volatility of a strike after the forward has moved to `forward`.

        With stickiness 0 each strike keeps its volatility, with 1 the smile moves along, with -1 it
        moves against (as `sim.options.greeks.smile_delta`).
        """
        then = np.log(np.asarray(forward, np.float64) / self.forward(years))
        k = np.log(np.asarray(strike, np.float64) / self.forward(years))
        return self.volatility(k - stickiness * then, years)

    def violations(self, tolerance: float = TOLERANCE) -> list[Violation]:
        """Find conditions of no arbitrage that fail on the grid, the worst of each slice."""
        grid = moneyness_grid(self.reach)
        found, g = [], np.empty_like(grid)
        w = np.empty((len(self.years), len(grid)))
        for i, p in enumerate(self.parameters):
            fill_variance(w[i], p, grid)
            fill_butterfly(g, p, grid)
            j = int(np.argmin(g))
            if g[j] < -tolerance:
                found.append(Violation("butterfly", self.names[i], float(grid[j]), float(-g[j])))
        for i in range(len(self.years) - 1):
            fall = 1.0 - w[i + 1] / w[i]
            j = int(np.argmax(fall))
            if fall[j] > tolerance:
                found.append(Violation("calendar", self.names[i], float(grid[j]), float(fall[j])))
        return found


def _quantile(u: float) -> float:
    from sim.streams import normal_quantile

    if not 0.0 < u < 1.0:
        raise InputError(f"delta must lie in (0, 1), got {u}; correct it")
    return float(normal_quantile(u))


def check_smile(smile: Smile) -> None:
    """Raise InputError unless a smile can be fitted: enough quotes, positive numbers, a future."""
    label = smile.name or f"{smile.years:g} years"
    if not (smile.years > 0.0 and math.isfinite(smile.years)):
        raise InputError(
            f"expiry {label} must lie in the future, got {smile.years:g} years to it; leave it out"
        )
    if len(smile.strike) != len(smile.volatility) or len(smile.strike) < MIN_QUOTES:
        raise InputError(
            f"expiry {label} must have at least {MIN_QUOTES} strikes with a volatility each, got "
            f"{len(smile.strike)} and {len(smile.volatility)}; leave it out"
        )
    for field_name, values in (
        ("forward", np.array([smile.forward])),
        ("strike", smile.strike),
        ("volatility", smile.volatility),
    ):
        bad = ~(np.isfinite(values) & (values > 0.0))
        if bad.any():
            raise InputError(
                f"expiry {label}: {field_name} must be finite and above 0, got "
                f"{values[int(np.argmax(bad))]:g}; correct or drop the quote"
            )


def _fit(smile: Smile, grid: F64, ceiling: F64, caps: F64, n_steps: int) -> F64:
    """Fit one slice below a ceiling."""
    k = np.log(np.asarray(smile.strike, np.float64) / smile.forward)
    sigma = np.asarray(smile.volatility, np.float64)
    w = sigma * sigma * smile.years
    if smile.weight is None:
        d1 = -k / np.sqrt(w) + 0.5 * np.sqrt(w)
        importance = np.exp(-0.5 * d1 * d1) + 0.02
    else:
        importance = np.asarray(smile.weight, np.float64)
    weight = importance / importance.sum() / (4.0 * w * smile.years)
    p, x = np.empty(N_PARAMETERS), np.empty(3)
    fit_svi(
        p, x, np.empty((2, 3, 4)), np.empty((3, 3)), k, w, weight, grid, ceiling, caps,
        smile.years, n_steps,
    )  # fmt: skip
    return p


def fit_surface(
    smiles: Sequence[Smile], *, strict: bool = False, arbitrage_free: bool = True,
    n_steps: int = 200,
) -> Surface:  # fmt: skip
    """Fit a surface to the smiles of several expiries.

    Parameters
    ----------
    smiles : sequence of Smile
        One per expiry, in any order.
    strict : bool
        Whether a surface that breaks a condition raises.
    arbitrage_free : bool
        False fits each slice by itself.
    n_steps : int
        Most steps of the search in a slice.

    Raises
    ------
    InputError
        If there is no smile, one cannot be fitted, two have the same expiry, or `strict` and the
        quotes do not allow a surface without arbitrage; the worst violation is named.
    """
    if not smiles:
        raise InputError("a surface needs at least one expiry with quotes, got none")
    for smile in smiles:
        check_smile(smile)
    ordered = sorted(smiles, key=lambda it: it.years)
    for left, right in itertools.pairwise(ordered):
        if right.years - left.years < 1e-9:
            raise InputError(
                f"expiries must differ, got {left.name or left.years} and "
                f"{right.name or right.years} at the same time; join their quotes"
            )
    reach = 1.1 * max(float(np.abs(np.log(s.strike / s.forward)).max()) for s in ordered)
    grid = moneyness_grid(reach)
    ceiling, caps = np.full(grid.shape, np.inf), np.full(2, STEEPEST)
    parameters, shrunk = np.empty((len(ordered), N_PARAMETERS)), np.ones(len(ordered))
    w = np.empty_like(grid)
    for i in range(len(ordered) - 1, -1, -1):
        p = _fit(ordered[i], grid, ceiling, caps, n_steps)
        fill_variance(w, p, grid)
        if arbitrage_free:
            factor = float(np.clip((ceiling / w).min(), 0.0, 1.0)) if w.min() > 0.0 else 1.0
            p[Svi.A] *= factor
            p[Svi.B] *= factor
            shrunk[i] = factor
            ceiling = w * factor
            far = 10.0 * reach
            caps = np.minimum(STEEPEST, [-svi_slope(p, -far), svi_slope(p, far)])
        parameters[i] = p
    surface = Surface(
        years=np.array([s.years for s in ordered]),
        forwards=np.array([s.forward for s in ordered]),
        parameters=parameters,
        names=tuple(s.name or f"{s.years:.4g} years" for s in ordered),
        reach=reach,
        shrunk=shrunk,
    )
    found = surface.violations() if strict else []
    if found:
        raise InputError(
            f"the quotes must allow a surface without arbitrage, but {found[0]}"
            f"{f' and {len(found) - 1} more' if len(found) > 1 else ''}; drop the quotes there"
        )
    return surface
