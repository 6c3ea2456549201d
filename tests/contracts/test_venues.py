"""What every venue in conf/ promises, under rows that try everything."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.actions import BUNDLE_ROWS, Reject, Verb

BLOCKS = 6


def state_of(world):
    """Everything that a row may change, as bytes."""
    lending = world.venues["lending"]
    found = {f"arena {k}": arena.buffer.tobytes() for k, arena in enumerate(world._arenas())}
    found["collateral"] = lending.state.collateral.tobytes()
    found["debt"] = lending.state.debt.tobytes()
    return found


def drive(label, model, chaos, randoms, seed):
    """Play blocks of random rows; every block is checked (check_every = 1)."""
    model.reset()
    rng = np.random.default_rng(seed)
    world = model.world
    for _ in range(BLOCKS):
        chaos.next = randoms(rng, world, chaos.account)
        model.step()
        for arena in world._arenas():
            assert not np.isnan(arena.buffer).any(), f"{label}: a row made a state no number"
        assert (world.ledger.balances > -1e-6).all(), f"{label}: a negative balance"
    executed = world.events.rows()
    codes = set(executed["code"].tolist())
    assert Reject.PENDING not in codes, f"{label}: a row without a code"
    assert codes <= {int(code) for code in Reject}, f"{label}: an unknown code"
    return executed


@pytest.fixture
def held(chaotic, small_study):
    """Factory: model and chaos agent of a study that holds one file, and a label for messages."""

    def build(group, name):
        return *chaotic(small_study(group, name, mounted=True)), f"conf/{group}/{name}.yaml"

    return build


@pytest.mark.parametrize("group", ["lending", "market", "oracle", "pool"])
def test_value_is_conserved_under_random_rows(group, held, randoms, files):
    for name in files(group):
        model, chaos, label = held(group, name)

        play = partial(drive, label, model, chaos, randoms)

        @given(st.integers(0, 2**32 - 1))
        @settings(max_examples=12)
        def conserved(seed):
            play(seed)  # noqa: B023 - called below, within the loop

        conserved()
        model.close()


@pytest.mark.parametrize("group", ["lending", "market", "oracle", "pool"])
def test_a_rejected_row_leaves_no_trace(group, held, randoms, files):
    """Also a bundle that fails anywhere, and a row that the venue does not know."""
    for name in files(group):
        model, chaos, label = held(group, name)
        for _ in range(3):
            model.step()
        world, rng = model.world, np.random.default_rng(5)
        world.open_block()
        tried = dict.fromkeys((True, False), 0)
        for _ in range(12):
            rows = randoms(rng, world, chaos.account)
            ends = np.flatnonzero(np.diff(rows["bundle"], append=-1) | (rows["bundle"] == 0)) + 1
            for start, stop in zip([0, *ends[:-1]], ends, strict=True):
                unit = rows[start:stop].copy()
                unit["world"] = 1
                unit["arrival"] = 0.0  # on a book, time passes up to a row's arrival
                if len({bool(world.on_chain[v]) for v in unit["venue"]}) > 1:
                    continue
                before = state_of(world)
                world.executor.open_block()
                world.executor.run(
                    unit, np.arange(len(unit)), np.array([0, 0, len(unit)], np.int64)
                )
                done = (unit["code"] == Reject.OK).any()
                tried[bool(done)] += 1
                after = state_of(world)
                if not done:
                    changed = [key for key in before if before[key] != after[key]]
                    assert changed == [], (
                        f"{label}: {[Verb(v).name if v in list(Verb) else v for v in unit['verb']]}"
                        f" was rejected ({[Reject(c).name for c in unit['code']]}) but changed "
                        f"{changed}"
                    )
        assert min(tried.values()) > 10, f"{label}: {tried}"
        model.close()


@pytest.mark.parametrize("group", ["lending", "market", "oracle", "pool"])
def test_checkpoint_snapshot_and_reset_bring_everything_back(group, held, randoms, files):
    for name in files(group):
        model, chaos, label = held(group, name)
        world, rng = model.world, np.random.default_rng(8)
        start = state_of(world)
        chaos.next = randoms(rng, world, chaos.account)
        model.step()
        kept, early = model.snapshot(), state_of(world)
        worlds = np.arange(2)
        targets = np.tile(np.arange(BUNDLE_ROWS), (2, 1))
        rows = randoms(rng, world, chaos.account)
        rows["target"] %= BUNDLE_ROWS
        rows["bundle"] = 0
        world.ledger.arena.checkpoint(worlds)
        world.quotes.checkpoint(worlds)
        for venue in world.venues.values():
            venue.checkpoint(worlds, targets)
        starts = np.searchsorted(rows["world"], np.arange(3)).astype(np.int64)
        world.executor.run(rows, np.arange(len(rows)), starts)
        assert state_of(world) != early
        world.ledger.arena.rollback(worlds)
        for venue in world.venues.values():
            venue.rollback(worlds)
        world.quotes.rollback(worlds)
        assert state_of(world) == early, f"{label}: rollback"
        chaos.next = randoms(rng, world, chaos.account)
        model.step()
        model.restore(kept)
        assert state_of(world) == early, f"{label}: restore"
        model.reset()
        assert state_of(world) == start, f"{label}: reset"
        model.close()


@pytest.mark.parametrize("group", ["lending", "market", "oracle", "pool"])
def test_results_have_names_of_their_own(group, held, files):
    for name in files(group):
        model, _, label = held(group, name)
        columns = {"world", "step", "seq", "account", "target", "asset", "asset_2", "amount",
                   "code", "fee", "tip"}  # fmt: skip
        for venue in model.world.venues.values():
            for verb, names in venue.RESULTS.items():
                assert verb in {int(known) for known in Verb}, f"{label}: {verb} is no verb"
                assert len(names) <= 4, f"{label}: a row has four results"
                assert len(set(names)) == len(names)
                assert not set(names) & columns, f"{label}: {names} hide columns of the row"
        model.close()


@pytest.mark.parametrize("group", ["blockspace", "background", "sequencer"])
def test_chains_play_and_conserve_under_random_rows(group, small_study, chaotic, randoms, files):
    for name in files(group):
        config = small_study(group, name)
        model, chaos = chaotic(config)
        label = f"conf/{group}/{name}.yaml"
        included = drive(label, model, chaos, randoms, 1)
        state = model.world.blockspace.state
        assert len(included) > 0, f"{label}: nothing was included"
        assert (state.used >= 0.0).all()
        assert (state.used <= model.world.blockspace.gas_limit * (1 + 1e-12)).all(), label
        for field in state._fields:
            assert np.isfinite(getattr(state, field)).all(), f"{label}: {field}"
        crowd = model.world.blockspace.background.crowd
        assert np.isfinite(crowd).all(), label
        assert (crowd[:, [0, 2]] > 0.0).all(), label
        model.close()


@pytest.mark.parametrize("group", ["sequencer", "background", "oracle", "market", "blockspace"])
def test_a_world_is_the_same_in_any_batch(group, small_study, make_model, trace, files):
    for name in files(group):
        config = small_study(group, name, "scenarios.crash.start_hours=0.1")
        found = []
        for first, stop, w in ((0, 4, 2), (2, 3, 0)):
            model = make_model(config, first, stop)
            for _ in range(40):
                model.step()
            found.append(trace(model, w))
            model.close()
        different = [key for key in found[0] if found[0][key] != found[1][key]]
        assert different == [], f"conf/{group}/{name}.yaml"
