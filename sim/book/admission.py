"""Which orders a book refuses, and why.

Checks come before effects: a refused message changes nothing.
"""

import numpy as np

from sim.actions import Reject
from sim.book.accounts import fee_on, free_value, reserve_for
from sim.book.ladder import best_far, is_empty, level_of, next_level, price_of
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
    TAKER_FEE,
    Book,
    OrderState,
    OrderVerb,
    Phase,
    SelfTrade,
    Side,
    TimeInForce,
)
from sim.kernel import Record, at, i64, inlined, kernel, word

OK = word(Reject.OK)
BUY, SELL = word(Side.BUY), word(Side.SELL)
MARKET = word(OrderVerb.MARKET)
STOP, STOP_LIMIT = word(OrderVerb.STOP), word(OrderVerb.STOP_LIMIT)
GTC = word(TimeInForce.GOOD_TILL_CANCEL)
IOC = word(TimeInForce.IMMEDIATE_OR_CANCEL)
FOK = word(TimeInForce.FILL_OR_KILL)
POST_ONLY = word(TimeInForce.POST_ONLY)
ALLOW = word(SelfTrade.ALLOW)
CANCEL_INCOMING = word(SelfTrade.CANCEL_INCOMING)
CONTINUOUS, AUCTION, CLOSED = word(Phase.CONTINUOUS), word(Phase.AUCTION), word(Phase.CLOSED)
WAITING = word(OrderState.WAITING)
BAD_AMOUNT = word(Reject.BAD_AMOUNT)
BAD_PRICE, BAD_TERMS = word(Reject.BAD_PRICE), word(Reject.BAD_TERMS)
BAD_TARGET, NOT_OWNER = word(Reject.BAD_TARGET), word(Reject.NOT_OWNER)
WOULD_TRADE, NOT_FILLABLE = word(Reject.WOULD_TRADE), word(Reject.NOT_FILLABLE)
HALTED, OUT_OF_BAND = word(Reject.HALTED), word(Reject.OUT_OF_BAND)
INSUFFICIENT_BALANCE = word(Reject.INSUFFICIENT_BALANCE)


@inlined
def worst_price(book: Book, side: int, price: int) -> int:
    """Worst price that an order may trade at, within the bands; price 0: any."""
    low, high = book.head[BAND_LOW], book.head[BAND_HIGH]  # no branch on the side: it is a coin
    if price == 0:
        price = MAX_PRICE if side == BUY else 0
    highest, lowest = min(price, high), max(price, low)
    return highest if side == BUY else lowest


@inlined
def limit_level(book: Book, side: int, price: int) -> int:
    """Last level of the *other* side that an order may trade at; -1: none of the window's."""
    level = level_of(book, 1 - side, worst_price(book, side, price))
    return min(level, (book.levels.shape[0] >> 1) - 1)


@inlined
def accepts(side: int, limit: int, price: int) -> bool:
    """Whether an order of a side with that limit price trades at a price."""
    return price <= limit if side == BUY else price >= limit


@inlined
def bad_terms(book: Book, m: Record) -> int:
    """Return why an order's words make no sense, or OK."""
    if not 1 <= m["quantity"] <= MAX_QUANTITY:
        return BAD_AMOUNT
    if not (0 <= m["side"] <= SELL and GTC <= m["tif"] <= POST_ONLY and 0 <= m["stp"] <= 2):
        return BAD_TERMS
    verb = m["verb"]
    if verb in (MARKET, STOP):
        if m["price"] != 0:
            return BAD_PRICE
        if m["display"] != 0 or m["tif"] == POST_ONLY:
            return BAD_TERMS
    elif not 1 <= m["price"] <= MAX_PRICE:
        return BAD_PRICE
    if not 0 <= m["display"] <= m["quantity"]:
        return BAD_TERMS
    if (verb in (STOP, STOP_LIMIT)) and not 1 <= m["trigger"] <= MAX_PRICE:
        return BAD_PRICE
    if book.head[SETTLES] != 0:
        if not 0 <= m["account"] < book.accounts.shape[0]:
            return BAD_TARGET
        if np.float64(m["quantity"]) * np.float64(max(m["price"], 1)) >= MAX_VALUE:
            return BAD_AMOUNT
    return BAD_TARGET if m["id"] < 0 else OK


@inlined
def bad_time(book: Book, m: Record) -> int:
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
        inside = 0 <= level < book.levels.shape[0] >> 1 or is_empty(book)
        if m["verb"] != STOP and not inside:
            return OUT_OF_BAND  # an auction is held among the prices of the window
    return OK


@kernel
def would_trade(book: Book, side: int, price: int) -> bool:
    """Whether a new order of that side and limit would meet an opposite order."""
    other = 1 - side
    if book.head[BEST + other] < book.levels.shape[0] >> 1:
        return book.head[BEST + other] <= limit_level(book, side, price)
    return book.head[FAR_COUNT + other] > 0 and accepts(side, price, best_far(book, other))


@kernel
def fillable_in(
    book: Book, first: int, price: int, left: int, account: int, self_trade: int
) -> int:
    """Lots left of a fill-or-kill order after the orders from slot `first` on, at one price.

    Negative where it would run into its owner's own order, and so could not fill. It runs into it
    after the visible lots before it: what icebergs hide comes up behind.
    """
    slot, rest, shown = first, left, 0
    while slot >= 0 and shown < left:
        order = book.orders[at(slot)]
        if order["price"] == price:
            if self_trade != ALLOW and order["account"] == account >= 0:
                if self_trade == CANCEL_INCOMING:
                    return -1
            else:
                shown += order["quantity"]
                rest -= order["quantity"] + order["hidden"]
        slot = i64(order["next"])
    return max(rest, 0)


@kernel
def next_far(book: Book, side: int, price: int) -> int:
    """Best price outside the window that is worse than `price`; 0 if there is none."""
    best = 0
    slot = book.head[FAR_HEAD + side]
    while slot >= 0:
        other = i64(book.orders[at(slot)]["price"])
        if side == BUY:
            if other < price and other > best:
                best = other
        elif other > price and (best == 0 or other < best):
            best = other
        slot = book.orders[at(slot)]["next"]
    return best


@inlined
def cash_after(book: Book, cash: int, price: int, lots: int) -> int:
    """Cash that is left of `cash` after a purchase and its fee; negative if it does not suffice."""
    if lots > cash // price:
        return -1
    return cash - price * lots - fee_on(price * lots, book.head[TAKER_FEE])


@kernel
def can_fill(
    book: Book, side: int, price: int, quantity: int, account: int, self_trade: int
) -> bool:
    """Whether a fill-or-kill order of limit `price` (0: any) would trade whole.

    A market purchase must be payable too, counting the fee on what it buys at each price.
    """
    left, other, cash = quantity, 1 - side, 0
    pays = book.head[SETTLES] != 0 and side == BUY and price == 0
    if pays:
        cash = i64(book.accounts[at(account)]["cash"])
    n_levels = book.levels.shape[0] >> 1
    limit, worst = limit_level(book, side, price), worst_price(book, side, price)
    level, here = book.head[BEST + other], price_of(book, other, n_levels - 1)
    while left > 0:
        if level <= limit:
            here = price_of(book, other, level)
            first = i64(book.levels[at(other * n_levels + level)]["head"])
            level = next_level(book, other, level + 1)
        else:  # what lies behind the window, if all of the window is within the limit
            here = next_far(book, other, here) if level >= n_levels else 0
            if here == 0 or not accepts(side, worst, here):
                return False
            first = book.head[FAR_HEAD + other]
        before = left
        left = fillable_in(book, first, here, left, account, self_trade)
        if pays and left >= 0:
            cash = cash_after(book, cash, here, before - left)
            if cash < 0:
                return False
    return left == 0


@kernel
def bad_touch(book: Book, m: Record) -> int:
    """Return why a post-only order may not rest, or a fill-or-kill order not trade, or OK."""
    side, price = i64(m["side"]), i64(m["price"])
    if m["tif"] == POST_ONLY:
        return WOULD_TRADE if would_trade(book, side, price) else OK
    account, rule = i64(m["account"]), i64(m["stp"])
    if m["tif"] == FOK and not can_fill(book, side, price, m["quantity"], account, rule):
        return NOT_FILLABLE
    return OK


@inlined
def cannot_pay(book: Book, m: Record, price: int, freed: int) -> bool:
    """Whether the owner's free cash or lots, and `freed`, fall short of what an order needs."""
    side = m["side"]
    free = free_value(book, m["account"], side) + freed
    if side == SELL:
        return free < m["quantity"]
    return free < reserve_for(book, price, m["quantity"])


@kernel
def cannot_replace(book: Book, m: Record, slot: int) -> int:
    """Return why a live order may not take a message's price and quantity, or OK."""
    order = book.orders[at(slot)]
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
    price = i64(m["price"])
    if book.head[PHASE] == CONTINUOUS:
        code = bad_touch(book, m)
        if code != OK:
            return code
    if book.head[SETTLES] != 0:
        total = order["quantity"] + order["hidden"]
        old = total if m["side"] == SELL else reserve_for(book, i64(order["price"]), total)
        if cannot_pay(book, m, price, old):
            return INSUFFICIENT_BALANCE
    return OK
