"""A stress study on order books: the same in any batch, whole books, and worlds that run twice."""

import numpy as np
import pytest

from experiments import cascade
from experiments.record import Recorder, simulate
from sim.book.audit import check, scratch_words, sentence
from sim.book.layout import Book

SMALL = (
    "market=order_book", "book.n_positions=150", "hours=1.5", "scenarios.crash.start_hours=0.2",
    "scenarios.crash.duration_hours=0.8", "record_every=5", "check_every=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def config(compose):
    return compose(*SMALL)


@pytest.fixture(scope="module")
def tables(config):
    """Tables of three worlds as data frames."""
    return {name: table.to_pandas() for name, table in simulate(config, 0, 0, 3).items()}


@pytest.fixture(scope="module")
def pairs(config):
    return cascade.run_pairs(config, 0, [2, 0])


def test_collateral_is_sold_into_the_books_and_the_price_yields(tables):
    worlds = tables["worlds"]
    assert (worlds["liquidated_debt_usd"] > 1e6).all()
    assert (worlds["push_WETH"] > 0.005).all()


def test_a_world_of_books_alone_is_bit_identical(config, tables):
    alone = simulate(config, 0, 2, 3)
    for name in ("worlds", "series", "liquidations"):
        table = tables[name][tables[name]["world"] == 2].reset_index(drop=True)
        found = alone[name].to_pandas()
        for column in found:
            assert found[column].equals(table[column]), f"{name}.{column}"


def test_the_order_of_a_configuration_has_no_meaning(config, tables):
    """A task that was sent to a worker has its keys sorted."""
    turned = simulate(backwards(config), 0, 2, 3)["series"].to_pandas()
    table = tables["series"][tables["series"]["world"] == 2].reset_index(drop=True)
    assert all(turned[column].equals(table[column]) for column in table)


def backwards(config):
    """Return the same market with all of its keys in the opposite order."""

    def turned(node):
        if not isinstance(node, dict):
            return node
        return {key: turned(node[key]) for key in reversed(node)}

    return {**config, "market": turned(config["market"])}


def test_series_tell_spread_and_depth(tables):
    series = tables["series"]
    start = series[series["step"] == 0]
    for asset in ("WETH", "WBTC", "DAI"):
        assert (start[f"bid_depth_usd_{asset}"] > 1e6).all(), asset
        assert (start[f"ask_depth_usd_{asset}"] > 1e6).all(), asset
        assert start[f"spread_bps_{asset}"].between(0.0, 30.0, inclusive="neither").all(), asset
    calm = series[series["step"] == 0]["bid_depth_usd_WETH"].mean()
    rough = series[series["step"].between(25, 60)]["bid_depth_usd_WETH"].mean()
    assert rough < 0.8 * calm


def test_the_books_are_whole_after_a_crash(config, make_model):
    model = make_model(config, 0, 2)
    recorder = Recorder(model, 10, forget=True)
    for _ in range(60):
        recorder.step()
    for many in model.world.market.seats.books:
        for w in range(2):
            one = Book(*(array[w] for array in many))
            fault, where = check(one, np.zeros(scratch_words(one), np.int64))
            assert fault == 0, sentence(fault, where)
        ledger = many.accounts[:, : model.world.market.n_ledger]
        assert not ledger["cash"].any()  # what is free lies on the ledger
        assert not ledger["lots"].any()
    model.close()


def test_a_pair_differs_in_the_makers_alone(pairs, config):
    assert set(pairs["world"]) == {0, 2}
    assert pairs[pairs["world"] == 2]["rank"].eq(0).all()
    stay, leave = pairs[~pairs["withdraw"]], pairs[pairs["withdraw"]]
    for asset in config["assets"]:
        name = f"fundamental_{asset}"
        assert (stay[name].to_numpy() == leave[name].to_numpy()).all()
    first = pairs["step"] == 0
    again = stay[first[stay.index]], leave[first[leave.index]]
    assert (again[0]["deposits_usd"].to_numpy() == again[1]["deposits_usd"].to_numpy()).all()
    assert (stay["price_WETH"].to_numpy() != leave["price_WETH"].to_numpy()).any()


def test_the_same_command_does_not_run_the_pairs_again(tmp_path, config, tables, monkeypatch):
    ran = []

    def run_pairs(*args):
        ran.append(args[2])
        return tables["series"].assign(withdraw=True, rank=0)

    monkeypatch.setattr(cascade, "run_pairs", run_pairs)
    first = cascade.withdrawal(tmp_path, config, 0, tables["worlds"])
    second = cascade.withdrawal(tmp_path, config, 0, tables["worlds"])
    assert first.equals(second)
    assert len(ran) == 1
    assert sorted(ran[0]) == [0, 1, 2]


def test_other_markets_have_no_pairs(tmp_path, compose, tables):
    assert cascade.withdrawal(tmp_path, compose(), 0, tables["worlds"]) is None
    assert list(tmp_path.iterdir()) == []
