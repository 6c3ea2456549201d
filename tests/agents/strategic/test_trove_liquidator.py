"""Liquidators of troves go where the reward pays for the gas, and nowhere else."""

import numpy as np
import pytest

from agents.agent import MarketAgent
from agents.model import MarketModel
from agents.strategic.trove_liquidator import TroveLiquidator
from sim.actions import NO_ROWS, Reject, Verb
from sim.background import MeanRevertingDemand
from sim.blockspace import BlockSpace, BlockSpaceParams
from sim.errors import ConfigError
from sim.lending.liquity.market import LiquityMarket
from sim.market.outside import OutsideMarket
from sim.oracles.spot import SpotOracle
from sim.prices.diffusion import GeometricBrownian
from sim.world import World

BASE_FEE = 100.0
TROVES = np.array([[1_000.0, 50_000.0], [25.0, 4_800.0], [12.0, 2_250.0], [40.0, 5_000.0]])


class Owner(MarketAgent):
    """Owns troves, two of which are under 110% at a price of 200, and does nothing."""

    def enroll(self, world):
        collateral, debt = np.zeros((4, 2)), np.zeros((4, 2))
        collateral[:, 0], debt[:, 1] = TROVES.T
        world.venues["liquity"].add_positions(self.account, collateral, debt)

    def decide(self, view):
        del view
        return NO_ROWS


def build(base_fee=BASE_FEE, market="liquity", **terms):
    crowd = MeanRevertingDemand(
        level=0.5, volatility=0.0, price_response=0.0, median_bid=0.0001, bid_sigma=0.01
    )
    fees = BlockSpaceParams(initial_base_fee=base_fee, elasticity=1.0, min_base_fee=base_fee)
    terms = {"attention": 1.0, "bid_share": 0.0, "min_profit_usd": 0.0, "market": market, **terms}
    outside = OutsideMarket(
        daily_volume={"WETH": 1e12, "DAI": np.inf},
        daily_volatility={"WETH": 0.04, "DAI": 0.0},
        half_spread_bps={"WETH": 0.0, "DAI": 0.0},
    )
    world = World(
        assets=("WETH", "DAI"), gas_asset="WETH", block_seconds=60.0, n_blocks=10, start=0.0,
        prices=GeometricBrownian(initial={"WETH": 200.0, "DAI": 1.0}, volatility=0.0),
        oracle=SpotOracle(),
        venues={"market": outside, "liquity": LiquityMarket(stable="DAI", pool_deposit=1e5)},
        market="market", blockspace=BlockSpace(fees, crowd), world_ids=np.arange(2), check_every=1,
    )  # fmt: skip
    model = MarketModel(world, {"owner": Owner(), "bot": TroveLiquidator(**terms)})
    for _ in range(10):
        model.step()
    return model


def test_unsafe_troves_go_and_others_stay():
    model = build()
    rows = model.world.events.rows()
    done = rows[(rows["verb"] == Verb.LIQUIDATE) & (rows["code"] == Reject.OK)]
    assert done["target"].tolist() == [1, 2, 1, 2]
    np.testing.assert_allclose(done["r2"], np.array([25.0, 12.0, 25.0, 12.0]) * 0.005)
    bot = model.members["bot"]
    held = model.world.ledger.balances[:, bot.account]
    np.testing.assert_array_equal(held[:, 1], 400.0)  # two gas deposits
    spent = 2 * 350_000.0 * 1.1 * BASE_FEE * 1e-9
    np.testing.assert_allclose(held[:, 0] - 200.0, 37.0 * 0.005 - spent, atol=1e-3)


def test_where_gas_eats_the_reward_troves_wait():
    # 350,000 units at 4,000 gwei, a tenth over: 308 USD; the rewards are 225 and 212
    model = build(4_000.0)
    assert (model.world.venues["liquity"].state.troves["status"] == 1.0).all()
    assert (model.world.venues["liquity"].backlog()[0] == 7_050.0).all()
    model = build(gas_cap=50.0)
    assert (model.world.venues["liquity"].state.troves["status"] == 1.0).all()


def test_wrong_terms_are_refused():
    for field, value in (("attention", 0.0), ("gas", -1.0), ("max_rows", 0), ("market", "aave")):
        with pytest.raises(ConfigError, match=field):
            build(**{field: value})
