"""Liquidators of a pooled market: capital, latency, gas caps, inventory or flash loans.

A liquidator takes the market's list of liquidatable positions, largest first, and for each chooses
the amount that maximises bonus less slippage less gas. What does not pay after gas is skipped, so a
position smaller than its gas cost is left alone, as in reality.

- ``inventory``: repays with own capital, keeps the collateral, and sells it on the outside market
  in the blocks that follow;
- ``flash``: one atomic bundle borrows the debt asset, liquidates, swaps the collateral on a pool
  and repays; limited by the pool's depth, not by capital. Where the market lends no flash loans
  (Compound), the pool that takes the collateral hands the debt asset out in advance: a flash swap.
"""

from typing import Any

import numpy as np

from agents.strategic.calls import (
    FLASH_ROWS,
    Plans,
    Sight,
    Terms,
    decide_flash,
    decide_flash_swap,
    decide_inventory,
)
from agents.strategic.trader import Trader
from agents.view import View
from sim.actions import Verb
from sim.amm.constant_product import ConstantProductPool
from sim.errors import ConfigError
from sim.kernel import Rows
from sim.lending.market import LendingMarket
from sim.lending.opportunities import Opportunities
from sim.quotes import Market
from sim.streams import stream_key
from sim.world import World


class Liquidator(Trader):
    """One liquidator, in all worlds.

    Parameters
    ----------
    style : str
        `inventory` or `flash`.
    gas : float
        Units of gas per liquidation; a flash bundle takes the same in all.
    max_positions : int
        Liquidations sent per block.
    attention : float
        Chance that a listed position is looked at in a block: bots miss blocks, and so they do not
        all chase the same few.
    market : str
        Name of the lending market.
    **terms
        See `Trader`.
    """

    def __init__(
        self,
        *,
        style: str = "inventory",
        gas: float = 500_000.0,
        max_positions: int = 40,
        attention: float = 0.6,
        market: str = "lending",
        **terms: Any,
    ) -> None:
        super().__init__(**terms)
        if style not in ("inventory", "flash"):
            raise ConfigError(f"style must be inventory or flash, got {style!r}")
        if max_positions < 1 or max_positions > 4095:
            raise ConfigError(f"max_positions must lie in [1, 4095], got {max_positions}")
        if not 0.0 < attention <= 1.0:
            raise ConfigError(f"attention must lie in (0, 1], got {attention}")
        self.attention = float(attention)
        self.style, self.gas, self.market_name = style, float(gas), market
        self.max_positions = max_positions

    def bind(self, world: World) -> None:
        """Endow the account and find the markets."""
        super().bind(world)
        market, exit_market = world.venues.get(self.market_name), world.market
        if not isinstance(market, LendingMarket):
            raise ConfigError(
                f"{self.name}.market must name a lending market, got {self.market_name!r}; "
                f"known venues: {', '.join(world.venues)}"
            )
        if not isinstance(exit_market, Market):
            raise ConfigError(
                f"{self.name} can sell on a market that quotes only; choose outside or order_book"
            )
        self.market, self.exit_market = market, exit_market
        n = world.n_assets
        self.plans = Plans(np.zeros(n), np.zeros(n), np.zeros((n, n)))
        self.bonus = market.largest_bonus()
        self.has_loans = int(Verb.FLASH_BORROW) in market.RESULTS
        pools = [v for v in world.venues.values() if isinstance(v, ConstantProductPool)]
        if self.style == "flash" and not self.has_loans and not pools:
            raise ConfigError(
                f"{self.name}.style flash needs flash loans, which {self.market_name!r} does not "
                "lend, or a constant-product pool for flash swaps: add one, as pools=default, or "
                "set style to inventory"
            )
        self.key = stream_key(world.seed, f"attention.{self.name}")

    @property
    def least_call(self) -> tuple[float, float, float]:
        """Gas, least profit in USD and gas cap in gwei of a call."""
        return self.gas, self.min_profit_usd, self.gas_cap

    def decide(self, view: View) -> Rows:
        """Liquidations that pay, and exits outside."""
        table = view.opportunities(self.market)
        n = 0
        if table.position.shape[0]:
            terms = Terms(
                self.account, self.market.account, self.market.index, self.gas, self.gas_cap,
                self.bid_share, self.min_profit_usd, self.latency_seconds, self.max_positions,
                self.attention, max(self.bonus, 1e-9), view.gas_asset, view.step,
            )  # fmt: skip
            sight = Sight(
                view.balances, view.oracle_price, view.market_price, view.base_fee, view.clearing,
                view.world_ids, self.key,
            )  # fmt: skip
            n = self._call(view, table, sight, terms)
        return self.rows_and_exits(n, view)

    def _call(self, view: View, table: Opportunities, sight: Sight, terms: Terms) -> int:
        room = table.position.shape[0]
        if self.style == "inventory":
            return decide_inventory(
                self.market.state, self.exit_market.quotes(), self.exit_market.reference_prices(),
                table, sight, self.plans, terms, self.buffer.room(room),
            )  # fmt: skip
        pools = view.pools()
        decide = decide_flash if self.has_loans else decide_flash_swap
        return decide(
            self.market.state, pools, np.zeros((pools.assets.shape[0], 2)), table, sight, terms,
            self.buffer.room(room * FLASH_ROWS),
        )  # fmt: skip
