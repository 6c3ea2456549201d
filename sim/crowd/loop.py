"""The discrete-event loop of a crowd: who wakes, what arrives, who hears of it.

    wake -> orders and cancellations leave -> (latency) -> they reach the exchange and are matched
    -> (latency) -> the owner hears that its order was accepted, traded or cancelled

Events are delivered in the order of their time, equal times in the order in which they were
planned, so that a world's path depends neither on the batch nor on how often `advance` is called.
Every delivery counts as one message.

Invariants: an order's slot is free for reuse only when its owner has heard that the order is
complete; a member never holds more orders than it has slots; wakes, orders and cancellations always
find room on the heap (notices that do not are told at once, and counted).
"""

from sim.actions import Reject
from sim.book.ladder import best_price
from sim.book.layout import (
    N_ORDERS,
    N_PRINTS,
    Book,
    OrderVerb,
    Outcome,
    PrintKind,
)
from sim.book.matching import process
from sim.book.registry import find
from sim.crowd.act import act
from sim.crowd.chance import four, lognormal_of, wait
from sim.crowd.desk import BUY, CROWD_ID, MOST_SLOTS, SELL, free_own, touch_lots
from sim.crowd.heap import drop, push
from sim.crowd.layout import (
    BOUGHT,
    BY_KIND,
    DELIVERED,
    FIRST_ACCOUNT,
    FIRST_WAKE,
    KEEPS_TAPE,
    LATE_NOTICES,
    LATENCY,
    LATENCY_SIGMA,
    LOST_LINES,
    N_ARRIVALS,
    N_EVENTS,
    N_NOTICES,
    N_QUOTES,
    N_REJECTS,
    NOW,
    REACTS,
    SECOND,
    START_WAKE,
    CrowdState,
    EventKind,
    OwnState,
)
from sim.kernel import i64, inlined, kernel, word

ZERO, ONE = word(0), word(1)
WAKE, ORDER, CANCEL = word(EventKind.WAKE), word(EventKind.ORDER), word(EventKind.CANCEL)
ACCEPTED, FILLED = word(EventKind.ACCEPTED), word(EventKind.FILLED)
CANCELLED = word(EventKind.CANCELLED)
LIMIT, MARKET = word(OrderVerb.LIMIT), word(OrderVerb.MARKET)
CANCEL_VERB = word(OrderVerb.CANCEL)
SENT, LIVE, LEAVING = word(OwnState.SENT), word(OwnState.LIVE), word(OwnState.LEAVING)
RESTING = word(Outcome.RESTING)
OK = word(Reject.OK)
AUCTION_TRADE, TRADE = word(PrintKind.AUCTION_TRADE), word(PrintKind.TRADE)
SELF_TRADE_CANCEL = word(PrintKind.SELF_TRADE_CANCEL)


@inlined
def one_world(crowds: CrowdState, w: int) -> CrowdState:
    """Arrays of one world."""
    return CrowdState(
        crowds.head[w], crowds.values[w], crowds.members[w], crowds.own[w], crowds.heap[w],
        crowds.memory[w], crowds.scratch[w], crowds.print_time[w], crowds.quotes[w],
        crowds.arrivals[w], crowds.parents[w], crowds.world_ids[w : w + 1], crowds.terms,
        crowds.key,
    )  # fmt: skip


# The exchange speaks


@kernel
def hear(crowd: CrowdState, kind: int, slot: int, data: int, now: int) -> None:
    """Let a member learn what the exchange tells of one of its orders."""
    order = crowd.own[slot]
    member = crowd.members[order["member"]]
    lots = 0 if kind == CANCELLED else data >> 1
    done = True
    if kind == ACCEPTED:
        done = (data & 1) == 0
        if not done and order["state"] == SENT:
            order["state"] = LIVE
    elif kind == FILLED:
        done = (data & 1) == 1
    if lots > 0:
        order["lots"] -= lots
        member["inventory"] += lots if order["side"] == BUY else -lots
        if crowd.terms[member["group"], REACTS] != 0.0 and member["stirred"] == 0:
            member["stirred"] = 1
            push(crowd, now, WAKE, i64(order["member"]), ONE)
    if done:
        free_own(crowd, slot)


@kernel
def report(crowd: CrowdState, kind: int, slot: int, data: int, now: int) -> None:
    """Send a notice to the owner of an order; at once if too many notices are on their way."""
    room = crowd.heap.shape[0] - 2 * crowd.members.shape[0] - 2 * crowd.own.shape[0]
    if crowd.head[N_NOTICES] >= room:
        crowd.head[LATE_NOTICES] += 1
        hear(crowd, kind, slot, data, now)
        return
    crowd.head[N_NOTICES] += 1
    latency = crowd.members[crowd.own[slot]["member"]]["latency"]
    push(crowd, now + latency, kind, slot, data)


@inlined
def slot_of(crowd: CrowdState, order_id: int) -> int:
    """Slot of a member's order; -1 if the order is somebody else's."""
    if order_id < CROWD_ID:
        return -1
    slot = order_id & (MOST_SLOTS - 1)
    if slot >= crowd.own.shape[0] or crowd.own[slot]["id"] != order_id:
        return -1
    return slot


@kernel
def tell_owners(book: Book, crowd: CrowdState, first_print: int, now: int) -> None:
    """Report what the tape tells from `first_print` on to the owners of the orders that rested."""
    for k in range(first_print, book.head[N_PRINTS]):
        crowd.print_time[k] = now
        line = book.tape[k]
        kind = line["kind"]
        if kind == TRADE:
            crowd.head[BOUGHT + i64(line["side"])] += line["quantity"]
        slot = slot_of(crowd, line["maker"])
        if slot >= 0 and kind == SELF_TRADE_CANCEL:
            report(crowd, CANCELLED, slot, ZERO, now)
        elif slot >= 0 and kind == TRADE:
            report(crowd, FILLED, slot, 2 * line["quantity"] + i64(line["last"]), now)
        elif kind == AUCTION_TRADE:
            for side in range(2):
                order_id = line["maker"] if side == 0 else line["taker"]
                slot = slot_of(crowd, order_id)
                if slot >= 0:
                    left = crowd.own[slot]["lots"] - line["quantity"]
                    gone = left <= 0 or find(book, order_id) < 0
                    report(crowd, FILLED, slot, 2 * line["quantity"] + (1 if gone else 0), now)


# What reaches the exchange


@inlined
def log_touch(book: Book, crowd: CrowdState, now: int) -> None:
    """Write the touch down if it has changed since the last line."""
    n = crowd.head[N_QUOTES]
    if n >= crowd.quotes.shape[0] - 1:
        crowd.head[LOST_LINES] += 1
        return
    line, before = crowd.quotes[n + 1], crowd.quotes[n]
    bid, ask, bid_lots, ask_lots = best_of(book)
    if (
        bid != before["bid"]
        or ask != before["ask"]
        or bid_lots != before["bid_lots"]
        or ask_lots != before["ask_lots"]
    ):
        line["time"] = now
        line["bid"] = bid
        line["ask"] = ask
        line["bid_lots"] = bid_lots
        line["ask_lots"] = ask_lots
        crowd.head[N_QUOTES] = n + 1


@inlined
def best_of(book: Book) -> tuple[int, int, int, int]:
    """Bid and ask in ticks, 0 where there is none, and their lots, 0 outside the window."""
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    bid_lots, ask_lots = touch_lots(book, BUY), touch_lots(book, SELL)
    return bid, ask, bid_lots, ask_lots


@inlined
def log_arrival(book: Book, crowd: CrowdState, slot: int, now: int) -> None:
    """Write a limit order down as it reaches the book."""
    n = crowd.head[N_ARRIVALS]
    if n >= crowd.arrivals.shape[0]:
        crowd.head[LOST_LINES] += 1
        return
    order = crowd.own[slot]
    bid, ask, _, _ = best_of(book)
    side, price = i64(order["side"]), i64(order["price"])
    best = bid if side == BUY else ask
    if price == 0 or best == 0:
        return
    line = crowd.arrivals[n]
    line["time"] = now
    line["lots"] = order["lots"]
    line["distance"] = best - price if side == BUY else price - best
    line["side"] = side
    crowd.head[N_ARRIVALS] = n + 1


@kernel
def hand_in(book: Book, crowd: CrowdState, slot: int, now: int) -> None:
    """Match an order that has reached the exchange, and report to all whom it concerns."""
    order = crowd.own[slot]
    m = crowd.scratch[0]
    if crowd.arrivals.shape[0] > 1:
        log_arrival(book, crowd, slot, now)
    m["id"] = order["id"]
    m["quantity"] = order["lots"]
    m["display"] = 0
    m["price"] = order["price"]
    m["trigger"] = 0
    m["account"] = crowd.head[FIRST_ACCOUNT] + order["member"]
    m["verb"] = LIMIT if order["price"] != 0 else MARKET
    m["side"] = order["side"]
    m["tif"] = order["tif"]
    m["stp"] = 0
    first = book.head[N_PRINTS]
    process(book, m, ZERO)
    if m["code"] != OK:
        crowd.head[N_REJECTS] += 1
    rests = 1 if m["outcome"] == RESTING else 0
    report(crowd, ACCEPTED, slot, 2 * m["filled"] + rests, now)
    tell_owners(book, crowd, first, now)
    if crowd.quotes.shape[0] > 1:
        log_touch(book, crowd, now)


@kernel
def take_back(book: Book, crowd: CrowdState, slot: int, order_id: int, now: int) -> None:
    """Cancel an order; nothing is told if it is gone, its owner hears of that anyway."""
    order = crowd.own[slot]
    if order["id"] != order_id:
        return
    m = crowd.scratch[0]
    m["id"] = order_id
    m["account"] = crowd.head[FIRST_ACCOUNT] + order["member"]
    m["verb"] = CANCEL_VERB
    first = book.head[N_PRINTS]
    process(book, m, ZERO)
    if m["code"] == OK:
        report(crowd, CANCELLED, slot, ZERO, now)
    tell_owners(book, crowd, first, now)
    if crowd.quotes.shape[0] > 1:
        log_touch(book, crowd, now)


# The loop


@kernel
def deliver(book: Book, crowd: CrowdState) -> None:
    """Take the next event off the heap and let it happen."""
    event = crowd.heap[0]
    now, data = event["time"], event["data"]
    kind, target = i64(event["kind"]), i64(event["target"])
    drop(crowd)
    crowd.head[DELIVERED] += 1
    crowd.head[BY_KIND + kind] += 1
    if kind == WAKE:
        member = crowd.members[target]
        member["draws"] += 1
        following = act(book, crowd, target, now)
        if data == 1:
            member["stirred"] = 0
        elif following >= 0:
            push(crowd, following, WAKE, target, ZERO)
    elif kind == ORDER:
        hand_in(book, crowd, target, now)
    elif kind == CANCEL:
        take_back(book, crowd, target, data, now)
    else:
        crowd.head[N_NOTICES] -= 1
        hear(crowd, kind, target, data, now)


@kernel
def advance(book: Book, crowds: CrowdState, w: int, until_ns: int) -> bool:
    """Deliver what is planned up to and including `until_ns` in one world.

    Parameters
    ----------
    book : Book
        That world's book.
    crowds : CrowdState
        All worlds' crowds; `w` is this world's index.
    until_ns : int
        Nanoseconds since the start of the run.

    Returns
    -------
    bool
        Whether the time was reached. False only if the tape is to be kept whole and has no room
        left: take the prints off it and call again.
    """
    crowd = one_world(crowds, w)
    lines = book.tape.shape[0]
    while crowd.head[N_EVENTS] > 0 and crowd.heap[0]["time"] <= until_ns:
        if book.head[N_PRINTS] + book.head[N_ORDERS] >= lines:
            if crowd.head[KEEPS_TAPE] != 0 and book.head[N_PRINTS] > 0:
                return False
            book.head[N_PRINTS] = 0
        deliver(book, crowd)
    crowd.head[NOW] = until_ns
    return True


@kernel
def notice(book: Book, crowds: CrowdState, w: int, first_print: int, now_ns: int) -> None:
    """Tell members of one world what somebody else's message did to their orders.

    Call it after each message that reaches the book from outside the crowd, with the number of
    prints that the tape had before.
    """
    crowd = one_world(crowds, w)
    tell_owners(book, crowd, first_print, now_ns)
    if crowd.quotes.shape[0] > 1:
        log_touch(book, crowd, now_ns)


@kernel
def seat(crowds: CrowdState, w: int) -> None:
    """Sample each member's latency and plan its first wake."""
    crowd = one_world(crowds, w)
    for i in range(crowd.members.shape[0]):
        member = crowd.members[i]
        t = crowd.terms[member["group"]]
        u, v, _, _ = four(crowd, i64(i), ZERO)
        member["latency"] = i64(SECOND * lognormal_of(t[LATENCY], t[LATENCY_SIGMA], u))
        first = i64(t[START_WAKE] * SECOND) + wait(t[FIRST_WAKE] * v)
        push(crowd, first, WAKE, i64(i), ZERO)
