"""Delta hedging on every row of the standard test, against the published and re-run figures."""

import json
import math

import numpy as np
import pytest

from envs.registration import vector_env

ROWS = {  # steps, days of a step; mean and sd of the authors' code run again
    ("1month", "every5day"): (4, 5, 68.65, 49.54),
    ("1month", "every3day"): (7, 3, 77.94, 41.91),
    ("1month", "every2day"): (10, 2, 88.02, 39.24),
    ("1month", "daily"): (20, 1, 107.62, 37.67),
    ("3month", "every5day"): (12, 5, 54.54, 31.13),
    ("3month", "every3day"): (20, 3, 63.17, 27.90),
    ("3month", "every2day"): (30, 2, 71.71, 26.99),
    ("3month", "daily"): (60, 1, 90.58, 29.21),
}
SABR = {  # the same of the practitioner's delta, volatility moving
    ("1month", "every5day"): (4, 5, 68.99, 50.10),
    ("1month", "every3day"): (7, 3, 78.37, 42.51),
    ("1month", "every2day"): (10, 2, 88.46, 39.81),
    ("1month", "daily"): (20, 1, 107.96, 38.01),
    ("3month", "every5day"): (12, 5, 55.05, 34.66),
    ("3month", "every3day"): (20, 3, 63.53, 31.66),
    ("3month", "every2day"): (30, 2, 71.98, 30.87),
    ("3month", "daily"): (60, 1, 90.63, 33.12),
}
CASES = [("cao_2021", ROWS, row) for row in ROWS] + [("cao_2021_sabr", SABR, row) for row in SABR]
WORLDS = 30_000


@pytest.mark.parametrize(
    ("config", "rows", "row"), CASES, ids=[f"{name} {' '.join(row)}" for name, _, row in CASES]
)
def test_delta_costs_what_is_documented(config, rows, row):
    """Theirs are 100,000 paths, ours 30,000: four standard errors of the difference."""
    steps, days, mean, sd = rows[row]
    contract = {"n_steps": steps, "days_per_step": float(days)}
    env = vector_env(WORLDS, config=config, terms={"contract": contract})
    env.reset(seed=1)
    action = np.tile([0.0, -1.0], (WORLDS, 1))
    for _ in range(steps):
        *_, info = env.step(action)
    cost = 100.0 * info["cost"]
    error = sd * math.sqrt(1.0 / WORLDS + 1.0 / 100_000)
    assert abs(cost.mean() - mean) < 4.0 * error
    kurtosis = ((cost - cost.mean()) ** 4).mean() / cost.var() ** 2
    assert abs(cost.std() - sd) < 4.0 * error * math.sqrt((kurtosis - 1.0) / 4.0)


def test_the_rows_are_those_of_the_vectors(shared):
    cao = json.loads((shared / "vectors" / "hedging.json").read_text())["cao_2021"]
    for row in cao["gbm"]:
        delta = row["rerun"]["bs_delta"]
        assert ROWS[row["maturity"], row["freq"]][2:] == (delta["mean"], delta["sd"])
    for row in cao["sabr"]:
        delta = row["practitioner_delta"]
        assert SABR[row["maturity"], row["freq"]][2:] == (delta["mean"], delta["sd"])


def test_the_premium_is_that_of_the_closed_form():
    env = vector_env(1)
    env.reset(seed=0)
    assert abs(env.state.unit[0] - 2.2564574691844967) < 1e-12
    assert abs(env.state.delta[0] - 0.5112822873459225) < 1e-14
    sabr = vector_env(1, config="cao_2021_sabr")
    sabr.reset(seed=0)
    assert abs(sabr.state.unit[0] - 2.258406527931733) < 1e-12
