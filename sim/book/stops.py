"""Stop orders that wait for their trigger: one binary heap of slots per side.

A buy stop triggers at or above its trigger price, a sell stop at or below; nearest first, equals in
the order of arrival. An order knows its place in the heap (`next`), so a cancel costs a logarithm.
"""

from sim.book.layout import LAST_PRICE, N_STOPS, Book, OrderState, Side
from sim.kernel import at, i64, inlined, kernel, word

BUY = word(Side.BUY)
WAITING = word(OrderState.WAITING)


@inlined
def sooner(book: Book, side: int, one: int, other: int) -> bool:
    """Whether the order in slot `one` triggers before that in `other`."""
    first, second = book.orders[at(one)], book.orders[at(other)]
    if first["trigger"] != second["trigger"]:
        return (first["trigger"] < second["trigger"]) == (side == BUY)
    return first["stamp"] < second["stamp"]


@inlined
def put(book: Book, start: int, place: int, slot: int) -> None:
    """Write a slot into the heap and its place into the order."""
    book.stops[at(start + place)] = slot
    book.orders[at(slot)]["next"] = place


@kernel
def sift(book: Book, side: int, place: int) -> None:
    """Bring the entry at `place` to where it belongs."""
    start = side * (book.stops.shape[0] >> 1)
    n = book.head[N_STOPS + side]
    slot = i64(book.stops[at(start + place)])
    while place > 0:
        parent = (place - 1) >> 1
        if not sooner(book, side, slot, book.stops[at(start + parent)]):
            break
        put(book, start, place, i64(book.stops[at(start + parent)]))
        place = parent
    while True:
        child = 2 * place + 1
        if child >= n:
            break
        if child + 1 < n and sooner(
            book, side, book.stops[at(start + child + 1)], book.stops[at(start + child)]
        ):
            child += 1
        if not sooner(book, side, book.stops[at(start + child)], slot):
            break
        put(book, start, place, i64(book.stops[at(start + child)]))
        place = child
    put(book, start, place, slot)


@kernel
def await_trigger(book: Book, slot: int) -> None:
    """Add an order to its side's heap."""
    order = book.orders[at(slot)]
    side = i64(order["side"])
    order["state"] = WAITING
    place = book.head[N_STOPS + side]
    book.head[N_STOPS + side] = place + 1
    put(book, side * (book.stops.shape[0] >> 1), place, slot)
    sift(book, side, place)


@kernel
def leave_heap(book: Book, slot: int) -> None:
    """Take an order out of its side's heap."""
    side, place = i64(book.orders[at(slot)]["side"]), i64(book.orders[at(slot)]["next"])
    start = side * (book.stops.shape[0] >> 1)
    book.head[N_STOPS + side] -= 1
    n = book.head[N_STOPS + side]
    if place < n:
        put(book, start, place, i64(book.stops[at(start + n)]))
        sift(book, side, place)


@inlined
def is_reached(book: Book, side: int, trigger: int) -> bool:
    """Whether the last price has reached a trigger."""
    last = book.head[LAST_PRICE]
    if last == 0:
        return False
    return last >= trigger if side == BUY else last <= trigger


@kernel
def due_stop(book: Book) -> int:
    """Slot of the next stop order to trigger, buys first; -1 if none is due."""
    for side in range(2):
        if book.head[N_STOPS + side] > 0:
            slot = i64(book.stops[side * (book.stops.shape[0] >> 1)])
            if is_reached(book, i64(side), i64(book.orders[at(slot)]["trigger"])):
                return slot
    return -1
