"""Kernel and reference agree trade for trade, on every order type."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.actions import Reject
from sim.book.book import new_messages
from sim.book.layout import OrderVerb, Outcome, PrintKind
from sim.book.matching import CACHED

BATCH = 2_000
PER_SETUP = 45_000  # messages of one seed
SEEDS = (1, 2, 3)


def setups(flows):
    """Terms of the book and of the flow, by name; ten of them, three seeds each: 1.3 million."""
    few = {"n_levels": 4096}
    wide = {
        "verbs": flows.NO_AUCTION, "drift": 20.0, "spread": 1500.0, "jumps": 0.002, "jump": 20_000,
        "centre": 50_000,
    }  # fmt: skip
    rich = {"n_accounts": 7, "taker_fee_bps": 5.0, "maker_fee_bps": -2.0}
    poor = {"n_accounts": 4, "taker_fee_bps": 30.0, "maker_fee_bps": 10.0}
    return {
        "narrow": (few, {}),
        "deep": (few, {"ids": 3000, "spread": 3.0}),
        "wide": (few, wide),
        "full": (few | {"capacity": 30}, {"ids": 80}),
        "self-trades": (few, {"plain": 0.2, "ids": 60}),
        "bands": (few | {"bands": (9_980, 10_030)}, {"drift": 0.3}),
        "accounts": (few | rich | {"wealth": (3_000_000, 300)}, {"accounts": 7}),
        "poor": (few | poor | {"wealth": (900_000, 60)}, {"accounts": 4, "plain": 0.4}),
        "poor and wide": (
            few | poor | {"wealth": (90_000_000, 300)}, wide | {"accounts": 4, "plain": 0.5},
        ),
        "many": (
            {"n_levels": 2**16, "capacity": 2**16, "n_prints": 2**18},
            {"ids": 10**6, "spread": 300.0, "shift": 2.0, "verbs": MANY},
        ),
    }  # fmt: skip


NAMES = (
    "narrow", "deep", "wide", "full", "self-trades", "bands", "accounts", "poor", "poor and wide",
    "many",
)  # fmt: skip
MANY = (0.92, 0.01, 0.02, 0.02, 0.02, 0.003, 0.007, 0.0001, 0.0, 0.01, 0.0, 0.0)
"""More live orders than caches hold, which the kernel looks ahead for."""


def run(flows, name, seed, n, **more):
    """Run a flow through both; return what happened: codes, outcomes, kinds of prints."""
    terms, mix = setups(flows)[name]
    pair = flows.Pair(**terms, **more)
    messages = flows.flow(seed, n, **mix)
    moves = np.random.default_rng(seed)
    kinds = set()
    for start in range(0, n, BATCH):
        if name == "bands":
            middle = 10_000 + int(moves.integers(-20, 20))
            pair.set_bands(middle - 15, middle + 15)
        kinds |= set(pair.do(messages[start : start + BATCH])["kind"].tolist())
        pair.book.check()
    return set(messages["code"].tolist()), set(messages["outcome"].tolist()), kinds, pair


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_trade_for_trade(flows, name, seed):
    codes, outcomes, kinds, pair = run(flows, name, seed, PER_SETUP)
    assert outcomes == set(Outcome)
    if name == "many":
        assert len(pair.slow.live) > CACHED
        return
    assert kinds >= set(PrintKind) - {PrintKind.AUCTION_TRADE, PrintKind.SELF_TRADE_CANCEL}
    if "wide" not in name:
        assert PrintKind.AUCTION_TRADE in kinds
    if name == "full":
        assert Reject.BOOK_FULL in codes
    if name == "bands":
        assert Reject.OUT_OF_BAND in codes
    if pair.wealth[0]:
        assert Reject.INSUFFICIENT_BALANCE in codes


def test_every_reject_of_a_book_occurs(flows):
    """What the flows leave out would be compared by nobody."""
    found = set()
    for name in ("full", "bands", "poor"):
        found |= run(flows, name, 4, 10_000)[0]
    absent = set(range(Reject.BAD_PRICE, Reject.BOOK_FULL + 1)) - found
    assert not absent
    more = {"OK", "UNKNOWN_VERB", "BAD_AMOUNT", "BAD_TARGET", "INSUFFICIENT_BALANCE", "NOT_OWNER"}
    assert {Reject[name] for name in more} <= found


@pytest.mark.parametrize("name", NAMES)
def test_every_invariant_holds_after_every_message(flows, name):
    run(flows, name, 5, 12_000, checked=True)


ORDERS = st.tuples(
    st.sampled_from([1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 10]),  # verb
    st.integers(0, 9),  # id
    st.integers(0, 1),  # side
    st.sampled_from([1, 2, 3, 5, 8, 50]),  # quantity
    st.sampled_from([0, 0, 0, 1, 2, 5]),  # display
    st.one_of(st.integers(98, 103), st.sampled_from([1, 7_000, 7_001, 2**31 - 2])),  # price
    st.integers(97, 104),  # trigger
    st.sampled_from([0, 0, 0, 1, 2, 3]),  # tif
    st.sampled_from([0, 0, 1, 2]),  # self-trade
)
WAYS = {
    "anonymous": {"capacity": 64},
    "three accounts": {
        "capacity": 64, "n_accounts": 3, "taker_fee_bps": 100.0, "maker_fee_bps": 30.0,
        "wealth": (4_000, 20),
    },
    "rebate, nearly full": {
        "capacity": 4, "n_accounts": 2, "taker_fee_bps": 500.0, "maker_fee_bps": -200.0,
        "wealth": (20_000, 40),
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_short_stories(flows, way):
    """Hypothesis looks for the shortest sequence on which the two disagree or the audit fails."""
    terms = WAYS[way]

    @settings(max_examples=300)
    @given(st.lists(ORDERS, min_size=1, max_size=30))
    def tell(orders):
        pair = flows.Pair(checked=True, n_levels=4096, n_prints=4096, **terms)
        messages = new_messages(len(orders))
        far = any(not 98 <= order[5] <= 103 for order in orders)
        for m, (verb, order_id, side, lots, display, price, trigger, tif, stp) in zip(
            messages, orders, strict=True
        ):
            if verb == OrderVerb.HALT and far:
                continue  # an auction is held among the prices of the window
            atomic = verb in (OrderVerb.MARKET, OrderVerb.STOP)
            m["verb"], m["id"], m["side"], m["quantity"] = verb, order_id, side, lots
            m["display"] = 0 if atomic else min(display, lots)
            m["price"] = 0 if atomic else price
            m["trigger"], m["stp"] = trigger, stp
            m["tif"] = 0 if atomic and tif == 3 else tif
            m["account"] = order_id % terms.get("n_accounts", 3)
        pair.do(messages)

    tell()
