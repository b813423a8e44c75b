"""What is looked up of a model before it is counted: the names of its modules, and its parameters."""

from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ulsam_cost.cost import LAYERS_OF_PARTS
from ulsam_cost.counting.packed import packed_parameters
from ulsam_cost.errors import CostError
from ulsam_cost.torch_private import COMPILED_BODY, MODULES, PARAMETERS

_Parameter = nn.Parameter
_SHARDED = frozenset({"FSDPModule", "FullyShardedDataParallel"})  # by name: importing them takes long


class ModelIndex:
    """The modules of a model with their paths, each once, under the first of its names, and its parameters.

    Raises:
        CostError: for a module whose parameters have no shape yet, and for one that is sharded by FSDP.
    """

    def __init__(self, model: nn.Module, *, packed: bool = False) -> None:
        self.names: dict[int, tuple[str, str]] = {}  # module -> its path, and its torch.nn class if it is a layer
        self.parameters: dict[int, tuple[str, Tensor]] = {}  # each with the path of the first module that has it
        self._kinds: set[type] = set()
        self._walk("", model)
        # Packed parameters of quantized layers by path, which only run for real, so that only then they are looked up.
        self.packed: dict[str, int] = {}
        for path, content in packed_parameters(model) if packed else ():
            self.packed[path] = self.packed.get(path, 0) + content.elements

    def _walk(self, path: str, module: nn.Module) -> None:
        names, state = self.names, module.__dict__
        if MODULES not in state:  # a scripted module has its tables elsewhere
            state = {name: getattr(module, name) for name in (MODULES, PARAMETERS)}
        parts, own = state[MODULES], state[PARAMETERS]
        kind = type(module)
        if kind not in self._kinds:
            self._add_kind(kind)
        names[id(module)] = path, _layer_name(kind, parts)
        if own:
            self._add_parameters(path, own)
        for name, child in parts.items():
            if child is not None and id(child) not in names:
                self._walk(path if name == COMPILED_BODY else f"{path}.{name}" if path else name, child)

    def _add_kind(self, kind: type) -> None:
        # The hooks of a sharded module gather its parameters into memory that a twin would share with it.
        if any(base.__name__ in _SHARDED for base in kind.__mro__):
            raise CostError("the model is sharded by FSDP: the model before it is sharded is accepted")
        self._kinds.add(kind)

    def _add_parameters(self, path: str, own: Any) -> None:
        found = self.parameters
        for parameter in own.values():
            if parameter is not None and id(parameter) not in found:
                if type(parameter) is not _Parameter and is_lazy(parameter):
                    raise CostError(f"module {path!r} has parameters without a shape: run it once before it is counted")
                found[id(parameter)] = path, parameter


def layer_class(module: nn.Module) -> str:
    """The class of a torch.nn module that computes something itself, else empty: a subclass of one is not one."""
    return _layer_name(type(module), getattr(module, MODULES))


def _layer_name(kind: type, parts: Any) -> str:
    is_layer = kind.__module__.startswith("torch.nn.") and (not parts or kind.__name__ in LAYERS_OF_PARTS)
    return kind.__name__ if is_layer else ""
