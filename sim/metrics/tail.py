"""Tail risk of an ensemble: value at risk, expected shortfall and how far to trust them.

A loss is a positive number; one number per world. The estimators are those of the empirical
distribution, without smoothing or extrapolation beyond the worst world:

- value at risk at level a: the order statistic of rank ceil(a n), the smallest loss that at least
  a share a of the worlds does not exceed (lower quantile; Acerbi & Tasche 2002);
- expected shortfall at level a: the mean of the worst share (1 - a) of the worlds, the world on
  the boundary counted by the fraction that is needed (Acerbi & Tasche 2002, equation 4.1), which is
  VaR + mean(max(loss - VaR, 0)) / (1 - a) (Rockafellar & Uryasev 2000).

Both need at least one world beyond the level: n (1 - a) >= 1. With fewer the answer is NaN and
the reason is given, because the worst of 20 worlds says little about one world in 100.

Intervals come from the bootstrap over worlds. They measure the noise of a finite number of worlds,
not the error of the model. For far tails of heavy-tailed losses they are too short, because no
resample holds a loss worse than the worst one seen. Measured coverage of nominal 95% intervals for
lognormal losses with sigma 1.5 (1,500 repetitions, BCa / percentile): with 1,000 worlds mean 92/91,
VaR 99 93/92, ES 95 90/88, ES 99 83/80 percent; with 200 worlds ES 95 82/79, ES 99 42/44 percent.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import ConfigError, InputError
from sim.kernel import F64

Statistic = Callable[[F64], F64]
"""Maps samples sorted along the last axis, shape (..., n), to one value each, shape (...)."""

_CHUNK = 4_000_000  # resampled values held at once
_GROUPS = 200  # at most so many groups in the jackknife
_NORMAL = NormalDist()
_TOO_FEW = "too few worlds ({n})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number from an ensemble, with its interval or the reason why there is none."""

    value: float  # unit of the losses; NaN where the sample is too small
    low: float  # lower end of the confidence interval
    high: float  # upper end of the confidence interval
    n: int  # worlds behind it
    reason: str | None = None  # why value or interval is missing


def smallest_sample(level: float) -> int:
    """Fewest worlds for which a tail of share 1 - level holds at least one world.

    Parameters
    ----------
    level : float
        Confidence level in (0, 1), for instance 0.99.

    Returns
    -------
    int
        100 for 0.99, 20 for 0.95.
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(f"level must lie in (0, 1), got {level}: give 0.95 or 0.99")
    return math.ceil(1.0 / (1.0 - level) - 1e-9)


def _rank(n: int, level: float) -> int:
    """Zero-based rank of the lower quantile; 1e-9 absorbs the rounding of level * n."""
    return max(math.ceil(level * n - 1e-9) - 1, 0)


def mean(ordered: F64) -> F64:
    """Arithmetic mean along the last axis."""
    return np.asarray(ordered.mean(axis=-1))


def median(ordered: F64) -> F64:
    """Median along the last axis: the mean of the two middle values where n is even."""
    n = ordered.shape[-1]
    return np.asarray(0.5 * (ordered[..., (n - 1) // 2] + ordered[..., n // 2]))


def quantile(level: float) -> Statistic:
    """Return the lower quantile as a statistic of ordered samples."""
    need = smallest_sample(level)

    def of(ordered: F64) -> F64:
        n = ordered.shape[-1]
        if n < need:
            return np.full(ordered.shape[:-1], np.nan)
        return np.asarray(ordered[..., _rank(n, level)])

    return of


def tail_mean(level: float) -> Statistic:
    """Return expected shortfall as a statistic of ordered samples."""
    need = smallest_sample(level)

    def of(ordered: F64) -> F64:
        n = ordered.shape[-1]
        if n < need:
            return np.full(ordered.shape[:-1], np.nan)
        k = _rank(n, level)
        boundary = ordered[..., k]
        excess = (ordered[..., k + 1 :] - boundary[..., None]).sum(axis=-1)
        return np.asarray(boundary + excess / (n * (1.0 - level)))

    return of


def _ordered(losses: ArrayLike, name: str = "losses") -> F64:
    values = np.asarray(losses, dtype=np.float64).ravel()
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise InputError(
            f"{name} must be finite numbers, got {bad} of {values.size} that are not: "
            "leave out the worlds that failed"
        )
    return np.sort(values)


def value_at_risk(losses: ArrayLike, level: float) -> float:
    """Loss that a share `level` of the worlds does not exceed; NaN with too few worlds.

    Parameters
    ----------
    losses : array_like, shape (n,)
        One loss per world, any order, positive is bad.
    level : float
        Confidence level in (0, 1).

    Returns
    -------
    float
        In the unit of the losses; NaN where n < smallest_sample(level).
    """
    ordered = _ordered(losses)
    return float(quantile(level)(ordered))


def expected_shortfall(losses: ArrayLike, level: float) -> float:
    """Mean loss in the worst share 1 - level of the worlds; NaN with too few worlds.

    Parameters
    ----------
    losses : array_like, shape (n,)
        One loss per world, any order, positive is bad.
    level : float
        Confidence level in (0, 1).

    Returns
    -------
    float
        In the unit of the losses; never below the value at risk of the same level.
    """
    ordered = _ordered(losses)
    return float(tail_mean(level)(ordered))


def _resampled_ranks(n: int, n_resamples: int, seed: int) -> Iterator[NDArray[np.integer]]:
    """Yield bootstrap draws as sorted ranks, chunk by chunk; 16-bit ranks sort in linear time."""
    rng = np.random.default_rng(seed)
    dtype = np.uint16 if n <= 65536 else np.uint32
    rows = max(_CHUNK // n, 1)
    for start in range(0, n_resamples, rows):
        draws = rng.integers(0, n, size=(min(rows, n_resamples - start), n), dtype=dtype)
        draws.sort(axis=-1, kind="stable")
        yield draws


def _acceleration(ordered: F64, statistic: Statistic) -> float:
    """Acceleration of BCa by a delete-a-group jackknife (Efron & Tibshirani 1993, 14.15)."""
    n = ordered.size
    groups = min(n, _GROUPS)
    label = np.arange(n) % groups
    left_out = np.array([float(statistic(ordered[label != g])) for g in range(groups)])
    centred = left_out.mean() - left_out
    spread = float((centred**2).sum())
    if not np.isfinite(spread) or spread == 0.0:
        return 0.0
    return float((centred**3).sum() / (6.0 * spread**1.5))


def _bca_levels(value: float, copies: F64, acceleration: float, tail: float) -> tuple[float, float]:
    """Percentiles that correct bias and skewness; the plain ones where the copies do not vary."""
    share = float(np.mean(copies < value) + 0.5 * np.mean(copies == value))
    if not 0.0 < share < 1.0:
        return tail, 1.0 - tail
    z0 = _NORMAL.inv_cdf(share)

    def level(p: float) -> float:
        z = z0 + _NORMAL.inv_cdf(p)
        return _NORMAL.cdf(z0 + z / (1.0 - acceleration * z))

    return level(tail), level(1.0 - tail)


def estimates(
    losses: ArrayLike,
    statistics: Mapping[str, Statistic],
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    method: str = "percentile",
) -> dict[str, Estimate]:
    """Several statistics of one sample with bootstrap intervals from the same resamples.

    Parameters
    ----------
    losses : array_like, shape (n,)
        One loss per world.
    statistics : mapping of str to Statistic
        For instance {"mean": mean, "es_99": tail_mean(0.99)}.
    confidence : float
        Coverage that the intervals aim at.
    n_resamples : int
        Bootstrap samples; 0 leaves the intervals out.
    seed : int
        Seed of the resampling: the same losses and seed give the same interval.
    method : str
        "percentile", or "bca" (bias-corrected and accelerated, Efron 1987), which covers the
        means of skewed losses better.

    Returns
    -------
    dict of str to Estimate
        NaN with a reason where the sample is too small.
    """
    _check(confidence, n_resamples, method)
    ordered = _ordered(losses)
    n = ordered.size
    if n == 0:
        return {k: _missing(0, "no world finished") for k in statistics}
    values = {k: float(s(ordered)) for k, s in statistics.items()}
    known = {k: s for k, s in statistics.items() if not math.isnan(values[k])}
    copies: dict[str, list[F64]] = {k: [] for k in known}
    if n > 1 and known:
        for ranks in _resampled_ranks(n, n_resamples, seed):
            sample = ordered[ranks]
            for k, s in known.items():
                copies[k].append(s(sample))
    out: dict[str, Estimate] = {}
    for k, s in statistics.items():
        if k not in known:
            out[k] = _missing(n, _TOO_FEW.format(n=n))
        elif not copies[k]:
            reason = "one world has no interval" if n == 1 else "no interval was asked for"
            out[k] = Estimate(value=values[k], low=math.nan, high=math.nan, n=n, reason=reason)
        else:
            drawn = np.concatenate(copies[k])
            low, high = _interval(ordered, s, values[k], drawn, confidence, method)
            out[k] = Estimate(value=values[k], low=low, high=high, n=n)
    return out


def _check(confidence: float, n_resamples: int, method: str) -> None:
    if not 0.0 < confidence < 1.0:
        raise ConfigError(
            f"confidence must lie in (0, 1), got {confidence}: give for instance 0.95"
        )
    if n_resamples < 0:
        raise ConfigError(f"n_resamples must not be negative, got {n_resamples}: give 0 for none")
    if method not in ("percentile", "bca"):
        raise ConfigError(f"method must be 'percentile' or 'bca', got {method!r}: choose one")


def _missing(n: int, reason: str) -> Estimate:
    return Estimate(value=math.nan, low=math.nan, high=math.nan, n=n, reason=reason)


def _interval(
    ordered: F64, statistic: Statistic, value: float, copies: F64, confidence: float, method: str
) -> tuple[float, float]:
    tail = 0.5 * (1.0 - confidence)
    levels = (tail, 1.0 - tail)
    if method == "bca":
        levels = _bca_levels(value, copies, _acceleration(ordered, statistic), tail)
    low, high = np.quantile(copies, levels)
    return float(low), float(high)


def estimate(
    losses: ArrayLike,
    statistic: Statistic,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    method: str = "percentile",
) -> Estimate:
    """One statistic with its bootstrap interval; see `estimates`."""
    return estimates(
        losses,
        {"it": statistic},
        confidence=confidence,
        n_resamples=n_resamples,
        seed=seed,
        method=method,
    )["it"]


def paired_difference(
    base: ArrayLike,
    other: ArrayLike,
    statistic: Statistic = mean,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Statistic of `other` minus that of `base` on common random numbers.

    World i is the same draw of the shocks in both, so worlds are resampled in pairs; what both
    share cancels, and the interval is far shorter than that of two independent runs.

    Parameters
    ----------
    base, other : array_like, shape (n,)
        Loss per world, in the same order of worlds.
    statistic : Statistic
        What to compare: mean, quantile(0.99), tail_mean(0.99).
    confidence, n_resamples, seed
        As in `estimates`.

    Returns
    -------
    Estimate
        Negative where `other` loses less; percentile interval.
    """
    _check(confidence, n_resamples, "percentile")
    a = np.asarray(base, dtype=np.float64).ravel()
    b = np.asarray(other, dtype=np.float64).ravel()
    if a.size != b.size:
        raise InputError(
            f"paired losses must have one value per common world, got {a.size} and {b.size}: "
            "keep the worlds that both designs finished"
        )
    ordered_a, ordered_b = _ordered(a, "base"), _ordered(b, "other")
    n = a.size
    if n == 0:
        return _missing(0, "no world finished in both designs")
    value = float(statistic(ordered_b)) - float(statistic(ordered_a))
    if math.isnan(value):
        return _missing(n, _TOO_FEW.format(n=n))
    if n == 1 or n_resamples == 0:
        return Estimate(value=value, low=math.nan, high=math.nan, n=n, reason="no interval")
    rank_a, rank_b = np.argsort(np.argsort(a)), np.argsort(np.argsort(b))
    rank_a, rank_b = rank_a.astype(np.uint32), rank_b.astype(np.uint32)
    copies = []
    for worlds in _resampled_ranks(n, n_resamples, seed):
        sample_a = ordered_a[np.sort(rank_a[worlds], axis=-1)]
        sample_b = ordered_b[np.sort(rank_b[worlds], axis=-1)]
        copies.append(statistic(sample_b) - statistic(sample_a))
    tail = 0.5 * (1.0 - confidence)
    low, high = np.quantile(np.concatenate(copies), (tail, 1.0 - tail))
    return Estimate(value=value, low=float(low), high=float(high), n=n)


def proportion(count: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Share of worlds in which something happened, with Wilson's score interval (1927).

    Unlike the bootstrap it stays honest at the ends: never seen in 1,000 worlds still allows for
    a probability of up to 0.38%.

    Parameters
    ----------
    count : int
        Worlds in which it happened.
    n : int
        Worlds.
    confidence : float
        Coverage that the interval aims at.

    Returns
    -------
    Estimate
        Shares in [0, 1].
    """
    _check(confidence, 0, "percentile")
    if not 0 <= count <= n:
        raise InputError(f"count must lie in 0..n, got {count} of {n}: count worlds, not events")
    if n == 0:
        return _missing(0, "no world finished")
    z = _NORMAL.inv_cdf(0.5 + 0.5 * confidence)
    share = count / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if count == 0 else max(centre - half, 0.0)
    high = 1.0 if count == n else min(centre + half, 1.0)
    return Estimate(value=share, low=low, high=high, n=n)


def exceedance_curve(losses: ArrayLike) -> tuple[F64, F64]:
    """How often a loss is at least x, for every x that occurred.

    Parameters
    ----------
    losses : array_like, shape (n,)
        One loss per world.

    Returns
    -------
    x : ndarray, shape (m,)
        Distinct losses, ascending.
    share : ndarray, shape (m,)
        Share of worlds with a loss of at least x: 1 at the smallest, 1/n or more at the largest.
    """
    ordered = _ordered(losses)
    x, first = np.unique(ordered, return_index=True)
    return x, 1.0 - first / max(ordered.size, 1)
