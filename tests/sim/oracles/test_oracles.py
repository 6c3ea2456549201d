import numpy as np
import pytest

import sim.oracles.delayed as delayed_module
import sim.oracles.oracle as oracle_module
import sim.oracles.pushed as pushed_module
import sim.oracles.spot as spot_module
from sim.actions import Reject, Verb
from sim.errors import ConfigError, InputError
from sim.oracles.delayed import DelayedOracle
from sim.oracles.pushed import PushedOracle
from sim.oracles.recorded import RecordedOracle
from sim.oracles.spot import SpotOracle

WETH, WBTC, USDC = 0, 1, 2
ORACLE = 1


def bound(make_world, oracle, world=None, **terms):
    world = world or make_world(**terms)
    oracle.attach(world, "oracle", 5, ORACLE)
    return world, oracle


def step(world, oracle, to, include=True):
    """Move to a step, update, and include the reports if wanted; return them."""
    world.step = to
    oracle.update()
    rows = oracle.reports()
    if include and len(rows):
        world.run(oracle, rows)
    return rows


def test_spot_follows_the_market_unless_halted(make_world):
    world, oracle = bound(make_world, SpotOracle())
    assert oracle.price is world.oracle_price
    world.market_price[:, WETH] = 1_500.0
    world.inputs["oracle_halted"][1, WETH] = 1.0
    step(world, oracle, 1)
    np.testing.assert_array_equal(world.oracle_price[:, WETH], [1_500.0, 2_000.0, 1_500.0])


@pytest.mark.parametrize(("lag", "blocks"), [(0.0, 0), (12.0, 1), (13.0, 2), (36.0, 3)])
def test_lag_reports_the_price_of_that_many_blocks_ago(make_world, lag, blocks):
    world, oracle = bound(make_world, SpotOracle(max_lag_seconds=36.0))
    world.inputs["oracle_lag"][0, WETH] = lag
    for s in range(9):
        world.market_price[:, WETH] = 1_000.0 + s
        step(world, oracle, s)
        assert world.oracle_price[0, WETH] == 1_000.0 + max(0, s - blocks)
        assert world.oracle_price[1, WETH] == 1_000.0 + s


def test_a_lag_beyond_the_memory_is_an_error(make_world):
    world, oracle = bound(make_world, SpotOracle(max_lag_seconds=24.0))
    world.inputs["oracle_lag"][2, WBTC] = 60.0
    with pytest.raises(
        ConfigError, match=r"max_lag_seconds must cover .* got 24 for a lag of 60 s"
    ):
        step(world, oracle, 1)


def test_the_modules_price_is_one_to_two_hours_old(make_world):
    world, oracle = bound(make_world, DelayedOracle(), block_seconds=60.0)
    world.start += 1_800.0  # half past: the first poke comes after half an hour
    oracle.bind(world)
    seen = {}
    for s in range(300):
        world.market_price[:, WETH] = 1_000.0 + s
        step(world, oracle, s)
        seen[s] = world.oracle_price[0, WETH]
        if s >= 150:
            age = s - (seen[s] - 1_000.0)
            assert 60 <= age < 120
    assert seen[89] == 2_000.0  # the first poke moved the initial price on to itself
    assert seen[90] == 1_030.0
    assert seen[149] == 1_030.0
    assert oracle.upcoming[0, WETH] == 1_270.0


def test_a_halted_module_catches_up_with_one_poke(make_world):
    world, oracle = bound(make_world, DelayedOracle(), block_seconds=60.0)
    for s in range(200):
        world.market_price[:, WETH] = 1_000.0 + s
        world.inputs["oracle_halted"][0, WETH] = float(50 <= s < 130)
        step(world, oracle, s)
        if s == 130:
            assert oracle.upcoming[0, WETH] == 1_130.0
            assert world.oracle_price[0, WETH] == 2_000.0
    assert world.oracle_price[0, WETH] == 1_130.0
    assert oracle.upcoming[0, WETH] == 1_180.0
    assert world.oracle_price[1, WETH] == 1_120.0


def test_nothing_to_report_is_nothing(make_world):
    world, oracle = bound(make_world, PushedOracle())
    for s in range(1, 1_000):  # beyond several heartbeats
        assert len(step(world, oracle, s)) == 0


def test_a_deviation_is_reported_after_the_latency_and_taken_into_use(make_world):
    world, oracle = bound(make_world, PushedOracle(latency_seconds=30.0))
    world.market_price[1, WETH] = 2_009.0
    assert len(step(world, oracle, 1)) == 0  # 45 bps: under the threshold
    world.market_price[1, WETH] = 2_010.0
    assert len(step(world, oracle, 2)) == 0
    world.market_price[1, WETH] = 2_100.0
    assert len(step(world, oracle, 3)) == 0
    rows = step(world, oracle, 4)
    assert len(rows) == 1
    row = rows[0]
    fields = ("world", "venue", "verb", "account", "target", "asset", "amount", "limit", "arrival")
    assert [row[name] for name in fields] == [
        1,
        5,
        Verb.REPORT,
        ORACLE,
        -1,
        WETH,
        2_010.0,
        2.0,
        6.0,
    ]
    assert (row["tip"], row["fee_cap"], row["gas"]) == (2.0, 300.0, 200_000.0)
    assert (row["code"], row["r0"], row["r1"]) == (Reject.OK, 2_000.0, 2.0)
    assert world.oracle_price[1, WETH] == 2_010.0
    assert world.oracle_price[0, WETH] == 2_000.0


def test_a_heartbeat_reports_a_small_move(make_world):
    world, oracle = bound(make_world, PushedOracle(latency_seconds=0.0))
    world.market_price[:, USDC] = 1.0001
    world.market_price[:, WETH] = 2_001.0
    sent = [(s, row["asset"]) for s in range(1, 7_300) for row in step(world, oracle, s)]
    assert [s for s, asset in sent if asset == WETH] == [300] * 3
    assert [s for s, asset in sent if asset == USDC] == [7_200] * 3


def test_one_report_in_flight_is_replaced_at_a_higher_bid(make_world):
    terms = {"latency_seconds": 0.0, "rebid_seconds": 36.0, "rebid_factor": 2.0}
    world, oracle = bound(make_world, PushedOracle(**terms, max_fee_cap_gwei=700.0))
    sent = []
    for s in range(1, 11):
        world.market_price[0, WETH] = 1_900.0 - s
        sent += [row.copy() for row in step(world, oracle, s, include=False)]
    assert [row["limit"] for row in sent] == [1.0, 4.0, 7.0, 10.0]
    assert [row["amount"] for row in sent] == [1_899.0, 1_896.0, 1_893.0, 1_890.0]
    assert [row["expires"] for row in sent] == [3, 6, 9, 12]
    assert [row["tip"] for row in sent] == [2.0, 4.0, 8.0, 16.0]
    assert [row["fee_cap"] for row in sent] == [300.0, 600.0, 700.0, 700.0]
    # The newest gets in first; the older ones, were they to come, change nothing.
    late = world.run(oracle, np.array([sent[3], sent[0], sent[3]]))
    assert list(late["code"]) == [Reject.OK, Reject.LIMIT_NOT_MET, Reject.LIMIT_NOT_MET]
    assert world.oracle_price[0, WETH] == 1_890.0
    world.market_price[0, WETH] = 1_800.0
    assert step(world, oracle, 11)[0]["tip"] == 2.0


def test_a_halted_feed_sends_nothing_but_what_flies_arrives(make_world):
    world, oracle = bound(make_world, PushedOracle(latency_seconds=0.0))
    world.market_price[:, WETH] = 1_500.0
    flying = step(world, oracle, 1, include=False)
    world.inputs["oracle_halted"][:] = 1.0
    world.market_price[:, WBTC] = 30_000.0
    for s in range(2, 100):
        assert len(step(world, oracle, s)) == 0
    world.run(oracle, flying)
    assert (world.oracle_price[:, WETH] == 1_500.0).all()
    world.inputs["oracle_halted"][:] = 0.0
    assert list(step(world, oracle, 100)["asset"]) == [WBTC] * 3


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verb": Verb.SWAP}, Reject.UNKNOWN_VERB),
        ({"account": 2}, Reject.NOT_OWNER),
        ({"asset": 9}, Reject.BAD_ASSET),
        ({"amount": np.nan}, Reject.BAD_AMOUNT),
        ({"amount": np.inf}, Reject.BAD_AMOUNT),
        ({"limit": -1.0}, Reject.LIMIT_NOT_MET),
    ],
)
def test_rejects_leave_everything_as_it_was(make_world, make_rows, fields, code):
    world, oracle = bound(make_world, PushedOracle())
    state, prices = oracle.arena.snapshot(), world.oracle_price.copy()
    good = {"verb": Verb.REPORT, "account": ORACLE, "asset": WETH, "amount": 1.0, "limit": 3.0}
    rows = world.run(oracle, make_rows([{**good, **fields}]))
    assert rows[0]["code"] == code
    np.testing.assert_array_equal(oracle.arena.snapshot(), state)
    np.testing.assert_array_equal(world.oracle_price, prices)


def test_oracles_without_transactions_refuse_rows(make_world, make_rows):
    world, oracle = bound(make_world, SpotOracle())
    assert world.run(oracle, make_rows([{"verb": Verb.REPORT}]))[0]["code"] == Reject.UNKNOWN_VERB


def test_the_operators_gas_money_is_conserved(make_world):
    world, oracle = bound(make_world, PushedOracle(gas_budget=12.0))
    assert (world.ledger.balances[:, ORACLE, WETH] == 12.0).all()
    np.testing.assert_array_equal(oracle.claims(), world.ledger.balances[:, ORACLE])
    world.ledger.check()


def walk(world, oracle, steps, start=0, n_worlds=3, ids=(0, 1, 2)):
    """Drive an oracle along a seeded market; include reports of even steps only."""
    log = []
    for s in range(start, start + steps):
        rng = np.random.default_rng(s)
        world.market_price[:] *= np.exp(0.004 * rng.standard_normal((n_worlds, 4)))[list(ids)]
        rows = step(world, oracle, s, include=s % 2 == 0)
        log.append(world.oracle_price.copy())
        log.append(rows["amount"].copy())
    return log


@pytest.mark.parametrize("make", [SpotOracle, DelayedOracle, PushedOracle])
def test_snapshot_continues_as_if_uninterrupted(make_world, make):
    world, oracle = bound(make_world, make())
    world.inputs["oracle_lag"][:] = 36.0
    walk(world, oracle, 330)
    kept = oracle.snapshot(), world.market_price.copy(), world.oracle_price.copy()
    first = walk(world, oracle, 330, start=330)
    oracle.restore(kept[0])
    world.market_price[:], world.oracle_price[:] = kept[1], kept[2]
    again = walk(world, oracle, 330, start=330)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("make", [SpotOracle, DelayedOracle, PushedOracle])
def test_reset_starts_over(make_world, make):
    world, oracle = bound(make_world, make())
    world.inputs["oracle_lag"][:] = 36.0
    first = walk(world, oracle, 310)
    oracle.reset(np.ones(3, np.bool_))
    world.market_price[:], world.oracle_price[:] = world.fundamental, world.fundamental
    again = walk(world, oracle, 310)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("make", [SpotOracle, DelayedOracle, PushedOracle])
def test_a_world_alone_equals_the_world_in_a_batch(make_world, make):
    world, oracle = bound(make_world, make())
    walk(world, oracle, 400)
    lone, lone_oracle = bound(make_world, make(), n_worlds=1)
    for s in range(400):
        rng = np.random.default_rng(s)
        lone.market_price[:] *= np.exp(0.004 * rng.standard_normal((3, 4)))[2:]
        step(lone, lone_oracle, s, include=s % 2 == 0)
    np.testing.assert_array_equal(lone.oracle_price[0], world.oracle_price[2])


@pytest.mark.parametrize("make", [SpotOracle, DelayedOracle, PushedOracle])
def test_kernels_run_as_plain_python(make_world, plain, make):
    world, oracle = bound(make_world, make())
    world.inputs["oracle_lag"][0] = 20.0
    compiled = walk(world, oracle, 310)
    with plain(oracle_module, spot_module, delayed_module, pushed_module):
        mirror, slow = bound(make_world, make())
        mirror.inputs["oracle_lag"][0] = 20.0
        log = walk(mirror, slow, 310)
    assert all(np.array_equal(a, b) for a, b in zip(log, compiled, strict=True))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: PushedOracle(deviation_bps=0.0), "deviation_bps must lie in"),
        (lambda: PushedOracle(fee_cap_gwei=2e3), "max_fee_cap_gwei must be at least fee_cap_gwei"),
        (lambda: PushedOracle(rebid_factor=0.9), "rebid_factor must lie in"),
        (lambda: DelayedOracle(period_seconds=0.0), "period_seconds must lie in"),
        (lambda: SpotOracle(max_lag_seconds=-1.0), "max_lag_seconds must lie in"),
    ],
)
def test_bad_terms_are_named(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_every_asset_needs_a_deviation(make_world):
    with pytest.raises(ConfigError, match=r"oracle.deviation_bps must name every asset, but lacks"):
        bound(make_world, PushedOracle(deviation_bps={"WETH": 50.0}))


def test_a_record_is_in_use_from_its_moment_on(make_world):
    start = 1_583_971_200.0
    times, prices = start + np.array([-600.0, 60.0, 150.0]), np.array([190.0, 180.0, 170.0])
    oracle = RecordedOracle(records={"WETH": (times, prices)})
    world, oracle = bound(make_world, oracle, block_seconds=60.0)
    seen = []
    for s in range(4):
        world.market_price[:, USDC] = 1.0 + s
        step(world, oracle, s)
        seen.append(world.oracle_price[0, WETH])
        assert world.oracle_price[1, USDC] == 1.0 + s  # no record: the market
    assert seen == [190.0, 180.0, 180.0, 170.0]


def test_a_record_that_begins_after_the_run_is_refused(make_world):
    late = np.array([1_583_971_260.0])
    with pytest.raises(ConfigError, match="begin before the run, got 60 s after its start"):
        bound(make_world, RecordedOracle(records={"WETH": (late, np.array([190.0]))}))


@pytest.mark.parametrize(
    ("times", "prices", "words"),
    [
        ([1.0, 0.0], [1.0, 1.0], "must ascend"),
        ([0.0], [0.0], "all positive"),
        ([0.0], [1.0, 2.0], "as many times as prices"),
    ],
)
def test_a_broken_record_is_refused(times, prices, words):
    with pytest.raises(InputError, match=words):
        RecordedOracle(records={"WETH": (np.array(times), np.array(prices))})
