"""Bundles over several venues against a slow interpreter: all or nothing, and nothing else."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.execution as execution_module
from sim.actions import BUNDLE_ROWS, Reject, Verb, new_rows
from sim.execution import Executor
from sim.ledger import Ledger
from sim.sequencing import in_order
from sim.state import Arena
from sim.venue import Venue

ALICE = 0
BALANCE = 10.0
TARGETS = 3


class Shop(Venue):
    """Takes `amount` of token 0 and counts it per target; lends token 1 within a bundle.

    It moves the world's market price by what it takes, as an exchange does.
    """

    def bind(self, world):
        self.arena = Arena(world.n_worlds, {"sold": (TARGETS,), "lent": ()})
        world.ledger.endow(self.account, 1, 100.0)
        self.calls = 0

    def claims(self):
        return self.world.ledger.balances[:, self.account].copy()

    def bundle_holds(self, worlds):
        return self.arena["lent"][worlds] == 0.0

    def execute(self, rows, order, starts, ends):
        self.calls += 1
        for w in range(len(starts)):
            for k in range(starts[w], ends[w]):
                row = rows[order[k]]
                assert row["world"] == w
                assert row["venue"] == self.index
                balances = self.world.ledger.balances[w]
                row["code"] = self.perform(w, row, balances)
                row["r0"] = row["amount"]

    def perform(self, w, row, balances):
        amount, mine, his = row["amount"], self.account, row["account"]
        if row["verb"] == Verb.FLASH_BORROW:
            if row["bundle"] == 0:
                return Reject.FLASH_NOT_REPAID
            balances[mine, 1] -= amount
            balances[his, 1] += amount
            self.arena["lent"][w] += amount
            return Reject.OK
        if row["verb"] == Verb.FLASH_REPAY:
            if self.arena["lent"][w] < amount:
                return Reject.NO_DEBT
            balances[his, 1] -= amount
            balances[mine, 1] += amount
            self.arena["lent"][w] -= amount
            return Reject.OK
        if not amount > 0.0:
            return Reject.BAD_AMOUNT
        if balances[his, 0] < amount:
            return Reject.INSUFFICIENT_BALANCE
        balances[his, 0] -= amount
        balances[mine, 0] += amount
        self.arena["sold"][w, row["target"]] += amount
        self.world.market_price[w, 0] -= amount
        return Reject.OK


def make(n_worlds, n_venues=3):
    world = SimpleNamespace(n_worlds=n_worlds, step=4)
    names = [f"shop{k}" for k in range(n_venues)]
    world.ledger = Ledger(n_worlds, ["alice", *names], ["A", "B"])
    world.quotes = Arena(n_worlds, {"market_price": (1,)})
    world.market_price = world.quotes["market_price"]
    world.ledger.endow(ALICE, 0, BALANCE)
    world.venues = {name: Shop() for name in names}
    for k, (name, venue) in enumerate(world.venues.items()):
        venue.attach(world, name, k, k + 1)
    return world


def run(world, rows, executor=None):
    """Execute rows in submission order."""
    keys = np.zeros(len(rows))
    executor = executor or Executor(world)
    executor.open_block()
    executor.run(rows, *in_order(rows, keys, keys, world.n_worlds))
    return rows


# --- the obvious interpreter ----------------------------------------------------------------------


def replay(rows, n_venues=3):
    """Execute one world's rows with deep copies; return the codes and the end state."""
    state = {
        "balance": [BALANCE, 0.0],
        "sold": [[0.0] * TARGETS for _ in range(n_venues)],
        "lent": [0.0] * n_venues,
        "price": 0.0,
    }
    codes, liquidated, i = [], set(), 0
    while i < len(rows):
        stop = i + 1
        if rows[i]["bundle"]:
            while stop < len(rows) and rows[stop]["bundle"] == rows[i]["bundle"]:
                stop += 1
        group = rows[i:stop]
        new = copy.deepcopy(state)
        if rows[i]["bundle"] == 0:
            found = [one(new, rows[i])]
            state = new
        elif len(group) > BUNDLE_ROWS:
            found = [Reject.BUNDLE_TOO_LONG] * len(group)
        elif {place(row) for row in group if row["verb"] == Verb.LIQUIDATE} & liquidated:
            found = [Reject.CONFLICT] * len(group)
        else:
            found = bundle(new, group)
            if all(code == Reject.OK for code in found):
                state = new
        for row, code in zip(group, found, strict=True):
            if row["verb"] == Verb.LIQUIDATE and code == Reject.OK:
                liquidated.add(place(row))
        codes += found
        i = stop
    return codes, state


def place(row):
    return int(row["venue"]), int(row["target"])


def bundle(state, group):
    """Codes of a bundle; rows after the unit that failed are not even tried."""
    found = [Reject.PENDING] * len(group)
    i = 0
    while i < len(group):
        stop = i + 1
        while stop < len(group) and group[stop]["venue"] == group[i]["venue"]:
            stop += 1
        found[i:stop] = [one(state, row) for row in group[i:stop]]
        if any(code != Reject.OK for code in found[i:stop]):
            break
        i = stop
    else:
        if not any(state["lent"]):
            return found
        found[-1] = Reject.FLASH_NOT_REPAID
    undone = (Reject.OK, Reject.PENDING)
    return [Reject.BUNDLE_FAILED if code in undone else code for code in found]


def one(state, row):
    amount, venue = float(row["amount"]), int(row["venue"])
    if row["verb"] == Verb.FLASH_BORROW:
        if row["bundle"] == 0:
            return Reject.FLASH_NOT_REPAID
        state["balance"][1] += amount
        state["lent"][venue] += amount
    elif row["verb"] == Verb.FLASH_REPAY:
        if state["lent"][venue] < amount:
            return Reject.NO_DEBT
        state["balance"][1] -= amount
        state["lent"][venue] -= amount
    elif not amount > 0.0:
        return Reject.BAD_AMOUNT
    elif state["balance"][0] < amount:
        return Reject.INSUFFICIENT_BALANCE
    else:
        state["balance"][0] -= amount
        state["sold"][venue][int(row["target"])] += amount
        state["price"] -= amount
    return Reject.OK


def check_world(world, w, rows, n_venues=3):
    codes, state = replay(rows, n_venues)
    assert [Reject(code).name for code in rows["code"]] == [Reject(code).name for code in codes]
    assert world.ledger.balances[w, ALICE].tolist() == state["balance"]
    assert world.market_price[w, 0] == state["price"]
    for k, venue in enumerate(world.venues.values()):
        assert venue.arena["sold"][w].tolist() == state["sold"][k]
        assert venue.arena["lent"][w] == state["lent"][k]
    failed = (rows["bundle"] > 0) & (rows["code"] != Reject.OK)
    assert not rows["r0"][failed].any()


# (length of the bundle, rows): amounts are whole, so that float sums are exact
row = st.tuples(
    st.integers(0, 2),  # venue
    st.sampled_from([Verb.SWAP, Verb.SWAP, Verb.LIQUIDATE, Verb.FLASH_BORROW, Verb.FLASH_REPAY]),
    st.integers(0, TARGETS - 1),
    st.sampled_from([0.0, 1.0, 1.0, 2.0, 9.0]),
)
groups = st.lists(
    st.tuples(st.booleans(), st.lists(row, min_size=1, max_size=BUNDLE_ROWS + 1)), max_size=6
)


def rows_of(worlds):
    parts = []
    for w, drawn in enumerate(worlds):
        for number, (bundled, members) in enumerate(drawn):
            part = new_rows(len(members))
            part["world"], part["account"] = w, ALICE
            part["bundle"] = number + 1 if bundled else 0
            for fields, (venue, verb, target, amount) in zip(part, members, strict=True):
                fields["venue"], fields["verb"] = venue, verb
                fields["target"], fields["amount"] = target, amount
            parts.append(part)
    return np.concatenate([new_rows(0), *parts])


@given(st.lists(groups, min_size=3, max_size=3))
@settings(max_examples=150)
def test_worlds_side_by_side_equal_the_interpreter(drawn):
    rows, world = rows_of(drawn), make(3)
    run(world, rows)
    for w in range(3):
        part = rows[rows["world"] == w]
        check_world(world, w, part)
        assert part["seq"].tolist() == list(range(len(part)))
    assert (rows["step"] == 4).all()
    world.ledger.check(0.0)


# --- single rules ---------------------------------------------------------------------------------


def swap(venue, amount, **fields):
    return {"venue": venue, "verb": Verb.SWAP, "amount": amount, "target": 0, **fields}


def table(*rows):
    made = new_rows(len(rows))
    for part, fields in zip(made, rows, strict=True):
        for name, value in fields.items():
            part[name] = value
    return made


def names(rows):
    return [Reject(code).name for code in rows["code"]]


def test_a_bundle_across_venues_stands_where_all_rows_do():
    world = make(1)
    rows = run(world, table(*(swap(venue, 1.0, bundle=1) for venue in (0, 1, 2, 0))))
    assert names(rows) == ["OK"] * 4
    assert world.ledger.balances[0, ALICE, 0] == BALANCE - 4.0


def test_a_failed_bundle_leaves_everything_bit_identical():
    world = make(2)
    run(world, table(swap(0, 0.1), swap(1, 0.2, world=1)))
    arenas = [world.ledger.arena, world.quotes, *(v.arena for v in world.venues.values())]
    before = [arena.snapshot().tobytes() for arena in arenas]
    rows = run(
        world,
        table(
            *(swap(k, 0.3, bundle=7) for k in (0, 1)), swap(2, 99.0, bundle=7),
            {"venue": 1, "verb": Verb.FLASH_BORROW, "amount": 3.0, "bundle": 8, "world": 1},
            swap(0, 0.7, bundle=8, world=1),
        ),
    )  # fmt: skip
    assert names(rows) == [
        "BUNDLE_FAILED", "BUNDLE_FAILED", "INSUFFICIENT_BALANCE", "BUNDLE_FAILED",
        "FLASH_NOT_REPAID",
    ]  # fmt: skip
    assert [arena.snapshot().tobytes() for arena in arenas] == before


def test_a_flash_loan_that_comes_back_stands():
    world = make(1)
    rows = table(
        {"venue": 1, "verb": Verb.FLASH_BORROW, "amount": 50.0, "bundle": 1},
        swap(0, 1.0, bundle=1),
        {"venue": 1, "verb": Verb.FLASH_REPAY, "amount": 50.0, "bundle": 1},
    )
    assert names(run(world, rows)) == ["OK"] * 3


def test_a_failure_in_one_world_does_not_touch_another():
    world = make(3)
    rows = [swap(k, 2.0 if w != 1 else 6.0, world=w, bundle=1) for w in range(3) for k in (0, 1)]
    run(world, table(*rows))
    assert world.ledger.balances[:, ALICE, 0].tolist() == [6.0, BALANCE, 6.0]


def test_a_later_bundle_on_the_same_target_is_left_out():
    world = make(1)
    call = {"verb": Verb.LIQUIDATE, "amount": 1.0, "target": 2}
    rows = table(
        {**call, "venue": 0, "bundle": 1}, {**call, "venue": 0, "bundle": 2},
        {**call, "venue": 1, "bundle": 3}, {**call, "venue": 0, "bundle": 4, "target": 1},
        {**call, "venue": 0},
    )  # fmt: skip
    assert names(run(world, rows)) == ["OK", "CONFLICT", "OK", "OK", "OK"]


def test_a_call_that_failed_is_no_conflict():
    world = make(1)
    call = {"verb": Verb.LIQUIDATE, "target": 2, "venue": 0}
    rows = table({**call, "amount": 99.0, "bundle": 1}, {**call, "amount": 1.0, "bundle": 2})
    assert names(run(world, rows)) == ["INSUFFICIENT_BALANCE", "OK"]


def test_the_longest_bundle_and_one_row_more():
    world = make(1)
    rows = [swap(0, 1.0, bundle=1)] * BUNDLE_ROWS + [swap(1, 0.1, bundle=2)] * (BUNDLE_ROWS + 1)
    found = names(run(world, table(*rows)))
    assert found == ["OK"] * BUNDLE_ROWS + ["BUNDLE_TOO_LONG"] * (BUNDLE_ROWS + 1)


def test_numbers_go_on_within_a_block():
    world = make(2)
    executor = Executor(world)
    keys = np.zeros(3)
    rows = table(swap(0, 0.1), swap(0, 0.1, world=1), swap(0, 0.1, world=1))
    executor.open_block()
    for expected in ([0, 0, 1], [1, 2, 3]):
        executor.run(rows, *in_order(rows, keys, keys, 2))
        assert rows["seq"].tolist() == expected


def test_all_worlds_share_a_call():
    """A run of rows on one venue is one call for all worlds, however many there are."""
    world = make(50, n_venues=1)
    run(world, table(*(swap(0, 0.1, world=w) for w in range(50) for _ in range(4))))
    assert world.venues["shop0"].calls == 1


@pytest.mark.parametrize("seed", range(3))
def test_kernels_as_plain_python(plain, seed):
    rng = np.random.default_rng(seed)
    drawn = [
        [(bool(rng.integers(2)), [(int(rng.integers(3)), Verb.SWAP, 0, float(rng.integers(1, 5)))
          for _ in range(rng.integers(1, 5))]) for _ in range(4)]
        for _ in range(2)
    ]  # fmt: skip
    world, rows = make(2), rows_of(drawn)
    with plain(execution_module):
        run(world, rows)
    for w in range(2):
        check_world(world, w, rows[rows["world"] == w])
