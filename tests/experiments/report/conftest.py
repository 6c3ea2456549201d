"""Reading a page as a browser and a reader would."""

import json
import re
from html.parser import HTMLParser

import pytest

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Reader(HTMLParser):
    """Checks that tags nest and collects what a browser would load or show."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        self.loads += [v for k, v in attrs if k in ("src", "href") and not v.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def read_page(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    return reader


def figures_of(html: str) -> dict:
    inner = re.search(r'<script type="application/json" id="figures">(.*?)</script>', html, re.S)
    assert inner is not None
    return json.loads(inner.group(1))


@pytest.fixture(scope="session")
def read():
    """Return the function that parses a page and checks its structure."""
    return read_page


@pytest.fixture(scope="session")
def figures_in():
    """Return the function that gets the plotly figures out of a page."""
    return figures_of
