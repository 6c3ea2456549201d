"""What every lending market lets positions do: supply, withdraw, borrow, repay.

Every verb has one rhythm: require, compute, mutate. Nothing is touched before all checks are done;
a failure is a reject code. Amounts are whole tokens; inf asks for as much as rules and balances
allow. `custody` is the market's ledger account: its balance is the reserve's cash.
"""

import numpy as np

from sim.actions import Reject, Verb
from sim.kernel import F64, Record, inlined, kernel
from sim.ledger import transfer
from sim.lending.health import position_values
from sim.lending.liquidation import HEALTHY, TIE
from sim.lending.state import LIFT, LTV_LIFT, PooledState, lift_of, mode_of

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
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
NOT_OWNER = int(Reject.NOT_OWNER)
PAUSED = int(Reject.PAUSED)

SUPPLY = int(Verb.SUPPLY)
WITHDRAW = int(Verb.WITHDRAW)
BORROW = int(Verb.BORROW)
REPAY = int(Verb.REPAY)


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
    mode = mode_of(state, w, p)
    threshold = reserve["liquidation_threshold"] * lift_of(state, mode, asset, LIFT)
    if debt <= 0.0 or threshold <= 0.0:
        return np.inf
    if reserve["ltv"] > 0.0:
        for a in range(prices.shape[1]):
            other = state.reserves[w, a]
            counts = other["liquidation_threshold"] > 0.0 and state.collateral[w, p, a] > 0.0
            if counts and other["ltv"] <= 0.0:
                return 0.0
    if at_ltv:
        weighted, threshold = power, reserve["ltv"] * lift_of(state, mode, asset, LTV_LIFT)
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


@inlined
def write_outcome(row: Record, code: int, r0: float, r1: float, r2: float, r3: float) -> None:
    """Write what became of a row."""
    row["code"] = code
    row["r0"] = r0
    row["r1"] = r1
    row["r2"] = r2
    row["r3"] = r3
