"""What a finished sweep says: which models failed, what each family costs, and which are on the Pareto front."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.searching.front import pareto
from ulsam_cost.sweeping.row import TIMES, TOTALS

if TYPE_CHECKING:
    from pandas import DataFrame

NANOSECONDS = 10**6  # of a millisecond: fronts are of whole numbers
_FIRST_LETTERS = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A row without costs, and why."""

    row: int
    model: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models of one family: how many, and the least, median and greatest cost on the first axis."""

    family: str
    models: int
    least: float
    median: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A model with a cost on both axes."""

    row: int
    model: str
    family: str
    across: float
    up: float
    on_front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A sweep in short; `axes` are the columns that are minimised and drawn."""

    axes: tuple[str, str]
    rows: int
    failures: tuple[Failure, ...]
    incomplete: int
    seconds: float
    points: tuple[Point, ...]
    families: tuple[Family, ...]

    @property
    def front(self) -> tuple[Point, ...]:
        """The models on the Pareto front of both axes, from the least on the first."""
        return tuple(sorted((point for point in self.points if point.on_front), key=lambda point: point.across))


def family_of(model: str) -> str:
    """The family of a MODEL: a network's name, or the letters with which NAME begins, as in `FILE.py:resnet50`."""
    word = model.split(maxsplit=1)[0]
    place, colon, name = word.rpartition(":")
    letters = _FIRST_LETTERS.match(name)
    return letters[0] if place and colon and letters else name


def require_axes(axes: Sequence[str], columns: Sequence[str]) -> tuple[str, str]:
    """Two different columns of numbers.

    Raises:
        CostError: for anything else.
    """
    from ulsam_cost.conventions import CONVENTIONS

    accepted = [
        name for name in columns if name in (*TOTALS, *CONVENTIONS, TIMES[0]) or name.endswith(("_macs", "_writes"))
    ]
    for name in axes:
        if name not in accepted:
            raise UnknownNameError.among("column for an axis", name, accepted)
    if len(set(axes)) != 2:
        raise CostError(f"axes {','.join(axes)}: two different columns are accepted, as in macs,params")
    return axes[0], axes[1]


def summarise(frame: "DataFrame", axes: tuple[str, str]) -> Summary:
    """A sweep in short.

    Args:
        frame: its table.
        axes: two columns.
    """
    failed = frame[frame["error"].notna()]
    points = _points(frame[frame[list(axes)].notna().all(axis="columns")], axes)
    return Summary(
        axes=axes,
        rows=len(frame),
        failures=tuple(
            Failure(row=int(row), model=model, error=error)
            for row, model, error in zip(failed["row"], failed["model"], failed["error"], strict=True)
        ),
        incomplete=int((~frame["complete"].dropna().astype(bool)).sum()),
        seconds=float(frame["seconds"].sum()),
        points=points,
        families=_families(points),
    )


def _points(known: "DataFrame", axes: tuple[str, str]) -> tuple[Point, ...]:
    if known.empty:
        return ()
    costs = np.stack([_whole(known[name]) for name in axes], axis=1)
    front = set(pareto(costs).tolist())
    rows = zip(known["row"], known["model"], known[axes[0]], known[axes[1]], strict=True)
    return tuple(
        Point(row=int(row), model=model, family=family_of(model), across=across, up=up, on_front=place in front)
        for place, (row, model, across, up) in enumerate(rows)
    )


def _whole(column: Any) -> Any:
    factor = NANOSECONDS if str(column.dtype).lower() == "float64" else 1
    return (column.to_numpy() * factor).astype(np.int64)


def _families(points: Sequence[Point]) -> tuple[Family, ...]:
    costs: dict[str, list[float]] = {}
    for point in points:
        costs.setdefault(point.family, []).append(point.across)
    families = [
        Family(family=name, models=len(each), least=min(each), median=median(each), most=max(each))
        for name, each in costs.items()
    ]
    return tuple(sorted(families, key=lambda family: (-family.models, family.family)))
