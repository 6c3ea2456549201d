"""From a resolved configuration to a model: the only place that knows both."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import OmegaConf

from agents.model import MarketModel
from sim.actions import Verb
from sim.blockspace import BlockSpace
from sim.errors import ConfigError
from sim.events import EventLog
from sim.scenarios.scenario import Composite
from sim.venue import Venue
from sim.world import World

LENDING, MARKET = "lending", "market"


def unix_time(text: str) -> float:
    """Seconds since 1970 of a UTC time such as `2020-03-12T00:00`."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise ConfigError(
            f"start must be a UTC time such as 2020-03-12T00:00, got {text!r}"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def part(config: Mapping[str, Any], key: str) -> Any:
    """Make the part that a key of the configuration describes."""
    return instantiate(OmegaConf.create(dict(config[key])), _convert_="all")


def parts(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Make the named parts under a key."""
    made = {}
    for name, description in (config.get(key) or {}).items():
        if description is None:
            continue
        if "_target_" not in description:
            raise ConfigError(
                f"{key}.{name} names no part: it has no _target_; choose one of the {key} files "
                f"or remove {key}.{name}"
            )
        made[name] = instantiate(OmegaConf.create(dict(description)), _convert_="all")
    return made


def check(config: Mapping[str, Any], seed: int) -> None:
    """Raise ConfigError or InputError for a configuration that no world can run.

    Makes one world and throws it away, so that bad input stops a study before it starts.
    """
    build_model(config, seed, 0, 1).close()


def build_model(
    config: Mapping[str, Any], seed: int, first: int, stop: int, events: EventLog | None = None
) -> MarketModel:
    """Make a bound model of the worlds `first`, ..., `stop - 1`.

    Parameters
    ----------
    config : mapping
        A resolved stress configuration (`conf/stress.yaml`).
    seed : int
    first, stop : int
        Slice of world ids.
    events : EventLog, optional
        What is kept of the executed rows; liquidations that happened when left out.
    """
    hours, block_seconds = float(config["hours"]), float(config["block_seconds"])
    if not (hours > 0 and block_seconds > 0):
        raise ConfigError(
            f"hours and block_seconds must be positive, got {hours} and {block_seconds}"
        )
    venues: dict[str, Venue] = {MARKET: part(config, MARKET), LENDING: part(config, LENDING)}
    for name, pool in parts(config, "pools").items():
        if name in venues:
            raise ConfigError(f"pools.{name} has the name of another venue; rename it")
        venues[name] = pool
    prices = part(config, "price")
    world = World(
        assets=list(config["assets"]),
        gas_asset=config["gas_asset"],
        block_seconds=block_seconds,
        n_blocks=max(1, round(hours * 3600.0 / block_seconds)),
        start=prices.start or unix_time(config["start"]),
        prices=prices,
        oracle=part(config, "oracle"),
        venues=venues,
        market=MARKET,
        blockspace=BlockSpace(part(config, "blockspace"), part(config, "background")),
        scenarios=[Composite(parts(config, "scenarios"))],
        sequencer=part(config, "sequencer"),
        seed=seed,
        world_ids=np.arange(first, stop),
        check_every=int(config["check_every"]),
        events=events or EventLog([Verb.LIQUIDATE], rejected=False),
    )
    return MarketModel(world, parts(config, "cast"))
