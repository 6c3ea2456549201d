"""What `paths` promises, for every model that makes them."""

import math

import numpy as np
import pytest
from scipy import stats

from sim import streams
from sim.errors import ConfigError, InputError
from sim.prices.heston import Heston
from sim.prices.paths import CHUNK, addresses
from sim.prices.process import SECONDS_PER_YEAR
from sim.prices.replay import Replay

MODELS = [
    "gbm", "merton", "kou", "heston", "bates", "sabr", "svcj", "regimes", "garch", "bootstrap",
    "windows",
]  # fmt: skip
DAY = 86_400.0
MONTH = SECONDS_PER_YEAR / 12


def test_normals_of_rows_are_the_normals_of_their_addresses():
    key = streams.stream_key(3, "test")
    ids, steps = np.array([5, 0, 2**32 - 1]), np.array([0, 2**32 - 1, 7])
    for n in (1, 2, 7, 40):
        out = np.zeros((3, n))
        streams.normals_each(out, key, ids, steps)
        expected = [
            [streams.normal(key, w, s, i) for i in range(n)]
            for w, s in zip(ids, steps, strict=True)
        ]
        np.testing.assert_array_equal(out, expected)
        plain = np.zeros((3, n))
        streams.normals_each.py_func(plain, key, ids, steps)
        np.testing.assert_array_equal(plain, out)


@pytest.mark.parametrize("name", MODELS)
def test_a_path_depends_on_its_address_alone(name, models):
    process = models(name)
    n = 2 * CHUNK + 3
    ids, episodes = np.arange(n) % 50, np.arange(n) // 50
    whole = process.paths(7, ids, episodes, 6, DAY)
    assert whole.shape == (n, 7, len(process.channels))
    assert np.isfinite(whole).all()
    assert (whole[..., 0] > 0.0).all()
    assert (whole >= 0.0).all()
    order = np.random.default_rng(0).permutation(n)
    np.testing.assert_array_equal(
        process.paths(7, ids[order], episodes[order], 6, DAY), whole[order]
    )
    np.testing.assert_array_equal(process.paths(7, ids[400], episodes[400], 6, DAY)[0], whole[400])
    if name != "windows":  # which may well begin at one moment
        assert len({row.tobytes() for row in whole}) == n, "two addresses share a path"
    assert not np.array_equal(models(name).paths(8, ids, episodes, 6, DAY), whole)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "windows"])
def test_a_short_path_begins_a_long_one(name, models):
    """Windows are chosen among those that the record can finish, which depends on their length."""
    process = models(name)
    short = process.paths(1, np.arange(9), 4, 5, DAY)
    np.testing.assert_array_equal(process.paths(1, np.arange(9), 4, 12, DAY)[:, :6], short)


@pytest.mark.parametrize("name", MODELS)
def test_a_path_begins_at_the_initial_price_of_its_asset(name, models):
    process = models(name)
    assert (process.paths(1, np.arange(3), 0, 2, DAY)[:, 0, 0] == 2000.0).all()
    one = process.paths(1, np.arange(3), 0, 2, DAY, asset="WBTC")
    assert (one[:, 0, 0] == 40_000.0).all()
    with pytest.raises(ConfigError, match=r"asset must be one .* got LINK; known assets are WETH"):
        process.paths(1, [0], 0, 2, DAY, asset="LINK")


@pytest.mark.parametrize("name", MODELS)
def test_paths_and_blocks_have_one_law(name, models, run_path):
    """At three daily steps: the log return and, where there is one, the volatility."""
    n = 4000
    process = models(name)
    blocks = run_path(process, n_steps=4, assets=("WETH", "WBTC"), ids=n, block_seconds=DAY)
    found = models(name).paths(9, np.arange(n), 1, 3, DAY)
    one, other = np.log(blocks[3, :, 0] / 2000.0), np.log(found[:, 3, 0] / 2000.0)
    assert stats.ks_2samp(one, other).pvalue > 1e-4
    arena = process.arena
    state = {
        "heston": lambda: np.sqrt(arena["variance"][:, 0]),
        "bates": lambda: np.sqrt(arena["variance"][:, 0]),
        "sabr": lambda: arena["level"][:, 0],
        "svcj": lambda: np.sqrt(365.0 * np.maximum(arena["v"][:, 0], 0)) * process.unit("WETH"),
        "garch": lambda: np.sqrt(365.0 * arena["h"][:, 0]),
    }
    if name in state:
        assert stats.ks_2samp(state[name](), found[:, 3, 1]).pvalue > 1e-4


@pytest.mark.parametrize("name", MODELS[:9])
def test_paths_without_drift_are_martingales(name, models, agree):
    if name == "garch":  # of days
        ratio = models(name).paths(2, np.arange(40_000), 0, 20, DAY)[:, -1, 0] / 2000.0
    else:  # three long steps, so that a wrong compensator would show
        ratio = models(name).paths(2, np.arange(100_000), 0, 3, MONTH)[:, -1, 0] / 2000.0
    agree(ratio, 1.0)
    year = models(name, drift=0.6).paths(2, np.arange(20_000), 1, 12, 30 * DAY)[:, -1, 0]
    agree(year / 2000.0, math.exp(0.6 * 360 / 365))


@pytest.mark.parametrize("name", MODELS)
def test_kernels_run_as_plain_python(name, models):
    process = models(name, **({"degrees_of_freedom": 4.0} if name == "garch" else {}))
    filler = process.path_filler(4, 3, DAY)
    ids, of = np.arange(5), np.full(5, 2)
    out = np.zeros((5, 4, filler.n_channels))
    filler(out, ids, of)
    shocks = np.zeros((5, 3 * filler.n_shocks))
    streams.normals_each(shocks, filler.key, ids, of)
    plain = np.zeros_like(out)
    drawn = (shocks,) if filler.n_shocks else ()
    filler.fill.py_func(plain, *drawn, *filler.terms, *((ids, of) if filler.addressed else ()))
    np.testing.assert_allclose(plain, out, rtol=1e-13)


def test_volatility_is_a_year_s(models):
    """The channel at t is the deviation of the next return: they agree over small steps."""
    hour = 3600.0
    for name in ("heston", "sabr", "regimes"):
        found = models(name).paths(3, np.arange(4000), 0, 30, hour)
        scaled = np.diff(np.log(found[..., 0]), axis=1) / found[:, :-1, 1]
        assert scaled.std() * math.sqrt(SECONDS_PER_YEAR / hour) == pytest.approx(1.0, rel=0.02)


def test_a_filler_serves_many_episodes(models):
    process = models("sabr")
    filler = process.path_filler(1, 4, DAY, asset="WBTC")
    out = np.zeros((6, 5, 2))
    for episode in range(3):
        filler(out[2:4], [8, 9], episode)
        expected = process.paths(1, [8, 9], episode, 4, DAY, asset="WBTC")
        np.testing.assert_array_equal(out[2:4], expected)
    assert not out[:2].any()
    assert not out[4:].any()


@pytest.mark.parametrize(
    ("ids", "episodes", "sentence"),
    [
        ([0, -1], 0, "world_ids must be whole numbers from 0 to 2"),
        ([0], 2**32, "episodes must be whole numbers from 0 to 2"),
        ([0.5], 0, "world_ids must be whole numbers"),
        ([[0]], 0, "one for each path"),
        ([0, 1], [0, 1, 2], "one number for each path, got 2 and 3"),
    ],
)
def test_bad_addresses_get_one_sentence(ids, episodes, sentence):
    with pytest.raises(InputError, match=sentence):
        addresses(ids, episodes)


def test_bad_requests_get_one_sentence(models, make_bars):
    process = models("gbm")
    with pytest.raises(InputError, match="n_steps must be at least 1, got 0"):
        process.paths(1, [0], 0, 0, DAY)
    with pytest.raises(InputError, match="dt_seconds must be positive, got -1"):
        process.paths(1, [0], 0, 3, -1.0)
    with pytest.raises(InputError, match=r"out must be float64 of shape \(1, 4, 1\), got"):
        process.path_filler(1, 3, DAY)(np.zeros((1, 4, 2)), [0], 0)
    with pytest.raises(ConfigError, match="dt_seconds must be a whole multiple of 86400 s"):
        models("garch").paths(1, [0], 0, 3, 3600.0)
    with pytest.raises(ConfigError, match="dt_seconds must be a whole multiple or a whole part"):
        models("bootstrap").paths(1, [0], 0, 3, 5400.0)
    with pytest.raises(ConfigError, match="WETH has no volatility, so its variance has no path"):
        Heston(initial={"WETH": 100.0}).paths(1, [0], 0, 3, DAY)
    replay = Replay(bars={"WETH": make_bars("ETH", [1.0, 2.0])}, start=1.6e9)
    with pytest.raises(ConfigError, match="Replay makes no whole paths; take HistoricalWindows"):
        replay.paths(1, [0], 0, 1, 3600.0)
