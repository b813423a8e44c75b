"""Rows of the table of mechanisms: a weight for each position."""

import torch
from hypothesis import strategies as st
from plain import relu, softmax

from mechanisms.table import Formula, case, divisors


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
        ({"style": "equations"}, "style = 'equations': accepted are equation, release"),
    ],
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
