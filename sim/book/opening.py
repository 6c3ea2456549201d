"""What happens to all books when a block opens and when it closes."""

import numpy as np

from sim.book.house import Ladder, quote, withdraw
from sim.book.ladder import best_price
from sim.book.layout import LAST_PRICE, N_PRINTS, PHASE
from sim.book.seat import (
    BUY,
    CONTINUOUS,
    NOBODY,
    SELL,
    Seats,
    even_out,
    forget_tape,
    look_after,
    one_world,
    pass_time,
    publish,
    set_bands,
)
from sim.book.views import touch
from sim.crowd.loop import notice
from sim.kernel import F64, I64, kernel


@kernel
def aim(seats: Seats, fundamental: F64, target: F64) -> None:
    """Write the fundamental price of every book in ticks, array (book, world)."""
    for k in range(seats.base.shape[0]):
        for w in range(target.shape[1]):
            price = fundamental[w, seats.base[k]] / fundamental[w, seats.quote]
            target[k, w] = max(price / seats.tick[k], 1.0)


@kernel
def open_books(
    seats: Seats, ladders: tuple[Ladder, ...], balances: F64, fundamental: F64, depth: F64,
    target: F64, shift: F64, market: F64,
) -> None:  # fmt: skip
    """Start the block's clock, lay the bands and the houses' ladders, and publish the prices.

    Parameters
    ----------
    seats : Seats
    ladders : tuple of Ladder
        By book; without levels: no house.
    balances : array (world, account, asset)
    fundamental, depth : array (world, asset)
    target : array (book, world)
        Fundamental prices in ticks.
    shift : array (world, book)
        Log displacement of the houses' middle.
    market : array (world, asset)
        Written: USD.
    """
    for w in range(market.shape[0]):
        for a in range(market.shape[1]):
            market[w, a] = fundamental[w, a]
        for k in range(seats.base.shape[0]):
            book, ladder = one_world(seats, k, w), ladders[k]
            seats.opened[w, k] = seats.clock[w, k]
            if ladder.levels > 0:
                shift[w, k] *= ladder.decay
                first = book.head[N_PRINTS]
                withdraw(book, ladder)
                middle = target[k, w] * np.exp(shift[w, k])
                within = ladder.depth * depth[w, seats.base[k]]
                within /= middle * seats.tick[k] * seats.lot[k]
                quote(book, ladder, seats.message, middle, within, first)
                if book.head[N_PRINTS] > first:
                    even_out(seats, book, balances, w, k, NOBODY, 0, 0)
                    notice(book, seats.crowds[k], w, first, seats.clock[w, k])
                look_after(seats, book, w, k)
                forget_tape(seats, book)
            publish(seats, book, fundamental, market, w, k)
            # A halted book, or one that lost a side, has a mid of the past: bands around it would
            # keep out, for good, whoever quotes at today's price.
            trades = best_price(book, BUY) > 0 and best_price(book, SELL) > 0
            trades = trades and book.head[PHASE] == CONTINUOUS
            set_bands(seats, book, seats.mid[w, k] if trades else target[k, w])


@kernel
def close_books(
    seats: Seats, balances: F64, fundamental: F64, target: F64, shift: F64, market: F64
) -> None:
    """Let time pass to the end of the block and publish the prices; see `open_books`."""
    for w in range(market.shape[0]):
        for k in range(seats.base.shape[0]):
            pass_time(seats, balances, w, k, seats.opened[w, k] + seats.block_ns)
            publish(seats, one_world(seats, k, w), fundamental, market, w, k)
            if seats.mid[w, k] > 0.0:
                shift[w, k] = np.log(seats.mid[w, k] / target[k, w])


@kernel
def show_touch(seats: Seats, k: int, words: I64, out: F64) -> None:
    """Write bid, its tokens, ask, its tokens and the last price of each world; 0: there is none.

    `words` (5,) is work space, `out` has the shape (world, 5); prices are in the quote asset.
    """
    for w in range(out.shape[0]):
        book = one_world(seats, k, w)
        touch(book, words)
        out[w, 0] = words[0] * seats.tick[k]
        out[w, 1] = words[1] * seats.lot[k]
        out[w, 2] = words[2] * seats.tick[k]
        out[w, 3] = words[3] * seats.lot[k]
        out[w, 4] = book.head[LAST_PRICE] * seats.tick[k]
