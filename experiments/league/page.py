"""The page of the league."""

from collections.abc import Sequence
from typing import Any

from experiments.league.study import League
from experiments.report.page import Page


def render(league: League, summary: dict[str, Any], command: Sequence[str]) -> str:
    """Return the page."""
    return Page("League", "", "").html()
