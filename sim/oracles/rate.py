"""A price by an exchange rate: so many units of another asset, whatever the market says.

Staked ether is commonly priced by the rate at which its contract redeems it, and stablecoins by a
hard-wired peg. The rate grows at a constant speed, as staking rewards make it, and knows nothing of
the market price of the asset itself.

    price = rate (1 + yearly_growth t) price of the underlying,    t in years since step 0
"""

from typing import TYPE_CHECKING

from sim.oracles.composite import CompositeOracle
from sim.oracles.oracle import Oracle
from sim.terms import check_range, require

if TYPE_CHECKING:
    from sim.world import World

YEAR = 365.0 * 86_400.0  # seconds


class RateOracle(CompositeOracle):
    """An asset at a rate to another one.

    Parameters
    ----------
    base : Oracle
        Prices the underlying and all other assets.
    asset, underlying : str
        What is priced, and in what.
    rate : float
        Units of the underlying per unit of the asset, at step 0.
    yearly_growth : float
        Fraction of the first rate per year; negative where the rate falls.
    """

    def __init__(
        self,
        *,
        base: Oracle,
        asset: str,
        underlying: str,
        rate: float = 1.0,
        yearly_growth: float = 0.0,
    ) -> None:
        check_range("rate", rate, 0.0, 1e12, open_low=True)
        check_range("yearly_growth", yearly_growth, -1.0, 100.0)
        require(
            asset != underlying,
            f"asset and underlying must differ, got {asset} twice; name two assets",
        )
        super().__init__({"base": base})
        self.names = (asset, underlying)
        self.first_rate, self.yearly_growth = float(rate), float(yearly_growth)

    def begin(self, world: "World") -> None:
        """Resolve the assets."""
        self.base = self.parts["base"]
        self.asset, self.underlying = (world.asset_index(name) for name in self.names)

    def rate(self) -> float:
        """Units of the underlying per unit of the asset, now."""
        years = self.world.step * self.world.block_seconds / YEAR
        return self.first_rate * (1.0 + self.yearly_growth * years)

    def combine(self) -> None:
        """Price the asset by the rate."""
        self.price[:] = self.base.price
        self.price[:, self.asset] = self.rate() * self.base.price[:, self.underlying]
