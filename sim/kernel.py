"""The one place where numba compiles anything.

Numba's file cache is keyed by the file that holds a function, so it returns stale machine code when
a *callee in another file* was edited. Here the cache folder is keyed by a digest of every source
file that may hold a kernel: an edit anywhere starts a fresh folder, and nothing stale can load.

Kernels are serial, release the GIL and are cached: parallelism is several World objects side by
side in processes, which costs half the compile time of `parallel=True` and reaches the same speed.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
I16 = NDArray[np.int16]
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]
Rows = NDArray[np.void]
Record = Any  # one element of Rows: its fields have types that numpy's stubs cannot tell

# Casts that mypy takes for plain integers and numba for what they are.
i64 = cast(Callable[[Any], int], np.int64)  # small record fields, so that callees compile but once
at = cast(Callable[[int], Any], np.uint64)  # an index that is never negative: no wrap-around code

Function = TypeVar("Function", bound=Callable[..., Any])

# what a source that ends up in machine code has in it
_SIGNS = (b"@kernel", b"@inlined", b"@spliced", b"@resolves", b"numba.extending")
_PACKAGES = ("sim", "agents", "envs")


def source_digest(root: Path | None = None) -> str:
    """Digest of every source file that holds a kernel.

    Parameters
    ----------
    root : Path, optional
        Folder that holds the packages; the installed one when left out.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    root = root or Path(__file__).resolve().parent.parent
    digest = hashlib.blake2b(digest_size=8)
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            source = path.read_bytes()
            if any(sign in source for sign in _SIGNS):
                digest.update(path.relative_to(root).as_posix().encode())
                digest.update(source)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Folder of compiled kernels: in the virtual environment, else in the user's cache folder.

    `FAULTLINE_CACHE` overrides both.
    """
    chosen = os.environ.get("FAULTLINE_CACHE")
    if chosen:
        base = Path(chosen)
    elif sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
        base = Path(sys.prefix) / "var" / "faultline"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "faultline"
    return base / "kernels" / source_digest()


# Without numba's runtime (`_nrt`) a kernel counts no references: passing a NamedTuple of ten arrays
# to another kernel cost 100 to 250 ns, more than many kernels compute for, and the counting a third
# of the compile time. It also cannot allocate or return arrays, which kernels must not do anyway.
_OPTIONS: dict[str, Any] = {
    "cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True,
    "_nrt": False,
}  # fmt: skip
setattr(numba.config, "CACHE_DIR", str(cache_folder()))  # noqa: B010 - unknown to numba's stubs


def kernel(function: Function) -> Function:
    """Compile a function of arrays and scalars; its plain form stays at `.py_func`."""
    return cast(Function, numba.njit(**_OPTIONS)(function))


def inlined(function: Function) -> Function:
    """Compile a small kernel that other kernels absorb instead of calling."""
    return cast(Function, numba.njit(**_OPTIONS, forceinline=True)(function))


def word(value: int) -> int:
    """Make an integer constant that kernels take as an int64 like any other.

    Numba compiles a callee anew for each plain constant that it is called with.
    """
    return cast(int, np.int64(value))


def resolves(function: Function) -> Callable[[Function], Function]:
    """Let kernels call `function` by way of what the decorated function returns for given types.

    The decorated function gets numba's types of the arguments, and returns the function of the same
    arguments that is compiled in its place; plain Python calls `function` itself.
    """
    return cast(Callable[[Function], Function], numba.extending.overload(function, inline="never"))


def spliced(function: Function) -> Function:
    """Make a kernel part of each of its callers before they are compiled.

    It is never compiled by itself. For long kernels with one or two callers: every kernel that
    calls others compiles all their machine code anew.
    """
    return cast(Function, numba.njit(**_OPTIONS, inline="always")(function))
