"""The project's own errors: every message names what was given and what is accepted."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class CostError(ValueError):
    """An error that the caller can correct: the message says what was given and what is accepted.

    Example:
        >>> import ulsam_cost as uc
        >>> uc.network_cost("mv3")
        Traceback (most recent call last):
        ...
        ulsam_cost.errors.UnknownNameError: unknown network 'mv3': did you mean 'mv2'? ...
    """


class SizeError(CostError):
    """A size that no layer can have: a float, zero, a negative number, one that does not divide."""


class PlacementError(CostError):
    """A position that the network does not have or cannot take."""


class UnknownNameError(CostError):
    """A name that stands in no registry."""

    @classmethod
    def among(cls, what: str, given: str, accepted: Iterable[str]) -> "UnknownNameError":
        """The error for a name that is not one of those accepted, with the nearest one offered."""
        names = sorted(accepted, key=_natural)
        nearest = get_close_matches(given, names, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        return cls(f"unknown {what} {given!r}: {hint}accepted values are {', '.join(names)}")


class DeviceError(CostError):
    """A device, or a use of one, that this machine does not offer."""


class OutputError(CostError):
    """A file or folder that cannot be written."""


_TOO_LARGE = ("overflow", "can't allocate memory", "not enough memory", "out of memory")


def says_too_large(error: BaseException) -> bool:
    """Whether an error of Python's or PyTorch's says that something has no room: in a number, or in memory."""
    if isinstance(error, OverflowError | MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError | TypeError | ValueError) and any(words in said for words in _TOO_LARGE)


def first_line(error: BaseException) -> str:
    """What an error says in its first line, or else what it is."""
    return str(error).strip().split("\n", maxsplit=1)[0].removesuffix(".") or type(error).__name__


def _natural(name: str) -> list[tuple[int, str]]:
    """Table 2 before Table 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def require_size(name: str, value: Any) -> Any:
    """Return a size fit for exact arithmetic: an int, an integer NumPy array or a sympy expression.

    Arrays come back as ones that do not wrap.

    Raises:
        SizeError: for a float, a bool, zero, a negative number or an empty array.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value > 0:
            return value
    elif hasattr(value, "free_symbols"):
        if value.is_positive is not False and value.is_integer is not False:
            return value
    elif getattr(getattr(value, "dtype", None), "kind", "") in {"i", "u"} and value.size and (value > 0).all():
        return _exact(value) if getattr(value, "ndim", 0) else int(value)
    raise SizeError(f"{name} = {value!r}: a positive whole number is accepted")


def _exact(array: Any) -> Any:
    from ulsam_cost.arrays import exact_array

    return exact_array(array)


def require_int(name: str, value: Any) -> int:
    """Return a size of the module itself, which is one number in every row of a sweep.

    Raises:
        SizeError: for anything but a positive int.
    """
    if isinstance(require_size(name, value), int):
        return int(value)
    raise SizeError(f"{name} = {value!r}: one positive whole number is accepted")


def holds(condition: Any) -> bool:
    """Whether a condition on sizes holds, for every element of an array; a symbol's is taken on trust."""
    if hasattr(condition, "free_symbols"):
        return bool(condition.free_symbols) or bool(condition)
    return bool(condition.all()) if hasattr(condition, "all") else bool(condition)


def require_divides(divisor_name: str, divisor: Any, name: str, value: Any) -> None:
    """Refuse a divisor that leaves a remainder; symbols are taken on trust.

    Raises:
        SizeError: with the divisors that would be accepted, where there are few.
    """
    remainder = value % divisor
    if hasattr(remainder, "free_symbols") and remainder.free_symbols:
        return
    if not holds(remainder == 0):
        accepted = ""
        if isinstance(value, int):
            divisors = [d for d in range(1, min(value, 64) + 1) if value % d == 0]
            accepted = f"; accepted values are {', '.join(map(str, divisors))}"
            accepted += f" and other divisors of {value}" if value > 64 else ""
        raise SizeError(f"{divisor_name} = {divisor} does not divide {name} = {value}{accepted}")
