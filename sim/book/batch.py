"""The frequent batch auction: a market that matches at regular times instead of at once.

Orders collect, crossed or not; every interval those that cross trade at one price (`auction`). A
quote can be taken only at the end of an interval, so whoever hears news a little later can still
take his quote back unless the news comes in the last moments: the race of continuous trading is
worth little. Source: Budish, Cramton and Shim, The high-frequency trading arms race, QJE 2015.

`BatchAuctionMarket` seats the mechanism in a world; `run_batches` runs it on the same messages as
`sim.book.matching.run`, to compare the two on the same flow. Orders that continuous trading would
cancel at once (immediate or cancel, market) take part in the next auction and are cancelled after
it; a market order is one at the worst price of the bands or the window.
"""

from typing import Any

from sim.book.auction import uncross
from sim.book.layout import (
    BAND_HIGH,
    BAND_LOW,
    BASE,
    LAST_PRICE,
    N_ORDERS,
    PHASE,
    Book,
    OrderVerb,
    Phase,
    Side,
    TimeInForce,
)
from sim.book.matching import process
from sim.book.registry import find
from sim.book.seat import centre
from sim.book.trading import remove
from sim.book.venue import OrderBookMarket
from sim.kernel import I64, Record, Rows, i64, inlined, kernel, word

AUCTION = word(Phase.AUCTION)
BUY = word(Side.BUY)
LIMIT, MARKET = int(OrderVerb.LIMIT), int(OrderVerb.MARKET)
GTC, IOC = int(TimeInForce.GOOD_TILL_CANCEL), int(TimeInForce.IMMEDIATE_OR_CANCEL)


@inlined
def passes(m: Record) -> bool:
    """Whether an order is for the next auction only."""
    return m["verb"] == MARKET or (m["verb"] == LIMIT and m["tif"] == IOC)


@inlined
def worst_of_window(book: Book, side: int) -> int:
    """Worst price at which an order of a side may take part in an auction."""
    if side == BUY:
        highest = book.head[BASE] + (book.levels.shape[0] >> 1) - 1
        return min(highest, book.head[BAND_HIGH])
    return max(book.head[BASE], book.head[BAND_LOW])


@inlined
def submit_until_next(book: Book, m: Record, message: int) -> None:
    """Enter an order that continuous trading would not let rest; its words stay as they were."""
    verb, tif, price = m["verb"], m["tif"], m["price"]
    m["verb"] = LIMIT
    m["tif"] = GTC
    if verb == MARKET and price == 0:
        m["price"] = worst_of_window(book, i64(m["side"]))
    process(book, m, message)
    m["verb"], m["tif"], m["price"] = verb, tif, price


@inlined
def hold(book: Book, messages: Rows, first: int, last: int) -> int:
    """Hold an auction and cancel what was for it only; return the lots traded."""
    lots = uncross(book, last)
    if lots > 0:
        centre(book, book.head[LAST_PRICE])
    for i in range(first, last):
        if passes(messages[i]) and messages[i]["code"] == 0:
            slot = find(book, messages[i]["id"])
            if slot >= 0:
                remove(book, slot)
    return lots


@kernel
def run_batches(book: Book, messages: Rows, times: I64, interval: int, until: int) -> int:
    """Do what messages ask, with an auction at every multiple of the interval.

    The tape must have room for all prints.

    Parameters
    ----------
    book : Book
        One world's; left in the phase AUCTION.
    messages : structured array (n,) of MESSAGE
    times : array (n,)
        Ascending; what arrives at the time of an auction is too late for it.
    interval : int
        In the unit of `times`.
    until : int
        Auctions are held up to this time, and at it.

    Returns
    -------
    int
        Lots traded.
    """
    book.head[PHASE] = AUCTION
    due, first, lots = interval, 0, 0
    for i in range(messages.shape[0]):
        if book.head[N_ORDERS] == 0 and messages[i]["price"] > 0:
            centre(book, i64(messages[i]["price"]))
            break
    for i in range(messages.shape[0]):
        while times[i] >= due:
            lots += hold(book, messages, first, i)
            due += interval
            first = i
        if passes(messages[i]):
            submit_until_next(book, messages[i], i)
        else:
            process(book, messages[i], i)
    while due <= until:
        lots += hold(book, messages, first, messages.shape[0])
        due += interval
        first = messages.shape[0]
    return lots


class BatchAuctionMarket(OrderBookMarket):
    """Order books that match by auctions at regular times; SWAP and market orders are refused.

    Parameters
    ----------
    interval_seconds : float
        Between two auctions, within and across blocks.
    **terms
        See `OrderBookMarket`.
    """

    def __init__(self, *, interval_seconds: float = 1.0, **terms: Any) -> None:
        super().__init__(interval_seconds=interval_seconds, **terms)
