"""Whalley and Wilmott's band: as wide as gamma, costs and risk aversion ask for."""

import numpy as np

from agents.hedgers.band import Band
from agents.hedgers.hedger import Scalar, Sight
from sim.kernel import F64
from sim.terms import check_range


class WhalleyWilmott(Band):
    """Half-width (3/2 k S gamma² / lambda)^(1/3) around the delta.

    The asymptotic solution for small proportional costs k under exponential utility (Whalley and
    Wilmott 1997, Mathematical Finance 7; from memory). Prices are counted in units of the first
    price, so that the risk aversion lambda has no unit.

    Parameters
    ----------
    risk_aversion : float or None
        None is tuned.
    lowest, highest : float
        Between which it is tuned.
    rate : float, optional
        Cost of a trade; the environment's when left out.
    """

    title = "Whalley-Wilmott"

    def __init__(
        self, *, risk_aversion: float | None = None, lowest: float = 1.0, highest: float = 1e5,
        rate: float | None = None,
    ) -> None:  # fmt: skip
        if risk_aversion is not None:
            check_range("risk_aversion", risk_aversion, 0.0, 1e12, open_low=True)
        check_range("lowest", lowest, 0.0, highest, open_low=True)
        if rate is not None:
            check_range("rate", rate, 0.0, 1.0)
        self.risk_aversion, self.lowest, self.highest = risk_aversion, lowest, highest
        self.rate = rate

    @property
    def scalar(self) -> Scalar | None:
        """The risk aversion."""
        if self.risk_aversion is not None:
            return None
        return Scalar("risk_aversion", self.lowest, self.highest)

    @property
    def told(self) -> str:
        """The risk aversion."""
        return f"risk aversion {self.risk_aversion:.0f}"

    def half_width_of(self, sight: Sight) -> F64:
        """Half-width at the present gamma."""
        assert self.risk_aversion is not None
        rate = self.desk.rate if self.rate is None else self.rate
        spread = rate * sight.first / sight.price * sight.gamma**2  # k S gamma², prices over first
        return np.asarray(np.cbrt(1.5 * spread / self.risk_aversion))
