"""What thop counted before its release 0.1.1: papers of 2019 to 2021 print these numbers.

Read off the tool's history. Not reproduced: a convolution's bias in June and July of 2019, which was one more position
of the kernel for every input channel, and is one more element here; transposed convolutions, upsampling.
"""

from collections.abc import Callable, Iterable
from math import isqrt

from ulsam_cost.conventions.registry import Convention, register
from ulsam_cost.cost import Cost, OpCost, OpKind

CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d")
BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
RECTIFIERS = ("ReLU", "ReLU6", "LeakyReLU")


def _last_calls(cost: Cost) -> Iterable[OpCost]:
    """What a counter keeps that writes a module's number anew each time that the module is called."""
    return {(op.path, op.kind): op for op in cost if op.leaf}.values()


def _products(op: OpCost, linear: Callable[[OpCost], int]) -> int:
    if op.module == "Linear":
        return linear(op) if op.kind is OpKind.LINEAR else 0
    return op.elements if op.kind is OpKind.BIAS else op.own_macs


def _average_pool(op: OpCost) -> int:
    if op.module.startswith("Adaptive"):
        return op.reads + op.elements
    return (isqrt(op.reduction) + 1) * op.elements  # the product of `kernel_size`, which is one number: 3, not 3 x 3


def _both_operations(op: OpCost) -> int:
    """A product and a sum for each of a row's inputs, but for the first sum."""
    return 2 * op.own_macs - op.elements


def _in_august_2019(op: OpCost) -> int:
    if op.module in (*CONVOLUTIONS, "Linear"):
        return _products(op, _both_operations)
    if op.kind is OpKind.NORM:
        return 4 * op.elements if op.module in BATCH_NORMS else 0
    return _average_pool(op) if op.kind is OpKind.POOL_AVG and op.leaf else 0


def _in_june_2019(op: OpCost) -> int:
    if op.kind is OpKind.ACTIVATION:
        return op.elements if op.module in RECTIFIERS else 0
    if op.kind is OpKind.POOL_MAX and op.module.startswith("MaxPool"):
        return isqrt(op.reduction) * op.elements
    return _in_august_2019(op)


def _in_2020(op: OpCost) -> int:
    if op.module == "Linear":
        return op.own_macs
    counted = _in_august_2019(op)
    return counted // 2 if op.kind is OpKind.NORM else counted


THOP_JUNE_2019 = register(
    Convention(
        name="thop_2019_06",
        source="thop of 25 June to 17 July 2019, thop/count_hooks.py and profile.py",
        unit="MACs",
        counts="only modules of known classes, each by its last call: 1 per MAC; linear layers 2n - 1 per element; "
        "batch norm 4 per element; ReLU and ReLU6 1; max pool k and average pool k + 1 per element; adaptive average "
        "pool 1 per element read and 1 per element written",
        weigh=_in_june_2019,
        takes=_last_calls,
    )
)
THOP_AUGUST_2019 = register(
    Convention(
        name="thop_2019_08",
        source="thop of August to December 2019, thop/count_hooks.py",
        unit="MACs",
        counts="only modules of known classes: 1 per MAC; biases of convolutions 1 per element; linear layers 2n - 1 "
        "per element; batch norm 4 per element; average pool k + 1 per element; adaptive average pool 1 per element "
        "read and 1 per element written; no ReLU, no max pool",
        weigh=_in_august_2019,
    )
)
THOP_2020 = register(
    Convention(
        name="thop_2020",
        source="thop of 2020 and 2021, before 0.1.0, thop/vision/basic_hooks.py",
        unit="MACs",
        counts="as thop of August 2019, but linear layers 1 per MAC, and batch norm 2 per element",
        weigh=_in_2020,
    )
)
