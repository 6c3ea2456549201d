"""The stability pool: deposits that pay liquidated debt and get the collateral.

Nobody's deposit is touched when debt is offset: a product P shrinks by the share that was used, and
a sum S grows by the collateral per unit (`StabilityPool.sol` of 2025: P starts at 1 and never
reaches 0, because a minimum stays in the pool; there are scales, and no epochs). Between changes a
deposit d is worth d × P / P_t and has gained d × (S - S_t) / P_t, across at most one change of
scale. S grows fast while the pool is small, and a deposit made later needs a difference of large
sums: the contract has 36 decimals for it, here it is a pair of float64 (Knuth's two-sum).
"""

import numpy as np

from sim.actions import Reject
from sim.kernel import kernel
from sim.ledger import burn, transfer
from sim.lending.liquity.state import N_SCALES, LiquityState, Money

OK = int(Reject.OK)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
SCALE = 1e9
SMALLEST = 1e-9  # of P, before the scale changes


@kernel
def compounded(state: LiquityState, w: int, account: int) -> float:
    """Tell what a deposit is worth now, stable tokens."""
    deposit, system = state.deposits[w, account], state.system[w]
    initial = deposit["initial"]
    if not initial > 0.0:
        return 0.0
    scales = system["scale"] - deposit["scale"]
    if scales > 1.0:
        return 0.0
    worth: float = initial * (system["P"] / deposit["P"])
    if scales == 1.0:
        worth /= SCALE
    return worth if worth >= initial / SCALE else 0.0


@kernel
def gain(state: LiquityState, w: int, account: int) -> float:
    """Collateral that a deposit has earned and not been paid, tokens."""
    deposit = state.deposits[w, account]
    initial = deposit["initial"]
    if not initial > 0.0:
        return 0.0
    scale = int(deposit["scale"])
    earned = state.sums[w, scale, 0] - deposit["S"] + (state.sums[w, scale, 1] - deposit["S_low"])
    if scale + 1 < N_SCALES:
        earned += state.sums[w, scale + 1, 0] / SCALE
    whole: float = initial * earned / deposit["P"]
    return whole


@kernel
def most_to_offset(state: LiquityState, w: int) -> float:
    """Debt that the pool can pay, stable tokens: all but the minimum that stays."""
    system = state.system[w]
    room: float = system["deposits"] - min(system["min_in_pool"], system["deposits"])
    return room if system["scale"] < N_SCALES - 2 else 0.0


@kernel
def _add(state: LiquityState, w: int, scale: int, part: float) -> None:
    """Add to a sum of two parts, without losing what is small beside it."""
    high = state.sums[w, scale, 0]
    total = high + part
    back = total - high
    state.sums[w, scale, 1] += (high - (total - back)) + (part - back)
    state.sums[w, scale, 0] = total


@kernel
def offset(state: LiquityState, money: Money, w: int, debt: float, coll: float) -> None:
    """Pay debt with deposits, burning them, and hand the collateral to the depositors."""
    system = state.system[w]
    total = system["deposits"]
    if not (debt > 0.0 and total > 0.0):
        return
    scale = int(system["scale"])
    _add(state, w, scale, coll / total * system["P"])
    left = max(total - debt, system["min_in_pool"])
    product = system["P"] * (left / total)
    while product < SMALLEST:
        product *= SCALE
        system["scale"] += 1.0
    system["P"] = product
    system["deposits"] = left
    system["pool_coll"] += coll
    burn(money.balances, money.burnt, w, state.account, state.assets[1], total - left)


@kernel
def _pay_gain(state: LiquityState, money: Money, w: int, account: int) -> float:
    """Pay a depositor the collateral earned so far."""
    system = state.system[w]
    earned = min(gain(state, w, account), float(system["pool_coll"]))
    if earned > 0.0:
        transfer(money.balances, w, state.account, account, state.assets[0], earned)
        system["pool_coll"] -= earned
        return earned
    return 0.0


@kernel
def _record(state: LiquityState, w: int, account: int, worth: float) -> None:
    """Make a fresh deposit of a worth, at the present P and S."""
    deposit, system = state.deposits[w, account], state.system[w]
    deposit["initial"] = worth
    deposit["P"] = system["P"]
    deposit["scale"] = system["scale"]
    deposit["S"] = state.sums[w, int(system["scale"]), 0]
    deposit["S_low"] = state.sums[w, int(system["scale"]), 1]


@kernel
def provide(
    state: LiquityState, money: Money, w: int, account: int, amount: float, limit: float
) -> tuple[int, float, float]:
    """Add to a deposit; code, stable tokens added, collateral paid out."""
    if np.isinf(amount):
        amount = money.balances[w, account, state.assets[1]]
        if not amount > 0.0:
            return INSUFFICIENT_BALANCE, 0.0, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0, 0.0
    worth = compounded(state, w, account)
    if not transfer(money.balances, w, account, state.account, state.assets[1], amount):
        return INSUFFICIENT_BALANCE, 0.0, 0.0
    earned = _pay_gain(state, money, w, account)
    state.system[w]["deposits"] += amount
    _record(state, w, account, worth + amount)
    return OK, amount, earned


@kernel
def withdraw(
    state: LiquityState, money: Money, w: int, account: int, amount: float, limit: float
) -> tuple[int, float, float]:
    """Take from a deposit, at most what it is worth; code, stable tokens, collateral paid out.

    An amount of 0 is paid the collateral alone. The caller has checked that no trove waits to be
    liquidated.
    """
    system = state.system[w]
    if not state.deposits[w, account]["initial"] > 0.0:
        return INSUFFICIENT_BALANCE, 0.0, 0.0
    worth = min(compounded(state, w, account), system["deposits"])
    room = max(system["deposits"] - system["min_in_pool"], 0.0)
    taken = min(worth, room) if np.isinf(amount) else min(amount, worth)
    if taken > room:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0
    if not taken >= limit:
        return LIMIT_NOT_MET, 0.0, 0.0
    earned = _pay_gain(state, money, w, account)
    if taken > 0.0:
        transfer(money.balances, w, state.account, account, state.assets[1], taken)
        system["deposits"] -= taken
    _record(state, w, account, worth - taken)
    return OK, taken, earned
