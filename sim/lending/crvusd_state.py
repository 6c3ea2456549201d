"""Terms of a crvUSD market, and the arrays of its loans."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from sim.kernel import F64, I32, I64
from sim.lending.llamma import MOST_BANDS
from sim.terms import check_range, require


@dataclass(frozen=True, slots=True, kw_only=True)
class CrvUsdParams:
    """Terms of a market; defaults are those of crvUSD's WETH market of 2023.

    (Controller 0xA920De414eA4Ab66b97dA1bFE9e6EcA7d4219635, its AMM, A 100, fee 0.6%; discounts 9%
    and 6%; debt ceiling 200 M.)
    """

    collateral: str = "WETH"
    stable: str = "crvUSD"
    amplification: float = 100.0  # A: a band is 1 / A wide
    fee: float = 0.006  # least fee of the AMM, fraction of the amount in
    loan_discount: float = 0.09  # off the worth of the bands, for what may be borrowed
    liquidation_discount: float = 0.06  # off it, for health
    rate: float = 0.05  # interest per year, not compounded within a block
    n_bands: int = 10  # of each loan, 4 to 50
    debt_ceiling: float = 2e8  # stable tokens

    def __post_init__(self) -> None:
        require(
            self.collateral != self.stable,
            f"collateral and stable must differ, got {self.collateral} twice; name two assets",
        )
        check_range("amplification", self.amplification, 2.0, 10_000.0)
        check_range("fee", self.fee, 0.0, 0.5)
        check_range("liquidation_discount", self.liquidation_discount, 0.0, 0.5)
        check_range("loan_discount", self.loan_discount, self.liquidation_discount, 0.9)
        check_range("rate", self.rate, 0.0, 10.0)
        check_range("n_bands", self.n_bands, 4, MOST_BANDS)
        check_range("debt_ceiling", self.debt_ceiling, 0.0, open_low=True)

    @property
    def soft_ltv(self) -> float:
        """Debt over collateral, at the price of its uppermost band's top, that may be borrowed.

        The worth of collateral in bands that are sold on the way down, less the discount
        (`Controller.vy`, `get_y_effective`).
        """
        a, n = self.amplification, self.n_bands
        worth = a * (1.0 - ((a - 1.0) / a) ** n) / (math.sqrt(a / (a - 1.0)) * n)
        return (1.0 - self.loan_discount) * worth


class LoanState(NamedTuple):
    """Arrays of the loans of one market in all worlds, beside the AMM's."""

    loan: F64  # (world, position) debt over the growth of interest when it was last changed
    idle: F64  # (world, position) collateral beside the bands, of positions without debt
    treasury: F64  # (world,) stable tokens that may still be lent
    health: F64  # (world, position) scratch of the views
    owner: I32  # (position,) ledger account
    assets: I64  # (2,) collateral and stable token
    loan_discount: float
    liquidation_discount: float
    n_bands: int  # of each loan
    account: int  # custody account
