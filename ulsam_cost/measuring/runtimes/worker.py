"""The process of a runtime: loads exported files, checks what they give, and measures.

    python -m ulsam_cost.measuring.runtimes.worker

Each line of standard input is a job in JSON. Messages go to standard output, each a line of JSON, the last of a job
`done` or `error`; whatever else is printed goes to standard error. The process ends when there are no more jobs, and
when nobody reads its messages any more.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any

from ulsam_cost.errors import CostError, first_line
from ulsam_cost.measuring.busy import ProcessorTime, load_between
from ulsam_cost.measuring.resident import resident_peak
from ulsam_cost.measuring.rounds import Effort, take_rounds, wall_clock
from ulsam_cost.measuring.runtimes.check import agreement
from ulsam_cost.measuring.runtimes.files import ModelFolder
from ulsam_cost.measuring.runtimes.registry import get_runtime
from ulsam_cost.measuring.runtimes.runtime import WARM_UP, Runtime, Session, mean_ms

Job = Mapping[str, Any]
Tell = Callable[[dict[str, Any]], None]
PROFILED_ROUNDS = 6  # the fewest that an interval can be given of
MOST_RUNS_A_ROUND = 200
SECONDS_BETWEEN_MESSAGES = 0.25  # whoever hears one takes time of the processor


def quantize(folder: Path, runtime: Runtime, job: Job, tell: Tell) -> None:
    """Make the files of every model int8."""
    assert runtime.quantize is not None
    for name in job["models"]:
        model = ModelFolder(folder / name)
        with _said(f"{runtime.title} does not quantize the {name}"):
            runtime.quantize(model.files, model.read_samples())


def memory(folder: Path, runtime: Runtime, job: Job, tell: Tell) -> None:
    """Load one model, run it once, and tell the peak of the memory."""
    runtime.start()
    [name] = job["models"]
    tell({"resident_bytes": resident_peak(lambda: _session(folder, name, runtime, job).run())})


def measure(folder: Path, runtime: Runtime, job: Job, tell: Tell) -> None:
    """Load the models, compare what they give with PyTorch's outputs, and then time them in turn."""
    sessions = {name: _session(folder, name, runtime, job) for name in job["models"]}
    for name, session in sessions.items():
        with _said(f"the {name} does not run in {runtime.title}"):
            outputs = session.run()
        try:
            place = ModelFolder(folder / name)
            [own] = place.read("own_difference")
            found = agreement(outputs, place.read("outputs"), job["dtype"], own=float(own))
        except CostError as error:
            raise CostError(f"{runtime.title}, {name}: {error}") from error
        tell({"model": name, "agreement": asdict(found)})
    tell({"settings": dict(next(iter(sessions.values())).settings)})
    _take_times(list(sessions.values()), job, tell)


def layers(folder: Path, runtime: Runtime, job: Job, tell: Tell) -> None:
    """Tell what the runtime's profiler says of a model, in turn with the model's times without it."""
    assert runtime.profile is not None
    [name] = job["models"]
    session, model = _session(folder, name, runtime, job), ModelFolder(folder / name)
    inputs, runs = model.read("inputs"), _runs_a_round(session, Effort(**job["effort"]))
    for number in range(PROFILED_ROUNDS):
        plain_ms = mean_ms(session.run, runs)
        with _said(f"{runtime.title} does not profile the {name}"):
            profiled = runtime.profile(model.files, inputs, threads=job["threads"], dtype=job["dtype"], runs=runs)
        tell({"share": (number + 1) / PROFILED_ROUNDS, "plain_ms": plain_ms, "profiled": asdict(profiled)})


def _runs_a_round(session: Session, effort: Effort) -> int:
    if effort.repeats:
        return ceil(effort.repeats / PROFILED_ROUNDS)
    seconds = effort.max_seconds / PROFILED_ROUNDS / 2  # with the profiler, and without
    return min(max(1, int(1e3 * seconds / mean_ms(session.run, WARM_UP))), MOST_RUNS_A_ROUND)


def _take_times(sessions: list[Session], job: Job, tell: Tell) -> None:
    times: list[list[float]] = [[] for _ in sessions]
    told, last = 0, perf_counter()

    def heard(share: float) -> None:
        nonlocal told, last
        if perf_counter() - last < SECONDS_BETWEEN_MESSAGES:
            return
        tell({"share": share, "times": [column[told:] for column in times]})
        told, last = len(times[0]), perf_counter()

    start = ProcessorTime.now()
    take_rounds([each.run for each in sessions], wall_clock, Effort(**job["effort"]), times, heard)
    load = load_between(start, ProcessorTime.now(), threads=job["threads"])
    tell({"times": [column[told:] for column in times], "load": load and asdict(load)})


def _session(folder: Path, name: str, runtime: Runtime, job: Job) -> Session:
    model = ModelFolder(folder / name)
    with _said(f"{runtime.title} does not load the {name}"):
        return runtime.load(model.files, model.read("inputs"), threads=job["threads"], dtype=job["dtype"])


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Turn whatever a runtime raises into one sentence."""
    try:
        yield
    except Exception as error:
        raise CostError(f"{what}: {first_line(error)}") from error


TASKS = {"quantize": quantize, "memory": memory, "measure": measure, "layers": layers}


def main() -> None:
    """Do the jobs, one after the other."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as messages:
        os.dup2(2, 1)

        def tell(message: dict[str, Any]) -> None:
            messages.write(json.dumps(message) + "\n")
            messages.flush()

        for line in sys.stdin:
            job = json.loads(line)
            try:
                TASKS[job["task"]](Path(job["folder"]), get_runtime(job["runtime"]), job, tell)
                tell({"done": True})
            except CostError as error:
                tell({"error": str(error)})


if __name__ == "__main__":
    main()
    os._exit(0)  # nobody waits for what a runtime tidies up
