"""Constant-product pool with the arithmetic of Uniswap v2.

Models swaps with a fee that stays in the reserves, flash swaps, liquidity shares, and the optional
protocol fee of a sixth of the growth of sqrt(k). A flash swap hands tokens out first and is paid
for by a later row of the same bundle, in either asset; until then the pool is locked. Leaves out
the locked minimum of 1,000 share units and integer rounding: amounts are float64 whole tokens, and
agree with the contract's integers to one unit of rounding (Uniswap/v2-core, v2-periphery
`UniswapV2Library`).

Invariants: the reserves equal the custody account's balances and what a flash swap has out, which
is nothing at the end of a bundle; reserve_0 * reserve_1 never falls in a swap; shares of all
accounts, with the protocol's, sum to the supply.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool, Rows, i64, kernel
from sim.state import Arena
from sim.terms import check_range, require
from sim.venue import Venue

if TYPE_CHECKING:
    from sim.world import World

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_ASSET = int(Reject.BAD_ASSET)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
FLASH_NOT_REPAID = int(Reject.FLASH_NOT_REPAID)
PAUSED = int(Reject.PAUSED)
NO_DEBT = int(Reject.NO_DEBT)
FLASH_BORROW, FLASH_REPAY = int(Verb.FLASH_BORROW), int(Verb.FLASH_REPAY)
SWAP = int(Verb.SWAP)
ADD_LIQUIDITY = int(Verb.ADD_LIQUIDITY)
REMOVE_LIQUIDITY = int(Verb.REMOVE_LIQUIDITY)


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantProductParams:
    """Terms of a pool; the defaults are Uniswap v2's.

    Depth is given in USD per side at the initial prices, or as reserves in whole tokens.
    """

    asset_0: str
    asset_1: str
    depth_usd: float = 10_000_000.0  # USD per side; ignored where reserves are given
    reserve_0: float | None = None  # whole tokens of asset_0
    reserve_1: float | None = None  # whole tokens of asset_1
    fee_bps: float = 30.0  # basis points of the amount in
    protocol_fee: bool = False  # mint a sixth of the fee growth to the protocol on add and remove

    def __post_init__(self) -> None:
        require(
            self.asset_0 != self.asset_1,
            f"asset_0 and asset_1 must differ, got {self.asset_0} twice; name two assets",
        )
        check_range("depth_usd", self.depth_usd, 0.0, open_low=True)
        require(
            (self.reserve_0 is None) == (self.reserve_1 is None),
            "reserve_0 and reserve_1 must be given together; give both, or depth_usd alone",
        )
        for field, value in (("reserve_0", self.reserve_0), ("reserve_1", self.reserve_1)):
            if value is not None:
                check_range(field, value, 0.0, open_low=True)
        check_range("fee_bps", self.fee_bps, 0.0, 9_999.0)


# State


class ConstantProductState(NamedTuple):
    """Arrays of one pool in all worlds; agents hand it to the quoting kernels."""

    reserves: F64  # (world, 2) whole tokens of asset_0 and asset_1
    fee: F64  # (world,) fraction of the amount in
    supply: F64  # (world,) liquidity shares in all
    shares: F64  # (world, account) liquidity shares of each ledger account
    protocol_shares: F64  # (world,) liquidity shares minted to the protocol
    k_last: F64  # (world,) reserve_0 * reserve_1 after the last change of liquidity
    flash: F64  # (world, 2) whole tokens that a flash swap has out
    assets: I64  # (2,) indices of asset_0 and asset_1
    account: int  # custody account
    protocol_fee: bool


# Kernels


@kernel
def amount_out(amount: float, reserve_in: float, reserve_out: float, fee: float) -> float:
    """Whole tokens paid out for `amount` handed in (`getAmountOut`)."""
    paid = amount * (1.0 - fee)
    return paid * reserve_out / (reserve_in + paid)


@kernel
def amount_in(amount: float, reserve_in: float, reserve_out: float, fee: float) -> float:
    """Whole tokens to hand in for `amount` paid out (`getAmountIn`); inf beyond the reserve."""
    if amount >= reserve_out:
        return np.inf
    return reserve_in * amount / ((reserve_out - amount) * (1.0 - fee))


@kernel
def marginal_price(reserve_in: float, reserve_out: float, fee: float) -> float:
    """Whole tokens paid out per token handed in, for a vanishing amount, after the fee."""
    return (1.0 - fee) * reserve_out / reserve_in


@kernel
def input_to_price(reserve_in: float, reserve_out: float, fee: float, target: float) -> float:
    """Amount in after which the marginal price, after the fee, is `target`; 0 where it is below.

    The fee stays in the reserves, so with g = 1 - fee the root of
    (R_in + x) (R_in + g x) = g R_in R_out / target.
    """
    keep = 1.0 - fee
    rest = keep * reserve_in * reserve_out / target - reserve_in * reserve_in
    if not rest > 0.0:
        return 0.0
    half = (1.0 + keep) * reserve_in
    return 2.0 * rest / (half + math.sqrt(half * half + 4.0 * keep * rest))


@kernel
def profit_maximising_input(
    reserve_in: float, reserve_out: float, fee: float, cost: float
) -> float:
    """Amount in that maximises `amount_out(x) - cost * x`; 0 where no amount pays.

    `cost` is in tokens out per token in. The first-order condition is
    g R_in R_out / (R_in + g x)^2 = cost, with g = 1 - fee.
    """
    keep = 1.0 - fee
    best = (math.sqrt(keep * reserve_in * reserve_out / cost) - reserve_in) / keep
    return max(best, 0.0)


@kernel
def pool_quote(
    state: ConstantProductState, w: int, asset_in: int, asset_out: int, amount: float
) -> float:
    """Whole tokens that the pool would pay out; 0 where it does not hold the pair."""
    if asset_in == state.assets[0] and asset_out == state.assets[1]:
        return amount_out(amount, state.reserves[w, 0], state.reserves[w, 1], state.fee[w])
    if asset_in == state.assets[1] and asset_out == state.assets[0]:
        return amount_out(amount, state.reserves[w, 1], state.reserves[w, 0], state.fee[w])
    return 0.0


@kernel
def swap(state: ConstantProductState, balances: F64, w: int, row: np.void) -> int:
    """Swap the row's asset for its asset_2; results: amount in, amount out."""
    side = -1
    for k in range(2):
        if row["asset"] == state.assets[k] and row["asset_2"] == state.assets[1 - k]:
            side = k
    if side < 0:
        return BAD_ASSET
    amount = row["amount"]
    if not amount > 0.0:
        return BAD_AMOUNT
    asset_in, asset_out = state.assets[side], state.assets[1 - side]
    held = balances[w, row["account"], asset_in]
    if amount == np.inf:
        amount = held
    if not (0.0 < amount <= held * (1.0 + 1e-12)):
        return INSUFFICIENT_BALANCE
    amount = min(amount, held)
    reserves = state.reserves
    out = amount_out(amount, reserves[w, side], reserves[w, 1 - side], state.fee[w])
    if not out > 0.0:
        return INSUFFICIENT_LIQUIDITY
    if not out >= row["limit"]:
        return LIMIT_NOT_MET
    balances[w, row["account"], asset_in] = held - amount
    balances[w, state.account, asset_in] += amount
    balances[w, state.account, asset_out] -= out
    balances[w, row["account"], asset_out] += out
    reserves[w, side] += amount
    reserves[w, 1 - side] -= out
    row["r0"] = amount
    row["r1"] = out
    return OK


@kernel
def side_of(state: ConstantProductState, asset: int) -> int:
    """Side of an asset; -1 if the pool does not hold it."""
    if asset == state.assets[0]:
        return 0
    return 1 if asset == state.assets[1] else -1


@kernel
def flash_borrow(state: ConstantProductState, balances: F64, w: int, row: np.void) -> int:
    """Hand out `amount` of the row's asset, to be paid for in its bundle; result: borrowed."""
    side, amount = side_of(state, i64(row["asset"])), row["amount"]
    if side < 0:
        return BAD_ASSET
    if row["bundle"] == 0:
        return FLASH_NOT_REPAID
    if not amount > 0.0:
        return BAD_AMOUNT
    if not amount < state.reserves[w, side]:
        return INSUFFICIENT_LIQUIDITY
    balances[w, state.account, state.assets[side]] -= amount
    balances[w, row["account"], state.assets[side]] += amount
    state.flash[w, side] = amount
    row["r0"] = amount
    return OK


@kernel
def flash_repay(state: ConstantProductState, balances: F64, w: int, row: np.void) -> int:
    """Pay for a flash swap in the row's asset, at most `amount`; results: amount in, amount out."""
    side, amount = side_of(state, i64(row["asset"])), row["amount"]
    if side < 0:
        return BAD_ASSET
    lent = 0 if state.flash[w, 0] > 0.0 else 1
    out = state.flash[w, lent]
    if not out > 0.0:
        return NO_DEBT
    paid = out / (1.0 - state.fee[w])  # back in kind: the fee stays, the price does not move
    if side != lent:
        paid = amount_in(out, state.reserves[w, side], state.reserves[w, lent], state.fee[w])
    if not paid <= amount:
        return FLASH_NOT_REPAID
    account, asset = row["account"], state.assets[side]
    if not paid <= balances[w, account, asset]:
        return INSUFFICIENT_BALANCE
    balances[w, account, asset] -= paid
    balances[w, state.account, asset] += paid
    state.flash[w, lent] = 0.0
    state.reserves[w, lent] -= out
    state.reserves[w, side] += paid
    row["r0"] = paid
    row["r1"] = out
    return OK


@kernel
def protocol_shares_due(state: ConstantProductState, w: int) -> float:
    """Shares worth a sixth of the growth of sqrt(k) since liquidity last changed (`_mintFee`)."""
    if not state.protocol_fee:
        return 0.0
    root = math.sqrt(state.reserves[w, 0] * state.reserves[w, 1])
    last = math.sqrt(state.k_last[w])
    if not root > last:
        return 0.0
    due: float = state.supply[w] * (root - last) / (5.0 * root + last)
    return due


@kernel
def add_liquidity(state: ConstantProductState, balances: F64, w: int, row: np.void) -> int:
    """Hand in `amount` of the row's asset and its match; results: amount_0, amount_1, shares."""
    side = -1
    for k in range(2):
        if row["asset"] == state.assets[k]:
            side = k
    if side < 0:
        return BAD_ASSET
    amount = row["amount"]
    if not amount > 0.0:
        return BAD_AMOUNT
    account = row["account"]
    ratio = state.reserves[w, 1 - side] / state.reserves[w, side]
    held = balances[w, account, state.assets[side]]
    held_match = balances[w, account, state.assets[1 - side]]
    if amount == np.inf:
        amount = min(held, held_match / ratio)
    match = amount * ratio
    if not (0.0 < amount <= held and match <= held_match * (1.0 + 1e-12)):
        return INSUFFICIENT_BALANCE
    match = min(match, held_match)
    due = protocol_shares_due(state, w)
    shares = (state.supply[w] + due) * amount / state.reserves[w, side]
    if not shares >= row["limit"]:
        return LIMIT_NOT_MET
    for k in range(2):
        paid = amount if k == side else match
        balances[w, account, state.assets[k]] -= paid
        balances[w, state.account, state.assets[k]] += paid
        state.reserves[w, k] += paid
    state.protocol_shares[w] += due
    state.supply[w] += due + shares
    state.shares[w, account] += shares
    state.k_last[w] = state.reserves[w, 0] * state.reserves[w, 1]
    row["r0"] = amount if side == 0 else match
    row["r1"] = match if side == 0 else amount
    row["r2"] = shares
    return OK


@kernel
def remove_liquidity(state: ConstantProductState, balances: F64, w: int, row: np.void) -> int:
    """Redeem `amount` shares for both assets; results: amount_0, amount_1, shares."""
    shares = row["amount"]
    if not shares > 0.0:
        return BAD_AMOUNT
    account = row["account"]
    held = state.shares[w, account]
    if shares == np.inf:
        shares = held
    if not (0.0 < shares <= held):
        return INSUFFICIENT_BALANCE
    due = protocol_shares_due(state, w)
    part = shares / (state.supply[w] + due)
    if not part < 1.0:
        return INSUFFICIENT_LIQUIDITY
    if not part * state.reserves[w, 0] >= row["limit"]:
        return LIMIT_NOT_MET
    state.shares[w, account] = held - shares
    state.protocol_shares[w] += due
    state.supply[w] += due - shares
    for k in range(2):
        paid = part * state.reserves[w, k]
        balances[w, state.account, state.assets[k]] -= paid
        balances[w, account, state.assets[k]] += paid
        state.reserves[w, k] -= paid
        if k == 0:
            row["r0"] = paid
        else:
            row["r1"] = paid
    state.k_last[w] = state.reserves[w, 0] * state.reserves[w, 1]
    row["r2"] = shares
    return OK


@kernel
def execute(
    state: ConstantProductState,
    balances: F64,
    rows: Rows,
    order: I64,
    starts: I64,
    ends: I64,
) -> None:
    """Execute each world's rows in order."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            row = rows[order[j]]
            verb = row["verb"]
            locked = state.flash[w, 0] > 0.0 or state.flash[w, 1] > 0.0
            if verb == FLASH_REPAY:
                code = flash_repay(state, balances, w, row)
            elif locked:
                code = PAUSED
            elif verb == FLASH_BORROW:
                code = flash_borrow(state, balances, w, row)
            elif verb == SWAP:
                code = swap(state, balances, w, row)
            elif verb == ADD_LIQUIDITY:
                code = add_liquidity(state, balances, w, row)
            elif verb == REMOVE_LIQUIDITY:
                code = remove_liquidity(state, balances, w, row)
            else:
                code = UNKNOWN_VERB
            row["code"] = code


# Facade


class ConstantProductPool(Venue):
    """A Uniswap v2 pool of two assets.

    Verbs: SWAP (asset in, asset_2 out, amount in, limit = least amount out); ADD_LIQUIDITY (asset
    and amount of one side, the other side at the pool's ratio, limit = least shares);
    REMOVE_LIQUIDITY (amount = shares, limit = least amount of asset_0). The shares of the initial
    liquidity belong to the pool's own account and stay. FLASH_BORROW (asset, amount) and
    FLASH_REPAY (asset paid with, amount = the most that may be paid) are the ends of a flash swap
    and stand in one bundle.

    Parameters
    ----------
    **terms
        Fields of `ConstantProductParams`.
    """

    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        SWAP: ("amount_in", "amount_out"),
        FLASH_BORROW: ("borrowed",),
        FLASH_REPAY: ("amount_in", "amount_out"),
        ADD_LIQUIDITY: ("amount_0", "amount_1", "shares"),
        REMOVE_LIQUIDITY: ("amount_0", "amount_1", "shares"),
    }

    def __init__(self, **terms: Any) -> None:
        self.params = ConstantProductParams(**terms)

    def bind(self, world: "World") -> None:
        """Resolve the assets, fill the reserves at the initial prices and endow custody."""
        params = self.params
        indices = [world.asset_index(params.asset_0), world.asset_index(params.asset_1)]
        self.arena = Arena(
            world.n_worlds,
            {
                "reserves": (2,),
                "fee": (),
                "supply": (),
                "shares": (len(world.ledger.accounts),),
                "protocol_shares": (),
                "k_last": (),
                "flash": (2,),
            },
        )
        fields = self.arena.views
        self.state = ConstantProductState(
            **fields,
            assets=np.array(indices, np.int64),
            account=int(self.account),
            protocol_fee=bool(params.protocol_fee),
        )
        given = (params.reserve_0, params.reserve_1)
        for side, (index, reserve) in enumerate(zip(indices, given, strict=True)):
            price = world.fundamental[:, index]
            if not np.all(price > 0.0):
                raise ConfigError(
                    f"{self.name}: the price of {world.assets[index]} must be positive when the "
                    "pool is filled; bind the prices first"
                )
            amount = params.depth_usd / price if reserve is None else np.full_like(price, reserve)
            self.state.reserves[:, side] = amount
            world.ledger.endow(self.account, index, self.state.reserves[:, side])
        self.state.fee[:] = params.fee_bps / 1e4
        self.state.k_last[:] = self.state.reserves[:, 0] * self.state.reserves[:, 1]
        self.state.supply[:] = np.sqrt(self.state.k_last)
        self.state.shares[:, self.account] = self.state.supply
        self.arena.keep_as_initial()

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows; see the class for the verbs."""
        execute(self.state, self.world.ledger.balances, rows, order, starts, ends)

    def mid_price(self, asset: int, quote: int) -> F64:
        """Price of an asset in the other one, before fees, shape (world,)."""
        side = 0 if self.state.assets[0] == asset else 1
        assert self.state.assets[1 - side] == quote
        mid: F64 = self.state.reserves[:, 1 - side] / self.state.reserves[:, side]
        return mid

    def bundle_holds(self, worlds: I64) -> Bool:
        """Whether no flash swap waits for its payment."""
        return np.asarray((self.state.flash[worlds] == 0.0).all(axis=1))

    def claims(self) -> F64:
        """Whole tokens that the pool owes to its liquidity providers: the reserves."""
        owed = np.zeros((self.world.n_worlds, len(self.world.assets)))
        owed[:, self.state.assets] = self.state.reserves - self.state.flash
        return owed
