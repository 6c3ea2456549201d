"""USDC in March 2023: the arbitrageur's trade in closed form, the record as it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from experiments.build import build_model, part
from experiments.history.event import simulate
from experiments.history.usdc_2023 import POOL, UsdcMarch2023, distances, figures_of
from experiments.liquidity import Profile
from sim.errors import ConfigError

KEEP = 1.0 - 1e-4  # of the pool's fee
MARGIN = 1e-4
PROVIDERS = (
    "{_target_: experiments.history.usdc_2023.RecordedProviders, data: '${data}', "
    "file: univ3_usdc_usdt_hourly}"
)


@pytest.fixture(scope="module")
def data(shared: Path) -> str:
    return str(shared / "data")


def composed(data: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_module("conf", version_base=None):
        cfg = compose("history", overrides=["event=usdc_2023", f"data={data}", *overrides])
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    config.pop("ablate")
    from experiments.build import without_unused

    return without_unused({str(key): value for key, value in config.items()})


def event_of(config: dict[str, Any]) -> UsdcMarch2023:
    event = part(config, "history")
    assert isinstance(event, UsdcMarch2023)
    return event


def test_figures_of_a_path_of_four_hours() -> None:
    tick = np.log([1.0, 0.98, 0.9, 0.995]) / np.log(1.0001)
    found = figures_of(tick, Profile(np.array([-10, 10]), np.array([1.0])))
    assert found["lowest_price"] == pytest.approx(0.9)
    assert (found["lowest_hour"], found["hours_under"]) == (2.0, 2.0)
    assert found["mean_discount"] == pytest.approx((0.02 + 0.1 + 0.005) / 4)
    assert found["hours_full"] == 3.0
    assert found["usdc_share_mean"] == pytest.approx((0.5 + 3.0) / 4)


def test_distances_of_two_paths() -> None:
    found = distances(np.array([0.0, -3.0, 4.0]), np.array([0.0, -1.0, 4.0]), np.zeros(4))
    assert found["rmse_ticks"] == pytest.approx(np.sqrt(25.0 / 3.0))
    assert found["median_error_ticks"] == 3.0
    assert found["gap_ticks"] == pytest.approx(np.sqrt(4.0 / 3.0))


def test_the_record_of_the_event(data: str) -> None:
    event = event_of(composed(data))
    rows = event.recorded()
    assert len(rows) == 61
    assert rows.tick[20] == -1363  # 11 March 2023, 08:00 UTC
    found = event.observed()
    assert found["discount_at_low"] == pytest.approx(1.0 - 0.872587, abs=1e-6)
    # The record and the exchange are on one clock: an hour's shift either way is worse.
    exchange, tick = event.exchange(), rows.tick.to_numpy()
    for late in (-1, 1):
        assert np.median(np.abs(np.roll(exchange, late) - tick)[1:-1]) > 30.0
    assert found["median_error_ticks"] == pytest.approx(14.94, abs=0.01)


def test_the_arbitrageur_trades_to_the_outside_price_net_of_fee_and_margin(data: str) -> None:
    """In one piece, moving the root from r to s takes L (1/s - 1/r) / (1 - fee) of asset 0."""
    config = composed(data)
    wide = {"lower_tick": -20_000, "upper_tick": 20_000, "liquidity": 1e14}
    config["pools"][POOL] = {
        "_target_": "sim.amm.concentrated.ConcentratedPool", "asset_0": "USDC", "asset_1": "USDT",
        "decimals_0": 6, "decimals_1": 6, "fee_bps": 1, "tick_spacing": 1,
        "ranges": {"all": wide},
    }  # fmt: skip
    model = build_model(config, 0, 0, 1)
    world, agent = model.world, model.members["arbitrageur"]
    world.open_block()
    state = world.venues[POOL].state  # type: ignore[attr-defined]
    usdc, usdt = (int(asset) for asset in state.assets)
    before = float(state.root[0])
    for factor, side in ((0.98, 0), (1.02, 1), (1.0 + 1e-5, None)):
        ratio = before * before * factor
        world.market_price[0, usdc] = ratio * world.market_price[0, usdt]
        rows = agent.decide(model.view)
        rows = rows[rows["venue"] == world.venues[POOL].index]
        if side is None:
            assert len(rows) == 0  # within the fee nothing pays
            continue
        cost = (1.0 + MARGIN) / (1.0 - MARGIN)
        if side == 0:
            after = np.sqrt(ratio * cost / KEEP)
            expected = 1e8 * (1.0 / after - 1.0 / before) / KEEP
        else:
            after = np.sqrt(ratio * KEEP / cost)
            expected = 1e8 * (after - before) / KEEP
        assert rows["amount"] == pytest.approx([expected], rel=1e-9)
        assert rows["asset"].tolist() == [(usdc, usdt)[side]]
    model.close()


def test_providers_that_name_no_such_pool_are_refused(data: str) -> None:
    config = composed(data, f"+cast.providers={PROVIDERS[:-1]}, pool: other}}")
    with pytest.raises(ConfigError, match=r"providers\.pool must name a concentrated pool"):
        build_model(config, 0, 0, 1)


def test_free_arbitrage_keeps_the_pool_at_the_exchange_and_slices_agree(data: str) -> None:
    small = composed(
        data, "hours=13", "cast.arbitrageur.gas=1",
        "cast.arbitrageur.min_profit_usd=0",
    )  # fmt: skip
    whole = simulate(small, 5, 0, 3)
    parts = [simulate(small, 5, 0, 2), simulate(small, 5, 2, 3)]
    for name in ("worlds", "hourly"):
        joined = pd.concat([piece[name].to_pandas() for piece in parts], ignore_index=True)
        pd.testing.assert_frame_equal(whole[name].to_pandas(), joined)
    assert (whole["worlds"].to_pandas().gap_ticks < 10.0).all()


def test_recorded_providers_put_in_what_was_recorded(data: str) -> None:
    config = composed(
        data, "hours=14", "pools.usdc_usdt.scale=1e-9", "check_every=30",
        f"+cast.providers={PROVIDERS}",
    )  # fmt: skip
    hourly = simulate(config, 0, 0, 1)["hourly"].to_pandas()
    known = event_of(config).recorded().liquidity.to_numpy()
    # Seen on the hour, so what an hour shows is what was put in for the hour before it.
    assert hourly.liquidity[2:].to_numpy() == pytest.approx(np.minimum(known, 1e15)[1:-1], rel=1e-3)
