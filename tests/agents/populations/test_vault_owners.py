"""Owners of vaults: who repays, how much, how often they look."""

import numpy as np
import pytest

from agents.model import MarketModel
from agents.populations.book import LoanBook
from agents.populations.vault_owners import VaultOwners
from sim.background import MeanRevertingDemand
from sim.blockspace import BlockSpace, BlockSpaceParams
from sim.errors import ConfigError
from sim.lending.maker.market import MakerMarket
from sim.market.outside import OutsideMarket
from sim.oracles.spot import SpotOracle
from sim.prices.diffusion import GeometricBrownian
from sim.scenarios.scenario import Scenario
from sim.world import World

ASSETS, VAULTS = ("WETH", "DAI"), 400


class Falls(Scenario):
    """From the third block on, the price is 0.8 of itself."""

    def bind(self, world):
        self.world = world

    def apply(self, step):
        if step >= 2:
            self.world.inputs["price_factor"][:, 0] *= 0.8


def book(ratio):
    collateral, debt = np.zeros((2, VAULTS, 2))
    debt[:, 1] = 10_000.0
    collateral[:, 0] = debt[:, 1] * ratio / 200.0
    return LoanBook(ASSETS, collateral, debt, np.arange(VAULTS))


def play(n_blocks, ratio=2.4, **terms):
    """Owners alone: nobody starts an auction."""
    crowd = MeanRevertingDemand(level=0.1, volatility=0.0, price_response=0.0, median_bid=1e-4)
    world = World(
        assets=ASSETS, gas_asset="WETH", block_seconds=60.0, n_blocks=n_blocks, start=0.0,
        prices=GeometricBrownian(initial={"WETH": 200.0, "DAI": 1.0}, volatility=0.0),
        oracle=SpotOracle(),
        venues={
            "market": OutsideMarket(
                daily_volume={"WETH": 1e12, "DAI": np.inf},
                daily_volatility={"WETH": 0.04, "DAI": 0.0},
                half_spread_bps={"WETH": 2.0, "DAI": 0.0},
            ),
            "maker": MakerMarket(stability_fee=0.0),
        },
        market="market",
        blockspace=BlockSpace(BlockSpaceParams(initial_base_fee=1.0, gas_limit=1e9), crowd),
        scenarios=[Falls()], world_ids=np.arange(2), check_every=1,
    )  # fmt: skip
    owners = VaultOwners(book=book(ratio), **terms)
    model = MarketModel(world, {"owners": owners})
    for _ in range(n_blocks):
        model.step()
    return model, owners


def test_the_share_that_has_looked_is_exponential():
    """Health 1.6 falls to 1.28, under every trigger of at least half the buffer of 0.6."""
    blocks = 60  # of which the price has fallen in 58, and the last repayment needs no more
    model, _ = play(blocks, look_hours=1.0, buffer_low=0.5, buffer_high=0.9)
    debt = model.world.venues["maker"].state.urns["art"]
    acted = (debt < 10_000.0).mean()
    expected = 1.0 - np.exp(-(blocks - 2) / 60.0)
    assert acted == pytest.approx(expected, abs=4.0 * np.sqrt(0.25 / debt.size))


def test_a_repayment_restores_the_target():
    model, owners = play(30, look_hours=0.05, buffer_low=0.5, buffer_high=0.9)
    market = model.world.venues["maker"]
    acted = market.state.urns["art"] < 10_000.0
    assert acted.mean() > 0.99
    health, target = market.health_factors(), np.broadcast_to(owners.target, acted.shape)
    np.testing.assert_allclose(health[acted], target[acted], rtol=1e-9)


def test_who_has_buffer_left_does_nothing():
    model, _ = play(30, ratio=3.6, look_hours=0.05, buffer_low=0.3, buffer_high=0.5)  # 2.4 -> 1.92
    assert (model.world.venues["maker"].state.urns["art"] == 10_000.0).all()


def test_nobody_looks_with_an_infinite_interval():
    model, _ = play(30, look_hours=np.inf)
    assert (model.world.venues["maker"].state.urns["art"] == 10_000.0).all()


def test_what_would_leave_dust_is_repaid_whole():
    """Health 1.6 falls to 1.28; a target of 1e4 would leave 1.28 of 10,000 DAI."""
    model, _ = play(30, look_hours=0.01, buffer_low=0.6, buffer_high=0.9, restores=1e4)
    assert (model.world.venues["maker"].state.urns["art"] == 0.0).all()


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"look_hours": 0.0}, "look_hours must lie in"),
        ({"buffer_low": 0.9, "buffer_high": 0.3}, "buffer_high must lie in"),
        ({"gas_share": 2.0}, "gas_share must lie in"),
    ],
)
def test_impossible_owners_are_refused(terms, words):
    with pytest.raises(ConfigError, match=words):
        VaultOwners(book=book(2.0), **terms)


def test_the_market_must_be_makers():
    with pytest.raises(ConfigError, match="market must name a Maker market, got 'market'"):
        play(1, market="market")
