"""What is looked up of a model before it is counted: the names of its modules, and their state."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_COMPILED = "_orig_mod"  # the name under which torch.compile keeps the module that it wraps


class ModelIndex:
    """The modules of a model with their paths, each once, under the first of its names."""

    def __init__(self, model: nn.Module) -> None:
        self.modules: list[tuple[str, nn.Module]] = []
        self.names: dict[int, tuple[str, str]] = {}  # module -> its path, and its torch.nn class if it is a leaf
        self._walk("", model)

    def _walk(self, path: str, module: nn.Module) -> None:
        self.modules.append((path, module))
        self.names[id(module)] = path, leaf_class(module)
        for name, child in module._modules.items():
            if child is not None and id(child) not in self.names:
                below = path if name == _COMPILED else f"{path}.{name}" if path else name
                self._walk(below, child)

    def parameters(self) -> Iterator[tuple[str, Any]]:
        """Every parameter as often as a module has it, with the module's path."""
        for path, module in self.modules:
            for parameter in module._parameters.values():
                if parameter is not None:
                    yield path, parameter

    def states(self) -> list[dict[str, Any]]:
        """The dicts that hold the modules' attributes; a script keeps its own where Python does not reach."""
        script = torch.jit.ScriptModule
        return [module.__dict__ for _, module in self.modules if not isinstance(module, script)]


def leaf_class(module: nn.Module) -> str:
    """The class of a torch.nn module without children, else empty: a subclass of one is not one."""
    kind = type(module)
    return kind.__name__ if not module._modules and kind.__module__.startswith("torch.nn.") else ""
