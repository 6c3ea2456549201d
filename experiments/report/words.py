"""Numbers as people read them, and sentences made of them."""

import math
from collections.abc import Callable
from typing import Any

MISSING = "n/a"


def _significant(value: float, digits: int = 3) -> str:
    """Round to significant digits, without exponent and without trailing noise."""
    if value == 0.0:
        return "0"
    value = float(f"{value:.{digits}g}")  # rounding may carry into another digit: 999.6 to 1000
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{places}f}"


def money(usd: float | None) -> str:
    """Amount in dollars: $1.23M, -$45.6k, $0."""
    if usd is None or not math.isfinite(usd):
        return MISSING
    sign, size = ("-" if usd < 0 else ""), abs(usd)
    for scale, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= 0.9995 * scale:
            return f"{sign}${_significant(size / scale)}{unit}"
    return f"{sign}${_significant(size)}" if size >= 0.01 else "$0"


def short_money(usd: float) -> str:
    """Amount on an axis, without trailing zeros: $10k, $2.5M."""
    text = money(usd)
    unit = text[-1] if text[-1] in "kMB" else ""
    figure = text.removesuffix(unit)
    return (figure.rstrip("0").rstrip(".") if "." in figure else figure) + unit


def percent(share: float | None) -> str:
    """Share as a percentage: 0.38%, 4.2%, 33.0%, 100%."""
    if share is None or not math.isfinite(share):
        return MISSING
    value = 100.0 * share
    if abs(value) < 0.005:
        return "0%"
    if abs(value) >= 99.95:
        return f"{value:,.0f}%"
    return f"{value:.{2 if abs(value) < 0.995 else 1}f}%"


def number(value: float | None) -> str:
    """Plain number with up to three significant digits and thousands separators."""
    if value is None or not math.isfinite(value):
        return MISSING
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = _significant(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval(estimate: dict[str, Any], show: Callable[[float], str]) -> str:
    """Interval of an estimate: '$1.1M to $1.9M', or the reason why there is none."""
    if estimate.get("low_95") is None or estimate.get("high_95") is None:
        return str(estimate.get("reason", ""))
    return f"{show(estimate['low_95'])} to {show(estimate['high_95'])}"


def plural(n: float, noun: str) -> str:
    """Count with its noun: '1 world', '1,000 worlds'."""
    return f"{n:,.0f} {noun}" if n == 1 else f"{n:,.0f} {noun}s"


def headline(summary: dict[str, Any]) -> str:
    """Say in words what a designer wants to know first.

    Parameters
    ----------
    summary : dict
        What `experiments.summary.summarise` returned.

    Returns
    -------
    str
        Two or three sentences, plain text.
    """
    n = summary["worlds"]["n_ok"]
    lost = summary["bad_debt"]
    if n == 0:
        return "No world finished, so there is nothing to conclude; see the failed worlds below."
    if n == 1:
        return (
            f"In the one world that was run, bad debt was {money(lost['mean_usd']['value'])}. "
            "One world is an example, not a distribution: run more to speak of risk."
        )
    chance = lost["probability_any"]
    if chance["value"] == 0.0:
        return (
            f"In none of {n:,} worlds was there bad debt. "
            f"With so many worlds the probability is below {percent(chance['high_95'])} "
            "(95% confidence), provided that the model is right."
        )
    text = (
        f"In {n:,} worlds, mean bad debt is {money(lost['mean_usd']['value'])} "
        f"(95% interval {interval(lost['mean_usd'], money)}); "
        f"{percent(lost['probability_material']['value'])} of the worlds lose over 0.01% of what "
        "was lent."
    )
    return text + " " + _tail_sentence(lost)


def _tail_sentence(lost: dict[str, Any]) -> str:
    for level, odds in (("99", "One world in 100"), ("95", "One world in 20")):
        var, shortfall = lost[f"var_{level}_usd"], lost[f"es_{level}_usd"]
        if var["value"] is not None:
            return (
                f"{odds} loses more than {money(var['value'])}, "
                f"and those worlds lose {money(shortfall['value'])} on average."
            )
    return f"The worst world loses {money(lost['max_usd'])}; more worlds are needed to rank tails."
