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
from sim.kernel import U64, inlined, kernel, leading_zeros, trailing_zeros, word

BUY, SELL = word(Side.BUY), word(Side.SELL)
RESTING, FAR = word(OrderState.RESTING), word(OrderState.FAR)
ZERO = word(0)
ONE = np.uint64(1)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inlined
def mark(bits: U64, start: int, words: int, level: int) -> None:
    """Note that a level has orders; `start` is where the side's bits begin."""
    word = level >> 6
    bits[start + word] |= ONE << np.uint64(level & 63)
    bits[start + words + (word >> 6)] |= ONE << np.uint64(word & 63)


@inlined
def unmark(bits: U64, start: int, words: int, level: int) -> None:
    """Note that a level has no orders any more."""
    word = level >> 6
    left = bits[start + word] & ~(ONE << np.uint64(level & 63))
    bits[start + word] = left
    if left == 0:
        bits[start + words + (word >> 6)] &= ~(ONE << np.uint64(word & 63))


@inlined
def level_above(bits: U64, start: int, words: int, level: int) -> int:
    """First level at or above `level` that has orders; the number of levels if there is none."""
    if level >= words << 6:
        return words << 6
    word = level >> 6
    found = bits[start + word] & (ALL << np.uint64(level & 63))
    if found != 0:
        return (word << 6) + trailing_zeros(found)
    word += 1
    if word >= words:
        return words << 6
    total = word >> 6
    found = bits[start + words + total] & (ALL << np.uint64(word & 63))
    while found == 0:
        total += 1
        if total >= words >> 6:
            return words << 6
        found = bits[start + words + total]
    word = (total << 6) + trailing_zeros(found)
    return (word << 6) + trailing_zeros(bits[start + word])


@inlined
def level_below(bits: U64, start: int, words: int, level: int) -> int:
    """First level at or below `level` that has orders; -1 if there is none."""
    if level < 0:
        return -1
    word = level >> 6
    found = bits[start + word] & (ALL >> np.uint64(63 - (level & 63)))
    if found != 0:
        return (word << 6) + 63 - leading_zeros(found)
    word -= 1
    if word < 0:
        return -1
    total = word >> 6
    found = bits[start + words + total] & (ALL >> np.uint64(63 - (word & 63)))
    while found == 0:
        total -= 1
        if total < 0:
            return -1
        found = bits[start + words + total]
    word = (total << 6) + 63 - leading_zeros(found)
    return (word << 6) + 63 - leading_zeros(bits[start + word])


@inlined
def next_best(book: Book, side: int, level: int) -> int:
    """First level at or behind `level`, seen from the touch, that has orders of a side."""
    words = book.levels.shape[0] >> 7
    start = side * (words + (words >> 6))
    if side == SELL:
        return level_above(book.bits, start, words, level)
    return level_below(book.bits, start, words, level)


@inlined
def append(book: Book, side: int, level: int, slot: int) -> None:
    """Put an order at the back of a level's queue."""
    order = book.orders[slot]
    n_levels = book.levels.shape[0] >> 1
    queue = book.levels[side * n_levels + level]
    tail = np.int64(queue["tail"])
    order["state"] = RESTING
    order["next"] = -1
    order["prev"] = tail
    queue["tail"] = slot
    queue["quantity"] += order["quantity"]
    if tail >= 0:
        book.orders[tail]["next"] = slot
        return
    queue["head"] = slot
    words = n_levels >> 6
    mark(book.bits, side * (words + (words >> 6)), words, level)
    best = book.head[BEST + side]
    if (level > best) if side == BUY else (level < best):
        book.head[BEST + side] = level


@inlined
def empty(book: Book, side: int, level: int) -> None:
    """Forget a level that has lost its last order."""
    n_levels = book.levels.shape[0] >> 1
    words = n_levels >> 6
    unmark(book.bits, side * (words + (words >> 6)), words, level)
    if level == book.head[BEST + side]:
        book.head[BEST + side] = next_best(book, side, level)


@inlined
def unlink(book: Book, slot: int) -> None:
    """Take an order out of the queue of its level."""
    order = book.orders[slot]
    side = np.int64(order["side"])
    level = order["price"] - book.head[BASE]
    queue = book.levels[side * (book.levels.shape[0] >> 1) + level]
    after, before = np.int64(order["next"]), np.int64(order["prev"])
    queue["quantity"] -= order["quantity"]
    if before >= 0:
        book.orders[before]["next"] = after
    else:
        queue["head"] = after
    if after >= 0:
        book.orders[after]["prev"] = before
    else:
        queue["tail"] = before
        if before < 0:
            empty(book, side, level)


@kernel
def append_far(book: Book, slot: int) -> None:
    """Put an order at the end of the list of orders outside the window."""
    order = book.orders[slot]
    side = np.int64(order["side"])
    tail = book.head[FAR_TAIL + side]
    order["state"] = FAR
    order["next"] = -1
    order["prev"] = tail
    if tail >= 0:
        book.orders[tail]["next"] = slot
    else:
        book.head[FAR_HEAD + side] = slot
    book.head[FAR_TAIL + side] = slot
    book.head[FAR_COUNT + side] += 1


@kernel
def unlink_far(book: Book, slot: int) -> None:
    """Take an order out of the list of orders outside the window."""
    order = book.orders[slot]
    side = np.int64(order["side"])
    after, before = np.int64(order["next"]), np.int64(order["prev"])
    if before >= 0:
        book.orders[before]["next"] = after
    else:
        book.head[FAR_HEAD + side] = after
    if after >= 0:
        book.orders[after]["prev"] = before
    else:
        book.head[FAR_TAIL + side] = before
    book.head[FAR_COUNT + side] -= 1


@kernel
def move_level(book: Book, side: int, source: int, target: int) -> None:
    """Give a level's queue to another level of the window, or to the far list."""
    n_levels = book.levels.shape[0] >> 1
    words = n_levels >> 6
    start = side * (words + (words >> 6))
    old = book.levels[side * n_levels + source]
    head, tail, quantity = old["head"], old["tail"], old["quantity"]
    old["head"] = -1
    old["tail"] = -1
    old["quantity"] = 0
    unmark(book.bits, start, words, source)
    if 0 <= target < n_levels:
        new = book.levels[side * n_levels + target]
        new["head"] = head
        new["tail"] = tail
        new["quantity"] = quantity
        mark(book.bits, start, words, target)
        return
    slot = np.int64(head)
    while slot >= 0:
        after = np.int64(book.orders[slot]["next"])
        append_far(book, slot)
        slot = after


@kernel
def slide(book: Book, base: int) -> None:
    """Move the window so that its level 0 stands for the price `base`, losing nobody's place."""
    shift = base - book.head[BASE]
    n_levels = book.levels.shape[0] >> 1
    words = n_levels >> 6
    for side in range(2):
        start = side * (words + (words >> 6))
        if shift > 0:  # towards lower levels: the lowest first, so that none meets another
            level = level_above(book.bits, start, words, ZERO)
            while level < n_levels:
                move_level(book, side, level, level - shift)
                level = level_above(book.bits, start, words, level + 1)
        elif shift < 0:
            level = level_below(book.bits, start, words, n_levels - 1)
            while level >= 0:
                move_level(book, side, level, level - shift)
                level = level_below(book.bits, start, words, level - 1)
    book.head[BASE] = base
    book.head[BEST + BUY] = level_below(book.bits, ZERO, words, n_levels - 1)
    book.head[BEST + SELL] = level_above(book.bits, words + (words >> 6), words, ZERO)
    for side in range(2):
        slot = book.head[FAR_HEAD + side]
        while slot >= 0:
            after = np.int64(book.orders[slot]["next"])
            level = book.orders[slot]["price"] - base
            if 0 <= level < n_levels:
                unlink_far(book, slot)
                append(book, side, level, slot)
            slot = after


@kernel
def best_far(book: Book, side: int) -> int:
    """Best price of a side outside the window; 0 if it has none there."""
    best = 0
    slot = book.head[FAR_HEAD + side]
    while slot >= 0:
        price = np.int64(book.orders[slot]["price"])
        if best == 0 or ((price > best) if side == BUY else (price < best)):
            best = price
        slot = book.orders[slot]["next"]
    return best


@kernel
def best_price(book: Book, side: int) -> int:
    """Best price of a side in ticks; 0 if it has no orders."""
    level = book.head[BEST + side]
    if 0 <= level < book.levels.shape[0] >> 1:
        return level + book.head[BASE]
    return best_far(book, side) if book.head[FAR_COUNT + side] > 0 else 0


@kernel
def rest(book: Book, slot: int) -> None:
    """Queue an order at its price: in the window, which may slide for it, or in the far list."""
    order = book.orders[slot]
    side = np.int64(order["side"])
    n_levels = book.levels.shape[0] >> 1
    level = order["price"] - book.head[BASE]
    if 0 <= level < n_levels:
        append(book, side, level, slot)
        return
    nobody = (
        book.head[BEST] < 0
        and book.head[BEST + SELL] >= n_levels
        and book.head[FAR_COUNT] + book.head[FAR_COUNT + 1] == 0
    )
    inward = level >= n_levels if side == BUY else level < 0
    if inward or nobody:
        slide(book, order["price"] - (n_levels >> 1))
        append(book, side, order["price"] - book.head[BASE], slot)
    else:
        append_far(book, slot)
