"""StableSwap pool of 2 to 8 coins with the arithmetic of Curve's StableSwap-NG.

Models exchanges with the dynamic fee of the new generation (constant where `offpeg_multiplier` is
1, as in pools like 3pool), deposits and withdrawals in proportion, in one coin, and of exact
amounts, each with the fee on what leaves the balance of the pool, and the protocol's share of the
fees. Leaves out ramps of the amplification, rebasing coins, metapools and the pool's own oracle.
Amounts are whole tokens in float64; `sim.amm.invariant` says how digits are kept.

Invariants: custody equals the balances and the protocol's fees; the worth of a share (D per share)
never falls; a rejected row changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from sim.actions import Reject, Verb
from sim.amm.invariant import MAX_COINS, dynamic_fee, exchange, growth, invariant, withdrawal
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
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
SWAP = int(Verb.SWAP)
ADD_LIQUIDITY = int(Verb.ADD_LIQUIDITY)
REMOVE_LIQUIDITY = int(Verb.REMOVE_LIQUIDITY)
IN_PROPORTION, ONE_COIN, EXACT = -1, 0, 1  # targets of a row that moves liquidity
LEAST = 1e-9  # part of a balance that a trade must leave


# Params


@dataclass(frozen=True, slots=True, kw_only=True)
class StableSwapParams:
    """Terms of a pool; the defaults are those of Curve's 3pool in 2023 (DAI, USDC, USDT)."""

    coins: Mapping[str, float]  # part of the initial worth that each coin makes up
    depth_usd: float = 300_000_000.0  # worth of all balances at the initial prices, USD
    rates: Mapping[str, float] = field(default_factory=dict)  # worth of a coin in the pool's unit
    amplification: float = 2_000.0  # A
    fee_bps: float = 1.0  # basis points of the amount out
    offpeg_multiplier: float = 1.0  # of the fee where balances are far apart; 1: constant fee
    admin_fee: float = 0.5  # part of the fees that the protocol takes

    def __post_init__(self) -> None:
        require(
            2 <= len(self.coins) <= MAX_COINS,
            f"coins must name 2 to {MAX_COINS} assets, got {', '.join(self.coins) or 'none'}",
        )
        check_range("coins", self.coins, 0.0, open_low=True)
        check_range("depth_usd", self.depth_usd, 0.0, open_low=True)
        check_range("rates", self.rates, 0.0, open_low=True)
        unknown = [name for name in self.rates if name not in self.coins]
        require(not unknown, f"rates names {', '.join(unknown)}, which coins does not")
        check_range("amplification", self.amplification, 1.0, 1e6)
        check_range("fee_bps", self.fee_bps, 0.0, 100.0)
        check_range("offpeg_multiplier", self.offpeg_multiplier, 1.0, 100.0)
        check_range("admin_fee", self.admin_fee, 0.0, 1.0)


# State


class StableSwapState(NamedTuple):
    """Arrays of one pool in all worlds."""

    balances: F64  # (world, coin) whole tokens of the liquidity providers
    admin: F64  # (world, coin) whole tokens of fees that the protocol owns
    supply: F64  # (world,) shares in all
    shares: F64  # (world, account) shares of each ledger account
    amplification: F64  # (world,)
    fee: F64  # (world,) fraction of the amount out
    rates: F64  # (coin,) worth of a whole token in the pool's unit
    assets: I64  # (coin,)
    units: F64  # (coin,) worth to whole multiples of which fees are cut, as on chain; 0: none
    offpeg: float
    admin_fee: float
    account: int  # custody account
    x: F64  # (coin,) worth of the balances of the world in hand; scratch
    change: F64  # (coin,) worth of a deposit or withdrawal; scratch
    cut: F64  # (coin,) worth of the fees on it; scratch


# Kernels


@kernel
def load(state: StableSwapState, w: int) -> float:
    """Bring a world's balances, as worth, into the scratch `x`; return their invariant."""
    for k in range(state.x.shape[0]):
        state.x[k] = state.balances[w, k] * state.rates[k]
    return invariant(state.x, state.amplification[w])


@kernel
def amount_out(
    state: StableSwapState, w: int, i: int, j: int, amount: float
) -> tuple[float, float]:
    """Whole tokens of coin j paid for `amount` of coin i, and the fee taken off (`exchange`)."""
    d = load(state, w)
    x, paid = state.x, amount * state.rates[i]
    gross = exchange(x, i, j, paid, state.amplification[w], d)
    rate = dynamic_fee(x[i] + 0.5 * paid, x[j] - 0.5 * gross, state.fee[w], state.offpeg)
    fee = gross * rate
    return (gross - fee) / state.rates[j], fee / state.rates[j]


@kernel
def virtual_price(state: StableSwapState, w: int) -> float:
    """Invariant per share, in the pool's unit."""
    return float(load(state, w) / state.supply[w])


@kernel
def mid_prices(state: StableSwapState, i: int, j: int, prices: F64) -> None:
    """Price of coin i in coin j before fees (`get_p`), by world: the slope of the invariant.

    Moving x_i changes it in proportion to A n + K / x_i, with K = D^(n+1) / (n^n P).
    """
    n = state.x.shape[0]
    for w in range(prices.shape[0]):
        d = load(state, w)
        level = d
        for k in range(n):
            level *= d / (state.x[k] * n)
        leverage = state.amplification[w] * n
        slope = (leverage + level / state.x[i]) / (leverage + level / state.x[j])
        prices[w] = slope * state.rates[i] / state.rates[j]


@kernel
def unbalanced(state: StableSwapState, w: int, fees: F64) -> float:
    """Relative change of the shares when the balances change by `change` (worth, scratch).

    Each coin pays on the distance to what it would be had the pool kept its proportions. `load`
    must have been called; `fees`, in worth, is filled and the balances stay as they are.
    """
    n, d = state.x.shape[0], invariant(state.x, state.amplification[w])
    ideal = growth(state.x, state.change, state.amplification[w], d)
    mean = d * (1.0 + 0.5 * ideal) / n
    base = state.fee[w] * n / (4.0 * (n - 1.0))
    for k in range(n):
        moved = abs(state.x[k] * ideal - state.change[k])
        level = state.x[k] + 0.5 * state.change[k]
        fees[k] = moved * dynamic_fee(level, mean, base, state.offpeg)
        if state.units[k] > 0.0:
            fees[k] = np.floor(fees[k] / state.units[k]) * state.units[k]
    for k in range(n):
        state.change[k] -= fees[k]
    kept = growth(state.x, state.change, state.amplification[w], d)
    for k in range(n):
        state.change[k] += fees[k]
    return kept


@kernel
def one_coin(state: StableSwapState, w: int, i: int, part: float) -> tuple[float, float]:
    """Whole tokens of coin i for a part of all shares, and the fee taken off.

    `calc_withdraw_one_coin`: every coin pays on its distance to the proportions that would have
    been kept, then D falls by the part.
    """
    d, n = load(state, w), state.x.shape[0]
    a, x = state.amplification[w], state.x
    base = state.fee[w] * n / (4.0 * (n - 1.0))
    mean = d * (1.0 - 0.5 * part) / n
    for k in range(n):
        state.cut[k] = 0.0
    gross = withdrawal(x, state.cut, i, part, a, d)
    for k in range(n):
        moved = abs(gross - x[k] * part) if k == i else x[k] * part
        level = x[k] - 0.5 * gross if k == i else x[k]
        state.cut[k] = moved * dynamic_fee(level, mean, base, state.offpeg)
    net = withdrawal(x, state.cut, i, part, a, d) - state.cut[i]
    return net / state.rates[i], (gross - net) / state.rates[i]


@kernel
def coin(state: StableSwapState, asset: int) -> int:
    """Place of an asset among the coins; -1 if it is none."""
    for k in range(state.assets.shape[0]):
        if state.assets[k] == asset:
            return k
    return -1


@kernel
def pull(state: StableSwapState, balances: F64, w: int, account: int, k: int, paid: float) -> None:
    """Move whole tokens of a coin from an account into the pool."""
    asset = state.assets[k]
    balances[w, account, asset] -= paid
    balances[w, state.account, asset] += paid
    state.balances[w, k] += paid


@kernel
def pay(
    state: StableSwapState, balances: F64, w: int, account: int, k: int, out: float, fee: float
) -> None:
    """Move whole tokens out of the pool, and set the protocol's part of the fee aside."""
    asset, admin = state.assets[k], fee * state.admin_fee
    balances[w, state.account, asset] -= out
    balances[w, account, asset] += out
    state.balances[w, k] -= out + admin
    state.admin[w, k] += admin


@kernel
def swap(state: StableSwapState, balances: F64, w: int, row: np.void) -> int:
    """Swap the row's asset for its asset_2; results: amount in, amount out."""
    i, j = coin(state, row["asset"]), coin(state, row["asset_2"])
    if i < 0 or j < 0 or i == j:
        return BAD_ASSET
    amount, account = row["amount"], row["account"]
    if not amount > 0.0:
        return BAD_AMOUNT
    held = balances[w, account, state.assets[i]]
    if amount == np.inf:
        amount = held
    if not 0.0 < amount <= held * (1.0 + 1e-12):
        return INSUFFICIENT_BALANCE
    amount = min(amount, held)
    out, fee = amount_out(state, w, i, j, amount)
    if not (out > 0.0 and out + fee <= state.balances[w, j] * (1.0 - LEAST)):
        return INSUFFICIENT_LIQUIDITY
    if not out >= row["limit"]:
        return LIMIT_NOT_MET
    pull(state, balances, w, account, i, amount)
    pay(state, balances, w, account, j, out, fee)
    row["r0"], row["r1"] = amount, out
    return OK


@kernel
def add_liquidity(state: StableSwapState, balances: F64, w: int, row: np.void) -> int:
    """Hand in the row's asset, alone or with all others in proportion; results: paid, shares."""
    i, amount, account = coin(state, row["asset"]), row["amount"], row["account"]
    if i < 0:
        return BAD_ASSET
    if not amount > 0.0:
        return BAD_AMOUNT
    n, alone = state.assets.shape[0], row["target"] == ONE_COIN
    if not alone and row["target"] != IN_PROPORTION:
        return BAD_TARGET
    most = np.inf
    for k in range(n):
        held = balances[w, account, state.assets[k]]
        if k == i or not alone:
            most = min(most, held * state.balances[w, i] / state.balances[w, k])
    if amount == np.inf:
        amount = most
    if not 0.0 < amount <= most:
        return INSUFFICIENT_BALANCE
    part, fee = amount / state.balances[w, i], 0.0
    if alone:
        load(state, w)
        for k in range(n):
            state.change[k] = amount * state.rates[k] if k == i else 0.0
        part = unbalanced(state, w, state.cut)
    shares = state.supply[w] * part
    if not shares > 0.0:
        return BAD_AMOUNT
    if not shares >= row["limit"]:
        return LIMIT_NOT_MET
    share = amount / state.balances[w, i]
    for k in range(n):
        if alone:
            fee = state.cut[k] / state.rates[k]
        if k == i or not alone:
            paid = amount if k == i else share * state.balances[w, k]
            held = balances[w, account, state.assets[k]]
            pull(state, balances, w, account, k, min(paid, held))
        pay(state, balances, w, account, k, 0.0, fee)
    state.supply[w] += shares
    state.shares[w, account] += shares
    row["r0"], row["r1"] = amount, shares
    return OK


@kernel
def remove_liquidity(state: StableSwapState, balances: F64, w: int, row: np.void) -> int:
    """Redeem shares for all coins or one, or take an exact amount; results: paid out, shares."""
    amount, account, mode = row["amount"], row["account"], row["target"]
    if mode < IN_PROPORTION or mode > EXACT:
        return BAD_TARGET
    i = coin(state, row["asset"])
    if i < 0:
        return BAD_ASSET
    if not amount > 0.0:
        return BAD_AMOUNT
    held, supply, n = state.shares[w, account], state.supply[w], state.assets.shape[0]
    if mode == EXACT:
        if not amount <= state.balances[w, i] * (1.0 - LEAST):
            return INSUFFICIENT_LIQUIDITY
        load(state, w)
        for k in range(n):
            state.change[k] = -amount * state.rates[k] if k == i else 0.0
        shares, out = -supply * unbalanced(state, w, state.cut), amount
    else:
        shares = held if amount == np.inf else amount
    if not 0.0 < shares <= held:
        return INSUFFICIENT_BALANCE
    part = shares / supply
    if not part < 1.0:
        return INSUFFICIENT_LIQUIDITY
    if mode == ONE_COIN:
        out, fee = one_coin(state, w, i, part)
        for k in range(n):
            state.cut[k] = fee * state.rates[k] if k == i else 0.0
        if not (out > 0.0 and out + fee <= state.balances[w, i] * (1.0 - LEAST)):
            return INSUFFICIENT_LIQUIDITY
    elif mode == IN_PROPORTION:
        out = part * state.balances[w, i]
        for k in range(n):
            state.cut[k] = 0.0
    if not out >= row["limit"]:
        return LIMIT_NOT_MET
    for k in range(n):
        paid = part * state.balances[w, k] if mode == IN_PROPORTION else 0.0
        if k == i:
            paid = out
        pay(state, balances, w, account, k, paid, state.cut[k] / state.rates[k])
    state.supply[w] = supply - shares
    state.shares[w, account] = held - shares
    row["r0"], row["r1"] = out, shares
    return OK


@kernel
def execute(
    state: StableSwapState,
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
            if verb == SWAP:
                code = swap(state, balances, w, row)
            elif verb == ADD_LIQUIDITY:
                code = add_liquidity(state, balances, w, row)
            elif verb == REMOVE_LIQUIDITY:
                code = remove_liquidity(state, balances, w, row)
            else:
                code = UNKNOWN_VERB
            row["code"] = code


# Facade


def new_arrays(n_coins: int, n_accounts: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the per-world fields, for an Arena."""
    return {
        "balances": (n_coins,), "admin": (n_coins,), "supply": (), "shares": (n_accounts,),
        "amplification": (), "fee": (),
    }  # fmt: skip


def new_state(
    fields: dict[str, F64],
    assets: I64,
    rates: F64,
    *,
    units: F64 | None = None,
    offpeg: float = 1.0,
    admin_fee: float = 0.5,
    account: int = 0,
) -> StableSwapState:
    """State over the views of an Arena of `new_arrays`."""
    n = assets.shape[0]
    return StableSwapState(
        **fields,
        rates=rates,
        assets=assets,
        units=np.zeros(n) if units is None else units,
        offpeg=float(offpeg),
        admin_fee=float(admin_fee),
        account=int(account),
        x=np.zeros(n),
        change=np.zeros(n),
        cut=np.zeros(n),
    )


class StableSwapPool(Venue):
    """A Curve pool of 2 to 8 coins of like worth.

    Verbs: SWAP (asset in, asset_2 out, amount in, limit = least amount out); ADD_LIQUIDITY (asset
    and amount; target -1: the other coins in proportion, 0: the asset alone; limit = least
    shares); REMOVE_LIQUIDITY (amount of shares; target -1: all coins in proportion, 0: the asset
    alone, 1: exactly `amount` of the asset for as many shares as it takes; limit = least amount of
    the asset). The shares of the initial liquidity belong to the pool's own account and stay.

    Parameters
    ----------
    **terms
        Fields of `StableSwapParams`.
    """

    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        SWAP: ("amount_in", "amount_out"),
        ADD_LIQUIDITY: ("amount_in", "shares"),
        REMOVE_LIQUIDITY: ("amount_out", "shares"),
    }

    def __init__(self, **terms: Any) -> None:
        self.params = StableSwapParams(**terms)

    def bind(self, world: "World") -> None:
        """Resolve the coins, fill the balances at the initial prices and endow custody."""
        params, names = self.params, list(self.params.coins)
        indices = np.array([world.asset_index(name) for name in names], np.int64)
        rates = np.array([float(params.rates.get(name, 1.0)) for name in names])
        self.arena = Arena(world.n_worlds, new_arrays(len(names), len(world.ledger.accounts)))
        self.state = new_state(
            self.arena.views,
            indices,
            rates,
            offpeg=params.offpeg_multiplier,
            admin_fee=params.admin_fee,
            account=self.account,
        )
        state, weight = self.state, sum(params.coins.values())
        for k, name in enumerate(names):
            price = world.fundamental[:, indices[k]]
            if not np.all(price > 0.0):
                raise ConfigError(
                    f"{self.name}: the price of {name} must be positive when the pool is filled; "
                    "bind the prices first"
                )
            state.balances[:, k] = params.depth_usd * params.coins[name] / weight / price
            world.ledger.endow(self.account, int(indices[k]), state.balances[:, k])
        state.amplification[:] = params.amplification
        state.fee[:] = params.fee_bps / 1e4
        for w in range(world.n_worlds):
            state.supply[w] = load(state, w)
        state.shares[:, self.account] = state.supply
        self.arena.keep_as_initial()

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows; see the class for the verbs."""
        execute(self.state, self.world.ledger.balances, rows, order, starts, ends)

    def mid_price(self, asset: int, quote: int) -> F64:
        """Price of a coin in another one, before fees, shape (world,)."""
        prices = np.empty(self.world.n_worlds)
        mid_prices(self.state, coin(self.state, asset), coin(self.state, quote), prices)
        return prices

    def claims(self) -> F64:
        """Whole tokens owed to liquidity providers and to the protocol."""
        held = np.zeros((self.world.n_worlds, len(self.world.assets)))
        held[:, self.state.assets] = self.state.balances + self.state.admin
        return held
