"""The page of an event: verdict, figures, signature, ablations, assumptions."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.history.event import Event
from experiments.history.study import FACTOR, shown
from experiments.report import charts
from experiments.report.charts import Chart
from experiments.report.page import Page, code, details, note, table, text
from experiments.report.stress import flatten
from experiments.report.words import number, plural

Json = dict[str, Any]


def render(
    event: Event,
    summary: Json,
    drawn: Sequence[Chart],
    command: Sequence[str],
    config: Mapping[str, Any],
) -> str:
    """Return the page.

    Parameters
    ----------
    event : Event
    summary : dict
        What `experiments.history.study.judge` returned.
    drawn : sequence of Chart
        The event's signature.
    command : sequence of str
        Arguments of the command line.
    config : mapping
        Resolved configuration.
    """
    it = Page(
        event.title,
        f"{plural(summary['worlds'], 'world')} with the parameters and prices of the day, beside "
        "what is documented",
        headline(summary),
    )
    it.section(
        "outcome", "Documented and simulated",
        "Nothing is fitted to the outcome: parameters, prices and populations come from before or "
        "beside it, and where a published figure of the event is an input, the assumptions say so.",
        it.side_by_side(ratios(summary)), _figures(summary),
    )  # fmt: skip
    if drawn:
        it.section("signature", "The mechanism's signature", "", it.side_by_side(*drawn))
    if summary["ablations"]:
        it.section(
            "ablations", "One fact changed at a time",
            "Each row is the same worlds with one fact changed; differences are paired by world, "
            "with 95% bootstrap intervals.",
            it.side_by_side(*effects(summary)), _ablations(summary), _failed(summary),
        )  # fmt: skip
    rows = [[key.replace("_", " "), words] for key, words in event.assumptions.items()]
    if rows:
        assumed = table("Assumptions and their sources", ("of", "what"), rows, left={1})
        it.section(
            "assumptions", "What was assumed", "", f'<div class="prose">{assumed}</div>'
        )  # fmt: skip
    parameters = [[k, v] for k, v in flatten(config)]
    listed = table("Configuration", ("parameter", "value"), parameters)
    it.section(
        "run", "This run", "",
        code(" ".join(["python -m experiments.history", *(shlex.quote(a) for a in command)])),
        details(
            f"All {plural(len(parameters), 'parameter')}",
            f'<div class="prose">{listed}</div>',
        ),
        details("How the figures are computed", text(*_METHOD)),
    )  # fmt: skip
    return it.html()


_METHOD = (
    "The ratio is the median world over the documented figure; its interval is a bootstrap over "
    "worlds and says how well the median is known, the 5 to 95% range how much worlds differ.",
    f"A figure is reproduced when the median world lies within a factor of {FACTOR:g}; a "
    "documented zero when the median stays under the limit that the table names.",
)


def headline(summary: Json) -> str:
    """Say how many judged figures the median world reproduces, and what closes the gaps."""
    judged = {column: f for column, f in summary["figures"].items() if f["bar"]}
    if not judged:
        return "No figure of this event is judged."
    missed = {column: f for column, f in judged.items() if f["verdict"] != "yes"}
    first = next(iter(judged))
    told = {first: judged[first], **missed}
    said = [_compared(figure) for figure in told.values()]
    hits = f"{len(judged) - len(missed)} of {plural(len(judged), 'judged figure')}"
    said.append(f"{hits} within a factor of {FACTOR:g}")
    said = [sentence[:1].upper() + sentence[1:] for sentence in said]
    return ". ".join([*said, *_closed(summary, missed)]) + "."


def _compared(figure: Json) -> str:
    unit, it = figure["unit"], figure["simulated"]
    if it is None or figure["documented"] is None:
        return f"{figure['title']}: not judged"
    ratio = f" ({number(figure['ratio']['value'])} times)" if figure["ratio"] else ""
    return (
        f"{figure['title']}: {shown(it['median'], unit)} in the median world, documented "
        f"{shown(figure['documented'], unit)}{ratio}"
    )


def _closed(summary: Json, missed: Json) -> list[str]:
    """Say which changed fact brings figures that are missed back within the factor."""
    said, left = [], set(missed)
    for ablation in summary["ablations"].values():
        effects = ablation.get("effects", {})
        closed = [c for c in missed if effects and effects[c]["verdict"] == "yes"]
        if closed:
            left -= set(closed)
            names = ", ".join(
                f"{missed[c]['title']} ({number(effects[c]['ratio'])} times)" for c in closed
            )
            said.append(f"With {ablation['title']}, within it: {names}")
    if left and summary["ablations"]:
        names = ", ".join(missed[c]["title"] for c in missed if c in left)
        said.append(f"No ablation brings within it: {names}")
    return said


def _figures(summary: Json) -> str:
    rows = []
    for figure in summary["figures"].values():
        unit, it, ratio = figure["unit"], figure["simulated"], figure["ratio"]
        documented = shown(figure["documented"], unit)
        if figure["low"] is not None and figure["high"] is not None:
            documented += f" ({shown(figure['low'], unit)} to {shown(figure['high'], unit)})"
        verdict = figure["verdict"]
        if verdict and figure["most"] is not None:
            verdict += f" (at most {shown(figure['most'], unit)})"
        interval = ""
        if ratio and ratio["low_95"] is not None:
            interval = f" ({number(ratio['low_95'])} to {number(ratio['high_95'])})"
        rows.append([
            figure["title"], documented,
            shown(it["median"], unit) if it else "n/a",
            f"{shown(it['p05'], unit)} to {shown(it['p95'], unit)}" if it else "",
            number(ratio["value"]) + interval if ratio else "", verdict, figure["source"],
        ])  # fmt: skip
    heads = (
        "", "documented", "median world", "5 to 95% of worlds", "ratio (95% interval)",
        f"within {FACTOR:g}", "source",
    )  # fmt: skip
    return f'<div class="prose">{table("Figures", heads, rows, left={6})}</div>'


def ratios(summary: Json) -> Chart | None:
    """Draw simulated over documented, per figure, on a logarithmic axis."""
    rows = [f for f in summary["figures"].values() if f["ratio"] and f["ratio"]["value"] > 0.0]
    if not rows:
        return None
    mid = [f["ratio"]["value"] for f in rows]
    low = [max(f["ratio"]["p05"], 1e-3 * m) for f, m in zip(rows, mid, strict=True)]
    high = [f["ratio"]["p95"] for f in rows]
    colors = [
        charts.GREY if not f["bar"] else charts.TEAL if f["verdict"] == "yes" else charts.RED
        for f in rows
    ]
    trace: Json = {
        "type": "scatter", "mode": "markers", "x": charts.rounded(mid),
        "y": [f["title"] for f in rows], "marker": {"size": 10, "color": colors},
        "error_x": charts.error_bars(low, mid, high), "showlegend": False,
        "hovertemplate": "%{y}: %{x:.3~g} times<extra></extra>",
    }  # fmt: skip
    x = charts.log_axis(
        min(0.5, *low), max(2.0, *high), "simulated over documented", lambda v: f"{v:g}"
    )
    y = charts.axis("", type="category", autorange="reversed", ticks="")
    band = {
        "type": "rect", "xref": "x", "yref": "paper", "x0": 1.0 / FACTOR, "x1": FACTOR, "y0": 0,
        "y1": 1, "fillcolor": charts.tint(charts.TEAL, 0.10), "line": {"width": 0},
        "layer": "below",
    }  # fmt: skip
    return Chart(
        key="ratios", title="Simulated over documented",
        caption=(
            f"Median world with the 5 to 95% range of worlds. The band is a factor of {FACTOR:g}. "
            "Green: judged and within; red: judged and outside; grey: shown, not judged."
        ),
        data=[trace], layout=charts.layout(x, y, shapes=[band]), height=110 + 38 * len(rows),
        wide=True,
    )  # fmt: skip


def effects(summary: Json) -> list[Chart]:
    """Paired difference of each judged figure, per ablation."""
    found = []
    ran = {k: a for k, a in summary["ablations"].items() if "effects" in a}
    for column, figure in summary["figures"].items():
        if not figure["bar"] or not ran:
            continue
        rows = [
            (a["title"], a["effects"][column]["difference"])
            for a in ran.values()
            if a["effects"][column]["difference"]["low_95"] is not None
        ]
        if not any(it["low_95"] or it["high_95"] for _, it in rows):
            continue  # no ablation moves it
        low, mid, high = ([row[1][key] for row in rows] for key in ("low_95", "value", "high_95"))
        colors = [
            charts.TEAL if b < 0.0 else charts.RED if a > 0.0 else charts.GREY
            for a, b in zip(low, high, strict=True)
        ]
        unit = figure["unit"]
        trace: Json = {
            "type": "bar", "orientation": "h", "x": charts.rounded(mid),
            "y": [row[0] for row in rows], "marker": {"color": colors},
            "error_x": charts.error_bars(low, mid, high), "showlegend": False,
            "text": [shown(value, unit) for value in mid], "textposition": "none",
            "hovertemplate": "%{y}: %{text}<extra></extra>",
        }  # fmt: skip
        ticks = charts.nice_ticks(min(0.0, *low), max(0.0, *high))
        x = charts.axis(
            f"difference of {figure['title']}", tickvals=ticks,
            ticktext=[shown(t, unit) for t in ticks], zeroline=True, zerolinecolor=charts.INK,
        )  # fmt: skip
        y = charts.axis("", type="category", autorange="reversed", ticks="")
        found.append(
            Chart(
                key=f"effect-{column}",
                title=f"Effect on {figure['title']}",
                caption=(
                    "Mean over worlds of the changed run less the event as it was. Green: less; "
                    "red: more; grey: these worlds do not tell."
                ),
                data=[trace],
                layout=charts.layout(x, y),
                height=120 + 36 * len(rows),
                wide=True,
            )
        )
    return found


def _ablations(summary: Json) -> str:
    columns = {k: f for k, f in summary["figures"].items() if f["bar"]}
    rows = []
    for ablation in summary["ablations"].values():
        if "effects" not in ablation:
            continue
        cells = [ablation["title"]]
        for column, figure in columns.items():
            effect, unit = ablation["effects"][column], figure["unit"]
            it = effect["difference"]
            span = ""
            if it["low_95"] is not None:
                span = f" ({shown(it['low_95'], unit)} to {shown(it['high_95'], unit)})"
            ratio = "" if effect["ratio"] is None else f" ({number(effect['ratio'])} times)"
            cells += [shown(effect["median"], unit) + ratio, shown(it["value"], unit) + span]
        rows.append([*cells, " ".join(ablation["overrides"])])
    heads = [""]
    for figure in columns.values():
        heads += [f"{figure['title']}, median", "mean difference (95% interval)"]
    body = table("Ablations", [*heads, "overrides"], rows, left={len(heads)})
    return f'<div class="prose">{body}</div>' if rows else ""


def _failed(summary: Json) -> str:
    problems = [
        f"{a['title']} could not run: {a['problem']}."
        for a in summary["ablations"].values()
        if "problem" in a
    ]
    return note(*problems) if problems else ""
