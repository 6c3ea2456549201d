"""Positions of a pooled market: the initial book, and the copies that a bundle needs."""

from collections.abc import Sequence

import numpy as np

from sim.errors import InputError
from sim.kernel import F64, I64, kernel
from sim.lending.index import LiquidationIndex, touch
from sim.lending.state import PooledState, mode_of


@kernel
def copy_book(target: F64, book: F64, worlds: I64) -> None:
    """Give the listed worlds the initial book, which has no world axis."""
    for i in range(worlds.shape[0]):
        w = worlds[i]
        for p in range(book.shape[0]):
            for a in range(book.shape[1]):
                target[w, p, a] = book[p, a]


@kernel
def save_positions(
    state: PooledState, worlds: I64, targets: I64, ids: I64, modes: I64, collateral: F64, debt: F64
) -> None:
    """Keep a copy of the positions that a bundle in each listed world touches."""
    for i in range(worlds.shape[0]):
        w = worlds[i]
        for k in range(targets.shape[1]):
            p = targets[i, k]
            ids[w, k] = p if 0 <= p < state.owner.shape[0] else -1
            if ids[w, k] >= 0:
                modes[w, k] = mode_of(state, w, p) + 1
                for a in range(state.debt.shape[2]):
                    collateral[w, k, a] = state.collateral[w, p, a]
                    debt[w, k, a] = state.debt[w, p, a]


@kernel
def undo_positions(
    state: PooledState,
    index: LiquidationIndex,
    worlds: I64,
    ids: I64,
    modes: I64,
    collateral: F64,
    debt: F64,
) -> None:
    """Put the kept copies back and refresh their entries in the index."""
    for i in range(worlds.shape[0]):
        w = worlds[i]
        for k in range(ids.shape[1]):
            p = ids[w, k]
            if p >= 0:
                if state.modes.shape[0] > 0:
                    state.mode[w, p] = modes[w, k]
                for a in range(state.debt.shape[2]):
                    state.collateral[w, p, a] = collateral[w, k, a]
                    state.debt[w, p, a] = debt[w, k, a]
                touch(index, state, w, p)


def restated(amounts: F64, prices: F64, kept: Sequence[int]) -> F64:
    """State balances in some assets only, of the same worth: all others in the first of `kept`.

    Parameters
    ----------
    amounts : array (n, A)
        Whole tokens; not changed.
    prices : array (A,)
        USD per whole token.
    kept : sequence of int
        Columns that stay as they are.
    """
    others = np.ones(amounts.shape[1], np.bool_)
    others[list(kept)] = False
    made = np.where(others, 0.0, amounts)
    made[:, kept[0]] += amounts[:, others] @ prices[others] / prices[kept[0]]
    return np.asarray(made, np.float64)


class Book:
    """The initial book under construction: who owns which balances, whole tokens."""

    def __init__(self) -> None:
        self.owners: list[tuple[int | str, int]] = []
        self.collateral: list[F64] = []
        self.debt: list[F64] = []
        self.n = 0

    def add(self, account: int | str, collateral: F64, debt: F64) -> range:
        """Append positions of one owner."""
        collateral = np.ascontiguousarray(collateral, np.float64)
        debt = np.ascontiguousarray(debt, np.float64)
        if collateral.ndim != 2 or collateral.shape != debt.shape:
            raise InputError(
                "collateral and debt must both have shape (positions, assets), got "
                f"{collateral.shape} and {debt.shape}"
            )
        for name, amounts in (("collateral", collateral), ("debt", debt)):
            wrong = np.argwhere(~(np.isfinite(amounts) & (amounts >= 0.0)))
            if wrong.size:
                p, a = wrong[0]
                raise InputError(
                    f"{name} of position {p}, asset column {a}, must be a finite amount >= 0, got "
                    f"{amounts[p, a]}"
                )
        bare = np.flatnonzero((debt.sum(axis=1) > 0.0) & ~(collateral.sum(axis=1) > 0.0))
        if bare.size:
            raise InputError(
                f"position {bare[0]} has debt and no collateral; give it collateral or leave it out"
            )
        self.owners.append((account, len(debt)))
        self.collateral.append(collateral)
        self.debt.append(debt)
        self.n += len(debt)
        return range(self.n - len(debt), self.n)
