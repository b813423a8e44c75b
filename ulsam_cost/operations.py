"""What an operation costs, from the shapes of its operands: one definition for the closed forms and the operator rules.

The fast path records by the operator rules, so that the three cannot differ. What costs nothing but a read of each
element and a write of each result, such as an element-wise sum, has no definition here.
"""

from math import prod
from typing import Any, NamedTuple

Shape = tuple[Any, ...]


class Work(NamedTuple):
    """Multiply-accumulates, elements that are read, and how many products or elements each result is made of."""

    macs: Any
    reads: Any
    reduction: Any


def convolution_work(x: Shape, weight: Shape, output: Shape, *, transposed: bool = False) -> Work:
    """A convolution [n, out, ...] = [n, c, ...] * [out, c / groups, ...] over any number of dimensions.

    Each element of the output is a sum over one filter; of a transposed convolution, whose weight is
    [c, out / groups, ...], each element of the input meets one.
    """
    taps = prod(weight[1:])
    return Work(macs=prod(x if transposed else output) * taps, reads=prod(x) + prod(weight), reduction=taps)


def product_work(output: Shape, length: Any, reads: Any) -> Work:
    """A matrix product, of operands with `reads` elements, that sums `length` products for each element."""
    return Work(macs=prod(output) * length, reads=reads, reduction=length)


def norm_work(x: Shape, others: Any, reduction: Any = 1) -> Work:
    """A norm that reads its map, and once each of `others` elements: statistics and parameters.

    The statistics are taken over `reduction` elements, or given.
    """
    return Work(macs=0, reads=prod(x) + others, reduction=reduction)


def window_work(x: Shape, window: Any) -> Work:
    """A pool, softmax or reduction that reads its map once, and makes each result of `window` elements."""
    return Work(macs=0, reads=prod(x), reduction=window)


def reduction_work(x: Shape, output: Shape) -> Work:
    """A reduction that makes each element of `output` of an equal part of the map, or of one element."""
    return window_work(x, share(prod(x), prod(output)))


def share(elements: Any, results: Any) -> Any:
    """How many elements each result is made of: one at least, where both numbers are ints."""
    if isinstance(elements, int) and isinstance(results, int):
        return max(1, elements // max(1, results))
    return elements // results
