"""Oracles made of other oracles, of any kind and depth.

A composite asks its parts for their prices and makes its own of them. Scenarios reach the parts
that look at the market: a halted feed is halted inside the whole. Parts that send transactions send
them from the account of the whole, to the whole; the row's target says which part it is for, and a
report that arrives moves the price of the whole in the same block.

Invariant: the price of the whole is a function of its own state and of its parts' prices.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.actions import NO_ROWS, join_rows
from sim.errors import ConfigError
from sim.kernel import I64, Bool, Rows, kernel
from sim.oracles.oracle import ALONE, Oracle, refuse
from sim.oracles.pushed import REPORT, PushedOracle
from sim.state import Arena

if TYPE_CHECKING:
    from sim.world import World


@kernel
def select(
    rows: Rows, order: I64, starts: I64, ends: I64, seat: int, chosen: I64, first: I64, last: I64
) -> int:
    """List the rows for one seat, in their order; return their number.

    World w has `chosen[first[w]:last[w]]`.
    """
    n = 0
    for w in range(starts.shape[0]):
        first[w] = n
        for j in range(starts[w], ends[w]):
            if rows[order[j]]["target"] == seat:
                chosen[n] = order[j]
                n += 1
        last[w] = n
    return n


class CompositeOracle(Oracle):
    """An oracle of parts.

    A subclass makes its price of its parts' in `combine`; what only time moves belongs in
    `advance`.

    Parameters
    ----------
    parts : mapping of str to Oracle
        Parts by the name under which the configuration states them.
    max_lag_seconds : float
        Longest observation lag that a scenario may impose on what the whole itself observes.
    """

    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {REPORT: PushedOracle.RESULTS[REPORT]}

    def __init__(self, parts: Mapping[str, Any], max_lag_seconds: float = 0.0) -> None:
        super().__init__(max_lag_seconds)
        for name, part in parts.items():
            if not isinstance(part, Oracle):
                raise ConfigError(
                    f"{name} must describe an oracle with its _target_, got {part!r}; choose one "
                    "of the files of the group oracle"
                )
        self.parts: dict[str, Oracle] = dict(sorted(parts.items()))  # no file keeps an order

    # -- what a kind of oracle says ----------------------------------------------------------------

    def fields(self, n_assets: int) -> dict[str, tuple[int, ...]]:
        """Arrays of state, with their shapes without the world axis."""
        del n_assets
        return {}

    def remembered(self) -> dict[str, tuple[int, ...]]:
        """Arrays that no row changes, which bundles need not save."""
        return {}

    def advance(self) -> None:
        """Let a block pass; the parts have looked at the market already."""

    @abstractmethod
    def combine(self) -> None:
        """Write `price` from the parts' prices and the own state; may be called repeatedly."""

    # -- seat in a world ---------------------------------------------------------------------------

    def bind(self, world: "World") -> None:
        """Bind the parts, allocate, and publish."""
        self.allocate(world, self.fields(len(world.assets)))
        self.memory = Arena(world.n_worlds, self.remembered())
        for name, part in self.parts.items():
            part.join(self, name)
        self.senders = [leaf for leaf in self.leaves() if isinstance(leaf, PushedOracle)]
        for seat, leaf in enumerate(self.senders):
            leaf.seat = ALONE if self.is_part else seat
        self._spans: I64 = np.zeros((2, world.n_worlds), np.int64)
        self.begin(world)
        self.combine()
        self.memory.keep_as_initial()
        self.arena.keep_as_initial()

    def leaves(self) -> list[Oracle]:
        """All parts that have no parts, in order."""
        found: list[Oracle] = []
        for part in self.parts.values():
            found += part.leaves() if isinstance(part, CompositeOracle) else [part]
        return found

    # -- a block -----------------------------------------------------------------------------------

    def update(self) -> None:
        """Let the parts look at the market, then publish."""
        for part in self.parts.values():
            part.update()
        self.advance()
        self.combine()

    def reports(self) -> Rows:
        """Transactions of all parts, grouped by world."""
        sent = [rows for leaf in self.senders if (rows := leaf.reports()).shape[0]]
        if len(sent) < 2:
            return sent[0] if sent else NO_ROWS
        rows = join_rows(sent)
        grouped: Rows = rows[np.argsort(rows["world"], kind="stable")]
        return grouped

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Hand each row to the part that it is for; refuse those that are for none."""
        refuse(rows, order, starts, ends)
        chosen = np.empty_like(order)
        for seat, leaf in enumerate(self.senders):
            if select(rows, order, starts, ends, seat, chosen, *self._spans):
                leaf.execute(rows, chosen, *self._spans)
        self.refresh()

    def refresh(self) -> None:
        """Publish anew, from the leaves up."""
        for part in self.parts.values():
            if isinstance(part, CompositeOracle):
                part.refresh()
        self.combine()

    # -- copies ------------------------------------------------------------------------------------

    def arenas(self) -> list[Arena]:
        """All arenas of the state, those of the parts included."""
        return [self.arena, *(arena for part in self.parts.values() for arena in part.arenas())]

    def checkpoint(self, worlds: I64, targets: I64) -> None:
        """Remember the listed worlds before a bundle."""
        super().checkpoint(worlds, targets)
        for part in self.parts.values():
            part.checkpoint(worlds, targets)

    def rollback(self, worlds: I64) -> None:
        """Undo everything since the last checkpoint in the listed worlds."""
        super().rollback(worlds)
        for part in self.parts.values():
            part.rollback(worlds)

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to their initial state."""
        super().reset(mask)
        for part in self.parts.values():
            part.reset(mask)

    def snapshot(self) -> Any:
        """Copy of the state, the memory and all parts."""
        return super().snapshot(), [part.snapshot() for part in self.parts.values()]

    def restore(self, snapshot: Any) -> None:
        """Take a snapshot back."""
        own, parts = snapshot
        super().restore(own)
        for part, kept in zip(self.parts.values(), parts, strict=True):
            part.restore(kept)
