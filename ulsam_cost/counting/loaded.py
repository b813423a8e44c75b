"""A loaded model counted for a command: what it raises itself is one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from ulsam_cost.counting.count import Count, count
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import NetworkSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in evaluation, its inputs, and the spec of a network of this project without insertions.

    `shaped` says whether the inputs were made from shapes, and have no values of their own.
    """

    name: str
    model: nn.Module
    inputs: Any
    spec: NetworkSpec | None = None
    shaped: bool = False


def count_loaded(loaded: LoadedModel, *, train: bool = False) -> Count:
    """Count a loaded model, its backward pass, too, with `train`.

    Raises:
        CostError: for a model that does not run on its inputs: its own error's last line, and where it happened.
    """
    with in_a_sentence(loaded.name):
        return count(loaded.model, loaded.inputs, train=train)


@contextmanager
def in_a_sentence(name: str) -> Iterator[None]:
    """Turn what a model raises into one sentence.

    Raises:
        CostError: with the model's own error's last line, and where it happened.
    """
    try:
        yield
    except CostError:
        raise
    except Exception as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        place = " ".join(getattr(error, "__notes__", ()))
        message = f"{name} does not run on these inputs: {type(error).__name__}: {last}"
        raise CostError(f"{message} ({place})" if place else message) from error
