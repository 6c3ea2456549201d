"""Market makers of Avellaneda and Stoikov: High-frequency trading in a limit order book, QF 2008.

With s the fair price, q the inventory, gamma the risk aversion, sigma the volatility and T - t the
time left, the reservation price and the sum of the two offsets around it are

    r = s - q gamma sigma^2 (T - t),
    delta_a + delta_b = gamma sigma^2 (T - t) + (2 / gamma) log(1 + gamma / k).

Sessions of length T follow one another.
"""

from dataclasses import dataclass
from math import log

from sim.book.layout import Book
from sim.crowd.layout import SECOND, CrowdState, Kind
from sim.crowd.making import DECAY, GAMMA, HORIZON, Maker, leave, look, quote, unit, volatility
from sim.kernel import inlined, kernel


@dataclass(frozen=True, kw_only=True)
class AvellanedaStoikov(Maker):
    """Makers with a finite horizon."""

    kind = Kind.AVELLANEDA_STOIKOV


@inlined
def reservation_shift(inventory: float, gamma: float, sigma: float, left: float) -> float:
    """Reservation price less the fair price, in price units."""
    return -inventory * gamma * sigma * sigma * left


@inlined
def optimal_spread(gamma: float, k: float, sigma: float, left: float) -> float:
    """Sum of the offsets of bid and ask around the reservation price, in price units."""
    return gamma * sigma * sigma * left + 2.0 / gamma * log(1.0 + gamma / k)


@kernel
def act_avellaneda_stoikov(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Quote around the reservation price; return when to look again."""
    t = crowd.terms[crowd.members[i]["group"]]
    fair = look(book, crowd, i, now)
    sigma = volatility(crowd, i)
    if sigma < 0.0:
        return leave(crowd, i, now)
    left = t[HORIZON] - (now / SECOND) % t[HORIZON]
    units = crowd.members[i]["inventory"] / unit(crowd, i)
    shift = reservation_shift(units, t[GAMMA], sigma, left)
    half = 0.5 * optimal_spread(t[GAMMA], t[DECAY], sigma, left)
    return quote(book, crowd, i, now, fair, sigma, half - shift, half + shift)
