"""What each operation does: its kind, its MACs, what it reads.

A rule is called after the operation, with what went in and what came out, and records what it did; the
result's shape stands beside every product. An operation is ruled here, declared free here, or reported
as uncounted: none is zero by default.
"""

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

from ulsam_cost.cost import OpKind

aten = torch.ops.aten


class Record(Protocol):
    """Takes down one operation; `params` are the operands that may be parameters."""

    def __call__(
        self, kind: OpKind, out: Tensor, *, reads: int, macs: int = 0, reduction: int = 1, params: Iterable[Any] = ()
    ) -> None: ...

    def is_parameter(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter of the model or a view of one."""
        ...

    def bias(self, out: Tensor, bias: Any) -> None:
        """Takes down the addition of a bias, if there is one."""
        ...


Rule = Callable[..., None]
RULES: dict[Any, Rule] = {}


def rule(*operators: Any) -> Callable[[Rule], Rule]:
    """Register a rule for operators.

    Raises:
        ValueError: if one of them has a rule already.
    """

    def add(function: Rule) -> Rule:
        for operator in operators:
            if operator in RULES:
                raise ValueError(f"{operator} has a rule already")
            RULES[operator] = function
        return function

    return add


def tensors_of(*values: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and dicts."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from tensors_of(*value)
        elif isinstance(value, dict):
            yield from tensors_of(*value.values())


def first_tensor(out: Any) -> Tensor:
    """The result, or the first of several."""
    return next(tensors_of(out))


@rule(aten.convolution, aten._convolution)
def convolution(
    record: Record,
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
) -> None:
    # [n, out, ...] = [n, c, ...] * [out, c / groups, ...]; transposed: each input element meets every tap
    elements, taps = (x.numel() if transposed else out.numel()), prod(weight.shape[1:])
    record(OpKind.CONV, out, macs=elements * taps, reads=x.numel() + weight.numel(), reduction=taps, params=(weight,))
    record.bias(out, bias)


def product(record: Record, out: Tensor, a: Tensor, b: Tensor, bias: Any = None, *, length: int) -> None:
    """A matrix product over `length`: linear where a parameter is an operand, else of two activations."""
    learned = record.is_parameter(a) or record.is_parameter(b)
    kind = OpKind.LINEAR if learned else OpKind.MATMUL
    reads = a.numel() + b.numel()
    record(kind, out, macs=out.numel() * length, reads=reads, reduction=length, params=(a, b))
    record.bias(out, bias)


@rule(aten.mm, aten.bmm, aten.mv, aten.dot)
def matrix_product(record: Record, out: Tensor, a: Tensor, b: Tensor, *_: Any) -> None:
    product(record, out, a, b, length=a.shape[-1])  # [..., i, j] = [..., i, k] @ [..., k, j]


@rule(aten.addmm, aten.baddbmm, aten.addmv)
def added_product(record: Record, out: Tensor, bias: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> None:
    product(record, out, a, b, bias, length=a.shape[-1])  # [..., i, j] = [..., j] + [..., i, k] @ [..., k, j]


def linear(record: Record, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
    """torch.nn.functional.linear, which the dispatcher shows as one of the products above."""
    product(record, out, x, weight, bias, length=x.shape[-1])  # [..., out] = [..., in] @ [in, out]


@rule(
    aten.native_batch_norm,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten._native_batch_norm_legit_functional,
    aten._batch_norm_with_update,
    aten._batch_norm_no_update,
    aten.cudnn_batch_norm,
    aten.miopen_batch_norm,
)
def batch_norm(record: Record, out: Any, x: Tensor, *others: Any, **_: Any) -> None:
    norm(record, first_tensor(out), x, others[:4])


@rule(aten.native_layer_norm)
def layer_norm(record: Record, out: Any, x: Tensor, shape: Any, *others: Any) -> None:
    norm(record, first_tensor(out), x, others[:2], reduction=prod(shape))


@rule(aten.native_group_norm)
def group_norm(
    record: Record, out: Any, x: Tensor, weight: Any, bias: Any, n: int, c: int, hw: int, group: int, *_: Any
) -> None:
    norm(record, first_tensor(out), x, (weight, bias), reduction=c * hw // group)


def norm(record: Record, out: Tensor, x: Tensor, others: Iterable[Any], *, reduction: int = 1) -> None:
    """A norm reads the map, and its statistics and parameters once."""
    operands = tuple(tensors_of(*others))
    reads = x.numel() + sum(operand.numel() for operand in operands)
    record(OpKind.NORM, out, reads=reads, reduction=reduction, params=operands)


@rule(aten._softmax, aten._log_softmax, aten._safe_softmax)
def softmax(record: Record, out: Tensor, x: Tensor, dim: int, *_: Any, **__: Any) -> None:
    record(OpKind.SOFTMAX, out, reads=x.numel(), reduction=x.shape[dim] if x.dim() else 1)


@rule(aten.max_pool2d_with_indices, aten.max_pool3d_with_indices, aten.max_pool2d)
def max_pool(record: Record, out: Any, x: Tensor, kernel: Any, *_: Any, **__: Any) -> None:
    record(OpKind.POOL_MAX, first_tensor(out), reads=x.numel(), reduction=prod(kernel))


@rule(aten.avg_pool2d, aten.avg_pool3d)
def avg_pool(record: Record, out: Tensor, x: Tensor, kernel: Any, *_: Any, **__: Any) -> None:
    record(OpKind.POOL_AVG, out, reads=x.numel(), reduction=prod(kernel))


@rule(aten._adaptive_avg_pool2d, aten._adaptive_avg_pool3d, aten.mean)
def average(record: Record, out: Tensor, x: Tensor, *_: Any, **__: Any) -> None:
    record(OpKind.POOL_AVG, out, reads=x.numel(), reduction=x.numel() // out.numel())


@rule(aten.adaptive_max_pool2d, aten.adaptive_max_pool3d, aten.amax, aten.max)
def maximum(record: Record, out: Any, x: Tensor, *others: Any, **_: Any) -> None:
    result = first_tensor(out)
    if others and isinstance(others[0], Tensor):  # the element-wise torch.max(a, b)
        elementwise(OpKind.ELEMENTWISE)(record, out, x, *others)
    else:
        record(OpKind.POOL_MAX, result, reads=x.numel(), reduction=x.numel() // result.numel())


@rule(aten.upsample_nearest2d, aten.upsample_bilinear2d, aten.upsample_bicubic2d, aten._upsample_bilinear2d_aa)
def upsample(record: Record, out: Tensor, x: Tensor, *_: Any, **__: Any) -> None:
    record(OpKind.UPSAMPLE, out, reads=x.numel())


def elementwise(kind: OpKind) -> Rule:
    """The rule of an operation that goes element by element over broadcast operands."""

    def element_by_element(record: Record, out: Any, *args: Any, **kwargs: Any) -> None:
        operands = tuple(tensors_of(args, kwargs))
        record(kind, first_tensor(out), reads=sum(operand.numel() for operand in operands), params=operands)

    return element_by_element


ACTIVATIONS = (
    aten.relu,
    aten.relu_,
    aten.hardtanh,
    aten.hardtanh_,
    aten.sigmoid,
    aten.sigmoid_,
    aten.tanh,
    aten.tanh_,
    aten.hardswish,
    aten.hardswish_,
    aten.hardsigmoid,
    aten.hardsigmoid_,
    aten.silu,
    aten.silu_,
    aten.gelu,
    aten.elu,
    aten.leaky_relu,
    aten.leaky_relu_,
    aten.mish,
    aten.softplus,
    aten.log_sigmoid_forward,
    aten._prelu_kernel,
)
activation = rule(*ACTIVATIONS)(elementwise(OpKind.ACTIVATION))
multiply = rule(aten.mul, aten.mul_, aten.div, aten.div_)(elementwise(OpKind.MULTIPLY))
add = rule(aten.add, aten.add_, aten.sub, aten.sub_, aten.rsub)(elementwise(OpKind.ADD))
copy = rule(aten.cat, aten.stack, aten.clone, aten.copy_, aten._to_copy, aten.constant_pad_nd)(
    elementwise(OpKind.MOVEMENT)
)
pointwise = elementwise(OpKind.ELEMENTWISE)

# Views, and tensors made from nothing: they move no operand.
VIEWS = {
    aten.view,
    aten._unsafe_view,
    aten.reshape,
    aten.expand,
    aten.permute,
    aten.transpose,
    aten.t,
    aten.squeeze,
    aten.unsqueeze,
    aten.slice,
    aten.select,
    aten.split,
    aten.split_with_sizes,
    aten.chunk,
    aten.unbind,
    aten.detach,
    aten.alias,
    aten.as_strided,
    aten.lift_fresh,
    aten.view_as_real,
    aten.view_as_complex,
}
FREE = VIEWS | {
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty,
    aten.zeros,
    aten.zeros_like,
    aten.new_zeros,
    aten.ones,
    aten.ones_like,
    aten.new_ones,
    aten.full,
    aten.full_like,
    aten.new_full,
    aten.arange,
    aten.scalar_tensor,
    aten.zero_,
    aten.fill_,
}


def rule_of(operator: Any) -> Rule | None:
    """The rule of a dispatched operator; any operator that torch tags as pointwise is element-wise."""
    found = RULES.get(operator.overloadpacket)
    if found is None and torch.Tag.pointwise in operator.tags:
        return pointwise
    return found
