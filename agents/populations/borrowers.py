"""Borrowers of one pooled market as a population: one Mesa agent, arrays of positions.

Each borrower looks at the position at own intervals and, when health has crossed an own trigger,
tops up, repays or withdraws towards an own target, after an own delay and only where gas is a small
part of what is moved. Some never react. The population has one account; the positions are claims in
the lending market's own arrays.

What a failed transaction was meant to spend is not tried again: the wallet counts it as spent.
"""

from typing import Any, NamedTuple

import numpy as np

from agents.agent import MarketAgent, RowBuffer
from agents.populations.behaviour import BorrowerParams, Reaction, calendar, draw_traits
from agents.populations.book import BookSource, LoanBook
from agents.view import View
from sim.actions import Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, inlined, kernel
from sim.lending.market import LendingMarket
from sim.lending.state import PooledState
from sim.state import Arena
from sim.world import World

SUPPLY, WITHDRAW, REPAY = int(Verb.SUPPLY), int(Verb.WITHDRAW), int(Verb.REPAY)
NEVER = int(Reaction.NEVER)
TOP_UP, REPAYS, RELEVERAGE = int(Reaction.TOP_UP), int(Reaction.REPAY), int(Reaction.RELEVERAGE)


class Habits(NamedTuple):
    """Traits by position, in calendar order; see `BorrowerTraits` for the units."""

    reaction: I64
    trigger: F64
    target: F64
    delay: F64
    gas_tolerance: F64
    fee_cap: F64
    health: F64  # health factor at the start


class Terms(NamedTuple):
    """Scalars of the decision."""

    account: int
    venue: int
    first: int  # market index of the population's first position
    gas: float  # units per transaction
    bid: float  # bid over the last clearing price, ratio
    patience: int  # blocks until a transaction expires
    gas_asset: int
    step: int


@kernel
def largest(values: F64, w: int, position: int, price: F64) -> int:
    """Asset in which a position holds most USD; indices are so near to 1 that they are left out."""
    best, most = 0, -1.0
    for a in range(values.shape[2]):
        usd = values[w, position, a] * price[w, a]
        if usd > most:
            best, most = a, usd
    return best


class Bounds(NamedTuple):
    """What bounds the health of all positions that nobody has changed since the start.

    Health now is at least health then times the least move of any collateral over the largest move
    of any debt. Most inspections end there, without a look at the position itself. What somebody
    else gives to a position can go unnoticed by an owner who waits for ample health.
    """

    weights: F64  # (2, asset) USD of a scaled unit as collateral and as debt; work space
    initial: F64  # (2, asset) the same at the start
    lowest: F64  # (world,) least ratio of health ever since
    highest: F64  # (world,) largest ratio of health ever since


@inlined
def update_bounds(bounds: Bounds, state: PooledState, prices: F64, w: int) -> None:
    """Write the weights of one world and fold its moves into the bounds."""
    least, most, debt_least, debt_most = np.inf, 0.0, np.inf, 0.0
    for a in range(prices.shape[1]):
        reserve = state.reserves[w, a]
        value = prices[w, a] * reserve["liquidity_index"]
        bounds.weights[0, a] = value * reserve["liquidation_threshold"]
        bounds.weights[1, a] = prices[w, a] * reserve["borrow_index"]
        if bounds.initial[0, a] > 0.0:
            least = min(least, bounds.weights[0, a] / bounds.initial[0, a])
            most = max(most, bounds.weights[0, a] / bounds.initial[0, a])
        debt_least = min(debt_least, bounds.weights[1, a] / bounds.initial[1, a])
        debt_most = max(debt_most, bounds.weights[1, a] / bounds.initial[1, a])
    bounds.lowest[w] = min(bounds.lowest[w], least / debt_most)
    bounds.highest[w] = max(bounds.highest[w], most / debt_least)


@inlined
def at_rest(bounds: Bounds, habits: Habits, w: int, i: int) -> bool:
    """Whether an unchanged position cannot have crossed its trigger, nor been liquidated."""
    low = habits.health[i] * bounds.lowest[w] * (1.0 - 1e-9)
    if habits.reaction[i] == RELEVERAGE:
        high = habits.health[i] * bounds.highest[w] * (1.0 + 1e-9)
        return bool(low > 1.0 and high < habits.trigger[i])
    return bool(low > habits.trigger[i])


@inlined
def wish(
    state: PooledState, prices: F64, w: int, p: int, kind: int, weighted: float, debt: float,
    target: float,
) -> tuple[int, int, float]:  # fmt: skip
    """Verb, asset and USD that bring a position to its owner's target health."""
    if kind == REPAYS:
        return REPAY, largest(state.debt, w, p, prices), debt - weighted / target
    a = largest(state.collateral, w, p, prices)
    threshold = max(state.reserves[w, a]["liquidation_threshold"], 1e-9)
    if kind == TOP_UP:
        return SUPPLY, a, (target * debt - weighted) / threshold
    return WITHDRAW, a, (weighted - target * debt) / threshold


@kernel
def decide(
    state: PooledState, prices: F64, base_fee: F64, clearing: F64, ranges: I64, habits: Habits,
    wallet: F64, busy: F64, bounds: Bounds, terms: Terms, rows: Rows,
) -> int:  # fmt: skip
    """Write one row per borrower who acts in this block; return their number.

    Parameters
    ----------
    state : PooledState
    prices : array (world, asset)
        What the lending market reads, USD.
    base_fee, clearing : array (world,)
        Gwei.
    ranges : array (class, 2)
        Positions that inspect in this block.
    habits : Habits
    wallet : array (world, position)
        Spare funds, whole tokens of the position's main collateral (top-up) or debt (repay).
    busy : array (world, position)
        Step until which a sent transaction is awaited; 0 before the first.
    bounds : Bounds
    terms : Terms
    rows : structured array
        Room for one row per inspecting position and world.
    """
    n = 0
    for w in range(prices.shape[0]):
        bid = max(base_fee[w], clearing[w]) * terms.bid
        gas_usd = terms.gas * bid * 1e-9 * prices[w, terms.gas_asset]
        update_bounds(bounds, state, prices, w)
        for k in range(ranges.shape[0]):
            for i in range(ranges[k, 0], ranges[k, 1]):
                kind = habits.reaction[i]
                if kind == NEVER or busy[w, i] > terms.step:
                    continue
                if busy[w, i] == 0.0 and at_rest(bounds, habits, w, i):
                    continue
                p = terms.first + i
                weighted, debt = 0.0, 0.0
                for a in range(prices.shape[1]):
                    weighted += state.collateral[w, p, a] * bounds.weights[0, a]
                    debt += state.debt[w, p, a] * bounds.weights[1, a]
                if debt <= 0.0:
                    continue
                if (weighted / debt < habits.trigger[i]) == (kind == RELEVERAGE):
                    continue
                verb, a, usd = wish(state, prices, w, p, kind, weighted, debt, habits.target[i])
                if kind != RELEVERAGE:
                    usd = min(usd, wallet[w, i] * prices[w, a])
                if usd <= 0.0 or gas_usd > habits.gas_tolerance[i] * usd:
                    continue
                row = rows[n]
                n += 1
                row["world"] = w
                row["venue"] = terms.venue
                row["verb"] = verb
                row["account"] = terms.account
                row["target"] = p
                row["asset"] = a
                row["amount"] = usd / prices[w, a]
                row["arrival"] = habits.delay[i]
                row["fee_cap"] = habits.fee_cap[i]
                row["tip"] = max(bid - base_fee[w], 0.1)
                row["gas"] = terms.gas
                row["expires"] = terms.step + terms.patience
                row["step"] = terms.step
                busy[w, i] = terms.step + terms.patience
                if kind != RELEVERAGE:
                    wallet[w, i] = max(wallet[w, i] - row["amount"], 0.0)
    return n


class Borrowers(MarketAgent):
    """A population of borrowers in one pooled lending market.

    Parameters
    ----------
    book : BookSource or LoanBook
        Where the positions come from.
    market : str
        Name of the lending market.
    behaviour : mapping, optional
        Fields of `BorrowerParams`.
    gas : float
        Units of gas per transaction.
    bid : float
        What is bid per unit of gas, as a multiple of the last clearing price.
    patience_hours : float
        After this a transaction expires and the borrower may try again.
    gas_money : float
        Whole tokens of the gas asset that the population holds for fees.
    traits_seed : int
        Seed of the traits; the same in every world, as the book is.
    """

    def __init__(
        self,
        *,
        book: BookSource | LoanBook,
        market: str = "lending",
        behaviour: dict[str, Any] | None = None,
        gas: float = 250_000.0,
        bid: float = 1.2,
        patience_hours: float = 1.0,
        gas_money: float = 10_000.0,
        traits_seed: int = 7,
    ) -> None:
        self.book_source, self.market_name = book, market
        self.params = BorrowerParams(**(behaviour or {}))
        self.gas, self.bid = float(gas), float(bid)
        self.patience_hours, self.gas_money = patience_hours, gas_money
        self.traits_seed = traits_seed

    def enroll(self, world: World) -> None:
        """Draw the book and its owners' traits, and bring the positions to the market."""
        market = world.venues.get(self.market_name)
        if not isinstance(market, LendingMarket):
            raise ConfigError(
                f"{self.name}.market must name a lending market, got {self.market_name!r}; "
                f"known venues: {', '.join(world.venues)}"
            )
        prices = world.fundamental[0]
        thresholds = market.term("liquidation_threshold", world.assets)
        ltv = market.term("ltv", world.assets)
        book = self.book_source
        if isinstance(book, BookSource):
            book = book.draw(world.assets, prices, thresholds, ltv)
        else:
            book = book.aligned(world.assets)
        collateral, owed = market.restate(world.assets, prices, book.collateral, book.debt)
        book = LoanBook(book.assets, collateral, owed, book.ids)
        health = book.health_factor(prices, thresholds)
        traits = draw_traits(self.params, len(book), self.traits_seed, health)
        self.calendar = calendar(traits, world.block_seconds)
        self.book = book.take(self.calendar.order)
        self.traits = traits.take(self.calendar.order)
        self.first = market.add_positions(self.account, self.book.collateral, self.book.debt).start
        self.market = market

    def bind(self, world: World) -> None:
        """Fill the wallets and endow the account with what they hold."""
        n = len(self.book)
        t = self.traits
        prices = world.fundamental[0]
        state = self.market.state
        initial = np.zeros((2, world.n_assets))
        initial[0] = prices * state.reserves["liquidity_index"][0]
        initial[0] *= state.reserves["liquidation_threshold"][0]
        initial[1] = prices * state.reserves["borrow_index"][0]
        owed = self.book.debt @ initial[1]
        health = np.full(n, np.inf)
        np.divide(self.book.collateral @ initial[0], owed, out=health, where=owed > 0.0)
        self.habits = Habits(
            t.reaction, t.trigger, t.target, t.delay, t.gas_tolerance, t.fee_cap, health
        )
        main = np.where(
            t.reaction == Reaction.REPAY,
            np.argmax(self.book.debt * prices, axis=1),
            np.argmax(self.book.collateral * prices, axis=1),
        )
        usd = t.wallet * self.book.collateral_usd(prices)
        tokens = np.where(t.reaction == Reaction.NEVER, 0.0, usd / prices[main])
        tokens[t.reaction == Reaction.RELEVERAGE] = 0.0
        fields = {"wallet": (n,), "busy": (n,), "lowest": (), "highest": ()}
        self.arena = Arena(world.n_worlds, fields)
        self.arena["wallet"][:] = tokens
        self.arena["lowest"][:] = self.arena["highest"][:] = 1.0
        self.bounds = Bounds(
            np.zeros_like(initial), initial, self.arena["lowest"], self.arena["highest"]
        )
        for asset in range(world.n_assets):
            held = float(tokens[main == asset].sum())
            if asset == world.gas_asset:
                held += self.gas_money
            world.ledger.endow(self.account, asset, held)
        self.patience = max(1, round(self.patience_hours * 3600.0 / world.block_seconds))
        self.buffer = RowBuffer()

    def decide(self, view: View) -> Rows:
        """Rows of the borrowers who act in this block."""
        ranges = self.calendar.ranges(view.step)
        looking = int((ranges[:, 1] - ranges[:, 0]).sum())
        if looking == 0:
            return self.buffer.take(0)
        terms = Terms(
            self.account, self.market.index, self.first, self.gas, self.bid, self.patience,
            view.gas_asset, view.step,
        )  # fmt: skip
        n = decide(
            self.market.state, view.oracle_price, view.base_fee, view.clearing, ranges,
            self.habits, self.arena["wallet"], self.arena["busy"], self.bounds, terms,
            self.buffer.room(looking * view.n_worlds),
        )  # fmt: skip
        return self.buffer.take(n)
