"""Maker's oracle security module: a price in use that is one to two hours old.

Every period, at full hours since 1970, `current <- next` and `next <- market`. The queue gives
keepers and governors an hour's warning, and lets a falling market run ahead of the protocol.
Models `OSM.poke` with `zzz` aligned to the hop (makerdao/osm). The poke is free and prompt here:
what it takes in is the market, not a medianiser with its own delays. A halted feed misses its
pokes and takes the next one as soon as the halt is over.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.kernel import F64, kernel
from sim.oracles.oracle import Oracle
from sim.terms import check_range

if TYPE_CHECKING:
    from sim.world import World

# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedParams:
    """Terms of the module; the default hop is Maker's."""

    period_seconds: float = 3_600.0  # seconds between pokes (`hop`)
    max_lag_seconds: float = 7_200.0  # seconds; longest lag that a scenario may impose

    def __post_init__(self) -> None:
        check_range("period_seconds", self.period_seconds, 0.0, open_low=True)


# Kernels


@kernel
def poke(
    observed: F64, halted: F64, period: float, price: F64, upcoming: F64, last_period: F64
) -> None:
    """Move each feed's queue on where a new period has begun since its last poke."""
    for w in range(price.shape[0]):
        for k in range(price.shape[1]):
            if period > last_period[w, k] and halted[w, k] == 0.0:
                price[w, k] = upcoming[w, k]
                upcoming[w, k] = observed[w, k]
                last_period[w, k] = period


# Facade


class DelayedOracle(Oracle):
    """A two-stage queue of prices, moved on every period.

    Parameters
    ----------
    **terms
        Fields of `DelayedParams`.

    Attributes
    ----------
    upcoming : array (world, asset)
        Price that will be in use from the next poke on, USD; everybody can see it.
    """

    FIELDS: ClassVar[tuple[str, ...]] = ("upcoming", "last_period")

    def __init__(self, **terms: Any) -> None:
        self.params = DelayedParams(**terms)
        super().__init__(self.params.max_lag_seconds)

    def begin(self, world: "World") -> None:
        """Queue the present price behind itself."""
        self.upcoming = self.arena["upcoming"]
        self.upcoming[:] = world.market_price
        self.arena["last_period"][:] = self.period(0)

    def period(self, step: int) -> float:
        """Count the whole periods between 1970 and the step."""
        seconds = self.world.start + step * self.world.block_seconds
        return float(np.floor(seconds / self.params.period_seconds))

    def update(self) -> None:
        """Poke where it is time."""
        self.observe()
        poke(
            self.observed,
            self.world.inputs["oracle_halted"],
            self.period(self.world.step),
            self.price,
            self.upcoming,
            self.arena["last_period"],
        )
