"""A small world for tests of single parts: what venues, oracles and scenarios ask of one."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from sim.actions import ROW, Verb, new_rows
from sim.errors import ConfigError
from sim.ledger import Ledger
from sim.state import Arena

ACCOUNTS = ["venue", "oracle", "alice", "bob"]
PRICES = {"WETH": 2_000.0, "WBTC": 40_000.0, "USDC": 1.0, "DAI": 1.0}


class StandIn(SimpleNamespace):
    """The attributes of a world, without its machinery."""

    def __init__(self, n_worlds=3, block_seconds=12.0, n_steps=100_000, ids=None, prices=None):
        prices = prices or PRICES
        assets = list(prices)
        shape = (len(assets),)
        inputs = Arena(
            n_worlds,
            {
                "price_factor": shape,
                "depth": shape,
                "demand": (),
                "oracle_halted": shape,
                "oracle_lag": shape,
            },
        )
        fundamental = np.tile(np.array(list(prices.values())), (n_worlds, 1))
        super().__init__(
            n_worlds=n_worlds,
            world_ids=np.arange(n_worlds) if ids is None else np.asarray(ids, np.int64),
            seed=7,
            step=0,
            n_steps=n_steps,
            block_seconds=block_seconds,
            start=1_583_971_200.0,
            accounts=list(ACCOUNTS),
            blockspace=SimpleNamespace(
                state=SimpleNamespace(base_fee=np.zeros(n_worlds), clearing=np.zeros(n_worlds))
            ),
            assets=assets,
            n_assets=len(assets),
            gas_asset=0,
            ledger=Ledger(n_worlds, ACCOUNTS, assets),
            inputs=inputs,
            fundamental=fundamental,
            market_price=fundamental.copy(),
            oracle_price=fundamental.copy(),
        )
        self.neutral()

    def asset_index(self, name: str) -> int:
        if name not in self.assets:
            raise ConfigError(f"unknown asset {name}; known: {', '.join(self.assets)}")
        return self.assets.index(name)

    def neutral(self) -> None:
        self.inputs.buffer[:] = 0.0
        for name in ("price_factor", "depth", "demand"):
            self.inputs[name][:] = 1.0

    def run(self, venue, rows) -> np.ndarray:
        """Execute rows in their order, each in its world; return them."""
        worlds = rows["world"]
        order = np.argsort(worlds, kind="stable")
        ends = np.cumsum(np.bincount(worlds, minlength=self.n_worlds))
        starts = np.concatenate([[0], ends[:-1]])
        venue.execute(rows, order, starts, ends)
        return rows


@pytest.fixture(scope="session")
def make_world() -> Callable[..., StandIn]:
    """Factory of small worlds."""
    return StandIn


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., np.ndarray]:
    """Factory of rows: one dict of fields per row; account alice unless given."""

    def build(rows: Sequence[dict]) -> np.ndarray:
        table = new_rows(len(rows))
        assert table.dtype == ROW
        table["account"] = 2
        table["verb"] = Verb.SWAP
        for i, fields in enumerate(rows):
            for name, value in fields.items():
                table[i][name] = value
        return table

    return build


@pytest.fixture(scope="session")
def plain() -> Callable:
    """Run kernels as plain Python: context manager that swaps a module's kernels for `.py_func`."""

    class Plain:
        def __init__(self, *modules) -> None:
            self.modules = modules

        def __enter__(self) -> None:
            self.kept = []
            for module in self.modules:
                for name, value in list(vars(module).items()):
                    if hasattr(value, "py_func"):
                        self.kept.append((module, name, value))
                        setattr(module, name, value.py_func)

        def __exit__(self, *error) -> None:
            for module, name, value in self.kept:
                setattr(module, name, value)

    return Plain
