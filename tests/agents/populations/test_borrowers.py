"""What borrowers do, and when, against the health that they wanted."""

import numpy as np
import pytest

from agents.agent import MarketAgent
from agents.populations.behaviour import BorrowerParams, Reaction
from agents.populations.book import LoanBook
from agents.populations.borrowers import Borrowers, decide, largest
from sim.actions import Reject, Verb, new_rows

WETH, USDC, DAI = 0, 1, 2
ASSETS = ("WETH", "USDC", "DAI")
EXACT = {  # everybody the same, everybody looks every block and acts at once
    "trigger_median": 1.15,
    "trigger_sigma": 0.0,
    "target_gap_median": 0.25,
    "target_gap_sigma": 0.0,
    "ample_median": 2.0,
    "ample_sigma": 0.0,
    "interval_seconds": {"bot": 60.0},
    "interval_share": {"bot": 1.0},
    "delay_median_seconds": 1.0,
    "delay_sigma": 0.0,
    "wallet_median": 10.0,
    "wallet_sigma": 0.0,
    "gas_tolerance_median": 0.05,
    "gas_tolerance_sigma": 0.0,
    "fee_cap_median_gwei": 500.0,
    "fee_cap_sigma": 0.0,
}


def shares(kind):
    """All borrowers of one kind."""
    names = [reaction.name.lower() for reaction in Reaction]
    return {name: float(name == kind) for name in names}


def book(health, collateral_usd=100_000.0, debt="USDC"):
    """Positions in WETH against a stablecoin with given health factors."""
    health = np.atleast_1d(np.asarray(health, float))
    collateral, owed = np.zeros((len(health), 3)), np.zeros((len(health), 3))
    collateral[:, WETH] = collateral_usd / 2_000.0
    owed[:, ASSETS.index(debt)] = collateral_usd * 0.83 / health
    return LoanBook(ASSETS, collateral, owed, np.arange(len(health)))


def make(stage, kind, health, *, behaviour=None, terms=None, debt="USDC", **world):
    """Model of a population of one kind; half a per cent of a block's interest is nothing here."""
    people = Borrowers(
        book=book(health, debt=debt),
        behaviour=EXACT | shares(kind) | (behaviour or {}),
        **(terms or {}),
    )
    model = stage.build({"people": people, "lender": stage.Positions([], [])}, **world)
    return model, people


def healths(model, people):
    """Health factors of the population's positions."""
    n = len(people.book)
    return model.world.venues["lending"].health_factors()[0, people.first : people.first + n]


FALL = {"WETH": {1: 0.80}}  # 1.4 falls to 1.12, under the trigger of 1.15


@pytest.mark.parametrize("kind", ["top_up", "repay"])
def test_defence_ends_at_the_target(stage, kind):
    model, people = make(stage, kind, 1.4, moves=FALL)
    assert not len(stage.play(model))
    (row,) = stage.play(model)
    assert row["verb"] == (Verb.SUPPLY if kind == "top_up" else Verb.REPAY)
    assert row["code"] == Reject.OK
    target = people.traits.target[0]
    assert target == pytest.approx(people.traits.trigger[0] + 0.25)
    assert healths(model, people)[0] == pytest.approx(target, rel=1e-9)
    weighted, owed = 100_000.0 * 0.80 * 0.83, 100_000.0 * 0.83 / 1.4
    expected = (target * owed - weighted) / 0.83 if kind == "top_up" else owed - weighted / target
    price = 1_600.0 if kind == "top_up" else 1.0
    assert row["amount"] * price == pytest.approx(expected, rel=1e-6)


def test_ample_health_is_withdrawn_down_to_the_target(stage):
    model, people = make(stage, "releverage", 1.9, moves={"WETH": {1: 1.2}})
    trigger, target = people.traits.trigger[0], people.traits.target[0]
    assert 1.9 < trigger < 1.9 * 1.2
    assert not len(stage.play(model))
    (row,) = stage.play(model)
    assert (row["verb"], row["code"]) == (Verb.WITHDRAW, Reject.OK)
    assert healths(model, people)[0] == pytest.approx(target, rel=1e-9)
    assert not len(stage.play(model))


def test_those_who_never_react_never_act(stage):
    model, _ = make(stage, "never", [1.05, 1.4, 3.0], moves={"WETH": {1: 0.7, 3: 2.0}})
    assert not sum(len(stage.play(model)) for _ in range(6))
    assert (model.world.ledger.balances[0, model.members["people"].account, 1:] == 0.0).all()


def test_a_wallet_bounds_what_is_spent_and_empties(stage):
    # A hundredth of the collateral, at the prices of the start, is 0.5 WETH.
    model, people = make(
        stage, "top_up", 1.4, behaviour={"wallet_median": 0.01}, terms={"patience_hours": 1 / 60},
        moves={"WETH": {1: 0.80, 5: 0.78}},
    )  # fmt: skip
    rows = [row for _ in range(8) for row in stage.play(model)]
    assert [row["code"] for row in rows] == [Reject.OK]
    assert rows[0]["amount"] == pytest.approx(0.5)
    assert people.arena["wallet"][0, 0] == 0.0
    assert healths(model, people)[0] < people.traits.target[0]


@pytest.mark.parametrize(("tolerance", "acts"), [(0.0009, 1), (0.0007, 0)])
def test_gas_must_be_a_small_part_of_what_is_moved(stage, tolerance, acts):
    # 250,000 gas at 1.2 × 20 gwei and 1,600 USD is 9.6 USD; 11,860 USD are moved: 0.081%.
    model, people = make(
        stage, "repay", 1.4, behaviour={"gas_tolerance_median": tolerance}, moves=FALL
    )
    del people
    rows = np.concatenate([stage.play(model) for _ in range(3)])
    assert len(rows) == acts
    if acts:
        assert rows["fee"][0] * 1_600.0 == pytest.approx(9.6)


def test_a_fee_cap_keeps_a_transaction_waiting_until_it_expires(stage):
    model, people = make(
        stage, "repay", 1.4, behaviour={"fee_cap_median_gwei": 15.0}, moves=FALL,
        terms={"patience_hours": 5 / 60},
    )  # fmt: skip
    stage.play(model)
    assert not len(stage.play(model))
    assert len(model.world.blockspace.pending) == 1
    for _ in range(4):
        assert not len(stage.play(model))
    assert model.world.blockspace.state.n_expired[0] == 0.0
    stage.play(model)
    assert model.world.blockspace.state.n_expired[0] >= 1.0
    assert healths(model, people)[0] < people.traits.trigger[0]


def test_delays_and_inspection_intervals_are_honoured(stage):
    behaviour = {
        "interval_seconds": {"slow": 600.0},
        "interval_share": {"slow": 1.0},
        "delay_median_seconds": 150.0,
    }
    model, people = make(stage, "repay", np.full(40, 1.4), behaviour=behaviour, moves=FALL)
    acted = {}
    for step in range(26):
        for row in stage.play(model):
            acted.setdefault(int(row["target"]) - people.first, step)
    assert len(acted) == 40
    for position, step in acted.items():
        phase = min(int(people.traits.phase[position] * 10), 9)
        look = phase if phase >= 1 else 10  # the first look after the fall at step 1
        assert step == look + 2  # 150 seconds are over in the third block of 60
    assert len(set(acted.values())) > 5


def test_one_transaction_at_a_time(stage):
    model, people = make(
        stage, "repay", 1.4, behaviour={"delay_median_seconds": 400.0}, moves=FALL,
        terms={"patience_hours": 0.5},
    )  # fmt: skip
    people.traits.trigger[:] = 1.3  # still below it after the first repayment would be two rows
    rows = np.concatenate([stage.play(model) for _ in range(12)])
    assert len(rows) == 1
    assert rows["step"][0] == 1 + 6  # 400 seconds


def test_traits_are_shared_and_prices_alone_tell_worlds_apart(stage):
    model, people = make(stage, "repay", [1.2, 1.4, 1.6, 2.2], n_worlds=3, moves=FALL)
    stage.play(model)
    rows = stage.play(model)
    for w in range(1, 3):
        for name in ("target", "amount", "r0"):
            np.testing.assert_array_equal(
                rows[name][rows["world"] == w], rows[name][rows["world"] == 0]
            )
    assert people.arena["wallet"].shape == (3, 4)


def test_plain_python_decision_agrees(stage):
    model, people = make(stage, "repay", [1.2, 1.4, 1.6, 2.2], moves=FALL)
    stage.play(model)
    model.world.open_block()
    kept = people.arena.snapshot()
    rows = people.decide(model.view)
    people.arena.restore(kept)
    terms = (people.account, people.market.index, people.first, people.gas, people.bid,
             people.patience, model.view.gas_asset, model.view.step)  # fmt: skip
    plain = new_rows(8).view(np.recarray)
    n = decide.py_func(
        people.market.state, model.view.oracle_price, model.view.base_fee, model.view.clearing,
        people.calendar.ranges(model.view.step), people.habits, people.arena["wallet"],
        people.arena["busy"], people.bounds,
        type("Terms", (), dict(zip(TERMS, terms, strict=True))), plain,
    )  # fmt: skip
    assert n == len(rows) > 0
    for name in ("target", "verb", "asset", "amount", "tip", "fee_cap", "arrival", "expires"):
        np.testing.assert_array_equal(plain[name][:n], rows[name])
    assert largest.py_func(people.market.state.debt, 0, people.first, np.ones((1, 3))) == USDC


TERMS = ("account", "venue", "first", "gas", "bid", "patience", "gas_asset", "step")


def test_wallets_are_minted_to_the_population_once(stage):
    model, people = make(stage, "repay", [1.4, 1.6], terms={"gas_money": 3.0})
    held = model.world.ledger.balances[0, people.account]
    assert held[WETH] == 3.0
    assert held[USDC] == pytest.approx(2 * 10.0 * 100_000.0)
    assert isinstance(people, MarketAgent)
    assert BorrowerParams(**(EXACT | shares("repay"))).repay == 1.0


def test_the_bounds_pass_over_nobody_who_would_act(make_model, small_crash):
    """The same rows as when every inspecting borrower is looked at."""
    outcomes = []
    for looking_at_all in (False, True):
        model = make_model(small_crash, 0, 2)
        people = model.members["borrowers"]
        for _ in range(model.world.n_steps):
            if looking_at_all:  # bounds so wide that they exclude nothing
                people.arena["lowest"][:], people.arena["highest"][:] = 0.0, np.inf
            model.step()
        rows = model.world.events.rows()
        outcomes.append(rows[rows["account"] == people.account])
    assert len(outcomes[0]) > 20
    np.testing.assert_array_equal(*outcomes)
