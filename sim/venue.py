"""What every venue promises: one contract for exchanges, lending markets and oracles."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.kernel import F64, I64, Bool, Rows
from sim.state import Arena

if TYPE_CHECKING:
    from sim.world import World


class Venue(ABC):
    """A place that executes rows.

    A venue file has four sections: params, state, kernels, facade. The facade below owns them and
    does no arithmetic. Construction is cheap and says what YAML says; `bind` allocates.

    Attributes
    ----------
    name : str
        Its key in the configuration and in `World.venues`.
    index, account : int
        Its place in `World.venues`, and its custody account in the ledger.
    arena : Arena
        Per-world state; anything larger is the venue's own affair (see `checkpoint`).
    """

    on_chain: ClassVar[bool] = True  # False: rows need no block space and pay no gas
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {}  # verb -> names of r0, r1, ...

    name: str
    index: int
    account: int
    world: "World"
    arena: Arena

    def attach(self, world: "World", name: str, index: int, account: int) -> None:
        """Take the seat in a world, then allocate by `bind`."""
        self.world, self.name, self.index, self.account = world, name, index, account
        self.bind(world)

    @abstractmethod
    def bind(self, world: "World") -> None:
        """Resolve names, allocate and fill the state, and endow custody through the ledger."""

    @abstractmethod
    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute `rows[order[starts[w]:ends[w]]]` in that order for each world w.

        Writes `code` and the results into the rows. Never raises for a bad row: the row's `code`
        says why it had no effect. Checks come before effects.
        """

    def accrue(self) -> None:  # noqa: B027
        """Let time pass: interest, funding, resilience. Called once a block before agents look."""

    def settle(self) -> None:  # noqa: B027
        """Close the block: auctions, margin calls, expiry."""

    @abstractmethod
    def claims(self) -> F64:
        """Tell what the custody account owes to others, whole tokens, shape (world, asset).

        It must equal the custody account's balances to 1e-9 of `claims_scale`.
        """

    def claims_scale(self) -> F64:
        """Size of the numbers that `claims` is made of, whole tokens, shape (world, asset).

        A venue whose claims are a difference of larger numbers returns those: their rounding is
        what custody can differ by.
        """
        return np.abs(self.claims())

    def arenas(self) -> list[Arena]:
        """All arenas of the venue's state."""
        return [self.arena]

    def checkpoint(self, worlds: I64, targets: I64) -> None:
        """Remember the listed worlds before a bundle.

        Parameters
        ----------
        worlds : array (n,)
            Local world indices; each has one bundle in flight at most.
        targets : array (n, BUNDLE_ROWS)
            Targets of the bundle's rows, -1 for none; a venue with state per position saves these
            positions only.
        """
        del targets
        self.arena.checkpoint(worlds)

    def rollback(self, worlds: I64) -> None:
        """Undo everything since the last checkpoint in the listed worlds."""
        self.arena.rollback(worlds)

    def bundle_holds(self, worlds: I64) -> Bool:
        """Whether a finished bundle may stand in each listed world (a flash loan is repaid)."""
        return np.ones(worlds.shape[0], np.bool_)

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to their initial state, without allocation."""
        self.arena.reset(mask)

    def snapshot(self) -> Any:
        """Copy of the state, for `restore`."""
        return self.arena.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Take a snapshot back."""
        self.arena.restore(snapshot)
