"""The HTML page: skeleton, style and building blocks.

One file that opens offline: plotly.js is inlined once and a content security policy forbids every
request, so nothing can be loaded from outside even by mistake. Figures are JSON in the page and
are drawn by `_SCRIPT`, which also adapts them to narrow screens and to paper.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any

from experiments.report.charts import Chart
from experiments.report.style import SCRIPT, STYLE
from experiments.summary import clean

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)


class Page:
    """Collects sections and figures, then renders them."""

    def __init__(self, title: str, subtitle: str, headline: str) -> None:
        self.title = title
        self.subtitle = subtitle
        self.headline = headline
        self._sections: list[tuple[str, str, str]] = []
        self._figures: dict[str, dict[str, Any]] = {}

    def section(self, key: str, title: str, lead: str, *blocks: str) -> None:
        """Add a section; `lead` is plain text, blocks are HTML; empty blocks are left out."""
        body = "".join(blocks)
        text = f'<p class="lead">{escape(lead)}</p>' if lead else ""
        self._sections.append((key, title, text + body))

    def side_by_side(self, *blocks: Chart | str | None) -> str:
        """Place charts and HTML blocks two in a row where there is room; None is left out."""
        present = [self._place(b) if isinstance(b, Chart) else b for b in blocks if b]
        return f'<div class="grid">{"".join(present)}</div>' if present else ""

    def _place(self, chart: Chart) -> str:
        key = f"figure-{chart.key}"
        if key in self._figures:
            raise ValueError(f"chart keys must differ within a page, got {chart.key!r} twice")
        self._figures[key] = {"data": chart.data, "layout": chart.layout}
        wide = " wide" if chart.wide else ""
        label = escape(f"{chart.title}. {chart.caption}", quote=True)
        return (
            f'<figure class="chart{wide}"><h3>{escape(chart.title)}</h3>'
            f'<div class="plot" id="{key}" style="height:{chart.height}px" role="img" '
            f'aria-label="{label}"></div><figcaption>{escape(chart.caption)}</figcaption></figure>'
        )

    def html(self) -> str:
        """Render the page."""
        from plotly.offline import get_plotlyjs

        links = "".join(f'<a href="#{k}">{escape(t)}</a>' for k, t, _ in self._sections)
        body = "".join(
            f'<section id="{k}"><h2>{escape(t)}</h2>{b}</section>' for k, t, b in self._sections
        )
        figures = json.dumps(clean(self._figures), allow_nan=False, separators=(",", ":"))
        figures = figures.replace("<", "\\u003c")
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head><body>"
            f"<header><h1>{escape(self.title)}</h1>"
            f'<p class="subtitle">{escape(self.subtitle)}</p>'
            f'<p class="headline">{escape(self.headline)}</p></header>'
            f'<nav aria-label="Sections">{links}</nav><main>{body}</main>'
            "<noscript><p>The figures need JavaScript; text and tables do not.</p></noscript>"
            f'<script type="application/json" id="figures">{figures}</script>'
            f"<script>{get_plotlyjs()}</script><script>{SCRIPT}</script></body></html>\n"
        )


def cards(items: Iterable[tuple[str, str, str]]) -> str:
    """Key numbers: label, figure, and a line of context each."""
    inner = "".join(
        f'<div class="card"><dt>{escape(label)}</dt><dd>{escape(figure)}'
        f"<small>{escape(note)}</small></dd></div>"
        for label, figure, note in items
    )
    return f'<dl class="cards">{inner}</dl>'


def table(
    caption: str,
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: Collection[int] = (),
) -> str:
    """Table that scrolls sideways on a narrow screen.

    The first column names the row; numbers align right, the columns in `left` (words) do not.
    """
    label = escape(caption, quote=True)
    at = ['class="left"' if i in left else "" for i in range(len(headers))]
    cells = "".join(f'<th scope="col" {at[i]}>{escape(h)}</th>' for i, h in enumerate(headers))
    head = f"<thead><tr>{cells}</tr></thead>" if any(headers) else ""
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td {at[i]}>{escape(cell)}</td>" for i, cell in enumerate(row) if i)
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="block"><h3>{escape(caption)}</h3><div class="table" tabindex="0" '
        f'role="region" aria-label="{label}"><table aria-label="{label}">{head}'
        f"<tbody>{body}</tbody></table></div></div>"
    )


def details(summary: str, *blocks: str, is_open: bool = False) -> str:
    """Fold blocks away under a line that opens them."""
    mark = " open" if is_open else ""
    body = "".join(blocks)
    return f"<details{mark}><summary>{escape(summary)}</summary>{body}</details>"


def text(*sentences: str) -> str:
    """Paragraph of plain text."""
    return f"<p>{escape(' '.join(s for s in sentences if s))}</p>"


def note(*sentences: str) -> str:
    """Caveat that stands out from the text around it."""
    return f'<p class="note">{escape(" ".join(s for s in sentences if s))}</p>'


def code(lines: str) -> str:
    """Preformatted block that can be copied."""
    return f'<pre tabindex="0"><code>{escape(lines)}</code></pre>'
