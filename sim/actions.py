"""What agents want, as rows of one table.

A row is an intent: who wants which venue to do what, by when and at what fee. The sequencer turns
rows into an execution order, the venue fills in `code` and up to four results, and the executed row
is the event. Adjacent rows of an agent in one world that share a non-zero `bundle` are atomic: all
or nothing.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from sim.kernel import F64, I64, Bool, Rows, kernel

ROW = np.dtype(
    [
        ("world", np.int32),  # local index of the world, 0 <= world < n_worlds
        ("venue", np.int16),  # index of the venue in World.venues
        ("verb", np.int16),  # Verb
        ("account", np.int32),  # who pays, receives and signs
        ("target", np.int32),  # position or auction (lending), feed (oracle); -1: no meaning
        ("asset", np.int16),  # asset handed in, or the collateral of a liquidation
        ("asset_2", np.int16),  # asset received, or the debt of a liquidation
        ("option", np.int32),  # how an order lives on a book (`sim.book.rows.order_option`)
        ("amount", np.float64),  # whole tokens; inf: as much as the rules and the balance allow
        ("limit", np.float64),  # least acceptable outcome, whole tokens; 0: none
        (
            "arrival",
            np.float64,
        ),  # seconds after the block opened at which the row reaches the venue
        ("tip", np.float64),  # bid per unit of gas above the base fee, gwei
        ("fee_cap", np.float64),  # most that is paid per unit of gas in all, gwei
        ("gas", np.float64),  # units of gas that the row takes
        ("bundle", np.int32),  # 0: alone; else rows with the same number in a world are atomic
        ("expires", np.int32),  # last step at which the row may still be included
        ("step", np.int32),  # step of submission, then of execution
        ("seq", np.int32),  # place in its world's execution order of that step
        ("code", np.int16),  # Reject; filled by the venue
        ("fee", np.float64),  # gas fee paid, whole units of the gas asset; filled by block space
        ("r0", np.float64),  # results; a venue names them per verb in `RESULTS`
        ("r1", np.float64),
        ("r2", np.float64),
        ("r3", np.float64),
    ],
    align=True,
)

WORDS = ROW.itemsize // 8
BUNDLE_ROWS = 8  # the longest atomic bundle


class Verb(IntEnum):
    """What a venue is asked to do."""

    SUPPLY = 1
    WITHDRAW = 2
    BORROW = 3
    REPAY = 4
    LIQUIDATE = 5
    FLASH_BORROW = 6
    FLASH_REPAY = 7
    SWAP = 8
    ADD_LIQUIDITY = 9
    REMOVE_LIQUIDITY = 10
    REPORT = 11
    LIMIT_ORDER = 12
    MARKET_ORDER = 13
    STOP_ORDER = 14
    STOP_LIMIT_ORDER = 15
    CANCEL_ORDER = 16
    REDUCE_ORDER = 17
    REPLACE_ORDER = 18
    BID = 20  # a bid in an English auction
    TAKE = 21  # a purchase from a Dutch auction
    REDO = 22  # restart an auction that nobody ended
    DEAL = 23  # hand an English auction's lot to the winner
    REDEEM = 24  # stable tokens for collateral at face value
    ABSORB = 30  # the protocol takes over an unhealthy position
    BUY_COLLATERAL = 31  # from the protocol's store front
    SET_MODE = 32  # put a position into the category that `amount` counts


class Reject(IntEnum):
    """Why a row had no effect; OK means that it had."""

    PENDING = -1
    OK = 0
    UNKNOWN_VERB = 1
    BAD_AMOUNT = 2  # not a positive number
    BAD_ASSET = 3
    BAD_TARGET = 4
    INSUFFICIENT_BALANCE = 5
    INSUFFICIENT_LIQUIDITY = 6
    LIMIT_NOT_MET = 7
    CAP_EXCEEDED = 8
    UNHEALTHY = 9  # the position would end below health 1 or above its loan-to-value
    HEALTHY = 10  # a liquidation of a position that may not be liquidated
    LEAVES_DUST = 11
    NO_DEBT = 12
    NO_COLLATERAL = 13
    NOT_OWNER = 14
    BUNDLE_FAILED = 15  # another row of the bundle was rejected
    FLASH_NOT_REPAID = 16
    CONFLICT = 17  # an earlier bundle of the block did the same to the same target
    EXPIRED = 18
    PAUSED = 19
    CANNOT_PAY_GAS = 20
    NOT_COLLATERAL = 21
    BUNDLE_TOO_LONG = 22
    BAD_PRICE = 23  # not a price of the book's domain and tick
    BAD_TERMS = 24  # side, time in force, self-trade rule or display size make no sense
    DUPLICATE_ORDER = 25  # an order with that id is live
    UNKNOWN_ORDER = 26  # no live order has that id
    WOULD_TRADE = 27  # a post-only order
    NOT_FILLABLE = 28  # a fill-or-kill order
    HALTED = 29  # the book takes no such order in its present phase
    OUT_OF_BAND = 30
    BOOK_FULL = 31
    AUCTION_OVER = 40  # it takes no bids: ended, or stale until somebody restarts it
    AUCTION_RUNS = 41  # it cannot be restarted or settled yet
    BID_TOO_LOW = 42
    LAST_POSITION = 43  # the system must keep one
    SELF_LIQUIDATION = 50
    TOO_MUCH_REPAID = 51  # more than one liquidation may repay, or than the collateral pays for
    BELOW_MINIMUM = 52  # a debt smaller than the market takes
    NOT_FOR_SALE = 53  # the protocol has reserves enough, or nothing of it
    OTHER_DEBT = 54  # an account may owe one asset only, or none beside its supply
    ISOLATED = 55  # the collateral must stand alone, or may not back this debt
    OTHER_MODE = 56  # a debt that the position's category does not allow


def new_rows(n: int) -> Rows:
    """Make `n` empty rows: no target, no limit, no bundle, immediate arrival, this block only."""
    rows = np.zeros(n, ROW)
    rows["target"] = -1
    rows["asset"] = -1
    rows["asset_2"] = -1
    rows["fee_cap"] = np.inf
    rows["code"] = Reject.PENDING
    return rows


def words_of(rows: Rows) -> I64:
    """See rows as words, one after another; a copy where they do not lie side by side.

    Copies of words take a tenth of the time of copies of records, which numpy makes field by field.
    """
    return (rows if rows.flags.c_contiguous else np.ascontiguousarray(rows)).view(np.int64)


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Concatenate rows, as words: numpy promotes structured types field by field."""
    if not parts:
        return np.empty(0, ROW)
    return np.concatenate([words_of(part) for part in parts]).view(ROW)


@kernel
def _gather(source: I64, index: I64, out: I64) -> None:
    """Copy the listed records, seen as words (row, word)."""
    for k in range(index.shape[0]):
        for j in range(source.shape[1]):
            out[k, j] = source[index[k], j]


def take_rows(rows: Rows, index: I64) -> Rows:
    """Copy of the rows at `index`; numpy's own takes three times as long for records.

    A record array stays one: plain Python reads its fields by attribute, as kernels do.
    """
    taken: I64 = np.empty((index.shape[0], WORDS), np.int64)
    if index.shape[0]:
        _gather(words_of(rows).reshape(-1, WORDS), index, taken)
    made: Rows = taken.ravel().view(ROW)
    return made if type(rows) is np.ndarray else made.view(type(rows))


@kernel
def _split(rows: Rows, on_chain: Bool, chain: I64, direct: I64) -> int:
    """List the rows of on-chain venues and the others; return how many are on chain."""
    n = 0
    for i in range(rows.shape[0]):
        if on_chain[rows[i]["venue"]]:
            chain[n] = i
            n += 1
        else:
            direct[i - n] = i
    return n


def split_rows(rows: Rows, on_chain: Bool) -> tuple[Rows, Rows]:
    """Rows whose venue is marked in `on_chain`, and the others."""
    size = rows.shape[0]
    chain, direct = np.empty(size, np.int64), np.empty(size, np.int64)
    n = _split(rows, on_chain, chain, direct)
    if n == size:
        return rows, NO_ROWS
    return take_rows(rows, chain[:n]), take_rows(rows, direct[: size - n])


ROW_RULES = (  # what `take_in` refuses: field, what it must be
    ("world", "the index of a world"),
    ("venue", "the index of a venue"),
    ("account", "the index of a ledger account"),
    ("gas", "finite and not negative"),
    ("tip", "finite and not negative"),
    ("arrival", "finite and not negative"),
    ("venue", "on chain for all rows of a bundle, or for none: a chain cannot undo an exchange"),
)


@kernel
def take_in(
    rows: Rows, ends: I64, on_chain: Bool, bundles: F64, n_accounts: int
) -> tuple[int, int]:
    """Check the rows of a block and make its bundles whole.

    Adjacent rows of one agent and world with the same number are a bundle. It gets a number that
    is unique in its world, and all its rows the tip, fee cap, arrival and expiry of the first, so
    that nothing tears it apart.

    Parameters
    ----------
    rows : structured array (n,)
    ends : array (agent,)
        Where each agent's rows end.
    on_chain : array (venue,)
    bundles : array (world,)
        Bundles so far.
    n_accounts : int

    Returns
    -------
    int, int
        First row that no agent may send and its rule in `ROW_RULES`; -1, 0 where there is none.
    """
    start = 0
    for part in range(ends.shape[0]):
        raw = 0  # the bundle's number as the agent wrote it
        for i in range(start, ends[part]):
            row = rows[i]
            if not 0 <= row["world"] < bundles.shape[0]:
                return i, 0
            if not 0 <= row["venue"] < on_chain.shape[0]:
                return i, 1
            if not 0 <= row["account"] < n_accounts:
                return i, 2
            if not 0.0 <= row["gas"] < np.inf:
                return i, 3
            if not 0.0 <= row["tip"] < np.inf:
                return i, 4
            if not 0.0 <= row["arrival"] < np.inf:
                return i, 5
            if row["bundle"] == 0:
                raw = 0
                continue
            if row["bundle"] != raw or row["world"] != rows[i - 1]["world"]:
                raw = row["bundle"]
                bundles[row["world"]] += 1.0
                row["bundle"] = int(bundles[row["world"]])
                continue
            head = rows[i - 1]
            if on_chain[row["venue"]] != on_chain[head["venue"]]:
                return i, 6
            row["bundle"] = head["bundle"]
            row["tip"] = head["tip"]
            row["fee_cap"] = head["fee_cap"]
            row["arrival"] = head["arrival"]
            row["expires"] = head["expires"]
        start = ends[part]
    return -1, 0


NO_ROWS = new_rows(0)
NO_ROWS.flags.writeable = False
