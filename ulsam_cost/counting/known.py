"""Tensors of a run whose values are known: small inputs, constants that the run makes, what is computed from these.

They are real tensors on the CPU. So PyTorch itself computes with them, follows what is written to them and to views of
them, and reads them. Where one meets a tensor without values, a meta tensor stands for it; once that, or the tensor,
is written to, none that shares its memory is known any more.
"""

import copy
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.tensors import is_plain, tensors_of
from ulsam_cost.torch_private import storage_key, transforms, without_dispatch

MOST_KNOWN = 2**20  # elements of a tensor that is computed
MOST_INDICES = 2**16  # elements of an input of whole numbers
MOST_CONSTANT = 2**12  # elements of any other input, and of a tensor of the model's
MOST_IN_ALL = 2**24  # elements that a run computes
INDICES = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})


class KnownTensors:
    """Knows the tensors that have values, by what they share memory with."""

    def __init__(self) -> None:
        self._memory: dict[int, int] = {}  # tensor -> what it shares with its views
        self._kept: list[Tensor] = []  # ids stay unique while their tensors live
        self._forgotten: set[int] = set()
        self._given: set[int] = set()
        self._on_cpu: set[int] = set()
        self._stand_ins: dict[int, list[Tensor]] = {}
        self._room = MOST_IN_ALL

    def __contains__(self, tensor: int) -> bool:
        """Whether the tensor of this id is, or was, known."""
        return tensor in self._memory

    def has(self, tensor: Tensor) -> bool:
        """Whether the values of a tensor are known."""
        memory = self._memory.get(id(tensor))
        if memory is None or memory in self._forgotten:
            return False
        if any(stand_in._version for stand_in in self._stand_ins.get(memory, ())):
            self._forgotten.add(memory)
            return False
        return True

    def keep(self, tensor: Tensor, *, given: bool = False) -> None:
        """Remember a real tensor, and whether it comes from the inputs."""
        memory = self._memory.get(id(tensor))
        if memory is None:
            memory = self._memory[id(tensor)] = _memory_of(tensor)
            self._kept.append(tensor)
            self._room -= tensor.numel()
        if given:
            self._given.add(memory)

    def have_room_for(self, *elements: int) -> bool:
        """Whether results of these sizes are kept with their values."""
        return all(size <= min(MOST_KNOWN, self._room) for size in elements)

    def are_given(self, *values: Any) -> bool:
        """Whether a tensor among the values comes from the inputs."""
        return bool(self._given) and any(self._memory.get(id(tensor)) in self._given for tensor in tensors_of(*values))

    def keep_on_cpu(self, tensor: Tensor) -> None:
        """Remember a tensor that is on the CPU wherever the model is: the sizes of a packed sequence."""
        self.keep(tensor)
        self._on_cpu.add(self._memory[id(tensor)])

    def is_on_cpu(self, tensor: Tensor) -> bool:
        """Whether a tensor is on the CPU wherever the model is."""
        return self._memory.get(id(tensor)) in self._on_cpu

    def forget(self, tensor: Tensor) -> None:
        """Forget the values of a tensor and of all that share its memory."""
        memory = self._memory.get(id(tensor))
        if memory is not None:
            self._forgotten.add(memory)

    def stands_for(self, stand_in: Tensor, tensor: Tensor) -> None:
        """A meta tensor is given to functions in place of a known one, which may write to it."""
        self._stand_ins.setdefault(self._memory[id(tensor)], []).append(stand_in)


def may_be_known(tensor: Tensor) -> bool:
    """Whether an input is small enough, and has values that a run may look at."""
    if tensor.is_meta or type(tensor) is not Tensor or tensor.requires_grad:
        return False
    most = MOST_INDICES if tensor.dtype in INDICES else MOST_CONSTANT
    return is_plain(tensor) and tensor.numel() <= most and not tensor.is_quantized


def copied(tensor: Tensor, copies: dict[int, Any]) -> Tensor:
    """A copy on the CPU; what shares memory with others does so afterwards, too."""
    with without_dispatch(), torch.inference_mode(False):
        own = tensor.detach().cpu()
        if own.untyped_storage().nbytes() > MOST_KNOWN * tensor.element_size():  # a part of something large
            return own.clone()
        found: Tensor = copy.deepcopy(own, copies)
        return found


def _memory_of(tensor: Tensor) -> int:
    if transforms.is_functorch_wrapped_tensor(tensor) or tensor.layout is not torch.strided:
        return id(tensor)
    return storage_key(tensor.untyped_storage())
