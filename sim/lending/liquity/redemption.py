"""Redemption: stable tokens for collateral at face value, from the riskiest troves up.

(`TroveManager.sol`: `redeemCollateral`, `_redeemCollateralFromTrove`,
`_updateBaseRateFromRedemption`.) A trove that is redeemed to its gas deposit is closed and its
owner may claim the rest; a last partial redemption that would leave less than the least debt is
skipped.
"""

import numpy as np

from sim.actions import Reject
from sim.kernel import kernel
from sim.ledger import burn, transfer
from sim.lending.liquity.state import ACTIVE, REDEEMED, LiquityState, Money
from sim.lending.liquity.troves import (
    apply_rewards,
    below,
    close,
    decayed_rate,
    entire,
    ratio,
    renew_stake,
    set_rate,
    system_ratio,
)

OK = int(Reject.OK)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
UNHEALTHY = int(Reject.UNHEALTHY)
_ACTIVE, _REDEEMED = ACTIVE, REDEEMED
TIE = 1e-12


@kernel
def next_trove(state: LiquityState, w: int, price: float, after: float, last: int) -> int:
    """Trove of the lowest ratio at or above the minimum that comes after (`after`, `last`); -1."""
    least, found = np.inf, -1
    minimum = state.system[w]["minimum_ratio"]
    for p in range(state.troves.shape[1]):
        if state.troves[w, p]["status"] != _ACTIVE:
            continue
        coll, debt = entire(state, w, p)
        own = ratio(coll, debt, price)
        if below(own, minimum) or own < after or (own == after and p <= last):
            continue
        if own < least:
            least, found = own, p
    return found


@kernel
def _take(state: LiquityState, money: Money, w: int, p: int, paid: float, price: float) -> None:
    """Take face value from one trove, and close it where only the gas deposit is left."""
    system, trove = state.system[w], state.troves[w, p]
    apply_rewards(state, w, p)
    drawn, gas = paid / price, system["gas_deposit"]
    coll, debt = trove["coll"] - drawn, trove["debt"] - paid
    system["active_coll"] -= drawn
    system["active_debt"] -= paid
    if debt > gas * (1.0 + TIE):
        trove["coll"], trove["debt"] = coll, debt
        renew_stake(state, w, p)
        return
    system["active_coll"] -= coll
    system["active_debt"] -= debt
    close(state, w, p, float(_REDEEMED))
    trove["surplus"] += coll
    system["surplus"] += coll
    burn(money.balances, money.burnt, w, state.account, state.assets[1], gas)
    system["gas_pool"] = max(system["gas_pool"] - gas, 0.0)


@kernel
def walk(
    state: LiquityState, money: Money, w: int, amount: float, price: float, effective: bool
) -> tuple[float, int]:
    """Redeem trove by trove; stable tokens redeemed and troves touched. Nothing moves in a trial.

    Redeeming one trove changes no other, so that trial and effect visit the same ones.
    """
    system = state.system[w]
    left, n, after, last = amount, 0, 0.0, -1
    gas, least = system["gas_deposit"], system["min_net_debt"]
    while left > amount * TIE and n < system["redemption_troves"]:
        p = next_trove(state, w, price, after, last)
        if p < 0:
            break
        coll, debt = entire(state, w, p)
        after, last = ratio(coll, debt, price), p
        paid = min(left, debt - gas)
        if paid < debt - gas and below(debt - gas - paid, least):
            break
        if effective:
            _take(state, money, w, p, paid, price)
        left -= paid
        n += 1
    return amount - left, n


@kernel
def redeem(
    state: LiquityState, money: Money, w: int, account: int, amount: float, limit: float,
    price: float, now: float,
) -> tuple[int, float, float, float, float]:  # fmt: skip
    """Redeem stable tokens; code, redeemed, collateral received, fee in collateral, troves."""
    system, gem, stable = state.system[w], state.assets[0], state.assets[1]
    if below(system_ratio(state, w, price), system["minimum_ratio"]):
        return UNHEALTHY, 0.0, 0.0, 0.0, 0.0
    held = money.balances[w, account, stable]
    amount = held if np.isinf(amount) else amount
    if not 0.0 < amount <= held * (1.0 + TIE):
        return INSUFFICIENT_BALANCE, 0.0, 0.0, 0.0, 0.0
    owed = system["active_debt"] + system["default_debt"]
    paid, n = walk(state, money, w, amount, price, False)
    if not paid > 0.0:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0
    drawn = paid / price
    rate = min(decayed_rate(state, w, now) + paid / owed / system["beta"], 1.0)
    fee = drawn * min(system["redemption_fee_floor"] + rate, 1.0)
    if not drawn - fee >= limit:
        return LIMIT_NOT_MET, 0.0, 0.0, 0.0, 0.0
    walk(state, money, w, amount, price, True)
    set_rate(state, w, rate, now)
    burn(money.balances, money.burnt, w, account, stable, paid)
    transfer(money.balances, w, state.account, account, gem, drawn - fee)
    system["fee_coll"] += fee
    return OK, paid, drawn - fee, fee, float(n)
