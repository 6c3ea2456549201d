"""Rebuild a book from the life of its orders: created, changed, deleted, without snapshots.

A feed of this kind tells of a trade only by what it does to the two orders: each gets a row with
the lots that it has left, 0 with its deletion where it is filled. So there are two ways to follow
it.

* *Collecting* (`matching` 0): the book's matching is halted, every row is done as told, and the
  book may stand crossed while the rows of a trade come in. Compared: the lots that the book has
  left for an order with those that the row tells.
* *Matching* (`matching` 1): each new order trades in the book as it arrives. What it traded is
  *owed* by the feed: later rows of maker and taker must tell just that. A loss of lots beyond what
  is owed was a trade with an order that the feed did not show; it is taken off. Lots still owed
  when an order is cancelled, or at the end, are trades that the book made and the exchange did
  not.
"""

from typing import NamedTuple

from sim.actions import Reject
from sim.book.ladder import best_price, price_of
from sim.book.layout import BEST, N_PRINTS, Book, OrderVerb, Side, TimeInForce
from sim.book.registry import find
from sim.book.replay import Findings, carry_out, plan
from sim.kernel import I64, i64, inlined, kernel, word

OK = word(Reject.OK)
ZERO, ONE = word(0), word(1)
BUY, SELL = word(Side.BUY), word(Side.SELL)
LIMIT, CANCEL, REDUCE = word(OrderVerb.LIMIT), word(OrderVerb.CANCEL), word(OrderVerb.REDUCE)
REPLACE, HALT = word(OrderVerb.REPLACE), word(OrderVerb.HALT)
GTC = word(TimeInForce.GOOD_TILL_CANCEL)

CREATED, CHANGED, DELETED = (word(i) for i in range(1, 4))

# what a row's mark tells, one bit each
FAILED = 1  # the row contradicts those before it
LATE = 2  # the order was deleted before: rows that came out of order, or twice
UNSEEN = 4  # of an order from before the first row whose lots nobody tells
FILL = 8  # the row tells of lots traded
AT_BEST = 16  # ... of an order at the best price of its side
AT_HEAD = 32  # ... at the head of its queue
CROSSED = 64  # best bid at or above best ask after the row
REPRICED = 128  # the order has a new price
CANCELLED = 256
AGREED = 512  # matching: the book traded these lots before the row told of them
PART_AGREED = 1024  # matching: the book had traded some of them
OVERTRADED = 2048  # matching: the book traded lots that the exchange did not
TWO_SIDED = 4096  # both sides have orders after the row

FOREIGN, OWED_AT_END, TRADES = range(3)  # counters: lots, lots, number


class OrderFeed(NamedTuple):
    """Rows about orders, which are numbered from 0.

    Attributes
    ----------
    kind, order, side, price, lots : I64 (row,)
        CREATED, CHANGED or DELETED; lots that are left.
    first : I64 (order,)
        Lots with which an order rests before the first row; -1: it was not there, or nobody tells.
    first_price : I64 (order,)
    first_side : I64 (order,)
    """

    kind: I64
    order: I64
    side: I64
    price: I64
    lots: I64
    first: I64
    first_price: I64
    first_side: I64


class Told(NamedTuple):
    """State of each order: lots that the rows have told last, -1 before and -2 after its life.

    Attributes
    ----------
    left, owed : I64 (order,)
    """

    left: I64
    owed: I64


@inlined
def look(book: Book, feed: OrderFeed, row: int) -> int:
    """Where the order of a row that tells of a fill stands: a mark."""
    slot = find(book, feed.order[row])
    if slot < 0:
        return 0
    order = book.orders[slot]
    side = i64(order["side"])
    best, n_levels = book.head[BEST + side], book.levels.shape[0] >> 1
    if best >= n_levels or price_of(book, side, best) != order["price"]:
        return 0
    head = book.levels[side * n_levels + best]["head"]
    return AT_BEST | AT_HEAD if head == slot else AT_BEST


@inlined
def note_trades(book: Book, told: Told, found: Findings) -> None:
    """Make what the book has just traded owed by the feed."""
    for line in range(book.head[N_PRINTS]):
        trade = book.tape[line]
        told.owed[trade["maker"]] += trade["quantity"]
        told.owed[trade["taker"]] += trade["quantity"]
        found.counts[TRADES] += 1
    book.head[N_PRINTS] = 0


@inlined
def lose(feed: OrderFeed, told: Told, found: Findings, row: int, lots: int) -> int:
    """Take traded lots that a row tells of off what is owed, the rest off the book; a mark."""
    order = feed.order[row]
    owed = told.owed[order]
    if owed >= lots:
        told.owed[order] = owed - lots
        return FILL | AGREED
    told.owed[order] = 0
    found.counts[FOREIGN] += lots - owed
    plan(found, REDUCE, feed.side[row], order, lots - owed, ONE, GTC)
    return FILL | PART_AGREED if owed > 0 else FILL


@kernel
def follow(feed: OrderFeed, told: Told, found: Findings, row: int) -> int:
    """Plan what a row tells; return a mark."""
    kind, order, side = feed.kind[row], feed.order[row], feed.side[row]
    lots, left = feed.lots[row], told.left[order]
    if kind == CREATED:
        if left == -2:
            return LATE
        if left >= 0:
            return FAILED
        told.left[order] = lots
        plan(found, LIMIT, side, order, lots, feed.price[row], GTC)
        return 0
    if left < 0:
        told.left[order] = -2 if kind == DELETED else left
        return LATE if left == -2 else UNSEEN
    if kind == DELETED:
        told.left[order] = -2
        if lots == 0:
            return lose(feed, told, found, row, left)
        mark = CANCELLED if lots == left else CANCELLED | FAILED
        owed = told.owed[order]
        told.owed[order] = 0
        if owed < left:
            plan(found, CANCEL, side, order, ONE, ONE, GTC)
        return mark | OVERTRADED if owed > 0 else mark
    told.left[order] = lots
    if lots > left:
        return FAILED
    return lose(feed, told, found, row, left - lots) if lots < left else 0


@inlined
def reprice(book: Book, feed: OrderFeed, found: Findings, row: int) -> int:
    """Plan a new price, where a row tells one; return a mark."""
    if feed.kind[row] != CHANGED:
        return 0
    slot = find(book, feed.order[row])
    if slot < 0 or book.orders[slot]["price"] == feed.price[row]:
        return 0
    left = book.orders[slot]["quantity"]
    plan(found, REPLACE, feed.side[row], feed.order[row], left, feed.price[row], GTC)
    return REPRICED


@inlined
def differs(book: Book, feed: OrderFeed, told: Told, row: int) -> bool:
    """Whether the book has other lots of a row's order than the row leaves it, less those owed."""
    order = feed.order[row]
    slot = find(book, order)
    have = book.orders[slot]["quantity"] if slot >= 0 else 0
    return bool(have != max(told.left[order], 0) - told.owed[order])


@inlined
def state(book: Book) -> int:
    """Whether both sides have orders, and whether they cross: a mark."""
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    if bid == 0 or ask == 0:
        return 0
    return TWO_SIDED | CROSSED if bid >= ask else TWO_SIDED


@kernel
def rebuild_orders(
    book: Book, feed: OrderFeed, told: Told, found: Findings, matching: int, touches: I64
) -> None:
    """Drive a book with the lives of orders; see the module's text for the rules.

    Parameters
    ----------
    book : Book
        Empty; its window must hold every price, its orders all of the feed's.
    feed : OrderFeed
    told : Told
        `left` is -1 throughout, `owed` 0.
    found : Findings
        `marks` and `counts` are 0.
    matching : int
        0: collect; 1: match.
    touches : I64 (row, 4)
        Becomes bid, lots, ask and lots after each row; 0 where there is none.
    """
    n_levels = book.levels.shape[0] >> 1
    if matching == 0:
        plan(found, HALT, ZERO, ZERO, ONE, ONE, GTC)
    for order in range(feed.first.shape[0]):
        if feed.first[order] > 0:
            told.left[order] = feed.first[order]
            plan(
                found, LIMIT, feed.first_side[order], order, feed.first[order],
                feed.first_price[order], GTC,
            )  # fmt: skip
    carry_out(book, found)
    note_trades(book, told, found)
    for row in range(feed.kind.shape[0]):
        where = look(book, feed, row)
        mark = reprice(book, feed, found, row)
        refused = carry_out(book, found)
        note_trades(book, told, found)
        mark |= follow(feed, told, found, row)
        if mark & FILL != 0:
            mark |= where
        refused |= carry_out(book, found)
        note_trades(book, told, found)
        if refused != 0 or (mark & (LATE | UNSEEN) == 0 and differs(book, feed, told, row)):
            mark |= FAILED
        found.marks[row] = mark | state(book)
        for side in range(2):
            best = book.head[BEST + side]
            if best < n_levels:
                touches[row, 2 * side] = price_of(book, side, best)
                touches[row, 2 * side + 1] = book.levels[side * n_levels + best]["quantity"]
    for order in range(told.owed.shape[0]):
        found.counts[OWED_AT_END] += told.owed[order]
