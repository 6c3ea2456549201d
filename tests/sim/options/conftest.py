"""Vectors, and the slow references that option prices are compared with."""

import json
import warnings

import numpy as np
import pytest


@pytest.fixture(scope="session")
def vectors(shared):
    path = shared / "vectors" / "hedging.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the folder of reference vectors")
    return json.loads(path.read_text())


def _import(name, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=reason)


@pytest.fixture(scope="session")
def quantlib():
    return _import("QuantLib", "QuantLib, the peer of option prices, is not installed")


@pytest.fixture(scope="session")
def vollib():
    _import("py_vollib", "py_vollib, a peer of implied volatilities, is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import py_vollib.black
        import py_vollib.black.implied_volatility
        import py_vollib.black_scholes.greeks.analytical
    return py_vollib


@pytest.fixture(scope="session")
def mpmath():
    module = _import("mpmath", "mpmath, which computes with 50 digits, is not installed")
    module.mp.dps = 50
    return module


@pytest.fixture(scope="session")
def exact_price(mpmath):
    """Black-Scholes as the textbook writes it, with 50 digits; arguments may be mpf."""
    mp = mpmath

    def cdf(z):
        return mp.erfc(-z / mp.sqrt(2)) / 2

    def price(spot, strike, years, sigma, rate=0.0, dividend=0.0, sign=1.0):
        spot, strike, years, sigma, rate, dividend = (
            mp.mpf(x) for x in (spot, strike, years, sigma, rate, dividend)
        )
        s = sigma * mp.sqrt(years)
        asset, bond = spot * mp.exp(-dividend * years), strike * mp.exp(-rate * years)
        d1 = mp.log(asset / bond) / s + s / 2
        return sign * (asset * cdf(sign * d1) - bond * cdf(sign * (d1 - s)))

    return price


@pytest.fixture(scope="session")
def grid():
    """Terms from one hour to three years, wings to 8 standard deviations: rows F, K, T, sigma."""
    years = np.array([1 / 8760, 6 / 8760, 1 / 365, 7 / 365, 30 / 365, 0.25, 1.0, 3.0])
    sigma = np.array([0.05, 0.2, 0.6, 1.2, 2.5])
    wings = np.array([-8.0, -5.0, -3.0, -1.5, -0.5, -0.01, 0.0, 0.01, 0.5, 1.5, 3.0, 5.0, 8.0])
    t, v, z = (a.ravel() for a in np.meshgrid(years, sigma, wings, indexing="ij"))
    strike = 60_000.0 * np.exp(z * v * np.sqrt(t))
    keep = np.abs(np.log(strike / 60_000.0)) < 8.0
    return np.stack([np.full(keep.sum(), 60_000.0), strike[keep], t[keep], v[keep]])
