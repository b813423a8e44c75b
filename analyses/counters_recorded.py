"""Record what the tools of the `dev` extra report for every network and mechanism of this project.

    python analyses/counters_recorded.py

writes `ulsam_cost/published/counters.json`, with which the tests compare the conventions.
"""

import json
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import click
import torch
from torch import nn

import ulsam_cost as uc
from ulsam_cost.formulas.attention import mechanisms
from ulsam_cost.formulas.networks import REGISTERED as NETWORKS
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.peers import run_peer

TOOLS = ("ptflops", "torchinfo", "torchprofile", "calflops")
TARGET = Path(__file__).parents[1] / "ulsam_cost" / "published" / "counters.json"


def cases() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Everything in the registries, by name."""
    found: dict[str, tuple[nn.Module, torch.Tensor]] = {}
    for mechanism in mechanisms():
        channels = -(-32 // mechanism.multiple) * mechanism.multiple
        module = build_attention(mechanism.name, channels, **mechanism.built_for((14, 14)))
        found[f"attention {mechanism.name}"] = module, torch.zeros(1, channels, 14, 14)
    image = torch.zeros(1, 3, 96, 96)
    found |= {name: (uc.build(name), image) for name in NETWORKS}
    found["mv1 at 8:1,9:1,11"] = (uc.build("mv1", positions="8:1,9:1,11"), image)
    found["mv2 at 14,17"] = (uc.build("mv2", positions="14,17", style="release"), image)
    return found | {f"layer {name}": case for name, case in layers().items()}


def layers() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Layers that no network of the project has, and that tools count as a whole."""
    steps, rows, words = torch.zeros(7, 2, 3), torch.zeros(2, 3), torch.zeros(3, 5, dtype=torch.int64)
    return {
        "LSTM": (nn.LSTM(3, 5, num_layers=2, bidirectional=True), steps),
        "LSTM without bias": (nn.LSTM(3, 5, bias=False, batch_first=True), steps),
        "GRU": (nn.GRU(3, 5, num_layers=2, bidirectional=True), steps),
        "RNN": (nn.RNN(3, 5, num_layers=2, bidirectional=True), steps),
        "LSTMCell": (nn.LSTMCell(3, 5), rows),
        "GRUCell": (nn.GRUCell(3, 5), rows),
        "RNNCell": (nn.RNNCell(3, 5), rows),
        "Embedding": (nn.Embedding(11, 4), words),
        "PReLU": (nn.PReLU(4), torch.zeros(3, 4, 5)),
        "RMSNorm": (nn.RMSNorm(4), torch.zeros(3, 5, 4)),
    }


def said(model: nn.Module, x: torch.Tensor) -> dict[str, int]:
    """What the tools say of a model; one that fails says nothing."""
    found = {}
    for tool in TOOLS:
        with suppress(Exception):  # such as of calflops for a module without parameters
            found[tool] = run_peer(tool, model.eval(), x)
    return found


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=TARGET, help="File, instead of the package's own.")
@click.option("--only", multiple=True, help="Name of a case, as in the file; once for each.  [default: all]")
def main(out: Path, only: tuple[str, ...]) -> None:
    """Run every tool on every case and write what they say."""
    chosen = {name: case for name, case in cases().items() if not only or name in only}
    totals = {name: said(model, x) for name, (model, x) in chosen.items()}
    record = {"versions": {tool: version(tool) for tool in TOOLS}, "totals": totals}
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    click.echo(f"{len(totals)} models, {len(TOOLS)} tools: {out}")


if __name__ == "__main__":
    main()
