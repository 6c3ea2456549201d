"""What an order book is made of, and the words in which orders are given.

Prices are integer ticks and sizes integer lots. One world's book is a handful of flat arrays:

    head     (HEAD_WORDS,)        best prices, counters, terms: one int64 each, see the names below
    orders   (slot,)              of ORDER: one cache line each; slots are recycled
    levels   (2 * n_levels,)      of LEVEL: first the bids, then the asks, in a window of prices
    bits     (2 * (words + sums)) which levels hold orders: a bit per level, a bit per word of those
    table    (entry,)             order id -> slot, open addressing
    stops    (2 * capacity,)      two heaps of slots: stop orders that wait for their trigger
    accounts (account,)           of ACCOUNT: free and reserved cash and lots; may be empty
    tape     (print,)             of PRINT: trades, and what happened to orders of others

The window covers the prices from head[BASE] on. A side's level 0 is the best price that it could
have there: for asks the lowest price of the window, for bids the highest, so that everything below
is written once for both sides. Orders outside the window wait in two lists, one a side, in the
order of their arrival; the window slides when the market comes near.

Invariants: a side's best level is the first with orders; a level's quantity is the sum of its
orders' visible quantities; every live order is in the table, and in one queue, far list or heap.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.kernel import I32, I64, U64, Rows

MAX_PRICE = 2**31 - 2  # ticks; the least is 1
MAX_QUANTITY = 2**40  # lots of one order
MAX_VALUE = 2**62  # ticks x lots of one order, where accounts are kept
FEE_UNIT = 10**8  # fees are whole multiples of 1e-8 of the traded value


class Side(IntEnum):
    """Which side of the book an order belongs to."""

    BUY = 0
    SELL = 1


class OrderVerb(IntEnum):
    """What a message asks the book to do."""

    LIMIT = 1  # an iceberg if `display` is not 0
    MARKET = 2  # at any price within the bands; what cannot trade is cancelled
    STOP = 3  # becomes a market order when the last price reaches `trigger`
    STOP_LIMIT = 4
    CANCEL = 5
    REDUCE = 6  # take `quantity` off, keeping priority; all of it or more: cancel
    REPLACE = 7  # new price and quantity at the back of the queue; may trade at once
    HALT = 8  # stop matching; orders collect for the auction that RESUME holds
    CLOSE = 9  # stop matching and refuse all orders but cancels and reductions
    RESUME = 10  # uncross at one price, then match continuously


class TimeInForce(IntEnum):
    """How long an order lives."""

    GOOD_TILL_CANCEL = 0
    IMMEDIATE_OR_CANCEL = 1
    FILL_OR_KILL = 2
    POST_ONLY = 3  # good till cancel, refused if it would trade at once


class SelfTrade(IntEnum):
    """What happens when an order meets one of the same account; the incoming order decides."""

    ALLOW = 0
    CANCEL_RESTING = 1
    CANCEL_INCOMING = 2


class Outcome(IntEnum):
    """Where an order is after its message."""

    NONE = 0  # rejected, or nothing to tell
    RESTING = 1
    FILLED = 2
    CANCELLED = 3  # what was left of it
    WAITING = 4  # a stop order whose trigger was not reached


class Phase(IntEnum):
    """What the book does with orders."""

    CONTINUOUS = 0
    AUCTION = 1  # collects orders, crossed or not, until the next uncrossing
    CLOSED = 2


class PrintKind(IntEnum):
    """What a line of the tape tells."""

    TRADE = 0
    SELF_TRADE_CANCEL = 1  # a resting order left because its owner's other order met it
    STOP_TRIGGERED = 2
    AUCTION_TRADE = 3  # maker is the buyer, taker the seller
    STOP_CANCELLED = 4  # what a triggered order could not trade


class OrderState(IntEnum):
    """Where a slot's order is."""

    FREE = 0
    RESTING = 1  # in the queue of a level
    FAR = 2  # outside the window of prices
    WAITING = 3  # in a heap of stops


ORDER = np.dtype(
    [
        ("id", np.int64),
        ("quantity", np.int64),  # visible lots
        ("hidden", np.int64),  # lots of an iceberg that are not shown yet
        ("display", np.int64),  # lots that an iceberg shows at a time; 0: not an iceberg
        ("stamp", np.int64),  # sequence number of arrival
        ("price", np.int32),  # ticks; 0 for a stop that becomes a market order
        ("next", np.int32),  # slot behind it, or its place in the heap of stops
        ("prev", np.int32),
        ("account", np.int32),
        ("trigger", np.int32),  # ticks
        ("side", np.int8),
        ("state", np.int8),
        ("tif", np.int8),
        ("stp", np.int8),
    ],
    align=True,
)

LEVEL = np.dtype([("quantity", np.int64), ("head", np.int32), ("tail", np.int32)], align=True)

ACCOUNT = np.dtype(
    [
        ("cash", np.int64),  # free, in ticks x lots
        ("lots", np.int64),  # free
        ("cash_reserved", np.int64),
        ("lots_reserved", np.int64),
    ]
)

MESSAGE = np.dtype(
    [
        ("id", np.int64),  # not negative; unique among live orders
        ("quantity", np.int64),  # lots
        ("display", np.int64),  # lots shown by an iceberg; 0: all
        ("filled", np.int64),  # out: lots traded at once
        ("price", np.int32),  # ticks
        ("trigger", np.int32),  # ticks, of a stop
        ("account", np.int32),  # -1: anonymous
        ("code", np.int16),  # out: Reject
        ("verb", np.int8),
        ("side", np.int8),
        ("tif", np.int8),
        ("stp", np.int8),
        ("outcome", np.int8),  # out: Outcome
    ],
    align=True,
)

PRINT = np.dtype(
    [
        ("message", np.int64),  # index of the message that caused it
        ("maker", np.int64),  # id of the order that rested
        ("taker", np.int64),  # id of the order that came
        ("quantity", np.int64),  # lots
        ("price", np.int32),  # ticks
        ("maker_account", np.int32),
        ("taker_account", np.int32),
        ("kind", np.int8),  # PrintKind
        ("side", np.int8),  # of the taker: the aggressor
        ("last", np.int8),  # 1: the maker's order is complete
    ],
    align=True,
)

# words of `head`; pairs are indexed by side
BEST = 0  # each side's first level with orders; n_levels: none in the window
FAR_HEAD, FAR_TAIL, FAR_COUNT = 2, 4, 6  # lists of orders outside the window
N_STOPS = 8  # sizes of the two heaps
BASE = 10  # lowest price of the window
FREE_SLOT = 11  # first of the chain of free slots, -1: none
N_ORDERS = 12  # live orders, with far ones and stops
STAMP = 13  # arrivals so far
N_PRINTS = 14  # lines on the tape
LOST_PRINTS = 15  # lines that the tape had no room for
LAST_PRICE = 16  # of the last trade; 0: none yet
PHASE = 17
BAND_LOW, BAND_HIGH = 18, 19  # ticks; trades and new limit prices lie within
HALT_WANTED = 20  # 1: an order would have traded outside the bands
TAKER_FEE, MAKER_FEE, RESERVE_FEE = 21, 22, 23  # in FEE_UNIT; a negative maker fee is a rebate
FEES = 24  # collected less rebates, in ticks x lots
VOLUME, VALUE = 25, 26  # lots, and ticks x lots (wrapping), traded so far
TABLE_SHIFT = 27  # 64 less the bits of a table index
SETTLES = 28  # 1: accounts are kept
LOW_WATER = 29  # unused slots that were never touched start here
HEAD_WORDS = 32


class Book(NamedTuple):
    """The arrays of one world's book, or with a first axis world, of many."""

    head: I64
    orders: Rows
    levels: Rows
    bits: U64
    table: I32
    stops: I32
    accounts: Rows
    tape: Rows


def shapes(capacity: int, n_levels: int, n_accounts: int, n_prints: int) -> dict[str, int]:
    """Length of each array of a book.

    Parameters
    ----------
    capacity : int
        Orders that can be live at once.
    n_levels : int
        Prices in the window: a multiple of 4,096.
    n_accounts : int
        Accounts whose cash and lots are kept; 0: none are.
    n_prints : int
        Lines of the tape.

    Raises
    ------
    ConfigError
        If a size cannot be.
    """
    if not 1 <= capacity < 2**30:
        raise ConfigError(f"capacity must lie in 1 .. 2^30 orders, got {capacity}; try 4096")
    if n_levels < 4096 or n_levels % 4096 or n_levels > 2**30:
        raise ConfigError(
            f"n_levels must be a multiple of 4,096 up to 2^30, got {n_levels}; try 65536"
        )
    if n_accounts < 0 or n_prints < 1:
        raise ConfigError(
            f"n_accounts must be 0 or more and n_prints 1 or more, got {n_accounts} and {n_prints}"
        )
    words = n_levels // 64
    table = 2 << (capacity - 1).bit_length()
    return {
        "head": HEAD_WORDS,
        "orders": capacity + 1,  # the last is for orders that never rest
        "levels": 2 * n_levels,
        "bits": 2 * (words + words // 64),
        "table": table,
        "stops": 2 * capacity,
        "accounts": n_accounts,
        "tape": n_prints,
    }
