"""Lenders leave when utilisation rises, return when it falls, and move no more than there is."""

import numpy as np
import pytest

from agents.populations.book import LoanBook
from agents.populations.borrowers import Borrowers
from agents.populations.lenders import Lenders
from sim.actions import Reject, Verb
from sim.errors import ConfigError

ASSETS = ("WETH", "USDC", "DAI")
USDC = 1


def crowd_of(stage, **terms):
    """A market of borrowers who stay as they are and of lenders who look every block."""
    collateral, owed = np.zeros((2, 3)), np.zeros((2, 3))
    collateral[:, 0], owed[:, USDC] = 50.0, 25_000.0
    never = {"never": 1.0, "top_up": 0.0, "repay": 0.0, "releverage": 0.0}
    people = Borrowers(book=LoanBook(ASSETS, collateral, owed, np.arange(2)), behaviour=never)
    crowd = Lenders(**({"n_lenders": 6, "interval_seconds": 60.0, "spread": 0.02} | terms))
    whale = stage.Hand({"USDC": 1e7, "WETH": 100.0})
    model = stage.build({"people": people, "crowd": crowd, "whale": whale}, n_worlds=2)
    return model, crowd, whale


def used(model):
    """Utilisation of USDC by hand."""
    market = model.world.venues["lending"]
    debt = market.borrowed()[0, USDC]
    return debt / (debt + model.world.ledger.balances[0, market.account, USDC])


def supplied(model, crowd):
    """Tokens of the lenders in world 0."""
    state = model.world.venues["lending"].state
    return (state.collateral[0, crowd.first :, USDC] * state.reserves["liquidity_index"][0, USDC])[
        : len(crowd.asset)
    ]


def test_supply_is_up_to_the_wanted_utilisation(stage):
    model, crowd, _ = crowd_of(stage, utilisation=0.6)
    assert used(model) == pytest.approx(0.6)
    sizes = supplied(model, crowd)
    assert sizes == pytest.approx(sizes[0] / np.arange(1, 7))  # Zipf's law


def test_they_leave_above_and_return_below_and_never_with_more_than_the_cash(stage):
    model, crowd, whale = crowd_of(stage, utilisation=0.85, leave_above=0.9, return_below=0.7)
    world, market = model.world, model.world.venues["lending"]
    stage.play(model)
    assert not len(stage.play(model))  # in between, nobody moves
    start = supplied(model, crowd)
    crowd.habits.leave_above[:] = 0.80
    cash = world.ledger.balances[0, market.account, USDC]
    rows = stage.play(model)
    here = rows[rows["world"] == 0]
    assert (rows["verb"] == Verb.WITHDRAW).all()
    assert (rows["code"] == Reject.OK).all()
    assert here["amount"].sum() == pytest.approx(cash, rel=1e-6)
    assert used(model) == pytest.approx(1.0, abs=1e-6)
    assert world.ledger.balances[0, crowd.account, USDC] == pytest.approx(cash, rel=1e-6)
    # Others repay nearly all: utilisation falls below 70%, and those who left come back.
    for position in range(2):
        whale.intent = whale.order(
            Verb.REPAY, "lending", target=position, asset="USDC", amount=24_000.0
        )
        stage.play(model, [whale])
    rows = stage.play(model)
    here = rows[rows["world"] == 0]
    assert (rows["verb"] == Verb.SUPPLY).all()
    assert (rows["code"] == Reject.OK).all()
    assert here["amount"].sum() == pytest.approx(cash, rel=1e-6)
    assert world.ledger.balances[0, crowd.account, USDC] == pytest.approx(0.0, abs=1e-6)
    assert supplied(model, crowd) == pytest.approx(start, rel=1e-4)  # nobody has another's money
    assert not len(stage.play(model))


def test_what_was_refused_is_not_counted_as_taken_out(stage):
    model, crowd, _ = crowd_of(stage, utilisation=0.85)
    world, market = model.world, model.world.venues["lending"]
    crowd.habits.leave_above[:] = 0.80
    world.open_block()
    rows = crowd.decide(model.view)
    rows["gas"] = 1e12  # none gets in
    world.close_block([rows])
    crowd.habits.leave_above[:], crowd.habits.return_below[:] = 0.99, 0.98
    before = market.state.collateral.copy()
    for _ in range(2):
        assert not len(stage.play(model))
    np.testing.assert_array_equal(market.state.collateral, before)
    assert world.ledger.balances[0, crowd.account, USDC] == 0.0


def test_looks_are_an_interval_apart(stage):
    model, crowd, _ = crowd_of(stage, utilisation=0.85, interval_seconds=600.0, leave_above=0.99)
    crowd.habits.leave_above[:] = 0.0
    steps = {}
    for step in range(25):
        model.world.open_block()
        rows = crowd.decide(model.view)
        for row in rows[rows["world"] == 0]:
            steps.setdefault(int(row["target"]), []).append(step)
        model.world.close_block([])
    assert len(steps) >= 1
    for seen in steps.values():
        assert (np.diff(seen) == 10).all()


def test_bad_terms_are_one_sentence(stage):
    with pytest.raises(ConfigError, match=r"lenders.utilisation must lie in \(0, 1\], got 0"):
        Lenders(utilisation=0.0)
    with pytest.raises(ConfigError, match="return_below must be under leave_above"):
        Lenders(return_below=0.95)
    with pytest.raises(ConfigError, match="n_lenders must be at least 1, got 0"):
        Lenders(n_lenders=0)
    with pytest.raises(ConfigError, match="put the lenders after the borrowers"):
        stage.build({"crowd": Lenders()})
