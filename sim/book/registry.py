"""Which slot holds which order: recycled slots, and a hash table from order ids to slots.

Open addressing with linear probing and backward shifting (Knuth, TAOCP 3, 6.4, algorithm R): no
tombstones, so the table never ages. An entry is a slot alone; the id is compared in the order.
"""

import numpy as np

from sim.book.layout import FREE_SLOT, LOW_WATER, N_ORDERS, TABLE_SHIFT, Book, OrderState
from sim.kernel import at, i64, inlined, word

FREE = word(OrderState.FREE)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: multiplicative hashing


@inlined
def home(book: Book, order_id: int) -> int:
    """Table index at which the search for an id starts."""
    return i64((np.uint64(order_id) * GOLDEN) >> np.uint64(book.head[TABLE_SHIFT]))


@inlined
def find(book: Book, order_id: int) -> int:
    """Slot of a live order; -1 if there is none with that id."""
    mask = book.table.shape[0] - 1
    entry = home(book, order_id)
    slot = i64(book.table[at(entry)])
    while slot >= 0 and book.orders[at(slot)]["id"] != order_id:
        entry = (entry + 1) & mask
        slot = i64(book.table[at(entry)])
    return slot


@inlined
def take_slot(book: Book) -> int:
    """Take a free slot; -1 if all are in use."""
    slot = book.head[FREE_SLOT]
    if slot >= 0:
        book.head[FREE_SLOT] = book.orders[at(slot)]["next"]
        return slot
    slot = book.head[LOW_WATER]
    if slot >= book.orders.shape[0] - 1:  # the last slot is for orders that never rest
        return -1
    book.head[LOW_WATER] = slot + 1
    return slot


@inlined
def give_slot(book: Book, slot: int) -> None:
    """Make a slot free again."""
    book.orders[at(slot)]["state"] = FREE
    book.orders[at(slot)]["next"] = book.head[FREE_SLOT]
    book.head[FREE_SLOT] = slot


@inlined
def enlist(book: Book, slot: int) -> None:
    """Enter a new order, whose id is set, into the table."""
    mask = book.table.shape[0] - 1
    entry = home(book, book.orders[at(slot)]["id"])
    while book.table[at(entry)] >= 0:
        entry = (entry + 1) & mask
    book.table[at(entry)] = slot
    book.head[N_ORDERS] += 1


@inlined
def discharge(book: Book, slot: int) -> None:
    """Remove an order from the table and free its slot."""
    mask = book.table.shape[0] - 1
    gap = home(book, book.orders[at(slot)]["id"])
    while book.table[at(gap)] != slot:
        gap = (gap + 1) & mask
    entry = gap
    while True:
        entry = (entry + 1) & mask
        other = book.table[at(entry)]
        if other < 0:
            break
        if ((entry - home(book, book.orders[at(other)]["id"])) & mask) >= ((entry - gap) & mask):
            book.table[at(gap)] = other
            gap = entry
    book.table[at(gap)] = -1
    give_slot(book, slot)
    book.head[N_ORDERS] -= 1
