# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg"
"""Instructions of the machine that numba's Python has no word for, and their meaning in Python."""

from typing import Any

import numba.cpython.unsafe.numbers as unsafe
import numba.extending
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types


def trailing_zeros(bits: int) -> int:
    """Place of the lowest set bit of a 64-bit word that is not 0; one instruction in kernels."""
    return (int(bits) & -int(bits)).bit_length() - 1


def leading_zeros(bits: int) -> int:
    """Count of zero bits above the highest set bit of a 64-bit word that is not 0."""
    return 64 - int(bits).bit_length()


def prefetch(array: Any, index: int) -> None:
    """Ask the memory for an array's element ahead of its use; nothing in plain Python."""


@numba.extending.intrinsic
def _prefetch(context, array, index):
    """Emit LLVM's prefetch for reading, to be kept in all caches."""
    del context

    def build(target, builder, signature, arguments):
        kind = signature.args[0]
        view = target.make_array(kind)(target, builder, arguments[0])
        element = cgutils.get_item_pointer(
            target, builder, kind, view, [arguments[1]], wraparound=False
        )
        byte, number = builder.bitcast(element, cgutils.voidptr_t), cgutils.int32_t
        kinds = [byte.type, number, number, number]
        emitted = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), kinds), "llvm.prefetch.p0i8"
        )
        builder.call(emitted, [byte, number(0), number(3), number(1)])
        return target.get_dummy_value()

    return types.void(array, index), build


@numba.extending.overload(prefetch, inline="never")
def _prefetch_element(array, index):
    del array, index
    return lambda array, index: _prefetch(array, index)


@numba.extending.overload(trailing_zeros, inline="never")
def _trailing_zeros(bits):
    del bits
    return lambda bits: np.int64(unsafe.trailing_zeros(np.uint64(bits)))


@numba.extending.overload(leading_zeros, inline="never")
def _leading_zeros(bits):
    del bits
    return lambda bits: np.int64(unsafe.leading_zeros(np.uint64(bits)))
