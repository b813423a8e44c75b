"""Quantized layers: a MAC is a MAC, whatever the bits of its numbers."""

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.packed import unpacked
from ulsam_cost.counting.rules.elements import elementwise
from ulsam_cost.counting.rules.products import product, recurrent_product
from ulsam_cost.counting.rules.registry import Record, Rule, ops, record_work, rule, rule_named
from ulsam_cost.operations import convolution_work


def _quantized(names: str) -> list[Any]:
    """The operators of these names, as far as this PyTorch has them."""
    library = torch.ops.quantized
    return [getattr(library, name) for name in names.split() if hasattr(library, name)]


def _packed(*values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, torch.ScriptObject):
            yield value
        elif isinstance(value, tuple | list):
            yield from _packed(*value)


def _layer(kind: OpKind, *, transposed: bool = False, activated: bool = False) -> Rule:
    """The rule of a linear layer or a convolution, with the activation that is fused into it."""

    def layer(record: Record, out: Tensor, x: Tensor, *others: Any, **_: Any) -> None:
        packed = next(_packed(others))
        content = unpacked(packed)
        [weight] = content.weights
        # [..., out] = [..., in] @ [in, out]; [n, out, ...] = [n, c, ...] * [out, c / groups, ...]
        work = convolution_work(x.shape, weight.shape, out.shape, transposed=transposed)
        record_work(record, kind, out.shape, work, (packed,))
        for bias in content.biases:
            record.bias(out.shape, bias)
        if activated:
            record(OpKind.ACTIVATION, out.shape, reads=out.numel())

    return layer


for names, kind, transposed, activated in (
    ("linear linear_dynamic linear_dynamic_fp16", OpKind.LINEAR, False, False),
    (
        "linear_relu linear_relu_dynamic linear_relu_dynamic_fp16 linear_leaky_relu linear_tanh",
        OpKind.LINEAR,
        False,
        True,
    ),
    ("conv1d conv2d conv3d conv1d_dynamic conv2d_dynamic conv3d_dynamic", OpKind.CONV, False, False),
    ("conv1d_relu conv2d_relu conv3d_relu", OpKind.CONV, False, True),
    (
        "conv_transpose1d conv_transpose2d conv_transpose3d conv_transpose1d_dynamic conv_transpose2d_dynamic "
        "conv_transpose3d_dynamic",
        OpKind.CONV,
        True,
        False,
    ),
):
    rule(_quantized(names))(_layer(kind, transposed=transposed, activated=activated))


@rule(ops("quantized_lstm quantized_gru"))
def recurrent_layer(record: Record, out: Any, x: Tensor, *others: Any, **_: Any) -> None:
    for packed in _packed(others):
        content = unpacked(packed)
        _recurrence(record, prod(x.shape[:-1]), content.weights, (packed,))
        for bias in content.biases:
            record.bias((prod(x.shape[:-1]), bias.numel()), bias)


@rule(
    _quantized(
        "quantized_lstm_cell_dynamic quantized_gru_cell_dynamic quantized_rnn_relu_cell_dynamic "
        "quantized_rnn_tanh_cell_dynamic"
    )
)
def recurrent_cell(record: Record, out: Any, x: Tensor, state: Any, *others: Any) -> None:
    for packed in _packed(others):
        content = unpacked(packed)
        _recurrence(record, x.shape[0], content.weights, (packed,))
        for bias in content.biases:
            record.bias((x.shape[0], bias.numel()), bias)


def _recurrence(record: Record, steps: int, weights: tuple[Tensor, ...], params: Any) -> None:
    for weight in weights:
        recurrent_product(record, steps, weight, params)


@rule(_quantized("linear_prepack conv1d_prepack conv2d_prepack conv3d_prepack"))
def pack(record: Record, out: None, weight: Tensor, *_: Any, **__: Any) -> None:
    record(OpKind.MOVEMENT, weight.shape, reads=weight.numel(), params=(weight,))


@rule(_quantized("matmul"))
def matrix_product(record: Record, out: Tensor, a: Tensor, b: Tensor, *_: Any) -> None:
    product(record, out.shape, a, b, length=a.shape[-1])  # [..., i, j] = [..., i, k] @ [..., k, j]


@rule(
    _quantized("embedding_byte embedding_4bit embedding_2bit embedding_bag_byte embedding_bag_4bit embedding_bag_2bit")
)
def embedding(record: Record, out: Tensor, packed: Any, indices: Tensor, *_: Any, **__: Any) -> None:
    reads = indices.numel() * unpacked(packed).weights[0].shape[1] + indices.numel()
    record(OpKind.MOVEMENT, out.shape, reads=reads, params=(packed,))


for names, kind in (
    ("add add_out add_relu add_scalar add_scalar_relu", OpKind.ADD),
    ("mul mul_out mul_relu mul_scalar mul_scalar_relu", OpKind.MULTIPLY),
    ("relu6 hardswish leaky_relu elu celu sigmoid prelu threshold", OpKind.ACTIVATION),
    ("batch_norm batch_norm1d batch_norm2d batch_norm3d batch_norm_relu batch_norm1d_relu", OpKind.NORM),
    ("batch_norm2d_relu batch_norm3d_relu layer_norm group_norm instance_norm", OpKind.NORM),
    ("softmax", OpKind.SOFTMAX),
    ("clamp", OpKind.ELEMENTWISE),
    ("cat cat_relu", OpKind.MOVEMENT),
):
    rule(_quantized(names))(elementwise(kind))
rule(ops("quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel dequantize"))(
    elementwise(OpKind.ELEMENTWISE)
)
rule_named(
    "quantized_decomposed::quantize_per_tensor quantized_decomposed::quantize_per_channel "
    "quantized_decomposed::quantize_per_token quantized_decomposed::dequantize_per_tensor "
    "quantized_decomposed::dequantize_per_channel quantized_decomposed::dequantize_per_token"
)(elementwise(OpKind.ELEMENTWISE))
