import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.amm.concentrated as venue_module
import sim.amm.ranges as module
from sim.actions import Reject, Verb
from sim.amm.concentrated import ConcentratedPool, pool_quote, range_target
from sim.amm.ranges import current_tick
from sim.errors import ConfigError

WETH, WBTC, USDC = 0, 1, 2
ALICE, BOB = 2, 3
RANGES = {"full": {"depth_usd": 1e7}, "narrow": {"lower": 0.9, "upper": 1.1, "depth_usd": 1e7}}
NEAR, UNDER, OVER = range_target(-20, 30), range_target(-60, -20), range_target(20, 80)


def bound(make_world, **terms):
    world = make_world()
    given_terms = {"asset_0": "WETH", "asset_1": "USDC", "decimals_1": 6, "ranges": RANGES}
    pool = ConcentratedPool(**{**given_terms, **terms})
    pool.attach(world, "pool", 0, 0)
    for account in (ALICE, BOB):
        world.ledger.endow(account, WETH, 5_000.0)
        world.ledger.endow(account, USDC, 1e7)
    return world, pool


def active(pool, w):
    """Liquidity of all positions whose range holds the current tick."""
    state, tick = pool.state, current_tick(pool.state, w)
    inside = (state.lower[w] <= tick) & (tick < state.upper[w])
    return state.held[w][inside].sum()


def conserved(world, pool):
    world.ledger.check()
    held = world.ledger.balances[:, pool.account]
    scale = np.maximum(held, world.ledger.minted * 1e-3)
    assert (np.abs(pool.claims() - held) <= 1e-11 * scale).all()
    for w in range(world.n_worlds):
        assert pool.state.liquidity[w] == pytest.approx(active(pool, w), rel=1e-9, abs=1e-6)


def test_a_swap_pays_its_quote_and_the_fee_stays(make_world, make_rows):
    world, pool = bound(make_world)
    quote = pool_quote(pool.state, 1, WETH, USDC, 2.0)
    row = {"world": 1, "asset": WETH, "asset_2": USDC, "amount": 2.0}
    done = world.run(pool, make_rows([row]))[0]
    assert (done["code"], done["r0"], done["r1"]) == (Reject.OK, 2.0, quote)
    assert quote == pytest.approx(2.0 * 2_000.0 * 0.997, rel=1e-3)
    back = {"world": 1, "asset": USDC, "asset_2": WETH, "amount": quote}
    assert world.run(pool, make_rows([back]))[0]["r1"] < 2.0 * 0.997
    conserved(world, pool)


def test_fees_go_to_the_ranges_that_earned_them(make_world, make_rows):
    world, pool = bound(make_world)
    rows = [
        {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "amount": 10.0, "target": NEAR},
        {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "amount": 10.0, "target": OVER, "account": BOB},
        {"asset": WETH, "asset_2": USDC, "amount": 50.0},
        {"verb": Verb.REMOVE_LIQUIDITY, "amount": np.inf, "target": OVER, "account": BOB},
        {"verb": Verb.REMOVE_LIQUIDITY, "amount": 1e-9, "target": NEAR},
    ]
    done = world.run(pool, make_rows(rows))
    assert not done["code"].any()
    assert done[3]["r0"] == pytest.approx(10.0, rel=1e-12)  # never in range: no fee
    share = done[0]["r2"] / active(pool, 0)
    assert done[4]["r0"] == pytest.approx(50.0 * 0.003 * share, rel=1e-6)
    conserved(world, pool)


def test_a_range_takes_the_asset_on_its_side_alone(make_world, make_rows):
    world, pool = bound(make_world)
    rows = [
        {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "amount": 1.0, "target": UNDER},
        {"verb": Verb.ADD_LIQUIDITY, "asset": USDC, "amount": 1e3, "target": UNDER},
    ]
    done = world.run(pool, make_rows(rows))
    assert list(done["code"]) == [Reject.BAD_ASSET, Reject.OK]
    assert (done[1]["r0"], done[1]["r1"]) == (0.0, 1e3)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verb": Verb.BORROW, "asset": WETH}, Reject.UNKNOWN_VERB),
        ({"asset": WETH, "asset_2": WBTC}, Reject.BAD_ASSET),
        ({"asset": WETH, "asset_2": USDC, "amount": np.nan}, Reject.BAD_AMOUNT),
        ({"asset": WETH, "asset_2": USDC, "amount": 0.0}, Reject.BAD_AMOUNT),
        ({"asset": WETH, "asset_2": USDC, "amount": 1e9}, Reject.INSUFFICIENT_BALANCE),
        ({"asset": WETH, "asset_2": USDC, "limit": 1e9}, Reject.LIMIT_NOT_MET),
        ({"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "target": -2}, Reject.BAD_TARGET),
        (
            {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "target": range_target(3, 3)},
            Reject.BAD_TARGET,
        ),
        ({"verb": Verb.ADD_LIQUIDITY, "asset": WBTC, "target": -1}, Reject.BAD_ASSET),
        (
            {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "target": -1, "limit": np.nan},
            Reject.LIMIT_NOT_MET,
        ),
        ({"verb": Verb.REMOVE_LIQUIDITY, "target": -1}, Reject.INSUFFICIENT_BALANCE),
        ({"verb": Verb.REMOVE_LIQUIDITY, "target": 2**31 - 1}, Reject.BAD_TARGET),
    ],
)
def test_rejects_leave_everything_as_it_was(make_world, make_rows, fields, code):
    world, pool = bound(make_world)
    world.run(pool, make_rows([{"asset": USDC, "asset_2": WETH, "amount": 1e5}]))
    state, balances = pool.snapshot(), world.ledger.arena.snapshot()
    done = world.run(pool, make_rows([{"amount": 1.0, **fields}]))
    assert done[0]["code"] == code
    np.testing.assert_array_equal(pool.snapshot(), state)
    np.testing.assert_array_equal(world.ledger.arena.snapshot(), balances)


verbs = st.sampled_from([Verb.SWAP, Verb.SWAP, Verb.ADD_LIQUIDITY, Verb.REMOVE_LIQUIDITY])
amounts = st.one_of(st.floats(1e-9, 5e6), st.sampled_from([np.inf, np.nan]))
actions = st.lists(
    st.tuples(
        verbs,
        st.sampled_from([WETH, USDC]),
        st.sampled_from([ALICE, BOB]),
        amounts,
        st.sampled_from([-1, NEAR, UNDER, OVER, range_target(-20, 20)]),
    ),
    max_size=25,
)


@settings(max_examples=80)
@given(actions)
def test_no_sequence_makes_value(make_world, make_rows, sequence):
    world, pool = bound(make_world, max_ticks=10)
    fields = ("verb", "asset", "account", "amount", "target")
    rows = [dict(zip(fields, action, strict=True)) for action in sequence]
    for row in rows:
        row["asset_2"] = USDC if row["asset"] == WETH else WETH
    for row in rows:
        world.run(pool, make_rows([row]))
        conserved(world, pool)
    assert (world.ledger.balances >= 0.0).all()


@settings(max_examples=40)
@given(st.floats(1e-6, 3_000.0), st.sampled_from([-1, NEAR, range_target(-20, 20)]))
def test_liquidity_in_and_out_gains_nothing(make_world, make_rows, amount, target):
    world, pool = bound(make_world)
    before = world.ledger.balances[0, ALICE].copy()
    add = {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "amount": amount, "target": target}
    remove = {"verb": Verb.REMOVE_LIQUIDITY, "amount": np.inf, "target": target}
    done = world.run(pool, make_rows([add, remove]))
    assert not done["code"].any()
    assert (world.ledger.balances[0, ALICE] <= before * (1.0 + 1e-12)).all()


def test_kernels_run_as_plain_python(make_world, make_rows, plain):
    rows = make_rows(
        [
            {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "amount": 10.0, "target": NEAR},
            {"asset": WETH, "asset_2": USDC, "amount": 900.0},
            {"asset": USDC, "asset_2": WETH, "amount": 4e6},
            {"verb": Verb.REMOVE_LIQUIDITY, "amount": np.inf, "target": NEAR},
        ]
    )
    world, pool = bound(make_world)
    compiled = world.run(pool, rows.copy())
    mirror, mirror_pool = bound(make_world)
    with plain(module, venue_module):
        slow = mirror.run(mirror_pool, rows.copy())
    for name in ("code", "r0", "r1", "r2"):
        np.testing.assert_allclose(slow[name], compiled[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"asset_1": "WETH"}, "asset_0 and asset_1 must differ"),
        ({"fee_bps": -1.0}, "fee_bps must lie"),
        ({"ranges": {}}, "ranges must name at least one"),
        ({"ranges": {"a": {"lower": 2.0, "upper": 1.0, "depth_usd": 1.0}}}, "lower must be under"),
        ({"ranges": {"a": {"depth": 1.0}}}, "ranges.a must have depth_usd"),
        ({"asset_0": "WET"}, "unknown asset WET"),
    ],
)
def test_bad_terms_are_named(make_world, terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        bound(make_world, **terms)
