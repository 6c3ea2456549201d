"""The initial book of a market of vaults: one collateral, one stable token that it mints."""

from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64, I32
from sim.lending.positions import Book

if TYPE_CHECKING:
    from sim.world import World


class VaultBook(Book):
    """Vaults under construction; the debts' stable tokens are taken to be out in the world."""

    def resolve(self, name: str, world: "World", gem: int, stable: int) -> tuple[I32, F64, F64]:
        """Owners, collateral and debt of all vaults, checked against the world's accounts.

        Returns
        -------
        owner, collateral, debt : array (N,)
        """
        assets, accounts = world.assets, world.ledger.accounts
        empty = np.zeros((0, len(assets)))
        for amounts in self.collateral:
            if amounts.shape[1] != len(assets):
                raise ConfigError(
                    f"{name}: positions must have one column for each of the world's "
                    f"{len(assets)} assets ({', '.join(assets)}), got {amounts.shape[1]}"
                )
        for kind, amounts, only in (
            ("collateral", np.concatenate([empty, *self.collateral]), gem),
            ("debt", np.concatenate([empty, *self.debt]), stable),
        ):
            others = np.delete(amounts, only, axis=1)
            wrong = np.flatnonzero(others.any(axis=1))
            if wrong.size:
                raise ConfigError(
                    f"{name}: {kind} of a vault must be {assets[only]}, but position {wrong[0]} "
                    "has another asset; leave it out or convert it"
                )
        owners = []
        for account, n in self.owners:
            if isinstance(account, str) and account not in accounts:
                raise ConfigError(
                    f"{name}: positions belong to account {account!r}, which the ledger does not "
                    f"have; accounts: {', '.join(accounts)}"
                )
            index = accounts.index(account) if isinstance(account, str) else account
            owners.append(np.full(n, index, np.int32))
        owner = np.concatenate([np.zeros(0, np.int32), *owners])
        collateral = np.concatenate([empty, *self.collateral])[:, gem]
        debt = np.concatenate([empty, *self.debt])[:, stable]
        return owner, np.ascontiguousarray(collateral), np.ascontiguousarray(debt)
