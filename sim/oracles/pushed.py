"""Pushed feeds: an update is a transaction, sent when the price has moved or time has passed.

Models Chainlink's feeds: a deviation threshold, a heartbeat, a latency between observation and the
transaction's arrival, and competition for block space. Each feed has one report in flight. If it
does not get in for `rebid_seconds`, a fresh observation replaces it at a higher bid (the old row
expires at that block, as a transaction with the same nonce would). Leaves out the median over
nodes. A heartbeat whose price has not moved at all costs no transaction.

Invariant: the observation behind a feed's price never gets older; reports with an earlier
observation are rejected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from sim.actions import Reject, Verb, new_rows
from sim.kernel import F64, I64, Rows, kernel
from sim.oracles.oracle import Oracle
from sim.terms import check_range, per_asset, require

if TYPE_CHECKING:
    from sim.world import World

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_ASSET = int(Reject.BAD_ASSET)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
NOT_OWNER = int(Reject.NOT_OWNER)
REPORT = int(Verb.REPORT)

NONE = -1.0  # no step


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedParams:
    """Terms of the feeds; the defaults are Chainlink's on Ethereum mainnet.

    Deviation and heartbeat are those of ETH/USD and BTC/USD (0.5%, 1 h), USDC/USD (0.25%, 24 h)
    and DAI/USD (0.25%, 1 h); mappings may name more assets than a world holds.
    """

    deviation_bps: float | Mapping[str, float] = field(
        default_factory=lambda: {"WETH": 50.0, "WBTC": 50.0, "USDC": 25.0, "DAI": 25.0}
    )  # basis points of the price in use
    heartbeat_seconds: float | Mapping[str, float] = field(
        default_factory=lambda: {"WETH": 3_600.0, "WBTC": 3_600.0, "USDC": 86_400.0, "DAI": 3_600.0}
    )  # seconds; inf: none
    latency_seconds: float = 12.0  # seconds from observation to the transaction's arrival
    tip_gwei: float = 2.0  # gwei per gas above the base fee, least first bid
    overbid: float = 1.1  # first bid over what the last block cleared at; 0: tip_gwei alone
    fee_cap_gwei: float = 300.0  # gwei per gas in all, first bid
    rebid_seconds: float = 180.0  # seconds without inclusion until a fresh report replaces it
    rebid_factor: float = 1.25  # multiplies tip and cap at each replacement
    max_fee_cap_gwei: float = 1_500.0  # gwei per gas; the bids stop here
    gas: float = 200_000.0  # units of gas per update
    gas_budget: float = 1_000.0  # whole units of the gas asset that the operator starts with
    max_lag_seconds: float = 7_200.0  # seconds; longest lag that a scenario may impose

    def __post_init__(self) -> None:
        check_range("deviation_bps", self.deviation_bps, 0.0, open_low=True)
        check_range("heartbeat_seconds", self.heartbeat_seconds, 0.0, open_low=True)
        check_range("latency_seconds", self.latency_seconds, 0.0, 1e7)
        check_range("tip_gwei", self.tip_gwei, 0.0)
        check_range("overbid", self.overbid, 0.0, 100.0)
        check_range("fee_cap_gwei", self.fee_cap_gwei, 0.0, open_low=True)
        check_range("rebid_seconds", self.rebid_seconds, 0.0, open_low=True)
        check_range("rebid_factor", self.rebid_factor, 1.0)
        check_range("gas", self.gas, 0.0)
        check_range("gas_budget", self.gas_budget, 0.0, 1e12)
        require(
            self.max_fee_cap_gwei >= self.fee_cap_gwei,
            f"max_fee_cap_gwei must be at least fee_cap_gwei, got {self.max_fee_cap_gwei:g} and "
            f"{self.fee_cap_gwei:g}; raise the one or lower the other",
        )


# State


class PushedState(NamedTuple):
    """Arrays of all feeds; steps are float64, NONE where there is none."""

    answer_step: F64  # (world, asset) step of the observation behind the price in use
    updated_step: F64  # (world, asset) step of the last update, or of an unmoved heartbeat
    flight_step: F64  # (world, asset) step of the observation in flight
    flight_price: F64  # (world, asset) USD price in flight
    ready_step: F64  # (world, asset) step at which the report in flight may be sent
    sent_step: F64  # (world, asset) step at which the report in flight was sent
    bid: F64  # (world, asset) factor of the bid of the report in flight


class PushedTerms(NamedTuple):
    """Terms as the kernel needs them."""

    deviation: F64  # (asset,) fraction
    heartbeat: F64  # (asset,) blocks
    latency: int  # whole blocks of latency
    arrival: float  # seconds of latency beyond the whole blocks
    rebid: float  # blocks
    rebid_factor: float
    tip: float  # gwei
    overbid: float
    fee_cap: float  # gwei
    max_fee_cap: float  # gwei
    last_step: int  # horizon


# Kernels


@kernel
def write_report(
    state: PushedState, terms: PushedTerms, going: float, w: int, k: int, step: int, row: np.void
) -> None:
    """Fill in the transaction of the observation in flight; `going` is the tip that gets in."""
    bid = state.bid[w, k]
    row["world"] = w
    row["asset"] = k
    row["amount"] = state.flight_price[w, k]
    row["limit"] = state.flight_step[w, k]
    row["arrival"] = terms.arrival if bid == 1.0 else 0.0
    row["fee_cap"] = min(terms.fee_cap * bid, terms.max_fee_cap)
    row["tip"] = min(max(terms.tip, going) * bid, terms.max_fee_cap)
    row["expires"] = int(min(float(terms.last_step), step + terms.rebid - 1.0))
    row["step"] = step


@kernel
def report(
    state: PushedState,
    terms: PushedTerms,
    observed: F64,
    halted: F64,
    prices: F64,
    base_fee: F64,
    clearing: F64,
    step: int,
    rows: Rows,
) -> int:
    """Write the rows that are to be sent now; return their number.

    `base_fee` and `clearing` (world,) are gwei: what this block burns, and what the last one
    cleared at. A feed that is due puts an observation in flight; one that waits too long is
    replaced.
    """
    n = 0
    for w in range(prices.shape[0]):
        for k in range(prices.shape[1]):
            if halted[w, k] != 0.0:
                continue
            seen, price = observed[w, k], prices[w, k]
            sent = state.sent_step[w, k]
            if state.flight_step[w, k] == NONE:
                moved = abs(seen - price) >= terms.deviation[k] * price
                if not (moved or step - state.updated_step[w, k] >= terms.heartbeat[k]):
                    continue
                if seen == price:
                    state.updated_step[w, k] = step
                    continue
                state.flight_step[w, k] = step
                state.flight_price[w, k] = seen
                state.ready_step[w, k] = step + terms.latency
                state.bid[w, k] = 1.0
            elif sent != NONE:
                if step - sent < terms.rebid:
                    continue
                state.flight_step[w, k] = step
                state.flight_price[w, k] = seen
                state.ready_step[w, k] = step
                state.bid[w, k] *= terms.rebid_factor
            if step < state.ready_step[w, k]:
                continue
            state.sent_step[w, k] = step
            going = max(terms.overbid * clearing[w] - base_fee[w], 0.0)
            write_report(state, terms, going, w, k, step, rows[n])
            n += 1
    return n


@kernel
def apply_report(
    state: PushedState, prices: F64, account: int, w: int, row: np.void, step: int
) -> int:
    """Take a report into use; limit holds the step of its observation; result: the old price."""
    if row["verb"] != REPORT:
        return UNKNOWN_VERB
    if row["account"] != account:
        return NOT_OWNER
    k = row["asset"]
    if not 0 <= k < prices.shape[1]:
        return BAD_ASSET
    if not 0.0 < row["amount"] < np.inf:
        return BAD_AMOUNT
    if state.flight_step[w, k] == row["limit"]:
        state.flight_step[w, k] = NONE
        state.sent_step[w, k] = NONE
    if not row["limit"] > state.answer_step[w, k]:
        return LIMIT_NOT_MET
    row["r0"] = prices[w, k]
    row["r1"] = step - row["limit"]
    prices[w, k] = row["amount"]
    state.answer_step[w, k] = row["limit"]
    state.updated_step[w, k] = step
    return OK


@kernel
def execute(
    state: PushedState,
    prices: F64,
    account: int,
    step: int,
    rows: Rows,
    order: I64,
    starts: I64,
    ends: I64,
) -> None:
    """Execute each world's reports in order."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            row = rows[order[j]]
            row["code"] = apply_report(state, prices, account, w, row, step)


# Facade


class PushedOracle(Oracle):
    """Feeds whose updates compete for block space.

    Verb: REPORT (asset = feed, amount = USD price, limit = step of the observation), from the
    oracle's own account, which pays the gas.

    Parameters
    ----------
    **terms
        Fields of `PushedParams`.
    """

    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {REPORT: ("previous_price", "age_blocks")}
    FIELDS: ClassVar[tuple[str, ...]] = PushedState._fields

    def __init__(self, **terms: Any) -> None:
        self.params = PushedParams(**terms)
        super().__init__(self.params.max_lag_seconds)

    def begin(self, world: "World") -> None:
        """Start with fresh feeds and an endowed operator."""
        params, block = self.params, float(world.block_seconds)
        self.state = PushedState(*(self.arena[name] for name in PushedState._fields))
        self.state.flight_step[:] = NONE
        self.state.sent_step[:] = NONE
        self.state.answer_step[:] = NONE
        deviation = per_asset(f"{self.name}.deviation_bps", world.assets, params.deviation_bps)
        heartbeat = per_asset(
            f"{self.name}.heartbeat_seconds", world.assets, params.heartbeat_seconds
        )
        latency = int(params.latency_seconds // block)
        self.terms = PushedTerms(
            deviation=deviation / 1e4,
            heartbeat=heartbeat / block,
            latency=latency,
            arrival=float(params.latency_seconds - latency * block),
            rebid=float(max(1.0, np.ceil(params.rebid_seconds / block))),
            rebid_factor=float(params.rebid_factor),
            tip=float(params.tip_gwei),
            overbid=float(params.overbid),
            fee_cap=float(params.fee_cap_gwei),
            max_fee_cap=float(params.max_fee_cap_gwei),
            last_step=int(world.n_steps),
        )
        world.ledger.endow(self.account, world.gas_asset, params.gas_budget)
        self.outbox = new_rows(world.n_worlds * len(world.assets))
        self.outbox["venue"] = self.index
        self.outbox["account"] = self.account
        self.outbox["verb"] = REPORT
        self.outbox["gas"] = params.gas

    def update(self) -> None:
        """Look at the market; the price in use changes by transactions only."""
        self.observe()

    def reports(self) -> Rows:
        """Transactions to send in this block; a copy that the caller may keep."""
        chain = self.world.blockspace.state
        halted = self.world.inputs["oracle_halted"]
        n = report(
            self.state,
            self.terms,
            self.observed,
            halted if self.served.all() else np.where(self.served, halted, 1.0),
            self.price,
            chain.base_fee,
            chain.clearing,
            int(self.world.step),
            self.outbox,
        )
        rows = self.outbox[:n].copy()
        rows["target"] = self.seat
        return rows

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Take included reports into use."""
        execute(
            self.state,
            self.price,
            int(self.account),
            int(self.world.step),
            rows,
            order,
            starts,
            ends,
        )
