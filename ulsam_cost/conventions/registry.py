"""What a convention is, and the table of all of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ulsam_cost.cost import Cost, OpCost
from ulsam_cost.errors import UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """A rule from an operation to a number.

    `unit` is what the tool calls the number, `counts` says in a phrase what goes into it, `per_mac` what a MAC is;
    `products_only` whether nothing but products goes into it. `takes` says of which operations of a cost it is the
    sum, where that is not all of them. All conventions stand in `CONVENTIONS`, by name.

    Example:
        >>> import ulsam_cost as uc
        >>> flops = uc.CONVENTIONS["flops"]
        >>> flops.number(uc.network_cost("mv1")), flops.unit
        (1137480704, 'FLOPs')
    """

    name: str
    source: str
    unit: str
    counts: str
    weigh: Callable[[OpCost], int]
    per_mac: int = 1
    products_only: bool = False
    takes: Callable[[Cost], Iterable[OpCost]] = iter

    def number(self, cost: Cost) -> int:
        """The number that this convention gives for a cost."""
        return sum(self.weigh(op) for op in self.takes(cost))


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
