"""What differs by construction, in words whose numbers are read from the params."""

from collections.abc import Callable, Mapping
from typing import Any

from experiments.build import LENDING, part
from experiments.league.designs import HOLDERS
from experiments.report.words import money, number, percent
from sim.lending.comet_market import CometMarket
from sim.lending.compound_v2 import CompoundV2Market
from sim.lending.crvusd import CrvUsdMarket
from sim.lending.euler import EulerMarket
from sim.lending.liquity.market import LiquityMarket
from sim.lending.loans import LoanVenue
from sim.lending.maker.market import MakerMarket
from sim.lending.morpho import MorphoMarket, incentive_factor
from sim.lending.pooled import PooledMarket

HEADS = (
    "liquidation begins at", "what the borrower pays", "how much at once", "who pays the debt",
    "at which price", "the protocol keeps", "who bears what is missing",
)  # fmt: skip
Facts = tuple[str, str, str, str, str, str]


def facts(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Cells of `HEADS` for the mechanism of a design (`experiments.league.designs`)."""
    venue = part(config, LENDING)
    assert isinstance(venue, LoanVenue)
    holders = config["cast"][HOLDERS]
    asset = holders["collateral"]
    if holders["liquidation_ltv"] is not None:
        venue.set_liquidation_ltv(asset, holders["liquidation_ltv"])
    words = WORDS.get(type(venue))
    begins = f"LTV {percent(venue.liquidation_ltv(asset))}"
    if words is None:
        return (begins, *[""] * (len(HEADS) - 1))
    return (begins, *words(venue.params, asset))


def _aave(params: Any, asset: str) -> Facts:
    reserve = params.reserves[asset]
    return (
        f"a bonus of {percent(reserve.liquidation_bonus)} on the debt repaid",
        f"{percent(params.close_factor)} of the loan; all of it at a health factor up to "
        f"{params.close_factor_health:g} or under {money(params.close_factor_value)}",
        "liquidators, from their cash", "the oracle's, less the bonus",
        f"{percent(reserve.protocol_fee)} of the bonus",
        "suppliers; booked when the last collateral is gone",
    )  # fmt: skip


def _compound(params: Any, asset: str) -> Facts:
    del asset
    return (
        f"an incentive of {percent(params.liquidation_incentive)} on the debt repaid",
        f"{percent(params.close_factor)} of the debt", "liquidators, from their cash",
        "the oracle's, less the incentive",
        f"{percent(params.protocol_seize_share)} of what is seized",
        "suppliers; never written off",
    )  # fmt: skip


def _comet(params: Any, asset: str) -> Facts:
    penalty = 1.0 - params.collaterals[asset].liquidation_factor
    share = params.store_front_factor
    return (
        f"{percent(penalty)} of the collateral's worth; the rest is credited", "the whole loan",
        "the protocol's reserves, which may go negative, then buyers of the collateral",
        f"the oracle's, less {percent(share * penalty)}; sold while reserves are under "
        f"{money(params.target_reserves)}",
        f"{percent(1.0 - share)} of the penalty, and the price risk until the sale",
        "reserves, then suppliers; booked when a loan is absorbed",
    )  # fmt: skip


def _morpho(params: Any, asset: str) -> Facts:
    del asset
    return (
        f"an incentive of {percent(incentive_factor(params.lltv) - 1.0)}, larger at a lower LTV",
        "any part, all of it", "liquidators, from their cash", "the oracle's, less the incentive",
        "nothing", "suppliers, at once when the last collateral is gone",
    )  # fmt: skip


def _euler(params: Any, asset: str) -> Facts:
    del asset
    return (
        f"a discount that grows with the shortfall of health, at most "
        f"{percent(params.max_discount)}",
        "any part, all of it", "liquidators, from their cash",
        "the oracle's, less the discount: whoever takes the least, first", "nothing",
        "suppliers, when the last collateral is gone",
    )  # fmt: skip


def _maker(params: Any, asset: str) -> Facts:
    del asset
    if params.auction == "flip":
        price = (
            f"English auction: bids rise by {percent(params.beg)} until debt and penalty are met, "
            f"then lots shrink; a bid wins after {number(params.ttl / 60)} minutes"
        )
        much = f"lots of {number(params.lump)} {params.collateral}"
    else:
        price = (
            f"Dutch auction: from {params.buf:g} times the oracle's, down by "
            f"{percent(1.0 - params.cut)} every {number(params.step)} seconds"
        )
        much = f"the whole vault, while auctions want less than {money(params.hole)}"
    return (
        f"a penalty of {percent(params.penalty)} of the debt; what the auction does not need "
        "comes back", much, "bidders, from their cash", price,
        "the penalty" + (f", less {money(params.tip)} and {percent(params.chip)} to who starts"
                         if params.tip or params.chip else ""),
        "the system's surplus; booked when an auction ends",
    )  # fmt: skip


def _liquity(params: Any, asset: str) -> Facts:
    del asset
    return (
        f"all its collateral: {percent(params.minimum_ratio - 1.0)} beyond the debt at the "
        f"threshold; in recovery mode (system under {percent(params.critical_ratio)}) loans above "
        "the threshold too, and the rest comes back",
        "the whole loan",
        "deposits in the stability pool, and beyond them the other borrowers, who get the "
        "collateral and the debt",
        "the oracle's",
        f"nothing; {percent(params.gas_share)} and {money(params.gas_deposit)} go to who calls",
        "depositors and the other borrowers; nothing is ever booked",
    )  # fmt: skip


def _crvusd(params: Any, asset: str) -> Facts:
    del asset
    return (
        f"what arbitrageurs earn on the way through {params.n_bands} bands of "
        f"{percent(1.0 / params.amplification)}, less the AMM's fee of {percent(params.fee)}",
        "band by band, and back again when the price recovers; the whole loan once health is "
        "under 0",
        "arbitrageurs buy the collateral bit by bit; hard liquidators pay the rest",
        "the AMM's, which runs ahead of the oracle's", "nothing",
        "holders of the stable token; never written off",
    )  # fmt: skip


WORDS: dict[type[LoanVenue], Callable[[Any, str], Facts]] = {
    PooledMarket: _aave,
    CompoundV2Market: _compound,
    CometMarket: _comet,
    MorphoMarket: _morpho,
    EulerMarket: _euler,
    MakerMarket: _maker,
    LiquityMarket: _liquity,
    CrvUsdMarket: _crvusd,
}
