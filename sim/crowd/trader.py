"""What every group of traders says of itself: how many, how far, how often, how much.

A kind of trader is one file: a frozen dataclass of parameters, with units and sources, and a kernel
`act_*` that is called when one of its members wakes and returns the time of its next wake (-1:
none). `loop` calls the right one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sim.crowd.chance import CONSTANT, LOGNORMAL, MIXTURE, PARETO
from sim.crowd.layout import (
    FIRST_WAKE,
    GAP,
    LATENCY,
    LATENCY_SIGMA,
    OWN_TERMS,
    REACTS,
    ROUND,
    SIZE_A,
    SIZE_B,
    SIZE_LAW,
    SIZE_MAX,
    START_WAKE,
    TERM_WORDS,
    Kind,
)
from sim.kernel import F64
from sim.terms import check_range, require

_LAWS = {"constant": CONSTANT, "lognormal": LOGNORMAL, "abides": MIXTURE, "pareto": PARETO}


@dataclass(frozen=True, kw_only=True)
class Traders(ABC):
    """A group of members with the same parameters.

    Parameters
    ----------
    count : int
        Members.
    latency : float
        Median over members of the time from a member to the exchange, and back, in seconds; each
        member's is sampled once.
    latency_sigma : float
        Standard deviation of its logarithm.
    size_law : str
        Law of order sizes: `constant`, `lognormal` (median `size`, `size_shape` the standard
        deviation of the logarithm), `pareto` (least `size`, tail exponent `size_shape`) or
        `abides` (the mixture of its order size model, times `size`).
    size : float
        Lots.
    size_shape : float
        See `size_law`.
    size_max : float
        Lots above which sizes are cut.
    round_share : float
        Share of sizes that are rounded to one significant digit: people like round numbers.
    gap : float
        Mean seconds between wakes.
    slots : int
        Orders that a member may hold at once, those on the way included.
    """

    count: int = 1
    latency: float = 0.0
    latency_sigma: float = 0.0
    size_law: str = "constant"
    size: float = 1.0
    size_shape: float = 1.0
    size_max: float = 1e9
    round_share: float = 0.0
    slots: int = 8
    start: float = 0.0  # seconds before which nobody of the group wakes

    kind: ClassVar[Kind]
    memory: ClassVar[int] = 0  # words that a member remembers
    reacts: ClassVar[bool] = False  # wakes when it hears of a fill

    @abstractmethod
    def own_terms(self) -> Sequence[float]:
        """Columns of `terms` from OWN_TERMS on."""

    @property
    @abstractmethod
    def mean_gap(self) -> float:
        """Seconds between wakes on average; inf: one wake."""

    @property
    def first_wake(self) -> float:
        """Seconds over which the first wakes are spread."""
        return self.mean_gap

    def check(self) -> None:
        """Raise ConfigError where a common parameter cannot be."""
        require(
            self.size_law in _LAWS,
            f"size_law must be one of {', '.join(_LAWS)}, got {self.size_law}",
        )
        check_range("count", self.count, 0, 1e8)
        check_range("latency", self.latency, 0.0, 3600.0)
        check_range("latency_sigma", self.latency_sigma, 0.0, 10.0)
        check_range("size", self.size, 0.0, 1e12, open_low=True)
        check_range("size_shape", self.size_shape, 0.0, 1e3, open_low=True)
        check_range("size_max", self.size_max, 1.0, 2.0**40)
        check_range("round_share", self.round_share, 0.0, 1.0)
        check_range("slots", self.slots, 1, 2**22)
        check_range("start", self.start, 0.0)

    def row(self, size_scale: float = 1.0) -> F64:
        """Parameters of the group as one row of `terms`, sizes multiplied by `size_scale`."""
        row = np.zeros(TERM_WORDS)
        row[GAP] = min(self.mean_gap, 1e12)
        row[SIZE_LAW] = _LAWS[self.size_law]
        row[SIZE_A], row[SIZE_B] = self.size * size_scale, self.size_shape
        row[SIZE_MAX] = min(self.size_max * size_scale, 2.0**40)
        row[ROUND] = self.round_share
        row[REACTS] = self.reacts
        row[FIRST_WAKE], row[START_WAKE] = min(self.first_wake, 1e9), self.start
        row[LATENCY], row[LATENCY_SIGMA] = self.latency, self.latency_sigma
        own = np.asarray(self.own_terms(), float)
        row[OWN_TERMS : OWN_TERMS + own.size] = own
        return row
