"""Cash and lots of those who trade: free, or reserved for the orders that rest.

All amounts are integers: lots, and cash in ticks x lots, so nothing is ever lost to rounding. A
resting sale reserves its lots, a resting purchase its price and the highest fee on it. Fees are
rounded towards zero; a negative maker fee is a rebate.

Invariants: the sum of all cash and collected fees is constant, and so is the sum of lots; no entry
is ever negative; what is reserved is exactly what the live orders need.
"""

from sim.book.layout import (
    FEE_UNIT,
    FEES,
    MAKER_FEE,
    RESERVE_FEE,
    SETTLES,
    TAKER_FEE,
    Book,
    Side,
)
from sim.kernel import i64, inlined, word

BUY = word(Side.BUY)


@inlined
def fee_on(value: int, rate: int) -> int:
    """Fee on a traded value, rounded towards zero; exact for any value below 2^62."""
    if rate == 0:
        return 0
    size = -rate if rate < 0 else rate
    fee = value // FEE_UNIT * size + value % FEE_UNIT * size // FEE_UNIT
    return -fee if rate < 0 else fee


@inlined
def reserve_for(book: Book, price: int, quantity: int) -> int:
    """Cash that a purchase ties up: its value and the highest fee on it.

    Rounding down suffices: fees of parts, rounded down, never exceed the fee of their sum.
    """
    value = price * quantity
    return value + fee_on(value, book.head[RESERVE_FEE])


@inlined
def free_value(book: Book, account: int, side: int) -> int:
    """Free cash of a buyer, free lots of a seller."""
    mine = book.accounts[account]
    return mine["cash"] if side == BUY else mine["lots"]


@inlined
def tie_up(book: Book, slot: int) -> None:
    """Reserve what the order in a slot needs to rest or to wait."""
    order = book.orders[slot]
    mine = book.accounts[order["account"]]
    total = order["quantity"] + order["hidden"]
    if order["side"] == BUY:
        cash = reserve_for(book, i64(order["price"]), total)
        mine["cash"] -= cash
        mine["cash_reserved"] += cash
    else:
        mine["lots"] -= total
        mine["lots_reserved"] += total


@inlined
def set_free(book: Book, slot: int, lots: int) -> None:
    """Free what the order in a slot has reserved for `lots` of the lots that it still has."""
    order = book.orders[slot]
    mine = book.accounts[order["account"]]
    if order["side"] == BUY:
        price, total = i64(order["price"]), order["quantity"] + order["hidden"]
        cash = reserve_for(book, price, total) - reserve_for(book, price, total - lots)
        mine["cash"] += cash
        mine["cash_reserved"] -= cash
    else:
        mine["lots"] += lots
        mine["lots_reserved"] -= lots


@inlined
def exchange(book: Book, buyer: int, seller: int, value: int, lots: int) -> None:
    """Move free lots to the buyer and free cash to the seller, without fees."""
    book.accounts[buyer]["cash"] -= value
    book.accounts[buyer]["lots"] += lots
    book.accounts[seller]["cash"] += value
    book.accounts[seller]["lots"] -= lots


@inlined
def charge(book: Book, account: int, value: int, rate: int) -> None:
    """Take a fee, or pay a rebate."""
    if rate != 0:
        fee = fee_on(value, rate)
        book.accounts[account]["cash"] -= fee
        book.head[FEES] += fee


@inlined
def settle(book: Book, side: int, maker: int, taker: int, price: int, lots: int) -> None:
    """Book a trade between free balances; `side` is the taker's."""
    value = price * lots
    if side == BUY:
        exchange(book, taker, maker, value, lots)
    else:
        exchange(book, maker, taker, value, lots)
    charge(book, maker, value, book.head[MAKER_FEE])
    charge(book, taker, value, book.head[TAKER_FEE])


@inlined
def affordable(book: Book, account: int, price: int, lots: int) -> int:
    """Lots of at most `lots` that an account's free cash buys at a price, taker fee included."""
    if book.head[SETTLES] == 0:
        return lots
    cash = book.accounts[account]["cash"]
    rate = book.head[TAKER_FEE]
    if rate == 0:
        return min(lots, cash // price)
    most = int(cash / (price * (1.0 + rate / FEE_UNIT)))  # off by one at most, but for huge sums
    while most > 0 and most * price + fee_on(most * price, rate) > cash:
        most -= 1
    while most < lots and (most + 1) * price + fee_on((most + 1) * price, rate) <= cash:
        most += 1
    return min(lots, most)
