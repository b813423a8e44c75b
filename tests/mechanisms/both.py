"""Rows of the table of mechanisms: weights for channels and positions."""

import torch
from hypothesis import strategies as st
from plain import batch_norm, conv, linear, mean_of_map, relu, sigmoid, spread

from mechanisms.table import FLAG, REDUCTION, Formula, case, too_narrow


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
        ({"style": "released"}, "style = 'released': accepted are equation, release"),
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
        ({"style": "theta+"}, r"style = 'theta\+': accepted are theta-minus, theta, theta-plus"),
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
