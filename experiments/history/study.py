"""Run an event and its ablations on the same random numbers, and judge what came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.history.event import FUNCTION, TOLD, Event
from experiments.paired import Run, difference, run_designs
from experiments.summary import as_json, clean, dumps
from sim.errors import FaultlineError
from sim.metrics import tail

if TYPE_CHECKING:
    from rich.table import Table

    from experiments.engines.engine import Engine

Json = dict[str, Any]
FACTOR = 1.5
"""The median world reproduces a figure when it lies within this factor of what is documented."""
BASE = "as_it_was"
RANGE = (0.05, 0.5, 0.95)


def replay(
    event: Event,
    name: str,
    config: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]],
    command: Sequence[str],
    engine: "Engine",
) -> tuple[Path, Json]:
    """Run an event, write its folder, and return the page's path and the summary.

    Parameters
    ----------
    event : Event
    name : str
        Of the event and its folder.
    config : mapping
        The event's resolved configuration.
    variants : mapping of str to mapping
        Those of its ablations.
    command : sequence of str
        Arguments as they were given.
    engine : Engine
        Where to run.
    """
    from experiments.build import check_run
    from experiments.history import page
    from experiments.manifest import replace_text

    seed, worlds = config["seed"], config["worlds"]
    designs = {BASE: config, **(variants if config["ablate"] else {})}
    for design in designs.values():
        check_run({key: value for key, value in design.items() if key not in ("history", "ablate")})
    folder = Path(str(config["out"])).expanduser() / f"history-{name}"
    runs = run_designs(
        FUNCTION, {key: bare(design) for key, design in designs.items()}, folder, engine,
        seed=seed, worlds=worlds, chunk=config["chunk"], needed=BASE,
    )  # fmt: skip
    base = runs[BASE]
    if base.worlds is None or base.store is None:
        raise FaultlineError(f"the event itself cannot run: {base.problem}")
    summary = judge(event, name, runs)
    tables = {"worlds": base.worlds, **{key: base.store.read(key) for key in event.tables}}
    html = page.render(event, summary, event.figures(tables), command, config)
    replace_text(base.store.folder / "summary.json", dumps(summary))
    report = base.store.folder / "report.html"
    replace_text(report, html)
    return report.absolute(), summary


def bare(config: Mapping[str, Any]) -> Json:
    """Leave out what only the report reads, so that a reworded source is no other run."""
    history = {key: value for key, value in config["history"].items() if key not in TOLD}
    kept = {key: value for key, value in config.items() if key != "ablate"}
    return {**kept, "history": history}


def judge(event: Event, name: str, runs: Mapping[str, Run]) -> Json:
    """Compare the worlds with what is documented, and the ablations with the worlds.

    Returns
    -------
    dict
        `figures` by column and `ablations` by name; what JSON can say.
    """
    base = runs[BASE].worlds
    assert base is not None
    observed = event.observed()
    figures = {}
    for column, known in event.documented.items():
        value = observed.get(column, known.value) if known.value is None else known.value
        found = np.asarray(base[column], np.float64)
        found = found[np.isfinite(found)]
        figures[column] = {
            "title": known.title, "unit": known.unit, "source": known.source, "bar": known.bar,
            "documented": value, "low": known.low, "high": known.high,
            **_compared(found, value, known.most if known.bar else None),
        }  # fmt: skip
        found_median = figures[column]["simulated"] and figures[column]["simulated"]["median"]
        figures[column]["verdict"] = _verdict(figures[column], found_median) if known.bar else ""
    ablations = {}
    for key, ablation in event.ablations.items():
        if key not in runs:
            continue
        run = runs[key]
        entry: Json = {"title": ablation.title, "overrides": list(ablation.overrides)}
        if run.worlds is None:
            ablations[key] = {**entry, "problem": run.problem}
            continue
        entry["effects"] = {
            column: _effect(base, run.worlds, column, figures[column])
            for column, known in event.documented.items()
            if known.bar
        }
        ablations[key] = entry
    out: Json = clean(
        {"event": name, "worlds": len(base), "figures": figures, "ablations": ablations}
    )
    return out


def _compared(found: Any, value: float | None, most: float | None) -> Json:
    if found.size == 0:
        return {"simulated": None, "ratio": None, "most": most, "n": 0}
    low, middle, high = np.quantile(found, RANGE)
    out: Json = {
        "simulated": {"median": middle, "p05": low, "p95": high, "mean": found.mean()},
        "ratio": None, "most": most, "n": int(found.size),
    }  # fmt: skip
    if value:
        median = as_json(tail.estimate(found / value, tail.median))
        out["ratio"] = {**median, "p05": low / value, "p95": high / value}
    return out


def _verdict(figure: Json, median: float | None) -> str:
    """Say whether a median reproduces a figure."""
    value = figure["documented"]
    if value is None or median is None:
        return "not judged"
    if value == 0.0:
        return "yes" if median <= (figure["most"] or 0.0) else "no"
    return "yes" if 1.0 / FACTOR <= median / value <= FACTOR else "no"


def _effect(base: Any, other: Any, column: str, figure: Json) -> Json:
    """Compare an ablation with the event as it was, and with what is documented."""
    values = np.asarray(other[column], np.float64)
    values = values[np.isfinite(values)]
    median = float(np.median(values)) if values.size else None
    known = figure["documented"] and median is not None
    return {
        "median": median,
        "ratio": median / figure["documented"] if known and median is not None else None,
        "verdict": _verdict(figure, median),
        "difference": as_json(difference(base, other, column)),
    }


def shown(value: float | None, unit: str) -> str:
    """Write a figure with its unit."""
    from experiments.report.words import money, number, percent

    if value is None:
        return "n/a"
    if unit == "USD":
        return money(value)
    if unit == "share":
        return percent(value)
    scale, letter = (1e6, "M ") if abs(value) >= 1e6 else (1.0, " ")
    return f"{number(value / scale)}{letter}{unit}".strip()


def console_tables(summary: Json) -> "list[Table]":
    """Return what the terminal shows: a table of figures, and one of ablations where there are."""
    tables = [_figure_table(summary)]
    return tables + ([_ablation_table(summary)] if summary["ablations"] else [])


def _table(title: str, heads: Sequence[str]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for head in heads:
        table.add_column(head, justify="right" if head else "left")
    return table


def _figure_table(summary: Json) -> "Table":
    from experiments.report.words import number

    table = _table(
        f"{summary['event']}: {summary['worlds']:,} worlds",
        ("", "documented", "median world", "5 to 95% of worlds", "ratio", f"within {FACTOR:g}"),
    )
    for figure in summary["figures"].values():
        it, ratio, unit = figure["simulated"], figure["ratio"], figure["unit"]
        table.add_row(
            figure["title"], shown(figure["documented"], unit),
            shown(it["median"], unit) if it else "n/a",
            f"{shown(it['p05'], unit)} to {shown(it['p95'], unit)}" if it else "",
            number(ratio["value"]) if ratio else "", figure["verdict"],
        )  # fmt: skip
    return table


def _ablation_table(summary: Json) -> "Table":
    judged = {column: f for column, f in summary["figures"].items() if f["bar"]}
    heads = [f"{figure['title']}, median (mean difference)" for figure in judged.values()]
    table = _table("One fact changed at a time", ("", *heads))
    for ablation in summary["ablations"].values():
        cells = [ablation["title"]]
        for column, figure in judged.items():
            if "problem" in ablation:
                cells.append("failed")
                continue
            effect, unit = ablation["effects"][column], figure["unit"]
            change = effect["difference"]["value"]
            sign = "+" if change is not None and change > 0.0 else ""
            cells.append(f"{shown(effect['median'], unit)} ({sign}{shown(change, unit)})")
        table.add_row(*cells)
    return table
