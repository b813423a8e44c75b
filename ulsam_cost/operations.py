"""What a product costs, from the shapes of its operands: one definition for the closed forms and the operator rules.

The fast path records by the operator rules, so that the three cannot differ.
"""

from math import prod
from typing import Any, NamedTuple

Shape = tuple[Any, ...]


class Work(NamedTuple):
    """The multiply-accumulates of a product, the elements that it reads, and how many products an element sums."""

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
