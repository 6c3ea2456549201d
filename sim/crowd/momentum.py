"""Momentum traders: they buy when a short moving average lies above a long one, else sell.

The MomentumAgent of ABIDES: averages over the mid prices that it saw at its last 20 and 50 wakes, a
limit order at the opposite touch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sim.book.ladder import best_price
from sim.book.layout import Book
from sim.crowd.chance import FIRST, exponential_gap, four, lots_of
from sim.crowd.desk import BUY, GTC, SELL, call_off_all, reference, send
from sim.crowd.layout import OWN_TERMS, CrowdState, Kind
from sim.crowd.trader import Traders
from sim.errors import ConfigError
from sim.kernel import i64, kernel
from sim.terms import check_range

SHORT, LONG = OWN_TERMS, OWN_TERMS + 1
MOST = 50  # mid prices that a member remembers


@dataclass(frozen=True, kw_only=True)
class Momentum(Traders):
    """Momentum traders; the defaults are those of `rmsc04`."""

    size_law: str = "abides"
    gap: float = 37.0  # mean seconds between wakes
    short: int = 20  # wakes that the short average covers
    long: int = 50  # wakes that the long one covers, at most 50
    slots: int = 16

    kind = Kind.MOMENTUM
    memory: ClassVar[int] = MOST + 1

    def __post_init__(self) -> None:
        """Check."""
        self.check()
        check_range("gap", self.gap, 0.0, open_low=True)
        if not 1 <= self.short < self.long <= MOST:
            raise ConfigError(
                f"momentum needs 1 <= short < long <= {MOST}, got {self.short} and {self.long}"
            )

    @property
    def mean_gap(self) -> float:
        """Seconds between wakes on average."""
        return self.gap

    def own_terms(self) -> Sequence[float]:
        """Columns from OWN_TERMS on."""
        return [self.short, self.long]


@kernel
def recent_mean(crowd: CrowdState, at: int, seen: int, n: int) -> float:
    """Mean of the last `n` of `seen` prices in the ring at `at`."""
    total = 0.0
    for k in range(seen - n, seen):
        total += crowd.memory[at + 1 + k % MOST]
    return total / n


@kernel
def act_momentum(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Remember the mid price and follow the averages; return when to wake again."""
    member = crowd.members[i]
    group, at = i64(member["group"]), member["memory"]
    t = crowd.terms[group]
    u, v, _, y = four(crowd, i, FIRST)
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    if bid > 0 and ask > 0:
        seen = i64(crowd.memory[at])
        crowd.memory[at + 1 + seen % MOST] = reference(book, crowd)
        seen += 1
        crowd.memory[at] = seen
        if member["open"] >= member["slots"] // 2:
            call_off_all(crowd, i, now)
        n_short, n_long = i64(t[SHORT]), i64(t[LONG])
        if seen >= n_long:
            rising = recent_mean(crowd, at, seen, n_short) >= recent_mean(crowd, at, seen, n_long)
            side = BUY if rising else SELL
            price = ask if rising else bid
            send(crowd, i, now, side, price, lots_of(crowd, group, u, v), GTC)
    return now + exponential_gap(crowd, group, y)
