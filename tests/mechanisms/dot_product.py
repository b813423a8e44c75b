"""Rows of the table of mechanisms: every position attends to others."""

import torch
from hypothesis import strategies as st
from plain import conv, softmax

from mechanisms.table import FLAG, REDUCTION, Formula, case, too_narrow


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
