"""Which functions are answered, and by which rules they are recorded."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ulsam_cost.counting.fast import elements, norms, products
from ulsam_cost.counting.fast.results import Infer
from ulsam_cost.counting.rules import elements as element_rules
from ulsam_cost.counting.rules import products as product_rules
from ulsam_cost.counting.rules.attention import attention as attention_rule
from ulsam_cost.counting.rules.registry import RULES, Record, Rule


class Fast(NamedTuple):
    """What a function gives, and the rule that it is recorded by; `rule` is called as the function is.

    Where it is `whole`, the rule records the function even when it runs, whatever the dispatcher shows; where
    `in_order`, the result lies in memory as the first operand does.
    """

    infer: Infer
    rule: Rule
    whole: bool = False
    in_order: bool = False


def _convolution(transposed: bool) -> Rule:
    def rule(record: Record, out: Tensor, x: Tensor, weight: Tensor, bias: Any = None, *_: Any, **__: Any) -> None:
        product_rules.convolution(record, out, x, weight, bias, None, None, None, transposed)

    return rule


def _matmul(record: Record, out: Tensor, input: Tensor, other: Tensor) -> None:
    # [..., i, j] = [..., i, k] @ [..., k, j], and the same with vectors
    product_rules.product(record, out.shape, input, other, length=input.shape[-1])


def _embedding(record: Record, out: Tensor, indices: Tensor, weight: Tensor, *_: Any, **__: Any) -> None:
    element_rules.embedding(record, out, weight, indices)


def _batch_norm(
    record: Record, out: Tensor, x: Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, *_: Any, **__: Any,
) -> None:  # fmt: skip
    element_rules.batch_norm_of(record, out, x, (weight, bias, mean, var), takes_statistics=training)


def _layer_norm(
    record: Record, out: Tensor, x: Tensor, normalized: Any, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> None:
    element_rules.layer_norm(record, out, x, normalized, weight, bias)


def _group_norm(
    record: Record, out: Tensor, x: Tensor, groups: int, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> None:
    n, c = x.shape[:2]
    element_rules.group_norm(record, out, x, weight, bias, n, c, x.numel() // (n * c), groups)


def _softmax(record: Record, out: Tensor, x: Tensor, dim: int, *_: Any, **__: Any) -> None:
    element_rules.softmax(record, out, x, dim)


def _interpolate(
    record: Record,
    out: Tensor,
    x: Tensor,
    size: Any = None,
    scale: Any = None,
    mode: str = "nearest",
    *_: Any,
    **__: Any,
) -> None:
    _rule_of(f"upsample_{mode}2d")(record, out, x)


def _nothing(record: Record, out: Tensor, *_: Any, **__: Any) -> None:
    """Nothing is done to any element."""


def _rule_of(operator: str) -> Rule:
    """The dispatcher's rule of an operation."""
    return RULES.get(getattr(torch.ops.aten, operator), element_rules.pointwise)


FAST: dict[Any, Fast] = {
    F.conv1d: Fast(products.convolution(1), _convolution(transposed=False)),
    F.conv2d: Fast(products.convolution(2), _convolution(transposed=False)),
    F.conv3d: Fast(products.convolution(3), _convolution(transposed=False)),
    F.conv_transpose1d: Fast(products.transposed_convolution(1), _convolution(transposed=True)),
    F.conv_transpose2d: Fast(products.transposed_convolution(2), _convolution(transposed=True)),
    F.conv_transpose3d: Fast(products.transposed_convolution(3), _convolution(transposed=True)),
    F.linear: Fast(products.linear, product_rules.linear, whole=True),
    torch.matmul: Fast(products.matmul, _matmul, whole=True),
    Tensor.matmul: Fast(products.matmul, _matmul, whole=True),
    torch.bmm: Fast(products.batched_product, _rule_of("bmm")),
    Tensor.bmm: Fast(products.batched_product, _rule_of("bmm")),
    torch.linalg.vecdot: Fast(products.unknown, product_rules.dots, whole=True),
    F.scaled_dot_product_attention: Fast(products.attention, attention_rule, whole=True, in_order=True),
    F.embedding: Fast(products.embedding, _embedding),
    F.batch_norm: Fast(norms.batch_norm, _batch_norm),
    F.layer_norm: Fast(norms.layer_norm, _layer_norm),
    F.group_norm: Fast(norms.group_norm, _group_norm),
    F.softmax: Fast(norms.softmax, _softmax),
    torch.softmax: Fast(norms.softmax_method, _softmax),
    Tensor.softmax: Fast(norms.softmax_method, _softmax),
    torch.max_pool2d: Fast(norms.max_pool2d, _rule_of("max_pool2d")),
    F.avg_pool2d: Fast(norms.avg_pool2d, _rule_of("avg_pool2d")),
    F.adaptive_avg_pool2d: Fast(norms.adaptive_avg_pool2d, element_rules.average),
    F.interpolate: Fast(norms.interpolate, _interpolate),
    F.pad: Fast(elements.pad, _rule_of("constant_pad_nd")),
    F.dropout: Fast(elements.dropout, _nothing),
    Tensor.float: Fast(elements.itself_in(torch.float32), _nothing),
    torch.where: Fast(elements.where, _rule_of("where")),
}


_BY_OPERATION: tuple[tuple[Infer, str, tuple[Any, ...]], ...] = (
    (norms.reduction, "mean", (torch.mean, Tensor.mean)),
    (norms.reduction, "sum", (torch.sum, Tensor.sum)),
    (norms.extremum, "amax", (torch.amax, Tensor.amax)),
    (norms.extremum, "amin", (torch.amin, Tensor.amin)),
    (elements.cat, "cat", (torch.cat,)),
    (elements.stack, "stack", (torch.stack,)),
    (elements.roll, "roll", (torch.roll, Tensor.roll)),
    (elements.activation, "relu", (F.relu,)),
    (elements.activation, "hardtanh", (F.relu6,)),
    (elements.activation, "silu", (F.silu,)),
    (elements.activation, "hardswish", (F.hardswish,)),
    (elements.activation, "hardsigmoid", (F.hardsigmoid,)),
    (elements.elu, "elu", (F.elu,)),
    (elements.leaky_relu, "leaky_relu", (F.leaky_relu,)),
    (elements.hardtanh, "hardtanh", (F.hardtanh,)),
    (elements.gelu, "gelu", (F.gelu,)),
    (elements.softplus, "softplus", (F.softplus,)),
    (elements.clamp, "clamp", (torch.clamp, Tensor.clamp)),
    (elements.power, "pow", (torch.pow, Tensor.pow)),
    (elements.unary, "relu", (torch.relu, Tensor.relu)),
    (elements.unary, "sigmoid", (torch.sigmoid, Tensor.sigmoid, F.sigmoid)),
    (elements.unary, "tanh", (torch.tanh, Tensor.tanh, F.tanh)),
    *((elements.unary, _name, (getattr(torch, _name), getattr(Tensor, _name))) for _name in
      ("abs", "cos", "erf", "exp", "log", "neg", "rsqrt", "sin", "sqrt")),
    (elements.SUMS, "add", (torch.add, Tensor.add)),
    (elements.DIFFERENCES, "sub", (torch.sub, Tensor.sub)),
    (elements.PRODUCTS, "mul", (torch.mul, Tensor.mul)),
    (elements.QUOTIENTS, "div", (torch.div, Tensor.div)),
    (elements.SUMS_INTO, "add", (Tensor.add_,)),
    (elements.SUMS_INTO, "sub", (Tensor.sub_,)),
    (elements.SUMS_INTO, "mul", (Tensor.mul_,)),
    (elements.QUOTIENTS_INTO, "div", (Tensor.div_,)),
    *((elements.COMPARISONS, _name, (getattr(torch, _name), getattr(Tensor, _name))) for _name in
      ("eq", "ge", "gt", "le", "lt", "ne")),
)  # fmt: skip
for _infer, _operation, _functions in _BY_OPERATION:
    FAST.update(dict.fromkeys(_functions, Fast(_infer, _rule_of(_operation))))
