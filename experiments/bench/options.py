"""What options cost: implied volatilities beside QuantLib's, prices, Greeks, COS, a surface."""

import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from experiments.bench import Figure
from sim.kernel import F64

OPTIONS = 400_000
PEER_OPTIONS = 40_000
REPEATS = 7


def out_of_the_money(n: int) -> F64:
    """Draw terms as a chain has them, shape (6, option): forward, strike, years, sigma, 0, sign."""
    rng = np.random.default_rng(0)
    years = rng.choice([1 / 365, 7 / 365, 30 / 365, 0.25, 1.0], n)
    sigma = rng.uniform(0.3, 1.2, n)
    strike = np.exp(rng.normal(0.0, 1.5, n) * sigma * np.sqrt(years))
    sign = np.where(strike >= 1.0, 1.0, -1.0)
    return np.stack([np.ones(n), strike, years, sigma, np.zeros(n), sign])


def seconds_of(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median seconds of a call, the first one left out."""
    times = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return median(times[1:])


def implied() -> list[Figure]:
    """Measure implied volatilities, checked against those that made the prices."""
    from sim.options.black import fill_black
    from sim.options.implied import fill_implied

    terms = out_of_the_money(OPTIONS)
    price, found = np.empty(OPTIONS), np.empty(OPTIONS)
    codes = np.empty(OPTIONS, np.int64)
    fill_black(price, terms)
    wanted = np.stack([price, terms[0], terms[1], terms[2], np.ones(OPTIONS), terms[5]])
    rate = OPTIONS / seconds_of(lambda: fill_implied(found, codes, wanted))
    worst = float(np.abs(found / terms[3] - 1.0).max())
    if codes.any() or worst > 1e-12:
        raise RuntimeError(f"implied volatilities are off by {worst:g}")
    note = f"{OPTIONS:,} out-of-the-money options, one core, worst relative error {worst:.0e}"
    figure = Figure("implied volatilities", rate / 1e6, "M/s", 3.5, True, note)
    return [figure, *peer(wanted[:, :PEER_OPTIONS], rate)]


def peer(wanted: F64, rate: float) -> list[Figure]:
    """Ratio to QuantLib's implied volatility at the same accuracy, one call an option."""
    if importlib.util.find_spec("QuantLib") is None:
        return [Figure("ratio to QuantLib", None, note="not installed")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ql = importlib.import_module("QuantLib")
    call, put = ql.Option.Call, ql.Option.Put
    rows = [
        (call if sign > 0.0 else put, strike, forward, price)
        for price, forward, strike, _, _, sign in wanted.T.tolist()
    ]
    figures = []
    for accuracy in (1e-12, 1e-6):
        begun = time.perf_counter()
        for kind, strike, forward, price in rows:
            ql.blackFormulaImpliedStdDev(
                kind, strike, forward, price, 1.0, 0.0, 0.2, accuracy, 1000
            )
        theirs = len(rows) / (time.perf_counter() - begun)
        note = f"blackFormulaImpliedStdDev, a call an option: {theirs / 1e6:.2f} M/s"
        figures.append(Figure(f"ratio to QuantLib at {accuracy:g}", rate / theirs, "x", note=note))
    return figures


def prices() -> list[Figure]:
    """Measure prices and tables of all Greeks."""
    from sim.options.black import N_GREEKS, fill_black, fill_forward_greeks

    terms = out_of_the_money(OPTIONS)
    out, greeks = np.empty(OPTIONS), np.empty((OPTIONS, N_GREEKS))
    rate = OPTIONS / seconds_of(lambda: fill_black(out, terms))
    both = OPTIONS / seconds_of(lambda: fill_forward_greeks(greeks, terms))
    note = f"{OPTIONS:,} options, one core"
    return [
        Figure("Black-76 prices", rate / 1e6, "M/s", note=note),
        Figure(f"prices with {N_GREEKS - 1} Greeks", both / 1e6, "M/s", note=note),
    ]


def models() -> list[Figure]:
    """Measure a smile by COS, and a surface of twelve expiries."""
    from sim.options.characteristic import SvcjModel
    from sim.options.cos import cos_price
    from sim.options.surface import Smile, fit_surface

    model = SvcjModel(
        v0=0.4, kappa=5.0, theta=0.4, xi=1.5, rho=-0.3, intensity=6.0, jump_mean=-0.05,
        jump_volatility=0.1, variance_jump=0.3, jump_correlation=-0.2,
    )  # fmt: skip
    strikes = np.linspace(50.0, 200.0, 60)
    smile = seconds_of(lambda: cos_price(model, 100.0, strikes, 0.25))
    smiles = []
    for years in np.array([2, 4, 7, 14, 21, 30, 60, 90, 135, 180, 270, 360]) / 365:
        k = np.linspace(-2.5, 2.5, 31) * 0.6 * np.sqrt(years)
        sigma = 0.6 - 0.1 * k + 0.08 * k * k / np.sqrt(years)
        smiles.append(
            Smile(years=float(years), forward=100.0, strike=100.0 * np.exp(k), volatility=sigma)
        )
    surface = seconds_of(lambda: fit_surface(smiles), 3)
    return [
        Figure("SVCJ smile by COS", smile * 1e3, "ms", note="60 strikes"),
        Figure(
            "SVI surface without arbitrage", surface * 1e3, "ms", note="12 expiries, 31 strikes"
        ),
    ]


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {"options": [implied, prices, models]}
