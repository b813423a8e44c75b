"""Named counting rules, as data: what each tool and each paper calls "FLOPs"."""

from collections.abc import Callable
from dataclasses import dataclass

from ulsam_cost.cost import Cost, OpCost
from ulsam_cost.errors import UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """A rule from an operation to a number.

    `unit` is what the tool calls the number, `counts` says in a phrase what goes into it.
    """

    name: str
    source: str
    unit: str
    counts: str
    weigh: Callable[[OpCost], int]

    def number(self, cost: Cost) -> int:
        """The number that this convention gives for a cost."""
        return sum(self.weigh(op) for op in cost)


CONVENTIONS: dict[str, Convention] = {}


def register(convention: Convention) -> Convention:
    """Add a convention under its name.

    Raises:
        ValueError: if the name is taken.
    """
    if convention.name in CONVENTIONS:
        raise ValueError(f"convention {convention.name!r} is registered already")
    CONVENTIONS[convention.name] = convention
    return convention


def get_convention(name: str) -> Convention:
    """The convention of that name.

    Raises:
        UnknownNameError: with the nearest name.
    """
    if name not in CONVENTIONS:
        raise UnknownNameError.among("convention", name, CONVENTIONS)
    return CONVENTIONS[name]


MACS = register(
    Convention(
        name="macs",
        source="one multiply-accumulate of a convolution, linear layer or matrix product is one MAC",
        unit="MACs",
        counts="1 a MAC; no bias, norm, activation, pooling or element-wise work",
        weigh=lambda op: op.macs,
    )
)
FLOPS = register(
    Convention(
        name="flops",
        source="one MAC is one multiplication and one addition",
        unit="FLOPs",
        counts="2 a MAC; nothing else",
        weigh=lambda op: 2 * op.macs,
    )
)
