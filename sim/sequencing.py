"""Sequencers turn rows into execution order; ordering is a mechanism under study.

A sequencer gives each row two keys; rows of a world execute in ascending (first key, second key,
submission). Rows of a bundle are submitted together and carry equal keys, so they stay together.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from sim.kernel import F64, I64, Rows, kernel
from sim.streams import stream_key, uniform

if TYPE_CHECKING:
    from sim.world import World


@kernel
def _sort_span(order: I64, scratch: I64, first: F64, second: F64, start: int, stop: int) -> None:
    """Sort `order[start:stop]` by (first, second), stable: bottom-up merge sort."""
    k = start + 1
    while k < stop:
        a, b = order[k - 1], order[k]
        if first[a] > first[b] or (first[a] == first[b] and second[a] > second[b]):
            break
        k += 1
    width = 1 if k < stop else stop - start  # mostly the rows are in order already
    while width < stop - start:
        for low in range(start, stop, 2 * width):
            middle = min(low + width, stop)
            high = min(low + 2 * width, stop)
            i, j = low, middle
            for k in range(low, high):
                take_left = j >= high
                if i < middle and j < high:
                    a, b = order[i], order[j]
                    take_left = first[a] < first[b] or (
                        first[a] == first[b] and second[a] <= second[b]
                    )
                if take_left:
                    scratch[k] = order[i]
                    i += 1
                else:
                    scratch[k] = order[j]
                    j += 1
        for k in range(start, stop):
            order[k] = scratch[k]
        width *= 2


@kernel
def sort_rows(rows: Rows, first: F64, second: F64, order: I64, scratch: I64, starts: I64) -> None:
    """Order rows by (world, first, second, submission) without mixing worlds.

    Parameters
    ----------
    rows : structured array (n,)
    first, second : array (n,)
        Sort keys, ascending.
    order, scratch : array (n,)
        Filled with the permutation; work space.
    starts : array (n_worlds + 1,)
        Filled: world w's rows are `order[starts[w]:starts[w + 1]]`.
    """
    n_worlds = starts.shape[0] - 1
    for w in range(n_worlds + 1):
        starts[w] = 0
    for i in range(rows.shape[0]):
        starts[rows[i]["world"] + 1] += 1
    for w in range(n_worlds):
        starts[w + 1] += starts[w]
    for i in range(rows.shape[0]):
        w = rows[i]["world"]
        order[starts[w]] = i
        starts[w] += 1
    for w in range(n_worlds, 0, -1):
        starts[w] = starts[w - 1]
    starts[0] = 0
    for w in range(n_worlds):
        if starts[w + 1] - starts[w] > 1:
            _sort_span(order, scratch, first, second, starts[w], starts[w + 1])


def in_order(rows: Rows, first: F64, second: F64, n_worlds: int) -> tuple[I64, I64]:
    """Permutation of rows by (world, first, second, submission), and where each world starts."""
    order = np.empty(rows.shape[0], np.int64)
    starts = np.empty(n_worlds + 1, np.int64)
    sort_rows(rows, first, second, order, np.empty_like(order), starts)
    return order, starts


@kernel
def _random_keys(rows: Rows, world_ids: I64, key: np.ndarray, step: int, out: F64) -> None:
    """One addressed uniform per bundle or lone row, counted per world."""
    last_world = -1
    last_bundle = 0
    count = 0
    for i in range(rows.shape[0]):
        w = rows[i]["world"]
        if w != last_world:
            count = 0
        elif not (rows[i]["bundle"] != 0 and rows[i]["bundle"] == last_bundle):
            count += 1
        out[i] = uniform(key, world_ids[w], step, count)
        last_world, last_bundle = w, rows[i]["bundle"]


class Sequencer(ABC):
    """Rule that orders the rows that reach a venue within one block."""

    def bind(self, world: "World") -> None:  # noqa: B027
        """Take what the rule needs from the world."""

    @abstractmethod
    def keys(self, rows: Rows) -> tuple[F64, F64]:
        """Two ascending sort keys per row; `rows` are grouped by world in submission order."""


class FeePriority(Sequencer):
    """Highest effective tip first, earlier arrival first among equals (a chain's block builder)."""

    def keys(self, rows: Rows) -> tuple[F64, F64]:
        """Negative tip, then arrival."""
        return -rows["tip"], rows["arrival"].copy()


class ArrivalOrder(Sequencer):
    """First come, first served (an exchange, or a chain with a first-come sequencer)."""

    def keys(self, rows: Rows) -> tuple[F64, F64]:
        """Arrival, then submission."""
        return rows["arrival"].copy(), np.zeros(rows.shape[0])


class RandomOrder(Sequencer):
    """Uniformly random order, the same for a world in any batch."""

    def bind(self, world: "World") -> None:
        """Take the world's address of randomness."""
        self.world = world
        self.key = stream_key(world.seed, "sequencer")

    def keys(self, rows: Rows) -> tuple[F64, F64]:
        """One addressed uniform per bundle or lone row."""
        drawn = np.empty(rows.shape[0])
        _random_keys(rows, self.world.world_ids, self.key, self.world.step, drawn)
        return drawn, np.zeros(rows.shape[0])


class SealedBatch(RandomOrder):
    """Rows are revealed together at the end of the block: neither fee nor speed buys a place.

    The order among the revealed is random, as after a commit-reveal with a random beacon.
    """
