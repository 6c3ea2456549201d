"""From the league's configuration, composed for one mechanism, to a study that can be built."""

from collections.abc import Mapping
from typing import Any

from experiments.build import LENDING, STUDY
from sim.errors import ConfigError

HOLDERS = "holders"
SHARED = ("gas_money", "bid_share", "min_profit_usd", "max_trade_usd")
TERMS = ("common", "deployed")
ENDLESS = 1e15  # USD a day: an outside market whose price no trade moves


def design(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study of one mechanism: its venue, the same book, the same liquidators.

    Parameters
    ----------
    config : mapping
        Resolved `conf/league.yaml` with one file of the group `mechanism`.
    """
    _check(config)
    study = {key: value for key, value in config.items() if key in STUDY}
    study["pools"] = {}  # liquidators sell outside
    study["book"] = _book(config)
    study["market"] = _market(config)
    study["cast"] = {HOLDERS: _holders(config, study["book"]), **_liquidators(config)}
    return study


def _check(config: Mapping[str, Any]) -> None:
    if config["terms"] not in TERMS:
        raise ConfigError(f"terms must be one of {', '.join(TERMS)}, got {config['terms']!r}")
    for key in ("collateral", "stable"):
        if config[key] not in config["assets"]:
            raise ConfigError(
                f"{key} must be one of the assets {', '.join(config['assets'])}, got "
                f"{config[key]!r}"
            )


def _book(config: Mapping[str, Any]) -> dict[str, Any]:
    """Have a drawn book in one collateral and one debt asset; a file's is restated in them."""
    book = dict(config["book"])
    if "collateral_mix" in book:
        book |= {
            "collateral_mix": {config["collateral"]: 1.0},
            "debt_mix": {config["stable"]: 1.0},
            "multi_collateral_share": 0.0,
            "multi_debt_share": 0.0,
        }
    return book


def _market(config: Mapping[str, Any]) -> dict[str, Any]:
    """Scale the depth, and let the stable token trade without impact where that is asked for."""
    market, stable = dict(config["market"]), config["stable"]
    if not isinstance(market.get("daily_volume"), Mapping):
        return market
    market["daily_volume"] = {
        asset: volume * (1.0 if asset == stable else config["market_depth"])
        for asset, volume in market["daily_volume"].items()
    }
    if config["stable_trades_flat"]:
        market["daily_volume"] = {**market["daily_volume"], stable: ENDLESS}
        market["half_spread_bps"] = {**market["half_spread_bps"], stable: 0.0}
    return market


def _holders(config: Mapping[str, Any], book: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_target_": "agents.populations.holders.Holders",
        "market": LENDING,
        "book": book,
        "collateral": config["collateral"],
        "debt": config["stable"],
        "liquidation_ltv": config["liquidation_ltv"] if config["terms"] == "common" else None,
        "least_debt": config["least_debt"],
        "least_health": config["least_health"],
    }


def _liquidators(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the mechanism's strategies to each of the liquidators that all mechanisms share.

    Where there are two, a liquidator's capital is split between accounts of its own for each.
    """
    cast = {}
    strategies = config["strategies"]
    for name, one in config["liquidators"].items():
        if one is None:
            continue
        for strategy, terms in strategies.items():
            capital = config["capital_usd"] * one["share"] * terms.get("share", 1.0)
            inside = capital * terms.get("in_collateral", 0.0)
            held = {config["stable"]: capital - inside, config["collateral"]: inside}
            cast[name if len(strategies) == 1 else f"{name}_{strategy}"] = {
                **terms["agent"],
                "holdings": {asset: usd for asset, usd in held.items() if usd > 0.0},
                "cash": config["stable"],
                **{key: config[key] for key in SHARED},
                **{key: one[key] for key in ("latency_seconds", "gas_cap")},
            }
    return cast
