"""SVCJ: stochastic volatility with correlated jumps in price and variance.

In days, and in returns that are a multiple, `scale`, of log returns:

    Y_t = growth + sqrt(V_{t-1}) e_y + J_t Z_y,                     log return = Y_t / scale
    V_t = V_{t-1} + kappa (theta - V_{t-1}) + sigma_v sqrt(V_{t-1}) e_v + J_t Z_v
    Z_v ~ Exponential(mean mu_v),  Z_y | Z_v ~ Normal(mu_y + rho_j Z_v, sigma_y^2),
    J_t ~ Bernoulli(lambda),  corr(e_y, e_v) = rho

Stepped as the estimate was made, by Euler: at blocks of a day this is the model, shorter blocks
take their part of a day, longer ones as many equal steps as they have days. The growth is chosen so
that `drift` is the expected return of the price for any block, not of the log price:

    E[exp(Y / scale) | V] = exp(growth + V / 2 scale^2) (1 + lambda k) = exp(drift),
    k = exp(mu_y / scale + sigma_y^2 / 2 scale^2) / (1 - rho_j mu_v / scale) - 1

A variance that the Euler step takes below 0 counts as 0 in the next one, and so does the volatility
of that moment: with the estimates below on one day in 400.

Several assets see the same jumps, at the same moments, each times its `multiple`; e_y and e_v of
two assets have the given correlation.

Units. The estimates for CRIX (Hou, Wang, Chen, Haerdle 2020, Pricing cryptocurrency options,
Journal of Financial Econometrics 18(2)) come with two programs, in the folder SFECrixSimu of
QuantLet/SFE_class_2017, that disagree. The one that estimates, SVCJ_crix.m, multiplies log returns
by sqrt(250) and reports the *variances* sigma_y^2 and sigma_v^2; the one that simulates,
SFECrixSimu.R, has 2.06 as the standard deviation of a jump, and 0.0069 as sigma_v. This model takes
standard deviations, and the estimates for variances: sqrt(2.06), sqrt(0.0069). `moments` tells
what follows: a daily standard deviation of 3.8% and a kurtosis of 12, where BTC had 3.6% and 12
from August 2014 to September 2017; 2.06 as a standard deviation would give 4.3% and 17.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sim import streams
from sim.errors import ConfigError
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

STREAM = "prices.svcj"
PATHS = "prices.svcj.paths"
DAY = 86_400.0
# Places of the terms of a sub-step in the array that kernels take; units of the model, days.
_KAPPA, _THETA, _SIGMA_V, _RHO, _CHANCE = 0, 1, 2, 3, 4
_MU_Y, _SIGMA_Y, _RHO_J, _MU_V, _DAYS = 5, 6, 7, 8, 9


@inlined
def variance_move(v: float, terms: F64, z: float, jump: float) -> float:
    """Next V after a sub-step with the variance jump `jump` (0 without one)."""
    days = terms[_DAYS]
    positive = max(v, 0.0)
    swing = terms[_SIGMA_V] * math.sqrt(positive * days) * z
    pull = terms[_KAPPA] * (terms[_THETA] - positive) * days
    return float(v + pull + swing + jump)


@kernel
def step_svcj(
    price: F64,
    variance: F64,
    shocks: F64,
    assets: I64,
    loading: F64,
    terms: F64,
    scales: F64,
    growth: F64,
    key: U64,
    world_ids: I64,
    step: int,
    n_parts: int,
) -> None:
    """Advance price and variance by one block.

    Parameters
    ----------
    price, variance : array (world, asset)
        USD; V, units of the model a day. Changed in place.
    shocks : array (world, n_parts x 2 x moving asset)
        Scratch.
    assets : array (moving asset,)
        Which assets move.
    loading : array (moving asset, moving asset)
        Lower-triangular factor of the correlation.
    terms : array (10,)
        kappa, theta, sigma_v, rho, chance of a jump, mu_y, sigma_y, rho_j, mu_v, days of a part.
    scales : array (moving asset,)
        Log return of one unit of the model.
    growth : array (moving asset,)
        Log return of a part without variance and jumps: drift less the jumps' compensator.
    """
    streams.normals(shocks, key, world_ids, step)
    n = assets.shape[0]
    for w in range(price.shape[0]):
        for part in range(n_parts):
            jumps = streams.uniform(key, world_ids[w], step, part) < terms[_CHANCE]
            z_v, z_y = 0.0, 0.0
            if jumps:
                z_v = terms[_MU_V] * streams.exponential(key, world_ids[w], step, part)
                z = streams.normal(key, world_ids[w], step, shocks.shape[1] + part)
                z_y = terms[_MU_Y] + terms[_RHO_J] * z_v + terms[_SIGMA_Y] * z
            base = 2 * n * part
            for i in range(n):
                e_v, own = 0.0, 0.0
                for j in range(i + 1):
                    e_v += loading[i, j] * shocks[w, base + j]
                    own += loading[i, j] * shocks[w, base + n + j]
                a = assets[i]
                v = variance[w, a]
                e_y = terms[_RHO] * e_v + math.sqrt(1.0 - terms[_RHO] ** 2) * own
                spread = scales[i] * math.sqrt(max(v, 0.0) * terms[_DAYS])
                move = growth[i] + spread * e_y - 0.5 * spread * spread + scales[i] * z_y
                price[w, a] *= math.exp(move)
                variance[w, a] = variance_move(v, terms, e_v, z_v)


@kernel
def fill_svcj(
    out: F64,
    shocks: F64,
    opening: float,
    variance: float,
    terms: F64,
    scale: float,
    growth: float,
    n_parts: int,
    key: U64,
    world_ids: I64,
    episodes: I64,
) -> None:
    """Turn standard normals into paths; the terms are those of `step_svcj`.

    Parameters
    ----------
    out : array (row, step + 1, 2)
    shocks : array (row, 2 x n_parts x step)
        Of each part first the variance's, then the price's own.
    """
    per_year = scale * math.sqrt(SECONDS_PER_YEAR / DAY)
    for i in range(out.shape[0]):
        price, v = opening, variance
        out[i, 0, 0], out[i, 0, 1] = price, per_year * math.sqrt(v)
        for part in range((out.shape[1] - 1) * n_parts):
            z_v, z_y = 0.0, 0.0
            if streams.uniform(key, world_ids[i], episodes[i], part) < terms[_CHANCE]:
                z_v = terms[_MU_V] * streams.exponential(key, world_ids[i], episodes[i], part)
                z = streams.normal(key, world_ids[i], episodes[i], part)
                z_y = terms[_MU_Y] + terms[_RHO_J] * z_v + terms[_SIGMA_Y] * z
            e_v, own = shocks[i, 2 * part], shocks[i, 2 * part + 1]
            e_y = terms[_RHO] * e_v + math.sqrt(1.0 - terms[_RHO] ** 2) * own
            spread = scale * math.sqrt(max(v, 0.0) * terms[_DAYS])
            price *= math.exp(growth + spread * e_y - 0.5 * spread * spread + scale * z_y)
            v = variance_move(v, terms, e_v, z_v)
            if (part + 1) % n_parts == 0:
                t = (part + 1) // n_parts
                out[i, t, 0], out[i, t, 1] = price, per_year * math.sqrt(max(v, 0.0))


@dataclass(kw_only=True)
class Svcj(PriceModel):
    """Stochastic volatility with correlated jumps (see the module, above all for units).

    Parameters
    ----------
    initial : mapping of asset to float
        Price of step 0, USD; every asset of the world needs one.
    multiple : float or mapping of asset to float
        Log returns of an asset as a multiple of the model's; assets left out do not move.
    drift : float or mapping of asset to float
        Annualised expected return, with the jumps; 0 makes prices martingales.
    correlation : float or mapping of pair to float
        Of the assets' Brownian motions: one number, or by pair (`WETH/WBTC: 0.8`), others 0.
    scale : float
        Units of the model in a log return of 1.
    mean_reversion : float
        kappa, a day.
    level : float
        theta, where V would settle without jumps, units of the model squared.
    vol_of_vol : float
        sigma_v, a standard deviation.
    leverage : float
        rho.
    intensity : float
        lambda, chance of a jump a day.
    jump_mean, jump_volatility : float
        mu_y; sigma_y, a standard deviation; units of the model.
    jump_leverage : float
        rho_j, price jump per variance jump.
    variance_jump : float
        mu_v, mean variance jump, units of the model squared.
    variance : float, optional
        V of step 0; its stationary mean when left out.
    """

    initial: Mapping[str, float]
    multiple: PerAsset = field(default_factory=dict)
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0
    scale: float = 250.0**0.5
    mean_reversion: float = 0.187
    level: float = 0.054
    vol_of_vol: float = 0.0069**0.5
    leverage: float = 0.2748
    intensity: float = 0.051
    jump_mean: float = -0.049
    jump_volatility: float = 2.06**0.5
    jump_leverage: float = -0.21
    variance_jump: float = 0.709
    variance: float | None = None
    channels: ClassVar[tuple[str, ...]] = ("price", "volatility")

    def __post_init__(self) -> None:
        """Check every number."""
        check_initial(self.initial, multiple=self.multiple, drift=self.drift)
        check_numbers("multiple", self.multiple, 0.0, 100.0)
        check_numbers("drift", self.drift, -1000.0, 1000.0)
        check_numbers("correlation", self.correlation, -1.0, 1.0)
        check_numbers("scale", self.scale, 1e-6, 1e6)
        check_numbers("mean_reversion", self.mean_reversion, 1e-9, 1.0)
        check_numbers("leverage", self.leverage, -1.0, 1.0)
        check_numbers("intensity", self.intensity, 0.0, 1.0)
        for name in ("jump_mean", "jump_leverage"):
            check_numbers(name, getattr(self, name), -1e6, 1e6)
        for name in ("level", "vol_of_vol", "jump_volatility", "variance_jump"):
            check_numbers(name, getattr(self, name), 0.0, 1e6)
        if self.variance is not None:
            check_numbers("variance", self.variance, 0.0, 1e9)
        for asset in self.initial:
            if self.jump_leverage * self.variance_jump * self.unit(asset) >= 1.0:
                raise ConfigError(
                    f"jump_leverage x variance_jump must lie under scale, {self.scale:g}, or the "
                    f"expected price of {asset} is infinite; lower jump_leverage"
                )

    def unit(self, asset: str) -> float:
        """Log return of one unit of the model."""
        return one_asset(self.multiple, asset) / self.scale

    def mean_variance(self) -> float:
        """Stationary mean of V."""
        return self.level + self.intensity * self.variance_jump / self.mean_reversion

    def terms_of(self, seconds: float) -> tuple[F64, int]:
        """Terms of a part of a step, see `step_svcj`, and the number of parts."""
        n_parts = max(1, math.ceil(seconds / DAY - 1e-9))
        days = seconds / DAY / n_parts
        return np.array([
            self.mean_reversion, self.level, self.vol_of_vol, self.leverage, self.intensity * days,
            self.jump_mean, self.jump_volatility, self.jump_leverage, self.variance_jump, days,
        ]), n_parts  # fmt: skip

    def growth_of(self, asset: str, days: float) -> float:
        """Log return of `days`, at most one, without variance and jumps."""
        unit = self.unit(asset)
        size = self.jump_mean * unit + 0.5 * (self.jump_volatility * unit) ** 2
        k = math.exp(size) / (1.0 - self.jump_leverage * self.variance_jump * unit) - 1.0
        chance = self.intensity * days
        return one_asset(self.drift, asset) * days * DAY / SECONDS_PER_YEAR - math.log1p(chance * k)

    def moments(self, asset: str) -> dict[str, float]:
        """Closed-form stationary moments of a day's log return.

        Returns
        -------
        dict
            `mean`, `standard_deviation`, `kurtosis` (3 for a normal) of the log return, and
            `variance_mean`, `variance_variance` of V.

        Notes
        -----
        With a = 1 - kappa, v = E[V], M = mu_y + rho_j Z_v and lambda the chance of a jump,
        Var V (1 - a^2) = sigma_v^2 v + 2 lambda mu_v^2 - lambda^2 mu_v^2. The return is
        -V / 2 scale + sqrt(V) e + J Z_y and a constant, in units of the model; its kurtosis leaves
        out V / 2 scale, which is a thousandth of the rest. Independence of V_{t-1} and J_t gives
        E[(sqrt(V) e + X)^4] = 3 E[V^2] + 6 v E[X^2] + E[X^4], with X = J Z_y less its mean.
        """
        lam, mu_v, unit = self.intensity, self.variance_jump, self.unit(asset)
        v = self.mean_variance()
        spread = self.vol_of_vol**2 * v + (2.0 * lam - lam**2) * mu_v**2
        spread /= 1.0 - (1.0 - self.mean_reversion) ** 2
        m, s2 = self.jump_mean + self.jump_leverage * mu_v, self.jump_volatility**2
        e2 = (self.jump_leverage * mu_v) ** 2  # an exponential of mean c: moments c^2, 2 c^3, 9 c^4
        e3, e4 = 2.0 * (self.jump_leverage * mu_v) ** 3, 9.0 * e2**2
        raw2 = m**2 + e2 + s2
        raw3 = m**3 + 3 * m * (e2 + s2) + e3
        raw4 = m**4 + 6 * m**2 * (e2 + s2) + 4 * m * e3 + e4 + 6 * e2 * s2 + 3 * s2**2
        mean = lam * m
        x2 = lam * raw2 - mean**2
        x4 = lam * raw4 - 4 * mean * lam * raw3 + 6 * mean**2 * lam * raw2 - 3 * mean**4
        variance = v + x2 + 0.25 * unit**2 * spread
        fourth = 3.0 * (spread + v**2) + 6.0 * v * x2 + x4
        return {
            "mean": self.growth_of(asset, 1.0) - 0.5 * unit**2 * v + unit * mean,
            "standard_deviation": unit * math.sqrt(variance),
            "kurtosis": fourth / (v + x2) ** 2,
            "variance_mean": v,
            "variance_variance": spread,
        }

    def bind(self, world: "World") -> None:
        """Allocate prices and variances and turn terms into those of a block."""
        names = world.assets
        self.key = streams.stream_key(world.seed, STREAM)
        self.assets = moving(per_asset(self.multiple, names))
        own = [names[a] for a in self.assets]
        self.terms, self.n_parts = self.terms_of(world.block_seconds)
        self.scales = np.array([self.unit(name) for name in own])
        self.growth = np.array([self.growth_of(name, self.terms[_DAYS]) for name in own])
        self.loading = loading_of(correlation_matrix(self.correlation, own))
        self.shocks = np.zeros((world.n_worlds, self.n_parts * 2 * len(own)))
        v = self.mean_variance() if self.variance is None else self.variance
        self.open(world, v=np.full(len(names), v))

    def move(self, step: int) -> None:
        """Move prices and variances by a block."""
        state = (self.price, self.arena["v"], self.shocks, self.assets, self.loading)
        terms = (self.terms, self.scales, self.growth)
        step_svcj(*state, *terms, self.key, self.world_ids, step, self.n_parts)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset."""
        check_length(n_steps, dt_seconds)
        name = asset_of(self.initial, asset, self.multiple)
        terms, n_parts = self.terms_of(dt_seconds)
        v = self.mean_variance() if self.variance is None else self.variance
        growth = self.growth_of(name, terms[_DAYS])
        key = streams.stream_key(seed, PATHS)
        jumps = streams.stream_key(seed, f"{PATHS}.jumps")
        arguments = (float(self.initial[name]), v, terms, self.unit(name), growth, n_parts, jumps)
        return PathFiller(fill_svcj, arguments, key, n_steps, 2, 2 * n_parts, addressed=True)
