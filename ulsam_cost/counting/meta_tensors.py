"""Which tensors stand for which: meta tensors for real ones, views of parameters, constants of the run."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.cost import is_under
from ulsam_cost.counting.known import MOST_CONSTANT, KnownTensors, copied, may_be_known
from ulsam_cost.counting.model_index import ModelIndex
from ulsam_cost.counting.twin import Twins
from ulsam_cost.tensors import SPARSE_LAYOUTS, is_plain, mapped, stored_elements, tensors_of
from ulsam_cost.torch_private import current_transform, outside_transforms, transforms, without_dispatch

META, CPU = torch.device("meta"), torch.device("cpu")
NO_TENSOR = None, None


class NeedsValuesError(RuntimeError):
    """The run asks for values, which no meta tensor has."""


class MetaTensors:
    """Keeps every real tensor out of the run, knows the parameters, and gives each to whoever claims it first."""

    def __init__(self, index: ModelIndex, twins: Twins, *, gradients: bool = False) -> None:
        self.follows_gradients = gradients
        self._made: dict[int, Tensor] = {}
        self._own_values: dict[int, Tensor] = {}
        self._known = KnownTensors()
        self.last: tuple[Tensor | None, Any] = NO_TENSOR  # that was made, and its kind
        self.computes = False  # whether the function that runs has no operand without values
        self._device = _device_of(parameter for _, parameter in index.parameters.values())
        self._kept: list[Tensor] = []  # ids stay unique while their tensors live
        self._indexed, self._memo = index.parameters, twins.memo
        self._unclaimed = dict(index.parameters)
        self._packed = dict(index.packed)
        # By the id of a tensor that of the parameter that it is, stands for or views.
        self.parameters = self._parameter_of = twins.parameters

    def is_parameter(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter of the model, its meta tensor, or a view of one."""
        return id(tensor) in self._parameter_of

    def parameter_of(self, tensor: Any) -> int | None:
        """The id of the parameter that a tensor is, stands for or views."""
        return self._parameter_of.get(id(tensor))

    def charge(self, parameter: int | None) -> int:
        """The size of the parameter of this id, if nothing was charged for it."""
        found = self._unclaimed.pop(parameter, None)  # type: ignore[arg-type]
        return 0 if found is None else stored_elements(found[1])

    def charge_params(self, tensors: Iterable[Any], path: str) -> int:
        """The number of parameters among these that nothing was charged for; packed ones are those of the path."""
        total = 0
        for tensor in tensors:
            parameter = self._parameter_of.get(id(tensor))
            if parameter is not None:
                total += self.charge(parameter)
            elif self._packed and isinstance(tensor, torch.ScriptObject):
                total += sum(self._packed.pop(own) for own in list(self._packed) if is_under(own, path))
        return total

    def leaves(self, inputs: Any) -> list[Tensor]:
        """The tensors of the run to which a backward pass gives gradients: parameters, and inputs that want them."""
        own = [self._memo[key] for key in self._indexed if key in self._memo]
        found = {id(tensor): tensor for tensor in (*own, *tensors_of(inputs))}
        # Code that is not Python, such as a scripted module's, takes them as they are: then both stand for them.
        both = (*found.values(), *(self._made[key] for key in found if key in self._made))
        return [tensor for tensor in both if tensor.requires_grad and tensor.is_leaf]

    def unclaimed(self) -> list[tuple[str, int]]:
        """The paths and sizes of the parameters that nothing has used."""
        parameters = [(path, stored_elements(parameter)) for path, parameter in self._unclaimed.values()]
        return [*parameters, *self._packed.items()]

    def alias(self, tensor: Any, views: Any) -> None:
        """Remember that views of a parameter are that parameter."""
        parameter = self._parameter_of.get(id(tensor))
        if parameter is not None:
            for view in tensors_of(views):
                self._parameter_of[id(view)] = parameter
                self._kept.append(view)

    @property
    def known(self) -> KnownTensors:
        """The tensors of the run that have values."""
        return self._known

    def is_untouched(self, tensor: Any) -> bool:
        """Whether a tensor still has the values with which the run began, or which the run gave it as a constant."""
        if id(tensor) in self._known:
            return self._known.has(tensor)
        return not tensor.is_meta and id(tensor) not in self._made

    def are_known(self, *values: Any) -> bool:
        """Whether all tensors among the values have values: those of the run, and small ones of the model's."""
        return all(map(self._is_known, tensors_of(*values)))

    def are_of_the_run(self, tensors: Iterable[Tensor]) -> bool:
        """Whether none of these is the model's own, which is not written to."""
        return all(id(tensor) in self._known for tensor in tensors)

    def _is_known(self, tensor: Tensor) -> bool:
        if tensor.is_meta:
            return False
        key = id(tensor)
        if key in self._known:
            return self._known.has(tensor)
        if key in self._made or key in self._parameter_of or _runs_itself(tensor):
            return False
        return tensor.numel() <= MOST_CONSTANT

    def has_own_values(self, tensor: Tensor) -> bool:
        """Whether a tensor of the model's was computed with, and so may have changed, in a copy."""
        return id(tensor) in self._own_values

    def with_own_values(self, value: Any) -> Any:
        """The value with a copy for every tensor of the model's that is about to be computed with, and so changed."""
        return mapped(value, self._with_own_values)

    def _with_own_values(self, tensor: Tensor) -> Tensor:
        if tensor.is_meta or id(tensor) in self._known:
            return tensor
        own = self._own_values.get(id(tensor))
        if own is None:
            with without_dispatch():
                own = self._own_values[id(tensor)] = tensor.detach().clone()
            self._kept.append(tensor)
            self._known.keep(own)
        return own

    def of_inputs(self, value: Any) -> Any:
        """The inputs as the run sees them: on the meta device, save small ones of a model that cannot really run."""
        if self._device != META:
            self._device = _device_of(tensors_of(value), self._device)
        if self._device != META:
            return self.on_meta(value)
        copies: dict[int, Any] = {}
        return mapped(value, lambda tensor: self._of_input(tensor, copies))

    def _of_input(self, tensor: Tensor, copies: dict[int, Any]) -> Tensor:
        if not may_be_known(tensor) or self.is_parameter(tensor):
            return self._on_meta(tensor)
        own: Tensor | None = copies.get(id(tensor))
        if own is None:
            own = copies[id(tensor)] = copied(tensor, copies)
            self._known.keep(own, given=True)
        return own

    def with_known_results(self, results: Any, *, given: bool) -> Any:
        """The results of an operation on known tensors, on the meta device where they are too large to be kept."""

        def kept(tensor: Tensor) -> Tensor:
            if tensor.is_meta or (id(tensor) not in self._known and not self._known.have_room_for(tensor.numel())):
                return self._on_meta(tensor)
            self._known.keep(tensor, given=given)
            return tensor

        return mapped(results, kept)

    def blank(self, tensor: Tensor, *, of_its_shape: bool) -> Tensor | None:
        """A known tensor for one of which only shape and dtype are asked, None where it is too large."""
        if not of_its_shape:
            found = torch.empty(0, dtype=tensor.dtype)
        elif is_plain(tensor) and self._known.have_room_for(tensor.numel()):
            found = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
        else:
            return None
        self._known.keep(found)
        return found

    def device_of(self, tensor: Tensor) -> torch.device:
        """The device on which a tensor would be if the caller's model ran where it is, with the caller's inputs."""
        own = tensor.device
        if self._known.is_on_cpu(tensor):
            return own
        is_callers = not tensor.is_meta and id(tensor) not in self._known
        return own if is_callers and self._device != META else self._device

    def as_it_runs(self, device: Any, tensor: Tensor | None = None) -> Any:
        """A device that a function is given, as it is in the run, if the model or this tensor is there.

        There a tensor without values is on the meta device, and what has values on the CPU.
        """
        place = self._device if tensor is None else self.device_of(tensor)
        if place == META or not isinstance(device, str | torch.device):
            return device
        given = torch.device(device)
        if given.type != place.type or given.index not in (None, place.index):
            return device
        return CPU if tensor is None or self._known.has(tensor) else META

    def on_meta_unless_known(self, value: Any) -> Any:
        """The value with a meta tensor for every real tensor whose values are not known."""
        return mapped(value, lambda tensor: tensor if self._known.has(tensor) else self._on_meta(tensor))

    def on_meta_save_numbers(self, value: Any) -> Any:
        """The value with a meta tensor for every real tensor but known numbers: a tensor may stand for a size."""
        return mapped(value, self._on_meta_save_number)

    def _on_meta_save_number(self, tensor: Tensor) -> Tensor:
        if tensor.is_meta:
            return tensor
        return tensor if not tensor.dim() and self._known.has(tensor) else self._meta(tensor)

    def on_meta(self, value: Any) -> Any:
        """The value with a meta tensor for every real tensor in plain tuples, lists and dicts."""
        return mapped(value, self._on_meta)

    def _on_meta(self, tensor: Tensor) -> Tensor:
        return tensor if tensor.is_meta else self._meta(tensor)

    def _meta(self, tensor: Tensor) -> Tensor:
        if transforms.is_functorch_wrapped_tensor(tensor):
            return self._wrapped(tensor)
        if tensor.layout in SPARSE_LAYOUTS:
            raise NeedsValuesError("the elements that a sparse tensor stores are not known on the meta device")
        found = self._made.get(id(tensor))
        if found is None:
            outside = nullcontext() if current_transform() is None else outside_transforms()
            with without_dispatch(), torch.inference_mode(False), outside:
                found = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
            if self.follows_gradients and tensor.requires_grad:
                found.requires_grad_()
            self._kept.append(tensor)
            self._made[id(tensor)] = found
            if id(tensor) in self._known:
                self._known.stands_for(found, tensor)
            if self.is_parameter(tensor):
                self._parameter_of[id(found)] = self._parameter_of[id(tensor)]
        return found

    def _wrapped(self, tensor: Tensor) -> Tensor:
        """A meta tensor under the same transform, such as vmap, which hides a dimension of the tensor."""
        inner, level = self.on_meta(transforms.get_unwrapped(tensor)), transforms.maybe_get_level(tensor)
        if transforms.is_batchedtensor(tensor):
            found: Tensor = transforms._add_batch_dim(inner, transforms.maybe_get_bdim(tensor), level)
        elif transforms.is_gradtrackingtensor(tensor):
            found = transforms._wrap_for_grad(inner, level)
        else:
            raise NotImplementedError("this transform of torch.func does not run on meta tensors")
        self._kept.append(found)
        if self.is_parameter(inner):
            self._parameter_of[id(found)] = self._parameter_of[id(inner)]
        return found


def _device_of(tensors: Iterable[Tensor], default: torch.device = CPU) -> torch.device:
    """The device of the first of these tensors, the meta device where one is there."""
    devices = [tensor.device for tensor in tensors]
    return META if META in devices else devices[0] if devices else default


def _runs_itself(tensor: Tensor) -> bool:
    """Whether a class of its own runs what is done to a tensor, such as a jagged one, which has no memory itself."""
    return type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__
