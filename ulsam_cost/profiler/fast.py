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

from ulsam_cost.profiler import rules
from ulsam_cost.profiler.rules import Record, Rule

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fast:
    """How to answer a function: its canonical name, its result's shape (None declines), its rule.

    `in_place` says from the arguments whether the result is the first operand itself.
    """

    operator: str
    shape: Callable[..., Shape | None]
    rule: Rule
    in_place: Callable[..., bool] = lambda *_, **__: False


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
    rules.convolution(record, out, x, weight, bias, stride, padding, dilation, False)


def _linear_shape(x: Tensor, weight: Tensor, bias: Any = None) -> Shape | None:
    if weight.dim() != 2 or not x.dim() or x.shape[-1] != weight.shape[1]:
        return None
    return (*x.shape[:-1], weight.shape[0])


def _same_shape(x: Tensor, *_: Any, **__: Any) -> Shape:
    return tuple(x.shape)


def _batch_norm_shape(x: Tensor, mean: Any, *_: Any, **__: Any) -> Shape | None:
    return tuple(x.shape) if x.dim() > 1 and (mean is None or mean.shape[0] == x.shape[1]) else None


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
    rules.norm(record, out, x, (weight, bias, mean, var))


def _max_pool_sizes(
    x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, **_: Any
) -> Shape | None:
    if x.dim() != 4 or ceil_mode:
        return None
    (kh, kw), (ph, pw), (dh, dw) = _pair(kernel), _pair(padding), _pair(dilation)
    sh, sw = _pair(stride or kernel)
    height, width = _window(x.shape[2], kh, sh, ph, dh), _window(x.shape[3], kw, sw, pw, dw)
    return (x.shape[0], x.shape[1], height, width) if height > 0 and width > 0 else None


def _max_pool_rule(record: Record, out: Tensor, x: Tensor, kernel: Any, *_: Any, **__: Any) -> None:
    rules.max_pool(record, out, x, _pair(kernel))


def _adaptive_shape(x: Tensor, output_size: Any) -> Shape | None:
    if x.dim() != 4:
        return None
    pair = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    height, width = (size if wanted is None else wanted for wanted, size in zip(pair, x.shape[2:], strict=True))
    return (x.shape[0], x.shape[1], height, width)


def _softmax_rule(record: Record, out: Tensor, x: Tensor, dim: Any = None, *_: Any, **__: Any) -> None:
    rules.softmax(record, out, x, dim)


def _softmax_shape(x: Tensor, dim: Any = None, *_: Any, **__: Any) -> Shape | None:
    return tuple(x.shape) if isinstance(dim, int) and -x.dim() <= dim < x.dim() else None


def _broadcast_shape(a: Any, b: Any, *rest: Any, **options: Any) -> Shape | None:
    if rest or options or not isinstance(a, Tensor):
        return None
    if not isinstance(b, Tensor):
        return tuple(a.shape) if isinstance(b, int | float) else None
    if a.dtype != b.dtype:
        return None
    if a.shape == b.shape:
        return tuple(a.shape)
    try:
        return tuple(torch.broadcast_shapes(a.shape, b.shape))
    except RuntimeError:
        return None


def _flag(name: str, position: int) -> Callable[..., bool]:
    def in_place(*args: Any, **kwargs: Any) -> bool:
        return bool(kwargs.get(name, args[position] if len(args) > position else False))

    return in_place


def _table() -> dict[Any, Fast]:
    relu = Fast(operator="relu", shape=_same_shape, rule=rules.activation, in_place=_flag("inplace", 1))
    hardtanh = Fast(operator="hardtanh", shape=_same_shape, rule=rules.activation, in_place=_flag("inplace", 3))
    relu6 = Fast(operator="hardtanh", shape=_same_shape, rule=rules.activation, in_place=_flag("inplace", 1))
    sigmoid = Fast(operator="sigmoid", shape=_same_shape, rule=rules.activation)
    softmax = Fast(operator="softmax", shape=_softmax_shape, rule=_softmax_rule)
    add = Fast(operator="add", shape=_broadcast_shape, rule=rules.add)
    multiply = Fast(operator="mul", shape=_broadcast_shape, rule=rules.multiply)
    return {
        F.conv2d: Fast(operator="conv2d", shape=_conv2d_shape, rule=_conv2d_rule),
        F.linear: Fast(operator="linear", shape=_linear_shape, rule=rules.linear),
        F.batch_norm: Fast(operator="batch_norm", shape=_batch_norm_shape, rule=_batch_norm_rule),
        torch.max_pool2d: Fast(operator="max_pool2d", shape=_max_pool_sizes, rule=_max_pool_rule),
        F.adaptive_avg_pool2d: Fast(operator="adaptive_avg_pool2d", shape=_adaptive_shape, rule=rules.average),
        **dict.fromkeys((F.relu, torch.relu, Tensor.relu), relu),
        F.hardtanh: hardtanh,
        F.relu6: relu6,
        **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.sigmoid), sigmoid),
        **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax), softmax),
        **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), add),
        **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), multiply),
    }


FAST = _table()
