"""Troves: open, adjust, close, rewards by stake, and the modes of the system.

(`TroveManager.sol`, `BorrowerOperations.sol` of liquity/dev.) Redistributed debt and collateral are
booked per unit of stake (L_debt, L_coll) and reach a trove when it is touched next. A new stake is
scaled by what all collateral was worth in stakes after the last liquidation, so that late troves
do not share in rewards from before.
"""

import math

import numpy as np

from sim.actions import Reject
from sim.kernel import kernel
from sim.ledger import burn, mint, transfer
from sim.lending.liquity.state import ACTIVE, CLOSED_BY_OWNER, LiquityState, Money

OK = int(Reject.OK)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
UNHEALTHY = int(Reject.UNHEALTHY)
LEAVES_DUST = int(Reject.LEAVES_DUST)
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
LAST_POSITION = int(Reject.LAST_POSITION)

_ACTIVE, _CLOSED = ACTIVE, CLOSED_BY_OWNER
TIE = 1e-12  # relative; closer numbers are equal


@kernel
def ratio(coll: float, debt: float, price: float) -> float:
    """Collateral ratio; inf without debt."""
    return coll * price / debt if debt > 0.0 else np.inf


@kernel
def below(value: float, bound: float) -> bool:
    """Whether a ratio is under a bound; within 1e-12 of it, it is not."""
    return value < bound * (1.0 - TIE)


@kernel
def entire(state: LiquityState, w: int, p: int) -> tuple[float, float]:
    """Collateral and debt of a trove with its pending rewards, tokens."""
    trove, system = state.troves[w, p], state.system[w]
    if trove["status"] != _ACTIVE:
        return 0.0, 0.0
    coll = trove["coll"] + trove["stake"] * (system["L_coll"] - trove["seen_coll"])
    debt = trove["debt"] + trove["stake"] * (system["L_debt"] - trove["seen_debt"])
    return coll, debt


@kernel
def system_ratio(state: LiquityState, w: int, price: float) -> float:
    """Collateral ratio of all troves together (TCR)."""
    system = state.system[w]
    return ratio(
        system["active_coll"] + system["default_coll"],
        system["active_debt"] + system["default_debt"],
        price,
    )


@kernel
def in_recovery(state: LiquityState, w: int, price: float) -> bool:
    """Whether the system is in recovery mode."""
    return below(system_ratio(state, w, price), state.system[w]["critical_ratio"])


@kernel
def power(base: float, exponent: float) -> float:
    """Whole power by squaring, as the contract's `_decPow`; no transcendental."""
    n, result, square = int(exponent), 1.0, base
    while n > 0:
        if n & 1:
            result *= square
        square *= square
        n >>= 1
    return result


@kernel
def decayed_rate(state: LiquityState, w: int, now: float) -> float:
    """Decay the base rate by the whole minutes since fees were last charged."""
    system = state.system[w]
    minutes = math.floor((now - system["fee_time"]) / 60.0)
    rate: float = system["base_rate"] * power(system["minute_decay"], minutes)
    return rate


@kernel
def set_rate(state: LiquityState, w: int, rate: float, now: float) -> None:
    """Store a base rate that has decayed until now."""
    system = state.system[w]
    system["base_rate"] = rate
    if now - system["fee_time"] >= 60.0:
        system["fee_time"] = now


@kernel
def apply_rewards(state: LiquityState, w: int, p: int) -> None:
    """Move a trove's pending rewards from the default pool into it."""
    trove, system = state.troves[w, p], state.system[w]
    coll, debt = entire(state, w, p)
    more_coll, more_debt = coll - trove["coll"], debt - trove["debt"]
    trove["coll"], trove["debt"] = coll, debt
    trove["seen_coll"], trove["seen_debt"] = system["L_coll"], system["L_debt"]
    system["active_coll"] += more_coll
    system["active_debt"] += more_debt
    system["default_coll"] = max(system["default_coll"] - more_coll, 0.0)
    system["default_debt"] = max(system["default_debt"] - more_debt, 0.0)


@kernel
def renew_stake(state: LiquityState, w: int, p: int) -> None:
    """Set a trove's stake from its collateral."""
    trove, system = state.troves[w, p], state.system[w]
    stake = trove["coll"]
    if system["coll_seen"] > 0.0:
        stake *= system["stakes_seen"] / system["coll_seen"]
    system["total_stakes"] += stake - trove["stake"]
    trove["stake"] = stake


@kernel
def close(state: LiquityState, w: int, p: int, status: float) -> None:
    """Empty a trove whose collateral and debt are taken care of by the caller."""
    trove, system = state.troves[w, p], state.system[w]
    system["total_stakes"] = max(system["total_stakes"] - trove["stake"], 0.0)
    system["n_active"] -= 1.0
    trove["status"] = status
    trove["coll"] = 0.0
    trove["debt"] = 0.0
    trove["stake"] = 0.0
    trove["seen_coll"] = 0.0
    trove["seen_debt"] = 0.0


@kernel
def may_stand(
    state: LiquityState, w: int, p: int, price: float, coll: float, debt: float, recovery: bool,
) -> bool:  # fmt: skip
    """Whether a trove may be adjusted to a collateral and a debt, whoever gains by it.

    In normal mode the trove must have the minimum ratio and the system must keep its critical one,
    even after a top-up; in recovery mode no collateral leaves, and new debt needs the critical
    ratio and must not lower the trove's.
    """
    system = state.system[w]
    old_coll, old_debt = entire(state, w, p)
    new = ratio(coll, debt, price)
    if recovery:
        if coll < old_coll:
            return False
        if debt <= old_debt:
            return True
        worse = old_debt > 0.0 and below(new, ratio(old_coll, old_debt, price))
        return not (below(new, system["critical_ratio"]) or worse)
    whole = ratio(
        system["active_coll"] + system["default_coll"] + coll - old_coll,
        system["active_debt"] + system["default_debt"] + debt - old_debt,
        price,
    )
    return not (below(new, system["minimum_ratio"]) or below(whole, system["critical_ratio"]))


@kernel
def _adjust(state: LiquityState, w: int, p: int, coll: float, debt: float) -> None:
    """Give an active trove a collateral and a debt."""
    apply_rewards(state, w, p)
    trove, system = state.troves[w, p], state.system[w]
    system["active_coll"] += coll - trove["coll"]
    system["active_debt"] += debt - trove["debt"]
    trove["coll"], trove["debt"] = coll, debt
    renew_stake(state, w, p)


@kernel
def add_collateral(
    state: LiquityState, money: Money, w: int, p: int, amount: float, limit: float, price: float
) -> tuple[int, float]:
    """Top a trove up; beside one that is not open, collateral waits for it. Code and tokens."""
    account, gem = state.owner[p], state.assets[0]
    trove, system = state.troves[w, p], state.system[w]
    if np.isinf(amount):
        amount = money.balances[w, account, gem]
        if not amount > 0.0:
            return INSUFFICIENT_BALANCE, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0
    active = trove["status"] == _ACTIVE
    coll, debt = entire(state, w, p)
    if active and not may_stand(
        state, w, p, price, coll + amount, debt, in_recovery(state, w, price)
    ):
        return UNHEALTHY, 0.0
    if not transfer(money.balances, w, account, state.account, gem, amount):
        return INSUFFICIENT_BALANCE, 0.0
    if active:
        _adjust(state, w, p, coll + amount, debt)
    else:
        trove["surplus"] += amount
        system["surplus"] += amount
    return OK, amount


@kernel
def take_collateral(
    state: LiquityState, money: Money, w: int, p: int, amount: float, limit: float, price: float
) -> tuple[int, float]:
    """Take collateral from a trove, or what waits outside one that is not open. Code, tokens."""
    account, gem = state.owner[p], state.assets[0]
    trove, system = state.troves[w, p], state.system[w]
    if trove["status"] != _ACTIVE:
        held = trove["surplus"]
        amount = held if np.isinf(amount) else amount
        if not held > 0.0:
            return NO_COLLATERAL, 0.0
        if amount > held:
            return INSUFFICIENT_BALANCE, 0.0
        if not amount >= limit:
            return LIMIT_NOT_MET, 0.0
        trove["surplus"] = held - amount
        system["surplus"] = max(system["surplus"] - amount, 0.0)
        transfer(money.balances, w, state.account, account, gem, amount)
        return OK, amount
    coll, debt = entire(state, w, p)
    if np.isinf(amount):
        own = coll - debt * system["minimum_ratio"] / price
        everyone = system["active_coll"] + system["default_coll"]
        owed = system["active_debt"] + system["default_debt"]
        amount = min(own, everyone - owed * system["critical_ratio"] / price)
        if not amount > 0.0:
            return UNHEALTHY, 0.0
    if amount >= coll:
        return INSUFFICIENT_BALANCE, 0.0
    if not may_stand(state, w, p, price, coll - amount, debt, in_recovery(state, w, price)):
        return UNHEALTHY, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0
    _adjust(state, w, p, coll - amount, debt)
    transfer(money.balances, w, state.account, account, gem, amount)
    return OK, amount


@kernel
def borrow(
    state: LiquityState, money: Money, w: int, p: int, amount: float, limit: float, price: float,
    now: float,
) -> tuple[int, float, float]:  # fmt: skip
    """Draw stable tokens; opens a trove on the collateral that waits. Code, drawn, fee."""
    account, stable = state.owner[p], state.assets[1]
    trove, system = state.troves[w, p], state.system[w]
    opens = trove["status"] != _ACTIVE
    coll, debt = entire(state, w, p)
    if opens:
        coll, debt = float(trove["surplus"]), float(system["gas_deposit"])
        if not coll > 0.0:
            return NO_COLLATERAL, 0.0, 0.0
    recovery = in_recovery(state, w, price)
    rate = decayed_rate(state, w, now)
    share = 0.0 if recovery else min(system["borrowing_fee_floor"] + rate,
                                     system["borrowing_fee_cap"])  # fmt: skip
    if np.isinf(amount):
        bound = system["critical_ratio"] if recovery else system["minimum_ratio"]
        amount = (coll * price / bound - debt) / (1.0 + share) * (1.0 - TIE)
        if not amount > 0.0:
            return UNHEALTHY, 0.0, 0.0
    fee = amount * share
    net = debt + amount + fee - system["gas_deposit"]
    if below(net, system["min_net_debt"]):
        return LEAVES_DUST, 0.0, 0.0
    if not may_stand(state, w, p, price, coll, debt + amount + fee, recovery):
        return UNHEALTHY, 0.0, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0, 0.0
    if not recovery:
        set_rate(state, w, rate, now)
    if opens:
        _open(state, money, w, p, coll)
    _adjust(state, w, p, coll, debt + amount + fee)
    mint(money.balances, money.minted, w, account, stable, amount)
    mint(money.balances, money.minted, w, state.account, stable, fee)
    system["fee_stable"] += fee
    return OK, amount, fee


@kernel
def _open(state: LiquityState, money: Money, w: int, p: int, coll: float) -> None:
    """Make an empty trove active; its collateral waited outside, its gas deposit is minted."""
    trove, system = state.troves[w, p], state.system[w]
    trove["status"] = _ACTIVE
    trove["seen_coll"], trove["seen_debt"] = system["L_coll"], system["L_debt"]
    trove["surplus"] -= coll
    system["surplus"] = max(system["surplus"] - coll, 0.0)
    system["n_active"] += 1.0
    gas = system["gas_deposit"]
    system["gas_pool"] += gas
    mint(money.balances, money.minted, w, state.account, state.assets[1], gas)


@kernel
def repay(
    state: LiquityState, money: Money, w: int, p: int, amount: float, limit: float, price: float
) -> tuple[int, float, float]:
    """Pay debt back; all but the gas deposit closes the trove. Code, paid, collateral returned."""
    account, stable = state.owner[p], state.assets[1]
    trove, system = state.troves[w, p], state.system[w]
    if trove["status"] != _ACTIVE:
        return NO_DEBT, 0.0, 0.0
    coll, debt = entire(state, w, p)
    gas = system["gas_deposit"]
    whole = amount >= (debt - gas) * (1.0 - TIE)
    recovery = in_recovery(state, w, price)
    if whole:
        amount = debt - gas
        if system["n_active"] <= 1.0:
            return LAST_POSITION, 0.0, 0.0
        left = ratio(
            system["active_coll"] + system["default_coll"] - coll,
            system["active_debt"] + system["default_debt"] - debt,
            price,
        )
        if recovery or below(left, system["critical_ratio"]):
            return UNHEALTHY, 0.0, 0.0
    else:
        if below(debt - gas - amount, system["min_net_debt"]):
            return LEAVES_DUST, 0.0, 0.0
        if not may_stand(state, w, p, price, coll, debt - amount, recovery):
            return UNHEALTHY, 0.0, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0, 0.0
    if not burn(money.balances, money.burnt, w, account, stable, amount):
        return INSUFFICIENT_BALANCE, 0.0, 0.0
    if not whole:
        _adjust(state, w, p, coll, debt - amount)
        return OK, amount, 0.0
    apply_rewards(state, w, p)
    system["active_coll"] -= coll
    system["active_debt"] -= debt
    close(state, w, p, float(_CLOSED))
    burn(money.balances, money.burnt, w, state.account, stable, gas)
    system["gas_pool"] -= gas
    transfer(money.balances, w, state.account, account, state.assets[0], coll)
    return OK, amount, coll
