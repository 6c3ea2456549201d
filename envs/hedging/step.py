"""What happens in one hedging period, for a batch of worlds that may each be at their own step.

In a period the hedger trades at the present price, the market moves, options are marked at the new
price or settled, and what was lost goes into `cost`:

    c = costs of trading + (change of what is owed) - (gain of the holding) + funding

all over the premium of the option sold at the start. Deltas of inverse contracts are
premium-adjusted, and a holding of h coin gains h (S' - S) / S' coin (`vectors`: Deribit's rules).
"""

import math

import numpy as np

from envs.hedging.marking import implied, mark, mark_one, option, payoff, volatility_of
from envs.hedging.orders import (
    DELIVERY,
    DRAWS,
    OUTAGE,
    STALE,
    fee_of,
    margins,
    serve_clients,
    trade,
)
from envs.hedging.state import PAID, PREMIUM, HedgeState, Marks
from envs.hedging.terms import CASH, CVAR, ENTROPIC, PNL, QUADRATIC, REWARDS
from sim.kernel import F64, I64, U64, Bool, Record, Rows, inlined, kernel
from sim.streams import normal, uniform
from sim.vector_math import exponential, logarithms

IS_PNL, IS_CASH = float(REWARDS.index(PNL)), float(REWARDS.index(CASH))
IS_QUADRATIC, IS_CVAR = float(REWARDS.index(QUADRATIC)), float(REWARDS.index(CVAR))
IS_ENTROPIC = float(REWARDS.index(ENTROPIC))
MEMORY = 0.94  # of the realised variance, per step (RiskMetrics)
FAR = 1e3


@inlined
def see_conditions(state: HedgeState, conditions: F64, w: int, t: int) -> None:
    """Show the hedger what the market tells of step t."""
    for i in range(conditions.shape[2]):
        state.conditions[w, i] = conditions[w, t, i]


@kernel
def begin(
    state: HedgeState, path: F64, conditions: F64 | None, terms_: Rows, key: U64, world_ids: I64,
    chosen: Bool,
) -> None:  # fmt: skip
    """Start the episode of every chosen world at the first step of its path."""
    terms = terms_[0]
    years, quantity = terms["expiry_steps"] * terms["years"], terms["quantity"]
    last, last_vol, premium, delta, gamma, vega, spread = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for w in range(chosen.shape[0]):
        if not chosen[w]:
            continue
        price, vol = path[w, 0, 0], volatility_of(terms, path, w, 0)
        state.price[w] = state.first[w] = state.seen_price[w] = price
        state.volatility[w] = state.seen_volatility[w] = vol
        state.variance[w] = vol * vol * terms["years"]
        state.holding[w] = state.cost[w] = state.trading[w] = state.funding[w] = 0.0
        state.penalty[w] = state.turnover[w] = state.last[w] = 0.0
        state.seen_log[w] = state.unseen[w] = state.swap_held[w] = state.swap_paid[w] = 0.0
        state.t[w], state.margin_calls[w], state.n_slots[w], state.liquidations[w] = 0, 0, 0, 0
        state.insurance[w] = state.shortfall[w] = 0.0
        state.outage[w] = state.liquidated[w] = False
        strike = terms["moneyness"] * price
        if price != last or vol != last_vol:  # most worlds begin alike
            level = implied(terms, math.log(price / strike), years, vol)
            spread = level if terms["alpha_v"] > 0.0 else vol
            premium, delta, gamma, vega = option(
                price, strike, years, level, terms["sign"], terms["inverse"]
            )
            last, last_vol = price, vol
        state.scale[w] = spread * math.sqrt(terms["n_steps"] * terms["years"])
        state.unit[w] = premium * (quantity if quantity > 0.0 else 1.0)
        state.value[w], state.short[w] = quantity * premium, quantity
        state.delta[w], state.gamma[w] = quantity * delta, quantity * gamma
        state.vega[w] = quantity * vega
        for k in range(state.expiry.shape[1]):
            state.expiry[w, k] = -1.0
        if quantity > 0.0:
            state.strike[w, 0], state.expiry[w, 0] = strike, terms["expiry_steps"]
            state.owed[w, 0], state.sign[w, 0], state.n_slots[w] = quantity, terms["sign"], 1
        if conditions is not None:
            state.premium[w] = conditions[w, 0, PREMIUM]
            see_conditions(state, conditions, w, 0)
        if terms["swap"] > 0.0:
            state.swap_price[w] = swap_worth(terms, path[w, 0, 1] ** 2, 0.0, terms["n_steps"])
        if terms["per_step"] > 0.0:
            serve_clients(state, terms, key, world_ids[w], w)
            mark_one(state, terms, w)
        state.margin_ratio[w] = 0.0
        if terms["collateral"] < np.inf:
            equity, _, maintenance = margins(state, terms, w)
            state.margin_ratio[w] = ratio_of(equity, maintenance)


@inlined
def ratio_of(equity: float, maintenance: float) -> float:
    """Maintenance margin over equity, finite."""
    return min(maintenance / equity, FAR) if equity > 0.0 else FAR


@inlined
def swap_worth(terms: Record, variance: float, paid: float, left: float) -> float:
    """Price of a variance swap with `left` steps to go (`terms.Swap`)."""
    alpha, b, years = terms["swap_alpha"], terms["swap_b"], left * terms["years"]
    expected = (variance - b) * -math.expm1(-alpha * years) / alpha + b * years
    return float(100.0 * (paid + expected))


@inlined
def swap_gain(state: HedgeState, path: F64, terms: Record, w: int) -> float:
    """Let a period pass for the variance swap; return what its holding gains."""
    t = state.t[w]
    before, after = path[w, t, 1] ** 2, path[w, t + 1, 1] ** 2
    state.swap_paid[w] += 0.5 * (before + after) * terms["years"]
    price = swap_worth(terms, after, state.swap_paid[w], terms["n_steps"] - t - 1.0)
    gain = state.swap_held[w] * (price - state.swap_price[w])
    state.swap_price[w] = price
    return float(gain)


@kernel
def settle_expired(
    state: HedgeState, terms: Record, key: U64, world: int, w: int, price: float, vol: float, t: int
) -> tuple[float, float]:
    """Pay the options that expire at step t; return what is paid and the delivery fees."""
    paid, fees, z, drawn = 0.0, 0.0, 0.0, False
    now = price if terms["inverse"] == 0.0 else 1.0
    for k in range(state.n_slots[w]):
        if state.expiry[w, k] != t:
            continue
        final = price
        if terms["delivery_years"] > 0.0:
            if not drawn:
                z = normal(key, world, state.episode[w], t * DRAWS + DELIVERY)
                drawn = True
            # A Brownian path's average over its last stretch: its end less a normal of a third
            # of that stretch's variance.
            final = price * math.exp(-vol * math.sqrt(terms["delivery_years"] / 3.0) * z)
        value = payoff(final, state.strike[w, k], state.sign[w, k], terms["inverse"])
        owed = state.owed[w, k]
        paid += owed * value
        fees += abs(owed) * min(terms["delivery_fee"] * now, terms["delivery_cap"] * value)
        state.expiry[w, k] = -1.0
    return paid, fees


@inlined
def reward_of(terms: Record, before: float, c: float, cash: float) -> float:
    """Reward of a step that costs `c` after `before` was lost; all over the premium."""
    kind, after = terms["reward"], before + c
    if kind == IS_PNL:
        return -c
    if kind == IS_CASH:
        return -cash
    if kind == IS_QUADRATIC:
        return float(-(c + 0.5 * terms["k"] * c * c))
    if kind == IS_CVAR:
        level, share = terms["level"], 1.0 - terms["alpha"]
        return float(-(max(after - level, 0.0) - max(before - level, 0.0)) / share)
    if kind == IS_ENTROPIC:
        k = terms["k"]
        return float(-(exponential(k * after) - exponential(k * before)) / k)
    m = terms["mean"]
    return float(-(c + terms["weight"] * ((after - m) ** 2 - (before - m) ** 2)))


@inlined
def look(state: HedgeState, terms: Record, key: U64, world: int, w: int) -> bool:
    """Open or close the venue; say whether the hedger sees the market as it is now."""
    episode, base = state.episode[w], state.t[w] * DRAWS
    if terms["outage"] > 0.0:
        u = uniform(key, world, episode, base + OUTAGE)
        down = state.outage[w]
        state.outage[w] = u >= terms["outage_end"] if down else u < terms["outage"]
    return terms["stale"] == 0.0 or uniform(key, world, episode, base + STALE) >= terms["stale"]


@inlined
def holding_gain(
    state: HedgeState, conditions: F64 | None, terms: Record, w: int, t: int, after: float
) -> tuple[float, float]:
    """Let the holding go to step t, at `after` of the underlying; return its gain and funding."""
    price, held, paid = state.price[w], state.holding[w], terms["funding"] * terms["years"]
    if conditions is not None:
        price *= math.exp(state.premium[w])
        state.premium[w] = conditions[w, t, PREMIUM]
        after *= math.exp(state.premium[w])
        paid += conditions[w, t, PAID]
    if terms["inverse"] == 0.0:
        return held * (after - price), paid * held * after
    state.holding[w] = held * price / after
    return held * (after - price) / after, paid * state.holding[w]


@inlined
def sale_fee(state: HedgeState, terms: Record, w: int) -> float:
    """Fee of the option that was sold at the start."""
    now = state.first[w] if terms["inverse"] == 0.0 else 1.0
    quantity = terms["quantity"]
    capped = terms["option_fee_cap"] * state.unit[w]
    return float(min(quantity * terms["option_fee"] * now, capped)) if quantity > 0.0 else 0.0


@inlined
def move_on(
    state: HedgeState, marks: Marks, path: F64, conditions: F64 | None, terms: Record, key: U64,
    world: int, w: int, spent: float,
) -> float:  # fmt: skip
    """Take over the next step's marks after trades that cost `spent`.

    Returns
    -------
    cost : float
        Lost in the period, over `unit`.
    """
    t = state.t[w] + 1
    after, vol, value = marks.price[w], marks.volatility[w], marks.value[w]
    paid, fees = 0.0, 0.0
    if marks.expires[w] > 0.0:  # a call that takes all of the state costs as much as a step
        paid, fees = settle_expired(state, terms, key, world, w, after, vol, t)
    if t == 1 and terms["option_fee"] > 0.0:
        fees += sale_fee(state, terms, w)
    gain, funding = holding_gain(state, conditions, terms, w, t, after)
    if terms["swap"] > 0.0:
        gain += swap_gain(state, path, terms, w)
    per, change = 1.0 / state.unit[w], marks.change[w]
    c = (spent + fees + funding + value + paid - state.value[w] - gain) * per
    state.trading[w] += (spent + fees) * per
    state.funding[w] += funding * per
    state.price[w], state.volatility[w], state.value[w], state.t[w] = after, vol, value, t
    state.short[w] = marks.short[w]
    change += state.unseen[w]
    if look(state, terms, key, world, w):
        state.last[w], state.unseen[w] = change, 0.0
        state.seen_log[w] += change
        state.variance[w] = MEMORY * state.variance[w] + (1.0 - MEMORY) * change * change
        state.seen_price[w], state.seen_volatility[w] = after, vol
        state.delta[w], state.gamma[w] = marks.delta[w], marks.gamma[w]
        state.vega[w] = marks.vega[w]
        if conditions is not None:
            see_conditions(state, conditions, w, t)
    else:
        state.last[w], state.unseen[w] = 0.0, change
    return c


@inlined
def keep_share(state: HedgeState, share: float, w: int) -> None:
    """Keep a share of the holding and of every option; the rest is closed."""
    state.holding[w] *= share
    state.value[w] *= share
    state.delta[w] *= share
    state.gamma[w] *= share
    state.vega[w] *= share
    state.short[w] *= share
    for k in range(state.n_slots[w]):
        state.owed[w, k] *= share


@kernel
def liquidate(state: HedgeState, terms: Record, taken: float, w: int) -> float:
    """Close an account at marks, lot after lot until its margin covers the rest; return its cost.

    Parameters
    ----------
    taken : float
        Cash that closing the whole holding costs beyond its worth and the fees.

    Returns
    -------
    cost : float
        Fees that the account could pay, and what the market took, over `unit`.
    """
    now, paid = state.price[w] if terms["inverse"] == 0.0 else 1.0, 0.0
    n_lots = int(terms["lots"])
    taken *= now / state.price[w]
    state.liquidations[w] += 1
    for i in range(n_lots):
        left = n_lots - i
        equity, _, maintenance = margins(state, terms, w)
        equity -= paid
        if i > 0 and equity >= maintenance:
            break
        fee = terms["liquidation_fee"] * abs(state.holding[w])
        fee = (fee + terms["option_liquidation_fee"] * state.short[w]) * now / left
        fee = min(fee, max(equity - taken / n_lots, 0.0))
        keep_share(state, 1.0 - 1.0 / left, w)
        state.insurance[w] += fee / state.unit[w]
        paid += fee + taken / n_lots
        if left == 1:
            state.liquidated[w] = True
            equity -= fee + taken / n_lots
            state.shortfall[w] = max(-equity, 0.0) / state.unit[w]
    cost = paid / state.unit[w]
    state.penalty[w] += cost
    return float(cost)


@kernel
def look_ahead(state: HedgeState, marks: Marks, path: F64, terms: Record) -> None:
    """Read the next step of every world's path."""
    last, fixed, multiplier = path.shape[1] - 1, terms["volatility"], terms["multiplier"]
    for w in range(path.shape[0]):
        t = min(state.t[w] + 1, last)
        marks.step[w], marks.price[w] = t, path[w, t, 0]
        vol = fixed if fixed >= 0.0 else path[w, t, 1]
        marks.volatility[w] = max(vol * multiplier, 1e-4)
        marks.ratio[w] = marks.price[w] / state.price[w]
    logarithms(marks.ratio, marks.change)


@kernel
def trade_all(state: HedgeState, marks: Marks, actions: F64, terms_: Rows, active: Bool) -> None:
    """Trade in every active world at the market's price, as the actions ask."""
    terms = terms_[0]
    for w in range(active.shape[0]):
        marks.before[w] = state.value[w]
        marks.spent[w] = trade(state, terms, actions, w) if active[w] else 0.0


@inlined
def closing_cost(state: HedgeState, terms: Record, closing: F64 | None, w: int) -> float:
    """Cost of closing the holding, over `unit`; `closing` (world,) is what the market takes."""
    linear = terms["inverse"] == 0.0
    now, first = (state.price[w], state.first[w]) if linear else (1.0, 1.0)
    size = abs(state.holding[w])
    fee = fee_of(terms, size, now, first)
    if closing is not None:
        fee += closing[w] * now / state.price[w]
    return fee / state.unit[w]


@kernel
def settle(
    state: HedgeState, marks: Marks, path: F64, conditions: F64 | None, closing: F64 | None,
    over: bool, terms_: Rows, key: U64, world_ids: I64, active: Bool, reward: F64, done: Bool,
) -> None:  # fmt: skip
    """Let the period after the trades pass in every active world.

    Parameters
    ----------
    marks : Marks
        Scratch, with what `trade_all` or `take_fills` wrote.
    path : array (world, step + 1, 2)
        Price (cash) and annual volatility.
    conditions : array (world, step + 1, condition) or None
        See `state.CONDITIONS`.
    closing : array (world,) or None
        Cash that a market which answers orders takes for closing the holding, beyond its worth.
    over : bool
        Whether the market ends here, and every episode with it.
    reward : array (world,)
        Written; 0 where not active.
    done : array (world,)
        Written: whether the episode ended: by its last step, by liquidation, or with the market.
    """
    terms = terms_[0]
    n_steps, bounded = int(terms["n_steps"]), terms["collateral"] < np.inf
    look_ahead(state, marks, path, terms)
    mark(state, marks, terms)
    for w in range(active.shape[0]):
        reward[w], done[w] = 0.0, False
        if not active[w]:
            continue
        before = state.cost[w]
        c = move_on(state, marks, path, conditions, terms, key, world_ids[w], w, marks.spent[w])
        last = state.t[w] == n_steps
        if last and terms["unwind"] > 0.0:
            fee = closing_cost(state, terms, closing, w)
            state.trading[w] += fee
            state.turnover[w] += abs(state.holding[w])
            c += fee
        state.cost[w] = before + c
        if bounded:
            equity, _, maintenance = margins(state, terms, w)
            state.margin_ratio[w] = ratio_of(equity, maintenance)
            if equity < maintenance and not last:
                c += liquidate(state, terms, closing[w] if closing is not None else 0.0, w)
                state.cost[w] = before + c
                last = state.liquidated[w]
        if not last and terms["per_step"] > 0.0:
            serve_clients(state, terms, key, world_ids[w], w)
            mark_one(state, terms, w)
        # Options trade at their marks: what is still owed at the end is bought back at its.
        owed = 0.0 if last else state.value[w]
        cash = c - (owed - marks.before[w]) / state.unit[w]
        reward[w], done[w] = reward_of(terms, before, c, cash), last or over


@kernel
def step(
    state: HedgeState, marks: Marks, path: F64, conditions: F64 | None, actions: F64, terms_: Rows,
    key: U64, world_ids: I64, active: Bool, reward: F64, done: Bool,
) -> None:  # fmt: skip
    """Play one period in every active world of a market that no hedger moves.

    Parameters
    ----------
    actions : array (world, n)
        In [-1, 1]; see `terms.Action`. The others are those of `settle`.
    """
    trade_all(state, marks, actions, terms_, active)
    settle(
        state, marks, path, conditions, None, False, terms_, key, world_ids, active, reward, done
    )
