"""Record what the tools of the `dev` extra report for every network and mechanism of this project.

    python analyses/counters_recorded.py

writes `ulsam_cost/published/counters.json`, with which the tests compare the conventions.
"""

import json
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn

import ulsam_cost as uc
from ulsam_cost.formulas.attention import mechanisms
from ulsam_cost.formulas.networks import REGISTERED as NETWORKS
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.peers import run_peer

TOOLS = ("ptflops", "torchinfo", "torchprofile", "calflops")
Case = tuple[nn.Module, torch.Tensor | tuple[torch.Tensor, ...]]
TARGET = Path(__file__).parents[1] / "ulsam_cost" / "published" / "counters.json"


def cases() -> dict[str, Case]:
    """Everything in the registries, by name."""
    found: dict[str, Case] = {}
    for mechanism in mechanisms():
        channels = -(-32 // mechanism.multiple) * mechanism.multiple
        module = build_attention(mechanism.name, channels, **mechanism.built_for((14, 14)))
        found[f"attention {mechanism.name}"] = module, torch.zeros(1, channels, 14, 14)
    image = torch.zeros(1, 3, 96, 96)
    found |= {name: (uc.build(name), image) for name in NETWORKS}
    found["mv1 at 8:1,9:1,11"] = (uc.build("mv1", positions="8:1,9:1,11"), image)
    found["mv2 at 14,17"] = (uc.build("mv2", positions="14,17", style="release"), image)
    return found | {f"layer {name}": case for name, case in (layers() | attention_layers()).items()}


def layers() -> dict[str, Case]:
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


class Attends(nn.Module):
    """Two sequences, the first of which attends to the second; the weights are dropped."""

    def __init__(self, *, masked: bool = False, need_weights: bool = True, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 4, batch_first=True, **options)
        self.masked, self.need_weights = masked, need_weights

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """[n, l, d], [n, s, d] -> [n, l, d]."""
        mask = x.new_zeros(x.shape[1], y.shape[1]) if self.masked else None
        attended: torch.Tensor = self.attention(x, y, y, attn_mask=mask, need_weights=self.need_weights)[0]
        return attended


def attention_layers() -> dict[str, Case]:
    """Layers of torch.nn that have attention: 2 sequences of 5, or of 5 and 7, with 4 heads and 12 features."""
    x, y, k, v = (torch.zeros(2, *shape) for shape in ((5, 12), (7, 12), (7, 6), (7, 8)))
    steps, attention = x.transpose(0, 1), nn.MultiheadAttention
    widths: dict[str, Any] = {"kdim": 6, "vdim": 8, "batch_first": True}
    return {
        "attention": (attention(12, 4, batch_first=True), (x, x, x)),
        "attention, time first, without bias": (attention(12, 4, bias=False), (steps, steps, steps)),
        "attention to another sequence": (attention(12, 4, batch_first=True), (x, y, y)),
        "attention to other widths": (attention(12, 4, **widths), (x, k, v)),
        "attention to other widths, without bias": (attention(12, 4, bias=False, **widths), (x, k, v)),
        "attention with a key of its own": (attention(12, 4, add_bias_kv=True, **widths), (x, k, v)),
        "attention with a zero key": (attention(12, 4, add_zero_attn=True, batch_first=True), (x, x, x)),
        "attention in a model": (Attends(), (x, y)),
        "attention in a model, without weights": (Attends(need_weights=False, bias=False), (x, y)),
        "attention in a model, masked": (Attends(masked=True), (x, y)),
        "encoder layer": (nn.TransformerEncoderLayer(12, 4, 20, batch_first=True), x),
        "encoder layer, time first": (nn.TransformerEncoderLayer(12, 4, 20, activation="gelu"), steps),
        "decoder layer": (nn.TransformerDecoderLayer(12, 4, 20, batch_first=True), (x, y)),
    }


def said(model: nn.Module, x: torch.Tensor | tuple[torch.Tensor, ...]) -> dict[str, int]:
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
