"""Troves, fees, redemptions and the pool, beyond what the vectors play."""

import numpy as np
import pytest

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.lending.liquity.market import LiquityMarket
from sim.lending.liquity.pool import compounded, gain
from sim.lending.liquity.state import CLOSED_BY_OWNER, REDEEMED

ALICE, BOB, CAROL = 1, 2, 3
ETH, LUSD = 0, 1
BOOK = ((1_000.0, 50_000.0), (30.0, 3_000.0), (40.0, 5_000.0))


def status(world, trove):
    return world.market.state.troves["status"][0, trove]


def test_a_trove_opens_on_the_collateral_that_waits_and_pays_its_fee(liquity):
    world = liquity((*BOOK, (0.0, 0.0)))
    own = {"account": ALICE, "target": 3}
    world.refuse(Reject.NO_COLLATERAL, Verb.BORROW, asset=LUSD, amount=2_000.0, **own)
    world.do(Verb.SUPPLY, asset=ETH, amount=20.0, **own)
    world.refuse(Reject.LEAVES_DUST, Verb.BORROW, asset=LUSD, amount=1_790.0, **own)
    world.refuse(Reject.UNHEALTHY, Verb.BORROW, asset=LUSD, amount=3_500.0, **own)
    done = world.do(Verb.BORROW, asset=LUSD, amount=2_000.0, **own)
    assert done["r1"] == pytest.approx(10.0)
    coll, debt = world.market.entire()
    assert (coll[0, 3], debt[0, 3]) == pytest.approx((20.0, 2_210.0))
    assert world.system("fee_stable") == pytest.approx(10.0)
    had = world.ledger.balances[0, ALICE, ETH]
    done = world.do(Verb.REPAY, asset=LUSD, **own)
    assert done["r0"] == pytest.approx(2_010.0)  # the gas deposit pays the rest
    assert world.ledger.balances[0, ALICE, ETH] == had + 20.0
    assert status(world, 3) == CLOSED_BY_OWNER


def test_redemption_takes_the_riskiest_troves_at_face_value(liquity):
    world = liquity(BOOK)
    supply = sum(debt for _, debt in BOOK)
    had = world.ledger.balances[0, CAROL, ETH]
    done = world.do(Verb.REDEEM, CAROL, asset=LUSD, amount=6_000.0)
    # trove 2 (ratio 1.6) gives its 4,800; trove 1 (ratio 2) would be left with 1,600 net debt: no
    assert done["r0"] == pytest.approx(4_800.0)
    assert done["r3"] == 1
    rate = 4_800.0 / supply / 2.0
    assert world.system("base_rate") == pytest.approx(rate, rel=1e-14)
    drawn = 4_800.0 / 200.0
    assert done["r2"] == pytest.approx(drawn * (0.005 + rate), rel=1e-13)
    received = drawn - done["r2"]
    assert world.ledger.balances[0, CAROL, ETH] - had == pytest.approx(received, rel=1e-11)
    assert status(world, 2) == REDEEMED
    assert world.do(Verb.WITHDRAW, CAROL, target=2, asset=ETH)["r0"] == pytest.approx(16.0)
    done = world.do(Verb.REDEEM, ALICE, asset=LUSD, amount=1_000.0)  # part of trove 1
    assert (done["r0"], done["r3"]) == (pytest.approx(1_000.0), 1)
    coll, debt = world.market.entire()
    assert (coll[0, 1], debt[0, 1]) == pytest.approx((25.0, 2_000.0))


def test_the_base_rate_halves_in_twelve_hours_and_drives_fees(liquity):
    world = liquity(BOOK)
    world.do(Verb.REDEEM, CAROL, asset=LUSD, amount=4_800.0)
    rate = world.system("base_rate")
    world.wait(12 * 3_600.0)
    done = world.do(Verb.BORROW, ALICE, target=0, asset=LUSD, amount=1_000.0)
    assert done["r1"] == pytest.approx(1_000.0 * (0.005 + rate / 2.0), rel=1e-9)
    assert world.system("base_rate") == pytest.approx(rate / 2.0, rel=1e-9)


def test_redemption_skips_troves_that_wait_for_liquidation(liquity):
    world = liquity(BOOK)
    world.price(130.0)  # trove 2: 1.04
    world.refuse(Reject.LIMIT_NOT_MET, Verb.REDEEM, CAROL, asset=LUSD, amount=100.0, limit=1.0)
    done = world.do(Verb.REDEEM, CAROL, asset=LUSD, amount=1_000.0)
    assert world.market.entire()[1][0].tolist() == pytest.approx([50_000.0, 2_000.0, 5_000.0])
    assert done["r1"] + done["r2"] == pytest.approx(1_000.0 / 130.0)
    more = {"asset": LUSD, "amount": 100.0}  # would leave it less than the least debt
    world.refuse(Reject.INSUFFICIENT_LIQUIDITY, Verb.REDEEM, CAROL, **more)
    world.price(55.0)  # all of it together under 110%
    world.refuse(Reject.UNHEALTHY, Verb.REDEEM, CAROL, asset=LUSD, amount=100.0)


def test_depositors_pay_and_gain_in_proportion_across_scales(liquity):
    world = liquity(((1e6, 1e6), *[(30.0, 5_000.0)] * 9))
    world.do(Verb.ADD_LIQUIDITY, ALICE, asset=LUSD, amount=4_000.0)
    world.do(Verb.ADD_LIQUIDITY, BOB, asset=LUSD, amount=1_001.0)
    world.price(170.0)
    state = world.market.state
    for trove in range(1, 6):  # each leaves 1 token in the pool
        world.do(Verb.LIQUIDATE, CAROL, target=trove)
        assert world.system("deposits") >= 1.0
        if trove < 5:
            world.do(Verb.ADD_LIQUIDITY, CAROL, asset=LUSD, amount=4_999.0)
    assert world.system("scale") >= 1.0
    share = 4_000.0 / 5_001.0
    first = 30.0 * 0.995 * (5_000.0 / 5_000.0)
    assert gain(state, 0, ALICE) >= share * first * (1.0 - 1e-9)
    assert gain(state, 0, ALICE) == pytest.approx(share * first, rel=1e-3)
    assert compounded(state, 0, ALICE) < 1e-9
    paid = world.do(Verb.REMOVE_LIQUIDITY, ALICE, asset=LUSD, amount=0.0)
    assert paid["r1"] == pytest.approx(share * first, rel=1e-3)
    assert gain(state, 0, ALICE) == 0.0


def test_nobody_leaves_the_pool_while_a_trove_waits(liquity):
    world = liquity(BOOK)
    world.do(Verb.ADD_LIQUIDITY, ALICE, asset=LUSD, amount=1_000.0)
    world.price(130.0)
    world.refuse(Reject.UNHEALTHY, Verb.REMOVE_LIQUIDITY, ALICE, asset=LUSD, amount=10.0)
    world.do(Verb.LIQUIDATE, BOB, target=2)
    done = world.do(Verb.REMOVE_LIQUIDITY, ALICE, asset=LUSD)
    assert done["r0"] == 0.0  # the last token stays
    assert done["r1"] > 0.0


@pytest.mark.parametrize(
    ("code", "verb", "account", "fields"),
    [
        (Reject.NOT_OWNER, Verb.WITHDRAW, BOB, {"asset": ETH, "amount": 1.0}),
        (Reject.NOT_OWNER, Verb.SUPPLY, BOB, {"asset": ETH, "amount": 1.0}),
        (Reject.BAD_ASSET, Verb.SUPPLY, ALICE, {"asset": LUSD, "amount": 1.0}),
        (Reject.BAD_ASSET, Verb.REDEEM, ALICE, {"asset": ETH, "amount": 1.0}),
        (Reject.BAD_AMOUNT, Verb.BORROW, ALICE, {"asset": LUSD, "amount": np.nan}),
        (Reject.BAD_AMOUNT, Verb.ADD_LIQUIDITY, ALICE, {"asset": LUSD, "amount": 0.0}),
        (Reject.BAD_TARGET, Verb.LIQUIDATE, ALICE, {"target": 99}),
        (Reject.HEALTHY, Verb.LIQUIDATE, BOB, {}),
        (Reject.UNHEALTHY, Verb.BORROW, ALICE, {"asset": LUSD, "amount": 1e6}),
        (Reject.UNHEALTHY, Verb.WITHDRAW, ALICE, {"asset": ETH, "amount": 900.0}),
        (Reject.LEAVES_DUST, Verb.REPAY, ALICE, {"asset": LUSD, "amount": 48_500.0}),
        (Reject.INSUFFICIENT_BALANCE, Verb.SUPPLY, ALICE, {"asset": ETH, "amount": 1e4}),
        (Reject.INSUFFICIENT_BALANCE, Verb.REDEEM, ALICE, {"asset": LUSD, "amount": 1e9}),
        (Reject.INSUFFICIENT_BALANCE, Verb.REMOVE_LIQUIDITY, BOB, {"asset": LUSD, "amount": 1.0}),
        (Reject.UNKNOWN_VERB, Verb.SWAP, ALICE, {"asset": LUSD, "amount": 1.0}),
    ],
)
def test_bad_rows_are_refused_by_name(liquity, code, verb, account, fields):
    liquity(BOOK).refuse(code, verb, account, **{"target": 0, **fields})


def test_recovery_mode_stops_what_makes_it_worse(liquity):
    world = liquity(((100.0, 10_000.0), (30.0, 3_000.0)))
    world.price(140.0)  # the system is at 1.4
    alice = {"account": ALICE, "target": 0}
    world.refuse(Reject.UNHEALTHY, Verb.WITHDRAW, asset=ETH, amount=0.1, **alice)
    world.refuse(Reject.UNHEALTHY, Verb.BORROW, asset=LUSD, amount=10.0, **alice)
    world.refuse(Reject.UNHEALTHY, Verb.REPAY, asset=LUSD, **alice)  # none may close
    world.refuse(Reject.HEALTHY, Verb.LIQUIDATE, BOB, target=0)  # the pool is empty
    world.do(Verb.SUPPLY, asset=ETH, amount=10.0, **alice)
    assert world.do(Verb.REPAY, asset=LUSD, amount=100.0, **alice)["r0"] == 100.0


def test_the_last_trove_stays(liquity):
    world = liquity(((100.0, 10_000.0),))
    world.price(105.0)
    world.refuse(Reject.LAST_POSITION, Verb.LIQUIDATE, BOB, target=0)
    assert world.market.unsafe()[0].size == 0


def test_a_price_that_is_no_number_stops_everything(liquity):
    world = liquity(BOOK)
    world.price(np.nan)
    world.refuse(Reject.BAD_PRICE, Verb.BORROW, ALICE, target=0, asset=LUSD, amount=10.0)
    world.refuse(Reject.BAD_PRICE, Verb.LIQUIDATE, ALICE, target=0)


def test_wrong_terms_are_refused_with_the_field(liquity):
    for field, value in (("critical_ratio", 1.05), ("beta", 0.0), ("gas_share", np.nan)):
        with pytest.raises(ConfigError, match=field):
            LiquityMarket(**{"collateral": "ETH", "stable": "LUSD", field: value})
    with pytest.raises(ConfigError, match="min_net_debt"):
        liquity(((10.0, 1_900.0),))
