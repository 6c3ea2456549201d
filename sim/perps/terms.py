"""What a perpetual contract says: its unit, fees, funding, margins and how it is liquidated.

Two forms. A linear contract is a number of coins and settles in dollars: its P&L is
position (S' - S). An inverse contract is a number of dollars and settles in coins: its P&L is
position (1 / S - 1 / S').

Margins. A position of notional N dollars, or c coins, requires

    initial = (initial rate of the tier of N + slope c) N
    maintenance = sum over tiers of rate x the part of N inside the tier + slope c N

in dollars, which an inverse contract converts at the mark price. Deribit's standard margin is one
tier and a slope; Binance's is tiers without a slope, whose "maintenance amount" is what makes the
requirement a sum over tiers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64
from sim.terms import check_range, require

FUNDING_HOURS = 8.0  # what a funding rate is a rate of, at every venue here


class PerpTerms(NamedTuple):
    """A contract's terms as kernels take them."""

    inverse: bool
    taker_fee: float
    maker_fee: float
    interest: float
    damper: float
    cap: float
    interval: float  # seconds between payments; 0: continuous
    slope: float
    full: bool  # whether a liquidation closes the whole position
    liquidation_fee: float
    lot: float
    tiers: F64  # (tier, 3): notional from which it counts, initial rate, maintenance rate


def _one_tier() -> Mapping[str, Mapping[str, float]]:
    return {"all": {"above": 0.0, "initial": 0.02, "maintenance": 0.01}}


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpParams:
    """Terms of one perpetual; the defaults are Deribit's BTC contract (see conf/perp).

    Parameters
    ----------
    inverse : bool
        Whether the contract is in dollars and settles in coins.
    lot : float
        Smallest step of a position: dollars if inverse, else coins.
    taker_fee, maker_fee : float
        Share of the value traded; a negative fee is a rebate.
    interest : float
        Interest component of funding, per 8 hours.
    damper : float
        How far interest may pull the funding rate from the premium.
    funding_cap : float
        Largest funding rate, per 8 hours, in either direction.
    funding_hours : float
        Time between payments; 0 for continuous ones.
    tiers : mapping of str to mapping
        `above`: notional, USD, from which the tier counts; `initial`, `maintenance`: rates.
    margin_slope : float
        What both rates grow by per coin of position.
    liquidation : str
        `incremental`: lot after lot until the margin suffices; `full`: the whole position.
    liquidation_fee : float
        Share of the value liquidated that goes to the insurance fund.
    """

    inverse: bool = True
    lot: float = 10.0
    taker_fee: float = 0.0005
    maker_fee: float = 0.0
    interest: float = 0.0
    damper: float = 0.00025
    funding_cap: float = 0.005
    funding_hours: float = 0.0
    tiers: Mapping[str, Mapping[str, float]] = field(default_factory=_one_tier)
    margin_slope: float = 0.00005
    liquidation: str = "incremental"
    liquidation_fee: float = 0.005

    def __post_init__(self) -> None:
        """Check every number."""
        check_range("lot", self.lot, 0.0, open_low=True)
        check_range("taker_fee", self.taker_fee, 0.0, 0.1)
        check_range("maker_fee", self.maker_fee, -self.taker_fee, 0.1)
        check_range("interest", self.interest, -0.1, 0.1)
        check_range("damper", self.damper, 0.0, 1.0)
        check_range("funding_cap", self.funding_cap, 0.0, 1.0)
        check_range("funding_hours", self.funding_hours, 0.0, 10_000.0)
        check_range("margin_slope", self.margin_slope, 0.0, 1.0)
        check_range("liquidation_fee", self.liquidation_fee, 0.0, 0.1)
        require(
            self.liquidation in ("incremental", "full"),
            f"liquidation must be incremental or full, got {self.liquidation}; correct it",
        )
        require(bool(self.tiers), "tiers must name at least one, such as all; add it")
        floor = -1.0
        for name, tier in self.tiers.items():
            if set(tier) != {"above", "initial", "maintenance"}:
                raise ConfigError(
                    f"tiers.{name} must have above, initial and maintenance, got "
                    f"{', '.join(tier) or 'nothing'}; correct it"
                )
            check_range(f"tiers.{name}.initial", tier["initial"], 0.0, 1.0, open_low=True)
            check_range(f"tiers.{name}.maintenance", tier["maintenance"], 0.0, tier["initial"])
            require(
                tier["above"] > floor and (floor >= 0.0 or tier["above"] == 0.0),
                f"tiers must begin at above 0 and rise, got {tier['above']:g} for {name}; sort",
            )
            floor = tier["above"]

    def terms(self) -> PerpTerms:
        """Terms as kernels take them."""
        names = ("above", "initial", "maintenance")
        return PerpTerms(
            inverse=self.inverse,
            taker_fee=self.taker_fee,
            maker_fee=self.maker_fee,
            interest=self.interest,
            damper=self.damper,
            cap=self.funding_cap,
            interval=3600.0 * self.funding_hours,
            slope=self.margin_slope,
            full=self.liquidation == "full",
            liquidation_fee=self.liquidation_fee,
            lot=self.lot,
            tiers=np.array([[float(tier[name]) for name in names] for tier in self.tiers.values()]),
        )
