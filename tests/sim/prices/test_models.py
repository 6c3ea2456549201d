import math
import warnings

import numpy as np
import pytest
from scipy import integrate, stats

from sim.errors import ConfigError
from sim.prices import diffusion, heston, jumps
from sim.prices.diffusion import GeometricBrownian
from sim.prices.heston import Heston
from sim.prices.jumps import Kou, Merton
from sim.prices.process import SECONDS_PER_YEAR, correlation_matrix, loading_of

INITIAL = {"WETH": 2000.0, "WBTC": 40_000.0, "USDC": 1.0}
ASSETS = ("WETH", "WBTC", "USDC")
VOLATILITY = {"WETH": 0.9, "WBTC": 0.7}
MONTH = SECONDS_PER_YEAR / 12


def gbm(**terms):
    return GeometricBrownian(
        **{"initial": INITIAL, "volatility": VOLATILITY, "correlation": 0.8} | terms
    )


def merton(**terms):
    jump = {"intensity": 50.0, "jump_mean": {"WETH": -0.05}, "jump_volatility": {"WETH": 0.08}}
    return Merton(**{"initial": INITIAL, "volatility": VOLATILITY} | jump | terms)


def kou(**terms):
    jump = {"intensity": 40.0, "mean_up": {"WETH": 0.04}, "mean_down": {"WETH": 0.07, "WBTC": 0.05}}
    return Kou(**{"initial": INITIAL, "volatility": VOLATILITY} | jump | terms)


def heston_of(**terms):
    return Heston(**{"initial": INITIAL, "volatility": VOLATILITY, "correlation": 0.8} | terms)


MODELS = [gbm, merton, kou, heston_of]


@pytest.mark.parametrize("model", MODELS)
def test_a_world_has_one_path_in_any_batch(model, run_path):
    whole = run_path(model(), assets=ASSETS, block_seconds=3600)
    parts = [
        run_path(model(), assets=ASSETS, block_seconds=3600, ids=ids)
        for ids in ([3, 1, 0, 2], [7, 4, 6, 5])
    ]
    order = [3, 1, 0, 2, 7, 4, 6, 5]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole[:, order])
    np.testing.assert_array_equal(
        run_path(model(), assets=ASSETS, block_seconds=3600, ids=[5])[:, 0], whole[:, 5]
    )


@pytest.mark.parametrize("model", MODELS)
def test_step_0_is_the_initial_price_and_worlds_differ(model, run_path):
    path = run_path(model(), assets=ASSETS)
    np.testing.assert_array_equal(path[0], np.tile([2000.0, 40_000.0, 1.0], (8, 1)))
    assert np.unique(path[1:, :, 0]).size == path[1:, :, 0].size
    np.testing.assert_array_equal(path[:, :, 2], 1.0)
    assert not np.array_equal(path, run_path(model(), assets=ASSETS, seed=2))


@pytest.mark.parametrize("model", MODELS)
def test_snapshot_restore_and_reset(model, make_world):
    process = model()
    process.bind(make_world(ASSETS, block_seconds=3600))
    for step in range(5):
        process.advance(step)
    saved = process.snapshot()
    process.advance(5)
    once = process.price.copy()
    process.advance(6)
    process.restore(saved)
    process.advance(5)
    np.testing.assert_array_equal(process.price, once)
    mask = np.arange(8) < 3
    process.reset(mask)
    np.testing.assert_array_equal(process.price[:3], np.tile([2000.0, 40_000.0, 1.0], (3, 1)))
    np.testing.assert_array_equal(process.price[3:], once[3:])


@pytest.mark.parametrize("model", MODELS)
def test_without_drift_prices_are_martingales(model, run_path):
    # Three long steps, so that a wrong compensator or correction would show.
    path = run_path(model(), n_steps=4, assets=ASSETS, ids=100_000, block_seconds=MONTH)
    ratio = path[-1] / path[0]
    for a in range(2):
        error = ratio[:, a].std() / math.sqrt(ratio.shape[0])
        assert abs(ratio[:, a].mean() - 1.0) < 4 * error


@pytest.mark.parametrize("model", MODELS)
def test_drift_is_the_expected_return(model, run_path):
    process = model(drift={"WETH": 1.2, "USDC": 0.6})
    path = run_path(process, n_steps=2, assets=ASSETS, ids=50_000, block_seconds=MONTH)
    ratio = path[-1, :, 0] / path[0, :, 0]
    error = ratio.std() / math.sqrt(ratio.size)
    assert abs(ratio.mean() - math.exp(0.1)) < 4 * error
    if model is not heston_of:
        np.testing.assert_allclose(path[-1, :, 2], math.exp(0.05), rtol=1e-14)


def test_gbm_log_returns_are_normal_with_their_moments_and_correlation(run_path):
    path = run_path(gbm(), n_steps=2, assets=ASSETS, ids=50_000, block_seconds=MONTH)
    returns = np.log(path[1] / path[0])
    for a, sigma in ((0, 0.9), (1, 0.7)):
        law = stats.norm(-0.5 * sigma**2 / 12, sigma / math.sqrt(12))
        assert stats.kstest(returns[:, a], law.cdf).pvalue > 1e-4
    measured = np.corrcoef(returns[:, :2].T)[0, 1]
    assert abs(measured - 0.8) < 4 * (1 - 0.8**2) / math.sqrt(50_000)


def test_one_long_step_has_the_law_of_many_short_ones(run_path):
    ids = 20_000
    long = run_path(gbm(), n_steps=2, assets=ASSETS, ids=ids, block_seconds=MONTH)[-1, :, 0]
    short = run_path(gbm(), n_steps=9, assets=ASSETS, ids=ids, block_seconds=MONTH / 8, seed=3)
    assert stats.ks_2samp(np.log(long), np.log(short[-1, :, 0])).pvalue > 1e-4


def test_merton_moments(run_path):
    path = run_path(merton(), n_steps=2, assets=ASSETS, ids=100_000, block_seconds=MONTH)
    x = np.log(path[1, :, 0] / path[0, :, 0])
    rate, m, s = 50.0 / 12, -0.05, 0.08
    mean = (-0.5 * 0.81 - 50 * math.expm1(m + s * s / 2)) / 12 + rate * m
    variance = 0.81 / 12 + rate * (m * m + s * s)
    skew = rate * (m**3 + 3 * m * s * s) / variance**1.5
    assert abs(x.mean() - mean) < 4 * math.sqrt(variance / x.size)
    assert x.var() == pytest.approx(variance, rel=0.03)  # 4 standard errors at this kurtosis
    assert stats.skew(x) == pytest.approx(skew, abs=0.05)


def test_kou_moments(run_path):
    path = run_path(kou(), n_steps=2, assets=ASSETS, ids=100_000, block_seconds=MONTH)
    x = np.log(path[1, :, 0] / path[0, :, 0])
    rate, p, up, down = 40.0 / 12, 0.3, 0.04, 0.07
    factor = p / (1 - up) + (1 - p) / (1 + down) - 1
    mean = (-0.5 * 0.81 - 40 * factor) / 12 + rate * (p * up - (1 - p) * down)
    variance = 0.81 / 12 + rate * 2 * (p * up**2 + (1 - p) * down**2)
    third = rate * 6 * (p * up**3 - (1 - p) * down**3)
    assert abs(x.mean() - mean) < 4 * math.sqrt(variance / x.size)
    assert x.var() == pytest.approx(variance, rel=0.03)
    assert stats.skew(x) == pytest.approx(third / variance**1.5, abs=0.05)


def test_one_clock_hits_all_assets_at_once_and_own_clocks_do_not(run_path):
    sizes = {"jump_mean": {"WETH": -0.1, "WBTC": -0.2}, "volatility": {}}
    still = {"assets": ASSETS, "block_seconds": 3600, "n_steps": 500}
    for intensity, together in ((200.0, True), ({"WETH": 200.0, "WBTC": 200.0}, False)):
        path = run_path(merton(**sizes, jump_volatility={}, intensity=intensity), **still)
        hit = np.diff(np.log(path), axis=0) < -0.05
        assert hit[..., 0].any()
        assert np.array_equal(hit[..., 0], hit[..., 1]) is together
        assert not hit[..., 2].any()


def test_jump_diffusions_share_the_brownian_path_of_gbm(run_path):
    quiet = {"assets": ASSETS, "n_steps": 50}
    base = run_path(gbm(correlation=0.0), **quiet)
    np.testing.assert_array_equal(run_path(merton(intensity=0.0), **quiet), base)
    np.testing.assert_array_equal(run_path(kou(intensity=0.0), **quiet), base)


def test_heston_variance_is_stationary(run_path, make_world):
    # Feller's condition fails (2 kappa theta = 2.5 < 4): the exponential branch is exercised.
    terms = {"volatility": {"WETH": 0.5}, "mean_reversion": 5.0, "vol_of_vol": 2.0}
    process = heston_of(**terms)
    run_path(process, n_steps=61, assets=ASSETS, ids=50_000, block_seconds=MONTH / 2)
    v = process.arena["variance"][:, 0]
    theta, kappa, xi = 0.25, 5.0, 2.0
    variance = xi**2 * theta / (2 * kappa)
    assert v.min() >= 0.0
    assert abs(v.mean() - theta) < 4 * math.sqrt(variance / v.size)
    assert v.var() == pytest.approx(
        variance, rel=0.06
    )  # QE matches two moments; 4 errors of a gamma


def heston_call(spot, strike, years, v0, theta, kappa, xi, rho):
    """Price by the characteristic function in the form of Albrecher et al. (2007), no rates."""

    def characteristic(u):
        d = np.sqrt((rho * xi * 1j * u - kappa) ** 2 + xi**2 * (1j * u + u**2))
        minus = kappa - rho * xi * 1j * u - d
        g = minus / (kappa - rho * xi * 1j * u + d)
        decay = np.exp(-d * years)
        a = kappa * theta / xi**2 * (minus * years - 2 * np.log((1 - g * decay) / (1 - g)))
        b = minus / xi**2 * (1 - decay) / (1 - g * decay)
        return np.exp(a + b * v0 + 1j * u * math.log(spot))

    def probability(shift):
        def integrand(u):
            top = characteristic(u - 1j * shift) / characteristic(-1j * shift)
            return (np.exp(-1j * u * math.log(strike)) * top / (1j * u)).real

        return 0.5 + integrate.quad(integrand, 1e-9, 200, limit=500)[0] / math.pi

    return spot * probability(1) - strike * probability(0)


@pytest.mark.parametrize("strike", [1600.0, 2000.0, 2600.0])
def test_heston_call_agrees_with_the_characteristic_function(strike, run_path):
    terms = {"mean_reversion": 3.0, "vol_of_vol": 1.0, "leverage": -0.6}
    terms |= {"volatility": {"WETH": 0.8}, "long_run_volatility": {"WETH": 0.6}}
    path = run_path(
        heston_of(**terms), n_steps=33, assets=ASSETS, ids=100_000, block_seconds=MONTH / 8
    )
    payoff = np.maximum(path[-1, :, 0] - strike, 0.0)
    exact = heston_call(2000.0, strike, 4 / 12, 0.64, 0.36, 3.0, 1.0, -0.6)
    # 4 standard errors and 0.2% of the spot's time value for the discretisation (dt = 1/96 year).
    assert abs(payoff.mean() - exact) < 4 * payoff.std() / math.sqrt(payoff.size) + 0.004 * exact


def test_heston_returns_have_leverage_and_correlation(run_path):
    process = heston_of(leverage=-0.7, vol_of_vol=1.0)
    path = run_path(process, n_steps=400, assets=ASSETS, ids=50, block_seconds=3600)
    returns = np.diff(np.log(path[..., :2]), axis=0)
    measured = np.corrcoef(returns[..., 0].ravel(), returns[..., 1].ravel())[0, 1]
    assert measured == pytest.approx(0.8, abs=0.02)
    assert stats.kurtosis(returns[..., 0].ravel()) > 0.0


def test_kernels_run_as_plain_python(make_world):
    for model in MODELS:
        process, plain = model(), model()
        for each in (process, plain):
            each.bind(make_world(ASSETS, ids=3, block_seconds=3600))
        process.advance(1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if model is heston_of:
                terms = (plain.shocks, plain.assets, plain.loading, plain.terms, plain.key)
                variance = plain.arena["variance"]
                heston.step_heston.py_func(plain.price, variance, *terms, plain.world_ids, 1)
            else:
                d = plain.diffusion
                diffusion.diffuse.py_func(
                    plain.price, d.shocks, d.assets, d.loading, d.growth, d.key, plain.world_ids, 1
                )
            address = (plain.world_ids, 1)
            if model is merton:
                terms = (plain.clock, plain.rate * 0 + 2.0, plain.mean, plain.spread, plain.key)
                jumps.jump_merton(process.price, *terms, *address)
                jumps.jump_merton(process.price, plain.clock, plain.rate * 0, *terms[2:], *address)
                jumps.jump_merton.py_func(plain.price, *terms, *address)
            if model is kou:
                sizes = (plain.up, plain.size_up, plain.size_down, plain.key)
                jumps.jump_kou(process.price, plain.clock, plain.rate * 0 + 2.0, *sizes, *address)
                jumps.jump_kou.py_func(
                    plain.price, plain.clock, plain.rate * 0 + 2.0, *sizes, *address
                )
        np.testing.assert_allclose(plain.price, process.price, rtol=1e-13)
    for v in (0.0, 1e-4, 0.25):
        for z in (-3.0, 0.0, 3.0):
            for spread in (1e-6, 0.3):
                a = heston.variance_step.py_func(v, 0.3, 0.9, spread, z)
                assert a == pytest.approx(heston.variance_step(v, 0.3, 0.9, spread, z), rel=1e-12)
                b = heston.log_mean_factor.py_func(v, 0.3, 0.9, spread, z)
                assert b == pytest.approx(heston.log_mean_factor(v, 0.3, 0.9, spread, z), rel=1e-12)


def test_correlations_by_pair_and_of_one():
    matrix = correlation_matrix({"WBTC/WETH": 0.5, "WETH/LINK": 0.9}, ["WETH", "WBTC", "USDC"])
    np.testing.assert_array_equal(matrix, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(loading_of(matrix) @ loading_of(matrix).T, matrix, atol=1e-15)
    ones = loading_of(correlation_matrix(1.0, ["A", "B", "C"]))
    np.testing.assert_array_equal(ones, [[1, 0, 0], [1, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: gbm(initial={}), "initial must map assets to prices"),
        (lambda: gbm(initial={"WETH": -1}, volatility={}), "initial.WETH must be a positive price"),
        (lambda: gbm(initial={"WETH": math.nan}, volatility={}), "initial.WETH must be a positive"),
        (lambda: gbm(initial={"WETH": True}, volatility={}), "initial.WETH must be a positive"),
        (
            lambda: gbm(volatility={"WETH": -0.1}),
            "volatility.WETH must be a finite number between 0",
        ),
        (lambda: gbm(volatility={"WETH": "high"}), "volatility.WETH must be a number, got 'high'"),
        (lambda: gbm(volatility={"ETH": 0.5}), "volatility names ETH, which has no initial price"),
        (lambda: gbm(correlation=1.5), "correlation must be a finite number between -1 and 1"),
        (lambda: merton(intensity=-1.0), "intensity must be a finite number"),
        (lambda: merton(jump_mean={"ETH": 0.1}), "jump_mean names ETH"),
        (lambda: kou(mean_up=1.0), "mean_up must lie under 1"),
        (lambda: kou(probability_up=1.1), "probability_up must be a finite number between 0 and 1"),
        (lambda: heston_of(leverage=-1.1), "leverage must be a finite number between -1 and 1"),
        (lambda: heston_of(mean_reversion=0.0), "mean_reversion must be a finite number"),
        (lambda: correlation_matrix({"WETH": 0.5}, ["WETH"]), "correlation.WETH must name a pair"),
        (lambda: loading_of(correlation_matrix(-0.9, ["A", "B", "C"])), "cannot hold for 3 assets"),
    ],
)
def test_bad_terms_get_one_sentence(build, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build()


@pytest.mark.parametrize("model", MODELS)
def test_an_asset_without_a_price_is_named(model, make_world):
    with pytest.raises(ConfigError, match=r"no price for LINK.*it prices WETH, WBTC, USDC"):
        model().bind(make_world((*ASSETS, "LINK")))
