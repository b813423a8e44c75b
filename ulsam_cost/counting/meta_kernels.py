"""What kernels accept and the meta device refuses: the results' shapes are made here."""

from typing import Any

import torch
from torch import Tensor

from ulsam_cost.counting.rules.registry import ops


def run_on_meta(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operator, on meta tensors as a rule."""
    if operator.overloadpacket in _GROUPED and args[0].is_meta and args[0].dtype is not torch.bfloat16:
        return _grouped(*args, **kwargs)
    if operator.overloadpacket in LEAST_SQUARES:
        return _least_squares(*args, **kwargs)
    return operator(*args, **kwargs)


_GROUPED = frozenset(ops("_grouped_mm"))
# The shape of what they give beside the solution depends on the rank, which is taken to be full.
LEAST_SQUARES = frozenset(ops("linalg_lstsq"))


def _grouped(a: Tensor, b: Tensor, ends: Tensor | None = None, *_: Any, out_dtype: Any = None, **__: Any) -> Tensor:
    """A grouped product in another dtype than bfloat16, which only its meta kernel asks for."""
    if a.dtype is not b.dtype or not a.dtype.is_floating_point or a.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"expected operands of one dtype that fit, but got {list(a.shape)} {a.dtype} and {list(b.shape)} {b.dtype}"
        )
    groups = a.shape[:1] if a.dim() == b.dim() == 3 else () if ends is None or a.dim() != b.dim() else ends.shape
    return a.new_empty((*groups, a.shape[-2], b.shape[-1]), dtype=out_dtype)


def _least_squares(a: Tensor, b: Tensor, rcond: Any = None, *, driver: str | None = None) -> tuple[Tensor, ...]:
    """Solution, residuals, rank and singular values, of matrices of full rank."""
    is_vector = b.dim() == a.dim() - 1
    right = b.unsqueeze(-1) if is_vector else b
    batch, (rows, columns) = a.shape[:-2], a.shape[-2:]
    if right.shape[:-1] != a.shape[:-1] or right.dtype is not a.dtype or not (a.is_floating_point() or a.is_complex()):
        raise RuntimeError(f"expected operands of one dtype that fit, but got {list(a.shape)} and {list(b.shape)}")
    solution = a.new_empty((*batch, columns, right.shape[-1]))
    numbers = a.new_empty(0).real
    has_residuals = rows > columns and driver not in (None, "gelsy")
    return (
        solution.squeeze(-1) if is_vector else solution,
        numbers.new_empty((*batch, right.shape[-1]) if has_residuals else 0),
        numbers.new_empty(0 if driver == "gels" else batch, dtype=torch.int64),
        numbers.new_empty((*batch, min(rows, columns)) if driver in ("gelsd", "gelss") else 0),
    )
