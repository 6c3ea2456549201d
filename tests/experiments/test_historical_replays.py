"""The replays in conf/price on the real tables; skipped where these are absent."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from experiments import data as market
from sim.prices.replay import price_at

CONF = Path(__file__).resolve().parents[2] / "conf" / "price"
ASSETS = ["WETH", "WBTC", "USDC", "DAI"]
EVENTS = ["black_thursday", "may_2021", "luna_2022", "usdc_depeg"]


def replay_of(event, shared):
    terms = yaml.safe_load((CONF / f"replay_{event}.yaml").read_text())
    assert terms.pop("_target_") == "experiments.data.replay"
    assert terms["data"] == "${data}"
    return market.replay(**terms | {"data": shared / "data"})


def path_of(replay, block_seconds, hours, n_worlds=4, first=0):
    world = SimpleNamespace(
        assets=ASSETS,
        n_worlds=n_worlds,
        world_ids=np.arange(first, first + n_worlds),
        n_steps=round(hours * 3600 / block_seconds),
        block_seconds=block_seconds,
        seed=3,
    )
    replay.bind(world)
    path = np.empty((world.n_steps, n_worlds, 4))
    for step in range(world.n_steps):
        replay.advance(step)
        path[step] = replay.price
    return path


@pytest.mark.parametrize("event", EVENTS[:3])
@pytest.mark.parametrize("block_seconds", [12.0, 60.0])
def test_eth_and_btc_touch_each_bars_high_and_low(event, block_seconds, shared):
    replay = replay_of(event, shared)
    path = path_of(replay, block_seconds, 48)
    times = replay.start + block_seconds * np.arange(path.shape[0])
    for column, asset in enumerate(["WETH", "WBTC"]):
        bars = replay.series[asset]
        assert len(bars.ts) >= 48
        for i in range(len(bars.ts)):
            in_bar = (times >= bars.ts[i]) & (times < bars.ts[i] + bars.seconds[i])
            if not in_bar.any():
                continue
            inside = path[in_bar, :, column]
            assert len(inside) >= 4
            np.testing.assert_array_equal(inside.max(axis=0), bars.high[i])
            np.testing.assert_array_equal(inside.min(axis=0), bars.low[i])
            np.testing.assert_array_equal(inside[0], bars.open[i])
            np.testing.assert_array_equal(inside[-1], bars.close[i])


def test_black_thursday_falls_as_it_did(shared):
    path = path_of(replay_of("black_thursday", shared), 60.0, 48)
    first_day, second_day = path[:1440, :, 0], path[1440:, :, 0]
    np.testing.assert_array_equal(first_day.min(axis=0), 101.01)
    np.testing.assert_array_equal(second_day.min(axis=0), 86.0)
    np.testing.assert_array_equal(path[0, :, 0], 195.21)
    np.testing.assert_array_equal(path[..., 2], 1.0)
    assert path[..., 3].max() > 1.08
    assert np.mean(first_day[:, 0] != first_day[:, 1]) > 0.5


def test_usdc_loses_its_peg_and_dai_with_it(shared):
    path = path_of(replay_of("usdc_depeg", shared), 60.0, 72, n_worlds=2)
    np.testing.assert_allclose(path[..., 3], path[..., 2], rtol=1e-12)
    assert 0.874 <= path[..., 2].min() < 0.885  # the low of a minute is inside its block
    assert path[0, 0, 2] == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("event", EVENTS)
def test_coarse_blocks_aggregate(event, shared):
    replay = replay_of(event, shared)
    hours = replay.duration / 3600
    path = path_of(replay, 3600.0, hours, n_worlds=2)
    np.testing.assert_array_equal(path[:, 0], path[:, 1])
    times = replay.start + 3600.0 * np.arange(1, path.shape[0] + 1)
    for column, asset in enumerate(ASSETS):
        if asset in replay.series and event != "usdc_depeg":
            bars = replay.series[asset]
            ends = np.isin(times, bars.ts + bars.seconds)
            closes = bars.close[np.searchsorted(bars.ts + bars.seconds, times[ends])]
            np.testing.assert_array_equal(path[ends, 0, column], closes)
    assert price_at(replay.series["WETH"], times[:1]).shape == (1,)


@pytest.mark.parametrize("event", EVENTS)
def test_worlds_do_not_depend_on_their_batch(event, shared):
    whole = path_of(replay_of(event, shared), 12.0, 3, n_worlds=4)
    part = path_of(replay_of(event, shared), 12.0, 3, n_worlds=2, first=2)
    np.testing.assert_array_equal(part, whole[:, 2:])


def test_gas_of_black_thursday(shared):
    path = shared / "data" / "gas_10m_crashdays.parquet"
    gas = market.load_gas(path, "2020-03-12T00:00", "2020-03-13T00:00")
    assert len(gas.ts) == 144
    assert gas.max.max() > 200.0
    assert np.all(gas.p30 <= gas.p60)
    assert np.all(gas.p60 <= gas.p90)
