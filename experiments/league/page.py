"""The page of the league."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.league import construction, figures
from experiments.league.console import ltv_words
from experiments.league.table import RANKED, TAIL_NAMES
from experiments.report import charts
from experiments.report.page import Page, code, details, note, table, text
from experiments.report.stress import flatten
from experiments.report.words import interval, money, number, percent, plural

if TYPE_CHECKING:
    import pandas as pd

    from experiments.league.study import League

Json = dict[str, Any]


def render(league: "League", summary: Json, command: Sequence[str]) -> str:
    """Return the page of a league that has run."""
    titles = {name: league.titles[name] for name in summary["mechanisms"]}
    book = summary["book"]
    terms = (
        f"every mechanism at {percent(summary['liquidation_ltv'])}"
        if summary["terms"] == "common" else "each mechanism at its deployed threshold"
    )  # fmt: skip
    it = Page(
        "One loan book, many mechanisms",
        f"{summary['name'].replace('_', ' ')} · {plural(summary['worlds'], 'world')}, the same "
        f"under {plural(len(titles), 'mechanism')} · {plural(book['n_loans'], 'loan')} that owe "
        f"{money(book['initial_debt_usd'])} · {terms}",
        headline(summary, titles),
    )
    it.section("league", "The league table", _lead(league, summary), _problems(summary),
               _league_table(summary, titles), _who_pays(summary, titles))  # fmt: skip
    it.section(
        "differences", f"Differences from {titles[summary['reference']]}",
        "World by world, on the same prices, gas and random numbers; 95% bootstrap intervals. "
        "Green: less; red: more; grey: these worlds do not tell.",
        it.side_by_side(*_forests(summary, titles)), _difference_table(summary, titles),
    )  # fmt: skip
    tables = {name: run.worlds for name, run in league.base.items() if run.worlds is not None}
    it.section("worlds", "How worlds differ", "", it.side_by_side(*_spreads(tables, titles)))
    it.section("median", "One world in detail", *_median_world(it, league, tables, titles))
    _efficiency_section(it, summary, titles)
    _robustness_section(it, summary, titles)
    it.section("assumed", "What was assumed", "", _assumptions(league, summary))
    it.section(
        "construction", "What differs by construction",
        "Numbers are read from the parameters that ran. Where the thresholds are common, only the "
        "first column was changed; what hangs on it, as Morpho's incentive or Liquity's minimum "
        "ratio, moved with it.",
        _construction(league, titles),
    )  # fmt: skip
    parameters = [[key, value] for key, value in flatten(dict(league.config))]
    listed = table("Configuration", ("parameter", "value"), parameters)
    it.section(
        "run", "This run", "",
        code(" ".join(["python -m experiments.league", *(shlex.quote(a) for a in command)])),
        details(
            f"All {plural(len(parameters), 'parameter')}", f'<div class="prose">{listed}</div>'
        ),
        details("How the figures are computed", *(text(words) for words in METHOD)),
    )  # fmt: skip
    return it.html()


METHOD = (
    "Borrowers are passive, so that the mechanism alone is compared. A loan's equity is what it "
    "holds less what it owes, or nothing. Borrowers' loss is the equity that went while a block's "
    "rows were executed, less what was handed back to the owners, valued at the market prices at "
    "which the block opened; it is the net of all borrowers. The loss of liquidated borrowers "
    "leaves out what other borrowers gained: in Liquity, a redistribution is one's loss and "
    "another's gain.",
    "Bad debt is what was written off, and what no collateral covers at market prices when the run "
    "ends: Compound v2, Liquity and crvUSD never write anything off. Debt behind a live auction "
    "counts as far as neither what was paid nor the lot covers it; absorbed collateral of Compound "
    "III that lost worth before its sale counts too.",
    "Liquidators' profit is their change of wealth over holding what they began with, gas paid, at "
    "the last prices; lots that their bids stand for and deposits in a stability pool belong to "
    "it. What they hold unsold at the end still carries price risk.",
    "The protocol's income is penalties, fees and gained reserves, without interest and without "
    "netting bad debt.",
    "The wait is what a liquidatable dollar stood on average before it left its loan or, in an "
    "auction, was paid (dollar hours of backlog over dollars that passed, by each mechanism's own "
    "rule of what is liquidatable); first to last spans all times at which more than 0.01% of the "
    "debt stood so. The price push is the furthest fall of the collateral's price "
    "under the price without simulated trades.",
    "Intervals are percentile bootstraps over worlds; differences resample worlds in pairs. They "
    "measure how many worlds were run, not whether the model is right. A pair is ranked where the "
    "interval excludes zero and the difference exceeds 0.01% of the debt. Intervals are 95% each, "
    "not together.",
)


# --- sentences ------------------------------------------------------------------------------------


def headline(summary: Json, titles: Mapping[str, str]) -> str:
    """Say what the table says, and how far it can be trusted."""
    found = summary["mechanisms"]
    debt = summary["book"]["initial_debt_usd"]
    bad = {name: it["bad_debt"]["mean"]["value"] for name, it in found.items()}
    loss = {name: it["means"]["borrower_loss_usd"]["value"] for name, it in found.items()}
    material = {name: usd for name, usd in bad.items() if usd > 1e-4 * debt}
    if not material:
        first = "No mechanism leaves bad debt worth the name (over 0.01% of what was lent)."
    else:
        worst = max(material, key=lambda name: material[name])
        safe = [titles[name] for name in bad if name not in material]
        first = (
            f"Mean bad debt is largest under {titles[worst]}, {money(bad[worst])} "
            f"({percent(bad[worst] / debt)} of the debt)"
        )
        least = min(bad, key=lambda name: bad[name])
        first += (
            f", and immaterial under {_listed(safe)}." if safe
            else f", least under {titles[least]}, {money(bad[least])}."
        )  # fmt: skip
    cheap, dear = min(loss, key=lambda n: loss[n]), max(loss, key=lambda n: loss[n])
    second = (
        f"Borrowers lose {money(loss[cheap])} under {titles[cheap]} and {money(loss[dear])} under "
        f"{titles[dear]}: what a mechanism costs them differs far more than what it leaves unpaid."
        if loss[dear] - loss[cheap] > max(bad.values()) - min(bad.values())
        else f"Borrowers lose between {money(loss[cheap])} ({titles[cheap]}) and "
        f"{money(loss[dear])} ({titles[dear]})."
    )
    return " ".join([first, second, _survival_sentence(summary)])


def _survival_sentence(summary: Json) -> str:
    n = len(summary["variations"])
    if not n:
        return ""
    pairs = summary["survival"]["bad_debt_mean"] + summary["survival"]["borrower_loss"]
    firm = sum(len(it["kept"]) == n for it in pairs)
    turned = sum(bool(it["reversed"]) for it in pairs)
    return (
        f"Of {len(pairs)} orders of two mechanisms that these worlds tell (by bad debt or by "
        f"borrowers' loss), {firm} hold in all {n} variations of the assumptions, and {turned} "
        "turn around in at least one."
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]


def _lead(league: "League", summary: Json) -> str:
    book = summary["book"]
    out = ""
    if book["n_left_out"]:
        out = (
            f" Left out everywhere, because some mechanism would refuse them: "
            f"{plural(book['n_left_out'], 'loan')} under "
            f"{money(float(league.config['least_debt']))} or too close to liquidation "
            f"({money(book['left_out_usd'])} of debt)."
        )
    return (
        "Means over worlds with 95% bootstrap intervals. All mechanisms met the same prices, gas, "
        "liquidators and random numbers." + out
    )


def _problems(summary: Json) -> str:
    return "".join(
        note(f"{name} could not run: {problem}.") for name, problem in summary["problems"].items()
    )


# --- tables ---------------------------------------------------------------------------------------


def _both(it: Json, show: Any) -> str:
    if it["value"] is None:
        return str(it.get("reason", "n/a"))
    words = interval(it, show)
    return f"{show(it['value'])} ({words})" if words else str(show(it["value"]))


def _league_table(summary: Json, titles: Mapping[str, str]) -> str:
    """Three tables, so that figures with their intervals fit the page."""
    found = summary["mechanisms"]
    known = all(it["bad_debt"]["es_99"]["value"] is not None for it in found.values())
    shown = ("mean", "var_99", "es_99") if known else ("mean", "var_95", "es_95")
    bad = [
        [titles[name], *(_both(it["bad_debt"][key], money) for key in shown),
         *_ltv_cells(summary, name)[:1]]
        for name, it in found.items()
    ]  # fmt: skip
    parties = [
        [titles[name], *(_both(it["means"][key], money) for key in (
            "borrower_loss_usd", "liquidator_profit_usd", "protocol_income_usd"))]
        for name, it in found.items()
    ]  # fmt: skip
    speed = [
        [titles[name], _both(it["means"]["hours_liquidatable"], number),
         _both(it["means"]["hours_to_clear"], number), _both(it["means"]["push"], percent),
         money(it["means"]["liquidated_debt_usd"]["value"])]
        for name, it in found.items()
    ]  # fmt: skip
    heads = ("", *(TAIL_NAMES[key] for key in shown), *_ltv_heads(summary)[:1])
    return (
        table("Bad debt", heads, bad)
        + table("Who loses and who gains, means",
                ("", "borrowers' loss", "liquidators' profit", "protocol's income"), parties)
        + table("How fast and at what impact, means",
                ("", "wait, hours", "first to last, hours", "price push", "liquidated debt"), speed)
    )  # fmt: skip


def _ltv_heads(summary: Json) -> list[str]:
    return [
        f"LTV at {TAIL_NAMES[it['statistic']]} of {figures.percent_or_less(it['target'])}"
        for it in (summary["efficiency"] or {}).values()
    ]


def _ltv_cells(summary: Json, name: str) -> list[str]:
    return [
        _ltv_cell(found["mechanisms"].get(name)) for found in (summary["efficiency"] or {}).values()
    ]


def _ltv_cell(it: Json | None) -> str:
    if it is None:
        return "not run"
    if it["low_95"] is None and it["high_95"] is None:
        return ltv_words(it)
    low, high = (
        f"{side} {percent(edge)}" if it[end] is None else percent(it[end])
        for end, side, edge in (
            ("low_95", "under", it["ltvs"][0]), ("high_95", "over", it["ltvs"][-1])
        )
    )  # fmt: skip
    return f"{ltv_words(it)} ({low} to {high})"


def _difference_table(summary: Json, titles: Mapping[str, str]) -> str:
    """All paired differences as numbers."""
    wanted = {
        "bad_debt_mean": "bad debt, mean", f"bad_debt_{summary['tail']}": "bad debt, tail",
        "borrower_loss_usd": "borrowers' loss", "liquidator_profit_usd": "liquidators' profit",
        "protocol_income_usd": "protocol's income",
    }  # fmt: skip
    rows = [
        [titles[name], *(_both(it["difference"][key], money) for key in wanted)]
        for name, it in summary["mechanisms"].items() if "difference" in it
    ]  # fmt: skip
    listed = table("Difference of means, or of the tail", ("", *wanted.values()), rows)
    return details("The differences as numbers", listed)


def _who_pays(summary: Json, titles: Mapping[str, str]) -> str:
    heads = (
        "", "booked bad debt", "standing at the end", "loss of liquidated borrowers",
        "gain of other borrowers", "gas", "waiting at the end", "unfinished auctions",
    )  # fmt: skip
    rows = []
    for name, it in summary["mechanisms"].items():
        means = {key: one["value"] for key, one in it["means"].items()}
        liquidated = means["liquidated_loss_usd"]
        rows.append([
            titles[name], money(it["booked_usd"]),
            money(it["bad_debt"]["mean"]["value"] - it["booked_usd"]), money(liquidated),
            money(liquidated - means["borrower_loss_usd"]), money(means["liquidator_gas_usd"]),
            money(means["final_waiting_debt_usd"]), number(means["unfinished"]),
        ])  # fmt: skip
    return details("Parts of these figures", table("Means over worlds", heads, rows))


def _construction(league: "League", titles: Mapping[str, str]) -> str:
    rows = [[titles[name], *construction.facts(league.studies[name])] for name in titles]
    heads = ("", *construction.HEADS)
    return f'<div class="prose facts">{table("By mechanism", heads, rows)}</div>'


def _assumptions(league: "League", summary: Json) -> str:
    config, book = league.config, summary["book"]
    keepers = [
        f"{name} ({percent(one['share'])} of it, {one['latency_seconds']:g} s, "
        + ("no gas cap)" if one["gas_cap"] is None else f"gas cap {one['gas_cap']:g} gwei)")
        for name, one in config["liquidators"].items() if one
    ]  # fmt: skip
    rows = [
        ["loans", f"{plural(book['n_loans'], 'loan')} of {config['collateral']} against "
         f"{config['stable']}, {money(book['initial_debt_usd'])} in all, drawn from the published "
         "distributions of agents/populations/synthetic.py; the same debts and health factors "
         "everywhere. Borrowers do nothing."],
        ["interest", "None, everywhere: a day of it would drown what liquidations earn (Morpho "
         "Blue's cannot be 0: 0.1% a year)."],
        ["stable token", f"{config['stable']} "
         + ("trades in any amount at its own price" if config["stable_trades_flat"] else
            "has the outside market's depth")
         + "; where a mechanism mints its own, that token takes its part."],
        ["liquidators", f"{money(config['capital_usd'])} in cash, split between "
         f"{_listed(keepers)}; each looks at {percent(config['attention'])} of what is listed per "
         f"block, sends {config['calls_per_block']} calls at most, wants "
         f"{money(config['min_profit_usd'])}, bids {percent(config['bid_share'])} of its surplus "
         "for block space (nothing in an English auction), sells what it got on the outside "
         f"market at {money(config['max_trade_usd'])} a block. No flash loans."],
        ["margin", f"{percent(config['margin'])} under the market price where a keeper of auctions "
         "names a price; liquidators at a fixed price compute their exit exactly."],
        ["Liquity", f"{percent(config['pool_share'])} of the liquidators' capital stands in the "
         "stability pool from the start; they claim the collateral, sell it and deposit again. "
         f"Others have {money(config['stability_pool_usd'])} in it. Redemptions do not happen."],
        ["crvUSD", "The capital is split between arbitrage of the bands (a part of it held in the "
         "collateral) and hard liquidation. At common terms a loan's bands begin where the others "
         "become liquidatable."],
        ["oracle", f"{_target(config['oracle'])}, the same for all: Maker's hour of delay and "
         "crvUSD's moving average are not theirs here."],
        ["outside market", f"{_target(config['market'])}; its depth is an input and not a result."],
    ]  # fmt: skip
    return f'<div class="prose facts">{table("Assumptions", ("of", "what"), rows, left={1})}</div>'


def _target(described: Mapping[str, Any]) -> str:
    return str(described["_target_"]).rpartition(".")[2]


# --- figures --------------------------------------------------------------------------------------


def _forests(summary: Json, titles: Mapping[str, str]) -> list[charts.Chart | None]:
    wanted = [
        ("bad_debt_mean", "Bad debt, mean"),
        (f"bad_debt_{summary['tail']}", f"Bad debt, {TAIL_NAMES[summary['tail']]}"),
        ("borrower_loss_usd", "Borrowers' loss, mean"),
        ("liquidator_profit_usd", "Liquidators' profit, mean"),
    ]  # fmt: skip
    return [figures.forest(summary, titles, key, title, "") for key, title in wanted]


def _spreads(tables: "Mapping[str, pd.DataFrame]", titles: Mapping[str, str]) -> list[charts.Chart]:
    caption = "Thick: half of the worlds; thin: 5 to 95%; bar: median; cross: the worst world."
    return [
        figures.spread(tables, titles, "bad_debt_usd", "Bad debt", caption),
        figures.spread(tables, titles, "borrower_loss_usd", "Borrowers' loss", caption),
    ]


def _median_world(
    it: Page, league: "League", tables: "Mapping[str, pd.DataFrame]", titles: Mapping[str, str]
) -> tuple[str, str]:
    """Lead and figures of the world with the median fall, the same world under each mechanism."""
    falls = tables[league.config["reference"]][["world", "fundamental_fall"]]
    falls = falls.sort_values(["fundamental_fall", "world"])
    world = int(falls["world"].iloc[len(falls) // 2])
    fall = float(falls["fundamental_fall"].iloc[len(falls) // 2])
    series = {
        name: run.store.read("series", world=world)
        for name, run in league.base.items()
        if run.store is not None and name in titles
    }
    pushed = {
        name: path.assign(push=path["price"] / path["fundamental"] - 1.0)
        for name, path in series.items()
    }
    reference = league.config["reference"]
    shown = it.side_by_side(
        figures.paths(
            {reference: series[reference]}, titles, "fundamental", "price",
            f"Price of {league.config['collateral']} without liquidations",
            "The same under every mechanism.", charts.usd_axis(""),
        ),
        figures.paths(
            series, titles, "waiting_debt_usd", "waiting", "Liquidatable debt and debt in auctions",
            "Debt that each mechanism's own rules call liquidatable, or whose auction is not over.",
            charts.usd_axis("", rangemode="tozero"),
        ),
        figures.paths(
            series, titles, "borrower_loss_usd", "losses", "Borrowers' loss so far", "",
            charts.usd_axis("", rangemode="tozero"),
        ),
        figures.paths(
            pushed, titles, "push", "push", "How far liquidations push the price",
            "Market price over the price without simulated trades, less 1.",
            charts.axis("", tickformat=".1%"),
        ),
    )  # fmt: skip
    lead = f"World {world}, whose price falls by the median, {percent(fall)}, without liquidations."
    return lead, shown


def _efficiency_section(it: Page, summary: Json, titles: Mapping[str, str]) -> None:
    found = summary["efficiency"]
    if not found:
        return
    words = [
        f"{key}: {TAIL_NAMES[one['statistic']]} of at most "
        f"{figures.percent_or_less(one['target'])} of the debt"
        for key, one in found.items()
    ]
    absolute = found.get("absolute") or next(iter(found.values()))
    heads = ["", *(f"largest LTV, {key} target" for key in found)]
    rows = [[titles[name], *_ltv_cells(summary, name)] for name in absolute["mechanisms"]]
    it.section(
        "efficiency", "Capital efficiency at equal tail risk",
        "The largest liquidation loan-to-value at which the tail of bad debt stays under a target, "
        f"between the points of the grid by straight lines ({'; '.join(words)}; "
        f"{plural(absolute['worlds'], 'world')}, resampled together for the interval). Above or "
        "below: the grid does not bracket it.",
        table("Loan-to-value at equal tail risk", heads, rows),
        it.side_by_side(
            figures.tail_curves(absolute, titles, TAIL_NAMES[absolute["statistic"]])
        ),
    )  # fmt: skip


def _robustness_section(it: Page, summary: Json, titles: Mapping[str, str]) -> None:
    n = len(summary["variations"])
    if not n:
        return
    matrices = [
        figures.survival_matrix(summary["survival"][key], titles, key, f"Less {words}", n)
        for key, (_, _, words) in RANKED.items()
    ]
    maps = [
        figures.variation_map(
            summary, titles, column, column, title, "Mean over worlds, of the debt at the start. "
            "Darker is more, by the square root.",
        )
        for column, title in (("bad_debt_usd", "Bad debt when assumptions move"),
                              ("borrower_loss_usd", "Borrowers' loss when assumptions move"))
    ]  # fmt: skip
    it.section(
        "robustness", "Which conclusions survive",
        f"All mechanisms were run again under {plural(n, 'variation')} of the assumptions, one at "
        "a time, on the same random numbers.",
        it.side_by_side(*maps, *matrices), _turned(summary, titles),
    )  # fmt: skip


def _turned(summary: Json, titles: Mapping[str, str]) -> str:
    """List the orders that turn around, and in which variation."""
    names = {key: it["title"] for key, it in summary["variations"].items()}
    rows = [
        [f"{words}: {titles[it['better']]} less than {titles[it['worse']]}",
         _listed([names[key] for key in it["reversed"]])]
        for key, (_, _, words) in RANKED.items()
        for it in summary["survival"][key] if it["reversed"]
    ]  # fmt: skip
    if not rows:
        return text("No order that the base tells is reversed in any variation.")
    listed = table("Orders that turn around", ("in the base", "reversed under"), rows, left={1})
    return f'<div class="prose">{listed}</div>'
