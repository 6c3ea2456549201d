"""Compound's open price feed: one reporter's price, unless it is too far from an anchor.

A reporter signs the price of its own exchange; anybody may post it. The feed takes it over only
where the anchor, the time-weighted average price of a pool over at least the window, lies within
the tolerance of it:

    1 - tolerance <= anchor / reported <= 1 + tolerance

so a reported price may exceed the anchor by a quarter at a tolerance of 0.2; what lies outside is
refused, and the last price stays (`UniswapAnchoredView.postPriceInternal`, `isWithinAnchor`, of the
open price feed; half an hour and 20% in Compound's proposal 19, June 2020). Some assets have fixed
prices there, USDC among them.

Here the anchor is the arithmetic mean of the outside market's price, and the reporter's exchange
trades at a stated premium to that market, straight between the stated hours. Posting is free.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64, Bool, kernel
from sim.oracles.oracle import Oracle
from sim.terms import check_range, require

if TYPE_CHECKING:
    from sim.world import World

# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredParams:
    """Terms of the feed; the defaults are Compound's from August 2020 to June 2021."""

    tolerance: float = 0.20  # largest distance of anchor / reported from 1, fraction
    window_seconds: float = 1_800.0  # seconds that the anchor averages over
    interval_seconds: float = 60.0  # seconds between two posts
    fixed: Mapping[str, float] = field(default_factory=lambda: {"USDC": 1.0})  # USD, by asset
    premium: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    # ^ of the reporter's exchange over the market, fraction: by asset, by hours since the start
    max_lag_seconds: float = 7_200.0  # seconds; longest lag that a scenario may impose

    def __post_init__(self) -> None:
        check_range("tolerance", self.tolerance, 0.0, 1.0)
        check_range("window_seconds", self.window_seconds, 0.0, self.max_lag_seconds)
        check_range("interval_seconds", self.interval_seconds, 0.0)
        check_range("fixed", self.fixed, 0.0, open_low=True)
        for asset, path in self.premium.items():
            hours = [_hour(asset, hour) for hour in path]
            require(
                bool(hours) and hours == sorted(set(hours)),
                f"premium.{asset} must name increasing hours, got {', '.join(map(str, path))}",
            )
            check_range(f"premium.{asset}", path, -1.0, open_low=True)


def _hour(asset: str, hour: object) -> float:
    try:
        return float(str(hour))
    except ValueError:
        raise ConfigError(
            f"premium.{asset} must be keyed by hours since the start, got {hour!r}; write a number"
        ) from None


# Kernels


@kernel
def post(
    history: F64, observed: F64, factor: F64, fixed: Bool, halted: F64, blocks: int, step: int,
    tolerance: float, price: F64,
) -> None:  # fmt: skip
    """Take over the reported prices that lie within the tolerance of their anchors.

    Parameters
    ----------
    history : array (world, asset, slot)
        Market prices by step, a ring; what lies before step 0 is the first price.
    observed : array (world, asset)
        Market price that the reporter sees, USD.
    factor : array (asset,)
        The reporter's exchange over the market.
    fixed : array (asset,)
        Feeds with a constant price.
    halted : array (world, asset)
    blocks : int
        Past blocks that the anchor averages over, at least 1.
    step : int
    tolerance : float
    price : array (world, asset)
        In use; changed in place.
    """
    n = history.shape[2]
    for w in range(price.shape[0]):
        for k in range(price.shape[1]):
            if fixed[k] or halted[w, k] != 0.0:
                continue
            total = 0.0
            for back in range(blocks):
                total += history[w, k, max(step - back, 0) % n]
            reported = observed[w, k] * factor[k]
            ratio = total / blocks / reported
            if 1.0 - tolerance <= ratio <= 1.0 + tolerance:
                price[w, k] = reported


# Facade


class AnchoredOracle(Oracle):
    """A reporter's price, checked against an average of the market.

    Parameters
    ----------
    **terms
        Fields of `AnchoredParams`.
    """

    def __init__(self, **terms: Any) -> None:
        self.params = AnchoredParams(**terms)
        super().__init__(self.params.max_lag_seconds)

    def begin(self, world: "World") -> None:
        """Resolve the assets and publish the fixed prices; terms of other assets are ignored."""
        params, assets = self.params, world.assets
        self.fixed: Bool = np.array([name in params.fixed for name in assets])
        for k, name in enumerate(assets):
            if name in params.fixed:
                self.price[:, k] = params.fixed[name]
        self.paths = {
            assets.index(name): (
                np.array([float(str(hour)) for hour in path]), np.array(list(path.values()), float)
            )
            for name, path in params.premium.items()
            if name in assets
        }  # fmt: skip
        self.blocks = max(1, round(params.window_seconds / world.block_seconds))
        self.every = max(1, round(params.interval_seconds / world.block_seconds))

    def factor(self, hours: float) -> F64:
        """Price on the reporter's exchange over the market's, shape (asset,)."""
        factor: F64 = np.ones(len(self.world.assets))
        for k, (knots, values) in self.paths.items():
            factor[k] += np.interp(hours, knots, values)
        return factor

    def update(self) -> None:
        """Post where it is time."""
        self.observe()
        world = self.world
        if world.step % self.every == 0:
            factor = self.factor(world.step * world.block_seconds / 3_600.0)
            post(
                self.history, self.observed, factor,
                self.fixed, world.inputs["oracle_halted"], self.blocks, int(world.step),
                float(self.params.tolerance), self.price,
            )  # fmt: skip
