"""Borrowers who never act: they bring a loan book, and what happens is the venue's rules.

Where mechanisms are compared, borrowers who react would hide what a mechanism does. These hold one
collateral and owe one asset, bring their loans to any `LoanVenue`, and have one account, which gets
what liquidations leave to them. Where the debt asset is lent by suppliers, and not minted against
the loan, they are the supplier as well: one more position, which stays.
"""

import numpy as np

from agents.agent import MarketAgent
from agents.populations.book import BookSource, LoanBook
from agents.view import View
from sim.actions import NO_ROWS
from sim.errors import ConfigError
from sim.kernel import F64, Rows
from sim.lending.loans import LoanVenue
from sim.lending.market import LendingMarket
from sim.lending.positions import restated
from sim.world import World


class Holders(MarketAgent):
    """A population that brings a loan book to a venue and does nothing.

    Parameters
    ----------
    book : BookSource or LoanBook
        Where the loans come from; restated, at equal worth, in the two assets below.
    collateral, debt : str
        The assets.
    market : str
        Name of the venue.
    liquidation_ltv : float, optional
        Debt over collateral at which liquidation shall begin: the venue takes it in place of its
        own. A drawn book has its health factors at it.
    least_debt : float
        USD: smaller loans are left out, as some venue would refuse them.
    least_health : float
        Loans with a lower health factor are left out likewise.
    utilisation : float
        Share of the debt asset's supply that is lent, where it is lent by suppliers.

    Attributes
    ----------
    loans : range
        Their positions in the venue.
    book : LoanBook
        The loans, after what is left out.
    n_left_out, left_out_usd : int, float
        Loans that were left out, and their debt.
    """

    def __init__(
        self,
        *,
        book: BookSource | LoanBook,
        collateral: str = "WETH",
        debt: str = "USDC",
        market: str = "lending",
        liquidation_ltv: float | None = None,
        least_debt: float = 0.0,
        least_health: float = 1.0,
        utilisation: float = 0.8,
    ) -> None:
        if not 0.0 < utilisation <= 1.0:
            raise ConfigError(f"utilisation must lie in (0, 1], got {utilisation}; try 0.8")
        self.source, self.pair, self.market_name = book, (collateral, debt), market
        self.liquidation_ltv, self.utilisation = liquidation_ltv, float(utilisation)
        self.least_debt, self.least_health = float(least_debt), float(least_health)

    def enroll(self, world: World) -> None:
        """Draw the book at the venue's terms and bring it there."""
        venue = world.venues.get(self.market_name)
        if not isinstance(venue, LoanVenue):
            raise ConfigError(
                f"{self.name}.market must name a venue that holds loans, got "
                f"{self.market_name!r}; known venues: {', '.join(world.venues)}"
            )
        self.venue = venue
        gem, owed = (world.asset_index(name) for name in self.pair)
        if self.liquidation_ltv is not None:
            venue.set_liquidation_ltv(self.pair[0], float(self.liquidation_ltv))
        thresholds: F64 = np.zeros(world.n_assets)
        thresholds[gem] = venue.liquidation_ltv(self.pair[0])
        book = self._kept(self._drawn(world, thresholds, gem, owed), world, thresholds)
        self.book = book
        self.loans = venue.add_positions(self.account, book.collateral, book.debt)
        if isinstance(venue, LendingMarket):
            supply = np.zeros((1, world.n_assets))
            supply[0, owed] = book.debt[:, owed].sum() / self.utilisation
            venue.add_positions(self.account, supply, np.zeros_like(supply))

    def _drawn(self, world: World, thresholds: F64, gem: int, owed: int) -> LoanBook:
        """Draw the book and state it in the pair."""
        source, prices = self.source, world.fundamental[0]
        if isinstance(source, BookSource):
            source = source.draw(world.assets, prices, thresholds, thresholds)
        source = source.aligned(world.assets)
        return LoanBook(
            source.assets, restated(source.collateral, prices, [gem]),
            restated(source.debt, prices, [owed]), source.ids,
        )  # fmt: skip

    def _kept(self, book: LoanBook, world: World, thresholds: F64) -> LoanBook:
        """Leave out loans that some venue would refuse, the same ones at every venue."""
        prices = world.fundamental[0]
        debt = book.debt_usd(prices)
        wanted = (debt >= self.least_debt) & (
            book.health_factor(prices, thresholds) >= self.least_health * (1.0 - 1e-9)
        )
        self.n_left_out = int((~wanted).sum())
        self.left_out_usd = float(debt[~wanted].sum())
        if not wanted.any():
            raise ConfigError(
                f"{self.name}: no loan of the book owes {self.least_debt:g} USD with a health "
                f"factor of {self.least_health:g}; lower least_debt or least_health"
            )
        return book.take(np.flatnonzero(wanted))

    def decide(self, view: View) -> Rows:
        """Nothing."""
        del view
        return NO_ROWS
