"""Buyers of what Comet absorbs: they have unhealthy accounts taken over, and shop at its store.

Comet pays nobody for an absorption. What pays is the discount at which the protocol then sells the
collateral, so a buyer absorbs an account in one bundle with the purchases that this makes possible,
and buys what others left at the store front by single rows. It buys until the next token would
bring no more outside than it costs, within its capital, and sells in the blocks that follow.
"""

from typing import Any, NamedTuple

import numpy as np

from agents.strategic.calls import SAFE, Sight, Terms, bid_for, write
from agents.strategic.keeper import attends, hopeless, plain_bid
from agents.strategic.trader import Trader
from agents.view import View
from sim.actions import BUNDLE_ROWS, Verb
from sim.errors import ConfigError
from sim.kernel import F64, Rows, kernel
from sim.lending.comet import CometTerms, quote_collateral
from sim.lending.comet_market import CometMarket
from sim.lending.opportunities import Opportunities
from sim.lending.state import PooledState
from sim.quotes import Market, Quotes, proceeds_of, sale_down_to
from sim.streams import stream_key
from sim.world import World

ABSORB, BUY_COLLATERAL = int(Verb.ABSORB), int(Verb.BUY_COLLATERAL)
STORE = 1 << 24  # place of the store's shelves among the draws of attention, after the accounts


class Cart(NamedTuple):
    """Work space of one world: what is bought so far, and what is thought of."""

    planned: F64  # (asset,) bought in this block, whole tokens
    quantity: F64  # (asset,) best purchase, whole tokens
    gain: F64  # (asset,) what it brings before gas, USD
    purse: F64  # (3,) base tokens: not spent; reserves as they will be; what absorbing would cost


@kernel
def unit_cost(sight: Sight, own: CometTerms, w: int, a: int) -> float:
    """Tell what a whole token of collateral costs at the store front, in base tokens."""
    return 1.0 / quote_collateral(
        1.0, sight.oracle[w, own.base], sight.oracle[w, a], own.store[w, 0],
        own.liquidation_factor[w, a],
    )  # fmt: skip


@kernel
def weigh(
    cart: Cart, quotes: Quotes, reference: F64, sight: Sight, own: CometTerms, w: int, a: int,
    stock: float, budget: float,
) -> None:  # fmt: skip
    """Find the purchase of an asset that brings most, of at most `stock` for `budget`."""
    cart.quantity[a], cart.gain[a] = 0.0, 0.0
    cost = unit_cost(sight, own, w, a)
    usd = cost * sight.market[w, own.base]
    if not (stock > 0.0 and budget > 0.0 and sight.market[w, a] > usd):
        return
    planned = cart.planned[a]
    amount = min(sale_down_to(quotes, reference, w, a, usd) - planned, stock)
    amount = min(amount, budget / cost * SAFE)
    if not amount > 0.0:
        return
    proceeds = proceeds_of(quotes, reference, w, a, planned + amount)
    if planned > 0.0:
        proceeds -= proceeds_of(quotes, reference, w, a, planned)
    cart.quantity[a], cart.gain[a] = amount, proceeds - amount * usd


@kernel
def write_purchase(
    cart: Cart, sight: Sight, own: CometTerms, terms: Terms, w: int, a: int, bid: float, row: Any
) -> None:
    """Write the purchase that `weigh` found, and count it as made."""
    write(row, terms, w, terms.venue, BUY_COLLATERAL, bid, sight.base_fee[w])
    paid = cart.quantity[a] * unit_cost(sight, own, w, a)
    row["asset"] = a
    row["asset_2"] = own.base
    row["amount"] = paid
    row["limit"] = cart.quantity[a] * SAFE
    cart.planned[a] += cart.quantity[a]
    cart.purse[0] -= paid
    cart.purse[1] += paid


@kernel
def buy_stock(
    state: PooledState, own: CometTerms, quotes: Quotes, reference: F64, cart: Cart, sight: Sight,
    terms: Terms, w: int, rows: Rows, n: int,
) -> int:  # fmt: skip
    """Write purchases of what the protocol has, the best first, from the n-th row; the next."""
    for _ in range(reference.shape[1]):
        best, bid = -1, -1.0
        if not cart.purse[1] < own.store[w, 1]:
            break
        for a in range(reference.shape[1]):
            if a == own.base or cart.planned[a] > 0.0 or not attends(sight, terms, w, STORE + a):
                continue
            stock = state.reserves[w, a]["surplus"]
            weigh(cart, quotes, reference, sight, own, w, a, stock, cart.purse[0])
            if best < 0 or cart.gain[a] > cart.gain[best]:
                best = a
        if best >= 0:
            bid = bid_for(sight, terms, w, cart.gain[best], terms.gas)
        if bid < 0.0:
            break
        write_purchase(cart, sight, own, terms, w, best, bid, rows[n])
        n += 1
    return n


@kernel
def fill_cart(
    state: PooledState, own: CometTerms, quotes: Quotes, reference: F64, cart: Cart, sight: Sight,
    terms: Terms, w: int, p: int,
) -> tuple[float, int]:  # fmt: skip
    """Weigh what an absorbed account would put up; USD gained by what pays, and rows for that."""
    base = own.base
    budget, gained, n = cart.purse[0], 0.0, 0
    gas_usd = terms.gas * plain_bid(sight, terms, w) * 1e-9 * sight.market[w, terms.gas_asset]
    credit = 0.0
    for a in range(reference.shape[1]):
        if a != base:
            credit += state.collateral[w, p, a] * sight.oracle[w, a] * own.liquidation_factor[w, a]
    owed = state.debt[w, p, base] * state.reserves[w, base]["borrow_index"]
    cart.purse[2] = max(credit / sight.oracle[w, base], owed)
    reserves = cart.purse[1] - cart.purse[2]
    for a in range(reference.shape[1]):
        cart.quantity[a], cart.gain[a] = 0.0, 0.0
        if a == base or n == BUNDLE_ROWS - 1 or not reserves < own.store[w, 1]:
            continue
        weigh(cart, quotes, reference, sight, own, w, a, state.collateral[w, p, a], budget)
        if cart.gain[a] <= gas_usd:
            cart.quantity[a] = 0.0
            continue
        paid = cart.quantity[a] * unit_cost(sight, own, w, a)
        budget -= paid
        reserves += paid
        gained += cart.gain[a]
        n += 1
    return gained, n


@kernel
def write_absorption(
    cart: Cart, sight: Sight, own: CometTerms, terms: Terms, w: int, p: int, bid: float,
    gas_absorb: float, bundle: int, rows: Rows, n: int,
) -> int:  # fmt: skip
    """Write the bundle that `fill_cart` found, from the n-th row; return the next."""
    first = n
    write(rows[n], terms, w, terms.venue, ABSORB, bid, sight.base_fee[w])
    rows[n]["gas"] = gas_absorb
    rows[n]["target"] = p
    rows[n]["amount"] = np.inf
    n += 1
    cart.purse[1] -= cart.purse[2]
    for a in range(cart.quantity.shape[0]):
        if cart.quantity[a] > 0.0:
            write_purchase(cart, sight, own, terms, w, a, bid, rows[n])
            n += 1
    for i in range(first, n):
        rows[i]["bundle"] = bundle
    return n


@kernel
def decide_comet(
    state: PooledState, own: CometTerms, quotes: Quotes, reference: F64, table: Opportunities,
    cart: Cart, sight: Sight, terms: Terms, gas_absorb: float, rows: Rows,
) -> int:  # fmt: skip
    """Write purchases of what is for sale, and absorptions with theirs; return the rows."""
    n = 0
    for w in range(sight.market.shape[0]):
        if hopeless(sight, terms, w):
            continue
        for a in range(reference.shape[1]):
            cart.planned[a] = 0.0
        cart.purse[0] = sight.balances[w, terms.account, own.base]
        if own.base == terms.gas_asset:
            cart.purse[0] *= 0.9
        cart.purse[1] = state.reserves[w, own.base]["surplus"]
        n = buy_stock(state, own, quotes, reference, cart, sight, terms, w, rows, n)
        sent = 0
        for k in range(table.starts[w], table.starts[w + 1]):
            p = table.position[k]
            if sent == terms.max_positions or not cart.purse[0] > 0.0:
                break
            if not attends(sight, terms, w, p):
                continue
            gained, bought = fill_cart(state, own, quotes, reference, cart, sight, terms, w, p)
            if bought == 0:
                continue
            gas = gas_absorb + bought * terms.gas
            bid = bid_for(sight, terms, w, gained, gas)
            if bid < 0.0:
                continue
            sent += 1
            bundle = terms.account * 4096 + sent
            n = write_absorption(cart, sight, own, terms, w, p, bid, gas_absorb, bundle, rows, n)
    return n


class CollateralBuyer(Trader):
    """One buyer at a Comet's store front, in all worlds.

    Parameters
    ----------
    market : str
        Name of the Comet.
    gas, gas_absorb : float
        Units of gas of a purchase, and of an absorption.
    max_positions : int
        Accounts absorbed per block.
    attention : float
        Chance that an account, or what is for sale of one asset, is looked at in a block.
    **terms
        See `Trader`; `cash` should be the market's base asset.
    """

    def __init__(
        self,
        *,
        market: str = "lending",
        gas: float = 150_000.0,
        gas_absorb: float = 350_000.0,
        max_positions: int = 20,
        attention: float = 0.8,
        **terms: Any,
    ) -> None:
        super().__init__(**terms)
        if not (gas > 0.0 and gas_absorb > 0.0):
            raise ConfigError(f"gas and gas_absorb must be positive, got {gas} and {gas_absorb}")
        if max_positions < 1 or max_positions > 4095:
            raise ConfigError(f"max_positions must lie in [1, 4095], got {max_positions}")
        if not 0.0 < attention <= 1.0:
            raise ConfigError(f"attention must lie in (0, 1], got {attention}")
        self.market_name, self.attention = market, float(attention)
        self.gas, self.gas_absorb = float(gas), float(gas_absorb)
        self.max_positions = max_positions

    def bind(self, world: World) -> None:
        """Endow the account and find the markets."""
        super().bind(world)
        market, exit_market = world.venues.get(self.market_name), world.market
        if not isinstance(market, CometMarket):
            raise ConfigError(
                f"{self.name}.market must name a Comet (lending=compound_v3), got "
                f"{self.market_name!r}; known venues: {', '.join(world.venues)}"
            )
        if not isinstance(exit_market, Market):
            raise ConfigError(
                f"{self.name} can sell on a market that quotes only; choose outside or order_book"
            )
        self.market, self.exit_market = market, exit_market
        n = world.n_assets
        self.cart = Cart(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(3))
        self.key = stream_key(world.seed, f"attention.{self.name}")

    @property
    def least_call(self) -> tuple[float, float, float]:
        """Gas, least profit in USD and gas cap in gwei of an absorption with one purchase."""
        return self.gas + self.gas_absorb, self.min_profit_usd, self.gas_cap

    def decide(self, view: View) -> Rows:
        """Purchases and absorptions that pay, and exits outside."""
        market = self.market
        table = view.opportunities(market)
        sight = Sight(
            view.balances, view.oracle_price, view.market_price, view.base_fee, view.clearing,
            view.world_ids, self.key,
        )  # fmt: skip
        terms = Terms(
            self.account, market.account, market.index, self.gas, self.gas_cap, self.bid_share,
            self.min_profit_usd, self.latency_seconds, self.max_positions, self.attention, 1.0,
            view.gas_asset, view.step,
        )  # fmt: skip
        n_assets = view.market_price.shape[1]
        room = view.n_worlds * (n_assets + self.max_positions * min(n_assets, BUNDLE_ROWS))
        n = decide_comet(
            market.state, market.own, self.exit_market.quotes(),
            self.exit_market.reference_prices(), table, self.cart, sight, terms, self.gas_absorb,
            self.buffer.room(room),
        )  # fmt: skip
        return self.rows_and_exits(n, view)
