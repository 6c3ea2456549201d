"""A pooled lending market with Aave v3's rules (v3.3 and later), many worlds at once.

What it models: reserves with supply, debt, cash and caps; positions with collateral and debt in any
number of assets; two-slope rates and index accrual as in `rates`; health, loan-to-value and the
verbs of `verbs`; liquidation with bonus, protocol fee, dynamic close factor, leftover rule and the
deficit of v3.3 as in `liquidation`; flash loans inside a bundle.

E-mode: a position that enters a category (SET_MODE) has the category's threshold, loan-to-value and
bonus on the category's collaterals, and may owe the category's assets only. The category's terms
are kept as multiples of the reserves', so that a term which varies by world varies both.

Isolation mode is a bar to mixing: isolated collateral stands alone, backs only debts that are
borrowable in isolation, and no more than its ceiling. Siloed debt stands alone likewise.

What it leaves out: e-mode of positions of the initial book, stable rates, receiving aTokens, the
sequencer's grace period, the switch that keeps supply from being collateral (all supply in a
reserve with a threshold is collateral), and the ban on liquidating oneself.

Invariants, beyond those of `market`: only a liquidation that ends a position's collateral raises
the deficit, by exactly the debt that it removes.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sim.actions import Verb
from sim.kernel import F64, I32, I64, Bool, Rows
from sim.lending.market import LendingMarket
from sim.lending.params import BOUNDS, PooledParams, ReserveParams
from sim.lending.state import ASSET_TERMS, BONUS, BORROWABLE, MARKET_TERMS, PooledState
from sim.lending.verbs import accrue, execute, refresh_rates

if TYPE_CHECKING:
    from sim.world import World

__all__ = ["PooledMarket", "PooledParams", "PooledState", "ReserveParams"]


class PooledMarket(LendingMarket):
    """Facade of a pooled lending market.

    Parameters
    ----------
    params : PooledParams
        Terms. Those of single worlds are changed by `vary`.
    """

    params: PooledParams
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        **LendingMarket.RESULTS,
        int(Verb.FLASH_BORROW): ("borrowed",),
        int(Verb.FLASH_REPAY): ("repaid", "premium"),
        int(Verb.SET_MODE): ("category",),
    }
    quoted = True
    bounds = BOUNDS

    def __init__(self, params: PooledParams) -> None:
        self.params = params
        super().__init__()

    def reserve_terms(self) -> Mapping[str, Mapping[str, float]]:
        """Terms by asset."""
        return {
            asset: {name: getattr(reserve, name) for name in ASSET_TERMS[1:]}
            for asset, reserve in self.params.reserves.items()
        }

    def market_terms(self) -> Mapping[str, float]:
        """Terms of the whole market."""
        return {name: getattr(self.params, name) for name in MARKET_TERMS}

    def params_at(self, asset: str, ltv: float) -> PooledParams:
        """Terms with another liquidation threshold of one collateral."""
        reserve = self.params.reserves[asset]
        terms = replace(reserve, liquidation_threshold=ltv, ltv=min(reserve.ltv, ltv))
        return replace(self.params, reserves={**self.params.reserves, asset: terms})

    def modes(self, world: "World") -> F64:
        """Terms of the e-mode categories, as multiples of the reserves' terms."""
        categories = self.params.categories.values()
        made = np.ones((len(categories), len(world.assets), 4))
        made[:, :, BONUS], made[:, :, BORROWABLE] = -1.0, 0.0
        for k, category in enumerate(categories):
            for asset in category.collaterals:
                reserve = self.params.reserves[asset]
                made[k, world.asset_index(asset), :BORROWABLE] = (
                    category.liquidation_threshold / reserve.liquidation_threshold,
                    category.ltv / reserve.ltv,
                    category.liquidation_bonus,
                )
            for asset in category.borrowable:
                made[k, world.asset_index(asset), BORROWABLE] = 1.0
        return made

    def refresh_rates(self) -> None:
        """Set all rates from utilisation."""
        for w in range(self.world.n_worlds):
            refresh_rates(self.state, self.world.ledger.balances, w, self.account)

    def _endow(self) -> None:
        """Set totals and cash, and what isolated collateral backs."""
        super()._endow()
        collateral, debt = self._collateral_book, self._debt_book
        for asset, reserve in self.params.reserves.items():
            if reserve.isolated:
                a = self.world.asset_index(asset)
                held = collateral[:, a] > 0.0
                self.state.reserves["isolated_debt"][:, a] = debt[held].sum()
        self._opening_modes = self._choose_modes(collateral, debt)
        self.state.mode[:] = self._opening_modes

    def _choose_modes(self, collateral: F64, debt: F64) -> I32:
        """Category of each position of the initial book, shape (N,); (0,) without categories.

        The first with `opening` that the position has collateral of and may owe all its debts in.
        """
        mode = np.zeros(self.state.mode.shape[1], np.int32)
        for k, category in enumerate(self.params.categories.values()):
            own = [self.world.asset_index(asset) for asset in category.collaterals]
            others = self.state.modes[k, :, BORROWABLE] == 0.0
            fits = (collateral[:, own] > 0.0).any(axis=1) & debt.any(axis=1)
            fits &= ~debt[:, others].any(axis=1)
            if category.opening:
                mode[fits & (mode == 0)] = k + 1
        return mode

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to their initial state."""
        super().reset(mask)
        self.state.mode[mask] = self._opening_modes

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows at the oracle's present prices; see `verbs`."""
        done = execute(
            self.state,
            self.index_state,
            self.world.ledger.balances,
            self.world.oracle_price,
            rows,
            order,
            starts,
            ends,
            self.account,
        )
        self._dirty = self._dirty or done > 0

    def accrue(self) -> None:
        """Accrue one block of interest in all reserves."""
        accrue(self.state, self.world.ledger.balances, self.account, self.world.block_seconds)
        self._dirty = True
