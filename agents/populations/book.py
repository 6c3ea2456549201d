"""A lending market's positions as two arrays, and the contract of whatever provides them.

A book is the state of a market before the first block. It is shared by all worlds and never
written: a market copies from it what it changes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.kernel import F64, I64

Ids = NDArray[Any]


def _weighted(amounts: F64, weights: F64) -> F64:
    """Sum over assets of amount × weight, in one fixed order so that every machine agrees."""
    total = np.zeros(amounts.shape[0])
    for a in range(amounts.shape[1]):
        total += amounts[:, a] * weights[a]
    return total


@dataclass(frozen=True, slots=True)
class LoanBook:
    """Positions of one lending market.

    Parameters
    ----------
    assets : tuple of str
        Names; a name's place is its column.
    collateral : array (position, asset), float64
        Supplied and used as collateral, whole tokens.
    debt : array (position, asset), float64
        Owed, whole tokens.
    ids : array (position,)
        What the source calls each position: account names or numbers; unique is not required.

    Raises
    ------
    InputError
        Wrong shape, a value that is negative or not finite, debt without collateral.
    """

    assets: tuple[str, ...]
    collateral: F64
    debt: F64
    ids: Ids

    def __post_init__(self) -> None:
        object.__setattr__(self, "assets", tuple(self.assets))
        for name in ("collateral", "debt"):
            array = np.ascontiguousarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "ids", np.asarray(self.ids))
        self._check_shapes()
        for name in ("collateral", "debt"):
            self._check_values(name)
        naked = self.debt.any(axis=1) & ~self.collateral.any(axis=1)
        if naked.any():
            i = int(np.argmax(naked))
            owed = ", ".join(
                f"{self.debt[i, a]:g} {self.assets[a]}" for a in np.flatnonzero(self.debt[i])
            )
            raise InputError(
                f"position {self.ids[i]} owes {owed} and has no collateral; "
                "give it collateral or leave it out"
            )

    def _check_shapes(self) -> None:
        if len(set(self.assets)) != len(self.assets):
            raise InputError(f"assets of a book must differ, got {', '.join(self.assets)}")
        expected = (self.ids.shape[0] if self.ids.ndim == 1 else -1, len(self.assets))
        for name in ("collateral", "debt"):
            shape = getattr(self, name).shape
            if shape != expected:
                raise InputError(
                    f"{name} of a book must have one row per id and one column per asset, "
                    f"{expected}, got {shape}"
                )

    def _check_values(self, name: str) -> None:
        values: F64 = getattr(self, name)
        bad = ~(values >= 0.0) | (values == np.inf)
        if bad.any():
            i, a = np.unravel_index(int(np.argmax(bad)), values.shape)
            raise InputError(
                f"{name} of position {self.ids[i]} in {self.assets[a]} must be a finite number "
                f"of tokens, zero or more, got {values[i, a]:g}; correct or leave out the position"
            )

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def asset_index(self, name: str) -> int:
        """Column of an asset; InputError that lists the known ones."""
        if name not in self.assets:
            raise InputError(f"unknown asset {name}; this book knows {', '.join(self.assets)}")
        return self.assets.index(name)

    def collateral_usd(self, prices: F64) -> F64:
        """Value of each position's collateral, USD, shape (position,)."""
        return _weighted(self.collateral, prices)

    def debt_usd(self, prices: F64) -> F64:
        """Value of each position's debt, USD, shape (position,)."""
        return _weighted(self.debt, prices)

    def health_factor(self, prices: F64, thresholds: F64) -> F64:
        """Threshold-weighted collateral over debt, shape (position,); inf without debt.

        Parameters
        ----------
        prices : array (asset,)
            USD per whole token.
        thresholds : array (asset,)
            Liquidation thresholds, fractions; 0 where an asset is no collateral.
        """
        backing = _weighted(self.collateral, prices * thresholds)
        debt = self.debt_usd(prices)
        health = np.full(len(self), np.inf)
        np.divide(backing, debt, out=health, where=debt > 0.0)
        return health

    def liquidatable_debt_usd(self, prices: F64, thresholds: F64) -> float:
        """Debt of the positions whose health factor is below 1, USD."""
        below = self.health_factor(prices, thresholds) < 1.0
        return float(self.debt_usd(prices)[below].sum())

    def take(self, indices: I64) -> Self:
        """Book of the given positions in the given order (a permutation re-orders)."""
        return type(self)(
            self.assets, self.collateral[indices], self.debt[indices], self.ids[indices]
        )

    def aligned(self, assets: Sequence[str]) -> Self:
        """Return the same positions with the columns of another list of assets.

        Raises
        ------
        InputError
            An asset of the book that somebody holds or owes is not in the list.
        """
        assets = tuple(assets)
        if assets == self.assets:
            return self
        collateral = np.zeros((len(self), len(assets)))
        debt = np.zeros((len(self), len(assets)))
        for a, name in enumerate(self.assets):
            if name in assets:
                collateral[:, assets.index(name)] = self.collateral[:, a]
                debt[:, assets.index(name)] = self.debt[:, a]
            elif self.collateral[:, a].any() or self.debt[:, a].any():
                raise InputError(
                    f"the book holds {name}, an unknown asset; the market knows {', '.join(assets)}"
                )
        return type(self)(assets, collateral, debt, self.ids)

    @classmethod
    def concat(cls, books: Sequence["LoanBook"]) -> "LoanBook":
        """Put books of the same assets one after the other, in the order given."""
        if not books:
            raise InputError("concat needs at least one book, got none")
        first = books[0]
        for other in books[1:]:
            if other.assets != first.assets:
                raise InputError(
                    f"books to join must list the same assets, got {', '.join(first.assets)} and "
                    f"{', '.join(other.assets)}; use aligned() first"
                )
        ids = [book.ids for book in books]
        if len({array.dtype.kind for array in ids}) > 1:
            ids = [array.astype(str) for array in ids]
        return cls(
            first.assets,
            np.concatenate([book.collateral for book in books]),
            np.concatenate([book.debt for book in books]),
            np.concatenate(ids),
        )


class BookSource(ABC):
    """Where a market's first positions come from: a distribution, a file."""

    @abstractmethod
    def draw(self, assets: Sequence[str], prices: F64, thresholds: F64, ltv: F64) -> LoanBook:
        """Make the book, the same one at every call with the same arguments.

        Parameters
        ----------
        assets : sequence of str
            The world's assets; the book has exactly these columns.
        prices : array (asset,)
            USD per whole token at the start.
        thresholds, ltv : array (asset,)
            Liquidation threshold and highest loan-to-value, fractions; 0: not a collateral.
        """
