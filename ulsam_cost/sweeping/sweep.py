"""`sweep`: the costs of many models, a row each, by several processes or a cluster."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any

from ulsam_cost.errors import CostError
from ulsam_cost.frames import Framed
from ulsam_cost.sweeping.engines import Engine, dask_cluster, given_executor, process_pool, require_ready
from ulsam_cost.sweeping.models import ModelLine, Models, as_models
from ulsam_cost.sweeping.row import Row, Settings, Task
from ulsam_cost.sweeping.run import rows_in_order
from ulsam_cost.sweeping.stores import Store, open_store
from ulsam_cost.sweeping.work import this_process

if TYPE_CHECKING:
    from pandas import DataFrame

ROWS_AT_ONCE, SECONDS_AT_ONCE = 1000, 10.0  # after so many rows, or so long, what there is gets kept
Heard = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Framed):
    """The result of a sweep; as a table (`to_frame()`) it has one row per model, in their order.

    Columns: `row`, `model`, `input`, `way` (`derived` or `counted`), `macs`, `params`, `activations`, the conventions
    that were asked for, `conv_macs` and so on (MACs by kind), `conv_writes` and so on (elements written by kind),
    `uncounted` (operations without a rule), `complete`, `seconds`, the times if models were timed, versions, and
    `error`: why a row has no costs.

    Example:
        >>> import ulsam_cost as uc
        >>> costs = uc.sweep(["mv1", "mv1 --positions 11", "mv7"], derive=True, workers=1).to_frame()
        >>> costs["macs"].tolist()[:2], costs["error"].isna().tolist()
        ([568740352, 516657664], [True, True, False])
    """

    columns: Mapping[str, str]  # type: ignore[misc]
    store: Store

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """The table's rows."""
        frame = self.to_frame()
        return (dict(zip(self.columns, row, strict=True)) for row in frame.itertuples(index=False, name=None))

    def to_frame(self) -> "DataFrame":
        """The table as a pandas DataFrame, read from where the rows are kept."""
        return self.store.frame()


def sweep(
    models: Any,
    *,
    out: str | os.PathLike[str] | None = None,
    conventions: Sequence[str] = (),
    inputs: Sequence[str] = (),
    derive: bool = False,
    device: str | None = None,
    repeats: int | None = None,
    timeout: float = 300.0,
    workers: int | None = None,
    memory: int | None = None,
    executor: Executor | None = None,
    scheduler: str | None = None,
    progress: Heard | None = None,
) -> Sweep:
    """Count many models, in several processes or on a cluster.

    A model that raises, does not end, takes too much memory or kills its process is a row that says so; the others are
    not lost. With `out`, rows are saved as they come, and the same call resumes where an earlier one stopped. In a
    script, call it under `if __name__ == "__main__":`, because the processes import the script.

    Args:
        models: texts that each name a MODEL, as on the command line: in any iterable, or a callable that gives one.
            Files that they name are looked up in the workers' working folder.
        out: `FILE.csv`, or `FOLDER.parquet` for a Parquet dataset; None keeps the rows in memory.
        conventions: names of counting rules, each a column beside MACs, parameters and activations.
        inputs: shapes such as `1x3x224x224`, for models without their own.
        derive: whether networks of this project are derived from closed forms, which is faster, and not counted.
        device: `auto`, `cpu` or `cuda`: where each model is also timed, one at a time; None does not time them.
        repeats: runs that are timed; None runs until the median is precise.
        timeout: seconds after which a model is given up; it does not apply to executors that use threads.
        workers: number of models at the same time; None for the number of processors, or one if models are timed.
        memory: bytes that each process of this machine may hold, on systems with such a limit; None for an equal
            share of what is free.
        executor: any executor of `concurrent.futures`, instead of processes of this machine.
        scheduler: the address of a Dask scheduler, whose workers do the work. Workers that time models offer the
            resource `device`.
        progress: called with the number of rows so far.

    Returns:
        A Sweep, with one row per model in their order.

    Raises:
        CostError: for settings or models that are not accepted, an `out` of another sweep, a cluster that does not
            answer, and workers that cannot run the package.

    Example:
        >>> import ulsam_cost as uc
        >>> uc.sweep([], workers=1)
        Traceback (most recent call last):
        ...
        ulsam_cost.errors.CostError: models gives no model: one or more are accepted
    """
    settings = Settings(conventions=tuple(conventions), derive=derive, device=device, repeats=repeats, timeout=timeout)
    return run_sweep(
        as_models(models),
        settings,
        open_store(out, settings.columns),
        _engine(settings, workers=workers, memory=memory, executor=executor, scheduler=scheduler),
        inputs=tuple(inputs),
        progress=progress,
    )


def run_sweep(
    models: Models,
    settings: Settings,
    store: Store,
    engine: AbstractContextManager[Engine],
    *,
    inputs: tuple[str, ...] = (),
    progress: Heard | None = None,
) -> Sweep:
    """Work on the models that the store does not have yet; arguments and errors as in `sweep`."""
    lines = (ModelLine(line.model, line.inputs or inputs) for line in models.lines)
    caller = this_process()
    tasks = (Task(row, line, settings, caller) for row, line in enumerate(lines))
    result = Sweep(columns=settings.columns, store=store)
    kept = _skip_kept(store, tasks)
    if progress:
        progress(kept)
    following = next(tasks, None)
    if following is None:
        return result
    with engine as ready:
        require_ready(ready)
        rows = rows_in_order(chain((following,), tasks), ready, first=kept)
        _keep(rows, store, progress or (lambda rows: None), kept)
    return result


def _engine(
    settings: Settings, *, workers: int | None, memory: int | None, executor: Executor | None, scheduler: str | None
) -> AbstractContextManager[Engine]:
    times = settings.device is not None
    if executor is not None and scheduler is not None:
        raise CostError("an executor or a scheduler is accepted, not both")
    if scheduler is not None:
        return dask_cluster(scheduler, times=times)
    if executor is not None:
        return nullcontext(given_executor(executor, workers))
    if times:
        return nullcontext(process_pool(workers or 1, memory=memory, threads=None))
    return nullcontext(process_pool(workers, memory=memory))


def _skip_kept(store: Store, tasks: Iterator[Task]) -> int:
    """Pass over the tasks whose rows are kept, and give their number.

    Raises:
        CostError: for a row of another sweep.
    """
    number = 0
    for record in store.kept():
        number += 1
        task = next(tasks, None)
        mine = task and (task.row, task.line.model, " ".join(task.line.inputs) or None, task.way)
        if mine != tuple(record.values()):
            here = "has no such row" if task is None else f"has {task.line.model!r}, {task.way}, there"
            found = f"row {record['row']} that is kept is {record['model']!r}, {record['way']}"
            raise CostError(f"{found}: this sweep {here}")
    return number


def _keep(rows: Iterable[Row], store: Store, progress: Heard, kept: int) -> None:
    """Append rows a few at a time, all of them also when the sweep is interrupted."""
    waiting: list[Mapping[str, Any]] = []
    since = monotonic()
    try:
        for row in rows:
            waiting.append(row.record())
            progress(row.row + 1)
            if len(waiting) >= ROWS_AT_ONCE or monotonic() - since >= SECONDS_AT_ONCE:
                store.append(waiting)
                waiting, since = [], monotonic()
    finally:
        if waiting:
            store.append(waiting)
