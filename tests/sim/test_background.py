"""The crowd's demand: stationary moments, response to prices, replay of quantiles."""

import numpy as np
import pytest
from scipy.stats import lognorm

import sim.background as background_module
from sim.background import GasReplay, MeanRevertingDemand
from sim.errors import ConfigError, InputError

LIMIT = 30e6


def seated(world, demand):
    demand.bind(world, LIMIT)
    demand.arena.keep_as_initial()
    return demand


def run(world, demand, steps, first=0):
    path = []
    for step in range(first, first + steps):
        demand.advance(step)
        path.append(np.log(demand.crowd[:, 0] / LIMIT))
    return np.array(path)


def test_log_demand_is_a_stationary_ornstein_uhlenbeck_process(make_world):
    """Moments over 4,000 worlds, within 4.5 standard errors (one test in 150,000 fails by chance).

    After 600 minutes at one reversion an hour the start is forgotten to exp(-10).
    """
    n = 4_000
    world = make_world(n_worlds=n, block_seconds=60.0)
    demand = seated(world, MeanRevertingDemand(level=1.5, speed=1.0, volatility=0.25))
    path = run(world, demand, 660)
    last, earlier = path[-1], path[-61]
    assert abs(last.mean() - np.log(1.5)) < 4.5 * 0.25 / np.sqrt(n)
    assert abs(last.std() - 0.25) < 4.5 * 0.25 / np.sqrt(2 * n)
    correlation = np.corrcoef(last, earlier)[0, 1]
    expected = np.exp(-1.0)  # an hour apart
    assert abs(correlation - expected) < 4.5 * (1 - expected**2) / np.sqrt(n)


def test_the_step_is_exact_for_any_block_length(make_world):
    """The law after one hour does not depend on how many blocks the hour has."""
    spread = []
    for block in (60.0, 1_200.0):
        world = make_world(n_worlds=4_000, block_seconds=block)
        demand = seated(world, MeanRevertingDemand(speed=2.0, volatility=0.3))
        spread.append(run(world, demand, int(3_600 / block))[-1].std())
    expected = 0.3 * np.sqrt(1 - np.exp(-4.0))
    np.testing.assert_allclose(spread, expected, atol=4.5 * 0.3 / np.sqrt(8_000))


def test_a_fall_of_the_gas_asset_brings_demand_and_a_rise_does_not(make_world):
    world = make_world(n_worlds=3)
    demand = seated(world, MeanRevertingDemand(volatility=0.0, speed=1e-9, price_response=10.0))
    run(world, demand, 1)
    world.market_price[0, 0] *= 0.93
    world.market_price[1, 0] *= 1.07
    world.market_price[2, 1] *= 0.5  # another asset
    path = run(world, demand, 1, 1)[0] - np.log(1.5)
    # speed 1e-9 an hour: what a step forgets is far under 1e-9
    np.testing.assert_allclose(path, [10.0 * np.log(1 / 0.93), 0.0, 0.0], atol=1e-9)
    again = run(world, demand, 1, 2)[0] - np.log(1.5)
    np.testing.assert_allclose(again, path, atol=1e-9)  # the same low price is no new fall


def test_a_scenario_multiplies_demand_for_its_time_only(make_world):
    world = make_world(n_worlds=2)
    demand = seated(world, MeanRevertingDemand(volatility=0.0))
    world.inputs["demand"][1] = 4.0
    np.testing.assert_allclose(np.exp(run(world, demand, 1)[0]), [1.5, 6.0], rtol=1e-12)
    world.neutral()
    np.testing.assert_allclose(np.exp(run(world, demand, 1, 1)[0]), [1.5, 1.5], rtol=1e-12)


def test_a_world_has_one_path_in_any_batch(make_world):
    many = make_world(n_worlds=5)
    one = make_world(n_worlds=1, ids=[3])
    together = run(many, seated(many, MeanRevertingDemand()), 20)
    alone = run(one, seated(one, MeanRevertingDemand()), 20)
    np.testing.assert_array_equal(together[:, 3], alone[:, 0])
    assert len(set(together[-1].tolist())) == 5


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"level": 0.0}, r"background\.level must be positive, got 0.0"),
        ({"speed": -1.0}, r"background\.speed must be positive"),
        ({"bid_sigma": float("nan")}, r"background\.bid_sigma must be positive, got nan"),
        ({"volatility": -0.1}, r"background\.volatility must not be negative, got -0.1"),
    ],
)
def test_bad_terms_are_sentences(terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        MeanRevertingDemand(**terms)


def series(world, n=8, width=600.0):
    ts = world.start + width * np.arange(n)
    low = np.linspace(10.0, 80.0, n)
    return ts, low, low * np.linspace(1.5, 6.0, n)


def test_replayed_quantiles_are_those_of_the_table(make_world):
    world = make_world(block_seconds=300.0, n_steps=16)
    ts, low, high = series(world)
    demand = seated(world, GasReplay(ts, low, high, pressure=1.25))
    for step in range(16):
        demand.advance(step)
        gas, log_median, sigma = demand.crowd[0]
        assert gas == 1.25 * LIMIT
        law = lognorm(sigma, scale=np.exp(log_median))
        # The fit is exact but for the digits of the two normal quantiles.
        np.testing.assert_allclose(
            law.ppf([0.3, 0.9]), [low[step // 2], high[step // 2]], rtol=1e-9
        )


def test_equal_quantiles_are_a_narrow_law(make_world):
    world = make_world(block_seconds=600.0, n_steps=2)
    demand = seated(world, GasReplay(series(world)[0], np.full(8, 20.0), np.full(8, 20.0)))
    demand.advance(0)
    assert demand.crowd[0, 2] == 0.05
    assert np.isfinite(demand.crowd).all()


@pytest.mark.parametrize(("shift", "steps"), [(600.0, 4), (0.0, 9), (-6_000.0, 4)])
def test_a_series_that_does_not_cover_the_run_is_named(make_world, shift, steps):
    world = make_world(block_seconds=600.0, n_steps=steps)
    ts, low, high = series(world)
    with pytest.raises(InputError, match=r"gas series covers 2020-03-\d\dT.* but the run needs"):
        GasReplay(ts + shift, low, high).bind(world, LIMIT)


def test_pressure_must_fill_the_blocks():
    with pytest.raises(ConfigError, match=r"background\.pressure must be above 1, got 1.0"):
        GasReplay(np.zeros(1), np.ones(1), np.ones(1), pressure=1.0)


def test_kernels_as_plain_python(make_world, plain):
    paths = []
    for modules in ((), (background_module,)):
        world = make_world(n_worlds=2)
        with plain(*modules):
            demand = seated(world, MeanRevertingDemand())
            path = run(world, demand, 3)
            world.market_price *= 0.9
            paths.append(np.concatenate([path, run(world, demand, 2, 3)]))
    # libm's and LLVM's exp and log may differ by an ulp
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-12)
