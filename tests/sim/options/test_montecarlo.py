"""Simulated prices against closed forms, within their own standard errors."""

import numpy as np
import pytest

from sim.errors import ConfigError
from sim.options.black import CALL, PUT, black_price
from sim.options.characteristic import MertonModel, SvcjModel, heston, svcj_of_daily
from sim.options.cos import cos_price
from sim.options.inverse import inverse_option_price
from sim.options.montecarlo import (
    Control,
    asian,
    european,
    inverse_european,
    monte_carlo,
    underlying,
)
from sim.prices.bars import Bars
from sim.prices.bates import Bates
from sim.prices.diffusion import GeometricBrownian
from sim.prices.heston import Heston
from sim.prices.jumps import Merton
from sim.prices.replay import Replay
from sim.prices.svcj import Svcj

STRIKES = np.array([80.0, 100.0, 125.0])
INITIAL = {"BTC": 100.0}
# Three strikes of one run move together; beyond 4 standard errors lies one run in 5,000.
ERRORS = 4.0


def test_black_prices():
    process = GeometricBrownian(initial=INITIAL, volatility=0.6)
    for sign in (CALL, PUT):
        found = monte_carlo(
            process, european(STRIKES, sign), asset="BTC", years=0.25, n_steps=4, n_paths=40_000,
            controls=[underlying(100.0)],
        )  # fmt: skip
        exact = black_price(100.0, STRIKES, 0.25, 0.6, 0.0, sign)
        assert (np.abs(found.price - exact) < ERRORS * found.error).all()
        assert (found.variance_ratio > 1.2).all()
        assert (found.error < 0.1).all()


def test_merton_prices():
    terms = {"intensity": 2.0, "jump_mean": -0.1, "jump_volatility": 0.15}
    found = monte_carlo(
        Merton(initial=INITIAL, volatility=0.3, **terms), european(STRIKES, CALL), asset="BTC",
        years=0.5, n_steps=4, n_paths=40_000, controls=[underlying(100.0)],
    )  # fmt: skip
    exact = cos_price(MertonModel(sigma=0.3, **terms), 100.0, STRIKES, 0.5)
    assert (np.abs(found.price - exact) < ERRORS * found.error).all()


def test_heston_prices():
    """Steps of 12 hours: the scheme's own bias stays below the error."""
    process = Heston(
        initial=INITIAL, volatility=0.5, long_run_volatility=0.6, mean_reversion=3.0,
        vol_of_vol=1.0, leverage=-0.3,
    )  # fmt: skip
    found = monte_carlo(
        process, european(STRIKES, CALL), asset="BTC", years=60 / 365, n_steps=120,
        n_paths=20_000, controls=[underlying(100.0)],
    )  # fmt: skip
    exact = cos_price(heston(0.25, 3.0, 0.36, 1.0, -0.3), 100.0, STRIKES, 60 / 365)
    assert (np.abs(found.price - exact) < ERRORS * found.error).all()


def test_bates_prices():
    process = Bates(
        initial=INITIAL, volatility=0.5, long_run_volatility=0.6, mean_reversion=3.0,
        vol_of_vol=1.0, leverage=-0.3, intensity=4.0, jump_mean=-0.08, jump_volatility=0.12,
    )  # fmt: skip
    model = SvcjModel(
        v0=0.25, kappa=3.0, theta=0.36, xi=1.0, rho=-0.3, intensity=4.0, jump_mean=-0.08,
        jump_volatility=0.12,
    )  # fmt: skip
    found = monte_carlo(
        process, european(STRIKES, CALL), asset="BTC", years=60 / 365, n_steps=120,
        n_paths=20_000, controls=[underlying(100.0)],
    )  # fmt: skip
    exact = cos_price(model, 100.0, STRIKES, 60 / 365)
    assert (np.abs(found.price - exact) < ERRORS * found.error).all()


def test_svcj_prices_of_the_daily_estimates():
    """The estimated daily model in steps of an hour, beside its limit in continuous time.

    Its Euler variance, which counts as 0 where it falls below, sits well above 0 here.
    """
    process = Svcj(initial=INITIAL, multiple=1.0, variance=0.3, vol_of_vol=0.05)
    model = svcj_of_daily(
        variance=0.3, kappa=process.mean_reversion, theta=process.level, sigma_v=0.05,
        rho=process.leverage, intensity=process.intensity, mu_y=process.jump_mean,
        sigma_y=process.jump_volatility, rho_j=process.jump_leverage, mu_v=process.variance_jump,
        scale=process.scale,
    )  # fmt: skip
    found = monte_carlo(
        process, european(STRIKES, CALL), asset="BTC", years=20 / 365, n_steps=480,
        n_paths=20_000, controls=[underlying(100.0)], chunk=4_096,
    )  # fmt: skip
    exact = cos_price(model, 100.0, STRIKES, 20 / 365)
    assert (np.abs(found.price - exact) < ERRORS * found.error).all()
    assert (found.error < 0.03 * exact + 0.01).all()


def test_svcj_prices_agree_with_a_plain_simulation():
    """Euler steps of 45 minutes of the equations in the module, jumps drawn one by one."""
    m = SvcjModel(
        v0=0.4, kappa=5.0, theta=0.4, xi=1.5, rho=-0.3, intensity=12.0, jump_mean=-0.05,
        jump_volatility=0.1, variance_jump=0.3, jump_correlation=-0.4,
    )  # fmt: skip
    rng = np.random.default_rng(7)
    n, n_steps, years = 40_000, 1_000, 45_000 / (365 * 24 * 60)
    dt = years / n_steps
    drift = np.exp(m.jump_mean + m.jump_volatility**2 / 2.0)
    drift = drift / (1.0 - m.jump_correlation * m.variance_jump) - 1.0
    x, v = np.zeros(n), np.full(n, m.v0)
    for _ in range(n_steps):
        root = np.sqrt(np.maximum(v, 0.0) * dt)
        z = rng.normal(size=n)
        b = m.rho * z + np.sqrt(1.0 - m.rho**2) * rng.normal(size=n)
        x += -0.5 * root * root - m.intensity * drift * dt + root * z
        v += m.kappa * (m.theta - np.maximum(v, 0.0)) * dt + m.xi * root * b
        hit = np.flatnonzero(rng.random(n) < m.intensity * dt)
        jump = rng.exponential(m.variance_jump, hit.size)
        v[hit] += jump
        x[hit] += m.jump_mean + m.jump_correlation * jump
        x[hit] += m.jump_volatility * rng.normal(size=hit.size)
    last = 100.0 * np.exp(x)
    assert abs(last.mean() - 100.0) < ERRORS * last.std() / np.sqrt(n)
    exact = cos_price(m, 100.0, STRIKES, years)
    for strike, price in zip(STRIKES, exact, strict=True):
        paid = np.maximum(last - strike, 0.0)
        slope = np.cov(paid, last)[0, 1] / last.var()
        cleaned = paid - slope * (last - 100.0)
        assert abs(cleaned.mean() - price) < ERRORS * cleaned.std() / np.sqrt(n)


def test_inverse_payoffs_have_the_inverse_price():
    """In the coin's measure: the dollar value of what is paid, over the forward."""
    found = monte_carlo(
        GeometricBrownian(initial=INITIAL, volatility=0.6),
        lambda paths: inverse_european(STRIKES, CALL)(paths) * paths[:, -1:] / 100.0,
        asset="BTC", years=0.25, n_steps=1, n_paths=40_000, controls=[underlying(100.0)],
    )  # fmt: skip
    exact = inverse_option_price(100.0, STRIKES, 0.25, 0.6)
    assert (np.abs(found.price - exact) < ERRORS * found.error).all()


def test_a_control_with_a_closed_form_narrows_an_asian_price():
    process = GeometricBrownian(initial=INITIAL, volatility=0.6)
    call = Control(european(100.0, CALL), float(black_price(100.0, 100.0, 0.25, 0.6)))
    run = {"asset": "BTC", "years": 0.25, "n_steps": 25, "n_paths": 20_000}
    plain = monte_carlo(process, asian(100.0, CALL), **run)
    one = monte_carlo(process, asian(100.0, CALL), controls=[call], **run)
    both = monte_carlo(process, asian(100.0, CALL), controls=[call, underlying(100.0)], **run)
    assert plain.variance_ratio == 1.0
    assert plain.error > 1.5 * one.error >= 1.5 * both.error
    assert abs(plain.price - both.price) < ERRORS * plain.error
    last = monte_carlo(process, asian(100.0, CALL, n_last=1), controls=[call], **run)
    assert last.price == pytest.approx(call.mean, rel=1e-12)  # the control itself: no error left


def test_chunks_change_nothing():
    process = GeometricBrownian(initial=INITIAL, volatility=0.6)
    run = {"asset": "BTC", "years": 0.25, "n_steps": 3, "n_paths": 1_000}
    controls = [underlying(100.0)]
    whole = monte_carlo(process, european(STRIKES, CALL), controls=controls, **run)
    parts = monte_carlo(process, european(STRIKES, CALL), controls=controls, chunk=77, **run)
    assert np.array_equal(whole.price, parts.price)
    assert np.array_equal(whole.error, parts.error)
    other = monte_carlo(process, european(STRIKES, CALL), controls=controls, seed=1, **run)
    assert not np.array_equal(whole.price, other.price)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"asset": "ETH"}, "asset must be one that the process prices, got ETH; it prices BTC"),
        ({"n_paths": 0}, "n_paths must be at least 1, got 0"),
        ({"years": 0.0}, "years must be above 0, got 0"),
    ],
)
def test_bad_runs_get_one_sentence(change, words):
    run = {"asset": "BTC", "years": 0.25, "n_steps": 3, "n_paths": 10} | change
    with pytest.raises(ConfigError, match=words):
        monte_carlo(
            GeometricBrownian(initial=INITIAL, volatility=0.6), european(100.0, CALL), **run
        )


def test_a_replay_prices_no_longer_than_its_data():
    hours = np.arange(48.0) * 3_600.0
    flat = np.full(48, 100.0)
    bars = Bars("table, BTC", hours, np.full(48, 3_600.0), flat, flat, flat, flat)
    process = Replay(bars={"BTC": bars}, start=0.0)
    with pytest.raises(ConfigError, match="the option needs 1001; shorten it"):
        monte_carlo(
            process, european(100.0, CALL), asset="BTC", years=0.25, n_steps=1000, n_paths=10
        )
