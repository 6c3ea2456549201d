"""Tables of a contest and of a study, for the terminal and for pages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.report.words import MISSING

if TYPE_CHECKING:
    from rich.table import Table

Json = dict[str, Any]
HEADS = (
    "hedger", "number", "mean", "sd", "Y", "VaR 95", "CVaR 95", "VaR 99", "CVaR 99",
)  # fmt: skip
COST_HEADS = ("hedger", "trading", "funding", "penalty", "turnover", "margin calls", "liquidated")

RARE_HEADS = (
    "hedger", "CVaR 95", "against the best", "CVaR 99", "against the best", "worst path",
)  # fmt: skip


def figure(value: float | None, places: int = 1) -> str:
    """Write a figure in % of the premium."""
    if value is None or value != value:
        return MISSING
    text = f"{value:,.{places}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0.0 else text


def change(difference: Json, places: int = 2) -> str:
    """Write a difference with its interval."""
    value, low, high = (difference[key] for key in ("value", "low_95", "high_95"))
    return f"{value:+.{places}f} ({low:+.{places}f} to {high:+.{places}f})"


def contest_rows(summary: Json) -> list[list[str]]:
    """Rows of the main table: statistics, then what sets a hedger apart from the best classical."""
    rows = []
    for name, it in summary["hedgers"].items():
        found = it["statistics"]
        keys = ("mean", "sd", "y", "var_95", "cvar_95", "var_99", "cvar_99")
        against = (
            "best classical" if name == summary["best"] else change(it["differences"]["objective"])
        )
        rows.append([it["title"], it["told"], *(figure(found[key]) for key in keys), against])
    return rows


def against(summary: Json) -> str:
    """Head of the last column of the main table."""
    return f"{summary['objective']} against the best"


def rare_rows(summary: Json) -> list[list[str]]:
    """Rows of the table of bad outcomes."""
    rows = []
    for name, it in summary["hedgers"].items():
        cells = [it["title"]]
        for key in ("cvar_95", "cvar_99"):
            cells.append(figure(it["statistics"][key]))
            cells.append(
                "best classical" if name == summary["best"] else change(it["differences"][key], 1)
            )
        rows.append([*cells, figure(it["statistics"]["worst"])])
    return rows


def cost_rows(summary: Json) -> list[list[str]]:
    """Rows of the table of costs."""
    rows = []
    for it in summary["hedgers"].values():
        found = it["statistics"]
        rows.append([
            it["title"], *(figure(found[key]) for key in ("trading", "funding")),
            figure(found["penalty"], 3),
            figure(found["turnover"], 2), figure(found["margin_calls"], 2),
            f"{100.0 * found['liquidated']:.2f}%",
        ])  # fmt: skip
    return rows


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold")
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i < left else "right", no_wrap=i != 3)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    return table


def of_contest(summary: Json) -> "Table":
    """Return the table that the terminal shows."""
    title = (
        f"Cost in % of the premium over {summary['paths']:,} unseen paths; Y = mean + 1.5 sd; "
        f"{summary['objective']} less that of the best classical hedge, paired 95% interval"
    )
    return _table(title, [*HEADS, against(summary)], contest_rows(summary), 2)


def of_costs(title: str, summary: Json) -> "Table":
    """Return the table of what the costs are made of that the terminal shows."""
    told = f"{title}: costs in % of the premium, turnover in units, margin calls per path"
    return _table(told, COST_HEADS, cost_rows(summary), 1)


def study_heads(summary: Json) -> list[str]:
    """Heads of the table of a study."""
    known = has_published(summary)
    return [
        "row", *summary["columns"].values(), *(["published"] if known else []), "policies",
        summary["figure"]["name"], "against best classical", "beats both" if known else "beats it",
    ]  # fmt: skip


def has_published(summary: Json) -> bool:
    """Whether a row of a study has figures of a published agent."""
    return any(row["published"] is not None for row in summary["rows"].values())


def study_rows(summary: Json) -> list[list[str]]:
    """Rows of a study: the classical hedgers, the published agent and the policies.

    Policies that differ by their seed alone share a line. Figures that were not found on the paths
    of this run have a star.
    """
    out, places = [], summary["figure"]["places"]
    for row in summary["rows"].values():
        first = [row["title"], *(_cell(row, name, places) for name in summary["columns"])]
        if has_published(summary):
            told = row["published"]
            first.append(MISSING if told is None else f"{told:.{places}f}*")
        groups = by_label(row["learned"])
        if not groups:
            out.append([*first, "no model", "", "", ""])
        for label, policies in groups.items():
            worst = max(policies, key=lambda it: float(it["figure"]))
            low, high = (figure(end(it["figure"] for it in policies), places) for end in (min, max))
            won = sum(it["beats"] for it in policies)
            out.append([
                *first, seeded(label, policies), low if low == high else f"{low} to {high}",
                change(worst["difference"], places), f"{won} of {len(policies)}",
            ])  # fmt: skip
            first = [""] * len(first)
    return out


def _cell(row: Json, name: str, places: int) -> str:
    if name in row["classical"]:
        return figure(row["classical"][name], places)
    return f"{row['quoted'][name]:.{places}f}*" if name in row["quoted"] else MISSING


def seeded(label: str, policies: Sequence[Json]) -> str:
    """Name a group of policies with their number."""
    return f"{label} x {len(policies)}" if len(policies) > 1 else label


def by_label(learned: Json) -> dict[str, list[Json]]:
    """Group policies that differ by their seed alone."""
    out: dict[str, list[Json]] = {}
    for it in learned.values():
        out.setdefault(it["label"], []).append(it)
    return out


def tail_columns(summary: Json) -> list[str]:
    """Whose bad outcomes are compared: delta, the best classical hedge, the kinds of policies."""
    labels = [label for row in summary["rows"].values() for label in by_label(row["learned"])]
    return ["delta", "best classical", *dict.fromkeys(labels)]


def tails(row: Json, key: str) -> dict[str, float]:
    """One figure of bad outcomes of a row, by `tail_columns`; of several seeds the worst."""
    out = {"best classical": row["tails"][row["best"]][key]}
    if "delta" in row["tails"]:
        out["delta"] = row["tails"]["delta"][key]
    for name, it in row["learned"].items():
        out[it["label"]] = max(out.get(it["label"], -float("inf")), row["tails"][name][key])
    return out


def tail_rows(summary: Json, key: str) -> list[list[str]]:
    """Rows of a table of bad outcomes, in % of the premium: one figure by `tail_columns`."""
    names, out = tail_columns(summary), []
    for row in summary["rows"].values():
        found = tails(row, key)
        out.append([row["title"], *(figure(found.get(name), 0) for name in names)])
    return out


def of_study(summary: Json) -> "Table":
    """Return the table that the terminal shows."""
    star = " (* not on these paths)" if has_published(summary) else ""
    title = (
        f"{summary['title']}. {summary['figure']['title']}, {summary['paths']:,} unseen paths; of "
        f"several seeds, the worst against the best classical hedge{star}"
    )
    heads = [head.replace(" ", "\n") for head in study_heads(summary)]
    return _table(title, heads, study_rows(summary), 1)
