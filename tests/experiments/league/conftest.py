"""Small leagues: a drawn book in a crash, and hand-made loans in a price that jumps."""

from pathlib import Path

import pytest

MECHANISMS = sorted(
    path.stem for path in (Path(__file__).resolve().parents[3] / "conf/mechanism").glob("*.yaml")
)
SMALL = (
    "book.n_positions=120", "hours=4", "check_every=1", "scenarios.crash.start_hours=0.3",
    "scenarios.crash.duration_hours=1.5", "worlds=3",
)  # fmt: skip
JUMP = (  # 2,000 to 1,600 USD at once, gas that is next to nothing, an exit without cost
    "hours=3", "price=gbm", "price.volatility={WETH:0.0}", "price.correlation={}", "price.drift=0",
    "scenarios.crash.size=0.2", "scenarios.crash.start_hours=0.2", "scenarios.crash.rebound=0",
    "scenarios.crash.duration_hours=0", "oracle=spot", "attention=1", "bid_share=0",
    "market.daily_volume.WETH=1e15", "market.half_spread_bps.WETH=0", "background.level=0.1",
    "background.volatility=0", "background.price_response=0",
    "liquidators={fast:{share:1.0,latency_seconds:1.0,gas_cap:null}}", "capital_usd=1e7",
)  # fmt: skip


def pytest_generate_tests(metafunc):
    """A test that asks for `mechanism` runs once per file of that group."""
    if "mechanism" in metafunc.fixturenames:
        metafunc.parametrize("mechanism", MECHANISMS)


@pytest.fixture(scope="session")
def composed():
    """Factory of the league's resolved configuration."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    def build(*overrides):
        with initialize_config_module("conf", version_base=None):
            cfg = compose("league", ["name=test", *overrides])
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        return config | {"start_given": False}

    return build


@pytest.fixture(scope="session")
def small(composed):
    """Factory of one mechanism's study: 120 loans, four hours, a crash by 40%."""
    from experiments.build import without_unused
    from experiments.league.designs import design

    def build(mechanism, *overrides):
        return without_unused(design(composed(f"mechanism={mechanism}", *SMALL, *overrides)))

    return build


@pytest.fixture
def jump(composed, tmp_path):
    """Factory of one mechanism's study of hand-made loans, rows of (collateral, debt)."""
    from experiments.build import without_unused
    from experiments.league.designs import design

    def build(mechanism, loans, *overrides):
        rows = ["account,asset,collateral,debt"]
        for k, (collateral, debt) in enumerate(loans):
            rows += [f"a{k},WETH,{collateral},0", f"a{k},USDC,0,{debt}"]
        path = tmp_path / "loans.csv"
        path.write_text("\n".join(rows) + "\n")
        config = composed(f"mechanism={mechanism}", *JUMP, *overrides)
        config["book"] = {
            "_target_": "experiments.positions.book_from_file", "_convert_": "all",
            "path": str(path),
        }  # fmt: skip
        return without_unused(design(config))

    return build
