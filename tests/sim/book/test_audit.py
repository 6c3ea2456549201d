"""The audit finds every fault that it names: each is planted into a book that was whole."""

import pytest

from sim.actions import Reject
from sim.book.audit import FAULTS, Fault
from sim.book.book import OrderBook, new_messages
from sim.book.layout import (
    BASE,
    BEST,
    FAR_COUNT,
    FAR_HEAD,
    FREE_SLOT,
    LAST_PRICE,
    LOW_WATER,
    N_ORDERS,
    N_PRINTS,
    PHASE,
    OrderVerb,
)
from sim.errors import InvariantError

BUY, SELL = 0, 1
LIMIT, MARKET, STOP, STOP_LIMIT, CANCEL, *_ = OrderVerb
N = 4096


def whole():
    """A book with queues of three, an iceberg, far orders, heaps of three, free slots, accounts."""
    book = OrderBook(n_levels=N, capacity=32, n_accounts=2)
    for account in (0, 1):
        book.fund(account, 10**9, 10**6)
    order_id = 0
    for price in (100, 98, 90):
        for _ in range(3):
            assert book.order(LIMIT, BUY, order_id, 10, price, account=0)[0] == Reject.OK
            order_id += 1
    book.order(LIMIT, SELL, 50, 30, 105, account=1, display=4)
    book.order(LIMIT, SELL, 51, 30, 105, account=1)
    for order_id in (60, 61):
        book.order(LIMIT, SELL, order_id, 5, 90_000, account=1)
    for order_id in (70, 71, 72):
        book.order(STOP, SELL, order_id, 5, account=1, trigger=order_id)
    for order_id in (4, 8):
        book.order(CANCEL, BUY, order_id, 0, account=0)
    book.order(MARKET, SELL, 99, 1, account=1)
    book.prints()
    return book


def slot_of(book, order_id):
    orders = book.state.orders
    return next(s for s in range(32) if orders["state"][s] and orders["id"][s] == order_id)


def level_of(book, side, price):
    away = price - int(book.state.head[BASE])
    return side * N + (away if side == SELL else N - 1 - away)


def bit(book, side, level):
    return side * (N // 64 + 1) + level // 64, level % 64


def plant(fault, book):
    """Break one promise."""
    head, orders, levels, bits, table, stops, accounts, _ = book.state
    bid = level_of(book, BUY, 100)
    word, place = bit(book, BUY, bid)
    first = slot_of(book, 0)
    if fault == Fault.LEVEL_BIT:
        bits[word] ^= 1 << place
    elif fault == Fault.SUMMARY_BIT:
        bits[N // 64] ^= 1
    elif fault == Fault.EMPTY_LEVEL:
        levels["quantity"][level_of(book, BUY, 95)] = 3
    elif fault == Fault.LINK:
        orders["prev"][slot_of(book, 2)] = first
    elif fault == Fault.LEVEL_QUANTITY:
        levels["quantity"][bid] += 1
    elif fault == Fault.BEST_LEVEL:
        head[BEST + SELL] -= 1
    elif fault == Fault.ORDER:
        orders["quantity"][first] = 0
    elif fault == Fault.PLACE:
        orders["price"][first] = 99
    elif fault == Fault.ICEBERG:
        orders["quantity"][slot_of(book, 50)] = 5
    elif fault == Fault.TWICE:
        orders["next"][slot_of(book, 2)] = first
    elif fault == Fault.FAR_INSIDE:
        orders["price"][slot_of(book, 60)] = 106
    elif fault == Fault.FAR_LENGTH:
        head[FAR_COUNT + SELL] += 1
    elif fault == Fault.HEAP:
        stops[32:34] = stops[32:34][::-1].copy()
        orders["next"][stops[32:34]] = 0, 1
    elif fault == Fault.DUE_STOP:
        head[LAST_PRICE] = 72
    elif fault == Fault.TABLE:
        orders["id"][first] = 12345
    elif fault == Fault.TABLE_LENGTH:
        table[(table < 0).argmax()] = first
    elif fault == Fault.FREE_CHAIN:
        head[FREE_SLOT] = first
    elif fault == Fault.SLOTS:
        head[FREE_SLOT] = -1
    elif fault == Fault.CROSSED:
        return crossed()
    elif fault == Fault.ACCOUNT:
        accounts["cash"][1] = -1
    elif fault == Fault.RESERVED:
        accounts["cash_reserved"][0] += 1
    elif fault == Fault.TAPE:
        head[N_PRINTS] = 10**6
    elif fault == Fault.LOST_ORDER:
        far = head[FAR_HEAD + SELL]
        after = orders["next"][far]
        orders["prev"][after] = -1
        head[FAR_HEAD + SELL] = after
        head[FAR_COUNT + SELL] -= 1
    return None


def crossed():
    """Cross a book by hand: a fresh one, halted, collects orders; then its phase is overwritten."""
    fresh = OrderBook(n_levels=N, capacity=32)
    fresh.order(OrderVerb.HALT, 0, 0, 0)
    fresh.order(LIMIT, BUY, 1, 5, 101)
    fresh.order(LIMIT, SELL, 2, 5, 100)
    fresh.state.head[PHASE] = 0
    return fresh


@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_fault_is_found(fault):
    book = whole()
    book.check()
    book = plant(fault, book) or book
    with pytest.raises(InvariantError) as caught:
        book.check()
    words = FAULTS[fault].split("{}")
    assert str(caught.value).startswith("order book: " + words[0])
    assert str(caught.value).endswith(words[1])


def test_every_fault_has_a_sentence():
    assert set(FAULTS) == set(Fault) - {Fault.NONE}


def test_the_switch_checks_after_every_message():
    book = OrderBook(n_levels=N, capacity=8, checked=True)
    messages = new_messages(3)
    messages["verb"], messages["id"] = LIMIT, (1, 2, 3)
    messages["quantity"], messages["price"] = 5, 9
    book.submit(messages[:1])
    book.state.head[N_ORDERS] += 1
    with pytest.raises(InvariantError, match="after message 0"):
        book.submit(messages[1:])
    assert messages["outcome"].tolist() == [1, 1, 0]
    with pytest.raises(InvariantError, match="the table holds 3 orders"):
        book.order(LIMIT, BUY, 3, 5, 9)


def test_a_slot_beyond_the_touched_ones_is_found():
    book = whole()
    book.state.head[LOW_WATER] -= 3
    with pytest.raises(InvariantError):
        book.check()
