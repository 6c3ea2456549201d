"""Arrays of Liquity; the first axis is the world, but for the owners."""

from typing import NamedTuple

import numpy as np

from sim.kernel import F64, I32, I64, Rows
from sim.lending.liquity.params import LiquityParams
from sim.lending.state import as_records
from sim.state import Arena

N_SCALES = 64  # of the product P: a pool that shrank by 1e-9 so often holds nothing
INACTIVE, ACTIVE, CLOSED_BY_OWNER, LIQUIDATED, REDEEMED = range(5)  # status, as the contract's

TROVE = np.dtype(
    [
        ("status", np.float64),
        ("coll", np.float64),  # collateral tokens, without pending rewards
        ("debt", np.float64),  # stable tokens with the gas deposit, without pending rewards
        ("stake", np.float64),  # share in redistributions
        ("seen_coll", np.float64),  # L_coll when rewards were last applied
        ("seen_debt", np.float64),  # L_debt at that time
        ("surplus", np.float64),  # collateral tokens that the owner may claim, outside the trove
    ]
)
DEPOSIT = np.dtype(
    [
        ("initial", np.float64),  # stable tokens at the last change
        ("P", np.float64),  # product at that time
        ("S", np.float64),  # sum at that time
        ("S_low", np.float64),  # its low part
        ("scale", np.float64),  # scale at that time
    ]
)
TERMS = (  # LiquityParams has a field of each name; units there
    "minimum_ratio", "critical_ratio", "gas_deposit", "gas_share", "min_net_debt",
    "borrowing_fee_floor", "borrowing_fee_cap", "redemption_fee_floor", "beta", "minute_decay",
    "min_in_pool", "redemption_troves",
)  # fmt: skip
SYSTEM = np.dtype(
    [
        *((name, np.float64) for name in TERMS),
        ("n_active", np.float64),  # troves
        ("active_coll", np.float64),  # collateral of active troves, without rewards
        ("active_debt", np.float64),
        ("default_coll", np.float64),  # redistributed and not yet applied
        ("default_debt", np.float64),
        ("surplus", np.float64),  # collateral that owners may claim
        ("gas_pool", np.float64),  # stable tokens set aside for liquidators
        ("total_stakes", np.float64),
        ("stakes_seen", np.float64),  # total stakes after the last liquidation
        ("coll_seen", np.float64),  # all collateral after the last liquidation
        ("L_coll", np.float64),  # redistributed collateral per unit of stake, cumulative
        ("L_debt", np.float64),
        ("P", np.float64),  # product of the factors that offsets left of a deposit
        ("scale", np.float64),  # times that P was multiplied by 1e9
        ("deposits", np.float64),  # stable tokens in the pool
        ("pool_coll", np.float64),  # collateral tokens that depositors may claim
        ("base_rate", np.float64),
        ("fee_time", np.float64),  # seconds: when the base rate last decayed
        ("fee_stable", np.float64),  # stable tokens of borrowing fees, held for stakers
        ("fee_coll", np.float64),  # collateral tokens of redemption fees, held for stakers
    ]
)


class LiquityState(NamedTuple):
    """State of the system: W worlds, N troves, A ledger accounts."""

    troves: Rows  # (W, N) records of TROVE
    deposits: Rows  # (W, A) records of DEPOSIT
    sums: F64  # (W, N_SCALES, 2) collateral gain per unit of deposit, times P: S, high and low part
    system: Rows  # (W,) records of SYSTEM
    owner: I32  # (N,) ledger account of each trove
    assets: I64  # (2,) indices of collateral and stable asset
    account: int  # custody


class Money(NamedTuple):
    """The ledger's arrays, for kernels that mint and burn."""

    balances: F64  # (W, account, asset)
    minted: F64  # (W, asset)
    burnt: F64  # (W, asset)


def new_state(
    n_worlds: int, owner: I32, n_accounts: int, params: LiquityParams, assets: I64, account: int
) -> tuple[Arena, LiquityState]:
    """Allocate the state and fill in the terms; there is no trove yet."""
    arena = Arena(
        n_worlds,
        {
            "troves": (owner.shape[0], len(TROVE.names or ())),
            "deposits": (n_accounts, len(DEPOSIT.names or ())),
            "sums": (N_SCALES, 2),
            "system": (len(SYSTEM.names or ()),),
        },
    )
    state = LiquityState(
        troves=as_records(arena["troves"], TROVE),
        deposits=as_records(arena["deposits"], DEPOSIT),
        sums=arena["sums"],
        system=as_records(arena["system"], SYSTEM),
        owner=owner,
        assets=assets,
        account=account,
    )
    for name in TERMS:
        state.system[name] = getattr(params, name)
    state.system["P"] = 1.0
    return arena, state
