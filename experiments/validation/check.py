"""One compared quantity, and how integers become numbers without losing digits.

What a contract computes is an integer, up to 256 bits, written as decimal digits. It is read by
Python's own integers and compared as a fraction with the float64 that a kernel returns: the only
rounding is the kernel's.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from sim.errors import InputError

Kind = Literal["relative", "amount", "loose", "exact"]
Number = int | float | Fraction

RELATIVE = {"relative": 1e-9, "amount": 1e-9, "loose": 1e-8}
UNITS = {"relative": 1.0, "amount": 3.0, "loose": 3.0}
"""Smallest units that the chain's integer may differ by: one where it was truncated once, three
where an amount went through several roundings."""


def integer(digits: str | int) -> int:
    """Read an integer from decimal digits, of any length; also one that JSON already read."""
    if isinstance(digits, bool) or not isinstance(digits, str | int):
        raise InputError(f"an integer must be written as decimal digits, got {digits!r}")
    try:
        return int(digits)
    except ValueError:
        raise InputError(f"an integer must be written as decimal digits, got {digits!r}") from None


def number(digits: str | int, unit: int = 1) -> float:
    """Quotient of two integers, rounded once: `number("1500000", 10**6)` is 1.5."""
    return float(Fraction(integer(digits), unit))


def numbers(row: Mapping[str, Any], fields: Iterable[str], unit: int = 1) -> list[float]:
    """Read several fields of a row by `number`."""
    return [number(row[field], unit) for field in fields]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One quantity of one row, as it was found and as it should be.

    `relative` compares numbers to 1e-9, or to one unit of the integer's last digit where that is
    coarser; `amount` token amounts to the larger of 1e-9 and three smallest units; `loose` is
    `amount` with 1e-8, for StableSwap trades under 1e-5 of the pool; `exact` wants equality, of
    booleans, branches, indices and reject codes.
    """

    row: str  # block[place], then a name if it has one
    quantity: str  # the field of the row
    got: Any  # what the kernels say; numbers in whole tokens or as fractions
    expected: Any  # what the contract said; numbers as its integer
    kind: Kind = "relative"
    unit: int = 1  # of the integer, per one of `got`: 10**18 for a wad
    tolerance: float | None = None  # relative, instead of the kind's, with a reason at the call
    units: float | None = None  # smallest units, instead of the kind's

    @property
    def error(self) -> Fraction | None:
        """Absolute error in the integer's smallest units; None where `got` is no finite number."""
        got = self.got.item() if isinstance(self.got, np.generic) else self.got
        if isinstance(got, float) and not math.isfinite(got):
            return None
        return abs(Fraction(got) * self.unit - self._wanted)

    @property
    def _wanted(self) -> Fraction:
        """Expected value as an exact number."""
        wanted = self.expected
        return wanted if isinstance(wanted, Fraction) else Fraction(integer(wanted))

    @property
    def allowed(self) -> Fraction:
        """Absolute error that the kind allows, in smallest units; 0 for `exact`."""
        if self.kind == "exact":
            return Fraction(0)
        units = UNITS[self.kind] if self.units is None else self.units
        relative = RELATIVE[self.kind] if self.tolerance is None else self.tolerance
        return max(Fraction(units), Fraction(relative) * abs(self._wanted))

    @property
    def by_digits(self) -> bool:
        """Whether the kind's own relative tolerance decides, not the chain's rounding."""
        if self.kind == "exact" or self.tolerance is not None:
            return False
        return bool(self._wanted) and self.allowed == Fraction(RELATIVE[self.kind]) * abs(
            self._wanted
        )

    @property
    def relative_error(self) -> float:
        """Relative error; inf where `got` is no finite number."""
        error = self.error
        if error is None:
            return math.inf
        return float(error / abs(self._wanted)) if self._wanted else float(error and math.inf)

    @property
    def passed(self) -> bool:
        """Whether the two agree as the kind demands."""
        if self.kind == "exact":
            return bool(self.got == self.expected)
        error = self.error
        return error is not None and error <= self.allowed

    def __str__(self) -> str:
        """One line for the list of failures."""
        text = f"{self.row} {self.quantity}: got "
        if self.kind == "exact":
            return f"{text}{self.got!r}, expected {self.expected!r}"
        error = self.error
        if error is None:
            return f"{text}{self.got}, expected {self.expected} / {self.unit:.0e}"
        got = float(Fraction(float(self.got)) * self.unit)
        return (
            f"{text}{got:.17g}, expected {self.expected}: off by {float(error):.3g} units, "
            f"{self.relative_error:.2g} relative"
        )
