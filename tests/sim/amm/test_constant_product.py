import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.amm.constant_product as module
from sim.actions import Reject, Verb
from sim.amm.constant_product import (
    ConstantProductPool,
    amount_in,
    amount_out,
    input_to_price,
    marginal_price,
    pool_quote,
    profit_maximising_input,
)
from sim.errors import ConfigError

WETH, WBTC, USDC = 0, 1, 2
ALICE, BOB = 2, 3
reserves = st.floats(1e-3, 1e9)
part = st.floats(1e-6, 1e2)
fees = st.floats(0.0, 0.05)


def bound(make_world, **terms):
    world = make_world()
    pool = ConstantProductPool(**{"asset_0": "WETH", "asset_1": "USDC", **terms})
    pool.attach(world, "pool", 0, 0)
    for asset, amount in ((WETH, 100.0), (USDC, 500_000.0)):
        world.ledger.endow(ALICE, asset, amount)
        world.ledger.endow(BOB, asset, amount)
    return world, pool


def conserved(world, pool):
    world.ledger.check()
    np.testing.assert_allclose(pool.claims(), world.ledger.balances[:, pool.account], rtol=1e-12)


def test_amounts_agree_with_the_contract(shared):
    vectors = json.loads((shared / "vectors" / "uniswap_v2.json").read_text())
    for case in vectors["stated_getInputPrice"] + vectors["computed"]:
        out = amount_out(
            float(case["amountIn"]), float(case["reserveIn"]), float(case["reserveOut"]), 0.003
        )
        # The contract rounds down to one unit; float64 holds 15 digits.
        assert out == pytest.approx(int(case["amountOut"]), rel=1e-12, abs=1.0 + 1e-9)
    for case in vectors["computed_in"]:
        paid = amount_in(
            float(case["amountOut"]), float(case["reserveIn"]), float(case["reserveOut"]), 0.003
        )
        assert paid == pytest.approx(int(case["amountIn"]), rel=1e-12, abs=1.0 + 1e-9)


def test_protocol_fee_agrees_with_the_contract(shared, make_world, make_rows):
    stated = json.loads((shared / "vectors" / "uniswap_v2.json").read_text())["stated_feeTo"]
    size = int(stated["reserves"]) / 1e18
    world, pool = bound(make_world, reserve_0=size, reserve_1=size, protocol_fee=True)
    swap = {"asset": WETH, "asset_2": USDC, "amount": int(stated["swapAmountIn"]) / 1e18}
    rows = world.run(pool, make_rows([swap]))
    assert rows[0]["r1"] == pytest.approx(int(stated["amountOut"]) / 1e18, rel=1e-15)
    add = {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "amount": 1e-9}
    world.run(pool, make_rows([add]))
    # sqrt(k) grew by 1e-6 of itself, so 1e-9 is what float64 leaves of the difference.
    minted = int(stated["feeLiquidityMinted"]) / 1e18
    assert pool.state.protocol_shares[0] == pytest.approx(minted, rel=1e-9)


@settings(deadline=None)  # the first example may compile
@given(reserves, reserves, part, fees)
def test_amount_in_inverts_amount_out(r_in, r_out, share, fee):
    out = amount_out(share * r_in, r_in, r_out, fee)
    assert amount_in(out, r_in, r_out, fee) == pytest.approx(share * r_in, rel=1e-9)
    assert amount_in(r_out, r_in, r_out, fee) == np.inf


@settings(deadline=None)  # the first example may compile
@given(reserves, reserves, fees, st.floats(1e-3, 0.999))
def test_input_to_price_lands_on_the_price(r_in, r_out, fee, fall):
    target = fall * marginal_price(r_in, r_out, fee)
    x = input_to_price(r_in, r_out, fee, target)
    after = marginal_price(r_in + x, r_out - amount_out(x, r_in, r_out, fee), fee)
    assert after == pytest.approx(target, rel=1e-9)
    assert input_to_price(r_in, r_out, fee, 1.01 * marginal_price(r_in, r_out, fee)) == 0.0


@pytest.mark.parametrize("cost", [0.2, 1.0, 1.9])
def test_profit_maximising_input_beats_a_grid(cost):
    best = profit_maximising_input(1_000.0, 2_000.0, 0.003, cost)
    xs = np.linspace(0.0, 4.0 * best, 400_001)
    profit = amount_out.py_func(xs, 1_000.0, 2_000.0, 0.003) - cost * xs
    # A grid of spacing h misses the maximum by at most h.
    assert xs[np.argmax(profit)] == pytest.approx(best, abs=xs[1])
    assert amount_out(best, 1_000.0, 2_000.0, 0.003) - cost * best >= profit.max() * (1.0 - 1e-14)
    assert profit_maximising_input(1_000.0, 2_000.0, 0.003, 1.995) == 0.0


def test_bind_fills_both_sides_at_the_initial_prices(make_world):
    world, pool = bound(make_world, depth_usd=1e6)
    np.testing.assert_array_equal(pool.state.reserves, np.tile([500.0, 1e6], (3, 1)))
    conserved(world, pool)


def test_swap_pays_what_the_formula_says_and_leaves_the_fee_in_the_pool(make_world, make_rows):
    world, pool = bound(make_world)
    quote = pool_quote(pool.state, 1, WETH, USDC, 2.0)
    k = pool.state.reserves[1].prod()
    before = world.ledger.balances[1, ALICE].copy()
    rows = world.run(pool, make_rows([{"world": 1, "asset": WETH, "asset_2": USDC, "amount": 2.0}]))
    assert rows[0]["code"] == Reject.OK
    assert (rows[0]["r0"], rows[0]["r1"]) == (2.0, quote)
    np.testing.assert_allclose(
        world.ledger.balances[1, ALICE] - before, [-2.0, 0.0, quote, 0.0], rtol=1e-9
    )
    assert pool.state.reserves[1].prod() > k
    assert pool.state.reserves[0].prod() == k
    conserved(world, pool)


def test_infinite_amount_swaps_the_whole_balance(make_world, make_rows):
    world, pool = bound(make_world)
    rows = world.run(pool, make_rows([{"asset": USDC, "asset_2": WETH, "amount": np.inf}] * 2))
    assert list(rows["code"]) == [Reject.OK, Reject.INSUFFICIENT_BALANCE]
    assert rows[0]["r0"] == 500_000.0
    assert world.ledger.balances[0, ALICE, USDC] == 0.0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verb": Verb.BORROW, "asset": WETH, "asset_2": USDC}, Reject.UNKNOWN_VERB),
        ({"asset": WETH, "asset_2": WBTC}, Reject.BAD_ASSET),
        ({"asset": WETH, "asset_2": WETH}, Reject.BAD_ASSET),
        ({"asset": -1, "asset_2": WETH}, Reject.BAD_ASSET),
        ({"asset": WETH, "asset_2": USDC, "amount": -1.0}, Reject.BAD_AMOUNT),
        ({"asset": WETH, "asset_2": USDC, "amount": np.nan}, Reject.BAD_AMOUNT),
        ({"asset": WETH, "asset_2": USDC, "amount": 1e6}, Reject.INSUFFICIENT_BALANCE),
        ({"asset": WETH, "asset_2": USDC, "limit": 1e5}, Reject.LIMIT_NOT_MET),
        ({"asset": WETH, "asset_2": USDC, "limit": np.nan}, Reject.LIMIT_NOT_MET),
        ({"verb": Verb.ADD_LIQUIDITY, "asset": WBTC}, Reject.BAD_ASSET),
        ({"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "amount": 0.0}, Reject.BAD_AMOUNT),
        ({"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "limit": 1e9}, Reject.LIMIT_NOT_MET),
        (
            {"verb": Verb.ADD_LIQUIDITY, "asset": USDC, "amount": 6e5},
            Reject.INSUFFICIENT_BALANCE,
        ),
        ({"verb": Verb.REMOVE_LIQUIDITY, "amount": 1.0}, Reject.INSUFFICIENT_BALANCE),
        ({"verb": Verb.REMOVE_LIQUIDITY, "amount": np.inf}, Reject.INSUFFICIENT_BALANCE),
        ({"verb": Verb.REMOVE_LIQUIDITY, "amount": np.nan}, Reject.BAD_AMOUNT),
    ],
)
def test_rejects_leave_everything_as_it_was(make_world, make_rows, fields, code):
    world, pool = bound(make_world, protocol_fee=True)
    world.run(pool, make_rows([{"asset": USDC, "asset_2": WETH, "amount": 1e5}]))
    state, balances = pool.snapshot(), world.ledger.arena.snapshot()
    rows = world.run(pool, make_rows([{"amount": 1.0, **fields}]))
    assert rows[0]["code"] == code
    np.testing.assert_array_equal(pool.snapshot(), state)
    np.testing.assert_array_equal(world.ledger.arena.snapshot(), balances)


def test_liquidity_earns_the_fees_of_its_share(make_world, make_rows):
    world, pool = bound(make_world, depth_usd=1e5)
    add = {"verb": Verb.ADD_LIQUIDITY, "asset": USDC, "amount": 1e5, "account": BOB}
    added = world.run(pool, make_rows([add]))[0]
    assert added["r0"] == pytest.approx(50.0)
    assert added["r2"] == pytest.approx(pool.state.supply[0] / 2)
    forth = {"asset": USDC, "asset_2": WETH, "amount": 2e5}
    out = world.run(pool, make_rows([forth]))[0]["r1"]
    world.run(pool, make_rows([{"asset": WETH, "asset_2": USDC, "amount": out}]))
    remove = {"verb": Verb.REMOVE_LIQUIDITY, "amount": np.inf, "account": BOB}
    removed = world.run(pool, make_rows([remove]))[0]
    assert removed["code"] == Reject.OK
    assert removed["r0"] * removed["r1"] > added["r0"] * added["r1"] * (1 + 1e-4)
    assert pool.state.shares[0, BOB] == 0.0
    conserved(world, pool)


actions = st.lists(
    st.tuples(
        st.sampled_from([Verb.SWAP, Verb.ADD_LIQUIDITY, Verb.REMOVE_LIQUIDITY]),
        st.sampled_from([WETH, USDC, WBTC]),
        st.sampled_from([ALICE, BOB]),
        st.one_of(st.floats(1e-9, 1e6), st.just(np.inf), st.just(np.nan)),
        st.integers(0, 2),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(actions)
def test_custody_equals_claims_after_any_actions(make_world, make_rows, sequence):
    world, pool = bound(make_world, protocol_fee=True)
    rows = make_rows(
        [
            {
                "world": w,
                "verb": verb,
                "asset": asset,
                "asset_2": USDC if asset == WETH else WETH,
                "account": account,
                "amount": amount,
            }
            for verb, asset, account, amount, w in sequence
        ]
    )
    world.run(pool, rows)
    assert not (rows["code"] == Reject.PENDING).any()
    conserved(world, pool)
    assert (world.ledger.balances >= 0.0).all()
    state = pool.state
    np.testing.assert_allclose(
        state.shares.sum(axis=1) + state.protocol_shares, state.supply, rtol=1e-9
    )


@settings(deadline=None)  # the first example may compile
@given(st.floats(1e-6, 0.9), st.booleans(), st.booleans())
def test_a_flash_swap_costs_what_a_swap_costs(make_world, make_rows, share, first, in_kind):
    """Paid in the other asset it is the swap that pays out as much; in kind it costs the fee."""
    world, pool = bound(make_world, reserve_0=100.0, reserve_1=2e5)
    world.ledger.endow(ALICE, USDC, 1e8)
    world.ledger.endow(ALICE, WETH, 1e5)
    out, into = (WETH, USDC) if first else (USDC, WETH)
    reserves = dict(zip((WETH, USDC), pool.state.reserves[0].copy(), strict=True))
    amount, before = share * reserves[out], world.ledger.balances[0, ALICE].copy()
    paid_in = out if in_kind else into
    world.run(
        pool,
        make_rows([
            {"verb": Verb.FLASH_BORROW, "asset": out, "amount": amount, "bundle": 1},
            {"verb": Verb.FLASH_REPAY, "asset": paid_in, "amount": np.inf, "bundle": 1},
        ]),
    )  # fmt: skip
    change = world.ledger.balances[0, ALICE] - before
    if in_kind:
        assert change[out] == pytest.approx(-amount * (1.0 / 0.997 - 1.0), abs=1e-7)
        assert change[into] == 0.0
    else:
        assert change[out] == pytest.approx(amount, abs=1e-7)
        x = -change[into]
        swapped = amount_out(x, reserves[into], reserves[out], 0.003)
        assert swapped == pytest.approx(amount, rel=1e-9, abs=1e-7)
    assert not pool.state.flash.any()
    assert pool.state.reserves[0].prod() >= 100.0 * 2e5 * (1.0 - 1e-12)
    conserved(world, pool)


def busy_rows(make_rows, n_worlds):
    rng = np.random.default_rng(3)
    return make_rows(
        [
            {
                "world": w,
                "asset": (WETH, USDC)[i % 2],
                "asset_2": (USDC, WETH)[i % 2],
                "amount": rng.random() * (1.0, 2_000.0)[i % 2],
            }
            for w in range(n_worlds)
            for i in range(6)
        ]
    )


def test_a_world_alone_equals_the_world_in_a_batch(make_world, make_rows):
    world, pool = bound(make_world)
    rows = world.run(pool, busy_rows(make_rows, 3))
    lone = make_world(n_worlds=1)
    lone_pool = ConstantProductPool(asset_0="WETH", asset_1="USDC")
    lone_pool.attach(lone, "pool", 0, 0)
    lone.ledger.endow(ALICE, WETH, 100.0)
    lone.ledger.endow(ALICE, USDC, 500_000.0)
    mine = busy_rows(make_rows, 3)
    mine = mine[mine["world"] == 2]
    mine["world"] = 0
    lone.run(lone_pool, mine)
    np.testing.assert_array_equal(mine["r1"], rows[rows["world"] == 2]["r1"])
    np.testing.assert_array_equal(lone_pool.state.reserves[0], pool.state.reserves[2])


def test_snapshot_and_reset_return(make_world, make_rows):
    world, pool = bound(make_world)
    start = pool.snapshot()
    world.run(pool, busy_rows(make_rows, 3))
    pool.reset(np.array([True, True, True]))
    np.testing.assert_array_equal(pool.snapshot(), start)


def test_kernels_run_as_plain_python(make_world, make_rows, plain):
    world, pool = bound(make_world, protocol_fee=True)
    mirror, mirror_pool = bound(make_world, protocol_fee=True)
    extra = [
        {"verb": Verb.FLASH_BORROW, "asset": USDC, "amount": 1e4, "bundle": 1},
        {"verb": Verb.SWAP, "asset": WETH, "asset_2": USDC, "amount": 1.0, "bundle": 1},
        {"verb": Verb.FLASH_REPAY, "asset": WETH, "amount": np.inf, "bundle": 1},
        {"verb": Verb.ADD_LIQUIDITY, "asset": WETH, "amount": 1.0},
        {"verb": Verb.REMOVE_LIQUIDITY, "amount": 10.0},
        {"verb": Verb.REPAY, "amount": 10.0},
    ]
    rows = np.concatenate([busy_rows(make_rows, 3), make_rows(extra)])
    compiled = world.run(pool, rows.copy())
    with plain(module):
        slow = mirror.run(mirror_pool, rows.copy())
    for name in ("code", "r0", "r1", "r2"):
        np.testing.assert_allclose(slow[name], compiled[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"asset_1": "WETH"}, "asset_0 and asset_1 must differ"),
        ({"fee_bps": -1.0}, r"fee_bps must lie in \[0, 9999\], got -1"),
        ({"fee_bps": np.nan}, "fee_bps must lie"),
        ({"depth_usd": 0.0}, "depth_usd must lie"),
        ({"reserve_0": 1.0}, "reserve_0 and reserve_1 must be given together"),
        ({"asset_0": "WET"}, "unknown asset WET; known: WETH"),
    ],
)
def test_bad_terms_are_named(make_world, terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        bound(make_world, **terms)
