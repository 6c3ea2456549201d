"""Each sequencer's order against an obvious sort."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim.sequencing as sequencing
from sim.actions import join_rows, new_rows
from sim.sequencing import ArrivalOrder, FeePriority, RandomOrder, SealedBatch, in_order

SEQUENCERS = [FeePriority, ArrivalOrder, RandomOrder, SealedBatch]

# (world, tip, arrival, length of the bundle; 0: alone); few values, so that ties are common
groups = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0.0, 1.0, 2.5]),
        st.sampled_from([0.0, 3.0, 7.0]),
        st.integers(0, 4),
    ),
    max_size=25,
)


def rows_of(drawn):
    """Rows grouped by world in submission order; `target` is the place of submission."""
    drawn = sorted(drawn, key=lambda group: group[0])
    parts = []
    for number, (world, tip, arrival, length) in enumerate(drawn):
        part = new_rows(max(length, 1))
        part["world"], part["tip"], part["arrival"] = world, tip, arrival
        part["bundle"] = number + 1 if length else 0
        parts.append(part)
    rows = join_rows(parts)
    rows["target"] = np.arange(len(rows))
    return rows


def bound(kind, ids=(0, 1, 2), seed=3, step=5):
    sequencer = kind()
    sequencer.bind(SimpleNamespace(world_ids=np.array(ids, np.int64), seed=seed, step=step))
    return sequencer


def ordered(sequencer, rows, n_worlds=3):
    order, starts = in_order(rows, *sequencer.keys(rows), n_worlds)
    return rows[order], starts


def uncovered(rows):
    return [(r["world"], r["tip"], r["arrival"], r["target"]) for r in rows]


@given(groups)
def test_fee_priority_is_a_sort_by_tip_arrival_submission(drawn):
    rows = rows_of(drawn)
    chosen, _ = ordered(bound(FeePriority), rows)
    expected = sorted(rows, key=lambda r: (r["world"], -r["tip"], r["arrival"], r["target"]))
    assert uncovered(chosen) == uncovered(expected)


@given(groups)
def test_arrival_order_is_a_sort_by_arrival_submission(drawn):
    rows = rows_of(drawn)
    chosen, _ = ordered(bound(ArrivalOrder), rows)
    expected = sorted(rows, key=lambda r: (r["world"], r["arrival"], r["target"]))
    assert uncovered(chosen) == uncovered(expected)


@pytest.mark.parametrize("kind", SEQUENCERS)
@given(drawn=groups)
def test_order_is_a_permutation_within_worlds_that_keeps_bundles_together(kind, drawn):
    rows = rows_of(drawn)
    chosen, starts = ordered(bound(kind), rows)
    assert sorted(chosen["target"].tolist()) == list(range(len(rows)))
    for w in range(3):
        part = chosen[starts[w] : starts[w + 1]]
        assert (part["world"] == w).all()
        for bundle in set(part["bundle"].tolist()) - {0}:
            places = np.flatnonzero(part["bundle"] == bundle)
            assert (np.diff(places) == 1).all()
            assert (np.diff(part["target"][places]) == 1).all()


@pytest.mark.parametrize("kind", [RandomOrder, SealedBatch])
@given(drawn=groups)
def test_a_world_has_one_random_order_in_any_batch(kind, drawn):
    rows = rows_of(drawn)
    together, starts = ordered(bound(kind, ids=(10, 11, 12)), rows)
    for w in range(3):
        alone = rows[rows["world"] == w].copy()
        alone["world"] = 0
        single, _ = ordered(bound(kind, ids=(10 + w,)), alone, 1)
        np.testing.assert_array_equal(
            single["target"], together["target"][starts[w] : starts[w + 1]]
        )


def test_random_order_is_uniform_over_permutations():
    """Chi-square of 24 orders over 4,800 worlds: 99.9% quantile with 23 degrees is 49.7."""
    n = 4_800
    rows = new_rows(4 * n)
    rows["world"] = np.repeat(np.arange(n), 4)
    rows["target"] = np.tile(np.arange(4), n)
    chosen, _ = ordered(bound(RandomOrder, ids=range(n)), rows, n)
    _, counts = np.unique(chosen["target"].reshape(n, 4), axis=0, return_counts=True)
    assert len(counts) == 24
    assert ((counts - n / 24) ** 2 / (n / 24)).sum() < 49.7


def test_random_order_changes_with_step_and_seed():
    rows = rows_of([(0, 0.0, 0.0, 0)] * 20)
    first, _ = ordered(bound(RandomOrder), rows)
    for other in (bound(RandomOrder, step=6), bound(RandomOrder, seed=4)):
        assert ordered(other, rows)[0]["target"].tolist() != first["target"].tolist()


def test_a_bundle_counts_once_in_the_draw():
    """The rows after a bundle keep their draw when the bundle has more rows."""
    short = rows_of([(0, 0.0, 0.0, 2), (0, 0.0, 0.0, 0)])
    long = rows_of([(0, 0.0, 0.0, 4), (0, 0.0, 0.0, 0)])
    sequencer = bound(RandomOrder)
    assert sequencer.keys(short)[0][-1] == sequencer.keys(long)[0][-1]


def test_long_lists_are_sorted_stably():
    rng = np.random.default_rng(1)
    rows = new_rows(5_000)
    rows["world"] = np.sort(rng.integers(0, 3, 5_000))
    first, second = rng.integers(0, 9, 5_000) * 1.0, rng.integers(0, 9, 5_000) * 1.0
    order, starts = in_order(rows, first, second, 3)
    expected = np.lexsort((np.arange(5_000), second, first, rows["world"]))
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(starts, np.searchsorted(rows["world"], np.arange(4)))


def test_rows_need_not_be_grouped_by_world():
    rows = new_rows(5)
    rows["world"] = [1, 0, 1, 0, 1]
    keys = np.zeros(5)
    order, starts = in_order(rows, keys, keys, 2)
    assert order.tolist() == [1, 3, 0, 2, 4]
    assert starts.tolist() == [0, 2, 5]


def test_kernels_as_plain_python(plain):
    rows = rows_of([(0, 1.0, 2.0, 0), (0, 2.0, 1.0, 3), (2, 1.0, 0.0, 0), (2, 9.0, 0.0, 2)])
    expected = [ordered(bound(kind), rows)[0].tobytes() for kind in SEQUENCERS]
    with plain(sequencing):
        found = []
        for kind in SEQUENCERS:
            sequencer = bound(kind)
            order, starts = np.empty(len(rows), np.int64), np.empty(4, np.int64)
            scratch = np.empty_like(order)
            sequencing.sort_rows(rows, *sequencer.keys(rows), order, scratch, starts)
            found.append(rows[order].tobytes())
    assert found == expected
