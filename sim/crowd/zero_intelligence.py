"""Zero-intelligence flow: orders come and go at constant rates (the Santa Fe model).

Limit orders arrive at each price within a range of the opposite touch at the same Poisson rate,
market orders at another, and every live order is cancelled at a third (Daniels, Farmer, Gillemot,
Iori, Smith: Quantitative model of price diffusion and market friction based on trading as a
mechanistic random process, PRL 90, 2003; Smith, Farmer, Gillemot, Krishnamurthy: Statistical theory
of the continuous double auction, Quantitative Finance 3, 2003). Their scales: price mu / (2 alpha),
which the mean spread follows as (mu / alpha) f(delta / mu), f(x) = 0.28 + 1.86 x^(3/4); size mu /
(2 delta); time 1 / delta.

One member stands for the whole flow. The process is exact: the time to the next event is drawn at
the present number of orders, and a cancellation that falls on an order which has traded meanwhile
does nothing, which thins the clock to the right rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from sim.book.ladder import best_price
from sim.book.layout import Book
from sim.crowd.chance import FIRST, four, lots_of, wait
from sim.crowd.desk import BUY, GTC, IOC, SELL, call_off, reference, send
from sim.crowd.layout import OWN_TERMS, CrowdState, Kind
from sim.crowd.trader import Traders
from sim.kernel import i64, kernel
from sim.terms import check_range

LIMIT_RATE, MARKET_RATE, CANCEL_RATE, RANGE = OWN_TERMS, OWN_TERMS + 1, OWN_TERMS + 2, OWN_TERMS + 3


@dataclass(frozen=True, kw_only=True)
class ZeroIntelligence(Traders):
    """Santa Fe flow; the defaults are rates of a liquid stock, in lots of 100 shares."""

    limit_rate: float = 0.5  # alpha: limit orders per second, price and side
    market_rate: float = 1.0  # mu: market orders per second and side
    cancel_rate: float = 0.1  # delta: per second and order
    price_range: int = 50  # ticks from the opposite touch within which limit orders arrive
    slots: int = 4096  # orders that may live at once

    kind = Kind.ZERO_INTELLIGENCE
    memory = 1

    def __post_init__(self) -> None:
        """Check."""
        self.check()
        for name in ("limit_rate", "market_rate", "cancel_rate"):
            check_range(name, getattr(self, name), 0.0, open_low=True)
        check_range("price_range", self.price_range, 1, 1e6)

    def own_terms(self) -> Sequence[float]:
        """Columns from OWN_TERMS on."""
        return [self.limit_rate, self.market_rate, self.cancel_rate, self.price_range]

    @property
    def mean_gap(self) -> float:
        """Seconds between wakes in an empty book."""
        return 0.5 / (self.limit_rate * self.price_range + self.market_rate)


@kernel
def act_zero_intelligence(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Let one event of the flow happen; return when to wake again."""
    member = crowd.members[i]
    t = crowd.terms[member["group"]]
    arrive, trade, leave = 2.0 * t[LIMIT_RATE] * t[RANGE], 2.0 * t[MARKET_RATE], t[CANCEL_RATE]
    u, v, x, y = four(crowd, i, FIRST)
    at = u * (arrive + trade + leave * crowd.memory[member["memory"]])
    group = i64(member["group"])
    if at < arrive + trade:
        side = SELL if v < 0.5 else BUY
        price = 0
        if at < arrive:
            touch = best_price(book, 1 - side)
            behind = 1 + i64(at / arrive * t[RANGE])
            if touch == 0:
                touch = i64(reference(book, crowd))
            price = max(touch - behind if side == BUY else touch + behind, 1)
        tif = GTC if at < arrive else IOC
        send(crowd, i, now, side, price, lots_of(crowd, group, y, x), tif)
    else:
        k = i64((at - arrive - trade) / leave)
        if k < member["open"]:
            call_off(crowd, i64(crowd.own[member["first"] + k]["link"]), now)
    reference(book, crowd)
    crowd.memory[member["memory"]] = member["open"]
    return now + wait(-log(1.0 - y) / (arrive + trade + leave * member["open"]))
