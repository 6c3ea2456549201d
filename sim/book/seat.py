"""A book's seat in a world: how its integers mirror the ledger, and how time passes in it.

The first accounts of every book stand for the accounts of the ledger. Between two messages they
hold nothing free: a message is shown what its owner holds on the ledger, in whole lots and units of
cash, and what it changed is moved between the owner and the venue's custody afterwards. So a
refused message moves nothing at all, and what rests is paid in full. The accounts behind them
belong to the house and the crowd; all they have is in custody.

A unit of cash is one tick times one lot, `tick_size * lot_size` of the quote asset.
"""

from math import ceil, floor
from typing import NamedTuple

import numpy as np

from sim.book.accounts import fee_on
from sim.book.auction import total_at, uncross
from sim.book.ladder import best_price, next_level, price_of, slide
from sim.book.layout import (
    BAND_HIGH,
    BAND_LOW,
    BASE,
    BEST,
    FEE_UNIT,
    HALT_WANTED,
    LOST_PRINTS,
    MAX_PRICE,
    MESSAGE,
    N_PRINTS,
    PHASE,
    TAKER_FEE,
    Book,
    OrderVerb,
    Phase,
    Side,
)
from sim.book.matching import change_phase
from sim.crowd.layout import (
    ARRIVAL,
    EVENT,
    HEAD_WORDS,
    MEMBER,
    OWN,
    PARENT,
    QUOTE,
    TERM_WORDS,
    VALUE_WORDS,
    CrowdState,
)
from sim.crowd.loop import advance, notice
from sim.kernel import F64, I64, Rows, i64, inlined, kernel, word

BUY, SELL = word(Side.BUY), word(Side.SELL)
HALT, RESUME = word(OrderVerb.HALT), word(OrderVerb.RESUME)
CONTINUOUS = word(Phase.CONTINUOUS)
MOST_UNITS = float(2**60)  # of cash or lots that a book is shown of a balance
ROUNDING = 1e-12  # of an amount: what float64 balances may fall short by
NOBODY = word(-1)


class Seats(NamedTuple):
    """All books of a venue in all worlds, and what ties them to the ledger."""

    books: tuple[Book, ...]  # by book, arrays with first axis world
    crowds: tuple[CrowdState, ...]  # by book
    clock: I64  # (world, book) ns; time has passed up to here
    opened: I64  # (world, book) ns; the clock when the block opened
    halted_until: I64  # (world, book) ns; 0: not halted
    auction_at: I64  # (world, book) ns of the next batch auction
    mid: F64  # (world, book) last mid of a two-sided book, ticks; 0: none yet
    message: Rows  # (1,) of MESSAGE, work space
    base: I64  # (book,) index of the asset that is traded
    tick: F64  # (book,) quote tokens per base token
    lot: F64  # (book,) base tokens
    quote: int  # index of the asset that is paid
    custody: int  # ledger account of the venue
    n_ledger: int  # accounts of the ledger
    block_ns: int
    slice_ns: int  # time passes in steps of at most this, between which the breaker looks
    halt_ns: int  # 0: no breaker
    halts_empty: bool  # whether the breaker looks for a side without orders
    interval_ns: int  # of batch auctions; 0: continuous
    band: float  # largest relative move from the reference; inf: no bands
    keeps_tape: bool


def no_crowd(n_worlds: int, n_prints: int) -> CrowdState:
    """Make a crowd without members, for a book that nobody looks after."""
    n = n_worlds
    return CrowdState(
        head=np.zeros((n, HEAD_WORDS), np.int64), values=np.zeros((n, VALUE_WORDS)),
        members=np.zeros((n, 0), MEMBER), own=np.zeros((n, 0), OWN), heap=np.zeros((n, 0), EVENT),
        memory=np.zeros((n, 1)), scratch=np.zeros((n, 1), MESSAGE),
        print_time=np.zeros((n, n_prints), np.int64), quotes=np.zeros((n, 1), QUOTE),
        arrivals=np.zeros((n, 1), ARRIVAL), parents=np.zeros((n, 1), PARENT),
        world_ids=np.zeros(n, np.int64), terms=np.zeros((1, TERM_WORDS)),
        key=np.zeros(2, np.uint64),
    )  # fmt: skip


@inlined
def one_world(seats: Seats, k: int, w: int) -> Book:
    """Arrays of one world's k-th book."""
    b = seats.books[k]
    return Book(
        b.head[w], b.orders[w], b.levels[w], b.bits[w], b.table[w], b.stops[w], b.accounts[w],
        b.tape[w],
    )  # fmt: skip


# --- the ledger and the book's accounts -----------------------------------------------------------


@inlined
def units_of(balance: float, unit: float) -> int:
    """Whole units in a balance, at most 2^60."""
    n = i64(floor(min(max(balance / unit, 0.0), MOST_UNITS) + 1e-9))
    if n * unit > balance * (1.0 + ROUNDING):
        n -= 1
    return n


@inlined
def show(seats: Seats, book: Book, balances: F64, w: int, k: int, account: int) -> None:
    """Show a book what an account holds on the ledger."""
    mine = book.accounts[account]
    unit = seats.tick[k] * seats.lot[k]
    mine["cash"] = units_of(balances[w, account, seats.quote], unit)
    mine["lots"] = units_of(balances[w, account, seats.base[k]], seats.lot[k])


@inlined
def move(
    balances: F64, w: int, account: int, custody: int, asset: int, units: int, unit: float
) -> None:
    """Move whole units from custody to an account; negative ones the other way."""
    if units == 0:
        return
    amount = units * unit
    held = balances[w, account, asset]
    if held + amount < 0.0:
        amount = -held  # the rounding of one balance
    balances[w, account, asset] = held + amount
    balances[w, custody, asset] -= amount


@kernel
def even_out(
    seats: Seats, book: Book, balances: F64, w: int, k: int, taker: int, cash: int, lots: int
) -> None:
    """Move what became free since the last message to its owners on the ledger.

    Parameters
    ----------
    taker : int
        The account that was shown `cash` and `lots`; -1: none was.
    """
    unit = seats.tick[k] * seats.lot[k]
    for a in range(seats.n_ledger):
        mine = book.accounts[a]
        gained, received = mine["cash"], mine["lots"]
        if a == taker:
            gained -= cash
            received -= lots
        move(balances, w, a, seats.custody, seats.quote, gained, unit)
        move(balances, w, a, seats.custody, i64(seats.base[k]), received, seats.lot[k])
        mine["cash"] = 0
        mine["lots"] = 0


# --- time -----------------------------------------------------------------------------------------


@inlined
def set_bands(seats: Seats, book: Book, middle: float) -> None:
    """Lay the bands around a price in ticks."""
    if seats.band < np.inf and middle > 0.0:
        low = i64(ceil(middle * (1.0 - seats.band)))
        high = i64(floor(middle * (1.0 + seats.band)))
        book.head[BAND_LOW] = i64(max(low, 1))
        book.head[BAND_HIGH] = i64(min(max(high, low + 1), MAX_PRICE))


@inlined
def note_mid(seats: Seats, book: Book, w: int, k: int) -> None:
    """Remember the mid of a book with two sides that do not cross."""
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    if 0 < bid < ask:
        seats.mid[w, k] = 0.5 * (bid + ask)


@inlined
def forget_tape(seats: Seats, book: Book) -> None:
    """Clear the tape where nobody wants it."""
    if not seats.keeps_tape:
        book.head[N_PRINTS] = 0
        book.head[LOST_PRINTS] = 0


@kernel
def centre(book: Book, price: int) -> None:
    """Keep a price in the middle half of the window: auctions are held among its prices."""
    n_levels = book.levels.shape[0] >> 1
    if abs(price - book.head[BASE] - (n_levels >> 1)) > n_levels >> 2:
        slide(book, max(price - (n_levels >> 1), 0))


@inlined
def lost_a_side(seats: Seats, book: Book, w: int, k: int) -> bool:
    """Whether the breaker halts a book for its empty side; one that never had two waits."""
    if not seats.halts_empty or seats.mid[w, k] == 0.0:
        return False
    return best_price(book, BUY) == 0 or best_price(book, SELL) == 0


@kernel
def look_after(seats: Seats, book: Book, w: int, k: int) -> None:
    """Start and end halts, and hold the auctions that are due."""
    now = seats.clock[w, k]
    first = book.head[N_PRINTS]
    if seats.interval_ns > 0:
        if now >= seats.auction_at[w, k]:
            uncross(book, NOBODY)
            note_mid(seats, book, w, k)
            if seats.mid[w, k] > 0.0:
                centre(book, i64(seats.mid[w, k]))
            seats.auction_at[w, k] = now - now % seats.interval_ns + seats.interval_ns
    elif seats.halted_until[w, k] > 0:
        if now >= seats.halted_until[w, k]:
            seats.halted_until[w, k] = 0
            change_phase(book, RESUME, NOBODY)
            note_mid(seats, book, w, k)
            set_bands(seats, book, seats.mid[w, k])
    elif book.head[HALT_WANTED] != 0 or lost_a_side(seats, book, w, k):
        book.head[HALT_WANTED] = 0
        if seats.halt_ns > 0:
            change_phase(book, HALT, NOBODY)
            seats.halted_until[w, k] = now + seats.halt_ns
    if book.head[N_PRINTS] > first:
        notice(book, seats.crowds[k], w, first, now)


@kernel
def pass_time(seats: Seats, balances: F64, w: int, k: int, until: int) -> None:
    """Let the crowd trade, halts end and auctions be held, up to a time."""
    if seats.clock[w, k] >= until:
        return
    book = one_world(seats, k, w)
    while seats.clock[w, k] < until:
        stop = min(until, seats.clock[w, k] + seats.slice_ns)
        if seats.halted_until[w, k] > 0:
            stop = min(stop, seats.halted_until[w, k])
        if seats.interval_ns > 0:
            stop = min(stop, seats.auction_at[w, k])
        while not advance(book, seats.crowds[k], w, stop):  # a tape that is kept is full
            book.head[LOST_PRINTS] += 1
            book.head[N_PRINTS] = 0
        seats.clock[w, k] = stop
        look_after(seats, book, w, k)
        forget_tape(seats, book)
    even_out(seats, book, balances, w, k, NOBODY, 0, 0)


@inlined
def publish(seats: Seats, book: Book, fundamental: F64, market: F64, w: int, k: int) -> None:
    """Write the USD price that everybody sees: the last mid, else the fundamental price."""
    if book.head[PHASE] == CONTINUOUS:
        note_mid(seats, book, w, k)
    if seats.mid[w, k] > 0.0:
        price = seats.mid[w, k] * seats.tick[k] * fundamental[w, seats.quote]
        market[w, seats.base[k]] = price


# --- what a market order would bring --------------------------------------------------------------


@kernel
def sale(book: Book, lots: int) -> tuple[int, int]:
    """Lots of a market sale that the window's bids take now, and the cash after fees.

    Whole fees, rounded down once: the sale itself may bring a unit more per fill, never less.
    """
    left, value = lots, 0
    n_levels = book.levels.shape[0] >> 1
    level = book.head[BEST + BUY]
    while left > 0 and level < n_levels:
        price = price_of(book, BUY, level)
        if price < book.head[BAND_LOW]:
            break
        some = min(left, total_at(book, BUY, price))
        value += some * price
        left -= some
        level = next_level(book, BUY, level + 1)
    return lots - left, value - fee_on(value, book.head[TAKER_FEE])


@kernel
def purchase(book: Book, cash: int) -> int:
    """Lots that a market purchase gets now for cash; the purchase itself may get one more."""
    left, lots = cash, 0
    rate = book.head[TAKER_FEE]
    n_levels = book.levels.shape[0] >> 1
    level = book.head[BEST + SELL]
    while level < n_levels:
        price = price_of(book, SELL, level)
        if price > book.head[BAND_HIGH]:
            break
        total = total_at(book, SELL, price)
        some = left // price if rate == 0 else i64(left / (price * (1.0 + rate / FEE_UNIT)))
        while some > 0 and some * price + fee_on(some * price, rate) > left:
            some -= 1
        if some < total:
            return lots + some
        lots += total
        left -= total * price + fee_on(total * price, rate)
        level = next_level(book, SELL, level + 1)
    return lots
