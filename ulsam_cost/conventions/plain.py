"""The two counts that this project means when it names no tool."""

from ulsam_cost.conventions.registry import Convention, register

MACS = register(
    Convention(
        name="macs",
        source="one multiply-accumulate of a convolution, linear layer or matrix product is one MAC, a complex one 4",
        unit="MACs",
        counts="1 per MAC; no bias, norm, activation, pooling or element-wise work",
        weigh=lambda op: op.macs,
        products_only=True,
    )
)
FLOPS = register(
    Convention(
        name="flops",
        source="one MAC is one multiplication and one addition",
        unit="FLOPs",
        counts="2 per MAC; nothing else",
        weigh=lambda op: 2 * op.macs,
        per_mac=2,
        products_only=True,
    )
)
