"""Maker on 12 and 13 March 2020: English auctions, keepers without block space, bids of zero.

ETH fell from 195 to 96 USD in 27 hours while gas cost up to 200 gwei. Vaults were put up in lots of
50 ETH; the bots that used to bid paid fixed gas prices and held little DAI, so that one who paid
300 gwei won lots for nothing: ten minutes without a better bid were enough.

What is measured here and not taken from elsewhere: how fast owners of vaults react (`look_hours`),
from the auctions of 20 February to 11 March (`maker_data.liquidated_debt`); keepers' gas prices,
capital and margin, from the auctions before 12 March.
"""

import gc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from experiments.build import LENDING, build_model
from experiments.history import maker_figures
from experiments.history.event import Event
from experiments.history.maker_data import HALF, ZERO, recorded_auctions
from sim.actions import Verb
from sim.errors import ConfigError
from sim.events import EventLog
from sim.kernel import F64
from sim.lending.maker.market import MakerMarket

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from agents.model import MarketModel
    from experiments.report.charts import Chart

BEGAN, BID, TAKE, DEAL = Verb.LIQUIDATE, Verb.BID, Verb.TAKE, Verb.DEAL
CALL_HOUR = 17.0  # UTC: the governance call of 12 March, where ETH-A's debt was mentioned


class MakerMarch2020(Event):
    """The event (see the module).

    Parameters
    ----------
    start, hours
        Of the recorded auctions that the figures show.
    **told
        See `Event`.
    """

    title: ClassVar[str] = "Maker, 12 and 13 March 2020"
    tables: ClassVar[tuple[str, ...]] = ("series", "auctions")

    def __init__(self, *, start: str, hours: float, **told: Any) -> None:
        super().__init__(**told)
        self.start, self.hours = start, float(hours)

    def simulate(
        self, config: Mapping[str, Any], seed: int, first: int, stop: int
    ) -> "dict[str, pa.Table]":
        """Tables `worlds`, `series` (as time passes) and `auctions` (one row each)."""
        import pyarrow as pa

        events = EventLog([BEGAN, BID, TAKE, DEAL], rejected=False)
        model = build_model(config, seed, first, stop, events=events)
        watcher = Watcher(model, int(config["record_every"]))
        watcher.run()
        auctions = auctions_of(watcher)
        tables = {
            "worlds": pa.table(figures_of(watcher, auctions)),
            "series": pa.table(watcher.series),
            "auctions": pa.Table.from_pandas(auctions, preserve_index=False),
        }
        model.close()
        del model, watcher
        gc.collect()  # model and venues refer to each other
        return tables

    def observed(self) -> dict[str, float]:
        """Figures of the recorded auctions; the half sample counts twice."""
        it = recorded_auctions(self.data, self.start, self.hours)
        bid = it[it["paid"] >= ZERO]
        return {
            "n_auctions": HALF * len(it),
            "auctioned_eth": HALF * float(it["lot"].sum()),
            "winning_bids_dai": HALF * float(it["paid"].sum()),
            "discount": float(bid["discount"].median()),
            "bids_per_auction": float(it["bids"].mean()),
            "deal_gas_gwei": float(it["gas"].median()),
        }

    def figures(self, tables: "Mapping[str, pd.DataFrame]") -> "list[Chart]":
        """Draw the signature; see `maker_figures`."""
        recorded = recorded_auctions(self.data, self.start, self.hours)
        return maker_figures.charts_of(tables, recorded, self.start, self.hours)


class Watcher:
    """Plays a model and keeps what the figures need.

    Attributes
    ----------
    series : dict of str to array
        Samples every few blocks and at the end, `world` and `time` among them.
    prices : array (step, world, 2)
        Market prices of collateral and stable token as each block opened, USD.
    """

    def __init__(self, model: "MarketModel", every: int) -> None:
        self.model, self.world, self.every = model, model.world, max(1, every)
        market = model.world.venues[LENDING]
        if not isinstance(market, MakerMarket):
            raise ConfigError(
                f"lending must be a Maker market for this event, got {type(market).__name__}: "
                "choose lending=maker_flip or lending=maker_clip"
            )
        self.market = market

    def run(self) -> None:
        """Play all blocks."""
        world, assets = self.world, self.market.state.assets
        rows, prices = [], []
        while world.step < world.n_steps:
            if world.step % self.every == 0:
                rows.append(self._sample())
            world.open_block()
            prices.append(world.market_price[:, assets])
            self.model.act()
        rows.append(self._sample())
        self.series = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
        self.prices: F64 = np.stack(prices)

    def _sample(self) -> dict[str, Any]:
        world, system = self.world, self.market.state.system
        gem = self.market.state.assets[0]
        gross, net = uncovered(self.market)
        return {
            "world": world.world_ids.copy(),
            "time": np.full(world.n_worlds, world.start + world.step * world.block_seconds),
            "debt_dai": self.market.borrowed(), "bad_debt_dai": gross, "unbacked_dai": net,
            "live_auctions": system["n_live"].copy(), "started": system["n_kicks"].copy(),
            "price": world.market_price[:, gem].copy(), "oracle": world.oracle_price[:, gem].copy(),
            "gas_gwei": world.blockspace.state.clearing.copy(),
        }  # fmt: skip


def uncovered(market: MakerMarket) -> tuple[F64, F64]:
    """Debt that auctions did not bring in, and what of it penalties and surplus do not cover.

    A running auction counts with its bid (Flip), or with the market's worth of its lot, up to what
    it wants.

    Returns
    -------
    gross, net : array (world,)
        DAI.
    """
    state, system = market.state, market.state.system
    live = state.auctions["live"] > 0.0
    price = (
        market.world.market_price[:, state.assets[0]]
        / market.world.market_price[:, state.assets[1]]
    )
    worth = np.minimum(state.auctions["lot"] * price[:, None], state.auctions["tab"])
    if market.flip:
        worth = np.where(state.auctions["guy"] >= 0.0, 0.0, worth)
    got = np.where(live, state.auctions["paid"] + worth, 0.0)
    short = np.where(live, np.maximum(state.auctions["due"] - got, 0.0), 0.0)
    expected = np.where(live, worth, 0.0).sum(axis=1)
    net = system["sin"] - system["surplus"] - expected
    return np.asarray(system["bad_debt"] + short.sum(axis=1)), np.maximum(net, 0.0)


def auctions_of(watcher: Watcher) -> "pd.DataFrame":
    """One row per auction that ended: what was sold, for what, when, after how many bids.

    Returns
    -------
    DataFrame
        `world`; `time` of the last bid, `deal_time`, `start_time`, unix seconds; `lot` ETH, `paid`
        DAI, `bids`, `discount` to the market at the last bid, `gas` at the deal, gwei; `due` and
        `bad_debt` DAI; `buyer`, the name of an account.
    """
    import pandas as pd

    world, key = watcher.world, ["world", "auction"]
    found = {
        verb: pd.DataFrame(world.events.table(world, LENDING, verb)).rename(
            columns={} if verb == BEGAN else {"target": "auction"}
        )
        for verb in ((BEGAN, BID, DEAL) if watcher.market.flip else (BEGAN, TAKE))
    }
    if watcher.market.flip:
        last = found[BID].groupby(key).agg(last=("step", "max"), bids=("step", "size"))
        done = found[DEAL].merge(last.reset_index(), on=key, how="left")
        done["account"] = done["winner"]
    else:
        done = found[TAKE].groupby(key).agg(
            lot=("collateral_bought", "sum"), paid=("paid", "sum"), bids=("step", "size"),
            step=("step", "max"), tip=("tip", "last"), account=("account", "last"),
            bad_debt=("bad_debt", "sum"),
        ).reset_index()  # fmt: skip
        done["last"] = done["step"]
    begun = found[BEGAN][[*key, "step", "due"]].rename(columns={"step": "begun"})
    return _described(watcher, done.merge(begun, on=key, how="left"))


def _described(watcher: Watcher, done: "pd.DataFrame") -> "pd.DataFrame":
    """Put times, and the market's price at the last bid, to auctions that ended."""
    import pandas as pd

    world, seconds = watcher.world, watcher.world.block_seconds
    step = done["last"].to_numpy(np.int64)
    price = watcher.prices[step, np.searchsorted(world.world_ids, done["world"].to_numpy())]
    lot, paid = done["lot"].to_numpy(np.float64), done["paid"].to_numpy(np.float64)
    names = np.array(list(world.ledger.accounts), np.str_)
    return pd.DataFrame({
        "world": done["world"].to_numpy(np.int64),
        "time": world.start + step * seconds,
        "deal_time": world.start + done["step"].to_numpy(np.float64) * seconds,
        "start_time": world.start + done["begun"].to_numpy(np.float64) * seconds,
        "lot": lot, "paid": paid, "bids": done["bids"].to_numpy(np.float64),
        "discount": 1.0 - paid / np.maximum(lot, 1e-12) * price[:, 1] / price[:, 0],
        "gas": done["tip"].to_numpy(np.float64), "bad_debt": done["bad_debt"].to_numpy(np.float64),
        "due": done["due"].to_numpy(np.float64),
        "buyer": names[done["account"].to_numpy(np.int64)],
    })  # fmt: skip


def figures_of(watcher: Watcher, auctions: "pd.DataFrame") -> dict[str, Any]:
    """One row per world: the figures that the event documents, and what explains them."""
    world, series = watcher.world, watcher.series
    n = world.n_worlds
    gross, net = uncovered(watcher.market)
    debt = series["debt_dai"].reshape(-1, n)
    hours = (series["time"].reshape(-1, n)[:, 0] - world.start) / 3600.0
    call = min(int(np.searchsorted(hours, CALL_HOUR - world.start / 3600.0 % 24.0)), len(hours) - 1)
    rows: dict[str, Any] = {
        "world": world.world_ids.copy(), "unbacked_dai": net, "bad_debt_dai": gross,
        "started": watcher.market.state.system["n_kicks"].copy(),
        "live_auctions": watcher.market.state.system["n_live"].copy(),
        "initial_debt_dai": debt[0], "debt_at_call_dai": debt[call], "final_debt_dai": debt[-1],
        "lowest_price": watcher.prices[:, :, 0].min(axis=0),
    }  # fmt: skip
    each = [summary_of(auctions[auctions["world"] == w]) for w in world.world_ids]
    return rows | {key: np.array([it[key] for it in each], np.float64) for key in each[0]}


def summary_of(it: "pd.DataFrame") -> dict[str, float]:
    """Figures of one world's auctions; nan where there was none."""
    zero = it["paid"] < ZERO
    bid = it[~zero]
    return {
        "n_auctions": float(len(it)), "auctioned_eth": float(it["lot"].sum()),
        "auctioned_debt_dai": float(it["due"].sum()),
        "winning_bids_dai": float(it["paid"].sum()),
        "zero_bid_eth": float(it["lot"][zero].sum()),
        "zero_bid_share": float(zero.mean()) if len(it) else np.nan,
        "discount": float(bid["discount"].median()) if len(bid) else np.nan,
        "bids_per_auction": float(it["bids"].mean()) if len(it) else np.nan,
        "deal_gas_gwei": float(it["gas"].median()) if len(it) else np.nan,
    }  # fmt: skip
