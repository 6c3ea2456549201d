"""Replays of recordings: what a file tells, what it cannot, and what is wrong with it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.recordings.drive import drive_levels, drive_messages, drive_orders
from experiments.recordings.tables import decimals_of, read_recording
from experiments.replay_book import main
from sim.book import replay
from sim.book.book import new_book
from sim.errors import InputError

Levels = Sequence[tuple[int, int]]
Result = tuple[int, str, str]


def lobster_row(
    time: int, kind: int, order: int, size: int, cents: float, sign: int, asks: Levels, bids: Levels
) -> dict[str, int]:
    row = {
        "time_ns": time, "type": kind, "order_id": order, "size": size,
        "price": round(cents * 100), "direction": sign,
    }  # fmt: skip
    for j, (ask, bid) in enumerate(zip(asks, bids, strict=True), start=1):
        row |= {f"ask_px{j}": ask[0] * 100, f"ask_sz{j}": ask[1]}
        row |= {f"bid_px{j}": bid[0] * 100, f"bid_sz{j}": bid[1]}
    return row


ASKS = [(102, 5), (103, 7)]
TWO_LEVELS = [
    lobster_row(0, 5, 0, 1, 101.5, -1, ASKS, [(100, 10), (99, 20)]),  # hidden, between ticks
    lobster_row(1, 1, 1, 4, 101, 1, ASKS, [(101, 4), (100, 10)]),  # 99 leaves the depth
    lobster_row(2, 1, 2, 6, 101, 1, ASKS, [(101, 10), (100, 10)]),
    lobster_row(3, 5, 0, 3, 101, 1, ASKS, [(101, 10), (100, 10)]),  # hidden, at the touch
    lobster_row(4, 2, 2, 1, 101, 1, ASKS, [(101, 9), (100, 10)]),  # partial cancel
    lobster_row(5, 4, 1, 4, 101, 1, ASKS, [(101, 5), (100, 10)]),  # two executions at one time
    lobster_row(5, 4, 2, 2, 101, 1, ASKS, [(101, 3), (100, 10)]),
    lobster_row(6, 3, 2, 3, 101, 1, ASKS, [(100, 10), (99, 25)]),  # 99 comes up with 5 more
    lobster_row(7, 3, 77, 4, 100, 1, ASKS, [(100, 6), (99, 25)]),  # an order from before
    lobster_row(8, 4, 78, 5, 102, -1, [(103, 7), (104, 9)], [(100, 6), (99, 25)]),
    lobster_row(9, 1, 3, 2, 103, -1, [(103, 9), (104, 9)], [(100, 6), (99, 25)]),
    lobster_row(10, 4, 3, 2, 103, -1, [(103, 7), (104, 9)], [(100, 6), (99, 25)]),
]  # the last: an order of known place behind seven lots of unknown orders

ONE_LEVEL = [
    lobster_row(0, 1, 1, 10, 100, 1, [(102, 5)], [(100, 10)]),
    lobster_row(1, 1, 2, 3, 101, 1, [(102, 5)], [(101, 3)]),
    lobster_row(2, 3, 2, 3, 101, 1, [(102, 5)], [(100, 10)]),  # as remembered
    lobster_row(3, 1, 3, 1, 101, 1, [(102, 5)], [(101, 1)]),
    lobster_row(4, 3, 3, 1, 101, 1, [(102, 5)], [(99, 7)]),  # 100 vanished unseen
    lobster_row(5, 4, 50, 5, 102, -1, [(103, 2)], [(99, 7)]),  # a sweep beyond what was seen
    lobster_row(5, 4, 51, 2, 103, -1, [(104, 1)], [(99, 7)]),
]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def call(*argv: str) -> Result:
        code = main(list(argv))
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    def write(rows: object, name: str = "recording.parquet") -> str:
        table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
        path = tmp_path / name
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path)
        return str(path)

    return write


def last(out: str) -> str:
    return out.splitlines()[-1]


# LOBSTER


@pytest.mark.parametrize("name", ["recording.parquet", "recording.csv"])
def test_each_trap_of_a_message_file(run, save, name):
    code, out, err = run(f"file={save(TWO_LEVELS, name)}")
    assert (code, err, last(out)) == (0, "", "11 passed, 0 failed")
    for told in (
        "seeded from its levels, 4 anonymous orders",
        "hidden executions: 2 rows touch no visible order, 1 of them off the tick",
        "recorded, 2,\n    of which the book remembered 0 rightly; 0 remembered levels had",
        "from before or from beyond the depth: 2 rows",
        "levels seen before, price and size: 42 of 42",  # 11 rows of 4, less the 2 that came up
        "touch seen before, price and size: 11 of 11",
        "executions at the best price: 4 of 4",
        "executions of known orders at the head of their queue: 2 of 3",
        "the others: 1 behind an anonymous order, 0 behind an order never heard of again",
        "become one aggressive order, 3 in all",
        "known orders, id, size and price: 2 of 3",
        "unknown orders, size and price of their level's anonymous order: 1 of 1",
    ):
        assert told in out, out


def test_a_level_from_beyond_the_depth_is_remembered_or_taken_as_recorded(run, save):
    code, out, _ = run(f"file={save(ONE_LEVEL)}")
    assert (code, last(out)) == (0, "6 passed, 0 failed")
    assert "touch seen before, price and size: 2 of 2" in out
    assert "1 of 4 (25.00%) as remembered, 3 taken as recorded" in out
    assert "rightly; 1 remembered levels had vanished" in out
    assert "become one aggressive order, 2 in all" in out  # 103 had not been seen


def test_a_size_that_no_message_explains_fails_its_row(run, save):
    rows = [dict(row) for row in TWO_LEVELS]
    rows[4]["bid_sz1"] = 8  # 9 by the messages
    code, out, _ = run(f"file={save(rows)}")
    # the row itself; 8 - 4 against 5 after it; and where both executions are one step, 8 - 6
    # against 3 after the second
    assert (code, last(out)) == (1, "8 passed, 3 failed")
    assert "levels seen before, price and size: 40 of 42" in out


def test_a_level_that_nobody_took_away_fails_its_row(run, save):
    rows = [dict(row) for row in TWO_LEVELS]
    rows[3] |= {"bid_px1": 10000, "bid_sz1": 10, "bid_px2": 9900, "bid_sz2": 20}
    code, out, _ = run(f"file={save(rows)}")
    assert code == 1
    assert last(out).endswith(" failed")
    assert not last(out).endswith(" 0 failed")


def test_executions_out_of_turn_are_told_and_the_book_goes_on(run, save):
    rows = [dict(row) for row in TWO_LEVELS]
    for row, size, left in ((5, 5, 4), (6, 4, 0)):  # order 2 trades before order 1
        rows[row] |= {"order_id": 7 - row, "size": size, "bid_sz1": left}
    rows[6] |= {"bid_px1": 10000, "bid_sz1": 10, "bid_px2": 9900, "bid_sz2": 25, "time_ns": 6}
    del rows[7]
    code, out, _ = run(f"file={save(rows)}")
    assert (code, last(out)) == (0, "10 passed, 0 failed")
    assert "1 before an older order that trades or leaves later, in the file too" in out
    assert "known orders, id, size and price: 1 of 3" in out


def test_what_is_left_of_an_aggressive_order_comes_to_rest(run, save):
    """A purchase of 15 at up to 103: 5 at 102, 7 at 103, and 3 become the best bid."""
    asks = [[(102, 5), (103, 7), (104, 9)], [(103, 7), (104, 9), (105, 1)]]
    asks.append([(104, 9), (105, 1), (106, 1)])
    bids = [[(100, 10), (99, 20), (98, 1)], [(103, 3), (100, 10), (99, 20)]]
    rows = [
        lobster_row(1, 5, 0, 1, 101, -1, asks[0], bids[0]),
        lobster_row(2, 4, 50, 5, 102, -1, asks[1], bids[0]),
        lobster_row(2, 5, 0, 8, 103, -1, asks[1], bids[0]),
        lobster_row(2, 4, 51, 7, 103, -1, asks[2], bids[0]),
        lobster_row(2, 1, 9, 3, 103, 1, asks[2], bids[1]),
    ]
    code, out, _ = run(f"file={save(rows)}")
    assert (code, last(out)) == (0, "4 passed, 0 failed")
    assert "become one aggressive order, 1 in all" in out
    assert "anonymous order: 2 of 2" in out
    assert "became new orders: 1 of 1" in out


def test_off_tick_prices_are_counted_and_many_of_them_refuse_the_file(run, save):
    bids = [(100, 10), (99, 20)]
    rows = [dict(TWO_LEVELS[0])]
    for i in range(60):
        new = [(101, 1), (100, 10)]
        rows.append(lobster_row(2 * i, 1, 10 + i, 1, 101, 1, ASKS, new))
        rows.append(lobster_row(2 * i + 1, 3, 10 + i, 1, 101, 1, ASKS, bids))
    rows.append(lobster_row(200, 1, 5, 1, 100.5, 1, ASKS, bids))
    code, out, _ = run(f"file={save(rows)}")
    assert (code, last(out)) == (0, "121 passed, 0 failed")
    assert "visible rows off the tick or without a size: 1 not applied" in out
    table = pd.DataFrame(rows)
    table.loc[table["type"] == 1, "price"] += 7
    code, out, err = run(f"file={save(table)}")
    assert (code, out) == (2, "")
    assert "column price must hold multiples of 100" in err
    assert err.count("\n") == 1


def test_the_pair_of_files_that_the_source_gives(run, tmp_path):
    table = pd.DataFrame(TWO_LEVELS)
    messages = table.iloc[:, :6].assign(time_ns=table["time_ns"] * 1e-9)
    name = "XY_2012-06-21_34200000_57600000_{}_2.csv"
    messages.to_csv(tmp_path / name.format("message"), header=False, index=False)
    book = tmp_path / name.format("orderbook")
    table.iloc[:, 6:].to_csv(book, header=False, index=False)
    code, out, _ = run(f"file={tmp_path / name.format('message')}")
    assert (code, last(out)) == (0, "11 passed, 0 failed")
    book.unlink()
    code, _, err = run(f"file={tmp_path / name.format('message')}")
    assert code == 2
    assert "got no such file" in err


def test_the_kernel_says_the_same_as_plain_python(save):
    from experiments.recordings.lobster import parse

    recorded = parse(pd.DataFrame(TWO_LEVELS), "rows").recorded
    for matching in (0, 1):
        plain = replay.new_findings(len(TWO_LEVELS), 64)
        book = new_book(capacity=64, n_levels=4096, n_prints=64)
        replay.rebuild.py_func(book, recorded, plain, matching)
        compiled = drive_messages(recorded, matching=bool(matching))
        assert plain.marks.tolist() == compiled.marks.tolist()
        assert plain.counts.tolist() == compiled.counts.tolist()


@pytest.mark.parametrize("depth", [1, 2, 5, 30])
@pytest.mark.parametrize("seed", range(3))
def test_a_censored_recording_of_a_known_book_never_fails(seed, depth):
    """Whatever happens beyond the depth, the rules explain it, and nothing else happens."""
    from censored_book import CensoredBook

    from experiments.recordings.lobster import parse

    truth = CensoredBook(seed, depth)
    rows = truth.play(4000)
    assert (truth.unseen == 0) == (depth == 30)
    recorded = parse(pd.DataFrame(rows), "rows").recorded
    executions = recorded.kind == replay.EXECUTE
    executions[0] = False
    for matching in (False, True):
        found = drive_messages(recorded, matching)
        marks = found.marks
        assert not (marks & replay.FAILED).any()
        if not matching:
            assert ((marks & replay.AT_BEST) != 0)[executions].all()
        # an older order that trades or leaves later would break time priority
        heads = np.where(found.heads < replay.ANONYMOUS, found.heads, 0)
        last = {order: row for row, order in enumerate(recorded.id.tolist())}
        assert not any(last.get(head, -1) > row for row, head in enumerate(heads.tolist()) if head)
        if depth == 30:  # everything is seen: only what rested before the first row is unknown
            wrong = replay.COMPOSITION | replay.BEHIND_ANONYMOUS | replay.MISMATCHED
            assert not (marks & (wrong | replay.REVEALED)).any()
            assert found.counts[replay.LEVELS_VANISHED] == 0
    matched = (marks & (replay.MATCHED | replay.MATCHED_ANONYMOUS) != 0)[executions]
    assert (matched == ((marks & replay.MISMATCHED) == 0)[executions]).all()
    assert matched.mean() > 0.5
    assert (marks & replay.RESTED).any()


@pytest.mark.parametrize("seed", range(20))
def test_a_wrong_size_at_the_touch_is_found(seed):
    from censored_book import CensoredBook

    from experiments.recordings.lobster import parse

    rows = CensoredBook(seed, 3).play(300)
    rng = np.random.default_rng(seed)
    side = ("bid", "ask")[seed % 2]
    rows[int(rng.integers(1, len(rows)))][f"{side}_sz1"] += 1
    found = drive_messages(parse(pd.DataFrame(rows), "rows").recorded, matching=False)
    assert (found.marks & replay.TOUCH_FAILED).any()


# Binance


def depth_rows() -> pd.DataFrame:
    rows = [
        (9, 0, "b", 100.0, 9.0),  # before the snapshot: dropped
        (11, 0, "b", 99.9, 0.0),  # after it, though it stands before it in the file
        (11, 0, "a", 100.2, 1.5),
        (10, 1, "b", 100.0, 1.0), (10, 1, "b", 99.9, 2.0),
        (10, 1, "a", 100.1, 1.25), (10, 1, "a", 100.2, 3.0),
        (12, 0, "a", 100.1, 0.0), (12, 0, "b", 100.1, 0.5),  # the bid moves up
        (12, 0, "b", 98.0, 0.0),  # a level that was never there
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["update_id", "is_snapshot", "side", "price", "qty"])
    table.insert(0, "recv_ns", table["update_id"] * 10**9)
    table.insert(1, "exch_ms", table["update_id"] * 1000)
    return table


def quote_rows() -> pd.DataFrame:
    rows = [(10, 100.0, 1.0, 100.1, 1.25), (12, 100.1, 0.5, 100.2, 1.5)]
    table = pd.DataFrame(rows, columns=["update_id", "bid_px", "bid_qty", "ask_px", "ask_qty"])
    return table.assign(recv_ns=table["update_id"] * 10**9, exch_ms=0)


def trade_rows() -> pd.DataFrame:
    table = pd.DataFrame({"price": [100.1, 100.0, 99.0], "qty": 0.1, "trade_id": [1, 2, 3]})
    table["recv_ns"] = 11 * 10**9
    return table.assign(buyer_is_maker=[False, True, True])


def test_level_changes_follow_the_snapshot(run, save):
    path = save(depth_rows(), "x_depth.parquet")
    save(quote_rows(), "x_bbo.parquet")
    save(trade_rows(), "x_trades.parquet")
    code, out, err = run(f"file={path}")
    assert (code, err, last(out)) == (0, "", "3 passed, 0 failed")
    for told in (
        "2 batches after 1 snapshot of 4 levels; tick 0.1, lot 0.01",
        "no later than the snapshot: 1 rows dropped",
        "1 removals of levels that the book did not have",
        "rows applied: 6 set, 0 as they were, 2 removed, 0 refused",
        "of the same update id: 2 of 2",
        "of an earlier one: 1 of 1",
        "within 200 ms of their receipt: 2 of 3",
    ):
        assert told in out, out


def test_a_quote_of_the_same_update_that_differs_fails(run, save):
    quotes = quote_rows()
    quotes.loc[1, "ask_qty"] = 1.25
    code, out, _ = run(
        f"file={save(depth_rows(), 'y.parquet')}", f"bbo={save(quotes, 'quotes.parquet')}"
    )
    assert (code, last(out)) == (1, "2 passed, 1 failed")
    assert "trades: no table beside the file, not compared" in out


def test_a_crossed_batch_fails(run, save):
    table = depth_rows()
    table.loc[table["qty"] == 0.5, "price"] = 100.3  # above the ask of 100.2
    code, out, _ = run(f"file={save(table)}")
    assert (code, last(out)) == (1, "2 passed, 1 failed")
    assert "1 refused" in out


def test_a_second_snapshot_replaces_the_book():
    from experiments.recordings.binance import parse

    table = pd.concat([depth_rows(), depth_rows().query("update_id == 10").assign(update_id=20)])
    run = drive_levels(parse(table.reset_index(drop=True), "rows").feed)
    assert run.touches[-1, :4].tolist() == [1000, 100, 1001, 125]
    assert run.touches[-2, :4].tolist() == [1001, 50, 1002, 150]


def test_units_are_found_from_the_numbers():
    assert decimals_of(np.array([1.5, 2.25, 3.0]), 1.0) == 2
    assert decimals_of(np.array([61837.63, 0.1]), 1.0) == 2
    assert decimals_of(np.array([0.1] * 999 + [0.123]), 0.99) == 1


# Bitstamp


def life_rows() -> pd.DataFrame:
    rows = [
        (0.2, -60, 5, "ask", "deleted", 101.0, 0.5),  # rested before: seeded with 0.5
        (0.3, -50, 6, "bid", "deleted", 99.0, 0.0),  # filled, but nobody tells of what size
        (1.0, 1, 10, "ask", "created", 100.0, 1.0),
        (1.5, 1, 11, "ask", "created", 100.0, 2.0),
        (2.0, 2, 12, "bid", "created", 100.0, 1.5),  # takes all of 10 and 0.5 of 11
        (2.1, 2, 12, "bid", "changed", 100.0, 0.5),
        (2.1, 1, 10, "ask", "deleted", 100.0, 0.0),
        (2.2, 2, 12, "bid", "deleted", 100.0, 0.0),
        (2.2, 1, 11, "ask", "changed", 100.0, 1.5),
        (3.0, 1, 11, "ask", "changed", 100.0, 1.25),  # a trade with an order never shown
        (3.5, 1, 10, "ask", "deleted", 100.0, 0.0),  # twice
        (4.0, 1, 11, "ask", "deleted", 100.0, 1.25),
        (5.0, 5, 13, "bid", "created", 98.0, 1.0),
    ]
    columns = ["ts", "exchange_ts", "order_id", "direction", "action", "price", "size_btc"]
    table = pd.DataFrame(rows, columns=columns)
    for name in ("ts", "exchange_ts"):
        table[name] = pd.Timestamp("2015-05-01", tz="UTC") + pd.to_timedelta(table[name], unit="s")
    return table


def test_lives_of_orders_collected_and_matched(run, save):
    code, out, err = run(f"file={save(life_rows())}")
    assert (code, err, last(out)) == (0, "", "11 passed, 0 failed")
    for told in (
        "1 seeded with the lots of their first row; 1 whose first row is their last fill",
        "rows of orders not in the book: 1 left out; rows after their order's deletion: 1",
        "lots left as the row tells: 11 of 11",
        "cancelled with just the lots that were left: 2 of 2",
        "fills at the best price of the order's side: 5 of 5 (100.00%)",
        "the head of its queue: 5 of 5",
        "as it comes, 2 trades",
        "fills that the book had traded: 4 of 5 (80.00%), in part: 0",
        "exchange traded and the book did not: 0.25000000",
    ):
        assert told in out, out


def test_a_cancellation_of_other_lots_than_were_left_fails(run, save):
    table = life_rows()
    table.loc[11, "size_btc"] = 1.0
    code, out, _ = run(f"file={save(table)}")
    assert (code, last(out)) == (1, "10 passed, 1 failed")


def test_what_the_book_trades_and_the_exchange_did_not_is_told():
    from experiments.recordings.bitstamp import parse
    from sim.book.replay_orders import OVERTRADED

    table = life_rows().iloc[[2, 4, 11]].reset_index(drop=True)
    table.loc[2, ["order_id", "price", "size_btc"]] = (10, 100.0, 1.0)
    run = drive_orders(parse(table, "rows").feed, matching=True)
    assert (run.findings.marks & OVERTRADED != 0).tolist() == [False, False, True]


# bad files


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.drop(columns="direction"), "got none called direction"),
        (lambda t: t.drop(columns="ask_sz2"), "got none called ask_sz2"),
        (lambda t: t.assign(size="many"), "row 1: column size must hold numbers, got many"),
        (lambda t: t.assign(price=t["price"] + 0.5), "column price must hold whole numbers"),
        (lambda t: t.assign(type=9), "row 1: column type must hold a type from 1 to 7, got 9"),
        (lambda t: t.assign(direction=0), "column direction must hold 1 (bid) or -1 (ask), got 0"),
        (lambda t: t.assign(price=t["price"] * 10**9), "column price must hold at most"),
        (lambda t: t.assign(size=2**62), "column size must hold at most"),
        (lambda t: t.assign(order_id=2**61), "column order_id must hold numbers from 0"),
        (lambda t: t.iloc[::-1], "column time_ns must not go back"),
        (lambda t: t.iloc[:0], "must have at least one row"),
        (lambda t: t[["size"]], "must be a recording of a known layout"),
        (lambda t: t.assign(bid_px1=t["bid_px1"] + 1), "column bid_px1 must hold multiples"),
    ],
)
def test_a_bad_message_file_is_one_sentence(run, save, change, expected):
    code, out, err = run(f"file={save(change(pd.DataFrame(TWO_LEVELS)))}")
    assert (code, out) == (2, "")
    assert err.startswith("error: recording.parquet")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.assign(side="x"), "column side must hold one of b, bid"),
        (lambda t: t.assign(is_snapshot=0), "must mark a snapshot to start from"),
        (lambda t: t.assign(price=-t["price"]), "column price must hold prices above 0"),
        (lambda t: t.assign(qty=-1.0), "column qty must hold sizes of 0 or more"),
        (lambda t: t.assign(qty=np.nan), "column qty must hold numbers, got an empty cell"),
        (lambda t: t.assign(price=t["price"] * 1e9), "column price must hold at most"),
        (lambda t: t.iloc[::-1], "column update_id must not go back"),
    ],
)
def test_a_bad_depth_file_is_one_sentence(run, save, change, expected):
    code, out, err = run(f"file={save(change(depth_rows()).reset_index(drop=True))}")
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.assign(action="made"), "column action must hold one of created"),
        (lambda t: t.assign(price=t["price"] + 0.005), "column price must hold multiples of 0.01"),
        (lambda t: t.assign(size_btc=t["size_btc"] + 1e-10), "column size_btc must hold multiples"),
        (lambda t: t.assign(size_btc=0.0), "a size above 0 in a creation"),
        (lambda t: t.drop(columns="action"), "got none called action"),
    ],
)
def test_a_bad_file_of_lives_is_one_sentence(run, save, change, expected):
    code, out, err = run(f"file={save(change(life_rows()))}")
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


def test_a_truncated_file_is_one_sentence(run, save, tmp_path):
    whole = Path(save(TWO_LEVELS)).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    code, out, err = run(f"file={tmp_path / 'cut.parquet'}")
    assert (code, out) == (2, "")
    assert "cut.parquet must be a whole CSV or Parquet file" in err


def test_the_command_line_says_what_it_wants(run, save, tmp_path):
    assert "file must be given" in run()[2]
    assert "no such file" in run(f"file={tmp_path / 'none.parquet'}")[2]
    assert "go with Binance" in run(f"file={save(TWO_LEVELS)}", "bbo=x")[2]
    assert "table of trades" in run(f"file={save(trade_rows())}")[2]
    code, out, _ = run("--help")
    assert code == 0
    assert "N passed, N failed" in out


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(InputError, match="got a folder"):
        read_recording(tmp_path)


# real recordings


@pytest.fixture
def recording(shared: Path) -> Callable[[str], str]:
    def find(name: str) -> str:
        path = shared / "data" / f"{name}.parquet"
        if not path.is_file():
            pytest.skip(f"needs {path.name}")
        return f"file={path}"

    return find


def test_a_day_of_amazon(run, recording):
    code, out, _ = run(recording("lobster_amzn_2012-06-21_L5"))
    assert (code, last(out)) == (0, "155934 passed, 0 failed")
    assert "touch seen before, price and size: 155,934 of 155,934" in out
    assert "executions at the best price: 8,974 of 8,974" in out
    assert "at the head of their queue: 7,498 of 7,534 (99.52%)" in out
    assert "known orders, id, size and price: 7,500 of 7,540 (99.47%)" in out


def test_a_day_of_apple(run, recording):
    code, out, _ = run(recording("lobster_aapl_2012-06-21_L1"))
    assert (code, last(out)) == (0, "118496 passed, 0 failed")
    assert "touch seen before, price and size: 88,425 of 88,425" in out
    assert "executions at the best price: 23,658 of 23,658" in out
    assert "at the head of their queue: 13,050 of 13,096 (99.65%)" in out


@pytest.mark.parametrize(
    ("market", "batches", "same", "earlier"),
    [
        ("spot", 6494, "1,072 of 1,072", "5,420 of 5,422"),
        ("usdm", 6548, "629 of 629", "5,919 of 5,919"),
    ],
)
def test_minutes_of_bitcoin_by_levels(run, recording, market, batches, same, earlier):
    code, out, _ = run(recording(f"binance_{market}_btcusdt_20240808_depth"))
    assert (code, last(out)) == (0, f"{batches} passed, 0 failed")
    assert f"of the same update id: {same}" in out
    assert f"of an earlier one: {earlier}" in out


def test_hours_of_bitcoin_by_orders(run, recording):
    code, out, _ = run(recording("bitstamp_btcusd_l3_2015-05-01_a"))
    assert (code, last(out)) == (0, "35241 passed, 0 failed")
    assert "fills at the best price of the order's side: 872 of 872" in out
    assert "fills that the book had traded: 828 of 872" in out
