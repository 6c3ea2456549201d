"""Owners of vaults as a population: they look now and then, and repay what is too much.

An owner keeps the ratio of the first block as a habit and acts once a part of that buffer is gone,
but only when looking, which happens at random times (Poisson). Looking means the market price or
the oracle's, whichever is lower: everybody can see both. Acting is a repayment that restores some
buffer; where less than dust would be left, all is repaid. An owner who never looks in time is
liquidated. So how much of a book is put up depends on how fast the price falls.

What it leaves out: where the stable tokens come from (whoever repays by selling the vault's own
collateral has a thinner book to sell into on such a day), and owners who draw more when the price
rises.
"""

from typing import NamedTuple

import numpy as np

from agents.agent import MarketAgent, RowBuffer
from agents.populations.book import BookSource, LoanBook
from agents.view import View
from sim.actions import Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, U64, Rows, kernel
from sim.lending.maker.market import MakerMarket
from sim.lending.maker.state import MakerState
from sim.state import Arena
from sim.streams import stream_key, uniform
from sim.terms import check_range
from sim.world import World

REPAY = int(Verb.REPAY)


class Terms(NamedTuple):
    """Scalars of the decision."""

    account: int
    venue: int
    first: int  # market index of the population's first vault
    chance: float  # that an owner looks in a block
    gas: float  # units per repayment
    gas_share: float  # highest gas cost, fraction of the debt
    bid: float  # over the last clearing price, ratio
    patience: int  # blocks until a transaction expires
    gas_asset: int
    dust: float
    step: int


@kernel
def decide(
    state: MakerState, market: F64, oracle: F64, base_fee: F64, clearing: F64, world_ids: I64,
    key: U64, trigger: F64, target: F64, busy: F64, terms: Terms, rows: Rows,
) -> int:  # fmt: skip
    """Write a repayment for every owner who looks and finds too little; return their number.

    Parameters
    ----------
    state : MakerState
    market, oracle : array (world, asset)
        Prices, USD.
    base_fee, clearing : array (world,)
        Gwei.
    trigger, target : array (vault,)
        Health factor below which an owner acts, and the one that is restored.
    busy : array (world, vault)
        Step until which a transaction is awaited.
    """
    n = 0
    gem, stable = state.assets[0], state.assets[1]
    for w in range(market.shape[0]):
        system = state.system[w]
        spot = min(market[w, gem], oracle[w, gem]) / system["liquidation_ratio"]
        bid = max(base_fee[w], clearing[w]) * terms.bid
        gas_usd = terms.gas * bid * 1e-9 * market[w, terms.gas_asset]
        for i in range(trigger.shape[0]):
            p = terms.first + i
            urn = state.urns[w, p]
            debt = urn["art"] * system["rate"]
            worth = urn["ink"] * spot
            if not (debt > 0.0 and worth < debt * trigger[i]) or busy[w, i] > terms.step:
                continue
            if uniform(key, world_ids[w], terms.step, i) >= terms.chance:
                continue
            if gas_usd > terms.gas_share * debt * market[w, stable]:
                continue
            left = worth / target[i]
            row = rows[n]
            n += 1
            row["world"] = w
            row["venue"] = terms.venue
            row["verb"] = REPAY
            row["account"] = terms.account
            row["target"] = p
            row["asset"] = stable
            row["amount"] = np.inf if left < terms.dust * 1.01 else debt - left
            row["fee_cap"] = np.inf
            row["tip"] = max(bid - base_fee[w], 0.1)
            row["gas"] = terms.gas
            row["expires"] = terms.step + terms.patience
            row["step"] = terms.step
            busy[w, i] = terms.step + terms.patience
    return n


class VaultOwners(MarketAgent):
    """The owners of all vaults of one Maker market, in all worlds.

    Parameters
    ----------
    book : BookSource or LoanBook
        Where the vaults come from.
    market : str
        Name of the Maker market.
    look_hours : float
        Mean time between two looks of an owner; inf: nobody ever looks.
    buffer_low, buffer_high : float
        An owner acts once less than a share of the first buffer (health factor less 1) is left,
        drawn between these two.
    restores : float
        Health factor that is restored, over the one at which the owner acts.
    gas, gas_share : float
        Units of gas of a repayment, and its highest cost as a fraction of the debt.
    bid : float
        What is bid per unit of gas, as a multiple of the last clearing price.
    patience_hours : float
        After this a transaction expires.
    gas_money : float
        Whole tokens of the gas asset that all owners together hold for fees.
    traits_seed : int
        Seed of the triggers; the same in every world, as the book is.
    """

    def __init__(
        self,
        *,
        book: BookSource | LoanBook,
        market: str = "maker",
        look_hours: float = 8.0,
        buffer_low: float = 0.3,
        buffer_high: float = 0.9,
        restores: float = 0.25,
        gas: float = 250_000.0,
        gas_share: float = 0.05,
        bid: float = 1.2,
        patience_hours: float = 1.0,
        gas_money: float = 10_000.0,
        traits_seed: int = 7,
    ) -> None:
        check_range("look_hours", look_hours, 0.0, np.inf, open_low=True)
        check_range("buffer_low", buffer_low, 0.0, 1.0)
        check_range("buffer_high", buffer_high, buffer_low, 1.0)
        for name, value in (("restores", restores), ("gas", gas), ("gas_money", gas_money)):
            check_range(name, value, 0.0, 1e9)
        check_range("gas_share", gas_share, 0.0, 1.0)
        self.book, self.market_name = book, market
        self.look_hours, self.buffer = float(look_hours), (float(buffer_low), float(buffer_high))
        self.restores, self.gas, self.gas_share = float(restores), float(gas), float(gas_share)
        self.bid, self.patience_hours = float(bid), float(patience_hours)
        self.gas_money, self.traits_seed = float(gas_money), traits_seed

    def enroll(self, world: World) -> None:
        """Draw the vaults and bring them to the market."""
        market = world.venues.get(self.market_name)
        if not isinstance(market, MakerMarket):
            raise ConfigError(
                f"{self.name}.market must name a Maker market, got {self.market_name!r}; known "
                f"venues: {', '.join(world.venues)}"
            )
        self.market = market
        prices = world.fundamental[0]
        gem = world.asset_index(market.params.collateral)
        thresholds: F64 = np.zeros(world.n_assets)
        thresholds[gem] = 1.0 / market.params.liquidation_ratio
        book = self.book
        if isinstance(book, BookSource):
            book = book.draw(world.assets, prices, thresholds, thresholds)
        book = book.aligned(world.assets)
        self.vaults = book
        self.first = market.add_positions(self.account, book.collateral, book.debt).start
        self.trigger, self.target = self.habits(book.health_factor(prices, thresholds))

    def habits(self, health: F64) -> tuple[F64, F64]:
        """Health factors at which owners act, and that they restore, from those of the start."""
        rng = np.random.default_rng(self.traits_seed)
        kept = rng.uniform(*self.buffer, len(health))
        buffer = np.clip(np.where(np.isfinite(health), health, 1.0) - 1.0, 0.0, 1e6)
        trigger = 1.0 + kept * buffer
        return trigger, trigger + self.restores

    def bind(self, world: World) -> None:
        """Endow the owners with what they may have to repay."""
        n = len(self.vaults)
        self.arena = Arena(world.n_worlds, {"busy": (n,)})
        stable = world.asset_index(self.market.params.stable)
        owed = float(self.vaults.debt[:, stable].sum())
        world.ledger.endow(self.account, stable, 2.0 * owed)
        world.ledger.endow(self.account, world.gas_asset, self.gas_money)
        self.chance = 1.0 - float(np.exp(-world.block_seconds / (3600.0 * self.look_hours)))
        self.patience = max(1, round(self.patience_hours * 3600.0 / world.block_seconds))
        self.key = stream_key(world.seed, f"looks.{self.name}")
        self.rows = RowBuffer()

    def decide(self, view: View) -> Rows:
        """Repayments of this block."""
        terms = Terms(
            self.account, self.market.index, self.first, self.chance, self.gas, self.gas_share,
            self.bid, self.patience, view.gas_asset, self.market.params.dust, view.step,
        )  # fmt: skip
        n = decide(
            self.market.state, view.market_price, view.oracle_price, view.base_fee, view.clearing,
            view.world_ids, self.key, self.trigger, self.target, self.arena["busy"], terms,
            self.rows.room(len(self.vaults) * view.n_worlds),
        )  # fmt: skip
        return self.rows.take(n)
