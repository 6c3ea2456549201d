"""Gas bids, the return to target holdings, and arbitrage against closed forms and the ledger."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.strategic.arbitrageur import Arbitrageur, decide, decide_pool
from agents.strategic.rebalance import rebalance
from agents.strategic.trader import gas_bid
from sim.actions import Reject, Verb, new_rows, take_rows
from sim.amm.concentrated import ConcentratedPool
from sim.amm.stableswap import StableSwapPool

WETH, USDC, DAI = 0, 1, 2
GAS = 150_000.0
price = st.floats(0.01, 1e4)
DEPTH = 1e7


# Gas bids


@given(
    st.floats(0.01, 1e6), st.floats(0.0, 1.0), price, price,
    st.one_of(price, st.just(np.inf)), st.floats(2e4, 2e6), st.floats(10.0, 1e4),
)  # fmt: skip
def test_bid_stays_within_cap_and_surplus(surplus, share, clearing, base, cap, gas, ether):
    bid = gas_bid(surplus, share, clearing, base, cap, gas, ether)
    cost = gas * bid * 1e-9 * ether
    assert 0.0 < bid <= cap
    assert cost <= surplus * (1.0 + 1e-12)
    floor = 1.1 * max(clearing, base)
    if bid < min(cap, surplus / (gas * 1e-9 * ether)):
        assert bid >= floor * (1.0 - 1e-12)  # outbids the last block where it can afford to
        assert cost >= share * surplus * (1.0 - 1e-12)


@given(st.floats(1.0, 1e5), st.floats(1.0, 1e5), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_bid_rises_with_surplus_and_share(one, other, low, high):
    def bid(surplus, share):
        return gas_bid(surplus, share, 20.0, 20.0, 500.0, GAS, 2_000.0)

    (one, other), (low, high) = sorted([one, other]), sorted([low, high])
    assert bid(one, low) <= bid(other, low) <= bid(other, high)


def test_plain_python_bid_agrees():
    terms = (150.0, 0.3, 22.0, 20.0, 80.0, 5e5, 2_000.0)
    assert gas_bid.py_func(*terms) == gas_bid(*terms) == pytest.approx(45.0)


# Rebalance


def closing(holdings, targets, threshold=1_000.0, most=1e9, kernel=rebalance):
    """Rows that close the gaps of one account in one world."""
    balances = np.zeros((1, 2, 3))
    balances[0, 1] = holdings
    rows = new_rows(3)
    if kernel is rebalance.py_func:
        rows = rows.view(np.recarray)  # plain numpy rows know fields by key, kernels by attribute
    n = kernel(
        balances, np.array([[2_000.0, 1.0, 1.02]]), 1, 7, USDC, np.array(targets, float),
        threshold, most, 2.5, 11, rows,
    )  # fmt: skip
    return rows[:n]


@pytest.mark.parametrize("kernel", [rebalance, rebalance.py_func])
def test_excess_is_sold_and_shortage_is_bought(kernel):
    rows = closing([15.0, 50_000.0, 1_000.0], [10.0, 0.0, 21_000.0], kernel=kernel)
    assert rows["asset"].tolist() == [WETH, USDC]
    assert rows["asset_2"].tolist() == [USDC, DAI]
    assert rows["amount"].tolist() == pytest.approx([5.0, 20_400.0])
    assert (rows["verb"] == Verb.SWAP).all()
    assert set(rows["account"]) == {1}
    assert set(rows["venue"]) == {7}
    assert set(rows["step"]) == set(rows["expires"]) == {11}
    assert set(rows["arrival"]) == {2.5}


def test_small_gaps_and_the_cash_asset_are_left_alone():
    assert not len(closing([10.4, 90_000.0, 500.0], [10.0, 0.0, 1_000.0]))


def test_largest_trade_and_cash_bound_the_rows():
    rows = closing([15.0, 3_000.0, 0.0], [0.0, 0.0, 50_000.0], most=8_000.0)
    assert rows["amount"].tolist() == pytest.approx([4.0, 3_000.0])
    assert not len(closing([0.0, 900.0, 0.0], [0.0, 0.0, 50_000.0]))


# Arbitrage


def trader(**terms):
    """One arbitrageur who bids no more than he must."""
    defaults = {
        "holdings": {"WETH": 5e6, "USDC": 5e6},
        "bid_share": 0.0,
        "min_profit_usd": 0.0,
        "margin_bps": 0.0,
    }
    return Arbitrageur(**(defaults | terms))


def make(stage, agent, factor, **terms):
    """Model in which WETH jumps once the pool has been filled."""
    pools = {"pool": {"asset_0": "WETH", "asset_1": "USDC", "depth_usd": DEPTH}}
    owner = stage.Positions([{"WETH": 1.0}], [{}])
    return stage.build(
        {"owner": owner, "arb": agent}, pools=pools, moves={"WETH": {1: factor}}, **terms
    )


def arbitrage(stage, model):
    """Play the quiet block, then the block of the jump; its swaps on the pool."""
    first = stage.play(model)
    assert not len(first)
    rows = stage.play(model)
    return rows[rows["venue"] == model.world.venues["pool"].index]


def wealth(model, account, ether):
    """USD at the price after the jump."""
    return float(model.world.ledger.balances[0, account] @ [ether, 1.0, 1.0])


@pytest.mark.parametrize("factor", [0.80, 0.97, 1.03, 1.25])
def test_pool_is_brought_to_the_edge_of_the_band_without_arbitrage(stage, factor):
    agent = trader()
    model = make(stage, agent, factor)
    ether = 2_000.0 * factor
    stage.play(model)
    start = wealth(model, agent.account, ether)
    rows = stage.play(model)
    (row,) = rows[rows["venue"] == model.world.venues["pool"].index]
    assert row["code"] == Reject.OK
    state = model.world.venues["pool"].state
    x, y = state.reserves[0]
    # The next token would be paid what it costs outside: after the fee of 0.3%.
    marginal = 0.997 * y / x / ether if factor < 1.0 else 0.997 * x / y * ether
    assert marginal == pytest.approx(1.0, rel=1.5e-3)  # the fee of this trade moved the reserves
    assert marginal < 1.0 + 1e-12
    gain = wealth(model, agent.account, ether) - start
    fee = GAS * 22e-9 * ether
    assert row["fee"] * ether == pytest.approx(fee)
    side = 0 if factor < 1.0 else 1
    price = ether if side == 0 else 1.0 / ether
    amount, reserves = row["r0"], (DEPTH / 2_000.0, DEPTH)
    expected = amount_for(amount, reserves, side) - amount * price
    assert gain == pytest.approx(expected * (1.0 if side == 0 else ether) - fee, rel=1e-9)
    assert gain > 0.0
    grid = np.linspace(0.5, 1.5, 2_001) * amount
    gains = amount_for(grid, reserves, side) - grid * price
    assert gains.max() <= expected * (1.0 + 1e-9)


def amount_for(amount, reserves, side):
    """What a pool pays, by the constant product alone."""
    x, y = reserves[side], reserves[1 - side]
    return y - x * y / (x + 0.997 * amount)


def test_nothing_is_done_inside_the_band(stage):
    model = make(stage, trader(), 1.0029)
    assert not len(arbitrage(stage, model))
    model = make(stage, trader(margin_bps=50.0), 0.995)
    assert not len(arbitrage(stage, model))


def test_capital_bounds_the_trade(stage):
    agent = trader(holdings={"WETH": 50_000.0, "USDC": 50_000.0})
    (row,) = arbitrage(stage, make(stage, agent, 1.2))
    assert row["asset"] == USDC
    assert row["r0"] == pytest.approx(50_000.0)
    agent = trader(holdings={"WETH": 50_000.0, "USDC": 50_000.0}, gas_money=10.0)
    (row,) = arbitrage(stage, make(stage, agent, 0.8))
    assert row["asset"] == WETH
    assert row["r0"] == pytest.approx(0.9 * 35.0)  # a tenth of the gas asset stays for fees


def test_what_does_not_pay_for_its_gas_is_left_alone(stage):
    # 0.35% on a pool of 10 million a side: some 12 USD of profit against 6.6 USD of gas.
    assert len(arbitrage(stage, make(stage, trader(), 1.0065)))
    assert not len(arbitrage(stage, make(stage, trader(min_profit_usd=40.0), 1.0065)))
    assert not len(arbitrage(stage, make(stage, trader(gas=3e6), 1.0065)))
    assert not len(arbitrage(stage, make(stage, trader(gas_cap=15.0), 1.2)))


def test_two_arbitrageurs_never_both_lose_to_each_other(stage):
    # The one who comes second finds the pool where it should be; the limit turns the row away.
    first, second = trader(bid_share=0.5), trader(bid_share=0.1)
    pools = {"pool": {"asset_0": "WETH", "asset_1": "USDC", "depth_usd": DEPTH}}
    owner = stage.Positions([{"WETH": 1.0}], [{}])
    model = stage.build(
        {"owner": owner, "first": first, "second": second}, pools=pools, moves={"WETH": {1: 1.1}}
    )
    rows = arbitrage(stage, model)
    assert rows["account"].tolist() == [first.account, second.account]
    assert rows["code"].tolist() == [Reject.OK, Reject.LIMIT_NOT_MET]
    assert rows["fee"][1] == pytest.approx(0.3 * GAS * 1e-9 * rows["tip"][1] + 0.3 * GAS * 20e-9)


def test_exit_returns_the_account_to_its_target(stage):
    agent = trader(max_trade_usd=1e9)
    model = make(stage, agent, 1.05)
    for _ in range(4):
        stage.play(model)
    held = model.world.ledger.balances[0, agent.account]
    gap = (held[WETH] - agent.target[WETH]) * 2_100.0
    assert abs(gap) <= 2_000.0  # within the threshold, and what the exit's own price moved


# Other pools


def every_pool():
    """One pool of each kind, in two pairs."""
    return {
        "v2": {"asset_0": "WETH", "asset_1": "USDC", "depth_usd": DEPTH},
        "v3": ConcentratedPool(
            asset_0="WETH", asset_1="USDC", decimals_1=6, fee_bps=5.0, tick_spacing=10,
            ranges={
                "wide": {"lower": 0.5, "upper": 2.0, "depth_usd": 5e6},
                "narrow": {"lower": 0.99, "upper": 1.01, "depth_usd": 5e6},
            },
        ),
        "stable": StableSwapPool(coins={"USDC": 0.5, "DAI": 0.5}, depth_usd=1e7, amplification=100),
    }  # fmt: skip


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_all_kinds_of_pools_are_pulled_to_the_price_outside(stage, factor):
    agent = trader(holdings={"WETH": 5e6, "USDC": 2e7, "DAI": 5e6})
    owner = stage.Positions([{"WETH": 1.0}], [{}])
    moves = {"WETH": {1: factor}, "DAI": {1: 0.97}}
    model = stage.build({"owner": owner, "arb": agent}, pools=every_pool(), moves=moves, n_worlds=2)
    assert not len(stage.play(model))
    before = model.world.ledger.balances[:, agent.account].copy()
    model.world.open_block()
    intent = agent.decide(model.view)
    model.world.close_block([intent])
    rows = model.world.events.rows()
    venues = {model.world.venues[name].index: name for name in ("v2", "v3", "stable")}
    rows = rows[np.isin(rows["venue"], list(venues))]
    assert (rows["code"] == Reject.OK).all()
    assert sorted(venues[v] for v in rows["venue"]) == ["stable", "stable", "v2", "v2", "v3", "v3"]
    on_chain = intent[np.isin(intent["venue"], list(venues))]
    assert (np.diff(on_chain["world"]) >= 0).all()
    price = model.world.fundamental[0]
    for name in venues.values():
        mine = rows[(rows["venue"] == model.world.venues[name].index) & (rows["world"] == 0)]
        gain = mine["r1"] * price[mine["asset_2"]] - mine["r0"] * price[mine["asset"]]
        assert (gain > 1_000.0).all(), name
    stable = rows[rows["venue"] == model.world.venues["stable"].index]
    assert (stable["asset"] == DAI).all()  # the cheap coin goes in
    gains = model.world.ledger.balances[:, agent.account] - before
    assert ((gains * price).sum(axis=1) > 0.0).all()
    again = stage.play(model)
    assert not np.isin(again["venue"], list(venues)).any()
    model.close()


def test_constant_product_pools_are_decided_alike_on_the_board_and_alone(stage):
    rng = np.random.default_rng(0)
    agent = trader(margin_bps=3.0, holdings={"WETH": 1e5, "USDC": 1e6})
    pools = {"pool": {"asset_0": "WETH", "asset_1": "USDC", "depth_usd": DEPTH}}
    owner = stage.Positions([{"WETH": 1.0}], [{}])
    model = stage.build({"owner": owner, "arb": agent}, pools=pools, n_worlds=50)
    model.world.open_block()
    view, pool = model.view, model.world.venues["pool"]
    model.world.market_price[:, WETH] *= rng.normal(1.0, 0.02, 50)
    terms, rows, others = agent.terms(view), new_rows(100), new_rows(100)
    n = decide(
        view.pools(), view.balances, view.market_price, view.base_fee, view.clearing, terms, rows
    )
    m = decide_pool(
        pool.state, pool.index, view.balances, view.market_price, view.base_fee, view.clearing,
        view.world_ids, agent.key, 1.0, terms, others,
    )  # fmt: skip
    assert n == m > 10
    np.testing.assert_array_equal(rows[:n], others[:n])
    model.close()


def test_the_arbitrage_of_a_world_alone_is_bit_identical(stage):
    def digest(n_worlds):
        agent = trader(holdings={"WETH": 5e6, "USDC": 2e7, "DAI": 5e6}, bid_share=0.3)
        owner = stage.Positions([{"WETH": 1.0}], [{}])
        moves = {"WETH": {k: 1.0 + 0.1 * np.sin(k) for k in range(1, 12)}, "DAI": {3: 0.98}}
        model = stage.build(
            {"owner": owner, "arb": agent}, pools=every_pool(), moves=moves, n_worlds=n_worlds
        )
        for _ in range(12):
            stage.play(model)
        rows = model.world.events.rows()
        # numpy's own selection copies field by field and leaves the padding as it finds it
        rows = take_rows(rows, np.flatnonzero(rows["world"] == 0))
        balances = model.world.ledger.balances[0].tobytes()
        model.close()
        return rows.tobytes(), balances, len(rows)

    alone, together = digest(1), digest(5)
    assert alone == together
    assert alone[2] > 20
