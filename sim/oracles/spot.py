"""An oracle without delay: the market price of each block, unless a feed is halted or lags."""

from dataclasses import dataclass
from typing import Any

from sim.kernel import F64, kernel
from sim.oracles.oracle import Oracle

# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotParams:
    """Terms of a spot oracle."""

    max_lag_seconds: float = 7_200.0  # seconds; longest lag that a scenario may impose


# Kernels


@kernel
def publish(observed: F64, halted: F64, price: F64) -> None:
    """Take over the observed price of every feed that is not halted."""
    for w in range(price.shape[0]):
        for k in range(price.shape[1]):
            if halted[w, k] == 0.0:
                price[w, k] = observed[w, k]


# Facade


class SpotOracle(Oracle):
    """Market price, every block, for free.

    Parameters
    ----------
    **terms
        Fields of `SpotParams`.
    """

    def __init__(self, **terms: Any) -> None:
        self.params = SpotParams(**terms)
        super().__init__(self.params.max_lag_seconds)

    def update(self) -> None:
        """Publish the market price."""
        self.observe()
        publish(self.observed, self.world.inputs["oracle_halted"], self.price)
