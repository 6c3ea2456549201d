"""Sentences about matching, each with every invariant checked after every message."""

import numpy as np
import pytest

from sim.actions import Reject
from sim.book.book import OrderBook, new_messages
from sim.book.layout import (
    FEES,
    HALT_WANTED,
    MAX_PRICE,
    MAX_QUANTITY,
    PHASE,
    OrderVerb,
    Outcome,
    Phase,
    PrintKind,
    SelfTrade,
    Side,
    TimeInForce,
)

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK, POST_ONLY = TimeInForce
RESTING, FILLED, CANCELLED, WAITING = Outcome(1), Outcome(2), Outcome(3), Outcome(4)


class Desk:
    """A checked book, and shorter words for orders."""

    def __init__(self, **terms):
        self.book = OrderBook(**({"checked": True, "n_levels": 4096, "capacity": 256} | terms))

    def ask(self, verb, side=BUY, order_id=0, lots=1, price=0, tif=GTC, **more):
        code, outcome, filled = self.book.order(verb, side, order_id, lots, price, tif, **more)
        return Reject(code), Outcome(outcome), filled

    def limit(self, side, order_id, lots, price, tif=GTC, **more):
        code, outcome, filled = self.ask(OrderVerb.LIMIT, side, order_id, lots, price, tif, **more)
        assert code == Reject.OK
        return outcome, filled

    def market(self, side, order_id, lots, tif=GTC, **more):
        code, outcome, filled = self.ask(OrderVerb.MARKET, side, order_id, lots, 0, tif, **more)
        assert code == Reject.OK
        return outcome, filled

    def stop(self, side, order_id, lots, trigger, price=0, tif=GTC, **more):
        verb = OrderVerb.STOP_LIMIT if price else OrderVerb.STOP
        return self.ask(verb, side, order_id, lots, price, tif, trigger=trigger, **more)

    def cancel(self, order_id, **more):
        return self.ask(OrderVerb.CANCEL, order_id=order_id, **more)[0]

    def replace(self, order_id, lots, price, tif=GTC, **more):
        return self.ask(OrderVerb.REPLACE, BUY, order_id, lots, price, tif, **more)

    def ids(self, side):
        return self.book.queue(side)["id"].tolist()

    def trades(self):
        """(maker, taker, lots, price) of the trades since the last call."""
        tape = self.book.prints()
        tape = tape[(tape["kind"] == PrintKind.TRADE) | (tape["kind"] == PrintKind.AUCTION_TRADE)]
        words = ("maker", "taker", "quantity", "price")
        return list(zip(*(tape[name].tolist() for name in words), strict=True))

    def kinds(self):
        tape = self.book.prints()
        return [(PrintKind(k).name, maker) for k, maker in tape[["kind", "maker"]].tolist()]


@pytest.fixture
def desk():
    return Desk()


# Queues


def test_cancelling_the_middle_of_a_queue_loses_nobody(desk):
    for order_id in (1, 2, 3, 4):
        desk.limit(BUY, order_id, 10, 100)
    assert desk.cancel(3) == Reject.OK
    assert desk.ids(BUY) == [1, 2, 4]
    assert desk.market(SELL, 9, 30) == (FILLED, 30)
    assert desk.trades() == [(1, 9, 10, 100), (2, 9, 10, 100), (4, 9, 10, 100)]


def test_cancelling_the_head_of_a_queue_loses_nobody(desk):
    for order_id in (1, 2, 3):
        desk.limit(SELL, order_id, 10, 100)
    assert desk.cancel(1) == Reject.OK
    assert desk.ids(SELL) == [2, 3]
    assert desk.market(BUY, 9, 15) == (FILLED, 15)
    assert desk.trades() == [(2, 9, 10, 100), (3, 9, 5, 100)]


def test_scattered_cancels_in_a_deep_queue():
    desk = Desk(capacity=1200)
    for order_id in range(1000):
        desk.limit(BUY, order_id, 1 + order_id % 3, 100)
    gone = set(np.random.default_rng(1).permutation(1000)[:600].tolist())
    for order_id in gone:
        assert desk.cancel(order_id) == Reject.OK
    left = [order_id for order_id in range(1000) if order_id not in gone]
    assert desk.ids(BUY) == left
    lots = sum(1 + order_id % 3 for order_id in left)
    assert desk.book.touch()[:2] == (100, lots)
    desk.market(SELL, 5000, lots)
    assert [trade[0] for trade in desk.trades()] == left


def test_an_immediate_order_sweeps_levels_and_its_rest_is_cancelled(desk):
    for order_id, price in ((1, 100), (2, 101), (3, 103), (4, 106)):
        desk.limit(SELL, order_id, 5, price)
    assert desk.limit(BUY, 9, 20, 103, IOC) == (CANCELLED, 15)
    assert desk.trades() == [(1, 9, 5, 100), (2, 9, 5, 101), (3, 9, 5, 103)]
    assert desk.ids(BUY) == []
    assert desk.book.touch() == (0, 0, 106, 5, 103)


def test_a_residual_becomes_the_new_touch(desk):
    desk.limit(SELL, 1, 5, 100)
    desk.limit(SELL, 2, 5, 104)
    assert desk.limit(BUY, 9, 8, 102) == (RESTING, 5)
    assert desk.book.touch() == (102, 3, 104, 5, 100)


def test_a_sweeping_limit_rests_at_its_own_price(desk):
    for k, price in enumerate((110, 108, 107)):
        desk.limit(BUY, k, 4, price)
    assert desk.limit(SELL, 9, 20, 107) == (RESTING, 12)
    assert desk.trades() == [(0, 9, 4, 110), (1, 9, 4, 108), (2, 9, 4, 107)]
    assert desk.book.touch() == (0, 0, 107, 8, 107)


@pytest.mark.parametrize("price", [102, 105])
def test_a_modify_that_crosses_trades_at_the_makers_price(desk, price):
    """Also when that is better than what the modify would accept."""
    desk.limit(SELL, 1, 5, 102)
    desk.limit(BUY, 2, 5, 99)
    assert desk.replace(2, 7, price) == (Reject.OK, RESTING, 5)
    assert desk.trades() == [(1, 2, 5, 102)]
    assert desk.book.touch() == (price, 2, 0, 0, 102)


def test_a_modify_keeps_its_side(desk):
    desk.limit(SELL, 1, 5, 102)
    assert desk.ask(OrderVerb.REPLACE, BUY, 1, 6, 103) == (Reject.OK, RESTING, 0)
    assert desk.ids(SELL) == [1]


def test_two_at_one_level_one_repriced(desk):
    desk.limit(BUY, 1, 5, 100)
    desk.limit(BUY, 2, 6, 100)
    desk.replace(1, 5, 101)
    assert desk.book.depth(BUY).tolist() == [[101, 5, 1], [100, 6, 1]]
    desk.replace(1, 5, 100)
    assert desk.ids(BUY) == [2, 1]
    assert desk.book.depth(BUY).tolist() == [[100, 11, 2]]


def test_a_modify_at_its_own_price_goes_to_the_back(desk):
    for order_id in (1, 2, 3):
        desk.limit(SELL, order_id, 5, 100)
    desk.replace(1, 5, 100)
    assert desk.ids(SELL) == [2, 3, 1]


def test_cancel_or_modify_after_a_full_fill_is_rejected(desk):
    desk.limit(SELL, 1, 5, 100)
    desk.limit(BUY, 2, 5, 100)
    for order_id in (1, 2):
        assert desk.cancel(order_id) == Reject.UNKNOWN_ORDER
        assert desk.replace(order_id, 5, 100)[0] == Reject.UNKNOWN_ORDER
        assert desk.ask(OrderVerb.REDUCE, order_id=order_id)[0] == Reject.UNKNOWN_ORDER


def test_an_id_is_free_again_after_a_cancel_and_after_a_fill(desk):
    desk.limit(SELL, 1, 5, 100)
    assert desk.ask(OrderVerb.LIMIT, BUY, 1, 5, 90)[0] == Reject.DUPLICATE_ORDER
    desk.cancel(1)
    assert desk.limit(BUY, 1, 4, 100) == (RESTING, 0)
    assert desk.limit(SELL, 2, 4, 100) == (FILLED, 4)
    assert desk.limit(SELL, 1, 3, 101) == (RESTING, 0)
    assert desk.book.touch() == (0, 0, 101, 3, 100)


def test_no_phantom_level_after_the_best_is_cancelled(desk):
    desk.limit(BUY, 1, 5, 100)
    desk.limit(BUY, 2, 5, 90)
    desk.cancel(1)
    assert desk.book.touch()[:2] == (90, 5)
    assert desk.limit(SELL, 3, 5, 95) == (RESTING, 0)
    assert desk.trades() == []
    desk.cancel(2)
    assert desk.market(SELL, 4, 5) == (CANCELLED, 0)
    assert desk.book.touch() == (0, 0, 95, 5, 0)


def test_a_partly_filled_maker_keeps_the_front_between_calls(desk):
    desk.limit(SELL, 1, 10, 100)
    desk.limit(SELL, 2, 10, 100)
    desk.market(BUY, 8, 4)
    desk.market(BUY, 9, 8)
    assert desk.trades() == [(1, 8, 4, 100), (1, 9, 6, 100), (2, 9, 2, 100)]


@pytest.mark.parametrize("price", [1, 2, 4095, 4096, MAX_PRICE - 1, MAX_PRICE])
def test_prices_at_the_edge_of_the_domain(desk, price):
    desk.limit(BUY, 1, 5, price)
    assert desk.book.touch()[:2] == (price, 5)
    assert desk.limit(SELL, 2, 3, price) == (FILLED, 3)
    assert desk.limit(SELL, 3, 4, price) == (RESTING, 2)
    assert desk.book.touch() == (0, 0, price, 2, price)
    assert desk.cancel(3) == Reject.OK


@pytest.mark.parametrize("price", [0, -1, -(2**31), MAX_PRICE + 1])
def test_prices_beyond_the_domain(desk, price):
    assert desk.ask(OrderVerb.LIMIT, BUY, 1, 5, price)[0] == Reject.BAD_PRICE


def test_both_edges_of_the_domain_at_once(desk):
    desk.limit(BUY, 1, 5, 1)
    desk.limit(SELL, 2, 5, MAX_PRICE)
    assert desk.book.touch() == (1, 5, MAX_PRICE, 5, 0)
    assert desk.market(BUY, 3, 2) == (FILLED, 2)
    assert desk.market(SELL, 4, 2) == (FILLED, 2)
    assert desk.trades() == [(2, 3, 2, MAX_PRICE), (1, 4, 2, 1)]


@pytest.mark.parametrize("levels", [1, 50, 5000])
def test_a_sweep_of_5000_fills(levels):
    desk = Desk(checked=False, capacity=6000, n_levels=8192)
    for order_id in range(5000):
        desk.limit(SELL, order_id, 2, 1000 + order_id % levels)
    desk.book.check()
    desk.book.prints()
    assert desk.market(BUY, 9999, 10_000) == (FILLED, 10_000)
    desk.book.check()
    trades = desk.trades()
    expected = sorted(range(5000), key=lambda order_id: (order_id % levels, order_id))
    assert [trade[0] for trade in trades] == expected
    assert [trade[3] for trade in trades] == [1000 + order_id % levels for order_id in expected]
    assert desk.book.touch()[:4] == (0, 0, 0, 0)


def test_a_sweep_is_cut_where_the_tape_ends_between_messages():
    desk = Desk(n_prints=8)
    messages = new_messages(60)
    messages["verb"], messages["id"] = OrderVerb.LIMIT, np.arange(60)
    messages["side"], messages["quantity"], messages["price"] = np.arange(60) % 2, 1, 100
    tape = desk.book.submit(messages)
    assert tape["message"].tolist() == list(range(1, 60, 2))


# Order types


def test_a_fill_or_kill_order_trades_whole_or_not_at_all(desk):
    desk.limit(SELL, 1, 5, 100)
    desk.limit(SELL, 2, 5, 101)
    assert desk.ask(OrderVerb.LIMIT, BUY, 8, 11, 101, FOK)[0] == Reject.NOT_FILLABLE
    assert desk.ask(OrderVerb.LIMIT, BUY, 8, 10, 100, FOK)[0] == Reject.NOT_FILLABLE
    assert desk.ids(SELL) == [1, 2]
    assert desk.limit(BUY, 8, 10, 101, FOK) == (FILLED, 10)


def test_a_fill_or_kill_order_counts_hidden_lots(desk):
    desk.limit(SELL, 1, 50, 100, display=3)
    assert desk.market(BUY, 8, 50, FOK) == (FILLED, 50)


def test_a_fill_or_kill_order_is_not_stopped_half_way_by_its_owner(desk):
    """What an iceberg hides comes up behind the owner's order, which the taker meets first."""
    stop = {"account": 7, "self_trade": SelfTrade.CANCEL_INCOMING}
    desk.limit(SELL, 1, 50, 100, display=5)
    desk.limit(SELL, 2, 5, 100, account=7)
    assert desk.ask(OrderVerb.LIMIT, BUY, 8, 20, 100, FOK, **stop)[0] == Reject.NOT_FILLABLE
    assert desk.limit(BUY, 8, 5, 100, FOK, **stop) == (FILLED, 5)


def test_a_post_only_order_does_not_trade(desk):
    desk.limit(SELL, 1, 5, 100)
    assert desk.ask(OrderVerb.LIMIT, BUY, 2, 5, 100, POST_ONLY)[0] == Reject.WOULD_TRADE
    assert desk.limit(BUY, 2, 5, 99, POST_ONLY) == (RESTING, 0)
    assert desk.replace(2, 5, 101, POST_ONLY)[0] == Reject.WOULD_TRADE
    assert desk.ids(BUY) == [2]


def test_an_iceberg_refreshes_at_the_back_of_the_queue(desk):
    desk.limit(SELL, 1, 10, 100, display=4)
    desk.limit(SELL, 2, 4, 100)
    assert desk.book.touch()[2:4] == (100, 8)
    desk.market(BUY, 9, 4)
    assert desk.ids(SELL) == [2, 1]
    desk.market(BUY, 9, 10)
    assert desk.trades() == [(1, 9, 4, 100), (2, 9, 4, 100), (1, 9, 4, 100), (1, 9, 2, 100)]


def test_a_reduction_keeps_the_place_and_takes_hidden_lots_first(desk):
    desk.limit(SELL, 1, 10, 100, display=4)
    desk.limit(SELL, 2, 4, 100)
    assert desk.ask(OrderVerb.REDUCE, order_id=1, lots=5) == (Reject.OK, RESTING, 0)
    order = desk.book.queue(SELL)[0]
    assert (order["id"], order["quantity"], order["hidden"]) == (1, 4, 1)
    desk.ask(OrderVerb.REDUCE, order_id=1, lots=2)
    order = desk.book.queue(SELL)[0]
    assert (order["id"], order["quantity"], order["hidden"]) == (1, 3, 0)
    assert desk.ask(OrderVerb.REDUCE, order_id=1, lots=3) == (Reject.OK, CANCELLED, 0)
    assert desk.ids(SELL) == [2]


def test_a_stop_waits_for_its_trigger_and_trades_after_what_triggered_it(desk):
    for k, price in enumerate((100, 99, 98)):
        desk.limit(BUY, k, 5, price)
    assert desk.stop(SELL, 10, 3, 99) == (Reject.OK, WAITING, 0)
    assert desk.market(SELL, 11, 5) == (FILLED, 5)
    assert desk.trades() == [(0, 11, 5, 100)]
    assert desk.market(SELL, 12, 5) == (FILLED, 5)
    assert desk.trades() == [(1, 12, 5, 99), (2, 10, 3, 98)]


def test_stops_trigger_nearest_first_then_oldest(desk):
    desk.limit(SELL, 1, 1, 101)
    desk.limit(SELL, 2, 100, 110)
    for order_id, trigger in ((10, 101), (11, 100), (12, 101), (13, 111)):
        desk.stop(BUY, order_id, 1, trigger)
    desk.market(BUY, 20, 1)
    assert desk.kinds() == [
        ("TRADE", 1), ("STOP_TRIGGERED", 11), ("TRADE", 2), ("STOP_TRIGGERED", 10), ("TRADE", 2),
        ("STOP_TRIGGERED", 12), ("TRADE", 2),
    ]  # fmt: skip


def test_a_stop_limit_rests_at_its_price(desk):
    desk.limit(BUY, 1, 2, 100)
    assert desk.stop(SELL, 10, 3, 100, 99) == (Reject.OK, WAITING, 0)
    desk.market(SELL, 11, 1)
    assert desk.ids(SELL) == [10]
    assert desk.book.touch() == (0, 0, 99, 2, 100)


def test_a_reached_stop_trades_at_once(desk):
    desk.limit(BUY, 1, 9, 100)
    desk.market(SELL, 2, 1)
    assert desk.stop(SELL, 3, 4, 100) == (Reject.OK, FILLED, 4)
    assert desk.stop(SELL, 4, 6, 100) == (Reject.OK, CANCELLED, 4)


def test_stops_can_be_cancelled_and_reduced_but_not_replaced(desk):
    desk.stop(SELL, 1, 5, 90)
    desk.stop(BUY, 2, 5, 110)
    assert desk.replace(1, 5, 90)[0] == Reject.BAD_TERMS
    assert desk.ask(OrderVerb.REDUCE, order_id=1, lots=2) == (Reject.OK, WAITING, 0)
    assert desk.cancel(1) == Reject.OK
    assert desk.cancel(2) == Reject.OK
    assert desk.cancel(2) == Reject.UNKNOWN_ORDER


def test_self_trades(desk):
    mine = {"account": 3}
    desk.limit(SELL, 1, 5, 100, **mine)
    desk.limit(SELL, 2, 5, 100, account=4)
    rule = mine | {"self_trade": SelfTrade.CANCEL_INCOMING}
    assert desk.limit(BUY, 8, 6, 100, **rule) == (CANCELLED, 0)
    assert desk.ids(SELL) == [1, 2]
    rule = mine | {"self_trade": SelfTrade.CANCEL_RESTING}
    assert desk.limit(BUY, 8, 3, 100, **rule) == (FILLED, 3)
    assert desk.kinds() == [("SELF_TRADE_CANCEL", 1), ("TRADE", 2)]
    desk.limit(SELL, 1, 5, 99, **mine)
    assert desk.limit(BUY, 8, 3, 100, **mine) == (FILLED, 3)


def test_anonymous_orders_are_nobodys_own(desk):
    desk.limit(SELL, 1, 5, 100)
    rule = {"self_trade": SelfTrade.CANCEL_INCOMING}
    assert desk.limit(BUY, 2, 5, 100, **rule) == (FILLED, 5)


# Bands, phases, auctions


def test_a_market_order_stops_at_the_band_and_asks_for_a_halt(desk):
    desk.book.set_bands(95, 105)
    desk.limit(SELL, 1, 5, 104)
    assert desk.ask(OrderVerb.LIMIT, SELL, 2, 5, 106)[0] == Reject.OUT_OF_BAND
    desk.book.set_bands(95, 110)
    desk.limit(SELL, 2, 5, 106)
    desk.book.set_bands(95, 105)
    assert desk.market(BUY, 9, 8) == (CANCELLED, 5)
    assert desk.book.state.head[HALT_WANTED] == 1


def test_the_band_counts_where_the_orders_lie_outside_the_window(desk):
    desk.limit(SELL, 1, 5, 100)
    desk.limit(SELL, 2, 5, 10_000)
    desk.book.set_bands(95, 105)
    assert desk.market(BUY, 9, 8) == (CANCELLED, 5)
    assert desk.book.state.head[HALT_WANTED] == 1


def test_a_stop_limit_whose_price_has_left_the_bands_is_cancelled(desk):
    desk.limit(SELL, 1, 5, 100)
    desk.limit(SELL, 2, 5, 107)
    desk.stop(BUY, 3, 5, 100, 110)
    desk.book.set_bands(95, 105)
    desk.market(BUY, 9, 5)
    assert desk.kinds() == [("TRADE", 1), ("STOP_TRIGGERED", 3), ("STOP_CANCELLED", 3)]
    assert desk.book.touch()[:3] == (0, 0, 107)


def test_a_halt_collects_orders_and_resuming_trades_them_at_one_price(desk):
    desk.limit(BUY, 1, 5, 100)
    assert desk.ask(OrderVerb.HALT)[0] == Reject.OK
    desk.limit(SELL, 2, 4, 97)
    desk.limit(BUY, 3, 3, 102)
    assert desk.trades() == []
    assert desk.ask(OrderVerb.MARKET, BUY, 9, 1)[0] == Reject.HALTED
    assert desk.ask(OrderVerb.LIMIT, BUY, 9, 1, 100, IOC)[0] == Reject.HALTED
    assert desk.ask(OrderVerb.LIMIT, BUY, 9, 1, 100, FOK)[0] == Reject.HALTED
    desk.ask(OrderVerb.RESUME)
    trades = desk.trades()
    assert [(maker, taker, lots) for maker, taker, lots, _ in trades] == [(3, 2, 3), (1, 2, 1)]
    assert len({price for *_, price in trades}) == 1
    assert desk.book.state.head[PHASE] == Phase.CONTINUOUS


def test_an_auction_clears_the_most_lots_with_the_least_left_nearest_to_the_last_price(desk):
    desk.limit(BUY, 1, 1, 104)
    desk.limit(SELL, 2, 1, 104)
    desk.trades()
    desk.ask(OrderVerb.HALT)
    desk.limit(BUY, 3, 10, 105)
    desk.limit(SELL, 4, 10, 95)
    desk.ask(OrderVerb.RESUME)
    assert desk.trades() == [(3, 4, 10, 104)]
    desk.ask(OrderVerb.HALT)
    desk.limit(BUY, 3, 10, 103)
    desk.limit(SELL, 4, 8, 95)
    desk.limit(SELL, 5, 2, 101)
    desk.ask(OrderVerb.RESUME)
    assert desk.trades() == [(3, 4, 8, 103), (3, 5, 2, 103)]


def test_an_auction_opens_an_empty_book_at_any_price(desk):
    desk.ask(OrderVerb.HALT)
    assert desk.limit(BUY, 1, 5, 1_000_000) == (RESTING, 0)
    assert desk.limit(SELL, 2, 5, 999_990) == (RESTING, 0)
    assert desk.ask(OrderVerb.LIMIT, SELL, 3, 5, 5)[0] == Reject.OUT_OF_BAND
    desk.ask(OrderVerb.RESUME)
    assert desk.trades() == [(1, 2, 5, 999_995)]


def test_a_print_of_an_auction_says_whether_the_buyers_order_is_complete(desk):
    desk.ask(OrderVerb.HALT)
    desk.limit(BUY, 1, 6, 100, display=2)
    desk.limit(SELL, 2, 5, 100)
    desk.limit(SELL, 3, 5, 100)
    desk.ask(OrderVerb.RESUME)
    assert desk.book.prints()["last"].tolist() == [0, 0, 0, 1]


def test_a_closed_book_takes_cancels_and_reductions_only(desk):
    desk.limit(BUY, 1, 5, 100)
    desk.limit(BUY, 2, 5, 100)
    desk.ask(OrderVerb.CLOSE)
    assert desk.ask(OrderVerb.LIMIT, BUY, 3, 5, 100)[0] == Reject.HALTED
    assert desk.stop(BUY, 3, 5, 100)[0] == Reject.HALTED
    assert desk.replace(1, 5, 101)[0] == Reject.HALTED
    assert desk.ask(OrderVerb.REDUCE, order_id=1, lots=2)[0] == Reject.OK
    assert desk.cancel(2) == Reject.OK
    assert desk.book.depth(BUY).tolist() == [[100, 3, 1]]


# Money


def funded(**terms):
    desk = Desk(n_accounts=2, **terms)
    for account in range(2):
        desk.book.fund(account, 1_000_000, 100)
    return desk


def test_fees_go_from_both_sides_to_the_house():
    desk = funded(taker_fee_bps=10.0, maker_fee_bps=-2.0)
    desk.limit(SELL, 1, 50, 1000, account=0)
    desk.market(BUY, 2, 50, account=1)
    accounts = desk.book.state.accounts
    assert accounts["cash"].tolist() == [1_000_000 + 50_000 + 10, 1_000_000 - 50_000 - 50]
    assert accounts["lots"].tolist() == [50, 150]
    assert desk.book.state.head[FEES] == 40


def test_resting_orders_reserve_what_they_need():
    desk = funded(taker_fee_bps=10.0)
    desk.limit(BUY, 1, 100, 1000, account=0)
    desk.limit(SELL, 2, 60, 2000, account=0)
    mine = desk.book.state.accounts[0]
    assert mine.tolist() == (1_000_000 - 100_100, 40, 100_100, 60)
    sell = {"account": 0}
    code = desk.ask(OrderVerb.LIMIT, SELL, 3, 41, 2000, **sell)[0]
    assert code == Reject.INSUFFICIENT_BALANCE
    desk.ask(OrderVerb.REDUCE, order_id=1, lots=50, **sell)
    desk.cancel(2, **sell)
    assert desk.book.state.accounts[0].tolist() == (1_000_000 - 50_050, 100, 50_050, 0)


def test_a_market_purchase_buys_what_it_can_pay():
    desk = funded(taker_fee_bps=100.0)
    desk.limit(SELL, 1, 100, 20_000, account=1)
    assert desk.market(BUY, 2, 100, account=0) == (CANCELLED, 49)
    assert desk.book.state.accounts[0]["cash"] == 1_000_000 - 49 * 20_200


def test_a_fill_or_kill_market_purchase_that_cannot_be_paid_does_nothing():
    desk = funded(taker_fee_bps=100.0)
    desk.limit(SELL, 1, 100, 20_000, account=1)
    code = desk.ask(OrderVerb.MARKET, BUY, 2, 50, 0, FOK, account=0)[0]
    assert code == Reject.NOT_FILLABLE
    assert desk.market(BUY, 2, 49, FOK, account=0) == (FILLED, 49)


def test_the_largest_orders_do_not_overflow():
    desk = Desk(n_accounts=2)
    desk.book.fund(0, 2**62 - 1, 0)
    desk.book.fund(1, 0, 2**62 - 1)
    lots, price = MAX_QUANTITY, 2**21 - 1
    assert desk.limit(SELL, 1, lots, price, account=1) == (RESTING, 0)
    assert desk.limit(BUY, 2, lots, price, account=0) == (FILLED, lots)
    assert desk.book.state.accounts["cash"].tolist() == [2**62 - 1 - lots * price, lots * price]
    code = desk.ask(OrderVerb.LIMIT, BUY, 3, lots, MAX_PRICE, account=0)[0]
    assert code == Reject.BAD_AMOUNT
