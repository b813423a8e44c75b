"""Rows of the table of mechanisms: a weight for each position."""

import torch
from hypothesis import strategies as st
from plain import batch_norm, conv, mean_of_map, relu, sigmoid, softmax

from mechanisms.table import MOBILE, Formula, case, divisors


@case(
    draws=lambda m, h, w: {"groups": divisors(m), "style": st.sampled_from(["equation", "release"])},
    by_hand=[
        ({"groups": 5}, 20 + 20, 2 * (20 + 20) * 35),
        ({"groups": 5, "style": "release"}, 20 + 20 + 2 * 20 + 20 + 5 + 2 * 5, 2 * (20 + 20) * 35),
    ],
    runs=[{}, {"groups": 1}, {"groups": 12}, {"groups": 3, "style": "release"}],
    formula=Formula(options={"groups": 1}, params=["2 m"], macs=["2 n m h w"]),
    refused=[
        ({"groups": 3}, "g = 3 does not divide m = 20"),
        ({"style": "equations"}, "style = 'equations': accepted values are equation, release"),
    ],
    not_in={"shufflenet_v2_x1_0": "g = 4 does not divide m = 58"},
)
def ulsam(module, x):
    n, m, h, w = x.shape
    width = m // module.groups
    results = []
    for g in range(module.groups):
        channels = slice(g * width, (g + 1) * width)
        subspace = x[:, channels]
        features = subspace * module.depthwise.weight[channels].reshape(1, -1, 1, 1)
        if module.style == "release":
            features = features + module.depthwise.bias[channels].reshape(1, -1, 1, 1)
            features = relu(_part_of_batch_norm(features, module.depthwise_norm, channels))
        pooled = torch.stack(
            [
                features[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].amax((2, 3))
                for i in range(h)
                for j in range(w)
            ],
            dim=2,
        )
        logits = torch.einsum("ncp,c->np", pooled, module.pointwise.weight[g, :, 0, 0])
        if module.style == "release":
            logits = logits + module.pointwise.bias[g]
            logits = relu(_part_of_batch_norm(logits[:, None], module.pointwise_norm, slice(g, g + 1)))[:, 0]
        results.append(subspace * softmax(logits, dim=1).reshape(n, 1, h, w) + subspace)
    return torch.cat(results, dim=1)


def _part_of_batch_norm(x, layer, channels):
    shape = (1, -1, *[1] * (x.dim() - 2))
    others = [axis for axis in range(x.dim()) if axis != 1]
    mean, var = layer.running_mean[channels].reshape(shape), layer.running_var[channels].reshape(shape)
    if layer.training:
        mean = x.mean(others, keepdim=True)
        var = ((x - mean) ** 2).mean(others, keepdim=True)
    weight, bias = layer.weight[channels].reshape(shape), layer.bias[channels].reshape(shape)
    return (x - mean) / (var + layer.eps).sqrt() * weight + bias


@case(
    draws=lambda m, h, w: {"groups": divisors(m)},
    by_hand=[({"groups": 5}, 2 * 5, 0)],
    runs=[{"groups": 3}, {"groups": 1}, {"groups": 12}],
    formula=Formula(options={"groups": "g"}, params=["2 g"], macs=["0"]),
    refused=[
        ({"groups": 3}, "groups = 3 does not divide channels = 20; accepted values are 1, 2, 4, 5, 10, 20"),
        ({"groups": 0}, "groups = 0"),
    ],
    least=2,
    not_in=dict.fromkeys(MOBILE, "groups = 64 does not divide channels ="),
)
def sge(module, x):
    _, m, h, w = x.shape
    p, results = h * w, []
    for g, group in enumerate(x.split(m // module.groups, dim=1)):
        likeness = torch.einsum("nchw,nc->nhw", group, mean_of_map(group))
        centred = likeness - likeness.mean((1, 2), keepdim=True)
        deviation = torch.sqrt((centred**2).sum((1, 2), keepdim=True) / (p - 1)) + 1e-5
        gate = sigmoid(centred / deviation * module.weight[0, g] + module.bias[0, g])
        results.append(group * gate[:, None])
    return torch.cat(results, dim=1)


@case(
    draws=lambda m, h, w: {},
    by_hand=[
        (
            {},
            3 * 20 * 20 + 3 * 20 * 20 + (20 * 20 + 20) + 2 * (2 * 20),
            2 * (3 * 20 * 20 * 7 + 3 * 20 * 20 * 5 + 20 * 20 * 35),
        )
    ],
    runs=[{}],
    formula=Formula(params=["7 m^2 + 5 m"], macs=["n (3 m^2 (h + w) + m^2 p)"]),
)
def strip(module, x):
    rows, columns = x.sum(3) / x.shape[3], x.sum(2) / x.shape[2]
    rows = _along(rows, module.rows.weight[:, :, :, 0])[..., None]
    columns = _along(columns, module.columns.weight[:, :, 0])[:, :, None]
    both = relu(batch_norm(rows, module.rows_norm) + batch_norm(columns, module.columns_norm))
    return x * sigmoid(conv(both, module.mix))


def _along(x, weight):
    """A convolution of three taps along a line."""
    padded = torch.nn.functional.pad(x, (1, 1))
    return sum(torch.einsum("ncl,oc->nol", padded[:, :, i : i + x.shape[2]], weight[:, :, i]) for i in range(3))


@case(
    draws=lambda m, h, w: {},
    by_hand=[
        (
            {},
            (25 * 20 + 20) + (49 * 20 + 20) + 2 * (20 * 10 + 10) + (49 * 2 * 2 + 2) + (10 * 20 + 20),
            2 * 35 * (25 * 20 + 49 * 20 + 2 * 20 * 10 + 49 * 2 * 2 + 10 * 20),
        )
    ],
    runs=[{}],
    formula=Formula(
        params=["3 m e + 2 e + 77 m + 198"], macs=["n (3 m e + 74 m + 196) p"], where={"e": "floor(m / 2)"}
    ),
)
def lsk(module, x):
    m = x.shape[1]
    near = conv(x, module.near, padding=2, groups=m)
    far = conv(near, module.far, padding=9, dilation=3, groups=m)
    near, far = conv(near, module.near_down), conv(far, module.far_down)
    both = torch.cat([near, far], dim=1)
    pooled = torch.stack([both.sum(1) / both.shape[1], both.max(1).values], dim=1)
    weights = sigmoid(conv(pooled, module.select, padding=3))
    return x * conv(torch.einsum("nchw,nhw->nchw", near, weights[:, 0]) + far * weights[:, 1:2], module.up)
