"""Whole paths of one asset, for environments in which every world is in an episode of its own.

A world that steps through blocks asks a process to `advance`; an environment that resets a world in
the middle of the others' episodes asks it for the path of (world, episode) at once:

    filler = process.path_filler(seed, n_steps, dt_seconds)
    out = np.empty((len(world_ids), n_steps + 1, len(process.channels)))
    filler(out, world_ids, episodes)

or `out = process.paths(seed, world_ids, episodes, n_steps, dt_seconds)`.

The draws of a path have the address (seed, stream, world, episode, index), where the index counts
through the steps: a path depends on nothing but its seed, world and episode, and the first steps of
a long path are the path of a short one. The episode stands where `advance` has its step, so the
streams of paths have names of their own. Both take 32 bits: 0 <= world id, episode < 2**32.

A model gives one kernel that turns independent standard normals into paths,

    fill(out, shocks, *terms)                           # its shocks are all it draws
    fill(out, shocks, *terms, world_ids, episodes)      # it draws more, at these addresses

with out (row, step + 1, channel), shocks (row, n_shocks x step), of which those of step t stand at
n_shocks t, ..., and in terms whatever the model needs, keys of further streams included. A model
without shocks gets none.

Channel 0 is the price in USD. Channel 1, where a model has one, is the annualised volatility of
log returns that holds at that moment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sim import streams
from sim.errors import InputError
from sim.kernel import F64, I64, U64

CHUNK = 256  # rows whose shocks are held at once: at 60 steps and two shocks 240 kB, in cache
_LIMIT = 2**32


@dataclass(frozen=True, slots=True)
class PathFiller:
    """Fills paths of one process, asset, seed, length and time step.

    Attributes
    ----------
    fill : kernel
        Turns shocks into paths, see the module.
    terms : tuple
        What the kernel takes between its shocks and the addresses.
    key : array (2,)
        Of the stream of the shocks.
    n_steps, n_channels, n_shocks : int
        Steps of a path; channels of a step; standard normals that a step takes.
    addressed : bool
        Whether the kernel draws more and takes the addresses.
    """

    fill: Callable[..., None]
    terms: tuple[Any, ...]
    key: U64
    n_steps: int
    n_channels: int
    n_shocks: int
    addressed: bool = False

    def __call__(self, out: F64, world_ids: ArrayLike, episodes: ArrayLike) -> None:
        """Write the path of each (world, episode) into `out (row, n_steps + 1, channel)`.

        Raises
        ------
        InputError
            If an address lies outside 32 bits or `out` has another shape.
        """
        ids, of = addresses(world_ids, episodes)
        expected = (len(ids), self.n_steps + 1, self.n_channels)
        if out.shape != expected or out.dtype != np.float64:
            raise InputError(
                f"out must be float64 of shape {expected}, got {out.dtype} of {out.shape}; make it "
                "so"
            )
        shocks = np.empty((min(CHUNK, len(ids)), self.n_shocks * self.n_steps))
        for first in range(0, len(ids), CHUNK):
            rows = slice(first, first + CHUNK)
            where = (ids[rows], of[rows])
            drawn = (shocks[: len(ids[rows])],) if self.n_shocks else ()
            for part in drawn:
                streams.normals_each(part, self.key, *where)
            self.fill(out[rows], *drawn, *self.terms, *(where if self.addressed else ()))


def addresses(world_ids: ArrayLike, episodes: ArrayLike) -> tuple[I64, I64]:
    """World ids and episodes as arrays (row,); one number stands for all rows.

    Raises
    ------
    InputError
        Unless both are whole numbers from 0 to 2**32 - 1, of one length.
    """
    found = []
    for name, given in (("world_ids", world_ids), ("episodes", episodes)):
        numbers = np.asarray(given)
        whole = np.issubdtype(numbers.dtype, np.integer)
        if not whole or numbers.ndim > 1 or (numbers.size and not _fits(numbers)):
            raise InputError(
                f"{name} must be whole numbers from 0 to 2**32 - 1, one for each path, got "
                f"{given!r}; correct them"
            )
        found.append(numbers.astype(np.int64))
    if all(numbers.ndim for numbers in found) and found[0].size != found[1].size:
        raise InputError(
            f"world_ids and episodes must have one number for each path, got {found[0].size} and "
            f"{found[1].size}; make them equally long"
        )
    ids, of = np.broadcast_arrays(*(np.atleast_1d(numbers) for numbers in found))
    return np.ascontiguousarray(ids), np.ascontiguousarray(of)


def _fits(numbers: Any) -> bool:
    return bool(numbers.min() >= 0 and numbers.max() < _LIMIT)


def check_length(n_steps: int, dt_seconds: float) -> None:
    """Raise InputError unless a path has at least one step of positive length."""
    if not n_steps >= 1:
        raise InputError(f"n_steps must be at least 1, got {n_steps}; lengthen the episode")
    if not (np.isfinite(dt_seconds) and dt_seconds > 0.0):
        raise InputError(f"dt_seconds must be positive, got {dt_seconds}; such as 86400 for a day")
