"""A study of many environments: its summary and its page."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.hedging import tables
from experiments.hedging.contest import Contest
from experiments.hedging.page import METHOD
from experiments.hedging.rows import Row
from experiments.report import charts
from experiments.report.charts import Chart
from experiments.report.page import Page, code, details, note, table, text

Json = dict[str, Any]


def summary(title: str, rows: Mapping[str, Row], contests: Mapping[str, Contest]) -> Json:
    """Put contests beside published figures, row by row.

    A policy beats both when its interval against the best classical hedge lies below 0 and its Y
    below the published agent's.
    """
    out: Json = {"title": title, "rows": {}}
    for key, contest in contests.items():
        found, row = contest.summary, rows[key]
        out["paths"] = found["paths"]
        published = dict(row.published) if row.published else None
        entries, learned = found["hedgers"], {}
        for name, it in entries.items():
            if it["learned"]:
                y, difference = it["statistics"]["y"], it["differences"]["y"]
                learned[name] = {
                    "title": it["title"], "y": y, "mean": it["statistics"]["mean"],
                    "sd": it["statistics"]["sd"], "difference": difference,
                    "trained_with": it.get("trained_with", {}),
                    "beats": bool(difference["high_95"] < 0.0
                                  and (published is None or y < published["y"])),
                }  # fmt: skip
        out["rows"][key] = {
            "title": row.title,
            "classical": {n: e["statistics"]["y"] for n, e in entries.items() if not e["learned"]},
            "numbers": {n: e["told"] for n, e in entries.items() if not e["learned"]},
            "best": found["best"], "best_title": entries[found["best"]]["title"],
            "published": published, "published_delta": dict(row.delta) if row.delta else None,
            "learned": learned,
        }  # fmt: skip
    return out


def headline(it: Json) -> str:
    """Count the rows in which every policy beats both."""
    rows = it["rows"].values()
    tried = [row for row in rows if row["learned"]]
    if not tried:
        return "No trained policy was given: the table shows the classical hedges alone."
    won = sum(all(one["beats"] for one in row["learned"].values()) for row in tried)
    policies = sum(len(row["learned"]) for row in tried)
    return (
        f"In {won} of {len(tried)} rows every trained policy beats the best classical hedge, with "
        f"an interval that excludes 0, and the published agent ({policies} policies in all)."
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
    listed = table(
        "Y = mean + 1.5 sd, in % of the premium", tables.STUDY_HEADS, tables.study_rows(it),
        left={6},
    )  # fmt: skip
    page.section(
        "table", "The table", "", listed,
        note("* The published agent's figures are a rerun of the authors' released policies in "
             "another simulator: not the same paths, so no paired interval."),
        page.side_by_side(_chart(it)),
    )  # fmt: skip
    blocks = []
    for key, contest in contests.items():
        rows = tables.contest_rows(contest.summary)
        heads = [*tables.HEADS, tables.against(contest.summary)]
        blocks.append(
            details(it["rows"][key]["title"], table("All hedgers", heads, rows, left={1}))
        )
    page.section("rows", "Row by row", "", *blocks)
    page.section(
        "run", "This run", "",
        code(" ".join(["python -m experiments.evaluate", *(shlex.quote(a) for a in command)])),
        details("How the figures are computed", text(*METHOD)),
    )  # fmt: skip
    return page.html()


def _chart(it: Json) -> Chart:
    rows = list(it["rows"].values())
    titles = [row["title"] for row in rows]
    series: dict[str, tuple[list[float | None], str]] = {
        "delta": ([row["classical"].get("delta") for row in rows], charts.GREY),
        "best classical": ([row["classical"][row["best"]] for row in rows], charts.BLUE),
        "published agent": (
            [row["published"]["y"] if row["published"] else None for row in rows], charts.AMBER
        ),
        "trained (worst)": (
            [max((one["y"] for one in row["learned"].values()), default=None) for row in rows],
            charts.RED,
        ),
    }  # fmt: skip
    traces = [
        {"type": "scatter", "mode": "markers", "x": values, "y": titles, "name": name,
         "marker": {"size": 10, "color": color},
         "hovertemplate": "%{y}: %{x:.1f}<extra>" + name + "</extra>"}
        for name, (values, color) in series.items()
    ]  # fmt: skip
    layout = charts.layout(
        charts.axis("Y, % of the premium"), charts.axis("", autorange="reversed")
    )
    return Chart(
        key="rows", title="Y by row", caption="Left is better.", data=traces, layout=layout,
        height=120 + 40 * len(rows), wide=True,
    )  # fmt: skip
