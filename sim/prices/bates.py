"""Bates's model: Heston's stochastic volatility with Merton's lognormal jumps.

    dS_i / S_i- = (mu_i - lambda_i k_i) dt + sqrt(v_i) dW_i + (e^{J_i} - 1) dN_i
    dv_i = kappa_i (theta_i - v_i) dt + xi_i sqrt(v_i) dB_i,    J_i ~ Normal(m_i, s_i^2)

The diffusion is stepped as in `sim.prices.heston`, the jumps as in `sim.prices.jumps`; the
compensator lambda k keeps mu the expected return.

Source: Bates (1996), Jumps and stochastic volatility: exchange rate processes implicit in Deutsche
mark options, Review of Financial Studies 9.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sim import streams
from sim.prices.heston import (
    STREAM,
    check_heston,
    heston_filler,
    heston_terms,
    step_heston,
)
from sim.prices.jumps import STREAM as JUMPS
from sim.prices.jumps import jump_clocks, jump_merton, merton_terms
from sim.prices.paths import PathFiller, check_length
from sim.prices.process import (
    PerAsset,
    PriceModel,
    asset_of,
    check_initial,
    check_numbers,
    correlation_matrix,
    loading_of,
    moving,
    per_asset,
)

if TYPE_CHECKING:
    from sim.world import World


@dataclass(kw_only=True)
class Bates(PriceModel):
    """Stochastic volatility with leverage and jumps (see the module).

    Parameters
    ----------
    initial, volatility, long_run_volatility, mean_reversion, vol_of_vol, leverage, drift
        As for Heston; the volatilities are those of the diffusion, without the jumps. Only assets
        with a volatility jump.
    correlation : float or mapping of pair to float
        Of the assets' Brownian motions.
    intensity : float or mapping of asset to float
        Expected jumps a year: one clock for all assets, or one for each named asset.
    jump_mean, jump_volatility : float or mapping of asset to float
        Mean and standard deviation of a log jump.
    """

    initial: Mapping[str, float]
    volatility: PerAsset = field(default_factory=dict)
    long_run_volatility: PerAsset = field(default_factory=dict)
    mean_reversion: PerAsset = 5.0
    vol_of_vol: PerAsset = 2.0
    leverage: PerAsset = -0.3
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0
    intensity: PerAsset = 0.0
    jump_mean: PerAsset = field(default_factory=dict)
    jump_volatility: PerAsset = field(default_factory=dict)
    channels: ClassVar[tuple[str, ...]] = ("price", "volatility")

    def __post_init__(self) -> None:
        """Check every number."""
        check_heston(self)
        check_initial(
            self.initial,
            intensity=self.intensity,
            jump_mean=self.jump_mean,
            jump_volatility=self.jump_volatility,
        )
        check_numbers("intensity", self.intensity, 0.0, 1e9)
        check_numbers("jump_mean", self.jump_mean, -10.0, 10.0)
        check_numbers("jump_volatility", self.jump_volatility, 0.0, 10.0)

    def bind(self, world: "World") -> None:
        """Allocate prices and variances, turn terms into those of a block, compensate the jumps."""
        names = world.assets
        self.key = streams.stream_key(world.seed, STREAM)
        self.jump_key = streams.stream_key(world.seed, JUMPS)
        sigma = per_asset(self.volatility, names)
        self.assets = moving(sigma)
        self.mean = per_asset(self.jump_mean, names)
        self.spread = per_asset(self.jump_volatility, names)
        self.clock, self.rate = jump_clocks(self.intensity, world, sigma > 0.0)
        terms = heston_terms(self, names, world.block_seconds)
        terms[:, 0] -= self.rate * np.expm1(self.mean + 0.5 * self.spread**2)
        self.terms = terms[self.assets]
        matrix = correlation_matrix(self.correlation, [names[a] for a in self.assets])
        self.loading = loading_of(matrix)
        self.shocks = np.zeros((world.n_worlds, 2 * len(self.assets)))
        self.open(world, variance=sigma**2)

    def move(self, step: int) -> None:
        """Move prices and variances by a block."""
        ids, state = self.world_ids, (self.price, self.arena["variance"], self.shocks)
        step_heston(*state, self.assets, self.loading, self.terms, self.key, ids, step)
        sizes = (self.mean, self.spread, self.jump_key)
        jump_merton(self.price, self.clock, self.rate, *sizes, ids, step)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset."""
        check_length(n_steps, dt_seconds)
        name = asset_of(self.initial, asset, self.volatility)
        sizes = (self.jump_mean, self.jump_volatility)
        jump, compensator = merton_terms(name, dt_seconds, self.intensity, *sizes)
        return heston_filler(self, seed, n_steps, dt_seconds, name, jump, compensator)
