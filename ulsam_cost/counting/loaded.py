"""A loaded model counted for a command: what it raises itself is one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from ulsam_cost.counting.count import Count, count
from ulsam_cost.counting.modules import ModuleLabel, module_classes, module_labels, split_params
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import NetworkSpec


class Loaded(Protocol):
    """What can be counted: a module with its inputs, or a file."""

    @property
    def name(self) -> str:
        """The text that named it."""
        ...

    @property
    def spec(self) -> NetworkSpec | None:
        """The spec of a network of this project without insertions."""
        ...

    @property
    def classes(self) -> dict[str, str]:
        """The class of each module by its path."""
        ...

    @property
    def labels(self) -> dict[str, ModuleLabel]:
        """What tells its modules apart, by their paths."""
        ...

    @property
    def params_split(self) -> dict[str, int]:
        """Its parameters by what they are."""
        ...

    def count(self, *, train: bool = False) -> Count:
        """Count it, its backward pass, too, with `train`."""
        ...


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

    @property
    def classes(self) -> dict[str, str]:
        """The class of each submodule by its path."""
        return module_classes(self.model)

    @property
    def labels(self) -> dict[str, ModuleLabel]:
        """What tells the submodules apart, by their paths."""
        return module_labels(self.model)

    @property
    def params_split(self) -> dict[str, int]:
        """The parameters by whether they train."""
        return split_params(self.model)

    def count(self, *, train: bool = False) -> Count:
        """Count the model, its backward pass, too, with `train`."""
        return count(self.model, self.inputs, train=train)


def count_loaded(loaded: Loaded, *, train: bool = False) -> Count:
    """Count a loaded model, its backward pass, too, with `train`.

    Raises:
        CostError: for a model that does not run on its inputs: its own error's last line, and where it happened.
    """
    with in_a_sentence(loaded.name):
        return loaded.count(train=train)


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
        place = "; ".join(getattr(error, "__notes__", ()))
        message = f"{name} does not run on these inputs: {type(error).__name__}: {last}"
        raise CostError(f"{message} ({place})" if place else message) from error
