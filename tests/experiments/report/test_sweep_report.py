"""The comparison of designs: pairing, Pareto set, figures and words."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from experiments import summary as summaries
from experiments.report import sweep
from sim.errors import InputError


@pytest.fixture(scope="module")
def design(fake_run):
    def make(overrides, *, power=0.0, scale=1.0, **shape):
        run = fake_run(120, series=False, **shape)
        worlds = run.worlds.copy()
        worlds["borrowing_power"] += power
        worlds["bad_debt_usd"] *= scale
        found = summaries.summarise(worlds, run.series, run.liquidations, n_resamples=100)
        return overrides, found, worlds

    return make


BONUS = "market.liquidation_bonus"


def test_differences_are_paired_by_world(design):
    base, other = design({BONUS: "0.05"}), design({BONUS: "0.08"}, scale=0.5)
    shuffled = (other[0], other[1], other[2].iloc[::-1])
    found = sweep.compare([base, shuffled])
    change = found["designs"][1]["difference"]["mean_usd"]
    assert change["value"] == pytest.approx(-0.5 * base[2]["bad_debt_usd"].mean(), rel=1e-9)
    assert change["low_95"] < change["value"] < change["high_95"] < 0.0
    none = found["designs"][0]["difference"]["es_99_usd"]
    assert (none["value"], none["low_95"], none["high_95"]) == (0.0, 0.0, 0.0)


def test_only_common_worlds_are_compared(design):
    base, other = design({BONUS: 1}), design({BONUS: 2}, n_failed=20)
    found = sweep.compare([base, other])
    assert found["designs"][1]["difference"]["n_common"] == 100
    assert found["designs"][1]["difference"]["mean_usd"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert "did not finish every world" in sweep.render(found)


def test_pareto_by_hand(design):
    runs = [
        design({BONUS: 1}),  # beaten by the second: same power, more loss
        design({BONUS: 2}, scale=0.5),
        design({BONUS: 3}, scale=0.2, power=-0.1),
        design({BONUS: 4}, scale=0.6, power=-0.1),  # beaten by the third
    ]
    found = sweep.compare(runs)
    assert found["risk_metric"] == "es_99_usd"
    assert [d["pareto"] for d in found["designs"]] == [False, True, True, False]
    text = sweep.render(found)
    assert "2 of 4 designs are not beaten on both counts" in text


def test_values_become_numbers_and_names_stay_short(design):
    runs = [design({BONUS: b, "scenario": "crash", "worlds": "120"}) for b in ("0.1", "0.05")]
    found = sweep.compare(runs)
    assert found["parameters"] == {BONUS: {"name": "liquidation_bonus", "values": [0.05, 0.1]}}
    assert found["designs"][0]["label"] == "liquidation_bonus = 0.1"
    assert sweep._short_names(["a.x", "b.x", "c.y"]) == {"a.x": "a.x", "b.x": "b.x", "c.y": "y"}


def test_one_parameter_gives_lines(design, read, figures_in):
    html = sweep.render(sweep.compare([design({BONUS: b}, scale=b) for b in (3, 1, 2)]))
    read(html)
    figures = figures_in(html)
    assert figures["figure-risk-line"]["data"][0]["x"] == [1, 2, 3]
    means = figures["figure-risk-line"]["data"][0]["y"]
    np.testing.assert_allclose(np.array(means) / means[0], [1.0, 2.0, 3.0], rtol=1e-3)
    for figure in figures.values():
        go.Figure(figure)


def test_two_parameters_give_heat_maps_with_gaps(design, read, figures_in):
    pairs = [(1, "fast"), (1, "slow"), (2, "fast")]
    runs = [design({BONUS: a, "engine.keepers": b}, scale=a) for a, b in pairs]
    html = sweep.render(sweep.compare(runs, baseline=2))
    assert read(html).loads == []
    figures = figures_in(html)
    assert {"figure-heat-mean", "figure-heat-tail", "figure-heat-power"} <= set(figures)
    z = figures["figure-heat-mean"]["data"][0]["z"]
    assert z[0][0] == z[0][1]
    assert z[1][0] == pytest.approx(2 * z[0][0])
    assert z[1][1] is None
    for figure in figures.values():
        go.Figure(figure)


def test_three_parameters_and_another_seed_are_said_in_words(design):
    runs = [design({"a": i, "b": i, "seed": i}, scale=1.0 + i) for i in range(6)]
    html = sweep.render(sweep.compare(runs))
    assert "3 parameters vary at once" in html
    assert "The seed differs between designs" in html
    assert "looks better than it is" in html


def test_headlines(design):
    base = design({BONUS: 1})
    better = design({BONUS: 2}, scale=0.3)
    none = [design({BONUS: b}, bad_debt=False) for b in (1, 2)]
    assert "less than the baseline (liquidation_bonus = 1)" in sweep.headline(
        sweep.compare([base, better])
    )
    assert "No other design" in sweep.headline(sweep.compare([better, base]))
    assert "Only one design" in sweep.headline(sweep.compare([base]))
    assert "none can be called safer" in sweep.headline(sweep.compare(none))
    worse = design({BONUS: 4}, seed=12)
    runs = sorted([base, worse], key=lambda r: -r[1]["bad_debt"]["es_99_usd"]["value"])
    assert "do not separate the two" in sweep.headline(sweep.compare(runs))


def test_small_runs_fall_back_to_what_they_can_rank(design, fake_run, read):
    run = fake_run(10, series=False)
    found = summaries.summarise(run.worlds, run.series, run.liquidations, n_resamples=50)
    compared = sweep.compare([({"a": 1}, found, run.worlds), ({"a": 2}, found, run.worlds)])
    assert compared["risk_metric"] == "mean_usd"
    read(sweep.render(compared))


def test_designs_that_all_failed(fake_run, read):
    run = fake_run(4, n_failed=4, series=False)
    found = summaries.summarise(run.worlds, run.series, run.liquidations)
    compared = sweep.compare([({"a": 1}, found, run.worlds), ({"a": 2}, found, run.worlds)])
    assert "nothing to compare" in sweep.headline(compared)
    read(sweep.render(compared))


def test_write(design, tmp_path):
    page, table = sweep.write(tmp_path, [design({BONUS: 1}), design({BONUS: 2})])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["comparison.html", "comparison.json"]
    assert json.loads(table.read_text())["baseline"] == 0
    assert page.stat().st_size < 8e6


def test_bad_input_is_one_sentence(design):
    with pytest.raises(InputError, match="needs at least one design"):
        sweep.compare([])
    with pytest.raises(InputError, match=r"baseline must lie in 0\.\.0, got 3"):
        sweep.compare([design({"a": 1})], baseline=3)
