"""A stand-in world: just the attributes that a lending market reads."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from experiments.validation.alone import Alone
from sim.actions import ROW

ASSETS = ("WETH", "WBTC", "USDC")
ACCOUNTS = ("market", "lenders", "borrowers", "liquidator", "whale")
PRICES = (2000.0, 40000.0, 1.0)


class StandIn(Alone):
    """One market, a ledger, oracle prices and a clock, with this folder's defaults."""

    def __init__(
        self,
        n_worlds: int,
        assets: Sequence[str] = ASSETS,
        prices: Sequence[float] = PRICES,
        accounts: Sequence[str] = ACCOUNTS,
    ) -> None:
        super().__init__(assets, prices, accounts, n_worlds)


@pytest.fixture(scope="session")
def stand_in() -> Callable[..., StandIn]:
    return StandIn


@pytest.fixture(scope="session")
def row_dtype() -> np.dtype:  # type: ignore[type-arg]
    return ROW
