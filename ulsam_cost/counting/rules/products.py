"""Convolutions, matrix products and recurrent layers: the operations that have MACs."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, broadcast_shapes

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules.registry import Record, ops, record_work, rule, rule_named
from ulsam_cost.operations import Work, convolution_work, product_work
from ulsam_cost.tensors import first_tensor


@rule(ops("convolution _convolution convolution_overrideable"))
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
    _convolution(record, out, bias, convolution_work(x.shape, weight.shape, out.shape, transposed=transposed), weight)


def _convolution(record: Record, out: Tensor, bias: Any, work: Work, weight: Tensor) -> None:
    record_work(record, OpKind.CONV, out.shape, work, (weight,))
    record.bias(out.shape, bias)


def product(
    record: Record, output: Sequence[int], a: Tensor, b: Tensor, bias: Any = None, *, length: int, batch: int = 1
) -> None:
    """A matrix product over `length`: linear where a parameter is an operand, else of two activations.

    `batch` products are added up in each element of the output.
    """
    learned = record.is_parameter(a) or record.is_parameter(b)
    kind = OpKind.LINEAR if learned else OpKind.MATMUL
    record_work(record, kind, output, product_work(tuple(output), length * batch, a.numel() + b.numel()), (a, b))
    record.bias(output, bias)


@rule(ops("mm bmm mv dot vdot _int_mm _weight_int8pack_mm _weight_int4pack_mm _weight_int4pack_mm_for_cpu"))
def matrix_product(record: Record, out: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> None:
    product(record, out.shape, a, b, length=a.shape[-1])  # [..., i, j] = [..., i, k] @ [..., k, j]


@rule(ops("_scaled_mm"))
def scaled_product(
    record: Record, out: Any, a: Tensor, b: Tensor, scale_a: Any, scale_b: Any, bias: Any = None, *_: Any, **__: Any
) -> None:
    product(record, first_tensor(out).shape, a, b, bias, length=a.shape[-1])


@rule(ops("_scaled_mm_v2"))
def scaled_product_by_recipe(
    record: Record, out: Tensor, a: Tensor, b: Tensor, *others: Any, bias: Any = None, **_: Any
) -> None:
    given = others[_BIAS_OF_RECIPES] if len(others) > _BIAS_OF_RECIPES else bias
    product(record, out.shape, a, b, given, length=_unpacked_length(a))


@rule_named("transformers::grouped_mm_fallback")  # where PyTorch has no kernel for the product
@rule(ops("_grouped_mm"))
def grouped_product(
    record: Record, out: Tensor, a: Tensor, b: Tensor, offsets: Any = None, bias: Any = None, *_: Any, **__: Any
) -> None:
    _grouped(record, out, a, b, bias, length=a.shape[-1])


@rule(ops("_scaled_grouped_mm"))
def scaled_grouped_product(
    record: Record,
    out: Tensor,
    a: Tensor,
    b: Tensor,
    scale_a: Tensor,
    scale_b: Tensor,
    offsets: Any = None,
    bias: Any = None,
    *_: Any,
    **__: Any,
) -> None:
    _grouped(record, out, a, b, bias, length=a.shape[-1])


@rule(ops("_scaled_grouped_mm_v2"))
def scaled_grouped_product_by_recipe(
    record: Record, out: Tensor, a: Tensor, b: Tensor, *others: Any, bias: Any = None, **_: Any
) -> None:
    place = _BIAS_OF_RECIPES + 1  # behind the offsets
    _grouped(record, out, a, b, others[place] if len(others) > place else bias, length=_unpacked_length(a))


_BIAS_OF_RECIPES = 6  # behind the scales of both operands, with a recipe and a swizzle each


def _unpacked_length(a: Tensor) -> int:
    """The length over which a product of these is summed: a byte holds two numbers of 4 bits."""
    return a.shape[-1] * (2 if a.dtype is getattr(torch, "float4_e2m1fn_x2", None) else 1)


def _grouped(record: Record, out: Tensor, a: Tensor, b: Tensor, bias: Any, *, length: int) -> None:
    """Products of a stack, or of the groups into which the rows, columns or summed numbers of a matrix are cut.

    Groups share out their dimension, wherever they end: the offsets are not looked at, and cover all of it.
    """
    if a.dim() == b.dim() == 2:  # [g, i, j] = [i, k of g] @ [k of g, j]
        kind = OpKind.LINEAR if record.is_parameter(a) or record.is_parameter(b) else OpKind.MATMUL
        macs, reads = prod(out.shape[1:]) * length, a.numel() + b.numel()
        record(kind, out.shape, macs=macs, reads=reads, reduction=length // out.shape[0], params=(a, b))
        record.bias(out.shape, bias)
    else:  # [i, j] = [i of g, k] @ [g, k, j], [i, j] = [g, i, k] @ [k, j of g] or [g, i, j] = [g, i, k] @ [g, k, j]
        product(record, out.shape, a, b, bias, length=length)


@rule(ops("_dyn_quant_matmul_4bit"))
def packed_linear(record: Record, out: Tensor, x: Tensor, packed: Tensor, block: int, features: int, *_: Any) -> None:
    product(record, out.shape, x, packed, length=features)


@rule(ops("_sparse_semi_structured_linear"))
def semi_structured_linear(
    record: Record, out: Tensor, x: Tensor, weight: Tensor, meta: Tensor, *, bias: Any = None, **_: Any
) -> None:
    product(record, out.shape, x, weight, bias, length=weight.shape[-1])  # half of each row is stored


@rule(ops("_cslt_sparse_mm"))
def half_stored_product(
    record: Record, out: Tensor, a: Tensor, b: Tensor, bias: Any = None, *_: Any, **__: Any
) -> None:
    product(record, out.shape, a, b, bias, length=b.shape[0] // 2)


@rule(ops("_sparse_semi_structured_mm"))
def semi_structured_product(record: Record, out: Tensor, a: Tensor, meta: Tensor, b: Tensor, **_: Any) -> None:
    product(record, out.shape, a, b, length=a.shape[-1])


@rule(ops("_sparse_semi_structured_addmm"))
def semi_structured_added_product(
    record: Record, out: Tensor, added: Tensor, a: Tensor, meta: Tensor, b: Tensor, **_: Any
) -> None:
    product(record, out.shape, a, b, added, length=a.shape[-1])


@rule(ops("addr", in_place=True))
def outer_product(record: Record, out: Tensor, added: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, **_: Any) -> None:
    product(record, out.shape, a, b, added if beta else None, length=1)  # [i, j] = [i, j] + [i] [j]


@rule(ops("_euclidean_dist"))
def distances(record: Record, out: Tensor, x: Tensor, y: Tensor) -> None:
    """Distances of many points, whose squares are |x|^2 - 2 xy + |y|^2: a product over their numbers and two more."""
    numbers = x.shape[-1]
    for points in (x, y):
        record(OpKind.REDUCE, points.shape[:-1], reads=points.numel(), reduction=numbers)
    product(record, out.shape, x, y, length=numbers + 2)  # [..., n, m] = [..., n, d + 2] @ [..., d + 2, m]
    record(OpKind.ELEMENTWISE, out.shape, reads=out.numel())  # the root


@rule(ops("conv_tbc"))
def time_major_convolution(record: Record, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *_: Any) -> None:
    *taps, filters = weight.shape  # [t, n, out] = [t, n, c] * [k, c, out]
    _convolution(record, out, bias, convolution_work(x.shape, (filters, *taps), out.shape), weight)


@rule(ops("addmm baddbmm addmv", in_place=True))
def added_product(record: Record, out: Tensor, bias: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, **_: Any) -> None:
    # [..., i, j] = [..., j] + [..., i, k] @ [..., k, j]
    product(record, out.shape, a, b, bias if beta else None, length=a.shape[-1])


@rule(ops("_addmm_activation"))
def activated_product(record: Record, out: Tensor, bias: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> None:
    product(record, out.shape, a, b, bias, length=a.shape[-1])  # [i, j] = gelu([j] + [i, k] @ [k, j])
    record(OpKind.ACTIVATION, out.shape, reads=out.numel())


@rule(ops("addbmm", in_place=True))
def added_sum_of_products(
    record: Record, out: Tensor, bias: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, **_: Any
) -> None:
    # [i, j] = [i, j] + sum over n of [n, i, k] @ [n, k, j]
    product(record, out.shape, a, b, bias if beta else None, length=a.shape[-1], batch=a.shape[0])


def linear(record: Record, out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
    """torch.nn.functional.linear, which the dispatcher shows as one of the products above."""
    product(record, out.shape, input, weight, bias, length=input.shape[-1])  # [..., out] = [..., in] @ [in, out]


def dots(record: Record, out: Tensor, x: Tensor, y: Tensor, *, dim: int = -1) -> None:
    """torch.linalg.vecdot, which the dispatcher shows as a multiplication and a sum."""
    product(record, out.shape, x, y, length=broadcast_shapes(x.shape, y.shape)[dim])  # [...] = [..., k] . [..., k]


@rule(ops("_trilinear"))
def trilinear(
    record: Record,
    out: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    lacking_a: Sequence[int],
    lacking_b: Sequence[int],
    lacking_c: Sequence[int],
    summed: Sequence[int],
    *_: Any,
) -> None:
    # Forward: [n, o] = sum over i, j of [n, i] * [o, i, j] * [n, j]. The first two, then the third; what only the
    # first two have is summed before the third comes.
    pair = broadcast_shapes(_spread(a, lacking_a), _spread(b, lacking_b))
    summed_pair = [1 if dim in summed and dim in lacking_c else size for dim, size in enumerate(pair)]
    macs = prod(pair) + prod(broadcast_shapes(summed_pair, _spread(c, lacking_c)))
    operands = (a, b, c)
    kind = OpKind.LINEAR if any(record.is_parameter(operand) for operand in operands) else OpKind.MATMUL
    reads, whole = sum(operand.numel() for operand in operands), broadcast_shapes(pair, _spread(c, lacking_c))
    record(kind, out.shape, macs=macs, reads=reads, reduction=prod(whole) // max(1, out.numel()), params=operands)


def _spread(x: Tensor, lacking: Sequence[int]) -> list[int]:
    """The sizes of a tensor with a 1 for every dimension that it lacks."""
    sizes = iter(x.shape)
    return [1 if dim in lacking else next(sizes) for dim in range(x.dim() + len(lacking))]


@rule(ops("mkldnn_rnn_layer"))
def recurrent_layer(
    record: Record, out: Any, x: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor, *_: Any
) -> None:
    recurrence(record, x, (w_x, w_h, b_x, b_h), steps=prod(x.shape[:2]))


@rule(ops("_cudnn_rnn miopen_rnn"))
def recurrent_network(record: Record, out: Any, x: Tensor, weights: Sequence[Tensor], *_: Any) -> None:
    recurrence(record, x, weights, steps=prod(x.shape[:-1]))


def recurrence(record: Record, x: Tensor, weights: Iterable[Tensor], *, steps: int) -> None:
    """Every matrix of a recurrent layer meets one vector at each of `steps` steps; biases are added as often."""
    for weight in weights:
        if weight.dim() == 2:
            recurrent_product(record, steps, weight, (weight,))
        elif weight.numel():
            record.bias((steps, weight.numel()), weight)


def recurrent_product(record: Record, steps: int, weight: Tensor, params: Iterable[Any]) -> None:
    """One matrix of a recurrent layer: [steps, gates] = [steps, in] @ [in, gates]."""
    gates, length = weight.shape
    work = product_work((steps, gates), length, steps * length + weight.numel())
    record_work(record, OpKind.LINEAR, (steps, gates), work, params)
