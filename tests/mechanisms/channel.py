"""Rows of the table of mechanisms: a weight for each channel."""

import math

import torch
from hypothesis import strategies as st
from plain import adaptive_means, batch_norm, conv, linear, mean_of_map, relu, sigmoid, softmax, spread

from mechanisms.table import FLAG, MOBILE, REDUCTION, Formula, case, too_narrow


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


@case(
    draws=lambda m, h, w: {"style": st.sampled_from(["l2", "l1"]), "after_relu": FLAG},
    by_hand=[({}, 3 * 20, 0), ({"style": "l1", "after_relu": True}, 3 * 20, 0)],
    runs=[{}, {"style": "l1"}, {"style": "l1", "after_relu": True}],
    formula=Formula(params=["3 m"], macs=["0"]),
    refused=[({"style": "l3"}, "style = 'l3': accepted values are l2, l1")],
)
def gct(module, x):
    alpha, gamma, beta = (learned[0, :, 0, 0] for learned in (module.alpha, module.gamma, module.beta))
    if module.style == "l2":
        strength = torch.sqrt(torch.einsum("nmhw,nmhw->nm", x, x) + 1e-5) * alpha
        among = gamma / torch.sqrt((strength**2).mean(1, keepdim=True) + 1e-5)
    else:
        strength = torch.einsum("nmhw->nm", x if module.after_relu else torch.where(x < 0, -x, x)) * alpha
        among = gamma / (torch.where(strength < 0, -strength, strength).mean(1, keepdim=True) + 1e-5)
    return x * (1 + torch.tanh(spread(strength * among + beta)))


@case(
    draws=lambda m, h, w: {},
    by_hand=[({}, 2 * 20, 0)],
    runs=[{}],
    formula=Formula(params=["2 m"], macs=["0"]),
)
def nam(module, x):
    share = module.norm.weight.detach().abs()
    share = torch.stack([weight / sum(share) for weight in share])
    return x * sigmoid(torch.einsum("nmhw,m->nmhw", batch_norm(x, module.norm), share))


@case(
    draws=lambda m, h, w: {
        "reduction": REDUCTION,
        "frequencies": st.sampled_from(["top1", "top16", "low2", "low8", "bot4", "bot32"]),
        "size": st.sampled_from([1, 7, 14, (5, 4), (h, w)]),
    },
    by_hand=[
        ({"frequencies": "top4", "reduction": 5}, 2 * 20 * 4, 2 * 2 * 20 * 4),
        ({"frequencies": "low2", "reduction": 5, "size": (7, 5)}, 2 * 20 * 4, 2 * 2 * 20 * 4),
    ],
    runs=[
        {"frequencies": "top4", "size": (5, 4), "reduction": 4},
        {"frequencies": "low2", "size": 14, "reduction": 3},
        {"frequencies": "bot1", "size": (3, 7), "reduction": 4},
    ],
    formula=Formula(options={"reduction": "r"}, params=["2 m d"], macs=["2 n m d"], where={"d": "floor(m / r)"}),
    refused=[
        too_narrow(frequencies="top1"),
        ({"frequencies": "top8"}, "frequencies = 8 does not divide channels = 20"),
        ({"frequencies": "top3"}, "frequencies = 'top3': top, low or bot and one of 1, 2, 4"),
        ({"frequencies": "best2"}, "frequencies = 'best2'"),
        ({"frequencies": "top2", "size": 0}, "size = 0"),
    ],
    not_in=dict.fromkeys(MOBILE[1:], "fca at . of .*: frequencies = 16 does not divide channels ="),
)
def fca(module, x):
    dh, dw = module.size
    pooled = x if tuple(x.shape[2:]) == (dh, dw) else adaptive_means(x, dh, dw)
    lists = {"low2": [(0, 0), (0, 1)], "top4": [(0, 0), (0, 1), (6, 0), (0, 5)], "bot1": [(6, 6)]}
    waves = lists[module.frequencies]
    parts = pooled.reshape(len(x), len(waves), -1, dh, dw)
    vectors = [
        torch.einsum("nchw,hw->nc", parts[:, i], torch.outer(cosine(u, dh), cosine(v, dw)).float().double())
        for i, (u, v) in enumerate(waves)
    ]
    return x * spread(sigmoid(linear(relu(linear(torch.cat(vectors, dim=1), module.down)), module.up)))


def cosine(frequency, size):
    """A row of the orthonormal cosine transform of a size, its frequency one of a grid of 7."""
    frequency *= size // 7
    waves = [math.cos(math.pi * frequency * (t + 0.5) / size) for t in range(size)]
    return torch.tensor(waves, dtype=torch.float64) * math.sqrt((2 if frequency else 1) / size)
