"""Rows: what a new one says, how parts are joined, and what a block takes in."""

import numpy as np
import pytest

from sim.actions import NO_ROWS, ROW, ROW_RULES, Reject, join_rows, new_rows, take_in

ON_CHAIN = np.array([True, True, False])


def random_rows(n, seed=0):
    """Rows of random bytes in every field, no padding left out."""
    raw = np.random.default_rng(seed).integers(0, 256, n * ROW.itemsize, np.uint8)
    return raw.view(ROW)


def test_new_rows_are_neutral():
    rows = new_rows(3)
    assert (rows["code"] == Reject.PENDING).all()
    assert (rows["fee_cap"] == np.inf).all()
    for name in ("target", "asset", "asset_2"):
        assert (rows[name] == -1).all()
    for name in ("limit", "arrival", "tip", "gas", "bundle", "amount", "fee"):
        assert (rows[name] == 0).all()


def test_a_row_is_aligned_and_a_block_of_bytes():
    assert ROW.isalignedstruct


def test_joined_rows_are_copies_in_order():
    parts = [random_rows(3, 1), random_rows(0), random_rows(5, 2)]
    joined = join_rows(parts)
    assert joined.tobytes() == parts[0].tobytes() + parts[2].tobytes()
    joined["amount"] = 0.0
    assert parts[0].tobytes() == random_rows(3, 1).tobytes()
    assert join_rows([]).shape == (0,)


def test_no_rows_cannot_be_written():
    assert NO_ROWS.shape == (0,)
    assert not NO_ROWS.flags.writeable


def some_rows(bundles, worlds=None):
    rows = new_rows(len(bundles))
    rows["bundle"] = bundles
    rows["world"] = 0 if worlds is None else worlds
    rows["tip"] = np.arange(len(bundles))
    rows["arrival"] = 10 - np.arange(len(bundles))
    rows["fee_cap"] = 100 + np.arange(len(bundles))
    rows["expires"] = np.arange(len(bundles))
    return rows


def take(rows, ends=None, n_worlds=2, counts=None):
    counts = np.zeros(n_worlds) if counts is None else counts
    ends = np.array([len(rows)] if ends is None else ends, np.int64)
    return take_in(rows, ends, ON_CHAIN, counts, 4), counts


def test_a_bundle_gets_the_terms_of_its_first_row():
    rows = some_rows([0, 5, 5, 5, 0])
    (wrong, _), counts = take(rows)
    assert wrong == -1
    assert rows["bundle"].tolist() == [0, 1, 1, 1, 0]
    assert rows["tip"].tolist() == [0, 1, 1, 1, 4]
    assert rows["arrival"].tolist() == [10, 9, 9, 9, 6]
    assert rows["fee_cap"].tolist() == [100, 101, 101, 101, 104]
    assert rows["expires"].tolist() == [0, 1, 1, 1, 4]
    assert counts.tolist() == [1.0, 0.0]


def test_bundles_of_two_agents_or_two_worlds_stay_apart():
    """Agents number their bundles as they like; what they wrote may coincide."""
    rows = some_rows([1, 1, 1, 1, 2, 1], worlds=[0, 0, 0, 1, 1, 1])
    take(rows, ends=[2, 6])
    assert rows["bundle"].tolist() == [1, 1, 2, 1, 2, 3]


def test_numbers_go_on_from_block_to_block():
    """A row that waits in the mempool keeps a number that no later bundle gets."""
    counts = np.zeros(2)
    for expected in (1, 2):
        rows = some_rows([9, 9])
        take(rows, counts=counts)
        assert rows["bundle"].tolist() == [expected, expected]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("world", -1),
        ("world", 2),
        ("venue", -1),
        ("venue", 3),
        ("account", -1),
        ("account", 4),
        ("gas", -1.0),
        ("gas", np.nan),
        ("tip", -0.1),
        ("tip", np.inf),
        ("arrival", -1.0),
        ("arrival", np.nan),
    ],
)
def test_rows_that_would_write_out_of_bounds_are_named(field, value):
    rows = some_rows([0, 0, 0])
    rows[1][field] = value
    (wrong, rule), _ = take(rows)
    assert wrong == 1
    assert ROW_RULES[rule][0] == field


def test_a_bundle_over_chain_and_exchange_is_refused():
    rows = some_rows([3, 3])
    rows["venue"] = [1, 2]
    (wrong, rule), _ = take(rows)
    assert wrong == 1
    assert "on chain" in ROW_RULES[rule][1]
    rows = some_rows([3, 4])
    rows["venue"] = [1, 2]
    assert take(rows)[0][0] == -1


def test_taking_in_as_plain_python():
    compiled, python = (some_rows([1, 1, 0, 2, 2, 1], [0, 0, 0, 0, 1, 1]) for _ in range(2))
    ends, counts = np.array([1, 6]), [np.zeros(2), np.zeros(2)]
    assert take_in(compiled, ends, ON_CHAIN, counts[0], 4) == (-1, 0)
    assert take_in.py_func(python, ends, ON_CHAIN, counts[1], 4) == (-1, 0)
    assert compiled.tobytes() == python.tobytes()
    assert compiled["bundle"].tolist() == [1, 2, 0, 3, 1, 2]
