"""Oracles that fall silent or see the past."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.kernel import I64
from sim.scenarios.scenario import Scenario
from sim.terms import check_range, require

if TYPE_CHECKING:
    from sim.world import World


def feeds(world: "World", assets: Sequence[str] | None) -> I64:
    """Look up the named feeds; all of them for None."""
    if assets is None:
        return np.arange(len(world.assets))
    return np.array([world.asset_index(name) for name in assets], np.int64)


class OracleOutage(Scenario):
    """Feeds publish nothing new for a while; what is already in flight still arrives.

    Parameters
    ----------
    assets : sequence of str, optional
        Feeds that fall silent; all of them when left out.
    start_hours, duration_hours : float
        Hours until the outage begins, and hours that it lasts.
    """

    def __init__(
        self,
        *,
        assets: Sequence[str] | None = None,
        start_hours: float = 1.0,
        duration_hours: float = 2.0,
    ) -> None:
        check_range("start_hours", start_hours, 0.0)
        check_range("duration_hours", duration_hours, 0.0, open_low=True)
        self.assets = assets
        self.start, self.end = float(start_hours), float(start_hours + duration_hours)

    def bind(self, world: "World") -> None:
        """Resolve the feeds."""
        self.world = world
        self.feeds = feeds(world, self.assets)

    def apply(self, step: int) -> None:
        """Halt the feeds."""
        if self.start <= step * self.world.block_seconds / 3_600.0 < self.end:
            self.world.inputs["oracle_halted"][:, self.feeds] = 1.0


class OracleLag(Scenario):
    """Feeds observe the market of some time ago for a while.

    Parameters
    ----------
    lag_seconds : float
        Age of what they observe, seconds; at most the oracle's `max_lag_seconds`.
    assets : sequence of str, optional
        Feeds that lag; all of them when left out.
    start_hours, duration_hours : float
        Hours until the lag begins, and hours that it lasts.
    """

    def __init__(
        self,
        *,
        lag_seconds: float,
        assets: Sequence[str] | None = None,
        start_hours: float = 0.0,
        duration_hours: float = np.inf,
    ) -> None:
        require(
            0.0 < lag_seconds < np.inf,
            f"lag_seconds must be positive and finite, got {lag_seconds:g}; for silence use an "
            "oracle outage",
        )
        check_range("start_hours", start_hours, 0.0)
        check_range("duration_hours", duration_hours, 0.0, open_low=True)
        self.lag_seconds, self.assets = float(lag_seconds), assets
        self.start, self.end = float(start_hours), float(start_hours + duration_hours)

    def bind(self, world: "World") -> None:
        """Resolve the feeds."""
        self.world = world
        self.feeds = feeds(world, self.assets)

    def apply(self, step: int) -> None:
        """Add to the lag of the feeds."""
        if self.start <= step * self.world.block_seconds / 3_600.0 < self.end:
            self.world.inputs["oracle_lag"][:, self.feeds] += self.lag_seconds
