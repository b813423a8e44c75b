"""The user's code, named by text: `FILE.py:NAME` or `package.module:NAME`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ulsam_cost.errors import CostError, UnknownNameError


def names_code(text: str) -> bool:
    """Whether a text has the form of code: a place, a colon, a name."""
    place, _, name = text.rpartition(":")
    return bool(place and name)


def load_object(text: str) -> Any:
    """What a text names. A file is run anew each time, under no name in `sys.modules`.

    Raises:
        CostError: for a file that is not there or does not import, with the last line of its own error.
        UnknownNameError: for a name that the file does not have, with the nearest one.
    """
    place, _, name = text.rpartition(":")
    module = _module(place)
    if not hasattr(module, name):
        public = [other for other in vars(module) if not other.startswith("_")]
        raise UnknownNameError.among(f"name of {place}", name, public or ["none"])
    return getattr(module, name)


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        with raised_in_a_sentence(f"{place} does not import"), _importable(Path.cwd()):
            return import_module(place)
    path = Path(place)
    if not os.path.isfile(path):  # Path.is_file raises for a name that no file can have
        raise CostError(f"there is no file {place}")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with raised_in_a_sentence(f"{place} does not import"), _importable(path.parent.resolve()):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """A folder from which modules may be imported, as if a script in it ran.

    What the code adds to `sys.path` itself stays, and what it takes away comes back.
    """
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(str(folder))
        sys.path.extend(path for path in before if path not in sys.path)


@contextmanager
def raised_in_a_sentence(what: str) -> Iterator[None]:
    """Turn whatever the user's code raises into one sentence with its last line, the error itself chained.

    Raises:
        CostError: with that sentence.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        raise CostError(f"{what}: {type(error).__name__}: {last}") from error
