"""A user's mechanism: a class or a function that makes a module from a number of channels."""

import inspect
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention.mechanism import Mechanism, UserCode
from ulsam_cost.user_code import load_object

_ACCEPTED = "a class or a function that takes the number of channels and gives an nn.Module is accepted"
_MOST_KEPT = 64
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


def user_mechanism(text: str) -> Mechanism:
    """The mechanism that `FILE.py:NAME` or `package.module:NAME` names.

    Raises:
        CostError: for code that does not import, and for what is not called with a number of channels.
        UnknownNameError: for a name that is not there, with the nearest one.
    """
    place, _, _ = text.rpartition(":")
    try:
        stat = os.stat(place)
    except (OSError, ValueError):  # no file: a module, which Python keeps itself, or a mistake
        return mechanism_of(load_object(text), text)
    return _of_file(text, os.path.realpath(place), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=_MOST_KEPT)
def _of_file(text: str, path: str, changed: int, size: int) -> Mechanism:
    """A file's mechanism: it is run once as it stands, and again after each change."""
    return mechanism_of(load_object(text), text)


def mechanism_of(make: Callable[..., Any], name: str) -> Mechanism:
    """The mechanism of a callable.

    Raises:
        CostError: for what is not called with a number of channels.
    """
    if not callable(make) or (hasattr(make, "named_modules") and not isinstance(make, type)):
        raise CostError(f"{name} is {_described(make)}: {_ACCEPTED}")
    try:
        parameters = list(inspect.signature(make).parameters.values())
    except (TypeError, ValueError):  # built in, without a signature
        code = UserCode(make=make, options={}, takes_any=True)
    else:
        if not parameters or parameters[0].kind not in _POSITIONAL:
            raise CostError(f"{name} takes no number of channels: {_ACCEPTED}")
        first = 0 if parameters[0].kind is inspect.Parameter.VAR_POSITIONAL else 1
        named = [parameter for parameter in parameters[first:] if parameter.kind in _NAMED]
        code = UserCode(
            make=make,
            options={parameter.name: parameter.default for parameter in named},
            required=tuple(parameter.name for parameter in named if parameter.default is parameter.empty),
            takes_any=any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters),
            takes_tokens=bool(getattr(make, "takes_tokens", False)),
        )
    return Mechanism(name=name, title=name, source=name.rpartition(":")[0] or name, group="", cost=None, code=code)


def _described(value: Any) -> str:
    kind = type(value).__name__
    return f"a module, {kind}" if hasattr(value, "named_modules") else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
