"""The fast path: common functions answered from the shapes of their operands, without running them.

An answer records the call and gives the shape of the result, or the operand itself where it is written in place.
Where it does not know the result for certain, or whether there is one, it gives None before it records anything, or
raises TypeError, and the function runs on the meta device like any other: an error in the user's model is torch's own.
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
from ulsam_cost.counting.recorder import Recorder
from ulsam_cost.counting.rules import products
from ulsam_cost.counting.rules.attention import attention as attention_rule
from ulsam_cost.counting.rules.registry import Record, Rule

Shape = tuple[int, ...]
Answer = Shape | Tensor | None
STRIDED = torch.strided
FLOATS = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})  # that every kernel takes


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
    if type(value) is int:
        return value, value
    first, second = value if len(value) == 2 else (*value, *value)
    if type(first) is not int or type(second) is not int:
        raise TypeError
    return first, second


def _suits(operand: Any, shape: Shape, dtype: torch.dtype) -> bool:
    """Whether an operand that may be absent has this shape and dtype."""
    return operand is None or (operand.dtype is dtype and bool(operand.shape == shape))


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
    dtype, weights = x.dtype, weight.shape
    if dtype is not weight.dtype or dtype not in FLOATS or not x.is_contiguous() or not weight.is_contiguous():
        return None
    if not type(stride) is type(padding) is type(dilation) is tuple:
        if isinstance(padding, str):
            return None
        stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    # In a cache 1 and 1.0 are one key: what is no integer stays outside of it.
    if type(sum(stride + padding + dilation, groups)) is not int:
        return None
    sizes = _conv2d_sizes(x.shape, weights, stride, padding, dilation, groups)
    if sizes is None or (bias is not None and not _suits(bias, sizes[0][1:2], dtype)):
        return None
    result, elements, macs, reads, taps = sizes
    record.known(OpKind.CONV, result, elements, macs, reads, taps, (weight,))
    if bias is not None:
        record.bias(result, bias)
    return result


@lru_cache(maxsize=4096)
def _conv2d_sizes(
    shape: Shape,
    weights: Shape,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> tuple[Shape, int, int, int, int] | None:
    """The result's shape, its elements, the MACs, the elements read, and the taps: a network repeats its sizes."""
    if len(shape) != 4 or len(weights) != 4 or min(shape + weights) < 1:
        return None
    if not len(stride) == len(padding) == len(dilation) == 2:
        return None
    n, channels, height, width = shape
    out, share, kh, kw = weights
    if groups < 1 or channels != share * groups or out % groups:
        return None
    window = _window_sizes(height, width, (kh, kw), stride, padding, dilation)
    if window is None:
        return None
    ho, wo = window
    # [n, out, ho, wo] = [n, c, h, w] * [out, c / groups, kh, kw]
    elements, taps = n * out * ho * wo, share * kh * kw
    return (n, out, ho, wo), elements, elements * taps, prod(shape) + out * taps, taps


def _multiply(a: Tensor, b: Tensor) -> bool:
    """Whether a product of these is one of real numbers of one kind, all of which are stored."""
    dtype = a.dtype
    return dtype is b.dtype and dtype in FLOATS and a.layout is STRIDED and b.layout is STRIDED


def _window_sizes(
    height: int,
    width: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int] | None:
    """To how many places a window goes, None where it goes to none or its sizes are refused."""
    if min(kernel + stride + dilation) < 1 or min(padding) < 0:
        return None
    ho = (height + 2 * padding[0] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    wo = (width + 2 * padding[1] - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    return (ho, wo) if ho > 0 and wo > 0 else None


def linear(record: Recorder, x: Tensor, weight: Tensor, bias: Any = None) -> Answer:
    shape, weights = x.shape, weight.shape
    if len(weights) != 2 or not shape or shape[-1] != weights[1] or not _multiply(x, weight):
        return None
    if bias is not None and not _suits(bias, (weights[0],), x.dtype):
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


def attention(
    record: Recorder,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Answer:
    q, k, v, dtype = query.shape, key.shape, value.shape, query.dtype
    if not len(q) == len(k) == len(v) == 4 or q[0] != k[0] or k[:3] != v[:3] or q[3] != k[3]:
        return None
    if dtype not in FLOATS or key.dtype is not dtype or value.dtype is not dtype or min(q + k + v) < 1:
        return None
    if q[1] != k[1] and not (enable_gqa is True and q[1] % k[1] == 0):
        return None
    if dropout_p or not (scale is None or type(scale) is float) or type(is_causal) is not bool:
        return None
    if attn_mask is not None and (is_causal or not _masks(attn_mask, (*q[:3], k[2]), dtype)):
        return None
    attention_rule(record, None, query, key, value)
    return (*q[:3], v[3])


def _masks(mask: Tensor, scores: Shape, dtype: torch.dtype) -> bool:
    """Whether a mask is one of these scores."""
    sizes = zip(reversed(mask.shape), reversed(scores), strict=False)
    fits = 2 <= mask.dim() <= len(scores) and all(size in (1, wanted) for size, wanted in sizes)
    return fits and mask.dtype in (torch.bool, dtype)


def embedding(
    record: Recorder,
    indices: Tensor,
    weight: Tensor,
    padding_idx: Any = None,
    max_norm: Any = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Answer:
    if weight.dim() != 2 or max_norm is not None or indices.dtype not in (torch.int64, torch.int32):
        return None
    if type(norm_type) is not float or type(scale_grad_by_freq) is not bool or type(sparse) is not bool:
        return None
    rows = weight.shape[0]
    if padding_idx is not None and not (type(padding_idx) is int and -rows <= padding_idx < rows):
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
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Answer:
    shape, dtype = x.shape, x.dtype
    if len(shape) < 2 or dtype not in FLOATS or not x.is_contiguous() or type(eps) is not float or eps <= 0:
        return None
    elements, channels, absent = x.numel(), shape[1], 0
    own = (channels,)
    for operand in (mean, var, weight, bias):
        if operand is None:
            absent += 1
        elif operand.dtype is not dtype or operand.shape != own:
            return None
    if (mean is None) is not (var is None) or type(momentum) is not float or type(training) is not bool:
        return None
    if not elements or (elements == channels if training else mean is None):
        return None
    reads = elements + channels * (4 - absent)
    record.known(OpKind.NORM, shape, elements, 0, reads, elements // channels if training else 1, (weight, bias))
    return shape


def layer_norm(
    record: Recorder, x: Tensor, normalized: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Answer:
    shape, size, dtype = x.shape, len(normalized), x.dtype
    own = shape[len(shape) - size :]
    if not size or own != tuple(normalized) or dtype not in FLOATS or not x.is_contiguous():
        return None
    if not (_suits(weight, own, dtype) and _suits(bias, own, dtype)) or type(eps) is not float:
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
    if len(shape) != 4 or ceil_mode is not False or return_indices is not False or not x.is_contiguous():
        return None
    (kh, kw), (ph, pw) = sizes = _pair(kernel), _pair(padding)
    if x.dtype not in FLOATS or min(shape) < 1 or 2 * ph > kh or 2 * pw > kw:
        return None
    steps = sizes[0] if stride is None or stride in ((), []) else _pair(stride)
    window = _window_sizes(shape[2], shape[3], sizes[0], steps, sizes[1], _pair(dilation))
    if window is None:
        return None
    ho, wo = window
    result = (shape[0], shape[1], ho, wo)
    record.known(OpKind.POOL_MAX, result, prod(result), 0, x.numel(), kh * kw, (x,))
    return result


def adaptive_avg_pool2d(record: Recorder, x: Tensor, output_size: Any) -> Answer:
    shape = x.shape
    if len(shape) != 4 or x.dtype not in FLOATS or min(shape) < 1 or not x.is_contiguous():
        return None
    wanted = (output_size, output_size) if type(output_size) is int else output_size
    if len(wanted) != 2:
        return None
    height, width = (size if own is None else own for own, size in zip(wanted, shape[2:], strict=True))
    if type(height) is not int or type(width) is not int or height < 1 or width < 1:
        return None
    result, reads = (shape[0], shape[1], height, width), x.numel()
    elements = prod(result)
    record.known(OpKind.POOL_AVG, result, elements, 0, reads, max(1, reads // elements), (x,))
    return result


def softmax(record: Recorder, x: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Answer:
    shape = x.shape
    if type(dim) is not int or not -len(shape) <= dim < len(shape) or dtype is not None:
        return None
    if x.dtype not in FLOATS or not x.is_contiguous():
        return None
    elements = x.numel()
    record.known(OpKind.SOFTMAX, shape, elements, 0, elements, shape[dim], ())
    return shape


def activation(record: Recorder, x: Tensor, inplace: bool = False) -> Answer:
    if x.dtype not in FLOATS or not x.is_contiguous():
        return None
    shape, elements = x.shape, x.numel()
    record.known(OpKind.ACTIVATION, shape, elements, 0, elements, 1, (x,))
    return x if inplace else shape


def hardtanh(record: Recorder, x: Tensor, low: Any = -1, high: Any = 1, inplace: bool = False) -> Answer:
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low <= high):
        return None
    return activation(record, x, inplace)


def gelu(record: Recorder, x: Tensor, approximate: str = "none") -> Answer:
    return activation(record, x) if approximate in ("none", "tanh") else None


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
    return x if training is False and isinstance(p, int | float) and 0 <= p <= 1 else None


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
