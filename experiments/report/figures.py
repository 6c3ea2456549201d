"""Figures of distributions over worlds, one function per figure."""

from typing import TYPE_CHECKING

import numpy as np

from experiments.report import charts
from experiments.report.charts import Chart, Json
from experiments.report.words import money, number, percent, plural, short_money
from experiments.summary import DUST_USD, PARTIES, assets_of
from sim.kernel import F64
from sim.metrics import tail

if TYPE_CHECKING:
    import pandas as pd

_EXCEED_TICKS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0001)


def column(table: "pd.DataFrame", name: str) -> F64:
    """Return a column as floats."""
    return np.asarray(table[name], dtype=np.float64)


def histogram(
    key: str, title: str, caption: str, values: F64, lines: list[tuple[str, float | None, str]]
) -> Chart | None:
    """Histogram of dollar amounts with named vertical lines; None where all worlds agree."""
    if values.size < 2 or np.ptp(values) <= 1e-9 * max(abs(float(values.max())), 1.0):
        return None
    edges, is_log = charts.bins(values)
    trace = charts.bars(values, edges, charts.BLUE, "worlds")
    trace["showlegend"] = False
    high = 1.05 * max(v for v in trace["y"])
    marks = [
        charts.vertical(at, f"{name}: {money(at)}", color, high, dash)
        for (name, at, color), dash in zip(lines, ("solid", "dash", "dot", "dashdot"), strict=False)
        if at is not None and (not is_log or at > 0.0)
    ]
    x = (
        charts.log_axis(float(edges[0]), float(edges[-1]), "USD, logarithmic scale", short_money)
        if is_log
        else charts.usd_axis("USD")
    )
    y = charts.axis("worlds", rangemode="tozero", range=[0, high])
    return Chart(
        key=key, title=title, caption=caption, data=[trace, *marks],
        layout=charts.layout(x, y, showlegend=bool(marks)),
    )  # fmt: skip


def bad_debt_histogram(worlds: "pd.DataFrame", summary: Json) -> Chart | None:
    """Distribution of bad debt over the worlds that have any."""
    lost = column(worlds, "bad_debt_usd")
    some = lost[lost >= DUST_USD]
    none = lost.size - some.size
    it = summary["bad_debt"]
    caption = (
        f"Each bar counts worlds. {none:,} of {plural(lost.size, 'world')} had no bad debt "
        "and are not drawn; they do count in VaR and in the mean."
    )
    return histogram(
        "bad-debt-histogram", "How much bad debt, where there is any", caption, some,
        [
            ("mean", it["mean_usd"]["value"], charts.TEAL),
            ("VaR 95", it["var_95_usd"]["value"], charts.AMBER),
            ("VaR 99", it["var_99_usd"]["value"], charts.RED),
        ],
    )  # fmt: skip


def exceedance(values: F64, it: Json, key: str, title: str, what: str) -> Chart | None:
    """Share of worlds that lose at least x, with VaR, ES and their intervals."""
    if values.size < 2 or values.max() < DUST_USD:
        return None
    x, share = tail.exceedance_curve(values)
    if x[0] < DUST_USD:
        x, share = x[1:], share[1:]
    at = charts.thin(x.size)
    curve = charts.line(charts.rounded(x[at]), share[at], "worlds", charts.BLUE)
    curve["line"]["shape"] = "vh"
    curve["hovertemplate"] = "at least %{x:$,.3s}: %{y:.2~%} of worlds<extra></extra>"
    curve["showlegend"] = False
    marks = [
        _tail_marks(it, "var", "VaR", charts.AMBER, "circle", 1.0),
        _tail_marks(it, "es", "expected shortfall", charts.RED, "diamond", 0.86),
    ]
    ticks = [t for t in _EXCEED_TICKS if t >= 0.4 / values.size]
    y = charts.axis(
        "share of worlds that reach it", type="log", tickvals=ticks,
        ticktext=[f"{100 * t:g}%" for t in ticks], range=[np.log10(0.6 / values.size), 0.05],
    )  # fmt: skip
    caption = (
        f"How often a world has at least so much {what}. Dots and diamonds are the 95% and 99% "
        "VaR and expected shortfall; their whiskers are 95% bootstrap intervals. The lowest step "
        f"of the curve is a single world: {it['n_worlds_beyond_99']:,} stand beyond VaR 99 and "
        f"{it['n_worlds_beyond_95']:,} beyond VaR 95."
    )
    return Chart(
        key=key, title=title, caption=caption, data=[curve, *[m for m in marks if m["x"]]],
        layout=charts.layout(charts.usd_axis("USD", rangemode="tozero"), y),
    )  # fmt: skip


def _tail_marks(it: Json, stem: str, name: str, color: str, symbol: str, shift: float) -> Json:
    """VaR or ES at both levels; `shift` keeps the whiskers of the two apart."""
    found = [(lv, it[f"{stem}_{lv}_usd"]) for lv in ("95", "99")]
    found = [(lv, e) for lv, e in found if e["value"] is not None]
    x = [e["value"] for _, e in found]
    low = [e["low_95"] if e["low_95"] is not None else e["value"] for _, e in found]
    high = [e["high_95"] if e["high_95"] is not None else e["value"] for _, e in found]
    text = [
        f"{name} {lv}: {money(e['value'])}<br>95% interval {money(a)} to {money(b)}"
        for (lv, e), a, b in zip(found, low, high, strict=True)
    ]
    return {
        "type": "scatter", "mode": "markers", "name": f"{name}, 95 and 99%",
        "x": charts.rounded(x), "y": [(1.0 - int(lv) / 100.0) * shift for lv, _ in found],
        "error_x": {**charts.error_bars(low, x, high), "color": color},
        "marker": {"size": 10, "symbol": symbol, "color": color},
        "text": text, "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def bad_debt_by_fall(worlds: "pd.DataFrame", asset: str) -> Chart | None:
    """Bad debt of each world against the fall of its main asset."""
    lost, fall = column(worlds, "bad_debt_usd"), column(worlds, f"fall_{asset}")
    if lost.size < 5 or lost.max() < DUST_USD:
        return None
    keep = np.argsort(-lost, kind="stable")
    rest = keep[500:]
    keep = np.concatenate([keep[:500], rest[charts.thin(rest.size, 1000)]])
    dots: Json = {
        "type": "scatter", "mode": "markers", "showlegend": False,
        "x": charts.rounded(fall[keep], 6), "y": charts.rounded(lost[keep], 4),
        "customdata": [int(w) for w in worlds["world"].to_numpy()[keep]],
        "marker": {"size": 6, "color": charts.tint(charts.BLUE, 0.45)},
        "hovertemplate": "world %{customdata}: fall %{x:.1%}, bad debt %{y:$,.3s}<extra></extra>",
    }  # fmt: skip
    left_out = lost.size - keep.size
    caption = (
        f"One dot is one world: the deepest fall of {asset} below its starting price against the "
        "bad debt at the end. Where dots start to rise, the book's safety margin ends."
    )
    caption += f" {left_out:,} of the mildest worlds are not drawn." if left_out else ""
    return Chart(
        key="bad-debt-by-fall", title=f"Bad debt against the fall of {asset}", caption=caption,
        data=[dots],
        layout=charts.layout(
            charts.axis(f"deepest fall of {asset}", tickformat=charts.percent_format(fall)),
            charts.usd_axis("bad debt", rangemode="tozero"),
        ),
    )  # fmt: skip


def liquidated_histogram(worlds: "pd.DataFrame", summary: Json) -> Chart | None:
    """Distribution of liquidated debt with liquidations at risk."""
    it = summary["liquidations"]
    caption = (
        "Debt repaid by liquidators in each world. Liquidations at risk (LaR) is the same quantile "
        "as VaR, of liquidated debt: it says how much liquidators must be able to absorb."
    )
    return histogram(
        "liquidated-histogram", "Liquidations at risk", caption,
        column(worlds, "liquidated_debt_usd"),
        [
            ("mean", it["mean_usd"]["value"], charts.TEAL),
            ("LaR 95", it["var_95_usd"]["value"], charts.AMBER),
            ("LaR 99", it["var_99_usd"]["value"], charts.RED),
        ],
    )  # fmt: skip


def simple_histogram(
    values: F64, key: str, title: str, caption: str, unit: str, form: str
) -> Chart | None:
    """Histogram of anything that is not dollars; None where all worlds agree."""
    if values.size < 2 or np.ptp(values) <= 1e-6 * max(abs(float(values.max())), 1e-9):
        return None
    edges = np.linspace(values.min(), values.max(), charts.bins(values)[0].size)
    if form == ".1%" and np.ptp(values) < 0.01:
        form = ".2%"
    trace = charts.bars(values, edges, charts.TEAL, "worlds", form)
    trace["showlegend"] = False
    x = charts.axis(unit, tickformat=form if form.endswith("%") else None)
    y = charts.axis("worlds", rangemode="tozero")
    return Chart(
        key=key, title=title, caption=caption, data=[trace], layout=charts.layout(x, y), height=290
    )


def moving_assets(worlds: "pd.DataFrame", summary: Json) -> list[str]:
    """Assets whose price fell by more than 0.5% somewhere, the deepest mean fall first."""
    falls = {a: summary["amplification"][a]["mean_fall"] for a in assets_of(worlds)}
    moved = [
        a for a in falls
        if len(worlds) and max(
            float(column(worlds, f"fall_{a}").max()),
            float(column(worlds, f"fundamental_fall_{a}").max()),
        ) > 0.005
    ]  # fmt: skip
    return sorted(moved, key=lambda a: -falls[a])


def amplification(summary: Json, assets: list[str]) -> Chart | None:
    """Boxes of the extra fall that the market's own feedback caused, per asset."""
    if not assets:
        return None
    rows = [summary["amplification"][a] for a in assets]
    boxes: Json = {
        "type": "box", "orientation": "h", "y": assets, "showlegend": False, "boxpoints": False,
        "q1": [r["p25"] for r in rows], "median": [r["p50"] for r in rows],
        "q3": [r["p75"] for r in rows], "lowerfence": [r["p05"] for r in rows],
        "upperfence": [r["p95"] for r in rows], "width": 0.45,
        "line": {"color": charts.BLUE}, "fillcolor": charts.tint(charts.BLUE, 0.2),
        "hoverinfo": "x",
    }  # fmt: skip
    means: Json = {
        "type": "scatter", "mode": "markers", "name": "mean", "y": assets,
        "x": [r["mean"]["value"] for r in rows],
        "marker": {"color": charts.RED, "symbol": "diamond", "size": 10},
        "hovertemplate": "mean %{x:.2%}<extra></extra>",
    }  # fmt: skip
    caption = (
        "Deepest fall with liquidations and their price impact, minus the deepest fall of the same "
        "prices without them, on the same random numbers, in percent of the starting price. Box: "
        "middle half of the worlds; whiskers: 5 to 95%; zero: the market did no harm to itself. "
        "Below zero, trading held the low up."
    )
    x = charts.axis(
        "extra fall", zeroline=True,
        tickformat=charts.percent_format(np.array([[r["p05"], r["p95"]] for r in rows])),
        zerolinecolor=charts.GREY,
    )  # fmt: skip
    y = charts.axis("", autorange="reversed", type="category")
    return Chart(
        key="amplification", title="Extra fall caused by the feedback", caption=caption,
        data=[boxes, means], layout=charts.layout(x, y), height=130 + 70 * len(assets), wide=True,
    )  # fmt: skip


def parties(summary: Json) -> Chart | None:
    """Mean result of each party with the 5 to 95% range of worlds."""
    rows = {name: summary["parties"][name] for name in PARTIES}
    if any(r["mean_usd"]["value"] is None for r in rows.values()):
        return None
    means = [r["mean_usd"]["value"] for r in rows.values()]
    low = [r["p05_usd"] for r in rows.values()]
    high = [r["p95_usd"] for r in rows.values()]
    text = [
        f"{n}: mean {money(m)}<br>5 to 95% of worlds: {money(a)} to {money(b)}"
        for n, m, a, b in zip(rows, means, low, high, strict=True)
    ]
    trace: Json = {
        "type": "bar", "orientation": "h", "y": [n.capitalize() for n in rows],
        "x": charts.rounded(means), "text": text, "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>", "showlegend": False, "width": 0.56,
        "marker": {"color": [charts.RED if m < 0 else charts.TEAL for m in means]},
    }  # fmt: skip
    # A mean may lie outside the 5 to 95% range where a few worlds carry it: so a line, not a bar.
    span_x: list[float | None] = []
    span_y: list[str | None] = []
    for name, a, b in zip(rows, low, high, strict=True):
        span_x += [a, b, None]
        span_y += [name.capitalize(), name.capitalize(), None]
    spans: Json = {
        "type": "scatter", "mode": "lines+markers", "x": span_x, "y": span_y,
        "name": "5 to 95% of worlds", "line": {"color": charts.INK, "width": 2},
        "marker": {"symbol": "line-ns-open", "size": 11, "color": charts.INK},
        "hoverinfo": "skip",
    }  # fmt: skip
    caption = (
        "Bars: mean over worlds, red for a loss. Lines: from the 5% to the 95% world. Borrowers: "
        "debt repaid for them less collateral taken (their losses from falling prices are not "
        "counted). Suppliers: interest less uncovered bad debt. Liquidators and arbitrageurs: "
        "change in wealth after gas. Protocol: fees and reserves."
    )
    ticks = charts.nice_ticks(min(0.0, *means, *low), max(0.0, *means, *high))
    x = charts.axis(
        "gain or loss per world, USD", tickvals=ticks, ticktext=[short_money(t) for t in ticks],
        zeroline=True, zerolinecolor=charts.INK,
    )  # fmt: skip
    y = charts.axis("", autorange="reversed", ticks="")
    return Chart(
        key="parties", title="Gain or loss of each party", caption=caption, data=[trace, spans],
        layout=charts.layout(x, y, bargap=0.4), height=360, wide=True,
    )  # fmt: skip


def borrowing_power(worlds: "pd.DataFrame") -> Chart | None:
    """Distribution of what the rules let a dollar of collateral borrow."""
    caption = "Share of its worth that the borrowers' collateral may borrow under the rules."
    return simple_histogram(
        column(worlds, "borrowing_power"), "borrowing-power", "Borrowing power over worlds",
        caption, "LTV-weighted collateral / collateral", ".1%",
    )  # fmt: skip


def hours_under_water(worlds: "pd.DataFrame") -> Chart | None:
    """Distribution of the time for which liquidatable debt stood."""
    hours = column(worlds, "hours_liquidatable")
    caption = (
        "Hours that a dollar of liquidatable debt waited, weighted by debt. Long waits are "
        f"where bad debt grows; the longest here is {number(float(hours.max(initial=0.0)))} hours."
    )
    return simple_histogram(
        hours, "hours-under-water", "Time under water", caption, "hours", ".3~g"
    )


def oracle_gap(worlds: "pd.DataFrame") -> Chart | None:
    """Distribution of the largest gap between oracle and market."""
    gap = column(worlds, "max_oracle_gap")
    share = percent(float(np.median(gap))) if gap.size else "n/a"
    caption = (
        "Largest difference between oracle and market price in each world, any asset "
        f"(median {share}). A stale oracle hides liquidatable debt, or liquidates too late."
    )
    return simple_histogram(
        gap, "oracle-gap", "Largest oracle error", caption, "|oracle / market − 1|", ".1%"
    )
