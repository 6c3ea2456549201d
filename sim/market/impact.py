"""Impact of trades on a market of finite depth: displacement, its integral, and their inverses.

A trade is measured by its flow v, in USD at the reference price: positive sells, negative buys. The
imbalance x is the flow that has not decayed yet. With a coefficient a, an exponent d and a largest
displacement D,

    displacement     f(x) = sign(x) min(a |x|^d, D)          mid = reference (1 - f(x))
    impact           F(x) = integral of f from 0 to x        even, convex
    proceeds         v - (F(x + v) - F(x))                   USD before the half spread

The proceeds are differences of a potential, so they depend on where a trade starts and ends and not
on its pieces, and a round trip gains nothing. With decay of x towards 0, as F falls on the way for
nobody's benefit, no strategy gains from its own impact (Alfonsi and Schied 2010, "Optimal trade
execution and absence of price manipulations in limit order book models").

The permanent part shifts the log of the reference price by -kappa per token sold. It is linear in
tokens, the only form without price manipulation (Huberman and Stanzl 2004), and integrated exactly:
the flow of q tokens is the integral of the reference price along the way.
"""

import math
from typing import NamedTuple

import numpy as np

from sim.kernel import kernel


class Book(NamedTuple):
    """One asset's book in one world, as scalars: cheap to pass between kernels."""

    reference: float  # USD price at imbalance 0
    imbalance: float  # USD
    coefficient: float  # a, fraction per USD^exponent
    cap: float  # imbalance at the largest displacement, USD
    kappa: float  # log shift of the reference price per whole token sold
    half_spread: float  # fraction
    exponent: float
    largest: float  # largest displacement, fraction


@kernel
def displacement(x: float, coefficient: float, exponent: float, largest: float) -> float:
    """Fall of the mid below the reference price, as a fraction of it, at an imbalance in USD."""
    size = abs(x)
    if exponent == 0.5:
        size = math.sqrt(size)
    elif exponent != 1.0:
        size = size**exponent
    fall = min(coefficient * size, largest)
    return fall if x >= 0.0 else -fall


@kernel
def impact(book: Book, x: float) -> float:
    """Integral of the displacement from 0 to x, USD."""
    size = abs(x)
    inner = min(size, book.cap)
    fall = displacement(inner, book.coefficient, book.exponent, book.largest)
    return inner * fall / (book.exponent + 1.0) + book.largest * (size - inner)


@kernel
def flow_of(book: Book, quantity: float) -> float:
    """Flow in USD of selling whole tokens (negative: buying)."""
    if book.kappa == 0.0:
        return book.reference * quantity
    return -book.reference * math.expm1(-book.kappa * quantity) / book.kappa


@kernel
def quantity_of(book: Book, flow: float) -> float:
    """Whole tokens whose sale has the given flow; the inverse of `flow_of`."""
    if book.kappa == 0.0:
        return flow / book.reference
    return -math.log1p(-book.kappa * flow / book.reference) / book.kappa


@kernel
def proceeds(book: Book, flow: float) -> float:
    """USD received for a flow before the half spread; negative: USD paid for a purchase."""
    x = book.imbalance
    return flow - (impact(book, x + flow) - impact(book, x))


@kernel
def flow_for_cash(book: Book, cash: float) -> float:
    """Flow u > 0 whose purchase costs `cash`: the root of u + F(x - u) - F(x) = cash.

    The left side is convex and increases with slope between 1 - D and 1 + D: Newton's method ends
    on the right of the root after one step and then falls onto it.
    """
    x = book.imbalance
    start = impact(book, x)
    u = cash
    for _ in range(64):
        excess = u + impact(book, x - u) - start - cash
        move = excess / (1.0 - displacement(x - u, book.coefficient, book.exponent, book.largest))
        u -= move
        if abs(move) <= 4e-16 * (cash + start):
            break
    return u


@kernel
def imbalance_at(book: Book, fall: float) -> float:
    """Imbalance at which the displacement is `fall`; infinite beyond the largest displacement."""
    size = abs(fall)
    if size == 0.0:
        return 0.0
    if size >= book.largest or book.coefficient == 0.0:
        size = np.inf
    elif book.exponent == 0.5:
        size = (size / book.coefficient) ** 2
    else:
        size = (size / book.coefficient) ** (1.0 / book.exponent)
    return size if fall > 0.0 else -size


@kernel
def flow_to_price(book: Book, price: float) -> float:
    """Flow, of either sign, that moves the mid to `price`; infinite where none does.

    Without permanent impact it is closed: invert the displacement. With it, the mid after a flow v
    is (reference - kappa v)(1 - f(x + v)), decreasing in v: Newton's method, kept in a bracket.
    """
    x, kappa, reference, largest = book.imbalance, book.kappa, book.reference, book.largest
    flow = imbalance_at(book, 1.0 - price / reference) - x
    if kappa == 0.0 or flow == 0.0:
        return flow
    low, high = min(flow, 0.0), max(flow, 0.0)
    if high == np.inf:
        high = reference / kappa
        flow = 0.5 * high
    if low == -np.inf:
        low = -price / (kappa * (1.0 - largest))
        flow = 0.5 * low
    for _ in range(100):
        fall = displacement(x + flow, book.coefficient, book.exponent, largest)
        level = reference - kappa * flow
        excess = level * (1.0 - fall) - price
        if excess > 0.0:
            low = flow
        else:
            high = flow
        slope = 0.0
        if abs(fall) < largest and x + flow != 0.0:
            slope = book.exponent * fall / (x + flow)
        move = excess / (kappa * (1.0 - fall) + level * slope)
        if abs(move) <= 1e-13 * abs(flow):
            break
        if not (low < flow + move < high):
            move = 0.5 * (low + high) - flow
        flow += move
    return flow


@kernel
def sale_to_price(book: Book, floor: float) -> float:
    """Whole tokens to sell until the next one brings `floor` USD after the half spread."""
    flow = flow_to_price(book, floor / (1.0 - book.half_spread))
    return quantity_of(book, flow) if flow > 0.0 else 0.0


@kernel
def purchase_to_price(book: Book, ceiling: float) -> float:
    """Whole tokens to buy until the next one costs `ceiling` USD with the half spread."""
    flow = flow_to_price(book, ceiling / (1.0 + book.half_spread))
    return -quantity_of(book, flow) if flow < 0.0 else 0.0
