"""A house that quotes a ladder on both sides of a book and yields where it is traded with.

The ladder is the shape of the latent order book (Toth et al. 2011): the size quoted within a
relative distance x of the middle is depth * (x / 1%)^2, so a market order of Q moves the price by
the square root of Q. It is laid anew when a block opens, around the fundamental price times a
displacement: what the trades of the last blocks have left of the mid's distance from the
fundamental, decaying (Obizhaeva and Wang 2013). It serves books that no crowd looks after.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.book.layout import MAX_PRICE, MAX_QUANTITY, Book, OrderVerb, Side
from sim.book.matching import process
from sim.book.registry import find
from sim.book.trading import remove
from sim.kernel import Rows, i64, kernel, word
from sim.terms import check_range, require

LIMIT = int(OrderVerb.LIMIT)
BUY, SELL = word(Side.BUY), word(Side.SELL)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Terms of one book's ladder; the defaults are like ETH against dollars in 2024."""

    depth_usd: float = 1.9e8  # quoted within 1% on each side
    half_spread_bps: float = 2.0  # from the middle to the first quote
    step_bps: float = 4.0  # between two quotes
    levels: int = 40  # on each side
    resilience_half_life: float = 1_800.0  # seconds in which half the displacement is gone

    def __post_init__(self) -> None:
        """Check."""
        check_range("house.depth_usd", self.depth_usd, 0.0)
        check_range("house.half_spread_bps", self.half_spread_bps, 0.0, 1_000.0)
        check_range("house.step_bps", self.step_bps, 0.0, 1_000.0, open_low=True)
        check_range("house.resilience_half_life", self.resilience_half_life, 0.0)
        reach = (self.half_spread_bps + self.levels * self.step_bps) / 1e4
        require(
            self.levels >= 0 and reach < 1.0,
            f"house.levels must reach less than 100% from the middle, got {reach:.0%}; lower "
            "levels or step_bps",
        )


class Ladder(NamedTuple):
    """One house as kernels see it."""

    account: int
    levels: int
    half_spread: float  # fraction
    step: float  # fraction
    depth: float  # quote tokens within 1%
    decay: float  # factor of the displacement over one block


@kernel
def withdraw(book: Book, ladder: Ladder) -> None:
    """Take the ladder out of the book."""
    for i in range(2 * ladder.levels):
        slot = find(book, (ladder.account << 32) | i)
        if slot >= 0:
            remove(book, slot)


@kernel
def quote(
    book: Book, ladder: Ladder, message: Rows, middle: float, lots_within: float, line: int
) -> None:
    """Lay the ladder around a price in ticks; `lots_within` are the lots within 1%."""
    m = message[0]
    before = (ladder.half_spread / 0.01) ** 2
    for i in range(ladder.levels):
        x = ladder.half_spread + i * ladder.step
        within = ((x + ladder.step) / 0.01) ** 2
        lots = i64(min((within - before) * lots_within + 0.5, float(MAX_QUANTITY)))
        before = within
        for side in range(2):
            price = np.floor(middle * (1.0 - x)) if side == BUY else np.ceil(middle * (1.0 + x))
            if lots < 1 or not 1.0 <= price <= MAX_PRICE:
                continue
            m["id"] = (ladder.account << 32) | (2 * i + side)
            m["account"] = ladder.account
            m["verb"] = LIMIT
            m["side"] = side
            m["quantity"] = lots
            m["price"] = price
            m["display"] = 0
            m["trigger"] = 0
            m["tif"] = 0
            m["stp"] = 0
            process(book, m, line)


def endowment(terms: House, price: float, tick: float, lot: float) -> tuple[int, int]:
    """Cash units and lots that a house starts with: a thousand of its ladders."""
    reach = (terms.half_spread_bps + terms.levels * terms.step_bps) / 1e4
    quoted = terms.depth_usd * (reach / 0.01) ** 2
    cash = min(1_000.0 * quoted / (tick * lot), 2.0**56)
    lots = min(1_000.0 * quoted / (price * tick * lot), 2.0**50)
    return int(cash), int(lots)
