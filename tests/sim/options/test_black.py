"""Prices and Greeks against 50 digits, QuantLib, py_vollib and published figures."""

import numpy as np
import pytest

from sim.errors import InputError
from sim.options import black, normal
from sim.options.black import (
    CALL,
    PUT,
    Greek,
    black_greeks,
    black_price,
    black_scholes_greeks,
    black_scholes_price,
)


def test_mills_ratio_holds_sixteen_digits(mpmath):
    mp = mpmath
    for y in [0.0, 1e-9, 0.1, 0.7, 1.3, 2.9, 5.0, 8.0, 13.0, 21.0, 38.0]:
        exact = mp.sqrt(mp.pi / 2) * mp.exp(mp.mpf(y) ** 2 / 2) * mp.erfc(mp.mpf(y) / mp.sqrt(2))
        assert abs(normal.mills(y) / exact - 1) < 6e-16
    assert normal.mills(1e8) == pytest.approx(1e-8, rel=1e-14)


def test_the_normal_distribution_keeps_its_wings(mpmath):
    for z in [-37.0, -20.0, -8.0, -1.0, 0.0, 1.0, 8.0]:
        exact = mpmath.erfc(-mpmath.mpf(z) / mpmath.sqrt(2)) / 2
        # the rounding of z^2 / 2 in the density: half an ulp of 684 at z = 37
        assert abs(normal.normal_cdf(z) / exact - 1) < 1.2e-16 * (z * z + 8.0)
    assert normal.normal_cdf(-50.0) == 0.0
    assert normal.normal_cdf(50.0) == 1.0


@pytest.mark.parametrize("sign", [CALL, PUT])
def test_prices_keep_ten_digits_in_the_wings(sign, grid, exact_price):
    """The error is relative to the price where it is out of the money, tiny prices included.

    ln(F / K) is rounded to 1e-16, which the slope of the price's log, d1 / s, magnifies.
    """
    found = black_price(*grid, sign=sign)
    for i in range(0, grid.shape[1], 3):
        exact = exact_price(*grid[:, i], sign=sign)
        assert abs(found[i] / exact - 1) < 1e-10, grid[:, i]


def test_tiny_prices_are_no_noise(exact_price):
    """Prices near the smallest numbers, where differences of two probabilities are all noise."""
    for strike, sigma, years in [(80_000, 0.3, 1 / 365), (64_000, 0.6, 1 / 8760), (6e5, 0.6, 0.1)]:
        exact = exact_price(60_000, strike, years, sigma)
        assert 0.0 < exact < 1e-3
        assert abs(float(black_price(60_000.0, strike, years, sigma)) / exact - 1) < 1e-10


def test_put_call_parity(grid):
    forward, strike = grid[0], grid[1]
    call, put = black_price(*grid, 0.04, CALL), black_price(*grid, 0.04, PUT)
    gap = call - put - np.exp(-0.04 * grid[2]) * (forward - strike)
    assert (np.abs(gap) <= 1e-15 * (forward + strike)).all()


def test_prices_agree_with_quantlib(grid, quantlib):
    ql = quantlib
    for sign, kind in ((CALL, ql.Option.Call), (PUT, ql.Option.Put)):
        found = black_price(*grid, sign=sign)
        deviation = grid[3] * np.sqrt(grid[2])
        theirs = [
            ql.blackFormula(kind, k, f, s, 1.0)
            for f, k, s in zip(grid[0], grid[1], deviation, strict=True)
        ]
        # QuantLib takes a difference of probabilities, so that it rounds to forward and strike
        noise = 2e-15 * (grid[0] + grid[1])
        assert (np.abs(found - theirs) <= 1e-10 * found + noise).all()


def test_greeks_agree_with_quantlib(quantlib):
    ql = quantlib
    spot, rate, dividend = 100.0, 0.03, 0.01
    for strike in (60.0, 95.0, 100.0, 140.0):
        for years, sigma in ((1 / 8760, 0.6), (0.25, 0.6), (2.0, 0.2)):
            for sign, kind in ((CALL, ql.Option.Call), (PUT, ql.Option.Put)):
                row = black_scholes_greeks(spot, strike, years, sigma, rate, dividend, sign)
                forward = spot * np.exp((rate - dividend) * years)
                discount = np.exp(-rate * years)
                theirs = ql.BlackCalculator(
                    ql.PlainVanillaPayoff(kind, strike), forward, sigma * years**0.5, discount
                )
                pairs = {
                    Greek.PRICE: theirs.value(),
                    Greek.DELTA: theirs.delta(spot),
                    Greek.GAMMA: theirs.gamma(spot),
                    Greek.VEGA: theirs.vega(years),
                    Greek.RHO: theirs.rho(years),
                    Greek.CARRY_RHO: theirs.dividendRho(years),
                    Greek.STRIKE_DELTA: theirs.strikeSensitivity(),
                    Greek.STRIKE_GAMMA: theirs.strikeGamma(),
                }
                for greek, number in pairs.items():
                    assert row[greek] == pytest.approx(number, rel=1e-10, abs=1e-10), greek.name


def test_greeks_agree_with_py_vollib(vollib):
    analytical = vollib.black_scholes.greeks.analytical
    for sign, flag in ((CALL, "c"), (PUT, "p")):
        row = black_scholes_greeks(100.0, 90.0, 0.3, 0.5, 0.02, 0.0, sign)
        args = (flag, 100.0, 90.0, 0.3, 0.02, 0.5)
        # vega and rho per percentage point, theta per day
        assert row[Greek.DELTA] == pytest.approx(analytical.delta(*args), rel=1e-10)
        assert row[Greek.GAMMA] == pytest.approx(analytical.gamma(*args), rel=1e-10)
        assert row[Greek.VEGA] / 100 == pytest.approx(analytical.vega(*args), rel=1e-10)
        assert row[Greek.THETA] / 365 == pytest.approx(analytical.theta(*args), rel=1e-10)
        assert row[Greek.RHO] / 100 == pytest.approx(analytical.rho(*args), rel=1e-10)


# Which derivative each Greek is: how often by spot, strike, years, sigma, rate, dividend.
DERIVATIVES = {
    Greek.DELTA: (1, 0, 0, 0, 0, 0),
    Greek.GAMMA: (2, 0, 0, 0, 0, 0),
    Greek.VEGA: (0, 0, 0, 1, 0, 0),
    Greek.THETA: (0, 0, 1, 0, 0, 0),
    Greek.RHO: (0, 0, 0, 0, 1, 0),
    Greek.VANNA: (1, 0, 0, 1, 0, 0),
    Greek.VOLGA: (0, 0, 0, 2, 0, 0),
    Greek.CHARM: (1, 0, 1, 0, 0, 0),
    Greek.VETA: (0, 0, 1, 1, 0, 0),
    Greek.SPEED: (3, 0, 0, 0, 0, 0),
    Greek.ZOMMA: (2, 0, 0, 1, 0, 0),
    Greek.COLOR: (2, 0, 1, 0, 0, 0),
    Greek.ULTIMA: (0, 0, 0, 3, 0, 0),
    Greek.CARRY_RHO: (0, 0, 0, 0, 0, 1),
    Greek.STRIKE_DELTA: (0, 1, 0, 0, 0, 0),
    Greek.STRIKE_GAMMA: (0, 2, 0, 0, 0, 0),
}
POINTS = [
    (100.0, 90.0, 0.3, 0.5, 0.02, 0.01),
    (100.0, 180.0, 0.1, 0.8, -0.03, 0.05),  # a wing at a negative rate
    (100.0, 100.5, 1 / 8760, 0.6, 0.04, 0.0),  # one hour
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("sign", [CALL, PUT])
def test_every_greek_is_its_derivative(point, sign, exact_price, mpmath):
    row = black_scholes_greeks(*point, sign)
    assert set(DERIVATIVES) == set(Greek) - {Greek.PRICE}
    for greek, orders in DERIVATIVES.items():
        with mpmath.workdps(60):
            exact = mpmath.diff(lambda *a: exact_price(*a, sign=sign), point, orders)
        if orders[2]:
            exact = -exact  # by calendar time
        assert row[greek] == pytest.approx(float(exact), rel=1e-10, abs=1e-13), greek.name


def test_greeks_on_a_forward_are_derivatives_at_a_fixed_forward(exact_price, mpmath):
    def price(forward, years, rate):
        return exact_price(forward, 110.0, years, 0.5, rate, rate)

    row = black_greeks(100.0, 110.0, 0.3, 0.5, 0.03)
    point = (100.0, 0.3, 0.03)
    for greek, orders, factor in [
        (Greek.DELTA, (1, 0, 0), 1),
        (Greek.THETA, (0, 1, 0), -1),
        (Greek.RHO, (0, 0, 1), 1),
    ]:
        exact = factor * float(mpmath.diff(price, point, orders))
        assert row[greek] == pytest.approx(exact, rel=1e-10)
    assert row[Greek.CARRY_RHO] == 0.0


def test_published_prices(vectors):
    for name in ("bs_cao_1m", "bs_cao_3m"):
        row = vectors["closed_forms"][name]
        found = black_scholes_greeks(row["S"], row["K"], row["T"], row["sigma"])
        assert found[Greek.PRICE] == pytest.approx(row["price"], rel=1e-12)
        assert found[Greek.DELTA] == pytest.approx(row["delta"], rel=1e-12)


def test_pfhedge_prints_the_same_figures(vectors):
    """Its documentation shows four digits behind the point, at strike 1."""
    docs = vectors["pfhedge"]["docs"]["bs_european_price"]
    found = black_scholes_greeks(np.exp(docs["log_m"]), 1.0, docs["T"], docs["vol"])
    assert np.allclose(found[:, Greek.PRICE], docs["price"], rtol=0, atol=5.1e-5)
    assert np.allclose(found[:, Greek.DELTA], docs["delta"], rtol=0, atol=5.1e-5)
    assert np.allclose(found[:, Greek.GAMMA], docs["gamma"], rtol=0, atol=5.1e-5)


@pytest.mark.parametrize("sign", [CALL, PUT])
@pytest.mark.parametrize(("years", "sigma"), [(0.0, 0.6), (0.5, 0.0)])
def test_without_time_or_volatility_the_price_is_intrinsic(sign, years, sigma):
    for strike in (90.0, 110.0):
        row = black_scholes_greeks(100.0, strike, years, sigma, 0.02, 0.01, sign)
        asset, bond = 100.0 * np.exp(-0.01 * years), strike * np.exp(-0.02 * years)
        value = max(sign * (asset - bond), 0.0)
        assert black_scholes_price(100.0, strike, years, sigma, 0.02, 0.01, sign) == (
            pytest.approx(value, rel=1e-14)
        )
        assert row[Greek.PRICE] == pytest.approx(value, rel=1e-14)
        assert row[Greek.DELTA] == pytest.approx(sign * asset / 100.0 if value else 0.0, rel=1e-14)
        assert row[Greek.THETA] == pytest.approx(
            sign * (0.01 * asset - 0.02 * bond) if value else 0.0, rel=1e-14
        )
        assert np.isfinite(row).all()


def test_kernels_run_as_plain_python(plain):
    found = black_scholes_greeks(100.0, 110.0, 0.01, 0.5, 0.02, 0.01, PUT)
    row = np.empty(black.N_GREEKS)
    with plain(black, normal):
        black.greeks_of(row, 100.0, 110.0, 0.01, 0.5, 0.02, 0.01, PUT)
    assert np.allclose(row, found, rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spot": -1.0}, "spot must be finite and above 0, got -1 for option 0"),
        ({"sigma": [0.2, -0.1]}, "sigma must be finite and at least 0, got -0.1 for option 1"),
        ({"years": np.nan}, "years must be finite and at least 0, got nan"),
        ({"sign": 2.0}, r"sign must be finite and \+1 for a call or -1 for a put, got 2"),
        ({"rate": np.inf}, "rate must be finite, got inf"),
        ({"strike": [1.0, 2.0], "sigma": [0.1] * 3}, "must broadcast, got spot"),
    ],
)
def test_bad_terms_get_one_sentence(change, words):
    terms = {"spot": 100.0, "strike": 100.0, "years": 0.5, "sigma": 0.2} | change
    with pytest.raises(InputError, match=words):
        black_scholes_price(**terms)
