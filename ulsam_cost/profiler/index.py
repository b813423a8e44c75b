"""What is looked up of a model before it is counted: the names of its modules, and the tables that hold its state."""

from collections.abc import Iterator
from typing import Any

from torch import nn

_COMPILED = "_orig_mod"  # the name under which torch.compile keeps the module that it wraps
_TABLES = ("_parameters", "_buffers", "_modules")


class ModelIndex:
    """The modules of a model with their paths, each once, under the first of its names."""

    def __init__(self, model: nn.Module) -> None:
        self.modules: list[tuple[str, nn.Module]] = []
        self._seen: set[int] = set()
        self._walk("", model)
        self.names = {id(module): (clean_path(path), leaf_class(module)) for path, module in self.modules}

    def _walk(self, path: str, module: nn.Module) -> None:
        self._seen.add(id(module))
        self.modules.append((path, module))
        for name, child in module._modules.items():
            if child is not None and id(child) not in self._seen:
                self._walk(f"{path}.{name}" if path else name, child)

    def parameters(self) -> Iterator[tuple[str, Any]]:
        """Every parameter as often as a module has it, with the module's path."""
        for path, module in self.modules:
            for parameter in module._parameters.values():
                if parameter is not None:
                    yield path, parameter

    def tables(self) -> list[dict[str, Any]]:
        """The dicts that hold the modules' attributes, parameters, buffers and submodules."""
        states = [module.__dict__ for _, module in self.modules]
        return states + [table for state in states for name in _TABLES if isinstance(table := state.get(name), dict)]


def clean_path(path: str) -> str:
    """A module's path without the names that torch.compile puts in."""
    return ".".join(name for name in path.split(".") if name != _COMPILED) if _COMPILED in path else path


def leaf_class(module: nn.Module) -> str:
    """The class of a torch.nn module without children, else empty: a subclass of one is not one."""
    kind = type(module)
    return kind.__name__ if not module._modules and kind.__module__.startswith("torch.nn.") else ""
