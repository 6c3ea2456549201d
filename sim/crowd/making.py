"""What market makers of theory share: a fair price, a measured volatility, quotes that give way.

A maker's fair price is a mix of the mid and of the fundamental that it sees with noise. It measures
volatility from its own successive fair prices, exponentially weighted. Its quotes are offsets from
the fair price, computed by the formula of its kind in a unit of one basis point, and multiplied by
a width of its own, so that makers of one group stand behind each other and make a depth profile.

It *withdraws* in three ways, each of which `withdraw=False` switches off: it quotes as wide as the
volatility that it measures demands, not the usual one; it leaves the market altogether when that
exceeds `calm` times the usual; and it stops quoting the side on which its inventory is at its
limit.
"""

from dataclasses import dataclass
from math import exp, log, sqrt

from sim.book.ladder import best_price
from sim.book.layout import Book
from sim.crowd.chance import FIRST, exponential_gap, four, lots_of, wait
from sim.crowd.desk import (
    BUY,
    POST_ONLY,
    SELL,
    call_off_all,
    fundamental,
    reference,
    send,
    ticks,
)
from sim.crowd.layout import GAP, MAKER_OFF, OWN_TERMS, SECOND, SIZE_A, CrowdState
from sim.crowd.trader import Traders
from sim.kernel import i64, inlined, kernel
from sim.streams import normal_quantile
from sim.terms import check_range

GAMMA, DECAY, ARRIVAL, SIGMA = OWN_TERMS, OWN_TERMS + 1, OWN_TERMS + 2, OWN_TERMS + 3
HORIZON, LIMIT, FOLLOW, NOISE = OWN_TERMS + 4, OWN_TERMS + 5, OWN_TERMS + 6, OWN_TERMS + 7
HALF_LIFE, WITHDRAW, CALM, WIDEST = OWN_TERMS + 8, OWN_TERMS + 9, OWN_TERMS + 10, OWN_TERMS + 11
TOLERANCE, LEAST, LEVELS, GROWTH = OWN_TERMS + 12, OWN_TERMS + 13, OWN_TERMS + 14, OWN_TERMS + 15
WIDTH_SHAPE, DEEPER, STALENESS = OWN_TERMS + 16, OWN_TERMS + 17, OWN_TERMS + 18
# words of a member's memory
WIDTH, VARIANCE, FAIR, SINCE, BID, ASK, AWAY = 0, 1, 2, 3, 4, 5, 6
MEMORY = 7
LN2 = log(2.0)
BP = 1e-4


@dataclass(frozen=True, kw_only=True)
class Maker(Traders):
    """Terms that makers share; `size` is what an order shows, and the unit of inventory.

    The decay and the arrival rate are those of Avellaneda and Stoikov's lambda(d) = A e^(-k d): a
    quote d basis points from the fair price trades A e^(-k d) times a second.
    """

    gap: float = 10.0  # mean seconds between looks of the narrowest maker; x sqrt(width)
    risk_aversion: float = 0.01  # gamma, per basis point and order
    decay: float = 0.3  # k, per basis point
    arrival: float = 0.1  # A, per second
    sigma_bps: float = 1.0  # usual volatility per root second; 1 is 56% a year
    horizon: float = 60.0  # seconds, T of Avellaneda and Stoikov
    inventory_limit: float = 10.0  # in orders, either way
    follow: float = 1.0  # weight of the fundamental in the fair price, the rest is the mid's
    noise_bps: float = 1.0  # of what it sees of the fundamental
    half_life: float = 300.0  # seconds, of the measured variance
    withdraw: bool = True
    calm: float = 6.0  # measured over usual volatility at which it leaves
    widest: float = 1.0  # widths lie between 1 and this
    width_shape: float = 1.0  # widths are widest^(u^shape), u uniform; 1: log-uniform
    staleness: float = 0.0  # added to offsets, times volatility x sqrt(gap): quotes grow old
    deeper: float = 0.0  # sizes grow as width to this power
    tolerance: float = 0.25  # share of its half spread by which quotes may be off
    least_half_spread_bps: float = 0.0
    levels: int = 1  # orders a side
    growth: float = 1.5  # of offset and size from level to level
    slots: int = 12
    reacts = True
    memory = MEMORY

    def __post_init__(self) -> None:
        """Check."""
        self.check()
        for name in ("gap", "risk_aversion", "decay", "arrival", "sigma_bps", "half_life"):
            check_range(name, getattr(self, name), 0.0, open_low=True)
        for name in ("noise_bps", "tolerance", "least_half_spread_bps", "inventory_limit", "calm"):
            check_range(name, getattr(self, name), 0.0)
        check_range("horizon", self.horizon, 0.0, 1e9, open_low=True)
        check_range("follow", self.follow, 0.0, 1.0)
        check_range("levels", self.levels, 1, self.slots // 4)
        for name in ("widest", "growth"):
            check_range(name, getattr(self, name), 1.0, 1e4)
        check_range("width_shape", self.width_shape, 0.0, 100.0)
        check_range("staleness", self.staleness, 0.0, 100.0)
        check_range("deeper", self.deeper, 0.0, 10.0)

    @property
    def mean_gap(self) -> float:
        """Seconds between wakes on average, of the narrowest."""
        return self.gap

    def own_terms(self) -> list[float]:
        """Columns from OWN_TERMS on."""
        return [
            self.risk_aversion, self.decay, self.arrival, self.sigma_bps, self.horizon,
            self.inventory_limit, self.follow, self.noise_bps * BP, self.half_life, self.withdraw,
            self.calm, self.widest, self.tolerance, self.least_half_spread_bps, self.levels,
            self.growth, self.width_shape, self.deeper,
            self.staleness,
        ]  # fmt: skip


@kernel
def look(book: Book, crowd: CrowdState, i: int, now: int) -> float:
    """Form a fair price in ticks, and measure volatility by how far it has moved."""
    member = crowd.members[i]
    group, at = i64(member["group"]), member["memory"]
    t, memory = crowd.terms[group], crowd.memory
    u, v, _, _ = four(crowd, i, FIRST)
    mid = reference(book, crowd)
    fair = mid
    if t[FOLLOW] > 0.0:
        seen = fundamental(crowd, now) * (1.0 + t[NOISE] * normal_quantile(u))
        fair = t[FOLLOW] * seen + (1.0 - t[FOLLOW]) * mid
    fair = max(fair, 1.0)
    if memory[at + WIDTH] == 0.0:
        memory[at + WIDTH] = t[WIDEST] ** (v ** t[WIDTH_SHAPE])
        memory[at + VARIANCE] = t[SIGMA] * t[SIGMA]
    else:
        seconds = (now - memory[at + SINCE]) / SECOND
        move = (fair / memory[at + FAIR] - 1.0) / BP
        noise = 2.0 * (t[FOLLOW] * t[NOISE] / BP) ** 2  # of the difference of two looks
        if seconds > 0.0:
            weight = 1.0 - exp(-LN2 * seconds / t[HALF_LIFE])
            measured = max(move * move - noise, 0.0) / seconds
            memory[at + VARIANCE] += weight * (measured - memory[at + VARIANCE])
    memory[at + FAIR], memory[at + SINCE] = fair, now
    return fair


@kernel
def volatility(crowd: CrowdState, i: int) -> float:
    """Volatility by which a maker quotes, in basis points per root second; -1: it stays away."""
    member = crowd.members[i]
    t = crowd.terms[member["group"]]
    if t[WITHDRAW] == 0.0 or crowd.head[MAKER_OFF] != 0:
        return t[SIGMA]
    sigma = sqrt(crowd.memory[member["memory"] + VARIANCE])
    if sigma > t[CALM] * t[SIGMA]:
        return -1.0
    return max(sigma, t[SIGMA])


@inlined
def unit(crowd: CrowdState, i: int) -> float:
    """Lots in which a maker counts its inventory: of a typical order of its own."""
    member = crowd.members[i]
    t = crowd.terms[member["group"]]
    return t[SIZE_A] * crowd.memory[member["memory"] + WIDTH] ** t[DEEPER]


@kernel
def place(
    crowd: CrowdState, i: int, now: int, side: int, target: float, touch: int, step: float
) -> None:
    """Send a side's ladder, the first order at `target` ticks, none across the opposite touch."""
    member = crowd.members[i]
    group = i64(member["group"])
    t = crowd.terms[group]
    held = member["inventory"] if side == BUY else -member["inventory"]
    stays = t[WITHDRAW] == 0.0 or crowd.head[MAKER_OFF] != 0
    if held >= t[LIMIT] * unit(crowd, i) and not stays:
        return
    depth = crowd.memory[member["memory"] + WIDTH] ** t[DEEPER]
    scale = 1.0
    for level in range(i64(t[LEVELS])):
        u, v, _, _ = four(crowd, i, 2 + 2 * level + side)
        price = ticks(target)
        if touch > 0:
            price = min(price, touch - 1) if side == BUY else max(price, touch + 1)
        lots = i64(max(scale * depth * lots_of(crowd, group, u, v), 1.0))
        if price > 0:
            send(crowd, i, now, side, price, lots, POST_ONLY)
        target += -step * scale if side == BUY else step * scale
        scale *= t[GROWTH]


@kernel
def quote(
    book: Book, crowd: CrowdState, i: int, now: int, fair: float, sigma: float, bid_bps: float,
    ask_bps: float,
) -> int:  # fmt: skip
    """Renew the quotes where they are off by more than the tolerance; return when to look again.

    The offsets are distances from the fair price in basis points, before the member's own width and
    before what guards against quotes that grow old until the next look (Foucault 1999).
    """
    member = crowd.members[i]
    at = member["memory"]
    group = i64(member["group"])
    t, memory = crowd.terms[group], crowd.memory
    width = memory[at + WIDTH]
    half = 0.5 * (bid_bps + ask_bps) + t[STALENESS] * sigma * sqrt(t[GAP])
    half = max(half, t[LEAST], 1e-3) * width
    skew = 0.5 * (ask_bps - bid_bps) * width
    bid, ask = fair * (1.0 + (skew - half) * BP), fair * (1.0 + (skew + half) * BP)
    slack = t[TOLERANCE] * half * BP * fair
    stands = member["open"] >= 2 * t[LEVELS] and memory[at + AWAY] == 0.0
    near = abs(bid - memory[at + BID]) <= slack and abs(ask - memory[at + ASK]) <= slack
    if not (stands and near):
        call_off_all(crowd, i, now)
        step = half * BP * fair * (t[GROWTH] - 1.0)
        place(crowd, i, now, BUY, bid, best_price(book, SELL), step)
        place(crowd, i, now, SELL, ask, best_price(book, BUY), step)
        memory[at + BID], memory[at + ASK], memory[at + AWAY] = bid, ask, 0.0
    _, _, x, _ = four(crowd, i, FIRST)
    return now + wait(exponential_gap(crowd, group, x) / SECOND * sqrt(width))


@kernel
def leave(crowd: CrowdState, i: int, now: int) -> int:
    """Take all quotes back; return when to look again."""
    member = crowd.members[i]
    call_off_all(crowd, i, now)
    crowd.memory[member["memory"] + AWAY] = 1.0
    _, _, x, _ = four(crowd, i, FIRST)
    return now + exponential_gap(crowd, i64(member["group"]), x)
