"""A limit order book for every asset against one quote asset, as a market off chain.

Models one or several books (`layout`), all quoted in one asset: orders of every type, price bands,
a breaker that halts and re-opens by an auction, maker and taker fees. Rows reach a book at their
arrival within the block, so the faster agent is served first; between two rows the crowd of
background traders trades in continuous time (`sim.crowd`), or a house quotes a ladder (`house`).
It makes world.market_price: the last mid of each book times the USD price of the quote asset; the
fundamental price of an asset without a book, or whose book never had two sides.

Leaves out: margin, fees by volume, hidden venues. Crowd and house believe in the fundamental price.

Invariants: custody equals what the books owe (free and reserved cash and lots of all accounts, and
fees) to rounding; nobody sells or spends what he does not have; a refused row changes nothing but
that time passes up to its arrival.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.actions import Verb
from sim.book.book import new_book, new_messages
from sim.book.depth import Bids, halts, list_bids, measure, sweep
from sim.book.house import House, Ladder, endowment
from sim.book.layout import BASE, FEES, ORDER, PHASE, Book, OrderState, Phase
from sim.book.opening import aim, close_books, open_books, show_touch
from sim.book.rows import RESULTS, execute
from sim.book.seat import Seats, no_crowd, pass_time
from sim.book.tape import Tape
from sim.book.views import levels_of, queue
from sim.crowd.crowd import Crowd
from sim.crowd.layout import CrowdState
from sim.crowd.making import WITHDRAW, Maker
from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool, Rows, i64
from sim.state import Arena
from sim.terms import check_range, require
from sim.venue import Venue

if TYPE_CHECKING:
    from sim.world import World

NANO = 1_000_000_000
CLOCKS = ("clock", "opened", "halted_until", "auction_at")


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class BookTerms:
    """One book's grid."""

    tick_size: float  # quote tokens per base token
    lot_size: float  # base tokens

    def __post_init__(self) -> None:
        """Check."""
        check_range("tick_size", self.tick_size, 0.0, 1e9, open_low=True)
        check_range("lot_size", self.lot_size, 0.0, 1e9, open_low=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBookParams:
    """Terms of the venue; the default fees are none, as makers and takers here pay by the spread.

    Large spot exchanges have no breakers; the 5% band and 15 s of limit-up limit-down (Plan to
    Address Extraordinary Market Volatility, SEC 2012) are `band=0.05 halt_seconds=15`.
    """

    quote: str = "USDC"
    taker_fee_bps: float = 0.0
    maker_fee_bps: float = 0.0
    band: float | None = None  # about the block's first mid (none: fundamental); None: any
    halt_seconds: float = 0.0  # of a market order that meets a band; 0: it stops there, no halt
    halt_empty: bool = False  # whether a book that lost a side halts, too
    slice_seconds: float = 1.0  # between two looks of the breaker
    warm_up_seconds: float = 0.0  # of trading before the first block
    interval_seconds: float | None = None  # between batch auctions; None: continuous trading
    withdraw: bool = True  # whether the crowd's makers may step back
    wealth_usd: float = 1e8  # cash, and as much in lots, of each member of a crowd
    capacity: int = 2048  # live orders of a book
    n_levels: int = 4096  # prices of a book's window
    n_prints: int = 2048  # lines of a book's tape
    depth_levels: int = 128  # bids that agents see when a block opens
    keep_tape: bool = False  # whether `tape` keeps all trades

    def __post_init__(self) -> None:
        """Check."""
        if self.band is not None:
            check_range("band", self.band, 0.0, 1.0, open_low=True)
        if self.interval_seconds is not None:
            check_range("interval_seconds", self.interval_seconds, 0.0, open_low=True)
        for name in ("halt_seconds", "warm_up_seconds"):
            check_range(name, getattr(self, name), 0.0, 1e9)
        check_range("slice_seconds", self.slice_seconds, 0.0, open_low=True)
        check_range("wealth_usd", self.wealth_usd, 0.0, 1e15)
        require(
            self.n_prints >= self.capacity,
            f"n_prints must be at least capacity, {self.capacity}, got {self.n_prints}: one "
            "message may trade with all orders; raise it",
        )
        require(self.depth_levels >= 1, f"depth_levels must be 1 or more, got {self.depth_levels}")


def _slice(params: OrderBookParams, block_seconds: float) -> int:
    """Nanoseconds between two looks of the breaker; a block where there is none."""
    looks = params.band is not None or params.halt_empty
    seconds = params.slice_seconds if looks else block_seconds
    return max(1, round(seconds * NANO))


# Facade


class OrderBookMarket(Venue):
    """Limit order books of several assets against one.

    Verbs: SWAP (asset in, asset_2 out, amount in, limit = least amount out) by market orders; and
    the orders of `sim.book.rows`. What a swap cannot sell stays with its sender.

    Parameters
    ----------
    books : mapping of str to mapping
        `BookTerms` of each asset that has a book.
    crowd : mapping of str to Crowd, optional
        Background traders of some of the books.
    house : mapping of str to mapping, optional
        `House` of some of the books.
    **terms
        Fields of `OrderBookParams`.
    """

    on_chain: ClassVar[bool] = False
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        Verb.SWAP: ("amount_in", "amount_out", "slippage_usd"),
        Verb.LIMIT_ORDER: RESULTS,
        Verb.MARKET_ORDER: RESULTS,
        Verb.STOP_ORDER: RESULTS,
        Verb.STOP_LIMIT_ORDER: RESULTS,
        Verb.REPLACE_ORDER: RESULTS,
        Verb.CANCEL_ORDER: ("withdrawn",),
        Verb.REDUCE_ORDER: ("withdrawn",),
    }

    def __init__(
        self,
        *,
        books: Mapping[str, Mapping[str, float]],
        crowd: Mapping[str, Crowd] | None = None,
        house: Mapping[str, Mapping[str, Any]] | None = None,
        **terms: Any,
    ) -> None:
        self.params = OrderBookParams(**terms)
        self.grids = {asset: BookTerms(**dict(grid)) for asset, grid in sorted(books.items())}
        self.houses = {asset: House(**dict(one)) for asset, one in (house or {}).items()}
        self.crowds = dict(sorted((crowd or {}).items()))
        for one in self.crowds.values():
            # Members draw by their numbers, and a configuration need not keep its order.
            one.traders = dict(sorted(one.traders.items()))
        require(bool(self.grids), "books must name at least one asset with tick_size and lot_size")
        require(
            self.params.quote not in self.grids,
            f"books must not name the quote asset {self.params.quote}; remove it",
        )
        for group, named in (("crowd", self.crowds), ("house", self.houses)):
            strangers = ", ".join(set(named) - set(self.grids))
            require(not strangers, f"{group} names assets without a book: {strangers}")

    # --- construction -----------------------------------------------------------------------------

    def bind(self, world: "World") -> None:
        """Allocate the books, seat the crowds and houses, endow them, and let them warm up."""
        params, n = self.params, world.n_worlds
        self.names = list(self.grids)
        self.base: I64 = np.array([world.asset_index(name) for name in self.names], np.int64)
        self.quote = world.asset_index(params.quote)
        self.n_ledger = len(world.accounts)
        self.tick = np.array([grid.tick_size for grid in self.grids.values()])
        self.lot = np.array([grid.lot_size for grid in self.grids.values()])
        self.unit = self.tick * self.lot
        self.target: F64 = np.zeros((len(self.names), n))
        books = self._allocate(world)
        self.seats = self._seats(world, books)
        self.ladders = tuple(self._ladder(world, name) for name in self.names)
        aim(self.seats, world.fundamental, self.target)
        if params.interval_seconds is not None:
            for k, book in enumerate(books):
                book.head[:, PHASE] = Phase.AUCTION
                book.head[:, BASE] = np.maximum(self.target[k] - params.n_levels // 2, 0.0)
        for k, name in enumerate(self.names):
            self._endow(world, k, name)
        self.tape = Tape(self)
        self.bids = Bids(
            np.zeros((n, world.n_assets), np.int64),
            *(np.zeros((n, world.n_assets, params.depth_levels)) for _ in range(3)),
        )
        self._listed = False
        self.accrue()
        until = int(params.warm_up_seconds * NANO)
        for w, k in np.ndindex(self.seats.clock.shape):
            pass_time(self.seats, world.ledger.balances, w, k, until)
        self.accrue()
        for arena in self.arenas():
            arena.keep_as_initial()

    def _allocate(self, world: "World") -> tuple[Book, ...]:
        """Make one arena for all books, and the views of it."""
        params, n = self.params, world.n_worlds
        templates = {}
        for name in self.names:
            crowd = self.crowds.get(name)
            templates[name] = new_book(
                capacity=params.capacity, n_levels=params.n_levels, n_prints=params.n_prints,
                n_accounts=self.n_ledger + 1 + (crowd.n_members if crowd else 0),
                taker_fee_bps=params.taker_fee_bps, maker_fee_bps=params.maker_fee_bps,
            )  # fmt: skip
        shapes = {
            f"{name}.{key}": (array.nbytes // 8,)
            for name, book in templates.items()
            for key, array in book._asdict().items()
        }
        shapes |= dict.fromkeys((*CLOCKS, "mid", "shift"), (len(self.names),))
        self.arena = Arena(n, shapes, np.int64)
        books = []
        for name, book in templates.items():
            views = {
                key: self.arena[f"{name}.{key}"].view(array.dtype)
                for key, array in book._asdict().items()
            }
            for key, array in book._asdict().items():
                views[key][...] = array
            books.append(Book(**views))
        return tuple(books)

    def _seats(self, world: "World", books: tuple[Book, ...]) -> Seats:
        """Tie the books to the ledger and the clock."""
        params, arena = self.params, self.arena
        interval = params.interval_seconds
        self.shift: F64 = arena["shift"].view(np.float64)
        return Seats(
            books=books,
            crowds=tuple(self._crowd(world, k, name) for k, name in enumerate(self.names)),
            **{name: arena[name].view(np.int64) for name in CLOCKS},
            mid=arena["mid"].view(np.float64), message=new_messages(1),
            base=self.base, tick=self.tick, lot=self.lot,
            quote=self.quote, custody=self.account, n_ledger=self.n_ledger,
            block_ns=round(world.block_seconds * NANO),
            slice_ns=_slice(params, world.block_seconds),
            halt_ns=round(params.halt_seconds * NANO), halts_empty=bool(params.halt_empty),
            interval_ns=0 if interval is None else max(1, round(interval * NANO)),
            band=np.inf if params.band is None else float(params.band),
            keeps_tape=bool(params.keep_tape),
        )  # fmt: skip

    def _crowd(self, world: "World", k: int, name: str) -> CrowdState:
        """Seat the crowd of a book; one without members where there is none."""
        crowd = self.crowds.get(name)
        if crowd is None:
            return no_crowd(world.n_worlds, self.params.n_prints)
        start = world.fundamental[:, self.base[k]] / world.fundamental[:, self.quote]
        crowd.bind(
            world.n_worlds, world.world_ids, world.seed, f"crowd.{self.name}.{name}",
            start / self.tick[k], self.n_ledger + 1, self.params.n_prints, self.params.keep_tape,
        )  # fmt: skip
        for group, traders in enumerate(crowd.traders.values()):
            if isinstance(traders, Maker) and not self.params.withdraw:
                crowd.state.terms[group, WITHDRAW] = 0.0
        return crowd.state

    def _ladder(self, world: "World", name: str) -> Ladder:
        house = self.houses.get(name, House(levels=0))
        half_life = house.resilience_half_life
        return Ladder(
            self.n_ledger, int(house.levels), house.half_spread_bps / 1e4, house.step_bps / 1e4,
            float(house.depth_usd),
            0.5 ** (world.block_seconds / half_life) if half_life > 0.0 else 0.0,
        )  # fmt: skip

    def _endow(self, world: "World", k: int, name: str) -> None:
        """Give house and crowd their cash and lots, and custody as much through the ledger."""
        book = self.seats.books[k]
        price = float(self.target[k, 0])
        if name in self.houses:
            cash, lots = endowment(self.houses[name], price * self.tick[k], *self._grid(k))
            book.accounts["cash"][:, self.n_ledger] += cash
            book.accounts["lots"][:, self.n_ledger] += lots
        if name in self.crowds:
            cash = int(self.params.wealth_usd / self.unit[k])
            self.crowds[name].endow(book, cash, int(cash / price))
        for asset, owed in ((self.quote, self._cash(k)), (self.base[k], self._lots(k))):
            world.ledger.endow(self.account, int(asset), owed)

    def _grid(self, k: int) -> tuple[float, float]:
        return float(self.tick[k]), float(self.lot[k])

    # --- one block --------------------------------------------------------------------------------

    def accrue(self) -> None:
        """Tell the crowds what the assets are worth, and open the books of the block."""
        world = self.world
        aim(self.seats, world.fundamental, self.target)
        for k, name in enumerate(self.names):
            if name in self.crowds:
                reach = self.seats.clock[:, k] + self.seats.block_ns
                self.crowds[name].set_fundamental(self.target[k], reach)
        open_books(
            self.seats, self.ladders, world.ledger.balances, world.fundamental,
            world.inputs["depth"], self.target, self.shift, world.market_price,
        )  # fmt: skip
        self._listed = False

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows; see the class for the verbs."""
        world = self.world
        execute(
            self.seats, world.ledger.balances, world.fundamental, world.market_price, rows, order,
            starts, ends,
        )  # fmt: skip

    def settle(self) -> None:
        """Let time pass to the end of the block, and take the tape off the books."""
        world = self.world
        close_books(
            self.seats, world.ledger.balances, world.fundamental, self.target, self.shift,
            world.market_price,
        )  # fmt: skip
        if self.params.keep_tape:
            self.tape.collect()

    # --- what is owed -----------------------------------------------------------------------------

    def _cash(self, k: int) -> F64:
        """Whole quote tokens that a book owes, fees included, shape (world,)."""
        book = self.seats.books[k]
        owed = book.accounts["cash"].sum(axis=1) + book.accounts["cash_reserved"].sum(axis=1)
        return np.asarray((owed + book.head[:, FEES]) * self.unit[k])

    def _lots(self, k: int) -> F64:
        """Whole base tokens that a book owes, shape (world,)."""
        book = self.seats.books[k]
        owed = book.accounts["lots"].sum(axis=1) + book.accounts["lots_reserved"].sum(axis=1)
        return np.asarray(owed * self.lot[k])

    def claims(self) -> F64:
        """Cash and lots of all accounts of all books, reserved ones too, and fees."""
        owed: F64 = np.zeros((self.world.n_worlds, self.world.n_assets))
        for k in range(len(self.names)):
            owed[:, self.quote] += self._cash(k)
            owed[:, self.base[k]] += self._lots(k)
        return owed

    # --- what agents and reports see --------------------------------------------------------------

    def quotes(self) -> Bids:
        """Bids of all books as the block opened; see `sim.quotes`."""
        if not self._listed:
            list_bids(self.seats, self.world.fundamental, self.bids)
            self._listed = True
        return self.bids

    def reference_prices(self) -> F64:
        """Prices at which assets without a book are quoted."""
        return self.world.market_price

    def book_of(self, asset: str) -> int:
        """Place of an asset's book; ConfigError lists the known ones."""
        if asset not in self.names:
            raise ConfigError(f"{self.name} has no book of {asset!r}; known: {self.names}")
        return self.names.index(asset)

    def touch(self, asset: str) -> F64:
        """Level 1 in every world: bid, its tokens, ask, its tokens, last price; shape (world, 5).

        Prices in the quote asset; 0 where there is none.
        """
        out: F64 = np.zeros((self.world.n_worlds, 5))
        show_touch(self.seats, i64(self.book_of(asset)), np.zeros(5, np.int64), out)
        return out

    def levels(self, asset: str, world: int, side: int, n: int = 10) -> F64:
        """Level 2 in one world: price, visible tokens and orders of the best levels of a side."""
        k, found = self.book_of(asset), np.zeros((3, n), np.int64)
        one = Book(*(array[world] for array in self.seats.books[k]))
        length = levels_of(one, i64(side), found[0], found[1], found[2])
        scale = np.array([self.tick[k], self.lot[k], 1.0])
        return np.asarray(found[:, :length].T * scale)

    def orders(self, asset: str, world: int, side: int) -> Rows:
        """Level 3 in one world: all orders of a side as they would trade, records of ORDER."""
        one = Book(*(array[world] for array in self.seats.books[self.book_of(asset)]))
        out = np.zeros(one.orders.shape[0], ORDER)
        return out[: queue(one, i64(side), out)]

    def open_orders(self, asset: str, account: int) -> dict[str, np.ndarray[Any, Any]]:
        """Live orders of a ledger account in all worlds, by world and arrival.

        Returns
        -------
        dict of str to array
            `world` (local), `target` (the sender's number), `side`, `price`, `amount` (what is
            left, hidden too), `trigger` (0: none), `state` (`OrderState`).
        """
        k = self.book_of(asset)
        slots = self.seats.books[k].orders[:, :-1]
        worlds, places = np.nonzero(
            (slots["account"] == account) & (slots["state"] != OrderState.FREE)
        )
        mine = slots[worlds, places]
        order = np.lexsort((mine["stamp"], worlds))
        mine = mine[order]
        return {
            "world": worlds[order],
            "target": mine["id"] & (2**31 - 1),
            "side": mine["side"].astype(np.int64),
            "price": mine["price"] * self.tick[k],
            "amount": (mine["quantity"] + mine["hidden"]) * self.lot[k],
            "trigger": mine["trigger"] * self.tick[k],
            "state": mine["state"].astype(np.int64),
        }

    def reserved(self, account: int) -> F64:
        """Whole tokens of a ledger account that its live orders hold, shape (world, asset)."""
        held: F64 = np.zeros((self.world.n_worlds, self.world.n_assets))
        for k, book in enumerate(self.seats.books):
            mine = book.accounts[:, account]
            held[:, self.quote] += mine["cash_reserved"] * self.unit[k]
            held[:, self.base[k]] += mine["lots_reserved"] * self.lot[k]
        return held

    def reserved_lots(self, account: int, asset: int) -> F64:
        """Whole tokens of one base asset that an account's live sales hold, shape (world,)."""
        k = int(np.flatnonzero(self.base == asset)[0])
        held = self.seats.books[k].accounts["lots_reserved"][:, account]
        return np.asarray(held * self.lot[k])

    def liquidity(self, distance: float = 0.01) -> tuple[F64, F64]:
        """Measure the books: spreads in basis points, and depth in USD within a distance.

        Parameters
        ----------
        distance : float
            Fraction of the mid.

        Returns
        -------
        spread : array (world, book)
            NaN where a side is empty.
        depth : array (world, book, 2)
            Bids and asks.
        """
        n, k = self.world.n_worlds, len(self.names)
        spread, depth = np.zeros((n, k)), np.zeros((n, k, 2))
        measure(self.seats, self.world.fundamental, distance, spread, depth)
        return spread, depth

    def sweep(self, asset: str, tokens: F64) -> tuple[F64, F64]:
        """Tell what market orders (world,) would trade now, and their cash; see `depth.sweep`."""
        taken, cash = np.zeros_like(tokens), np.zeros_like(tokens)
        sweep(self.seats, i64(self.book_of(asset)), tokens, taken, cash)
        return taken, cash

    def halted(self, asset: str) -> Bool:
        """Whether a book takes no market orders now, shape (world,)."""
        out: Bool = np.zeros(self.world.n_worlds, np.bool_)
        halts(self.seats, i64(self.book_of(asset)), out)
        return out

    # --- copies -----------------------------------------------------------------------------------

    def arenas(self) -> list[Arena]:
        """Books, and crowds."""
        return [self.arena, *(crowd.arena for crowd in self.crowds.values())]

    def checkpoint(self, worlds: I64, targets: I64) -> None:
        """Remember the listed worlds before a bundle."""
        del targets
        for arena in self.arenas():
            arena.checkpoint(worlds)

    def rollback(self, worlds: I64) -> None:
        """Undo everything since the last checkpoint in the listed worlds."""
        for arena in self.arenas():
            arena.rollback(worlds)

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to their initial state; a kept tape forgets them."""
        for arena in self.arenas():
            arena.reset(mask)
        self.tape.forget(mask)
        self._listed = False

    def snapshot(self) -> list[F64]:
        """Copy of the books and crowds; the kept tape is not part of it."""
        return [arena.snapshot() for arena in self.arenas()]

    def restore(self, snapshot: list[F64]) -> None:
        """Take a snapshot back."""
        for arena, copy in zip(self.arenas(), snapshot, strict=True):
            arena.restore(copy)
        self.tape.cut()
        self._listed = False
