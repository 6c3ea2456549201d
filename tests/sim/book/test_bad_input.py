"""Bad input: a typed reject or one clear sentence, and not a byte of the book is changed."""

import numpy as np
import pytest

from sim.actions import Reject
from sim.book.book import OrderBook, new_messages, open_book
from sim.book.layout import MAX_PRICE, MAX_QUANTITY, MESSAGE, OrderVerb
from sim.errors import ConfigError, InputError

BUY, SELL = 0, 1
LIMIT, MARKET, STOP, STOP_LIMIT, CANCEL, REDUCE, REPLACE, HALT, CLOSE, RESUME = OrderVerb
GTC, IOC, FOK, POST_ONLY = range(4)


def busy(**terms):
    """A book of every kind of live order: near, far, hidden, waiting; account 1 has little left."""
    book = OrderBook(**{"n_levels": 4096, "capacity": 8, "n_accounts": 3, "checked": True} | terms)
    for account, cash in ((0, 10**9), (1, 5_000), (2, 10**9)):
        book.fund(account, cash, 1_000)
    for args, more in (
        ((LIMIT, BUY, 1, 10, 100), {"account": 0}),
        ((LIMIT, BUY, 2, 40, 100), {"account": 1}),
        ((LIMIT, SELL, 3, 30, 105), {"account": 2, "display": 4}),
        ((LIMIT, SELL, 4, 5, 90_000), {"account": 0}),
        ((STOP_LIMIT, SELL, 5, 5, 90), {"account": 0, "trigger": 95}),
        ((LIMIT, SELL, 6, 1, 100), {"account": 2}),  # trades one lot
    ):
        assert book.order(*args, **more)[0] == Reject.OK
    book.prints()
    return book


def image(book):
    """All bytes of a book."""
    return [array.tobytes() for array in book.state]


SENT = {
    "no lots": ((LIMIT, BUY, 9, 0, 100), {}, Reject.BAD_AMOUNT),
    "negative lots": ((LIMIT, BUY, 9, -3, 100), {}, Reject.BAD_AMOUNT),
    "the least number of lots": ((LIMIT, BUY, 9, -(2**63), 100), {}, Reject.BAD_AMOUNT),
    "too many lots": ((LIMIT, BUY, 9, MAX_QUANTITY + 1, 100), {}, Reject.BAD_AMOUNT),
    "the most lots of all": ((LIMIT, BUY, 9, 2**63 - 1, 100), {}, Reject.BAD_AMOUNT),
    "too much money": ((LIMIT, BUY, 9, 2**40, MAX_PRICE), {}, Reject.BAD_AMOUNT),
    "market of no lots": ((MARKET, BUY, 9, 0), {}, Reject.BAD_AMOUNT),
    "no price": ((LIMIT, BUY, 9, 5, 0), {}, Reject.BAD_PRICE),
    "negative price": ((LIMIT, BUY, 9, 5, -7), {}, Reject.BAD_PRICE),
    "price beyond all": ((LIMIT, BUY, 9, 5, MAX_PRICE + 1), {}, Reject.BAD_PRICE),
    "market with a price": ((MARKET, BUY, 9, 5, 100), {}, Reject.BAD_PRICE),
    "stop with a price": ((STOP, BUY, 9, 5, 100), {"trigger": 100}, Reject.BAD_PRICE),
    "stop without a trigger": ((STOP, BUY, 9, 5), {}, Reject.BAD_PRICE),
    "stop-limit without a price": ((STOP_LIMIT, BUY, 9, 5), {"trigger": 100}, Reject.BAD_PRICE),
    "no such side": ((LIMIT, 2, 9, 5, 100), {}, Reject.BAD_TERMS),
    "negative side": ((LIMIT, -1, 9, 5, 100), {}, Reject.BAD_TERMS),
    "no such time in force": ((LIMIT, BUY, 9, 5, 100, 4), {}, Reject.BAD_TERMS),
    "no such rule": ((LIMIT, BUY, 9, 5, 100), {"self_trade": 3}, Reject.BAD_TERMS),
    "shows more than it has": ((LIMIT, BUY, 9, 5, 100), {"display": 6}, Reject.BAD_TERMS),
    "shows less than nothing": ((LIMIT, BUY, 9, 5, 100), {"display": -1}, Reject.BAD_TERMS),
    "an iceberg at market": ((MARKET, BUY, 9, 5), {"display": 2}, Reject.BAD_TERMS),
    "post-only at market": ((MARKET, BUY, 9, 5, 0, POST_ONLY), {}, Reject.BAD_TERMS),
    "negative id": ((LIMIT, BUY, -1, 5, 100), {}, Reject.BAD_TARGET),
    "no such account": ((LIMIT, BUY, 9, 5, 100), {"account": 3}, Reject.BAD_TARGET),
    "nobody's account": ((LIMIT, BUY, 9, 5, 100), {"account": -1}, Reject.BAD_TARGET),
    "id of a resting order": ((LIMIT, BUY, 1, 5, 100), {}, Reject.DUPLICATE_ORDER),
    "id of a far order": ((MARKET, BUY, 4, 5), {}, Reject.DUPLICATE_ORDER),
    "id of a waiting order": ((STOP, BUY, 5, 5), {"trigger": 200}, Reject.DUPLICATE_ORDER),
    "post-only that would trade": ((LIMIT, BUY, 9, 5, 105, 3), {}, Reject.WOULD_TRADE),
    "unfillable": ((LIMIT, BUY, 9, 31, 105, FOK), {}, Reject.NOT_FILLABLE),
    "not enough cash": ((LIMIT, BUY, 9, 50, 100), {"account": 1}, Reject.INSUFFICIENT_BALANCE),
    "not enough lots": ((LIMIT, SELL, 9, 1_001, 200), {"account": 1}, Reject.INSUFFICIENT_BALANCE),
    "not enough lots at market": ((MARKET, SELL, 9, 1_002), {"account": 1}, Reject(5)),
    "cancel of nothing": ((CANCEL, BUY, 9, 0), {}, Reject.UNKNOWN_ORDER),
    "cancel of an impossible id": ((CANCEL, BUY, -5, 0), {}, Reject.UNKNOWN_ORDER),
    "cancel of another's": ((CANCEL, BUY, 2, 0), {}, Reject.NOT_OWNER),
    "cancel by nobody": ((CANCEL, BUY, 1, 0), {"account": -1}, Reject.NOT_OWNER),
    "reduction of nothing": ((REDUCE, BUY, 9, 5), {}, Reject.UNKNOWN_ORDER),
    "reduction of another's": ((REDUCE, BUY, 2, 5), {}, Reject.NOT_OWNER),
    "reduction by nothing": ((REDUCE, BUY, 1, 0), {}, Reject.BAD_AMOUNT),
    "reduction by less": ((REDUCE, BUY, 1, -1), {}, Reject.BAD_AMOUNT),
    "replacement of nothing": ((REPLACE, BUY, 9, 5, 100), {}, Reject.UNKNOWN_ORDER),
    "replacement of another's": ((REPLACE, BUY, 2, 5, 100), {}, Reject.NOT_OWNER),
    "replacement by no lots": ((REPLACE, BUY, 1, 0, 100), {}, Reject.BAD_AMOUNT),
    "replacement at no price": ((REPLACE, BUY, 1, 5, 0), {}, Reject.BAD_PRICE),
    "replacement of a stop": ((REPLACE, BUY, 5, 5, 100), {}, Reject.BAD_TERMS),
    "replacement that cannot be paid": (
        (REPLACE, BUY, 2, 51, 100), {"account": 1}, Reject.INSUFFICIENT_BALANCE,
    ),
    "no verb": ((0, BUY, 9, 5, 100), {}, Reject.UNKNOWN_VERB),
    "another verb": ((11, BUY, 9, 5, 100), {}, Reject.UNKNOWN_VERB),
    "a negative verb": ((-128, BUY, 9, 5, 100), {}, Reject.UNKNOWN_VERB),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_a_refused_message_changes_nothing(name):
    args, more, expected = SENT[name]
    book = busy()
    before = image(book)
    code, outcome, filled = book.order(*args, **{"account": 0} | more)
    assert (Reject(code), outcome, filled) == (expected, 0, 0)
    assert image(book) == before


@pytest.mark.parametrize(
    ("phase", "args", "more"),
    [
        (HALT, (MARKET, BUY, 9, 5), {}),
        (HALT, (LIMIT, BUY, 9, 5, 100, IOC), {}),
        (HALT, (LIMIT, BUY, 9, 5, 100, FOK), {}),
        (HALT, (STOP, BUY, 9, 5, 0, IOC), {"trigger": 100}),
        (CLOSE, (LIMIT, BUY, 9, 5, 100), {}),
        (CLOSE, (MARKET, BUY, 9, 5), {}),
        (CLOSE, (STOP, BUY, 9, 5), {"trigger": 100}),
        (CLOSE, (REPLACE, BUY, 1, 5, 100), {}),
    ],
)
def test_an_order_for_a_halted_book(phase, args, more):
    book = busy()
    book.order(phase, 0, 0, 0)
    before = image(book)
    assert book.order(*args, account=0, **more)[0] == Reject.HALTED
    assert image(book) == before


@pytest.mark.parametrize("price", [94, 111])
def test_an_order_outside_the_bands(price):
    book = busy()
    book.set_bands(95, 110)
    before = image(book)
    for args in (
        (LIMIT, BUY, 9, 5, price), (STOP_LIMIT, BUY, 9, 5, price), (REPLACE, BUY, 1, 5, price),
    ):  # fmt: skip
        assert book.order(*args, account=0, trigger=100)[0] == Reject.OUT_OF_BAND
        assert image(book) == before


def test_a_full_book_refuses_and_keeps_what_it_has():
    book = busy()
    for order_id in (20, 21, 22):
        assert book.order(LIMIT, BUY, order_id, 1, 99, account=0)[0] == Reject.OK
    before = image(book)
    for args in (
        (LIMIT, BUY, 30, 1, 99), (LIMIT, BUY, 30, 1, 105), (LIMIT, BUY, 30, 1, 99, POST_ONLY),
        (LIMIT, SELL, 30, 1, 500_000), (STOP, BUY, 30, 1), (STOP_LIMIT, BUY, 30, 1, 99),
    ):  # fmt: skip
        assert book.order(*args, account=0, trigger=200)[0] == Reject.BOOK_FULL
        assert image(book) == before
    assert book.order(LIMIT, BUY, 30, 2, 105, IOC, account=0) == (Reject.OK, 2, 2)
    assert book.order(REPLACE, BUY, 20, 1, 98, account=0)[0] == Reject.OK
    assert book.order(CANCEL, BUY, 21, 0, account=0)[0] == Reject.OK
    assert book.order(LIMIT, BUY, 31, 1, 99, account=0)[0] == Reject.OK


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_the_smallest_books_fill_and_empty(capacity):
    book = OrderBook(capacity=capacity, n_levels=4096, checked=True)
    for _ in range(3):
        for k in range(capacity):
            assert book.order(LIMIT, BUY, k, 1, 100 + 5000 * k)[0] == Reject.OK
        assert book.order(LIMIT, BUY, 99, 1, 100)[0] == Reject.BOOK_FULL
        for k in range(capacity):
            assert book.order(CANCEL, BUY, k, 0)[0] == Reject.OK


@pytest.mark.parametrize(
    "args",
    [
        (LIMIT, BUY, 9, 5, 100.5),
        (LIMIT, BUY, 9, 2.5, 100),
        (LIMIT, BUY, 9, 5.0, 100),
        (LIMIT, BUY, 9, 2**63, 100),
        (LIMIT, BUY, 9, -(2**63) - 1, 100),
        (LIMIT, BUY, 2**80, 5, 100),
        (LIMIT, BUY, 9, 5, 2**31),
        (LIMIT, 128, 9, 5, 100),
        (LIMIT, BUY, 9, float("nan"), 100),
        (LIMIT, BUY, 9, None, 100),
        (LIMIT, BUY, "9", 5, 100),
        (1000, BUY, 9, 5, 100),
    ],
)
def test_words_that_are_no_numbers_of_their_fields(args):
    book = busy()
    before = image(book)
    with pytest.raises(InputError, match="whole numbers that fit their fields") as caught:
        book.order(*args, account=0)
    assert "\n" not in str(caught.value)
    assert image(book) == before


@pytest.mark.parametrize(
    "messages",
    [np.zeros(3), np.zeros((2, 2), MESSAGE), np.zeros(3, [("id", np.int64)])],
)
def test_messages_of_another_kind(messages):
    book = busy()
    before = image(book)
    with pytest.raises(InputError, match="one row of records of MESSAGE"):
        book.submit(messages)
    assert image(book) == before


def test_no_messages():
    book = busy()
    before = image(book)
    assert book.submit(new_messages(0)).shape == (0,)
    assert image(book) == before


def test_a_tape_that_is_too_short_says_so_and_the_book_stays_whole():
    book = OrderBook(n_levels=4096, n_prints=4, capacity=64, checked=True)
    for order_id in range(10):
        book.order(LIMIT, SELL, order_id, 1, 100)
    messages = new_messages(1)
    messages["verb"], messages["id"], messages["quantity"] = MARKET, 50, 10
    with pytest.raises(InputError, match="no room for 6 prints; give the book a larger n_prints"):
        book.submit(messages)
    assert book.touch()[:4] == (0, 0, 0, 0)
    assert messages["filled"][0] == 10
    assert book.prints().shape == (0,)
    book.check()


def batch(*rows):
    """Messages from (verb, side, id, lots, price, trigger, display)."""
    messages = new_messages(len(rows))
    for m, row in zip(messages, rows, strict=True):
        m["verb"], m["side"], m["id"], m["quantity"], m["price"], m["trigger"], m["display"] = row
    return messages


def test_a_batch_is_cut_before_icebergs_fill_the_tape():
    one = [(LIMIT, SELL, 1, 100, 50, 0, 1), (MARKET, BUY, 2, 100, 0, 0, 0)]
    book = OrderBook(n_levels=4096, n_prints=256, capacity=64, checked=True)
    tape = book.submit(batch(*one * 10))
    assert tape["quantity"].tolist() == [1] * 1000
    assert tape["message"].tolist() == [1 + 2 * (k // 100) for k in range(1000)]


def test_a_batch_is_cut_before_stops_fill_the_tape():
    trades = [(LIMIT, BUY, 1, 1, 90, 0, 0), (MARKET, SELL, 2, 1, 0, 0, 0)] * 120
    stops = [(STOP, SELL, 100 + k, 1, 0, 80, 0) for k in range(60)]
    bids = [(LIMIT, BUY, 200 + k, 1, 80, 0, 0) for k in range(21)]
    book = OrderBook(n_levels=4096, n_prints=256, capacity=128, checked=True)
    tape = book.submit(batch(*trades, *stops, *bids, (MARKET, SELL, 3, 1, 0, 0, 0)))
    assert np.bincount(tape["kind"], minlength=5).tolist() == [120 + 21, 0, 60, 0, 40]


def test_accounts_are_funded_within_reason():
    book = busy()
    before = image(book)
    for account, cash, lots in ((3, 1, 1), (-1, 1, 1), (0, -(10**10), 0), (0, 0, 2**62)):
        with pytest.raises(InputError, match="account"):
            book.fund(account, cash, lots)
    with pytest.raises(InputError, match="bands must satisfy"):
        book.set_bands(10, 5)
    assert image(book) == before


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"capacity": 0}, "capacity"),
        ({"n_levels": 5000}, "n_levels must be a multiple of 4,096"),
        ({"n_levels": 0}, "n_levels"),
        ({"n_accounts": -1}, "n_accounts"),
        ({"n_prints": 0}, "n_prints"),
        ({"taker_fee_bps": 1001.0}, "taker_fee_bps must lie in"),
        ({"taker_fee_bps": float("nan")}, "taker_fee_bps"),
        ({"taker_fee_bps": 1.0, "maker_fee_bps": -2.0}, "fees must not pay more than they take"),
        ({"taker_fee_bps": -1.0, "maker_fee_bps": 2.0}, "fees must not pay more than they take"),
    ],
)
def test_books_that_cannot_be(terms, expected):
    with pytest.raises(ConfigError, match=expected):
        OrderBook(**terms)


def test_opening_a_book_again_forgets_everything():
    book, fresh = busy(), OrderBook(n_levels=4096, capacity=8, n_accounts=3)
    open_book(book.state)
    assert image(book) == image(fresh)
