"""Charts of Compound's DAI liquidations: the price that the oracle took over, and whom it hit."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from experiments.report.charts import (
    AMBER,
    BLUE,
    GREY,
    PURPLE,
    RED,
    TEAL,
    Chart,
    Json,
    axis,
    fan,
    layout,
    line,
)  # fmt: skip
from sim.kernel import F64

if TYPE_CHECKING:
    import pandas as pd

    from experiments.history.event import Documented

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
COLOURS = {"DAI": AMBER, "USDC": BLUE, "WETH": PURPLE, "WBTC": TEAL}


def charts(
    tables: "Mapping[str, pd.DataFrame]", known: "Mapping[str, Documented]"
) -> "list[Chart]":
    """All charts of the event."""
    return [
        _prices(tables["series"], known),
        _repaid(tables["series"], tables["calls"], known),
        _health(),
        _losses(tables["calls"]),
    ]


def bands(series: "pd.DataFrame", column: str) -> tuple[list[str], F64]:
    """Return times, and the quantiles (5, time) of a column over worlds."""
    table = series.pivot(index="time", columns="world", values=column).sort_index()
    times = [moment.strftime("%Y-%m-%d %H:%M:%S") for moment in table.index]
    return times, np.quantile(table.to_numpy(np.float64), QUANTILES, axis=1)


def level(times: list[str], value: float, name: str) -> Json:
    """Horizontal line of what is documented."""
    return line(
        [times[0], times[-1]], [value, value], name, GREY, line={"dash": "dash", "width": 1.5}
    )


def _prices(series: "pd.DataFrame", known: "Mapping[str, Documented]") -> Chart:
    times, oracle = bands(series, "oracle_DAI")
    _, market = bands(series, "price_DAI")
    data = [
        line(times, oracle[2], "the protocol's oracle", RED),
        line(times, market[2], "market", BLUE),
    ]
    high = known.get("oracle_high")
    if high is not None and high.value is not None:
        data.append(level(times, high.value, "documented high of the oracle"))
    return Chart(
        key="prices", title="Price of DAI, median world",
        caption="The oracle follows Coinbase Pro up to a quarter above the half-hour average of "
        "the market; what lies beyond is refused and the last price stays.",
        data=data, layout=layout(axis(type="date"), axis("USD")),
    )  # fmt: skip


def _repaid(
    series: "pd.DataFrame", calls: "pd.DataFrame", known: "Mapping[str, Documented]"
) -> Chart:
    import pandas as pd

    times = np.sort(series.time.unique())
    worlds = np.sort(series.world.unique())
    totals = np.zeros((len(worlds), len(times)))
    for i, world in enumerate(worlds):
        mine = calls[calls.world == world].sort_values("time")
        counts = np.searchsorted(mine.time.to_numpy(times.dtype), times)
        totals[i] = np.concatenate([[0.0], np.cumsum(mine.repaid_dai)])[counts]
    labels = [pd.Timestamp(t).strftime("%Y-%m-%d %H:%M:%S") for t in times]
    data = fan(labels, np.quantile(totals, QUANTILES, axis=0), form=",.3s")
    it = known.get("liquidated_dai")
    if it is not None and it.value is not None:
        data.append(level(labels, it.value, "documented"))
    return Chart(
        key="repaid", title="DAI repaid by liquidators so far",
        caption="The step is the one large farmer; the slope is everybody who owed DAI against "
        "other assets.",
        data=data, layout=layout(axis(type="date"), axis("DAI", exponentformat="B")),
    )  # fmt: skip


def _health() -> Chart:
    """Health against the price for shares of DAI in the collateral, from the closed form."""
    prices = np.linspace(1.0, 1.3, 61)
    data = [
        line(
            prices.tolist(), 1.05 * (share + (1.0 - share) * prices[0] / prices),
            f"{share:.0%} DAI", colour, hovertemplate="%{y:.3f}",
        )
        for share, colour in ((1.0, AMBER), (0.5, RED), (0.0, PURPLE))
    ]  # fmt: skip
    data.append(line([1.0, 1.3], [1.0, 1.0], "liquidation", GREY, line={"dash": "dash"}))
    return Chart(
        key="health", title="Health of a DAI debt by the share of DAI in its collateral",
        caption="From health 1.05 at a price of 1. Who holds nothing but DAI cannot be hit by its "
        "price: it stands on both sides. Half of it, as the large farmer, is liquidated at 1.11.",
        data=data, layout=layout(axis("price of DAI, USD"), axis("health factor")),
    )  # fmt: skip


def _losses(calls: "pd.DataFrame") -> Chart:
    shown = calls[calls.world.isin(np.sort(calls.world.unique())[:5])]
    data: list[Json] = []
    for asset, colour in COLOURS.items():
        mine = shown[shown.collateral == asset]
        if len(mine):
            data.append({
                "type": "scatter", "mode": "markers", "name": f"{asset} seized",
                "x": [moment.strftime("%Y-%m-%d %H:%M:%S") for moment in mine.time],
                "y": (mine.seized_usd / mine.repaid_usd - 1.0).round(4).tolist(),
                "marker": {"color": colour, "size": 5, "opacity": 0.6},
                "hovertemplate": "%{y:.1%}",
            })  # fmt: skip
    return Chart(
        key="losses", title="What a call cost the borrower, at market prices",
        caption="Collateral seized over debt repaid, less one; the first five worlds. The rules "
        "take 8%. The oracle's premium over the market comes on top unless the collateral is DAI.",
        data=data, layout=layout(axis(type="date"), axis("share of the debt", tickformat=".0%")),
    )  # fmt: skip
