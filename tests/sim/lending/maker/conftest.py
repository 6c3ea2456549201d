"""A Maker market alone in a small world, a minute per block."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from experiments.validation.alone import Alone
from sim.actions import Reject
from sim.lending.maker.market import MakerMarket

ACCOUNTS = ("market", "owner", "alice", "bob")
OWNER, ALICE, BOB = 1, 2, 3
GEM, DAI = 0, 1


class Maker(Alone):
    """One vault of the owner (100 gems at 200, 10,000 stable tokens) unless told otherwise."""

    def __init__(
        self, ink: tuple[float, ...] = (100.0,), debt: tuple[float, ...] = (10_000.0,),
        n_worlds: int = 1, **terms: Any,
    ) -> None:  # fmt: skip
        super().__init__(("GEM", "DAI"), (200.0, 1.0), ACCOUNTS, n_worlds)
        self.block_seconds = 60.0
        terms = {"stability_fee": 0.0, "max_auctions": 8, **terms}
        market = MakerMarket(collateral="GEM", stable="DAI", **terms)
        for gems, owed in zip(ink, debt, strict=True):
            market.add_positions("owner", np.array([[gems, 0.0]]), np.array([[0.0, owed]]))
        self.market = self.seat(market)
        self.ledger.endow(OWNER, DAI, sum(debt))
        for account in (ALICE, BOB):
            self.ledger.endow(account, DAI, 1e6)
        self.ledger.endow(OWNER, GEM, 1e3)
        self.ledger.arena.keep_as_initial()
        self.outside = self.ledger.balances[:, :, DAI].sum(axis=1) - self.debt()

    def price(self, price: float) -> None:
        self.oracle_price[:, GEM] = price

    def wait(self, seconds: float) -> None:
        self.step += int(seconds / self.block_seconds)

    def do(self, verb: int, account: int = ALICE, **fields: Any) -> Any:
        """One row that must be executed."""
        done = self.act(self.market, verb, account=account, **fields)
        assert done["code"] == Reject.OK, Reject(done["code"]).name
        self.check()
        return done

    def refuse(self, code: Reject, verb: int, account: int = ALICE, **fields: Any) -> None:
        """One row that must be rejected with a code, and change nothing."""
        before = self.market.arena.buffer.tobytes() + self.ledger.arena.buffer.tobytes()
        done = self.act(self.market, verb, account=account, **fields)
        assert done["code"] == code, Reject(done["code"]).name
        assert [done[f"r{k}"] for k in range(4)] == [0.0] * 4
        after = self.market.arena.buffer.tobytes() + self.ledger.arena.buffer.tobytes()
        assert before == after

    def debt(self) -> Any:
        """All stable tokens that vaults and the system owe."""
        system = self.market.state.system
        return self.market.borrowed() + system["sin"]

    def check(self) -> None:
        """What must hold after any row."""
        market, ledger = self.market, self.ledger
        state, system = market.state, market.state.system
        ledger.check(1e-12)
        custody, claims = ledger.balances[:, 0], market.claims()
        assert np.abs(custody - claims).max() <= 1e-12 * max(1.0, ledger.minted.max())
        np.testing.assert_allclose(system["total_art"], state.urns["art"].sum(axis=1), rtol=1e-12,
                                   atol=1e-9)  # fmt: skip
        live = state.auctions["live"] == 1.0
        np.testing.assert_array_equal(system["n_live"], live.sum(axis=1))
        for name in ("tab", "due"):
            total = (state.auctions[name] * live).sum(axis=1)
            np.testing.assert_allclose(
                system["dirt" if name == "tab" else "due"], total, rtol=1e-9, atol=1e-7
            )
        assert (state.auctions["lot"][~live] == 0.0).all()
        waiting = state.queue["debt"].sum(axis=1)
        np.testing.assert_allclose(system["queued"], waiting, rtol=1e-9, atol=1e-7)
        assert (system["queued"] <= system["sin"] * (1.0 + 1e-12) + 1e-7).all()
        for w in range(self.n_worlds):
            n = int(system["n_live"][w])
            assert sorted(state.slots[w]) == list(range(state.slots.shape[1]))
            assert set(state.slots[w][:n]) == set(np.flatnonzero(live[w]))
        # what exists of the stable token beyond what came from outside is owed by somebody
        made = ledger.balances[:, :, DAI].sum(axis=1) - self.debt()
        np.testing.assert_allclose(made, self.outside, rtol=1e-12, atol=1e-6)
        assert (ledger.balances >= 0.0).all()


@pytest.fixture(scope="session")
def maker() -> Callable[..., Maker]:
    return Maker
