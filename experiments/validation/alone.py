"""One venue alone in the smallest world: a ledger, the oracle's prices and a clock."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from sim.actions import Verb, new_rows
from sim.errors import ConfigError
from sim.kernel import F64, Rows
from sim.ledger import Ledger
from sim.venue import Venue

V = TypeVar("V", bound=Venue)


class Alone:
    """Just the attributes of a World that a venue reads.

    Parameters
    ----------
    assets, prices
        Names, and USD per whole token, the same in all worlds.
    accounts : sequence of str
        The first one is the venue's custody account.
    n_worlds : int
    """

    def __init__(
        self,
        assets: Sequence[str],
        prices: Sequence[float],
        accounts: Sequence[str],
        n_worlds: int = 1,
    ) -> None:
        self.n_worlds = n_worlds
        self.world_ids = np.arange(n_worlds)
        self.assets = list(assets)
        self.ledger = Ledger(n_worlds, accounts, assets)
        self.oracle_price: F64 = np.tile(np.array(prices, np.float64), (n_worlds, 1))
        self.market_price = self.fundamental = self.oracle_price  # all agree
        self.block_seconds = 12.0
        self.step = 0

    def asset_index(self, name: str) -> int:
        """Place of an asset."""
        if name not in self.assets:
            raise ConfigError(f"unknown asset {name!r}; assets: {', '.join(self.assets)}")
        return self.assets.index(name)

    def seat(self, venue: V) -> V:
        """Give a venue its place, with the first account as custody."""
        venue.attach(self, "lending", 0, 0)  # type: ignore[arg-type]
        return venue

    def execute(self, venue: Venue, rows: Rows) -> Rows:
        """Execute rows in the order given, per world."""
        order = np.argsort(rows["world"], kind="stable").astype(np.int64)
        counts = np.bincount(rows["world"], minlength=self.n_worlds)
        ends = np.cumsum(counts).astype(np.int64)
        venue.execute(rows, order, ends - counts, ends)
        return rows

    def act(self, venue: Venue, verb: Verb, **fields: Any) -> Any:
        """Execute one row in world 0 and return it; its amount is all that the rules allow."""
        rows = new_rows(1)
        rows["verb"] = verb
        rows["amount"] = np.inf
        for name, value in fields.items():
            rows[name] = value
        return self.execute(venue, rows)[0]
