"""State of a batch of hedgers, arrays whose first axis is the world."""

from typing import Any, NamedTuple

import numpy as np

from sim.kernel import F64, I64, Bool

STRETCH = 256  # worlds whose scratch fits into the nearest cache

CONDITIONS = (
    "premium",  # log of the price of what is held over the price of the path: a perpetual's basis
    "funding",  # annual rate that who is long pays, as it stands
    "paid",  # share of the holding's worth that was paid since the moment before
    "spread",  # half of it, over the price
    "depth",  # units of the underlying within 1% of the price, the mean of both sides
    "imbalance",  # of the depth: bids less asks over their sum
)
"""What a market may tell of every moment beside price and volatility, in this order."""
PREMIUM, FUNDING, PAID, SPREAD, DEPTH, IMBALANCE = range(len(CONDITIONS))


class HedgeState(NamedTuple):
    """One hedger per world; amounts in the account's currency unless said.

    `value` is what the options that are owed are worth, less those held; `delta`, `gamma` and
    `vega` are the model's, as the hedger sees them (a stale view keeps the old ones).
    """

    price: F64  # (world,) of the underlying, cash
    volatility: F64  # (world,) annual, of marks
    first: F64  # (world,) price at the start of the episode
    unit: F64  # (world,) what costs are reported in: premium of the option sold at the start
    scale: F64  # (world,) volatility of the log price over the episode, as it stood at its start
    holding: F64  # (world,) of the underlying, units (inverse: coin)
    value: F64  # (world,)
    delta: F64  # (world,) units (inverse: coin, premium-adjusted)
    gamma: F64  # (world,) change of delta per relative move of the price
    vega: F64  # (world,) change of value per 1.0 of volatility
    short: F64  # (world,) options owed
    strike: F64  # (world, slot)
    expiry: F64  # (world, slot) step at which it expires; -1: no option
    owed: F64  # (world, slot) options owed (negative: held)
    sign: F64  # (world, slot) 1: call, -1: put
    n_slots: I64  # (world,) slots in use
    seen_price: F64  # (world,) what the hedger sees
    seen_volatility: F64  # (world,)
    seen_log: F64  # (world,) log of the seen price over the first
    unseen: F64  # (world,) log return since then
    last: F64  # (world,) log return of the last step, as seen
    variance: F64  # (world,) realised, of a step, exponentially weighted
    cost: F64  # (world,) lost so far, over `unit`
    trading: F64  # (world,) of it: trades
    funding: F64  # (world,) of it: funding
    penalty: F64  # (world,) of it: liquidation fees
    turnover: F64  # (world,) units of the underlying traded
    margin_ratio: F64  # (world,) maintenance margin over equity
    premium: F64  # (world,) log of the price of what is held over `price`
    conditions: F64  # (world, condition) as the hedger sees them; untouched where there are none
    swap_held: F64  # (world,) variance swaps, units
    swap_price: F64  # (world,) cash
    swap_paid: F64  # (world,) variance since the start of the episode
    t: I64  # (world,) step of the episode
    episode: I64  # (world,)
    outage: Bool  # (world,) whether the venue is down
    liquidated: Bool  # (world,) whole
    liquidations: I64  # (world,) steps in which lots were closed
    insurance: F64  # (world,) liquidation fees that the account could pay, over `unit`
    shortfall: F64  # (world,) what a closed account owes beyond its collateral, over `unit`
    margin_calls: I64  # (world,) steps in which a trade was cut for lack of margin


class Marks(NamedTuple):
    """Scratch of a step: the next prices, and what options are worth at them, all (world,)."""

    order: F64  # units of the underlying that a hedger asks to buy
    spent: F64  # on trades
    before: F64  # what the options owed were worth before the trades
    price: F64
    volatility: F64
    ratio: F64  # over the present price
    change: F64  # its logarithm
    value: F64
    delta: F64
    gamma: F64
    vega: F64
    short: F64
    expires: F64  # how many options expire at the step
    step: I64
    work: F64  # (10, stretch of worlds)


def new_marks(n_worlds: int) -> Marks:
    """Make room for the marks of a step."""
    fields: dict[str, Any] = {name: np.zeros(n_worlds) for name in Marks._fields}
    fields["step"] = np.zeros(n_worlds, np.int64)
    fields["work"] = np.zeros((10, min(n_worlds, STRETCH)))
    return Marks(**fields)


def new_state(n_worlds: int, n_slots: int) -> HedgeState:
    """Make a blank state."""
    fields: dict[str, Any] = {}
    for name, kind in HedgeState.__annotations__.items():
        shape: tuple[int, ...] = (n_worlds,)
        if name in ("strike", "expiry", "owed", "sign"):
            shape = (n_worlds, n_slots)
        elif name == "conditions":
            shape = (n_worlds, len(CONDITIONS))
        dtype = np.int64 if kind is I64 else np.bool_ if kind is Bool else np.float64
        fields[name] = np.ones(shape, dtype) if name == "strike" else np.zeros(shape, dtype)
    return HedgeState(**fields)
