"""An arena: one buffer, copied by world."""

import numpy as np
import pytest

from sim.state import Arena, copy_worlds

FIELDS = {"scalar": (), "vector": (3,), "table": (2, 4)}


def filled(n_worlds):
    arena = Arena(n_worlds, FIELDS)
    arena.buffer[:] = np.arange(arena.buffer.size)
    return arena


@pytest.mark.parametrize("n_worlds", [1, 5])
def test_views_are_contiguous_and_tile_the_buffer(n_worlds):
    """C order also for one world, so that numba compiles each kernel once."""
    arena = filled(n_worlds)
    for name, shape in FIELDS.items():
        view = arena[name]
        assert view.shape == (n_worlds, *shape)
        assert view.flags.c_contiguous
        assert view.base is not None
    everything = np.concatenate([arena[name].ravel() for name in FIELDS])
    np.testing.assert_array_equal(everything, arena.buffer)


def test_one_world_and_many_share_a_compiled_kernel():
    for n_worlds in (1, 4):
        arena = filled(n_worlds)
        arena.reset(np.ones(n_worlds, np.bool_))
    floats = [one for one in copy_worlds.signatures if one[0].dtype.name == "float64"]
    assert len(floats) == 1


@pytest.mark.parametrize("fields", [{}, {"nothing": (0,)}])
def test_an_agent_without_memory_has_an_empty_arena(fields):
    arena = Arena(3, fields)
    arena.keep_as_initial()
    arena.reset(np.ones(3, np.bool_))
    arena.restore(arena.snapshot())
    assert arena.buffer.size == 0


def test_reset_touches_the_masked_worlds_only():
    arena = filled(4)
    arena.keep_as_initial()
    before = arena.snapshot()
    arena.buffer[:] = -1.0
    arena.reset(np.array([True, False, True, False]))
    for name in FIELDS:
        start = filled(4)[name]
        np.testing.assert_array_equal(arena[name][[0, 2]], start[[0, 2]])
        np.testing.assert_array_equal(arena[name][[1, 3]], -1.0)
    arena.reset(np.ones(4, np.bool_))
    np.testing.assert_array_equal(arena.buffer, before)


def test_a_snapshot_is_a_copy():
    arena = filled(2)
    kept = arena.snapshot()
    arena["vector"][1] = 99.0
    assert not np.array_equal(kept, arena.buffer)
    views = {name: arena[name] for name in FIELDS}
    arena.restore(kept)
    np.testing.assert_array_equal(kept, arena.buffer)
    assert all(arena[name] is views[name] for name in FIELDS)  # kernels hold the views


def test_rollback_returns_the_listed_worlds_to_their_own_checkpoint():
    arena = filled(3)
    arena.checkpoint(np.array([0, 1]))
    arena["scalar"][:] = 7.0
    arena.checkpoint(np.array([1]))
    arena["scalar"][:] = 8.0
    arena.rollback(np.array([0, 1]))
    np.testing.assert_array_equal(arena["scalar"], [0.0, 7.0, 8.0])


def test_copying_as_plain_python():
    one, other = filled(3), filled(3)
    one.buffer[:], other.buffer[:] = 0.0, 0.0
    source = filled(3).buffer
    worlds = np.array([2, 0])
    copy_worlds(one.buffer, source, one.offsets, one.sizes, worlds)
    copy_worlds.py_func(other.buffer, source, one.offsets, one.sizes, worlds)
    np.testing.assert_array_equal(one.buffer, other.buffer)
    assert one.buffer.any()
