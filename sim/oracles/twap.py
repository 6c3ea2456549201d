"""Time-weighted average price of a pool, the geometric mean that Uniswap v3 keeps.

The pool adds up tick * seconds; a reader takes the difference of two such sums over the window:

    log price = (C(now) - C(now - window)) / window,    C(t) = integral of log price until t

(Uniswap v3 core `Oracle.sol`, periphery `OracleLibrary.consult`). In a block, the time since the
last one is booked at the price that stood when the last one ended, before any trade of this block:
a trade and its reversal within a block leave no trace, and a price held over the end of one block
weighs block / window. Between two observations C is a straight line, so any window is exact.

The contract rounds every tick down and the mean down again; here the logarithm itself is averaged,
so the two differ by up to 2 ticks (2 basis points). The same average is taken of any pool that
tells a price; Uniswap v2's own is arithmetic, Curve's exponential (`ema`).

The pool prices one asset in another, the quote; the quote's worth in USD and all other prices come
from `base`. A lag moves the whole window into the past. A halt holds the published price, while the
pool goes on adding up.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64, kernel
from sim.oracles.composite import CompositeOracle
from sim.oracles.oracle import Oracle
from sim.terms import check_range, require

if TYPE_CHECKING:
    from sim.world import World


@runtime_checkable
class PricedPool(Protocol):
    """A pool that tells its own price."""

    state: Any  # with `assets`, the indices of what it holds

    def mid_price(self, asset: int, quote: int) -> F64:
        """Price of an asset in another, before fees, shape (world,)."""


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class TwapParams:
    """Terms of the average; half an hour is a common window."""

    pool: str  # name of a pool of the world
    asset: str  # what the pool prices
    quote: str  # in what
    window_seconds: float = 1_800.0  # seconds; 0: the price at which the last block ended
    max_lag_seconds: float = 7_200.0  # seconds; longest lag that a scenario may impose

    def __post_init__(self) -> None:
        check_range("window_seconds", self.window_seconds, 0.0, 1e7)
        require(
            self.asset != self.quote,
            f"asset and quote must differ, got {self.asset} twice; name two assets of the pool",
        )


# Kernels


@kernel
def accumulate(price: F64, seconds: float, step: int, sums: F64) -> None:
    """Book the time since the last step at the price that has stood since."""
    n = sums.shape[1]
    for w in range(sums.shape[0]):
        sums[w, step % n] = sums[w, (step - 1) % n] + np.log(price[w]) * seconds


@kernel
def sum_at(sums: F64, w: int, blocks: float) -> float:
    """Read the sum at a time counted in blocks since step 0; a straight line within a block."""
    n = sums.shape[1]
    whole = int(np.floor(blocks))
    start = sums[w, whole % n]
    part = blocks - whole
    if part == 0.0:
        return float(start)
    return float(start + part * (sums[w, (whole + 1) % n] - start))


@kernel
def average(sums: F64, lag: F64, window: float, seconds: float, step: int, mean: F64) -> float:
    """Fill the geometric means (world,) of the window; return the longest lag, seconds."""
    longest = 0.0
    for w in range(sums.shape[0]):
        longest = max(longest, lag[w])
        end = step - lag[w] / seconds
        rise = sum_at(sums, w, end) - sum_at(sums, w, end - window / seconds)
        mean[w] = np.exp(rise / window)
    return longest


@kernel
def publish(base: F64, mean: F64, halted: F64, asset: int, quote: int, price: F64) -> None:
    """Take over the base's prices, and the mean for the asset unless its feed is halted."""
    for w in range(price.shape[0]):
        for k in range(price.shape[1]):
            if k != asset:
                price[w, k] = base[w, k]
        if halted[w, asset] == 0.0:
            price[w, asset] = mean[w] * base[w, quote]


# Facade


class TwapOracle(CompositeOracle):
    """Average price of a pool over a window.

    Parameters
    ----------
    base : Oracle
        Prices the quote and all other assets.
    **terms
        Fields of `TwapParams`.
    """

    def __init__(self, *, base: Oracle, **terms: Any) -> None:
        self.params = TwapParams(**terms)
        super().__init__({"base": base}, self.params.max_lag_seconds)

    def fields(self, n_assets: int) -> dict[str, tuple[int, ...]]:
        """Present mean, in the quote."""
        del n_assets
        return {"mean": ()}

    def remembered(self) -> dict[str, tuple[int, ...]]:
        """Keep the sums of log price * seconds at the last steps."""
        seconds = self.world.block_seconds
        self.window = self.params.window_seconds or seconds
        return {"sums": (int(np.ceil((self.window + self.max_lag_seconds) / seconds)) + 2,)}

    def begin(self, world: "World") -> None:
        """Find the pool; its present price is all its past."""
        self.base = self.parts["base"]
        self.asset = world.asset_index(self.params.asset)
        self.quote = world.asset_index(self.params.quote)
        self.pool = self._find_pool(world)
        self.sums, self.mean = self.memory["sums"], self.arena["mean"]
        self.mean[:] = self.pool.mid_price(self.asset, self.quote)
        n = self.sums.shape[1]
        for back in range(n):
            self.sums[:, -back % n] = -back * world.block_seconds * np.log(self.mean)
        self.price[:, self.asset] = self.mean * self.base.price[:, self.quote]

    def _find_pool(self, world: "World") -> PricedPool:
        pool = world.venues.get(self.params.pool)
        priced = {name for name, venue in world.venues.items() if isinstance(venue, PricedPool)}
        if not isinstance(pool, PricedPool):
            raise ConfigError(
                f"{self.name}.pool must name a pool of this world, got {self.params.pool!r}; "
                f"pools: {', '.join(sorted(priced)) or 'none'}"
            )
        held = [world.assets[k] for k in pool.state.assets]
        for field in ("asset", "quote"):
            name = getattr(self.params, field)
            if name not in held:
                raise ConfigError(
                    f"{self.name}.{field} must be held by the pool {self.params.pool}, which has "
                    f"{', '.join(held)}, got {name}; name one of them"
                )
        return pool

    def advance(self) -> None:
        """Book the last block, and average."""
        seconds, step = float(self.world.block_seconds), int(self.world.step)
        accumulate(self.pool.mid_price(self.asset, self.quote), seconds, step, self.sums)
        lag = self.world.inputs["oracle_lag"][:, self.asset]
        if lag.max() > self.max_lag_seconds:
            raise self.too_late(float(lag.max()))
        average(self.sums, lag, float(self.window), seconds, step, self.mean)

    def combine(self) -> None:
        """Publish the mean at the quote's price."""
        publish(
            self.base.price, self.mean, self.world.inputs["oracle_halted"], self.asset, self.quote,
            self.price,
        )  # fmt: skip
