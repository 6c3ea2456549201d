"""Hard liquidators of crvUSD's loans: whole or in part, where that pays.

The stable tokens that a loan has in the bands pay first, so a liquidator brings the rest of the
debt and gets the collateral, which it sells outside in the blocks that follow.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from agents.strategic.calls import SAFE, Sight, Terms, profitable_bid
from agents.strategic.keeper import attends, hopeless, write_row
from agents.strategic.trader import Trader
from agents.view import View
from sim.actions import Verb
from sim.errors import ConfigError
from sim.kernel import F64, Rows, inlined, kernel
from sim.lending.crvusd import CrvUsdMarket, debt_of, health
from sim.lending.crvusd_state import LoanState
from sim.lending.llamma import BandState, band_top, limited_oracle, user_holdings, value_bands
from sim.quotes import Market, Quotes, proceeds_of
from sim.streams import stream_key
from sim.world import World

LIQUIDATE = int(Verb.LIQUIDATE)
GRID, STEPS = 16, 32  # of the search for the best part
GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


class Loan(NamedTuple):
    """One loan as a liquidator sees it, whole tokens."""

    debt: float
    stable: float  # that lie in its bands
    collateral: float
    least: float  # fraction of its part that a small part gets (`_get_f_remove`)


@kernel
def kept(loan: Loan, part: float) -> float:
    """Share of what is in the bands that liquidating a part of the debt brings."""
    return (loan.least * (1.0 - part) + part) * part


@kernel
def gain_of(
    loan: Loan, quotes: Quotes, reference: F64, w: int, gem: int, planned: float, usd: float,
    part: float,
) -> float:  # fmt: skip
    """USD before gas of liquidating a part, with `planned` collateral to be sold before."""
    share = kept(loan, part)
    amount = share * loan.collateral
    proceeds = proceeds_of(quotes, reference, w, gem, planned + amount) if amount > 0.0 else 0.0
    if planned > 0.0 and amount > 0.0:
        proceeds -= proceeds_of(quotes, reference, w, gem, planned)
    return proceeds + usd * (share * loan.stable - part * loan.debt)


@kernel
def affordable(loan: Loan, budget: float) -> float:
    """Largest part that capital pays for: the debt less what the bands pay may be `budget`.

    The payment part debt - kept stable is concave in the part; where it first reaches the budget is
    the smaller root of a quadratic.
    """
    if loan.debt - loan.stable <= budget:
        return 1.0
    slope = loan.debt - loan.least * loan.stable
    bend = (1.0 - loan.least) * loan.stable
    root = slope * slope - 4.0 * bend * budget
    return min(2.0 * budget / (slope + math.sqrt(max(root, 0.0))), 1.0)


@kernel
def best_part(
    loan: Loan, quotes: Quotes, reference: F64, w: int, gem: int, planned: float, usd: float,
    most: float,
) -> float:  # fmt: skip
    """Part of a loan, at most `most`, whose liquidation brings most: a grid, then golden section.

    Gains need not be concave, as a larger part keeps a larger share while sales press the price.
    """
    best, place = 0.0, 0
    for k in range(1, GRID + 1):
        gain = gain_of(loan, quotes, reference, w, gem, planned, usd, most * k / GRID)
        if gain > best:
            best, place = gain, k
    if place == 0 or place == GRID:
        return most * place / GRID
    low, high = most * (place - 1) / GRID, most * (place + 1) / GRID
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    left_gain = gain_of(loan, quotes, reference, w, gem, planned, usd, left)
    right_gain = gain_of(loan, quotes, reference, w, gem, planned, usd, right)
    for _ in range(STEPS):
        if left_gain > right_gain:
            high, right, right_gain = right, left, left_gain
            left = high - GOLDEN * (high - low)
            left_gain = gain_of(loan, quotes, reference, w, gem, planned, usd, left)
        else:
            low, left, left_gain = left, right, right_gain
            right = low + GOLDEN * (high - low)
            right_gain = gain_of(loan, quotes, reference, w, gem, planned, usd, right)
    return 0.5 * (low + high)


@inlined
def may_be_sick(bands: BandState, loans: LoanState, w: int, p: int, price: float) -> bool:
    """Whether a loan's health may be under zero, at the price that the bands go by.

    Not where the price is over all its bands: a loan was opened or moved with a larger discount
    than health takes off, and interest lifts bands and debts alike.
    """
    if not loans.loan[w, p] > 0.0:
        return False
    first = int(bands.first[w, p])
    return bool(first <= bands.active[w] or price <= band_top(bands, w, first))


@kernel
def decide_loans(
    bands: BandState, loans: LoanState, quotes: Quotes, reference: F64, sight: Sight, terms: Terms,
    rows: Rows,
) -> int:  # fmt: skip
    """Write the liquidations that pay, within capital; return their number.

    `oracle` and `clock` of the bands must be those of the block.
    """
    n = 0
    gem, stable, discount = loans.assets[0], loans.assets[1], loans.liquidation_discount
    for w in range(sight.market.shape[0]):
        if hopeless(sight, terms, w):
            continue
        budget, planned = sight.balances[w, terms.account, stable] * SAFE, 0.0
        usd, sent, valued = sight.market[w, stable], 0, False
        price = limited_oracle(bands, w)[0]
        for p in range(loans.owner.shape[0]):
            if sent == terms.max_positions:
                break
            if not (may_be_sick(bands, loans, w, p, price) and attends(sight, terms, w, p)):
                continue
            if not valued:
                value_bands(bands, w)
                valued = True
            debt = debt_of(bands, loans, w, p)
            if not health(bands, w, p, debt, discount) < 0.0:
                continue
            held_x, held_y = user_holdings(bands, w, p)
            loan = Loan(debt, held_x, held_y, (1.0 + 0.5 * discount) / (1.0 + discount))
            most = affordable(loan, budget)
            part = best_part(loan, quotes, reference, w, gem, planned, usd, most)
            if not part > 0.0:
                continue
            if part * debt - kept(loan, part) * held_x > budget:
                part = most  # a smaller part may ask for more than the whole
            gain = gain_of(loan, quotes, reference, w, gem, planned, usd, part)
            bid = profitable_bid(sight, terms, w, gain)
            if bid < 0.0:
                continue
            amount = debt * part if part < 1.0 else np.inf
            write_row(rows[n], terms, w, LIQUIDATE, bid, sight.base_fee[w], p, amount)
            rows[n]["limit"] = kept(loan, part) * held_y * SAFE
            planned += kept(loan, part) * held_y
            budget -= max(part * debt - kept(loan, part) * held_x, 0.0)
            n += 1
            sent += 1
    return n


class LoanLiquidator(Trader):
    """One hard liquidator of a crvUSD market, in all worlds.

    Parameters
    ----------
    market : str
        Name of the crvUSD market.
    gas : float
        Units of gas per liquidation.
    max_rows : int
        Liquidations sent per block.
    attention : float
        Chance that a loan is looked at in a block.
    **terms
        See `Trader`; `cash` is the stable token unless given.
    """

    def __init__(
        self,
        *,
        market: str = "crvusd",
        gas: float = 700_000.0,
        max_rows: int = 20,
        attention: float = 0.8,
        **terms: Any,
    ) -> None:
        super().__init__(**{"cash": "DAI", **terms})
        if not 0.0 < attention <= 1.0:
            raise ConfigError(f"attention must lie in (0, 1], got {attention}")
        if max_rows < 1 or max_rows > 4095:
            raise ConfigError(f"max_rows must lie in [1, 4095], got {max_rows}")
        if not gas > 0.0:
            raise ConfigError(f"gas must be positive, got {gas}")
        self.market_name, self.gas = market, float(gas)
        self.max_rows, self.attention = max_rows, float(attention)

    def bind(self, world: World) -> None:
        """Endow the account and find the markets."""
        super().bind(world)
        market, exit_market = world.venues.get(self.market_name), world.market
        if not isinstance(market, CrvUsdMarket):
            raise ConfigError(
                f"{self.name}.market must name a crvUSD market, got {self.market_name!r}; known "
                f"venues: {', '.join(world.venues)}"
            )
        if not isinstance(exit_market, Market):
            raise ConfigError(
                f"{self.name} can sell on a market that quotes only; choose outside or order_book"
            )
        self.market, self.exit_market = market, exit_market
        self.key = stream_key(world.seed, f"attention.{self.name}")

    def decide(self, view: View) -> Rows:
        """Liquidations that pay, and exits outside."""
        market = self.market
        market.look()
        sight = Sight(
            view.balances, view.oracle_price, view.market_price, view.base_fee, view.clearing,
            view.world_ids, self.key,
        )  # fmt: skip
        terms = Terms(
            self.account, market.account, market.index, self.gas, self.gas_cap, self.bid_share,
            self.min_profit_usd, self.latency_seconds, self.max_rows, self.attention, 1.0,
            view.gas_asset, view.step,
        )  # fmt: skip
        n = decide_loans(
            market.bands, market.state, self.exit_market.quotes(),
            self.exit_market.reference_prices(), sight, terms,
            self.buffer.room(view.n_worlds * self.max_rows),
        )  # fmt: skip
        return self.rows_and_exits(n, view)
