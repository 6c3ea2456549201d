"""What a crowd of background traders is made of: arrays, and the words in which they are addressed.

One world's crowd is a handful of flat arrays; with a first axis world, many:

    head     (HEAD_WORDS,)   counters, one int64 each, see the names below
    values   (VALUE_WORDS,)  the fundamental value and the last mid price, one float64 each
    members  (member,)       of MEMBER: who trades
    own      (slot,)         of OWN: the orders of each member, as the member knows them
    heap     (event,)        of EVENT: what is still to happen, the next first
    memory   (word,)         what members remember from wake to wake; each owns a stretch of it
    scratch  (1,)            of MESSAGE: the message that the book is handed
    print_time (print,)      nanoseconds of each line of the book's tape
    quotes   (line,)         of QUOTE: the touch after each change, if wanted
    arrivals (line,)         of ARRIVAL: limit orders as they reached the book, if wanted
    parents  (line,)         of PARENT: large orders that were executed in parts, if wanted
    terms    (group, TERM_WORDS)  parameters, shared by the members of a group and by all worlds

Time is integer nanoseconds since the start of the run, prices are float64 ticks where they are
beliefs and integer ticks where they are orders.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from sim.kernel import F64, I64, U64, Rows

SECOND = 1_000_000_000  # nanoseconds


class Kind(IntEnum):
    """What a member does when it wakes."""

    ZERO_INTELLIGENCE = 0
    HAWKES = 1
    NOISE = 2
    VALUE = 3
    MOMENTUM = 4
    ADAPTIVE_MAKER = 5
    AVELLANEDA_STOIKOV = 6
    GLFT = 7
    INFORMED = 8
    EXECUTOR = 9


class EventKind(IntEnum):
    """What is delivered, and to whom: `target` is a member or the slot of an order."""

    WAKE = 0  # member; data 1: an extra wake, the next one is planned already
    ORDER = 1  # slot; reaches the exchange
    CANCEL = 2  # slot; reaches the exchange; data: the order's id
    ACCEPTED = 3  # slot; data: 2 x lots traded at once, +1 if the order rests
    FILLED = 4  # slot; data: 2 x lots traded, +1 if the order is complete
    CANCELLED = 5  # slot


class OwnState(IntEnum):
    """What a member knows of an order of its own."""

    FREE = 0
    SENT = 1
    LIVE = 2
    LEAVING = 3  # its cancellation is on the way


MEMBER = np.dtype(
    [
        ("latency", np.int64),  # nanoseconds from the member to the exchange, and back
        ("draws", np.int64),  # wakes so far: the step of its random numbers
        ("inventory", np.int64),  # lots bought less lots sold, as far as it has heard
        ("first", np.int64),  # its first slot in `own`
        ("slots", np.int64),  # how many it has
        ("open", np.int64),  # orders that it holds to be sent or live
        ("memory", np.int64),  # its first word in `memory`
        ("kind", np.int32),
        ("group", np.int32),
        ("stirred", np.int64),  # 1: an extra wake is planned
    ],
    align=True,
)

OWN = np.dtype(
    [
        ("id", np.int64),
        ("lots", np.int64),  # left
        ("price", np.int32),  # ticks; 0: a market order
        ("member", np.int32),
        ("link", np.int32),  # of the k-th slot of a member: the slot that holds its k-th order
        ("place", np.int32),  # where in that list this slot is
        ("side", np.int8),
        ("tif", np.int8),
        ("state", np.int8),
        ("spare", np.int8),
        ("spare_2", np.int32),
    ],
    align=True,
)

EVENT = np.dtype(
    [
        ("time", np.int64),
        ("sequence", np.int64),  # equal times: the one that was planned first
        ("data", np.int64),
        ("kind", np.int32),
        ("target", np.int32),
    ],
    align=True,
)

QUOTE = np.dtype(
    [
        ("time", np.int64),
        ("bid", np.int64),  # ticks; 0: none
        ("ask", np.int64),
        ("bid_lots", np.int64),
        ("ask_lots", np.int64),
    ]
)

ARRIVAL = np.dtype(
    [
        ("time", np.int64),
        ("lots", np.int64),
        ("distance", np.int64),  # ticks behind the touch of its own side; negative: better than it
        ("side", np.int64),
    ]
)

PARENT = np.dtype(
    [
        ("member", np.int64),
        ("side", np.int64),
        ("lots", np.int64),  # wanted
        ("done", np.int64),  # lots that had traded when it ended
        ("start", np.int64),
        ("end", np.int64),  # 0: still at work
        ("price", np.float64),  # mid price in ticks before the first child order
    ]
)

# words of `head`
N_EVENTS = 0
SEQUENCE = 1  # events planned so far
SERIAL = 2  # orders sent so far
NOW = 3  # nanoseconds; the loop has delivered everything up to here
DELIVERED = 4  # events delivered
BY_KIND = 5  # six words: events delivered of each EventKind
N_NOTICES = 11  # events of the kinds that the exchange sends, waiting
LATE_NOTICES = 12  # notices told at once because the heap was full
N_REJECTS = 13  # orders that the book refused
WORLD_DRAWS = 14  # steps of the fundamental's random numbers
N_QUOTES = 15
N_ARRIVALS = 16
LOST_LINES = 17  # quotes and arrivals that found no room
KEEPS_TAPE = 18  # 1: stop when the tape is full; 0: forget its oldest lines
FIRST_ACCOUNT = 19
NO_SLOT = 20  # orders not sent because the member had no slot left
BOUGHT, SOLD = 21, 22  # lots traded by aggressive buyers and sellers
N_PARENTS = 23
MAKER_OFF = 24  # 1: makers do not withdraw, whatever their terms say
HEAD_WORDS = 32

# words of `values`
FUNDAMENTAL = 0  # ticks, at FUNDAMENTAL_TIME
FUNDAMENTAL_TIME = 1  # nanoseconds
TARGET = 2  # ticks: where an outside fundamental goes
TARGET_TIME = 3  # nanoseconds: when it is there
LAST_MID = 4  # ticks: of the last two-sided book that a member saw
START_PRICE = 5  # ticks
OU_MEAN = 6  # ticks
OU_SPEED = 7  # per second; with OU_SIGMA 0 and this 0: set from outside
OU_SIGMA = 8  # ticks per square root of a second
JUMP_RATE = 9  # per second
JUMP_SIZE = 10  # ticks, standard deviation
VARIANCE = 11  # state of the fundamental's own variance, 1 on average
VARIANCE_SPEED = 12  # per second
VARIANCE_SIGMA = 13  # of log variance, stationary
VALUE_WORDS = 16

# columns of `terms` that every trader has; its own start at OWN_TERMS
GAP = 0  # seconds between wakes, on average
SIZE_LAW = 1
SIZE_A, SIZE_B, SIZE_MAX = 2, 3, 4
REACTS = 5  # 1: wakes when it hears of a fill
FIRST_WAKE = 6  # seconds over which first wakes are spread
LATENCY, LATENCY_SIGMA = 7, 8  # seconds (median), standard deviation of its logarithm
START_WAKE = 9  # seconds before which it does not wake
ROUND = 10  # share of sizes that are rounded to one significant digit
OWN_TERMS = 12
TERM_WORDS = 96


class CrowdState(NamedTuple):
    """The arrays of many worlds' crowds, or without the axis world, of one."""

    head: I64
    values: F64
    members: Rows
    own: Rows
    heap: Rows
    memory: F64
    scratch: Rows
    print_time: I64
    quotes: Rows
    arrivals: Rows
    parents: Rows
    world_ids: I64
    terms: F64
    key: U64
