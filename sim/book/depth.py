"""What the bids of all books would pay, as a table that agents' kernels read.

Published when a block opens, on demand: for each asset the prices of its best bids after fees in
USD, and running sums of tokens and proceeds. The quote asset sells at its price without limit; an
asset without a book cannot be sold.
"""

from typing import NamedTuple

import numpy as np

from sim.book.accounts import fee_on
from sim.book.auction import total_at
from sim.book.ladder import best_price, next_level, price_of
from sim.book.layout import (
    BAND_HIGH,
    BAND_LOW,
    BEST,
    FEE_UNIT,
    PHASE,
    TAKER_FEE,
    Phase,
    Side,
)
from sim.book.seat import Seats, one_world
from sim.kernel import F64, I64, Bool, i64, kernel, word

BUY, SELL = word(Side.BUY), word(Side.SELL)
CONTINUOUS = word(Phase.CONTINUOUS)


class Bids(NamedTuple):
    """Running sums over the bids of each asset, best first."""

    n: I64  # (world, asset) levels listed; -1: any amount at the market price
    price: F64  # (world, asset, level) USD per token after fees
    tokens: F64  # (world, asset, level) whole tokens down to this level
    usd: F64  # (world, asset, level) proceeds down to this level


@kernel
def list_bids(seats: Seats, fundamental: F64, bids: Bids) -> None:
    """Fill the table from the books as they stand."""
    for w in range(bids.n.shape[0]):
        for a in range(bids.n.shape[1]):
            bids.n[w, a] = -1 if a == seats.quote else 0
        for k in range(seats.base.shape[0]):
            book = one_world(seats, k, w)
            if book.head[PHASE] != CONTINUOUS:
                continue
            a, n = seats.base[k], 0
            fee = 1.0 - book.head[TAKER_FEE] / FEE_UNIT
            unit = seats.tick[k] * fundamental[w, seats.quote] * fee
            tokens, usd = 0.0, 0.0
            level = book.head[BEST + BUY]
            while level < book.levels.shape[0] >> 1 and n < bids.price.shape[2]:
                ticks = price_of(book, BUY, level)
                if ticks < book.head[BAND_LOW]:
                    break
                some = total_at(book, BUY, ticks) * seats.lot[k]
                tokens += some
                usd += some * ticks * unit
                bids.price[w, a, n] = ticks * unit
                bids.tokens[w, a, n] = tokens
                bids.usd[w, a, n] = usd
                n += 1
                level = next_level(book, BUY, level + 1)
            bids.n[w, a] = n


@kernel
def book_proceeds(bids: Bids, market: F64, w: int, asset: int, quantity: float) -> float:
    """USD received for selling whole tokens now; what no listed bid takes brings nothing."""
    n = bids.n[w, asset]
    if n < 0:
        return quantity * market[w, asset]
    low, high = 0, n  # first level down to which there are `quantity` tokens
    while low < high:
        middle = (low + high) >> 1
        if bids.tokens[w, asset, middle] < quantity:
            low = middle + 1
        else:
            high = middle
    if low == n:
        return bids.usd[w, asset, n - 1] if n > 0 else 0.0
    if low == 0:
        return quantity * bids.price[w, asset, 0]
    rest = quantity - bids.tokens[w, asset, low - 1]
    return bids.usd[w, asset, low - 1] + rest * bids.price[w, asset, low]


@kernel
def book_sale_to(bids: Bids, market: F64, w: int, asset: int, floor: float) -> float:
    """Whole tokens that bids above `floor` USD take."""
    n = bids.n[w, asset]
    if n < 0:
        return np.inf if market[w, asset] > floor else 0.0
    low, high = 0, n  # first level that pays no more than `floor`
    while low < high:
        middle = (low + high) >> 1
        if bids.price[w, asset, middle] > floor:
            low = middle + 1
        else:
            high = middle
    return bids.tokens[w, asset, low - 1] if low > 0 else 0.0


@kernel
def measure(seats: Seats, fundamental: F64, distance: float, spread: F64, depth: F64) -> None:
    """Write spread and depth of every book as they stand.

    Parameters
    ----------
    seats : Seats
    fundamental : array (world, asset)
    distance : float
        Fraction of the mid within which depth counts.
    spread : array (world, book)
        Basis points of the mid; NaN where a side is empty.
    depth : array (world, book, 2)
        USD of visible and hidden bids and asks.
    """
    for w in range(spread.shape[0]):
        for k in range(seats.base.shape[0]):
            book = one_world(seats, k, w)
            bid, ask = best_price(book, BUY), best_price(book, SELL)
            both = 0 < bid < ask
            spread[w, k] = 2e4 * (ask - bid) / (ask + bid) if both else np.nan
            mid = 0.5 * (bid + ask) if both else seats.mid[w, k]
            unit = seats.tick[k] * seats.lot[k] * fundamental[w, seats.quote]
            for side in range(2):
                total = 0.0
                level = book.head[BEST + side]
                while level < book.levels.shape[0] >> 1:
                    ticks = price_of(book, i64(side), level)
                    if abs(ticks - mid) > distance * mid:
                        break
                    total += float(total_at(book, i64(side), ticks) * ticks)
                    level = next_level(book, i64(side), level + 1)
                depth[w, k, side] = total * unit


@kernel
def sweep(seats: Seats, k: int, tokens: F64, taken: F64, cash: F64) -> None:
    """Write what market orders would trade in one book now; nothing is traded.

    Parameters
    ----------
    k : int
        The book.
    tokens : array (world,)
        To buy, negative to sell; rounded to whole lots.
    taken : array (world,)
        Written: tokens that orders of the window take inside the bands; 0 in a halt.
    cash : array (world,)
        Written: quote tokens paid for them, fees included; negative received.
    """
    for w in range(tokens.shape[0]):
        taken[w] = cash[w] = 0.0
        book = one_world(seats, k, w)
        left = i64(np.floor(abs(tokens[w]) / seats.lot[k] + 0.5))
        if left == 0 or book.head[PHASE] != CONTINUOUS:
            continue
        side, sign = (SELL, 1.0) if tokens[w] > 0.0 else (BUY, -1.0)
        wanted, value = left, 0
        level = book.head[BEST + side]
        while left > 0 and level < book.levels.shape[0] >> 1:
            ticks = price_of(book, side, level)
            if ticks < book.head[BAND_LOW] or ticks > book.head[BAND_HIGH]:
                break
            some = min(left, total_at(book, side, ticks))
            value += some * ticks
            left -= some
            level = next_level(book, side, level + 1)
        fee = fee_on(value, book.head[TAKER_FEE])
        taken[w] = sign * (wanted - left) * seats.lot[k]
        cash[w] = (sign * value + fee) * (seats.tick[k] * seats.lot[k])


@kernel
def halts(seats: Seats, k: int, halted: Bool) -> None:
    """Write whether one book takes no market orders, array (world,)."""
    for w in range(halted.shape[0]):
        halted[w] = seats.books[k].head[w, PHASE] != CONTINUOUS
