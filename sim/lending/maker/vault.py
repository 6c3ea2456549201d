"""Vaults: lock, free, draw, wipe, fees, and the seizure of an unsafe one (makerdao/dss `vat.sol`).

A vault is safe while ink × price / liquidation_ratio >= art × rate. Every verb has one rhythm:
require, compute, mutate; a failure is a reject code and nothing is touched. Two numbers within
1e-12 of each other count as equal, where the contract compares integers.
"""

import numpy as np

from sim.actions import Reject
from sim.kernel import F64, kernel
from sim.ledger import burn, mint, transfer
from sim.lending.maker.state import MakerState, Money

OK = int(Reject.OK)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
CAP_EXCEEDED = int(Reject.CAP_EXCEEDED)
UNHEALTHY = int(Reject.UNHEALTHY)
LEAVES_DUST = int(Reject.LEAVES_DUST)
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
NOT_OWNER = int(Reject.NOT_OWNER)
BOOK_FULL = int(Reject.BOOK_FULL)

TIE = 1e-12  # relative; closer numbers are equal


@kernel
def is_unsafe(ink: float, debt: float, spot: float) -> bool:
    """Whether a vault may be liquidated; `spot` is the price over the liquidation ratio."""
    return debt > 0.0 and ink * spot < debt * (1.0 - TIE)


@kernel
def power(base: float, exponent: float) -> float:
    """Whole power by squaring, as the contract's `rpow`; no transcendental."""
    n, result, square = int(exponent), 1.0, base
    while n > 0:
        if n & 1:
            result *= square
        square *= square
        n >>= 1
    return result


@kernel
def accrue(state: MakerState, money: Money, factors: F64) -> None:
    """Charge the stability fee: `rate` grows by the world's factor, the system gets what it adds.

    `factors` (W,) is (1 + fee) to the power of the elapsed years (`jug.drip`).
    """
    for w in range(factors.shape[0]):
        system = state.system[w]
        if not system["total_art"] > 0.0:
            continue
        growth = system["rate"] * (factors[w] - 1.0)
        system["rate"] += growth
        fee = system["total_art"] * growth
        mint(money.balances, money.minted, w, state.account, state.assets[1], fee)
        system["surplus"] += fee
        system["fee_income"] += fee


@kernel
def lock(
    state: MakerState, money: Money, w: int, p: int, account: int, amount: float, limit: float
) -> tuple[int, float]:
    """Add collateral to any vault; code and tokens moved."""
    gem = state.assets[0]
    if np.isinf(amount):
        amount = money.balances[w, account, gem]
        if not amount > 0.0:
            return INSUFFICIENT_BALANCE, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0
    if not transfer(money.balances, w, account, state.account, gem, amount):
        return INSUFFICIENT_BALANCE, 0.0
    state.urns[w, p]["ink"] += amount
    return OK, amount


@kernel
def free(
    state: MakerState, money: Money, w: int, p: int, account: int, amount: float, limit: float,
    spot: float,
) -> tuple[int, float]:  # fmt: skip
    """Take collateral out of one's vault, which must stay safe; code and tokens moved."""
    urn = state.urns[w, p]
    if state.owner[p] != account:
        return NOT_OWNER, 0.0
    ink = urn["ink"]
    if not ink > 0.0:
        return NO_COLLATERAL, 0.0
    debt = urn["art"] * state.system[w]["rate"]
    room = ink if debt == 0.0 else (ink - debt / spot if spot > 0.0 else 0.0)
    if np.isinf(amount):
        amount = min(ink, room)
        if not amount > 0.0:
            return UNHEALTHY, 0.0
    if amount > ink * (1.0 + TIE):
        return INSUFFICIENT_BALANCE, 0.0
    amount = min(amount, ink)
    if is_unsafe(ink - amount, debt, spot):
        return UNHEALTHY, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0
    if not transfer(money.balances, w, state.account, account, state.assets[0], amount):
        return INSUFFICIENT_BALANCE, 0.0
    urn["ink"] = ink - amount
    return OK, amount


@kernel
def draw(
    state: MakerState, money: Money, w: int, p: int, account: int, amount: float, limit: float,
    spot: float,
) -> tuple[int, float]:  # fmt: skip
    """Mint stable tokens against one's vault; code and tokens minted."""
    urn, system = state.urns[w, p], state.system[w]
    if state.owner[p] != account:
        return NOT_OWNER, 0.0
    rate = system["rate"]
    debt = urn["art"] * rate
    room = urn["ink"] * spot - debt
    ceiling = system["debt_ceiling"] - system["total_art"] * rate
    if np.isinf(amount):
        amount = min(room, ceiling)
        if not amount > 0.0:
            return CAP_EXCEEDED if room > 0.0 else UNHEALTHY, 0.0
    if is_unsafe(urn["ink"], debt + amount, spot):
        return UNHEALTHY, 0.0
    if amount > ceiling * (1.0 + TIE):
        return CAP_EXCEEDED, 0.0
    if debt + amount < system["dust"] * (1.0 - TIE):
        return LEAVES_DUST, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0
    art = amount / rate
    urn["art"] += art
    system["total_art"] += art
    mint(money.balances, money.minted, w, account, state.assets[1], amount)
    return OK, amount


@kernel
def wipe(
    state: MakerState, money: Money, w: int, p: int, account: int, amount: float, limit: float
) -> tuple[int, float]:
    """Burn stable tokens against any vault's debt; code and tokens burnt."""
    urn, system = state.urns[w, p], state.system[w]
    rate = system["rate"]
    debt = urn["art"] * rate
    if not debt > 0.0:
        return NO_DEBT, 0.0
    if np.isinf(amount):
        amount = min(debt, money.balances[w, account, state.assets[1]])
        if not amount > 0.0:
            return INSUFFICIENT_BALANCE, 0.0
    whole = amount >= debt * (1.0 - TIE)
    if whole:
        amount = debt
    elif debt - amount < system["dust"] * (1.0 - TIE):
        return LEAVES_DUST, 0.0
    if not amount >= limit:
        return LIMIT_NOT_MET, 0.0
    if not burn(money.balances, money.burnt, w, account, state.assets[1], amount):
        return INSUFFICIENT_BALANCE, 0.0
    art = urn["art"] if whole else amount / rate
    urn["art"] -= art
    system["total_art"] = max(system["total_art"] - art, 0.0)
    return OK, amount


@kernel
def grab(state: MakerState, w: int, p: int, ink: float, art: float) -> float:
    """Seize part of a vault: its debt becomes the system's (`vat.grab`); return that debt."""
    urn, system = state.urns[w, p], state.system[w]
    due: float = art * system["rate"]
    urn["ink"] -= ink
    urn["art"] -= art
    system["total_art"] = max(system["total_art"] - art, 0.0)
    system["sin"] += due
    system["due"] += due
    return due


@kernel
def open_auction(state: MakerState, w: int, p: int, lot: float, tab: float, due: float) -> int:
    """Put a lot up in a free slot; the slot. The caller has checked that there is one."""
    system = state.system[w]
    place = int(system["n_live"])
    slot = int(state.slots[w, place])
    auction = state.auctions[w, slot]
    auction["live"] = 1.0
    auction["place"] = place
    auction["urn"] = p
    auction["lot"] = lot
    auction["tab"] = tab
    auction["due"] = due
    auction["paid"] = 0.0
    auction["guy"] = -1.0
    system["n_live"] += 1.0
    system["n_kicks"] += 1.0
    system["dirt"] += tab
    return slot


@kernel
def close_auction(state: MakerState, w: int, slot: int) -> float:
    """Take an auction off the list and book how it ended; the bad debt that it leaves."""
    system, auction = state.system[w], state.auctions[w, slot]
    last = int(system["n_live"]) - 1
    place, other = int(auction["place"]), int(state.slots[w, last])
    state.slots[w, place] = other
    state.auctions[w, other]["place"] = place
    state.slots[w, last] = slot
    system["n_live"] = last
    due, paid = auction["due"], auction["paid"]
    system["due"] = max(system["due"] - due, 0.0)
    if last == 0:  # no residue of rounding outlives the last auction
        system["due"] = 0.0
        system["dirt"] = 0.0
    bad: float = max(due - paid, 0.0)
    system["bad_debt"] += bad
    system["penalty_income"] += max(paid - due, 0.0)
    auction["live"] = 0.0
    auction["lot"] = 0.0
    auction["tab"] = 0.0
    auction["due"] = 0.0
    auction["paid"] = 0.0
    auction["tic"] = 0.0
    auction["end"] = 0.0
    auction["top"] = 0.0
    auction["generation"] += 1.0
    return bad


@kernel
def find_auction(state: MakerState, w: int, number: int) -> int:
    """Slot of a live auction by its number, slot + slots × generation; -1: none."""
    n_slots = state.slots.shape[1]
    if number < 0:
        return -1
    slot = number % n_slots
    auction = state.auctions[w, slot]
    if auction["live"] == 0.0 or auction["generation"] != number // n_slots:
        return -1
    return int(slot)


@kernel
def auction_number(state: MakerState, w: int, slot: int) -> float:
    """Name a live auction uniquely: slot + slots × generation."""
    number: float = slot + state.slots.shape[1] * state.auctions[w, slot]["generation"]
    return number
