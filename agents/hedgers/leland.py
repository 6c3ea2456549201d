"""Leland's delta: volatility is raised by what discrete trading at a cost adds to it."""

import numpy as np

from agents.hedgers.greeks import DELTA, greeks
from agents.hedgers.hedger import Rule, Sight
from sim.kernel import F64
from sim.terms import check_range


class Leland(Rule):
    """Delta at the volatility sigma sqrt(1 + sqrt(2 / pi) 2 k / (sigma sqrt(dt))).

    k is the cost of a trade as a fraction of its worth, dt the length of a period (Leland 1985, J.
    Finance 40; from memory, k being the one-way cost; the figures it gives on the standard test are
    compared with those of an independent computation in the tests). It is made for short options.

    Parameters
    ----------
    rate : float, optional
        Cost of a trade; the environment's when left out.
    """

    title = "Leland"

    def __init__(self, *, rate: float | None = None) -> None:
        if rate is not None:
            check_range("rate", rate, 0.0, 1.0)
        self.rate = rate

    def target(self, sight: Sight) -> F64:
        """Delta at the raised volatility."""
        rate = self.desk.rate if self.rate is None else self.rate
        return np.asarray(greeks(self.desk, sight, "leland", [rate])[DELTA])
