"""Compound III (`Comet.sol`): one base asset is lent, against collateral that is not.

What it models: a balance of the base asset that is either supply, which earns, or debt; collateral
of several assets, each with a factor for borrowing, one for liquidation, and one for what the
protocol pays when it absorbs; supply and borrow rates by kinked curves of their own. An unhealthy
account is absorbed: the protocol takes all collateral, pays the debt out of its reserves, and
credits what the collateral is worth beyond it. Reserves may go negative and recover: absorbed
collateral is for sale at the store-front discount, as long as reserves are under their target.

`LIQUIDATE` is what the official liquidator contract does in one transaction: absorb the account,
then buy some of its collateral (`asset`) for `amount` of the base asset (`asset_2`).

What it leaves out: rewards to absorbers, account managers, transfers, tracking indices,
and rounding of balances to principal.

`surplus` of the base asset is the protocol's reserves, signed; that of a collateral is what the
protocol owns of it. Bad debt is the part of an absorbed debt beyond the worth of its collateral.

A loan book in other assets is restated at the prices of its start: see `restate`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, inlined, kernel
from sim.ledger import transfer
from sim.lending.health import position_values
from sim.lending.index import LiquidationIndex, touch
from sim.lending.liquidation import HEALTHY, TIE
from sim.lending.moves import admit, borrow, move, repay, supply, take_collateral, take_debt
from sim.lending.moves import write_outcome as write
from sim.lending.opportunities import Opportunities
from sim.lending.params import check_bound, check_risk
from sim.lending.rates import YEAR, kinked_rate
from sim.lending.settling import trimmed
from sim.lending.state import PooledState

WAD = 1e18
OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_ASSET = int(Reject.BAD_ASSET)
BAD_TARGET = int(Reject.BAD_TARGET)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
IS_HEALTHY = int(Reject.HEALTHY)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
SELF_LIQUIDATION = int(Reject.SELF_LIQUIDATION)
BELOW_MINIMUM = int(Reject.BELOW_MINIMUM)
NOT_FOR_SALE = int(Reject.NOT_FOR_SALE)
OTHER_DEBT = int(Reject.OTHER_DEBT)
SUPPLY, BORROW, LIQUIDATE = int(Verb.SUPPLY), int(Verb.BORROW), int(Verb.LIQUIDATE)
ABSORB, BUY_COLLATERAL = int(Verb.ABSORB), int(Verb.BUY_COLLATERAL)


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class CometCollateral:
    """Terms of one collateral; defaults are ether's in Comet's USDC market on Ethereum."""

    borrow_factor: float = 0.825  # fraction of worth that may be borrowed
    liquidation_collateral_factor: float = 0.895  # fraction of worth under which it is absorbed
    liquidation_factor: float = 0.95  # fraction of worth that absorption credits
    supply_cap: float = math.inf  # whole tokens
    paused: bool = False  # no verb at all

    def __post_init__(self) -> None:
        """Reject terms that no deployment accepts."""
        for name, (least, most) in _COLLATERAL_BOUNDS.items():
            check_bound(name, getattr(self, name), least, most)
        check_risk(self.borrow_factor, self.liquidation_collateral_factor, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CometParams:
    """Terms of the market; defaults are Comet's USDC market on Ethereum at its start in 2022."""

    base: str = "USDC"
    collaterals: Mapping[str, CometCollateral] = field(default_factory=dict)  # by asset
    supply_base: float = 0.0  # per year, as all rates here
    supply_slope_low: float = 0.0325  # per unit of utilisation, up to the kink
    supply_slope_high: float = 0.4  # beyond it
    supply_kink: float = 0.8  # utilisation
    borrow_base: float = 0.015
    borrow_slope_low: float = 0.035
    borrow_slope_high: float = 0.25
    borrow_kink: float = 0.8
    store_front_factor: float = 0.5  # fraction of the penalty that buyers get as a discount
    target_reserves: float = 5e6  # whole base tokens; nothing is sold once reserves reach them
    borrow_min: float = 100.0  # whole base tokens: the smallest debt that may be taken

    def __post_init__(self) -> None:
        """Reject what cannot be simulated."""
        if not self.collaterals:
            raise ConfigError(
                "collaterals must name at least one asset, got none; give for example "
                "collaterals: {WETH: {}}"
            )
        if self.base in self.collaterals:
            raise ConfigError(f"base must be no collateral, got {self.base}; leave it out of them")
        for name in (*SUPPLY_CURVE, *BORROW_CURVE):
            check_bound(name, getattr(self, name), 0.0, 1000.0)
        for name, (least, most) in _BOUNDS.items():
            check_bound(name, getattr(self, name), least, most)


SUPPLY_CURVE = ("supply_base", "supply_slope_low", "supply_slope_high", "supply_kink")
BORROW_CURVE = ("borrow_base", "borrow_slope_low", "borrow_slope_high", "borrow_kink")
STORE = ("store_front_factor", "target_reserves", "borrow_min")
_COLLATERAL_BOUNDS = {
    "borrow_factor": (0.0, 1.0),
    "liquidation_collateral_factor": (0.0, 1.0),
    "liquidation_factor": (0.01, 1.0),
    "supply_cap": (0.0, math.inf),
    "paused": (0.0, 1.0),
}
_BOUNDS = {
    "store_front_factor": (0.0, 1.0),
    "target_reserves": (0.0, math.inf),
    "borrow_min": (0.0, math.inf),
}


def per_second(rate: float) -> float:
    """Rate per second of a yearly rate, cut to 18 decimals as the contract's constructor does."""
    return math.floor(rate * WAD / YEAR + 1e-6) / WAD


# State


class CometTerms(NamedTuple):
    """What a Comet has beyond the records of all markets; W worlds, A assets."""

    supply_curve: F64  # (W, 4) as SUPPLY_CURVE; rates per second
    borrow_curve: F64  # (W, 4) as BORROW_CURVE
    store: F64  # (W, 3) as STORE
    liquidation_factor: F64  # (W, A)
    base: int  # asset that is lent


# Kernels


@inlined
def store_front_price(price: float, store_front_factor: float, liquidation_factor: float) -> float:
    """USD at which the protocol sells a whole token of absorbed collateral.

    The buyer gets `store_front_factor` of the penalty 1 - `liquidation_factor` as a discount.
    """
    return price * (1.0 - store_front_factor * (1.0 - liquidation_factor))


@inlined
def quote_collateral(
    base_amount: float, base_price: float, price: float, store_front_factor: float,
    liquidation_factor: float,
) -> float:  # fmt: skip
    """Collateral that `base_amount` of the base asset buys, whole tokens (`quoteCollateral`)."""
    return (
        base_amount * base_price / store_front_price(price, store_front_factor, liquidation_factor)
    )


@inlined
def rate_of(curve: F64, w: int, used: float) -> float:
    """Rate per second on one of the two curves."""
    return kinked_rate(used, curve[w, 0], curve[w, 1], curve[w, 2], curve[w, 3])


@kernel
def refresh(state: PooledState, terms: CometTerms, w: int) -> None:
    """Set the rates of the base asset; utilisation is debt over supply."""
    reserve = state.reserves[w, terms.base]
    supplied = reserve["total_collateral"] * reserve["liquidity_index"]
    used = 0.0
    if supplied > 0.0:
        used = reserve["total_debt"] * reserve["borrow_index"] / supplied
    reserve["borrow_rate"] = YEAR * rate_of(terms.borrow_curve, w, used)
    reserve["liquidity_rate"] = YEAR * rate_of(terms.supply_curve, w, used)


@kernel
def accrue(state: PooledState, terms: CometTerms, seconds: float) -> None:
    """Grow both indices linearly; what debt yields beyond supply goes to the reserves."""
    for w in range(state.reserves.shape[0]):
        reserve = state.reserves[w, terms.base]
        owed = reserve["total_debt"] * reserve["borrow_index"]
        held = reserve["total_collateral"] * reserve["liquidity_index"]
        paid = owed * (reserve["borrow_rate"] / YEAR * seconds)
        earned = held * (reserve["liquidity_rate"] / YEAR * seconds)
        reserve["borrow_index"] *= 1.0 + reserve["borrow_rate"] / YEAR * seconds
        reserve["liquidity_index"] *= 1.0 + reserve["liquidity_rate"] / YEAR * seconds
        reserve["surplus"] += paid - earned
        reserve["supplier_interest"] += earned
        reserve["reserve_income"] += paid - earned
        refresh(state, terms, w)


@inlined
def is_liquidatable(state: PooledState, prices: F64, w: int, p: int) -> bool:
    """Whether an account owes more than its collateral carries (`isLiquidatable`)."""
    _, weighted, _, debt = position_values(state, prices, w, p)
    return bool(debt > 0.0 and weighted < debt * HEALTHY)


@kernel
def absorb(
    state: PooledState, terms: CometTerms, prices: F64, w: int, p: int
) -> tuple[float, float, float, float]:
    """Take an account over: its collateral to the protocol, its debt onto the reserves.

    Returns
    -------
    paid, credited : float
        Base tokens that the reserves paid out, and the part of them that the account keeps.
    seized_usd, bad_debt_usd : float
        Worth of the collateral, and of the debt beyond it.
    """
    base = terms.base
    reserve = state.reserves[w, base]
    worth, value = 0.0, 0.0
    for a in range(prices.shape[1]):
        held = state.collateral[w, p, a]
        if a != base and held > 0.0:
            worth += held * prices[w, a]
            value += held * prices[w, a] * terms.liquidation_factor[w, a]
            take_collateral(state, w, p, a, held)
            state.reserves[w, a]["surplus"] += held
    owed = state.debt[w, p, base] * reserve["borrow_index"]
    credited = max(value / prices[w, base] - owed, 0.0)
    take_debt(state, w, p, base, state.debt[w, p, base])
    state.collateral[w, p, base] += credited / reserve["liquidity_index"]
    reserve["total_collateral"] += credited / reserve["liquidity_index"]
    reserve["surplus"] -= owed + credited
    bad_debt = max(owed * prices[w, base] - worth, 0.0)
    state.market[w]["bad_debt_usd"] += bad_debt
    return owed + credited, credited, worth, bad_debt


@kernel
def purchase(
    terms: CometTerms, balances: F64, prices: F64, w: int, account: int,
    asset: int, amount: float, owned: float, reserves: float, limit: float,
) -> tuple[int, float, float]:  # fmt: skip
    """Tell what buying absorbed collateral would do: code, base paid, collateral received.

    `owned` is what the protocol has of it and `reserves` are its base tokens, at that time.
    """
    base = terms.base
    if asset == base:
        return BAD_ASSET, 0.0, 0.0
    if reserves >= terms.store[w, 1] or not owned > 0.0:
        return NOT_FOR_SALE, 0.0, 0.0
    per_base = quote_collateral(
        1.0, prices[w, base], prices[w, asset], terms.store[w, 0],
        terms.liquidation_factor[w, asset],
    )  # fmt: skip
    purse = balances[w, account, base]
    all_of_it = owned / per_base
    paid = trimmed(amount, min(all_of_it, purse) if math.isinf(amount) else all_of_it)
    if math.isinf(paid):
        return NOT_FOR_SALE, 0.0, 0.0
    if not paid > 0.0 or paid > purse * (1.0 + TIE):
        return INSUFFICIENT_BALANCE, 0.0, 0.0
    received = min(paid * per_base, owned)
    if not received >= limit:
        return LIMIT_NOT_MET, 0.0, 0.0
    return OK, paid, received


@kernel
def buy(
    state: PooledState, terms: CometTerms, balances: F64, custody: int, w: int, account: int,
    asset: int, paid: float, received: float,
) -> None:  # fmt: skip
    """Settle a purchase of absorbed collateral."""
    transfer(balances, w, account, custody, terms.base, paid)
    transfer(balances, w, custody, account, asset, received)
    state.reserves[w, terms.base]["surplus"] += paid
    left = state.reserves[w, asset]["surplus"] - received
    state.reserves[w, asset]["surplus"] = left if left > TIE * received else 0.0


@kernel
def liquidate(
    state: PooledState, terms: CometTerms, balances: F64, prices: F64, custody: int, w: int,
    account: int, p: int, asset: int, amount: float, limit: float,
) -> tuple[int, float, float, float]:  # fmt: skip
    """Absorb an account and buy collateral, both or neither. Code, paid, received, bad debt."""
    if p < 0 or p >= state.owner.shape[0]:
        return BAD_TARGET, 0.0, 0.0, 0.0
    if state.owner[p] == account:
        return SELF_LIQUIDATION, 0.0, 0.0, 0.0
    if not is_liquidatable(state, prices, w, p):
        return IS_HEALTHY, 0.0, 0.0, 0.0
    held = state.collateral[w, p, asset]
    if held <= 0.0:
        return NO_COLLATERAL, 0.0, 0.0, 0.0
    owed = state.debt[w, p, terms.base] * state.reserves[w, terms.base]["borrow_index"]
    reserves = state.reserves[w, terms.base]["surplus"] - owed  # or less, with what is credited
    code, paid, received = purchase(
        terms, balances, prices, w, account, asset, amount, held, reserves, limit
    )
    if code != OK:
        return code, 0.0, 0.0, 0.0
    _, _, _, bad_debt = absorb(state, terms, prices, w, p)
    buy(state, terms, balances, custody, w, account, asset, paid, received)
    return OK, paid, received, bad_debt


@kernel
def base_supply(
    state: PooledState, balances: F64, custody: int, w: int, account: int, p: int, base: int,
    amount: float, limit: float,
) -> tuple[int, float]:  # fmt: skip
    """Hand base tokens in: they repay debt first. Returns code and tokens moved."""
    owed = state.debt[w, p, base] * state.reserves[w, base]["borrow_index"]
    purse = balances[w, account, base]
    amount = purse if math.isinf(amount) else amount
    if not 0.0 < amount <= purse * (1.0 + TIE):
        return INSUFFICIENT_BALANCE, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0
    first = min(amount, owed)
    if first > 0.0:
        code, repaid = repay(state, balances, custody, w, account, p, base, first, 0.0)
        rest = min(amount - first, balances[w, account, base])
        if code != OK or rest <= TIE * amount:
            return code, repaid
        code, supplied = supply(state, balances, custody, w, account, p, base, rest, 0.0)
        return OK, repaid + supplied
    return supply(state, balances, custody, w, account, p, base, amount, 0.0)


@kernel
def base_borrow(
    state: PooledState, terms: CometTerms, balances: F64, prices: F64, custody: int, w: int,
    account: int, p: int, amount: float, limit: float,
) -> tuple[int, float]:  # fmt: skip
    """Borrow base tokens, at least the minimum, by an account that supplies none."""
    base = terms.base
    if state.collateral[w, p, base] > 0.0:
        return OTHER_DEBT, 0.0
    owed = state.debt[w, p, base] * state.reserves[w, base]["borrow_index"]
    least = max(limit, terms.store[w, 2] * HEALTHY - owed)
    if amount < least and not amount < limit:
        return BELOW_MINIMUM, 0.0
    return borrow(state, balances, prices, custody, w, account, p, base, amount, least)


@inlined
def account_verb(
    state: PooledState, terms: CometTerms, balances: F64, prices: F64, custody: int, w: int,
    verb: int, account: int, p: int, asset: int, amount: float, limit: float,
) -> tuple[int, float]:  # fmt: skip
    """Supply, withdraw, borrow or repay."""
    if p < 0 or p >= state.owner.shape[0]:
        return BAD_TARGET, 0.0
    if asset == terms.base and verb == SUPPLY:
        return base_supply(state, balances, custody, w, account, p, asset, amount, limit)
    if asset == terms.base and verb == BORROW:
        return base_borrow(state, terms, balances, prices, custody, w, account, p, amount, limit)
    return move(state, balances, prices, custody, w, verb, account, p, asset, amount, limit, True)


@kernel
def perform(
    state: PooledState, terms: CometTerms, balances: F64, prices: F64, custody: int, w: int,
    verb: int, account: int, p: int, asset: int, asset_2: int, amount: float, limit: float,
) -> tuple[int, float, float, float, float]:  # fmt: skip
    """Check what verbs have in common and dispatch; returns code and results."""
    if verb == ABSORB:
        if p < 0 or p >= state.owner.shape[0]:
            return BAD_TARGET, 0.0, 0.0, 0.0, 0.0
        if not is_liquidatable(state, prices, w, p):
            return IS_HEALTHY, 0.0, 0.0, 0.0, 0.0
        paid, credited, seized, bad_debt = absorb(state, terms, prices, w, p)
        return OK, paid, credited, seized, bad_debt
    if not (SUPPLY <= verb <= LIQUIDATE or verb == BUY_COLLATERAL):
        return UNKNOWN_VERB, 0.0, 0.0, 0.0, 0.0
    code = admit(state, w, asset, amount)
    if code != OK:
        return code, 0.0, 0.0, 0.0, 0.0
    if verb == BUY_COLLATERAL:
        owned = state.reserves[w, asset]["surplus"]
        reserves = state.reserves[w, terms.base]["surplus"]
        code, paid, received = purchase(
            terms, balances, prices, w, account, asset, amount, owned, reserves, limit
        )
        if code == OK:
            buy(state, terms, balances, custody, w, account, asset, paid, received)
        return code, paid, received, 0.0, 0.0
    if verb == LIQUIDATE:
        if asset_2 != terms.base or asset == terms.base:
            return BAD_ASSET, 0.0, 0.0, 0.0, 0.0
        code, paid, received, bad_debt = liquidate(
            state, terms, balances, prices, custody, w, account, p, asset, amount, limit
        )
        return code, paid, received, 0.0, bad_debt
    code, moved = account_verb(
        state, terms, balances, prices, custody, w, verb, account, p, asset, amount, limit
    )
    return code, moved, 0.0, 0.0, 0.0


@kernel
def execute(
    state: PooledState, terms: CometTerms, index: LiquidationIndex, balances: F64, prices: F64,
    rows: Rows, order: I64, starts: I64, ends: I64, custody: int,
) -> int:  # fmt: skip
    """Execute `rows[order[starts[w]:ends[w]]]` in that order per world; how many had an effect."""
    total = 0
    for w in range(starts.shape[0]):
        done = 0
        for k in range(starts[w], ends[w]):
            row = rows[order[k]]
            p = int(row["target"])
            code, r0, r1, r2, r3 = perform(
                state, terms, balances, prices, custody, w, int(row["verb"]),
                int(row["account"]), p, int(row["asset"]), int(row["asset_2"]), row["amount"],
                row["limit"],
            )  # fmt: skip
            write(row, code, r0, r1, r2, r3)
            if code == OK:
                done += 1
                if 0 <= p < state.owner.shape[0]:
                    touch(index, state, w, p)
        if done > 0:
            refresh(state, terms, w)
        total += done
    return total


@kernel
def price_calls(state: PooledState, terms: CometTerms, prices: F64, table: Opportunities) -> None:
    """Fill what buying all of an account's largest collateral costs and brings."""
    for w in range(prices.shape[0]):
        for k in range(table.starts[w], table.starts[w + 1]):
            p, c, d = table.position[k], table.collateral_asset[k], table.debt_asset[k]
            if c < 0 or d < 0:
                continue
            held = state.collateral[w, p, c]
            unit = quote_collateral(
                1.0, prices[w, d], prices[w, c], terms.store[w, 0], terms.liquidation_factor[w, c]
            )
            table.debt_to_cover[k] = held / unit
            table.collateral_received[k] = held
            table.debt_to_cover_usd[k] = held / unit * prices[w, d]
