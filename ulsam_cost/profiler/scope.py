"""Which submodule is running: two hooks on all modules, heard in one thread only, and always removed."""

import threading
from types import TracebackType
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


class Scope:
    """While entered, `path` is the name of the submodule that runs, `module` its torch.nn class if it is a leaf.

    A module that stands in the model under several names goes by its first; one that does not stand in the
    model goes by the path of its caller.
    """

    def __init__(self, model: nn.Module) -> None:
        self.path = self.module = ""
        self._names = {id(module): (name, _leaf_class(module)) for name, module in model.named_modules()}
        self._stack: list[tuple[str, str]] = []
        self._thread = threading.get_ident()

    def __enter__(self) -> "Scope":
        self._handles = (
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        if threading.get_ident() == self._thread:
            self._stack.append((self.path, self.module))
            self.path, self.module = self._names.get(id(module)) or (self.path, _leaf_class(module))

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() == self._thread:
            self.path, self.module = self._stack.pop()


def _leaf_class(module: nn.Module) -> str:
    kind = type(module)
    is_leaf = kind.__module__.startswith("torch.nn.") and not module._modules
    return kind.__name__ if is_leaf else ""
