"""Compound v2's money markets (`CToken.sol`, `Comptroller.sol`, `JumpRateModelV2.sol`).

What it models: one collateral factor per asset, for borrowing and for liquidation alike; jump-rate
and white-paper models per block with simple interest at each accrual; the exchange rate of shares;
reserves that earn nothing; liquidations that repay at most the close factor of one borrowed asset
for the incentive, 2.8% of what is seized going to the reserves. Nothing writes bad debt off: what
no collateral covers stays as debt, and shows as the market's shortfall.

What it leaves out: COMP rewards, receiving shares instead of tokens, assets that were supplied but
not entered as collateral, and flash loans, which it does not have.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, inlined, kernel
from sim.lending.health import position_values
from sim.lending.index import LiquidationIndex, touch
from sim.lending.liquidation import HEALTHY
from sim.lending.market import LendingMarket
from sim.lending.moves import admit, move, write_outcome
from sim.lending.opportunities import Opportunities
from sim.lending.params import check_bound, check_risk
from sim.lending.rates import YEAR, kinked_rate
from sim.lending.settling import accrue_shares, admit_call, settle_call, trimmed
from sim.lending.state import PooledState

BLOCKS_PER_YEAR = 2_102_400.0  # of 15 seconds, as both rate models assume
OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
IS_HEALTHY = int(Reject.HEALTHY)
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
TOO_MUCH_REPAID = int(Reject.TOO_MUCH_REPAID)
SUPPLY, REPAY, LIQUIDATE = int(Verb.SUPPLY), int(Verb.REPAY), int(Verb.LIQUIDATE)


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class CompoundReserve:
    """Terms of one asset; defaults are ether's on Ethereum in 2021, rounded."""

    collateral_factor: float = 0.75  # fraction of worth that may be owed; above it: liquidation
    reserve_factor: float = 0.20  # fraction of the interest that the reserves keep
    borrow_cap: float = math.inf  # whole tokens
    base_rate: float = 0.02  # per year
    multiplier: float = 0.18  # per year, added up to the kink
    jump_multiplier: float = 4.0  # per year and unit of utilisation beyond the kink
    kink: float = 0.80  # utilisation; 1 with jump_multiplier 0: the white-paper model
    frozen: bool = False  # no new supply and no new debt
    paused: bool = False  # no verb at all

    def __post_init__(self) -> None:
        """Reject terms that no deployment accepts."""
        for name, (least, most) in _RESERVE_BOUNDS.items():
            check_bound(name, getattr(self, name), least, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompoundV2Params:
    """Terms of the market; defaults are the Comptroller's on Ethereum since July 2021."""

    reserves: Mapping[str, CompoundReserve] = field(default_factory=dict)  # by asset
    close_factor: float = 0.5  # fraction of the debt in one asset that a liquidation may repay
    liquidation_incentive: float = 0.08  # fraction on top of the debt's worth
    protocol_seize_share: float = 0.028  # fraction of what is seized that the reserves keep

    def __post_init__(self) -> None:
        """Reject what cannot be simulated."""
        if not self.reserves:
            raise ConfigError(
                "reserves must name at least one asset, got none; give for example "
                "reserves: {WETH: {}, USDC: {}}"
            )
        check_bound("close_factor", self.close_factor, 0.01, 1.0)
        check_bound("liquidation_incentive", self.liquidation_incentive, 1e-6, 1.0)
        check_bound("protocol_seize_share", self.protocol_seize_share, 0.0, 1.0)
        for reserve in self.reserves.values():
            factor = reserve.collateral_factor
            check_risk(factor, factor, self.liquidation_incentive)


_RESERVE_BOUNDS = {
    "collateral_factor": (0.0, 1.0),
    "reserve_factor": (0.0, 1.0),
    "borrow_cap": (0.0, math.inf),
    "base_rate": (0.0, 1000.0),
    "multiplier": (0.0, 1000.0),
    "jump_multiplier": (0.0, 1000.0),
    "kink": (0.01, 1.0),
    "frozen": (0.0, 1.0),
    "paused": (0.0, 1.0),
}


# Kernels


@kernel
def utilisation(cash: float, borrows: float, reserves: float) -> float:
    """Borrows over what suppliers own: cash and borrows less the protocol's reserves.

    Above 1 where the reserves exceed the cash; 0 without borrows.
    """
    if borrows <= 0.0:
        return 0.0
    return borrows / (cash + borrows - reserves)


@kernel
def supply_rate(rate: float, used: float, reserve_factor: float) -> float:
    """Rate that suppliers earn when borrowers pay `rate`; any unit of time."""
    return used * (rate * (1.0 - reserve_factor))


@inlined
def seize(
    repaid: float, debt_price: float, price: float, exchange: float, incentive: float, share: float
) -> tuple[float, float]:
    """Shares of collateral that a repayment seizes, and the protocol's part of them.

    Parameters
    ----------
    repaid : float
        Debt repaid, whole tokens.
    debt_price, price : float
        USD per whole token of the debt and of the collateral.
    exchange : float
        Tokens of collateral per share.
    incentive : float
        Worth seized per worth repaid: 1.08.
    share : float
        Fraction of what is seized that the protocol keeps: 0.028.
    """
    seized = repaid * (incentive * debt_price / (price * exchange))
    return seized, seized * share


@kernel
def refresh(state: PooledState, balances: F64, w: int, custody: int) -> None:
    """Set the rates of all reserves of one world."""
    for a in range(balances.shape[2]):
        reserve = state.reserves[w, a]
        debt = reserve["total_debt"] * reserve["borrow_index"]
        used = utilisation(balances[w, custody, a], debt, reserve["surplus"])
        kink = reserve["optimal_utilisation"]
        rate = kinked_rate(
            used, reserve["base_rate"], reserve["slope_1"] / kink, reserve["slope_2"], kink
        )
        reserve["borrow_rate"] = rate
        reserve["liquidity_rate"] = supply_rate(rate, used, reserve["reserve_factor"])


@kernel
def accrue(state: PooledState, balances: F64, custody: int, seconds: float) -> None:
    """Let all debt grow by simple interest over some seconds, then set new rates."""
    for w in range(balances.shape[0]):
        for a in range(balances.shape[2]):
            growth = state.reserves[w, a]["borrow_rate"] * seconds / YEAR
            accrue_shares(state, w, a, growth, False)
        refresh(state, balances, w, custody)


@inlined
def quote(
    state: PooledState, prices: F64, w: int, p: int, asset: int, asset_2: int, amount: float
) -> tuple[int, float, float, float]:
    """Tell what a liquidation would do, purse and cash aside.

    `amount` is the debt to repay, whole tokens; inf: the most that the rules allow. Returns a code,
    debt repaid, collateral to the liquidator and collateral to the reserves.
    """
    _, weighted, _, debt_usd = position_values(state, prices, w, p)
    if not weighted < debt_usd * HEALTHY:
        return IS_HEALTHY, 0.0, 0.0, 0.0
    reserve = state.reserves[w, asset]
    exchange = reserve["liquidity_index"]
    shares = state.collateral[w, p, asset]
    if shares <= 0.0:
        return NO_COLLATERAL, 0.0, 0.0, 0.0
    owed = state.debt[w, p, asset_2] * state.reserves[w, asset_2]["borrow_index"]
    if owed <= 0.0:
        return NO_DEBT, 0.0, 0.0, 0.0
    incentive = 1.0 + reserve["liquidation_bonus"]
    kept = reserve["protocol_fee"] * reserve["liquidation_bonus"] / incentive
    price, debt_price = prices[w, asset], prices[w, asset_2]
    worth = shares * exchange * price / (debt_price * incentive)
    repaid = trimmed(amount, min(owed * state.market[w]["close_factor"], worth))
    if math.isinf(repaid):
        return TOO_MUCH_REPAID, 0.0, 0.0, 0.0
    seized, fee = seize(repaid, debt_price, price, exchange, incentive, kept)
    seized = min(seized, shares)
    fee = min(fee, seized)
    return OK, repaid, (seized - fee) * exchange, fee * exchange


@kernel
def liquidate(
    state: PooledState,
    balances: F64,
    prices: F64,
    custody: int,
    w: int,
    account: int,
    p: int,
    asset: int,
    asset_2: int,
    amount: float,
    limit: float,
) -> tuple[int, float, float, float]:
    """Repay debt of an unhealthy position for its collateral. Code, repaid, received, fee."""
    code, repaid, received, fee = quote(state, prices, w, p, asset, asset_2, amount)
    if code == OK and math.isinf(amount):
        purse = balances[w, account, asset_2]
        if purse < repaid:
            code, repaid, received, fee = quote(state, prices, w, p, asset, asset_2, purse)
    if code == OK:
        code = settle_call(
            state, balances, custody, w, account, p, asset, asset_2, repaid, received,
            received + fee, limit,
        )  # fmt: skip
    if code != OK:
        return code, 0.0, 0.0, 0.0
    state.reserves[w, asset]["surplus"] += fee
    state.reserves[w, asset]["fee_income"] += fee
    return OK, repaid, received, fee


@kernel
def execute(
    state: PooledState,
    index: LiquidationIndex,
    balances: F64,
    prices: F64,
    rows: Rows,
    order: I64,
    starts: I64,
    ends: I64,
    custody: int,
) -> int:
    """Execute `rows[order[starts[w]:ends[w]]]` in that order per world; how many had an effect."""
    total = 0
    for w in range(starts.shape[0]):
        done = 0
        for k in range(starts[w], ends[w]):
            row = rows[order[k]]
            verb, account, p = int(row["verb"]), int(row["account"]), int(row["target"])
            asset, asset_2 = int(row["asset"]), int(row["asset_2"])
            amount, limit = row["amount"], row["limit"]
            r0, r1, r2 = 0.0, 0.0, 0.0
            code = UNKNOWN_VERB if verb < SUPPLY or verb > LIQUIDATE else OK
            if code == OK:
                code = admit(state, w, asset, amount)
            if code == OK and verb == LIQUIDATE:
                code = admit_call(state, w, account, p, asset_2)
                if code == OK:
                    code, r0, r1, r2 = liquidate(
                        state, balances, prices, custody, w, account, p, asset, asset_2, amount,
                        limit,
                    )  # fmt: skip
            elif code == OK:
                code, r0 = move(
                    state, balances, prices, custody, w, verb, account, p, asset, amount, limit,
                    True,
                )  # fmt: skip
            write_outcome(row, code, r0, r1, r2, 0.0)
            if code == OK:
                done += 1
                touch(index, state, w, p)
        if done > 0:
            refresh(state, balances, w, custody)
        total += done
    return total


@kernel
def price_calls(state: PooledState, prices: F64, table: Opportunities) -> None:
    """Fill what the largest call on each listed position covers and pays."""
    for w in range(prices.shape[0]):
        for k in range(table.starts[w], table.starts[w + 1]):
            p, c, d = table.position[k], table.collateral_asset[k], table.debt_asset[k]
            if c < 0 or d < 0:
                continue
            code, repaid, received, _ = quote(state, prices, w, p, c, d, math.inf)
            if code == OK:
                table.debt_to_cover[k] = repaid
                table.collateral_received[k] = received
                table.debt_to_cover_usd[k] = repaid * prices[w, d]


# Facade


class CompoundV2Market(LendingMarket):
    """Compound v2's money markets under one Comptroller.

    Parameters
    ----------
    params : CompoundV2Params
    """

    params: CompoundV2Params
    COLUMNS: ClassVar[dict[str, tuple[str, ...]]] = {
        "collateral_factor": ("ltv", "liquidation_threshold"),
        "multiplier": ("slope_1",),
        "jump_multiplier": ("slope_2",),
        "kink": ("optimal_utilisation",),
    }
    bounds: ClassVar[dict[str, tuple[float, float]]] = {
        **_RESERVE_BOUNDS,
        "close_factor": (0.01, 1.0),
    }

    def __init__(self, params: CompoundV2Params) -> None:
        self.params = params
        super().__init__()

    def reserve_terms(self) -> Mapping[str, Mapping[str, float]]:
        """Terms by asset; the seize share as a share of the incentive."""
        incentive = self.params.liquidation_incentive
        kept = self.params.protocol_seize_share * (1.0 + incentive) / incentive
        return {
            asset: {
                "ltv": reserve.collateral_factor,
                "liquidation_threshold": reserve.collateral_factor,
                "liquidation_bonus": incentive,
                "protocol_fee": kept,
                "reserve_factor": reserve.reserve_factor,
                "supply_cap": math.inf,
                "borrow_cap": reserve.borrow_cap,
                "base_rate": reserve.base_rate,
                "slope_1": reserve.multiplier,
                "slope_2": reserve.jump_multiplier,
                "optimal_utilisation": reserve.kink,
                "frozen": reserve.frozen,
                "paused": reserve.paused,
            }
            for asset, reserve in self.params.reserves.items()
        }

    def params_at(self, asset: str, ltv: float) -> CompoundV2Params:
        """Terms with another collateral factor."""
        terms = replace(self.params.reserves[asset], collateral_factor=ltv)
        return replace(self.params, reserves={**self.params.reserves, asset: terms})

    def market_terms(self) -> Mapping[str, float]:
        """Terms of the whole market."""
        return {"close_factor": self.params.close_factor}

    def refresh_rates(self) -> None:
        """Set all rates from utilisation."""
        for w in range(self.world.n_worlds):
            refresh(self.state, self.world.ledger.balances, w, self.account)

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows at the oracle's present prices."""
        done = execute(
            self.state, self.index_state, self.world.ledger.balances, self.world.oracle_price,
            rows, order, starts, ends, self.account,
        )  # fmt: skip
        self._dirty = self._dirty or done > 0

    def accrue(self) -> None:
        """Accrue one block of interest in all reserves."""
        accrue(self.state, self.world.ledger.balances, self.account, self.world.block_seconds)
        self._dirty = True

    def price_calls(self, table: Opportunities) -> None:
        """Fill what calls cover and pay."""
        price_calls(self.state, self.world.oracle_price, table)
