"""An order book in dicts and lists: slow, obvious, and written from the rules alone.

The rules are those that `sim/book` states in its docstrings. Nothing here knows of slots, windows
of prices, bitmaps, hash tables or heaps. Money is Python's own integers.
"""

from bisect import bisect_left, insort

from sim.actions import Reject
from sim.book.layout import (
    FEE_UNIT,
    MAX_PRICE,
    MAX_QUANTITY,
    MAX_VALUE,
    OrderVerb,
    Outcome,
    Phase,
    PrintKind,
    SelfTrade,
    TimeInForce,
)

BUY, SELL = 0, 1
# plain integers: an IntEnum's comparison takes ten times as long
LIMIT, MARKET, STOP, STOP_LIMIT, CANCEL, REDUCE, REPLACE, HALT, CLOSE, RESUME = map(int, OrderVerb)
GTC, IOC, FOK, POST_ONLY = map(int, TimeInForce)
ALLOW, CANCEL_RESTING, CANCEL_INCOMING = map(int, SelfTrade)
NONE, RESTING, FILLED, CANCELLED, WAITING = map(int, Outcome)
CONTINUOUS, AUCTION, CLOSED = map(int, Phase)
TRADE, SELF_TRADE_CANCEL, STOP_TRIGGERED, AUCTION_TRADE, STOP_CANCELLED = map(int, PrintKind)
R = {reject.name: int(reject) for reject in Reject}
OK = R["OK"]


class Order:
    """A live order, or one on its way in."""

    __slots__ = (
        "account", "display", "held", "hidden", "id", "price", "shown", "side", "stamp", "stp",
        "tif", "trigger", "waits",
    )  # fmt: skip

    @property
    def total(self):
        return self.shown + self.hidden


class ReferenceBook:
    def __init__(self, capacity=10**9, n_accounts=0, taker_fee=0, maker_fee=0, bands=None):
        self.capacity = capacity
        self.keeps_accounts = n_accounts > 0
        self.cash = [0] * n_accounts  # free
        self.lots = [0] * n_accounts
        self.cash_held = [0] * n_accounts
        self.lots_held = [0] * n_accounts
        self.taker_fee, self.maker_fee = taker_fee, maker_fee  # in FEE_UNIT
        self.low, self.high = bands or (1, MAX_PRICE)
        self.queues = ({}, {})  # side -> price -> id -> order, oldest first
        self.prices = ([], [])  # side -> prices with orders, best last
        self.stops = ([], [])  # side -> (nearness, stamp, order), nearest first
        self.live = {}
        self.tape = []
        self.phase = CONTINUOUS
        self.last = self.fees = self.volume = self.stamp = 0
        self.halt_wanted = False

    # Money

    def fee(self, value, rate):
        """Rounded towards zero."""
        return value * rate // FEE_UNIT if rate >= 0 else -(value * -rate // FEE_UNIT)

    def need(self, order, lots):
        """What `lots` of an order tie up: cash of a buyer, lots of a seller."""
        if order.side == SELL:
            return lots
        value = order.price * lots
        return value + self.fee(value, max(self.taker_fee, self.maker_fee))

    def hold(self, order, lots):
        """Reserve what `lots` of an order need, in place of what it held before."""
        if not self.keeps_accounts:
            return
        change = self.need(order, lots) - order.held
        order.held += change
        free, held = (
            (self.cash, self.cash_held) if order.side == BUY else (self.lots, self.lots_held)
        )
        free[order.account] -= change
        held[order.account] += change

    def pay(self, buyer, seller, price, lots, buyer_rate, seller_rate):
        if not self.keeps_accounts:
            return
        value = price * lots
        for account, sign, rate in ((buyer, 1, buyer_rate), (seller, -1, seller_rate)):
            fee = self.fee(value, rate)
            self.lots[account] += sign * lots
            self.cash[account] -= sign * value + fee
            self.fees += fee

    def payable(self, account, price, lots):
        """Lots that a market purchase can pay with free cash, its fee included."""
        cash = self.cash[account]
        most = min(lots, cash * FEE_UNIT // (price * (FEE_UNIT + self.taker_fee)) + 1)
        while most and most * price + self.fee(most * price, self.taker_fee) > cash:
            most -= 1
        return most

    # Queues

    def key(self, side, price):
        return price if side == BUY else -price

    def best(self, side):
        keys = self.prices[side]
        return abs(keys[-1]) if keys else None

    def queue_up(self, order):
        queues = self.queues[order.side]
        if order.price not in queues:
            queues[order.price] = {}
            insort(self.prices[order.side], self.key(order.side, order.price))
        queues[order.price][order.id] = order

    def unqueue(self, order):
        queue = self.queues[order.side][order.price]
        del queue[order.id]
        if not queue:
            del self.queues[order.side][order.price]
            keys = self.prices[order.side]
            del keys[bisect_left(keys, self.key(order.side, order.price))]

    def leave(self, order):
        """Take an order out of wherever it is and free what it holds."""
        if order.waits:
            waiting = self.stops[order.side]
            del waiting[bisect_left(waiting, self.nearness(order))]
        else:
            self.unqueue(order)
        self.hold(order, 0)
        del self.live[order.id]

    def nearness(self, order):
        return (order.trigger if order.side == BUY else -order.trigger), order.stamp

    def rest(self, order):
        self.live[order.id] = order
        self.hold(order, order.total)
        if order.display and order.shown > order.display:
            order.shown, order.hidden = order.display, order.shown - order.display
        self.queue_up(order)

    def fill(self, order, lots):
        """Take lots off a resting order; its next part goes to the back; True where it is done."""
        if order.total == lots:
            self.leave(order)
            order.shown = order.hidden = 0
            return True
        self.hold(order, order.total - lots)
        order.shown -= lots
        if order.shown == 0:
            order.shown = min(order.hidden, order.display)
            order.hidden -= order.shown
            queue = self.queues[order.side][order.price]
            queue[order.id] = queue.pop(order.id)
        return False

    # Trading

    def tell(self, kind, message, maker, taker, lots, price, last=0):
        self.tape.append(
            (message, maker.id, taker.id, lots, price, maker.account, taker.account, kind,
             taker.side, last)
        )  # fmt: skip

    def in_reach(self, side, price):
        """Best opposite price, where an order of that side and limit (0: any) may trade at it."""
        best = self.best(1 - side)
        if best is None:
            return None
        if side == BUY:
            return best if best <= min(price or MAX_PRICE, self.high) else None
        return best if best >= max(price, self.low) else None

    def match(self, order, message):
        """Trade an order; True where what is left may not go on, whatever its time in force."""
        other = 1 - order.side
        while order.shown:
            price = self.in_reach(order.side, order.price)
            if price is None:
                if order.price == 0 and self.prices[other]:
                    self.halt_wanted = True
                return False
            maker = next(iter(self.queues[other][price].values()))
            if order.stp != ALLOW and maker.account == order.account >= 0:
                if order.stp == CANCEL_INCOMING:
                    return True
                self.tell(SELF_TRADE_CANCEL, message, maker, order, maker.total, price)
                self.leave(maker)
                continue
            lots = min(order.shown, maker.shown)
            if self.keeps_accounts and order.side == BUY and order.price == 0:
                lots = self.payable(order.account, price, lots)
                if lots == 0:
                    return True
            done = self.fill(maker, lots)
            self.tell(TRADE, message, maker, order, lots, price, int(done))
            if order.side == BUY:
                self.pay(order.account, maker.account, price, lots, self.taker_fee, self.maker_fee)
            else:
                self.pay(maker.account, order.account, price, lots, self.maker_fee, self.taker_fee)
            order.shown -= lots
            self.last = price
            self.volume += lots
        return False

    def fillable(self, order):
        """Whether a fill-or-kill order would trade whole, by playing it through.

        A market purchase must be payable, counting the fee on what it buys at each price.
        """
        left, cost = order.shown, 0
        for key in reversed(self.prices[1 - order.side]):
            price = abs(key)
            if order.side == BUY and price > min(order.price or MAX_PRICE, self.high):
                return False
            if order.side == SELL and price < max(order.price, self.low):
                return False
            before = left
            queue = [[m.shown, m.hidden, m] for m in self.queues[1 - order.side][price].values()]
            while queue and left:
                part = queue.pop(0)
                shown, hidden, maker = part
                if order.stp != ALLOW and maker.account == order.account >= 0:
                    if order.stp == CANCEL_INCOMING:
                        return False
                    continue
                left -= min(left, shown)
                if hidden:
                    more = min(hidden, maker.display)
                    queue.append([more, hidden - more, maker])
            value = price * (before - left)
            cost += value + self.fee(value, self.taker_fee)
            if left == 0:
                return not (
                    self.keeps_accounts and order.side == BUY and order.price == 0
                    and cost > self.cash[order.account]
                )  # fmt: skip
        return False

    # Why not

    def bad_terms(self, verb, order):
        if not 1 <= order.shown <= MAX_QUANTITY:
            return R["BAD_AMOUNT"]
        if order.side not in (0, 1) or not 0 <= order.tif <= 3 or not 0 <= order.stp <= 2:
            return R["BAD_TERMS"]
        if verb in (MARKET, STOP):
            if order.price != 0:
                return R["BAD_PRICE"]
            if order.display or order.tif == POST_ONLY:
                return R["BAD_TERMS"]
        elif not 1 <= order.price <= MAX_PRICE:
            return R["BAD_PRICE"]
        if not 0 <= order.display <= order.shown:
            return R["BAD_TERMS"]
        if verb in (STOP, STOP_LIMIT) and not 1 <= order.trigger <= MAX_PRICE:
            return R["BAD_PRICE"]
        if self.keeps_accounts:
            if not 0 <= order.account < len(self.cash):
                return R["BAD_TARGET"]
            if order.shown * max(order.price, 1) >= MAX_VALUE:
                return R["BAD_AMOUNT"]
        return R["BAD_TARGET"] if order.id < 0 else OK

    def bad_time(self, verb, order):
        if self.phase == CLOSED:
            return R["HALTED"]
        if order.price and not self.low <= order.price <= self.high:
            return R["OUT_OF_BAND"]
        if self.phase == AUCTION and (verb == MARKET or order.tif in (IOC, FOK)):
            return R["HALTED"]
        return OK

    def bad_touch(self, order):
        if self.phase != CONTINUOUS:
            return OK
        if order.tif == POST_ONLY and self.in_reach(order.side, order.price) is not None:
            return R["WOULD_TRADE"]
        if order.tif == FOK and not self.fillable(order):
            return R["NOT_FILLABLE"]
        return OK

    def cannot_pay(self, order, freed=0):
        if not self.keeps_accounts:
            return False
        free = self.cash if order.side == BUY else self.lots
        return free[order.account] + freed < self.need(order, order.shown)

    # Messages

    def do(self, index, message):
        """Do one message, a tuple of MESSAGE's fields; return code, outcome and filled lots."""
        verb = message[8]
        if LIMIT <= verb <= STOP_LIMIT:
            answer = self.enter(index, verb, self.order_of(message))
        elif verb in (CANCEL, REDUCE, REPLACE):
            answer = self.amend(index, verb, message)
        elif HALT <= verb <= RESUME:
            if verb == RESUME:
                self.uncross(index)
            self.phase = {HALT: AUCTION, CLOSE: CLOSED, RESUME: CONTINUOUS}[verb]
            self.halt_wanted = False
            answer = OK, NONE, 0
        else:
            answer = R["UNKNOWN_VERB"], NONE, 0
        if self.phase == CONTINUOUS:
            self.release_stops(index)
        return answer

    def order_of(self, message):
        order = Order()
        order.id, order.shown, order.display, _, order.price, order.trigger, order.account = (
            message[:7]
        )
        order.side, order.tif, order.stp = message[9:12]
        order.hidden, order.held, order.waits = 0, 0, False
        return order

    def enter(self, index, verb, order):
        code = self.bad_terms(verb, order)
        if code == OK and order.id in self.live:
            code = R["DUPLICATE_ORDER"]
        if code == OK:
            code = self.bad_time(verb, order)
        stop = verb in (STOP, STOP_LIMIT)
        if code == OK and not stop:
            code = self.bad_touch(order)
        # a purchase at any price pays as it trades
        if code == OK and self.cannot_pay(order):
            code = R["INSUFFICIENT_BALANCE"]
        may_rest = order.tif in (GTC, POST_ONLY) and order.price
        if code == OK and (stop or may_rest) and len(self.live) >= self.capacity:
            code = R["BOOK_FULL"]
        if code != OK:
            return code, NONE, 0
        self.stamp += 1
        order.stamp = self.stamp
        if stop:
            return self.enter_stop(index, order)
        asked = order.shown
        barred = self.match(order, index) if self.phase == CONTINUOUS else False
        filled = asked - order.shown
        if order.shown == 0:
            return OK, FILLED, filled
        if barred or not may_rest:
            return OK, CANCELLED, filled
        self.rest(order)
        return OK, RESTING, filled

    def enter_stop(self, index, order):
        asked = order.shown
        self.live[order.id] = order
        self.hold(order, asked)
        if self.phase == CONTINUOUS and self.is_due(order):
            self.activate(index, order)
            filled = asked - order.total
            if order.id in self.live:
                return OK, RESTING, filled
            return OK, (FILLED if filled == asked else CANCELLED), filled
        order.waits = True
        insort(self.stops[order.side], (*self.nearness(order), order))
        return OK, WAITING, 0

    def is_due(self, order):
        if self.last == 0:
            return False
        return self.last >= order.trigger if order.side == BUY else self.last <= order.trigger

    def release_stops(self, index):
        """Nearest first, purchases before sales, until none is due."""
        stops = self.stops
        while True:
            for side in (BUY, SELL):
                if stops[side] and self.is_due(stops[side][0][2]):
                    order = stops[side].pop(0)[2]
                    order.waits = False
                    self.tell(STOP_TRIGGERED, index, order, order, order.shown, order.price)
                    self.activate(index, order)
                    break
            else:
                return

    def activate(self, index, order):
        self.hold(order, 0)
        dead = (order.tif == FOK and not self.fillable(order)) or (
            order.tif == POST_ONLY and self.in_reach(order.side, order.price) is not None
        )
        if order.price and not self.low <= order.price <= self.high:
            dead = True
        barred = dead or self.match(order, index)
        if order.shown == 0:
            del self.live[order.id]
        elif barred or order.price == 0 or order.tif in (IOC, FOK):
            self.tell(STOP_CANCELLED, index, order, order, order.shown, order.price)
            del self.live[order.id]
        else:
            self.rest(order)

    def amend(self, index, verb, message):
        order = self.live.get(message[0])
        if order is None:
            return R["UNKNOWN_ORDER"], NONE, 0
        if order.account != message[6]:
            return R["NOT_OWNER"], NONE, 0
        if verb == CANCEL:
            self.leave(order)
            return OK, CANCELLED, 0
        if verb == REDUCE:
            return self.reduce(order, message[1])
        return self.replace(index, order, message)

    def reduce(self, order, lots):
        if lots < 1:
            return R["BAD_AMOUNT"], NONE, 0
        if lots >= order.total:
            self.leave(order)
            return OK, CANCELLED, 0
        self.hold(order, order.total - lots)
        hidden = min(lots, order.hidden)
        order.hidden -= hidden
        order.shown -= lots - hidden
        return OK, (WAITING if order.waits else RESTING), 0

    def replace(self, index, old, message):
        if old.waits:
            return R["BAD_TERMS"], NONE, 0
        order = self.order_of(message)
        order.side = old.side
        code = (
            self.bad_terms(REPLACE, order)
            or self.bad_time(REPLACE, order)
            or self.bad_touch(order)
            or (R["INSUFFICIENT_BALANCE"] if self.cannot_pay(order, old.held) else OK)
        )
        if code != OK:
            return code, NONE, 0
        self.leave(old)
        self.stamp += 1
        order.stamp = self.stamp
        asked = order.shown
        barred = self.match(order, index) if self.phase == CONTINUOUS else False
        filled = asked - order.shown
        if order.shown == 0:
            return OK, FILLED, filled
        if barred or order.tif == IOC:
            return OK, CANCELLED, filled
        self.rest(order)
        return OK, RESTING, filled

    # Auction

    def clearing(self):
        """Price and lots: most lots, then least left over, then nearest to the last price."""
        bid, ask = self.best(BUY), self.best(SELL)
        if bid is None or ask is None or bid < ask:
            return 0, 0
        at = [
            {price: sum(order.total for order in queue.values()) for price, queue in side.items()}
            for side in self.queues
        ]
        tried = []
        demand = sum(lots for price, lots in at[BUY].items() if price >= ask)
        supply = 0
        for price in range(ask, bid + 1):
            supply += at[SELL].get(price, 0)
            tried.append((-min(demand, supply), abs(demand - supply), price))
            demand -= at[BUY].get(price, 0)
        lots, gap, _ = min(tried)
        equal = [price for *terms, price in tried if terms == [lots, gap]]
        if self.last:
            return min(equal, key=lambda price: abs(price - self.last)), -lots
        return (equal[0] + equal[-1]) // 2, -lots

    def uncross(self, index):
        price, left = self.clearing()
        rate = (self.taker_fee + self.maker_fee) // 2
        if left:
            self.last = price
        while left:
            bid = next(iter(self.queues[BUY][self.best(BUY)].values()))
            ask = next(iter(self.queues[SELL][self.best(SELL)].values()))
            lots = min(bid.shown, ask.shown, left)
            done = self.fill(bid, lots)
            self.fill(ask, lots)
            self.tell(AUCTION_TRADE, index, bid, ask, lots, price, int(done))
            self.pay(bid.account, ask.account, price, lots, rate, rate)
            left -= lots
            self.volume += lots

    # Views

    def queue(self, side):
        """Orders of a side: (id, price, shown, hidden, account), in the order of their trading."""
        return [
            (order.id, order.price, order.shown, order.hidden, order.account)
            for key in reversed(self.prices[side])
            for order in self.queues[side][abs(key)].values()
        ]

    def waiting(self, side):
        return [
            (order.id, order.price, order.shown, order.trigger, order.account)
            for *_, order in self.stops[side]
        ]
