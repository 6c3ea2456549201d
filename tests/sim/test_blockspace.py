"""Base fee, admission, waiting and charges of a chain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import lognorm, norm

import sim.blockspace as blockspace_module
from sim.actions import NO_ROWS, Reject, new_rows
from sim.background import BackgroundDemand
from sim.blockspace import BlockSpace, BlockSpaceParams, inverse_normal, share_above
from sim.errors import ConfigError

ALICE, BOB, PROPOSER = 2, 3, 1
EVERYBODY = 50.0  # log median of a crowd that outbids any base fee of these tests


class Crowd(BackgroundDemand):
    """A crowd that a test sets by hand."""

    def __init__(self, gas=0.0, log_median=EVERYBODY, log_sigma=1.0):
        self.terms = gas, log_median, log_sigma

    def advance(self, step):
        self.crowd[:] = self.terms


@pytest.fixture
def chain(make_world):
    """Factory of a world with a chain; accounts hold a million of the gas asset."""

    def build(crowd=None, *, n_worlds=1, block_seconds=12.0, money=1e6, **terms):
        world = make_world(n_worlds=n_worlds, block_seconds=block_seconds)
        world.proposer = PROPOSER
        for account in (ALICE, BOB):
            world.ledger.endow(account, 0, money)
        space = BlockSpace(BlockSpaceParams(**terms), crowd or Crowd())
        space.bind(world)
        space.advance(0)
        return world, space

    return build


def wanted(*rows, account=ALICE, expires=0):
    table = new_rows(len(rows))
    table["account"], table["gas"], table["expires"] = account, 100_000.0, expires
    table["target"] = np.arange(len(rows))
    for row, fields in zip(table, rows, strict=True):
        for name, value in fields.items():
            row[name] = value
    return table


def play(world, space, rows=NO_ROWS, code=Reject.OK):
    """One block in which every included row ends with a code."""
    included = space.include(rows)
    if len(included):
        included["code"] = code
    space.close(included)
    world.step += 1
    return included


# --- base fee -------------------------------------------------------------------------------------


def next_base_fee(base, used, limit, elasticity=2):
    """EIP-1559's specification in integers of wei."""
    target = limit // elasticity
    if used == target:
        return base
    if used > target:
        return base + max(base * (used - target) // target // 8, 1)
    return base - base * (target - used) // target // 8


@given(gas=st.lists(st.integers(0, 30_000_000), min_size=1, max_size=30), gwei=st.integers(10, 500))
@settings(max_examples=30)
def test_the_base_fee_follows_the_specification(make_world, gas, gwei):
    """Integers round by 1 wei of at least 1e8 a block: 30 blocks stay under 3e-7 relative."""
    world = make_world(n_worlds=1)
    world.proposer = PROPOSER
    crowd = Crowd()
    space = BlockSpace(BlockSpaceParams(initial_base_fee=float(gwei), min_base_fee=1e-9), crowd)
    space.bind(world)
    expected = gwei * 10**9
    for used in gas:
        crowd.terms = float(used), EVERYBODY, 1.0
        space.advance(0)
        play(world, space)
        expected = next_base_fee(expected, used, 30_000_000)
        assert space.state.used[0] == used
        np.testing.assert_allclose(space.state.base_fee[0], expected / 1e9, rtol=3e-7)


@pytest.mark.parametrize(("gas", "factor"), [(0.0, 7 / 8), (1e12, 9 / 8), (15e6, 1.0)])
def test_empty_full_and_half_full_blocks(chain, gas, factor):
    _, space = chain(Crowd(gas), initial_base_fee=16.0)
    space.close(space.include(NO_ROWS))
    assert space.state.base_fee[0] == 16.0 * factor


def test_a_long_block_holds_several_chain_blocks(chain):
    _, space = chain(Crowd(1e12), block_seconds=60.0, initial_base_fee=10.0)
    assert (space.n_blocks, space.gas_limit) == (5, 150e6)
    space.close(space.include(NO_ROWS))
    np.testing.assert_allclose(space.state.base_fee[0], 10.0 * (9 / 8) ** 5, rtol=1e-14)


def test_the_base_fee_has_a_floor(chain):
    world, space = chain(initial_base_fee=0.011, min_base_fee=0.01)
    play(world, space)
    assert space.state.base_fee[0] == 0.01


def test_the_crowd_thins_out_until_the_block_is_on_target(chain):
    """Fixed point: demand × survival(base fee) = target, so the base fee has a closed form."""
    world, space = chain(Crowd(60e6, np.log(20.0), 0.5), initial_base_fee=5.0)
    for _ in range(300):
        play(world, space)
    expected = lognorm.isf(15e6 / 60e6, 0.5, scale=20.0)
    # The update stops where the relative excess is rounding: contraction by about 0.8 a block.
    np.testing.assert_allclose(space.state.base_fee[0], expected, rtol=1e-9)


def test_the_base_fee_sees_the_agents_gas(chain):
    world, space = chain(initial_base_fee=16.0)
    play(world, space, wanted({"tip": 1.0, "gas": 30e6}))
    assert space.state.base_fee[0] == 18.0


# --- admission ------------------------------------------------------------------------------------


def test_only_fee_caps_above_the_base_fee_get_in(chain):
    world, space = chain(initial_base_fee=20.0)
    caps = [{"tip": 5.0, "fee_cap": cap} for cap in (19.99, 20.0, 22.0, 30.0)]
    included = play(world, space, wanted(*caps))
    assert included["target"].tolist() == [3, 2, 1]
    assert included["tip"].tolist() == [5.0, 2.0, 0.0]  # what the cap leaves above the base fee


def test_the_highest_tips_get_in_and_earlier_arrival_breaks_ties(chain):
    world, space = chain(gas_limit=300_000.0)
    rows = wanted(
        {"tip": 1.0}, {"tip": 3.0, "arrival": 5.0}, {"tip": 3.0, "arrival": 2.0}, {"tip": 9.0}
    )
    assert play(world, space, rows)["target"].tolist() == [3, 2, 1]


def test_a_small_row_fills_the_room_that_a_large_one_leaves(chain):
    world, space = chain(gas_limit=300_000.0)
    rows = wanted({"tip": 3.0, "gas": 200_000.0}, {"tip": 2.0, "gas": 200_000.0}, {"tip": 1.0})
    assert play(world, space, rows)["target"].tolist() == [0, 2]


@pytest.mark.parametrize("price", [0.5, 5.0, 14.0, 15.0, 16.0, 40.0, 300.0])
@pytest.mark.parametrize("demand", [10e6, 45e6, 90e6])
def test_the_crowd_outbids_by_its_lognormal_survival(chain, price, demand):
    log_median, sigma = np.log(15.0), 0.8
    _, space = chain(Crowd(demand, log_median, sigma), fee_market="first_price")
    room = 30e6 - demand * lognorm.sf(price, sigma, scale=15.0)
    for gas in (0.999 * room, 1.001 * room):  # a thousandth is far above rounding
        if room > 0.0:
            assert space.include(wanted({"tip": price, "gas": gas})).shape[0] == (gas < room)
        else:
            assert space.include(wanted({"tip": price, "gas": 1.0})).shape == (0,)


bids = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 2.0, 5.0]),
        st.sampled_from([18.0, 21.0, 24.0, np.inf]),
        st.sampled_from([0.0, 4.0, 11.0, 13.0]),
        st.sampled_from([50_000.0, 100_000.0, 250_000.0]),
        st.integers(1, 3),
    ),
    max_size=12,
)


@given(drawn=bids)
@settings(max_examples=60)
def test_admission_is_an_obvious_greedy_loop(make_world, drawn):
    world = make_world(n_worlds=2)
    world.proposer = PROPOSER
    world.ledger.endow(ALICE, 0, 1e6)
    space = BlockSpace(
        BlockSpaceParams(initial_base_fee=20.0, gas_limit=600_000.0),
        Crowd(500_000.0, np.log(21.0), 0.3),
    )
    space.bind(world)
    space.advance(0)
    bundles = []
    for number, (tip, cap, arrival, gas, length) in enumerate(drawn):
        for _ in range(length):
            bundles.append(
                {"tip": tip, "fee_cap": cap, "arrival": arrival, "gas": gas, "world": 1,
                 "bundle": number + 1 if length > 1 else 0, "target": number}
            )  # fmt: skip
    included = space.include(wanted(*bundles))
    taken, chosen = 0.0, []
    effective = [min(tip, cap - 20.0) for tip, cap, *_ in drawn]
    order = sorted(range(len(drawn)), key=lambda i: (-effective[i], drawn[i][2], i))
    for i in order:
        gas = drawn[i][3] * drawn[i][4]
        outbid = 500_000.0 * lognorm.sf(20.0 + effective[i], 0.3, scale=21.0)
        if effective[i] >= 0 and drawn[i][2] < 12.0 and outbid + taken + gas <= 600_000.0:
            taken += gas
            chosen += [i] * drawn[i][4]
    assert included["target"].tolist() == chosen
    assert (included["world"] == 1).all()


def test_bundles_get_in_whole_or_not_at_all(chain):
    world, space = chain(gas_limit=250_000.0)
    three = [{"tip": 5.0, "bundle": 1}] * 3
    assert play(world, space, wanted(*three, {"tip": 1.0}))["target"].tolist() == [3]
    assert play(world, space, wanted(*three[:2]))["target"].tolist() == [0, 1]


def test_who_cannot_pay_the_most_that_it_may_cost_stays_out(chain):
    world, space = chain(money=0.0, initial_base_fee=20.0)
    world.ledger.endow(BOB, 0, 100_000.0 * 25.0 * 1e-9)
    rows = wanted({"tip": 4.9}, {"tip": 5.1}, account=BOB)
    assert play(world, space, rows)["target"].tolist() == [0]
    assert play(world, space, wanted({"tip": 0.0}, account=ALICE)).shape == (0,)


def test_worlds_do_not_share_room(chain):
    world, space = chain(n_worlds=3, gas_limit=100_000.0)
    rows = wanted(*({"tip": tip, "world": w} for w in (0, 1, 2) for tip in (1.0, 2.0)))
    assert play(world, space, rows)["target"].tolist() == [1, 3, 5]


# --- waiting --------------------------------------------------------------------------------------


def test_a_row_waits_for_the_base_fee_to_fall(chain):
    world, space = chain(initial_base_fee=20.0)
    cap = {"tip": 0.0, "fee_cap": 16.0}
    assert play(world, space, wanted(cap, expires=5)).shape == (0,)
    assert play(world, space).shape == (0,)  # 17.5
    included = play(world, space)  # 15.3
    assert included["target"].tolist() == [0]
    assert space.pending.shape == (0,)
    assert space.state.n_expired[0] == 0.0


def test_a_row_expires_after_its_last_step(chain):
    world, space = chain(initial_base_fee=1e6, min_base_fee=1e6)
    row = {"tip": 0.0, "fee_cap": 16.0}
    play(world, space, wanted(row, row, expires=1))
    assert (space.pending.shape[0], space.state.n_expired[0]) == (2, 0.0)
    assert (space.pending["code"] == Reject.PENDING).all()
    play(world, space)
    assert (space.pending.shape[0], space.state.n_expired[0]) == (0, 2.0)


def test_a_row_that_arrives_after_the_block_waits_for_its_own(chain):
    world, space = chain()
    played = [play(world, space, wanted({"tip": 1.0, "arrival": 30.0}, expires=9))]
    played += [play(world, space) for _ in range(3)]
    assert [len(rows) for rows in played] == [0, 0, 1, 0]
    assert played[2]["arrival"][0] == 6.0


# --- charges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "drop", "share"),
    [
        (Reject.OK, False, 1.0),
        (Reject.LIMIT_NOT_MET, False, 0.3),
        (Reject.LIMIT_NOT_MET, True, 0.0),
        (Reject.CONFLICT, False, 0.0),
    ],
)
def test_the_base_fee_is_burnt_and_the_tip_goes_to_the_proposer(chain, code, drop, share):
    world, space = chain(initial_base_fee=20.0, drop_reverts=drop)
    before = world.ledger.balances[0, ALICE, 0]
    included = play(world, space, wanted({"tip": 5.0}), code)
    gas = 100_000.0 * share
    np.testing.assert_allclose(world.ledger.burnt[0, 0], gas * 20e-9, rtol=1e-14)
    np.testing.assert_allclose(world.ledger.balances[0, PROPOSER, 0], gas * 5e-9, rtol=1e-14)
    # The account holds 1e6 tokens: its difference is known to 1e6 epsilons of a token.
    np.testing.assert_allclose(before - world.ledger.balances[0, ALICE, 0], gas * 25e-9, atol=5e-10)
    np.testing.assert_allclose(included["fee"], gas * 25e-9, rtol=1e-14)
    assert space.state.n_included[0] == 1.0
    assert space.state.n_reverted[0] == float(code != Reject.OK)
    world.ledger.check(1e-12)


def test_an_account_that_spent_its_gas_money_pays_what_is_left(chain):
    world, space = chain(money=0.01, initial_base_fee=20.0)
    included = space.include(wanted({"tip": 5.0}))
    included["code"] = 0
    world.ledger.balances[0, BOB, 0] += world.ledger.balances[0, ALICE, 0] - 0.0021
    world.ledger.balances[0, ALICE, 0] = 0.0021  # 0.002 burnt, then 0.0001 of the tip of 0.0005
    space.close(included)
    assert world.ledger.balances[0, ALICE, 0] == 0.0
    np.testing.assert_allclose(world.ledger.balances[0, PROPOSER, 0], 0.0001, rtol=1e-9)
    np.testing.assert_allclose(included["fee"], 0.0021, rtol=1e-12)
    world.ledger.check(1e-12)


def test_a_first_price_auction_burns_nothing(chain):
    world, space = chain(Crowd(1e12), fee_market="first_price", chain_block_seconds=13.0)
    included = play(world, space, wanted({"tip": 1e30}))
    assert included.shape == (0,)  # nobody has that much
    space.background.terms = 0.0, 1.0, 1.0
    space.advance(1)
    play(world, space, wanted({"tip": 40.0, "fee_cap": 30.0}))
    np.testing.assert_allclose(world.ledger.balances[0, PROPOSER, 0], 100_000 * 30e-9, rtol=1e-14)
    assert not world.ledger.burnt.any()
    assert not space.state.base_fee.any()


def test_the_clearing_price_is_what_the_last_admitted_of_the_crowd_offers(chain):
    world, space = chain(Crowd(100e6, np.log(15.0), 0.8), fee_market="first_price")
    play(world, space)
    # inverse_normal is good to 1.15e-9 relative; its argument's error is scaled by sigma × z.
    np.testing.assert_allclose(
        space.state.clearing[0], lognorm.isf(0.3, 0.8, scale=15.0), rtol=1e-8
    )


# --- laws -----------------------------------------------------------------------------------------


def test_survival_is_scipys():
    for price in (1e-3, 0.5, 15.0, 80.0, 1e4):
        np.testing.assert_allclose(
            share_above(price, np.log(15.0), 0.9), lognorm.sf(price, 0.9, scale=15.0), rtol=1e-12
        )
    assert share_above(0.0, 1.0, 1.0) == share_above(-1.0, 1.0, 1.0) == 1.0


def test_the_normal_quantile_is_as_good_as_acklam_says():
    """His bound: relative error 1.15e-9; beside 0.5, where the quantile is 0, absolute."""
    p = np.concatenate([10.0 ** np.arange(-300, -1, 7), np.linspace(0.001, 0.999, 3_001)])
    found = np.array([inverse_normal(one) for one in p])
    np.testing.assert_allclose(found, norm.ppf(p), rtol=1.2e-9, atol=1e-12)
    assert inverse_normal(0.0) == -np.inf
    assert inverse_normal(1.0) == np.inf


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"fee_market": "dutch"}, r"fee_market must be eip1559 or first_price, got 'dutch'"),
        ({"gas_limit": 0.0}, r"gas_limit must be positive, got 0.0"),
        ({"elasticity": -2.0}, r"elasticity must be positive"),
        ({"chain_block_seconds": float("nan")}, r"chain_block_seconds must be positive, got nan"),
        ({"revert_gas_share": 1.5}, r"revert_gas_share must lie in \[0, 1\], got 1.5"),
    ],
)
def test_bad_terms_are_sentences(terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        BlockSpaceParams(**terms)


def test_kernels_as_plain_python(chain, plain):
    outcomes = []
    for modules in ((), (blockspace_module,)):
        world, space = chain(Crowd(20e6, np.log(15.0), 0.8), block_seconds=24.0)
        with plain(*modules):
            rows = wanted({"tip": 2.0}, {"tip": 5.0, "bundle": 1}, {"tip": 5.0, "bundle": 1})
            play(world, space, rows)
        outcomes.append((world.ledger.arena.snapshot(), space.arena.snapshot()))
    # libm's and LLVM's exp, log and erfc may differ by an ulp.
    np.testing.assert_allclose(outcomes[0][0], outcomes[1][0], rtol=1e-13)
    np.testing.assert_allclose(outcomes[0][1], outcomes[1][1], rtol=1e-13)
