from pathlib import Path

import numpy as np
import pytest

import sim.scenarios.path as path_module
from sim.errors import ConfigError
from sim.scenarios.congestion import Congestion
from sim.scenarios.crash import CorrelatedCrash, Crash
from sim.scenarios.liquidity import LiquidityDrain
from sim.scenarios.oracle import OracleLag, OracleOutage
from sim.scenarios.path import LogPath
from sim.scenarios.scenario import Composite

HOUR = 60  # steps of a minute
CONF = Path(__file__).resolve().parents[3] / "conf"


def at(make_world, scenario, step, name, **terms):
    world = make_world(block_seconds=60.0, **terms)
    scenario.bind(world)
    world.neutral()
    scenario.apply(step)
    return world.inputs[name]


def test_crash_is_straight_in_the_logarithm_and_rebounds(make_world):
    crash = Crash(
        assets=["WETH"], size=0.36, start_hours=2, duration_hours=4, rebound=0.5, rebound_hours=2
    )
    expected = {0: 1.0, 2: 1.0, 4: 0.8, 6: 0.64, 8: 0.82, 99: 0.82}
    expected[7] = np.sqrt(0.64 * 0.82)
    for hours, factor in expected.items():
        factors = at(make_world, crash, hours * HOUR, "price_factor")
        np.testing.assert_allclose(factors, np.tile([factor, 1.0, 1.0, 1.0], (3, 1)), rtol=1e-12)


def test_correlated_crash_scales_log_returns_by_beta(make_world):
    crash = CorrelatedCrash(size=0.5, betas={"WETH": 1.0, "WBTC": 0.8, "DAI": -0.02})
    factors = at(make_world, crash, 7 * HOUR, "price_factor")
    np.testing.assert_allclose(factors[0], [0.5, 0.5**0.8, 1.0, 0.5**-0.02], rtol=1e-12)


def test_a_jump_happens_at_its_step(make_world):
    crash = Crash(size=0.3, start_hours=1, duration_hours=0)
    assert at(make_world, crash, HOUR - 1, "price_factor")[0, 0] == 1.0
    assert at(make_world, crash, HOUR, "price_factor")[0, 0] == pytest.approx(0.7, rel=1e-14)


def test_jittered_starts_belong_to_the_world_id(make_world):
    pytest.importorskip("sim.streams")
    make = {"size": 0.5, "start_hours": 1, "duration_hours": 10, "start_jitter_hours": 5}
    batch = at(make_world, Crash(**make), 6 * HOUR, "price_factor", ids=[4, 5, 6])[:, 0].copy()
    alone = at(make_world, Crash(**make), 6 * HOUR, "price_factor", n_worlds=1, ids=[5])[:, 0]
    assert alone[0] == batch[1]
    assert len(set(batch)) == 3
    assert ((batch >= 0.5**0.5) & (batch < 1.0)).all()
    before = at(make_world, Crash(**make), HOUR, "price_factor")
    assert (before == 1.0).all()


def test_outage_halts_the_named_feeds_for_its_time(make_world):
    outage = OracleOutage(assets=["WBTC"], start_hours=1, duration_hours=2)
    for step, halted in ((HOUR - 1, 0.0), (HOUR, 1.0), (3 * HOUR - 1, 1.0), (3 * HOUR, 0.0)):
        inputs = at(make_world, outage, step, "oracle_halted")
        np.testing.assert_array_equal(inputs, np.tile([0.0, halted, 0.0, 0.0], (3, 1)))


def test_lags_add_up(make_world):
    lag = OracleLag(lag_seconds=600.0, start_hours=1)
    both = Composite({"a": lag, "b": OracleLag(lag_seconds=60.0, assets=["DAI"])})
    np.testing.assert_array_equal(at(make_world, both, HOUR, "oracle_lag")[0], [600, 600, 600, 660])
    np.testing.assert_array_equal(at(make_world, both, 0, "oracle_lag")[0], [0, 0, 0, 60])


def test_drain_holds_and_recovers(make_world):
    drain = LiquidityDrain(
        remaining=0.25, assets=["WETH"], start_hours=1, drain_hours=2, hold_hours=3
    )
    for hours, depth in ((1, 1.0), (2, 0.5), (3, 0.25), (6, 0.25), (12, 0.5), (18, 1.0), (90, 1.0)):
        inputs = at(make_world, drain, hours * HOUR, "depth")
        np.testing.assert_allclose(inputs[1], [depth, 1.0, 1.0, 1.0], rtol=1e-12)


def test_a_drain_may_be_for_good(make_world):
    drain = LiquidityDrain(remaining=0.5, start_hours=0, drain_hours=0, hold_hours=np.inf)
    assert at(make_world, drain, 1_000 * HOUR, "depth")[0, 0] == pytest.approx(0.5)


def test_congestion_multiplies_demand(make_world):
    congestion = Congestion(multiple=4.0, start_hours=1, rise_hours=2, hold_hours=1, fall_hours=1)
    for hours, demand in ((0, 1.0), (2, 2.0), (3, 4.0), (4, 4.0), (4.5, 2.0), (5, 1.0)):
        inputs = at(make_world, congestion, int(hours * HOUR), "demand")
        np.testing.assert_allclose(inputs, np.full(3, demand), rtol=1e-12)


def test_parts_multiply_and_a_switched_off_part_is_left_out(make_world):
    parts = {
        "crash": Crash(size=0.5, start_hours=0, duration_hours=1),
        "more": Crash(size=0.2, assets=["WETH", "WBTC"], start_hours=0, duration_hours=1),
        "off": None,
    }
    both = Composite(parts)
    factors = at(make_world, both, 2 * HOUR, "price_factor")
    np.testing.assert_allclose(factors[2], [0.4, 0.8, 1.0, 1.0], rtol=1e-12)
    assert list(both.parts) == ["crash", "more"]
    assert (at(make_world, Composite(), 5, "price_factor") == 1.0).all()


def test_an_unknown_asset_names_the_part(make_world):
    part = Composite({"crash": Crash(size=0.5, assets=["WETHH"])})
    with pytest.raises(ConfigError, match=r"scenarios.crash: unknown asset WETHH; known: WETH"):
        part.bind(make_world())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Crash(size=1.0), r"size must lie in \(0, 1\), got 1"),
        (lambda: Crash(size=0.3, assets=[]), "assets must name at least one"),
        (lambda: Crash(size=0.3, rebound=1.5), r"rebound must lie in \[0, 1\], got 1.5"),
        (lambda: CorrelatedCrash(size=0.3, betas={}), "betas must name at least one"),
        (lambda: Crash(size=0.3, start_hours=-1.0), "start_hours must lie in"),
        (lambda: OracleOutage(duration_hours=0.0), "duration_hours must lie in"),
        (lambda: OracleLag(lag_seconds=0.0), "lag_seconds must be positive and finite"),
        (lambda: LiquidityDrain(remaining=0.0), r"remaining must lie in \(0, 1\], got 0"),
        (lambda: Congestion(multiple=np.nan), "multiple must lie in"),
    ],
)
def test_bad_terms_are_named(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_path_kernel_runs_as_plain_python(plain):
    path = LogPath((1.0, 0.0, 2.0), (0.5, 0.25, 1.0))
    starts, loadings = np.array([0.0, 1.0, 2.5, 9.0]), np.array([1.0, 0.0, 2.0])
    for hours in (0.0, 0.5, 1.0, 2.0, 3.5, 20.0):
        fast, slow = np.ones((4, 3)), np.ones((4, 3))
        path.multiply(fast, hours, starts, loadings)
        with plain(path_module):
            path.multiply(slow, hours, starts, loadings)
        np.testing.assert_allclose(slow, fast, rtol=1e-14)


FRAGMENTS = sorted(
    str(path.relative_to(CONF))
    for group in ("oracle", "market", "pool", "scenario")
    for path in (CONF / group).glob("*.yaml")
    if "_target_" in path.read_text() and "defaults:" not in path.read_text()
)  # what is composed of several files is bound by tests/contracts


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_every_fragment_builds_and_binds(make_world, fragment):
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    config = OmegaConf.load(CONF / fragment)
    if "scenarios" not in config and "_target_" not in config:
        pytest.skip("not a fragment of one part")
    world = make_world()
    if "scenarios" in config:
        scenario = Composite(instantiate(config.scenarios))
        scenario.bind(world)
        scenario.apply(HOUR)
    else:
        instantiate(config, _convert_="all").attach(world, "part", 0, 0)
        world.ledger.check()
