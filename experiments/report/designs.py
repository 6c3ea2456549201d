"""Figures that compare designs, one function per figure."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.report import charts
from experiments.report.charts import Chart, Json
from experiments.report.words import interval, money, percent, short_money

MOST_BARS = 40


def differences(found: Json) -> Chart | None:
    """Paired difference of mean bad debt against the baseline, with intervals."""
    others = [d for i, d in enumerate(found["designs"]) if i != found["baseline"]]
    others = [d for d in others if d["difference"]["mean_usd"]["low_95"] is not None]
    if not others:
        return None
    others.sort(key=lambda d: d["difference"]["mean_usd"]["value"])
    left_out = len(others) - MOST_BARS
    shown = others if left_out <= 0 else others[: MOST_BARS // 2] + others[-MOST_BARS // 2 :]
    changes = [d["difference"]["mean_usd"] for d in shown]
    mid = [c["value"] for c in changes]
    low, high = [c["low_95"] for c in changes], [c["high_95"] for c in changes]
    colors = [
        charts.TEAL if b < 0.0 else charts.RED if a > 0.0 else charts.GREY
        for a, b in zip(low, high, strict=True)
    ]
    trace: Json = {
        "type": "scatter", "mode": "markers", "x": charts.rounded(mid),
        "y": [d["short"] for d in shown], "marker": {"size": 9, "color": colors},
        "error_x": charts.error_bars(low, mid, high),
        "text": [
            f"{d['label']}<br>{money(c['value'])}, 95% interval {interval(c, money)}"
            for d, c in zip(shown, changes, strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>", "showlegend": False,
    }  # fmt: skip
    names = ", ".join(p["name"] for p in found["parameters"].values())
    caption = (
        f"Each row is a design ({names}). Mean bad debt minus that of the baseline, with 95% "
        "bootstrap intervals of the paired difference. Green: less; red: more; grey: these worlds "
        "do not tell."
    )
    caption += f" The {left_out} designs in the middle are not drawn." if left_out > 0 else ""
    ticks = charts.nice_ticks(min(0.0, *low), max(0.0, *high))
    x = charts.axis(
        "difference, USD", tickvals=ticks,
        ticktext=[short_money(t) for t in ticks], zeroline=True, zerolinecolor=charts.INK,
    )  # fmt: skip
    y = charts.axis("", type="category", autorange="reversed", ticks="")
    return Chart(
        key="differences", title="Difference from the baseline", caption=caption, data=[trace],
        layout=charts.layout(x, y), height=110 + 34 * len(shown), wide=True,
    )  # fmt: skip


def _line_axis(found: Json) -> tuple[str, list[Any], Json]:
    """Key, values in order and axis of the only swept parameter."""
    key, parameter = next(iter(found["parameters"].items()))
    values = parameter["values"]
    numeric = all(isinstance(v, int | float) for v in values)
    x = charts.axis(parameter["name"], type="linear" if numeric else "category")
    if numeric and len(values) <= 8:
        x["tickvals"] = values
    places = values if numeric else ["default" if v is None else str(v) for v in values]
    return key, places, x


def _ordered(found: Json, key: str) -> list[Json]:
    values = found["parameters"][key]["values"]
    return sorted(found["designs"], key=lambda d: values.index(_cell(d["values"][key], values)))


def _cell(value: Any, values: list[Any]) -> Any:
    return value if value in values else str(value)


def risk_line(found: Json, metric: str, name: str) -> Chart:
    """Mean and tail of bad debt against the parameter, with intervals."""
    key, places, x = _line_axis(found)
    rows = _ordered(found, key)
    data: list[Json] = []
    entries = [("mean_usd", "mean bad debt", charts.BLUE)]
    if metric != "mean_usd":
        entries.append((metric, name, charts.RED))
    for stat, label, color in entries:
        its = [d["bad_debt"][stat] for d in rows]
        mid = [it["value"] for it in its]
        trace = charts.line(places, mid, label, color, mode="lines+markers")
        if all(it["low_95"] is not None for it in its):
            low, high = [it["low_95"] for it in its], [it["high_95"] for it in its]
            trace["error_y"] = {**charts.error_bars(low, mid, high), "color": color}
        trace["text"] = [f"{money(it['value'])} ({interval(it, money)})" for it in its]
        trace["hovertemplate"] = f"{label}: %{{text}}<extra></extra>"
        data.append(trace)
    caption = (
        "Whiskers are 95% intervals of each design alone. Designs share their random numbers, so "
        "they differ more clearly than overlapping whiskers suggest: see the paired differences."
    )
    return Chart(
        key="risk-line", title="Bad debt", caption=caption, data=data,
        layout=charts.layout(x, charts.usd_axis("", rangemode="tozero")),
    )  # fmt: skip


def _single_line(
    found: Json, key: str, title: str, caption: str, value: Callable[[Json], Any], y: Json
) -> Chart:
    parameter, places, x = _line_axis(found)
    mid = [value(d) for d in _ordered(found, parameter)]
    trace = charts.line(places, mid, title, charts.TEAL, mode="lines+markers", showlegend=False)
    trace["hovertemplate"] = "%{x}: %{y}<extra></extra>"
    return Chart(key=key, title=title, caption=caption, data=[trace], layout=charts.layout(x, y))


def power_line(found: Json) -> Chart:
    """Borrowing power against the parameter."""
    caption = "Debt per dollar of collateral at the start: what the design lets borrowers do."
    y = charts.axis("", tickformat=".1%")
    return _single_line(
        found, "power-line", "Borrowing power", caption, lambda d: d["borrowing_power"], y
    )


def liquidated_line(found: Json) -> Chart:
    """Mean liquidated debt against the parameter."""
    caption = "Debt repaid by liquidators, mean over worlds: what borrowers go through."
    return _single_line(
        found, "liquidated-line", "Liquidated debt, mean", caption,
        lambda d: d["liquidated_mean_usd"], charts.usd_axis("", rangemode="tozero"),
    )  # fmt: skip


def heat_map(
    found: Json,
    key: str,
    title: str,
    value: Callable[[Json], Any],
    show: Callable[[Any], str],
    is_loss: bool,
) -> Chart:
    """One figure per pair of parameter values; the baseline is framed."""
    (row_key, rows), (column_key, columns) = list(found["parameters"].items())[:2]
    z: list[list[Any]] = [[None] * len(columns["values"]) for _ in rows["values"]]
    words = [[""] * len(columns["values"]) for _ in rows["values"]]
    frame: tuple[int, int] | None = None
    for number, design in enumerate(found["designs"]):
        i = rows["values"].index(_cell(design["values"][row_key], rows["values"]))
        j = columns["values"].index(_cell(design["values"][column_key], columns["values"]))
        z[i][j] = value(design)
        words[i][j] = show(z[i][j])
        frame = (i, j) if number == found["baseline"] else frame
    scale = ["#f4f8fc", "#c9dcef", "#8fb6dc"] if not is_loss else ["#fff8f1", "#fcd9b6", "#f0a06a"]
    trace: Json = {
        "type": "heatmap", "z": z, "x": [_name(v) for v in columns["values"]],
        "y": [_name(v) for v in rows["values"]], "text": words, "texttemplate": "%{text}",
        "textfont": {"color": charts.INK, "size": 13}, "showscale": False, "xgap": 2, "ygap": 2,
        "colorscale": [[i / 2, color] for i, color in enumerate(scale)],
        "hovertemplate": f"{rows['name']} %{{y}}, {columns['name']} %{{x}}: %{{text}}"
        "<extra></extra>",
    }  # fmt: skip
    shapes = []
    if frame is not None:
        i, j = frame
        shapes.append(
            {"type": "rect", "x0": j - 0.49, "x1": j + 0.49, "y0": i - 0.49, "y1": i + 0.49,
             "line": {"color": charts.INK, "width": 2}}
        )  # fmt: skip
    caption = "Darker is more. The framed cell is the baseline; an empty cell was not run."
    x = charts.axis(columns["name"], type="category", showgrid=False, ticks="")
    y = charts.axis(rows["name"], type="category", showgrid=False, ticks="")
    return Chart(
        key=f"heat-{key}", title=title, caption=caption, data=[trace],
        layout=charts.layout(x, y, shapes=shapes), height=110 + 46 * max(len(rows["values"]), 3),
    )  # fmt: skip


def _name(value: Any) -> str:
    if value is None:
        return "default"
    return f"{value:g}" if isinstance(value, float) else str(value)


def trade_off(found: Json, name: str) -> Chart | None:
    """Risk against borrowing power; designs that no other beats are joined."""
    metric = found["risk_metric"]
    known = [d for d in found["designs"] if d["bad_debt"][metric]["value"] is not None]
    if len(known) < 2:
        return None
    base = found["designs"][found["baseline"]]
    groups = [
        ("beaten by another design", charts.GREY, "circle", [d for d in known if not d["pareto"]]),
        ("not beaten", charts.TEAL, "diamond", [d for d in known if d["pareto"]]),
        ("baseline", charts.INK, "circle-open", [d for d in known if d is base]),
    ]
    data: list[Json] = []
    for label, color, symbol, members in groups:
        members = sorted(members, key=lambda d: (d["borrowing_power"], d["label"]))
        if not members:
            continue
        risk = [d["bad_debt"][metric]["value"] for d in members]
        data.append(
            {
                "type": "scatter", "mode": "lines+markers" if label == "not beaten" else "markers",
                "name": label, "x": charts.rounded([d["borrowing_power"] for d in members]),
                "y": charts.rounded(risk), "line": {"color": color, "width": 1, "dash": "dot"},
                "marker": {"color": color, "symbol": symbol,
                           "size": 16 if label == "baseline" else 10,
                           "line": {"width": 2, "color": color}},
                "cliponaxis": False,
                "text": [
                    f"{d['label']}<br>{name} {money(r)}, borrowing power "
                    f"{percent(d['borrowing_power'])}"
                    for d, r in zip(members, risk, strict=True)
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )  # fmt: skip
    caption = (
        "Right and down is better: more lending, less bad debt. Hover over a dot for its design. "
        "Small differences lie within the noise of the worlds."
    )
    power = np.array([d["borrowing_power"] for d in known])
    margin = max(0.1 * float(np.ptp(power)), 0.005)
    x = charts.axis(
        "borrowing power", tickformat=charts.percent_format(power),
        range=[float(power.min()) - margin, float(power.max()) + margin],
    )  # fmt: skip
    return Chart(
        key="trade-off", title=f"{name.capitalize()} against borrowing power", caption=caption,
        data=data, layout=charts.layout(x, charts.usd_axis("", rangemode="tozero")), height=400,
        wide=True,
    )  # fmt: skip
