"""`python -m experiments.calibrate surface`: a made chain, bad chains, and the recorded one."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from experiments.calibrate import page
from experiments.calibrate import surface as study_of
from experiments.calibrate.__main__ import command
from experiments.calibrate.chain import chosen, load_chain
from experiments.progress import Progress
from sim.errors import ConfigError, InputError
from sim.options.inverse import inverse_option_price

NOW = pd.Timestamp("2026-02-01 09:20", tz="UTC")
DAYS = (3.0, 30.0, 120.0)


def volatility(k, years):
    return 0.5 + 0.1 * np.sqrt(years) - 0.15 * k + 0.25 * k * k / np.sqrt(years + 0.2)


def made_chain(moments=3, **change):
    """Chains of three expiries with a smooth smile, quoted 6% wide about the mark."""
    rows = []
    for moment in range(moments):
        ts = NOW + pd.Timedelta(days=moment)
        for days in DAYS:
            expiry = NOW + pd.Timedelta(days=days)
            years = (expiry - ts).total_seconds() / (365 * 86_400)
            forward = 60_000.0 * np.exp(0.03 * years)
            for strike in forward * np.exp(np.linspace(-3, 3, 15) * 0.5 * np.sqrt(years)):
                sigma = float(volatility(np.log(strike / forward), years))
                for kind, sign in (("call", 1.0), ("put", -1.0)):
                    mark = float(inverse_option_price(forward, strike, years, sigma, sign))
                    rows.append(
                        {
                            "ts": ts, "currency": "BTC", "option_type": kind, "strike": strike,
                            "expiry": expiry, "underlying_price": forward,
                            "bid_price": 0.97 * mark, "ask_price": 1.03 * mark,
                            "mark_price": mark, "mark_iv": sigma,
                        }
                    )  # fmt: skip
    table = pd.DataFrame(rows)
    for name, (at, value) in change.items():
        table.loc[at, name] = value
    return table


@pytest.fixture
def written(tmp_path):
    def write(table, name="chain.parquet"):
        path = tmp_path / name
        table.to_parquet(path, index=False)
        return path

    return write


def studied(path, **choice):
    chain = load_chain(path)
    return study_of.calibrate(chain, chosen(chain, **choice), Progress(1, 0, shown=False))


def test_a_smooth_chain_is_fitted_and_its_marks_reproduced(written):
    study = studied(written(made_chain()))
    assert len(study.fitted) == 3
    assert [len(it.surface.years) for it in study.fitted] == [3, 3, 3]
    assert study.mark_error.max() < 1e-12
    assert np.median(study_of.central(study)) < 0.1
    # the smile is no SVI slice: wings of one price in a hundred thousand leave their 6%
    assert np.nanmean(study.gather("inside")) > 0.8
    assert not any(it.violations for it in study.fitted)
    at = study.fitted[0].surface
    assert float(at.atm(at.years[1])) == pytest.approx(volatility(0.0, at.years[1]), abs=0.003)


def test_time_counts_from_the_snapshot_to_the_expiry(written):
    table = made_chain()
    table["time_to_maturity"] = 7.0
    study = studied(written(table))
    assert study.fitted[2].surface.years == pytest.approx(np.array([1.0, 28.0, 118.0]) / 365)


def test_rows_that_cannot_be_used_are_counted_by_their_reason(written):
    table = made_chain()
    table.loc[0, "expiry"] = NOW - pd.Timedelta(days=1)
    table.loc[[1, 2], "bid_price"] = 5.0
    table.loc[3, "mark_iv"] = np.nan
    table.loc[4, "strike"] = -1.0
    table.loc[5, "ask_price"] = np.nan
    path = written(table)
    chain = load_chain(path)
    assert chain.refused == {
        "strike or underlying is not a positive number": 1,
        "the expiry is not after the snapshot": 1,
        "the bid is above the ask": 2,
        "no mark volatility above 0": 1,
    }
    assert chain.one_sided == 1
    assert len(chain.ts) == len(table) - 5
    lines = study_of.printed(studied(path))
    assert "left out, the bid is above the ask: 2 rows" in lines
    assert "without bid or ask, kept for their mark: 1 rows" in lines


def test_a_chain_without_marks_is_read_from_its_quotes(written):
    table = made_chain().drop(columns=["mark_iv", "mark_price"])
    table.loc[[7, 8], "ask_price"] = np.nan
    study = studied(written(table))
    assert study.chain.refused["bid or ask is missing, and there is no mark volatility"] == 2
    at = study.fitted[0].surface
    assert float(at.atm(at.years[1])) == pytest.approx(volatility(0.0, at.years[1]), abs=0.003)
    assert study.mark_error.size == 0


def test_expiries_with_few_strikes_are_left_out_and_said(written):
    table = made_chain(moments=1)
    near = table["expiry"] == table["expiry"].min()
    table = table[~near | (np.arange(len(table)) < 8)]
    study = studied(written(table))
    assert len(study.fitted[0].surface.years) == 2
    assert "left out, fewer than 5 strikes: 1 expiries" in study_of.printed(study)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.drop(columns=["strike"]), "missing strike, got ts, currency"),
        (lambda t: t.drop(columns=["mark_iv", "ask_price"]), r"missing mark_iv \(or bid_price and"),
        (lambda t: t.assign(option_type="future"), "row 1: option_type must be call or put"),
        (
            lambda t: t.assign(expiry=NOW - pd.Timedelta(days=1)),
            "got none .the expiry is not after the snapshot: 270 rows",
        ),
        (lambda t: t.assign(bid_price=9.0), "got none .the bid is above the ask: 270 rows"),
        (lambda t: t.assign(mark_iv=np.nan), "got none .no mark volatility above 0: 270 rows"),
    ],
)
def test_bad_chains_get_one_sentence(spoil, words, written):
    with pytest.raises(InputError, match=words):
        load_chain(written(spoil(made_chain())))


def test_a_chain_of_too_few_strikes_gets_one_sentence(written):
    with pytest.raises(InputError, match="must have a snapshot with 5 strikes of one expiry"):
        studied(written(made_chain(moments=1).iloc[:8]))


def test_the_command_writes_a_page_and_tables(written, tmp_path, capsys):
    path = written(made_chain())
    out = tmp_path / "out"
    assert command(["surface", f"file={path}", f"output={out}", "every=2"]) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    assert printed[-1] == str((out / "report.html").resolve())
    assert any(line.startswith("2 snapshots, 6 expiries") for line in printed)
    assert any("within the bar of 0.5" in line for line in printed)
    assert any("within the bar of 0.0001" in line for line in printed)
    html = (out / "report.html").read_text()
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', html, re.S).group(1))
    assert {"figure-heat-0.5", "figure-atm-BTC", "figure-term-BTC"} <= set(figures)
    dates = figures["figure-atm-BTC"]["data"][0]["x"]
    assert dates == ["2026-02-01 09:20:00", "2026-02-03 09:20:00"]
    month = next(t for t in figures["figure-atm-BTC"]["data"] if t["name"] == "30 d")
    assert 50.0 < month["y"][0] < 56.0
    slices = pd.read_parquet(out / "slices.parquet")
    assert len(slices) == 6
    assert len(pd.read_parquet(out / "quotes.parquet")) == 2 * 3 * 15


def test_bad_words_get_one_sentence(written, tmp_path):
    path = written(made_chain())
    with pytest.raises(ConfigError, match="must be one of surface, got 'volume'"):
        command(["volume"])
    with pytest.raises(ConfigError, match="every must be at least 1, got 0"):
        command(["surface", f"file={path}", "every=0"])
    with pytest.raises(InputError, match=r"currency must be all or one of BTC in chain.parquet"):
        command(["surface", f"file={path}", "currency=SOL"])
    with pytest.raises(InputError, match="holds the option chain nowhere"):
        command(["surface", f"data={tmp_path}", "file=nowhere"])


def test_help_says_what_there_is(capsys):
    assert command(["--help"]) == 0
    assert "surface data=DIR" in capsys.readouterr().out


def test_the_recorded_chain_is_within_its_bars(shared):
    """Every twentieth snapshot of half a year of BTC and ETH options."""
    path = shared / "data" / "deribit_option_chain_daily_2026H1.parquet"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the folder of recorded markets")
    study = studied(path, every=20)
    assert len(study.fitted) == 8
    assert np.median(study_of.central(study)) < study_of.FIT_BAR
    assert np.median(study.mark_error) < study_of.MARK_BAR
    assert np.nanmean(study.gather("inside")) > 0.5
    assert not any(it.violations for it in study.fitted)
    assert "no arbitrage is left" in page.headline(study)
    assert len(study.error()) > 3_000
