"""Terms of a hedging environment, as YAML states them, and the record that kernels read.

Everything is per unit of the underlying. An account is kept in `currency`: cash for a linear
contract, coin for an inverse one. Costs are reported in units of the premium of the option that is
sold at the start (`cost_unit`), as in Cao, Chen, Hull and Poulos (2021).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from sim.errors import ConfigError
from sim.kernel import Rows
from sim.terms import check_range, require

LINEAR, INVERSE = "linear", "inverse"
BAND, TARGET, TRADE = "band", "target", "trade"
ACTIONS = (BAND, TARGET, TRADE)
PNL, CASH, QUADRATIC, TELESCOPING, CVAR, ENTROPIC = (
    "pnl", "cash_flow", "quadratic", "telescoping", "cvar", "entropic",
)  # fmt: skip
WHOLE, INCREMENTAL = "whole", "incremental"
REWARDS = (PNL, CASH, QUADRATIC, TELESCOPING, CVAR, ENTROPIC)


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ConfigError unless the value is one of the known words."""
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(known)}, got {value!r}; correct it")


def whole(name: str, value: Any, least: int) -> None:
    """Raise ConfigError unless the value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The option that is sold at the start, and the clock of the episode."""

    kind: str = "call"  # call or put
    settled: str = LINEAR  # linear: in cash; inverse: in coin, as Deribit's
    moneyness: float = 1.0  # strike over the first price
    quantity: float = 1.0  # options sold; 0: only clients' trades
    n_steps: int = 20  # hedging periods of an episode
    days_per_step: float = 1.0
    days_per_year: float = 250.0
    expiry_steps: int | None = None  # of the option; None: those of the episode
    delivery_minutes: float = 0.0  # the price at delivery is the average over the last minutes

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("call", "put"))
        one_of("settled", self.settled, (LINEAR, INVERSE))
        check_range("moneyness", self.moneyness, 0.0, 100.0, open_low=True)
        check_range("quantity", self.quantity, 0.0, 1e9)
        whole("n_steps", self.n_steps, 1)
        check_range("days_per_step", self.days_per_step, 0.0, 3660.0, open_low=True)
        check_range("days_per_year", self.days_per_year, 1.0, 366.0)
        if self.expiry_steps is not None:
            whole("expiry_steps", self.expiry_steps, 1)
        minutes = self.days_per_step * 24.0 * 60.0
        check_range("delivery_minutes", self.delivery_minutes, 0.0, minutes)

    @property
    def years_per_step(self) -> float:
        """Length of a hedging period, years."""
        return self.days_per_step / self.days_per_year


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Random trades of clients: each sells or buys an option to or from the hedger."""

    per_step: float = 0.0  # mean number of trades a step (Poisson), 8 at most
    bought_share: float = 0.5  # chance that the client buys, so that the hedger is short
    moneyness_low: float = 1.0
    moneyness_high: float = 1.0
    expiry_steps: int = 60  # of a client's option at its trade
    quantity: float = 1.0

    def __post_init__(self) -> None:
        check_range("per_step", self.per_step, 0.0, 8.0)
        check_range("bought_share", self.bought_share, 0.0, 1.0)
        check_range("moneyness_low", self.moneyness_low, 0.0, 100.0, open_low=True)
        check_range("moneyness_high", self.moneyness_high, self.moneyness_low, 100.0)
        whole("expiry_steps", self.expiry_steps, 1)
        check_range("quantity", self.quantity, 0.0, 1e9, open_low=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A liquid option that the hedger may trade once a step: at the money, of a fixed expiry."""

    enabled: bool = False
    expiry_steps: int = 30  # at its trade
    most: float = 1.0  # bought or sold in a step at most
    spread: float = 0.01  # of the option's price, paid on each trade
    fee: float = 0.0  # of the underlying, per option
    fee_cap: float = 0.125  # of the option's price

    def __post_init__(self) -> None:
        whole("expiry_steps", self.expiry_steps, 1)
        check_range("most", self.most, 0.0, 1e9, open_low=True)
        check_range("spread", self.spread, 0.0, 1.0)
        check_range("fee", self.fee, 0.0, 1.0)
        check_range("fee_cap", self.fee_cap, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A variance swap to the end of the episode, as in Buehler, Gonon, Teichmann, Wood (2019, 5.2).

    Its price is the variance so far and what Heston's model expects of the rest, in cash:

        int_0^t V ds + (V_t - b) (1 - exp(-alpha (T - t))) / alpha + b (T - t)

    One unit pays 100 times that, a percent of the squared volatility.
    """

    enabled: bool = False
    most: float = 20.0  # held at most, units, long or short
    mean_reversion: float = 1.0  # alpha, a year
    long_run_volatility: float = 0.2  # root of b, annual
    proportional: float = 0.0  # cost of a trade, of its worth

    def __post_init__(self) -> None:
        check_range("most", self.most, 0.0, 1e9, open_low=True)
        check_range("mean_reversion", self.mean_reversion, 0.0, 1e4, open_low=True)
        check_range("long_run_volatility", self.long_run_volatility, 0.0, 20.0)
        check_range("proportional", self.proportional, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a trade in the underlying costs, as fractions of the traded value unless said."""

    proportional: float = 0.01
    half_spread: float = 0.0
    impact: float = 0.0  # of the price, per unit traded: the cost grows with the square
    fixed: float = 0.0  # per trade, in units of the first price
    unwind: bool = True  # whether closing the holding at the end costs
    funding_per_year: float = 0.0  # paid by who is long, of the holding's worth
    option_fee: float = 0.0  # of the underlying, per option sold at the start; paid in step one
    option_fee_cap: float = 0.125  # of the option's price
    delivery_fee: float = 0.0  # of the underlying, per option that expires with worth
    delivery_fee_cap: float = 0.125  # of the option's worth

    def __post_init__(self) -> None:
        shares = ("delivery_fee", "delivery_fee_cap", "option_fee", "option_fee_cap")
        for name in ("proportional", "half_spread", *shares):
            check_range(name, getattr(self, name), 0.0, 1.0)
        check_range("impact", self.impact, 0.0, 1.0)
        check_range("fixed", self.fixed, 0.0, 1.0)
        check_range("funding_per_year", self.funding_per_year, -100.0, 100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Volatility at which options are valued and model Greeks are taken.

    It holds for every option, unless one of two models says how it goes on. With a `mean_reversion`
    an option is marked at the root of the variance that is expected on average until its expiry,
    that of jumps added,

        b + (V - b) (1 - exp(-alpha T)) / (alpha T) + jump_volatility^2.

    With a `vol_of_vol` it is the level of a lognormal SABR model, and each option has the implied
    volatility of Hagan, Kumar, Lesniewski and Woodward (2002, eq. 2.17 at beta 1); delta is then
    the practitioner's, that of Black and Scholes at the implied volatility.
    """

    volatility: float | None = None  # annual; None: what the market says at that moment
    multiplier: float = 1.0
    vol_of_vol: float = 0.0  # nu of SABR, a year
    leverage: float = 0.0  # rho of SABR
    mean_reversion: float = 0.0  # alpha, a year
    long_run_volatility: float = 0.0  # root of b, annual
    jump_volatility: float = 0.0  # annual

    def __post_init__(self) -> None:
        if self.volatility is not None:
            check_range("volatility", self.volatility, 0.0, 20.0, open_low=True)
        check_range("multiplier", self.multiplier, 0.0, 10.0, open_low=True)
        check_range("vol_of_vol", self.vol_of_vol, 0.0, 100.0)
        check_range("leverage", self.leverage, -0.999, 0.999)
        check_range("mean_reversion", self.mean_reversion, 0.0, 1e4)
        check_range("long_run_volatility", self.long_run_volatility, 0.0, 20.0)
        check_range("jump_volatility", self.jump_volatility, 0.0, 20.0)
        require(
            self.vol_of_vol == 0.0 or self.mean_reversion == 0.0,
            "mark.vol_of_vol and mark.mean_reversion are two models of volatility; set one to 0",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What may befall the hedger: margin, liquidation, outages, a stale view.

    Margins are Deribit's standard ones (`sim.options.margin`): a share of the holding that grows
    with its size, and shares per short option beside its mark; without collateral (inf) none of it
    applies. A trade that makes the holding larger is refused where the equity after it would lie
    below the initial margin. Below the maintenance margin the account is liquidated, at marks and
    for fees that go to the insurance fund as far as the account can pay them: whole, which ends
    the episode, or lot after lot of holding and options alike until the rest is covered. What a
    closed account owes beyond its collateral is told as `shortfall`; its hedger is still charged.
    """

    collateral: float = inf  # at the start, in units of the first price (of coin if inverse)
    initial_margin: float = 0.02  # of the holding
    maintenance_margin: float = 0.01
    margin_slope: float = 5e-5  # further share per unit held
    option_margin: float = 0.075  # maintenance: of the underlying, per short option
    option_initial: float = 0.15  # initial, less what the option is out of the money by
    option_initial_floor: float = 0.1  # and at least this
    liquidation: str = WHOLE  # or incremental
    liquidation_lot: float = 0.1  # of the account: what is closed at a time
    liquidation_fee: float = 0.0075  # of the holding that is closed
    option_liquidation_fee: float = 0.0019  # of the underlying, per short option closed
    outage_per_step: float = 0.0  # chance that the venue goes down
    outage_steps: float = 1.0  # mean length, geometric
    stale_per_step: float = 0.0  # chance that an observation shows the prices of the last one

    def __post_init__(self) -> None:
        check_range("collateral", self.collateral, 0.0, inf, open_low=True)
        check_range("maintenance_margin", self.maintenance_margin, 0.0, 1.0)
        check_range("initial_margin", self.initial_margin, self.maintenance_margin, 1.0)
        fees = ("liquidation_fee", "option_liquidation_fee")
        for name in ("margin_slope", "option_initial", "option_initial_floor", *fees):
            check_range(name, getattr(self, name), 0.0, 1.0)
        floor = max(self.option_initial_floor, 0.0)
        check_range("option_margin", self.option_margin, 0.0, floor)
        one_of("liquidation", self.liquidation, (WHOLE, INCREMENTAL))
        check_range("liquidation_lot", self.liquidation_lot, 1e-3, 1.0)
        check_range("outage_per_step", self.outage_per_step, 0.0, 1.0)
        check_range("outage_steps", self.outage_steps, 1.0, 1e6)
        check_range("stale_per_step", self.stale_per_step, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What the numbers in [-1, 1] of an action mean for the underlying.

    - band: centre = model delta + centre * a[0], half-width = width * (a[1] + 1) / 2; the holding
      moves to the nearest point of the band;
    - target: the holding becomes low + (high - low) * (a[0] + 1) / 2;
    - trade: the holding changes by most * a[0].

    The holding never leaves [low, high]. With a listed option a further number trades `most` of it,
    with a variance swap a last one, times its `most`, is the holding of it.
    """

    kind: str = BAND
    low: float = 0.0  # holding per option sold
    high: float = 1.0
    centre: float = 0.5
    width: float = 0.5
    most: float = 0.5

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ACTIONS)
        check_range("low", self.low, -1e9, 1e9)
        check_range("high", self.high, self.low, 1e9, open_low=True)
        check_range("centre", self.centre, 0.0, 1e9)
        check_range("width", self.width, 0.0, 1e9)
        check_range("most", self.most, 0.0, 1e9, open_low=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What a step is worth, with c its cost and C what was lost before, both over the premium.

    - pnl: -c;
    - cash_flow: minus the cash paid, options at what they trade or pay at, so that an episode's sum
      is that of `pnl` less the premium received at its start;
    - quadratic: -(c + k / 2 c²) (Kolm and Ritter 2019);
    - telescoping: -(c + a ((C + c - m)² - (C - m)²)), whose sum is a mean and k standard deviations
      of the episode's cost when m is its mean and a = k / (2 sd);
    - cvar: minus the change of level + max(C - level, 0) / (1 - alpha) (Rockafellar, Uryasev 2000);
    - entropic: minus the change of exp(k C) / k.
    """

    kind: str = TELESCOPING
    k: float = 1.5
    mean: float = 1.0  # m of the first episodes; training re-estimates it
    sd: float = 0.4  # of the first episodes; likewise
    alpha: float = 0.95
    level: float = 1.5  # of the first episodes; likewise

    def __post_init__(self) -> None:
        one_of("kind", self.kind, REWARDS)
        check_range("k", self.k, 0.0, 1e6)
        check_range("sd", self.sd, 0.0, 1e9, open_low=True)
        check_range("alpha", self.alpha, 0.0, 1.0 - 1e-9)
        require(
            self.k > 0.0 or self.kind != ENTROPIC,
            "reward.k must be above 0 for the entropic reward, got 0; raise it",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgingTerms:
    """All terms of a hedging environment; the defaults are the standard test of the field.

    (Cao, Chen, Hull and Poulos 2021: one at-the-money call, one month, daily, 1% a trade.)
    """

    contract: Contract = field(default_factory=Contract)
    clients: Clients = field(default_factory=Clients)
    listed: Listed = field(default_factory=Listed)
    swap: Swap = field(default_factory=Swap)
    costs: Costs = field(default_factory=Costs)
    mark: Mark = field(default_factory=Mark)
    life: Life = field(default_factory=Life)
    action: Action = field(default_factory=Action)
    reward: Reward = field(default_factory=Reward)
    observation: Mapping[str, bool] | None = None  # fields by name; None: the five of the test

    def __post_init__(self) -> None:
        expiry, steps = self.contract.expiry_steps, self.contract.n_steps
        require(
            expiry is None or expiry >= steps or self.clients.per_step > 0.0,
            f"contract.expiry_steps ({expiry}) must not lie before the end of the episode "
            f"({steps} steps); lengthen it or shorten the episode",
        )
        require(
            self.contract.quantity > 0.0 or self.clients.per_step > 0.0,
            "nothing is sold: contract.quantity and clients.per_step are both 0; raise one",
        )
        require(
            not self.swap.enabled or self.contract.settled == LINEAR,
            "swap.enabled needs contract.settled linear: a variance swap pays cash; switch one off",
        )

    @property
    def n_actions(self) -> int:
        """Numbers of an action."""
        return 1 + (self.action.kind == BAND) + self.listed.enabled + self.swap.enabled

    @property
    def n_slots(self) -> int:
        """Room for options held or owed at once."""
        clients = 0
        if self.clients.per_step > 0.0:
            mean = self.clients.per_step * min(self.clients.expiry_steps, self.contract.n_steps)
            clients = int(np.ceil(mean + 8.0 * np.sqrt(mean) + 8.0))
        return 1 + clients + (self.contract.n_steps if self.listed.enabled else 0)


RECORD = np.dtype([
    (name, np.float64) for name in (
        "sign", "inverse", "moneyness", "quantity", "n_steps", "expiry_steps", "years",
        "delivery_years", "per_step", "bought", "client_low", "client_high", "client_expiry",
        "client_quantity", "listed", "listed_expiry", "listed_most", "listed_spread", "listed_fee",
        "listed_fee_cap", "rate", "impact", "fixed", "unwind", "funding", "delivery_fee",
        "delivery_cap", "option_fee", "option_fee_cap", "volatility", "multiplier", "collateral",
        "initial", "maintenance", "slope", "option_margin", "option_initial", "option_floor",
        "lots", "liquidation_fee", "option_liquidation_fee", "outage", "outage_end",
        "stale", "nu", "rho", "alpha_v", "b_v", "jump_v", "swap", "swap_most",
        "swap_alpha", "swap_b", "swap_rate",
        "action", "low", "high", "centre", "width", "most", "reward", "k", "mean",
        "weight", "alpha", "level",
    )
])  # fmt: skip
"""The terms as kernels read them: one record, words as their place in the tuples above."""


def record_of(terms: HedgingTerms) -> Rows:
    """Put the terms into one record, shape (1,)."""
    contract, clients, listed = terms.contract, terms.clients, terms.listed
    costs, life, action, reward = terms.costs, terms.life, terms.action, terms.reward
    swap, mark = terms.swap, terms.mark
    out = np.zeros(1, RECORD)
    values = {
        "sign": 1.0 if contract.kind == "call" else -1.0,
        "inverse": float(contract.settled == INVERSE), "moneyness": contract.moneyness,
        "quantity": contract.quantity, "n_steps": contract.n_steps,
        "expiry_steps": contract.expiry_steps or contract.n_steps,
        "years": contract.years_per_step,
        "delivery_years": contract.delivery_minutes / (24.0 * 60.0 * contract.days_per_year),
        "per_step": clients.per_step, "bought": clients.bought_share,
        "client_low": clients.moneyness_low, "client_high": clients.moneyness_high,
        "client_expiry": clients.expiry_steps, "client_quantity": clients.quantity,
        "listed": float(listed.enabled), "listed_expiry": listed.expiry_steps,
        "listed_most": listed.most, "listed_spread": listed.spread, "listed_fee": listed.fee,
        "listed_fee_cap": listed.fee_cap, "rate": costs.proportional + costs.half_spread,
        "impact": costs.impact, "fixed": costs.fixed, "unwind": float(costs.unwind),
        "funding": costs.funding_per_year, "delivery_fee": costs.delivery_fee,
        "delivery_cap": costs.delivery_fee_cap, "option_fee": costs.option_fee,
        "option_fee_cap": costs.option_fee_cap,
        "volatility": -1.0 if mark.volatility is None else mark.volatility,
        "multiplier": mark.multiplier, "collateral": life.collateral,
        "initial": life.initial_margin, "maintenance": life.maintenance_margin,
        "slope": life.margin_slope, "option_margin": life.option_margin,
        "option_initial": life.option_initial, "option_floor": life.option_initial_floor,
        "lots": 1.0 if life.liquidation == WHOLE else np.ceil(1.0 / life.liquidation_lot - 1e-9),
        "liquidation_fee": life.liquidation_fee,
        "option_liquidation_fee": life.option_liquidation_fee, "outage": life.outage_per_step,
        "outage_end": 1.0 / life.outage_steps, "stale": life.stale_per_step,
        "nu": mark.vol_of_vol, "rho": mark.leverage, "alpha_v": mark.mean_reversion,
        "b_v": mark.long_run_volatility**2, "jump_v": mark.jump_volatility**2,
        "swap": float(swap.enabled),
        "swap_most": swap.most, "swap_alpha": swap.mean_reversion,
        "swap_b": swap.long_run_volatility**2, "swap_rate": swap.proportional,
        "action": ACTIONS.index(action.kind), "low": action.low, "high": action.high,
        "centre": action.centre, "width": action.width, "most": action.most,
        "reward": REWARDS.index(reward.kind), "k": reward.k, "mean": reward.mean,
        "weight": reward.k / (2.0 * reward.sd), "alpha": reward.alpha, "level": reward.level,
    }  # fmt: skip
    for name, value in values.items():
        out[name] = value
    return out
