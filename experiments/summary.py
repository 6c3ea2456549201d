"""From result tables to the numbers of a stress run, and to one table for the terminal.

Pure functions of the tables `worlds`, `series` and `liquidations`: the same tables give the same
summary, bit for bit. Only worlds with status "ok" count; failed worlds are counted apart. Losses
are positive, results of a party (`parties`) are positive where it gained.

Every estimate is a mapping with `value`, `low_95`, `high_95` (95% bootstrap interval over worlds,
BCa; Wilson's for probabilities) and, where something is missing, `reason`. Keys end in their unit.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.kernel import F64
from sim.metrics import tail

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

Json = dict[str, Any]

QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
"""Levels of the bands in summaries and fan charts."""

DUST_USD = 1.0
"""Bad debt of less than this is rounding, not an event."""

MATERIAL_SHARE = 1e-4
"""Bad debt over this share of what was lent matters; less is dust that no liquidation pays for."""

PARTIES = ("borrowers", "suppliers", "liquidators", "arbitrageurs", "protocol")

_LOSS_STATISTICS: dict[str, tail.Statistic] = {
    "mean_usd": tail.mean,
    "median_usd": tail.median,
    "var_95_usd": tail.quantile(0.95),
    "var_99_usd": tail.quantile(0.99),
    "es_95_usd": tail.tail_mean(0.95),
    "es_99_usd": tail.tail_mean(0.99),
}


def finished(worlds: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows of the worlds that finished without an error."""
    return worlds[worlds["status"] == "ok"]


def assets_of(worlds: "pd.DataFrame") -> list[str]:
    """Names of the assets whose price falls the table holds, in its order."""
    return [str(c)[5:] for c in worlds.columns if str(c).startswith("fall_")]


def party_results(worlds: "pd.DataFrame") -> dict[str, F64]:
    """Return what each party gained or lost in each world that finished.

    Parameters
    ----------
    worlds : DataFrame
        One row per world.

    Returns
    -------
    dict of str to ndarray, shape (finished worlds,)
        USD, positive for a gain. Borrowers: debt repaid for them less collateral seized from them.
        Suppliers: interest less bad debt that nobody covered. Liquidators and arbitrageurs: change
        of wealth at market prices, gas paid. Protocol: fees and reserves less the bad debt that
        it covered.
    """
    ok = finished(worlds)
    covered = _column(ok, "bad_debt_usd") - _column(ok, "supplier_loss_usd")
    return {
        "borrowers": -_column(ok, "borrower_loss_usd"),
        "suppliers": _column(ok, "supplier_interest_usd") - _column(ok, "supplier_loss_usd"),
        "liquidators": _column(ok, "liquidator_profit_usd"),
        "arbitrageurs": _column(ok, "arbitrageur_profit_usd"),
        "protocol": _column(ok, "protocol_income_usd") - np.maximum(covered, 0.0),
    }


def worst_world(worlds: "pd.DataFrame") -> int | None:
    """World with the most bad debt; ties fall to debt left liquidatable, then to liquidations.

    Returns
    -------
    int or None
        World id; the smallest of exact equals; None where no world finished.
    """
    ok = finished(worlds)
    if ok.empty:
        return None
    by = ["bad_debt_usd", "peak_liquidatable_debt_usd", "liquidated_debt_usd"]
    ranked = ok.sort_values([*by, "world"], ascending=[False, False, False, True])
    return int(ranked["world"].iloc[0])


def summarise(
    worlds: "pd.DataFrame",
    series: "pd.DataFrame",
    liquidations: "pd.DataFrame",
    *,
    seed: int = 0,
    n_resamples: int = 2000,
) -> Json:
    """Reduce a run to its numbers.

    Parameters
    ----------
    worlds, series, liquidations : DataFrame
        The merged tables of a run; `series` and `liquidations` may be empty.
    seed : int
        Seed of the bootstrap.
    n_resamples : int
        Bootstrap samples per interval.

    Returns
    -------
    dict
        Nested, safe for JSON: no NaN, no numpy scalars.
    """
    ok = finished(worlds)
    if "world" in liquidations:
        liquidations = liquidations[liquidations["world"].isin(ok["world"])]
    boot = _Bootstrap(seed, n_resamples)
    out = {
        "worlds": _count_worlds(worlds),
        "bad_debt": _bad_debt(ok, boot),
        "liquidations": _liquidations(ok, liquidations, boot),
        "borrowing_power": boot.mean_and_quantiles(_column(ok, "borrowing_power"), ""),
        "book": {
            "initial_collateral_usd": _mean(ok, "initial_collateral_usd"),
            "initial_debt_usd": _mean(ok, "initial_debt_usd"),
            "final_debt_usd": _mean(ok, "final_debt_usd"),
        },
        "amplification": _amplification(ok, boot),
        "parties": {
            name: boot.mean_and_quantiles(result, "_usd")
            for name, result in party_results(worlds).items()
        },
        "under_water": _under_water(ok, boot),
        "gas": _gas(ok, boot),
        "oracle": {"max_gap": boot.mean_and_quantiles(_column(ok, "max_oracle_gap"), "")},
        "worst_world": _worst(worlds),
        "horizon_hours": _horizon_hours(series),
    }
    cleaned = clean(out)
    assert isinstance(cleaned, dict)
    return cleaned


class _Bootstrap:
    """The resampling that all numbers of one summary share."""

    def __init__(self, seed: int, n_resamples: int) -> None:
        self.seed = seed
        self.n_resamples = n_resamples

    def __call__(self, values: F64, statistics: Mapping[str, tail.Statistic]) -> Json:
        found = tail.estimates(
            values, statistics, seed=self.seed, n_resamples=self.n_resamples, method="bca"
        )
        return {key: as_json(it) for key, it in found.items()}

    def mean_and_quantiles(self, values: F64, unit: str) -> Json:
        """Mean with its interval, and the plain quantiles of the worlds."""
        out = self(values, {f"mean{unit}": tail.mean})
        out.update(quantiles(values, unit))
        return out


def as_json(it: tail.Estimate) -> Json:
    """Return an estimate as a mapping: value, low_95, high_95 and, where needed, the reason."""
    out: Json = {"value": it.value, "low_95": it.low, "high_95": it.high}
    if it.reason is not None:
        out["reason"] = it.reason
    return out


def quantiles(values: F64, unit: str) -> Json:
    """Levels 5 to 95% and the extremes, named p05_usd and so on; None where no world finished."""
    if values.size == 0:
        return {f"p{round(100 * q):02d}{unit}": None for q in QUANTILES}
    levels = np.quantile(values, QUANTILES)
    out: Json = {f"p{round(100 * q):02d}{unit}": v for q, v in zip(QUANTILES, levels, strict=True)}
    out[f"min{unit}"], out[f"max{unit}"] = values.min(), values.max()
    return out


def clean(value: Any) -> Any:
    """Make nested values safe for JSON: numpy scalars to Python's, what is not finite to None."""
    if isinstance(value, Mapping):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [clean(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def dumps(summary: Json) -> str:
    """Return the text of summary.json."""
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"


def _column(table: "pd.DataFrame", name: str) -> F64:
    return np.asarray(table[name], dtype=np.float64)


def _mean(table: "pd.DataFrame", name: str) -> float | None:
    return float(_column(table, name).mean()) if len(table) else None


def _count_worlds(worlds: "pd.DataFrame") -> Json:
    failed = worlds[worlds["status"] != "ok"]
    return {
        "n": len(worlds),
        "n_ok": len(worlds) - len(failed),
        "n_failed": len(failed),
        "failed_world_ids": [int(w) for w in failed["world"]],
    }


def _bad_debt(ok: "pd.DataFrame", boot: _Bootstrap) -> Json:
    lost = _column(ok, "bad_debt_usd")
    out = boot(lost, _LOSS_STATISTICS)
    out["max_usd"] = lost.max() if lost.size else None
    out["probability_any"] = as_json(tail.proportion(int((lost >= DUST_USD).sum()), lost.size))
    debt = _column(ok, "initial_debt_usd")
    share = np.divide(lost, debt, out=np.zeros_like(lost), where=debt > 0.0)
    out["probability_material"] = as_json(
        tail.proportion(int((share > MATERIAL_SHARE).sum()), lost.size)
    )
    out["share_of_initial_debt"] = boot(share, {"mean": tail.mean})["mean"]
    out["n_worlds_beyond_95"] = int(0.05 * lost.size + 1e-9)
    out["n_worlds_beyond_99"] = int(0.01 * lost.size + 1e-9)
    return out


def _liquidations(ok: "pd.DataFrame", events: "pd.DataFrame", boot: _Bootstrap) -> Json:
    debt = _column(ok, "liquidated_debt_usd")
    out = boot(debt, _LOSS_STATISTICS)
    out.update(quantiles(debt, "_usd"))
    out["probability_any"] = as_json(tail.proportion(int((debt >= DUST_USD).sum()), debt.size))
    out["mean_share_of_initial_debt"] = _ratio(debt.sum(), _column(ok, "initial_debt_usd").sum())
    out["mean_n_liquidations"] = _mean(ok, "n_liquidations")
    out["mean_n_positions"] = _mean(ok, "n_positions_liquidated")
    out["mean_collateral_usd"] = _mean(ok, "liquidated_collateral_usd")
    if len(events):
        by = events.groupby("liquidator", observed=True)["debt_repaid_usd"].sum()
        by = by.sort_values(ascending=False)
        out["share_by_liquidator"] = {str(k): _ratio(v, by.sum()) for k, v in by.items()}
    return out


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0.0 else None


def _amplification(ok: "pd.DataFrame", boot: _Bootstrap) -> Json:
    out: Json = {}
    for asset in assets_of(ok):
        extra = _column(ok, f"amplification_{asset}")
        entry = boot.mean_and_quantiles(extra, "")
        entry["mean_fall"] = _mean(ok, f"fall_{asset}")
        entry["mean_fundamental_fall"] = _mean(ok, f"fundamental_fall_{asset}")
        entry["push"] = boot.mean_and_quantiles(_column(ok, f"push_{asset}"), "")
        out[asset] = entry
    return out


def _under_water(ok: "pd.DataFrame", boot: _Bootstrap) -> Json:
    return {
        "hours_liquidatable": boot.mean_and_quantiles(_column(ok, "hours_liquidatable"), "_hours"),
        "peak_liquidatable_debt": boot.mean_and_quantiles(
            _column(ok, "peak_liquidatable_debt_usd"), "_usd"
        ),
        "final_liquidatable_debt": boot.mean_and_quantiles(
            _column(ok, "final_liquidatable_debt_usd"), "_usd"
        ),
    }


def _gas(ok: "pd.DataFrame", boot: _Bootstrap) -> Json:
    counts = {k: float(_column(ok, f"n_{k}").sum()) for k in ("included", "expired", "reverted")}
    sent = counts["included"] + counts["expired"]
    return {
        "max_base_fee": boot.mean_and_quantiles(_column(ok, "max_base_fee_gwei"), "_gwei"),
        "liquidator_gas": boot.mean_and_quantiles(_column(ok, "liquidator_gas_usd"), "_usd"),
        "n_included": counts["included"],
        "n_expired": counts["expired"],
        "n_reverted": counts["reverted"],
        "share_expired": _ratio(counts["expired"], sent),
        "share_reverted": _ratio(counts["reverted"], counts["included"]),
    }


def _worst(worlds: "pd.DataFrame") -> Json | None:
    world = worst_world(worlds)
    if world is None:
        return None
    row = worlds[worlds["world"] == world].iloc[0]
    names = ("bad_debt_usd", "liquidated_debt_usd", "n_liquidations", "hours_liquidatable")
    out: Json = {"world": world, **{name: float(row[name]) for name in names}}
    out["fall"] = {asset: float(row[f"fall_{asset}"]) for asset in assets_of(worlds)}
    return out


def _horizon_hours(series: "pd.DataFrame") -> float | None:
    if "time" not in series or len(series) == 0:
        return None
    return float((series["time"].max() - series["time"].min()).total_seconds() / 3600.0)


def console_table(summary: Json, title: str = "Stress test") -> "Table":
    """Return the one table that the terminal shows after a run.

    Parameters
    ----------
    summary : dict
        What `summarise` returned.
    title : str
        Name of the run.

    Returns
    -------
    rich.table.Table
        Columns: what, figure, 95% interval.
    """
    from rich.table import Table
    from rich.text import Text

    worlds = summary["worlds"]
    head = f"{title}: {worlds['n_ok']:,} of {worlds['n']:,} worlds"
    table = Table(title=Text(head), title_justify="left", header_style="bold")
    table.add_column("")
    table.add_column("figure", justify="right")
    table.add_column("95% interval", justify="right", style="dim")
    for row in _console_rows(summary):
        if row:
            table.add_row(*[Text(cell) for cell in row])
        else:
            table.add_section()
    return table


def _console_rows(summary: Json) -> list[Sequence[str]]:
    """Rows of the terminal table; an empty one draws a line."""
    from experiments.report.words import interval, money, number, percent

    def estimate(name: str, it: Json, show: Any) -> Sequence[str]:
        if it["value"] is None:
            return name, "n/a", str(it.get("reason", ""))
        return name, show(it["value"]), interval(it, show)

    lost, sold = summary["bad_debt"], summary["liquidations"]
    rows: list[Sequence[str]] = [
        estimate("Bad debt, mean", lost["mean_usd"], money),
        estimate("Bad debt, median", lost["median_usd"], money),
        estimate("Bad debt, VaR 95", lost["var_95_usd"], money),
        estimate("Bad debt, VaR 99", lost["var_99_usd"], money),
        estimate("Bad debt, ES 95", lost["es_95_usd"], money),
        estimate("Bad debt, ES 99", lost["es_99_usd"], money),
        estimate("Probability of over 0.01% of debt", lost["probability_material"], percent),
        (),
        estimate("Liquidated debt, mean", sold["mean_usd"], money),
        estimate("Liquidations at risk 95", sold["var_95_usd"], money),
        estimate("Liquidations at risk 99", sold["var_99_usd"], money),
        estimate("Borrowing power", summary["borrowing_power"]["mean"], percent),
        estimate("Hours liquidatable", summary["under_water"]["hours_liquidatable"]["mean_hours"],
                 lambda x: f"{number(x)} h"),
        (),
    ]  # fmt: skip
    rows += [
        estimate(f"Amplification, {asset}", it["mean"], percent)
        for asset, it in summary["amplification"].items()
        if it["mean_fall"] is not None and it["mean_fall"] > 0.005
    ]
    rows.append(())
    rows += [
        estimate(f"{name.capitalize()}, mean result", summary["parties"][name]["mean_usd"], money)
        for name in PARTIES
    ]
    worst, failed = summary["worst_world"], summary["worlds"]["n_failed"]
    rows.append(())
    if worst:
        rows.append((f"Worst world: {worst['world']}", money(worst["bad_debt_usd"]), "bad debt"))
    rows.append(("Failed worlds", f"{failed:,}", ""))
    return rows
