"""A MODEL in one string: a network with its options, or code, and attention to be inserted.

`resnet50 --attention se --connection dca` is a network as the papers build it, `net.py:net --attention se --after
layers.5` the user's model, or any, with attention inserted at its modules.
"""

import re
import shlex
from dataclasses import dataclass
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import MIX, REGISTERED, NetworkSpec, network_spec
from ulsam_cost.user_code import names_code

_WORDS = {"true": True, "false": False}
_SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
# options whose values are words, however much they look like numbers: --positions 11
_TEXTS = ("positions", "attention", "variant", "connection", "sites", "input", "after", "replace")
_INSERTING = ("after", "replace")
_OF_NETWORKS = ("variant", "width", "resolution", "classes", "batch")
_BY_SPEC = ("positions", "sites", "connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Insertion:
    """Attention that is inserted into a model: the mechanism, its options, and paths or patterns of submodules."""

    attention: str
    after: str = ""
    replace: str = ""
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelText:
    """What a MODEL says: a network's name or code, the options of the network, the input's shape, what is inserted."""

    model: str
    options: tuple[tuple[str, Any], ...] = ()
    input: str = ""
    insertion: Insertion | None = None


def names_network(text: str) -> bool:
    """Whether a text begins with the name of a registered network."""
    return text.split(" ", 1)[0] in REGISTERED


def names_spec(text: str) -> bool:
    """Whether a text is a registered network with its options alone: nothing is inserted by path."""
    return names_network(text) and not inserts(text)


def inserts(text: str) -> bool:
    """Whether a text has `--after` or `--replace`."""
    return any(re.search(rf"\s--{option}(?=[\s=])", text) for option in _INSERTING)


def imports_code(text: str) -> bool:
    """Whether a MODEL is the user's code, or has a mechanism that is.

    Raises:
        CostError: as `options_from_text`.
    """
    _, options = options_from_text(text)
    named = str(options.get("attention", "")).split(MIX)
    return not names_network(text) or any(names_code(name) for name in named)


def spec_from_text(text: str) -> NetworkSpec:
    """The network that a text names, its options those of `network_spec`.

    Raises:
        CostError: as `options_from_text` and `network_spec`.
    """
    name, options = options_from_text(text)
    return network_spec(name, **options)


def read_model(text: str) -> ModelText:
    """A MODEL, part by part.

    Raises:
        CostError: for an option that is not accepted there, and for attention without a place or the reverse.
    """
    model, options = options_from_text(text)
    shape = options.pop("input", "")
    own = {key: options.pop(key) for key in _OF_NETWORKS if names_network(text) and key in options}
    if not inserts(text) and (names_network(text) or not options):
        return ModelText(model=model, options=tuple((own | options).items()), input=shape)
    for key in _BY_SPEC:
        if key in options:
            raise CostError(f"{text!r}: --{key} places attention in the networks of the project: {_ACCEPTED}")
    places = {key: options.pop(key) for key in _INSERTING if key in options}
    attention = options.pop("attention", "")
    if not places or not attention:
        lacks = "no --attention" if places else "neither --after nor --replace"
        raise CostError(f"{text!r} has {lacks}: {_ACCEPTED}")
    insertion = Insertion(attention=attention, **places, options=tuple(options.items()))
    return ModelText(model=model, options=tuple(own.items()), input=shape, insertion=insertion)


_ACCEPTED = "--attention with --after or --replace is accepted, as in 'net.py:net --attention se --after layers.5'"


def options_from_text(text: str) -> tuple[str, dict[str, Any]]:
    """A network's name, or code, and its options: `--width 0.5` or `--width=0.5`, and `--option NAME=VALUE`.

    Raises:
        CostError: for a text that does not hold a name and pairs of an option and its value, and for an option that is
            given twice.
    """
    # the name of a file may have spaces in it
    head, dashes, rest = (text, "", "") if names_network(text) else text.partition(" --")
    try:
        words = shlex.split(head) if names_network(text) else [head, *shlex.split(dashes + rest)]
    except ValueError as error:
        raise CostError(f"{text!r} is not a model with options: {error}") from error
    name, *given = words
    options: dict[str, Any] = {}
    for option, value in _pairs(text, given):
        key, worth = read_option(value) if option == "option" else (option, value)
        if key in options:
            raise CostError(f"{text!r}: {key} is given twice")
        options[key] = worth if key in _TEXTS or option == "option" else read_value(str(worth))
    if "input" in options and names_network(text):
        options |= input_options(options.pop("input"), options)
    return name, options


def _pairs(text: str, rest: list[str]) -> list[tuple[str, str]]:
    pairs, words = [], iter(rest)
    for word in words:
        option, equals, value = word.partition("=")
        value = value if equals else next(words, "")
        if not option.startswith("--") or not value:
            raise CostError(f"{text!r}: a model and options with a value each are accepted, as in 'mv1 --width 0.5'")
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
