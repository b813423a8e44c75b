"""What layers cost more or less than others, path by path: the differences add up to that of the totals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ulsam_cost.reviewing.costs import LayerCosts, Numbers

NEW, GONE, CHANGED, MOVED = "new", "gone", "changed", "moved from"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifference:
    """A layer that differs, and by how much.

    `what` is `new` or `gone`, of a module with all that stands below it; else the operations of the module's own that
    were added or left out (`+relu, -sigmoid`), `changed` where they are the same and their sizes are not, or
    `moved from` and a path.
    """

    path: str
    what: str
    numbers: Numbers

    @property
    def is_moved(self) -> bool:
        """Whether the layer is what it was, at another path."""
        return self.what.startswith(MOVED)

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {"path": self.path, "what": self.what, **self.numbers._asdict()}


def layer_differences(before: Sequence[LayerCosts], now: Sequence[LayerCosts]) -> tuple[LayerDifference, ...]:
    """The layers that differ, in the order in which they run; those that are gone stand last.

    Layers are matched by path; those that are alike and stand elsewhere have moved, and cost what they did.
    """
    old, new = ({layer.path: layer for layer in layers} for layers in (before, now))
    around_old, around_new = _around(old), _around(new)
    moved = _moved(old, new)
    for path, source in moved.items():
        del new[path], old[source]
    found: dict[tuple[str, str], Numbers] = {}
    for path in {**new, **old}:
        was, has = old.get(path), new.get(path)
        if was == has:
            continue
        if was and has:
            key = path, _what(was, has)
        elif has:
            key = _root(path, around_old), NEW
        else:
            key = _root(path, around_new), GONE
        more = (has.numbers if has else Numbers()).minus(was.numbers if was else Numbers())
        found[key] = found.get(key, Numbers()).plus(more)
    return (
        *(LayerDifference(path=path, what=what, numbers=more) for (path, what), more in found.items()),
        *(LayerDifference(path=path, what=f"{MOVED} {source}", numbers=Numbers()) for path, source in moved.items()),
    )


def _moved(old: Mapping[str, LayerCosts], new: Mapping[str, LayerCosts]) -> dict[str, str]:
    """Where layers that are alike stood before, of those that differ from what stood at their path, in order."""
    places: dict[tuple[object, ...], list[str]] = {}
    for path, layer in old.items():
        if new.get(path) != layer:
            places.setdefault((layer.operators, layer.numbers), []).append(path)
    found = {}
    for path, layer in new.items():
        alike = places.get((layer.operators, layer.numbers))
        if old.get(path) != layer and alike:
            found[path] = alike.pop(0)
    return found


def _around(paths: Iterable[str]) -> set[str]:
    """All paths, and those of the modules around them."""
    return {around for path in paths for around in accumulate(path.split("."), "{}.{}".format)}


def _root(path: str, others: set[str]) -> str:
    """The outermost module around a path, or at it, that is not among the others."""
    return next((around for around in accumulate(path.split("."), "{}.{}".format) if around not in others), path)


def _what(was: LayerCosts, has: LayerCosts) -> str:
    said = [*(f"+{name}" for name in _beyond(has.operators, was.operators))]
    said += [f"-{name}" for name in _beyond(was.operators, has.operators)]
    return ", ".join(said) or CHANGED


def _beyond(some: Sequence[str], others: Sequence[str]) -> list[str]:
    """What the first have more often than the second."""
    left = list(others)
    more = []
    for name in some:
        if name in left:
            left.remove(name)
        else:
            more.append(name)
    return more
