"""Run a slice of worlds of one mechanism and measure it in terms that every mechanism has.

Borrowers are passive, so what liquidation did to them is seen in their loans: at the prices at
which a block opened, all loans are valued before and after its rows are executed. A loan's equity
is what it holds less what it owes, and nothing where that is negative: the shortfall is not the
borrower's loss, it is bad debt.
"""

import gc
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agents.model import MarketModel
from agents.populations.holders import Holders
from experiments.build import LENDING, build_model
from experiments.league.designs import HOLDERS
from sim.events import EventLog
from sim.kernel import F64, Rows, kernel
from sim.lending.loans import LoanVenue
from sim.metrics.cascade import mean_wait_hours, new_extremes, observe, observe_backlog

if TYPE_CHECKING:
    import pyarrow as pa

Column = np.ndarray[Any, Any]
MATERIAL = 1e-4
"""Share of the initial debt: less liquidatable debt than this does not count as any."""


def simulate(config: dict[str, Any], seed: int, first: int, stop: int) -> "dict[str, pa.Table]":
    """Run the worlds `first`, ..., `stop - 1` of a design (`experiments.league.designs`).

    Returns
    -------
    dict of str to pyarrow.Table
        `worlds` and `series`; see `Recorder` for the columns.
    """
    import pyarrow as pa

    model = build_model(config, seed, first, stop, EventLog([]))
    recorder = Recorder(model, int(config["record_every"]))
    recorder.run()
    tables = {"worlds": pa.table(recorder.worlds()), "series": pa.table(recorder.series())}
    model.close()
    del model, recorder
    gc.collect()
    return tables


class Worth(NamedTuple):
    """All loans of each world at one set of prices, USD, shape (world,)."""

    equity: F64  # what they hold beyond what they owe, where they do
    shortfall: F64  # what they owe beyond what they hold, where they do
    owes: F64


@kernel
def compare(
    holds: F64, owes: F64, holds_after: F64, owes_after: F64, first: int, stop: int, out: F64
) -> None:
    """Add up what a block did to the loans `first`, ..., `stop - 1` into `out` (3, world).

    Rows: equity that went, less equity that came; equity that went from loans that lost some; debt
    that went, less debt that came.
    """
    for w in range(out.shape[1]):
        net, gross, debt = 0.0, 0.0, 0.0
        for p in range(first, stop):
            change = max(holds[w, p] - owes[w, p], 0.0)
            change -= max(holds_after[w, p] - owes_after[w, p], 0.0)
            net += change
            gross += max(change, 0.0)
            debt += owes[w, p] - owes_after[w, p]
        out[0, w], out[1, w], out[2, w] = net, gross, debt


@kernel
def add_up(holds: F64, owes: F64, first: int, stop: int, out: F64) -> None:
    """Fill equity, shortfall and debt of the loans `first`, ..., `stop - 1`: `out` (3, world)."""
    for w in range(out.shape[1]):
        equity, shortfall, owed = 0.0, 0.0, 0.0
        for p in range(first, stop):
            net = holds[w, p] - owes[w, p]
            equity += max(net, 0.0)
            shortfall += max(-net, 0.0)
            owed += owes[w, p]
        out[0, w], out[1, w], out[2, w] = equity, shortfall, owed


class Recorder:
    """Observes a model of one mechanism while it runs.

    Parameters
    ----------
    model : MarketModel
        At its first block; its member `holders` brought the loans.
    every : int
        Blocks between two looks at liquidatable debt, which are the rows of the series.
    """

    def __init__(self, model: MarketModel, every: int = 5) -> None:
        self.model, self.world, self.every = model, model.world, max(1, every)
        venue, holders = self.world.venues[LENDING], model.members[HOLDERS]
        assert isinstance(venue, LoanVenue)
        assert isinstance(holders, Holders)
        self.venue, self.holders = venue, holders
        self.gem = self.world.asset_index(holders.pair[0])
        self.liquidators = [a.account for name, a in model.members.items() if name != HOLDERS]
        n, prices = self.world.n_worlds, self.world.market_price
        self.initial_prices = prices.copy()
        self.initial_balances = self.world.ledger.balances.copy()
        self.initial = self.worth(prices)
        loans = slice(holders.loans.start, holders.loans.stop)
        self.initial_holds = self.venue.loans(prices).holds[:, loans].sum(axis=1)
        self.initial_stakes = {
            account: self.venue.stakes_usd(account, prices)
            for account in (*self.liquidators, self.venue.account)
        }
        self.extremes = new_extremes(n, prices)
        self.borrower_loss, self.liquidated_loss, self.liquidated = np.zeros((3, n))
        self._changes: F64 = np.zeros((3, n))
        self.gas_paid, self.gas_usd = np.zeros((2, n))
        self.first_seen, self.last_seen = np.full((2, n), np.nan)
        self.samples: list[dict[str, Column]] = []

    # --- while it runs ----------------------------------------------------------------------------

    def run(self) -> None:
        """Play all blocks that are left."""
        while self.world.step < self.world.n_steps:
            self.step()

    def step(self) -> None:
        """Play one block and look at it, before and after."""
        world = self.world
        world.open_block()
        prices = world.market_price.copy()
        if world.step % self.every == 0:
            self._sample()
        intents = [agent.decide(self.model.view) for agent in self.model.members.values()]
        if self._is_touched(intents):
            before, tokens = self.venue.loans(prices), self._leftovers(prices)
            world.close_block(intents)
            returned = self._leftovers(prices) - tokens
            loans = self.holders.loans
            compare(*before, *self.venue.loans(prices), loans.start, loans.stop, self._changes)
            net, gross, debt = self._changes
            self.borrower_loss += net - returned
            self.liquidated_loss += gross - returned
            self.liquidated += debt
        else:
            world.close_block(intents)
        self._read_gas(prices)
        observe(
            self.extremes, world.market_price, world.fundamental, world.oracle_price,
            world.blockspace.state.clearing,
        )  # fmt: skip

    def _is_touched(self, intents: list[Rows]) -> bool:
        """Whether any row may reach the venue in this block: nothing else changes a loan."""
        waiting = self.world.blockspace.pending
        return any((rows["venue"] == self.venue.index).any() for rows in (*intents, waiting))

    def worth(self, prices: F64) -> Worth:
        """All loans at given prices (world, asset)."""
        out: F64 = np.zeros((3, self.world.n_worlds))
        loans = self.holders.loans
        add_up(*self.venue.loans(prices), loans.start, loans.stop, out)
        return Worth(*out)

    def _leftovers(self, prices: F64) -> F64:
        """Tokens that liquidations handed back to the borrowers, USD."""
        return _dot(self.world.ledger.balances[:, self.holders.account], prices)

    def _read_gas(self, prices: F64) -> None:
        paid = np.zeros_like(self.gas_paid)
        for account in self.liquidators:
            paid += self.world.blockspace.state.paid[:, account]
        self.gas_usd += (paid - self.gas_paid) * prices[:, self.world.gas_asset]
        self.gas_paid = paid

    def bad_debt(self, prices: F64) -> tuple[F64, F64]:
        """Debt written off, and debt that nothing covers now, USD (world,)."""
        standing = self.worth(prices).shortfall + self.venue.unsettled(prices).shortfall
        return self.venue.bad_debt_usd(), standing

    def _sample(self) -> None:
        world, prices = self.world, self.world.market_price
        standing = self.venue.backlog()[0]
        waiting = standing + self.venue.unsettled(prices).debt
        hours = min(self.every, world.n_steps - world.step) * world.block_seconds / 3600.0
        observe_backlog(self.extremes, waiting, hours)
        now = world.step * world.block_seconds / 3600.0
        some = waiting > MATERIAL * self.initial.owes
        self.first_seen = np.where(some & np.isnan(self.first_seen), now, self.first_seen)
        self.last_seen = np.where(some, now + hours, self.last_seen)
        booked, short = self.bad_debt(prices)
        self.samples.append(
            {
                "step": np.full(world.n_worlds, world.step),
                "price": prices[:, self.gem].copy(),
                "fundamental": world.fundamental[:, self.gem].copy(),
                "oracle": world.oracle_price[:, self.gem].copy(),
                "waiting_debt_usd": waiting,
                "liquidated_debt_usd": self.liquidated.copy(),
                "bad_debt_usd": booked + short,
                "borrower_loss_usd": self.borrower_loss.copy(),
            }
        )

    # --- tables -----------------------------------------------------------------------------------

    def series(self) -> dict[str, Column]:
        """Time series ordered by (world, step), float32 but for the step.

        Prices of the collateral in USD; debt that is liquidatable or whose liquidation has begun
        and not ended; cumulative liquidated debt, bad debt and borrowers' loss, USD.
        """
        n_worlds = self.world.n_worlds
        columns: dict[str, Column] = {"world": np.repeat(self.world.world_ids, len(self.samples))}
        for name in self.samples[0]:
            flat = np.stack([sample[name] for sample in self.samples], axis=1)
            flat = flat.reshape(n_worlds * len(self.samples))
            columns[name] = flat if name == "step" else flat.astype(np.float32)
        seconds = self.world.start + columns["step"] * self.world.block_seconds
        milliseconds = np.asarray(np.round(seconds * 1e3), np.int64)
        columns["time"] = milliseconds.astype("datetime64[ms]")
        return columns

    def worlds(self) -> dict[str, Column]:
        """One row per world; USD at the last market prices unless the name says otherwise."""
        world, prices, extremes = self.world, self.world.market_price, self.extremes
        n, venue, gem = world.n_worlds, self.venue, self.gem
        booked, standing = self.bad_debt(prices)
        open_now = venue.unsettled(prices)
        waiting = venue.backlog()[0] + open_now.debt
        start = self.initial_prices[:, gem]
        hours = np.nan_to_num(self.last_seen - self.first_seen)
        return {
            "world": world.world_ids.copy(),
            "status": np.full(n, "ok", dtype=object),
            "error": np.full(n, None, dtype=object),
            "bad_debt_usd": booked + standing,
            "booked_bad_debt_usd": booked,
            "standing_shortfall_usd": standing,
            "bad_debt_share": (booked + standing) / self.initial.owes,
            "borrower_loss_usd": self.borrower_loss.copy(),  # at the prices of each block
            "liquidated_loss_usd": self.liquidated_loss.copy(),  # without what others gained
            "liquidated_debt_usd": self.liquidated.copy(),  # left its loan, repaid or not yet
            "liquidator_profit_usd": self.profit(prices) + self.backer_profit(prices),
            "backer_profit_usd": self.backer_profit(prices),
            "liquidator_gas_usd": self.gas_usd.copy(),
            "protocol_income_usd": venue.income_usd(prices),
            "hours_liquidatable": mean_wait_hours(extremes, self.liquidated, waiting),
            "hours_to_clear": hours,  # from the first to the last material liquidatable debt
            "peak_waiting_debt_usd": extremes.peak_backlog.copy(),
            "final_waiting_debt_usd": waiting,
            "unfinished": open_now.number.copy(),  # auctions, or worlds with unsold collateral
            "push": extremes.deepest_push[:, gem].copy(),  # of the collateral's price, fraction
            "fall": 1.0 - extremes.lowest_price[:, gem] / start,
            "fundamental_fall": 1.0 - extremes.lowest_fundamental[:, gem] / start,
            "initial_debt_usd": self.initial.owes,
            "initial_collateral_usd": self.initial_holds,
            "n_loans": np.full(n, len(self.holders.loans)),
            "n_left_out": np.full(n, self.holders.n_left_out),
            "left_out_usd": np.full(n, self.holders.left_out_usd),
        }

    def profit(self, prices: F64) -> F64:
        """Wealth of the liquidators over that of holding what they began with, gas paid, USD.

        Lots that their bids stand for belong to it.
        """
        gained: F64 = np.zeros(self.world.n_worlds)
        for account in self.liquidators:
            change = self.world.ledger.balances[:, account] - self.initial_balances[:, account]
            gained += _dot(change, prices) + self._stake(account, prices)
        return gained

    def backer_profit(self, prices: F64) -> F64:
        """Gain of those who gave the venue capital to liquidate with, USD: the stability pool's."""
        return self._stake(self.venue.account, prices)

    def _stake(self, account: int, prices: F64) -> F64:
        """Bids and deposits of an account, beyond the stable tokens deposited at the start."""
        stable = self.world.asset_index(self.holders.pair[1])
        worth = prices[:, stable] / self.initial_prices[:, stable]
        return self.venue.stakes_usd(account, prices) - self.initial_stakes[account] * worth


def _dot(tokens: F64, prices: F64) -> F64:
    """USD per world; summed asset by asset, so that a world is the same in any batch."""
    total: F64 = np.zeros(tokens.shape[0])
    for a in range(tokens.shape[1]):
        total += tokens[:, a] * prices[:, a]
    return total
