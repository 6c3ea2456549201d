"""Noise traders: they buy or sell at the touch for reasons of their own.

The NoiseAgent of ABIDES (Byrd, Hybinette, Balch: ABIDES: towards high-fidelity multi-agent market
simulation, 2020): it wakes once, at a uniformly random time of the session, tosses a coin, and
sends a limit order at the opposite touch. Here it may also come back, at a Poisson rate, and may
place a share of its orders behind its own side's touch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log

from sim.book.ladder import best_price
from sim.book.layout import Book
from sim.crowd.chance import FIRST, exponential_gap, four, lots_of
from sim.crowd.desk import BUY, GTC, SELL, call_off_all, reference, send, ticks
from sim.crowd.layout import GAP, OWN_TERMS, CrowdState, Kind
from sim.crowd.trader import Traders
from sim.kernel import i64, kernel, word
from sim.terms import check_range

PASSIVE, BEHIND = OWN_TERMS, OWN_TERMS + 1
NEVER = word(-1)


@dataclass(frozen=True, kw_only=True)
class Noise(Traders):
    """Noise traders; the defaults are those of `rmsc04`."""

    size_law: str = "abides"
    gap: float = inf  # seconds between wakes; inf: one wake
    session: float = 23_400.0  # seconds over which the first wakes are spread: 6.5 hours
    passive: float = 0.0  # share of orders that wait behind the touch
    behind_bps: float = 5.0  # how far on average, exponential

    kind = Kind.NOISE

    def __post_init__(self) -> None:
        """Check."""
        self.check()
        check_range("gap", self.gap, 0.0, open_low=True)
        check_range("session", self.session, 0.0)
        check_range("passive", self.passive, 0.0, 1.0)
        check_range("behind_bps", self.behind_bps, 0.0, 1e4)

    @property
    def mean_gap(self) -> float:
        """Seconds between wakes on average."""
        return self.gap

    @property
    def first_wake(self) -> float:
        """Seconds over which the first wakes are spread."""
        return min(self.session, self.gap)

    def own_terms(self) -> Sequence[float]:
        """Columns from OWN_TERMS on."""
        return [self.passive, self.behind_bps * 1e-4]


@kernel
def act_noise(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Send one order on a random side; return when to wake again."""
    group = i64(crowd.members[i]["group"])
    u, v, x, y = four(crowd, i, FIRST)
    mid = reference(book, crowd)
    call_off_all(crowd, i, now)
    side = BUY if u < 0.5 else SELL
    lots = lots_of(crowd, group, v, x)
    passive = crowd.terms[group, PASSIVE]
    draw = (2.0 * u) % 1.0  # what is left of u
    if passive > 0.0 and draw < passive:
        behind = -log(draw / passive) * crowd.terms[group, BEHIND] * mid
        touch = best_price(book, side)
        if touch > 0:
            price = touch - behind if side == BUY else touch + behind
            send(crowd, i, now, side, ticks(price), lots, GTC)
    else:
        touch = best_price(book, 1 - side)
        if touch > 0:
            send(crowd, i, now, side, touch, lots, GTC)
    if crowd.terms[group, GAP] >= 1e12:
        return NEVER
    return now + exponential_gap(crowd, group, y)
