"""The league's figures from tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from experiments.league import table
from sim.errors import ConfigError

N = 200
DEBT = 1e6


def worlds(bad_debt, loss=0.0, first=0):
    """Make a table of worlds; numbers or arrays of N."""
    columns = {
        "world": np.arange(first, first + N),
        "bad_debt_usd": np.broadcast_to(bad_debt, N),
        "borrower_loss_usd": np.broadcast_to(loss, N),
        "initial_debt_usd": np.full(N, DEBT),
        "initial_collateral_usd": np.full(N, 2 * DEBT),
        "booked_bad_debt_usd": np.zeros(N),
        "backer_profit_usd": np.zeros(N),
    }
    return pd.DataFrame(columns | {c: np.zeros(N) for c in table.MEANS if c not in columns})


@pytest.fixture
def shocks():
    return np.random.default_rng(1).lognormal(8.0, 1.0, N)


def test_differences_are_paired_by_world(shocks):
    found = table.summarise({"a": worlds(shocks), "b": worlds(shocks + 10.0)}, "a")
    difference = found["b"]["difference"]["bad_debt_mean"]
    assert difference["value"] == pytest.approx(10.0)
    assert difference["low_95"] == pytest.approx(10.0)  # what both share cancels
    assert difference["high_95"] == pytest.approx(10.0)
    alone = found["b"]["bad_debt"]["mean"]
    assert alone["high_95"] - alone["low_95"] > 100.0
    assert "difference" not in found["a"]


def test_a_world_that_one_mechanism_lost_counts_for_neither(shocks):
    short = worlds(shocks + 10.0).iloc[50:]
    it = table.paired(worlds(shocks), short, "bad_debt_usd", table.STATISTICS["mean"], 0)
    assert it.n == N - 50
    assert it.value == pytest.approx(10.0)


def test_a_pair_is_ranked_where_it_is_told_and_matters(shocks):
    noise = np.random.default_rng(2).normal(0.0, 2e4, N)
    found = table.ranking(
        {"a": worlds(shocks), "dust": worlds(shocks + 10.0), "worse": worlds(shocks + 1e3),
         "noisy": worlds(shocks + 200.0 + noise)}, 1e-4, "es_95",
    )["bad_debt_mean"]  # fmt: skip
    assert found["a|dust"] == 0  # told apart, by 10 USD of a million
    assert found["a|worse"] == -1
    assert found["dust|worse"] == -1
    assert found["a|noisy"] == 0


def test_survival_counts_what_holds_and_what_turns_around():
    base = {"x": {"a|b": -1, "a|c": 0, "b|c": 1}}
    others = {
        "same": {"x": {"a|b": -1, "a|c": -1, "b|c": 1}},
        "flat": {"x": {"a|b": 0, "a|c": 0, "b|c": 0}},
        "turned": {"x": {"a|b": 1, "b|c": 1}},
    }
    first, second = table.survival(base, others)["x"]
    assert (first["better"], first["worse"]) == ("a", "b")
    assert first["kept"] == ["same"]
    assert first["lost"] == ["flat"]
    assert first["reversed"] == ["turned"]
    assert (second["better"], second["worse"]) == ("c", "b")
    assert second["kept"] == ["same", "turned"]


@pytest.mark.parametrize(
    ("curve", "expected"),
    [([0.0, 1.0, 3.0], 0.75), ([0.0, 0.0, 0.4], np.inf), ([1.0, 2.0, 3.0], -np.inf),
     ([0.0, 0.4, 0.6], 0.85)],
)  # fmt: skip
def test_a_crossing_lies_on_the_line_between_two_points(curve, expected):
    ltvs = np.array([0.7, 0.8, 0.9])
    assert table.crossing(ltvs, np.array(curve), 0.5) == pytest.approx(expected)


def test_efficiency_is_the_threshold_at_the_reference_tail():
    """Bad debt is linear in the threshold: twice the slope, half the way."""
    shock = np.random.default_rng(3).uniform(0.5, 1.5, N)
    grid = {
        name: {ltv: worlds(slope * (ltv - 0.7) * shock * 1e5) for ltv in (0.7, 0.8, 0.9)}
        for name, slope in (("a", 1.0), ("steep", 2.0), ("safe", 0.0))
    }
    found = table.efficiency(grid, "a", "es_95", None, 0.8)
    assert found["mechanisms"]["a"]["value"] == pytest.approx(0.8)
    steep = found["mechanisms"]["steep"]
    assert steep["value"] == pytest.approx(0.75)
    assert steep["low_95"] == pytest.approx(0.75)  # the same worlds in both: no noise between them
    assert steep["high_95"] == pytest.approx(0.75)
    assert found["mechanisms"]["safe"]["side"] == "above"
    absolute = table.efficiency(grid, "a", "mean", 0.01, 0.8)["mechanisms"]["a"]
    assert absolute["value"] == pytest.approx(0.7 + 0.1 / shock.mean())
    assert absolute["low_95"] < absolute["value"] < absolute["high_95"]
    floor = table.efficiency(grid, "safe", "mean", None, 0.8, least=0.01)
    assert floor["target"] == 0.01


def test_a_target_that_cannot_be_read_is_refused():
    grid = {"a": {0.7: worlds(0.0), 0.9: worlds(1.0)}}
    with pytest.raises(ConfigError, match="ltvs must hold liquidation_ltv"):
        table.efficiency(grid, "a", "mean", None, 0.8)
    with pytest.raises(ConfigError, match="tail must be one of"):
        table.efficiency(grid, "a", "es_97", None, 0.8)
    with pytest.raises(ConfigError, match="reference"):
        table.efficiency(grid, "b", "mean", None, 0.8)
