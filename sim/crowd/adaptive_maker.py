"""Adaptive market makers: a ladder of orders around the mid, as wide as the spread has been.

The AdaptiveMarketMakerAgent of ABIDES: at each wake it cancels everything and places `levels`
orders a side, the first half the smoothed spread from the mid, the others `level_spacing` smoothed
spreads apart, each a share `pov` of what has traded since its last wake. The imbalance of that
volume between buyers and sellers shifts the middle by up to `price_skew` ticks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from sim.book.ladder import best_price
from sim.book.layout import Book
from sim.crowd.chance import FIRST, exponential_gap, four
from sim.crowd.desk import BUY, GTC, SELL, call_off_all, reference, send
from sim.crowd.layout import BOUGHT, OWN_TERMS, SOLD, CrowdState, Kind
from sim.crowd.trader import Traders
from sim.kernel import i64, kernel
from sim.terms import check_range

POV, LEVELS, LEAST, SKEW = OWN_TERMS, OWN_TERMS + 1, OWN_TERMS + 2, OWN_TERMS + 3
SPACING, ALPHA, FIRST_SPREAD = OWN_TERMS + 4, OWN_TERMS + 5, OWN_TERMS + 6


@dataclass(frozen=True, kw_only=True)
class AdaptiveMaker(Traders):
    """Adaptive market makers; the defaults are those of `rmsc04`."""

    gap: float = 60.0  # mean seconds between wakes
    pov: float = 0.025  # order size as a share of the volume since the last wake
    levels: int = 10  # orders a side
    min_order_size: float = 1.0  # lots
    price_skew: float = 4.0  # ticks at a wholly one-sided volume
    level_spacing: float = 5.0  # distance of levels in smoothed spreads
    spread_alpha: float = 0.75  # weight of the last spread in the smoothed one
    first_spread: float = 50.0  # ticks: the smoothed spread at the start
    slots: int = 64

    kind = Kind.ADAPTIVE_MAKER
    memory = 3

    def __post_init__(self) -> None:
        """Check."""
        self.check()
        check_range("gap", self.gap, 0.0, open_low=True)
        check_range("levels", self.levels, 1, self.slots // 3)
        check_range("spread_alpha", self.spread_alpha, 0.0, 1.0)
        for name in ("pov", "min_order_size", "level_spacing", "first_spread"):
            check_range(name, getattr(self, name), 0.0, 1e9)

    @property
    def mean_gap(self) -> float:
        """Seconds between wakes on average."""
        return self.gap

    def own_terms(self) -> Sequence[float]:
        """Columns from OWN_TERMS on."""
        return [
            self.pov, self.levels, self.min_order_size, self.price_skew, self.level_spacing,
            self.spread_alpha, self.first_spread,
        ]  # fmt: skip


@kernel
def act_adaptive_maker(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Replace the ladder; return when to wake again."""
    group, at = i64(crowd.members[i]["group"]), crowd.members[i]["memory"]
    t, memory = crowd.terms[group], crowd.memory
    u, _, _, _ = four(crowd, i, FIRST)
    call_off_all(crowd, i, now)
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    spread = memory[at] if crowd.members[i]["draws"] > 1 else t[FIRST_SPREAD]
    if bid > 0 and ask > 0:
        spread = t[ALPHA] * (ask - bid) + (1.0 - t[ALPHA]) * spread
    memory[at] = spread
    bought = crowd.head[BOUGHT] - memory[at + 1]
    sold = crowd.head[SOLD] - memory[at + 2]
    memory[at + 1], memory[at + 2] = crowd.head[BOUGHT], crowd.head[SOLD]
    middle = floor(reference(book, crowd))
    if bought + sold > 0.0:
        middle = floor(middle + (2.0 * bought / (bought + sold) - 1.0) * t[SKEW])
    lots = i64(max(t[POV] * (bought + sold) + 0.5, t[LEAST]))
    step = max(i64(t[SPACING] * spread + 0.5), 1)
    for k in range(i64(t[LEVELS])):
        price = i64(middle - floor(0.5 * spread)) - k * step
        if price > 0:
            send(crowd, i, now, BUY, price, lots, GTC)
        send(crowd, i, now, SELL, i64(middle + ceil(0.5 * spread)) + k * step, lots, GTC)
    return now + exponential_gap(crowd, group, u)
