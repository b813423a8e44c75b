"""The places in a network where attention stands, and what it costs there.

`sites(spec)` names them in the order in which they run: inside of the layers where `spec.sites` says so, in
place of layers or after them where `spec.placement` does. Both wings read it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError, PlacementError
from ulsam_cost.formulas.attention import attention_cost, get_mechanism
from ulsam_cost.formulas.connections.dca import Link, connected_cost
from ulsam_cost.formulas.layers import Shape
from ulsam_cost.formulas.networks.spec import IN_PLACE, PAPERS_SITES, LayerCost, NetworkSpec, chooses, get_network
from ulsam_cost.placement import Place, Slot, Standing, Step, arrange, standings


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place where attention stands.

    `label` is the layer's number with the place in it, `path` its module's; `channels` and `stride`, from the
    input on, are those of its map. `previous` and `shrink` are the channels of the attention before it and how
    many times larger its map is; for the first, those of the layer's input, which is as large.
    """

    label: str
    path: str
    channels: int
    stride: int
    previous: int
    shrink: int
    in_place: bool = False

    def map_size(self, resolution: tuple[int, int]) -> tuple[int, int]:
        """Height and width of its map: strides round up."""
        return -(-resolution[0] // self.stride), -(-resolution[1] // self.stride)


@lru_cache(maxsize=1024)
def sites(spec: NetworkSpec) -> dict[str, Site]:
    """The sites of a network by label, in the order in which they run."""
    found: dict[str, Site] = {}
    stride, before = 1, (0, 0)
    network = get_network(spec.network)
    slots = network.slots(spec)
    standing = standings(slots)
    for step in arrange(spec.network, slots, spec.placement):
        slot = step.slot
        if step.attends:
            places = [Place(name="", path=step.path(spec.attention), channels=slot.out_channels)]
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


def place_label(layer: str, place: Place) -> str:
    """What a site is called: `5`, or `5 depthwise` where a layer has several places."""
    return layer if place.name in ("", "block") else f"{layer} {place.name}"


def _chosen_places(spec: NetworkSpec, slot: Slot, standing: Mapping[int, Standing]) -> list[Place]:
    chosen = [place for place in slot.places if spec.sites in (place.name, "both", PAPERS_SITES)]
    if spec.sites == PAPERS_SITES and chosen:
        places = get_mechanism(spec.attention).places
        chosen = chosen if chooses(places, spec.network, standing[slot.layer]) else []
    if spec.attention not in IN_PLACE or not chosen:
        return chosen
    if slot.convolution is None or [place.name for place in chosen] != [slot.convolution.name]:
        other = next(place for place in chosen if slot.convolution is None or place.name != slot.convolution.name)
        accepted = f"sites {slot.convolution.name}" if slot.convolution else "another network"
        raise PlacementError(
            f"{spec.attention} at {place_label(str(slot.layer), other)} of {spec.network}: it stands in place of a "
            f"spatial convolution and there is none, {accepted} is accepted"
        )
    return [slot.convolution]


def options_at(spec: NetworkSpec, site: Site) -> dict[str, Any]:
    """The mechanism's options at a site: the spec's, and what they are there.

    A mechanism's paper may set some by the place, and a module that is built for one map is told its size. Under a
    matching in two layers SE has the matching's reduction where channels change, as the DCANet paper's Table 4 counts
    it.
    """
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

    def block(self, derive: DeriveBlock, x: Shape, slot: Slot) -> Cost:
        """The cost of a block and the attention inside of it; one like an earlier one but for its name is moved."""
        inside = [self._sites.get(place_label(str(slot.layer), place)) for place in slot.places]
        container = slot.path.rpartition(".")[0]
        alike = container, slot.in_channels, slot.out_channels, slot.stride, x, self._before
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
        return LayerCost(
            layer=site.label, path=site.path, kind=self._spec.attention, cost=self._cost(site, x), output=x
        )

    def _cost(self, site: Site, x: Shape, **convolution: Any) -> Cost:
        spec, (batch, channels, height, width) = self._spec, x
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
