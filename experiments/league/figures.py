"""Figures of the league, one function per figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report import charts
from experiments.report.charts import Chart, Json
from experiments.report.words import interval, money, percent, short_money

if TYPE_CHECKING:
    import pandas as pd

COLORS = (
    "#1d5fa6", "#b91c1c", "#0f766e", "#6d28d9", "#b45309", "#475569", "#be185d", "#4d7c0f",
    "#0891b2", "#7c2d12",
)  # fmt: skip
LEVELS = (0.05, 0.25, 0.50, 0.75, 0.95)


def colors(names: Sequence[str]) -> dict[str, str]:
    """One colour per mechanism, the same in all figures."""
    return {name: COLORS[k % len(COLORS)] for k, name in enumerate(names)}


def forest(
    summary: Json, titles: Mapping[str, str], key: str, title: str, caption: str
) -> Chart | None:
    """Paired differences from the reference of one figure, with intervals."""
    rows = [
        (titles[name], it["difference"][key])
        for name, it in summary["mechanisms"].items()
        if "difference" in it and it["difference"][key]["low_95"] is not None
    ]
    if not rows:
        return None
    low, mid, high = ([it[end] for _, it in rows] for end in ("low_95", "value", "high_95"))
    paint = [
        charts.TEAL if b < 0.0 else charts.RED if a > 0.0 else charts.GREY
        for a, b in zip(low, high, strict=True)
    ]
    trace: Json = {
        "type": "scatter", "mode": "markers", "x": charts.rounded(mid),
        "y": [name for name, _ in rows], "marker": {"size": 9, "color": paint},
        "error_x": charts.error_bars(low, mid, high), "showlegend": False,
        "text": [f"{name}: {money(it['value'])} ({interval(it, money)})" for name, it in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    ticks = charts.nice_ticks(min(0.0, *low), max(0.0, *high), 5)
    x = charts.axis(
        "", tickvals=ticks, ticktext=[short_money(t) for t in ticks], zeroline=True,
        zerolinecolor=charts.INK,
    )  # fmt: skip
    y = charts.axis("", type="category", autorange="reversed", ticks="")
    return Chart(
        key=f"forest-{key}", title=title, caption=caption, data=[trace],
        layout=charts.layout(x, y), height=70 + 34 * len(rows),
    )  # fmt: skip


def spread(
    tables: "Mapping[str, pd.DataFrame]", titles: Mapping[str, str], column: str, title: str,
    caption: str,
) -> Chart:  # fmt: skip
    """Quantiles over worlds and the worst world, a row per mechanism."""
    names = list(tables)
    data: list[Json] = []
    for k, name in enumerate(names):
        values = tables[name][column].to_numpy(np.float64)
        q05, q25, q50, q75, q95 = np.quantile(values, LEVELS)
        worst = float(values.max())
        words = (
            f"{titles[name]}: median {money(q50)}, 5 to 95% {money(q05)} to {money(q95)}, "
            f"worst {money(worst)}"
        )
        for low, high, width in ((q05, q95, 3), (q25, q75, 11)):
            data.append(
                {
                    "type": "scatter", "mode": "lines", "x": charts.rounded([low, high]),
                    "y": [titles[name]] * 2, "line": {"color": COLORS[k % len(COLORS)],
                                                      "width": width},
                    "showlegend": False, "text": [words] * 2,
                    "hovertemplate": "%{text}<extra></extra>",
                }
            )  # fmt: skip
        data.append(
            {
                "type": "scatter", "mode": "markers", "x": charts.rounded([q50, worst]),
                "y": [titles[name]] * 2, "showlegend": False, "text": [words] * 2,
                "marker": {"symbol": ["line-ns", "x-thin"], "size": [16, 8], "color": charts.INK,
                           "line": {"color": charts.INK, "width": 2}},
                "hovertemplate": "%{text}<extra></extra>",
            }
        )  # fmt: skip
    y = charts.axis("", type="category", autorange="reversed", ticks="")
    return Chart(
        key=f"spread-{column}", title=title, caption=caption, data=data,
        layout=charts.layout(charts.usd_axis(""), y), height=80 + 34 * len(names),
    )  # fmt: skip


def paths(
    series: "Mapping[str, pd.DataFrame]", titles: Mapping[str, str], column: str, key: str,
    title: str, caption: str, y: Json,
) -> Chart:  # fmt: skip
    """One world's path of a column, a line per mechanism."""
    paint = colors(list(titles))
    data = []
    for name, table in series.items():
        at = charts.thin(len(table))
        hours = (table["step"].to_numpy()[at] * _hours_per_step(table)).round(4)
        values = table[column].to_numpy(np.float64)[at]
        data.append(charts.line(list(hours), values, titles[name], paint[name],
                                line={"width": 1.6}))  # fmt: skip
    layout = charts.layout(charts.axis("hours since the start"), y)
    return Chart(
        key=key, title=title, caption=caption, data=data, layout=layout,
        height=400 if len(series) > 1 else 260, wide=True,
    )  # fmt: skip


def _hours_per_step(table: "pd.DataFrame") -> float:
    first, last = table.iloc[0], table.iloc[-1]
    seconds = (last["time"] - first["time"]).total_seconds()
    return float(seconds / 3600.0 / max(last["step"] - first["step"], 1))


def tail_curves(found: Json, titles: Mapping[str, str], name: str) -> Chart:
    """Tail risk against the liquidation loan-to-value, a line per mechanism."""
    paint = colors(list(titles))
    data: list[Json] = []
    floor = 1e-6
    for mechanism, it in found["mechanisms"].items():
        mid = np.maximum(np.array(it["curve"], float), floor)
        low, high = (np.maximum(np.array(it[k], float), floor) for k in ("curve_low", "curve_high"))
        trace = charts.line(
            it["ltvs"], mid, titles[mechanism], paint[mechanism], mode="lines+markers",
            line={"width": 1.8},
        )  # fmt: skip
        trace["text"] = [
            f"{titles[mechanism]} at {percent(ltv)}: {percent(value)} ({percent(a)} to "
            f"{percent(b)})"
            for ltv, value, a, b in zip(it["ltvs"], it["curve"], low, high, strict=True)
        ]
        trace["hovertemplate"] = "%{text}<extra></extra>"
        data.append(trace)
    top = max([2e-3, *(max(it["curve"]) for it in found["mechanisms"].values())])
    y = charts.log_axis(floor, top, "of the debt", percent_or_less)
    x = charts.axis("liquidation loan-to-value", tickformat=".0%")
    shapes = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": found["target"],
         "y1": found["target"], "line": {"color": charts.INK, "width": 1, "dash": "dash"}}
    ]  # fmt: skip
    return Chart(
        key="tail-curves", title=f"{name.capitalize()} of bad debt against the threshold",
        caption=(
            "Same debts and health factors at each threshold, so a higher one means less "
            "collateral behind the same debt. The dashed line is the target "
            f"({percent_or_less(found['target'])} of the debt). Logarithmic; less than "
            f"{percent_or_less(floor)} is drawn there."
        ),
        data=data, layout=charts.layout(x, y, shapes=shapes), height=440, wide=True,
    )  # fmt: skip


def percent_or_less(share: float) -> str:
    """Share as a percentage, small ones too: 0.0001%."""
    value = 100.0 * share
    return f"{value:g}%" if value < 0.01 else f"{value:.3g}%"


def survival_matrix(entries: Sequence[Json], titles: Mapping[str, str], key: str, title: str,
                    n: int) -> Chart | None:  # fmt: skip
    """In how many variations the row keeps having less than the column."""
    if not entries or not n:
        return None
    names = list(titles)
    z: list[list[Any]] = [[None] * len(names) for _ in names]
    words = [[""] * len(names) for _ in names]
    for it in entries:
        i, j = names.index(it["better"]), names.index(it["worse"])
        z[i][j] = len(it["kept"]) / n
        words[i][j] = f"{len(it['kept'])}/{n}" + (" ↯" if it["reversed"] else "")
    labels = [titles[name] for name in names]
    trace: Json = {
        "type": "heatmap", "z": z, "x": labels, "y": labels, "text": words,
        "texttemplate": "%{text}", "textfont": {"color": charts.INK, "size": 12},
        "showscale": False, "xgap": 2, "ygap": 2, "zmin": 0, "zmax": 1,
        "colorscale": [[0, "#fff8f1"], [0.5, "#e6eef7"], [1, "#7fb0dd"]],
        "hovertemplate": "%{y} has less than %{x}: %{text}<extra></extra>",
    }  # fmt: skip
    x = charts.axis("", type="category", showgrid=False, ticks="", tickangle=-35)
    y = charts.axis("", type="category", showgrid=False, ticks="", autorange="reversed")
    return Chart(
        key=f"survival-{key}", title=title,
        caption=(
            f"A number where the row has less than the column in the base: in how many of the {n} "
            "variations it still has, told by its interval. ↯: in some variation the order is the "
            "reverse. Empty: the base does not tell the two apart."
        ),
        data=[trace], layout=charts.layout(x, y), height=170 + 32 * len(names), wide=True,
    )  # fmt: skip


def variation_map(summary: Json, titles: Mapping[str, str], column: str, key: str, title: str,
                  caption: str) -> Chart | None:  # fmt: skip
    """Mean of a column over the debt, per variation and mechanism."""
    if not summary["variations"]:
        return None
    names = list(titles)
    base = {
        name: {"bad_debt_usd": it["bad_debt"]["mean"]["value"], **{
            k: one["value"] for k, one in it["means"].items()
        }, "initial_debt_usd": it["initial_debt_usd"]}
        for name, it in summary["mechanisms"].items()
    }  # fmt: skip
    rows = [("base", base)] + [(it["title"], it["means"]) for it in summary["variations"].values()]
    z, words = [], []
    for _, means in rows:
        shares = [
            means[name][column] / means[name]["initial_debt_usd"] if name in means else None
            for name in names
        ]
        z.append([None if s is None else float(np.sign(s) * abs(s) ** 0.5) for s in shares])
        words.append(["" if s is None else percent(s) for s in shares])
    trace: Json = {
        "type": "heatmap", "z": z, "x": [titles[name] for name in names],
        "y": [label for label, _ in rows], "text": words, "texttemplate": "%{text}",
        "textfont": {"color": charts.INK, "size": 12}, "showscale": False, "xgap": 2, "ygap": 2,
        "colorscale": [[0, "#fffdfa"], [0.5, "#fcd9b6"], [1, "#ee9a62"]],
        "hovertemplate": "%{x}, %{y}: %{text} of the debt<extra></extra>",
    }  # fmt: skip
    x = charts.axis("", type="category", showgrid=False, ticks="", tickangle=-35)
    y = charts.axis("", type="category", showgrid=False, ticks="", autorange="reversed")
    return Chart(
        key=f"variations-{key}", title=title, caption=caption, data=[trace],
        layout=charts.layout(x, y), height=180 + 32 * len(rows), wide=True,
    )  # fmt: skip
