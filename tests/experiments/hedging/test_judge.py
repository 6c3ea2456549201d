"""Statistics, intervals and tuning against independent computations."""

from itertools import pairwise

import numpy as np
import pytest

from agents.hedgers.band import FixedBand
from agents.hedgers.hedger import Scalar
from experiments.hedging.judge import differences, statistics
from experiments.hedging.objective import Objective
from experiments.hedging.play import TEST, TRAINING, TUNING, VALIDATION, bound, play
from experiments.hedging.tune import lowest_of, tuned
from sim.metrics import tail


@pytest.fixture
def costs():
    rng = np.random.default_rng(0)
    shared = rng.standard_t(5, size=2000)
    return {
        "a": 1.0 + 0.3 * shared,
        "b": 0.9 + 0.25 * shared + 0.05 * rng.normal(size=2000),
    }


def test_differences_are_those_of_the_sorted_samples(costs):
    found = differences(costs, "a", Objective())
    mean = costs["b"].mean() - costs["a"].mean()
    y = mean + 1.5 * (costs["b"].std() - costs["a"].std())
    assert found["b"]["y"]["value"] == pytest.approx(100.0 * y, rel=1e-12)
    shortfall = tail.expected_shortfall(costs["b"], 0.95) - tail.expected_shortfall(
        costs["a"], 0.95
    )
    assert found["b"]["cvar_95"]["value"] == pytest.approx(100.0 * shortfall, rel=1e-9)
    for figure in ("objective", "y", "cvar_95"):
        nothing = found["a"][figure]
        assert (nothing["value"], nothing["low_95"], nothing["high_95"]) == (0.0, 0.0, 0.0)


def test_intervals_agree_with_the_slow_paired_bootstrap(costs):
    """Another seed and another way of counting: ends agree to a tenth of the width."""
    found = differences(costs, "a", Objective(), seed=1, resamples=2000)["b"]["cvar_95"]
    slow = tail.paired_difference(costs["a"], costs["b"], tail.tail_mean(0.95), n_resamples=2000)
    width = 100.0 * (slow.high - slow.low)
    assert found["low_95"] == pytest.approx(100.0 * slow.low, abs=0.1 * width)
    assert found["high_95"] == pytest.approx(100.0 * slow.high, abs=0.1 * width)


@pytest.mark.parametrize(
    "objective",
    [Objective("mean plus sd", 1.5), Objective("mean plus variance", 2.0), Objective("mean"),
     Objective("expected shortfall", alpha=0.9), Objective("entropic", 2.0)],
    ids=lambda it: it.kind,
)  # fmt: skip
def test_an_objective_resampled_once_each_is_the_objective(objective, costs):
    found = differences(costs, "a", objective, resamples=10)["b"]["objective"]["value"]
    assert found == pytest.approx(100.0 * (objective(costs["b"]) - objective(costs["a"])), rel=1e-9)


def test_statistics_are_of_the_right_columns(cao):
    hedger = bound(FixedBand(half_width=0.1), cao)
    played = play(cao, hedger, 0, TEST, 500)
    found = statistics(played, cao.objective)
    y = pytest.approx(found["mean"] + 1.5 * found["sd"])
    assert found["y"] == y
    assert found["objective"] == y
    assert found["var_95"] <= found["cvar_95"] <= found["cvar_99"]
    assert found["trading"] == pytest.approx(100.0 * played.figures["trading"].mean())
    assert found["funding"] == found["penalty"] == found["liquidated"] == 0.0


def test_worlds_of_training_tuning_and_testing_never_meet():
    ends = sorted([TRAINING, VALIDATION, TUNING, TEST, 1 << 30])
    assert ends == [TRAINING, VALIDATION, TUNING, TEST, 1 << 30]
    assert min(b - a for a, b in pairwise(ends)) == 1 << 28


@pytest.mark.parametrize(("best", "geometric"), [(0.07, True), (0.3, False), (0.01, True)])
def test_tuning_finds_the_lowest_point(best, geometric):
    def worth(x):
        return np.log(x / best) ** 2 if geometric else (x - best) ** 2

    found = lowest_of(worth, Scalar("x", 0.01, 1.0, geometric))
    assert found == pytest.approx(best, rel=0.02)


def test_a_band_is_tuned_to_a_width_that_others_do_not_beat(cao):
    hedger = tuned(cao, bound(FixedBand(), cao), 0, 1000)
    own = cao.objective(play(cao, hedger, 0, TUNING, 1000).cost)
    for width in (0.03, 0.06, 0.15, 0.25):
        other = bound(FixedBand(half_width=width), cao)
        assert own <= cao.objective(play(cao, other, 0, TUNING, 1000).cost)
    assert 0.06 < hedger.half_width < 0.15  # 0.1 on 60,000 paths: hedging.json


def test_environments_of_one_setting_do_not_share_their_paths(cao):
    first, second = cao.worlds(4, TEST), cao.worlds(2, TUNING)
    first.reset(seed=0)
    price = first.state.price.copy()
    path = first.market.path.copy()
    second.reset(seed=1)
    assert first.market.path.shape[0] == 4
    first.step(np.zeros((4, 2)))
    assert (first.market.path == path).all()
    assert (first.state.price == path[:, 1, 0]).all()
    assert (price == path[:, 0, 0]).all()


def test_paths_of_a_record_are_drawn_by_blocks_of_days():
    """A cost that is one for each block of weeks: overlapping paths are no new information.

    400 days, 50 paths on each. Were paths independent, the interval of the mean would be as short
    as 20,000 draws make it; by blocks it is as wide as some 14 of them make it.
    """
    rng = np.random.default_rng(3)
    day = np.repeat(np.arange(400), 50)
    began = 86_400.0 * (day + rng.random(day.size))
    level = np.repeat(rng.normal(size=20), 20)[day]
    costs = {"a": 1.0 + 0.01 * rng.normal(size=day.size), "b": 1.0 + level}
    told = Objective("mean")
    alone = differences(costs, "a", told)["b"]["objective"]
    found = differences(costs, "a", told, began=began)["b"]["objective"]
    assert found["value"] == alone["value"]
    width, narrow = (it["high_95"] - it["low_95"] for it in (found, alone))
    expected = 2.0 * 1.96 * 100.0 * level.std() / np.sqrt(20.0)  # blocks of 20 equal days
    assert narrow < 0.06 * expected
    assert 0.6 * expected < width < 1.4 * expected
    shuffled = differences(costs, "a", told, began=rng.permutation(began))["b"]["objective"]
    assert shuffled["high_95"] - shuffled["low_95"] < 0.4 * expected


def test_the_tail_of_an_uneven_draw_is_that_of_the_repeated_paths():
    costs = {"a": np.zeros(60), "b": np.random.default_rng(1).exponential(size=60)}
    days = np.arange(60) // 6
    objective = Objective("expected shortfall", alpha=0.9)
    seen = differences(costs, "a", objective, seed=4, resamples=1, began=86_400.0 * days)
    start = np.random.default_rng(4).integers(0, 10, 1)
    drawn = (start + np.arange(10)) % 10  # one block, longer than the record: all days once
    repeated = np.concatenate([costs["b"][days == d] for d in drawn])
    expected = 100.0 * tail.expected_shortfall(repeated, 0.9)
    assert seen["b"]["objective"]["low_95"] == pytest.approx(expected, rel=1e-12)
