"""Terms of Liquity v1."""

from dataclasses import dataclass

from sim.terms import check_range, require


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquityParams:
    """Terms of the system; defaults are the constants of liquity/dev, which nobody can change.

    (`LiquityBase.sol`, `TroveManager.sol`, `StabilityPool.sol`.)
    """

    collateral: str = "WETH"
    stable: str = "LUSD"  # minted and burnt here; one is worth one US dollar to the system
    minimum_ratio: float = 1.1  # MCR: collateral ratio under which a trove is liquidated
    critical_ratio: float = 1.5  # CCR: of the system, under which recovery mode begins
    gas_deposit: float = 200.0  # stable tokens that a trove sets aside for its liquidator
    gas_share: float = 0.005  # fraction of its collateral that the liquidator gets besides
    min_net_debt: float = 1800.0  # stable tokens, without the gas deposit
    borrowing_fee_floor: float = 0.005  # fraction of what is drawn
    borrowing_fee_cap: float = 0.05
    redemption_fee_floor: float = 0.005  # fraction of the collateral drawn
    beta: float = 2.0  # the base rate rises by the redeemed share of all debt over beta
    minute_decay: float = 0.999037758833783  # of the base rate; halves it in 12 hours
    min_in_pool: float = 1.0  # stable tokens that offsets and withdrawals leave in the pool
    redemption_troves: int = 100  # troves that one redemption may touch: what its gas allows
    pool_deposit: float = 0.0  # stable tokens of the outside depositor in the pool at the start

    def __post_init__(self) -> None:
        """Reject what cannot be simulated."""
        require(
            self.collateral != self.stable,
            f"collateral and stable must differ, got {self.collateral} twice; name two assets",
        )
        check_range("minimum_ratio", self.minimum_ratio, 1.0, 100.0)
        check_range("critical_ratio", self.critical_ratio, self.minimum_ratio, 100.0)
        for name in ("gas_deposit", "min_net_debt", "min_in_pool", "pool_deposit"):
            check_range(name, getattr(self, name), 0.0, 1e15)
        for name in ("gas_share", "borrowing_fee_floor", "redemption_fee_floor"):
            check_range(name, getattr(self, name), 0.0, 0.5)
        check_range("borrowing_fee_cap", self.borrowing_fee_cap, self.borrowing_fee_floor, 1.0)
        check_range("beta", self.beta, 0.0, open_low=True)
        check_range("minute_decay", self.minute_decay, 0.0, 1.0)
        check_range("redemption_troves", self.redemption_troves, 1, 1 << 20)
