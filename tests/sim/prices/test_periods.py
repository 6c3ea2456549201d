"""Regimes and GARCH: models with a day of their own."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim import streams
from sim.errors import ConfigError
from sim.prices.garch import GjrGarch, fatness, gamma_variate
from sim.prices.periods import rhythm_of
from sim.prices.process import SECONDS_PER_YEAR
from sim.prices.regimes import MarkovSwitching

DAY = 86_400.0
ONE = {"BTC": 100.0}
CHAIN = {
    "regimes": {"calm": 0.5, "ordinary": 1.0, "storm": 2.5},
    "transition": {
        "calm": {"ordinary": 0.05},
        "ordinary": {"calm": 0.04, "storm": 0.02},
        "storm": {"ordinary": 0.2},
    },
}


def switching(**terms):
    return MarkovSwitching(**{"initial": ONE, "volatility": 0.7} | CHAIN | terms)


def garch(**terms):
    default = {"initial": ONE, "volatility": 0.8, "alpha": 0.1, "gamma": 0.06, "beta": 0.8}
    return GjrGarch(**default | terms)


def test_regimes_have_their_stationary_shares(agree):
    process = switching()
    share = process.stationary()
    np.testing.assert_allclose(share @ process.matrix(), share, atol=1e-14)
    # 0.05 calm = 0.04 ordinary and 0.02 ordinary = 0.2 storm, by hand
    np.testing.assert_allclose(share, np.array([0.8, 1.0, 0.1]) / 1.9)
    paths = process.paths(1, np.arange(20_000), 0, 100, DAY)
    for k, factor in enumerate(CHAIN["regimes"].values()):
        inside = np.isclose(paths[..., 1], 0.7 * factor)
        agree(inside.mean(axis=1), share[k])
        agree(inside[:, 0], share[k])
    moves = np.diff(np.log(paths[..., 0]), axis=1)
    variance = 0.49 * (share @ np.array([0.25, 1.0, 6.25])) / 365.0
    agree((moves**2).mean(axis=1), variance, bias=0.002 * variance)


def test_regimes_move_by_their_transition_matrix():
    process = switching()
    paths = process.paths(1, np.arange(20_000), 0, 60, DAY)
    factors = np.array(list(CHAIN["regimes"].values()))
    regime = np.argmin(np.abs(paths[..., 1, None] / 0.7 - factors), axis=-1)
    for a in range(3):
        leaves = regime[:, 1:][regime[:, :-1] == a]
        for b in range(3):
            p = process.matrix()[a, b]
            assert abs((leaves == b).mean() - p) < 4 * math.sqrt(p * (1 - p) / leaves.size) + 1e-12


@pytest.mark.parametrize("hours", [1.0, 7.0, 24.0, 60.0])
def test_a_regime_lasts_days_whatever_the_step(hours, agree):
    """From calm, the expected variance of ten days is that of the chain's powers."""
    process = switching(opening="calm")
    squares, now, total = np.array([0.25, 1.0, 6.25]), np.array([1.0, 0.0, 0.0]), 0.0
    n = math.floor(240.0 / hours)
    end = n * hours / 24.0
    for day in range(math.ceil(end)):
        total += now @ squares * min(1.0, end - day)
        now = now @ process.matrix()
    paths = process.paths(1, np.arange(30_000), 0, n, 3600.0 * hours)
    agree(-2.0 * np.log(paths[:, -1, 0] / 100.0), 0.49 * total / 365.0)
    assert (paths[:, 0, 1] == 0.35).all()


def test_regimes_of_a_world_are_those_of_all_its_assets(models, run_path):
    """One regime a world: on stormy days both assets are wild."""
    path = run_path(models("regimes", correlation=0.0), n_steps=2000, ids=5, block_seconds=DAY)
    size = np.abs(np.diff(np.log(path), axis=0))
    measured = np.corrcoef(size[..., 0].ravel(), size[..., 1].ravel())[0, 1]
    assert measured > 0.1


# --- GARCH ----------------------------------------------------------------------------------------


def test_garch_returns_to_its_unconditional_variance(agree):
    """E h_t = h + (h_0 - h) p^t, p the persistence."""
    process = garch(opening_volatility=1.6)
    daily = 0.64 / 365.0
    paths = process.paths(1, np.arange(60_000), 0, 40, DAY)
    for t in (1, 5, 40):
        expected = daily + 3.0 * daily * process.persistence**t
        agree(paths[:, t, 1] ** 2 / 365.0, expected)
    level = garch().paths(1, np.arange(20_000), 0, 50, DAY)
    moves = np.diff(np.log(level[..., 0]), axis=1)
    agree((moves**2).mean(axis=1), daily, bias=0.002 * daily)


@pytest.mark.parametrize("nu", [None, 5.0])
def test_garch_shocks_have_their_law_and_their_news(nu):
    process = garch(degrees_of_freedom=nu)
    h = 0.64 / 365.0
    paths = process.paths(1, np.arange(20_000), 0, 1, DAY)
    e = np.log(paths[:, 1, 0] / 100.0) + 0.5 * h
    law = stats.norm() if nu is None else stats.t(nu, scale=math.sqrt((nu - 2) / nu))
    assert stats.kstest(e / math.sqrt(h), law.cdf).pvalue > 1e-4
    expected = (1 - 0.93) * h + np.where(e < 0.0, 0.16, 0.1) * e**2 + 0.8 * h
    np.testing.assert_allclose(paths[:, 1, 1] ** 2 / 365.0, expected, rtol=1e-9)


def test_the_mixing_variable_is_a_chi_square():
    key = streams.stream_key(1, "test")
    for shape in (1.0, 1.7, 20.0):
        draws = [gamma_variate(shape, key, w, 3, 0) for w in range(20_000)]
        assert stats.kstest(draws, stats.gamma(shape).cdf).pvalue > 1e-4
    assert fatness(0.0, key, 1, 1, 0) == 1.0
    assert fatness.py_func(5.0, key, 1, 1, 0) == pytest.approx(fatness(5.0, key, 1, 1, 0))


def test_a_bridged_day_ends_where_the_day_ends(models, run_path):
    """Six-hour blocks, days and two-day blocks pass through the same prices."""
    for name, period in (("garch", 4), ("bootstrap", 6)):
        seconds = DAY if name == "garch" else 3600.0
        day = run_path(models(name), n_steps=13, block_seconds=seconds)
        fine = run_path(models(name), n_steps=12 * period + 1, block_seconds=seconds / period)
        np.testing.assert_allclose(fine[::period], day, rtol=1e-12)
        long = run_path(models(name), n_steps=7, block_seconds=2 * seconds)
        np.testing.assert_allclose(long, day[::2], rtol=1e-12)


def test_a_bridge_has_the_variance_of_the_day(models, run_path, agree):
    """Inside the day returns have the day's variance, evenly, and the assets' correlation."""
    process = models("garch", alpha=0.0, gamma=0.0, beta=0.9)
    path = run_path(process, n_steps=9, ids=20_000, block_seconds=DAY / 8)
    moves = np.diff(np.log(path), axis=0)
    for k in (0, 3, 7):
        agree(moves[k, :, 0] ** 2, 0.81 / 365.0 / 8.0, bias=2e-6)
        measured = np.corrcoef(moves[k, :, 0], moves[k, :, 1])[0, 1]
        assert measured == pytest.approx(0.8, abs=0.015)


def test_a_day_of_large_moves_is_one_for_all_assets(models, run_path):
    """The t's share their mixing variable."""
    sizes = {}
    for nu in (None, 3.0):
        process = models("garch", correlation=0.0, degrees_of_freedom=nu, alpha=0.0, gamma=0.0)
        path = run_path(process, n_steps=2, ids=20_000, block_seconds=DAY)
        sizes[nu] = np.abs(np.diff(np.log(path), axis=0))[0]
    assert abs(stats.spearmanr(sizes[None]).statistic) < 0.03
    assert stats.spearmanr(sizes[3.0]).statistic > 0.05


def test_the_estimate_of_the_configuration_is_the_likeliest(shared, compose):
    """Quasi-likelihood of BTC days: no step by a tenth of a parameter improves it by a point."""
    table = pd.read_parquet(shared / "data" / "ohlcv_1d_btcusd.parquet").sort_values("ts")
    table = table[(table.ts >= "2015-01-01") & (table.ts < "2022-11-01")]
    e = np.diff(np.log(table.close)) - 0.0016
    terms = compose("price=garch")["price"]
    best = [7.3e-5, terms["alpha"], terms["gamma"], terms["beta"]]

    def likelihood(omega, alpha, gamma, beta):
        h = omega / (1 - alpha - gamma / 2 - beta)
        total = 0.0
        for x in e.tolist():
            total -= 0.5 * (math.log(h) + x * x / h)
            h = omega + (alpha + gamma * (x < 0)) * x * x + beta * h
        return total

    top = likelihood(*best)
    for i in range(4):
        for factor in (0.9, 1.1) if i < 3 else (0.97, 1.03):
            moved = best.copy()
            moved[i] *= factor
            assert likelihood(*moved) < top + 1.0, f"{i} times {factor}"
    assert likelihood(best[0] * 1.5, *best[1:]) < top - 5.0
    assert likelihood(best[0], best[1] * 0.5, *best[2:]) < top - 5.0
    assert terms["volatility"]["WBTC"] == pytest.approx(e.std() * math.sqrt(365.0), rel=0.01)


def test_steps_and_periods():
    assert rhythm_of(12.0, DAY, "x").steps == 7200
    assert rhythm_of(2 * DAY, DAY, "x").periods == 2
    rhythm = rhythm_of(DAY / 4, DAY, "x")
    assert [rhythm.left(step) for step in (1, 2, 4, 5)] == [4, 3, 1, 4]
    assert [rhythm.period(step) for step in (1, 4, 5)] == [0, 0, 1]
    assert rhythm_of(3 * DAY, DAY, "x").period(2) == 3
    with pytest.raises(ConfigError, match="block_seconds must be a whole multiple or a whole part"):
        rhythm_of(7 * 3600.0, DAY, "block_seconds")


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: garch(beta=0.9), "alpha . gamma / 2 . beta must lie under 1"),
        (lambda: garch(gamma=-0.2), "gamma must be a finite number between -0.1 and 2"),
        (lambda: garch(degrees_of_freedom=2.0), "degrees_of_freedom must be a finite number"),
        (lambda: garch(volatility={"ETH": 1.0}), "volatility names ETH"),
        (lambda: switching(regimes={}), "regimes must name at least one"),
        (lambda: switching(regimes={"calm": -1.0}), "regimes.calm must be a finite number"),
        (lambda: switching(transition={"calm": {"panic": 0.1}}), "names panic, which is no regime"),
        (lambda: switching(transition={"calm": {"calm": 0.1}}), "chances of other regimes"),
        (
            lambda: switching(transition={"calm": {"ordinary": 0.6, "storm": 0.6}}),
            "chances of other regimes, 1 at most together",
        ),
        (lambda: switching(opening="panic"), "opening must be a regime, got panic"),
        (lambda: switching(transition={}).stationary(), "groups of regimes that never meet"),
    ],
)
def test_bad_terms_get_one_sentence(build, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build()


def test_a_block_that_does_not_divide_the_day_is_refused(make_world):
    with pytest.raises(ConfigError, match="block_seconds must be a whole"):
        garch().bind(make_world(("BTC",), block_seconds=7 * 3600.0))
    assert SECONDS_PER_YEAR / DAY == 365.0
