"""What goes element by element gives, and what moves elements."""

from typing import Any

import torch
from torch import Tensor

from ulsam_cost.counting.fast.results import (
    FLOATS,
    INTEGERS,
    Infer,
    Made,
    Result,
    Shape,
    broadcast,
    is_dense,
    like,
    packed_stride,
)

_NUMBERS = (int, float)
_KNOWN = FLOATS | INTEGERS | {torch.bool}


def activation(x: Tensor, inplace: bool = False) -> Result:
    """A function of each element."""
    if x.dtype not in FLOATS or type(inplace) is not bool:
        return None
    if not inplace:
        return like(x)
    return x if x.is_meta and is_dense(x) else None


def unary(x: Tensor) -> Result:
    return activation(x)


def into(x: Tensor) -> Result:
    """A function of each element that is written in its place."""
    return activation(x, inplace=True)


def elu(x: Tensor, alpha: Any = 1.0, inplace: bool = False) -> Result:
    return activation(x, inplace) if type(alpha) in _NUMBERS else None


def leaky_relu(x: Tensor, negative_slope: Any = 0.01, inplace: bool = False) -> Result:
    return activation(x, inplace) if type(negative_slope) in _NUMBERS else None


def hardtanh(x: Tensor, min_val: Any = -1, max_val: Any = 1, inplace: bool = False) -> Result:
    if type(min_val) not in _NUMBERS or type(max_val) not in _NUMBERS or min_val > max_val:
        return None
    return activation(x, inplace)


def gelu(x: Tensor, approximate: str = "none") -> Result:
    return activation(x) if approximate in ("none", "tanh") else None


def softplus(x: Tensor, beta: Any = 1, threshold: Any = 20) -> Result:
    return activation(x) if type(beta) in _NUMBERS and type(threshold) in _NUMBERS else None


def clamp(x: Tensor, min: Any = None, max: Any = None) -> Result:
    if any(type(limit) not in (*_NUMBERS, type(None)) for limit in (min, max)) or min is max is None:
        return None
    return activation(x)


def power(x: Tensor, exponent: Any) -> Result:
    return activation(x) if type(exponent) in _NUMBERS else None


def binary(kinds: frozenset[torch.dtype], result: torch.dtype | None = None) -> Infer:
    """An operation of two operands whose common dtype is one of these; the second may be a number."""

    def infer(a: Any, b: Any) -> Result:
        if not isinstance(a, Tensor):
            return None
        common = _common(a, b)
        if common is None or common[1] not in kinds:
            return None
        shape, dtype, stride = common
        return Made(shape, result or dtype, stride)

    return infer


def _common(a: Tensor, b: Any) -> tuple[Shape, torch.dtype, Shape | None] | None:
    """The shape of two operands together, their common dtype, and how the result lies in memory."""
    if isinstance(b, Tensor):
        dtype = a.dtype if a.dtype is b.dtype else torch.result_type(a, b)
        shape = broadcast(a.shape, b.shape)
        if shape is None or a.dtype not in _KNOWN or b.dtype not in _KNOWN:
            return None
        in_order = a.is_contiguous()
        if in_order and b.is_contiguous():
            return shape, dtype, None
        for whole, other in ((a, b), (b, a)):
            is_like = other.shape == whole.shape and other.stride() == whole.stride()
            is_vector = sum(size != 1 for size in other.shape) <= 1
            if whole.shape == shape and (is_like or (is_vector and whole is a)) and is_dense(whole):
                return shape, dtype, whole.stride()
        stride = packed_stride(a) if a.shape == shape else None
        return None if stride is None else (shape, dtype, None if in_order else stride)
    if type(b) not in _NUMBERS or a.dtype not in _KNOWN:
        return None
    found = like(a, torch.result_type(a, b))
    return None if found is None else (found.shape, found.dtype, found.stride)


def binary_into(kinds: frozenset[torch.dtype]) -> Infer:
    """An operation of two operands that is written in the place of the first."""

    def infer(a: Any, b: Any) -> Result:
        if not isinstance(a, Tensor) or not a.is_meta:
            return None
        common = _common(a, b)
        if common is None or common[1] is not a.dtype or common[1] not in kinds or common[0] != a.shape:
            return None
        return a

    return infer


SUMS, PRODUCTS = binary(FLOATS | INTEGERS | {torch.bool}), binary(FLOATS | INTEGERS | {torch.bool})
DIFFERENCES, QUOTIENTS = binary(FLOATS | INTEGERS), binary(FLOATS)
COMPARISONS = binary(_KNOWN, torch.bool)
SUMS_INTO = binary_into(FLOATS | INTEGERS)
QUOTIENTS_INTO = binary_into(FLOATS)


def where(condition: Any, a: Any, b: Any) -> Result:
    if not all(isinstance(operand, Tensor) and operand.is_contiguous() for operand in (condition, a, b)):
        return None
    pair = broadcast(a.shape, b.shape)
    shape = None if pair is None else broadcast(pair, condition.shape)
    if shape is None or condition.dtype is not torch.bool or a.dtype is not b.dtype or a.dtype not in _KNOWN:
        return None
    return Made(shape, a.dtype)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Result:
    return x if training is False and type(p) in _NUMBERS and 0 <= p <= 1 else None


def itself_in(dtype: torch.dtype) -> Infer:
    """A conversion to a dtype, where there is nothing to convert."""

    def infer(x: Tensor) -> Result:
        return x if x.dtype is dtype and x.is_meta else None

    return infer


def cat(tensors: Any, dim: int = 0) -> Result:
    first, lengths = _row(tensors), 0
    if first is None or type(dim) is not int or not -first.dim() <= dim < first.dim():
        return None
    at, shape = dim % first.dim(), first.shape
    for tensor in tensors:
        own = tensor.shape
        if len(own) != len(shape) or own[:at] != shape[:at] or own[at + 1 :] != shape[at + 1 :]:
            return None
        lengths += own[at]
    return Made((*shape[:at], lengths, *shape[at + 1 :]), first.dtype)


def stack(tensors: Any, dim: int = 0) -> Result:
    first = _row(tensors)
    if first is None or type(dim) is not int or not -first.dim() - 1 <= dim <= first.dim():
        return None
    at, shape = dim % (first.dim() + 1), first.shape
    if any(tensor.shape != shape for tensor in tensors):
        return None
    return Made((*shape[:at], len(tensors), *shape[at:]), first.dtype)


def _row(tensors: Any) -> Tensor | None:
    """The first of a row of tensors of one dtype that are not empty, and whose order in memory does not matter."""
    if type(tensors) not in (list, tuple) or not tensors:
        return None
    first: Tensor = tensors[0]
    dtype, may_be_maps = first.dtype, first.dim() in (4, 5)
    for tensor in tensors:
        if tensor.dtype is not dtype or not tensor.numel() or (may_be_maps and not tensor.is_contiguous()):
            return None
    return first if dtype in _KNOWN else None


def pad(x: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Result:
    if mode != "constant" or type(pad) not in (list, tuple) or not x.is_contiguous() or x.dtype not in _KNOWN:
        return None
    if len(pad) % 2 or len(pad) > 2 * x.dim() or any(type(size) is not int or size < 0 for size in pad):
        return None
    if not (value is None or type(value) in _NUMBERS) or not x.numel():
        return None
    shape = list(x.shape)
    for at, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        shape[-at] += before + after
    return Made(tuple(shape), x.dtype)


def roll(x: Tensor, shifts: Any, dims: Any = None) -> Result:
    shifts, dims = ((value,) if type(value) is int else value for value in (shifts, dims))
    if type(shifts) not in (tuple, list) or type(dims) not in (tuple, list) or len(shifts) != len(dims):
        return None
    rank = x.dim()
    if not dims or any(type(dim) is not int or not -rank <= dim < rank for dim in dims):
        return None
    if any(type(shift) is not int for shift in shifts) or x.dtype not in _KNOWN:
        return None
    return Made(x.shape, x.dtype) if x.numel() else None
