"""An ONNX file as a MODEL of the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ulsam_cost.counting.count import Count
from ulsam_cost.counting.given import GivenInput
from ulsam_cost.counting.modules import ModuleLabel
from ulsam_cost.counting.onnx.count import count_graph
from ulsam_cost.counting.onnx.graph import Graph, read_graph
from ulsam_cost.counting.onnx.shapes import Shape
from ulsam_cost.errors import CostError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFile:
    """The graph of a file."""

    name: str
    graph: Graph
    spec: None = None

    @property
    def classes(self) -> dict[str, str]:
        """The class of each module by its path, as far as the file says it."""
        return dict(self.graph.classes)

    @property
    def labels(self) -> dict[str, ModuleLabel]:
        """The modules by their paths, with the parameters that are named after them, as PyTorch's exporter does."""
        own: dict[str, list[Shape]] = {}
        for name in self.graph.parameters:
            own.setdefault(name.rpartition(".")[0], []).append(self.graph.shapes[name])
        return {path: ModuleLabel(kind, tuple(own.get(path, ()))) for path, kind in self.graph.classes.items()}

    @property
    def params_split(self) -> dict[str, int]:
        """The parameters: a file does not say which of them train."""
        return {"in the file": sum(self.graph.parameters.values())}

    def count(self, *, train: bool = False) -> Count:
        """Count the graph.

        Raises:
            CostError: for `train`.
        """
        if train:
            raise CostError(f"{self.name} is an ONNX file, which has no backward pass: a module is accepted")
        return count_graph(self.graph)


def load_file(path: str, inputs: Sequence[GivenInput], *, name: str) -> LoadedFile:
    """Load an ONNX file; arguments and errors as in `read_graph`."""
    return LoadedFile(name=name, graph=read_graph(Path(path), inputs))
