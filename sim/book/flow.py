"""A near-touch order flow, frozen into messages: what the speed of a book is measured on.

Shares as seen close to the touch of a liquid market: 57% of the messages add an order, 37% cancel
one, 6% are market orders, and a quarter as many trades happen as messages arrive. Placement falls
off with a power of the distance from the touch; cancels prefer recent orders; the number of live
orders hovers about a target. The flow is made against a live book, so that every cancel hits.
"""

import math

import numpy as np

from sim.book.book import new_book, new_messages
from sim.book.ladder import best_price
from sim.book.layout import N_PRINTS, Book, OrderVerb, Outcome, PrintKind, Side
from sim.book.matching import submit
from sim.kernel import I64, U64, Record, Rows, i64, kernel, word
from sim.streams import stream_key, uniform

BUY, SELL = word(Side.BUY), word(Side.SELL)
LIMIT, MARKET, CANCEL = int(OrderVerb.LIMIT), int(OrderVerb.MARKET), int(OrderVerb.CANCEL)
TRADE, ON_BOOK = int(PrintKind.TRADE), int(Outcome.RESTING)
FARTHEST = 400  # ticks from the touch
ENOUGH = 200  # live orders below which no order is aggressive


@kernel
def choose_order(book: Book, key: U64, i: int, start_price: int, n_live: int, m: Record) -> None:
    """Write a new limit or market order."""
    side = i64(uniform(key, 0, i, 0) < 0.5)
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    if bid == 0:
        bid = (ask if ask != 0 else start_price) - 2
    if ask == 0:
        ask = bid + 2
    same, other, away = (bid, ask, -1) if side == BUY else (ask, bid, 1)
    m["side"] = side
    m["quantity"] = 100
    if uniform(key, 0, i, 1) < 0.7:
        m["quantity"] = 1 - int(80.0 * math.log(1.0 - uniform(key, 0, i, 2)))
    m["verb"] = LIMIT
    kind, size = uniform(key, 0, i, 3), uniform(key, 0, i, 4)
    if kind < 0.09 and n_live > ENOUGH:
        m["verb"] = MARKET
        m["price"] = 0
        m["quantity"] = 1 - int(120.0 * math.log(1.0 - size))
        return
    price = same
    if kind < 0.18 and n_live > ENOUGH:
        price = other - away * int(size < 0.5)
    elif size < 0.12 and ask - bid > 1:
        price = same - away
    elif size >= 0.5:
        distance = int((uniform(key, 0, i, 5) ** -0.7 - 1.0) * 3.0) + 1
        price = same + away * min(distance, FARTHEST)
    m["price"] = max(price, 1)


@kernel
def near_touch(
    book: Book, key: U64, start_price: int, target: int, live: I64, place: I64, messages: Rows
) -> None:
    """Fill `messages`; `live` lists the ids on the book, `place` where each id stands in it."""
    n_live, next_id = 0, 0
    for i in range(messages.shape[0]):
        m = messages[i]
        share = 0.42 * min(1.6, n_live / target)
        if n_live > 50 and uniform(key, 0, i, 6) < share:
            k = int(uniform(key, 0, i, 8) * n_live)
            if uniform(key, 0, i, 7) < 0.7:
                back = int(-0.15 * n_live * math.log(1.0 - uniform(key, 0, i, 8)))
                k = n_live - 1 - min(back, n_live - 1)
            m["verb"] = CANCEL
            m["id"] = live[k]
        else:
            choose_order(book, key, i, start_price, n_live, m)
            m["id"] = next_id
            next_id += 1
        book.head[N_PRINTS] = 0
        submit(book, messages[i : i + 1])
        gone = 0
        for k in range(book.head[N_PRINTS]):
            if book.tape[k]["last"] == 1:
                n_live -= 1
                gone = place[book.tape[k]["maker"]]
                live[gone] = live[n_live]
                place[live[gone]] = gone
        if m["verb"] == CANCEL:
            n_live -= 1
            gone = place[m["id"]]
            live[gone] = live[n_live]
            place[live[gone]] = gone
        elif m["outcome"] == ON_BOOK:
            live[n_live] = m["id"]
            place[m["id"]] = n_live
            n_live += 1


def near_touch_flow(
    n: int, seed: int = 20260101, live_target: int = 5000, start_price: int = 10_000
) -> Rows:
    """Make a seeded near-touch flow.

    Parameters
    ----------
    n : int
        Messages.
    seed : int
        Seed of the flow.
    live_target : int
        Orders on the book about which the flow hovers.
    start_price : int
        Ticks.

    Returns
    -------
    structured array (n,) of MESSAGE
        Ids are 0, 1, ... in the order of arrival; cancels name the id of a live order.
    """
    capacity = min(n, 4 * live_target + 1024)
    book = new_book(capacity=capacity, n_levels=32768, n_prints=capacity)
    messages = new_messages(n)
    live, place = np.zeros(capacity, np.int64), np.zeros(n, np.int64)
    near_touch(book, stream_key(seed, "book.flow"), start_price, live_target, live, place, messages)
    for field in ("code", "outcome", "filled"):
        messages[field] = 0
    return messages
