"""Small worlds of known prices, for tests of what agents decide and what comes of it."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents.agent import MarketAgent
from agents.model import MarketModel
from agents.view import View
from sim.actions import NO_ROWS, Verb, join_rows, new_rows
from sim.amm.constant_product import ConstantProductPool
from sim.background import MeanRevertingDemand
from sim.blockspace import BlockSpace, BlockSpaceParams
from sim.kernel import Rows
from sim.lending.params import PooledParams, ReserveParams
from sim.lending.pooled import PooledMarket
from sim.market.outside import OutsideMarket
from sim.oracles.spot import SpotOracle
from sim.prices.diffusion import GeometricBrownian
from sim.scenarios.scenario import Scenario
from sim.venue import Venue
from sim.world import World

ASSETS = ("WETH", "USDC", "DAI")
PRICES = {"WETH": 2_000.0, "USDC": 1.0, "DAI": 1.0}
FEE, BONUS = 0.10, 0.05  # protocol fee and bonus of every reserve


class Moves(Scenario):
    """Prices times given factors from given steps on: {"WETH": {3: 0.9}}."""

    def __init__(self, moves: Mapping[str, Mapping[int, float]]) -> None:
        self.moves = moves

    def bind(self, world: World) -> None:
        """Find the world."""
        self.world = world

    def apply(self, step: int) -> None:
        """Multiply by the last factor that has begun."""
        for asset, factors in self.moves.items():
            begun = [factor for first, factor in sorted(factors.items()) if first <= step]
            if begun:
                column = self.world.asset_index(asset)
                self.world.inputs["price_factor"][:, column] *= begun[-1]


class Positions(MarketAgent):
    """Owns positions and does nothing."""

    def __init__(self, collateral: Sequence[Mapping[str, float]], debt: Any) -> None:
        self.book = collateral, debt

    def enroll(self, world: World) -> None:
        """Bring the positions, and enough supply of everything."""
        arrays = [np.zeros((len(side), world.n_assets)) for side in self.book]
        for array, side in zip(arrays, self.book, strict=True):
            for i, amounts in enumerate(side):
                for asset, amount in amounts.items():
                    array[i, world.asset_index(asset)] = amount
        world.venues["lending"].add_positions(self.account, *arrays)
        supply = np.array([[1e7 / PRICES[asset] for asset in world.assets]])
        world.venues["lending"].add_positions(self.account, supply, np.zeros_like(supply))

    def decide(self, view: View) -> Rows:
        """Stay passive."""
        del view
        return NO_ROWS


class Hand(MarketAgent):
    """Sends the rows that a test puts into `intent`, from its own account."""

    def __init__(self, holdings: Mapping[str, float]) -> None:
        self.holdings, self.intent = holdings, NO_ROWS

    def bind(self, world: World) -> None:
        """Endow the account, whole tokens."""
        super().bind(world)
        self.endow(dict(self.holdings))

    def decide(self, view: View) -> Rows:
        """Hand over the rows, once."""
        del view
        rows, self.intent = self.intent, NO_ROWS
        return rows

    def order(self, verb: Verb, venue: str, **fields: Any) -> Rows:
        """One row of this account for every world."""
        rows = new_rows(self.world.n_worlds)
        rows["world"] = np.arange(self.world.n_worlds)
        rows["verb"], rows["account"] = verb, self.account
        rows["venue"] = self.world.venues[venue].index
        rows["tip"], rows["gas"], rows["expires"] = 1_000.0, 1.0, self.world.step
        for name, value in fields.items():
            rows[name] = self.world.asset_index(value) if isinstance(value, str) else value
        return rows


def build(
    agents: Mapping[str, MarketAgent],
    *,
    n_worlds: int = 1,
    n_blocks: int = 200,
    block_seconds: float = 60.0,
    base_fee: float = 20.0,
    demand: float = 0.5,
    market: Mapping[str, Any] | None = None,
    pools: Mapping[str, Mapping[str, Any] | Venue] | None = None,
    chain: Mapping[str, Any] | None = None,
    lending: Mapping[str, Any] | Venue | None = None,
    moves: Mapping[str, Mapping[int, float]] | None = None,
    gwei: tuple[float, float] = (0.0001, 0.01),
) -> MarketModel:
    """Bind a model with constant prices times `moves`, a spot oracle and one of each venue."""
    terms = {"liquidation_bonus": BONUS, "protocol_fee": FEE, "optimal_utilisation": 0.8}
    reserves = {
        "WETH": ReserveParams(ltv=0.8, liquidation_threshold=0.83, **terms),
        "USDC": ReserveParams(ltv=0.75, liquidation_threshold=0.78, **terms),
        "DAI": ReserveParams(ltv=0.75, liquidation_threshold=0.78, **terms),
    }
    outside = {
        "daily_volume": {"WETH": 3e9, "USDC": np.inf, "DAI": np.inf},
        "daily_volatility": {"WETH": 0.04, "USDC": 0.0, "DAI": 0.0},
        "half_spread_bps": {"WETH": 2.0, "USDC": 0.0, "DAI": 0.0},
    }
    crowd = MeanRevertingDemand(
        level=demand, volatility=0.0, price_response=0.0, median_bid=gwei[0], bid_sigma=gwei[1]
    )
    fees = BlockSpaceParams(initial_base_fee=base_fee, elasticity=1.0, min_base_fee=base_fee)
    if chain is not None:
        fees = BlockSpaceParams(**chain)
    world = World(
        assets=ASSETS,
        gas_asset="WETH",
        block_seconds=block_seconds,
        n_blocks=n_blocks,
        start=0.0,
        prices=GeometricBrownian(initial=PRICES, volatility=0.0),
        oracle=SpotOracle(),
        venues={
            "market": OutsideMarket(**(outside | dict(market or {}))),
            "lending": lending
            if isinstance(lending, Venue)
            else PooledMarket(PooledParams(reserves=reserves, **(lending or {}))),
            **{
                name: pool if isinstance(pool, Venue) else ConstantProductPool(**pool)
                for name, pool in (pools or {}).items()
            },
        },
        market="market",
        blockspace=BlockSpace(fees, crowd),
        scenarios=[Moves(moves or {})],
        world_ids=np.arange(n_worlds),
        check_every=1,
    )
    return MarketModel(world, agents)


def play(model: MarketModel, agents: Sequence[MarketAgent] | None = None) -> Rows:
    """Play one block in which only the given agents act; return its executed rows, in order."""
    world = model.world
    world.open_block()
    members = list(model.members.values()) if agents is None else agents
    world.close_block([agent.decide(model.view) for agent in members])
    rows = world.events.rows()
    return rows[rows["step"] == world.step - 1]


@pytest.fixture(scope="session")
def stage() -> SimpleNamespace:
    """Everything above, by name."""
    return SimpleNamespace(
        build=build, play=play, Positions=Positions, Hand=Hand, join=join_rows, prices=PRICES,
        bonus=BONUS, fee=FEE,
    )  # fmt: skip
