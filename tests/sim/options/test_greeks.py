"""Greeks beyond Black-Scholes: skewness, kurtosis, and rules for the smile."""

import numpy as np
import pytest

from sim.options import black, greeks, normal
from sim.options.black import N_GREEKS, PUT, Greek, black_greeks, black_price, black_scholes_greeks

TERMS = (100.0, 90.0, 0.25, 0.3, 0.03, 0.01)


def adjusted(*terms, skew=-0.5, kurtosis=4.5):
    row = np.empty(N_GREEKS)
    greeks.corrado_su(row, *terms, skew, kurtosis)
    return row


def test_published_corrado_su_prices(vectors):
    for row in vectors["closed_forms"]["corrado_su"]:
        found = adjusted(
            row["S"], row["K"], row["T"], row["sigma"], row["r"], 0.0, 1.0,
            skew=row["skew"], kurtosis=row["kurt"],
        )  # fmt: skip
        assert found[Greek.PRICE] == pytest.approx(row["price"], rel=1e-12)


def test_corrado_su_greeks_are_derivatives():
    """Richardson extrapolation of central differences: good to 1e-9."""

    def diff(at, bump, greek):
        def slope(h):
            up, down = list(TERMS), list(TERMS)
            up[at], down[at] = up[at] + h, down[at] - h
            return (adjusted(*up, 1.0)[greek] - adjusted(*down, 1.0)[greek]) / (2.0 * h)

        return (4.0 * slope(bump / 2.0) - slope(bump)) / 3.0

    found = adjusted(*TERMS, 1.0)
    assert found[Greek.DELTA] == pytest.approx(diff(0, 0.02, Greek.PRICE), rel=1e-9)
    assert found[Greek.GAMMA] == pytest.approx(diff(0, 0.02, Greek.DELTA), rel=1e-8)
    assert found[Greek.VEGA] == pytest.approx(diff(3, 1e-4, Greek.PRICE), rel=1e-8)


def test_a_normal_return_adjusts_nothing():
    assert np.array_equal(
        adjusted(*TERMS, PUT, skew=0.0, kurtosis=3.0), black_scholes_greeks(*TERMS, PUT)
    )


def test_call_and_put_take_the_same_adjustment():
    call, put = adjusted(*TERMS, 1.0), adjusted(*TERMS, PUT)
    parity = TERMS[0] * np.exp(-0.01 * 0.25) - TERMS[1] * np.exp(-0.03 * 0.25)
    assert call[Greek.PRICE] - put[Greek.PRICE] == pytest.approx(parity, rel=1e-13)


def test_sticky_rules_are_total_derivatives():
    """A smile sigma(ln(K / F)) that moves with the forward, stands still, or mirrors it."""
    forward, strike, years = 60_000.0, 66_000.0, 0.1

    def smile(k):
        return 0.6 - 0.3 * k + 0.5 * k * k

    def price(f, sigma):
        return float(black_price(f, strike, years, sigma))

    k = np.log(strike / forward)
    row = black_greeks(forward, strike, years, smile(k))
    slope, bump = -0.3 + 1.0 * k, 1.0
    up, down = (np.log(strike / (forward + b)) for b in (bump, -bump))
    moving = (price(forward + bump, smile(up)) - price(forward - bump, smile(down))) / (2 * bump)
    still = (price(forward + bump, smile(k)) - price(forward - bump, smile(k))) / (2 * bump)
    args = (row[Greek.DELTA], row[Greek.VEGA], forward, slope)
    assert greeks.smile_delta(*args, 1.0) == pytest.approx(moving, rel=1e-7)
    assert greeks.smile_delta(*args, 0.0) == pytest.approx(still, rel=1e-7)
    assert greeks.smile_delta(*args, -1.0) == pytest.approx(2.0 * still - moving, rel=1e-7)


def test_minimum_variance_delta(vectors):
    assert "a + b delta_BS + c delta_BS^2" in vectors["minimum_variance_delta"]["formula"]
    found = greeks.minimum_variance_delta(0.4, 20.0, 100.0, 0.25, -0.2, 0.1, -0.05)
    assert found == pytest.approx(0.4 + 20.0 / 50.0 * (-0.2 + 0.04 - 0.008), rel=1e-14)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_sabr_volatilities_agree_with_quantlib(beta, quantlib):
    alpha = 0.6 * 60_000.0 ** (1.0 - beta)
    for strike in (30_000.0, 59_999.9, 60_000.0, 61_000.0, 120_000.0):
        found = greeks.sabr_volatility(60_000.0, strike, 0.25, alpha, beta, -0.3, 1.2)
        theirs = quantlib.sabrVolatility(strike, 60_000.0, 0.25, alpha, beta, 1.2, -0.3)
        assert found == pytest.approx(theirs, rel=2e-8)  # near the money both use a series


def test_bartlett_hardly_depends_on_beta():
    """The same smile by two betas: Bartlett's deltas agree where the plain ones do not."""
    forward, strike, years, nu = 60_000.0, 63_000.0, 0.25, 0.8
    plain, full = [], []
    for beta, rho in ((1.0, -0.4), (0.8, None)):
        alpha = 0.6 * forward ** (1.0 - beta)
        if rho is None:  # the skew at the money, (rho nu - (1 - beta) sigma) / 2, as with beta 1
            rho = (-0.4 * nu + 0.2 * 0.6) / nu
        sigma = greeks.sabr_volatility(forward, strike, years, alpha, beta, rho, nu)
        row = black_greeks(forward, strike, years, sigma)
        delta, vega = row[Greek.DELTA], row[Greek.VEGA]
        args = (forward, strike, years, alpha, beta, rho, nu)
        up = greeks.sabr_volatility(forward + 1.0, *args[1:])
        down = greeks.sabr_volatility(forward - 1.0, *args[1:])
        plain.append(delta + vega * (up - down) / 2.0)
        full.append(greeks.bartlett_delta(delta, vega, *args))
    assert abs(full[0] - full[1]) < 0.005
    assert abs(plain[0] - plain[1]) > 4.0 * abs(full[0] - full[1])


def test_kernels_run_as_plain_python(plain):
    whole = adjusted(*TERMS, PUT)
    bartlett = greeks.bartlett_delta(0.4, 100.0, 60_000.0, 63_000.0, 0.25, 0.6, 1.0, -0.3, 1.2)
    with plain(greeks, black, normal):
        alone = adjusted(*TERMS, PUT)
        also = greeks.bartlett_delta(0.4, 100.0, 60_000.0, 63_000.0, 0.25, 0.6, 1.0, -0.3, 1.2)
        same = greeks.smile_delta(0.4, 1.0, 1.0, 0.0, 1.0)
    assert np.allclose(alone, whole, rtol=1e-12)
    assert also == pytest.approx(bartlett, rel=1e-9)
    assert same == 0.4
