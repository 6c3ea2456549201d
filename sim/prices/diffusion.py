"""Correlated geometric Brownian motion.

    dS_i = mu_i S_i dt + sigma_i S_i dW_i,    d<W_i, W_j> = rho_ij dt

The log price is stepped exactly, so that the law of a path does not depend on the block length:

    S_i(t + dt) = S_i(t) exp((mu_i - sigma_i^2 / 2) dt + sigma_i sqrt(dt) (L z)_i),    L L' = rho

Shapes: price (world, asset); shocks (world, moving asset); loading (moving asset, moving asset).
An asset without volatility grows by its drift alone; with a drift of 0 it is a constant.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sim import streams
from sim.kernel import F64, I64, U64, Bool, kernel
from sim.prices.paths import PathFiller, check_length
from sim.prices.process import (
    SECONDS_PER_YEAR,
    PerAsset,
    PriceModel,
    asset_of,
    check_initial,
    check_numbers,
    correlation_matrix,
    loading_of,
    moving,
    one_asset,
    per_asset,
)
from sim.vector_math import exponential

if TYPE_CHECKING:
    from sim.world import World

STREAM = "prices.diffusion"
PATHS = "prices.diffusion.paths"


@kernel
def diffuse(
    price: F64,
    shocks: F64,
    assets: I64,
    loading: F64,
    growth: F64,
    key: U64,
    world_ids: I64,
    step: int,
) -> None:
    """Multiply prices by one block's lognormal factor.

    Parameters
    ----------
    price : array (world, asset)
        Changed in place.
    shocks : array (world, moving asset)
        Scratch.
    assets : array (moving asset,)
        Which assets move.
    loading : array (moving asset, moving asset)
        Lower-triangular factor of the block's log-return covariance: sigma_i sqrt(dt) L.
    growth : array (asset,)
        Deterministic log return of a block: (mu - sigma^2 / 2) dt, less the jumps' compensator.
    """
    streams.normals(shocks, key, world_ids, step)
    n = assets.shape[0]
    for w in range(price.shape[0]):
        # Backwards, so that each shock is replaced by its asset's log return after its last use.
        for i in range(n - 1, -1, -1):
            total = 0.0
            for j in range(i + 1):
                total += loading[i, j] * shocks[w, j]
            shocks[w, i] = total
    for w in range(price.shape[0]):
        for i in range(n):
            a = assets[i]
            price[w, a] *= np.exp(growth[a] + shocks[w, i])


@kernel
def fill_diffusion(
    out: F64,
    shocks: F64,
    opening: float,
    growth: float,
    spread: float,
) -> None:
    """Turn standard normals into paths; `growth` and `spread` are a step's log mean and deviation.

    Parameters
    ----------
    out : array (row, step + 1, 1)
    shocks : array (row, step)
        Used up.
    """
    for i in range(out.shape[0]):
        for t in range(shocks.shape[1]):  # vector code
            shocks[i, t] = exponential(growth + spread * shocks[i, t])
        price = opening
        out[i, 0, 0] = price
        for t in range(shocks.shape[1]):
            price *= shocks[i, t]
            out[i, t + 1, 0] = price


@dataclass(frozen=True, slots=True)
class Diffusion:
    """Arrays that `diffuse` needs, made for one world."""

    shocks: F64  # (world, moving asset), scratch
    assets: I64  # (moving asset,)
    loading: F64  # (moving asset, moving asset), log return per block
    growth: F64  # (asset,), log return per block
    key: U64

    @classmethod
    def of(
        cls,
        world: "World",
        volatility: PerAsset,
        drift: PerAsset,
        correlation: PerAsset,
        also_moving: Bool | None = None,
    ) -> "Diffusion":
        """Turn annualised terms into those of one block; `also_moving` marks assets that jump."""
        years = world.block_seconds / SECONDS_PER_YEAR
        sigma = per_asset(volatility, world.assets)
        mu = per_asset(drift, world.assets)
        moves = (sigma > 0.0) | (mu != 0.0)
        if also_moving is not None:
            moves = moves | also_moving
        assets = moving(moves.astype(np.float64))
        names = [world.assets[a] for a in assets]
        root = loading_of(correlation_matrix(correlation, names))
        return cls(
            shocks=np.zeros((world.n_worlds, len(names))),
            assets=assets,
            loading=np.ascontiguousarray((sigma[assets] * np.sqrt(years))[:, None] * root),
            growth=(mu - 0.5 * sigma**2) * years,
            key=streams.stream_key(world.seed, STREAM),
        )


@dataclass(kw_only=True)
class GeometricBrownian(PriceModel):
    """Correlated geometric Brownian motion (see the module).

    Parameters
    ----------
    initial : mapping of asset to float
        Price of step 0, USD; every asset of the world needs one.
    volatility : float or mapping of asset to float
        Annualised standard deviation of log returns; assets left out do not move.
    drift : float or mapping of asset to float
        Annualised expected return; 0 makes prices martingales.
    correlation : float or mapping of pair to float
        Of the Brownian motions: one number, or by pair (`WETH/WBTC: 0.8`), others 0.
    """

    initial: Mapping[str, float]
    volatility: PerAsset = field(default_factory=dict)
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0

    def __post_init__(self) -> None:
        """Check every number."""
        check_diffusion(self.initial, self.volatility, self.drift, self.correlation)

    def bind(self, world: "World") -> None:
        """Allocate prices and the scratch of the shocks."""
        self.diffusion = Diffusion.of(world, self.volatility, self.drift, self.correlation)
        self.open(world)

    def move(self, step: int) -> None:
        """Move prices by a block."""
        d = self.diffusion
        diffuse(self.price, d.shocks, d.assets, d.loading, d.growth, d.key, self.world_ids, step)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset."""
        terms = path_terms(self, n_steps, dt_seconds, asset)[1:]
        key = streams.stream_key(seed, PATHS)
        return PathFiller(fill_diffusion, terms, key, n_steps, 1, 1)


class Brownian(Protocol):
    """What the models with a constant volatility have in common."""

    initial: Mapping[str, float]
    volatility: PerAsset
    drift: PerAsset


def path_terms(
    process: Brownian, n_steps: int, dt_seconds: float, asset: str | None, *jumps: PerAsset
) -> tuple[str, float, float, float]:
    """Name the asset of a path; give its first price, and a step's log mean and deviation."""
    check_length(n_steps, dt_seconds)
    name = asset_of(process.initial, asset, process.volatility, process.drift, *jumps)
    years = dt_seconds / SECONDS_PER_YEAR
    sigma = one_asset(process.volatility, name)
    growth = (one_asset(process.drift, name) - 0.5 * sigma**2) * years
    return name, float(process.initial[name]), growth, sigma * math.sqrt(years)


def check_diffusion(
    initial: Mapping[str, float], volatility: PerAsset, drift: PerAsset, correlation: PerAsset
) -> None:
    """Check the terms that every model with a Brownian part shares."""
    check_initial(initial, volatility=volatility, drift=drift)
    check_numbers("volatility", volatility, 0.0, 100.0)
    check_numbers("drift", drift, -1000.0, 1000.0)
    check_numbers("correlation", correlation, -1.0, 1.0)
