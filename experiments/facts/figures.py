"""One small figure for each kind of fact, recorded and simulated markets laid over each other."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.facts.study import Market
from experiments.report import charts
from experiments.report.charts import Chart, Json
from experiments.report.words import number
from sim.kernel import F64
from sim.metrics.fact_curves import Curves

_COLORS = (
    charts.BLUE, charts.RED, charts.TEAL, charts.PURPLE, charts.AMBER, "#be185d", "#4d7c0f",
    "#0369a1", "#92400e", "#7e22ce",
)  # fmt: skip
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
GUIDE = "#94a3b8"


def styles(markets: Sequence[Market]) -> dict[str, tuple[str, str]]:
    """Colour and dash of each market: recorded ones are black and tell apart by their dashes."""
    out, n_real, n_simulated = {}, 0, 0
    for market in markets:
        if market.is_simulated:
            out[market.name] = _COLORS[n_simulated % len(_COLORS)], "solid"
            n_simulated += 1
        else:
            out[market.name] = charts.INK, _DASHES[n_real % len(_DASHES)]
            n_real += 1
    return out


def _guide(x: F64, y: F64, label: str) -> Json:
    """Draw a reference that is no market: a law to compare with."""
    return {
        "type": "scatter", "mode": "lines", "x": charts.rounded(x), "y": charts.rounded(y),
        "name": label, "line": {"color": GUIDE, "width": 5}, "opacity": 0.45,
        "hovertemplate": f"{label}<extra></extra>",
    }  # fmt: skip


def _slope(x: F64, at: float, level: float, power: float, label: str) -> Json:
    return _guide(x, level * (x / at) ** power, label)


class Overlay:
    """Lines of one curve of every market that has it."""

    def __init__(self, markets: Sequence[Market], name: str, *, floor: float | None = 0.0) -> None:
        self.traces: list[Json] = []
        self.low, self.high = math.inf, -math.inf
        self.left, self.right = math.inf, -math.inf
        look = styles(markets)
        # Populations first: the recorded markets lie on top.
        for market in sorted(markets, key=lambda it: not it.is_simulated):
            if name not in market.curves:
                continue
            x, y = market.curves[name]
            known = np.isfinite(y) & (floor is None or y > floor)
            if known.sum() < 2:
                continue
            self._add(market, x, np.where(known, y, np.nan), look[market.name])

    def _add(self, market: Market, x: F64, y: F64, look: tuple[str, str]) -> None:
        known = np.isfinite(y)
        self.low, self.high = min(self.low, float(y[known].min())), max(self.high, y[known].max())
        self.left = min(self.left, float(x[known].min()))
        self.right = max(self.right, float(x[known].max()))
        color, dash = look
        self.traces.append(
            charts.line(
                charts.rounded(x), y, market.name, color,
                line={"dash": dash, "width": 1.8},
                hovertemplate=f"{market.name}<br>%{{x:.3~g}}: %{{y:.3~g}}<extra></extra>",
            )
        )  # fmt: skip

    def chart(
        self, key: str, title: str, caption: str, x_title: str, y_title: str, *guides: Json,
        log_x: bool = True, log_y: bool = True, **more: Any,
    ) -> Chart | None:  # fmt: skip
        """Lay out; None where no market has the curve."""
        if not self.traces:
            return None
        x = self._axis(log_x, self.left, self.right, x_title)
        y = self._axis(log_y, self.low, self.high, y_title)
        layout = charts.layout(x, y, showlegend=False, **more)
        return Chart(
            key=key, title=title, caption=caption, data=[*guides, *self.traces], layout=layout,
            height=340,
        )  # fmt: skip

    def _axis(self, is_log: bool, low: float, high: float, title: str) -> Json:
        if is_log and high > low > 0.0:
            return charts.log_axis(low, high, title, number)
        return charts.axis(title)


def fitted(markets: Sequence[Market], fact: str, symbol: str) -> str:
    """Exponents in words, those that could be fitted."""
    known = [
        f"{market.name.split(' (')[0]} {number(market.facts[fact].value)}"
        for market in markets
        if math.isfinite(market.facts[fact].value) and market.curves
    ]
    return f" Fitted {symbol}: {', '.join(known)}." if known else ""


def all_figures(markets: Sequence[Market]) -> list[Chart]:
    """Every figure that at least one market has data for."""
    makers: tuple[Callable[[Sequence[Market]], Chart | None], ...] = (
        _kurtosis, _tail_1s, _tail_60s, _absolute_acf, _return_acf, _sign_acf, _gaps, _sizes,
        _impact, _depth, _spreads,
    )  # fmt: skip
    return [chart for make in makers if (chart := make(markets)) is not None]


def _kurtosis(markets: Sequence[Market]) -> Chart | None:
    it = Overlay(markets, "kurtosis", floor=0.1)
    return it.chart(
        "kurtosis", "Returns become more normal with the horizon",
        "Excess kurtosis of mid returns; a normal distribution has 0. Gaps: fewer than 75 returns, "
        "or less than 0.1.",
        "horizon (s)", "excess kurtosis",
    )  # fmt: skip


def _tail(markets: Sequence[Market], horizon: str, title: str) -> Chart | None:
    it = Overlay(markets, f"tail_{horizon}")
    x = np.geomspace(0.2, 5.0, 60)
    normal = np.array([math.erfc(value / math.sqrt(2.0)) for value in x])
    guides = [_guide(x, np.where(normal > 1e-5, normal, np.nan), "normal distribution")]
    if it.right > 6.0:
        far = np.geomspace(3.0, min(it.right, 30.0), 10)
        guides.append(_slope(far, 3.0, 0.05, -3.0, "exponent 3"))
    fact = "tail_1s" if horizon == "1s" else ""
    return it.chart(
        f"tail-{horizon}", title,
        "Share of |returns| beyond x standard deviations. Grey: the normal distribution and the "
        "slope of an inverse cubic law." + (fitted(markets, fact, "tail index") if fact else ""),
        "|return| (standard deviations)", "share beyond", *guides,
    )  # fmt: skip


def _tail_1s(markets: Sequence[Market]) -> Chart | None:
    return _tail(markets, "1s", "Large 1 s returns are far from normal")


def _tail_60s(markets: Sequence[Market]) -> Chart | None:
    return _tail(markets, "60s", "60 s returns are closer to normal")


def _absolute_acf(markets: Sequence[Market]) -> Chart | None:
    it = Overlay(markets, "absolute_acf", floor=1e-3)
    lags = np.geomspace(1.0, 600.0, 20)
    return it.chart(
        "absolute-acf", "Volatility has a long memory",
        "Autocorrelation of 1 s |returns| in bins of lags; bins below 0.001 are gaps. Grey: the "
        "slope of exponent 0.3." + fitted(markets, "absolute_decay", "exponent"),
        "lag (s)", "autocorrelation of |r|", _slope(lags, 1.0, 0.2, -0.3, "exponent 0.3"),
    )  # fmt: skip


def _return_acf(markets: Sequence[Market]) -> Chart | None:
    it = Overlay(markets, "return_acf", floor=None)
    zero = _guide(np.array([1.0, 30.0]), np.zeros(2), "no memory")
    return it.chart(
        "return-acf", "Returns have no memory beyond the shortest lags",
        "Autocorrelation of 1 s mid returns, linear axes. A few minutes of data scatter widely.",
        "lag (s)", "autocorrelation of r", zero, log_x=False, log_y=False,
    )  # fmt: skip


def _sign_acf(markets: Sequence[Market]) -> Chart | None:
    it = Overlay(markets, "sign_acf", floor=1e-3)
    lags = np.geomspace(1.0, 600.0, 20)
    return it.chart(
        "sign-acf", "Buyers follow buyers, for a long time",
        "Autocorrelation of the signs of market orders in bins of lags; bins below 0.001 are "
        "gaps. Grey: the slope of exponent 0.6." + fitted(markets, "sign_decay", "exponent"),
        "lag (market orders)", "autocorrelation of signs",
        _slope(lags, 1.0, 0.5, -0.6, "exponent 0.6"),
    )  # fmt: skip


def _gaps(markets: Sequence[Market]) -> Chart | None:
    it = Overlay(markets, "gaps")
    x = np.geomspace(1e-3, 12.0, 80)
    return it.chart(
        "gaps", "Market orders come in bursts",
        "Share of waiting times between market orders beyond x times their mean. Grey: a Poisson "
        "clock." + fitted(markets, "gap_variation", "deviation over mean"),
        "waiting time (means)", "share beyond", _guide(x, np.exp(-x), "Poisson clock"),
    )  # fmt: skip


def _sizes(markets: Sequence[Market]) -> Chart | None:
    it = Overlay(markets, "sizes")
    x = np.geomspace(2.0, max(min(it.right, 100.0), 3.0), 10) if it.traces else np.ones(2)
    return it.chart(
        "sizes", "Sizes of market orders have heavy tails",
        "Share of market orders larger than x times their mean. Grey: the slope of exponent 1.5."
        + fitted(markets, "size_tail", "tail index"),
        "size (means)", "share beyond", _slope(x, 2.0, 0.15, -1.5, "exponent 1.5"),
    )  # fmt: skip


def _impact(markets: Sequence[Market]) -> Chart | None:
    it = Overlay(markets, "impact")
    x = np.geomspace(0.1, 20.0, 10)
    level = math.sqrt(it.low * it.high) if it.traces else 1.0
    proxies = [
        market.name.split(" (")[0]
        for market in markets
        if market.curves and "proxy" in market.facts["metaorder_impact"].remark
    ]
    words = f" Proxy, runs of orders of one sign: {', '.join(proxies)}." if proxies else ""
    return it.chart(
        "impact", "Impact of metaorders is concave",
        "Mean move of the mid in the direction of a metaorder; means at or below 0 are gaps. Grey: "
        "the slope of a square root." + fitted(markets, "metaorder_impact", "exponent") + words,
        "size (means)", "move (standard deviations of 1 s)",
        _slope(x, 1.0, level, 0.5, "square root"),
    )  # fmt: skip


def _depth(markets: Sequence[Market]) -> Chart | None:
    shown = [market for market in markets if _has_depth(market.curves)]
    it = Overlay(shown, "depth", floor=0.01)
    return it.chart(
        "depth", "Depth by distance behind the touch",
        "Mean size over its mean in the five bins behind the touch; the first point is the touch. "
        "Distance in ticks for populations and LOBSTER, in basis points for Binance; files of few "
        "levels end where fewer than a fifth of the samples see. Below 0.01: gaps.",
        "distance behind the touch (ticks or bp)", "relative size", log_x=False,
    )  # fmt: skip


def _has_depth(found: Curves) -> bool:
    return "depth" in found and len(found["depth"][0]) > 0


def _spreads(markets: Sequence[Market]) -> Chart | None:
    it = Overlay(markets, "spreads", floor=1e-5)
    return it.chart(
        "spreads", "Spread",
        "Share of time at each spread, gaps below 0.00001; the last point holds all wider ones.",
        "spread (ticks)", "share of time", log_x=False,
    )  # fmt: skip
