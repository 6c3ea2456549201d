"""No sequence of rows creates value; plain Python and the compiled kernels agree to the bit."""

import hashlib
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.actions import Reject, Verb, new_rows

VERBS = [Verb.SUPPLY, Verb.WITHDRAW, Verb.BORROW, Verb.REPAY, Verb.LIQUIDATE, Verb.REDO]
OWN = {"flip": [Verb.BID, Verb.BID, Verb.BID, Verb.DEAL, Verb.DEAL], "clip": [Verb.TAKE] * 3}
INK, DEBT = (100.0, 3.0, 800.0, 20.0), (10_000.0, 250.0, 70_000.0, 0.0)
TERMS = {
    "ttl": 120.0, "tau": 240.0, "lump": 60.0, "curve": "exponential", "cut": 0.999, "tail": 150.0,
    "tip": 3.0, "chip": 0.01, "hole": 40_000.0, "stability_fee": 2.0, "surplus": 500.0,
    "wait": 60.0,
}  # fmt: skip


def build(maker, auction, n_worlds=2):
    return maker(INK, DEBT, n_worlds, auction=auction, **TERMS)


def rows_of(rng, world, auction, n=10):
    """Rows of all verbs, most of them possible."""
    market, state = world.market, world.market.state
    rows = new_rows(n)
    rows["world"] = np.sort(rng.integers(0, world.n_worlds, n))
    calm = world.step % 15 < 6  # nobody bids: auctions go stale
    rows["verb"] = rng.choice(VERBS if calm else [*VERBS, *OWN[auction]], n)
    rows["account"] = rng.integers(1, 4, n)
    rows["target"] = rng.integers(0, market.n_positions, n)
    rows["asset"] = np.where(np.isin(rows["verb"], (Verb.SUPPLY, Verb.WITHDRAW)), 0, 1)
    rows["amount"] = np.where(rng.random(n) < 0.3, np.inf, rng.lognormal(4.0, 2.5, n))
    numbers, _, starts = market.auctions()
    for row in rows:
        listed = numbers[starts[row["world"]] : starts[row["world"] + 1]]
        if row["verb"] in (Verb.REDO, *OWN[auction]) and len(listed):
            row["target"] = number = rng.choice(listed)
            record = state.auctions[row["world"], number % market.params.max_auctions]
            if row["verb"] == Verb.BID:
                row["amount"] = record["paid"] * rng.uniform(1.0, 2.0) + rng.choice([0.0, 50.0])
                if record["paid"] == record["tab"]:
                    row["amount"] = record["tab"]
                    row["limit"] = record["lot"] * rng.uniform(0.8, 1.0)
            if row["verb"] == Verb.TAKE and rng.random() < 0.7:
                row["amount"] = record["lot"] * rng.uniform(0.0, 0.3)
        odd = rng.random()
        if odd < 0.05:
            row["amount"] = rng.choice([np.nan, -1.0, 0.0, 1e300])
        elif odd < 0.1:
            row["limit"] = rng.choice([np.nan, np.inf, 1e5])
        elif odd < 0.13:
            row["target"] = rng.integers(-5, 100)
    return rows


def play(world, auction, rng, blocks=40):
    """Blocks of random rows under a price that falls; yields the rows after each.

    They begin nine minutes before an hour is full, so that a bin of the debt queue is released.
    """
    world.step += 51
    for _ in range(blocks):
        world.step += 1
        world.oracle_price[:, 0] *= np.exp(rng.normal(-0.02, 0.06, world.n_worlds))
        world.market.accrue()
        yield world.execute(world.market, rows_of(rng, world, auction))
        world.market.settle()


@pytest.mark.parametrize("auction", ["flip", "clip"])
def test_no_sequence_creates_value(maker, auction):
    codes = Counter()

    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=40)
    def conserved(seed):
        world = build(maker, auction)
        for rows in play(world, auction, np.random.default_rng(seed)):
            world.check()
            codes.update((Verb(row["verb"]), Reject(row["code"])) for row in rows)

    conserved()
    for verb in {*VERBS, *OWN[auction]}:
        assert codes[verb, Reject.OK] >= 20, (verb, codes)


def test_locking_and_freeing_never_gains(maker):
    @given(st.floats(1e-9, 1e3), st.floats(1e-9, 3_000.0), st.floats(1.0, 3.0))
    @settings(max_examples=60)
    def no_gain(gems, tokens, rate):
        world = maker(dust=0.0)
        world.market.state.system["rate"] = rate
        world.market.state.urns["art"] /= rate
        world.market.state.system["total_art"] /= rate
        before = world.ledger.balances[0, 1].copy()
        for verb, asset, amount in (
            (Verb.SUPPLY, 0, gems), (Verb.BORROW, 1, tokens), (Verb.REPAY, 1, tokens),
            (Verb.WITHDRAW, 0, gems),
        ):  # fmt: skip
            world.act(world.market, verb, account=1, target=0, asset=asset, amount=amount)
        assert (world.ledger.balances[0, 1] <= before * (1.0 + 1e-12)).all()

    no_gain()


def digest():
    """Hash all that two markets are and say in a few blocks."""
    from tests.sim.lending.maker.conftest import Maker

    said = hashlib.blake2b(digest_size=16)
    for auction in ("flip", "clip"):
        for curve in ("linear", "stairstep"):
            world = Maker(
                INK, DEBT, 2, **{**TERMS, "auction": auction, "curve": curve, "cut": 0.98}
            )
            for rows in play(world, auction, np.random.default_rng(4), 12):
                said.update(rows.tobytes())
                for part in (*world.market.unsafe(), *world.market.auctions()):
                    said.update(np.ascontiguousarray(part).tobytes())
            said.update(world.market.snapshot().tobytes())
            said.update(world.ledger.balances.tobytes())
    return said.hexdigest()


def test_plain_python_agrees():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    script = f"import sys; sys.path.insert(0, {os.getcwd()!r}); " + (
        "from tests.sim.lending.maker.test_properties import digest; sys.stdout.write(digest())"
    )
    plain = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == digest()
