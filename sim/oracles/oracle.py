"""What every oracle promises, and the memory that lets it observe the past.

An oracle is a venue whose `price` is what lending markets believe. It observes world.market_price,
late by world.inputs["oracle_lag"] seconds, unless world.inputs["oracle_halted"] stops a feed. An
oracle may be a part of another one (`sim.oracles.composite`): its price is then its own array, and
it shares the account of the whole.
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
ALONE = -1  # seat of an oracle that is no part of another, or sends nothing


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
    price : array (world, asset)
        USD price in use; world.oracle_price, unless the oracle is a part of another.
    observed : array (world, asset)
        Market price that the oracle sees in this block, USD; it may be late.
    served : array (asset,)
        Feeds that somebody reads; only a part may have others.
    seat : int
        Target of the rows that a part sends, by which the whole knows whose they are.
    """

    on_chain: ClassVar[bool] = True
    FIELDS: ClassVar[tuple[str, ...]] = ()  # state of shape (world, asset) beyond the memory

    price: F64
    served: Bool
    is_part: bool = False
    seat: int = ALONE

    def __init__(self, max_lag_seconds: float) -> None:
        check_range("max_lag_seconds", max_lag_seconds, 0.0, 1e7)
        self.max_lag_seconds = float(max_lag_seconds)

    def join(self, whole: "Oracle", name: str) -> None:
        """Become a part of another oracle, which has its seat in a world already."""
        self.is_part = True
        self.attach(whole.world, f"{whole.name}.{name}", whole.index, whole.account)

    def allocate(self, world: "World", fields: dict[str, tuple[int, ...]]) -> None:
        """Make the arena, and the price where the oracle is a part; publish the market price."""
        n_assets = len(world.assets)
        own: dict[str, tuple[int, ...]] = {"price": (n_assets,)} if self.is_part else {}
        self.arena = Arena(world.n_worlds, {**fields, **own})
        self.price = self.arena["price"] if self.is_part else world.oracle_price
        self.price[:] = world.market_price
        self.served = np.ones(n_assets, np.bool_)

    def bind(self, world: "World") -> None:
        """Allocate, remember the present as all the past, and publish it."""
        n_assets = len(world.assets)
        n_slots = int(np.ceil(self.max_lag_seconds / world.block_seconds)) + 1
        fields: dict[str, tuple[int, ...]] = dict.fromkeys(self.FIELDS, (n_assets,))
        self.allocate(world, {**fields, "observed": (n_assets,)})
        self.observed = self.arena["observed"]
        self.observed[:] = world.market_price
        self.memory = Arena(world.n_worlds, {"history": (n_assets, n_slots)})
        self.history = self.memory["history"]
        self.history[:] = world.market_price[:, :, None]
        self.memory.keep_as_initial()
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
            raise self.too_late(blocks * world.block_seconds)

    def too_late(self, lag: float) -> ConfigError:
        """Error for a lag beyond the memory, seconds."""
        return ConfigError(
            f"{self.name}: max_lag_seconds must cover every lag that a scenario imposes, got "
            f"{self.max_lag_seconds:g} for a lag of {lag:g} s; raise {self.name}.max_lag_seconds"
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
