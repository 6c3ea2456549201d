"""What a hedger trades: what an action asks for, as far as venue and margin allow, and its cost."""

import numpy as np

from envs.hedging.marking import implied, mark_one, option, slot
from envs.hedging.state import HedgeState, Marks
from envs.hedging.terms import ACTIONS, BAND, TARGET
from sim.kernel import F64, U64, Bool, Record, Rows, inlined, kernel
from sim.options.margin import perpetual_margin, short_option_margin
from sim.streams import poisson, uniform

IS_BAND, IS_TARGET = float(ACTIONS.index(BAND)), float(ACTIONS.index(TARGET))
DRAWS = 128  # addresses of a step
OUTAGE, STALE, DELIVERY, ARRIVALS, TRADES = 0, 1, 2, 3, 4  # places among them


@kernel
def add_option(
    state: HedgeState, w: int, strike: float, expiry: float, owed: float, sign: float
) -> bool:
    """Put an option into a free slot; False where there is none."""
    used = state.n_slots[w]
    for k in range(used):
        if state.expiry[w, k] <= state.t[w]:
            break
    else:
        k = used
        if used == state.strike.shape[1]:
            return False
        state.n_slots[w] = used + 1
    state.strike[w, k], state.expiry[w, k] = strike, expiry
    state.owed[w, k], state.sign[w, k] = owed, sign
    return True


@kernel
def serve_clients(state: HedgeState, terms: Record, key: U64, world: int, w: int) -> None:
    """Let clients trade at the model's price: what they owe or are owed joins the book."""
    t, episode = state.t[w], state.episode[w]
    base = t * DRAWS
    n = poisson(key, world, episode, base + ARRIVALS, terms["per_step"])
    low, high = terms["client_low"], terms["client_high"]
    for i in range(min(n, (DRAWS - TRADES) // 3)):
        place = base + TRADES + 3 * i
        bought = uniform(key, world, episode, place) < terms["bought"]
        strike = state.price[w] * (low + (high - low) * uniform(key, world, episode, place + 1))
        owed = terms["client_quantity"] * (1.0 if bought else -1.0)
        call = 1.0 if uniform(key, world, episode, place + 2) < 0.5 else -1.0
        add_option(state, w, strike, t + terms["client_expiry"], owed, call)


@kernel
def options_margin(state: HedgeState, terms: Record, w: int) -> tuple[float, float]:
    """Return initial and maintenance margin of short options, beside marks, of the underlying."""
    price, initial, maintenance = state.price[w], 0.0, 0.0
    most, least, kept = terms["option_initial"], terms["option_floor"], terms["option_margin"]
    for k in range(state.n_slots[w]):
        owed = state.owed[w, k]
        if owed <= 0.0 or state.expiry[w, k] <= state.t[w]:
            continue
        sign, coin = state.sign[w, k], 0.0
        if sign < 0.0:  # of a call's margin the mark is a part that moves nothing else
            coin = slot(state, terms, w, k, price, state.volatility[w])[0]
            coin = coin if terms["inverse"] > 0.0 else coin / price
        own = short_option_margin(price, state.strike[w, k], coin, sign, most, least, kept)
        initial += owed * (own[0] - coin)
        maintenance += owed * (own[1] - coin)
    return initial, maintenance


@inlined
def margins(state: HedgeState, terms: Record, w: int) -> tuple[float, float, float]:
    """Equity, initial and maintenance margin of an account.

    Equity counts the options at their marks, so that those are no part of the margins.
    """
    linear = terms["inverse"] == 0.0
    now = state.price[w] if linear else 1.0
    equity = terms["collateral"] * (state.first[w] if linear else 1.0)
    equity -= state.cost[w] * state.unit[w]
    rates = (terms["initial"], terms["maintenance"], terms["slope"])
    initial, maintenance = perpetual_margin(state.holding[w], rates[0], rates[1], rates[2])
    options, kept = options_margin(state, terms, w)
    return equity, (initial + options) * now, (maintenance + kept) * now


@inlined
def wanted(state: HedgeState, terms: Record, actions: F64, w: int) -> float:
    """Take the holding that an action asks for."""
    kind, held, first = terms["action"], state.holding[w], actions[w, 0]
    low, high = terms["low"], terms["high"]
    if kind == IS_BAND:
        centre = state.delta[w] + terms["centre"] * first
        width = terms["width"] * 0.5 * (actions[w, 1] + 1.0)
        target = min(max(held, centre - width), centre + width)
    elif kind == IS_TARGET:
        target = low + (high - low) * 0.5 * (first + 1.0)
    else:
        target = held + terms["most"] * first
    return min(max(target, low), high)


@inlined
def fee_of(terms: Record, size: float, now: float, first: float) -> float:
    """Cost of trading `size` units of the underlying, in the account's currency."""
    fixed = terms["fixed"] * first if size > 0.0 else 0.0
    return float(size * now * (terms["rate"] + terms["impact"] * size) + fixed)


@kernel
def trade_listed(state: HedgeState, terms: Record, quantity: float, w: int) -> float:
    """Buy (or sell) the listed option at its mark; return the cost over it."""
    if quantity == 0.0:
        return 0.0
    price, expiry = state.price[w], terms["listed_expiry"]
    years = expiry * terms["years"]
    level = implied(terms, 0.0, years, state.volatility[w])
    worth = option(price, price, years, level, 1.0, terms["inverse"])[0]
    now = price if terms["inverse"] == 0.0 else 1.0
    if quantity < 0.0 and terms["collateral"] < np.inf:
        equity, initial, _ = margins(state, terms, w)
        if equity < initial - terms["option_initial"] * quantity * now:
            state.margin_calls[w] += 1
            return 0.0
    if not add_option(state, w, price, state.t[w] + expiry, -quantity, 1.0):
        return 0.0
    mark_one(state, terms, w)
    fee = min(terms["listed_fee"] * now, terms["listed_fee_cap"] * worth)
    return abs(quantity) * (terms["listed_spread"] * worth + fee)


@inlined
def trade_others(state: HedgeState, terms: Record, actions: F64, w: int) -> float:
    """Trade the listed option and the variance swap as an action asks; return what it costs."""
    spent, further = 0.0, 2 if terms["action"] == IS_BAND else 1
    if terms["listed"] > 0.0:
        spent += trade_listed(state, terms, terms["listed_most"] * actions[w, further], w)
        further += 1
    if terms["swap"] > 0.0:
        swaps = terms["swap_most"] * actions[w, further]
        spent += terms["swap_rate"] * abs(swaps - state.swap_held[w]) * state.swap_price[w]
        state.swap_held[w] = swaps
    return spent


@inlined
def order_of(state: HedgeState, terms: Record, actions: F64, w: int) -> float:
    """Units of the underlying that an action asks to buy, none where the margin is too small."""
    target, held = wanted(state, terms, actions, w), state.holding[w]
    if terms["collateral"] < np.inf and abs(target) > abs(held):
        state.holding[w] = target
        equity, initial, _ = margins(state, terms, w)
        state.holding[w] = held
        if equity < initial:
            state.margin_calls[w] += 1
            return 0.0
    return target - held


@inlined
def fill(state: HedgeState, terms: Record, bought: float, w: int) -> float:
    """Take over a trade in the underlying; return its fees, in the account's currency."""
    size = abs(bought)
    state.holding[w] += bought
    state.turnover[w] += size
    linear = terms["inverse"] == 0.0
    now, first = (state.price[w], state.first[w]) if linear else (1.0, 1.0)
    return fee_of(terms, size, now, first)


@inlined
def trade(state: HedgeState, terms: Record, actions: F64, w: int) -> float:
    """Trade what an action asks for, at the market's price; return what it costs."""
    if state.outage[w]:
        return 0.0
    spent = trade_others(state, terms, actions, w)
    return spent + fill(state, terms, order_of(state, terms, actions, w), w)


@kernel
def send(state: HedgeState, marks: Marks, actions: F64, terms_: Rows, active: Bool) -> None:
    """Write what actions ask for into `marks.order`, for a market that answers orders itself.

    Parameters
    ----------
    actions : array (world, n)
    active : array (world,)
        Others order nothing.
    """
    terms = terms_[0]
    for w in range(active.shape[0]):
        marks.order[w] = marks.spent[w] = 0.0
        marks.before[w] = state.value[w]
        if active[w] and not state.outage[w]:
            marks.spent[w] = trade_others(state, terms, actions, w)
            marks.order[w] = order_of(state, terms, actions, w)


@kernel
def take_fills(
    state: HedgeState, marks: Marks, terms_: Rows, filled: F64, paid: F64, active: Bool
) -> None:
    """Take over what a market that answers orders has filled.

    Parameters
    ----------
    filled : array (world,)
        Units of the underlying bought, negative sold.
    paid : array (world,)
        Cash paid for it beyond its worth at the present price.
    """
    terms = terms_[0]
    for w in range(active.shape[0]):
        if active[w]:
            worth = 1.0 if terms["inverse"] == 0.0 else 1.0 / state.price[w]
            marks.spent[w] += paid[w] * worth + fill(state, terms, filled[w], w)
