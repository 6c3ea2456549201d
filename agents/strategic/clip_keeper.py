"""Keepers of Dutch auctions: start them, and buy once the price has fallen far enough.

A purchase is immediate and leaves the keeper with collateral that it sells outside in the blocks
that follow, so its capital comes back; `max_buy_usd` limits what it takes on per block.
"""

from typing import Any, ClassVar

import numpy as np

from agents.strategic.calls import Sight, Terms, profitable_bid
from agents.strategic.keeper import Keeper, attends, hopeless, plain_bid, start_auctions, write_row
from sim.actions import Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, kernel
from sim.lending.maker.clip import take_size
from sim.lending.maker.state import MakerState

TAKE, REDO, OK = int(Verb.TAKE), int(Verb.REDO), 0
AUCTIONS = 1 << 24  # place of auctions among the draws of attention, after the vaults
SAFE = 1.0 - 1e-9


@kernel
def decide_clip(
    state: MakerState, unsafe: I64, unsafe_starts: I64, numbers: I64, prices: F64, starts: I64,
    sight: Sight, terms: Terms, starting: Terms, margin: float, most_usd: float, begins: bool,
    rows: Rows,
) -> int:  # fmt: skip
    """Write all rows of a keeper of Dutch auctions; return their number.

    `prices` (auction,) are stable tokens per collateral token, nan where it must be restarted.
    `terms` are those of a purchase, `starting` those of starting an auction.
    """
    n = 0
    gem, stable = state.assets[0], state.assets[1]
    for w in range(sight.market.shape[0]):
        if hopeless(sight, terms, w):
            continue
        system, base_fee, sent = state.system[w], sight.base_fee[w], 0
        usd = sight.market[w, stable]
        value = sight.market[w, gem] / usd
        budget = min(sight.balances[w, terms.account, stable], most_usd / usd) * SAFE
        for k in range(starts[w], starts[w + 1]):
            if sent == terms.max_positions:
                break
            number, price = numbers[k], prices[k]
            if not attends(sight, terms, w, AUCTIONS + number):
                continue
            auction = state.auctions[w, number % state.slots.shape[1]]
            if np.isnan(price):
                if not begins:
                    continue
                price_of_gas = plain_bid(sight, starting, w)
                write_row(rows[n], starting, w, REDO, price_of_gas, base_fee, number, np.inf)
            else:
                if not 0.0 < price <= value * (1.0 - margin) or not budget > 0.0:
                    continue
                code, sold, owe = take_size(
                    auction["tab"], auction["lot"], price, system["chost"], budget / price
                )
                if code != OK or owe > budget:
                    continue
                bid = profitable_bid(sight, terms, w, (sold * value - owe) * usd)
                if bid < 0.0:
                    continue
                write_row(rows[n], terms, w, TAKE, bid, base_fee, number, sold)
                rows[n]["limit"] = price / SAFE
                budget -= owe
            n += 1
            sent += 1
        if begins:
            n = start_auctions(
                state, unsafe, unsafe_starts, sight, starting, w, margin, False, rows, n
            )  # fmt: skip
    return n


class ClipKeeper(Keeper):
    """One keeper of Dutch auctions, in all worlds.

    Parameters
    ----------
    max_buy_usd : float, optional
        Purchases per block, USD; `max_trade_usd`, the largest exit, when left out.
    **terms
        See `Keeper` and `Trader`.
    """

    auction: ClassVar[str] = "clip"

    def __init__(self, *, max_buy_usd: float | None = None, **terms: Any) -> None:
        super().__init__(**terms)
        self.max_buy_usd = self.max_trade_usd if max_buy_usd is None else float(max_buy_usd)
        if not self.max_buy_usd >= 0.0:
            raise ConfigError(f"max_buy_usd must not be negative, got {max_buy_usd}; raise it")

    def write_rows(self, sight: Sight, terms: Terms, rows: Rows) -> int:
        """Write starts, purchases and restarts."""
        numbers, prices, starts = self.market.auctions()
        unsafe, unsafe_starts = self.market.unsafe()
        return decide_clip(
            self.market.state, unsafe, unsafe_starts, numbers, prices, starts, sight, terms,
            self.starting(terms), self.margin, self.max_buy_usd, self.starts, rows,
        )  # fmt: skip
