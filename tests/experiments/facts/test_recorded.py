"""Recorded markets: what the readers make of small files worked out by hand, and of bad ones."""

import numpy as np
import pandas as pd
import pytest

from experiments.facts.recorded import read, recorded
from sim.errors import InputError
from sim.metrics.fact_bands import MEASURED
from sim.metrics.stylised_facts import measure

CENT = 100


def lobster(folder, name="lobster_xyz_2020-01-02_L2.parquet", **changes):
    """Three seconds: a limit order, a hidden execution, a buyer who takes, and a deletion."""
    columns = {
        "time_ns": np.array([0, 500, 1200, 2000, 3500]) * 1_000_000,
        "type": [1, 5, 4, 1, 3],
        "order_id": [1, 0, 1, 2, 2],
        "size": [10, 1, 4, 20, 20],
        "price": np.array([10_001, 10_000, 10_001, 9_998, 9_998]) * CENT,
        "direction": [-1, 1, -1, 1, 1],
        "ask_px1": np.array([10_001] * 5) * CENT,
        "ask_sz1": [10, 10, 6, 6, 6],
        "bid_px1": np.array([9_999] * 5) * CENT,
        "bid_sz1": [7, 7, 7, 7, 7],
        "ask_px2": np.array([10_003] * 5) * CENT,
        "ask_sz2": [5, 5, 5, 5, 5],
        "bid_px2": np.array([9_997, 9_997, 9_997, 9_998, 9_997]) * CENT,
        "bid_sz2": [9, 9, 9, 20, 9],
    } | changes
    path = folder / name
    pd.DataFrame(columns).to_parquet(path)
    return path


def binance(folder, clock=1):
    """A perpetual of four trades; the depth is a snapshot and one level that goes."""
    at = np.array([1, 2, 3, 9], np.int64)
    pd.DataFrame({
        "recv_ns": at * 10**9 + 5, "exch_ms": clock * at * 1000,
        "price": [100.1, 100.1, 100.0, 100.1],
        "qty": [1.0, 2.0, 3.0, 4.0], "buyer_is_maker": [False, False, True, False],
    }).to_parquet(folder / "binance_usdm_btcusdt_20240808_trades.parquet")  # fmt: skip
    pd.DataFrame({
        "recv_ns": at * 10**9, "exch_ms": clock * at * 1000, "bid_px": [100.0] * 4,
        "bid_qty": [1.0] * 4, "ask_px": [100.1] * 4, "ask_qty": [2.0] * 4,
    }).to_parquet(folder / "binance_usdm_btcusdt_20240808_bbo.parquet")  # fmt: skip
    pd.DataFrame({
        "recv_ns": np.array([0, 1, 1, 1, 1, 2, 9, 10]) * 10**9,
        "is_snapshot": [0, 1, 1, 1, 1, 0, 0, 0],
        "side": ["b", "b", "b", "a", "a", "a", "a", "a"],
        "price": [50.0, 100.0, 99.9, 100.1, 100.2, 100.2, 100.3, 100.4],
        "qty": [9.0, 1.0, 4.0, 2.0, 8.0, 0.0, 6.0, 1.0],
    }).to_parquet(folder / "binance_usdm_btcusdt_20240808_depth.parquet")  # fmt: skip
    return folder / "binance_usdm_btcusdt_20240808_trades.parquet"


def test_markets_are_found_by_name(tmp_path):
    lobster(tmp_path)
    binance(tmp_path)
    assert [name for name, _ in recorded(tmp_path)] == [
        "BTCUSDT perp 2024-08-08 (Binance)", "XYZ 2020-01-02 (LOBSTER)",
    ]  # fmt: skip


def test_lobster_trades_are_the_visible_executions(tmp_path):
    it = read("it", lobster(tmp_path))
    np.testing.assert_allclose(it.trade_time, [1.2])
    np.testing.assert_allclose(it.trade_price, [100.01])
    np.testing.assert_array_equal(it.trade_sign, [1])  # a resting seller was taken by a buyer
    np.testing.assert_allclose(it.order_size, [10.0, 20.0])
    np.testing.assert_allclose(it.bid, 99.99)
    assert it.tick == 0.01


def test_lobster_depth_ends_where_the_file_does(tmp_path):
    it = read("it", lobster(tmp_path))
    np.testing.assert_allclose(it.depth_time, [0.5, 1.2, 2.0])
    np.testing.assert_allclose(it.bid_depth[0, :4], [7.0, 0.0, 9.0, np.nan])
    np.testing.assert_allclose(it.ask_depth[0, :4], [10.0, 0.0, 5.0, np.nan])


def test_an_empty_side_is_no_quote(tmp_path):
    touch = np.array([10_001, 10_001, 99_999_999.99, 10_001, 10_001]) * CENT
    it = read("it", lobster(tmp_path, ask_px1=touch.astype(np.int64)))
    assert len(it.quote_time) == 4


def test_binance_perpetual_uses_the_clock_of_the_exchange(tmp_path):
    it = read("it", binance(tmp_path))
    np.testing.assert_allclose(it.trade_time, [0.0, 1.0, 2.0, 8.0])
    np.testing.assert_array_equal(it.trade_sign, [1, 1, -1, 1])
    assert it.tick == pytest.approx(0.1)
    late = read("it", binance(tmp_path, clock=0))
    np.testing.assert_allclose(late.trade_time, np.array([0.0, 1.0, 2.0, 8.0]) + 5e-9, atol=1e-9)


def test_binance_depth_follows_the_changes(tmp_path):
    """Snapshot at 1 s, the ask at 100.2 goes at 2 s; bins of 0.2 bp, and a tick is 10 bp."""
    it = read("it", binance(tmp_path))
    assert len(it.depth_time) == 2
    far_bid = int((0.1 / 100.0) * 1e4 / 0.2)
    assert it.bid_depth[0, 0] == 1.0
    assert it.bid_depth[0, far_bid - 1 : far_bid + 1].sum() == 4.0
    assert it.ask_depth[0].sum() == 2.0, "the level that went is not counted"
    assert it.ask_depth[1].sum() in (2.0, 8.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: d.joinpath("other.txt").touch(), "holds neither lobster_SYMBOL_DAY"),
        (lambda d: lobster(d, size=[1.0, np.nan, 1.0, 1.0, 1.0]), "row 2: size must be a number"),
        (lambda d: pd.DataFrame({"type": [1]}).to_parquet(d / "lobster_a_b.parquet"),
         "must have the columns time_ns, .* got none called time_ns"),
        (lambda d: (d / "lobster_a_b.parquet").write_bytes(b"PAR1 but no more"),
         "cannot be read as Parquet"),
        (lambda d: binance(d).with_name("binance_usdm_btcusdt_20240808_bbo.parquet").unlink(),
         "_bbo.parquet is missing beside the trades"),
        (lambda d: lobster(d, time_ns=np.array([3, 2, 1, 4, 5])), "must ascend: sort the rows"),
    ],
)  # fmt: skip
def test_bad_files_are_one_sentence(tmp_path, make, words):
    make(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        [read(name, path) for name, path in recorded(tmp_path)]
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        recorded(tmp_path / "nowhere")


def test_kept_numbers_are_what_the_files_say(shared):
    """The numbers that made the bands, measured anew from the recorded markets."""
    found = recorded(shared / "data")
    assert {name for name, _ in found} >= set(MEASURED)
    for name, path in found:
        if name not in MEASURED:
            continue
        facts = measure(read(name, path), n_resamples=0)
        kept = MEASURED[name]
        assert {key for key, fact in facts.items() if np.isfinite(fact.value)} == set(kept)
        for key, (value, _, n) in kept.items():
            assert facts[key].value == pytest.approx(value, rel=1e-4, abs=1e-8), (name, key)
            assert facts[key].n == n
