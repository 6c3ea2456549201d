"""The vector functions against fifty digits."""

import math

import mpmath
import numpy as np
import pytest

from sim import vector_math


def worst(found, exact):
    return max(abs(float((mpmath.mpf(f) - e) / e)) for f, e in zip(found, exact, strict=True))


@pytest.fixture(autouse=True)
def digits():
    with mpmath.workdps(50):
        yield


def test_logarithms():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.exp(rng.uniform(-300, 300, 2000)), rng.uniform(0.5, 2.0, 3000)])
    x = np.append(x, [1.0 + 1e-12, 1.0 - 1e-9, 2.0, math.sqrt(0.5)])
    out = np.empty_like(x)
    vector_math.logarithms(x, out)
    assert worst(out, [mpmath.log(v) for v in x.tolist()]) < 4e-16
    vector_math.logarithms(np.ones(3), out[:3])
    assert np.all(out[:3] == 0.0)


def test_exponentials():
    x = np.random.default_rng(1).uniform(-37.0, 37.0, 4000)
    out = np.empty_like(x)
    vector_math.densities(x, out)
    # Rounding of the exponent, x²/2 up to 684, is what remains: a relative 0.5 ulp of it.
    for v, found in zip(x.tolist(), out.tolist(), strict=True):
        bound = 3e-16 + 2.3e-16 * (v * v)
        exact = mpmath.exp(-(mpmath.mpf(v) ** 2) / 2)
        assert abs(float((mpmath.mpf(found) - exact) / exact)) < bound
    small = [vector_math.exponential(v) for v in np.linspace(-1.0, 1.0, 501).tolist()]
    assert worst(small, [mpmath.exp(v) for v in np.linspace(-1.0, 1.0, 501).tolist()]) < 4e-16
    assert vector_math.exponential(-1e9) == vector_math.exponential(-700.0) > 0.0
    assert math.isfinite(vector_math.exponential(1e9))


@pytest.mark.parametrize(("low", "high", "bound"), [(-5.0, 8.0, 2e-15), (-30.0, -5.0, 1e-13)])
def test_normal_distributions(low, high, bound):
    x = np.random.default_rng(2).uniform(low, high, 3000)
    density, out = np.empty_like(x), np.empty_like(x)
    vector_math.densities(x, density)
    vector_math.normal_distributions(x, density, out)
    exact = [mpmath.erfc(-mpmath.mpf(v) / mpmath.sqrt(2)) / 2 for v in x.tolist()]
    assert worst(out, exact) < bound


def test_fills_equal_their_scalars_whatever_the_length():
    x = np.random.default_rng(3).uniform(0.1, 5.0, 37)
    whole = np.empty_like(x)
    vector_math.logarithms(x, whole)
    for n in (1, 3, 8, 36):
        part = np.empty(n)
        vector_math.logarithms(x[:n], part)
        np.testing.assert_array_equal(part, whole[:n])
    assert [vector_math.logarithm(v) for v in x.tolist()] == whole.tolist()


def test_plain_python_agrees():
    for v in (0.3, 1.7, 12.0):
        assert abs(vector_math.logarithm.py_func(v) - math.log(v)) < 1e-15
        assert abs(vector_math.exponential.py_func(v) / math.exp(v) - 1.0) < 1e-15
