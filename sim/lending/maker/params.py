"""Terms of a Maker collateral type, its vaults and its auctions."""

import math
from dataclasses import dataclass

from sim.errors import ConfigError
from sim.terms import check_range, require

FLIP, CLIP = "flip", "clip"
LINEAR, STAIRSTEP, EXPONENTIAL = 0, 1, 2
CURVES = {"linear": LINEAR, "stairstep": STAIRSTEP, "exponential": EXPONENTIAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerParams:
    """Terms of one collateral type.

    Defaults are ETH-A on the morning of 12 March 2020 (Flip; `conf/lending/maker_flip.yaml` gives
    the sources); the fields of the other auction are then idle.
    """

    collateral: str = "WETH"
    stable: str = "DAI"  # minted and burnt here; one is worth one US dollar to the system
    auction: str = FLIP  # flip: English, by bids; clip: Dutch, by a falling price
    liquidation_ratio: float = 1.5  # `mat`: collateral worth per debt under which a vault is unsafe
    stability_fee: float = 0.08  # per year, compounded every second
    debt_ceiling: float = 150e6  # `line`, stable tokens of debt in all
    dust: float = 20.0  # stable tokens; least debt of a vault that has any
    penalty: float = 0.13  # `chop` - 1: fraction of the debt that an auction raises on top of it
    hole: float = math.inf  # stable tokens that the auctions of this type may want at once
    total_hole: float = math.inf  # `Hole`: the same for all types; here there is but one
    surplus: float = 0.0  # stable tokens that the system owns at the start
    max_auctions: int = 2048  # live at once, per world; more are rejected
    wait: float = 561_600.0  # seconds that seized debt waits in the queue; raised that week
    sump: float = 50_000.0  # stable tokens of debt per debt auction
    bump: float = 10_000.0  # stable tokens per surplus auction
    hump: float = 500_000.0  # stable tokens of surplus that no surplus auction touches
    # Flip
    lump: float = 50.0  # collateral tokens per auction, at most
    beg: float = 0.03  # fraction by which a bid must beat the last
    ttl: float = 600.0  # seconds that a bid must stand to win
    tau: float = 259_200.0  # seconds until an auction ends; with a bid, whatever its ttl
    # Clip
    curve: str = "stairstep"  # price curve: linear, stairstep or exponential
    cut: float = 0.99  # factor of the price per step (stairstep) or per second (exponential)
    step: float = 90.0  # seconds between price drops of a stairstep
    linear_tau: float = 21_600.0  # seconds until a linear price is 0
    buf: float = 1.3  # start price over the oracle's
    tail: float = 8_400.0  # seconds until an auction must be restarted
    cusp: float = 0.4  # fraction of the start price under which it must be restarted
    tip: float = 0.0  # stable tokens to who starts or restarts an auction
    chip: float = 0.0  # fraction of the auction's target, on top

    def __post_init__(self) -> None:
        """Reject what no deployment accepts."""
        require(
            self.collateral != self.stable,
            f"collateral and stable must differ, got {self.collateral} twice; name two assets",
        )
        for name, value, known in (
            ("auction", self.auction, (FLIP, CLIP)), ("curve", self.curve, tuple(CURVES)),
        ):  # fmt: skip
            if value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        check_range("liquidation_ratio", self.liquidation_ratio, 1.0, 1e6)
        check_range("stability_fee", self.stability_fee, 0.0, 10.0)
        for name in ("debt_ceiling", "dust", "hole", "total_hole", "surplus", "tip", "hump"):
            check_range(name, getattr(self, name), 0.0)
        check_range("penalty", self.penalty, 0.0, 1.0)
        check_range("beg", self.beg, 0.0, 1.0)
        check_range("chip", self.chip, 0.0, 1.0)
        for name in ("lump", "ttl", "tau", "step", "linear_tau", "tail", "sump", "bump"):
            check_range(name, getattr(self, name), 0.0, open_low=True)
        check_range("cut", self.cut, 0.0, 1.0, open_low=True)
        check_range("buf", self.buf, 1.0, 100.0)
        check_range("cusp", self.cusp, 0.0, 1.0)
        check_range("wait", self.wait, 0.0, 31_536_000.0)
        check_range("max_auctions", self.max_auctions, 1, 1 << 20)
        require(
            math.isfinite(self.surplus), f"surplus must be finite, got {self.surplus}; give tokens"
        )
