"""What can be seen of a book: the touch, the levels, the orders."""

from sim.book.ladder import best_price, next_level, price_of
from sim.book.layout import BEST, FAR_COUNT, FAR_HEAD, LAST_PRICE, Book
from sim.kernel import I64, Rows, i64, kernel


@kernel
def touch(book: Book, out: I64) -> None:
    """Write the level-1 view: bid, its lots, ask, its lots, last price; 0 where there is none.

    Lots are the visible ones. The touch of a side that rests outside the window counts too.
    """
    n_levels = book.levels.shape[0] >> 1
    for side in range(2):
        price = best_price(book, i64(side))
        level, lots = book.head[BEST + side], 0
        if level < n_levels:
            lots = book.levels[side * n_levels + level]["quantity"]
        elif price != 0:
            slot = i64(book.head[FAR_HEAD + side])
            while slot >= 0:
                if book.orders[slot]["price"] == price:
                    lots += book.orders[slot]["quantity"]
                slot = i64(book.orders[slot]["next"])
        out[2 * side] = price
        out[2 * side + 1] = lots
    out[4] = book.head[LAST_PRICE]


@kernel
def levels_of(book: Book, side: int, prices: I64, lots: I64, orders: I64) -> int:
    """Write a side's level-2 view, best first, as far as the arrays reach; return its length.

    Levels of the window only: what rests outside it is counted by `n_far` and listed by `queue`.
    """
    n_levels = book.levels.shape[0] >> 1
    level, n = book.head[BEST + side], 0
    while level < n_levels and n < prices.shape[0]:
        queue = book.levels[side * n_levels + level]
        prices[n] = price_of(book, side, level)
        lots[n] = queue["quantity"]
        orders[n] = 0
        slot = i64(queue["head"])
        while slot >= 0:
            orders[n] += 1
            slot = i64(book.orders[slot]["next"])
        n += 1
        level = next_level(book, side, level + 1)
    return n


@kernel
def queue(book: Book, side: int, out: Rows) -> int:
    """Copy a side's orders, best first and in the order in which they would trade.

    The level-3 view; orders outside the window follow, the older first at each price, but the
    prices in no order. Returns their number, at most the length of `out`.
    """
    n_levels = book.levels.shape[0] >> 1
    level, n = book.head[BEST + side], 0
    while level < n_levels:
        slot = i64(book.levels[side * n_levels + level]["head"])
        while slot >= 0 and n < out.shape[0]:
            out[n] = book.orders[slot]
            n += 1
            slot = i64(book.orders[slot]["next"])
        level = next_level(book, side, level + 1)
    slot = i64(book.head[FAR_HEAD + side])
    while slot >= 0 and n < out.shape[0]:
        out[n] = book.orders[slot]
        n += 1
        slot = i64(book.orders[slot]["next"])
    return n


@kernel
def n_far(book: Book, side: int) -> int:
    """Count a side's orders outside the window."""
    return book.head[FAR_COUNT + side]
