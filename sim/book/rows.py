"""Rows become messages to a book, and results come back into the rows.

An order hands in the base asset to sell it or the quote asset to buy the other; `amount` is in
base tokens either way, `limit` the price in quote tokens per base token, `target` the sender's own
number of the order. How it lives is packed into `option` by `order_option`.
"""

import numpy as np

from sim.actions import Reject, Verb
from sim.book.accounts import reserve_for
from sim.book.layout import (
    FEE_UNIT,
    MAX_PRICE,
    MAX_QUANTITY,
    N_PRINTS,
    PHASE,
    RESERVE_FEE,
    Book,
    OrderVerb,
    Outcome,
    Phase,
    PrintKind,
    SelfTrade,
    Side,
    TimeInForce,
)
from sim.book.matching import submit
from sim.book.registry import find
from sim.book.seat import (
    NOBODY,
    Seats,
    even_out,
    forget_tape,
    look_after,
    one_world,
    pass_time,
    publish,
    purchase,
    sale,
    show,
    units_of,
)
from sim.crowd.loop import notice
from sim.kernel import F64, I64, Record, Rows, i64, inlined, kernel, spliced, word

ZERO = word(0)
OK, UNKNOWN_VERB = word(Reject.OK), word(Reject.UNKNOWN_VERB)
BAD_AMOUNT, BAD_ASSET = word(Reject.BAD_AMOUNT), word(Reject.BAD_ASSET)
BAD_TARGET, BAD_PRICE = word(Reject.BAD_TARGET), word(Reject.BAD_PRICE)
BAD_TERMS, HALTED = word(Reject.BAD_TERMS), word(Reject.HALTED)
INSUFFICIENT_BALANCE = word(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = word(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = word(Reject.LIMIT_NOT_MET)
SWAP, LIMIT_ORDER, MARKET_ORDER = int(Verb.SWAP), int(Verb.LIMIT_ORDER), int(Verb.MARKET_ORDER)
STOP_ORDER, STOP_LIMIT_ORDER = int(Verb.STOP_ORDER), int(Verb.STOP_LIMIT_ORDER)
CANCEL_ORDER, REDUCE_ORDER = int(Verb.CANCEL_ORDER), int(Verb.REDUCE_ORDER)
REPLACE_ORDER = int(Verb.REPLACE_ORDER)
LIMIT, MARKET = int(OrderVerb.LIMIT), int(OrderVerb.MARKET)
BUY, SELL = word(Side.BUY), word(Side.SELL)
CONTINUOUS = word(Phase.CONTINUOUS)
RESTING, WAITING = int(Outcome.RESTING), int(Outcome.WAITING)
TRADE = int(PrintKind.TRADE)
UNNAMED = word(1 << 31)  # number of a swap's orders, which never rest
EXTRA_BITS = 27

RESULTS = ("filled", "turnover", "average_price", "resting")
"""Base tokens traded at once, quote tokens that they cost or brought before fees, and base tokens
left on the book."""


def order_option(
    tif: int = TimeInForce.GOOD_TILL_CANCEL, self_trade: int = SelfTrade.ALLOW, extra: int = 0
) -> int:
    """Pack how an order lives into a row's `option`.

    Parameters
    ----------
    tif : TimeInForce
    self_trade : SelfTrade
    extra : int
        The lots that an iceberg shows (LIMIT_ORDER, REPLACE_ORDER), or the trigger of a
        STOP_LIMIT_ORDER in ticks; below 2^27. A STOP_ORDER has its trigger in `limit`.
    """
    return int(tif) | int(self_trade) << 2 | int(extra) << 4


@inlined
def whole(x: float, most: float) -> int:
    """Nearest whole number, if `x` is one to 1e-6 or 1e-12 of itself and in [1, most]; else 0."""
    if not 0.5 < x <= most:
        return 0
    n = np.floor(x + 0.5)
    return i64(n) if abs(x - n) <= max(1e-6, 1e-12 * x) else 0


@inlined
def find_book(seats: Seats, asset_in: int, asset_out: int) -> int:
    """2 x book + side of who hands in one asset to receive the other; -1: no such book."""
    for k in range(seats.base.shape[0]):
        if asset_in == seats.base[k] and asset_out == seats.quote:
            return 2 * k + 1
        if asset_out == seats.base[k] and asset_in == seats.quote:
            return 2 * k
    return -1


@inlined
def arrival_of(seats: Seats, row: Record, w: int, k: int) -> int:
    """Time at which a row reaches a book: within the block, whatever it says."""
    late = min(row["arrival"] * 1e9, np.float64(seats.block_ns))
    return seats.opened[w, k] + i64(late)


@inlined
def all_lots(book: Book, account: int, side: int, price: int) -> int:
    """Lots that an order of unlimited amount stands for; a market purchase is bounded by cash."""
    mine = book.accounts[account]
    if side == SELL:
        return min(mine["lots"], MAX_QUANTITY)
    if price == 0:
        return MAX_QUANTITY
    lots = mine["cash"] / (price * (1.0 + book.head[RESERVE_FEE] / FEE_UNIT))
    n = i64(min(lots, MAX_QUANTITY - 1.0)) + 1
    while n > 0 and reserve_for(book, price, n) > mine["cash"]:
        n -= 1
    return n


@spliced
def write_message(seats: Seats, book: Book, k: int, side: int, row: Record) -> int:
    """Write a row's order into the message; return why it makes no sense, or OK.

    Amounts and prices that are no whole lots and ticks become 0, which the book refuses.
    """
    m = seats.message[0]
    verb = row["verb"]
    option = i64(row["option"])
    m["id"] = (i64(row["account"]) << 32) | i64(row["target"])
    m["account"] = row["account"]
    m["verb"] = verb - LIMIT_ORDER + LIMIT
    m["side"] = side
    m["tif"] = option & 3
    m["stp"] = (option >> 2) & 3
    m["display"] = 0
    m["trigger"] = 0
    m["price"] = 0
    extra = option >> 4
    if option < 0:
        return BAD_TERMS
    if verb in (LIMIT_ORDER, REPLACE_ORDER, STOP_LIMIT_ORDER):
        m["price"] = whole(row["limit"] / seats.tick[k], float(MAX_PRICE))
        if verb == STOP_LIMIT_ORDER:
            m["trigger"] = extra
        else:
            m["display"] = extra
    elif verb == STOP_ORDER:
        m["trigger"] = whole(row["limit"] / seats.tick[k], float(MAX_PRICE))
    elif verb == MARKET_ORDER and row["limit"] != 0.0:
        return BAD_PRICE
    if row["amount"] == np.inf:
        m["quantity"] = MAX_QUANTITY
        if verb == REPLACE_ORDER:
            return BAD_AMOUNT
        if verb != REDUCE_ORDER and verb != CANCEL_ORDER:
            m["quantity"] = all_lots(book, row["account"], side, i64(m["price"]))
    else:
        m["quantity"] = whole(row["amount"] / seats.lot[k], float(MAX_QUANTITY))
    return OK


@inlined
def live_lots(book: Book, order_id: int) -> int:
    """Lots of a live order, hidden ones too; 0 if there is none."""
    slot = find(book, order_id)
    return book.orders[slot]["quantity"] + book.orders[slot]["hidden"] if slot >= 0 else 0


@inlined
def value_taken(book: Book, first: int, order_id: int) -> int:
    """Cash units that an incoming order traded, by the tape from line `first` on."""
    value = 0
    for i in range(first, book.head[N_PRINTS]):
        line = book.tape[i]
        if line["kind"] == TRADE and line["taker"] == order_id:
            value += line["quantity"] * i64(line["price"])
    return value


@kernel
def hand_over(
    seats: Seats, book: Book, balances: F64, w: int, k: int, account: int, cash: int, lots: int
) -> int:
    """Hand the message to the book and pay what it moved; return the line where its prints start.

    The account was shown `cash` and `lots` before.
    """
    first = book.head[N_PRINTS]
    submit(book, seats.message)
    even_out(seats, book, balances, w, k, account, cash, lots)
    if book.head[N_PRINTS] > first:
        notice(book, seats.crowds[k], w, first, seats.clock[w, k])
    look_after(seats, book, w, k)
    return first


@spliced
def order(seats: Seats, balances: F64, fundamental: F64, market: F64, row: Record, w: int) -> int:
    """Do what an order's row asks; return its code."""
    place = find_book(seats, i64(row["asset"]), i64(row["asset_2"]))
    if place < 0:
        return BAD_ASSET
    if row["target"] < 0:
        return BAD_TARGET
    k, side, account = place >> 1, place & 1, i64(row["account"])
    if row["verb"] == STOP_ORDER and side == BUY:
        return BAD_TERMS  # no price, so no cash that could be set aside: send a stop-limit order
    pass_time(seats, balances, w, k, arrival_of(seats, row, w, k))
    book = one_world(seats, k, w)
    m = seats.message[0]
    show(seats, book, balances, w, k, account)
    cash, lots = book.accounts[account]["cash"], book.accounts[account]["lots"]
    code = write_message(seats, book, k, side, row)
    if code != OK:
        book.accounts[account]["cash"] = 0
        book.accounts[account]["lots"] = 0
        return code
    before = live_lots(book, m["id"])
    first = hand_over(seats, book, balances, w, k, account, cash, lots)
    if m["code"] == OK and (row["verb"] == CANCEL_ORDER or row["verb"] == REDUCE_ORDER):
        row["r0"] = (before - live_lots(book, m["id"])) * seats.lot[k]
    elif m["code"] == OK:
        row["r0"] = m["filled"] * seats.lot[k]
        row["r1"] = value_taken(book, first, m["id"]) * (seats.tick[k] * seats.lot[k])
        row["r2"] = row["r1"] / row["r0"] if m["filled"] > 0 else 0.0
        if m["outcome"] == RESTING or m["outcome"] == WAITING:
            row["r3"] = live_lots(book, m["id"]) * seats.lot[k]
    forget_tape(seats, book)
    publish(seats, book, fundamental, market, w, k)
    return i64(m["code"])


@spliced
def market_order(seats: Seats, account: int, side: int, lots: int) -> None:
    """Write a market order into the message."""
    m = seats.message[0]
    m["id"] = (account << 32) | UNNAMED
    m["account"] = account
    m["verb"] = MARKET
    m["side"] = side
    m["quantity"] = lots
    m["tif"] = 0
    m["stp"] = 0
    m["price"] = 0
    m["display"] = 0
    m["trigger"] = 0


@spliced
def sell_leg(seats: Seats, balances: F64, w: int, k: int, account: int, lots: int) -> None:
    """Sell whole lots of the ledger account at the market."""
    book = one_world(seats, k, w)
    book.accounts[account]["lots"] = lots
    market_order(seats, account, SELL, lots)
    hand_over(seats, book, balances, w, k, account, ZERO, lots)


@spliced
def buy_leg(seats: Seats, balances: F64, w: int, k: int, account: int, cash: int) -> None:
    """Spend whole units of cash of the ledger account at the market."""
    book = one_world(seats, k, w)
    book.accounts[account]["cash"] = cash
    market_order(seats, account, BUY, MAX_QUANTITY)
    hand_over(seats, book, balances, w, k, account, cash, ZERO)


@inlined
def swap_amount(balances: F64, row: Record, w: int) -> float:
    """Whole tokens that a swap hands in; 0: no such amount, negative: more than is held."""
    held, amount = balances[w, row["account"], row["asset"]], row["amount"]
    if not amount > 0.0:
        return 0.0
    if amount == np.inf:
        amount = held
    return min(amount, held) if 0.0 < amount <= held * (1.0 + 1e-12) else -1.0


@spliced
def swap(seats: Seats, balances: F64, fundamental: F64, market: F64, row: Record, w: int) -> int:
    """Sell one asset for another by market orders in one book or two; return the code.

    What comes out by the books as they stand must reach `limit`. What no bid takes stays with the
    seller, and what is left of the quote asset between two books is the seller's.
    """
    a, b, account = i64(row["asset"]), i64(row["asset_2"]), i64(row["account"])
    quote = seats.quote
    first = find_book(seats, a, quote) >> 1 if a != quote else NOBODY
    second = find_book(seats, quote, b) >> 1 if b != quote else NOBODY
    if a == b or (a != quote and first < 0) or (b != quote and second < 0):
        return BAD_ASSET
    if not row["amount"] > 0.0:
        return BAD_AMOUNT
    for k in (first, second):
        if k >= 0:
            pass_time(seats, balances, w, k, arrival_of(seats, row, w, k))
    amount = swap_amount(balances, row, w)
    if amount <= 0.0:
        return BAD_AMOUNT if amount == 0.0 else INSUFFICIENT_BALANCE
    lots, tokens = 0, amount  # of the first asset that will be sold, of the quote asset in between
    if first >= 0:
        book = one_world(seats, first, w)
        if book.head[PHASE] != CONTINUOUS:
            return HALTED
        unit = seats.tick[first] * seats.lot[first]
        lots, cash = sale(book, units_of(amount, seats.lot[first]))
        tokens = cash * unit
    out = tokens
    if second >= 0:
        book = one_world(seats, second, w)
        if book.head[PHASE] != CONTINUOUS:
            return HALTED
        unit = seats.tick[second] * seats.lot[second]
        out = purchase(book, units_of(tokens, unit)) * seats.lot[second]
    if not out > 0.0:
        return INSUFFICIENT_LIQUIDITY
    if not out >= row["limit"]:
        return LIMIT_NOT_MET
    before_in, before_out = balances[w, account, a], balances[w, account, b]
    before = balances[w, account, quote]
    if first >= 0:
        sell_leg(seats, balances, w, first, account, lots)
        tokens = balances[w, account, quote] - before
    if second >= 0:
        unit = seats.tick[second] * seats.lot[second]
        buy_leg(seats, balances, w, second, account, units_of(tokens, unit))
    row["r0"] = before_in - balances[w, account, a]
    row["r1"] = balances[w, account, b] - before_out
    row["r2"] = row["r0"] * market[w, a] - row["r1"] * market[w, b]
    if first >= 0 and second >= 0:
        row["r2"] -= (balances[w, account, quote] - before) * market[w, quote]
    for k in (first, second):
        if k >= 0:
            book = one_world(seats, k, w)
            forget_tape(seats, book)
            publish(seats, book, fundamental, market, w, k)
    return OK


@kernel
def execute(
    seats: Seats, balances: F64, fundamental: F64, market: F64, rows: Rows, places: I64,
    starts: I64, ends: I64,
) -> None:  # fmt: skip
    """Execute each world's rows in order."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            row = rows[places[j]]
            verb = row["verb"]
            if verb == SWAP:
                row["code"] = swap(seats, balances, fundamental, market, row, w)
            elif LIMIT_ORDER <= verb <= REPLACE_ORDER:
                row["code"] = order(seats, balances, fundamental, market, row, w)
            else:
                row["code"] = UNKNOWN_VERB
