"""Vaults: what may be locked, freed, drawn and wiped, and who is told what otherwise."""

import numpy as np
import pytest

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.lending.maker.market import YEAR, MakerMarket

OWNER, ALICE = 1, 2
GEM, DAI = 0, 1


def test_a_vault_draws_up_to_the_liquidation_ratio(maker):
    world = maker()
    world.refuse(
        Reject.UNHEALTHY, Verb.BORROW, OWNER, target=0, asset=DAI,
        amount=20_000.0 / 1.5 - 10_000.0 + 0.01,
    )  # fmt: skip
    done = world.do(Verb.BORROW, OWNER, target=0, asset=DAI)
    assert done["r0"] == pytest.approx(20_000.0 / 1.5 - 10_000.0, rel=1e-14)
    world.refuse(Reject.HEALTHY, Verb.LIQUIDATE, target=0)  # at the bound itself it is safe
    world.refuse(Reject.UNHEALTHY, Verb.WITHDRAW, OWNER, target=0, asset=GEM, amount=1e-6)
    world.price(199.9)
    world.do(Verb.LIQUIDATE, target=0)


def test_collateral_leaves_as_far_as_the_debt_allows(maker):
    world = maker()
    done = world.do(Verb.WITHDRAW, OWNER, target=0, asset=GEM)
    assert done["r0"] == pytest.approx(100.0 - 10_000.0 * 1.5 / 200.0, rel=1e-14)
    world.do(Verb.REPAY, OWNER, target=0, asset=DAI)
    done = world.do(Verb.WITHDRAW, OWNER, target=0, asset=GEM)
    assert done["r0"] == pytest.approx(75.0, rel=1e-14)
    assert world.market.state.urns["ink"][0, 0] == 0.0


def test_dust_and_ceiling(maker):
    world = maker(dust=5_000.0, debt_ceiling=12_000.0)
    pay = {"target": 0, "asset": DAI}
    world.refuse(Reject.LEAVES_DUST, Verb.REPAY, OWNER, amount=5_001.0, **pay)
    world.do(Verb.REPAY, OWNER, amount=5_000.0, **pay)
    world.do(Verb.BORROW, OWNER, amount=5_000.0, **pay)
    world.refuse(Reject.CAP_EXCEEDED, Verb.BORROW, OWNER, amount=2_000.1, **pay)
    world.do(Verb.BORROW, OWNER, amount=2_000.0, **pay)


def test_the_stability_fee_compounds_over_a_year_and_is_the_systems(maker):
    world = maker(stability_fee=0.08, n_worlds=2)
    world.block_seconds = YEAR / 1_000
    for _ in range(1_000):
        world.market.accrue()
    np.testing.assert_allclose(world.market.borrowed(), 10_800.0, rtol=1e-11)
    np.testing.assert_allclose(world.market.state.system["surplus"], 800.0, rtol=1e-11)
    np.testing.assert_allclose(world.ledger.balances[:, 0, DAI], 800.0, rtol=1e-11)
    world.check()


@pytest.mark.parametrize(
    ("code", "verb", "account", "fields"),
    [
        (Reject.NOT_OWNER, Verb.WITHDRAW, ALICE, {"asset": GEM, "amount": 1.0}),
        (Reject.NOT_OWNER, Verb.BORROW, ALICE, {"asset": DAI, "amount": 100.0}),
        (Reject.BAD_ASSET, Verb.BORROW, OWNER, {"asset": GEM, "amount": 1.0}),
        (Reject.BAD_ASSET, Verb.SUPPLY, OWNER, {"asset": DAI, "amount": 1.0}),
        (Reject.BAD_AMOUNT, Verb.SUPPLY, OWNER, {"asset": GEM, "amount": 0.0}),
        (Reject.BAD_AMOUNT, Verb.REPAY, OWNER, {"asset": DAI, "amount": np.nan}),
        (Reject.BAD_AMOUNT, Verb.BORROW, OWNER, {"asset": DAI, "amount": -5.0}),
        (Reject.BAD_TARGET, Verb.SUPPLY, OWNER, {"asset": GEM, "amount": 1.0, "target": 7}),
        (Reject.BAD_TARGET, Verb.LIQUIDATE, ALICE, {"target": -1}),
        (Reject.BAD_TARGET, Verb.BID, ALICE, {"target": 0}),
        (Reject.INSUFFICIENT_BALANCE, Verb.SUPPLY, ALICE, {"asset": GEM, "amount": 1.0}),
        (Reject.INSUFFICIENT_BALANCE, Verb.WITHDRAW, OWNER, {"asset": GEM, "amount": 101.0}),
        (Reject.LIMIT_NOT_MET, Verb.BORROW, OWNER, {"asset": DAI, "amount": 5.0, "limit": np.nan}),
        (Reject.UNKNOWN_VERB, Verb.SWAP, OWNER, {"asset": DAI, "amount": 5.0}),
        (Reject.UNKNOWN_VERB, Verb.TAKE, OWNER, {"target": 0}),
        (Reject.HEALTHY, Verb.LIQUIDATE, OWNER, {}),
    ],
)
def test_bad_rows_are_refused_by_name(maker, code, verb, account, fields):
    maker().refuse(code, verb, account, **{"target": 0, **fields})


def test_a_price_that_is_no_number_lets_nobody_draw(maker):
    world = maker()
    for price in (np.nan, 0.0):
        world.price(price)
        world.refuse(Reject.BAD_PRICE, Verb.BORROW, OWNER, target=0, asset=DAI, amount=100.0)
        world.refuse(Reject.BAD_PRICE, Verb.WITHDRAW, OWNER, target=0, asset=GEM, amount=1.0)
        world.refuse(Reject.BAD_PRICE, Verb.LIQUIDATE, target=0)


def test_wrong_terms_and_books_are_refused_with_the_field(maker):
    for field, value in (
        ("liquidation_ratio", 0.9), ("auction", "flop"), ("curve", "cubic"), ("cut", 0.0),
        ("stable", "GEM"), ("penalty", -0.1), ("tail", np.nan),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=field):
            MakerMarket(**{"collateral": "GEM", "stable": "DAI", field: value})
    with pytest.raises(ConfigError, match="dust"):
        maker(debt=(19.0,))
