"""Which placements of attention keep a budget, and which of them cost least: `search`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.formulas.networks.text import options_from_text
from ulsam_cost.frames import Framed
from ulsam_cost.placement import EMPTY
from ulsam_cost.searching.budget import METRICS, checked_budget, chosen_metrics, limits_of
from ulsam_cost.searching.front import Counts, front_of_sums, pareto
from ulsam_cost.searching.model import model_branches
from ulsam_cost.searching.printed import printed_accuracy
from ulsam_cost.searching.space import Branch, PlacedModel, branches, plain_networks
from ulsam_cost.searching.tally import TooManySumsError, count_within
from ulsam_cost.user_code import names_code

DEFAULT_RESOLUTIONS = (224,)


def _sizes(spec: NetworkSpec | PlacedModel) -> tuple[float | None, int | list[int] | None]:
    """Width and resolution, one number where its height and width are the same; a model has neither to choose."""
    return (None, None) if isinstance(spec, PlacedModel) else (spec.width, _size(spec.resolution))


def _size(resolution: tuple[int, int]) -> int | list[int]:
    return resolution[0] if len(set(resolution)) == 1 else list(resolution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A placement: its network or model, what it costs, and what it costs over the plain one of its size."""

    spec: NetworkSpec | PlacedModel
    costs: Mapping[str, int]
    delta: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of an answer."""
        width, resolution = _sizes(self.spec)
        printed = [] if isinstance(self.spec, PlacedModel) else printed_accuracy(self.spec)
        return {
            "positions": str(self.spec.placement) or EMPTY,
            "attention": self.spec.attention,
            "width": width,
            "resolution": resolution,
            **self.costs,
            "delta": dict(self.delta),
            "printed_accuracy": printed or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult(Framed):
    """What a search found.

    `considered` is the number of placements in the search space, the plain networks among them; `feasible` the number
    that keep the budget, None if they have too many different costs to be counted. `front` is the Pareto front of
    the feasible placements, ordered by the first metric, with one placement for each cost. If nothing keeps the
    budget, `nearest` is the placement whose largest relative excess over a limit is smallest.

    As a table (`to_frame()`) it has one row per placement of the front, with the keys of its JSON and for each metric
    the difference from the plain network of the same size (`macs_delta`).

    Example:
        >>> import ulsam_cost as uc
        >>> found = uc.search("mv1", layers=[8, 9], minimise=["macs"])
        >>> found.considered, len(found.front)
        (16, 1)
        >>> found.to_frame()[["positions", "macs"]]
          positions       macs
        0       8,9  464574976
    """

    columns: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("positions", "attention"), "string"),
        "width": "float64",
        "resolution": "object",
        **dict.fromkeys((*METRICS, *(f"{metric}_delta" for metric in METRICS)), "Int64"),
        "printed_accuracy": "object",
    }

    branches: tuple[Branch, ...]
    mechanisms: tuple[str, ...]
    mix: bool
    minimise: tuple[str, ...]
    budget: Mapping[str, int]
    considered: int
    feasible: int | None
    front: tuple[Answer, ...]
    nearest: Answer | None
    seconds: float

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row a placement of the front."""
        for answer in self.front:
            yield answer.to_dict() | {f"{metric}_delta": change for metric, change in answer.delta.items()}

    @property
    def excess(self) -> dict[str, int]:
        """What the nearest placement exceeds the budget by."""
        if self.nearest is None:
            return {}
        over = {name: self.nearest.costs[name] - limit for name, limit in self.budget.items()}
        return {name: excess for name, excess in over.items() if excess > 0}

    def to_dict(self) -> dict[str, Any]:
        """The JSON of a search."""
        plains = [branch.plain for branch in self.branches]
        networks = [plain for plain in plains if not isinstance(plain, PlacedModel)]
        return {
            "network": plains[0].network,
            "space": {
                "attention": list(self.mechanisms),
                "mix": self.mix,
                "layers": [layer.layer for layer in self.branches[0].layers],
                "widths": list(dict.fromkeys(plain.width for plain in networks)),
                "resolutions": [_size(size) for size in dict.fromkeys(plain.resolution for plain in networks)],
                "minimise": list(self.minimise),
                "budget": dict(self.budget),
                "considered": self.considered,
                "refused": [
                    {"attention": name, "layer": layer, "width": _sizes(branch.plain)[0]}
                    for branch in self.branches
                    for name, layer in branch.refused
                ],
            },
            "feasible": self.feasible,
            "front": [answer.to_dict() for answer in self.front],
            "nearest": {**self.nearest.to_dict(), "excess": self.excess} if self.nearest else None,
            "seconds": self.seconds,
        }


def search(
    network: str,
    *,
    attention: str | Iterable[str] = "ulsam",
    budget: Mapping[str, int] | None = None,
    minimise: Iterable[str] = ("macs", "params"),
    layers: Iterable[int] | Iterable[str] | None = None,
    widths: Sequence[float] = (1.0,),
    resolutions: Sequence[int | tuple[int, int]] = DEFAULT_RESOLUTIONS,
    mix: bool = False,
    variant: str | None = None,
    classes: int = 1000,
    batch: int = 1,
    **options: Any,
) -> SearchResult:
    """Find the placements of attention that keep a budget and cost least, out of all of them.

    Each layer is left alone, replaced (if it keeps its shape), or followed by one or two modules. Costs add up layer by
    layer, so the exact Pareto front is merged from the layers' fronts without enumerating placements; see
    `searching.front` and `searching.tally`. Only costs are computed: an accuracy is one that a paper printed for that
    placement.

    Args:
        network: a registered network, or your model as `FILE.py:NAME` or `package.module:NAME`, each of whose places
            is counted once; it takes no width, resolution, variant, classes or batch.
        attention: one mechanism or several; a placement uses one of them, or with `mix` several.
        budget: the limit of each metric: macs, params, activations (elements written by convolutions and matrix
            products), traffic (elements read and written).
        minimise: the metrics of the front.
        layers: those that attention may replace or follow; None for all. For your own model, paths of submodules or
            patterns, as for `insert`.
        widths: width multipliers, of the networks that have one.
        resolutions: of the input, each one number or (height, width).
        mix: whether each layer chooses its own mechanism.
        variant: of the network.
        classes: number of classes of the classifier.
        batch: batch size.
        **options: the mechanisms' own; each mechanism takes those that it has.

    Raises:
        CostError: for a name, layer, size or option that is not accepted.

    Example:
        >>> import ulsam_cost as uc
        >>> found = uc.search("mv2", attention=["ulsam", "se"], layers=range(12, 18), budget={"macs": 240_000_000})
        >>> found.considered, found.feasible
        (4607, 72)
        >>> [(answer.spec.attention, str(answer.spec.placement), answer.delta["macs"]) for answer in found.front]
        [('se', '13,14,16,17', -76327808), ('ulsam', '13,14,16,17', -76229888)]
    """
    start = perf_counter()
    mechanisms = tuple(dict.fromkeys((attention,) if isinstance(attention, str) else attention))
    chosen, limits = chosen_metrics(minimise), checked_budget(budget or {})
    wanted: Any = None if layers is None else tuple(layers)
    if names_code(options_from_text(network)[0]):
        sizes = tuple(widths), tuple(resolutions), variant, classes, batch
        if sizes != ((1.0,), DEFAULT_RESOLUTIONS, None, 1000, 1):
            raise CostError(
                f"{network!r} has its own size: width, resolution, variant, classes and batch are accepted "
                "of the networks of the project"
            )
        space = model_branches(network, mechanisms, wanted, mix=mix, options=options)
    else:
        plains = plain_networks(network, widths, resolutions, variant=variant, classes=classes, batch=batch)
        space = branches(plains, mechanisms, wanted, mix=mix, options=options)
    front = _front(space, chosen, limits)
    return SearchResult(
        branches=space,
        mechanisms=mechanisms,
        mix=mix,
        minimise=chosen,
        budget=limits,
        considered=_each_once(space, lambda branch: branch.placements, {}),
        feasible=_feasible(space, limits),
        front=front,
        nearest=None if front else _nearest(space, limits),
        seconds=perf_counter() - start,
    )


def _front(space: Sequence[Branch], minimise: tuple[str, ...], budget: Mapping[str, int]) -> tuple[Answer, ...]:
    """The front of the union of all branches.

    What a budget alone asks for is minimised as well until the branches are merged: a part that costs more than
    another one in what is minimised may be needed because it costs less there.
    """
    metrics = (*minimise, *(name for name in budget if name not in minimise))
    found = [_branch_front(branch, metrics, budget) for branch in space]
    costs = np.concatenate([costs for costs, _ in found])
    owners = np.repeat(np.arange(len(space)), [len(costs) for costs, _ in found])
    places = np.concatenate([np.arange(len(costs)) for costs, _ in found])
    order = np.lexsort(costs.T[::-1])
    undominated = order[pareto(costs[order, : len(minimise)])]
    return tuple(_answer(space[owners[at]], found[owners[at]][1][places[at]]) for at in undominated)


def _branch_front(branch: Branch, metrics: Sequence[str], budget: Mapping[str, int]) -> tuple[Counts, Any]:
    plain = branch.plain_of(metrics)
    sums, chosen = front_of_sums(branch.tables(metrics), limits_of(budget, metrics) - plain)
    return plain + sums, chosen


def _answer(branch: Branch, chosen: Any) -> Answer:
    costs = branch.costs_of(chosen[None])[0]
    return Answer(
        spec=branch.spec_of(chosen),
        costs=dict(zip(METRICS, map(int, costs), strict=True)),
        delta=dict(zip(METRICS, map(int, costs - branch.plain_costs), strict=True)),
    )


def _feasible(space: Sequence[Branch], budget: Mapping[str, int]) -> int | None:
    if not budget:
        return _each_once(space, lambda branch: branch.placements, budget)
    metrics = tuple(budget)

    def within(branch: Branch) -> int:
        return count_within(branch.tables(metrics), limits_of(budget, metrics) - branch.plain_of(metrics))

    try:
        return _each_once(space, within, budget)
    except TooManySumsError:
        return None


def _each_once(space: Sequence[Branch], count: Any, budget: Mapping[str, int]) -> int:
    """The sum of a count over all branches, in which the plain network of several stands once."""
    total = sum(map(count, space))
    for _, alike in groupby(space, lambda branch: branch.plain):
        first, *others = alike
        plain = dict(zip(METRICS, first.plain_costs, strict=True))
        if all(plain[name] <= limit for name, limit in budget.items()):
            total -= len(others)
    return int(total)


def _nearest(space: Sequence[Branch], budget: Mapping[str, int]) -> Answer:
    """The placement whose worst excess, as a share of its limit, is least."""
    best: tuple[Fraction, int, Any] | None = None
    for at, branch in enumerate(space):
        for costs, chosen in zip(*_branch_front(branch, tuple(budget), {}), strict=True):
            worst = max(Fraction(int(cost), limit) for cost, limit in zip(costs, budget.values(), strict=True))
            if best is None or worst < best[0]:
                best = worst, at, chosen
    assert best is not None
    return _answer(space[best[1]], best[2])
