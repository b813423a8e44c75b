"""What attention costs at each of a model's places, counted once a place: for a search over all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ulsam_cost.cost import Cost
from ulsam_cost.counting.calls import Calls, count_calls
from ulsam_cost.counting.count import body_of, count
from ulsam_cost.counting.insert import Target, build_for, find_targets, insert, require_fit
from ulsam_cost.counting.loaded import LoadedModel, in_a_sentence
from ulsam_cost.errors import CostError, PlacementError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.attention.mechanism import Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceCost:
    """What a submodule costs, None where attention may not replace it, and what each mechanism costs at its map.

    A mechanism that cannot stand there is missing.
    """

    path: str
    own: Cost | None
    attention: Mapping[str, Cost]


def place_costs(
    loaded: LoadedModel, mechanisms: Sequence[str], patterns: Iterable[str], options: Mapping[str, Any]
) -> tuple[Cost, tuple[PlaceCost, ...]]:
    """The cost of a model, and what attention costs at the submodules that patterns name.

    Raises:
        CostError: for a model that does not run or whose count is incomplete.
        PlacementError: for a submodule that attention cannot follow, and for one that stands in another.
    """
    with in_a_sentence(loaded.name):
        calls = count_calls(loaded.model, loaded.inputs)
    if not calls.counted.complete:
        raise CostError(f"{loaded.name}: the count is incomplete ({calls.counted.left_out()}), and costs do not add up")
    model, patterns = body_of(loaded.model), tuple(patterns)
    named = [get_mechanism(name) for name in mechanisms]
    targets = find_targets(model, calls, named[0], after=patterns)
    for mechanism in named[1:]:
        find_targets(model, calls, mechanism, after=patterns)
    _require_apart(targets)
    return calls.counted.cost, tuple(
        PlaceCost(
            path=target.path,
            own=_own(model, calls, named[0], target),
            attention={name: cost for name in mechanisms if (cost := _at(name, target, options)) is not None},
        )
        for target in targets
    )


def with_attention(
    loaded: LoadedModel, taken: Iterable[tuple[str, str, int]], options: Mapping[str, Any]
) -> LoadedModel:
    """A model with attention at places: each a path, a mechanism, and how many follow, or 0 for one in its place."""
    taken, model = tuple(taken), loaded.model
    for name in dict.fromkeys(name for _, name, _ in taken):
        own = _accepted(get_mechanism(name), options)
        for place, counts in enumerate(((0, 1, 2), (2,))):
            after = [path for path, other, number in taken if other == name and number and number in counts]
            instead = [path for path, other, number in taken if other == name and not number and not place]
            if after or instead:
                model = insert(model, loaded.inputs, name, after=after, replace=instead, **own)
    return LoadedModel(name=loaded.name, model=model, inputs=loaded.inputs, shaped=loaded.shaped)


def _require_apart(targets: Sequence[Target]) -> None:
    for target in targets:
        for other in targets:
            if target.path.startswith(f"{other.path}."):
                raise PlacementError(
                    f"{target.path!r} stands in {other.path!r}: submodules that do not hold each other are accepted"
                )


def _own(model: nn.Module, calls: Calls, mechanism: Mechanism, target: Target) -> Cost | None:
    try:
        find_targets(model, calls, mechanism, replace=[target.path])
    except PlacementError:
        return None
    return calls.counted.cost.under(target.path)


def _at(name: str, target: Target, options: Mapping[str, Any]) -> Cost | None:
    """The counted cost of a mechanism at a place, as often as that runs."""
    mechanism = get_mechanism(name)
    own = _accepted(mechanism, options)
    try:
        require_fit(mechanism, [target], own)
    except PlacementError:
        return None
    gate = build_for(mechanism, target.shape, own, "meta").eval()
    counted = count(_Repeated(gate, target.runs), torch.empty(target.shape, device="meta"))
    if not counted.complete:
        raise CostError(f"{name} at {target.path!r}: the count is incomplete ({counted.left_out()})")
    return counted.cost


def _accepted(mechanism: Mechanism, options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if mechanism.accepts(key)}


class _Repeated(nn.Module):
    """A module that runs several times on one map."""

    def __init__(self, module: nn.Module, times: int) -> None:
        super().__init__()
        self.module, self.times = module, times

    def forward(self, x: Tensor) -> None:
        for _ in range(self.times):
            self.module(x)
