"""The page of a contest."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.hedging import figures, tables
from experiments.hedging.contest import Contest
from experiments.report.page import Page, code, details, note, table, text
from experiments.report.stress import flatten
from experiments.report.words import plural

Json = dict[str, Any]
METHOD = (
    "A path is a world of the environment, and the same world is the same path for every hedger. "
    "Scalars of classical hedgers are tuned, and policies trained and chosen, on other worlds.",
    "Cost is what the hedged book lost: trading costs, the change of what is owed, and funding, "
    "less what the holding gained, over the premium of the option that was sold first.",
    "Intervals are percentiles of a bootstrap that draws whole paths: a path which is drawn counts "
    "for every hedger. They measure the noise of finitely many paths, not the error of the model.",
    "Stretches of one record overlap: their intervals come from drawing blocks of 28 neighbouring "
    "days on which they begin, and are still rather too short where the record has few blocks.",
)


def render(contest: Contest, config: Mapping[str, Any], command: Sequence[str]) -> str:
    """Return the page.

    Parameters
    ----------
    contest : Contest
    config : mapping
        Resolved configuration.
    command : sequence of str
        Arguments of the command line.
    """
    summary = contest.summary
    it = Page(
        "Hedgers on unseen paths",
        f"{plural(len(summary['hedgers']), 'hedger')} on {summary['paths']:,} unseen paths",
        headline(summary),
    )
    drawn = list(contest.maps)
    main = table(
        "Cost in % of the premium", [*tables.HEADS, tables.against(summary)],
        tables.contest_rows(summary), left={1},
    )  # fmt: skip
    it.section(
        "table", "All hedgers", "Y = mean + 1.5 sd; small is good. Differences have 95% intervals.",
        main, it.side_by_side(figures.intervals(contest)), _warnings(summary),
    )  # fmt: skip
    costs = table(
        "Costs in % of the premium, turnover in units, margin calls per path",
        tables.COST_HEADS, tables.cost_rows(summary),
    )  # fmt: skip
    it.section(
        "costs", "What it is made of", "",
        it.side_by_side(
            figures.distribution(contest, drawn), figures.by_final_price(contest, drawn)
        ), costs,
    )  # fmt: skip
    it.section(
        "holdings", "What is held", "Against price and time, averaged over the paths.",
        it.side_by_side(*figures.holdings(contest, drawn)),
    )  # fmt: skip
    first = figures.title_of(contest, drawn[0])
    rare = table(
        "Bad outcomes in % of the premium; differences are paired, with 95% intervals",
        tables.RARE_HEADS, tables.rare_rows(summary),
    )  # fmt: skip
    it.section(
        "worst", "Where it fails", failing(contest), it.side_by_side(figures.tail(contest, drawn)),
        rare, text(f"The paths that cost {first} most:"),
        it.side_by_side(*figures.worst_paths(contest)),
    )  # fmt: skip
    listed = table("Configuration", ("parameter", "value"), [[k, v] for k, v in flatten(config)])
    it.section(
        "run", "This run", "",
        code(" ".join(["python -m experiments.evaluate", *(shlex.quote(a) for a in command)])),
        details("All parameters", f'<div class="prose">{listed}</div>'),
        details("How the figures are computed", text(*METHOD)),
    )  # fmt: skip
    return it.html()


def headline(summary: Json) -> str:
    """Say who is best and whether what was learned beats it."""
    entries, best = summary["hedgers"], summary["best"]
    least, what = entries[best]["statistics"]["objective"], summary["objective"]
    title = entries[best]["title"]
    said = [f"By {what} the best classical hedge is {title}, at {least:.1f}% of the premium"]
    for it in entries.values():
        if not it["learned"]:
            continue
        found = it["differences"]["objective"]
        word = "beats it" if found["high_95"] < 0.0 else "does not beat it"
        if found["low_95"] > 0.0:
            word = "is worse"
        title = f"{it['title'][:1].upper()}{it['title'][1:]}"
        y = it["statistics"]["objective"]
        said.append(f"{title} {word}: {y:.1f}%, difference {tables.change(found)}")
    return ". ".join(said) + "."


def failing(contest: Contest) -> str:
    """Say what the worst paths of the first learned hedger cost, and others on the same ones."""
    entries, best = contest.summary["hedgers"], contest.summary["best"]
    learned = [name for name, it in entries.items() if it["learned"]]
    name = learned[0] if learned else best
    others = [other for other in dict.fromkeys([best, next(iter(entries))]) if other != name]
    cost = contest.costs[name]
    worst = np.argsort(-cost)[: max(len(cost) // 100, 1)]
    title = entries[name]["title"]
    said = [
        f"The worst 1% of paths of {title} cost {100.0 * cost[worst].mean():.0f}% of the premium"
    ]
    said += [
        f"{entries[other]['title']} costs {100.0 * contest.costs[other][worst].mean():.0f}% there "
        f"and {entries[other]['statistics']['cvar_99']:.0f}% in its own worst 1%"
        for other in others
    ]
    if others:
        more = 100.0 * float((cost > contest.costs[others[0]]).mean())
        said.append(f"on {more:.0f}% of all paths it costs more than {entries[others[0]]['title']}")
    return "; ".join(said) + "."


def _warnings(summary: Json) -> str:
    said = []
    for it in summary["hedgers"].values():
        changed = it.get("trained_with") or {}
        if changed:
            listed = ", ".join(f"{k} {a} (here {b})" for k, (a, b) in list(changed.items())[:6])
            said.append(f"{it['title']} was trained under other terms: {listed}.")
    return note(*said) if said else ""
