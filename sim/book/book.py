"""A book to hold in the hand: one world, or many side by side, fed with messages.

This is the book by itself, for tests, replays and studies of matching; `sim.book.venue` seats it in
a world of agents.
"""

from typing import Any

import numpy as np

from sim.book.layout import (
    ACCOUNT,
    BAND_HIGH,
    BAND_LOW,
    BASE,
    BEST,
    FAR_HEAD,
    FAR_TAIL,
    FEE_UNIT,
    FREE_SLOT,
    LEVEL,
    MAKER_FEE,
    MAX_PRICE,
    ORDER,
    PRINT,
    RESERVE_FEE,
    SETTLES,
    TABLE_SHIFT,
    TAKER_FEE,
    Book,
    Side,
    shapes,
)
from sim.errors import ConfigError
from sim.kernel import word

BUY, SELL = word(Side.BUY), word(Side.SELL)
_KINDS: dict[str, Any] = {
    "head": np.int64, "orders": ORDER, "levels": LEVEL, "bits": np.uint64, "table": np.int32,
    "stops": np.int32, "accounts": ACCOUNT, "tape": PRINT,
}  # fmt: skip


def fee_units(name: str, fee_bps: float) -> int:
    """Fee in whole multiples of 1e-8 of the traded value; ConfigError where it is none."""
    units = round(fee_bps * 1e-4 * FEE_UNIT)
    if not (np.isfinite(fee_bps) and abs(fee_bps) <= 1_000.0):
        raise ConfigError(f"{name} must lie in [-1000, 1000], got {fee_bps:g}; try 2")
    return units


def open_book(book: Book, taker_fee_bps: float = 0.0, maker_fee_bps: float = 0.0) -> None:
    """Make arrays an empty book: one world's, or with a first axis world, many."""
    taker, maker = (
        fee_units("taker_fee_bps", taker_fee_bps),
        fee_units("maker_fee_bps", maker_fee_bps),
    )
    if taker < 0 or taker + maker < 0:
        raise ConfigError(
            f"fees must not pay more than they take, got taker_fee_bps={taker_fee_bps:g} and "
            f"maker_fee_bps={maker_fee_bps:g}; make their sum 0 or more"
        )
    for array in book:
        array.view(np.uint8)[:] = 0
    head = book.head
    n_levels = book.levels.shape[-1] // 2
    head[..., BEST + BUY] = -1
    head[..., BEST + SELL] = n_levels
    for pair in (FAR_HEAD, FAR_TAIL):
        head[..., pair : pair + 2] = -1
    head[..., FREE_SLOT] = -1
    head[..., BAND_LOW], head[..., BAND_HIGH] = 1, MAX_PRICE
    head[..., TAKER_FEE], head[..., MAKER_FEE] = taker, maker
    head[..., RESERVE_FEE] = max(taker, maker)
    head[..., TABLE_SHIFT] = 64 - (book.table.shape[-1].bit_length() - 1)
    head[..., SETTLES] = int(book.accounts.shape[-1] > 0)
    head[..., BASE] = 0
    book.levels["head"] = -1
    book.levels["tail"] = -1
    book.table[...] = -1


def new_book(
    *, capacity: int = 4096, n_levels: int = 65536, n_accounts: int = 0, n_prints: int = 65536,
    taker_fee_bps: float = 0.0, maker_fee_bps: float = 0.0,
) -> Book:  # fmt: skip
    """Allocate one world's empty book; see `layout.shapes` for the sizes.

    Returns
    -------
    Book
    """
    sizes = shapes(capacity, n_levels, n_accounts, n_prints)
    book = Book(**{name: np.zeros(size, _KINDS[name]) for name, size in sizes.items()})
    open_book(book, taker_fee_bps, maker_fee_bps)
    return book
