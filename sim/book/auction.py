"""Uncrossing: all that can trade trades at once, at one price.

The price is the one at which most lots trade; among equals the one that leaves least unmatched;
among equals the one nearest to the last price. Orders take part in price-time priority, icebergs
with their hidden part, and the rule of self-trades does not apply. Both sides pay the mean of the
maker and the taker fee. Source of the rule: the opening and closing auctions of the London Stock
Exchange (guide to the trading system, maximum execution volume, minimum surplus, reference price);
uniform-price batches: Budish, Cramton and Shim (2015).
"""

from sim.book.accounts import charge, exchange, set_free
from sim.book.ladder import level_of, price_of
from sim.book.layout import (
    BEST,
    LAST_PRICE,
    MAKER_FEE,
    N_PRINTS,
    SETTLES,
    TAKER_FEE,
    VALUE,
    VOLUME,
    Book,
    PrintKind,
    Side,
)
from sim.book.trading import drop_head, show_more, tell
from sim.kernel import at, i64, kernel, word

BUY, SELL = word(Side.BUY), word(Side.SELL)
AUCTION_TRADE = word(PrintKind.AUCTION_TRADE)


@kernel
def total_at(book: Book, side: int, price: int) -> int:
    """Lots of one side at a price of the window, with the hidden parts of its icebergs."""
    total = 0
    level = level_of(book, side, price)
    slot = i64(book.levels[side * (book.levels.shape[0] >> 1) + level]["head"])
    while slot >= 0:
        total += book.orders[at(slot)]["quantity"] + book.orders[at(slot)]["hidden"]
        slot = i64(book.orders[at(slot)]["next"])
    return total


@kernel
def clearing(book: Book) -> tuple[int, int]:
    """Find the clearing price and lots of an auction held now; (0, 0) where nothing crosses.

    A price scan: demand at a price is what bids at or above it, supply what asks at or below it.
    """
    n_levels = book.levels.shape[0] >> 1
    if book.head[BEST + BUY] == n_levels or book.head[BEST + SELL] == n_levels:
        return 0, 0
    high = price_of(book, BUY, book.head[BEST + BUY])
    low = price_of(book, SELL, book.head[BEST + SELL])
    demand = 0
    for price in range(low, high + 1):
        demand += total_at(book, BUY, price)
    supply, most, surplus = 0, 0, 0
    first, last = 0, 0
    for price in range(low, high + 1):
        supply += total_at(book, SELL, price)
        lots, gap = min(demand, supply), abs(demand - supply)
        if lots > most or (lots == most and gap < surplus):
            most, surplus, first, last = lots, gap, price, price
        elif lots == most and gap == surplus:
            last = price
        demand -= total_at(book, BUY, price)
    if book.head[LAST_PRICE] == 0:
        return (first + last) >> 1, most
    return min(max(book.head[LAST_PRICE], first), last), most


@kernel
def fill_side(book: Book, side: int, level: int, lots: int) -> None:
    """Take lots off the first order of a level, which may be complete then."""
    queue = book.levels[side * (book.levels.shape[0] >> 1) + level]
    slot = i64(queue["head"])
    order = book.orders[at(slot)]
    queue["quantity"] -= lots
    order["quantity"] -= lots
    if order["quantity"] == 0:
        if order["hidden"] > 0:
            show_more(book, slot, side, level)
        else:
            drop_head(book, side, level)


@kernel
def pay(book: Book, buyer: int, seller: int, price: int, lots: int) -> None:
    """Settle an auction trade between the orders in slots `buyer` and `seller`."""
    bid, ask = book.orders[at(buyer)], book.orders[at(seller)]
    set_free(book, buyer, lots)
    set_free(book, seller, lots)
    value = price * lots
    rate = (book.head[MAKER_FEE] + book.head[TAKER_FEE]) >> 1
    exchange(book, bid["account"], ask["account"], value, lots)
    charge(book, bid["account"], value, rate)
    charge(book, ask["account"], value, rate)


@kernel
def uncross(book: Book, message: int) -> int:
    """Trade what has crossed at the clearing price; return the lots traded."""
    price, total = clearing(book)
    left = total
    n_levels = book.levels.shape[0] >> 1
    while left > 0:
        high, low = book.head[BEST + BUY], book.head[BEST + SELL]
        buyer = i64(book.levels[at(high)]["head"])
        seller = i64(book.levels[at(n_levels + low)]["head"])
        bid, ask = book.orders[at(buyer)], book.orders[at(seller)]
        lots = min(min(bid["quantity"], ask["quantity"]), left)
        line = book.head[N_PRINTS]
        tell(book, AUCTION_TRADE, message, bid, ask, lots)
        if book.head[N_PRINTS] > line:
            book.tape[at(line)]["price"] = price
            book.tape[at(line)]["last"] = 1 if bid["quantity"] + bid["hidden"] == lots else 0
        if book.head[SETTLES] != 0:
            pay(book, buyer, seller, price, lots)
        fill_side(book, BUY, high, lots)
        fill_side(book, SELL, low, lots)
        left -= lots
        book.head[VOLUME] += lots
        book.head[VALUE] += price * lots
    if total > 0:
        book.head[LAST_PRICE] = price
    return total
