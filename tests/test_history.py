"""Replays of real days, and whether they do what those days did; skipped without `../shared`.

The books are small (2,000 positions that owe 200 million USD, as Maker, Compound and Aave did
together in March 2020) and the worlds few: differences of designs are paired on common random
numbers, so that sixteen of them tell.
"""

from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from experiments.build import build_model
from experiments.data import load_gas
from experiments.record import Recorder
from sim.actions import Reject, Verb
from sim.events import EventLog

WORLDS = 16
CAPS = {"keeper_a": 11.0, "keeper_b": 24.0, "keeper_c": 35.0}  # gwei
NO_CAPS = tuple(f"cast.{name}.gas_cap=null" for name in CAPS)
NO_CONGESTION = (  # the calm of February 2020 in the same table: 30% quantile 3 gwei, 60% 7 gwei
    "background=mean_reverting",
    "background.level=1.2",
    "background.median_bid=5",
    "background.price_response=0",
)


@lru_cache(maxsize=16)
def replay(scenario, data, *overrides, worlds=WORLDS, logged=()):
    """Run a replay; what the recorder found, and the model at its end."""
    changes = [f"scenario={scenario}", f"data={data}", "book.n_positions=2000", "name=history"]
    with initialize_config_module("conf", version_base=None):
        composed = compose("stress", [*changes, *overrides])
    config = OmegaConf.to_container(composed, resolve=True)
    events = EventLog(logged) if logged else None
    model = build_model(config, 3, 0, worlds, events)
    recorder = Recorder(model, 10)
    recorder.run()
    n = len(recorder.samples)
    series = {name: column.reshape(worlds, n) for name, column in recorder.series().items()}
    return SimpleNamespace(
        model=model, world=model.world, worlds=recorder.worlds(), series=series,
        liquidations=recorder.liquidations(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(shared):
    """Folder of the tables."""
    return shared / "data"


@pytest.fixture(scope="module")
def gas(data):
    """Gas prices paid on 12 March 2020, by ten minutes."""
    return load_gas(data / "gas_10m_crashdays.parquet", "2020-03-12T00:00", "2020-03-13T00:00")


# 12 March 2020: the mechanism, link by link


def test_block_space_clears_at_the_lowest_quantile_that_was_paid(data, gas):
    """Where agents leave the blocks to the crowd, the price of a block is the bucket's p30."""
    run = replay("black_thursday", data)
    clearing = run.series["base_fee_gwei"][:, 1:]  # of the block before each sample
    paid = np.array([gas.p30[np.searchsorted(gas.ts, t, "right") - 1] for t in before(run)])
    # Within 3% on the median; a full block of agents' rows pushes it up in single blocks.
    assert np.median(np.abs(clearing / paid - 1.0)) < 0.03
    assert (clearing > 0.9 * paid).mean() > 0.99
    assert 150.0 < clearing.max() < 260.0


def before(run):
    """Unix time of the blocks before the samples but the first."""
    steps = run.series["step"][0, 1:]
    return run.world.start + (steps - 1) * run.world.block_seconds


def test_prices_stay_within_the_days_bars(data):
    run = replay("black_thursday", data)
    ether = run.series["fundamental_WETH"]
    assert ether[:, 0] == pytest.approx(195.21)
    assert ether.min() >= 101.01 * (1 - 1e-6)
    assert ether.max() <= 197.0
    assert run.worlds["fundamental_fall_WETH"] == pytest.approx(1.0 - 101.01 / 195.21)
    # Keepers sell what they seize, arbitrageurs what the pools' users sold: the fall deepens a bit.
    assert 0.0 < run.worlds["amplification_WETH"].mean() < 0.01


def test_capped_keepers_stand_by_while_gas_costs_more_than_their_caps(data):
    """No call is ever paid above its keeper's cap; none at all while gas cleared above the highest.

    From 10:40 to 18:20 the table's 30% quantile lies above 43 gwei, the highest cap is 35.
    """
    run = replay("black_thursday", data)
    table = run.liquidations
    step, names = table["step"], table["liquidator"]
    price = table["gas_fee_usd"] / (500_000.0 * 1e-9)  # gwei × USD per unit of the gas asset
    for name, cap in CAPS.items():
        mine = names == name
        assert (price[mine] <= cap * 196.0).all()  # dearest ether of the day
    void = (step >= 640) & (step < 1_100)
    assert void.mean() < 0.02
    assert (step < 640).mean() > 0.8


def test_the_backlog_builds_in_the_hours_when_gas_is_dear(data, gas):
    run = replay("black_thursday", data)
    backlog = run.series["liquidatable_debt_usd"].mean(axis=0) / run.series["debt_usd"][:, 0].mean()
    hour = run.series["step"][0] / 60.0
    cheap = np.array([gas.p30[int(h * 6)] < 24.0 for h in hour])
    assert backlog[cheap].max() < 0.02
    late = (hour >= 11.0) & (hour < 18.0)
    assert backlog[late].min() > 0.08
    assert not cheap[late].any()


def test_full_blocks_delay_an_oracle_that_bids_too_little(data):
    """Updates are transactions: a bid of 2 gwei, raised by a quarter every three minutes, is late.

    Blocks clear at 43 to 190 gwei while the price falls by a fifth. A feed that bids what the last
    block cleared at stays within 15% of the market; the other misses it by more than 25%, and is
    updated a third as often.
    """
    updates, gaps = {}, {}
    for overbid in (1.1, 0.0):
        run = replay(
            "black_thursday", data, f"oracle.overbid={overbid}", worlds=4, logged=(Verb.REPORT,)
        )
        rows = run.world.events.rows()
        busy = (rows["step"] >= 640) & (rows["step"] < 1_100) & (rows["asset"] == 0)
        updates[overbid] = (rows["code"][busy] == Reject.OK).sum()
        gaps[overbid] = run.worlds["max_oracle_gap"].mean()
    assert gaps[0.0] > 0.25
    assert gaps[1.1] < 0.15
    assert updates[0.0] < updates[1.1] / 2.0


def test_capped_keepers_leave_large_debt_unliquidated_for_hours_and_caps_make_the_bad_debt(data):
    """The sanity bar.

    Measured on 12 worlds, 200 million USD of debt: with caps of 11, 24 and 35 gwei the backlog
    peaks at 69 million (34% of the debt), a liquidatable dollar stands for 8.8 hours, and bad debt
    is 2.2 million USD, nearly all of it standing at midnight. Without caps: 26 million for minutes,
    0.1 hours, 0.02 million. Without congestion: 24 million, 0.1 hours, 0.02 million.
    """
    capped = replay("black_thursday", data).worlds
    free = replay("black_thursday", data, *NO_CAPS).worlds
    calm = replay("black_thursday", data, *NO_CONGESTION).worlds
    owed = capped["initial_debt_usd"]
    assert owed == pytest.approx(2e8)
    assert (capped["peak_liquidatable_debt_usd"] > 0.2 * owed).all()
    assert (capped["hours_liquidatable"] > 4.0).all()
    assert (capped["bad_debt_usd"] > 0.005 * owed).all()
    assert np.isfinite(free["max_base_fee_gwei"]).all()
    for other in (free, calm):
        removed = 1.0 - other["bad_debt_usd"] / capped["bad_debt_usd"]
        assert (removed > 0.8).all()  # world by world, on common random numbers
        assert removed.mean() > 0.95
        assert (other["hours_liquidatable"] < 0.5).all()
        assert (other["liquidated_debt_usd"] > 2.0 * capped["liquidated_debt_usd"]).all()
    assert (free["liquidator_gas_usd"] > 10.0 * capped["liquidator_gas_usd"]).all()


def test_one_bot_that_pays_100_gwei_would_have_been_enough(data):
    """A bot at 101 gwei settled most of Maker's auctions that winter; the fall came at 43 to 60."""
    capped = replay("black_thursday", data).worlds
    bot = replay("black_thursday", data, "cast.keeper_c.gas_cap=101").worlds
    assert (bot["bad_debt_usd"] < 0.2 * capped["bad_debt_usd"]).all()


# May 2021 and March 2023: directions


def test_may_2021_liquidates_many_and_leaves_little(data):
    """ETH lost 46% in 14 hours; with today's bots most of what became liquidatable was cleared."""
    run = replay("may_2021", data, worlds=6)
    worlds = run.worlds
    assert (worlds["fundamental_fall_WETH"] > 0.4).all()
    assert (worlds["liquidated_debt_usd"] > 0.05 * worlds["initial_debt_usd"]).all()
    assert (worlds["bad_debt_usd"] < 0.02 * worlds["initial_debt_usd"]).all()
    assert (worlds["hours_liquidatable"] < 1.0).all()
    assert (worlds["liquidator_profit_usd"] > 0.0).all()
    assert (worlds["borrower_loss_usd"] > 0.0).all()


def test_usdc_depeg_hurts_usdc_collateral_and_relieves_usdc_debt(data):
    """Who held USDC against ether was liquidated when the peg broke; who owed it was not.

    The first day is ether's: it fell by 4%, and 76 of 1,217 positions that owe USDC against it were
    liquidated. On the second USDC fell to 0.91 within twelve hours.
    """
    run = replay("usdc_depeg", data, worlds=4, logged=(Verb.LIQUIDATE,))
    assert run.series["fundamental_USDC"].min() < 0.92
    assert run.series["fundamental_USDC"].min() > 0.87
    book = run.model.members["borrowers"].book
    assert run.world.assets == ["WETH", "WBTC", "USDC", "DAI"]
    held, owed = book.collateral > 0.0, book.debt > 0.0
    backed = held[:, 2:].any(axis=1) & ~held[:, :2].any(axis=1)
    backed &= owed[:, :2].any(axis=1) & ~owed[:, 2:].any(axis=1)
    relieved = held[:, :2].any(axis=1) & ~held[:, 2:].any(axis=1)
    relieved &= owed[:, 2:].any(axis=1) & ~owed[:, :2].any(axis=1)
    assert backed.sum() > 50
    assert relieved.sum() > 500
    rows = run.world.events.rows()
    rows = rows[(rows["code"] == Reject.OK) & (rows["step"] >= 720)]
    for w in range(4):
        hit = np.unique(rows["target"][rows["world"] == w])
        hit = hit[hit < len(book)]  # the population's positions come first
        assert backed[hit].sum() >= 3
        assert relieved[hit].sum() == 0
    lowest = run.series["fundamental_USDC"][0].argmin()
    debt = run.series["debt_usd"]
    before = run.series["step"][0].searchsorted(720)
    assert (debt[:, lowest] < 0.96 * debt[:, before]).all()
