"""Figures over time: fan charts, the liquidation timeline and the worst world."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report import charts
from experiments.report.charts import Chart, Json
from experiments.report.grid import Grid, quantile_bands
from experiments.report.words import money, number
from sim.kernel import F64, I64

if TYPE_CHECKING:
    import pandas as pd

N_BUCKETS = 48
MOST_MARKERS = 300


def _fan_chart(
    grid: Grid, worst: int, values: F64, key: str, title: str, caption: str, y: Json, form: str
) -> Chart:
    """Fan of all worlds with the worst one drawn over it."""
    x = grid.x()
    many = grid.worlds.size > 1
    color = charts.RED if many else charts.BLUE
    data = charts.fan(x, grid.bands(values), form=form) if many else []
    if grid.has(worst):
        row = values[int(np.searchsorted(grid.worlds, worst))][grid.shown]
        dash: Json = {"dash": "dot"} if many else {}
        hover = f"world {worst}: %{{y:{form}}}<extra></extra>"
        data.append(charts.line(x, row, "worst world", color, line=dash, hovertemplate=hover))
    return Chart(
        key=key, title=title, caption=caption, data=data,
        layout=charts.layout(time_axis(grid), y, hovermode="x unified"),
    )  # fmt: skip


def time_axis(grid: Grid, **more: Any) -> Json:
    """Time axis: UTC clock, or hours since the start."""
    kind = {"type": "date", "hoverformat": "%d %b %H:%M"} if grid.is_dated else {"type": "linear"}
    return charts.axis(grid.x_title, **kind, **more)


def price_fan(grid: Grid, worst: int, asset: str) -> Chart:
    """Market price over time."""
    caption = (
        "Half of the worlds lie in the dark band at each moment, nine in ten in the light one. "
        f"The dotted line is world {worst}, the worst one, not a typical one."
        if grid.worlds.size > 1
        else "Price at which collateral can be sold, in the one world that was run."
    )
    return _fan_chart(
        grid, worst, grid.values(f"price_{asset}"), f"price-{asset}", f"Market price of {asset}",
        caption, charts.axis("USD", tickformat=",~g"), ",.5~g",
    )  # fmt: skip


def depth_fan(grid: Grid, worst: int, asset: str) -> Chart:
    """Depth of a book over time."""
    caption = "What the bids within 1% of the mid would pay, of everybody who quotes in the book."
    return _fan_chart(
        grid, worst, grid.values(f"bid_depth_usd_{asset}"), f"depth-{asset}",
        f"Bids for {asset} within 1%", caption, charts.usd_axis("", rangemode="tozero"), "$,.3s",
    )  # fmt: skip


def spread_fan(grid: Grid, worst: int, asset: str) -> Chart:
    """Spread of a book over time."""
    caption = "Ask less bid, over the mid. A gap in the line: a side of the book was empty."
    return _fan_chart(
        grid, worst, grid.values(f"spread_bps_{asset}"), f"spread-{asset}",
        f"Spread of {asset}", caption, charts.axis("basis points", rangemode="tozero"), ",.3~g",
    )  # fmt: skip


def oracle_fan(grid: Grid, worst: int, asset: str) -> Chart:
    """Oracle price over time."""
    caption = (
        "The price that the lending market reads. It is what decides who can be liquidated, "
        "whatever the market pays."
    )
    return _fan_chart(
        grid, worst, grid.values(f"oracle_{asset}"), f"oracle-{asset}", f"Oracle price of {asset}",
        caption, charts.axis("USD", tickformat=",~g"), ",.5~g",
    )  # fmt: skip


def gap_fan(grid: Grid, worst: int, asset: str) -> Chart:
    """Oracle price relative to the market over time."""
    gap = grid.values(f"oracle_{asset}") / grid.values(f"price_{asset}") - 1.0
    caption = (
        "Oracle price over market price, minus one. Above zero the oracle is too high: positions "
        "look safer than they are, and liquidating them does not pay."
    )
    y = charts.axis("oracle / market − 1", tickformat=".1%", zeroline=True)
    y["zerolinecolor"] = charts.GREY
    title = f"Oracle error for {asset}"
    return _fan_chart(grid, worst, gap, f"gap-{asset}", title, caption, y, ".2%")


def base_fee_fan(grid: Grid, worst: int) -> Chart:
    """Draw the base fee over time, logarithmic where it spans more than a factor of 20."""
    values = grid.values("base_fee_gwei")
    positive = values[np.isfinite(values) & (values > 0.0)]
    y = charts.axis("gwei", rangemode="tozero")
    if positive.size and positive.max() > 20.0 * positive.min():
        low, high = float(positive.min()), float(positive.max())
        y = charts.log_axis(low, high, "gwei, logarithmic scale", number)
    caption = (
        "What it costs to get into a block. Liquidators with a gas cap below this line, and the "
        "oracle's updates, have to wait."
    )
    return _fan_chart(grid, worst, values, "base-fee", "Price of block space", caption, y, ",.3~g")


def backlog_fan(grid: Grid, worst: int) -> Chart:
    """Debt that could be liquidated and was not, over time."""
    caption = (
        "Debt of positions with a health factor below 1 that nobody had liquidated yet. A hill "
        "that drains is a market at work; a plateau is one that is stuck."
    )
    return _fan_chart(
        grid, worst, grid.values("liquidatable_debt_usd"), "backlog",
        "Liquidatable debt that stands", caption, charts.usd_axis("", rangemode="tozero"), "$,.3s",
    )  # fmt: skip


def utilisation_fan(grid: Grid, worst: int, asset: str) -> Chart:
    """Utilisation of a reserve over time."""
    caption = "Borrowed share of what was supplied. At 100% suppliers cannot withdraw."
    return _fan_chart(
        grid, worst, grid.values(f"utilisation_{asset}"), f"utilisation-{asset}",
        f"Utilisation of {asset}", caption, charts.axis("", tickformat=".0%"), ".1%",
    )  # fmt: skip


def timeline(grid: Grid, n_worlds: int) -> Chart | None:
    """Liquidated debt per bucket of time: median, bands and mean over worlds."""
    total = grid.values("liquidated_debt_usd")
    if not np.nanmax(total, initial=0.0) > 0.0 or grid.steps.size < 2:
        return None
    edges: I64 = np.unique(
        np.linspace(0, grid.steps.size - 1, min(N_BUCKETS, grid.steps.size - 1) + 1).round()
    ).astype(np.int64)
    flow = np.diff(total[:, edges], axis=1)
    minutes = float(np.median(np.diff(grid.hours[edges]))) * 60.0
    # A step function needs its last value twice.
    flow = np.concatenate([flow, flow[:, -1:]], axis=1)
    bands, mean = quantile_bands(flow), np.nanmean(flow, axis=0)
    x = grid.x(edges)
    data = charts.fan(x, bands, shape="hv", form="$,.3s") if n_worlds > 1 else []
    data.append(
        charts.line(
            x, mean, "mean" if n_worlds > 1 else "liquidated", charts.PURPLE,
            line={"shape": "hv", "dash": "dash" if n_worlds > 1 else "solid"},
            hovertemplate="mean: %{y:$,.3s}<extra></extra>",
        )
    )  # fmt: skip
    caption = f"Debt repaid by liquidators in each stretch of {minutes:,.0f} minutes."
    if n_worlds > 1:
        caption += (
            " Where the dashed mean stands far above the median, a few worlds carry most of it."
        )
    return Chart(
        key="timeline", title="When liquidations happen", caption=caption, data=data,
        layout=charts.layout(
            time_axis(grid), charts.usd_axis("", rangemode="tozero"), hovermode="x unified"
        ),
    )  # fmt: skip


_PANELS = ((0.60, 0.96), (0.415, 0.53), (0.215, 0.335), (0.0, 0.135))


def worst_world(grid: Grid, world: int, asset: str, events: "pd.DataFrame") -> Chart:
    """Four panels of one world: prices with liquidations, backlog, losses, base fee."""
    at = grid.shown
    x = grid.x()

    def panel(row: int, name: str, label: str, color: str, form: str, **more: Any) -> Json:
        hover = f"{label}: %{{y:{form}}}<extra></extra>"
        values = grid.row(world, name)[at]
        axes = {"xaxis": "x", "yaxis": "y" if row == 0 else f"y{row + 1}"}
        return charts.line(x, values, label, color, hovertemplate=hover, **axes, **more)

    data = [
        panel(0, f"fundamental_{asset}", "no feedback", charts.GREY, ",.5~g",
              line={"width": 1.5, "dash": "dot"}),
        panel(0, f"oracle_{asset}", "oracle", charts.AMBER, ",.5~g", line={"shape": "hv"}),
        panel(0, f"price_{asset}", "market", charts.BLUE, ",.5~g"),
        *_markers(grid, world, asset, events),
        panel(1, "liquidatable_debt_usd", "liquidatable", charts.PURPLE, "$,.3s",
              fill="tozeroy", fillcolor=charts.tint(charts.PURPLE, 0.15), showlegend=False),
        panel(2, "liquidated_debt_usd", "liquidated", charts.TEAL, "$,.3s",
              showlegend=False),
        panel(2, "bad_debt_usd", "bad debt", charts.RED, "$,.3s",
              showlegend=False),
        panel(3, "base_fee_gwei", "base fee", charts.INK, ",.4~g", showlegend=False),
    ]  # fmt: skip
    titles = (
        f"Price of {asset}, USD; circles: liquidations",
        "Liquidatable debt that stands",
        f'Cumulative <b style="color:{charts.TEAL}">liquidated debt</b>, '
        f'<b style="color:{charts.RED}">bad debt</b>',
        "Price of block space, gwei",
    )
    notes = [
        charts.annotation(0, top + 0.005, text)
        for (_, top), text in zip(_PANELS, titles, strict=True)
    ]
    y = [charts.axis("", domain=list(_PANELS[0]), tickformat=",~g")]
    y += [charts.usd_axis("", domain=list(p), rangemode="tozero", nticks=4) for p in _PANELS[1:3]]
    y.append(charts.axis("", domain=list(_PANELS[3]), rangemode="tozero", nticks=4))
    legend = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "xanchor": "left"}
    frame = charts.layout(
        time_axis(grid, anchor="y4"), y[0], yaxis2=y[1], yaxis3=y[2], yaxis4=y[3],
        annotations=notes, legend=legend, hovermode="closest",
    )  # fmt: skip
    caption = (
        "The dotted grey line is the price that the same random numbers give when nobody in the "
        "simulation trades. Circles lie on the market price; their area is the debt repaid."
    )
    if len(events) > MOST_MARKERS:
        caption += f" Only the {MOST_MARKERS} largest of {len(events):,} liquidations are drawn."
    return Chart(
        key="worst-world", title=f"World {world}, hour by hour", caption=caption, data=data,
        layout=frame, height=820, wide=True,
    )  # fmt: skip


def _markers(grid: Grid, world: int, asset: str, events: "pd.DataFrame") -> list[Json]:
    """Liquidations as circles on the market price, area in proportion to debt repaid."""
    if len(events) == 0:
        return []
    events = events.nlargest(MOST_MARKERS, "debt_repaid_usd").sort_values(["step", "seq"])
    size = np.asarray(events["debt_repaid_usd"], dtype=np.float64)
    spot = np.interp(events["step"].to_numpy(), grid.steps, grid.row(world, f"price_{asset}"))
    return [
        {
            "type": "scatter", "mode": "markers", "name": "liquidation",
            "x": grid.x_of(events["time"]), "y": charts.rounded(spot),
            "marker": {
                "size": charts.rounded(np.maximum(size, 0.0), 4), "sizemode": "area",
                "sizeref": 2.0 * max(float(size.max()), 1e-9) / 34.0**2, "sizemin": 2.5,
                "color": charts.tint(charts.RED, 0.4), "line": {"width": 1, "color": charts.RED},
            },
            "text": [
                f"{who} repaid {money(usd)}<br>against {what}"
                for who, usd, what in zip(
                    events["liquidator"].astype(str), size, events["collateral"].astype(str),
                    strict=True,
                )
            ],
            "hovertemplate": "%{text}<extra></extra>",
        }
    ]  # fmt: skip
