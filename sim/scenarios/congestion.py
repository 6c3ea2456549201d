"""Demand for block space that surges."""

from typing import TYPE_CHECKING

import numpy as np

from sim.kernel import F64
from sim.scenarios.path import LogPath
from sim.scenarios.scenario import Scenario
from sim.terms import check_range

if TYPE_CHECKING:
    from sim.world import World


class Congestion(Scenario):
    """The background demand for gas rises to a multiple, stays there, and falls back.

    Parameters
    ----------
    multiple : float
        Multiple of the usual demand at the peak, positive.
    start_hours, rise_hours, hold_hours, fall_hours : float
        Hours until it begins, that the rise takes, that the peak lasts (inf: for good), and that
        the fall takes.
    """

    def __init__(
        self,
        *,
        multiple: float,
        start_hours: float = 1.0,
        rise_hours: float = 0.5,
        hold_hours: float = 8.0,
        fall_hours: float = 4.0,
    ) -> None:
        check_range("multiple", multiple, 0.0, 1e6, open_low=True)
        check_range("start_hours", start_hours, 0.0)
        check_range("rise_hours", rise_hours, 0.0)
        check_range("hold_hours", hold_hours, 0.0)
        check_range("fall_hours", fall_hours, 0.0)
        self.start = float(start_hours)
        self.path = LogPath((rise_hours, hold_hours, fall_hours), (multiple, multiple, 1.0))

    def bind(self, world: "World") -> None:
        """Take the clock."""
        self.world = world
        self.loadings: F64 = np.ones(1)
        self.starts: F64 = np.full(world.n_worlds, self.start)

    def apply(self, step: int) -> None:
        """Multiply the demand."""
        hours = step * self.world.block_seconds / 3_600.0
        if not self.path.is_neutral(hours, self.start, self.start):
            demand = self.world.inputs["demand"].reshape(-1, 1)
            self.path.multiply(demand, hours, self.starts, self.loadings)
