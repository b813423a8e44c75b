"""The places in a network where attention stands, and what it costs there.

`sites(spec)` names them in the order in which they run: inside of the layers where `spec.sites` says so, in
place of layers or after them where `spec.placement` does. Both wings read it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError, PlacementError
from ulsam_cost.formulas.attention import attention_cost, get_mechanism
from ulsam_cost.formulas.attention.mechanism import Places
from ulsam_cost.formulas.connections.dca import Link, connected_cost
from ulsam_cost.formulas.networks.spec import (
    AROUND,
    LayerCost,
    NetworkSpec,
    chooses,
    get_network,
    places_of,
    slots_of,
    stands_for_unit,
)
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Convolution, Place, Slot, Standing, Step, arrange, standings


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place where attention stands.

    `label` is the layer's number with the place in it, `path` its module's; `channels` and `stride`, from the
    input on, are those of its map. `previous` and `shrink` are the channels of the attention before it and how
    many times larger its map is; for the first, those of the layer's input, which is as large. A site at a convolution
    has its path in `convolution`, and `side` says whether it stands `before` it, `after` it or `instead` of it.
    """

    label: str
    path: str
    channels: int
    stride: int
    previous: int
    shrink: int
    in_place: bool = False
    convolution: str = ""
    side: str = ""
    shrinks: int = 1  # the stride of what it stands instead of

    def map_size(self, resolution: tuple[int, int]) -> tuple[int, int]:
        """Height and width of its map: strides round up."""
        return -(-resolution[0] // self.stride), -(-resolution[1] // self.stride)


@lru_cache(maxsize=1024)
def sites(spec: NetworkSpec) -> dict[str, Site]:
    """The sites of a network by label, in the order in which they run."""
    found: dict[str, Site] = {}
    if _is_around(spec):
        return _sites_around(spec)
    stride, before = 1, (0, 0)
    network = get_network(spec.network)
    slots = slots_of(spec)
    standing = standings(slots)
    for step in arrange(spec.network, slots, spec.placement):
        slot = step.slot
        if step.attends:
            places = [Place(name="", path=step.path(spec.at(step.label).attention), channels=slot.out_channels)]
        else:
            stride *= slot.stride
            places = _chosen_places(spec, slot, standing)
        for place in places:
            previous, at = before if found else (place.channels if step.attends else slot.in_channels, stride)
            label = place_label(step.label, place)
            found[label] = Site(
                label=label,
                path=place.path,
                channels=place.channels,
                stride=stride,
                previous=previous,
                shrink=stride // at,
                in_place=place == slot.convolution,
            )
            before = place.channels, stride
    return {**found, **network.beyond(spec)}


def _is_around(spec: NetworkSpec) -> bool:
    places = places_of(spec)
    return places is not None and places.where in AROUND


def _sites_around(spec: NetworkSpec) -> dict[str, Site]:
    """The sites at convolutions, by label."""
    places, slots = places_of(spec) or Places(), slots_of(spec)
    found, stride = {}, 1
    standing = standings(slots)
    for slot in slots:
        at = standing.get(slot.layer)
        if places.where == "each" or (at is not None and chooses(places, spec.network, at)):
            for conv in slot.convolutions:
                if places.where == "each" or (conv.last if places.where == "last" else conv.spatial):
                    site = _site_around(spec, slot, conv, stride * conv.before, AROUND[places.where])
                    found[site.label] = site
        stride *= slot.stride
    return found


def _site_around(spec: NetworkSpec, slot: Slot, conv: Convolution, stride: int, side: str) -> Site:
    inner = conv.path.removeprefix(slot.path).lstrip(".")
    label = f"{slot.layer} {inner}" if inner else str(slot.layer)
    if side == "instead" and conv.in_channels != conv.out_channels:
        raise PlacementError(
            f"{spec.attention} at {label} of {spec.network}: it replaces a convolution that keeps the number of "
            f"channels, not one from {conv.in_channels} to {conv.out_channels}; another network is accepted"
        )
    channels = conv.out_channels if side == "after" else conv.in_channels
    return Site(
        label=label,
        path=conv.path if side == "instead" else f"{conv.path}.attention",
        channels=channels,
        stride=stride * conv.stride if side == "after" else stride,
        previous=channels,
        shrink=1,
        convolution=conv.path,
        side=side,
        shrinks=conv.stride,
    )


def place_label(layer: str, place: Place) -> str:
    """What a site is called: `5`, or `5 depthwise` where a layer has several places."""
    return layer if place.name in ("", "block") else f"{layer} {place.name}"


def _chosen_places(spec: NetworkSpec, slot: Slot, standing: Mapping[int, Standing]) -> list[Place]:
    places = places_of(spec)
    chosen = [place for place in slot.places if places or spec.sites in (place.name, "both")]
    if places and chosen:
        chosen = chosen if chooses(places, spec.network, standing[slot.layer]) else []
    if not chosen or not stands_for_unit(spec.attention):
        return chosen
    if slot.convolution is None or [place.name for place in chosen] != [slot.convolution.name]:
        other = next(place for place in chosen if slot.convolution is None or place.name != slot.convolution.name)
        accepted = f"sites {slot.convolution.name}" if slot.convolution else "another network"
        raise PlacementError(
            f"{spec.attention} at {place_label(str(slot.layer), other)} of {spec.network}: it replaces a spatial "
            f"convolution with norm and activation, and there is none; {accepted} is accepted"
        )
    return [slot.convolution]


def options_at(spec: NetworkSpec, site: Site) -> dict[str, Any]:
    """The mechanism's options at a site: the spec's, and what they are there.

    A mechanism's paper may set some by the place, and a module that is built for one map is told its size. Under a
    matching in two layers SE has the matching's reduction where channels change, as the DCANet paper's Table 4 counts
    it.
    """
    spec = spec.at(site.label)
    mechanism = get_mechanism(spec.attention)
    options = dict(spec.attention_options)
    if spec.sites:
        at = mechanism.places.at(network=spec.network, channels=site.channels, stride=site.stride)
        options = at | options
    options |= mechanism.built_for(site.map_size(spec.resolution), **options)
    link = dict(spec.connection_options)
    if spec.attention == "se" and link.get("matching") == 2 and site.channels != site.previous:
        options["reduction"] = link.get("matching_reduction", Link.__dataclass_fields__["matching_reduction"].default)
    return options


def link_at(spec: NetworkSpec, site: Site, *, groups: int = 1) -> Link:
    """The connection between the attention at a site and the one before it.

    An SK unit in place of a depthwise convolution passes on its softmax weights, one in place of a dense
    convolution the means of its weighted maps, as the DCANet paper's columns count MobileNetV2 and ResNet50.
    """
    return Link(
        channels=site.channels,
        previous=site.previous,
        shrink=site.shrink,
        passes_weights=groups > 1,
        **dict(spec.connection_options),
    )


DeriveBlock = Callable[[NetworkSpec, "AttentionCosts", Shape, Slot], Cost]


class AttentionCosts:
    """Derives a network's attention, site by site in the order in which they run."""

    def __init__(self, spec: NetworkSpec) -> None:
        self._spec, self._sites = spec, sites(spec)
        self._before: Shape | None = None  # the map of the attention before
        self._derived: dict[Any, tuple[str, Cost, Shape | None]] = {}
        self._around = {site.convolution: site for site in self._sites.values() if site.side}

    def block(self, derive: DeriveBlock, x: Shape, slot: Slot) -> Cost:
        """The cost of a block and the attention inside of it; one like an earlier one but for its name is moved."""
        inside = [self._sites.get(place_label(str(slot.layer), place)) for place in slot.places]
        container = slot.path.rpartition(".")[0]
        alike = container, slot.in_channels, slot.out_channels, slot.stride, slot.block, x, self._before
        key = (*alike, *(site and (site.previous, site.shrink) for site in inside))
        if key not in self._derived:
            cost = derive(self._spec, self, x, slot)
            self._derived[key] = slot.path, cost, self._before
            return cost
        path, cost, self._before = self._derived[key]
        return cost.moved(path, slot.path)

    def after(self, label: str, x: Shape) -> Cost:
        """The attention that follows on the map x at a site; nothing where none does."""
        site = self._sites.get(label)
        return Cost() if site is None or site.in_place else self._cost(site, x)

    def instead(self, label: str, x: Shape, **convolution: Any) -> Cost | None:
        """The mechanism that stands in place of a convolution, norm and activation; None where none does."""
        site = self._sites.get(label)
        return None if site is None or not site.in_place else self._cost(site, x, **convolution)

    def layer(self, step: Step, x: Shape) -> LayerCost:
        """The attention that is a layer of its own."""
        site = self._sites[step.label]
        kind = self._spec.at(site.label).attention
        return LayerCost(layer=site.label, path=site.path, kind=kind, cost=self._cost(site, x), output=x)

    def around(self, cost: Cost) -> Cost:
        """A layer's cost with the attention that stands at its convolutions."""
        if not self._around:
            return cost
        result = Cost()
        for path, ops in groupby(cost, lambda op: self._convolution_of(op.path)):
            part, site = Cost(tuple(ops)), self._around.get(path)
            result += part if site is None else self._at(site, part)
        return result

    def _convolution_of(self, path: str) -> str:
        while path and path not in self._around:
            path = path.rpartition(".")[0]
        return path

    def _at(self, site: Site, convolution: Cost) -> Cost:
        x = (self._spec.batch, site.channels, *site.map_size(self._spec.resolution))
        if site.side == "instead":
            return self._cost(site, x, stride=site.shrinks)
        attention, moved = self._cost(site, x), convolution.moved(site.convolution, f"{site.convolution}.conv")
        return attention + moved if site.side == "before" else moved + attention

    def _cost(self, site: Site, x: Shape, **convolution: Any) -> Cost:
        spec, (batch, channels, height, width) = self._spec.at(site.label), x
        if get_mechanism(spec.attention).cost is None:
            return Cost()
        try:
            cost = attention_cost(
                spec.attention,
                channels=channels,
                height=height,
                width=width,
                batch=batch,
                **options_at(spec, site),
                **convolution,
            )
            output = cost.output
            if spec.connection == "dca":
                link = link_at(spec, site, groups=convolution.get("groups", 1))
                cost = connected_cost(spec.attention, cost, link, x, self._before)
        except CostError as error:
            raise PlacementError(f"{spec.attention} at {site.label} of {spec.network}: {error}") from error
        self._before = output
        return cost.scoped(site.path)
