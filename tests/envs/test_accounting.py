"""One hedger in plain Python: a purse, a position and a book, each trade booked when it happens.

Nothing is shared with the kernels but the draws of the last minutes' average. Wealth is what the
purse, the position and the book are worth together; a cost is wealth that went.
"""

import math

import numpy as np
import pytest

from envs.hedging.perpetual import PerpetualMarket
from envs.hedging.state import PAID, PREMIUM
from envs.hedging.terms import Action, Clients, Contract, Costs, Life, Listed, Mark, Reward, Swap
from envs.hedging.vector import OptionHedgingVectorEnv
from sim import streams
from sim.perps.premium import Premium
from sim.perps.terms import PerpParams


def normal_share(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def hagan(price, strike, years, level, nu, rho):
    """Implied volatility of lognormal SABR, as the paper has it."""
    z = nu / level * math.log(price / strike)
    chi = math.log((math.sqrt(1 - 2 * rho * z + z * z) + z - rho) / (1 - rho))
    ratio = z / chi if abs(z) > 1e-9 else 1.0
    return level * ratio * (1 + (rho * nu * level / 4 + (2 - 3 * rho**2) / 24 * nu**2) * years)


class SlowHedger:
    """World `w` of an environment, from its terms and its path of prices."""

    def __init__(self, env, w):
        self.env, self.w, self.terms = env, w, env.terms
        self.path = env.market.path[w].copy()
        told = env.market.conditions
        self.premium = np.zeros(len(self.path)) if told is None else told[w, :, PREMIUM].copy()
        self.paid = np.zeros(len(self.path)) if told is None else told[w, :, PAID].copy()
        self.penalty, self.refused, self.gone = 0.0, 0, False
        self.inverse = self.terms.contract.settled == "inverse"
        self.t, self.cash, self.cost, self.turnover = 0, 0.0, 0.0, 0.0
        self.units = 0.0  # linear: of the underlying; inverse: dollars of the perpetual
        self.swaps, self.swap_log = 0.0, []
        contract = self.terms.contract
        self.book = []  # (strike, expiry, owed, sign)
        sign = 1.0 if contract.kind == "call" else -1.0
        expiry = contract.expiry_steps or contract.n_steps
        strike = contract.moneyness * self.price
        self.unit = self.worth_of(strike, expiry, sign) * (contract.quantity or 1.0)
        if contract.quantity > 0.0:
            self.sell(strike, expiry, contract.quantity, sign)
        self.take_clients()

    # -- prices -----------------------------------------------------------------------------------

    @property
    def price(self):
        return float(self.path[self.t, 0])

    @property
    def own(self):
        """Price of what is held."""
        return self.price * math.exp(self.premium[self.t])

    @property
    def coin(self):
        """What one unit of the account's currency is worth in cash."""
        return self.price if self.inverse else 1.0

    @property
    def volatility(self):
        mark = self.terms.mark
        own = mark.volatility if mark.volatility is not None else float(self.path[self.t, 1])
        return own * mark.multiplier

    def years(self, expiry):
        return (expiry - self.t) * self.terms.contract.years_per_step

    def sigma(self, strike, expiry):
        mark = self.terms.mark
        years = self.years(expiry)
        if mark.mean_reversion > 0.0:
            n, total = 4000, 0.0  # the mean of the expected variance, by the midpoint rule
            for i in range(n):
                decay = math.exp(-mark.mean_reversion * years * (i + 0.5) / n)
                long_run = mark.long_run_volatility**2
                total += long_run + (self.volatility**2 - long_run) * decay
            return math.sqrt(total / n + mark.jump_volatility**2)
        if mark.vol_of_vol == 0.0:
            return self.volatility
        return hagan(self.price, strike, years, self.volatility, mark.vol_of_vol, mark.leverage)

    def d1(self, strike, expiry):
        s = self.sigma(strike, expiry) * math.sqrt(self.years(expiry))
        return math.log(self.price / strike) / s + 0.5 * s, s

    def worth_of(self, strike, expiry, sign):
        """Worth of one option in the account's currency."""
        d1, s = self.d1(strike, expiry)
        cash = sign * (
            self.price * normal_share(sign * d1) - strike * normal_share(sign * (d1 - s))
        )
        return cash / self.coin

    def delta(self):
        total = 0.0
        for strike, expiry, owed, sign in self.book:
            d1, _ = self.d1(strike, expiry)
            total += owed * sign * normal_share(sign * d1)
            if self.inverse:
                total -= owed * self.worth_of(strike, expiry, sign)
        return total

    def owed(self):
        return sum(
            owed * self.worth_of(strike, expiry, sign) for strike, expiry, owed, sign in self.book
        )

    def swap_price(self):
        swap, left = self.terms.swap, self.terms.contract.n_steps - self.t
        years = left * self.terms.contract.years_per_step
        v, b, alpha = float(self.path[self.t, 1]) ** 2, swap.long_run_volatility**2, 0.0
        alpha = swap.mean_reversion
        rest = (v - b) * (1.0 - math.exp(-alpha * years)) / alpha + b * years
        return 100.0 * (sum(self.swap_log) + rest)

    def wealth(self):
        position = 0.0 if self.inverse else self.units * self.own
        swaps = self.swaps * self.swap_price() if self.terms.swap.enabled else 0.0
        return self.cash + position + swaps - self.owed()

    # -- trades -----------------------------------------------------------------------------------

    def sell(self, strike, expiry, quantity, sign):
        """Sell an option (buy it, if negative) at its mark."""
        self.cash += quantity * self.worth_of(strike, expiry, sign)
        self.book.append((strike, expiry, quantity, sign))

    def holding(self):
        return self.units / self.own if self.inverse else self.units

    def hold(self, target):
        """Trade to a holding; pay for it."""
        costs, size = self.terms.costs, target - self.holding()
        if abs(target) > abs(self.holding()) and self.equity() < self.margin(target, 0):
            self.refused += 1
            return
        now = 1.0 if self.inverse else self.price
        fee = abs(size) * now * (costs.proportional + costs.half_spread)
        fee += costs.impact * size * size * now
        if size != 0.0:
            fee += costs.fixed * (1.0 if self.inverse else float(self.path[0, 0]))
        self.cash -= fee
        if self.inverse:
            self.units += size * self.own
        else:
            self.cash -= size * self.own
            self.units += size
        self.turnover += abs(size)

    def take_clients(self):
        """Take over what clients traded, as the environment's book has it."""
        state, w = self.env.state, self.w
        if self.terms.clients.per_step == 0.0:
            return
        mine = {(k[0], k[1], k[3]) for k in self.book}
        for k in range(int(state.n_slots[w])):
            strike, expiry, owed, sign = (
                float(x[w, k]) for x in (state.strike, state.expiry, state.owed, state.sign)
            )
            if expiry > self.t and (strike, expiry, sign) not in mine:
                self.sell(strike, expiry, owed, sign)

    def act(self, action):
        """Trade what an action asks for, where the venue is open."""
        rules, held = self.terms.action, self.holding()
        if rules.kind == "band":
            centre = self.delta() + rules.centre * action[0]
            half, further = 0.5 * rules.width * (action[1] + 1.0), 2
        else:
            further = 1
        listed = self.terms.listed
        if listed.enabled:
            quantity, further = listed.most * action[further], further + 1
            if quantity != 0.0:
                expiry = self.t + listed.expiry_steps
                worth = self.worth_of(self.price, expiry, 1.0)
                fee = min(listed.fee * (1.0 if self.inverse else self.price),
                          listed.fee_cap * worth)  # fmt: skip
                self.cash -= abs(quantity) * (listed.spread * worth + fee)
                self.sell(self.price, expiry, -quantity, 1.0)
            centre = self.delta() + rules.centre * action[0] if rules.kind == "band" else 0.0
        if self.terms.swap.enabled:
            wanted = self.terms.swap.most * action[further]
            price = self.swap_price()
            self.cash -= (wanted - self.swaps) * price
            self.cash -= self.terms.swap.proportional * abs(wanted - self.swaps) * price
            self.swaps = wanted
        if rules.kind == "band":
            target = min(max(held, centre - half), centre + half)
        elif rules.kind == "target":
            target = rules.low + (rules.high - rules.low) * (action[0] + 1.0) / 2.0
        else:
            target = held + rules.most * action[0]
        self.hold(min(max(target, rules.low), rules.high))

    # -- margin -----------------------------------------------------------------------------------

    def equity(self):
        """Collateral and what was made since; Deribit's rules, in the account's currency."""
        collateral = self.terms.life.collateral
        return collateral * (1.0 if self.inverse else float(self.path[0, 0])) + self.wealth()

    def margin(self, held, kind):
        """Initial (0) or maintenance (1) margin with a holding, beside the marks of options."""
        life, held = self.terms.life, abs(held)
        rate = (life.initial_margin, life.maintenance_margin)[kind]
        coins = held * rate + life.margin_slope * held * held
        for strike, expiry, owed, sign in self.book:
            if owed > 0.0:
                off = max(sign * (strike - self.price), 0.0) / self.price
                mark = self.worth_of(strike, expiry, sign) * self.coin / self.price
                first = max(life.option_initial - off, life.option_initial_floor)
                kept = life.option_margin * (1.0 if sign > 0.0 else max(1.0, mark))
                coins += owed * (kept if kind == 1 else first if sign > 0.0 else max(first, kept))
        return coins * (1.0 if self.inverse else self.price)

    def liquidate(self):
        """Close lot after lot while the margin does not suffice."""
        life = self.terms.life
        lots = 1 if life.liquidation == "whole" else math.ceil(1.0 / life.liquidation_lot)
        for left in range(lots, 0, -1):
            if self.equity() >= self.margin(self.holding(), 1):
                return
            now = 1.0 if self.inverse else self.price
            short = sum(max(owed, 0.0) for _, _, owed, _ in self.book)
            fee = life.liquidation_fee * abs(self.holding()) + life.option_liquidation_fee * short
            fee = min(fee * now / left, max(self.equity(), 0.0))
            self.cash -= fee
            self.penalty += fee / self.unit
            if not self.inverse:
                self.cash += self.units / left * self.own
            self.units -= self.units / left
            for strike, expiry, owed, sign in self.book:
                self.cash -= owed / left * self.worth_of(strike, expiry, sign)
            self.book = [(a, b, owed - owed / left, c) for a, b, owed, c in self.book]
        self.gone = True

    # -- time -------------------------------------------------------------------------------------

    def settle(self):
        """Pay what expires now."""
        costs, contract = self.terms.costs, self.terms.contract
        final = self.price
        if contract.delivery_minutes > 0.0:
            years = contract.delivery_minutes / 60.0 / 24.0 / contract.days_per_year
            z = streams.normal(
                self.env.key, self.env.world_ids[self.w], int(self.env.state.episode[self.w]),
                self.t * 128 + 2,
            )  # fmt: skip
            final *= math.exp(-self.volatility * math.sqrt(years / 3.0) * z)
        for strike, expiry, owed, sign in self.book:
            if expiry == self.t:
                value = max(sign * (final - strike), 0.0) / (final if self.inverse else 1.0)
                self.cash -= owed * value
                fee = costs.delivery_fee * (1.0 if self.inverse else self.price)
                self.cash -= abs(owed) * min(fee, costs.delivery_fee_cap * value)
        self.book = [option for option in self.book if option[1] > self.t]

    def step(self, action, out=False):
        """Play a period; return what it cost, over the premium."""
        years = self.terms.contract.years_per_step
        before = self.wealth()
        if not out:
            self.act(action)
        variance = float(self.path[self.t, 1]) ** 2 if self.terms.swap.enabled else 0.0
        if self.t == 0:
            costs, quantity = self.terms.costs, self.terms.contract.quantity
            sold = costs.option_fee * (1.0 if self.inverse else self.price)
            self.cash -= quantity * min(sold, costs.option_fee_cap * self.unit / (quantity or 1.0))
        last_price = self.own
        self.t += 1
        if self.terms.swap.enabled:
            self.swap_log.append(0.5 * years * (variance + float(self.path[self.t, 1]) ** 2))
        if self.inverse:
            self.cash += self.units * (1.0 / last_price - 1.0 / self.own)
        now = 1.0 if self.inverse else self.own
        paid = self.terms.costs.funding_per_year * years + self.paid[self.t]
        self.cash -= paid * self.holding() * now
        self.settle()
        if self.t < self.terms.contract.n_steps:
            self.liquidate()
        c = before - self.wealth()
        if self.t == self.terms.contract.n_steps and self.terms.costs.unwind:
            before = self.wealth()
            self.hold(0.0)
            c += before - self.wealth()
        self.cost += c / self.unit
        self.take_clients()
        return c / self.unit


DAILY = {"n_steps": 12, "days_per_step": 1.0, "days_per_year": 365.0}
FREE = Action(kind="target", low=-1.0, high=2.0)
CASES = {
    "call": {"mark": Mark(volatility=0.6)},
    "put": {"contract": Contract(kind="put", **DAILY), "action": Action(low=-1.0, high=0.0)},
    "out of the money": {"contract": Contract(moneyness=1.1, quantity=3.0, **DAILY)},
    "inverse call": {
        "contract": Contract(settled="inverse", delivery_minutes=30.0, **DAILY),
        "costs": Costs(proportional=5e-4, delivery_fee=1.5e-4, funding_per_year=0.1),
    },
    "inverse put": {
        "contract": Contract(settled="inverse", kind="put", moneyness=0.95, **DAILY),
        "action": Action(low=-1.5, high=0.5),
    },
    "target": {"action": FREE},
    "trade": {"action": Action(kind="trade", low=-1.0, high=1.0, most=0.3)},
    "all costs": {
        "action": FREE,
        "costs": Costs(
            proportional=0.01, half_spread=0.002, impact=0.01, fixed=1e-3, funding_per_year=0.5,
            delivery_fee=1.5e-4, unwind=False,
        ),
    },
    "lives on": {"contract": Contract(expiry_steps=20, **DAILY), "action": FREE},
    "moving volatility": {"stochastic": True, "mark": Mark(multiplier=1.1)},
    "sabr": {"stochastic": True, "mark": Mark(vol_of_vol=0.8, leverage=-0.4)},
    "expected variance": {
        "stochastic": True,
        "mark": Mark(mean_reversion=9.0, long_run_volatility=0.5, jump_volatility=0.3),
    },
    "listed": {
        "stochastic": True,
        "listed": Listed(enabled=True, expiry_steps=8, spread=0.02, fee=3e-4),
        "action": FREE,
    },
    "listed band": {"mark": Mark(volatility=0.6), "listed": Listed(enabled=True, most=0.5)},
    "swap": {"stochastic": True, "swap": Swap(enabled=True, proportional=0.01), "action": FREE},
    "clients": {
        "contract": Contract(quantity=0.0, **DAILY),
        "clients": Clients(
            per_step=1.5, expiry_steps=7, moneyness_low=0.8, moneyness_high=1.2, quantity=0.5
        ),
        "action": Action(low=-9.0, high=9.0),
    },
    "clients, inverse, listed": {
        "contract": Contract(settled="inverse", **DAILY),
        "clients": Clients(per_step=1.0, expiry_steps=5, moneyness_low=0.9, moneyness_high=1.1),
        "listed": Listed(enabled=True, expiry_steps=6),
        "action": Action(low=-9.0, high=9.0),
    },
    "fee of the sale": {
        "contract": Contract(settled="inverse", quantity=2.0, **DAILY),
        "costs": Costs(option_fee=3e-4, proportional=5e-4),
    },
    "outages": {"life": Life(outage_per_step=0.4, outage_steps=2.0)},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_kernels_book_what_a_slow_hedger_books(make, actions, case):
    terms = dict(CASES[case])
    terms.setdefault("contract", Contract(**DAILY))
    stochastic = terms.pop("stochastic", False)
    if not stochastic:
        terms.setdefault("mark", Mark(volatility=0.55))
    env = make(6, stochastic=stochastic, reward=Reward(kind="pnl"), **terms)
    env.reset(seed=11)
    slow = [SlowHedger(env, w) for w in range(6)]
    source, was_out = actions(env), np.zeros(6, bool)
    for t in range(12):
        np.testing.assert_allclose(env.state.delta, [s.delta() for s in slow], atol=1e-11)
        action, was_out = next(source), env.state.outage.copy()
        _, reward, *_ = env.step(action)
        booked = [s.step(action[w], was_out[w]) for w, s in enumerate(slow)]
        np.testing.assert_allclose(-reward, booked, rtol=1e-9, atol=1e-10, err_msg=f"step {t}")
    np.testing.assert_allclose(env.state.cost, [s.cost for s in slow], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(env.state.turnover, [s.turnover for s in slow], rtol=1e-9)
    parts = env.state.trading + env.state.funding
    assert np.all(parts[env.state.turnover > 0] != 0.0)


def hedged_with_a_perpetual(inner, funding_hours=0.0, samples=1):
    """The same market with a perpetual whose premium is large enough to matter."""
    premium = Premium(mean=0.002, dispersion=0.01, half_life_hours=48.0)
    perp = PerpParams(funding_hours=funding_hours, funding_cap=0.01)
    return PerpetualMarket(index=inner, premium=premium, perp=perp, samples=samples)


@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize("settled", ["linear", "inverse"])
@pytest.mark.parametrize("liquidation", ["whole", "incremental"])
def test_an_account_with_a_perpetual_is_margined_as_a_slow_one(
    make, actions, kind, settled, liquidation
):
    life = Life(
        collateral=0.2, initial_margin=0.05, maintenance_margin=0.02, margin_slope=0.01,
        liquidation=liquidation, liquidation_lot=0.2,
    )  # fmt: skip
    terms = {
        "contract": Contract(kind=kind, settled=settled, delivery_minutes=30.0, **DAILY),
        "costs": Costs(proportional=5e-4, option_fee=3e-4, delivery_fee=1.5e-4),
        "action": FREE, "life": life, "mark": Mark(volatility=1.1), "reward": Reward(kind="pnl"),
    }  # fmt: skip
    plain = make(64, **terms)
    env = OptionHedgingVectorEnv(
        64, terms=plain.terms, market=hedged_with_a_perpetual(plain.market)
    )
    env.reset(seed=4)
    slow, source = [SlowHedger(env, w) for w in range(64)], actions(env)
    over, wiped, parts = np.zeros(64, bool), 0, 0
    for t in range(12):
        action = next(source)
        _, reward, terminated, _, info = env.step(action)
        for w in np.flatnonzero(~over):
            booked = slow[w].step(action[w])
            assert -reward[w] == pytest.approx(booked, rel=1e-9, abs=1e-10), (t, w)
            assert env.state.margin_calls[w] == slow[w].refused
            assert env.state.penalty[w] == pytest.approx(slow[w].penalty, rel=1e-9)
            assert terminated[w] == (slow[w].gone or t == 11)
            if terminated[w]:
                assert info["liquidated"][w] == slow[w].gone
                assert info["insurance"][w] == pytest.approx(slow[w].penalty, rel=1e-9)
                owed = max(-slow[w].equity(), 0.0) / slow[w].unit if slow[w].gone else 0.0
                assert info["shortfall"][w] == pytest.approx(owed, abs=1e-9)
                wiped += slow[w].gone
                parts += info["liquidations"][w] > 0 and not slow[w].gone
        over |= terminated
    assert sum(it.refused for it in slow) > 0
    assert wiped > 0 if liquidation == "whole" else parts > 0
