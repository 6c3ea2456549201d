"""crvUSD: loans whose collateral lies in the bands of an AMM, with the rules of `Controller.vy`.

Models loans over a range of bands, more and less collateral, more debt, repayment, soft
liquidation (anybody trades with the bands of `sim.lending.llamma`), health, and hard liquidation,
whole or in part, of loans whose health is under zero. The stable token comes out of a treasury
that the debt ceiling filled. Interest moves debts and the bands' grid alike. Leaves out the
monetary policy (the rate is a term), callbacks, approvals, extra health, repayment by others, and
the dust rule of the chain's integers. The oracle's price is in USD; the stable token counts as one.

Invariants: custody of collateral is what lies in the bands and beside them; custody of the stable
token is what lies in the bands and the treasury; a loan is opened or moved only where its health
would be positive; a rejected row changes nothing. Debt is never written off: what collateral does
not cover stands in `debts` while `health` is under zero. (curvefi/curve-stablecoin `Controller.vy`,
vyper 0.3.10.)
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sim.actions import Reject, Verb
from sim.errors import ConfigError
from sim.kernel import F64, I64, Rows, i64, kernel
from sim.lending.crvusd_state import CrvUsdParams, LoanState
from sim.lending.llamma import (
    DEAD_SHARES,
    IN,
    OUT,
    SKIPPED_BANDS,
    BandState,
    band_top,
    deposit,
    exchange,
    limited_oracle,
    new_arrays,
    new_state,
    note_oracle,
    user_holdings,
    user_worth,
    value_bands,
    withdraw,
)
from sim.lending.loans import Loans, LoanVenue
from sim.lending.vaults import VaultBook
from sim.state import Arena

if TYPE_CHECKING:
    from sim.world import World

OK = int(Reject.OK)
UNKNOWN_VERB = int(Reject.UNKNOWN_VERB)
BAD_AMOUNT = int(Reject.BAD_AMOUNT)
BAD_ASSET = int(Reject.BAD_ASSET)
BAD_TARGET = int(Reject.BAD_TARGET)
BAD_PRICE = int(Reject.BAD_PRICE)
INSUFFICIENT_BALANCE = int(Reject.INSUFFICIENT_BALANCE)
INSUFFICIENT_LIQUIDITY = int(Reject.INSUFFICIENT_LIQUIDITY)
LIMIT_NOT_MET = int(Reject.LIMIT_NOT_MET)
UNHEALTHY = int(Reject.UNHEALTHY)
HEALTHY = int(Reject.HEALTHY)
NO_DEBT = int(Reject.NO_DEBT)
NO_COLLATERAL = int(Reject.NO_COLLATERAL)
NOT_OWNER = int(Reject.NOT_OWNER)
SUPPLY, WITHDRAW = int(Verb.SUPPLY), int(Verb.WITHDRAW)
BORROW, REPAY = int(Verb.BORROW), int(Verb.REPAY)
LIQUIDATE, SWAP = int(Verb.LIQUIDATE), int(Verb.SWAP)

YEAR = 365.0 * 86400.0
WEI = 1e-18
BELOW, BANDS = 512, 1536  # bands of the grid under band 0, and in all
NONE = -1


# Kernels


@kernel
def debt_of(bands: BandState, loans: LoanState, w: int, p: int) -> float:
    """Stable tokens that a position owes."""
    return float(loans.loan[w, p] * bands.rate_mul[w])


@kernel
def effective_collateral(bands: BandState, loans: LoanState, collateral: float) -> float:
    """Worth of collateral in a range of bands over the price at its top (`get_y_effective`)."""
    a, n = bands.amplification, loans.n_bands
    dead = DEAD_SHARES * bands.wei
    discount = min(loans.loan_discount + dead / max(collateral / n, dead), 1.0)
    each = collateral * (1.0 - discount) / (math.sqrt(a / (a - 1.0)) * n)
    return each * a * (1.0 - ((a - 1.0) / a) ** n)


@kernel
def first_band(bands: BandState, loans: LoanState, w: int, collateral: float, debt: float) -> int:
    """Top band in which collateral supports a debt (`calculate_debt_n1`); -1: too much debt."""
    a, active = bands.amplification, int(bands.active[w])
    ratio = effective_collateral(bands, loans, collateral) * band_top(bands, w, active) / debt
    if not ratio > 0.0:
        return NONE
    steps = int(np.floor(math.log(ratio) / math.log(a / (a - 1.0))))
    band = min(min(steps, SKIPPED_BANDS - loans.n_bands) + active, bands.x.shape[1] - loans.n_bands)
    if band < 1 or not band_top(bands, w, band) < limited_oracle(bands, w)[0]:
        return NONE
    return band if deposit(bands, w, 0, collateral, band, loans.n_bands, False) else NONE


@kernel
def most_debt(bands: BandState, loans: LoanState, w: int, collateral: float) -> float:
    """Largest debt that collateral supports now (`max_borrowable`, made a little smaller)."""
    band = int(bands.active[w])
    while band > 1 and not bands.x[w, band] > 0.0 and band >= bands.lowest[w]:
        band -= 1
    band += 1
    price = limited_oracle(bands, w)[0]
    while band < bands.x.shape[1] - 1 and not band_top(bands, w, band) < price:
        band += 1
    return effective_collateral(bands, loans, collateral) * band_top(bands, w, band) * (1.0 - 1e-4)


@kernel
def health(bands: BandState, w: int, p: int, debt: float, discount: float) -> float:
    """Health with the price above the range counted; under 0 a loan may be liquidated hard.

    `value_bands` must be up to date.
    """
    value = user_worth(bands, w, p, 0) * (1.0 - discount) / debt - 1.0
    first, price = int(bands.first[w, p]), limited_oracle(bands, w)[0]
    if first > bands.active[w]:
        top = band_top(bands, w, first)
        if price > top:
            value += (price - top) * user_holdings(bands, w, p)[1] / debt
    return value


@kernel
def move(balances: F64, w: int, source: int, target: int, asset: int, amount: float) -> None:
    """Move whole tokens between accounts that are known to hold them, but for rounding."""
    paid = min(amount, balances[w, source, asset])
    balances[w, source, asset] -= paid
    balances[w, target, asset] += paid


@kernel
def relocate(bands: BandState, loans: LoanState, w: int, p: int, change: float, debt: float) -> int:
    """Take a loan's collateral out and put it back, changed, where it supports `debt`.

    Not possible once part of it was sold (`Already in underwater mode`).
    """
    held_x, held_y = user_holdings(bands, w, p)
    if held_x > 0.0:
        return UNHEALTHY
    if not held_y + change > 0.0:
        return NO_COLLATERAL
    band = first_band(bands, loans, w, held_y + change, debt)
    if band == NONE:
        return UNHEALTHY
    _, taken = withdraw(bands, w, p, 1.0)
    deposit(bands, w, p, taken + change, band, loans.n_bands, True)
    loans.loan[w, p] = debt / bands.rate_mul[w]
    return OK


@kernel
def supply(bands: BandState, loans: LoanState, balances: F64, w: int, p: int, row: np.void) -> int:
    """Add collateral, beside the bands where there is no loan; result: supplied."""
    account, gem, amount = i64(row["account"]), loans.assets[0], row["amount"]
    held = balances[w, account, gem]
    if amount == np.inf:
        amount = held
    if not 0.0 < amount <= held:
        return INSUFFICIENT_BALANCE
    if not amount >= row["limit"]:
        return LIMIT_NOT_MET
    debt = debt_of(bands, loans, w, p)
    if debt > 0.0:
        code = relocate(bands, loans, w, p, amount, debt)
        if code != OK:
            return code
    else:
        loans.idle[w, p] += amount
    move(balances, w, account, loans.account, gem, amount)
    row["r0"] = amount
    return OK


@kernel
def take(bands: BandState, loans: LoanState, balances: F64, w: int, p: int, row: np.void) -> int:
    """Remove collateral that the debt does not need; result: withdrawn."""
    amount, debt = row["amount"], debt_of(bands, loans, w, p)
    if debt > 0.0:
        if amount == np.inf:
            return UNHEALTHY
        if not amount >= row["limit"]:
            return LIMIT_NOT_MET
        code = relocate(bands, loans, w, p, -amount, debt)
        if code != OK:
            return code
    else:
        amount = loans.idle[w, p] if amount == np.inf else amount
        if not 0.0 < amount <= loans.idle[w, p]:
            return INSUFFICIENT_BALANCE
        if not amount >= row["limit"]:
            return LIMIT_NOT_MET
        loans.idle[w, p] -= amount
    move(balances, w, loans.account, i64(row["account"]), loans.assets[0], amount)
    row["r0"] = amount
    return OK


@kernel
def borrow(bands: BandState, loans: LoanState, balances: F64, w: int, p: int, row: np.void) -> int:
    """Open a loan on the collateral beside the bands, or borrow more; result: borrowed."""
    amount, debt, idle = row["amount"], debt_of(bands, loans, w, p), loans.idle[w, p]
    if not debt > 0.0 and not idle > 0.0:
        return NO_COLLATERAL
    if amount == np.inf:
        behind = user_holdings(bands, w, p)[1] if debt > 0.0 else idle
        amount = min(most_debt(bands, loans, w, behind) - debt, loans.treasury[w])
    if not amount > 0.0:
        return UNHEALTHY
    if not amount <= loans.treasury[w]:
        return INSUFFICIENT_LIQUIDITY
    if not amount >= row["limit"]:
        return LIMIT_NOT_MET
    if debt > 0.0:
        code = relocate(bands, loans, w, p, 0.0, debt + amount)
        if code != OK:
            return code
    else:
        band = first_band(bands, loans, w, idle, amount)
        if band == NONE:
            return UNHEALTHY
        deposit(bands, w, p, idle, band, loans.n_bands, True)
        loans.idle[w, p] = 0.0
        loans.loan[w, p] = amount / bands.rate_mul[w]
    loans.treasury[w] -= amount
    move(balances, w, loans.account, i64(row["account"]), loans.assets[1], amount)
    row["r0"] = amount
    return OK


@kernel
def repay(bands: BandState, loans: LoanState, balances: F64, w: int, p: int, row: np.void) -> int:
    """Pay debt back; all of it frees what is in the bands; results: repaid, stable tokens freed.

    A partial repayment moves the range down where nothing of it was sold yet, else the debt alone
    falls. Freed collateral lies beside the bands.
    """
    account, stable, debt = i64(row["account"]), loans.assets[1], debt_of(bands, loans, w, p)
    if not debt > 0.0:
        return NO_DEBT
    amount, held = min(row["amount"], debt), balances[w, account, stable]
    if row["amount"] == np.inf:
        amount = min(debt, held)
    if not 0.0 < amount <= held:
        return INSUFFICIENT_BALANCE
    if not amount >= row["limit"]:
        return LIMIT_NOT_MET
    freed = 0.0
    if amount >= debt:
        freed, returned = withdraw(bands, w, p, 1.0)
        loans.loan[w, p] = 0.0
        loans.idle[w, p] += returned
    elif user_holdings(bands, w, p)[0] > 0.0 or bands.first[w, p] <= bands.active[w]:
        loans.loan[w, p] = (debt - amount) / bands.rate_mul[w]
    else:
        code = relocate(bands, loans, w, p, 0.0, debt - amount)
        if code != OK:
            return code
    loans.treasury[w] += amount
    move(balances, w, account, loans.account, stable, amount)
    move(balances, w, loans.account, account, stable, freed)
    row["r0"], row["r1"] = amount, freed
    return OK


@kernel
def liquidate(
    bands: BandState, loans: LoanState, balances: F64, w: int, p: int, row: np.void
) -> int:
    """Repay an unhealthy loan, whole or in part, for what it has in the bands.

    The stable tokens in the bands pay first, then the liquidator. For a part the liquidator gets
    between that part and a little less (`_get_f_remove`). Owners may do it to themselves at any
    health. Results: repaid, paid by the liquidator, collateral, stable tokens left over.
    """
    account, debt = i64(row["account"]), debt_of(bands, loans, w, p)
    if not debt > 0.0:
        return NO_DEBT
    discount = 0.0 if loans.owner[p] == account else loans.liquidation_discount
    value_bands(bands, w)
    if discount > 0.0 and not health(bands, w, p, debt, discount) < 0.0:
        return HEALTHY
    part = min(row["amount"] / debt, 1.0)
    keep = ((1.0 + 0.5 * discount) / (1.0 + discount) * (1.0 - part) + part) * part
    held_x, held_y = user_holdings(bands, w, p)
    repaid = debt * part
    gem, stable = loans.assets[0], loans.assets[1]
    if not max(repaid - keep * held_x, 0.0) <= balances[w, account, stable] * (1.0 - 1e-12):
        return INSUFFICIENT_BALANCE
    if not keep * held_y >= row["limit"]:
        return LIMIT_NOT_MET
    taken_x, taken_y = withdraw(bands, w, p, 1.0 if part >= 1.0 else keep)
    paid, left = max(repaid - taken_x, 0.0), max(taken_x - repaid, 0.0)
    loans.loan[w, p] = 0.0 if part >= 1.0 else (debt - repaid) / bands.rate_mul[w]
    loans.treasury[w] += repaid
    move(balances, w, account, loans.account, stable, paid)
    move(balances, w, loans.account, account, stable, left)
    move(balances, w, loans.account, account, gem, taken_y)
    row["r0"], row["r1"], row["r2"], row["r3"] = repaid, paid, taken_y, left
    return OK


@kernel
def swap(bands: BandState, loans: LoanState, balances: F64, w: int, row: np.void) -> int:
    """Trade with the bands, as far as they reach; results: amount in, amount out."""
    pump = row["asset"] == loans.assets[1]
    given, wanted = (
        (loans.assets[1], loans.assets[0]) if pump else (loans.assets[0], loans.assets[1])
    )
    if row["asset"] != given or row["asset_2"] != wanted:
        return BAD_ASSET
    account, amount = i64(row["account"]), row["amount"]
    held = balances[w, account, given]
    if amount == np.inf:
        amount = held
    if not 0.0 < amount <= held:
        return INSUFFICIENT_BALANCE
    exchange(bands, w, pump, amount, False, False)
    paid, out = min(bands.found[IN], amount), bands.found[OUT]
    if not (paid > 0.0 and out > 0.0):
        return INSUFFICIENT_LIQUIDITY
    if not out >= row["limit"]:
        return LIMIT_NOT_MET
    exchange(bands, w, pump, amount, False, True)
    note_oracle(bands, w)
    move(balances, w, account, loans.account, given, paid)
    move(balances, w, loans.account, account, wanted, out)
    row["r0"], row["r1"] = paid, out
    return OK


@kernel
def on_loan(bands: BandState, loans: LoanState, balances: F64, w: int, row: np.void) -> int:
    """Execute a verb on a position."""
    verb, p = i64(row["verb"]), i64(row["target"])
    if not 0 <= p < loans.owner.shape[0]:
        return BAD_TARGET
    if not row["amount"] > 0.0:
        return BAD_AMOUNT
    if verb == LIQUIDATE:
        return liquidate(bands, loans, balances, w, p, row)
    if row["asset"] != loans.assets[0 if verb in (SUPPLY, WITHDRAW) else 1]:
        return BAD_ASSET
    if loans.owner[p] != row["account"]:
        return NOT_OWNER
    if verb == SUPPLY:
        return supply(bands, loans, balances, w, p, row)
    if verb == WITHDRAW:
        return take(bands, loans, balances, w, p, row)
    if verb == BORROW:
        return borrow(bands, loans, balances, w, p, row)
    return repay(bands, loans, balances, w, p, row)


@kernel
def execute(
    bands: BandState, loans: LoanState, balances: F64, rows: Rows, order: I64, starts: I64,
    ends: I64,
) -> None:  # fmt: skip
    """Execute each world's rows in order; `oracle` and `clock` must be those of the block."""
    for w in range(starts.shape[0]):
        for j in range(starts[w], ends[w]):
            row = rows[order[j]]
            verb = i64(row["verb"])
            if not bands.oracle[w] > 0.0:
                code = BAD_PRICE
            elif SUPPLY <= verb <= LIQUIDATE:
                code = on_loan(bands, loans, balances, w, row)
            elif verb == SWAP and row["amount"] > 0.0:
                code = swap(bands, loans, balances, w, row)
            else:
                code = BAD_AMOUNT if verb == SWAP else UNKNOWN_VERB
            row["code"] = code


@kernel
def fill_health(bands: BandState, loans: LoanState, discount: float) -> None:
    """Write the health of every loan, inf where there is none, into the scratch `health`."""
    for w in range(loans.health.shape[0]):
        value_bands(bands, w)
        for p in range(loans.health.shape[1]):
            debt = debt_of(bands, loans, w, p)
            value = health(bands, w, p, debt, discount) if debt > 0.0 else np.inf
            loans.health[w, p] = value


@kernel
def fill_loans(bands: BandState, loans: LoanState, market: F64, holds: F64, owes: F64) -> None:
    """Write what positions have in their bands and beside them, and owe, USD (world, position)."""
    for w in range(holds.shape[0]):
        gem, stable = market[w, loans.assets[0]], market[w, loans.assets[1]]
        for p in range(holds.shape[1]):
            x, y = user_holdings(bands, w, p)
            holds[w, p] = x * stable + (y + loans.idle[w, p]) * gem
            owes[w, p] = debt_of(bands, loans, w, p) * stable


@kernel
def open_loans(bands: BandState, loans: LoanState, collateral: F64, debt: F64) -> int:
    """Open the initial loans in every world; return the first that is not supported, or -1."""
    for w in range(loans.loan.shape[0]):
        for p in range(collateral.shape[0]):
            if not debt[p] > 0.0:
                loans.idle[w, p] = collateral[p]
                continue
            band = first_band(bands, loans, w, collateral[p], debt[p])
            if band == NONE:
                return p
            deposit(bands, w, p, collateral[p], band, loans.n_bands, True)
            loans.loan[w, p] = debt[p] / bands.rate_mul[w]
            loans.treasury[w] -= debt[p]
    return NONE


# Facade


class CrvUsdMarket(LoanVenue):
    """Loans of one collateral and the AMM that holds it.

    Verbs on one's position (`target` its index): SUPPLY and WITHDRAW (asset the collateral), BORROW
    and REPAY (asset the stable token). Collateral of a position without debt waits beside the
    bands; BORROW opens the loan on all of it, and what full repayment frees waits there again.
    LIQUIDATE (amount of debt, inf all; limit the least collateral) is anyone's once health is under
    zero. SWAP trades with the bands: asset in, asset_2 out, limit the least amount out.

    Parameters
    ----------
    **terms
        Fields of `CrvUsdParams`.
    """

    params: CrvUsdParams
    RESULTS: ClassVar[dict[int, tuple[str, ...]]] = {
        SUPPLY: ("supplied",),
        WITHDRAW: ("withdrawn",),
        BORROW: ("borrowed",),
        REPAY: ("repaid", "freed"),
        LIQUIDATE: ("debt_repaid", "paid", "collateral_seized", "left_over"),
        SWAP: ("amount_in", "amount_out"),
    }

    def __init__(self, **terms: Any) -> None:
        self.params = CrvUsdParams(**terms)
        self._book = VaultBook()

    @property
    def n_positions(self) -> int:
        """Number of positions, with a loan or not, the same in all worlds."""
        return self._book.n

    def add_positions(self, account: int | str, collateral: F64, debt: F64) -> range:
        """Add positions of one owner to the initial book; see `VaultBook.add`."""
        return self._book.add(account, collateral, debt)

    def pair(self) -> tuple[str, str]:
        """Collateral and stable token."""
        return self.params.collateral, self.params.stable

    def liquidation_ltv(self, asset: str) -> float:
        """Loan-to-value at which the price enters the loan's bands: soft liquidation begins.

        At the top of the range, where a new loan may lie up to one band higher.
        """
        return self.params.soft_ltv if asset == self.params.collateral else 0.0

    def params_at(self, asset: str, ltv: float) -> CrvUsdParams:
        """Terms with the discount at which bands begin at `ltv`.

        The liquidation discount stays, but no nearer to it than it is.
        """
        del asset
        params = self.params
        loan = 1.0 - ltv * (1.0 - params.loan_discount) / params.soft_ltv
        gap = params.loan_discount - params.liquidation_discount
        hard = min(params.liquidation_discount, loan - gap)
        return replace(params, loan_discount=loan, liquidation_discount=hard)

    def bind(self, world: "World") -> None:
        """Resolve the assets, open the initial loans and endow custody."""
        params, n = self.params, self._book.n
        pair = [world.asset_index(name) for name in (params.collateral, params.stable)]
        owner, collateral, debt = self._book.resolve(self.name, world, pair[0], pair[1])
        shapes = new_arrays(BANDS, n, params.n_bands)
        self.arena = Arena(world.n_worlds, shapes | {"loan": (n,), "idle": (n,), "treasury": ()})
        views = self.arena.views
        self.bands = new_state(
            {name: views[name] for name in shapes},
            amplification=params.amplification,
            zero=BELOW,
            wei=WEI,
        )
        self.state = LoanState(
            loan=views["loan"],
            idle=views["idle"],
            treasury=views["treasury"],
            health=np.zeros((world.n_worlds, n)),
            owner=owner,
            assets=np.array(pair, np.int64),
            loan_discount=float(params.loan_discount),
            liquidation_discount=float(params.liquidation_discount),
            n_bands=int(params.n_bands),
            account=int(self.account),
        )
        price = world.fundamental[:, pair[0]]
        if not np.all(price > 0.0):
            raise ConfigError(f"{self.name}: the price of {params.collateral} must be positive")
        bands = self.bands
        for place in (bands.base, bands.oracle, bands.old_oracle):
            place[:] = price
        bands.fee[:], self.state.treasury[:] = params.fee, params.debt_ceiling
        refused = open_loans(bands, self.state, collateral, debt)
        if refused != NONE:
            raise ConfigError(
                f"{self.name}: position {refused} owes {debt[refused]:.10g} {params.stable}, more "
                f"than {collateral[refused]:.10g} {params.collateral} support; lower its debt"
            )
        if not (self.state.treasury >= 0.0).all():
            raise ConfigError(f"{self.name}: debts exceed debt_ceiling; raise it")
        world.ledger.endow(self.account, pair[0], collateral.sum())
        world.ledger.endow(self.account, pair[1], self.state.treasury)
        self.arena.keep_as_initial()

    def look(self) -> None:
        """Take the oracle's price and the time, which the AMM keeps no copy of."""
        self.bands.oracle[:] = self.world.oracle_price[:, self.state.assets[0]]
        self.bands.clock[:] = self.world.step * self.world.block_seconds

    def execute(self, rows: Rows, order: I64, starts: I64, ends: I64) -> None:
        """Execute rows at the oracle's present prices."""
        self.look()
        balances = self.world.ledger.balances
        execute(self.bands, self.state, balances, rows, order, starts, ends)

    def accrue(self) -> None:
        """Charge a block's interest, which lifts the grid of bands as well."""
        self.bands.rate_mul[:] *= 1.0 + self.params.rate * self.world.block_seconds / YEAR

    # -- views ------------------------------------------------------------------------------------

    def health(self) -> F64:
        """Health of all loans, inf without one, shape (world, position); valid until next call."""
        self.look()
        fill_health(self.bands, self.state, self.params.liquidation_discount)
        return self.state.health

    def loans(self, prices: F64) -> Loans:
        """Bands and idle collateral of all positions, sold or not, and their debts."""
        holds, owes = np.zeros((2, *self.state.loan.shape))
        fill_loans(self.bands, self.state, prices, holds, owes)
        return Loans(holds, owes)

    def backlog(self) -> tuple[F64, F64]:
        """Debt with health under zero, and what its bands do not cover, USD (world,)."""
        waits = self.health() < 0.0
        holds, owes = self.loans(self.world.market_price)
        shortfall = np.maximum(owes - holds, 0.0) * waits
        return (owes * waits).sum(axis=1), shortfall.sum(axis=1)

    def bad_debt_usd(self) -> F64:
        """None: debt is never written off, shape (world,)."""
        return np.zeros(self.world.n_worlds)

    def income_usd(self, prices: F64) -> F64:
        """None: what the bands charge belongs to those in them, shape (world,)."""
        del prices
        return np.zeros(self.world.n_worlds)

    def debts(self) -> F64:
        """Stable tokens that positions owe, shape (world, position)."""
        return np.asarray(self.state.loan * self.bands.rate_mul[:, None])

    def claims(self) -> F64:
        """Collateral and stable tokens in the bands and beside them, and the treasury."""
        owed = np.zeros((self.world.n_worlds, len(self.world.assets)))
        owed[:, self.state.assets[0]] = self.bands.y.sum(axis=1) + self.state.idle.sum(axis=1)
        owed[:, self.state.assets[1]] = self.bands.x.sum(axis=1) + self.state.treasury
        return owed

    def claims_scale(self) -> F64:
        """Allow rounding of 1e-12 of all tokens, which emptied bands and closed loans leave."""
        return np.maximum(np.abs(self.claims()), self.world.ledger.minted * 1e-3)
