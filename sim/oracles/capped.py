"""Aave's correlated-assets price oracle (CAPO): a ratio that cannot grow faster than a cap.

An asset that earns yield on an underlying is priced at min(ratio, cap) times the underlying, with

    cap(t) = snapshot ratio + growth per second (t - snapshot time),
    growth per second = snapshot ratio * max yearly growth / 365 days

(bgd-labs/aave-capo, `PriceCapAdapterBase.sol`). The cap binds from above only: a ratio that falls
passes. Setting a snapshot is refused unless its time is after the last one's and at least the
minimum delay in the past. What is not checked, on chain or here, is that ratio and time belong
together: a ratio too low for its time prices the asset too low (`conf/scenario/capo_2026.yaml`).
Stablecoins have a fixed cap in USD (`PriceCapAdapterStable.sol`).

The ratio is that of the two prices in `base`; where it is a redemption rate, let `base` be a
`rate`. Leaves out the contract's rounding of ratio and growth to integers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.errors import ConfigError
from sim.oracles.composite import CompositeOracle
from sim.oracles.oracle import Oracle
from sim.terms import check_range, require

if TYPE_CHECKING:
    from sim.world import World

DAY, YEAR = 86_400.0, 365.0 * 86_400.0  # seconds


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One call of `setCapParameters`."""

    ratio: float  # units of the underlying per unit of the asset
    age_days: float  # days that the snapshot's time lies back when it is set
    max_yearly_growth: float  # fraction of the ratio
    from_hours: float = 0.0  # hours since step 0 at which it is set

    def __post_init__(self) -> None:
        check_range("ratio", self.ratio, 0.0, 1e12, open_low=True)
        check_range("age_days", self.age_days, 0.0, 1e5)
        check_range("max_yearly_growth", self.max_yearly_growth, 0.0, 6.5535)  # uint16 of bps
        check_range("from_hours", self.from_hours, 0.0, 1e6)

    def cap(self, seconds: float) -> float:
        """Largest ratio at a time, seconds since step 0."""
        age = seconds - self.from_hours * 3_600.0 + self.age_days * DAY
        return self.ratio + self.ratio * self.max_yearly_growth / YEAR * age


class RatioCap:
    """Terms of one asset.

    Parameters
    ----------
    underlying : str
        What the ratio counts.
    snapshots : mapping of str to mapping
        Fields of `Snapshot` by name; one holds from step 0 on, each until the next is set.
    minimum_snapshot_delay_days : float
        Least age of a snapshot when it is set; 7 days for wstETH.
    """

    def __init__(
        self,
        *,
        underlying: str,
        snapshots: Mapping[str, Mapping[str, Any] | None],
        minimum_snapshot_delay_days: float = 7.0,
    ) -> None:
        check_range("minimum_snapshot_delay_days", minimum_snapshot_delay_days, 0.0, 180.0)
        self.underlying = underlying
        made = {name: Snapshot(**terms) for name, terms in snapshots.items() if terms is not None}
        require(bool(made), "snapshots must name at least one snapshot of the ratio")
        self.snapshots = dict(sorted(made.items(), key=lambda item: item[1].from_hours))
        self._check(minimum_snapshot_delay_days)

    def _check(self, delay: float) -> None:
        """Refuse what the contract refuses."""
        first, taken = next(iter(self.snapshots.items()))
        require(
            taken.from_hours == 0.0,
            f"snapshots.{first}.from_hours must be 0, as it is the first, got {taken.from_hours:g}",
        )
        last = -np.inf
        for name, snapshot in self.snapshots.items():
            require(
                snapshot.age_days >= delay,
                f"snapshots.{name}.age_days must be at least minimum_snapshot_delay_days = "
                f"{delay:g}, got {snapshot.age_days:g}; take an older snapshot",
            )
            day = snapshot.from_hours / 24.0 - snapshot.age_days
            require(
                day > last,
                f"snapshots.{name} must be of a later time than the one set before it, got day "
                f"{day:g} from step 0 after day {last:g}; lower its age_days",
            )
            last = day

    def cap(self, seconds: float) -> float:
        """Largest ratio at a time, seconds since step 0."""
        hours = seconds / 3_600.0 + 1e-9
        return [s for s in self.snapshots.values() if s.from_hours <= hours][-1].cap(seconds)


# Facade


class CappedOracle(CompositeOracle):
    """Prices with caps.

    Parameters
    ----------
    base : Oracle
        Uncapped prices.
    ratios : mapping of str to mapping, optional
        Fields of `RatioCap` by asset; None where a name was switched off.
    stables : mapping of str to float, optional
        Highest price by asset, USD, at most 2.
    """

    def __init__(
        self,
        *,
        base: Oracle,
        ratios: Mapping[str, Mapping[str, Any] | None] | None = None,
        stables: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__({"base": base})
        self.ratios: dict[str, RatioCap] = {}
        for asset, terms in (ratios or {}).items():
            if terms is None:
                continue
            try:
                self.ratios[asset] = RatioCap(**terms)
            except (ConfigError, TypeError) as error:
                raise ConfigError(f"ratios.{asset}: {error}") from error
            require(
                asset != self.ratios[asset].underlying,
                f"ratios.{asset}.underlying must be another asset, got {asset}",
            )
        self.stables = dict(stables or {})
        check_range("stables", self.stables, 0.0, 2.0, open_low=True)

    def begin(self, world: "World") -> None:
        """Resolve the assets."""
        self.base = self.parts["base"]
        self.capped = [
            (world.asset_index(asset), world.asset_index(terms.underlying), terms)
            for asset, terms in self.ratios.items()
        ]
        self.fixed = [(world.asset_index(asset), cap) for asset, cap in self.stables.items()]

    def combine(self) -> None:
        """Cap the base's prices."""
        found, price = self.base.price, self.price
        seconds = self.world.step * self.world.block_seconds
        price[:] = found
        for asset, underlying, terms in self.capped:
            cap = terms.cap(seconds) * found[:, underlying]
            np.minimum(found[:, asset], cap, out=price[:, asset])
        for asset, highest in self.fixed:
            np.minimum(price[:, asset], highest, out=price[:, asset])
