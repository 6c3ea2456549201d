"""Statistics of costs, and paired bootstrap intervals of their differences.

The paths are resampled as a whole: a path that is drawn is drawn for every hedger, so what hedgers
share cancels (percentile intervals; `sim.metrics.tail` says what they cover).

Stretches of one record overlap, so they are not independent. Their intervals are those of a
circular block bootstrap (Politis and Romano 1992, from memory): the days on which paths begin are
drawn in blocks of neighbouring ones, and a path counts as often as its day. With few blocks in the
record such intervals are rather too short than too long.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.hedging.objective import ENTROPIC, MEAN, SHORTFALL, SPREAD, VARIANCE, Objective
from experiments.hedging.play import Played
from sim.kernel import F64
from sim.metrics import tail

RESAMPLES = 1000
BLOCK_DAYS = 28  # of a record: four times the week that the paths of the present studies last
DAY = 86_400.0
Json = dict[str, Any]


def statistics(played: Played, objective: Objective) -> Json:
    """Figures of one hedger, in % of the premium unless said."""
    cost = 100.0 * played.cost
    out: Json = {
        "mean": float(cost.mean()), "sd": float(cost.std()),
        "y": float(cost.mean() + 1.5 * cost.std()),
        "objective": 100.0 * objective(played.cost),
    }  # fmt: skip
    for level in (0.95, 0.99):
        out[f"var_{level:.0%}"[:-1]] = tail.value_at_risk(cost, level)
        out[f"cvar_{level:.0%}"[:-1]] = tail.expected_shortfall(cost, level)
    out["worst"] = float(cost.max())
    for name in ("trading", "funding", "penalty"):
        out[name] = 100.0 * float(played.figures[name].mean())
    out["turnover"] = float(played.figures["turnover"].mean())  # units
    out["margin_calls"] = float(played.figures["margin_calls"].mean())  # per path
    out["liquidated"] = float(
        (played.figures["liquidations"] > 0.0).mean()
    )  # share, in part or whole
    for name in ("insurance", "shortfall"):
        out[name] = 100.0 * float(played.figures[name].mean())
    return out


def differences(
    costs: Mapping[str, F64], base: str, objective: Objective, seed: int = 0,
    resamples: int = RESAMPLES, began: F64 | None = None,
) -> dict[str, dict[str, Json]]:  # fmt: skip
    """Objective, Y, CVaR 95 and 99 of every hedger less those of `base`, with 95% intervals.

    Parameters
    ----------
    costs : mapping of str to array (path,)
        In premiums, in the same order of paths.
    base : str
    objective : Objective
    seed, resamples : int
        Of the bootstrap.
    began : array (path,), optional
        Unix time at which each path begins in a record; then blocks of days are drawn.

    Returns
    -------
    dict
        Hedger, figure (`objective`, `y`, `cvar_95`, `cvar_99`), then value, low_95 and high_95 in %
        of the premium; `own` has those of the figure itself.
    """
    wanted = {
        "objective": objective, "y": Objective(SPREAD, 1.5), "cvar_95": Objective(SHORTFALL),
        "cvar_99": Objective(SHORTFALL, alpha=0.99),
    }  # fmt: skip
    names = list(costs)
    matrix = 100.0 * np.stack([costs[name] for name in names])
    n = matrix.shape[1]
    measures = {key: _weighted(it, matrix, began is not None) for key, it in wanted.items()}
    value = {key: measure(np.ones(n)) for key, measure in measures.items()}
    draw = _paths(n, seed) if began is None else _days(began, seed)
    drawn: dict[str, list[F64]] = {key: [] for key in measures}
    for _ in range(resamples):
        counts = draw()
        for key, measure in measures.items():
            drawn[key].append(measure(counts))
    at = names.index(base)
    out: dict[str, dict[str, Json]] = {name: {} for name in names}
    for key in measures:
        copies, found = np.stack(drawn[key]), value[key]
        for i, name in enumerate(names):
            less = _interval(found[i] - found[at], copies[:, i] - copies[:, at], n)
            out[name][key] = less | {"own": _interval(found[i], copies[:, i], n)}
    return out


def _paths(n: int, seed: int) -> Callable[[], F64]:
    """Draw paths one by one: how often each of them counts."""
    rng = np.random.default_rng(seed)
    return lambda: np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


def _days(began: F64, seed: int, length: int = BLOCK_DAYS) -> Callable[[], F64]:
    """Draw blocks of neighbouring days on which paths begin; days without any are left out."""
    rng = np.random.default_rng(seed)
    of = np.unique(np.floor(began / DAY), return_inverse=True)[1]
    n = int(of.max()) + 1
    length = min(length, n)

    def draw() -> F64:
        starts = rng.integers(0, n, math.ceil(n / length))
        days = (starts[:, None] + np.arange(length)).ravel()[:n] % n
        return np.bincount(days, minlength=n).astype(np.float64)[of]

    return draw


def _interval(value: float, copies: F64, n: int) -> Json:
    low, high = np.quantile(copies, (0.025, 0.975))
    return {"value": float(value), "low_95": float(low), "high_95": float(high), "n": n}


def _weighted(objective: Objective, costs: F64, uneven: bool = False) -> Callable[[F64], F64]:
    """Return the objective of every row of costs in percent, given how often each path counts."""
    if objective.kind == SHORTFALL:
        return _shortfall(costs, objective.alpha, uneven)
    if objective.kind == ENTROPIC:
        top = costs.max(axis=1)
        grown = np.exp(objective.k * 0.01 * (costs - top[:, None]))
        scale = 100.0 / objective.k
        return lambda counts: np.asarray(top + scale * np.log(grown @ counts / counts.sum()))
    squares = costs * costs

    def of(counts: F64) -> F64:
        n = counts.sum()
        mean = costs @ counts / n
        variance = np.maximum(squares @ counts / n - mean * mean, 0.0)
        if objective.kind == MEAN:
            return np.asarray(mean)
        if objective.kind == VARIANCE:
            return np.asarray(mean + 0.5 * objective.k * 0.01 * variance)
        return np.asarray(mean + objective.k * np.sqrt(variance))

    return of


def _shortfall(costs: F64, alpha: float, uneven: bool) -> Callable[[F64], F64]:
    n = costs.shape[1]
    share = (1.0 - alpha) * n
    kept = min(int(share + 12.0 * np.sqrt(share) + 50.0), n)  # a resample's tail ends within them
    kept = n if uneven else kept
    order = np.argsort(-costs, axis=1)[:, :kept]
    worst = np.take_along_axis(costs, order, axis=1)

    def of(counts: F64) -> F64:
        before, share = np.cumsum(counts[order], axis=1), (1.0 - alpha) * counts.sum()
        taken = np.diff(np.minimum(before, share), axis=1, prepend=0.0)
        return np.asarray((taken * worst).sum(axis=1) / share)

    return of
