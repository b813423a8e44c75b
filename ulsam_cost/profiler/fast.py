"""The fast path: common functions answered from the shapes of their operands, without running them.

An entry says the shape of the result and which rule records the call. Where an entry does not know a
shape for certain it declines, and the function runs on the meta device like any other: an error in the
user's model is torch's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ulsam_cost.profiler.rules import attention, elements, products
from ulsam_cost.profiler.rules.registry import Record, Rule

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fast:
    """How to answer a function: its canonical name, its result's shape (None declines), its rule.

    `in_place` says from the arguments whether the result is the first operand itself, `dtype_of` which operand's
    dtype a new result has. Where `whole` is set, the
    rule records the function even when it runs, whatever the dispatcher shows; where `in_order`, the result lies in
    memory as the first operand does.
    """

    operator: str
    shape: Callable[..., Shape | None]
    rule: Rule
    in_place: Callable[..., bool] | None = None
    dtype_of: int = 0
    whole: bool = False
    in_order: bool = False


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def _window(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _conv2d_shape(
    x: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Shape | None:
    shape, weights = x.shape, weight.shape
    if len(shape) != 4 or isinstance(padding, str) or shape[1] != weights[1] * groups or weights[0] % groups:
        return None
    if x.dtype is not weight.dtype or not x.is_contiguous() or not weight.is_contiguous():
        return None
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    height, width = _window(shape[2], weights[2], sh, ph, dh), _window(shape[3], weights[3], sw, pw, dw)
    return (shape[0], weights[0], height, width) if height > 0 and width > 0 else None


def _conv2d_rule(
    record: Record,
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> None:
    products.convolution(record, out, x, weight, bias, stride, padding, dilation, False)


def _linear_shape(x: Tensor, weight: Tensor, bias: Any = None) -> Shape | None:
    if weight.dim() != 2 or not x.dim() or x.shape[-1] != weight.shape[1] or x.dtype is not weight.dtype:
        return None
    return (*x.shape[:-1], weight.shape[0])


def _same_shape(x: Tensor, *_: Any, **__: Any) -> Shape | None:
    return x.shape if x.dtype.is_floating_point and x.is_contiguous() else None


def _batch_norm_shape(x: Tensor, mean: Any, *_: Any, **__: Any) -> Shape | None:
    shape = x.shape
    fits = len(shape) > 1 and (mean is None or mean.shape[0] == shape[1])
    return shape if fits and x.is_contiguous() else None


def _batch_norm_rule(
    record: Record,
    out: Tensor,
    x: Tensor,
    mean: Any,
    var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    *_: Any,
    **__: Any,
) -> None:
    elements.batch_norm_of(record, out, x, (weight, bias, mean, var), takes_statistics=training)


def _max_pool_sizes(
    x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, **_: Any
) -> Shape | None:
    if x.dim() != 4 or ceil_mode or not x.is_contiguous():
        return None
    (kh, kw), (ph, pw), (dh, dw) = _pair(kernel), _pair(padding), _pair(dilation)
    sh, sw = _pair(stride or kernel)
    height, width = _window(x.shape[2], kh, sh, ph, dh), _window(x.shape[3], kw, sw, pw, dw)
    return (x.shape[0], x.shape[1], height, width) if height > 0 and width > 0 else None


def _max_pool_rule(record: Record, out: Tensor, x: Tensor, kernel: Any, *_: Any, **__: Any) -> None:
    elements.max_pool(record, out, x, _pair(kernel))


def _adaptive_shape(x: Tensor, output_size: Any) -> Shape | None:
    if x.dim() != 4 or not x.is_contiguous():
        return None
    pair = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    height, width = (size if wanted is None else wanted for wanted, size in zip(pair, x.shape[2:], strict=True))
    return (x.shape[0], x.shape[1], height, width)


def _softmax_rule(record: Record, out: Tensor, x: Tensor, dim: Any = None, *_: Any, **__: Any) -> None:
    elements.softmax(record, out, x, dim)


def _softmax_shape(x: Tensor, dim: Any = None, _stacklevel: int = 3, **options: Any) -> Shape | None:
    fits = isinstance(dim, int) and -x.dim() <= dim < x.dim() and options.get("dtype") is None
    return _same_shape(x) if fits else None


def _broadcast_shape(a: Any, b: Any, *rest: Any, **options: Any) -> Shape | None:
    if rest or options or not isinstance(a, Tensor):
        return None
    if not isinstance(b, Tensor):
        return _same_shape(a) if isinstance(b, int | float) else None
    if a.dtype is not b.dtype or not a.is_contiguous() or not b.is_contiguous():
        return None
    if a.shape == b.shape:
        return a.shape
    try:
        return tuple(torch.broadcast_shapes(a.shape, b.shape))
    except RuntimeError:
        return None


def _into_shape(a: Tensor, b: Any, **options: Any) -> Shape | None:
    shape = _broadcast_shape(a, b, **options)
    return shape if shape == a.shape else None


def _attention_shape(query: Tensor, key: Tensor, value: Tensor, *_: Any, **options: Any) -> Shape | None:
    q, k, v = query.shape, key.shape, value.shape
    if not len(q) == len(k) == len(v) == 4 or q[0] != k[0] or k[:3] != v[:3] or q[3] != k[3]:
        return None
    if q[1] != k[1] and not (options.get("enable_gqa") and q[1] % k[1] == 0):
        return None
    return (*q[:3], v[3])


def _flag(name: str, position: int) -> Callable[..., bool]:
    def in_place(*args: Any, **kwargs: Any) -> bool:
        return bool(kwargs.get(name, args[position] if len(args) > position else False))

    return in_place


def _matmul_shape(a: Tensor, b: Tensor) -> Shape | None:
    left, right = a.shape, b.shape
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2] or a.dtype is not b.dtype:
        return None
    if len(right) == 2 or left[:-2] == right[:-2]:
        return (*left[:-1], right[-1])
    try:
        return (*torch.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    except RuntimeError:
        return None


def _matmul_rule(record: Record, out: Tensor, a: Tensor, b: Tensor) -> None:
    # [..., i, j] = [..., i, k] @ [..., k, j], and the same with vectors
    products.product(record, out.shape, a, b, length=a.shape[-1])


def _layer_norm_shape(x: Tensor, normalized: Any, *_: Any, **__: Any) -> Shape | None:
    shape = x.shape
    return shape if x.is_contiguous() and tuple(shape[len(shape) - len(normalized) :]) == tuple(normalized) else None


def _layer_norm_rule(
    record: Record, out: Tensor, x: Tensor, normalized: Any, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> None:
    elements.layer_norm(record, out, x, normalized, weight, bias)


def _embedding_shape(indices: Tensor, weight: Tensor, *_: Any, **options: Any) -> Shape | None:
    return (*indices.shape, weight.shape[1]) if weight.dim() == 2 and not options.get("max_norm") else None


def _embedding_rule(record: Record, out: Tensor, indices: Tensor, weight: Tensor, *_: Any, **__: Any) -> None:
    elements.embedding(record, out, weight, indices)


def _same(operator: str, rule: Rule, in_place: Callable[..., bool] | None = None) -> Fast:
    return Fast(operator=operator, shape=_same_shape, rule=rule, in_place=in_place)


def _always(*_: Any, **__: Any) -> bool:
    return True


def _table() -> dict[Any, Fast]:
    activation = elements.activation
    return {
        F.conv2d: Fast(operator="conv2d", shape=_conv2d_shape, rule=_conv2d_rule),
        F.linear: Fast(operator="linear", shape=_linear_shape, rule=products.linear, whole=True),
        F.scaled_dot_product_attention: Fast(
            operator="scaled_dot_product_attention",
            shape=_attention_shape,
            rule=attention.attention,
            whole=True,
            in_order=True,
        ),
        F.embedding: Fast(operator="embedding", shape=_embedding_shape, rule=_embedding_rule, dtype_of=1),
        F.batch_norm: Fast(operator="batch_norm", shape=_batch_norm_shape, rule=_batch_norm_rule),
        F.layer_norm: Fast(operator="layer_norm", shape=_layer_norm_shape, rule=_layer_norm_rule),
        torch.max_pool2d: Fast(operator="max_pool2d", shape=_max_pool_sizes, rule=_max_pool_rule),
        F.adaptive_avg_pool2d: Fast(operator="adaptive_avg_pool2d", shape=_adaptive_shape, rule=elements.average),
        F.relu: _same("relu", activation, _flag("inplace", 1)),
        F.relu6: _same("relu6", activation, _flag("inplace", 1)),
        F.hardtanh: _same("hardtanh", activation, _flag("inplace", 3)),
        F.silu: _same("silu", activation, _flag("inplace", 1)),
        F.gelu: _same("gelu", activation),
        **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.sigmoid), _same("sigmoid", activation)),
        F.softmax: Fast(operator="softmax", shape=_softmax_shape, rule=_softmax_rule),
        torch.matmul: Fast(operator="matmul", shape=_matmul_shape, rule=_matmul_rule, whole=True),
        Tensor.matmul: Fast(operator="@", shape=_matmul_shape, rule=_matmul_rule, whole=True),
        Tensor.add: Fast(operator="add", shape=_broadcast_shape, rule=elements.add),
        Tensor.add_: Fast(operator="add_", shape=_into_shape, rule=elements.add, in_place=_always),
        Tensor.mul: Fast(operator="mul", shape=_broadcast_shape, rule=elements.multiply),
    }


FAST = _table()
