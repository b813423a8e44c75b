"""Everything without MACs: norms, softmax, pooling, interpolation, reductions, element by element, moving data."""

from collections.abc import Iterable
from math import inf, prod
from typing import Any

from torch import Tensor

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules.registry import Record, Rule, ops, record_work, rule
from ulsam_cost.operations import norm_work, reduction_work, window_work
from ulsam_cost.tensors import first_tensor, tensors_of


@rule(
    ops(
        "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
        "_native_batch_norm_legit_functional _batch_norm_no_update batch_norm_elemt cudnn_batch_norm "
        "miopen_batch_norm"
    )
)
def batch_norm(record: Record, out: Any, x: Tensor, *others: Any, **_: Any) -> None:
    takes_statistics = any(other is True for other in others)
    batch_norm_of(record, first_tensor(out), x, others[:4], takes_statistics=takes_statistics)


@rule(ops("_batch_norm_with_update _batch_norm_with_update_functional"))
def updating_batch_norm(record: Record, out: Any, x: Tensor, *others: Any, **_: Any) -> None:
    batch_norm_of(record, first_tensor(out), x, others[:4], takes_statistics=True)


def batch_norm_of(record: Record, out: Tensor, x: Tensor, others: Iterable[Any], *, takes_statistics: bool) -> None:
    """A batch norm with given statistics, or one that takes those of each channel of its map."""
    norm(record, out, x, others, reduction=x.numel() // x.shape[1] if takes_statistics else 1)


@rule(ops("native_layer_norm"))
def layer_norm(record: Record, out: Any, x: Tensor, shape: Any, *others: Any) -> None:
    norm(record, first_tensor(out), x, others[:2], reduction=prod(shape))


@rule(ops("_fused_rms_norm"))
def rms_norm(record: Record, out: Any, x: Tensor, shape: Any, weight: Any, *_: Any) -> None:
    norm(record, first_tensor(out), x, (weight,), reduction=prod(shape))


@rule(ops("native_group_norm"))
def group_norm(
    record: Record, out: Any, x: Tensor, weight: Any, bias: Any, n: int, c: int, hw: int, group: int, *_: Any
) -> None:
    norm(record, first_tensor(out), x, (weight, bias), reduction=c * hw // group)


@rule(ops("_weight_norm_interface"))
def weight_norm(record: Record, out: Any, v: Tensor, g: Tensor, *_: Any) -> None:
    norm(record, first_tensor(out), v, (v, g), reduction=v.numel() // g.numel())


def norm(record: Record, out: Tensor, x: Tensor, others: Iterable[Any], *, reduction: int = 1) -> None:
    """A norm reads the map, and its statistics and parameters once."""
    operands = tuple(tensors_of(*others))
    own = sum(operand.numel() for operand in operands if operand is not x)
    record_work(record, OpKind.NORM, out.shape, norm_work(x.shape, own, reduction), operands)


@rule(ops("_softmax _log_softmax _safe_softmax _masked_softmax"))
def softmax(record: Record, out: Tensor, x: Tensor, *others: Any, **_: Any) -> None:
    dim = next((other for other in others if type(other) is int), -1)
    record_work(record, OpKind.SOFTMAX, out.shape, window_work(x.shape, x.shape[dim] if x.dim() else 1))


def pooling(kind: OpKind, dims: int) -> Rule:
    """The rule of a pool over this many dimensions, whose kernel may be one number for all of them."""

    def pool(record: Record, out: Any, x: Tensor, kernel: Any, *_: Any, **__: Any) -> None:
        sizes = (kernel,) if isinstance(kernel, int) else tuple(kernel)
        window = prod(sizes) if len(sizes) > 1 else sizes[0] ** dims
        record_work(record, kind, first_tensor(out).shape, window_work(x.shape, window))

    return pool


for names, kind, dims in (
    ("max_pool2d max_pool2d_with_indices fractional_max_pool2d", OpKind.POOL_MAX, 2),
    ("max_pool3d_with_indices fractional_max_pool3d", OpKind.POOL_MAX, 3),
    ("avg_pool2d", OpKind.POOL_AVG, 2),
    ("avg_pool3d", OpKind.POOL_AVG, 3),
):
    rule(ops(names))(pooling(kind, dims))


@rule(ops("_adaptive_avg_pool2d _adaptive_avg_pool3d mean"))
def average(record: Record, out: Tensor, x: Tensor, *_: Any, **__: Any) -> None:
    record_work(record, OpKind.POOL_AVG, out.shape, reduction_work(x.shape, out.shape))


@rule(ops("adaptive_max_pool2d adaptive_max_pool3d amax max"))
def maximum(record: Record, out: Any, x: Tensor, *others: Any, **_: Any) -> None:
    result = first_tensor(out)
    if others and isinstance(others[0], Tensor):  # the element-wise torch.max(a, b)
        pointwise(record, out, x, *others)
    else:
        record_work(record, OpKind.POOL_MAX, result.shape, reduction_work(x.shape, result.shape))


@rule(
    ops(
        "sum nansum prod var var_mean std std_mean norm linalg_vector_norm aminmax amin min argmax argmin any all "
        "logsumexp count_nonzero median nanmedian mode kthvalue trace cumsum cumprod logcumsumexp _logcumsumexp cummax "
        "cummin renorm nll_loss_forward nll_loss2d_forward mse_loss smooth_l1_loss binary_cross_entropy l1_loss "
        "histc bincount segment_reduce _is_all_true _is_any_true native_norm linalg__powsum dist hash_tensor "
        "huber_loss soft_margin_loss multi_margin_loss multilabel_margin_loss_forward binary_cross_entropy_with_logits "
        "cumsum_ cumprod_ renorm_"
    )
)
def reduce(record: Record, out: Any, x: Tensor, *others: Any, **_: Any) -> None:
    result = first_tensor(out)
    if others and isinstance(others[0], Tensor) and result.shape == x.shape:  # the element-wise torch.min(a, b)
        pointwise(record, out, x, *others)
    else:
        record_work(record, OpKind.REDUCE, result.shape, reduction_work(x.shape, result.shape), (x,))


@rule(ops("_cdist_forward"))
def distances(record: Record, out: Tensor, x: Tensor, y: Tensor, p: float, *_: Any) -> None:
    _distances(record, out, x.numel() + y.numel(), x.shape[-1], p)


@rule(ops("_pdist_forward"))
def own_distances(record: Record, out: Tensor, x: Tensor, p: float = 2) -> None:
    _distances(record, out, x.numel(), x.shape[-1], p)


def _distances(record: Record, out: Tensor, reads: int, n: int, p: float) -> None:
    """A distance of vectors of n: a difference, its power or absolute value and a sum for each, at last a root."""
    root = 0 if p in (0, 1, inf) else 1
    record(OpKind.REDUCE, out.shape, reads=reads, reduction=n, operations=out.numel() * max(0, 3 * n - 1 + root))


@rule(ops("equal allclose"))
def equal(record: Record, out: None, x: Tensor, y: Tensor, *_: Any, **__: Any) -> None:
    # a bool: a comparison for each pair of elements, and all of them taken together
    n = x.numel()
    record(OpKind.REDUCE, (), reads=n + y.numel(), reduction=n, params=(x, y), operations=max(0, 2 * n - 1))


def interpolation(taps: int) -> Rule:
    """The rule of an interpolation that makes each element of the result out of `taps` of the map's."""

    def interpolate(record: Record, out: Tensor, x: Tensor, *_: Any, **__: Any) -> None:
        record(OpKind.UPSAMPLE, out.shape, reads=x.numel(), reduction=taps)

    return interpolate


for names, taps in (
    ("upsample_nearest1d upsample_nearest2d upsample_nearest3d", 1),
    ("_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d", 1),
    ("upsample_linear1d", 2),
    ("upsample_bilinear2d _upsample_bilinear2d_aa grid_sampler_2d", 4),
    ("upsample_trilinear3d grid_sampler_3d", 8),
    ("upsample_bicubic2d _upsample_bicubic2d_aa", 16),
):
    rule(ops(names))(interpolation(taps))


@rule(ops("embedding"))
def embedding(record: Record, out: Tensor, weight: Tensor, indices: Tensor, *_: Any) -> None:
    # [..., d] = rows of [v, d]: those that are asked for are read
    record(OpKind.MOVEMENT, out.shape, reads=out.numel() + indices.numel(), params=(weight,))


@rule(ops("embedding_renorm_"))
def embedding_norm(record: Record, out: Tensor, weight: Tensor, indices: Tensor, *_: Any) -> None:
    n, width = indices.numel(), weight.shape[-1]  # the rows that are asked for are made no longer than they may be
    record(OpKind.NORM, (n, width), reads=n * width + n, reduction=width, params=(weight,))


def elementwise(kind: OpKind) -> Rule:
    """The rule of an operation that goes element by element over broadcast operands."""

    def element_by_element(record: Record, out: Any, *args: Any, **kwargs: Any) -> None:
        operands = tuple(tensors_of(args, kwargs))
        reads = sum(operand.numel() for operand in operands)
        record(kind, first_tensor(out).shape, reads=reads, params=operands)

    return element_by_element


ACTIVATIONS = (
    "relu relu6 hardtanh sigmoid tanh hardswish hardsigmoid silu gelu elu celu selu leaky_relu mish softplus "
    "softshrink hardshrink threshold log_sigmoid_forward _prelu_kernel rrelu_with_noise glu"
)
activation = rule(ops(ACTIVATIONS, in_place=True))(elementwise(OpKind.ACTIVATION))
multiply = rule(ops("mul div", in_place=True))(elementwise(OpKind.MULTIPLY))
add = rule(ops("add sub rsub", in_place=True))(elementwise(OpKind.ADD))
ELEMENTWISE = (
    "native_dropout _fused_dropout _masked_scale lerp addcmul addcdiv linalg_cross floor_divide polar abs copysign gcd "
    "lcm heaviside eq ne lt le gt ge modf frexp multinomial _add_relu _transform_bias_rescale_qkv "
    "_thnn_fused_lstm_cell _thnn_fused_gru_cell _fake_quantize_learnable_per_tensor_affine "
    "_fake_quantize_learnable_per_channel_affine fake_quantize_per_tensor_affine_cachemask "
    "fake_quantize_per_channel_affine_cachemask _fake_quantize_per_tensor_affine_cachemask_tensor_qparams "
    "_fused_moving_avg_obs_fq_helper isin"
)
pointwise = rule(ops(ELEMENTWISE, in_place=True))(elementwise(OpKind.ELEMENTWISE))
MOVEMENT = (
    "cat stack clone copy _to_copy contiguous index index_select gather take _embedding_bag "
    "_embedding_bag_forward_only index_put _unsafe_index _unsafe_index_put _index_put_impl index_add index_copy "
    "index_fill scatter scatter_add scatter_reduce masked_fill masked_scatter masked_select where roll flip "
    "repeat repeat_interleave tril triu constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d "
    "replication_pad1d replication_pad2d replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle im2col "
    "col2im unfold_copy slice_scatter select_scatter diagonal_scatter diag_embed diagonal_copy sort topk nonzero "
    "_unique2 unique_dim unique_consecutive unsafe_split_copy expand_copy permute_copy view_copy max_unpool2d "
    "max_unpool3d bucketize searchsorted _pack_padded_sequence _to_sparse _to_dense to_padded_tensor complex rot90 "
    "block_diag _chunk_cat put index_reduce _unique _unsafe_masked_index _unsafe_masked_index_put_accumulate "
    "nonzero_static unique_dim_consecutive as_strided_scatter _jagged_to_padded_dense_forward "
    "_padded_dense_to_jagged_forward _pin_memory to_mkldnn lu_unpack alias_copy as_strided_copy narrow_copy t_copy "
    "transpose_copy squeeze_copy unsqueeze_copy unbind_copy split_copy split_with_sizes_copy select_copy slice_copy "
    "detach_copy"
)
move = rule(ops(MOVEMENT, in_place=True))(elementwise(OpKind.MOVEMENT))
