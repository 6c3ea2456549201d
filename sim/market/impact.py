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

import numpy as np

from sim.kernel import kernel


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
def impact(x: float, coefficient: float, exponent: float, largest: float, cap: float) -> float:
    """Integral of the displacement from 0 to x, USD; `cap` is where it reaches its largest."""
    size = abs(x)
    inner = min(size, cap)
    fall = displacement(inner, coefficient, exponent, largest)
    return inner * fall / (exponent + 1.0) + largest * (size - inner)


@kernel
def flow_of(quantity: float, reference: float, kappa: float) -> float:
    """Flow in USD of selling whole tokens (negative: buying) from a reference price."""
    if kappa == 0.0:
        return reference * quantity
    return -reference * math.expm1(-kappa * quantity) / kappa


@kernel
def quantity_of(flow: float, reference: float, kappa: float) -> float:
    """Whole tokens whose sale has the given flow; the inverse of `flow_of`."""
    if kappa == 0.0:
        return flow / reference
    return -math.log1p(-kappa * flow / reference) / kappa


@kernel
def flow_for_cash(
    cash: float, x: float, coefficient: float, exponent: float, largest: float, cap: float
) -> float:
    """Flow u > 0 whose purchase costs `cash`: the root of u + F(x - u) - F(x) = cash.

    The left side is convex and increases with slope between 1 - D and 1 + D: Newton's method ends
    on the right of the root after one step and then falls onto it.
    """
    start = impact(x, coefficient, exponent, largest, cap)
    u = cash
    for _ in range(64):
        excess = u + impact(x - u, coefficient, exponent, largest, cap) - start - cash
        move = excess / (1.0 - displacement(x - u, coefficient, exponent, largest))
        u -= move
        if abs(move) <= 4e-16 * (cash + start):
            break
    return u


@kernel
def imbalance_at(fall: float, coefficient: float, exponent: float, largest: float) -> float:
    """Imbalance at which the displacement is `fall`; infinite beyond the largest displacement."""
    size = abs(fall)
    if size == 0.0:
        return 0.0
    if size >= largest or coefficient == 0.0:
        size = np.inf
    elif exponent == 0.5:
        size = (size / coefficient) ** 2
    else:
        size = (size / coefficient) ** (1.0 / exponent)
    return size if fall > 0.0 else -size


@kernel
def flow_to_price(
    price: float,
    reference: float,
    kappa: float,
    x: float,
    coefficient: float,
    exponent: float,
    largest: float,
) -> float:
    """Flow, of either sign, that moves the mid to `price`; infinite where none does.

    Without permanent impact it is closed: invert the displacement. With it, the mid after a flow v
    is (reference - kappa v)(1 - f(x + v)), decreasing in v: Newton's method, kept in a bracket.
    """
    flow = imbalance_at(1.0 - price / reference, coefficient, exponent, largest) - x
    if kappa == 0.0 or flow == 0.0:
        return flow
    low, high = min(flow, 0.0), max(flow, 0.0)
    if high == np.inf:
        high = reference / kappa
    if low == -np.inf:
        low = -price / (kappa * (1.0 - largest))
    flow = low if low < 0.0 else high
    if not np.isfinite(flow):
        flow = 0.5 * (low + high)
    for _ in range(100):
        fall = displacement(x + flow, coefficient, exponent, largest)
        level = reference - kappa * flow
        excess = level * (1.0 - fall) - price
        if excess > 0.0:
            low = flow
        else:
            high = flow
        slope = 0.0
        if abs(fall) < largest and x + flow != 0.0:
            slope = exponent * fall / (x + flow)
        move = excess / (kappa * (1.0 - fall) + level * slope)
        if not (low < flow + move < high):
            move = 0.5 * (low + high) - flow
        flow += move
        if abs(move) <= 4e-16 * abs(flow):
            break
    return flow
