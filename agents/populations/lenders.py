"""Lenders of one pooled market: they withdraw when utilisation rises, and come back when it falls.

A lender is a position with supply and no debt. Each looks at own intervals, withdraws everything
that can be had once utilisation is above an own threshold, and returns it below another, so far as
the tokens that the population took out reach: interest that it missed stays missing.
"""

from typing import NamedTuple

import numpy as np

from agents.agent import MarketAgent, RowBuffer
from agents.view import View
from sim.actions import NO_ROWS, Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, kernel
from sim.lending.market import LendingMarket
from sim.lending.rates import utilisation
from sim.lending.state import PooledState
from sim.state import Arena
from sim.world import World

CRUMB = 1e-6  # of the first supply; less is not worth a transaction
SUPPLY, WITHDRAW = int(Verb.SUPPLY), int(Verb.WITHDRAW)


class Habits(NamedTuple):
    """Arrays by lender."""

    asset: I64
    leave_above: F64  # utilisation
    return_below: F64  # utilisation
    period: I64  # blocks between two looks
    phase: I64  # first look
    home: F64  # scaled supply at the start: what is missing of it is out, and may return


class Terms(NamedTuple):
    """Scalars of the decision."""

    account: int
    custody: int  # ledger account of the market
    venue: int
    first: int
    gas: float
    bid: float
    step: int


@kernel
def decide(
    state: PooledState, balances: F64, base_fee: F64, clearing: F64, due: I64, habits: Habits,
    terms: Terms, rows: Rows,
) -> int:  # fmt: skip
    """Write one row per lender who moves in this block; return their number.

    `due` lists the lenders who look in this block.

    Lenders of one asset stand together; they ask for no more than the cash, and return no more than
    the account holds, all together.
    """
    n = 0
    for w in range(base_fee.shape[0]):
        bid = max(base_fee[w], clearing[w]) * terms.bid
        last = -1
        left, purse = 0.0, 0.0
        for j in range(due.shape[0]):
            i = due[j]
            a = habits.asset[i]
            if a != last:
                last, left, purse = a, balances[w, terms.custody, a], balances[w, terms.account, a]
            reserve = state.reserves[w, a]
            p = terms.first + i
            index = reserve["liquidity_index"]
            supplied = state.collateral[w, p, a] * index
            missing = habits.home[i] * index - supplied
            cash = balances[w, terms.custody, a]
            used = utilisation(reserve["total_debt"] * reserve["borrow_index"], cash)
            if used > habits.leave_above[i]:
                verb = WITHDRAW
                amount = min(supplied, left)
                left -= amount
            elif used < habits.return_below[i]:
                verb = SUPPLY
                amount = min(missing, purse)
                purse -= amount
            else:
                continue
            if amount <= CRUMB * habits.home[i] * index:
                continue
            row = rows[n]
            n += 1
            row["world"] = w
            row["venue"] = terms.venue
            row["verb"] = verb
            row["account"] = terms.account
            row["target"] = p
            row["asset"] = a
            row["amount"] = amount
            row["tip"] = max(bid - base_fee[w], 0.1)
            row["gas"] = terms.gas
            row["expires"] = terms.step
            row["step"] = terms.step
    return n


class Lenders(MarketAgent):
    """A population of lenders that supplies what the borrowers of a market owe, and more.

    Comes after the borrowers in the configuration: it supplies each borrowed asset up to the wanted
    utilisation.

    Parameters
    ----------
    n_lenders : int
        Lenders per borrowed asset; sizes follow a Zipf law.
    utilisation : float
        Share of each reserve lent out at the start.
    leave_above, return_below : float
        Median thresholds of utilisation.
    spread : float
        Half-width of the uniform heterogeneity of both thresholds.
    interval_seconds : float
        Time between two looks; phases differ.
    market : str
        Name of the lending market.
    gas, bid, gas_money : float
        As for borrowers.
    """

    def __init__(
        self,
        *,
        n_lenders: int = 24,
        utilisation: float = 0.75,
        leave_above: float = 0.92,
        return_below: float = 0.80,
        spread: float = 0.05,
        interval_seconds: float = 3600.0,
        market: str = "lending",
        gas: float = 250_000.0,
        bid: float = 1.2,
        gas_money: float = 1_000.0,
    ) -> None:
        if not 0.0 < utilisation <= 1.0:
            raise ConfigError(f"lenders.utilisation must lie in (0, 1], got {utilisation}")
        if not return_below < leave_above:
            raise ConfigError(
                f"lenders.return_below must be under leave_above, got {return_below} and "
                f"{leave_above}; lower return_below"
            )
        if n_lenders < 1:
            raise ConfigError(f"lenders.n_lenders must be at least 1, got {n_lenders}")
        self.n_lenders, self.utilisation = n_lenders, utilisation
        self.leave_above, self.return_below, self.spread = leave_above, return_below, spread
        self.interval_seconds, self.market_name = interval_seconds, market
        self.gas, self.bid, self.gas_money = float(gas), float(bid), gas_money

    def enroll(self, world: World) -> None:
        """Supply each borrowed asset up to the wanted utilisation."""
        market = world.venues.get(self.market_name)
        if not isinstance(market, LendingMarket):
            raise ConfigError(
                f"{self.name}.market must name a lending market, got {self.market_name!r}; "
                f"known venues: {', '.join(world.venues)}"
            )
        supplied, borrowed = market.enrolled()
        wanted = np.maximum(borrowed / self.utilisation - supplied, 0.0)
        assets = np.flatnonzero(wanted)
        if borrowed.sum() <= 0.0:
            raise ConfigError(
                f"{self.name}: no debt in {self.market_name} yet; put the lenders after the "
                "borrowers in the configuration"
            )
        sizes = 1.0 / np.arange(1, self.n_lenders + 1)
        sizes /= sizes.sum()
        n = assets.shape[0] * self.n_lenders
        collateral = np.zeros((n, world.n_assets))
        owner_asset = np.repeat(assets, self.n_lenders)
        collateral[np.arange(n), owner_asset] = (
            np.tile(sizes, assets.shape[0]) * wanted[owner_asset]
        )
        self.home: F64 = collateral[np.arange(n), owner_asset]
        self.first = market.add_positions(self.account, collateral, np.zeros_like(collateral)).start
        self.market, self.asset = market, owner_asset.astype(np.int64)

    def bind(self, world: World) -> None:
        """Spread thresholds and phases evenly over the lenders of each asset."""
        n = self.asset.shape[0]
        place = (np.arange(n) * 0.6180339887498949) % 1.0  # golden-ratio sequence: even, unordered
        offset = (2.0 * place - 1.0) * self.spread
        period = max(1, round(self.interval_seconds / world.block_seconds))
        self.habits = Habits(
            self.asset,
            np.asarray(self.leave_above + offset, np.float64),
            np.asarray(self.return_below + offset, np.float64),
            np.full(n, period, np.int64),
            (((np.arange(n) * 0.7548776662466927) % 1.0) * period).astype(np.int64),
            self.home,
        )
        self.arena = Arena(world.n_worlds, {})
        world.ledger.endow(self.account, world.gas_asset, self.gas_money)
        self.buffer = RowBuffer()

    def decide(self, view: View) -> Rows:
        """Rows of the lenders who move in this block."""
        due = np.flatnonzero((view.step - self.habits.phase) % self.habits.period == 0)
        if due.shape[0] == 0:
            return NO_ROWS
        terms = Terms(
            self.account, self.market.account, self.market.index, self.first, self.gas, self.bid,
            view.step,
        )  # fmt: skip
        n = decide(
            self.market.state, self.world.ledger.balances, view.base_fee, view.clearing, due,
            self.habits, terms, self.buffer.room(due.shape[0] * view.n_worlds),
        )  # fmt: skip
        return self.buffer.take(n)
