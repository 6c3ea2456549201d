"""Bands of crvUSD's lending-liquidating AMM (LLAMMA), with the arithmetic of `AMM.vy`.

Models the grid of bands around a base price, a band's invariant (f + x)(g + y) = p A^2 y0^2 with
x the borrowed coin and y the collateral, exchanges across bands against an oracle whose moves are
limited to 25% and charged by a decaying dynamic fee, deposits into a range of bands, and what a
user's shares would be worth if the price moved slowly through their bands. Leaves out the mining
gauge. Amounts are float64 and every difference of the contract is written as a product, so that
small trades keep their digits.

Invariants: bands under the active one hold only the borrowed coin, bands over it only collateral;
the product of a band never falls in an exchange; shares of all users in a band sum to its total.
(curvefi/curve-stablecoin `AMM.vy`, vyper 0.3.10; LLAMMA whitepaper.)
"""

import math
from typing import NamedTuple

import numpy as np

from sim.kernel import F64, kernel

MOST_BANDS = 50  # that a user or one exchange can span
SKIPPED_BANDS = 1024  # empty ones that an exchange can pass over
FEE_DELAY = 120.0  # seconds over which the fee of an oracle's move decays
MOST_CHANGE = 1.25  # factor by which the oracle may move at once
DEAD_SHARES = 1000.0  # of nobody, in smallest units, so that the first user cannot inflate a share
TIE = 1.0 + 1e-15  # an amount that drains a band to the last digit ends in it
IN, OUT, BAND = 0, 1, 2  # places in `found`


class BandState(NamedTuple):
    """Arrays of one AMM in all worlds; bands are counted from the lowest of the grid."""

    x: F64  # (world, band) borrowed coin
    y: F64  # (world, band) collateral
    shares: F64  # (world, band) of all users
    holders: F64  # (world, band) users with shares
    active: F64  # (world,) band of the price
    lowest: F64  # (world,) bands under it are empty
    highest: F64  # (world,) bands over it are empty
    base: F64  # (world,) price of band 0, interest not included
    rate_mul: F64  # (world,) growth of the base price by interest
    old_oracle: F64  # (world,) price at the last exchange
    old_fee: F64  # (world,) dynamic fee then
    old_clock: F64  # (world,) time then
    fee: F64  # (world,) least fee, fraction of the amount in
    first: F64  # (world, user) lowest band of a user; -1: none
    n_bands: F64  # (world, user) bands of a user
    user_shares: F64  # (world, user, k) of band first + k
    oracle: F64  # (world,) price of the collateral that the oracle tells; not kept, an input
    clock: F64  # (world,) seconds; likewise
    found: F64  # (3,) amount in, amount out, last band; scratch of `exchange`
    worth: F64  # (2, band) per share: x if the price fell, y if it rose slowly; scratch
    powers: F64  # (band + 1,) ((A - 1) / A)^n of each band's number n
    zero: int  # place of band 0
    amplification: float  # A
    wei: float  # smallest unit of both coins inside the AMM, which has 18 decimals


@kernel
def limited_oracle(state: BandState, w: int) -> tuple[float, float]:
    """Oracle price that the AMM goes by, and the fee for its move (`limit_p_o`).

    A move of the price by the ratio r costs 1 - r^3, what arbitrage could take; it decays over
    `FEE_DELAY`.
    """
    price, old = state.oracle[w], state.old_oracle[w]
    left = FEE_DELAY - min(FEE_DELAY, state.clock[w] - state.old_clock[w])
    if not left > 0.0:
        return price, 0.0
    ratio = min(price, old) / max(price, old)
    if ratio < 1.0 / MOST_CHANGE:
        price = old * MOST_CHANGE if price > old else old / MOST_CHANGE
        ratio = 1.0 / MOST_CHANGE
    fee = (1.0 + state.old_fee[w] - ratio * ratio * ratio) * left / FEE_DELAY
    return price, min(fee, 1.0 - 1e-18)


@kernel
def note_oracle(state: BandState, w: int) -> None:
    """Remember the oracle's price and fee, as every exchange does (`_price_oracle_w`)."""
    price, fee = limited_oracle(state, w)
    state.old_oracle[w], state.old_fee[w], state.old_clock[w] = price, fee, state.clock[w]


@kernel
def band_top(state: BandState, w: int, band: int) -> float:
    """Oracle price at which a band is all collateral (`p_oracle_up`)."""
    return float(state.base[w] * state.rate_mul[w] * state.powers[band])


@kernel
def invariant_level(a: float, x: float, y: float, p: float, top: float) -> float:
    """Level y0 of a band: its collateral if the price were oracle and upper edge at once."""
    b = top * (a - 1.0) * x / p + a * p * p / top * y
    if x > 0.0 and y > 0.0:
        return (b + math.sqrt(b * b + 4.0 * a * p * y * x)) / (2.0 * a * p)
    return b / (a * p)


@kernel
def band_fee(a: float, p: float, top: float) -> float:
    """Fee of a band away from the oracle: a quarter of the distance (`get_dynamic_fee`)."""
    low = p * p * p / (top * top)
    high = low * (a / (a - 1.0)) * (a / (a - 1.0))
    if p < low:
        return 0.25 * (low - p) / low
    return 0.25 * (p - high) / p if p > high else 0.0


@kernel
def price_in_band(state: BandState, w: int, band: int) -> float:
    """Price of the AMM if `band` were active (`_get_p`)."""
    a, (p, _), top = state.amplification, limited_oracle(state, w), band_top(state, w, band)
    x, y = state.x[w, band], state.y[w, band]
    low = p * p / top * p / top
    if x == 0.0:
        return low * a / (a - 1.0) if y == 0.0 else low
    if y == 0.0:
        return low * (a / (a - 1.0)) * (a / (a - 1.0))
    level = invariant_level(a, x, y, p, top)
    return float((a * level * p / top * p + x) / ((a - 1.0) * level * top / p + y))


@kernel
def exchange(
    state: BandState, w: int, pump: bool, amount: float, exact_out: bool, apply: bool
) -> None:
    """Trade through the bands (`calc_swap_out`, `calc_swap_in`); `found` says what was traded.

    Parameters
    ----------
    pump : bool
        Whether the borrowed coin is sold for collateral, which raises the price.
    amount : float
        Amount in, fee included, or out with `exact_out`; what the bands cannot take is left over.
    apply : bool
        Whether the bands change; the oracle is noted by `note_oracle` alone.
    """
    a, (p, oracle_fee), found = state.amplification, limited_oracle(state, w), state.found
    band, top = int(state.active[w]), band_top(state, w, int(state.active[w]))
    lowest, highest = int(state.lowest[w]), int(state.highest[w])
    least_fee, left, passed = max(state.fee[w], oracle_fee), amount, -1
    farthest = (a / (a - 1.0)) ** MOST_BANDS
    found[IN], found[OUT] = 0.0, 0.0
    own, other = (state.x, state.y) if pump else (state.y, state.x)
    for i in range(MOST_BANDS + SKIPPED_BANDS):
        x, y = state.x[w, band], state.y[w, band]
        if i > 0 and pump:
            x = 0.0
        elif i > 0:
            y = 0.0
        if x > 0.0 or y > 0.0:
            passed = max(passed, 0)
        given = y if pump else x
        if given > 0.0:
            level = invariant_level(a, x, y, p, top)
            f, g = a * level * p / top * p, (a - 1.0) * level * top / p
            into, outof, offset = (f + x, g + y, g) if pump else (g + y, f + x, f)
            net = 1.0 - min(max(band_fee(a, p, top), least_fee), 1.0 - 1e-18)
            drains = into * given / offset / net  # amount in that takes all of the band
            last = given * TIE >= left if exact_out else drains * TIE >= left
            out, paid = given, drains
            if last and exact_out:
                out = min(left, given)
                paid = into * out / (outof - out) / net
            elif last:
                paid = left
                out = min(outof * (left * net) / (into + left * net), given)
            found[IN] += paid
            found[OUT] += out
            left -= out if exact_out else paid
            if apply:
                own[w, band] = (x if pump else y) + paid
                other[w, band] = given - out
            if last:
                break
        ratio = top / p
        end = band == highest if pump else band == lowest
        far = ratio * farthest < 1.0 if pump else ratio > farthest
        if end or far or passed == MOST_BANDS - 1:
            break
        band = band + 1 if pump else band - 1
        top = top * (a - 1.0) / a if pump else top * a / (a - 1.0)
        passed = passed + 1 if passed >= 0 else passed
    found[BAND] = band
    if apply and found[OUT] > 0.0:
        state.active[w] = band


@kernel
def amount_for_price(state: BandState, w: int, target: float) -> tuple[float, bool]:
    """Amount in, fee included, that brings the AMM to a price, and whether it buys collateral."""
    a, (p, oracle_fee) = state.amplification, limited_oracle(state, w)
    band, total, passed = int(state.active[w]), 0.0, -1
    pump = not target < price_in_band(state, w, band)
    top, widened = band_top(state, w, band), (a / (a - 1.0)) * (a / (a - 1.0))
    low = p * p / top * p / top
    farthest, least_fee = (a / (a - 1.0)) ** MOST_BANDS, max(state.fee[w], oracle_fee)
    for _ in range(MOST_BANDS + SKIPPED_BANDS):
        x, y = state.x[w, band], state.y[w, band]
        inside = low <= target <= low * widened
        if x > 0.0 or y > 0.0:
            passed = max(passed, 0)
            level = invariant_level(a, x, y, p, top)
            f, g = a * level * p / top * p, (a - 1.0) * level * top / p
            into, given, offset = (f + x, y, g) if pump else (g + y, x, f)
            whole = part = into * given / offset
            if inside:  # into * (sqrt of the ratio of prices - 1)
                now = (f + x) / (g + y)
                rise = (target - now) / now if pump else (now - target) / target
                part = min(max(into * rise / (math.sqrt(1.0 + max(rise, -1.0)) + 1.0), 0.0), whole)
            total += part / (1.0 - min(max(band_fee(a, p, top), least_fee), 1.0 - 1e-18))
        end = band == state.highest[w] if pump else band == state.lowest[w]
        far = top / p * farthest < 1.0 if pump else top / p > farthest
        if inside or end or far or passed == MOST_BANDS - 1:
            break
        band = band + 1 if pump else band - 1
        top = top * (a - 1.0) / a if pump else top * a / (a - 1.0)
        low = low * widened if pump else low / widened
        passed = passed + 1 if passed >= 0 else passed
    return total, pump


@kernel
def deposit(
    state: BandState, w: int, user: int, amount: float, first: int, n_bands: int, apply: bool
) -> bool:
    """Spread collateral over bands above the price (`deposit_range`); False where that cannot be.

    The active band slides down over bands without borrowed coin until it is under the range.
    """
    active = int(state.active[w])
    for _ in range(SKIPPED_BANDS + 1):
        if first > active or active < 0:
            break
        if state.x[w, active] > 0.0:
            return False
        active -= 1
    share = amount / n_bands
    if active < 0 or first + n_bands > state.x.shape[1] or not share > 100.0 * state.wei:
        return False
    for k in range(n_bands):
        if state.x[w, first + k] > 0.0:
            return False
    if not apply:
        return True
    state.active[w] = active
    for k in range(n_bands):
        band = first + k
        total = state.shares[w, band]
        minted = (total + DEAD_SHARES * state.wei) * share / (state.y[w, band] + state.wei)
        state.user_shares[w, user, k] = minted
        state.shares[w, band] = total + minted
        state.holders[w, band] += 1.0
        state.y[w, band] += share
    state.first[w, user], state.n_bands[w, user] = first, n_bands
    state.lowest[w] = min(state.lowest[w], first)
    state.highest[w] = max(state.highest[w], first + n_bands - 1)
    return True


@kernel
def withdraw(state: BandState, w: int, user: int, part: float) -> tuple[float, float]:
    """Take a part of a user's liquidity out of all their bands; return borrowed coin, collateral.

    The last user of a band takes what rounding left in it.
    """
    first, n_bands = int(state.first[w, user]), int(state.n_bands[w, user])
    sum_x, sum_y, highest = 0.0, 0.0, first - 1
    whole, lowest = part >= 1.0, state.lowest[w]
    for k in range(n_bands):
        band = first + k
        burnt = state.user_shares[w, user, k] if whole else part * state.user_shares[w, user, k]
        x, y, total = state.x[w, band], state.y[w, band], state.shares[w, band]
        share = burnt / (total + DEAD_SHARES * state.wei)
        dx, dy = min((x + state.wei) * share, x), min((y + state.wei) * share, y)
        state.user_shares[w, user, k] -= burnt
        state.shares[w, band] = total - burnt
        if whole:
            state.holders[w, band] -= 1.0
            if state.holders[w, band] < 0.5:
                dx, dy = x, y
                state.shares[w, band] = 0.0
        state.x[w, band], state.y[w, band] = x - dx, y - dy
        empty = not (x - dx > 0.0 or y - dy > 0.0)
        if band == lowest and empty:
            lowest += 1.0
        if not empty:
            highest = band
        sum_x += dx
        sum_y += dy
    state.lowest[w] = lowest
    if state.highest[w] <= first + n_bands - 1:
        state.highest[w] = highest
    if whole:
        state.first[w, user], state.n_bands[w, user] = -1.0, 0.0
    return sum_x, sum_y


@kernel
def slow_worth(a: float, x: float, y: float, p: float, top: float) -> tuple[float, float]:
    """Worth of a band if the price leaves it slowly: all x on the way down, all y on the way up.

    First the band is traded to the oracle's price, or to its edge, at once; the rest adiabatically
    at the geometric mean of the prices passed (`get_xy_up`).
    """
    bottom, root = top * (a - 1.0) / a, math.sqrt(a / (a - 1.0))
    if x == 0.0 or y == 0.0:
        middle = p * p / bottom * p / top
        if p > top:
            held = y if x == 0.0 else x / middle
            return held * top / root, held
        if p < bottom:
            held = x if y == 0.0 else y * middle
            return held, held * root / top
    level = invariant_level(a, x, y, p, top)
    f, g = a * level * p / top * p, (a - 1.0) * level * top / p
    if p > top:
        held = y + x * (g + y) / f
        return held * top / root, held
    if p < bottom:
        held = x + y * (f + x) / g
        return held, held * root / top
    rest_y, rest_x = a * level * (p - bottom) / p, a * level * p * (top - p) / top
    return rest_x + rest_y * math.sqrt(bottom * p), rest_y + rest_x / math.sqrt(top * p)


@kernel
def value_bands(state: BandState, w: int) -> None:
    """Fill `worth` for every band that may hold anything: what a share gives in each coin."""
    a, (p, _), active = state.amplification, limited_oracle(state, w), int(state.active[w])
    base = state.base[w] * state.rate_mul[w]
    for band in range(int(state.lowest[w]), int(state.highest[w]) + 1):
        x = state.x[w, band] if band <= active else 0.0
        y = state.y[w, band] if band >= active else 0.0
        state.worth[0, band], state.worth[1, band] = 0.0, 0.0
        total = state.shares[w, band]
        if (x > 0.0 or y > 0.0) and total > 0.0:
            down, up = slow_worth(a, x, y, p, base * state.powers[band])
            total += DEAD_SHARES * state.wei
            state.worth[0, band], state.worth[1, band] = down / total, up / total


@kernel
def user_worth(state: BandState, w: int, user: int, rising: int) -> float:
    """Tell what a user would hold, in x (`rising` 0) or y (1); `value_bands` must be up to date."""
    first, total = int(state.first[w, user]), 0.0
    for k in range(int(state.n_bands[w, user])):
        total += state.worth[rising, first + k] * state.user_shares[w, user, k]
    return total


@kernel
def user_holdings(state: BandState, w: int, user: int) -> tuple[float, float]:
    """Borrowed coin and collateral that a user owns in the bands (`get_sum_xy`)."""
    first, sum_x, sum_y = int(state.first[w, user]), 0.0, 0.0
    for k in range(int(state.n_bands[w, user])):
        band = first + k
        part = state.user_shares[w, user, k] / (state.shares[w, band] + DEAD_SHARES * state.wei)
        sum_x += part * state.x[w, band]
        sum_y += part * state.y[w, band]
    return sum_x, sum_y


def new_arrays(n_bands: int, n_users: int, most_bands: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the per-world fields, for an Arena."""
    grid, user, one = (n_bands,), (n_users,), ()
    return {
        "x": grid, "y": grid, "shares": grid, "holders": grid, "active": one, "lowest": one,
        "highest": one, "base": one, "rate_mul": one, "old_oracle": one,
        "old_fee": one, "old_clock": one, "fee": one, "first": user,
        "n_bands": user, "user_shares": (n_users, most_bands),
    }  # fmt: skip


def new_state(fields: dict[str, F64], *, amplification: float, zero: int, wei: float) -> BandState:
    """State over the views of an Arena of `new_arrays`, empty, with the price in band 0."""
    n = fields["x"].shape[1]
    numbers = np.arange(-zero, n + 1 - zero, dtype=np.float64)
    state = BandState(
        **fields,
        oracle=np.zeros(fields["base"].shape),
        clock=np.zeros(fields["base"].shape),
        found=np.zeros(3),
        worth=np.zeros((2, n)),
        powers=((amplification - 1.0) / amplification) ** numbers,
        zero=int(zero),
        amplification=float(amplification),
        wei=float(wei),
    )
    state.rate_mul[:] = 1.0
    state.first[:] = -1.0
    for place in (state.active, state.lowest, state.highest):
        place[:] = zero
    return state
