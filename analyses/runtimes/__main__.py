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
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a checkout that is not installed

import click
import torch

from analyses.latency.__main__ import add_macs, published_placements
from analyses.latency.tasks import Task, is_wanting, key_of, resumed, save_record, take
from analyses.runtimes.exporter import Exporter, Format, Job, Model, built, pinned_processes
from analyses.runtimes.page import NAME, runtime_files
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.formulas.networks import network_spec
from ulsam_cost.measuring.device import INT8, dtype_name, machine_state, resolve_dtype
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.runner import Setting
from ulsam_cost.measuring.runtimes.files import BASELINE, NETWORK
from ulsam_cost.measuring.runtimes.measured import Exports, measure_models
from ulsam_cost.measuring.runtimes.process import KeptProcesses
from ulsam_cost.measuring.runtimes.registry import REGISTERED as RUNTIMES
from ulsam_cost.measuring.runtimes.registry import TORCH, get_runtime, require_installed, version_of
from ulsam_cost.report.files import write_files

GROUPS = (4, 1, 16)  # most wanted first
FLOAT32 = "float32"
CPU = torch.device("cpu")
SAMPLING_SHARE = 0.25  # of a task's time; exporting takes the rest
MOST_SECONDS = 1.5
SAME = ("name", "torch", "cpus")  # of the machine, where a record is taken up


class Study:
    """The tasks: each measures exported models, or the models themselves in PyTorch.

    Args:
        folder: an empty one.
        runtimes: their names, PyTorch's among them.
        threads: in how many each is measured.
        exporter: exports the models.
        processes: the runtimes' own, which stay for the next job.
        kept: the keys of tasks that will not be run: nothing is exported for them.
    """

    def __init__(
        self,
        folder: Path,
        runtimes: Sequence[str],
        threads: Sequence[int],
        exporter: Exporter,
        processes: KeptProcesses | None = None,
        kept: Collection[str] = (),
    ) -> None:
        self.runtimes, self.threads = runtimes, threads
        self._folder, self._exporter, self._processes, self._kept = folder, exporter, processes, kept
        self._exports: dict[tuple[Format, int], Exports] = {}

    def tasks(self) -> list[Task]:
        """All tasks, few subspaces first; those of one model, and of one plain network, follow each other."""
        return [task for facts, model in _subjects() for task in self._everywhere(facts, model)]

    def _everywhere(self, facts: dict[str, Any], model: Model) -> list[Task]:
        tasks, wanted = [], []
        jobs: list[Job] = []
        for dtype, runtime, threads in product((FLOAT32, INT8), self.runtimes, self.threads):
            if runtime == TORCH and dtype == INT8:  # PyTorch's eager mode has none
                continue
            setting = Setting(device=CPU, dtype=resolve_dtype(dtype), runtime=runtime, threads=threads)
            where = {"runtime": runtime, "dtype": dtype, "threads": threads}
            tasks.append(Task(facts=facts | where, run=partial(self._measure, model, setting, jobs)))
            if runtime != TORCH and tasks[-1].key not in self._kept:
                wanted.append((runtime, dtype))
        formats = tuple(dict.fromkeys(wanted))
        jobs += [Job(each, name, formats) for name, each in _models(model).items()]
        if formats:
            self._exporter.plan(jobs)
        return tasks

    def _measure(self, model: Model, setting: Setting, jobs: Sequence[Job], effort: Effort) -> dict[str, Any]:
        if setting.in_torch:
            *baseline, (network, inputs) = map(built, _models(model).values())
            pair = measure_models(baseline[0][0] if baseline else None, network, inputs, setting=setting, effort=effort)
            return {"latency": pair.to_dict()}
        assert setting.dtype is not None
        form = setting.runtime, dtype_name(setting.dtype)
        exports = self._exports_of(form, len(jobs))
        for job in jobs:
            exports.take(job.name, self._exporter.exported(job, form))
        return {"latency": exports.measure(setting, effort, lambda share: None).to_dict()}

    def _exports_of(self, form: Format, models: int) -> Exports:
        if (form, models) not in self._exports:
            folder = self._folder / f"{'_'.join(form)}_{models}"
            folder.mkdir()
            self._exports[form, models] = Exports(folder, *form, measures_memory=False, processes=self._processes)
        return self._exports[form, models]


def _subjects() -> Iterator[tuple[dict[str, Any], Model]]:
    """The facts of each model that is measured, and the model."""
    placements = sorted(published_placements())
    for groups in (GROUPS[:1], GROUPS[1:]):
        for (network, width, positions), count in product(placements, groups):
            spec = network_spec(network, width=width, positions=positions, groups=count)
            placement = {"network": network, "width": width, "positions": positions, "groups": count}
            yield {"section": "placement", **placement}, spec
        for name in REGISTERED if groups == GROUPS[:1] else ():
            yield {"section": "mechanism", "mechanism": name}, name


def _models(model: Model) -> dict[str, Model]:
    """The models that are measured in turn: a network beside the plain one, a mechanism by itself."""
    return {NETWORK: model} if isinstance(model, str) else {BASELINE: model.plain(), NETWORK: model}


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
        pinned_processes() as (executor, number),
    ):
        threads = sorted({1, torch.get_num_threads()})
        kept = {key_of(row["facts"]) for row in record["rows"] if not is_wanting(row)}
        exporter = Exporter(Path(folder, "exported"), executor, ahead=number)
        tasks = Study(Path(folder), list(runtimes), threads, exporter, processes, kept).tasks()
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
