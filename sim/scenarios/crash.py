"""A fall of fundamental prices, straight in the logarithm, with a rebound if wanted."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64
from sim.scenarios.path import LogPath
from sim.scenarios.scenario import Scenario
from sim.terms import check_range

if TYPE_CHECKING:
    from sim.world import World


class CorrelatedCrash(Scenario):
    """Several assets fall together, each by its beta to the leader's log return.

    The factor of an asset with beta b falls from 1 to (1 - size)^b over `duration_hours`, climbs
    back to (1 - size (1 - rebound))^b over `rebound_hours`, and stays.

    Parameters
    ----------
    size : float
        Fall of an asset of beta 1, fraction in (0, 1).
    betas : mapping of str to float
        Beta of each falling asset; the others do not move.
    start_hours : float
        Hours until the fall begins.
    duration_hours : float
        Hours that the fall takes; 0 is a jump.
    rebound : float
        Fraction of the fall that is won back, in [0, 1].
    rebound_hours : float
        Hours that the rebound takes.
    start_jitter_hours : float
        The beginning is later by a uniform number of hours up to this one, drawn in each world.
    """

    def __init__(
        self,
        *,
        size: float,
        betas: Mapping[str, float],
        start_hours: float = 1.0,
        duration_hours: float = 6.0,
        rebound: float = 0.0,
        rebound_hours: float = 12.0,
        start_jitter_hours: float = 0.0,
    ) -> None:
        if not 0.0 < size < 1.0:
            raise ConfigError(f"size must lie in (0, 1), got {size:g}; 0.4 is a fall by 40%")
        if not betas:
            raise ConfigError("betas must name at least one asset, got none; add betas.WETH: 1")
        check_range("start_hours", start_hours, 0.0)
        check_range("duration_hours", duration_hours, 0.0)
        check_range("rebound", rebound, 0.0, 1.0)
        check_range("rebound_hours", rebound_hours, 0.0)
        check_range("start_jitter_hours", start_jitter_hours, 0.0)
        check_range("betas", betas, -np.inf)
        self.size, self.betas = float(size), dict(betas)
        self.first, self.jitter = float(start_hours), float(start_jitter_hours)
        self.path = LogPath(
            (duration_hours, rebound_hours), (1.0 - size, 1.0 - size * (1.0 - rebound))
        )

    def bind(self, world: "World") -> None:
        """Resolve the assets and draw the beginnings."""
        self.world = world
        self.loadings: F64 = np.zeros(len(world.assets))
        for name, beta in self.betas.items():
            self.loadings[world.asset_index(name)] = beta
        self.starts: F64 = np.full(world.n_worlds, self.first)
        if self.jitter > 0.0:
            from sim.streams import stream_key, uniforms

            drawn: F64 = np.zeros((world.n_worlds, 1))
            uniforms(drawn, stream_key(world.seed, f"scenario.{self.name}"), world.world_ids, 0)
            self.starts += self.jitter * drawn[:, 0]

    def apply(self, step: int) -> None:
        """Multiply the price factors."""
        hours = step * self.world.block_seconds / 3_600.0
        if not self.path.is_neutral(hours, self.first, self.first + self.jitter):
            factors = self.world.inputs["price_factor"]
            self.path.multiply(factors, hours, self.starts, self.loadings)


class Crash(CorrelatedCrash):
    """All named assets fall alike: a correlated crash with betas of 1; a depeg for a stablecoin.

    Parameters
    ----------
    assets : sequence of str
        Assets that fall.
    size, start_hours, duration_hours, rebound, rebound_hours, start_jitter_hours
        As in `CorrelatedCrash`.
    """

    def __init__(
        self,
        *,
        size: float,
        assets: Sequence[str] = ("WETH",),
        start_hours: float = 1.0,
        duration_hours: float = 6.0,
        rebound: float = 0.0,
        rebound_hours: float = 12.0,
        start_jitter_hours: float = 0.0,
    ) -> None:
        if not assets:
            raise ConfigError("assets must name at least one asset, got none; try [WETH]")
        super().__init__(
            size=size,
            betas={str(name): 1.0 for name in assets},
            start_hours=start_hours,
            duration_hours=duration_hours,
            rebound=rebound,
            rebound_hours=rebound_hours,
            start_jitter_hours=start_jitter_hours,
        )
