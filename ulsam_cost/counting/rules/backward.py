"""The backward pass: each gradient of a product is a product of the same size; the rest goes as it came."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules.elements import elementwise
from ulsam_cost.counting.rules.registry import Record, ops, record_work, rule, rule_named
from ulsam_cost.operations import Work, convolution_work, product_work, share
from ulsam_cost.tensors import tensors_of


@rule(ops("convolution_backward convolution_backward_overrideable"))
def convolution_backward(
    record: Record,
    out: Any,
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    wanted: tuple[bool, ...],
) -> None:
    # Each gradient meets every pair of an element and a tap that the forward met.
    macs = convolution_work(x.shape, weight.shape, grad.shape, transposed=transposed).macs
    for is_wanted, result, other in zip(wanted, (x, weight), (weight, x), strict=False):
        if is_wanted:
            work = Work(macs, grad.numel() + other.numel(), share(macs, result.numel()))
            record_work(record, OpKind.CONV, result.shape, work)
    if wanted[2]:
        channels = grad.shape[1]
        record(OpKind.REDUCE, (channels,), reads=grad.numel(), reduction=share(grad.numel(), channels))


@rule_named("transformers::grouped_mm_fallback_backward")
def grouped_product_backward(record: Record, out: Any, a: Tensor, b: Tensor, offsets: Tensor, grad: Tensor) -> None:
    # [i of g, k] = [i of g, j] @ [g, j, k]; [g, k, j] = [k, i of g] @ [i of g, j], each row in one group
    macs = grad.numel() * a.shape[-1]
    record(OpKind.MATMUL, a.shape, macs=macs, reads=grad.numel() + b.numel(), reduction=grad.shape[-1])
    record(OpKind.MATMUL, b.shape, macs=macs, reads=grad.numel() + a.numel(), reduction=a.shape[0] // b.shape[0])


@rule(
    ops(
        "_scaled_dot_product_flash_attention_for_cpu_backward _scaled_dot_product_flash_attention_backward "
        "_scaled_dot_product_efficient_attention_backward _scaled_dot_product_cudnn_attention_backward "
        "_scaled_dot_product_fused_attention_overrideable_backward"
    )
)
def attention_backward(
    record: Record, out: Any, grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *others: Any, **_: Any
) -> None:
    # What a kernel recomputes is left out.
    length, keys = query.shape[-2], key.shape[-2]
    scores = (*query.shape[:-1], keys)
    count = prod(scores)
    # [..., l, d] = [..., l, s] @ [..., s, d]; [..., s, d] = [..., s, l] @ [..., l, d]; [..., s, v] = the same of [l, v]
    for result, summed, other in ((query, keys, key), (key, length, query), (value, length, grad)):
        macs = count * result.shape[-1]  # those of all heads, also where some share keys
        record_work(record, OpKind.MATMUL, result.shape, Work(macs, count + other.numel(), summed))
    # [..., l, s] = [..., l, v] @ [..., v, s]
    work = product_work(scores, value.shape[-1], grad.numel() + value.numel())
    record_work(record, OpKind.MATMUL, scores, work)
    record(OpKind.SOFTMAX, scores, reads=2 * count, reduction=keys)


@rule(ops("_flash_attention_backward _efficient_attention_backward"))
def kernel_backward(
    record: Record, out: Any, grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *others: Any, **_: Any
) -> None:
    if query.dim() != 4 or any(other.dtype is torch.int32 for other in tensors_of(others)):
        raise ValueError("the lengths of packed sequences are not looked at in the backward pass")
    # [n, l, h, d] as [n, h, l, d]
    attention_backward(record, out, *(x.transpose(1, 2) for x in (grad, query, key, value)))


for names, kind in (
    (
        "native_batch_norm_backward batch_norm_backward cudnn_batch_norm_backward miopen_batch_norm_backward "
        "native_layer_norm_backward native_group_norm_backward _fused_rms_norm_backward "
        "_weight_norm_interface_backward",
        OpKind.NORM,
    ),
    (
        "threshold_backward hardtanh_backward sigmoid_backward tanh_backward hardswish_backward hardsigmoid_backward "
        "silu_backward gelu_backward elu_backward leaky_relu_backward mish_backward softplus_backward "
        "log_sigmoid_backward _prelu_kernel_backward glu_backward softshrink_backward hardshrink_backward "
        "rrelu_with_noise_backward",
        OpKind.ACTIVATION,
    ),
    ("_softmax_backward_data _log_softmax_backward_data _masked_softmax_backward", OpKind.SOFTMAX),
    (
        "max_pool2d_with_indices_backward max_pool3d_with_indices_backward adaptive_max_pool2d_backward "
        "adaptive_max_pool3d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward",
        OpKind.POOL_MAX,
    ),
    (
        "avg_pool2d_backward avg_pool3d_backward _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward",
        OpKind.POOL_AVG,
    ),
    (
        "upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward "
        "_upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward "
        "upsample_linear1d_backward upsample_bilinear2d_backward upsample_bicubic2d_backward "
        "upsample_trilinear3d_backward _upsample_bilinear2d_aa_backward _upsample_bicubic2d_aa_backward "
        "grid_sampler_2d_backward grid_sampler_3d_backward",
        OpKind.UPSAMPLE,
    ),
    (
        "native_dropout_backward mse_loss_backward smooth_l1_loss_backward binary_cross_entropy_backward "
        "nll_loss_backward nll_loss2d_backward huber_loss_backward soft_margin_loss_backward "
        "multi_margin_loss_backward multilabel_margin_loss_backward _cdist_backward _pdist_backward",
        OpKind.ELEMENTWISE,
    ),
    (
        "slice_backward select_backward diagonal_backward unfold_backward embedding_dense_backward "
        "value_selecting_reduction_backward constant_pad_nd_backward reflection_pad1d_backward "
        "reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward replication_pad2d_backward "
        "replication_pad3d_backward index_select_backward gather_backward masked_scatter_backward "
        "_embedding_bag_backward",
        OpKind.MOVEMENT,
    ),
):
    rule(ops(names))(elementwise(kind))
