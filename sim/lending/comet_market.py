"""The venue of Compound III; its rules are in `comet`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sim.actions import Verb
from sim.kernel import F64, I64, Rows
from sim.lending.comet import (
    BORROW_CURVE,
    STORE,
    SUPPLY_CURVE,
    CometCollateral,
    CometParams,
    CometTerms,
    accrue,
    execute,
    per_second,
    price_calls,
    refresh,
)
from sim.lending.loans import Unsettled
from sim.lending.market import LendingMarket
from sim.lending.opportunities import Opportunities
from sim.lending.positions import restated

if TYPE_CHECKING:
    from sim.world import World

__all__ = ["CometCollateral", "CometMarket", "CometParams"]


class CometMarket(LendingMarket):
    """One Comet: a base asset that is lent, and its collaterals.

    Parameters
    ----------
    params : CometParams
    """

    params: CometParams
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        **LendingMarket.RESULTS,
        int(Verb.ABSORB): ("base_paid", "base_credited", "seized_usd", "bad_debt_usd"),
        int(Verb.BUY_COLLATERAL): ("base_paid", "collateral_bought"),
    }
    COLUMNS: ClassVar[dict[str, tuple[str, ...]]] = {
        "borrow_factor": ("ltv",),
        "liquidation_collateral_factor": ("liquidation_threshold",),
    }
    bounds: ClassVar[dict[str, tuple[float, float]]] = {
        "borrow_factor": (0.0, 1.0),
        "liquidation_collateral_factor": (0.0, 1.0),
        "liquidation_factor": (0.01, 1.0),
        "supply_cap": (0.0, math.inf),
        "paused": (0.0, 1.0),
    }

    def __init__(self, params: CometParams) -> None:
        self.params = params
        super().__init__()

    def reserve_terms(self) -> Mapping[str, Mapping[str, float]]:
        """Terms of the collaterals and of the base asset; the bonus is the store-front's."""
        share = self.params.store_front_factor
        terms: dict[str, dict[str, float]] = {
            asset: {
                "ltv": one.borrow_factor,
                "liquidation_threshold": one.liquidation_collateral_factor,
                "liquidation_factor": one.liquidation_factor,
                "liquidation_bonus": 1.0 / (1.0 - share * (1.0 - one.liquidation_factor)) - 1.0,
                "protocol_fee": 0.0,
                "supply_cap": one.supply_cap,
                "paused": one.paused,
            }
            for asset, one in self.params.collaterals.items()
        }
        terms[self.params.base] = {
            "liquidation_bonus": 0.0, "protocol_fee": 0.0, "supply_cap": math.inf,
            "borrow_cap": math.inf,
        }  # fmt: skip
        return terms

    def params_at(self, asset: str, ltv: float) -> CometParams:
        """Terms with another liquidation collateral factor of one collateral."""
        one = self.params.collaterals[asset]
        factor = min(one.borrow_factor, ltv)
        terms = replace(one, liquidation_collateral_factor=ltv, borrow_factor=factor)
        return replace(self.params, collaterals={**self.params.collaterals, asset: terms})

    def market_terms(self) -> Mapping[str, float]:
        """No terms but those of `CometTerms`."""
        return {}

    def own_fields(self, n_assets: int) -> dict[str, tuple[int, ...]]:
        """Hold the curves, the store front and what absorption credits."""
        return {
            "supply_curve": (4,), "borrow_curve": (4,), "store": (3,),
            "liquidation_factor": (n_assets,),
        }  # fmt: skip

    def term(self, field: str, assets: Sequence[str]) -> F64:
        """One term by asset, shape (A,); of the first collateral where it would be restated."""
        first = next(iter(self.params.collaterals))
        known = [asset if asset in self.params.collaterals else first for asset in assets]
        return super().term(field, known)

    def restate(
        self, assets: Sequence[str], prices: F64, collateral: F64, debt: F64
    ) -> tuple[F64, F64]:
        """State a loan book in what is taken: all debt in the base asset.

        Collateral in other assets than the market's, and in the base asset, which could only repay
        the debt, becomes that of its first collateral.
        """
        names = list(assets)
        kept = [names.index(asset) for asset in self.params.collaterals if asset in names]
        return restated(collateral, prices, kept), restated(
            debt, prices, [names.index(self.params.base)]
        )

    def bind(self, world: "World") -> None:
        """Resolve the base asset, then allocate and fill."""
        self.base = world.asset_index(self.params.base)
        super().bind(world)

    def _resolve_book(self, n_assets: int) -> tuple[F64, F64]:
        """Join the initial book; base tokens are supply or debt, not both."""
        collateral, debt = super()._resolve_book(n_assets)
        both = np.minimum(collateral[:, self.base], debt[:, self.base])
        collateral[:, self.base] -= both
        debt[:, self.base] -= both
        return collateral, debt

    def _fill_terms(self) -> None:
        """Copy the terms into every world."""
        super()._fill_terms()
        fields, params = self.arena.views, self.params
        for field, names in (("supply_curve", SUPPLY_CURVE), ("borrow_curve", BORROW_CURVE)):
            rates = [getattr(params, name) for name in names]
            fields[field][:] = [*(per_second(rate) for rate in rates[:3]), rates[3]]
        fields["store"][:] = [getattr(params, name) for name in STORE]
        self.own = CometTerms(**{name: fields[name] for name in self.own_fields(0)}, base=self.base)

    def refresh_rates(self) -> None:
        """Set the rates of the base asset."""
        for w in range(self.world.n_worlds):
            refresh(self.state, self.own, w)

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows at the oracle's present prices."""
        done = execute(
            self.state, self.own, self.index_state, self.world.ledger.balances,
            self.world.oracle_price, rows, order, starts, ends, self.account,
        )  # fmt: skip
        self._dirty = self._dirty or done > 0

    def accrue(self) -> None:
        """Accrue one block of interest."""
        accrue(self.state, self.own, self.world.block_seconds)
        self._dirty = True

    def price_calls(self, table: Opportunities) -> None:
        """Fill what calls cover and pay."""
        price_calls(self.state, self.own, self.world.oracle_price, table)

    def reserves(self) -> F64:
        """Tell what base tokens belong to the protocol, signed, shape (world,)."""
        return np.asarray(self.state.reserves["surplus"][:, self.base].copy())

    def _balance_usd(self, prices: F64) -> F64:
        """Sum what liquidations left the protocol, booked bad debt not taken off, (world,).

        Reserves and absorbed collateral that is not sold, less interest. Before
        the first absorption there is neither.
        """
        reserves = self.state.reserves
        total = self.bad_debt_usd()
        for a in range(len(self.world.assets)):
            own = reserves["surplus"][:, a] - reserves["reserve_income"][:, a]
            total += own * prices[:, a]
        return total

    def income_usd(self, prices: F64) -> F64:
        """Tell what the protocol gained by absorbing and selling, shape (world,)."""
        return np.maximum(self._balance_usd(prices), 0.0)

    def unsettled(self, prices: F64) -> Unsettled:
        """Absorbed collateral that is not sold; what it lost since is a shortfall."""
        held: F64 = np.zeros(self.world.n_worlds)
        for asset in self.params.collaterals:
            a = self.world.asset_index(asset)
            held += self.state.reserves["surplus"][:, a] * prices[:, a]
        number = np.asarray(held > 0.0, np.float64)
        return Unsettled(number, held, np.maximum(-self._balance_usd(prices), 0.0))
