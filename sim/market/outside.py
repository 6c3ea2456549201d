"""The rest of the world's liquidity: where collateral is sold off chain, at a price that yields.

Models one book per asset against USD, with square-root (or linear, or other) transient impact that
decays exponentially (Obizhaeva and Wang 2013), linear permanent impact and a half spread. The law
of impact is f = Y sigma (Q / V)^delta, with Q the executed volume and V the daily volume; Y is
about 1 and delta about 1/2 from stocks to Bitcoin (Toth et al. 2011; Donier and Bonart 2015). The
arithmetic is in `impact`. A swap of one asset for another passes through both books.

Leaves out: queues, order types, latency arbitrage, and a limit on what is for sale beyond the
largest displacement, at which the book is taken to be bottomless.

Invariants: tokens handed in are burnt and tokens paid out are minted, so custody and claims are
zero; splitting an order within a block changes nothing; a round trip within a block costs exactly
the spread.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from sim.actions import Reject, Verb
from sim.kernel import F64, I64, Rows, kernel
from sim.market.impact import (
    Book,
    displacement,
    flow_for_cash,
    flow_of,
    proceeds,
    purchase_to_price,
    quantity_of,
    sale_to_price,
)
from sim.state import Arena
from sim.terms import check_range, per_asset, require
from sim.venue import Venue

if TYPE_CHECKING:
    from sim.world import World

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_ASSET = int(Reject.BAD_ASSET)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
SWAP = int(Verb.SWAP)

SMALLEST_DEPTH = 1e-9  # a depth multiplier below it counts as it
NEGLIGIBLE_IMBALANCE = 1e-6  # USD; forgotten, so that decay never reaches subnormal numbers


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideParams:
    """Terms of the outside market; mappings name assets and may name more than a world holds.

    The default volumes are about 2.5 times the median daily volume of the largest exchange's spot
    pair in 2022-2024 (ETHUSDT 1.1e9, BTCUSDT 2.1e9 USD), for a handful of venues that one trader
    can reach; aggregators report five times more, much of it not executable. Volatilities are
    standard deviations of daily log returns in the same years. In March 2020 the same pairs traded
    2e8 and 6e8 USD a day: there, a depth multiplier of 0.2 and 0.3 is in order.
    """

    daily_volume: float | Mapping[str, float] = field(
        default_factory=lambda: {"WETH": 3.0e9, "WBTC": 5.0e9, "USDC": 5.0e9, "DAI": 5.0e8}
    )  # USD a day at depth 1; inf: a book without impact
    daily_volatility: float | Mapping[str, float] = field(
        default_factory=lambda: {"WETH": 0.04, "WBTC": 0.03, "USDC": 0.001, "DAI": 0.002}
    )  # standard deviation of daily log returns
    impact: float = 1.0  # Y: displacement at one day's volume, in daily volatilities
    exponent: float = 0.5  # delta: 0.5 square root, 1 linear
    resilience_half_life: float = 1_800.0  # seconds in which half the imbalance is gone
    permanent: float = 0.3  # log price shift per day's volume sold, in daily volatilities; stocks:
    # 0.314 (Almgren et al. 2005)
    half_spread_bps: float | Mapping[str, float] = field(
        default_factory=lambda: {"WETH": 2.0, "WBTC": 2.0, "USDC": 0.5, "DAI": 1.0}
    )  # basis points of the traded value
    largest_displacement: float = 0.5  # fraction of the reference price
    feedback: bool = True  # False: trades pay their impact, but the mid that others see stays

    def __post_init__(self) -> None:
        check_range("daily_volume", self.daily_volume, 0.0, open_low=True)
        check_range("daily_volatility", self.daily_volatility, 0.0)
        check_range("impact", self.impact, 0.0)
        check_range("exponent", self.exponent, 0.1, 1.0)
        check_range("resilience_half_life", self.resilience_half_life, 0.0)
        check_range("permanent", self.permanent, 0.0)
        check_range("half_spread_bps", self.half_spread_bps, 0.0, 5_000.0)
        require(
            0.0 < self.largest_displacement < 1.0,
            f"largest_displacement must lie in (0, 1), got {self.largest_displacement:g}; a mid "
            "must stay positive",
        )


# State


BOOK = np.dtype(
    [
        ("imbalance", np.float64),  # x: flow sold and not decayed yet, USD
        ("permanent", np.float64),  # log shift of the reference price
        ("depth", np.float64),  # depth multiplier that coefficient and cap stand for
        ("coefficient", np.float64),  # a = Y sigma / (depth volume)^delta
        ("cap", np.float64),  # imbalance at the largest displacement, USD
        ("kappa", np.float64),  # log shift per whole token sold
    ]
)


class OutsideState(NamedTuple):
    """The market; agents hand it, with world.fundamental, to the quoting kernels.

    Books are records, not one array per field: a kernel that hands them on then counts one
    reference instead of nine, which took two thirds of a swap.
    """

    books: Rows  # (world, asset) of BOOK
    scale: F64  # (asset,) Y sigma
    volume: F64  # (asset,) USD a day at depth 1
    half_spread: F64  # (asset,) fraction
    decay: float  # factor of the imbalance over one block
    exponent: float
    largest: float  # largest displacement, fraction
    feedback: bool


# Kernels


@kernel
def book_of(state: OutsideState, fundamental: F64, w: int, asset: int) -> Book:
    """Read one book, once, for any number of quotes by the kernels of `impact`."""
    record = state.books[w, asset]
    return Book(
        fundamental[w, asset] * math.exp(record["permanent"]),
        record["imbalance"],
        record["coefficient"],
        record["cap"],
        record["kappa"],
        state.half_spread[asset],
        state.exponent,
        state.largest,
    )


@kernel
def mid_of(state: OutsideState, book: np.void, price: float) -> float:
    """USD mid that everybody sees, for a record of `BOOK` and a fundamental price."""
    if not state.feedback:
        return price
    fall = displacement(book["imbalance"], book["coefficient"], state.exponent, state.largest)
    return price * math.exp(book["permanent"]) * (1.0 - fall)


@kernel
def sale_proceeds(
    state: OutsideState, fundamental: F64, w: int, asset: int, quantity: float
) -> float:
    """USD received for selling whole tokens now."""
    book = book_of(state, fundamental, w, asset)
    return proceeds(book, flow_of(book, quantity)) * (1.0 - book.half_spread)


@kernel
def purchase_cost(
    state: OutsideState, fundamental: F64, w: int, asset: int, quantity: float
) -> float:
    """USD to be paid for buying whole tokens now."""
    book = book_of(state, fundamental, w, asset)
    return -proceeds(book, flow_of(book, -quantity)) * (1.0 + book.half_spread)


@kernel
def purchase_quantity(
    state: OutsideState, fundamental: F64, w: int, asset: int, cash: float
) -> float:
    """Whole tokens that cash in USD buys now."""
    book = book_of(state, fundamental, w, asset)
    return -quantity_of(book, -flow_for_cash(book, cash / (1.0 + book.half_spread)))


@kernel
def outside_quote(
    state: OutsideState, fundamental: F64, w: int, asset_in: int, asset_out: int, amount: float
) -> float:
    """Whole tokens of asset_out for an amount of asset_in handed in now."""
    cash = sale_proceeds(state, fundamental, w, asset_in, amount)
    return purchase_quantity(state, fundamental, w, asset_out, cash)


@kernel
def sell_until(state: OutsideState, fundamental: F64, w: int, asset: int, floor: float) -> float:
    """Whole tokens to sell until the next token brings `floor` USD; 0 where it does already.

    It maximises `sale_proceeds(q) - floor * q`. Infinite where the price never falls so far.
    """
    return sale_to_price(book_of(state, fundamental, w, asset), floor)


@kernel
def buy_until(state: OutsideState, fundamental: F64, w: int, asset: int, ceiling: float) -> float:
    """Whole tokens to buy until the next token costs `ceiling` USD; 0 where it does already.

    It maximises `ceiling * q - purchase_cost(q)`. Infinite where the price never rises so far.
    """
    return purchase_to_price(book_of(state, fundamental, w, asset), ceiling)


@kernel
def refresh(
    state: OutsideState, fundamental: F64, depth: F64, decay: float, worlds: I64, mid: F64
) -> None:
    """Decay the imbalance, take over the depth, and write the mids, in the listed worlds."""
    for i in range(worlds.shape[0]):
        w = worlds[i]
        for k in range(mid.shape[1]):
            book = state.books[w, k]
            multiplier = max(depth[w, k], SMALLEST_DEPTH)
            if multiplier != book["depth"]:
                a = state.scale[k] / (multiplier * state.volume[k]) ** state.exponent
                book["depth"] = multiplier
                book["coefficient"] = a
                book["cap"] = (state.largest / a) ** (1.0 / state.exponent) if a > 0.0 else np.inf
            x = book["imbalance"]
            if x != 0.0 and decay != 1.0:
                x *= decay
                book["imbalance"] = x if abs(x) >= NEGLIGIBLE_IMBALANCE else 0.0
            mid[w, k] = mid_of(state, book, fundamental[w, k])


@kernel
def check(verb: int, asset_in: int, asset_out: int, amount: float, n_assets: int) -> int:
    """Return why a row can never be executed, or OK."""
    if verb != SWAP:
        return UNKNOWN_VERB
    if not (0 <= asset_in < n_assets and 0 <= asset_out < n_assets) or asset_in == asset_out:
        return BAD_ASSET
    if not amount > 0.0:
        return BAD_AMOUNT
    return OK


@kernel
def trade(book_in: Book, book_out: Book, amount: float) -> tuple[float, float, float]:
    """Flow sold, flow bought, and whole tokens paid out for an amount handed in."""
    sold = flow_of(book_in, amount)
    cash = proceeds(book_in, sold) * (1.0 - book_in.half_spread)
    bought = flow_for_cash(book_out, cash / (1.0 + book_out.half_spread))
    return sold, bought, -quantity_of(book_out, -bought)


@kernel
def execute(
    state: OutsideState,
    balances: F64,
    minted: F64,
    burnt: F64,
    fundamental: F64,
    mid: F64,
    rows: Rows,
    order: I64,
    starts: I64,
    ends: I64,
) -> None:
    """Execute each world's rows in order; results: in, out, USD lost against the mids."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            row = rows[order[j]]
            asset_in, asset_out, account = row["asset"], row["asset_2"], row["account"]
            amount = row["amount"]
            row["code"] = check(row["verb"], asset_in, asset_out, amount, mid.shape[1])
            if row["code"] != OK:
                continue
            held = balances[w, account, asset_in]
            if amount == np.inf:
                amount = held
            if not (0.0 < amount <= held * (1.0 + 1e-12)):
                row["code"] = INSUFFICIENT_BALANCE
                continue
            amount = min(amount, held)
            book_in = book_of(state, fundamental, w, asset_in)
            book_out = book_of(state, fundamental, w, asset_out)
            sold, bought, out = trade(book_in, book_out, amount)
            if not (0.0 < out < np.inf and out >= row["limit"]):
                row["code"] = LIMIT_NOT_MET if 0.0 < out < np.inf else INSUFFICIENT_LIQUIDITY
                continue
            row["r0"] = amount
            row["r1"] = out
            row["r2"] = amount * mid[w, asset_in] - out * mid[w, asset_out]
            balances[w, account, asset_in] = held - amount
            burnt[w, asset_in] += amount
            balances[w, account, asset_out] += out
            minted[w, asset_out] += out
            record_in, record_out = state.books[w, asset_in], state.books[w, asset_out]
            record_in["imbalance"] += sold
            record_in["permanent"] -= book_in.kappa * amount
            record_out["imbalance"] -= bought
            record_out["permanent"] += book_out.kappa * out
            mid[w, asset_in] = mid_of(state, record_in, fundamental[w, asset_in])
            mid[w, asset_out] = mid_of(state, record_out, fundamental[w, asset_out])


# Facade


class OutsideMarket(Venue):
    """The outside world as a trader meets it; it makes world.market_price.

    Verb: SWAP (asset in, asset_2 out, amount in, limit = least amount out).

    Parameters
    ----------
    **terms
        Fields of `OutsideParams`.
    """

    on_chain: ClassVar[bool] = False
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        SWAP: ("amount_in", "amount_out", "slippage_usd")
    }

    def __init__(self, **terms: Any) -> None:
        self.params = OutsideParams(**terms)

    def bind(self, world: "World") -> None:
        """Resolve the assets and write the first mid prices."""
        params, assets = self.params, world.assets
        volume = per_asset(f"{self.name}.daily_volume", assets, params.daily_volume)
        sigma = per_asset(f"{self.name}.daily_volatility", assets, params.daily_volatility)
        spread = per_asset(f"{self.name}.half_spread_bps", assets, params.half_spread_bps)
        self.arena = Arena(world.n_worlds, {"books": (len(assets), len(BOOK.names or ()))})
        self.all_worlds: I64 = np.arange(world.n_worlds)
        half_life = params.resilience_half_life
        self.state = OutsideState(
            books=self.arena["books"].view(BOOK)[:, :, 0],
            scale=params.impact * sigma,
            volume=volume,
            half_spread=spread / 1e4,
            decay=0.5 ** (world.block_seconds / half_life) if half_life > 0.0 else 0.0,
            exponent=float(params.exponent),
            largest=float(params.largest_displacement),
            feedback=bool(params.feedback),
        )
        if params.feedback:
            self.state.books["kappa"] = params.permanent * sigma / volume * world.fundamental
        self.publish()
        self.arena.keep_as_initial()

    def publish(self, decay: float = 1.0, worlds: I64 | None = None) -> None:
        """Write world.market_price from the fundamental, the depth and the state."""
        world = self.world
        refresh(
            self.state,
            world.fundamental,
            world.inputs["depth"],
            float(decay),
            self.all_worlds if worlds is None else worlds,
            world.market_price,
        )

    def accrue(self) -> None:
        """Let the imbalance decay over one block and write world.market_price."""
        self.publish(self.state.decay)

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows; see the class for the verb."""
        world, ledger = self.world, self.world.ledger
        execute(
            self.state,
            ledger.balances,
            ledger.minted,
            ledger.burnt,
            world.fundamental,
            world.market_price,
            rows,
            order,
            starts,
            ends,
        )

    def quotes(self) -> OutsideState:
        """Quotes as the market stands; see `sim.quotes`."""
        return self.state

    def reference_prices(self) -> F64:
        """Prices that the quotes stand on."""
        return self.world.fundamental

    def claims(self) -> F64:
        """Zeros: what is handed in leaves the system, what is paid out enters it."""
        return np.zeros((self.world.n_worlds, len(self.world.assets)))

    def rollback(self, worlds: I64) -> None:
        """Undo everything since the last checkpoint in the listed worlds, the mids included."""
        super().rollback(worlds)
        self.publish(worlds=worlds)
