"""Run a workload of a public benchmark through the book: `... conformance file=PATH`.

`python -m experiments.conformance file=PATH` reads a CSV or Parquet table with the columns

    type  0 new limit order, 1 cancel, 2 modify
    side  0 buy, 1 sell
    ioc   1: what cannot trade at once is cancelled
    qty   lots
    seq   number of the message, increasing
    oid   number of the order; free again once its order is gone
    px    ticks

and prints counts, and in its last line `sha256 HEX`, the digest of the reports that the book gives:

    0,seq,side,oid,px,qty                new order accepted
    1,seq,px,qty,maker_oid,taker_oid     trade, at the resting order's price
    2,seq,side,oid,px                    cancelled, or what was left of an immediate order
    3,seq,side,oid,px,qty                modify accepted
    4,seq,oid                            cancel of an order that does not rest
    5,seq,oid                            modify of an order that does not rest

one a line, ordered by seq, then type (so that a modify's trades stand before it), then as they
happened. A modify takes its order out and puts it, with a
new price and quantity, at the back of the queue of its old side; it may trade at once. Engines that
match by price and time agree on the text, so that one number compares them: flash1-dev/
matching-engine-benchmark on GitHub (160 of 247 engines surveyed there agree).

reports=PATH also writes the text itself.
"""

from __future__ import annotations  # types of kernels in annotations would load the compiler

import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.words import REQUIRED, wants_help, words
from sim.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from sim.kernel import I64, Bool, Rows

NEW, CANCEL, MODIFY = 0, 1, 2
ACCEPTED, TRADED, CANCELLED, MODIFIED, NO_CANCEL, NO_MODIFY = range(6)
COLUMNS = ("type", "side", "ioc", "qty", "seq", "oid", "px")
BATCH = 1 << 17  # messages between two signs of life
N_LEVELS = 1 << 16
LEAST_CAPACITY = 1 << 16
_FIELDS = {
    ACCEPTED: ("seq", "side", "oid", "px", "qty"),
    TRADED: ("seq", "px", "qty", "oid", "taker"),
    CANCELLED: ("seq", "side", "oid", "px"),
    MODIFIED: ("seq", "side", "oid", "px", "qty"),
    NO_CANCEL: ("seq", "oid"),
    NO_MODIFY: ("seq", "oid"),
}


class Workload:
    """A workload's columns as integers, and as messages of the book.

    Attributes
    ----------
    column : dict of array (message,)
        As in the file.
    messages : structured array (message,) of MESSAGE
        Ids and prices are shifted so that the least is 0 and 1.
    """

    def __init__(self, path: Path) -> None:
        from experiments.tables import read_table
        from sim.book.book import new_messages
        from sim.book.layout import MAX_PRICE, MAX_QUANTITY, OrderVerb, TimeInForce

        table = read_table(path)
        self.column = {name: _whole(table, name, path.name) for name in COLUMNS}
        kind, qty, px, oid = (self.column[name] for name in ("type", "qty", "px", "oid"))
        for name, most in (("type", 2), ("side", 1), ("ioc", 1)):
            held = self.column[name]
            _refuse(path.name, name, f"lie in 0 .. {most}", held, (held < 0) | (held > most))
        trades = kind != CANCEL
        bad = trades & ((qty < 1) | (qty > MAX_QUANTITY))
        _refuse(path.name, "qty", f"lie in 1 .. {MAX_QUANTITY}", qty, bad)
        seq = self.column["seq"]
        _refuse(path.name, "seq", "increase", seq, np.diff(seq, prepend=seq[:1] - 1) < 1)
        priced = px[trades]
        low, high = (int(priced.min()), int(priced.max())) if priced.size else (1, 1)
        if high - low >= MAX_PRICE:
            raise InputError(
                f"{path.name}: column px must span fewer than {MAX_PRICE} ticks, got {low} to "
                f"{high}; correct it"
            )
        self.messages = messages = new_messages(kind.shape[0])
        verbs = np.array([OrderVerb.LIMIT, OrderVerb.CANCEL, OrderVerb.REPLACE], np.int8)
        messages["verb"] = verbs[kind]
        messages["side"] = self.column["side"]
        messages["tif"] = self.column["ioc"] * TimeInForce.IMMEDIATE_OR_CANCEL
        messages["quantity"] = np.where(trades, qty, 0)
        messages["price"] = np.where(trades, px - low + 1, 0)
        self.lowest_id = int(oid.min()) if oid.size else 0
        messages["id"] = oid - self.lowest_id
        self.lowest_price = low
        self.name = path.name

    def __len__(self) -> int:
        return int(self.messages.shape[0])


def _whole(table: pd.DataFrame, name: str, file: str) -> I64:
    """Read a column of whole numbers."""
    import pandas as pd

    if name not in table.columns:
        raise InputError(
            f"{file} must have the columns {', '.join(COLUMNS)}, got no column {name}; add it"
        )
    numbers = pd.to_numeric(table[name], errors="coerce")
    if not pd.api.types.is_integer_dtype(numbers.dtype) or numbers.hasnans:
        exact = numbers.to_numpy(np.float64, na_value=np.nan)
        bad = ~np.isfinite(exact) | (np.floor(exact) != exact) | (np.abs(exact) > 2.0**53)
        _refuse(file, name, "hold whole numbers", table[name].to_numpy(), bad)
        return np.asarray(exact, np.int64)
    if len(numbers) and not -(2**62) <= int(numbers.min()) <= int(numbers.max()) < 2**62:
        raise InputError(f"{file}: column {name} must lie within 2^62; correct it")
    return np.asarray(numbers, np.int64)


def _refuse(file: str, name: str, rule: str, held: Any, bad: Bool) -> None:
    """Say where a column breaks a rule."""
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{file}: column {name} must {rule}, got {held[row]} in row {row + 1}; correct it"
        )


def trades_of(work: Workload, shown: bool = True) -> Rows:
    """Match a workload; write the messages' codes and return the tape.

    The book starts small, which is fast, and is made larger where the workload fills it.
    """
    from experiments.progress import Progress
    from sim.actions import Reject
    from sim.book.book import OrderBook

    capacity = LEAST_CAPACITY
    while True:
        book = OrderBook(capacity=capacity, n_levels=N_LEVELS, n_prints=2 * capacity)
        tapes, full = [], False
        with Progress(len(work), 0, shown, "messages") as progress:
            for start in range(0, len(work), BATCH):
                part = work.messages[start : start + BATCH]
                tape = book.submit(part)
                tape["message"] += start
                tapes.append(tape)
                full = bool((part["code"] == Reject.BOOK_FULL).any())
                if full:
                    break
                progress.advance(part.shape[0])
        if not full:
            break
        capacity *= 4
    twice = work.messages["code"] == Reject.DUPLICATE_ORDER
    _refuse(work.name, "oid", "name no resting order in a new one", work.column["oid"], twice)
    return np.concatenate(tapes) if tapes else book.prints()


def _last_accepted(work: Workload, accepted: Bool) -> I64:
    """Index of the message that last gave an order its price, for each message of its id."""
    ids = work.messages["id"]
    order = np.argsort(ids, kind="stable")
    place = np.where((accepted & (work.messages["verb"] != 5))[order], np.arange(len(work)), -1)
    before = np.empty_like(place)
    before[:1] = 0
    before[1:] = np.maximum.accumulate(place)[:-1]
    found = np.empty_like(order)
    found[order] = order[np.maximum(before, 0)]
    return found


def reports(work: Workload, tape: Rows) -> tuple[I64, dict[str, I64]]:
    """Order all reports by message and type; return their types and their columns."""
    from sim.actions import Reject
    from sim.book.layout import Outcome

    kind = work.column["type"]
    done = work.messages["code"] == Reject.OK
    first = np.select(
        [done & (kind == NEW), done & (kind == CANCEL), done, kind == CANCEL],
        [ACCEPTED, CANCELLED, MODIFIED, NO_CANCEL],
        NO_MODIFY,
    )
    rest = np.flatnonzero(done & (kind != CANCEL) & (work.messages["outcome"] == Outcome.CANCELLED))
    everybody = np.arange(len(work))
    message = np.concatenate([everybody, tape["message"], rest])
    types = np.concatenate(
        [first, np.full(tape.shape[0], TRADED), np.full(rest.shape[0], CANCELLED)]
    )
    order = np.argsort(message * len(_FIELDS) + types, kind="stable")
    source = np.where(first == CANCELLED, _last_accepted(work, done), everybody)
    own = {name: work.column[name] for name in COLUMNS}
    side = work.messages["side"].astype(np.int64)  # a modify's is that of its order
    nothing = np.zeros_like(rest)
    columns = {
        "seq": own["seq"][message],
        "side": np.concatenate([side[source], np.zeros(tape.shape[0], np.int64), side[rest]]),
        "oid": np.concatenate([own["oid"], tape["maker"] + work.lowest_id, own["oid"][rest]]),
        "px": np.concatenate(
            [own["px"][source], tape["price"].astype(np.int64) + work.lowest_price - 1,
             own["px"][rest]]
        ),
        "qty": np.concatenate([own["qty"], tape["quantity"], nothing]),
        "taker": np.concatenate([own["oid"], tape["taker"] + work.lowest_id, nothing]),
    }  # fmt: skip
    return types[order], {name: column[order] for name, column in columns.items()}


def text_of(types: I64, columns: dict[str, I64]) -> Iterator[bytes]:
    """Write reports, a batch of lines at a time; only the first batch begins without a newline."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for start in range(0, types.shape[0], BATCH):
        part = slice(start, start + BATCH)
        kinds, lines, places = types[part], [], []
        for kind, names in _FIELDS.items():
            rows = np.flatnonzero(kinds == kind)
            if rows.size:
                fields = [pc.cast(pa.array(columns[name][part][rows]), "string") for name in names]
                lines.append(pc.binary_join_element_wise(str(kind), *fields, ","))
                places.append(rows)
        order = np.argsort(np.concatenate(places))
        joined = pa.concat_arrays(lines).take(pa.array(order))
        text = pc.binary_join(pa.ListArray.from_arrays([0, len(joined)], joined), "\n")[0]
        yield (b"\n" if start else b"") + text.as_buffer().to_pybytes()


def command(argv: list[str]) -> int:
    """Run one workload and print its digest."""
    given = words(argv, file=REQUIRED, reports=None)
    work = Workload(Path(given["file"]).expanduser())
    begun = time.perf_counter()
    tape = trades_of(work)
    seconds = time.perf_counter() - begun
    types, columns = reports(work, tape)
    digest = hashlib.sha256()
    target = Path(given["reports"]).expanduser() if given["reports"] else None
    try:
        with target.open("wb") if target else nullcontext() as file:
            for text in text_of(types, columns):
                digest.update(text)
                if file:
                    file.write(text)
    except OSError as error:
        raise InputError(f"reports must name a file to write, got {target}: {error}") from error
    counts = np.bincount(types, minlength=6).tolist()
    print(f"{len(work):,} messages in {seconds:.2f} s, compilation included where it was due")
    print(
        f"{len(types):,} reports: {counts[ACCEPTED]:,} accepted, {counts[TRADED]:,} trades, "
        f"{counts[CANCELLED]:,} cancelled, {counts[MODIFIED]:,} modified, "
        f"{counts[NO_CANCEL]:,} cancels and {counts[NO_MODIFY]:,} modifies refused"
    )
    print(f"sha256 {digest.hexdigest()}")
    return 0


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    from experiments.cli import guarded

    if wants_help(sys.argv[1:]):
        print(__doc__)
        return
    sys.exit(guarded(lambda: command(sys.argv[1:])))


if __name__ == "__main__":
    main()
