"""The section of a study that sells into order books: depth, spread, and a cascade twice."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report import charts, paths
from experiments.report.charts import Chart, Json
from experiments.report.grid import Grid
from experiments.report.page import Page, table, text
from experiments.report.words import money, number, percent
from sim.kernel import F64

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "bid_depth_usd_"
_PANELS = ((0.70, 0.96), (0.47, 0.63), (0.235, 0.395), (0.0, 0.16))
WITH, WITHOUT = "makers withdraw", "makers stay"
COLORS = {WITH: charts.RED, WITHOUT: charts.BLUE}


def section(it: Page, grid: Grid, summary: Json, pairs: "pd.DataFrame | None") -> None:
    """Add the section where the study has books."""
    if grid.is_empty:
        return
    assets = [c[len(PREFIX) :] for c in sorted(grid.columns) if c.startswith(PREFIX)]
    falls = summary["amplification"]
    assets = sorted(assets, key=lambda a: -(falls[a]["push"]["mean"]["value"] or 0.0))
    if not assets:
        return
    worst, asset = summary["worst_world"]["world"], assets[0]
    lead = (
        "Collateral is sold into limit order books. Market makers quote around a price of their "
        "own, and step back when prices move too fast or their inventory grows too large."
    )
    blocks = []
    if pairs is not None and len(pairs):
        blocks += [it.side_by_side(cascade(pairs, asset)), comparison(pairs, asset)]
    fans = [f(grid, worst, asset) for f in (paths.depth_fan, paths.spread_fan)]
    it.section("books", "The order book", lead, *blocks, it.side_by_side(*fans))


def _variants(pairs: "pd.DataFrame", rank: int) -> "dict[str, pd.DataFrame]":
    """Both runs of a world, in the order of time."""
    one = pairs[pairs["rank"] == rank].sort_values("step")
    return {WITH: one[one["withdraw"]], WITHOUT: one[~one["withdraw"]]}


def window(found: "dict[str, pd.DataFrame]") -> slice:
    """Stretch of the samples in which most of the liquidations of either run took place."""
    first, last = [], []
    for series in found.values():
        total = series["liquidated_debt_usd"].to_numpy(np.float64)
        if total[-1] > 0.0:
            first.append(int(np.searchsorted(total, 0.01 * total[-1])))
            last.append(int(np.searchsorted(total, 0.99 * total[-1])))
    n = len(next(iter(found.values())))
    if not first:
        return slice(0, n)
    margin = max(20, (max(last) - min(first)) // 8)
    return slice(max(0, min(first) - margin), min(n, max(last) + margin))


def cascade(pairs: "pd.DataFrame", asset: str) -> Chart:
    """Four panels of the worst world, twice: price, its gap, depth of the bids, liquidations."""
    found = _variants(pairs, 0)
    world = int(found[WITH]["world"].iloc[0])
    at = window(found)
    grid = Grid(found[WITH].drop(columns=["withdraw", "rank"]), np.array([world]))
    shown = np.arange(len(found[WITH]))[at]
    shown = shown[charts.thin(shown.size)]
    x = grid.x(shown)
    data = [_line(found[WITH][f"fundamental_{asset}"], "no feedback", shown, x, 0)]
    for name, series in found.items():
        price = series[f"price_{asset}"]
        data += [
            _line(price, name, shown, x, 0),
            _line(price / series[f"fundamental_{asset}"] - 1.0, name, shown, x, 1),
            _line(series[PREFIX + asset], name, shown, x, 2),
            _line(series["liquidated_debt_usd"], name, shown, x, 3),
        ]
    titles = (
        f"Price of {asset}, USD",
        "Price over the one without feedback − 1",
        f"Bids for {asset} within 1% of the mid",
        "Liquidated debt, cumulative",
    )
    notes = [
        charts.annotation(0, top + 0.005, words)
        for (_, top), words in zip(_PANELS, titles, strict=True)
    ]
    y = [charts.axis("", domain=list(_PANELS[0]), tickformat=",~g", nticks=5)]
    y.append(charts.axis("", domain=list(_PANELS[1]), tickformat=".1~%", nticks=5))
    y += [charts.usd_axis("", domain=list(p), rangemode="tozero", nticks=4) for p in _PANELS[2:]]
    legend = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "xanchor": "left"}
    frame = charts.layout(
        paths.time_axis(grid, anchor="y4"), y[0], yaxis2=y[1], yaxis3=y[2], yaxis4=y[3],
        annotations=notes, legend=legend, hovermode="x unified",
    )  # fmt: skip
    return Chart(
        key="cascade", title=f"World {world} twice: makers who withdraw, and makers who stay",
        caption=(
            "The worst world, block by block around its liquidations, and the same world with the "
            "same random numbers in which the crowd's market makers may not step back, whatever "
            "volatility and inventory do. The dotted line is the price that the makers take for "
            "fundamental, which nobody's trades move."
        ),
        data=data, layout=frame, height=820, wide=True,
    )  # fmt: skip


def _line(values: "pd.Series[float]", name: str, shown: Any, x: list[Any], panel: int) -> Json:
    """One line of a panel; the legend shows those of the first."""
    form = (",.5~g", ".2%", "$,.3s", "$,.3s")[panel]
    style: Json = {} if name in COLORS else {"width": 1.5, "dash": "dot"}
    if panel in (1, 2):
        style["width"] = 1.5
    axes = {"xaxis": "x", "yaxis": "y" if panel == 0 else f"y{panel + 1}"}
    return charts.line(
        x, values.to_numpy(np.float64)[shown], name, COLORS.get(name, charts.GREY),
        line=style, showlegend=panel == 0, legendgroup=name,
        hovertemplate=f"{name}: %{{y:{form}}}<extra></extra>", **axes,
    )  # fmt: skip


def comparison(pairs: "pd.DataFrame", asset: str) -> str:
    """Table of what withdrawal did to the worlds that ran twice."""
    worlds = int(pairs["rank"].max()) + 1
    figures: dict[str, list[F64]] = {WITH: [], WITHOUT: []}
    for rank in range(worlds):
        for name, one in _variants(pairs, rank).items():
            price = one[f"price_{asset}"].to_numpy(np.float64)
            lowest = one[f"fundamental_{asset}"].to_numpy(np.float64).min()
            depth = one[PREFIX + asset].to_numpy(np.float64)
            figures[name].append(np.array([
                1.0 - price.min() / price[0], 1.0 - price.min() / lowest,
                np.quantile(depth, 0.01), float(np.mean(depth)),
                one["liquidated_debt_usd"].iloc[-1], one["bad_debt_usd"].iloc[-1],
            ]))  # fmt: skip
    means = {name: np.mean(rows, axis=0) for name, rows in figures.items()}
    shows = (percent, percent, money, money, money, money)
    labels = (
        f"deepest fall of {asset}", "its low below the fundamental low",
        "depth of the bids, 1% of the time below", "depth of the bids, mean",
        "liquidated debt", "bad debt at the end",
    )  # fmt: skip
    rows = [
        [label, show(float(means[WITH][i])), show(float(means[WITHOUT][i]))]
        for i, (label, show) in enumerate(zip(labels, shows, strict=True))
    ]
    title = f"Mean of the {number(worlds)} worst worlds" if worlds > 1 else "The only world"
    words = text(
        "Both columns are the same worlds on the same random numbers. They were chosen for being "
        "the worst of this study, so they tell what withdrawal does in a crisis, not on average."
    )
    return table(title, ("", WITH, WITHOUT), rows) + words
