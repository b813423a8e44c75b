"""Every private name of PyTorch that this package uses, each with the reason why no public one serves.

`tests/test_torch_private.py` holds that each exists and does what is relied on here.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket
from torch.nn.modules import module as _module
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = (  # what stands here under its own name
    "HigherOrderOperator",
    "OpOverload",
    "OpOverloadPacket",
    "TorchDispatchMode",
)

# Operators have no public type, and rules are told from other callables, and from operators that run functions.
# TorchDispatchMode is documented (torch.utils.flop_counter builds on it) but has no public home.

# The tables of a module: named_parameters() and the like walk submodules and skip what stands there twice, and copies
# of a module need its tables of hooks, too.
PARAMETERS, BUFFERS, MODULES = "_parameters", "_buffers", "_modules"
FORWARD_HOOKS, FORWARD_PRE_HOOKS = "_forward_hooks", "_forward_pre_hooks"
NON_PERSISTENT = "_non_persistent_buffers_set"

# Where nn.Module.__call__ looks for a compiled call: the one place in which the calls of all modules can be heard
# without touching each class.
COMPILED_CALL = "_compiled_call_impl"
# What nn.Module.__call__ does where there is none.
call_uncompiled = nn.Module._call_impl
# The name under which torch.compile keeps the module that it wraps.
COMPILED_BODY = "_orig_mod"
# What torch.compile raises comes from these; the first is loaded once something was compiled.
COMPILER_MODULES = ("torch._dynamo", "torch._inductor")

# flex_attention refuses the meta device, and gradients on a CPU, by the first of these, and compiles itself unless the
# second is set.
FLEX_MODULE = "torch.nn.attention.flex_attention"
FLEX_CHECK, FLEX_UNCOMPILED = "_validate_device", "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"

# The function of torch.utils.checkpoint that says what a tensor is like, before and after it is made again.
CHECKPOINTED = "_default_meta_extractor"

# The tables of the hooks of all modules; PyTorch 2.6 has no function that says whether there are any.
_HOOKS_OF_ALL = tuple(f"_global_{when}_hooks" for when in ("forward_pre", "forward", "backward_pre", "backward"))

# Inside of a mode, what it does itself must not come back to it, nor to another mode of the caller's.
without_dispatch = torch._C._DisableTorchDispatch
without_functions = torch._C.DisableTorchFunction

# A parameter of any class on the memory of another tensor: the constructors of subclasses take other arguments.
as_subclass = torch.Tensor._make_subclass

# What torch.nn.utils.rnn calls to pack sequences and to undo that; they look at lengths.
pack_sequence, pad_sequence = torch._pack_padded_sequence, torch._pad_packed_sequence
# A public function under a private name, which models call with what is not a tensor.
assert_function = torch._assert
# The module of those methods of tensors that are written in Python.
TENSOR_METHODS = "torch._tensor"

# Under torch.func's transforms tensors hide dimensions, and a meta tensor is made inside of the wrapping.
transforms = torch._C._functorch
current_transform = transforms.maybe_current_level

# Which operation of the forward pass an operation of the backward pass belongs to.
current_autograd_node = torch._C._current_autograd_node
next_sequence_number = torch._C._autograd._get_sequence_nr


def has_global_hooks() -> bool:
    """Whether hooks of all modules would run: a leaf is not answered in place of its call then."""
    return any(getattr(_module, name) for name in _HOOKS_OF_ALL)


def sequence_number(node: Any) -> int:
    """The number that autograd gave to the operation of a node."""
    number: int = node._sequence_nr()
    return number


def outside_transforms() -> Any:
    """A context in which a new tensor belongs to no transform of torch.func's."""
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    return temporarily_clear_interpreter_stack()


def schema_of(operator: Any) -> Any:
    """An operator's schema: which arguments it writes to."""
    return operator._schema


def qualified_name(packet: Any) -> str:
    """An operator's name with its library's, such as `aten::mm`: str() writes it as Python."""
    name: str = packet._qualified_op_name
    return name


def storage_key(storage: torch.UntypedStorage) -> int:
    """What is the same for all views of a storage, also on the meta device, where all addresses are 0."""
    key: int = storage._cdata
    return key


def stored_values(tensor: Tensor) -> Tensor:
    """The values of a sparse COO tensor, which values() refuses while their places may stand there twice."""
    values: Tensor = tensor._values()
    return values
