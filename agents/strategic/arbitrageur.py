"""Arbitrageurs pull pools and the outside market together, whatever the pools' invariants."""

from typing import Any, NamedTuple

import numpy as np

from agents.strategic.trader import Trader, gas_bid
from agents.view import PoolBoard, View
from sim.actions import Verb, join_rows, take_rows
from sim.amm.concentrated import ConcentratedPool
from sim.amm.constant_product import amount_out, profit_maximising_input
from sim.amm.stableswap import StableSwapPool
from sim.kernel import F64, I64, U64, Rows, inlined, kernel
from sim.pools import Pool, best_swap
from sim.streams import uniform
from sim.world import World

SWAP = int(Verb.SWAP)


class Terms(NamedTuple):
    """Scalars of the decision."""

    account: int
    gas: float
    gas_cap: float
    bid_share: float
    min_profit_usd: float
    margin: float  # outside cost of closing the position, fraction
    latency: float
    gas_asset: int
    step: int


@inlined
def write_swap(
    row: Any, terms: Terms, w: int, venue: int, a: int, b: int, amount: float, cost: float,
    value: float, surplus: float, gas_usd: float, base_fee: float, clearing: float,
) -> bool:  # fmt: skip
    """Write a swap of asset a for b with `surplus` USD before gas, if it pays; whether it does."""
    if surplus <= terms.min_profit_usd:
        return False
    bid = gas_bid(surplus, terms.bid_share, clearing, base_fee, terms.gas_cap, terms.gas, gas_usd)
    fee = terms.gas * bid * 1e-9 * gas_usd
    if surplus - fee < terms.min_profit_usd or bid < base_fee:
        return False
    row["world"] = w
    row["venue"] = venue
    row["verb"] = SWAP
    row["account"] = terms.account
    row["asset"] = a
    row["asset_2"] = b
    row["amount"] = amount
    row["limit"] = (amount * cost + fee) / value
    row["arrival"] = terms.latency
    row["tip"] = bid - base_fee
    row["fee_cap"] = bid
    row["gas"] = terms.gas
    row["expires"] = terms.step
    row["step"] = terms.step
    return True


@kernel
def decide(
    pools: PoolBoard, balances: F64, market: F64, base_fee: F64, clearing: F64, terms: Terms,
    rows: Rows,
) -> int:  # fmt: skip
    """Write one swap per pool whose price is far enough from the outside mid; return the number.

    The amount maximises profit at outside mids less the margin, within what the account holds.
    """
    n = 0
    for w in range(market.shape[0]):
        for k in range(pools.assets.shape[0]):
            for side in range(2):
                a, b = pools.assets[k, side], pools.assets[k, 1 - side]
                reserve_in, reserve_out = pools.reserves[w, k, side], pools.reserves[w, k, 1 - side]
                cost = market[w, a] * (1.0 + terms.margin)
                value = market[w, b] * (1.0 - terms.margin)
                amount = profit_maximising_input(
                    reserve_in, reserve_out, pools.fees[k], cost / value
                )
                if amount <= 0.0:
                    continue
                held = balances[w, terms.account, a]
                if a == terms.gas_asset:
                    held *= 0.9
                amount = min(amount, held)
                out = amount_out(amount, reserve_in, reserve_out, pools.fees[k])
                surplus = out * value - amount * cost
                if write_swap(
                    rows[n], terms, w, pools.venues[k], a, b, amount, cost, value, surplus,
                    market[w, terms.gas_asset], base_fee[w], clearing[w],
                ):  # fmt: skip
                    n += 1
    return n


@kernel
def decide_pool(
    pool: Pool, venue: int, balances: F64, market: F64, base_fee: F64, clearing: F64,
    world_ids: I64, key: U64, attention: float, terms: Terms, rows: Rows,
) -> int:  # fmt: skip
    """Write at most one swap per world with one pool of any kind: the pair that pays most.

    With `attention` under 1 the pool is looked at with that chance.
    """
    n = 0
    for w in range(market.shape[0]):
        if attention < 1.0 and not uniform(key, world_ids[w], terms.step, venue) < attention:
            continue
        best, best_amount, best_i, best_j = 0.0, 0.0, -1, -1
        for i in range(pool.assets.shape[0]):
            for j in range(pool.assets.shape[0]):
                if i == j:
                    continue
                a, b = pool.assets[i], pool.assets[j]
                cost = market[w, a] * (1.0 + terms.margin)
                value = market[w, b] * (1.0 - terms.margin)
                held = balances[w, terms.account, a]
                if a == terms.gas_asset:
                    held *= 0.9
                amount, out = best_swap(pool, w, i, j, cost / value, held)
                surplus = out * value - amount * cost
                if surplus > best:
                    best, best_amount, best_i, best_j = surplus, amount, i, j
        if best_i < 0:
            continue
        a, b = pool.assets[best_i], pool.assets[best_j]
        if write_swap(
            rows[n], terms, w, venue, a, b, best_amount, market[w, a] * (1.0 + terms.margin),
            market[w, b] * (1.0 - terms.margin), best, market[w, terms.gas_asset], base_fee[w],
            clearing[w],
        ):  # fmt: skip
            n += 1
    return n


class Arbitrageur(Trader):
    """A trader limited by capital and gas who buys where it is cheap and closes outside.

    It trades all pools of the world: constant product, concentrated liquidity, StableSwap.

    Parameters
    ----------
    gas : float
        Units of gas per swap.
    margin_bps : float
        Outside cost of closing, spread and impact, basis points per side.
    **terms
        See `Trader`.
    """

    def __init__(self, *, gas: float = 150_000.0, margin_bps: float = 5.0, **terms: Any) -> None:
        super().__init__(**terms)
        self.gas, self.margin = float(gas), margin_bps / 1e4

    def bind(self, world: World) -> None:
        """Endow the account and find the pools that are not on the view's board."""
        super().bind(world)
        self.others = [
            venue
            for venue in world.venues.values()
            if isinstance(venue, ConcentratedPool | StableSwapPool)
        ]
        self.key: U64 = np.zeros(2, np.uint64)  # of no draw: it looks at all pools

    def terms(self, view: View) -> Terms:
        """Scalars of the decision in the open block."""
        return Terms(
            self.account, self.gas, self.gas_cap, self.bid_share, self.min_profit_usd, self.margin,
            self.latency_seconds, view.gas_asset, view.step,
        )  # fmt: skip

    def decide(self, view: View) -> Rows:
        """Write swaps on the pools, and exits outside."""
        pools, terms = view.pools(), self.terms(view)
        n = decide(
            pools, view.balances, view.market_price, view.base_fee, view.clearing, terms,
            self.buffer.room(view.n_worlds * pools.assets.shape[0] * 2),
        )  # fmt: skip
        if not self.others:
            return self.rows_and_exits(n, view)
        parts = [self.buffer.take(n)]
        for venue in self.others:
            n = decide_pool(
                venue.state, venue.index, view.balances, view.market_price, view.base_fee,
                view.clearing, view.world_ids, self.key, 1.0, terms,
                self.buffer.room(view.n_worlds),
            )  # fmt: skip
            parts.append(self.buffer.take(n))
        rows = join_rows(parts)
        by_world = np.argsort(rows["world"], kind="stable")
        return self.with_exits(take_rows(rows, by_world), view)
