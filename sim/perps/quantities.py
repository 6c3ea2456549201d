"""Arithmetic of one position: P&L, value, margin, funding rate. Formulas: `sim.perps.terms`."""

from sim.kernel import kernel
from sim.perps.terms import PerpTerms


@kernel
def profit(position: float, before: float, after: float, terms: PerpTerms) -> float:
    """P&L of a price move, in the settlement currency."""
    if terms.inverse:
        return position * (1.0 / before - 1.0 / after)
    return position * (after - before)


@kernel
def value(position: float, price: float, terms: PerpTerms) -> float:
    """Value of a position at a price, in the settlement currency; of its sign."""
    return position / price if terms.inverse else position * price


@kernel
def delta(position: float, price: float, terms: PerpTerms) -> float:
    """Coins that a position is worth holding: what a hedger counts."""
    return position / price if terms.inverse else position


@kernel
def initial_margin(position: float, price: float, terms: PerpTerms) -> float:
    """Margin that opening a position takes, in the settlement currency."""
    coins = abs(delta(position, price, terms))
    notional = coins * price
    rate = terms.tiers[0, 1]
    for k in range(1, terms.tiers.shape[0]):
        if notional > terms.tiers[k, 0]:
            rate = terms.tiers[k, 1]
    return float((rate + terms.slope * coins) * abs(value(position, price, terms)))


@kernel
def maintenance_margin(position: float, price: float, terms: PerpTerms) -> float:
    """Margin under which a position is liquidated, in the settlement currency."""
    coins = abs(delta(position, price, terms))
    notional = coins * price
    total = terms.slope * coins * notional
    n = terms.tiers.shape[0]
    for k in range(n):
        top = min(notional, terms.tiers[k + 1, 0]) if k + 1 < n else notional
        total += terms.tiers[k, 2] * max(top - terms.tiers[k, 0], 0.0)
    return total / price if terms.inverse else total


@kernel
def funding_rate(premium: float, terms: PerpTerms) -> float:
    """Funding rate per 8 hours from the premium, (mark - index) / index.

    premium + clamp(interest - premium, -damper, damper), capped. With no interest this is Deribit's
    max(damper, premium) + min(-damper, premium), as its Funding Specifications have it.
    """
    pull = max(-terms.damper, min(terms.damper, terms.interest - premium))
    return max(-terms.cap, min(terms.cap, premium + pull))
