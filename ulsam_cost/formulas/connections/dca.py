"""DCA: each attention learns from what the one before it passes on.

Source: DCANet, Eq. 3 to 6 and Section 3.3; layers beyond those that the paper writes down are those that its
cost columns count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.errors import CostError, UnknownNameError, require_size
from ulsam_cost.formulas.attention.mechanism import hidden_width, require_one_of
from ulsam_cost.formulas.layers import (
    add_cost,
    batch_norm_cost,
    concatenate_cost,
    conv2d_cost,
    global_avg_pool_cost,
    layer_norm_cost,
    linear_cost,
    multiply_cost,
    relu_cost,
    softmax_cost,
    unused_cost,
)
from ulsam_cost.operations import Shape
from ulsam_cost.user_code import names_code

MECHANISMS = ("se", "sk", "gc", "ge", "cbam")
FUNCTIONS = ("direct", "weighted", "softmax")
STACKED = "stacked"
POOLINGS = ("avg", "max")
DIMENSIONS = ("both", "channel", "spatial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The connection between an attention and the one before it.

    `function` joins what is passed on with what is extracted: `direct`, `weighted` and `softmax` are Eq. 4 to 6
    with a learned alpha; `stacked`, for vectors, is a learned 1 x 1 convolution over the two. `matching` linear
    layers, one or two, give the passed vector its channels; two meet at floor(channels / matching_reduction).
    `pooling` gives a passed map its size; `dimensions` says which of CBAM's gates are connected;
    `passes_weights` that SK passes on its softmax weights, not the means of its weighted maps.
    """

    channels: int
    previous: int
    shrink: int = 1
    function: str | None = None
    matching: int | None = None
    matching_reduction: int = 16
    pooling: str = "avg"
    dimensions: str = "both"
    passes_weights: bool = False

    @property
    def matched(self) -> bool:
        """Whether channels change, so that a matching exists."""
        return self.channels != self.previous

    @property
    def hidden(self) -> int:
        """The width between two matching layers."""
        width: int = hidden_width(self.channels, self.matching_reduction)
        return width

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """Channels into and out of each matching layer; none where channels stay."""
        if not self.matched:
            return ()
        return tuple(pairwise((self.previous, *([self.hidden] if self.matching == 2 else []), self.channels)))


OPTIONS = ("function", "matching", "matching_reduction", "pooling", "dimensions")


def require_dca_options(mechanism: str, options: dict[str, Any]) -> None:
    """Refuse a mechanism that the connection is not defined for, and options that it does not have.

    Raises:
        CostError: with what is accepted.
    """
    if names_code(mechanism):
        raise CostError(
            f"connection dca is not defined for {mechanism}: it joins what a mechanism extracts, which a module alone "
            f"does not say; accepted values are {', '.join(MECHANISMS)}"
        )
    if mechanism not in MECHANISMS:
        raise CostError(f"connection dca is not defined for {mechanism}: accepted values are {', '.join(MECHANISMS)}")
    if (function := options.get("function")) is not None:
        stackable = mechanism in ("se", "sk", "cbam")
        accepted = (*FUNCTIONS, STACKED) if stackable else FUNCTIONS
        if function not in accepted:
            raise UnknownNameError.among(f"connection function of {mechanism}", str(function), accepted)
    if options.get("matching", 1) not in (1, 2):
        raise CostError(f"matching = {options['matching']!r}: 1 or 2 layers are accepted")
    require_size("matching_reduction", options.get("matching_reduction", 1))
    require_one_of("pooling", options.get("pooling", "avg"), POOLINGS)
    require_one_of("dimensions", options.get("dimensions", "both"), DIMENSIONS)
    if "dimensions" in options and mechanism != "cbam":
        raise CostError(f"dimensions = {options['dimensions']!r}: {mechanism} has one dimension, cbam alone has two")


def connected_cost(mechanism: str, plain: Cost, link: Link, x: Shape, before: Shape | None) -> Cost:
    """The cost of a connected attention on the map x.

    Source: DCANet, Eq. 3.
    Counted: the attention, the matching and the join, and the product that scales what is passed on; in the
    first block, which has nothing to join, only their parameters.
    Not counted: views.

    Args:
        mechanism: one of MECHANISMS.
        plain: its cost without the connection.
        link: the connection.
        x: [n, c, h, w], the map that it attends.
        before: [n, c', h', w'], the map of the attention before it; None in the first block.
    """
    return _CONNECTED[mechanism](plain, link, x, before)


def _connected_se(plain: Cost, link: Link, x: Shape, before: Shape | None) -> Cost:
    vector, passed = x[:2], None if before is None else before[:2]
    joint = _vector_match_cost("joint", link, x[0]) + _vector_join_cost("joint", link, vector)
    cost = _spliced(plain, "down", joint, passed)
    return cost + multiply_cost("", vector, vector, vector) + _unused(joint, passed)


def _connected_gc(plain: Cost, link: Link, x: Shape, before: Shape | None) -> Cost:
    n, c, *_ = x
    joint = _context_match_cost("joint", link, n) + _fuse_cost("joint.join", link, (n, c, 1, 1), (n, c, 1, 1))
    return _spliced(plain, "down", joint, before) + _unused(joint, before)


def _connected_ge(plain: Cost, link: Link, x: Shape, before: Shape | None) -> Cost:
    if before is None:
        return plain + _unused(_map_match_cost("joint", link, x, x) + _fuse_cost("joint.join", link, x, x), None)
    return _map_match_cost("joint", link, before, x) + _fuse_cost("joint.join", link, x, x) + plain


def _connected_sk(plain: Cost, link: Link, x: Shape, before: Shape | None) -> Cost:
    maps = plain.output
    vector = maps[:2]
    branches = sum(op.path == "pool" for op in plain)
    joints = Cost()
    for branch in range(branches):
        joints += _vector_match_cost(f"joints.{branch}", link, x[0])
        joints += _vector_join_cost(f"joints.{branch}", link, vector)
    cost = _spliced(plain, "pool", joints, before, after=True)
    if not link.passes_weights:
        for _ in range(branches):
            cost += global_avg_pool_cost("pool", maps)
    return cost + _unused(joints, before)


def _connected_cbam(plain: Cost, link: Link, x: Shape, before: Shape | None) -> Cost:
    n, vector = x[0], x[:2]
    cost, gate, unused = plain, Cost(), Cost()
    if link.dimensions != "spatial":
        match, join = _vector_match_cost("channel_joint", link, n), _vector_join_cost("channel_joint", link, vector)
        cost = _spliced(_spliced(cost, "avg_pool", join, before, after=True), "avg_pool", match, before)
        cost = _spliced(cost, "max_pool", _without_params(join), before, after=True)
        unused += match + join
        gate = multiply_cost("", vector, vector, vector)
    if link.dimensions != "channel" and any(op.path == "conv" for op in plain):
        joint = _spatial_joint_cost("spatial_joint", link, x, before or x)
        cost = _spliced(cost, "conv", joint, before)
        unused += joint
    return cost + gate + _unused(unused, before)


_CONNECTED: dict[str, Callable[[Cost, Link, Shape, Shape | None], Cost]] = {
    "se": _connected_se,
    "sk": _connected_sk,
    "gc": _connected_gc,
    "ge": _connected_ge,
    "cbam": _connected_cbam,
}


def _spliced(plain: Cost, path: str, joint: Cost, before: Shape | None, *, after: bool = False) -> Cost:
    """The plain cost with the joint before its first operation at a path, or after its last one there."""
    places = [index for index, op in enumerate(plain) if op.path == path]
    if before is None or not places:
        return plain
    index = places[-1] + 1 if after else places[0]
    return Cost(plain.ops[:index] + joint.ops + plain.ops[index:])


def _unused(joint: Cost, before: Shape | None) -> Cost:
    """The parameters of a joint that never runs, one entry a parameter."""
    cost = Cost()
    if before is None:
        for op in joint:
            parts = 2 if op.kind is OpKind.NORM else 1
            for _ in range(parts if op.params else 0):
                cost += unused_cost(op.path, op.params // parts)
    return cost


def _without_params(cost: Cost) -> Cost:
    return Cost(tuple(op._replace(params=0) for op in cost))


def _vector_match_cost(path: str, link: Link, n: Any) -> Cost:
    cost = Cost()
    for index, (into, out) in enumerate(link.widths):
        # [n, c] = [n, c'] @ [c', c]
        cost += linear_cost(f"{path}.match.{3 * index}", (n, into), out)
        cost += layer_norm_cost(f"{path}.match.{3 * index + 1}", (n, out), (out,))
        cost += relu_cost(f"{path}.match.{3 * index + 2}", (n, out))
    return cost


def _context_match_cost(path: str, link: Link, n: Any) -> Cost:
    if not link.matched:
        return Cost()
    x = (n, link.previous, 1, 1)
    if link.matching == 1:
        return conv2d_cost(f"{path}.match.0", x, link.channels, kernel=1, bias=True)
    hidden = link.hidden
    cost = conv2d_cost(f"{path}.match.0", x, hidden, kernel=1, bias=True)
    cost += layer_norm_cost(f"{path}.match.1", cost.output, (hidden, 1, 1))
    cost += relu_cost(f"{path}.match.2", cost.output)
    return cost + conv2d_cost(f"{path}.match.3", cost.output, link.channels, kernel=1, bias=True)


def _map_match_cost(path: str, link: Link, before: Shape, x: Shape) -> Cost:
    n, _, *size = x
    cost = shrink_cost(f"{path}.shrink", link, before, (n, link.previous, *size), module=_POOL_MODULES[link.pooling])
    for index, (into, out) in enumerate(link.widths):
        # [n, c, h, w] = [n, c', h, w] * [c, c', 1, 1]
        cost += conv2d_cost(f"{path}.match.{3 * index}", (n, into, *size), out, kernel=1, bias=True)
        cost += batch_norm_cost(f"{path}.match.{3 * index + 1}", (n, out, *size))
        cost += relu_cost(f"{path}.match.{3 * index + 2}", (n, out, *size))
    return cost


_POOL_MODULES = {"avg": "AvgPool2d", "max": "MaxPool2d"}
_POOL_KINDS = {"avg": OpKind.POOL_AVG, "max": OpKind.POOL_MAX}


def shrink_cost(path: str, link: Link, before: Shape, output: Shape, *, module: str = "") -> Cost:
    """The pooling of a passed map to the size of the next, windows at the edge cut off; nothing where it fits."""
    if link.shrink == 1:
        return Cost()
    n, c, h, w = before
    pooled = OpCost(
        path=path,
        kind=_POOL_KINDS[link.pooling],
        operator=f"{link.pooling}_pool2d",
        output=output,
        reads=n * c * h * w,
        writes=output[0] * output[1] * output[2] * output[3],
        reduction=link.shrink**2,
        module=module,
    )
    return Cost((pooled,))


def _vector_join_cost(path: str, link: Link, vector: Shape) -> Cost:
    n, c = vector
    if link.function in (None, STACKED):
        pair, row = (n, 2, 1, c), (n, 1, 1, c)
        # [n, 1, 1, c] = [n, 2, 1, c] * [1, 2, 1, 1]
        cost = concatenate_cost(f"{path}.join", pair) + conv2d_cost(f"{path}.join.conv", pair, 1, kernel=1, bias=True)
    else:
        cost, row = _fuse_cost(f"{path}.join", link, vector, vector), vector
    return cost + layer_norm_cost(f"{path}.join.norm", row, (c,)) + relu_cost(f"{path}.join.relu", row)


def _spatial_joint_cost(path: str, link: Link, x: Shape, before: Shape) -> Cost:
    n, _, h, w = x
    pair, one = (n, 2, h, w), (n, 1, h, w)
    cost = shrink_cost(path, link, (n, 1, *before[2:]), one) + _scale_cost(path, pair)
    cost += _fuse_cost(path, link, pair, one)
    return cost + batch_norm_cost(f"{path}.norm", pair) + relu_cost(f"{path}.relu", pair)


def _scale_cost(path: str, x: Shape) -> Cost:
    (op,) = multiply_cost(path, x, (), x)
    return Cost((op._replace(params=1),))


def _fuse_cost(path: str, link: Link, extracted: Shape, passed: Shape) -> Cost:
    """Eq. 4 to 6: alpha times what is passed, then the sum, weighted or not."""
    cost = _scale_cost(path, passed)
    if link.function == "weighted":
        cost += multiply_cost(path, extracted, extracted, extracted) + multiply_cost(path, passed, passed, passed)
        cost += add_cost(path, extracted, extracted, passed) + add_cost(path, extracted, extracted, passed)
        (ratio,) = multiply_cost(path, extracted, extracted, extracted)
        return cost + Cost((ratio._replace(operator="div"),))
    if link.function == "softmax":
        n, c, *size = extracted
        pair = (n, 2, c, *size)
        cost += concatenate_cost(path, pair) + softmax_cost(path, pair, dim=1, module="")
        cost += multiply_cost(path, extracted, extracted, extracted)
        cost += multiply_cost(path, extracted, extracted, passed)
        return cost + add_cost(path, extracted, extracted, extracted)
    return cost + add_cost(path, extracted, extracted, passed)
