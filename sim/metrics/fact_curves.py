"""The curves behind the stylised facts, on fixed grids so that seeds and markets can be laid over.

Abscissae are free of units where markets differ in theirs: returns in standard deviations, waiting
times and sizes in means, depth as a share of the depth next to the touch. What is not observed is
NaN and leaves a gap.
"""

from collections.abc import Sequence

import numpy as np

from sim.kernel import F64
from sim.metrics import estimators as est
from sim.metrics import series
from sim.metrics.fact_readers import FEWEST_FOR_KURTOSIS, HORIZONS
from sim.metrics.market_record import MarketRecord

Curves = dict[str, tuple[F64, F64]]
"""Name -> abscissae and ordinates."""

_SIGMAS = np.geomspace(0.2, 50.0, 61)
_GAPS = np.geomspace(1e-3, 50.0, 61)
_SIZES = np.geomspace(1e-2, 100.0, 17)
_LARGE = np.geomspace(1e-2, 300.0, 61)
_LAGS = est.lag_bins(600, 8)
_TICKS = np.arange(0, 41, dtype=np.float64)
_FEWEST_IN_BIN = 10


def exceedance(x: F64, grid: F64) -> F64:
    """Share of x above each point of the grid; NaN where fewer than three values are."""
    beyond = len(x) - np.searchsorted(np.sort(x), grid, side="right")
    return np.where(beyond >= 3, beyond / max(len(x), 1), np.nan)


def _tail(record: MarketRecord, horizon: float) -> F64:
    x = np.abs(series.returns(record, horizon))
    scale = float(np.sqrt(np.mean(x**2))) if len(x) >= FEWEST_FOR_KURTOSIS else 0.0
    return exceedance(x / scale, _SIGMAS) if scale > 0.0 else np.full(len(_SIGMAS), np.nan)


def _binned(x: F64, lags: int) -> F64:
    """Autocorrelation in bins of lags; NaN behind a tenth of the series."""
    out = np.full(len(_LAGS) - 1, np.nan)
    most = min(int(_LAGS[-1]) - 1, len(x) // 10, lags)
    edges = _LAGS[most + 1 >= _LAGS]
    if len(edges) >= 3 and np.any(x != x[0]):
        out[: len(edges) - 1] = est.binned_acf(est.autocorrelation(x, most), edges)[1]
    return out


def _impact(record: MarketRecord) -> F64:
    """Mean move, in standard deviations of 1 s returns, by size in means."""
    rows, _ = series.metaorder_impact(record)
    x = series.returns(record, 1.0)
    scale = float(x.std()) if len(x) else 0.0
    if len(rows) < 100 or not scale > 0.0:
        return np.full(len(_SIZES) - 1, np.nan)
    at = np.searchsorted(_SIZES, rows[:, 0] / rows[:, 0].mean(), side="right") - 1
    inside = (at >= 0) & (at < len(_SIZES) - 1)
    n = np.bincount(at[inside], minlength=len(_SIZES) - 1)
    sums = np.bincount(at[inside], rows[inside, 1], len(_SIZES) - 1)
    return np.where(n >= _FEWEST_IN_BIN, sums / np.maximum(n, 1) / scale, np.nan)


def _spreads(record: MarketRecord) -> F64:
    """Share of time at each spread in ticks, the last bin holding all wider ones."""
    if len(record.quote_time) < 2:
        return np.full(len(_TICKS), np.nan)
    wide = np.rint((record.ask - record.bid)[:-1] / record.tick).astype(np.int64)
    stood = np.diff(record.quote_time)
    shares = np.bincount(np.clip(wide, 0, len(_TICKS) - 1), stood, len(_TICKS))
    return np.asarray(shares / max(stood.sum(), 1e-300), np.float64)


def _depth(record: MarketRecord) -> tuple[F64, F64]:
    """Mean depth behind the touch, over its mean in the five bins next to the touch."""
    if len(record.depth_time) == 0 or record.bid_depth.shape[1] < 2:
        return np.empty(0), np.empty(0)
    depth = series.mean_depth(record.bid_depth, record.ask_depth)
    near = float(np.nanmean(depth[1:6])) if np.isfinite(depth[1:6]).any() else 0.0
    return series.depth_distance(record), depth / near if near > 0.0 else depth * np.nan


def _kurtosis(record: MarketRecord) -> F64:
    out = []
    for horizon in HORIZONS:
        x = series.returns(record, horizon)
        enough = len(x) >= FEWEST_FOR_KURTOSIS
        out.append(est.moments_kurtosis(x) if enough else np.nan)
    return np.array(out)


def curves(record: MarketRecord) -> Curves:
    """Read every curve of the report from a record."""
    taken = series.orders(record)
    gaps, size = np.diff(taken.time), taken.size
    x = series.returns(record, 1.0)
    middles = np.sqrt(_LAGS[:-1] * (_LAGS[1:] - 1.0))
    memory = est.autocorrelation(x, 30)[1:] if len(x) > 100 else np.full(30, np.nan)
    nothing = np.full(len(_LARGE), np.nan)
    return {
        "tail_1s": (_SIGMAS, _tail(record, 1.0)),
        "tail_60s": (_SIGMAS, _tail(record, 60.0)),
        "kurtosis": (np.array(HORIZONS), _kurtosis(record)),
        "return_acf": (np.arange(1.0, 31.0), memory),
        "absolute_acf": (middles, _binned(np.abs(x), 600)),
        "sign_acf": (middles, _binned(taken.sign.astype(np.float64), 600)),
        "gaps": (_GAPS, exceedance(gaps / gaps.mean(), _GAPS) if len(gaps) else nothing),
        "sizes": (_LARGE, exceedance(size / size.mean(), _LARGE) if len(size) else nothing),
        "impact": (np.sqrt(_SIZES[:-1] * _SIZES[1:]), _impact(record)),
        "spreads": (_TICKS, _spreads(record)),
        "depth": _depth(record),
    }


def mean_curves(every: Sequence[Curves]) -> Curves:
    """Mean over seeds, point by point; a point that fewer than half of the seeds know is a gap."""
    out = {}
    for name, (x, _) in every[0].items():
        stack = np.stack([it[name][1] for it in every])
        known = np.isfinite(stack)
        seen = known.sum(axis=0)
        sums = np.where(known, stack, 0.0).sum(axis=0)
        enough = (seen > 0) & (2 * seen >= len(every))
        out[name] = x, np.divide(sums, seen, out=np.full(len(x), np.nan), where=enough)
    return out
