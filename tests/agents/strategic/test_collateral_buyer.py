"""Buyers at Comet's store front: what they buy and absorb, against a slow search."""

import numpy as np
import pytest

from agents.agent import MarketAgent
from agents.model import MarketModel
from agents.strategic.collateral_buyer import CollateralBuyer
from sim.actions import NO_ROWS, Reject, Verb, new_rows
from sim.background import MeanRevertingDemand
from sim.blockspace import BlockSpace, BlockSpaceParams
from sim.errors import ConfigError
from sim.lending.comet import CometCollateral, CometParams
from sim.lending.comet_market import CometMarket
from sim.market.outside import OutsideMarket, sale_proceeds
from sim.oracles.spot import SpotOracle
from sim.prices.diffusion import GeometricBrownian
from sim.scenarios.scenario import Scenario
from sim.world import World

WETH, WBTC, USDC = 0, 1, 2
PRICES = np.array([2_000.0, 40_000.0, 1.0])
BASE_FEE, GAS, GAS_ABSORB = 20.0, 150_000.0, 350_000.0
FACTORS = {"WETH": 0.95, "WBTC": 0.93}  # of the oracle's price, that absorbing credits
TARGET = 5e6


class Falls(Scenario):
    """WETH and WBTC are a fraction of themselves from the second block on."""

    def __init__(self, factor, lasts=10_000):
        self.factor, self.lasts = factor, lasts

    def bind(self, world):
        self.world = world

    def apply(self, step):
        if 1 <= step <= self.lasts:
            self.world.inputs["price_factor"][:, :USDC] *= self.factor


class Borrowers(MarketAgent):
    """Owns accounts of two collaterals, and the supply that they borrow; does nothing."""

    def __init__(self, collateral, debt):
        self.book = collateral, debt

    def enroll(self, world):
        world.venues["lending"].add_positions(self.account, *self.book)
        supply = np.array([[0.0, 0.0, 1e8]])
        world.venues["lending"].add_positions(self.account, supply, 0.0 * supply)

    def decide(self, view):
        del view
        return NO_ROWS


def book(seed, n=25):
    """Accounts at 85% to 99% of what makes them liquidatable, of 2,000 to 2 million USD."""
    rng = np.random.default_rng(seed)
    collateral = np.zeros((n, 3))
    worth = 10.0 ** rng.uniform(3.3, 6.3, n)
    split = rng.choice([0.0, 0.3, 1.0], n)
    collateral[:, WETH], collateral[:, WBTC] = split * worth / 2e3, (1.0 - split) * worth / 4e4
    carried = collateral @ (PRICES * [0.895, 0.77, 0.0])
    debt = np.zeros((n, 3))
    debt[:, USDC] = carried * rng.uniform(0.85, 0.99, n)
    return collateral, debt


def build(agents, loans, factor, *, volume=3e9, worlds=(0, 1), n_blocks=60, lasts=10_000, **terms):
    crowd = MeanRevertingDemand(
        level=0.5, volatility=0.0, price_response=0.0, median_bid=0.0001, bid_sigma=0.01
    )
    fees = BlockSpaceParams(initial_base_fee=BASE_FEE, elasticity=1.0, min_base_fee=BASE_FEE)
    collaterals = {
        "WETH": CometCollateral(liquidation_factor=FACTORS["WETH"]),
        "WBTC": CometCollateral(
            borrow_factor=0.70, liquidation_collateral_factor=0.77,
            liquidation_factor=FACTORS["WBTC"],
        ),
    }  # fmt: skip
    world = World(
        assets=("WETH", "WBTC", "USDC"), gas_asset="WETH", block_seconds=60.0, n_blocks=n_blocks,
        start=0.0,
        prices=GeometricBrownian(
            initial=dict(zip(("WETH", "WBTC", "USDC"), PRICES.tolist(), strict=True)),
            volatility=0.0,
        ),
        oracle=SpotOracle(),
        venues={
            "market": OutsideMarket(
                daily_volume={"WETH": volume, "WBTC": volume, "USDC": np.inf},
                daily_volatility={"WETH": 0.04, "WBTC": 0.03, "USDC": 0.0},
                half_spread_bps={"WETH": 2.0, "WBTC": 2.0, "USDC": 0.0},
            ),
            "lending": CometMarket(CometParams(collaterals=collaterals, **terms)),
        },
        market="market", blockspace=BlockSpace(fees, crowd),
        scenarios=[Falls(factor, lasts)], world_ids=np.asarray(worlds), check_every=1,
    )  # fmt: skip
    return MarketModel(world, {"owner": Borrowers(*loans), **agents})


def buyer(**terms):
    defaults = {"holdings": {"USDC": 1e8}, "attention": 1.0, "bid_share": 0.0,
                "min_profit_usd": 0.0, "gas": GAS, "gas_absorb": GAS_ABSORB}  # fmt: skip
    return CollateralBuyer(**(defaults | terms))


def wanted(model, agent):
    """Open a block; the rows of world 0 that the agent wants at the lending market."""
    model.world.open_block()
    rows = agent.decide(model.view)
    return rows[(rows["world"] == 0) & (rows["venue"] == model.world.venues["lending"].index)]


def gas_usd(world, gas):
    return gas * 1.1 * BASE_FEE * 1e-9 * world.market_price[0, WETH]


def store_price(world, a):
    factor = list(FACTORS.values())[a]
    return world.oracle_price[0, a] * (1.0 - 0.5 * (1.0 - factor))


def proceeds(world, a, start, end):
    def to(quantity):
        if quantity <= 0.0:
            return 0.0
        return sale_proceeds(world.market.quotes(), world.fundamental, 0, a, quantity)

    return to(end) - to(start)


def best(world, a, planned, stock, budget):
    """Quantity of an asset that brings most, by search, and the USD it brings."""
    price = store_price(world, a)
    grid, found = np.linspace(0.0, min(stock, budget / price), 600), (0.0, 0.0)
    for _ in range(3):
        gains = [proceeds(world, a, planned, planned + q) - q * price for q in grid]
        k = int(np.argmax(gains))
        found = max(found, (float(gains[k]), float(grid[k])))
        grid = np.linspace(grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)], 200)
    return found[1], found[0]


def searched(model, budget):
    """What a buyer should do in world 0: (account or -1, {asset: quantity}) in turn."""
    world, lending = model.world, model.world.venues["lending"]
    state, plan, planned = lending.state, [], [0.0, 0.0]
    reserves = state.reserves["surplus"][0, USDC]
    stock = state.reserves["surplus"][0]
    while reserves < TARGET:
        offers = [(best(world, a, 0.0, stock[a], budget), a) for a in (0, 1) if not planned[a]]
        offers = [offer for offer in offers if offer[0][1] > gas_usd(world, GAS)]
        if not offers:
            break
        (quantity, _), a = max(offers, key=lambda offer: offer[0][1])
        plan.append((-1, {a: quantity}))
        planned[a] += quantity
        budget -= quantity * store_price(world, a)
        reserves += quantity * store_price(world, a)
    table = lending.opportunities()
    for p in table.position[: table.starts[1]]:
        held = state.collateral[0, p]
        owed = state.debt[0, p, USDC] * state.reserves["borrow_index"][0, USDC]
        credit = sum(held[a] * world.oracle_price[0, a] * list(FACTORS.values())[a] for a in (0, 1))
        left, after, cart, gained = budget, reserves - max(owed, credit), {}, 0.0
        for a in (0, 1):
            if after >= TARGET or not held[a] > 0.0:
                continue
            quantity, gain = best(world, a, planned[a], held[a], left)
            if gain > gas_usd(world, GAS):
                cart[a], gained = quantity, gained + gain
                left -= quantity * store_price(world, a)
                after += quantity * store_price(world, a)
        if cart and gained > gas_usd(world, GAS_ABSORB + len(cart) * GAS):
            plan.append((int(p), cart))
            budget, reserves = left, after
            planned = [planned[a] + cart.get(a, 0.0) for a in (0, 1)]
    return plan


def read(rows, world):
    """Rows as `searched` says it."""
    plan = []
    for row in rows:
        if row["verb"] == Verb.ABSORB:
            plan.append((int(row["target"]), {}))
            continue
        assert row["verb"] == Verb.BUY_COLLATERAL
        quantity = row["amount"] / store_price(world, row["asset"])
        if row["bundle"] == 0:
            plan.append((-1, {}))
        plan[-1][1][int(row["asset"])] = quantity
    return plan


def agree(found, expected):
    assert [p for p, _ in found] == [p for p, _ in expected]
    for (_, mine), (_, other) in zip(found, expected, strict=True):
        assert mine.keys() == other.keys()
        for a, quantity in mine.items():
            assert quantity == pytest.approx(other[a], rel=2e-3)


@pytest.mark.parametrize("seed", range(8))
def test_it_absorbs_and_buys_what_a_search_finds(seed):
    rng = np.random.default_rng(seed)
    capital, volume = float(rng.choice([1e8, 3e5])), float(rng.choice([3e9, 3e7]))
    agent = buyer(holdings={"USDC": capital})
    model = build({"bot": agent}, book(seed), float(rng.uniform(0.80, 0.95)), volume=volume)
    assert not len(wanted(model, agent))
    model.world.close_block([])
    agent.max_positions = 1_000
    rows = wanted(model, agent)
    assert len(rows)
    agree(read(rows, model.world), searched(model, capital))
    model.close()


@pytest.mark.parametrize("seed", range(4))
def test_it_buys_what_others_absorbed(seed, scripted):
    """Somebody absorbs everything and buys nothing: all of it stands in the store."""

    def absorb(owner, view):
        lending = owner.world.venues["lending"]
        rows = lending_rows(owner, lending.liquidatable())
        return rows if view.step == 1 else None

    agent = buyer(holdings={"USDC": float(np.random.default_rng(seed).choice([1e8, 2e5]))})
    other = scripted(absorb, {"WETH": 100.0})
    model = build({"bot": agent, "other": other}, book(seed), 0.85)
    for _ in range(2):
        model.world.open_block()
        model.world.close_block([other.decide(model.view)])
    stock = model.world.venues["lending"].state.reserves["surplus"][0]
    assert (stock[:USDC] > 0.0).all()
    rows = wanted(model, agent)
    found = read(rows, model.world)
    agree(found, searched(model, model.world.ledger.balances[0, agent.account, USDC]))
    assert found
    assert all(p == -1 for p, _ in found)
    model.world.close_block([rows])
    done = model.world.events.rows()
    done = done[done["verb"] == Verb.BUY_COLLATERAL]
    assert (done["code"] == Reject.OK).all()
    assert len(done) == len(rows)
    model.close()


def lending_rows(owner, found):
    """Absorptions of every liquidatable account of every world."""
    ids, starts = found
    rows = new_rows(len(ids))
    rows["world"] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    rows["verb"], rows["account"] = Verb.ABSORB, owner.account
    rows["venue"], rows["target"] = owner.world.venues["lending"].index, ids
    rows["amount"], rows["gas"], rows["tip"] = np.inf, 1.0, 1_000.0
    rows["expires"] = rows["step"] = owner.world.step
    return rows


def test_nothing_is_for_sale_once_reserves_reach_the_target():
    agent = buyer()
    model = build({"bot": agent}, book(0), 0.85, target_reserves=0.0)
    model.step()
    reserves = model.world.venues["lending"].state.reserves["surplus"]
    assert len(wanted(model, agent))  # absorbing takes reserves under the target first
    model.world.close_block([])
    reserves[:, USDC] = 1e9
    assert not len(wanted(model, agent))
    model.close()


def test_two_buyers_share_the_market_and_neither_loses_more_than_reverts():
    model = build(
        {"one": buyer(bid_share=0.5), "two": buyer(latency_seconds=5.0)}, book(3), 0.85,
        volume=1e12,
    )  # fmt: skip
    model.run()
    world = model.world
    rows = world.events.rows()
    bought = rows[(rows["verb"] == Verb.BUY_COLLATERAL) & (rows["code"] == Reject.OK)]
    assert len(bought) > 5
    assert (rows["code"] != Reject.OK).any()
    for name in ("one", "two"):
        account = model.members[name].account
        gain = (world.ledger.balances[:, account] - model.members[name].target) @ (
            world.market_price[0]
        )
        paid = world.blockspace.state.paid[:, account] * world.market_price[:, WETH]
        assert (gain + paid >= -1e-6).all(), name
    assert (world.venues["lending"].liquidatable_debt() < 1e4).all()
    model.close()


def test_nobody_acts_while_prices_stand_still():
    model = build({"bot": buyer()}, book(1), 1.0)
    before = model.world.ledger.balances.copy()
    model.run()
    assert not len(model.world.events.rows())
    np.testing.assert_array_equal(model.world.ledger.balances, before)
    model.close()


@pytest.mark.parametrize(
    "terms", [{"gas_cap": 15.0}, {"min_profit_usd": 1e9}, {"gas": 1e10}, {"gas_absorb": 1e10}]
)
def test_gas_and_least_profit_bound_it(terms):
    agent = buyer(**terms)
    model = build({"bot": agent}, book(2), 0.85)
    model.step()
    assert not len(wanted(model, agent))
    model.close()


def test_a_world_alone_is_bit_identical():
    def digest(worlds):
        agents = {"bot": buyer(attention=0.4), "two": buyer(attention=0.5, latency_seconds=3.0)}
        model = build(agents, book(4), 0.85, worlds=worlds, n_blocks=30)
        model.run()
        rows, balances = model.world.events.rows(), model.world.ledger.balances.copy()
        model.close()
        names = [name for name in rows.dtype.names if name != "world"]
        return [
            ([rows[name][rows["world"] == w].tobytes() for name in names], balances[w].tobytes())
            for w in range(len(worlds))
        ]

    together = digest([7, 8, 9])
    assert together[0] != together[2]
    assert digest([9]) == together[2:]


def test_wrong_terms_are_refused():
    for field, value in (
        ("attention", 0.0), ("gas", 0.0), ("gas_absorb", -1.0), ("max_positions", 0),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=field):
            buyer(**{field: value})
    with pytest.raises(ConfigError, match=r"must name a Comet .* got 'market'"):
        build({"bot": buyer(market="market")}, book(0), 1.0)
