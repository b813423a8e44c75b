"""A search over the places of any model: what each place costs is counted, and placements are sums of these."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ulsam_cost.errors import CostError
from ulsam_cost.searching.budget import METRICS, metrics_of
from ulsam_cost.searching.front import as_counts
from ulsam_cost.searching.space import MOST_AFTER, Branch, Choice, LayerChoices, PlacedModel, require_options

if TYPE_CHECKING:
    from ulsam_cost.counting.places import PlaceCost


def model_branches(
    text: str, mechanisms: Sequence[str], places: Iterable[str] | None, *, mix: bool, options: Mapping[str, Any]
) -> tuple[Branch, ...]:
    """The branches of a search in a model that a text names: one a mechanism, or one of all mixes.

    Args:
        text: as for `load_model`, without attention.
        mechanisms: their names.
        places: paths of submodules, or patterns, as for `insert`.
        mix: whether each place chooses its own mechanism.
        options: the mechanisms' own.

    Raises:
        CostError: for no places, and as `load_model` and `place_costs`.
    """
    from ulsam_cost.counting.loading import load_model
    from ulsam_cost.counting.places import place_costs

    if not places:
        raise CostError(f"{text!r}: layers says where attention may stand, by paths or patterns such as blocks.*")
    require_options(mechanisms, options)
    plain, found = place_costs(load_model(text), mechanisms, places, options)
    if not any(place.attention for place in found):
        raise CostError(f"{' or '.join(mechanisms)} can stand at none of these places of {text!r}")
    groups = [tuple(mechanisms)] if mix else [(name,) for name in mechanisms]
    return tuple(
        Branch(
            plain=PlacedModel(network=text),
            options=tuple(sorted(options.items())),
            plain_costs=as_counts([metrics_of(plain)])[0],
            layers=tuple(_choices(place, names) for place in found),
            refused=tuple((name, place.path) for place in found for name in names if name not in place.attention),
        )
        for names in groups
    )


def _choices(place: "PlaceCost", names: Sequence[str]) -> LayerChoices:
    choices, rows = [Choice()], [(0,) * len(METRICS)]
    for name in names:
        if name not in place.attention:
            continue
        gate = metrics_of(place.attention[name])
        if place.own is not None:
            choices.append(Choice(mechanism=name))
            rows.append(tuple(new - old for new, old in zip(gate, metrics_of(place.own), strict=True)))
        for number in range(1, MOST_AFTER + 1):
            choices.append(Choice(mechanism=name, count=number))
            rows.append(tuple(number * cost for cost in gate))
    return LayerChoices(layer=place.path, choices=tuple(choices), costs=as_counts(rows))
