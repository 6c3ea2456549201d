"""The crowd that competes for block space: how much gas it wants, and what it offers."""

from abc import ABC, abstractmethod
from math import exp, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ConfigError, InputError
from sim.kernel import F64, I64, U64, kernel
from sim.state import Arena
from sim.streams import normal, stream_key

if TYPE_CHECKING:
    from sim.world import World


class BackgroundDemand(ABC):
    """Demand for gas per block, lognormal in the price offered.

    Attributes
    ----------
    crowd : array (world, 3)
        Gas wanted per simulated block; log median and log standard deviation of the price offered,
        gwei.
    """

    arena: Arena
    crowd: F64

    def bind(self, world: "World", gas_limit: float) -> None:
        """Allocate; `gas_limit` is gas per simulated block."""
        self.world = world
        self.gas_limit = gas_limit
        self.arena = Arena(world.n_worlds, {"crowd": (3,), "log_demand": (), "last_price": ()})
        self.crowd = self.arena["crowd"]

    @abstractmethod
    def advance(self, step: int) -> None:
        """Write `crowd` for this step, scenario multiplier `world.inputs["demand"]` included."""


@kernel
def _advance_mean_reverting(
    crowd: F64, log_demand: F64, last_price: F64, price: F64, multiplier: F64, world_ids: I64,
    key: U64, step: int, level: float, decay: float, noise: float, response: float,
    gas_asset: int, median: float, sigma: float,
) -> None:  # fmt: skip
    """Exact Ornstein-Uhlenbeck step of log demand, plus a response to falling prices."""
    for w in range(crowd.shape[0]):
        drop = 0.0
        if last_price[w] > 0.0:
            drop = max(0.0, log(last_price[w] / price[w, gas_asset]))
        last_price[w] = price[w, gas_asset]
        shock = noise * normal(key, world_ids[w], step, 0)
        log_demand[w] = log_demand[w] * decay + shock + response * drop
        crowd[w, 0] = level * exp(log_demand[w]) * multiplier[w]
        crowd[w, 1] = median
        crowd[w, 2] = sigma


class MeanRevertingDemand(BackgroundDemand):
    """Log demand reverts to its mean and jumps when the price of the gas asset falls.

    d log D = -speed (log D - log level) dt + volatility sqrt(2 speed) dW + response * price drop

    Parameters
    ----------
    level : float
        Median gas wanted, as a multiple of the block's gas limit.
    speed : float
        Reversion, per hour.
    volatility : float
        Stationary standard deviation of log demand.
    price_response : float
        Rise of log demand per unit fall of the log price: 10 doubles demand on a 7% fall.
    median_bid : float
        Median price offered, gwei.
    bid_sigma : float
        Standard deviation of the log price offered.
    """

    def __init__(
        self,
        *,
        level: float = 1.5,
        speed: float = 1.0,
        volatility: float = 0.25,
        price_response: float = 10.0,
        median_bid: float = 15.0,
        bid_sigma: float = 1.0,
    ) -> None:
        for name, value in (("level", level), ("speed", speed), ("median_bid", median_bid),
                            ("bid_sigma", bid_sigma)):  # fmt: skip
            if not value > 0:
                raise ConfigError(
                    f"background.{name} must be positive, got {value}; give a positive number"
                )
        for name, value in (("volatility", volatility), ("price_response", price_response)):
            if not value >= 0:
                raise ConfigError(f"background.{name} must not be negative, got {value}; raise it")
        self.level, self.speed, self.volatility = level, speed, volatility
        self.price_response = price_response
        self.median_bid, self.bid_sigma = median_bid, bid_sigma

    def bind(self, world: "World", gas_limit: float) -> None:
        """Allocate and take the stream."""
        super().bind(world, gas_limit)
        hours = world.block_seconds / 3600.0
        self.key = stream_key(world.seed, "background_demand")
        self.decay = exp(-self.speed * hours)
        self.noise = self.volatility * sqrt(1.0 - self.decay**2)

    def advance(self, step: int) -> None:
        """Draw this block's demand."""
        world = self.world
        _advance_mean_reverting(
            self.crowd, self.arena["log_demand"], self.arena["last_price"], world.market_price,
            world.inputs["demand"], world.world_ids, self.key, step, self.level * self.gas_limit,
            self.decay, self.noise, self.price_response, world.gas_asset,
            log(self.median_bid), self.bid_sigma,
        )  # fmt: skip


@kernel
def _advance_replay(
    crowd: F64, multiplier: F64, demand: float, median: float, sigma: float
) -> None:
    for w in range(crowd.shape[0]):
        crowd[w, 0] = demand * multiplier[w]
        crowd[w, 1] = median
        crowd[w, 2] = sigma


class GasReplay(BackgroundDemand):
    """Replay of gas prices that were paid on a real day.

    A bucket's paid prices are fitted by a lognormal law through its 30% and 90% quantiles. Blocks
    were full, so the crowd wants `pressure` times the gas limit: with 1.1 the cheapest tenth waits.

    Parameters
    ----------
    ts : array (n,)
        Start of each bucket, unix seconds, ascending.
    low_gwei, high_gwei : array (n,)
        30% and 90% quantiles of the price paid, gwei.
    pressure : float
        Gas wanted, as a multiple of the gas limit; above 1.
    """

    Z30, Z90 = -0.5244005127080407, 1.2815515655446004  # normal quantiles

    def __init__(self, ts: F64, low_gwei: F64, high_gwei: F64, *, pressure: float = 1.1) -> None:
        if not pressure > 1.0:
            raise ConfigError(f"background.pressure must be above 1, got {pressure}; raise it")
        low = np.maximum(low_gwei, 1e-3)
        high = np.maximum(high_gwei, low * 1.0001)
        self.ts = ts
        self.sigma = np.maximum(np.log(high / low) / (self.Z90 - self.Z30), 0.05)
        self.median = np.log(low) - self.Z30 * self.sigma
        self.pressure = pressure

    def bind(self, world: "World", gas_limit: float) -> None:
        """Allocate, and check that the series covers the simulated time."""
        super().bind(world, gas_limit)
        end = world.start + world.n_steps * world.block_seconds
        width = float(np.median(np.diff(self.ts))) if self.ts.shape[0] > 1 else 0.0
        if self.ts[0] > world.start or self.ts[-1] + width < end:
            span = np.array([self.ts[0], self.ts[-1] + width, world.start, end])
            names = span.astype("datetime64[s]").astype(str)
            raise InputError(
                f"gas series covers {names[0]} to {names[1]}, but the run needs {names[2]} to "
                f"{names[3]}; shorten the run or give a longer series"
            )

    def advance(self, step: int) -> None:
        """Take the bucket that holds this step."""
        world = self.world
        now = world.start + step * world.block_seconds
        i = int(np.searchsorted(self.ts, now, side="right")) - 1
        _advance_replay(
            self.crowd, world.inputs["demand"], self.pressure * self.gas_limit,
            float(self.median[i]), float(self.sigma[i]),
        )  # fmt: skip
