"""The estimators against closed forms and simulated processes of known parameters."""

import numpy as np
import pytest
from processes import draws, fractional_noise

from sim.metrics import estimators as est


@pytest.mark.parametrize("freedom", [3.0, 4.0])
def test_hill_finds_the_tail_of_student_t(freedom):
    """P(|t| > x) ~ x^-freedom; the top 1% of 400,000 draws, whose standard error is 1/sqrt(k)."""
    x = np.abs(draws(1).standard_t(freedom, 400_000))
    found = est.hill(x, 0.01)
    assert found == pytest.approx(freedom, rel=0.12)
    assert est.hill(x, 0.001) == pytest.approx(freedom, rel=0.12)


def test_hill_is_exact_for_pareto():
    x = draws(2).pareto(1.5, 200_000) + 1.0
    assert est.hill(x, 0.05) == pytest.approx(1.5, rel=3.0 / np.sqrt(10_000))


def test_hill_has_no_answer_for_a_point_mass():
    assert np.isnan(est.hill(np.ones(1000)))
    assert np.isnan(est.hill(np.zeros(1000)))


def test_kurtosis_of_known_laws():
    draw = draws(3)
    assert est.moments_kurtosis(draw.standard_normal(400_000)) == pytest.approx(0.0, abs=0.03)
    assert est.moments_kurtosis(draw.laplace(size=400_000)) == pytest.approx(3.0, abs=0.15)
    assert est.moments_kurtosis(np.array([-1.0, 1.0] * 50)) == pytest.approx(-2.0)
    assert np.isnan(est.moments_kurtosis(np.ones(10)))


def test_autocorrelation_of_an_autoregression():
    """AR(1): ACF(lag) = phi^lag."""
    phi, n = 0.7, 200_000
    shock = draws(4).standard_normal(n)
    x = np.empty(n)
    x[0] = shock[0]
    for i in range(1, n):
        x[i] = phi * x[i - 1] + shock[i]
    found = est.autocorrelation(x, 8)
    np.testing.assert_allclose(found, phi ** np.arange(9), atol=0.015)


def test_autocorrelation_is_the_plain_sum():
    x = draws(5).standard_normal(300) ** 3
    centred = x - x.mean()
    plain = [np.sum(centred[lag:] * centred[: len(x) - lag]) for lag in range(20)]
    np.testing.assert_allclose(est.autocorrelation(x, 19), np.array(plain) / plain[0], atol=1e-12)


@pytest.mark.parametrize("decay", [0.3, 0.6])
def test_decay_of_a_power_law_memory(decay):
    """Fractional noise of Hurst 1 - decay/2 has ACF ~ lag^-decay, and so do its signs."""
    n, found = 200_000, []
    for seed in range(4):
        x = np.sign(fractional_noise(n, 1.0 - decay / 2.0, seed))
        found.append(est.decay_exponent(est.autocorrelation(x, 500), n, 500))
    assert np.mean(found) == pytest.approx(decay, abs=0.1)


def test_decay_of_noise_is_absent():
    x = draws(6).standard_normal(5000)
    assert np.isnan(est.decay_exponent(est.autocorrelation(x, 500), 5000, 500))


def test_a_power_law_is_found_through_negative_means():
    x = np.geomspace(1.0, 1000.0, 12)
    exact = 3.0 * x**0.5
    assert est.power_law(x, exact, np.ones(12)) == pytest.approx(0.5, abs=0.003)
    shaken = exact.copy()
    shaken[0] = -1.0
    assert est.power_law(x, shaken, np.ones(12)) == pytest.approx(0.5, abs=0.05)
    assert np.isnan(est.power_law(x, -exact, np.ones(12)))
    assert np.isnan(est.power_law(x[:3], exact[:3], np.ones(3)))


@pytest.mark.parametrize("delta", [0.3, 0.5, 1.0])
def test_impact_exponent_of_a_synthetic_law(delta):
    draw = draws(7)
    size = draw.pareto(1.5, 20_000) + 1.0
    move = size**delta + 2.0 * draw.standard_normal(20_000)
    found = est.impact_exponent(np.column_stack([size, move]))
    assert found == pytest.approx(delta, abs=0.06)


def test_noise_has_no_impact_exponent():
    draw = draws(12)
    for _ in range(20):
        rows = np.column_stack([draw.pareto(1.5, 5000) + 1.0, draw.standard_normal(5000)])
        assert np.isnan(est.impact_exponent(rows))


def test_impact_bins_are_octaves():
    size = np.repeat([1.0, 1.5, 2.0, 8.0], 100)
    move = np.repeat([1.0, 2.0, 3.0, 4.0], 100) + np.tile([-0.5, 0.5], 200)
    mean_size, mean_move, weight = est.impact_bins(size, move)
    np.testing.assert_allclose(mean_size, [1.25, 2.0, 8.0])
    np.testing.assert_allclose(mean_move, [1.5, 3.0, 4.0])
    np.testing.assert_allclose(weight, [200 / 0.5, 100 / 0.25, 100 / 0.25])
    assert est.impact_bins(size[:5], move[:5])[2].sum() == 0.0, "five are too few"


def test_ranks_share_ties_and_spearman_ignores_scale():
    np.testing.assert_array_equal(est.ranks(np.array([3.0, 1.0, 3.0, 2.0])), [2.5, 0.0, 2.5, 1.0])
    x = draws(8).standard_normal(500)
    assert est.rank_correlation(np.column_stack([x, np.exp(5 * x)])) == pytest.approx(1.0)
    assert est.rank_correlation(np.column_stack([x, -(x**3)])) == pytest.approx(-1.0)


def test_a_poisson_clock_has_variation_one():
    gaps = draws(9).exponential(3.0, 200_000)
    assert est.variation(gaps) == pytest.approx(1.0, abs=0.01)
    assert est.variation(np.full(10, 2.0)) == 0.0


def test_bootstrap_error_of_a_mean_knows_dependence():
    """Independent: sigma / sqrt(n). AR(1) with phi: larger by sqrt((1 + phi) / (1 - phi))."""
    n = 20_000
    x = draws(10).standard_normal(n)

    def mean(values):
        return float(values.mean())

    plain = est.block_bootstrap(x, mean, 50, n_resamples=400)
    assert plain == pytest.approx(1.0 / np.sqrt(n), rel=0.15)
    phi, y = 0.8, np.empty(n)
    y[0] = x[0]
    for i in range(1, n):
        y[i] = phi * y[i - 1] + x[i] * np.sqrt(1.0 - phi**2)
    dependent = est.block_bootstrap(y, mean, 200, n_resamples=400)
    assert dependent == pytest.approx(3.0 / np.sqrt(n), rel=0.2)


def test_bootstrap_repeats_itself_and_listens_to_its_seed():
    x = draws(11).standard_normal(500)
    one, same, other = (est.block_bootstrap(x, np.std, 20, seed=s) for s in (0, 0, 1))
    assert one == same != other


def test_bootstrap_of_what_does_not_exist_is_absent():
    assert np.isnan(est.block_bootstrap(np.ones(100), est.hill, 10))
