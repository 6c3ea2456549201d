"""Arrays of Maker vaults, auctions and debt queue; the first axis is the world, not of owners."""

import math
from typing import NamedTuple

import numpy as np

from sim.kernel import F64, I32, I64, Rows
from sim.lending.maker.params import CURVES, MakerParams
from sim.lending.state import as_records
from sim.state import Arena

HOUR = 3_600.0  # seconds of a bin of the debt queue
URN = np.dtype(
    [
        ("ink", np.float64),  # collateral tokens locked
        ("art", np.float64),  # normalised debt: debt = art × rate, stable tokens
    ]
)
AUCTION = np.dtype(
    [
        ("live", np.float64),  # 1 while it runs
        ("place", np.float64),  # its place in the list of live ones
        ("generation", np.float64),  # auctions that this slot has held before
        ("urn", np.float64),  # vault whose collateral it is
        ("lot", np.float64),  # collateral tokens for sale
        ("tab", np.float64),  # stable tokens to raise: debt and penalty; in Clip, what is left
        ("due", np.float64),  # stable tokens of debt behind it, without penalty
        ("paid", np.float64),  # stable tokens raised so far
        ("tic", np.float64),  # Clip: start of the price curve; Flip: when the bid wins, 0: no bid
        ("end", np.float64),  # Flip: last moment, seconds
        ("top", np.float64),  # Clip: start price, stable per collateral token
        ("guy", np.float64),  # Flip: ledger account of the highest bidder, -1: none
    ]
)
QUEUED = np.dtype(
    [
        ("debt", np.float64),  # stable tokens of debt seized in this hour
        ("last", np.float64),  # second at which the last of it came
    ]
)
TERMS = (  # MakerParams has a field of each name; units there
    "liquidation_ratio", "stability_fee", "debt_ceiling", "dust", "penalty", "hole", "total_hole",
    "lump", "beg", "ttl", "tau", "cut", "step", "linear_tau", "buf", "tail", "cusp", "tip", "chip",
    "wait", "sump", "bump", "hump",
)  # fmt: skip
SYSTEM = np.dtype(
    [
        *((name, np.float64) for name in TERMS),
        ("curve", np.float64),  # LINEAR, STAIRSTEP or EXPONENTIAL
        ("chost", np.float64),  # dust × (1 + penalty): least target that an auction may keep
        ("rate", np.float64),  # stable tokens of debt per unit of art
        ("total_art", np.float64),  # normalised debt of all vaults
        ("surplus", np.float64),  # stable tokens that the system owns: its custody balance
        ("sin", np.float64),  # stable tokens of debt that no vault owes any more
        ("queued", np.float64),  # `Sin`: the part of `sin` that may not be cancelled yet
        ("oldest_era", np.float64),  # hour since time 0 at which the queue begins
        ("dirt", np.float64),  # stable tokens that live auctions still want
        ("due", np.float64),  # debt behind live auctions: the part of `sin` that may come back
        ("n_live", np.float64),  # live auctions
        ("n_kicks", np.float64),  # auctions so far
        ("bad_debt", np.float64),  # cumulative: what finished auctions raised less than their debt
        ("penalty_income", np.float64),  # cumulative: what they raised above it
        ("fee_income", np.float64),  # cumulative stability fees
        ("incentives", np.float64),  # cumulative tips and chips
    ]
)


class MakerState(NamedTuple):
    """State of a Maker market: W worlds, N vaults, K auction slots, Q bins of the debt queue."""

    urns: Rows  # (W, N) records of URN
    auctions: Rows  # (W, K) records of AUCTION
    slots: F64  # (W, K) the live slots, then the free ones
    queue: Rows  # (W, Q) records of QUEUED: an hour since time 0, modulo Q
    system: Rows  # (W,) records of SYSTEM
    owner: I32  # (N,) ledger account of each vault
    assets: I64  # (2,) indices of collateral and stable asset
    account: int  # custody


class Money(NamedTuple):
    """The ledger's arrays, for kernels that mint and burn."""

    balances: F64  # (W, account, asset)
    minted: F64  # (W, asset)
    burnt: F64  # (W, asset)


def new_state(
    n_worlds: int, owner: I32, params: MakerParams, assets: I64, account: int
) -> tuple[Arena, MakerState]:
    """Allocate the state and fill in the terms; no vault holds anything yet."""
    slots, bins = params.max_auctions, math.ceil(params.wait / HOUR) + 1
    arena = Arena(
        n_worlds,
        {
            "urns": (owner.shape[0], len(URN.names or ())),
            "auctions": (slots, len(AUCTION.names or ())),
            "slots": (slots,),
            "queue": (bins, len(QUEUED.names or ())),
            "system": (len(SYSTEM.names or ()),),
        },
    )
    state = MakerState(
        urns=as_records(arena["urns"], URN),
        auctions=as_records(arena["auctions"], AUCTION),
        slots=arena["slots"],
        queue=as_records(arena["queue"], QUEUED),
        system=as_records(arena["system"], SYSTEM),
        owner=owner,
        assets=assets,
        account=account,
    )
    state.slots[:] = np.arange(slots)
    for name in TERMS:
        state.system[name] = getattr(params, name)
    state.system["curve"] = CURVES[params.curve]
    state.system["chost"] = params.dust * (1.0 + params.penalty)
    state.system["rate"] = 1.0
    return arena, state
