"""A batch of parallel worlds and the phases of one block.

    open_block()            prices, scenario, market accrual, oracle, one view
      agents decide         on the same read-only view: a simultaneous move
    close_block(rows)       block space, execution on chain then off chain, settlement, invariants

Every array starts with the axis world; nothing ever mixes two worlds. Randomness is addressed by
(seed, stream, world id, step, index), so a world's path does not depend on the batch it runs in.

Invariants: the ledger's balances sum to minted minus burnt; each venue's custody equals its claims.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim.actions import NO_ROWS, ROW_RULES, join_rows, split_rows, take_in
from sim.blockspace import BlockSpace
from sim.errors import ConfigError, InputError, InvariantError
from sim.events import EventLog
from sim.execution import Executor
from sim.kernel import F64, I64, Bool, Rows
from sim.ledger import Ledger
from sim.oracles.oracle import Oracle
from sim.prices.process import PriceProcess
from sim.scenarios.scenario import Scenario
from sim.sequencing import ArrivalOrder, FeePriority, Sequencer, in_order
from sim.state import Arena
from sim.venue import Venue

PROPOSER = "proposer"


class World:
    """B parallel worlds advanced in lock-step.

    Parameters
    ----------
    assets : sequence of str
        Names of the assets; the numeraire is the US dollar.
    gas_asset : str
        Asset that pays for gas.
    block_seconds : float
        Simulated seconds per block.
    n_blocks : int
        Horizon in blocks.
    start : float
        Unix time of the first block, seconds.
    prices : PriceProcess
        Exogenous prices.
    oracle : Oracle
        What venues read.
    venues : mapping of str to Venue
        Exchanges and lending markets by name.
    market : str
        Name of the venue that makes the market price.
    blockspace : BlockSpace
        The chain that on-chain venues live on.
    scenarios : sequence of Scenario
        Stress on the inputs, applied in this order.
    sequencer : Sequencer, optional
        Order of included on-chain rows; fee priority when left out.
    seed : int
        Seed of all randomness.
    world_ids : array (world,)
        Global ids: the address of each world's randomness.
    check_every : int
        Blocks between checks of the invariants; 0: never.
    events : EventLog, optional
        Which executed rows are kept.
    """

    def __init__(
        self,
        *,
        assets: Sequence[str],
        gas_asset: str,
        block_seconds: float,
        n_blocks: int,
        start: float,
        prices: PriceProcess,
        oracle: Oracle,
        venues: Mapping[str, Venue],
        market: str,
        blockspace: BlockSpace,
        scenarios: Sequence[Scenario] = (),
        sequencer: Sequencer | None = None,
        seed: int = 0,
        world_ids: I64,
        check_every: int = 0,
        events: EventLog | None = None,
    ) -> None:
        if not block_seconds > 0:
            raise ConfigError(f"block_seconds must be positive, got {block_seconds}; try 60")
        if n_blocks < 1:
            raise ConfigError(f"n_blocks must be at least 1, got {n_blocks}; try 1440")
        if market not in venues:
            raise ConfigError(f"market names no venue: {market!r}; known: {', '.join(venues)}")
        if len(set(assets)) != len(assets):
            raise ConfigError(f"assets must differ, got {', '.join(assets)}; name each once")
        if "oracle" in venues:
            raise ConfigError("a venue cannot be called oracle: that is the oracle; rename it")
        self.assets = list(assets)
        self.n_assets = len(self.assets)
        self.gas_asset = self.asset_index(gas_asset)
        self.block_seconds, self.n_steps, self.start = float(block_seconds), n_blocks, start
        self.prices, self.oracle, self.blockspace = prices, oracle, blockspace
        self.venues: dict[str, Venue] = {**venues, "oracle": oracle}
        self.market = self.venues[market]
        self.scenarios = list(scenarios)
        self.on_chain_order = sequencer or FeePriority()
        self.off_chain_order = ArrivalOrder()
        self.seed = seed
        self.world_ids = np.asarray(world_ids, np.int64)
        self.n_worlds = self.world_ids.shape[0]
        self.check_every = check_every
        self.events = events or EventLog()
        self.accounts: list[str] = []
        self.proposer = self.open_account(PROPOSER)
        self.step = 0
        self._allocate_inputs()

    def _allocate_inputs(self) -> None:
        n, a = self.n_worlds, self.n_assets
        self.inputs = Arena(
            n,
            {"price_factor": (a,), "depth": (a,), "demand": (), "oracle_halted": (a,),
             "oracle_lag": (a,)},
        )  # fmt: skip
        self.counts = Arena(n, {"bundles": ()})
        self.quotes = Arena(n, {"fundamental": (a,), "market_price": (a,), "oracle_price": (a,)})
        self.fundamental = self.quotes["fundamental"]
        self.market_price = self.quotes["market_price"]
        self.oracle_price = self.quotes["oracle_price"]
        self.prices.bind(self)
        for scenario in self.scenarios:
            scenario.bind(self)
        self._move_prices()
        self.market_price[:] = self.fundamental
        self.oracle_price[:] = self.fundamental

    # --- construction -----------------------------------------------------------------------------

    def asset_index(self, name: str) -> int:
        """Index of an asset by name; ConfigError lists the known ones."""
        if name not in self.assets:
            raise ConfigError(f"unknown asset {name!r}; known: {', '.join(self.assets)}")
        return self.assets.index(name)

    def open_account(self, name: str) -> int:
        """Register an account before `bind`; names are unique."""
        if name in self.accounts:
            raise ConfigError(f"two parts want the account {name!r}; rename one")
        self.accounts.append(name)
        return len(self.accounts) - 1

    def bind(self) -> None:
        """Make the ledger and seat the venues, once all accounts and positions are known."""
        custody = {name: self.open_account(name) for name in self.venues}
        self.ledger = Ledger(self.n_worlds, self.accounts, self.assets)
        self.on_chain = np.array([venue.on_chain for venue in self.venues.values()])
        for index, (name, venue) in enumerate(self.venues.items()):
            venue.attach(self, name, index, custody[name])
        self.blockspace.bind(self)
        self.on_chain_order.bind(self)
        self.executor = Executor(self)

    def keep_as_initial(self) -> None:
        """Make the present state what `reset` returns to."""
        for arena in self._arenas():
            arena.keep_as_initial()

    def _arenas(self) -> list[Arena]:
        venues = [arena for venue in self.venues.values() for arena in venue.arenas()]
        return [
            self.quotes, self.counts, self.prices.arena, self.ledger.arena, self.blockspace.arena,
            self.blockspace.background.arena, *venues,
        ]  # fmt: skip

    # --- one block --------------------------------------------------------------------------------

    def _move_prices(self) -> None:
        self.prices.advance(self.step)
        inputs = self.inputs
        inputs["price_factor"][:] = 1.0
        inputs["depth"][:] = 1.0
        inputs["demand"][:] = 1.0
        inputs["oracle_halted"][:] = 0.0
        inputs["oracle_lag"][:] = 0.0
        for scenario in self.scenarios:
            scenario.apply(self.step)
        np.multiply(self.prices.price, inputs["price_factor"], out=self.fundamental)

    def open_block(self) -> None:
        """Move what moves by itself: prices, scenario, interest, oracle, the crowd."""
        if self.step >= self.n_steps:
            raise ConfigError(
                f"the run is over after {self.n_steps} blocks; raise n_blocks or reset the world"
            )
        self._move_prices()
        for venue in self.venues.values():
            venue.accrue()
        self.oracle.update()
        self.blockspace.advance(self.step)

    def close_block(self, intents: Sequence[Rows]) -> None:
        """Execute what agents want, settle, check, and move to the next block.

        Parameters
        ----------
        intents : sequence of structured arrays
            One per agent, each grouped by world in ascending order. They are copied.
        """
        parts = [rows for rows in (*intents, self.oracle.reports()) if rows.shape[0]]
        rows = join_rows(parts) if parts else NO_ROWS
        self._take_in(rows, parts)
        chain, direct = split_rows(rows, self.on_chain) if parts else (NO_ROWS, NO_ROWS)
        self.executor.open_block()
        included = self.blockspace.include(chain)
        self._execute(included, *self.on_chain_order.keys(included))
        self.blockspace.close(included)
        self.events.record(included)
        if direct.shape[0]:
            self._execute(direct, *self.off_chain_order.keys(direct))
            self.events.record(direct)
        for venue in self.venues.values():
            venue.settle()
        self.step += 1
        if self.check_every and self.step % self.check_every == 0:
            self.check()

    def _take_in(self, rows: Rows, parts: Sequence[Rows]) -> None:
        """Make the bundles whole; raise InputError for a row that no agent may send."""
        ends = np.cumsum([part.shape[0] for part in parts], dtype=np.int64)
        wrong, field = take_in(
            rows, ends, self.on_chain, self.counts["bundles"], len(self.accounts)
        )
        if wrong >= 0:
            name, expected = ROW_RULES[field]
            raise InputError(
                f"{name} of a row must be {expected}, got {rows[wrong][name]} (world "
                f"{rows[wrong]['world']}, account {rows[wrong]['account']}); correct the agent"
            )

    def _execute(self, rows: Rows, first: F64, second: F64) -> None:
        if rows.shape[0]:
            self.executor.run(rows, *in_order(rows, first, second, self.n_worlds))

    # --- invariants, copies -----------------------------------------------------------------------

    def check(self, tolerance: float = 1e-9) -> None:
        """Raise InvariantError where value was not conserved or custody is unlike claims."""
        self.ledger.check(tolerance, self.world_ids)
        for venue in self.venues.values():
            custody = self.ledger.balances[:, venue.account, :]
            claims = venue.claims()
            gap = np.abs(custody - claims) / np.maximum(venue.claims_scale(), 1.0)
            if not gap.max() <= tolerance:
                w, asset = np.unravel_index(
                    int(np.argmax(np.nan_to_num(gap, nan=np.inf))), gap.shape
                )
                raise InvariantError(
                    f"{venue.name}: custody of {self.assets[asset]} in world "
                    f"{self.world_ids[w]} at step {self.step} is {custody[w, asset]:.12g} but "
                    f"claims are {claims[w, asset]:.12g}"
                )

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to the start; the clock is common, so reset all or none."""
        for arena in (self.quotes, self.counts, self.ledger.arena, self.blockspace.arena,
                      self.blockspace.background.arena):  # fmt: skip
            arena.reset(mask)
        self.prices.reset(mask)
        for venue in self.venues.values():
            venue.reset(mask)
        pending = self.blockspace.pending
        self.blockspace.pending = pending[~mask[pending["world"]]]
        if mask.all():
            self.step = 0
            self.events.clear()

    def snapshot(self) -> dict[str, Any]:
        """Copy of all state; no generator state exists."""
        return {
            "step": self.step,
            "inputs": self.inputs.snapshot(),
            "quotes": self.quotes.snapshot(),
            "counts": self.counts.snapshot(),
            "ledger": self.ledger.arena.snapshot(),
            "blockspace": self.blockspace.arena.snapshot(),
            "background": self.blockspace.background.arena.snapshot(),
            "pending": self.blockspace.pending.copy(),
            "prices": self.prices.snapshot(),
            "venues": {name: venue.snapshot() for name, venue in self.venues.items()},
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take a snapshot back; events since then are forgotten."""
        self.step = snapshot["step"]
        self.inputs.restore(snapshot["inputs"])
        self.quotes.restore(snapshot["quotes"])
        self.counts.restore(snapshot["counts"])
        self.ledger.arena.restore(snapshot["ledger"])
        self.blockspace.arena.restore(snapshot["blockspace"])
        self.blockspace.background.arena.restore(snapshot["background"])
        self.blockspace.pending = snapshot["pending"].copy()
        self.prices.restore(snapshot["prices"])
        for name, venue in self.venues.items():
            venue.restore(snapshot["venues"][name])
        events = self.events.rows()
        self.events.parts = [events[events["step"] < self.step]]
