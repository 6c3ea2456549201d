"""Liquity v1, many worlds at once.

What it models: troves with a minimum collateral ratio of 110% (`troves`); liquidation by the
stability pool's deposits, and redistribution where these do not suffice, with the bookkeeping of
2025 (`pool`, `liquidation`); recovery mode; redemptions at face value with a decaying base rate
(`redemption`); borrowing fees and gas deposits.

What it leaves out: LQTY (fees for its stakers are held by the venue, its issuance to depositors is
nothing), front ends, moving a gain straight into a trove, batch liquidation (several rows do the
same, each at the ratio of the moment), the first fortnight without redemptions, hints (a redemption
always finds the riskiest troves), integer rounding.

Invariants, per world: custody of collateral = active + default + surplus + pool's + fees; custody
of stable tokens = deposits + gas deposits + fees; the troves' collateral and debt, with rewards,
sum to active + default; all stable tokens that the system minted and did not burn are owed by
troves. No debt is ever written off: a loss is borne by depositors or by the other troves.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, i64, kernel
from sim.lending.liquity.liquidation import liquidate, quote
from sim.lending.liquity.params import LiquityParams
from sim.lending.liquity.pool import compounded, gain, provide, withdraw
from sim.lending.liquity.redemption import redeem
from sim.lending.liquity.state import ACTIVE, LiquityState, Money, new_state
from sim.lending.liquity.troves import (
    add_collateral,
    below,
    borrow,
    entire,
    in_recovery,
    ratio,
    repay,
    system_ratio,
    take_collateral,
)
from sim.lending.loans import Loans, LoanVenue
from sim.lending.vaults import VaultBook

if TYPE_CHECKING:
    from sim.world import World

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_ASSET = int(Reject.BAD_ASSET)
BAD_TARGET = int(Reject.BAD_TARGET)
BAD_PRICE = int(Reject.BAD_PRICE)
NOT_OWNER = int(Reject.NOT_OWNER)
UNHEALTHY = int(Reject.UNHEALTHY)
SUPPLY = int(Verb.SUPPLY)
WITHDRAW = int(Verb.WITHDRAW)
BORROW = int(Verb.BORROW)
REPAY = int(Verb.REPAY)
LIQUIDATE = int(Verb.LIQUIDATE)
ADD_LIQUIDITY = int(Verb.ADD_LIQUIDITY)
REMOVE_LIQUIDITY = int(Verb.REMOVE_LIQUIDITY)
REDEEM = int(Verb.REDEEM)
_ACTIVE = ACTIVE


# Kernels


@kernel
def on_trove(
    state: LiquityState, money: Money, w: int, row: np.void, price: float, now: float
) -> int:
    """Execute a verb on one's trove; results: tokens moved, fee or collateral returned."""
    verb, p, account = i64(row["verb"]), i64(row["target"]), i64(row["account"])
    amount, limit = float(row["amount"]), float(row["limit"])
    if not 0 <= p < state.owner.shape[0]:
        return BAD_TARGET
    if verb == LIQUIDATE:
        code, offset, spread, gas = liquidate(state, money, w, p, account, price)
        row["r0"], row["r1"], row["r2"] = offset, spread, gas
        return code
    if row["asset"] != state.assets[0 if verb in (SUPPLY, WITHDRAW) else 1]:
        return BAD_ASSET
    if state.owner[p] != account:
        return NOT_OWNER
    if not amount > 0.0:
        return BAD_AMOUNT
    other = 0.0
    if verb == SUPPLY:
        code, moved = add_collateral(state, money, w, p, amount, limit, price)
    elif verb == WITHDRAW:
        code, moved = take_collateral(state, money, w, p, amount, limit, price)
    elif verb == BORROW:
        code, moved, other = borrow(state, money, w, p, amount, limit, price, now)
    else:
        code, moved, other = repay(state, money, w, p, amount, limit, price)
    row["r0"], row["r1"] = moved, other
    return code


@kernel
def any_waits(state: LiquityState, w: int, price: float) -> bool:
    """Whether a trove is under the minimum ratio."""
    for p in range(state.troves.shape[1]):
        coll, debt = entire(state, w, p)
        if below(ratio(coll, debt, price), state.system[w]["minimum_ratio"]):
            return True
    return False


@kernel
def on_pool(
    state: LiquityState, money: Money, w: int, row: np.void, price: float, now: float
) -> int:
    """Execute a verb of depositors and redeemers, whose asset is the stable token."""
    verb, account = i64(row["verb"]), i64(row["account"])
    amount, limit = float(row["amount"]), float(row["limit"])
    if row["asset"] != state.assets[1]:
        return BAD_ASSET
    if not (amount > 0.0 or (amount == 0.0 and verb == REMOVE_LIQUIDITY)):
        return BAD_AMOUNT
    if verb == ADD_LIQUIDITY:
        code, moved, coll = provide(state, money, w, account, amount, limit)
    elif verb == REMOVE_LIQUIDITY:
        if amount > 0.0 and any_waits(state, w, price):
            return UNHEALTHY
        code, moved, coll = withdraw(state, money, w, account, amount, limit)
    else:
        code, moved, coll, fee, n = redeem(
            state, money, w, account, amount, limit, price, now
        )  # fmt: skip
        row["r2"], row["r3"] = fee, n
    row["r0"], row["r1"] = moved, coll
    return code


@kernel
def execute(
    state: LiquityState, money: Money, prices: F64, rows: Rows, order: I64, starts: I64, ends: I64,
    now: float,
) -> None:  # fmt: skip
    """Execute each world's rows in order; a rejected row has no results."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            row = rows[order[j]]
            verb, price = i64(row["verb"]), float(prices[w, state.assets[0]])
            if not price > 0.0:
                code = BAD_PRICE
            elif SUPPLY <= verb <= LIQUIDATE:
                code = on_trove(state, money, w, row, price, now)
            elif verb in (ADD_LIQUIDITY, REMOVE_LIQUIDITY, REDEEM):
                code = on_pool(state, money, w, row, price, now)
            else:
                code = UNKNOWN_VERB
            if code != OK:
                row["r0"], row["r1"], row["r2"], row["r3"] = 0.0, 0.0, 0.0, 0.0
            row["code"] = code


@kernel
def list_liquidatable(state: LiquityState, prices: F64, ids: I64, starts: I64) -> None:
    """List troves that a liquidation would close now, world by world, ascending."""
    n = 0
    for w in range(state.troves.shape[0]):
        starts[w] = n
        price = float(prices[w, state.assets[0]])
        bound = state.system[w]["minimum_ratio"]
        if in_recovery(state, w, price):
            bound = max(bound, system_ratio(state, w, price))
        for p in range(state.troves.shape[1]):
            coll, debt = entire(state, w, p)
            if below(ratio(coll, debt, price), bound) and quote(state, w, p, price)[0] == OK:
                ids[n] = p
                n += 1
    starts[state.troves.shape[0]] = n


@kernel
def fill_entire(state: LiquityState, coll: F64, debt: F64) -> None:
    """Write every trove's collateral and debt with rewards."""
    for w in range(coll.shape[0]):
        for p in range(coll.shape[1]):
            coll[w, p], debt[w, p] = entire(state, w, p)


@kernel
def fill_deposits(state: LiquityState, account: int, stable: F64, coll: F64) -> None:
    """Write what an account's deposit is worth and has gained, tokens, shapes (world,)."""
    for w in range(stable.shape[0]):
        stable[w] = compounded(state, w, account)
        coll[w] = gain(state, w, account)


# Facade


class LiquityMarket(LoanVenue):
    """Troves, their stability pool and redemptions.

    Verbs on one's trove (`target` its index): SUPPLY and WITHDRAW (asset the collateral), BORROW
    and REPAY (asset the stable token). Collateral supplied to a trove that is not open waits beside
    it, and BORROW opens the trove on all of it; REPAY of all but the gas deposit closes it; what a
    liquidation or a redemption left to the owner is withdrawn from the closed trove. LIQUIDATE is
    anyone's. Verbs of the pool (asset the stable token): ADD_LIQUIDITY, REMOVE_LIQUIDITY (each also
    pays out the collateral earned; amount 0 removes that alone), REDEEM (limit: least collateral).

    Parameters
    ----------
    **terms
        Fields of `LiquityParams`.
    """

    params: LiquityParams
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        SUPPLY: ("supplied",),
        WITHDRAW: ("withdrawn",),
        BORROW: ("borrowed", "borrowing_fee"),
        REPAY: ("repaid", "returned"),
        LIQUIDATE: ("debt_offset", "debt_redistributed", "gas_compensation"),
        ADD_LIQUIDITY: ("provided", "collateral_gain"),
        REMOVE_LIQUIDITY: ("removed", "collateral_gain"),
        REDEEM: ("redeemed", "collateral_received", "redemption_fee", "n_troves"),
    }

    def __init__(self, **terms: Any) -> None:
        self.params = LiquityParams(**terms)
        self._book = VaultBook()
        self._deposits: dict[int, float] = {}

    @property
    def n_positions(self) -> int:
        """Number of troves, open or not, the same in all worlds."""
        return self._book.n

    def add_positions(self, account: int | str, collateral: F64, debt: F64) -> range:
        """Add troves of one owner to the initial book, whole tokens per asset of the world.

        Debt includes the gas deposit; a trove without debt is not open, and its collateral waits
        beside it. See `VaultBook.add`.
        """
        return self._book.add(account, collateral, debt)

    def add_deposit(self, account: int, amount: float) -> None:
        """Have an account's stable tokens in the pool from the start, in every world."""
        if not 0.0 <= amount < np.inf:
            raise ConfigError(f"a deposit must be finite and not negative, got {amount!r}")
        self._deposits[account] = self._deposits.get(account, 0.0) + amount

    def pair(self) -> tuple[str, str]:
        """Collateral and stable token."""
        return self.params.collateral, self.params.stable

    def liquidation_ltv(self, asset: str) -> float:
        """One over the minimum ratio; in recovery mode liquidation may begin before."""
        return 1.0 / self.params.minimum_ratio if asset == self.params.collateral else 0.0

    def params_at(self, asset: str, ltv: float) -> LiquityParams:
        """Terms with another minimum ratio; the critical one rises where it must."""
        del asset
        critical = max(self.params.critical_ratio, 1.0 / ltv)
        return replace(self.params, minimum_ratio=1.0 / ltv, critical_ratio=critical)

    def bind(self, world: "World") -> None:
        """Resolve the assets, open the troves and endow custody."""
        params = self.params
        gem, stable = world.asset_index(params.collateral), world.asset_index(params.stable)
        owner, coll, debt = self._book.resolve(self.name, world, gem, stable)
        least = params.min_net_debt + params.gas_deposit
        small = np.flatnonzero((debt > 0.0) & (debt < least * (1.0 - 1e-12)))
        if small.size:
            raise ConfigError(
                f"{self.name}: trove {small[0]} owes {debt[small[0]]:.10g} {params.stable}, less "
                f"than min_net_debt + gas_deposit ({least:g}); raise its debt or lower these"
            )
        n_accounts = len(world.ledger.accounts)
        self.arena, self.state = new_state(
            world.n_worlds, owner, n_accounts, params, np.array([gem, stable], np.int64),
            int(self.account),
        )  # fmt: skip
        self.money = Money(world.ledger.balances, world.ledger.minted, world.ledger.burnt)
        self._fill(coll, debt)
        world.ledger.endow(self.account, gem, coll.sum())
        self._ids: I64 = np.zeros(world.n_worlds * self.n_positions, np.int64)
        self._starts: I64 = np.zeros(world.n_worlds + 1, np.int64)
        self.arena.keep_as_initial()

    def _fill(self, coll: F64, debt: F64) -> None:
        """Open the troves that have debt, and make the first deposits."""
        troves, system, params = self.state.troves, self.state.system, self.params
        active = debt > 0.0
        inside = np.where(active, coll, 0.0)
        troves["status"], troves["coll"], troves["debt"] = active, inside, debt
        troves["stake"], troves["surplus"] = inside, coll - inside
        system["n_active"] = active.sum()
        system["active_coll"], system["active_debt"] = inside.sum(), debt.sum()
        system["total_stakes"], system["surplus"] = inside.sum(), (coll - inside).sum()
        system["gas_pool"] = params.gas_deposit * active.sum()
        deposits = {**self._deposits, self.account: params.pool_deposit}
        for account, amount in deposits.items():
            deposit = self.state.deposits[:, account]
            deposit["initial"], deposit["P"] = amount, 1.0
        system["deposits"] = sum(deposits.values())
        held = params.gas_deposit * float(active.sum()) + sum(deposits.values())
        self.world.ledger.endow(self.account, int(self.state.assets[1]), held)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self.world.step * self.world.block_seconds

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows at the oracle's present prices."""
        execute(
            self.state, self.money, self.world.oracle_price, rows, order, starts, ends, self.now
        )

    # -- views ------------------------------------------------------------------------------------

    def unsafe(self) -> tuple[I64, I64]:
        """Troves that may be liquidated: ids, and starts (W + 1,); valid until the next call."""
        list_liquidatable(self.state, self.world.oracle_price, self._ids, self._starts)
        return self._ids[: self._starts[-1]], self._starts

    def entire(self) -> tuple[F64, F64]:
        """Collateral and debt of all troves with rewards, tokens, shapes (W, N)."""
        shape = self.state.troves.shape
        coll, debt = np.zeros(shape), np.zeros(shape)
        fill_entire(self.state, coll, debt)
        return coll, debt

    def health_factors(self) -> F64:
        """Collateral ratio over the minimum; inf without debt, shape (W, N)."""
        coll, debt = self.entire()
        price = self.world.oracle_price[:, self.state.assets[0], None]
        out = np.full(debt.shape, np.inf)
        bound = debt * self.state.system["minimum_ratio"][:, None]
        return np.asarray(np.divide(coll * price, bound, out=out, where=debt > 0.0))

    def borrowed(self) -> F64:
        """Debt of all troves, stable tokens, shape (world,)."""
        system = self.state.system
        return np.asarray(system["active_debt"] + system["default_debt"])

    def backlog(self) -> tuple[F64, F64]:
        """Debt of troves under the minimum ratio, and what no collateral covers at the market.

        Returns
        -------
        debt, shortfall : array (world,)
            Stable tokens.
        """
        coll, debt = self.entire()
        waits = self.health_factors() < 1.0 - 1e-12
        worth = coll * self.world.market_price[:, self.state.assets[0], None]
        shortfall = np.maximum(debt - worth, 0.0) * waits
        return (debt * waits).sum(axis=1), shortfall.sum(axis=1)

    def loans(self, prices: F64) -> Loans:
        """Troves with rewards, gas deposit and what a closed trove's owner may claim."""
        coll, debt = self.entire()
        troves, system, usd = self.state.troves, self.state.system, prices[:, self.state.assets]
        holds = (coll + troves["surplus"]) * usd[:, :1]
        is_open = troves["status"] == ACTIVE
        holds += is_open * (system["gas_deposit"] * usd[:, 1])[:, None]
        return Loans(np.asarray(holds), np.asarray(debt * usd[:, 1:]))

    def deposit_of(self, account: int) -> tuple[F64, F64]:
        """Tell what an account's deposit is worth and what collateral it has earned, tokens."""
        stable, coll = np.zeros((2, self.world.n_worlds))
        fill_deposits(self.state, account, stable, coll)
        return stable, coll

    def stakes_usd(self, account: int, prices: F64) -> F64:
        """Tell an account's deposit in the stability pool, with the collateral earned."""
        stable, coll = self.deposit_of(account)
        usd = prices[:, self.state.assets]
        return np.asarray(stable * usd[:, 1] + coll * usd[:, 0])

    def income_usd(self, prices: F64) -> F64:
        """Nothing: what a liquidation takes goes to depositors and liquidators, shape (world,)."""
        del prices
        return np.zeros(self.world.n_worlds)

    def bad_debt_usd(self) -> F64:
        """None: Liquity writes nothing off, shape (world,); see `backlog` for what stands."""
        return np.zeros(self.world.n_worlds)

    def claims(self) -> F64:
        """Collateral and stable tokens that troves, depositors, liquidators and stakers own."""
        system = self.state.system
        owed = np.zeros((self.world.n_worlds, len(self.world.assets)))
        owed[:, self.state.assets[0]] = (
            system["active_coll"] + system["default_coll"] + system["surplus"]
            + system["pool_coll"] + system["fee_coll"]
        )  # fmt: skip
        owed[:, self.state.assets[1]] = (
            system["deposits"] + system["gas_pool"] + system["fee_stable"]
        )
        return owed

    def claims_scale(self) -> F64:
        """Allow rounding of 1e-12 of all tokens: sums of closed troves and offsets leave that."""
        return np.maximum(np.abs(self.claims()), self.world.ledger.minted * 1e-3)
