"""What a liquidator decides: which calls pay, how large, at which bid.

Kernels behind `agents.strategic.liquidator`. Lists come largest debt first, so a pass ends at the
first debt too small to pay for its gas.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from agents.strategic.trader import gas_bid
from agents.view import HOPELESS, OVERBID, WRONG_ORACLE, PoolBoard
from sim.actions import Verb
from sim.amm.constant_product import amount_in, amount_out, profit_maximising_input
from sim.kernel import F64, I64, U64, Rows, inlined, kernel
from sim.lending.opportunities import Opportunities
from sim.lending.state import PooledState, bonus_of
from sim.quotes import Quotes, proceeds_of, sale_down_to
from sim.streams import uniform

LIQUIDATE, SWAP = int(Verb.LIQUIDATE), int(Verb.SWAP)
FLASH_BORROW, FLASH_REPAY = int(Verb.FLASH_BORROW), int(Verb.FLASH_REPAY)
FLASH_ROWS = 4  # borrow, liquidate, swap, repay
SWAP_ROWS = 3  # borrow, liquidate, pay
SAFE = 1.0 - 1e-9  # of an amount that must not exceed what a rule allows
UNKNOWN = -1.0  # an amount not computed yet


class Terms(NamedTuple):
    """Scalars of the decision."""

    account: int
    custody: int  # ledger account of the lending market
    venue: int  # lending market
    gas: float
    gas_cap: float
    bid_share: float
    min_profit_usd: float
    latency: float
    max_positions: int
    attention: float
    largest_bonus: float
    gas_asset: int
    step: int


class Sight(NamedTuple):
    """What the liquidator sees: prices (world, asset) in USD, fees (world,) in gwei."""

    balances: F64  # (world, account, asset)
    oracle: F64
    market: F64
    base_fee: F64
    clearing: F64
    world_ids: I64
    key: U64  # of the stream that decides who is looked at


class Offer(NamedTuple):
    """What one liquidatable position offers, whole tokens."""

    most: float  # largest debt that one call may repay
    partial: float  # largest debt that leaves the required minimum on both sides
    per_debt: float  # collateral received per token of debt repaid


@inlined
def read_offer(lending: PooledState, oracle: F64, table: Opportunities, w: int, k: int) -> Offer:
    """Terms at which the k-th listed position may be liquidated in world w."""
    p, c, d = table.position[k], table.collateral_asset[k], table.debt_asset[k]
    reserve = lending.reserves[w, c]
    bonus = bonus_of(lending, w, p, c)
    if bonus < 0.0:  # it depends on the position, and any part of the call has the same
        per_debt = table.collateral_received[k] / table.debt_to_cover[k]
        return Offer(table.debt_to_cover[k], table.debt_to_cover[k], per_debt)
    gross = 1.0 + bonus * (1.0 - reserve["protocol_fee"])
    seized_per_debt = oracle[w, d] * (1.0 + bonus) / oracle[w, c]
    most = table.debt_to_cover[k]
    least = lending.market[w]["min_leftover"] * (1.0 + 1e-6)
    by_debt = lending.debt[w, p, d] * lending.reserves[w, d]["borrow_index"] - least / oracle[w, d]
    by_collateral = (table.collateral_available[k] - least / oracle[w, c]) / seized_per_debt
    partial = max(min(most, min(by_debt, by_collateral)), 0.0)
    return Offer(most, partial, oracle[w, d] * gross / oracle[w, c])


@inlined
def choose_amount(offer: Offer, best_collateral: float, capital: float) -> float:
    """Debt to repay: about `best_collateral` received, within capital and the leftover rule."""
    wanted = min(best_collateral / offer.per_debt, capital)
    return offer.most if wanted >= offer.most else min(wanted, offer.partial)


@inlined
def largest_return(sight: Sight, bonus: float, w: int) -> float:
    """Profit per dollar of debt, as the oracle counts it, that no call can exceed.

    That is about the bonus while the oracle is about right. Where it is off by many times the
    bonus, a dollar of debt may seize collateral worth hundreds.
    """
    dearest, cheapest = 0.0, np.inf
    for a in range(sight.market.shape[1]):
        if sight.oracle[w, a] > 0.0:
            worth = sight.market[w, a] / sight.oracle[w, a]
            dearest, cheapest = max(dearest, worth), min(cheapest, worth)
    found = (1.0 + bonus) * dearest - cheapest
    return found if found > WRONG_ORACLE * bonus else bonus


@inlined
def least_debt_usd(sight: Sight, terms: Terms, w: int) -> float:
    """USD of debt under which no call can pay.

    Infinite where the gas cap is far below what the last block cleared at: it will not get in.
    """
    clearing, base_fee = sight.clearing[w], sight.base_fee[w]
    if terms.gas_cap < HOPELESS * clearing or terms.gas_cap < base_fee:
        return np.inf
    price = min(OVERBID * max(clearing, base_fee), terms.gas_cap)
    gas_usd = terms.gas * price * 1e-9 * sight.market[w, terms.gas_asset]
    return float((terms.min_profit_usd + gas_usd) / largest_return(sight, terms.largest_bonus, w))


@inlined
def looked_at(
    sight: Sight, terms: Terms, table: Opportunities, least: float, w: int, k: int
) -> bool:
    """Whether the liquidator looks at the k-th listed position in this block."""
    if table.debt_to_cover[k] <= 0.0 or table.debt_to_cover_usd[k] < least:
        return False
    if terms.attention >= 1.0:
        return True
    draw = uniform(sight.key, sight.world_ids[w], terms.step, int(table.position[k]))
    return draw < terms.attention


@inlined
def bid_for(sight: Sight, terms: Terms, w: int, surplus: float, gas: float) -> float:
    """Bid per unit for `gas` units that bring `surplus` USD before gas; -1: they do not pay."""
    if surplus <= terms.min_profit_usd:
        return -1.0
    gas_usd = sight.market[w, terms.gas_asset]
    bid = gas_bid(
        surplus, terms.bid_share, sight.clearing[w], sight.base_fee[w], terms.gas_cap, gas, gas_usd
    )
    fee = gas * bid * 1e-9 * gas_usd
    if surplus - fee < terms.min_profit_usd or bid < sight.base_fee[w]:
        return -1.0
    return bid


@inlined
def profitable_bid(sight: Sight, terms: Terms, w: int, surplus: float) -> float:
    """Bid per unit of gas for a call that brings `surplus` USD before gas; -1: it does not pay."""
    return bid_for(sight, terms, w, surplus, terms.gas)


@inlined
def write(
    row: Any, terms: Terms, w: int, venue: int, verb: int, bid: float, base_fee: float
) -> None:
    """Write the fields that all rows of a liquidator share."""
    row["world"] = w
    row["venue"] = venue
    row["verb"] = verb
    row["account"] = terms.account
    row["tip"] = bid - base_fee
    row["fee_cap"] = bid
    row["gas"] = terms.gas
    row["arrival"] = terms.latency
    row["expires"] = terms.step
    row["step"] = terms.step


class Plans(NamedTuple):
    """Work space of one world: what the calls already written will use."""

    planned: F64  # (asset,) collateral meant for sale, whole tokens
    budget: F64  # (asset,) capital not spent, whole tokens
    wanted: F64  # (asset, asset) collateral worth selling by debt asset; UNKNOWN: not computed


@kernel
def open_plans(plans: Plans, sight: Sight, terms: Terms, w: int) -> None:
    """Start a world with all capital, less a tenth of the gas asset."""
    for a in range(plans.planned.shape[0]):
        plans.planned[a] = 0.0
        plans.budget[a] = sight.balances[w, terms.account, a]
        for b in range(plans.planned.shape[0]):
            plans.wanted[a, b] = UNKNOWN
    plans.budget[terms.gas_asset] *= 0.9


@inlined
def worth_selling(
    plans: Plans, quotes: Quotes, reference: F64, market: F64, offer: Offer, w: int, c: int, d: int,
) -> float:  # fmt: skip
    """Collateral c that is worth more outside than debt d costs, and is not planned for yet."""
    if plans.wanted[c, d] == UNKNOWN:
        unit_cost = market[w, d] / offer.per_debt
        plans.wanted[c, d] = 0.0
        if c == d:
            plans.wanted[c, d] = np.inf
        elif market[w, c] > unit_cost:
            plans.wanted[c, d] = sale_down_to(quotes, reference, w, c, unit_cost)
    return float(plans.wanted[c, d] - plans.planned[c])


@kernel
def decide_inventory(
    lending: PooledState, quotes: Quotes, reference: F64, table: Opportunities,
    sight: Sight, plans: Plans, terms: Terms, rows: Rows,
) -> int:  # fmt: skip
    """Write the liquidations that own capital can pay for; return the number of rows.

    `reference` is read only through the market's quotes.
    """
    n = 0
    market = sight.market
    for w in range(market.shape[0]):
        if table.starts[w] == table.starts[w + 1]:
            continue
        least = least_debt_usd(sight, terms, w)
        open_plans(plans, sight, terms, w)
        sent = 0
        for k in range(table.starts[w], table.starts[w + 1]):
            if sent == terms.max_positions or table.debt_usd[k] < least:
                break
            if not looked_at(sight, terms, table, least, w, k):
                continue
            c, d = table.collateral_asset[k], table.debt_asset[k]
            offer = read_offer(lending, sight.oracle, table, w, k)
            room = worth_selling(plans, quotes, reference, market, offer, w, c, d)
            if room <= 0.0 or plans.budget[d] <= 0.0:
                continue
            amount = choose_amount(offer, room, plans.budget[d])
            if amount <= 0.0:
                continue
            received = amount * offer.per_debt
            proceeds = proceeds_of(quotes, reference, w, c, plans.planned[c] + received)
            if plans.planned[c] > 0.0:
                proceeds -= proceeds_of(quotes, reference, w, c, plans.planned[c])
            bid = profitable_bid(sight, terms, w, proceeds - amount * market[w, d])
            if bid < 0.0:
                continue
            plans.planned[c] += received
            plans.budget[d] -= amount
            sent += 1
            row = rows[n]
            n += 1
            write(row, terms, w, terms.venue, LIQUIDATE, bid, sight.base_fee[w])
            row["target"] = table.position[k]
            row["asset"] = c
            row["asset_2"] = d
            row["amount"] = amount
    return n


@inlined
def best_pool(pools: PoolBoard, w: int, asset_in: int, asset_out: int) -> int:
    """Deepest pool of a pair as 2 × pool + side of the asset in; -1 without one."""
    best, most = -1, 0.0
    for k in range(pools.assets.shape[0]):
        for side in range(2):
            if pools.assets[k, side] == asset_in and pools.assets[k, 1 - side] == asset_out:
                depth = pools.reserves[w, k, side]
                if depth > most:
                    best, most = 2 * k + side, depth
    return best


@kernel
def write_bundle(
    rows: Rows, n: int, terms: Terms, w: int, pool_venue: int, bid: float, base_fee: float,
    bundle: int, position: int, c: int, d: int, amount: float, received: float, owed: float,
) -> None:  # fmt: skip
    """Write the four rows of a flash liquidation: borrow, liquidate, swap, repay."""
    for j in range(FLASH_ROWS):
        row = rows[n + j]
        verb = FLASH_BORROW
        if j == 1:
            verb = LIQUIDATE
        elif j == 2:
            verb = SWAP
        elif j == 3:
            verb = FLASH_REPAY
        write(row, terms, w, pool_venue if j == 2 else terms.venue, verb, bid, base_fee)
        row["gas"] = terms.gas / FLASH_ROWS
        row["bundle"] = bundle
        row["asset"] = c if j == 1 or j == 2 else d
        row["asset_2"] = d if j == 1 or j == 2 else -1
        row["amount"] = received if j == 2 else amount
    rows[n + 1]["target"] = position
    rows[n + 2]["limit"] = owed


@kernel
def decide_flash(
    lending: PooledState, pools: PoolBoard, reserves: F64, table: Opportunities, sight: Sight,
    terms: Terms, rows: Rows,
) -> int:  # fmt: skip
    """Write atomic flash liquidations, four rows each; return the number of rows.

    `reserves` (pool, 2) is work space: the pools as they stand after the bundles already written.
    """
    n = 0
    for w in range(sight.market.shape[0]):
        if table.starts[w] == table.starts[w + 1]:
            continue
        least = least_debt_usd(sight, terms, w)
        for k in range(reserves.shape[0]):
            reserves[k, 0], reserves[k, 1] = pools.reserves[w, k, 0], pools.reserves[w, k, 1]
        premium = 1.0 + lending.market[w]["flash_premium"]
        sent = 0
        for k in range(table.starts[w], table.starts[w + 1]):
            if sent == terms.max_positions or table.debt_usd[k] < least:
                break
            c, d = table.collateral_asset[k], table.debt_asset[k]
            if c == d or not looked_at(sight, terms, table, least, w, k):
                continue
            place = best_pool(pools, w, c, d)
            if place < 0:
                continue
            pool, side = place // 2, place % 2
            offer = read_offer(lending, sight.oracle, table, w, k)
            held, paying, fee = reserves[pool, side], reserves[pool, 1 - side], pools.fees[pool]
            best = profit_maximising_input(held, paying, fee, premium / offer.per_debt)
            cash = sight.balances[w, terms.custody, d] * SAFE
            amount = choose_amount(offer, best, cash)
            if amount <= 0.0:
                continue
            received = amount * offer.per_debt * SAFE
            out = amount_out(received, held, paying, fee)
            bid = profitable_bid(sight, terms, w, (out - amount * premium) * sight.market[w, d])
            if bid < 0.0:
                continue
            reserves[pool, side] += received
            reserves[pool, 1 - side] -= out
            sent += 1
            write_bundle(
                rows, n, terms, w, pools.venues[pool], bid, sight.base_fee[w],
                terms.account * 4096 + sent, table.position[k], c, d, amount, received,
                amount * premium,
            )  # fmt: skip
            n += FLASH_ROWS
    return n


@inlined
def best_flash_output(reserve_in: float, reserve_out: float, fee: float, value: float) -> float:
    """Amount out of a flash swap that maximises `value` times it less what is paid in for it.

    From the first-order condition R_in R_out / (R_out - a)^2 = g value, with g = 1 - fee.
    """
    best = reserve_out - math.sqrt(reserve_in * reserve_out / ((1.0 - fee) * value))
    return max(best, 0.0)


@kernel
def write_flash_swap(
    rows: Rows, n: int, terms: Terms, w: int, pool_venue: int, bid: float, base_fee: float,
    bundle: int, position: int, c: int, d: int, amount: float, received: float,
) -> None:  # fmt: skip
    """Write the three rows of a liquidation by flash swap: borrow, liquidate, pay in collateral."""
    for j in range(SWAP_ROWS):
        row = rows[n + j]
        verb = FLASH_BORROW
        if j == 1:
            verb = LIQUIDATE
        elif j == 2:
            verb = FLASH_REPAY
        write(row, terms, w, terms.venue if j == 1 else pool_venue, verb, bid, base_fee)
        row["gas"] = terms.gas / SWAP_ROWS
        row["bundle"] = bundle
        row["asset"] = d if j == 0 else c
        row["amount"] = received if j == 2 else amount
    rows[n + 1]["target"] = position
    rows[n + 1]["asset_2"] = d


@kernel
def decide_flash_swap(
    lending: PooledState, pools: PoolBoard, reserves: F64, table: Opportunities, sight: Sight,
    terms: Terms, rows: Rows,
) -> int:  # fmt: skip
    """Write liquidations that a pool pays for in advance, three rows each; return their number.

    The pool hands the debt asset out and takes collateral for it, as in any swap; what collateral
    is left is the liquidator's. `reserves` is work space, as in `decide_flash`.
    """
    n = 0
    for w in range(sight.market.shape[0]):
        if table.starts[w] == table.starts[w + 1]:
            continue
        least = least_debt_usd(sight, terms, w)
        for k in range(reserves.shape[0]):
            reserves[k, 0], reserves[k, 1] = pools.reserves[w, k, 0], pools.reserves[w, k, 1]
        sent = 0
        for k in range(table.starts[w], table.starts[w + 1]):
            if sent == terms.max_positions or table.debt_usd[k] < least:
                break
            c, d = table.collateral_asset[k], table.debt_asset[k]
            if c == d or not looked_at(sight, terms, table, least, w, k):
                continue
            place = best_pool(pools, w, c, d)
            if place < 0:
                continue
            pool, side = place // 2, place % 2
            offer = read_offer(lending, sight.oracle, table, w, k)
            held, paying, fee = reserves[pool, side], reserves[pool, 1 - side], pools.fees[pool]
            best = best_flash_output(held, paying, fee, offer.per_debt)
            amount = choose_amount(offer, best * offer.per_debt, paying * SAFE)
            if amount <= 0.0:
                continue
            received, paid = amount * offer.per_debt * SAFE, amount_in(amount, held, paying, fee)
            bid = profitable_bid(sight, terms, w, (received - paid) * sight.market[w, c])
            if bid < 0.0:
                continue
            reserves[pool, side] += paid
            reserves[pool, 1 - side] -= amount
            sent += 1
            write_flash_swap(
                rows, n, terms, w, pools.venues[pool], bid, sight.base_fee[w],
                terms.account * 4096 + sent, table.position[k], c, d, amount, received,
            )  # fmt: skip
            n += SWAP_ROWS
    return n
