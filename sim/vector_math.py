"""Exponential, logarithm and normal distribution that loops turn into vector code.

Calls of the C library inside a loop keep LLVM from using vector instructions; these are plain
arithmetic and bits, as accurate as the library (tests: 3e-16 relative), and five to ten times
faster in a loop over arrays. Arguments must be finite; `logarithm` takes normal positive numbers.
"""

import numpy as np

from sim.kernel import F64, inlined, kernel

_PER_LOG_2 = 1.4426950408889634
_LOG_2_HIGH = 6.93147180369123816490e-01  # ends in zeros, so that k * it is exact
_LOG_2_LOW = 1.90821492927058770002e-10
_BIAS, _SHIFT = np.int64(1023), np.int64(52)
_ROOT_HALF = np.int64(0x3FE6A09E667F3BCD)  # bits of sqrt(1/2)
_PER_ROOT_2 = 0.7071067811865476


@inlined
def exponential(x: float) -> float:
    """Exponential of x, which is clipped to [-700, 700]: Taylor on half of log 2."""
    x = min(max(x, -700.0), 700.0)
    k = np.floor(x * _PER_LOG_2 + 0.5)
    r = (x - k * _LOG_2_HIGH) - k * _LOG_2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return float(p * np.int64((np.int64(k) + _BIAS) << _SHIFT).view(np.float64))


@inlined
def logarithm(x: float) -> float:
    """Natural logarithm of a normal positive number: 2 artanh on [sqrt(1/2), sqrt 2)."""
    bits = np.float64(x).view(np.int64)
    k = (bits - _ROOT_HALF) >> _SHIFT
    f = np.int64(bits - (k << _SHIFT)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = 1.0 / 23.0
    p = p * z + 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    e = np.float64(k)
    return float(e * _LOG_2_HIGH + (2.0 * s + (2.0 * s * z * p + e * _LOG_2_LOW)))


@inlined
def scaled_tail(z: float) -> float:
    """Take exp(z²) erfc(z) for z >= 0, by a polynomial of degree 23 in 4 / (2 + z) - 1.

    It is the Chebyshev interpolant of exp(z²) erfc(z) (2 + z) / 2, smooth on all of [0, inf],
    computed with 50 digits and within 7e-16; in four parts, so that they overlap in the processor.
    """
    t = 2.0 / (2.0 + z)
    y = 2.0 * t - 1.0
    y2 = y * y
    y4 = y2 * y2
    a = 6.651691098356388e-08
    a = a * y4 + 1.0753034265368385e-06
    a = a * y4 - 1.0830840140061017e-05
    a = a * y4 - 0.00033153596951670036
    a = a * y4 - 0.010755330940551767
    a = a * y4 + 0.5107913526210118
    b = -5.297335962428669e-08
    b = b * y4 + 1.0360790539807586e-08
    b = b * y4 + 8.064338825028904e-06
    b = b * y4 - 1.7185510228970984e-05
    b = b * y4 - 0.0032395925326627493
    b = b * y4 + 0.34358034220690536
    c = -5.021930669720097e-09
    c = c * y4 - 3.7262437397408343e-07
    c = c * y4 - 6.061660648176088e-07
    c = c * y4 + 7.223078005558086e-05
    c = c * y4 + 0.0015453059501721663
    c = c * y4 + 0.13973604627794017
    d = 6.86212563148957e-09
    d = d * y4 + 1.5349222085928225e-07
    d = d * y4 - 1.8303070086835044e-06
    d = d * y4 - 1.7075587078862068e-05
    d = d * y4 + 0.00041864800911864327
    d = d * y4 + 0.018221115753413866
    return t * ((a + y * b) + y2 * (c + y * d))


@inlined
def normal_distribution(x: float, density: float) -> float:
    """Share of a standard normal below x, given exp(-x² / 2).

    A caller that needs the density anyway pays for one exponential.
    """
    half = 0.5 * density * scaled_tail(abs(x) * _PER_ROOT_2)
    return half if x < 0.0 else 1.0 - half


# Fills: few arrays each, or LLVM gives up proving that they do not overlap. Input is not output.


@kernel
def logarithms(x: F64, out: F64) -> None:
    """Fill `out (n,)` with logarithms of normal positive numbers."""
    for i in range(out.shape[0]):
        out[i] = logarithm(x[i])


@kernel
def densities(x: F64, out: F64) -> None:
    """Fill `out (n,)` with exp(-x² / 2)."""
    for i in range(out.shape[0]):
        out[i] = exponential(-0.5 * x[i] * x[i])


@kernel
def normal_distributions(x: F64, density: F64, out: F64) -> None:
    """Fill `out (n,)` with shares of a standard normal below x, given exp(-x² / 2)."""
    for i in range(out.shape[0]):
        out[i] = normal_distribution(x[i], density[i])
