"""Market makers of Gueant, Lehalle and Fernandez-Tapia: Dealing with the inventory risk, 2013.

Far from the end of the session the optimal offsets of bid and ask from the fair price, at inventory
q, tend to (their equations for the asymptotic quotes; Mathematics and Financial Economics 7)

    delta_b(q) = (1 / gamma) log(1 + gamma / k) + (2 q + 1) / 2 * c,
    delta_a(q) = (1 / gamma) log(1 + gamma / k) - (2 q - 1) / 2 * c,
    c = sqrt(sigma^2 gamma / (2 k A) (1 + gamma / k)^(1 + k / gamma)).
"""

from dataclasses import dataclass
from math import log, sqrt

from sim.book.layout import Book
from sim.crowd.layout import CrowdState, Kind
from sim.crowd.making import (
    ARRIVAL,
    DECAY,
    GAMMA,
    Maker,
    leave,
    look,
    quote,
    unit,
    volatility,
)
from sim.kernel import inlined, kernel


@dataclass(frozen=True, kw_only=True)
class GueantLehalleFernandezTapia(Maker):
    """Makers with an unlimited horizon."""

    kind = Kind.GLFT


@inlined
def asymptotic_offsets(
    inventory: float, gamma: float, k: float, arrival: float, sigma: float
) -> tuple[float, float]:
    """Offsets of bid and ask from the fair price, in price units."""
    base = log(1.0 + gamma / k) / gamma
    slope = sqrt(
        sigma * sigma * gamma / (2.0 * k * arrival) * (1.0 + gamma / k) ** (1.0 + k / gamma)
    )
    tilt = inventory * slope
    return base + 0.5 * slope + tilt, base + 0.5 * slope - tilt


@kernel
def act_glft(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Quote the asymptotic offsets; return when to look again."""
    t = crowd.terms[crowd.members[i]["group"]]
    fair = look(book, crowd, i, now)
    sigma = volatility(crowd, i)
    if sigma < 0.0:
        return leave(crowd, i, now)
    units = crowd.members[i]["inventory"] / unit(crowd, i)
    bid, ask = asymptotic_offsets(units, t[GAMMA], t[DECAY], t[ARRIVAL], sigma)
    return quote(book, crowd, i, now, fair, sigma, bid, ask)
