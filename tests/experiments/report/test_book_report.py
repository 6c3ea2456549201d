"""The section of a report on order books."""

import pytest

from experiments import cascade
from experiments.record import simulate
from experiments.report import book as section
from experiments.report import stress as report
from experiments.summary import summarise

SMALL = (
    "market=order_book", "book.n_positions=150", "hours=1.5", "scenarios.crash.start_hours=0.2",
    "scenarios.crash.duration_hours=0.8", "record_every=5",
)  # fmt: skip


@pytest.fixture(scope="module")
def tables(compose):
    """Tables of two worlds as data frames."""
    made = simulate(compose(*SMALL), 0, 0, 2)
    return {name: table.to_pandas() for name, table in made.items()}


@pytest.fixture(scope="module")
def pairs(compose):
    return cascade.run_pairs(compose(*SMALL), 0, [1, 0])


def test_the_report_shows_the_cascade(tables, pairs, read, figures_in):
    found = summarise(tables["worlds"], tables["series"], tables["liquidations"], seed=0)
    html = report.render(*tables.values(), {}, found, pairs)
    page = read(html)
    assert "books" in page.ids
    chart = figures_in(html)["figure-cascade"]
    named = [trace["name"] for trace in chart["data"] if trace["showlegend"]]
    assert named == ["no feedback", section.WITH, section.WITHOUT]
    assert len(chart["data"]) == 9
    text = " ".join(page.text)
    assert "makers who withdraw, and makers who stay" in text
    assert "Mean of the 2 worst worlds" in text


def test_the_window_holds_the_liquidations_of_both(pairs):
    found = section._variants(pairs, 0)
    at = section.window(found)
    for series in found.values():
        total = series["liquidated_debt_usd"].to_numpy()
        assert total[at][0] <= 0.011 * total[-1]
        assert total[at][-1] >= 0.989 * total[-1]
    quiet = {name: s.assign(liquidated_debt_usd=0.0) for name, s in found.items()}
    assert section.window(quiet) == slice(0, len(found[section.WITH]))
