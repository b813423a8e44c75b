"""How long counting takes, compared with other counters: medians of runs in turn, in one process.

    python analyses/counters.py

writes `counters.md` into `reports/`: the time to count three networks, the first count of a fresh process, how the
time grows with the number of operations, and the memory in which a transformer of 70 billion parameters is counted.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a checkout that is not installed

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.peers import run_peer
from ulsam_cost.report.files import write_files
from ulsam_cost.report.formats import Table, number, render, words

NETWORKS = ("mv2", "resnet50", "resnet152")
DEPTHS = (50, 101, 200, 500, 1000)
Work = Callable[[], Any]


def seconds(work: Work) -> float:
    """The time that a piece of work takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


def medians(works: dict[str, Work], runs: int) -> dict[str, float]:
    """The median time of each work in milliseconds, all of them in turn after one run each."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            times[name].append(1e3 * seconds(work))
    return {name: statistics.median(taken) for name, taken in times.items()}


def flop_counter_mode(model: nn.Module, x: Tensor) -> int:
    """Torch's own counter on the device where the model is."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    return int(counter.get_total_flops())


def compare(name: str, runs: int) -> list[dict[str, Any]]:
    """A record a tool: its time for a network, and how many times ours that is."""
    with torch.device("meta"):
        on_meta, x = uc.build(name).eval(), torch.empty(1, 3, 224, 224)
    on_cpu, image = uc.build(name).eval(), torch.zeros(1, 3, 224, 224)
    assert flop_counter_mode(on_meta, x) == uc.count(on_meta, x).number("torch")
    times = medians(
        {
            "ulsam-cost, model on meta": lambda: uc.count(on_meta, x).macs,
            "ulsam-cost, model on CPU": lambda: uc.count(on_cpu, image).macs,
            "FlopCounterMode, on meta": lambda: flop_counter_mode(on_meta, x),
            "fvcore, on CPU": lambda: run_peer("fvcore", on_cpu, image),
            "thop, on CPU": lambda: run_peer("thop", on_cpu, image),
        },
        runs,
    )
    ours = times["ulsam-cost, model on meta"]
    return [{"network": name, "tool": tool, "ms": ms, "times": ms / ours} for tool, ms in times.items()]


class Bottleneck(nn.Module):
    """Three convolutions around a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(64, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 64, 1, bias=False), nn.BatchNorm2d(64)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The map's own shape."""
        result: Tensor = F.relu(x + self.layers(x))
        return result


def growth(runs: int) -> list[dict[str, Any]]:
    """A record a depth: operations, and the time for each of them."""
    records = []
    with torch.device("meta"):
        x = torch.empty(1, 64, 56, 56)
        for depth in DEPTHS:
            model = nn.Sequential(*(Bottleneck() for _ in range(depth // 3))).eval()
            operations = len(uc.count(model, x).cost.ops)
            ms = medians({"ours": partial(uc.count, model, x)}, runs)["ours"]
            records.append({"layers": depth, "operations": operations, "ms": ms, "us": 1e3 * ms / operations})
    return records


WIDTH, HEADS, GROUPS, HIDDEN, LAYERS, WORDS, LENGTH = 8192, 64, 8, 28672, 80, 128_256, 4096


class Layer(nn.Module):
    """Attention with grouped queries, then a gated linear unit, as Llama 3 has them."""

    def __init__(self) -> None:
        super().__init__()
        narrow = WIDTH // HEADS * GROUPS
        self.norm_1, self.norm_2 = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.q, self.o = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.k, self.v = nn.Linear(WIDTH, narrow, bias=False), nn.Linear(WIDTH, narrow, bias=False)
        self.gate, self.up = nn.Linear(WIDTH, HIDDEN, bias=False), nn.Linear(WIDTH, HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[n, l, d] -> [n, l, d]."""
        y = self.norm_1(x)
        q, k, v = (part(y).unflatten(2, (-1, WIDTH // HEADS)).transpose(1, 2) for part in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(attended.transpose(1, 2).flatten(2))
        y = self.norm_2(x)
        result: Tensor = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return result


def large() -> dict[str, Any]:
    """Count a transformer of 70 billion parameters in this process: what it costs, how long, in how much memory."""
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Embedding(WORDS, WIDTH), *(Layer() for _ in range(LAYERS)), nn.Linear(WIDTH, WORDS, bias=False)
        )
        ids = torch.empty(1, LENGTH, dtype=torch.int64)
    start = perf_counter()
    counted = uc.count(model.eval(), ids)
    taken = perf_counter() - start
    projections = 2 * WIDTH * WIDTH + 2 * WIDTH * (WIDTH // HEADS * GROUPS) + 3 * WIDTH * HIDDEN
    by_hand = LENGTH * (LAYERS * (projections + 2 * LENGTH * WIDTH) + WIDTH * WORDS)
    assert counted.macs == by_hand, (counted.macs, by_hand)
    return {"params": counted.params, "macs": counted.macs, "ms": 1e3 * taken, "MiB": most_resident() / 2**20}


def most_resident() -> int:
    """The most bytes that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there is at least what the parent held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def first() -> dict[str, Any]:
    """The first count of this process, imports and the building of the network aside."""
    with torch.device("meta"):
        model, x = uc.build("mv2").eval(), torch.empty(1, 3, 224, 224)
    count = uc.count  # fetched, and with it what it imports
    return {"ms": 1e3 * seconds(lambda: count(model, x))}


def in_a_fresh_process(part: str) -> dict[str, Any]:
    """What a part of this script finds when nothing has run before it."""
    command = [sys.executable, __file__, "--part", part]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    record: dict[str, Any] = json.loads(found.stdout)
    return record


def two_digits(value: float) -> str:
    """A time."""
    return f"{value:,.2f}"


def page(times: list[dict[str, Any]], grown: list[dict[str, Any]], start: dict[str, Any], big: dict[str, Any]) -> str:
    """The report."""
    tools = (words("network", "network"), words("tool", "tool"), number("ms", "ms", two_digits))
    faster = number("times", "times ours", two_digits)
    depths = (number("layers", "layers"), number("operations", "operations"), number("ms", "ms", two_digits))
    each = number("us", "us per operation", two_digits)
    return "\n\n".join(
        (
            "# How long counting takes",
            f"Written by `analyses/counters.py` with torch {torch.__version__}, Python {platform.python_version()}, "
            "one thread. Times are medians of runs in turn, in one process. A tool on CPU computes the network; one on "
            "meta propagates shapes alone. fvcore and thop run on a copy of the model, and their times include making "
            "that copy.",
            "## Networks at 224 x 224",
            render(Table(columns=(*tools, faster), records=times), "markdown"),
            "## A fresh process",
            f"The first count of MobileNetV2, without imports, takes {start['ms']:.1f} ms.",
            "## Residual networks of 50 to 1,000 layers",
            render(Table(columns=(*depths, each), records=grown), "markdown"),
            "## A transformer of 70 billion parameters",
            f"{big['params']:,} parameters and {big['macs']:,} MACs (equal to the count by hand) on {LENGTH:,} tokens, "
            f"counted in {big['ms']:,.0f} ms. The process holds at most {big['MiB']:,.0f} MiB, including PyTorch.",
        )
    )


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Folder.")
@click.option("--networks", default=",".join(NETWORKS), show_default=True, help="Compared in each tool.")
@click.option("--runs", default=15, show_default=True, help="Runs of each tool.")
@click.option("--part", type=click.Choice(["first", "large"]), hidden=True)
def main(out: Path, networks: str, runs: int, part: str | None) -> None:
    """Measure, print and write the report."""
    torch.set_num_threads(1)
    if part is not None:
        click.echo(json.dumps({"first": first, "large": large}[part]()))
        return
    times = [record for name in networks.split(",") for record in compare(name, runs)]
    text = page(times, growth(runs), in_a_fresh_process("first"), in_a_fresh_process("large"))
    click.echo(text)
    write_files(out, {"counters.md": (text + "\n").encode()})


if __name__ == "__main__":
    main()
