"""Figures of the benchmark: a peer that is there is measured, one that is not is told."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from experiments.bench import Figure, hedging

PEER = "mbt_gym.gym.TradingEnvironment"


class Trading:
    """What mbt_gym's environment is called with."""

    made = 0

    def __init__(self, num_trajectories):
        type(self).made, self.steps = num_trajectories, 0
        self.action_space = SimpleNamespace(shape=(2,))

    def reset(self):
        self.steps = 0

    def step(self, action):
        assert action.shape == (self.made, 2)
        assert np.abs(action).max() <= 1.0
        self.steps += 1
        assert self.steps <= 200  # of an episode


def installed(monkeypatch, **contents):
    names = ("mbt_gym", "mbt_gym.gym", PEER)
    for name in names:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=name != PEER)
        monkeypatch.setitem(sys.modules, name, module)
    vars(sys.modules[PEER]).update(contents)


def test_a_figure_knows_its_bar():
    assert Figure("x", 2.0, bar=1.0, at_least=True).met
    assert not Figure("x", 2.0, bar=1.0).met
    assert Figure("x", None, bar=1.0).met is None


def test_the_market_making_peer_is_measured_where_it_is(monkeypatch):
    installed(monkeypatch, TradingEnvironment=Trading)
    figure = hedging.mbt_gym(1e9)
    assert Trading.made == hedging.WORLDS
    assert figure.value > 0.0
    assert "4,096 trajectories" in figure.note


def test_a_peer_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mbt_gym", None)
    monkeypatch.setattr(hedging.importlib.util, "find_spec", lambda _: None)
    assert hedging.mbt_gym(1e6).note == "mbt_gym is not installed"
    (figure,) = hedging.learning()
    assert (figure.value, figure.note) == (None, "torch is not installed")


def test_a_peer_that_lacks_something_is_told(monkeypatch):
    installed(monkeypatch)
    figure = hedging.mbt_gym(1e6)
    assert figure.value is None
    assert "mbt_gym cannot be imported" in figure.note


@pytest.mark.slow
def test_learning_is_measured_by_a_training(monkeypatch):
    for library in ("torch", "stable_baselines3"):
        pytest.importorskip(library, reason=f"{library}, which trains policies, is not installed")
    monkeypatch.setattr(hedging, "SEGMENTS", 2)
    monkeypatch.setattr(hedging, "UPDATES", 1)
    (figure,) = hedging.learning()
    assert figure.unit == "k/s"
    assert figure.value > 1.0
    assert "2,048 worlds" in figure.note
