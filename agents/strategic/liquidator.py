"""Liquidators of a pooled market: capital, latency, gas caps, inventory or flash loans.

A liquidator takes the market's list of liquidatable positions, largest first, and for each chooses
the amount that maximises bonus less slippage less gas. What does not pay after gas is skipped, so a
position smaller than its gas cost is left alone, as in reality.

- ``inventory``: repays with own capital, keeps the collateral, and sells it on the outside market
  in the blocks that follow;
- ``flash``: one atomic bundle borrows the debt asset, liquidates, swaps the collateral on a pool and
  repays; limited by the pool's depth, not by capital.
"""

from typing import Any, NamedTuple

import numpy as np

from agents.strategic.trader import Trader, gas_bid
from agents.view import PoolBoard, View
from sim.actions import Verb, join_rows
from sim.amm.constant_product import amount_out, profit_maximising_input
from sim.errors import ConfigError
from sim.kernel import F64, Rows, kernel
from sim.lending.opportunities import Opportunities
from sim.lending.pooled import PooledMarket
from sim.lending.state import PooledState
from sim.market.outside import OutsideMarket, OutsideState, sale_proceeds, sell_until
from sim.world import World

LIQUIDATE, SWAP = int(Verb.LIQUIDATE), int(Verb.SWAP)
FLASH_BORROW, FLASH_REPAY = int(Verb.FLASH_BORROW), int(Verb.FLASH_REPAY)
FLASH_ROWS = 4  # borrow, liquidate, swap, repay
SAFE = 1.0 - 1e-9  # of an amount that must not exceed what a rule allows


class Terms(NamedTuple):
    """Scalars of the decision."""

    account: int
    custody: int  # ledger account of the lending market
    venue: int  # lending market
    gas: float
    gas_cap: float
    bid_share: float
    min_profit_usd: float
    latency: float
    max_positions: int
    gas_asset: int
    step: int


class Offer(NamedTuple):
    """What one liquidatable position offers, whole tokens and USD."""

    most: float  # largest debt that one call may repay
    partial: float  # largest debt that leaves the required minimum on both sides
    per_debt: float  # collateral tokens received per debt token repaid


@kernel
def read_offer(lending: PooledState, oracle: F64, table: Opportunities, w: int, k: int) -> Offer:
    """Terms at which the k-th listed position may be liquidated in world w."""
    p, c, d = table.position[k], table.collateral_asset[k], table.debt_asset[k]
    reserve = lending.reserves[w, c]
    bonus = reserve["liquidation_bonus"]
    gross = 1.0 + bonus * (1.0 - reserve["protocol_fee"])
    seized_per_debt = oracle[w, d] * (1.0 + bonus) / oracle[w, c]
    most = table.debt_to_cover[k]
    least = lending.market[w]["min_leftover"] * (1.0 + 1e-6)
    by_debt = lending.debt[w, p, d] * lending.reserves[w, d]["borrow_index"] - least / oracle[w, d]
    by_collateral = (table.collateral_available[k] - least / oracle[w, c]) / seized_per_debt
    partial = max(min(most, min(by_debt, by_collateral)), 0.0)
    return Offer(most, partial, oracle[w, d] * gross / oracle[w, c])


@kernel
def choose_amount(offer: Offer, best_collateral: float) -> float:
    """Debt to repay so that about `best_collateral` is received and the leftover rule is kept."""
    wanted = best_collateral / offer.per_debt
    return offer.most if wanted >= offer.most else min(wanted, offer.partial)


@kernel
def fill(
    row: np.void, w: int, venue: int, verb: int, account: int, bid: float, base_fee: float,
    gas: float, arrival: float, step: int, bundle: int,
) -> None:  # fmt: skip
    """Write the fields that all rows of a liquidator share."""
    row.world = w
    row.venue = venue
    row.verb = verb
    row.account = account
    row.tip = bid - base_fee
    row.fee_cap = bid
    row.gas = gas
    row.arrival = arrival
    row.expires = step
    row.step = step
    row.bundle = bundle


@kernel
def decide_inventory(
    lending: PooledState, outside: OutsideState, fundamental: F64, table: Opportunities,
    balances: F64, oracle: F64, market: F64, base_fee: F64, clearing: F64,
    planned: F64, budget: F64, terms: Terms, rows: Rows,
) -> int:  # fmt: skip
    """Write the liquidations that own capital can pay for; return the number of rows.

    `planned` and `budget` (asset,) are work space: collateral already meant for sale, and capital
    not yet spent. `fundamental` is read only through the outside market's quotes.
    """
    n = 0
    starts = table.starts
    for w in range(oracle.shape[0]):
        if starts[w] == starts[w + 1]:
            continue
        for a in range(oracle.shape[1]):
            planned[a] = 0.0
            budget[a] = balances[w, terms.account, a]
        budget[terms.gas_asset] *= 0.9
        sent = 0
        for k in range(starts[w], starts[w + 1]):
            if sent == terms.max_positions:
                break
            c, d = table.collateral_asset[k], table.debt_asset[k]
            if table.debt_to_cover[k] <= 0.0:
                continue
            offer = read_offer(lending, oracle, table, w, k)
            unit_cost = market[w, d] / offer.per_debt
            best = market[w, c] >= unit_cost
            wanted = np.inf if c == d else sell_until(outside, fundamental, w, c, unit_cost)
            if not best or wanted <= planned[c]:
                continue
            amount = choose_amount(offer, wanted - planned[c])
            if amount > budget[d]:
                amount = min(budget[d], offer.partial)
            if amount <= 0.0:
                continue
            received = amount * offer.per_debt
            proceeds = sale_proceeds(outside, fundamental, w, c, planned[c] + received)
            proceeds -= sale_proceeds(outside, fundamental, w, c, planned[c])
            surplus = proceeds - amount * market[w, d]
            if surplus <= terms.min_profit_usd:
                continue
            gas_usd = market[w, terms.gas_asset]
            bid = gas_bid(
                surplus, terms.bid_share, clearing[w], base_fee[w], terms.gas_cap, terms.gas,
                gas_usd,
            )  # fmt: skip
            fee = terms.gas * bid * 1e-9 * gas_usd
            if surplus - fee < terms.min_profit_usd or bid < base_fee[w]:
                continue
            planned[c] += received
            budget[d] -= amount
            sent += 1
            row = rows[n]
            n += 1
            fill(row, w, terms.venue, LIQUIDATE, terms.account, bid, base_fee[w], terms.gas,
                 terms.latency, terms.step, 0)  # fmt: skip
            row.target = table.position[k]
            row.asset = c
            row.asset_2 = d
            row.amount = amount
    return n


@kernel
def best_pool(pools: PoolBoard, w: int, asset_in: int, asset_out: int) -> int:
    """Deepest pool of a pair as 2 × pool + side of the asset in; -1 without one."""
    best, most = -1, 0.0
    for k in range(pools.assets.shape[0]):
        for side in range(2):
            if pools.assets[k, side] == asset_in and pools.assets[k, 1 - side] == asset_out:
                depth = pools.reserves[w, k, side]
                if depth > most:
                    best, most = 2 * k + side, depth
    return best


@kernel
def decide_flash(
    lending: PooledState, pools: PoolBoard, table: Opportunities, balances: F64,
    oracle: F64, market: F64, base_fee: F64, clearing: F64, reserves: F64, terms: Terms,
    rows: Rows,
) -> int:  # fmt: skip
    """Write atomic flash liquidations, four rows each; return the number of rows.

    `reserves` (pool, 2) is work space: the pools as they stand after the bundles already written.
    """
    n = 0
    starts = table.starts
    for w in range(oracle.shape[0]):
        if starts[w] == starts[w + 1]:
            continue
        for k in range(reserves.shape[0]):
            reserves[k, 0], reserves[k, 1] = pools.reserves[w, k, 0], pools.reserves[w, k, 1]
        sent = 0
        for k in range(starts[w], starts[w + 1]):
            if sent == terms.max_positions:
                break
            c, d = table.collateral_asset[k], table.debt_asset[k]
            if c == d or table.debt_to_cover[k] <= 0.0:
                continue
            place = best_pool(pools, w, c, d)
            if place < 0:
                continue
            pool, side = place // 2, place % 2
            offer = read_offer(lending, oracle, table, w, k)
            owed = 1.0 + lending.market[w]["flash_premium"]
            reserve_in, reserve_out = reserves[pool, side], reserves[pool, 1 - side]
            wanted = profit_maximising_input(
                reserve_in, reserve_out, pools.fees[pool], owed / offer.per_debt
            )
            amount = choose_amount(offer, wanted)
            cash = balances[w, terms.custody, d] * SAFE
            if amount > cash:
                amount = min(cash, offer.partial)
            if amount <= 0.0:
                continue
            received = amount * offer.per_debt * SAFE
            out = amount_out(received, reserve_in, reserve_out, pools.fees[pool])
            surplus = (out - amount * owed) * market[w, d]
            if surplus <= terms.min_profit_usd:
                continue
            gas_usd = market[w, terms.gas_asset]
            bid = gas_bid(
                surplus, terms.bid_share, clearing[w], base_fee[w], terms.gas_cap, terms.gas,
                gas_usd,
            )  # fmt: skip
            fee = terms.gas * bid * 1e-9 * gas_usd
            if surplus - fee < terms.min_profit_usd or bid < base_fee[w]:
                continue
            reserves[pool, side] += received
            reserves[pool, 1 - side] -= out
            sent += 1
            bundle = terms.account * 4096 + sent
            for j in range(FLASH_ROWS):
                row = rows[n + j]
                verb, venue = FLASH_BORROW, terms.venue
                if j == 1:
                    verb = LIQUIDATE
                elif j == 2:
                    verb, venue = SWAP, pools.venues[pool]
                elif j == 3:
                    verb = FLASH_REPAY
                fill(row, w, venue, verb, terms.account, bid, base_fee[w], terms.gas / FLASH_ROWS,
                     terms.latency, terms.step, bundle)  # fmt: skip
                row.asset = c if j == 1 or j == 2 else d
                row.asset_2 = d if j == 1 or j == 2 else -1
                row.amount = received if j == 2 else amount
                if j == 1:
                    row.target = table.position[k]
            rows[n + 2].limit = amount * owed
            n += FLASH_ROWS
    return n


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
        max_positions: int = 10,
        market: str = "lending",
        **terms: Any,
    ) -> None:
        super().__init__(**terms)
        if style not in ("inventory", "flash"):
            raise ConfigError(f"style must be inventory or flash, got {style!r}")
        if max_positions < 1 or max_positions > 4095:
            raise ConfigError(f"max_positions must lie in [1, 4095], got {max_positions}")
        self.style, self.gas, self.market_name = style, float(gas), market
        self.max_positions = max_positions

    def bind(self, world: World) -> None:
        """Endow the account and find the markets."""
        super().bind(world)
        market, exit_market = world.venues.get(self.market_name), world.market
        if not isinstance(market, PooledMarket):
            raise ConfigError(
                f"{self.name}.market must name a pooled lending market, got {self.market_name!r}; "
                f"known venues: {', '.join(world.venues)}"
            )
        if not isinstance(exit_market, OutsideMarket):
            raise ConfigError(f"{self.name} can sell on an outside market only; choose one")
        self.market, self.outside = market, exit_market
        self.planned, self.budget = np.zeros(world.n_assets), np.zeros(world.n_assets)

    @property
    def least_call(self) -> tuple[float, float]:
        """Gas of one call and least profit in USD."""
        return self.gas, self.min_profit_usd

    def decide(self, view: View) -> Rows:
        """Liquidations that pay, and exits outside."""
        table = view.opportunities(self.market)
        n = 0
        if table.position.shape[0]:
            terms = Terms(
                self.account, self.market.account, self.market.index, self.gas, self.gas_cap,
                self.bid_share, self.min_profit_usd, self.latency_seconds, self.max_positions,
                view.gas_asset, view.step,
            )  # fmt: skip
            write = self._flash if self.style == "flash" else self._inventory
            n = write(view, table, terms)
        return join_rows([self.buffer.take(n), self.exits.take(self.write_exits(view))])

    def _room(self, view: View, per_position: int) -> Rows:
        return self.buffer.room(view.n_worlds * self.max_positions * per_position)

    def _inventory(self, view: View, table: Opportunities, terms: Terms) -> int:
        return decide_inventory(
            self.market.state, self.outside.state, self.world.fundamental, table,
            view.balances, view.oracle_price, view.market_price, view.base_fee, view.clearing,
            self.planned, self.budget, terms, self._room(view, 1),
        )  # fmt: skip

    def _flash(self, view: View, table: Opportunities, terms: Terms) -> int:
        pools = view.pools()
        return decide_flash(
            self.market.state, pools, table, view.balances, view.oracle_price,
            view.market_price, view.base_fee, view.clearing,
            np.zeros((pools.assets.shape[0], 2)), terms, self._room(view, FLASH_ROWS),
        )  # fmt: skip
