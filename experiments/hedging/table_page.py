"""A study of many environments: its summary and its page."""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.hedging import tables
from experiments.hedging.contest import Contest
from experiments.hedging.page import METHOD
from experiments.hedging.rows import CVAR, PRICE, Row, Y
from experiments.report import charts
from experiments.report.charts import Chart
from experiments.report.page import Page, code, details, note, table, text

Json = dict[str, Any]


FIGURES: Mapping[str, Json] = {
    Y: {"name": "Y", "title": "Y = mean + 1.5 sd in % of the premium", "places": 1,
        "axis": "Y, % of the premium"},
    CVAR: {"name": "CVaR 95", "title": "Mean of the worst 5% of costs (CVaR 95) in % of the "
           "premium", "places": 1, "axis": "CVaR 95, % of the premium"},
    PRICE: {"name": "price", "title": "Price at which the objective is 0, in cash", "places": 3,
            "axis": "price"},
}  # fmt: skip


def summary(
    study: Mapping[str, Any], rows: Mapping[str, Row], contests: Mapping[str, Contest]
) -> Json:
    """Put contests beside published figures, row by row.

    A policy beats both when its interval against the best classical hedge lies below 0, and when
    its figure is below the published agent's by more than the noise of both. The published sample
    is taken to be as noisy as this one.

    Parameters
    ----------
    study : mapping
        Of the configuration.
    rows : mapping of str to Row
    contests : mapping of str to Contest
    """
    kind = study.get("figure", Y)
    out: Json = {
        "title": str(study["title"]), "figure": dict(FIGURES[kind]), "split": kind == CVAR,
        "columns": dict(study.get("columns") or {"delta": "delta"}), "rows": {},
    }  # fmt: skip
    for key, contest in contests.items():
        out["paths"] = contest.summary["paths"]
        out["rows"][key] = _summary_of(kind, rows[key], contest.summary)
    return out


def _summary_of(kind: str, row: Row, found: Json) -> Json:
    entries = found["hedgers"]
    published = dict(row.published)[kind] if row.published else None
    classical = {name: it for name, it in entries.items() if not it["learned"]}
    learned = {}
    for name, it in entries.items():
        if not it["learned"]:
            continue
        difference, own = (
            _difference(kind, it, found["premium"]),
            _figure(kind, it, found["premium"]),
        )
        noise = 0.5 * math.sqrt(2.0) * (own["high_95"] - own["low_95"])
        beaten = published is None or own["value"] + noise < published
        learned[name] = {
            "title": it["title"],
            "label": it["title"].partition("seed")[0].strip(" ,") or "trained",
            "figure": own["value"], "interval": [own["low_95"], own["high_95"]],
            "mean": it["statistics"]["mean"], "sd": it["statistics"]["sd"],
            "difference": difference, "beats": bool(difference["high_95"] < 0.0 and beaten),
            "trained": it.get("spent", {}), "trained_with": it.get("trained_with", {}),
        }  # fmt: skip
    return {
        "title": row.title, "premium": found["premium"],
        "classical": {n: _figure(kind, e, found["premium"])["value"] for n, e in classical.items()},
        "numbers": {n: e["told"] for n, e in classical.items()},
        "best": found["best"], "best_title": entries[found["best"]]["title"],
        "published": published, "quoted": {n: q[kind] for n, q in row.quoted.items()},
        "tails": {
            n: {k: e["statistics"][k] for k in ("cvar_95", "cvar_99", "worst")}
            for n, e in entries.items()
        },
        "learned": learned,
    }  # fmt: skip


def _figure(kind: str, entry: Json, premium: float) -> Json:
    """Return a hedger's figure with its interval."""
    if kind != PRICE:
        return dict(entry["differences"][kind]["own"])
    own = entry["differences"]["objective"]["own"]
    return {key: premium * (1.0 + 0.01 * own[key]) for key in ("value", "low_95", "high_95")}


def _difference(kind: str, entry: Json, premium: float) -> Json:
    """Return a hedger's figure less that of the best classical one."""
    if kind != PRICE:
        found = entry["differences"][kind]
        return {key: found[key] for key in ("value", "low_95", "high_95")}
    found = entry["differences"]["objective"]
    return {key: 0.01 * premium * found[key] for key in ("value", "low_95", "high_95")}


def headline(it: Json) -> str:
    """Count, for each kind of policy, the rows in which every one of them beats both."""
    rows = list(it["rows"].values())
    labels = dict.fromkeys(label for row in rows for label in tables.by_label(row["learned"]))
    if not labels:
        return "No trained policy was given: the table shows the classical hedges alone."
    said = []
    for label in labels:
        groups = [tables.by_label(row["learned"]).get(label, []) for row in rows]
        tried = [group for group in groups if group]
        won = sum(all(one["beats"] for one in group) for group in tried)
        n = sum(len(group) for group in tried)
        said.append(
            f"{label}, in {won} of {len(tried)} rows ({n} {'policy' if n == 1 else 'policies'})"
        )
    agent = ", and the published agent" if tables.has_published(it) else ""
    return (
        "Every policy beats the best classical hedge, with an interval that excludes 0"
        f"{agent}: {'; '.join(said)}."
    )


def render(it: Json, contests: Mapping[str, Contest], command: Sequence[str]) -> str:
    """Return the page of a study.

    Parameters
    ----------
    it : dict
        What `summary` returned.
    contests : mapping of str to Contest
    command : sequence of str
        Arguments of the command line.
    """
    page = Page(it["title"], f"{it['paths']:,} unseen paths a row, the same for all", headline(it))
    heads = tables.study_heads(it)
    listed = table(
        it["figure"]["title"], heads, tables.study_rows(it), left={heads.index("policies")}
    )
    page.section(
        "table", "The table", "", listed,
        note("* Not found on these paths: published figures, or reruns of the authors' released "
             "policies in another simulator. A policy beats them where its figure is lower by more "
             "than the noise of two samples of this size.") if tables.has_published(it) else "",
        page.side_by_side(_chart(it)), _training(it),
    )  # fmt: skip
    heads = ["row", *tables.tail_columns(it)]
    rare = [
        table(f"{title} in % of the premium; of several seeds the worst", heads,
              tables.tail_rows(it, key))
        for key, title in (("cvar_99", "Mean of the worst 1% of paths (CVaR 99)"),
                           ("worst", "The worst path"))
    ]  # fmt: skip
    page.section(
        "fails", "Where it fails", _LETTING_GO, *(text(said) for said in tails_told(it)), rare[0],
        page.side_by_side(_tail_chart(it)), rare[1],
    )  # fmt: skip
    blocks = []
    for key, contest in contests.items():
        rows = tables.contest_rows(contest.summary)
        heads = [*tables.HEADS, tables.against(contest.summary)]
        blocks.append(
            details(
                it["rows"][key]["title"],
                table("All hedgers", heads, rows, left={1}),
                table(
                    "What costs are made of", tables.COST_HEADS, tables.cost_rows(contest.summary)
                ),
            )
        )
    page.section("rows", "Row by row", "", *blocks)
    page.section(
        "run", "This run", "",
        code(" ".join(["python -m experiments.evaluate", *(shlex.quote(a) for a in command)])),
        details("How the figures are computed", text(*METHOD)),
    )  # fmt: skip
    return page.html()


def tails_told(it: Json) -> list[str]:
    """Say, for each kind of policy, in how many rows its bad outcomes are worse than others'."""
    rows, said = list(it["rows"].values()), []
    others = {"best classical": "the best classical hedge", "delta": "delta"}
    for label in tables.tail_columns(it)[2:]:
        parts = []
        for key, what in (("cvar_99", "the worst 1% of paths"), ("worst", "the worst path")):
            found = [tables.tails(row, key) for row in rows]
            found = [one for one in found if label in one]
            counts = " and ".join(
                f"in {sum(one[label] > one[name] for one in found)} of {len(found)} rows than with "
                f"{title}"
                for name, title in others.items()
                if all(name in one for one in found)
            )
            parts.append(f"{what} cost more {counts}")
        said.append(f"{label[:1].upper()}{label[1:]}: {'; '.join(parts)}.")
    return said


_LETTING_GO = (
    "What is tuned and trained is one number over all paths. It can be low while the rarest paths "
    "cost more than with a plain hedge."
)


def _training(it: Json) -> str:
    """Tell how long trainings took; empty where no log says so."""
    listed = []
    for row in it["rows"].values():
        for label, policies in tables.by_label(row["learned"]).items():
            times = [one["trained"] for one in policies if one["trained"]]
            if not times:
                continue
            ends = [(min(v), max(v)) for v in zip(*(
                (time["seconds"], time["cpu_seconds"]) for time in times
            ), strict=True)]  # fmt: skip
            listed.append([row["title"], tables.seeded(label, policies), *(
                f"{a:.0f}" if round(a) == round(b) else f"{a:.0f} to {b:.0f}" for a, b in ends
            )])  # fmt: skip
    if not listed:
        return ""
    heads = ("row", "policies", "seconds", "CPU seconds")
    return details("How long training took", table("Of one policy", heads, listed, left={1}))


def _chart(it: Json) -> Chart:
    rows = list(it["rows"].values())
    series: dict[str, list[float | None]] = {
        "delta": [row["classical"].get("delta") for row in rows],
        "best classical": [row["classical"][row["best"]] for row in rows],
        "published": [row["published"] for row in rows],
    }
    for label in tables.tail_columns(it)[2:]:
        series[label] = [
            max((one["figure"] for one in row["learned"].values() if one["label"] == label),
                default=None)
            for row in rows
        ]  # fmt: skip
    name = it["figure"]["name"]
    return _dots("rows", f"{name} by row", "Left is better; of several seeds the worst.",
                 it["figure"]["axis"], [row["title"] for row in rows], series)  # fmt: skip


def _tail_chart(it: Json) -> Chart:
    rows = list(it["rows"].values())
    found = [tables.tails(row, "cvar_99") for row in rows]
    series = {name: [one.get(name) for one in found] for name in tables.tail_columns(it)}
    return _dots(
        "tails", "Mean of the worst 1% of paths (CVaR 99)", "Left is better.",
        "cost, % of the premium", [row["title"] for row in rows], series,
    )  # fmt: skip


COLORS = {"delta": charts.GREY, "best classical": charts.BLUE, "published": charts.AMBER}
POLICIES = (charts.RED, charts.PURPLE, charts.TEAL)


def _dots(
    key: str, title: str, caption: str, axis: str, names: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
) -> Chart:  # fmt: skip
    """Draw one line of dots per row."""
    others = [name for name in series if name not in COLORS]
    traces = [
        {"type": "scatter", "mode": "markers", "x": list(values), "y": list(names), "name": name,
         "marker": {"size": 10, "color": COLORS.get(name) or POLICIES[others.index(name) % 3]},
         "hovertemplate": "%{y}: %{x:.4~r}<extra>" + name + "</extra>"}
        for name, values in series.items() if any(value is not None for value in values)
    ]  # fmt: skip
    layout = charts.layout(charts.axis(axis), charts.axis("", autorange="reversed"))
    return Chart(
        key=key, title=title, caption=caption, data=traces, layout=layout,
        height=130 + 36 * len(names), wide=True,
    )  # fmt: skip
