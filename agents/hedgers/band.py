"""No-trade bands around a delta: trade to the nearest edge, and only when outside."""

from abc import abstractmethod

import numpy as np

from agents.hedgers.hedger import Rule, Scalar, Sight
from sim.kernel import F64
from sim.terms import check_range


class Band(Rule):
    """A hedger that leaves its holding alone inside a band around the delta."""

    @abstractmethod
    def half_width_of(self, sight: Sight) -> F64:
        """Half-width of the band, units, shape (world,)."""

    def target(self, sight: Sight) -> F64:
        """Nearest point of the band; its edges never leave the allowed holdings."""
        half, desk = self.half_width_of(sight), self.desk
        low = np.clip(sight.delta - half, desk.low, desk.high)
        high = np.clip(sight.delta + half, desk.low, desk.high)
        return np.clip(sight.holding, low, high)


class FixedBand(Band):
    """A band of constant width.

    Parameters
    ----------
    half_width : float or None
        Units of the underlying; None is tuned.
    lowest, highest : float
        Between which it is tuned.
    """

    title = "fixed band"

    def __init__(
        self, *, half_width: float | None = None, lowest: float = 0.01, highest: float = 0.4
    ) -> None:
        if half_width is not None:
            check_range("half_width", half_width, 0.0, 1e9)
        check_range("lowest", lowest, 0.0, highest, open_low=True)
        self.half_width, self.lowest, self.highest = half_width, lowest, highest

    @property
    def scalar(self) -> Scalar | None:
        """The half-width."""
        if self.half_width is not None:
            return None
        return Scalar("half_width", self.lowest, self.highest)

    @property
    def told(self) -> str:
        """The half-width."""
        return f"±{self.half_width:.3f}"

    def half_width_of(self, sight: Sight) -> F64:
        """Return the constant."""
        assert self.half_width is not None
        return np.full(sight.delta.size, self.half_width)
