"""Whether what a runtime gives is what PyTorch gives."""

import numpy as np

from ulsam_cost.errors import CostError
from ulsam_cost.measuring.runtimes.exported import Agreement
from ulsam_cost.measuring.runtimes.runtime import Arrays

# of the largest output; int8 has none: what it loses is a question of accuracy
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
NEARLY_EQUAL = 1e-3
NEARLY_EQUAL_NOTE = "PyTorch's outputs are all nearly the same number, so that the agreement shows little"


def agreement(outputs: Arrays, references: Arrays, dtype: str, *, own: float = 0.0) -> Agreement:
    """Compare outputs with PyTorch's in float32, tensor by tensor.

    Args:
        outputs: of a runtime.
        references: PyTorch's.
        dtype: in which the runtime computed.
        own: by how much PyTorch itself differs from float32 in that number format; twice as much is accepted.

    Raises:
        CostError: for other shapes, numbers that are not finite, and a difference over the tolerance.
    """
    given, wanted = ([np.asarray(each) for each in arrays] for arrays in (outputs, references))
    if [each.shape for each in given] != [each.shape for each in wanted]:
        raise CostError(f"the outputs have shapes {_shapes(given)}, and PyTorch's {_shapes(wanted)}")
    if not all(np.isfinite(each).all() for each in wanted):
        raise CostError("PyTorch's own outputs are not all finite, and nothing can be compared with them")
    tolerance = max(TOLERANCES[dtype], 2 * own) if dtype in TOLERANCES else None
    difference = largest_difference(given, wanted)
    if not difference <= (float("inf") if tolerance is None else tolerance) or not np.isfinite(difference):
        accepted = "" if tolerance is None else f": up to {tolerance:g} is accepted"
        raise CostError(f"the outputs differ from PyTorch's by {difference:.2g} of the largest value{accepted}")
    equal = all(each.size > 1 and np.ptp(_wide(each)) <= NEARLY_EQUAL * _largest(each) for each in wanted)
    return Agreement(difference=difference, tolerance=tolerance, note=NEARLY_EQUAL_NOTE if equal else None)


def largest_difference(given: Arrays, wanted: Arrays) -> float:
    """The largest difference, as a share of the largest number of its tensor."""
    return max(map(_difference, given, wanted), default=0.0)


def _difference(given: np.ndarray, wanted: np.ndarray) -> float:
    if not wanted.size:
        return 0.0
    distance = float(np.abs(_wide(given) - _wide(wanted)).max())
    return distance / largest if (largest := _largest(wanted)) else (float("inf") if distance else 0.0)


def _largest(array: np.ndarray) -> float:
    return float(np.abs(_wide(array)).max())


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64)


def _shapes(arrays: list[np.ndarray]) -> str:
    return ", ".join("x".join(map(str, each.shape)) or "()" for each in arrays) or "none"
