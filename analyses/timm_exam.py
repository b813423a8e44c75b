"""The whole zoo as a public exam: every row of the costs that timm publishes, counted here.

    python analyses/timm_exam.py [--workers 2] [--only MODEL]

timm prints parameters, GMACs and activations of its networks as fvcore counts them, with unfused attention, and with
the branches merged that can be merged for inference (results/benchmark-infer-amp-nchw-pt291-cu128-4090.csv of its
repository). `timm_exam.csv` of the package has these; this script counts the same networks, without values in their
weights, and writes the numbers beside the printed ones: the report's page rests on them.

It needs timm, which the project does not, in release 1.0.24, whose networks are those of the table. With another
release, the rows that differ are written into `timm_exam_later.csv`.
"""

import csv
import importlib
import io
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a checkout that is not installed

import click
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import ulsam_cost as uc
from benchmarks.first_counts import declare_torchvision
from ulsam_cost import published
from ulsam_cost.published.exam import EXAM, LATER, OF_THE_TABLE, exam_row
from ulsam_cost.report.files import write_file

NEEDED = ("timm", "torchvision", "huggingface_hub", "safetensors", "yaml")
FOLDER = Path(published.__file__).parent
RANDOM = frozenset({"normal_", "uniform_", "trunc_normal_", "erfinv_", "kaiming_normal_", "kaiming_uniform_"})
Row = dict[str, str]


class WithoutInitialValues(TorchFunctionMode):
    """While entered, parameters keep whatever values they have: only their shapes are counted."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in RANDOM:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def build(name: str, size: int, device: str) -> tuple[nn.Module, torch.Tensor]:
    """A network as timm counts it, and its input."""
    timm, layers, utils = map(importlib.import_module, ("timm", "timm.layers", "timm.utils"))
    layers.set_fused_attn(False)
    config = timm.get_pretrained_cfg(name)
    channels, height, _ = config.input_size
    options = {"img_size": size} if config.fixed_input_size and height != size else {}
    with torch.device(device), WithoutInitialValues():
        model = timm.create_model(name, scriptable=True, **options).eval()
        x = torch.empty(1, channels, size, size)
    with torch.device(device), torch.no_grad():
        return utils.reparameterize_model(model, inplace=True), x


def counted(row: Row) -> tuple[Row, float]:
    """A row with what was counted, and the seconds that counting took.

    Raises:
        ValueError: for a count that leaves something out.
    """
    try:
        return _counted(row, "meta")
    except RuntimeError:  # a few cannot be built on meta, or open an autocast for their device, which meta has not
        return _counted(row, "cpu")


def _counted(row: Row, device: str) -> tuple[Row, float]:
    model, x = build(row["model"], int(row["size"]), device)
    start = process_time()
    count = uc.count(model, x)
    seconds = process_time() - start
    if not count.complete:
        raise ValueError(f"{row['model']}: the count leaves out {count.left_out()}")
    numbers = {"params": count.params, **{name: count.number(name) for name in ("fvcore", "fvcore_activations")}}
    return {**row, **{name: str(number) for name, number in numbers.items()}}, seconds


def start_worker() -> None:
    """Make timm importable in a process, which counts with one thread."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    KEPT.append(declare_torchvision())


KEPT: list[Any] = []  # torchvision's operators are there as long as what declares them


def release_of_timm() -> str:
    """The release of timm that is installed; ends the program where timm, or what it imports, is not."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        click.echo(
            f"the exam needs what pip install timm=={OF_THE_TABLE} installs; not there: {', '.join(missing)}",
            err=True,
        )
        sys.exit(2)
    return version("timm")


def as_csv(rows: Sequence[Row]) -> bytes:
    """The rows as a file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@click.command()
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--only", multiple=True, help="Model, once for each; then nothing is written.  [default: all]")
def main(workers: int, only: tuple[str, ...]) -> None:
    """Count every row, write the numbers, and print what differs."""
    release = release_of_timm()
    rows = [row for row in published.read_rows(EXAM) if not only or row["model"] in only]
    start = perf_counter()
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker) as pool:
        done = list(pool.map(counted, rows, chunksize=8))
    rows = [row for row, _ in done]
    different = [row for row in rows if exam_row(row).differs]
    seconds = sum(taken for _, taken in done)
    click.echo(
        f"{len(rows)} rows with timm {release}: {len(different)} differ; counting took {seconds:.0f} s of CPU time, "
        f"building and counting {perf_counter() - start:.0f} s in {workers} processes"
    )
    for row in different:
        click.echo(f"  {row}")
    if not only and release == OF_THE_TABLE:
        write_file(FOLDER / EXAM, as_csv(rows))
    elif not only and different:
        write_file(FOLDER / LATER, as_csv([{**row, "release": release} for row in different]))


if __name__ == "__main__":
    main()
