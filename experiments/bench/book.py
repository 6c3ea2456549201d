"""What the order book costs: a message, an order from Python, two processes, and a peer."""

import importlib.metadata
import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from experiments.bench import Figure
from sim.kernel import Rows

MESSAGES = 1_000_000
REPEATS = 9
PEER_MESSAGES = 200_000  # as many as take the peer a fraction of a second
WORLDS, PER_WORLD = 64, 100_000
BATCH = 8192


def replayed(messages: Rows, *, checked: bool = True, **terms: int) -> float:
    """Seconds that a fresh book takes for messages; `checked`: none may be rejected."""
    from sim.book.book import new_book
    from sim.book.matching import run

    terms = {"capacity": 16384, "n_levels": 32768, "n_prints": messages.shape[0]} | terms
    book, own = new_book(**terms), messages.copy()
    begun = time.perf_counter()
    done = run(book, own, 0)
    seconds = time.perf_counter() - begun
    if done != messages.shape[0] or (checked and own["code"].any()):
        raise RuntimeError("the book did not take the whole flow")
    return seconds


def matching() -> list[Figure]:
    """Messages through the kernel, with every order type compiled in."""
    from sim.book.flow import near_touch_flow

    flow = near_touch_flow(MESSAGES)
    replayed(flow[:1000])
    times = sorted(replayed(flow) for _ in range(REPEATS))
    note = f"{MESSAGES:,} near-touch messages, one core, {REPEATS} runs"
    return [
        Figure("a message, median", median(times) / MESSAGES * 1e9, "ns", 25.0, note=note),
        Figure("a message, best", times[0] / MESSAGES * 1e9, "ns", note=note),
        *peer(flow[:PEER_MESSAGES]),
        *big_book(),
    ]


COLUMNS = ("verb", "side", "quantity", "price", "id")


def bourse_calls(columns: dict[str, Any], *, prepared: bool) -> tuple[float, int]:
    """Seconds and trades of bourse's order book for a flow, one call a message.

    `prepared`: the numpy columns are turned into Python's numbers before the clock starts. Time
    moves with every message: bourse tells orders of one price apart by their time alone.
    """
    import bourse

    book = bourse.core.OrderBook(0, 1, True)
    place, cancel, set_time = book.place_order, book.cancel_order, book.set_time
    if prepared:
        columns = {name: column.tolist() for name, column in columns.items()}
    verb, side, lots, price, order = (columns[name] for name in COLUMNS)
    begun = time.perf_counter()
    for i in range(len(verb)):
        set_time(i)
        if verb[i] == 5:
            cancel(int(order[i]))
        elif price[i] == 0:
            place(bool(side[i] == 0), int(lots[i]), 0)
        else:
            place(bool(side[i] == 0), int(lots[i]), 0, int(price[i]))
    return time.perf_counter() - begun, len(book.get_trades())


def our_calls(columns: dict[str, Any]) -> tuple[float, int]:
    """Seconds and trades of our book for the same columns, messages made from them included."""
    from sim.book.book import OrderBook, new_messages

    n, trades = len(columns["id"]), 0
    book, messages = OrderBook(capacity=16384, n_levels=32768), new_messages(BATCH)
    begun = time.perf_counter()
    for start in range(0, n, BATCH):
        part = messages[: min(BATCH, n - start)]
        for name in COLUMNS:
            part[name] = columns[name][start : start + BATCH]
        trades += len(book.submit(part))
    return time.perf_counter() - begun, trades


def peer(flow: Rows) -> list[Figure]:
    """Send the same messages through bourse (Rust with Python calls), in the same run."""
    if importlib.util.find_spec("bourse") is None:
        return [Figure("bourse, a message", None, "ns", note="install the extra `bench`")]
    columns = {name: np.ascontiguousarray(flow[name]) for name in COLUMNS}
    ours = sorted(our_calls(columns) for _ in range(REPEATS))[REPEATS // 2]
    figures, version = [], importlib.metadata.version("bourse")
    for name, prepared, bar in (("from numpy columns", False, 25.0), ("calls alone", True, None)):
        theirs = sorted(bourse_calls(columns, prepared=prepared) for _ in range(3))[1]
        if theirs[1] != ours[1]:
            raise RuntimeError(f"bourse made {theirs[1]} trades of the flow, we {ours[1]}")
        note = f"bourse {version}, {flow.shape[0]:,} messages, the same {ours[1]:,} trades"
        figures += [
            Figure(f"bourse, a message, {name}", theirs[0] / flow.shape[0] * 1e9, "ns", note=note),
            Figure("  times ours", theirs[0] / ours[0], "x", bar, at_least=True, note=note),
        ]
    return figures


def big_book() -> list[Figure]:
    """Run the flow with many more live orders than caches hold."""
    from sim.book.flow import near_touch_flow

    flow = near_touch_flow(4_000_000, live_target=1_000_000)
    n = flow.shape[0]
    seconds = median(replayed(flow, capacity=n, n_prints=2 * n) for _ in range(3))
    return [Figure("a message, big book", seconds / n * 1e9, "ns", note="up to 10^6 live orders")]


def conformance() -> list[Figure]:
    """Replay a workload that sweeps a wide range of prices; its file is not the project's."""
    root = Path(os.environ.get("FAULTLINE_SHARED", Path.cwd().parent / "shared"))
    path = root / "bench" / "conformance_flash-crash.parquet"
    name = "a message, flash crash"
    if not path.exists():
        return [Figure(name, None, "ns", 150.0, note="set FAULTLINE_SHARED to the folder of it")]
    from experiments.conformance import Workload

    messages = Workload(path).messages
    n = messages.shape[0]
    terms = {"capacity": 65536, "n_levels": 65536, "n_prints": 2 * n}
    seconds = median(replayed(messages, checked=False, **terms) for _ in range(5))
    return [Figure(name, seconds / n * 1e9, "ns", 150.0, note=f"{n:,} messages")]


def single_order() -> list[Figure]:
    """Send one order a call from Python, in one world."""
    from sim.book.book import OrderBook
    from sim.book.layout import OrderVerb, Side

    book = OrderBook()
    limit, cancel, buy = OrderVerb.LIMIT, OrderVerb.CANCEL, Side.BUY
    n, times = 50_000, []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for _ in range(n):
            book.order(limit, buy, 7, 5, 100)
            book.order(cancel, buy, 7, 0)
        times.append((time.perf_counter() - begun) / (2 * n))
    return [Figure("one order from Python", median(times) * 1e6, "µs", 3.0, note="OrderBook.order")]


def _share(first: int, count: int, start: float) -> float:
    """Wait for `start`, run worlds' flows, and return the time at which all were through."""
    from sim.book.book import new_book
    from sim.book.flow import near_touch_flow
    from sim.book.matching import run

    flows = [near_touch_flow(PER_WORLD, seed=first + k) for k in range(count)]
    books = [new_book(capacity=32768, n_levels=32768, n_prints=PER_WORLD) for _ in range(count)]
    run(new_book(), flows[0][:10].copy(), 0)
    if start:
        time.sleep(max(start - time.time(), 0.0))
    begun = time.time()
    for book, flow in zip(books, flows, strict=True):
        run(book, flow, 0)
    return time.time() - begun


def two_processes() -> list[Figure]:
    """Run 64 worlds of 100,000 messages in two processes against one."""
    context = multiprocessing.get_context("spawn")
    ratios = []
    for _ in range(3):
        with context.Pool(1) as pool:
            one = pool.apply(_share, (0, WORLDS, 0.0))
        with context.Pool(2) as pool:
            half = WORLDS // 2
            start = time.time() + 8.0
            parts = [pool.apply_async(_share, (k * half, half, start)) for k in range(2)]
            two = max(part.get() for part in parts)
        ratios.append(one / two)
    note = f"{WORLDS} worlds x {PER_WORLD:,} messages"
    return [Figure("two processes against one", median(ratios), "x", 1.8, at_least=True, note=note)]


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {
    "book": [matching, conformance, single_order, two_processes],
}
