"""What the papers call FLOPs, as far as their printed numbers show."""

from ulsam_cost.conventions.registry import Convention, register
from ulsam_cost.cost import OpCost, OpKind

POOLS = (OpKind.POOL_MAX, OpKind.POOL_AVG)
RECTIFIERS = ("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU")


def _dcanet(op: OpCost) -> int:
    if op.kind is OpKind.NORM:
        return 2 * op.elements if op.module.startswith("BatchNorm") else 0
    if op.kind in POOLS:
        return op.reads if op.leaf else 0
    counts = (
        (op.kind is OpKind.BIAS and op.module.startswith("Conv"))
        or (op.kind is OpKind.ACTIVATION and op.module in RECTIFIERS)
        or (op.kind is OpKind.UPSAMPLE and op.leaf)
    )
    return op.elements if counts else op.macs if op.leaf else 0


DCANET = register(
    Convention(
        name="dcanet",
        source="inferred from the cost columns of DCANet (Ma et al.); gives 101 of the 104 cells",
        unit="FLOPs",
        counts="only modules: 1 per MAC; biases of convolutions and ReLU 1 per element; pools 1 per element read; "
        "batch norm 2 per element",
        weigh=_dcanet,
    )
)
AW_RESNET101 = register(
    Convention(
        name="aw_resnet101",
        source="inferred from the ResNet101 rows of Table 1 of AW-convolution (Zhu et al.)",
        unit="FLOPs",
        counts="1 per MAC; pools 1 per element read",
        weigh=lambda op: op.reads if op.kind in POOLS else op.macs,
    )
)
AW_RESNET50 = register(
    Convention(
        name="aw_resnet50",
        source="inferred from the ResNet50 rows of Table 1 of AW-convolution (Zhu et al.)",
        unit="FLOPs",
        counts="1 per MAC; pools 1 per element read; elementwise products 1 per element",
        weigh=lambda op: op.elements if op.kind is OpKind.MULTIPLY else AW_RESNET101.weigh(op),
    )
)
