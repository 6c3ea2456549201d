"""English auctions: `bite`, `tend`, `dent`, `tick` and `deal` (dss `cat.sol` v1, `flip.sol`).

First phase (tend): bids for the whole lot rise until one meets the target. Second (dent): bidders
take ever smaller lots for that bid; what they leave goes back to the vault's owner. Each bid beats
the last by `beg`, stands for `ttl`, and none comes after `tau`. Nothing floors the first bid: where
nobody else gets into a block before `ttl` is over, a bid of zero wins. On chain that is one unit of
1e-45; here it is 0.
"""

from sim.actions import Reject
from sim.kernel import kernel
from sim.ledger import transfer
from sim.lending.maker.state import MakerState, Money
from sim.lending.maker.vault import (
    TIE,
    auction_number,
    close_auction,
    grab,
    is_unsafe,
    open_auction,
)
from sim.lending.maker.vow import fess

OK = int(Reject.OK)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
CAP_EXCEEDED = int(Reject.CAP_EXCEEDED)
HEALTHY = int(Reject.HEALTHY)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
BOOK_FULL = int(Reject.BOOK_FULL)
AUCTION_OVER = int(Reject.AUCTION_OVER)
AUCTION_RUNS = int(Reject.AUCTION_RUNS)
BID_TOO_LOW = int(Reject.BID_TOO_LOW)


@kernel
def bite(
    state: MakerState, w: int, p: int, now: float, price: float
) -> tuple[int, float, float, float, float]:
    """Seize up to a lump of an unsafe vault and start its auction (`cat.bite`, `flip.kick`).

    Returns
    -------
    code, number, lot, tab, due
        As `clip.bark`.
    """
    urn, system = state.urns[w, p], state.system[w]
    ink, art = urn["ink"], urn["art"]
    if not is_unsafe(ink, art * system["rate"], price / system["liquidation_ratio"]):
        return HEALTHY, 0.0, 0.0, 0.0, 0.0
    if not system["dirt"] < min(system["hole"], system["total_hole"]):
        return CAP_EXCEEDED, 0.0, 0.0, 0.0, 0.0
    if not ink > 0.0:
        return NO_COLLATERAL, 0.0, 0.0, 0.0, 0.0
    if system["n_live"] >= state.slots.shape[1]:
        return BOOK_FULL, 0.0, 0.0, 0.0, 0.0
    lot = min(ink, system["lump"])
    due = grab(state, w, p, lot, art if lot == ink else art * (lot / ink))
    fess(state, w, now, due)
    tab = due * (1.0 + system["penalty"])
    slot = open_auction(state, w, p, lot, tab, due)
    state.auctions[w, slot]["end"] = now + system["tau"]
    return OK, auction_number(state, w, slot), lot, tab, due


@kernel
def is_open(state: MakerState, w: int, slot: int, now: float) -> bool:
    """Whether an auction takes bids now."""
    auction = state.auctions[w, slot]
    tic = auction["tic"]
    return bool((tic == 0.0 or tic > now) and auction["end"] > now)


@kernel
def least_bid(state: MakerState, w: int, slot: int) -> tuple[float, float]:
    """Least bid, and the largest lot for it, that would beat the present one."""
    system, auction = state.system[w], state.auctions[w, slot]
    paid, tab, lot = auction["paid"], auction["tab"], auction["lot"]
    if paid < tab:
        return min(paid * (1.0 + system["beg"]), tab), lot
    return tab, lot / (1.0 + system["beg"])


@kernel
def bid(
    state: MakerState, money: Money, w: int, slot: int, bidder: int, now: float, amount: float,
    lot: float,
) -> tuple[int, float, float, float]:  # fmt: skip
    """Bid stable tokens for a lot (0: the whole one); the former bidder is paid back at once.

    Returns
    -------
    code, paid, lot, returned
        The bid, the lot that it asks for, and collateral tokens given back to the vault's owner.
    """
    system, auction = state.system[w], state.auctions[w, slot]
    if not is_open(state, w, slot, now):
        return AUCTION_OVER, 0.0, 0.0, 0.0
    held, last, tab = auction["lot"], auction["paid"], auction["tab"]
    whole = lot == 0.0 or abs(lot - held) <= held * TIE
    if amount >= tab * (1.0 - TIE):
        amount = tab
    better = 1.0 + system["beg"] * (1.0 - TIE)
    if last < tab:
        if not whole:
            return BAD_AMOUNT, 0.0, 0.0, 0.0
        rises = amount > last or (auction["tic"] == 0.0 and amount == 0.0)
        if not (rises and (amount >= last * better or amount == tab)):
            return BID_TOO_LOW, 0.0, 0.0, 0.0
        lot = held
    else:
        if amount != tab:
            return BAD_AMOUNT, 0.0, 0.0, 0.0
        if whole or not 0.0 < lot * better <= held:
            return BID_TOO_LOW, 0.0, 0.0, 0.0
    gem, stable, former = state.assets[0], state.assets[1], int(auction["guy"])
    changes = former >= 0 and former != bidder
    cost = amount if changes else amount - last
    if money.balances[w, bidder, stable] < cost:
        return INSUFFICIENT_BALANCE, 0.0, 0.0, 0.0
    if changes:
        transfer(money.balances, w, bidder, former, stable, last)
    transfer(money.balances, w, bidder, state.account, stable, amount - last)
    system["surplus"] += amount - last
    back = held - lot
    if back > 0.0:
        transfer(money.balances, w, state.account, state.owner[int(auction["urn"])], gem, back)
    auction["guy"] = bidder
    auction["paid"] = amount
    auction["lot"] = lot
    auction["tic"] = now + system["ttl"]
    return OK, amount, lot, back


@kernel
def tick(state: MakerState, w: int, slot: int, now: float) -> int:
    """Restart an auction that ended without a bid; code."""
    auction = state.auctions[w, slot]
    if not (auction["end"] < now and auction["tic"] == 0.0):
        return AUCTION_RUNS
    auction["end"] = now + state.system[w]["tau"]
    return OK


@kernel
def deal(
    state: MakerState, money: Money, w: int, slot: int, now: float
) -> tuple[int, float, float, float, float]:
    """Hand the lot to the winner: code, lot, paid, winner's account, bad debt."""
    system, auction = state.system[w], state.auctions[w, slot]
    if auction["tic"] == 0.0 or not (auction["tic"] < now or auction["end"] < now):
        return AUCTION_RUNS, 0.0, 0.0, 0.0, 0.0
    lot, paid, winner = auction["lot"], auction["paid"], int(auction["guy"])
    transfer(money.balances, w, state.account, winner, state.assets[0], lot)
    system["dirt"] = max(system["dirt"] - auction["tab"], 0.0)
    bad = close_auction(state, w, slot)
    return OK, lot, paid, float(winner), bad
