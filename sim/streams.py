"""Addressed randomness: a draw is a pure function of (seed, stream, world id, step, index).

There is no generator state anywhere. Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random
numbers: as easy as 1, 2, 3, SC 2011) maps a 128-bit counter to 128 random bits under a 64-bit key.
The key is the digest of (seed, stream name); the counter is (world id, step, index, lane), where
the lane separates the kinds of draw and the attempts of rejection methods, so that the uniform and
the normal of one address are independent.

Scalars (`uniform`, `normal`, ...) are called inside kernels. Fills (`uniforms`, `normals`, ...)
write `out (world, index)`; the value at an index is bit for bit the scalar's, whatever the length
of the fill, the number of worlds or their order in the batch.

World id, step and (half the) index occupy 32 bits each: 0 <= world id, step < 2**32,
0 <= index < 2**33 (2**32 for integers and Poisson counts).
"""

import hashlib
import math

import numpy as np

from sim.kernel import F64, I64, U64, kernel

Word = np.uint64  # holds 32 bits: products fit, and nothing wraps around

_MASK = np.uint64(0xFFFFFFFF)
_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_32 = np.uint64(32)
_20 = np.uint64(20)
_12 = np.uint64(12)
_ONE = np.uint64(1)
_TWO32 = np.uint64(1 << 32)

# Lanes 0 to 15 are the kinds of draw; lane + 16 * attempt serves rejection methods.
_UNIFORM = np.uint64(0)
_NORMAL = np.uint64(1)
_EXPONENTIAL = np.uint64(2)
_INTEGER = np.uint64(3)
_POISSON = np.uint64(4)
_PERMUTATION = np.uint64(5)
_ATTEMPT = np.uint64(16)

_ULP = 2.0**-52
_BIG = 2.0**60
_SMALL = 2.0**-60


def stream_key(seed: int, name: str) -> U64:
    """Key of one named stream under one seed.

    Parameters
    ----------
    seed : int
        Seed of the run; any integer.
    name : str
        Name of the stream, such as `prices.gbm`; a component's draws depend on no other's name.

    Returns
    -------
    array (2,) of uint64
        Two 32-bit key words.
    """
    digest = hashlib.blake2b(f"{int(seed)}:{name}".encode(), digest_size=8).digest()
    words = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little"))
    return np.array(words, np.uint64)


@kernel
def _round(
    c0: Word, c1: Word, c2: Word, c3: Word, k0: Word, k1: Word
) -> tuple[Word, Word, Word, Word, Word, Word]:
    """One round of Philox; the masks keep every word under 2**32 and let LLVM use 32-bit lanes."""
    p0 = _M0 * c0
    p1 = _M1 * c2
    return (
        ((p1 >> _32) ^ c1 ^ k0) & _MASK,
        p1 & _MASK,
        ((p0 >> _32) ^ c3 ^ k1) & _MASK,
        p0 & _MASK,
        (k0 + _W0) & _MASK,
        (k1 + _W1) & _MASK,
    )


@kernel
def philox(
    c0: Word, c1: Word, c2: Word, c3: Word, k0: Word, k1: Word
) -> tuple[Word, Word, Word, Word]:
    """Philox4x32-10: 128 random bits of a counter under a key, as four 32-bit words in uint64."""
    x = (c0 & _MASK, c1 & _MASK, c2 & _MASK, c3 & _MASK, k0, k1)
    for _ in range(10):
        x = _round(*x)
    return x[0], x[1], x[2], x[3]


@kernel
def unit_interval(high: Word, low: Word) -> float:
    """Odd multiple of 2**-53 in (0, 1), from 52 of 64 random bits: symmetric, never 0 or 1."""
    return (np.float64(np.int64((high << _20) | (low >> _12))) + 0.5) * _ULP


@kernel
def _uniform_of(key: U64, lane: Word, world_id: int, step: int, index: int) -> float:
    a, b, c, d = philox(
        np.uint64(world_id), np.uint64(step), np.uint64(index >> 1), lane, key[0], key[1]
    )
    if index & 1:
        return unit_interval(c, d)
    return unit_interval(a, b)


@kernel
def _fill_along(out: F64, key: U64, lane: Word, world_ids: I64, step: int) -> None:
    """Fill `out (world, n)` with vector code along the index; an odd last column is left out.

    The rounds are written out here and in `_fill_across`: LLVM inlines `_round` but no function of
    ten rounds, and only an innermost loop without calls becomes vector code.
    """
    k0 = key[0]
    k1 = key[1]
    c1 = np.uint64(step) & _MASK
    for w in range(out.shape[0]):
        row = out[w]
        c0 = np.uint64(world_ids[w]) & _MASK
        for j in range(out.shape[1] >> 1):
            x = _round(c0, c1, np.uint64(j) & _MASK, lane, k0, k1)
            x = _round(*_round(*_round(*x)))
            x = _round(*_round(*_round(*x)))
            x = _round(*_round(*_round(*x)))
            row[2 * j] = unit_interval(x[0], x[1])
            row[2 * j + 1] = unit_interval(x[2], x[3])


@kernel
def _fill_across(out: F64, key: U64, lane: Word, world_ids: I64, step: int) -> None:
    """Fill `out (world, n)` with vector code across worlds; an odd last column is left out."""
    k0 = key[0]
    k1 = key[1]
    c1 = np.uint64(step) & _MASK
    for j in range(out.shape[1] >> 1):
        c2 = np.uint64(j) & _MASK
        for w in range(out.shape[0]):
            x = _round(np.uint64(world_ids[w]) & _MASK, c1, c2, lane, k0, k1)
            x = _round(*_round(*_round(*x)))
            x = _round(*_round(*_round(*x)))
            x = _round(*_round(*_round(*x)))
            out[w, 2 * j] = unit_interval(x[0], x[1])
            out[w, 2 * j + 1] = unit_interval(x[2], x[3])


@kernel
def _fill_uniform(out: F64, key: U64, lane: Word, world_ids: I64, step: int) -> None:
    """Fill `out (world, n)` from one lane; both numbers of every Philox call are used."""
    n_worlds, n = out.shape
    if n >= 16:
        _fill_along(out, key, lane, world_ids, step)
    else:
        _fill_across(out, key, lane, world_ids, step)
    if n & 1:
        for w in range(n_worlds):
            out[w, n - 1] = _uniform_of(key, lane, world_ids[w], step, n - 1)


@kernel
def _fill_each(out: F64, key: U64, lane: Word, world_ids: I64, steps: I64) -> None:
    """Fill `out (row, n)`, each row at its own world and step, with vector code across rows."""
    k0 = key[0]
    k1 = key[1]
    n_rows, n = out.shape
    for j in range(n >> 1):
        c2 = np.uint64(j) & _MASK
        for i in range(n_rows):
            x = _round(
                np.uint64(world_ids[i]) & _MASK, np.uint64(steps[i]) & _MASK, c2, lane, k0, k1
            )
            x = _round(*_round(*_round(*x)))
            x = _round(*_round(*_round(*x)))
            x = _round(*_round(*_round(*x)))
            out[i, 2 * j] = unit_interval(x[0], x[1])
            out[i, 2 * j + 1] = unit_interval(x[2], x[3])
    if n & 1:
        for i in range(n_rows):
            out[i, n - 1] = _uniform_of(key, lane, world_ids[i], steps[i], n - 1)


@kernel
def _body_numerator(r: float) -> float:
    p = 2.5090809287301226727e3 * r + 3.3430575583588128105e4
    p = p * r + 6.7265770927008700853e4
    p = p * r + 4.5921953931549871457e4
    p = p * r + 1.3731693765509461125e4
    p = p * r + 1.9715909503065514427e3
    p = p * r + 1.3314166789178437745e2
    return p * r + 3.3871328727963666080e0


@kernel
def _body_denominator(r: float) -> float:
    p = 5.2264952788528545610e3 * r + 2.8729085735721942674e4
    p = p * r + 3.9307895800092710610e4
    p = p * r + 2.1213794301586595867e4
    p = p * r + 5.3941960214247511077e3
    p = p * r + 6.8718700749205790830e2
    p = p * r + 4.2313330701600911252e1
    return p * r + 1.0


@kernel
def _normal_tail(u: float) -> float:
    """Quantile of the standard normal at u, |u - 1/2| > 0.425."""
    r = math.sqrt(-math.log(min(u, 1.0 - u)))
    if r <= 5.0:
        r -= 1.6
        num = 7.74545014278341407640e-4 * r + 2.27238449892691845833e-2
        num = num * r + 2.41780725177450611770e-1
        num = num * r + 1.27045825245236838258e0
        num = num * r + 3.64784832476320460504e0
        num = num * r + 5.76949722146069140550e0
        num = num * r + 4.63033784615654529590e0
        num = num * r + 1.42343711074968357734e0
        den = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
        den = den * r + 1.51986665636164571966e-2
        den = den * r + 1.48103976427480074590e-1
        den = den * r + 6.89767334985100004550e-1
        den = den * r + 1.67638483018380384940e0
        den = den * r + 2.05319162663775882187e0
    else:
        r -= 5.0
        num = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        num = num * r + 1.24266094738807843860e-3
        num = num * r + 2.65321895265761230930e-2
        num = num * r + 2.96560571828504891230e-1
        num = num * r + 1.78482653991729133580e0
        num = num * r + 5.46378491116411436990e0
        num = num * r + 6.65790464350110377720e0
        den = 2.04426310338993978564e-15 * r + 1.42151175831644588870e-7
        den = den * r + 1.84631831751005468180e-5
        den = den * r + 7.86869131145613259100e-4
        den = den * r + 1.48753612908506148525e-2
        den = den * r + 1.36929880922735805310e-1
        den = den * r + 5.99832206555887937690e-1
    z = num / (den * r + 1.0)
    return -z if u < 0.5 else z


@kernel
def normal_quantile(u: float) -> float:
    """Quantile of the standard normal at u in (0, 1), to 1e-15 relative (Wichura 1988, AS 241)."""
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * _body_numerator(r) / _body_denominator(r)
    return _normal_tail(u)


@kernel
def uniform(key: U64, world_id: int, step: int, index: int) -> float:
    """Draw a uniform on (0, 1), with 52 random bits."""
    return _uniform_of(key, _UNIFORM, world_id, step, index)


@kernel
def normal(key: U64, world_id: int, step: int, index: int) -> float:
    """Draw a standard normal, by inversion: monotone in the bits, good for common numbers."""
    return normal_quantile(_uniform_of(key, _NORMAL, world_id, step, index))


@kernel
def exponential(key: U64, world_id: int, step: int, index: int) -> float:
    """Draw an exponential of rate 1, by inversion."""
    return -math.log(_uniform_of(key, _EXPONENTIAL, world_id, step, index))


@kernel
def _integer_of(key: U64, lane: Word, world_id: int, step: int, index: int, n: int) -> int:
    """Draw an unbiased integer by multiplication with rejection (Lemire 2019, arXiv:1805.10941)."""
    bound = np.uint64(n)
    least = _TWO32 % bound
    while True:
        words = philox(np.uint64(world_id), np.uint64(step), np.uint64(index), lane, key[0], key[1])
        for word in words:
            product = word * bound
            if (product & _MASK) >= least:
                return int(np.int64(product >> _32))
        lane = lane + _ATTEMPT


@kernel
def integer(key: U64, world_id: int, step: int, index: int, n: int) -> int:
    """Draw an integer on 0, ..., n - 1 without bias; 1 <= n < 2**32."""
    return _integer_of(key, _INTEGER, world_id, step, index, n)


@kernel
def poisson(key: U64, world_id: int, step: int, index: int, mean: float) -> int:
    """Draw a Poisson count; a mean that is not positive gives 0.

    Below a mean of 10 by inversion of one uniform; above by transformed rejection (PTRS, Hoermann
    1993, Insurance: Mathematics and Economics 12), two uniforms an attempt.
    """
    if not mean > 0.0:
        return 0
    c0 = np.uint64(world_id)
    c1 = np.uint64(step)
    c2 = np.uint64(index)
    lane = _POISSON
    if mean < 10.0:
        a, b, c, d = philox(c0, c1, c2, lane, key[0], key[1])
        left = unit_interval(a, b)
        mass = math.exp(-mean)
        count = 0
        while left > mass and count < 200:
            left -= mass
            count += 1
            mass *= mean / count
        return count
    log_mean = math.log(mean)
    width = 0.931 + 2.53 * math.sqrt(mean)
    shape = -0.059 + 0.02483 * width
    inverse_alpha = 1.1239 + 1.1328 / (width - 3.4)
    accepted = 0.9277 - 3.6224 / (width - 2.0)
    while True:
        a, b, c, d = philox(c0, c1, c2, lane, key[0], key[1])
        u = unit_interval(a, b) - 0.5
        v = unit_interval(c, d)
        us = 0.5 - abs(u)
        k = math.floor((2.0 * shape / us + width) * u + mean + 0.43)
        if us >= 0.07 and v <= accepted:
            return int(k)
        if k >= 0.0 and (us >= 0.013 or v <= us):
            bound = k * log_mean - mean - math.lgamma(k + 1.0)
            if math.log(v * inverse_alpha / (shape / (us * us) + width)) <= bound:
                return int(k)
        lane = lane + _ATTEMPT


@kernel
def permutation(key: U64, world_id: int, step: int, out: I64) -> None:
    """Write a random order of 0, ..., n - 1 into `out (n,)` (Fisher-Yates, inside out)."""
    for i in range(out.shape[0]):
        j = _integer_of(key, _PERMUTATION, world_id, step, i, i + 1)
        out[i] = out[j]
        out[j] = i


@kernel
def uniforms(out: F64, key: U64, world_ids: I64, step: int) -> None:
    """Fill `out (world, n)` with `uniform` at indices 0, ..., n - 1."""
    _fill_uniform(out, key, _UNIFORM, world_ids, step)


@kernel
def _invert(out: F64) -> None:
    """Turn uniforms into standard normals, in place; `out` is contiguous."""
    flat = out.reshape(-1)
    for i in range(flat.shape[0]):
        # The body is computed for all, without a branch, so that it vectorises. A tail keeps its
        # uniform times 2**60, at least 128, which no body value reaches (|body| < 1.45).
        u = flat[i]
        q = u - 0.5
        r = 0.180625 - q * q
        body = q * _body_numerator(r) / _body_denominator(r)
        flat[i] = body if abs(q) <= 0.425 else u * _BIG
    for i in range(flat.shape[0]):
        if flat[i] > 9.0:
            flat[i] = _normal_tail(flat[i] * _SMALL)


@kernel
def normals(out: F64, key: U64, world_ids: I64, step: int) -> None:
    """Fill `out (world, n)` with `normal` at indices 0, ..., n - 1."""
    _fill_uniform(out, key, _NORMAL, world_ids, step)
    _invert(out)


@kernel
def normals_each(out: F64, key: U64, world_ids: I64, steps: I64) -> None:
    """Fill `out (row, n)` with `normal` of each row's own world and step, indices 0, ..., n - 1."""
    _fill_each(out, key, _NORMAL, world_ids, steps)
    _invert(out)


@kernel
def exponentials(out: F64, key: U64, world_ids: I64, step: int) -> None:
    """Fill `out (world, n)` with `exponential` at indices 0, ..., n - 1."""
    _fill_uniform(out, key, _EXPONENTIAL, world_ids, step)
    flat = out.reshape(-1)
    for i in range(flat.shape[0]):
        flat[i] = -math.log(flat[i])


@kernel
def integers(out: I64, key: U64, world_ids: I64, step: int, n: int) -> None:
    """Fill `out (world, m)` with `integer` below n at indices 0, ..., m - 1."""
    for w in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[w, i] = integer(key, world_ids[w], step, i, n)


@kernel
def poissons(out: I64, key: U64, world_ids: I64, step: int, mean: float) -> None:
    """Fill `out (world, m)` with `poisson` of one mean at indices 0, ..., m - 1."""
    for w in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[w, i] = poisson(key, world_ids[w], step, i, mean)


@kernel
def permutations(out: I64, key: U64, world_ids: I64, step: int) -> None:
    """Fill `out (world, n)` with one `permutation` per world."""
    for w in range(out.shape[0]):
        permutation(key, world_ids[w], step, out[w])
