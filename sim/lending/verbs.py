"""The verbs of a pooled market: supply, withdraw, borrow, repay, liquidate, flash loans.

Every verb has one rhythm: require, compute, mutate. Nothing is touched before all checks are done;
a failure is a reject code. Amounts are whole tokens; inf asks for as much as rules and balances
allow. `custody` is the market's ledger account: its balance is the reserve's cash.
"""

import numpy as np

from sim.actions import Reject, Verb
from sim.kernel import F64, I64, Record, Rows, inlined, kernel
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
from sim.lending.rates import (
    borrow_rate,
    compounded_interest,
    linear_interest,
    liquidity_rate,
    utilisation,
)
from sim.lending.state import PooledState

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_ASSET = int(Reject.BAD_ASSET)
BAD_TARGET = int(Reject.BAD_TARGET)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
CAP_EXCEEDED = int(Reject.CAP_EXCEEDED)
UNHEALTHY = int(Reject.UNHEALTHY)
IS_HEALTHY = int(Reject.HEALTHY)
LEAVES_DUST = int(Reject.LEAVES_DUST)
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
NOT_OWNER = int(Reject.NOT_OWNER)
FLASH_NOT_REPAID = int(Reject.FLASH_NOT_REPAID)
PAUSED = int(Reject.PAUSED)
NOT_COLLATERAL = int(Reject.NOT_COLLATERAL)

SUPPLY = int(Verb.SUPPLY)
WITHDRAW = int(Verb.WITHDRAW)
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
            reserve["borrow_index"] *= compounded_interest(reserve["borrow_rate"], seconds)
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


@kernel
def supply(
    state: PooledState,
    balances: F64,
    custody: int,
    w: int,
    account: int,
    p: int,
    asset: int,
    amount: float,
    limit: float,
) -> tuple[int, float]:
    """Hand tokens in on behalf of any position; returns code and tokens moved."""
    reserve = state.reserves[w, asset]
    if reserve["frozen"] != 0.0:
        return PAUSED, 0.0
    index = reserve["liquidity_index"]
    scaled = reserve["total_collateral"] + reserve["treasury"]
    room = reserve["supply_cap"] - scaled * index
    held = balances[w, account, asset]
    if np.isinf(amount):
        amount = min(held, max(room, 0.0))
        if amount <= 0.0:
            return CAP_EXCEEDED if held > 0.0 else INSUFFICIENT_BALANCE, 0.0
    if amount > room * (1.0 + TIE):
        return CAP_EXCEEDED, 0.0
    if amount < limit:
        return LIMIT_NOT_MET, 0.0
    if not transfer(balances, w, account, custody, asset, amount):
        return INSUFFICIENT_BALANCE, 0.0
    state.collateral[w, p, asset] += amount / index
    reserve["total_collateral"] += amount / index
    return OK, amount


@kernel
def take_collateral(state: PooledState, w: int, p: int, asset: int, scaled: float) -> None:
    """Lower a position's scaled supply; what rounding would leave is taken too."""
    reserve = state.reserves[w, asset]
    held = state.collateral[w, p, asset]
    if scaled >= held * HEALTHY:
        scaled = held
    state.collateral[w, p, asset] = held - scaled
    reserve["total_collateral"] = max(reserve["total_collateral"] - scaled, 0.0)


@kernel
def take_debt(state: PooledState, w: int, p: int, asset: int, scaled: float) -> None:
    """Lower a position's scaled debt; what rounding would leave is taken too."""
    reserve = state.reserves[w, asset]
    owed = state.debt[w, p, asset]
    if scaled >= owed * HEALTHY:
        scaled = owed
    state.debt[w, p, asset] = owed - scaled
    reserve["total_debt"] = max(reserve["total_debt"] - scaled, 0.0)


@kernel
def withdrawable(
    state: PooledState, prices: F64, w: int, p: int, asset: int, at_ltv: bool
) -> float:
    """Most tokens of a reserve that may leave a position without making it unhealthy; or inf.

    With `at_ltv` what is left must carry the debt at loan-to-value, not at the threshold. Without
    debt, or for supply that is no collateral, there is no bound. With debt, collateral of zero LTV
    must leave before any other (Aave's rule): then the bound is 0.
    """
    reserve = state.reserves[w, asset]
    _, weighted, power, debt = position_values(state, prices, w, p)
    threshold = reserve["liquidation_threshold"]
    if debt <= 0.0 or threshold <= 0.0:
        return np.inf
    if reserve["ltv"] > 0.0:
        for a in range(prices.shape[1]):
            other = state.reserves[w, a]
            counts = other["liquidation_threshold"] > 0.0 and state.collateral[w, p, a] > 0.0
            if counts and other["ltv"] <= 0.0:
                return 0.0
    if at_ltv:
        weighted, threshold = power, reserve["ltv"]
        if threshold <= 0.0:
            return np.inf if weighted >= debt * HEALTHY else 0.0
    room = (weighted - debt) / (float(prices[w, asset]) * threshold)
    return room if room > 0.0 else 0.0


@kernel
def withdraw(
    state: PooledState,
    balances: F64,
    prices: F64,
    custody: int,
    w: int,
    account: int,
    p: int,
    asset: int,
    amount: float,
    limit: float,
    at_ltv: bool,
) -> tuple[int, float]:
    """Take supply back; the position must stay healthy. Returns code and tokens moved."""
    if state.owner[p] != account:
        return NOT_OWNER, 0.0
    index = state.reserves[w, asset]["liquidity_index"]
    held = state.collateral[w, p, asset] * index
    if held <= 0.0:
        return NO_COLLATERAL, 0.0
    cash = balances[w, custody, asset]
    room = withdrawable(state, prices, w, p, asset, at_ltv)
    if np.isinf(amount):
        amount = min(min(held, cash), room)
        if amount <= 0.0:
            return UNHEALTHY if room <= 0.0 else INSUFFICIENT_LIQUIDITY, 0.0
    if amount > held * (1.0 + TIE):
        return INSUFFICIENT_BALANCE, 0.0
    amount = min(amount, held)
    if amount > room * (1.0 + TIE):
        return UNHEALTHY, 0.0
    if amount < limit:
        return LIMIT_NOT_MET, 0.0
    if not transfer(balances, w, custody, account, asset, amount):
        return INSUFFICIENT_LIQUIDITY, 0.0
    take_collateral(state, w, p, asset, amount / index)
    return OK, amount


@kernel
def borrow(
    state: PooledState,
    balances: F64,
    prices: F64,
    custody: int,
    w: int,
    account: int,
    p: int,
    asset: int,
    amount: float,
    limit: float,
) -> tuple[int, float]:
    """Lend tokens against a position, up to its loan-to-value. Returns code and tokens moved."""
    reserve = state.reserves[w, asset]
    if reserve["frozen"] != 0.0:
        return PAUSED, 0.0
    if state.owner[p] != account:
        return NOT_OWNER, 0.0
    _, weighted, power, debt = position_values(state, prices, w, p)
    index = reserve["borrow_index"]
    room = (power - debt) / prices[w, asset]
    if weighted < debt * HEALTHY or room <= 0.0:
        return UNHEALTHY, 0.0
    cap_room = reserve["borrow_cap"] - reserve["total_debt"] * index
    cash = balances[w, custody, asset]
    if np.isinf(amount):
        amount = min(min(room, cash), cap_room)
        if amount <= 0.0:
            return CAP_EXCEEDED if cap_room <= 0.0 else INSUFFICIENT_LIQUIDITY, 0.0
    if amount > cap_room * (1.0 + TIE):
        return CAP_EXCEEDED, 0.0
    if amount > room * (1.0 + TIE):
        return UNHEALTHY, 0.0
    if amount < limit:
        return LIMIT_NOT_MET, 0.0
    if not transfer(balances, w, custody, account, asset, amount):
        return INSUFFICIENT_LIQUIDITY, 0.0
    state.debt[w, p, asset] += amount / index
    reserve["total_debt"] += amount / index
    return OK, amount


@kernel
def repay(
    state: PooledState,
    balances: F64,
    custody: int,
    w: int,
    account: int,
    p: int,
    asset: int,
    amount: float,
    limit: float,
) -> tuple[int, float]:
    """Pay debt back on behalf of any position, at most what it owes. Code and tokens moved."""
    index = state.reserves[w, asset]["borrow_index"]
    owed = state.debt[w, p, asset] * index
    if owed <= 0.0:
        return NO_DEBT, 0.0
    if np.isinf(amount):
        amount = min(owed, balances[w, account, asset])
        if amount <= 0.0:
            return INSUFFICIENT_BALANCE, 0.0
    amount = min(amount, owed)
    if amount < limit:
        return LIMIT_NOT_MET, 0.0
    if not transfer(balances, w, account, custody, asset, amount):
        return INSUFFICIENT_BALANCE, 0.0
    take_debt(state, w, p, asset, amount / index)
    return OK, amount


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
        reserve["liquidation_bonus"],
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
    take_collateral(state, w, p, asset, (to_liquidator + fee) / index)
    take_debt(state, w, p, asset_2, repaid / state.reserves[w, asset_2]["borrow_index"])
    reserve["treasury"] += fee / index
    reserve["fee_income"] += fee
    bad_debt = 0.0
    collateral_usd, _, _, debt_usd = position_values(state, prices, w, p)
    if debt_usd > 0.0 and collateral_usd < NOTHING_USD:
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


@inlined
def admit(state: PooledState, w: int, asset: int, amount: float) -> int:
    """Check what all verbs on a reserve have in common."""
    if asset < 0 or asset >= state.reserves.shape[1] or state.reserves[w, asset]["listed"] == 0.0:
        return BAD_ASSET
    if not amount > 0.0:
        return BAD_AMOUNT
    if state.reserves[w, asset]["paused"] != 0.0:
        return PAUSED
    return OK


@kernel
def move(
    state: PooledState,
    balances: F64,
    prices: F64,
    custody: int,
    w: int,
    verb: int,
    account: int,
    p: int,
    asset: int,
    amount: float,
    limit: float,
    at_ltv: bool,
) -> tuple[int, float]:
    """Supply, withdraw, borrow or repay; returns code and tokens moved."""
    if p < 0 or p >= state.owner.shape[0]:
        return BAD_TARGET, 0.0
    if verb == SUPPLY:
        return supply(state, balances, custody, w, account, p, asset, amount, limit)
    if verb == WITHDRAW:
        return withdraw(
            state, balances, prices, custody, w, account, p, asset, amount, limit, at_ltv
        )
    if verb == BORROW:
        return borrow(state, balances, prices, custody, w, account, p, asset, amount, limit)
    if verb == REPAY:
        return repay(state, balances, custody, w, account, p, asset, amount, limit)
    return UNKNOWN_VERB, 0.0


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
    code, moved = move(
        state, balances, prices, custody, w, verb, account, p, asset, amount, limit, False
    )
    return code, moved, 0.0, 0.0, 0.0


@inlined
def write_outcome(row: Record, code: int, r0: float, r1: float, r2: float, r3: float) -> None:
    """Write what became of a row."""
    row["code"] = code
    row["r0"] = r0
    row["r1"] = r1
    row["r2"] = r2
    row["r3"] = r3


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
