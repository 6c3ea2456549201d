"""Jump diffusions: Merton's lognormal and Kou's double-exponential jumps.

    dS_i / S_i- = (mu_i - lambda_i k_i) dt + sigma_i dW_i + (e^{J_i} - 1) dN_i
    k_i = E[e^{J_i}] - 1

The compensator lambda k keeps mu the expected return: with mu = 0 prices are martingales however
they jump. Log prices are stepped exactly.

One number as `intensity` is one Poisson clock for all assets, whose jumps are then comonotone: a
crash hits everything in the same instant, each asset by its own measure. A mapping gives each named
asset its own clock and independent jumps.

Sources: Merton (1976), Option pricing when underlying stock returns are discontinuous; Kou (2002),
A jump-diffusion model for option pricing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sim import streams
from sim.errors import ConfigError
from sim.kernel import F64, I64, U64, Bool, kernel
from sim.prices.diffusion import PATHS as DIFFUSION_PATHS
from sim.prices.diffusion import Diffusion, check_diffusion, diffuse, path_terms
from sim.prices.paths import PathFiller
from sim.prices.process import (
    SECONDS_PER_YEAR,
    PerAsset,
    PriceModel,
    check_initial,
    check_numbers,
    one_asset,
    per_asset,
)

if TYPE_CHECKING:
    from sim.world import World

STREAM = "prices.jumps"
PATHS = "prices.jumps.paths"
_MOST = 4096  # addresses that the jumps of one step of a path may take


@kernel
def jump_merton(
    price: F64,
    clock: I64,
    rate: F64,
    mean: F64,
    spread: F64,
    key: U64,
    world_ids: I64,
    step: int,
) -> None:
    """Apply one block's lognormal jumps; n of them add up to Normal(n mean, n spread^2).

    Parameters
    ----------
    price : array (world, asset)
        Changed in place.
    clock : array (asset,)
        Index of the asset's Poisson clock: draws are shared by the assets of a clock.
    rate : array (asset,)
        Expected jumps in a block.
    mean, spread : array (asset,)
        Mean and standard deviation of a log jump.
    """
    for w in range(price.shape[0]):
        for a in range(price.shape[1]):
            n = streams.poisson(key, world_ids[w], step, clock[a], rate[a])
            if n > 0:
                z = streams.normal(key, world_ids[w], step, clock[a])
                price[w, a] *= math.exp(n * mean[a] + math.sqrt(n) * spread[a] * z)


@kernel
def jump_kou(
    price: F64,
    clock: I64,
    rate: F64,
    up: F64,
    mean_up: F64,
    mean_down: F64,
    key: U64,
    world_ids: I64,
    step: int,
) -> None:
    """Apply one block's double-exponential jumps.

    Parameters
    ----------
    price : array (world, asset)
        Changed in place.
    clock : array (asset,)
        Index of the asset's Poisson clock: draws are shared by the assets of a clock.
    rate : array (asset,)
        Expected jumps in a block.
    up : array (asset,)
        Probability that a jump goes up.
    mean_up, mean_down : array (asset,)
        Mean size of a log jump in either direction.
    """
    n_assets = price.shape[1]
    for w in range(price.shape[0]):
        for a in range(n_assets):
            n = streams.poisson(key, world_ids[w], step, clock[a], rate[a])
            total = 0.0
            for k in range(n):
                index = k * n_assets + clock[a]
                size = streams.exponential(key, world_ids[w], step, index)
                if streams.uniform(key, world_ids[w], step, index) > 1.0 - up[a]:
                    total += size * mean_up[a]
                else:
                    total -= size * mean_down[a]
            if n > 0:
                price[w, a] *= math.exp(total)


@kernel
def merton_jump(
    rate: float, mean: float, spread: float, key: U64, world_id: int, step: int, index: int
) -> float:
    """Draw the log jump of one step of a path, 0 without one."""
    n = streams.poisson(key, world_id, step, index, rate)
    if n == 0:
        return 0.0
    return n * mean + math.sqrt(n) * spread * streams.normal(key, world_id, step, index)


@kernel
def fill_merton(
    out: F64,
    shocks: F64,
    opening: float,
    growth: float,
    spread: float,
    jump: F64,
    key: U64,
    world_ids: I64,
    episodes: I64,
) -> None:
    """Turn standard normals into paths with lognormal jumps.

    Parameters
    ----------
    out : array (row, step + 1, 1)
    shocks : array (row, step)
    growth, spread : float
        Log mean (compensated) and deviation of a step without jumps.
    jump : array (3,)
        Expected jumps in a step; mean and standard deviation of a log jump.
    """
    for i in range(out.shape[0]):
        price = opening
        out[i, 0, 0] = price
        for t in range(shocks.shape[1]):
            move = growth + spread * shocks[i, t]
            move += merton_jump(jump[0], jump[1], jump[2], key, world_ids[i], episodes[i], t)
            price *= math.exp(move)
            out[i, t + 1, 0] = price


@kernel
def fill_kou(
    out: F64,
    shocks: F64,
    opening: float,
    growth: float,
    spread: float,
    jump: F64,
    key: U64,
    world_ids: I64,
    episodes: I64,
) -> None:
    """Turn standard normals into paths with double-exponential jumps.

    Parameters
    ----------
    out : array (row, step + 1, 1)
    shocks : array (row, step)
    growth, spread : float
        Log mean (compensated) and deviation of a step without jumps.
    jump : array (4,)
        Expected jumps in a step; probability that one goes up; mean log jump up and down.
    """
    for i in range(out.shape[0]):
        w, e = world_ids[i], episodes[i]
        price = opening
        out[i, 0, 0] = price
        for t in range(shocks.shape[1]):
            move = growth + spread * shocks[i, t]
            for k in range(streams.poisson(key, w, e, t, jump[0])):
                index = t * _MOST + k
                size = streams.exponential(key, w, e, index)
                if streams.uniform(key, w, e, index) > 1.0 - jump[1]:
                    move += size * jump[2]
                else:
                    move -= size * jump[3]
            price *= math.exp(move)
            out[i, t + 1, 0] = price


def jump_clocks(intensity: PerAsset, world: "World", jumps: Bool) -> tuple[I64, F64]:
    """Give each asset its clock and its expected jumps per block, 0 where `jumps` is False."""
    n = len(world.assets)
    per_block = per_asset(intensity, world.assets) * world.block_seconds / SECONDS_PER_YEAR
    own = isinstance(intensity, Mapping)
    clock = np.arange(n, dtype=np.int64) if own else np.zeros(n, np.int64)
    return clock, np.where(jumps, per_block, 0.0)


@dataclass(kw_only=True)
class Merton(PriceModel):
    """Jump diffusion with lognormal jumps (see the module).

    Parameters
    ----------
    initial, volatility, drift, correlation
        As for GeometricBrownian: USD; annualised; annualised; of the Brownian motions.
    intensity : float or mapping of asset to float
        Expected jumps a year: one clock for all assets, or one for each named asset.
    jump_mean : float or mapping of asset to float
        Mean of a log jump.
    jump_volatility : float or mapping of asset to float
        Standard deviation of a log jump. Assets with neither mean nor volatility do not jump.
    """

    initial: Mapping[str, float]
    volatility: PerAsset = field(default_factory=dict)
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0
    intensity: PerAsset = 0.0
    jump_mean: PerAsset = field(default_factory=dict)
    jump_volatility: PerAsset = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every number."""
        check_diffusion(self.initial, self.volatility, self.drift, self.correlation)
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
        """Allocate prices, turn terms into those of a block and compensate the jumps."""
        self.mean = per_asset(self.jump_mean, world.assets)
        self.spread = per_asset(self.jump_volatility, world.assets)
        jumps = (self.mean != 0.0) | (self.spread > 0.0)
        self.clock, self.rate = jump_clocks(self.intensity, world, jumps)
        self.key = streams.stream_key(world.seed, STREAM)
        self.diffusion = Diffusion.of(
            world, self.volatility, self.drift, self.correlation, self.rate > 0.0
        )
        self.diffusion.growth[:] -= self.rate * np.expm1(self.mean + 0.5 * self.spread**2)
        self.open(world)

    def move(self, step: int) -> None:
        """Move prices by a block."""
        d, ids = self.diffusion, self.world_ids
        diffuse(self.price, d.shocks, d.assets, d.loading, d.growth, d.key, ids, step)
        jump_merton(self.price, self.clock, self.rate, self.mean, self.spread, self.key, ids, step)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset."""
        sizes = (self.jump_mean, self.jump_volatility)
        name, opening, growth, spread = path_terms(self, n_steps, dt_seconds, asset, *sizes)
        jump, compensator = merton_terms(
            name, dt_seconds, self.intensity, self.jump_mean, self.jump_volatility
        )
        terms = (opening, growth - compensator, spread, jump, streams.stream_key(seed, PATHS))
        key = streams.stream_key(seed, DIFFUSION_PATHS)
        return PathFiller(fill_merton, terms, key, n_steps, 1, 1, addressed=True)


def merton_terms(
    asset: str, dt_seconds: float, intensity: PerAsset, mean: PerAsset, spread: PerAsset
) -> tuple[F64, float]:
    """Terms (rate, mean, spread) of one asset's jumps in a step, and their compensator."""
    m, s = one_asset(mean, asset), one_asset(spread, asset)
    jumps = m != 0.0 or s > 0.0
    rate = one_asset(intensity, asset) * dt_seconds / SECONDS_PER_YEAR if jumps else 0.0
    return np.array([rate, m, s]), rate * math.expm1(m + 0.5 * s**2)


@dataclass(kw_only=True)
class Kou(PriceModel):
    """Jump diffusion with asymmetric double-exponential jumps (see the module).

    Parameters
    ----------
    initial, volatility, drift, correlation
        As for GeometricBrownian: USD; annualised; annualised; of the Brownian motions.
    intensity : float or mapping of asset to float
        Expected jumps a year: one clock for all assets, or one for each named asset.
    probability_up : float or mapping of asset to float
        Probability that a jump goes up.
    mean_up, mean_down : float or mapping of asset to float
        Mean size of a log jump up (under 1: else the expected price is infinite) and down. Assets
        with neither do not jump.
    """

    initial: Mapping[str, float]
    volatility: PerAsset = field(default_factory=dict)
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0
    intensity: PerAsset = 0.0
    probability_up: PerAsset = 0.3
    mean_up: PerAsset = field(default_factory=dict)
    mean_down: PerAsset = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every number."""
        check_diffusion(self.initial, self.volatility, self.drift, self.correlation)
        check_initial(
            self.initial,
            intensity=self.intensity,
            probability_up=self.probability_up,
            mean_up=self.mean_up,
            mean_down=self.mean_down,
        )
        check_numbers("intensity", self.intensity, 0.0, 1e9)
        check_numbers("probability_up", self.probability_up, 0.0, 1.0)
        check_numbers("mean_up", self.mean_up, 0.0, 10.0)
        check_numbers("mean_down", self.mean_down, 0.0, 10.0)
        sizes = self.mean_up.values() if isinstance(self.mean_up, Mapping) else [self.mean_up]
        if any(size >= 1.0 for size in sizes):
            raise ConfigError(
                f"mean_up must lie under 1, or the expected price is infinite, got {max(sizes):g}; "
                "lower it"
            )

    def bind(self, world: "World") -> None:
        """Allocate prices, turn terms into those of a block and compensate the jumps."""
        self.up = per_asset(self.probability_up, world.assets, 0.3)
        self.size_up = per_asset(self.mean_up, world.assets)
        self.size_down = per_asset(self.mean_down, world.assets)
        jumps = (self.size_up > 0.0) | (self.size_down > 0.0)
        self.clock, self.rate = jump_clocks(self.intensity, world, jumps)
        self.key = streams.stream_key(world.seed, STREAM)
        self.diffusion = Diffusion.of(
            world, self.volatility, self.drift, self.correlation, self.rate > 0.0
        )
        factor = self.up / (1.0 - self.size_up) + (1.0 - self.up) / (1.0 + self.size_down)
        self.diffusion.growth[:] -= self.rate * (factor - 1.0)
        self.open(world)

    def move(self, step: int) -> None:
        """Move prices by a block."""
        d, ids = self.diffusion, self.world_ids
        diffuse(self.price, d.shocks, d.assets, d.loading, d.growth, d.key, ids, step)
        sizes = (self.up, self.size_up, self.size_down)
        jump_kou(self.price, self.clock, self.rate, *sizes, self.key, ids, step)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset."""
        sizes = (self.mean_up, self.mean_down)
        name, opening, growth, spread = path_terms(self, n_steps, dt_seconds, asset, *sizes)
        up, size_up, size_down = (
            one_asset(self.probability_up, name, 0.3),
            *(one_asset(s, name) for s in sizes),
        )
        rate = one_asset(self.intensity, name) * dt_seconds / SECONDS_PER_YEAR
        rate = rate if size_up > 0.0 or size_down > 0.0 else 0.0
        factor = up / (1.0 - size_up) + (1.0 - up) / (1.0 + size_down)
        jump = np.array([rate, up, size_up, size_down])
        growth -= rate * (factor - 1.0)
        terms = (opening, growth, spread, jump, streams.stream_key(seed, PATHS))
        key = streams.stream_key(seed, DIFFUSION_PATHS)
        return PathFiller(fill_kou, terms, key, n_steps, 1, 1, addressed=True)
