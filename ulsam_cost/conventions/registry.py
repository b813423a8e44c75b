"""What a convention is, and the table of all of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.errors import UnknownNameError

FUSED_ATTENTION = "scaled_dot_product_attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """A rule from an operation to a number.

    `unit` is what the tool calls the number, `counts` says in a phrase what goes into it, `per_mac` what a MAC is, 0
    under a rule that counts activations; `products_only` whether nothing but products goes into it. `takes` says which
    operations of a cost are summed, if not all of them; `misses` for which models the tool's own number differs. All
    conventions stand in `CONVENTIONS`, by name.

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
    misses: str = ""
    takes: Callable[[Cost], Iterable[OpCost]] = iter

    @property
    def counts_operations(self) -> bool:
        """Whether the number is one of operations, not of activations."""
        return self.per_mac > 0

    def number(self, cost: Cost) -> int:
        """The number that this convention gives for a cost."""
        return sum(self.weigh(op) for op in self.takes(cost))

    def beyond_macs(self, cost: Cost) -> dict[OpKind, int]:
        """By kind, what the number holds more or less than `per_mac` for each MAC; kinds of which it is 0 are left out.

        Example:
            >>> import ulsam_cost as uc
            >>> uc.CONVENTIONS["ptflops"].beyond_macs(uc.attention_cost("eca", channels=32, height=7, width=5))
            {<OpKind.POOL_AVG: 'pool_avg'>: 2240}
        """
        beyond = {kind: -self.per_mac * part.macs for kind, part in cost.by_kind().items()}
        for op in self.takes(cost):
            beyond[op.kind] += self.weigh(op)
        return {kind: number for kind, number in beyond.items() if number}

    def number_unfused(self, cost: Cost) -> int | None:
        """The number with fused attention written as two matrix products; None where it is the same.

        Example:
            >>> import torch
            >>> import ulsam_cost as uc
            >>> layer = torch.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
            >>> fvcore, count = uc.CONVENTIONS["fvcore"], uc.count(layer.eval(), torch.empty(1, 5, 8))
            >>> fvcore.number_unfused(count.cost) - fvcore.number(count.cost) == 5 * 5 * 8 + 5 * 8 * 5
            True
        """
        unfused = attention_unfused(cost)
        if unfused is cost or (number := self.number(unfused)) == self.number(cost):
            return None
        return number


def attention_unfused(cost: Cost) -> Cost:
    """The cost had fused attention been written as `(q @ k.mT).softmax(-1) @ v`; itself where there is none."""
    ops = tuple(op._replace(operator="@") if op.operator == FUSED_ATTENTION else op for op in cost)
    return cost if ops == cost.ops else Cost(ops)


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
