"""Block space: a gas limit, a base fee, a crowd that bids against the agents, and a mempool.

The crowd ("background demand") wants `demand` units of gas per block at prices that are lognormal
in gwei. A row that offers `base fee + tip` gets in when the crowd's gas that offers more, plus the
agents' rows placed before it, leave room under the limit. What does not get in waits and expires.

Two fee markets:

- ``eip1559``: the base fee moves by at most 1/8 per chain block towards the gas target (EIP-1559),
  and is burnt; the tip goes to the proposer;
- ``first_price``: no base fee; the whole bid goes to the proposer (Ethereum before August 2021).

A simulated block may hold several chain blocks (one minute holds five of 12 seconds): the limit is
their sum, and the base fee moves once per chain block.

Leaves out: reorganisations, private order flow, and the crowd's own strategic bidding.
"""

from dataclasses import dataclass
from math import erfc, exp, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.actions import NO_ROWS, Reject, join_rows, take_rows
from sim.background import BackgroundDemand
from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool, Rows, kernel
from sim.ledger import burn, transfer
from sim.sequencing import in_order
from sim.state import Arena

if TYPE_CHECKING:
    from sim.world import World

_EXPIRED = int(Reject.EXPIRED)
_CANNOT_PAY_GAS = int(Reject.CANNOT_PAY_GAS)
_CONFLICT = int(Reject.CONFLICT)
_PENDING = int(Reject.PENDING)
GWEI = 1e-9


# --- params ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpaceParams:
    """Terms of block space; defaults are Ethereum mainnet after EIP-1559 (2021 to 2024)."""

    fee_market: str = "eip1559"  # or first_price
    gas_limit: float = 30e6  # gas per chain block
    elasticity: float = 2.0  # limit over target, EIP-1559
    change_denominator: float = 8.0  # largest base-fee move per chain block is 1 over this
    chain_block_seconds: float = 12.0  # seconds between chain blocks
    initial_base_fee: float = 20.0  # gwei
    min_base_fee: float = 0.01  # gwei
    revert_gas_share: float = 0.3  # share of a row's gas that is paid when it fails
    drop_reverts: bool = False  # True: builders leave failing rows out, they pay nothing

    def __post_init__(self) -> None:
        """Reject terms that no chain could run."""
        if self.fee_market not in ("eip1559", "first_price"):
            raise ConfigError(
                f"fee_market must be eip1559 or first_price, got {self.fee_market!r}; set one"
            )
        for name in ("gas_limit", "elasticity", "change_denominator", "chain_block_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} must be positive, got {getattr(self, name)}; give a positive number"
                )
        if not 0.0 <= self.revert_gas_share <= 1.0:
            raise ConfigError(
                f"revert_gas_share must lie in [0, 1], got {self.revert_gas_share}; give a share"
            )


# --- state ----------------------------------------------------------------------------------------


class BlockSpaceState(NamedTuple):
    """Arrays (world,), but for `paid`."""

    base_fee: F64  # gwei
    used: F64  # gas of the last block
    clearing: F64  # price per gas at which the last block was full, gwei; base fee if it was not
    lowest: F64  # lowest price per gas of an agents' row that got into it, gwei; inf: none did
    n_included: F64  # rows of agents that got in
    n_reverted: F64  # of those, rows that failed
    n_expired: F64  # rows that never got in
    paid: F64  # (world, account) fees so far, whole units of the gas asset, failed rows' included


# --- kernels --------------------------------------------------------------------------------------


@kernel
def share_above(price: float, log_median: float, log_sigma: float) -> float:
    """Share of the crowd's gas that offers more than `price` gwei (lognormal survival)."""
    if price <= 0.0:
        return 1.0
    return 0.5 * erfc((log(price) - log_median) / (log_sigma * sqrt(2.0)))


@kernel
def inverse_normal(p: float) -> float:
    """Quantile of the standard normal law, relative error 1.15e-9 (P. J. Acklam, 2003)."""
    if p <= 0.0:
        return -np.inf
    if p >= 1.0:
        return np.inf
    if p < 0.02425 or p > 0.97575:
        q = sqrt(-2.0 * log(min(p, 1.0 - p)))
        top = -7.784894002430293e-03 * q - 3.223964580411365e-01
        top = ((top * q - 2.400758277161838) * q - 2.549732539343734) * q + 4.374664141464968
        top = top * q + 2.938163982698783
        bottom = (7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996
        bottom = (bottom * q + 3.754408661907416) * q + 1.0
        return top / bottom if p < 0.5 else -top / bottom
    q = p - 0.5
    r = q * q
    top = -3.969683028665376e01 * r + 2.209460984245205e02
    top = ((top * r - 2.759285104469687e02) * r + 1.383577518672690e02) * r
    top = (top - 3.066479806614716e01) * r + 2.506628277459239
    bottom = (-5.447609879822406e01 * r + 1.615858368580409e02) * r - 1.556989798598866e02
    bottom = ((bottom * r + 6.680131188771972e01) * r - 1.328068155288572e01) * r + 1.0
    return top * q / bottom


@kernel
def price_at_share(share: float, log_median: float, log_sigma: float) -> float:
    """Price in gwei above which `share` of the crowd's gas bids."""
    return exp(log_median - log_sigma * inverse_normal(share))


@kernel
def admit(
    state: BlockSpaceState,
    crowd: F64,
    balances: F64,
    rows: Rows,
    tips: F64,
    order: I64,
    starts: I64,
    chosen: I64,
    included: Bool,
    gas_limit: float,
    gas_asset: int,
) -> int:
    """Decide which rows get into this block; return their number.

    Parameters
    ----------
    state : BlockSpaceState
    crowd : array (world, 3)
        Gas wanted per block, log median and log standard deviation of the price offered (gwei).
    balances : array (world, account, asset)
        Who cannot pay the most that a row may cost stays out.
    rows : structured array (n,)
    tips : array (n,)
        Effective tips, gwei: the bid, at most what the fee cap leaves above the base fee; negative
        for a row that cannot be in this block.
    order, starts : arrays (n,), (world + 1,)
        Rows by falling effective tip within each world.
    chosen : array (n,)
        Filled with the rows that get in, in that order.
    included : array (n,)
        Filled.
    gas_limit : float
        Gas per simulated block.
    gas_asset : int
        Index of the asset that pays for gas.
    """
    n = 0
    for w in range(starts.shape[0] - 1):
        taken = 0.0
        start = starts[w]
        while start < starts[w + 1]:
            head = order[start]
            stop = start + 1
            gas = rows[head]["gas"]
            bundle = rows[head]["bundle"]
            if bundle != 0:
                while stop < starts[w + 1] and rows[order[stop]]["bundle"] == bundle:
                    gas += rows[order[stop]]["gas"]
                    stop += 1
            price = state.base_fee[w] + tips[head]
            fits = tips[head] >= 0.0
            if fits:
                outbid = crowd[w, 0] * share_above(price, crowd[w, 1], crowd[w, 2])
                fits = outbid + taken + gas <= gas_limit
            if fits and balances[w, rows[head]["account"], gas_asset] < gas * price * 1e-9:
                fits = False
                for k in range(start, stop):
                    rows[order[k]]["code"] = _CANNOT_PAY_GAS
            if fits:
                taken += gas
                state.lowest[w] = min(state.lowest[w], price)
            for k in range(start, stop):
                included[order[k]] = fits
                if fits:
                    chosen[n] = order[k]
                    n += 1
            start = stop
        state.used[w] = taken
    return n


@kernel
def offer(rows: Rows, base_fee: F64, seconds: float, tips: F64, first: F64, second: F64) -> None:
    """Fill in effective tips in gwei (-1: not in this block) and the keys that sort by them."""
    for i in range(rows.shape[0]):
        row = rows[i]
        tip = min(row["tip"], row["fee_cap"] - base_fee[row["world"]])
        tips[i] = tip if row["arrival"] < seconds else -1.0
        first[i] = -tips[i]
        second[i] = row["arrival"]


@kernel
def keep_waiting(rows: Rows, included: Bool, n_expired: F64, step: int, waiting: I64) -> int:
    """List the rows that may still get in later; count what expires."""
    n = 0
    for i in range(rows.shape[0]):
        if included[i]:
            continue
        row = rows[i]
        if row["expires"] <= step:
            n_expired[row["world"]] += 1.0
            continue
        waiting[n] = i
        n += 1
    return n


@kernel
def come_nearer(rows: Rows, seconds: float) -> None:
    """Let one block pass for waiting rows."""
    for i in range(rows.shape[0]):
        rows[i]["arrival"] = max(rows[i]["arrival"] - seconds, 0.0)
        rows[i]["code"] = _PENDING


@kernel
def bid_effectively(rows: Rows, tips: F64, chosen: I64) -> None:
    """Put the effective tip into the admitted rows."""
    for k in range(rows.shape[0]):
        rows[k]["tip"] = tips[chosen[k]]


@kernel
def move_base_fee(
    state: BlockSpaceState,
    crowd: F64,
    gas_limit: float,
    target: float,
    n_blocks: int,
    denominator: float,
    floor: float,
    burning: bool,
) -> None:
    """Close the gas market of one simulated block: total gas used, clearing price, next base fee.

    Each of the `n_blocks` chain blocks sees an equal part of the agents' gas and of the crowd's
    demand, which thins out as the base fee rises (EIP-1559 update rule). A block that agents fill
    clears at the lowest bid of theirs that got in: a higher one would have taken its place.
    """
    for w in range(crowd.shape[0]):
        agents = state.used[w]
        demand, log_median, log_sigma = crowd[w, 0], crowd[w, 1], crowd[w, 2]
        base = state.base_fee[w]
        room = gas_limit - agents
        state.clearing[w] = base
        if demand * share_above(base, log_median, log_sigma) > room:
            price = price_at_share(max(room, 0.0) / demand, log_median, log_sigma)
            state.clearing[w] = max(min(price, state.lowest[w]), base)
        used = 0.0
        for _ in range(n_blocks):
            wanted = demand * share_above(base, log_median, log_sigma) / n_blocks
            part = min(wanted + agents / n_blocks, gas_limit / n_blocks)
            used += part
            if burning:
                excess = (part - target) / target
                base = max(base * (1.0 + min(max(excess, -1.0), 1.0) / denominator), floor)
        state.used[w] = used
        state.base_fee[w] = base


@kernel
def charge(
    state: BlockSpaceState,
    balances: F64,
    burnt: F64,
    rows: Rows,
    base_fee: F64,
    gas_asset: int,
    proposer: int,
    revert_share: float,
    drop_reverts: bool,
) -> None:
    """Collect the fees of executed rows: base fee burnt, tip to the proposer.

    A failed row pays for `revert_share` of its gas, or nothing where builders drop reverts. An
    account that spent its gas money inside the block pays what is left.
    """
    for i in range(rows.shape[0]):
        w = rows[i]["world"]
        gas = rows[i]["gas"]
        state.n_included[w] += 1.0
        if rows[i]["code"] != 0:
            state.n_reverted[w] += 1.0
            gas *= 0.0 if drop_reverts or rows[i]["code"] == _CONFLICT else revert_share
        account = rows[i]["account"]
        to_burn = min(gas * base_fee[w] * 1e-9, balances[w, account, gas_asset])
        burn(balances, burnt, w, account, gas_asset, to_burn)
        to_proposer = min(gas * rows[i]["tip"] * 1e-9, balances[w, account, gas_asset])
        transfer(balances, w, account, proposer, gas_asset, to_proposer)
        rows[i]["fee"] = to_burn + to_proposer
        state.paid[w, account] += to_burn + to_proposer


# --- facade ---------------------------------------------------------------------------------------


class BlockSpace:
    """Mempool, inclusion and fees of one chain.

    Parameters
    ----------
    params : BlockSpaceParams
    background : BackgroundDemand
        The crowd that bids against the agents.
    """

    def __init__(self, params: BlockSpaceParams, background: BackgroundDemand) -> None:
        self.params = params
        self.background = background

    def bind(self, world: "World") -> None:
        """Allocate, and convert the limits to one simulated block."""
        self.world = world
        p = self.params
        self.n_blocks = max(1, round(world.block_seconds / p.chain_block_seconds))
        self.gas_limit = p.gas_limit * self.n_blocks
        self.gas_target = p.gas_limit / p.elasticity
        self.burning = p.fee_market == "eip1559"
        fields: dict[str, tuple[int, ...]] = dict.fromkeys(BlockSpaceState._fields, ())
        self.arena = Arena(world.n_worlds, fields | {"paid": (len(world.ledger.accounts),)})
        self.state = BlockSpaceState(**self.arena.views)
        self.state.base_fee[:] = p.initial_base_fee if self.burning else 0.0
        self.state.clearing[:] = self.state.base_fee
        self.pending: Rows = NO_ROWS
        self.background.bind(world, self.gas_limit)
        self._base_fee_paid = np.empty(world.n_worlds)

    def advance(self, step: int) -> None:
        """Draw the crowd of this block."""
        self.background.advance(step)

    def include(self, rows: Rows) -> Rows:
        """Split new and waiting rows into those that get in and those that wait or expire.

        Parameters
        ----------
        rows : structured array (n,)
            New on-chain rows.

        Returns
        -------
        structured array
            Included rows, grouped by world in falling effective tip.
        """
        world, state = self.world, self.state
        if self.pending.shape[0]:
            rows = join_rows([self.pending, rows])
        self._base_fee_paid[:] = state.base_fee
        state.lowest[:] = np.inf
        n = rows.shape[0]
        if n == 0:
            state.used[:] = 0.0
            return rows
        seconds = world.block_seconds
        tips, first, second = np.empty((3, n))
        offer(rows, state.base_fee, seconds, tips, first, second)
        order, starts = in_order(rows, first, second, world.n_worlds)
        chosen, included = np.empty(n, np.int64), np.empty(n, np.bool_)
        n_in = admit(
            state, self.background.crowd, world.ledger.balances, rows, tips, order,
            starts, chosen, included, self.gas_limit, world.gas_asset,
        )  # fmt: skip
        admitted = take_rows(rows, chosen[:n_in])
        bid_effectively(admitted, tips, chosen)
        self.pending = NO_ROWS
        if n_in < n:
            n_waiting = keep_waiting(rows, included, state.n_expired, world.step, order)
            self.pending = take_rows(rows, order[:n_waiting])
            come_nearer(self.pending, seconds)
        return admitted

    def close(self, executed: Rows) -> None:
        """Collect fees and move the base fee."""
        p, world = self.params, self.world
        if executed.shape[0]:
            charge(
                self.state, world.ledger.balances, world.ledger.burnt, executed,
                self._base_fee_paid, world.gas_asset, world.proposer,
                p.revert_gas_share, p.drop_reverts,
            )  # fmt: skip
        move_base_fee(
            self.state, self.background.crowd, self.gas_limit, self.gas_target, self.n_blocks,
            p.change_denominator, p.min_base_fee, self.burning,
        )  # fmt: skip
