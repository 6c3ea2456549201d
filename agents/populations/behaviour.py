"""How borrowers differ: what they do, when they look, how fast they are, what they can spend.

Traits are arrays over positions, drawn once and shared by all worlds. An inspection calendar groups
positions by (interval class, phase), so that a block's inspections are a few contiguous ranges and
cost nothing for everybody else.

A borrower who started close to liquidation evidently tolerates it: with initial health factors
given, nobody's trigger lies above their own start, so that no wave of repairs in the first hour
wipes out the knife edge of the book.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from math import isfinite
from typing import Self

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64, I64


class Reaction(IntEnum):
    """What a borrower does when the trigger is hit."""

    NEVER = 0
    TOP_UP = 1  # health fell below the trigger: add collateral up to the target
    REPAY = 2  # health fell below the trigger: repay debt up to the target
    RELEVERAGE = 3  # health rose above the trigger: withdraw collateral down to the target


@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowerParams:
    """Shares, medians and dispersions of borrowers' traits.

    None of these rests on a measurement: all are assumptions, to be varied in a study.
    """

    never: float = 0.35  # share of borrowers who never react
    top_up: float = 0.25  # share who add collateral
    repay: float = 0.30  # share who repay
    releverage: float = 0.10  # share who withdraw when health is ample
    trigger_median: float = 1.12  # health factor below which a defender acts, median
    trigger_sigma: float = 0.6  # standard deviation of log(trigger - 1)
    target_gap_median: float = 0.25  # target less trigger, in health factor, median
    target_gap_sigma: float = 0.5  # standard deviation of its log
    ample_median: float = 2.5  # health factor above which a releverager acts, median
    ample_sigma: float = 0.5  # standard deviation of log(that - 1)
    interval_seconds: Mapping[str, float] = field(
        default_factory=lambda: {"bot": 900.0, "keen": 3600.0, "casual": 14400.0, "daily": 86400.0}
    )  # time between two inspections by class, s
    interval_share: Mapping[str, float] = field(
        default_factory=lambda: {"bot": 0.10, "keen": 0.20, "casual": 0.35, "daily": 0.35}
    )  # share of borrowers by class
    delay_median_seconds: float = 300.0  # from noticing to sending, median, s
    delay_sigma: float = 1.0  # standard deviation of its log
    wallet_median: float = 0.15  # spare funds, fraction of initial collateral value
    wallet_sigma: float = 1.0  # standard deviation of its log
    gas_tolerance_median: float = 0.01  # highest gas cost, fraction of what is moved
    gas_tolerance_sigma: float = 0.8  # standard deviation of its log
    fee_cap_median_gwei: float = 150.0  # highest fee per unit of gas, median, gwei
    fee_cap_sigma: float = 0.7  # standard deviation of its log

    def __post_init__(self) -> None:
        shares = self.shares()
        if not (min(shares) >= 0.0 and abs(sum(shares) - 1.0) <= 1e-9):
            raise ConfigError(
                "never, top_up, repay and releverage must be shares that sum to 1, got "
                f"{', '.join(f'{share:g}' for share in shares)}"
            )
        for name in ("trigger_median", "ample_median"):
            if not 1.0 < getattr(self, name) < np.inf:
                raise ConfigError(f"{name} must exceed 1, got {getattr(self, name)}")
        for name in self.__slots__:
            value = getattr(self, name)
            if name.endswith("_sigma") and not (isfinite(value) and value >= 0.0):
                raise ConfigError(f"{name} must be zero or more, got {value}")
            positive = "_median" in name and not (isfinite(value) and value > 0.0)
            if positive:
                raise ConfigError(f"{name} must be positive, got {value}")
        self._check_intervals()

    def _check_intervals(self) -> None:
        if set(self.interval_seconds) != set(self.interval_share) or not self.interval_seconds:
            raise ConfigError(
                "interval_seconds and interval_share must name the same classes, got "
                f"{', '.join(self.interval_seconds)} and {', '.join(self.interval_share)}"
            )
        for name, seconds in self.interval_seconds.items():
            if not (isfinite(seconds) and seconds > 0.0):
                raise ConfigError(f"interval_seconds.{name} must be positive s, got {seconds}")
        shares = self.interval_share.values()
        if not (min(shares) >= 0.0 and abs(sum(shares) - 1.0) <= 1e-9):
            raise ConfigError(f"interval_share must sum to 1, got {sum(shares):g}")

    def shares(self) -> tuple[float, float, float, float]:
        """Shares in the order of `Reaction`."""
        return self.never, self.top_up, self.repay, self.releverage


@dataclass(frozen=True, slots=True)
class BorrowerTraits:
    """One entry per position, C-contiguous; float64 unless said otherwise."""

    reaction: I64  # Reaction
    trigger: F64  # health factor: act below it (above it for RELEVERAGE)
    target: F64  # health factor to restore
    interval: I64  # class of inspection interval, index into `interval_seconds`
    phase: F64  # place of the inspections in the interval, fraction in [0, 1)
    delay: F64  # from inspection to submission, s
    wallet: F64  # spare funds, fraction of the position's initial collateral value
    gas_tolerance: F64  # highest gas cost, fraction of the value moved
    fee_cap: F64  # highest fee per unit of gas, gwei
    interval_seconds: F64  # time between inspections of each class, s, shape (class,)

    def __len__(self) -> int:
        return int(self.reaction.shape[0])

    def take(self, indices: I64) -> Self:
        """Traits of the given positions in the given order."""
        names = [name for name in self.__slots__ if name != "interval_seconds"]
        arrays = {name: getattr(self, name)[indices] for name in names}
        return type(self)(**arrays, interval_seconds=self.interval_seconds)


def draw_traits(
    params: BorrowerParams, n: int, seed: int, health: F64 | None = None
) -> BorrowerTraits:
    """Draw the traits of n positions, the same ones for the same seed.

    Parameters
    ----------
    params : BorrowerParams
    n : int
        Number of positions.
    seed : int
        Each trait has its own stream of it: another parameter leaves the other traits alone.
    health : array (n,), optional
        Health factors at the start. A defender's trigger then lies at most a random 30% to 90% of
        the way from 1 to it, a releverager's at least 10% above it.
    """
    if health is not None and health.shape != (n,):
        raise ConfigError(f"health must give one number per position, ({n},), got {health.shape}")

    def stream(name: str) -> np.random.Generator:
        tag = int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little")
        return np.random.default_rng([seed, tag])

    def lognormal(name: str, median: float, sigma: float) -> F64:
        return np.asarray(median * np.exp(sigma * stream(name).standard_normal(n)))

    reaction = _categories(stream("reaction"), np.array(params.shares()), n)
    classes = list(params.interval_seconds)
    interval = _categories(
        stream("interval"), np.array([params.interval_share[name] for name in classes]), n
    )
    low = 1.0 + lognormal("trigger", params.trigger_median - 1.0, params.trigger_sigma)
    high = 1.0 + lognormal("ample", params.ample_median - 1.0, params.ample_sigma)
    if health is not None:
        low = np.minimum(low, 1.0 + stream("content").uniform(0.3, 0.9, n) * _buffer(health))
        high = np.maximum(high, np.where(np.isfinite(health), 1.1 * health, high))
    gap = lognormal("target", params.target_gap_median, params.target_gap_sigma)
    releverage = reaction == Reaction.RELEVERAGE
    # A releverager stops at half the distance to 1 at the lowest.
    return BorrowerTraits(
        reaction=reaction,
        trigger=np.where(releverage, high, low),
        target=np.where(releverage, np.maximum(high - gap, 0.5 * (1.0 + high)), low + gap),
        interval=interval,
        phase=stream("phase").random(n),
        delay=lognormal("delay", params.delay_median_seconds, params.delay_sigma),
        wallet=lognormal("wallet", params.wallet_median, params.wallet_sigma),
        gas_tolerance=lognormal("gas", params.gas_tolerance_median, params.gas_tolerance_sigma),
        fee_cap=lognormal("fee_cap", params.fee_cap_median_gwei, params.fee_cap_sigma),
        interval_seconds=np.array([float(params.interval_seconds[name]) for name in classes]),
    )


def _buffer(health: F64) -> F64:
    """Distance to liquidation; none for a position that starts below 1."""
    return np.asarray(np.clip(health - 1.0, 0.0, 1e6))


def _categories(rng: np.random.Generator, shares: F64, n: int) -> I64:
    cuts = np.cumsum(shares)[:-1] / shares.sum()
    return np.asarray(np.searchsorted(cuts, rng.random(n), side="right"), np.int64)


@dataclass(frozen=True, slots=True)
class InspectionCalendar:
    """Who looks when, for positions stored in `order`.

    Attributes
    ----------
    order : array (position,), int64
        Permutation: apply it to the book and to the traits (`take`). Borrowers who never react come
        last and are in no range.
    periods : array (class,), int64
        Blocks between two inspections.
    bounds : array (sum of periods + 1,), int64
        Start of each (class, phase) group in the new order; the next entry is its end.
    first : array (class,), int64
        Entry of `bounds` at which a class begins.
    """

    order: I64
    periods: I64
    bounds: I64
    first: I64

    def ranges(self, step: int) -> I64:
        """Half-open ranges (start, stop) that inspect in a block, shape (class, 2)."""
        group = self.first + step % self.periods
        pairs = np.empty((group.shape[0], 2), np.int64)
        pairs[:, 0] = self.bounds[group]
        pairs[:, 1] = self.bounds[group + 1]
        return pairs


def calendar(traits: BorrowerTraits, block_seconds: float) -> InspectionCalendar:
    """Order positions so that each block's inspections are one range per interval class.

    An interval is rounded to whole blocks, one at least. Within a group the book's order is kept.
    """
    if not (isfinite(block_seconds) and block_seconds > 0.0):
        raise ConfigError(f"block_seconds must be positive s, got {block_seconds}")
    periods = np.maximum(1, np.rint(traits.interval_seconds / block_seconds)).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(periods)[:-1]]).astype(np.int64)
    n_groups = int(periods.sum())
    period = periods[traits.interval]
    phase = np.minimum((traits.phase * period).astype(np.int64), period - 1)
    group = np.where(traits.reaction == Reaction.NEVER, n_groups, first[traits.interval] + phase)
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(n_groups + 1), side="left")
    return InspectionCalendar(order, periods, np.asarray(bounds, np.int64), first)
