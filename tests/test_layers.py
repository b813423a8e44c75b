"""Closed forms of the layers against loops that visit every multiplication, and against torch's own shapes."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from ulsam_cost.cost import OpKind
from ulsam_cost.errors import SizeError
from ulsam_cost.formulas import layers

small = st.integers(1, 5)


def loops_of_a_convolution(n, channels, out_channels, size, kernel, stride, padding, dilation, groups):
    """Every multiplication of a convolution, taps on the padding included; and the shape of the result."""
    positions = [
        [start for start in range(-padding, extent + padding, stride) if start + dilation * (k - 1) < extent + padding]
        for extent, k in zip(size, kernel, strict=True)
    ]
    multiplications = 0
    for _ in product(range(n), range(out_channels), positions[0], positions[1]):
        for _ in product(range(channels // groups), range(kernel[0]), range(kernel[1])):
            multiplications += 1
    return multiplications, (n, out_channels, len(positions[0]), len(positions[1]))


@given(
    n=st.integers(1, 2),
    per_group=st.integers(1, 3),
    out_per_group=st.integers(1, 2),
    groups=st.integers(1, 3),
    h=st.integers(3, 8),
    w=st.integers(3, 8),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
)
def test_convolution(n, per_group, out_per_group, groups, h, w, kernel, stride, padding, dilation, bias):
    c, out = per_group * groups, out_per_group * groups
    if any(dilation * (k - 1) + 1 > size + 2 * padding for k, size in zip(kernel, (h, w), strict=True)):
        return
    cost = layers.conv2d_cost(
        "conv",
        (n, c, h, w),
        out,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    macs, shape = loops_of_a_convolution(n, c, out, (h, w), kernel, stride, padding, dilation, groups)
    module = nn.Conv2d(c, out, kernel, stride, padding, dilation, groups, bias)
    assert cost.macs == macs
    assert cost.output == shape == tuple(module(torch.zeros(n, c, h, w)).shape)
    assert cost.params == sum(p.numel() for p in module.parameters())
    assert cost.of_kind(OpKind.BIAS).params == (out if bias else 0)


@given(rows=small, inner=small, outer=small)
def test_linear(rows, inner, outer):
    cost = layers.linear_cost("fc", (rows, inner), outer)
    assert cost.macs == sum(1 for _ in product(range(rows), range(inner), range(outer)))
    assert cost.params == inner * outer + outer
    assert cost.output == (rows, outer)


@given(batch=small, i=small, k=small, j=small)
def test_matmul(batch, i, k, j):
    cost = layers.matmul_cost("", (batch, i, k), (batch, k, j))
    assert cost.macs == sum(1 for _ in product(range(batch), range(i), range(k), range(j)))
    assert cost.params == 0


def test_max_pool_has_the_shape_of_torchs():
    x = torch.zeros(2, 3, 7, 10)
    cost = layers.max_pool2d_cost("", tuple(x.shape), kernel=3, stride=2, padding=1)
    assert cost.output == tuple(F.max_pool2d(x, 3, 2, 1).shape)
    assert cost.ops[0].reduction == 3 * 3


@pytest.mark.parametrize(
    ("cost_of", "pool", "kind"),
    [
        (layers.max_pool2d_cost, F.max_pool2d, OpKind.POOL_MAX),
        (layers.avg_pool2d_cost, F.avg_pool2d, OpKind.POOL_AVG),
    ],
)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((3, 2), (1, 2), (1, 0)), ((2, 5), (3, 1), (0, 2)), (3, (2, 3), 1)], ids=str
)
def test_a_pool_that_is_not_square_has_the_shape_of_torchs(cost_of, pool, kind, kernel, stride, padding):
    x = torch.zeros(2, 3, 9, 16)
    (op,) = cost_of("", tuple(x.shape), kernel=kernel, stride=stride, padding=padding)
    kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    assert op.output == tuple(pool(x, kernel, stride, padding).shape)
    assert (op.kind, op.reads, op.writes, op.reduction) == (kind, 2 * 3 * 9 * 16, op.elements, kh * kw)


@pytest.mark.parametrize("window", [(2, 3), (3, 2), (4, 5)], ids=str)
def test_an_average_pool_whose_last_window_is_cut(window):
    x = torch.zeros(2, 3, 9, 16)
    cost = layers.avg_pool2d_cost("", tuple(x.shape), kernel=window, stride=window, ceil=True)
    assert cost.output == tuple(F.avg_pool2d(x, window, window, ceil_mode=True).shape)


def test_a_convolution_whose_sizes_are_not_square():
    x = torch.zeros(2, 3, 9, 16)
    sizes = {"stride": (2, 3), "padding": (1, 0), "dilation": (1, 4)}
    cost = layers.conv2d_cost("", tuple(x.shape), 5, kernel=(3, 2), **sizes)
    assert cost.output == tuple(F.conv2d(x, torch.zeros(5, 3, 3, 2), **sizes).shape) == (2, 5, 5, 4)
    assert cost.macs == (2 * 5 * 5 * 4) * (3 * 3 * 2)


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(SizeError, match="a window of 5 does not fit a map of 3 with padding 0: 5 or more is accepted"):
        layers.conv2d_cost("", (1, 1, 3, 3), 1, kernel=5)


def test_bytes_are_reads_and_writes_times_the_item():
    cost = layers.linear_cost("", (2, 3), 5)
    # x, weight and bias are read, the result is written
    assert cost.bytes(4) == 4 * (2 * 3 + 3 * 5 + 5 + 2 * 5)


def test_costs_add_and_split():
    cost = layers.linear_cost("a.b", (1, 2), 3) + layers.relu_cost("a.c", (1, 3))
    assert cost.params == sum(part.params for part in cost.by_kind().values())
    assert list(cost.by_path(1)) == ["a"]
    assert list(cost.by_path(2)) == ["a.b", "a.c"]
    assert cost.scoped("net").under("net.a.b").macs == 2 * 3
    assert cost.under("a.c").macs == 0
    assert cost.activations == 3
