"""Buy once, hold to the end."""

import numpy as np

from agents.hedgers.hedger import Rule, Scalar, Sight
from sim.kernel import F64
from sim.terms import check_range


class Static(Rule):
    """A constant holding.

    Parameters
    ----------
    holding : float or None
        Units; None is tuned between the least and the greatest holding that the environment allows.
    """

    title = "static"

    def __init__(self, *, holding: float | None = None) -> None:
        if holding is not None:
            check_range("holding", holding, -1e9, 1e9)
        self.holding = holding

    @property
    def scalar(self) -> Scalar | None:
        """The holding."""
        if self.holding is not None:
            return None
        return Scalar("holding", self.desk.low, self.desk.high, geometric=False)

    @property
    def told(self) -> str:
        """The holding."""
        return f"holds {self.holding:.3f}"

    def target(self, sight: Sight) -> F64:
        """Return the constant."""
        assert self.holding is not None
        return np.full(sight.holding.size, self.holding)
