"""Charts of Maker's auctions of March 2020: simulated worlds beside the recorded half sample."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.history.maker_data import HALF, ZERO
from experiments.report import charts
from experiments.report.charts import Chart, Json
from experiments.tables import unix_time
from sim.kernel import F64

if TYPE_CHECKING:
    import pandas as pd

BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)
FEWEST = 5  # auctions in an hour that a share or a median is drawn from
DOCUMENTED = 5.67e6  # DAI, unbacked in the end
SPOKEN = {"hour": 17.5, "unbacked": 4e6, "debt": 1e8}  # the governance call of 12 March
EDGES = np.linspace(-0.1, 1.0, 23)
Column = Callable[["pd.DataFrame"], float]


def by_hour(
    auctions: "pd.DataFrame", begin: float, hours: int, measure: Column, least: int = 1
) -> F64:
    """Measure the auctions whose last bid fell into each hour; nan where they are too few."""
    found = np.full(hours, np.nan)
    place = ((auctions["time"] - begin) // 3600.0).astype(int)
    for hour, rows in auctions.groupby(place):
        if 0 <= hour < hours and len(rows) >= least:
            found[hour] = measure(rows)
    return found


def zero_share(rows: "pd.DataFrame") -> float:
    """Share of auctions that were won for nothing."""
    return float((rows["paid"] < ZERO).mean())


def eth(rows: "pd.DataFrame") -> float:
    """ETH sold."""
    return float(rows["lot"].sum())


def gas_of(rows: "pd.DataFrame") -> float:
    """Median gas price of the deals, gwei."""
    return float(rows["gas"].median())


def charts_of(
    tables: Mapping[str, "pd.DataFrame"], recorded: "pd.DataFrame", start: str, hours: float
) -> list[Chart]:
    """Every chart; `tables` as `MakerMarch2020.simulate` wrote them."""
    begin, n = unix_time(start, "start"), int(np.ceil(hours))
    auctions, series, worlds = tables["auctions"], tables["series"], tables["worlds"]
    ids = np.sort(worlds["world"].to_numpy())
    each = [auctions[auctions["world"] == w] for w in ids]
    hourly = _Hourly(each, recorded, begin, n)
    return [
        hourly.chart(
            "zero", "Auctions won for nothing, per hour of the last bid", zero_share,
            "Share of the auctions whose winning bid was under 1 DAI. Hours with fewer than "
            f"{FEWEST} auctions are left out. The recorded share falls at 14:00 and after 17:00, "
            "when keepers had raised their gas prices and brought DAI; the simulated keepers are "
            "those of the weeks before, and do neither.",
            "share of auctions", least=FEWEST, tickformat=".0%", rangemode="tozero",
        ),
        hourly.chart(
            "lots", "ETH auctioned, per hour of the last bid", eth,
            "Of auctions that ended; the recorded half sample counts twice. What is put up follows "
            "from the published book, the recorded oracle and how fast owners of vaults react.",
            "ETH per hour", scale=HALF, empty=0.0, rangemode="tozero",
        ),
        _unbacked(series, begin),
        _discounts(each, recorded),
        _bid_counts(each, recorded),
        hourly.chart(
            "gas", "Gas price at which auctions were dealt", gas_of,
            "Median per hour of the last bid, gwei. The simulated one is that of keepers who bid a "
            "tenth over what the last block cleared at.",
            "gwei", least=FEWEST, rangemode="tozero",
        ),
        _debt(series, begin),
    ]  # fmt: skip


def quantiles(rows: F64) -> F64:
    """Quantiles over worlds, shape (5, T), of rows (world, T) that may have gaps."""
    out = np.full((len(BANDS), rows.shape[1]), np.nan)
    some = np.isfinite(rows).sum(axis=0) * 2 > rows.shape[0]  # in most worlds
    if some.any():
        out[:, some] = np.nanquantile(rows[:, some], BANDS, axis=0)
    return out


class _Hourly:
    """What happened per hour, in every world and as recorded."""

    def __init__(
        self, each: "list[pd.DataFrame]", recorded: "pd.DataFrame", begin: float, hours: int
    ) -> None:
        self.each, self.recorded, self.begin, self.hours = each, recorded, begin, hours
        self.x = times(np.asarray(begin + 3600.0 * (np.arange(hours) + 0.5), np.float64))

    def chart(
        self, key: str, title: str, measure: Column, caption: str, y_title: str, *,
        least: int = 1, scale: float = 1.0, empty: float = np.nan, **more: Any,
    ) -> Chart:  # fmt: skip
        rows = np.stack([by_hour(it, self.begin, self.hours, measure, least) for it in self.each])
        seen = scale * by_hour(self.recorded, self.begin, self.hours, measure, least)
        rows, seen = (np.where(np.isfinite(it), it, empty) for it in (rows, seen))
        low, mid, high = quantiles(rows)[[0, 2, 4]]
        x = self.x
        its: Json = {
            "type": "scatter", "mode": "markers", "x": x, "y": charts.rounded(mid),
            "name": "simulated, median and 5 to 95% of worlds",
            "marker": {"color": charts.BLUE, "size": 7},
            "error_y": {**charts.error_bars(low, mid, high), "color": charts.BLUE},
            "hovertemplate": "simulated: %{y:.3~g}<extra></extra>",
        }  # fmt: skip
        known = charts.line(
            x, seen, "recorded", charts.INK, mode="lines+markers",
            hovertemplate="recorded: %{y:.3~g}<extra></extra>",
        )  # fmt: skip
        return Chart(
            key=key, title=title, caption=caption, data=[known, its],
            layout=charts.layout(charts.axis(type="date"), charts.axis(y_title, **more)),
        )  # fmt: skip


def times(seconds: F64) -> list[str]:
    """Unix seconds as plotly reads them, UTC."""
    return [datetime.fromtimestamp(float(t), UTC).strftime("%Y-%m-%d %H:%M") for t in seconds]


def _fan_of(series: "pd.DataFrame", column: str, scale: float) -> tuple[list[Json], float]:
    wide = series.pivot_table(index="time", columns="world", values=column)
    bands = np.quantile(wide.to_numpy(), BANDS, axis=1) * scale
    keep = charts.thin(bands.shape[1])
    at = np.asarray(wide.index, np.float64)[keep]
    return charts.fan(times(at), bands[:, keep]), float(bands.max())


def _said(hour: float, begin: float, value: float, label: str) -> Json:
    return {
        "type": "scatter", "mode": "markers", "x": times(np.array([begin + 3600.0 * hour])),
        "y": [value], "name": label, "marker": {"color": charts.INK, "size": 10},
        "hovertemplate": f"{label}: %{{y:.3~g}}<extra></extra>",
    }  # fmt: skip


def _unbacked(series: "pd.DataFrame", begin: float) -> Chart:
    data, _ = _fan_of(series, "unbacked_dai", 1e-6)
    end = float(series["time"].max())
    data += [
        _said(SPOKEN["hour"], begin, SPOKEN["unbacked"] / 1e6, "said in the call of 12 March"),
        charts.line(
            times(np.array([begin, end])), [DOCUMENTED / 1e6] * 2, "documented, in the end",
            charts.INK, line={"dash": "dash"},
        ),
    ]  # fmt: skip
    return Chart(
        key="unbacked", title="Unbacked debt over time",
        caption=(
            "Debt of the system beyond its surplus and what running auctions may still bring. The "
            "point is what the governance call of 12 March mentioned while it happened (4 million, "
            "about 17:30 UTC), the line what was reported on the 14th."
        ),
        data=data,
        layout=charts.layout(
            charts.axis(type="date"), charts.axis("million DAI", rangemode="tozero")
        ),
    )  # fmt: skip


def _debt(series: "pd.DataFrame", begin: float) -> Chart:
    data, _ = _fan_of(series, "debt_dai", 1e-6)
    data.append(_said(SPOKEN["hour"], begin, SPOKEN["debt"] / 1e6, "said in the call of 12 March"))
    return Chart(
        key="debt", title="Debt of all vaults",
        caption=(
            "What owners repay and auctions take. The point: 50 million of the ceiling of 150 "
            "million were empty, said the governance call of 12 March."
        ),
        data=data, layout=charts.layout(charts.axis(type="date"), charts.axis("million DAI")),
    )  # fmt: skip


def _outline(values: F64, edges: F64, color: str, name: str, fill: float) -> Json:
    """Shares of values between edges, as one outline."""
    inside = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
    counts, _ = np.histogram(inside, edges)
    share = counts / max(counts.sum(), 1)
    return {
        "type": "scatter", "mode": "lines", "x": charts.rounded(np.repeat(edges, 2)),
        "y": charts.rounded(np.concatenate([[0.0], np.repeat(share, 2), [0.0]])),
        "name": name, "line": {"color": color, "width": 2}, "fill": "tozeroy",
        "fillcolor": charts.tint(color, fill),
        "hovertemplate": f"{name}: %{{y:.1%}}<extra></extra>",
    }  # fmt: skip


def _discounts(each: "list[pd.DataFrame]", recorded: "pd.DataFrame") -> Chart:
    bids = [it["discount"][it["paid"] >= ZERO].to_numpy() for it in each]
    simulated = np.concatenate([np.zeros(0), *bids])
    seen = recorded["discount"][recorded["paid"] >= ZERO].to_numpy()
    return Chart(
        key="discounts", title="Discount of the winning bids that were not zero",
        caption=(
            "To the market price at the last bid, all worlds together. The simulated keepers bid "
            "with the margin of the weeks before, whatever the day: that the recorded ones asked "
            "for a fifth and more is a fact that this model does not have."
        ),
        data=[
            _outline(simulated, EDGES, charts.BLUE, "simulated", 0.25),
            _outline(seen, EDGES, charts.INK, "recorded", 0.08),
        ],
        layout=charts.layout(
            charts.axis("discount", tickformat=".0%"),
            charts.axis("share of auctions", tickformat=".0%", rangemode="tozero"),
        ),
    )  # fmt: skip


def _bid_counts(each: "list[pd.DataFrame]", recorded: "pd.DataFrame") -> Chart:
    counts = np.arange(1, 8)

    def share(bids: F64) -> F64:
        capped = np.minimum(bids, counts[-1])
        return np.array([(capped == k).mean() if len(bids) else np.nan for k in counts])

    rows = quantiles(np.stack([share(it["bids"].to_numpy()) for it in each]))
    names = [*(str(k) for k in counts[:-1]), f"{counts[-1]} or more"]
    low, mid, high = rows[0], rows[2], rows[4]
    bars: Json = {
        "type": "bar", "x": names, "y": charts.rounded(mid), "name": "simulated, median world",
        "marker": {"color": charts.BLUE}, "error_y": charts.error_bars(low, mid, high),
        "hovertemplate": "%{x}: %{y:.1%}<extra></extra>",
    }  # fmt: skip
    seen: Json = {
        "type": "bar", "x": names, "y": charts.rounded(share(recorded["bids"].to_numpy())),
        "name": "recorded", "marker": {"color": charts.GREY},
        "hovertemplate": "%{x}: %{y:.1%}<extra></extra>",
    }  # fmt: skip
    return Chart(
        key="bids", title="Bids per auction",
        caption="Share of auctions by the number of bids, with the 5 to 95% range of worlds.",
        data=[bars, seen],
        layout=charts.layout(
            charts.axis("bids", type="category"), charts.axis("share", tickformat=".0%"),
            barmode="group",
        ),
    )  # fmt: skip
