"""Replay a recording of a real exchange through the order book, and compare the two at every row.

    python -m experiments.replay_book file=PATH [trades=PATH] [bbo=PATH]

The layout is recognised by the columns of the table (Parquet or CSV): LOBSTER messages joined with
levels, or LOBSTER's own pair of files; Binance depth changes with a snapshot, beside which the
tables of trades and of best bids and asks are found by themselves or named by `trades` and `bbo`;
Bitstamp's lives of orders. What a file cannot tell is seeded or left out by a rule that is printed
with its count. The last line is `N passed, N failed`: rows (for Binance: batches) after which book
and file were compared, and those with a difference that no rule explains; then the exit code is 1.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.cli import BAD_RESULT, guarded
from experiments.words import REQUIRED, wants_help, words
from sim.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from experiments.recordings.binance import Depth
    from experiments.recordings.bitstamp import Bitstamp
    from experiments.recordings.drive import OrderRun
    from experiments.recordings.lobster import Lobster
    from sim.book.replay import Findings
    from sim.kernel import Bool, I64

_TRADE_WINDOW = 200_000_000  # ns between the receipts of a trade and of the change it caused


def share(part: int, total: int) -> str:
    """`part of total`, with the rate."""
    rate = f" ({100.0 * part / total:.2f}%)" if total else ""
    return f"{part:,} of {total:,}{rate}"


def say(*lines: str) -> None:
    """Print lines."""
    print(*lines, sep="\n")


def replay_lobster(table: "pd.DataFrame", path: Path) -> tuple[int, int]:
    """Replay messages and levels; return rows that passed and failed."""
    from experiments.recordings import lobster
    from experiments.recordings.drive import drive_messages
    from sim.book import replay

    day = lobster.parse(table, path.name)
    start = time.perf_counter()
    taken = drive_messages(day.recorded, matching=False)
    matched = drive_messages(day.recorded, matching=True)
    seconds = time.perf_counter() - start
    levels, counts = day.recorded.levels, taken.counts
    marks = taken.marks
    types = np.bincount(day.kind, minlength=8)
    n = len(marks) - 1
    revealed, guessed = marks & replay.TOUCH_REVEALED != 0, marks & replay.TOUCH_GUESSED != 0
    odd = revealed & ~guessed
    differs = marks & replay.TOUCH_FAILED != 0
    seen, failed = int(counts[replay.LEVELS_SEEN]), int(counts[replay.LEVELS_FAILED])
    hidden = day.kind == 5
    say(
        f"{path.name}: LOBSTER, {len(marks):,} rows, {levels.shape[2]} levels a side",
        "rows: " + ", ".join(f"{types[i]:,} {name}" for i, name in lobster.TYPES.items()),
        "what the file does not tell, and the rule for it:",
        f"  orders before the first row: seeded from its levels, {int((levels[0, :, :, 0] > 0).sum())}"
        " anonymous orders",
        f"  hidden executions: {int(hidden.sum()):,} rows touch no visible order, "
        f"{int((hidden & day.off_tick).sum()):,} of them off the tick",
        f"  auction trades and halts: {types[6] + types[7]:,} rows not applied",
        f"  visible rows off the tick or without a size: {int(day.excluded.sum()):,} not applied",
        "  beyond the recorded depth: a level that comes up from there is taken as recorded, "
        f"{counts[replay.LEVELS_REVEALED]:,}, of which the book remembered "
        f"{counts[replay.LEVELS_REMEMBERED]:,} rightly; {counts[replay.LEVELS_VANISHED]:,} remembered "
        "levels had vanished and were removed",
        "  unknown orders (from before, or from beyond the depth): "
        f"{int((marks & replay.UNKNOWN != 0).sum()):,} rows, taken off their level's anonymous order",
        "  who queues at a level that came up again was remembered wrongly: "
        f"{int((marks & replay.COMPOSITION != 0).sum()):,} rows, the level became anonymous",
        "compared after each row, before the book is brought in line with it:",
        f"  levels seen before, price and size: {share(seen - failed, seen)}",
        f"  touch seen before, price and size: "
        f"{share(n - int((revealed | differs).sum()), n - int(revealed.sum()))}",
        f"  touch that came up from beyond the depth: {share(int(guessed.sum()), int(revealed.sum()))}"
        f" as remembered; {int(odd.sum()):,} taken as recorded",
    )
    _say_executions(day, taken)
    _say_matching(day, matched)
    say(f"driven twice in {seconds:.2f} s")
    bad = (marks | matched.marks) & replay.FAILED != 0
    return n - int(bad.sum()), int(bad.sum())


def _comes_later(day: "Lobster", heads: "I64") -> "Bool":
    """Whether the order at the head of a queue has a row after this one."""
    last = {order: row for row, order in enumerate(day.recorded.id.tolist())}
    return np.array([last.get(order, -1) > row for row, order in enumerate(heads.tolist())])


def _say_executions(day: "Lobster", found: "Findings") -> None:
    """Report where executed orders stood."""
    from sim.book import replay

    marks, rows = found.marks, day.recorded.kind == replay.EXECUTE
    known = rows & (marks & replay.UNKNOWN == 0)
    anonymous = known & (marks & replay.BEHIND_ANONYMOUS != 0)
    behind = known & (found.heads > 0) & ~anonymous
    later = behind & _comes_later(day, found.heads)
    say(
        f"executions at the best price: "
        f"{share(int((rows & (marks & replay.AT_BEST != 0)).sum()), int(rows.sum()))}",
        "executions of known orders at the head of their queue: "
        f"{share(int((known & (marks & replay.AT_HEAD != 0)).sum()), int(known.sum()))}",
        f"  the others: {int(anonymous.sum()):,} behind an anonymous order, "
        f"{int((behind & ~later).sum()):,} behind one that is never heard of again (it left unseen), "
        f"{int(later.sum()):,} before an older one that trades or leaves later (the file's own order)",
    )


def _say_matching(day: "Lobster", found: "Findings") -> None:
    """Report what the book's own trades were."""
    from sim.book import replay

    marks, rows = found.marks, day.recorded.kind == replay.EXECUTE
    rows = rows & (np.arange(len(rows)) > 0)
    unknown = rows & (marks & replay.UNKNOWN != 0)
    other = rows & (marks & replay.MISMATCHED != 0)
    anonymous = other & (marks & replay.BEHIND_ANONYMOUS != 0)
    behind = other & (found.heads > 0) & ~anonymous
    later = behind & _comes_later(day, found.heads)
    rest = other & ~unknown & ~anonymous & ~behind
    say(
        "matching: executions of one time and side, at prices seen before, are one aggressive order "
        f"that the book must trade as recorded: {int((marks & replay.RUN_START != 0).sum()):,} orders",
        "  executions of known orders, id, size and price printed: "
        f"{share(int((marks & replay.MATCHED != 0).sum()), int((rows & ~unknown).sum()))}",
        "  executions of unknown orders, size and price printed of the anonymous one: "
        f"{share(int((marks & replay.MATCHED_ANONYMOUS != 0).sum()), int(unknown.sum()))}",
        f"  the others: {int(anonymous.sum()):,} behind an anonymous order, "
        f"{int((behind & ~later).sum()):,} behind one never heard of again, "
        f"{int(later.sum()):,} before an older one that trades or leaves later, "
        f"{int((other & unknown).sum()):,} of unknown orders where the book had known ones first, "
        f"{int(rest.sum()):,} in one sweep with such; the book is put back and follows the file",
    )


def replay_binance(
    table: "pd.DataFrame", path: Path, trades: str | None, bbo: str | None
) -> tuple[int, int]:
    """Replay level changes; return batches that passed and failed."""
    from experiments.recordings import binance
    from experiments.recordings.drive import drive_levels
    from sim.book import replay_levels

    depth = binance.parse(table, path.name)
    start = time.perf_counter()
    run = drive_levels(depth.feed)
    seconds = time.perf_counter() - start
    became = np.bincount(run.became, minlength=5)
    touches, snapshot = run.touches, depth.feed.whole != 0
    two = (touches[:, 0] > 0) & (touches[:, 2] > 0)
    refused = np.add.reduceat(run.became == replay_levels.REFUSED, depth.feed.start[:-1]) > 0
    bad = refused | ~two | (touches[:, 0] >= touches[:, 2])
    first = depth.feed.price[depth.feed.start[0] : depth.feed.start[1]]
    beyond = (touches[:, 0] < first.min()) | (touches[:, 2] > first.max())
    say(
        f"{path.name}: Binance, {len(table):,} rows, {int(snapshot.sum())} snapshot of {len(first):,} "
        f"levels and {int((~snapshot).sum()):,} batches; tick {10.0 ** -depth.decimals[0]:g}, lot "
        f"{10.0 ** -depth.decimals[1]:g}",
        "what the file does not tell, and the rule for it:",
        f"  changes no later than the snapshot: {depth.before:,} rows dropped",
        f"  rows off the tick or lot: {depth.off_tick:,} and {depth.off_lot:,} dropped",
        f"  levels beyond the snapshot's: unknown until a change names them; "
        f"{became[replay_levels.NOT_THERE]:,} removals of levels the book did not have; the touch lay "
        f"beyond the snapshot after {int(beyond.sum()):,} batches",
        "  first update ids of batches: not in the file, so a lost batch cannot be told from none",
        f"rows applied: {became[replay_levels.SET]:,} set, {became[replay_levels.SAME]:,} as they "
        f"were, {became[replay_levels.REMOVED]:,} removed, {became[replay_levels.REFUSED]:,} refused",
        f"book uncrossed, both sides there: {share(int((~bad).sum()), len(bad))} batches",
    )
    quotes = Path(bbo) if bbo else binance.beside(path, "bbo")
    if quotes is None:
        say("best bids and asks: no table beside the file, not compared")
    else:
        bad |= _differs_from_quotes(depth, touches, quotes)
    told = Path(trades) if trades else binance.beside(path, "trades")
    if told is None:
        say("trades: no table beside the file, not compared")
    else:
        _say_trades(depth, touches, told)
    say(f"driven in {seconds:.2f} s")
    return int((~bad).sum()), int(bad.sum())


def _differs_from_quotes(depth: "Depth", touches: "I64", path: Path) -> "Bool":
    """Compare the touch after each batch with the stream of quotes; True where it differs."""
    from experiments.recordings.binance import read_bbo

    stream = read_bbo(path)
    units = 10.0 ** np.array([depth.decimals[0], depth.decimals[1]] * 2)
    quoted = np.round(stream.quotes * units).astype(np.int64)
    at = np.searchsorted(stream.update, depth.update, side="right") - 1
    there = at >= 0
    at = np.maximum(at, 0)
    same_id = there & (stream.update[at] == depth.update)
    same = (touches[:, :4] == quoted[at]).all(axis=1)
    prices = (touches[:, [0, 2]] == quoted[at][:, [0, 2]]).all(axis=1)
    older = there & ~same_id
    say(
        f"{path.name}: {len(stream.update):,} best bids and asks, recorded apart; the last one up to "
        "a batch's update id is compared, price and size of both sides:",
        f"  of the same update id: {share(int((same & same_id).sum()), int(same_id.sum()))}",
        f"  of an earlier one: {share(int((same & older).sum()), int(older.sum()))}, prices alone "
        f"{share(int((prices & older).sum()), int(older.sum()))}; the others are not counted as "
        "failed: the touch may have changed in between without a quote",
        f"  batches before the first quote: {int((~there).sum()):,} not compared",
    )
    return same_id & ~same


def _say_trades(depth: "Depth", touches: "I64", path: Path) -> None:
    """Report which trades lie within the touches around them."""
    from experiments.recordings.binance import read_trades

    told = read_trades(path)
    price = np.round(told.price * 10.0 ** depth.decimals[0]).astype(np.int64)
    first = np.searchsorted(depth.time, told.time - _TRADE_WINDOW, side="right") - 1
    last = np.searchsorted(depth.time, told.time + _TRADE_WINDOW, side="left")
    inside = (first >= 0) & (last < len(depth.time))
    first, last = np.maximum(first, 0), np.minimum(last, len(depth.time) - 1)
    low, high = touches[first, 0].copy(), touches[first, 2].copy()
    for step in range(1, int((last - first).max(initial=0)) + 1):
        at = np.minimum(first + step, last)
        low, high = np.minimum(low, touches[at, 0]), np.maximum(high, touches[at, 2])
    good = inside & (price >= low) & (price <= high)
    off = np.maximum(low - price, price - high)[inside & ~good]
    say(
        f"{path.name}: {len(price):,} trades; their prices at or inside the book's touches from the "
        f"batch before to the batch after +-{_TRADE_WINDOW // 10**6} ms of receipt: "
        f"{share(int(good.sum()), int(inside.sum()))}"
        + (f"; the others by at most {int(off.max())} ticks" if off.size else "")
        + f"; {int((~inside).sum()):,} outside the recording's time"
    )


def replay_bitstamp(table: "pd.DataFrame", path: Path) -> tuple[int, int]:
    """Replay the lives of orders; return rows that passed and failed."""
    from experiments.recordings import bitstamp
    from experiments.recordings.drive import drive_orders
    from sim.book import replay_orders as lives

    life = bitstamp.parse(table, path.name)
    start = time.perf_counter()
    collected = drive_orders(life.feed, matching=False)
    matched = drive_orders(life.feed, matching=True)
    seconds = time.perf_counter() - start
    marks, kind = collected.findings.marks, life.feed.kind
    fills = marks & lives.FILL != 0
    cancelled = marks & lives.CANCELLED != 0
    left_out = marks & (lives.LATE | lives.UNSEEN) != 0
    failed = marks & lives.FAILED != 0
    crossed, two = marks & lives.CROSSED != 0, marks & lives.TWO_SIDED != 0
    made, changed, deleted = (int((kind == i).sum()) for i in (1, 2, 3))
    say(
        f"{path.name}: Bitstamp, {len(table):,} rows of {len(life.feed.first):,} orders: {made:,} "
        f"created, {changed:,} changed, {deleted:,} deleted",
        "what the file does not tell, and the rule for it:",
        f"  orders before the first row: {life.seeded:,} seeded with the lots of their first row; "
        f"{life.untold:,} whose first row is their last fill, so that nobody tells their lots; those "
        "that no row names are not in the book",
        f"  rows of orders not in the book: {int((marks & lives.UNSEEN != 0).sum()):,} left out; rows "
        f"after their order's deletion: {int((marks & lives.LATE != 0).sum()):,} left out",
        f"  rows off the tick or lot: {life.off_tick:,} and {life.off_lot:,} left out",
        "collecting (a trade is two rows, the taker's and the maker's, and the book stands crossed in "
        "between):",
        f"  lots left as the row tells: {share(int((~failed & ~left_out).sum()), int((~left_out).sum()))}"
        " rows",
        "  cancelled with just the lots that were left: "
        f"{share(int((cancelled & ~failed).sum()), int(cancelled.sum()))}",
        f"  fills of an order at the best price of its side: "
        f"{share(int((fills & (marks & lives.AT_BEST != 0)).sum()), int(fills.sum()))}, at the head of "
        f"its queue {share(int((fills & (marks & lives.AT_HEAD != 0)).sum()), int(fills.sum()))}",
        f"  best bid below best ask: {share(int((two & ~crossed).sum()), int(two.sum()))} rows",
    )
    _say_lives_matched(life, matched)
    say(f"driven twice in {seconds:.2f} s")
    failed |= matched.findings.marks & lives.FAILED != 0
    return int((~failed & ~left_out).sum()), int(failed.sum())


def _say_lives_matched(life: "Bitstamp", run: "OrderRun") -> None:
    """Report which trades the book made by itself."""
    from experiments.recordings.bitstamp import SATOSHIS
    from sim.book import replay_orders as lives

    marks, counts, coin = run.findings.marks, run.findings.counts, 10.0**-SATOSHIS
    fills = marks & lives.FILL != 0
    say(
        f"matching: each new order trades in the book, {counts[lives.TRADES]:,} trades; every row that "
        "tells of a fill must then tell what the book has traded already:",
        f"  fills that the book had traded: {share(int((marks & lives.AGREED != 0).sum()), int(fills.sum()))}"
        f", in part: {int((marks & lives.PART_AGREED != 0).sum()):,}; what it had not, "
        f"{counts[lives.FOREIGN] * coin:.8f} coins, the file's orders traded with some it does not show"
        ", or with others than in the book",
        f"  cancellations of orders of which the book had traded more than the exchange: "
        f"{int((marks & lives.OVERTRADED != 0).sum()):,}; {counts[lives.OWED_AT_END] * coin:.8f} coins "
        "untold at the end",
        f"  best bid below best ask: "
        f"{share(int((marks & lives.CROSSED == 0).sum()), len(marks))} rows",
    )
    del life


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    given = list(sys.argv[1:] if argv is None else argv)
    if wants_help(given):
        print(__doc__)
        return 0
    return guarded(lambda: _run(given))


def _run(argv: list[str]) -> int:
    from experiments.recordings.tables import read_recording

    chosen = words(argv, file=REQUIRED, trades=None, bbo=None)
    path = Path(chosen["file"])
    layout, table = read_recording(path)
    if layout != "binance" and (chosen["trades"] or chosen["bbo"]):
        raise ConfigError(
            f"trades and bbo go with Binance's depth changes, got a recording of {layout}; leave "
            "them out"
        )
    if layout == "lobster":
        passed, failed = replay_lobster(table, path)
    elif layout == "bitstamp":
        passed, failed = replay_bitstamp(table, path)
    else:
        passed, failed = replay_binance(table, path, chosen["trades"], chosen["bbo"])
    print(f"{passed} passed, {failed} failed")
    return BAD_RESULT if failed else 0


if __name__ == "__main__":
    sys.exit(main())
