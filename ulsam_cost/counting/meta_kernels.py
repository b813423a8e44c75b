"""What kernels accept and the meta device refuses: the results' shapes are made here."""

from typing import Any

import torch
from torch import Tensor

from ulsam_cost.counting.rules.registry import ops


def run_on_meta(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operator, on meta tensors as a rule."""
    if operator.overloadpacket in _GROUPED and args[0].is_meta and args[0].dtype is not torch.bfloat16:
        return _grouped(*args, **kwargs)
    return operator(*args, **kwargs)


_GROUPED = frozenset(ops("_grouped_mm"))


def _grouped(a: Tensor, b: Tensor, ends: Tensor | None = None, *_: Any, out_dtype: Any = None, **__: Any) -> Tensor:
    """A grouped product in another dtype than bfloat16, which only its meta kernel asks for."""
    if a.dtype is not b.dtype or not a.dtype.is_floating_point or a.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"expected operands of one dtype that fit, but got {list(a.shape)} {a.dtype} and {list(b.shape)} {b.dtype}"
        )
    groups = a.shape[:1] if a.dim() == b.dim() == 3 else () if ends is None or a.dim() != b.dim() else ends.shape
    return a.new_empty((*groups, a.shape[-2], b.shape[-1]), dtype=out_dtype)
