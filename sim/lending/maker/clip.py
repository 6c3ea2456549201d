"""Dutch auctions: `bark`, `take`, `redo` and the price curves (dss `dog.sol`, `clip.sol`, `abaci`).

Prices fall from `top` by a curve; whoever takes pays the present price and has the collateral at
once. A bid that would leave less than `chost` of the target is cut down, silently, to leave just
that. Flash callbacks need no rule here: collateral comes before the bundle ends.
"""

import math

from sim.actions import Reject
from sim.kernel import kernel
from sim.ledger import mint, transfer
from sim.lending.maker.params import LINEAR, STAIRSTEP
from sim.lending.maker.state import MakerState, Money
from sim.lending.maker.vault import (
    TIE,
    auction_number,
    close_auction,
    grab,
    is_unsafe,
    open_auction,
    power,
)
from sim.lending.maker.vow import fess

OK = int(Reject.OK)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_PRICE = int(Reject.BAD_PRICE)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
CAP_EXCEEDED = int(Reject.CAP_EXCEEDED)
HEALTHY = int(Reject.HEALTHY)
LEAVES_DUST = int(Reject.LEAVES_DUST)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
BOOK_FULL = int(Reject.BOOK_FULL)
AUCTION_OVER = int(Reject.AUCTION_OVER)
AUCTION_RUNS = int(Reject.AUCTION_RUNS)

_LINEAR, _STAIRSTEP = LINEAR, STAIRSTEP


@kernel
def curve_price(
    curve: float, top: float, elapsed: float, linear_tau: float, cut: float, step: float
) -> float:
    """Price of an auction after `elapsed` seconds (`abaci.sol`).

    linear: top × (tau - t) / tau, 0 from tau on; stairstep: top × cut^floor(t / step);
    exponential: top × cut^t.
    """
    if curve == _LINEAR:
        if elapsed >= linear_tau:
            return 0.0
        return top * ((linear_tau - elapsed) / linear_tau)
    if curve == _STAIRSTEP:
        return top * power(cut, math.floor(elapsed / step))
    return top * power(cut, math.floor(elapsed))


@kernel
def clip_status(state: MakerState, w: int, slot: int, now: float) -> tuple[bool, float]:
    """Whether an auction must be restarted, and its present price."""
    system, auction = state.system[w], state.auctions[w, slot]
    if auction["live"] == 0.0:
        return False, 0.0
    elapsed = now - auction["tic"]
    top = auction["top"]
    price = curve_price(
        system["curve"], top, elapsed, system["linear_tau"], system["cut"], system["step"]
    )
    return elapsed > system["tail"] or price < system["cusp"] * top * (1.0 - TIE), price


@kernel
def _reward(state: MakerState, money: Money, w: int, keeper: int, tab: float) -> float:
    """Pay who started an auction with new stable tokens, booked as the system's debt (`suck`)."""
    system = state.system[w]
    coin: float = system["tip"] + tab * system["chip"]
    if coin > 0.0:
        mint(money.balances, money.minted, w, keeper, state.assets[1], coin)
        system["sin"] += coin
        system["incentives"] += coin
    return coin


@kernel
def bark(
    state: MakerState, money: Money, w: int, p: int, keeper: int, now: float, price: float
) -> tuple[int, float, float, float, float]:
    """Seize an unsafe vault as far as the hole allows and start its auction (`dog.bark`, `kick`).

    Returns
    -------
    code, number, lot, tab, due
        Reject code; the auction's number; collateral tokens; stable tokens wanted, and of debt.
    """
    urn, system = state.urns[w, p], state.system[w]
    ink, art, rate = urn["ink"], urn["art"], system["rate"]
    if not is_unsafe(ink, art * rate, price / system["liquidation_ratio"]):
        return HEALTHY, 0.0, 0.0, 0.0, 0.0
    room = min(system["hole"], system["total_hole"]) - system["dirt"]
    if not room > 0.0:
        return CAP_EXCEEDED, 0.0, 0.0, 0.0, 0.0
    if system["n_live"] >= state.slots.shape[1]:
        return BOOK_FULL, 0.0, 0.0, 0.0, 0.0
    chop = 1.0 + system["penalty"]
    dart = min(art, room / rate / chop)
    if art > dart:
        if (art - dart) * rate < system["dust"] * (1.0 - TIE):
            dart = art  # leaves no dust, and may exceed the hole
        elif dart * rate < system["dust"] * (1.0 - TIE):
            return LEAVES_DUST, 0.0, 0.0, 0.0, 0.0
    dink = ink if dart == art else ink * (dart / art)
    if not dink > 0.0:
        return NO_COLLATERAL, 0.0, 0.0, 0.0, 0.0
    top = price * system["buf"]
    if not top > 0.0:
        return BAD_PRICE, 0.0, 0.0, 0.0, 0.0
    due = grab(state, w, p, dink, dart)
    fess(state, w, now, due)
    tab = due * chop
    slot = open_auction(state, w, p, dink, tab, due)
    auction = state.auctions[w, slot]
    auction["tic"] = now
    auction["top"] = top
    _reward(state, money, w, keeper, tab)
    return OK, auction_number(state, w, slot), dink, tab, due


@kernel
def redo(
    state: MakerState, money: Money, w: int, slot: int, keeper: int, now: float, price: float
) -> tuple[int, float, float]:
    """Restart the curve of a stale auction at the oracle's price; code, new top, reward."""
    system, auction = state.system[w], state.auctions[w, slot]
    stale, _ = clip_status(state, w, slot, now)
    if not stale:
        return AUCTION_RUNS, 0.0, 0.0
    top = price * system["buf"]
    if not top > 0.0:
        return BAD_PRICE, 0.0, 0.0
    auction["tic"] = now
    auction["top"] = top
    coin, least = 0.0, system["chost"] * (1.0 - TIE)
    if auction["tab"] >= least and auction["lot"] * price >= least:
        coin = _reward(state, money, w, keeper, auction["tab"])
    return OK, top, coin


@kernel
def take_size(
    tab: float, lot: float, price: float, chost: float, amount: float
) -> tuple[int, float, float]:
    """Size a bid for `amount` of a lot: code, collateral sold, stable tokens owed (`clip.take`).

    No more is raised than the target; what would leave less of it than `chost`, and some of the
    lot, is re-sized to leave `chost`.
    """
    part = min(lot, amount)
    owe = part * price
    if owe >= tab * (1.0 - TIE):
        part = min(part, tab / price)
        return OK, part, tab
    if part < lot and tab - owe < chost * (1.0 - TIE):
        if not tab > chost * (1.0 + TIE):
            return LEAVES_DUST, 0.0, 0.0
        owe = tab - chost
        part = owe / price
    return OK, part, owe


@kernel
def take(
    state: MakerState, money: Money, w: int, slot: int, bidder: int, now: float, amount: float,
    most: float,
) -> tuple[int, float, float, float, float]:  # fmt: skip
    """Buy up to `amount` of a lot at the present price, unless that is above `most`.

    Returns
    -------
    code, sold, paid, returned, bad_debt
        Collateral tokens bought, stable tokens paid, collateral given back to the vault's owner
        and debt that stays uncovered; the last two only where the auction ends.
    """
    system, auction = state.system[w], state.auctions[w, slot]
    stale, price = clip_status(state, w, slot, now)
    if stale:
        return AUCTION_OVER, 0.0, 0.0, 0.0, 0.0
    if not most >= price:
        return LIMIT_NOT_MET, 0.0, 0.0, 0.0, 0.0
    code, sold, owe = take_size(auction["tab"], auction["lot"], price, system["chost"], amount)
    if code != OK:
        return code, 0.0, 0.0, 0.0, 0.0
    gem, stable = state.assets[0], state.assets[1]
    if not transfer(money.balances, w, bidder, state.account, stable, owe):
        return INSUFFICIENT_BALANCE, 0.0, 0.0, 0.0, 0.0
    system["surplus"] += owe
    transfer(money.balances, w, state.account, bidder, gem, sold)
    auction["paid"] += owe
    auction["tab"] -= owe
    auction["lot"] -= sold
    back, bad = 0.0, 0.0
    if auction["lot"] <= 0.0:
        system["dirt"] = max(system["dirt"] - owe - auction["tab"], 0.0)
        bad = close_auction(state, w, slot)
    else:
        system["dirt"] = max(system["dirt"] - owe, 0.0)
        if auction["tab"] <= 0.0:
            back = auction["lot"]
            transfer(money.balances, w, state.account, state.owner[int(auction["urn"])], gem, back)
            bad = close_auction(state, w, slot)
    return OK, sold, owe, back, bad
