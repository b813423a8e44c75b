"""A sweep of measurements: batches, number formats and modes, a row each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import nn

from ulsam_cost.counting.count import count
from ulsam_cost.counting.loaded import LoadedModel
from ulsam_cost.counting.loading import Inserted, load_inserted, load_model
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import LayerCost, NetworkSpec, layer_parts
from ulsam_cost.formulas.networks.text import names_spec, spec_from_text
from ulsam_cost.measuring.device import machine_state, refusals_in_a_sentence, resolve_device
from ulsam_cost.measuring.energy import Energy, energy_counter, measure_energy
from ulsam_cost.measuring.layer_times import LayerTimes, layer_times, under_roof
from ulsam_cost.measuring.layers import KernelTime, attribute_kernels, measure_layers, require_hooks
from ulsam_cost.measuring.memory import Memory, measure_memory, require_memory_for
from ulsam_cost.measuring.roofline import device_roof
from ulsam_cost.measuring.rounds import Effort, Progress
from ulsam_cost.measuring.runner import MODES, Setting, calibrate_batch_norm, make_setting
from ulsam_cost.measuring.runtimes.calibration import Calibration
from ulsam_cost.measuring.runtimes.measured import measure_exported_layers, measure_models
from ulsam_cost.measuring.runtimes.registry import TORCH, require_profiler
from ulsam_cost.measuring.timing import InterruptedMeasurement, ModelTiming, PairTiming
from ulsam_cost.nn.networks import build_network
from ulsam_cost.tensors import batch_size, first_tensor, mapped

SETTLING_BATCH = 2
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredModel:
    """What is measured: its name, how to make it, and its numbered layers if it has any.

    `inputs` gives the inputs of a batch on the CPU, or their shapes on the meta device; `example_batch` is the batch
    that it was given with.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int, str], Any]
    layers: tuple[LayerCost, ...] = ()
    example_batch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is measured beside the latency."""

    memory: bool = False
    layers: bool = False
    roofline: bool = False
    recalibrate: bool = False
    kernels: bool = False
    energy: bool = False

    @property
    def hooks(self) -> bool:
        """Whether any of it needs the model's modules to be hooked."""
        return self.layers or self.roofline or self.kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row of a sweep: how many inputs at once, and how the models are run."""

    batch: int
    setting: Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured of a case; None for what was not asked for, or not reached before an error."""

    case: Case
    latency: ModelTiming | PairTiming | None = None
    memory: Memory | None = None
    layers: LayerTimes | None = None
    kernels: tuple[KernelTime, ...] | None = None
    energy: Energy | None = None
    error: str | None = None

    @property
    def batch(self) -> int:
        """How many inputs ran at once."""
        return self.latency.batch if self.latency else self.case.batch

    @property
    def dtype(self) -> torch.dtype | None:
        """The number format in which the model ran; None where it would have been the model's own."""
        return self.latency.dtype if self.latency else self.case.setting.dtype

    def to_dict(self) -> dict[str, Any]:
        """The JSON of a row."""
        if self.latency is None:
            latency = self.case.setting.to_dict(batch=self.batch, dtype=self.dtype)
            latency |= dict.fromkeys(("network", "baseline", "ratio", "verdict", "busy", "exported"))
        else:
            latency = self.latency.to_dict()
        return {
            **latency,
            "memory": self.memory and self.memory.to_dict(),
            "layers": self.layers and self.layers.to_dict(),
            "kernels": None if self.kernels is None else [asdict(kernel) for kernel in self.kernels],
            "energy": self.energy and self.energy.to_dict(),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What a sweep has measured so far: of which model, beside which, on which machine, one row per case."""

    model: str
    baseline: str | None
    machine: Mapping[str, Any]
    rows: tuple[Measurement, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `measure`."""
        return {
            "model": self.model,
            "baseline": self.baseline,
            "machine": self.machine,
            "rows": [row.to_dict() for row in self.rows],
        }


def measured_network(spec: NetworkSpec) -> MeasuredModel:
    """A network of the registry, its norms settled on random inputs."""
    inputs = partial(random_inputs, spec.input_shape[1:])
    return MeasuredModel(
        name=network_name(spec),
        build=lambda: calibrate_batch_norm(build_network(spec), inputs(SETTLING_BATCH)),
        inputs=inputs,
        layers=layer_parts(spec),
        example_batch=spec.batch,
    )


def network_name(spec: NetworkSpec) -> str:
    """A network and what is not plain in it, in a few words."""
    where = str(spec.placement) if spec.placement else spec.sites or "its sites"
    parts = [f"{spec.network} {spec.variant}".strip(), f"x{spec.width:g}"]
    if spec.attention != spec.plain().attention:
        parts.append(f"with {spec.attention} at {where}")
    if spec.connection:
        parts.append(f"with {spec.connection}")
    return " ".join(parts)


def measured_model(text: str, *, inputs: Sequence[str] = (), otherwise: Sequence[str] = ()) -> MeasuredModel:
    """A network with its options in one text, or anybody's model; arguments and errors as in `load_model`."""
    if names_spec(text) and not inputs:
        return measured_network(spec_from_text(text))
    loaded = load_model(text, inputs=inputs, otherwise=otherwise, device="cpu")
    return measured_loaded(loaded, settled=loaded.spec is None)


def measured_loaded(loaded: LoadedModel, *, settled: bool = True) -> MeasuredModel:
    """A model that is loaded already; one that is not `settled` has its norms settled on random inputs."""
    example = _filled(loaded.inputs) if loaded.shaped else loaded.inputs
    inputs = partial(batch_of, example)

    def build() -> nn.Module:
        return loaded.model if settled else calibrate_batch_norm(loaded.model, first_tensor(inputs(SETTLING_BATCH)))

    return MeasuredModel(name=loaded.name, build=build, inputs=inputs, example_batch=batch_size(example))


def measured_pair(inserted: Inserted) -> tuple[MeasuredModel, MeasuredModel]:
    """A model with attention that a text inserts, and the same model without; a network of the project is settled."""
    settled = inserted.plain.spec is None  # else both are drawn anew
    return measured_loaded(inserted.changed, settled=settled), measured_loaded(inserted.plain, settled=settled)


def measured_inserted(text: str, *, inputs: Sequence[str] = ()) -> tuple[MeasuredModel, MeasuredModel]:
    """The model of a text that inserts attention, and the same model without; errors as in `load_model`."""
    return measured_pair(load_inserted(text, inputs=inputs, device="cpu"))


def _filled(inputs: Any) -> Any:
    """Inputs of which only the shapes were said: normal numbers where they are real, else zeros, as they are."""
    generator = torch.Generator().manual_seed(0)

    def fill(tensor: torch.Tensor) -> torch.Tensor:
        real = tensor.is_floating_point()
        return torch.randn(tensor.shape, generator=generator).to(tensor.dtype) if real else tensor

    return mapped(inputs, fill)


def batch_of(example: Any, batch: int, device: str = "cpu") -> Any:
    """Example inputs with their first dimension repeated, or cut, to another batch; others stay as they are."""
    size = batch_size(example)

    def resized(tensor: torch.Tensor) -> torch.Tensor:
        fits = tensor.dim() and tensor.shape[0] == size
        if device == "meta":
            shape = (batch, *tensor.shape[1:]) if fits else tensor.shape
            return torch.empty(shape, dtype=tensor.dtype, device=device)
        return tensor[torch.arange(batch, device=tensor.device) % size] if fits and batch != size else tensor

    return mapped(example, resized)


def random_inputs(shape: tuple[int, ...], batch: int, device: str = "cpu") -> torch.Tensor:
    """Normal numbers, the same on every call, or on the meta device their shape alone."""
    if device == "meta":
        return torch.empty(batch, *shape, device="meta")
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0), device="cpu")


def make_cases(
    *,
    device: str,
    batches: Sequence[int],
    dtypes: Sequence[str],
    modes: Sequence[str],
    memory_format: str,
    train: bool,
    allocator: str | None,
    wanted: Wanted,
    runtimes: Sequence[str] = (TORCH,),
    threads: int | None = None,
    calibration: Calibration | None = None,
) -> list[Case]:
    """The rows of a sweep, all checked before the first is measured.

    Raises:
        CostError: for a setting that is not accepted, or under which what is wanted cannot be measured.
    """
    if device == "auto" and set(runtimes) != {TORCH}:
        device = "cpu"  # where all of them run
    cases = [
        Case(
            batch=batch,
            setting=make_setting(
                device=device,
                dtype=dtype,
                memory_format=memory_format,
                mode=mode,
                train=train,
                allocator=allocator,
                runtime=runtime,
                threads=threads,
                calibration=calibration,
            ),
        )
        for runtime in runtimes
        for mode, dtype, batch in product(MODES[:1] if runtime != TORCH in runtimes else modes, dtypes, batches)
    ]
    for case in cases if wanted.hooks else ():
        if case.setting.in_torch or wanted.roofline or wanted.kernels:
            require_hooks(case.setting)
        else:
            require_profiler(case.setting.runtime)
    if wanted.energy:
        with energy_counter(resolve_device(device)):
            pass
    return cases


def sweep(
    subject: MeasuredModel,
    baseline: MeasuredModel | None,
    cases: Sequence[Case],
    *,
    effort: Effort,
    wanted: Wanted,
    progress: Progress,
    save: Callable[[Measurements], object],
) -> None:
    """Measure the cases, all on one device, and save what there is after each; one that is refused says so in its row.

    Raises:
        KeyboardInterrupt: on an interrupt, after what was measured until then is saved.
    """
    setting = cases[0].setting
    done = Measurements(
        model=subject.name,
        baseline=baseline.name if baseline else None,
        machine=machine_state(setting.device) | {"threads": setting.threads_used, "allocator": setting.allocator},
    )
    models = [made.build() for made in (baseline, subject) if made]
    for index, case in enumerate(cases):
        row = Measurement(case=case)
        try:
            for measured in _steps(row, subject, models, effort, wanted, _share(progress, index, len(cases))):
                row = measured
        except CostError as error:
            row = replace(row, error=str(error))
        except KeyboardInterrupt as interrupt:
            latency = interrupt.partial if isinstance(interrupt, InterruptedMeasurement) else row.latency
            row = replace(row, latency=latency, error=INTERRUPTED)
            raise
        finally:
            done = replace(done, rows=(*done.rows, row))
            save(done)
        if case.setting.device.type == "cuda":
            torch.cuda.empty_cache()
    progress(1.0)


def _share(progress: Progress, index: int, cases: int) -> Progress:
    return lambda share: progress((index + share) / cases)


def _steps(
    row: Measurement,
    subject: MeasuredModel,
    models: Sequence[nn.Module],
    effort: Effort,
    wanted: Wanted,
    progress: Progress,
) -> Iterator[Measurement]:
    """The row after each part that is measured."""
    batch, setting, model = row.case.batch, row.case.setting, models[-1]
    for one in models:
        require_memory_for(one, subject.inputs(batch, "meta"), setting)
    with refusals_in_a_sentence(setting.device, f"batch {batch}"):
        inputs = subject.inputs(batch, "cpu")
    baseline = models[0] if len(models) == 2 else None
    latency = measure_models(baseline, model, inputs, setting=setting, effort=effort, progress=progress)
    yield (row := replace(row, latency=latency))
    if not setting.in_torch:
        if wanted.layers:
            timing = measure_exported_layers(model, inputs, setting=setting, effort=effort, progress=progress)
            yield replace(row, layers=layer_times(timing, subject.layers))
        return
    if wanted.memory:
        yield (row := replace(row, memory=measure_memory(model, inputs, setting=setting)))
    if wanted.layers or wanted.roofline:
        timing = measure_layers(model, inputs, setting=setting, effort=effort, progress=progress)
        layers = layer_times(timing, subject.layers)
        yield (row := replace(row, layers=layers))
        if wanted.roofline:
            roof = device_roof(setting.device, latency.dtype, recalibrate=wanted.recalibrate)
            layers = under_roof(layers, subject.layers, count(model, inputs), roof, latency.dtype)
            yield (row := replace(row, layers=layers))
    if wanted.kernels:
        yield (row := replace(row, kernels=tuple(attribute_kernels(model, inputs, setting=setting))))
    if wanted.energy:
        yield replace(row, energy=measure_energy(model, inputs, setting=setting))
