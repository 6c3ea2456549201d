"""What lending markets of many positions share: the book, the state, and what others see of it.

A market has reserves (supply, debt, cash, indices, caps, thresholds), positions with collateral and
debt in any number of assets, and health as in `health`. Which positions are liquidatable is known
from an index; the calls on them are listed largest first. A mechanism adds its terms, its verbs,
its interest and its liquidations (`LendingMarket`).

Invariants, per world and asset:

- cash + debt + deficit + flash loans = supply + treasury + surplus, to rounding;
- supply and debt of a reserve are the sums over its positions.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.actions import BUNDLE_ROWS, Verb
from sim.errors import ConfigError
from sim.kernel import F64, I32, I64, Bool
from sim.lending.health import fill_health, fill_worth
from sim.lending.index import (
    LIST,
    MASK_ASSETS,
    MOVES,
    WATCHED,
    WEIGHT,
    LiquidationIndex,
    collect,
    refresh,
)
from sim.lending.loans import Loans, LoanVenue
from sim.lending.opportunities import (
    Opportunities,
    first_entries,
    new_table,
    sum_backlog,
    survey,
)
from sim.lending.params import RISK_TERMS, check_risk, check_values
from sim.lending.positions import Book, copy_book, save_positions, undo_positions
from sim.lending.state import (
    ASSET_TERMS,
    MARKET,
    MARKET_TERMS,
    RESERVE,
    PooledState,
    as_records,
    new_arena,
    new_positions,
)

if TYPE_CHECKING:
    from sim.world import World


class LendingMarket(LoanVenue):
    """What all lending markets share; a mechanism adds its terms and its verbs.

    A mechanism states its terms by `reserve_terms`, `market_terms` and, beyond the records that all
    share, `own_terms`; it executes rows and accrues by its own kernels, and says by `price_calls`
    what a liquidation pays where the rules are not those of `verbs`.
    """

    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        int(Verb.SUPPLY): ("supplied",),
        int(Verb.WITHDRAW): ("withdrawn",),
        int(Verb.BORROW): ("borrowed",),
        int(Verb.REPAY): ("repaid",),
        int(Verb.LIQUIDATE): ("debt_repaid", "collateral_seized", "protocol_fee", "bad_debt_usd"),
    }
    quoted: ClassVar[bool] = False  # whether liquidations follow the rules of `verbs`
    COLUMNS: ClassVar[dict[str, tuple[str, ...]]] = {}  # term -> columns of state, if not its own
    bounds: ClassVar[dict[str, tuple[float, float]]] = {}  # least and most of what `vary` takes

    def __init__(self) -> None:
        self._read_terms()
        self._book = Book()
        self._variations: list[tuple[str, str | None, F64]] = []
        self._bound = False

    def _read_terms(self) -> None:
        """Take the reserves' terms from the params."""
        self.terms = {
            asset: {field: float(value) for field, value in terms.items()}
            for asset, terms in self.reserve_terms().items()
        }

    # -- what a mechanism says -------------------------------------------------------------------

    @abstractmethod
    def reserve_terms(self) -> Mapping[str, Mapping[str, float]]:
        """Terms by asset: fields of RESERVE, and of the mechanism's own arrays per asset."""

    @abstractmethod
    def market_terms(self) -> Mapping[str, float]:
        """Terms of the whole market: fields of MARKET, and of the mechanism's own per world."""

    def own_fields(self, n_assets: int) -> dict[str, tuple[int, ...]]:
        """Further arrays of state, with their shapes without the world axis."""
        del n_assets
        return {}

    def modes(self, world: "World") -> F64:
        """Terms of the categories that positions may enter, shape (C, A, 4); none by default."""
        return np.zeros((0, len(world.assets), 4))

    @abstractmethod
    def refresh_rates(self) -> None:
        """Set all rates from the present state."""

    def price_calls(self, table: Opportunities) -> None:
        """Fill what calls cover and pay, where `quoted` is False."""

    # -- before bind ------------------------------------------------------------------------------

    def add_positions(self, account: int | str, collateral: F64, debt: F64) -> range:
        """Add positions of one owner to the initial book, the same in all worlds.

        Parameters
        ----------
        account : int or str
            Ledger account that owns them, pays and receives for them; index or name.
        collateral, debt : array (n, A)
            Whole tokens per asset of the world. A lender is a position without debt.

        Returns
        -------
        range
            Their position indices.
        """
        if self._bound:
            raise ConfigError("positions must be added before the market takes its seat in a world")
        return self._book.add(account, collateral, debt)

    def enrolled(self) -> tuple[F64, F64]:
        """Supply and debt of the positions added so far, whole tokens, shapes (A,)."""
        collateral = sum((part.sum(axis=0) for part in self._book.collateral), np.zeros(1))
        debt = sum((part.sum(axis=0) for part in self._book.debt), np.zeros(1))
        return collateral, debt

    def term(self, field: str, assets: Sequence[str]) -> F64:
        """One reserve term by asset, shape (A,); 0 for an asset without a reserve."""
        return np.array([self.terms.get(a, {}).get(field, 0.0) for a in assets], np.float64)

    def liquidation_ltv(self, asset: str) -> float:
        """Liquidation threshold of a collateral."""
        if asset not in self.terms:
            raise ConfigError(f"unknown asset {asset!r}; reserves: {', '.join(self.terms)}")
        return self.terms[asset].get("liquidation_threshold", 0.0)

    def set_liquidation_ltv(self, asset: str, ltv: float) -> None:
        """Take other terms of one collateral before the market is bound."""
        super().set_liquidation_ltv(asset, ltv)
        self._read_terms()

    def largest_bonus(self) -> float:
        """Largest bonus that a liquidator keeps, as a fraction of the debt repaid."""
        reserves = self.terms.values()
        return max(r["liquidation_bonus"] * (1.0 - r["protocol_fee"]) for r in reserves)

    def vary(self, field: str, asset: str | None, values: F64 | Sequence[float]) -> None:
        """Give each world its own value of a term, before or after the market is bound.

        Parameters
        ----------
        field : str
            A field of ReserveParams, or of PooledParams with `asset` None.
        asset : str or None
            Name of the reserve.
        values : array (W,)
            One value per world of this World object, in the order of `world_ids`.
        """
        values = np.asarray(values, np.float64)
        if self._bound:
            self._apply(field, asset, values, lasting=True)
        else:
            self._variations.append((field, asset, values))

    def set_term(self, field: str, asset: str | None, values: F64 | Sequence[float]) -> None:
        """Change a term while the worlds run, as governance does; `reset` takes it back.

        Parameters are those of `vary`.
        """
        self._apply(field, asset, np.asarray(values, np.float64), lasting=False)

    # -- seat in a world --------------------------------------------------------------------------

    def bind(self, world: "World") -> None:
        """Resolve names, allocate, fill the initial state and endow custody."""
        n_worlds, n_assets = world.n_worlds, len(world.assets)
        for asset in self.terms:
            world.asset_index(asset)
        self._collateral_book, self._debt_book = self._resolve_book(n_assets)
        n = self.n_positions
        self.arena = new_arena(n_worlds, n_assets, self.own_fields(n_assets))
        collateral, debt = new_positions(n_worlds, n, n_assets)
        self.state = PooledState(
            owner=self._owners(),
            collateral=collateral,
            debt=debt,
            reserves=as_records(self.arena["reserves"], RESERVE),
            market=as_records(self.arena["market"], MARKET),
            mode=np.zeros((n_worlds, n if len(self.modes(world)) else 0), np.int32),
            modes=self.modes(world),
        )
        self._allocate_index(n_worlds, n, n_assets)
        self._saved_ids: I64 = np.full((n_worlds, BUNDLE_ROWS), -1)
        self._saved_modes: I64 = np.zeros((n_worlds, BUNDLE_ROWS), np.int64)
        self._saved_collateral: F64 = np.zeros((n_worlds, BUNDLE_ROWS, n_assets))
        self._saved_debt: F64 = np.zeros((n_worlds, BUNDLE_ROWS, n_assets))
        self._health: F64 = np.zeros((0, 0))
        self._fill_terms()
        self._endow()
        self._bound = True
        for variation in self._variations:
            self._apply(*variation, lasting=True)
        self.refresh_rates()
        self.arena.keep_as_initial()
        everywhere = np.arange(n_worlds)
        copy_book(self.state.collateral, self._collateral_book, everywhere)
        copy_book(self.state.debt, self._debt_book, everywhere)

    @property
    def n_positions(self) -> int:
        """Number of positions, the same in all worlds."""
        return self._book.n

    def _resolve_book(self, n_assets: int) -> tuple[F64, F64]:
        """Join the initial book into two arrays (N, A), checked against the world's assets."""
        empty = np.zeros((0, n_assets))
        for amounts in self._book.collateral:
            if amounts.shape[1] != n_assets:
                raise ConfigError(
                    f"{self.name}: positions must have one column for each of the world's "
                    f"{n_assets} assets ({', '.join(self.world.assets)}), got {amounts.shape[1]}"
                )
        collateral = np.concatenate([empty, *self._book.collateral])
        debt = np.concatenate([empty, *self._book.debt])
        for a, asset in enumerate(self.world.assets):
            if asset not in self.terms:
                wrong = np.flatnonzero((collateral[:, a] > 0.0) | (debt[:, a] > 0.0))
                if wrong.size:
                    raise ConfigError(
                        f"{self.name}: position {wrong[0]} has a balance in {asset}, which is no "
                        f"reserve of this market; reserves: {', '.join(self.terms)}"
                    )
        return np.ascontiguousarray(collateral), np.ascontiguousarray(debt)

    def _owners(self) -> I32:
        """Ledger account of each position."""
        accounts = self.world.ledger.accounts
        owner = np.zeros(self.n_positions, np.int32)
        start = 0
        for account, n in self._book.owners:
            if isinstance(account, str):
                if account not in accounts:
                    raise ConfigError(
                        f"{self.name}: positions belong to account {account!r}, which the ledger "
                        f"does not have; accounts: {', '.join(accounts)}"
                    )
                account = accounts.index(account)
            owner[start : start + n] = account
            start += n
        return owner

    def _allocate_index(self, n_worlds: int, n: int, n_assets: int) -> None:
        """Empty liquidation index with room for some watched positions, and growable outputs."""
        room = min(n, 64 + n // 4)  # untouched memory costs nothing
        self.index_state = LiquidationIndex(
            slot=np.full((n_worlds, n), -1, np.int32),
            watched=np.zeros((n_worlds, room), WATCHED),
            lists=np.zeros(n_worlds, LIST),
            weights=np.zeros((n_worlds, n_assets), WEIGHT),
            moves=np.zeros(1 << min(n_assets, MASK_ASSETS), MOVES),
        )
        self.index_state.lists["stale"] = 1
        self._starts: I64 = np.zeros(n_worlds + 1, np.int64)
        self._prices_seen: F64 = np.zeros((n_worlds, n_assets))
        self._step_seen = -1
        self._dirty = True
        self._collected = self._surveyed = False
        self._ids: I64 = np.zeros(256, np.int64)
        self._survey_ids: I64 = np.zeros(0, np.int64)
        self._usd: F64 = np.zeros(0)
        self._order: I64 = np.zeros(0, np.int64)
        self._floor: F64 = np.zeros(n_worlds)
        self._most = 0
        self._table = new_table(n_worlds, 256)

    def _fill_terms(self) -> None:
        """Copy the terms into every world."""
        reserves = self.state.reserves
        for name, value in self.market_terms().items():
            self._column(name)[:] = value
        reserves["optimal_utilisation"] = 1.0
        for asset, terms in self.terms.items():
            a = self.world.asset_index(asset)
            reserves["listed"][:, a] = 1.0
            for name, value in terms.items():
                self._column(name)[:, a] = value
        reserves["liquidity_index"] = 1.0
        reserves["borrow_index"] = 1.0

    def _column(self, name: str) -> F64:
        """One column of the state by its name, shape (world,) or (world, asset)."""
        if name in ASSET_TERMS:
            return np.asarray(self.state.reserves[name])
        if name in MARKET_TERMS:
            return np.asarray(self.state.market[name])
        return self.arena[name]

    def _endow(self) -> None:
        """Set reserve totals from the book and mint the cash that must be there."""
        supplied, owed = self._collateral_book.sum(axis=0), self._debt_book.sum(axis=0)
        for a, asset in enumerate(self.world.assets):
            if owed[a] > supplied[a]:
                raise ConfigError(
                    f"{self.name}: debt in reserve {asset} exceeds its supply ({owed[a]:.10g} > "
                    f"{supplied[a]:.10g} tokens); add lenders of {asset} or lower its debts"
                )
            self.state.reserves["total_collateral"][:, a] = supplied[a]
            self.state.reserves["total_debt"][:, a] = owed[a]
            self.world.ledger.endow(self.account, a, supplied[a] - owed[a])

    def _apply(self, field: str, asset: str | None, values: F64, lasting: bool) -> None:
        """Write a term into the present state, and into the initial one where it shall last."""
        values = check_values(field, values, self.world.n_worlds, self.bounds)
        columns = self.COLUMNS.get(field, (field,))
        if (asset is None) != (columns[0] in self.market_terms()):
            raise ConfigError(
                f"{field} is a term of the {'market' if asset else 'reserve'}: asset must be "
                f"{'None' if asset else 'the name of a reserve'}, got {asset!r}"
            )
        if asset is not None:
            a = self._reserve_index(asset)
            terms = self.state.reserves[:, a].copy()
            for column in set(columns) & set(RISK_TERMS):
                terms[column] = values
            for world in terms:
                check_risk(*(float(world[name]) for name in RISK_TERMS))
        present = self.arena.buffer
        for buffer in (present, self.arena.initial) if lasting else (present,):
            for column in columns:
                target = self._in_buffer(column, buffer)
                target[() if asset is None else (slice(None), a)] = values
        self._dirty = True

    def _in_buffer(self, column: str, buffer: F64) -> F64:
        """See one column of the arena, or of a copy of it."""
        views, records = self.arena.views, None
        if column in ASSET_TERMS:
            records, name = RESERVE, "reserves"
        elif column in MARKET_TERMS:
            records, name = MARKET, "market"
        else:
            name = column
        start = int(self.arena.offsets[list(views).index(name)])
        seen = buffer[start : start + views[name].size].reshape(views[name].shape)
        return seen if records is None else np.asarray(as_records(seen, records)[column])

    def _reserve_index(self, asset: str) -> int:
        """Index of an asset that has a reserve here."""
        if asset not in self.terms:
            raise ConfigError(
                f"{self.name}: {asset!r} is no reserve; reserves: {', '.join(self.terms)}"
            )
        return int(self.world.asset_index(asset))

    # -- the block --------------------------------------------------------------------------------

    def checkpoint(self, worlds: I64, targets: I64) -> None:
        """Remember the arena and the touched positions of the listed worlds."""
        self.arena.checkpoint(worlds)
        save_positions(
            self.state, worlds, targets, self._saved_ids, self._saved_modes,
            self._saved_collateral, self._saved_debt,
        )  # fmt: skip

    def rollback(self, worlds: I64) -> None:
        """Undo everything since the last checkpoint in the listed worlds."""
        self.arena.rollback(worlds)
        undo_positions(
            self.state,
            self.index_state,
            worlds,
            self._saved_ids,
            self._saved_modes,
            self._saved_collateral,
            self._saved_debt,
        )
        self._dirty = True

    def bundle_holds(self, worlds: I64) -> Bool:
        """Whether no flash loan is outstanding."""
        return np.asarray((self.state.reserves["flash"][worlds] == 0.0).all(axis=1))

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to their initial state."""
        self.arena.reset(mask)
        worlds = np.flatnonzero(mask)
        copy_book(self.state.collateral, self._collateral_book, worlds)
        copy_book(self.state.debt, self._debt_book, worlds)
        self.state.mode[worlds] = 0
        self._forget(worlds)

    def snapshot(self) -> Any:
        """Copy of the whole state."""
        state = self.state
        return self.arena.snapshot(), state.collateral.copy(), state.debt.copy(), state.mode.copy()

    def restore(self, snapshot: Any) -> None:
        """Take a snapshot back."""
        arena, collateral, debt, mode = snapshot
        self.arena.restore(arena)
        self.state.collateral[:] = collateral
        self.state.debt[:] = debt
        self.state.mode[:] = mode
        self._forget(np.arange(self.world.n_worlds))

    def _forget(self, worlds: I64) -> None:
        """Have the liquidation index of some worlds made anew."""
        self.index_state.lists["stale"][worlds] = 1
        self._dirty = True

    # -- what is seen -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Bring the watch lists up to the present prices, once a block and after changes."""
        prices = self.world.oracle_price
        if (
            not self._dirty
            and self._step_seen == self.world.step
            and np.array_equal(prices, self._prices_seen)
        ):
            return
        while room := refresh(self.index_state, self.state, prices):
            self._grow_watch(min(self.n_positions, room + room // 4))
        self._prices_seen[:] = prices
        self._step_seen = self.world.step
        self._dirty = self._collected = self._surveyed = False

    def liquidatable(self) -> tuple[I64, I64]:
        """Positions with a health factor below 1 at the oracle's present prices.

        Computed on demand, once per block and whenever prices or positions changed since.

        Returns
        -------
        ids, starts : array
            Those of world w are `ids[starts[w]:starts[w + 1]]`, ascending. Valid until the next
            call; copy what is kept.
        """
        self._look()
        if not self._collected:
            while room := collect(self.index_state, self.state, self._ids, self._starts):
                self._ids = np.zeros(2 * room, np.int64)
            self._collected = True
        return self._ids[: self._starts[-1]], self._starts

    def _grow_watch(self, room: int) -> None:
        """Make room for so many watched positions per world."""
        old = self.index_state.watched
        grown = np.zeros((old.shape[0], room), WATCHED)
        grown[:, : old.shape[1]] = old
        self.index_state = self.index_state._replace(watched=grown)

    def opportunities(self, floor: F64 | None = None, most: int = 1_000_000) -> Opportunities:
        """Best liquidation call on each liquidatable position, largest first; see Opportunities.

        Computed on demand, once per block and whenever prices or positions changed since. The
        arrays are valid until the next call.

        Parameters
        ----------
        floor : array (world,), optional
            USD: positions of which no call can cover so much are left out; 0 when not given.
        most : int
            Longest list per world: those with the largest debts.
        """
        self._look()
        floor = np.zeros(self.world.n_worlds) if floor is None else floor
        fresh = self._surveyed and self._most == most and np.array_equal(self._floor, floor)
        if not fresh:
            watched = self.index_state.watched.shape[1]
            if self._usd.shape[0] < watched:
                self._survey_ids = np.zeros(watched, np.int64)
                self._usd, self._order = np.zeros(watched), np.zeros(watched, np.int64)
            while room := survey(
                self.index_state, self.state, self.world.oracle_price, floor, most,
                self._survey_ids, self._usd, self._order, self._table, self.quoted,
            ):  # fmt: skip
                self._table = new_table(self.world.n_worlds, 2 * room)
            self._floor, self._most, self._surveyed = floor.copy(), most, True
        n = int(self._table.starts[-1])
        table = first_entries(self._table, n)
        if not fresh and not self.quoted:
            self.price_calls(table)
        return table

    def backlog(self) -> tuple[F64, F64]:
        """Debt of the liquidatable positions, and the part of it that no collateral covers.

        Returns
        -------
        debt, shortfall : array (world,)
            USD at market prices, which a late oracle may not have seen. The shortfall is bad debt
            that no liquidation has booked; positions that the oracle still takes for healthy are
            not in it.
        """
        self._look()
        debt, shortfall = np.zeros(self.world.n_worlds), np.zeros(self.world.n_worlds)
        sum_backlog(self.index_state, self.state, self.world.market_price, debt, shortfall)
        return debt, shortfall

    def liquidatable_debt(self) -> F64:
        """All debt of the liquidatable positions, USD at market prices, shape (world,)."""
        return self.backlog()[0]

    def health_factors(self) -> F64:
        """Health factors of all positions at the oracle's prices, shape (world, position).

        Valid until the next call.
        """
        shape = (self.world.n_worlds, self.n_positions)
        if self._health.shape != shape:
            self._health = np.zeros(shape)
        fill_health(self.state, self.world.oracle_price, self.index_state.weights, self._health)
        return self._health

    def supplier_interest(self) -> F64:
        """Interest that suppliers have earned so far, whole tokens, shape (world, asset)."""
        return np.asarray(self.state.reserves["supplier_interest"].copy())

    def protocol_income(self) -> F64:
        """Interest share, liquidation fees and flash premiums so far, tokens (world, asset)."""
        reserves = self.state.reserves
        return np.asarray(reserves["reserve_income"] + reserves["fee_income"])

    def bad_debt_usd(self) -> F64:
        """Debt written off so far, USD at the prices of booking, shape (world,)."""
        return np.asarray(self.state.market["bad_debt_usd"].copy())

    def income_usd(self, prices: F64) -> F64:
        """Fees of liquidations so far, and premiums of flash loans, USD, shape (world,)."""
        income: F64 = np.zeros(self.world.n_worlds)
        for a in range(len(self.world.assets)):
            income += self.state.reserves["fee_income"][:, a] * prices[:, a]
        return income

    def loans(self, prices: F64) -> Loans:
        """Supply and debt of all positions."""
        holds, owes = np.zeros((2, self.world.n_worlds, self.n_positions))
        fill_worth(self.state, prices, holds, owes)
        return Loans(holds, owes)

    def supplied(self) -> F64:
        """Tokens that positions and treasury have in each reserve, shape (world, asset)."""
        reserves = self.state.reserves
        scaled = reserves["total_collateral"] + reserves["treasury"]
        return np.asarray(scaled * reserves["liquidity_index"])

    def borrowed(self) -> F64:
        """Tokens that positions owe to each reserve, shape (world, asset)."""
        return np.asarray(self.state.reserves["total_debt"] * self.state.reserves["borrow_index"])

    def utilisation(self) -> F64:
        """Share of each reserve's liquidity that is lent out, shape (world, asset)."""
        borrowed = self.borrowed()
        cash = self.world.ledger.balances[:, self.account] + self.state.reserves["flash"]
        total = borrowed + cash
        return np.asarray(
            np.divide(borrowed, total, out=np.zeros_like(total), where=total > 0.0), np.float64
        )

    def claims(self) -> F64:
        """Supply, treasury and surplus, less debt, deficit and flash loans: what custody owes."""
        reserves = self.state.reserves
        owed = self.supplied() + reserves["surplus"]
        return np.asarray(owed - self.borrowed() - reserves["deficit"] - reserves["flash"])

    def claims_scale(self) -> F64:
        """All supply: nearly all of it may be lent out, and custody is what is left."""
        return self.supplied()
