"""Deltas moved by a number: against the delta they move, and tuned where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from agents.hedgers.band import FixedBand
from agents.hedgers.delta import Delta
from agents.hedgers.shifted import ScaledDelta, ShiftedBand, VolatilityDelta
from envs.hedging.market import PathMarket
from envs.hedging.terms import Action, Costs, Mark, Reward
from experiments.hedging.play import Setting, bound, play, sight_of
from experiments.hedging.tune import tuned
from sim.errors import ConfigError
from sim.prices.diffusion import GeometricBrownian
from sim.prices.heston import Heston


@pytest.fixture(scope="module")
def setting():
    """The standard test without costs, judged by its standard deviation."""
    from envs.registration import parts

    made = Setting(**parts("cao_2021", {}))
    terms = replace(
        made.terms, costs=Costs(proportional=0.0), reward=Reward(kind="telescoping", k=50.0),
        action=Action(low=-0.5, high=1.5),
    )  # fmt: skip
    return Setting(terms, made.market)


def sight(setting, steps=4):
    env = setting.worlds(300, 0)
    observation, _ = env.reset(seed=1)
    for _ in range(steps):
        observation, *_ = env.step(np.zeros((300, 2)))
    return sight_of(env, observation)


def test_targets_are_what_their_names_say(setting):
    seen = sight(setting)
    assert seen.delta.std() > 0.05
    scaled = bound(ScaledDelta(factor=0.8), setting).target(seen)
    np.testing.assert_allclose(scaled, 0.8 * seen.delta)
    shifted = bound(ShiftedBand(shift=-0.1, half_width=0.0), setting).target(seen)
    np.testing.assert_allclose(shifted, seen.delta - 0.1)
    band = bound(ShiftedBand(shift=0.2, half_width=0.05), setting).target(seen)
    np.testing.assert_allclose(
        band, np.clip(seen.holding, seen.delta + 0.15, seen.delta + 0.25), rtol=1e-12
    )
    plain = bound(FixedBand(half_width=0.07), setting).target(seen)
    same = bound(ShiftedBand(shift=0.0, half_width=0.07), setting).target(seen)
    np.testing.assert_array_equal(plain, same)


@pytest.mark.parametrize("mean_reversion", [0.0, 20.0])
def test_another_volatility_is_that_of_every_part_of_the_mark(setting, mean_reversion):
    """Delta at 1.3 of the volatility is what a market marked at 1.3 of it calls delta."""
    heston = Heston(initial={"S": 100.0}, volatility=0.3, long_run_volatility=0.3, vol_of_vol=1.0)

    def marked(by):
        mark = Mark(
            multiplier=by, mean_reversion=mean_reversion, long_run_volatility=0.4 * by,
            jump_volatility=0.2 * by,
        )  # fmt: skip
        return Setting(replace(setting.terms, mark=mark), PathMarket(process=heston))

    there = bound(VolatilityDelta(multiplier=1.3), marked(1.0)).target(sight(marked(1.0)))
    np.testing.assert_allclose(there, sight(marked(1.3)).delta, atol=1e-9)
    same = bound(VolatilityDelta(multiplier=1.0), marked(1.0)).target(sight(marked(1.0)))
    np.testing.assert_allclose(same, bound(Delta(), marked(1.0)).target(sight(marked(1.0))))


def test_tuning_finds_the_volatility_of_the_world(setting):
    """Marks at 0.2 in a world of 0.35 without costs: the least spread is near the true delta."""
    process = GeometricBrownian(initial={"S": 100.0}, volatility=0.35)
    terms = replace(setting.terms, mark=Mark(volatility=0.2))
    wrong = Setting(terms, PathMarket(process=process))
    found = tuned(wrong, bound(VolatilityDelta(), wrong), 0, 4000)
    assert found.multiplier == pytest.approx(1.75, rel=0.15)


def test_a_band_is_tuned_in_both_numbers_and_is_no_worse_than_either(setting):
    costly = Setting(replace(setting.terms, costs=Costs(proportional=0.01)), setting.market)
    worth = {}
    for name, hedger in {
        "both": ShiftedBand(), "shift": ShiftedBand(half_width=0.0), "delta": Delta(),
    }.items():  # fmt: skip
        ready = tuned(costly, bound(hedger, costly), 0, 2000)
        assert ready.scalar is None
        worth[name] = costly.objective(play(costly, ready, 0, 2 << 28, 2000).cost)
    assert worth["both"] <= worth["shift"] <= worth["delta"]


def test_bad_numbers():
    with pytest.raises(ConfigError, match="factor must lie in"):
        ScaledDelta(factor=-1.0)
    with pytest.raises(ConfigError, match="multiplier must lie in"):
        VolatilityDelta(multiplier=0.0)
    with pytest.raises(ConfigError, match="half_width must lie in"):
        ShiftedBand(half_width=-0.1)
