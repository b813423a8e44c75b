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
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
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
from ulsam_cost.measuring.runner import Setting, calibrate_batch_norm, in_force
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
ONE_THREAD = Setting(device=CPU, threads=1)
Model = NetworkSpec | str  # a network, or a mechanism by itself
SAMPLING_SHARE = 0.2  # of a task's time; exporting takes the rest
MOST_SECONDS = 1.5
SAME = ("name", "torch", "cpus")  # of the machine, where a record is taken up


class Study:
    """The tasks. What was exported last is kept, for the next number of threads and the next placement.

    Args:
        folder: an empty one, for the exports.
        runtimes: their names, PyTorch's among them.
        threads: in how many each is measured.
        processes: the runtimes' own, which stay for the next job.
        kept: the keys of tasks that will not be run: nothing is exported for them.
    """

    def __init__(
        self,
        folder: Path,
        runtimes: Sequence[str],
        threads: Sequence[int],
        processes: KeptProcesses | None = None,
        kept: Collection[str] = (),
    ) -> None:
        self.runtimes, self.threads, self._processes, self._kept = runtimes, threads, processes, kept
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

    def _everywhere(self, facts: dict[str, Any], model: Model) -> list[Task]:
        exported: list[Setting] = []  # those of the tasks that will be run
        tasks = []
        for dtype, runtime, threads in product((FLOAT32, INT8), self.runtimes, self.threads):
            if runtime == TORCH and dtype == INT8:  # PyTorch's eager mode has none
                continue
            setting = Setting(device=CPU, dtype=resolve_dtype(dtype), runtime=runtime, threads=threads)
            where = {"runtime": runtime, "dtype": dtype, "threads": threads}
            tasks.append(Task(facts=facts | where, run=partial(self._measure, model, setting, exported)))
            if not setting.in_torch and tasks[-1].key not in self._kept:
                exported.append(setting)
        return tasks

    def _measure(self, model: Model, setting: Setting, exported: Sequence[Setting], effort: Effort) -> dict[str, Any]:
        models: dict[str, Model] = (
            {NETWORK: model} if isinstance(model, str) else {BASELINE: model.plain(), NETWORK: model}
        )
        if setting.in_torch:
            *baseline, (network, inputs) = map(self.built, models.values())
            pair = measure_models(baseline[0][0] if baseline else None, network, inputs, setting=setting, effort=effort)
            return {"latency": pair.to_dict()}
        self._export(models, exported)
        where = _where(models, setting)
        for name in models:
            _, error = self._exported[where, name]
            if error is not None:
                raise CostError(str(error))
        return {"latency": self._exports[where].measure(setting, effort, lambda share: None).to_dict()}

    def _export(self, models: Mapping[str, Model], settings: Sequence[Setting]) -> None:
        """Export the models for all settings, each once; what cannot be exported is not tried again.

        Processes of the runtimes quantize, which takes longest, beside the exports of this one; nothing is timed
        meanwhile.
        """
        quantized: dict[tuple[str, str], Future[None]] = {}
        beside = ThreadPoolExecutor(max_workers=2)
        try:
            with in_force(ONE_THREAD):  # two that want all processors wait for each other
                for setting, (name, model) in product(reversed(settings), models.items()):  # int8 first
                    where = _where(models, setting)
                    if self._exported.get((where, name), (None, None))[0] != model:
                        self._exported[where, name] = model, None
                        with self._noted(where, name):
                            exports = self._exports_for(where, setting)
                            exports.add(name, *self.built(model), self._shared_by_exports_of(name, model))
                            quantized[where, name] = beside.submit(exports.quantize, name)
            for key, future in quantized.items():
                with self._noted(*key):
                    future.result()
        finally:
            beside.shutdown(cancel_futures=True)

    @contextmanager
    def _noted(self, where: str, name: str) -> Iterator[None]:
        """Keep an error of an export, for all who measure it."""
        try:
            yield
        except CostError as error:
            self._exported[where, name] = self._exported[where, name][0], error

    def _exports_for(self, where: str, setting: Setting) -> Exports:
        if where not in self._exports:
            assert setting.dtype is not None
            folder = self._folder / where
            folder.mkdir()
            self._exports[where] = Exports(
                folder, setting.runtime, dtype_name(setting.dtype), measures_memory=False, processes=self._processes
            )
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


def _where(models: Mapping[str, Model], setting: Setting) -> str:
    """The name of the exports that models of a setting are among."""
    assert setting.dtype is not None
    return f"{setting.runtime}_{dtype_name(setting.dtype)}_{len(models)}"


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
        kept = {key_of(row["facts"]) for row in record["rows"] if not is_wanting(row)}
        tasks = list(Study(Path(folder), list(runtimes), threads, processes, kept).tasks())
        record["tasks"] = len(tasks)
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
