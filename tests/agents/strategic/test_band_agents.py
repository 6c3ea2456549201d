"""Agents of crvUSD: the bands' arbitrageur and the liquidator of loans, against slow searches."""

import numpy as np
import pytest

from agents.agent import MarketAgent
from agents.model import MarketModel
from agents.strategic.band_arbitrageur import BandArbitrageur
from agents.strategic.loan_liquidator import Loan, LoanLiquidator, affordable, kept
from sim.actions import NO_ROWS, Reject, Verb
from sim.background import MeanRevertingDemand
from sim.blockspace import BlockSpace, BlockSpaceParams
from sim.errors import ConfigError
from sim.lending.crvusd import CrvUsdMarket
from sim.lending.llamma import IN, OUT, exchange
from sim.market.outside import OutsideMarket, sale_proceeds
from sim.oracles.spot import SpotOracle
from sim.prices.diffusion import GeometricBrownian
from sim.scenarios.scenario import Scenario
from sim.world import World

WETH, DAI = 0, 1
BASE_FEE, GAS = 20.0, 400_000.0
START = 2_000.0


class Walk(Scenario):
    """WETH follows a given path of prices; the last one stays."""

    def __init__(self, path):
        self.path = np.asarray(path)

    def bind(self, world):
        self.world = world

    def apply(self, step):
        price = self.path[min(step, len(self.path) - 1)]
        self.world.inputs["price_factor"][:, WETH] *= price / START


class Borrower(MarketAgent):
    """Owns loans and does nothing."""

    def __init__(self, collateral, debt):
        self.book = np.asarray(collateral, float), np.asarray(debt, float)

    def enroll(self, world):
        collateral, debt = np.zeros((2, len(self.book[0]), 2))
        collateral[:, WETH], debt[:, DAI] = self.book
        world.venues["crvusd"].add_positions(self.account, collateral, debt)

    def decide(self, view):
        del view
        return NO_ROWS


def book(seed, n=40):
    """Loans of 1 to 100 WETH at 60% to 84% of their worth."""
    rng = np.random.default_rng(seed)
    collateral = 10.0 ** rng.uniform(0.0, 2.0, n)
    return collateral, collateral * START * rng.uniform(0.6, 0.84, n)


def build(agents, path, loans, *, n_worlds=2, volume=3e9, n_blocks=200, worlds=None, **terms):
    crowd = MeanRevertingDemand(
        level=0.5, volatility=0.0, price_response=0.0, median_bid=0.0001, bid_sigma=0.01
    )
    fees = BlockSpaceParams(initial_base_fee=BASE_FEE, elasticity=1.0, min_base_fee=BASE_FEE)
    world = World(
        assets=("WETH", "DAI"), gas_asset="WETH", block_seconds=60.0, n_blocks=n_blocks, start=0.0,
        prices=GeometricBrownian(initial={"WETH": START, "DAI": 1.0}, volatility=0.0),
        oracle=SpotOracle(),
        venues={
            "market": OutsideMarket(
                daily_volume={"WETH": volume, "DAI": np.inf},
                daily_volatility={"WETH": 0.04, "DAI": 0.0},
                half_spread_bps={"WETH": 1.0, "DAI": 0.0},
            ),
            "crvusd": CrvUsdMarket(**{"stable": "DAI", "rate": 0.0, **terms}),
        },
        market="market", blockspace=BlockSpace(fees, crowd), scenarios=[Walk(path)],
        world_ids=np.arange(n_worlds) if worlds is None else np.asarray(worlds), check_every=1,
    )  # fmt: skip
    return MarketModel(world, {"owner": Borrower(*loans), **agents})


def bands_agent(**terms):
    defaults = {"holdings": {"WETH": 5e6, "DAI": 5e6}, "attention": 1.0, "bid_share": 0.0,
                "min_profit_usd": 0.0, "margin_bps": 0.0, "gas": GAS}  # fmt: skip
    return BandArbitrageur(**(defaults | terms))


def liquidator(**terms):
    defaults = {"holdings": {"DAI": 5e6}, "attention": 1.0, "bid_share": 0.0,
                "min_profit_usd": 0.0, "gas": GAS}  # fmt: skip
    return LoanLiquidator(**(defaults | terms))


def step(model):
    """Play a block; the rows executed in world 0, on the crvUSD market."""
    model.step()
    rows = model.world.events.rows()
    mine = (rows["step"] == model.world.step - 1) & (rows["world"] == 0)
    return rows[mine & (rows["venue"] == model.world.venues["crvusd"].index)]


def wealth(model, name):
    """USD of an account's holdings at market prices, gas fees so far added back."""
    world = model.world
    account = model.members[name].account
    held = world.ledger.balances[:, account] + 0.0
    held[:, world.gas_asset] += world.blockspace.state.paid[:, account]
    return (held * world.market_price).sum(axis=1)


# --- the bands ------------------------------------------------------------------------------------


def search(bands, cost_in, value_out, pump, most):
    """Most USD that an exchange with the bands brings, and the amount in, on a refined grid."""
    grid, best = np.concatenate([[0.0], np.geomspace(1e-4, max(most, 2e-4), 1_500)]), (0.0, 0.0)
    for _ in range(3):
        gains = []
        for amount in np.minimum(grid, most):
            exchange(bands, 0, pump, amount, False, False)
            gains.append(bands.found[OUT] * value_out - bands.found[IN] * cost_in)
        k = int(np.argmax(gains))
        best = max(best, (gains[k], float(grid[k])))
        grid = np.linspace(grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)], 300)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_it_trades_as_the_best_of_all_amounts(seed):
    rng = np.random.default_rng(seed)
    path = START * np.exp(np.cumsum([0.0, *rng.normal(-0.02, 0.03, 13)]))
    capital = float(rng.choice([5e6, 5e4]))
    agent = bands_agent(holdings={"WETH": capital, "DAI": capital}, margin_bps=5.0)
    model = build({"bot": agent}, path, book(seed))
    traded = 0
    for _ in range(14):
        world = model.world
        world.open_block()
        market = world.venues["crvusd"]
        market.look()
        price, (gem, stable) = world.market_price[0], world.ledger.balances[0, agent.account]
        cost, value = price * 1.0005, price * 0.9995
        sale = search(market.bands, cost[WETH], value[DAI], False, 0.9 * gem)
        purchase = search(market.bands, cost[DAI], value[WETH], True, stable)
        gain = max(sale, purchase)[0]
        rows = agent.decide(model.view)
        rows = rows[(rows["world"] == 0) & (rows["venue"] == market.index)]
        gas = GAS * 1.1 * BASE_FEE * 1e-9 * price[WETH]
        if gain <= gas * (1.0 - 1e-6):
            assert not len(rows)
        elif gain >= gas * (1.0 + 1e-6):
            (row,) = rows
            pump = row["asset"] == DAI
            assert pump == (purchase[0] > sale[0])
            exchange(market.bands, 0, bool(pump), row["amount"], False, False)
            a, b = row["asset"], row["asset_2"]
            mine = market.bands.found[OUT] * value[b] - market.bands.found[IN] * cost[a]
            assert mine == pytest.approx(gain, rel=1e-6)
            assert mine >= gain * (1.0 - 1e-9)
            traded += 1
        world.close_block([agent.decide(model.view)])
    assert traded >= 1
    model.close()


def test_it_liquidates_softly_and_back_and_the_world_stays_whole():
    path = START * np.concatenate([np.linspace(1.0, 0.75, 60), np.linspace(0.75, 1.05, 80)])
    model = build({"bot": bands_agent()}, path, book(1))
    market = model.world.venues["crvusd"]
    most, begun = 0.0, market.bands.y[0].sum()
    for _ in range(150):
        step(model)
        most = max(most, market.bands.x[0].sum())
    rows = model.world.events.rows()
    done = rows[(rows["venue"] == market.index) & (rows["code"] == Reject.OK)]
    assert {WETH, DAI} == set(done["asset"].tolist())
    assert most > 0.3 * 0.75 * START * begun
    assert market.bands.x[0].sum() < 1e-6 * most  # all collateral was bought back,
    assert 0.9 * begun < market.bands.y[0].sum() < begun  # but for what that cost borrowers
    assert (wealth(model, "bot") > 0.0).all()
    model.close()


def test_nobody_trades_when_prices_stand_still():
    model = build({"bot": bands_agent(), "hard": liquidator()}, [START], book(2))
    before = model.world.ledger.balances.copy()
    for _ in range(20):
        assert not len(step(model))
    np.testing.assert_array_equal(model.world.ledger.balances, before)
    model.close()


def test_after_a_fall_standing_prices_never_cost_anybody():
    """All trades bring more than they cost, exits outside included, until none is left."""
    path = [START, START, 0.8 * START]
    agents = {"bot": bands_agent(margin_bps=1.0), "hard": liquidator()}
    model = build(agents, path, book(2), volume=1e15)
    calls = sum(len(step(model)) for _ in range(43))
    assert calls > 3
    for name in ("bot", "hard"):  # against doing nothing, at the prices of the end
        idle = model.members[name].target @ model.world.market_price.T
        assert (wealth(model, name) > idle).all(), name
    assert not len(step(model))
    model.close()


@pytest.mark.parametrize(
    ("terms", "silent"), [({"gas_cap": 15.0}, True), ({"min_profit_usd": 1e9}, True),
                          ({"gas": 1e10}, True), ({}, False)],
)  # fmt: skip
def test_gas_and_least_profit_bound_it(terms, silent):
    model = build({"bot": bands_agent(**terms)}, [START, 0.85 * START], book(3))
    rows = [step(model), step(model)]
    assert (sum(map(len, rows)) == 0) == silent
    model.close()


# --- loans ----------------------------------------------------------------------------------------


def sick_model(seed, volume=None, **terms):
    """Loans after a slow fall, in part sold softly, then a sudden fall that makes some sick."""
    rng = np.random.default_rng(seed)
    path = START * np.concatenate([np.linspace(1.0, 0.85, 30), [rng.uniform(0.70, 0.8)] * 20])
    agent = liquidator(**terms)
    volume = float(rng.choice([3e9, 3e6])) if volume is None else volume
    bot = bands_agent(gas_cap=None, attention=0.5)
    model = build({"bot": bot, "hard": agent}, path, book(seed), volume=volume)
    for _ in range(30):
        model.world.open_block()
        model.world.close_block([bot.decide(model.view)])
    model.world.open_block()
    return model, agent


@pytest.mark.parametrize("seed", range(8))
def test_it_calls_the_loans_that_pay_as_a_search_finds_them(seed):
    capital = [5e6, 4e4][seed % 2]
    model, agent = sick_model(seed, holdings={"DAI": capital})
    world, market = model.world, model.world.venues["crvusd"]
    health = market.health()[0]
    sick = np.flatnonzero(health < 0.0)
    assert sick.size > 2
    price = world.market_price[0]
    outside = world.market.quotes()
    gas = GAS * 1.1 * BASE_FEE * 1e-9 * price[WETH]
    budget, planned, expected = capital, 0.0, []
    for p in sick:
        gain, paid, sold = searched(market, p, planned, budget, outside, world)
        if gain <= gas:
            continue
        expected.append((int(p), gain))
        budget -= max(paid, 0.0)
        planned += sold
    rows = agent.decide(model.view)
    rows = rows[(rows["world"] == 0) & (rows["venue"] == market.index)]
    called = rows["target"].tolist()
    if capital > 1e6:  # a purse that ends is spent to another last cent by the search
        assert called == [p for p, _ in expected][: len(called)]
        assert len(called) == min(len(expected), agent.max_rows)
    assert set(called) <= set(sick.tolist())
    assert called
    planned = 0.0
    for row, (p, best) in zip(rows, expected, strict=False):
        if row["target"] != p:
            break
        held_x, held_y = holdings(market, p)
        debt = market.debts()[0, p]
        part = min(row["amount"] / debt, 1.0)
        share = (KEPT * (1.0 - part) + part) * part
        mine = proceeds(outside, world, planned, planned + share * held_y)
        mine -= part * debt - share * held_x
        assert mine == pytest.approx(best, rel=1e-6)
        planned += share * held_y
    model.close()


KEPT = (1.0 + 0.5 * 0.06) / 1.06  # share of its part that a small part of a loan brings


def searched(market, p, planned, budget, outside, world):
    """Most USD that any affordable part of a loan brings, what is paid for it, WETH it brings."""
    held_x, held_y = holdings(market, p)
    debt, parts = market.debts()[0, p], np.linspace(0.0, 1.0, 2_000)
    for _ in range(4):
        share = (KEPT * (1.0 - parts) + parts) * parts
        paid = parts * debt - share * held_x
        sold = np.array([proceeds(outside, world, planned, planned + s * held_y) for s in share])
        gain = np.where(paid <= budget, sold - paid, -np.inf)
        k = int(gain.argmax())
        found = float(gain[k]), float(paid[k]), float(share[k] * held_y)
        parts = np.linspace(parts[max(k - 1, 0)], parts[min(k + 1, parts.size - 1)], 500)
    return found


def holdings(market, p):
    """What a loan has in its bands, summed the obvious way."""
    bands = market.bands
    x = y = 0.0
    for k in range(int(bands.n_bands[0, p])):
        band = int(bands.first[0, p]) + k
        part = bands.user_shares[0, p, k] / (bands.shares[0, band] + 1e-15)
        x, y = x + part * bands.x[0, band], y + part * bands.y[0, band]
    return x, y


def proceeds(outside, world, start, end):
    """USD for selling WETH from `start` to `end` whole tokens."""
    first = sale_proceeds(outside, world.fundamental, 0, WETH, start) if start > 0.0 else 0.0
    return sale_proceeds(outside, world.fundamental, 0, WETH, end) - first


@pytest.mark.parametrize("seed", range(4))
def test_no_sick_loan_is_overlooked(seed):
    """The shortcut around loans whose bands lie under the price agrees with all healths."""
    model, agent = sick_model(seed, volume=1e15, holdings={"DAI": 1e9})
    agent.max_rows, agent.min_profit_usd, agent.gas = 4_000, 0.0, 1e-3
    market, price = model.world.venues["crvusd"], model.world.market_price[0, WETH]
    health, debts = market.health()[0], market.debts()[0]
    worth = [holdings(market, p)[0] + holdings(market, p)[1] * price for p in range(len(debts))]
    pays = np.array(worth) * (1.0 - 1e-3) > debts
    rows = agent.decide(model.view)
    called = rows["target"][(rows["world"] == 0) & (rows["venue"] == market.index)]
    assert set(called.tolist()) <= set(np.flatnonzero(health < 0.0).tolist())
    assert set(called.tolist()) >= set(np.flatnonzero((health < 0.0) & pays).tolist())
    assert len(called) > 2
    assert (health > 0.0).any()
    model.close()


def test_the_whole_loan_is_repaid_and_its_stable_tokens_pay_first():
    model, agent = sick_model(0)
    world, market = model.world, model.world.venues["crvusd"]
    debts, before = market.debts()[0].copy(), world.ledger.balances[0, agent.account].copy()
    world.close_block([agent.decide(model.view)])
    rows = world.events.rows()
    rows = rows[(rows["world"] == 0) & (rows["verb"] == Verb.LIQUIDATE) & (rows["code"] == 0)]
    whole = rows[np.isinf(rows["amount"])]
    assert len(whole)
    np.testing.assert_allclose(whole["r0"], debts[whole["target"]])
    assert (rows["r1"] < rows["r0"]).any()
    held = world.ledger.balances[0, agent.account]
    assert held[DAI] - before[DAI] >= -rows["r1"].sum() - 1e-6
    model.close()


def test_a_part_is_affordable_to_the_last_cent():
    rng = np.random.default_rng(0)
    for _ in range(200):
        debt = 10.0 ** rng.uniform(2.0, 6.0)
        loan = Loan(debt, debt * rng.uniform(0.0, 1.0), 1.0, 1.03 / 1.06)
        budget = debt * rng.uniform(0.001, 1.0)
        part = affordable(loan, budget)
        assert 0.0 < part <= 1.0
        paid = part * debt - kept(loan, part) * loan.stable
        assert paid <= budget * (1.0 + 1e-9)
        if part < 1.0:
            assert paid == pytest.approx(budget, rel=1e-9)


# --- both -----------------------------------------------------------------------------------------


def test_a_world_alone_is_bit_identical():
    path = START * np.concatenate([np.linspace(1.0, 0.85, 20), [0.72] * 20])

    def digest(worlds):
        model = build(
            {"bot": bands_agent(attention=0.6), "hard": liquidator(attention=0.5)}, path, book(5),
            n_worlds=len(worlds), worlds=worlds, n_blocks=40,
        )  # fmt: skip
        model.run()
        rows, balances = model.world.events.rows(), model.world.ledger.balances.copy()
        model.close()
        names = [name for name in rows.dtype.names if name != "world"]
        return [
            ([rows[name][rows["world"] == w].tobytes() for name in names], balances[w].tobytes())
            for w in range(len(worlds))
        ]

    together = digest([4, 5, 6])
    assert together[0] != together[1]
    assert digest([5]) == together[1:2]


def test_wrong_terms_are_refused():
    for make in (bands_agent, liquidator):
        for field, value in (("attention", 0.0), ("gas", -1.0)):
            with pytest.raises(ConfigError, match=field):
                make(**{field: value})
        with pytest.raises(ConfigError, match="must name a crvUSD market, got 'aave'"):
            build({"bot": make(market="aave")}, [START], book(0))
    with pytest.raises(ConfigError, match="max_rows"):
        liquidator(max_rows=0)
