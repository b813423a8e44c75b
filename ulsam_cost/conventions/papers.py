"""What the papers call FLOPs, as far as their printed numbers show."""

from ulsam_cost.conventions.registry import Convention, register
from ulsam_cost.cost import OpCost, OpKind

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
