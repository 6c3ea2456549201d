"""Arbitrageurs of crvUSD's bands: they are what liquidates its loans softly, and back again.

When the price outside falls they sell the stable token's worth of the bands' collateral out of
them, when it rises they bring collateral back, each time as much as maximises profit after the
bands' fees. What they bought they sell outside in the blocks that follow.
"""

from typing import Any

from agents.strategic.arbitrageur import Arbitrageur, decide_pool
from agents.view import View
from sim.errors import ConfigError
from sim.kernel import Rows
from sim.lending.crvusd import CrvUsdMarket
from sim.pools import BandPool
from sim.streams import stream_key
from sim.world import World


class BandArbitrageur(Arbitrageur):
    """One arbitrageur of the bands of one crvUSD market, in all worlds.

    Parameters
    ----------
    market : str
        Name of the crvUSD market.
    gas : float
        Units of gas per exchange.
    attention : float
        Chance that the market is looked at in a block.
    **terms
        See `Arbitrageur` and `Trader`; `cash` is the stable token unless given.
    """

    def __init__(
        self,
        *,
        market: str = "crvusd",
        gas: float = 350_000.0,
        attention: float = 0.9,
        **terms: Any,
    ) -> None:
        super().__init__(gas=gas, **{"cash": "DAI", **terms})
        if not 0.0 < attention <= 1.0:
            raise ConfigError(f"attention must lie in (0, 1], got {attention}")
        if not gas > 0.0:
            raise ConfigError(f"gas must be positive, got {gas}")
        self.market_name, self.attention = market, float(attention)

    def bind(self, world: World) -> None:
        """Endow the account and find the market."""
        super().bind(world)
        market = world.venues.get(self.market_name)
        if not isinstance(market, CrvUsdMarket):
            raise ConfigError(
                f"{self.name}.market must name a crvUSD market, got {self.market_name!r}; known "
                f"venues: {', '.join(world.venues)}"
            )
        self.market = market
        self.pool = BandPool(market.bands, market.state.assets)
        self.key = stream_key(world.seed, f"attention.{self.name}")

    def decide(self, view: View) -> Rows:
        """Exchange with the bands, where that pays, and exits outside."""
        self.market.look()
        n = decide_pool(
            self.pool, self.market.index, view.balances, view.market_price, view.base_fee,
            view.clearing, view.world_ids, self.key, self.attention, self.terms(view),
            self.buffer.room(view.n_worlds),
        )  # fmt: skip
        return self.rows_and_exits(n, view)
