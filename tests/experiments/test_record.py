"""Every recorded column, recomputed from the full event log and from what a spy saw each block.

The spy copies prices, balances and positions when a block opens; nothing here calls the recorder's
own arithmetic.
"""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from experiments.build import build_model
from experiments.record import Recorder, simulate
from sim.actions import Reject, Verb
from sim.events import EventLog

WORLDS, STEPS, EVERY = 3, 240, 10
OVERRIDES = [
    "scenario=crash",
    "hours=4",
    "scenarios.crash.size=0.45",
    "scenarios.crash.start_hours=0.5",
    "scenarios.crash.duration_hours=1",
    "scenarios.crash.rebound_hours=1",
    "book.n_positions=400",
    "book.max_position_share=0.05",
    "blockspace.drop_reverts=false",
    "background.level=2.0",
    "check_every=20",
    "name=record",
]


def configuration(*more):
    """A resolved stress configuration."""
    with initialize_config_module("conf", version_base=None):
        return OmegaConf.to_container(compose("stress", [*OVERRIDES, *more]), resolve=True)


class Spy:
    """Sees each block as it opens, before anybody acts."""

    def __init__(self, model):
        self.model, self.act, self.blocks = model, model.act, []
        model.act = self

    def __call__(self):
        world, market = self.model.world, self.model.world.venues["lending"]
        reserves = market.state.reserves
        self.blocks.append(
            SimpleNamespace(
                market=world.market_price.copy(),
                fundamental=world.fundamental.copy(),
                oracle=world.oracle_price.copy(),
                base_fee=world.blockspace.state.base_fee.copy(),
                collateral=market.state.collateral * reserves["liquidity_index"][:, None, :],
                debt=market.state.debt * reserves["borrow_index"][:, None, :],
                health=market.health_factors().copy(),
            )
        )
        self.act()
        after = self.blocks[-1]
        after.market_after = world.market_price.copy()
        after.oracle_after = world.oracle_price.copy()
        after.clearing = world.blockspace.state.clearing.copy()


@pytest.fixture(scope="module")
def run():
    """One run of three worlds with everything logged."""
    model = build_model(configuration(), 5, 0, WORLDS, EventLog())
    spy, recorder = Spy(model), Recorder(model, EVERY)
    before = model.world.ledger.balances.copy()
    state = model.world.venues["lending"].state
    held, owed = state.collateral.copy(), state.debt.copy()  # indices begin at 1
    recorder.run()
    return SimpleNamespace(
        model=model, world=model.world, market=model.world.venues["lending"], spy=spy,
        before=before, held=held, owed=owed, worlds=recorder.worlds(), series=recorder.series(),
        liquidations=recorder.liquidations(), events=model.world.events.rows(),
    )  # fmt: skip


def successes(run, w):
    """Liquidations that happened in a world, in order."""
    rows = run.events
    keep = (rows["world"] == w) & (rows["verb"] == Verb.LIQUIDATE) & (rows["code"] == Reject.OK)
    return rows[keep]


def accounts(run, kind):
    """Ledger accounts of the agents whose class has a name."""
    members = run.model.members.values()
    return [member.account for member in members if type(member).__name__ == kind]


def gain(run, w, members):
    """Wealth of accounts over holding, USD at final prices."""
    change = run.world.ledger.balances[w] - run.before[w]
    return float(sum(change[account] @ run.world.market_price[w] for account in members))


def test_run_is_worth_looking_at(run):
    for w in range(WORLDS):
        assert len(successes(run, w)) > 20
    rows = run.events[run.events["verb"] == Verb.LIQUIDATE]
    assert (rows["code"] != Reject.OK).any()
    assert (rows["bundle"] > 0).any()
    assert run.worlds["booked_bad_debt_usd"].max() > 0.0


def test_sums_of_liquidations(run):
    for w in range(WORLDS):
        repaid = seized = fees = 0.0
        for row in successes(run, w):
            prices = run.spy.blocks[row["step"]].market[w]
            repaid += row["r0"] * prices[row["asset_2"]]
            seized += row["r1"] * prices[row["asset"]]
            fees += row["r2"] * prices[row["asset"]]
        columns = {name: column[w] for name, column in run.worlds.items()}
        assert columns["liquidated_debt_usd"] == pytest.approx(repaid, rel=1e-12)
        assert columns["liquidated_collateral_usd"] == pytest.approx(seized + fees, rel=1e-12)
        # What a borrower loses is what the liquidator and the protocol take beyond the repayment;
        # debt that is written off is the suppliers' loss, not the borrower's gain here.
        assert columns["borrower_loss_usd"] == pytest.approx(seized - repaid + fees, rel=1e-9)
        assert columns["n_liquidations"] == len(successes(run, w))
        assert columns["n_positions_liquidated"] == len(set(successes(run, w)["target"]))


def test_liquidations_table_is_the_event_log(run):
    table = run.liquidations
    start = 0
    for w in range(WORLDS):
        for i, row in enumerate(successes(run, w), start):
            prices = run.spy.blocks[row["step"]].market[w]
            assert table["world"][i] == w
            for name, field in (("step", "step"), ("seq", "seq"), ("position", "target"),
                                ("debt_repaid", "r0"), ("collateral_seized", "r1"),
                                ("protocol_fee", "r2"), ("bad_debt_usd", "r3")):  # fmt: skip
                assert table[name][i] == row[field]
            assert table["collateral"][i] == run.world.assets[row["asset"]]
            assert table["debt"][i] == run.world.assets[row["asset_2"]]
            assert table["liquidator"][i] == run.world.accounts[row["account"]]
            assert table["debt_repaid_usd"][i] == row["r0"] * prices[row["asset_2"]]
            assert table["collateral_seized_usd"][i] == row["r1"] * prices[row["asset"]]
            assert table["gas_fee_usd"][i] == row["fee"] * prices[0]
            seconds = run.world.start + 60.0 * int(row["step"])
            assert table["time"][i] == np.datetime64(int(seconds * 1e3), "ms")
        start += len(successes(run, w))
    assert len(table["world"]) == start


def test_gas_is_all_that_liquidators_paid(run):
    """Failed calls and all four rows of a bundle count; exits are off chain and cost no gas."""
    for w in range(WORLDS):
        paid = failed = 0.0
        rows = run.events[run.events["world"] == w]
        for row in rows[np.isin(rows["account"], accounts(run, "Liquidator"))]:
            usd = row["fee"] * run.spy.blocks[row["step"]].market[w, 0]
            paid += usd
            failed += usd if row["code"] != Reject.OK else 0.0
        assert run.worlds["liquidator_gas_usd"][w] == pytest.approx(paid, rel=1e-9)
        assert 0.0 < failed < paid
        assert paid > sum(run.liquidations["gas_fee_usd"][run.liquidations["world"] == w])


def test_bad_debt_is_what_was_booked_and_what_stands_uncovered(run):
    for w in range(WORLDS):
        booked = successes(run, w)["r3"].sum()
        assert run.worlds["booked_bad_debt_usd"][w] == pytest.approx(booked, rel=1e-12)
        missing = standing = 0.0
        market, prices = run.market, run.world.market_price[w]
        reserves, health = market.state.reserves[w], market.health_factors()[w]
        for p in np.flatnonzero(health < 1.0 - 1e-12):
            debt = market.state.debt[w, p] * reserves["borrow_index"] @ prices
            backing = market.state.collateral[w, p] * reserves["liquidity_index"] @ prices
            standing += debt
            missing += max(debt - backing, 0.0)
        assert run.worlds["final_liquidatable_debt_usd"][w] == pytest.approx(standing, rel=1e-9)
        assert run.worlds["standing_shortfall_usd"][w] == pytest.approx(missing, rel=1e-9)
        assert run.worlds["bad_debt_usd"][w] == pytest.approx(booked + missing, rel=1e-9)


def test_backlog_is_sampled_and_its_hours_follow_littles_law(run):
    for w in range(WORLDS):
        hours, peak = 0.0, 0.0
        for block in run.spy.blocks[::EVERY]:
            low = block.health[w] < 1.0 - 1e-12
            backlog = float((block.debt[w][low] @ block.market[w]).sum())
            hours += backlog * EVERY / 60.0
            peak = max(peak, backlog)
        passed = run.worlds["liquidated_debt_usd"][w] + run.worlds["final_liquidatable_debt_usd"][w]
        assert run.worlds["peak_liquidatable_debt_usd"][w] == pytest.approx(peak, rel=1e-9)
        assert run.worlds["hours_liquidatable"][w] == pytest.approx(hours / passed, rel=1e-9)


def test_falls_are_those_of_the_paths(run):
    blocks = run.spy.blocks
    start = blocks[0].market
    for a, asset in enumerate(run.world.assets):
        lowest = np.min([block.market_after[:, a] for block in blocks], axis=0)
        quiet = np.min([block.fundamental[:, a] for block in blocks], axis=0)
        with_trades = 1.0 - np.minimum(lowest, start[:, a]) / start[:, a]
        without = 1.0 - np.minimum(quiet, start[:, a]) / start[:, a]
        assert run.worlds[f"fall_{asset}"] == pytest.approx(with_trades, abs=1e-15)
        assert run.worlds[f"fundamental_fall_{asset}"] == pytest.approx(without, abs=1e-15)
        assert run.worlds[f"amplification_{asset}"] == pytest.approx(with_trades - without)
    gaps = [np.abs(block.oracle_after / block.market_after - 1.0).max(axis=1) for block in blocks]
    assert run.worlds["max_oracle_gap"] == pytest.approx(np.max(gaps, axis=0))
    fees = np.max([block.clearing for block in blocks], axis=0)
    assert run.worlds["max_base_fee_gwei"] == pytest.approx(fees)
    assert run.worlds["fall_WETH"].min() > 0.3


def test_counts_are_those_of_the_log(run):
    on_chain = ~np.isin(run.events["venue"], [run.world.market.index])
    for w in range(WORLDS):
        rows = run.events[on_chain & (run.events["world"] == w)]
        assert run.worlds["n_included"][w] == len(rows)
        assert run.worlds["n_reverted"][w] == (rows["code"] != Reject.OK).sum()
    assert run.worlds["world"].tolist() == [0, 1, 2]
    assert set(run.worlds["status"]) == {"ok"}


def test_interest_and_protocol_income(run):
    """From positions and treasury alone: interest is what the debt grew by beyond all verbs."""
    market, rows = run.market, run.events
    for w in range(WORLDS):
        reserves, prices = market.state.reserves[w], run.world.market_price[w]
        fees, premiums = np.zeros(4), np.zeros(4)
        for row in rows[(rows["world"] == w) & (rows["code"] == Reject.OK)]:
            if row["verb"] == Verb.LIQUIDATE:
                fees[row["asset"]] += row["r2"]
            elif row["verb"] == Verb.FLASH_REPAY:
                premiums[row["asset"]] += row["r1"]
        share = reserves["reserve_income"]
        income = (share + fees + premiums) @ prices
        assert run.worlds["protocol_income_usd"][w] == pytest.approx(income, rel=1e-9)
        # The treasury's claim: all income, and what it earned itself.
        claim = (reserves["treasury"] * reserves["liquidity_index"]) @ prices
        assert claim == pytest.approx(income, rel=1e-3)
        assert (share[prices > 0] >= 0.0).all()
        loss = max(run.worlds["bad_debt_usd"][w] - income, 0.0)
        assert run.worlds["supplier_loss_usd"][w] == pytest.approx(loss, abs=1e-6)
        assert 0.0 < run.worlds["supplier_interest_usd"][w] < 1e-3 * 1e9


def test_profits_are_wealth_over_holding(run):
    for w in range(WORLDS):
        liquidators = gain(run, w, accounts(run, "Liquidator"))
        assert run.worlds["liquidator_profit_usd"][w] == pytest.approx(liquidators, rel=1e-9)
        arbitrage = gain(run, w, accounts(run, "Arbitrageur"))
        assert run.worlds["arbitrageur_profit_usd"][w] == pytest.approx(arbitrage, rel=1e-9)


def test_what_parties_gain_and_lose_sums_to_zero(run):
    """Nobody's gain is missing.

    In the worlds table: liquidators and arbitrageurs. Not in it, and found here: the wallets of
    borrowers and lenders with their positions, the pools' providers, the proposer, the oracle's
    operator, the treasury with the market's rounding surplus and deficit, the outside market, which
    takes what it was paid less what it paid out, and gas that was burnt.
    """
    market, world = run.market, run.world
    for w in range(WORLDS):
        prices, reserves = world.market_price[w], market.state.reserves[w]
        parties = {
            "liquidators": run.worlds["liquidator_profit_usd"][w],
            "arbitrageurs": run.worlds["arbitrageur_profit_usd"][w],
        }
        for name in ("borrowers", "lenders"):
            parties[name] = gain(run, w, [run.model.members[name].account])
        names = [name for name in world.venues if name not in ("lending", "market")]
        for name in [*names, "proposer"]:  # pools belong to their providers
            parties[name] = gain(run, w, [world.accounts.index(name)])
        held = market.state.collateral[w] * reserves["liquidity_index"] - run.held[w]
        owed = market.state.debt[w] * reserves["borrow_index"] - run.owed[w]
        parties["positions"] = float((held @ prices).sum() - (owed @ prices).sum())
        treasury = reserves["treasury"] * reserves["liquidity_index"]
        tokens = treasury + reserves["surplus"] - reserves["deficit"]
        parties["market"] = float(tokens @ prices)
        rows = run.events[run.events["world"] == w]
        swaps = rows[(rows["venue"] == world.market.index) & (rows["code"] == Reject.OK)]
        parties["outside"] = float(
            (swaps["r0"] * prices[swaps["asset"]] - swaps["r1"] * prices[swaps["asset_2"]]).sum()
        )
        proposer = world.ledger.balances[w, world.proposer, 0] - run.before[w, world.proposer, 0]
        parties["burnt gas"] = (rows["fee"].sum() - proposer) * prices[0]
        gross = sum(abs(value) for value in parties.values())
        assert gross > 1e5
        # Some thousand additions to amounts of 1e9 USD, each rounded at 1e-16 relative.
        assert sum(parties.values()) == pytest.approx(0.0, abs=1e-2)
        assert parties["burnt gas"] > 0.0


def test_series_are_samples_of_the_block_as_it_opened(run):
    n = STEPS // EVERY
    series = {name: column.reshape(WORLDS, n) for name, column in run.series.items()}
    for w in range(WORLDS):
        for i, block in enumerate(run.spy.blocks[::EVERY]):
            assert series["step"][w, i] == i * EVERY
            for a, asset in enumerate(run.world.assets):
                assert series[f"price_{asset}"][w, i] == np.float32(block.market[w, a])
                assert series[f"fundamental_{asset}"][w, i] == np.float32(block.fundamental[w, a])
                assert series[f"oracle_{asset}"][w, i] == np.float32(block.oracle[w, a])
            owed = (block.debt[w] @ block.oracle[w]).sum()
            assert series["debt_usd"][w, i] == pytest.approx(owed, rel=1e-6)
            done = successes(run, w)
            done = done[done["step"] < i * EVERY]
            repaid = sum(
                row["r0"] * run.spy.blocks[row["step"]].market[w, row["asset_2"]] for row in done
            )
            assert series["liquidated_debt_usd"][w, i] == pytest.approx(repaid, rel=1e-6)
            booked = done["r3"].sum()
            low = block.health[w] < 1.0 - 1e-12
            gap = (block.debt[w][low] - block.collateral[w][low]) @ block.market[w]
            missing = np.maximum(gap, 0.0).sum()
            assert series["bad_debt_usd"][w, i] == pytest.approx(booked + missing, rel=1e-6)
    assert series["time"][0, 1] - series["time"][0, 0] == np.timedelta64(EVERY * 60, "s")


@pytest.mark.parametrize("splits", [[0, 1, 3], [0, 2, 3]])
def test_rows_do_not_depend_on_the_batch(splits):
    """Bit for bit: no sum crosses worlds."""
    config = configuration("hours=2", "book.n_positions=200") | {"record_every": EVERY}
    whole = simulate(config, 5, 0, 3)
    parts = [simulate(config, 5, first, stop) for first, stop in pairwise(splits)]
    for name, table in whole.items():
        frame = table.to_pandas()
        assert len(frame) > 0
        pieces = [part[name].to_pandas() for part in parts]
        for column in frame:
            joined = np.concatenate([piece[column].to_numpy() for piece in pieces])
            np.testing.assert_array_equal(frame[column].to_numpy(), joined, err_msg=column)


# By hand


def oracle_at(run, row):
    """Prices that a row met: those of the opening, and the reports executed before it."""
    prices = run.spy.blocks[row["step"]].oracle[row["world"]].copy()
    rows = run.events
    same = (rows["world"] == row["world"]) & (rows["step"] == row["step"])
    for report in rows[same & (rows["verb"] == Verb.REPORT) & (rows["code"] == Reject.OK)]:
        if report["seq"] < row["seq"]:
            prices[report["asset"]] = report["amount"]
    return prices


def untouched(run, row):
    """Whether nothing happened to the position earlier in the block."""
    rows = run.events
    same = (rows["world"] == row["world"]) & (rows["step"] == row["step"])
    past = rows[same & (rows["target"] == row["target"]) & (rows["verb"] != Verb.REPORT)]
    return not ((past["seq"] < row["seq"]) & (past["code"] == Reject.OK)).any()


def test_each_liquidation_by_hand(run):
    """Aave's rules in a few lines of arithmetic: repaid, seized, bonus, fee, gas and bad debt."""
    terms = run.market.params.reserves
    checked = {"full": 0, "half": 0, "bad": 0, "bundle": 0}
    for w in range(WORLDS):
        for row in successes(run, w):
            if not untouched(run, row):
                continue
            block, prices = run.spy.blocks[row["step"]], oracle_at(run, row)
            held, owed = block.collateral[w, row["target"]], block.debt[w, row["target"]]
            weights = [terms[asset].liquidation_threshold for asset in run.world.assets]
            total = float(owed @ prices)
            health = float((held * prices) @ weights) / total
            assert health < 1.0
            c, d = row["asset"], row["asset_2"]
            small = min(owed[d] * prices[d], held[c] * prices[c]) < 2_000.0
            most = owed[d]
            if health > 0.95 and not small:
                most = min(owed[d], 0.5 * total / prices[d])
                checked["half"] += 1
            else:
                checked["full"] += 1
            assert row["r0"] <= most * (1.0 + 1e-9)
            bonus = terms[run.world.assets[c]].liquidation_bonus
            seized = row["r0"] * prices[d] * (1.0 + bonus) / prices[c]
            fee = 0.10 * bonus * row["r0"] * prices[d] / prices[c]
            assert seized <= held[c] * (1.0 + 1e-9)
            assert row["r1"] + row["r2"] == pytest.approx(seized, rel=1e-9)
            assert row["r2"] == pytest.approx(fee, rel=1e-7)
            left_held, left_owed = held.copy(), owed.copy()
            left_held[c] -= seized
            left_owed[d] -= row["r0"]
            emptied = float(left_held @ prices) < 1e-6
            bad = float(left_owed @ prices) if emptied else 0.0
            assert row["r3"] == pytest.approx(bad, rel=1e-6, abs=1e-5)
            checked["bad"] += bad > 1.0
            price = block.base_fee[w] + row["tip"]
            assert row["fee"] == pytest.approx(row["gas"] * price * 1e-9, rel=1e-9)
            assert row["gas"] == (225_000.0 if row["bundle"] else 500_000.0)
            checked["bundle"] += row["bundle"] > 0
    assert min(checked.values()) >= 1, checked
    assert checked["full"] + checked["half"] > 100


def test_one_small_world_adds_up():
    """The sums of a world's rows are its summary figures."""
    config = configuration("hours=2", "book.n_positions=200") | {"record_every": EVERY}
    tables = simulate(config, 11, 7, 8)
    (world,) = tables["worlds"].to_pylist()
    rows = tables["liquidations"].to_pylist()
    assert world["world"] == 7
    assert world["n_liquidations"] == len(rows) > 5
    assert world["liquidated_debt_usd"] == pytest.approx(sum(r["debt_repaid_usd"] for r in rows))
    assert world["booked_bad_debt_usd"] == pytest.approx(sum(r["bad_debt_usd"] for r in rows))
    assert world["n_positions_liquidated"] == len({r["position"] for r in rows})
    fees = sum(
        r["protocol_fee"] * r["collateral_seized_usd"] / r["collateral_seized"] for r in rows
    )
    kept = sum(r["collateral_seized_usd"] for r in rows)
    assert world["liquidated_collateral_usd"] == pytest.approx(kept + fees)
    last = max(tables["series"].to_pylist(), key=lambda sample: sample["step"])
    early = sum(r["debt_repaid_usd"] for r in rows if r["step"] < last["step"])
    assert last["liquidated_debt_usd"] == pytest.approx(early, rel=1e-6)
    # What the rules let a dollar of collateral borrow lies between the lowest and highest LTV.
    assert 0.63 < world["borrowing_power"] < 0.805
