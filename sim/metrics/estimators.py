"""Estimators of the stylised facts: pure functions of series, each with its source.

Errors of dependent series come from the moving-block bootstrap (Kunsch 1989): blocks of consecutive
rows are drawn with replacement, so that dependence shorter than a block survives. Resampling breaks
the series at the joints, which pulls autocorrelations towards zero; therefore the bootstrap gives a
standard error only, and an interval is the value plus and minus 1.96 of it.
"""

from collections.abc import Callable

import numpy as np

from sim.kernel import F64, I64

Z95 = 1.959963984540054


def moments_kurtosis(x: F64) -> float:
    """Excess kurtosis, 0 for a normal distribution; NaN where nothing varies."""
    centred = x - x.mean()
    variance = float(np.mean(centred**2))
    return float(np.mean(centred**4)) / variance**2 - 3.0 if variance > 0.0 else np.nan


def hill(x: F64, share: float = 0.05) -> float:
    """Tail index of the largest values: P(X > x) ~ x^-index (Hill 1975).

    Parameters
    ----------
    x : array (n,)
        Positive values count, others are left out.
    share : float
        Share of n in the tail; k = share * n order statistics, at least 10. Gopikrishnan et al.
        (1999) and Cont (2001) read between the top 1% and 10%.

    Returns
    -------
    float
        1 / mean(log(x_i / x_(k+1))) over the k largest; NaN where the tail is one single value.
    """
    positive = np.sort(x[x > 0.0])
    k = max(int(share * len(x)), 10)
    if len(positive) <= k:
        return np.nan
    excess = np.log(positive[-k:] / positive[-k - 1]).mean()
    return float(1.0 / excess) if excess > 0.0 else np.nan


def autocorrelation(x: F64, most: int) -> F64:
    """Autocorrelation at lags 0..most, shape (most + 1,), through the fast Fourier transform.

    The autocovariance is divided by n at every lag (biased, but positive definite).
    """
    n = len(x)
    centred = x - x.mean()
    size = 1 << int(np.ceil(np.log2(n + most + 1)))
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    covariance = np.fft.irfft(spectrum, size)[: most + 1]
    out = np.zeros(most + 1)
    out[: min(n, most + 1)] = covariance[: min(n, most + 1)]
    return out / out[0] if out[0] > 0.0 else np.full(most + 1, np.nan)


def lag_bins(most: int, per_decade: int = 6) -> I64:
    """Edges of lags spaced by factors, the first at 1: [e0, e1), [e1, e2), ..."""
    n = max(int(per_decade * np.log10(max(most, 2))), 2)
    return np.unique(np.round(np.geomspace(1, most + 1, n + 1)).astype(np.int64))


def binned_acf(acf: F64, edges: I64) -> tuple[F64, F64]:
    """Geometric centre of each bin of lags and the mean autocorrelation in it."""
    sums = np.add.reduceat(acf, edges[:-1])
    sums[-1] = acf[edges[-2] : edges[-1]].sum()
    return np.sqrt(edges[:-1] * (edges[1:] - 1.0)), sums / np.diff(edges)


def decay_exponent(acf: F64, n: int, most: int) -> float:
    """Exponent b of ACF(lag) ~ lag^-b by a straight line through bins of lags, log against log.

    Bins are spaced by factors and each weighs the same (Lillo & Farmer 2004, figure 5). The fit
    ends at the first bin that sinks below the noise of a mean of uncorrelated lags, 2 / sqrt(n m)
    for m lags in the bin; with fewer than four bins there is nothing to fit and NaN comes back.
    """
    edges = lag_bins(most)
    lags, values = binned_acf(acf, edges)
    noise = 2.0 / np.sqrt(n * np.diff(edges))
    below = np.flatnonzero(values <= noise)
    use = int(below[0]) if len(below) else len(values)
    if use < 4:
        return np.nan
    return -float(np.polyfit(np.log(lags[:use]), np.log(values[:use]), 1)[0])


_EXPONENTS = np.linspace(-0.5, 2.0, 501)
_SIGMAS = 4.0


def power_law(x: F64, y: F64, weight: F64) -> float:
    """Exponent d of y = a x^d, a > 0, by weighted least squares on the levels of y.

    The levels and not their logarithms: means of small moves come out negative by chance, and a
    line through the positive ones alone would be steered by which ones survive. The exponent is
    searched in steps of 0.005 between -0.5 and 2; NaN where the best exponent lies on the edge, or
    the best factor a is not above zero by four of its standard errors: noise has an exponent too.

    Parameters
    ----------
    x, y, weight : array (point,)
        Positive abscissae, means, and the inverse variances of the means.
    """
    use = np.isfinite(y) & (weight > 0.0)
    if use.sum() < 4:
        return np.nan
    base = np.log(x[use]) - np.log(x[use]).mean()
    shape = np.exp(_EXPONENTS[:, None] * base)
    w, level = weight[use], y[use]
    strength = (shape**2 * w).sum(axis=1)  # inverse variance of the factor
    factor = (shape * (w * level)).sum(axis=1) / strength
    loss = ((level - factor[:, None] * shape) ** 2 * w).sum(axis=1)
    best = int(np.argmin(loss))
    if best in (0, len(_EXPONENTS) - 1) or factor[best] * np.sqrt(strength[best]) < _SIGMAS:
        return np.nan
    return float(_EXPONENTS[best])


_FEWEST_IN_BIN = 10


def impact_bins(size: F64, move: F64) -> tuple[F64, F64, F64]:
    """Mean move by size, in octaves of size.

    Octaves are narrow enough that the mean of size^d and the power of the mean size agree within 1%
    for concave laws; bins that hold equally many are not, in the tail of heavy-tailed sizes.

    Parameters
    ----------
    size, move : array (n,)
        Positive size of an order, and the price move in its direction.

    Returns
    -------
    tuple of array (bin,)
        Mean size, mean move, and the inverse variance of the mean move, 0 where fewer than ten
        moves are held or all are the same.
    """
    if len(size) == 0:
        return size, move, move
    octave = np.floor(np.log2(size / size.min()) + 1e-9).astype(np.int64)
    count = np.bincount(octave).astype(np.float64)
    held = np.maximum(count, 1.0)
    mean_size = np.bincount(octave, size) / held
    mean_move = np.bincount(octave, move) / held
    variance = np.bincount(octave, move**2) / held - mean_move**2
    known = (count >= _FEWEST_IN_BIN) & (variance > 0.0)
    weight = np.divide(count, variance, out=np.zeros_like(count), where=known)
    kept = count > 0.0
    return mean_size[kept], mean_move[kept], weight[kept]


def impact_exponent(rows: F64) -> float:
    """Exponent d of move ~ size^d; rows (n, 2) of size and move."""
    return power_law(*impact_bins(rows[:, 0], rows[:, 1]))


def ranks(x: F64) -> F64:
    """Ranks from 0, ties share their mean rank."""
    _, inverse, count = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - 0.5 * (count + 1))[inverse], np.float64)


def correlation(x: F64, y: F64) -> float:
    """Pearson correlation; NaN where one of them is constant."""
    dx, dy = x - x.mean(), y - y.mean()
    scale = np.sqrt(np.mean(dx**2) * np.mean(dy**2))
    return float(np.mean(dx * dy) / scale) if scale > 0.0 else np.nan


def rank_correlation(rows: F64) -> float:
    """Spearman's correlation of the two columns of rows (n, 2)."""
    return correlation(ranks(rows[:, 0]), ranks(rows[:, 1]))


def variation(x: F64) -> float:
    """Coefficient of variation: standard deviation over mean, 1 for an exponential distribution."""
    mean = float(x.mean())
    return float(x.std()) / mean if mean > 0.0 else np.nan


def block_bootstrap(
    rows: F64,
    statistic: Callable[[F64], float],
    block: int,
    *,
    n_resamples: int = 100,
    seed: int = 0,
) -> float:
    """Give the standard error of a statistic of dependent rows.

    Parameters
    ----------
    rows : array (n,) or (n, d)
        A series; rows of several columns stay together.
    statistic : callable
        Maps such rows to a number; resamples for which it is NaN are left out.
    block : int
        Rows in a block, at most a quarter of n.
    n_resamples, seed : int
        The same seed gives the same error.

    Returns
    -------
    float
        NaN where fewer than half of the resamples gave a number.
    """
    n = len(rows)
    block = int(np.clip(block, 1, max(n // 4, 1)))
    draw = np.random.Generator(np.random.Philox(seed))
    offsets = np.arange(block)
    n_blocks = -(-n // block)
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        starts = draw.integers(0, n - block + 1, n_blocks)
        values[i] = statistic(rows[(starts[:, None] + offsets).ravel()[:n]])
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) >= max(n_resamples // 2, 2) else np.nan
