"""Euler v2's vaults (`EVault`), liquidated at a discount that grows with the shortfall.

What it models: one vault per asset, rates with a kink compounded per second, the interest fee as
shares of the vault; loan-to-values for borrowing and, higher, for liquidation; accounts that owe
one asset (`OTHER_DEBT`); liquidations of any part of the debt at a discount equal to the shortfall
of the health score, capped; debt that no collateral is left for is taken off the vault's suppliers;
flash loans for free.

What it leaves out: loan-to-values that differ by debt asset (a collateral has one for all), their
ramping, sub-accounts (an account of the initial book that owes two assets is liquidated by the
health of both together), the cool-off time, and a liquidator's taking debt over instead of repaying
it.
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
from sim.lending.moves import admit, write_outcome
from sim.lending.opportunities import Opportunities
from sim.lending.params import check_bound, check_risk
from sim.lending.rates import YEAR
from sim.lending.settling import (
    accrue_shares,
    admit_call,
    flash_or_move,
    has_collateral,
    owes_other,
    settle_call,
    socialise,
    trimmed,
)
from sim.lending.state import PooledState
from sim.lending.verbs import refresh_rates

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
IS_HEALTHY = int(Reject.HEALTHY)
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
NOT_COLLATERAL = int(Reject.NOT_COLLATERAL)
OTHER_DEBT = int(Reject.OTHER_DEBT)
TOO_MUCH_REPAID = int(Reject.TOO_MUCH_REPAID)
SUPPLY, BORROW, LIQUIDATE = int(Verb.SUPPLY), int(Verb.BORROW), int(Verb.LIQUIDATE)
FLASH_REPAY = int(Verb.FLASH_REPAY)
BY_POSITION = -1.0  # of a bonus: it depends on the position


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class EulerVault:
    """Terms of one asset; defaults are WETH in Euler's Prime cluster of 2024, rounded."""

    borrow_ltv: float = 0.83  # fraction of worth up to which may be borrowed or withdrawn
    liquidation_ltv: float = 0.85  # fraction of worth under which an account is liquidated
    interest_fee: float = 0.10  # fraction of the interest that becomes shares of the protocol
    supply_cap: float = math.inf  # whole tokens
    borrow_cap: float = math.inf  # whole tokens
    base_rate: float = 0.0  # per year
    slope_1: float = 0.027  # per year, added up to the kink
    slope_2: float = 0.80  # per year, added from there to full utilisation
    kink: float = 0.90  # utilisation
    frozen: bool = False  # no new supply and no new debt
    paused: bool = False  # no verb at all

    def __post_init__(self) -> None:
        """Reject terms that no deployment accepts."""
        for name, (least, most) in _VAULT_BOUNDS.items():
            check_bound(name, getattr(self, name), least, most)
        check_risk(self.borrow_ltv, self.liquidation_ltv, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EulerParams:
    """Terms of the market."""

    vaults: Mapping[str, EulerVault] = field(default_factory=dict)  # by asset
    max_discount: float = 0.15  # largest discount of a liquidation, fraction

    def __post_init__(self) -> None:
        """Reject what cannot be simulated."""
        if not self.vaults:
            raise ConfigError(
                "vaults must name at least one asset, got none; give for example "
                "vaults: {WETH: {}, USDC: {}}"
            )
        check_bound("max_discount", self.max_discount, 0.0, 0.99)


_VAULT_BOUNDS = {
    "borrow_ltv": (0.0, 0.98),
    "liquidation_ltv": (0.0, 0.98),
    "interest_fee": (0.0, 1.0),
    "supply_cap": (0.0, math.inf),
    "borrow_cap": (0.0, math.inf),
    "base_rate": (0.0, 1000.0),
    "slope_1": (0.0, 1000.0),
    "slope_2": (0.0, 1000.0),
    "kink": (0.01, 0.99),
    "frozen": (0.0, 1.0),
    "paused": (0.0, 1.0),
}


# Kernels


@inlined
def maximum_liquidation(
    adjusted: float,
    liability_value: float,
    liability: float,
    held: float,
    held_value: float,
    max_discount: float,
) -> tuple[float, float, float]:
    """Most that one liquidation repays and seizes (`calculateMaxLiquidation`).

    The liquidator pays the health score per worth of collateral: the discount is the shortfall, and
    no more than `max_discount`.

    Parameters
    ----------
    adjusted : float
        Collateral of the account, each part times its liquidation LTV, USD.
    liability_value, liability : float
        Debt in USD, and in whole tokens.
    held, held_value : float
        Collateral of the kind to be seized, whole tokens and USD.
    max_discount : float
        Fraction.

    Returns
    -------
    factor, repay, seized : float
        Price paid per worth of collateral (1: the account is healthy), tokens repaid and seized.
    """
    if adjusted > liability_value or liability_value <= 0.0:
        return 1.0, 0.0, 0.0
    factor = max(adjusted / liability_value, 1.0 - max_discount)
    repay, seized_value = liability, liability_value / factor
    if held_value < seized_value:
        repay = liability * (held_value * factor / liability_value)
        return factor, repay, held
    return factor, repay, held * (seized_value / held_value)


@kernel
def accrue(state: PooledState, balances: F64, custody: int, seconds: float) -> None:
    """Compound all debt per second, as the contract's `rpow` does, then set new rates."""
    for w in range(balances.shape[0]):
        for a in range(balances.shape[2]):
            rate = state.reserves[w, a]["borrow_rate"] / YEAR
            accrue_shares(state, w, a, math.expm1(seconds * math.log1p(rate)), True)
        refresh_rates(state, balances, w, custody)


@inlined
def quote(
    state: PooledState, max_discount: F64, prices: F64, w: int, p: int, asset: int, asset_2: int,
    amount: float,
) -> tuple[int, float, float]:  # fmt: skip
    """Tell what a liquidation would do, purse and cash aside: code, debt repaid, seized.

    `amount` is the debt to repay, whole tokens; inf: the most that the rules allow.
    """
    _, weighted, _, debt_usd = position_values(state, prices, w, p)
    if not weighted < debt_usd * HEALTHY:
        return IS_HEALTHY, 0.0, 0.0
    if state.reserves[w, asset]["liquidation_threshold"] <= 0.0:
        return NOT_COLLATERAL, 0.0, 0.0
    held = state.collateral[w, p, asset] * state.reserves[w, asset]["liquidity_index"]
    if held <= 0.0:
        return NO_COLLATERAL, 0.0, 0.0
    owed = state.debt[w, p, asset_2] * state.reserves[w, asset_2]["borrow_index"]
    if owed <= 0.0:
        return NO_DEBT, 0.0, 0.0
    value = owed * prices[w, asset_2]
    adjusted = weighted * (value / debt_usd)  # all of it where the account owes one asset
    _, most, seized = maximum_liquidation(
        adjusted, value, owed, held, held * prices[w, asset], max_discount[w]
    )
    repaid = trimmed(amount, most)
    if math.isinf(repaid):
        return TOO_MUCH_REPAID, 0.0, 0.0
    return OK, repaid, seized * (repaid / most)


@kernel
def liquidate(
    state: PooledState,
    max_discount: F64,
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
    """Repay debt of an unhealthy account at a discount. Code, repaid, received, bad debt in USD."""
    code, repaid, seized = quote(state, max_discount, prices, w, p, asset, asset_2, amount)
    if code == OK and math.isinf(amount) and balances[w, account, asset_2] < repaid:
        purse = balances[w, account, asset_2]
        code, repaid, seized = quote(state, max_discount, prices, w, p, asset, asset_2, purse)
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
    max_discount: F64,
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
                        state, max_discount, balances, prices, custody, w, account, p, asset,
                        asset_2, row["amount"], row["limit"],
                    )  # fmt: skip
            elif code == OK:
                if verb == BORROW and 0 <= p < state.owner.shape[0]:
                    code = OTHER_DEBT if owes_other(state, w, p, asset) else OK
                if code == OK:
                    code, r0, r1 = flash_or_move(state, balances, prices, custody, w, row, True)
            write_outcome(row, code, r0, r1, 0.0, r3)
            if code == OK:
                done += 1
                if 0 <= p < state.owner.shape[0]:
                    touch(index, state, w, p)
        if done > 0:
            refresh_rates(state, balances, w, custody)
        total += done
    return total


@kernel
def price_calls(state: PooledState, max_discount: F64, prices: F64, table: Opportunities) -> None:
    """Fill what the largest call on each listed position covers and pays."""
    for w in range(prices.shape[0]):
        for k in range(table.starts[w], table.starts[w + 1]):
            p, c, d = table.position[k], table.collateral_asset[k], table.debt_asset[k]
            if c < 0 or d < 0:
                continue
            code, repaid, seized = quote(state, max_discount, prices, w, p, c, d, math.inf)
            if code == OK:
                table.debt_to_cover[k] = repaid
                table.collateral_received[k] = seized
                table.debt_to_cover_usd[k] = repaid * prices[w, d]


# Facade


class EulerMarket(LendingMarket):
    """Euler v2's vaults that accept each other's shares as collateral.

    Parameters
    ----------
    params : EulerParams
    """

    params: EulerParams
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        **LendingMarket.RESULTS,
        int(Verb.FLASH_BORROW): ("borrowed",),
        int(Verb.FLASH_REPAY): ("repaid", "premium"),
    }
    COLUMNS: ClassVar[dict[str, tuple[str, ...]]] = {
        "borrow_ltv": ("ltv",),
        "liquidation_ltv": ("liquidation_threshold",),
        "interest_fee": ("reserve_factor",),
        "kink": ("optimal_utilisation",),
    }
    bounds: ClassVar[dict[str, tuple[float, float]]] = {
        **_VAULT_BOUNDS,
        "max_discount": (0.0, 0.99),
    }

    def __init__(self, params: EulerParams) -> None:
        self.params = params
        super().__init__()

    def reserve_terms(self) -> Mapping[str, Mapping[str, float]]:
        """Terms by asset."""
        return {
            asset: {
                "ltv": vault.borrow_ltv,
                "liquidation_threshold": vault.liquidation_ltv,
                "liquidation_bonus": BY_POSITION,
                "protocol_fee": 0.0,
                "reserve_factor": vault.interest_fee,
                "supply_cap": vault.supply_cap,
                "borrow_cap": vault.borrow_cap,
                "base_rate": vault.base_rate,
                "slope_1": vault.slope_1,
                "slope_2": vault.slope_2,
                "optimal_utilisation": vault.kink,
                "frozen": vault.frozen,
                "paused": vault.paused,
            }
            for asset, vault in self.params.vaults.items()
        }

    def params_at(self, asset: str, ltv: float) -> EulerParams:
        """Terms with another liquidation loan-to-value of one collateral."""
        vault = self.params.vaults[asset]
        terms = replace(vault, liquidation_ltv=ltv, borrow_ltv=min(vault.borrow_ltv, ltv))
        return replace(self.params, vaults={**self.params.vaults, asset: terms})

    def market_terms(self) -> Mapping[str, float]:
        """Terms of the whole market."""
        return {"max_discount": self.params.max_discount}

    def own_fields(self, n_assets: int) -> dict[str, tuple[int, ...]]:
        """Hold the largest discount per world."""
        del n_assets
        return {"max_discount": ()}

    def largest_bonus(self) -> float:
        """Bonus at the largest discount."""
        return 1.0 / (1.0 - self.params.max_discount) - 1.0

    def refresh_rates(self) -> None:
        """Set all rates from utilisation."""
        for w in range(self.world.n_worlds):
            refresh_rates(self.state, self.world.ledger.balances, w, self.account)

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows at the oracle's present prices."""
        done = execute(
            self.state, self.arena["max_discount"], self.index_state, self.world.ledger.balances,
            self.world.oracle_price, rows, order, starts, ends, self.account,
        )  # fmt: skip
        self._dirty = self._dirty or done > 0

    def accrue(self) -> None:
        """Accrue one block of interest in all vaults."""
        accrue(self.state, self.world.ledger.balances, self.account, self.world.block_seconds)
        self._dirty = True

    def price_calls(self, table: Opportunities) -> None:
        """Fill what calls cover and pay."""
        price_calls(self.state, self.arena["max_discount"], self.world.oracle_price, table)
