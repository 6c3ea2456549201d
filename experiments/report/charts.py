"""Building blocks of figures: plain plotly.js mappings with one look.

Figures are plain data, so that writing a report needs no plotly classes and every number in the
page is one that was put there; arrays are rounded to five digits to keep the page small.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.kernel import F64

Json = dict[str, Any]

INK, MUTED, RULE = "#172033", "#526077", "#e3e8f0"
BLUE, RED, TEAL, PURPLE, AMBER, GREY = (
    "#1d5fa6", "#b91c1c", "#0f766e", "#6d28d9", "#b45309", "#64748b",
)  # fmt: skip
MAX_POINTS = 400
"""Points along one line at most; a screen shows no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure with its words."""

    key: str  # id in the page
    title: str
    caption: str
    data: list[Json]  # plotly.js traces
    layout: Json  # plotly.js layout
    height: int = 330  # pixels
    wide: bool = False  # spans both columns


def rounded(values: Any, digits: int = 5) -> list[float | None]:
    """Return numbers with a few significant digits; what is not finite becomes a gap (None)."""
    array = np.asarray(values, dtype=np.float64)
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in array.ravel()]


def thin(n: int, most: int = MAX_POINTS) -> Any:
    """Return indices of at most `most` of n points, evenly spread, the last one included."""
    if n <= most:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, most).round().astype(np.int64))


def axis(title: str = "", **more: Any) -> Json:
    """Axis in the look of the page."""
    base: Json = {
        "title": {"text": title, "standoff": 8, "font": {"size": 13, "color": MUTED}},
        "gridcolor": RULE,
        "linecolor": "#b8c2d0",
        "zeroline": False,
        "automargin": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#b8c2d0",
    }
    base.update(more)
    return base


def usd_axis(title: str = "", **more: Any) -> Json:
    """Linear axis of dollar amounts: $0, $5M, $10M."""
    shape: Json = {
        "tickprefix": "$", "exponentformat": "B", "minexponent": 3, "hoverformat": "$,.3s",
    }  # fmt: skip
    shape.update(more)
    return axis(title, **shape)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten that span a range with at most `most` ticks."""
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0, 20.0) if span / (s * power) < most)
    return [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks at 1, 2, 5 or at decades, so many that three to eight fall into the range."""
    span = math.log10(high / low)
    steps = (1.0, 2.0, 5.0) if span < 1.9 else (1.0, 3.0) if span < 2.8 else (1.0,)
    every = 1 if span < 6.0 else 2
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [s * 10.0**d for d in decades if d % every == 0 for s in steps]
    return [t for t in ticks if 0.75 * low <= t <= 1.35 * high]


def log_axis(low: float, high: float, title: str, show: Callable[[float], str]) -> Json:
    """Logarithmic axis over a range, its ticks written by `show`."""
    ticks = log_ticks(low, high)
    pad = 0.03 * math.log10(high / low) + 0.02
    return axis(
        title, type="log", tickvals=ticks, ticktext=[show(t) for t in ticks],
        range=[math.log10(low) - pad, math.log10(high) + pad],
    )  # fmt: skip


def layout(x: Json, y: Json, **more: Any) -> Json:
    """Layout in the look of the page, legend above the plot."""
    base: Json = {
        "font": {
            "family": 'system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif',
            "size": 13,
            "color": INK,
        },
        "margin": {"l": 12, "r": 16, "t": 12, "b": 12},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "hoverlabel": {"bgcolor": "#fff", "font": {"color": INK, "size": 13}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "xanchor": "left"},
        "xaxis": x,
        "yaxis": y,
    }
    base.update(more)
    return base


def line(x: Sequence[Any], y: Any, name: str, color: str, **more: Any) -> Json:
    """Line trace."""
    shape = {"color": color, "width": 2, **more.pop("line", {})}
    return {
        "type": "scatter", "mode": "lines", "x": list(x), "y": rounded(y), "name": name,
        "line": shape, **more,
    }  # fmt: skip


def tint(color: str, opacity: float) -> str:
    """Return a colour with opacity, from #rrggbb."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def fan(
    x: Sequence[Any], bands: F64, color: str = BLUE, shape: str = "linear", form: str = ",.4~g"
) -> list[Json]:
    """Bands of 5 to 95% and 25 to 75% and the median.

    Parameters
    ----------
    x : sequence, length T
        Times.
    bands : ndarray, shape (5, T)
        The 5, 25, 50, 75 and 95% quantiles over worlds.
    color, shape, form : str
        Colour, plotly's line shape, and d3 format of the hover text.
    """
    traces: list[Json] = []
    for low, high, opacity, name in ((0, 4, 0.16, "5–95%"), (1, 3, 0.28, "25–75%")):
        for i, fill in ((low, "none"), (high, "tonexty")):
            traces.append(
                line(
                    x, bands[i], name, color, fill=fill, fillcolor=tint(color, opacity),
                    showlegend=fill != "none", legendgroup=name,
                    line={"width": 0, "shape": shape},
                    hovertemplate=f"{(5, 25, 50, 75, 95)[i]}%: %{{y:{form}}}<extra></extra>",
                )
            )  # fmt: skip
    middle = {"shape": shape}
    hover = f"median: %{{y:{form}}}<extra></extra>"
    traces.append(line(x, bands[2], "median", color, line=middle, hovertemplate=hover))
    return traces


def vertical(x: float, label: str, color: str, high: float, dash: str = "solid") -> Json:
    """Vertical line that has a name in the legend."""
    return {
        "type": "scatter", "mode": "lines", "x": [x, x], "y": [0, high], "name": label,
        "line": {"color": color, "width": 2, "dash": dash},
        "hovertemplate": f"{label}<extra></extra>",
    }  # fmt: skip


def bins(values: F64, most: int = 40) -> tuple[F64, bool]:
    """Edges of a histogram and whether they are spaced by factors.

    Losses that span more than a factor of 30 between the 2nd and 98th percentile need them.
    """
    positive = bool(values.min() > 0.0)
    low, high = np.quantile(values, (0.02, 0.98))
    n = int(np.clip(2.0 * values.size ** (1.0 / 3.0), 8, most))
    if positive and high > 30.0 * low:
        return np.geomspace(values.min(), values.max() * (1 + 1e-9), n + 1), True
    top = values.max() if values.max() > values.min() else values.min() + max(abs(low), 1.0) * 1e-3
    return np.linspace(values.min(), top, n + 1), False


def bars(values: F64, edges: F64, color: str, label: str, form: str = "$,.3s") -> Json:
    """Histogram, counted here so that the page holds bins and not worlds.

    Each bar is a closed outline, which has the right width on a logarithmic axis too.
    """
    counts, _ = np.histogram(values, edges)
    xs = np.repeat(edges, 2)
    ys = np.concatenate([[0.0], np.repeat(counts, 2), [0.0]])
    return {
        "type": "scatter", "mode": "lines", "x": rounded(xs, 6), "y": rounded(ys),
        "fill": "tozeroy", "fillcolor": tint(color, 0.35), "line": {"color": color, "width": 1},
        "name": label, "hovertemplate": f"%{{x:{form}}}: %{{y}} worlds<extra></extra>",
    }  # fmt: skip


def annotation(x: float, y: float, label: str, **more: Any) -> Json:
    """Text at a place given as shares of the plot, without arrow."""
    base: Json = {
        "x": x, "y": y, "xref": "paper", "yref": "paper", "text": label, "showarrow": False,
        "font": {"size": 13, "color": MUTED}, "xanchor": "left", "yanchor": "bottom",
    }  # fmt: skip
    base.update(more)
    return base


def error_bars(
    low: Sequence[float], mid: Sequence[float], high: Sequence[float]
) -> Mapping[str, Any]:
    """Asymmetric error bars from ends."""
    return {
        "type": "data", "symmetric": False, "thickness": 1.6, "width": 5, "color": INK,
        "array": rounded(np.subtract(high, mid)), "arrayminus": rounded(np.subtract(mid, low)),
    }  # fmt: skip


def percent_format(values: F64) -> str:
    """Tick format of a percentage axis with digits enough that no two ticks read alike."""
    finite = values[np.isfinite(values)]
    spread = float(np.ptp(finite)) if finite.size else 1.0
    if spread > 0.05:
        return ".0%"
    return ".1%" if spread > 0.005 else ".2%"
