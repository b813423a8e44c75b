"""Where the work of a sweep is done: processes of this machine, a Dask cluster, or any executor."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from ulsam_cost.errors import CostError, first_line
from ulsam_cost.sweeping.work import is_ready, start_worker

TASKS_A_PROCESS = 500  # before it is replaced by a new one, so that what models leave behind goes
CONNECT_SECONDS = 10.0
RESOURCE = "device"  # of a Dask worker that may time models, one at a time
GUARD = "uc.sweep in a script stands under `if __name__ == '__main__':`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Executors for a sweep.

    Attributes:
        executor: gives a context with an executor of so many workers; asked for again where one broke.
        workers: how many models are worked on at once.
        round: how many models one executor gets.
        lost: the errors that say that the process of a task ended.
        is_ours: whether a broken executor can be replaced.
        has_workers: whether anything is there that could do the work.
    """

    executor: Callable[[int], AbstractContextManager[Executor]]
    workers: int
    round: int = TASKS_A_PROCESS
    lost: tuple[type[Exception], ...] = (BrokenExecutor,)
    is_ours: bool = True
    has_workers: Callable[[], bool] = lambda: True


def process_pool(workers: int | None = None, *, memory: int | None = None, threads: int | None = 1) -> Engine:
    """Processes of this machine, each replaced after some hundred models.

    Args:
        workers: how many; None for the processors that this process may use.
        memory: bytes that each may hold, on systems that know such a limit; None for an equal share of what is free.
        threads: of PyTorch's in each; None leaves them.
    """
    many = workers or _processors()
    share = _share_of_memory(many) if memory is None else memory

    @contextmanager
    def pool(size: int) -> Iterator[Executor]:
        before = set(multiprocessing.active_children())
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(size, mp_context=context, initializer=start_worker, initargs=(share, threads))
        try:
            yield executor
            executor.shutdown()
        finally:  # on an interrupt, what still runs would keep the program
            executor.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()

    return Engine(executor=pool, workers=many, round=TASKS_A_PROCESS * many)


def given_executor(executor: Executor, workers: int | None = None) -> Engine:
    """An executor that the caller made, and shuts down.

    Args:
        executor: any of `concurrent.futures`.
        workers: models at once; None for its own number of workers, where it tells one.
    """
    if not isinstance(executor, Executor):
        raise CostError(f"executor is {type(executor).__name__}: a concurrent.futures.Executor is accepted")
    many = workers or getattr(executor, "_max_workers", None) or _processors()
    return Engine(executor=lambda size: nullcontext(executor), workers=many, is_ours=False)


@contextmanager
def dask_cluster(address: str, *, times: bool = False) -> Iterator[Engine]:
    """The workers of a Dask cluster.

    Args:
        address: of its scheduler, as in `tcp://10.0.0.1:8786`.
        times: whether models are timed: only workers with the resource `device` get them, one for each unit of it.

    Raises:
        CostError: without dask.distributed, for a scheduler that is not there or has no fitting worker.
    """
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise CostError("--scheduler needs dask.distributed: pip install 'ulsam-cost[dask]'") from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise CostError(f"no Dask scheduler answers at {address}: {first_line(error)}") from error
    try:
        offered = client.scheduler_info(n_workers=-1)["workers"].values()
        resources = {RESOURCE: 1} if times else None
        slots = sum(int(each["resources"].get(RESOURCE, 0)) if times else each["nthreads"] for each in offered)
        if not slots:
            wanted = f"a worker with `--resources {RESOURCE}=1`" if times else "a worker"
            raise CostError(f"the Dask scheduler at {address} has no worker for this: {wanted} is needed")
        executor = client.get_executor(pure=False, **({"resources": resources} if resources else {}))
        yield Engine(
            executor=lambda size: nullcontext(executor),
            workers=slots,
            lost=(KilledWorker,),
            has_workers=lambda: bool(client.scheduler_info(n_workers=-1)["workers"]),
        )
    finally:
        client.close()


def require_ready(engine: Engine) -> None:
    """Have a worker import the package, before any model is sent.

    Raises:
        CostError: with what the worker says.
    """
    try:
        with engine.executor(1) as executor:
            executor.submit(is_ready).result()
    except engine.lost as error:
        raise CostError(f"the worker processes exit before any work starts: {GUARD}") from error
    except Exception as error:
        raise CostError(
            f"a worker cannot run ulsam-cost: {type(error).__name__}: {first_line(error)}; it is to be installed there"
        ) from error


def _processors() -> int:
    tells = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(tells(0)) if tells else os.cpu_count() or 1


def _share_of_memory(workers: int) -> int:
    from ulsam_cost.measuring.memory import free_memory

    return free_memory() // workers
