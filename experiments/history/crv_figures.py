"""Charts of Aave's CRV debt: price, health, calls, and what a thin market left unpaid."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from experiments.history.compound_figures import QUANTILES
from experiments.report.charts import (
    AMBER,
    BLUE,
    GREY,
    RED,
    TEAL,
    Chart,
    axis,
    fan,
    layout,
    line,
)  # fmt: skip
from sim.kernel import F64

if TYPE_CHECKING:
    import pandas as pd

    from experiments.history.event import Documented

BEFORE, AFTER = 10, 90  # minutes around the first call
DEBT, COLLATERAL, THRESHOLD, BONUS = 92e6, 63.6e6, 0.88, 0.045


def charts(
    tables: "Mapping[str, pd.DataFrame]", known: "Mapping[str, Documented]"
) -> "list[Chart]":
    """All charts of the event; those around the first call need a world that has one."""
    made = [_frontier(tables["worlds"], known)]
    calls = tables["calls"]
    if len(calls):
        first = calls.groupby("world").time.min()
        made = [
            _prices(tables["series"], first, known), _health(tables["series"], first),
            _counts(calls, first, known), *made, _sizes(calls, known),
        ]  # fmt: skip
    return made


def around(series: "pd.DataFrame", first: "pd.Series[pd.Timestamp]", column: str) -> F64:
    """Column by minute from BEFORE the first call to AFTER it, shape (world, minute)."""
    rows = []
    for world, moment in first.items():
        mine = series[series.world == world]
        minutes = (mine.time - moment).dt.total_seconds().to_numpy() / 60.0
        grid = np.arange(-BEFORE, AFTER + 1)
        place = np.clip(np.searchsorted(minutes, grid, side="right") - 1, 0, len(mine) - 1)
        inside = (grid >= minutes[0]) & (grid <= minutes[-1] + 1.0)
        rows.append(np.where(inside, mine[column].to_numpy(np.float64)[place], np.nan))
    return np.array(rows)


MINUTES = list(range(-BEFORE, AFTER + 1))


def _prices(
    series: "pd.DataFrame", first: "pd.Series[pd.Timestamp]", known: "Mapping[str, Documented]"
) -> Chart:
    data = fan(MINUTES, np.nanquantile(around(series, first, "price_CRV"), QUANTILES, axis=0))
    for column, name, colour in (
        ("oracle_CRV", "oracle, median", RED),
        ("fundamental_CRV", "without liquidators, median", TEAL),
    ):
        data.append(
            line(MINUTES, np.nanmedian(around(series, first, column), axis=0), name, colour)
        )
    top = known.get("top_price")
    if top is not None and top.value is not None:
        data.append(
            line([0, AFTER], [top.value] * 2, "documented high", GREY, line={"dash": "dash"})
        )
    return Chart(
        key="prices", title="Price of CRV around the first liquidation",
        caption="Liquidators buy what they repay. The gap between the market and the price without "
        "them is their own impact.",
        data=data, layout=layout(axis("minutes from the first call"), axis("USD")), wide=True,
    )  # fmt: skip


def _health(series: "pd.DataFrame", first: "pd.Series[pd.Timestamp]") -> Chart:
    found = np.array([
        np.nanquantile(column, QUANTILES) if np.isfinite(column).any() else np.full(5, np.nan)
        for column in around(series, first, "health").T
    ]).T  # fmt: skip
    turning = THRESHOLD * (1.0 + BONUS)
    data = [
        *fan(MINUTES, found),
        line(MINUTES, [turning] * len(MINUTES), "below: calls make it worse", RED,
             line={"dash": "dash"}),
    ]  # fmt: skip
    return Chart(
        key="health", title="Health factor of the position",
        caption=f"Above threshold x (1 + bonus) = {turning:.3f} a call heals, below it harms: the "
        "same health leaves less collateral for each token of debt, call after call.",
        data=data,
        layout=layout(axis("minutes from the first call"), axis("health factor", range=[0, 1.1])),
    )  # fmt: skip


def _counts(
    calls: "pd.DataFrame", first: "pd.Series[pd.Timestamp]", known: "Mapping[str, Documented]"
) -> Chart:
    minutes = (calls.time - calls.world.map(first)).dt.total_seconds() / 60.0
    grid = np.arange(0, AFTER + 1)
    counts = np.array([
        np.searchsorted(np.sort(minutes[calls.world == world]), grid, side="right")
        for world in first.index
    ])  # fmt: skip
    data = fan(grid.tolist(), np.quantile(counts, QUANTILES, axis=0))
    n, span = known.get("n_calls"), known.get("minutes")
    if n is not None and span is not None and n.value is not None and span.value is not None:
        data.append(
            line([0, span.value], [0, n.value], "documented, spread evenly", GREY,
                 line={"dash": "dash"})
        )  # fmt: skip
    return Chart(
        key="counts", title="Liquidations so far",
        caption="The real ones were more and smaller: more liquidators took part than here, and "
        "a block here holds one flash loan on a position.",
        data=data, layout=layout(axis("minutes from the first call"), axis("calls")),
    )  # fmt: skip


def _frontier(worlds: "pd.DataFrame", known: "Mapping[str, Documented]") -> Chart:
    prices = np.linspace(0.64, 0.74, 101)
    left = np.maximum(DEBT - COLLATERAL / ((1.0 + BONUS) * prices), 0.0)
    hit = worlds[worlds.n_calls > 0]
    data = [
        {
            "type": "scatter", "mode": "markers", "name": "worlds", "x": hit.mean_price.tolist(),
            "y": hit.bad_debt_crv.tolist(), "marker": {"color": BLUE, "size": 6, "opacity": 0.6},
        },
        line(prices.tolist(), left, "debt less collateral / ((1 + bonus) price)", TEAL),
    ]  # fmt: skip
    price, debt = known.get("mean_price"), known.get("bad_debt_crv")
    if price is not None and debt is not None:
        data.append({
            "type": "scatter", "mode": "markers", "name": "documented", "x": [price.value],
            "y": [debt.value], "marker": {"color": RED, "size": 12, "symbol": "diamond"},
        })  # fmt: skip
    return Chart(
        key="frontier", title="Bad debt against the mean price of the repayments",
        caption="One number decides: 1% in the price at which 92 million CRV were bought back is "
        "0.9 million CRV of bad debt. In worlds without any, the position "
        "was healed before its collateral was gone.",
        data=data,
        layout=layout(axis("mean price, USD"), axis("CRV", exponentformat="B")),
    )  # fmt: skip


def _sizes(calls: "pd.DataFrame", known: "Mapping[str, Documented]") -> Chart:
    edges = np.logspace(3, 7.5, 37)
    counts, _ = np.histogram(calls.repaid_crv, edges)
    share = counts / max(counts.sum(), 1)
    data = [{
        "type": "scatter", "mode": "lines", "name": "simulated", "x": edges[:-1].tolist(),
        "y": share.tolist(), "line": {"color": AMBER, "shape": "hv", "width": 2}, "fill": "tozeroy",
    }]  # fmt: skip
    repaid, n = known.get("repaid_crv"), known.get("n_calls")
    if repaid is not None and n is not None and repaid.value and n.value:
        mean = repaid.value / n.value
        data.append(
            line([mean, mean], [0, float(share.max())], "documented mean", GREY,
                 line={"dash": "dash"})
        )  # fmt: skip
    return Chart(
        key="sizes", title="CRV repaid at once",
        caption="All worlds; share of the calls.",
        data=data,
        layout=layout(axis("CRV", type="log", exponentformat="B"), axis("share", tickformat=".0%")),
    )  # fmt: skip
