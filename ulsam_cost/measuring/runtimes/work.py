"""Models exported into a folder, and what a runtime's processes do with them there."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from math import isfinite
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from torch import Tensor, nn

from ulsam_cost.counting.count import count
from ulsam_cost.errors import CostError, first_line
from ulsam_cost.measuring.runner import Setting, copied, prepare
from ulsam_cost.measuring.runtimes.calibration import Calibration, fitting, random_calibration
from ulsam_cost.measuring.runtimes.check import largest_difference
from ulsam_cost.measuring.runtimes.files import ModelFolder
from ulsam_cost.measuring.runtimes.process import KeptProcesses, messages_of
from ulsam_cost.measuring.runtimes.runtime import Runtime
from ulsam_cost.tensors import Arguments, batch_size, mapped, tensors_of

ROUNDED = ("float16", "bfloat16")
REFERENCE = Setting(device=torch.device("cpu"), dtype=torch.float32)


@dataclass(frozen=True, slots=True)
class Work:
    """A folder with a folder a model in it, and the job that the runtime's processes have there.

    `processes` are those that stay for the next job; None starts one for each.
    """

    folder: Path
    runtime: Runtime
    job: Mapping[str, Any]
    processes: KeptProcesses | None = None

    def messages(self, **job: Any) -> Iterator[dict[str, Any]]:
        """What a process tells that does the job."""
        hear = self.processes.messages_of if self.processes else messages_of
        with closing(hear(self.runtime.title, {"folder": str(self.folder), **self.job, **job})) as messages:
            yield from messages

    def export(self, name: str, model: nn.Module, inputs: Any, shared: Path) -> "ModelFiles":
        """Write the files of a model's copy, its inputs, and PyTorch's outputs for them; `shared` as in `Runtime`.

        It is exported with the same values in another order, so that a value that the exporter took for a constant
        shows in the outputs.

        Raises:
            CostError: if the model does not run, returns what cannot be compared, or cannot be exported.
        """
        results, place = _results(model, inputs, REFERENCE), ModelFolder(self.folder / name)
        _require_comparable(name, results)
        copy, args, kwargs = copied(model, inputs, REFERENCE)
        rmtree(place.path, ignore_errors=True)
        place.files.mkdir(parents=True)
        place.write("inputs", _arrays(args, kwargs))
        outputs = _arrays(results)
        place.write("outputs", outputs)
        place.write("own_difference", [_own_difference(model, inputs, self.job["dtype"], outputs)])
        counted = count(copy, Arguments(args, kwargs))
        args, kwargs = mapped((args, kwargs), _in_another_order)
        with _exporting(f"the {name} cannot be exported to {self.runtime.title}"):
            self.runtime.export(copy, args, kwargs, place.files, self.job["dtype"], shared)
        facts = {"counted_macs": counted.macs if counted.complete else None, "batch": batch_size(args, kwargs)}
        place.note(facts | {"calibration": None})
        return ModelFiles(self, name)

    def calibrate(self, name: str, inputs: Any, given: Calibration | None) -> None:
        """Put given data, or random ones shaped like its inputs, beside a model's files."""
        data, place = given or random_calibration(inputs), ModelFolder(self.folder / name)
        place.write_samples([_arrays(sample) for sample in fitting(data, inputs)])
        place.note(place.facts | {"calibration": data.name})

    def quantize(self, name: str) -> None:
        """Make a model's files int8, by the data beside them."""
        for _ in self.messages(task="quantize", models=[name]):
            pass


@dataclass(frozen=True)
class ModelFiles:
    """An exported model; what is known of its files is found when it is asked for, once."""

    work: Work
    name: str

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What was known when they were written: `counted_macs`, `batch`, `calibration`."""
        return self._place.facts

    @property
    def file_bytes(self) -> int:
        """Their size."""
        return self._place.file_bytes

    @cached_property
    def macs(self) -> int | None:
        """The multiply-accumulates of their graph; None where they are not known."""
        return self.work.runtime.macs(self._place.files)

    @cached_property
    def resident_bytes(self) -> int | None:
        """The peak memory of a process that loads them and runs them once, over what it had before."""
        [message] = self.work.messages(task="memory", models=[self.name], threads=1)
        found: int | None = message["resident_bytes"]
        return found

    @property
    def _place(self) -> ModelFolder:
        return ModelFolder(self.work.folder / self.name)


def _arrays(*values: Any) -> list[Any]:
    """The tensors in values as arrays, floats in float32."""
    return [
        (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy() for tensor in tensors_of(*values)
    ]


def _results(model: nn.Module, inputs: Any, setting: Setting) -> Any:
    """What a copy returns in its first run: a model may change its buffers, and an export begins with those found.

    Raises:
        CostError: if the model does not run.
    """
    prepare(model, inputs, setting)
    copy, args, kwargs = copied(model, inputs, setting)
    with torch.no_grad():
        return copy(*args, **kwargs)


def _require_comparable(name: str, results: Any) -> None:
    tensors = list(tensors_of(results))
    if not tensors:
        raise CostError(f"the {name} returns no tensor: a model that returns one is accepted")
    if any(tensor.is_complex() for tensor in tensors):
        raise CostError(f"the {name} returns complex numbers, and only real ones can be compared between runtimes")


def _own_difference(model: nn.Module, inputs: Any, dtype: str, outputs: list[Any]) -> float:
    """By how much PyTorch's outputs in a number format differ from those in float32; 0 where it is not known."""
    if dtype not in ROUNDED:
        return 0.0
    try:
        rounded = _results(model, inputs, replace(REFERENCE, dtype=getattr(torch, dtype)))
    except CostError:  # PyTorch may lack a kernel that the runtime has
        return 0.0
    own = largest_difference(_arrays(rounded), outputs)
    return own if isfinite(own) else 0.0


def _in_another_order(tensor: Tensor) -> Tensor:
    return tensor.flatten().flip(0).reshape(tensor.shape) if tensor.is_floating_point() else tensor


@contextmanager
def _exporting(what: str) -> Iterator[None]:
    """Keep an exporter quiet, and turn what it raises into one sentence, by the first of its causes."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    except (Exception, SystemExit) as error:
        if isinstance(error, CostError | MemoryError):
            raise
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise CostError(f"{what}: {type(cause).__name__}: {first_line(cause)}") from error
    finally:
        logging.disable(before)
