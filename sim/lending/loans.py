"""What every lending venue tells of its loans, whatever liquidates them.

A pooled market, vaults with auctions, a stability pool and an AMM of bands all hold loans: somebody
owes something against something. This contract is what a population that brings a loan book and
metrics that compare mechanisms need of a venue; nothing here says how a loan is liquidated.

At one set of prices, in any world,

    sum(holds - owes) + income - booked bad debt - unsettled shortfall + stakes

changes only by tokens that move between the venue and other accounts: what borrowers lose is what
liquidators, protocol and bad debt account for.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64
from sim.lending.positions import restated
from sim.venue import Venue

if TYPE_CHECKING:
    from sim.world import World


class Loans(NamedTuple):
    """Worth of every loan now, USD."""

    holds: F64  # (world, position) all that its owner would have without the debt
    owes: F64  # (world, position)


class Unsettled(NamedTuple):
    """Liquidations that have begun and not ended, shape (world,)."""

    number: F64  # live auctions
    debt: F64  # USD of debt that left its loan and that nothing has paid yet
    shortfall: F64  # USD of it that what is for sale does not cover


class LoanVenue(Venue):
    """A venue that holds loans against collateral.

    Attributes
    ----------
    params : Any
        Terms; a frozen dataclass.
    """

    params: Any
    world: "World"

    # -- before bind ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def n_positions(self) -> int:
        """Number of positions, the same in all worlds."""

    @abstractmethod
    def add_positions(self, account: int | str, collateral: F64, debt: F64) -> range:
        """Add positions of one owner to the initial book, the same in all worlds.

        Parameters
        ----------
        account : int or str
            Ledger account that owns them, pays and receives for them; index or name.
        collateral, debt : array (n, A)
            Whole tokens per asset of the world.

        Returns
        -------
        range
            Their position indices.
        """

    def pair(self) -> tuple[str, str] | None:
        """Collateral and debt asset of a venue that knows no others; None where it does."""
        return None

    def restate(
        self, assets: Sequence[str], prices: F64, collateral: F64, debt: F64
    ) -> tuple[F64, F64]:
        """State a loan book in what this venue takes and lends; as it is, where it takes all.

        Parameters
        ----------
        assets : sequence of str
        prices : array (A,)
            USD per whole token, at which worth is kept.
        collateral, debt : array (n, A)
            Whole tokens; not changed.
        """
        pair = self.pair()
        if pair is None:
            return collateral, debt
        gem, owed = (list(assets).index(name) for name in pair)
        return restated(collateral, prices, [gem]), restated(debt, prices, [owed])

    @abstractmethod
    def liquidation_ltv(self, asset: str) -> float:
        """Debt over worth of collateral in an asset at which liquidation begins; 0: not taken."""

    @abstractmethod
    def params_at(self, asset: str, ltv: float) -> Any:
        """Terms with another liquidation loan-to-value of one collateral, all else as it is.

        Raises
        ------
        ConfigError
            No deployment would accept them.
        """

    def set_liquidation_ltv(self, asset: str, ltv: float) -> None:
        """Take the terms of `params_at`, before the venue has its seat in a world."""
        if not 0.0 < ltv < 1.0:
            raise ConfigError(f"liquidation_ltv must lie in (0, 1), got {ltv!r}; try 0.8")
        self.liquidation_ltv(asset)  # an asset that is no collateral is an error
        self.params = self.params_at(asset, ltv)

    # -- what is seen -----------------------------------------------------------------------------

    @abstractmethod
    def loans(self, prices: F64) -> Loans:
        """Tell what every position holds and owes at given prices (world, asset) in USD.

        To what a position holds belongs what a live auction of its collateral would leave to the
        owner, and stable tokens that its collateral was sold for on its behalf.
        """

    @abstractmethod
    def backlog(self) -> tuple[F64, F64]:
        """Debt of the liquidatable positions, and the part of it that no collateral covers.

        Returns
        -------
        debt, shortfall : array (world,)
            USD; a position whose collateral is in an auction is in neither: see `unsettled`.
        """

    @abstractmethod
    def bad_debt_usd(self) -> F64:
        """Debt that was written off so far, USD, shape (world,)."""

    @abstractmethod
    def income_usd(self, prices: F64) -> F64:
        """Tell what liquidations brought the protocol, USD at given prices, shape (world,).

        Penalties, fees and reserves gained, interest and bad debt left out.
        """

    def unsettled(self, prices: F64) -> Unsettled:
        """Liquidations that have begun and not ended; none where they are done in one row."""
        del prices
        none = np.zeros((3, self.world.n_worlds))
        return Unsettled(none[0], none[1], none[2])

    def stakes_usd(self, account: int, prices: F64) -> F64:
        """Tell what an account has in the venue beside loans: bids and deposits, USD (world,)."""
        del account, prices
        return np.zeros(self.world.n_worlds)
