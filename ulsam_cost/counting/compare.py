"""Networks side by side: what each costs, and where they part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, ClassVar

from torch import nn

from ulsam_cost.cost import Cost, path_at
from ulsam_cost.counting.count import Count
from ulsam_cost.counting.differences import (
    Change,
    CountedModel,
    ModuleDifference,
    Totals,
    change_of,
    module_differences,
    totals_of,
)
from ulsam_cost.counting.loaded import Loaded, LoadedModel, count_loaded
from ulsam_cost.counting.loading import load_to_count
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import layer_of, layer_parts, layers_cost, network_layers, split_by_layer
from ulsam_cost.frames import Framed

MOST_MODELS = len(ascii_uppercase)
DEPTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedNetwork:
    """One of the networks: its totals, those of the first, and the modules in which it differs from that one."""

    letter: str
    name: str
    totals: Totals
    first: Totals
    left_out: str
    uncounted: int
    modules: tuple[ModuleDifference, ...]

    @property
    def complete(self) -> bool:
        """Whether the totals leave nothing out."""
        return self.totals.complete

    @property
    def delta(self) -> Change:
        """The differences to the first network."""
        return change_of(self.totals, self.first)

    @property
    def delta_pct(self) -> dict[str, float | None]:
        """The same in per cent of the first network's."""
        return {
            unit: 100 * change / before if before and change is not None else None
            for unit, change, before in zip(Totals._fields, self.delta, self.first, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {
            "letter": self.letter,
            "network": self.name,
            **self.totals._asdict(),
            "complete": self.complete,
            "left_out": self.left_out,
            "delta": self.delta._asdict(),
            "delta_pct": self.delta_pct,
            "uncounted": self.uncounted,
            "modules": [module.to_dict() for module in self.modules],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedLayer:
    """A layer in each of the networks, None for one without it."""

    layer: str
    networks: tuple[Totals | None, ...]

    @property
    def complete(self) -> bool:
        """Whether it leaves nothing out in any of them."""
        return all(totals is None or totals.complete for totals in self.networks)

    @property
    def parts(self) -> bool:
        """Whether the networks differ in it, or may: one that is incomplete is not known to be like another."""
        return not self.complete or any(totals != self.networks[0] for totals in self.networks)

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        networks = [totals and totals._asdict() for totals in self.networks]
        return {"layer": self.layer, "networks": networks, "complete": self.complete}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Framed):
    """Networks beside the first of them, and the layers in which they differ; the last layer stands for all others.

    As a table (`to_frame()`) it has one row per network: its totals, and their differences from the first network's in
    number and per cent. If `complete` is false, MACs and activations are lower bounds, and their differences are <NA>.

    Example:
        >>> import ulsam_cost as uc
        >>> compared = uc.compare(["resnet50", "resnet50 --attention se"])
        >>> blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}  # channels, and how many blocks have them
        >>> se = sum(number * (2 * m * m // 16 + m + m // 16) for m, number in blocks.items())
        >>> compared.networks[1].delta.params == se
        True
    """

    columns: ClassVar[dict[str, str]] = {
        "network": "string",
        **{
            f"{unit}{column}": dtype
            for unit in Totals._fields
            for column, dtype in (("", "Int64"), ("_delta", "Int64"), ("_delta_pct", "float64"))
        },
        "complete": "boolean",
        "left_out": "string",
    }

    networks: tuple[ComparedNetwork, ...]
    layers: tuple[ComparedLayer, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row a network."""
        for network in self.networks:
            row = network.to_dict()
            row |= {f"{unit}_delta": change for unit, change in row["delta"].items()}
            yield row | {f"{unit}_delta_pct": change for unit, change in row["delta_pct"].items()}

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `compare`."""
        return {
            "networks": [network.to_dict() for network in self.networks],
            "layers": [layer.to_dict() for layer in self.layers],
        }


def compare(
    models: Mapping[str, nn.Module | str] | Sequence[nn.Module | str], inputs: Any = None, *, depth: int = DEPTH
) -> Comparison:
    """Count models beside the first of them: totals, differences, and the layers in which they differ.

    Layers are the networks' numbered ones if all models are strings that name networks of the project; otherwise they
    are the modules at a depth. The modules in which each model differs from the first are matched by path, and by
    structure where paths moved; their differences add up to those of the totals.

    Args:
        models: two or more, each under a name: modules, which are counted as `count` does and left as found, or
            strings: a network with its options (`resnet50 --attention se`), `FILE.py:NAME` or `package.module:NAME`.
            In a sequence a string is its own name, and a module is named after its class.
        inputs: of the modules, as for `count`; models given as strings have their own.
        depth: of the modules' paths.

    Returns:
        A Comparison: parameters, MACs and activations (elements) of each model and layer.

    Raises:
        CostError: for fewer than two models, a model instead of a list, modules without inputs, a string that names no
            model, and a model that does not run on its inputs.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> compared = uc.compare(["mv1", "mv1 --positions 8:1,9:1,11"])
        >>> compared.networks[1].delta.macs, [layer.layer for layer in compared.layers]
        (-51681280, ['8:1', '9:1', '11', 'all others'])
        >>> models = {"plain": torch.nn.Linear(6, 4), "low rank": torch.nn.Sequential(
        ...     torch.nn.Linear(6, 2, bias=False), torch.nn.Linear(2, 4))}
        >>> uc.compare(models, torch.empty(1, 6)).to_frame()[["network", "params", "macs", "macs_delta"]]
            network  params  macs  macs_delta
        0     plain      28    24           0
        1  low rank      24    20          -4
    """
    if isinstance(models, str | nn.Module):
        raise CostError(
            f"{_name(models)} alone: models in one list or dict are accepted, as in compare(['mv1', 'mv2']) and "
            "compare({'plain': model, 'with SE': other}, inputs)"
        )
    named = models.items() if isinstance(models, Mapping) else [(_name(model), model) for model in models]
    return compare_loaded([_loaded(name, model, inputs) for name, model in named], depth)


def _name(model: nn.Module | str) -> str:
    return model if isinstance(model, str) else type(model).__name__


def _loaded(name: str, model: nn.Module | str, inputs: Any) -> Loaded:
    if isinstance(model, str):
        return load_to_count(model, name=name)
    if inputs is None:
        raise CostError(f"{name} is a module, and no inputs are given: compare(models, inputs) is accepted")
    return LoadedModel(name=name, model=model, inputs=inputs)


def compare_loaded(loaded: Sequence[Loaded], depth: int = DEPTH) -> Comparison:
    """Compare models with their inputs; errors as in `compare`."""
    if not 2 <= len(loaded) <= MOST_MODELS:
        raise CostError(f"{len(loaded)} to compare: 2 to {MOST_MODELS} networks are accepted")
    counts = [count_loaded(each) for each in loaded]
    for each, counted in zip(loaded, counts, strict=True):
        _require_derived(each, counted)
    numbered = all(each.spec is not None for each in loaded)
    parts = [
        _by_layer(each, counted) if numbered else _by_module(counted, depth)
        for each, counted in zip(loaded, counts, strict=True)
    ]
    first = CountedModel(loaded[0].labels, counts[0])
    networks = (
        ComparedNetwork(
            letter=letter,
            name=each.name,
            totals=totals_of(counted, complete=counted.complete),
            first=totals_of(counts[0], complete=counts[0].complete),
            left_out=counted.left_out(),
            uncounted=len(counted.uncounted),
            modules=module_differences(first, CountedModel(each.labels, counted)),
        )
        for letter, each, counted in zip(ascii_uppercase, loaded, counts, strict=False)
    )
    return Comparison(networks=tuple(networks), layers=_layers(parts))


def _require_derived(each: Loaded, counted: Count) -> None:
    if each.spec is None or each.spec.underived:
        return
    if not counted.complete:
        raise CostError(
            f"{each.name}: the count is incomplete ({counted.left_out()}) and cannot be compared with the derived cost"
        )
    if layers_cost(network_layers(each.spec)) != counted.cost:
        raise CostError(f"{each.name}: the counted cost differs from the derived one")


def _by_layer(each: Loaded, counted: Count) -> dict[str, Totals]:
    assert each.spec is not None
    layers = layer_parts(each.spec)
    split, layer_at = split_by_layer(counted.cost, layers), layer_of(layers)
    incomplete = {layer_at(operation.path) for operation in counted.uncounted_products}
    return {layer: totals_of(part, complete=layer not in incomplete) for layer, part in split.items()}


def _by_module(counted: Count, depth: int) -> dict[str, Totals]:
    parts = counted.cost.by_path(depth)
    incomplete = {path_at(operation.path, depth) for operation in counted.uncounted_products}
    paths = dict.fromkeys((*parts, *incomplete))
    return {path or "(model)": totals_of(parts.get(path, Cost()), complete=path not in incomplete) for path in paths}


def _layers(parts: Sequence[dict[str, Totals]]) -> tuple[ComparedLayer, ...]:
    """The layers in which the networks part, and one for all the others."""
    every = [
        ComparedLayer(layer=layer, networks=tuple(part.get(layer) for part in parts))
        for layer in _merged([list(part) for part in parts])
    ]
    alike = [layer.networks for layer in every if not layer.parts]
    others = tuple(sum((totals for totals in column if totals), Totals()) for column in zip(*alike, strict=True))
    rest = ComparedLayer(layer="all others", networks=others or (Totals(),) * len(parts))
    return (*(layer for layer in every if layer.parts), rest)


def _merged(orders: Sequence[list[str]]) -> list[str]:
    """Every layer once: in the order of the first network, those of others behind the layer that they follow."""
    merged: list[str] = list(orders[0])
    for order in orders[1:]:
        at = 0
        for layer in order:
            if layer in merged:
                at = merged.index(layer) + 1
            else:
                merged.insert(at, layer)
                at += 1
    return merged
