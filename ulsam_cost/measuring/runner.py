"""A model made ready to be run again and again, on a copy: the caller's model is left as it is."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ulsam_cost.counting.twin import Twins, copy_of
from ulsam_cost.errors import CostError, DeviceError, UnknownNameError, require_size
from ulsam_cost.measuring.allocator import KEEP, freed_memory, resolve_allocator
from ulsam_cost.measuring.device import dtype_name, refusal, refusals_in_a_sentence, resolve_device, resolve_dtype
from ulsam_cost.measuring.runtimes.calibration import Calibration
from ulsam_cost.measuring.runtimes.registry import TORCH, require_runtime
from ulsam_cost.tensors import as_arguments, batch_size, how_to_wrap, mapped, tensors_of
from ulsam_cost.torch_private import COMPILER_MODULES

COMPILED, CAPTURED = ("compile", "compile-graph"), ("graph", "compile-graph")
MODES = ("eager", "graph", "compile", "compile-graph")
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
GRAPH_WARM_UP_RUNS = 3

Run = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a model is run: where, in which number format and memory format, through what, forward only or a step.

    `dtype` None leaves the model's own. A step is a forward pass in training mode, a backward pass from the sum
    of the outputs, and SGD at rate 0, so that every step computes the same. `allocator` says what becomes of the
    memory that a run has freed. `runtime` runs the model; the mode and the allocator are those of PyTorch. `threads`
    is how many run it on a CPU; None leaves PyTorch's number. `calibration` is what int8 is calibrated with; None
    draws random data.
    """

    device: torch.device
    dtype: torch.dtype | None = None
    memory_format: str = "contiguous"
    mode: str = "eager"
    train: bool = False
    allocator: str = KEEP
    runtime: str = TORCH
    threads: int | None = None
    calibration: Calibration | None = None

    @property
    def in_torch(self) -> bool:
        """Whether PyTorch itself runs the model."""
        return self.runtime == TORCH

    @property
    def threads_used(self) -> int:
        """How many threads run the model, as far as the CPU is concerned."""
        if self.device.type != "cpu":
            return 1
        return self.threads or torch.get_num_threads()

    def __str__(self) -> str:
        dtype = dtype_name(self.dtype) if self.dtype else "the model's dtype"
        how = self.mode if self.in_torch else self.runtime
        return f"{how}, {dtype}, {self.memory_format}, {'step' if self.train else 'forward'}"

    def to_dict(self, *, batch: int, dtype: torch.dtype | None) -> dict[str, Any]:
        """The JSON of how so many inputs at once ran, in the number format that it came to."""
        return {
            "device": str(self.device),
            "batch": batch,
            "dtype": dtype_name(dtype) if dtype else None,
            "memory_format": self.memory_format,
            "mode": self.mode if self.in_torch else None,
            "train": self.train,
            "allocator": self.allocator if self.in_torch else None,
            "runtime": self.runtime,
            "threads": self.threads_used if self.device.type == "cpu" else None,
        }


def make_setting(
    *,
    device: str | torch.device = "auto",
    dtype: str | None = None,
    memory_format: str = "contiguous",
    mode: str = "eager",
    train: bool = False,
    allocator: str | None = None,
    runtime: str = TORCH,
    threads: int | None = None,
    calibration: Calibration | None = None,
) -> Setting:
    """A checked Setting.

    Raises:
        UnknownNameError: for a dtype, mode, memory format, allocator or runtime that does not exist.
        DeviceError: for a device or allocator that this machine lacks, a CUDA graph without CUDA, and a runtime for
            which PyTorch alone is accepted.
        SizeError: for threads that are not a positive whole number.
    """
    require_runtime(runtime)
    if threads is not None:
        require_size("threads", threads)
    in_torch = runtime == TORCH
    place = resolve_device("cpu" if str(device) == "auto" and not in_torch else str(device))
    if not in_torch:
        _require_torch(
            runtime,
            {
                f"device {place}": place.type != "cpu",
                f"mode {mode!r}": mode != MODES[0],
                f"memory format {memory_format!r}": memory_format != "contiguous",
                "train": train,
            },
        )
    if mode not in MODES:
        raise UnknownNameError.among("mode", mode, MODES)
    if memory_format not in MEMORY_FORMATS:
        raise UnknownNameError.among("memory format", memory_format, MEMORY_FORMATS)
    if mode in CAPTURED and place.type != "cuda":
        raise DeviceError(f"mode {mode!r} is a CUDA graph, and the device is {place}: eager and compile are accepted")
    number_format = resolve_dtype(dtype) if dtype else None
    return Setting(
        device=place,
        dtype=number_format,
        memory_format=memory_format,
        mode=mode,
        train=train,
        allocator=resolve_allocator(allocator, place),
        runtime=runtime,
        threads=threads,
        calibration=calibration,
    )


def _require_torch(runtime: str, asked: Mapping[str, bool]) -> None:
    for what, is_asked in asked.items():
        if is_asked:
            raise DeviceError(f"{what} with runtime {runtime!r}: it is accepted with {TORCH!r} alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A model's copy on its device, with its inputs, and a function that runs it once."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run: Run

    @property
    def batch(self) -> int:
        """Length of the first input's first dimension; 1 where there is none."""
        return batch_size(self.args, self.kwargs)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the first floating-point parameter, or else input."""
        floats = (t for t in (*self.model.parameters(), *tensors_of(self.args, self.kwargs)) if t.is_floating_point())
        return next((tensor.dtype for tensor in floats), torch.get_default_dtype())


def prepare(model: nn.Module, inputs: Any, setting: Setting) -> Ready:
    """Copy a model to its device, and run it once.

    Args:
        model: left as found.
        inputs: a tuple of positional arguments, a dict of keyword arguments, or the only argument.
        setting: how the copy is run.

    Raises:
        CostError: if the model cannot be copied, or raises an error of its own, which is chained.
        DeviceError: if the device has not the memory, the number format or the compiler.
    """
    with refusals_in_a_sentence(setting.device, str(setting)):
        copy, placed, named = copied(model, inputs, setting)
        run = _step(copy, placed, named, setting) if setting.train else _forward(copy, placed, named, setting)
        with on_device(setting.device):
            run = _first_run(run, setting, lambda: how_to_wrap(copy.forward, placed, named))
    return Ready(model=copy, args=placed, kwargs=named, run=run)


def copied(model: nn.Module, inputs: Any, setting: Setting) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """Copies of a model and its arguments on their device, before any run; arguments as in `prepare`.

    Raises:
        CostError: if the model cannot be copied.
    """
    try:
        copy, args, kwargs = Twins(copy_of).of((model, *as_arguments(inputs)))
    except (RuntimeError, TypeError) as error:
        raise CostError(f"the model cannot be copied, and only a copy is measured: {error}") from error
    copy.train(setting.train).to(device=setting.device, memory_format=MEMORY_FORMATS[setting.memory_format])
    if setting.dtype is not None:
        copy.to(dtype=setting.dtype)
    return copy, _placed(args, setting), _placed(kwargs, setting)


def _first_run(run: Run, setting: Setting, way_out: Callable[[], str]) -> Run:
    """Run once, as a CUDA graph where one is meant; what the model itself raises is chained to one sentence."""
    try:
        run = _capture(run, setting.device) if setting.mode in CAPTURED else run
        run()
        synchronize(setting.device)
    except (Exception, SystemExit) as error:
        if isinstance(error, CostError | MemoryError) or (isinstance(error, Exception) and refusal(error)):
            raise
        last = (str(error).strip().splitlines() or [""])[-1]
        said = f" ({way_out()})" if isinstance(error, TypeError) and way_out() else ""
        raise CostError(f"the model does not run on these inputs: {type(error).__name__}: {last}{said}") from error
    return run


def forget_compiled() -> None:
    """Drop what torch.compile made for models before: it keeps few versions of a function, and then gives up."""
    if COMPILER_MODULES[0] in sys.modules:  # else nothing was compiled, and resetting would import the compiler
        torch.compiler.reset()


def synchronize(device: torch.device) -> None:
    """Wait for the device; the CPU is never behind."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Make a CUDA device the current one for a while."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            yield
    else:
        yield


@contextmanager
def in_force(setting: Setting) -> Iterator[None]:
    """Make the setting's device the current one, its allocator's way the system's, and its threads PyTorch's."""
    before = torch.get_num_threads()
    with on_device(setting.device), freed_memory(setting.allocator, setting.device):
        torch.set_num_threads(setting.threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _placed(value: Any, setting: Setting) -> Any:
    def place(tensor: Tensor) -> Tensor:
        dtype = setting.dtype if tensor.is_floating_point() else None
        layout = MEMORY_FORMATS[setting.memory_format] if tensor.dim() == 4 else torch.preserve_format
        return tensor.detach().to(device=setting.device, dtype=dtype or tensor.dtype, memory_format=layout)

    return mapped(value, place)


def _forward(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting) -> Run:
    function = torch.compile(model, dynamic=False) if setting.mode in COMPILED else model

    def forward() -> object:
        with torch.no_grad():
            return function(*args, **kwargs)

    return forward


def _step(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting) -> Run:
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learned:
        raise CostError("the model has no parameter to train: leave out --train")
    optimizer = torch.optim.SGD(learned, lr=0.0)
    function = torch.compile(model, dynamic=False) if setting.mode in COMPILED else model

    def step() -> object:
        optimizer.zero_grad(set_to_none=True)
        outputs = [out.sum() for out in tensors_of(function(*args, **kwargs)) if out.requires_grad]
        torch.stack([out.float() for out in outputs]).sum().backward()
        optimizer.step()
        return None

    return step


def _capture(run: Run, device: torch.device) -> Run:
    """Record a run as a CUDA graph, after warming it up on a side stream as PyTorch asks."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(GRAPH_WARM_UP_RUNS):
            run()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def calibrate_batch_norm(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Give every batch norm the statistics of these inputs, and return the model in eval mode.

    Freshly drawn networks shrink their activations from layer to layer until float16 holds nothing but zeros, and
    zeros draw less power than numbers.
    """
    norms = [module for module in model.modules() if isinstance(module, BATCH_NORMS)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()
