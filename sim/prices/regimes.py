"""Markov-switching volatility: calm and stormy regimes that follow each other.

    dS_i = mu_i S_i dt + f(R_t) sigma_i S_i dW_i

The regime R of a world is one for all its assets. It may change at the end of every day, by a
Markov chain: from regime a to b with the chance `transition[a][b]`, else it stays. Inside a day log
prices are stepped exactly, also over blocks that do not divide a day, so that without drift prices
are martingales; the volatility of a moment is that of its regime.

Source of the idea: Hamilton (1989), Econometrica 57(2).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sim import streams
from sim.errors import ConfigError
from sim.kernel import F64, I64, U64, kernel
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

STREAM = "prices.regimes"
DAY = 86_400.0
_SLACK = 1e-9  # of a day: rounding of a step's end, which is not a day early


@kernel
def choose(chances: F64, u: float) -> int:
    """Index of the first cumulative chance above u."""
    k = 0
    while k < chances.shape[0] - 1 and u >= chances[k]:
        k += 1
    return k


@kernel
def step_regimes(
    price: F64,
    regime: F64,
    shocks: F64,
    assets: I64,
    loading: F64,
    sigma: F64,
    growth: F64,
    factors: F64,
    chances: F64,
    keys: U64,
    world_ids: I64,
    step: int,
    days: float,
) -> None:
    """Advance prices and regimes by one block.

    Parameters
    ----------
    price : array (world, asset)
        USD; changed in place.
    regime : array (world,)
        Index of the regime; changed in place.
    shocks : array (world, moving asset)
        Scratch.
    loading : array (moving asset, moving asset)
        Lower-triangular factor of the correlation.
    sigma, growth : array (moving asset,)
        Deviation of a day's log return where the factor is 1; log return of a block without it.
    factors : array (regime,)
        Of the volatility.
    chances : array (regime, regime)
        Cumulative chances of a day's transitions.
    keys : array (2, 2)
        Of the shocks and of the regimes, whose draws stand at (world, day, 0).
    days : float
        Length of a block.
    """
    streams.normals(shocks, keys[0], world_ids, step)
    for w in range(price.shape[0]):
        begin, end = (step - 1) * days, step * days
        now = int(regime[w])
        variance = 0.0
        day = math.floor(begin + _SLACK) + 1
        while day <= end + _SLACK:
            variance += factors[now] ** 2 * (day - begin)
            begin = float(day)
            now = choose(chances[now], streams.uniform(keys[1], world_ids[w], day, 0))
            day += 1
        variance += factors[now] ** 2 * max(end - begin, 0.0)
        regime[w] = now
        for i in range(assets.shape[0]):
            z = 0.0
            for j in range(i + 1):
                z += loading[i, j] * shocks[w, j]
            spread = sigma[i] * math.sqrt(variance)
            price[w, assets[i]] *= math.exp(growth[i] - 0.5 * spread * spread + spread * z)


@kernel
def fill_regimes(
    out: F64,
    shocks: F64,
    opening: float,
    sigma: float,
    growth: float,
    factors: F64,
    chances: F64,
    first: F64,
    days: float,
    key: U64,
    world_ids: I64,
    episodes: I64,
) -> None:
    """Turn standard normals into paths; terms as for `step_regimes`.

    Parameters
    ----------
    out : array (row, step + 1, 2)
    shocks : array (row, step)
    first : array (regime,)
        Cumulative chances of the regime of step 0.
    key : array (2,)
        Of the regimes, whose draws stand at (world, episode, day).
    """
    per_year = sigma * math.sqrt(SECONDS_PER_YEAR / DAY)
    for i in range(out.shape[0]):
        w, e = world_ids[i], episodes[i]
        now = choose(first, streams.uniform(key, w, e, 0))
        price = opening
        out[i, 0, 0], out[i, 0, 1] = price, per_year * factors[now]
        for t in range(shocks.shape[1]):
            begin, end = t * days, (t + 1) * days
            variance = 0.0
            day = math.floor(begin + _SLACK) + 1
            while day <= end + _SLACK:
                variance += factors[now] ** 2 * (day - begin)
                begin = float(day)
                now = choose(chances[now], streams.uniform(key, w, e, day))
                day += 1
            variance += factors[now] ** 2 * max(end - begin, 0.0)
            spread = sigma * math.sqrt(variance)
            price *= math.exp(growth - 0.5 * spread * spread + spread * shocks[i, t])
            out[i, t + 1, 0], out[i, t + 1, 1] = price, per_year * factors[now]


@dataclass(kw_only=True)
class MarkovSwitching(PriceModel):
    """Geometric Brownian motion whose volatility changes by a Markov chain (see the module).

    Parameters
    ----------
    initial : mapping of asset to float
        Price of step 0, USD; every asset of the world needs one.
    volatility : float or mapping of asset to float
        Annualised, where the regime's factor is 1; assets left out do not move.
    regimes : mapping of str to float
        Factor of the volatility in each regime.
    transition : mapping of str to mapping of str to float
        Chance of going from one regime to another at the end of a day; what is left stays.
    opening : str, optional
        Regime of step 0; drawn from the stationary distribution when left out.
    drift : float or mapping of asset to float
        Annualised expected return; 0 makes prices martingales.
    correlation : float or mapping of pair to float
        Of the Brownian motions: one number, or by pair (`WETH/WBTC: 0.8`), others 0.
    """

    initial: Mapping[str, float]
    volatility: PerAsset = field(default_factory=dict)
    regimes: Mapping[str, float]
    transition: Mapping[str, Mapping[str, float]]
    opening: str | None = None
    drift: PerAsset = 0.0
    correlation: PerAsset = 0.0
    channels: ClassVar[tuple[str, ...]] = ("price", "volatility")

    def __post_init__(self) -> None:
        """Check every number and that the chain can be stationary."""
        check_initial(self.initial, volatility=self.volatility, drift=self.drift)
        check_numbers("volatility", self.volatility, 0.0, 100.0)
        check_numbers("drift", self.drift, -1000.0, 1000.0)
        check_numbers("correlation", self.correlation, -1.0, 1.0)
        if not self.regimes:
            raise ConfigError("regimes must name at least one and its factor, such as {calm: 0.7}")
        check_numbers("regimes", self.regimes, 0.0, 100.0)
        for one, others in self.transition.items():
            for other in [one, *others]:
                if other not in self.regimes:
                    raise ConfigError(
                        f"transition.{one} names {other}, which is no regime; known regimes are "
                        f"{', '.join(self.regimes)}; correct it"
                    )
            check_numbers(f"transition.{one}", others, 0.0, 1.0)
            if one in others or sum(others.values()) > 1.0 + 1e-12:
                raise ConfigError(
                    f"transition.{one} must give chances of other regimes, 1 at most together, got "
                    f"{dict(others)}; the rest is the chance to stay"
                )
        if self.opening is not None and self.opening not in self.regimes:
            raise ConfigError(
                f"opening must be a regime, got {self.opening}; known regimes are "
                f"{', '.join(self.regimes)}; correct it"
            )

    @property
    def factors(self) -> F64:
        """Factor of the volatility, shape (regime,)."""
        return np.array([float(factor) for factor in self.regimes.values()])

    def matrix(self) -> F64:
        """Chances of a day's transitions, shape (regime, regime), rows add up to 1."""
        names = list(self.regimes)
        chances = np.zeros((len(names), len(names)))
        for one, others in self.transition.items():
            for other, chance in others.items():
                chances[names.index(one), names.index(other)] = chance
        np.fill_diagonal(chances, 1.0 - chances.sum(axis=1))
        return chances

    def stationary(self) -> F64:
        """Long-run share of each regime, shape (regime,).

        Raises
        ------
        ConfigError
            Where it depends on where the chain begins.
        """
        n = len(self.regimes)
        system = np.vstack([self.matrix().T - np.eye(n), np.ones(n)])
        solved = np.linalg.lstsq(system, np.append(np.zeros(n), 1.0))
        share: F64 = np.maximum(solved[0], 0.0)
        rank = int(solved[2])
        if rank < n:
            raise ConfigError(
                "transition leaves several groups of regimes that never meet; join them, or name "
                "the opening regime"
            )
        return share

    def first(self) -> F64:
        """Cumulative chances of the regime of step 0, shape (regime,)."""
        if self.opening is None:
            chances = self.stationary()
        else:
            chances = np.array([float(name == self.opening) for name in self.regimes])
        return np.asarray(np.cumsum(chances))

    def bind(self, world: "World") -> None:
        """Allocate prices and draw the first regimes."""
        names = world.assets
        self.keys = np.stack(
            [streams.stream_key(world.seed, name) for name in (STREAM, f"{STREAM}.chain")]
        )
        self.days = world.block_seconds / DAY
        sigma, mu = per_asset(self.volatility, names), per_asset(self.drift, names)
        self.assets = moving(sigma + np.abs(mu))
        own = [names[a] for a in self.assets]
        self.sigma = sigma[self.assets] * math.sqrt(DAY / SECONDS_PER_YEAR)
        self.growth = mu[self.assets] * world.block_seconds / SECONDS_PER_YEAR
        self.loading = loading_of(correlation_matrix(self.correlation, own))
        self.chances = np.cumsum(self.matrix(), axis=1)
        self.shocks = np.zeros((world.n_worlds, len(own)))
        draws = np.zeros((world.n_worlds, 1))
        streams.uniforms(draws, self.keys[1], world.world_ids, 0)
        first = self.first()
        regime = np.minimum(np.searchsorted(first, draws[:, 0], side="right"), len(first) - 1)
        self.open(world, of_worlds={"regime": regime})

    def move(self, step: int) -> None:
        """Move prices and regimes by a block."""
        state = (self.price, self.arena["regime"], self.shocks, self.assets, self.loading)
        terms = (self.sigma, self.growth, self.factors, self.chances, self.keys)
        step_regimes(*state, *terms, self.world_ids, step, self.days)

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset."""
        check_length(n_steps, dt_seconds)
        name = asset_of(self.initial, asset, self.volatility, self.drift)
        sigma = one_asset(self.volatility, name) * math.sqrt(DAY / SECONDS_PER_YEAR)
        growth = one_asset(self.drift, name) * dt_seconds / SECONDS_PER_YEAR
        chain = (self.factors, np.cumsum(self.matrix(), axis=1), self.first(), dt_seconds / DAY)
        key, own = (streams.stream_key(seed, f"{STREAM}.paths{end}") for end in ("", ".chain"))
        terms = (float(self.initial[name]), sigma, growth, *chain, own)
        return PathFiller(fill_regimes, terms, key, n_steps, 2, 1, addressed=True)
