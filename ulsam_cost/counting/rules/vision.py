"""The operators of torchvision, by their names: torchvision itself is not imported."""

from math import prod
from typing import Any

from torch import Tensor

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules.registry import Record, Rule, record_work, rule_named
from ulsam_cost.operations import convolution_work

TAPS = 4  # of a bilinear sample
# Of two boxes: the four sides of their intersection, its two lengths, which are at least 0, and its area; the union;
# the quotient; the comparison.
OVERLAP = 4 + 2 + 2 + 1 + 2 + 1 + 1
AREA = 3  # of a box: two lengths and their product


@rule_named("torchvision::deform_conv2d")
def deformable_convolution(
    record: Record, out: Tensor, x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Any, *others: Any
) -> None:
    is_masked = others[-1] is not False and mask.numel() > 0
    n, channels = x.shape[:2]
    taps = prod(weight.shape[2:])
    samples = (n, channels * taps, *out.shape[2:])
    # Each tap is a sample between four elements of the map.
    record(OpKind.UPSAMPLE, samples, reads=x.numel() + offset.numel(), reduction=TAPS)
    if is_masked:
        record(OpKind.MULTIPLY, samples, reads=prod(samples) + mask.numel())
    # [n, out, ho, wo] = [n, c, h, w] * [out, c / groups, kh, kw]
    record_work(record, OpKind.CONV, out.shape, convolution_work(samples, weight.shape, out.shape), (weight,))
    record.bias(out.shape, bias)


@rule_named("torchvision::roi_align")
def region_align(
    record: Record, out: Tensor, x: Tensor, boxes: Tensor, scale: float, height: int, width: int, ratio: int, *_: Any
) -> None:
    """The average of `ratio` x `ratio` samples a bin; where a box's size says how many, of one, which is the least."""
    record(OpKind.UPSAMPLE, out.shape, reads=x.numel() + boxes.numel(), reduction=TAPS * max(1, ratio) ** 2)


@rule_named("torchvision::ps_roi_align")
def region_align_by_position(record: Record, out: Tensor, *args: Any) -> None:
    region_align(record, out, *args)


def region_pool(kind: OpKind) -> Rule:
    """Bins share out a box, whose size is not looked at: each is taken to be one element, which is the least."""

    def pool(record: Record, out: Tensor, x: Tensor, boxes: Tensor, *_: Any) -> None:
        record(kind, out.shape, reads=x.numel() + boxes.numel())

    return pool


rule_named("torchvision::roi_pool")(region_pool(OpKind.POOL_MAX))
rule_named("torchvision::ps_roi_pool")(region_pool(OpKind.POOL_AVG))


@rule_named("torchvision::nms torchvision::qnms")
def suppression(record: Record, out: Tensor, boxes: Tensor, scores: Tensor, *_: Any) -> None:
    """Every pair of boxes, which is the most: those that are suppressed already are passed over."""
    n = boxes.shape[0]
    operations = n * AREA + n * (n - 1) // 2 * OVERLAP
    reads = boxes.numel() + scores.numel()
    record(OpKind.ELEMENTWISE, out.shape, reads=reads, operations=operations)
