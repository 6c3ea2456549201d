"""Maker vaults of one collateral type with Flip or Clip auctions, many worlds at once.

What it models: vaults (`vault`) with a liquidation ratio, stability fee, debt ceiling and dust;
English (`flip`) or Dutch (`clip`) auctions, whose bids are rows that need block space like any
other; the system's surplus and debt, with the queue (`vow`) in which seized debt waits before
surplus may cancel it, and the bad debt that auctions leave. Prices are the world's oracle: choose
the delayed one for Maker's security module.

What it leaves out: other collateral types, the savings rate, auctions of surplus and of debt for
MKR (flap, flop: there is no market of MKR here, none is bought or minted; `auctionable_surplus` and
`auctionable_debt` say what could be put up), emergency shutdown, the oracle's governance.

Invariants, per world: custody of collateral = what vaults lock + lots of live auctions; custody of
stable tokens = surplus; stable tokens of vault debt are minted and burnt with it; the system's debt
(`sin`) rises by what is seized and by incentives, and falls by healing alone, which never touches
what is queued and takes as much surplus out of custody; bad debt is booked only where an auction
ends with less than the debt behind it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, i64, kernel
from sim.lending.loans import Loans, LoanVenue, Unsettled
from sim.lending.maker.clip import bark, clip_status, redo, take
from sim.lending.maker.flip import bid, bite, deal, tick
from sim.lending.maker.params import FLIP, MakerParams
from sim.lending.maker.state import MakerState, Money, new_state
from sim.lending.maker.vault import (
    TIE,
    accrue,
    auction_number,
    draw,
    find_auction,
    free,
    is_unsafe,
    lock,
    wipe,
)
from sim.lending.maker.vow import heal
from sim.lending.maker.worth import fill_vaults, sum_auctions
from sim.lending.vaults import VaultBook

if TYPE_CHECKING:
    from sim.world import World

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_ASSET = int(Reject.BAD_ASSET)
BAD_TARGET = int(Reject.BAD_TARGET)
BAD_PRICE = int(Reject.BAD_PRICE)
SUPPLY = int(Verb.SUPPLY)
WITHDRAW = int(Verb.WITHDRAW)
BORROW = int(Verb.BORROW)
REPAY = int(Verb.REPAY)
LIQUIDATE = int(Verb.LIQUIDATE)
BID = int(Verb.BID)
TAKE = int(Verb.TAKE)
REDO = int(Verb.REDO)
DEAL = int(Verb.DEAL)
YEAR = 31_536_000.0  # seconds


# Kernels


@kernel
def on_vault(state: MakerState, money: Money, w: int, row: np.void, price: float) -> int:
    """Execute a verb on a vault; result: tokens moved."""
    verb, p, account = i64(row["verb"]), i64(row["target"]), i64(row["account"])
    amount, limit = float(row["amount"]), float(row["limit"])
    side = 0 if verb in (SUPPLY, WITHDRAW) else 1
    if not 0 <= p < state.owner.shape[0]:
        return BAD_TARGET
    if row["asset"] != state.assets[side]:
        return BAD_ASSET
    if not amount > 0.0:
        return BAD_AMOUNT
    if not price > 0.0 and verb in (WITHDRAW, BORROW):
        return BAD_PRICE
    spot = price / state.system[w]["liquidation_ratio"]
    if verb == SUPPLY:
        code, moved = lock(state, money, w, p, account, amount, limit)
    elif verb == WITHDRAW:
        code, moved = free(state, money, w, p, account, amount, limit, spot)
    elif verb == BORROW:
        code, moved = draw(state, money, w, p, account, amount, limit, spot)
    else:
        code, moved = wipe(state, money, w, p, account, amount, limit)
    row["r0"] = moved
    return code


@kernel
def liquidate(
    state: MakerState, money: Money, w: int, row: np.void, price: float, now: float, flip: bool
) -> int:
    """Start an auction of a vault; results: number, lot, tab, due."""
    p = i64(row["target"])
    if not 0 <= p < state.owner.shape[0]:
        return BAD_TARGET
    if not price > 0.0:
        return BAD_PRICE
    if flip:
        code, number, lot, tab, due = bite(state, w, p, now, price)
    else:
        code, number, lot, tab, due = bark(
            state, money, w, p, i64(row["account"]), now, price
        )  # fmt: skip
    row["r0"], row["r1"], row["r2"], row["r3"] = number, lot, tab, due
    return code


@kernel
def on_flip(state: MakerState, money: Money, w: int, row: np.void, now: float) -> int:
    """Execute BID, REDO or DEAL on an English auction."""
    verb, account = i64(row["verb"]), i64(row["account"])
    slot = find_auction(state, w, i64(row["target"]))
    if slot < 0:
        return BAD_TARGET
    if verb == REDO:
        row["r0"] = state.auctions[w, slot]["lot"]
        return tick(state, w, slot, now)
    if verb == DEAL:
        code, lot, paid, winner, bad = deal(state, money, w, slot, now)
        row["r0"], row["r1"], row["r2"], row["r3"] = lot, paid, winner, bad
        return code
    amount, limit = float(row["amount"]), float(row["limit"])
    if not (amount >= 0.0 and limit >= 0.0):
        return BAD_AMOUNT
    code, paid, lot, back = bid(state, money, w, slot, account, now, amount, limit)
    row["r0"], row["r1"], row["r2"] = paid, lot, back
    return code


@kernel
def on_clip(state: MakerState, money: Money, w: int, row: np.void, price: float, now: float) -> int:
    """Execute TAKE or REDO on a Dutch auction."""
    verb, account = i64(row["verb"]), i64(row["account"])
    slot = find_auction(state, w, i64(row["target"]))
    if slot < 0:
        return BAD_TARGET
    if verb == REDO:
        if not price > 0.0:
            return BAD_PRICE
        code, top, coin = redo(state, money, w, slot, account, now, price)
        row["r0"], row["r1"] = top, coin
        return code
    amount, limit = float(row["amount"]), float(row["limit"])
    if not amount > 0.0:
        return BAD_AMOUNT
    most = np.inf if limit == 0.0 else limit
    code, sold, paid, back, bad = take(state, money, w, slot, account, now, amount, most)
    row["r0"], row["r1"], row["r2"], row["r3"] = sold, paid, back, bad
    return code


@kernel
def execute(
    state: MakerState, money: Money, prices: F64, rows: Rows, order: I64, starts: I64, ends: I64,
    now: float, flip: bool,
) -> None:  # fmt: skip
    """Execute each world's rows in order; a rejected row has no results."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            row = rows[order[j]]
            verb, price = i64(row["verb"]), float(prices[w, state.assets[0]])
            if SUPPLY <= verb <= REPAY:
                code = on_vault(state, money, w, row, price)
            elif verb == LIQUIDATE:
                code = liquidate(state, money, w, row, price, now, flip)
            elif flip and (verb in (BID, REDO, DEAL)):
                code = on_flip(state, money, w, row, now)
            elif not flip and (verb in (TAKE, REDO)):
                code = on_clip(state, money, w, row, price, now)
            else:
                code = UNKNOWN_VERB
            if code != OK:
                row["r0"], row["r1"], row["r2"], row["r3"] = 0.0, 0.0, 0.0, 0.0
            row["code"] = code


@kernel
def list_unsafe(state: MakerState, prices: F64, ids: I64, starts: I64) -> None:
    """List unsafe vaults, world by world, ascending; `ids` has room for all vaults."""
    n = 0
    for w in range(state.urns.shape[0]):
        starts[w] = n
        system = state.system[w]
        spot = prices[w, state.assets[0]] / system["liquidation_ratio"]
        rate = system["rate"]
        for p in range(state.urns.shape[1]):
            urn = state.urns[w, p]
            if is_unsafe(urn["ink"], urn["art"] * rate, spot):
                ids[n] = p
                n += 1
    starts[state.urns.shape[0]] = n


@kernel
def list_auctions(
    state: MakerState, now: float, flip: bool, numbers: I64, prices: F64, starts: I64
) -> None:
    """List live auctions, world by world: numbers, and Clip prices (nan: to be restarted)."""
    n = 0
    for w in range(state.system.shape[0]):
        starts[w] = n
        for place in range(int(state.system[w]["n_live"])):
            slot = int(state.slots[w, place])
            numbers[n] = int(auction_number(state, w, slot))
            if not flip:
                stale, price = clip_status(state, w, slot, now)
                prices[n] = np.nan if stale else price
            n += 1
    starts[state.system.shape[0]] = n


# Facade


class MakerMarket(LoanVenue):
    """Vaults of one collateral type and their auctions.

    Verbs on a vault (`target` its index): SUPPLY, WITHDRAW (asset the collateral), BORROW, REPAY
    (asset the stable token); LIQUIDATE starts an auction of an unsafe vault and names it. Verbs on
    an auction (`target` its number): BID (Flip; amount the bid, limit the lot asked for, 0 the
    whole), TAKE (Clip; amount of collateral, inf all; limit the highest price, 0 any), REDO
    (restart), DEAL (Flip; hand over to the winner).

    Parameters
    ----------
    **terms
        Fields of `MakerParams`.
    """

    params: MakerParams
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        SUPPLY: ("supplied",),
        WITHDRAW: ("withdrawn",),
        BORROW: ("borrowed",),
        REPAY: ("repaid",),
        LIQUIDATE: ("auction", "lot", "tab", "due"),
        BID: ("bid", "lot", "returned"),
        TAKE: ("collateral_bought", "paid", "returned", "bad_debt"),
        REDO: ("top", "reward"),
        DEAL: ("lot", "paid", "winner", "bad_debt"),
    }

    def __init__(self, **terms: Any) -> None:
        self.params = MakerParams(**terms)
        self._book = VaultBook()

    @property
    def n_positions(self) -> int:
        """Number of vaults, the same in all worlds."""
        return self._book.n

    def add_positions(self, account: int | str, collateral: F64, debt: F64) -> range:
        """Add vaults of one owner to the initial book, whole tokens per asset of the world.

        Only the collateral and the stable asset may have amounts; see `VaultBook.add`.
        """
        return self._book.add(account, collateral, debt)

    def pair(self) -> tuple[str, str]:
        """Collateral and stable token."""
        return self.params.collateral, self.params.stable

    def liquidation_ltv(self, asset: str) -> float:
        """One over the liquidation ratio."""
        return 1.0 / self.params.liquidation_ratio if asset == self.params.collateral else 0.0

    def params_at(self, asset: str, ltv: float) -> MakerParams:
        """Terms with another liquidation ratio."""
        del asset
        return replace(self.params, liquidation_ratio=1.0 / ltv)

    def bind(self, world: "World") -> None:
        """Resolve the assets, fill the vaults and endow custody."""
        params = self.params
        gem, stable = world.asset_index(params.collateral), world.asset_index(params.stable)
        owner, ink, debt = self._book.resolve(self.name, world, gem, stable)
        small = np.flatnonzero((debt > 0.0) & (debt < params.dust))
        if small.size:
            raise ConfigError(
                f"{self.name}: vault {small[0]} owes {debt[small[0]]:.10g} {params.stable}, less "
                f"than dust ({params.dust:g}); raise its debt or lower dust"
            )
        self.arena, self.state = new_state(
            world.n_worlds, owner, params, np.array([gem, stable], np.int64), int(self.account)
        )
        state, ledger = self.state, world.ledger
        self.money = Money(ledger.balances, ledger.minted, ledger.burnt)
        state.urns["ink"], state.urns["art"] = ink, debt
        state.system["total_art"], state.system["surplus"] = debt.sum(), params.surplus
        ledger.endow(self.account, gem, ink.sum())
        ledger.endow(self.account, stable, params.surplus)
        n = world.n_worlds
        self._ids: I64 = np.zeros(n * self.n_positions, np.int64)
        self._starts: I64 = np.zeros(n + 1, np.int64)
        self._numbers: I64 = np.zeros(n * params.max_auctions, np.int64)
        self._prices: F64 = np.zeros(n * params.max_auctions)
        self.arena.keep_as_initial()

    @property
    def now(self) -> float:
        """Seconds since the run began, plus one year: 0 means never in an auction's record."""
        return YEAR + self.world.step * self.world.block_seconds

    @property
    def flip(self) -> bool:
        """Whether auctions are English."""
        return self.params.auction == FLIP

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows at the oracle's present prices."""
        execute(
            self.state, self.money, self.world.oracle_price, rows, order, starts, ends, self.now,
            self.flip,
        )  # fmt: skip

    def accrue(self) -> None:
        """Charge a block's stability fee."""
        fee = self.state.system["stability_fee"]
        accrue(self.state, self.money, (1.0 + fee) ** (self.world.block_seconds / YEAR))

    def settle(self) -> None:
        """Release debt that is due from the queue and cancel surplus against what has left it."""
        heal(self.state, self.money, self.now)

    # -- views ------------------------------------------------------------------------------------

    def unsafe(self) -> tuple[I64, I64]:
        """Vaults that may be liquidated: ids, and starts (W + 1,); valid until the next call."""
        list_unsafe(self.state, self.world.oracle_price, self._ids, self._starts)
        return self._ids[: self._starts[-1]], self._starts

    def auctions(self) -> tuple[I64, F64, I64]:
        """Live auctions: numbers, Clip prices (nan where stale; Flip has none), starts (W + 1,).

        Valid until the next call; the records are `state.auctions[w, number % max_auctions]`.
        """
        starts: I64 = np.zeros(self.world.n_worlds + 1, np.int64)
        list_auctions(self.state, self.now, self.flip, self._numbers, self._prices, starts)
        n = int(starts[-1])
        return self._numbers[:n], self._prices[:n], starts

    def health_factors(self) -> F64:
        """Collateral worth over debt times the liquidation ratio; inf without debt, (W, N)."""
        urns, system = self.state.urns, self.state.system
        spot = self.world.oracle_price[:, self.state.assets[0]] / system["liquidation_ratio"]
        debt = urns["art"] * system["rate"][:, None]
        out = np.full(debt.shape, np.inf)
        return np.asarray(np.divide(urns["ink"] * spot[:, None], debt, out=out, where=debt > 0.0))

    def borrowed(self) -> F64:
        """Debt of all vaults, stable tokens, shape (world,)."""
        return np.asarray(self.state.system["total_art"] * self.state.system["rate"])

    def backlog(self) -> tuple[F64, F64]:
        """Debt of the unsafe vaults, and the part that no collateral covers at market prices.

        Returns
        -------
        debt, shortfall : array (world,)
            Stable tokens; a vault in an auction is in neither.
        """
        unsafe = self.health_factors() < 1.0 - 1e-12
        debt = self.state.urns["art"] * self.state.system["rate"][:, None] * unsafe
        worth = self.state.urns["ink"] * self.world.market_price[:, self.state.assets[0], None]
        return debt.sum(axis=1), np.maximum(debt - worth * unsafe, 0.0).sum(axis=1)

    def bad_debt_usd(self) -> F64:
        """Debt that finished auctions did not bring in, so far, shape (world,)."""
        return np.asarray(self.state.system["bad_debt"].copy())

    def loans(self, prices: F64) -> Loans:
        """Vaults, each with what live auctions of its collateral leave to the owner."""
        holds, owes = np.zeros((2, self.world.n_worlds, self.n_positions))
        fill_vaults(self.state, prices, self.flip, holds, owes)
        return Loans(holds, owes)

    def _auction_sums(self, prices: F64, account: int = -1) -> F64:
        out: F64 = np.zeros((5, self.world.n_worlds))
        sum_auctions(self.state, prices, self.flip, account, out)
        return out

    def unsettled(self, prices: F64) -> Unsettled:
        """Live auctions."""
        debt, shortfall, _, _, number = self._auction_sums(prices)
        return Unsettled(number, debt, shortfall)

    def stakes_usd(self, account: int, prices: F64) -> F64:
        """Lots that an account's standing bids would win."""
        return np.asarray(self._auction_sums(prices, account)[3])

    def income_usd(self, prices: F64) -> F64:
        """Penalties that auctions brought in, or would at these prices, less incentives paid."""
        system, usd = self.state.system, prices[:, self.state.assets[1]]
        earned = (system["penalty_income"] - system["incentives"]) * usd
        return np.asarray(earned + self._auction_sums(prices)[2])

    def unbacked(self) -> F64:
        """Debt of the system beyond its surplus and what auctions may still bring, (world,)."""
        system = self.state.system
        return np.asarray(np.maximum(system["sin"] - system["due"] - system["surplus"], 0.0))

    def queued(self) -> F64:
        """Seized debt that surplus may not cancel yet, stable tokens, shape (world,)."""
        return np.asarray(self.state.system["queued"].copy())

    def auctionable_debt(self) -> F64:
        """Debt that debt auctions could put up now (`vow.flop`), stable tokens, shape (world,).

        Whole lots of `sump` of what has left the queue; 0 while there is any surplus, which must be
        used first (`settle` does that in every block). What was put up would not come back here:
        no auction for MKR takes place, so each call counts the same debt again.
        """
        system = self.state.system
        free = np.maximum(system["sin"] - system["queued"], 0.0)
        lots = np.floor((free + TIE * system["sin"]) / system["sump"])
        return np.asarray(np.where(system["surplus"] > 0.0, 0.0, lots * system["sump"]))

    def auctionable_surplus(self) -> F64:
        """Surplus that surplus auctions could put up now (`vow.flap`), stable tokens, (world,).

        Whole lots of `bump` of what exceeds all debt, queued or not, and the buffer `hump`; 0 while
        there is debt outside the queue, which must be cancelled first.
        """
        system = self.state.system
        room = system["surplus"] * (1.0 + TIE) - system["sin"] - system["hump"]
        lots = np.floor(np.maximum(room, 0.0) / system["bump"])
        return np.asarray(np.where(system["sin"] > system["queued"], 0.0, lots * system["bump"]))

    def claims(self) -> F64:
        """Collateral of vaults and auctions, and the system's surplus."""
        owed = np.zeros((self.world.n_worlds, len(self.world.assets)))
        lots = self.state.auctions["lot"].sum(axis=1)
        owed[:, self.state.assets[0]] = self.state.urns["ink"].sum(axis=1) + lots
        owed[:, self.state.assets[1]] = self.state.system["surplus"]
        return owed

    def claims_scale(self) -> F64:
        """Allow rounding of 1e-12 of all tokens: seized lots and healed debt leave that."""
        return np.maximum(np.abs(self.claims()), self.world.ledger.minted * 1e-3)
