"""What a sweep takes beside plain processes that share the same models, and how its parts would scale.

Run it as it is: python benchmarks/sweep.py
Or on a zoo:     python benchmarks/sweep.py --models zoo.py:names
It ends with 1 where the sweep, imports aside, takes more than 1.2 times as long as as many plain processes, each with
every other model, or where 100,000 derived networks make this process grow by more than 64 MiB.
"""

import argparse
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import psutil

from ulsam_cost.sweeping.models import ModelLine, read_models
from ulsam_cost.sweeping.row import Settings, Task
from ulsam_cost.sweeping.sweep import sweep
from ulsam_cost.sweeping.work import row_of, start_worker

WORKERS, MOST_RATIO, MOST_GROWTH = 2, 1.2, 64 * 2**20
DERIVED = 100_000
NETWORKS = ("mv1", "mv2", "resnet50", "mobilenet_v3_large", "efficientnet_b0", "shufflenet_v2_x1_0")
MECHANISMS = ("se", "cbam", "gc", "eca", "coord", "triplet", "simam", "sge")


def own_models() -> list[str]:
    """Networks of the project, each of which is built and counted."""
    texts = [f"{network} --attention {name}" for network in NETWORKS[:3] for name in MECHANISMS]
    return [
        *NETWORKS,
        *texts,
        *(f"{network} --width {width}" for network in ("mv1", "mv2") for width in (0.5, 0.75, 1.4)),
    ]


def work_through(texts: Sequence[str], channel: "multiprocessing.connection.Connection") -> None:
    """What a plain process does: its models one after another."""
    start_worker(None, 1)
    settings = Settings()
    for row, text in enumerate(texts):
        row_of(Task(row, ModelLine(text), settings, ""))
    channel.send(len(texts))


def plain_seconds(texts: Sequence[str]) -> float:
    """Seconds of plain processes, from their start to the end of the last."""
    context = multiprocessing.get_context("spawn")
    start = perf_counter()
    ends = []
    for worker in range(WORKERS):
        receiver, sender = context.Pipe(duplex=False)
        context.Process(target=work_through, args=(texts[worker::WORKERS], sender)).start()
        ends.append(receiver)
    for receiver in ends:
        receiver.recv()
    return perf_counter() - start


def sweep_seconds(texts: Sequence[str], folder: Path) -> float:
    """Seconds of a sweep into a Parquet dataset, from its start to its end."""
    start = perf_counter()
    sweep(texts, out=folder / f"{start}.parquet", workers=WORKERS)
    return perf_counter() - start


def growth(folder: Path) -> tuple[int, float]:
    """Bytes by which this process grows in the second half of many derived networks, and seconds in all."""
    widths = [round(0.25 + 0.01 * step, 2) for step in range(200)]
    placements = [",".join(str(layer) for layer in range(1, 14) if mask >> layer & 1) for mask in range(2, 1026)]
    grid = product(widths, placements)
    texts = (f"mv1 --width {width} --positions {positions}" for width, positions in grid if positions)
    sizes: list[int] = []

    def heard(rows: int) -> None:
        if rows % (DERIVED // 10) == 0:
            sizes.append(psutil.Process().memory_info().rss)

    start = perf_counter()
    sweep(islice(texts, DERIVED), out=folder / "derived.csv", derive=True, workers=WORKERS, progress=heard)
    return sizes[-1] - sizes[len(sizes) // 2], perf_counter() - start


def task_seconds() -> tuple[float, int, int]:
    """Seconds that an executor takes to hand out and take back one empty task, and bytes of a task and a row."""
    task = Task(0, ModelLine("mv1 --positions 8:1,9:1,11"), Settings(derive=True), "")
    row = row_of(task)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(len, "").result()
        start = perf_counter()
        for future in [pool.submit(len, "") for _ in range(2000)]:
            future.result()
        seconds = (perf_counter() - start) / 2000
    return seconds, len(pickle.dumps(task)), len(pickle.dumps(row))


def main() -> int:
    """Print one line a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", help="MODELS of the sweep, in place of the project's own networks")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = [line.model for line in read_models(options.models).lines] if options.models else own_models() * 4
    ratios = []
    with TemporaryDirectory() as scratch:
        for turn in range(options.rounds):
            pair: dict[int, Callable[[Sequence[str]], float]] = {
                0: plain_seconds,
                1: partial(sweep_seconds, folder=Path(scratch)),
            }
            # what a model a worker takes is the start of the processes and their imports
            turns = (0, 1) if turn % 2 else (1, 0)
            seconds = {which: pair[which](texts) - pair[which](texts[:WORKERS]) for which in turns}
            ratios.append(seconds[1] / seconds[0])
            print(f"{len(texts)} models: sweep {seconds[1]:.1f} s, {WORKERS} plain processes {seconds[0]:.1f} s")
        grown, took = growth(Path(scratch))
    ratio = sorted(ratios)[len(ratios) // 2]
    print(f"ratio {ratio:.2f}; at most {MOST_RATIO} is wanted")
    print(f"{DERIVED:,} derived networks: {took:.0f} s, {grown / 2**20:.1f} MiB more in their second half")
    empty, task, row = task_seconds()
    print(f"an empty task takes {1e6 * empty:.0f} us of this process; a task has {task:,} bytes, a row {row:,}")
    return 0 if ratio <= MOST_RATIO and grown <= MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
