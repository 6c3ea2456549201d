"""From a configuration to a model."""

from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from agents.model import MarketModel
from experiments.build import (
    build_model,
    check,
    check_run,
    part,
    parts,
    unix_time,
    without_unused,
)
from sim.errors import ConfigError, InputError

ABSENT = {
    "_target_": "agents.populations.borrowers.Borrowers",
    "market": "lending",
    "book": {"_target_": "experiments.positions.book_from_file", "path": "absent.csv"},
}


def composed(*overrides: str) -> dict[str, Any]:
    small = ["book.n_positions=100", "hours=0.2", *overrides]
    with initialize_config_module("conf", version_base=None):
        config = OmegaConf.to_container(compose("stress", small), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert unix_time("2020-03-12T00:00") == 1583971200.0
    assert unix_time("2020-03-12T01:00+01:00") == 1583971200.0
    with pytest.raises(ConfigError, match="2020-03-12T00:00, got 'soon'"):
        unix_time("soon")


def test_a_model_has_the_worlds_and_members_that_were_asked_for() -> None:
    model = build_model(composed("cast=keepers"), 3, 5, 8)
    assert isinstance(model, MarketModel)
    assert model.world.world_ids.tolist() == [5, 6, 7]
    assert model.world.n_steps == 12
    assert set(model.members) == {
        "borrowers", "lenders", "keeper_a", "keeper_b", "keeper_c", "arbitrageur",
    }  # fmt: skip
    assert {"market", "lending", "weth_usdc", "weth_dai", "wbtc_usdc"} <= set(model.world.venues)
    np.testing.assert_allclose(model.world.market_price[:, 0], 2000.0)
    model.close()


def test_a_part_that_is_null_is_left_out() -> None:
    made = parts({"pools": {"none": None}}, "pools")
    assert made == {}
    model = build_model(composed("cast.liquidator_flash=null"), 0, 0, 1)
    assert "liquidator_flash" not in model.members
    model.close()


def test_a_part_without_a_target_is_named() -> None:
    with pytest.raises(ConfigError, match=r"pools\.mine names no part"):
        parts({"pools": {"mine": {"fee_bps": 30}}}, "pools")
    with pytest.raises(ConfigError, match="oracle must describe a part"):
        part({"oracle": None}, "oracle")


def test_errors_say_where() -> None:
    reserve = "lending.params.reserves.WETH"
    with pytest.raises(ConfigError, match=rf"^{reserve}: ltv must not exceed"):
        check(composed(f"{reserve}.ltv=0.9"), 0)
    with pytest.raises(ConfigError, match=r"asset 'FOO'.*\(named in pools\.weth_usdc\.asset_0\)"):
        check(composed("pools.weth_usdc.asset_0=FOO"), 0)
    with pytest.raises(ConfigError, match="mistyped_target"):
        part({"oracle": {"_target_": "sim.oracles.mistyped_target"}}, "oracle")
    with pytest.raises(InputError, match="does not exist"):
        check(composed() | {"cast": {"borrowers": ABSENT}}, 0)


def test_check_run_accepts_the_default_and_refuses_a_bool() -> None:
    check_run(composed())
    with pytest.raises(ConfigError, match="worlds must be a whole number of at least 1, got True"):
        check_run(composed("worlds=true"))
    with pytest.raises(ConfigError, match="hours must be a positive number of hours, got True"):
        check_run(composed("hours=true"))


def test_assets_that_are_not_used_are_left_out() -> None:
    config = without_unused(composed("assets=[WETH,USDC]", "scenario=[correlated_crash,crash]"))
    assert set(config["lending"]["params"]["reserves"]) == {"WETH", "USDC"}
    assert set(config["pools"]) == {"weth_usdc"}
    assert config["scenarios"]["crash"]["assets"] == ["WETH"]
    assert config["price"]["correlation"] == {}
    assert set(config["cast"]["liquidator_large"]["holdings"]) == {"WETH", "USDC"}
    check(without_unused(composed("assets=[WETH,USDC,DAI]")), 0)
    whole = composed()
    assert without_unused(whole) == whole
    with pytest.raises(ConfigError, match="FOO"):
        check(without_unused(composed("assets=[WETH,USDC,FOO]")), 0)
