"""A book to hold in the hand: one world, or many side by side, fed with messages.

This is the book by itself, for tests, replays and studies of matching; `sim.book.venue` seats it in
a world of agents.
"""

import struct
from typing import Any

import numpy as np

from sim.book.audit import check, run_checked, scratch_words, sentence
from sim.book.layout import (
    ACCOUNT,
    BAND_HIGH,
    BAND_LOW,
    BEST,
    FAR_HEAD,
    FAR_TAIL,
    FEE_UNIT,
    FREE_SLOT,
    LEVEL,
    LOST_PRINTS,
    MAKER_FEE,
    MAX_PRICE,
    MESSAGE,
    N_PRINTS,
    ORDER,
    PRINT,
    RESERVE_FEE,
    SETTLES,
    TABLE_SHIFT,
    TAKER_FEE,
    Book,
    SelfTrade,
    TimeInForce,
    shapes,
)
from sim.book.matching import run, submit
from sim.book.views import levels_of, queue, touch
from sim.errors import ConfigError, InputError, InvariantError
from sim.kernel import I64, Rows, i64

PACKED = struct.Struct("qqqqiiihbbbbb")  # a MESSAGE, which Python fills a third as fast by names
_KINDS: dict[str, Any] = {
    "head": np.int64, "orders": ORDER, "levels": LEVEL, "bits": np.uint64, "table": np.int32,
    "stops": np.int32, "accounts": ACCOUNT, "tape": PRINT,
}  # fmt: skip


def fee_units(name: str, fee_bps: float) -> int:
    """Fee in whole multiples of 1e-8 of the traded value; ConfigError where it is none."""
    if not abs(fee_bps) <= 1_000.0:  # not a number either
        raise ConfigError(f"{name} must lie in [-1000, 1000], got {fee_bps:g}; try 2")
    return round(fee_bps * 1e-4 * FEE_UNIT)


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
        array[...] = np.zeros((), array.dtype)
    head = book.head
    n_levels = book.levels.shape[-1] // 2
    head[..., BEST : BEST + 2] = n_levels
    for pair in (FAR_HEAD, FAR_TAIL):
        head[..., pair : pair + 2] = -1
    head[..., FREE_SLOT] = -1
    head[..., BAND_LOW], head[..., BAND_HIGH] = 1, MAX_PRICE
    head[..., TAKER_FEE], head[..., MAKER_FEE] = taker, maker
    head[..., RESERVE_FEE] = max(taker, maker)
    head[..., TABLE_SHIFT] = 64 - (book.table.shape[-1].bit_length() - 1)
    head[..., SETTLES] = int(book.accounts.shape[-1] > 0)
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


def new_messages(n: int) -> Rows:
    """Make `n` empty messages of anonymous senders."""
    messages = np.zeros(n, MESSAGE)
    messages["account"] = -1
    return messages


class OrderBook:
    """One world's limit order book.

    Parameters
    ----------
    checked : bool
        Check every invariant after every message, for tests: see `sim.book.audit`.
    capacity : int
        Orders that can be live at once; one more is rejected with BOOK_FULL.
    n_levels : int
        Prices in the window, a multiple of 4,096; orders outside it are kept all the same.
    n_accounts : int
        Accounts whose cash and lots are kept and must suffice; 0: everybody can pay.
    n_prints : int
        Lines of the tape between two calls of `submit`'s kernel.
    taker_fee_bps, maker_fee_bps : float
        Fees in basis points of the traded value; a negative maker fee is a rebate.

    Attributes
    ----------
    state : Book
        The arrays; kernels take it whole.
    """

    def __init__(self, *, checked: bool = False, **terms: Any) -> None:
        self.state = new_book(**terms)
        self._checked = checked
        self._marks: I64 = np.zeros(scratch_words(self.state), np.int64)
        self._fault: I64 = np.zeros(2, np.int64)
        self._one = new_messages(1)
        self._bytes = self._one.view(np.uint8).data
        self._touch: I64 = np.zeros(5, np.int64)

    def submit(self, messages: Rows) -> Rows:
        """Do what messages ask, in order; writes their `code`, `outcome` and `filled`.

        Returns
        -------
        structured array (print,) of PRINT
            What they caused.

        Raises
        ------
        InputError
            If the messages are no records of MESSAGE, or one caused more prints than the tape has
            lines.
        InvariantError
            If the book is checked and an invariant is broken.
        """
        if messages.dtype != MESSAGE or messages.ndim != 1:
            raise InputError(
                f"messages must be one row of records of MESSAGE, got {messages.ndim} dimensions "
                f"of {messages.dtype}; make them with new_messages"
            )
        parts, start = [], 0
        while True:
            if self._checked:
                start = run_checked(self.state, messages, start, self._marks, self._fault)
                self._raise_fault(f" after message {start - 1}")
            else:
                start = run(self.state, messages, start)
            parts.append(self.prints())
            if start == messages.shape[0]:
                return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def order(
        self, verb: int, side: int, order_id: int, quantity: int, price: int = 0,
        tif: int = TimeInForce.GOOD_TILL_CANCEL, *, account: int = -1, trigger: int = 0,
        display: int = 0, self_trade: int = SelfTrade.ALLOW,
    ) -> tuple[int, int, int]:  # fmt: skip
        """Send one message; its prints stay on the tape until `prints` takes them.

        Returns
        -------
        code : int
            `Reject`.
        outcome : int
            `Outcome`.
        filled : int
            Lots traded at once.

        Raises
        ------
        InputError
            If a number is no whole number or does not fit the message's field.
        InvariantError
            If the book is checked and an invariant is broken.
        """
        try:
            PACKED.pack_into(
                self._bytes, 0, order_id, quantity, display, 0, price, trigger, account, 0,
                verb, side, tif, self_trade, 0,
            )  # fmt: skip
        except (struct.error, OverflowError) as error:
            raise InputError(
                f"an order's words must be whole numbers that fit their fields, got {error}; "
                "round prices to ticks and sizes to lots"
            ) from error
        submit(self.state, self._one)
        if self._checked:
            self.check()
        answer = PACKED.unpack_from(self._bytes, 0)
        return answer[7], answer[12], answer[3]

    def prints(self) -> Rows:
        """Take what is on the tape off it.

        Raises
        ------
        InputError
            If the tape had no room for all; what it had room for is lost too.
        """
        head = self.state.head
        n, lost = int(head[N_PRINTS]), int(head[LOST_PRINTS])
        head[N_PRINTS] = head[LOST_PRINTS] = 0
        if lost:
            raise InputError(
                f"the tape must hold what messages cause until it is read, but had no room for "
                f"{lost} prints; give the book a larger n_prints"
            )
        return self.state.tape[:n].copy()

    def check(self) -> None:
        """Check every invariant of the book.

        Raises
        ------
        InvariantError
            Names the first that is broken.
        """
        self._fault[:] = check(self.state, self._marks)
        self._raise_fault("")

    def _raise_fault(self, when: str) -> None:
        """Raise what a check has found."""
        fault, where = self._fault.tolist()
        if fault:
            raise InvariantError(sentence(fault, where) + when)

    def touch(self) -> tuple[int, int, int, int, int]:
        """Bid, its lots, ask, its lots and the last price in ticks; 0 where there is none."""
        touch(self.state, self._touch)
        bid, bid_lots, ask, ask_lots, last = self._touch.tolist()
        return bid, bid_lots, ask, ask_lots, last

    def depth(self, side: int, n: int = 10) -> I64:
        """Best levels of a side: price, visible lots, orders; shape (level, 3)."""
        out = np.zeros((3, n), np.int64)
        found = levels_of(self.state, i64(side), out[0], out[1], out[2])
        return out[:, :found].T.copy()

    def queue(self, side: int) -> Rows:
        """All orders of a side in the order in which they would trade, as records of ORDER."""
        out = np.zeros(self.state.orders.shape[0], ORDER)
        return out[: queue(self.state, i64(side), out)]

    def fund(self, account: int, cash: int, lots: int) -> None:
        """Give an account free cash, in ticks x lots, and free lots.

        Raises
        ------
        InputError
            If there is no such account, or it would owe or have more than numbers hold.
        """
        accounts = self.state.accounts
        if not 0 <= account < accounts.shape[0]:
            raise InputError(f"account must lie in 0 .. {accounts.shape[0] - 1}, got {account}")
        mine = accounts[account]
        for name, amount in (("cash", cash), ("lots", lots)):
            if not 0 <= int(mine[name]) + amount < 2**62:
                raise InputError(
                    f"account {account} must have 0 .. 2^62 {name}, got {mine[name]} and {amount} "
                    "more; give it less"
                )
        mine["cash"] += cash
        mine["lots"] += lots

    def set_bands(self, low: int, high: int) -> None:
        """Confine trades and new limit prices to [low, high] ticks."""
        if not 1 <= low <= high <= MAX_PRICE:
            raise InputError(f"bands must satisfy 1 <= low <= high, got {low} and {high}")
        self.state.head[BAND_LOW], self.state.head[BAND_HIGH] = low, high
