"""What a search chooses from: what may be done with each layer, and what it costs over the layer left alone.

The costs of a network's layers add up, and attention that is a layer of its own changes no other layer: it keeps the
shape of its map. So the cost of each choice is derived once, layer by layer, and that of a placement is a sum.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulsam_cost.errors import CostError, PlacementError, UnknownNameError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import (
    MIX,
    NO_ATTENTION,
    NetworkSpec,
    layer_parts,
    layers_cost,
    network_layers,
    network_spec,
    slots_of,
    split_by_layer,
)
from ulsam_cost.placement import Placement, Slot
from ulsam_cost.searching.budget import METRICS, metrics_of
from ulsam_cost.searching.front import Counts, as_counts, sums_of

MOST_AFTER = 2  # modules after a layer
NOTHING = 0  # the first choice of every layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A mechanism after a layer, `count` times, or in its place, where `count` is 0; without a mechanism, nothing."""

    mechanism: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChoices:
    """What may be done with a layer, and what it costs over the layer left alone: [choices, metrics].

    `layer` is a number of a network of the project, or the path of a submodule.
    """

    layer: int | str
    choices: tuple[Choice, ...]
    costs: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedModel:
    """A user's model with attention at some of its places: the path of each, and what is done there."""

    network: str
    taken: tuple[tuple[str, Choice], ...] = ()

    @property
    def placement(self) -> str:
        """The places, as positions are written: `layers.5:1,layers.11`; empty for the model alone."""
        return ",".join(f"{path}:{choice.count}" if choice.count else path for path, choice in self.taken)

    @property
    def attention(self) -> str:
        """The mechanism, or that of each place."""
        names = [choice.mechanism for _, choice in self.taken]
        return MIX.join(names) if len(set(names)) > 1 else next(iter(names), NO_ATTENTION)

    @property
    def is_plain(self) -> bool:
        """Whether nothing attends."""
        return not self.taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """All placements in a network of one width and resolution: one mechanism's, or all mixes of several.

    `refused` are the layers that a mechanism cannot follow or replace although the grammar allows it.
    """

    plain: NetworkSpec | PlacedModel
    options: tuple[tuple[str, Any], ...]
    plain_costs: Counts
    layers: tuple[LayerChoices, ...]
    refused: tuple[tuple[str, int | str], ...] = ()

    @property
    def placements(self) -> int:
        """How many there are, the plain network among them."""
        return prod(len(layer.choices) for layer in self.layers)

    def plain_of(self, metrics: Sequence[str]) -> Counts:
        """What the plain network costs in some metrics."""
        plain: Counts = self.plain_costs[[list(METRICS).index(name) for name in metrics]]
        return plain

    def tables(self, metrics: Sequence[str]) -> list[Counts]:
        """[choices, metrics] of each layer."""
        columns = [list(METRICS).index(name) for name in metrics]
        return [np.ascontiguousarray(layer.costs[:, columns]) for layer in self.layers]

    def costs_of(self, chosen: NDArray[Any]) -> Counts:
        """The costs [n, metrics] of explicit placements, all of them at once.

        Args:
            chosen: [n, layers], the index of a choice for each layer.
        """
        return self.plain_costs + sums_of([layer.costs for layer in self.layers], chosen)

    def spec_of(self, chosen: Iterable[int]) -> NetworkSpec | PlacedModel:
        """The network, or the model, of a placement."""
        taken = [(layer.layer, layer.choices[index]) for layer, index in zip(self.layers, chosen, strict=True) if index]
        if isinstance(self.plain, PlacedModel):
            return replace(self.plain, taken=tuple((str(path), choice) for path, choice in taken))
        placement = Placement(
            replaced=tuple(int(layer) for layer, choice in taken if not choice.count),
            inserted=tuple((int(layer), choice.count) for layer, choice in taken if choice.count),
        )
        if not placement:
            return self.plain
        return attended(self.plain, placement, [choice.mechanism for _, choice in taken], dict(self.options))


def attended(
    plain: NetworkSpec, placement: Placement, mechanisms: Sequence[str], options: Mapping[str, Any]
) -> NetworkSpec:
    """A plain network with mechanisms at positions, one for each; each has those of the options that it knows."""
    names = dict.fromkeys(mechanisms)
    known = [get_mechanism(mechanism) for mechanism in names]
    return network_spec(
        plain.network,
        positions=placement,
        attention=MIX.join(mechanisms) if len(names) > 1 else mechanisms[0],
        variant=plain.variant or None,
        width=plain.width,
        resolution=plain.resolution,
        classes=plain.classes,
        batch=plain.batch,
        **{name: value for name, value in options.items() if any(each.accepts(name) for each in known)},
    )


Costs = dict[tuple[int, int], tuple[int, ...]]  # (layer, modules after it or 0) -> what that costs


def branches(
    plains: Iterable[NetworkSpec],
    mechanisms: Sequence[str],
    layers: Sequence[int] | None,
    *,
    mix: bool,
    options: Mapping[str, Any],
) -> tuple[Branch, ...]:
    """The branches of a search: for each plain network one a mechanism, or one of all mixes.

    Raises:
        CostError: for a layer or an option that does not exist, and for a space in which no mechanism can stand.
    """
    require_options(mechanisms, options)
    found: list[Branch] = []
    refusals: list[PlacementError] = []
    for plain in plains:
        slots = _chosen_slots(plain, layers)
        by_layer = {layer.layer: metrics_of(layer.cost) for layer in network_layers(plain)}
        derived = {name: _choices_of(plain, slots, name, options, by_layer, refusals) for name in mechanisms}
        for names in (tuple(mechanisms),) if mix else tuple((name,) for name in mechanisms):
            found.append(_branch(plain, slots, {name: derived[name] for name in names}, options))
    if all(branch.placements == 1 for branch in found):
        raise refusals[0]
    return tuple(found)


def _branch(
    plain: NetworkSpec,
    slots: Sequence[Slot],
    derived: Mapping[str, Costs],
    options: Mapping[str, Any],
) -> Branch:
    layers, refused = [], []
    for slot in slots:
        counts = _counts_of(slot)
        taken = [
            (Choice(mechanism=name, count=count), costs[slot.layer, count])
            for (name, costs), count in product(derived.items(), counts)
            if (slot.layer, count) in costs
        ]
        refused += [(name, slot.layer) for name, costs in derived.items() if (slot.layer, counts[-1]) not in costs]
        rows = [(0,) * len(METRICS), *(cost for _, cost in taken)]
        layers.append(
            LayerChoices(layer=slot.layer, choices=(Choice(), *(choice for choice, _ in taken)), costs=as_counts(rows))
        )
    return Branch(
        plain=plain,
        options=tuple(sorted(options.items())),
        plain_costs=as_counts([metrics_of(layers_cost(network_layers(plain)))])[0],
        layers=tuple(layers),
        refused=tuple(refused),
    )


def _counts_of(slot: Slot) -> tuple[int, ...]:
    """How many modules may follow a layer; 0 for one in its place."""
    after = tuple(range(1, MOST_AFTER + 1))
    return (0, *after) if slot.keeps_shape else after


def _chosen_slots(plain: NetworkSpec, layers: Sequence[int] | None) -> list[Slot]:
    """The layers that are searched, all that attention may follow where none are named."""
    free = [slot for slot in slots_of(plain) if not slot.fixed]
    numbers = [slot.layer for slot in free]
    wanted = numbers if layers is None else sorted(set(layers))
    if not wanted:
        raise CostError(f"no layer to search: those of {plain.network} from {numbers[0]} to {numbers[-1]} are accepted")
    for layer in wanted:
        if layer not in numbers:
            raise PlacementError(
                f"attention cannot follow layer {layer} of {plain.network}: "
                f"layers from {numbers[0]} to {numbers[-1]} are accepted"
            )
    return [slot for slot in free if slot.layer in wanted]


def _choices_of(
    plain: NetworkSpec,
    slots: Sequence[Slot],
    mechanism: str,
    options: Mapping[str, Any],
    by_layer: Mapping[str, tuple[int, ...]],
    refusals: list[PlacementError],
) -> Costs:
    """What a mechanism costs over each layer left alone; without those that refuse it, whose errors are noted."""
    try:
        return _derived(plain, slots, mechanism, options, by_layer)
    except PlacementError as error:
        refusals.append(error)
    if len(slots) == 1:
        return {}
    found: Costs = {}
    for slot in slots:
        found |= _choices_of(plain, [slot], mechanism, options, by_layer, refusals)
    return found


def _derived(
    plain: NetworkSpec,
    slots: Sequence[Slot],
    mechanism: str,
    options: Mapping[str, Any],
    by_layer: Mapping[str, tuple[int, ...]],
) -> Costs:
    """The same, of layers that all take the mechanism: from the network with it after each, and in place of each."""
    found: Costs = {}
    following = Placement(inserted=tuple((slot.layer, MOST_AFTER) for slot in slots))
    costs = _labelled(attended(plain, following, [mechanism] * len(slots), options))
    for slot, count in product(slots, range(1, MOST_AFTER + 1)):
        modules = [costs[f"{slot.layer}:{place}"] for place in range(1, count + 1)]
        found[slot.layer, count] = tuple(map(sum, zip(*modules, strict=True)))
    replaceable = [slot for slot in slots if slot.keeps_shape]
    if replaceable:
        replacing = Placement(replaced=tuple(slot.layer for slot in replaceable))
        costs = _labelled(attended(plain, replacing, [mechanism] * len(replaceable), options))
        for slot in replaceable:
            label = str(slot.layer)
            found[slot.layer, 0] = tuple(now - was for now, was in zip(costs[label], by_layer[label], strict=True))
    return found


def _labelled(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """The costs of the layers; with a user's mechanism, which has no closed form, counted."""
    if not spec.underived:
        return {layer.layer: metrics_of(layer.cost) for layer in network_layers(spec)}
    from ulsam_cost.counting.networks import count_network

    counted = count_network(spec)
    if not counted.complete:
        raise CostError(f"{spec.attention}: the count is incomplete ({counted.left_out()}), and costs do not add up")
    return {layer: metrics_of(cost) for layer, cost in split_by_layer(counted.cost, layer_parts(spec)).items()}


def plain_networks(
    network: str, widths: Sequence[float], resolutions: Sequence[int | tuple[int, int]], **sizes: Any
) -> Iterator[NetworkSpec]:
    """The plain network at each width and resolution.

    Raises:
        CostError: for none, and as `network_spec`.
    """
    for name, given in (("width", widths), ("resolution", resolutions)):
        if not given:
            raise CostError(f"no {name} to search: one or more are accepted")
    for width, resolution in product(dict.fromkeys(widths), dict.fromkeys(resolutions)):
        yield network_spec(network, width=width, resolution=resolution, **sizes)


def require_options(mechanisms: Sequence[str], options: Mapping[str, Any]) -> None:
    """Refuse an option that none of the mechanisms has.

    Raises:
        UnknownNameError: with the nearest one.
    """
    named = [get_mechanism(mechanism) for mechanism in mechanisms]
    for name in options:
        if not any(mechanism.accepts(name) for mechanism in named):
            known = {option for mechanism in named for option in mechanism.options}
            raise UnknownNameError.among(f"option of {' or '.join(mechanisms)}", name, known)
