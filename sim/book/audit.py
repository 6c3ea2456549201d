"""Whether a book keeps its promises: every invariant of its arrays, checked from scratch.

A check walks all levels, queues, lists, heaps, the table and the chain of free slots, and takes no
counter on trust. It costs some microseconds per thousand levels and orders: cheap enough to run
after every message of a test.

Invariants, by what a fault is called, in `FAULTS`.
"""

from enum import IntEnum

import numpy as np

from sim.book.accounts import reserve_for
from sim.book.ladder import best_price, level_of
from sim.book.layout import (
    BEST,
    FAR_COUNT,
    FAR_HEAD,
    FAR_TAIL,
    FREE_SLOT,
    LOW_WATER,
    MAX_PRICE,
    N_ORDERS,
    N_PRINTS,
    N_STOPS,
    PHASE,
    SETTLES,
    Book,
    OrderState,
    Phase,
    Side,
)
from sim.book.matching import is_tight, submit
from sim.book.registry import find
from sim.book.stops import due_stop, sooner
from sim.kernel import I64, Rows, i64, inlined, kernel, word


class Fault(IntEnum):
    """What is wrong with a book."""

    NONE = 0
    LEVEL_BIT = 1
    SUMMARY_BIT = 2
    EMPTY_LEVEL = 3
    LINK = 4
    LEVEL_QUANTITY = 5
    BEST_LEVEL = 6
    ORDER = 7
    PLACE = 8
    ICEBERG = 9
    TWICE = 10
    FAR_INSIDE = 11
    FAR_LENGTH = 12
    HEAP = 13
    DUE_STOP = 14
    TABLE = 15
    TABLE_LENGTH = 16
    FREE_CHAIN = 17
    SLOTS = 18
    CROSSED = 19
    ACCOUNT = 20
    RESERVED = 21
    TAPE = 22
    LOST_ORDER = 23


FAULTS = {
    Fault.LEVEL_BIT: "level {} and its bit disagree on whether it holds orders",
    Fault.SUMMARY_BIT: "word {} of the bitmap and its bit in the second layer disagree",
    Fault.EMPTY_LEVEL: "level {} holds no orders, but a quantity or an end of a queue",
    Fault.LINK: "the links before and behind slot {} do not make one queue",
    Fault.LEVEL_QUANTITY: "the quantity of level {} is not the sum of its orders' visible lots",
    Fault.BEST_LEVEL: "the best level of side {} is not its first with orders",
    Fault.ORDER: "slot {} holds a live order with impossible words",
    Fault.PLACE: "the order in slot {} is in a queue, list or heap where it does not belong",
    Fault.ICEBERG: "the order in slot {} shows more than its display, or hides without one",
    Fault.TWICE: "slot {} is in two places",
    Fault.FAR_INSIDE: "slot {} is in a far list, but not behind the window of prices",
    Fault.FAR_LENGTH: "the far list of side {} has another length than its count",
    Fault.HEAP: "the heap of stops has slot {} where it may not be",
    Fault.DUE_STOP: "the stop order in slot {} is due and was not triggered",
    Fault.TABLE: "the order in slot {} cannot be found by its id",
    Fault.TABLE_LENGTH: "the table holds {} orders, which are not as many as live",
    Fault.FREE_CHAIN: "the chain of free slots runs through slot {}, which is not free",
    Fault.SLOTS: "{} slots are neither live nor free",
    Fault.CROSSED: "the best bid meets the best ask at {} ticks in continuous trading",
    Fault.ACCOUNT: "account {} owes cash or lots",
    Fault.RESERVED: "what account {} has reserved is not what its live orders need",
    Fault.TAPE: "the tape has {} lines, more than it can",
    Fault.LOST_ORDER: "{} orders are in queues, lists and heaps, which are not as many as live",
}

ZERO = word(0)
BUY, SELL = word(Side.BUY), word(Side.SELL)
FREE, RESTING = word(OrderState.FREE), word(OrderState.RESTING)
FAR, WAITING = word(OrderState.FAR), word(OrderState.WAITING)
CONTINUOUS = word(Phase.CONTINUOUS)
ONE = np.uint64(1)
NO_FAULT = word(Fault.NONE)
LEVEL_BIT, SUMMARY_BIT = word(Fault.LEVEL_BIT), word(Fault.SUMMARY_BIT)
EMPTY_LEVEL, LINK = word(Fault.EMPTY_LEVEL), word(Fault.LINK)
LEVEL_QUANTITY, BEST_LEVEL = word(Fault.LEVEL_QUANTITY), word(Fault.BEST_LEVEL)
ORDER_WORDS, PLACE, ICEBERG = word(Fault.ORDER), word(Fault.PLACE), word(Fault.ICEBERG)
TWICE, FAR_INSIDE, FAR_LENGTH = word(Fault.TWICE), word(Fault.FAR_INSIDE), word(Fault.FAR_LENGTH)
HEAP, DUE_STOP = word(Fault.HEAP), word(Fault.DUE_STOP)
TABLE, TABLE_LENGTH = word(Fault.TABLE), word(Fault.TABLE_LENGTH)
FREE_CHAIN, SLOTS = word(Fault.FREE_CHAIN), word(Fault.SLOTS)
CROSSED, ACCOUNT_NEGATIVE = word(Fault.CROSSED), word(Fault.ACCOUNT)
RESERVED, TAPE = word(Fault.RESERVED), word(Fault.TAPE)
LOST_ORDER = word(Fault.LOST_ORDER)


def scratch_words(book: Book) -> int:
    """Length of the scratch array of a check: a mark per slot, two sums per account."""
    return int(book.orders.shape[0] + 2 * book.accounts.shape[0])


@inlined
def is_set(book: Book, index: int, bit: int) -> bool:
    """Whether a bit of the bitmap is set."""
    return (book.bits[index] >> np.uint64(bit)) & ONE != 0


@kernel
def wrong_order(book: Book, slot: int, side: int, state: int, marks: I64) -> int:
    """Return what is wrong with a live order by itself; mark its slot and its account's needs."""
    if not 0 <= slot < book.head[LOW_WATER]:
        return LINK
    if marks[slot] != 0:
        return TWICE
    marks[slot] = 1
    order = book.orders[slot]
    if order["state"] != state or order["side"] != side:
        return PLACE
    lowest = 0 if state == WAITING else 1
    if order["quantity"] < 1 or order["id"] < 0 or not lowest <= order["price"] <= MAX_PRICE:
        return ORDER_WORDS
    if state == WAITING:
        if order["hidden"] != 0 or not 1 <= order["trigger"] <= MAX_PRICE:
            return ORDER_WORDS
    elif order["display"] == 0:
        if order["hidden"] != 0:
            return ICEBERG
    elif order["hidden"] < 0 or order["quantity"] > order["display"]:
        return ICEBERG
    if find(book, order["id"]) != slot:
        return TABLE
    if book.head[SETTLES] != 0:
        account = order["account"]
        if not 0 <= account < book.accounts.shape[0]:
            return ORDER_WORDS
        total = order["quantity"] + order["hidden"]
        place = book.orders.shape[0] + 2 * account
        if side == BUY:
            marks[place] += reserve_for(book, i64(order["price"]), total)
        else:
            marks[place + 1] += total
    return NO_FAULT


@kernel
def check_queue(book: Book, side: int, level: int, marks: I64) -> tuple[int, int]:
    """Check the orders of a level and its quantity; return the fault and where it is."""
    queue = book.levels[side * (book.levels.shape[0] >> 1) + level]
    before, slot, lots = -1, i64(queue["head"]), 0
    while slot >= 0:
        fault = wrong_order(book, slot, side, RESTING, marks)
        if fault != NO_FAULT:
            return fault, slot
        order = book.orders[slot]
        if level_of(book, side, i64(order["price"])) != level:
            return PLACE, slot
        if order["prev"] != before:
            return LINK, slot
        lots += order["quantity"]
        before, slot = slot, i64(order["next"])
    if queue["tail"] != before:
        return LINK, before
    return (NO_FAULT, ZERO) if queue["quantity"] == lots else (LEVEL_QUANTITY, level)


@kernel
def check_ladder(book: Book, side: int, marks: I64) -> tuple[int, int]:
    """Check the levels of a side, their bits and its best; return the fault and where it is."""
    n_levels = book.levels.shape[0] >> 1
    words = n_levels >> 6
    start = side * (words + (words >> 6))
    best = n_levels
    for level in range(n_levels):
        queue = book.levels[side * n_levels + level]
        if is_set(book, start + (level >> 6), level & 63) != (queue["head"] >= 0):
            return LEVEL_BIT, level
        if queue["head"] < 0:
            if queue["head"] != -1 or queue["tail"] != -1 or queue["quantity"] != 0:
                return EMPTY_LEVEL, level
            continue
        best = min(best, level)
        fault, where = check_queue(book, side, i64(level), marks)
        if fault != NO_FAULT:
            return fault, where
    for index in range(words):
        occupied = book.bits[start + index] != 0
        if is_set(book, start + words + (index >> 6), index & 63) != occupied:
            return SUMMARY_BIT, index
    return (NO_FAULT, ZERO) if book.head[BEST + side] == best else (BEST_LEVEL, side)


@kernel
def check_far(book: Book, side: int, marks: I64) -> tuple[int, int]:
    """Check the list of a side's orders behind the window; return the fault and where it is."""
    n_levels = book.levels.shape[0] >> 1
    before, slot, n = -1, book.head[FAR_HEAD + side], 0
    while slot >= 0:
        fault = wrong_order(book, slot, side, FAR, marks)
        if fault != NO_FAULT:
            return fault, slot
        order = book.orders[slot]
        if level_of(book, side, i64(order["price"])) < n_levels:
            return FAR_INSIDE, slot
        if order["prev"] != before:
            return LINK, slot
        before, slot, n = slot, i64(order["next"]), n + 1
    if book.head[FAR_TAIL + side] != before:
        return LINK, before
    return (NO_FAULT, ZERO) if book.head[FAR_COUNT + side] == n else (FAR_LENGTH, side)


@kernel
def check_heap(book: Book, side: int, marks: I64) -> tuple[int, int]:
    """Check a side's heap of stop orders; return the fault and where it is."""
    start = side * (book.stops.shape[0] >> 1)
    for place in range(book.head[N_STOPS + side]):
        slot = i64(book.stops[start + place])
        fault = wrong_order(book, slot, side, WAITING, marks)
        if fault != NO_FAULT:
            return fault, slot
        if book.orders[slot]["next"] != place:
            return HEAP, slot
        if place > 0 and sooner(book, side, slot, i64(book.stops[start + ((place - 1) >> 1)])):
            return HEAP, slot
    return NO_FAULT, ZERO


@kernel
def check_table(book: Book) -> tuple[int, int]:
    """Check that the table lists as many slots as there are live orders, all of them in use."""
    n = 0
    for entry in range(book.table.shape[0]):
        slot = i64(book.table[entry])
        if slot >= book.head[LOW_WATER]:
            return TABLE, slot
        if slot >= 0:
            n += 1
    return (NO_FAULT, ZERO) if n == book.head[N_ORDERS] else (TABLE_LENGTH, n)


@kernel
def check_slots(book: Book, marks: I64) -> tuple[int, int]:
    """Check that every slot is live or free, and that there are as many live ones as counted."""
    live = 0
    for slot in range(book.head[LOW_WATER]):
        live += marks[slot]
    if live != book.head[N_ORDERS]:
        return LOST_ORDER, live
    slot, free = book.head[FREE_SLOT], 0
    while slot >= 0:
        if slot >= book.head[LOW_WATER] or marks[slot] != 0 or book.orders[slot]["state"] != FREE:
            return FREE_CHAIN, slot
        marks[slot] = 1
        slot, free = i64(book.orders[slot]["next"]), free + 1
    lost = book.head[LOW_WATER] - live - free
    if lost != 0 or book.head[LOW_WATER] > book.orders.shape[0] - 1:
        return SLOTS, lost
    return NO_FAULT, ZERO


@kernel
def check_accounts(book: Book, marks: I64) -> tuple[int, int]:
    """Check that nobody owes, and that the live orders' needs are what is reserved."""
    for account in range(book.accounts.shape[0]):
        mine = book.accounts[account]
        if mine["cash"] < 0 or mine["lots"] < 0:
            return ACCOUNT_NEGATIVE, account
        place = book.orders.shape[0] + 2 * account
        if mine["cash_reserved"] != marks[place] or mine["lots_reserved"] != marks[place + 1]:
            return RESERVED, account
    return NO_FAULT, ZERO


@kernel
def check(book: Book, marks: I64) -> tuple[int, int]:
    """Check a whole book between two messages.

    Parameters
    ----------
    book : Book
        One world's.
    marks : array (scratch_words(book),)
        Scratch; any content.

    Returns
    -------
    int, int
        `Fault`, and the slot, level, side, account or number that its sentence in `FAULTS` names.
    """
    for i in range(marks.shape[0]):
        marks[i] = 0
    fault, where = check_table(book)
    if fault != NO_FAULT:
        return fault, where
    for s in range(2):
        side = i64(s)
        fault, where = check_ladder(book, side, marks)
        if fault == NO_FAULT:
            fault, where = check_far(book, side, marks)
        if fault == NO_FAULT:
            fault, where = check_heap(book, side, marks)
        if fault != NO_FAULT:
            return fault, where
    fault, where = check_slots(book, marks)
    if fault == NO_FAULT:
        fault, where = check_accounts(book, marks)
    if fault != NO_FAULT:
        return fault, where
    if book.head[N_PRINTS] > book.tape.shape[0]:
        return TAPE, book.head[N_PRINTS]
    if book.head[PHASE] != CONTINUOUS:
        return NO_FAULT, ZERO
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    if bid != 0 and ask != 0 and bid >= ask:
        return CROSSED, bid
    slot = due_stop(book)
    return (NO_FAULT, ZERO) if slot < 0 else (DUE_STOP, slot)


@kernel
def run_checked(book: Book, messages: Rows, start: int, marks: I64, fault: I64) -> int:
    """Do what messages ask, as `matching.run`, and check the book after each.

    Parameters
    ----------
    book, messages, start
        As of `matching.run`.
    marks : array (scratch_words(book),)
        Scratch.
    fault : array (2,)
        Written: `Fault` after the last message that was done, and where it is.

    Returns
    -------
    int
        Index of the first message that was not looked at.
    """
    for i in range(start, messages.shape[0]):
        if i > start and is_tight(book):
            return i
        line = book.head[N_PRINTS]
        submit(book, messages[i : i + 1])
        for k in range(line, book.head[N_PRINTS]):
            book.tape[k]["message"] = i
        fault[0], fault[1] = check(book, marks)
        if fault[0] != NO_FAULT:
            return i + 1
    return messages.shape[0]


def sentence(fault: int, where: int) -> str:
    """Say what is wrong with a book."""
    return "order book: " + FAULTS[Fault(fault)].format(where)
