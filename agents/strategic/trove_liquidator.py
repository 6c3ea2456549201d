"""Liquidators of Liquity's troves: they need no capital, and are paid by the trove.

A liquidation costs gas alone and brings the trove's gas deposit and a share of its collateral,
whoever pays the debt. So a trove waits only where gas costs more than that. Those who have capital
may put it into the stability pool, which pays the debts: they claim the collateral that it earns,
sell it outside, and deposit what that brings.
"""

from typing import Any

import numpy as np

from agents.strategic.calls import Sight, Terms, profitable_bid
from agents.strategic.keeper import attends, hopeless, plain_bid, write_row
from agents.strategic.trader import Trader
from agents.view import View
from sim.actions import Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, kernel
from sim.lending.liquity.liquidation import quote
from sim.lending.liquity.market import LiquityMarket
from sim.lending.liquity.state import LiquityState
from sim.streams import stream_key
from sim.world import World

LIQUIDATE, ADD_LIQUIDITY = int(Verb.LIQUIDATE), int(Verb.ADD_LIQUIDITY)


@kernel
def decide_troves(
    state: LiquityState, ids: I64, starts: I64, sight: Sight, terms: Terms, earned: F64,
    claim_usd: float, rows: Rows,
) -> int:  # fmt: skip
    """Write the liquidations that pay for their gas, and deposits; return the number of rows.

    A deposit pays out the collateral `earned` (world,) too; it is made once that and the cash at
    hand are worth `claim_usd`.
    """
    n = 0
    gem, stable = state.assets[0], state.assets[1]
    for w in range(sight.market.shape[0]):
        if hopeless(sight, terms, w):
            continue
        sent = 0
        for k in range(starts[w], starts[w + 1]):
            if sent == terms.max_positions:
                break
            if not attends(sight, terms, w, ids[k]):
                continue
            gas = quote(state, w, ids[k], float(sight.oracle[w, gem]))[3]
            reward = gas * sight.market[w, gem]
            reward += state.system[w]["gas_deposit"] * sight.market[w, stable]
            bid = profitable_bid(sight, terms, w, reward)
            if bid < 0.0:
                continue
            write_row(rows[n], terms, w, LIQUIDATE, bid, sight.base_fee[w], ids[k], np.inf)
            n += 1
            sent += 1
        cash = sight.balances[w, terms.account, stable]
        usd = earned[w] * sight.market[w, gem] + cash * sight.market[w, stable]
        if usd >= claim_usd and cash > 0.0:
            bid = plain_bid(sight, terms, w)
            write_row(rows[n], terms, w, ADD_LIQUIDITY, bid, sight.base_fee[w], -1, cash)
            rows[n]["asset"] = stable
            n += 1
    return n


class TroveLiquidator(Trader):
    """One liquidator of troves, in all worlds.

    Parameters
    ----------
    market : str
        Name of the Liquity market.
    gas : float
        Units of gas per liquidation.
    max_rows : int
        Liquidations sent per block.
    attention : float
        Chance that a trove is looked at in a block.
    pool_share : float
        Share of its cash that stands in the stability pool at the start; less than all, since a
        deposit is what claims. 0: it keeps away from the pool.
    claim_usd : float
        Worth of earned collateral and cash at which it claims the one and deposits the other.
    **terms
        See `Trader`; `cash` is the stable token unless given.
    """

    def __init__(
        self,
        *,
        market: str = "liquity",
        gas: float = 350_000.0,
        max_rows: int = 20,
        attention: float = 0.8,
        pool_share: float = 0.0,
        claim_usd: float = 10_000.0,
        **terms: Any,
    ) -> None:
        super().__init__(**{"cash": "DAI", "holdings": {}, **terms})
        if not 0.0 < attention <= 1.0:
            raise ConfigError(f"attention must lie in (0, 1], got {attention}")
        if max_rows < 1 or max_rows > 4095:
            raise ConfigError(f"max_rows must lie in [1, 4095], got {max_rows}")
        if not gas > 0.0:
            raise ConfigError(f"gas must be positive, got {gas}")
        if not 0.0 <= pool_share < 1.0:
            raise ConfigError(f"pool_share must lie in [0, 1), got {pool_share}; try 0.99")
        if not claim_usd > 0.0:
            raise ConfigError(f"claim_usd must be positive, got {claim_usd}; try 10000")
        self.market_name, self.gas = market, float(gas)
        self.max_rows, self.attention = max_rows, float(attention)
        self.pool_share, self.claim_usd = float(pool_share), float(claim_usd)

    def enroll(self, world: World) -> None:
        """Deposit a share of the cash."""
        market = world.venues.get(self.market_name)
        if self.pool_share and isinstance(market, LiquityMarket):
            held = self.holdings.get(self.cash_name, 0.0)
            usd = world.fundamental[0, world.asset_index(self.cash_name)]
            market.add_deposit(self.account, held * self.pool_share / usd)
            self.holdings[self.cash_name] = held * (1.0 - self.pool_share)

    def bind(self, world: World) -> None:
        """Endow the account and find the market."""
        super().bind(world)
        market = world.venues.get(self.market_name)
        if not isinstance(market, LiquityMarket):
            raise ConfigError(
                f"{self.name}.market must name a Liquity market, got {self.market_name!r}; known "
                f"venues: {', '.join(world.venues)}"
            )
        self.market = market
        self.key = stream_key(world.seed, f"attention.{self.name}")

    def decide(self, view: View) -> Rows:
        """Liquidations that pay, and exits outside."""
        sight = Sight(
            view.balances, view.oracle_price, view.market_price, view.base_fee, view.clearing,
            view.world_ids, self.key,
        )  # fmt: skip
        terms = Terms(
            self.account, self.market.account, self.market.index, self.gas, self.gas_cap,
            self.bid_share, self.min_profit_usd, self.latency_seconds, self.max_rows,
            self.attention, 1.0, view.gas_asset, view.step,
        )  # fmt: skip
        ids, starts = self.market.unsafe()
        rows = self.buffer.room(view.n_worlds * (self.max_rows + 1))
        _, earned = self.market.deposit_of(self.account)
        claim_usd = self.claim_usd if self.pool_share else np.inf
        n = decide_troves(self.market.state, ids, starts, sight, terms, earned, claim_usd, rows)
        return self.rows_and_exits(n, view)
