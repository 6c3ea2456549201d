"""What everybody can see at the start of a block, read-only."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.amm.constant_product import ConstantProductPool
from sim.errors import ConfigError
from sim.kernel import F64, I64
from sim.lending.market import LendingMarket
from sim.lending.opportunities import Opportunities

if TYPE_CHECKING:
    from sim.venue import Venue
    from sim.world import World

OVERBID = 1.1  # least bid over what the last block cleared at
HOPELESS = 0.8  # a gas cap under this share of the last clearing price does not get in
WRONG_ORACLE = 10.0  # a return of so many times the bonus comes from a wrong price
LISTED = 200  # liquidatable positions that agents look at per block and world


def read_only(array: np.ndarray[Any, Any]) -> Any:
    """View of an array that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


class PoolBoard(NamedTuple):
    """All constant-product pools side by side, for agents that look for the best exit."""

    reserves: F64  # (world, pool, 2) whole tokens
    assets: I64  # (pool, 2)
    venues: I64  # (pool,) index in World.venues
    fees: F64  # (pool,) fraction


class View:
    """Read-only arrays of what everybody can see; one per model, refreshed by `open_block`.

    What is expensive is computed on demand and kept for the block.

    Parameters
    ----------
    world : World
        Bound.
    calls : sequence of (gas, USD, gwei)
        `least_call` of the agents that liquidate.

    Attributes
    ----------
    market_price, oracle_price : array (world, asset)
        USD.
    balances : array (world, account, asset)
        Public, as on a chain; whole tokens.
    base_fee, clearing : array (world,)
        Base fee of this block, and the price at which the last block was full, gwei.
    """

    def __init__(self, world: "World", calls: Sequence[tuple[float, float, float]] = ()) -> None:
        self._world = world
        self._least_gas = min((gas for gas, _, _ in calls), default=0.0)
        self._least_profit = min((profit for _, profit, _ in calls), default=0.0)
        self._highest_cap = max((cap for _, _, cap in calls), default=np.inf)
        self.market_price: F64 = read_only(world.market_price)
        self.oracle_price: F64 = read_only(world.oracle_price)
        self.balances: F64 = read_only(world.ledger.balances)
        self.base_fee: F64 = read_only(world.blockspace.state.base_fee)
        self.clearing: F64 = read_only(world.blockspace.state.clearing)
        self.n_worlds, self.world_ids = world.n_worlds, world.world_ids
        self.block_seconds, self.gas_asset = world.block_seconds, world.gas_asset
        self._pools = [v for v in world.venues.values() if isinstance(v, ConstantProductPool)]
        self._board: PoolBoard | None = None
        self._board_step = -1
        self._calls: dict[str, Opportunities] = {}
        self._calls_step = -1

    @property
    def step(self) -> int:
        """Number of the block that is open."""
        return self._world.step

    @property
    def n_steps(self) -> int:
        """Horizon in blocks."""
        return self._world.n_steps

    def venue(self, name: str) -> "Venue":
        """Find a venue by name, for its on-demand figures; agents act through rows only."""
        if name not in self._world.venues:
            known = ", ".join(self._world.venues)
            raise ConfigError(f"unknown venue {name!r}; known: {known}")
        return self._world.venues[name]

    def opportunities(self, market: LendingMarket) -> Opportunities:
        """Liquidation calls that may pay for somebody, largest first, at most `LISTED` per world.

        A position whose whole debt earns less bonus than the least gas, at what the last block
        cleared at, and the least profit that any liquidator asks for is left out; so is everything
        where no gas cap comes near to what the last block cleared at.
        """
        if self._calls_step != self.step:
            self._calls.clear()
            self._calls_step = self.step
        calls = self._calls.get(market.name)
        if calls is None:
            calls = self._calls[market.name] = self._survey(market)
        return calls

    def _survey(self, market: LendingMarket) -> Opportunities:
        bonus = market.largest_bonus()
        price = OVERBID * np.maximum(self.base_fee, self.clearing)
        gas_usd = self._least_gas * price * 1e-9 * self.market_price[:, self.gas_asset]
        worth = self.market_price / self.oracle_price
        found = (1.0 + bonus) * worth.max(axis=1) - worth.min(axis=1)
        best = np.where(found > WRONG_ORACLE * bonus, found, bonus)  # as calls.largest_return
        floor = (gas_usd + self._least_profit) / np.maximum(best, 1e-9)
        floor[self._highest_cap < HOPELESS * self.clearing] = np.inf
        return market.opportunities(floor, LISTED)

    def pools(self) -> PoolBoard:
        """Reserves of all constant-product pools at the start of this block."""
        if self._board is None:
            n = len(self._pools)
            self._board = PoolBoard(
                np.zeros((self.n_worlds, n, 2)),
                np.array([pool.state.assets for pool in self._pools], np.int64).reshape(n, 2),
                np.array([pool.index for pool in self._pools], np.int64),
                np.array([pool.params.fee_bps / 1e4 for pool in self._pools], np.float64),
            )
        if self._board_step != self.step:
            for k, pool in enumerate(self._pools):
                self._board.reserves[:, k] = pool.state.reserves
            self._board_step = self.step
        return self._board

    def forget(self) -> None:
        """Drop what was kept for the block (after a restore)."""
        self._board_step = self._calls_step = -1
