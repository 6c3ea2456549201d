"""The verbs of an Aave market beyond `moves`: liquidate, flash loans; and its interest."""

import numpy as np

from sim.actions import Reject, Verb
from sim.kernel import F64, I64, Rows, inlined, kernel
from sim.ledger import transfer
from sim.lending.health import position_values
from sim.lending.index import LiquidationIndex, touch
from sim.lending.liquidation import (
    HEALTHY,
    TIE,
    available_collateral,
    leaves_dust,
    max_liquidatable_debt,
)
from sim.lending.moves import admit, move, take_collateral, take_debt, write_outcome
from sim.lending.rates import (
    binomial_interest,
    borrow_rate,
    compounded_interest,
    linear_interest,
    liquidity_rate,
    utilisation,
)
from sim.lending.state import BORROWABLE, PooledState, bonus_of, mode_of

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_ASSET = int(Reject.BAD_ASSET)
BAD_TARGET = int(Reject.BAD_TARGET)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
IS_HEALTHY = int(Reject.HEALTHY)
LEAVES_DUST = int(Reject.LEAVES_DUST)
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
FLASH_NOT_REPAID = int(Reject.FLASH_NOT_REPAID)
PAUSED = int(Reject.PAUSED)
NOT_COLLATERAL = int(Reject.NOT_COLLATERAL)
CAP_EXCEEDED = int(Reject.CAP_EXCEEDED)
ISOLATED = int(Reject.ISOLATED)
OTHER_MODE = int(Reject.OTHER_MODE)
NOT_OWNER = int(Reject.NOT_OWNER)
UNHEALTHY = int(Reject.UNHEALTHY)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
SET_MODE = int(Verb.SET_MODE)
OTHER_DEBT = int(Reject.OTHER_DEBT)

SUPPLY = int(Verb.SUPPLY)
BORROW = int(Verb.BORROW)
REPAY = int(Verb.REPAY)
LIQUIDATE = int(Verb.LIQUIDATE)
FLASH_BORROW = int(Verb.FLASH_BORROW)
FLASH_REPAY = int(Verb.FLASH_REPAY)

NOTHING_USD = 1e-8  # the contract's unit of account: collateral worth less is no collateral


@kernel
def refresh_rates(state: PooledState, balances: F64, w: int, custody: int) -> None:
    """Set the rates of all reserves of one world from their utilisation.

    Cash that a flash loan has taken out for the moment counts as present.
    """
    for a in range(balances.shape[2]):
        reserve = state.reserves[w, a]
        debt = reserve["total_debt"] * reserve["borrow_index"]
        used = utilisation(debt, balances[w, custody, a] + reserve["flash"])
        rate = borrow_rate(
            used,
            reserve["base_rate"],
            reserve["slope_1"],
            reserve["slope_2"],
            reserve["optimal_utilisation"],
        )
        reserve["borrow_rate"] = rate
        reserve["liquidity_rate"] = liquidity_rate(rate, used, reserve["reserve_factor"])


@kernel
def accrue(state: PooledState, balances: F64, custody: int, seconds: float) -> None:
    """Grow indices, pay the treasury its share of the interest, then set new rates, all worlds.

    Debt compounds and supply grows linearly: what the former yields beyond the latter and the
    treasury's share is booked as `surplus`, so that custody equals claims to rounding. The surplus
    is negative where a deficit makes supply exceed the debt and cash that should pay it.
    """
    for w in range(balances.shape[0]):
        for a in range(balances.shape[2]):
            reserve = state.reserves[w, a]
            scaled_debt = reserve["total_debt"]
            if reserve["listed"] == 0.0 or not scaled_debt > 0.0:
                continue
            old_debt = scaled_debt * reserve["borrow_index"]
            old_index = reserve["liquidity_index"]
            if state.market[w]["binomial"] == 0.0:
                reserve["borrow_index"] *= compounded_interest(reserve["borrow_rate"], seconds)
            else:
                reserve["borrow_index"] *= binomial_interest(reserve["borrow_rate"], seconds)
            reserve["liquidity_index"] *= linear_interest(reserve["liquidity_rate"], seconds)
            interest = scaled_debt * reserve["borrow_index"] - old_debt
            growth = reserve["liquidity_index"] - old_index
            to_suppliers = reserve["total_collateral"] * growth
            to_treasury = interest * reserve["reserve_factor"]
            on_treasury = reserve["treasury"] * growth
            reserve["treasury"] += to_treasury / reserve["liquidity_index"]
            reserve["surplus"] += interest - to_suppliers - to_treasury - on_treasury
            reserve["supplier_interest"] += to_suppliers
            reserve["reserve_income"] += to_treasury + on_treasury
        refresh_rates(state, balances, w, custody)


@inlined
def quote(
    state: PooledState, prices: F64, w: int, p: int, asset: int, asset_2: int, amount: float
) -> tuple[int, float, float, float]:
    """Tell what a liquidation would do, purse of the liquidator and cash of the reserve aside.

    Parameters
    ----------
    state, prices
        The market, and USD prices of its oracle, shape (world, asset).
    w, p, asset, asset_2 : int
        World, position, collateral asset, debt asset.
    amount : float
        Debt to cover, whole tokens; inf: the most that the close factor allows.

    Returns
    -------
    code, debt_repaid, to_liquidator, fee
        Reject code, and whole tokens of debt and collateral.
    """
    _, weighted, _, debt_usd = position_values(state, prices, w, p)
    return quote_valued(state, prices, w, p, asset, asset_2, amount, weighted, debt_usd)


@inlined
def quote_valued(
    state: PooledState, prices: F64, w: int, p: int, asset: int, asset_2: int, amount: float,
    weighted: float, debt_usd: float,
) -> tuple[int, float, float, float]:  # fmt: skip
    """`quote` of a position whose weighted collateral and debt in USD are known."""
    reserve = state.reserves[w, asset]
    if not weighted < debt_usd * HEALTHY:
        return IS_HEALTHY, 0.0, 0.0, 0.0
    if reserve["liquidation_threshold"] <= 0.0:
        return NOT_COLLATERAL, 0.0, 0.0, 0.0
    held = state.collateral[w, p, asset] * reserve["liquidity_index"]
    if held <= 0.0:
        return NO_COLLATERAL, 0.0, 0.0, 0.0
    owed = state.debt[w, p, asset_2] * state.reserves[w, asset_2]["borrow_index"]
    if owed <= 0.0:
        return NO_DEBT, 0.0, 0.0, 0.0
    price, debt_price = prices[w, asset], prices[w, asset_2]
    most = max_liquidatable_debt(
        owed,
        owed * debt_price,
        held * price,
        debt_usd,
        weighted / debt_usd,
        debt_price,
        state.market[w]["close_factor"],
        state.market[w]["close_factor_health"],
        state.market[w]["close_factor_value"],
    )
    to_liquidator, repaid, fee = available_collateral(
        price,
        debt_price,
        min(amount, most),
        held,
        bonus_of(state, w, p, asset),
        reserve["protocol_fee"],
    )
    seized = to_liquidator + fee
    if (
        repaid < owed * HEALTHY
        and seized < held * HEALTHY
        and leaves_dust(
            (owed - repaid) * debt_price, (held - seized) * price, state.market[w]["min_leftover"]
        )
    ):
        return LEAVES_DUST, 0.0, 0.0, 0.0
    return OK, repaid, to_liquidator, fee


@inlined
def isolated_collateral(state: PooledState, w: int, p: int) -> int:
    """Asset of a position's collateral that must stand alone; -1 without any."""
    for a in range(state.reserves.shape[1]):
        if state.reserves[w, a]["isolated"] != 0.0 and state.collateral[w, p, a] > 0.0:
            return a
    return -1


@inlined
def release(state: PooledState, w: int, p: int, amount: float) -> None:
    """Take a repayment off the debt that an isolated collateral backs."""
    a = isolated_collateral(state, w, p)
    if a >= 0:
        reserve = state.reserves[w, a]
        reserve["isolated_debt"] = max(reserve["isolated_debt"] - amount, 0.0)


@inlined
def admit_supply(state: PooledState, w: int, p: int, asset: int) -> int:
    """Refuse collateral beside isolated collateral, and the other way round.

    The contract takes it as supply that is no collateral; here all supply is.
    """
    reserve = state.reserves[w, asset]
    if reserve["liquidation_threshold"] <= 0.0:
        return OK
    for a in range(state.reserves.shape[1]):
        other = state.reserves[w, a]
        alone = other["isolated"] != 0.0 or reserve["isolated"] != 0.0
        held = a != asset and state.collateral[w, p, a] > 0.0
        if alone and held and other["liquidation_threshold"] > 0.0:
            return ISOLATED
    return OK


@inlined
def admit_debt(state: PooledState, w: int, p: int, asset: int) -> int:
    """Refuse debt beside siloed debt, and debt that isolated collateral may not back."""
    reserve = state.reserves[w, asset]
    for a in range(state.reserves.shape[1]):
        siloed = state.reserves[w, a]["siloed"] != 0.0 or reserve["siloed"] != 0.0
        if siloed and a != asset and state.debt[w, p, a] > 0.0:
            return OTHER_DEBT
    mode = mode_of(state, w, p)
    if mode >= 0 and state.modes[mode, asset, BORROWABLE] == 0.0:
        return OTHER_MODE
    alone = isolated_collateral(state, w, p)
    if alone >= 0 and reserve["borrowable_in_isolation"] == 0.0:
        return ISOLATED
    return OK


@kernel
def set_mode(state: PooledState, prices: F64, w: int, account: int, p: int, category: float) -> int:
    """Put a position into a category, from 1, or out of all (0), if its debts allow it."""
    if p < 0 or p >= state.owner.shape[0]:
        return BAD_TARGET
    if state.owner[p] != account:
        return NOT_OWNER
    n_modes = state.modes.shape[0]
    if not (0.0 <= category <= n_modes and category == np.floor(category)) or n_modes == 0:
        return BAD_AMOUNT
    chosen, present = int(category), state.mode[w, p]
    for a in range(state.modes.shape[1]):
        owed = state.debt[w, p, a] > 0.0
        if owed and chosen > 0 and state.modes[chosen - 1, a, BORROWABLE] == 0.0:
            return OTHER_MODE
    state.mode[w, p] = chosen
    _, weighted, _, debt = position_values(state, prices, w, p)
    if weighted < debt * HEALTHY:
        state.mode[w, p] = present
        return UNHEALTHY
    return OK


@inlined
def below_ceiling(state: PooledState, w: int, p: int, amount: float) -> tuple[int, float]:
    """Trim a loan to the ceiling where all was asked for; refuse what exceeds it."""
    alone = isolated_collateral(state, w, p)
    if alone < 0:
        return OK, amount
    room = state.reserves[w, alone]["debt_ceiling"] - state.reserves[w, alone]["isolated_debt"]
    if np.isinf(amount):
        return (OK, room) if room > 0.0 else (CAP_EXCEEDED, 0.0)
    return (CAP_EXCEEDED, 0.0) if amount > room * (1.0 + TIE) else (OK, amount)


@kernel
def restricted(
    state: PooledState, balances: F64, prices: F64, custody: int, w: int, verb: int, account: int,
    p: int, asset: int, amount: float, limit: float,
) -> tuple[int, float]:  # fmt: skip
    """Supply, withdraw, borrow or repay under the rules of isolation and silos."""
    if p < 0 or p >= state.owner.shape[0]:
        return BAD_TARGET, 0.0
    code = OK
    if verb == SUPPLY:
        code = admit_supply(state, w, p, asset)
    elif verb == BORROW:
        code = admit_debt(state, w, p, asset)
        if code == OK:
            code, amount = below_ceiling(state, w, p, amount)
    if code != OK:
        return code, 0.0
    code, moved = move(
        state, balances, prices, custody, w, verb, account, p, asset, amount, limit, False
    )
    if code == OK and verb == BORROW:
        alone = isolated_collateral(state, w, p)
        if alone >= 0:
            state.reserves[w, alone]["isolated_debt"] += moved
    elif code == OK and verb == REPAY:
        release(state, w, p, moved)
    return code, moved


@kernel
def write_off(state: PooledState, prices: F64, w: int, p: int) -> float:
    """Burn all debt of a position without collateral into the reserves' deficit; USD of it."""
    bad_debt = 0.0
    for a in range(prices.shape[1]):
        reserve = state.reserves[w, a]
        owed = state.debt[w, p, a]
        if owed > 0.0:
            tokens = owed * reserve["borrow_index"]
            reserve["deficit"] += tokens
            bad_debt += tokens * prices[w, a]
            take_debt(state, w, p, a, owed)
    state.market[w]["bad_debt_usd"] += bad_debt
    return bad_debt


@kernel
def liquidate(
    state: PooledState,
    balances: F64,
    prices: F64,
    custody: int,
    w: int,
    account: int,
    p: int,
    asset: int,
    asset_2: int,
    amount: float,
    limit: float,
) -> tuple[int, float, float, float, float]:
    """Repay debt of an unhealthy position for its collateral plus bonus.

    Returns code, debt repaid, collateral to the liquidator, protocol fee, bad debt booked in USD.
    """
    reserve = state.reserves[w, asset]
    if state.reserves[w, asset_2]["paused"] != 0.0:
        return PAUSED, 0.0, 0.0, 0.0, 0.0
    purse = balances[w, account, asset_2]
    asked = purse if np.isinf(amount) else amount
    code, repaid, to_liquidator, fee = quote(state, prices, w, p, asset, asset_2, asked)
    if code != OK:
        return code, 0.0, 0.0, 0.0, 0.0
    if repaid <= 0.0 or repaid > purse * (1.0 + TIE):
        return INSUFFICIENT_BALANCE, 0.0, 0.0, 0.0, 0.0
    if to_liquidator > balances[w, custody, asset] * (1.0 + TIE):
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0
    if to_liquidator < limit:
        return LIMIT_NOT_MET, 0.0, 0.0, 0.0, 0.0
    transfer(balances, w, account, custody, asset_2, repaid)
    transfer(balances, w, custody, account, asset, to_liquidator)
    index = reserve["liquidity_index"]
    release(state, w, p, repaid)
    take_collateral(state, w, p, asset, (to_liquidator + fee) / index)
    take_debt(state, w, p, asset_2, repaid / state.reserves[w, asset_2]["borrow_index"])
    reserve["treasury"] += fee / index
    reserve["fee_income"] += fee
    bad_debt = 0.0
    collateral_usd, _, _, debt_usd = position_values(state, prices, w, p)
    if debt_usd > 0.0 and collateral_usd < NOTHING_USD and state.market[w]["book_deficit"] != 0.0:
        bad_debt = write_off(state, prices, w, p)
    return OK, repaid, to_liquidator, fee, bad_debt


@kernel
def flash(
    state: PooledState,
    balances: F64,
    custody: int,
    w: int,
    account: int,
    asset: int,
    amount: float,
    back: bool,
) -> tuple[int, float, float]:
    """Lend without collateral inside a bundle, or take it back with the premium.

    Returns code, principal moved, premium paid (to the treasury).
    """
    reserve = state.reserves[w, asset]
    if not back:
        cash = balances[w, custody, asset]
        amount = cash if np.isinf(amount) else amount
        if amount <= 0.0 or not transfer(balances, w, custody, account, asset, amount):
            return INSUFFICIENT_LIQUIDITY, 0.0, 0.0
        reserve["flash"] += amount
        return OK, amount, 0.0
    outstanding = reserve["flash"]
    if outstanding <= 0.0:
        return NO_DEBT, 0.0, 0.0
    if amount >= outstanding * HEALTHY:
        amount = outstanding
    premium = amount * state.market[w]["flash_premium"]
    if not transfer(balances, w, account, custody, asset, amount + premium):
        return INSUFFICIENT_BALANCE, 0.0, 0.0
    reserve["flash"] = outstanding - amount
    reserve["treasury"] += premium / reserve["liquidity_index"]
    reserve["fee_income"] += premium
    return OK, amount, premium


@kernel
def perform(
    state: PooledState,
    balances: F64,
    prices: F64,
    custody: int,
    w: int,
    verb: int,
    account: int,
    p: int,
    asset: int,
    asset_2: int,
    amount: float,
    limit: float,
    alone: bool,
) -> tuple[int, float, float, float, float]:
    """Check what all verbs have in common and dispatch; returns code and results."""
    if verb == SET_MODE:
        code = set_mode(state, prices, w, account, p, amount)
        return code, amount if code == OK else 0.0, 0.0, 0.0, 0.0
    if verb < SUPPLY or verb > FLASH_REPAY:
        return UNKNOWN_VERB, 0.0, 0.0, 0.0, 0.0
    code = admit(state, w, asset, amount)
    if code != OK:
        return code, 0.0, 0.0, 0.0, 0.0
    moved, premium = 0.0, 0.0
    if verb >= FLASH_BORROW:
        if alone:
            return FLASH_NOT_REPAID, 0.0, 0.0, 0.0, 0.0
        code, moved, premium = flash(
            state, balances, custody, w, account, asset, amount, verb == FLASH_REPAY
        )
        return code, moved, premium, 0.0, 0.0
    if verb == LIQUIDATE:
        if p < 0 or p >= state.owner.shape[0]:
            return BAD_TARGET, 0.0, 0.0, 0.0, 0.0
        n_assets = prices.shape[1]
        if asset_2 < 0 or asset_2 >= n_assets or state.reserves[w, asset_2]["listed"] == 0.0:
            return BAD_ASSET, 0.0, 0.0, 0.0, 0.0
        return liquidate(
            state, balances, prices, custody, w, account, p, asset, asset_2, amount, limit
        )
    code, moved = restricted(
        state, balances, prices, custody, w, verb, account, p, asset, amount, limit
    )
    return code, moved, 0.0, 0.0, 0.0


@kernel
def execute(
    state: PooledState,
    index: LiquidationIndex,
    balances: F64,
    prices: F64,
    rows: Rows,
    order: I64,
    starts: I64,
    ends: I64,
    custody: int,
) -> int:
    """Execute `rows[order[starts[w]:ends[w]]]` in that order per world; how many had an effect."""
    total = 0
    for w in range(starts.shape[0]):
        done = 0
        for k in range(starts[w], ends[w]):
            i = order[k]
            row = rows[i]
            p = int(row["target"])
            code, r0, r1, r2, r3 = perform(
                state,
                balances,
                prices,
                custody,
                w,
                int(row["verb"]),
                int(row["account"]),
                p,
                int(row["asset"]),
                int(row["asset_2"]),
                row["amount"],
                row["limit"],
                row["bundle"] == 0,
            )
            write_outcome(row, code, r0, r1, r2, r3)
            if code == OK:
                done += 1
                if 0 <= p < state.owner.shape[0]:
                    touch(index, state, w, p)
        if done > 0:
            refresh_rates(state, balances, w, custody)
        total += done
    return total
