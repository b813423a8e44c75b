"""What a worker does with one model. It runs in a process of a pool, or on another machine."""

import ctypes
import faulthandler
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from time import perf_counter
from typing import Any

from ulsam_cost.cost import PRODUCT_KINDS, Cost, OpKind
from ulsam_cost.errors import CostError, first_line, says_too_large
from ulsam_cost.formulas.networks.text import spec_from_text
from ulsam_cost.sweeping.row import TIMES, WRITING_KINDS, Row, Settings, Task

GRACE = 5.0  # seconds after its timeout in which a model may end


def this_process() -> str:
    """A name for this process that no other one has, on any machine."""
    return f"{socket.gethostname()}:{os.getpid()}"


def start_worker(memory: int | None, threads: int | None) -> None:
    """Prepare a process of a pool: the most bytes that it may hold, and PyTorch's threads."""
    if memory is not None:
        with suppress(ImportError, OSError, ValueError):  # no such limit on Windows, or a lower one stands
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def is_ready() -> str:
    """What a worker answers once it has imported the package: its version."""
    return version("ulsam-cost")


def row_of(task: Task) -> Row:
    """The row of one model; whatever the model raises is a sentence of its row.

    A model that runs longer than its timeout is interrupted. One that does not hear of it, as in a kernel, or that
    does not load in time, takes its process with it, unless that is the process that waits for the sweep.
    """
    values: dict[str, Any] = {}
    error = None
    start = perf_counter()
    try:
        with _ended_after(task.settings.timeout + GRACE, is_own=task.caller == this_process()):
            (_derive if task.way == "derived" else _count)(task, values)
    except _TookTooLongError:
        error = f"it did not end within {task.settings.timeout:g} s"
    except (Exception, SystemExit) as raised:
        error = _sentence(raised)
    values["seconds"] = perf_counter() - start
    return Row(row=task.row, line=task.line, way=task.way, values=values | _versions(), error=error)


class _TookTooLongError(BaseException):
    """Raised inside a model at its timeout; no Exception, which the model might catch."""


@contextmanager
def _ended_after(seconds: float, *, is_own: bool) -> Iterator[None]:
    """End the process if what runs takes longer, also where it holds Python's lock; not the process that waits."""
    if is_own:
        yield
        return
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Raise _TookTooLongError in what runs longer, which costs no process."""
    thread, over, lock = threading.get_ident(), False, threading.Lock()

    def interrupt() -> None:
        with lock:
            if not over:
                _raise_in(thread, _TookTooLongError)

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()
        _raise_in(thread, None)  # what was to be raised and came too late


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    raised = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


def _derive(task: Task, values: dict[str, Any]) -> None:
    from ulsam_cost.formulas.networks import layers_cost, network_layers

    values |= _costs(layers_cost(network_layers(spec_from_text(task.line.model))), task.settings)
    values |= {"uncounted": 0, "complete": True}


def _count(task: Task, values: dict[str, Any]) -> None:
    from ulsam_cost.counting.loaded import count_loaded
    from ulsam_cost.counting.loading import load_model, load_to_count

    line, settings = task.line, task.settings
    timed = None if settings.device is None else load_model(line.model, inputs=line.inputs, device="cpu")
    loaded = timed or load_to_count(line.model, inputs=line.inputs)
    with _interrupted_after(settings.timeout):  # not while it loads: half of an import would stay in the process
        counted = count_loaded(loaded)
    values |= _costs(counted.cost, settings)
    values |= {"uncounted": sum(operation.calls for operation in counted.uncounted), "complete": counted.complete}
    if timed is not None:
        values |= _times(timed.model, timed.inputs, settings)


def _costs(cost: Cost, settings: Settings) -> dict[str, int]:
    from ulsam_cost.conventions import get_convention

    kinds = cost.by_kind()
    empty = Cost(())
    return {
        "macs": cost.macs,
        "params": cost.params,
        "activations": cost.activations,
        **{name: get_convention(name).number(cost) for name in settings.conventions},
        **{f"{kind}_macs": kinds.get(kind, empty).macs for kind in OpKind if kind in PRODUCT_KINDS},
        **{f"{kind}_writes": kinds.get(kind, empty).writes for kind in WRITING_KINDS},
    }


def _times(model: Any, inputs: Any, settings: Settings) -> dict[str, Any]:
    from ulsam_cost.measuring.device import device_name, resolve_device
    from ulsam_cost.measuring.measure import measure

    device = resolve_device(settings.device or "auto")
    timed = measure(model, inputs, device=device, repeats=settings.repeats)
    network = timed.network
    times = dict(zip(TIMES, (network.median_ms, network.interval.low, network.interval.high), strict=True))
    return times | {"device": device_name(device), "busy": timed.busy}


def _versions() -> dict[str, str]:
    loaded = sys.modules.get("torch")
    return {"ulsam_cost": version("ulsam-cost")} | ({"torch": str(loaded.__version__)} if loaded else {})


def _sentence(error: BaseException) -> str:
    if isinstance(error, CostError):
        return " ".join(str(error).split())
    if says_too_large(error):
        return f"the worker has no room for it: {first_line(error)}"
    return f"{type(error).__name__}: {first_line(error)}"
