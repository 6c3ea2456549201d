"""Run a slice of worlds and keep what a study needs: one row per world, series, liquidations."""

import gc
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.model import MarketModel
from agents.strategic.arbitrageur import Arbitrageur
from agents.strategic.liquidator import Liquidator
from experiments.build import LENDING, build_model
from sim.book.venue import OrderBookMarket
from sim.kernel import F64, Rows
from sim.lending.health import collateral_of_borrowers
from sim.lending.market import LendingMarket
from sim.metrics.cascade import mean_wait_hours, new_extremes, observe, observe_backlog
from sim.metrics.liquidations import AMOUNTS, PRICED, new_totals, price_liquidations

if TYPE_CHECKING:
    import pyarrow as pa

Column = np.ndarray[Any, Any]


def simulate(config: dict[str, Any], seed: int, first: int, stop: int) -> "dict[str, pa.Table]":
    """Run the worlds `first`, ..., `stop - 1` of a stress configuration.

    Returns
    -------
    dict of str to pyarrow.Table
        `worlds`, `series` and `liquidations`; the columns are listed in the README.
    """
    import pyarrow as pa

    model = build_model(config, seed, first, stop)
    recorder = Recorder(model, int(config["record_every"]), forget=True)
    recorder.run()
    tables = {
        "worlds": pa.table(recorder.worlds()),
        "series": pa.table(recorder.series()),
        "liquidations": pa.table(recorder.liquidations()),
    }
    model.close()
    del model, recorder
    # Model, world and venues refer to each other, and a few large arrays never hurry Python's
    # collector: without this a worker grew by 100 MB a task.
    gc.collect()
    return tables


class Recorder:
    """Observes a model while it runs.

    Parameters
    ----------
    model : MarketModel
        At its first block.
    every : int
        Blocks between two rows of the series.
    forget : bool
        Drop the events of each block once they are read: a crash makes more of them than state.
    """

    def __init__(self, model: MarketModel, every: int = 10, *, forget: bool = False) -> None:
        self.model, self.world, self.every = model, model.world, max(1, every)
        market = self.world.venues[LENDING]
        assert isinstance(market, LendingMarket)
        self.market = market
        self.extremes = new_extremes(self.world.n_worlds, self.world.market_price)
        self.initial_prices = self.world.market_price.copy()
        self.initial_balances = self.world.ledger.balances.copy()
        self.initial_supply, self.initial_debt = market.supplied(), market.borrowed()
        self.initial_collateral_usd: F64 = np.zeros(self.world.n_worlds)
        self.initial_power_usd: F64 = np.zeros(self.world.n_worlds)
        collateral_of_borrowers(
            market.state, self.world.oracle_price, self.initial_collateral_usd,
            self.initial_power_usd,
        )  # fmt: skip
        self.totals = new_totals(self.world.n_worlds, market.n_positions)
        self.forget = forget
        self.liquidators = [
            agent.account for agent in model.members.values() if isinstance(agent, Liquidator)
        ]
        self.gas_paid: F64 = np.zeros(self.world.n_worlds)
        self.gas_usd: F64 = np.zeros(self.world.n_worlds)
        self.samples: list[dict[str, Column]] = []
        self.seen: list[Rows] = []
        self.n_parts = 0

    # --- while it runs ----------------------------------------------------------------------------

    def run(self) -> None:
        """Play all blocks that are left."""
        while self.world.step < self.world.n_steps:
            self.step()

    def step(self) -> None:
        """Play one block and look at it, before and after."""
        world, model = self.world, self.model
        world.open_block()
        prices = world.market_price.copy()
        sampling = world.step % self.every == 0
        if sampling:
            self._sample()
        model.act()
        observe(
            self.extremes, world.market_price, world.fundamental, world.oracle_price,
            world.blockspace.state.clearing,
        )  # fmt: skip
        self._read_liquidations(prices)
        self._read_gas(prices)

    def _read_gas(self, prices: F64) -> None:
        """Price all gas that liquidators paid in the block, failed calls and bundles included."""
        paid = np.zeros_like(self.gas_paid)
        for account in self.liquidators:
            paid += self.world.blockspace.state.paid[:, account]
        self.gas_usd += (paid - self.gas_paid) * prices[:, self.world.gas_asset]
        self.gas_paid = paid

    def _read_liquidations(self, prices: F64) -> None:
        """Price the liquidations of the block at the prices at which it opened."""
        parts = self.world.events.parts
        for rows in parts[self.n_parts :]:
            priced = np.empty(rows.shape[0], PRICED)
            n = price_liquidations(rows, prices, self.world.gas_asset, self.totals, priced)
            self.seen.append(priced[:n])
        if self.forget:
            parts.clear()
        self.n_parts = len(parts)

    def _sample(self) -> None:
        world, market = self.world, self.market
        backlog, shortfall = market.backlog()
        hours = min(self.every, world.n_steps - world.step) * world.block_seconds / 3600.0
        observe_backlog(self.extremes, backlog, hours)
        prices = world.oracle_price
        sample: dict[str, Column] = {"step": np.full(world.n_worlds, world.step)}
        utilisation = market.utilisation()
        for a, asset in enumerate(world.assets):
            sample[f"price_{asset}"] = world.market_price[:, a].copy()
            sample[f"fundamental_{asset}"] = world.fundamental[:, a].copy()
            sample[f"oracle_{asset}"] = prices[:, a].copy()
            sample[f"utilisation_{asset}"] = utilisation[:, a].copy()
        if isinstance(world.market, OrderBookMarket):
            sample |= _books(world.market)
        sample["base_fee_gwei"] = world.blockspace.state.clearing.copy()
        sample["liquidatable_debt_usd"] = backlog.copy()
        sample["liquidated_debt_usd"] = self.totals.debt_repaid_usd.copy()
        sample["bad_debt_usd"] = market.bad_debt_usd() + shortfall
        sample["deposits_usd"] = _dot(market.supplied(), prices)
        sample["debt_usd"] = _dot(market.borrowed(), prices)
        self.samples.append(sample)

    # --- tables -----------------------------------------------------------------------------------

    def series(self) -> dict[str, Column]:
        """Time series, ordered by (world, step); float32 but for the step."""
        n_samples, n_worlds = len(self.samples), self.world.n_worlds
        ids = np.repeat(self.world.world_ids, n_samples)
        columns: dict[str, Column] = {"world": ids}
        for name in self.samples[0]:
            stacked = np.stack([sample[name] for sample in self.samples], axis=1)
            flat = stacked.reshape(n_worlds * n_samples)
            columns[name] = flat if name == "step" else flat.astype(np.float32)
        columns["time"] = self._time(columns["step"])
        return columns

    def _time(self, step: Column) -> Column:
        seconds = self.world.start + step * self.world.block_seconds
        return np.asarray(np.round(seconds * 1e3), np.int64).astype("datetime64[ms]")

    def liquidations(self) -> dict[str, Column]:
        """One row per liquidation, ordered by (world, step, seq)."""
        world = self.world
        if not self.seen:
            return _no_liquidations()
        seen = self._in_order()
        names = np.array(world.assets, dtype=object)
        columns: dict[str, Column] = {
            "world": world.world_ids[seen["world"]],
            "step": seen["step"],
            "seq": seen["seq"],
            "time": self._time(seen["step"]),
            "liquidator": np.array(world.accounts, dtype=object)[seen["account"]],
            "position": seen["position"],
            "collateral": names[seen["asset"]],
            "debt": names[seen["asset_2"]],
        }
        for name in AMOUNTS:
            columns[name] = seen[name]
        return columns

    def _in_order(self) -> dict[str, Column]:
        """Columns of all liquidations by (world, step, seq)."""
        keys = {
            k: np.concatenate([part[k] for part in self.seen]) for k in ("seq", "step", "world")
        }
        order = np.lexsort(tuple(keys.values()))
        return {
            name: np.concatenate([part[name] for part in self.seen])[order]
            for name in PRICED.names or ()
        }

    def worlds(self) -> dict[str, Column]:
        """One row per world: what broke, who paid, and what it took."""
        world, market, extremes = self.world, self.market, self.extremes
        n = world.n_worlds
        prices, oracle = world.market_price, world.oracle_price
        totals = self.totals
        standing, shortfall = market.backlog()
        booked, chain = market.bad_debt_usd(), world.blockspace.state
        bad_debt = booked + shortfall
        seized = totals.collateral_seized_usd + totals.protocol_fee_usd
        income = _dot(market.protocol_income(), prices)
        columns: dict[str, Column] = {
            "world": world.world_ids.copy(),
            "status": np.full(n, "ok", dtype=object),
            "error": np.full(n, None, dtype=object),
            "bad_debt_usd": bad_debt,
            "booked_bad_debt_usd": booked,
            "standing_shortfall_usd": shortfall,
            "liquidated_debt_usd": totals.debt_repaid_usd.copy(),
            "liquidated_collateral_usd": seized,
            "n_liquidations": totals.n.copy(),
            "n_positions_liquidated": totals.n_positions.copy(),
            "borrower_loss_usd": seized - totals.debt_repaid_usd,
            "liquidator_profit_usd": self._profit(Liquidator),
            "liquidator_gas_usd": self.gas_usd.copy(),
            "protocol_income_usd": income,
            "supplier_interest_usd": _dot(market.supplier_interest(), prices),
            "supplier_loss_usd": np.maximum(bad_debt - income, 0.0),
            "arbitrageur_profit_usd": self._profit(Arbitrageur),
            "peak_liquidatable_debt_usd": extremes.peak_backlog.copy(),
            "hours_liquidatable": mean_wait_hours(extremes, totals.debt_repaid_usd, standing),
            "final_liquidatable_debt_usd": standing.copy(),
            "max_base_fee_gwei": extremes.highest_base_fee.copy(),
            "max_oracle_gap": extremes.widest_gap.copy(),
            "n_included": chain.n_included.copy(),
            "n_expired": chain.n_expired.copy(),
            "n_reverted": chain.n_reverted.copy(),
            "initial_collateral_usd": self.initial_collateral_usd,
            "initial_debt_usd": _dot(self.initial_debt, self.initial_prices),
            "final_debt_usd": _dot(market.borrowed(), oracle),
        }
        collateral = np.maximum(self.initial_collateral_usd, 1e-9)
        columns["borrowing_power"] = self.initial_power_usd / collateral
        for a, asset in enumerate(world.assets):
            start = self.initial_prices[:, a]
            fall = 1.0 - extremes.lowest_price[:, a] / start
            without = 1.0 - extremes.lowest_fundamental[:, a] / start
            columns[f"fall_{asset}"] = fall
            columns[f"fundamental_fall_{asset}"] = without
            columns[f"amplification_{asset}"] = fall - without
            columns[f"push_{asset}"] = extremes.deepest_push[:, a].copy()
        return columns

    def _profit(self, kind: type) -> F64:
        """Wealth of all agents of a kind over that of holding what they began with, USD."""
        accounts = [a.account for a in self.model.members.values() if isinstance(a, kind)]
        gained: F64 = np.zeros(self.world.n_worlds)
        for account in accounts:
            change = self.world.ledger.balances[:, account] - self.initial_balances[:, account]
            gained += _dot(change, self.world.market_price)
        return gained


def _books(market: OrderBookMarket) -> dict[str, Column]:
    """Spread in basis points and depth within 1% of the mid in USD, of every book."""
    spread, depth = market.liquidity(0.01)
    columns: dict[str, Column] = {}
    for k, asset in enumerate(market.names):
        columns[f"spread_bps_{asset}"] = spread[:, k]
        columns[f"bid_depth_usd_{asset}"] = depth[:, k, 0]
        columns[f"ask_depth_usd_{asset}"] = depth[:, k, 1]
    return columns


def _dot(tokens: F64, prices: F64) -> F64:
    """USD per world; summed asset by asset, so that a world is the same in any batch."""
    total: F64 = np.zeros(tokens.shape[0])
    for a in range(tokens.shape[1]):
        total += tokens[:, a] * prices[:, a]
    return total


def _no_liquidations() -> dict[str, Column]:
    integers = dict.fromkeys(("world", "step", "seq"), np.zeros(0, np.int64))
    empty: dict[str, Column] = {**integers, "time": np.zeros(0, "datetime64[ms]")}
    for name in ("liquidator", "collateral", "debt"):
        empty[name] = np.zeros(0, dtype=object)
    empty["position"] = np.zeros(0, np.int32)
    for name in AMOUNTS:
        empty[name] = np.zeros(0)
    return empty
