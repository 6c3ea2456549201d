"""Fixtures shared by all tests."""

import copy
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples everywhere, and no clock: the first call of a kernel may compile it.
settings.register_profile("faultline", deadline=None, derandomize=True)
settings.load_profile("faultline")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data and reference vectors; tests that need it are skipped without it."""
    root = Path(os.environ.get("FAULTLINE_SHARED", ROOT.parent / "shared"))
    if not root.is_dir():
        pytest.skip(
            f"no reference data: neither FAULTLINE_SHARED nor {root.name}/ beside the project"
        )
    return root


@functools.cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    with initialize_config_module("conf", version_base=None):
        cfg = compose("stress", overrides=["name=test", *overrides])
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


@pytest.fixture(scope="session")
def compose() -> Callable[..., dict[str, Any]]:
    """Factory of resolved stress configurations from overrides as on the command line."""

    def build(*overrides: str) -> dict[str, Any]:
        return copy.deepcopy(_composed(overrides))

    return build


@pytest.fixture(scope="session")
def small_crash(compose) -> dict[str, Any]:
    """The default study made small: 300 positions, 200 one-minute blocks, a crash by 40%."""
    return compose(
        "book.n_positions=300",
        "hours=3.3334",
        "check_every=1",
        "scenarios.crash.start_hours=0.2",
        "scenarios.crash.duration_hours=1.5",
    )


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """Factory of models from a configuration, a slice of world ids and agents on top."""
    from unittest import mock

    import experiments.build
    from agents.model import MarketModel
    from sim.events import EventLog

    def build(config, first=0, stop=1, seed=0, extra=None, events=None):
        def model(world, agents):
            return MarketModel(world, {**agents, **(extra or {})})

        with mock.patch.object(experiments.build, "MarketModel", model):
            return experiments.build.build_model(config, seed, first, stop, events or EventLog())

    return build


@pytest.fixture(scope="session")
def scripted() -> Callable[..., Any]:
    """Factory of agents that do what a function of (agent, view) says."""
    from agents.agent import MarketAgent
    from sim.actions import NO_ROWS

    class Scripted(MarketAgent):
        def __init__(self, script=None, holdings=None, enrolls=None):
            self.script, self.holdings = script, holdings or {}
            self.enrolls = enrolls

        def enroll(self, world):
            if self.enrolls:
                self.enrolls(self, world)

        def bind(self, world):
            super().bind(world)
            self.endow(self.holdings)

        def decide(self, view):
            rows = self.script(self, view) if self.script else None
            return NO_ROWS if rows is None else rows

    return Scripted


@pytest.fixture(scope="session")
def trace() -> Callable[..., dict[str, bytes]]:
    """All that one world of a model is, byte by byte: its event log and its whole state."""

    def take(model, w=0) -> dict[str, bytes]:
        world = model.world
        lending = world.venues["lending"]
        rows = world.events.rows()
        found = {
            f"event.{name}": rows[name][rows["world"] == w].tobytes()
            for name in rows.dtype.names
            if name != "world"
        }
        arenas = {f"world.{k}": arena for k, arena in enumerate(world._arenas())}
        arenas |= {name: agent.arena for name, agent in model.members.items()}
        arenas["oracle.memory"] = world.oracle.memory
        for key, arena in arenas.items():
            for name, view in arena.views.items():
                found[f"{key}.{name}"] = view[w].tobytes()
        found["lending.collateral"] = lending.state.collateral[w].tobytes()
        found["lending.debt"] = lending.state.debt[w].tobytes()
        waiting = world.blockspace.pending
        for name in waiting.dtype.names:
            if name != "world":
                found[f"waiting.{name}"] = waiting[name][waiting["world"] == w].tobytes()
        return found

    return take
