"""Integer arrays that do not wrap: what int64 cannot hold goes on as Python's own integers."""

from typing import Any

import numpy as np

LARGEST = int(np.iinfo(np.int64).max)
POWERS = 64  # a number above 1 to this power is too large for certain


class ExactArray(np.ndarray[Any, Any]):
    """An integer array whose sums, products and powers are exact.

    Each array knows a number that none of its elements exceeds in size. Before an operation the largest possible
    result is worked out from the operands' numbers; where int64 could not hold it, the operation runs on Python
    integers: slower, and right. It is a value: nothing changes it in place, and += gives another array.
    """

    limit: int | None = None

    def __array_finalize__(self, parent: Any) -> None:
        self.limit = None

    def __array_ufunc__(self, ufunc: np.ufunc, method: Any, *inputs: Any, **kwargs: Any) -> Any:
        if any(out is not inputs[0] for out in kwargs.pop("out", ())):
            return NotImplemented
        plain = [operand.view(np.ndarray) if isinstance(operand, ExactArray) else operand for operand in inputs]
        limit = None
        if ufunc in _LIMITS and not any(map(_is_unbounded, plain)):
            limit = _LIMITS[ufunc](*map(_limit, inputs)) if method == "__call__" else _fold_limit(ufunc, inputs[0])
            if limit > LARGEST:
                plain, limit = [np.asarray(operand, dtype=object) for operand in plain], None
        result = getattr(ufunc, method)(*plain, **kwargs)
        if not isinstance(result, np.ndarray) or result.dtype.kind not in "iO":
            return result
        return _frozen(result, limit)


def exact_array(values: Any) -> ExactArray:
    """The integers of an array, whatever their width."""
    is_too_large = values.dtype.kind == "u" and int(values.max()) > LARGEST
    return _frozen(np.array(values, dtype=object if is_too_large else np.int64))


def _frozen(values: Any, limit: int | None = None) -> ExactArray:
    exact: ExactArray = values.view(ExactArray)
    exact.limit = limit
    exact.flags.writeable = False
    return exact


def _limit(operand: Any) -> int:
    known: int | None = getattr(operand, "limit", None)
    if known is None:
        known = max(abs(int(np.min(operand))), abs(int(np.max(operand))))
        if isinstance(operand, ExactArray):
            operand.limit = known
    return known


def _fold_limit(ufunc: np.ufunc, operand: Any) -> int:
    count, limit = np.size(operand), _limit(operand)
    return int(limit ** min(count, POWERS)) if ufunc is np.multiply else limit * count


def _is_unbounded(operand: Any) -> bool:
    return isinstance(operand, np.ndarray) and operand.dtype.kind == "O"


_LIMITS: dict[np.ufunc, Any] = {
    np.add: lambda a, b: a + b,
    np.subtract: lambda a, b: a + b,
    np.multiply: lambda a, b: a * b,
    np.floor_divide: lambda a, _: a,
    np.square: lambda a: a * a,
    np.power: lambda a, b: a ** min(b, POWERS),
}
