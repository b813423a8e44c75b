"""Paths of submodules by pattern: `layers.5`, `blocks.*`, `features.[8-11]`, `**.conv2`."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from ulsam_cost.errors import PlacementError

_PIECE = re.compile(r"(\*\*)|(\*)|\[([^\]]*)\]|([^*\[\]]+|.)", re.DOTALL)
_SPAN = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", re.ASCII)
_COMMA = re.compile(r",(?![^\[]*\])")
_ANY_NAMES = "**"


def split_paths(text: str) -> tuple[str, ...]:
    """The paths of a text with commas between them; commas in brackets belong to the pattern."""
    return tuple(part.strip() for part in _COMMA.split(text)) if text else ()


def matching(pattern: str, paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that a pattern names, in their order.

    `*` stands for any part of one name, `**` between dots for any number of names, none included (at the end for one
    or more), and within a name for anything. `[8-11]` and `[0,2,8-11]` stand for whole numbers, both ends of a range
    included. All else stands for itself.

    Raises:
        PlacementError: for a pattern that names none, with the nearest path, and for brackets that hold no numbers.
    """
    expression, paths = re.compile(_expression(pattern)), [path for path in paths if path]
    if found := tuple(path for path in paths if expression.fullmatch(path)):
        return found
    if re.search(r"[*\[]", pattern):
        raise PlacementError(f"{pattern!r} matches no submodule: `ulsam-cost layers MODEL` shows the paths of a model")
    nearest = get_close_matches(pattern, paths, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise PlacementError(f"{pattern!r} is not a submodule: {hint}`ulsam-cost layers MODEL` shows the paths of a model")


def _expression(pattern: str) -> str:
    text, parts = "", pattern.split(".")
    for place, part in enumerate(parts):
        ends = place == len(parts) - 1
        if part == _ANY_NAMES:
            text += ".+" if ends else r"(?:.+\.)?"
        else:
            text += "".join(_pieces(part, pattern)) + ("" if ends else r"\.")
    return text


def _pieces(part: str, pattern: str) -> Iterator[str]:
    for names, name, numbers, literal in _PIECE.findall(part):
        if names or name:
            yield ".*" if names else "[^.]+" if part == name else "[^.]*"
        elif literal and literal not in "[]":
            yield re.escape(literal)
        else:
            yield _number(numbers, pattern)


def _number(numbers: str, pattern: str) -> str:
    accepted: set[int] = set()
    for item in numbers.split(","):
        match = _SPAN.fullmatch(item.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise PlacementError(f"{pattern!r}: brackets hold whole numbers and ranges, as in [8-11] or [0,2,8-11]")
        accepted.update(range(first, last + 1))
    return f"(?:{'|'.join(map(str, sorted(accepted)))})"
