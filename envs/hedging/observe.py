"""What a hedger sees: named fields with units, bounds and one order, whatever is chosen of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from envs.hedging.state import HedgeState
from sim.errors import ConfigError
from sim.kernel import F32, I64, Bool, Record, Rows, inlined, kernel


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
    "value": Field("of all options owed, in premiums", -1e3, 1e3),
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
def field_of(state: HedgeState, terms: Record, w: int, field: int) -> float:
    """One field of one world, by its place in `FIELDS`."""
    if field == 0:
        strike = state.strike[w, 0] if terms["quantity"] > 0.0 else state.first[w]
        return np.log(state.seen_price[w] / strike) / state.scale[w]
    if field == 1:
        return 1.0 - state.t[w] / terms["n_steps"]
    if field == 2:
        return state.holding[w]
    if field == 3:
        return state.delta[w]
    if field == 4:
        return state.cost[w]
    if field == 5:
        return state.gamma[w] * 0.01
    if field == 6:
        return state.vega[w] * 0.01 / state.unit[w]
    if field == 7:
        return state.seen_volatility[w]
    if field == 8:
        return np.sqrt(state.variance[w] / terms["years"])
    if field == 9:
        t = state.t[w]
        return 0.0 if t == 0 else state.last[w] / (state.volatility[w] * np.sqrt(terms["years"]))
    if field == 10:
        return state.margin_ratio[w]
    if field == 11:
        return terms["rate"]
    if field == 12:
        return terms["funding"]
    if field == 13:
        return 1.0 if state.outage[w] else 0.0
    return state.value[w] / state.unit[w]


@kernel
def observe(
    state: HedgeState, terms_: Rows, fields: I64, low: F32, high: F32, chosen: Bool, out: F32
) -> None:
    """Write the chosen fields of the chosen worlds, clipped to their bounds.

    Parameters
    ----------
    fields : array (field,)
        Places in `FIELDS`.
    low, high : array (field,)
    out : array (world, field)
    """
    terms = terms_[0]
    for i in range(fields.shape[0]):
        field, least, most = fields[i], low[i], high[i]
        for w in range(chosen.shape[0]):
            if chosen[w]:
                value = np.float32(field_of(state, terms, w, field))
                out[w, i] = min(max(value, least), most)
