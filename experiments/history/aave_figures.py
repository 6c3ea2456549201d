"""Charts of Aave's 19 May 2021: liquidations by hour, collateral and size."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report import charts
from experiments.report.charts import Chart, Json
from experiments.report.words import money

if TYPE_CHECKING:
    import pandas as pd

    from sim.kernel import F64

HOURS = np.arange(24)


def all_charts(
    tables: "Mapping[str, pd.DataFrame]", recorded: "pd.DataFrame", shown: Sequence[str]
) -> list[Chart]:
    """Return the event's charts.

    Parameters
    ----------
    tables : mapping
        `worlds`, `liquidations` and `series` of the event.
    recorded : DataFrame
        What `recorded_liquidations` returned.
    shown : sequence of str
        Collaterals with a bar of their own.
    """
    simulated, worlds = tables["liquidations"], tables["worlds"].world.to_numpy()
    return [
        by_hour(simulated, recorded, worlds),
        by_collateral(tables["worlds"], recorded, shown),
        sizes(simulated, recorded),
        waiting(tables["series"]),
    ]


def hourly(rows: "pd.DataFrame") -> "F64":
    """Collateral seized in each hour of the day, USD (24,)."""
    usd = rows.collateral_usd.to_numpy(np.float64)
    return np.asarray(np.bincount(rows.hour, weights=usd, minlength=24)[:24], np.float64)


def by_hour(simulated: "pd.DataFrame", recorded: "pd.DataFrame", worlds: Any) -> Chart:
    """Draw the volume of every hour: bars recorded, points and range over worlds simulated."""
    found = np.array([hourly(simulated[simulated.world == world]) for world in worlds])
    low, middle, high = np.quantile(found, (0.05, 0.5, 0.95), axis=0)
    data: list[Json] = [
        {"type": "bar", "name": "recorded", "x": HOURS.tolist(),
         "y": charts.rounded(hourly(recorded)), "marker": {"color": charts.GREY},
         "hovertemplate": "%{x}:00: $%{y:,.3s}<extra>recorded</extra>"},
        {"type": "scatter", "mode": "markers", "name": "median world, 5 to 95%",
         "x": HOURS.tolist(), "y": charts.rounded(middle),
         "marker": {"size": 8, "color": charts.BLUE},
         "error_y": charts.error_bars(low, middle, high),
         "hovertemplate": "%{x}:00: $%{y:,.3s}<extra>simulated</extra>"},
    ]  # fmt: skip
    return Chart(
        key="aave_hours", title="Collateral seized by hour",
        caption="Both sides at the market's prices. The points are medians over worlds.",
        data=data, layout=charts.layout(charts.axis("hour of 19 May 2021, UTC"),
                                        charts.usd_axis("collateral seized")),
    )  # fmt: skip


def by_collateral(worlds: "pd.DataFrame", recorded: "pd.DataFrame", shown: Sequence[str]) -> Chart:
    """Draw the day's volume by collateral, recorded beside simulated."""
    names = [*shown, "other"]
    seized = recorded.groupby("collateral").collateral_usd.sum()
    known = [float(seized.get(asset, 0.0)) for asset in shown]
    known.append(float(seized.sum()) - sum(known))
    found = np.array([worlds[f"{name}_usd"] for name in names])
    low, middle, high = np.quantile(found, (0.05, 0.5, 0.95), axis=1)
    data: list[Json] = [
        {"type": "bar", "name": "recorded", "x": names, "y": charts.rounded(known),
         "marker": {"color": charts.GREY}},
        {"type": "bar", "name": "median world, 5 to 95%", "x": names,
         "y": charts.rounded(middle), "marker": {"color": charts.BLUE},
         "error_y": charts.error_bars(low, middle, high)},
    ]  # fmt: skip
    return Chart(
        key="aave_collateral", title="Collateral seized by asset",
        caption="The range is wide because a drawn book may or may not hold one very large "
        "borrower near the edge.",
        data=data, layout=charts.layout(charts.axis(), charts.usd_axis("collateral seized"),
                                        barmode="group"),
    )  # fmt: skip


def sizes(simulated: "pd.DataFrame", recorded: "pd.DataFrame") -> Chart:
    """Draw the share of liquidations larger than a size, both axes logarithmic."""
    data, low, high = [], np.inf, 0.0
    for rows, name, color in ((recorded, "recorded", charts.INK),
                              (simulated, "simulated, all worlds", charts.BLUE)):  # fmt: skip
        values = np.sort(rows.debt_usd.dropna().to_numpy())
        values = values[values > 0.0]
        if values.size < 2:
            continue
        above = 1.0 - np.arange(values.size) / values.size
        keep = np.unique(np.geomspace(1, values.size, 300).round().astype(int))
        x, y = values[values.size - keep], above[values.size - keep]
        low, high = min(low, float(np.quantile(values, 0.01))), max(high, float(values[-1]))
        data.append(charts.line(charts.rounded(x), y, name, color))
    return Chart(
        key="aave_sizes", title="Sizes of liquidations",
        caption="Share of the day's liquidations that repay at least so much debt.",
        data=data,
        layout=charts.layout(charts.log_axis(max(low, 1.0), max(high, 10.0), "debt repaid", money),
                             charts.log_axis(1e-3, 1.0, "share at least as large",
                                             lambda v: f"{v:.3g}")),
    )  # fmt: skip


def waiting(series: "pd.DataFrame") -> Chart:
    """Draw what was liquidatable and nobody had come for yet."""
    steps = np.sort(series.step.unique())
    found = series.pivot_table(index="step", columns="world", values="liquidatable_debt_usd")
    low, middle, high = np.quantile(found.to_numpy(), (0.05, 0.5, 0.95), axis=1)
    hours = steps * (24.0 / max(steps.max(), 1))
    keep = charts.thin(len(hours))
    data: list[Json] = [
        {"type": "scatter", "mode": "lines", "x": charts.rounded(hours[keep]),
         "y": charts.rounded(values[keep]), "name": name, "line": {"color": charts.BLUE,
                                                                   "width": width, "dash": dash}}
        for values, name, width, dash in (
            (high, "95% of worlds", 1.0, "dot"), (middle, "median world", 2.0, "solid"),
            (low, "5% of worlds", 1.0, "dot"),
        )
    ]  # fmt: skip
    return Chart(
        key="aave_backlog", title="Liquidatable debt that waits",
        caption="Debt of positions below health 1 as the market's oracle sees it; the tables do "
        "not hold the recorded counterpart.",
        data=data, layout=charts.layout(charts.axis("hour of 19 May 2021, UTC"),
                                        charts.usd_axis("debt below health 1")),
    )  # fmt: skip
