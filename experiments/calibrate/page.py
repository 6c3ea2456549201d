"""The page of a calibrated surface: how well it fits, then what it looks like through time."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.calibrate import surface as study_of
from experiments.calibrate.surface import DAY_EDGES, DELTA_EDGES, TENORS, Fitted, Study
from experiments.report import charts
from experiments.report.charts import Chart, Json
from experiments.report.page import Page, cards, code, details, table, text
from experiments.report.words import plural
from sim.kernel import F64
from sim.prices.bars import utc

_COLORS = (charts.BLUE, charts.RED, charts.TEAL, charts.PURPLE, charts.AMBER, charts.GREY)
_N_DAYS = 3  # chosen days with smiles
_N_SLICES = 5  # expiries of a day


def render(study: Study, command: str) -> str:
    """Return the page of a study and the command that made it."""
    currencies = sorted({it.snapshot.currency for it in study.fitted})
    page = Page("Implied volatility surface", _span(study), headline(study))
    page.section("fit", "How well it fits", "", _cards(study), page.side_by_side(*_heat(study)))
    for currency in currencies:
        page.section(
            f"time-{currency}", f"{currency} through time",
            "Read off the surface at constant times to expiry; a gap is a tenor that no expiry "
            "reached.",
            page.side_by_side(*_through_time(study, currency)),
        )  # fmt: skip
        page.section(
            f"smiles-{currency}", f"{currency} smiles of chosen days",
            "Points are the chain's own volatilities of out-of-the-money options, lines the "
            "fitted slices.",
            page.side_by_side(*_days(study, currency)),
        )  # fmt: skip
    page.section("how", "How it is made", "", text(*_METHOD), _left_out(study))
    page.section("again", "Run it again", "", details("Command", code(command), is_open=True))
    return page.html()


_METHOD = (
    "Each expiry is a raw SVI slice of five parameters, fitted to volatilities with weights in the "
    "shape of vega. Slices are fitted from the longest expiry to the shortest, each below its "
    "longer neighbour in total variance at equal log-moneyness; wings are no steeper than 2; the "
    "density g(k) of Gatheral and Jacquier is not negative on the grid. Between expiries total "
    "variance is linear in time at equal log-moneyness. Delta is that of the call on the forward.",
)


def _span(study: Study) -> str:
    first, last = study.fitted[0].snapshot.ts, study.fitted[-1].snapshot.ts
    n = plural(len(study.fitted), "snapshot")
    return f"{study.chain.name}: {n}, {utc(first)[:10]} to {utc(last)[:10]}"


def headline(study: Study) -> str:
    """Say the median error and whether arbitrage is left."""
    middle = study_of.central(study)
    broken = sum(len(it.violations) for it in study.fitted)
    fit = (
        f"SVI slices miss the chain's volatilities by {np.median(middle):.2f} points at the median "
        "where delta lies in 0.1 to 0.9"
        if middle.size
        else "No quote has a delta of 0.1 to 0.9"
    )
    left = f"{broken} conditions are broken" if broken else "no arbitrage is left on the grid"
    return f"{fit}; {left}."


def _cards(study: Study) -> str:
    middle, inside = study_of.central(study), study.gather("inside")
    slices = sum(len(it.surface.years) for it in study.fitted)
    items = [("quotes", f"{len(study.error()):,}", f"{slices:,} expiries")]
    if middle.size:
        note = f"bar {study_of.FIT_BAR}; 90% below {np.quantile(middle, 0.9):.2f}"
        items.append(("median error, points", f"{np.median(middle):.3f}", note))
    if np.isfinite(inside).any():
        items.append(("between bid and ask", f"{100.0 * np.nanmean(inside):.0f}%", "of quotes"))
    if study.mark_error.size:
        note = f"bar {study_of.MARK_BAR:g}; from the chain's own volatilities"
        items.append(("marks, median error in coin", f"{np.median(study.mark_error):.1e}", note))
    return cards(items)


def _percent(value: float) -> str:
    return f"{100.0 * value:.0f}"


def _heat(study: Study) -> list[Chart]:
    """Error by delta and time to expiry, median and 90%."""
    found = []
    x = [f"{_percent(a)}–{_percent(b)}" for a, b in pairwise(DELTA_EDGES)]
    y = [
        f"{a:.0f}–{b:.0f} d" if np.isfinite(b) else f"over {a:.0f} d"
        for a, b in pairwise(DAY_EDGES)
    ]
    for quantile, name in ((0.5, "median"), (0.9, "90% quantile")):
        value, count = study_of.buckets(study, quantile)
        words = [
            ["" if not n else f"{v:.2f}" for v, n in zip(vs, ns, strict=True)]
            for vs, ns in zip(value, count, strict=True)
        ]
        trace: Json = {
            "type": "heatmap", "x": x, "y": y,
            "z": [charts.rounded(np.log10(np.maximum(row, 1e-3))) for row in value],
            "text": words, "texttemplate": "%{text}", "showscale": False, "xgap": 2, "ygap": 2,
            "textfont": {"color": charts.INK, "size": 12},
            "colorscale": [[0.0, "#f4f8fc"], [0.5, "#fcd9b6"], [1.0, "#f0a06a"]],
            "zmin": -2.0, "zmax": 1.0,
            "customdata": [[int(n) for n in row] for row in count],
            "hovertemplate": "delta %{x}, %{y}: %{text} points, %{customdata} quotes"
            "<extra></extra>",
        }  # fmt: skip
        axes = (
            charts.axis("delta of the call, %", type="category", showgrid=False, ticks=""),
            charts.axis("time to expiry", type="category", showgrid=False, ticks=""),
        )
        found.append(
            Chart(
                key=f"heat-{quantile}", title=f"Error in volatility points, {name}",
                caption="Absolute difference of implied volatilities; the bar is for 10 to 90.",
                data=[trace], layout=charts.layout(*axes), height=340,
            )
        )  # fmt: skip
    return found


def _through_time(study: Study, currency: str) -> list[Chart]:
    """At-the-money volatility, risk reversal, butterfly and skew of constant tenors."""
    read = study_of.readings(study, currency)
    times = [utc(float(ts)).removesuffix(" UTC") for ts in read["ts"]]
    specs = (
        ("atm", "Volatility at the forward", "Term structure through time.", "points"),
        ("risk_reversal", "Risk reversal, 25 delta", "Call less put.", "points"),
        ("fly", "Butterfly, 25 delta", "Mean of call and put less the forward's.", "points"),
        ("skew", "Skew at the forward", "Slope of volatility in ln(K / F).", "points per 1.00"),
    )  # fmt: skip
    found = []
    for name, title, caption, unit in specs:
        data = [
            charts.line(
                times, 100.0 * values, f"{days:.0f} d", color,
                hovertemplate=f"{days:.0f} d: %{{y:.2f}}<extra></extra>",
            )
            for days, values, color in zip(TENORS, read[name], _COLORS, strict=False)
        ]  # fmt: skip
        axes = charts.axis("", type="date"), charts.axis(unit)
        found.append(
            Chart(
                key=f"{name}-{currency}", title=title, caption=caption, data=data,
                layout=charts.layout(*axes),
            )
        )  # fmt: skip
    return found


def _days(study: Study, currency: str) -> list[Chart]:
    """Smiles and term structures of the first, the middle and the last day."""
    own = [it for it in study.fitted if it.snapshot.currency == currency]
    picked = sorted({round(i) for i in np.linspace(0, len(own) - 1, _N_DAYS)})
    days = [own[i] for i in picked]
    return [*(_smiles(study, it) for it in days), _term_structure(days, currency)]


def _smiles(study: Study, it: Fitted) -> Chart:
    s = it.surface
    data: list[Json] = []
    shown = sorted({round(i) for i in np.linspace(0, len(s.years) - 1, _N_SLICES)})
    scale = np.sqrt(it.years) * it.market
    k = np.log(study.chain.strike[it.rows] / study.chain.forward[it.rows])
    for i, color in zip(shown, _COLORS, strict=False):
        rows = np.abs(it.years - s.years[i]) < 1e-9
        rows &= np.abs(k) < 4.0 * scale  # beyond, a quote is a tick
        grid = np.linspace(k[rows].min(), k[rows].max(), 80) if rows.any() else np.zeros(2)
        data.append(_dots(k[rows], 100.0 * it.market[rows], s.names[i], color))
        fit = 100.0 * s.volatility(grid, s.years[i])
        data.append(charts.line(charts.rounded(grid), fit, s.names[i], color, hoverinfo="skip"))
    day = utc(it.snapshot.ts)
    axes = charts.axis("ln(K / F)"), charts.axis("implied volatility, %")
    return Chart(
        key=f"smile-{it.snapshot.currency}-{it.snapshot.ts:.0f}", title=f"Smiles of {day[:10]}",
        caption=f"Fitted expiries: {len(s.years)}, shown: {len(shown)}.",
        data=data, layout=charts.layout(*axes), height=380,
    )  # fmt: skip


def _dots(x: F64, y: F64, name: str, color: str) -> Json:
    return {
        "type": "scatter", "mode": "markers", "x": charts.rounded(x), "y": charts.rounded(y),
        "name": name, "marker": {"color": color, "size": 5}, "showlegend": False,
        "hovertemplate": f"{name}: %{{y:.2f}} at %{{x:.3f}}<extra></extra>",
    }  # fmt: skip


def _term_structure(days: Sequence[Fitted], currency: str) -> Chart:
    data = []
    for it, color in zip(days, _COLORS, strict=False):
        s = it.surface
        vol = 100.0 * s.atm(s.years)
        x: Any = charts.rounded(365.0 * s.years)
        data.append(charts.line(x, vol, utc(it.snapshot.ts)[:10], color, mode="lines+markers"))
    axes = charts.axis("days to expiry", type="log"), charts.axis("volatility at the forward, %")
    return Chart(
        key=f"term-{currency}", title="Term structure of these days",
        caption="Each point is an expiry.", data=data, layout=charts.layout(*axes), height=380,
    )  # fmt: skip


def _left_out(study: Study) -> str:
    rows = [(reason, f"{n:,} rows") for reason, n in study.chain.refused.items()]
    short = sum(it.n_short for it in study.fitted)
    if short:
        rows.append(("an expiry has too few strikes", f"{short:,} expiries"))
    if study.skipped:
        rows.append(("a snapshot has no expiry to fit", f"{len(study.skipped):,} snapshots"))
    if study.chain.one_sided:
        rows.append(("no bid or no ask; kept for the mark", f"{study.chain.one_sided:,} rows"))
    return table("What was left out", ("reason", "count"), rows) if rows else ""
