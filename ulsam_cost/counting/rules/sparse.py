"""Products of sparse matrices: each stored element meets a row or a column. A block stores its zeros, too."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules.registry import Record, Rule, ops
from ulsam_cost.tensors import first_tensor, stored_elements

SPARSE: dict[Any, Rule] = {}


def _sparse_rule(names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators some of whose operands are sparse."""

    def add(function: Rule) -> Rule:
        SPARSE.update(dict.fromkeys(ops(names), function))
        return function

    return add


@_sparse_rule("mm bmm mv hspmm _sparse_sparse_matmul")
def product(record: Record, out: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> None:
    if a.layout is torch.strided:  # [..., i, j] = [..., i, k] @ stored of [..., k, j]
        macs = stored_elements(b) * (a.numel() // a.shape[-1])
    elif b.layout is torch.strided:  # [..., i, j] = stored of [..., i, k] @ [..., k, j]
        macs = stored_elements(a) * (b.shape[-1] if b.dim() > 1 else 1)
    else:  # [i, j] = stored of [i, k] @ stored of [k, j]
        macs = int((_stored_at(a, 1) * _stored_at(b, 0)).sum())
    _record_product(record, out, a, b, macs)


@_sparse_rule("_sparse_mm_reduce_impl")
def reduced_product(record: Record, out: Any, a: Tensor, b: Tensor, *_: Any) -> None:
    product(record, first_tensor(out), a, b)  # of what is stored; the largest or least product in place of the sum


@_sparse_rule("addmm _sparse_addmm addmv sspaddmm")
def added_product(
    record: Record, out: Tensor, added: Tensor, a: Tensor, b: Tensor, *_: Any, beta: Any = 1, **__: Any
) -> None:
    product(record, out, a, b)
    record.bias(out.shape, added if beta else None)


@_sparse_rule("sparse_sampled_addmm")
def sampled_product(
    record: Record, out: Tensor, added: Tensor, a: Tensor, b: Tensor, *_: Any, beta: Any = 1, **__: Any
) -> None:
    # Only what the result stores: [i, j] = [i, j] + [i, k] @ [k, j]
    _record_product(record, out, a, b, stored_elements(out) * a.shape[-1])
    record.bias(out.shape, added if beta else None)


def _record_product(record: Record, out: Tensor, a: Tensor, b: Tensor, macs: int) -> None:
    learned = record.is_parameter(a) or record.is_parameter(b)
    written = stored_elements(out)
    record(
        OpKind.LINEAR if learned else OpKind.MATMUL, out.shape, macs=macs,
        reads=stored_elements(a) + stored_elements(b), writes=written, reduction=macs // max(1, written),
        params=(a, b),
    )  # fmt: skip


def _stored_at(matrix: Tensor, dim: int) -> Tensor:
    """How many elements a matrix stores at each index of a dimension; only of single elements, not of blocks."""
    indices = matrix.to_sparse_coo()._indices()[dim]
    return torch.bincount(indices, minlength=matrix.shape[dim])


@_sparse_rule("_to_sparse _to_sparse_csr _to_sparse_csc _to_sparse_bsr _to_sparse_bsc _to_dense clone _coalesce")
def move(record: Record, out: Tensor, x: Tensor, *_: Any, **__: Any) -> None:
    record(OpKind.MOVEMENT, out.shape, reads=stored_elements(x), writes=stored_elements(out), params=(x,))
