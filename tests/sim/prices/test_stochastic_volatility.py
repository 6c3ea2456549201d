"""Heston, Bates, SABR and SVCJ against closed forms, reference prices and the world's processes."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.errors import ConfigError
from sim.prices.bates import Bates
from sim.prices.heston import Heston
from sim.prices.process import SECONDS_PER_YEAR
from sim.prices.sabr import Sabr
from sim.prices.svcj import Svcj

DAY = 86_400.0
ONE = {"BTC": 100.0}


@pytest.fixture(scope="module")
def closed_forms(shared):
    return json.loads((shared / "vectors" / "hedging.json").read_text())["closed_forms"]


def heston_terms(row):
    return {
        "initial": {"BTC": float(row["S"])}, "volatility": math.sqrt(row["v0"]),
        "long_run_volatility": math.sqrt(row["theta"]), "mean_reversion": float(row["kappa"]),
        "vol_of_vol": float(row["sigma"]), "leverage": float(row["rho"]),
    }  # fmt: skip


def check_call(paths, row, agree):
    payoff = np.maximum(paths[:, -1, 0] - row["K"], 0.0)
    agree(payoff, row["price"], bias=0.003 * row["price"])  # of the daily steps


@pytest.mark.parametrize("i", range(5))
def test_heston_calls_have_the_reference_prices(i, closed_forms, agree):
    row = closed_forms["heston"][i]
    paths = Heston(**heston_terms(row)).paths(1, np.arange(60_000), i, row["days"], DAY)
    check_call(paths, row, agree)


def test_heston_call_of_the_hedging_study(closed_forms, agree):
    """Vol of vol 2 at mean reversion 1: deep in the exponential branch of the scheme."""
    row = closed_forms["heston_buehler"]
    paths = Heston(**heston_terms(row)).paths(1, np.arange(200_000), 0, row["days"], DAY)
    check_call(paths, row, agree)


@pytest.mark.parametrize("i", range(5))
def test_bates_calls_have_the_reference_prices(i, closed_forms, agree):
    row = closed_forms["bates"][i]
    jumps = {"intensity": row["lam"], "jump_mean": row["nu"], "jump_volatility": row["delta"]}
    process = Bates(**heston_terms(row), **jumps)
    check_call(process.paths(1, np.arange(60_000), i, row["days"], DAY), row, agree)


def test_bates_without_jumps_is_heston(models):
    quiet = models("bates", intensity=0.0).paths(1, np.arange(5), 0, 9, DAY)
    np.testing.assert_array_equal(quiet, models("heston").paths(1, np.arange(5), 0, 9, DAY))


def test_bates_in_a_world_is_heston_s_path_with_merton_s_jumps(models, run_path):
    still = {"assets": ("WETH", "WBTC", "USDC"), "n_steps": 60, "block_seconds": 3600.0}
    whole = run_path(models("bates"), **still)
    smooth = run_path(models("heston"), **still)
    merton = run_path(models("merton", volatility={}), **still)
    per_step = np.diff(np.log(whole), axis=0) - np.diff(np.log(smooth), axis=0)
    jump = np.diff(np.log(merton), axis=0)  # with the same compensator
    np.testing.assert_allclose(per_step[..., :2], jump[..., :2], atol=1e-12)
    assert (whole[..., 2] == 1.0).all()


def test_integrated_variance_of_heston(agree):
    """With v_0 = theta: xi^2 theta / kappa^2 (T - 2 (1 - e^-kT) / k + (1 - e^-2kT) / 2k)."""
    kappa, xi, theta, years = 5.0, 1.0, 0.36, 0.5
    process = Heston(
        initial=ONE, volatility=0.6, mean_reversion=kappa, vol_of_vol=xi, leverage=-0.5
    )
    n = 200
    paths = process.paths(2, np.arange(40_000), 0, n, years * SECONDS_PER_YEAR / n)
    v = paths[..., 1] ** 2
    integral = years / n * (v.sum(axis=1) - 0.5 * (v[:, 0] + v[:, -1]))
    agree(integral, theta * years)
    a, b = -math.expm1(-kappa * years) / kappa, -math.expm1(-2 * kappa * years) / (2 * kappa)
    variance = xi**2 * theta / kappa**2 * (years - 2 * a + b)
    agree((integral - theta * years) ** 2, variance, bias=0.002 * variance)


# --- SABR -----------------------------------------------------------------------------------------


def test_sabr_volatility_and_log_price_have_the_moments_of_the_scheme(agree):
    """a is exact: lognormal. E log S_T = -1/2 sum E a^2 dt, with E a_t^2 = a_0^2 exp(nu^2 t)."""
    process = Sabr(initial=ONE, volatility=0.5, vol_of_vol=1.0, leverage=-0.4)
    n, years = 12, 0.5
    dt = years / n
    paths = process.paths(1, np.arange(100_000), 0, n, dt * SECONDS_PER_YEAR)
    law = stats.norm(math.log(0.5) - 0.5 * years, math.sqrt(years))
    assert stats.kstest(np.log(paths[:20_000, -1, 1]), law.cdf).pvalue > 1e-4
    expected = -0.5 * sum(0.25 * math.exp(k * dt) * dt for k in range(n))
    agree(np.log(paths[:, -1, 0] / 100.0), expected)
    moves = np.diff(np.log(paths[..., 0]), axis=1)
    swings = np.diff(np.log(paths[..., 1]), axis=1)
    np.testing.assert_allclose(
        np.corrcoef((moves / paths[:, :-1, 1]).ravel(), swings.ravel())[0, 1], -0.4, atol=0.01
    )


def test_sabr_converges_with_weak_order_one():
    """The bias of E log S_T against -a^2 (exp(nu^2 T) - 1) / 2 nu^2 halves with the step."""
    process = Sabr(initial=ONE, volatility=0.5, vol_of_vol=1.0, leverage=-0.4)
    exact = -0.125 * math.expm1(1.0)
    bias = []
    for n in (4, 8):
        total = 0.0
        for episode in range(10):
            ids = np.arange(100_000)
            paths = process.paths(1, ids, episode, n, SECONDS_PER_YEAR / n)
            total += np.log(paths[:, -1, 0] / 100.0).mean() / 10
        bias.append(total - exact)
    assert bias[0] > 0.02
    assert bias[0] / bias[1] == pytest.approx(2.0, abs=0.3)  # 4 errors of a million paths


def hagan(spot, strike, years, alpha, nu, rho):
    """Implied volatility for beta = 1 (Hagan et al. 2002, eq. 2.17a with beta = 1)."""
    z = nu / alpha * math.log(spot / strike)
    x = math.log((math.sqrt(1 - 2 * rho * z + z * z) + z - rho) / (1 - rho))
    correction = 1 + (rho * nu * alpha / 4 + (2 - 3 * rho * rho) / 24 * nu * nu) * years
    return alpha * correction * (z / x if abs(z) > 1e-9 else 1.0)


def black(spot, strike, years, sigma):
    d = math.log(spot / strike) / (sigma * math.sqrt(years)) + 0.5 * sigma * math.sqrt(years)
    return spot * stats.norm.cdf(d) - strike * stats.norm.cdf(d - sigma * math.sqrt(years))


@pytest.mark.parametrize("strike", [80.0, 100.0, 120.0])
def test_sabr_calls_lie_on_hagan_s_smile(strike, agree):
    terms = {"volatility": 0.5, "vol_of_vol": 1.2, "leverage": -0.5}
    years = 0.25
    process = Sabr(initial=ONE, **terms)
    paths = process.paths(4, np.arange(100_000), 0, 90, years * SECONDS_PER_YEAR / 90)
    payoff = np.maximum(paths[:, -1, 0] - strike, 0.0)
    price = black(100.0, strike, years, hagan(100.0, strike, years, 0.5, 1.2, -0.5))
    agree(payoff, price, bias=0.006 * price)  # the expansion's and the steps'
    if strike == 120.0:  # the flat volatility is far off
        assert abs(payoff.mean() - black(100.0, strike, years, 0.5)) > 0.3


def test_sabr_with_elasticity_0_is_normal(agree):
    process = Sabr(initial=ONE, volatility=0.2, elasticity=0.0, vol_of_vol=0.0)
    paths = process.paths(1, np.arange(50_000), 0, 250, SECONDS_PER_YEAR / 250)
    end = paths[:, -1, 0]
    agree(end, 100.0)
    agree((end - 100.0) ** 2, 400.0, bias=2.0)
    assert abs(stats.skew(end)) < 0.06  # of a lognormal: 0.61
    np.testing.assert_allclose(paths[..., 1] * paths[..., 0], 20.0, rtol=1e-12)


def test_sabr_in_between(agree):
    process = Sabr(initial=ONE, volatility=0.6, elasticity=0.5, vol_of_vol=0.8, leverage=-0.4)
    paths = process.paths(1, np.arange(50_000), 0, 60, DAY)
    agree(paths[:, -1, 0], 100.0)
    lognormal = Sabr(initial=ONE, volatility=0.6, vol_of_vol=0.8, leverage=-0.4)
    other = lognormal.paths(1, np.arange(50_000), 0, 60, DAY)
    elastic = paths[..., 0] > 1.0  # of a first price of 100
    assert elastic.mean() > 0.999
    level = paths[..., 1] * np.sqrt(paths[..., 0] / 100.0)
    np.testing.assert_allclose(level[elastic], other[..., 1][elastic], rtol=1e-10)


def test_sabr_does_not_reach_0():
    wild = Sabr(initial=ONE, volatility=3.0, elasticity=0.0, vol_of_vol=3.0)
    paths = wild.paths(1, np.arange(2000), 0, 60, DAY)
    assert paths[..., 0].min() == pytest.approx(1e-10)
    assert np.isfinite(paths).all()


# --- SVCJ -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"jump_volatility": 2.06, "vol_of_vol": 0.0069},
        {"jump_leverage": -3.0, "leverage": -0.6},
    ],
)
def test_svcj_days_have_the_moments_of_the_closed_form(terms, agree):
    process = Svcj(initial=ONE, multiple=1.0, **terms)
    expected = process.moments("BTC")
    paths = process.paths(1, np.arange(6000), 0, 300, DAY)[:, 60:]  # V forgets in 5 days
    moves = np.diff(np.log(paths[..., 0]), axis=1)
    sd = expected["standard_deviation"]
    agree(moves.mean(axis=1), expected["mean"])
    centred = moves - expected["mean"]
    agree((centred**2).mean(axis=1), sd**2)
    agree((centred**4).mean(axis=1) / sd**4, expected["kurtosis"], bias=0.05)
    v = paths[..., 1] ** 2 * process.scale**2 / 365.0
    agree(v.mean(axis=1), expected["variance_mean"])
    spread = ((v - expected["variance_mean"]) ** 2).mean(axis=1)
    agree(spread, expected["variance_variance"])


def test_svcj_has_the_moments_of_bitcoin(shared):
    """The reading of the units: 250 under the root, and 2.06 a variance (see the module)."""
    table = pd.read_parquet(shared / "data" / "ohlcv_1d_btcusd.parquet")
    table = table[(table.ts >= "2014-08-01") & (table.ts < "2017-10-01")].sort_values("ts")
    moves = np.diff(np.log(table.close))
    kurtosis = stats.kurtosis(moves, fisher=False)
    read = Svcj(initial=ONE, multiple=1.0).moments("BTC")
    assert read["standard_deviation"] == pytest.approx(moves.std(), rel=0.1)
    assert read["kurtosis"] == pytest.approx(kurtosis, rel=0.15)
    other = Svcj(initial=ONE, multiple=1.0, jump_volatility=2.06).moments("BTC")
    assert other["standard_deviation"] > 1.15 * moves.std()
    assert other["kurtosis"] > 1.3 * kurtosis


def test_svcj_steps_of_other_lengths_agree_with_days(models, agree):
    """A week is seven days, bit for bit; six-hour steps have the variance of days."""
    process = Svcj(initial=ONE, multiple=1.0)
    days = process.paths(1, np.arange(50), 0, 14, DAY)
    np.testing.assert_allclose(
        process.paths(1, np.arange(50), 0, 2, 7 * DAY), days[:, ::7], rtol=1e-12
    )
    paths = process.paths(2, np.arange(6000), 0, 240, DAY / 4)
    moves = np.diff(np.log(paths[:, ::4, 0]), axis=1)
    sd = process.moments("BTC")["standard_deviation"]
    agree((moves**2).mean(axis=1), sd**2, bias=0.01 * sd**2)


def test_svcj_jumps_hit_all_assets_at_once(run_path):
    # Without volatility only jumps are left.
    process = Svcj(
        initial={"A": 1.0, "B": 1.0, "C": 1.0}, multiple={"A": 1.0, "B": 2.0}, level=0.0,
        vol_of_vol=0.0, variance_jump=0.0, jump_leverage=0.0,
    )  # fmt: skip
    path = run_path(process, n_steps=300, assets=("A", "B", "C"), block_seconds=DAY)
    moves = np.diff(np.log(path), axis=0)
    hit = np.abs(moves[..., 0] - process.growth_of("A", 1.0)) > 1e-6
    assert hit.mean() == pytest.approx(0.051, abs=0.02)
    unit = moves[..., 0][hit] - process.growth_of("A", 1.0)
    np.testing.assert_allclose(
        moves[..., 1][hit] - process.growth_of("B", 1.0), 2.0 * unit, rtol=1e-9
    )
    assert not moves[..., 2].any()


def test_correlation_of_two_assets(models, run_path):
    for name in ("sabr", "svcj", "bates"):
        terms = {"correlation": 0.8} | ({"intensity": 0.0} if name != "sabr" else {})
        path = run_path(models(name, **terms), n_steps=400, ids=20, block_seconds=3600)
        moves = np.diff(np.log(path), axis=0)
        measured = np.corrcoef(moves[..., 0].ravel(), moves[..., 1].ravel())[0, 1]
        assert measured == pytest.approx(0.8, abs=0.03), name


@pytest.mark.parametrize(
    ("name", "terms", "sentence"),
    [
        ("sabr", {"elasticity": 1.5}, "elasticity must be a finite number between 0 and 1"),
        ("sabr", {"leverage": -2.0}, "leverage must be a finite number between -1 and 1"),
        ("sabr", {"vol_of_vol": {"LINK": 1.0}}, "vol_of_vol names LINK"),
        ("bates", {"jump_volatility": -1.0}, "jump_volatility must be a finite number"),
        ("bates", {"mean_reversion": 0.0}, "mean_reversion must be a finite number"),
        ("svcj", {"multiple": {"LINK": 1.0}}, "multiple names LINK"),
        ("svcj", {"intensity": 1.1}, "intensity must be a finite number between 0 and 1"),
        ("svcj", {"scale": 0.0}, "scale must be a finite number"),
        ("svcj", {"jump_leverage": 30.0}, "jump_leverage x variance_jump must lie under scale"),
    ],
)
def test_bad_terms_get_one_sentence(name, terms, sentence, models):
    with pytest.raises(ConfigError, match=sentence):
        models(name, **terms)
