"""The only log: executed rows, columnar, stamped (world, step, seq).

A row is an event once a venue has looked at it, also when it was rejected. `EventLog.table` gives
the events of one verb with the venue's own names for the results.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.actions import NO_ROWS, Reject, Verb, join_rows, take_rows
from sim.kernel import I64, Bool, Rows, kernel

if TYPE_CHECKING:
    from sim.world import World


N_VERBS = max(Verb) + 1


@kernel
def wanted_rows(rows: Rows, wanted: Bool, others: bool, rejected: bool, index: I64) -> int:
    """List the rows to keep and return their number; `others`: also those of unknown verbs."""
    n = 0
    for i in range(rows.shape[0]):
        verb = rows[i]["verb"]
        known = 0 <= verb < wanted.shape[0] and wanted[verb]
        if (known or others) and (rejected or rows[i]["code"] == 0):
            index[n] = i
            n += 1
    return n


class EventLog:
    """Executed rows of a batch of worlds.

    Parameters
    ----------
    verbs : iterable of Verb, optional
        Which rows are kept; all when left out, none for an empty iterable.
    rejected : bool
        Whether rejected rows are kept too.
    """

    def __init__(self, verbs: Iterable[Verb] | None = None, *, rejected: bool = True) -> None:
        self.verbs = None if verbs is None else np.array(sorted(verbs), np.int16)
        self.rejected = rejected
        self._wanted = np.zeros(N_VERBS, np.bool_)
        self._wanted[[*Verb] if verbs is None else self.verbs] = True
        self.parts: list[Rows] = []

    def record(self, rows: Rows) -> None:
        """Keep a copy of the executed rows that the log is asked to keep."""
        if rows.shape[0] == 0 or (self.verbs is not None and self.verbs.shape[0] == 0):
            return
        index = np.empty(rows.shape[0], np.int64)
        n = wanted_rows(rows, self._wanted, self.verbs is None, self.rejected, index)
        if n:
            self.parts.append(take_rows(rows, index[:n]))

    def clear(self) -> None:
        """Forget everything."""
        self.parts.clear()

    def rows(self) -> Rows:
        """All events in the order (world, step, seq)."""
        if not self.parts:
            return NO_ROWS
        rows = join_rows(self.parts)
        self.parts = [rows]
        return rows[np.lexsort((rows["seq"], rows["step"], rows["world"]))]

    def table(
        self, world: "World", venue: str, verb: Verb, *, rejected: bool = False
    ) -> dict[str, NDArray[np.generic]]:
        """Events of one verb at one venue as named columns.

        Returns
        -------
        dict of str to array (n,)
            `world` (global id), `step`, `seq`, the row's own columns, `code`, `fee`, and the
            results under the venue's names (`Venue.RESULTS`).
        """
        seat = world.venues[venue]
        rows = self.rows()
        rows = rows[(rows["venue"] == seat.index) & (rows["verb"] == verb)]
        if not rejected:
            rows = rows[rows["code"] == Reject.OK]
        columns: dict[str, NDArray[np.generic]] = {"world": world.world_ids[rows["world"]]}
        for name in ("step", "seq", "account", "target", "asset", "asset_2", "amount", "code",
                     "fee", "tip"):  # fmt: skip
            columns[name] = rows[name].copy()
        for result, name in zip(("r0", "r1", "r2", "r3"), seat.RESULTS.get(verb, ()), strict=False):
            columns[name] = rows[result].copy()
        return columns
