"""The trades of a venue's books, kept as columns for reports."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sim.book.layout import LOST_PRINTS, N_PRINTS, PrintKind
from sim.errors import InvariantError
from sim.kernel import Bool

if TYPE_CHECKING:
    from sim.book.venue import OrderBookMarket

Columns = dict[str, np.ndarray[Any, Any]]
TRADES = (int(PrintKind.TRADE), int(PrintKind.AUCTION_TRADE))


class Tape:
    """What was traded, drained off the books block by block.

    Parameters
    ----------
    venue : OrderBookMarket
        Bound, with `keep_tape`.
    """

    def __init__(self, venue: "OrderBookMarket") -> None:
        self.venue = venue
        self.parts: list[Columns] = []

    def collect(self) -> None:
        """Take the prints of the block off all books."""
        venue = self.venue
        for k in range(len(venue.names)):
            book, times = venue.seats.books[k], venue.seats.crowds[k].print_time
            if book.head[:, LOST_PRINTS].any():
                raise InvariantError(
                    f"{venue.name}: the tape of {venue.names[k]} had no room for all prints of "
                    "a block; raise n_prints"
                )
            for w in np.flatnonzero(book.head[:, N_PRINTS]):
                n = int(book.head[w, N_PRINTS])
                self._keep(k, int(w), book.tape[w, :n], times[w, :n])
            book.head[:, N_PRINTS] = 0

    def _keep(self, k: int, w: int, lines: Any, times: Any) -> None:
        """Keep the trades among a world's prints."""
        venue = self.venue
        traded = np.isin(lines["kind"], TRADES)
        lines, times = lines[traded], times[traded]
        n = lines.shape[0]
        self.parts.append({
            "world": np.full(n, w),
            "step": np.full(n, venue.world.step),
            "asset": np.full(n, venue.base[k]),
            "time": times / 1e9,
            "price": lines["price"] * venue.tick[k],
            "amount": lines["quantity"] * venue.lot[k],
            "side": lines["side"].astype(np.int64),
            "maker": lines["maker_account"].astype(np.int64),
            "taker": lines["taker_account"].astype(np.int64),
        })  # fmt: skip

    def columns(self) -> Columns:
        """All trades kept.

        Local world, step, asset, time in seconds, price, tokens, side of the taker, and the
        accounts in the book of the maker and the taker.
        """
        if not self.parts:
            return {}
        joined = {name: np.concatenate([p[name] for p in self.parts]) for name in self.parts[0]}
        self.parts = [joined]
        return joined

    def keep_where(self, kept: Any) -> None:
        """Keep the trades that a mask of `columns` marks."""
        self.parts = [{name: values[kept] for name, values in self.columns().items()}]

    def forget(self, mask: Bool) -> None:
        """Forget the worlds in the mask."""
        if self.parts:
            self.keep_where(~mask[self.columns()["world"]])

    def cut(self) -> None:
        """Forget what is not past: after a restore."""
        if self.parts:
            self.keep_where(self.columns()["step"] < self.venue.world.step)
