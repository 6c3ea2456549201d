"""Terms of a pooled lending market: one `ReserveParams` per asset, and what holds for all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveParams:
    """Terms of one asset.

    Defaults are WETH in the official launch configuration of Aave v3 (`aave-v3-deploy`,
    `markets/aave/reservesConfigs.ts` and `rateStrategies.ts`); caps there are 0, which means none.
    """

    ltv: float = 0.80  # fraction of the collateral's value that may be borrowed; 0: no new debt
    liquidation_threshold: float = 0.825  # fraction that counts for health; 0: no collateral
    liquidation_bonus: float = 0.05  # fraction on top of the debt's worth
    protocol_fee: float = 0.10  # fraction of the bonus that the treasury keeps
    reserve_factor: float = 0.10  # fraction of the borrowers' interest that the treasury keeps
    supply_cap: float = math.inf  # whole tokens; inf: none
    borrow_cap: float = math.inf  # whole tokens; inf: none; 0: not borrowable
    base_rate: float = 0.0  # per year, at utilisation 0
    slope_1: float = 0.07  # per year, added up to the optimal utilisation
    slope_2: float = 3.0  # per year, added from there to full utilisation
    optimal_utilisation: float = 0.45  # fraction of the reserve lent out where the slope changes
    frozen: bool = False  # no new supply and no new debt
    paused: bool = False  # no verb at all
    isolated: bool = False  # as collateral it stands alone, for few debts, under a ceiling
    debt_ceiling: float = math.inf  # whole tokens of debt, of any kind, that it may back in all
    borrowable_in_isolation: bool = False  # whether isolated collateral may back its debt
    siloed: bool = False  # who owes it owes nothing else

    def __post_init__(self) -> None:
        """Reject terms that no deployment accepts."""
        for name, least, most in _BOUNDS:
            check_bound(name, getattr(self, name), least, most)
        check_risk(self.ltv, self.liquidation_threshold, self.liquidation_bonus)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryParams:
    """Terms of an e-mode category; defaults are those of ether's on Ethereum."""

    collaterals: Sequence[str] = ()  # assets whose terms these are, as collateral
    borrowable: Sequence[str] = ()  # assets that a position in the category may owe
    ltv: float = 0.93  # fraction
    liquidation_threshold: float = 0.95  # fraction
    liquidation_bonus: float = 0.01  # fraction
    opening: bool = False  # whether loans of the initial book that may be in it start in it

    def __post_init__(self) -> None:
        """Reject terms that no deployment accepts."""
        for name in RISK_TERMS:
            check_bound(name, getattr(self, name), 0.0, 1.0)
        check_risk(self.ltv, self.liquidation_threshold, self.liquidation_bonus)
        if not self.collaterals or not self.borrowable:
            raise ConfigError(
                "a category must name collaterals and borrowable assets, got "
                f"{list(self.collaterals)} and {list(self.borrowable)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledParams:
    """Terms of the market; defaults are the constants of Aave v3.3's `LiquidationLogic.sol`."""

    reserves: Mapping[str, ReserveParams] = field(default_factory=dict)  # by asset
    close_factor: float = 0.5  # fraction of total debt that one liquidation may repay
    close_factor_health: float = 0.95  # health factor at or below which all may be repaid
    close_factor_value: float = 2000.0  # USD of debt or collateral under which all may be repaid
    min_leftover: float = 1000.0  # USD of debt and collateral that a partial liquidation leaves
    flash_premium: float = 0.0005  # fraction of a flash loan, to the treasury
    binomial: bool = False  # compound by three binomial terms, as v3.0; else by the later cubic
    categories: Mapping[str, CategoryParams] = field(default_factory=dict)  # e-mode, by name
    book_deficit: bool = True  # write off debt without collateral, as v3.3; else it stays

    def __post_init__(self) -> None:
        """Reject what cannot be simulated."""
        if not self.reserves:
            raise ConfigError(
                "reserves must name at least one asset, got none; give for example "
                "reserves: {WETH: {}, USDC: {}}"
            )
        for asset, reserve in self.reserves.items():
            if not isinstance(reserve, ReserveParams):
                raise ConfigError(
                    f"reserves.{asset} must be ReserveParams, got {type(reserve).__name__}"
                )
        for name, least, most in _MARKET_BOUNDS:
            check_bound(name, getattr(self, name), least, most)
        for name, category in self.categories.items():
            for asset in (*category.collaterals, *category.borrowable):
                if asset not in self.reserves:
                    raise ConfigError(
                        f"categories.{name} names {asset}, which is no reserve; reserves: "
                        f"{', '.join(self.reserves)}"
                    )
            for asset in category.collaterals:
                if not self.reserves[asset].ltv > 0.0:
                    raise ConfigError(
                        f"categories.{name}.collaterals: {asset} must have an ltv above 0 of its "
                        "own; raise it or leave the asset out"
                    )


_BOUNDS = (
    ("ltv", 0.0, 1.0),
    ("liquidation_threshold", 0.0, 1.0),
    ("liquidation_bonus", 0.0, 1.0),
    ("protocol_fee", 0.0, 1.0),
    ("reserve_factor", 0.0, 1.0),
    ("supply_cap", 0.0, math.inf),
    ("borrow_cap", 0.0, math.inf),
    ("base_rate", 0.0, 1000.0),
    ("slope_1", 0.0, 1000.0),
    ("slope_2", 0.0, 1000.0),
    ("optimal_utilisation", 0.01, 0.99),
    ("frozen", 0.0, 1.0),
    ("paused", 0.0, 1.0),
    ("isolated", 0.0, 1.0),
    ("debt_ceiling", 0.0, math.inf),
    ("borrowable_in_isolation", 0.0, 1.0),
    ("siloed", 0.0, 1.0),
)
_MARKET_BOUNDS = (
    ("close_factor", 0.01, 1.0),
    ("close_factor_health", 0.0, 1.0),
    ("close_factor_value", 0.0, math.inf),
    ("min_leftover", 0.0, math.inf),
    ("flash_premium", 0.0, 1.0),
    ("binomial", 0.0, 1.0),
    ("book_deficit", 0.0, 1.0),
)
RISK_TERMS = ("ltv", "liquidation_threshold", "liquidation_bonus")
BOUNDS = {name: (least, most) for name, least, most in (*_BOUNDS, *_MARKET_BOUNDS)}


def check_bound(name: str, value: float, least: float, most: float) -> None:
    """Raise ConfigError unless least <= value <= most; NaN fails."""
    if not least <= value <= most:
        raise ConfigError(f"{name} must lie in [{least:g}, {most:g}], got {value!r}")


def check_risk(ltv: float, threshold: float, bonus: float) -> None:
    """Raise ConfigError where a liquidation could never be sound."""
    if ltv > threshold:
        raise ConfigError(
            f"ltv must not exceed liquidation_threshold, got {ltv:g} > {threshold:g}: a position "
            "could be liquidated as soon as it has borrowed; lower ltv or raise the threshold"
        )
    if threshold * (1.0 + bonus) > 1.0:
        raise ConfigError(
            f"liquidation_threshold * (1 + liquidation_bonus) must not exceed 1, got {threshold:g} "
            f"* {1.0 + bonus:g} = {threshold * (1.0 + bonus):g}: a liquidation at health factor 1 "
            "would already leave bad debt; lower one of them"
        )


def check_values(
    name: str, values: F64, n_worlds: int, bounds: Mapping[str, tuple[float, float]]
) -> F64:
    """One value per world, each within the bounds of the field."""
    values = np.asarray(values, np.float64)
    if name not in bounds:
        raise ConfigError(f"cannot vary {name}; known fields: {', '.join(sorted(bounds))}")
    if values.shape != (n_worlds,):
        raise ConfigError(
            f"{name} must have one value per world, shape ({n_worlds},), got {values.shape}"
        )
    for value in values:
        check_bound(name, float(value), *bounds[name])
    return values
