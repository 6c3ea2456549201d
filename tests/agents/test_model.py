"""A model of the default study: invariance, copies, memory, and the golden digest."""

import gc
import hashlib
import json
import subprocess
import sys
import tracemalloc
import weakref
from pathlib import Path

import mesa
import numpy as np
import pytest

from agents.agent import MarketAgent
from sim.actions import Reject, Verb
from sim.errors import ConfigError, InvariantError
from sim.streams import stream_key, uniform

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def batch(make_model, small_crash, trace):
    """Worlds 10 to 16 run together: the model and each world's trace."""
    model = make_model(small_crash, 10, 17)
    model.run()
    yield model, [trace(model, w) for w in range(7)]
    model.close()


def differing(one, other):
    assert one.keys() == other.keys()
    return [key for key in one if one[key] != other[key]]


def test_the_run_has_events_of_every_kind(batch):
    """The promises below are worth something only where much happens."""
    rows = batch[0].world.events.rows()
    for verb in (Verb.SUPPLY, Verb.WITHDRAW, Verb.REPAY, Verb.LIQUIDATE, Verb.SWAP,
                 Verb.FLASH_BORROW, Verb.REPORT):  # fmt: skip
        assert (rows["code"][rows["verb"] == verb] == Reject.OK).sum() > 5, verb.name
    assert (rows["code"] != Reject.OK).sum() > 50
    assert (rows["code"] == Reject.CONFLICT).any()


# --- invariance -----------------------------------------------------------------------------------


@pytest.mark.parametrize("w", [0, 3, 6])
def test_a_world_alone_is_bit_identical(make_model, small_crash, trace, batch, w):
    model = make_model(small_crash, 10 + w, 11 + w)
    model.run()
    assert differing(trace(model), batch[1][w]) == []
    model.close()


def test_chunks_are_bit_identical(make_model, small_crash, trace, batch):
    found = []
    for first, stop in ((10, 12), (12, 15), (15, 17)):
        model = make_model(small_crash, first, stop)
        model.run()
        found += [trace(model, w) for w in range(stop - first)]
        model.close()
    for one, other in zip(found, batch[1], strict=True):
        assert differing(one, other) == []


PROCESS = """
import hashlib, json, sys
from experiments.build import build_model
from sim.events import EventLog
config, first, stop = json.load(sys.stdin)
model = build_model(config, 0, first, stop, EventLog())
model.run()
rows = model.world.events.rows()
for w in range(stop - first):
    digest = hashlib.sha256()
    for name in rows.dtype.names:
        if name != "world":
            digest.update(rows[name][rows["world"] == w].tobytes())
    digest.update(model.world.ledger.arena["balances"][w].tobytes())
    print(digest.hexdigest())
"""


@pytest.mark.slow
def test_one_and_four_processes_are_bit_identical(small_crash):
    def digests(slices):
        running = []
        for first, stop in slices:
            process = subprocess.Popen(
                [sys.executable, "-c", PROCESS],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            process.stdin.write(json.dumps([small_crash, first, stop]))
            process.stdin.close()
            running.append(process)
        found = []
        for process in running:
            found += process.stdout.read().split()
            process.stdout.close()
            assert process.wait() == 0
        return found

    assert digests([(0, 7)]) == digests([(0, 1), (1, 3), (3, 5), (5, 7)])


def test_a_further_agent_changes_nobody_elses_draws(make_model, small_crash, batch):
    """Its account shifts the numbers of the venues' accounts, and nothing else."""

    class Bystander(MarketAgent):
        def decide(self, view):
            uniform(stream_key(self.world.seed, self.name), 0, view.step, 0)
            return batch[0].world.events.rows()[:0]

    model = make_model(small_crash, 10, 17, extra={"bystander": Bystander()})
    model.run()
    rows, others = model.world.events.rows(), batch[0].world.events.rows()
    assert [name for name in rows.dtype.names if not np.array_equal(rows[name], others[name])] in (
        [],
        ["account"],
    )
    model.close()


def test_worlds_differ_and_the_seed_matters(make_model, small_crash, trace, batch):
    keys = ("event.amount", "world.1.bundles", "world.2.price")
    assert all(batch[1][0][key] != batch[1][1][key] for key in keys if key in batch[1][0])
    model = make_model(small_crash, 10, 11, seed=1)
    model.run()
    assert trace(model)["event.amount"] != batch[1][0]["event.amount"]
    model.close()


# --- copies ---------------------------------------------------------------------------------------


def test_a_snapshot_continues_bit_identically(make_model, small_crash, trace, batch):
    """In the same model, and in a fresh one (a fork needs no generator state)."""
    model = make_model(small_crash, 10, 17)
    for _ in range(90):
        model.step()
    kept = model.snapshot()
    early = model.world.events.rows().copy()
    model.run()
    model.restore(kept)
    assert model.world.step == model.steps == 90
    again = model.world.events.rows()
    assert all(np.array_equal(again[name], early[name]) for name in early.dtype.names)
    model.run()
    fork = make_model(small_crash, 10, 17)
    fork.restore(kept)
    fork.run()
    for w in range(7):
        assert differing(trace(model, w), batch[1][w]) == []
        found = trace(fork, w)
        assert [key for key in differing(found, batch[1][w]) if not key.startswith("event.")] == []
        assert batch[1][w]["event.amount"].endswith(found["event.amount"])
    model.close()
    fork.close()


def test_a_snapshot_of_an_open_block_continues_bit_identically(make_model, small_crash, trace):
    """Between `open_block` and the agents' move the inputs of the block are part of the state."""
    model = make_model(small_crash, 0, 2)
    for _ in range(30):
        model.step()
    model.world.open_block()
    kept = model.snapshot()
    model.act()
    expected = trace(model)
    for _ in range(20):
        model.step()
    model.restore(kept)
    model.act()
    assert differing(trace(model), expected) == []
    model.close()


def test_a_reset_replays_bit_identically(batch, trace):
    model, traces = batch
    model.reset()
    assert model.world.step == model.steps == 0
    assert model.world.events.rows().shape == (0,)
    model.run()
    for w in range(7):
        assert differing(trace(model, w), traces[w]) == []


def test_a_partial_reset_touches_the_masked_worlds_only(make_model, small_crash, trace):
    model = make_model(small_crash, 0, 3)
    start = [trace(model, w) for w in range(3)]
    for _ in range(60):
        model.step()
    later = [trace(model, w) for w in range(3)]
    model.reset(np.array([False, True, False]))
    assert model.world.step == 60
    for w in range(3):
        found = trace(model, w)
        expected = start[w] if w == 1 else later[w]
        assert [key for key in differing(found, expected) if not key.startswith("event.")] == []
    model.close()


# --- memory ---------------------------------------------------------------------------------------


def test_fifty_resets_leave_memory_flat(make_model, small_crash):
    """Numba's and Python's own pools fill for some hundred blocks; after that nothing may grow."""
    model = make_model(small_crash, 0, 4)
    tracemalloc.start()
    try:
        used = []
        for _ in range(3):
            for _ in range(50):
                model.reset()
                for _ in range(12):
                    model.step()
            gc.collect()
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # 600 blocks: a single float kept per block would be 14 kB, a block's rows far more.
    assert used[2] - used[1] < 12_000
    model.close()


def test_discarded_models_are_collected(make_model, small_crash):
    """Mesa alone would keep all of them through the class attribute `Agent._ids`."""
    before = len(mesa.Agent._ids)
    seen = []
    for k in range(20):
        model = make_model(small_crash, k, k + 1)
        model.step()
        seen.append((weakref.ref(model), weakref.ref(model.world)))
        model.close()
        model.close()  # twice is once
        del model
    gc.collect()
    assert [ref() for refs in seen for ref in refs] == [None] * 40
    assert len(mesa.Agent._ids) == before


def test_a_model_that_cannot_be_built_is_collected_too(make_model, small_crash, scripted):
    before = len(mesa.Agent._ids)
    with pytest.raises(ConfigError, match=r"unknown asset 'GOLD'; known: WETH, WBTC, USDC, DAI"):
        make_model(small_crash, extra={"digger": scripted(holdings={"GOLD": 1.0})})
    assert len(mesa.Agent._ids) == before


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["proposer", "weth_usdc", "lending", "oracle"])
def test_two_parts_of_one_name_are_a_sentence(make_model, small_crash, scripted, name):
    with pytest.raises(ConfigError, match=f"two parts want the account '{name}'; rename one"):
        make_model(small_crash, extra={name: scripted()})


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
def test_a_holding_must_be_an_amount(make_model, small_crash, scripted, amount):
    with pytest.raises(ConfigError, match=r"rich: holding of WETH must be finite and not negative"):
        make_model(small_crash, extra={"rich": scripted(holdings={"WETH": amount})})


def test_a_run_beyond_the_horizon_is_a_sentence(batch):
    model = batch[0]
    model.run()
    with pytest.raises(ConfigError, match=r"the run is over after 200 blocks; raise n_blocks"):
        model.step()


def test_agents_cannot_write_what_they_see(make_model, small_crash, scripted):
    def scribble(agent, view):
        with pytest.raises(ValueError, match="read-only"):
            view.balances[0, agent.account, 0] = 1e9
        with pytest.raises(ValueError, match="read-only"):
            view.market_price *= 2.0

    model = make_model(small_crash, extra={"cheat": scripted(scribble)})
    model.step()
    model.close()


# --- invariants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("asset", ["WETH", "USDC"])
def test_a_theft_of_a_millionth_is_caught(make_model, small_crash, asset):
    model = make_model(small_crash, 5, 7)
    world = model.world
    lending, index = world.venues["lending"], world.asset_index(asset)
    world.check()
    loot = 1e-6 * lending.supplied()[1, index]
    world.ledger.balances[1, lending.account, index] -= loot
    world.ledger.balances[1, world.proposer, index] += loot
    with pytest.raises(InvariantError, match=f"lending: custody of {asset} in world 6 at step 0"):
        world.check()
    model.close()


def test_a_theft_from_a_pool_is_caught(make_model, small_crash):
    model = make_model(small_crash)
    world = model.world
    pool = world.venues["weth_usdc"]
    world.ledger.balances[0, pool.account, 0] *= 1.0 - 1e-6
    world.ledger.burnt[0, 0] += 1e-6 * pool.claims()[0, 0]
    with pytest.raises(InvariantError, match="weth_usdc: custody of WETH in world 0"):
        world.check()
    model.close()


def test_an_empty_reserve_is_no_alarm(make_model, small_crash):
    """All cash lent out: custody is 0 and claims are the rounding of supply less debt."""
    model = make_model(small_crash)
    world, lending = model.world, model.world.venues["lending"]
    a = world.asset_index("USDC")
    scale = 1e7  # a reserve of 1e14 dollars: its rounding is far above 1e-9 of a token
    reserves, balances = lending.state.reserves, world.ledger.balances
    for name in ("total_collateral", "total_debt"):
        reserves[name][0, a] *= scale * (1.0 + 1e-16)
    cash = balances[0, lending.account, a]
    reserves["total_debt"][0, a] += cash * scale / reserves["borrow_index"][0, a]
    balances[0, lending.account, a] = 0.0
    world.ledger.burnt[0, a] += cash
    for _ in range(3):
        lending.accrue()
    claims = lending.claims()[0, a]
    assert abs(claims) > 1e-9
    world.check()
    model.close()


@pytest.mark.parametrize("name", ["liquidator_large", "arbitrageur_large", "liquidator_flash"])
def test_who_is_slower_than_a_block_acts_in_a_later_one(make_model, small_crash, name):
    """A minute of latency and one-minute blocks: rows wait one block and are not lost."""
    config = {**small_crash, "cast": {key: dict(part) for key, part in small_crash["cast"].items()}}
    for key in list(config["cast"]):
        if key.startswith(name.split("_")[0]) and key != name:
            del config["cast"][key]
    config["cast"][name]["latency_seconds"] = 60.0
    model = make_model(config, 0, 2)
    model.run()
    rows = model.world.events.rows()
    on_chain = model.world.on_chain[rows["venue"]]
    mine = rows[on_chain & (rows["account"] == model.members[name].account)]
    assert (mine["code"] == Reject.OK).sum() > 5
    model.close()


# --- golden ---------------------------------------------------------------------------------------

GOLDEN = "059ae93b6717999bfdb3554f"


def digest(model):
    """Digest of the event log; floats to 9 significant digits, as CPUs differ in the last."""
    rows = model.world.events.rows()
    found = hashlib.sha256()
    for name in rows.dtype.names:
        if name == "option":  # of orders on a book; younger than the digest, and 0 in this study
            assert not rows[name].any()
            continue
        column = rows[name]
        if column.dtype.kind == "f":
            text = "\n".join(f"{value:.8e}" for value in column + 0.0)  # -0 is 0
            found.update(text.encode())
        else:
            found.update(column.astype("<i8").tobytes())
    return found.hexdigest()[:24]


def test_the_golden_digest(make_model, small_crash):
    """Seed 0, worlds 0 to 2, 300 positions, 200 blocks with a crash.

    It changes with every change of behaviour, wanted or not. It may be replaced only in a commit
    that says in its body what behaves differently, and why.
    """
    model = make_model(small_crash, 0, 3)
    model.run()
    assert digest(model) == GOLDEN
    model.close()
