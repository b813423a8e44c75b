"""How much an operation without a rule could matter."""

from enum import StrEnum

_PRODUCT_NAMES = (
    "mm",
    "matmul",
    "conv",
    "linear",
    "attention",
    "einsum",
    "dot",
    "rnn",
    "lstm",
    "gru",
    "fft",
    "dft",
    "cdist",
    "pdist",
)
_SOLVER_NAMES = ("linalg", "cholesky", "solve", "svd", "qr", "eig", "inverse", "det")
Shapes = tuple[tuple[int, ...], ...]


class Severity(StrEnum):
    """What an uncounted operation looks like: matrix arithmetic, work on single elements, or moving data."""

    PRODUCT = "product"
    ELEMENTWISE = "elementwise"
    MOVEMENT = "movement"


def severity_of(operator: str, shapes: Shapes, results: Shapes) -> Severity:
    """How an operation looks from its name and shapes: a doubt is resolved to the graver side."""
    if operator.startswith("Tensor."):  # what another library does with it is not seen
        return Severity.PRODUCT
    name = operator.lower()
    if any(part in name for part in (*_PRODUCT_NAMES, *_SOLVER_NAMES)):
        return Severity.PRODUCT
    large = [shape for shape in shapes if len(shape) > 1]
    foreign = not operator.startswith("aten::")
    if len(large) > 1 and (foreign or not all(_broadcasts(shape, result) for shape in large for result in results[:1])):
        return Severity.PRODUCT
    if results and all(_broadcasts(shape, results[0]) for shape in shapes):
        return Severity.ELEMENTWISE
    return Severity.MOVEMENT


def _broadcasts(shape: tuple[int, ...], result: tuple[int, ...]) -> bool:
    pairs = zip(reversed(shape), reversed(result), strict=False)
    return len(shape) <= len(result) and all(size in (1, wanted) for size, wanted in pairs)
