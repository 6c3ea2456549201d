import math
import warnings

import numpy as np
import pytest
from scipy import stats

from sim import streams

KEY = streams.stream_key(7, "test")
IDS = np.arange(64)

KNOWN = [  # Random123 kat_vectors, philox4x32 with 10 rounds: counter, key, output
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def filled(fill, shape, ids=None, step=3, *arguments, key=KEY):
    dtype = np.int64 if fill in (streams.integers, streams.poissons) else np.float64
    out = np.empty(shape, np.int64 if fill is streams.permutations else dtype)
    fill(out, key, np.arange(shape[0]) if ids is None else ids, step, *arguments)
    return out


FILLS = [
    (streams.uniforms, streams.uniform, ()),
    (streams.normals, streams.normal, ()),
    (streams.exponentials, streams.exponential, ()),
    (streams.integers, streams.integer, (7,)),
    (streams.poissons, streams.poisson, (0.3,)),
    (streams.poissons, streams.poisson, (40.0,)),
]
NAMES = ["uniform", "normal", "exponential", "integer", "poisson small", "poisson large"]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
@pytest.mark.parametrize("philox", [streams.philox, streams.philox.py_func])
def test_philox_agrees_with_known_answers(philox, counter, key, expected):
    words = philox(*(np.uint64(x) for x in counter), *(np.uint64(x) for x in key))
    assert tuple(int(word) for word in words) == expected


def test_fill_uses_the_known_answer():
    zero = np.zeros(2, np.uint64)
    out = filled(streams.uniforms, (1, 2), np.zeros(1, np.int64), 0, key=zero)
    words = KNOWN[0][2]
    for value, (high, low) in zip(out[0], (words[:2], words[2:]), strict=True):
        assert value == (2 * ((high << 32 | low) >> 12) + 1) / 2**53


@pytest.mark.parametrize(("fill", "scalar", "arguments"), FILLS, ids=NAMES)
@pytest.mark.parametrize("n", [1, 2, 5, 15, 16, 17, 33])
def test_a_fill_of_any_length_is_the_scalar(fill, scalar, arguments, n):
    ids = np.array([3, 0, 2**32 - 1])
    out = filled(fill, (3, n), ids, 11, *arguments)
    expected = [[scalar(KEY, w, 11, i, *arguments) for i in range(n)] for w in ids]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("fill", "scalar", "arguments"), FILLS, ids=NAMES)
def test_a_world_draws_the_same_in_any_batch(fill, scalar, arguments):
    whole = filled(fill, (64, 20), IDS, 5, *arguments)
    order = np.random.default_rng(0).permutation(64)[:17]
    np.testing.assert_array_equal(filled(fill, (17, 20), order, 5, *arguments), whole[order])


@pytest.mark.parametrize(("fill", "scalar", "arguments"), FILLS, ids=NAMES)
@pytest.mark.parametrize("n", [5, 20])
def test_plain_python_gives_the_same(fill, scalar, arguments, n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = np.empty_like(filled(fill, (3, n), None, 2, *arguments))
        fill.py_func(out, KEY, np.arange(3), 2, *arguments)
        one = scalar.py_func(KEY, 1, 2, 4, *arguments)
    np.testing.assert_allclose(out, filled(fill, (3, n), None, 2, *arguments), rtol=1e-14)
    assert one == pytest.approx(out[1, 4], rel=1e-14)


def test_inner_kernels_run_as_plain_python():
    words = tuple(np.uint64(x) for x in KNOWN[2][0])
    key = tuple(np.uint64(x) for x in KNOWN[2][1])
    assert streams._round.py_func(*words, *key) == streams._round(*words, *key)
    lane = np.uint64(0)
    assert streams._uniform_of.py_func(KEY, lane, 1, 2, 3) == streams.uniform(KEY, 1, 2, 3)
    for kernel in (streams._fill_along, streams._fill_across, streams._fill_uniform):
        plain, compiled = np.zeros((3, 4)), np.zeros((3, 4))
        kernel.py_func(plain, KEY, lane, np.arange(3), 2)
        kernel(compiled, KEY, lane, np.arange(3), 2)
        np.testing.assert_array_equal(plain, compiled)
    for u in (2.0**-53, 1e-9, 0.01, 0.3, 0.99, 1.0 - 2.0**-53):
        plain = streams.normal_quantile.py_func(u)
        assert plain == pytest.approx(streams.normal_quantile(u), rel=1e-14)
        if abs(u - 0.5) > 0.425:
            assert streams._normal_tail.py_func(u) == pytest.approx(plain, rel=1e-14)
    r = 0.1
    assert streams._body_numerator.py_func(r) == streams._body_numerator(r)
    assert streams._body_denominator.py_func(r) == streams._body_denominator(r)


def test_streams_seeds_steps_worlds_and_kinds_differ():
    base = filled(streams.uniforms, (2, 8))
    others = [
        filled(streams.uniforms, (2, 8), key=streams.stream_key(7, "other")),
        filled(streams.uniforms, (2, 8), key=streams.stream_key(8, "test")),
        filled(streams.uniforms, (2, 8), None, 4),
        filled(streams.uniforms, (2, 8), np.array([5, 6])),
        stats.norm.cdf(filled(streams.normals, (2, 8))),
        np.exp(-filled(streams.exponentials, (2, 8))),
    ]
    draws = np.concatenate([base.ravel(), *(other.ravel() for other in others)])
    assert np.unique(draws).size == draws.size
    np.testing.assert_array_equal(streams.stream_key(7, "test"), KEY)
    assert KEY.dtype == np.uint64
    assert KEY.max() < 2**32


def test_quantile_is_the_standard_normal_one():
    u = np.concatenate([np.linspace(0.001, 0.999, 999), [2.0**-53, 1e-12, 1e-6, 1 - 1e-9]])
    ours = np.array([streams.normal_quantile(x) for x in u])
    np.testing.assert_allclose(ours, stats.norm.ppf(u), rtol=1e-13, atol=1e-15)


def test_uniform_stays_inside_the_open_interval():
    full, none = np.uint64(2**32 - 1), np.uint64(0)
    assert streams.unit_interval(none, none) == 2.0**-53
    assert streams.unit_interval(full, full) == 1.0 - 2.0**-53
    assert streams.unit_interval.py_func(full, full) == 1.0 - 2.0**-53


@pytest.mark.parametrize(
    ("fill", "law"),
    [
        (streams.uniforms, stats.uniform()),
        (streams.normals, stats.norm()),
        (streams.exponentials, stats.expon()),
    ],
)
@pytest.mark.parametrize("shape", [(20_000, 5), (100, 1000)])
def test_continuous_laws(fill, law, shape):
    x = filled(fill, shape).ravel()
    # Fixed seed: a p-value under 1e-4 is a wrong law, not bad luck.
    assert stats.kstest(x, law.cdf).pvalue > 1e-4
    error = law.std() / math.sqrt(x.size)
    assert abs(x.mean() - law.mean()) < 4 * error
    for lag in (1, 2, shape[1]):  # within a Philox call, across calls, across worlds
        correlation = np.corrcoef(x[lag:], x[:-lag])[0, 1]
        assert abs(correlation) < 4 / math.sqrt(x.size)


def test_steps_are_uncorrelated():
    path = np.stack([filled(streams.normals, (200, 4), None, step) for step in range(300)])
    x = path - path.mean()
    assert abs(np.mean(x[1:] * x[:-1])) < 4 / math.sqrt(x[1:].size)


@pytest.mark.parametrize("n", [1, 2, 7, 1000, 3 * 2**30])
def test_integers_are_uniform(n):
    x = filled(streams.integers, (300, 300), None, 3, n).ravel()
    assert x.min() >= 0
    assert x.max() < n
    # 3 * 2**30 is the worst case of multiplying without rejection: a third of the values would
    # come up twice as often.
    bins = min(n, 9)
    counts = np.bincount(x * bins // n, minlength=bins)
    assert n == 1 or stats.chisquare(counts).pvalue > 1e-4
    if n == 3 * 2**30:
        assert stats.chisquare(np.bincount(x % 3)).pvalue > 1e-4


@pytest.mark.parametrize("mean", [0.01, 0.7, 9.9, 10.0, 45.0, 3000.0])
def test_poisson_counts(mean):
    x = filled(streams.poissons, (300, 300), None, 3, mean).ravel()
    law = stats.poisson(mean)
    assert abs(x.mean() - mean) < 4 * math.sqrt(mean / x.size)
    edges = np.unique(law.ppf([0.1, 0.25, 0.5, 0.75, 0.9]))
    probabilities = np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]]))
    counts = np.bincount(np.searchsorted(edges, x), minlength=edges.size + 1)
    keep = probabilities > 1e-12
    assert stats.chisquare(counts[keep], x.size * probabilities[keep]).pvalue > 1e-4


@pytest.mark.parametrize("mean", [0.0, -1.0, math.nan])
def test_poisson_without_a_positive_mean_is_zero(mean):
    assert streams.poisson(KEY, 0, 0, 0, mean) == 0
    assert streams.poisson.py_func(KEY, 0, 0, 0, mean) == 0


def test_permutations_are_uniform_and_complete():
    out = filled(streams.permutations, (24_000, 4))
    np.testing.assert_array_equal(np.sort(out, axis=1), np.tile(np.arange(4), (24_000, 1)))
    codes = out @ np.array([64, 16, 4, 1])
    counts = np.unique(codes, return_counts=True)[1]
    assert counts.size == 24
    assert stats.chisquare(counts).pvalue > 1e-4
    one = np.empty(4, np.int64)
    streams.permutation(KEY, 17, 3, one)
    np.testing.assert_array_equal(one, out[17])
    plain = np.empty((3, 4), np.int64)
    streams.permutations.py_func(plain, KEY, np.arange(3), 3)
    np.testing.assert_array_equal(plain, out[:3])
    streams.permutation.py_func(KEY, 17, 3, one)
    np.testing.assert_array_equal(one, out[17])


def test_integer_rejection_runs_as_plain_python():
    n = 3 * 2**30  # a quarter of the words is rejected
    lane = np.uint64(3)
    for i in range(50):
        plain = streams._integer_of.py_func(KEY, lane, 0, 0, i, n)
        assert plain == streams.integer(KEY, 0, 0, i, n)
