"""A Liquity market alone in a small world, a minute per block."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from experiments.validation.alone import Alone
from sim.actions import Reject
from sim.lending.liquity.market import LiquityMarket
from sim.lending.liquity.pool import compounded, gain

ACCOUNTS = ("market", "alice", "bob", "carol")
ETH, LUSD = 0, 1


class Liquity(Alone):
    """Troves as given at a price of 200; all accounts have tokens besides."""

    def __init__(
        self, troves: tuple[tuple[float, float], ...], n_worlds: int = 1, **terms: Any
    ) -> None:
        super().__init__(("ETH", "LUSD"), (200.0, 1.0), ACCOUNTS, n_worlds)
        self.block_seconds = 60.0
        market = LiquityMarket(collateral="ETH", stable="LUSD", **terms)
        for k, (coll, debt) in enumerate(troves):
            owner = ACCOUNTS[1 + k % 3]
            market.add_positions(owner, np.array([[coll, 0.0]]), np.array([[0.0, debt]]))
        self.market = self.seat(market)
        for account in (1, 2, 3):
            self.ledger.endow(account, LUSD, 1e5)
            self.ledger.endow(account, ETH, 1e3)
        self.outside = self.ledger.balances[:, :, LUSD].sum(axis=1) - self.market.borrowed()

    def price(self, price: float) -> None:
        self.oracle_price[:, ETH] = price

    def wait(self, seconds: float) -> None:
        self.step += int(seconds / self.block_seconds)

    def do(self, verb: int, account: int = 1, **fields: Any) -> Any:
        """One row that must be executed."""
        done = self.act(self.market, verb, account=account, **fields)
        assert done["code"] == Reject.OK, Reject(done["code"]).name
        self.check()
        return done

    def refuse(self, code: Reject, verb: int, account: int = 1, **fields: Any) -> None:
        """One row that must be rejected with a code, and change nothing."""
        before = self.market.arena.buffer.tobytes() + self.ledger.arena.buffer.tobytes()
        done = self.act(self.market, verb, account=account, **fields)
        assert done["code"] == code, Reject(done["code"]).name
        assert [done[f"r{k}"] for k in range(4)] == [0.0] * 4
        after = self.market.arena.buffer.tobytes() + self.ledger.arena.buffer.tobytes()
        assert before == after

    def system(self, name: str) -> float:
        return float(self.market.state.system[name][0])

    def check(self) -> None:
        """What must hold after any row."""
        market, ledger, state = self.market, self.ledger, self.market.state
        system = state.system
        ledger.check(1e-12)
        gap = np.abs(ledger.balances[:, 0] - market.claims())
        assert gap.max() <= 1e-11 * ledger.minted.max()
        coll, debt = market.entire()
        for part, name in ((coll, "coll"), (debt, "debt")):
            total = system[f"active_{name}"] + system[f"default_{name}"]
            np.testing.assert_allclose(part.sum(axis=1), total, rtol=1e-11, atol=1e-6)
        np.testing.assert_allclose(system["total_stakes"], state.troves["stake"].sum(axis=1),
                                   rtol=1e-11, atol=1e-9)  # fmt: skip
        np.testing.assert_allclose(system["surplus"], state.troves["surplus"].sum(axis=1),
                                   rtol=1e-11, atol=1e-9)  # fmt: skip
        active = (state.troves["status"] == 1.0).sum(axis=1)
        np.testing.assert_array_equal(system["n_active"], active)
        np.testing.assert_allclose(system["gas_pool"], 200.0 * active, rtol=1e-12, atol=1e-9)
        for w in range(self.n_worlds):
            accounts = range(len(ACCOUNTS))
            worth = sum(compounded(state, w, k) for k in accounts)
            gains = sum(gain(state, w, k) for k in accounts)
            assert worth <= system["deposits"][w] * (1.0 + 1e-9) + 1e-9
            assert gains <= system["pool_coll"][w] * (1.0 + 1e-9) + 1e-9
        made = ledger.balances[:, :, LUSD].sum(axis=1) - market.borrowed()
        np.testing.assert_allclose(made, self.outside, rtol=1e-11, atol=1e-6)
        assert (ledger.balances >= 0.0).all()


@pytest.fixture(scope="session")
def liquity() -> Callable[..., Liquity]:
    return Liquity
