"""The report page: complete, self-contained, and sound for every shape of run."""

import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from experiments import summary as summaries
from experiments.report import charts, stress
from experiments.report.grid import Grid

SHAPES = {
    "usual": {"n_worlds": 150, "n_failed": 4},
    "no bad debt": {"n_worlds": 120, "bad_debt": False},
    "single world": {"n_worlds": 1, "seed": 3},
    "no liquidations": {"n_worlds": 30, "bad_debt": False, "liquidations": False},
    "no series": {"n_worlds": 30, "series": False},
    "two worlds": {"n_worlds": 2},
    "all failed": {"n_worlds": 3, "n_failed": 3},
}
SECTIONS = (
    "overview", "bad-debt", "liquidations", "borrowing-power", "paths", "amplification", "parties",
    "worst-world", "run",
)  # fmt: skip


def page(run) -> str:
    found = summaries.summarise(run.worlds, run.series, run.liquidations, n_resamples=200)
    found = json.loads(summaries.dumps(found))
    return stress.render(run.worlds, run.series, run.liquidations, run.manifest, found)


@pytest.fixture(scope="module")
def pages(fake_run) -> dict[str, str]:
    return {name: page(fake_run(**shape)) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("name", SHAPES)
def test_page_is_well_formed_and_loads_nothing(pages, name, read):
    reader = read(pages[name])
    assert reader.loads == []
    assert "default-src 'none'" in pages[name]
    text = " ".join(reader.text)
    assert not re.search(r"\bnan\b|NaN|\bNone\b", text)


@pytest.mark.parametrize("name", SHAPES)
def test_figures_are_valid_plotly(pages, name, read, figures_in):
    for key, figure in figures_in(pages[name]).items():
        assert key in read(pages[name]).ids
        go.Figure(figure)  # raises on a property that plotly does not know


@pytest.mark.parametrize("name", [n for n in SHAPES if n != "all failed"])
def test_every_section_is_there(pages, name, read):
    ids = read(pages[name]).ids
    assert [i for i in ids if i in SECTIONS] == list(SECTIONS)


def test_usual_page_has_every_figure(pages, figures_in):
    keys = [k.removeprefix("figure-") for k in figures_in(pages["usual"])]
    assert keys == [
        "bad-debt-histogram", "bad-debt-exceedance", "bad-debt-by-fall", "liquidated-histogram",
        "hours-under-water", "timeline", "backlog", "borrowing-power", "price-WETH", "oracle-WETH",
        "gap-WETH", "base-fee", "price-WBTC", "oracle-WBTC", "utilisation-USDC", "oracle-gap",
        "amplification", "parties", "worst-world",
    ]  # fmt: skip


def test_words_say_what_the_summary_holds(fake_run, pages, read):
    run = fake_run(**SHAPES["usual"])
    text = " ".join(read(pages["usual"]).text)
    worst = run.worlds.loc[run.worlds["bad_debt_usd"].idxmax()]
    assert f"World {int(worst['world'])} ends with" in text
    assert "In 146 worlds, mean bad debt is" in text
    assert "4 worlds failed" in text
    assert "146, 147, 148, 149" in text
    assert "report this <world>" in text  # escaped in the source, readable on the page
    assert "python -m experiments.stress scenario=black_thursday worlds=150" in text
    assert "market.liquidation_bonus.WETH" in text


def test_ten_largest_liquidations_of_the_worst_world(fake_run, pages):
    run = fake_run(**SHAPES["usual"])
    worst = run.worlds.loc[run.worlds["bad_debt_usd"].idxmax(), "world"]
    events = run.liquidations[run.liquidations["world"] == worst]
    top = events.sort_values("debt_repaid_usd", ascending=False).head(10)
    html = pages["usual"]
    part = html[html.index("10 largest liquidations</h3>") :]
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", part.split("</table>")[0])
    assert len(rows) == 10
    for row, position in zip(rows, top["position"], strict=True):
        assert f"<td >{position}</td>" in row


def test_edge_cases_are_said_in_words(pages, read):
    text = {name: " ".join(read(html).text) for name, html in pages.items()}
    assert "In none of 120 worlds was there bad debt" in text["no bad debt"]
    assert "none seen in 120 worlds" in text["no bad debt"]
    assert "In the one world that was run" in text["single world"]
    assert "No position became liquidatable" in text["no liquidations"]
    assert "No series was recorded" in text["no series"]
    assert "Only 30 worlds" in text["no series"]
    assert "No world finished" in text["all failed"]


def test_constant_prices_are_not_charted(pages, figures_in):
    assert not any("price-USDC" in key for key in figures_in(pages["usual"]))
    assert "Not drawn, because they fell less or hardly moved: USDC." in pages["usual"]


def test_histogram_counts_every_world_once():
    values = np.concatenate([np.geomspace(1.0, 1e6, 500), [1e6]])
    edges, is_log = charts.bins(values)
    assert is_log
    trace = charts.bars(values, edges, charts.BLUE, "worlds")
    assert sum(trace["y"][1:-1:2]) == 501
    assert charts.bins(np.linspace(5.0, 6.0, 50))[1] is False


def test_fan_is_the_quantiles_of_the_series(fake_run, pages, figures_in):
    run = fake_run(**SHAPES["usual"])
    figure = figures_in(pages["usual"])["figure-price-WETH"]["data"]
    wide = run.series.pivot(index="step", columns="world", values="price_WETH")
    for trace, level in zip(figure, (0.05, 0.95, 0.25, 0.75, 0.5), strict=False):
        assert trace["y"] == pytest.approx(wide.quantile(level, axis=1).to_list(), rel=1e-4)


def test_grid_of_an_incomplete_series_and_of_a_clock_from_zero(fake_run):
    run = fake_run(6)
    holes = run.series.drop(index=[5, 60]).sample(frac=1.0, random_state=1)
    holes["time"] = holes["time"] - holes["time"].min() + pd.Timestamp(0, tz="UTC")
    grid = Grid(holes, np.arange(6))
    values = grid.values("price_WETH")
    assert values.shape == (6, 49)
    assert int(np.isnan(values).sum()) == 2
    assert np.isfinite(grid.bands(values)).all()
    assert grid.x_title == "hours since the start"
    assert grid.x()[-1] == 24.0
    full = Grid(run.series, np.arange(6)).values("price_WETH")
    np.testing.assert_array_equal(values[np.isfinite(values)], full[np.isfinite(values)])


def test_worst_world_whose_series_was_not_recorded(fake_run, read, figures_in):
    run = fake_run(40)
    found = summaries.summarise(run.worlds, run.series, run.liquidations, n_resamples=50)
    worst = found["worst_world"]["world"]
    series = run.series[run.series["world"] != worst]
    html = stress.render(run.worlds, series, run.liquidations, run.manifest, found)
    read(html)
    figures = figures_in(html)
    assert "figure-worst-world" not in figures
    assert [t["name"] for t in figures["figure-price-WETH"]["data"]][-1] == "median"
    assert "largest liquidations" in html


def test_write_replaces_the_page_and_leaves_nothing_else(fake_run, tmp_path):
    run = fake_run(5)
    found = summaries.summarise(run.worlds, run.series, run.liquidations)
    for _ in range(2):
        path = stress.write(tmp_path, *run[:3], run.manifest, found)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_thousand_worlds_stay_under_eight_megabytes(fake_run):
    html = page(fake_run(1000, n_points=145))
    assert len(html.encode()) < 8e6


def test_manifest_may_be_empty(fake_run):
    run = fake_run(3)
    found = summaries.summarise(run.worlds, run.series, run.liquidations)
    html = stress.render(run.worlds, run.series, run.liquidations, {}, found)
    assert "python -m experiments.stress" in html


def test_command_line_quotes_and_keeps_whole_commands():
    assert stress.command_line({"command": ["a=b c"]}) == "python -m experiments.stress 'a=b c'"
    assert stress.command_line({"command": "make demo"}) == "make demo"
    assert stress.command_line({"seed": 7}) == "python -m experiments.stress seed=7"


def test_flatten():
    config = {"a": {"b": [1, 2], "c": None}, "d": {}}
    assert stress.flatten(config) == [("a.b", "1, 2"), ("a.c", "none"), ("d", "{}")]
