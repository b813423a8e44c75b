"""What norms, softmax, pools, reductions and interpolation give."""

from math import floor, isfinite, prod
from typing import Any

from torch import Tensor

from ulsam_cost.counting.fast.results import FLOATS, Made, Result, dims_of, is_channels_last, sizes, suits, windows


def _is_map(x: Tensor, rank: int | None = None) -> bool:
    """Whether a tensor is of floats, which lie in memory in order, and has this many dimensions."""
    return x.dtype in FLOATS and x.is_contiguous() and (rank is None or x.dim() == rank)


def batch_norm(
    x: Tensor,
    mean: Any,
    var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Result:
    shape = x.shape
    if len(shape) < 2 or not _is_map(x) or type(eps) is not float or eps <= 0:
        return None
    elements, channels = x.numel(), shape[1]
    if not all(suits(operand, (channels,), x.dtype) for operand in (mean, var, weight, bias)):
        return None
    if (mean is None) is not (var is None) or type(momentum) is not float or type(training) is not bool:
        return None
    if not elements or (elements == channels if training else mean is None):
        return None
    return Made(shape, x.dtype)


def layer_norm(x: Tensor, normalized: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Result:
    shape, rank = x.shape, len(normalized)
    own = shape[len(shape) - rank :]
    if not rank or own != tuple(normalized) or x.dtype not in FLOATS or type(eps) is not float:
        return None
    return Made(shape, x.dtype) if suits(weight, own, x.dtype) and suits(bias, own, x.dtype) else None


def group_norm(x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Result:
    shape = x.shape
    if len(shape) < 2 or not _is_map(x) or type(groups) is not int or groups < 1 or type(eps) is not float:
        return None
    if shape[1] % groups or prod(shape) <= shape[0] * groups or not min(shape):
        return None
    own = shape[1:2]
    return Made(shape, x.dtype) if suits(weight, own, x.dtype) and suits(bias, own, x.dtype) else None


def softmax(x: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Result:
    rank = x.dim()
    if type(dim) is not int or not -rank <= dim < rank or x.dtype not in FLOATS or dtype not in (None, x.dtype):
        return None
    return Made(x.shape, x.dtype)


def softmax_method(x: Tensor, dim: Any = None, dtype: Any = None) -> Result:
    return softmax(x, dim, 3, dtype)


def max_pool2d(
    x: Tensor,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Result:
    if ceil_mode is not False or return_indices is not False:
        return None
    return _pool2d(x, kernel, stride, padding, dilation)


def avg_pool2d(
    x: Tensor,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Result:
    if ceil_mode is not False or type(count_include_pad) is not bool or divisor_override is not None:
        return None
    return _pool2d(x, kernel, stride, padding, 1)


def _pool2d(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Result:
    if not _is_map(x, 4) or min(x.shape) < 1:
        return None
    window, pads = sizes(kernel, 2), sizes(padding, 2)
    if any(2 * pad > size for pad, size in zip(pads, window, strict=True)):
        return None
    steps = window if stride is None or stride in ((), []) else sizes(stride, 2)
    places = windows(x.shape[2:], window, steps, pads, sizes(dilation, 2))
    return None if places is None else Made((*x.shape[:2], *places), x.dtype)


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Result:
    shape, is_permuted = x.shape, is_channels_last(x)
    if not (is_permuted or _is_map(x, 4)) or x.dtype not in FLOATS or min(shape) < 1:
        return None
    wanted = (output_size, output_size) if type(output_size) is int else output_size
    if len(wanted) != 2:
        return None
    places = tuple([size if own is None else own for own, size in zip(wanted, shape[2:], strict=True)])
    if any(type(place) is not int or place < 1 for place in places):
        return None
    if not is_permuted:
        return Made((*shape[:2], *places), x.dtype)
    n, c = shape[:2]
    return Made((n, c, 1, 1), x.dtype, (c, 1, c, c)) if places == (1, 1) else None


def reduction(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Result:
    """A mean, a sum or a maximum over dimensions."""
    if x.dtype not in FLOATS or type(keepdim) is not bool or dtype not in (None, x.dtype) or not x.numel():
        return None
    over = dims_of(x, dim)
    if over is None:
        return None
    kept = [1 if at in over else size for at, size in enumerate(x.shape) if keepdim or at not in over]
    return Made(tuple(kept), x.dtype)


def extremum(x: Tensor, dim: Any = (), keepdim: bool = False) -> Result:
    return reduction(x, dim, keepdim)


def interpolate(
    x: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> Result:
    if not _is_map(x, 4) or min(x.shape) < 1 or mode not in ("nearest", "bilinear", "bicubic"):
        return None
    if (mode == "nearest" and (align_corners is not None or antialias)) or recompute_scale_factor:
        return None
    if align_corners not in (None, True, False) or type(antialias) is not bool:
        return None
    if scale_factor is None:
        places = sizes(size, 2)
    elif size is None:
        scales = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor, scale_factor)
        if len(scales) != 2 or any(type(scale) not in (int, float) or not isfinite(scale) for scale in scales):
            return None
        places = tuple([floor(float(own * scale)) for own, scale in zip(x.shape[2:], scales, strict=True)])
    else:
        return None
    return Made((*x.shape[:2], *places), x.dtype) if min(places) > 0 else None
