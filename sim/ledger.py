"""One ledger holds all balances; only transfer, mint and burn move them.

Invariant: for every world and asset, the sum of balances equals minted minus burnt.
"""

from collections.abc import Sequence

import numpy as np

from sim.errors import InvariantError
from sim.kernel import F64, I64, kernel
from sim.state import Arena


@kernel
def transfer(balances: F64, w: int, source: int, target: int, asset: int, amount: float) -> bool:
    """Move whole tokens between two accounts; False, and nothing moved, if the source lacks them.

    A shortfall under 1e-12 of the amount is float64 rounding and empties the source.
    """
    held = balances[w, source, asset]
    if amount > held:
        if amount > held * (1.0 + 1e-12):
            return False
        amount = held
    balances[w, source, asset] = held - amount
    balances[w, target, asset] += amount
    return True


@kernel
def mint(balances: F64, minted: F64, w: int, account: int, asset: int, amount: float) -> None:
    """Bring tokens into the world, booked as minted."""
    balances[w, account, asset] += amount
    minted[w, asset] += amount


@kernel
def burn(balances: F64, burnt: F64, w: int, account: int, asset: int, amount: float) -> bool:
    """Take tokens out of the world, booked as burnt; False where the account lacks them."""
    held = balances[w, account, asset]
    if amount > held:
        if amount > held * (1.0 + 1e-12):
            return False
        amount = held
    balances[w, account, asset] = held - amount
    burnt[w, asset] += amount
    return True


class Ledger:
    """Balances of every account in every asset, whole tokens.

    Parameters
    ----------
    n_worlds : int
        Number of parallel worlds.
    accounts, assets : sequence of str
        Names; a name's place is its index.

    Attributes
    ----------
    balances : array (world, account, asset)
    minted, burnt : array (world, asset)
    """

    def __init__(self, n_worlds: int, accounts: Sequence[str], assets: Sequence[str]) -> None:
        self.accounts = list(accounts)
        self.assets = list(assets)
        n_accounts, n_assets = len(self.accounts), len(self.assets)
        self.arena = Arena(
            n_worlds,
            {
                "balances": (n_accounts, n_assets),
                "minted": (n_assets,),
                "burnt": (n_assets,),
            },
        )
        self.balances = self.arena["balances"]
        self.minted = self.arena["minted"]
        self.burnt = self.arena["burnt"]

    def endow(self, account: int, asset: int, amount: float | F64) -> None:
        """Mint whole tokens to an account in every world; `amount` is a number or one per world."""
        self.balances[:, account, asset] += amount
        self.minted[:, asset] += amount

    def imbalance(self) -> F64:
        """Sum of balances less what was minted and not burnt, relative; shape (world, asset)."""
        total = self.balances.sum(axis=1)
        expected = self.minted - self.burnt
        scale = np.maximum(self.minted, 1.0)
        return np.asarray((total - expected) / scale)

    def check(self, tolerance: float = 1e-9, world_ids: I64 | None = None) -> None:
        """Raise InvariantError where value was made or lost; `world_ids` name the worlds."""
        gap = np.abs(self.imbalance())
        if not gap.max(initial=0.0) <= tolerance:
            w, asset = np.unravel_index(int(np.argmax(np.nan_to_num(gap, nan=np.inf))), gap.shape)
            world = w if world_ids is None else world_ids[w]
            raise InvariantError(
                f"ledger: balances of {self.assets[asset]} in world {world} differ from minted "
                f"less burnt by {gap[w, asset]:.3g} (relative), more than {tolerance:g}; a venue "
                "moved tokens without transfer, mint or burn"
            )
