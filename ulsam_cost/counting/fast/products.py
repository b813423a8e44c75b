"""What convolutions, matrix products and attention give."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.counting.fast.results import FLOATS, Infer, Made, Result, Shape, broadcast, sizes, suits, windows
from ulsam_cost.torch_private import without_dispatch


def convolution(dims: int) -> Infer:
    """A convolution over this many dimensions."""

    def infer(
        x: Tensor,
        weight: Tensor,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Result:
        shape, weights = x.shape, weight.shape
        if not _convolves(x, weight, dims) or isinstance(padding, str) or type(groups) is not int:
            return None
        out, share = weights[:2]
        if groups < 1 or shape[1] != share * groups or out % groups or not suits(bias, (out,), x.dtype):
            return None
        steps = sizes(stride, dims), sizes(padding, dims), sizes(dilation, dims)
        places = windows(shape[2:], weights[2:], *steps)
        return None if places is None else Made((shape[0], out, *places), x.dtype)

    return infer


def transposed_convolution(dims: int) -> Infer:
    """A transposed convolution over this many dimensions."""

    def infer(
        x: Tensor,
        weight: Tensor,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Result:
        shape, weights = x.shape, weight.shape
        if not _convolves(x, weight, dims) or type(groups) is not int or groups < 1:
            return None
        channels, share = weights[:2]
        if shape[1] != channels or channels % groups or not suits(bias, (share * groups,), x.dtype):
            return None
        steps, pads = sizes(stride, dims), sizes(padding, dims)
        more, spread = sizes(output_padding, dims), sizes(dilation, dims)
        if min(steps + spread) < 1 or min(pads + more) < 0:
            return None
        if any(extra >= max(step, wide) for extra, step, wide in zip(more, steps, spread, strict=True)):
            return None
        rows = zip(shape[2:], weights[2:], steps, pads, more, spread, strict=True)
        places = [(size - 1) * s - 2 * p + d * (k - 1) + extra + 1 for size, k, s, p, extra, d in rows]
        return Made((shape[0], share * groups, *places), x.dtype) if min(places) > 0 else None

    return infer


def _convolves(x: Tensor, weight: Tensor, dims: int) -> bool:
    """Whether both are batches of maps of this many dimensions, of floats, which give maps that are in order."""
    shape, weights = x.shape, weight.shape
    if len(shape) != dims + 2 or len(weights) != dims + 2 or min(shape + weights) < 1:
        return False
    return _are_alike(x, weight) and weight.is_contiguous() and (x.is_contiguous() or _gives_maps_in_order())


@cache
def _gives_maps_in_order() -> bool:
    """Whether a convolution on the meta device gives maps in order whatever it is given: releases of PyTorch differ."""
    with without_dispatch():
        x = torch.empty_strided((1, 2, 3, 3), (18, 1, 6, 2), device="meta")
        return torch.conv2d(x, torch.empty((2, 2, 2, 2), device="meta")).is_contiguous()


def _are_alike(a: Tensor, b: Tensor) -> bool:
    return a.dtype is b.dtype and a.dtype in FLOATS


def linear(x: Tensor, weight: Tensor, bias: Any = None) -> Result:
    shape, weights = x.shape, weight.shape
    if len(weights) != 2 or not shape or shape[-1] != weights[1] or not _are_alike(x, weight):
        return None
    return Made((*shape[:-1], weights[0]), x.dtype) if suits(bias, (weights[0],), x.dtype) else None


def matmul(a: Tensor, b: Tensor) -> Result:
    left, right = a.shape, b.shape
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2] or not _are_alike(a, b):
        return None
    batch = broadcast(left[:-2], right[:-2])
    return None if batch is None else Made((*batch, left[-2], right[-1]), a.dtype)


def batched_product(a: Tensor, b: Tensor) -> Result:
    return matmul(a, b) if a.dim() == b.dim() == 3 and a.shape[0] == b.shape[0] else None


def unknown(*_: Any, **__: Any) -> Result:
    """Of what has a rule for the whole, but runs."""
    return None


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Result:
    q, k, v, dtype = query.shape, key.shape, value.shape, query.dtype
    if not len(q) == len(k) == len(v) == 4 or q[0] != k[0] or k[:3] != v[:3] or q[3] != k[3]:
        return None
    if dtype not in FLOATS or key.dtype is not dtype or value.dtype is not dtype or min(q + k + v) < 1:
        return None
    if q[1] != k[1] and not (enable_gqa is True and q[1] % k[1] == 0):
        return None
    if dropout_p:
        return None
    if attn_mask is not None and (is_causal or not _masks(attn_mask, (*q[:3], k[2]), dtype)):
        return None
    shape = (*q[:3], v[3])
    return Made(shape, dtype, _in_order_of(query, shape))


def _masks(mask: Tensor, scores: Shape, dtype: torch.dtype) -> bool:
    """Whether a mask is one of these scores."""
    pairs = zip(reversed(mask.shape), reversed(scores), strict=False)
    fits = 2 <= mask.dim() <= len(scores) and all(size in (1, wanted) for size, wanted in pairs)
    return fits and mask.dtype in (torch.bool, dtype)


def _in_order_of(x: Tensor, shape: Shape) -> Shape | None:
    """The stride of a tensor of this shape whose dimensions are in the order in memory that those of `x` have."""
    if x.is_contiguous():
        return None
    stride, expected = [0] * len(shape), 1
    for dim in sorted(range(x.dim()), key=lambda dim: (x.stride(dim), -dim)):
        stride[dim] = expected
        expected *= shape[dim]
    return tuple(stride)


def embedding(
    indices: Tensor,
    weight: Tensor,
    padding_idx: Any = None,
    max_norm: Any = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Result:
    if weight.dim() != 2 or max_norm is not None or indices.dtype not in (torch.int64, torch.int32):
        return None
    if type(norm_type) is not float or type(scale_grad_by_freq) is not bool or type(sparse) is not bool:
        return None
    rows = weight.shape[0]
    if padding_idx is not None and not (type(padding_idx) is int and -rows <= padding_idx < rows):
        return None
    return Made((*indices.shape, weight.shape[1]), weight.dtype)
