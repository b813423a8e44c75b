"""The times of models, by whichever runtime: PyTorch here, any other in a process of its own on exported files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from ulsam_cost.counting.preserve import preserves_state
from ulsam_cost.errors import CostError
from ulsam_cost.measuring.busy import Load
from ulsam_cost.measuring.device import DTYPES, INT8, dtype_name
from ulsam_cost.measuring.layers import LayerTiming
from ulsam_cost.measuring.rounds import Effort, Progress
from ulsam_cost.measuring.runner import Setting
from ulsam_cost.measuring.runtimes.calibration import Calibration
from ulsam_cost.measuring.runtimes.exported import Agreement, Exported, ExportedModel
from ulsam_cost.measuring.runtimes.files import BASELINE, NETWORK
from ulsam_cost.measuring.runtimes.process import KeptProcesses
from ulsam_cost.measuring.runtimes.profiled import profiled_layers
from ulsam_cost.measuring.runtimes.registry import get_runtime, require_installed, version_of
from ulsam_cost.measuring.runtimes.runtime import NodeTime, Profiled
from ulsam_cost.measuring.runtimes.work import ModelFiles, Work
from ulsam_cost.measuring.samples import Timing
from ulsam_cost.measuring.timing import (
    InterruptedMeasurement,
    ModelTiming,
    PairTiming,
    measure_alone,
    measure_in_turn,
)
from ulsam_cost.tensors import tensors_of


def measure_models(
    baseline: nn.Module | None,
    model: nn.Module,
    inputs: Any,
    *,
    setting: Setting,
    baseline_inputs: Any = None,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> ModelTiming | PairTiming:
    """Time a model, alone or in turn with its baseline, in the setting's runtime; arguments as in `measure_in_turn`.

    Raises:
        CostError: as in `measure`; for a runtime that is not installed, has no such number format, cannot be exported
            to, lacks an operator, gives other outputs than PyTorch, or dies.
        InterruptedMeasurement: on an interrupt, with what had been measured.
    """
    effort = effort or Effort()
    if not setting.in_torch:
        models = (
            {} if baseline is None else {BASELINE: (baseline, inputs if baseline_inputs is None else baseline_inputs)}
        )
        return _measure_exported(models | {NETWORK: (model, inputs)}, setting, effort, progress or (lambda share: None))
    if setting.dtype is not None and dtype_name(setting.dtype) not in DTYPES:
        raise CostError(
            f"the runtime torch measures {', '.join(DTYPES)}, not {dtype_name(setting.dtype)}: "
            "choose another runtime, such as onnxruntime"
        )
    if baseline is None:
        return measure_alone(model, inputs, setting=setting, effort=effort, progress=progress)
    return measure_in_turn(
        baseline, model, inputs, setting=setting, baseline_inputs=baseline_inputs, effort=effort, progress=progress
    )


@dataclass(slots=True)
class _Heard:
    """What a runtime's process has told so far."""

    times: list[list[float]] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    agreements: dict[str, Agreement] = field(default_factory=dict)
    load: Load | None = None

    def add(self, message: Mapping[str, Any]) -> None:
        if "model" in message:
            self.agreements[message["model"]] = Agreement(**message["agreement"])
        self.settings = message.get("settings", self.settings)
        for number, column in enumerate(message.get("times", ())):
            if number == len(self.times):
                self.times.append([])
            self.times[number] += column
        if message.get("load"):
            self.load = Load(**message["load"])


class Exports:
    """Models exported for one runtime and number format into a folder, which may be measured several times.

    Args:
        folder: an empty folder of the caller's.
        runtime: the name of one that is not PyTorch.
        dtype: a number format that it has.
        calibration: what int8 is calibrated with; None draws random data.
        measures_memory: whether a process is started for the peak memory of each model.
        processes: those that stay for the next job; None starts one for each.

    Raises:
        CostError: for a runtime that is not installed, and for a number format that it does not have.
    """

    def __init__(
        self,
        folder: Path,
        runtime: str,
        dtype: str,
        *,
        calibration: Calibration | None = None,
        measures_memory: bool = True,
        processes: KeptProcesses | None = None,
    ) -> None:
        self._runtime, self._dtype, self._calibration = get_runtime(runtime), dtype, calibration
        require_installed(self._runtime)
        if dtype not in self._runtime.dtypes:
            accepted = ", ".join(self._runtime.dtypes)
            raise CostError(f"{self._runtime.title} has no {dtype} on this device: {accepted} are accepted")
        self._measures_memory = measures_memory
        self._work = Work(folder, self._runtime, {"runtime": runtime, "dtype": dtype}, processes)
        self._files: dict[str, ModelFiles] = {}

    def add(self, name: str, model: nn.Module, inputs: Any, shared: Path) -> None:
        """Export a model under a name, in place of the one that had it; `shared` as in `Runtime`.

        For int8, `quantize` has to follow before it is measured.

        Raises:
            CostError: if it cannot be exported.
        """
        self._files.pop(name, None)
        self._files[name] = preserves_state(self._work.export)(name, model, inputs, shared)
        if self._dtype == INT8:
            self._work.calibrate(name, inputs, self._calibration)

    def take(self, name: str, folder: Path) -> None:
        """Have a model that another process exported into that folder under a name, in place of the one that had it."""
        link = self._work.folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(folder, target_is_directory=True)
        self._files[name] = ModelFiles(self._work, name)

    def quantize(self, name: str) -> None:
        """Make the files of a model int8 where that is the number format.

        Raises:
            CostError: if the runtime does not quantize it.
        """
        if self._dtype == INT8:
            self._work.quantize(name)

    def layers(self, setting: Setting, effort: Effort, progress: Progress) -> LayerTiming:
        """Time the network's modules; errors as in `measure_models`."""
        job = {"models": [NETWORK], "threads": setting.threads_used, "effort": asdict(effort)}
        rounds, plain = [], []
        for message in self._work.messages(task="layers", **job):
            progress(message["share"])
            plain.append(message["plain_ms"])
            nodes = [NodeTime(**node) for node in message["profiled"]["nodes"]]
            rounds.append(Profiled(nodes=nodes, ms=message["profiled"]["ms"]))
        return profiled_layers(rounds, plain)

    def measure(self, setting: Setting, effort: Effort, progress: Progress) -> ModelTiming | PairTiming:
        """Time the network, in turn with its baseline where there is one; errors as in `measure_models`."""
        heard = _Heard()
        job = {"models": list(self._files), "threads": setting.threads_used, "effort": asdict(effort)}

        def result() -> ModelTiming | PairTiming:
            timings = [Timing(times_ms=tuple(column)) for column in heard.times]
            exported = Exported(
                version=version_of(self._runtime),
                settings=heard.settings,
                calibration=self._files[NETWORK].facts["calibration"],
                **{name: self._model(name, heard.agreements[name]) for name in self._files},
            )
            timed = ModelTiming(
                setting=setting,
                batch=self._files[NETWORK].facts["batch"],
                dtype=getattr(torch, self._dtype),
                network=timings[-1],
                load=heard.load,
                exported=exported,
            )
            return timed if len(timings) == 1 else timed.beside(timings[0])

        try:
            for message in self._work.messages(task="measure", **job):
                heard.add(message)
                progress(message.get("share", 0.0))
        except KeyboardInterrupt:
            if not heard.times:
                raise
            raise InterruptedMeasurement(result()) from None
        return result()

    def _model(self, name: str, agreement: Agreement) -> ExportedModel:
        files = self._files[name]
        return ExportedModel(
            file_bytes=files.file_bytes,
            resident_bytes=files.resident_bytes if self._measures_memory else None,
            macs=files.macs,
            counted_macs=files.facts["counted_macs"],
            agreement=agreement,
        )


@preserves_state
def measure_exported_layers(
    model: nn.Module, inputs: Any, *, setting: Setting, effort: Effort, progress: Progress
) -> LayerTiming:
    """Time a model's modules by the profiler of the setting's runtime; errors as in `measure_models`."""
    with _exported({NETWORK: (model, inputs)}, setting) as exports:
        return exports.layers(setting, effort, progress)


def _measure_exported(
    models: Mapping[str, tuple[nn.Module, Any]], setting: Setting, effort: Effort, progress: Progress
) -> ModelTiming | PairTiming:
    with _exported(models, setting) as exports:
        return exports.measure(setting, effort, progress)


@contextmanager
def _exported(models: Mapping[str, tuple[nn.Module, Any]], setting: Setting) -> Iterator[Exports]:
    """The models exported for a while."""
    dtype = dtype_name(setting.dtype or _own_dtype(*models[NETWORK]))
    with TemporaryDirectory(prefix="ulsam-cost-", ignore_cleanup_errors=True) as name:
        exports = Exports(Path(name), setting.runtime, dtype, calibration=setting.calibration)
        for each, pair in models.items():
            with TemporaryDirectory() as shared:
                exports.add(each, *pair, Path(shared))
            exports.quantize(each)
        yield exports


def _own_dtype(model: nn.Module, inputs: Any) -> torch.dtype:
    floats = (each for each in (*model.parameters(), *tensors_of(inputs)) if each.is_floating_point())
    return next((each.dtype for each in floats), torch.float32)
