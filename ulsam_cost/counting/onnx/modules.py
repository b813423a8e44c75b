"""Which modules the nodes of an exported file come from, also under the names that a runtime gives them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from ulsam_cost.counting.onnx.graph import scopes_of

Modules = tuple[str, ...]  # paths, in the order in which they run
_ADDED = re.compile(r"(_token_\d+|[_/][A-Za-z][^\W_]*)$")  # what runtimes append: relu_1_nchwc, conv/WithoutBiases


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedNode:
    """A node, and the modules that it computes; none where the file does not say them.

    A convolution that a batch norm was folded into is of two modules: that of its weight, and the norm.
    """

    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    modules: Modules


def exported_nodes(file: Path) -> list[ExportedNode]:
    """The nodes of a file of PyTorch's exporter, in their order, but for constants."""
    graph = onnx.load(file, load_external_data=False).graph
    return [
        ExportedNode(name=node.name, inputs=node.input, outputs=node.output, modules=_modules(node))
        for node in graph.node
        if node.op_type != "Constant"
    ]


def _modules(node: onnx.NodeProto) -> Modules:
    # parameters have their paths for names, other values have names without a dot
    owners = [name.rpartition(".")[0] for name in node.input if "." in name]
    return tuple(dict.fromkeys([*owners, *scopes_of(node)[0][-1:]]))


def modules_by_name(nodes: Iterable[ExportedNode]) -> dict[str, Modules]:
    """The modules of nodes, by their names and by those of their outputs."""
    return {name: node.modules for node in nodes if node.modules for name in (*node.outputs, node.name)}


def known_name(name: str, known: Iterable[str] | Mapping[str, object]) -> str | None:
    """The known name that another begins with, if the rest of it is what a runtime appends."""
    name = name.removeprefix("fused ")  # as ONNX Runtime begins the names of products with their activation
    while name not in known:
        shorter = _ADDED.sub("", name)
        if shorter == name:
            return None
        name = shorter
    return name


def modules_of_run(nodes: Sequence[ExportedNode], names: Iterable[str]) -> dict[str, Modules]:
    """The modules behind the names of what a runtime ran.

    A node that did not run under a name of its own was fused into the node that takes its output, or else into the
    one that gives its input.
    """
    at = {name: index for index, node in enumerate(nodes) for name in (*node.outputs, node.name)}
    ran = {name: at[known] for name in names if (known := known_name(name, at)) is not None}
    runs: dict[int, str] = {}
    for name, index in ran.items():
        runs.setdefault(index, name)
    takers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for value in node.inputs:
            takers.setdefault(value, index)
    for index in reversed(range(len(nodes))):
        _fuse(index, [takers.get(value) for value in nodes[index].outputs], runs)
    for index, node in enumerate(nodes):
        _fuse(index, [at.get(value) for value in node.inputs], runs)
    found: dict[str, list[str]] = {name: [] for name in ran}
    for index in sorted(runs):
        found[runs[index]] += nodes[index].modules
    return {name: tuple(dict.fromkeys(found[name])) or nodes[index].modules for name, index in ran.items()}


def _fuse(index: int, neighbours: Iterable[int | None], runs: dict[int, str]) -> None:
    """Let a node that has none run under the name of the first neighbour that has one."""
    name = next((runs[each] for each in neighbours if each in runs), None)
    if name is not None:
        runs.setdefault(index, name)
