"""Order books in a world: who is served first, who pays whom, and what is refused."""

import numpy as np
import pytest

from sim.actions import Reject, Verb, join_rows, new_rows
from sim.background import MeanRevertingDemand
from sim.blockspace import BlockSpace, BlockSpaceParams
from sim.book.batch import BatchAuctionMarket
from sim.book.layout import PHASE, VOLUME, OrderState, Phase, SelfTrade, Side, TimeInForce
from sim.book.rows import order_option
from sim.book.venue import OrderBookMarket
from sim.crowd.crowd import Crowd
from sim.crowd.glft import GueantLehalleFernandezTapia
from sim.crowd.informed import Informed
from sim.crowd.noise import Noise
from sim.errors import ConfigError
from sim.oracles.spot import SpotOracle
from sim.prices.diffusion import GeometricBrownian
from sim.quotes import Market, proceeds_of, sale_down_to
from sim.scenarios.scenario import Scenario
from sim.world import World

ASSETS = ("ETH", "BTC", "USD", "EUR")
ETH, BTC, USD, EUR = range(4)
PRICES = {"ETH": 2_000.0, "BTC": 40_000.0, "USD": 1.0, "EUR": 1.25}
BOOKS = {
    "ETH": {"tick_size": 0.5, "lot_size": 0.01},
    "BTC": {"tick_size": 10.0, "lot_size": 0.001},
    "EUR": {"tick_size": 0.01, "lot_size": 1.0},
}
SIZES = {"capacity": 512, "n_levels": 4096, "n_prints": 1024}
IOC, FOK, POST = (
    TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL, TimeInForce.POST_ONLY,
)  # fmt: skip


class Falls(Scenario):
    """ETH falls by a share a block, from the sixth block on."""

    def __init__(self, share):
        self.share = share

    def bind(self, world):
        self.world = world

    def apply(self, step):
        self.world.inputs["price_factor"][:, ETH] *= (1.0 - self.share) ** max(0, step - 5)


def build(kind=OrderBookMarket, n_worlds=1, holdings=1e4, volatility=0.0, falls=0.0, **terms):
    """Make a world whose only venue is the market, with alice, bob and carol."""
    market = kind(**{"quote": "USD", "books": BOOKS, **SIZES, **terms})
    world = World(
        assets=ASSETS, gas_asset="ETH", block_seconds=60.0, n_blocks=500, start=0.0,
        prices=GeometricBrownian(initial=PRICES, volatility=volatility), oracle=SpotOracle(),
        venues={"market": market}, market="market",
        blockspace=BlockSpace(BlockSpaceParams(), MeanRevertingDemand()), check_every=1,
        world_ids=np.arange(n_worlds), scenarios=[Falls(falls)],
    )  # fmt: skip
    people = {name: world.open_account(name) for name in ("alice", "bob", "carol")}
    world.bind()
    for account in people.values():
        for asset, price in enumerate(PRICES.values()):
            world.ledger.endow(account, asset, holdings / price * 1e2)
    world.keep_as_initial()
    return world, people


def order(world, account, verb, base, side, *, amount=0.0, limit=0.0, number=0, option=0,
          arrival=0.0, w=0):  # fmt: skip
    """One row of an order."""
    row = new_rows(1)
    row["world"], row["venue"], row["verb"] = w, world.market.index, verb
    row["account"], row["target"], row["option"] = account, number, option
    pair = (base, USD) if side == Side.SELL else (USD, base)
    row["asset"], row["asset_2"] = pair
    row["amount"], row["limit"], row["arrival"] = amount, limit, arrival
    return row


def swap(world, account, asset_in, asset_out, amount, limit=0.0, arrival=0.0):
    """One row of a swap."""
    row = new_rows(1)
    row["venue"], row["verb"], row["account"] = world.market.index, Verb.SWAP, account
    row["asset"], row["asset_2"], row["amount"] = asset_in, asset_out, amount
    row["limit"], row["arrival"] = limit, arrival
    return row


def play(world, *rows):
    """Play one block; return its executed rows in the order in which they were given."""
    world.open_block()
    world.close_block([join_rows(rows)] if rows else [])
    done = world.events.rows()
    done = done[done["step"] == world.step - 1]
    return done[np.argsort(done["arrival"], kind="stable")]


def limit_order(world, who, base, side, amount, price, number=0, **more):
    return order(
        world, who, Verb.LIMIT_ORDER, base, side, amount=amount, limit=price, number=number, **more
    )


# --- time -----------------------------------------------------------------------------------------


def test_the_faster_of_two_gets_the_only_offer():
    world, who = build()
    play(world, limit_order(world, who["carol"], ETH, Side.SELL, 1.0, 2_010.0))
    late = order(world, who["alice"], Verb.MARKET_ORDER, ETH, Side.BUY, amount=1.0, arrival=0.30)
    soon = order(world, who["bob"], Verb.MARKET_ORDER, ETH, Side.BUY, amount=1.0, arrival=0.29)
    rows = play(world, late, soon)
    assert rows["account"].tolist() == [who["bob"], who["alice"]]
    assert rows["r0"].tolist() == [1.0, 0.0]
    assert rows["r2"].tolist() == [2_010.0, 0.0]


def test_the_crowd_trades_between_two_rows_of_a_block():
    """Its makers need time to come: a market order finds nobody at once, and somebody later."""
    world, who = build(crowd={"ETH": crowd_of_makers()})
    rows = play(
        world,
        swap(world, who["alice"], ETH, USD, 1.0, arrival=0.0),
        swap(world, who["alice"], ETH, USD, 1.0, arrival=59.0),
    )
    assert rows["code"].tolist() == [Reject.INSUFFICIENT_LIQUIDITY, Reject.OK]
    assert rows["r1"][1] == pytest.approx(2_000.0, rel=0.01)


# --- money ----------------------------------------------------------------------------------------


def test_a_resting_order_holds_its_cash_and_a_cancellation_returns_it():
    world, who = build()
    alice = who["alice"]
    before = world.ledger.balances[0, alice].copy()
    play(world, limit_order(world, alice, ETH, Side.BUY, 2.0, 1_999.5, number=7))
    assert before[USD] - world.ledger.balances[0, alice, USD] == pytest.approx(3_999.0, rel=1e-12)
    assert world.market.reserved(alice)[0].tolist() == [0.0, 0.0, 3_999.0, 0.0]
    assert world.ledger.balances[0, world.market.account, USD] == pytest.approx(3_999.0, rel=1e-12)
    rows = play(world, order(world, alice, Verb.CANCEL_ORDER, ETH, Side.BUY, number=7))
    assert rows["code"][0] == Reject.OK
    assert rows["r0"][0] == 2.0
    np.testing.assert_allclose(world.ledger.balances[0, alice], before, rtol=1e-13)
    assert world.market.claims()[0].tolist() == [0.0] * 4


def test_the_same_cash_cannot_rest_twice():
    world, who = build()
    cash = world.ledger.balances[0, who["alice"], USD]
    amount = 0.01 * np.floor(0.6 * cash / 2_000.0 / 0.01)
    rows = play(
        world,
        limit_order(world, who["alice"], ETH, Side.BUY, amount, 2_000.0, 0),
        limit_order(world, who["alice"], ETH, Side.BUY, amount, 2_000.0, 1),
        order(world, who["alice"], Verb.CANCEL_ORDER, ETH, Side.BUY, number=0),
        limit_order(world, who["alice"], ETH, Side.BUY, amount, 2_000.0, 1),
    )
    assert rows["code"].tolist() == [
        Reject.OK, Reject.INSUFFICIENT_BALANCE, Reject.OK, Reject.OK,
    ]  # fmt: skip


def test_a_trade_pays_the_maker_at_once_and_fees_stay_in_custody():
    world, who = build(taker_fee_bps=10.0, maker_fee_bps=-2.5)
    alice, bob = who["alice"], who["bob"]
    start = world.ledger.balances[0].copy()
    play(world, limit_order(world, alice, ETH, Side.SELL, 3.0, 2_010.0))
    rows = play(world, order(world, bob, Verb.MARKET_ORDER, ETH, Side.BUY, amount=2.0))
    gained = world.ledger.balances[0] - start
    assert rows["r0"][0] == 2.0
    assert rows["r1"][0] == pytest.approx(4_020.0)
    assert gained[alice].tolist() == pytest.approx([-3.0, 0.0, 4_020.0 * 1.00025, 0.0])
    assert gained[bob].tolist() == pytest.approx([2.0, 0.0, -4_020.0 * 1.001, 0.0])
    custody = gained[world.market.account]
    assert custody.tolist() == pytest.approx([1.0, 0.0, 4_020.0 * 0.00075, 0.0], rel=1e-9)
    np.testing.assert_allclose(world.market.claims()[0], custody, rtol=1e-9)


def test_a_stop_loss_sells_when_somebody_else_trades_through_its_trigger():
    world, who = build()
    alice, bob, carol = who.values()
    play(
        world,
        limit_order(world, bob, ETH, Side.BUY, 1.0, 1_990.0, 0),
        limit_order(world, bob, ETH, Side.BUY, 5.0, 1_980.0, 1),
        order(world, alice, Verb.STOP_ORDER, ETH, Side.SELL, amount=2.0, limit=1_990.0, number=5),
    )
    cash = world.ledger.balances[0, alice, USD]
    assert world.market.open_orders("ETH", alice)["state"].tolist() == [OrderState.WAITING]
    play(world, order(world, carol, Verb.MARKET_ORDER, ETH, Side.SELL, amount=1.0))
    assert world.ledger.balances[0, alice, USD] - cash == pytest.approx(2.0 * 1_980.0)
    assert world.market.open_orders("ETH", alice)["state"].tolist() == []


# --- swaps ----------------------------------------------------------------------------------------


def ladder(world, account):
    """Ten bids and asks of one token in both books."""
    rows, number = [], 0
    for base, price, tick in ((ETH, 2_000.0, 0.5), (BTC, 40_000.0, 10.0)):
        for i in range(1, 11):
            for side, sign in ((Side.BUY, -1), (Side.SELL, 1)):
                at = price + sign * i * 2 * tick
                rows.append(limit_order(world, account, base, side, 1.0, at, number))
                number += 1
    return rows


def test_a_swap_sells_down_the_bids_and_keeps_to_its_limit():
    world, who = build()
    play(world, *ladder(world, who["carol"]))
    rows = play(
        world,
        swap(world, who["alice"], ETH, USD, 2.5, limit=4_995.6),
        swap(world, who["alice"], ETH, USD, 2.505, limit=4_995.4),
    )
    worth = 1_999.0 + 1_998.0 + 0.5 * 1_997.0
    assert rows["code"].tolist() == [Reject.LIMIT_NOT_MET, Reject.OK]
    assert rows["r0"][1] == pytest.approx(2.5)  # half a lot stays with the seller
    assert rows["r1"][1] == pytest.approx(worth)
    assert world.market_price[0, ETH] == pytest.approx(0.5 * (1_997.0 + 2_001.0))
    assert rows["r2"][1] == pytest.approx(2.5 * 2_000.0 - worth)


def test_a_swap_of_two_assets_passes_through_both_books():
    world, who = build()
    play(world, *ladder(world, who["carol"]))
    start = world.ledger.balances[0, who["alice"]].copy()
    rows = play(world, swap(world, who["alice"], BTC, ETH, 0.1))
    cash = 0.1 * 39_980.0
    first = 1.0 * 2_001.0
    second = np.floor((cash - first) / 2_002.0 / 0.01) * 0.01
    change = world.ledger.balances[0, who["alice"]] - start
    assert rows["r0"][0] == pytest.approx(0.1)
    assert rows["r1"][0] == pytest.approx(1.0 + second)
    assert change[BTC] == pytest.approx(-0.1)
    assert change[ETH] == pytest.approx(1.0 + second)
    assert change[USD] == pytest.approx(cash - first - second * 2_002.0)


def test_what_no_bid_takes_stays_with_the_seller():
    world, who = build()
    play(world, *ladder(world, who["carol"]))
    held = world.ledger.balances[0, who["alice"], ETH]
    rows = play(world, swap(world, who["alice"], ETH, USD, np.inf))
    assert rows["r0"][0] == pytest.approx(10.0)
    assert world.ledger.balances[0, who["alice"], ETH] == pytest.approx(held - 10.0)
    assert play(world, swap(world, who["alice"], ETH, USD, 1.0))["code"][0] == (
        Reject.INSUFFICIENT_LIQUIDITY
    )


@pytest.mark.parametrize("fee", [0.0, 7.0])
def test_quotes_are_what_a_sale_brings(fee):
    """The table that liquidators read, against the swap itself, with and without fees."""
    rng = np.random.default_rng(4)
    for _ in range(8):
        world, who = build(taker_fee_bps=fee, house={"ETH": {"depth_usd": 1e6}})
        world.open_block()
        amount = 0.01 * rng.integers(1, 4_000)
        market = world.market
        assert isinstance(market, Market)
        said = proceeds_of(market.quotes(), market.reference_prices(), 0, ETH, amount)
        row = swap(world, who["alice"], ETH, USD, amount)
        world.close_block([row])
        done = world.events.rows()[-1]
        assert done["r1"] == pytest.approx(said, rel=1e-6, abs=0.2)  # fees, rounded by fill
        assert proceeds_of(market.quotes(), market.reference_prices(), 0, USD, 5.0) == 5.0
        assert proceeds_of(market.quotes(), market.reference_prices(), 0, BTC, 5.0) == 0.0


def test_a_sale_down_to_a_price_stops_there():
    world, who = build()
    play(world, *ladder(world, who["carol"]))
    world.open_block()
    quotes, prices = world.market.quotes(), world.market.reference_prices()
    found = [sale_down_to(quotes, prices, 0, ETH, floor) for floor in (2e3, 1_998.5, 1_998.0, 1.0)]
    assert found == pytest.approx([0.0, 1.0, 1.0, 10.0])
    assert sale_down_to(quotes, prices, 0, USD, 0.99) == np.inf
    assert sale_down_to(quotes, prices, 0, USD, 1.01) == 0.0


# --- refusals -------------------------------------------------------------------------------------

BAD = {
    "off_tick": (Verb.LIMIT_ORDER, {"amount": 1.0, "limit": 1_999.3}, Reject.BAD_PRICE),
    "off_lot": (Verb.LIMIT_ORDER, {"amount": 0.015, "limit": 2_000.0}, Reject.BAD_AMOUNT),
    "zero": (Verb.LIMIT_ORDER, {"amount": 0.0, "limit": 2_000.0}, Reject.BAD_AMOUNT),
    "negative": (Verb.MARKET_ORDER, {"amount": -1.0}, Reject.BAD_AMOUNT),
    "no number": (Verb.MARKET_ORDER, {"amount": np.nan}, Reject.BAD_AMOUNT),
    "beyond int64": (Verb.LIMIT_ORDER, {"amount": 1e30, "limit": 2_000.0}, Reject.BAD_AMOUNT),
    "no price": (Verb.LIMIT_ORDER, {"amount": 1.0}, Reject.BAD_PRICE),
    "price beyond int32": (Verb.LIMIT_ORDER, {"amount": 1.0, "limit": 1e18}, Reject.BAD_PRICE),
    "market with a price": (Verb.MARKET_ORDER, {"amount": 1.0, "limit": 2e3}, Reject.BAD_PRICE),
    "stop without trigger": (
        Verb.STOP_LIMIT_ORDER, {"amount": 1.0, "limit": 2e3}, Reject.BAD_PRICE,
    ),
    "unknown rule": (
        Verb.LIMIT_ORDER, {"amount": 1.0, "limit": 2e3, "option": order_option(0, 3)},
        Reject.BAD_TERMS,
    ),
    "negative option": (
        Verb.LIMIT_ORDER, {"amount": 1.0, "limit": 2e3, "option": -1}, Reject.BAD_TERMS,
    ),
    "shows more than it has": (
        Verb.LIMIT_ORDER, {"amount": 1.0, "limit": 2e3, "option": order_option(extra=101)},
        Reject.BAD_TERMS,
    ),
    "no number of its own": (
        Verb.LIMIT_ORDER, {"amount": 1.0, "limit": 2e3, "number": -1}, Reject.BAD_TARGET,
    ),
    "duplicate": (
        Verb.LIMIT_ORDER, {"amount": 1.0, "limit": 2e3, "number": 3}, Reject.DUPLICATE_ORDER,
    ),
    "unknown": (Verb.CANCEL_ORDER, {"number": 99}, Reject.UNKNOWN_ORDER),
    "reduce by nothing": (Verb.REDUCE_ORDER, {"number": 3}, Reject.BAD_AMOUNT),
    "replace by all": (
        Verb.REPLACE_ORDER, {"amount": np.inf, "limit": 2e3, "number": 3}, Reject.BAD_AMOUNT,
    ),
    "not fillable": (
        Verb.LIMIT_ORDER, {"amount": 9.0, "limit": 2_010.0, "option": order_option(FOK)},
        Reject.NOT_FILLABLE,
    ),
    "would trade": (
        Verb.LIMIT_ORDER, {"amount": 1.0, "limit": 2_010.0, "option": order_option(POST)},
        Reject.WOULD_TRADE,
    ),
    "more than it has": (
        Verb.LIMIT_ORDER, {"amount": 1e6, "limit": 2e3}, Reject.INSUFFICIENT_BALANCE,
    ),
    "a stop purchase without a price": (
        Verb.STOP_ORDER, {"amount": 1.0, "limit": 2_020.0}, Reject.BAD_TERMS,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stocked():
    """A book with one bid of alice, number 3, and one ask of bob."""
    world, who = build()
    play(
        world,
        limit_order(world, who["alice"], ETH, Side.BUY, 1.0, 1_990.0, 3),
        limit_order(world, who["bob"], ETH, Side.SELL, 1.0, 2_010.0, 3),
    )
    return world, who


@pytest.mark.parametrize("name", BAD)
def test_a_bad_order_is_refused_by_name_and_changes_nothing(stocked, name):
    world, who = stocked
    verb, fields, code = BAD[name]
    before = [arena.buffer.copy() for arena in world._arenas()]
    row = order(world, who["alice"], verb, ETH, Side.BUY, **fields)
    world.executor.run(row, np.arange(1), np.array([0, 1]))
    assert Reject(row["code"][0]).name == code.name
    for arena, old in zip(world._arenas(), before, strict=True):
        assert arena.buffer.tobytes() == old.tobytes()


def test_somebody_elses_order_is_not_found(stocked):
    """Numbers are the sender's own, so another's cannot even be named."""
    world, who = stocked
    row = order(world, who["carol"], Verb.CANCEL_ORDER, ETH, Side.BUY, number=3)
    world.executor.run(row, np.arange(1), np.array([0, 1]))
    assert row["code"][0] == Reject.UNKNOWN_ORDER
    assert len(world.market.open_orders("ETH", who["alice"])["target"]) == 1


@pytest.mark.parametrize(("asset", "asset_2"), [(ETH, BTC), (ETH, ETH), (USD, USD), (7, USD)])
def test_an_order_names_an_asset_with_a_book_and_the_quote(stocked, asset, asset_2):
    world, who = stocked
    row = limit_order(world, who["alice"], ETH, Side.BUY, 1.0, 2_000.0)
    row["asset"], row["asset_2"] = asset, asset_2
    world.executor.run(row, np.arange(1), np.array([0, 1]))
    assert row["code"][0] == Reject.BAD_ASSET


# --- bands and halts ------------------------------------------------------------------------------


def test_a_market_order_that_meets_the_band_halts_the_book_until_an_auction():
    world, who = build(band=0.05, halt_seconds=90.0)
    alice, bob, carol = who.values()
    play(
        world,
        *(limit_order(world, carol, ETH, Side.BUY, 1.0, 2_000.0 - 50.0 * i, i) for i in range(5)),
        limit_order(world, carol, ETH, Side.SELL, 1.0, 2_001.0, 9),
    )
    rows = play(
        world,
        order(world, alice, Verb.MARKET_ORDER, ETH, Side.SELL, amount=5.0, arrival=1.0),
        order(world, bob, Verb.MARKET_ORDER, ETH, Side.SELL, amount=1.0, arrival=2.0),
        swap(world, bob, ETH, USD, 1.0, arrival=3.0),
        limit_order(world, bob, ETH, Side.BUY, 1.0, 1_960.0, 1, arrival=4.0),
        limit_order(world, alice, ETH, Side.SELL, 1.0, 1_955.0, 1, arrival=5.0),
    )
    assert rows["code"].tolist() == [Reject.OK, Reject.HALTED, Reject.HALTED, 0, 0]
    assert rows["r0"][0] == 2.0  # 1,900 lies below the band, which ends at 1,900.5
    assert world.market.seats.books[world.market.book_of("ETH")].head[0, PHASE] == Phase.AUCTION
    price = world.market_price[0, ETH]
    cash = world.ledger.balances[0, alice, USD]
    rows = play(world, swap(world, bob, ETH, USD, 0.5, arrival=32.0))
    assert rows["code"].tolist() == [Reject.OK]
    assert world.ledger.balances[0, alice, USD] - cash == pytest.approx(1_960.0, rel=0.01)
    assert world.market_price[0, ETH] != price


@pytest.mark.parametrize("halts", [False, True])
def test_a_book_that_lost_a_side_may_halt_until_quotes_return(halts):
    world, who = build(halt_empty=halts, halt_seconds=30.0)
    alice, bob, _ = who.values()
    play(
        world,
        limit_order(world, alice, ETH, Side.BUY, 1.0, 1_999.0),
        limit_order(world, alice, ETH, Side.SELL, 1.0, 2_001.0, 1),
    )
    assert not world.market.halted("ETH").any()
    rows = play(
        world,
        order(world, bob, Verb.MARKET_ORDER, ETH, Side.SELL, amount=1.0, arrival=50.0),
        order(world, bob, Verb.MARKET_ORDER, ETH, Side.BUY, amount=1.0, arrival=55.0),
    )
    assert rows["code"].tolist() == [Reject.OK, Reject.HALTED if halts else Reject.OK]
    assert world.market.halted("ETH").tolist() == [halts]
    taken, _ = world.market.sweep("ETH", np.array([0.5]))
    assert taken.tolist() == [0.0]


def test_a_book_that_lost_a_side_takes_orders_at_the_price_of_today():
    """Its last mid is of the past: a band around that would keep every bid out for good."""
    world, who = build(band=0.05, falls=0.2)
    alice, bob, _ = who.values()
    play(
        world,
        limit_order(world, alice, ETH, Side.BUY, 1.0, 1_999.0),
        limit_order(world, alice, ETH, Side.SELL, 1.0, 2_001.0, 1),
        order(world, bob, Verb.MARKET_ORDER, ETH, Side.SELL, amount=1.0, arrival=1.0),
    )
    while world.fundamental[0, ETH] > 1_700.0:
        play(world)
    price = 5.0 * round(0.8 * world.fundamental[0, ETH] / 5.0)  # of the next block
    rows = play(world, limit_order(world, bob, ETH, Side.BUY, 1.0, price))
    assert rows["code"].tolist() == [Reject.OK]


def test_a_sweep_tells_what_a_market_order_then_pays():
    world, who = build(taker_fee_bps=5.0)
    alice, _, carol = who.values()
    play(
        world,
        *(limit_order(world, carol, ETH, Side.SELL, 1.0, 2_001.0 + i, i) for i in range(3)),
        limit_order(world, carol, ETH, Side.BUY, 1.0, 1_999.0, 9),
    )
    taken, cash = world.market.sweep("ETH", np.array([2.5]))
    before = world.ledger.balances[0, alice].copy()
    play(world, order(world, alice, Verb.MARKET_ORDER, ETH, Side.BUY, amount=2.5))
    change = world.ledger.balances[0, alice] - before
    assert taken[0] == change[ETH] == pytest.approx(2.5)
    assert cash[0] == pytest.approx(-change[USD], rel=1e-9)
    taken, _ = world.market.sweep("ETH", np.array([-4.0]))
    assert taken[0] == -1.0


def test_the_price_of_a_book_without_two_sides_is_the_last_one_it_had():
    world, who = build()
    play(world)
    assert world.market_price[0].tolist() == [2_000.0, 40_000.0, 1.0, 1.25]
    play(world, limit_order(world, who["alice"], ETH, Side.BUY, 1.0, 1_990.0))
    assert world.market_price[0, ETH] == 2_000.0
    play(world, limit_order(world, who["bob"], ETH, Side.SELL, 1.0, 2_000.0))
    assert world.market_price[0, ETH] == 1_995.0
    play(world, order(world, who["carol"], Verb.MARKET_ORDER, ETH, Side.SELL, amount=1.0))
    play(world)
    assert world.market_price[0, ETH] == 1_995.0


# --- what is seen ---------------------------------------------------------------------------------


def test_the_three_levels_of_a_book(stocked):
    world, who = stocked
    market = world.market
    assert market.touch("ETH")[0].tolist() == [1_990.0, 1.0, 2_010.0, 1.0, 0.0]
    assert market.levels("ETH", 0, Side.SELL).tolist() == [[2_010.0, 1.0, 1.0]]
    assert market.orders("ETH", 0, Side.BUY)["account"].tolist() == [who["alice"]]
    mine = market.open_orders("ETH", who["alice"])
    assert {name: column.tolist() for name, column in mine.items()} == {
        "world": [0], "target": [3], "side": [Side.BUY], "price": [1_990.0], "amount": [1.0],
        "trigger": [0.0], "state": [OrderState.RESTING],
    }  # fmt: skip
    spread, depth = market.liquidity(0.01)
    k = market.book_of("ETH")
    assert spread[0, k] == pytest.approx(1e4 * 20.0 / 2_000.0)
    assert np.isnan(spread[0, 1 - k])
    assert depth[0, k].tolist() == [1_990.0, 2_010.0]
    assert depth[0, 1 - k].tolist() == [0.0, 0.0]
    with pytest.raises(ConfigError, match="no book of 'GOLD'; known"):
        market.touch("GOLD")


def test_an_iceberg_shows_a_part_and_a_reduction_keeps_its_place():
    world, who = build()
    play(
        world,
        limit_order(
            world, who["alice"], ETH, Side.SELL, 1.0, 2_000.0, 1, option=order_option(extra=10)
        ),
        limit_order(world, who["bob"], ETH, Side.SELL, 1.0, 2_000.0, 1),
    )
    assert world.market.levels("ETH", 0, Side.SELL).tolist() == [[2_000.0, 1.1, 2.0]]
    rows = play(
        world, order(world, who["bob"], Verb.REDUCE_ORDER, ETH, Side.SELL, amount=0.4, number=1)
    )
    assert rows["r0"][0] == pytest.approx(0.4)
    queue = world.market.orders("ETH", 0, Side.SELL)
    assert queue["account"].tolist() == [who["alice"], who["bob"]]
    assert queue["quantity"].tolist() == [10, 60]


def test_a_replaced_order_moves_and_a_self_trade_is_prevented():
    world, who = build()
    alice = who["alice"]
    play(
        world,
        limit_order(world, alice, ETH, Side.SELL, 1.0, 2_000.0, 1),
        order(world, alice, Verb.REPLACE_ORDER, ETH, Side.SELL, amount=2.0, limit=2_001.0,
              number=1),
    )  # fmt: skip
    assert world.market.levels("ETH", 0, Side.SELL).tolist() == [[2_001.0, 2.0, 1.0]]
    option = order_option(IOC, SelfTrade.CANCEL_RESTING)
    rows = play(world, limit_order(world, alice, ETH, Side.BUY, 1.0, 2_001.0, 2, option=option))
    assert rows["r0"][0] == 0.0
    assert world.market.levels("ETH", 0, Side.SELL).shape == (0, 3)


def test_a_kept_tape_tells_every_trade_with_its_time():
    world, who = build(keep_tape=True, n_worlds=2)
    alice, bob, _ = who.values()
    play(world, limit_order(world, alice, ETH, Side.SELL, 1.0, 2_010.0, w=1))
    play(world, order(world, bob, Verb.MARKET_ORDER, ETH, Side.BUY, amount=0.25, arrival=12.5, w=1))
    found = world.market.tape.columns()
    assert {name: column.tolist() for name, column in found.items()} == {
        "world": [1], "step": [1], "asset": [ETH], "time": [72.5], "price": [2_010.0],
        "amount": [0.25], "side": [Side.BUY], "maker": [alice], "taker": [bob],
    }  # fmt: skip
    world.reset(np.array([False, True]))
    assert world.market.tape.columns()["world"].size == 0


# --- crowds ---------------------------------------------------------------------------------------


def crowd_of_makers(**makers):
    """A small crowd that keeps a book near its fundamental."""
    return Crowd({
        "makers": GueantLehalleFernandezTapia(
            count=6, gap=5.0, size=500.0, sigma_bps=1.0, widest=10.0, latency=0.01,
            inventory_limit=1e6, **makers),
        "noise": Noise(count=4, gap=30.0, session=30.0, size=5.0),
        "informed": Informed(count=2, gap=10.0, size=50.0),
    })  # fmt: skip


def test_a_crowd_follows_the_fundamental_and_conserves():
    world, _ = build(
        n_worlds=2, volatility=2.0, crowd={"ETH": crowd_of_makers(), "BTC": crowd_of_makers()},
        warm_up_seconds=120.0, holdings=1e4,
    )  # fmt: skip
    for _ in range(60):
        play(world)
    assert np.abs(world.fundamental[:, :2] / [2_000.0, 40_000.0] - 1.0).min() > 1e-4
    np.testing.assert_allclose(world.market_price[:, :2], world.fundamental[:, :2], rtol=0.01)
    assert all((book.head[:, VOLUME] > 0).all() for book in world.market.seats.books[:2])


def test_makers_that_may_not_withdraw_stay_in_a_crash():
    depth = {}
    for withdraw in (True, False):
        world, who = build(
            crowd={"ETH": crowd_of_makers(calm=1.2)}, warm_up_seconds=120.0, withdraw=withdraw,
            holdings=1e6, falls=0.015,
        )  # fmt: skip
        found = []
        for step in range(30):
            rows = [swap(world, who["alice"], ETH, USD, 40.0, arrival=5.0)] if step > 5 else []
            play(world, *rows)
            k = world.market.book_of("ETH")
            found.append(world.market.liquidity(0.02)[1][0, k, 0])
        depth[withdraw] = np.mean(found[8:])
    assert depth[True] < 0.5 * depth[False]


# --- the batch auction ----------------------------------------------------------------------------


def test_a_batch_market_matches_at_its_interval_at_one_price():
    world, who = build(BatchAuctionMarket, interval_seconds=20.0, keep_tape=True)
    alice, bob, carol = who.values()
    rows = play(
        world,
        limit_order(world, alice, ETH, Side.SELL, 1.0, 1_990.0, arrival=1.0),
        limit_order(world, bob, ETH, Side.BUY, 1.0, 2_010.0, arrival=2.0),
        limit_order(world, carol, ETH, Side.SELL, 1.0, 1_980.0, arrival=19.0),
        swap(world, bob, ETH, USD, 1.0, arrival=19.5),
    )
    assert rows["code"].tolist() == [0, 0, 0, Reject.HALTED]
    found = world.market.tape.columns()
    assert found["time"].tolist() == [20.0]
    assert found["maker"].tolist() == [bob]
    assert found["taker"].tolist() == [carol]  # the better price comes first, not the earlier order
    assert 1_980.0 <= found["price"][0] <= 2_010.0
    assert world.market.open_orders("ETH", alice)["price"].tolist() == [1_990.0]


# --- terms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"books": {}}, "books must name at least one asset"),
        ({"books": {"USD": {"tick_size": 1.0, "lot_size": 1.0}}}, "must not name the quote asset"),
        ({"books": {"ETH": {"tick_size": 0.0, "lot_size": 1.0}}}, r"tick_size must lie in \(0"),
        ({"house": {"DOGE": {}}}, "house names assets without a book: DOGE"),
        ({"house": {"ETH": {"levels": 400, "step_bps": 50.0}}}, "less than 100%"),
        ({"band": 1.5}, r"band must lie in \(0, 1\]"),
        ({"n_prints": 100}, "n_prints must be at least capacity"),
        ({"quote": "YEN"}, "unknown asset 'YEN'; known: ETH, BTC, USD"),
        ({"taker_fee_bps": 1.0, "maker_fee_bps": -2.0}, "fees must not pay more than they take"),
    ],
)
def test_terms_that_cannot_be_are_a_sentence(terms, message):
    with pytest.raises(ConfigError, match=message):
        build(**terms)
