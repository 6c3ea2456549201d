"""A market of Morpho Blue (`Morpho.sol`, `AdaptiveCurveIrm.sol`): one collateral, one loan asset.

What it models: a pair that shares nothing with any other; supply of the loan asset, which is no
collateral, and collateral, which is not lent; borrowing up to the liquidation loan-to-value itself;
interest compounded by three terms of the exponential, at a rate whose target adapts to utilisation;
liquidation of any part or all of the debt for the incentive of `incentive_factor`; bad debt taken
off the suppliers in the moment when the last collateral goes; flash loans for free.

What it leaves out: authorisations, callbacks, and the virtual assets and shares of the contract,
which are one millionth of a smallest unit of a token (the kernels know them).

A loan book in other assets is restated in the pair at the prices of its start: see `restate`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sim.actions import Reject, Verb
from sim.kernel import F64, I64, Rows, inlined, kernel
from sim.lending.health import position_values
from sim.lending.index import LiquidationIndex, touch
from sim.lending.liquidation import HEALTHY
from sim.lending.market import LendingMarket
from sim.lending.moves import admit, write_outcome
from sim.lending.opportunities import Opportunities
from sim.lending.params import check_bound
from sim.lending.rates import YEAR, taylor_growth, utilisation
from sim.lending.settling import (
    accrue_shares,
    admit_call,
    flash_or_move,
    has_collateral,
    settle_call,
    socialise,
    trimmed,
)
from sim.lending.state import PooledState
from sim.terms import require

VIRTUAL_ASSETS = 1.0  # smallest units that every market pretends to hold
VIRTUAL_SHARES = 1e6
CURSOR = 0.3  # of the liquidation incentive
MAX_INCENTIVE = 1.15
STEEPNESS = 4.0  # of the curve: the rate at full utilisation over the target
TARGET_UTILISATION = 0.9
SPEED = 50.0  # per year, at which the target adapts
LEAST_TARGET, MOST_TARGET = 0.001, 2.0  # per year

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
IS_HEALTHY = int(Reject.HEALTHY)
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
NOT_COLLATERAL = int(Reject.NOT_COLLATERAL)
TOO_MUCH_REPAID = int(Reject.TOO_MUCH_REPAID)
SUPPLY, LIQUIDATE, FLASH_REPAY = int(Verb.SUPPLY), int(Verb.LIQUIDATE), int(Verb.FLASH_REPAY)


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphoParams:
    """Terms of a market; the defaults are the large ether market of Morpho on Ethereum."""

    collateral: str = "WETH"
    loan: str = "USDC"
    lltv: float = 0.86  # liquidation loan-to-value; also the most that may be borrowed
    fee: float = 0.0  # fraction of the interest that becomes shares of the protocol
    rate_at_target: float = 0.04  # per year, at 90% utilisation, when the market starts

    def __post_init__(self) -> None:
        """Reject what cannot be simulated."""
        require(
            self.collateral != self.loan,
            f"collateral and loan must differ, got {self.loan} twice; name two assets",
        )
        for name, (least, most) in _BOUNDS.items():
            check_bound(name, getattr(self, name), least, most)
        check_bound("rate_at_target", self.rate_at_target, LEAST_TARGET, MOST_TARGET)


_BOUNDS = {"lltv": (0.0, 0.98), "fee": (0.0, 0.25)}


# Kernels


@kernel
def incentive_factor(lltv: float) -> float:
    """Worth seized per worth repaid, by the liquidation loan-to-value."""
    return min(MAX_INCENTIVE, 1.0 / (1.0 - CURSOR * (1.0 - lltv)))


@inlined
def to_shares(assets: float, total_assets: float, total_shares: float, unit: float) -> float:
    """Shares of an amount; `unit` is the token's smallest unit, in which the virtual part is."""
    virtual = VIRTUAL_ASSETS * unit
    return assets * ((total_shares + VIRTUAL_SHARES * unit) / (total_assets + virtual))


@inlined
def to_assets(shares: float, total_assets: float, total_shares: float, unit: float) -> float:
    """Amount of some shares; see `to_shares`."""
    virtual = VIRTUAL_ASSETS * unit
    return shares * ((total_assets + virtual) / (total_shares + VIRTUAL_SHARES * unit))


@inlined
def repaid_for(seized: float, price: float, factor: float) -> float:
    """Loan tokens to repay for collateral; `price` in loan tokens per collateral token."""
    return seized * price / factor


@inlined
def seized_for(repaid: float, price: float, factor: float) -> float:
    """Collateral tokens that a repayment of loan tokens seizes."""
    return repaid * factor / price


@inlined
def distance(used: float) -> float:
    """Place of utilisation between the target and 0 (-1) or 1 (1)."""
    room = 1.0 - TARGET_UTILISATION if used > TARGET_UTILISATION else TARGET_UTILISATION
    return (used - TARGET_UTILISATION) / room


@inlined
def curve(target: float, place: float) -> float:
    """Rate per year at a `distance` from the target utilisation (`_curve`)."""
    slope = STEEPNESS - 1.0 if place >= 0.0 else 1.0 - 1.0 / STEEPNESS
    return (slope * place + 1.0) * target


@inlined
def adapted(target: float, adaptation: float) -> float:
    """Rate at target after an adaptation, within bounds (`_newRateAtTarget`)."""
    return min(max(target * math.exp(adaptation), LEAST_TARGET), MOST_TARGET)


@kernel
def refresh(state: PooledState, balances: F64, w: int, custody: int) -> None:
    """Set the rates of all reserves of one world; the target is kept in `base_rate`."""
    for a in range(balances.shape[2]):
        reserve = state.reserves[w, a]
        debt = reserve["total_debt"] * reserve["borrow_index"]
        used = utilisation(debt, balances[w, custody, a] + reserve["flash"])
        rate = curve(reserve["base_rate"], distance(used))
        reserve["borrow_rate"] = rate
        reserve["liquidity_rate"] = rate * used * (1.0 - reserve["reserve_factor"])


@kernel
def accrue(state: PooledState, balances: F64, custody: int, seconds: float) -> None:
    """Grow debt and supply by the mean rate of the interval, and move the target.

    The mean over the adaptation is the trapezoid of its start, middle and end.
    """
    years = seconds / YEAR
    for w in range(balances.shape[0]):
        for a in range(balances.shape[2]):
            reserve = state.reserves[w, a]
            start = reserve["base_rate"]
            if not start > 0.0:
                continue
            debt = reserve["total_debt"] * reserve["borrow_index"]
            place = distance(utilisation(debt, balances[w, custody, a] + reserve["flash"]))
            adaptation = SPEED * place * years
            end = adapted(start, adaptation)
            middle = adapted(start, adaptation / 2.0)
            rate = curve((start + end + 2.0 * middle) / 4.0, place)
            accrue_shares(state, w, a, taylor_growth(rate * years), True)
            reserve["base_rate"] = end
        refresh(state, balances, w, custody)


@inlined
def quote(
    state: PooledState, prices: F64, w: int, p: int, asset: int, asset_2: int, amount: float
) -> tuple[int, float, float]:
    """Tell what a liquidation would do, purse and cash aside: code, debt repaid, seized.

    `amount` is the debt to repay, whole tokens; inf: the most that the collateral pays for.
    """
    _, weighted, _, debt_usd = position_values(state, prices, w, p)
    if not weighted < debt_usd * HEALTHY:
        return IS_HEALTHY, 0.0, 0.0
    lltv = state.reserves[w, asset]["liquidation_threshold"]
    if lltv <= 0.0:
        return NOT_COLLATERAL, 0.0, 0.0
    held = state.collateral[w, p, asset]
    if held <= 0.0:
        return NO_COLLATERAL, 0.0, 0.0
    owed = state.debt[w, p, asset_2] * state.reserves[w, asset_2]["borrow_index"]
    if owed <= 0.0:
        return NO_DEBT, 0.0, 0.0
    price = prices[w, asset] / prices[w, asset_2]
    factor = incentive_factor(lltv)
    repaid = trimmed(amount, min(owed, repaid_for(held, price, factor)))
    if math.isinf(repaid):
        return TOO_MUCH_REPAID, 0.0, 0.0
    return OK, repaid, min(seized_for(repaid, price, factor), held)


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
    """Repay debt of an unhealthy position. Code, repaid, received, bad debt in USD."""
    code, repaid, seized = quote(state, prices, w, p, asset, asset_2, amount)
    if code == OK and math.isinf(amount) and balances[w, account, asset_2] < repaid:
        purse = balances[w, account, asset_2]
        code, repaid, seized = quote(state, prices, w, p, asset, asset_2, purse)
    if code == OK:
        code = settle_call(
            state, balances, custody, w, account, p, asset, asset_2, repaid, seized, seized, limit
        )
    if code != OK:
        return code, 0.0, 0.0, 0.0
    bad_debt = 0.0
    if not has_collateral(state, w, p):
        bad_debt = socialise(state, prices, w, p)
    return OK, repaid, seized, bad_debt


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
            r0, r1, r3 = 0.0, 0.0, 0.0
            code = UNKNOWN_VERB if verb < SUPPLY or verb > FLASH_REPAY else OK
            if code == OK:
                code = admit(state, w, asset, row["amount"])
            if code == OK and verb == LIQUIDATE:
                code = admit_call(state, w, account, p, asset_2)
                if code == OK:
                    code, r0, r1, r3 = liquidate(
                        state, balances, prices, custody, w, account, p, asset, asset_2,
                        row["amount"], row["limit"],
                    )  # fmt: skip
            elif code == OK:
                code, r0, r1 = flash_or_move(state, balances, prices, custody, w, row, True)
            write_outcome(row, code, r0, r1, 0.0, r3)
            if code == OK:
                done += 1
                if 0 <= p < state.owner.shape[0]:
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
            code, repaid, seized = quote(state, prices, w, p, c, d, math.inf)
            if code == OK:
                table.debt_to_cover[k] = repaid
                table.collateral_received[k] = seized
                table.debt_to_cover_usd[k] = repaid * prices[w, d]


# Facade


class MorphoMarket(LendingMarket):
    """One isolated market of Morpho Blue.

    Parameters
    ----------
    params : MorphoParams
    """

    params: MorphoParams
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        **LendingMarket.RESULTS,
        int(Verb.FLASH_BORROW): ("borrowed",),
        int(Verb.FLASH_REPAY): ("repaid", "premium"),
    }
    COLUMNS: ClassVar[dict[str, tuple[str, ...]]] = {"fee": ("reserve_factor",)}
    bounds: ClassVar[dict[str, tuple[float, float]]] = {"fee": _BOUNDS["fee"]}

    def __init__(self, params: MorphoParams) -> None:
        self.params = params
        super().__init__()

    def reserve_terms(self) -> Mapping[str, Mapping[str, float]]:
        """Terms of the collateral, which is not lent, and of the loan asset, which is none."""
        params = self.params
        none = {"supply_cap": math.inf, "protocol_fee": 0.0}
        return {
            params.collateral: {
                **none,
                "ltv": params.lltv,
                "liquidation_threshold": params.lltv,
                "liquidation_bonus": incentive_factor(params.lltv) - 1.0,
            },
            params.loan: {
                **none,
                "liquidation_bonus": 0.0,
                "borrow_cap": math.inf,
                "reserve_factor": params.fee,
                "base_rate": params.rate_at_target,
            },
        }

    def params_at(self, asset: str, ltv: float) -> MorphoParams:
        """Terms of the market with another LLTV, which has another incentive."""
        del asset
        return replace(self.params, lltv=ltv)

    def market_terms(self) -> Mapping[str, float]:
        """No terms but those of the pair."""
        return {}

    def term(self, field: str, assets: Sequence[str]) -> F64:
        """One term by asset, shape (A,); the collateral's for all, as a book would be restated."""
        return np.full(len(assets), self.terms[self.params.collateral].get(field, 0.0))

    def pair(self) -> tuple[str, str]:
        """Collateral and loan asset."""
        return self.params.collateral, self.params.loan

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
        """Accrue one block of interest."""
        accrue(self.state, self.world.ledger.balances, self.account, self.world.block_seconds)
        self._dirty = True

    def price_calls(self, table: Opportunities) -> None:
        """Fill what calls cover and pay."""
        price_calls(self.state, self.world.oracle_price, table)
