"""Informed traders: they know the fundamental and take what is mispriced.

When the best opposite price is better than the value by more than an edge, the trader takes all
that is for sale up to that price, or as much as it may hold, with an immediate-or-cancel order: the
sniper of Budish, Cramton and Shim (2015), the arbitrageur who keeps one market in line with the
others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sim.book.ladder import best_price
from sim.book.layout import Book
from sim.crowd.chance import FIRST, exponential_gap, four, lots_of
from sim.crowd.desk import BUY, IOC, SELL, fundamental, reference, send, ticks
from sim.crowd.layout import OWN_TERMS, CrowdState, Kind
from sim.crowd.trader import Traders
from sim.kernel import i64, kernel
from sim.terms import check_range

EDGE, LIMIT = OWN_TERMS, OWN_TERMS + 1


@dataclass(frozen=True, kw_only=True)
class Informed(Traders):
    """Informed traders; a taker fee of 5 basis points is a typical edge on a crypto exchange."""

    gap: float = 5.0  # mean seconds between looks
    edge_bps: float = 5.0  # profit per traded value below which it does nothing
    inventory_limit: float = 1e12  # lots, either way

    kind = Kind.INFORMED

    def __post_init__(self) -> None:
        """Check."""
        self.check()
        check_range("gap", self.gap, 0.0, open_low=True)
        check_range("edge_bps", self.edge_bps, 0.0, 1e4)
        check_range("inventory_limit", self.inventory_limit, 0.0)

    @property
    def mean_gap(self) -> float:
        """Seconds between wakes on average."""
        return self.gap

    def own_terms(self) -> Sequence[float]:
        """Columns from OWN_TERMS on."""
        return [self.edge_bps * 1e-4, self.inventory_limit]


@kernel
def act_informed(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Take what is mispriced; return when to look again."""
    member = crowd.members[i]
    group = i64(member["group"])
    t = crowd.terms[group]
    u, v, _, y = four(crowd, i, FIRST)
    value = fundamental(crowd, now)
    reference(book, crowd)
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    lots = lots_of(crowd, group, u, v)
    highest, lowest = ticks(value * (1.0 - t[EDGE])), ticks(value * (1.0 + t[EDGE]))
    if member["open"] > 0:
        pass
    elif 0 < ask <= highest:
        lots = min(lots, i64(t[LIMIT]) - member["inventory"])
        send(crowd, i, now, BUY, highest, lots, IOC)
    elif bid > 0 and bid >= lowest:
        lots = min(lots, i64(t[LIMIT]) + member["inventory"])
        send(crowd, i, now, SELL, lowest, lots, IOC)
    return now + exponential_gap(crowd, group, y)
