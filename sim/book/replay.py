"""Rebuild a book from recorded messages and snapshots of its best levels, and check each row.

The recording is a list of rows: what happened to one order, and the best k levels of both sides
after it. Row 0 seeds the book; each later row is applied to the book built so far, the book is
compared with the row's levels, and only then brought in line with them.

What the recording cannot tell, and the rule for it:

* A price was *seen* before a row if the previous row's levels reach to it. At a seen price nothing
  may differ. A level that comes up from beyond is *revealed*: if the book remembers another size
  there, its memory of that level is forgotten, and one anonymous order stands for all it holds.
* A level that leaves the best k stays in the book as it was. When the levels reach to its price
  again and it is gone, it *vanished* unseen and is removed.
* An order that the book does not know (it came before the first row, or beyond the depth) is part
  of its level's anonymous order, which loses the lots. Where that has too few, the memory of who
  queues there was wrong: the whole level becomes anonymous.
* A hidden execution touches no visible order.

`rebuild` either takes the executions off the orders that the recording names (`matching` 0), or
turns each run of them with one time into one aggressive order, so that the book must find out by
itself whom it meets (`matching` 1). A new order that follows at the same time on the other side, at
the last price or a worse one, is what was left of the aggressor: it must come to rest by itself.
"""

from typing import NamedTuple

import numpy as np

from sim.actions import Reject
from sim.book.admission import accepts
from sim.book.ladder import level_of, next_level, price_of
from sim.book.layout import (
    BEST,
    MESSAGE,
    N_PRINTS,
    ORDER,
    Book,
    OrderVerb,
    Side,
    TimeInForce,
)
from sim.book.matching import process
from sim.book.registry import find
from sim.kernel import I64, Rows, i64, inlined, kernel, word

OK = word(Reject.OK)
ZERO, ONE = word(0), word(1)
BUY, SELL = word(Side.BUY), word(Side.SELL)
LIMIT, CANCEL, REDUCE = word(OrderVerb.LIMIT), word(OrderVerb.CANCEL), word(OrderVerb.REDUCE)
GTC = word(TimeInForce.GOOD_TILL_CANCEL)
IOC = word(TimeInForce.IMMEDIATE_OR_CANCEL)
POST_ONLY = word(TimeInForce.POST_ONLY)

# kinds of rows
NEW, TAKE, DELETE, EXECUTE, HIDDEN, OTHER = (word(i) for i in range(1, 7))

ANONYMOUS = word(1 << 61)  # ids from here on stand for what a level holds of unknown orders
TAKER = word(1 << 62)  # ids of the aggressive orders made of executions

# what a row's mark tells, one bit each
FAILED = 1  # a difference that the limits of the recording do not explain
TOUCH_REVEALED = 2  # a best level came from beyond the recorded depth ...
TOUCH_GUESSED = 4  # ... and the book's memory of it was right all the same
REVEALED = 8  # some level came from beyond the recorded depth
UNKNOWN = 16  # the order is not known
COMPOSITION = 32  # who queues at the level was remembered wrongly
REFUSED = 64  # the book refused the message
AT_BEST = 128  # an execution at the best price
AT_HEAD = 256  # ... of a known order at the head of its queue
BEHIND_ANONYMOUS = 512  # ... of a known order behind one that stands for unknown ones
TOUCH_FAILED = 1024
MATCHED = 2048  # an execution that the kernel printed just so: id, lots and price
MATCHED_ANONYMOUS = 4096  # the same, but that the order is one of an anonymous aggregate
MISMATCHED = 8192  # the kernel printed something else
RUN_START = 16384  # the first execution of an aggressive order
STRANGER = 32768  # an execution of an order that the book did not know when the aggressor came
RESTED = 65536  # what was left of an aggressive order came to rest by itself

# counters
LEVELS_SEEN, LEVELS_FAILED, LEVELS_REVEALED, LEVELS_REMEMBERED, LEVELS_VANISHED = range(5)
LEVELS_ANONYMOUS = 5
PLANNED = 6  # messages that wait to be sent
N_COUNTS = 8


class Recording(NamedTuple):
    """What was recorded.

    Attributes
    ----------
    kind, id, lots, price, side, time : I64 (row,)
        What happened, to which order; `side` is the order's, prices are ticks, times ns.
    levels : I64 (row, side, level, 2)
        Price and lots of the best levels after each row; price 0 where there is none.
    """

    kind: I64
    id: I64
    lots: I64
    price: I64
    side: I64
    time: I64
    levels: I64


class Findings(NamedTuple):
    """What `rebuild` writes: a mark per row, counters, and room to work in.

    Attributes
    ----------
    marks : I64 (row,)
    heads : I64 (row,)
        Id of the order that stood before the one that was executed; 0: none did.
    counts : I64 (N_COUNTS,)
    saved : Rows (order,)
        Room for the orders of a side.
    messages : Rows (message,)
        Room for what is planned: twice the orders that may rest.
    """

    marks: I64
    heads: I64
    counts: I64
    saved: Rows
    messages: Rows


def new_findings(n_rows: int, n_orders: int) -> Findings:
    """Make empty findings for so many rows, in a book that may hold so many orders."""
    messages = np.zeros(2 * n_orders, MESSAGE)
    messages["account"] = -1
    return Findings(
        np.zeros(n_rows, np.int64),
        np.zeros(n_rows, np.int64),
        np.zeros(N_COUNTS, np.int64),
        np.zeros(n_orders, ORDER),
        messages,
    )


@inlined
def plan(
    found: Findings, verb: int, side: int, order_id: int, lots: int, price: int, tif: int
) -> None:
    """Put down a message that `carry_out` will send."""
    m = found.messages[found.counts[PLANNED]]
    found.counts[PLANNED] += 1
    m["verb"] = verb
    m["side"] = side
    m["id"] = order_id
    m["quantity"] = lots
    m["price"] = price
    m["tif"] = tif


@kernel
def carry_out(book: Book, found: Findings) -> int:
    """Send the book what was planned; return a mark.

    The one caller of `process`: a kernel that reaches it takes two seconds to compile.
    """
    mark = 0
    for i in range(found.counts[PLANNED]):
        m = found.messages[i]
        process(book, m, i)
        if m["code"] != OK:
            mark = REFUSED | FAILED
    found.counts[PLANNED] = 0
    return mark


@inlined
def place_of(book: Book, side: int, price: int) -> int:
    """Index of a price's level in `levels`; -1 if it is outside the window."""
    n_levels = book.levels.shape[0] >> 1
    level = level_of(book, side, price)
    return side * n_levels + level if 0 <= level < n_levels else -1


@inlined
def anonymous(side: int, price: int) -> int:
    """Id of the order that stands for a level's unknown ones."""
    return ANONYMOUS + 2 * price + side


@inlined
def seen(recorded: Recording, row: int, side: int, price: int) -> bool:
    """Whether the levels of a row reach to a price."""
    last = recorded.levels[row, side, recorded.levels.shape[2] - 1, 0]
    if last == 0:
        return True
    return bool(price >= last if side == BUY else price <= last)


@kernel
def clear_level(book: Book, found: Findings, place: int) -> None:
    """Plan to cancel all orders of a level."""
    slot = i64(book.levels[place]["head"])
    while slot >= 0:
        plan(found, CANCEL, ZERO, book.orders[slot]["id"], ONE, ONE, GTC)
        slot = i64(book.orders[slot]["next"])


@kernel
def aggregate(book: Book, found: Findings, side: int, price: int, lots: int) -> None:
    """Plan to make a level one anonymous order of so many lots."""
    place = place_of(book, side, price)
    if place >= 0:
        clear_level(book, found, place)
    if lots > 0:
        plan(found, LIMIT, side, anonymous(side, price), lots, price, POST_ONLY)
        found.counts[LEVELS_ANONYMOUS] += 1


@kernel
def take_off(book: Book, recorded: Recording, found: Findings, row: int) -> int:
    """Take a row's lots off the order that it names; return a mark."""
    order_id, lots = recorded.id[row], recorded.lots[row]
    side, price = recorded.side[row], recorded.price[row]
    slot = find(book, order_id)
    mark = 0
    if slot >= 0:
        order = book.orders[slot]
        left = i64(order["quantity"])
        if order["price"] != price or order["side"] != side:
            return FAILED
        if left == lots or (left > lots and recorded.kind[row] != DELETE):
            plan(found, REDUCE, side, order_id, lots, price, GTC)
            return 0
        mark = COMPOSITION
    else:
        mark = UNKNOWN
        other = anonymous(side, price)
        slot = find(book, other)
        if slot >= 0 and book.orders[slot]["quantity"] >= lots:
            plan(found, REDUCE, side, other, lots, price, GTC)
            return mark
    place = place_of(book, side, price)
    total = i64(book.levels[place]["quantity"]) if place >= 0 else 0
    if total >= lots:
        aggregate(book, found, side, price, total - lots)
        return mark | COMPOSITION
    return mark | FAILED


@inlined
def standing(book: Book, recorded: Recording, found: Findings, row: int) -> int:
    """Where an execution's order stands before it trades: a mark.

    Writes down whom the book has at the head of the queue instead.
    """
    side, price = recorded.side[row], recorded.price[row]
    best = book.head[BEST + side]
    if best >= book.levels.shape[0] >> 1 or price_of(book, side, best) != price:
        return 0
    slot = find(book, recorded.id[row])
    head = i64(book.levels[place_of(book, side, price)]["head"])
    if slot < 0:
        return AT_BEST
    if slot == head:
        return AT_BEST | AT_HEAD
    found.heads[row] = book.orders[head]["id"]
    behind = book.orders[head]["id"] >= ANONYMOUS
    return AT_BEST | BEHIND_ANONYMOUS if behind else AT_BEST


@kernel
def apply(book: Book, recorded: Recording, found: Findings, row: int) -> int:
    """Plan what a row tells; return a mark."""
    kind = recorded.kind[row]
    if kind == NEW:
        plan(
            found, LIMIT, recorded.side[row], recorded.id[row], recorded.lots[row],
            recorded.price[row], POST_ONLY,
        )  # fmt: skip
        return 0
    if kind == EXECUTE:
        return standing(book, recorded, found, row) | take_off(book, recorded, found, row)
    if kind in (TAKE, DELETE):
        return take_off(book, recorded, found, row)
    return 0


@inlined
def compare_level(
    recorded: Recording, found: Findings, before: int, row: int, side: int, j: int,
    have: int,
) -> int:  # fmt: skip
    """Compare the lots of one recorded level with those of the book; return a mark."""
    price, lots = recorded.levels[row, side, j, 0], recorded.levels[row, side, j, 1]
    if seen(recorded, before, side, price):
        found.counts[LEVELS_SEEN] += 1
        if have == lots:
            return 0
        found.counts[LEVELS_FAILED] += 1
        return FAILED | TOUCH_FAILED if j == 0 else FAILED
    found.counts[LEVELS_REVEALED] += 1
    if have == lots:
        found.counts[LEVELS_REMEMBERED] += 1
    mark = REVEALED | TOUCH_REVEALED if j == 0 else REVEALED
    return mark | TOUCH_GUESSED if have == lots and j == 0 else mark


@kernel
def compare(
    book: Book, recorded: Recording, found: Findings, before: int, row: int, side: int
) -> int:
    """Compare a side with a row's levels, and plan to clear what is not as recorded.

    `before` is the row before those that were applied since. Returns a mark.
    """
    depth, n_levels = recorded.levels.shape[2], book.levels.shape[0] >> 1
    level, j, mark = book.head[BEST + side], ZERO, ZERO
    while j < depth:
        wanted = level_of(book, side, recorded.levels[row, side, j, 0])
        some = recorded.levels[row, side, j, 0] != 0
        here = level < n_levels
        if some and here and level == wanted:
            have = book.levels[side * n_levels + level]["quantity"]
            mark |= compare_level(recorded, found, before, row, side, j, have)
            if have != recorded.levels[row, side, j, 1]:
                clear_level(book, found, side * n_levels + level)
            level = next_level(book, side, level + 1)
            j += 1
        elif here and (not some or level < wanted):
            if seen(recorded, before, side, price_of(book, side, level)):
                found.counts[LEVELS_FAILED] += 1
                mark |= FAILED | TOUCH_FAILED if j == 0 else FAILED
            else:
                found.counts[LEVELS_VANISHED] += 1
            clear_level(book, found, side * n_levels + level)
            level = next_level(book, side, level + 1)
        elif some:
            mark |= compare_level(recorded, found, before, row, side, j, ZERO)
            j += 1
        else:
            break
    return mark


@kernel
def reveal(book: Book, recorded: Recording, found: Findings, row: int, side: int) -> None:
    """Plan an anonymous order for each recorded level that the book lacks."""
    for j in range(recorded.levels.shape[2]):
        price = recorded.levels[row, side, j, 0]
        if price == 0:
            break
        place = place_of(book, side, price)
        if place < 0 or book.levels[place]["head"] < 0:
            aggregate(book, found, side, price, recorded.levels[row, side, j, 1])


@kernel
def end_of_run(recorded: Recording, start: int) -> int:
    """Return the row behind the executions that one aggressive order made.

    They have one time and one side, and lie at prices that were seen before; hidden executions may
    lie between them. A new order behind them may be what was left of the aggressor.
    """
    side, worst = recorded.side[start], recorded.price[start]
    end = start + 1
    i = end
    while i < recorded.kind.shape[0] and recorded.time[i] == recorded.time[start]:
        kind = recorded.kind[i]
        price = recorded.price[i]
        if kind == EXECUTE and recorded.side[i] == side:
            if not seen(recorded, start - 1, side, price):
                break
            worst = min(worst, price) if side == BUY else max(worst, price)
            end = i + 1
        elif kind == NEW and recorded.side[i] != side and i == end:
            if accepts(1 - side, price, worst) and seen(recorded, start - 1, side, price):
                end = i + 1
            break
        elif kind != HIDDEN:
            break
        i += 1
    return end


@kernel
def save(book: Book, found: Findings, side: int, price: int) -> int:
    """Copy a side's orders at `price` and better, in the order of their queues; return how many."""
    n_levels = book.levels.shape[0] >> 1
    level, n = book.head[BEST + side], 0
    limit = min(level_of(book, side, price), n_levels - 1)
    while level <= limit:
        slot = i64(book.levels[side * n_levels + level]["head"])
        while slot >= 0:
            found.saved[n] = book.orders[slot]
            n += 1
            slot = i64(book.orders[slot]["next"])
        level = next_level(book, side, level + 1)
    return n


@kernel
def bring_back(book: Book, found: Findings, side: int, price: int, n: int) -> None:
    """Plan to undo what happened to a side's orders at `price` and better since they were saved."""
    n_levels = book.levels.shape[0] >> 1
    level, limit = book.head[BEST + side], min(level_of(book, side, price), n_levels - 1)
    while level <= limit:
        clear_level(book, found, side * n_levels + level)
        level = next_level(book, side, level + 1)
    for i in range(n):
        order = found.saved[i]
        plan(
            found, LIMIT, side, order["id"], order["quantity"],
            ZERO + order["price"], POST_ONLY,
        )  # fmt: skip


@kernel
def agree(book: Book, recorded: Recording, found: Findings, start: int, end: int) -> bool:
    """Whether the tape tells of the executions in rows start .. end - 1; marks each.

    A row's mark says STRANGER where the book did not know the order before.
    """
    line, spent, good = 0, 0, True
    for row in range(start, end):
        if recorded.kind[row] != EXECUTE:
            continue
        left, whole = recorded.lots[row], True
        while left > 0 and line < book.head[N_PRINTS]:
            told = book.tape[line]
            lots = min(left, told["quantity"] - spent)
            other = told["maker"] >= ANONYMOUS and found.marks[row] & STRANGER != 0
            if told["price"] != recorded.price[row] or not (
                other or told["maker"] == recorded.id[row]
            ):
                whole = False
            left -= lots
            spent += lots
            if spent == told["quantity"]:
                line, spent = line + 1, 0
        whole = whole and left == 0
        good = good and whole
        if not whole:
            found.marks[row] |= MISMATCHED
        elif found.marks[row] & STRANGER != 0:
            found.marks[row] |= MATCHED_ANONYMOUS
        else:
            found.marks[row] |= MATCHED
    good = good and line == book.head[N_PRINTS]
    if recorded.kind[end - 1] == NEW:
        slot = find(book, recorded.id[end - 1])
        good = good and slot >= 0 and book.orders[slot]["quantity"] == recorded.lots[end - 1]
        found.marks[end - 1] |= RESTED if good else MISMATCHED
    return bool(good)


@kernel
def attack(book: Book, recorded: Recording, found: Findings, start: int, end: int) -> int:
    """Plan one aggressive order for the executions in rows start .. end - 1.

    Returns its limit: the worst of their prices, or that at which it rests.
    """
    side, total, limit = recorded.side[start], ZERO, recorded.price[start]
    order_id, tif = TAKER + start, IOC
    for row in range(start, end):
        price = recorded.price[row]
        if recorded.kind[row] == EXECUTE:
            total += recorded.lots[row]
            limit = min(limit, price) if side == BUY else max(limit, price)
            if find(book, recorded.id[row]) < 0:
                found.marks[row] |= STRANGER
        elif recorded.kind[row] == NEW:
            total += recorded.lots[row]
            limit, order_id, tif = price, recorded.id[row], GTC
    found.marks[start] |= RUN_START
    plan(found, LIMIT, 1 - side, order_id, total, limit, tif)
    return int(limit)


@kernel
def rebuild(book: Book, recorded: Recording, found: Findings, matching: int) -> None:
    """Drive a book with a recording; see the module's text for the rules.

    Parameters
    ----------
    book : Book
        Empty; its window must hold every price, its orders every row's and two per level.
    recorded : Recording
    found : Findings
        `marks` and `counts` are 0.
    matching : int
        0: executions are taken off the orders that they name; 1: they are made by aggressive
        orders, and where the book trades otherwise than recorded, it is put back and the
        executions are taken off the orders that they name.
    """
    row, end = ZERO, ONE
    while row < recorded.kind.shape[0]:
        book.head[N_PRINTS] = 0
        mark = 0
        if row == 0:
            mark = REVEALED
        elif matching != 0 and recorded.kind[row] == EXECUTE:
            end = end_of_run(recorded, row)
            side = recorded.side[row]
            limit = attack(book, recorded, found, row, end)
            n_saved = save(book, found, side, limit)
            mark |= carry_out(book, found)
            if not agree(book, recorded, found, row, end):
                rest = recorded.id[end - 1]
                if recorded.kind[end - 1] == NEW and find(book, rest) >= 0:
                    plan(found, CANCEL, ZERO, rest, ONE, ONE, GTC)
                bring_back(book, found, side, limit, n_saved)
                mark |= carry_out(book, found)
                for i in range(row, end):
                    found.marks[i] |= apply(book, recorded, found, i)
                    mark |= carry_out(book, found)
        else:
            mark |= apply(book, recorded, found, row)
            mark |= carry_out(book, found)
        if row > 0:
            mark |= compare(book, recorded, found, row - 1, end - 1, BUY)
            mark |= compare(book, recorded, found, row - 1, end - 1, SELL)
            mark |= carry_out(book, found)
        if mark & (FAILED | REVEALED) != 0:
            reveal(book, recorded, found, end - 1, BUY)
            reveal(book, recorded, found, end - 1, SELL)
            mark |= carry_out(book, found)
        if row > 0:
            found.marks[end - 1] |= mark
        row, end = end, end + 1
