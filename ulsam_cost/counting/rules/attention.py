"""Scaled dot-product attention, alone and inside the fused layers of torch.nn.

Counted in full: both products over every pair of a query and a key, whether or not a mask, causal or given,
removes some of them. Grouped queries: each query head meets one key head, so that the count is the query heads'.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Any

from torch import Tensor

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules.products import product
from ulsam_cost.counting.rules.registry import Record, ops, record_work, rule, rule_named
from ulsam_cost.operations import norm_work, product_work, window_work
from ulsam_cost.tensors import first_tensor


@rule(
    ops(
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
        "_scaled_dot_product_fused_attention_overrideable _scaled_dot_product_attention_math "
        "_scaled_dot_product_attention_math_for_mps _triton_scaled_dot_attention"
    )
)
def attention(record: Record, out: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> None:
    *batch, length = first_tensor(out).shape[:-1]  # of all operands, which may broadcast
    pairs(record, tuple(batch), length, key.shape[-2], query.shape[-1], value.shape[-1], (query, key, value))


def pairs(
    record: Record, batch: tuple[int, ...], queries: int, keys: int, width: int, out_width: int, operands: Any
) -> None:
    """Both products of attention and the softmax between them."""
    query, key, value = (operand.numel() for operand in operands)
    scores, output = (*batch, queries, keys), (*batch, queries, out_width)
    count = prod(scores)
    # [..., l, s] = [..., l, d] @ [..., d, s]
    record_work(record, OpKind.MATMUL, scores, product_work(scores, width, query + key))
    record_work(record, OpKind.SOFTMAX, scores, window_work(scores, keys))
    # [..., l, v] = [..., l, s] @ [..., s, v]
    record_work(record, OpKind.MATMUL, output, product_work(output, keys, count + value))


@rule(ops("_flash_attention_forward"))
def flash_attention(
    record: Record, out: Any, query: Tensor, key: Tensor, value: Tensor, ends_q: Any, ends_k: Any, *_: Any, **__: Any
) -> None:
    kernel(record, query, key, value, ends_q, ends_k)


@rule(ops("_efficient_attention_forward"))
def efficient_attention(
    record: Record,
    out: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Any,
    ends_q: Any,
    ends_k: Any,
    *_: Any,
    **__: Any,
) -> None:
    if ends_q is None:
        kernel(record, query, key, value, ends_q, ends_k)
    else:  # a batch of one, in which they are packed
        kernel(record, query[0], key[0], value[0], ends_q, ends_k)


@rule(ops("_cudnn_attention_forward"))
def cudnn_attention(
    record: Record,
    out: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Any,
    ends_q: Any,
    ends_k: Any,
    *_: Any,
    **__: Any,
) -> None:
    if ends_q is None:
        attention(record, out, query, key, value)
    else:
        kernel(record, query, key, value, ends_q, ends_k)


@rule_named("torch_attn::_varlen_attn")
def packed_attention(
    record: Record, out: Any, query: Tensor, key: Tensor, value: Tensor, ends_q: Any, ends_k: Any, *_: Any, **__: Any
) -> None:
    kernel(record, query, key, value, ends_q, ends_k)


def kernel(record: Record, query: Tensor, key: Tensor, value: Tensor, ends_q: Any, ends_k: Any) -> None:
    """A kernel whose operands are [n, l, h, d], or [all l, h, d] with the places at which each sequence ends."""
    heads, width, out_width = query.shape[-2], query.shape[-1], value.shape[-1]
    if ends_q is None:
        n, queries = query.shape[:2]
        pairs(record, (n, heads), queries, key.shape[1], width, out_width, (query, key, value))
        return
    if ends_q.is_meta or ends_k.is_meta:
        raise ValueError("the lengths of packed sequences are known where they are given with their values")
    for (first, last), (start, end) in zip(_spans(ends_q), _spans(ends_k), strict=True):
        operands = query[first:last], key[start:end], value[start:end]
        pairs(record, (heads,), last - first, end - start, width, out_width, operands)


def _spans(ends: Tensor) -> Iterator[tuple[int, int]]:
    return pairwise(ends.tolist())


@rule(ops("_native_multi_head_attention"))
def multi_head_attention(
    record: Record,
    out: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    *_: Any,
    **__: Any,
) -> None:
    n, queries, _width = query.shape
    keys, width = key.shape[1], embed_dim // heads
    # [n, l, 3 d] = [n, l, d] @ [d, 3 d]
    product(record, (n, queries, qkv_weight.shape[0]), query, qkv_weight, qkv_bias, length=qkv_weight.shape[1])
    pairs(record, (n, heads), queries, keys, width, width, (query, key, value))
    # [n, l, d] = [n, l, d] @ [d, d]
    product(record, (n, queries, proj_weight.shape[0]), query, proj_weight, proj_bias, length=proj_weight.shape[1])


@rule(ops("_transformer_encoder_layer_fwd"))
def encoder_layer(
    record: Record,
    out: Tensor,
    x: Tensor,
    embed_dim: int,
    heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    *_: Any,
    **__: Any,
) -> None:
    n, length, _width = x.shape
    multi_head_attention(record, out, x, x, x, embed_dim, heads, qkv_weight, qkv_bias, proj_weight, proj_bias)
    hidden = ffn_weight_1.shape[0]
    # [n, l, f] = [n, l, d] @ [d, f], and back
    product(record, (n, length, hidden), x, ffn_weight_1, ffn_bias_1, length=embed_dim)
    record(OpKind.ACTIVATION, (n, length, hidden), reads=n * length * hidden)
    work = product_work(x.shape, hidden, n * length * hidden + ffn_weight_2.numel())
    record_work(record, OpKind.LINEAR, x.shape, work, (ffn_weight_2,))
    record.bias(x.shape, ffn_bias_2)
    for norm in ((norm_weight_1, norm_bias_1), (norm_weight_2, norm_bias_2)):
        record(OpKind.ADD, x.shape, reads=2 * x.numel())
        record_work(record, OpKind.NORM, x.shape, norm_work(x.shape, 2 * embed_dim, embed_dim), norm)
