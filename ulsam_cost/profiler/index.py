"""What is looked up of a model before it is counted: the names of its modules, its parameters, its state."""

from typing import Any

import torch
from torch import Tensor, nn

_COMPILED = "_orig_mod"  # the name under which torch.compile keeps the module that it wraps
State = dict[str, Any]


class ModelIndex:
    """The modules of a model with their paths, each once, under the first of its names.

    `parameters` has every parameter as often as a module has it, with the module's path; `leaf_states` and `states`
    the dicts that hold the attributes of torch.nn's leaves without hooks, and of all other modules but scripts.
    """

    def __init__(self, model: nn.Module) -> None:
        self.names: dict[int, tuple[str, str]] = {}  # module -> its path, and its torch.nn class if it is a leaf
        self.parameters: list[tuple[str, Tensor]] = []
        self.leaf_states: list[State] = []
        self.states: list[State] = []
        self._walk("", model)

    def _walk(self, path: str, module: nn.Module) -> None:
        leaf = leaf_class(module)
        self.names[id(module)] = path, leaf
        for parameter in module._parameters.values():
            if parameter is not None:
                self.parameters.append((path, parameter))
        if leaf and not module._forward_pre_hooks and not module._forward_hooks:
            self.leaf_states.append(module.__dict__)
            return
        if not isinstance(module, torch.jit.ScriptModule):
            self.states.append(module.__dict__)
        for name, child in module._modules.items():
            if child is not None and id(child) not in self.names:
                below = path if name == _COMPILED else f"{path}.{name}" if path else name
                self._walk(below, child)


def leaf_class(module: nn.Module) -> str:
    """The class of a torch.nn module without children, else empty: a subclass of one is not one."""
    kind = type(module)
    return kind.__name__ if kind.__module__.startswith("torch.nn.") and not module._modules else ""
