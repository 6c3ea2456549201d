"""Volatilities of marks against the general formula and against an integral."""

import math

import numpy as np
import pytest

from sim.options.greeks import sabr_volatility
from sim.options.marks import expected_volatility, lognormal_sabr


@pytest.mark.parametrize("log_ratio", [-0.4, -1e-3, 0.0, 1e-9, 0.02, 0.5])
def test_sabr_with_exponent_one_is_the_general_formula(log_ratio):
    args = {"alpha": 0.3, "beta": 1.0, "rho": -0.4, "nu": 0.6}
    general = sabr_volatility(100.0 * math.exp(log_ratio), 100.0, 0.25, **args)
    assert lognormal_sabr(0.3, -0.4, 0.6, log_ratio, 0.25) == pytest.approx(general, rel=1e-7)


def test_the_expected_volatility_is_the_mean_of_a_variance_that_reverts():
    t = (np.arange(20_000) + 0.5) / 20_000 * 0.3
    variance = 0.2 + (0.9**2 - 0.2) * np.exp(-4.0 * t)
    expected = math.sqrt(variance.mean() + 0.1)
    assert expected_volatility(0.9, 4.0, 0.2, 0.1, 0.3) == pytest.approx(expected, rel=1e-9)
