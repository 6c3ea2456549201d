"""The system's debt queue and settlement: `fess`, `flog` and `heal` (makerdao/dss `vow.sol`).

Debt seized from a vault waits in the queue, whatever becomes of its auction, and may be cancelled
against surplus only once it has left it, `wait` seconds later. The contract keeps one entry per
second and lets anyone release each when it is due. Here seconds share a bin per hour, which is
released as a whole, `wait` after the last debt that came into it: never early, and late by less
than an hour. Debt that is not seized (incentives to keepers) does not wait.
"""

import math

from sim.kernel import kernel
from sim.ledger import burn
from sim.lending.maker.state import HOUR, MakerState, Money


@kernel
def flog(state: MakerState, w: int, now: float) -> None:
    """Release all debt that is due from the queue, oldest first."""
    system = state.system[w]
    if not system["queued"] > 0.0:
        return
    era, present = int(system["oldest_era"]), math.floor(now / HOUR)
    while era <= present:
        entry = state.queue[w, era % state.queue.shape[1]]
        if entry["debt"] > 0.0:
            if entry["last"] + system["wait"] > now:
                break
            system["queued"] = max(system["queued"] - entry["debt"], 0.0)
            entry["debt"] = 0.0
        era += 1
    system["oldest_era"] = era
    if era > present:  # no residue of rounding outlives the last entry
        system["queued"] = 0.0


@kernel
def fess(state: MakerState, w: int, now: float, debt: float) -> None:
    """Put seized debt into the queue; what is due leaves it first, so that its bin is free."""
    flog(state, w, now)
    system = state.system[w]
    era = math.floor(now / HOUR)
    if not system["queued"] > 0.0:
        system["oldest_era"] = era
    entry = state.queue[w, era % state.queue.shape[1]]
    entry["debt"] += debt
    entry["last"] = now
    system["queued"] += debt


@kernel
def heal(state: MakerState, money: Money, now: float) -> None:
    """Release what is due, and cancel surplus against the debt that is not queued."""
    for w in range(state.system.shape[0]):
        flog(state, w, now)
        system = state.system[w]
        free = system["sin"] - system["queued"]
        amount = min(free, system["surplus"])
        if not amount > 0.0:
            continue
        if burn(money.balances, money.burnt, w, state.account, state.assets[1], amount):
            # all free debt gone is exactly none: no residue of rounding blocks a surplus auction
            system["sin"] = system["queued"] if amount == free else system["sin"] - amount
            system["surplus"] -= amount
