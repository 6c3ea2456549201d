"""The normal distribution without loss of digits in its wings.

Everything rests on one function, Mills's ratio R(y) = (1 - Phi(y)) / phi(y) for y >= 0. In the
variable v = (y - 5) / (y + 5), which maps [0, inf) to [-1, 1), the function (y + 1) R(y) is smooth,
and 24 Chebyshev coefficients reach double precision. They were computed with 40 digits from the
definition, then rewritten in powers of v (the powers' coefficients add to 1.7 in absolute value, so
nothing is lost). Largest relative error found on 0 <= y <= 60: 4.2e-16.

The probability Phi(-y) = R(y) phi(y) then keeps its relative precision until it underflows near
y = 38; only the rounding of y itself matters, which the density amplifies by y^2.
"""

import math

from sim.kernel import inlined, kernel

SQRT_2PI = math.sqrt(2.0 * math.pi)
SQRT_HALF_PI = math.sqrt(0.5 * math.pi)
INVERSE_SQRT_2PI = 1.0 / SQRT_2PI


@inlined
def mills(y: float) -> float:
    """Mills's ratio R(y) = (1 - Phi(y)) / phi(y) at y >= 0, to 5e-16 relative.

    Its derivative is y R(y) - 1; R(0) = sqrt(pi / 2), and R(y) is near 1 / y for large y. The
    powers are summed in pairs of pairs (Estrin): half as long a chain of operations as Horner's.
    """
    v = (y - 5.0) / (y + 5.0)
    w = v * v
    w2 = w * w
    w4 = w2 * w2
    p0 = (1.1568486282918946 - 0.22948753825211315 * v) + (
        0.07778159886873769 + 0.0250721793016388 * v
    ) * w
    p1 = (-0.0661776007790963 + 0.0615050458401865 * v) + (
        -0.03802659218584139 + 0.01634823128102938 * v
    ) * w
    p2 = (-0.004201290329187307 + 1.9530638370790786e-05 * v) + (
        0.00045704392357953655 - 0.0001343742785571135 * v
    ) * w
    p3 = (-2.480583845192319e-05 + 2.270961270923768e-05 * v) + (
        -1.7633239265736746e-07 - 3.277287633208865e-06 * v
    ) * w
    p4 = (3.2054316652589574e-07 + 4.91996233147834e-07 * v) + (
        -6.588974491108954e-08 - 7.758520236786343e-08 * v
    ) * w
    p5 = (9.092476134019147e-09 + 1.1032071151574336e-08 * v) + (
        -7.073898575561589e-10 - 9.564832934712551e-10 * v
    ) * w
    low, middle, high = p0 + p1 * w2, p2 + p3 * w2, p4 + p5 * w2
    return (low + (middle + high * w4) * w4) / (y + 1.0)


@inlined
def normal_density(z: float) -> float:
    """Density of the standard normal at z."""
    return INVERSE_SQRT_2PI * math.exp(-0.5 * z * z)


@kernel
def normal_cdf(z: float) -> float:
    """Probability that a standard normal lies below z, with relative precision in either wing."""
    if z < -40.0:
        return 0.0
    if z > 40.0:
        return 1.0
    wing = mills(abs(z)) * normal_density(z)
    return 1.0 - wing if z > 0.0 else wing
