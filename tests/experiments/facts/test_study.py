"""The study: populations and recorded markets side by side, as numbers, sentences and a page."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from experiments.facts import figures, page, study
from experiments.facts.populations import CHANCE, Population, chance, chosen, populations
from experiments.progress import Progress
from experiments.stylised_facts import command
from sim.errors import ConfigError, InputError
from sim.metrics.fact_bands import MEASURED
from sim.metrics.market_record import MarketRecord
from sim.metrics.stylised_facts import CATALOGUE

SPOT = "BTCUSDT spot 2024-08-08 (Binance)"


@pytest.fixture(scope="module")
def markets():
    control = Population(name=CHANCE, about="control", run=chance)
    with Progress(2, 0, shown=False) as progress:
        made = study.simulated(control, range(2), 1200.0, progress)
        return [made, *study.real(None, progress)]


def test_crowds_are_populations_and_the_control_is_last():
    known = populations()
    assert list(known)[-1] == CHANCE
    assert {"zero_intelligence", "rmsc04"} <= set(known)
    assert "makers" not in known, "a cast that only follows an outside price has no market alone"
    assert all(it.about for it in known.values())


def test_names_choose_populations():
    assert [it.name for it in chosen("chance,rmsc04,chance")] == ["chance", "rmsc04"]
    assert chosen("none") == []
    assert len(chosen("all")) == len(populations())
    with pytest.raises(ConfigError, match="unknown population rmsc5: choose all, none, or some of"):
        chosen("rmsc5")


def test_the_control_is_a_function_of_its_seed():
    one, same, other = chance(1, 100.0), chance(1, 100.0), chance(2, 100.0)
    np.testing.assert_array_equal(one.bid, same.bid)
    assert not np.array_equal(one.bid, other.bid)


def test_a_crowd_gives_a_record_with_its_book():
    record = populations()["zero_intelligence"].run(3, 120.0)
    assert record.name == "zero_intelligence"
    assert np.all(record.ask > record.bid)
    assert record.quote_time[0] >= 600.0, "the book fills before the record begins"
    assert record.seconds == pytest.approx(120.0, abs=10.0)
    assert len(record.depth_time) == pytest.approx(120, abs=1)
    assert len(record.order_time) == len(record.order_distance) > 0


def test_a_silent_population_is_refused():
    silent = Population(
        name="silent", about="", run=lambda *_: MarketRecord(name="silent", tick=1.0)
    )
    with (
        Progress(1, 0, shown=False) as progress,
        pytest.raises(InputError, match="silent with seed 0 neither quoted nor traded"),
    ):
        study.simulated(silent, range(1), 60.0, progress)


def test_seeds_give_intervals(markets):
    fact = markets[0].facts["gap_variation"]
    assert fact.n_seeds == 2
    assert fact.low < fact.value < fact.high


def test_without_data_the_kept_numbers_stand_for_the_recorded_markets(markets):
    assert [it.name for it in markets[1:]] == list(MEASURED)
    for it in markets[1:]:
        assert it.kind == study.EMBEDDED
        assert it.curves == {}
        assert it.facts["clustering"].value == MEASURED[it.name]["clustering"][0]


def test_judgements_partition_the_facts(markets):
    for it in markets:
        split = [it.judged(verdict) for verdict in (True, False, None)]
        assert sum(map(len, split)) == len(CATALOGUE) - 1, "all but the one without verdict"
    spot = markets[1]
    assert [fact.name for fact in spot.judged(False)] == ["bounce"]


def test_what_chance_reproduces_is_no_achievement(markets):
    control, spot = markets[0], markets[1]
    free = {fact.name for fact in control.judged(True)}
    assert {"spread_bps", "spread_ticks"} <= free
    assert study.beyond_chance(control, markets) == 0
    assert study.beyond_chance(spot, markets) == len({f.name for f in spot.judged(True)} - free)
    assert study.beyond_chance(spot, markets[1:]) is None
    assert "that the control of pure chance does not" in study.sentences(spot, markets)[0]


def test_rows_hold_every_fact_of_every_market(markets):
    table = pd.DataFrame(study.rows(markets))
    assert len(table) == len(markets) * len(CATALOGUE)
    row = table[(table.market == SPOT) & (table.fact == "clustering")].iloc[0]
    assert row.band_low < row.value < row.band_high
    assert row.reproduces


def test_the_printed_table_marks_verdicts(markets):
    lines = study.printed(markets).splitlines()
    row = next(line for line in lines if line.startswith("Bounce of trade prices"))
    assert re.search(r"0\.0169-", row)
    row = next(line for line in lines if line.startswith("Volatility clustering"))
    assert re.search(r"1\.21\+", row)


def test_sentences_name_what_is_missed(markets):
    text = "\n".join(study.sentences(markets[0], markets))
    assert "missed:" in text
    assert re.search(r"missed:.*gap_variation \(", text)
    assert "not measured:" in text


@pytest.mark.parametrize(
    ("value", "words"),
    [(1e-9, "0"), (1.0 - 1e-9, "1"), (-0.00002, "0"), (-0.0316, "−0.0316"), (12.62, "12.6")],
)
def test_ends_of_bands_read_as_the_cut(value, words):
    assert study.edge(value) == words


def test_the_page_asks_nobody_for_anything(markets):
    html = page.render(markets, "python -m experiments.stylised_facts")
    assert not re.search(r'(?:src|href)="(?!#|data:)[^"]+"', html.partition("<script>")[0])
    assert "default-src 'none'" in html
    assert html.count("<tr") > 2 * len(CATALOGUE)
    shown = json.loads(re.search(r'id="figures">(.*?)</script>', html, re.S)[1])
    assert {"figure-gaps", "figure-depth", "figure-return-acf"} <= set(shown)


def test_the_page_says_when_markets_are_only_numbers(markets):
    html = page.render(markets, "x")
    assert "no data= was given" in html
    assert "No curves of BTCUSDT spot" in html


def test_figures_leave_out_who_has_no_curve(markets):
    for chart in figures.all_figures(markets):
        assert {trace["name"] for trace in chart.data} & {CHANCE}
        assert SPOT not in {trace["name"] for trace in chart.data}
    assert figures.all_figures(markets[1:]) == []


def test_recorded_markets_are_told_apart_by_dashes(markets):
    look = figures.styles(markets)
    assert len(set(look.values())) == len(markets)


def test_headline_of_several_and_of_none(markets):
    assert page.headline([markets[0]], markets[1:]).startswith("chance reproduces ")
    two = page.headline([markets[0], markets[1]], [])
    assert two.startswith(f"Of 2 populations {SPOT} reproduces the most: ")
    assert (
        page.headline([], markets[1:]) == "4 recorded markets, and no population to compare with."
    )


def test_the_command_writes_page_and_table(tmp_path, capsys):
    out = tmp_path / "out"
    words = ["population=chance", "seeds=2", "seconds=600", f"output={out}"]
    assert command(words) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(out / "report.html")
    assert (out / "report.html").read_text().count("chance") > 3
    table, same = pd.read_parquet(out / "facts.parquet"), pd.read_csv(out / "facts.csv")
    assert len(table) == len(same) == 5 * len(CATALOGUE)
    np.testing.assert_allclose(table.value, same.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["population=foo"], "unknown population foo"),
        (["seeds=0"], "seeds must be at least 1, got 0"),
        (["seconds=5"], "seconds must lie in 60 to 1e7, got 5"),
        (["seconds=nan"], "seconds must lie in 60 to 1e7, got nan"),
        (["population=none", "data=/nowhere"], "data=/nowhere is no folder"),
    ],
)
def test_bad_words_are_one_sentence(tmp_path, words, sentence):
    with pytest.raises((ConfigError, InputError), match=re.escape(sentence)):
        command([*words, f"output={tmp_path}"])


def test_output_that_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="cannot be a folder"):
        command(["population=none", f"output={tmp_path / 'taken'}"])


def test_help_needs_no_run(capsys):
    assert command(["--help"]) == 0
    assert "population=all" in capsys.readouterr().out
