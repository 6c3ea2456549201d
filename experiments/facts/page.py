"""The page of the study: verdicts first, then the curves behind them, then what each fact means."""

import math
from collections.abc import Sequence
from html import escape

from experiments.facts import figures
from experiments.facts.populations import CHANCE
from experiments.facts.study import EMBEDDED, Market, band_text, beyond_chance, edge, shown
from experiments.report.page import Page, code, details, note, text
from experiments.report.words import plural
from sim.metrics.fact_bands import BANDS, WITHOUT_VERDICT, is_certain, reproduces
from sim.metrics.stylised_facts import CATALOGUE, Fact, Spec

_STYLE = """<style>
.matrix table{font-size:13.5px;border-collapse:separate;border-spacing:0}
.matrix th,.matrix td{padding:5px 9px;white-space:nowrap;border-left:1px solid #fff}
.matrix thead th{white-space:normal;min-width:86px;max-width:124px;vertical-align:bottom}
.matrix th:first-child{position:sticky;left:0;background:#fff;z-index:1;padding-left:0;
min-width:min(205px,36vw);max-width:230px;white-space:normal}
.matrix td small{display:block;font-size:11.5px;color:var(--muted);line-height:1.25}
.matrix td.in{background:#d3efe0}.matrix td.near{background:#eaf6ef}
.matrix td.off{background:#f8d3cb}.matrix td.far{background:#fbeae6}
.matrix td.none{color:#8a94a6}
.matrix tr.group th{font-weight:600;color:var(--muted);padding-top:14px}
.matrix tfoot th,.matrix tfoot td{font-weight:600;border-top:2px solid var(--rule)}
.key{display:flex;flex-wrap:wrap;gap:6px 18px;font-size:14px;margin:6px 0 14px;padding:0}
.key span{display:inline-flex;align-items:center;gap:7px}
.key i{display:inline-block;width:16px;height:14px;border-radius:3px}
.key svg{flex:none}
.said{font-size:15px;margin:0 0 14px;padding-left:18px}.said li{margin:3px 0;max-width:90ch}
.terms td,.terms th{white-space:normal;text-align:left;vertical-align:top;overflow-wrap:anywhere}
.terms table{min-width:940px}.terms td:nth-child(4){white-space:nowrap}
.terms td:last-child{min-width:120px}
.terms th:first-child{min-width:175px;max-width:210px}
</style>"""


def render(markets: Sequence[Market], command: str) -> str:
    """Return the page.

    Parameters
    ----------
    markets : sequence of Market
        Populations and recorded markets.
    command : str
        What made it.
    """
    ordered = sorted(markets, key=lambda it: not it.is_simulated)
    crowd = [it for it in ordered if it.is_simulated]
    real = [it for it in ordered if not it.is_simulated]
    page = Page(
        "Stylised facts",
        f"{plural(len(crowd), 'population')} beside {plural(len(real), 'recorded market')}, "
        "measured by the same functions",
        headline(crowd, real),
    )
    page.section(
        "matrix", "Verdicts",
        "A fact is reproduced when its value lies in the band. Bands come from recorded markets "
        "and papers alone, and end where they would reach what the fact denies.",
        _STYLE, _verdict_key(), _matrix(ordered), _bias(ordered),
    )  # fmt: skip
    page.section(
        "sentences", "Reproduced and missed", "",
        page.side_by_side(*(_said(market) for market in crowd)),
        "" if crowd else text("No population was run."),
    )  # fmt: skip
    drawn = figures.all_figures(ordered)
    with_curves = [it for it in ordered if it.curves]
    page.section(
        "curves", "Curves",
        "Populations are means over seeds. Recorded markets are black, grey lines are laws to "
        "compare with.",
        _line_key(with_curves), page.side_by_side(*drawn), _curves_missing(ordered),
    )  # fmt: skip
    page.section(
        "terms", "Definitions and bands", "", _terms(),
        details("How intervals are made", text(*_INTERVALS)), _reproduce(command),
    )  # fmt: skip
    return page.html()


_INTERVALS = (
    "Intervals are 95%. For several seeds: Student's t of the mean over seeds. For a recorded "
    "market or a single seed: 1.96 standard errors of the moving-block bootstrap (blocks of at "
    "least the square root of the number of observations, longer where lags must fit in; 100 "
    "resamples). One day of a market says nothing of the variation between days.",
)


def headline(crowd: Sequence[Market], real: Sequence[Market]) -> str:
    """Say which population does best, and what even the best misses."""
    if not crowd:
        return f"{plural(len(real), 'recorded market')}, and no population to compare with."
    best = max(crowd, key=lambda it: len(it.judged(True)))
    yes, no, absent = (len(best.judged(verdict)) for verdict in (True, False, None))
    missed = [_title(fact.name).lower() for fact in best.judged(False)]
    lead = (
        f"Of {len(crowd)} populations {best.name} reproduces the most: "
        if len(crowd) > 1
        else (f"{best.name} reproduces ")
    )
    unknown = f" ({absent} could not be measured)" if absent else ""
    beyond = beyond_chance(best, crowd)
    if beyond is not None and best.name != CHANCE:
        unknown += f", {beyond} of them not by chance alone"
    words = f"It misses {_listed(missed)}." if missed else "It misses none."
    return f"{lead}{yes} of {yes + no} facts{unknown}. {words}"


def _listed(names: Sequence[str]) -> str:
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def _title(name: str) -> str:
    return next(spec.title for spec in CATALOGUE if spec.name == name)


def _verdict_key() -> str:
    shades = (
        ("#d3efe0", "✓ in the band"),
        ("#eaf6ef", "✓ in the band, but the interval reaches out"),
        ("#fbeae6", "✗ outside, but the interval reaches in"),
        ("#f8d3cb", "✗ outside"),
    )
    inner = "".join(f'<span><i style="background:{c}"></i>{escape(t)}</span>' for c, t in shades)
    return f'<div class="key">{inner}</div>'


def _cell(fact: Fact) -> str:
    """Value with its verdict, the interval below it."""
    if not shown(fact):
        return f'<td class="none" title="{escape(fact.remark, quote=True)}">–</td>'
    verdict, sure = reproduces(fact), is_certain(fact)
    kinds = {(True, True): "in", (True, False): "near", (False, True): "off", (False, False): "far"}
    exact = not (math.isfinite(fact.low) and math.isfinite(fact.high))
    kind = "" if verdict is None else kinds[verdict, sure or exact]
    mark = {True: "✓ ", False: "✗ ", None: ""}[verdict]
    span = "" if exact else f"{edge(fact.low)} to {edge(fact.high)}"
    seen = f"{fact.n:,} observations" + (f", {fact.n_seeds} seeds" if fact.n_seeds > 1 else "")
    hint = escape("; ".join(part for part in (seen, fact.remark) if part), quote=True)
    value = shown(fact)
    return f'<td class="{kind}" title="{hint}">{mark}{value}<small>{span}</small></td>'


def _matrix(markets: Sequence[Market]) -> str:
    """Facts down, markets across."""
    heads = "".join(
        f'<th scope="col" title="{escape(it.about, quote=True)}">{escape(it.name)}</th>'
        for it in markets
    )
    body, group = "", ""
    for spec in CATALOGUE:
        if spec.group != group:
            group = spec.group
            body += f'<tr class="group"><th scope="rowgroup">{escape(group)}</th></tr>'
        hint = escape(spec.definition, quote=True)
        cells = "".join(_cell(it.facts[spec.name]) for it in markets)
        body += (
            f'<tr><th scope="row" title="{hint}">{escape(spec.title)}</th>'
            f"<td>{escape(band_text(spec.name))}</td>{cells}</tr>"
        )
    totals = ""
    for it in markets:
        yes, no = len(it.judged(True)), len(it.judged(False))
        totals += f"<td>{yes} of {yes + no}</td>"
    beyond = [beyond_chance(it, markets) for it in markets]
    foot = f'<tr><th scope="row">in the band</th><td></td>{totals}</tr>'
    if None not in beyond:
        cells = "".join(f"<td>{count}</td>" for count in beyond)
        foot += f'<tr><th scope="row">and chance is not</th><td></td>{cells}</tr>'
    return (
        '<div class="table matrix" tabindex="0" role="region" aria-label="Verdicts by market">'
        f'<table><thead><tr><th scope="col">fact</th><th scope="col">band</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody><tfoot>{foot}</tfoot></table></div>"
    )


def _bias(markets: Sequence[Market]) -> str:
    """Say what a reader of the matrix must not overlook."""
    words = [
        "Recorded markets made the bands, so their marks only say that a market does show the "
        "fact at all.",
        "The impact of metaorders is measured on parent orders where a population has them; all "
        "recorded markets, and populations without parents, use a proxy: runs of market orders of "
        "one sign.",
        "A dash: too short, or not recorded (the reason is under the pointer and in the table); "
        "none: data enough, and nothing to measure in them, such as no memory above noise.",
    ]
    if any(it.kind == EMBEDDED for it in markets):
        words.append("Recorded markets are the numbers kept with the bands: no data= was given.")
    return note(*words)


def _said(market: Market) -> str:
    """Say what a population reproduces, misses and cannot be asked for."""
    yes, no, absent = (market.judged(verdict) for verdict in (True, False, None))
    kept = ", ".join(_title(fact.name).lower() for fact in yes)
    lines = [f"Reproduces {len(yes)}: {kept}." if yes else "Reproduces none."]
    misses = []
    for fact in no:
        where = BANDS[fact.name]
        assert where is not None
        side = "below" if fact.value < where.low else "above" if fact.value > where.high else "band"
        doubt = ", interval reaches in" if math.isfinite(fact.low) and not is_certain(fact) else ""
        misses.append(
            f"{_title(fact.name).lower()} ({shown(fact)}, {side} {band_text(fact.name)}{doubt})"
        )
    lines.append(f"Misses {len(no)}: {'; '.join(misses)}." if misses else "Misses none.")
    if absent:
        why = "; ".join(
            f"{_title(fact.name).lower()} ({fact.remark or 'no reason given'})" for fact in absent
        )
        lines.append(f"Not measured: {why}.")
    inner = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f'<div class="block"><h3>{escape(market.name)}</h3>{text(market.about + ".")}'
        f'<ul class="said">{inner}</ul></div>'
    )


def _line_key(markets: Sequence[Market]) -> str:
    """One key for all figures."""
    dashes = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "8 3 2 3", "longdash": "11 4"}
    inner = ""
    look = figures.styles(markets)
    for market in markets:
        color, dash = look[market.name]
        inner += (
            f'<span><svg width="30" height="8" aria-hidden="true"><line x1="0" x2="30" y1="4" '
            f'y2="4" stroke="{color}" stroke-width="2.4" stroke-dasharray="{dashes[dash]}"/></svg>'
            f"{escape(market.name)}</span>"
        )
    return f'<div class="key">{inner}</div>'


def _curves_missing(markets: Sequence[Market]) -> str:
    names = [it.name for it in markets if not it.curves]
    if not names:
        return ""
    return note(
        f"No curves of {', '.join(names)}: only their numbers are kept. Give data= the folder of "
        "their tables to draw them."
    )


def _terms() -> str:
    heads = ("fact", "definition", "source", "band", "what papers give", "denies")
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(_term(spec) for spec in CATALOGUE)
    return (
        '<div class="table terms" tabindex="0" role="region" aria-label="Definitions"><table>'
        f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _term(spec: Spec) -> str:
    where = BANDS[spec.name]
    published = where.published if where else WITHOUT_VERDICT.get(spec.name, "")
    denied = where.denied if where else ""
    title = f"{spec.title} ({spec.name})"
    columns = (spec.definition, spec.source, band_text(spec.name), published, denied)
    inner = "".join(f"<td>{escape(words)}</td>" for words in columns)
    return f'<tr><th scope="row">{escape(title)}</th>{inner}</tr>'


def _reproduce(command: str) -> str:
    return details("Make this page again", code(command), is_open=True)
