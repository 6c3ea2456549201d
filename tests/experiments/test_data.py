import os

import numpy as np
import pandas as pd
import pytest

from experiments import data as market
from experiments.tables import locate, read_table, unix_time
from sim.errors import ConfigError, InputError

START = unix_time("2020-03-12T00:00", "start")


def tidy(n=6, **changes):
    price = 100.0 + np.arange(n)
    table = pd.DataFrame(
        {
            "ts": pd.date_range("2020-03-12", periods=n, freq="10min", tz="UTC"),
            "symbol": "ETHUSDT",
            "open": price,
            "high": price + 2.0,
            "low": price - 2.0,
            "close": price + 1.0,
            "volume": 1.0,
        }
    )
    for name, (row, value) in changes.items():
        table[name] = table[name].astype(object)
        table.loc[row, name] = value
    return table


def written(table, folder, name="prices.csv", **options):
    path = folder / name
    table.to_csv(path, index=False, **options)
    return path


def test_tidy_csv_and_parquet_agree(tmp_path):
    from_csv = market.load_prices(written(tidy(), tmp_path), {"WETH": "ETHUSDT"})["WETH"]
    tidy().to_parquet(tmp_path / "prices.parquet")
    from_parquet = market.load_prices(tmp_path / "prices.parquet", {"WETH": "ETHUSDT"})["WETH"]
    for name in ("ts", "seconds", "open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(from_csv, name), getattr(from_parquet, name))
    assert from_csv.ts[0] == START
    np.testing.assert_array_equal(from_csv.seconds, 600.0)
    np.testing.assert_array_equal(from_csv.close, 101.0 + np.arange(6))


@pytest.mark.parametrize("unit", [1e3, 1e6])
@pytest.mark.parametrize("header", [True, False])
def test_binance_klines(tmp_path, unit, header):
    ts = (START + 60 * np.arange(4)) * unit
    columns = {"Open time": ts.astype(np.int64), "Open": 1.0, "High": 1.2, "Low": 0.9, "Close": 1.1}
    columns |= {f"c{i}": 0 for i in range(7)}
    path = written(pd.DataFrame(columns), tmp_path, header=header)
    bars = market.load_prices(path, {"WETH": "ETHUSDT"})["WETH"]
    np.testing.assert_array_equal(bars.ts, START + 60.0 * np.arange(4))
    np.testing.assert_array_equal(bars.high, 1.2)


def test_prices_without_extremes(tmp_path):
    for name in ("price", "close"):
        table = pd.DataFrame({"time": START + 300.0 * np.arange(4), name: [1.0, 2.0, 3.0, 4.0]})
        bars = market.load_prices(written(table, tmp_path), {"DAI": "DAIUSD"})["DAI"]
        np.testing.assert_array_equal(bars.open, [1.0, 2.0, 3.0])
        np.testing.assert_array_equal(bars.close, [2.0, 3.0, 4.0])
        assert np.isnan(bars.high).all()


def test_venue_is_filtered(tmp_path):
    table = pd.concat([tidy().assign(venue="kraken"), tidy().assign(venue="coinbase", close=102.0)])
    table["high"] = 200.0
    table["close"] = np.maximum(table["close"], 0.0)
    path = written(table, tmp_path)
    bars = market.load_prices(path, {"WETH": "ETHUSDT"}, venue="kraken")["WETH"]
    np.testing.assert_array_equal(bars.close, 101.0 + np.arange(6))
    with pytest.raises(
        InputError, match=r"at several venues, coinbase, kraken; choose one by venue"
    ):
        market.load_prices(path, {"WETH": "ETHUSDT"})
    with pytest.raises(
        InputError, match=r"no venue binance for ETHUSDT; known venues are coinbase"
    ):
        market.load_prices(path, {"WETH": "ETHUSDT"}, venue="binance")


LATE = pd.Timestamp("2020-03-11", tz="UTC")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"open": (2, -5.0)},
            r"prices.csv, row 3: column open must hold a positive number, got -5",
        ),
        ({"close": (2, 0.0)}, r"row 3: column close must hold a positive number, got 0"),
        (
            {"high": (4, np.nan)},
            r"row 5: column high must hold a positive number, got an empty cell",
        ),
        ({"low": (4, "n/k")}, r"row 5: column low must hold a positive number, got n/k"),
        (
            {"high": (1, 90.0)},
            r"prices.csv, ETHUSDT: high must not lie under low, got 90 in the bar",
        ),
        (
            {"high": (1, 100.0)},
            r"high must not lie under open or close, got 100 in the bar of 2020",
        ),
        ({"ts": (3, "soon")}, r"row 4: column ts must hold a time, got soon"),
        ({"ts": (3, LATE)}, r"row 4: timestamps of ETHUSDT must increase, got 2020-03-11 .*sort"),
        (
            {"ts": (3, tidy().ts[2])},
            r"row 4: timestamps of ETHUSDT must increase, got .* twice; drop",
        ),
    ],
)
def test_a_bad_row_is_named(tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        market.load_prices(written(tidy(**changes), tmp_path), {"WETH": "ETHUSDT"})


def test_bad_files_get_one_sentence(tmp_path):
    def load(path, **terms):
        return market.load_prices(path, **{"assets": {"WETH": "ETHUSDT"}} | terms)

    path = written(tidy(), tmp_path)
    with pytest.raises(
        InputError, match=r"prices.csv has no symbol LINK; known symbols are ETHUSDT"
    ):
        load(path, assets={"LINK": "LINK"})
    with pytest.raises(
        InputError, match=r"must have rows between 2021-01-01 .* got rows from 2020"
    ):
        load(path, start="2021-01-01", end="2021-01-02")
    with pytest.raises(InputError, match=r"start must be a time such as .*got 'noon'"):
        load(path, start="noon")
    with pytest.raises(InputError, match=r"must have the columns open, high.*missing: high, low"):
        load(written(tidy().drop(columns=["high", "low"]), tmp_path))
    with pytest.raises(InputError, match=r"must have the columns ts"):
        load(written(tidy().drop(columns="ts"), tmp_path))
    with pytest.raises(InputError, match=r"must have a column symbol to tell 2 assets apart"):
        load(
            written(tidy().drop(columns="symbol"), tmp_path), assets={"WETH": "ETH", "WBTC": "BTC"}
        )
    with pytest.raises(InputError, match=r"one row does not tell how long a bar is"):
        load(written(tidy(1), tmp_path))
    with pytest.raises(InputError, match=r"must have at least one row"):
        load(written(tidy(1)[:0].drop(columns="symbol"), tmp_path))
    with pytest.raises(InputError, match=r"got no such file"):
        load(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=r"empty.csv must be a whole CSV or Parquet file"):
        load(tmp_path / "empty.csv")
    tidy().to_parquet(tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.parquet must be a whole CSV or Parquet file, but"):
        load(tmp_path / "cut.parquet")
    (tmp_path / "numbers.csv").write_text("1,2,3\n4,5,6\n")
    with pytest.raises(InputError, match=r"must be exchange klines of 12 columns, got 3 columns"):
        load(tmp_path / "numbers.csv")
    (tmp_path / "twice.csv").write_text("ts,price,Price\n1,2,3\n")
    with pytest.raises(InputError, match=r"must name each column once, got price twice"):
        load(tmp_path / "twice.csv")


def test_tables_are_located(tmp_path):
    path = written(tidy(), tmp_path)
    assert locate(tmp_path, "prices") == path
    assert locate(None, str(path)) == path
    assert len(read_table(path)) == 6
    with pytest.raises(InputError, match=r"needs data=DIR, the folder of market tables, got none"):
        locate(None, "prices")
    with pytest.raises(InputError, match=r"must hold the table other"):
        locate(tmp_path, "other")
    with pytest.raises(InputError, match=r"which is no folder"):
        locate(tmp_path / "absent", "prices")
    with pytest.raises(InputError, match=r"file must name a CSV or Parquet table"):
        locate(tmp_path, "")


def test_replay_of_a_folder_with_fallback(tmp_path):
    written(tidy(3), tmp_path, "fine.csv")
    hourly = tidy(3).assign(
        ts=pd.date_range("2020-03-12", periods=3, freq="h", tz="UTC"), symbol="ETH"
    )
    half = tidy(6).assign(ts=pd.date_range("2020-03-12", periods=6, freq="30min"), symbol="BTC")
    written(pd.concat([hourly, half]), tmp_path, "coarse.csv")
    terms = {"data": tmp_path, "start": "2020-03-12T00:00", "constants": {"USDC": 1.0}}
    fine = {"file": "fine", "symbol": "ETHUSDT", "fallback": {"file": "coarse", "symbol": "ETH"}}
    replay = market.replay(assets={"WETH": fine, "WBTC": "BTC"}, file="coarse", hours=3, **terms)
    np.testing.assert_array_equal(replay.bars["WETH"].seconds, [600] * 3 + [3600] * 2)
    assert replay.horizon(60.0) == 180
    assert replay.start == START
    with pytest.raises(InputError, match=r"bars are missing for 30 minutes .* max_gap, 10 minutes"):
        market.replay(assets={"WETH": fine}, max_gap=600.0, **terms)
    for source in ({"file": "fine"}, {"symbol": "ETH"}, fine | {"sybmol": "ETH"}):
        with pytest.raises(ConfigError, match=r"price.assets.WETH must have file and symbol"):
            market.replay(assets={"WETH": source}, **terms)
    with pytest.raises(ConfigError, match=r"price.assets must name at least one asset"):
        market.replay(assets={}, **terms)


def test_replay_of_a_users_file(tmp_path):
    both = pd.concat([tidy().assign(symbol="ETH-USD"), tidy().assign(symbol="BTCUSDT")])
    path = written(both, tmp_path)
    replay = market.replay_file(path=path, assets=["WETH", "WBTC", "USDC"])
    assert replay.bars["WETH"].symbol == "prices.csv, ETH-USD"
    assert replay.bars["WBTC"].symbol == "prices.csv, BTCUSDT"
    assert replay.constants == {"USDC": 1.0}
    assert replay.start == START
    with pytest.raises(InputError, match=r"no symbol for LINK; known symbols are BTCUSDT, ETH-USD"):
        market.replay_file(path=path, assets=["WETH", "LINK"])
    single = written(tidy().drop(columns="symbol"), tmp_path, "one.csv")
    replay = market.replay_file(
        path=single, assets=["WETH", "USDC"], start="2020-03-12T00:10", hours=0.5
    )
    assert replay.horizon(60.0) == 30


@pytest.mark.parametrize(
    ("asset", "known", "symbol"),
    [
        ("WETH", ["ETHUSDT", "WETH"], "WETH"),
        ("WETH", ["ETH/USD", "ETHUSDT"], "ETH/USD"),
        ("USDC", ["USDC_USDT"], "USDC_USDT"),
        ("DAI", ["DAIUSD"], "DAIUSD"),
        ("WETH", ["STETH"], None),
    ],
)
def test_symbols_are_matched(asset, known, symbol):
    assert market.match_symbol(asset, known) == symbol


def gas_table(**changes):
    days = [pd.date_range(day, periods=144, freq="10min") for day in ("2020-03-12", "2020-09-05")]
    table = pd.DataFrame({"ts": np.concatenate(days)})
    for k, name in enumerate(("p30_gwei", "p60_gwei", "p90_gwei", "max_gwei")):
        table[name] = 5.0 * (k + 1)
    return table.assign(**changes)


def test_gas_series(tmp_path):
    path = written(gas_table(), tmp_path, "gas.csv")
    assert len(market.load_gas(path).ts) == 288
    day = market.load_gas(path, "2020-03-12T06:00", "2020-03-13")
    assert len(day.ts) == 144
    assert (day.p30[0], day.p60[0], day.p90[0], day.max[0]) == (5.0, 10.0, 15.0, 20.0)
    for span in (("2020-03-12", "2020-03-13T01:00"), ("2020-03-13", None), ("2020-03-11", None)):
        with pytest.raises(InputError, match=r"got the days 2020-03-12, 2020-09-05; choose one"):
            market.load_gas(path, *span)
    with pytest.raises(InputError, match=r"gas.csv must have the columns ts, p30_gwei"):
        market.load_gas(written(gas_table().drop(columns="p60_gwei"), tmp_path, "gas.csv"))
    with pytest.raises(InputError, match=r"column p90_gwei must hold a positive number, got -1"):
        market.load_gas(written(gas_table(p90_gwei=-1.0), tmp_path, "gas.csv"))


def test_gas_replay_is_a_background(tmp_path):
    written(gas_table(), tmp_path, "gas.csv")
    background = market.gas_replay(data=tmp_path, file="gas", start="2020-03-12T00:00", hours=24)
    assert background.pressure == 1.1
    np.testing.assert_allclose(
        background.median[0], np.log(5.0) + 0.5244 * np.log(3) / 1.80595, rtol=1e-4
    )


def test_parquet_times_with_and_without_zone_agree(tmp_path):
    tidy().to_parquet(tmp_path / "aware.parquet")
    naive = tidy()
    naive["ts"] = naive["ts"].dt.tz_localize(None)
    naive.to_parquet(tmp_path / "naive.parquet")
    both = [
        market.load_prices(tmp_path / f"{name}.parquet", {"WETH": "ETHUSDT"})["WETH"].ts
        for name in ("aware", "naive")
    ]
    np.testing.assert_array_equal(both[0], both[1])
    assert both[0][0] == START


def test_a_changed_file_is_read_again(tmp_path):
    terms = {"data": tmp_path, "start": "2020-03-12", "assets": {"WETH": "ETHUSDT"}, "file": "p"}
    written(tidy(), tmp_path, "p.csv")
    assert market.replay(**terms).bars["WETH"].open[0] == 100.0
    path = written(tidy(open=(0, 101.0)), tmp_path, "p.csv")
    os.utime(path, ns=(1, 1))
    assert market.replay(**terms).bars["WETH"].open[0] == 101.0
