"""Exports models ahead of their measurements: one in each processor, so that exports do not wait for each other."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from torch import Tensor, nn

from analyses.latency.__main__ import CHANNELS, SIZE
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.measuring.device import INT8
from ulsam_cost.measuring.runner import calibrate_batch_norm
from ulsam_cost.measuring.runtimes import worker
from ulsam_cost.measuring.runtimes.files import NETWORK
from ulsam_cost.measuring.runtimes.measured import Exports
from ulsam_cost.measuring.runtimes.registry import get_runtime
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.networks import build_network

Model = NetworkSpec | str  # a network, or a mechanism by itself
MOST_PROCESSES = 8  # each takes up to 1.5 GB
Format = tuple[str, str]  # a runtime, and one of its number formats


@dataclass(frozen=True)
class Job:
    """A model, its name among those that are measured together, and for what it is exported."""

    model: Model
    name: str
    formats: tuple[Format, ...]


@lru_cache(maxsize=2)
def built(model: Model) -> tuple[nn.Module, Tensor]:
    """A model and one input, the same in all processes."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    if isinstance(model, str):
        options = get_mechanism(model).built_for((SIZE, SIZE))
        module = build_attention(model, CHANNELS, **options).eval()
        return module, torch.randn(1, CHANNELS, SIZE, SIZE, generator=generator)
    inputs = torch.randn(2, 3, *model.resolution, generator=generator)
    return calibrate_batch_norm(build_network(model), inputs), inputs[:1]


def export(job: Job, folder: Path) -> dict[Format, str]:
    """Export a model into a folder a format; the errors of the formats that it has none in."""
    errors, shared = {}, folder / "shared"
    shared.mkdir(parents=True)
    for runtime, dtype in job.formats:
        place = folder_of(folder, (runtime, dtype))
        place.mkdir()
        try:
            Exports(place, runtime, dtype).add(job.name, *built(job.model), shared)
            if dtype == INT8 and get_runtime(runtime).quantize:
                worker.quantize(place, get_runtime(runtime), {"models": [job.name]}, print)
        except CostError as error:
            errors[runtime, dtype] = str(error)
    return errors


def folder_of(folder: Path, form: Format) -> Path:
    """Where a model is that was exported into a folder, in one of its formats."""
    return folder / "_".join(form)


@dataclass
class Exporter:
    """Exports jobs in their order, as many ahead as there are processors; then no export runs until the next is needed.

    Args:
        folder: an empty one.
        executor: runs the exports.
        ahead: how many run at a time.
    """

    folder: Path
    executor: Executor
    ahead: int
    _jobs: list[Job] = field(default_factory=list)
    _done: dict[Job, Mapping[Format, str]] = field(default_factory=dict)

    def plan(self, jobs: Sequence[Job]) -> None:
        """Export these, too, in this order; each once."""
        self._jobs += [job for job in dict.fromkeys(jobs) if job not in self._jobs]

    def exported(self, job: Job, form: Format) -> Path:
        """The folder of a job's model in a format.

        Raises:
            CostError: if it could not be exported.
        """
        if job not in self._done:
            self._export_from(self._jobs.index(job))
        if form in self._done[job]:
            raise CostError(self._done[job][form])
        return folder_of(self._folder(job), form) / job.name

    def _export_from(self, first: int) -> None:
        for before in self._jobs[:first]:
            if before.name == NETWORK:  # it was measured; a baseline is measured again
                rmtree(self._folder(before), ignore_errors=True)
        wanted = [job for job in self._jobs[first:] if job not in self._done][: self.ahead]
        try:
            running = [self.executor.submit(export, job, self._folder(job)) for job in wanted]
            self._done |= {job: future.result() for job, future in zip(wanted, running, strict=True)}
        except BrokenProcessPool as error:
            raise CostError("a process that exports has ended") from error

    def _folder(self, job: Job) -> Path:
        return self.folder / str(self._jobs.index(job))


@contextmanager
def pinned_processes() -> Iterator[tuple[Executor, int]]:
    """Processes that each have one of this process's processors for themselves, and their number; ended in any case."""
    context = multiprocessing.get_context("spawn")
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    number = min(len(processors) or os.cpu_count() or 1, MOST_PROCESSES)
    queue: Any = context.SimpleQueue()
    for processor in processors:
        queue.put(processor)
    others = multiprocessing.active_children()
    executor = ProcessPoolExecutor(number, context, _pin, (queue,))
    try:
        yield executor, number
    except BaseException:  # also an interrupt, for which nobody waits until an export ends
        for process in multiprocessing.active_children():
            if process not in others:
                process.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _pin(processors: Any) -> None:
    """Keep this process, and the threads of all libraries, on a processor of its own, and quiet.

    Ctrl-C is the parent's to answer.
    """
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {processors.get()})
    torch.set_num_threads(1)
