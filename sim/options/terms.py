"""Arrays of option terms: brought to one shape, and refused with one sentence where impossible."""

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.kernel import F64

YEAR_SECONDS = 365.0 * 86_400.0  # crypto markets never close
_POSITIVE = ("spot", "forward", "strike", "discount")
_NOT_NEGATIVE = ("years", "sigma")


def broadcast(**fields: ArrayLike) -> tuple[tuple[int, ...], F64]:
    """Bring fields to one shape and check them by their names.

    Parameters
    ----------
    fields : array-like
        By name; `spot`, `forward`, `strike` and `discount` must be above 0, `years` and `sigma` at
        least 0, `sign` +1 or -1, all finite.

    Returns
    -------
    tuple of int
        The common shape.
    array (field, option)
        The numbers, flattened, in the given order.

    Raises
    ------
    InputError
        If shapes do not fit or a number lies outside its range.
    """
    shape, flat = flattened(**fields)
    for name, column in zip(fields, flat, strict=True):
        if name in _POSITIVE:
            _refuse(name, column, column > 0.0, "above 0")
        elif name in _NOT_NEGATIVE:
            _refuse(name, column, column >= 0.0, "at least 0")
        elif name == "sign":
            _refuse(name, column, np.abs(column) == 1.0, "+1 for a call or -1 for a put")
        else:
            _refuse(name, column, np.full(column.shape, True), "")
    return shape, flat


def flattened(**fields: ArrayLike) -> tuple[tuple[int, ...], F64]:
    """Bring fields to one shape without looking at their numbers; as `broadcast`."""
    arrays = [np.asarray(value, np.float64) for value in fields.values()]
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        found = ", ".join(f"{name} {a.shape}" for name, a in zip(fields, arrays, strict=True))
        raise InputError(
            f"shapes of option terms must broadcast, got {found}; give numbers or arrays of one "
            "shape"
        ) from None
    flat = np.empty((len(arrays), int(np.prod(shape))))
    for row, array in zip(flat, arrays, strict=True):
        row[:] = np.broadcast_to(array, shape).ravel()
    return shape, flat


def _refuse(
    name: str, column: F64, good: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", expected: str
) -> None:
    """Raise InputError for the first number that is not finite or not as expected."""
    bad = ~(good & np.isfinite(column))
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(
            f"{name} must be finite{' and ' if expected else ''}{expected}, got {column[i]:g} for "
            f"option {i}; correct it"
        )
