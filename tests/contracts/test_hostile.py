"""Hostile rows on every lending market of conf/lending: refused by name, without a trace.

The owner has a healthy loan and tries to take more than it carries; a stranger tries to take what
is not theirs. Each row is sent alone, and as the end of a bundle whose first row would stand.
"""

import numpy as np
import pytest

from sim.actions import Reject, Verb, new_rows

OWNER, STRANGER = "chaos", "liquidator_large"
ODD = {"zero": 0.0, "less": -1.0, "no number": np.nan}
VERBS = (Verb.SUPPLY, Verb.WITHDRAW, Verb.BORROW, Verb.REPAY, Verb.LIQUIDATE)
WHOLE = {"MakerMarket", "LiquityMarket"}  # whose liquidations have no amount
CLOSES = "CrvUsdMarket"  # whose rules let owners close a loan of any health themselves
ABSORBS = "CometMarket"  # which takes collateral but lends none of it


def bonus_of(kind, terms, health):
    """Bonus by the rules, as a fraction of the debt repaid; None where calls are of another kind.

    Morpho Blue's incentive factor has a cursor of 0.3; Euler's discount is 1 less the health.
    """
    if kind in ("PooledMarket", "CompoundV2Market"):
        return terms["liquidation_bonus"]
    if kind == "MorphoMarket":
        return 1.0 / (0.3 * terms["liquidation_threshold"] + 0.7) - 1.0
    return 1.0 / health - 1.0 if kind == "EulerMarket" else None


class Stage:
    """A market with one healthy loan of the owner, borrowed to the limit."""

    def __init__(self, name, model, owner):
        self.name, self.model, self.world = name, model, model.world
        for _ in range(2):
            model.step()
        self.world.open_block()
        self.market = self.world.venues.get("mine", self.world.venues["lending"])
        self.kind = type(self.market).__name__
        state = self.market.state
        pair = getattr(state, "assets", None)
        self.gem, self.money = (0, 2) if pair is None else (int(pair[0]), int(pair[1]))
        accounts = self.world.ledger.accounts
        self.accounts = {OWNER: owner, STRANGER: accounts.index(STRANGER)}
        assert self.accounts[STRANGER] != owner
        self.loan = int(np.flatnonzero(state.owner == owner)[0])
        if pair is None:
            self.send(OWNER, Verb.WITHDRAW, asset=self.money, amount=np.inf)
        self.send(OWNER, Verb.BORROW, asset=self.money, amount=np.inf)

    def row(self, account, verb, **fields):
        """Make one row; the stranger and the owner act on the owner's loan."""
        rows = new_rows(1)
        given = {"account": self.accounts[account], "verb": verb, "venue": self.market.index,
                 "target": self.loan, "asset": self.gem, "asset_2": self.money}  # fmt: skip
        for name, value in (given | fields).items():
            rows[name] = value
        return rows

    def run(self, *rows):
        """Execute rows as one bundle, or alone; their codes."""
        unit = np.concatenate(rows)
        if len(unit) > 1 or unit["verb"][0] == Verb.FLASH_BORROW:
            unit["bundle"] = 1
        self.world.executor.open_block()
        self.world.executor.run(unit, np.arange(len(unit)), np.array([0, len(unit)]))
        self.last = unit[-1]
        return [Reject(code) for code in unit["code"]]

    def send(self, account, verb, **fields):
        return self.run(self.row(account, verb, **fields))[0]

    def state(self):
        """Everything that a row may change, as bytes."""
        lending = self.world.venues["lending"].state
        arenas = [arena.buffer.tobytes() for arena in self.world._arenas()]
        return [*arenas, lending.collateral.tobytes(), lending.debt.tobytes()]

    def refused(self, expected, account, verb, **fields):
        """Assert the code, alone and at the end of a bundle, and that nothing has changed."""
        before, label = self.state(), f"{self.name}: {account} {verb.name} {fields}"
        row = self.row(account, verb, **fields)
        (code,) = self.run(row.copy())
        assert code == expected, label
        assert self.state() == before, label
        fine = self.row(OWNER, Verb.SUPPLY, amount=0.5)
        codes = self.run(fine, row.copy())
        assert codes == [Reject.BUNDLE_FAILED, expected], label
        assert self.state() == before, f"{label}, in a bundle"


@pytest.fixture
def stage(lending, small_study, chaotic):
    """The market of each file in turn."""
    model, chaos = chaotic(small_study("lending", lending, mounted=True), n_worlds=1)
    yield Stage(lending, model, chaos.account)
    model.close()


def test_hostile_rows_are_refused_without_a_trace(stage):
    gem, money = stage.gem, stage.money
    # Beyond what the loan carries, and what is not there.
    stage.refused(Reject.UNHEALTHY, OWNER, Verb.BORROW, asset=money, amount=40_000.0)
    stage.refused(Reject.UNHEALTHY, OWNER, Verb.WITHDRAW, amount=20.0)
    short = Reject.NO_COLLATERAL if stage.kind == CLOSES else Reject.INSUFFICIENT_BALANCE
    stage.refused(short, OWNER, Verb.WITHDRAW, amount=1e6)
    # What is somebody else's, and what is healthy.
    stage.refused(Reject.NOT_OWNER, STRANGER, Verb.WITHDRAW, amount=1.0)
    stage.refused(Reject.NOT_OWNER, STRANGER, Verb.BORROW, asset=money, amount=1.0)
    stage.refused(Reject.HEALTHY, STRANGER, Verb.LIQUIDATE, amount=100.0)
    stage.refused(Reject.HEALTHY, STRANGER, Verb.LIQUIDATE, amount=np.inf)
    # What is nothing at all.
    for amount in ODD.values():
        for verb in VERBS:
            asset = money if verb in (Verb.BORROW, Verb.REPAY) else gem
            account = STRANGER if verb == Verb.LIQUIDATE else OWNER
            code = Reject.BAD_AMOUNT
            if verb == Verb.LIQUIDATE and stage.kind in WHOLE:
                code = Reject.HEALTHY
            stage.refused(code, account, verb, asset=asset, amount=amount)
    for target in (-5, 10**6):
        for verb in VERBS:
            asset = money if verb in (Verb.BORROW, Verb.REPAY) else gem
            stage.refused(Reject.BAD_TARGET, OWNER, verb, asset=asset, amount=1.0, target=target)


def test_nobody_liquidates_oneself_while_healthy(stage):
    if stage.kind == CLOSES:
        pytest.skip("owners may close their own loan at any health")
    code = stage.send(OWNER, Verb.LIQUIDATE, amount=100.0)
    assert code in (Reject.SELF_LIQUIDATION, Reject.HEALTHY)
    stage.refused(code, OWNER, Verb.LIQUIDATE, amount=100.0)


@pytest.mark.parametrize("health", [0.999, 0.97, 0.93])
def test_a_call_takes_no_more_than_the_bonus_and_mends_the_loan(stage, health):
    """From above threshold * (1 + bonus) on, what is called must end up healthier than it was."""
    world, market, p = stage.world, stage.market, stage.loan
    terms = getattr(market, "terms", {}).get(world.assets[stage.gem])
    bonus = bonus_of(stage.kind, terms, health)
    if bonus is None:
        pytest.skip("its loans are sold by auctions, bands or a pool of their own")
    world.oracle_price[:, stage.gem] *= health / market.health_factors()[0, p]
    found = market.health_factors()[0, p]
    assert found == pytest.approx(health)
    assert terms["liquidation_threshold"] * (1.0 + bonus) < health
    assert stage.send(STRANGER, Verb.LIQUIDATE, amount=np.inf) == Reject.OK
    paid = stage.last["r0"] * world.oracle_price[0, stage.money]
    taken = (stage.last["r1"] + stage.last["r2"]) * world.oracle_price[0, stage.gem]
    assert paid < taken <= paid * (1.0 + bonus) * (1.0 + 1e-9)
    assert stage.last["r3"] == 0.0
    assert market.health_factors()[0, p] > found
    world.check()


def test_a_flash_loan_that_stays_out_never_was(stage):
    before = stage.state()
    loan = stage.row(STRANGER, Verb.FLASH_BORROW, asset=stage.money, amount=100.0)
    lends = Verb.FLASH_BORROW in type(stage.market).RESULTS
    assert stage.run(loan.copy()) == [Reject.FLASH_NOT_REPAID if lends else Reject.UNKNOWN_VERB]
    assert stage.state() == before
    if lends:
        short = stage.row(STRANGER, Verb.FLASH_REPAY, asset=stage.money, amount=99.0)
        codes = stage.run(loan.copy(), short)
        assert Reject.OK not in codes
        assert stage.state() == before


def test_dust_in_and_out_gains_nothing(stage):
    """Amounts under any rounding, there and back: never a gain beyond the rounding of a balance."""
    held = stage.world.ledger.balances[0].copy()
    for amount in (1e-30, 1e-18, 1e-9):
        for _ in range(20):
            for there, back, asset in (
                (Verb.SUPPLY, Verb.WITHDRAW, stage.gem),
                (Verb.REPAY, Verb.BORROW, stage.money),
            ):
                stage.send(OWNER, there, asset=asset, amount=amount)
                stage.send(OWNER, back, asset=asset, amount=amount)
    gain = stage.world.ledger.balances[0, stage.accounts[OWNER]] - held[stage.accounts[OWNER]]
    assert (gain <= 1e-10 * held[stage.accounts[OWNER]]).all(), f"{stage.name}: {gain}"
    stage.world.check()


def test_a_frozen_reserve_lends_no_more_and_lets_everybody_out(stage):
    if "frozen" not in getattr(stage.market, "bounds", {}) or stage.kind == ABSORBS:
        pytest.skip("its reserves cannot be frozen")
    stage.send(OWNER, Verb.REPAY, asset=stage.money, amount=1_000.0)
    stage.market.set_term("frozen", stage.world.assets[stage.money], np.ones(1))
    before = stage.state()
    for verb in (Verb.SUPPLY, Verb.BORROW):
        assert stage.send(OWNER, verb, asset=stage.money, amount=1.0) == Reject.PAUSED
        assert stage.state() == before
    assert stage.send(OWNER, Verb.REPAY, asset=stage.money, amount=1.0) == Reject.OK
    assert stage.send(OWNER, Verb.WITHDRAW, amount=0.01) == Reject.OK


def test_a_paused_reserve_does_nothing_at_all(stage):
    if "paused" not in getattr(stage.market, "bounds", {}):
        pytest.skip("its reserves cannot be paused")
    stage.market.set_term("paused", stage.world.assets[stage.gem], np.ones(1))
    before = stage.state()
    for verb in (Verb.SUPPLY, Verb.WITHDRAW):
        assert stage.send(OWNER, verb, amount=0.01) == Reject.PAUSED
        assert stage.state() == before
