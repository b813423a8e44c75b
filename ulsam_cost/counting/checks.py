"""What the meta device accepts and kernels refuse: there the call is in doubt, and a copy of the model really runs.

A check raises what PyTorch says, as far as it can be known without a kernel: where the model cannot really run, this
is the error that the caller sees.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.counting.rules.registry import ops
from ulsam_cost.tensors import tensors_of

Check = Callable[..., None]
CHECKS: dict[Any, Check] = {}
HALVES = (torch.float16, torch.bfloat16)


def _check(names: str, *, in_place: bool = False) -> Callable[[Check], Check]:
    def add(function: Check) -> Check:
        CHECKS.update(dict.fromkeys(ops(names, in_place=in_place), function))
        return function

    return add


def _require_one_dtype(operands: Iterable[Tensor]) -> None:
    dtypes = list(dict.fromkeys(operand.dtype for operand in operands))
    if len(dtypes) > 1:
        raise RuntimeError(f"expected operands of the same dtype, but got {' and '.join(map(_name, dtypes))}")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@_check("mm bmm mv dot vdot")
def _product(*operands: Any, **_: Any) -> None:
    _require_one_dtype(tensors_of(operands))


@_check("addmm baddbmm addmv _addmm_activation", in_place=True)
def _added_product(added: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> None:
    _require_one_dtype((added, a, b))
    out = (*a.shape[:-1], b.shape[-1]) if b.dim() > 1 else a.shape[:-1]
    sizes = zip(reversed(added.shape), reversed(out), strict=False)
    if added.dim() > len(out) or any(size not in (1, wanted) for size, wanted in sizes):
        raise RuntimeError(f"expected an addend that broadcasts to {list(out)}, but got {list(added.shape)}")


@_check("convolution _convolution")
def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    *_: Any,
) -> None:
    _require_one_dtype(tensors_of(x, weight, bias))
    lengths = {len(sizes) for sizes in (stride, padding, dilation)}
    if not lengths <= {1, weight.dim() - 2}:
        raise RuntimeError(f"expected a stride, a padding and a dilation for {weight.dim() - 2} dimensions")
    if min(stride) < 1 or min(dilation) < 1 or min(padding) < 0 or min(output_padding) < 0:
        raise RuntimeError("non-positive stride, non-positive dilation and negative padding are not supported")
    if 0 in weight.shape:
        raise RuntimeError(f"expected a weight that is not empty, but got {list(weight.shape)}")
    if groups < 1 or weight.shape[0] % groups:
        raise RuntimeError(f"expected weight to be divisible by {groups} at dimension 0, but got {list(weight.shape)}")
    channels, wanted = x.shape[1 - weight.dim()], weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != wanted:
        raise RuntimeError(f"expected input to have {wanted} channels, but got {channels} channels")
    out = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (out,):
        raise RuntimeError(f"expected bias to be 1-dimensional with {out} elements, but got {list(bias.shape)}")


@_check("native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training")
def _batch_norm(x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, *_: Any) -> None:
    if isinstance(mean, Tensor) is not isinstance(var, Tensor):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    own = x.shape[1:2]
    if any(operand.shape != own for operand in tensors_of(weight, bias, mean, var)):
        raise RuntimeError(f"expected parameters and statistics of {own[0]} elements")
    _norm(x, weight, bias, mean, var)


@_check("native_layer_norm native_group_norm")
def _norm(x: Tensor, *others: Any) -> None:
    own = list(tensors_of(*others))
    _require_one_dtype(own)
    if own and own[0].dtype is not x.dtype and not (x.dtype in HALVES and own[0].dtype is torch.float32):
        raise RuntimeError(f"mixed dtype: {_name(x.dtype)} with parameters of {_name(own[0].dtype)}")
    _of_floats(x)


@_check("relu hardtanh", in_place=True)
def _of_real_numbers(x: Tensor, *_: Any, **__: Any) -> None:
    if x.is_complex() or x.dtype is torch.bool:
        raise RuntimeError(f"not implemented for {_name(x.dtype)}")


@_check(
    "hardswish hardsigmoid silu gelu elu celu selu leaky_relu mish softplus "
    "softshrink hardshrink log_sigmoid_forward glu",
    in_place=True,
)
@_check("native_dropout bernoulli bernoulli_")
def _of_floats(x: Tensor, *_: Any, **__: Any) -> None:
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"not implemented for {_name(x.dtype)}")


@_check(
    "max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d _adaptive_avg_pool2d "
    "_adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d"
)
def _pool(x: Tensor, *_: Any, **__: Any) -> None:
    _of_floats(x)
    if 0 in x.shape[1:]:
        raise RuntimeError(f"expected input without empty dimensions, but got {list(x.shape)}")


@_check("_softmax _log_softmax")
def _softmax(x: Tensor, dim: int, *_: Any) -> None:
    _of_floats(x)
    if not -max(1, x.dim()) <= dim < max(1, x.dim()):
        raise IndexError(f"dimension out of range: {dim} of a tensor of {x.dim()} dimensions")


@_check("add_ sub_ mul_ div_")
def _into(x: Tensor, other: Any, **_: Any) -> None:
    result = torch.result_type(x, other)
    if not torch.can_cast(result, x.dtype):
        raise RuntimeError(f"result type {_name(result)} can't be cast to the desired output type {_name(x.dtype)}")


@_check("embedding")
def _embedding(weight: Tensor, indices: Tensor, *_: Any) -> None:
    if indices.dtype not in (torch.int64, torch.int32):
        raise RuntimeError(f"expected indices to be int64 or int32, but got {_name(indices.dtype)}")
