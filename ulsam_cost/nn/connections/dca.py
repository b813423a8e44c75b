"""The DCA connection: attention modules that take what the one before them passes on."""

from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.formulas.connections.dca import STACKED, Link
from ulsam_cost.nn.attention.cbam import CBAM
from ulsam_cost.nn.attention.gc import GC
from ulsam_cost.nn.attention.ge import GE
from ulsam_cost.nn.attention.se import SE
from ulsam_cost.nn.attention.sk import SK

# What an attention passes on: one tensor for each thing that the next one joins; None before the first.
Passed = tuple[Tensor, ...] | None


def fuse(function: str | None, extracted: Tensor, passed: Tensor) -> Tensor:
    """The connection functions, with alpha in `passed` already: direct, weighted, softmax (DCANet, Eq. 4 to 6)."""
    if function == "weighted":
        squares = extracted * extracted, passed * passed
        return torch.div(squares[0] + squares[1], extracted + passed)
    if function == "softmax":
        # e^-g / (e^-g + e^-t) is t's entry in the softmax of the two
        weights = F.softmax(torch.cat((passed.expand_as(extracted)[:, None], extracted[:, None]), 1), 1)
        return weights[:, 0] * extracted + weights[:, 1] * passed
    return extracted + passed


class Join(nn.Module):
    """What is extracted and alpha times what is passed on, joined by a connection function."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.function = link.function
        self.alpha = nn.Parameter(torch.ones(()))

    def forward(self, extracted: Tensor, passed: Tensor) -> Tensor:
        """Two of one shape -> one."""
        return fuse(self.function, extracted, self.alpha * passed)


class VectorJoin(nn.Module):
    """A join of vectors: a connection function or a learned 1 x 1 convolution, then layer norm and ReLU."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.function = link.function or STACKED
        if self.function == STACKED:
            self.conv = nn.Conv2d(2, 1, 1)
        else:
            self.alpha = nn.Parameter(torch.ones(()))
        self.norm = nn.LayerNorm(link.channels)
        self.relu = nn.ReLU()

    def forward(self, extracted: Tensor, passed: Tensor) -> Tensor:
        """[n, c] and [n, c] -> [n, c]."""
        if self.function == STACKED:
            joined = self.conv(torch.cat((extracted[:, None, None], passed[:, None, None]), 1))
        else:
            joined = fuse(self.function, extracted, self.alpha * passed)
        return self.relu(self.norm(joined)).view_as(extracted)  # type: ignore[no-any-return]


class Joint(nn.Module):
    """A matching, where channels or size change, and a join."""

    def __init__(self, match: nn.Module | None, join: nn.Module, shrink: nn.Module | None = None) -> None:
        super().__init__()
        if shrink is not None:
            self.shrink = shrink
        if match is not None:
            self.match = match
        self.join = join

    def matched(self, passed: Tensor) -> Tensor:
        """What is passed on, in the shape of what it is joined with."""
        for name in ("shrink", "match"):
            if hasattr(self, name):
                passed = getattr(self, name)(passed)
        return passed

    def forward(self, extracted: Tensor, passed: Tensor) -> Tensor:
        """What is extracted, joined with what is passed on."""
        return self.join(extracted, self.matched(passed))  # type: ignore[no-any-return]


class SpatialJoint(nn.Module):
    """CBAM's maximum and mean maps, scaled, joined with the previous attention's map, then batch norm and ReLU."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.link = link
        self.beta = nn.Parameter(torch.ones(()))
        self.alpha = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm2d(2)
        self.relu = nn.ReLU()

    def forward(self, extremes: Tensor, passed: Tensor) -> Tensor:
        """[n, 2, h, w] and [n, 1, h', w'] -> [n, 2, h, w]."""
        shrink = self.link.shrink
        if shrink > 1:
            pool: Any = F.avg_pool2d if self.link.pooling == "avg" else F.max_pool2d
            passed = pool(passed, (shrink, shrink), ceil_mode=True)
        joined = fuse(self.link.function, self.beta * extremes, self.alpha * passed)
        return self.relu(self.norm(joined))  # type: ignore[no-any-return]


def vector_match(link: Link) -> nn.Module | None:
    """One or two linear layers, each with layer norm and ReLU."""
    layers: list[nn.Module] = []
    for into, out in link.widths:
        layers += [nn.Linear(into, out), nn.LayerNorm(out), nn.ReLU()]
    return nn.Sequential(*layers) if layers else None


def context_match(link: Link) -> nn.Module | None:
    """One or two 1 x 1 convolutions, layer norm and ReLU between them."""
    if not link.matched:
        return None
    if link.matching == 1:
        return nn.Sequential(nn.Conv2d(link.previous, link.channels, 1))
    norm = nn.LayerNorm([link.hidden, 1, 1])
    first, second = nn.Conv2d(link.previous, link.hidden, 1), nn.Conv2d(link.hidden, link.channels, 1)
    return nn.Sequential(first, norm, nn.ReLU(), second)


def map_match(link: Link) -> nn.Module | None:
    """One or two 1 x 1 convolutions, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for into, out in link.widths:
        layers += [nn.Conv2d(into, out, 1), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers) if layers else None


def map_shrink(link: Link) -> nn.Module | None:
    """The pooling of a map to the size of the next."""
    if link.shrink == 1:
        return None
    pool: Any = nn.AvgPool2d if link.pooling == "avg" else nn.MaxPool2d
    return pool((link.shrink, link.shrink), ceil_mode=True)  # type: ignore[no-any-return]


class ConnectedSE(SE):
    """SE that joins its mean with the previous gate times its mean."""

    connected = True

    def __init__(self, channels: int, link: Link, **options: Any) -> None:
        super().__init__(channels, **options)
        self.joint = Joint(vector_match(link), VectorJoin(link))

    def forward(self, x: Tensor, passed: Passed = None) -> tuple[Tensor, Passed]:  # type: ignore[override]
        """[n, m, h, w] -> [n, m, h, w], and [n, m] to pass on."""
        vector = self.extract(x)
        gate = self.transform(vector if passed is None else self.joint(vector, *passed))
        return x * gate[..., None, None], (vector * gate,)


class ConnectedGC(GC):
    """GC that joins its context with what the previous one added."""

    connected = True

    def __init__(self, channels: int, link: Link, **options: Any) -> None:
        super().__init__(channels, **options)
        self.joint = Joint(context_match(link), Join(link))

    def forward(self, x: Tensor, passed: Passed = None) -> tuple[Tensor, Passed]:  # type: ignore[override]
        """[n, m, h, w] -> [n, m, h, w], and [n, m, 1, 1] to pass on."""
        context = self.extract(x)
        added = self.transform(context if passed is None else self.joint(context, *passed))
        return x + added, (added,)


class ConnectedGE(GE):
    """GE whose gate is gathered from the map joined with the map that the previous one gave."""

    connected = True

    def __init__(self, channels: int, link: Link, **options: Any) -> None:
        super().__init__(channels, **options)
        self.joint = Joint(map_match(link), Join(link), map_shrink(link))

    def forward(self, x: Tensor, passed: Passed = None) -> tuple[Tensor, Passed]:  # type: ignore[override]
        """[n, m, h, w] -> [n, m, h, w], which is also passed on."""
        result = x * self.gate(x if passed is None else self.joint(x, *passed))
        return result, (result,)


class ConnectedSK(SK):
    """SK that joins each branch's mean with what the previous one passes for that branch.

    What it passes on are the means of its weighted maps, or the softmax weights.
    """

    connected = True

    def __init__(self, channels: int, link: Link, **options: Any) -> None:
        super().__init__(channels, **options)
        self.passes_weights = link.passes_weights
        self.joints = nn.ModuleList(Joint(vector_match(link), VectorJoin(link)) for _ in self.branches)

    def forward(self, x: Tensor, passed: Passed = None) -> tuple[Tensor, Passed]:  # type: ignore[override]
        """[n, m, h, w] -> [n, m, h', w'], and [n, m] a branch to pass on."""
        maps = self.split(x)
        means = self.extract(maps)
        if passed is not None:
            joined = zip(self.joints, means, passed, strict=True)
            means = [joint(mean.flatten(1), before)[..., None, None] for joint, mean, before in joined]
        weights = list(self.transform(means).unbind(1))
        weighted = [features * weight for features, weight in zip(maps, weights, strict=True)]
        result = reduce(add, weighted)
        if not self.passes_weights:
            weights = self.extract(weighted)
        return result, tuple(weight.flatten(1) for weight in weights)


class ConnectedCBAM(CBAM):
    """CBAM that joins its pooled vectors with the previous channel gate, its two maps with the previous map."""

    connected = True

    def __init__(self, channels: int, link: Link, **options: Any) -> None:
        super().__init__(channels, **options)
        self.joins_channels = link.dimensions != "spatial"
        self.joins_positions = link.dimensions != "channel" and self.spatial_gate
        if self.joins_channels:
            self.channel_joint = Joint(vector_match(link), VectorJoin(link))
        if self.joins_positions:
            self.spatial_joint = SpatialJoint(link)

    def forward(self, x: Tensor, passed: Passed = None) -> tuple[Tensor, Passed]:  # type: ignore[override]
        """[n, m, h, w] -> [n, m, h, w]; [n, m] and [n, 1, h, w], those that are connected, to pass on."""
        before = list(passed or ())
        matched = self.channel_joint.matched(before.pop(0)) if before and self.joins_channels else None
        mean = self.avg_pool(x).flatten(1)
        logits = self._joined_mlp(mean, matched)
        if self.max_pooling:
            logits = logits + self._joined_mlp(self.max_pool(x).flatten(1), matched)
        gate = self.channel_sigmoid(logits)
        result, handed = x * gate[..., None, None], []
        if self.spatial_gate:
            maps = self.extremes(result)
            if before:
                maps = self.spatial_joint(maps, before.pop())
            position_gate = self.spatial_sigmoid(self.norm(self.conv(maps)))
            result = result * position_gate
            handed = [position_gate] if self.joins_positions else []
        if self.joins_channels:
            handed.insert(0, mean * gate)
        return result, tuple(handed)

    def _joined_mlp(self, vector: Tensor, matched: Tensor | None) -> Tensor:
        return self.mlp(vector if matched is None else self.channel_joint.join(vector, matched))


CONNECTED: dict[str, type[nn.Module]] = {
    "se": ConnectedSE,
    "gc": ConnectedGC,
    "ge": ConnectedGE,
    "sk": ConnectedSK,
    "cbam": ConnectedCBAM,
}
