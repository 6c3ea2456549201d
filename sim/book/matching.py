"""Price-time matching: what each message does to a book.

Rules, in the order in which they apply to a new order: its words must make sense; its id must be
new; the phase must take it; its price must lie within the bands; a post-only order must not trade;
a fill-or-kill order must be able to trade whole; its owner must be able to pay. Then it trades with
the best resting orders first, equals in the order of their arrival, at *their* prices, and what is
left rests, is cancelled, or, having met its owner's own order, goes by the rule of self-trades. A
trade may trigger stop orders; they trade after the order that triggered them, nearest trigger
first. A rejected message changes nothing.

The kernels call no allocation and know no time: whoever calls them orders the messages.
"""

from sim.actions import Reject
from sim.book.accounts import affordable, set_free, settle, tie_up
from sim.book.admission import (
    accepts,
    bad_terms,
    bad_time,
    bad_touch,
    can_fill,
    cannot_pay,
    cannot_replace,
    limit_level,
    worst_price,
    would_trade,
)
from sim.book.auction import uncross
from sim.book.ladder import best_far, level_of, rest, slide, unlink, unlink_far
from sim.book.layout import (
    BAND_HIGH,
    BAND_LOW,
    BEST,
    FAR_COUNT,
    HALT_WANTED,
    LAST_PRICE,
    N_ORDERS,
    N_PRINTS,
    N_STOPS,
    PHASE,
    SETTLES,
    STAMP,
    VALUE,
    VOLUME,
    Book,
    OrderState,
    OrderVerb,
    Outcome,
    Phase,
    PrintKind,
    SelfTrade,
    Side,
    TimeInForce,
)
from sim.book.registry import discharge, enlist, find, give_slot, home, take_slot
from sim.book.stops import await_trigger, due_stop, is_reached, leave_heap
from sim.book.trading import drop_head, remove, show_more, tell
from sim.kernel import Record, Rows, at, i64, inlined, kernel, spliced, word
from sim.machine import prefetch

ZERO = word(0)
CACHED = 16_384  # live orders that caches hold
OK = word(Reject.OK)
BUY, SELL = word(Side.BUY), word(Side.SELL)
LIMIT, MARKET = word(OrderVerb.LIMIT), word(OrderVerb.MARKET)
STOP, STOP_LIMIT = word(OrderVerb.STOP), word(OrderVerb.STOP_LIMIT)
CANCEL, REDUCE, REPLACE = word(OrderVerb.CANCEL), word(OrderVerb.REDUCE), word(OrderVerb.REPLACE)
HALT, RESUME = word(OrderVerb.HALT), word(OrderVerb.RESUME)
GTC = word(TimeInForce.GOOD_TILL_CANCEL)
IOC = word(TimeInForce.IMMEDIATE_OR_CANCEL)
FOK = word(TimeInForce.FILL_OR_KILL)
POST_ONLY = word(TimeInForce.POST_ONLY)
ALLOW = word(SelfTrade.ALLOW)
CANCEL_INCOMING = word(SelfTrade.CANCEL_INCOMING)
CONTINUOUS, AUCTION, CLOSED = word(Phase.CONTINUOUS), word(Phase.AUCTION), word(Phase.CLOSED)
NONE, ON_BOOK, FILLED = word(Outcome.NONE), word(Outcome.RESTING), word(Outcome.FILLED)
CANCELLED, AWAITING = word(Outcome.CANCELLED), word(Outcome.WAITING)
TRADE, SELF_TRADE_CANCEL = word(PrintKind.TRADE), word(PrintKind.SELF_TRADE_CANCEL)
STOP_TRIGGERED, STOP_CANCELLED = word(PrintKind.STOP_TRIGGERED), word(PrintKind.STOP_CANCELLED)
RESTING, WAITING = word(OrderState.RESTING), word(OrderState.WAITING)
UNKNOWN_VERB, BAD_AMOUNT = word(Reject.UNKNOWN_VERB), word(Reject.BAD_AMOUNT)
NOT_OWNER = word(Reject.NOT_OWNER)
UNKNOWN_ORDER, DUPLICATE_ORDER = word(Reject.UNKNOWN_ORDER), word(Reject.DUPLICATE_ORDER)
WOULD_TRADE, NOT_FILLABLE = word(Reject.WOULD_TRADE), word(Reject.NOT_FILLABLE)
BOOK_FULL, INSUFFICIENT_BALANCE = word(Reject.BOOK_FULL), word(Reject.INSUFFICIENT_BALANCE)


@kernel
def bring_near(book: Book, side: int, price: int) -> bool:
    """Slide the window to the opposite orders outside it, if an order of `side` may trade there."""
    other = 1 - side
    if book.head[FAR_COUNT + other] == 0:
        return False
    if book.head[BEST + other] < book.levels.shape[0] >> 1:
        return False
    best = best_far(book, other)
    if not accepts(side, worst_price(book, side, price), best):
        return False
    slide(book, best - (book.levels.shape[0] >> 2))
    return True


@inlined
def fill_head(book: Book, taker_slot: int, level: int, lots: int, message: int) -> None:
    """Trade `lots` with the first order of the level that the taker meets."""
    taker = book.orders[at(taker_slot)]
    side = 1 - i64(taker["side"])
    queue = book.levels[side * (book.levels.shape[0] >> 1) + level]
    slot = i64(queue["head"])
    maker = book.orders[at(slot)]
    price = i64(maker["price"])
    tell(book, TRADE, message, maker, taker, lots)
    book.head[LAST_PRICE] = price
    book.head[VOLUME] += lots
    book.head[VALUE] += price * lots
    if book.head[SETTLES] != 0:
        set_free(book, slot, lots)
        settle(book, 1 - side, maker["account"], taker["account"], price, lots)
    queue["quantity"] -= lots
    left = maker["quantity"] - lots
    maker["quantity"] = left
    if left > 0:
        return
    if maker["hidden"] > 0:
        show_more(book, slot, side, level)
        return
    if book.head[N_PRINTS] > 0:
        book.tape[book.head[N_PRINTS] - 1]["last"] = 1
    drop_head(book, side, level)


@inlined
def trade_level(book: Book, slot: int, level: int, left: int, message: int) -> int:
    """Trade an order with the queue of one level.

    Returns
    -------
    int
        Lots left; negative if the order may trade no further (its owner's own order, no cash).
    """
    taker = book.orders[at(slot)]
    side = 1 - i64(taker["side"])
    place = side * (book.levels.shape[0] >> 1) + level
    head = i64(book.levels[at(place)]["head"])
    while left > 0 and head >= 0:
        maker = book.orders[at(head)]
        if taker["stp"] != ALLOW and maker["account"] == taker["account"] >= 0:
            if taker["stp"] == CANCEL_INCOMING:
                return -left
            tell(
                book, SELF_TRADE_CANCEL, message, maker, taker, maker["quantity"] + maker["hidden"]
            )
            remove(book, head)
        else:
            lots = min(left, maker["quantity"])
            if taker["price"] == 0 and side == SELL:
                lots = affordable(book, taker["account"], i64(maker["price"]), lots)
                if lots == 0:
                    return -left
            fill_head(book, slot, level, lots, message)
            left -= lots
        head = i64(book.levels[at(place)]["head"])
    return left


@inlined
def match(book: Book, slot: int, message: int) -> int:
    """Trade an order with what rests against it; `quantity` becomes what is left.

    Returns
    -------
    int
        1 if what is left must not rest, else 0.
    """
    taker = book.orders[at(slot)]
    side = i64(taker["side"])
    price = i64(taker["price"])
    left = taker["quantity"]
    limit = limit_level(book, side, price)
    n_levels = book.levels.shape[0] >> 1
    best = book.head[BEST + 1 - side]
    while left > 0:
        if best <= limit:
            left = trade_level(book, slot, best, left, message)
        elif best < n_levels or not bring_near(book, side, price):
            break
        else:
            limit = limit_level(book, side, price)
        best = book.head[BEST + 1 - side]
    if left > 0 and price == 0 and (best < n_levels or book.head[FAR_COUNT + 1 - side] > 0):
        book.head[HALT_WANTED] = 1  # only a band can have stopped it
    taker["quantity"] = -left if left < 0 else left
    return 1 if left < 0 else 0


@inlined
def fill_slot(book: Book, slot: int, m: Record) -> None:
    """Write a message's order into a slot."""
    order = book.orders[at(slot)]
    book.head[STAMP] += 1
    order["id"] = m["id"]
    order["quantity"] = m["quantity"]
    order["hidden"] = 0
    order["display"] = m["display"]
    order["stamp"] = book.head[STAMP]
    order["price"] = m["price"]
    order["account"] = m["account"]
    order["trigger"] = m["trigger"]
    order["side"] = m["side"]
    order["tif"] = m["tif"]
    order["stp"] = m["stp"]


@inlined
def settle_in(book: Book, slot: int) -> None:
    """Let what is left of an order rest, with its cash or lots reserved."""
    order = book.orders[at(slot)]
    if book.head[SETTLES] != 0:
        tie_up(book, slot)
    if order["display"] != 0 and order["quantity"] > order["display"]:
        order["hidden"] = order["quantity"] - order["display"]
        order["quantity"] = order["display"]
    rest(book, slot)


@inlined
def enter(book: Book, m: Record, message: int) -> int:
    """Take a limit or market order; return why not, or OK."""
    code = bad_time(book, m)
    if code != OK:
        return code
    may_rest = m["tif"] == GTC or m["tif"] == POST_ONLY
    continuous = book.head[PHASE] == CONTINUOUS
    price = i64(m["price"])
    if not continuous:
        pass
    elif m["tif"] == FOK or m["tif"] == POST_ONLY:
        code = bad_touch(book, m)
        if code != OK:
            return code
    pays = book.head[SETTLES] != 0 and (price != 0 or m["side"] == SELL)
    if pays and cannot_pay(book, m, price, ZERO):
        return INSUFFICIENT_BALANCE
    slot = book.orders.shape[0] - 1
    if may_rest and price != 0:
        slot = take_slot(book)
        if slot < 0:
            return BOOK_FULL
    fill_slot(book, slot, m)
    barred = match(book, slot, message) if continuous else 0
    left = book.orders[at(slot)]["quantity"]
    m["filled"] = m["quantity"] - left
    m["outcome"] = FILLED if left == 0 else CANCELLED
    if slot == book.orders.shape[0] - 1:
        return OK
    if left > 0 and barred == 0:
        m["outcome"] = ON_BOOK
        enlist(book, slot)
        settle_in(book, slot)
    else:
        give_slot(book, slot)
    return OK


@kernel
def activate(book: Book, slot: int, message: int) -> int:
    """Send a triggered stop order into the market; return the lots that are left of it."""
    order = book.orders[at(slot)]
    if order["state"] == WAITING:
        leave_heap(book, slot)
        tell(book, STOP_TRIGGERED, message, order, order, order["quantity"])
    if book.head[SETTLES] != 0:
        set_free(book, slot, order["quantity"])
    side, price = i64(order["side"]), i64(order["price"])
    dead = price != 0 and not book.head[BAND_LOW] <= price <= book.head[BAND_HIGH]
    if dead:
        pass
    elif order["tif"] == FOK:
        account, rule = i64(order["account"]), i64(order["stp"])
        dead = not can_fill(book, side, price, order["quantity"], account, rule)
    elif order["tif"] == POST_ONLY:
        dead = would_trade(book, side, price)
    barred = 0 if dead else match(book, slot, message)
    left = order["quantity"]
    if left == 0:
        discharge(book, slot)
    elif dead or barred != 0 or order["price"] == 0 or order["tif"] == IOC or order["tif"] == FOK:
        tell(book, STOP_CANCELLED, message, order, order, left)
        discharge(book, slot)
    else:
        settle_in(book, slot)
    return left


@kernel
def enter_stop(book: Book, m: Record, message: int) -> int:
    """Take a stop order: it waits, or trades at once if its trigger is reached already."""
    code = bad_time(book, m)
    if code != OK:
        return code
    price = i64(m["price"])
    if book.head[SETTLES] != 0 and cannot_pay(book, m, price, ZERO):
        return INSUFFICIENT_BALANCE
    slot = take_slot(book)
    if slot < 0:
        return BOOK_FULL
    fill_slot(book, slot, m)
    enlist(book, slot)
    if book.head[SETTLES] != 0:
        tie_up(book, slot)
    if book.head[PHASE] == CONTINUOUS and is_reached(book, i64(m["side"]), i64(m["trigger"])):
        m["filled"] = m["quantity"] - activate(book, slot, message)
        m["outcome"] = FILLED if m["filled"] == m["quantity"] else CANCELLED
        if find(book, m["id"]) >= 0:
            m["outcome"] = ON_BOOK
    else:
        await_trigger(book, slot)
        m["outcome"] = AWAITING
    return OK


@kernel
def release_stops(book: Book, message: int) -> None:
    """Trade the stop orders whose trigger is reached, and those that they trigger in turn."""
    slot = due_stop(book)
    while slot >= 0:
        activate(book, slot, message)
        slot = due_stop(book)


@inlined
def cancel(book: Book, m: Record) -> int:
    """Take a live order out; `filled` stays 0."""
    slot = find(book, m["id"])
    if slot < 0:
        return UNKNOWN_ORDER
    if book.orders[at(slot)]["account"] != m["account"]:
        return NOT_OWNER
    remove(book, slot)
    m["outcome"] = CANCELLED
    return OK


@kernel
def reduce(book: Book, m: Record) -> int:
    """Take lots off a live order, hidden ones first; it keeps its place."""
    slot = find(book, m["id"])
    if slot < 0:
        return UNKNOWN_ORDER
    order = book.orders[at(slot)]
    if order["account"] != m["account"]:
        return NOT_OWNER
    lots = m["quantity"]
    if lots < 1:
        return BAD_AMOUNT
    total = order["quantity"] + order["hidden"]
    if lots >= total:
        remove(book, slot)
        m["outcome"] = CANCELLED
        return OK
    if book.head[SETTLES] != 0:
        set_free(book, slot, lots)
    veiled = min(lots, order["hidden"])
    order["hidden"] -= veiled
    order["quantity"] -= lots - veiled
    if order["state"] == RESTING:
        side = i64(order["side"])
        level = level_of(book, side, i64(order["price"]))
        place = side * (book.levels.shape[0] >> 1) + level
        book.levels[at(place)]["quantity"] -= lots - veiled
    m["outcome"] = AWAITING if order["state"] == WAITING else ON_BOOK
    return OK


@kernel
def replace(book: Book, m: Record, message: int) -> int:
    """Give a live order a new price and quantity at the back of the queue; it may trade at once."""
    slot = find(book, m["id"])
    if slot < 0:
        return UNKNOWN_ORDER
    code = cannot_replace(book, m, slot)
    if code != OK:
        return code
    order = book.orders[at(slot)]
    if book.head[SETTLES] != 0:
        set_free(book, slot, order["quantity"] + order["hidden"])
    if order["state"] == RESTING:
        unlink(book, slot)
    else:
        unlink_far(book, slot)
    fill_slot(book, slot, m)
    barred = match(book, slot, message) if book.head[PHASE] == CONTINUOUS else 0
    left = order["quantity"]
    m["filled"] = m["quantity"] - left
    if left > 0 and barred == 0 and m["tif"] != IOC:
        m["outcome"] = ON_BOOK
        settle_in(book, slot)
    else:
        m["outcome"] = FILLED if left == 0 else CANCELLED
        discharge(book, slot)
    return OK


@kernel
def change_phase(book: Book, verb: int, message: int) -> int:
    """Halt, close or resume matching; resuming trades what has crossed, at one price."""
    if verb == RESUME:
        uncross(book, message)
        book.head[PHASE] = CONTINUOUS
    else:
        book.head[PHASE] = AUCTION if verb == HALT else CLOSED
    book.head[HALT_WANTED] = 0
    return OK


@spliced
def process(book: Book, m: Record, message: int) -> None:
    """Do what one message asks; writes its code, outcome and filled lots."""
    m["filled"] = 0
    m["outcome"] = NONE
    verb = m["verb"]
    if verb in (LIMIT, MARKET, STOP, STOP_LIMIT):
        code = bad_terms(book, m)
        if code == OK and find(book, m["id"]) >= 0:
            code = DUPLICATE_ORDER
        if code == OK:
            if verb in (LIMIT, MARKET):
                code = enter(book, m, message)
            else:
                code = enter_stop(book, m, message)
    elif verb == CANCEL:
        code = cancel(book, m)
    elif verb == REDUCE:
        code = reduce(book, m)
    elif verb == REPLACE:
        code = replace(book, m, message)
    elif HALT <= verb <= RESUME:
        code = change_phase(book, verb, message)
    else:
        code = UNKNOWN_VERB
    m["code"] = code
    if book.head[N_STOPS] + book.head[N_STOPS + 1] > 0 and book.head[PHASE] == CONTINUOUS:
        release_stops(book, message)


@inlined
def look_ahead(book: Book, messages: Rows, i: int) -> None:
    """Fetch the memory that the next messages will need: half the time of a book beyond caches."""
    n = messages.shape[0]
    prefetch(book.table, home(book, messages[min(i + 8, n - 1)]["id"]))
    slot = i64(book.table[at(home(book, messages[min(i + 4, n - 1)]["id"]))])
    prefetch(book.orders, max(slot, 0))


@kernel
def submit(book: Book, message: Rows) -> None:
    """Do what one message asks, in one world's book."""
    process(book, message[0], ZERO)


@inlined
def is_tight(book: Book) -> bool:
    """Whether the tape may lack room for what one more message causes.

    Every live order can trade once as a maker, and a stop order trigger, trade and be cancelled
    before. How often icebergs come back is not bounded by the number of orders: half of the tape is
    kept for them.
    """
    n = book.head[N_PRINTS]
    due = book.head[N_ORDERS] + 3 * (book.head[N_STOPS] + book.head[N_STOPS + 1])
    return n + max(n, due) >= book.tape.shape[0]


@kernel
def run(book: Book, messages: Rows, start: int) -> int:
    """Do what messages ask, from `start` on, while the tape has room for what they may cause.

    Returns
    -------
    int
        Index of the first message that was not looked at.
    """
    for i in range(start, messages.shape[0]):
        if i > start and is_tight(book):
            return i
        if book.head[N_ORDERS] > CACHED:
            look_ahead(book, messages, i)
        process(book, messages[i], i)
    return messages.shape[0]
