"""Operators of other libraries: torchvision's by their schemas alone, custom ones by the rule that is registered."""

import pytest
import torch
from counting import Call, zeros

import ulsam_cost as uc

SCHEMAS = {
    "deform_conv2d": (
        "(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w, "
        "SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, "
        "bool use_mask) -> Tensor",
        lambda x, weight, offset, *_: x.new_empty(x.shape[0], weight.shape[0], *offset.shape[2:]),
    ),
    "roi_align": (
        "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor",
        lambda x, rois, scale, height, width, *_: x.new_empty(rois.shape[0], x.shape[1], height, width),
    ),
    "roi_pool": (
        "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) "
        "-> (Tensor, Tensor)",
        lambda x, rois, scale, height, width: (x.new_empty(rois.shape[0], x.shape[1], height, width),) * 2,
    ),
    "ps_roi_align": (
        "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
        "int sampling_ratio) -> (Tensor, Tensor)",
        lambda x, rois, scale, height, width, ratio: (
            (x.new_empty(rois.shape[0], x.shape[1] // (height * width), height, width),) * 2
        ),
    ),
    "nms": ("(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", lambda dets, *_: torch.arange(len(dets))),
}


@pytest.fixture(scope="module")
def vision():
    """The operators that torchvision's compiled part registers."""
    try:
        import torchvision  # noqa: F401
    except Exception:  # without it, or without its compiled part
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name, (schema, kernel) in SCHEMAS.items():
            if not hasattr(torch.ops.torchvision, name):
                library.define(f"{name}{schema}")
                for device in ("Meta", "CPU") if name != "nms" else ("CPU",):
                    library.impl(name, kernel, device)
        yield torch.ops.torchvision
    else:
        yield torch.ops.torchvision


@pytest.mark.parametrize("masked", [True, False])
def test_deformable_convolution(vision, masked):
    n, c, out, h, w, kernel = 2, 4, 6, 7, 5, 3 * 3
    mask = zeros(n, kernel, h, w) if masked else zeros(n, 1)
    inputs = zeros(n, c, h, w), zeros(out, c, 3, 3), zeros(n, 2 * kernel, h, w), mask, zeros(out)
    count = uc.count(Call(lambda *x: vision.deform_conv2d(*x, 1, 1, 1, 1, 1, 1, 1, 1, masked)), inputs)
    assert count.macs == n * out * (h * w) * (c * kernel)
    assert (count.activations, count.uncounted) == (n * out * h * w, ())
    samples = n * c * kernel * h * w
    assert count.number("strict") == 2 * count.macs + samples * (4 + 3) + masked * samples + n * out * h * w
    assert count.number("torch") == 0  # which does not know it


@pytest.mark.parametrize("ratio", [2, -1])
def test_regions_are_sampled_between_elements(vision, ratio):
    boxes, channels, height, width = 3, 4, 7, 5
    model = Call(lambda x, rois: vision.roi_align(x, rois, 0.25, height, width, ratio, False))
    count = uc.count(model, (zeros(1, channels, 20, 20), zeros(boxes, 5)))
    taps = 4 * max(ratio, 1) ** 2
    assert (count.macs, count.uncounted) == (0, ())
    assert count.number("strict") == boxes * channels * (height * width) * (2 * taps - 1)


def test_regions_by_position(vision):
    model = Call(lambda x, rois: vision.ps_roi_align(x, rois, 1.0, 3, 3, 1))
    count = uc.count(model, (zeros(1, 18, 20, 20), zeros(5, 5)))
    assert (count.number("strict"), count.uncounted) == (5 * 2 * (3 * 3) * (2 * 4 - 1), ())


def test_the_largest_of_each_bin(vision):
    count = uc.count(Call(lambda x, rois: vision.roi_pool(x, rois, 1.0, 3, 3)), (zeros(1, 4, 20, 20), zeros(5, 5)))
    [op] = count.cost
    assert (op.kind, op.output, count.uncounted) == (uc.OpKind.POOL_MAX, (5, 4, 3, 3), ())


def test_suppression_compares_each_pair(vision):
    count = uc.count(Call(lambda boxes, scores: vision.nms(boxes, scores, 0.5)), (torch.rand(9, 4), torch.rand(9)))
    operations = 0
    for first in range(9):
        operations += 3
        for _second in range(first + 1, 9):
            operations += 4 + 2 + 2 + 1 + 2 + 1 + 1
    assert (count.macs, count.number("strict"), count.uncounted) == (0, operations, ())
    assert sum(op.reads for op in count.cost if op.operations) == 9 * 4 + 9


def test_a_rule_of_this_packages_is_not_replaced(vision):
    with pytest.raises(uc.CostError, match="has a rule already"):
        uc.register_rule("torchvision::nms", lambda record, out, *_: None)
