"""What a hedger sees: named fields with units, bounds and one order, whatever is chosen of them."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from envs.hedging.state import (
    DEPTH,
    FUNDING,
    IMBALANCE,
    PREMIUM,
    SPREAD,
    STRETCH,
    HedgeState,
    Marks,
)
from sim.errors import ConfigError
from sim.kernel import F32, F64, I64, Bool, Record, Rows, inlined, kernel


class Field(NamedTuple):
    """One number of an observation."""

    about: str  # what it is, with its unit
    low: float  # values are clipped to these
    high: float


FIELDS = {
    "moneyness": Field("log of price over strike, in volatilities of the whole episode", -20, 20),
    "time_left": Field("share of the episode that is left", 0, 1),
    "holding": Field("of the underlying, units (inverse: coin)", -1e3, 1e3),
    "delta": Field("of all options owed, by the model, units (inverse: coin)", -1e3, 1e3),
    "cost": Field("lost so far, in premiums of the option sold at the start", -1e3, 1e3),
    "gamma": Field("change of delta when the price rises by 1%", -1e3, 1e3),
    "vega": Field("change of value per volatility point, in premiums", -1e3, 1e3),
    "implied_volatility": Field("annual", 0, 20),
    "realised_volatility": Field("annual, exponentially weighted over the steps", 0, 20),
    "last_return": Field("of the last step, in volatilities of a step", -50, 50),
    "margin_ratio": Field("maintenance margin over equity", 0, 1e3),
    "spread": Field("cost of a small trade, as a fraction of its worth", 0, 1),
    "funding": Field("paid by who is long, per year", -100, 100),
    "outage": Field("1 while the venue takes no orders", 0, 1),
    "swap_holding": Field("variance swaps held, units", -1e3, 1e3),
    "value": Field("of all options owed, in premiums", -1e3, 1e3),
    "premium": Field("log of the price of what is held over that of the underlying", -1, 1),
    "depth": Field("units of the underlying within 1% of the price, mean of both sides", 0, 1e9),
    "imbalance": Field("bids less asks within 1% of the price, over their sum", -1, 1),
}  # fmt: skip
NAMES = tuple(FIELDS)
STANDARD = ("moneyness", "time_left", "holding", "delta", "cost")
"""Those of the standard test; accumulated cost makes the strategy one of pre-commitment."""


def chosen_fields(wanted: Mapping[str, bool] | None) -> tuple[str, ...]:
    """Names of the fields of an observation, in the order of `FIELDS`."""
    if wanted is None:
        return STANDARD
    for name in wanted:
        if name not in FIELDS:
            raise ConfigError(
                f"observation has no field {name!r}; its fields are {', '.join(FIELDS)}"
            )
    names = tuple(name for name in FIELDS if wanted.get(name))
    if not names:
        raise ConfigError(f"observation must have a field; choose some of {', '.join(FIELDS)}")
    return names


@inlined
def plain(state: HedgeState, terms: Record, w: int, field: int) -> float:
    """One of the fields that take no logarithm, by its place in `FIELDS`."""
    if field == 5:
        return float(state.gamma[w] * 0.01)
    if field == 6:
        return float(state.vega[w] * 0.01 / state.unit[w])
    if field == 8:
        return float(np.sqrt(state.variance[w] / terms["years"]))
    if field == 9:
        return float(state.last[w] / (state.seen_volatility[w] * np.sqrt(terms["years"])))
    if field == 11:
        return float(terms["rate"] + state.conditions[w, SPREAD])
    if field == 12:
        return float(terms["funding"] + state.conditions[w, FUNDING])
    if field == 13:
        return 1.0 if state.outage[w] else 0.0
    if field == 15:
        return float(state.value[w] / state.unit[w])
    place = PREMIUM if field == 16 else DEPTH if field == 17 else IMBALANCE
    return float(state.conditions[w, place])


@inlined
def copy_stretch(out: F64, source: F64, first: int) -> None:
    """Copy what stands from `first` on."""
    for i in range(out.shape[0]):
        out[i] = source[first + i]


@kernel
def column(state: HedgeState, terms: Record, field: int, work: F64, first: int, n: int) -> None:
    """Write one field of the worlds from `first` on into `work[0]`; plain copies are loops."""
    out = work[0, :n]
    if field == 0:
        strike = math.log(terms["moneyness"]) if terms["quantity"] > 0.0 else 0.0
        for i in range(n):
            out[i] = (state.seen_log[first + i] - strike) / state.scale[first + i]
    elif field == 1:
        share = 1.0 / terms["n_steps"]
        for i in range(n):
            out[i] = 1.0 - share * state.t[first + i]
    elif field == 2:
        copy_stretch(out, state.holding, first)
    elif field == 3:
        copy_stretch(out, state.delta, first)
    elif field == 4:
        copy_stretch(out, state.cost, first)
    elif field == 7:
        copy_stretch(out, state.seen_volatility, first)
    elif field == 10:
        copy_stretch(out, state.margin_ratio, first)
    elif field == 14:
        copy_stretch(out, state.swap_held, first)
    else:
        for i in range(n):
            out[i] = plain(state, terms, first + i, field)


@inlined
def put(
    work: F64, chosen: Bool, everywhere: bool, first: int, n: int, low: Any, high: Any, out: F32
) -> None:
    """Clip a field into its column; the loop over all worlds has no branch."""
    if everywhere:
        for i in range(n):
            out[first + i] = min(max(np.float32(work[0, i]), low), high)
        return
    for i in range(n):
        if chosen[first + i]:
            out[first + i] = min(max(np.float32(work[0, i]), low), high)


@kernel
def observe(
    state: HedgeState, marks: Marks, terms_: Rows, fields: I64, low: F32, high: F32, chosen: Bool,
    out: F32,
) -> None:  # fmt: skip
    """Write the chosen fields of the chosen worlds, clipped to their bounds.

    Parameters
    ----------
    marks : Marks
        Its scratch.
    fields : array (field,)
        Places in `FIELDS`.
    low, high : array (field,)
    out : array (world, field)
    """
    terms, work = terms_[0], marks.work
    for first in range(0, chosen.shape[0], STRETCH):
        n = min(STRETCH, chosen.shape[0] - first)
        count = 0
        for i in range(n):
            count += 1 if chosen[first + i] else 0
        if count == 0:
            continue
        for j in range(fields.shape[0]):
            column(state, terms, fields[j], work, first, n)
            put(work, chosen, count == n, first, n, low[j], high[j], out[:, j])
