"""Where attention stands in a network: `8:1,9:1,11` -> which layers are replaced, which are followed.

Source: Saini et al., WACV 2020, Table 4: `11` replaces layer 11, `8:1` inserts one module after
layer 8, `8:2` two.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ulsam_cost.cost import join_path
from ulsam_cost.errors import PlacementError

MOST_INSERTED = 16
STRIDE_OF_LAST = 32
EMPTY = "none"
_ITEM = re.compile(r"\s*([0-9]{1,4})(?:\s*:\s*([0-9]{1,4}))?\s*", re.ASCII)
_BRACKETS = {"(": ")", "[": "]"}
_ACCEPTED = "a layer to replace (11) or a layer and how many modules follow it (8:1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Replaced layers in order, and (layer, number of modules after it) in order.

    Example:
        >>> import ulsam_cost as uc
        >>> str(uc.Placement(replaced=(11,), inserted=((8, 1), (9, 1))))
        '8:1,9:1,11'
    """

    replaced: tuple[int, ...] = ()
    inserted: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        items = [(layer, str(layer)) for layer in self.replaced]
        items += [(layer, f"{layer}:{count}") for layer, count in self.inserted]
        return ",".join(text for _, text in sorted(items)) or EMPTY

    def __bool__(self) -> bool:
        return bool(self.replaced or self.inserted)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that are replaced or followed, in order."""
        return tuple(sorted((*self.replaced, *(layer for layer, _ in self.inserted))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place inside of a layer: after one of its parts, or that of its spatial convolution.

    `name` is what the network calls such places, `path` where the module goes, `channels` those of the map.
    """

    name: str
    path: str
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """A convolution inside of a layer.

    `before` is the stride of what the layer runs before it, `stride` its own. `spatial` is the layer's last one that
    looks at neighbours, `last` the one that ends its main path.
    """

    path: str
    in_channels: int
    out_channels: int
    before: int = 1
    stride: int = 1
    spatial: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A numbered layer of a network, as far as a placement is concerned."""

    layer: int
    kind: str
    path: str  # of its module
    in_channels: int
    out_channels: int
    stride: int = 1
    fixed: bool = False  # the stem and the classifier
    places: tuple[Place, ...] = ()  # where attention may follow
    convolution: Place | None = None  # where a mechanism may stand in its stead
    convolutions: tuple[Convolution, ...] = ()  # in the order in which they run
    block: Any = None  # what else its family knows of it, a value

    @property
    def keeps_shape(self) -> bool:
        """Whether the layer's output has the shape of its input."""
        return self.in_channels == self.out_channels and self.stride == 1

    @property
    def may_follow(self) -> bool:
        """Whether attention may follow the layer."""
        return not self.fixed

    @property
    def may_replace(self) -> bool:
        """Whether attention may replace the layer."""
        return self.may_follow and self.keeps_shape

    @property
    def why_not(self) -> str:
        """Why attention may not replace the layer, or not even follow it; empty where it may do both."""
        if self.fixed:
            return f"the {self.kind}"
        if self.keeps_shape:
            return ""
        return f"changes the shape ({self.in_channels} to {self.out_channels} channels, stride {self.stride})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One module of a network's body: a numbered layer as it is, or attention in its place or after it."""

    label: str
    slot: Slot
    attends: bool

    def path(self, attention: str) -> str:
        """The module's path: that of the layer itself, or `ulsam8_1` or `ulsam11` beside it for attention.

        That of a user's mechanism has its NAME, as in `Gate8_1`.
        """
        if not self.attends:
            return self.slot.path
        name = attention.rpartition(":")[2]
        return join_path(self.slot.path.rpartition(".")[0], name + self.label.replace(":", "_"))


def parse_placement(text: str) -> Placement:
    """Read positions in the paper's notation: spaces, one pair of brackets and any order are accepted.

    `none` is the empty placement.

    Raises:
        PlacementError: for an empty or malformed item, a layer named twice, more than 16 modules after a layer.

    Example:
        >>> import ulsam_cost as uc
        >>> placement = uc.parse_placement("(8:1, 9:1, 11)")
        >>> placement.replaced, placement.inserted
        ((11,), ((8, 1), (9, 1)))
    """
    body = text.strip()
    if body[:1] in _BRACKETS and body[-1:] == _BRACKETS[body[:1]] and len(body) > 1:
        body = body[1:-1].strip()
    if body == EMPTY:
        return Placement()
    if body == "list":
        raise PlacementError("positions 'list': the layers of a network are shown by `ulsam-cost layers NETWORK`")
    items = [_parse_item(item, text) for item in body.split(",")]
    replaced = sorted(layer for layer, count in items if not count)
    inserted = sorted((layer, count) for layer, count in items if count)
    _refuse_twice(replaced, "replaced twice", "name it once")
    _refuse_twice([layer for layer, _ in inserted], "followed twice", "write 8:2 for two modules after layer 8")
    both = sorted(set(replaced) & {layer for layer, _ in inserted})
    if both:
        raise PlacementError(
            f"layer {both[0]} is both replaced and followed: either {both[0]} or {both[0]}:1 is accepted"
        )
    return Placement(replaced=tuple(replaced), inserted=tuple(inserted))


def _parse_item(item: str, text: str) -> tuple[int, int]:
    if not item.strip():
        raise PlacementError(
            f"an empty item in positions {text!r}: each item is {_ACCEPTED}, or {EMPTY!r} stands alone"
        )
    match = _ITEM.fullmatch(item)
    if match is None:
        raise PlacementError(f"malformed item {item.strip()!r} in positions {text!r}: each item is {_ACCEPTED}")
    layer, count = int(match[1]), int(match[2] or 0)
    if match[2] is not None and not 1 <= count <= MOST_INSERTED:
        raise PlacementError(
            f"{count} modules after layer {layer} in positions {text!r}: 1 to {MOST_INSERTED} are accepted"
        )
    return layer, count


def _refuse_twice(layers: list[int], what: str, way_out: str) -> None:
    for layer, count in Counter(layers).items():
        if count > 1:
            raise PlacementError(f"layer {layer} is {what}: {way_out}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a layer stands in the body of its network: layers whose maps have one size are a stage."""

    channels: int  # of its output
    stride: int  # of its output, from the input on
    index: int  # in its stage
    ends: bool  # whether it is the last of its stage
    last: bool  # whether its stage is


def standings(slots: Sequence[Slot]) -> dict[int, Standing]:
    """Where each layer stands but the stem, the classifier and what comes between the last block and it.

    Strides are told as in a network for ImageNet, whose last stage has one of 32: papers name stages by them.
    """
    blocks = [slot for slot in slots if slot.places]
    strides, stride = {}, 1
    found: dict[int, Standing] = {}
    for slot in slots:
        stride *= slot.stride
        strides[slot.layer] = stride
    whole, index = strides[blocks[-1].layer] if blocks else 1, 0
    for slot, following in zip(blocks, [*blocks[1:], None], strict=True):
        index = 0 if slot.stride > 1 else index + bool(found)
        found[slot.layer] = Standing(
            channels=slot.out_channels,
            stride=STRIDE_OF_LAST * strides[slot.layer] // whole,
            index=index,
            ends=following is None or following.stride > 1,
            last=strides[slot.layer] == whole,
        )
    return found


def arrange(network: str, slots: Sequence[Slot], placement: Placement) -> tuple[Step, ...]:
    """The network's body under a placement, module by module.

    Raises:
        PlacementError: for a layer that does not exist, the stem or the classifier, and a replaced
            layer that changes the shape.
    """
    _check_layers(network, slots, placement)
    after = dict(placement.inserted)
    steps: list[Step] = []
    for slot in slots:
        steps.append(Step(label=str(slot.layer), slot=slot, attends=slot.layer in placement.replaced))
        for count in range(1, after.get(slot.layer, 0) + 1):
            steps.append(Step(label=f"{slot.layer}:{count}", slot=slot, attends=True))
    return tuple(steps)


def _check_layers(network: str, slots: Sequence[Slot], placement: Placement) -> None:
    by_layer = {slot.layer: slot for slot in slots}
    replaceable = [str(slot.layer) for slot in slots if slot.may_replace]
    free = [slot.layer for slot in slots if slot.may_follow]
    for layer in (*placement.replaced, *(layer for layer, _ in placement.inserted)):
        if layer not in by_layer:
            raise PlacementError(
                f"{network} has no layer {layer}: layers {slots[0].layer} to {slots[-1].layer} exist, "
                f"attention may follow {free[0]} to {free[-1]}"
            )
        if not by_layer[layer].may_follow:
            raise PlacementError(
                f"layer {layer} of {network} is its {by_layer[layer].kind}: "
                f"attention may follow {free[0]} to {free[-1]} and replace {', '.join(replaceable)}"
            )
    for layer in placement.replaced:
        if not by_layer[layer].may_replace:
            raise PlacementError(
                f"layer {layer} of {network} {by_layer[layer].why_not} and cannot be replaced: "
                f"accepted values are {', '.join(replaceable)}"
            )
