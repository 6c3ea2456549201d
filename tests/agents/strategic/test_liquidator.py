"""Liquidators against a brute-force search over calls that are executed in the model itself."""

import numpy as np
import pytest

from agents.strategic.liquidator import Liquidator
from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.lending.compound_v2 import CompoundReserve, CompoundV2Market, CompoundV2Params

GAS, FEE_CAP = 500_000.0, 22.0  # units; gwei that an uncontested call bids: 1.1 × 20
GAS_USD = GAS * FEE_CAP * 1e-9 * 2_000.0
WETH, USDC, DAI = 0, 1, 2
POOL = {"pool": {"asset_0": "WETH", "asset_1": "USDC", "depth_usd": 3e6}}


def health_pays(collateral_usd, health):
    """Debt in USD at which WETH collateral has a health factor."""
    return collateral_usd * 0.83 / health


def position(collateral_usd, health, debt="USDC"):
    """One position in WETH against a stablecoin."""
    return {"WETH": collateral_usd / 2_000.0}, {debt: health_pays(collateral_usd, health)}


def keeper(**terms):
    """One liquidator who looks at everything and bids no more than he must."""
    defaults = {
        "holdings": {"USDC": 1e7, "DAI": 1e7},
        "attention": 1.0,
        "bid_share": 0.0,
        "min_profit_usd": 0.0,
    }
    return Liquidator(**(defaults | terms))


def make(stage, agent, *positions, hand=None, **terms):
    """Model of some positions, one agent and one hand-driven account."""
    book = stage.Positions([p[0] for p in positions], [p[1] for p in positions])
    members = {"owner": book, "keeper": agent}
    if hand is not None:
        members["hand"] = stage.Hand(hand)
    return stage.build(members, **terms)


def calls(rows):
    """Liquidations among rows."""
    return rows[rows["verb"] == Verb.LIQUIDATE]


def wealth(model, account):
    """USD of an account's tokens at mid prices before any trade."""
    prices = [2_000.0, 1.0, 1.0]
    return float(model.world.ledger.balances[0, account] @ prices)


def outcome(stage, model, amount):
    """USD that the hand gains in this block by one call and the sale of it; None: refused."""
    hand, before = model.members["hand"], model.snapshot()
    start = wealth(model, hand.account)
    hand.intent = hand.order(
        Verb.LIQUIDATE, "lending", target=0, asset="WETH", asset_2="USDC", amount=amount,
        tip=FEE_CAP - 20.0, gas=GAS,
    )  # fmt: skip
    model.world.close_block([hand.decide(model.view)])
    (call,) = calls(model.world.events.rows())
    gain = None
    if call["code"] == Reject.OK:
        # Sold before interest and decay move anything: on the state that the call left.
        model.world.step -= 1
        hand.intent = hand.order(
            Verb.SWAP, "market", asset="WETH", asset_2="USDC", amount=call["r1"]
        )
        model.world.close_block([hand.decide(model.view)])
        gain = wealth(model, hand.account) - start
    model.restore(before)
    return gain


@pytest.mark.parametrize(
    ("collateral", "health", "volume"),
    [
        (600_000.0, 0.97, 3e9),  # deep market: all that the close factor allows
        (600_000.0, 0.97, 1e5),  # thin market: an amount inside
        (600_000.0, 0.90, 3e5),  # the close factor is 1
        (5_000.0, 0.97, 3e9),  # half of the debt would leave more than the minimum
        (3_900.0, 0.94, 3e9),
    ],
)
def test_amount_is_the_best_of_a_brute_force_search(stage, collateral, health, volume):
    market = {"daily_volume": {"WETH": volume, "USDC": np.inf, "DAI": np.inf}}
    agent = keeper()
    model = make(
        stage, agent, position(collateral, health), hand={"USDC": 1e7, "WETH": 1.0}, market=market
    )
    model.world.open_block()
    (chosen,) = calls(agent.decide(model.view))
    owed = health_pays(collateral, health)
    most = owed if health <= 0.95 else owed / 2.0
    grid = np.concatenate([np.linspace(0.02, 1.0, 150) * most, [chosen["amount"]]])
    gains = [outcome(stage, model, amount) for amount in grid]
    assert chosen["amount"] <= most * (1.0 + 1e-6)
    assert gains[-1] is not None
    # The best of the grid is at most its spacing away, where the profit is flat: 0.1% of it.
    assert gains[-1] >= 0.999 * max(gain for gain in gains if gain is not None)
    assert gains[-1] > 0.0


def test_a_dollar_of_debt_is_worth_a_call_where_the_oracle_gives_collateral_away(stage):
    """At $1 an ether, 50 of them cost $47: far less debt than a bonus of 5% would need to pay."""
    agent = keeper(min_profit_usd=50.0)
    model = make(stage, agent, position(100_000.0, 1.5))
    model.world.open_block()
    assert len(calls(agent.decide(model.view))) == 0
    model.world.oracle_price[:, WETH] = 1.0
    model.view.forget()
    (chosen,) = calls(agent.decide(model.view))
    assert chosen["amount"] == pytest.approx(50.0 / (1.0 + stage.bonus), rel=1e-6)


def test_ledger_shows_the_profit_that_was_expected(stage):
    agent = keeper(max_trade_usd=1e9, gas_money=1.0)
    model = make(stage, agent, position(600_000.0, 0.97))
    start = wealth(model, agent.account)
    (call,) = calls(stage.play(model))
    repaid = health_pays(600_000.0, 0.97) / 2.0
    assert call["code"] == Reject.OK
    assert call["r0"] == pytest.approx(repaid, rel=1e-6)
    received = repaid * (1.0 + stage.bonus * (1.0 - stage.fee)) / 2_000.0
    assert call["r1"] == pytest.approx(received, rel=1e-6)
    assert call["fee"] * 2_000.0 == pytest.approx(GAS_USD)
    assert wealth(model, agent.account) - start == pytest.approx(
        repaid * stage.bonus * (1.0 - stage.fee) - GAS_USD, rel=1e-6
    )
    stage.play(model)  # sells the collateral
    assert model.world.ledger.balances[0, agent.account, WETH] == pytest.approx(1.0, abs=0.51)


def test_half_of_the_debt_unless_close_to_insolvent_or_small(stage):
    agent = keeper()
    model = make(
        stage,
        agent,
        position(100_000.0, 0.96),
        position(90_000.0, 0.94),
        position(1_900.0, 0.99),
    )
    rows = {int(row["target"]): row for row in calls(stage.play(model))}
    owed = [health_pays(100_000.0, 0.96), health_pays(90_000.0, 0.94), health_pays(1_900.0, 0.99)]
    assert rows[0]["r0"] == pytest.approx(owed[0] / 2.0, rel=1e-6)
    assert rows[1]["r0"] == pytest.approx(owed[1], rel=1e-6)
    assert rows[2]["r0"] == pytest.approx(owed[2], rel=1e-6)
    assert model.world.venues["lending"].health_factors()[0, 0] > 0.96


def test_half_of_what_would_leave_dust_is_cut_to_the_minimum(stage):
    agent = keeper()
    collateral = 2_300.0
    model = make(stage, agent, position(collateral, 0.96))
    (call,) = calls(stage.play(model))
    owed = health_pays(collateral, 0.96)  # 1,988 USD: all of it may go, under 2,000
    assert call["code"] == Reject.OK
    assert call["r0"] == pytest.approx(owed, rel=1e-6)
    agent = keeper()
    collateral = 2_400.0  # 2,075 USD of debt: a half is 1,037, and leaves more than 1,000
    model = make(stage, agent, position(collateral, 0.96))
    (call,) = calls(stage.play(model))
    owed = health_pays(collateral, 0.96)
    assert call["r0"] == pytest.approx(owed / 2.0, rel=1e-6)
    # With capital for a part only, the rest must keep 1,000 USD of debt and of collateral.
    agent = keeper(holdings={"USDC": 1_500.0})
    model = make(stage, agent, position(4_000.0, 0.94))
    (call,) = calls(stage.play(model))
    assert call["code"] == Reject.OK
    assert call["r0"] == pytest.approx(1_500.0, rel=1e-6)
    left = model.world.venues["lending"].state.debt[0, 0, USDC]
    assert left >= 1_000.0


def test_capital_bounds_each_asset_and_all_calls_together(stage):
    agent = keeper(holdings={"USDC": 60_000.0, "DAI": 1e6})
    book = [position(100_000.0, 0.96), position(90_000.0, 0.96), position(80_000.0, 0.96, "DAI")]
    model = make(stage, agent, *book)
    rows = calls(stage.play(model))
    spent = rows["r0"][rows["asset_2"] == USDC].sum()
    assert (rows["code"] == Reject.OK).all()
    assert spent == pytest.approx(60_000.0, rel=1e-6)
    assert rows["r0"][rows["asset_2"] == DAI].sum() == pytest.approx(
        health_pays(80_000.0, 0.96) / 2.0, rel=1e-6
    )


def test_position_below_its_gas_cost_is_left_alone(stage):
    # 4.5% of half the debt of 700 USD at health 0.97 is less than the 22 USD that a call costs.
    agent = keeper()
    poor, rich = position(560.0, 0.97), position(1_900.0, 0.97)
    model = make(stage, agent, poor, rich)
    for _ in range(3):
        rows = calls(stage.play(model))
        assert not (rows["target"] == 0).any()
    assert model.world.venues["lending"].state.debt[0, 0, USDC] == pytest.approx(poor[1]["USDC"])
    assert model.world.venues["lending"].state.debt[0, 1, USDC] == 0.0


@pytest.mark.parametrize(("least", "sent"), [(50.0, 1), (55.0, 0)])
def test_minimum_profit_is_after_gas(stage, least, sent):
    # All of 1,626 USD at 4.5% brings 73.2 USD; gas takes 22.0.
    agent = keeper(min_profit_usd=least)
    model = make(stage, agent, position(1_900.0, 0.97))
    profit = health_pays(1_900.0, 0.97) * 0.045 - GAS_USD
    assert 50.0 < profit < 55.0
    assert len(calls(stage.play(model))) == sent


@pytest.mark.parametrize(("cap", "sent"), [(19.0, 0), (21.0, 1), (None, 1)])
def test_gas_cap_is_never_exceeded(stage, cap, sent):
    agent = keeper(gas_cap=cap, bid_share=0.5)
    model = make(stage, agent, position(100_000.0, 0.97))
    rows = calls(stage.play(model))
    assert len(rows) == sent
    if cap and sent:
        assert rows["fee_cap"][0] <= cap
        assert rows["fee"][0] <= GAS * cap * 1e-9 * (1.0 + 1e-12)


def test_what_does_not_pay_is_skipped(stage):
    # The outside market falls 9% below the oracle's price: the bonus of 4.5% is not worth it.
    agent = keeper()
    model = make(stage, agent, position(100_000.0, 0.97))
    model.world.open_block()
    model.world.market_price[:, WETH] *= 0.91
    model.world.fundamental[:, WETH] *= 0.91
    assert not len(calls(agent.decide(model.view)))


def test_attention_is_a_share_of_looks_and_addressed_by_world(stage):
    book = [position(10_000.0, 0.97)] * 150
    few = make(stage, keeper(attention=0.4, max_positions=200), *book, n_worlds=3)
    few.world.open_block()
    rows = calls(few.members["keeper"].decide(few.view))
    share = len(rows) / (3 * 150)
    assert share == pytest.approx(0.4, abs=5 * np.sqrt(0.24 / 450))
    chosen = [set(rows["target"][rows["world"] == w]) for w in range(3)]
    assert chosen[0] != chosen[1] != chosen[2]
    capped = make(stage, keeper(max_positions=7), *book)
    capped.world.open_block()
    assert len(calls(capped.members["keeper"].decide(capped.view))) == 7


# Flash loans


def flash(**terms):
    """One flash liquidator."""
    return keeper(**({"style": "flash", "holdings": {}, "gas": GAS, "gas_money": 5.0} | terms))


@pytest.mark.parametrize(("collateral", "depth"), [(100_000.0, 3e6), (600_000.0, 1e6)])
def test_flash_bundle_brings_what_was_expected_and_leaves_no_debt(stage, collateral, depth):
    agent = flash()
    pools = {"pool": {**POOL["pool"], "depth_usd": depth}}
    model = make(stage, agent, position(collateral, 0.97), pools=pools)
    before = model.world.ledger.balances[0, agent.account].copy()
    rows = stage.play(model, [agent])
    assert rows["verb"].tolist() == [
        Verb.FLASH_BORROW, Verb.LIQUIDATE, Verb.SWAP, Verb.FLASH_REPAY,
    ]  # fmt: skip
    assert (rows["code"] == Reject.OK).all()
    change = model.world.ledger.balances[0, agent.account] - before
    amount = rows["amount"][0]
    received = amount * 1.045 / 2_000.0
    reserve = depth / 2_000.0
    paid = received * 0.997
    out = paid * depth / (reserve + paid)
    assert change[USDC] == pytest.approx(out - amount * 1.0005, rel=1e-6)
    assert change[USDC] > GAS_USD
    assert -change[WETH] == pytest.approx(rows["fee"].sum(), abs=1e-6)  # but for crumbs of 1e-9
    assert rows["gas"].sum() == GAS
    assert (model.world.venues["lending"].state.reserves["flash"] == 0.0).all()


def test_flash_amount_is_the_best_of_a_brute_force_search(stage):
    depth, collateral = 1e6, 600_000.0
    agent = flash()
    pools = {"pool": {**POOL["pool"], "depth_usd": depth}}
    model = make(stage, agent, position(collateral, 0.97), pools=pools)
    rows = stage.play(model, [agent])
    amounts = np.linspace(1_000.0, health_pays(collateral, 0.97) / 2.0, 20_001)
    paid = amounts * 1.045 / 2_000.0 * 0.997
    gains = paid * depth / (depth / 2_000.0 + paid) - amounts * 1.0005
    best = amounts[np.argmax(gains)]
    assert 1_000.0 < best < amounts[-1]
    assert rows["amount"][0] == pytest.approx(best, rel=0.01)
    assert rows["amount"][0] == pytest.approx(best, abs=amounts[1] - amounts[0])


def test_flash_skips_what_the_pool_is_too_thin_for(stage):
    pools = {"pool": {**POOL["pool"], "depth_usd": 5_000.0}}
    model = make(stage, flash(), position(600_000.0, 0.97), pools=pools)
    assert not len(stage.play(model, [model.members["keeper"]]))
    model = make(stage, flash(), position(600_000.0, 0.97))  # no pool at all
    assert not len(stage.play(model, [model.members["keeper"]]))


def test_flash_bundle_that_would_lose_is_undone(stage):
    # Between decision and execution another trade takes the pool's cash: the swap's limit fails.
    agent = flash()
    model = make(stage, agent, position(100_000.0, 0.97), hand={"WETH": 2_000.0}, pools=POOL)
    hand = model.members["hand"]
    hand.intent = hand.order(Verb.SWAP, "pool", asset="WETH", asset_2="USDC", amount=1_000.0)
    before = model.world.ledger.balances[0, agent.account].copy()
    rows = stage.play(model, [agent, hand])
    bundle = rows[rows["bundle"] > 0]
    assert bundle["code"].tolist().count(Reject.LIMIT_NOT_MET) == 1
    assert (bundle["code"] != Reject.OK).all()
    change = model.world.ledger.balances[0, agent.account] - before
    assert change[USDC] == 0.0
    assert -change[WETH] == pytest.approx(bundle["fee"].sum(), rel=1e-9)
    assert bundle["fee"].sum() == pytest.approx(0.3 * GAS * FEE_CAP * 1e-9, rel=1e-6)
    assert model.world.venues["lending"].state.debt[0, 0, USDC] == pytest.approx(
        health_pays(100_000.0, 0.97)
    )


# Flash swaps, where the market lends no flash loans


def compound():
    """Compound v2 of the stage's assets: WETH counts for 83%, the incentive is 8%."""
    factors = {"WETH": 0.83, "USDC": 0.78, "DAI": 0.78}
    return CompoundV2Market(
        CompoundV2Params(
            reserves={a: CompoundReserve(collateral_factor=f) for a, f in factors.items()}
        )
    )


@pytest.mark.parametrize("depth", [3e7, 4e5])
def test_a_flash_swap_pays_for_the_call_in_advance(stage, depth):
    agent = flash()
    pools = {"pool": {**POOL["pool"], "depth_usd": depth}}
    model = make(stage, agent, position(200_000.0, 0.97), pools=pools, lending=compound())
    before = model.world.ledger.balances[0, agent.account].copy()
    rows = stage.play(model, [agent])
    assert rows["verb"].tolist() == [Verb.FLASH_BORROW, Verb.LIQUIDATE, Verb.FLASH_REPAY]
    assert (rows["code"] == Reject.OK).all()
    change = model.world.ledger.balances[0, agent.account] - before
    per_debt = 1.08 * (1.0 - 0.028) / 2_000.0
    most = health_pays(200_000.0, 0.97) / 2.0
    amounts = np.linspace(most / 1e4, most, 10_001)
    reserve = depth / 2_000.0
    paid = reserve * amounts / ((depth - amounts) * 0.997)
    gains = amounts * per_debt - paid
    best = int(np.argmax(gains))
    assert (best == 10_000) == (depth > 1e6)  # all that the rules allow, or what the pool bears
    assert rows["amount"][0] == pytest.approx(amounts[best], abs=amounts[1] - amounts[0])
    assert change[USDC] == 0.0
    assert change[WETH] + rows["fee"].sum() == pytest.approx(gains[best], rel=1e-6)
    pool = model.world.venues["pool"]
    assert not pool.state.flash.any()
    assert pool.state.reserves[0].prod() > depth * reserve
    model.world.check()
    model.close()


def test_a_flash_swap_that_would_lose_is_undone(stage):
    agent = flash()
    model = make(
        stage, agent, position(100_000.0, 0.97), hand={"WETH": 2_000.0}, pools=POOL,
        lending=compound(),
    )  # fmt: skip
    hand = model.members["hand"]
    hand.intent = hand.order(Verb.SWAP, "pool", asset="WETH", asset_2="USDC", amount=1_000.0)
    before = model.world.ledger.balances[0, agent.account].copy()
    rows = stage.play(model, [agent, hand])
    bundle = rows[rows["bundle"] > 0]
    assert bundle["code"].tolist().count(Reject.FLASH_NOT_REPAID) == 1
    assert (bundle["code"] != Reject.OK).all()
    change = model.world.ledger.balances[0, agent.account] - before
    assert -change[WETH] == pytest.approx(bundle["fee"].sum(), rel=1e-9)
    assert not change[1:].any()
    assert not model.world.venues["pool"].state.flash.any()
    model.close()


def test_who_borrows_from_a_pool_and_does_not_pay_is_undone(stage):
    model = make(stage, keeper(), hand={"WETH": 10.0, "USDC": 1e6}, pools=POOL)
    hand, pool = model.members["hand"], model.world.venues["pool"]
    start = pool.state.reserves.copy()
    borrow = hand.order(Verb.FLASH_BORROW, "pool", asset="USDC", amount=5e5)
    swap = hand.order(Verb.SWAP, "pool", asset="USDC", asset_2="WETH", amount=5e5)
    repay = hand.order(Verb.FLASH_REPAY, "pool", asset="USDC", amount=np.inf)
    for rest, code in (
        ([], Reject.FLASH_NOT_REPAID),
        ([swap, repay], Reject.PAUSED),  # the pool is locked until it is paid
        ([repay, repay], Reject.NO_DEBT),
        ([repay], Reject.OK),
    ):
        rows = stage.join([borrow, *rest])
        rows["bundle"] = 1
        hand.intent = rows
        done = stage.play(model, [hand])
        assert code in done["code"].tolist()
        if code != Reject.OK:
            assert (done["code"] != Reject.OK).all()
            np.testing.assert_array_equal(pool.state.reserves, start)
    np.testing.assert_allclose(pool.state.reserves[0, 1] - start[0, 1], 5e5 * (1.0 / 0.997 - 1.0))
    hand.intent = borrow  # outside a bundle
    assert stage.play(model, [hand])["code"].tolist() == [Reject.FLASH_NOT_REPAID]
    model.close()


def test_flash_needs_something_to_borrow_from(stage):
    with pytest.raises(ConfigError, match=r"style flash needs flash loans, which 'lending' does"):
        make(stage, flash(), position(100_000.0, 0.97), lending=compound())
    model = make(stage, keeper(), position(100_000.0, 0.97), lending=compound())  # inventory
    assert len(calls(stage.play(model, [model.members["keeper"]])))
    model.close()


# Competition


def rivals(stage, **chain):
    """Two keepers with a different share for the proposer, on one position."""
    low, high = keeper(bid_share=0.2), keeper(bid_share=0.6, latency_seconds=50.0)
    book = stage.Positions(*[[side] for side in position(1_900.0, 0.97)])
    chain = {"initial_base_fee": 20.0, "min_base_fee": 20.0, "elasticity": 1.0} | chain
    model = stage.build({"owner": book, "low": low, "high": high}, chain=chain)
    return model, low, high


@pytest.mark.parametrize(("drop", "share"), [(False, 0.3), (True, 0.0)])
def test_higher_bid_wins_and_the_loser_pays_for_its_revert(stage, drop, share):
    model, low, high = rivals(stage, drop_reverts=drop)
    rows = calls(stage.play(model))
    assert rows["account"].tolist() == [high.account, low.account]
    assert rows["code"].tolist() == [Reject.OK, Reject.HEALTHY]
    surplus = health_pays(1_900.0, 0.97) * 0.045
    for row, part, bid in ((rows[0], 1.0, 0.6), (rows[1], share, 0.2)):
        # A share of the surplus, at least a tenth over what got in last.
        gwei = max(bid * surplus / (GAS * 1e-9 * 2_000.0), FEE_CAP)
        assert row["fee"] == pytest.approx(part * GAS * gwei * 1e-9, rel=0.01)  # but for the spread
    assert model.world.blockspace.state.n_reverted[0] == 1.0
    paid = model.world.blockspace.state.paid[0]
    assert paid[high.account] == rows["fee"][0]
    assert paid[low.account] == rows["fee"][1]


def test_latency_beyond_the_block_waits_for_a_later_one(stage):
    slow = keeper(latency_seconds=90.0)
    model = make(stage, slow, position(100_000.0, 0.97))
    assert not len(calls(stage.play(model, [slow])))
    assert model.world.blockspace.state.n_expired[0] == 0.0
    assert len(calls(stage.play(model, []))) == 1


def test_a_block_that_calls_fill_clears_at_the_lowest_bid_that_got_in(stage):
    """And not at infinity, which would keep everybody away from the next block."""
    sizes = np.linspace(10_000.0, 40_000.0, 30)
    chain = {"fee_market": "first_price", "gas_limit": 2.5e6}
    model = make(
        stage, keeper(bid_share=0.5), *[position(usd, 0.97) for usd in sizes], chain=chain,
        demand=1.5, gwei=(5.0, 0.05),
    )  # fmt: skip
    rows = calls(stage.play(model))
    assert len(rows) == 25  # 12.5 million gas
    assert set(rows["target"]) == set(range(5, 30))  # those that bring most bid most
    clearing = model.world.blockspace.state.clearing[0]
    assert clearing == pytest.approx(rows["tip"].min())
    assert len(calls(stage.play(model))) >= 5


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"style": "loan"}, "style must be inventory or flash, got 'loan'"),
        ({"max_positions": 0}, r"max_positions must lie in \[1, 4095\], got 0"),
        ({"attention": 0.0}, r"attention must lie in \(0, 1\], got 0.0"),
        ({"gas_cap": -3.0}, "gas_cap must be positive gwei or null for none, got -3.0"),
        ({"bid_share": 1.5}, r"bid_share must lie in \[0, 1\], got 1.5"),
        ({"latency_seconds": -1.0}, "latency_seconds must not be negative, got -1.0"),
    ],
)
def test_bad_terms_are_one_sentence(terms, message):
    with pytest.raises(ConfigError, match=message):
        Liquidator(**({"holdings": {}} | terms))


def test_unknown_market_lists_the_known_venues(stage):
    with pytest.raises(ConfigError, match="known venues: market, lending"):
        make(stage, keeper(market="compound"), position(1_000.0, 1.2))
