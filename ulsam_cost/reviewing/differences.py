"""What layers cost more or less than others, module by module: the differences add up to that of the totals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from ulsam_cost.counting.differences import Fate, part_differences
from ulsam_cost.counting.matching import Labels, Tree
from ulsam_cost.reviewing.costs import LayerCosts, Numbers


class Part(NamedTuple):
    """A module alone, or with those in it."""

    path: str
    operators: tuple[str, ...]
    numbers: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifference:
    """A module that was inserted, removed, changed or moved, and by how much that changes the costs.

    `what` says which operators it has more and less, of one that changed, or where one that moved stood before.
    """

    path: str
    fate: Fate
    what: str
    numbers: Numbers

    @property
    def is_moved(self) -> bool:
        """Whether the module is what it was, at another path."""
        return self.fate is Fate.MOVED

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {"path": self.path, "fate": str(self.fate), "what": self.what, **self.numbers._asdict()}


def layer_differences(before: Sequence[LayerCosts], now: Sequence[LayerCosts]) -> tuple[LayerDifference, ...]:
    """What became of the layers, matched as `compare` matches modules, in the order in which they stand now."""
    rows = part_differences(_Layers(before), _Layers(now))
    return tuple(_difference(fate, was, has) for fate, was, has in rows)


class _Layers:
    """The layers of a model, as the matching of modules takes them."""

    def __init__(self, layers: Sequence[LayerCosts]) -> None:
        self._by_path = {layer.path: layer for layer in layers}

    @property
    def labels(self) -> Mapping[str, Labels]:
        """Each module behind those around it, in the order in which they first run."""
        found: dict[str, Labels] = {}
        for path, layer in self._by_path.items():
            for around in accumulate(path.split("."), "{}.{}".format):
                found.setdefault(around, Labels())
            found[path] = Labels(
                kind=layer.module_class,
                shapes=(layer.numbers.params,) if layer.numbers.params else (),
                work=(layer.operators, layer.numbers),
            )
        return found

    def part(self, tree: Tree, first: int, end: int) -> Part:
        layers = [self._by_path[path] for path in tree.paths[first:end] if path in self._by_path]
        return Part(
            tree.paths[first],
            tuple(name for layer in layers for name in layer.operators),
            sum((layer.numbers for layer in layers), Numbers()),
        )


def _difference(fate: Fate, was: Part | None, has: Part | None) -> LayerDifference:
    empty = Part("", (), Numbers())
    old, new = was or empty, has or empty
    what = f"from {old.path}" if fate is Fate.MOVED else ""
    if fate is Fate.CHANGED:
        more = Counter(new.operators)
        more.subtract(old.operators)
        what = ", ".join(f"{count:+} {name}" for name, count in more.items() if count)
    path = has.path if has else old.path
    return LayerDifference(path=path, fate=fate, what=what, numbers=new.numbers - old.numbers)
