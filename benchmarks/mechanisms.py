"""Each mechanism's module beside the structure of its authors' code, written plainly on the same weights, in turn.

    python benchmarks/mechanisms.py [--device auto] [--batch 8] [--repeats 30] [NAME ...]

Both give the same map, which is checked; a ratio below 1 means that the module takes less time than the structure.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.measuring.measure import measure
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.report.formats import Table, number, render, words

CHANNELS, SIZE = 512, 14
Forward = Callable[[Any, Tensor], Any]
STRUCTURES: dict[str, Forward] = {}


def structure(forward: Forward) -> Forward:
    """Add the structure of the mechanism that the function is named after."""
    STRUCTURES[forward.__name__.lstrip("_")] = forward
    return forward


@structure
def _eca(m: Any, x: Tensor) -> Any:
    y = m.conv(m.pool(x).squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
    return x * m.sigmoid(y).expand_as(x)


@structure
def _coord(m: Any, x: Tensor) -> Any:
    h, w = x.shape[2:]
    y = m.norm(m.shared(torch.cat([m.row_pool(x), m.column_pool(x).permute(0, 1, 3, 2)], dim=2)))
    y = y * (F.relu6(y + 3) / 6)
    rows, columns = torch.split(y, [h, w], dim=2)
    return x * m.columns(columns.permute(0, 1, 3, 2)).sigmoid() * m.rows(rows).sigmoid()


@structure
def _triplet(m: Any, x: Tensor) -> Any:
    def gate(part: Any, y: Tensor) -> Any:
        pooled = torch.cat((torch.max(y, 1)[0].unsqueeze(1), torch.mean(y, 1).unsqueeze(1)), dim=1)
        return y * torch.sigmoid(part.norm(part.conv(pooled)))

    rows = gate(m.rows, x.permute(0, 2, 1, 3).contiguous()).permute(0, 2, 1, 3).contiguous()
    columns = gate(m.columns, x.permute(0, 3, 2, 1).contiguous()).permute(0, 3, 2, 1).contiguous()
    return 1 / 3 * (gate(m.plane, x) + rows + columns)


@structure
def _simam(m: Any, x: Tensor) -> Any:
    n = x.shape[2] * x.shape[3] - 1
    square = (x - x.mean(dim=[2, 3], keepdim=True)).pow(2)
    return x * m.sigmoid(square / (4 * (square.sum(dim=[2, 3], keepdim=True) / n + m.regularizer)) + 0.5)


@structure
def _sge(m: Any, x: Tensor) -> Any:
    b, c, h, w = x.size()
    y = x.view(b * m.groups, -1, h, w)
    t = (y * F.adaptive_avg_pool2d(y, 1)).sum(dim=1, keepdim=True).view(b * m.groups, -1)
    t = t - t.mean(dim=1, keepdim=True)
    t = (t / (t.std(dim=1, keepdim=True) + 1e-5)).view(b, m.groups, h, w)
    t = (t * m.weight + m.bias).view(b * m.groups, 1, h, w)
    return (y * m.sigmoid(t)).view(b, c, h, w)


@structure
def _shuffle(m: Any, x: Tensor) -> Any:
    b, c, h, w = x.shape
    first, second = x.reshape(b * m.groups, -1, h, w).chunk(2, dim=1)
    first = first * m.sigmoid(m.channel_weight * F.adaptive_avg_pool2d(first, 1) + m.channel_bias)
    second = second * m.sigmoid(m.position_weight * m.norm(second) + m.position_bias)
    out = torch.cat([first, second], dim=1).reshape(b, -1, h, w)
    return out.reshape(b, 2, -1, h, w).permute(0, 2, 1, 3, 4).reshape(b, c, h, w)


@structure
def _ema(m: Any, x: Tensor) -> Any:
    b, c, h, w = x.size()
    y = x.reshape(b * m.groups, -1, h, w)
    rows, columns = torch.split(
        m.directions(torch.cat([m.row_pool(y), m.column_pool(y).permute(0, 1, 3, 2)], dim=2)), [h, w], dim=2
    )
    one = m.norm(y * rows.sigmoid() * columns.permute(0, 1, 3, 2).sigmoid())
    other = m.local(y)

    def attended(first: Tensor, second: Tensor) -> Tensor:
        weights = F.softmax(F.adaptive_avg_pool2d(first, 1).reshape(b * m.groups, -1, 1).permute(0, 2, 1), dim=-1)
        return torch.matmul(weights, second.reshape(b * m.groups, c // m.groups, -1))

    gate = (attended(one, other) + attended(other, one)).reshape(b * m.groups, 1, h, w)
    return (y * gate.sigmoid()).reshape(b, c, h, w)


@structure
def _gct(m: Any, x: Tensor) -> Any:
    embedding = (x.pow(2).sum((2, 3), keepdim=True) + 1e-5).pow(0.5) * m.alpha
    norm = m.gamma / (embedding.pow(2).mean(dim=1, keepdim=True) + 1e-5).pow(0.5)
    return x * (1.0 + torch.tanh(embedding * norm + m.beta))


@structure
def _nam(m: Any, x: Tensor) -> Any:
    weight = m.norm.weight.data.abs() / torch.sum(m.norm.weight.data.abs())
    y = torch.mul(weight, m.norm(x).permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2).contiguous()
    return torch.sigmoid(y) * x


@structure
def _gam(m: Any, x: Tensor) -> Any:
    b, c, h, w = x.shape
    gate = m.up(m.relu(m.down(x.permute(0, 2, 3, 1).reshape(b, -1, c)))).view(b, h, w, c).permute(0, 3, 1, 2)
    x = x * gate.sigmoid()
    gate = m.spatial_up_norm(m.spatial_up(m.spatial_relu(m.spatial_down_norm(m.spatial_down(x)))))
    return x * gate.sigmoid()


@structure
def _psa(m: Any, x: Tensor) -> Any:
    maps = [branch(x) for branch in m.branches]
    b, q, h, w = maps[0].shape
    whole = torch.cat(maps, dim=1).view(b, 4, q, h, w)
    gates = [m.sigmoid(m.up(m.relu(m.down(m.pool(y))))) for y in maps]
    weighed = whole * m.softmax(torch.cat(gates, dim=1).view(b, 4, q, 1, 1))
    out = weighed[:, 0]
    for index in (1, 2, 3):
        out = torch.cat((weighed[:, index], out), 1)
    return out


@structure
def _splat(m: Any, x: Tensor) -> Any:
    b, c = x.shape[:2]
    splits = torch.split(F.relu(m.norm(m.conv(x))), c, dim=1)
    total: Any = sum(splits)
    gate = m.up(F.relu(m.down_norm(m.down(F.adaptive_avg_pool2d(total, 1)))))
    gate = F.softmax(gate.view(b, m.cardinality, m.radix, -1).transpose(1, 2), dim=1).reshape(b, -1)
    weights = torch.split(gate.view(b, -1, 1, 1), c, dim=1)
    attended: Any = sum(weight * split for weight, split in zip(weights, splits, strict=True))
    return attended.contiguous()


@structure
def _mhsa(m: Any, x: Tensor) -> Any:
    b, c, h, w = x.shape
    query, key, value = torch.split(m.project(x), c, dim=1)
    query = query.reshape(b * m.heads, -1, h * w).transpose(-1, -2)
    key, value = key.reshape(b * m.heads, -1, h * w), value.reshape(b * m.heads, -1, h * w).transpose(-1, -2)

    def shifted(q: Tensor, table: Tensor, order: tuple[int, ...]) -> Tensor:
        n, height, width, _ = q.shape
        y = (q @ table.transpose(-1, -2)).reshape(-1, width, 2 * width - 1)
        y = F.pad(F.pad(y, [0, 1]).flatten(1), [0, width - 1]).reshape(-1, width + 1, 2 * width - 1)
        y = y[:, :width, width - 1 :].reshape(n, height, 1, width, width).expand(-1, -1, height, -1, -1)
        return y.permute(order)

    maps = query.reshape(b * m.heads, h, w, -1)
    relative = shifted(maps, m.width, (0, 1, 3, 2, 4)) + shifted(maps.transpose(1, 2), m.height, (0, 3, 1, 4, 2))
    logits = (query @ key) * m.scale + relative.reshape(b * m.heads, h * w, h * w)
    return (logits.softmax(dim=-1) @ value).transpose(-1, -2).reshape(b, c, h, w)


@structure
def _strip(m: Any, x: Tensor) -> Any:
    h, w = x.shape[2:]
    rows = m.rows_norm(m.rows(m.row_pool(x))).expand(-1, -1, h, w)
    columns = m.columns_norm(m.columns(m.column_pool(x))).expand(-1, -1, h, w)
    return x * m.mix(F.relu(rows + columns)).sigmoid()


@structure
def _ela(m: Any, x: Tensor) -> Any:
    rows = m.silu(m.rows_norm(m.rows(x.mean(-1, keepdim=True))))
    columns = m.silu(m.columns_norm(m.columns(x.mean(-2, keepdim=True))))
    return x * rows.sigmoid() * columns.sigmoid()


@structure
def _lsk(m: Any, x: Tensor) -> Any:
    near = m.near(x)
    far = m.far_down(m.far(near))
    near = m.near_down(near)
    both = torch.cat([near, far], dim=1)
    pooled = torch.cat([torch.mean(both, dim=1, keepdim=True), torch.max(both, dim=1, keepdim=True)[0]], dim=1)
    gate = m.select(pooled).sigmoid()
    return x * m.up(near * gate[:, 0].unsqueeze(1) + far * gate[:, 1].unsqueeze(1))


@structure
def _fca(m: Any, x: Tensor) -> Any:
    b, c = x.shape[:2]
    pooled = x if tuple(x.shape[2:]) == m.size else F.adaptive_avg_pool2d(x, m.size)
    y = torch.sum(pooled * m.waves, dim=[2, 3])
    return x * m.sigmoid(m.up(m.relu(m.down(y)))).view(b, c, 1, 1).expand_as(x)


class Plain(nn.Module):
    """The structure, on the weights of a module."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self.module, self.structure = module, STRUCTURES[name]

    def forward(self, x: Tensor) -> Any:
        """[n, m, h, w] -> [n, m, h, w]."""
        return self.structure(self.module, x)


def pair(name: str) -> tuple[nn.Module, Plain]:
    """A mechanism's module with weights that matter, and the structure on them."""
    torch.manual_seed(0)
    module = build_attention(name, CHANNELS, **get_mechanism(name).built_for((SIZE, SIZE))).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1)
    return module, Plain(name, module).eval()


def main() -> None:
    """Check and time every mechanism that is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(STRUCTURES)}; all unless given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=30)
    given = parser.parse_args()
    x, records = torch.randn(given.batch, CHANNELS, SIZE, SIZE), []
    for name in given.names or STRUCTURES:
        module, plain = pair(name)
        with torch.no_grad():
            torch.testing.assert_close(module(x), plain(x), rtol=1e-4, atol=1e-4)
        timed = measure(module, x, baseline=plain, device=given.device, repeats=given.repeats)
        record = timed.to_dict()
        times = {"module": record["network"]["median_ms"], "structure": record["baseline"]["median_ms"]}
        records.append({"mechanism": name, **times, **record["ratio"], "busy": timed.busy})
    columns = [words("mechanism", "mechanism"), *(number(key, f"{key}, ms") for key in ("module", "structure"))]
    columns += [number(key, f"ratio, {key}") for key in ("median", "low", "high")]
    print(render(Table(columns=(*columns, words("busy", "busy")), records=records), "table"))


if __name__ == "__main__":
    main()
