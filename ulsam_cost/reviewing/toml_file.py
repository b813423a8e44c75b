"""A TOML file and the line of each of its keys, so that an error can say where it is."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ulsam_cost.errors import CostError

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TomlFile:
    """What a file says, and in which line each key stands; arrays of tables have numbers among their keys."""

    path: Path
    data: dict[str, Any]
    lines: dict[Keys, int]

    def error(self, keys: Keys, message: str) -> CostError:
        """The error about a key, or about the table that lacks it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        line = f", line {self.lines[keys]}" if keys else ""
        return CostError(f"{self.path}{line}: {message}")


def read_toml(path: Path) -> TomlFile:
    """Read a file.

    Raises:
        CostError: for a file that cannot be read, or is not TOML; with the line.
    """
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
        return TomlFile(path=path, data=tomllib.loads(text), lines=key_lines(text))
    except OSError as error:
        raise CostError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CostError(f"{path} is not text in UTF-8: a TOML file is accepted") from error
    except tomllib.TOMLDecodeError as error:
        raise CostError(f"{path} is not TOML: {error}") from error


def key_lines(text: str) -> dict[Keys, int]:
    """The line, from 1, in which each key of a valid TOML text stands, or the statement that holds it begins."""
    lines, found, sizes = text.split("\n"), dict[Keys, int](), dict[Keys, int]()
    table: Keys = ()
    start = 0
    while start < len(lines):
        end, said = _statement(lines, start)
        if lines[start].lstrip().startswith("["):
            table = _opened(said, sizes)
            found.setdefault(table, start + 1)
        else:
            for keys in _keys_in(said):
                found.setdefault((*table, *keys), start + 1)
        start = end
    return found


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, Any]]:
    """Where the statement that begins in a line ends, and what it says: each is a TOML text of its own."""
    for end in range(start + 1, len(lines)):
        try:
            return end, tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
    return len(lines), tomllib.loads("\n".join(lines[start:]))


def _opened(said: Any, sizes: dict[Keys, int]) -> Keys:
    """The keys of the table that a header opens; `sizes` has how many tables each array holds so far."""
    keys: Keys = ()
    while said:
        [(key, said)] = said.items()
        keys = (*keys, key)
        if said == [{}]:
            sizes[keys] = sizes.get(keys, 0) + 1
            return (*keys, sizes[keys] - 1)
        if keys in sizes:
            keys = (*keys, sizes[keys] - 1)
    return keys


def _keys_in(value: Any) -> list[Keys]:
    """The keys of a value, and of the tables in it."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        items = enumerate(value)
    else:
        return []
    return [keys for key, inner in items for keys in ((key,), *((key, *rest) for rest in _keys_in(inner)))]
