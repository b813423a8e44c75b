"""Rows of the table of mechanisms: weights for channels and positions."""

import torch
from hypothesis import strategies as st
from plain import batch_norm, conv, group_norm, linear, mean_of_map, relu, sigmoid, softmax, spread

from mechanisms.table import FLAG, MOBILE, REDUCTION, Formula, case, divisors, too_narrow


@case(
    draws=lambda m, h, w: {
        "reduction": REDUCTION,
        "kernel": st.sampled_from([1, 3, 5, 7]),
        "max_pooling": FLAG,
        "spatial_gate": FLAG,
        "bias": FLAG,
    },
    by_hand=[
        ({"reduction": 3}, 2 * 20 * 6 + 2 * 49 + 2, 2 * (2 * (2 * 20 * 6) + 2 * 49 * 35)),
        ({"reduction": 3, "max_pooling": False}, 2 * 20 * 6 + 2 * 49 + 2, 2 * (2 * 20 * 6 + 2 * 49 * 35)),
        ({"reduction": 3, "spatial_gate": False}, 2 * 20 * 6, 2 * 2 * (2 * 20 * 6)),
    ],
    runs=[
        {"reduction": 5},
        {"reduction": 2, "kernel": 3, "bias": True},
        {"reduction": 4, "max_pooling": False},
        {"reduction": 4, "spatial_gate": False},
    ],
    formula=Formula(
        options={"reduction": "r"},
        params=["2 m d + 2 k^2 + 2"],
        biases="m + d",
        macs=["n (4 m d + 2 k^2 p)"],
        where={"d": "floor(m / r)", "k": "7"},
    ),
    refused=[too_narrow(), ({"kernel": 6}, "kernel = 6: an odd one is accepted")],
)
def cbam(module, x):
    n, m = x.shape[:2]
    vectors = [mean_of_map(x)]
    if module.max_pooling:
        vectors.append(torch.stack([x[:, c].reshape(n, -1).max(1).values for c in range(m)], dim=1))
    x = x * spread(sigmoid(sum(linear(relu(linear(v, module.down)), module.up) for v in vectors)))
    if not module.spatial_gate:
        return x
    maps = torch.stack([x.max(1).values, torch.einsum("nmhw->nhw", x) / m], dim=1)
    return x * sigmoid(batch_norm(conv(maps, module.conv, padding=module.conv.kernel_size[0] // 2), module.norm))


@case(
    draws=lambda m, h, w: {
        "reduction": REDUCTION,
        "dilation": st.integers(1, 6),
        "bias": FLAG,
        "style": st.sampled_from(["equation", "release"]),
    },
    by_hand=[
        (
            {"reduction": 5},
            (20 * 4 + 4 * 20) + (20 * 4 + 2 * (9 * 4 * 4) + 4) + 2 * (4 + 20 + 4 + 4 + 4 + 1),
            2 * (20 * 4 + 4 * 20) + 2 * 35 * (20 * 4 + 2 * (9 * 4 * 4) + 4),
        ),
        (
            {"reduction": 5, "style": "release"},
            (20 * 4 + 4 + 4 * 20 + 20) + (20 * 4 + 4 + 2 * (9 * 4 * 4 + 4) + 4 + 1) + 2 * (4 + 4 + 4 + 4),
            2 * (20 * 4 + 4 * 20) + 2 * 35 * (20 * 4 + 2 * (9 * 4 * 4) + 4),
        ),
    ],
    runs=[
        {"reduction": 3},
        {"reduction": 5, "dilation": 2, "bias": True},
        {"reduction": 3, "dilation": 2, "style": "release"},
    ],
    formula=Formula(
        options={"reduction": "r"},
        params=["3 m d + 18 d^2 + d", "2 m + 8 d + 2"],
        biases="m + 4 d + 1",
        macs=["n (2 m d + (m d + 18 d^2 + d) p)"],
        where={"d": "floor(m / r)"},
    ),
    refused=[
        too_narrow(),
        ({"dilation": 0}, "dilation = 0"),
        ({"style": "released"}, "style = 'released': accepted values are equation, release"),
    ],
)
def bam(module, x):
    hidden = relu(batch_norm(linear(mean_of_map(x), module.channel_down), module.channel_down_norm))
    channel = linear(hidden, module.channel_up)
    spatial = relu(batch_norm(conv(x, module.spatial_down), module.spatial_down_norm))
    for layer, norm in ((module.spatial_1, module.spatial_1_norm), (module.spatial_2, module.spatial_2_norm)):
        dilation = layer.dilation[0]
        spatial = relu(batch_norm(conv(spatial, layer, padding=dilation, dilation=dilation), norm))
    spatial = conv(spatial, module.spatial_up)
    if module.channel_up_norm is None:
        return x + x * sigmoid(spread(channel) * spatial)
    channel, spatial = batch_norm(channel, module.channel_up_norm), batch_norm(spatial, module.spatial_up_norm)
    return x + x * sigmoid(spread(channel) + spatial)


@case(
    draws=lambda m, h, w: {
        "style": st.sampled_from(["theta-minus", "theta", "theta-plus"]),
        "extent": st.sampled_from([0, 2, 4, 8, 16]),
        "map_size": st.just((h, w)),
        "reduction": REDUCTION,
        "bias": FLAG,
    },
    by_hand=[
        ({"style": "theta-minus", "extent": 4}, 0, 0),
        ({"extent": 8}, 3 * (9 * 20 + 2 * 20), 2 * 9 * 20 * (4 * 3 + 2 * 2 + 1 * 1)),
        (
            {"style": "theta-plus", "extent": 2, "reduction": 5},
            9 * 20 + 2 * 20 + 2 * 20 * 4,
            2 * (9 * 20 + 2 * 20 * 4) * (4 * 3),
        ),
        ({"extent": 0, "map_size": (7, 5)}, 20 * 7 * 5 + 2 * 20, 2 * 20 * 7 * 5),
    ],
    runs=[
        {"style": style, "extent": extent, "map_size": (5, 4), "reduction": 4, "bias": bias}
        for style in ("theta-minus", "theta", "theta-plus")
        for extent, bias in ((2, False), (4, True), (0, False))
    ],
    formula=Formula(
        options={"style": "theta-plus", "extent": 0, "reduction": "r"},
        params=["m h w + 2 m", "2 m d"],
        biases="d + m",
        macs=["n m h w", "2 n m d"],
        where={"d": "floor(m / r)"},
    ),
    refused=[
        too_narrow(style="theta-plus", extent=4),
        ({"style": "theta+"}, r"style = 'theta\+': accepted values are theta-minus, theta, theta-plus"),
        ({"extent": 3}, "extent = 3: a power of two from 2 on is accepted, or 0 for the whole map"),
        ({"extent": 1}, "extent = 1: a power of two"),
        ({"extent": False}, "extent = False"),
        ({"extent": -2}, "extent = -2"),
        ({"extent": 2.0}, "extent = 2.0"),
    ],
)
def ge(module, x):
    m, h, w = x.shape[1:]
    if module.style == "theta-minus":
        gathered = _neighbourhood_means(x, module.extent) if module.extent else spread(mean_of_map(x))
    else:
        gathered = x
        sizes = {"padding": 1, "stride": 2} if module.extent else {}
        for step, (layer, norm) in enumerate(zip(module.convs, module.norms, strict=True)):
            gathered = relu(gathered) if step else gathered
            gathered = batch_norm(conv(gathered, layer, groups=m, **sizes), norm)
    if module.style == "theta-plus":
        gathered = conv(relu(conv(gathered, module.down)), module.up)
    rows = [i * gathered.shape[2] // h for i in range(h)]
    columns = [j * gathered.shape[3] // w for j in range(w)]
    return x * sigmoid(gathered[:, :, rows][:, :, :, columns])


def _neighbourhood_means(x, extent):
    h, w = x.shape[2:]
    rows = [
        [
            x[:, :, max(i - extent + 1, 0) : i + extent, max(j - extent + 1, 0) : j + extent].mean((2, 3))
            for j in range(0, w, extent)
        ]
        for i in range(0, h, extent)
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


@case(
    draws=lambda m, h, w: {"reduction": REDUCTION},
    by_hand=[
        ({}, (20 * 8 + 8) + 2 * 8 + 2 * (8 * 20 + 20), 2 * (20 * 8 * (7 + 5) + 8 * 20 * 7 + 8 * 20 * 5)),
        (
            {"reduction": 2},
            (20 * 10 + 10) + 2 * 10 + 2 * (10 * 20 + 20),
            2 * (20 * 10 * (7 + 5) + 10 * 20 * 7 + 10 * 20 * 5),
        ),
    ],
    runs=[{}, {"reduction": 1}],
    formula=Formula(
        options={"reduction": "r"},
        params=["3 m q + 3 q + 2 m"],
        macs=["2 n m q (h + w)"],
        where={"q": "Max(8, floor(m / r))"},
    ),
    refused=[({"reduction": 0}, "reduction = 0: a positive whole number")],
)
def coord(module, x):
    h, w = x.shape[2:]
    strips = torch.cat([x.sum(3) / w, x.sum(2) / h], dim=2)[..., None]
    hidden = batch_norm(conv(strips, module.shared), module.norm)
    hidden = hidden * (hidden + 3).clamp(0, 6) / 6
    rows, columns = hidden[:, :, :h], hidden[:, :, h:].transpose(2, 3)
    return x * sigmoid(conv(rows, module.rows)) * sigmoid(conv(columns, module.columns))


@case(
    draws=lambda m, h, w: {"kernel": st.sampled_from([1, 3, 7]), "spatial_gate": FLAG},
    by_hand=[
        ({}, 3 * (2 * 49 + 2), 2 * 2 * 49 * (7 * 5 + 20 * 7 + 20 * 5)),
        ({"kernel": 3, "spatial_gate": False}, 2 * (2 * 9 + 2), 2 * 2 * 9 * (20 * 7 + 20 * 5)),
    ],
    runs=[{}, {"kernel": 3, "spatial_gate": False}],
    formula=Formula(params=["3 (2 k^2 + 2)"], macs=["2 n k^2 (h w + m h + m w)"], where={"k": "7"}),
    refused=[({"kernel": 2}, "kernel = 2: an odd one is accepted")],
)
def triplet(module, x):
    gates = [(module.rows, 2, "ncw"), (module.columns, 3, "nhc"), (module.plane, 1, "nhw")]
    results = []
    for gate, axis, letters in gates:
        if gate is None:
            continue
        pooled = torch.stack([x.amax(axis), x.sum(axis) / x.shape[axis]], dim=1)
        plane = pooled.transpose(2, 3) if axis == 3 else pooled
        weights = sigmoid(batch_norm(conv(plane, gate.conv, padding=gate.conv.kernel_size[0] // 2), gate.norm))[:, 0]
        results.append(torch.einsum(f"nchw,{letters}->nchw", x, weights))
    return sum(results) / len(results)


@case(
    draws=lambda m, h, w: {"regularizer": st.floats(1e-6, 10)},
    by_hand=[({}, 0, 0), ({"regularizer": 0.1}, 0, 0)],
    runs=[{}, {"regularizer": 0.1}],
    formula=Formula(params=["0"], macs=["0"]),
    refused=[
        ({"regularizer": 0}, "regularizer = 0: a number above 0 is accepted"),
        ({"regularizer": float("nan")}, "regularizer = nan"),
        ({"regularizer": "0.1"}, "regularizer = '0.1'"),
    ],
    least=2,
)
def simam(module, x):
    p = x.shape[2] * x.shape[3]
    distance = (x - spread(mean_of_map(x))) ** 2
    variance = spread(torch.einsum("nmhw->nm", distance)) / (p - 1)
    return x * sigmoid(distance / (4 * variance + 4 * module.regularizer) + 0.5)


@case(
    draws=lambda m, h, w: {"groups": divisors(m)},
    by_hand=[({"groups": 2}, 4 * 5 + 2 * 5, 0)],
    runs=[{"groups": 3}, {"groups": 1}, {"groups": 6}],
    formula=Formula(options={"groups": "g"}, params=["6 s"], macs=["0"], where={"s": "floor(m / (2 g))"}),
    refused=[({"groups": 3}, "2 groups = 6 does not divide channels = 20"), ({"groups": 0}, "groups = 0")],
    not_in=dict.fromkeys((*MOBILE, "resnet18", "resnet34"), "2 groups = 128 does not divide channels ="),
)
def shuffle(module, x):
    m = x.shape[1]
    half = m // module.groups // 2
    joined = []
    for g in range(module.groups):
        first, second = x[:, 2 * g * half : (2 * g + 1) * half], x[:, (2 * g + 1) * half : (2 * g + 2) * half]
        gate = spread(mean_of_map(first)) * module.channel_weight + module.channel_bias
        joined.append(first * sigmoid(gate))
        gate = group_norm(second, module.norm) * module.position_weight + module.position_bias
        joined.append(second * sigmoid(gate))
    joined = torch.cat(joined, dim=1)
    return joined[:, [place // 2 + place % 2 * (m // 2) for place in range(m)]]


@case(
    draws=lambda m, h, w: {"groups": divisors(m)},
    by_hand=[
        (
            {"groups": 5},
            (4 * 4 + 4) + (9 * 4 * 4 + 4) + 2 * 4,
            2 * 5 * (4 * 4 * (7 + 5) + 9 * 4 * 4 * 35 + 2 * 4 * 35),
        )
    ],
    runs=[{"groups": 3}, {"groups": 1}, {"groups": 12}],
    formula=Formula(
        options={"groups": 1},
        params=["10 q^2 + 4 q"],
        macs=["n (m q (h + w) + 9 m q p + 2 m p)"],
        where={"q": "m"},
    ),
    refused=[({"groups": 3}, "groups = 3 does not divide channels = 20"), ({"groups": 0}, "groups = 0")],
    not_in=dict.fromkeys(MOBILE[1:], "groups = 32 does not divide channels ="),
)
def ema(module, x):
    _, m, h, w = x.shape
    results = []
    for y in x.split(m // module.groups, dim=1):
        strips = conv(torch.cat([y.sum(3) / w, y.sum(2) / h], dim=2)[..., None], module.directions)[..., 0]
        first = torch.einsum("nchw,nch,ncw->nchw", y, sigmoid(strips[:, :, :h]), sigmoid(strips[:, :, h:]))
        first, second = group_norm(first, module.norm), conv(y, module.local, padding=1)
        gate = sum(
            torch.einsum("nc,nchw->nhw", softmax(mean_of_map(one), dim=1), other)
            for one, other in ((first, second), (second, first))
        )
        results.append(y * sigmoid(gate)[:, None])
    return torch.cat(results, dim=1)


@case(
    draws=lambda m, h, w: {"reduction": REDUCTION, "groups": divisors(m)},
    by_hand=[
        (
            {"reduction": 5},
            (20 * 4 + 4) + (4 * 20 + 20) + (49 * 20 * 4 + 4) + 2 * 4 + (49 * 4 * 20 + 20) + 2 * 20,
            2 * 35 * (20 * 4 + 4 * 20 + 49 * 20 * 4 + 49 * 4 * 20),
        ),
        (
            {"reduction": 5, "groups": 2},
            (20 * 4 + 4) + (4 * 20 + 20) + (49 * 10 * 4 + 4) + 2 * 4 + (49 * 2 * 20 + 20) + 2 * 20,
            2 * 35 * (20 * 4 + 4 * 20 + 49 * 10 * 4 + 49 * 2 * 20),
        ),
    ],
    runs=[{"reduction": 3}, {"reduction": 3, "groups": 2}],
    formula=Formula(
        options={"reduction": "r"},
        params=["2 m d + 98 m d / g + 4 (m + d)"],
        macs=["n (2 m d + 98 m d / g) p"],
        where={"d": "floor(m / r)", "g": "1"},
    ),
    refused=[
        too_narrow(),
        ({"groups": 3}, "groups = 3 does not divide channels = 20"),
        ({"groups": 2}, "groups = 2 does not divide hidden channels = 5"),
    ],
)
def gam(module, x):
    m, groups = x.shape[1], module.groups
    hidden = relu(torch.einsum("nmhw,dm->ndhw", x, module.down.weight) + module.down.bias.reshape(1, -1, 1, 1))
    gate = torch.einsum("ndhw,md->nmhw", hidden, module.up.weight) + module.up.bias.reshape(1, -1, 1, 1)
    x = x * sigmoid(gate)
    hidden = conv(x, module.spatial_down, padding=3, groups=groups)
    hidden = conv(relu(batch_norm(hidden, module.spatial_down_norm)), module.spatial_up, padding=3, groups=groups)
    gate = sigmoid(batch_norm(hidden, module.spatial_up_norm))
    return x * gate[:, [place % groups * (m // groups) + place // groups for place in range(m)]]


@case(
    draws=lambda m, h, w: {"kernel": st.sampled_from([1, 3, 5, 7])},
    by_hand=[
        ({}, 2 * 7 * 20 + 2 * (2 * 20), 2 * 7 * 20 * (7 + 5)),
        ({"kernel": 3}, 2 * 3 * 20 + 2 * (2 * 20), 2 * 3 * 20 * 12),
    ],
    runs=[{}, {"kernel": 3}],
    formula=Formula(params=["2 k m + 4 m"], macs=["n k m (h + w)"], where={"k": "7"}),
    refused=[({"kernel": 4}, "kernel = 4: an odd one is accepted")],
)
def ela(module, x):
    gates = []
    for strip, layer, norm in (
        (x.sum(3, keepdim=True) / x.shape[3], module.rows, module.rows_norm),
        (x.sum(2, keepdim=True) / x.shape[2], module.columns, module.columns_norm),
    ):
        padded = torch.nn.functional.pad(strip, tuple(side for size in layer.padding[::-1] for side in (size, size)))
        normed = group_norm(conv(padded, layer, groups=x.shape[1]), norm)
        gates.append(sigmoid(normed * sigmoid(normed)))
    return x * gates[0] * gates[1]
