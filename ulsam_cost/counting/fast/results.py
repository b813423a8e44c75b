"""What a function gives, as far as its operands' shapes tell it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

Shape = tuple[int, ...]
FLOATS = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})  # that every kernel takes
INTEGERS = frozenset({torch.int64, torch.int32})


class Made(NamedTuple):
    """A new tensor; its dimensions are in order in memory where there is no stride."""

    shape: Shape
    dtype: torch.dtype
    stride: Shape | None = None


Result = Made | Tensor | None
Infer = Callable[..., Result]


def like(x: Tensor, dtype: torch.dtype | None = None) -> Made | None:
    """What an operation that goes through one tensor element by element gives."""
    if x.is_contiguous():
        return Made(x.shape, dtype or x.dtype)
    stride = x.stride() if is_dense(x) else packed_stride(x)
    return None if stride is None else Made(x.shape, dtype or x.dtype, stride)


def is_dense(x: Tensor) -> bool:
    """Whether the elements of a tensor lie side by side in memory, in whatever order its dimensions do."""
    expected = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected or not size:
            return False
        expected *= size
    return True


def packed_stride(x: Tensor) -> Shape | None:
    """The stride of a new tensor whose dimensions are in memory in the order of those of `x`, None where two tie."""
    shape, own, expected = x.shape, x.stride(), 1
    if len(set(own)) < len(own) or 0 in own or 0 in shape:
        return None
    stride = [0] * len(own)
    for dim in sorted(range(len(own)), key=own.__getitem__):
        stride[dim] = expected
        expected *= shape[dim]
    return tuple(stride)


def channels_last(shape: Shape) -> Shape | None:
    """The stride of a batch of maps whose channels are innermost in memory, None where that may be another order."""
    c, h, w = shape[1:]
    return (c * h * w, 1, c * w, c) if c > 1 and h > 1 and w > 1 else None


def is_channels_last(x: Tensor) -> bool:
    """Whether a tensor is a batch of maps whose channels are innermost in memory, and can be nothing else."""
    return x.dim() == 4 and x.stride() == channels_last(x.shape)


def broadcast(a: Shape, b: Shape) -> Shape | None:
    """The shape of two tensors together, None where they do not fit."""
    if a == b:
        return a
    try:
        return tuple(torch.broadcast_shapes(a, b))
    except RuntimeError:
        return None


def suits(operand: Any, shape: Shape, dtype: torch.dtype) -> bool:
    """Whether an operand that may be absent has this shape and dtype."""
    return operand is None or (operand.dtype is dtype and tuple(operand.shape) == tuple(shape))


def sizes(value: Any, dims: int) -> Shape:
    """A size for each dimension, given as one number for all or one for each.

    Raises:
        TypeError: for anything else.
    """
    own = (value,) * dims if type(value) is int else tuple(value)
    own = own * dims if len(own) == 1 else own
    if len(own) != dims or any(type(size) is not int for size in own):
        raise TypeError
    return own


def dims_of(x: Tensor, dim: Any) -> Shape | None:
    """The dimensions that are meant, each once, from the first; None where they are not all there."""
    rank = x.dim()
    if dim is None or dim in ((), []):
        return tuple(range(rank))
    given = (dim,) if type(dim) is int else dim
    if any(type(own) is not int or not -rank <= own < rank for own in given):
        return None
    own = tuple(sorted(one % rank for one in given))
    return own if len(set(own)) == len(own) else None


def windows(image: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Shape | None:
    """To how many places a window goes, None where it goes to none or its sizes are refused."""
    if min(kernel + stride + dilation) < 1 or min(padding) < 0:
        return None
    rows = zip(image, kernel, stride, padding, dilation, strict=True)
    places = tuple([(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in rows])
    return places if min(places) > 0 else None
