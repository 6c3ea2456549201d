"""Market depth that drains away."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.kernel import F64
from sim.scenarios.path import LogPath
from sim.scenarios.scenario import Scenario
from sim.terms import check_range

if TYPE_CHECKING:
    from sim.world import World


class LiquidityDrain(Scenario):
    """The depth of the outside market falls, stays low, and recovers.

    Parameters
    ----------
    remaining : float
        Depth multiplier at the bottom, in (0, 1].
    assets : sequence of str, optional
        Assets whose books drain; all of them when left out.
    start_hours, drain_hours, hold_hours, recovery_hours : float
        Hours until it begins, that the drain takes, that the bottom lasts (inf: for good), and
        that the recovery takes.
    """

    def __init__(
        self,
        *,
        remaining: float,
        assets: Sequence[str] | None = None,
        start_hours: float = 1.0,
        drain_hours: float = 1.0,
        hold_hours: float = 12.0,
        recovery_hours: float = 12.0,
    ) -> None:
        check_range("remaining", remaining, 0.0, 1.0, open_low=True)
        check_range("start_hours", start_hours, 0.0)
        check_range("drain_hours", drain_hours, 0.0)
        check_range("hold_hours", hold_hours, 0.0)
        check_range("recovery_hours", recovery_hours, 0.0)
        self.start, self.assets = float(start_hours), assets
        self.path = LogPath((drain_hours, hold_hours, recovery_hours), (remaining, remaining, 1.0))

    def bind(self, world: "World") -> None:
        """Resolve the assets."""
        self.world = world
        names = world.assets if self.assets is None else self.assets
        self.loadings: F64 = np.zeros(len(world.assets))
        for name in names:
            self.loadings[world.asset_index(name)] = 1.0
        self.starts: F64 = np.full(world.n_worlds, self.start)

    def apply(self, step: int) -> None:
        """Multiply the depth."""
        hours = step * self.world.block_seconds / 3_600.0
        if not self.path.is_neutral(hours, self.start, self.start):
            self.path.multiply(self.world.inputs["depth"], hours, self.starts, self.loadings)
