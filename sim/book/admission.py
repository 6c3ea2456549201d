"""Which orders a book refuses, and why.

Checks come before effects: a refused message changes nothing.
"""

import numpy as np

from sim.actions import Reject
from sim.book.accounts import free_value, reserve_for
from sim.book.ladder import best_far, next_best
from sim.book.layout import (
    BAND_HIGH,
    BAND_LOW,
    BASE,
    BEST,
    FAR_COUNT,
    FAR_HEAD,
    MAX_PRICE,
    MAX_QUANTITY,
    MAX_VALUE,
    PHASE,
    SETTLES,
    Book,
    OrderState,
    OrderVerb,
    Phase,
    SelfTrade,
    Side,
    TimeInForce,
)
from sim.kernel import Rows, inlined, kernel

OK = int(Reject.OK)
BUY, SELL = int(Side.BUY), int(Side.SELL)
MARKET = int(OrderVerb.MARKET)
STOP, STOP_LIMIT = int(OrderVerb.STOP), int(OrderVerb.STOP_LIMIT)
GTC = int(TimeInForce.GOOD_TILL_CANCEL)
IOC = int(TimeInForce.IMMEDIATE_OR_CANCEL)
FOK = int(TimeInForce.FILL_OR_KILL)
POST_ONLY = int(TimeInForce.POST_ONLY)
ALLOW = int(SelfTrade.ALLOW)
CANCEL_INCOMING = int(SelfTrade.CANCEL_INCOMING)
CONTINUOUS, AUCTION, CLOSED = int(Phase.CONTINUOUS), int(Phase.AUCTION), int(Phase.CLOSED)
WAITING = int(OrderState.WAITING)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_PRICE, BAD_TERMS = int(Reject.BAD_PRICE), int(Reject.BAD_TERMS)
BAD_TARGET, NOT_OWNER = int(Reject.BAD_TARGET), int(Reject.NOT_OWNER)
WOULD_TRADE, NOT_FILLABLE = int(Reject.WOULD_TRADE), int(Reject.NOT_FILLABLE)
HALTED, OUT_OF_BAND = int(Reject.HALTED), int(Reject.OUT_OF_BAND)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)


@inlined
def limit_level(book: Book, side: int, price: int) -> int:
    """Worst level that an order may trade at, within window and bands; price 0: any."""
    n_levels = book.levels.shape[0] >> 1
    if side == BUY:
        worst = book.head[BAND_HIGH] if price == 0 else min(price, book.head[BAND_HIGH])
        return min(worst - book.head[BASE], n_levels - 1)
    worst = max(price, book.head[BAND_LOW])
    return max(worst - book.head[BASE], 0)


@inlined
def reaches(side: int, limit: int, best: int) -> bool:
    """Whether an order of a side with that limit meets that best level (or price)."""
    return best <= limit if side == BUY else best >= limit


@inlined
def bad_terms(book: Book, m: Rows) -> int:
    """Return why an order's words make no sense, or OK."""
    if not 1 <= m["quantity"] <= MAX_QUANTITY:
        return BAD_AMOUNT
    if not (0 <= m["side"] <= SELL and GTC <= m["tif"] <= POST_ONLY and 0 <= m["stp"] <= 2):
        return BAD_TERMS
    verb = m["verb"]
    if verb == MARKET or verb == STOP:
        if m["price"] != 0:
            return BAD_PRICE
        if m["display"] != 0 or m["tif"] == POST_ONLY:
            return BAD_TERMS
    elif not 1 <= m["price"] <= MAX_PRICE:
        return BAD_PRICE
    if not 0 <= m["display"] <= m["quantity"]:
        return BAD_TERMS
    if (verb == STOP or verb == STOP_LIMIT) and not 1 <= m["trigger"] <= MAX_PRICE:
        return BAD_PRICE
    if book.head[SETTLES] != 0:
        if not 0 <= m["account"] < book.accounts.shape[0]:
            return BAD_TARGET
        if np.float64(m["quantity"]) * np.float64(max(m["price"], 1)) >= MAX_VALUE:
            return BAD_AMOUNT
    return BAD_TARGET if m["id"] < 0 else OK


@inlined
def bad_time(book: Book, m: Rows) -> int:
    """Return why the phase or the bands refuse an order, or OK."""
    phase = book.head[PHASE]
    if phase == CLOSED:
        return HALTED
    price = m["price"]
    if price != 0 and not book.head[BAND_LOW] <= price <= book.head[BAND_HIGH]:
        return OUT_OF_BAND
    if phase == AUCTION:
        if m["verb"] == MARKET or m["tif"] == IOC or m["tif"] == FOK:
            return HALTED
        level = price - book.head[BASE]
        if m["verb"] != STOP and not 0 <= level < book.levels.shape[0] >> 1:
            return OUT_OF_BAND  # an auction is held among the prices of the window
    return OK


@kernel
def would_trade(book: Book, side: int, price: int) -> bool:
    """Whether a new order of that side and limit would meet an opposite order."""
    limit = limit_level(book, side, price)
    best = book.head[BEST + 1 - side]
    if 0 <= best < book.levels.shape[0] >> 1:
        return reaches(side, limit, best)
    return book.head[FAR_COUNT + 1 - side] > 0 and reaches(side, price, best_far(book, 1 - side))


@kernel
def fillable_in(book: Book, m: Rows, slot: int, left: int, price: int) -> int:
    """Lots left of a fill-or-kill order after the orders behind `slot` at one price.

    Negative where it would run into its owner's own order, and so could not fill.
    """
    while slot >= 0 and left > 0:
        order = book.orders[slot]
        if order["price"] == price:
            if m["stp"] != ALLOW and order["account"] == m["account"] >= 0:
                if m["stp"] == CANCEL_INCOMING:
                    return -1
            else:
                left = max(left - order["quantity"] - order["hidden"], 0)
        slot = order["next"]
    return left


@kernel
def next_far(book: Book, side: int, price: int) -> int:
    """Best price outside the window that is worse than `price`; 0 if there is none."""
    best = 0
    slot = book.head[FAR_HEAD + side]
    while slot >= 0:
        other = np.int64(book.orders[slot]["price"])
        if (other < price) if side == BUY else (other > price):
            if best == 0 or ((other > best) if side == BUY else (other < best)):
                best = other
        slot = book.orders[slot]["next"]
    return best


@kernel
def can_fill(book: Book, m: Rows, price: int) -> bool:
    """Whether a fill-or-kill order of limit `price` (0: any) would trade whole."""
    side = m["side"]
    left, other = m["quantity"], 1 - m["side"]
    n_levels = book.levels.shape[0] >> 1
    limit = limit_level(book, side, price)
    level = book.head[BEST + other]
    last = book.head[BASE] - 1 if side == BUY else book.head[BASE] + n_levels
    while 0 <= level < n_levels and reaches(side, limit, level):
        last = level + book.head[BASE]
        left = fillable_in(book, m, book.levels[other * n_levels + level]["head"], left, last)
        if left <= 0:
            return left == 0
        level = next_best(book, other, level + (1 if side == BUY else -1))
    if 0 <= level < n_levels or book.head[FAR_COUNT + other] == 0:
        return False
    worst = price if price != 0 else (MAX_PRICE if side == BUY else 1)
    worst = min(worst, book.head[BAND_HIGH]) if side == BUY else max(worst, book.head[BAND_LOW])
    last = next_far(book, other, last)
    while last != 0 and reaches(side, worst, last):
        left = fillable_in(book, m, book.head[FAR_HEAD + other], left, last)
        if left <= 0:
            return left == 0
        last = next_far(book, other, last)
    return False


@inlined
def cannot_pay(book: Book, m: Rows, price: int, freed: int) -> bool:
    """Whether the owner's free cash or lots, and `freed`, fall short of what an order needs."""
    side = m["side"]
    free = free_value(book, m["account"], side) + freed
    if side == SELL:
        return free < m["quantity"]
    return free < reserve_for(book, price, m["quantity"])


@kernel
def cannot_replace(book: Book, m: Rows, slot: int) -> int:
    """Return why a live order may not take a message's price and quantity, or OK."""
    order = book.orders[slot]
    if order["account"] != m["account"]:
        return NOT_OWNER
    if order["state"] == WAITING:
        return BAD_TERMS  # cancel the stop order and send another
    m["side"] = order["side"]
    code = bad_terms(book, m)
    if code == OK:
        code = bad_time(book, m)
    if code != OK:
        return code
    price = np.int64(m["price"])
    if book.head[PHASE] == CONTINUOUS:
        if m["tif"] == POST_ONLY and would_trade(book, m["side"], price):
            return WOULD_TRADE
        if m["tif"] == FOK and not can_fill(book, m, price):
            return NOT_FILLABLE
    if book.head[SETTLES] != 0:
        total = order["quantity"] + order["hidden"]
        old = total if m["side"] == SELL else reserve_for(book, np.int64(order["price"]), total)
        if cannot_pay(book, m, price, old):
            return INSUFFICIENT_BALANCE
    return OK
