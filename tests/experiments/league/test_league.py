"""The whole league, small: base, grid, a variation, table and page."""

import json
import re

import pytest

from experiments.engines.serial import Serial
from experiments.league.console import console_table
from experiments.league.study import League, write
from sim.errors import ConfigError

TINY = (
    "book.n_positions=120", "hours=2", "scenarios.crash.start_hours=0.3", "check_every=30",
    "scenarios.crash.duration_hours=1", "worlds=3", "efficiency_worlds=3", "robustness_worlds=3",
    "tail=mean", "ltvs=[0.75,0.8]", "mechanisms.compound_v2=false", "mechanisms.compound_v3=false",
    "mechanisms.euler_v2=false", "mechanisms.maker_clip=false", "mechanisms.maker_flip=false",
    "mechanisms.crvusd=false",
)  # fmt: skip
VARIATIONS = ("dai", "delayed_oracle", "deployed", "gas_caps", "inattention", "large_pool",
              "no_pool", "spot_oracle", "thin_market")  # fmt: skip
ONE = tuple(f"variations.{name}=null" for name in VARIATIONS)


@pytest.fixture(scope="module")
def league(composed, tmp_path_factory):
    """A league of three, one of which cannot run: it has no such parameter."""
    out = f"out={tmp_path_factory.mktemp('league')}"
    own = (*TINY, *ONE, out)

    def compose(overrides):
        broken = ["lending.params.lltv=0.9"] if "mechanism=liquity" in overrides else []
        return composed(*own, *overrides, *broken)

    found = League(composed(*own), compose, Serial())
    found.run()
    return found


@pytest.fixture(scope="module")
def summary(league):
    return league.summary()


def test_the_summary_tells_of_who_ran_and_of_who_could_not(summary):
    assert list(summary["mechanisms"]) == ["aave_v3", "morpho_blue"]
    assert "liquity" in summary["problems"]
    assert "unknown parameter lending.params" in summary["problems"]["liquity"]
    morpho = summary["mechanisms"]["morpho_blue"]
    assert morpho["difference"]["borrower_loss_usd"]["value"] > 0.0  # 6.4% against 5%
    assert summary["variations"]["scarce_capital"]["means"]["aave_v3"]["initial_debt_usd"] > 1e8
    points = summary["efficiency"]["absolute"]["mechanisms"]["aave_v3"]
    assert points["ltvs"] == [0.75, 0.8]


def test_the_grid_uses_the_base_where_it_is_the_same(league):
    assert league.grid["aave_v3"][0.8] is league.base["aave_v3"]
    assert league.grid["aave_v3"][0.75] is not league.base["aave_v3"]


def test_the_page_stands_alone_and_shows_every_mechanism(league, summary):
    path = write(league, summary, ["worlds=3"])
    html = path.read_text()
    for title in ("Aave v3", "Morpho Blue", "Which conclusions survive", "What was assumed"):
        assert title in html
    assert "liquity could not run" in html
    page = html[: html.index("<script>")]  # plotly's source names addresses, and loads none
    assert re.findall(r'(?:src|href)="(?!#)', page) == []
    assert "1.05" not in page.split("What differs by construction")[0]
    assert "a bonus of 5.0% on the debt repaid" in html  # read from the params
    assert "an incentive of 6.4%" in html
    found = json.loads((path.parent / "summary.json").read_text())
    assert found["mechanisms"] == summary["mechanisms"]


def test_the_table_of_the_terminal_has_a_row_each(summary):
    table = console_table(summary)
    assert table.row_count == len(summary["mechanisms"]) + len(summary["problems"])


def test_who_takes_part_and_how_far_the_tail_reaches_is_checked_first(composed):
    with pytest.raises(ConfigError, match="reference must be one of the mechanisms"):
        League(composed("mechanisms.aave_v3=false"), lambda _: {}, Serial())
    with pytest.raises(ConfigError, match="needs at least 100 worlds"):
        League(composed("tail=es_99", "efficiency_worlds=50"), lambda _: {}, Serial())
