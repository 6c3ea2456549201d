"""Liquidation of a trove: offset by the pool, redistribution to the others, recovery mode.

(`TroveManager.sol`: `_liquidateNormalMode`, `_liquidateRecoveryMode`, `_getCappedOffsetVals`,
`_redistributeDebtAndColl`.)
"""

from sim.actions import Reject
from sim.kernel import kernel
from sim.ledger import transfer
from sim.lending.liquity.pool import most_to_offset, offset
from sim.lending.liquity.state import LIQUIDATED, LiquityState, Money
from sim.lending.liquity.troves import (
    apply_rewards,
    below,
    close,
    entire,
    in_recovery,
    ratio,
    system_ratio,
)

OK = int(Reject.OK)
HEALTHY = int(Reject.HEALTHY)
LAST_POSITION = int(Reject.LAST_POSITION)
_LIQUIDATED = LIQUIDATED


@kernel
def split(debt: float, coll: float, pool: float) -> tuple[float, float]:
    """Debt that the pool pays, and the collateral that it gets for it."""
    paid = min(debt, pool)
    return paid, (coll if paid == debt else coll * (paid / debt))


@kernel
def quote(
    state: LiquityState, w: int, p: int, price: float
) -> tuple[int, float, float, float, float]:
    """Tell what a liquidation would do.

    Returns
    -------
    code, paid, to_pool, gas, surplus
        Reject code; debt that the pool pays; collateral to the pool, to the liquidator, and to the
        owner. The rest of both is redistributed.
    """
    system = state.system[w]
    coll, debt = entire(state, w, p)
    own, pool = ratio(coll, debt, price), most_to_offset(state, w)
    minimum = system["minimum_ratio"]
    gas = coll * system["gas_share"]
    recovery = in_recovery(state, w, price)
    if below(own, minimum):
        if system["n_active"] <= 1.0:
            return LAST_POSITION, 0.0, 0.0, 0.0, 0.0
        if recovery and not own > 1.0:
            pool = 0.0  # depositors would lose: all of it goes to the other troves
        paid, to_pool = split(debt, coll - gas, pool)
        return OK, paid, to_pool, gas, 0.0
    if not (recovery and below(own, system_ratio(state, w, price))):
        return HEALTHY, 0.0, 0.0, 0.0, 0.0
    if debt > pool:
        return HEALTHY, 0.0, 0.0, 0.0, 0.0
    if system["n_active"] <= 1.0:
        return LAST_POSITION, 0.0, 0.0, 0.0, 0.0
    capped = debt * minimum / price
    gas = capped * system["gas_share"]
    return OK, debt, capped - gas, gas, coll - capped


@kernel
def liquidate(
    state: LiquityState, money: Money, w: int, p: int, liquidator: int, price: float
) -> tuple[int, float, float, float]:
    """Liquidate a trove; code, debt offset, debt redistributed, collateral to the liquidator."""
    system, gem, stable = state.system[w], state.assets[0], state.assets[1]
    code, paid, to_pool, gas, surplus = quote(state, w, p, price)
    if code != OK:
        return code, 0.0, 0.0, 0.0
    coll, debt = entire(state, w, p)
    apply_rewards(state, w, p)
    close(state, w, p, float(_LIQUIDATED))
    offset(state, money, w, paid, to_pool)
    rest_debt, rest_coll = debt - paid, coll - to_pool - gas - surplus
    if rest_debt > 0.0:
        system["L_coll"] += rest_coll / system["total_stakes"]
        system["L_debt"] += rest_debt / system["total_stakes"]
        system["default_coll"] += rest_coll
        system["default_debt"] += rest_debt
    system["active_coll"] = max(system["active_coll"] - coll, 0.0)
    system["active_debt"] = max(system["active_debt"] - debt, 0.0)
    if surplus > 0.0:
        state.troves[w, p]["surplus"] += surplus
        system["surplus"] += surplus
    system["stakes_seen"] = system["total_stakes"]
    system["coll_seen"] = system["active_coll"] + system["default_coll"]
    transfer(money.balances, w, state.account, liquidator, gem, gas)
    deposit = min(system["gas_deposit"], system["gas_pool"])
    transfer(money.balances, w, state.account, liquidator, stable, deposit)
    system["gas_pool"] -= deposit
    return OK, paid, rest_debt, gas
