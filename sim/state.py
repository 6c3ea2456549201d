"""State as arrays whose first axis is the world, in one block of memory.

An `Arena` owns a flat float64 buffer and hands out C-contiguous views `(world, ...)` of it, one per
field. Kernels see the views; snapshot, restore, per-world reset and the undo of a bundle copy the
buffer and need no knowledge of the fields.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.kernel import F64, I64, Bool, kernel


@kernel
def copy_worlds(target: F64, source: F64, offsets: I64, sizes: I64, worlds: I64) -> None:
    """Copy every field of the listed worlds from one buffer to another of the same layout."""
    for k in range(offsets.shape[0]):
        for i in range(worlds.shape[0]):
            start = offsets[k] + worlds[i] * sizes[k]
            for j in range(start, start + sizes[k]):
                target[j] = source[j]


class Arena:
    """Fields of state in words of eight bytes, one flat buffer, first axis world.

    Parameters
    ----------
    n_worlds : int
        Number of parallel worlds.
    fields : mapping of str to tuple of int
        Shape of each field without its world axis; `()` for a scalar per world.
    dtype : type
        What a word is: float64, or int64 for state that is mostly whole numbers (as float64 some
        of them would be no numbers). Views of a field as another type of eight bytes are free.
    """

    def __init__(
        self, n_worlds: int, fields: Mapping[str, tuple[int, ...]], dtype: Any = np.float64
    ) -> None:
        self.n_worlds = n_worlds
        self.sizes = np.array([int(np.prod(shape)) for shape in fields.values()], np.int64)
        ends = np.cumsum(self.sizes * n_worlds)
        self.offsets: I64 = (ends - self.sizes * n_worlds).astype(np.int64)
        self.buffer: F64 = np.zeros(int(self.sizes.sum()) * n_worlds, dtype)
        self.initial: F64 = self.buffer
        self.saved: F64 = np.zeros(self.buffer.shape, dtype)  # takes no memory until it is written
        self.views: dict[str, F64] = {}
        for (name, shape), start, end in zip(fields.items(), self.offsets, ends, strict=True):
            self.views[name] = self.buffer[start:end].reshape(n_worlds, *shape)

    def __getitem__(self, field: str) -> F64:
        """View of one field, shape (world, ...)."""
        return self.views[field]

    def keep_as_initial(self) -> None:
        """Make the present content what `reset` returns to."""
        self.initial = self.buffer.copy()

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to their initial content, without allocation."""
        copy_worlds(self.buffer, self.initial, self.offsets, self.sizes, np.flatnonzero(mask))

    def checkpoint(self, worlds: I64) -> None:
        """Remember the content of the listed worlds for `rollback`."""
        copy_worlds(self.saved, self.buffer, self.offsets, self.sizes, worlds)

    def rollback(self, worlds: I64) -> None:
        """Return the listed worlds to their last checkpoint."""
        copy_worlds(self.buffer, self.saved, self.offsets, self.sizes, worlds)

    def snapshot(self) -> F64:
        """Copy of everything."""
        return self.buffer.copy()

    def restore(self, snapshot: F64) -> None:
        """Take a snapshot back."""
        self.buffer[:] = snapshot
