"""Hawkes flow: orders that call forth orders.

Six kinds of event (limit, market and cancel, each for buyers and sellers) with intensities

    lambda_i(t) = mu_i + sum_j sum over events t_k of kind j of
                  n_ij sum_m w_m beta_m e^(-beta_m (t - t_k)),

with weights w_m that sum to one, so that n_ij is the mean number of events of kind i that one of
kind j calls forth (Hawkes 1971; Bacry, Mastromatteo, Muzy: Hawkes processes in finance, 2015). A
sum of exponentials over decades stands for the slow kernels that are measured. The process is
stationary where the spectral radius of n is below 1; its mean intensity is (1 - n)^-1 mu.

Simulated exactly by thinning (Ogata 1981): between events intensities only fall, so the present sum
bounds the next. One member stands for the whole flow.

Most market orders take no more than the touch shows (Farmer et al. 2004: What really causes large
price changes?). Limit orders lie behind their side's touch at a distance with a Pareto tail
(Bouchaud, Mezard, Potters 2002: exponent 0.6; Zovko, Farmer 2002: 1.5), or inside the spread. A
cancellation takes one of the flow's own orders of its side; it takes none as often as orders are
fewer than `target`, and a limit order replaces one as often as they are more, so that their number
reverts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log

import numpy as np

from sim.book.ladder import best_price
from sim.book.layout import Book
from sim.crowd.chance import FIRST, MORE, four, lots_of, wait
from sim.crowd.desk import BUY, GTC, IOC, SELL, ZERO, call_off, reference, send, touch_lots
from sim.crowd.layout import OWN_TERMS, SECOND, CrowdState, Kind
from sim.crowd.trader import Traders
from sim.errors import ConfigError
from sim.kernel import F64, i64, inlined, kernel, word
from sim.terms import check_range

TYPES, SCALES = 6, 3
MU, BRANCHING = OWN_TERMS, OWN_TERMS + TYPES
WEIGHT, BETA = BRANCHING + TYPES * TYPES, BRANCHING + TYPES * TYPES + SCALES
PLACING = BETA + SCALES
INSIDE, TAIL, REACH, DEEPEST = PLACING, PLACING + 1, PLACING + 2, PLACING + 3
TARGET, MARKET_SCALE, TIMID = PLACING + 4, PLACING + 5, PLACING + 6
# words of memory: excitations, then
LAST, BOUND, COUNTS = TYPES * SCALES, TYPES * SCALES + 1, TYPES * SCALES + 2
ONE_TICK = word(1)


def symmetric(rows: Sequence[Sequence[float]]) -> F64:
    """Branching matrix (6, 6) from two blocks (3, 3) of limit, market, cancel: same and other side.

    Parameters
    ----------
    rows : sequence (3, 6)
        Each of limit, market and cancel: events of its kind called forth by limit, market and
        cancel of the same side, then of the other side.
    """
    blocks = np.asarray(rows, float)
    matrix = np.zeros((TYPES, TYPES))
    for a in range(3):
        for b in range(3):
            for side in range(2):
                matrix[2 * a + side, 2 * b + side] = blocks[a, b]
                matrix[2 * a + side, 2 * b + 1 - side] = blocks[a, b + 3]
    return matrix


@dataclass(frozen=True, kw_only=True)
class Hawkes(Traders):
    """Multivariate Hawkes flow; base rates are per second and side."""

    limit_rate: float = 0.5
    market_rate: float = 0.05
    cancel_rate: float = 0.4
    branching: Sequence[Sequence[float]] = field(
        default_factory=lambda: [
            [0.40, 0.50, 0.20, 0.10, 0.30, 0.10],
            [0.02, 0.45, 0.02, 0.02, 0.05, 0.02],
            [0.25, 0.30, 0.35, 0.10, 0.20, 0.10],
        ]
    )  # limit, market, cancel by limit, market, cancel of the same side, then of the other
    weights: Sequence[float] = (0.4, 0.35, 0.25)  # of the time scales; they sum to 1
    decays: Sequence[float] = (20.0, 0.5, 0.01)  # per second
    inside: float = 0.3  # share of limit orders inside the spread, where there is room
    tail: float = 1.2  # exponent of the distances' tail
    reach: float = 5.0  # ticks, scale of the distances
    deepest: float = 2000.0  # ticks at which they are cut
    target: float = 1000.0  # orders around which the number of live ones stays
    market_scale: float = 1.0  # size of market orders over that of limit orders
    timid: float = 0.0  # share of market orders that take no more than the touch shows
    slots: int = 8192

    kind = Kind.HAWKES
    memory = COUNTS + TYPES

    def __post_init__(self) -> None:
        """Check; an explosive process is refused."""
        self.check()
        for name in ("limit_rate", "market_rate", "cancel_rate", "reach", "tail", "target"):
            check_range(name, getattr(self, name), 0.0, open_low=True)
        for name in ("inside", "timid"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        check_range("deepest", self.deepest, 0.0, 1e8)
        n = np.asarray(self.branching, float)
        if n.shape != (3, 6) or not np.all(n >= 0.0):
            raise ConfigError(f"branching must be 3 rows of 6 numbers, 0 or more, got {n.tolist()}")
        radius = float(np.max(np.abs(np.linalg.eigvals(self.matrix))))
        if radius >= 1.0:
            raise ConfigError(
                f"branching has spectral radius {radius:.3f}, and the flow would explode; scale it "
                "below 1"
            )
        weights, decays = np.asarray(self.weights, float), np.asarray(self.decays, float)
        if not (
            weights.shape == decays.shape == (SCALES,)
            and np.all(weights >= 0.0)
            and np.all(decays > 0.0)
            and abs(weights.sum() - 1.0) < 1e-9
        ):
            raise ConfigError(
                f"weights and decays must be {SCALES} numbers each, the weights of sum 1, got "
                f"{weights.tolist()} and {decays.tolist()}"
            )

    @property
    def matrix(self) -> F64:
        """Branching matrix (6, 6): kinds limit, market, cancel, each of buyers and sellers."""
        return symmetric(self.branching)

    @property
    def base(self) -> F64:
        """Base rates (6,) per second."""
        return np.repeat([self.limit_rate, self.market_rate, self.cancel_rate], 2)

    @property
    def intensity(self) -> F64:
        """Mean intensities (6,) per second."""
        return np.asarray(np.linalg.solve(np.eye(TYPES) - self.matrix, self.base), np.float64)

    @property
    def mean_gap(self) -> float:
        """Seconds between events on average."""
        return float(1.0 / self.intensity.sum())

    def own_terms(self) -> Sequence[float]:
        """Columns from OWN_TERMS on."""
        return [
            *self.base, *self.matrix.ravel(), *self.weights, *self.decays, self.inside, self.tail,
            self.reach, self.deepest, self.target, self.market_scale, self.timid,
        ]  # fmt: skip


@kernel
def next_kind(crowd: CrowdState, i: int, now: int, u: float, v: float) -> tuple[int, int]:
    """Thin the candidate at `now`.

    Returns
    -------
    kind : int
        Of the event; -1 if the candidate is none.
    following : int
        Time of the next candidate.
    """
    t, at = crowd.terms[crowd.members[i]["group"]], crowd.members[i]["memory"]
    memory = crowd.memory
    seconds = (now - memory[at + LAST]) / SECOND
    memory[at + LAST] = now
    for m in range(SCALES):
        keep = exp(-t[BETA + m] * seconds)
        for k in range(TYPES):
            memory[at + SCALES * k + m] *= keep
    level, kind, total = u * memory[at + BOUND], word_none(), 0.0
    for k in range(TYPES):
        total += t[MU + k]
        for m in range(SCALES):
            total += memory[at + SCALES * k + m]
        if kind < 0 and level < total:
            kind = i64(k)
    if memory[at + BOUND] == 0.0:
        kind = word_none()
    if kind >= 0:
        memory[at + COUNTS + kind] += 1.0
        for m in range(SCALES):
            jump = t[WEIGHT + m] * t[BETA + m]
            for k in range(TYPES):
                memory[at + SCALES * k + m] += t[BRANCHING + TYPES * k + kind] * jump
                total += t[BRANCHING + TYPES * k + kind] * jump
    memory[at + BOUND] = total
    return kind, now + wait(-log(v) / total)


@inlined
def word_none() -> int:
    """No kind."""
    return i64(-1)


@kernel
def limit_price(book: Book, crowd: CrowdState, group: int, side: int, u: float, v: float) -> int:
    """Draw where a limit order lies, in ticks; 0: nowhere."""
    t = crowd.terms[group]
    own, other = best_price(book, side), best_price(book, 1 - side)
    if own == 0:
        mid = i64(reference(book, crowd))
        own = mid - 1 if side == BUY else mid + 1
        if other > 0:
            own = min(own, other - 1) if side == BUY else max(own, other + 1)
    gap = (other - own if side == BUY else own - other) if other > 0 else ONE_TICK
    if gap > 1 and u < t[INSIDE]:
        better = 1 + i64(v * (gap - 1))
        return own + better if side == BUY else own - better
    behind = i64(min(t[REACH] * (v ** (-1.0 / t[TAIL]) - 1.0), t[DEEPEST]))
    return max(own - behind, ZERO) if side == BUY else own + behind


@kernel
def cancel_one(crowd: CrowdState, i: int, now: int, side: int, u: float) -> None:
    """Ask for the cancellation of one order of a side: the first from a random place on."""
    member = crowd.members[i]
    n = member["open"]
    for k in range(n):
        slot = i64(crowd.own[member["first"] + (k + i64(u * n)) % n]["link"])
        if crowd.own[slot]["side"] == side and crowd.own[slot]["price"] != 0:
            call_off(crowd, slot, now)
            return


@kernel
def act_hawkes(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Let one event of the flow happen, if it is one; return when to wake again."""
    group = i64(crowd.members[i]["group"])
    t = crowd.terms[group]
    u, v, x, y = four(crowd, i, FIRST)
    kind, following = next_kind(crowd, i, now, u, v)
    if kind < 0:
        return following
    side = SELL if kind % 2 == 1 else BUY
    a, b, _, _ = four(crowd, i, MORE)
    crowded = crowd.members[i]["open"] / t[TARGET]
    lots = lots_of(crowd, group, x, y)
    if kind < 2:
        send(crowd, i, now, side, limit_price(book, crowd, group, side, a, b), lots, GTC)
        if x < crowded - 1.0:
            cancel_one(crowd, i, now, side, (a + x) % 1.0)
    elif kind < 4:
        big = i64(max(t[MARKET_SCALE] * lots, 1.0))
        if a < t[TIMID]:
            shown = touch_lots(book, 1 - side)
            big = min(big, max(shown, 1))
        send(crowd, i, now, side, ZERO, big, IOC)
    elif a < crowded:
        cancel_one(crowd, i, now, side, b)
    reference(book, crowd)
    return following
