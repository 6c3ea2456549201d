"""What a member can see and do: the touch, the fundamental, sending and cancelling orders.

A member decides on what it sees at the moment of its wake, and its messages reach the exchange
after its latency: the delay of its market data and of its orders in one number.
"""

from math import exp, sqrt

import numpy as np

from sim.book.ladder import best_price
from sim.book.layout import BEST, MAX_PRICE, Book, Side, TimeInForce
from sim.crowd.heap import push
from sim.crowd.layout import (
    FUNDAMENTAL,
    FUNDAMENTAL_TIME,
    JUMP_RATE,
    JUMP_SIZE,
    LAST_MID,
    NO_SLOT,
    OU_MEAN,
    OU_SIGMA,
    OU_SPEED,
    SECOND,
    SERIAL,
    TARGET,
    TARGET_TIME,
    VARIANCE,
    VARIANCE_SIGMA,
    VARIANCE_SPEED,
    WORLD_DRAWS,
    CrowdState,
    EventKind,
    OwnState,
)
from sim.kernel import i64, inlined, kernel, word
from sim.streams import normal_quantile, philox, unit_interval

BUY, SELL = word(Side.BUY), word(Side.SELL)
GTC, IOC = word(TimeInForce.GOOD_TILL_CANCEL), word(TimeInForce.IMMEDIATE_OR_CANCEL)
POST_ONLY = word(TimeInForce.POST_ONLY)
ORDER, CANCEL = word(EventKind.ORDER), word(EventKind.CANCEL)
FREE, SENT = word(OwnState.FREE), word(OwnState.SENT)
LIVE, LEAVING = word(OwnState.LIVE), word(OwnState.LEAVING)
CROWD_ID = 1 << 62  # ids of members' orders: this, a serial number, and the slot in 24 bits
SLOT_BITS = 24
MOST_SLOTS = 1 << SLOT_BITS
ZERO = word(0)
_WORLD = 0xFFFFFFFF  # index of the world's own draws; no member has it


@kernel
def reference(book: Book, crowd: CrowdState) -> float:
    """Mid price in ticks; of a one-sided or empty book, the last one that a member saw."""
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    if bid > 0 and ask > 0:
        crowd.values[LAST_MID] = 0.5 * (bid + ask)
    return crowd.values[LAST_MID]


@inlined
def touch_lots(book: Book, side: int) -> int:
    """Lots that the best level of a side shows; 0 if there is none in the window."""
    n_levels = book.levels.shape[0] >> 1
    level = book.head[BEST + side]
    return book.levels[side * n_levels + level]["quantity"] if level < n_levels else 0


@kernel
def fundamental(crowd: CrowdState, now: int) -> float:
    """Value in ticks at a time: an exact Ornstein-Uhlenbeck step since it was last looked at.

    Its variance may have a life of its own: the logarithm follows another such process, which makes
    volatile days and hours. Jumps come at a Poisson rate. With no speed, volatility or jumps the
    value is what was set from outside, on a straight line towards the target until its time.
    """
    v = crowd.values
    gap = (now - v[FUNDAMENTAL_TIME]) / SECOND
    if gap <= 0.0:
        return v[FUNDAMENTAL]
    speed, sigma = v[OU_SPEED], v[OU_SIGMA]
    if sigma == 0.0 and speed == 0.0:
        left = (v[TARGET_TIME] - v[FUNDAMENTAL_TIME]) / SECOND
        if left <= gap:
            v[FUNDAMENTAL] = v[TARGET]
        else:
            v[FUNDAMENTAL] += (v[TARGET] - v[FUNDAMENTAL]) * gap / left
        v[FUNDAMENTAL_TIME] = now
        return v[FUNDAMENTAL]
    step = crowd.head[WORLD_DRAWS]
    crowd.head[WORLD_DRAWS] = step + 1
    a, b, c, d = philox(
        np.uint64(crowd.world_ids[0]), np.uint64(step), np.uint64(_WORLD), np.uint64(0),
        crowd.key[0], crowd.key[1],
    )  # fmt: skip
    z = normal_quantile(unit_interval(a, b))
    if v[VARIANCE_SIGMA] > 0.0:
        keep = exp(-v[VARIANCE_SPEED] * gap)
        shock = normal_quantile(unit_interval(c, d))
        v[VARIANCE] = v[VARIANCE] * keep + v[VARIANCE_SIGMA] * sqrt(1.0 - keep * keep) * shock
        sigma *= exp(0.5 * v[VARIANCE] - 0.25 * v[VARIANCE_SIGMA] * v[VARIANCE_SIGMA])
    decay = exp(-speed * gap)
    spread = sqrt((1.0 - decay * decay) / (2.0 * speed)) if speed > 0.0 else sqrt(gap)
    v[FUNDAMENTAL] = v[OU_MEAN] + (v[FUNDAMENTAL] - v[OU_MEAN]) * decay + sigma * spread * z
    if v[JUMP_RATE] > 0.0:
        a, b, c, d = philox(
            np.uint64(crowd.world_ids[0]), np.uint64(step), np.uint64(_WORLD), np.uint64(1),
            crowd.key[0], crowd.key[1],
        )  # fmt: skip
        if unit_interval(a, b) < 1.0 - exp(-v[JUMP_RATE] * gap):
            v[FUNDAMENTAL] += v[JUMP_SIZE] * normal_quantile(unit_interval(c, d))
    v[FUNDAMENTAL] = max(v[FUNDAMENTAL], 1.0)
    v[FUNDAMENTAL_TIME] = now
    return v[FUNDAMENTAL]


@kernel
def send(crowd: CrowdState, i: int, now: int, side: int, price: int, lots: int, tif: int) -> int:
    """Send an order, which reaches the exchange after the member's latency; price 0: market.

    Returns
    -------
    int
        Its slot; -1 if the member has as many orders as it may have, or the order makes no sense.
    """
    member = crowd.members[i]
    if member["open"] >= member["slots"]:
        crowd.head[NO_SLOT] += 1
        return -1
    if lots < 1 or price < 0 or price > MAX_PRICE:
        return -1
    place = member["first"] + member["open"]
    slot = i64(crowd.own[place]["link"])
    member["open"] += 1
    order = crowd.own[slot]
    crowd.head[SERIAL] += 1
    order["id"] = CROWD_ID + (crowd.head[SERIAL] << SLOT_BITS) + slot
    order["lots"] = lots
    order["price"] = price
    order["side"] = side
    order["tif"] = tif
    order["state"] = SENT
    push(crowd, now + member["latency"], ORDER, slot, ZERO)
    return slot


@kernel
def free_own(crowd: CrowdState, slot: int) -> None:
    """Forget an order that is complete."""
    order = crowd.own[slot]
    member = crowd.members[order["member"]]
    last = member["first"] + member["open"] - 1
    place = i64(order["place"])
    other = i64(crowd.own[last]["link"])
    crowd.own[place]["link"] = other
    crowd.own[other]["place"] = place
    crowd.own[last]["link"] = slot
    order["place"] = last
    order["state"] = FREE
    member["open"] -= 1


@kernel
def call_off(crowd: CrowdState, slot: int, now: int) -> None:
    """Ask for the cancellation of an order, unless that was done."""
    order = crowd.own[slot]
    if order["state"] != LEAVING and order["state"] != FREE and order["price"] != 0:
        order["state"] = LEAVING
        push(crowd, now + crowd.members[order["member"]]["latency"], CANCEL, slot, order["id"])


@kernel
def call_off_all(crowd: CrowdState, i: int, now: int) -> None:
    """Ask for the cancellation of all of a member's orders."""
    member = crowd.members[i]
    for k in range(member["first"], member["first"] + member["open"]):
        call_off(crowd, i64(crowd.own[k]["link"]), now)


@inlined
def ticks(price: float) -> int:
    """Nearest whole tick, at least 1."""
    return i64(min(max(price + 0.5, 1.0), 2147483646.0))
