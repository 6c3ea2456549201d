"""What a sale would bring, whatever market makes the price.

A market publishes its quotes as one NamedTuple; kernels of agents hand it to the functions below,
which numba resolves by its type, so that each market costs what its own arithmetic costs.
"""

from typing import Any, Protocol, runtime_checkable

from sim.book.depth import Bids, book_proceeds, book_sale_to
from sim.kernel import F64, resolves
from sim.market.outside import OutsideState, sale_proceeds, sell_until

Quotes = OutsideState | Bids


@runtime_checkable
class Market(Protocol):
    """A venue that makes the market price and tells what a sale would bring."""

    def quotes(self) -> Quotes:
        """Quotes for the open block, for `proceeds_of` and `sale_down_to`."""

    def reference_prices(self) -> F64:
        """Prices that the quotes stand on, array (world, asset): their second argument."""


def proceeds_of(quotes: Any, reference: F64, w: int, asset: int, quantity: float) -> float:
    """USD received for selling whole tokens now."""
    if isinstance(quotes, Bids):
        return book_proceeds(quotes, reference, w, asset, quantity)
    return sale_proceeds(quotes, reference, w, asset, quantity)


def sale_down_to(quotes: Any, reference: F64, w: int, asset: int, floor: float) -> float:
    """Whole tokens to sell until the next one brings `floor` USD; 0 where it does already."""
    if isinstance(quotes, Bids):
        return book_sale_to(quotes, reference, w, asset, floor)
    return sell_until(quotes, reference, w, asset, floor)


@resolves(proceeds_of)
def _proceeds_of(quotes, reference, w, asset, quantity):  # type: ignore[no-untyped-def]
    del reference, w, asset, quantity
    chosen = book_proceeds if quotes.instance_class is Bids else sale_proceeds
    return lambda quotes, reference, w, asset, quantity: chosen(
        quotes, reference, w, asset, quantity
    )


@resolves(sale_down_to)
def _sale_down_to(quotes, reference, w, asset, floor):  # type: ignore[no-untyped-def]
    del reference, w, asset, floor
    chosen = book_sale_to if quotes.instance_class is Bids else sell_until
    return lambda quotes, reference, w, asset, floor: chosen(quotes, reference, w, asset, floor)
