"""Figures of a contest: intervals, distributions, holdings against price and time, worst paths."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.hedging.contest import Contest
from experiments.report import charts
from experiments.report.charts import Chart
from sim.kernel import F64

Json = dict[str, Any]
COLORS = (charts.RED, charts.BLUE, charts.TEAL, charts.PURPLE, charts.AMBER, charts.GREY)
SCALE = [[0.0, "#f5f7fb"], [0.5, "#8fb3d9"], [1.0, "#123f73"]]
CHANGE = [[0.0, "#b45309"], [0.5, "#ffffff"], [1.0, "#1d5fa6"]]
NOWHERE = "#dfe1e6"  # behind a map: where no path came


def title_of(contest: Contest, name: str) -> str:
    """Title of a hedger."""
    return str(contest.summary["hedgers"][name]["title"])


def intervals(contest: Contest) -> Chart:
    """Objective of every hedger less that of the best classical one."""
    names = [name for name in contest.summary["hedgers"] if name != contest.summary["best"]]
    found = [contest.summary["hedgers"][name]["differences"]["objective"] for name in names]
    mid = [it["value"] for it in found]
    bars = charts.error_bars([it["low_95"] for it in found], mid, [it["high_95"] for it in found])
    trace = {
        "type": "scatter", "mode": "markers", "x": charts.rounded(mid),
        "y": [title_of(contest, name) for name in names], "error_x": bars,
        "marker": {"size": 9, "color": [
            charts.RED if contest.summary["hedgers"][name]["learned"] else charts.BLUE
            for name in names
        ]},
        "hovertemplate": "%{y}: %{x:+.2f}<extra></extra>",
    }  # fmt: skip
    layout = charts.layout(
        charts.axis(f"{contest.summary['objective']}, difference in %", zeroline=True,
                    zerolinecolor=charts.INK),
        charts.axis(autorange="reversed"), showlegend=False,
    )  # fmt: skip
    best = title_of(contest, contest.summary["best"])
    return Chart(
        key="intervals", title=f"Against the best classical hedge: {best}",
        caption="Left of the line is better. 95% intervals of a bootstrap over paths, paired: all "
        "hedgers face the same ones. Red: learned.",
        data=[trace], layout=layout, height=120 + 42 * len(names), wide=True,
    )  # fmt: skip


def distribution(contest: Contest, names: Sequence[str]) -> Chart:
    """Distribution of costs."""
    costs = {name: 100.0 * contest.costs[name] for name in names}
    together = np.concatenate(list(costs.values()))
    low, high = np.quantile(together, (0.0005, 0.9995))
    edges = np.linspace(low, high, 61)
    traces = [
        charts.bars(np.clip(values, low, high), edges, COLORS[i], title_of(contest, name), ".0f")
        for i, (name, values) in enumerate(costs.items())
    ]
    for trace in traces:
        trace["hovertemplate"] = "%{x:.0f}%: %{y} paths<extra></extra>"
    layout = charts.layout(
        charts.axis("cost of a path, % of the premium"), charts.axis("paths")
    )  # fmt: skip
    return Chart(
        key="distribution", title="What paths cost",
        caption="Loss of the hedged book with all costs; the outermost bars hold what is beyond.",
        data=traces, layout=layout,
    )  # fmt: skip


def tail(contest: Contest, names: Sequence[str]) -> Chart:
    """Cost that a share of the paths exceeds, down to the worst ones."""
    n = len(contest.final)
    share = np.geomspace(0.5, 1.0 / n, 60)
    traces = []
    for i, name in enumerate(names):
        ranked = np.sort(100.0 * contest.costs[name])[::-1]
        place = np.minimum((share * n).astype(np.int64), n - 1)
        traces.append(charts.line(
            charts.rounded(100.0 * share), charts.rounded(ranked[place]), title_of(contest, name),
            COLORS[i], hovertemplate="%{x:.3~g}% of paths cost more than %{y:.0f}%<extra></extra>",
        ))  # fmt: skip
    ticks = [50.0, 10.0, 1.0, 0.1, 0.01, 0.001]
    layout = charts.layout(
        charts.axis("share of paths that cost more", type="log", autorange="reversed",
                    tickvals=ticks, ticktext=[f"{tick:g}%" for tick in ticks]),
        charts.axis("cost, % of the premium"),
    )  # fmt: skip
    return Chart(
        key="tail", title="How bad it gets",
        caption="To the right are the rare, bad paths; where a line is above another, its hedger "
        "loses more there.",
        data=traces, layout=layout,
    )  # fmt: skip


def by_final_price(contest: Contest, names: Sequence[str]) -> Chart:
    """Mean cost by where the price ended."""
    edges = np.unique(np.quantile(contest.final, np.linspace(0.0, 1.0, 21)))
    place = np.clip(np.digitize(contest.final, edges) - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1)
    x = np.bincount(place, contest.final, len(edges) - 1) / np.maximum(count, 1)
    traces = []
    for i, name in enumerate(names):
        cost = 100.0 * np.bincount(place, contest.costs[name], len(edges) - 1)
        traces.append(charts.line(
            charts.rounded(x), cost / np.maximum(count, 1), title_of(contest, name), COLORS[i],
            hovertemplate="ends at %{x:.2f}: %{y:.1f}%<extra></extra>",
        ))  # fmt: skip
    layout = charts.layout(
        charts.axis("last price over the first"), charts.axis("mean cost, % of the premium")
    )
    return Chart(
        key="final", title="Where it costs",
        caption="Mean cost of the paths whose price ended there; a point is a twentieth of them.",
        data=traces, layout=layout,
    )  # fmt: skip


def holdings(contest: Contest, names: Sequence[str]) -> list[Chart]:
    """Draw maps of the mean holding, and what sets the first apart from the last (delta)."""
    out = [
        _map(contest, name, title_of(contest, name), contest.maps[name], SCALE, None)
        for name in names
    ]
    if len(names) > 1:
        off = contest.maps[names[0]] - contest.maps[names[-1]]
        reach = float(np.nanmax(np.abs(off))) if np.isfinite(off).any() else 1.0
        title = f"{title_of(contest, names[0])} less {title_of(contest, names[-1])}"
        out.append(_map(contest, "change", title, off, CHANGE, reach))
    return out


def _map(
    contest: Contest, key: str, title: str, values: F64, scale: list[Any], reach: float | None
) -> Chart:
    middle = 0.5 * (contest.edges[1:] + contest.edges[:-1])
    trace: Json = {
        "type": "heatmap", "x": list(range(1, len(values) + 1)),
        "y": charts.rounded(np.exp(middle), 5),
        "z": [charts.rounded(row, 4) for row in values.T], "colorscale": scale,
        "colorbar": {"thickness": 12, "outlinewidth": 0},
        "hovertemplate": "period %{x}, price %{y:.3f}: %{z:.3f}<extra></extra>",
    }  # fmt: skip
    trace |= {"zmin": -reach, "zmax": reach} if reach is not None else {}
    layout = charts.layout(charts.axis("period"), charts.axis("price over the first"))
    layout["plot_bgcolor"] = NOWHERE
    return Chart(
        key=f"map-{key}", title=f"Holding: {title}",
        caption="Mean over the first test paths that came by; grey where none did."
        if reach is None else "Blue: holds more; brown: holds less; grey: no path.",
        data=[trace], layout=layout,
    )  # fmt: skip


def worst_paths(contest: Contest) -> list[Chart]:
    """Draw the paths that cost most, with price and holdings."""
    out = []
    for i, path in enumerate(contest.worst):
        traces = [charts.line(
            list(range(len(path["price"]))), path["price"], "price (right)", charts.GREY,
            yaxis="y2", line={"dash": "dot"}, hovertemplate="%{y:.3f}<extra>price</extra>",
        )]  # fmt: skip
        told = []
        for j, (name, it) in enumerate(path["hedgers"].items()):
            title, cost = title_of(contest, name), it["cost"]
            told.append(f"{title} {cost[-1]:.0f}%")
            traces.append(charts.line(
                list(range(len(cost))), [*it["holding"], *it["holding"][-1:]], title, COLORS[j],
                line={"shape": "hv"}, hovertemplate="%{y:.3f}<extra>" + title + "</extra>",
            ))  # fmt: skip
        layout = charts.layout(
            charts.axis("period"), charts.axis("holding"),
            yaxis2=charts.axis("", overlaying="y", side="right", showgrid=False, tickformat=".2f"),
        )  # fmt: skip
        out.append(Chart(
            key=f"worst-{i}", title=f"Test path {path['world']}", caption="; ".join(told) + ".",
            data=traces, layout=layout,
        ))  # fmt: skip
    return out
