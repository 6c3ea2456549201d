"""Profiles of liquidity: from observed states to a pool, and what the pool then holds."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.build import build_model
from experiments.liquidity import Profile, profile_of, read_profile, recorded_pool
from sim.errors import ConfigError, InputError

TABLE = "univ3_usdc_usdt_hourly"


def states(*pairs: tuple[int, float]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["tick", "liquidity"])


def test_a_visited_tick_has_its_median_and_others_the_nearest() -> None:
    rows = states((0, 5.0), (0, 7.0), (0, 100.0), (4, 20.0), (9, 0.0))
    profile = profile_of(rows, -50, 50, 1, beyond=1.0)
    at = profile.at(np.array([-51, -50, -1, 0, 2, 3, 4, 5, 49, 50]))
    assert at.tolist() == [0.0, 1.0, 1.0, 7.0, 7.0, 20.0, 20.0, 1.0, 1.0, 0.0]
    assert profile.ticks.tolist() == [-50, 0, 3, 5, 50]


def test_states_within_one_spacing_count_together() -> None:
    profile = profile_of(states((-1, 4.0), (-9, 6.0), (12, 8.0)), -100, 100, 10, beyond=1.0)
    assert profile.ticks.tolist() == [-100, -10, 10, 20, 100]  # a tie goes to the lower
    assert profile.at(np.array([-5, 0, 12])).tolist() == [5.0, 5.0, 8.0]


def test_a_profile_must_reach_over_what_was_seen_and_see_something() -> None:
    with pytest.raises(ConfigError, match="reach over all visited ticks, 0 to 71"):
        profile_of(states((0, 1.0), (70, 1.0)), -50, 50, 1, beyond=1.0)
    with pytest.raises(InputError, match="no state with liquidity"):
        profile_of(states((0, 0.0)), -50, 50, 1, beyond=1.0)


def test_amounts_of_one_piece_in_closed_form() -> None:
    piece = Profile(np.array([-100, 300]), np.array([1e6]))
    low, high = 1.0001**-50, 1.0001**150
    zero, one = piece.amounts(np.array([-500.0, 0.0, 900.0]))
    assert zero == pytest.approx([1e6 * (1 / low - 1 / high), 1e6 * (1 - 1 / high), 0.0])
    assert one == pytest.approx([0.0, 1e6 * (1 - low), 1e6 * (high - low)])
    assert piece.share(np.array([-500.0, 900.0])).tolist() == [1.0, 0.0]
    # Where the price is the geometric mean of the ends, half of the worth is in each asset.
    assert piece.share(np.array(100.0)) == pytest.approx(0.5)


def test_the_pool_holds_what_the_profile_says(shared: Path, compose: Any) -> None:
    """The venue opens positions one by one; the profile integrates over its pieces."""
    config = compose("hours=1", "scenario=calm")
    config["pools"] = {"mine": {
        "_target_": "experiments.liquidity.recorded_pool", "data": str(shared / "data"),
        "file": TABLE, "until": "2023-03-10T12:00", "days": 30, "asset_0": "USDC",
        "asset_1": "DAI", "decimals_0": 6, "decimals_1": 6, "fee_bps": 1,
    }}  # fmt: skip
    config["cast"] = {}
    model = build_model(config, 0, 0, 1)
    pool = model.world.venues["mine"]
    held = pool.claims()[0, pool.state.assets]  # type: ignore[attr-defined]
    root = pool.state.root[0]  # type: ignore[attr-defined]
    profile = read_profile(str(shared / "data"), TABLE, "2023-03-10T12:00", 30)
    zero, one = profile.amounts(np.array(2.0 * np.log(root) / np.log(1.0001)))
    assert held == pytest.approx([zero / 1e6, one / 1e6], rel=1e-9)
    active = pool.state.liquidity[0] * 1e6  # type: ignore[attr-defined]
    assert active == pytest.approx(profile.at(np.array(0)), rel=1e-9)
    model.close()


def test_only_states_before_the_moment_count(shared: Path) -> None:
    data = str(shared / "data")
    profile = read_profile(data, TABLE, "2023-03-10T12:00", 30)
    table = pd.read_parquet(f"{data}/{TABLE}.parquet")
    before = table[table.ts < pd.Timestamp("2023-03-10T12:00", tz="UTC")]
    month = before[before.ts >= pd.Timestamp("2023-02-08T12:00", tz="UTC")]
    assert profile.at(np.array(-2)) == month[month.tick == -2].liquidity.astype(float).median()
    assert profile.at(np.array(-1000)) == before.liquidity[before.liquidity > 0].min()


@pytest.mark.parametrize(
    ("piece", "said"),
    [
        ({"lower_tick": 0, "liquidity": 1.0}, "must have lower_tick, upper_tick and liquidity"),
        ({"lower_tick": 5, "upper_tick": 5, "liquidity": 1.0}, "under upper_tick"),
        ({"lower_tick": 0, "upper_tick": 15, "liquidity": 1.0}, "multiples of tick_spacing 10"),
        ({"lower_tick": 0, "upper_tick": 10, "liquidity": 0.0}, "liquidity"),
    ],
)
def test_a_position_that_cannot_be_opened_is_refused(piece: dict[str, float], said: str) -> None:
    from sim.amm.concentrated import ConcentratedPool

    with pytest.raises(ConfigError, match=said):
        ConcentratedPool(asset_0="A", asset_1="B", tick_spacing=10, ranges={"piece": piece})


def test_a_table_that_is_no_pool_is_refused(shared: Path) -> None:
    with pytest.raises(InputError, match="columns ts, tick and liquidity"):
        recorded_pool(
            data=str(shared / "data"), file="btc_daily_features", until="2023-03-10", days=1,
            asset_0="A", asset_1="B",
        )  # fmt: skip
