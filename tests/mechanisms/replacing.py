"""Rows of the table of mechanisms: in place of a convolution."""

import math

import torch
from hypothesis import strategies as st
from plain import batch_norm, conv, conv_with, mean_of_map, relu, sigmoid, softmax, spread

from mechanisms.table import FLAG, REDUCTION, Formula, case, divisors, too_narrow


@case(
    draws=lambda m, h, w: {
        "branches": st.integers(2, 4),
        "kernel": st.sampled_from([1, 3, 5]),
        "reduction": REDUCTION,
        "groups": divisors(m),
        "stride": st.integers(1, 3),
        "activation": st.sampled_from(["relu", "relu6"]),
        "bias": FLAG,
    },
    by_hand=[
        (
            {"reduction": 4},
            2 * (9 * 20 * 20 + 2 * 20) + 20 * 5 + 2 * 5 + 5 * 2 * 20,
            2 * (2 * 9 * 20 * 20 * 35 + 3 * 20 * 5),
        ),
        (
            {"branches": 3, "kernel": 5, "groups": 20, "reduction": 4, "stride": 2, "bias": True},
            3 * (25 * 20 + 2 * 20) + (20 * 5 + 5) + 2 * 5 + (5 * 3 * 20 + 3 * 20),
            2 * (3 * 25 * 20 * (4 * 3) + 20 * 5 + 5 * 3 * 20),
        ),
    ],
    runs=[
        {"reduction": 4},
        {"reduction": 3, "branches": 3, "groups": 12, "activation": "relu6", "bias": True},
        {"reduction": 5, "kernel": 5, "groups": 2, "stride": 2},
    ],
    formula=Formula(
        options={"reduction": "r"},
        params=["B m (m/G) k^2 + 2 B m", "(B + 1) m d + 2 d"],
        biases="d + B m",
        macs=["n (B m (m/G) k^2 p' + (B + 1) m d)"],
        where={"d": "floor(m / r)", "B": "2", "G": "1", "k": "3", "p'": "h w"},
    ),
    refused=[
        too_narrow(),
        ({"kernel": 2}, "kernel = 2: an odd one is accepted"),
        ({"branches": 1}, "branches = 1: 2 or more are accepted"),
        ({"groups": 3}, "groups = 3 does not divide channels = 20; accepted are 1, 2, 4, 5, 10, 20"),
        ({"groups": 2.0}, "groups = 2.0"),
        ({"stride": 0}, "stride = 0"),
        ({"activation": "gelu"}, "activation = 'gelu': accepted are relu, relu6"),
    ],
    not_in={"resnet101_fpn": "in place of a block's spatial convolution and there is none"},
)
def sk(module, x):
    maps = []
    for branch in module.branches:
        layer, norm, activation = branch
        sizes = {"padding": layer.padding[0], "stride": layer.stride[0], "dilation": layer.dilation[0]}
        features = relu(batch_norm(conv(x, layer, groups=layer.groups, **sizes), norm))
        maps.append(features.clamp(max=6) if isinstance(activation, torch.nn.ReLU6) else features)
    pooled = mean_of_map(sum(maps))
    logits = conv(relu(batch_norm(conv(spread(pooled), module.down), module.norm)), module.up)
    m = x.shape[1]
    weights = softmax(torch.stack([logits[:, i * m : (i + 1) * m] for i in range(len(maps))]), dim=0)
    return sum(features * weight for features, weight in zip(maps, weights, strict=True))


@case(
    draws=lambda m, h, w: {
        "kernel": st.sampled_from([1, 3, 5]),
        "reduction": REDUCTION,
        "map_reduction": divisors(m),
        "literal": FLAG,
        "bias": FLAG,
    },
    by_hand=[
        ({"literal": literal}, 9 * 20 * 20 + 1 * (20 + 20) + 2 * (1 + 20), 2 * (9 * 20 * 20 * 35 + 1 * (20 + 20) * 9))
        for literal in (False, True)
    ]
    + [
        (
            {"kernel": 1, "map_reduction": 4, "reduction": 5, "bias": True},
            20 * 20 + 4 * (20 + 20 * 5) + 2 * (4 + 20 * 5) + 4 + 20 * 5,
            2 * (20 * 20 * 35 + 4 * (20 + 20 * 5)),
        ),
    ],
    runs=[
        {"reduction": 4, **options}
        for options in (
            {},
            {"literal": True, "bias": True},
            {"kernel": 1},
            {"kernel": 1, "literal": True},
            {"map_reduction": 1},
            {"map_reduction": 3},
            {"kernel": 5, "map_reduction": 12},
        )
    ],
    formula=Formula(
        options={"reduction": "r"},
        params=["k^2 m^2 + t (m + q) + 2 (t + q)"],
        biases="t + q",
        macs=["n (k^2 m^2 p + t (m + q) k^2)"],
        where={"t": "floor(m / r)", "q": "m", "k": "3"},
    ),
    refused=[
        too_narrow(),
        ({"kernel": 4}, "kernel = 4: an odd one is accepted"),
        ({"map_reduction": 6}, "map_reduction = 6 does not divide channels = 20"),
    ],
)
def aw(module, x):
    """Zhu et al., Eq. 4 to 8: a sample at a time, with weights of its own."""
    kh, kw = module.kernel_size
    pooled = _adaptive_means(x, kh, kw)
    hidden = relu(batch_norm(conv(pooled, module.point_1), module.point_1_norm))
    values = sigmoid(batch_norm(conv(hidden, module.point_2), module.point_2_norm))
    c, shared = module.in_channels, values.shape[1] // module.out_channels
    channels = [o * shared // c for o in range(c)]  # Expand: r = c / shared neighbours read the same value
    attention = values.reshape(len(x), module.out_channels, shared, kh, kw)[:, :, channels]
    sizes = {"padding": module.padding[0], "stride": module.stride[0], "dilation": module.dilation[0]}
    samples = [
        conv_with(x[l : l + 1], module.weight + attention[l] * module.weight, module.bias, **sizes)
        for l in range(len(x))  # noqa: E741
    ]
    return torch.cat(samples)


def _adaptive_means(x, rows, columns):
    h, w = x.shape[2:]
    return torch.stack(
        [
            torch.stack(
                [
                    x[
                        :,
                        :,
                        i * h // rows : math.ceil((i + 1) * h / rows),
                        j * w // columns : math.ceil((j + 1) * w / columns),
                    ].mean((2, 3))
                    for j in range(columns)
                ],
                dim=-1,
            )
            for i in range(rows)
        ],
        dim=-2,
    )
