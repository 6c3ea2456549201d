"""What happens in one hedging period, for a batch of worlds that may each be at their own step.

In a period the hedger trades at the present price, the market moves, options are marked at the new
price or settled, and what was lost goes into `cost`:

    c = costs of trading + (change of what is owed) - (gain of the holding) + funding

all over the premium of the option sold at the start. Deltas of inverse contracts are
premium-adjusted, and a holding of h coin gains h (S' - S) / S' coin (`vectors`: Deribit's rules).
"""

import math

import numpy as np

from envs.hedging.state import STRETCH, HedgeState, Marks
from envs.hedging.terms import ACTIONS, BAND, CASH, CVAR, ENTROPIC, PNL, QUADRATIC, REWARDS, TARGET
from sim.kernel import F64, I64, U64, Bool, Record, Rows, inlined, kernel
from sim.streams import normal, poisson, uniform
from sim.vector_math import (
    densities,
    exponential,
    logarithm,
    logarithms,
    normal_distribution,
    normal_distributions,
)

IS_BAND, IS_TARGET = float(ACTIONS.index(BAND)), float(ACTIONS.index(TARGET))
IS_PNL, IS_CASH = float(REWARDS.index(PNL)), float(REWARDS.index(CASH))
IS_QUADRATIC, IS_CVAR = float(REWARDS.index(QUADRATIC)), float(REWARDS.index(CVAR))
IS_ENTROPIC = float(REWARDS.index(ENTROPIC))
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
DRAWS = 128  # addresses of a step
OUTAGE, STALE, DELIVERY, ARRIVALS, TRADES = 0, 1, 2, 3, 4  # places among them
MEMORY = 0.94  # of the realised variance, per step (RiskMetrics)
FAR = 1e3


@inlined
def option(
    price: float, strike: float, years: float, volatility: float, sign: float, inverse: float
) -> tuple[float, float, float, float]:
    """Value, delta, gamma and vega of one option at rate 0, years > 0 (Black and Scholes 1973).

    In the currency of the account: cash, or coin with the premium-adjusted delta. Gamma is per
    relative move of the price: delta changes by `gamma` when the price doubles. Without branches,
    so that loops over it become vector code.
    """
    root = math.sqrt(years)
    s = volatility * root
    d1 = logarithm(price / strike) / s + 0.5 * s
    density = exponential(-0.5 * d1 * d1)
    nd1 = normal_distribution(sign * d1, density)
    nd2 = normal_distribution(sign * (d1 - s), density * (price / strike))
    value, delta = sign * (price * nd1 - strike * nd2), sign * nd1
    density *= DENSITY
    gamma, vega = density / s, price * density * root
    coin = 1.0 / price
    value = value * coin if inverse > 0.0 else value
    vega = vega * coin if inverse > 0.0 else vega
    gamma = gamma - delta + value if inverse > 0.0 else gamma
    delta = delta - value if inverse > 0.0 else delta
    return value, delta, gamma, vega


@inlined
def payoff(price: float, strike: float, sign: float, inverse: float) -> float:
    """Worth of an option at its expiry, in the currency of the account."""
    inside = max(sign * (price - strike), 0.0)
    return inside / price if inverse > 0.0 else inside


@inlined
def implied(terms: Record, log_ratio: float, years: float, level: float) -> float:
    """Volatility that an option is marked at, from the log of price over strike (`terms.Mark`)."""
    nu, rho = terms["nu"], terms["rho"]
    if terms["alpha_v"] > 0.0:
        alpha, b = terms["alpha_v"], terms["b_v"]
        share = -math.expm1(-alpha * years) / (alpha * years)
        return math.sqrt(b + (level * level - b) * share + terms["jump_v"])
    if nu == 0.0:
        return level
    drift = 1.0 + (0.25 * rho * nu * level + (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu) * years
    z = nu / level * log_ratio
    if abs(z) < 1e-6:
        return float(level * drift * (1.0 - 0.5 * rho * z))
    x = math.log((math.sqrt(1.0 - 2.0 * rho * z + z * z) + z - rho) / (1.0 - rho))
    return float(level * drift * z / x)


@inlined
def volatility_of(terms: Record, path: F64, w: int, t: int) -> float:
    """Volatility of marks at a step of a path."""
    vol = terms["volatility"]
    if vol < 0.0:
        vol = path[w, t, 1]
    return float(max(vol * terms["multiplier"], 1e-4))


@kernel
def mark(state: HedgeState, marks: Marks, terms: Record) -> None:
    """Mark all options of all worlds at the prices, volatilities and steps of `marks`.

    The same formulas as `option`, in loops over stretches of worlds that become vector code.
    """
    used = 1  # an empty slot is worth nothing, and begins the sums
    for w in range(marks.price.shape[0]):
        used = max(used, state.n_slots[w])
    for k in range(used):
        for first in range(0, marks.price.shape[0], STRETCH):
            mark_stretch(state, marks, terms, k, first)


@kernel
def mark_stretch(state: HedgeState, marks: Marks, terms: Record, k: int, first: int) -> None:
    """Mark the k-th options of the worlds from `first` on."""
    n = min(STRETCH, marks.price.shape[0] - first)
    years, inverse = terms["years"], terms["inverse"]
    ratio, log_ratio, s = marks.work[0, :n], marks.work[1, :n], marks.work[2, :n]
    d1, d2, density = marks.work[3, :n], marks.work[4, :n], marks.work[5, :n]
    nd1, nd2, other = marks.work[6, :n], marks.work[7, :n], marks.work[8, :n]
    root = marks.work[9, :n]
    for i in range(n):
        ratio[i] = marks.price[first + i] / state.strike[first + i, k]
    logarithms(ratio, log_ratio)
    for i in range(n):
        left = max(state.expiry[first + i, k] - marks.step[first + i], 0.5)
        root[i] = math.sqrt(left * years)
        s[i] = marks.volatility[first + i] * root[i]
    if terms["nu"] > 0.0 or terms["alpha_v"] > 0.0:
        for i in range(n):
            level = marks.volatility[first + i]
            s[i] = implied(terms, log_ratio[i], root[i] * root[i], level) * root[i]
    for i in range(n):
        d1[i] = (log_ratio[i] / s[i] + 0.5 * s[i]) * state.sign[first + i, k]
    densities(d1, density)
    for i in range(n):
        d2[i] = d1[i] - s[i] * state.sign[first + i, k]
        other[i] = density[i] * ratio[i]
    normal_distributions(d1, density, nd1)
    normal_distributions(d2, other, nd2)
    value, delta, gamma, vega = ratio, nd1, density, other
    for i in range(n):
        price, sign = marks.price[first + i], state.sign[first + i, k]
        value[i] = sign * (price * nd1[i] - state.strike[first + i, k] * nd2[i])
        delta[i] = sign * nd1[i]
    for i in range(n):
        vega[i] = DENSITY * density[i] * marks.price[first + i] * root[i]
        gamma[i] = DENSITY * density[i] / s[i]
    if inverse > 0.0:
        for i in range(n):
            coin = 1.0 / marks.price[first + i]
            value[i] *= coin
            vega[i] *= coin
            gamma[i] += value[i] - delta[i]
            delta[i] -= value[i]
    add_marks(state, marks, k, first, n)


@inlined
def add_marks(state: HedgeState, marks: Marks, k: int, first: int, n: int) -> None:
    """Add what the k-th options are worth and move; the first of a world begin the sums.

    `work` holds value, delta, gamma, vega of one option in its rows 0, 6, 5, 8.
    """
    owed, work = marks.work[1, :n], marks.work
    for i in range(n):
        left = state.expiry[first + i, k] - marks.step[first + i]
        owed[i] = state.owed[first + i, k] if left > 0.0 else 0.0
        ends = 1.0 if left == 0.0 else 0.0
        marks.expires[first + i] = ends if k == 0 else marks.expires[first + i] + ends
    sums(owed, work[0, :n], marks.value[first : first + n], k == 0)
    sums(owed, work[6, :n], marks.delta[first : first + n], k == 0)
    sums(owed, work[5, :n], marks.gamma[first : first + n], k == 0)
    sums(owed, work[8, :n], marks.vega[first : first + n], k == 0)
    short = marks.short[first : first + n]
    for i in range(n):
        short[i] = max(owed[i], 0.0) + (0.0 if k == 0 else short[i])


@inlined
def sums(owed: F64, each: F64, out: F64, begins: bool) -> None:
    """Add `owed * each` to `out`, or begin with it."""
    if begins:
        for i in range(owed.shape[0]):
            out[i] = owed[i] * each[i]
    else:
        for i in range(owed.shape[0]):
            out[i] += owed[i] * each[i]


@inlined
def slot(
    state: HedgeState, terms: Record, w: int, k: int, price: float, volatility: float
) -> tuple[float, float, float, float]:
    """Value, delta, gamma and vega of the option in a slot, which must live."""
    years, strike = (state.expiry[w, k] - state.t[w]) * terms["years"], state.strike[w, k]
    level = implied(terms, math.log(price / strike), years, volatility)
    return option(price, strike, years, level, state.sign[w, k], terms["inverse"])


@kernel
def mark_one(state: HedgeState, terms: Record, w: int) -> None:
    """Mark the options of one world at its present price: after trades in options."""
    now, vol, seen_vol = state.price[w], state.volatility[w], state.seen_volatility[w]
    seen = state.seen_price[w]
    stale = seen != now or seen_vol != vol
    value, delta, gamma, vega, short = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(state.n_slots[w]):
        left = state.expiry[w, k] - state.t[w]
        if left <= 0.0:
            continue
        owed = state.owed[w, k]
        v, d, g, s = slot(state, terms, w, k, now, vol)
        if stale:
            _, d, g, s = slot(state, terms, w, k, seen, seen_vol)
        value += owed * v
        delta += owed * d
        gamma += owed * g
        vega += owed * s
        short += max(owed, 0.0)
    state.value[w], state.delta[w], state.gamma[w] = value, delta, gamma
    state.vega[w], state.short[w] = vega, short


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


@inlined
def margins(state: HedgeState, terms: Record, w: int) -> tuple[float, float, float]:
    """Equity, initial and maintenance margin of an account."""
    linear = terms["inverse"] == 0.0
    now = state.price[w] if linear else 1.0
    equity = terms["collateral"] * (state.first[w] if linear else 1.0)
    equity -= state.cost[w] * state.unit[w]
    held = abs(state.holding[w])
    options = terms["option_margin"] * state.short[w] * now
    slope = terms["slope"] * held
    initial = (terms["initial"] + slope) * held * now + options
    return equity, initial, (terms["maintenance"] + slope) * held * now + options


@kernel
def begin(
    state: HedgeState, path: F64, terms_: Rows, key: U64, world_ids: I64, chosen: Bool
) -> None:
    """Start the episode of every chosen world at the first step of its path."""
    terms = terms_[0]
    years, quantity = terms["expiry_steps"] * terms["years"], terms["quantity"]
    last, last_vol, premium, delta, gamma, vega = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for w in range(chosen.shape[0]):
        if not chosen[w]:
            continue
        price, vol = path[w, 0, 0], volatility_of(terms, path, w, 0)
        state.price[w] = state.first[w] = state.seen_price[w] = price
        state.volatility[w] = state.seen_volatility[w] = vol
        state.scale[w] = vol * math.sqrt(terms["n_steps"] * terms["years"])
        state.variance[w] = vol * vol * terms["years"]
        state.holding[w] = state.cost[w] = state.trading[w] = state.funding[w] = 0.0
        state.penalty[w] = state.turnover[w] = state.margin_ratio[w] = state.last[w] = 0.0
        state.seen_log[w] = state.unseen[w] = state.swap_held[w] = state.swap_paid[w] = 0.0
        state.t[w], state.margin_calls[w], state.n_slots[w] = 0, 0, 0
        state.outage[w] = state.liquidated[w] = False
        strike = terms["moneyness"] * price
        if price != last or vol != last_vol:  # most worlds begin alike
            level = implied(terms, math.log(price / strike), years, vol)
            premium, delta, gamma, vega = option(
                price, strike, years, level, terms["sign"], terms["inverse"]
            )
            last, last_vol = price, vol
        state.unit[w] = premium * (quantity if quantity > 0.0 else 1.0)
        state.value[w], state.short[w] = quantity * premium, quantity
        state.delta[w], state.gamma[w] = quantity * delta, quantity * gamma
        state.vega[w] = quantity * vega
        for k in range(state.expiry.shape[1]):
            state.expiry[w, k] = -1.0
        if quantity > 0.0:
            state.strike[w, 0], state.expiry[w, 0] = strike, terms["expiry_steps"]
            state.owed[w, 0], state.sign[w, 0], state.n_slots[w] = quantity, terms["sign"], 1
        if terms["swap"] > 0.0:
            state.swap_price[w] = swap_worth(terms, path[w, 0, 1] ** 2, 0.0, terms["n_steps"])
        if terms["per_step"] > 0.0:
            serve_clients(state, terms, key, world_ids[w], w)
            mark_one(state, terms, w)


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
        if equity < initial - terms["option_margin"] * quantity * now:
            state.margin_calls[w] += 1
            return 0.0
    if not add_option(state, w, price, state.t[w] + expiry, -quantity, 1.0):
        return 0.0
    mark_one(state, terms, w)
    fee = min(terms["listed_fee"] * now, terms["listed_fee_cap"] * worth)
    return abs(quantity) * (terms["listed_spread"] * worth + fee)


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
def move_on(
    state: HedgeState, marks: Marks, path: F64, terms: Record, key: U64, world: int, w: int,
    spent: float,
) -> float:  # fmt: skip
    """Take over the next step's marks after trades that cost `spent`.

    Returns
    -------
    cost : float
        Lost in the period, over `unit`.
    """
    t = state.t[w] + 1
    price, held, linear = state.price[w], state.holding[w], terms["inverse"] == 0.0
    after, vol, value = marks.price[w], marks.volatility[w], marks.value[w]
    paid, fees = 0.0, 0.0
    if marks.expires[w] > 0.0:  # a call that takes all of the state costs as much as a step
        paid, fees = settle_expired(state, terms, key, world, w, after, vol, t)
    gain = held * (after - price) if linear else held * (after - price) / after
    if terms["swap"] > 0.0:
        gain += swap_gain(state, path, terms, w)
    if not linear:
        held = state.holding[w] = held * price / after
    funding = terms["funding"] * terms["years"] * held * (after if linear else 1.0)
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
    else:
        state.last[w], state.unseen[w] = 0.0, change
    return c


@inlined
def close_out(state: HedgeState, terms: Record, w: int) -> float:
    """Close the holding of a liquidated account, and its options at their mark; return the fee."""
    now = state.price[w] if terms["inverse"] == 0.0 else 1.0
    fee = terms["liquidation_fee"] * abs(state.holding[w]) * now
    fee += terms["option_liquidation_fee"] * state.short[w] * now
    fee /= state.unit[w]
    state.penalty[w] += fee
    state.holding[w], state.liquidated[w] = 0.0, True
    return float(fee)


@inlined
def trade(state: HedgeState, terms: Record, actions: F64, w: int) -> float:
    """Trade what an action asks for as far as venue and margin allow; return what it costs."""
    if state.outage[w]:
        return 0.0
    spent, further = 0.0, 2 if terms["action"] == IS_BAND else 1
    if terms["listed"] > 0.0:
        spent += trade_listed(state, terms, terms["listed_most"] * actions[w, further], w)
        further += 1
    if terms["swap"] > 0.0:
        swaps = terms["swap_most"] * actions[w, further]
        spent += terms["swap_rate"] * abs(swaps - state.swap_held[w]) * state.swap_price[w]
        state.swap_held[w] = swaps
    target, held = wanted(state, terms, actions, w), state.holding[w]
    if terms["collateral"] < np.inf and abs(target) > abs(held):
        state.holding[w] = target
        equity, initial, _ = margins(state, terms, w)
        state.holding[w] = held
        if equity < initial:
            state.margin_calls[w] += 1
            target = held
    size = abs(target - held)
    state.holding[w] = target
    state.turnover[w] += size
    linear = terms["inverse"] == 0.0
    now, first = (state.price[w], state.first[w]) if linear else (1.0, 1.0)
    return spent + fee_of(terms, size, now, first)


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
def step(
    state: HedgeState, marks: Marks, path: F64, actions: F64, terms_: Rows, key: U64,
    world_ids: I64, active: Bool, reward: F64, done: Bool,
) -> None:  # fmt: skip
    """Play one period in every active world.

    Parameters
    ----------
    marks : Marks
        Scratch.
    path : array (world, step + 1, 2)
        Price (cash) and annual volatility.
    actions : array (world, n)
        In [-1, 1]; see `terms.Action`.
    reward : array (world,)
        Written; 0 where not active.
    done : array (world,)
        Written: whether the episode ended, by its last step or by liquidation.
    """
    terms = terms_[0]
    n_steps, bounded = int(terms["n_steps"]), terms["collateral"] < np.inf
    linear = terms["inverse"] == 0.0
    for w in range(active.shape[0]):
        marks.before[w] = state.value[w]
        marks.spent[w] = trade(state, terms, actions, w) if active[w] else 0.0
    look_ahead(state, marks, path, terms)
    mark(state, marks, terms)
    for w in range(active.shape[0]):
        reward[w], done[w] = 0.0, False
        if not active[w]:
            continue
        before = state.cost[w]
        c = move_on(state, marks, path, terms, key, world_ids[w], w, marks.spent[w])
        last = state.t[w] == n_steps
        if last and terms["unwind"] > 0.0:
            now, first = (state.price[w], state.first[w]) if linear else (1.0, 1.0)
            size = abs(state.holding[w])
            fee = fee_of(terms, size, now, first) / state.unit[w]
            state.trading[w] += fee
            state.turnover[w] += size
            c += fee
        state.cost[w] = before + c
        if bounded:
            equity, _, maintenance = margins(state, terms, w)
            state.margin_ratio[w] = min(maintenance / equity, FAR) if equity > 0.0 else FAR
            if equity < maintenance and not last:
                c += close_out(state, terms, w)
                state.cost[w] = before + c
                last = True
        if not last and terms["per_step"] > 0.0:
            serve_clients(state, terms, key, world_ids[w], w)
            mark_one(state, terms, w)
        # Options trade at their marks: what is still owed at the end is bought back at its.
        owed = 0.0 if last else state.value[w]
        cash = c - (owed - marks.before[w]) / state.unit[w]
        reward[w], done[w] = reward_of(terms, before, c, cash), last
