"""How much memory a run takes, measured, and the least that its operations need.

Everything is over the weights and the inputs, which are there before the run begins.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from ulsam_cost.counting.preserve import preserve_state, preserves_state
from ulsam_cost.counting.twin import Twins, meta_of
from ulsam_cost.errors import DeviceError
from ulsam_cost.measuring.allocator import give_back
from ulsam_cost.measuring.device import refusals_in_a_sentence
from ulsam_cost.measuring.resident import resident_peak
from ulsam_cost.measuring.runner import Setting, on_device, prepare, synchronize
from ulsam_cost.tensors import as_arguments, mapped, tensors_of
from ulsam_cost.torch_private import TorchDispatchMode, storage_key

LABELS = {
    "weights_bytes": "parameters and buffers",
    "inputs_bytes": "what the model is called with",
    "bound_bytes": "least for the activations: the largest set that is alive at one operation (derived)",
    "peak_bytes": "peak that PyTorch's allocator handed out, over weights and inputs",
    "reserved_bytes": "peak that the caching allocator held of the device, weights and inputs among it",
    "resident_bytes": "peak of the process's resident memory, over what it was before the run",
}
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of one run; None for what this device or system does not tell. LABELS says what each is."""

    weights_bytes: int
    inputs_bytes: int
    bound_bytes: int | None
    peak_bytes: int | None
    reserved_bytes: int | None = None
    resident_bytes: int | None = None

    def to_dict(self) -> dict[str, int | None]:
        """The JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSet:
    """The largest set of live activations: its bytes, and the operation at which it is alive."""

    bytes: int
    operator: str


@preserves_state
def measure_memory(model: nn.Module, inputs: Any, *, setting: Setting) -> Memory:
    """Measure the memory of one run after another has warmed up; a CUDA graph is measured as the run that it holds.

    Raises:
        CostError: as in `prepare`.
    """
    direct = {"graph": "eager", "compile-graph": "compile"}.get(setting.mode, setting.mode)
    ready = prepare(model, inputs, replace(setting, mode=direct))
    weights = _bytes(ready.model.parameters()) + _bytes(ready.model.buffers())
    operands = _bytes(tensors_of(ready.args, ready.kwargs))
    live = largest_live_set(ready.model, ready.args, ready.kwargs, train=setting.train)
    bound = live.bytes if live else None
    ready.model.zero_grad(set_to_none=True)  # the warm-up's gradients are not weights
    with refusals_in_a_sentence(setting.device, str(setting)), on_device(setting.device):
        if setting.device.type == "cuda":
            peak, reserved = _cuda_peaks(ready.run, setting.device)
            return Memory(
                weights_bytes=weights,
                inputs_bytes=operands,
                bound_bytes=bound,
                peak_bytes=peak,
                reserved_bytes=reserved,
            )
        gc.collect()
        give_back()  # what was freed and kept would hide the run in it
        resident = resident_peak(ready.run)
        ready.model.zero_grad(set_to_none=True)
        return Memory(
            weights_bytes=weights,
            inputs_bytes=operands,
            bound_bytes=bound,
            peak_bytes=_allocated_peak(ready.run),
            resident_bytes=resident,
        )


def require_memory_for(model: nn.Module, inputs: Any, setting: Setting) -> None:
    """Refuse a run on the CPU whose activations alone are more than the memory that is free.

    A CUDA device refuses by itself; a Linux system kills the process instead.

    Args:
        model: what would run.
        inputs: of the shapes with which it would run, on the meta device.
        setting: how it would run.

    Raises:
        DeviceError: with both numbers.
    """
    if setting.device.type != "cpu":
        return
    args, kwargs = as_arguments(inputs)
    live, free = largest_live_set(model, args, kwargs, train=setting.train, dtype=setting.dtype), free_memory()
    if live is not None and live.bytes > free:
        raise DeviceError(
            f"the batch does not fit into the memory of cpu: its activations take {live.bytes:,} bytes and "
            f"{free:,} are free; a smaller batch is accepted"
        )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _cuda_peaks(run: Any, device: torch.device) -> tuple[int, int]:
    gc.collect()
    synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before, torch.cuda.max_memory_reserved(device)


def _allocated_peak(run: Any) -> int:
    """The peak of what PyTorch's CPU allocator handed out during a run, as its profiler saw each block come and go."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = (int(event.nbytes()) for event in sorted(events, key=lambda event: event.start_ns()))
    return max(accumulate(changes, initial=0))


def free_memory() -> int:
    """What the system has free, or what is left of the container's share if that is less."""
    free: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or one without a limit; psutil knows of none
        limit, used = (int((_CGROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        free = min(free, limit - used)
    return free


def largest_live_set(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    train: bool = False,
    dtype: torch.dtype | None = None,
) -> LiveSet | None:
    """The largest set of activations that is alive at one operation, from the order in which a run calls them.

    Assumes that the operations run in that order and one by one, each with its operands and its results in memory
    at once, that a result is freed right after the last operation that reads it, and that nothing is fused,
    computed twice or rounded up, and no kernel needs room of its own. What the model hands back lives to the end;
    in a step, the gradients live until the optimizer has read them.

    Returns:
        None where the model cannot run without data.
    """
    try:
        with preserve_state(Twins(meta_of), (model, args, kwargs or {})) as (twin, own_args, own_kwargs):
            twin.to(dtype=dtype).train(train)
            placed, named = _in_dtype(own_args, dtype), _in_dtype(own_kwargs, dtype)
            lifetimes = _Lifetimes((*twin.parameters(), *twin.buffers(), *tensors_of(placed, named)))
            with torch.set_grad_enabled(train), lifetimes:
                outputs = twin(*placed, **named)
                if train:
                    sums = [out.sum().float() for out in tensors_of(outputs) if out.requires_grad]
                    torch.stack(sums).sum().backward()
                    learned = [parameter for parameter in twin.parameters() if parameter.grad is not None]
                    torch.optim.SGD(learned, lr=0.0).step()
        if not train:
            lifetimes.keep_to_the_end(outputs)
    except (RuntimeError, NotImplementedError, TypeError):
        return None
    return lifetimes.largest()


def _in_dtype(value: Any, dtype: torch.dtype | None) -> Any:
    return mapped(value, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)


@dataclass(slots=True, kw_only=True)
class _Life:
    """From which operation to which a block of memory is in use, by their numbers."""

    bytes: int
    born: int
    last_used: int


class _Lifetimes(TorchDispatchMode):
    """Sees every operation, and notes when each block of memory is first written and last read."""

    def __init__(self, there_before: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operators: list[str] = []
        self._lives: dict[int, _Life] = {}
        self._kept = [tensor.untyped_storage() for tensor in there_before]  # ids stay unique while they live
        self._there_before = {storage_key(storage) for storage in self._kept}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._operators.append(func.overloadpacket.__name__)
        for tensor in self._blocks(args, kwargs or {}, out):
            self._use(tensor.untyped_storage())
        return out

    def keep_to_the_end(self, outputs: Any) -> None:
        """The caller holds what the model handed back."""
        for tensor in tensors_of(outputs):
            self._use(tensor.untyped_storage())

    def _blocks(self, *values: Any) -> Iterator[Tensor]:
        return (tensor for tensor in tensors_of(*values) if tensor.is_meta)

    def _use(self, storage: Any) -> None:
        now, key = len(self._operators) - 1, storage_key(storage)
        if key in self._there_before:
            return
        if key not in self._lives:
            self._lives[key] = _Life(bytes=storage.nbytes(), born=now, last_used=now)
            self._kept.append(storage)
        self._lives[key].last_used = now

    def largest(self) -> LiveSet:
        """The operation at which the most bytes are alive."""
        change = [0] * (len(self._operators) + 1)
        for life in self._lives.values():
            change[life.born] += life.bytes
            change[life.last_used + 1] -= life.bytes
        alive = list(accumulate(change))
        most = max(range(len(alive)), key=alive.__getitem__)
        operator = self._operators[most] if most < len(self._operators) else ""
        return LiveSet(bytes=alive[most], operator=operator)
