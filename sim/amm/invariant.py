"""The StableSwap invariant in float64, without differences of balances.

With n coins of balances x, S their sum, P their product and A the amplification, D solves
A n S + D = A n D + D^(n+1) / (n^n P). Seen from one balance y, with the others fixed, that is
y^2 + (b - D) y = c, b = S' + D / (A n), c = D^(n+1) / (n^n P' A n).

The contracts find a new y by Newton's method and pay the difference of two balances, which in
float64 leaves no digits of a small trade. Here two such equations, before and after a change, are
subtracted on paper: the payment is itself the root of a quadratic whose terms are all positive
(`payment`), and the growth of D is the root of an equation in the growth (`growth`). Both keep 15
digits for trades of any size.

Sources: Egorov, StableSwap (2019); Curve StableSwap-NG `CurveStableSwapNGMath`.
"""

import math

from sim.kernel import F64, kernel

MAX_COINS = 8
CLOSE = 1e-10  # a Newton step this small, relative, leaves an error below the rounding


@kernel
def invariant(x: F64, amplification: float) -> float:
    """D of balances x, shape (coin,), in the unit of x; 0 for an empty pool."""
    n = x.shape[0]
    total = 0.0
    for k in range(n):
        total += x[k]
    if not total > 0.0:
        return 0.0
    leverage, d = amplification * n, total
    for _ in range(255):
        product = d
        for k in range(n):
            product *= d / (x[k] * n)
        before = d
        d *= (leverage * total + product * n) / ((leverage - 1.0) * d + (n + 1.0) * product)
        if abs(d - before) <= CLOSE * d:
            break
    return d


@kernel
def constant_term(x: F64, i: int, amplification: float, d: float) -> float:
    """Term c of the quadratic of balance i, which balance i itself does not enter."""
    n = x.shape[0]
    c: float = d * d / (amplification * n * n)
    for k in range(n):
        if k != i:
            c *= d / (x[k] * n)
    return c


@kernel
def balance(x: F64, i: int, amplification: float, d: float) -> float:
    """Balance i at which the invariant is `d` while the others stay (`get_y_D`)."""
    n = x.shape[0]
    slope: float = d / (amplification * n) - d
    for k in range(n):
        if k != i:
            slope += x[k]
    c = constant_term(x, i, amplification, d)
    root = math.sqrt(slope * slope + 4.0 * c)
    return 2.0 * c / (slope + root) if slope > 0.0 else 0.5 * (root - slope)


@kernel
def payment(y: float, c: float, shift: float, fall: float) -> float:
    """By how much balance y falls when b - D rises by `shift` and c falls by `fall`.

    With y^2 + (b - D) y = c and b - D = c / y - y, the fall p of y solves
    p^2 - (y + c / y + shift) p + shift y + fall = 0.
    """
    slope = c / y + shift
    gap = y - slope
    return 2.0 * (shift * y + fall) / (y + slope + math.sqrt(gap * gap + 4.0 * (c - fall)))


@kernel
def exchange(x: F64, i: int, j: int, paid: float, amplification: float, d: float) -> float:
    """Find what balance j pays for `paid` into balance i, before fees."""
    c = constant_term(x, j, amplification, d)
    return payment(x[j], c, paid, c * paid / (x[i] + paid))


@kernel
def growth(x: F64, change: F64, amplification: float, d: float) -> float:
    """Relative growth of D when the balances change by `change`, shape (coin,).

    With D (1 + e) and the product grown by the factor 1 + v, subtracting the invariant leaves
    (A n - 1) e + K ((1 + e)^(n+1) - 1 - v) / (1 + v) = A n s / D, K = D^n / (n^n P), s the sum of
    changes; powers less 1 are built up so that they lose no digits.
    """
    n = x.shape[0]
    total, v, level = 0.0, 0.0, 1.0
    for k in range(n):
        share = change[k] / x[k]
        v += share + v * share
        level *= d / (x[k] * n)
        total += change[k]
    leverage = amplification * n
    level /= 1.0 + v
    wanted = leverage * total / d + level * v
    e: float = wanted / (leverage - 1.0 + level * (n + 1.0))
    for _ in range(255):
        e = max(e, -1.0 + 1e-9)
        power, rise = 1.0, 0.0
        for _ in range(n):
            power *= 1.0 + e
            rise += e + rise * e
        rise += e + rise * e
        gap = (leverage - 1.0) * e + level * rise - wanted
        step = gap / (leverage - 1.0 + level * (n + 1.0) * power)
        e -= step
        if abs(step) <= CLOSE * abs(e):
            break
    return e


@kernel
def withdrawal(x: F64, cut: F64, i: int, part: float, amplification: float, d: float) -> float:
    """By how much balance i falls when D falls to D (1 - part) and each other one k by cut[k]."""
    n = x.shape[0]
    c = constant_term(x, i, amplification, d)
    kept, shift = 0.0, part * d * (1.0 - 1.0 / (amplification * n))  # kept: a factor less 1
    for _ in range(n + 1):
        kept += -part - kept * part
    for k in range(n):
        if k != i:
            shift -= cut[k]
            share = cut[k] / x[k]
            kept = (kept + share) / (1.0 - share)
    return payment(x[i], c, shift, -c * kept)


@kernel
def invariant_weight(x: F64, d: float) -> float:
    """K = D^(n+1) / (n^n P): what ties the balances together beside their sum."""
    weight = d
    for k in range(x.shape[0]):
        weight *= d / (x[k] * x.shape[0])
    return weight


@kernel
def dynamic_fee(a: float, b: float, fee: float, offpeg: float) -> float:
    """Fee that rises to `offpeg` times itself as two balances part (`_dynamic_fee`)."""
    if offpeg <= 1.0:
        return fee
    total = a + b
    return offpeg * fee / ((offpeg - 1.0) * 4.0 * a * b / (total * total) + 1.0)
