"""Rebuild a book from level changes: a snapshot, and batches of levels with their new lots.

Each level is one order that stands for all that rests there: a new level is entered, a smaller one
reduced, a larger one replaced, an empty one cancelled. Within a batch, what shrinks goes first, so
that the book is never crossed in between unless it is crossed after the batch.
"""

from typing import NamedTuple

from sim.actions import Reject
from sim.book.ladder import next_level
from sim.book.layout import BEST, FAR_HEAD, Book, OrderVerb, Side, TimeInForce
from sim.book.registry import find
from sim.book.replay import Findings, carry_out, clear_level, plan
from sim.book.views import touch
from sim.kernel import I64, i64, inlined, kernel, word

OK = word(Reject.OK)
ZERO, ONE = word(0), word(1)
BUY, SELL = word(Side.BUY), word(Side.SELL)
LIMIT, CANCEL = word(OrderVerb.LIMIT), word(OrderVerb.CANCEL)
REDUCE, REPLACE = word(OrderVerb.REDUCE), word(OrderVerb.REPLACE)
GTC, POST_ONLY = word(TimeInForce.GOOD_TILL_CANCEL), word(TimeInForce.POST_ONLY)

# what became of a row
WAITING, SET, SAME, REMOVED, NOT_THERE, REFUSED = range(6)


class LevelFeed(NamedTuple):
    """Changes of levels in batches.

    Attributes
    ----------
    start : I64 (batch + 1,)
        First row of each batch.
    whole : I64 (batch,)
        1: the batch is a snapshot, which replaces the book.
    side, price, lots : I64 (row,)
        A level and what it holds from now on; 0 lots: nothing.
    """

    start: I64
    whole: I64
    side: I64
    price: I64
    lots: I64


@kernel
def forget(book: Book, found: Findings) -> None:
    """Plan to cancel every order."""
    n_levels = book.levels.shape[0] >> 1
    for side in range(2):
        level = book.head[BEST + side]
        while level < n_levels:
            clear_level(book, found, side * n_levels + level)
            level = next_level(book, side, level + 1)
        slot = i64(book.head[FAR_HEAD + side])
        while slot >= 0:
            plan(found, CANCEL, ZERO, book.orders[slot]["id"], ONE, ONE, GTC)
            slot = i64(book.orders[slot]["next"])


@inlined
def change(book: Book, feed: LevelFeed, found: Findings, row: int, shrinks: bool) -> int:
    """Plan a row's change if it makes its level smaller, or else if it does not."""
    side, price, lots = feed.side[row], feed.price[row], feed.lots[row]
    order_id = 2 * price + side
    slot = find(book, order_id)
    have = book.orders[slot]["quantity"] if slot >= 0 else ZERO
    if (lots < have or lots == 0) != shrinks:
        return WAITING
    if lots == have:
        return SAME if lots > 0 else NOT_THERE
    if lots == 0:
        plan(found, CANCEL, side, order_id, ONE, price, GTC)
        return REMOVED
    if shrinks:
        plan(found, REDUCE, side, order_id, have - lots, price, GTC)
    elif have > 0:
        plan(found, REPLACE, side, order_id, lots, price, POST_ONLY)
    else:
        plan(found, LIMIT, side, order_id, lots, price, POST_ONLY)
    return SET


@kernel
def rebuild_levels(book: Book, feed: LevelFeed, found: Findings, touches: I64) -> None:
    """Drive a book with batches of level changes.

    Parameters
    ----------
    book : Book
        Empty; its orders must hold every level.
    feed : LevelFeed
    found : Findings
        `marks` is 0 and becomes what became of each row.
    touches : I64 (batch, 5)
        Becomes bid, lots, ask, lots and last price after each batch; 0 where there is none.
    """
    for batch in range(feed.whole.shape[0]):
        if feed.whole[batch] != 0:
            forget(book, found)
            carry_out(book, found)
        for turn in range(2):
            for row in range(feed.start[batch], feed.start[batch + 1]):
                if found.marks[row] == WAITING:
                    done = change(book, feed, found, row, turn == 0)
                    refused = carry_out(book, found)
                    found.marks[row] = REFUSED if refused != 0 else done
        touch(book, touches[batch])
