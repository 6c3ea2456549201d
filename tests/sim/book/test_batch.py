"""Batch auctions against continuous trading on the same messages."""

import numpy as np
import pytest

from sim.book.batch import run_batches
from sim.book.book import new_book, new_messages
from sim.book.layout import N_ORDERS, N_PRINTS, OrderVerb, PrintKind, Side, TimeInForce
from sim.book.matching import run

LIMIT, CANCEL = OrderVerb.LIMIT, OrderVerb.CANCEL
IOC = TimeInForce.IMMEDIATE_OR_CANCEL
MAKER, SNIPER, OTHER = 0, 1, 2
HALF, JUMP = 5, 20  # ticks: half spread of the maker, size of a jump of the value
FAST, SLOW = 10, 100  # milliseconds from the news to the order of the sniper, of the maker


def race(rng, n_jumps, gap):
    """A maker quotes around a value that jumps; both race to its stale quote after each jump.

    Budish, Cramton and Shim's model with one quote and one sniper of other speed: after a jump the
    sniper sends an immediate-or-cancel order at the new value, the maker cancels and quotes anew.
    """
    lines, value, jumps = [], 100_000, np.cumsum(rng.integers(gap, 2 * gap, n_jumps))
    order_id = 0

    def say(time, verb, number, side, price, account, tif=0):
        lines.append((time, verb, number, side, price, account, tif))

    def quote(time):
        nonlocal order_id
        say(time, LIMIT, order_id, Side.BUY, value - HALF, MAKER)
        say(time, LIMIT, order_id + 1, Side.SELL, value + HALF, MAKER)
        order_id += 2

    quote(0)
    for when in jumps:
        up = rng.random() < 0.5
        value += JUMP if up else -JUMP
        side = Side.BUY if up else Side.SELL
        for k in (2, 1):
            say(when + SLOW, CANCEL, order_id - k, 0, 0, MAKER)
        say(when + FAST, LIMIT, 10**9 + int(when), side, value, SNIPER, IOC)
        quote(when + SLOW)
    lines.sort(key=lambda line: line[0])
    messages = new_messages(len(lines))
    for name, column in zip(
        ("verb", "id", "side", "price", "account", "tif"), list(zip(*lines, strict=True))[1:],
        strict=True,
    ):  # fmt: skip
        messages[name] = column
    messages["quantity"] = 1
    return jumps, messages, np.array([line[0] for line in lines])


def rent(book):
    """Trades of the sniper, and what it gained against the value after the jump, in ticks."""
    tape = book.tape[: book.head[N_PRINTS]]
    mine = (tape["maker_account"] == SNIPER) | (tape["taker_account"] == SNIPER)
    return int(mine.sum())


@pytest.mark.parametrize("interval", [500, 1_000, 2_500])
def test_a_batch_shields_the_slower_but_for_the_last_moments(interval):
    """In continuous trading the faster wins every jump, in a batch those just before an auction.

    Those lie between the two delays before it, a share (slow - fast) / interval of all (Budish,
    Cramton and Shim 2015, section VI): and exactly those.
    """
    rng = np.random.default_rng(interval)
    jumps, messages, times = race(rng, 4_000, 3_000)
    book = new_book(n_prints=1 << 15)
    assert run(book, messages.copy(), 0) == len(messages)
    assert rent(book) == len(jumps)

    book = new_book(n_prints=1 << 15)
    until = int(times[-1]) + interval
    lots = run_batches(book, messages, times, interval, until)
    # The sniper's order is in the auction, the maker's cancellation is not.
    auction = ((jumps + FAST) // interval + 1) * interval
    sniped = int((jumps + SLOW >= auction).sum())
    assert rent(book) == sniped == lots
    expected = (SLOW - FAST) / interval
    assert sniped / len(jumps) == pytest.approx(expected, abs=4.0 * np.sqrt(expected / len(jumps)))
    assert book.head[N_ORDERS] == 2  # what was for one auction only is gone


def test_a_batch_trades_at_one_price_and_continuous_trading_at_many():
    """Three asks and one large bid of a market in a hurry: 3 prices against 1."""
    messages = new_messages(4)
    messages["id"], messages["account"] = np.arange(4), [MAKER] * 3 + [OTHER]
    messages["verb"], messages["side"] = LIMIT, [Side.SELL] * 3 + [Side.BUY]
    messages["price"], messages["quantity"] = [100, 101, 102, 110], [5, 5, 5, 15]
    prices = {}
    for mechanism in ("continuous", "batch"):
        book = new_book()
        if mechanism == "batch":
            assert run_batches(book, messages, np.arange(4), 10, 10) == 15
        else:
            run(book, messages, 0)
        tape = book.tape[: book.head[N_PRINTS]]
        assert (tape["kind"] == PrintKind.AUCTION_TRADE).all() == (mechanism == "batch")
        prices[mechanism] = sorted(set(tape["price"].tolist()))
    assert prices["continuous"] == [100, 101, 102]
    assert len(prices["batch"]) == 1
    assert 102 <= prices["batch"][0] <= 110


def test_a_market_order_takes_part_in_one_auction_and_leaves():
    messages = new_messages(3)
    messages["id"], messages["account"] = np.arange(3), [MAKER, OTHER, OTHER]
    messages["verb"] = [LIMIT, OrderVerb.MARKET, OrderVerb.MARKET]
    messages["side"] = [Side.SELL, Side.BUY, Side.BUY]
    messages["price"], messages["quantity"] = [100, 0, 0], [5, 3, 4]
    kept = messages.copy()
    book = new_book()
    assert run_batches(book, messages, np.array([0, 1, 11]), 10, 30) == 5
    tape = book.tape[: book.head[N_PRINTS]]
    assert tape["maker"].tolist() == [1, 2]
    assert book.head[N_ORDERS] == 0
    for name in ("verb", "tif", "price", "quantity"):
        assert (messages[name] == kept[name]).all()
