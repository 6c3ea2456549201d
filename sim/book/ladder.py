"""The queues of a book: levels of a price window, their bitmap, and the lists outside the window.

The window is a dense ladder: a level is 16 bytes, found by its price alone, and a bitmap of two
layers finds the next one with orders in a few instructions however far it is. Price moves slide
the window, which costs one step per occupied level and per order in the far lists.
"""

import numpy as np

from sim.book.layout import (
    BASE,
    BEST,
    FAR_COUNT,
    FAR_HEAD,
    FAR_TAIL,
    Book,
    OrderState,
    Side,
)
from sim.kernel import U64, at, i64, inlined, kernel, word
from sim.machine import leading_zeros, trailing_zeros

BUY, SELL = word(Side.BUY), word(Side.SELL)
RESTING, FAR = word(OrderState.RESTING), word(OrderState.FAR)
ZERO = word(0)
ONE = np.uint64(1)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inlined
def mark(bits: U64, start: int, words: int, level: int) -> None:
    """Note that a level has orders; `start` is where the side's bits begin."""
    word = level >> 6
    bits[at(start + word)] |= ONE << np.uint64(level & 63)
    bits[at(start + words + (word >> 6))] |= ONE << np.uint64(word & 63)


@inlined
def unmark(bits: U64, start: int, words: int, level: int) -> None:
    """Note that a level has no orders any more."""
    word = level >> 6
    left = bits[at(start + word)] & ~(ONE << np.uint64(level & 63))
    bits[at(start + word)] = left
    if left == 0:
        bits[at(start + words + (word >> 6))] &= ~(ONE << np.uint64(word & 63))


@inlined
def level_above(bits: U64, start: int, words: int, level: int) -> int:
    """First level at or above `level` that has orders; the number of levels if there is none."""
    if level >= words << 6:
        return words << 6
    word = level >> 6
    found = bits[at(start + word)] & (ALL << np.uint64(level & 63))
    if found != 0:
        return (word << 6) + trailing_zeros(found)
    word += 1
    if word >= words:
        return words << 6
    total = word >> 6
    found = bits[at(start + words + total)] & (ALL << np.uint64(word & 63))
    while found == 0:
        total += 1
        if total >= words >> 6:
            return words << 6
        found = bits[at(start + words + total)]
    word = (total << 6) + trailing_zeros(found)
    return (word << 6) + trailing_zeros(bits[at(start + word)])


@inlined
def level_of(book: Book, side: int, price: int) -> int:
    """Level of a price on a side's ladder: 0 is the best that the window has; may lie outside."""
    span = (book.levels.shape[0] >> 1) - 1
    return (2 * side - 1) * (price - book.head[BASE]) + (1 - side) * span


@inlined
def price_of(book: Book, side: int, level: int) -> int:
    """Price in ticks of a level of a side's ladder."""
    span = (book.levels.shape[0] >> 1) - 1
    return book.head[BASE] + (2 * side - 1) * (level - (1 - side) * span)


@inlined
def next_level(book: Book, side: int, level: int) -> int:
    """First level at or behind `level`, seen from the touch, that has orders of a side."""
    words = book.levels.shape[0] >> 7
    return level_above(book.bits, side * (words + (words >> 6)), words, level)


@inlined
def append(book: Book, side: int, level: int, slot: int) -> None:
    """Put an order at the back of a level's queue."""
    order = book.orders[at(slot)]
    n_levels = book.levels.shape[0] >> 1
    queue = book.levels[at(side * n_levels + level)]
    tail = i64(queue["tail"])
    order["state"] = RESTING
    order["next"] = -1
    order["prev"] = tail
    queue["tail"] = slot
    queue["quantity"] += order["quantity"]
    if tail >= 0:
        book.orders[at(tail)]["next"] = slot
        return
    queue["head"] = slot
    words = n_levels >> 6
    mark(book.bits, side * (words + (words >> 6)), words, level)
    if level < book.head[BEST + side]:
        book.head[BEST + side] = level


@inlined
def empty(book: Book, side: int, level: int) -> None:
    """Forget a level that has lost its last order."""
    n_levels = book.levels.shape[0] >> 1
    words = n_levels >> 6
    unmark(book.bits, side * (words + (words >> 6)), words, level)
    if level == book.head[BEST + side]:
        book.head[BEST + side] = next_level(book, side, level)


@inlined
def unlink(book: Book, slot: int) -> None:
    """Take an order out of the queue of its level."""
    order = book.orders[at(slot)]
    side = i64(order["side"])
    level = level_of(book, side, i64(order["price"]))
    queue = book.levels[side * (book.levels.shape[0] >> 1) + level]
    after, before = i64(order["next"]), i64(order["prev"])
    queue["quantity"] -= order["quantity"]
    if before >= 0:
        book.orders[at(before)]["next"] = after
    else:
        queue["head"] = after
    if after >= 0:
        book.orders[at(after)]["prev"] = before
    else:
        queue["tail"] = before
        if before < 0:
            empty(book, side, level)


@kernel
def append_far(book: Book, slot: int) -> None:
    """Put an order at the end of the list of orders outside the window."""
    order = book.orders[at(slot)]
    side = i64(order["side"])
    tail = book.head[FAR_TAIL + side]
    order["state"] = FAR
    order["next"] = -1
    order["prev"] = tail
    if tail >= 0:
        book.orders[at(tail)]["next"] = slot
    else:
        book.head[FAR_HEAD + side] = slot
    book.head[FAR_TAIL + side] = slot
    book.head[FAR_COUNT + side] += 1


@kernel
def unlink_far(book: Book, slot: int) -> None:
    """Take an order out of the list of orders outside the window."""
    order = book.orders[at(slot)]
    side = i64(order["side"])
    after, before = i64(order["next"]), i64(order["prev"])
    if before >= 0:
        book.orders[at(before)]["next"] = after
    else:
        book.head[FAR_HEAD + side] = after
    if after >= 0:
        book.orders[at(after)]["prev"] = before
    else:
        book.head[FAR_TAIL + side] = before
    book.head[FAR_COUNT + side] -= 1


@kernel
def move_level(book: Book, side: int, source: int, target: int) -> None:
    """Give a level's queue to another level of the window, or to the far list."""
    n_levels = book.levels.shape[0] >> 1
    words = n_levels >> 6
    start = side * (words + (words >> 6))
    old = book.levels[at(side * n_levels + source)]
    head, tail, quantity = old["head"], old["tail"], old["quantity"]
    old["head"] = -1
    old["tail"] = -1
    old["quantity"] = 0
    unmark(book.bits, start, words, source)
    if 0 <= target < n_levels:
        new = book.levels[at(side * n_levels + target)]
        new["head"] = head
        new["tail"] = tail
        new["quantity"] = quantity
        mark(book.bits, start, words, target)
        return
    slot = i64(head)
    while slot >= 0:
        after = i64(book.orders[at(slot)]["next"])
        append_far(book, slot)
        slot = after


@kernel
def slide(book: Book, base: int) -> None:
    """Move the window so that it begins at the price `base`; nobody loses a place in a queue."""
    n_levels = book.levels.shape[0] >> 1
    up = base - book.head[BASE]
    for side in range(2):
        shift = up if side == SELL else -up  # levels move by it towards the touch
        level = next_level(book, side, ZERO)
        if shift < 0:
            level = last_level(book, side, n_levels - 1)
        while 0 <= level < n_levels:  # so that none meets another that has not moved yet
            move_level(book, side, level, level - shift)
            if shift < 0:
                level = last_level(book, side, level - 1)
            else:
                level = next_level(book, side, level + 1)
    book.head[BASE] = base
    for side in range(2):
        book.head[BEST + side] = next_level(book, side, ZERO)
        slot = book.head[FAR_HEAD + side]
        while slot >= 0:
            after = i64(book.orders[at(slot)]["next"])
            level = level_of(book, side, i64(book.orders[at(slot)]["price"]))
            if 0 <= level < n_levels:
                unlink_far(book, slot)
                append(book, side, level, slot)
            slot = after


@kernel
def last_level(book: Book, side: int, level: int) -> int:
    """Last level at or before `level` that has orders of a side; -1 if there is none."""
    words = book.levels.shape[0] >> 7
    start = side * (words + (words >> 6))
    while level >= 0:
        bits = book.bits[at(start + (level >> 6))] & (ALL >> np.uint64(63 - (level & 63)))
        if bits != 0:
            return (level & ~63) + 63 - leading_zeros(bits)
        level = (level & ~63) - 1
    return -1


@kernel
def best_far(book: Book, side: int) -> int:
    """Best price of a side outside the window; 0 if it has none there."""
    best = 0
    slot = book.head[FAR_HEAD + side]
    while slot >= 0:
        price = i64(book.orders[at(slot)]["price"])
        if best == 0 or ((price > best) if side == BUY else (price < best)):
            best = price
        slot = book.orders[at(slot)]["next"]
    return best


@kernel
def best_price(book: Book, side: int) -> int:
    """Best price of a side in ticks; 0 if it has no orders."""
    level = book.head[BEST + side]
    if level < book.levels.shape[0] >> 1:
        return price_of(book, side, level)
    return best_far(book, side) if book.head[FAR_COUNT + side] > 0 else 0


@inlined
def is_empty(book: Book) -> bool:
    """Whether no order rests, in the window or outside it; stop orders may wait."""
    n_levels = book.levels.shape[0] >> 1
    n_far = book.head[FAR_COUNT] + book.head[FAR_COUNT + 1]
    return book.head[BEST] == n_levels and book.head[BEST + 1] == n_levels and n_far == 0


@inlined
def rest(book: Book, slot: int) -> None:
    """Queue an order at its price: in the window, which may slide for it, or in the far list."""
    order = book.orders[at(slot)]
    side = i64(order["side"])
    level = level_of(book, side, i64(order["price"]))
    if 0 <= level < book.levels.shape[0] >> 1:
        append(book, side, level, slot)
    else:
        rest_outside(book, slot, level)


@kernel
def rest_outside(book: Book, slot: int, level: int) -> None:
    """Queue an order whose price lies outside the window: better than all of it, or worse."""
    order = book.orders[at(slot)]
    side = i64(order["side"])
    n_levels = book.levels.shape[0] >> 1
    if level < 0 or is_empty(book):
        price = i64(order["price"])
        slide(book, price - (n_levels >> 1))
        append(book, side, level_of(book, side, price), slot)
    else:
        append_far(book, slot)
