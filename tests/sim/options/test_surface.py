"""SVI smiles and surfaces: published values, recovery, no arbitrage, readings."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from sim.errors import InputError
from sim.options import svi
from sim.options.black import black_price
from sim.options.surface import Smile, Surface, Violation, fit_surface
from sim.options.svi import Svi, butterfly, fill_variance, moneyness_grid, svi_slope, svi_variance

YEARS = np.array([7 / 365, 30 / 365, 0.25, 0.75])
TRUE = np.array(
    [
        [0.002, 0.035, -0.25, -0.005, 0.07],
        [0.006, 0.09, -0.25, 0.01, 0.16],
        [0.02, 0.17, -0.2, 0.04, 0.3],
        [0.08, 0.28, -0.15, 0.1, 0.55],
    ]
)


def smile_of(p, years, n=25, reach=3.0, name="", **change):
    atm = np.sqrt(svi_variance(p, 0.0))
    k = np.linspace(-reach, reach, n) * atm
    w = np.empty(n)
    fill_variance(w, p, k)
    terms = {
        "years": years, "forward": 60_000.0, "strike": 60_000.0 * np.exp(k),
        "volatility": np.sqrt(w / years), "name": name,
    }  # fmt: skip
    return Smile(**terms | change)


@pytest.fixture(scope="module")
def surface():
    return fit_surface([smile_of(p, t) for p, t in zip(TRUE, YEARS, strict=True)], strict=True)


def test_published_total_variances(vectors):
    row = vectors["closed_forms"]["svi_raw"]
    p = np.array([row["params"][name] for name in ("a", "b", "rho", "m", "sigma")])
    for k, w in row["w"]:
        assert svi_variance(p, k) == pytest.approx(w, rel=1e-14)


def test_slopes_and_density_are_those_of_the_smile(mpmath):
    p = TRUE[1]

    def w(k):
        x = k - mpmath.mpf(p[3])
        return p[0] + p[1] * (p[2] * x + mpmath.sqrt(x * x + p[4] ** 2))

    for k in (-0.4, -0.02, 0.3):
        first, second = mpmath.diff(w, k), mpmath.diff(w, k, 2)
        left = 1 - k * first / (2 * w(k))
        g = left**2 - first**2 / 4 * (1 / w(k) + mpmath.mpf(1) / 4) + second / 2
        assert svi_slope(p, k) == pytest.approx(float(first), rel=1e-12)
        assert butterfly(p, k) == pytest.approx(float(g), rel=1e-12)


def test_the_density_condition_sees_negative_butterflies():
    """Where g < 0, the second difference of call prices by strike is negative, and only there.

    The parameters are Axel Vogt's, as Gatheral and Jacquier 2014 (section 5) give them, from
    memory; the prices say by themselves that they admit arbitrage.
    """
    p = np.array([-0.0410, 0.1331, 0.3060, 0.3586, 0.4153])
    bump = 1e-3
    signs = []
    for k in np.linspace(-1.2, 1.2, 25):
        strikes = np.exp(k) * np.array([1.0 - bump, 1.0, 1.0 + bump])
        sigma = [np.sqrt(svi_variance(p, x)) for x in np.log(strikes)]
        price = black_price(1.0, strikes, 1.0, sigma)
        fly = price[0] - 2.0 * price[1] + price[2]
        signs.append((butterfly(p, k) > 0.0) == (fly > 0.0))
    assert all(signs)
    assert butterfly(p, 0.8) < 0.0 < butterfly(p, 0.0)
    assert butterfly(np.array([-0.1, 0.1, 0.0, 0.0, 0.1]), 0.0) == -np.inf


def test_a_fit_recovers_what_made_the_quotes(surface):
    grid = np.linspace(-2.0, 2.0, 41)
    for i, (p, t) in enumerate(zip(TRUE, YEARS, strict=True)):
        k = grid * np.sqrt(svi_variance(p, 0.0))
        w = np.empty_like(k)
        fill_variance(w, p, k)
        # a hundredth of a volatility point
        assert np.abs(surface.volatility(k, t) - np.sqrt(w / t)).max() < 1e-4, i
    assert surface.violations() == []
    assert (surface.shrunk == 1.0).all()


def test_a_fit_averages_noise():
    rng = np.random.default_rng(1)
    clean = smile_of(TRUE[2], YEARS[2], n=40)
    noisy = clean.volatility + rng.normal(0.0, 0.005, 40)
    found = fit_surface([smile_of(TRUE[2], YEARS[2], n=40, volatility=noisy)])
    error = found.at_strike(clean.strike, YEARS[2]) - clean.volatility
    middle = np.abs(np.log(clean.strike / 60_000.0)) < 0.3
    assert np.abs(error[middle]).max() < 0.005


def test_crossing_smiles_are_joined_without_arbitrage():
    """The week quotes a wing above the month's: alone they cross, together they do not."""
    steep = np.array([0.002, 0.10, -0.25, -0.005, 0.05])
    smiles = [smile_of(steep, YEARS[0], reach=8.0), smile_of(TRUE[1], YEARS[1])]
    alone = fit_surface(smiles, arbitrage_free=False)
    kinds = {v.kind for v in alone.violations()}
    assert "calendar" in kinds
    joined = fit_surface(smiles, strict=True)
    assert joined.violations() == []
    # the long smile stands where its quotes are, the short one gave way in the wing alone
    assert np.abs(joined.at_strike(smiles[1].strike, YEARS[1]) - smiles[1].volatility).max() < 1e-4
    assert abs(joined.atm(YEARS[0]) - smiles[0].volatility[12]) < 0.03


def test_surfaces_rise_in_time_everywhere(surface):
    """Between slices and outside them: total variance never falls, on a lattice of times."""
    k = np.linspace(-1.2, 1.2, 49)[:, None]
    times = np.linspace(1e-4, 1.5, 200)[None, :]
    w = surface.total_variance(k, times)
    assert (np.diff(w, axis=1) >= -1e-12).all()


def test_what_breaks_a_condition_is_named(surface):
    p = surface.parameters.copy()
    p[[0, 1]] = p[[1, 0]]
    swapped = Surface(
        years=YEARS, forwards=np.full(4, 60_000.0), parameters=p,
        names=("week", "month", "quarter", "year"), reach=1.0,
    )  # fmt: skip
    found = swapped.violations()
    assert [v.expiry for v in found if v.kind == "calendar"] == ["week"]
    assert str(Violation("butterfly", "week", 0.5, 0.02)) == (
        "butterfly at week, k = 0.5: g(k) falls below 0 by 0.02"
    )


def test_strict_refuses_a_frown():
    """A smile with a sharp peak at the money has no density; the fit says which condition fails."""
    k = np.linspace(-1.0, 1.0, 21)
    spike = Smile(
        years=0.25, forward=100.0, strike=100.0 * np.exp(k),
        volatility=np.where(np.abs(k) < 0.06, 2.0, 0.1), name="spiked",
    )  # fmt: skip
    loose = fit_surface([spike])
    assert loose.violations() == []  # no SVI slice without arbitrage shows such a spike,
    error = np.abs(loose.at_strike(spike.strike, 0.25) - spike.volatility)
    assert error.max() > 0.5  # so the fit is poor, and not wrong


def test_readings(surface):
    at = YEARS[2]
    assert surface.forward(0.1) == pytest.approx(60_000.0, rel=1e-12)
    atm = float(surface.atm(at))
    assert atm == pytest.approx(np.sqrt(svi_variance(TRUE[2], 0.0) / at), abs=1e-5)
    slope = svi_slope(surface.parameters[2], 0.0) / (2.0 * at * atm)
    assert surface.skew(at) == pytest.approx(slope, rel=1e-5)
    for sign in (1.0, -1.0):
        k = float(surface.delta_moneyness(0.25, at, sign))
        s = float(surface.volatility(k, at)) * np.sqrt(at)
        assert norm.cdf(sign * (-k / s + s / 2.0)) == pytest.approx(0.25, abs=1e-10)
        assert np.sign(k) == sign
    call = surface.volatility(surface.delta_moneyness(0.25, at, 1.0), at)
    put = surface.volatility(surface.delta_moneyness(0.25, at, -1.0), at)
    assert surface.risk_reversal(at) == pytest.approx(float(call - put))
    assert surface.fly(at) == pytest.approx(float(0.5 * (call + put) - atm))
    assert surface.risk_reversal(YEARS).shape == (4,)
    with pytest.raises(InputError, match=r"delta must lie in \(0, 1\), got 1.5"):
        surface.risk_reversal(at, 1.5)


def test_sticky_rules_move_the_smile(surface):
    at, strike, moved = YEARS[1], 66_000.0, 63_000.0
    here = float(surface.at_strike(strike, at))
    assert surface.sticky_volatility(strike, at, moved, 0.0) == pytest.approx(here)
    k = np.log(strike / moved)
    assert surface.sticky_volatility(strike, at, moved, 1.0) == pytest.approx(
        float(surface.volatility(k, at))
    )
    small = 60_000.0 * 1.0001
    moves = surface.sticky_volatility(strike, at, small, 1.0) - here
    slope = surface.skew(at, np.log(strike / 60_000.0))
    assert moves == pytest.approx(-float(slope) * 1e-4, rel=1e-3)


@pytest.mark.parametrize(
    ("smiles", "words"),
    [
        ([], "at least one expiry"),
        (
            [replace(smile_of(TRUE[0], 0.1, name="old"), years=-0.01)],
            "expiry old must lie in the future, got -0.01",
        ),
        ([smile_of(TRUE[0], 0.1, n=4, name="few")], "at least 5 strikes with a volatility each"),
        (
            [smile_of(TRUE[0], 0.1, name="bad", volatility=np.full(25, -0.5))],
            "expiry bad: volatility must be finite and above 0, got -0.5",
        ),
        ([smile_of(TRUE[0], 0.1), smile_of(TRUE[1], 0.1)], "expiries must differ"),
    ],
)
def test_bad_smiles_get_one_sentence(smiles, words):
    with pytest.raises(InputError, match=words):
        fit_surface(smiles)


def test_kernels_run_as_plain_python(plain):
    quotes = smile_of(TRUE[1], YEARS[1], n=7)
    k = np.log(quotes.strike / 60_000.0)
    w = quotes.volatility**2 * YEARS[1]
    weight = np.ones(7) / (4.0 * w * YEARS[1])
    grid = moneyness_grid(1.0, 9)

    def fit():
        p = np.empty(5)
        error = svi.fit_svi(
            p, np.empty(3), np.empty((2, 3, 4)), np.empty((3, 3)), k, w, weight, grid,
            np.full(9, 0.5), np.full(2, 2.0), YEARS[1], 20,
        )  # fmt: skip
        return p, error

    whole, error = fit()
    with plain(svi):
        alone, also = fit()
    assert np.allclose(alone, whole, rtol=1e-6, atol=1e-9)
    assert also == pytest.approx(error, rel=1e-3, abs=1e-12)
    assert list(Svi) == [0, 1, 2, 3, 4]
