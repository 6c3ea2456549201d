"""Vaults of one collateral drawn from what is published of a book: shares by collateralization.

Risk teams publish how much debt stands under some ratios, and how much the largest positions owe;
not the vaults. Ratios over the liquidation ratio follow 1 + lognormal, weighted by debt: the draw
is stratified, so that any book has the published shares to within one vault. The largest vaults are
given: they take their place among the quantiles, and the others share what is left of them. Sizes
of the others are lognormal.

Left out: any relation of size and ratio among the others, vaults without debt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from statistics import NormalDist

import numpy as np

from agents.populations.book import BookSource, LoanBook
from sim.errors import ConfigError
from sim.kernel import F64
from sim.terms import check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Largest:
    """A few vaults of the same size and ratio that are known by themselves."""

    count: int
    share: float  # of all debt, together
    collateralization: float | None = None  # collateral's worth over the debt; None: as the others

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"count of the largest vaults must be at least 1, got {self.count}")
        check_range("share of the largest vaults", self.share, 0.0, 1.0, open_low=True)
        if self.collateralization is not None:
            check_range("collateralization of the largest vaults", self.collateralization, 1.0, 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultBuckets(BookSource):
    """Vaults that owe one token against one other; see the module.

    Attributes
    ----------
    n_vaults : int
        Besides the largest.
    total_debt : float
        Tokens of the debt.
    health_median, health_sigma : float
        Median of ratio over liquidation ratio less 1, and standard deviation of its logarithm,
        weighted by debt.
    size_sigma : float
        Standard deviation of log debt of the others.
    least_debt : float
        Tokens.
    largest : mapping of str to Largest's fields
    seed : int
    """

    collateral: str = "WETH"
    debt: str = "DAI"
    n_vaults: int = 2000
    total_debt: float = 1e8
    health_median: float = 0.88
    health_sigma: float = 0.78
    size_sigma: float = 2.2
    least_debt: float = 20.0
    largest: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_vaults < 1:
            raise ConfigError(f"n_vaults must be at least 1, got {self.n_vaults}")
        for name in ("total_debt", "health_median", "least_debt"):
            check_range(name, getattr(self, name), 0.0, open_low=True)
        for name in ("health_sigma", "size_sigma"):
            check_range(name, getattr(self, name), 0.0, 10.0)
        known = sum(group.share for group in self._largest())
        if known >= 1.0:
            raise ConfigError(f"shares of the largest vaults must sum to less than 1, got {known}")

    def _largest(self) -> list[Largest]:
        return [Largest(**dict(it)) for it in self.largest.values()]  # type: ignore[arg-type]

    def draw(self, assets: Sequence[str], prices: F64, thresholds: F64, ltv: F64) -> LoanBook:
        """Make the vaults; `thresholds` of the collateral is 1 over the liquidation ratio."""
        del ltv
        for name in (self.collateral, self.debt):
            if name not in assets:
                raise ConfigError(f"unknown asset {name!r} in a book of vaults: {list(assets)}")
        gem, stable = list(assets).index(self.collateral), list(assets).index(self.debt)
        if not thresholds[gem] > 0.0:
            raise ConfigError(f"{self.collateral} must be a collateral, its threshold is 0")
        sizes, health = self._vaults(thresholds[gem])
        debt, collateral = np.zeros((2, len(sizes), len(assets)))
        debt[:, stable] = sizes
        collateral[:, gem] = sizes * health * prices[stable] / (thresholds[gem] * prices[gem])
        return LoanBook(tuple(assets), collateral, debt, np.arange(len(sizes)))

    def _vaults(self, threshold: float) -> tuple[F64, F64]:
        """Debt and health factor of every vault, the largest first."""
        groups = self._largest()
        sizes = [np.full(g.count, g.share * self.total_debt / g.count) for g in groups]
        fixed = [
            np.full(g.count, np.nan if g.collateralization is None else g.collateralization)
            for g in groups
        ]
        rng = np.random.default_rng(self.seed)
        rest = np.exp(self.size_sigma * rng.standard_normal(self.n_vaults))
        left = self.total_debt * (1.0 - sum(g.share for g in groups))
        most = min((float(size[0]) for size in sizes), default=np.inf)
        for _ in range(50):  # to the total, with the limits kept
            rest = np.clip(rest * (left / rest.sum()), self.least_debt, most)
        debt = np.concatenate([*sizes, rest])
        health = np.concatenate([*fixed, np.full(self.n_vaults, np.nan)]) * threshold
        return debt, self._health(debt, health, rng)

    def _health(self, debt: F64, known: F64, rng: np.random.Generator) -> F64:
        """Give health factors to those that have none: the quantiles that the others leave."""
        law = NormalDist(log(self.health_median), max(self.health_sigma, 1e-12))
        given = np.isfinite(known)
        share, start = float(debt[given].sum() / debt.sum()), 0.0
        if given.any():
            places = [law.cdf(log(max(h - 1.0, 1e-9))) for h in known[given]]
            centre = float(np.average(places, weights=debt[given]))
            start = min(max(centre - 0.5 * share, 0.0), 1.0 - share)
        order = rng.permutation(np.flatnonzero(~given))
        owed = debt[order]
        place = (np.cumsum(owed) - 0.5 * owed) / debt.sum()
        place = np.clip(np.where(place < start, place, place + share), 1e-9, 1.0 - 1e-9)
        health = known.copy()
        health[order] = [1.0 + np.exp(law.inv_cdf(float(q))) for q in place]
        return health
