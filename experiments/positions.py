"""A user's own positions: read a CSV or Parquet file into a loan book.

Recognised layouts, column names in any case:

* tidy: one row per account and asset. Account (`account`, `user`, `address`, `owner`, `borrower`,
  `wallet`, `position`), asset (`asset`, `symbol`, `token`, `reserve`, `coin`), and at least one of
  collateral (`collateral`, `supplied`, `deposited`, `supply`, `deposit`) and debt (`debt`,
  `borrowed`, `borrow`, `loan`), in whole tokens;
* wide: one row per account, columns `collateral_WETH` or `WETH_deposited`, `debt_USDC` or
  `USDC_borrowed` and so on with the words of the tidy layout, in whole tokens;
* stETH snapshots of Lido's liquidation model: account, `collateral` and `debt` in ETH in all,
  `collateral_steth_calc` in ETH, and either `eth_debt` (the rest is taken as USDC at `eth_price`)
  or `ethdebt` with raw stablecoin debts and `<coin>_decimals`. Collateral is STETH, and what is
  not stETH is taken as WETH.

Tidy and wide files may have a time column (`ts`, `date`, `time`, `timestamp`, `day`): the latest
rows of each account up to `until` count.

Files are only ever read. Every defect is one InputError.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from agents.populations.book import BookSource, LoanBook
from sim.errors import InputError
from sim.kernel import F64

if TYPE_CHECKING:
    from typing import TypedDict

    import pandas as pd

    class ReadOptions(TypedDict, total=False):
        """Keyword options of `load_positions`: the fields of `FileBook` but for the path."""

        rename: Mapping[str, str]
        until: str | None
        eth_price: float | None
        drop_unknown: bool
        drop_uncollateralised: bool
        blank_is_zero: bool
        negative_is_zero: bool


ACCOUNT = ("account", "user", "address", "owner", "borrower", "wallet", "user_address", "position")
ASSET = ("asset", "symbol", "token", "reserve", "coin")
COLLATERAL = ("collateral", "supplied", "deposited", "supply", "deposit")
DEBT = ("debt", "borrowed", "borrow", "loan")
TIME = ("ts", "date", "time", "timestamp", "day")
ALIASES = {"ETH": "WETH", "BTC": "WBTC"}
LAYOUTS = (
    "tidy (account, asset, collateral, debt), wide (account, collateral_<ASSET>, debt_<ASSET>) "
    "or a stETH snapshot (user, collateral, debt, collateral_steth_calc, eth_debt)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBook(BookSource):
    """A book read from a file; the market's assets are the ones that may occur in it."""

    path: str | Path  # CSV (also .csv.gz) or Parquet
    rename: Mapping[str, str] | None = None  # asset in the file -> asset of the market
    until: str | None = None  # last moment that counts, ISO date, UTC; None: all
    eth_price: float | None = None  # USD per ETH, for stETH snapshots that state debt in ETH
    drop_unknown: bool = False  # leave out assets that the market does not list
    drop_uncollateralised: bool = False  # leave out positions with debt and no collateral
    blank_is_zero: bool = False  # an empty cell means no balance
    negative_is_zero: bool = False  # a balance below zero means no balance (netted flows)

    def __post_init__(self) -> None:
        if not str(self.path or "").strip():
            raise InputError("positions must name a CSV or Parquet file, got nothing")
        if self.eth_price is not None and not (isfinite(self.eth_price) and self.eth_price > 0.0):
            raise InputError(f"eth_price must be positive USD per ETH, got {self.eth_price}")

    def draw(self, assets: Sequence[str], prices: F64, thresholds: F64, ltv: F64) -> LoanBook:
        """Read the file; prices and terms do not matter."""
        del prices, thresholds, ltv
        return self.read(assets)

    def read(self, assets: Sequence[str]) -> LoanBook:
        """Read the file into a book with these assets as its columns.

        Positions come in the order in which their accounts first occur; accounts without any
        balance are left out.
        """
        frame = _read_frame(Path(self.path))
        return _Reading(self, tuple(assets), Path(self.path).name).book(frame)


def load_positions(
    path: str | Path, assets: Sequence[str], **options: Unpack["ReadOptions"]
) -> LoanBook:
    """Read positions from a CSV or Parquet file; options are the fields of `FileBook`."""
    return FileBook(path=path, **options).read(assets)


def book_from_file(path: str | Path, **options: Unpack["ReadOptions"]) -> FileBook:
    """Make the book source that YAML names."""
    return FileBook(path=path, **options)


def _read_frame(path: Path) -> "pd.DataFrame":
    import warnings

    import pandas as pd

    if not path.is_file():
        raise InputError(f"positions file {path} does not exist; give the path of a CSV or Parquet")
    if path.stat().st_size == 0:
        raise InputError(f"positions file {path} is empty; expected a header and positions")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if suffixes and suffixes[-1] in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        elif suffixes and (suffixes[-1] == ".csv" or suffixes[-2:] == [".csv", ".gz"]):
            with warnings.catch_warnings():
                # A row with more fields than the header would lose some, with a mere warning.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
        else:
            raise InputError(
                f"positions file {path} must end in .csv, .csv.gz or .parquet; rename or convert it"
            )
    except InputError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"positions file {path} cannot be read ({reason}); it may be truncated: write it again"
        ) from error
    if frame.shape[0] == 0:
        raise InputError(f"positions file {path} has a header and no rows; expected positions")
    frame.columns = [str(column).strip() for column in frame.columns]
    return frame.reset_index(drop=True)


class _Reading:
    """One pass over one file: its options, the market's assets and the file's name for errors."""

    def __init__(self, options: FileBook, assets: tuple[str, ...], name: str) -> None:
        self.options = options
        self.assets = assets
        self.name = name
        self.rename = {key.lower(): value for key, value in (options.rename or {}).items()}
        for value in self.rename.values():
            if value not in assets:
                raise InputError(
                    f"rename: unknown asset {value}; this market knows {', '.join(assets)}"
                )

    def book(self, frame: "pd.DataFrame") -> LoanBook:
        columns = _lower(frame, self.name)
        account = self._column(columns, ACCOUNT)
        asset = self._column(columns, ASSET)
        wide = self._wide_columns(columns)
        if account is not None:
            self._accounts(frame, account)
            frame = self._latest(frame, columns, account)
            if asset is not None and self._amounts(columns):
                return self._tidy(frame, account, asset, self._amounts(columns))
            if "collateral_steth_calc" in columns:
                return self._steth(frame, columns, account)
            if wide:
                return self._wide(frame, account, wide)
        raise InputError(
            f"{self.name}: no recognised layout, found the columns {', '.join(frame.columns[:12])}"
            f"{', ...' if frame.shape[1] > 12 else ''}; expected {LAYOUTS}"
        )

    @staticmethod
    def _column(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
        return next((columns[name] for name in names if name in columns), None)

    def _amounts(self, columns: Mapping[str, str]) -> dict[str, str]:
        """Columns of the tidy layout, by side."""
        found = {
            "collateral": self._column(columns, COLLATERAL),
            "debt": self._column(columns, DEBT),
        }
        return {side: column for side, column in found.items() if column is not None}

    @staticmethod
    def _wide_columns(columns: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """(column, side, asset) of each column such as debt_USDC or USDC_borrowed."""
        found = []
        for lower, column in columns.items():
            head, _, rest = lower.partition("_")
            front, _, tail = lower.rpartition("_")
            for side, words in (("collateral", COLLATERAL), ("debt", DEBT)):
                if head in words and rest:
                    found.append((column, side, column[len(head) + 1 :]))
                elif tail in words and front:
                    found.append((column, side, column[: -len(tail) - 1]))
        return found

    def _latest(
        self, frame: "pd.DataFrame", columns: Mapping[str, str], account: str
    ) -> "pd.DataFrame":
        """Rows of each account's last moment up to `until`; all rows where there is no time."""
        import pandas as pd

        column = self._column(columns, TIME)
        if column is None:
            if self.options.until is not None:
                raise InputError(
                    f"{self.name}: until needs a time column ({', '.join(TIME)}) and there is none"
                )
            return frame
        try:
            times = pd.to_datetime(frame[column], utc=True)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(
                f"{self.name}: column {column} must hold dates, which it does not in every row"
            ) from error
        if times.isna().any():
            row = int(np.argmax(times.isna().to_numpy()))
            raise InputError(f"{self.name}: row {row + 1} has no time in column {column}")
        if self.options.until is not None:
            try:
                until = pd.to_datetime(self.options.until, utc=True)
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"until must be an ISO date such as 2021-05-19, got {self.options.until}"
                ) from error
            kept = times <= until
            if not kept.any():
                raise InputError(
                    f"{self.name}: no rows up to {self.options.until}, the first is of "
                    f"{times.min():%Y-%m-%d}; choose a later date"
                )
            frame, times = frame[kept], times[kept]
        last = times.groupby(frame[account]).transform("max")
        return frame[times == last].reset_index(drop=True)

    def _tidy(
        self, frame: "pd.DataFrame", account: str, asset: str, amounts: Mapping[str, str]
    ) -> LoanBook:
        accounts = self._accounts(frame, account)
        names = frame[asset].astype(str).str.strip()
        again = np.asarray(frame.assign(_a=accounts, _s=names.str.lower()).duplicated(["_a", "_s"]))
        if again.any():
            row = int(np.argmax(again))
            raise InputError(
                f"{self.name}: account {accounts[row]} has more than one row for {names[row]}; "
                "add them up or keep one"
            )
        ids, rows = _first_seen(accounts)
        sides = {side: np.zeros((len(ids), len(self.assets))) for side in ("collateral", "debt")}
        known = {name: self._asset(name) for name in names.unique()}
        place = np.array([-1 if known[name] is None else known[name] for name in names], np.int64)
        for side, column in amounts.items():
            values = self._numbers(frame[column], column, accounts)
            self._reject_unknown(names.to_numpy(), place, values)
            listed = place >= 0
            np.add.at(sides[side], (rows[listed], place[listed]), values[listed])
        return self._finish(ids, sides)

    def _wide(
        self, frame: "pd.DataFrame", account: str, wide: Sequence[tuple[str, str, str]]
    ) -> LoanBook:
        ids = self._one_row_each(frame, account)
        sides = {side: np.zeros((len(ids), len(self.assets))) for side in ("collateral", "debt")}
        for column, side, name in wide:
            place = self._asset(name)
            values = self._numbers(frame[column], column, ids)
            if place is None:
                self._reject_unknown(np.array([name]), np.array([-1]), values.max(keepdims=True))
            else:
                sides[side][:, place] += values
        return self._finish(ids, sides)

    def _steth(self, frame: "pd.DataFrame", columns: Mapping[str, str], account: str) -> LoanBook:
        ids = self._one_row_each(frame, account)
        sides = {side: np.zeros((len(ids), len(self.assets))) for side in ("collateral", "debt")}

        def numbers(column: str) -> F64:
            if column not in columns:
                raise InputError(
                    f"{self.name}: a stETH snapshot needs the column {column}; expected {LAYOUTS}"
                )
            return self._numbers(frame[columns[column]], column, ids)

        def put(side: str, name: str, values: F64) -> None:
            place = self._asset(name)
            if place is None:
                self._reject_unknown(np.array([name]), np.array([-1]), values.max(keepdims=True))
            else:
                sides[side][:, place] += values

        steth = np.minimum(numbers("collateral_steth_calc"), numbers("collateral"))
        put("collateral", "STETH", steth)
        put("collateral", "WETH", numbers("collateral") - steth)
        coins = [name[: -len("_decimals")] for name in columns if name.endswith("_decimals")]
        if coins:
            put("debt", "WETH", np.minimum(numbers("ethdebt"), numbers("debt")))
            for coin in coins:
                put("debt", coin.upper(), numbers(coin) / 10.0 ** numbers(f"{coin}_decimals"))
        else:
            eth = np.minimum(numbers("eth_debt"), numbers("debt"))
            put("debt", "WETH", eth)
            rest = np.where(
                numbers("debt") - eth > 1e-9 * numbers("debt"), numbers("debt") - eth, 0
            )
            if rest.any() and self.options.eth_price is None:
                raise InputError(
                    f"{self.name}: stablecoin debts are stated in ETH; give eth_price, USD per ETH "
                    "at the time of the snapshot"
                )
            put("debt", "USDC", np.asarray(rest * (self.options.eth_price or 0.0)))
        return self._finish(ids, sides)

    def _asset(self, name: str) -> int | None:
        """Column of an asset of the file, by `rename`, by name, by alias; None where unknown."""
        lower = {asset.lower(): a for a, asset in enumerate(self.assets)}
        if name.lower() in self.rename:
            return self.assets.index(self.rename[name.lower()])
        if name.lower() in lower:
            return lower[name.lower()]
        return lower.get(ALIASES.get(name.upper(), "").lower())

    def _reject_unknown(self, names: Any, place: Any, values: F64) -> None:
        bad = (place < 0) & (values > 0.0)
        if bad.any() and not self.options.drop_unknown:
            name = names[int(np.argmax(bad))]
            raise InputError(
                f"{self.name}: unknown asset {name}; this market knows {', '.join(self.assets)}: "
                "map it by rename or set drop_unknown"
            )

    def _accounts(self, frame: "pd.DataFrame", account: str) -> Any:
        blank = frame[account].isna() | (frame[account].astype(str).str.strip() == "")
        if blank.any():
            row = int(np.argmax(blank.to_numpy()))
            raise InputError(f"{self.name}: row {row + 1} has no {account}; name the account")
        return frame[account].astype(str).str.strip().to_numpy(str)

    def _one_row_each(self, frame: "pd.DataFrame", account: str) -> Any:
        accounts = self._accounts(frame, account)
        ids, first, counts = np.unique(accounts, return_index=True, return_counts=True)
        if ids.shape[0] < accounts.shape[0]:
            twice = accounts[int(first[counts > 1].min())]
            raise InputError(
                f"{self.name}: account {twice} has more than one row; keep one row per account, or "
                f"add a time column ({', '.join(TIME)}) so that the latest counts"
            )
        return accounts

    def _numbers(self, column: "pd.Series[Any]", name: str, accounts: Any) -> F64:
        """Read a column as finite numbers of zero or more."""
        import pandas as pd

        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        blank = (column.isna() | (column.astype(str).str.strip() == "")).to_numpy()
        if self.options.blank_is_zero:
            values = np.where(blank, 0.0, values)
        if self.options.negative_is_zero:
            values = np.where(values < 0.0, 0.0, values)
        bad = ~(np.isfinite(values) & (values >= 0.0))
        if bad.any():
            i = int(np.argmax(bad))
            came = "nothing (empty or NaN)" if blank[i] else str(column.iloc[i])
            remedy = "correct it"
            if blank[i]:
                remedy = "fill it in, or set blank_is_zero if it means no balance"
            elif values[i] < 0.0:
                remedy = "correct it, or set negative_is_zero if it means no balance"
            raise InputError(
                f"{self.name}: {name} of account {accounts[i]} must be a finite number of zero or "
                f"more, got {came}; {remedy}"
            )
        return np.asarray(values)

    def _finish(self, ids: Any, sides: Mapping[str, F64]) -> LoanBook:
        collateral, debt = sides["collateral"], sides["debt"]
        backed, owing = collateral.any(axis=1), debt.any(axis=1)
        kept = backed | owing
        if self.options.drop_uncollateralised:
            kept = backed
        if not kept.any():
            raise InputError(
                f"{self.name}: no account has a balance in {', '.join(self.assets)}; "
                "check the file and the market's assets"
            )
        try:
            return LoanBook(self.assets, collateral[kept], debt[kept], ids[kept])
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None


def _lower(frame: "pd.DataFrame", name: str) -> dict[str, str]:
    """Columns by lower-case name."""
    columns: dict[str, str] = {}
    for column in frame.columns:
        if column.lower() in columns:
            raise InputError(f"{name}: the column {column} occurs twice; keep one")
        columns[column.lower()] = column
    return columns


def _first_seen(accounts: Any) -> tuple[Any, Any]:
    """Distinct accounts in order of first occurrence, and each row's place among them."""
    ids, first, inverse = np.unique(accounts, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.shape[0])
    return ids[order], rank[inverse]
