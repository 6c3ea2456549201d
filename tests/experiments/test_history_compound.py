"""Compound on 26 November 2020: the book is what is published, the calls what the rules say."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from experiments.build import part, without_unused
from experiments.history.compound_dai_2020 import DaiBook, measured
from experiments.history.compound_figures import charts
from experiments.history.event import Event, simulate
from experiments.history.stated import stated_prices
from sim.errors import ConfigError, InputError

ASSETS = ("WETH", "WBTC", "USDC", "DAI")
PRICES = np.array([530.0, 18_000.0, 1.0, 1.01])
FACTORS = np.array([0.75, 0.60, 0.75, 0.75])
# Constant prices of ETH and BTC: no recorded table is read.
SMALL = (
    "price.assets=null",
    "+price.constants.WETH=530.0",
    "+price.constants.WBTC=18000.0",
    "price.fill_volatility=0.0",
    "book.others.n_positions=200",
    "hours=3.5",
    "history.worlds_per_book=1",
    "+cast.borrowers.behaviour={never: 1.0, top_up: 0.0, repay: 0.0, releverage: 0.0}",
    "cast.keeper_large=null",
    "cast.keeper_small=null",
)


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_module("conf", version_base=None):
        cfg = compose("history", ["event=compound_dai_2020", "data=unread", *overrides])
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    config.pop("ablate")
    return without_unused({str(key): value for key, value in config.items()})


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {key: it.to_pandas() for key, it in simulate(composed(*SMALL), 0, 0, 2).items()}


def book() -> Any:
    return DaiBook(others={"n_positions": 300}).draw(ASSETS, PRICES, FACTORS, FACTORS)


def test_the_book_has_the_published_totals() -> None:
    drawn = book()
    assert drawn.debt.sum(axis=0)[:3].sum() == 0.0
    assert drawn.debt[:, 3].sum() == pytest.approx(1.3e9)
    assert drawn.debt[0, 3] == 9.2e7
    assert drawn.debt[201:, 3].sum() == pytest.approx(2.4e8)


def test_health_of_the_largest_follows_the_closed_form_and_that_of_loops_stays() -> None:
    drawn = book()
    dai, usdc, owed = drawn.collateral[0, 3], drawn.collateral[0, 2], drawn.debt[0, 3]
    for price in (1.01, 1.1, 1.284):
        moved = np.array([*PRICES[:3], price])
        health = drawn.health_factor(moved, FACTORS)
        assert health[0] == pytest.approx(0.75 * dai / owed + 0.75 * usdc / (owed * price))
        np.testing.assert_allclose(health[1:201], 1.05, rtol=1e-12)
    edge = 0.75 * usdc / (owed - 0.75 * dai)  # where that health is 1
    assert 1.1 < edge < 1.23


def test_a_loop_with_nothing_but_dai_needs_no_usdc() -> None:
    drawn = DaiBook(largest_dai=2e8, others={"n_positions": 300}).draw(
        ASSETS, PRICES, FACTORS, FACTORS
    )
    assert drawn.collateral[0, 2] < 1e-6
    assert drawn.health_factor(PRICES, FACTORS)[0] == pytest.approx(1.05)


@pytest.mark.parametrize(
    ("terms", "said"),
    [({"loop_health": 0.9}, "loop_health must exceed 1"), ({"dai_debt": 1e8}, "dai_debt must")],
)
def test_an_impossible_book_is_refused(terms: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DaiBook(**terms)


def test_the_largest_repays_half_and_loses_the_incentive(tables: dict[str, pd.DataFrame]) -> None:
    for _, calls in tables["calls"].groupby("world"):
        top = calls.loc[calls.repaid_dai.idxmax()]
        assert top.collateral == "DAI"
        assert top.repaid_dai == pytest.approx(0.5 * 9.2e7, rel=1e-4)  # a little interest
        assert top.seized_usd / top.repaid_usd == pytest.approx(1.08, rel=1e-9)


def test_what_other_collateral_pays_is_the_incentive_times_the_oracle_over_the_market(
    tables: dict[str, pd.DataFrame],
) -> None:
    series = tables["series"].set_index(["world", "time"])
    checked = 0
    for row in tables["calls"].itertuples():
        if row.collateral != "DAI" and (row.world, row.time) in series.index:
            at = series.loc[(row.world, row.time)]
            paid = 1.08 * at.oracle_DAI / at.price_DAI
            stripped = row.seized_usd / row.repaid_usd < paid * 0.999
            assert stripped or row.seized_usd / row.repaid_usd == pytest.approx(paid, rel=1e-3)
            checked += not stripped
    assert checked > 5


def test_the_oracle_stops_at_a_quarter_above_the_average(tables: dict[str, pd.DataFrame]) -> None:
    worlds = tables["worlds"]
    path = tables["series"][tables["series"].world == 0]
    assert (worlds.oracle_high < 1.03 / 0.8).all()
    assert (worlds.oracle_high > 1.02 / 0.8 * 0.99).all()
    assert path.oracle_DAI.iloc[-1] == pytest.approx(path.price_DAI.iloc[-1], rel=1e-3)
    assert (worlds.bad_debt_usd == 0.0).all()


def test_worlds_do_not_depend_on_the_slice(tables: dict[str, pd.DataFrame]) -> None:
    alone = simulate(composed(*SMALL), 0, 1, 2)["worlds"].to_pandas()
    both = tables["worlds"][tables["worlds"].world == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, both)


def test_figures_of_four_calls() -> None:
    calls = pd.DataFrame({
        "position": [7, 7, 3, 5], "repaid_dai": [10.0, 20.0, 50.0, 20.0],
        "repaid_usd": [10.0, 20.0, 50.0, 20.0], "seized_usd": [11.0, 24.0, 65.0, 28.0],
    })  # fmt: skip
    found = measured(calls)
    assert (found["liquidated_dai"], found["penalty_dai"]) == (100.0, 8.0)
    assert (found["largest_dai"], found["n_borrowers"]) == (50.0, 3.0)
    assert found["others_dai"] == 50.0
    assert found["two_largest_share"] == pytest.approx(0.8)
    assert found["median_loss"] == pytest.approx(0.25)
    assert np.isnan(measured(calls[:0])["median_loss"])


def test_every_documented_figure_is_simulated_and_charted(tables: dict[str, pd.DataFrame]) -> None:
    event = part(composed(), "history")
    assert isinstance(event, Event)
    assert set(event.documented) <= set(tables["worlds"].columns)
    assert [chart.key for chart in charts(tables, event.documented)] == [
        "prices", "repaid", "health", "losses",
    ]  # fmt: skip


def test_stated_prices_pass_through_their_points() -> None:
    replay = stated_prices(
        points={"CRV": {"2022-11-22T16:00": 0.60, "2022-11-22T17:00": 0.61}},
        start="2022-11-22T16:00", hours=1.0, constants={"USDC": 1.0},
    )  # fmt: skip
    bars = replay.series["CRV"]
    assert (bars.open[0], bars.close[0], bars.seconds[0]) == (0.60, 0.61, 3600.0)
    assert np.isnan(bars.high[0])


def test_stated_prices_that_end_early_or_twice_are_refused() -> None:
    points = {"CRV": {"2022-11-22T16:00": 0.60, "2022-11-22T17:00": 0.61}}
    with pytest.raises(InputError, match="before the end of the replay"):
        stated_prices(points=points, start="2022-11-22T16:00", hours=2.0)
    with pytest.raises(ConfigError, match=r"price\.points\.CRV must not"):
        stated_prices(points=points, start="2022-11-22T16:00", hours=1.0, constants={"CRV": 1.0})
