"""A stand-in world: just the attributes that a lending market reads."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from sim.actions import ROW, Verb, new_rows
from sim.errors import ConfigError
from sim.kernel import F64, Rows
from sim.ledger import Ledger
from sim.lending.pooled import PooledMarket

ASSETS = ("WETH", "WBTC", "USDC")
ACCOUNTS = ("market", "lenders", "borrowers", "liquidator", "whale")
PRICES = (2000.0, 40000.0, 1.0)


class StandIn:
    """One market, a ledger, oracle prices and a clock."""

    def __init__(
        self,
        n_worlds: int,
        assets: Sequence[str] = ASSETS,
        prices: Sequence[float] = PRICES,
        accounts: Sequence[str] = ACCOUNTS,
    ) -> None:
        self.n_worlds = n_worlds
        self.world_ids = np.arange(n_worlds)
        self.assets = list(assets)
        self.ledger = Ledger(n_worlds, accounts, assets)
        self.oracle_price: F64 = np.tile(np.array(prices, np.float64), (n_worlds, 1))
        self.market_price: F64 = self.oracle_price  # markets and oracle agree
        self.block_seconds = 12.0
        self.step = 0

    def asset_index(self, name: str) -> int:
        if name not in self.assets:
            raise ConfigError(f"unknown asset {name!r}; assets: {', '.join(self.assets)}")
        return self.assets.index(name)

    def seat(self, market: PooledMarket) -> PooledMarket:
        market.attach(self, "lending", 0, 0)  # type: ignore[arg-type]
        return market

    def execute(self, market: PooledMarket, rows: Rows) -> Rows:
        """Execute rows in the order given, per world."""
        order = np.argsort(rows["world"], kind="stable").astype(np.int64)
        counts = np.bincount(rows["world"], minlength=self.n_worlds)
        ends = np.cumsum(counts).astype(np.int64)
        market.execute(rows, order, ends - counts, ends)
        return rows

    def act(self, market: PooledMarket, verb: Verb, **fields: Any) -> Any:
        """Execute one row in world 0 and return it."""
        rows = new_rows(1)
        rows["verb"] = verb
        rows["amount"] = np.inf
        for name, value in fields.items():
            rows[name] = value
        return self.execute(market, rows)[0]


@pytest.fixture(scope="session")
def stand_in() -> Callable[..., StandIn]:
    return StandIn


@pytest.fixture(scope="session")
def row_dtype() -> np.dtype:  # type: ignore[type-arg]
    return ROW
