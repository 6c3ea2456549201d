"""Borrowers' traits and the inspection calendar."""

import numpy as np
import pytest

from agents.populations.behaviour import BorrowerParams, Reaction, calendar, draw_traits
from sim.errors import ConfigError


def test_traits_are_a_function_of_the_seed():
    one, same = draw_traits(BorrowerParams(), 500, 3), draw_traits(BorrowerParams(), 500, 3)
    other = draw_traits(BorrowerParams(), 500, 4)
    assert all(np.array_equal(getattr(one, f), getattr(same, f)) for f in one.__slots__)
    assert not np.array_equal(one.trigger, other.trigger)


def test_another_parameter_leaves_the_other_traits_alone():
    one = draw_traits(BorrowerParams(), 500, 3)
    slow = draw_traits(BorrowerParams(delay_median_seconds=3000.0), 500, 3)
    assert np.allclose(slow.delay, 10.0 * one.delay)
    assert np.array_equal(one.wallet, slow.wallet)
    assert np.array_equal(one.reaction, slow.reaction)


def test_shares_and_medians_are_those_asked_for():
    traits = draw_traits(BorrowerParams(), 100_000, 0)
    shares = np.bincount(traits.reaction, minlength=4) / 1e5
    assert shares == pytest.approx([0.35, 0.25, 0.30, 0.10], abs=5 * 0.5 / np.sqrt(1e5))
    assert np.median(traits.delay) == pytest.approx(300.0, rel=0.03)
    assert np.median(traits.wallet) == pytest.approx(0.15, rel=0.03)
    low = traits.trigger[traits.reaction == Reaction.REPAY]
    assert np.median(low) == pytest.approx(1.12, abs=0.005)


def test_defenders_aim_above_their_trigger_and_releveragers_below():
    traits = draw_traits(BorrowerParams(), 10_000, 0)
    lever = traits.reaction == Reaction.RELEVERAGE
    assert (traits.target[~lever] > traits.trigger[~lever]).all()
    assert (traits.target[lever] < traits.trigger[lever]).all()
    assert (traits.target > 1.0).all()


def test_nobody_is_triggered_by_the_health_that_they_started_with():
    health = 1.0 + np.random.default_rng(0).exponential(0.5, 10_000)
    health[:3] = [np.inf, 1.0, 0.9]
    traits = draw_traits(BorrowerParams(), 10_000, 0, health)
    lever = traits.reaction == Reaction.RELEVERAGE
    start = health > 1.0
    assert (traits.trigger[~lever & start] < health[~lever & start]).all()
    finite = lever & np.isfinite(health)
    assert (traits.trigger[finite] > health[finite]).all()
    assert (traits.trigger >= 1.0).all()


@pytest.mark.parametrize("block_seconds", [12.0, 60.0, 1000.0])
def test_everybody_who_reacts_is_inspected_once_per_interval(block_seconds):
    traits = draw_traits(BorrowerParams(), 3000, 1)
    plan = calendar(traits, block_seconds)
    assert sorted(plan.order.tolist()) == list(range(3000))
    moved = traits.take(plan.order)
    horizon = int(plan.periods.max())
    seen = np.zeros(3000, int)
    for step in range(horizon):
        pairs = plan.ranges(step)
        assert pairs.flags.c_contiguous
        for c, (start, stop) in enumerate(pairs):
            assert (moved.interval[start:stop] == c).all()
            seen[start:stop] += 1
    never = moved.reaction == Reaction.NEVER
    assert (seen[never] == 0).all()
    expected = np.ceil(horizon / plan.periods[moved.interval[~never]])
    assert (np.abs(seen[~never] - expected) <= 1).all()
    assert (seen[~never] >= 1).all()
    assert np.array_equal(plan.ranges(5), plan.ranges(5 + int(np.lcm.reduce(plan.periods))))


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"never": 0.5}, "must be shares that sum to 1"),
        ({"trigger_median": 1.0}, "trigger_median must exceed 1, got 1.0"),
        ({"delay_sigma": -1.0}, "delay_sigma must be zero or more, got -1.0"),
        ({"wallet_median": 0.0}, "wallet_median must be positive, got 0.0"),
        ({"interval_share": {"bot": 1.0}}, "must name the same classes"),
        ({"interval_seconds": {"a": 0.0}, "interval_share": {"a": 1.0}}, "must be positive s"),
    ],
)
def test_bad_parameters_get_one_sentence(terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        BorrowerParams(**terms)


def test_bad_calls_get_one_sentence():
    with pytest.raises(ConfigError, match="one number per position"):
        draw_traits(BorrowerParams(), 3, 0, np.ones(2))
    with pytest.raises(ConfigError, match="block_seconds must be positive"):
        calendar(draw_traits(BorrowerParams(), 3, 0), 0.0)
