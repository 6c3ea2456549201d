"""What every oracle promises, and the memory that lets it observe the past.

An oracle is a venue whose `price` is what lending markets believe. It observes world.market_price,
late by world.inputs["oracle_lag"] seconds, unless world.inputs["oracle_halted"] stops a feed.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.actions import NO_ROWS, Reject
from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool, Rows, kernel
from sim.state import Arena
from sim.terms import check_range
from sim.venue import Venue

if TYPE_CHECKING:
    from sim.world import World

UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)


@kernel
def observe(
    history: F64, market_price: F64, lag: F64, block_seconds: float, step: int, observed: F64
) -> float:
    """Store the present prices and read the lagged ones; return the longest lag asked for, blocks.

    A lag that is not a whole number of blocks counts as the next one. The price before step 0 is
    that of step 0.
    """
    n_slots = history.shape[2]
    longest = 0.0
    for w in range(observed.shape[0]):
        for k in range(observed.shape[1]):
            history[w, k, step % n_slots] = market_price[w, k]
            back = 0
            if lag[w, k] > 0.0:
                blocks = np.ceil(lag[w, k] / block_seconds - 1e-9)
                longest = max(longest, blocks)
                back = int(min(blocks, n_slots - 1.0))
            back = min(back, step)
            observed[w, k] = history[w, k, (step - back) % n_slots]
    return longest


@kernel
def refuse(rows: Rows, order: I64, starts: I64, ends: I64) -> None:
    """Refuse every row: this oracle knows no verb."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            rows[order[j]]["code"] = UNKNOWN_VERB


class Oracle(Venue):
    """A source of prices.

    Parameters
    ----------
    max_lag_seconds : float
        Longest observation lag that a scenario may impose, seconds; the memory grows with it.

    Attributes
    ----------
    observed : array (world, asset)
        Market price that the oracle sees in this block, USD; it may be late.
    """

    on_chain: ClassVar[bool] = True
    FIELDS: ClassVar[tuple[str, ...]] = ()  # state of shape (world, asset) beyond the memory

    def __init__(self, max_lag_seconds: float) -> None:
        check_range("max_lag_seconds", max_lag_seconds, 0.0, 1e7)
        self.max_lag_seconds = float(max_lag_seconds)

    @property
    def price(self) -> F64:
        """USD price in use, shape (world, asset): world.oracle_price."""
        price: F64 = self.world.oracle_price
        return price

    def bind(self, world: "World") -> None:
        """Allocate, remember the present as all the past, and publish it."""
        n_assets = len(world.assets)
        n_slots = int(np.ceil(self.max_lag_seconds / world.block_seconds)) + 1
        fields: dict[str, tuple[int, ...]] = dict.fromkeys(self.FIELDS, (n_assets,))
        self.arena = Arena(world.n_worlds, {**fields, "observed": (n_assets,)})
        self.observed = self.arena["observed"]
        self.observed[:] = world.market_price
        self.memory = Arena(world.n_worlds, {"history": (n_assets, n_slots)})
        self.history = self.memory["history"]
        self.history[:] = world.market_price[:, :, None]
        self.memory.keep_as_initial()
        world.oracle_price[:] = world.market_price
        self.begin(world)
        self.arena.keep_as_initial()

    def begin(self, world: "World") -> None:
        """Fill the state beyond the memory; called at the end of `bind`."""
        del world

    def observe(self) -> None:
        """Take in the market prices of this block and write `observed`."""
        world = self.world
        blocks = observe(
            self.history,
            world.market_price,
            world.inputs["oracle_lag"],
            float(world.block_seconds),
            int(world.step),
            self.observed,
        )
        if blocks >= self.history.shape[2]:
            raise ConfigError(
                f"{self.name}: max_lag_seconds must cover every lag that a scenario imposes, got "
                f"{self.max_lag_seconds:g} for a lag of {blocks * world.block_seconds:g} s; raise "
                f"{self.name}.max_lag_seconds"
            )

    @abstractmethod
    def update(self) -> None:
        """Look at the market and publish what needs no transaction; once a block."""

    def reports(self) -> Rows:
        """Transactions that the oracle sends in this block, to itself; after `update`."""
        return NO_ROWS

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Refuse every row, unless the oracle works by transactions."""
        refuse(rows, order, starts, ends)

    def claims(self) -> F64:
        """Whole tokens owed, shape (world, asset): the account's own, to its operator."""
        owed: F64 = self.world.ledger.balances[:, self.account, :].copy()
        return owed

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to their initial state, the memory included."""
        super().reset(mask)
        self.memory.reset(mask)

    def snapshot(self) -> Any:
        """Copy of the state and the memory; no row changes the memory, so bundles skip it."""
        return self.arena.snapshot(), self.memory.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Take a snapshot back."""
        state, memory = snapshot
        self.arena.restore(state)
        self.memory.restore(memory)
