"""What one counted model has more than another, module by module: the differences add up to that of the totals."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ulsam_cost.cost import Cost, OpCost
from ulsam_cost.counting.count import Count, Uncounted
from ulsam_cost.counting.matching import Labels, Matching, Tree
from ulsam_cost.counting.modules import ModuleLabel
from ulsam_cost.units import AtLeast, at_least, difference


class Totals(NamedTuple):
    """What is compared; MACs and activations are lower bounds where products are left out."""

    params: int = 0
    macs: int = 0
    activations: int = 0

    @property
    def complete(self) -> bool:
        """Whether no product is left out."""
        return not isinstance(self.macs, AtLeast)

    def __add__(self, other: "Totals") -> "Totals":  # type: ignore[override]
        return Totals(*(mine + its for mine, its in zip(self, other, strict=True)))


def totals_of(cost: Cost | Count, *, complete: bool) -> Totals:
    """The totals of a cost, lower bounds unless it is complete."""
    macs, activations = (at_least(each, unless=complete) for each in (cost.macs, cost.activations))
    return Totals(cost.params, macs, activations)


class Change(NamedTuple):
    """What a network or module has more than another; None where one of them leaves products out."""

    params: int | None
    macs: int | None
    activations: int | None


def change_of(now: Totals, before: Totals) -> Change:
    """The differences of totals."""
    return Change(*map(difference, now, before))


NOTHING = Count(cost=Cost(), backward=Cost(), uncounted=())


class Fate(StrEnum):
    """What became of a module."""

    INSERTED = "inserted"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


class CountedModel(NamedTuple):
    """A model's modules by their paths, and its count."""

    modules: Mapping[str, ModuleLabel]
    counted: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulePart:
    """A part of a model: a module alone, or with the modules in it, so many in all, and what they do."""

    path: str
    module_class: str
    modules: int
    count: Count

    @property
    def totals(self) -> Totals:
        """Parameters, MACs and activations."""
        return totals_of(self.count, complete=self.count.complete)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDifference:
    """A module that was inserted, removed, changed or moved: what it was before, and what it is after.

    `before` is None for what was inserted, `after` for what was removed. Each is the module alone where modules in it
    have differences of their own or none, and all that stands in it where it was inserted, removed, replaced or moved
    as a whole. What moved does what it did; what does something else is changed, whether it moved or not.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> plain = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Linear(4, 2))
        >>> longer = torch.nn.Sequential(torch.nn.Linear(6, 6), *plain)
        >>> for row in uc.compare([plain, longer], torch.empty(5, 6)).networks[1].modules:
        ...     print(row.fate, row.paths, row.delta.macs)
        inserted (None, '0') 180
        moved ('0', '1') 0
        moved ('1', '2') 0
    """

    fate: Fate
    before: ModulePart | None
    after: ModulePart | None

    @property
    def paths(self) -> tuple[str | None, str | None]:
        """Where it stood, and where it stands."""
        return self.before.path if self.before else None, self.after.path if self.after else None

    @property
    def delta(self) -> Change:
        """What the second model has more here."""
        return change_of(*(part.totals if part else Totals() for part in (self.after, self.before)))

    def number(self, convention: str) -> int | None:
        """What the second model has more here under a convention; None where that leaves something out.

        Raises:
            UnknownNameError: for a convention that does not exist.
        """
        now, then = (part.count if part else NOTHING for part in (self.after, self.before))
        whole = now.complete_under(convention) and then.complete_under(convention)
        return now.number(convention) - then.number(convention) if whole else None

    @property
    def operators(self) -> dict[str, int]:
        """How many operations more of each operator; below 0 where there are fewer."""
        now, then = (
            Counter(op.operator for op in (part.count.cost if part else Cost()) if op.operator)
            for part in (self.after, self.before)
        )
        return {operator: more for operator in {**then, **now} if (more := now[operator] - then[operator])}

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        parts = {"before": self.before, "after": self.after}
        return {
            "fate": str(self.fate),
            **{name: part and part.path for name, part in parts.items()},
            **{f"{name}_class": part and part.module_class for name, part in parts.items()},
            "modules": max(part.modules for part in parts.values() if part),
            **self.delta._asdict(),
            "operators": self.operators,
        }


def module_differences(before: CountedModel, after: CountedModel) -> tuple[ModuleDifference, ...]:
    """What became of the modules of a model, in the order of the second one.

    Modules that do what they did where they were are left out. The differences of the rest add up to the difference of
    the counts: in parameters, MACs and activations, in operators, and under every convention.
    """
    rows = part_differences(_Parts(before), _Parts(after))
    return tuple(ModuleDifference(fate=fate, before=was, after=has) for fate, was, has in rows)


Part_co = TypeVar("Part_co", covariant=True)
Row = tuple[Fate, Part_co | None, Part_co | None]


class Parts(Protocol[Part_co]):
    """The modules of a model by path, and what a number of them make together."""

    @property
    def labels(self) -> Mapping[str, Labels]:
        """What each module is and does."""

    def part(self, tree: Tree, first: int, end: int) -> Part_co:
        """The modules from one number to another."""


def part_differences(before: Parts[Part_co], after: Parts[Part_co]) -> tuple[Row[Part_co], ...]:
    """What became of the modules of a model, as in `module_differences`: fate, part before, part after."""
    return _Differences(before, after).rows()


class _Parts:
    """What each module of a counted model does itself."""

    def __init__(self, counted: CountedModel) -> None:
        modules = counted.modules
        self.costs: dict[str, list[OpCost]] = {}
        for op in counted.counted.cost:
            self.costs.setdefault(op.path, []).append(op)
        self.uncounted: dict[str, list[Uncounted]] = {}
        for operation in counted.counted.uncounted:
            self.uncounted.setdefault(operation.path, []).append(operation)
        self.labels = {
            path: Labels(*modules.get(path, ModuleLabel()), work=self._work(path))
            for path in {**modules, **self.costs, **self.uncounted}
        }

    def _work(self, path: str) -> tuple[Hashable, ...]:
        """All that is recorded of a module but its path."""
        done = (op._replace(path="") for op in self.costs.get(path, ()))
        return (*done, *(replace(operation, path="") for operation in self.uncounted.get(path, ())))

    def part(self, tree: Tree, first: int, end: int) -> ModulePart:
        """The modules from one number to another."""
        paths = tree.paths[first:end]
        cost = Cost(tuple(op for path in paths for op in self.costs.get(path, ())))
        uncounted = tuple(operation for path in paths for operation in self.uncounted.get(path, ()))
        return ModulePart(
            path=paths[0],
            module_class=tree.labels[first].kind,
            modules=len(paths),
            count=Count(cost=cost, backward=Cost(), uncounted=uncounted),
        )


class _Differences(Generic[Part_co]):
    """What differs between two models whose modules are matched."""

    def __init__(self, before: Parts[Part_co], after: Parts[Part_co]) -> None:
        self.parts_before, self.parts_after = before, after
        self.matching = Matching(before.labels, after.labels)
        self.before, self.after = self.matching.before, self.matching.after
        self.kept_in_before = _holds_any(self.before, self.matching.after_of)
        self.kept_in_after = _holds_any(self.after, self.matching.before_of)
        self.carried = self._carried()

    def rows(self) -> tuple[Row[Part_co], ...]:
        """The differences; what was removed stands behind what it stood behind."""
        placed = [((new, 0), row) for new, row in self._present()] + [((new, 1), row) for new, row in self._removed()]
        return tuple(row for _, row in sorted(placed, key=lambda item: item[0]))

    def _present(self) -> Iterator[tuple[int, Row[Part_co]]]:
        """What was inserted, changed or moved, and where it stands."""
        new = 0
        while new < len(self.after):
            old, end = self.matching.before_of[new], new + 1
            if old is None:
                end = end if self.kept_in_after[new] else self.after.ends[new]
                yield new, self._row(Fate.INSERTED, None, (new, end))
            elif self._is_replaced(old, new):
                end = self.after.ends[new]
                yield new, self._row(Fate.CHANGED, (old, self.before.ends[old]), (new, end))
            elif self.before.labels[old] != self.after.labels[new]:
                yield new, self._row(Fate.CHANGED, (old, old + 1), (new, end))
            elif self._has_moved(old, new):
                end = self.after.ends[new] if self.carried[new] else end
                yield new, self._row(Fate.MOVED, (old, old + end - new), (new, end))
            new = end

    def _removed(self) -> Iterator[tuple[int, Row[Part_co]]]:
        """What was removed, and the module of the second model that it stood behind."""
        old, behind = 0, -1
        while old < len(self.before):
            new, end = self.matching.after_of[old], old + 1
            if new is None:
                end = end if self.kept_in_before[old] else self.before.ends[old]
                yield behind, self._row(Fate.REMOVED, (old, end), None)
            else:
                behind = new
                end = self.before.ends[old] if self._is_replaced(old, new) else end
            old = end

    def _row(self, fate: Fate, olds: tuple[int, int] | None, news: tuple[int, int] | None) -> Row[Part_co]:
        before = self.parts_before.part(self.before, *olds) if olds else None
        return fate, before, self.parts_after.part(self.after, *news) if news else None

    def _is_replaced(self, old: int, new: int) -> bool:
        """Whether two modules are matched, and nothing that stands in them."""
        holds = self.before.inner[old] or self.after.inner[new]
        return bool(holds) and not self.kept_in_before[old] and not self.kept_in_after[new]

    def _has_moved(self, old: int, new: int) -> bool:
        """Whether a module stands in another one than before, or under another name."""
        around_old, around_new = self.before.parents[old], self.after.parents[new]
        if around_old < 0 or around_new < 0:
            return around_old != around_new
        return self.matching.after_of[around_old] != around_new or self.before.names[old] != self.after.names[new]

    def _carried(self) -> list[bool]:
        """Whether each module of the second model does what it did, and so does all in it, in the order as before."""
        carried = [False] * len(self.after)
        for new in reversed(range(len(self.after))):
            old = self.matching.before_of[new]
            if old is not None:
                inner = [self.matching.before_of[child] for child in self.after.inner[new]]
                alike = self.before.alike[old] == self.after.alike[new] and inner == self.before.inner[old]
                carried[new] = alike and all(carried[child] for child in self.after.inner[new])
        return carried


def _holds_any(tree: Tree, partners: Sequence[int | None]) -> list[bool]:
    """Whether anything that stands in each module is matched."""
    holds = [False] * len(tree)
    for index in reversed(range(1, len(tree))):
        holds[tree.parents[index]] |= holds[index] or partners[index] is not None
    return holds
