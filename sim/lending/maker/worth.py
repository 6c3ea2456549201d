"""What vaults and live auctions are worth at market prices, and to whom.

An auction is split as if its lot were sold at the market now. Without a standing bid the system
gets what it still wants (`tab`), and the owner of the vault what is left of the lot. A standing bid
of an English auction owns the whole lot: what a later, better bid would change is not counted.
"""

from sim.kernel import F64, kernel
from sim.lending.maker.state import MakerState


@kernel
def claims_on_lot(
    state: MakerState, w: int, slot: int, gem: float, stable: float, flip: bool
) -> tuple[float, float, float]:
    """Split a live auction's lot: to the system, to the vault's owner, to the bidder, USD.

    `gem` and `stable` are USD per whole token.
    """
    auction = state.auctions[w, slot]
    worth = auction["lot"] * gem
    if flip and auction["guy"] >= 0.0:
        return 0.0, 0.0, worth
    wanted = min(auction["tab"] * stable, worth)
    return wanted, worth - wanted, 0.0


@kernel
def fill_vaults(state: MakerState, market: F64, flip: bool, holds: F64, owes: F64) -> None:
    """Write what vaults hold, with their share of live auctions, and owe, USD (world, vault)."""
    for w in range(holds.shape[0]):
        gem, stable = market[w, state.assets[0]], market[w, state.assets[1]]
        rate = state.system[w]["rate"]
        for p in range(holds.shape[1]):
            urn = state.urns[w, p]
            holds[w, p], owes[w, p] = urn["ink"] * gem, urn["art"] * rate * stable
        for place in range(int(state.system[w]["n_live"])):
            slot = int(state.slots[w, place])
            _, back, _ = claims_on_lot(state, w, slot, gem, stable, flip)
            holds[w, int(state.auctions[w, slot]["urn"])] += back


@kernel
def sum_auctions(state: MakerState, market: F64, flip: bool, account: int, out: F64) -> None:
    """Add up live auctions per world into `out` (5, world).

    Rows: debt that nothing has paid yet; shortfall, and surplus, of debt to what was paid and what
    the system would get; lots that the account's bids stand for; all in USD; number of auctions.
    """
    for w in range(out.shape[1]):
        gem, stable = market[w, state.assets[0]], market[w, state.assets[1]]
        debt, short, over, stake = 0.0, 0.0, 0.0, 0.0
        live = int(state.system[w]["n_live"])
        for place in range(live):
            slot = int(state.slots[w, place])
            auction = state.auctions[w, slot]
            wanted, _, bidden = claims_on_lot(state, w, slot, gem, stable, flip)
            left = (auction["due"] - auction["paid"]) * stable
            debt += max(left, 0.0)
            short += max(left - wanted, 0.0)
            over += max(wanted - left, 0.0)
            if auction["guy"] == account:
                stake += bidden
        out[0, w], out[1, w], out[2, w], out[3, w] = debt, short, over, stake
        out[4, w] = live
