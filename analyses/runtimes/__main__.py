"""Does what saves FLOPs save time where networks are deployed? Each runtime on every published placement of ULSAM.

    python -m analyses.runtimes --minutes 40

measures, one image at a time, the placements with 1, 4 and 16 subspaces beside the plain networks, and every mechanism
by itself, in PyTorch and in the other runtimes that are installed, in one thread and in all, in float32 and int8. It
writes `runtimes_cpu.json`, after each measurement, and at the end `runtimes_cpu.md` with its pictures. A run that was
stopped, or ran out of its minutes, is taken up where it ended; rows of a busy machine are measured again. Needs, beside
what `python -m analyses.latency` needs, the runtimes: pip install 'ulsam-cost[onnxruntime,openvino,executorch]'.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a checkout that is not installed

import click
import torch
from torch import Tensor, nn

from analyses.latency.__main__ import CHANNELS, SIZE, add_macs, published_placements
from analyses.latency.tasks import Task, is_wanting, key_of, resumed, save_record, take
from analyses.runtimes.page import NAME, runtime_files
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import REGISTERED, get_mechanism
from ulsam_cost.formulas.networks import NetworkSpec, network_spec
from ulsam_cost.measuring.device import INT8, dtype_name, machine_state, resolve_dtype
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.runner import Setting, calibrate_batch_norm
from ulsam_cost.measuring.runtimes.files import BASELINE, NETWORK
from ulsam_cost.measuring.runtimes.measured import Exports, measure_models
from ulsam_cost.measuring.runtimes.process import KeptProcesses
from ulsam_cost.measuring.runtimes.registry import REGISTERED as RUNTIMES
from ulsam_cost.measuring.runtimes.registry import TORCH, get_runtime, require_installed, version_of
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.networks import build_network
from ulsam_cost.report.files import write_files

GROUPS = (4, 1, 16)  # most wanted first
FLOAT32 = "float32"
CPU = torch.device("cpu")
Model = NetworkSpec | str  # a network, or a mechanism by itself
SAMPLING_SHARE = 0.3  # of a task's time; exporting and starting a process take the rest
MOST_SECONDS = 1.5
SAME = ("name", "torch", "cpus")  # of the machine, where a record is taken up


class Study:
    """The tasks. What was exported last is kept, for the next number of threads and the next placement."""

    def __init__(
        self, folder: Path, runtimes: Sequence[str], threads: Sequence[int], processes: KeptProcesses | None = None
    ) -> None:
        self.runtimes, self.threads, self._processes = runtimes, threads, processes
        self.built = lru_cache(maxsize=2)(self._built)
        self._folder = folder
        self._exports: dict[str, Exports] = {}
        self._exported: dict[tuple[str, str], tuple[Model, CostError | None]] = {}
        self._shared: dict[str, Model] = {}

    def tasks(self) -> Iterator[Task]:
        """All tasks, few subspaces first; those of one model, and of one plain network, follow each other."""
        placements = sorted(published_placements())
        for groups in (GROUPS[:1], GROUPS[1:]):
            for (network, width, positions), count in product(placements, groups):
                spec = network_spec(network, width=width, positions=positions, groups=count)
                placement = {"network": network, "width": width, "positions": positions, "groups": count}
                yield from self._everywhere({"section": "placement", **placement}, spec)
            for name in REGISTERED if groups == GROUPS[:1] else ():
                yield from self._everywhere({"section": "mechanism", "mechanism": name}, name)

    def _everywhere(self, facts: dict[str, Any], model: Model) -> Iterator[Task]:
        for dtype, runtime, threads in product((FLOAT32, INT8), self.runtimes, self.threads):
            if runtime == TORCH and dtype == INT8:  # PyTorch's eager mode has none
                continue
            setting = Setting(device=CPU, dtype=resolve_dtype(dtype), runtime=runtime, threads=threads)
            where = {"runtime": runtime, "dtype": dtype, "threads": threads}
            yield Task(facts=facts | where, run=partial(self._measure, model, setting))

    def _measure(self, model: Model, setting: Setting, effort: Effort) -> dict[str, Any]:
        models: dict[str, Model] = (
            {NETWORK: model} if isinstance(model, str) else {BASELINE: model.plain(), NETWORK: model}
        )
        if not setting.in_torch:
            exports = self._exports_of(models, setting)
            return {"latency": exports.measure(setting, effort, lambda share: None).to_dict()}
        *baseline, (network, inputs) = map(self.built, models.values())
        pair = measure_models(baseline[0][0] if baseline else None, network, inputs, setting=setting, effort=effort)
        return {"latency": pair.to_dict()}

    def _exports_of(self, models: dict[str, Model], setting: Setting) -> Exports:
        """The models exported, each once; what cannot be is not tried again."""
        assert setting.dtype is not None
        dtype = dtype_name(setting.dtype)
        where = f"{setting.runtime}_{dtype}_{len(models)}"
        if where not in self._exports:
            folder = self._folder / where
            folder.mkdir()
            self._exports[where] = Exports(
                folder, setting.runtime, dtype, measures_memory=False, processes=self._processes
            )
        for name, model in models.items():
            before, error = self._exported.get((where, name), (None, None))
            if before != model:
                error = None
                try:
                    self._exports[where].add(name, *self.built(model), self._shared_by_exports_of(name, model))
                except CostError as raised:
                    error = raised
                self._exported[where, name] = model, error
            if error is not None:
                raise CostError(str(error))
        return self._exports[where]

    def _shared_by_exports_of(self, name: str, model: Model) -> Path:
        """The folder that the exports of a model share; those of the model before it under this name are deleted."""
        folder = self._folder / f"shared_{name}"
        if self._shared.get(name) != model:
            rmtree(folder, ignore_errors=True)
            folder.mkdir()
            self._shared[name] = model
        return folder

    def _built(self, model: Model) -> tuple[nn.Module, Tensor]:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        if isinstance(model, str):
            options = get_mechanism(model).built_for((SIZE, SIZE))
            module = build_attention(model, CHANNELS, **options).eval()
            return module, torch.randn(1, CHANNELS, SIZE, SIZE, generator=generator)
        inputs = torch.randn(2, 3, *model.resolution, generator=generator)
        return calibrate_batch_norm(build_network(model), inputs), inputs[:1]


def installed_runtimes() -> dict[str, dict[str, str]]:
    """Title and version of each runtime that is installed."""
    found = {TORCH: {"title": "PyTorch", "version": str(torch.__version__)}}
    for runtime in map(get_runtime, RUNTIMES):
        with suppress(CostError):
            require_installed(runtime)
            found[runtime.name] = {"title": runtime.title, "version": version_of(runtime)}
    return found


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0), default=40, show_default=True, help="Time to measure in.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Folder.")
@click.option("--fresh", is_flag=True, help="Begin anew, whatever was measured before.")
def main(minutes: float, out: Path, fresh: bool) -> None:
    """Time every published placement of ULSAM, and every mechanism, in the runtimes that are installed."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    path = out / f"{NAME}.json"
    runtimes = installed_runtimes()
    empty: dict[str, Any] = {"machine": machine_state(CPU), "runtimes": runtimes, "rows": [], "tasks": 0}
    record = empty if fresh else resumed(path, empty, SAME)
    if record["runtimes"] != runtimes:
        record = empty
    save = partial(save_record, path, record)
    with (
        TemporaryDirectory(prefix="ulsam-cost-", ignore_cleanup_errors=True) as folder,
        closing(KeptProcesses()) as processes,
    ):
        threads = sorted({1, torch.get_num_threads()})
        tasks = list(Study(Path(folder), list(runtimes), threads, processes).tasks())
        record["tasks"] = len(tasks)
        kept = {key_of(row["facts"]) for row in record["rows"] if not is_wanting(row)}
        try:
            take(
                tasks, record, 60 * minutes, save,
                kept=kept, known=add_macs, share=SAMPLING_SHARE, most_seconds=MOST_SECONDS,
            )  # fmt: skip
        except KeyboardInterrupt:
            click.echo("interrupted: what was measured is written", err=True)
            sys.exit(130)
        finally:
            save()
            write_files(out, runtime_files(record))
            click.echo(f"{len(record['rows'])} of {len(tasks)} measurements in {path}", err=True)


if __name__ == "__main__":
    main()
