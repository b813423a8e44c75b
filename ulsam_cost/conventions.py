"""Named counting rules, as data: what each tool and each paper calls "FLOPs"."""

from collections.abc import Callable
from dataclasses import dataclass

from ulsam_cost.cost import Cost, OpCost, OpKind
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


POOLS = (OpKind.POOL_MAX, OpKind.POOL_AVG)
RECTIFIERS = ("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU")


def _dcanet(op: OpCost) -> int:
    if op.kind is OpKind.NORM:
        return 2 * op.elements if op.module.startswith("BatchNorm") else 0
    if op.kind in POOLS:
        return op.reads if op.module else 0
    counts = (
        (op.kind is OpKind.BIAS and op.module.startswith("Conv"))
        or (op.kind is OpKind.ACTIVATION and op.module in RECTIFIERS)
        or (op.kind is OpKind.UPSAMPLE and op.module)
    )
    return op.elements if counts else op.macs if op.module else 0


DCANET = register(
    Convention(
        name="dcanet",
        source="read off the cost columns of DCANet (Ma et al.), 101 of whose 104 cells it gives",
        unit="FLOPs",
        counts="modules alone: 1 a MAC, a convolution's bias, an element of ReLUs or that pools read; 2 of batch norms",
        weigh=_dcanet,
    )
)
AW_RESNET101 = register(
    Convention(
        name="aw_resnet101",
        source="read off the ResNet101 rows of Table 1 of AW-convolution (Zhu et al.)",
        unit="FLOPs",
        counts="1 a MAC, 1 an element that a pool reads",
        weigh=lambda op: op.reads if op.kind in POOLS else op.macs,
    )
)
AW_RESNET50 = register(
    Convention(
        name="aw_resnet50",
        source="read off the ResNet50 rows of Table 1 of AW-convolution (Zhu et al.)",
        unit="FLOPs",
        counts="1 a MAC, 1 an element that a pool reads, 1 an element of products",
        weigh=lambda op: op.elements if op.kind is OpKind.MULTIPLY else AW_RESNET101.weigh(op),
    )
)
