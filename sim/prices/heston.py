"""Heston's stochastic volatility, several correlated assets.

    dS_i = mu_i S_i dt + sqrt(v_i) S_i dW_i
    dv_i = kappa_i (theta_i - v_i) dt + xi_i sqrt(v_i) dB_i,    d<W_i, B_i> = rho_i dt

Stepped by Andersen's quadratic-exponential scheme with the martingale correction (Andersen 2008,
Simple and efficient simulation of the Heston stochastic volatility model, QE-M): the conditional
mean and variance of v are matched exactly, v never turns negative, and the discounted price is a
martingale for any block length, also where Feller's condition 2 kappa theta > xi^2 fails.

Write W = rho B + sqrt(1 - rho^2) Z. The B of several assets have the given correlation, and so have
the Z; the returns of two assets with equal rho then have it, too.

Shapes: price, variance (world, asset); shocks (world, 2 x moving asset): first B, then Z.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from sim import streams
from sim.errors import ConfigError
from sim.kernel import F64, I64, U64, inlined, kernel
from sim.prices.jumps import PATHS as JUMP_PATHS
from sim.prices.jumps import merton_jump
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

STREAM = "prices.heston"
PATHS = "prices.heston.paths"


@kernel
def variance_step(v: float, theta: float, decay: float, spread: float, z: float) -> float:
    """Next variance by Andersen's QE, from a standard normal.

    `decay` is exp(-kappa dt); `spread` is xi^2 (1 - decay) / kappa.
    """
    m = theta + (v - theta) * decay
    s2 = spread * (v * decay + 0.5 * theta * (1.0 - decay))
    psi = s2 / (m * m)
    if psi <= 1.5:
        b2 = 2.0 / psi - 1.0 + math.sqrt(2.0 / psi) * math.sqrt(2.0 / psi - 1.0)
        return m / (1.0 + b2) * (math.sqrt(b2) + z) ** 2
    p = (psi - 1.0) / (psi + 1.0)
    tail = 0.5 * math.erfc(z / math.sqrt(2.0))  # 1 - U, where U is the uniform of z
    if tail >= 1.0 - p:
        return 0.0
    return math.log((1.0 - p) / tail) * m / (1.0 - p)


@kernel
def log_mean_factor(v: float, theta: float, decay: float, spread: float, a: float) -> float:
    """Take log E[exp(a v')] under QE; inf where a lies beyond its pole (Andersen 2008, §4.3)."""
    m = theta + (v - theta) * decay
    s2 = spread * (v * decay + 0.5 * theta * (1.0 - decay))
    psi = s2 / (m * m)
    if psi <= 1.5:
        b2 = 2.0 / psi - 1.0 + math.sqrt(2.0 / psi) * math.sqrt(2.0 / psi - 1.0)
        scale = m / (1.0 + b2)
        rest = 1.0 - 2.0 * a * scale
        if rest <= 0.0:
            return np.inf
        return a * b2 * scale / rest - 0.5 * math.log(rest)
    p = (psi - 1.0) / (psi + 1.0)
    beta = (1.0 - p) / m
    if a >= beta:
        return np.inf
    return math.log(p + beta * (1.0 - p) / (beta - a))


@inlined
def heston_step(v: float, terms: F64, z_variance: float, z_price: float) -> tuple[float, float]:
    """Next variance and log return of a step; `terms` as in `step_heston`."""
    growth, kappa, theta, xi = terms[0], terms[1], terms[2], terms[3]
    rho, years, decay = terms[4], terms[5], terms[6]
    spread = xi * xi * (1.0 - decay) / kappa
    v_next = variance_step(v, theta, decay, spread, z_variance)
    half = 0.5 * years  # trapezoidal integral of the variance
    k1 = half * (kappa * rho / xi - 0.5) - rho / xi
    k2 = half * (kappa * rho / xi - 0.5) + rho / xi
    k3 = half * (1.0 - rho * rho)
    k0 = -log_mean_factor(v, theta, decay, spread, k2 + 0.5 * k3) - (k1 + 0.5 * k3) * v
    if not math.isfinite(k0):
        k0 = -rho * kappa * theta * years / xi
    move = k0 + k1 * v + k2 * v_next + math.sqrt(k3 * (v + v_next)) * z_price
    return v_next, growth + move


@kernel
def step_heston(
    price: F64,
    variance: F64,
    shocks: F64,
    assets: I64,
    loading: F64,
    terms: F64,
    key: U64,
    world_ids: I64,
    step: int,
) -> None:
    """Advance price and variance by one block.

    Parameters
    ----------
    price, variance : array (world, asset)
        Changed in place.
    shocks : array (world, 2 x moving asset)
        Scratch.
    assets : array (moving asset,)
        Which assets move.
    loading : array (moving asset, moving asset)
        Lower-triangular factor of the correlation.
    terms : array (moving asset, 7)
        mu dt, kappa, theta, xi, rho, dt, exp(-kappa dt); years.
    """
    streams.normals(shocks, key, world_ids, step)
    n = assets.shape[0]
    for w in range(price.shape[0]):
        for i in range(n):
            z_variance = 0.0
            z_price = 0.0
            for j in range(i + 1):
                z_variance += loading[i, j] * shocks[w, j]
                z_price += loading[i, j] * shocks[w, n + j]
            a = assets[i]
            v_next, move = heston_step(variance[w, a], terms[i], z_variance, z_price)
            price[w, a] *= math.exp(move)
            variance[w, a] = v_next


@kernel
def fill_heston(
    out: F64,
    shocks: F64,
    opening: float,
    variance: float,
    terms: F64,
    jump: F64,
    key: U64,
    world_ids: I64,
    episodes: I64,
) -> None:
    """Turn standard normals into paths, with lognormal jumps where their rate is not 0.

    Parameters
    ----------
    out : array (row, step + 1, 2)
    shocks : array (row, 2 x step)
        Of a step first the variance's, then the price's.
    opening, variance : float
        Price, USD, and variance a year at step 0.
    terms : array (7,)
        As in `step_heston`, the drift compensated for jumps.
    jump : array (3,)
        Expected jumps in a step; mean and standard deviation of a log jump.
    """
    for i in range(out.shape[0]):
        price, v = opening, variance
        out[i, 0, 0], out[i, 0, 1] = price, math.sqrt(v)
        for t in range(out.shape[1] - 1):
            v, move = heston_step(v, terms, shocks[i, 2 * t], shocks[i, 2 * t + 1])
            if jump[0] > 0.0:
                w, e = world_ids[i], episodes[i]
                move += merton_jump(jump[0], jump[1], jump[2], key, w, e, t)
            price *= math.exp(move)
            out[i, t + 1, 0], out[i, t + 1, 1] = price, math.sqrt(v)


@dataclass(kw_only=True)
class Heston(PriceModel):
    """Stochastic volatility with leverage (see the module).

    Parameters
    ----------
    initial : mapping of asset to float
        Price of step 0, USD; every asset of the world needs one.
    volatility : float or mapping of asset to float
        Annualised volatility at step 0, sqrt(v_0); assets left out do not move.
    long_run_volatility : float or mapping of asset to float
        Annualised, sqrt(theta); where left out, that of step 0.
    mean_reversion : float or mapping of asset to float
        kappa, per year.
    vol_of_vol : float or mapping of asset to float
        xi, per year.
    leverage : float or mapping of asset to float
        rho, correlation of an asset's price and variance.
    drift : float or mapping of asset to float
        Annualised expected return; 0 makes prices martingales.
    correlation : float or mapping of pair to float
        Of the assets' Brownian motions: one number, or by pair (`WETH/WBTC: 0.8`), others 0.
    """

    initial: Mapping[str, float]
    volatility: PerAsset = field(default_factory=dict)
    long_run_volatility: PerAsset = field(default_factory=dict)
    mean_reversion: PerAsset = 5.0
    vol_of_vol: PerAsset = 2.0
    leverage: PerAsset = -0.3
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0

    channels: ClassVar[tuple[str, ...]] = ("price", "volatility")

    def __post_init__(self) -> None:
        """Check every number."""
        check_heston(self)

    def bind(self, world: "World") -> None:
        """Allocate prices and variances and turn terms into those of a block."""
        self.key = streams.stream_key(world.seed, STREAM)
        names = world.assets
        sigma = per_asset(self.volatility, names)
        self.assets = moving(sigma)
        self.terms = heston_terms(self, names, world.block_seconds)[self.assets]
        matrix = correlation_matrix(self.correlation, [names[a] for a in self.assets])
        self.loading = loading_of(matrix)
        self.shocks = np.zeros((world.n_worlds, 2 * len(self.assets)))
        self.open(world, variance=sigma**2)

    def move(self, step: int) -> None:
        """Move prices and variances by a block."""
        step_heston(
            self.price,
            self.arena["variance"],
            self.shocks,
            self.assets,
            self.loading,
            self.terms,
            self.key,
            self.world_ids,
            step,
        )

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset."""
        check_length(n_steps, dt_seconds)
        name = asset_of(self.initial, asset, self.volatility)
        return heston_filler(self, seed, n_steps, dt_seconds, name, np.zeros(3), 0.0)


class HestonTerms(Protocol):
    """What Heston's model and its extensions have in common; see `Heston`."""

    initial: Mapping[str, float]
    volatility: PerAsset
    long_run_volatility: PerAsset
    mean_reversion: PerAsset
    vol_of_vol: PerAsset
    leverage: PerAsset
    drift: PerAsset
    correlation: PerAsset


def check_heston(process: HestonTerms) -> None:
    """Check the terms of the diffusion."""
    check_initial(
        process.initial,
        volatility=process.volatility,
        long_run_volatility=process.long_run_volatility,
        mean_reversion=process.mean_reversion,
        vol_of_vol=process.vol_of_vol,
        leverage=process.leverage,
        drift=process.drift,
    )
    check_numbers("volatility", process.volatility, 0.0, 100.0)
    check_numbers("long_run_volatility", process.long_run_volatility, 1e-6, 100.0)
    check_numbers("mean_reversion", process.mean_reversion, 1e-6, 1e6)
    check_numbers("vol_of_vol", process.vol_of_vol, 1e-6, 1e4)
    check_numbers("leverage", process.leverage, -1.0, 1.0)
    check_numbers("drift", process.drift, -1000.0, 1000.0)
    check_numbers("correlation", process.correlation, -1.0, 1.0)


def heston_terms(process: HestonTerms, names: Sequence[str], seconds: float) -> F64:
    """Terms of a step of every named asset, shape (asset, 7), see `step_heston`."""
    years = seconds / SECONDS_PER_YEAR
    long_run = per_asset(process.long_run_volatility, names, np.nan)
    sigma = np.where(np.isnan(long_run), per_asset(process.volatility, names), long_run)
    kappa = per_asset(process.mean_reversion, names, 5.0)
    columns = [
        per_asset(process.drift, names) * years,
        kappa,
        sigma**2,
        per_asset(process.vol_of_vol, names, 2.0),
        per_asset(process.leverage, names, -0.3),
        np.full(len(names), years),
        np.exp(-kappa * years),
    ]
    return np.ascontiguousarray(np.stack(columns, axis=1))


def heston_filler(
    process: HestonTerms,
    seed: int,
    n_steps: int,
    dt_seconds: float,
    asset: str,
    jump: F64,
    compensator: float,
) -> PathFiller:
    """Make what fills whole paths; `jump` and `compensator` as from `jumps.merton_terms`."""
    terms = heston_terms(process, [asset], dt_seconds)[0]
    if terms[2] == 0.0:
        raise ConfigError(
            f"{asset} has no volatility, so its variance has no path; give volatility.{asset}, or "
            "choose gbm for a price that does not move"
        )
    terms[0] -= compensator
    variance = one_asset(process.volatility, asset) ** 2
    arguments = (float(process.initial[asset]), variance, terms, jump)
    keys = streams.stream_key(seed, JUMP_PATHS), streams.stream_key(seed, PATHS)
    terms_of_path = (*arguments, keys[0])
    return PathFiller(fill_heston, terms_of_path, keys[1], n_steps, 2, 2, addressed=True)
