"""Execute ordered rows on their venues, worlds side by side, bundles all or nothing.

Worlds advance in passes. In one pass each world offers its next *unit*: the longest run of rows
that stays on one venue and inside one bundle (or outside any). Every venue then executes the units
that wait for it, for all worlds in one call. A bundle that crosses venues takes one unit per
change of venue; its worlds are checkpointed before its first unit and rolled back if a row fails.

Within a block, a bundle that liquidates what an earlier row of the same world has liquidated is
left out (`CONFLICT`): block builders simulate bundles, and drop what an earlier one made worthless.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.actions import BUNDLE_ROWS, Reject, Verb
from sim.kernel import I32, I64, Bool, Rows, kernel
from sim.venue import Venue

if TYPE_CHECKING:
    from sim.world import World

_OK = int(Reject.OK)
_PENDING = int(Reject.PENDING)
_CONFLICT = int(Reject.CONFLICT)
_BUNDLE_FAILED = int(Reject.BUNDLE_FAILED)
_BUNDLE_TOO_LONG = int(Reject.BUNDLE_TOO_LONG)
_FLASH_NOT_REPAID = int(Reject.FLASH_NOT_REPAID)
_LIQUIDATE = int(Verb.LIQUIDATE)


SPANS = ("begin", "end")


class Cursor(NamedTuple):
    """Where each world stands in its rows; arrays (world,) unless said otherwise."""

    position: I64  # next place in the order
    stop: I64  # end of the world's rows
    unit_end: I64  # end of the unit offered in this pass
    begin: I64  # (venue, world) rows of this pass that wait for a venue, as spans of the order
    end: I64  # (venue, world) ends of those spans
    venue: I64  # venue of the unit; -1: this world is done
    bundle_end: I64  # end of the running bundle; -1: none
    opens: I64  # 1: the unit opens a bundle
    targets: I64  # (world, BUNDLE_ROWS) targets of the running bundle


@kernel
def _conflicts(rows: Rows, order: I64, first: int, start: int, stop: int) -> bool:
    """Whether a bundle liquidates what an earlier row of this block has liquidated."""
    for k in range(start, stop):
        row = rows[order[k]]
        if row["verb"] != _LIQUIDATE:
            continue
        for j in range(first, start):
            past = rows[order[j]]
            if (
                past["target"] == row["target"]
                and past["verb"] == _LIQUIDATE
                and past["code"] == _OK
                and past["venue"] == row["venue"]
            ):
                return True
    return False


@kernel
def _refuse(rows: Rows, order: I64, start: int, stop: int, code: int) -> None:
    for k in range(start, stop):
        rows[order[k]]["code"] = code


@kernel
def next_units(
    cursor: Cursor, rows: Rows, order: I64, starts: I64, present: Bool, bundled: Bool
) -> tuple[int, int]:
    """Find each world's next unit; return how many worlds have one, and how many open a bundle.

    Marks the venues that have a unit in `present`, those of bundles that open in `bundled`.
    """
    for v in range(present.shape[0]):
        present[v] = False
        bundled[v] = False
    n, n_opens = 0, 0
    for w in range(cursor.position.shape[0]):
        cursor.venue[w] = -1
        cursor.opens[w] = 0
        for v in range(present.shape[0]):
            cursor.begin[v, w] = 0
            cursor.end[v, w] = 0
        while cursor.position[w] < cursor.stop[w]:
            start = cursor.position[w]
            bundle = rows[order[start]]["bundle"]
            if bundle != 0 and cursor.bundle_end[w] < 0:
                stop = start + 1
                while stop < cursor.stop[w] and rows[order[stop]]["bundle"] == bundle:
                    stop += 1
                if stop - start > BUNDLE_ROWS:
                    _refuse(rows, order, start, stop, _BUNDLE_TOO_LONG)
                    cursor.position[w] = stop
                    continue
                if _conflicts(rows, order, starts[w], start, stop):
                    _refuse(rows, order, start, stop, _CONFLICT)
                    cursor.position[w] = stop
                    continue
                cursor.bundle_end[w] = stop
                cursor.opens[w] = 1
                n_opens += 1
                for k in range(start, stop):
                    bundled[rows[order[k]]["venue"]] = True
                for k in range(BUNDLE_ROWS):
                    inside = start + k < stop
                    cursor.targets[w, k] = rows[order[start + k]]["target"] if inside else -1
            limit = cursor.stop[w] if bundle == 0 else cursor.bundle_end[w]
            venue = rows[order[start]]["venue"]
            end = start + 1
            while end < limit and rows[order[end]]["venue"] == venue:
                if bundle == 0 and rows[order[end]]["bundle"] != 0:
                    break
                end += 1
            cursor.unit_end[w] = end
            cursor.venue[w] = venue
            cursor.begin[venue, w] = start
            cursor.end[venue, w] = end
            present[venue] = True
            n += 1
            break
    return n, n_opens


@kernel
def advance(cursor: Cursor, rows: Rows, order: I64, failed: I32, finished: I32) -> tuple[int, int]:
    """Move past the executed units.

    Returns
    -------
    n_failed, n_finished : int
        Numbers of worlds whose bundle failed, and ended without a rejected row; `failed` and
        `finished` mark them.
    """
    n, n_finished = 0, 0
    for w in range(cursor.position.shape[0]):
        finished[w] = 0
        failed[w] = 0
        if cursor.venue[w] < 0:
            continue
        if cursor.bundle_end[w] < 0:
            cursor.position[w] = cursor.unit_end[w]
            continue
        for k in range(cursor.position[w], cursor.unit_end[w]):
            if rows[order[k]]["code"] != _OK:
                failed[w] = 1
        if failed[w]:
            n += 1
        elif cursor.unit_end[w] == cursor.bundle_end[w]:
            finished[w] = 1
            n_finished += 1
        cursor.position[w] = cursor.unit_end[w]
    return n, n_finished


@kernel
def fail_bundles(cursor: Cursor, rows: Rows, order: I64, failed: I32) -> None:
    """Give every row of a failed bundle a reject code and skip what is left of it."""
    for w in range(cursor.position.shape[0]):
        if failed[w] == 0:
            continue
        bundle = rows[order[cursor.position[w] - 1]]["bundle"]
        start = cursor.position[w] - 1
        while start > 0 and rows[order[start - 1]]["bundle"] == bundle:
            if rows[order[start - 1]]["world"] != w:
                break
            start -= 1
        for k in range(start, cursor.bundle_end[w]):
            code = rows[order[k]]["code"]
            if code in (_OK, _PENDING):
                rows[order[k]]["code"] = _BUNDLE_FAILED
            rows[order[k]]["r0"] = 0.0
            rows[order[k]]["r1"] = 0.0
            rows[order[k]]["r2"] = 0.0
            rows[order[k]]["r3"] = 0.0
        cursor.position[w] = cursor.bundle_end[w]
        cursor.bundle_end[w] = -1


@kernel
def number(rows: Rows, order: I64, starts: I64, first: I64, step: int) -> None:
    """Stamp (step, seq) on executed rows; `first` counts each world's rows so far in this step."""
    for w in range(starts.shape[0] - 1):
        for k in range(starts[w], starts[w + 1]):
            rows[order[k]]["step"] = step
            rows[order[k]]["seq"] = first[w] + k - starts[w]
        first[w] += starts[w + 1] - starts[w]


class Executor:
    """Runs ordered rows through a world's venues."""

    def __init__(self, world: "World") -> None:
        n = world.n_worlds
        self.world = world
        self.venues = list(world.venues.values())
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Cursor._fields, (n,))
        shapes |= {"targets": (n, BUNDLE_ROWS), **dict.fromkeys(SPANS, (len(self.venues), n))}
        self.cursor = Cursor(**{name: np.zeros(shape, np.int64) for name, shape in shapes.items()})
        begin, end = self.cursor.begin, self.cursor.end
        self.spans = [(v, begin[k], end[k]) for k, v in enumerate(self.venues)]
        self.judges = [
            (k, v)
            for k, v in enumerate(self.venues)
            if type(v).bundle_holds is not Venue.bundle_holds
        ]
        self.failed, self.finished = np.zeros(n, np.int32), np.zeros(n, np.int32)
        self.present = np.zeros(len(self.venues), np.bool_)
        self.bundled = np.zeros(len(self.venues), np.bool_)
        self.open = np.zeros((len(self.venues), n), np.bool_)
        self.sequence = np.zeros(n, np.int64)

    def open_block(self) -> None:
        """Start numbering the block's rows at 0."""
        self.sequence[:] = 0

    def run(self, rows: Rows, order: I64, starts: I64) -> None:
        """Execute `rows[order[starts[w]:starts[w + 1]]]` for each world, in that order."""
        cursor = self.cursor
        cursor.position[:] = starts[:-1]
        cursor.stop[:] = starts[1:]
        cursor.bundle_end[:] = -1
        number(rows, order, starts, self.sequence, self.world.step)
        while True:
            n, n_opens = next_units(cursor, rows, order, starts, self.present, self.bundled)
            if n == 0:
                return
            if n_opens:
                self._checkpoint(np.flatnonzero(cursor.opens))
            for waits, (venue, begin, end) in zip(self.present.tolist(), self.spans, strict=True):
                if waits:
                    venue.execute(rows, order, begin, end)
            n_failed, n_finished = advance(cursor, rows, order, self.failed, self.finished)
            if n_finished:
                n_failed += self._close_bundles(rows, order)
            if n_failed:
                self._roll_back(np.flatnonzero(self.failed))
                fail_bundles(cursor, rows, order, self.failed)

    def _checkpoint(self, worlds: I64) -> None:
        """Remember the worlds that open a bundle, at the venues that their bundles visit."""
        self.world.ledger.arena.checkpoint(worlds)
        self.world.quotes.checkpoint(worlds)
        targets = self.cursor.targets[worlds]
        self.open[:, worlds] = False
        for index in np.flatnonzero(self.bundled):
            self.venues[index].checkpoint(worlds, targets)
            self.open[index, worlds] = True

    def _close_bundles(self, rows: Rows, order: I64) -> int:
        """Ask the venues whether finished bundles may stand; count those that may not."""
        worlds = np.flatnonzero(self.finished)
        holds = np.ones(worlds.shape[0], np.bool_)
        for index, venue in self.judges:
            if self.open[index, worlds].any():
                holds &= venue.bundle_holds(worlds)
        if holds.all():
            self.cursor.bundle_end[worlds] = -1
            return 0
        self.cursor.bundle_end[worlds[holds]] = -1
        broken = worlds[~holds]
        for w in broken:
            rows["code"][order[self.cursor.position[w] - 1]] = _FLASH_NOT_REPAID
        self.failed[broken] = 1
        return int(broken.shape[0])

    def _roll_back(self, worlds: I64) -> None:
        """Undo the failed bundles."""
        self.world.ledger.arena.rollback(worlds)
        self.world.quotes.rollback(worlds)
        for index, venue in enumerate(self.venues):
            visited = worlds[self.open[index, worlds]]
            if visited.shape[0]:
                venue.rollback(visited)
