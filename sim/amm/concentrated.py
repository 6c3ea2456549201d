"""Pool of concentrated liquidity: the venue around `sim.amm.ranges`, after Uniswap v3.

Any account may hold a position in any range of ticks; the pool starts with the positions that its
terms name, which belong to its own account. Swaps are for an exact amount in, and all of it or
nothing. Leaves out what `sim.amm.ranges` leaves out.

Invariants: custody equals what all positions could take out; a rejected row changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.actions import Reject, Verb
from sim.amm.ranges import (
    ConcentratedState,
    change_position,
    fees_due,
    find_position,
    find_tick,
    is_tick,
    new_arrays,
    new_state,
    open_position,
    owed,
    range_amounts,
    settle,
    trade,
)
from sim.amm.ticks import MAX_ROOT, MAX_TICK, MIN_ROOT, tick_at_root
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, kernel
from sim.state import Arena
from sim.terms import check_range, require
from sim.venue import Venue

if TYPE_CHECKING:
    from sim.world import World

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_ASSET = int(Reject.BAD_ASSET)
BAD_TARGET = int(Reject.BAD_TARGET)
CAP_EXCEEDED = int(Reject.CAP_EXCEEDED)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
SWAP = int(Verb.SWAP)
ADD_LIQUIDITY = int(Verb.ADD_LIQUIDITY)
REMOVE_LIQUIDITY = int(Verb.REMOVE_LIQUIDITY)

OFFSET_BITS = 15  # of each end of a range in a target
MIDDLE, LAST = 1 << (OFFSET_BITS - 1), (1 << OFFSET_BITS) - 1


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcentratedParams:
    """Terms of a pool; the defaults are those of Uniswap v3's 0.3% tier."""

    asset_0: str
    asset_1: str
    decimals_0: int = 18  # of the chain's integers, to which ticks refer
    decimals_1: int = 18
    fee_bps: float = 30.0  # basis points of the amount in
    tick_spacing: int = 60  # ticks
    ranges: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {"full": {"depth_usd": 2e7}}
    )  # positions at the start: `lower`, `upper` as factors of the price and `depth_usd`, USD in
    # all; or `lower_tick`, `upper_tick` and `liquidity`, in units of the chain, as a contract says
    max_ticks: int = 128  # initialised ticks per world
    max_positions: int = 64  # per world

    def __post_init__(self) -> None:
        require(
            self.asset_0 != self.asset_1,
            f"asset_0 and asset_1 must differ, got {self.asset_0} twice; name two assets",
        )
        check_range("fee_bps", self.fee_bps, 0.0, 1_000.0)
        check_range("tick_spacing", self.tick_spacing, 1, 16_384)
        check_range("decimals_0", self.decimals_0, 0, 36)
        check_range("decimals_1", self.decimals_1, 0, 36)
        require(bool(self.ranges), "ranges must name at least one range with its depth_usd")
        for name, terms in self.ranges.items():
            _check_range(f"ranges.{name}", terms, self.tick_spacing)
        check_range("max_ticks", self.max_ticks, 2 * len(self.ranges))
        check_range("max_positions", self.max_positions, len(self.ranges))


def _check_range(place: str, terms: Mapping[str, float], spacing: int) -> None:
    """Raise ConfigError for a position that cannot be opened."""
    if "liquidity" in terms:
        require(
            set(terms) == {"lower_tick", "upper_tick", "liquidity"},
            f"{place} must have lower_tick, upper_tick and liquidity, got "
            f"{', '.join(sorted(terms))}",
        )
        check_range(f"{place}.liquidity", terms["liquidity"], 0.0, open_low=True)
        low, high = terms["lower_tick"], terms["upper_tick"]
        require(
            -MAX_TICK <= low < high <= MAX_TICK and low % spacing == high % spacing == 0,
            f"{place}: lower_tick must be under upper_tick, both multiples of tick_spacing "
            f"{spacing} within {MAX_TICK}, got {low:g}, {high:g}",
        )
        return
    unknown = set(terms) - {"lower", "upper", "depth_usd"}
    require(
        not unknown and "depth_usd" in terms,
        f"{place} must have depth_usd and may have lower and upper, got {', '.join(sorted(terms))}",
    )
    check_range(f"{place}.depth_usd", terms["depth_usd"], 0.0, open_low=True)
    low, high = terms.get("lower", 0.0), terms.get("upper", np.inf)
    require(
        0.0 <= low < high,
        f"{place}: lower must be under upper and not negative, got {low:g}, {high:g}",
    )


def range_target(lower: int, upper: int) -> int:
    """Target of a row for the range of two offsets, counted in tick spacings from the anchor.

    The anchor is the tick of the initial price, rounded down to the spacing. An offset of -16384
    or less means the lowest usable tick, one of 16383 or more the highest.
    """
    low, high = (min(max(offset + MIDDLE, 0), LAST) for offset in (lower, upper))
    return low << OFFSET_BITS | high


# Kernels


@kernel
def range_end(state: ConcentratedState, w: int, code: int) -> int:
    """Tick that one half of a target names, within the usable ones."""
    last = MAX_TICK // state.spacing * state.spacing
    if code == 0:
        return -last
    if code == LAST:
        return last
    tick = int(state.anchor[w]) + (code - MIDDLE) * state.spacing
    return min(max(tick, -last), last)


@kernel
def target_range(state: ConcentratedState, w: int, target: int) -> tuple[int, int]:
    """Ticks of a row's range; -1 is the full range, other negative targets are none (0, 0)."""
    if target < -1 or target >> OFFSET_BITS > LAST:
        return 0, 0
    if target == -1:
        return range_end(state, w, 0), range_end(state, w, LAST)
    lower, upper = range_end(state, w, target >> OFFSET_BITS), range_end(state, w, target & LAST)
    return (lower, upper) if lower < upper else (0, 0)


@kernel
def pool_quote(
    state: ConcentratedState, w: int, asset_in: int, asset_out: int, amount: float
) -> float:
    """Whole tokens that the pool would pay out; 0 where it cannot take the whole amount."""
    falls = asset_in == state.assets[0]
    side = 0 if falls else 1
    if asset_in != state.assets[side] or asset_out != state.assets[1 - side]:
        return 0.0
    limit = (MIN_ROOT if falls else MAX_ROOT) * state.scale
    return float(state.found[1]) if trade(state, w, falls, amount, False, limit) else 0.0


@kernel
def swap(state: ConcentratedState, balances: F64, w: int, row: np.void) -> int:
    """Swap the row's asset for its asset_2; results: amount in, amount out."""
    asset_in, asset_out = row["asset"], row["asset_2"]
    falls = asset_in == state.assets[0]
    side = 0 if falls else 1
    if asset_in != state.assets[side] or asset_out != state.assets[1 - side]:
        return BAD_ASSET
    amount = row["amount"]
    if not amount > 0.0:
        return BAD_AMOUNT
    held = balances[w, row["account"], asset_in]
    if amount == np.inf:
        amount = held
    if not 0.0 < amount <= held * (1.0 + 1e-12):
        return INSUFFICIENT_BALANCE
    amount = min(amount, held)
    limit = (MIN_ROOT if falls else MAX_ROOT) * state.scale
    whole = trade(state, w, falls, amount, False, limit)
    out = state.found[1]
    if not (whole and 0.0 < out <= balances[w, state.account, asset_out]):
        return INSUFFICIENT_LIQUIDITY
    if not out >= row["limit"]:
        return LIMIT_NOT_MET
    settle(state, w, falls)
    balances[w, row["account"], asset_in] = held - amount
    balances[w, state.account, asset_in] += amount
    balances[w, state.account, asset_out] -= out
    balances[w, row["account"], asset_out] += out
    row["r0"], row["r1"] = amount, out
    return OK


@kernel
def pay(
    state: ConcentratedState, balances: F64, w: int, account: int, side: int, amount: float
) -> float:
    """Move whole tokens out of custody, at most what it holds; return them."""
    asset = state.assets[side]
    paid: float = min(amount, balances[w, state.account, asset])
    balances[w, state.account, asset] -= paid
    balances[w, account, asset] += paid
    return paid


@kernel
def place_for(state: ConcentratedState, w: int, account: int, lower: int, upper: int) -> int:
    """Slot of the account's position, or -1 - slot of a new one; -2^31 where there is no room."""
    slot = find_position(state, w, account, lower, upper)
    missing = 0
    for tick in (lower, upper):
        if not is_tick(state, w, find_tick(state, w, tick), tick):
            missing += 1
    return slot if state.n_ticks[w] + missing <= state.ticks.shape[1] else -(2**31)


@kernel
def add_liquidity(state: ConcentratedState, balances: F64, w: int, row: np.void) -> int:
    """Hand in `amount` of the row's asset and its match; results: amount_0, amount_1, liquidity."""
    side = 0 if row["asset"] == state.assets[0] else 1
    if row["asset"] != state.assets[side]:
        return BAD_ASSET
    amount, account = row["amount"], row["account"]
    if not amount > 0.0:
        return BAD_AMOUNT
    lower, upper = target_range(state, w, row["target"])
    if lower == upper:
        return BAD_TARGET
    zero, one = range_amounts(state, w, lower, upper, 1.0)
    each, match = (zero, one) if side == 0 else (one, zero)
    if not each > 0.0:
        return BAD_ASSET
    held = balances[w, account, state.assets[side]]
    held_match = balances[w, account, state.assets[1 - side]]
    liquidity = amount / each
    if amount == np.inf:
        liquidity = held / each if match == 0.0 else min(held / each, held_match / match)
    paid, paid_match = liquidity * each, liquidity * match
    if not (0.0 < liquidity < np.inf and paid <= held * (1.0 + 1e-12)):
        return INSUFFICIENT_BALANCE
    if not paid_match <= held_match * (1.0 + 1e-12):
        return INSUFFICIENT_BALANCE
    if not liquidity >= row["limit"]:
        return LIMIT_NOT_MET
    slot = place_for(state, w, account, lower, upper)
    if slot == -(2**31):
        return CAP_EXCEEDED
    for k in range(2):
        share = min(paid, held) if k == side else min(paid_match, held_match)
        fees = fees_due(state, w, slot, k) if slot >= 0 else 0.0
        balances[w, account, state.assets[k]] -= share
        balances[w, state.account, state.assets[k]] += share
        pay(state, balances, w, account, k, fees)
        if k == 0:
            row["r0"] = share
        else:
            row["r1"] = share
    if slot < 0:
        slot = -1 - slot
        open_position(state, w, slot, account, lower, upper)
    change_position(state, w, slot, liquidity)
    row["r2"] = liquidity
    return OK


@kernel
def remove_liquidity(state: ConcentratedState, balances: F64, w: int, row: np.void) -> int:
    """Take `amount` of liquidity out of a range, with all fees; amount_0, amount_1, liquidity."""
    liquidity, account = row["amount"], row["account"]
    if not liquidity > 0.0:
        return BAD_AMOUNT
    lower, upper = target_range(state, w, row["target"])
    if lower == upper:
        return BAD_TARGET
    slot = find_position(state, w, account, lower, upper)
    if slot < 0:
        return INSUFFICIENT_BALANCE
    held = state.held[w, slot]
    if liquidity == np.inf:
        liquidity = held
    if not liquidity <= held:
        return INSUFFICIENT_BALANCE
    zero, one = range_amounts(state, w, lower, upper, liquidity)
    zero += fees_due(state, w, slot, 0)
    one += fees_due(state, w, slot, 1)
    if not zero >= row["limit"]:
        return LIMIT_NOT_MET
    change_position(state, w, slot, -liquidity)
    row["r0"] = pay(state, balances, w, account, 0, zero)
    row["r1"] = pay(state, balances, w, account, 1, one)
    row["r2"] = liquidity
    return OK


@kernel
def execute(
    state: ConcentratedState, balances: F64, rows: Rows, order: I64, starts: I64, ends: I64
) -> None:
    """Execute each world's rows in order."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            row = rows[order[j]]
            verb = row["verb"]
            if verb == SWAP:
                code = swap(state, balances, w, row)
            elif verb == ADD_LIQUIDITY:
                code = add_liquidity(state, balances, w, row)
            elif verb == REMOVE_LIQUIDITY:
                code = remove_liquidity(state, balances, w, row)
            else:
                code = UNKNOWN_VERB
            row["code"] = code


@kernel
def all_owed(state: ConcentratedState, held: F64) -> None:
    """Fill `held` (world, 2) with what all positions of each world could take out."""
    for w in range(held.shape[0]):
        owed(state, w, held)


# Facade


class ConcentratedPool(Venue):
    """A Uniswap v3 pool of two assets.

    Verbs: SWAP (asset in, asset_2 out, amount in, limit = least amount out); ADD_LIQUIDITY (asset
    and amount of one side, the other as the price asks; target = `range_target`, -1 for the full
    range; limit = least liquidity); REMOVE_LIQUIDITY (amount = liquidity, target = its range,
    limit = least amount of asset_0). Fees are paid out whenever a position changes.

    Parameters
    ----------
    **terms
        Fields of `ConcentratedParams`.
    """

    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        SWAP: ("amount_in", "amount_out"),
        ADD_LIQUIDITY: ("amount_0", "amount_1", "liquidity"),
        REMOVE_LIQUIDITY: ("amount_0", "amount_1", "liquidity"),
    }

    def __init__(self, **terms: Any) -> None:
        self.params = ConcentratedParams(**terms)

    def bind(self, world: "World") -> None:
        """Resolve the assets, open the initial positions at the initial price, endow custody."""
        params = self.params
        names = (params.asset_0, params.asset_1)
        indices = np.array([world.asset_index(name) for name in names], np.int64)
        self.arena = Arena(world.n_worlds, new_arrays(params.max_ticks, params.max_positions))
        self.state = new_state(
            self.arena.views,
            indices,
            fee=params.fee_bps / 1e4,
            scale=10.0 ** ((params.decimals_0 - params.decimals_1) / 2.0),
            spacing=params.tick_spacing,
            account=self.account,
        )
        prices = world.fundamental[:, indices]
        if not np.all(prices > 0.0):
            raise ConfigError(
                f"{self.name}: the prices of {' and '.join(names)} must be positive when the pool "
                "is filled; bind the prices first"
            )
        state, spacing = self.state, params.tick_spacing
        state.root[:] = np.sqrt(prices[:, 0] / prices[:, 1])
        state.holder[:] = -1.0
        for w in range(world.n_worlds):
            tick = tick_at_root(state.root[w] / state.scale)
            state.anchor[w] = tick // spacing * spacing
            for slot, terms in enumerate(params.ranges.values()):
                lower, upper = self._ticks(w, terms)
                open_position(state, w, slot, self.account, lower, upper)
                change_position(state, w, slot, self._liquidity(w, terms, prices))
        held = self._owed()
        for side in range(2):
            world.ledger.endow(self.account, int(indices[side]), held[:, side])
        self.arena.keep_as_initial()

    def _liquidity(self, w: int, terms: Mapping[str, float], prices: F64) -> float:
        """Liquidity of an initial position, for amounts in whole tokens."""
        params = self.params
        if "liquidity" in terms:
            return float(
                terms["liquidity"] / 10.0 ** ((params.decimals_0 + params.decimals_1) / 2.0)
            )
        zero, one = range_amounts(self.state, w, *self._ticks(w, terms), 1.0)
        return float(terms["depth_usd"] / (zero * prices[w, 0] + one * prices[w, 1]))

    def _ticks(self, w: int, terms: Mapping[str, float]) -> tuple[int, int]:
        """Ticks of a range; those nearest to factors of the price, at least one spacing apart."""
        if "liquidity" in terms:
            return int(terms["lower_tick"]), int(terms["upper_tick"])
        spacing, root = self.params.tick_spacing, self.state.root[w] / self.state.scale
        last = MAX_TICK // spacing
        ends = []
        for factor in (terms.get("lower", 0.0), terms.get("upper", np.inf)):
            edge = min(max(root * np.sqrt(factor), MIN_ROOT), MAX_ROOT)
            ends.append(min(max(round(tick_at_root(edge) / spacing), -last), last))
        if ends[0] >= ends[1]:
            ends[1] = ends[0] + 1
        return ends[0] * spacing, ends[1] * spacing

    def _owed(self) -> F64:
        """Whole tokens of asset_0 and asset_1 that all positions could take out (world, 2)."""
        held = np.zeros((self.world.n_worlds, 2))
        all_owed(self.state, held)
        return held

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows; see the class for the verbs."""
        execute(self.state, self.world.ledger.balances, rows, order, starts, ends)

    def mid_price(self, asset: int, quote: int) -> F64:
        """Price of an asset in the other one, before fees, shape (world,)."""
        falls = self.state.assets[0] == asset
        assert self.state.assets[1 if falls else 0] == quote
        mid: F64 = np.power(self.state.root, 2.0 if falls else -2.0)
        return mid

    def claims(self) -> F64:
        """Whole tokens owed to positions, fees included."""
        owed_here = np.zeros((self.world.n_worlds, len(self.world.assets)))
        owed_here[:, self.state.assets] = self._owed()
        return owed_here
