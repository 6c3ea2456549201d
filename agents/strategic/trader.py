"""What strategic traders share: holdings, an exit through the outside market, gas policy."""

from collections.abc import Mapping

import numpy as np

from agents.agent import MarketAgent, RowBuffer
from agents.strategic.rebalance import rebalance
from agents.view import OVERBID, View
from sim.actions import join_rows
from sim.errors import ConfigError
from sim.kernel import F64, Rows, kernel
from sim.state import Arena
from sim.world import World


@kernel
def gas_bid(
    surplus_usd: float, share: float, clearing: float, base_fee: float, cap: float, gas: float,
    gas_price_usd: float,
) -> float:  # fmt: skip
    """Price per unit of gas that a trader bids, gwei.

    A share of the surplus, at least a tenth above what the last block cleared at, never above the
    own cap or the surplus itself.

    Parameters
    ----------
    surplus_usd : float
        Profit before gas.
    share : float
        Share of the surplus that is bid where others compete.
    clearing, base_fee : float
        Gwei.
    cap : float
        Most that the trader ever pays per unit of gas, gwei.
    gas : float
        Units of gas.
    gas_price_usd : float
        USD per whole gas token.
    """
    break_even = surplus_usd / (gas * 1e-9 * gas_price_usd)
    wanted = max(share * break_even, OVERBID * max(clearing, base_fee))
    return min(min(wanted, cap), break_even)


class Trader(MarketAgent):
    """A strategic agent with holdings that it returns to through the outside market.

    Parameters
    ----------
    holdings : mapping of str to float
        Capital at the start and target afterwards, USD per asset at the initial prices.
    gas_money : float
        Whole tokens of the gas asset held for fees on top.
    gas_cap : float
        Most that is ever paid per unit of gas, gwei; None: no cap.
    bid_share : float
        Share of the expected surplus bid for block space.
    min_profit_usd : float
        What pays less after gas is left alone.
    latency_seconds : float
        From the block's opening to the arrival of the trader's rows; beyond the block's length the
        rows wait for a later block.
    cash : str
        Asset against which everything is traded.
    max_trade_usd : float
        Largest exit trade per asset and block.
    """

    def __init__(
        self,
        *,
        holdings: Mapping[str, float],
        gas_money: float = 200.0,
        gas_cap: float | None = None,
        bid_share: float = 0.3,
        min_profit_usd: float = 20.0,
        latency_seconds: float = 1.0,
        cash: str = "USDC",
        max_trade_usd: float = 5e6,
    ) -> None:
        for field, value in (("gas_money", gas_money), ("latency_seconds", latency_seconds),
                             ("max_trade_usd", max_trade_usd)):  # fmt: skip
            if not value >= 0:
                raise ConfigError(f"{field} must not be negative, got {value}; raise it")
        if gas_cap is not None and not gas_cap > 0:
            raise ConfigError(f"gas_cap must be positive gwei or null for none, got {gas_cap}")
        if not 0.0 <= bid_share <= 1.0:
            raise ConfigError(f"bid_share must lie in [0, 1], got {bid_share}")
        self.holdings, self.gas_money = dict(holdings), float(gas_money)
        self.gas_cap = np.inf if gas_cap is None else float(gas_cap)
        self.bid_share, self.min_profit_usd = float(bid_share), float(min_profit_usd)
        self.latency_seconds, self.cash_name = float(latency_seconds), cash
        self.max_trade_usd = float(max_trade_usd)

    def bind(self, world: World) -> None:
        """Endow the account; what it starts with is what it returns to."""
        self.arena = Arena(world.n_worlds, {"unused": ()})
        self.target: F64 = np.zeros(world.n_assets)
        for asset, usd in self.holdings.items():
            index = world.asset_index(asset)
            self.target[index] = usd / world.fundamental[0, index]
        self.target[world.gas_asset] += self.gas_money
        for index in range(world.n_assets):
            world.ledger.endow(self.account, index, float(self.target[index]))
        self.blocks_late = int(self.latency_seconds // world.block_seconds)
        self.cash = world.asset_index(self.cash_name)
        self.exit = world.market.index
        self.buffer = RowBuffer()
        self.exits = RowBuffer()

    def write_exits(self, view: View) -> int:
        """Write the rows that return the account to its target into `exits`."""
        return rebalance(
            view.balances, view.market_price, self.account, self.exit, self.cash, self.target,
            1_000.0, self.max_trade_usd, self.latency_seconds, view.step,
            self.exits.room(view.n_worlds * view.market_price.shape[1]),
        )  # fmt: skip

    def rows_and_exits(self, n: int, view: View) -> Rows:
        """Take the first `n` rows of the buffer, and those that return to the target."""
        return self.with_exits(self.buffer.take(n), view)

    def with_exits(self, rows: Rows, view: View) -> Rows:
        """Add those that return to the target to the rows wanted on chain."""
        exits = self.exits.take(self.write_exits(view))
        if self.blocks_late and rows.shape[0]:
            rows["expires"] += self.blocks_late  # or they would expire before they arrive
        if not (rows.shape[0] and exits.shape[0]):
            return rows if rows.shape[0] else exits
        return join_rows([rows, exits])
