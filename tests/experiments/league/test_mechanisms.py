"""What every file of conf/mechanism promises: one book, nothing lost, each dollar explained."""

import numpy as np
import pytest

from experiments.build import build_model
from experiments.league.designs import HOLDERS
from experiments.league.record import Recorder, simulate
from sim.actions import Verb
from sim.errors import ConfigError
from sim.events import EventLog
from sim.lending.loans import LoanVenue

LOAN = (100.0, 140_000.0)  # 100 ether at 2,000 against 140,000: liquidatable under 1,750
SAFE = (10_000.0, 20_000.0)  # Liquity never liquidates its last trove, nor leaves recovery mode


def test_every_mechanism_mounts_the_same_book(small, mechanism):
    reference = build_model(small("aave_v3"), 0, 0, 1)
    model = build_model(small(mechanism), 0, 0, 1)
    venue, holders = model.world.venues["lending"], model.members[HOLDERS]
    assert isinstance(venue, LoanVenue)
    book, other = holders.book, reference.members[HOLDERS].book
    np.testing.assert_allclose(book.debt, other.debt, rtol=1e-12)
    np.testing.assert_allclose(book.collateral, other.collateral, rtol=1e-9)
    prices = model.world.market_price
    holds, owes = venue.loans(prices)
    mine = slice(holders.loans.start, holders.loans.stop)
    np.testing.assert_allclose(owes[0, mine], book.debt_usd(prices[0]), rtol=1e-9)
    gas_deposit = 200.0 if mechanism == "liquity" else 0.0
    expected = book.collateral_usd(prices[0]) + gas_deposit
    np.testing.assert_allclose(holds[0, mine], expected, rtol=1e-9)
    assert venue.liquidation_ltv("WETH") == pytest.approx(0.8, rel=1e-9)
    capital = [
        sum(model.world.ledger.balances[0, a.account] @ np.diag(prices[0]))
        + venue.stakes_usd(a.account, prices)[0]
        for name, a in model.members.items() if name != HOLDERS
    ]  # fmt: skip
    gas = 200.0 * prices[0, 0] * len(capital)
    assert sum(capital) == pytest.approx(1e7 + gas, rel=1e-9)
    for one in (model, reference):
        one.close()


def test_a_world_is_the_same_in_any_batch(small, mechanism):
    config = small(mechanism, "check_every=20")
    whole, part = simulate(config, 0, 0, 3), simulate(config, 0, 2, 3)
    for table in ("worlds", "series"):
        together = whole[table].to_pandas().query("world == 2").reset_index(drop=True)
        alone = part[table].to_pandas()
        for column in together.columns:
            assert together[column].tolist() == alone[column].tolist(), column


class Books:
    """What everybody has at one set of prices, USD per world."""

    def __init__(self, recorder, prices):
        venue, ledger = recorder.venue, recorder.world.ledger
        loans, open_now = recorder.worth(prices), venue.unsettled(prices)
        self.borrowers = loans.equity + recorder._leftovers(prices)
        self.missing = loans.shortfall + open_now.shortfall + venue.bad_debt_usd()
        self.liquidators = sum(
            (ledger.balances[:, a] * prices).sum(axis=1) + venue.stakes_usd(a, prices)
            for a in recorder.liquidators
        )
        self.backers = venue.stakes_usd(venue.account, prices)
        self.protocol = venue.income_usd(prices)
        self.gas = sum(recorder.world.blockspace.state.paid[:, a] for a in recorder.liquidators)


def slippage(recorder, prices, n_parts):
    """Worth that swaps with the outside market cost at the prices of the block's opening."""
    world = recorder.world
    lost = np.zeros(world.n_worlds)
    for rows in world.events.parts[n_parts:]:
        for row in rows[rows["code"] == 0]:
            if row["verb"] == Verb.SWAP and row["venue"] == world.venues["market"].index:
                w = row["world"]
                lost[w] += row["r0"] * prices[w, row["asset"]]
                lost[w] -= row["r1"] * prices[w, row["asset_2"]]
    return lost


def test_what_borrowers_lose_is_what_others_account_for(small, mechanism):
    """Block by block, at one set of prices: borrowers' loss and new bad debt, against the gains."""
    model = build_model(small(mechanism), 0, 0, 2, EventLog([Verb.SWAP]))
    recorder = Recorder(model)
    world = model.world
    lost = gained = np.zeros(2)
    while world.step < world.n_steps:
        world.open_block()
        prices, n_parts = world.market_price.copy(), len(world.events.parts)
        before = Books(recorder, prices)
        model.act()
        after = Books(recorder, prices)
        loss = before.borrowers - after.borrowers
        gas = (after.gas - before.gas) * prices[:, world.gas_asset]
        gain = after.liquidators - before.liquidators + gas + slippage(recorder, prices, n_parts)
        gain += after.backers - before.backers + after.protocol - before.protocol
        missing = after.missing - before.missing
        scale = recorder.initial.owes
        # the stable token moves by 1e-7 when millions of it are bought; what was booked does not
        np.testing.assert_allclose((loss + missing) / scale, gain / scale, atol=1e-8)
        lost, gained = lost + loss, gained + np.abs(gain)
    assert (lost > 1e-4 * recorder.initial.owes).all()
    assert (gained > 0.0).all()
    model.close()


CLIP = 2080.0 * 0.99**29  # first step of 1.3 times the price at or under 98% of it
CLOSED = {  # borrower's loss, liquidators' profit before gas, protocol's income, USD
    "aave_v3": (7_000.0, 6_300.0, 700.0),  # 5% of 140,000; a tenth of it to the treasury
    # half, then half of the rest: LTV 82.9% after the first call and 75.1% after the second
    "compound_v2": (8_400.0, 8_400.0 - 0.028 * 113_400.0, 0.028 * 113_400.0),
    "compound_v3": (8_000.0, 4_000.0, 4_000.0),  # 5% of 160,000; sold at 2.5% off
    "morpho_blue": (140_000.0 * (1 / 0.94 - 1), 140_000.0 * (1 / 0.94 - 1), 0.0),
    "euler_v2": (140_000.0 * (140 / 128 - 1), 140_000.0 * (140 / 128 - 1), 0.0),  # score 128 / 140
    # the whole lot goes for less than 158,200, so that nothing comes back; tip 300 and 0.1%
    "maker_clip": (
        20_000.0, 160_000.0 - 100.0 * CLIP + 458.2, 100.0 * CLIP - 140_000.0 - 458.2,
    ),
    "maker_flip": (20_000.0, 3_200.0, 16_800.0),  # two lots at 98% of the market
    "liquity": (20_200.0, 20_200.0, 0.0),  # all collateral and the gas deposit
    "crvusd": (20_000.0, 20_000.0, 0.0),  # the price jumps past the bands; health under zero
}  # fmt: skip
ONLY = {"crvusd": ["~strategies.arbitrage", "strategies.liquidation.share=1"]}


def test_one_loan_in_a_jump_follows_the_closed_form(jump, mechanism):
    """The price falls from 2,000 to 1,600 in one block; every figure is worked out by hand."""
    config = jump(mechanism, [LOAN, SAFE], *ONLY.get(mechanism, []))
    row = simulate(config, 0, 0, 1)["worlds"].to_pandas().iloc[0]
    loss, profit, income = CLOSED[mechanism]
    gas = row["liquidator_gas_usd"]
    assert row["bad_debt_usd"] == pytest.approx(0.0, abs=1e-6)
    assert row["borrower_loss_usd"] == pytest.approx(loss, rel=1e-6)
    # gas was valued when it was paid, partly before the jump
    assert row["liquidator_profit_usd"] + gas == pytest.approx(profit, rel=1e-3)
    assert row["protocol_income_usd"] == pytest.approx(income, rel=1e-6, abs=1e-6)


BEYOND = 100.0 * 1_600.0  # all that the collateral is worth after the jump
UNDERWATER = {  # bad debt of a loan of 170,000 against 100 ether that fall to 1,600
    "aave_v3": 170_000.0 - BEYOND / 1.05,
    # halves of the debt as far as they go, then the rest: nothing is written off
    "compound_v2": 170_000.0 - BEYOND / 1.08,
    "compound_v3": 10_000.0 + 0.025 * BEYOND,  # taken at its worth, and sold at a discount
    "morpho_blue": 170_000.0 - BEYOND * 0.94,
    # discount capped at 15%
    "euler_v2": 170_000.0 - BEYOND * max(0.85, 0.85 * 160 / 170),
    "maker_clip": 170_000.0 - 100.0 * CLIP,
    "maker_flip": 170_000.0 - 0.98 * BEYOND,
    "liquity": 0.0,  # depositors bear it
}


def test_an_underwater_loan_leaves_the_bad_debt_of_the_closed_form(jump, mechanism):
    """Threshold 86%: a loan at 85% falls to 106% at once."""
    if mechanism not in UNDERWATER:
        pytest.skip("nobody liquidates a crvUSD loan at a loss: it stands")
    config = jump(mechanism, [(100.0, 170_000.0), SAFE], "liquidation_ltv=0.86")
    row = simulate(config, 0, 0, 1)["worlds"].to_pandas().iloc[0]
    factor = 1.0 / (1.0 - 0.3 * (1.0 - 0.86))
    expected = UNDERWATER[mechanism]
    if mechanism == "morpho_blue":
        expected = 170_000.0 - BEYOND / factor
    if mechanism == "euler_v2":  # pays the health score per worth, at least 85%
        expected = 170_000.0 - BEYOND * max(0.85, 0.86 * 160 / 170)
    assert row["bad_debt_usd"] == pytest.approx(expected, rel=1e-6, abs=1e-3)
    assert row["borrower_loss_usd"] == pytest.approx(
        200.0 - min(10_000.0, 200.0) if mechanism == "liquity" else 0.0, abs=1e-6
    )


def test_deployed_terms_are_each_mechanisms_own(small, mechanism):
    model = build_model(small(mechanism, "terms=deployed"), 0, 0, 1)
    venue, book = model.world.venues["lending"], model.members[HOLDERS].book
    ltv = venue.liquidation_ltv("WETH")
    assert abs(ltv - 0.8) > 0.01
    thresholds = np.where(np.array(model.world.assets) == "WETH", ltv, 0.0)
    common = build_model(small(mechanism), 0, 0, 1)
    health = common.members[HOLDERS].book.health_factor(
        model.world.market_price[0], thresholds * 0.8 / ltv
    )
    own = book.health_factor(model.world.market_price[0], thresholds)
    np.testing.assert_allclose(own, health, rtol=1e-9)  # the same loans, seen from the threshold
    for one in (model, common):
        one.close()


def test_terms_that_no_deployment_accepts_are_refused(small, mechanism):
    with pytest.raises(ConfigError, match=r"liquidation_ltv|must"):
        build_model(small(mechanism, "liquidation_ltv=1.2"), 0, 0, 1)


def test_small_loans_are_left_out_everywhere_and_counted(small):
    model = build_model(small("morpho_blue"), 0, 0, 1)
    holders = model.members[HOLDERS]
    kept = len(holders.book)
    assert kept + holders.n_left_out == 120
    assert holders.n_left_out > 0
    assert holders.book.debt_usd(model.world.market_price[0]).min() >= 5_000.0
    model.close()
