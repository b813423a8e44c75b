"""Fast Fourier transforms: no MACs, and a kind of their own.

Under `strict` a complex transform of n numbers takes 5 n log2 n operations, rounded, and a real one half of that: the
agreed count of Frigo and Johnson's benchFFT, exact for the radix-2 algorithm. A transform over several dimensions has
their product for n.
"""

from collections.abc import Sequence
from math import log2, prod
from typing import Any

from torch import Tensor

from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules.registry import Record, ops, rule


@rule(ops("_fft_c2c _fft_r2c _fft_c2r"))
def transform(record: Record, out: Tensor, x: Tensor, dims: Sequence[int], *_: Any, **__: Any) -> None:
    whole = out if x.is_complex() and not out.is_complex() else x  # the other holds half of a symmetric spectrum
    n = prod(whole.shape[dim] for dim in dims)
    transforms, is_real = whole.numel() // n if n else 0, not (x.is_complex() and out.is_complex())
    operations = round((2.5 if is_real else 5) * n * log2(n)) if n else 0
    record(OpKind.FFT, out.shape, reads=x.numel(), reduction=n, operations=transforms * operations)
