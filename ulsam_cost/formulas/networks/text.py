"""A network with its options in one string, as in `resnet50 --attention se --connection dca`."""

import re
import shlex
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec, network_spec

_WORDS = {"true": True, "false": False}
_SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
# options whose values are words, however much they look like numbers: --positions 11
_TEXTS = ("positions", "attention", "variant", "connection", "sites", "input")


def names_network(text: str) -> bool:
    """Whether a text begins with the name of a registered network."""
    return text.split(" ", 1)[0] in REGISTERED


def spec_from_text(text: str) -> NetworkSpec:
    """The network that a text names, its options those of `network_spec`.

    Raises:
        CostError: as `options_from_text` and `network_spec`.
    """
    name, options = options_from_text(text)
    return network_spec(name, **options)


def options_from_text(text: str) -> tuple[str, dict[str, Any]]:
    """A network's name and its options: `--width 0.5` or `--width=0.5`, and `--option NAME=VALUE`.

    Raises:
        CostError: for a text that does not hold a network's name and pairs of an option and its value, and for an
            option that is given twice.
    """
    try:
        name, *rest = shlex.split(text)
    except ValueError as error:
        raise CostError(f"{text!r} is not a network with options: {error}") from error
    options: dict[str, Any] = {}
    for option, value in _pairs(text, rest):
        key, worth = read_option(value) if option == "option" else (option, value)
        if key in options:
            raise CostError(f"{text!r}: {key} is given twice")
        options[key] = worth if key in _TEXTS or option == "option" else read_value(str(worth))
    if "input" in options:
        options |= input_options(options.pop("input"), options)
    return name, options


def _pairs(text: str, rest: list[str]) -> list[tuple[str, str]]:
    pairs, words = [], iter(rest)
    for word in words:
        option, equals, value = word.partition("=")
        value = value if equals else next(words, "")
        if not option.startswith("--") or not value:
            raise CostError(f"{text!r}: a network and options with a value each are accepted, as in 'mv1 --width 0.5'")
        pairs.append((option[2:].replace("-", "_"), value))
    return pairs


def read_option(text: str) -> tuple[str, Any]:
    """An option of a mechanism or a connection, NAME=VALUE.

    Raises:
        CostError: for anything else.
    """
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise CostError(f"option {text!r}: NAME=VALUE is accepted, as in reduction=8")
    return name.replace("-", "_"), read_value(value)


def input_options(shape: str, others: dict[str, Any]) -> dict[str, Any]:
    """An input's batch and resolution as options: `1x3x800x1344` is one image of 800 x 1344.

    Raises:
        CostError: for anything but four sizes, the second of them 3, and beside a batch or a resolution.
    """
    sizes = shape.split("x")
    if len(sizes) != 4 or not all(_WHOLE.fullmatch(size) for size in sizes) or sizes[1] != "3":
        raise CostError(f"input {shape!r}: a batch of images with 3 channels is accepted, as in 1x3x800x1344")
    if given := [name for name in ("batch", "resolution") if others.get(name) is not None]:
        raise CostError(f"input {shape!r} and {given[0]}: one of the two is accepted")
    batch, _, height, width = map(int, sizes)
    return {"batch": batch, "resolution": (height, width)}


def read_value(text: str) -> Any:
    """A value as it is meant: a size, a whole number, a number, true or false, or the word itself."""
    if match := _SIZE.fullmatch(text):
        return int(match[1]), int(match[2])
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else _WORDS.get(text, text)
