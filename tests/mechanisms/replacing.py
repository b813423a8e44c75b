"""Rows of the table of mechanisms: in place of a convolution."""

import torch
from hypothesis import strategies as st
from plain import adaptive_means, batch_norm, conv, conv_with, mean_of_map, relu, sigmoid, softmax, spread

from mechanisms.table import FLAG, MOBILE, REDUCTION, Formula, case, divisors, too_narrow

NO_UNIT = "it replaces a spatial convolution with norm and activation, and there is none"


@case(
    draws=lambda m, h, w: {
        "branches": st.integers(2, 4),
        "least": st.sampled_from([1, 8, 32]),
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
            {"reduction": 4, "least": 32, "groups": 2},
            2 * (9 * 10 * 20 + 2 * 20) + 20 * 32 + 2 * 32 + 32 * 2 * 20,
            2 * (2 * 9 * 10 * 20 * 35 + 3 * 20 * 32),
        ),
        (
            {"branches": 3, "kernel": 5, "groups": 20, "reduction": 4, "stride": 2, "bias": True},
            3 * (25 * 20 + 2 * 20) + (20 * 5 + 5) + 2 * 5 + (5 * 3 * 20 + 3 * 20),
            2 * (3 * 25 * 20 * (4 * 3) + 20 * 5 + 5 * 3 * 20),
        ),
    ],
    runs=[
        {"reduction": 4},
        {"reduction": 4, "least": 5},
        {"reduction": 3, "branches": 3, "groups": 12, "activation": "relu6", "bias": True},
        {"reduction": 5, "kernel": 5, "groups": 2, "stride": 2},
    ],
    formula=Formula(
        options={"reduction": "r"},
        params=["B m (m/G) k^2 + 2 B m", "(B + 1) m d + 2 d"],
        biases="d + B m",
        macs=["n (B m (m/G) k^2 p' + (B + 1) m d)"],
        where={"d": "Max(1, floor(m / r))", "B": "2", "G": "1", "k": "3", "p'": "h w"},
    ),
    refused=[
        too_narrow(),
        ({"kernel": 2}, "kernel = 2: an odd one is accepted"),
        ({"branches": 1}, "branches = 1 leaves nothing to select: 2 or more are accepted"),
        ({"groups": 3}, "groups = 3 does not divide channels = 20; accepted values are 1, 2, 4, 5, 10, 20"),
        ({"groups": 2.0}, "groups = 2.0"),
        ({"stride": 0}, "stride = 0"),
        ({"activation": "gelu"}, "activation = 'gelu': accepted values are relu, relu6"),
    ],
    not_in={
        "resnet101_fpn": "it replaces the spatial convolution of a block, and there is none",
        **dict.fromkeys(("resnet18", "resnet34", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0"), NO_UNIT),
        "mobilenet_v3_large": "activation = 'hardswish': accepted values are relu, relu6",
        "mobilenet_v3_small": "sk at 5 of mobilenet_v3_small: activation = 'hardswish'",
        "efficientnet_b0": "activation = 'silu': accepted values are relu, relu6",
    },
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
    not_in={
        **dict.fromkeys(("resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d"), "connection aw: .* takes dca"),
        **dict.fromkeys(MOBILE[3:6], "connection aw: .* takes dca"),
        **dict.fromkeys(MOBILE[6:], "connection aw: .* takes none"),
    },
)
def aw(module, x):
    """Zhu et al., Eq. 4 to 8: a sample at a time, with weights of its own."""
    kh, kw = module.kernel_size
    pooled = adaptive_means(x, kh, kw)
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


@case(
    draws=lambda m, h, w: {
        "kernels": st.sampled_from([(3, 5, 7, 9), (1, 3, 3, 5)]),
        "groups": st.sampled_from([(1, 1, 1, 1), (1, 2, 2, 4), (1, 4, 8, 16)]),
        "reduction": st.integers(1, 5),
        "stride": st.integers(1, 3),
    },
    by_hand=[
        (
            {"groups": (1, 1, 5, 5), "reduction": 2},
            5 * (20 * 9 + 20 * 25 + 4 * 49 + 4 * 81) + (5 * 2 + 2) + (2 * 5 + 5),
            2 * (35 * 5 * (20 * 9 + 20 * 25 + 4 * 49 + 4 * 81) + 4 * (5 * 2 + 2 * 5)),
        ),
        (
            {"kernels": (1, 3), "groups": (2, 1), "reduction": 3, "stride": 2},
            10 * (10 * 1 + 20 * 9) + (10 * 3 + 3) + (3 * 10 + 10),
            2 * (4 * 3 * 10 * (10 * 1 + 20 * 9) + 2 * (10 * 3 + 3 * 10)),
        ),
    ],
    runs=[
        {"groups": (1, 3, 1, 3), "reduction": 2},
        {"kernels": (5, 1, 3), "groups": (1, 4, 2), "reduction": 2, "stride": 2},
    ],
    formula=Formula(
        options={"groups": (1, 1, 1, 1)},
        params=["164 m q + 2 q e + q + e"],
        macs=["n (164 m q p' + 8 q e)"],
        where={"e": "floor(q / 16)", "q": "floor(m / 4)", "p'": "h w"},
    ),
    refused=[
        ({"groups": (1, 1, 1, 1), "reduction": 6}, "r = 6 leaves no channel of m = 5"),
        ({}, "groups = 4 does not divide channels of a branch = 5"),
        ({"kernels": (1, 2), "groups": (1, 1)}, "kernel = 2: an odd one is accepted"),
        ({"kernels": (1, 3)}, r"kernels = \(1, 3\) and groups = \(1, 4, 8, 16\): the same number"),
        ({"kernels": (1, 3, 5), "groups": (1, 1, 1)}, "branches = 3 does not divide channels = 20"),
        ({"stride": 0}, "stride = 0"),
    ],
    not_in={
        **dict.fromkeys(MOBILE, "does not divide channels"),
        "resnet101_fpn": "psa at lateral 2 of resnet101_fpn: it replaces the spatial convolution of a block",
    },
)
def psa(module, x):
    maps, gates = [], []
    for layer in module.branches:
        y = conv(x, layer, padding=layer.padding[0], stride=layer.stride[0], groups=layer.groups)
        gates.append(sigmoid(conv(relu(conv(spread(mean_of_map(y)), module.down)), module.up)))
        maps.append(y)
    weights = softmax(torch.stack(gates), dim=0)
    return torch.cat([weights[i] * maps[i] for i in reversed(range(len(maps)))], dim=1)


@case(
    draws=lambda m, h, w: {
        "radix": st.integers(1, 4),
        "groups": divisors(m),
        "kernel": st.sampled_from([1, 3, 5]),
        "reduction": REDUCTION,
        "stride": st.integers(1, 3),
        "activation": st.sampled_from(["relu", "relu6"]),
    },
    by_hand=[
        (
            {},
            9 * 10 * 40 + 2 * 40 + (20 * 32 + 32) + 2 * 32 + (32 * 40 + 40),
            2 * (9 * 10 * 40 * 35 + 20 * 32 + 32 * 40),
        ),
        (
            {"radix": 1, "groups": 2, "reduction": 1, "kernel": 5, "stride": 2},
            25 * 10 * 20 + 2 * 20 + (10 * 32 + 32) + 2 * 32 + (16 * 20 + 20),
            2 * (25 * 10 * 20 * 35 + 10 * 32 + 16 * 20),
        ),
    ],
    runs=[
        {},
        {"radix": 3, "groups": 2, "reduction": 1},
        {"radix": 1, "stride": 2},
        {"kernel": 5, "stride": 2, "activation": "relu6"},
    ],
    formula=Formula(
        options={"radix": 1, "reduction": "r"},
        params=["k^2 m^2 / K + 3 m R", "m e (1 + R) / K + 3 e"],
        macs=["n (k^2 m^2 p / K + m e (1 + R) / K)"],
        where={"e": "Max(32, floor(m / r))", "R": "1", "K": "1", "k": "3"},
    ),
    refused=[
        ({"radix": 0}, "radix = 0"),
        ({"radix": 3}, "radix x groups = 3 does not divide channels = 20"),
        ({"kernel": 4}, "kernel = 4: an odd one is accepted"),
        ({"groups": 5}, "groups = 5 does not divide bottleneck channels = 32"),
        ({"stride": 0}, "stride = 0"),
        ({"activation": "gelu"}, "activation = 'gelu': accepted values are relu, relu6"),
    ],
    not_in={
        "resnet101_fpn": "it replaces the spatial convolution of a block, and there is none",
        **dict.fromkeys(("resnet18", "resnet34", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0"), NO_UNIT),
        **dict.fromkeys(MOBILE[:5], "radix x groups = .* does not divide channels ="),
        "efficientnet_b0": "activation = 'silu': accepted values are relu, relu6",
    },
)
def splat(module, x):
    m, radix, cardinality = x.shape[1], module.radix, module.cardinality
    layer = module.conv
    features = relu(batch_norm(conv(x, layer, padding=layer.padding[0], groups=layer.groups), module.norm))
    if isinstance(module.activation, torch.nn.ReLU6):
        features = features.clamp(max=6)
    splits = [features[:, r * m : (r + 1) * m] for r in range(radix)]
    hidden = conv(spread(mean_of_map(sum(splits))), module.down, groups=cardinality)
    logits = conv(relu(batch_norm(hidden, module.down_norm)), module.up, groups=cardinality)
    share = m // cardinality
    order = [[(k * radix + r) * share + c for k in range(cardinality) for c in range(share)] for r in range(radix)]
    logits = torch.stack([logits[:, places] for places in order])
    weights = softmax(logits, dim=0) if radix > 1 else sigmoid(logits)
    result = sum(split * weight for split, weight in zip(splits, weights, strict=True))
    stride = 1 if module.average is None else module.average.stride
    if stride == 1:
        return result
    padded = torch.nn.functional.pad(result, (1, 1, 1, 1))
    h, w = x.shape[2:]
    rows = [
        torch.stack([padded[:, :, i : i + 3, j : j + 3].sum((2, 3)) / 9 for j in range(0, w, stride)], dim=-1)
        for i in range(0, h, stride)
    ]
    return torch.stack(rows, dim=-2)
