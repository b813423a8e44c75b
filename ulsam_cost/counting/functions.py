"""Which functions of PyTorch are told apart where a model calls them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ulsam_cost.torch_private import pack_sequence, pad_sequence

# Functions that read values: a tensor that nothing has written to may be asked.
READERS = frozenset(
    {
        Tensor.item,
        Tensor.tolist,
        Tensor.numpy,
        Tensor.__array__,
        Tensor.__bool__,
        Tensor.__int__,
        Tensor.__float__,
        Tensor.__index__,
        Tensor.__contains__,
    }
)
# Functions after which the work is another library's, and is not seen.
NUMPY: tuple[Any, ...] = (Tensor.numpy, Tensor.__array__)
EXITS = frozenset(NUMPY)
# Functions whose plain names tools give to others: nn.functional's, or the operators * and + and @.
SPELLINGS = {
    torch.mul: "torch.mul",
    torch.add: "torch.add",
    Tensor.matmul: "@",
    F.threshold: "threshold",  # whose own name begins with an underscore
    torch.relu: "torch.relu",
    Tensor.relu: "torch.relu",
    torch.linalg.vecdot: "vecdot",
    torch.softmax: "torch.softmax",
    Tensor.softmax: "torch.softmax",
}
# Functions of a tensor's shape.
PLAIN_PROPERTIES = ("shape", "ndim", "dtype", "layout", "requires_grad", "is_leaf", "itemsize")
PLAIN = frozenset(
    {
        *(Tensor.dim, Tensor.size, Tensor.numel, Tensor.ndimension, Tensor.stride, Tensor.is_contiguous),
        *(Tensor.is_floating_point, Tensor.is_complex, Tensor.element_size, Tensor.__len__),
        *(getattr(Tensor, name).__get__ for name in PLAIN_PROPERTIES),
    }
)
_UNNUMBERED = frozenset({"cpu", "meta"})


def _is_on(kind: str) -> Callable[[torch.device], bool]:
    return lambda device: device.type == kind


def _number_of(device: torch.device) -> int:
    return -1 if device.type in _UNNUMBERED else device.index


# What says where a tensor is: what each makes of the device.
WHERE: dict[Any, Callable[[torch.device], Any]] = {
    Tensor.device.__get__: lambda device: device,
    **dict.fromkeys((Tensor.get_device, torch.get_device), _number_of),
    **{getattr(Tensor, f"is_{kind}").__get__: _is_on(kind) for kind in ("cpu", "cuda", "meta", "mps", "xpu", "xla")},
}
MOVES = frozenset({Tensor.to, Tensor.cpu, Tensor.cuda})
NO_OPTIONS: dict[str, Any] = {}
INDICES = frozenset({int, type(None), type(...)})
# Functions that give a view of their first operand, and those that do so where it lies in memory in order.
VIEWS = frozenset(
    {
        Tensor.view,
        Tensor.transpose,
        torch.transpose,
        Tensor.permute,
        torch.permute,
        Tensor.unsqueeze,
        torch.unsqueeze,
        Tensor.squeeze,
        torch.squeeze,
        Tensor.expand,
        Tensor.chunk,
        torch.chunk,
        Tensor.split,
        torch.split,
        Tensor.unbind,
        torch.unbind,
        Tensor.detach,
    }
)
VIEWS_IF_IN_ORDER = frozenset({Tensor.flatten, torch.flatten, Tensor.reshape, torch.reshape, Tensor.contiguous})
# Functions that look at the values of some operands, and those that look at nothing but the shape of one.
LOOKS = frozenset(
    {
        *(Tensor.__getitem__, Tensor.masked_select, torch.masked_select),
        *(Tensor.repeat_interleave, torch.repeat_interleave, pack_sequence, pad_sequence),
        *(Tensor.to, Tensor.type_as, Tensor.expand_as, Tensor.view_as, Tensor.reshape_as),
    }
)
RECURRENT = frozenset({torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu})
# Functions that take a tensor for its dtype, and whether for its shape, too.
FILLED = {
    **dict.fromkeys((torch.zeros_like, torch.ones_like, torch.full_like), True),
    **dict.fromkeys((Tensor.new_zeros, Tensor.new_ones, Tensor.new_full), False),
}
# Functions written in Python whose pieces are recorded one by one.
OPEN = frozenset({F.multi_head_attention_forward, torch.autograd.grad})


def plain_name(function: Any) -> str:
    """The name that tools give to a function."""
    return SPELLINGS.get(function) or str(getattr(function, "__name__", function))
