"""Hold the delta: what every other hedger is compared with."""

import numpy as np

from agents.hedgers.greeks import DELTA, greeks
from agents.hedgers.hedger import Rule, Scalar, Sight
from sim.kernel import F64
from sim.terms import check_range


class Delta(Rule):
    """Delta of Black and Scholes at the volatility of marks, with a lift for the smile.

    Parameters
    ----------
    lift : float or None
        How far volatility moves per relative move of the price (`agents.hedgers.greeks`): 0 is the
        sticky-strike delta, half of rho nu Bartlett's under lognormal SABR; None is tuned.
    lowest, highest : float
        Between which it is tuned.
    title : str
    """

    def __init__(
        self, *, lift: float | None = 0.0, lowest: float = -0.5, highest: float = 0.5,
        title: str = "delta",
    ) -> None:  # fmt: skip
        if lift is not None:
            check_range("lift", lift, -10.0, 10.0)
        check_range("lowest", lowest, -10.0, highest)
        self.lift, self.lowest, self.highest, self.title = lift, lowest, highest, title

    @property
    def scalar(self) -> Scalar | None:
        """The lift."""
        if self.lift is not None:
            return None
        return Scalar("lift", self.lowest, self.highest, geometric=False)

    @property
    def told(self) -> str:
        """The lift."""
        return f"lift {self.lift:+.3f}" if self.lift else ""

    def target(self, sight: Sight) -> F64:
        """Delta."""
        if not self.lift:
            return sight.delta
        return np.asarray(greeks(self.desk, sight, lift=self.lift)[DELTA])
