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

from ulsam_cost.profiler.rules import attention as attention_rules
from ulsam_cost.profiler.rules import elements, products
from ulsam_cost.profiler.rules.registry import Record, Rule

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fast:
    """How to answer a function: its canonical name, its result's shape (None declines), its rule.

    `in_place` says from the arguments whether the result is the first operand itself. Where `whole` is set, the
    function is one operation by that rule even when it runs, whatever the dispatcher shows, and its result lies in
    memory as its first operand does.
    """

    operator: str
    shape: Callable[..., Shape | None]
    rule: Rule
    in_place: Callable[..., bool] | None = None
    whole: Rule | None = None


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
    *_: Any,
    **__: Any,
) -> None:
    elements.norm(record, out, x, (weight, bias, mean, var))


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


def _softmax_shape(x: Tensor, dim: Any = None, *_: Any, **__: Any) -> Shape | None:
    return _same_shape(x) if isinstance(dim, int) and -x.dim() <= dim < x.dim() else None


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


def _table() -> dict[Any, Fast]:
    relu = Fast(operator="relu", shape=_same_shape, rule=elements.activation, in_place=_flag("inplace", 1))
    hardtanh = Fast(operator="hardtanh", shape=_same_shape, rule=elements.activation, in_place=_flag("inplace", 3))
    relu6 = Fast(operator="hardtanh", shape=_same_shape, rule=elements.activation, in_place=_flag("inplace", 1))
    sigmoid = Fast(operator="sigmoid", shape=_same_shape, rule=elements.activation)
    softmax = Fast(operator="softmax", shape=_softmax_shape, rule=_softmax_rule)
    add = Fast(operator="add", shape=_broadcast_shape, rule=elements.add)
    attention = Fast(
        operator="scaled_dot_product_attention",
        shape=_attention_shape,
        rule=attention_rules.attention,
        whole=attention_rules.attention,
    )
    multiply = Fast(operator="mul", shape=_broadcast_shape, rule=elements.multiply)
    return {
        F.conv2d: Fast(operator="conv2d", shape=_conv2d_shape, rule=_conv2d_rule),
        F.linear: Fast(operator="linear", shape=_linear_shape, rule=products.linear),
        F.batch_norm: Fast(operator="batch_norm", shape=_batch_norm_shape, rule=_batch_norm_rule),
        torch.max_pool2d: Fast(operator="max_pool2d", shape=_max_pool_sizes, rule=_max_pool_rule),
        F.adaptive_avg_pool2d: Fast(operator="adaptive_avg_pool2d", shape=_adaptive_shape, rule=elements.average),
        **dict.fromkeys((F.relu, torch.relu, Tensor.relu), relu),
        F.hardtanh: hardtanh,
        F.relu6: relu6,
        F.scaled_dot_product_attention: attention,
        **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.sigmoid), sigmoid),
        **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax), softmax),
        **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), add),
        **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), multiply),
    }


FAST = _table()
