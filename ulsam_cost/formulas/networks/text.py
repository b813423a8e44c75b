"""A network with its options in one string, as in `resnet50 --attention se --connection dca`."""

import re
import shlex
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec, network_spec

_WORDS = {"true": True, "false": False}
_SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})", re.ASCII)


def names_network(text: str) -> bool:
    """Whether a text begins with the name of a registered network."""
    return text.split(" ", 1)[0] in REGISTERED


def spec_from_text(text: str) -> NetworkSpec:
    """The network that a text names, its options those of `network_spec`.

    Raises:
        CostError: for a text that does not hold a network's name and pairs of an option and its value, and
            as `network_spec`.
    """
    try:
        name, *rest = shlex.split(text)
    except ValueError as error:
        raise CostError(f"{text!r} is no network with options: {error}") from error
    if len(rest) % 2 or any(not option.startswith("--") for option in rest[::2]):
        raise CostError(f"{text!r}: a network and options with a value each are accepted, as in 'mv1 --width 0.5'")
    options = {
        option[2:].replace("-", "_"): read_value(value) for option, value in zip(rest[::2], rest[1::2], strict=True)
    }
    for text_option in ("positions", "attention", "variant", "connection", "sites"):
        if text_option in options:
            options[text_option] = rest[rest.index(f"--{text_option}") + 1]
    if "input" in options:
        options["batch"], options["resolution"] = batch_and_resolution(str(options.pop("input")))
    return network_spec(name, **options)


def batch_and_resolution(shape: str) -> tuple[int, tuple[int, int]]:
    """An input's batch and resolution: `1x3x800x1344` is one image of 800 x 1344.

    Raises:
        CostError: for anything but four sizes, the second of them 3.
    """
    sizes = shape.split("x")
    if len(sizes) != 4 or not all(size.isascii() and size.isdigit() for size in sizes) or sizes[1] != "3":
        raise CostError(f"input {shape!r}: a batch of images with 3 channels is accepted, as in 1x3x800x1344")
    batch, _, height, width = map(int, sizes)
    return batch, (height, width)


def read_value(text: str) -> Any:
    """A value as it is meant: a size, a whole number, a number, true or false, or the word itself."""
    if match := _SIZE.fullmatch(text):
        return int(match[1]), int(match[2])
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return _WORDS.get(text, text)
