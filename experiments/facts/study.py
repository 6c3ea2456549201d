"""Measure populations and recorded markets alike, and set them side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.facts import recorded
from experiments.facts.populations import CHANCE, Population
from experiments.progress import Progress
from experiments.report.words import number
from sim.errors import InputError
from sim.metrics.estimators import Z95
from sim.metrics.fact_bands import MEASURED, WITHOUT_VERDICT, band, is_certain, reproduces
from sim.metrics.fact_curves import Curves, curves, mean_curves
from sim.metrics.stylised_facts import CATALOGUE, Fact, combine, measure

SIMULATED, RECORDED, EMBEDDED = "simulated", "recorded", "embedded"
TITLES = {spec.name: spec.title for spec in CATALOGUE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The facts of one population or one recorded market."""

    name: str
    kind: str  # simulated, recorded or embedded
    about: str
    facts: dict[str, Fact]
    curves: Curves = field(default_factory=dict)  # none where only the numbers are at hand

    @property
    def is_simulated(self) -> bool:
        """Whether a population made it."""
        return self.kind == SIMULATED

    def judged(self, verdict: bool | None) -> list[Fact]:
        """Facts that have a band and this verdict; None: those that could not be measured."""
        return [
            fact
            for fact in self.facts.values()
            if fact.name not in WITHOUT_VERDICT and reproduces(fact) is verdict
        ]

    def headline(self) -> str:
        """Say how many facts it reproduces."""
        yes, no, absent = (len(self.judged(verdict)) for verdict in (True, False, None))
        missing = f", {absent} could not be measured" if absent else ""
        return f"{self.name} reproduces {yes} of {yes + no} facts{missing}"


def beyond_chance(market: Market, markets: Sequence[Market]) -> int | None:
    """Count the facts that a market reproduces and the control of pure chance does not.

    None where the control was not run. A fact that chance reproduces too is no achievement.
    """
    control = next((it for it in markets if it.is_simulated and it.name == CHANCE), None)
    if control is None:
        return None
    free = {fact.name for fact in control.judged(True)}
    return sum(fact.name not in free for fact in market.judged(True))


def simulated(
    population: Population, seeds: Sequence[int], seconds: float, progress: Progress
) -> Market:
    """Run a population with several seeds and combine what they show."""
    tables, drawn = [], []
    for seed in seeds:
        record = population.run(seed, seconds)
        if len(record.quote_time) < 2 and len(record.trade_time) < 2:
            raise InputError(
                f"population {population.name} with seed {seed} neither quoted nor traded within "
                f"{seconds:g} s: give it more seconds"
            )
        tables.append(measure(record, 100 if len(seeds) == 1 else 0))
        drawn.append(curves(record))
        progress.advance(1)
    seeds_word = "seed" if len(seeds) == 1 else "seeds"
    return Market(
        name=population.name,
        kind=SIMULATED,
        about=f"{population.about}; {len(seeds)} {seeds_word} of {number(seconds)} s",
        facts=combine(tables),
        curves=mean_curves(drawn),
    )


def real(folder: Path | None, progress: Progress) -> list[Market]:
    """Measure the recorded markets of a folder; without one, give the numbers that are kept."""
    if folder is None:
        return [embedded(name) for name in MEASURED]
    out = []
    for name, path in recorded.recorded(folder):
        progress.say(f"measuring {name}")
        record = recorded.read(name, path)
        about = f"{path.name}, {number(record.seconds)} s, {len(record.trade_time):,} trades"
        out.append(
            Market(name=name, kind=RECORDED, about=about, facts=measure(record),
                   curves=curves(record))
        )  # fmt: skip
    return out


def embedded(name: str) -> Market:
    """Give a recorded market as the numbers that its measurement left."""
    facts = {}
    for spec in CATALOGUE:
        value, error, n = MEASURED[name].get(spec.name, (math.nan, None, 0))
        reach = math.nan if error is None else Z95 * error
        facts[spec.name] = Fact(
            name=spec.name, value=value, error=math.nan if error is None else error,
            low=value - reach, high=value + reach, n=n,
            remark="" if n else "not measured: too short or not recorded",
        )  # fmt: skip
    return Market(
        name=name,
        kind=EMBEDDED,
        about="numbers measured before; data=DIR measures anew",
        facts=facts,
    )


def edge(value: float) -> str:
    """Write a value or the end of a band; a cut that lies a hair inside reads as the cut."""
    kept = round(value, 4 if abs(value) < 1e-3 else 8)
    return number(kept if kept else 0.0).replace("-", "\u2212")


def shown(fact: Fact) -> str:
    """Write the value of a fact; `none` where there was nothing to measure, though data enough."""
    if math.isfinite(fact.value):
        return edge(fact.value)
    return "none" if fact.is_denied else ""


def band_text(name: str) -> str:
    """Write a band in words."""
    where = band(name)
    if where is None:
        return "no verdict"
    return f"{edge(where.low)} to {edge(where.high)}"


def rows(markets: Sequence[Market]) -> dict[str, list[Any]]:
    """Columns of the table of all facts of all markets."""
    out: dict[str, list[Any]] = {}
    for market in markets:
        for fact in market.facts.values():
            where = band(fact.name)
            row = {
                "market": market.name, "kind": market.kind, "fact": fact.name,
                "title": TITLES[fact.name], "value": fact.value, "error": fact.error,
                "low": fact.low, "high": fact.high, "n": fact.n, "n_seeds": fact.n_seeds,
                "band_low": where.low if where else math.nan,
                "band_high": where.high if where else math.nan,
                "reproduces": reproduces(fact), "certain": is_certain(fact),
                "denied": fact.is_denied, "remark": fact.remark,
            }  # fmt: skip
            for key, value in row.items():
                out.setdefault(key, []).append(value)
    return out


def printed(markets: Sequence[Market]) -> str:
    """Lay out the table for a terminal: + inside the band, - outside, blank without verdict."""
    marks = {True: "+", False: "-", None: " "}
    width = max(len(title) for title in TITLES.values())
    lines = []
    for i, market in enumerate(markets, 1):
        lines.append(f"[{i}] {market.name} ({market.kind}): {market.about}")
    head = "".join(f"{f'[{i}]':>11}" for i in range(1, len(markets) + 1))
    lines.append(f"\n{'fact':<{width}}  {'band':<16}{head}")
    for name, title in TITLES.items():
        cells = ""
        for market in markets:
            fact = market.facts[name]
            cells += f"{shown(fact) or '.':>10}{marks[reproduces(fact)]}"
        lines.append(f"{title:<{width}}  {band_text(name):<16}{cells}")
    return "\n".join(lines)


def sentences(market: Market, markets: Sequence[Market]) -> list[str]:
    """Say which facts a market reproduces, which it misses, and which it cannot be asked for."""
    yes, no, absent = (market.judged(verdict) for verdict in (True, False, None))
    beyond = beyond_chance(market, markets)
    control = "" if beyond is None else f" ({beyond} that the control of pure chance does not)"
    out = [f"{market.headline()}{control}:"]
    out.append(f"  reproduced: {', '.join(f.name for f in yes) or 'none'}")
    missed = (f"{f.name} ({shown(f)}, band {band_text(f.name)})" for f in no)
    out.append(f"  missed: {', '.join(missed) or 'none'}")
    if absent:
        why = (f"{f.name} ({f.remark})" if f.remark else f.name for f in absent)
        out.append(f"  not measured: {', '.join(why)}")
    return out
