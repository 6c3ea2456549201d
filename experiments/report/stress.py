"""The report of one stress run: what a protocol designer looks for, in that order."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report import book, figures, page, paths
from experiments.report.grid import Grid
from experiments.report.page import Page, cards, details, note, table, text
from experiments.report.words import headline, interval, money, number, percent, plural
from experiments.summary import DUST_USD, PARTIES, finished

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]

MOST_ASSETS = 4
"""Assets charted over time at most: those that fell deepest."""

_INTERVALS = (
    "Intervals are 95% bootstrap intervals over worlds (BCa). They say how much the figure would "
    "move with other random numbers, not whether the model is right."
)


def write(
    run_folder: Path,
    worlds: "pd.DataFrame",
    series: "pd.DataFrame",
    liquidations: "pd.DataFrame",
    manifest: Mapping[str, Any],
    summary: Json,
    pairs: "pd.DataFrame | None" = None,
) -> Path:
    """Write `report.html` into the run's folder.

    Parameters
    ----------
    run_folder : Path
        Folder that exists.
    worlds, series, liquidations : DataFrame
        The merged tables of the run; `series` and `liquidations` may be empty.
    manifest : mapping
        All keys are optional: `name`, `command` (list of overrides, or a whole command line),
        `seed`, `config` (nested), `versions`, `created`, `seconds`.
    summary : dict
        What `experiments.summary.summarise` returned, or the same read back from JSON.
    pairs : DataFrame, optional
        What `experiments.cascade.withdrawal` returned.

    Returns
    -------
    Path
        The page, one file that opens offline.
    """
    target = run_folder / "report.html"
    partial = target.with_suffix(".html.partial")
    html = render(worlds, series, liquidations, manifest, summary, pairs)
    partial.write_text(html, encoding="utf-8")
    partial.replace(target)
    return target


def render(
    worlds: "pd.DataFrame",
    series: "pd.DataFrame",
    liquidations: "pd.DataFrame",
    manifest: Mapping[str, Any],
    summary: Json,
    pairs: "pd.DataFrame | None" = None,
) -> str:
    """Return the page as text; parameters as in `write`."""
    ok = finished(worlds)
    grid = Grid(series, ok["world"].to_numpy())
    assets = figures.moving_assets(ok, summary)
    it = Page(f"Stress test: {_name(manifest)}", _subtitle(grid, summary), headline(summary))
    if summary["worlds"]["n_ok"]:
        _overview(it, summary)
        _bad_debt(it, ok, summary, assets)
        _liquidations(it, ok, grid, summary)
        _borrowing_power(it, ok, summary)
        _paths(it, ok, grid, summary, assets)
        _amplification(it, summary, assets)
        book.section(it, grid, summary, pairs)
        _parties(it, summary)
        _worst_world(it, grid, liquidations, summary, assets)
    _failed(it, worlds)
    _run(it, manifest)
    return it.html()


def _name(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("name") or "unnamed run")


def _subtitle(grid: Grid, summary: Json) -> str:
    count = summary["worlds"]
    parts = [plural(count["n_ok"], "world")]
    if count["n_failed"]:
        parts[0] += f" finished, {count['n_failed']:,} failed"
    if not grid.is_empty:
        first, last = grid.times.iloc[0], grid.times.iloc[-1]
        if grid.is_dated:
            parts.append(f"{first:%d %B %Y %H:%M} to {last:%d %B %Y %H:%M} UTC")
        else:
            parts.append(f"{number(float(grid.hours[-1]))} hours")
    debt, collateral = (
        summary["book"]["initial_debt_usd"],
        summary["book"]["initial_collateral_usd"],
    )
    if debt is not None:
        parts.append(f"{money(debt)} lent against {money(collateral)} of collateral")
    return " · ".join(parts)


def _shown(it: Json, show: Any, n: int) -> tuple[str, str]:
    """Return figure and context of an estimate for a card."""
    if it["value"] is None:
        return "n/a", str(it.get("reason", "no world finished"))
    return show(it["value"]), f"95% interval {interval(it, show)}" if n > 1 else "one world"


def _overview(it: Page, summary: Json) -> None:
    n = summary["worlds"]["n_ok"]
    lost, sold, water = summary["bad_debt"], summary["liquidations"], summary["under_water"]
    share = lost["share_of_initial_debt"]["value"]
    names = {
        "mean_usd": "Mean bad debt",
        "var_99_usd": "Bad debt, VaR 99",
        "es_99_usd": "Bad debt, expected shortfall 99",
    }
    # Resampling zeros gives an interval of no width: true of these worlds, misleading about risk.
    none_seen = lost["max_usd"] < DUST_USD and n > 1
    items = [
        *(
            (name, money(lost[key]["value"]), f"none seen in {n:,} worlds")
            if none_seen
            else (name, *_shown(lost[key], money, n))
            for key, name in names.items()
        ),
        (
            "Probability of losing over 0.01% of the debt",
            *_shown(lost["probability_material"], percent, n),
        ),
        ("Mean bad debt per $1,000 lent", money(1000.0 * share), "of the debt at the start"),
        (
            "Mean liquidated debt",
            money(sold["mean_usd"]["value"]),
            f"{percent(sold['mean_share_of_initial_debt'])} of the debt, "
            f"{number(sold['mean_n_liquidations'])} liquidations",
        ),
        ("Borrowing power", percent(summary["borrowing_power"]["mean"]["value"]),
         "of its worth that collateral may borrow"),
        (
            "Time under water",
            f"{number(water['hours_liquidatable']['mean_hours']['value'])} h",
            f"mean; 95% of worlds below {number(water['hours_liquidatable']['p95_hours'])} h",
        ),
    ]  # fmt: skip
    warn = ""
    if 1 < n < 100:
        warn = note(
            f"Only {plural(n, 'world')}: figures for one world in 100 need at least 100 worlds, "
            "and a trustworthy interval for them about 2,000."
        )
    if summary["worlds"]["n_failed"]:
        warn += note(
            f"{plural(summary['worlds']['n_failed'], 'world')} failed and are left out of every "
            "figure. If they failed because the market broke, the figures are too kind."
        )
    it.section("overview", "At a glance", "", cards(items), warn, text(_INTERVALS) if n > 1 else "")


def _estimate_rows(it: Json, names: list[tuple[str, str]]) -> list[list[str]]:
    rows = []
    for key, label in names:
        value = it[key]
        shown = money(value["value"]) if value["value"] is not None else "n/a"
        rows.append([label, shown, interval(value, money)])
    return rows


def _bad_debt(it: Page, ok: "pd.DataFrame", summary: Json, assets: list[str]) -> None:
    lost = summary["bad_debt"]
    n = summary["worlds"]["n_ok"]
    values = figures.column(ok, "bad_debt_usd")
    names = [
        ("mean_usd", "mean"), ("median_usd", "median"), ("var_95_usd", "VaR 95"),
        ("var_99_usd", "VaR 99"), ("es_95_usd", "expected shortfall 95"),
        ("es_99_usd", "expected shortfall 99"),
    ]  # fmt: skip
    rows = [*_estimate_rows(lost, names), ["largest seen", money(lost["max_usd"]), ""]]
    lead = (
        "Debt that no collateral covers: written off by liquidations, or standing at the end in "
        "positions that are worth less than they owe. VaR 99 is the amount that 99 of 100 worlds "
        "do not exceed; expected shortfall 99 is the mean of the worst 1%."
    )
    charts = it.side_by_side(
        figures.bad_debt_histogram(ok, summary),
        figures.exceedance(
            values, lost, "bad-debt-exceedance", "How likely is a loss of this size?", "bad debt"
        ),
        figures.bad_debt_by_fall(ok, assets[0]) if assets else None,
        table("Bad debt in figures", ("", "USD", "95% interval"), rows)
        if n > 1 and lost["max_usd"] >= DUST_USD
        else "",
    )
    none = ""
    if lost["max_usd"] < DUST_USD:
        chance = percent(lost["probability_any"]["high_95"])
        none = text(
            f"No bad debt in {plural(n, 'world')}, so there is no distribution to draw.",
            f"A probability of up to {chance} is compatible with that." if n > 1 else "",
        )
    caveat = ""
    if n >= 100 and lost["max_usd"] >= DUST_USD:
        caveat = text(
            f"The 99% figures rest on {plural(lost['n_worlds_beyond_99'], 'world')}. Intervals of "
            "far tails tend to be too short, because no resample holds a loss worse than the worst "
            "one seen: in a trial with 1,000 worlds and lognormal losses, the 95% interval of "
            "expected shortfall 99 held the truth 83 times in 100."
        )
    it.section("bad-debt", "Bad debt", lead, none, charts, caveat)


def _liquidations(it: Page, ok: "pd.DataFrame", grid: Grid, summary: Json) -> None:
    sold = summary["liquidations"]
    n = summary["worlds"]["n_ok"]
    lead = (
        "What liquidators had to repay and sell, when, and how long debt stood that could have "
        "been liquidated."
    )
    if (sold["max_usd"] or 0.0) <= 0.0 and not np.any(ok["peak_liquidatable_debt_usd"] > 0.0):
        none = "No position became liquidatable in any world."
        it.section("liquidations", "Liquidations", lead, text(none))
        return
    worst = summary["worst_world"]["world"]
    over_time = [] if grid.is_empty else [paths.timeline(grid, n), paths.backlog_fan(grid, worst)]
    charts = it.side_by_side(
        figures.liquidated_histogram(ok, summary),
        figures.hours_under_water(ok),
        *over_time,
    )
    names = [
        ("mean_usd", "mean"), ("median_usd", "median"),
        ("var_95_usd", "liquidations at risk 95"), ("var_99_usd", "liquidations at risk 99"),
    ]  # fmt: skip
    body = table(
        "Liquidated debt in figures", ("", "USD", "95% interval"), _estimate_rows(sold, names)
    )
    by = sold.get("share_by_liquidator") or {}
    who = ""
    if by:
        top = list(by.items())[:10]
        who = table(
            "Who liquidates" if len(by) <= 10 else f"Who liquidates: the largest 10 of {len(by)}",
            ("liquidator", "share of debt repaid, all worlds"),
            [[name, percent(share)] for name, share in top],
        )
    it.section(
        "liquidations", "Liquidations", lead, charts, it.side_by_side(body if n > 1 else "", who)
    )


def _borrowing_power(it: Page, ok: "pd.DataFrame", summary: Json) -> None:
    power = summary["borrowing_power"]
    share, book = summary["bad_debt"]["share_of_initial_debt"], summary["book"]
    sentence = (
        f"The rules let a dollar of the borrowers' collateral borrow "
        f"{percent(power['mean']['value'])} of its worth; at the start it carried "
        f"{percent(book['initial_debt_usd'] / max(book['initial_collateral_usd'], 1e-9))}. Each "
        f"$1,000 of that debt left {money(1000.0 * share['value'])} of bad debt on average. "
        "A rule that lowers the last usually lowers the first: compare designs in a multirun "
        "sweep before calling one better."
    )
    chart = it.side_by_side(figures.borrowing_power(ok), f"<div>{text(sentence)}</div>")
    lead = "Capital efficiency: how much borrowers get for their collateral."
    it.section("borrowing-power", "Borrowing power", lead, chart)


def _paths(it: Page, ok: "pd.DataFrame", grid: Grid, summary: Json, assets: list[str]) -> None:
    lead = "The conditions that the lending market met: prices, its oracle and block space."
    transactions = _transactions(ok, summary)
    if grid.is_empty:
        missing = text("No series was recorded, so nothing can be drawn over time.")
        it.section("paths", "Prices, oracle, gas", lead, missing, transactions)
        return
    worst = summary["worst_world"]["world"]
    shown = assets[:MOST_ASSETS]
    over_time = []
    for asset in shown:
        over_time += [paths.price_fan(grid, worst, asset), paths.oracle_fan(grid, worst, asset)]
        if asset == shown[0]:
            over_time += [paths.gap_fan(grid, worst, asset), paths.base_fee_fan(grid, worst)]
    if not shown:
        over_time.append(paths.base_fee_fan(grid, worst))
    reserves = sorted(c[12:] for c in grid.columns if c.startswith("utilisation_"))
    moved = [a for a in reserves if np.ptp(grid.values(f"utilisation_{a}")) > 0.005]
    over_time += [paths.utilisation_fan(grid, worst, a) for a in moved[:2]]
    left = [a for a in summary["amplification"] if a not in shown]
    said = text(f"Not drawn, because they fell less or hardly moved: {', '.join(left)}.")
    charts = it.side_by_side(*over_time, figures.oracle_gap(ok))
    it.section("paths", "Prices, oracle, gas", lead, charts, said if left else "", transactions)


def _transactions(ok: "pd.DataFrame", summary: Json) -> str:
    gas = summary["gas"]
    rows = []
    labels = {
        "n_included": "included in a block",
        "n_reverted": "of these, reverted: included and paid for, but failed",
        "n_expired": "expired: never got into a block",
    }
    for name, label in labels.items():
        values = figures.column(ok, name)
        low, high = np.quantile(values, (0.05, 0.95))
        some = percent(float(np.mean(values > 0)))
        rows.append([label, number(float(values.mean())), f"{number(low)} to {number(high)}", some])
    shares = (
        f"Over all worlds {percent(gas['share_expired'])} of the transactions expired and "
        f"{percent(gas['share_reverted'])} of the included ones reverted. The highest base fee had "
        f"a median of {number(gas['max_base_fee']['p50_gwei'])} gwei; liquidators paid "
        f"{money(gas['liquidator_gas']['mean_usd']['value'])} for gas on average."
    )
    headers = ("transactions", "mean per world", "5 to 95% of worlds", "worlds with any")
    return table("Transactions", headers, rows) + text(shares)


def _amplification(it: Page, summary: Json, assets: list[str]) -> None:
    lead = (
        "How much of the fall the market did to itself: liquidators sell, the price falls, more "
        "positions become liquidatable."
    )
    if not assets:
        it.section("amplification", "Amplification", lead, text("No price moved by over 0.5%."))
        return
    rows = []
    for asset in assets:
        row = summary["amplification"][asset]
        rows.append(
            [
                asset, percent(row["mean_fall"]), percent(row["mean_fundamental_fall"]),
                percent(row["mean"]["value"]), interval(row["mean"], percent), percent(row["p95"]),
                percent(row["push"]["mean"]["value"]), percent(row["push"]["p95"]),
            ]
        )  # fmt: skip
    headers = (
        "asset", "mean fall", "no feedback", "amplification", "95% interval of it",
        "95% below", "deepest push, mean", "95% below",
    )  # fmt: skip
    many = summary["worlds"]["n_ok"] > 1
    chart = it.side_by_side(figures.amplification(summary, assets)) if many else ""
    body = table("Deepest fall from the starting price", headers, rows) + note(
        "Amplification compares the two lows, which may lie at different times. The deepest push "
        "is the furthest that trades held the price below the same price without them, at any time."
    )
    it.section("amplification", "Amplification", lead, chart, body)


def _parties(it: Page, summary: Json) -> None:
    rows = []
    for name in PARTIES:
        row = summary["parties"][name]
        rows.append(
            [
                name.capitalize(), money(row["mean_usd"]["value"]),
                interval(row["mean_usd"], money), money(row["p05_usd"]), money(row["p50_usd"]),
                money(row["p95_usd"]),
            ]
        )  # fmt: skip
    headers = (
        "party", "mean", "95% interval of the mean", "5% of worlds below", "median",
        "95% of worlds below",
    )  # fmt: skip
    lead = "Who paid for the stress, and who was paid."
    caveat = (
        "The rows do not sum to zero: traders outside the lending market, price moves of "
        "collateral and the network's gas take the rest."
    )
    it.section(
        "parties", "Who lost, who gained", lead, it.side_by_side(figures.parties(summary)),
        table("Gain or loss per world, USD", headers, rows), text(caveat),
    )  # fmt: skip


def _worst_world(
    it: Page, grid: Grid, liquidations: "pd.DataFrame", summary: Json, assets: list[str]
) -> None:
    worst = summary["worst_world"]
    world = worst["world"]
    events = liquidations
    if "world" in liquidations:
        events = liquidations[liquidations["world"] == world]
    asset = assets[0] if assets else next(iter(worst["fall"]), None)
    if len(events):
        seized = events.groupby("collateral", observed=True)["collateral_seized_usd"].sum()
        asset = str(seized.idxmax())
    falls = ", ".join(f"{a} fell {percent(worst['fall'][a])}" for a in assets[:MOST_ASSETS])
    lead = (
        f"World {world} ends with {money(worst['bad_debt_usd'])} of bad debt after "
        f"{plural(worst['n_liquidations'], 'liquidation')} of "
        f"{money(worst['liquidated_debt_usd'])}"
        + (f"; at the worst moment {falls}." if falls else ".")
    )
    chart = ""
    if asset is not None and grid.has(world) and f"price_{asset}" in grid.columns:
        chart = it.side_by_side(paths.worst_world(grid, world, asset, events))
    body = _largest(events) if len(events) else text("No liquidation took place in it.")
    again = text(
        "Worst means most bad debt; without any, the largest debt that stood liquidatable.",
        "A world's path depends on the seed and its id alone, so it can be run again by itself, "
        "bit for bit.",
    )
    it.section("worst-world", "The worst world", lead, chart, body, again)


def _largest(events: "pd.DataFrame") -> str:
    top = events.nlargest(10, "debt_repaid_usd")
    dated = bool(len(top)) and top["time"].iloc[0].year > 1970
    rows = [
        [
            f"{row.time:%d %b %H:%M:%S}" if dated else str(row.step), str(row.liquidator),
            f"{row.position}", f"{row.collateral} → {row.debt}", money(row.debt_repaid_usd),
            money(row.collateral_seized_usd), money(row.bad_debt_usd), money(row.gas_fee_usd),
        ]
        for row in top.itertuples()
    ]  # fmt: skip
    headers = (
        "time, UTC" if dated else "step", "liquidator", "position", "collateral → debt",
        "debt repaid", "collateral seized", "bad debt", "gas",
    )  # fmt: skip
    title = f"Its {len(rows)} largest liquidations" if len(rows) > 1 else "Its only liquidation"
    return table(title, headers, rows, left=(1, 3))


def _failed(it: Page, worlds: "pd.DataFrame") -> None:
    failed = worlds[worlds["status"] != "ok"]
    if failed.empty:
        return
    lead = (
        f"{plural(len(failed), 'world')} ended in an error and are in none of the figures above; "
        "alike messages are grouped."
    )
    rows, traces = [], []
    for message, group in failed.groupby(failed["error"].fillna("no message").astype(str)):
        last = str(message).strip().splitlines()[-1]
        ids = [str(int(w)) for w in group["world"]]
        more = f" and {len(ids) - 20:,} more" if len(ids) > 20 else ""
        rows.append([last, f"{len(ids):,}", ", ".join(ids[:20]) + more])
        if last != str(message).strip():
            traces.append(details(f"Traceback: {last}", page.code(str(message))))
    body = table("Errors", ("message", "worlds", "world ids"), rows)
    it.section("failed", "Failed worlds", lead, f'<div class="prose">{body}</div>', *traces)


def _run(it: Page, manifest: Mapping[str, Any]) -> None:
    versions = manifest.get("versions") or {}
    facts = [[k, str(v)] for k, v in versions.items()]
    for key, label in (("seed", "seed"), ("created", "created"), ("seconds", "seconds taken")):
        if manifest.get(key) is not None:
            facts.insert(0, [label, str(manifest[key])])
    config = [[k, v] for k, v in flatten(manifest.get("config") or {})]
    parameters = table("Resolved configuration", ("parameter", "value"), config)
    known = table("Seed and versions", ("", ""), facts)
    lead = "Everything that is needed to get the same figures, digit for digit."
    it.section(
        "run", "This run", lead,
        "<h3>How to reproduce</h3>", page.code(command_line(manifest)),
        f'<div class="prose">{known}</div>' if facts else "",
        details(f"All {plural(len(config), 'parameter')}", f'<div class="prose">{parameters}</div>')
        if config else "",
        details("How the figures are computed", text(*_METHOD)),
    )  # fmt: skip


_METHOD = (
    "VaR at level a is the smallest loss that a share a of the worlds does not exceed (the order "
    "statistic of rank a·n, rounded up).",
    "Expected shortfall is the mean of the worst share 1 − a of the worlds, the world on the "
    "boundary counted by the fraction needed (Acerbi and Tasche 2002).",
    "Both are left out where not one world lies beyond the level.",
    _INTERVALS,
    "The interval of a probability is Wilson's.",
    "Bands in the charts over time are quantiles at each moment, over all worlds: no single world "
    "follows the edge of a band.",
)


def command_line(manifest: Mapping[str, Any]) -> str:
    """Return the command that repeats the run."""
    command = manifest.get("command")
    if isinstance(command, str):
        return command
    overrides = [shlex.quote(str(part)) for part in command or ()]
    if not overrides and manifest.get("seed") is not None:
        overrides = [f"seed={manifest['seed']}"]
    return " ".join(["python -m experiments.stress", *overrides])


def flatten(config: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return the leaves of a nested configuration as dotted names and texts."""
    if isinstance(config, Mapping) and config:
        return [
            leaf
            for key, value in config.items()
            for leaf in flatten(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(config, list | tuple):
        return [(prefix, ", ".join(str(v) for v in config) if config else "[]")]
    return [(prefix, "none" if config is None else str(config))]
