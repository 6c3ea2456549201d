"""Executors: they work large orders off in parts, evenly in time (TWAP) or with the volume (POV).

One executor works one parent order at a time: a given one, or one after another of random side and
Pareto size with random pauses. Splitting parents of tail exponent alpha makes the signs of trades
remember for long, with an autocorrelation that falls as lag^(1 - alpha) (Lillo, Mike, Farmer:
Theory for long memory in supply and demand, PRE 71, 2005); alpha is about 1.5 for stocks.

The n-th child of a TWAP is a fixed share of the parent; a POV child is a share of what the market
traded since the last one. Children are market orders, cut to what is left of the parent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from sim.book.layout import Book
from sim.crowd.chance import FIRST, MORE, exponential_gap, four, lots_of, wait
from sim.crowd.desk import BUY, IOC, SELL, ZERO, reference, send, touch_lots
from sim.crowd.layout import BOUGHT, N_PARENTS, OWN_TERMS, SOLD, CrowdState, Kind
from sim.crowd.trader import Traders
from sim.errors import ConfigError
from sim.kernel import i64, kernel, word
from sim.terms import check_range

POV, SIDE, CHILD, PAUSE = OWN_TERMS, OWN_TERMS + 1, OWN_TERMS + 2, OWN_TERMS + 3
SLICES, REGULAR, CHILD_SHAPE, TIMID = OWN_TERMS + 4, OWN_TERMS + 5, OWN_TERMS + 6, OWN_TERMS + 7
# words of a member's memory
LEFT, WANTED, NOW_SIDE, BEFORE, VOLUME, LINE, LAST = 0, 1, 2, 3, 4, 5, 6
NEVER = word(-1)
_SIDES = {"buy": 0.0, "sell": 1.0, "random": 2.0}


@dataclass(frozen=True, kw_only=True)
class Executor(Traders):
    """Executors of large orders; `size` is the parent's."""

    gap: float = 10.0  # seconds between children
    regular: bool = True  # children come every `gap` seconds, else as a Poisson process
    side: str = "random"  # of the parents: buy, sell or random
    slices: int = 0  # TWAP: children of a parent; 0: children of `child` lots
    child: float = 1.0  # lots of a child where `slices` is 0
    child_shape: float = 0.0  # tail exponent of Pareto children of at least `child`; 0: all alike
    timid: float = 0.0  # share of children that take no more than the touch shows
    pov: float = 0.0  # POV: share of the volume since the last child; 0: TWAP
    pause: float = 0.0  # mean seconds between parents; 0: one parent only

    kind = Kind.EXECUTOR
    memory = 7

    def __post_init__(self) -> None:
        """Check."""
        self.check()
        check_range("gap", self.gap, 0.0, open_low=True)
        check_range("pov", self.pov, 0.0, 1.0)
        check_range("timid", self.timid, 0.0, 1.0)
        for name in ("slices", "child", "child_shape", "pause"):
            check_range(name, getattr(self, name), 0.0)
        if self.side not in _SIDES:
            raise ConfigError(f"side must be one of {', '.join(_SIDES)}, got {self.side}")

    @property
    def mean_gap(self) -> float:
        """Seconds between wakes on average."""
        return self.gap

    @property
    def first_wake(self) -> float:
        """Seconds over which the first parents are spread."""
        return self.pause

    def own_terms(self) -> Sequence[float]:
        """Columns from OWN_TERMS on."""
        return [
            self.pov, _SIDES[self.side], self.child, self.pause, self.slices, self.regular,
            self.child_shape, self.timid,
        ]  # fmt: skip


@kernel
def take_parent(crowd: CrowdState, i: int, now: int, mid: float) -> None:
    """Begin a new parent order."""
    group, at = i64(crowd.members[i]["group"]), crowd.members[i]["memory"]
    memory, t = crowd.memory, crowd.terms[group]
    u, v, x, _ = four(crowd, i, MORE)
    memory[at + WANTED] = lots_of(crowd, group, u, v)
    memory[at + LEFT] = memory[at + WANTED]
    memory[at + NOW_SIDE] = t[SIDE] if t[SIDE] < 2.0 else (0.0 if x < 0.5 else 1.0)
    memory[at + BEFORE] = crowd.members[i]["inventory"]
    memory[at + VOLUME] = crowd.head[BOUGHT] + crowd.head[SOLD]
    memory[at + LINE] = -1.0
    n = crowd.head[N_PARENTS]
    if n < crowd.parents.shape[0] and crowd.parents.shape[0] > 1:
        line = crowd.parents[n]
        line["member"] = i
        line["side"] = i64(memory[at + NOW_SIDE])
        line["lots"] = i64(memory[at + WANTED])
        line["start"] = now
        line["price"] = mid
        line["end"] = 0
        memory[at + LINE] = n
        crowd.head[N_PARENTS] = n + 1


@kernel
def close_parent(crowd: CrowdState, i: int) -> None:
    """Write down that a parent order is done, as of the arrival of its last child."""
    at = crowd.members[i]["memory"]
    crowd.memory[at + WANTED] = 0.0
    line = i64(crowd.memory[at + LINE])
    if line >= 0:
        done = crowd.members[i]["inventory"] - i64(crowd.memory[at + BEFORE])
        crowd.parents[line]["done"] = done if crowd.parents[line]["side"] == BUY else -done
        crowd.parents[line]["end"] = i64(crowd.memory[at + LAST])


@kernel
def act_executor(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Send the next child; return when the next one, or the next parent, is due."""
    group, at = i64(crowd.members[i]["group"]), crowd.members[i]["memory"]
    memory, t = crowd.memory, crowd.terms[group]
    mid = reference(book, crowd)
    u, v, x, y = four(crowd, i, FIRST)
    following = wait(t[0]) if t[REGULAR] != 0.0 else exponential_gap(crowd, group, u)
    if memory[at + WANTED] == 0.0:
        take_parent(crowd, i, now, mid)
    elif memory[at + LEFT] <= 0.0:  # its last child has been heard of
        close_parent(crowd, i)
        return now + wait(-log(v) * t[PAUSE]) if t[PAUSE] > 0.0 else NEVER
    lots = t[CHILD]
    if t[POV] > 0.0:
        volume = np.float64(crowd.head[BOUGHT] + crowd.head[SOLD])
        lots = t[POV] * (volume - memory[at + VOLUME])
        memory[at + VOLUME] = volume
    elif t[SLICES] > 0.0:
        lots = memory[at + WANTED] / t[SLICES]
    elif t[CHILD_SHAPE] > 0.0:
        lots *= x ** (-1.0 / t[CHILD_SHAPE])
    whole = i64(min(max(np.floor(lots + 0.5), 0.0 if t[POV] > 0.0 else 1.0), memory[at + LEFT]))
    side = BUY if memory[at + NOW_SIDE] == 0.0 else SELL
    if y < t[TIMID]:
        whole = min(whole, max(touch_lots(book, 1 - side), 1))
    if whole > 0 and send(crowd, i, now, side, ZERO, whole, IOC) >= 0:
        memory[at + LEFT] -= whole
        memory[at + LAST] = now + crowd.members[i]["latency"]
    return now + following
