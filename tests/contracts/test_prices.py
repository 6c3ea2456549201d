"""The PriceProcess contract, for every file of conf/price."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.build import part

STEPS = 40


@pytest.fixture
def seat(price, small_study):
    """Factory: the process bound to some worlds of the default study."""
    config = small_study("price", price)

    def bind(ids, seed=2):
        process = part(config, "price")
        world = SimpleNamespace(
            assets=config["assets"], n_worlds=len(ids), world_ids=np.array(ids, np.int64),
            n_assets=len(config["assets"]), n_steps=STEPS, block_seconds=12.0, seed=seed,
            start=process.start or 1.7e9,
        )  # fmt: skip
        process.bind(world)
        process.advance(0)
        process.arena.keep_as_initial()
        return process

    return bind


def path(process, first=0, stop=STEPS):
    found = []
    for step in range(first, stop):
        process.advance(step)
        found.append(process.price.copy())
    return np.array(found)


def test_prices_are_positive_finite_and_move(price, seat):
    found = path(seat(range(6)))
    assert found.shape == (STEPS, 6, 4)
    assert np.isfinite(found).all(), f"conf/price/{price}.yaml makes a price that is no number"
    assert (found > 0.0).all(), f"conf/price/{price}.yaml makes a price that is not positive"
    for asset in (0, 1):
        assert len(np.unique(found[:, 0, asset])) > STEPS // 2
        paths = {found[:, w, asset].tobytes() for w in range(6)}
        assert len(paths) == 6, f"{price}: worlds share a path"


def test_step_0_may_be_asked_for_again(price, seat):
    """A world asks once to fill its pools and once in the first block."""
    process = seat(range(3))
    first = process.price.copy()
    process.advance(0)
    np.testing.assert_array_equal(process.price, first)


def test_a_world_has_one_path_in_any_batch(price, seat):
    together = path(seat([4, 9, 2, 7]))
    np.testing.assert_array_equal(path(seat([2]))[:, 0], together[:, 2])
    np.testing.assert_array_equal(path(seat([7, 4]))[:, 1], together[:, 0])


def test_the_seed_changes_the_path(price, seat):
    one, other = path(seat([1], 2)), path(seat([1], 3))
    assert (one != other).any(axis=0)[0, :2].all()


def test_reset_and_restore_replay_the_path(price, seat):
    process = seat(range(4))
    start = process.arena.snapshot()
    whole = path(process)
    mask = np.array([True, False, True, False])
    before = process.price.copy()
    process.reset(mask)
    np.testing.assert_array_equal(process.price[~mask], before[~mask])
    np.testing.assert_array_equal(process.price[mask], whole[0][mask])
    process.reset(~mask)
    np.testing.assert_array_equal(process.arena.buffer, start)
    np.testing.assert_array_equal(path(process, stop=15), whole[:15])
    kept = process.snapshot()
    path(process, 15)
    process.restore(kept)
    np.testing.assert_array_equal(path(process, 15), whole[15:])
