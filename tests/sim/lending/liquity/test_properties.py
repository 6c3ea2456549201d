"""No sequence of rows creates value; plain Python and the compiled kernels agree to the bit."""

import hashlib
import os
import subprocess
import sys
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.actions import Reject, Verb, new_rows

VERBS = [
    Verb.SUPPLY, Verb.WITHDRAW, Verb.BORROW, Verb.REPAY, Verb.LIQUIDATE, Verb.LIQUIDATE,
    Verb.LIQUIDATE, Verb.ADD_LIQUIDITY, Verb.REMOVE_LIQUIDITY, Verb.REDEEM,
]  # fmt: skip
BOOK = (
    (600.0, 50_000.0), (30.0, 4_500.0), (40.0, 6_500.0), (25.0, 2_600.0), (50.0, 7_000.0),
    (0.0, 0.0), (70.0, 9_000.0), (15.0, 2_010.0), (20.0, 0.0),
)  # fmt: skip


def rows_of(rng, world, n=10):
    """Rows of all verbs, most of them possible."""
    rows = new_rows(n)
    rows["world"] = np.sort(rng.integers(0, world.n_worlds, n))
    rows["verb"] = rng.choice(VERBS, n)
    rows["target"] = rng.integers(0, len(BOOK), n)
    rows["account"] = 1 + rows["target"] % 3
    gems = np.isin(rows["verb"], (Verb.SUPPLY, Verb.WITHDRAW))
    rows["asset"] = np.where(gems, 0, 1)
    rows["amount"] = rng.lognormal(np.where(gems, 2.0, 7.0), 1.0)
    rows["amount"][rng.random(n) < 0.15] = np.inf
    ids, starts = world.market.unsafe()
    for row in rows:
        waiting = ids[starts[row["world"]] : starts[row["world"] + 1]]
        if row["verb"] == Verb.LIQUIDATE and len(waiting) and rng.random() < 0.8:
            row["target"] = rng.choice(waiting)
        odd = rng.random()
        if odd < 0.05:
            row["amount"] = rng.choice([np.nan, -1.0, 0.0, 1e300])
        elif odd < 0.1:
            row["limit"] = rng.choice([np.nan, np.inf, 1e5])
        elif odd < 0.13:
            row["target"] = rng.integers(-5, 100)
    return rows


def play(world, rng, blocks=40):
    """Blocks of random rows under a price that comes and goes; yields the rows after each."""
    for _ in range(blocks):
        world.step += int(rng.integers(1, 200))
        drift = 0.05 * np.log(170.0 / world.oracle_price[:, 0])
        world.oracle_price[:, 0] *= np.exp(drift + rng.normal(0.0, 0.08, world.n_worlds))
        yield world.execute(world.market, rows_of(rng, world))


def test_no_sequence_creates_value(liquity):
    codes = Counter()
    modes = Counter()

    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=40)
    def conserved(seed):
        world = liquity(BOOK, 2, pool_deposit=2_000.0)
        for rows in play(world, np.random.default_rng(seed)):
            world.check()
            codes.update((Verb(row["verb"]), Reject(row["code"])) for row in rows)
            done = rows[(rows["verb"] == Verb.LIQUIDATE) & (rows["code"] == Reject.OK)]
            modes.update(zip((done["r0"] > 0.0).tolist(), (done["r1"] > 0.0).tolist(), strict=True))

    conserved()
    for verb in VERBS:
        assert codes[verb, Reject.OK] >= 20, (verb, codes)
    for way in ((True, False), (False, True), (True, True)):  # offset, redistributed, both
        assert modes[way] >= 5, modes


def test_liquidation_takes_none_that_the_rules_protect(liquity):
    """A trove at or above the minimum ratio goes in recovery mode only, and below the system's."""
    rng = np.random.default_rng(2)
    taken = 0
    for _ in range(60):
        world = liquity(BOOK, 1, pool_deposit=20_000.0)
        world.price(rng.uniform(90.0, 190.0))
        coll, debt = world.market.entire()
        price, system = world.oracle_price[0, 0], world.market.state.system[0]
        total = system["active_coll"] * price / system["active_debt"]
        listed = set(world.market.unsafe()[0].tolist())
        for trove in range(len(BOOK)):
            if debt[0, trove] == 0.0:
                assert trove not in listed
                continue
            own = coll[0, trove] * price / debt[0, trove]
            allowed = own < 1.1 or (total < 1.5 and own < total and debt[0, trove] <= 19_999.0)
            assert (trove in listed) == allowed
            taken += allowed
    assert taken > 50


def digest():
    """Hash all that a market is and says in a few blocks."""
    from tests.sim.lending.liquity.conftest import Liquity

    said = hashlib.blake2b(digest_size=16)
    for seed in range(3):
        world = Liquity(BOOK, 2, pool_deposit=2_000.0)
        for rows in play(world, np.random.default_rng(seed), 25):
            said.update(rows.tobytes())
            for part in (*world.market.unsafe(), *world.market.entire()):
                said.update(np.ascontiguousarray(part).tobytes())
        said.update(world.market.snapshot().tobytes())
        said.update(world.ledger.balances.tobytes())
    return said.hexdigest()


def test_plain_python_agrees():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    script = f"import sys; sys.path.insert(0, {os.getcwd()!r}); " + (
        "from tests.sim.lending.liquity.test_properties import digest; sys.stdout.write(digest())"
    )
    plain = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == digest()
