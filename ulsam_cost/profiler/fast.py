"""The fast path: common functions answered from the shapes of their operands, without running them.

An answer records the call and gives the shape of the result, or the operand itself where it is written in place.
Where it does not know the result for certain it gives None before it records anything, and the function runs on
the meta device like any other: an error in the user's model is torch's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ulsam_cost.cost import OpKind
from ulsam_cost.profiler.recorder import Recorder
from ulsam_cost.profiler.rules import products
from ulsam_cost.profiler.rules.attention import attention as attention_rule
from ulsam_cost.profiler.rules.registry import Record, Rule

Shape = tuple[int, ...]
Answer = Shape | Tensor | None
STRIDED = torch.strided


@dataclass(frozen=True, slots=True, kw_only=True)
class Fast:
    """How to answer a function: its canonical name, its answer, and which operand's dtype a new result has.

    Where there is a `whole`, that rule records the function even when it runs, whatever the dispatcher shows; where
    `in_order`, the result lies in memory as the first operand does.
    """

    operator: str
    answer: Callable[..., Answer]
    dtype_of: int = 0
    whole: Rule | None = None
    in_order: bool = False


def _pair(value: Any) -> tuple[int, int]:
    if type(value) is tuple and len(value) == 2:
        return value
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def conv2d(
    record: Recorder,
    x: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Answer:
    dtype = x.dtype
    if dtype is not weight.dtype or dtype.is_complex or not x.is_contiguous() or not weight.is_contiguous():
        return None
    sizes = _conv2d_sizes(x.shape, weight.shape, stride, padding, dilation, groups)
    if sizes is None:
        return None
    result, elements, macs, reads, taps = sizes
    record.known(OpKind.CONV, result, elements, macs, reads, taps, (weight,))
    if bias is not None:
        record.bias(result, bias)
    return result


@lru_cache(maxsize=4096)
def _conv2d_sizes(
    shape: Shape, weights: Shape, stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[Shape, int, int, int, int] | None:
    """The result's shape, its elements, the MACs, the elements read, and the taps: a network repeats its sizes."""
    if len(shape) != 4 or len(weights) != 4 or isinstance(padding, str):
        return None
    n, channels, height, width = shape
    out, share, kh, kw = weights
    if channels != share * groups or out % groups:
        return None
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    ho = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    wo = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    if ho < 1 or wo < 1:
        return None
    # [n, out, ho, wo] = [n, c, h, w] * [out, c / groups, kh, kw]
    elements, taps = n * out * ho * wo, share * kh * kw
    return (n, out, ho, wo), elements, elements * taps, prod(shape) + out * taps, taps


def _multiply(a: Tensor, b: Tensor) -> bool:
    """Whether a product of these is one of real numbers of one kind, all of which are stored."""
    dtype = a.dtype
    return dtype is b.dtype and dtype.is_floating_point and a.layout is STRIDED and b.layout is STRIDED


def linear(record: Recorder, x: Tensor, weight: Tensor, bias: Any = None) -> Answer:
    shape, weights = x.shape, weight.shape
    if len(weights) != 2 or not shape or shape[-1] != weights[1] or not _multiply(x, weight):
        return None
    result = (*shape[:-1], weights[0])
    products.product(record, result, x, weight, bias, length=weights[1])
    return result


def matmul(record: Recorder, a: Tensor, b: Tensor) -> Answer:
    left, right = a.shape, b.shape
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2] or not _multiply(a, b):
        return None
    batch: Shape | None = left[:-2]
    if len(right) > 2 and batch != right[:-2]:
        batch = _broadcast(left[:-2], right[:-2])
    if batch is None:
        return None
    result = (*batch, left[-2], right[-1])
    products.product(record, result, a, b, length=left[-1])
    return result


def matmul_whole(record: Record, out: Tensor, input: Tensor, other: Tensor) -> None:
    # [..., i, j] = [..., i, k] @ [..., k, j], and the same with vectors
    products.product(record, out.shape, input, other, length=input.shape[-1])


def unanswered(*_: Any, **__: Any) -> Answer:
    return None


def _broadcast(a: Shape, b: Shape) -> Shape | None:
    try:
        return tuple(torch.broadcast_shapes(a, b))
    except RuntimeError:
        return None


def attention(record: Recorder, query: Tensor, key: Tensor, value: Tensor, *options: Any, **more: Any) -> Answer:
    q, k, v = query.shape, key.shape, value.shape
    if not len(q) == len(k) == len(v) == 4 or q[0] != k[0] or k[:3] != v[:3] or q[3] != k[3]:
        return None
    if q[1] != k[1] and not (more.get("enable_gqa") and q[1] % k[1] == 0):
        return None
    attention_rule(record, None, query, key, value)
    return (*q[:3], v[3])


def embedding(record: Recorder, indices: Tensor, weight: Tensor, *_: Any, **options: Any) -> Answer:
    if weight.dim() != 2 or options.get("max_norm"):
        return None
    result = (*indices.shape, weight.shape[1])
    elements = prod(result)
    record.known(OpKind.MOVEMENT, result, elements, 0, elements + indices.numel(), 1, (weight,))
    return result


def batch_norm(
    record: Recorder,
    x: Tensor,
    mean: Any,
    var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    *_: Any,
    **__: Any,
) -> Answer:
    shape = x.shape
    if len(shape) < 2 or not x.is_contiguous() or (mean is not None and mean.shape[0] != shape[1]):
        return None
    elements, channels = x.numel(), shape[1]
    absent = (weight is None) + (bias is None) + (mean is None) + (var is None)
    reads = elements + channels * (4 - absent)
    record.known(OpKind.NORM, shape, elements, 0, reads, elements // channels if training else 1, (weight, bias))
    return shape


def layer_norm(record: Recorder, x: Tensor, normalized: Any, weight: Any = None, bias: Any = None, *_: Any) -> Answer:
    shape, size = x.shape, len(normalized)
    if not x.is_contiguous() or tuple(shape[len(shape) - size :]) != tuple(normalized):
        return None
    elements, row = x.numel(), prod(normalized)
    operands = [operand for operand in (weight, bias) if operand is not None]
    record.known(OpKind.NORM, shape, elements, 0, elements + len(operands) * row, row, operands)
    return shape


def max_pool2d(
    record: Recorder,
    x: Tensor,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Answer:
    shape = x.shape
    if len(shape) != 4 or ceil_mode or return_indices or not x.is_contiguous():
        return None
    (kh, kw), (ph, pw), (dh, dw) = _pair(kernel), _pair(padding), _pair(dilation)
    sh, sw = _pair(stride or kernel)
    ho = (shape[2] + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    wo = (shape[3] + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    if ho < 1 or wo < 1:
        return None
    result = (shape[0], shape[1], ho, wo)
    record.known(OpKind.POOL_MAX, result, prod(result), 0, x.numel(), kh * kw, (x,))
    return result


def adaptive_avg_pool2d(record: Recorder, x: Tensor, output_size: Any) -> Answer:
    shape = x.shape
    if len(shape) != 4 or not x.is_contiguous():
        return None
    pair = (output_size, output_size) if isinstance(output_size, int) else output_size
    height, width = (size if wanted is None else wanted for wanted, size in zip(pair, shape[2:], strict=True))
    result, reads = (shape[0], shape[1], height, width), x.numel()
    elements = prod(result)
    record.known(OpKind.POOL_AVG, result, elements, 0, reads, max(1, reads // elements), (x,))
    return result


def softmax(record: Recorder, x: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Answer:
    shape = x.shape
    if not isinstance(dim, int) or not -len(shape) <= dim < len(shape) or dtype is not None:
        return None
    if not (x.dtype.is_floating_point and x.is_contiguous()):
        return None
    elements = x.numel()
    record.known(OpKind.SOFTMAX, shape, elements, 0, elements, shape[dim], ())
    return shape


def activation(record: Recorder, x: Tensor, inplace: bool = False) -> Answer:
    if not (x.dtype.is_floating_point and x.is_contiguous()):
        return None
    shape, elements = x.shape, x.numel()
    if inplace and not x.is_meta:
        return None
    record.known(OpKind.ACTIVATION, shape, elements, 0, elements, 1, (x,))
    return x if inplace else shape


def hardtanh(record: Recorder, x: Tensor, low: Any = -1, high: Any = 1, inplace: bool = False) -> Answer:
    return activation(record, x, inplace)


def gelu(record: Recorder, x: Tensor, approximate: str = "none") -> Answer:
    return activation(record, x)


def elementwise(kind: OpKind) -> Callable[..., Answer]:
    """The answer of a binary operation whose operands have one dtype, or whose second is a plain number."""

    def answer(record: Recorder, a: Any, b: Any) -> Answer:
        if not isinstance(a, Tensor) or a.layout is not STRIDED or not a.is_contiguous():
            return None
        shape: Shape | None = a.shape
        if not isinstance(b, Tensor):
            if not isinstance(b, int | float) or not a.dtype.is_floating_point:
                return None
            record.known(kind, a.shape, a.numel(), 0, a.numel(), 1, (a,))
            return shape
        if a.dtype is not b.dtype or b.layout is not STRIDED or not b.is_contiguous():
            return None
        if a.shape != b.shape:
            shape = _broadcast(a.shape, b.shape)
        if shape is None:
            return None
        record.known(kind, shape, prod(shape), 0, a.numel() + b.numel(), 1, (a, b))
        return shape

    return answer


add, multiply = elementwise(OpKind.ADD), elementwise(OpKind.MULTIPLY)


def add_into(record: Recorder, a: Any, b: Any) -> Answer:
    if not a.is_meta or (isinstance(b, Tensor) and b.shape != a.shape):
        return None
    return None if add(record, a, b) is None else a


def dropout(record: Recorder, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Answer:
    return None if training else x


FAST: dict[Any, Fast] = {
    F.conv2d: Fast(operator="conv2d", answer=conv2d),
    F.linear: Fast(operator="linear", answer=linear, whole=products.linear),
    torch.matmul: Fast(operator="matmul", answer=matmul, whole=matmul_whole),
    Tensor.matmul: Fast(operator="@", answer=matmul, whole=matmul_whole),
    torch.linalg.vecdot: Fast(operator="vecdot", answer=unanswered, whole=products.dots),
    F.scaled_dot_product_attention: Fast(
        operator="scaled_dot_product_attention", answer=attention, whole=attention_rule, in_order=True
    ),
    F.embedding: Fast(operator="embedding", answer=embedding, dtype_of=1),
    F.batch_norm: Fast(operator="batch_norm", answer=batch_norm),
    F.layer_norm: Fast(operator="layer_norm", answer=layer_norm),
    torch.max_pool2d: Fast(operator="max_pool2d", answer=max_pool2d),
    F.adaptive_avg_pool2d: Fast(operator="adaptive_avg_pool2d", answer=adaptive_avg_pool2d),
    F.relu: Fast(operator="relu", answer=activation),
    F.relu6: Fast(operator="relu6", answer=activation),
    F.hardtanh: Fast(operator="hardtanh", answer=hardtanh),
    F.silu: Fast(operator="silu", answer=activation),
    F.gelu: Fast(operator="gelu", answer=gelu),
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.sigmoid), Fast(operator="sigmoid", answer=activation)),
    F.softmax: Fast(operator="softmax", answer=softmax),
    Tensor.add: Fast(operator="add", answer=add),
    Tensor.add_: Fast(operator="add_", answer=add_into),
    Tensor.mul: Fast(operator="mul", answer=multiply),
    F.dropout: Fast(operator="dropout", answer=dropout),
}
