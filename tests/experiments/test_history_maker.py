"""Maker in March 2020: the readers, the figures by closed forms, and a short run of the event."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from omegaconf import OmegaConf

from agents.populations.vault_book import VaultBuckets
from agents.populations.vault_owners import VaultOwners
from experiments.build import build_model, part
from experiments.history import maker_figures
from experiments.history.maker_2020 import MakerMarch2020, summary_of, uncovered
from experiments.history.maker_data import (
    HALF,
    gas,
    liquidated_debt,
    osm_oracle,
    recorded_auctions,
)
from sim.errors import ConfigError
from sim.prices.bars import utc

DAY = 1_583_971_200.0  # 2020-03-12
SMALL = ("cast.owners.book.n_vaults=150", "hours=15.5", "record_every=30", "check_every=60")


@pytest.fixture(scope="module")
def data(shared):
    return str(shared / "data")


def event_of(data, *overrides):
    with initialize_config_module("conf", version_base=None):
        chosen = hydra_compose("history", ["event=maker_2020", f"data={data}", *overrides])
    config = OmegaConf.to_container(chosen, resolve=True)
    config.pop("hydra", None)
    return config


# --- readers


def test_gas_follows_the_table_and_then_the_deals(data):
    made = gas(data=data, file="gas_10m_crashdays", start="2020-03-12T00:00", hours=30.0)
    assert len(made.ts) == 180
    assert (np.diff(made.ts) == 600.0).all()
    low = np.exp(made.median - 0.5244 * made.sigma)
    table = pd.read_parquet(f"{data}/gas_10m_crashdays.parquet")
    day = table[(table["ts"] >= "2020-03-12") & (table["ts"] < "2020-03-13")]
    np.testing.assert_allclose(low[:144], day["p30_gwei"], rtol=2e-4)
    # the 60% quantile of an hour of the 13th is the median price of that hour's deals
    deals = pd.read_parquet(f"{data}/maker_flip_auctions.parquet").dropna(subset=["ts_deal"])
    hour = deals[deals["ts_deal"].dt.floor("h") == pd.Timestamp("2020-03-13T02:00Z")]
    shape = (day["p30_gwei"] / day["p60_gwei"])[72:].median()
    assert low[144 + 12] == pytest.approx(shape * hour["deal_gas_gwei"].median(), rel=2e-4)


def test_the_oracle_is_the_recorded_one(data):
    times, prices = osm_oracle(data=data).records["WETH"]
    i = int(np.searchsorted(times, DAY + 14.5 * 3600.0)) - 1
    assert utc(float(times[i]))[:16] == "2020-03-12 14:10"
    assert prices[i] == pytest.approx(136.747819)  # while the market had been there since 11:00


def test_recorded_auctions_of_the_event(data):
    it = recorded_auctions(data, "2020-03-12T00:00", 30.0)
    assert HALF * len(it) == 4088.0
    zero = it[it["paid"] < 1.0]
    assert len(zero) / len(it) == pytest.approx(0.32, abs=0.005)
    assert it["discount"][it["paid"] >= 1.0].median() == pytest.approx(0.216, abs=0.001)


def test_how_fast_owners_look_is_what_the_weeks_before_say(data):
    """8 hours put up what was put up from 20 February to 11 March; 4 and 16 do not."""
    book = VaultBuckets(total_debt=1.14e8, n_vaults=20_000, size_sigma=0.0).draw(
        ("WETH", "DAI"), np.array([258.0, 1.0]), np.array([1.0 / 1.5, 0.0]), np.zeros(2)
    )
    health = book.health_factor(np.array([258.0, 1.0]), np.array([1.0 / 1.5, 0.0]))
    trigger, target = VaultOwners(book=book).habits(health)
    path = ("2020-02-20T18:00", 20.25 * 24.0)
    its = {
        hours: liquidated_debt(data, *path, trigger, target, health, book.debt[:, 1], hours)
        for hours in (4.0, 8.0, 16.0)
    }
    known = recorded_auctions(data, *path)["paid"].sum() / 1.13  # bids hold the penalty
    assert known == pytest.approx(505_000.0, rel=0.01)
    assert its[8.0] == pytest.approx(known, rel=0.25)
    assert its[4.0] < 0.5 * known < 1.5 * known < its[16.0]


# --- figures


def test_uncovered_debt_by_hand():
    """One auction with a bid, one without; 1,000 DAI lost before, 100 of surplus."""
    kinds = np.dtype([(n, np.float64) for n in ("live", "lot", "tab", "due", "paid", "guy")])
    auctions = np.zeros((1, 3), kinds)
    auctions[0, 0] = (1.0, 50.0, 5_000.0, 4_400.0, 0.0, 3.0)  # a bid of zero stands
    auctions[0, 1] = (1.0, 10.0, 2_000.0, 1_700.0, 0.0, -1.0)  # worth 10 × 100 / 1.25
    auctions[0, 2] = (0.0, 9.0, 9.0, 9.0, 9.0, 0.0)
    system = np.zeros(1, [(n, np.float64) for n in ("sin", "surplus", "bad_debt")])
    system[0] = (1_000.0 + 4_400.0 + 1_700.0, 100.0, 1_000.0)
    market = SimpleNamespace(
        flip=True, state=SimpleNamespace(auctions=auctions, system=system, assets=(0, 1)),
        world=SimpleNamespace(market_price=np.array([[100.0, 1.25]])),
    )  # fmt: skip
    gross, net = uncovered(market)
    np.testing.assert_allclose(gross, [1_000.0 + 4_400.0 + 900.0])
    np.testing.assert_allclose(net, [7_100.0 - 100.0 - 800.0])


def auctions(**columns):
    base = {
        "time": [DAY + 1.0] * 4, "lot": [50.0, 50.0, 30.0, 20.0], "paid": [0.0, 4e3, 1e-18, 2e3],
        "discount": [1.0, 0.2, 1.0, 0.1], "bids": [1.0, 3.0, 1.0, 1.0],
        "gas": [300.0, 100.0, 200.0, 100.0], "due": [1.0] * 4,
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def test_figures_of_four_auctions():
    it = summary_of(auctions())
    assert it["zero_bid_eth"] == 80.0
    assert it["zero_bid_share"] == 0.5
    assert it["discount"] == pytest.approx(0.15)
    assert it["bids_per_auction"] == 1.5
    assert it["deal_gas_gwei"] == 150.0
    assert np.isnan(summary_of(auctions().iloc[:0])["zero_bid_share"])


def test_hours_are_those_of_the_last_bid_and_few_auctions_draw_no_share():
    it = auctions(time=[DAY, DAY + 3599.0, DAY + 3600.0, DAY + 99 * 3600.0])
    sold = maker_figures.by_hour(it, DAY, 3, maker_figures.eth)
    np.testing.assert_array_equal(sold, [100.0, 30.0, np.nan])
    share = maker_figures.by_hour(it, DAY, 3, maker_figures.zero_share, least=2)
    np.testing.assert_array_equal(share, [0.5, np.nan, np.nan])


def test_a_band_needs_most_worlds():
    rows = np.array([[1.0, 1.0], [3.0, np.nan], [2.0, np.nan]])
    bands = maker_figures.quantiles(rows)
    np.testing.assert_allclose(bands[:, 0], [1.1, 1.5, 2.0, 2.5, 2.9])
    assert np.isnan(bands[:, 1]).all()


# --- the event


@pytest.fixture(scope="module")
def short(data):
    """Half a day and two hours of the second wave, two worlds."""
    config = event_of(data, *SMALL)
    event = part(config, "history")
    return config, event, event.simulate(config, 0, 0, 2)


def test_worlds_do_not_depend_on_the_batch(short):
    config, event, tables = short
    alone = event.simulate(config, 0, 1, 2)
    for key, table in tables.items():
        whole = table.to_pandas()
        own = whole[whole["world"] == 1].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, alone[key].to_pandas(), check_exact=True)


def test_keepers_without_block_space_leave_lots_to_bids_of_zero(short):
    _, _, tables = short
    worlds, its = tables["worlds"].to_pandas(), tables["auctions"].to_pandas()
    late = its[its["time"] >= DAY + 14 * 3600.0]  # 30% of the gas paid was over 127 gwei
    assert (late["paid"] < 1.0).all()
    assert set(late["buyer"]) == {"zero_bidder"}
    assert (worlds["zero_bid_eth"] > 10_000.0).all()
    early = its[its["time"] < DAY + 7 * 3600.0]
    assert (early["paid"] > 1.0).all()
    sums = its.groupby("world")["bad_debt"].sum().to_numpy()
    assert (worlds["bad_debt_dai"].to_numpy() >= sums - 1e-6).all()  # and those that still run
    assert (worlds["unbacked_dai"] <= worlds["bad_debt_dai"]).all()
    assert worlds["initial_debt_dai"].to_numpy() == pytest.approx(1.14e8, rel=1e-3)


def test_the_debt_of_a_lot_is_what_its_price_was(short):
    """At liquidation 1.5 times the debt is the worth at the oracle's price, or a little less."""
    _, _, tables = short
    its = tables["auctions"].to_pandas()
    its = its[its["start_time"] >= DAY + 14.25 * 3600.0]
    at_least = 132.8 / 1.5
    assert (its["due"] / its["lot"] > at_least * (1.0 - 1e-9)).all()
    assert (its["due"] / its["lot"] < 195.0 / 1.5).all()


def test_charts_are_drawn_with_recorded_lines(short):
    _, event, tables = short
    drawn = event.figures({key: table.to_pandas() for key, table in tables.items()})
    assert [chart.key for chart in drawn] == [
        "zero", "lots", "unbacked", "discounts", "bids", "gas", "debt",
    ]  # fmt: skip
    assert all(chart.caption and chart.data for chart in drawn)
    lots = next(chart for chart in drawn if chart.key == "lots")
    known = next(trace for trace in lots.data if trace["name"] == "recorded")
    assert sum(known["y"]) == pytest.approx(
        HALF * recorded_auctions(event.data, event.start, event.hours)["lot"].sum(), rel=1e-3
    )


def test_observed_figures_fill_what_is_not_documented(short):
    _, event, _ = short
    null = {key for key, known in event.documented.items() if known.value is None}
    assert null == set(event.observed())


def test_every_ablation_builds_and_changes_something(data):
    base = event_of(data)
    event = part(base, "history")
    assert isinstance(event, MakerMarch2020)
    for key, ablation in event.ablations.items():
        config = event_of(data, *ablation.overrides, "cast.owners.book.n_vaults=20")
        model = build_model(config, 0, 0, 1)
        model.step()
        model.close()
        assert config["cast"] != base["cast"] or config["oracle"] != base["oracle"], key


def test_another_lending_market_is_refused_in_words(data):
    config = event_of(data, *SMALL)
    config["lending"] = dict(config["market"])
    config["cast"] = {}
    with pytest.raises(ConfigError, match="lending must be a Maker market for this event"):
        part(config, "history").simulate(config, 0, 0, 1)
