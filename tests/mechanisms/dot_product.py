"""Rows of the table of mechanisms: every position attends to others."""

import torch
from hypothesis import strategies as st
from plain import conv, softmax

from mechanisms.table import FLAG, REDUCTION, Formula, case, divisors, too_narrow


@case(
    draws=lambda m, h, w: {"reduction": REDUCTION, "bias": FLAG},
    by_hand=[
        ({}, 4 * (20 * 10), 2 * (4 * 20 * 10 * 35 + 2 * 10 * 35 * 35)),
        ({"bias": True}, 4 * (20 * 10) + 3 * 10 + 20, 2 * (4 * 20 * 10 * 35 + 2 * 10 * 35 * 35)),
    ],
    runs=[{}, {"reduction": 5, "bias": True}],
    formula=Formula(params=["4 m d"], biases="3 d + m", macs=["n (4 m d p + 2 d p^2)"], where={"d": "floor(m / 2)"}),
    refused=[too_narrow()],
)
def non_local(module, x):
    n, _, h, w = x.shape
    theta, phi, value = (conv(x, layer).reshape(n, -1, h * w) for layer in (module.theta, module.phi, module.value))
    weights = softmax(torch.einsum("ndi,ndj->nij", theta, phi), dim=2)
    attended = torch.einsum("nij,ndj->ndi", weights, value)
    return x + conv(attended.reshape(n, -1, h, w), module.out)


@case(
    draws=lambda m, h, w: {"reduction": REDUCTION, "maps": st.integers(1, 40), "bias": FLAG},
    by_hand=[
        ({"maps": 3}, 20 * 5 + 2 * 20 * 3 + 5 * 20, 2 * 35 * (20 * 5 + 2 * 20 * 3 + 2 * 5 * 3 + 5 * 20)),
    ],
    runs=[{}, {"maps": 5, "bias": True}],
    formula=Formula(
        options={"maps": "t"},
        params=["2 m (c + t)"],
        biases="c + 2 t + m",
        macs=["n p (2 m (c + t) + 2 c t)"],
        where={"c": "floor(m / 4)"},
    ),
    refused=[
        too_narrow(),
        ({"maps": 0}, "maps t = 0: a positive whole number is accepted"),
        ({"maps": 2.5}, "maps t = 2.5"),
    ],
)
def a2(module, x):
    n, _, h, w = x.shape
    features, gathering, distribution = (
        conv(x, layer).reshape(n, -1, h * w) for layer in (module.features, module.gather, module.distribute)
    )
    vectors = torch.einsum("ncp,ntp->nct", features, softmax(gathering, dim=2))
    attended = torch.einsum("nct,ntp->ncp", vectors, softmax(distribution, dim=1))
    return x + conv(attended.reshape(n, -1, h, w), module.out)


@case(
    draws=lambda m, h, w: {
        "heads": divisors(m),
        "map_size": st.just((h, w)),
        "relative": FLAG,
        "stride": st.integers(1, 3),
    },
    by_hand=[
        (
            {},
            3 * 20 * 20 + (2 * 7 - 1) * 5 + (2 * 5 - 1) * 5,
            2 * (3 * 20 * 20 * 35 + 2 * 4 * 35 * 35 * 5 + 4 * 35 * 5 * (13 + 9)),
        ),
        ({"relative": False, "heads": 2}, 3 * 20 * 20, 2 * (3 * 20 * 20 * 35 + 2 * 2 * 35 * 35 * 10)),
    ],
    runs=[
        {"map_size": (5, 4), "heads": 3},
        {"relative": False, "heads": 2},
        {"map_size": (5, 4), "heads": 1, "stride": 2},
    ],
    formula=Formula(
        options={"heads": 1},
        params=["3 m^2 + (2 h + 2 w - 2) m / H"],
        macs=["n (3 m^2 p + 2 m p^2 + m p (2 h + 2 w - 2))"],
        where={"H": "1"},
    ),
    refused=[
        ({"heads": 3}, "heads = 3 does not divide channels = 20"),
        ({"map_size": 0}, r"map_size = 0: h, or \(h, w\)"),
        ({"stride": 0}, "stride = 0"),
    ],
    not_in={"resnet101_fpn": "mhsa at lateral 2 of resnet101_fpn: it replaces"},
)
def mhsa(module, x):
    n, m, h, w = x.shape
    heads, depth = module.heads, m // module.heads
    places = [(i, j) for i in range(h) for j in range(w)]
    query, key, value = conv(x, module.project).reshape(n, 3, heads, depth, h * w).unbind(1)
    logits = torch.einsum("nhdi,nhdj->nhij", query, key) / depth**0.5
    if module.relative:
        offsets = torch.stack(
            [
                torch.stack([module.height[k - i + h - 1] + module.width[o - j + w - 1] for k, o in places])
                for i, j in places
            ]
        )
        logits = logits + torch.einsum("nhdi,ijd->nhij", query, offsets)
    result = torch.einsum("nhij,nhdj->nhdi", softmax(logits, dim=3), value).reshape(n, m, h, w)
    stride = 1 if module.pool is None else module.pool.stride
    rows = [
        torch.stack([result[:, :, i : i + stride, j : j + stride].mean((2, 3)) for j in range(0, w, stride)], dim=-1)
        for i in range(0, h, stride)
    ]
    return torch.stack(rows, dim=-2)
