"""The table that the terminal shows."""

from typing import TYPE_CHECKING, Any

from experiments.report.words import money, number, percent

if TYPE_CHECKING:
    from rich.table import Table


def ltv_words(entry: dict[str, Any]) -> str:
    """Loan-to-value that a mechanism affords at the target, or the side of the grid."""
    if entry["side"]:
        edge = entry["ltvs"][-1] if entry["side"] == "above" else entry["ltvs"][0]
        return f"{entry['side']} {percent(edge)}"
    return percent(entry["value"])


def console_table(summary: dict[str, Any]) -> "Table":
    """Return the league table: a row per mechanism."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{summary['name']}: {summary['worlds']:,} worlds, {summary['terms']} terms",
        title_justify="left", header_style="bold",
    )  # fmt: skip
    heads = (
        "mechanism", "bad debt, mean", "VaR 99", "ES 99", "borrowers' loss", "liquidators' profit",
        "protocol's income", "wait, h", "to clear, h", "push", "LTV at equal tail",
    )  # fmt: skip
    for k, head in enumerate(heads):
        table.add_column(head, justify="right" if k else "left")
    for name, it in summary["mechanisms"].items():
        bad, means = it["bad_debt"], {key: one["value"] for key, one in it["means"].items()}
        found = summary["efficiency"] or {}
        efficiency = (found.get("absolute") or {"mechanisms": {}})["mechanisms"].get(name)
        cells = [
            name, money(bad["mean"]["value"]), money(bad["var_99"]["value"]),
            money(bad["es_99"]["value"]), money(means["borrower_loss_usd"]),
            money(means["liquidator_profit_usd"]), money(means["protocol_income_usd"]),
            number(means["hours_liquidatable"]), number(means["hours_to_clear"]),
            percent(means["push"]), ltv_words(efficiency) if efficiency else "",
        ]  # fmt: skip
        table.add_row(*[Text(cell) for cell in cells])
    for name, problem in summary["problems"].items():
        table.add_row(Text(name), Text(f"cannot run: {problem}"))
    return table
