"""Charts of the USDC/USDT pool in March 2023: price, difference, imbalance, liquidity."""

from typing import TYPE_CHECKING

import numpy as np

from experiments.liquidity import Profile
from experiments.report import charts
from experiments.report.charts import Chart, Json

if TYPE_CHECKING:
    import pandas as pd

    from sim.kernel import F64

HOURS = "hours since 10 March 2023, 12:00 UTC"


def all_charts(hourly: "pd.DataFrame", recorded: "pd.DataFrame", profile: Profile) -> list[Chart]:
    """Return the event's charts.

    Parameters
    ----------
    hourly : DataFrame
        `world`, `hour`, `tick`, `outside`, `liquidity` of all worlds.
    recorded : DataFrame
        `hour`, `tick`, `liquidity`.
    profile : Profile
        By which both sides are valued.
    """
    return [
        price(hourly, recorded), errors(hourly, recorded), shares(hourly, recorded, profile),
        depth(hourly, recorded),
    ]  # fmt: skip


def spread(hourly: "pd.DataFrame", column: str) -> "tuple[F64, F64]":
    """Hours, and the 5%, 50% and 95% of worlds at each (3, hour)."""
    table = hourly.pivot_table(index="hour", columns="world", values=column)
    return table.index.to_numpy(float), np.quantile(table.to_numpy(), (0.05, 0.5, 0.95), axis=1)


def traces(x: "F64", bands: "F64", known: "pd.DataFrame", values: "F64") -> list[Json]:
    """Lines of the median world, of the range over worlds, and of the record."""
    said = (("95% of worlds", "dot", 1.0), ("median world", "solid", 2.0),
            ("5% of worlds", "dot", 1.0))  # fmt: skip
    out = [
        charts.line(charts.rounded(x), charts.rounded(band), name, charts.BLUE,
                    line={"dash": dash, "width": width, "color": charts.BLUE})
        for band, (name, dash, width) in zip(bands[::-1], said, strict=True)
    ]  # fmt: skip
    recorded = charts.line(
        charts.rounded(known.hour), charts.rounded(values), "recorded", charts.INK
    )
    return [*out, recorded]


def price(hourly: "pd.DataFrame", recorded: "pd.DataFrame") -> Chart:
    """Draw the pool's price by hour."""
    x, bands = spread(hourly, "tick")
    lines = traces(x, 1.0001**bands, recorded, 1.0001 ** recorded.tick.to_numpy())
    return Chart(
        key="usdc_price", title="Price in the pool",
        caption="USDT for one USDC at each full hour.", data=lines,
        layout=charts.layout(charts.axis(HOURS), charts.axis("USDT per USDC")),
    )  # fmt: skip


def errors(hourly: "pd.DataFrame", recorded: "pd.DataFrame") -> Chart:
    """Draw how far pool and exchange of the median world are from the recorded pool."""
    data: list[Json] = []
    for column, name, color in (("tick", "simulated pool", charts.BLUE),
                                ("outside", "exchange", charts.AMBER)):  # fmt: skip
        x, bands = spread(hourly, column)
        n = min(len(x), len(recorded))
        gap = bands[1][:n] - recorded.tick.to_numpy()[:n]
        data.append(charts.line(charts.rounded(x[:n]), charts.rounded(gap), name, color))
    return Chart(
        key="usdc_error", title="Distance from the recorded pool",
        caption="Ticks, that is basis points, of the median world; the exchange is the price that "
        "the arbitrageur pulls the pool to.",
        data=data, layout=charts.layout(charts.axis(HOURS), charts.axis("basis points")),
    )  # fmt: skip


def shares(hourly: "pd.DataFrame", recorded: "pd.DataFrame", profile: Profile) -> Chart:
    """Draw the imbalance that the profile implies."""
    x, bands = spread(hourly, "tick")
    lines = traces(x, profile.share(bands), recorded, profile.share(recorded.tick.to_numpy()))
    return Chart(
        key="usdc_share", title="USDC in the pool",
        caption="Share of USDC in the pool's worth, by the profile of liquidity before the event "
        "on both sides.",
        data=lines, layout=charts.layout(charts.axis(HOURS), charts.axis("share", range=[0, 1.02])),
    )  # fmt: skip


def depth(hourly: "pd.DataFrame", recorded: "pd.DataFrame") -> Chart:
    """Draw the liquidity that is active at the price."""
    x, bands = spread(hourly, "liquidity")
    lines = traces(x, bands, recorded, recorded.liquidity.to_numpy())
    low = min(float(recorded.liquidity.min()), float(bands.min()))
    high = max(float(recorded.liquidity.max()), float(bands.max()))
    return Chart(
        key="usdc_depth", title="Liquidity at the price",
        caption="In the contract's units. Where the recorded line leaves the simulated one, "
        "providers moved their liquidity during the event, or stood where nobody had seen them.",
        data=lines,
        layout=charts.layout(
            charts.axis(HOURS), charts.log_axis(low, high, "liquidity", lambda v: f"{v:.0e}")
        ),
    )  # fmt: skip
