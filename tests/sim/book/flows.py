"""Random messages of every kind, and a kernel and a reference book that take them side by side."""

import sys

import numpy as np

from sim.book.book import OrderBook, fee_units, new_messages
from sim.book.layout import (
    FAR_COUNT,
    FEES,
    HALT_WANTED,
    LAST_PRICE,
    N_ORDERS,
    N_STOPS,
    PHASE,
    STAMP,
    VOLUME,
    OrderVerb,
)

ReferenceBook = sys.modules["book_tests_reference"].ReferenceBook

VERBS = np.array([*OrderVerb, 0, 77], np.int8)
COMMON = (0.40, 0.06, 0.04, 0.04, 0.20, 0.07, 0.16, 0.0003, 0.0001, 0.004, 0.0005, 0.0005)
"""Share of each verb; the last two are no verbs."""
EDGES = (1, 5, 2**31 - 2)  # prices of the domain that are far from everything else
NO_AUCTION = (*COMMON[:7], 0.0, 0.0001, 0.004, 0.0005, 0.0005)


def flow(
    seed, n, *, verbs=COMMON, ids=200, centre=10_000, drift=1.0, spread=12.0, shift=0.3, lots=40,
    jumps=0.0, jump=0, accounts=0, bad=0.01, plain=0.7,
):  # fmt: skip
    """Make messages around a price that wanders, a few of them wrong in some word.

    Parameters
    ----------
    verbs : sequence of float
        Shares, as `COMMON`.
    ids : int
        Ids that orders may have; few make many live targets, and duplicates.
    drift, spread : float
        Ticks that the centre moves a message, and that prices lie off it.
    shift : float
        Spreads by which orders are passive, in the mean.
    jumps, jump : float, int
        Share of messages at which the centre jumps, and by how many ticks at most.
    accounts : int
        0: as many as 5, and anonymous.
    bad : float
        Share of messages with a word out of bounds.
    plain : float
        Share of orders that are good till cancelled, and of those that allow self-trades.
    """
    rng = np.random.default_rng(seed)
    m = new_messages(n)
    share = np.array(verbs) / sum(verbs)
    m["verb"] = rng.choice(VERBS, n, p=share)
    m["id"] = rng.integers(0, ids, n)
    steps = rng.normal(0.0, drift, n)
    if jumps:
        jumped = np.flatnonzero(rng.random(n) < jumps)
        steps[jumped] += rng.integers(-jump, jump + 1, jumped.shape[0])
    middle = centre + np.cumsum(steps)
    low = 50 + 4 * spread
    middle = low + np.abs(middle - low)  # reflected: prices stay positive
    m["side"] = rng.integers(0, 2, n)
    away = rng.laplace(shift * spread, spread, n)  # on the passive side of the centre, mostly
    price = np.rint(middle + np.where(m["side"] == 0, -away, away)).astype(np.int64)
    m["price"] = np.maximum(price, 1)
    m["trigger"] = np.maximum(
        np.rint(middle + np.where(m["side"] == 0, 1, -1) * rng.normal(spread, spread, n)), 1
    )
    m["quantity"] = rng.integers(1, lots + 1, n)
    icebergs = rng.random(n) < 0.2
    m["display"] = np.where(icebergs, rng.integers(1, m["quantity"] + 1), 0)
    fancy = rng.random(n) > plain
    m["tif"] = np.where(fancy, rng.integers(0, 4, n), 0)
    m["stp"] = np.where(rng.random(n) > plain, rng.integers(0, 3, n), 0)
    owners = accounts or 5
    m["account"] = m["id"] % owners - (0 if accounts else (m["id"] % 7 == 0) * 100)
    m["account"] = np.maximum(m["account"], -1)
    atomic = np.isin(m["verb"], (OrderVerb.MARKET, OrderVerb.STOP))
    m["price"][atomic], m["display"][atomic] = 0, 0
    m["tif"][atomic & (m["tif"] == 3)] = 0
    wrong = np.flatnonzero(rng.random(n) < bad)
    spoil(m, wrong, rng)
    if not verbs[7]:  # auctions take prices of the window only
        edge = np.flatnonzero((rng.random(n) < 0.1 * bad) & (m["price"] > 0))
        m["price"][edge] = rng.choice(EDGES, edge.shape[0])
    return m


WRONG = {
    "id": (-1, -(2**63), 2**63 - 1, 10**12),
    "quantity": (0, -1, -(2**63), 2**40, 2**40 + 1, 2**63 - 1),
    "display": (-1, 41, 2**63 - 1),
    "price": (0, -1, -(2**31), 2**31 - 1),
    "trigger": (0, -5, 2**31 - 1),
    "account": (-1, -2, 3, 10**6),
    "side": (-1, 2, 127),
    "tif": (-1, 4),
    "stp": (-1, 3),
}


def spoil(m, rows, rng):
    """Write a value at or beyond a bound into one word of each row."""
    names = list(WRONG)
    for row, k in zip(rows, rng.integers(0, len(names), rows.shape[0]), strict=True):
        values = WRONG[names[k]]
        m[names[k]][row] = values[rng.integers(len(values))]


class Pair:
    """A kernel's book and the reference, fed alike.

    Parameters
    ----------
    wealth : (int, int)
        Cash and lots that each account begins with.
    **terms
        Of `OrderBook`.
    """

    def __init__(self, wealth=(0, 0), bands=None, **terms):
        self.book = OrderBook(**terms)
        n_accounts = terms.get("n_accounts", 0)
        self.slow = ReferenceBook(
            capacity=terms.get("capacity", 4096),
            n_accounts=n_accounts,
            taker_fee=fee_units("taker_fee_bps", terms.get("taker_fee_bps", 0.0)),
            maker_fee=fee_units("maker_fee_bps", terms.get("maker_fee_bps", 0.0)),
            bands=bands,
        )
        if bands:
            self.book.set_bands(*bands)
        self.wealth = [wealth[0] * n_accounts, wealth[1] * n_accounts]
        for account in range(n_accounts):
            self.book.fund(account, *wealth)
            self.slow.cash[account], self.slow.lots[account] = wealth

    def set_bands(self, low, high):
        self.book.set_bands(low, high)
        self.slow.low, self.slow.high = low, high

    def do(self, messages):
        """Let both take the messages and compare all that can be seen afterwards."""
        asked = messages.tolist()
        prints = self.book.submit(messages)
        slow = self.slow
        slow.tape.clear()
        answers = [slow.do(i, message) for i, message in enumerate(asked)]
        self.compare(asked, messages, answers, prints)
        self.compare_state()
        return prints

    def compare(self, asked, messages, answers, prints):
        slow = self.slow
        got = list(
            zip(
                messages["code"].tolist(),
                messages["outcome"].tolist(),
                messages["filled"].tolist(),
                strict=True,
            )
        )
        told = prints.tolist()
        if got == answers and told == slow.tape:
            return
        wrong = [i for i, answer in enumerate(answers) if got[i] != answer]
        for line in range(max(len(told), len(slow.tape))):
            pair = [tape[line] for tape in (told, slow.tape) if line < len(tape)]
            if len(pair) == 1 or pair[0] != pair[1]:
                wrong.append(min(pair)[0])
                break
        first = min(wrong)
        raise AssertionError(
            f"message {first}: {asked[first]}\nkernel {got[first]} reference {answers[first]}\n"
            f"kernel's tape {[line for line in told if line[0] == first]}\n"
            f"reference's   {[line for line in slow.tape if line[0] == first]}"
        )

    def compare_state(self):
        book, slow = self.book, self.slow
        head = book.state.head
        assert (
            head[LAST_PRICE], head[FEES], head[VOLUME], head[PHASE], head[HALT_WANTED], head[STAMP],
            head[N_ORDERS], head[N_STOPS] + head[N_STOPS + 1],
        ) == (
            slow.last, slow.fees, slow.volume, slow.phase, slow.halt_wanted, slow.stamp,
            len(slow.live), len(slow.stops[0]) + len(slow.stops[1]),
        )  # fmt: skip
        for side in range(2):
            queue = book.queue(side)
            words = ("id", "price", "quantity", "hidden", "account")
            rows = list(zip(*(queue[name].tolist() for name in words), strict=True))
            # behind the window the older is first at each price, but the prices have no order
            split = len(rows) - int(head[FAR_COUNT + side])
            rows[split:] = sorted(rows[split:], key=lambda row: row[1] * (2 * side - 1))
            assert rows == slow.queue(side)
            heap = book.state.stops.reshape(2, -1)[side, : head[N_STOPS + side]]
            stops = book.state.orders[heap]
            words = ("id", "price", "quantity", "trigger", "account")
            rows = list(zip(*(stops[name].tolist() for name in words), strict=True))
            assert sorted(rows) == sorted(slow.waiting(side))
        if book.state.accounts.shape[0]:
            accounts = book.state.accounts
            assert accounts.tolist() == list(
                zip(slow.cash, slow.lots, slow.cash_held, slow.lots_held, strict=True)
            )
            cash = accounts["cash"].sum() + accounts["cash_reserved"].sum()
            lots = accounts["lots"].sum() + accounts["lots_reserved"].sum()
            assert [cash + head[FEES], lots] == self.wealth
