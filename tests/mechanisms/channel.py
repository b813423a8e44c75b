"""Rows of the table of mechanisms: a weight for each channel."""

import torch
from hypothesis import strategies as st
from plain import conv, linear, mean_of_map, relu, sigmoid, softmax, spread

from mechanisms.table import FLAG, REDUCTION, Formula, case, too_narrow


@case(
    draws=lambda m, h, w: {"reduction": REDUCTION, "bias": FLAG},
    by_hand=[
        ({"reduction": 7}, 2 * (20 * 2), 2 * (2 * 20 * 2)),
        ({"reduction": 7, "bias": True}, 2 * (20 * 2) + 2 + 20, 2 * (2 * 20 * 2)),
    ],
    runs=[{"reduction": 5}, {"reduction": 2, "bias": True}],
    formula=Formula(
        options={"reduction": "r"}, params=["2 m d"], biases="m + d", macs=["2 n m d"], where={"d": "floor(m / r)"}
    ),
    refused=[too_narrow(), ({"reduction": 0}, "reduction = 0: a positive whole number")],
)
def se(module, x):
    return x * spread(sigmoid(linear(relu(linear(mean_of_map(x), module.down)), module.up)))


@case(
    draws=lambda m, h, w: {"reduction": REDUCTION, "bias": FLAG},
    by_hand=[
        ({}, 20 + 2 * 20 * 1 + 2 * 1, 2 * (20 * 35 + 20 * 35 + 2 * 20 * 1)),
        (
            {"reduction": 4, "bias": True},
            21 + (20 * 5 + 5) + 2 * 5 + (5 * 20 + 20),
            2 * (2 * 20 * 35 + 2 * 20 * 5),
        ),
    ],
    runs=[{"reduction": 4}, {"reduction": 5, "bias": True}],
    formula=Formula(
        options={"reduction": "r"},
        params=["2 m d + m + 2 d"],
        biases="m + d + 1",
        macs=["n (2 m p + 2 m d)"],
        where={"d": "floor(m / r)"},
    ),
    refused=[too_narrow()],
)
def gc(module, x):
    n, m, h, w = x.shape
    weights = softmax(conv(x, module.mask).reshape(n, h * w), dim=1)
    context = torch.einsum("nmp,np->nm", x.reshape(n, m, h * w), weights)
    hidden = conv(spread(context), module.down)
    mean = hidden.mean((1, 2, 3), keepdim=True)
    var = ((hidden - mean) ** 2).mean((1, 2, 3), keepdim=True)
    hidden = (hidden - mean) / (var + module.norm.eps).sqrt() * module.norm.weight + module.norm.bias
    return x + conv(relu(hidden), module.up)


@case(
    draws=lambda m, h, w: {"kernel": st.sampled_from([0, 1, 3, 5, 9])},
    by_hand=[({}, 3, 2 * 20 * 3), ({"kernel": 7}, 7, 2 * 20 * 7), ({"kernel": 0}, 3, 2 * 20 * 3)],
    runs=[{}, {"kernel": 5}, {"kernel": 0}],
    formula=Formula(params=["k"], macs=["n m k"], where={"k": "3"}),
    refused=[({"kernel": 4}, "kernel = 4: an odd one is accepted"), ({"kernel": -3}, "kernel = -3")],
)
def eca(module, x):
    means, taps = mean_of_map(x), module.conv.weight[0, 0]
    reach = len(taps) // 2
    padded = torch.cat([means.new_zeros(len(x), reach), means, means.new_zeros(len(x), reach)], dim=1)
    logits = torch.stack([(padded[:, c : c + len(taps)] * taps).sum(1) for c in range(x.shape[1])], dim=1)
    return x * spread(sigmoid(logits))
