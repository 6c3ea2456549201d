"""An oracle whose assets each have a feed of a kind of their own.

Most protocols read every asset from its own contract. `base` prices all assets that `feeds` does
not name. A part that looks at the market itself sends transactions for the assets that are read
from it and for no others.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sim.oracles.composite import CompositeOracle
from sim.oracles.oracle import Oracle

if TYPE_CHECKING:
    from sim.world import World


class FeedsOracle(CompositeOracle):
    """One oracle per asset.

    Parameters
    ----------
    base : Oracle
        Prices what `feeds` leaves out.
    feeds : mapping of str to Oracle, optional
        Oracles by asset; None where a name was switched off.
    """

    def __init__(self, *, base: Oracle, feeds: Mapping[str, Oracle | None] | None = None) -> None:
        self.by_asset = {asset: feed for asset, feed in (feeds or {}).items() if feed is not None}
        super().__init__({"base": base, **{f"feeds.{a}": f for a, f in self.by_asset.items()}})

    def begin(self, world: "World") -> None:
        """Tell every part which of its feeds are read."""
        self.base = self.parts["base"]
        self.columns = {world.asset_index(asset): feed for asset, feed in self.by_asset.items()}
        assets = np.arange(len(world.assets))
        if not isinstance(self.base, CompositeOracle):
            self.base.served = ~np.isin(assets, list(self.columns))
        for k, feed in self.columns.items():
            if not isinstance(feed, CompositeOracle):
                feed.served = assets == k

    def combine(self) -> None:
        """Take each asset's price from its feed."""
        self.price[:] = self.base.price
        for k, feed in self.columns.items():
            self.price[:, k] = feed.price[:, k]
