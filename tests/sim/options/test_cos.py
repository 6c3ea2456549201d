"""Characteristic functions and COS prices: closed forms, QuantLib, quadrature, identities."""

import math

import numpy as np
import pytest

from sim.errors import ConfigError, InputError
from sim.options.black import PUT, Greek, black_greeks, black_price
from sim.options.characteristic import (
    LognormalModel,
    MertonModel,
    SvcjModel,
    heston,
    log1p,
    svcj_of_daily,
)
from sim.options.cos import cos_greeks, cos_price, cosine_density, cumulants

SVCJ = SvcjModel(
    v0=0.4, kappa=5.0, theta=0.4, xi=1.5, rho=-0.3, intensity=6.0, jump_mean=-0.05,
    jump_volatility=0.1, variance_jump=0.3, jump_correlation=-0.2,
)  # fmt: skip


def heston_of(row):
    return heston(row["v0"], row["kappa"], row["theta"], row["sigma"], row["rho"])


def test_published_heston_prices(vectors):
    for row in vectors["closed_forms"]["heston"]:
        found = cos_price(heston_of(row), row["S"], row["K"], row["days"] / 365)
        assert found == pytest.approx(row["price"], rel=1e-11)


def test_the_heston_price_of_deep_hedging(vectors):
    """Buehler et al. 2019 print 1.69; volatility of variance 2 makes the widest tails."""
    row = vectors["closed_forms"]["heston_buehler"]
    found = cos_price(heston_of(row), row["S"], row["K"], row["days"] / 365)
    assert found == pytest.approx(row["price"], abs=1e-9)
    assert found == pytest.approx(row["published_q"], abs=0.005)


def test_published_bates_prices(vectors):
    for row in vectors["closed_forms"]["bates"]:
        model = SvcjModel(
            v0=row["v0"], kappa=row["kappa"], theta=row["theta"], xi=row["sigma"], rho=row["rho"],
            intensity=row["lam"], jump_mean=row["nu"], jump_volatility=row["delta"],
        )  # fmt: skip
        found = cos_price(model, row["S"], row["K"], row["days"] / 365)
        assert found == pytest.approx(row["price"], rel=1e-11)


def test_published_merton_prices_and_mertons_series(vectors):
    for row in vectors["closed_forms"]["merton"]:
        model = MertonModel(
            sigma=row["sigma"], intensity=row["lam"], jump_mean=row["mu_j"],
            jump_volatility=row["sig_j"],
        )  # fmt: skip
        years, growth = row["T"], math.exp(row["r"] * row["T"])
        forward = row["S"] * growth
        found = cos_price(model, forward, row["K"], years, discount=1.0 / growth)
        assert found == pytest.approx(row["price"], rel=1e-11)
        mean = math.expm1(row["mu_j"] + 0.5 * row["sig_j"] ** 2)
        total = 0.0
        for n in range(40):  # Merton 1976, eq. 19: Black prices weighted by Poisson chances
            chance = math.exp(-row["lam"] * years) * (row["lam"] * years) ** n / math.factorial(n)
            level = forward * math.exp(
                n * (row["mu_j"] + 0.5 * row["sig_j"] ** 2) - row["lam"] * mean * years
            )
            sigma = math.sqrt(row["sigma"] ** 2 + n * row["sig_j"] ** 2 / years)
            total += chance * float(black_price(level, row["K"], years, sigma))
        assert found == pytest.approx(total / growth, rel=1e-11)


def test_heston_agrees_with_quantlib(quantlib):
    ql = quantlib
    today = ql.Date(1, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, count))
    spot = ql.QuoteHandle(ql.SimpleQuote(60_000.0))
    for v0, kappa, theta, xi, rho in [(0.36, 2.0, 0.5, 0.9, -0.5), (0.2, 8.0, 0.6, 3.0, 0.3)]:
        process = ql.HestonProcess(flat, flat, spot, v0, kappa, theta, xi, rho)
        engine = ql.AnalyticHestonEngine(ql.HestonModel(process), 1e-12, 100_000)
        for days in (7, 90, 365):
            for strike in (40_000.0, 60_000.0, 90_000.0):
                option = ql.VanillaOption(
                    ql.PlainVanillaPayoff(ql.Option.Call, strike),
                    ql.EuropeanExercise(today + days),
                )
                option.setPricingEngine(engine)
                found = cos_price(heston(v0, kappa, theta, xi, rho), 60_000.0, strike, days / 365)
                assert found == pytest.approx(option.NPV(), abs=60_000.0 * 1e-8)


def test_lognormal_cosines_are_black_prices_and_greeks(grid):
    for years, sigma in ((1 / 8760, 0.6), (30 / 365, 0.6), (3.0, 1.2)):
        strike = 60_000.0 * np.exp(np.linspace(-4.0, 4.0, 9) * sigma * years**0.5)
        for sign in (1.0, PUT):
            price, delta, gamma = cos_greeks(
                LognormalModel(sigma=sigma), 60_000.0, strike, years, sign
            )
            exact = black_greeks(60_000.0, strike, years, sigma, 0.0, sign)
            assert np.abs(price - exact[:, Greek.PRICE]).max() < 60_000.0 * 1e-12
            assert np.abs(delta - exact[:, Greek.DELTA]).max() < 1e-12
            assert np.allclose(gamma, exact[:, Greek.GAMMA], rtol=1e-8)


def test_svcj_delta_and_gamma_are_derivatives_by_the_forward():
    strike, bump = np.array([70.0, 100.0, 150.0]), 0.05
    price, delta, gamma = cos_greeks(SVCJ, 100.0, strike, 0.25)
    up = cos_price(SVCJ, 100.0 + bump, strike, 0.25)
    down = cos_price(SVCJ, 100.0 - bump, strike, 0.25)
    assert np.allclose((up - down) / (2.0 * bump), delta, rtol=1e-6)
    assert np.allclose((up - 2.0 * price + down) / bump**2, gamma, rtol=1e-5)


def test_the_jump_transform_is_its_integral():
    """Gauss-Legendre in time of 1 / (c - mu_v D(s)), beside the closed form and its logarithm."""
    nodes, weights = np.polynomial.legendre.leggauss(800)
    rng = np.random.default_rng(0)
    u = np.linspace(0.2, 40.0, 100)
    for years in (1 / 365, 0.1, 1.0, 3.0):
        for _ in range(10):
            model = SvcjModel(
                v0=0.3, kappa=rng.uniform(0.1, 15), theta=0.3, xi=rng.uniform(0.05, 4),
                rho=rng.uniform(-0.95, 0.95), intensity=1.0, jump_mean=rng.normal(0, 0.1),
                jump_volatility=rng.uniform(0, 0.3), variance_jump=rng.uniform(0, 2),
                jump_correlation=rng.uniform(-1, 0.4),
            )  # fmt: skip
            s = 0.5 * years * (nodes + 1.0)
            xi2 = model.xi**2
            b = model.kappa - 1j * model.rho * model.xi * u
            d = np.sqrt(b * b + xi2 * (u * u + 1j * u))
            g = (b - d) / (b + d)
            e = np.exp(-np.outer(s, d))
            variance = (b - d) / xi2 * (1.0 - e) / (1.0 - g * e)
            c = 1.0 - 1j * u * model.jump_correlation * model.variance_jump
            time = (0.5 * years * weights[:, None] / (c - model.variance_jump * variance)).sum(0)
            jump = np.exp(1j * u * model.jump_mean - 0.5 * (model.jump_volatility * u) ** 2)
            mean = math.exp(model.jump_mean + 0.5 * model.jump_volatility**2)
            mean = mean / (1.0 - model.jump_correlation * model.variance_jump) - 1.0
            exact = jump * time - years - 1j * u * mean * years
            still = heston(0.3, model.kappa, 0.3, model.xi, model.rho)
            found = model.exponent(u, years) - still.exponent(u, years)
            assert np.abs(found - exact).max() < 1e-9


@pytest.mark.parametrize(
    "model",
    [
        LognormalModel(sigma=0.6),
        MertonModel(sigma=0.4, intensity=20.0, jump_mean=-0.04, jump_volatility=0.08),
        heston(0.3, 4.0, 0.5, 2.0, -0.4),
        SVCJ,
    ],
    ids=["lognormal", "merton", "heston", "svcj"],
)
def test_every_model_is_a_martingale_with_a_density(model):
    assert abs(model.exponent(0.0, 0.5)) < 1e-14
    assert abs(model.exponent(-1j, 0.5)) < 1e-13  # E[exp(X)] = 1
    mean, variance, _ = cumulants(model, 0.5)
    step = 1e-4
    first = model.exponent(np.array([step]), 0.5)[0]
    assert mean == pytest.approx(first.imag / step, rel=2e-3)
    assert variance == pytest.approx(-2.0 * first.real / step**2, rel=1e-3)
    # a price does not depend on the range once it is wide enough
    wide = cos_price(model, 100.0, [60.0, 100.0, 160.0], 0.5, width=28.0)
    assert np.abs(cos_price(model, 100.0, [60.0, 100.0, 160.0], 0.5) - wide).max() < 1e-8
    assert len(cosine_density(model, 0.5).frequencies) <= 4096


def test_parity_and_prices_out_of_range():
    strike = np.array([1e-9, 80.0, 120.0, 1e9])
    call = cos_price(SVCJ, 100.0, strike, 0.25, discount=0.9)
    put = cos_price(SVCJ, 100.0, strike, 0.25, PUT, discount=0.9)
    assert np.allclose(call - put, 0.9 * (100.0 - strike), rtol=1e-12)
    assert call[0] == pytest.approx(90.0, rel=1e-10)
    assert abs(call[3]) < 1e-4  # against a strike of 1e9
    assert abs(put[0]) < 1e-9


def test_small_volatility_of_variance_is_black_scholes():
    model = heston(0.36, 1.0, 0.36, 1e-4, 0.0)
    found = cos_price(model, 100.0, [80.0, 100.0, 125.0], 0.5)
    assert np.abs(found - black_price(100.0, [80.0, 100.0, 125.0], 0.5, 0.6)).max() < 1e-6


def test_daily_estimates_become_annual_ones():
    model = svcj_of_daily(
        variance=0.05, kappa=0.2, theta=0.06, sigma_v=0.08, rho=0.3, intensity=0.05, mu_y=-0.05,
        sigma_y=1.4, rho_j=-0.2, mu_v=0.7, scale=20.0,
    )  # fmt: skip
    # a day's return has variance theta / scale^2, a year's 365 of these
    assert model.theta == pytest.approx(0.06 / 400 * 365)
    assert model.kappa == pytest.approx(73.0)
    # the spread of variance around its mean, xi^2 theta / (2 kappa), in daily and annual units
    daily = 0.08**2 * 0.06 / (2 * 0.2)
    annual = model.xi**2 * model.theta / (2 * model.kappa)
    assert annual == pytest.approx(daily * (365 / 400) ** 2)
    assert model.jump_correlation * model.variance_jump == pytest.approx(-0.2 * 0.7 / 20.0)


def test_the_complex_logarithm_keeps_small_numbers():
    small = np.array([1e-12 + 1e-13j, -1e-9 + 2e-9j])
    assert np.allclose(log1p(small), small - small**2 / 2, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: heston(-0.1, 1.0, 0.3, 1.0, 0.0), "v0 must be a number between 0 and 10000"),
        (lambda: heston(0.1, 1.0, 0.3, 1.0, -1.5), "rho must be a number between -1 and 1"),
        (lambda: LognormalModel(sigma=float("nan")), "sigma must be a number between"),
        (
            lambda: SvcjModel(
                v0=0.1, kappa=1.0, theta=0.1, xi=1.0, rho=0.0, variance_jump=2.0,
                jump_correlation=0.5,
            ),
            "jump_correlation x variance_jump must be below 1",
        ),
        (lambda: cos_price(SVCJ, 100.0, 100.0, 0.0), "years must be above 0, got 0"),
        (lambda: cos_price(heston(0.0, 1.0, 0.0, 1e-4, 0.0), 1.0, 1.0, 0.1), "hardly any"),
    ],
)  # fmt: skip
def test_bad_models_get_one_sentence(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
    with pytest.raises(InputError, match="strike must be finite and above 0"):
        cos_price(SVCJ, 100.0, -1.0, 1.0)
