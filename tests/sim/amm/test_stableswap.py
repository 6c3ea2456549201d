import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.amm.invariant as arithmetic
import sim.amm.stableswap as module
from sim.actions import Reject, Verb
from sim.amm.stableswap import EXACT, IN_PROPORTION, ONE_COIN, StableSwapPool, virtual_price
from sim.errors import ConfigError

WETH, USDC, DAI = 0, 2, 3
ALICE, BOB = 2, 3


def bound(make_world, **terms):
    world = make_world()
    given_terms = {"coins": {"USDC": 0.7, "DAI": 0.3}, "depth_usd": 1e7, "offpeg_multiplier": 5.0}
    pool = StableSwapPool(**{**given_terms, **terms})
    pool.attach(world, "pool", 0, 0)
    for account in (ALICE, BOB):
        for asset in (USDC, DAI):
            world.ledger.endow(account, asset, 5e6)
    return world, pool


def conserved(world, pool):
    world.ledger.check()
    held = world.ledger.balances[:, pool.account]
    np.testing.assert_allclose(pool.claims(), held, rtol=1e-11, atol=1e-5)
    np.testing.assert_allclose(pool.state.shares.sum(axis=1), pool.state.supply, rtol=1e-12)


def test_a_balanced_pool_trades_one_to_one_less_the_fee(make_world, make_rows):
    world, pool = bound(make_world, coins={"USDC": 1, "DAI": 1}, offpeg_multiplier=1.0)
    done = world.run(pool, make_rows([{"asset": USDC, "asset_2": DAI, "amount": 100.0}]))[0]
    assert done["r1"] == pytest.approx(100.0 * (1.0 - 1e-4), rel=1e-7)
    conserved(world, pool)


def test_half_of_the_fee_is_the_protocols(make_world, make_rows):
    world, pool = bound(make_world, offpeg_multiplier=1.0)
    done = world.run(pool, make_rows([{"asset": USDC, "asset_2": DAI, "amount": 1e5}]))[0]
    assert pool.state.admin[0, 1] == pytest.approx(done["r1"] / 0.9999 * 1e-4 / 2, rel=1e-12)


def test_a_coin_in_and_out_again_costs_the_fee(make_world, make_rows):
    for mode in (ONE_COIN, EXACT):
        world, pool = bound(make_world, offpeg_multiplier=1.0)
        add = {"verb": Verb.ADD_LIQUIDITY, "asset": DAI, "amount": 1e5, "target": ONE_COIN}
        added = world.run(pool, make_rows([add]))[0]
        out = {"verb": Verb.REMOVE_LIQUIDITY, "asset": DAI, "amount": np.inf, "target": mode}
        if mode == EXACT:
            out["amount"] = 9.99e4
        taken = world.run(pool, make_rows([out]))[0]
        assert (added["code"], taken["code"]) == (Reject.OK, Reject.OK)
        assert 0.9995 * 1e5 < taken["r0"] * added["r1"] / taken["r1"] < 1e5
        conserved(world, pool)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verb": Verb.BORROW, "asset": USDC}, Reject.UNKNOWN_VERB),
        ({"asset": USDC, "asset_2": WETH}, Reject.BAD_ASSET),
        ({"asset": USDC, "asset_2": USDC}, Reject.BAD_ASSET),
        ({"asset": USDC, "asset_2": DAI, "amount": -1.0}, Reject.BAD_AMOUNT),
        ({"asset": USDC, "asset_2": DAI, "amount": 1e9}, Reject.INSUFFICIENT_BALANCE),
        ({"asset": USDC, "asset_2": DAI, "limit": np.nan}, Reject.LIMIT_NOT_MET),
        ({"verb": Verb.ADD_LIQUIDITY, "asset": WETH}, Reject.BAD_ASSET),
        ({"verb": Verb.ADD_LIQUIDITY, "asset": USDC, "target": 7}, Reject.BAD_TARGET),
        ({"verb": Verb.ADD_LIQUIDITY, "asset": USDC, "limit": 1e9}, Reject.LIMIT_NOT_MET),
        ({"verb": Verb.REMOVE_LIQUIDITY, "asset": USDC}, Reject.INSUFFICIENT_BALANCE),
        ({"verb": Verb.REMOVE_LIQUIDITY, "asset": USDC, "target": 2}, Reject.BAD_TARGET),
        (
            {"verb": Verb.REMOVE_LIQUIDITY, "asset": USDC, "target": EXACT, "amount": 1e8},
            Reject.INSUFFICIENT_LIQUIDITY,
        ),
    ],
)
def test_rejects_leave_everything_as_it_was(make_world, make_rows, fields, code):
    world, pool = bound(make_world)
    state, balances = pool.snapshot(), world.ledger.arena.snapshot()
    done = world.run(pool, make_rows([{"amount": 1.0, "target": IN_PROPORTION, **fields}]))
    assert done[0]["code"] == code
    np.testing.assert_array_equal(pool.snapshot(), state)
    np.testing.assert_array_equal(world.ledger.arena.snapshot(), balances)


verbs = st.sampled_from([Verb.SWAP, Verb.ADD_LIQUIDITY, Verb.REMOVE_LIQUIDITY])
actions = st.lists(
    st.tuples(
        verbs,
        st.sampled_from([USDC, DAI]),
        st.sampled_from([ALICE, BOB]),
        st.one_of(st.floats(1e-9, 5e6), st.sampled_from([np.inf, np.nan])),
        st.sampled_from([IN_PROPORTION, ONE_COIN, EXACT]),
    ),
    max_size=20,
)


@settings(max_examples=80)
@given(actions)
def test_no_sequence_makes_value_and_shares_never_lose(make_world, make_rows, sequence):
    world, pool = bound(make_world)
    fields = ("verb", "asset", "account", "amount", "target")
    worth = virtual_price(pool.state, 0)
    for action in sequence:
        row = dict(zip(fields, action, strict=True))
        row["asset_2"] = DAI if row["asset"] == USDC else USDC
        world.run(pool, make_rows([row]))
        conserved(world, pool)
        now = virtual_price(pool.state, 0)
        assert now >= worth * (1.0 - 1e-12), row
        worth = now
    assert (world.ledger.balances >= 0.0).all()


def test_kernels_run_as_plain_python(make_world, make_rows, plain):
    rows = make_rows(
        [
            {"asset": USDC, "asset_2": DAI, "amount": 1e5},
            *(
                {"verb": verb, "asset": DAI, "amount": 1e4, "target": target}
                for verb, target in (
                    (Verb.ADD_LIQUIDITY, IN_PROPORTION), (Verb.ADD_LIQUIDITY, ONE_COIN),
                    (Verb.REMOVE_LIQUIDITY, IN_PROPORTION), (Verb.REMOVE_LIQUIDITY, ONE_COIN),
                    (Verb.REMOVE_LIQUIDITY, EXACT),
                )
            ),
        ]
    )  # fmt: skip
    world, pool = bound(make_world)
    compiled = world.run(pool, rows.copy())
    mirror, mirror_pool = bound(make_world)
    with plain(arithmetic, module):
        slow = mirror.run(mirror_pool, rows.copy())
    assert not compiled["code"].any()
    for name in ("code", "r0", "r1"):
        np.testing.assert_allclose(slow[name], compiled[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"coins": {"USDC": 1.0}}, "coins must name 2 to 8 assets, got USDC"),
        ({"amplification": 0.0}, "amplification must lie"),
        ({"rates": {"WETH": 1.0}}, "rates names WETH"),
        ({"admin_fee": 2.0}, "admin_fee must lie"),
    ],
)
def test_bad_terms_are_named(make_world, terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        bound(make_world, **terms)
