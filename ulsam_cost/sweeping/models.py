"""The models of a sweep: read from a text file, a CSV file, a TOML grid, or made by a Python callable."""

import csv
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from ulsam_cost.errors import CostError, UnknownNameError, first_line

ACCEPTED = "a text file, a CSV file with a column model, a TOML grid or FILE.py:NAME is accepted"
_GRID_KEYS = ("model", "input", "grid")


class ModelLine(NamedTuple):
    """A MODEL, and the shapes of its inputs where they are not its own."""

    model: str
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models of a sweep in their order, and how many they are; None where only the end tells."""

    lines: Iterable[ModelLine]
    total: int | None


def read_models(text: str) -> Models:
    """The models that MODELS names on the command line.

    Args:
        text: `FILE.txt` with one MODEL a line, `FILE.csv` with a column `model` and perhaps `input`, `FILE.toml` with
            `model` and a table `[grid]` that lists values of options, or `FILE.py:NAME` or `package.module:NAME`, a
            callable without arguments that gives MODELs.

    Raises:
        CostError: for a file that is not there, not readable, or without a model.
    """
    path = Path(text)
    if path.suffix == ".csv":
        return _listed(text, _of_csv(text, _content(path)))
    if path.suffix == ".toml":
        return _of_toml(text, _content(path))
    if not path.exists() and ":" in text:
        from ulsam_cost.user_code import load_object

        return as_models(load_object(text), name=text)
    lines = (line.strip() for line in _content(path).splitlines())
    return _listed(text, [ModelLine(line) for line in lines if line and not line.startswith("#")])


def as_models(models: Any, *, name: str = "models") -> Models:
    """MODELs that Python code gives.

    Args:
        models: texts, or ModelLines, in any iterable, or a callable without arguments that gives one; or Models.
        name: what they are called in an error.

    Raises:
        CostError: for anything else; for what is not a text, when it is reached.
    """
    if isinstance(models, Models):
        return models
    given = models() if callable(models) else models
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise CostError(f"{name} gives {type(given).__name__}: texts that each name a MODEL are accepted, in a list")
    total = len(given) if isinstance(given, Sized) else None
    if total == 0:
        raise CostError(f"{name} gives no model: one or more are accepted")
    return Models(lines=_checked(given, name), total=total)


def _checked(given: Iterable[Any], name: str) -> Iterator[ModelLine]:
    for each in given:
        line = ModelLine(each) if isinstance(each, str) else each
        if not isinstance(line, ModelLine) or not line.model.strip() or "\n" in line.model:
            raise CostError(f"{name} gives {each!r}: a text of one line that names a MODEL is accepted")
        yield line


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CostError(f"there is no file {path}: {ACCEPTED}") from error
    except UnicodeDecodeError as error:
        raise CostError(f"{path} is not text in UTF-8: {ACCEPTED}") from error
    except OSError as error:
        raise CostError(f"cannot read {path}: {error.strerror}") from error


def _listed(name: str, lines: list[ModelLine]) -> Models:
    if not lines:
        raise CostError(f"{name} names no model: one a line is accepted")
    return Models(lines=lines, total=len(lines))


def _of_csv(name: str, content: str) -> list[ModelLine]:
    reader = csv.DictReader(content.splitlines())
    if "model" not in (reader.fieldnames or ()):
        raise CostError(f"{name} has no column model: its columns are {', '.join(reader.fieldnames or ('none',))}")
    lines = []
    for row in reader:
        model, shapes = (row["model"] or "").strip(), (row.get("input") or "").split()
        if not model:
            raise CostError(f"{name}, line {reader.line_num}: the column model is empty")
        lines.append(ModelLine(model, tuple(shapes)))
    return lines


def _of_toml(name: str, content: str) -> Models:
    """Every combination of the values that a grid lists, each as a MODEL with its options."""
    try:
        grid = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise CostError(f"{name} is not TOML: {first_line(error)}") from error
    for key in grid:
        if key not in _GRID_KEYS:
            raise UnknownNameError.among(f"key in {name}", key, _GRID_KEYS)
    models, shapes, options = _several(grid.get("model", [])), _several(grid.get("input", [])), grid.get("grid", {})
    if not models or not all(isinstance(text, str) for text in (*models, *shapes)):
        raise CostError(f'{name} has no model: model = "mv1", or a list of such texts, is accepted')
    if not isinstance(options, Mapping) or any(not values for values in map(_several, options.values())):
        raise CostError(f"{name}: [grid] lists one or more values for each option, as in width = [0.5, 1.0]")
    choices = [[(key.replace("_", "-"), value) for value in _several(values)] for key, values in options.items()]
    total = len(models) * prod(map(len, choices))
    texts = (_with_options(model, chosen) for model in models for chosen in product(*choices))
    return Models(lines=(ModelLine(text, tuple(shapes)) for text in texts), total=total)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _with_options(model: str, options: Iterable[tuple[str, Any]]) -> str:
    return " ".join((model, *(f"--{name} {shlex.quote(_word(value))}" for name, value in options)))


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
