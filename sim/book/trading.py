"""What a trade does to the order that rested, and the tape that tells of it."""

from sim.book.accounts import set_free
from sim.book.ladder import empty, unlink, unlink_far
from sim.book.layout import LOST_PRINTS, N_PRINTS, SETTLES, Book, OrderState
from sim.book.registry import discharge
from sim.book.stops import leave_heap
from sim.kernel import Record, at, i64, inlined, kernel, word

RESTING, FAR = word(OrderState.RESTING), word(OrderState.FAR)


@inlined
def tell(book: Book, kind: int, message: int, maker: Record, taker: Record, lots: int) -> None:
    """Write a line on the tape, at the price of `maker`."""
    n = book.head[N_PRINTS]
    if n >= book.tape.shape[0]:
        book.head[LOST_PRINTS] += 1
        return
    book.head[N_PRINTS] = n + 1
    line = book.tape[at(n)]
    line["message"] = message
    line["maker"] = maker["id"]
    line["taker"] = taker["id"]
    line["quantity"] = lots
    line["price"] = maker["price"]
    line["maker_account"] = maker["account"]
    line["taker_account"] = taker["account"]
    line["kind"] = kind
    line["side"] = taker["side"]
    line["last"] = 0


@kernel
def remove(book: Book, slot: int) -> None:
    """Take a live order out of the book, and free what it had reserved."""
    order = book.orders[at(slot)]
    if order["state"] == RESTING:
        unlink(book, slot)
    elif order["state"] == FAR:
        unlink_far(book, slot)
    else:
        leave_heap(book, slot)
    if book.head[SETTLES] != 0:
        set_free(book, slot, order["quantity"] + order["hidden"])
    discharge(book, slot)


@inlined
def show_more(book: Book, slot: int, side: int, level: int) -> None:
    """Show the next part of an iceberg, at the back of its level's queue."""
    order = book.orders[at(slot)]
    queue = book.levels[side * (book.levels.shape[0] >> 1) + level]
    order["quantity"] = min(order["hidden"], order["display"])
    order["hidden"] -= order["quantity"]
    queue["quantity"] += order["quantity"]
    after, tail = order["next"], queue["tail"]
    if after < 0:
        return
    book.orders[at(after)]["prev"] = -1
    queue["head"] = after
    book.orders[at(tail)]["next"] = slot
    order["prev"] = tail
    order["next"] = -1
    queue["tail"] = slot


@inlined
def drop_head(book: Book, side: int, level: int) -> None:
    """Take the first order, which has nothing left, out of a level's queue and out of the book."""
    queue = book.levels[side * (book.levels.shape[0] >> 1) + level]
    slot = i64(queue["head"])
    after = i64(book.orders[at(slot)]["next"])
    queue["head"] = after
    if after >= 0:
        book.orders[at(after)]["prev"] = -1
    else:
        queue["tail"] = -1
        empty(book, side, level)
    discharge(book, slot)
