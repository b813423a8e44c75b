"""The inputs that int8 is calibrated with: the caller's, or random ones."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch

from ulsam_cost.errors import CostError
from ulsam_cost.measuring.device import INT8
from ulsam_cost.tensors import as_arguments, batch_size, mapped, tensors_of
from ulsam_cost.user_code import load_object, names_code, raised_in_a_sentence

RANDOM = "random data: times only, no accuracy"
RANDOM_SAMPLES = 8
MOST_SAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Inputs, each as for the model, and what they are called."""

    name: str
    inputs: tuple[Any, ...]


def asked_calibration(text: str | None, dtypes: Sequence[str]) -> Calibration | None:
    """What is given for some data types, loaded as by `load_calibration`; None where nothing is given.

    Raises:
        CostError: for code that does not give inputs, and where no data type is int8.
    """
    if text is None:
        return None
    require_int8(dtypes)
    return load_calibration(text)


def load_calibration(text: str) -> Calibration:
    """The inputs that `FILE.py:NAME` gives: an iterable of them, or a callable without arguments that returns one.

    Raises:
        CostError: for code that does not give this.
    """
    if not names_code(text):
        raise CostError(f"calibration {text!r}: FILE.py:NAME or package.module:NAME is accepted")
    found = load_object(text)
    with raised_in_a_sentence(f"{text} does not give inputs"):
        given = found() if callable(found) else found
        given = list(islice(given, MOST_SAMPLES + 1)) if isinstance(given, Iterator) else given
    return make_calibration(given, name=text)


def require_int8(dtypes: Sequence[str | None]) -> None:
    """Refuse calibration where no data type is int8.

    Raises:
        CostError: naming the data types.
    """
    if INT8 not in dtypes:
        named = ", ".join(each or "the model's own" for each in dtypes)
        raise CostError(f"calibration is used with dtype {INT8} only, and dtype {named} is given")


def make_calibration(inputs: Iterable[Any], *, name: str = "given data") -> Calibration:
    """Checked inputs.

    Raises:
        CostError: for none, or too many, and for what is not an iterable of tensors, tuples and dicts.
    """
    if isinstance(inputs, torch.Tensor) or not isinstance(inputs, Iterable):
        raise CostError(f"calibration {name}: {type(inputs).__name__} is not accepted, a list of inputs is")
    taken: list[Any] = []
    for each in inputs:
        if len(taken) == MOST_SAMPLES:
            raise CostError(
                f"calibration {name}: more than {MOST_SAMPLES:,} inputs; up to {MOST_SAMPLES:,} are accepted"
            )
        if next(tensors_of(each), None) is None:
            raise CostError(
                f"calibration {name}: {type(each).__name__} among the inputs; a tensor, or a tuple or "
                "dict of arguments, is accepted"
            )
        taken.append(each)
    if not taken:
        raise CostError(f"calibration {name}: no inputs; one or more are accepted")
    return Calibration(name=name, inputs=tuple(taken))


def fitting(data: Calibration, inputs: Any) -> list[Any]:
    """The samples, in the batches of the inputs that are measured.

    Raises:
        CostError: for a sample whose tensors have other shapes than the inputs.
    """
    batch, wanted = batch_size(*as_arguments(inputs)), _shapes(inputs)
    samples = [part for sample in data.inputs for part in _in_batches(sample, batch)]
    for sample in samples:
        if (found := _shapes(sample)) != wanted:
            raise CostError(f"calibration {data.name}: inputs of shape {found}: {wanted}, as is measured, is accepted")
    return samples


def _in_batches(sample: Any, batch: int) -> Iterator[Any]:
    """The rows of a sample in samples of another batch size, of which the last is filled up with the first rows."""
    size = batch_size(*as_arguments(sample))
    for start in range(0, size, batch):
        yield mapped(sample, partial(_rows, size=size, rows=torch.arange(start, start + batch) % size))


def _rows(tensor: torch.Tensor, *, size: int, rows: torch.Tensor) -> torch.Tensor:
    return tensor[rows] if tensor.shape[:1] == (size,) else tensor


def _shapes(values: Any) -> str:
    return " and ".join("x".join(map(str, tensor.shape)) or "a number" for tensor in tensors_of(values))


def random_calibration(inputs: Any) -> Calibration:
    """Normal numbers in place of the floats of these inputs, the same on every call."""
    generator = torch.Generator().manual_seed(0)

    def drawn(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor

    return Calibration(name=RANDOM, inputs=tuple(mapped(inputs, drawn) for _ in range(RANDOM_SAMPLES)))
