"""GJR-GARCH(1,1): daily returns whose variance remembers shocks, bad ones more.

    log S_{t+1} - log S_t = mu - h_t / 2 + e_t,    e_t = sqrt(h_t) z_t
    h_{t+1} = omega + (alpha + gamma 1[e_t < 0]) e_t^2 + beta h_t
    omega = (1 - alpha - gamma / 2 - beta) h,      h the unconditional variance of a period

z is standard normal, or Student's t with variance 1. Several assets have correlated z; the t's are
a multivariate one, with one mixing variable, so that a day of large moves is one for all assets.

With normal z and no drift prices are martingales. Under a t the expected price is infinite, as for
any t in logarithms: mean and variance of log returns are what they are said to be, the expectation
of the price is not a number to test.

A period is a day unless set otherwise; shorter blocks are bridged (`sim.prices.periods`).

Source: Glosten, Jagannathan, Runkle (1993), Journal of Finance 48. The chi-square of the t is drawn
by Marsaglia and Tsang (2000), ACM Transactions on Mathematical Software 26(3).
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
from sim.prices.periods import approach, periods_in, rhythm_of
from sim.prices.process import (
    SECONDS_PER_YEAR,
    PerAsset,
    PriceModel,
    asset_of,
    check_initial,
    check_numbers,
    correlation_matrix,
    initial_prices,
    loading_of,
    moving,
    one_asset,
    per_asset,
)

if TYPE_CHECKING:
    from sim.world import World

STREAM = "prices.garch"
_ATTEMPTS = 64  # addresses kept for the rejections of one draw; one in twenty is rejected


@kernel
def gamma_variate(shape: float, key: U64, world_id: int, step: int, index: int) -> float:
    """Draw a gamma variate of scale 1 and a shape of at least 1 (Marsaglia and Tsang 2000)."""
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = streams.normal(key, world_id, step, index)
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            u = streams.uniform(key, world_id, step, index)
            if math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
                return d * v
        index += 1


@kernel
def fatness(nu: float, key: U64, world_id: int, step: int, index: int) -> float:
    """Factor that makes a standard normal a t of variance 1; 1 where nu is 0, for a normal."""
    if nu == 0.0:
        return 1.0
    return math.sqrt((nu - 2.0) / (2.0 * gamma_variate(0.5 * nu, key, world_id, step, index)))


@inlined
def memory(h: float, e: float, terms: F64) -> float:
    """Take what a period leaves in the next variance, beside omega."""
    weight = terms[0] + terms[1] if e < 0.0 else terms[0]
    return float(weight * e * e + terms[2] * h)


@kernel
def close_period(
    target: F64,
    variance: F64,
    spread: F64,
    shocks: F64,
    assets: I64,
    loading: F64,
    omega: F64,
    terms: F64,
    drift: F64,
    keys: U64,
    world_ids: I64,
    period: int,
    n_steps: int,
) -> None:
    """Draw a period's returns.

    Parameters
    ----------
    target : array (world, asset)
        Price at the end of the period, USD; it comes in as that of the period before.
    variance : array (world, moving asset)
        Of the period's log return; goes out as that of the next one.
    spread : array (world, moving asset)
        Deviation of the log return of one of the period's `n_steps` blocks, written.
    shocks : array (world, moving asset)
        Scratch.
    omega, drift : array (moving asset,)
        Of the variance; log return of a period without variance.
    terms : array (4,)
        alpha, gamma, beta, nu (0: normal).
    keys : array (2, 2)
        Of the normals and of the mixing variable.
    """
    streams.normals(shocks, keys[0], world_ids, period)
    for w in range(target.shape[0]):
        fat = fatness(terms[3], keys[1], world_ids[w], period, 0)
        for i in range(assets.shape[0]):
            z = 0.0
            for j in range(i + 1):
                z += loading[i, j] * shocks[w, j]
            h = variance[w, i]
            e = math.sqrt(h) * fat * z
            target[w, assets[i]] *= math.exp(drift[i] - 0.5 * h + e)
            variance[w, i] = omega[i] + memory(h, e, terms)
            spread[w, i] = math.sqrt(h / n_steps)


@kernel
def fill_garch(
    out: F64,
    shocks: F64,
    opening: float,
    variance: float,
    omega: float,
    terms: F64,
    drift: float,
    per_year: float,
    n_periods: int,
    key: U64,
    world_ids: I64,
    episodes: I64,
) -> None:
    """Turn standard normals into paths.

    Parameters
    ----------
    out : array (row, step + 1, 2)
    shocks : array (row, n_periods x step)
    omega : float
        Of the variance.
    terms : array (4,)
        alpha, gamma, beta, nu (0: normal).
    drift : float
        Log return of a period without variance.
    per_year : float
        Periods in a year.
    """
    for i in range(out.shape[0]):
        price, h = opening, variance
        out[i, 0, 0], out[i, 0, 1] = price, math.sqrt(h * per_year)
        for t in range(out.shape[1] - 1):
            move = 0.0
            for k in range(t * n_periods, (t + 1) * n_periods):
                fat = fatness(terms[3], key, world_ids[i], episodes[i], k * _ATTEMPTS)
                e = math.sqrt(h) * fat * shocks[i, k]
                move += drift - 0.5 * h + e
                h = omega + memory(h, e, terms)
            price *= math.exp(move)
            out[i, t + 1, 0], out[i, t + 1, 1] = price, math.sqrt(h * per_year)


@dataclass(kw_only=True)
class GjrGarch(PriceModel):
    """GJR-GARCH(1,1) (see the module).

    Parameters
    ----------
    initial : mapping of asset to float
        Price of step 0, USD; every asset of the world needs one.
    volatility : float or mapping of asset to float
        Annualised unconditional volatility; assets left out do not move.
    opening_volatility : float or mapping of asset to float
        Annualised volatility of the first period; the unconditional one where left out.
    alpha, gamma, beta : float
        Weight of a squared shock, what a negative one has on top, and weight of the last variance.
    degrees_of_freedom : float, optional
        Of Student's t, above 2; normal shocks when left out.
    drift : float or mapping of asset to float
        mu, annualised.
    correlation : float or mapping of pair to float
        Of the shocks: one number, or by pair (`WETH/WBTC: 0.8`), others 0.
    period_seconds : float
        Length of a period.
    """

    initial: Mapping[str, float]
    volatility: PerAsset = field(default_factory=dict)
    opening_volatility: PerAsset = field(default_factory=dict)
    alpha: float = 0.1
    gamma: float = 0.0
    beta: float = 0.85
    degrees_of_freedom: float | None = None
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0
    period_seconds: float = 86_400.0
    channels: ClassVar[tuple[str, ...]] = ("price", "volatility")

    def __post_init__(self) -> None:
        """Check every number."""
        check_initial(
            self.initial,
            volatility=self.volatility,
            opening_volatility=self.opening_volatility,
            drift=self.drift,
        )
        check_numbers("volatility", self.volatility, 0.0, 100.0)
        check_numbers("opening_volatility", self.opening_volatility, 1e-6, 100.0)
        check_numbers("alpha", self.alpha, 0.0, 1.0)
        check_numbers("gamma", self.gamma, -self.alpha, 2.0)
        check_numbers("beta", self.beta, 0.0, 1.0)
        check_numbers("drift", self.drift, -1000.0, 1000.0)
        check_numbers("correlation", self.correlation, -1.0, 1.0)
        check_numbers("period_seconds", self.period_seconds, 1e-3, 1e9)
        if self.degrees_of_freedom is not None:
            check_numbers("degrees_of_freedom", self.degrees_of_freedom, 2.0 + 1e-6, 1e9)
        if self.persistence >= 1.0:
            raise ConfigError(
                f"alpha + gamma / 2 + beta must lie under 1, or the variance has no mean, got "
                f"{self.persistence:g}; lower beta"
            )

    @property
    def persistence(self) -> float:
        """What is left of a period's excess variance in the next one."""
        return self.alpha + 0.5 * self.gamma + self.beta

    @property
    def memory_terms(self) -> F64:
        """Array (4,): alpha, gamma, beta, degrees of freedom (0: normal)."""
        return np.array([self.alpha, self.gamma, self.beta, self.degrees_of_freedom or 0.0])

    def omega_of(self, asset: str) -> float:
        """Constant of an asset's variance, from its unconditional volatility."""
        variance = one_asset(self.volatility, asset) ** 2 * self.period_seconds / SECONDS_PER_YEAR
        return (1.0 - self.persistence) * variance

    def opening_variance(self, asset: str) -> float:
        """Variance of the first period."""
        volatility = one_asset(self.opening_volatility, asset, one_asset(self.volatility, asset))
        return volatility**2 * self.period_seconds / SECONDS_PER_YEAR

    def bind(self, world: "World") -> None:
        """Allocate prices and variances and lay periods over blocks."""
        names = world.assets
        self.rhythm = rhythm_of(world.block_seconds, self.period_seconds, "block_seconds")
        names_of_streams = (STREAM, f"{STREAM}.mixing")
        self.keys = np.stack([streams.stream_key(world.seed, name) for name in names_of_streams])
        self.bridge_key = streams.stream_key(world.seed, f"{STREAM}.bridge")
        self.assets = moving(per_asset(self.volatility, names))
        own = [names[a] for a in self.assets]
        self.terms = self.memory_terms
        self.omega = np.array([self.omega_of(name) for name in own])
        years = self.period_seconds / SECONDS_PER_YEAR
        self.growth = per_asset(self.drift, own) * years
        self.loading = loading_of(correlation_matrix(self.correlation, own))
        self.shocks = np.zeros((world.n_worlds, len(own)))
        h = np.array([self.opening_variance(name) for name in own])
        target = initial_prices(self.initial, names)
        self.open(world, target=target, h=h, spread=np.zeros(len(own)))

    def move(self, step: int) -> None:
        """Move prices by a block, and variances where a period ends."""
        target, spread = self.arena["target"], self.arena["spread"]
        left = self.rhythm.left(step)
        if left == self.rhythm.steps:
            first = self.rhythm.period(step)
            for period in range(first, first + self.rhythm.periods):
                close_period(
                    target, self.arena["h"], spread, self.shocks, self.assets, self.loading,
                    self.omega, self.terms, self.growth, self.keys, self.world_ids, period,
                    self.rhythm.steps,
                )  # fmt: skip
        state = (self.price, target, spread, self.shocks, self.assets, self.loading)
        approach(*state, self.bridge_key, self.world_ids, step, left)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset, whose steps are whole periods."""
        check_length(n_steps, dt_seconds)
        n_periods = periods_in(dt_seconds, self.period_seconds)
        name = asset_of(self.initial, asset, self.volatility)
        per_year = SECONDS_PER_YEAR / self.period_seconds
        state = (float(self.initial[name]), self.opening_variance(name), self.omega_of(name))
        drift = one_asset(self.drift, name) / per_year
        terms = (*state, self.memory_terms, drift, per_year, n_periods)
        key = streams.stream_key(seed, f"{STREAM}.paths")
        mixing = streams.stream_key(seed, f"{STREAM}.paths.mixing")
        return PathFiller(fill_garch, (*terms, mixing), key, n_steps, 2, n_periods, addressed=True)
