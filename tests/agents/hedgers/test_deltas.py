"""Flavours of delta against finite differences of prices that are written anew here."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kurtosis as excess
from scipy.stats import skew

from agents.hedgers.corrado_su import CorradoSu, moments_of, shrunk
from agents.hedgers.delta import TITLES, Delta
from agents.hedgers.greeks import DELTA, RULES, VALUE, fill_greeks, greeks
from agents.hedgers.hedger import Desk
from agents.hedgers.minimum_variance import MinimumVariance
from envs.hedging.terms import Contract, Costs
from envs.registration import parts
from experiments.hedging.play import TUNING, Setting, bound, play, sight_of
from experiments.hedging.tune import moves, tuned
from sim.errors import ConfigError
from sim.options.black import N_GREEKS

NU, RHO, LEVEL = 0.6, -0.4, 0.25
PRICE = np.linspace(85.0, 118.0, 7)
YEARS = 40.0 / 365.0


def call(price, vol, years=YEARS, strike=100.0):
    s = vol * math.sqrt(years)
    d1 = np.log(price / strike) / s + 0.5 * s
    return price * ndtr(d1) - strike * ndtr(d1 - s)


def hagan(price, level, years=YEARS, strike=100.0):
    """Lognormal SABR as Hagan and others (2002) give it for beta 1; from memory."""
    z = NU / level * np.log(price / strike)
    x = np.log((np.sqrt(1.0 - 2.0 * RHO * z + z * z) + z - RHO) / (1.0 - RHO))
    shape = np.where(np.abs(z) < 1e-9, 1.0, z / np.where(x == 0.0, 1.0, x))
    drift = 1.0 + (0.25 * RHO * NU * level + (2.0 - 3.0 * RHO**2) / 24.0 * NU**2) * years
    return level * shape * drift


def corrado_su(price, skewness, kurt, vol, years=YEARS, strike=100.0):
    """Price as in the docstring of `sim.options.greeks`."""
    s = vol * math.sqrt(years)
    d1 = np.log(price / strike) / s + 0.5 * s
    density = np.exp(-0.5 * d1 * d1) / math.sqrt(2.0 * math.pi)
    q3 = price * s / 6.0 * ((2.0 * s - d1) * density + s * s * ndtr(d1))
    q4 = price * s / 24.0 * ((d1 * d1 - 1.0 - 3.0 * s * (d1 - s)) * density + s**3 * ndtr(d1))
    return call(price, vol) + skewness * q3 + (kurt - 3.0) * q4


def found(rule, numbers=(), inverse=0.0, compiled=True, sabr=True):
    """Delta and value of one call over the prices."""
    n = len(PRICE)
    one, out = np.ones((n, 1)), np.zeros((4, n))
    marks = np.array([NU, RHO, 0.0, 0.0, 0.0]) if sabr else np.zeros(5)
    (fill_greeks if compiled else fill_greeks.py_func)(
        100.0 * one, 40.0 * one, one, one, np.ones(n, np.int64), np.zeros(n, np.int64),
        PRICE, np.full(n, LEVEL), 1.0 / 365.0, inverse, marks, RULES.index(rule),
        np.array(numbers, float), np.zeros(N_GREEKS), out,
    )  # fmt: skip
    return out[DELTA], out[VALUE]


def worth(rule, price, move):
    """Price of the call after the price moved by a share, as the rule has it; PRICE is before."""
    if rule == "corrado_su":
        return corrado_su(price, -0.4, 4.0, LEVEL)
    vol = {
        "sticky_strike": hagan(PRICE, LEVEL), "black_scholes": LEVEL,
        "sticky_delta": hagan(price, LEVEL),
        # SABR's regression of the level's move on the price's: rho nu dF / F
        "bartlett": hagan(price, LEVEL + RHO * NU * move),
    }  # fmt: skip
    return call(price, vol[rule])


def slope(rule, h=1e-5):
    up, down = worth(rule, PRICE * (1.0 + h), h), worth(rule, PRICE * (1.0 - h), -h)
    return (up - down) / (2.0 * h * PRICE)


NUMBERS = {"corrado_su": [0.0, -0.4, 3.0, 4.0]}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("inverse", [0.0, 1.0])
@pytest.mark.parametrize("rule", [*TITLES, "corrado_su"])
def test_a_delta_is_the_derivative_of_the_price_under_its_rule(rule, inverse, compiled):
    delta, value = found(rule, NUMBERS.get(rule, ()), inverse, compiled)
    expected = worth(rule, PRICE, 0.0) / (PRICE if inverse else 1.0)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    premium = expected if inverse else 0.0  # what a holder of coins has already
    np.testing.assert_allclose(delta + premium, slope(rule), atol=2e-7)


def test_rules_of_a_smile_agree_where_there_is_none():
    plain, _ = found("sticky_strike", sabr=False)
    for rule, numbers in (
        ("black_scholes", ()), ("sticky_delta", ()), ("bartlett", ()), ("leland", [0.0]),
        ("minimum_variance", [0.0, 0.0, 0.0]), ("corrado_su", [0.0, 3.0]),
    ):  # fmt: skip
        np.testing.assert_allclose(found(rule, numbers, sabr=False)[0], plain, atol=1e-9)


def test_minimum_variance_is_the_formula_of_its_authors():
    delta, _ = found("minimum_variance", [-0.2, 0.3, 0.1], sabr=False)
    d1 = np.log(PRICE / 100.0) / (LEVEL * math.sqrt(YEARS)) + 0.5 * LEVEL * math.sqrt(YEARS)
    plain = ndtr(d1)
    vega = PRICE * math.sqrt(YEARS) * np.exp(-0.5 * d1 * d1) / math.sqrt(2.0 * math.pi)
    move = vega / (PRICE * math.sqrt(YEARS)) * (-0.2 + 0.3 * plain + 0.1 * plain**2)
    np.testing.assert_allclose(delta, plain + move, atol=1e-12)


# -- what is estimated -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sabr():
    """SABR without costs, hedged often enough for the smile to matter: 60 days, 4 times a day."""
    setting = Setting(**parts("cao_2021_sabr", {}))
    contract = Contract(n_steps=240, days_per_step=0.25)
    return replace(
        setting, terms=replace(setting.terms, contract=contract, costs=Costs(proportional=0.0))
    )


def test_coefficients_are_those_of_least_squares_over_the_paths(sabr):
    hedger = tuned(sabr, bound(MinimumVariance(), sabr), 3, 60)
    env = sabr.worlds(60, TUNING)
    env.reset(seed=3)
    price, level = env.market.path[:, :, 0], env.market.path[:, :, 1]
    rows, missed = [], []
    for t in range(239):
        now, later = (240 - t) / 1000.0, (239 - t) / 1000.0
        vol = hagan(price[:, t], level[:, t], now)
        next_vol = hagan(price[:, t + 1], level[:, t + 1], later)
        d1 = np.log(price[:, t] / 100.0) / (vol * math.sqrt(now)) + 0.5 * vol * math.sqrt(now)
        delta = ndtr(d1)
        change = call(price[:, t + 1], next_vol, later) - call(price[:, t], vol, now)
        gain = price[:, t + 1] - price[:, t]
        bell = np.exp(-0.5 * d1 * d1) / math.sqrt(2.0 * math.pi)  # vega / (S sqrt(T))
        rows.append(np.stack([bell * gain, bell * delta * gain, bell * delta**2 * gain]))
        missed.append(change - delta * gain)
    x, y = np.concatenate(rows, axis=1), np.concatenate(missed)
    expected = np.linalg.lstsq(x.T, y, rcond=None)[0]
    np.testing.assert_allclose(hedger.numbers, expected, rtol=1e-4, atol=1e-6)


def test_without_costs_deltas_that_know_leverage_leave_less_variance(sabr):
    hedgers = {
        "sticky_strike": Delta(), "sticky_delta": Delta(rule="sticky_delta"),
        "bartlett": Delta(rule="bartlett"), "minimum_variance": MinimumVariance(),
    }  # fmt: skip
    cost = {
        name: play(sabr, tuned(sabr, bound(hedger, sabr), 0, 500), 0, 0, 3000).cost
        for name, hedger in hedgers.items()
    }
    sd = {name: values.std() for name, values in cost.items()}
    assert sd["bartlett"] < sd["sticky_strike"] < sd["sticky_delta"]
    assert sd["minimum_variance"] < sd["sticky_strike"]
    rng = np.random.default_rng(0)  # by more than chance, path by path
    picks = rng.integers(0, 3000, (200, 3000))
    less = cost["bartlett"][picks].std(axis=1) - cost["sticky_strike"][picks].std(axis=1)
    assert np.quantile(less, 0.975) < 0.0


def test_moments_are_those_of_the_returns_to_the_end(sabr):
    hedger = tuned(sabr, bound(CorradoSu(), sabr), 3, 400)
    env = sabr.worlds(400, TUNING)
    env.reset(seed=3)
    log = np.log(env.market.path[:, :, 0])
    for n in (1, 17, 240):
        x = log[:, -1] - log[:, -1 - n]
        np.testing.assert_allclose(
            hedger.moments[:, n], (skew(x), 3.0 + excess(x)), rtol=1e-6, atol=1e-9
        )
    assert (
        hedger.told == f"skew {hedger.moments[0, 240]:+.2f}, kurtosis {hedger.moments[1, 240]:.2f}"
    )
    assert moments_of(np.ones(5)) == (0.0, 3.0)


@pytest.mark.parametrize("moments", [(-3.2, 22.0), (0.3, 9.0), (-1.0, 3.0), (2.0, 2.0)])
def test_moments_that_no_density_has_are_shrunk_until_one_has_them(moments):
    lean, tails = shrunk(*moments)
    factor = lean / moments[0]
    assert 0.0 < factor < 1.0
    assert tails - 3.0 == pytest.approx(factor * (moments[1] - 3.0))
    x = np.linspace(-3.0, 3.0, 121)
    hermite = (x**3 - 3.0 * x, x**4 - 6.0 * x**2 + 3.0)
    density = 1.0 + lean / 6.0 * hermite[0] + (tails - 3.0) / 24.0 * hermite[1]
    assert density.min() == pytest.approx(0.0, abs=1e-12)
    assert shrunk(-0.3, 4.0) == (-0.3, 4.0)


def test_moments_of_each_horizon_are_used_at_it(sabr):
    hedger = bound(CorradoSu(), sabr)
    hedger.moments = np.array([np.linspace(0.0, -0.5, 241), np.linspace(3.0, 4.0, 241)])
    given = bound(CorradoSu(skew=-0.5 * 200 / 240, kurtosis=3.0 + 200 / 240), sabr)
    env = sabr.worlds(30, 0)
    observation, _ = env.reset(seed=1)
    for _ in range(40):
        observation, *_ = env.step(hedger.actions(sight_of(env, observation)))
    sight = sight_of(env, observation)
    np.testing.assert_allclose(hedger.target(sight), given.target(sight), atol=1e-12)


def test_moves_are_two_moments_a_period_apart(cao):
    desk = Desk.of(cao.worlds(1, 0).describe())
    count = 0
    for before, after in moves(cao, desk, 0, 50):
        assert (after.t == before.t + 1).all()
        assert before.price is not after.price
        change = greeks(desk, after)[VALUE] - greeks(desk, before)[VALUE]
        assert np.isfinite(change).all()
        count += 1
    assert count == 20


# -- bad input -------------------------------------------------------------------------------------


def test_bad_numbers_and_places_are_one_sentence(cao):
    desk = Desk.of(cao.worlds(1, 0).describe())
    with pytest.raises(ConfigError, match=f"rule must be one of {', '.join(TITLES)}, got 'gamma'"):
        Delta(rule="gamma")
    for rule in ("sticky_delta", "bartlett"):
        with pytest.raises(ConfigError, match=r"needs a smile, .* set terms\.mark\.vol_of_vol"):
            Delta(rule=rule).bind(desk)
    with pytest.raises(ConfigError, match="a, b and c must all be given or all be left out"):
        MinimumVariance(a=0.1)
    with pytest.raises(ConfigError, match="skew and kurtosis must both be given"):
        CorradoSu(skew=0.1)
    with pytest.raises(ConfigError, match="kurtosis"):
        CorradoSu(skew=0.0, kurtosis=0.5)
    with pytest.raises(ConfigError, match="estimates nothing from paths"):
        Delta().fitted([])
