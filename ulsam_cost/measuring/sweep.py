"""A sweep of measurements: batches, number formats and modes, a row each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import nn

from ulsam_cost.cost import Cost, path_at
from ulsam_cost.counting.count import Count, count
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import LayerCost, NetworkSpec, layer_of, network_layers, split_by_layer
from ulsam_cost.formulas.networks.text import names_network, spec_from_text
from ulsam_cost.measuring.device import dtype_name, machine_state, refusals_in_a_sentence, resolve_device, resolve_dtype
from ulsam_cost.measuring.energy import energy_counter, measure_energy
from ulsam_cost.measuring.layers import REST, LayerTiming, attribute_kernels, measure_layers, require_hooks
from ulsam_cost.measuring.memory import measure_memory, require_memory_for
from ulsam_cost.measuring.roofline import device_roof, roofline_estimate
from ulsam_cost.measuring.runner import Setting, calibrate_batch_norm, make_setting
from ulsam_cost.measuring.timing import Effort, InterruptedMeasurement, Progress, measure, measure_in_turn
from ulsam_cost.nn.loading import load_model
from ulsam_cost.nn.networks import build_network
from ulsam_cost.tensors import batch_size, mapped
from ulsam_cost.units import at_least

SETTLING_BATCH = 2
LAYER_DEPTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
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


def network_subject(spec: NetworkSpec) -> Subject:
    """A network of the registry, its norms settled on random inputs."""
    inputs = partial(random_inputs, spec.input_shape[1:])
    return Subject(
        name=network_name(spec),
        build=lambda: calibrate_batch_norm(build_network(spec), inputs(SETTLING_BATCH)),
        inputs=inputs,
        layers=network_layers(spec),
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


def model_subject(text: str, *, inputs: Sequence[str] = ()) -> Subject:
    """A network with its options in one text, or anybody's model; arguments and errors as in `load_model`."""
    if names_network(text) and not inputs:
        return network_subject(spec_from_text(text))
    loaded = load_model(text, inputs=inputs, device="cpu")
    example = _filled(loaded.inputs) if inputs else loaded.inputs
    return Subject(
        name=text, build=lambda: loaded.model, inputs=partial(batch_of, example), example_batch=batch_size(example)
    )


def _filled(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Tensors of which only the shapes were said: normal numbers where they are real, else zeros, as they are."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(tensor.shape, generator=generator).to(tensor.dtype) if tensor.is_floating_point() else tensor
        for tensor in tensors
    )


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
) -> list[Case]:
    """The rows of a sweep, all checked before the first is measured.

    Raises:
        CostError: for a setting that is not accepted, or under which what is wanted cannot be measured.
    """
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
            ),
        )
        for mode, dtype, batch in product(modes, dtypes, batches)
    ]
    for case in cases if wanted.hooks else ():
        require_hooks(case.setting)
    if wanted.energy:
        with energy_counter(resolve_device(device)):
            pass
    return cases


def new_record(subject: Subject, baseline: Subject | None, cases: Sequence[Case]) -> dict[str, Any]:
    """What a sweep of these cases, all on one device, fills; keys as the command's JSON."""
    setting = cases[0].setting
    return {
        "model": subject.name,
        "baseline": baseline.name if baseline else None,
        "machine": machine_state(setting.device) | {"allocator": setting.allocator},
        "rows": [],
    }


def sweep(
    record: dict[str, Any],
    subject: Subject,
    baseline: Subject | None,
    cases: Sequence[Case],
    *,
    effort: Effort,
    wanted: Wanted,
    progress: Progress,
    save: Callable[[], None],
) -> None:
    """Measure the cases into the record's rows, and save after each; a case that is refused says so in its row.

    Raises:
        KeyboardInterrupt: on an interrupt, with what was measured until then in the rows.
    """
    models = [made.build() for made in (baseline, subject) if made]
    for index, case in enumerate(cases):
        row = _empty_row(case)
        record["rows"].append(row)
        try:
            for part in _parts(row, subject, models, case, effort, wanted, _share(progress, index, len(cases))):
                row.update(part)
        except CostError as error:
            row["error"] = str(error)
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt, InterruptedMeasurement):
                row.update(interrupt.partial.to_dict())
            row["error"] = "interrupted"
            raise
        finally:
            save()
        if case.setting.device.type == "cuda":
            torch.cuda.empty_cache()
    progress(1.0)


def _share(progress: Progress, index: int, cases: int) -> Progress:
    return lambda share: progress((index + share) / cases)


def _empty_row(case: Case) -> dict[str, Any]:
    setting = case.setting
    return {
        "device": str(setting.device),
        "batch": case.batch,
        "dtype": dtype_name(setting.dtype) if setting.dtype else None,
        "memory_format": setting.memory_format,
        "mode": setting.mode,
        "train": setting.train,
        "allocator": setting.allocator,
        **dict.fromkeys(
            ("network", "baseline", "ratio", "verdict", "busy", "memory", "layers", "kernels", "energy", "error")
        ),
    }


def _parts(
    row: dict[str, Any],
    subject: Subject,
    models: Sequence[nn.Module],
    case: Case,
    effort: Effort,
    wanted: Wanted,
    progress: Progress,
) -> Iterator[dict[str, Any]]:
    """The parts of a row, each as soon as it is measured."""
    setting, model = case.setting, models[-1]
    for one in models:
        require_memory_for(one, subject.inputs(case.batch, "meta"), setting)
    with refusals_in_a_sentence(setting.device, f"batch {case.batch}"):
        inputs = subject.inputs(case.batch, "cpu")
    if len(models) == 2:
        baseline, network = models
        pair = measure_in_turn(baseline, network, inputs, setting=setting, effort=effort, progress=progress)
        yield pair.to_dict()
    else:
        yield measure(model, inputs, setting=setting, effort=effort, progress=progress).to_dict()
    if wanted.memory:
        yield {"memory": measure_memory(model, inputs, setting=setting).to_dict()}
    if wanted.layers or wanted.roofline:
        timing = measure_layers(model, inputs, setting=setting, effort=effort, progress=progress)
        layers = timed_layers(timing, subject)
        yield {"layers": layers}
        if wanted.roofline:
            add_roofline_estimates(
                layers, subject, count(model, inputs), row["dtype"], setting, recalibrate=wanted.recalibrate
            )
    if wanted.kernels:
        yield {"kernels": [asdict(kernel) for kernel in attribute_kernels(model, inputs, setting=setting)]}
    if wanted.energy:
        yield {"energy": measure_energy(model, inputs, setting=setting).to_dict()}


def timed_layers(timing: LayerTiming, subject: Subject) -> dict[str, Any]:
    """The layers' times, their sum, and the total without hooks."""
    if subject.layers:
        times = timing.under({layer.path: layer.layer for layer in subject.layers})
        order = [layer.layer for layer in subject.layers]
        names = sorted(times, key=lambda name: order.index(name) if name in order else len(order))
    else:
        times = timing.by_depth(LAYER_DEPTH)
        names = list(times)
    total, overhead = sum(time.median_ms for time in times.values()), timing.overhead
    kinds = {layer.layer: layer.kind for layer in subject.layers}
    rows = [
        {
            "layer": name,
            "kind": kinds.get(name),
            **times[name].to_dict(),
            "share_pct": 100 * times[name].median_ms / total,
        }
        for name in names
    ]
    return {
        "rows": rows,
        "sum_ms": total,
        "total_ms": timing.plain.median_ms,
        "overhead": {"median": overhead.median, "low": overhead.low, "high": overhead.high},
        "roof": None,
    }


def add_roofline_estimates(
    layers: dict[str, Any], subject: Subject, counted: Count, dtype: str, setting: Setting, *, recalibrate: bool = False
) -> None:
    """Set the roofline estimate of its counted cost beside each layer's time, if all of its operations are counted."""
    number_format = resolve_dtype(dtype)
    roof = device_roof(setting.device, number_format, recalibrate=recalibrate)
    costs = split_by_layer(counted.cost, subject.layers) if subject.layers else _by_depth(counted.cost)
    layer_at = layer_of(subject.layers) if subject.layers else _name_at_depth
    incomplete = {layer_at(operation.path) for operation in counted.uncounted_products}
    unknown = {layer_at(operation.path) for operation in counted.uncounted}
    layers |= {"roof": roof.to_dict(), "complete": counted.complete, "left_out": counted.left_out()}
    for row in layers["rows"]:
        layer = row["layer"]
        part = costs.get(layer, Cost())
        if not part.ops and layer not in incomplete:
            continue
        row.update(macs=at_least(part.macs, unless=layer not in incomplete), complete=layer not in incomplete)
        if layer in unknown:
            continue
        estimate = roofline_estimate(part, roof, number_format.itemsize)
        row.update(
            bytes=estimate.bytes,
            intensity=estimate.intensity,
            least_ms=estimate.ms,
            limit=estimate.limit,
            over_least=row["median_ms"] / estimate.ms if estimate.ms else None,
        )


def _by_depth(cost: Cost) -> dict[str, Cost]:
    return {path or REST: part for path, part in cost.by_path(LAYER_DEPTH).items()}


def _name_at_depth(path: str) -> str:
    return path_at(path, LAYER_DEPTH) or REST
