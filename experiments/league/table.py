"""From the worlds of every mechanism to the figures of the league: pure functions of tables.

All mechanisms met the same worlds, so differences are paired by world. A pair of mechanisms is
ranked only where the 95% interval of its paired difference excludes zero and the difference is
material, so that dust which common random numbers can tell apart is not called a result.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.summary import as_json
from sim.errors import ConfigError
from sim.kernel import F64
from sim.metrics import tail

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]
Tables = Mapping[str, "pd.DataFrame"]

STATISTICS: dict[str, tail.Statistic] = {
    "mean": tail.mean,
    "var_95": tail.quantile(0.95),
    "es_95": tail.tail_mean(0.95),
    "var_99": tail.quantile(0.99),
    "es_99": tail.tail_mean(0.99),
}
TAIL_NAMES = {
    "mean": "mean", "var_95": "VaR 95", "es_95": "expected shortfall 95", "var_99": "VaR 99",
    "es_99": "expected shortfall 99",
}  # fmt: skip
MEANS = {  # column -> what the table calls it, all means over worlds
    "borrower_loss_usd": "borrowers' loss",
    "liquidated_loss_usd": "loss of liquidated borrowers",
    "liquidator_profit_usd": "liquidators' profit",
    "protocol_income_usd": "protocol's income",
    "liquidated_debt_usd": "liquidated debt",
    "liquidator_gas_usd": "gas",
    "hours_liquidatable": "wait, hours",
    "hours_to_clear": "first to last, hours",
    "push": "price push",
    "final_waiting_debt_usd": "waiting at the end",
    "unfinished": "unfinished auctions",
}
RANKED = {  # what is ranked: column, statistic, words
    "bad_debt_mean": ("bad_debt_usd", "mean", "mean bad debt"),
    "bad_debt_tail": ("bad_debt_usd", "es_99", "tail of bad debt"),
    "borrower_loss": ("borrower_loss_usd", "mean", "borrowers' loss"),
}
RESAMPLES = 1000


def summarise(tables: Tables, reference: str, seed: int = 0) -> Json:
    """Figures of each mechanism, and paired differences from the reference.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Finished worlds by mechanism.
    reference : str
        A key of `tables`.
    seed : int
        Of the bootstrap.
    """
    out = {}
    for name, worlds in tables.items():
        bad = tail.estimates(worlds["bad_debt_usd"], STATISTICS, seed=seed)
        entry: Json = {
            "n": len(worlds),
            "bad_debt": {key: as_json(it) for key, it in bad.items()},
            "booked_usd": float(worlds["booked_bad_debt_usd"].mean()),
            "means": {
                column: as_json(tail.estimate(worlds[column], tail.mean, seed=seed))
                for column in MEANS
            },
            "backers_usd": float(worlds["backer_profit_usd"].mean()),
            "initial_debt_usd": float(worlds["initial_debt_usd"].mean()),
            "initial_collateral_usd": float(worlds["initial_collateral_usd"].mean()),
        }
        if name != reference:
            entry["difference"] = {
                key: as_json(paired(tables[reference], worlds, column, STATISTICS[statistic], seed))
                for key, (column, statistic) in _compared().items()
            }
        out[name] = entry
    return out


def _compared() -> dict[str, tuple[str, str]]:
    compared = {f"bad_debt_{key}": ("bad_debt_usd", key) for key in STATISTICS}
    return compared | {column: (column, "mean") for column in MEANS}


def paired(
    base: "pd.DataFrame", other: "pd.DataFrame", column: str, statistic: tail.Statistic, seed: int
) -> tail.Estimate:
    """Statistic of `other` less that of `base`, over the worlds that both finished."""
    joined = base[["world", column]].merge(other[["world", column]], on="world")
    ours, theirs = (joined[f"{column}_{side}"].to_numpy(np.float64) for side in "xy")
    return tail.paired_difference(ours, theirs, statistic, seed=seed, n_resamples=RESAMPLES)


# --- which is better, and whether that can be told ------------------------------------------------


def ranking(tables: Tables, material: float, statistic: str = "es_99", seed: int = 0) -> Json:
    """Order of every pair of mechanisms, where these worlds tell it.

    Parameters
    ----------
    tables : mapping of str to DataFrame
    material : float
        Of the initial debt: smaller differences are not ranked.
    statistic : str
        Of the tail of bad debt, a key of `STATISTICS`.

    Returns
    -------
    dict
        By what is ranked, by "A|B" in the order of `tables`: -1 where A has less, 1 where B has
        less, 0 where it cannot be told or does not matter.
    """
    out: Json = {}
    for key, (column, default, _) in RANKED.items():
        chosen = statistic if key == "bad_debt_tail" else default
        out[key] = {
            f"{a}|{b}": _order(tables[a], tables[b], column, STATISTICS[chosen], material, seed)
            for a, b in combinations(tables, 2)
        }
    return out


def _order(
    a: "pd.DataFrame", b: "pd.DataFrame", column: str, statistic: tail.Statistic, material: float,
    seed: int,
) -> int:  # fmt: skip
    it = paired(a, b, column, statistic, seed)
    least = material * float(a["initial_debt_usd"].mean())
    if not abs(it.value) > least:
        return 0
    if it.low > 0.0:
        return -1
    return 1 if it.high < 0.0 else 0


def survival(base: Json, others: Mapping[str, Json]) -> Json:
    """Count in how many variations each ranked pair keeps its order.

    Returns
    -------
    dict
        By what is ranked: a list of entries with `better`, `worse`, and names of the variations in
        which the pair is `kept`, `reversed` and `lost` (it cannot be told there).
    """
    out: Json = {}
    for key, pairs in base.items():
        found = []
        for pair, order in pairs.items():
            if order == 0:
                continue
            a, b = pair.split("|")
            better, worse = (a, b) if order < 0 else (b, a)
            entry: Json = {"better": better, "worse": worse, "kept": [], "reversed": [], "lost": []}
            for name, other in others.items():
                there = other[key].get(pair)
                if there is None:
                    continue
                place = "kept" if there == order else "lost" if there == 0 else "reversed"
                entry[place].append(name)
            found.append(entry)
        out[key] = found
    return out


# --- capital efficiency ---------------------------------------------------------------------------


def efficiency(
    grid: Mapping[str, Mapping[float, "pd.DataFrame"]],
    reference: str,
    statistic: str,
    target: float | None,
    common: float,
    seed: int = 0,
    least: float = 0.0,
) -> Json:
    """Largest liquidation loan-to-value at which tail risk stays under a target, by mechanism.

    Between two points of the grid the statistic is taken to be linear; the first crossing counts.

    Parameters
    ----------
    grid : mapping of str to mapping of float to DataFrame
        Worlds by mechanism and loan-to-value.
    reference : str
        Whose tail at `common` is the target where none is given.
    statistic : str
        A key of `STATISTICS`, of bad debt over initial debt.
    target : float, optional
        Fraction of the debt.
    common : float
        Loan-to-value of the base.
    seed : int
        Of the bootstrap over worlds, the same worlds for all mechanisms and loan-to-values.
    least : float
        Least target that the reference may set: a tail of dust is none to hold others to.

    Returns
    -------
    dict
        `target`, and by mechanism `ltvs`, `curve` (estimates), `value`, `low_95`, `high_95` of the
        loan-to-value (None beyond the grid) and `side`: "" inside the grid, "above" or "below".
    """
    if statistic not in STATISTICS:
        raise ConfigError(f"tail must be one of {', '.join(STATISTICS)}, got {statistic!r}")
    ids = _common_worlds(grid)
    curves = {
        name: (
            np.array(sorted(points)),
            np.stack([_shares(points[ltv], ids) for ltv in sorted(points)]),
        )
        for name, points in grid.items()
    }
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(ids), size=(RESAMPLES, len(ids)))
    of = STATISTICS[statistic]
    targets: F64 = np.full(RESAMPLES, np.nan if target is None else target)
    if target is None:
        target, targets = _target(curves, reference, common, of, draws)
        target, targets = max(target, least), np.maximum(targets, least)
    out: Json = {"target": target, "statistic": statistic, "worlds": len(ids), "mechanisms": {}}
    for name, (ltvs, shares) in curves.items():
        copies = np.stack([_of_draws(row, of, draws) for row in shares], axis=1)
        curve = [float(of(np.sort(row))) for row in shares]
        place = crossing(ltvs, np.array(curve), target)
        found = np.array([crossing(ltvs, c, t) for c, t in zip(copies, targets, strict=True)])
        low, high = np.quantile(found, (0.025, 0.975), method="nearest")
        out["mechanisms"][name] = {
            "ltvs": ltvs.tolist(), "curve": curve,
            "curve_low": np.quantile(copies, 0.025, axis=0).tolist(),
            "curve_high": np.quantile(copies, 0.975, axis=0).tolist(),
            "value": place if np.isfinite(place) else None,
            "side": "" if np.isfinite(place) else "above" if place > 0 else "below",
            "low_95": float(low) if np.isfinite(low) else None,
            "high_95": float(high) if np.isfinite(high) else None,
        }  # fmt: skip
    return out


def _common_worlds(grid: Mapping[str, Mapping[float, "pd.DataFrame"]]) -> Sequence[int]:
    sets = [set(table["world"]) for points in grid.values() for table in points.values()]
    return sorted(set.intersection(*sets)) if sets else []


def _shares(table: "pd.DataFrame", ids: Sequence[int]) -> F64:
    rows = table.set_index("world").loc[list(ids)]
    return np.asarray(rows["bad_debt_usd"] / rows["initial_debt_usd"], np.float64)


def _of_draws(shares: F64, of: tail.Statistic, draws: Any) -> F64:
    return np.asarray(of(np.sort(shares[draws], axis=-1)))


def _target(
    curves: Mapping[str, tuple[F64, F64]], reference: str, common: float, of: tail.Statistic,
    draws: Any,
) -> tuple[float, F64]:  # fmt: skip
    """Tail of the reference at the base's loan-to-value, and in every resample."""
    if reference not in curves:
        raise ConfigError(f"target: the reference {reference} did not run; give target=0.001")
    ltvs, shares = curves[reference]
    at = np.flatnonzero(np.isclose(ltvs, common))
    if at.size == 0:
        raise ConfigError(
            f"ltvs must hold liquidation_ltv ({common:g}) where no target is given; add it, or "
            "give target=0.001"
        )
    row = shares[at[0]]
    return float(of(np.sort(row))), _of_draws(row, of, draws)


def crossing(ltvs: F64, curve: F64, target: float) -> float:
    """Place where a curve first rises over the target; -inf below the grid, inf above it."""
    over = np.flatnonzero(curve > target * (1.0 + 1e-12))
    if over.size == 0:
        return float(np.inf)
    k = int(over[0])
    if k == 0:
        return float(-np.inf)
    rise = curve[k] - curve[k - 1]
    part = (target - curve[k - 1]) / rise
    return float(ltvs[k - 1] + part * (ltvs[k] - ltvs[k - 1]))
