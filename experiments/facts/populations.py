"""Populations that the study can run: a control of pure chance and the crowds of `sim.crowd`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import ConfigError
from sim.metrics.market_record import MarketRecord

CHANCE = "chance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """A cast of traders that can be run for a while."""

    name: str
    about: str  # one line: who trades
    run: Callable[[int, float], MarketRecord]  # seed, seconds


def populations() -> dict[str, Population]:
    """Every population by name, the control last."""
    control = Population(
        name=CHANCE,
        about="control: unrelated orders on a Poisson clock beside a Gaussian walk; no order book",
        run=chance,
    )
    return {control.name: control}


def chosen(word: str) -> list[Population]:
    """Look up the populations named by `all`, `none`, or names between commas."""
    known = populations()
    if word == "all":
        return list(known.values())
    names: Sequence[str] = [] if word == "none" else [name.strip() for name in word.split(",")]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"unknown population {name}: choose all, none, or some of {', '.join(known)}"
            )
    return [known[name] for name in dict.fromkeys(names)]


def chance(seed: int, seconds: float) -> MarketRecord:
    """Run the control: it has a clock, signs, sizes and a price, and nothing depends on anything.

    What the measurement finds here it would find anywhere: a band that held these values would be
    no evidence of a fact.
    """
    draw = np.random.Generator(np.random.Philox(key=[int(seed), 0xFAC7]))
    n = int(draw.poisson(seconds))
    time = np.sort(draw.uniform(0.0, seconds, n))
    sign = draw.choice(np.array([-1, 1], np.int64), n)
    quote_time = np.arange(0.0, seconds, 0.25)
    mid = 1000.0 * np.exp(np.cumsum(3e-5 * draw.standard_normal(len(quote_time))))
    before = np.maximum(np.searchsorted(quote_time, time) - 1, 0)
    sampled = quote_time[::40]
    return MarketRecord(
        name=CHANCE,
        tick=0.01,
        trade_time=time,
        trade_price=mid[before] + 0.01 * sign,
        trade_size=draw.exponential(100.0, n),
        trade_sign=sign,
        quote_time=quote_time,
        bid=mid - 0.01,
        ask=mid + 0.01,
        bid_size=draw.exponential(100.0, len(mid)),
        ask_size=draw.exponential(100.0, len(mid)),
        depth_time=sampled,
        bid_depth=draw.exponential(100.0, (len(sampled), 40)),
        ask_depth=draw.exponential(100.0, (len(sampled), 40)),
    )
