"""Populations that the study can run: a control of pure chance and the crowds of `conf/crowd`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ConfigError
from sim.metrics.market_record import MarketRecord, Metaorders

if TYPE_CHECKING:
    from sim.crowd.run import Recording

CHANCE = "chance"
WARM_UP = 600.0
"""s that a crowd runs before its record begins: the book fills from nothing."""

_FOLLOWERS = ("makers",)
"""Casts that only follow a price from outside, as the stress study gives them one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """A cast of traders that can be run for a while."""

    name: str
    about: str  # who trades
    run: Callable[[int, float], MarketRecord]  # seed, seconds


def populations() -> dict[str, Population]:
    """Every population by name, the control last."""
    found = {}
    for path in sorted(files("conf").joinpath("crowd").iterdir(), key=lambda it: it.name):
        name, dot, kind = path.name.rpartition(".")
        if dot and kind == "yaml" and name not in _FOLLOWERS:
            found[name] = Population(name=name, about=_about(path), run=partial(crowd, path))
    found[CHANCE] = Population(
        name=CHANCE,
        about="control: unrelated orders on a Poisson clock beside a Gaussian walk; no order book",
        run=chance,
    )
    return found


def _about(path: Traversable) -> str:
    """First sentence of the comment at the head of a configuration."""
    head: list[str] = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        head.append(line.lstrip("# "))
    return " ".join(head).split(". ")[0].rstrip(".")


def crowd(path: Traversable, seed: int, seconds: float) -> MarketRecord:
    """Run a crowd beside a book of its own, one world, and give what its exchange recorded."""
    from omegaconf import OmegaConf

    from experiments.build import part
    from sim.crowd.crowd import Crowd
    from sim.crowd.run import simulate

    described = OmegaConf.to_container(OmegaConf.create(path.read_text()), resolve=True)
    cast = part({"crowd": described}, "crowd")
    assert isinstance(cast, Crowd)
    name = path.name.removesuffix(".yaml")
    (found,) = simulate(
        cast, seed=seed, seconds=WARM_UP + seconds, warm_up=WARM_UP, name=name,
    )  # fmt: skip
    return record_of(found)


def record_of(found: "Recording") -> MarketRecord:
    """Turn the recording of a crowd into a record; quotes with an empty side are left out."""
    whole = (found.bid > 0.0) & (found.ask > 0.0)
    parent = None
    if len(found.parent_size):
        parent = Metaorders(
            size=found.parent_size, start=found.parent_start, end=found.parent_end,
            side=found.parent_side, average_price=found.parent_price,
            price_before=found.parent_before,
        )  # fmt: skip
    return MarketRecord(
        name=found.name, tick=found.tick, trade_time=found.trade_time,
        trade_price=found.trade_price, trade_size=found.trade_size, trade_sign=found.trade_sign,
        quote_time=found.quote_time[whole], bid=found.bid[whole], ask=found.ask[whole],
        bid_size=found.bid_size[whole], ask_size=found.ask_size[whole],
        depth_time=found.depth_time, bid_depth=found.bid_depth, ask_depth=found.ask_depth,
        order_time=found.order_time, order_size=found.order_size,
        order_distance=found.order_distance, parent=parent,
    )  # fmt: skip


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
