"""SABR: stochastic volatility of constant elasticity, several correlated assets.

    dS_i = mu_i S_i dt + a_i (S_i / S_i(0))^(beta_i - 1) S_i dW_i
    da_i = nu_i a_i dB_i,    d<W_i, B_i> = rho_i dt

With the price measured against its first, `a` is the volatility of log returns at step 0 for any
beta; the SABR alpha of the literature, dS = alpha S^beta dW, is a S(0)^(1 - beta). beta = 1 is the
lognormal model.

`a` is stepped exactly. The log price takes an Euler step with the volatility that stands at its
beginning, so that without drift the price is a martingale for any block length and beta; the scheme
is of weak order 1. Near the barrier at 0, where the model with beta < 1 would be absorbed, two
limits hold: below S / S(0) = 1e-2 the elasticity ends, and the volatility stays what it is there; a
price does not fall under 1e-12 of the first.

Write W = rho B + sqrt(1 - rho^2) Z, as in `sim.prices.heston`.

Source: Hagan, Kumar, Lesniewski, Woodward (2002), Managing smile risk, Wilmott magazine. The
parameters of the hedging study are those of Cao, Chen, Hull, Poulos (2021), arXiv 2103.16409.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sim import streams
from sim.kernel import F64, I64, U64, inlined, kernel
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

if TYPE_CHECKING:
    from sim.world import World

STREAM = "prices.sabr"
PATHS = "prices.sabr.paths"
_LOWEST = 1e-2  # of S / S(0): where the elasticity ends
_FLOOR = 1e-12  # of S / S(0): so that a price is never 0


@inlined
def sabr_volatility(level: float, ratio: float, beta: float) -> float:
    """Volatility of log returns a year, from a and S / S(0)."""
    if beta == 1.0:
        return level
    return level * math.pow(max(ratio, _LOWEST), beta - 1.0)


@inlined
def sabr_step(
    level: float, ratio: float, terms: F64, z_level: float, z_price: float
) -> tuple[float, float]:
    """Next a and log return of a step; `terms` as in `step_sabr`."""
    rho, root = terms[3], terms[4]
    z = rho * z_level + math.sqrt(1.0 - rho * rho) * z_price
    spread = sabr_volatility(level, ratio, terms[1]) * root
    swing = terms[2] * root
    return (
        level * math.exp(swing * z_level - 0.5 * swing * swing),
        terms[0] + spread * z - 0.5 * spread * spread,
    )


@kernel
def step_sabr(
    price: F64,
    level: F64,
    shocks: F64,
    opening: F64,
    assets: I64,
    loading: F64,
    terms: F64,
    key: U64,
    world_ids: I64,
    step: int,
) -> None:
    """Advance price and volatility by one block.

    Parameters
    ----------
    price, level : array (world, asset)
        S, USD, and a, a year; changed in place.
    shocks : array (world, 2 x moving asset)
        Scratch.
    opening : array (asset,)
        S(0), USD.
    assets : array (moving asset,)
        Which assets move.
    loading : array (moving asset, moving asset)
        Lower-triangular factor of the correlation.
    terms : array (moving asset, 5)
        mu dt, beta, nu, rho, sqrt(dt); years.
    """
    streams.normals(shocks, key, world_ids, step)
    n = assets.shape[0]
    for w in range(price.shape[0]):
        for i in range(n):
            z_level = 0.0
            z_price = 0.0
            for j in range(i + 1):
                z_level += loading[i, j] * shocks[w, j]
                z_price += loading[i, j] * shocks[w, n + j]
            a = assets[i]
            ratio = price[w, a] / opening[a]
            following, move = sabr_step(level[w, a], ratio, terms[i], z_level, z_price)
            level[w, a] = following
            price[w, a] = opening[a] * max(ratio * math.exp(move), _FLOOR)


@kernel
def fill_sabr(
    out: F64,
    shocks: F64,
    opening: float,
    level: float,
    terms: F64,
) -> None:
    """Turn standard normals into paths.

    Parameters
    ----------
    out : array (row, step + 1, 2)
    shocks : array (row, 2 x step)
        Of a step first the volatility's, then the price's own.
    terms : array (5,)
        As in `step_sabr`.
    """
    for i in range(out.shape[0]):
        a = level
        ratio = 1.0
        out[i, 0, 0], out[i, 0, 1] = opening, a
        for t in range(out.shape[1] - 1):
            a, move = sabr_step(a, ratio, terms, shocks[i, 2 * t], shocks[i, 2 * t + 1])
            ratio = max(ratio * math.exp(move), _FLOOR)
            out[i, t + 1, 0] = opening * ratio
            out[i, t + 1, 1] = sabr_volatility(a, ratio, terms[1])


@dataclass(kw_only=True)
class Sabr(PriceModel):
    """Stochastic volatility of constant elasticity (see the module).

    Parameters
    ----------
    initial : mapping of asset to float
        Price of step 0, USD; every asset of the world needs one.
    volatility : float or mapping of asset to float
        Annualised volatility at step 0; assets left out do not move.
    elasticity : float or mapping of asset to float
        beta, from 0 (normal) to 1 (lognormal).
    vol_of_vol : float or mapping of asset to float
        nu, a year.
    leverage : float or mapping of asset to float
        rho, correlation of an asset's price and volatility.
    drift : float or mapping of asset to float
        Annualised expected return; 0 makes prices martingales.
    correlation : float or mapping of pair to float
        Of the assets' Brownian motions: one number, or by pair (`WETH/WBTC: 0.8`), others 0.
    """

    initial: Mapping[str, float]
    volatility: PerAsset = field(default_factory=dict)
    elasticity: PerAsset = 1.0
    vol_of_vol: PerAsset = 0.6
    leverage: PerAsset = -0.4
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0
    channels: ClassVar[tuple[str, ...]] = ("price", "volatility")

    def __post_init__(self) -> None:
        """Check every number."""
        check_initial(
            self.initial,
            volatility=self.volatility,
            elasticity=self.elasticity,
            vol_of_vol=self.vol_of_vol,
            leverage=self.leverage,
            drift=self.drift,
        )
        check_numbers("volatility", self.volatility, 0.0, 100.0)
        check_numbers("elasticity", self.elasticity, 0.0, 1.0)
        check_numbers("vol_of_vol", self.vol_of_vol, 0.0, 1e4)
        check_numbers("leverage", self.leverage, -1.0, 1.0)
        check_numbers("drift", self.drift, -1000.0, 1000.0)
        check_numbers("correlation", self.correlation, -1.0, 1.0)

    def terms_of(self, names: Sequence[str], seconds: float) -> F64:
        """Terms of a step of every named asset, shape (asset, 5), see `step_sabr`."""
        years = seconds / SECONDS_PER_YEAR
        columns = [
            per_asset(self.drift, names) * years,
            per_asset(self.elasticity, names, 1.0),
            per_asset(self.vol_of_vol, names, 0.6),
            per_asset(self.leverage, names, -0.4),
            np.full(len(names), math.sqrt(years)),
        ]
        return np.ascontiguousarray(np.stack(columns, axis=1))

    def bind(self, world: "World") -> None:
        """Allocate prices and volatilities and turn terms into those of a block."""
        names = world.assets
        self.key = streams.stream_key(world.seed, STREAM)
        level = per_asset(self.volatility, names)
        self.assets = moving(level)
        self.terms = self.terms_of(names, world.block_seconds)[self.assets]
        matrix = correlation_matrix(self.correlation, [names[a] for a in self.assets])
        self.loading = loading_of(matrix)
        self.shocks = np.zeros((world.n_worlds, 2 * len(self.assets)))
        self.open(world, level=level)

    def move(self, step: int) -> None:
        """Move prices and volatilities by a block."""
        state = (self.price, self.arena["level"], self.shocks, self.at_start["price"])
        ids, key = self.world_ids, self.key
        step_sabr(*state, self.assets, self.loading, self.terms, key, ids, step)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset."""
        check_length(n_steps, dt_seconds)
        name = asset_of(self.initial, asset, self.volatility)
        level = one_asset(self.volatility, name)
        terms = (float(self.initial[name]), level, self.terms_of([name], dt_seconds)[0])
        return PathFiller(fill_sabr, terms, streams.stream_key(seed, PATHS), n_steps, 2, 2)
