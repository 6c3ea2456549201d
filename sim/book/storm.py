"""A storm of random messages inside one kernel, to prove that a book loses nothing.

Every verb, time in force and self-trade rule occurs, and one message in some hundred is wrong in
some word. The storm keeps its own count of the lots that orders brought and of where they went; the
difference is what live orders must hold. With accounts, cash with fees and lots are conserved too.
"""

from typing import NamedTuple

import numpy as np

from sim.actions import Reject
from sim.book.audit import check, scratch_words, sentence
from sim.book.book import new_messages
from sim.book.layout import (
    FEES,
    LOST_PRINTS,
    N_PRINTS,
    PHASE,
    Book,
    OrderState,
    OrderVerb,
    Outcome,
    Phase,
    PrintKind,
)
from sim.book.matching import submit
from sim.book.registry import find
from sim.errors import InvariantError
from sim.kernel import I64, U64, Rows, i64, inlined, kernel, word

OK = word(Reject.OK)
LIMIT, MARKET = word(OrderVerb.LIMIT), word(OrderVerb.MARKET)
STOP, STOP_LIMIT = word(OrderVerb.STOP), word(OrderVerb.STOP_LIMIT)
CANCEL, REDUCE, REPLACE = word(OrderVerb.CANCEL), word(OrderVerb.REDUCE), word(OrderVerb.REPLACE)
HALT, CLOSE, RESUME = word(OrderVerb.HALT), word(OrderVerb.CLOSE), word(OrderVerb.RESUME)
CANCELLED, CONTINUOUS = word(Outcome.CANCELLED), word(Phase.CONTINUOUS)
TRADE, AUCTION_TRADE = word(PrintKind.TRADE), word(PrintKind.AUCTION_TRADE)
STOP_TRIGGERED, FREE = word(PrintKind.STOP_TRIGGERED), word(OrderState.FREE)
STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

# words of `sums`
CAME, GONE, ACCEPTED, TRADES, CENTRE = range(5)
SUMS = 5


class Weather(NamedTuple):
    """What a storm is made of.

    Attributes
    ----------
    ids : int
        Ids that orders may have.
    spread : int
        Ticks off the centre at which orders are priced, at most.
    jump : int
        Ticks by which the centre jumps, once in some thousand messages, at most; 0: never.
    lots : int
        Largest order.
    """

    ids: int = 4096
    spread: int = 40
    jump: int = 0
    lots: int = 50


@inlined
def draw(state: U64, n: int) -> int:
    """Draw a whole number in [0, n).

    Source: Steele, Lea and Flood (2014), SplitMix64.
    """
    state[0] += STEP
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    z = z ^ (z >> np.uint64(31))
    return i64(z >> np.uint64(33)) * n >> 31


@inlined
def verb_of(state: U64, continuous: bool) -> int:
    """Draw a verb: trading halts now and then, and not for long."""
    x = draw(state, 10_000)
    if x < 20:
        return HALT if x < 5 else (CLOSE if x < 8 else draw(state, 15) - 2)
    if not continuous and x < 200:
        return RESUME
    if x < 4_000:
        return LIMIT
    if x < 4_700:
        return MARKET
    if x < 5_000:
        return STOP
    if x < 5_300:
        return STOP_LIMIT
    if x < 7_700:
        return CANCEL
    return REDUCE if x < 8_300 else REPLACE


@kernel
def write(book: Book, state: U64, m: Rows, weather: Weather, centre: int) -> None:
    """Write a random message."""
    verb = verb_of(state, book.head[PHASE] == CONTINUOUS)
    side = draw(state, 2)
    away = draw(state, weather.spread) - weather.spread // 4
    atomic = verb in (MARKET, STOP)
    rare = draw(state, 100)
    n_accounts = book.accounts.shape[0]
    m["verb"] = verb
    m["id"] = draw(state, weather.ids)
    m["side"] = side
    m["quantity"] = draw(state, weather.lots) + 1
    m["display"] = 0
    m["price"] = 0 if atomic else max(centre + (away if side != 0 else -away), 1)
    m["trigger"] = max(centre + (-away if side != 0 else away), 1)
    m["tif"] = draw(state, 4) if rare < 30 else 0
    if atomic:
        m["tif"] = m["tif"] % 3
    elif rare % 5 == 0:
        m["display"] = draw(state, i64(m["quantity"])) + 1
    m["stp"] = draw(state, 3) if rare % 3 == 0 else 0
    m["account"] = m["id"] % n_accounts if n_accounts > 0 else m["id"] % 6 - 1
    if rare == 99:  # wrong, in one word
        which = draw(state, 6)
        if which == 0:
            m["quantity"] = draw(state, 3) - 2
        elif which == 1:
            m["price"] = draw(state, 3) - 2
        elif which == 2:
            m["account"] = draw(state, n_accounts + 3) - 1
        elif which == 3:
            m["side"] = draw(state, 5) - 2
        elif which == 4:
            m["display"] = m["quantity"] + draw(state, 3) - 1
        else:
            m["id"] = -1


@inlined
def held_by(book: Book, order_id: int) -> int:
    """Lots of a live order; 0 if there is none."""
    slot = find(book, order_id)
    return book.orders[slot]["quantity"] + book.orders[slot]["hidden"] if slot >= 0 else 0


@kernel
def count(book: Book, m: Rows, held: int, sums: I64) -> None:
    """Count the lots that a message brought and took away, and clear the tape.

    `held` is what the order that it names had before.
    """
    for i in range(book.head[N_PRINTS]):
        line = book.tape[i]
        if line["kind"] == TRADE or line["kind"] == AUCTION_TRADE:
            sums[GONE] += 2 * line["quantity"]
            sums[TRADES] += 1
        elif line["kind"] != STOP_TRIGGERED:
            sums[GONE] += line["quantity"]
    book.head[N_PRINTS] = 0
    if m["code"] != OK:
        return
    sums[ACCEPTED] += 1
    verb = m["verb"]
    if verb == CANCEL:
        sums[GONE] += held
    elif verb == REDUCE:
        sums[GONE] += min(held, m["quantity"])
    elif verb <= STOP_LIMIT or verb == REPLACE:
        sums[CAME] += m["quantity"]
        if verb == REPLACE:
            sums[GONE] += held
        if (verb != STOP and verb != STOP_LIMIT) and m["outcome"] == CANCELLED:
            sums[GONE] += m["quantity"] - m["filled"]


@kernel
def storm(book: Book, state: U64, one: Rows, weather: Weather, n: int, sums: I64) -> int:
    """Send random messages.

    Parameters
    ----------
    book : Book
    state : array (1,)
        Of the random numbers.
    one : structured array (1,) of MESSAGE
        Scratch: the message.
    weather : Weather
    n : int
        Messages to send.
    sums : array (SUMS,)
        CAME and GONE count lots, ACCEPTED messages, TRADES prints; CENTRE is a price.

    Returns
    -------
    int
        Messages sent: fewer than `n` where the tape was too short for one.
    """
    for i in range(n):
        step = draw(state, 4096)
        if step < 512:
            sums[CENTRE] += step % 2 * 2 - 1
        elif step == 4095 and weather.jump > 0:
            sums[CENTRE] += draw(state, 2 * weather.jump + 1) - weather.jump
        sums[CENTRE] = max(sums[CENTRE], 2 * weather.spread)
        m = one[0]
        write(book, state, m, weather, sums[CENTRE])
        held = held_by(book, m["id"])
        submit(book, one)
        count(book, m, held, sums)
        if book.head[LOST_PRINTS] > 0:
            return i + 1
    return n


@kernel
def totals(book: Book, out: I64) -> None:
    """Write all lots of live orders, all cash with the collected fees, all lots of accounts."""
    out[0], out[1], out[2] = 0, book.head[FEES], 0
    for slot in range(book.orders.shape[0] - 1):
        order = book.orders[slot]
        if order["state"] != FREE:
            out[0] += order["quantity"] + order["hidden"]
    for account in range(book.accounts.shape[0]):
        mine = book.accounts[account]
        out[1] += mine["cash"] + mine["cash_reserved"]
        out[2] += mine["lots"] + mine["lots_reserved"]


def weather_the_storm(
    book: Book, n: int, seed: int = 0, weather: Weather | None = None, every: int = 1_000_000
) -> dict[str, int]:
    """Send `n` random messages, and check the book and all sums every so many.

    Parameters
    ----------
    book : Book
        Empty of orders, its accounts funded.
    n : int
        Messages.
    seed : int
    weather : Weather, optional
    every : int
        Messages between two checks.

    Returns
    -------
    dict
        Counts: messages, accepted, trades, lots that came and went, checks.

    Raises
    ------
    InvariantError
        Names what was lost or broken, and after how many messages.
    """
    state = np.array([seed], np.uint64)
    one, marks = new_messages(1), np.zeros(scratch_words(book), np.int64)
    sums, before, after = (np.zeros(size, np.int64) for size in (SUMS, 3, 3))
    sums[CENTRE] = 100_000
    totals(book, before)
    done = checks = 0
    while done < n:
        part = min(every, n - done)
        sent = storm(book, state, one, weather or Weather(), part, sums)
        done += sent
        checks += 1
        fault, where = check(book, marks)
        totals(book, after)
        if sent < part:
            raise InvariantError(f"order book: a tape too short after {done:,} random messages")
        if fault:
            raise InvariantError(f"{sentence(fault, where)} after {done:,} random messages")
        held = int(sums[CAME] - sums[GONE])
        for what, found, expected in (
            ("lots in orders", after[0], held),
            ("cash with fees", after[1], before[1]),
            ("lots of accounts", after[2], before[2]),
        ):
            if found != expected:
                raise InvariantError(
                    f"order book: {what} must be {expected:,}, got {found:,} after {done:,} random "
                    "messages"
                )
    return {
        "messages": done, "accepted": int(sums[ACCEPTED]), "trades": int(sums[TRADES]),
        "came": int(sums[CAME]), "went": int(sums[GONE]), "checks": checks,
    }  # fmt: skip
