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

    from experiments.recordings.binance import BestQuotes, Depth, Trades
    from experiments.recordings.bitstamp import Bitstamp
    from experiments.recordings.drive import LevelRun
    from experiments.recordings.lobster import Lobster
    from sim.book.replay import Findings
    from sim.kernel import I64, Bool

_TRADE_WINDOW = 200_000_000  # ns between the receipts of a trade and of the change it caused


def share(part: int, total: int) -> str:
    """`part of total`, with the rate."""
    rate = f" ({100.0 * part / total:.2f}%)" if total else ""
    return f"{part:,} of {total:,}{rate}"


def say(*lines: str) -> None:
    """Print lines."""
    print(*lines, sep="\n")


def count(flags: "Bool") -> int:
    """Count what is true."""
    return int(np.count_nonzero(flags))


def _has(marks: "I64", bit: int) -> "Bool":
    """Which rows carry a mark."""
    return np.asarray(marks & bit != 0)


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
    _say_lobster(day, taken, path.name)
    n, counts, marks = len(day.kind) - 1, taken.counts, taken.marks
    seen, failed = int(counts[replay.LEVELS_SEEN]), int(counts[replay.LEVELS_FAILED])
    up, right = _has(marks, replay.TOUCH_REVEALED), _has(marks, replay.TOUCH_GUESSED)
    n_seen = n - count(up)
    good = n_seen - count(_has(marks, replay.TOUCH_FAILED) & ~up)
    say(
        "compared after each row, before the book is brought in line with it:",
        f"  levels seen before, price and size: {share(seen - failed, seen)}",
        f"  touch seen before, price and size: {share(good, n_seen)}",
        f"  touch that came up from beyond the depth: {share(count(right), count(up))} as "
        f"remembered, {count(up & ~right):,} taken as recorded",
    )
    _say_executions(day, taken)
    _say_matching(day, matched)
    say(f"driven twice in {seconds:.2f} s")
    bad = count(_has(marks | matched.marks, replay.FAILED))
    return n - bad, bad


def _say_lobster(day: "Lobster", found: "Findings", name: str) -> None:
    """Report what a recording holds, and what is done about what it does not tell."""
    from experiments.recordings.lobster import TYPES
    from sim.book import replay

    levels, counts, marks = day.recorded.levels, found.counts, found.marks
    types = np.bincount(day.kind, minlength=8)
    seeds = count(levels[0, :, :, 0] > 0)
    say(
        f"{name}: LOBSTER, {len(marks):,} rows, {levels.shape[2]} levels a side",
        "rows: " + ", ".join(f"{types[i]:,} {word}" for i, word in TYPES.items()),
        "what the file does not tell, and the rule for it:",
        f"  orders before the first row: seeded from its levels, {seeds} anonymous orders",
        f"  hidden executions: {types[5]:,} rows touch no visible order, "
        f"{count((day.kind == 5) & day.off_tick):,} of them off the tick",
        f"  auction trades and halts: {types[6] + types[7]:,} rows not applied",
        f"  visible rows off the tick or without a size: {count(day.excluded):,} not applied",
        "  beyond the recorded depth: a level that comes up from there is taken as recorded, "
        f"{counts[replay.LEVELS_REVEALED]:,},",
        f"    of which the book remembered {counts[replay.LEVELS_REMEMBERED]:,} rightly; "
        f"{counts[replay.LEVELS_VANISHED]:,} remembered levels had vanished and were removed",
        "  unknown orders, from before or from beyond the depth: "
        f"{count(_has(marks, replay.UNKNOWN)):,} rows, taken off their level's anonymous order",
        "  who queues at a level that came up again was remembered wrongly: "
        f"{count(_has(marks, replay.COMPOSITION)):,} rows, the level became anonymous",
    )


def _comes_later(day: "Lobster", heads: "I64") -> "Bool":
    """Whether the order at the head of a queue has a row after this one."""
    last = {order: row for row, order in enumerate(day.recorded.id.tolist())}
    return np.array([last.get(order, -1) > row for row, order in enumerate(heads.tolist())])


def _standings(day: "Lobster", found: "Findings") -> "tuple[Bool, Bool, Bool]":
    """Which executions were behind an anonymous order, one that left unseen, one still there."""
    from sim.book import replay

    anonymous = _has(found.marks, replay.BEHIND_ANONYMOUS)
    behind = (found.heads > 0) & ~anonymous
    later = _comes_later(day, found.heads)
    return anonymous, behind & ~later, behind & later


def _say_executions(day: "Lobster", found: "Findings") -> None:
    """Report where executed orders stood."""
    from sim.book import replay

    rows = (day.recorded.kind == replay.EXECUTE) & (np.arange(len(day.kind)) > 0)
    known = rows & ~_has(found.marks, replay.UNKNOWN)
    anonymous, unseen, later = (known & where for where in _standings(day, found))
    best, head = _has(found.marks, replay.AT_BEST), _has(found.marks, replay.AT_HEAD)
    say(
        f"executions at the best price: {share(count(rows & best), count(rows))}",
        "executions of known orders at the head of their queue: "
        f"{share(count(known & head), count(known))}",
        f"  the others: {count(anonymous):,} behind an anonymous order, {count(unseen):,} behind "
        "an order never heard of again (it left unseen),",
        f"    {count(later):,} before an older order that trades or leaves later, in the file too",
    )


def _say_matching(day: "Lobster", found: "Findings") -> None:
    """Report what the book's own trades were."""
    from sim.book import replay

    marks = found.marks
    rows = (day.recorded.kind == replay.EXECUTE) & (np.arange(len(marks)) > 0)
    stranger, other = rows & _has(marks, replay.STRANGER), _has(marks, replay.MISMATCHED)
    known = rows & ~stranger
    anonymous, unseen, later = (known & other & where for where in _standings(day, found))
    rest = known & other & ~anonymous & ~unseen & ~later
    rests = _has(marks, replay.RESTED) | (other & ~rows)
    same, same_size = _has(marks, replay.MATCHED), _has(marks, replay.MATCHED_ANONYMOUS)
    say(
        "matching: executions of one time and side, at prices seen before, become one aggressive "
        f"order, {count(_has(marks, replay.RUN_START)):,} in all;",
        "  the book must trade as recorded:",
        f"  known orders, id, size and price: {share(count(same), count(known))}",
        "  unknown orders, size and price of their level's anonymous order: "
        f"{share(count(same_size), count(stranger))}",
        "  rests of aggressive orders that became new orders: "
        f"{share(count(_has(marks, replay.RESTED)), count(rests))}",
        "  the others, after which the book is put back and follows the file: "
        f"{count(anonymous):,} behind an anonymous order, {count(unseen):,} behind",
        f"    an order never heard of again, {count(later):,} before an older order that trades or "
        f"leaves later, {count(stranger & other):,} of unknown orders",
        f"    where the book had known ones first, {count(rest):,} in one sweep with such",
    )


def replay_binance(
    table: "pd.DataFrame", path: Path, trades: str | None, bbo: str | None
) -> tuple[int, int]:
    """Replay level changes; return batches that passed and failed."""
    from experiments.recordings import binance
    from experiments.recordings.drive import drive_levels
    from sim.book import replay_levels

    depth = binance.parse(table, path.name)
    told = Path(trades) if trades else binance.beside(path, "trades")
    quoted = Path(bbo) if bbo else binance.beside(path, "bbo")
    stream = None if quoted is None else binance.read_bbo(quoted)
    start = time.perf_counter()
    run = drive_levels(depth.feed)
    seconds = time.perf_counter() - start
    touches = run.touches
    two = (touches[:, 0] > 0) & (touches[:, 2] > 0)
    refused = np.add.reduceat(run.became == replay_levels.REFUSED, depth.feed.start[:-1]) > 0
    bad = refused | ~two | (touches[:, 0] >= touches[:, 2])
    _say_binance(depth, run, path.name)
    say(f"book uncrossed, with both sides: {share(count(~bad), len(bad))} batches")
    if stream is None or quoted is None:
        say("best bids and asks: no table beside the file, not compared")
    else:
        bad |= _differs_from_quotes(depth, touches, stream, quoted.name)
    if told is None:
        say("trades: no table beside the file, not compared")
    else:
        _say_trades(depth, touches, binance.read_trades(told), stream, told.name)
    say(f"driven in {seconds:.2f} s")
    return count(~bad), count(bad)


def _say_binance(depth: "Depth", run: "LevelRun", name: str) -> None:
    """Report what a recording holds, and what is done about what it does not tell."""
    from sim.book import replay_levels as became

    feed, touches = depth.feed, run.touches
    rows = np.bincount(run.became, minlength=6)
    tick, lot = (10.0**-decimals for decimals in depth.decimals)
    first = feed.price[feed.start[0] : feed.start[1]]
    beyond = (touches[:, 0] < first.min()) | (touches[:, 2] > first.max())
    say(
        f"{name}: Binance, {len(feed.price):,} rows in {count(feed.whole == 0):,} batches after "
        f"{count(feed.whole != 0)} snapshot of {len(first):,} levels; tick {tick:g}, lot {lot:g}",
        "what the file does not tell, and the rule for it:",
        f"  changes no later than the snapshot: {depth.before:,} rows dropped",
        f"  off the tick {depth.off_tick:,} and off the lot {depth.off_lot:,} rows, dropped",
        "  levels beyond the snapshot's are unknown until a change names them: "
        f"{rows[became.NOT_THERE]:,} removals of levels that the book did not have;",
        f"    the touch lay beyond the snapshot's levels after {count(beyond):,} batches",
        "  first update ids of batches are not in the file: a lost batch cannot be told from none",
        f"rows applied: {rows[became.SET]:,} set, {rows[became.SAME]:,} as they were, "
        f"{rows[became.REMOVED]:,} removed, {rows[became.REFUSED]:,} refused",
    )


def _differs_from_quotes(depth: "Depth", touches: "I64", stream: "BestQuotes", name: str) -> "Bool":
    """Compare the touch after each batch with the stream of quotes; True where it differs."""
    units = 10.0 ** np.array([depth.decimals[0], depth.decimals[1]] * 2)
    quoted = np.round(stream.quotes * units).astype(np.int64)
    at = np.searchsorted(stream.update, depth.update, side="right") - 1
    there, at = at >= 0, np.maximum(at, 0)
    same_id = there & (stream.update[at] == depth.update)
    same = (touches[:, :4] == quoted[at]).all(axis=1)
    older = there & ~same_id
    say(
        f"{name}: {len(stream.update):,} best bids and asks, recorded apart; the last one up to a "
        "batch's update id is compared, price and size of both sides:",
        f"  of the same update id: {share(count(same & same_id), count(same_id))}",
        f"  of an earlier one: {share(count(same & older), count(older))}; where it differs, the "
        "touch may have changed since without a quote: not failed",
        f"  batches before the first quote: {count(~there):,} not compared",
    )
    return np.asarray(same_id & ~same)


def _hull(time: "I64", low: "I64", high: "I64", moments: "I64") -> "tuple[I64, I64, Bool]":
    """Lowest bid and highest ask in a window around each moment, from the last state before it.

    Also returns which windows lie within the recording.
    """
    first = np.searchsorted(time, moments - _TRADE_WINDOW, side="right") - 1
    last = np.searchsorted(time, moments + _TRADE_WINDOW, side="left")
    within = (first >= 0) & (last < len(time))
    first, last = np.maximum(first, 0), np.minimum(last, len(time) - 1)
    lowest, highest = low[first], high[first]
    for step in range(1, int((last - first).max(initial=0)) + 1):
        at = np.minimum(first + step, last)
        lowest, highest = np.minimum(lowest, low[at]), np.maximum(highest, high[at])
    return lowest, highest, within


def _say_trades(
    depth: "Depth", touches: "I64", told: "Trades", stream: "BestQuotes | None", name: str
) -> None:
    """Report which trades lie within the touches around them."""
    unit = 10.0 ** depth.decimals[0]
    price = np.round(told.price * unit).astype(np.int64)
    low, high, within = _hull(depth.time, touches[:, 0], touches[:, 2], told.time)
    inside = (price >= low) & (price <= high)
    say(
        f"{name}: {len(price):,} trades; price at or between the book's best bid and ask within "
        f"{_TRADE_WINDOW // 10**6} ms of their receipt: "
        f"{share(count(inside & within), count(within))};",
        f"  {count(~within):,} too near the ends of the recording, not compared",
    )
    others = within & ~inside
    if stream is None or not others.any():
        return
    bid, ask = (np.round(stream.quotes[:, i] * unit).astype(np.int64) for i in (0, 2))
    low, high, _ = _hull(stream.time, bid, ask, told.time[others])
    between = (price[others] >= low) & (price[others] <= high)
    say(
        "  of the others, at or between quotes that came and went between two batches: "
        f"{share(count(between), count(others))}"
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
    marks = collected.findings.marks
    left_out, failed = _has(marks, lives.LATE | lives.UNSEEN), _has(marks, lives.FAILED)
    failed |= _has(matched.findings.marks, lives.FAILED)
    _say_lives(life, marks, path.name)
    _say_collected(marks)
    _say_lives_matched(matched.findings)
    say(f"driven twice in {seconds:.2f} s")
    return count(~failed & ~left_out), count(failed)


def _say_lives(life: "Bitstamp", marks: "I64", name: str) -> None:
    """Report what a recording holds, and what is done about what it does not tell."""
    from sim.book import replay_orders as lives

    made, changed, deleted = (count(life.feed.kind == kind) for kind in (1, 2, 3))
    say(
        f"{name}: Bitstamp, {len(marks):,} rows of {len(life.feed.first):,} orders: {made:,} "
        f"created, {changed:,} changed, {deleted:,} deleted",
        "what the file does not tell, and the rule for it:",
        f"  orders before the first row: {life.seeded:,} seeded with the lots of their first row; "
        f"{life.untold:,} whose first row is their last fill,",
        "    so that nobody tells their lots, are not in the book, nor are those without a row",
        f"  rows of orders not in the book: {count(_has(marks, lives.UNSEEN)):,} left out; rows "
        f"after their order's deletion: {count(_has(marks, lives.LATE)):,} left out",
        f"  off the tick {life.off_tick:,} and off the lot {life.off_lot:,} rows, left out",
    )


def _say_collected(marks: "I64") -> None:
    """Report how the rows agree with each other and with the book that they make."""
    from sim.book import replay_orders as lives

    fills, cancelled = _has(marks, lives.FILL), _has(marks, lives.CANCELLED)
    rows = ~_has(marks, lives.LATE | lives.UNSEEN)
    good = ~_has(marks, lives.FAILED)
    best, head = fills & _has(marks, lives.AT_BEST), fills & _has(marks, lives.AT_HEAD)
    two = _has(marks, lives.TWO_SIDED)
    say(
        "collecting: each row is done as told; a trade is two rows, the taker's and the maker's, "
        "and the book is crossed in between:",
        f"  lots left as the row tells: {share(count(good & rows), count(rows))} rows",
        "  cancelled with just the lots that were left: "
        f"{share(count(cancelled & good), count(cancelled))}",
        f"  fills at the best price of the order's side: {share(count(best), count(fills))}, at "
        f"the head of its queue: {share(count(head), count(fills))}",
        "  best bid below best ask: "
        f"{share(count(two & ~_has(marks, lives.CROSSED)), count(two))} rows",
    )


def _say_lives_matched(found: "Findings") -> None:
    """Report which trades the book made by itself."""
    from experiments.recordings.bitstamp import SATOSHIS
    from sim.book import replay_orders as lives

    marks, counts, coin = found.marks, found.counts, 10.0**-SATOSHIS
    fills = count(_has(marks, lives.FILL))
    say(
        "matching: each new order trades in the book as it comes, "
        f"{counts[lives.TRADES]:,} trades; a row that tells of a fill must tell what was traded:",
        f"  fills that the book had traded: {share(count(_has(marks, lives.AGREED)), fills)}, in "
        f"part: {count(_has(marks, lives.PART_AGREED)):,}",
        f"  lots that the exchange traded and the book did not: {counts[lives.FOREIGN] * coin:.8f},"
        " with orders that the file does not show or that were gone",
        "  cancellations of orders of which the book had traded more than the exchange: "
        f"{count(_has(marks, lives.OVERTRADED)):,}; lots untold at the end: "
        f"{counts[lives.OWED_AT_END] * coin:.8f}",
    )


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
