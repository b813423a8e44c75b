"""Do placements that save FLOPs save time? Times of every published placement of ULSAM, every mechanism, and ULSAM.

    python -m analyses.latency --minutes 8

writes `latency_DEVICE.json` after each measurement, and `latency_DEVICE.md` with its pictures at the end. A run that
was stopped, or ran out of its minutes, continues where it ended. Rows taken on a busy machine, ratios known no better
than to a tenth, and rows whose plain network took over a tenth longer than in its fastest row are measured again.
Apart from the checkout it needs only torch, pandas, matplotlib, click, tabulate and psutil.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a checkout that is not installed

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from analyses.latency.page import device_slug, latency_files
from analyses.latency.regimes import slowdowns
from analyses.latency.tasks import Task, is_wanting, key_of, resumed, save_record, take
from analyses.latency.timers import compare_timers, timer_of
from ulsam_cost.counting.count import count
from ulsam_cost.formulas.attention import REGISTERED, get_mechanism
from ulsam_cost.formulas.attention.ulsam import STYLES
from ulsam_cost.formulas.networks import NetworkSpec, network_cost, network_layers, network_spec
from ulsam_cost.measuring.device import machine_state, resolve_device
from ulsam_cost.measuring.layer_times import layer_times, under_roof
from ulsam_cost.measuring.layers import measure_layers
from ulsam_cost.measuring.roofline import device_roof, roofline_estimate
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.runner import calibrate_batch_norm, make_setting
from ulsam_cost.measuring.timing import measure_alone, measure_in_turn, measure_together
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.attention.ulsam import ULSAM
from ulsam_cost.nn.networks import build_network
from ulsam_cost.published import published_cells
from ulsam_cost.report.files import write_files

CHANNELS, SIZE = 512, 14
GROUPS, BATCHES, OWN_GROUPS = (1, 4, 8, 16), (1, 64), (1, 4, 16)
LAYERED = {"mv1": "8:1,9:1,11", "mv2": "13,14,16,17"}
DTYPE = "float32"
SAMPLING_SHARE = 0.5  # of a task's time; building, warming up and compiling take the rest
MOST_SECONDS = 20.0
SAME = ("name", "torch", "threads", "allocator")  # of the machine, where a record is taken up
CPU_BATCH_WEIGHT, COMPILE_WEIGHT = 12.0, 15.0


class LoopedULSAM(nn.Module):
    """ULSAM as a plain loop over its subspaces, with the weights of another in style `equation`."""

    def __init__(self, ulsam: ULSAM) -> None:
        super().__init__()
        self.ulsam = ulsam

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        (n, _, h, w), groups = x.shape, self.ulsam.groups
        depthwise = self.ulsam.depthwise.weight.chunk(groups)
        pointwise = self.ulsam.pointwise.weight.chunk(groups)
        refined = []
        for part, channel_weights, map_weights in zip(x.chunk(groups, dim=1), depthwise, pointwise, strict=True):
            pooled = F.max_pool2d(F.conv2d(part, channel_weights, groups=part.shape[1]), 3, stride=1, padding=1)
            attention = F.conv2d(pooled, map_weights).view(n, 1, h * w).softmax(dim=-1).view(n, 1, h, w)
            refined.append(attention * part + part)
        return torch.cat(refined, dim=1)


class Copy(nn.Module):
    """Read once, write once: what any module that changes its input takes at least."""

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        return x.clone()


class Study:
    """The tasks on a device; models and inputs that several share are made once."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.graphs = ("graph",) if device.type == "cuda" else ()
        self.compiled = ("compile", "compile-graph") if device.type == "cuda" else ("compile",)
        self.plain = lru_cache(maxsize=2)(self._build)
        self.inputs = lru_cache(maxsize=4)(self._inputs)

    def tasks(self) -> Iterator[Task]:
        """All tasks, those first that are short and say most."""
        for batch in BATCHES:
            yield self._check(batch)
        for groups, batch, mode in product(OWN_GROUPS, BATCHES, ("eager", *self.graphs)):
            yield self._own(groups, batch, mode)
        for name, batch in product(REGISTERED, BATCHES):
            yield self._mechanism(name, batch, "eager")
        for (network, positions), batch in product(LAYERED.items(), BATCHES):
            yield self._layers(network_spec(network, positions=positions), batch)
        yield from self._networks("eager")
        for groups, batch, mode in product(OWN_GROUPS, BATCHES, self.compiled):
            yield self._own(groups, batch, mode)
        for name, batch, mode in product(REGISTERED, BATCHES, self.graphs):
            yield self._mechanism(name, batch, mode)
        for mode in self.graphs:
            yield from self._networks(mode)

    def _networks(self, mode: str) -> Iterator[Task]:
        placements = published_placements()
        for batch in BATCHES:
            for network, width in dict.fromkeys((network, width) for network, width, _ in placements):
                yield self._network(network_spec(network, width=width), batch, mode)
            for (network, width, positions), groups, style in product(placements, GROUPS, STYLES):
                spec = network_spec(network, width=width, positions=positions, groups=groups, style=style)
                yield self._placement(spec, batch, mode)

    def _weight(self, batch: int) -> float:
        return CPU_BATCH_WEIGHT if self.device.type == "cpu" and batch > 1 else 1.0

    def _build(self, spec: NetworkSpec) -> nn.Module:
        with self.device:
            model = build_network(spec)
        return calibrate_batch_norm(model, self.inputs(2, (3, *spec.resolution)))

    def _inputs(self, batch: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def _network(self, spec: NetworkSpec, batch: int, mode: str) -> Task:
        setting = make_setting(device=self.device, dtype=DTYPE, mode=mode)

        def run(effort: Effort) -> dict[str, Any]:
            x = self.inputs(batch, (3, *spec.resolution))
            return {"latency": measure_alone(self.plain(spec), x, setting=setting, effort=effort).to_dict()}

        return Task(facts={"section": "network", **_of(spec), "batch": batch, "mode": mode}, run=run)

    def _placement(self, spec: NetworkSpec, batch: int, mode: str) -> Task:
        setting = make_setting(device=self.device, dtype=DTYPE, mode=mode)

        def run(effort: Effort) -> dict[str, Any]:
            x = self.inputs(batch, (3, *spec.resolution))
            pair = measure_in_turn(self.plain(spec.plain()), self._build(spec), x, setting=setting, effort=effort)
            return {"latency": pair.to_dict()}

        facts = {"section": "placement", **_of(spec), **dict(spec.attention_options), "batch": batch, "mode": mode}
        return Task(facts=facts, run=run, weight=2 * self._weight(batch))

    def _mechanism(self, name: str, batch: int, mode: str) -> Task:
        setting = make_setting(device=self.device, dtype=DTYPE, mode=mode)

        def run(effort: Effort) -> dict[str, Any]:
            with self.device:
                options = get_mechanism(name).built_for((SIZE, SIZE))
                module = build_attention(name, CHANNELS, **options).eval()
            x = self.inputs(batch, (CHANNELS, SIZE, SIZE))
            cost = count(module, x).cost
            estimate = roofline_estimate(cost, device_roof(self.device, torch.float32), torch.float32.itemsize)
            timed = measure_alone(module, x, setting=setting, effort=effort)
            return {"macs": cost.macs, "least_ms": estimate.ms, "limit": estimate.limit, "latency": timed.to_dict()}

        return Task(facts={"section": "mechanism", "mechanism": name, "batch": batch, "mode": mode}, run=run)

    def _own(self, groups: int, batch: int, mode: str) -> Task:
        setting = make_setting(device=self.device, dtype=DTYPE, mode=mode)

        def run(effort: Effort) -> dict[str, Any]:
            with self.device:
                module = ULSAM(CHANNELS, groups).eval()
            x = self.inputs(batch, (CHANNELS, SIZE, SIZE))
            others = [LoopedULSAM(module).eval(), Copy()]
            return measure_together(module, others, x, setting=setting, effort=effort).to_dict(("loop", "copy"))

        facts = {"section": "ulsam", "groups": groups, "batch": batch, "mode": mode}
        return Task(facts=facts, run=run, weight=COMPILE_WEIGHT if mode in self.compiled else 1.0)

    def _check(self, batch: int) -> Task:
        mode = (
            self.graphs[0] if self.graphs else "eager"
        )  # Triton's timer hides the launches that an eager call waits for
        setting, spec = make_setting(device=self.device, dtype=DTYPE, mode=mode), network_spec("mv1")

        def run(effort: Effort) -> dict[str, Any]:
            x = self.inputs(batch, (3, *spec.resolution))
            return compare_timers(self.plain(spec), x, setting=setting, effort=effort).to_dict(("other",))

        facts = {"section": "check", "timer": timer_of(self.device), "network": "mv1", "batch": batch, "mode": mode}
        return Task(facts=facts, run=run, weight=2 * self._weight(batch))

    def _layers(self, spec: NetworkSpec, batch: int) -> Task:
        setting = make_setting(device=self.device, dtype=DTYPE)

        def run(effort: Effort) -> dict[str, Any]:
            model, x = self._build(spec), self.inputs(batch, (3, *spec.resolution))
            layers, roof = network_layers(spec), device_roof(self.device, torch.float32)
            times = layer_times(measure_layers(model, x, setting=setting, effort=effort), layers)
            estimated = under_roof(times, layers, count(model, x), roof, torch.float32)
            return {"device": str(self.device), "dtype": DTYPE, "layers": estimated.to_dict()}

        facts = {"section": "layers", **_of(spec), "batch": batch, "mode": "eager"}
        return Task(facts=facts, run=run, weight=2 * self._weight(batch))


def _of(spec: NetworkSpec) -> dict[str, Any]:
    return {"network": spec.network, "width": spec.width, "positions": str(spec.placement)}


def published_placements() -> list[tuple[str, float, str]]:
    """Network, width and positions of every placement in the ULSAM paper's tables."""
    cells = (cell for cell in published_cells() if cell.source == "ulsam" and cell.attention == "ulsam")
    return list(dict.fromkeys((c.backbone, float(c.width or 1), c.positions) for c in cells if c.positions))


def add_macs(facts: dict[str, Any]) -> dict[str, Any]:
    """The derived MACs of a network's row, and their change where it is a placement."""
    if facts["section"] not in ("network", "placement"):
        return {}
    now, plain = (
        network_cost(facts["network"], width=facts["width"], positions=positions).macs
        for positions in (facts["positions"], "none")
    )
    return {"macs": now, "macs_pct": 100 * (now - plain) / plain}


def measure_all(tasks: list[Task], record: dict[str, Any], seconds: float, save: Callable[[], None]) -> None:
    """Measure the tasks that the record does not have yet, or not well, sharing out the seconds that are left."""
    take(
        tasks,
        record,
        seconds,
        save,
        kept=_kept(record["rows"]),
        known=add_macs,
        share=SAMPLING_SHARE,
        most_seconds=MOST_SECONDS,
    )


def _kept(rows: list[dict[str, Any]]) -> set[str]:
    """The keys of the rows that are not measured again."""
    slowed = slowdowns(rows)
    return {
        key_of(row["facts"]) for row, factor in zip(rows, slowed, strict=True) if factor is None and not is_wanting(row)
    }


def _empty_record(machine: dict[str, Any]) -> dict[str, Any]:
    return {"machine": machine, "dtype": DTYPE, "rows": [], "tasks": 0}


@click.command()
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--minutes", type=click.FloatRange(min=0), default=8, show_default=True, help="Time to measure in.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Folder.")
@click.option("--fresh", is_flag=True, help="Begin anew, whatever was measured before.")
@click.option("--only", help="Sections, with commas between them: check,ulsam,...")
@click.option("--batch", type=int, help="One batch alone, 1 or 64; a later run takes up the other.")
def main(device: str, minutes: float, out: Path, fresh: bool, only: str | None, batch: int | None) -> None:
    """Time every published placement of ULSAM, every mechanism, and ULSAM itself."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    place = resolve_device(device)
    name = device_slug(place.type, machine := machine_state(place))
    path = out / f"latency_{name}.json"
    machine["allocator"] = make_setting(device=place).allocator
    empty = _empty_record(machine)
    record = empty if fresh else resumed(path, empty, SAME)
    if fresh:
        device_roof(place, torch.float32, recalibrate=True)
    tasks = list(Study(place).tasks())
    record["tasks"] = len(tasks)
    sections = only.split(",") if only else None
    chosen = [
        task
        for task in tasks
        if (sections is None or task.facts["section"] in sections) and batch in (None, task.facts.get("batch"))
    ]
    save = partial(save_record, path, record)
    try:
        measure_all(chosen, record, 60 * minutes, save)
    except KeyboardInterrupt:
        click.echo("interrupted: what was measured is written", err=True)
        sys.exit(130)
    finally:
        save()
        write_files(out, latency_files(record, name))
        click.echo(f"{len(record['rows'])} of {len(tasks)} measurements in {path}", err=True)


if __name__ == "__main__":
    main()
