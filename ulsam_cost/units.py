"""The only place that prints or reads K, M, G, Ki, Mi, Gi, times, ratios and sizes in memory."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from reprlib import repr as shortened
from typing import Any

from ulsam_cost.errors import CostError

DECIMAL_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY_FACTORS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
FACTORS = DECIMAL_FACTORS | BINARY_FACTORS
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
PREFIXES = ", ".join(filter(None, FACTORS))
_NUMBER = re.compile(r"([+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:e-[0-9]{1,2})?)\s*((?:[KMGT]i?)?)", re.ASCII)
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(us|ms|s)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A printed number: its digits, and the prefix that they were printed with."""

    digits: Decimal
    prefix: str

    @property
    def value(self) -> Decimal:
        """The number in base units."""
        return self.digits * FACTORS[self.prefix]

    @property
    def resolution(self) -> Decimal:
        """The weight of its last digit."""
        exponent = self.digits.as_tuple().exponent
        return Decimal(1).scaleb(int(exponent)) * FACTORS[self.prefix]

    def as_binary(self) -> "Printed":
        """The same digits, where K, M and G stand for powers of 1024."""
        binary = f"{self.prefix}i"
        return replace(self, prefix=binary) if binary in BINARY_FACTORS else self


class AtLeast(int):
    """A count that leaves something out: tables show it as `at least 1,234`, CSV and JSON as the number."""


def at_least(value: int, *, unless: bool) -> int:
    """A count marked as a lower bound, unless it is whole."""
    return value if unless else AtLeast(value)


def difference(now: int, before: int) -> int | None:
    """What a count has more than another; unknown where one of them leaves something out."""
    return None if isinstance(now, AtLeast) or isinstance(before, AtLeast) else now - before


def parse_printed(text: str) -> Printed:
    """Read a printed number such as `4.122G` or `24.37Mi`, with the precision it was printed at.

    Raises:
        CostError: for anything but digits, one decimal point, an exponent as in 4.7e-4, and one of K, M, G, T, Ki, Mi,
            Gi, Ti.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise CostError(
            f"{shortened(text)} is not a number: digits with at most one of {PREFIXES} are accepted, as in 4.122G"
        )
    return Printed(digits=Decimal(match[1]), prefix=match[2])


def parse_whole(text: str) -> int:
    """Read a whole number such as `240M`.

    Raises:
        CostError: for what is not a number, and for one with a fraction.
    """
    value = parse_printed(text).value
    if value != int(value):
        raise CostError(f"{shortened(text)}: a whole number is accepted")
    return int(value)


def parse_ms(text: str) -> float:
    """Read a time such as `12 ms`, in milliseconds.

    Raises:
        CostError: for anything but a number and us, ms or s.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise CostError(f"{shortened(text)} is not a time: a number with us, ms or s is accepted, as in 12 ms")
    return float(match[1]) * MILLISECONDS[match[2]]


def format_count(value: float, digits: int = 2) -> str:
    """A count in the largest unit that leaves at least 1 before the point: 517059072 -> '517.06M'."""
    if isinstance(value, AtLeast):
        return f"at least {format_count(int(value), digits)}"
    suffix = _suffix(value)
    if not suffix:
        return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)
    return f"{value / FACTORS[suffix]:.{digits}f}{suffix}"


def format_tick(value: float) -> str:
    """A count at an axis, without digits that say nothing: 2500000 -> '2.5M'."""
    suffix = _suffix(value)
    return f"{value / FACTORS[suffix]:.6g}{suffix}"


def _suffix(value: float) -> str:
    """The largest unit that leaves at least 1 before the point; none below a thousand."""
    return next((suffix for suffix, factor in reversed(DECIMAL_FACTORS.items()) if abs(value) >= factor), "")


def format_exact(value: Any) -> str:
    """A count digit by digit; empty for what is absent, two digits for what is not a whole number."""
    if value is None:
        return ""
    if isinstance(value, AtLeast):
        return f"at least {int(value):,}"
    if isinstance(value, float | Fraction):
        return f"{float(value):,.2f}"
    return f"{value:,}"


def format_pct(part: float, whole: float) -> str:
    """A signed per cent with two digits; `n/a` of nothing."""
    return f"{100 * part / whole:+.2f}%" if whole else "n/a"


def format_ms(value: float) -> str:
    """Milliseconds with three significant digits or more."""
    return f"{value:.4f}" if value < 1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def format_ratio(median: float, low: float | None = None, high: float | None = None) -> str:
    """A ratio, and its interval where there is one: 1.234 [1.200, 1.300]."""
    return f"{median:.3f}" if low is None or high is None else f"{median:.3f} [{low:.3f}, {high:.3f}]"


def format_factor(value: float) -> str:
    """How many times something is another: 1.23x."""
    return f"{value:.2f}x"


def format_mib(size: int) -> str:
    """Bytes in MiB."""
    return f"{size / 2**20:.1f}"
