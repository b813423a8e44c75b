"""Hand the models of a sweep to an engine, and give their rows in order, whatever happens to a worker."""

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from itertools import islice

from ulsam_cost.errors import CostError, first_line
from ulsam_cost.sweeping.engines import Engine
from ulsam_cost.sweeping.row import Row, Task
from ulsam_cost.sweeping.work import row_of

MOST_AHEAD = 256  # rows that are finished while an earlier one is not
PATIENCE = 60.0  # seconds without a row after which the engine is asked whether it still has workers
_KEPT = "the rows so far are kept, and the same sweep goes on from there"


def rows_in_order(
    tasks: Iterator[Task], engine: Engine, *, first: int = 0, work: Callable[[Task], Row] = row_of
) -> Iterator[Row]:
    """The rows of tasks in their order.

    A task whose process ends is run again by itself, because others may have been running there, too; if it ends
    once more, its row says so.

    Args:
        tasks: what is to be done, in the order of their rows, without a gap.
        engine: where.
        first: the row of the first task.
        work: what is done with each.

    Raises:
        CostError: where the caller's own executor, or the cluster, does not go on.
    """
    sweep = _Sweep(engine, work, first)
    while batch := list(islice(tasks, engine.round)):
        yield from sweep.round(batch)


class _Sweep:
    """The state of a sweep: the rows that wait for an earlier one."""

    def __init__(self, engine: Engine, work: Callable[[Task], Row], first: int) -> None:
        self._engine, self._work, self._next = engine, work, first
        self._done: dict[int, Row] = {}
        self._suspects: list[Task] = []

    def round(self, tasks: list[Task]) -> Iterator[Row]:
        """Work on tasks until all are done, with a new executor after each that lost a process."""
        rest = tasks[::-1]
        while rest:
            before = len(rest)
            with self._engine.executor(self._engine.workers) as executor:
                yield from self._until_one_is_lost(executor, rest)
            if len(rest) == before:
                raise CostError(f"the worker processes exit before any work starts: {_KEPT}")
            for task in sorted(self._suspects):
                self._done[task.row] = self._alone(task)
            self._suspects.clear()
            yield from self._ready()

    def _until_one_is_lost(self, executor: Executor, rest: list[Task]) -> Iterator[Row]:
        running: dict[Future[Row], Task] = {}
        while self._submit(executor, rest, running) or running:
            done = wait(running, PATIENCE, FIRST_COMPLETED).done
            if not done and not self._engine.has_workers():
                raise CostError(f"the cluster has no worker left: {_KEPT}")
            for future in done:
                self._collect(future, running.pop(future))
            yield from self._ready()

    def _submit(self, executor: Executor, rest: list[Task], running: dict["Future[Row]", Task]) -> bool:
        """Keep two tasks a worker at the executor, so that none waits for its next; whether one was added."""
        before = len(rest)
        while rest and not self._suspects and len(running) < 2 * self._engine.workers and len(self._done) < MOST_AHEAD:
            try:
                running[executor.submit(self._work, rest[-1])] = rest[-1]
            except BrokenExecutor:
                break
            rest.pop()
        return len(rest) < before

    def _collect(self, future: "Future[Row]", task: Task) -> None:
        try:
            self._done[task.row] = future.result()
        except self._engine.lost as error:
            if not self._engine.is_ours:
                raise CostError(f"the executor is broken: {_KEPT}") from error
            self._suspects.append(task)
        except CancelledError as error:
            raise CostError(f"the work was cancelled: {_KEPT}") from error
        except Exception as error:
            self._done[task.row] = _failed(task, f"{type(error).__name__}: {first_line(error)}")

    def _alone(self, task: Task) -> Row:
        """Run a task with nothing beside it."""
        with self._engine.executor(1) as executor:
            try:
                return executor.submit(self._work, task).result()
            except self._engine.lost:
                reasons = (
                    f"it crashed, ran out of memory, or did not stop at its timeout of {task.settings.timeout:g} s"
                )
                return _failed(task, f"its process ended: {reasons}")

    def _ready(self) -> Iterator[Row]:
        while self._next in self._done:
            yield self._done.pop(self._next)
            self._next += 1


def _failed(task: Task, error: str) -> Row:
    return Row(row=task.row, line=task.line, way=task.way, error=error)
