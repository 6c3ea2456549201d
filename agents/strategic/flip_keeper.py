"""Keepers of English auctions: start them, bid, and collect what they won.

- ``market``: bids what the lot is worth to it, at once, as the standard bot with a fixed discount;
- ``least``: bids the least that the rules take, up to what the lot is worth to it. On an auction
  that nobody else gets to, that is next to nothing: the zero bids of 12 March 2020.

A bid binds capital until it is beaten or the auction is dealt, which is what limits a keeper with
little of the stable token.
"""

from typing import Any, ClassVar

import numpy as np

from agents.strategic.calls import Sight, Terms, profitable_bid
from agents.strategic.keeper import Keeper, attends, hopeless, plain_bid, start_auctions, write_row
from sim.actions import Verb
from sim.errors import ConfigError
from sim.kernel import I64, Rows, kernel
from sim.lending.maker.flip import is_open, least_bid
from sim.lending.maker.state import MakerState

BID, REDO, DEAL = int(Verb.BID), int(Verb.REDO), int(Verb.DEAL)
LEAST = 1e-45  # stable tokens: one unit of the contract's accounts
ABOVE = 1.0 + 1e-9  # over the least that the rules take
AUCTIONS = 1 << 24  # place of auctions among the draws of attention, after the vaults


@kernel
def value_bid(
    state: MakerState, w: int, slot: int, worth: float, least_only: bool
) -> tuple[float, float, float]:
    """Bid and lot that a keeper wants to stand for; a bid of 0: none.

    Parameters
    ----------
    state, w, slot
        The auction.
    worth : float
        Stable tokens that one collateral token is worth to the keeper.
    least_only : bool
        Whether it bids no more than it must.

    Returns
    -------
    bid, lot, surplus : float
        Stable tokens; collateral tokens, 0 for the whole lot; stable tokens that it hopes to gain.
    """
    auction = state.auctions[w, slot]
    paid, tab, held = auction["paid"], auction["tab"], auction["lot"]
    least, most_lot = least_bid(state, w, slot)
    if paid < tab:
        most = min(held * worth, tab)
        floor = min(least * ABOVE, tab) if least > 0.0 else LEAST
        if most < floor:
            return 0.0, 0.0, 0.0
        bid = floor if least_only else most
        return bid, 0.0, held * worth - bid
    lot = max(tab / worth, LEAST)
    most_lot /= ABOVE
    if lot > most_lot:
        return 0.0, 0.0, 0.0
    if least_only:
        lot = most_lot
    return tab, lot, lot * worth - tab


@kernel
def decide_flip(
    state: MakerState, unsafe: I64, unsafe_starts: I64, numbers: I64, starts: I64, sight: Sight,
    terms: Terms, starting: Terms, margin: float, least_only: bool, begins: bool, now: float,
    rows: Rows,
) -> int:  # fmt: skip
    """Write all rows of a keeper of English auctions; return their number.

    `terms` are those of a bid, `starting` those of starting and ending an auction.
    """
    n = 0
    gem, stable = state.assets[0], state.assets[1]
    for w in range(sight.market.shape[0]):
        if hopeless(sight, terms, w):
            continue
        base_fee, sent = sight.base_fee[w], 0
        budget = sight.balances[w, terms.account, stable]
        price = sight.market[w, gem] / sight.market[w, stable]
        worth = price * (1.0 - margin)
        for k in range(starts[w], starts[w + 1]):
            if sent == terms.max_positions:
                break
            number = numbers[k]
            slot = number % state.slots.shape[1]
            auction = state.auctions[w, slot]
            mine = auction["guy"] == terms.account
            if is_open(state, w, slot, now):
                if mine or not attends(sight, terms, w, AUCTIONS + number):
                    continue
                amount, lot, surplus = value_bid(state, w, slot, worth, least_only)
                if amount == 0.0 or amount > budget:
                    continue
                asked = auction["lot"] if lot == 0.0 else lot
                gains = surplus + asked * price * margin  # that is, at the market price
                bid = profitable_bid(sight, terms, w, gains * sight.market[w, stable])
                if bid < 0.0:
                    continue
                write_row(rows[n], terms, w, BID, bid, base_fee, number, amount)
                rows[n]["limit"] = lot
                budget -= amount
            elif auction["tic"] != 0.0:
                if not mine or not (auction["tic"] < now or auction["end"] < now):
                    continue
                price_of_gas = plain_bid(sight, starting, w)
                write_row(rows[n], starting, w, DEAL, price_of_gas, base_fee, number, np.inf)
            elif begins and auction["end"] < now:
                price_of_gas = plain_bid(sight, starting, w)
                write_row(rows[n], starting, w, REDO, price_of_gas, base_fee, number, np.inf)
            else:
                continue
            n += 1
            sent += 1
        if begins:
            n = start_auctions(
                state, unsafe, unsafe_starts, sight, starting, w, margin, True, rows, n
            )  # fmt: skip
    return n


class FlipKeeper(Keeper):
    """One keeper of English auctions, in all worlds.

    Parameters
    ----------
    style : str
        `market` or `least`.
    **terms
        See `Keeper` and `Trader`.
    """

    auction: ClassVar[str] = "flip"

    def __init__(self, *, style: str = "market", **terms: Any) -> None:
        super().__init__(**terms)
        if style not in ("market", "least"):
            raise ConfigError(f"style must be market or least, got {style!r}")
        self.style = style

    def write_rows(self, sight: Sight, terms: Terms, rows: Rows) -> int:
        """Write starts, bids, restarts and deals."""
        numbers, _, starts = self.market.auctions()
        unsafe, unsafe_starts = self.market.unsafe()
        return decide_flip(
            self.market.state, unsafe, unsafe_starts, numbers, starts, sight, terms,
            self.starting(terms), self.margin, self.style == "least", self.starts,
            self.market.now, rows,
        )  # fmt: skip
