"""The comparison of designs that met the same shocks: which rule would have prevented the loss."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report import designs
from experiments.report.page import Page, note, table, text
from experiments.report.words import interval, money, percent, plural
from experiments.summary import as_json, clean, dumps, finished
from sim.errors import InputError
from sim.kernel import F64
from sim.metrics import tail

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]
Design = tuple[Mapping[str, Any], Json, "pd.DataFrame"]
"""Overrides by name, summary of the run, its worlds table."""

_STATISTICS: dict[str, tail.Statistic] = {
    "mean_usd": tail.mean,
    "var_95_usd": tail.quantile(0.95),
    "var_99_usd": tail.quantile(0.99),
    "es_95_usd": tail.tail_mean(0.95),
    "es_99_usd": tail.tail_mean(0.99),
}
_NAMES = {
    "es_99_usd": "expected shortfall 99",
    "es_95_usd": "expected shortfall 95",
    "mean_usd": "mean bad debt",
}


def write(
    folder: Path,
    runs: Sequence[Design],
    baseline: int = 0,
    failed: Sequence[tuple[str, str]] = (),
) -> tuple[Path, Path]:
    """Write `comparison.html` and `comparison.json` into a folder that exists.

    Parameters
    ----------
    folder : Path
        Folder of the sweep.
    runs : sequence of (overrides, summary, worlds)
        One per design, run with the same seed and the same world ids.
    baseline : int
        Index of the design that the others are compared with.
    failed : sequence of (label, sentence)
        Designs that could not run, and why.

    Returns
    -------
    tuple of Path
        The page and the JSON file.
    """
    found = compare(runs, baseline)
    found["failed"] = [{"label": label, "problem": problem} for label, problem in failed]
    targets = folder / "comparison.html", folder / "comparison.json"
    for target, content in zip(targets, (render(found), dumps(found)), strict=True):
        partial = target.with_name(target.name + ".partial")
        partial.write_text(content, encoding="utf-8")
        partial.replace(target)
    return targets


def compare(
    runs: Sequence[Design], baseline: int = 0, *, seed: int = 0, n_resamples: int = 2000
) -> Json:
    """Compare designs world by world; parameters as in `write`, result safe for JSON."""
    if not runs:
        raise InputError("a comparison needs at least one design, got none: run the sweep first")
    if not 0 <= baseline < len(runs):
        raise InputError(
            f"baseline must lie in 0..{len(runs) - 1}, got {baseline}: give the index of a design"
        )
    parameters = _varied([overrides for overrides, _, _ in runs])
    names = _short_names(list(parameters))
    base = _losses(runs[baseline][2])
    out = []
    for overrides, summary, worlds in runs:
        values = {key: _value(overrides.get(key)) for key in parameters}
        label = ", ".join(f"{names[k]} = {_text(v)}" for k, v in values.items())
        common, ours, theirs = _paired(base, _losses(worlds))
        difference: Json = {"n_common": common}
        for key, statistic in _STATISTICS.items():
            it = tail.paired_difference(ours, theirs, statistic, seed=seed, n_resamples=n_resamples)
            difference[key] = as_json(it)
        out.append(
            {
                "label": label or "the only design",
                "short": ", ".join(_text(v) for v in values.values()) or "the only design",
                "values": values,
                "overrides": dict(overrides),
                "n_ok": summary["worlds"]["n_ok"],
                "n_failed": summary["worlds"]["n_failed"],
                "bad_debt": {key: summary["bad_debt"][key] for key in _STATISTICS},
                "probability_material": summary["bad_debt"]["probability_material"],
                "liquidated_mean_usd": summary["liquidations"]["mean_usd"]["value"],
                "borrowing_power": summary["borrowing_power"]["mean"]["value"],
                "difference": difference,
            }
        )  # fmt: skip
    metric = _risk_metric(out)
    for design, best in zip(out, _pareto(out, metric), strict=True):
        design["pareto"] = best
    swept = {key: {"name": names[key], "values": v} for key, v in parameters.items()}
    return clean_dict(
        {"parameters": swept, "baseline": baseline, "risk_metric": metric, "designs": out}
    )


def clean_dict(value: Json) -> Json:
    """Return a mapping that is safe for JSON."""
    cleaned = clean(value)
    assert isinstance(cleaned, dict)
    return cleaned


def _value(raw: Any) -> Any:
    """Return a number for an override that reads as one, anything else as it is."""
    if isinstance(raw, str):
        try:
            number = float(raw)
        except ValueError:
            return raw
        return number if math.isfinite(number) else raw
    return raw


def _text(value: Any) -> str:
    if value is None:
        return "default"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _varied(overrides: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Parameters that differ between designs with their values, numbers in ascending order."""
    keys = dict.fromkeys(key for it in overrides for key in it)
    out = {}
    for key in keys:
        values = list(dict.fromkeys(_hashable(_value(it.get(key))) for it in overrides))
        if len(values) > 1:
            numeric = all(isinstance(v, int | float) for v in values)
            out[key] = sorted(values) if numeric else values
    return out


def _hashable(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _short_names(keys: list[str]) -> dict[str, str]:
    """Last part of each dotted name, or the whole where that is ambiguous."""
    last = [key.rsplit(".", 1)[-1] for key in keys]
    return {
        key: short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)
    }


def _losses(worlds: "pd.DataFrame") -> "pd.Series":
    return finished(worlds).set_index("world")["bad_debt_usd"].astype(float)


def _paired(base: "pd.Series", other: "pd.Series") -> tuple[int, F64, F64]:
    """Losses of the worlds that both designs finished, in the same order."""
    ids = base.index.intersection(other.index).sort_values()
    return len(ids), np.asarray(base.loc[ids]), np.asarray(other.loc[ids])


def _risk_metric(found: list[Json]) -> str:
    """Farthest tail that every design has enough worlds for."""
    for key in ("es_99_usd", "es_95_usd"):
        if all(design["bad_debt"][key]["value"] is not None for design in found):
            return key
    return "mean_usd"


def _pareto(found: list[Json], metric: str) -> list[bool]:
    """Whether no other design has less risk and no less borrowing power, or the reverse."""
    points = [(d["bad_debt"][metric]["value"], d["borrowing_power"]) for d in found]

    def beaten(risk: float, power: float) -> bool:
        return any(
            r is not None and r <= risk and p >= power and (r < risk or p > power)
            for r, p in points
        )

    return [risk is not None and not beaten(risk, power) for risk, power in points]


def render(found: Json) -> str:
    """Return the page of a comparison that `compare` made."""
    all_designs, metric = found["designs"], found["risk_metric"]
    base = all_designs[found["baseline"]]
    names = ", ".join(p["name"] for p in found["parameters"].values())
    subtitle = (
        f"{plural(len(all_designs), 'design')} · "
        f"{plural(base['n_ok'], 'world')} each · swept: {names or 'nothing'}"
    )
    it = Page("Comparison of designs", subtitle, headline(found))
    shape = _shape_charts(it, found)
    it.section(
        "designs", "All designs",
        f"The baseline is {base['label']}. Differences are taken world by world on the same random "
        "numbers; negative means less bad debt.",
        _caveats(found), _design_table(found), _difference_table(found),
        it.side_by_side(designs.differences(found)),
    )  # fmt: skip
    if shape:
        it.section(
            "shape", "How it depends on the parameters",
            f"Risk is shown as {_NAMES[metric]}: the farthest tail for which every design has "
            "enough worlds.", shape,
        )  # fmt: skip
    it.section(
        "trade-off", "Safety against borrowing power",
        "A design is worth a look when no other has less risk and as much borrowing power.",
        it.side_by_side(designs.trade_off(found, _NAMES[metric])), text(_pareto_sentence(found)),
    )  # fmt: skip
    return it.html()


def headline(found: Json) -> str:
    """Say which design did best, and whether that can be told from chance."""
    metric, all_designs = found["risk_metric"], found["designs"]
    base = all_designs[found["baseline"]]
    known = [d for d in all_designs if d["bad_debt"][metric]["value"] is not None]
    if not known:
        return "No design finished a world, so there is nothing to compare."
    if len(all_designs) == 1:
        value = base["bad_debt"][metric]["value"]
        return f"Only one design was run: its {_NAMES[metric]} is {money(value)}."
    risks = [d["bad_debt"][metric]["value"] for d in known]
    if max(risks) < 1.0:
        return "No design has bad debt in the worlds that were run, so none can be called safer."
    best = known[int(np.argmin(risks))]
    value = best["bad_debt"][metric]["value"]
    if best is base:
        return (
            f"No other design has a lower {_NAMES[metric]} than the baseline, {base['label']} "
            f"({money(value)})."
        )
    change = best["difference"][metric]
    text_of = f"{best['label']} has the lowest {_NAMES[metric]}, {money(value)}: "
    if change["high_95"] is not None and change["high_95"] < 0.0:
        return (
            f"{text_of}{money(-change['value'])} less than the baseline ({base['label']}) on the "
            f"same shocks (95% interval {money(-change['high_95'])} to {money(-change['low_95'])})."
        )
    return (
        f"{text_of}a difference of {money(change['value'])} from the baseline ({base['label']}), "
        f"but its 95% interval, {interval(change, money)}, holds zero: these worlds do not "
        "separate the two."
    )


def _caveats(found: Json) -> str:
    out = ""
    for design in found.get("failed", ()):
        out += note(f"The design {design['label']} could not run: {design['problem']}.")
    base = found["designs"][found["baseline"]]
    if any(key.rsplit(".", 1)[-1] == "seed" for key in found["parameters"]):
        out += note(
            "The seed differs between designs, so they did not meet the same shocks: the "
            "differences hold the luck of the draw as well."
        )
    short = [d for d in found["designs"] if d["difference"]["n_common"] < base["n_ok"]]
    if short:
        out += note(
            f"{plural(len(short), 'design')} did not finish every world of the baseline; "
            "differences use the worlds that both finished."
        )
    if len(found["designs"]) > 5:
        out += text(
            f"The best of {len(found['designs'])} designs looks better than it is, because the "
            "luckiest was picked: confirm it with another seed. Intervals are 95% each, not "
            "together."
        )
    return out


def _in_order(found: Json) -> list[Json]:
    """Return the baseline first, then the others as they were run."""
    base = found["designs"][found["baseline"]]
    return [base, *(d for d in found["designs"] if d is not base)]


def _values(found: Json, design: Json) -> list[str]:
    """Return the cells that name a design, one per swept parameter."""
    return [_text(design["values"][k]) for k in found["parameters"]] or [design["label"]]


def _design_table(found: Json) -> str:
    names = [p["name"] for p in found["parameters"].values()] or ["design"]
    headers = (
        *names, "mean", "VaR 95", "VaR 99", "ES 95", "ES 99", "over 0.01%", "liquidated, mean",
        "borrowing power", "worlds",
    )  # fmt: skip
    rows = [
        [
            *_values(found, d), *(money(d["bad_debt"][k]["value"]) for k in _STATISTICS),
            percent(d["probability_material"]["value"]), money(d["liquidated_mean_usd"]),
            percent(d["borrowing_power"]), f"{d['n_ok']:,}",
        ]
        for d in _in_order(found)
    ]  # fmt: skip
    title = "Bad debt of each design; the first row is the baseline"
    return table(title, headers, rows, left=range(len(names)))


def _difference_table(found: Json) -> str:
    if len(found["designs"]) < 2:
        return ""
    key = found["risk_metric"] if found["risk_metric"] != "mean_usd" else "es_95_usd"
    names = [p["name"] for p in found["parameters"].values()] or ["design"]
    headers = (
        *names, "mean bad debt", "95% interval", _NAMES[key], "95% interval", "common worlds",
    )  # fmt: skip
    rows = []
    for d in _in_order(found)[1:]:
        change, far = d["difference"]["mean_usd"], d["difference"][key]
        rows.append(
            [
                *_values(found, d), money(change["value"]), interval(change, money),
                money(far["value"]), interval(far, money), f"{d['difference']['n_common']:,}",
            ]
        )  # fmt: skip
    title = "Difference of bad debt from the baseline, world by world"
    return table(title, headers, rows, left=range(len(names)))


def _shape_charts(it: Page, found: Json) -> str:
    parameters = list(found["parameters"])
    metric, name = found["risk_metric"], _NAMES[found["risk_metric"]]
    if len(parameters) == 1:
        return it.side_by_side(
            designs.risk_line(found, metric, name), designs.power_line(found),
            designs.liquidated_line(found),
        )  # fmt: skip
    if len(parameters) == 2:
        cells = {
            "mean": ("Mean bad debt", lambda d: d["bad_debt"]["mean_usd"]["value"], money, True),
            "tail": (name.capitalize(), lambda d: d["bad_debt"][metric]["value"], money, True),
            "power": ("Borrowing power", lambda d: d["borrowing_power"], percent, False),
            "sold": ("Liquidated debt, mean", lambda d: d["liquidated_mean_usd"], money, True),
        }
        if metric == "mean_usd":
            del cells["tail"]
        return it.side_by_side(
            *(designs.heat_map(found, key, *entry) for key, entry in cells.items())
        )
    if len(parameters) > 2:
        return text(
            f"{len(parameters)} parameters vary at once, which no plane can show; the table and "
            "the trade-off do. Sweep one or two of them for curves or heat maps."
        )
    return ""


def _pareto_sentence(found: Json) -> str:
    best = [d["label"] for d in found["designs"] if d["pareto"]]
    if not best or len(found["designs"]) == 1:
        return ""
    if len(best) == 1:
        return f"One design beats or equals all others on both counts: {best[0]}."
    shown = "; ".join(best[:8]) + (f"; and {len(best) - 8} more" if len(best) > 8 else "")
    return (
        f"{len(best)} of {len(found['designs'])} designs are not beaten on both counts: {shown}. "
        "Which of them is best depends on what a dollar of lending is worth to the protocol."
    )
