"""From a resolved configuration to a model: the only place that knows both."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf

from agents.model import MarketModel
from sim.actions import Verb
from sim.blockspace import BlockSpace
from sim.errors import ConfigError, FaultlineError, InputError, cause_of, reason_of
from sim.events import EventLog
from sim.scenarios.scenario import Composite
from sim.venue import Venue
from sim.world import World

STUDY = frozenset({
    "price", "oracle", "market", "pools", "lending", "blockspace", "background", "sequencer",
    "book", "cast", "engine", "name", "worlds", "chunk", "seed", "data", "prices", "positions",
    "out", "assets", "gas_asset", "block_seconds", "hours", "start", "check_every",
    "record_every", "scenarios",
})  # fmt: skip
"""Keys of a study; `start_given` says whether `start` is the user's word."""

LENDING, MARKET = "lending", "market"
DESCRIBED = ("WETH", "WBTC", "USDC", "DAI")
"""Assets that the files in `conf/` describe; a world may have fewer of them."""


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
    description = config.get(key)
    if not isinstance(description, Mapping) or "_target_" not in description:
        raise ConfigError(
            f"{key} must describe a part with its _target_, got {description!r}; choose one of the "
            f"files of the group {key}"
        )
    return _made(key, description)


def parts(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Make the named parts under a key; a name that is null is left out."""
    made = {}
    for name, description in (config.get(key) or {}).items():
        if description is None:
            continue
        if not isinstance(description, Mapping) or "_target_" not in description:
            raise ConfigError(
                f"{key}.{name} names no part: it has no _target_; choose one of the {key} files "
                f"or remove {key}.{name}"
            )
        made[name] = _made(f"{key}.{name}", description)
    return made


def _made(place: str, description: Mapping[str, Any]) -> Any:
    """Instantiate, and let every error say where in the configuration it arose."""
    try:
        return instantiate(OmegaConf.create(dict(description)), _convert_="all")
    except InstantiationException as error:
        deepest, inner = cause_of(error)
        place = f"{place}.{inner}" if inner else place
        if isinstance(deepest, FaultlineError):
            kind = InputError if isinstance(deepest, InputError) else ConfigError
            raise kind(f"{place}: {deepest}") from error
        node = _below(description, inner)
        reason = reason_of(deepest, None if isinstance(deepest, ImportError) else _maker(node))
        raise ConfigError(
            f"{place} cannot be made from these values{_texts(node)}: {reason}; correct their "
            "names and types"
        ) from error


def _maker(node: Mapping[str, Any]) -> Any:
    """Return what makes a part; None where the description names nothing."""
    return get_object(node["_target_"]) if "_target_" in node else None


def _below(description: Mapping[str, Any], inner: str) -> Mapping[str, Any]:
    """Return the part of a description that dots lead to, empty where they lead nowhere."""
    node: Any = description
    for name in filter(None, inner.split(".")):
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
    return node if isinstance(node, Mapping) else {}


def _texts(node: Mapping[str, Any]) -> str:
    """List the texts among the values of a part: a number that was mistyped is one of them."""
    texts = [
        f"{name}={value}"
        for name, value in node.items()
        if isinstance(value, str) and not name.startswith("_")
    ]
    return f" ({', '.join(texts)})" if texts else ""


def check_run(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for the fields of a study that no part reads."""
    _only_known(config)
    for field, least in (("worlds", 1), ("seed", 0), ("record_every", 1), ("check_every", 0)):
        _whole(field, config[field], least)
    if config.get("chunk") is not None:
        _whole("chunk", config["chunk"], 1)
    for field, unit in (("hours", "hours"), ("block_seconds", "seconds")):
        value = config[field]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and isfinite(value) and value > 0):
            raise ConfigError(f"{field} must be a positive number of {unit}, got {value!r}")
    assets = config["assets"]
    if not isinstance(assets, list) or not assets or len(set(map(str, assets))) < len(assets):
        raise ConfigError(
            f"assets must list different names such as [WETH, USDC], got {assets!r}; correct it"
        )
    if config["gas_asset"] not in assets:
        raise ConfigError(
            f"gas_asset must be one of the assets {', '.join(assets)}, got {config['gas_asset']!r}"
        )


def _only_known(config: Mapping[str, Any]) -> None:
    """Refuse keys that would have no effect."""
    for key in sorted(set(config) - STUDY - {"start_given"}):
        if key == "scenario":
            raise ConfigError(
                "scenario: a file of this group must begin with the line # @package _global_, "
                "or what it says has no effect"
            )
        if key in ("agent", "pool"):
            group = {"agent": "cast", "pool": "pools"}[key]
            raise ConfigError(
                f"{key}: a part of this group needs a name, as in +{key}@{group}.NAME=OPTION"
            )
        raise ConfigError(f"unknown parameter {key}: a study has {', '.join(sorted(STUDY))}")


def _whole(field: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{field} must be a whole number of at least {least}, got {value!r}")


def check(config: Mapping[str, Any], seed: int) -> None:
    """Raise ConfigError or InputError for a configuration that no world can run.

    Makes one world and throws it away, so that bad input stops a study before it starts.
    """
    try:
        build_model(config, seed, 0, 1).close()
    except FaultlineError as error:
        named = re.search(r"unknown asset '?(\w+)'?", str(error))
        where = ", ".join(_mentions(config, named[1])) if named else ""
        if not where:
            raise
        raise ConfigError(f"{error} (named in {where})") from error


def _mentions(config: Any, name: str, place: str = "") -> list[str]:
    """List the places of a configuration that name something."""
    if isinstance(config, Mapping):
        own = [place] if place and name in config else []
        return own + [
            found
            for key, value in config.items()
            for found in _mentions(value, name, f"{place}.{key}" if place else str(key))
        ]
    return [place] if config == name or (isinstance(config, list) and name in config) else []


def without_unused(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the configuration files say about assets that this world does not have.

    So `assets=[WETH,USDC,DAI]` is enough to leave WBTC out of reserves, pools, holdings and
    scenarios. An asset that no file describes is never left out: its name is an error.
    """
    unused = {name for name in DESCRIBED if name not in config["assets"]}
    kept = _without(config, unused) if unused else dict(config)
    assert isinstance(kept, dict)
    return kept


def _without(config: Any, unused: set[str]) -> Any:
    if isinstance(config, Mapping):
        return {
            key: _without(value, unused)
            for key, value in config.items()
            if not unused.intersection(str(key).split("/")) and not _trades(value, unused)
        }
    if isinstance(config, list):
        return [value for value in config if value not in unused]
    return config


def _trades(description: Any, unused: set[str]) -> bool:
    """Whether a part is a pool of an asset that is not used."""
    if not isinstance(description, Mapping):
        return False
    return bool(unused & {description.get("asset_0"), description.get("asset_1")})


def build_model(
    config: Mapping[str, Any], seed: int, first: int, stop: int, events: EventLog | None = None
) -> MarketModel:
    """Make a bound model of the worlds `first`, ..., `stop - 1`.

    Parameters
    ----------
    config : mapping
        A resolved stress configuration (`conf/study.yaml`).
    seed : int
    first, stop : int
        Slice of world ids.
    events : EventLog, optional
        What is kept of the executed rows; liquidations that happened when left out.
    """
    hours, block_seconds = float(config["hours"]), float(config["block_seconds"])
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
