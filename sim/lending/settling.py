"""How a call is settled, and markets whose shares grow: common to several mechanisms."""

import numpy as np

from sim.actions import Reject, Verb
from sim.kernel import F64, Record, inlined, kernel
from sim.ledger import transfer
from sim.lending.liquidation import TIE
from sim.lending.moves import move, take_collateral, take_debt
from sim.lending.state import PooledState
from sim.lending.verbs import flash

OK = int(Reject.OK)
BAD_ASSET = int(Reject.BAD_ASSET)
BAD_TARGET = int(Reject.BAD_TARGET)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
PAUSED = int(Reject.PAUSED)
SELF_LIQUIDATION = int(Reject.SELF_LIQUIDATION)
FLASH_NOT_REPAID = int(Reject.FLASH_NOT_REPAID)
FLASH_BORROW, FLASH_REPAY = int(Verb.FLASH_BORROW), int(Verb.FLASH_REPAY)

LEAST_INDEX = 1e-9  # suppliers whose whole supply is lost keep this, so that shares have a price


@inlined
def admit_call(state: PooledState, w: int, account: int, p: int, asset_2: int) -> int:
    """Check what all liquidations have in common, after `moves.admit` of the collateral."""
    if p < 0 or p >= state.owner.shape[0]:
        return BAD_TARGET
    n_assets = state.reserves.shape[1]
    if asset_2 < 0 or asset_2 >= n_assets or state.reserves[w, asset_2]["listed"] == 0.0:
        return BAD_ASSET
    if state.reserves[w, asset_2]["paused"] != 0.0:
        return PAUSED
    if state.owner[p] == account:
        return SELF_LIQUIDATION
    return OK


@kernel
def settle_call(
    state: PooledState,
    balances: F64,
    custody: int,
    w: int,
    account: int,
    p: int,
    asset: int,
    asset_2: int,
    repaid: float,
    received: float,
    seized: float,
    limit: float,
) -> int:
    """Take the repayment, pay the collateral out and lower both balances; returns a code.

    `seized` is what the position loses, of which the liquidator gets `received`.
    """
    purse = balances[w, account, asset_2]
    if not repaid > 0.0 or repaid > purse * (1.0 + TIE):
        return INSUFFICIENT_BALANCE
    if received > balances[w, custody, asset] * (1.0 + TIE):
        return INSUFFICIENT_LIQUIDITY
    if not received >= limit:
        return LIMIT_NOT_MET
    transfer(balances, w, account, custody, asset_2, repaid)
    transfer(balances, w, custody, account, asset, received)
    take_collateral(state, w, p, asset, seized / state.reserves[w, asset]["liquidity_index"])
    take_debt(state, w, p, asset_2, repaid / state.reserves[w, asset_2]["borrow_index"])
    return OK


@kernel
def accrue_shares(state: PooledState, w: int, a: int, growth: float, fee_in_shares: bool) -> None:
    """Let all debt of a reserve grow by a factor 1 + `growth`, and supply by what that yields.

    The protocol's part of the interest becomes shares of supply (`treasury`), or tokens that earn
    nothing (`surplus`).
    """
    reserve = state.reserves[w, a]
    interest = reserve["total_debt"] * reserve["borrow_index"] * growth
    reserve["borrow_index"] *= 1.0 + growth
    shares = reserve["total_collateral"] + reserve["treasury"]
    if not shares > 0.0:
        reserve["surplus"] += interest
        return
    fee = interest * reserve["reserve_factor"]
    rise = (interest - fee) / shares
    reserve["liquidity_index"] += rise
    if fee_in_shares:
        reserve["treasury"] += fee / reserve["liquidity_index"]
    else:
        reserve["surplus"] += fee
    to_suppliers = reserve["total_collateral"] * rise
    reserve["supplier_interest"] += to_suppliers
    reserve["reserve_income"] += interest - to_suppliers


@kernel
def socialise(state: PooledState, prices: F64, w: int, p: int) -> float:
    """Take all debt of a position off the suppliers of each reserve; USD of it.

    What they cannot bear is booked as the reserve's deficit.
    """
    total = 0.0
    for a in range(prices.shape[1]):
        owed = state.debt[w, p, a]
        if owed <= 0.0:
            continue
        reserve = state.reserves[w, a]
        tokens = owed * reserve["borrow_index"]
        take_debt(state, w, p, a, owed)
        shares = reserve["total_collateral"] + reserve["treasury"]
        most = max(reserve["liquidity_index"] - LEAST_INDEX, 0.0) * shares
        borne = min(tokens, most)
        if borne > 0.0:
            reserve["liquidity_index"] -= borne / shares
        reserve["deficit"] += tokens - borne
        total += tokens * prices[w, a]
    state.market[w]["bad_debt_usd"] += total
    return total


@inlined
def has_collateral(state: PooledState, w: int, p: int) -> bool:
    """Whether a position holds anything that counts as collateral."""
    for a in range(state.debt.shape[2]):
        held = state.collateral[w, p, a]
        if held > 0.0 and state.reserves[w, a]["liquidation_threshold"] > 0.0:
            return True
    return False


@inlined
def owes_other(state: PooledState, w: int, p: int, asset: int) -> bool:
    """Whether a position owes anything in an asset that is not `asset`."""
    for a in range(state.debt.shape[2]):  # noqa: SIM110 - a kernel
        if a != asset and state.debt[w, p, a] > 0.0:
            return True
    return False


@inlined
def flash_or_move(
    state: PooledState,
    balances: F64,
    prices: F64,
    custody: int,
    w: int,
    row: Record,
    at_ltv: bool,
) -> tuple[int, float, float]:
    """Perform a row that is no liquidation, after `moves.admit`; code, tokens moved, premium."""
    verb, account, p = int(row["verb"]), int(row["account"]), int(row["target"])
    asset, amount = int(row["asset"]), row["amount"]
    if verb >= FLASH_BORROW:
        if row["bundle"] == 0:
            return FLASH_NOT_REPAID, 0.0, 0.0
        return flash(state, balances, custody, w, account, asset, amount, verb == FLASH_REPAY)
    code, moved = move(
        state, balances, prices, custody, w, verb, account, p, asset, amount, row["limit"], at_ltv
    )
    return code, moved, 0.0


@inlined
def trimmed(amount: float, most: float) -> float:
    """Amount that a call is about: `most` where all was asked for or rounding exceeds it.

    Above `most` it is inf, for the caller to refuse.
    """
    if np.isinf(amount):
        return most
    if amount > most * (1.0 + TIE):
        return np.inf
    return min(amount, most)
